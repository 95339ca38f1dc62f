"""Ten named problems of fitting, for the comparison of methods."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import mlpcore
from mlpcore.datasets import load_concrete

#: Where yacht.csv and energy.csv of the UCI repository may be: a header, the target last.
UCI = Path(os.environ.get("MLPCORE_UCI") or "uci")


class Missing(Exception):
    """What a problem is made of is not here; the message says what."""


class Problem(NamedTuple):
    """A network and data to fit it to."""

    name: str
    net: mlpcore.Network
    X: Any
    T: Any
    weight_decay: float = 0.0


Maker = Callable[[np.random.Generator], Problem]


def standardized(a: Any) -> Any:
    return (a - a.mean(axis=0)) / a.std(axis=0)


def sinusoid(rng: np.random.Generator) -> Problem:
    """PRML figure 5.9 and others: a noisy period of the sine."""
    X = rng.uniform(size=(50, 1))
    T = np.sin(2 * np.pi * X) + 0.1 * rng.normal(size=X.shape)
    return Problem("sinusoid", mlpcore.Network((1, 5, 1)), X, T)


def xor(rng: np.random.Generator) -> Problem:
    X = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    T = (X[:, 0] != X[:, 1]).astype(float)
    return Problem("xor", mlpcore.Network((2, 3, 1), output="sigmoid"), X, T, 1e-3)


def concrete(rng: np.random.Generator) -> Problem:
    data = load_concrete()
    return Problem(
        "concrete", mlpcore.Network((8, 20, 1)), standardized(data.X), standardized(data.t), 0.1
    )


def uci(name: str, hidden: int) -> Maker:
    def load(rng: np.random.Generator) -> Problem:
        path = UCI / f"{name}.csv"
        if not path.exists():
            raise Missing(f"no {path}; MLPCORE_UCI may name its folder")
        table = standardized(np.loadtxt(path, delimiter=",", skiprows=1))
        net = mlpcore.Network((table.shape[1] - 1, hidden, 1))
        return Problem(name, net, table[:, :-1], table[:, -1], 0.01)

    return load


def digits(rng: np.random.Generator) -> Problem:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise Missing("no scikit-learn") from None
    X, t = load_digits(return_X_y=True)
    return Problem("digits", mlpcore.Network((64, 10, 10), output="softmax"), X / 16, t, 0.1)


def two_spirals(rng: np.random.Generator) -> Problem:
    """Lang and Witbrock, 1988: two spirals in each other, three turns each."""
    i = np.arange(97)
    radius, angle = 6.5 * (104 - i) / 104, i * np.pi / 16
    arm = np.column_stack([radius * np.sin(angle), radius * np.cos(angle)])
    T = np.repeat([1.0, 0.0], 97)
    net = mlpcore.Network((2, 12, 12, 1), output="sigmoid")
    return Problem("two spirals", net, np.concatenate([arm, -arm]) / 3, T, 1e-3)


def rosenbrock(rng: np.random.Generator) -> Problem:
    """The root of Rosenbrock's function, where it is usually drawn: [-2, 2] x [-2, 2]."""
    X = rng.uniform(-2, 2, size=(300, 2))
    t = 100 * (X[:, 1] - X[:, 0] ** 2) ** 2 + (1 - X[:, 0]) ** 2
    return Problem("rosenbrock", mlpcore.Network((2, 12, 1)), X, standardized(np.sqrt(t)))


def friedman(rng: np.random.Generator) -> Problem:
    """Friedman, Multivariate adaptive regression splines, 1991, equation 61."""
    X = rng.uniform(size=(400, 10))
    t = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2
    t += 10 * X[:, 3] + 5 * X[:, 4] + rng.normal(size=400)
    return Problem("friedman", mlpcore.Network((10, 10, 1)), X, standardized(t), 0.1)


def encoder(rng: np.random.Generator) -> Problem:
    """The 8-3-8 encoder of Rumelhart, Hinton and Williams, 1986."""
    net = mlpcore.Network((8, 3, 8), hidden="sigmoid", output="softmax")
    return Problem("encoder", net, np.eye(8), np.arange(8), 1e-4)


MAKERS: dict[str, Maker] = {
    "sinusoid": sinusoid,
    "xor": xor,
    "concrete": concrete,
    "yacht": uci("yacht", 10),
    "energy": uci("energy", 10),
    "digits": digits,
    "two spirals": two_spirals,
    "rosenbrock": rosenbrock,
    "friedman": friedman,
    "encoder": encoder,
}


def make(name: str, seed: int = 0) -> Problem:
    """The problem of that name, with the same data for a seed; raises Missing."""
    return MAKERS[name](np.random.default_rng(seed))


def problems(seed: int = 0) -> Iterator[Problem]:
    """All that can be made; of the others standard error tells."""
    left_out = 0
    for name in MAKERS:
        try:
            problem = make(name, seed)
        except Missing as why:
            left_out += 1
            print(f"LEFT OUT: {name}, {why}", file=sys.stderr, flush=True)
        else:
            yield problem
    if left_out:
        n = len(MAKERS)
        print(f"ONLY {n - left_out} OF {n} PROBLEMS, see above", file=sys.stderr, flush=True)
