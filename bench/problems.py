"""Named problems of fitting, for the comparison of methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import mlpcore
from mlpcore.datasets import load_concrete

#: Where CSV files of the UCI repository may be; a problem whose file is missing is left out.
UCI = Path(__file__).resolve().parents[2] / "shared" / "data" / "uci"


class Problem(NamedTuple):
    """A network and data to fit it to."""

    name: str
    net: mlpcore.Network
    X: Any
    T: Any
    weight_decay: float = 0.0


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


def uci(name: str, hidden: int) -> Callable[[np.random.Generator], Problem | None]:
    def load(rng: np.random.Generator) -> Problem | None:
        path = UCI / f"{name}.csv"
        if not path.exists():
            return None
        table = standardized(np.loadtxt(path, delimiter=",", skiprows=1))
        net = mlpcore.Network((table.shape[1] - 1, hidden, 1))
        return Problem(name, net, table[:, :-1], table[:, -1], 0.01)

    return load


def digits(rng: np.random.Generator) -> Problem | None:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        return None
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
    """The values of Rosenbrock's function on its usual square."""
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


def problems(seed: int = 0) -> Iterator[Problem]:
    """All of them, with the same data for a seed."""
    makers: tuple[Callable[[np.random.Generator], Problem | None], ...] = (
        sinusoid,
        xor,
        concrete,
        uci("yacht", 10),
        uci("energy", 10),
        digits,
        two_spirals,
        rosenbrock,
        friedman,
        encoder,
    )
    for make in makers:
        problem = make(np.random.default_rng(seed))
        if problem is not None:
            yield problem
