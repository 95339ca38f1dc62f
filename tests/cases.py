"""The one list of cases through which every quantity goes.

A case is an architecture with data; a quantity is a method of ``mlpcore.Network`` that
``mlpcore.reference`` has too. Parity, finite differences, peers, instruction sets and the
benchmark all take both from here.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

import mlpcore
from mlpcore import reference
from mlpcore import reference_optimizers as oracle
from mlpcore.regularizers import Regularizer

ACTIVATIONS = tuple(reference.ACTIVATIONS)
OUTPUTS = tuple(reference.OUTPUTS)
KINDS = ("exact", "gauss_newton", "becker_lecun")
HESSIAN_KINDS = ("exact", "gauss_newton", "empirical_fisher")
PRODUCT_KINDS = ("exact", "gauss_newton")
central_difference, complex_step = reference.central_difference, reference.complex_step
TOLERANCE = {"float64": 1e-12, "float32": 1e-4}

#: Activations whose h or h' has a corner at zero: no central differences for these.
CORNERED = ("relu", "leaky_relu", "elu")


class Problem(NamedTuple):
    """Weights and data of a case."""

    w: Any
    X: Any
    T: Any
    s: Any = None

    def astype(self, dtype: str) -> Problem:
        return Problem(*(None if value is None else value.astype(dtype) for value in self))

    def directions(self, count: int) -> Any:
        """`count` vectors of weights (count, W), always the same, exact in every dtype."""
        W = np.size(self.w)
        return np.random.default_rng(W).integers(-8, 9, size=(count, W)) / 4

    def rows(self, index: Any) -> Problem:
        """The same with some of the samples, or in another order."""
        s = None if self.s is None else self.s[index]
        return Problem(self.w, self.X[index], self.T[index], s)


class Reference:
    """``mlpcore.reference`` with the methods of a ``Network``."""

    def __init__(self, architecture: reference.Architecture) -> None:
        self.architecture = architecture

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return functools.partial(getattr(reference, name), self.architecture)


@dataclass(frozen=True)
class Case:
    """An architecture, its precision, and the shape of its data."""

    layers: tuple[int, ...]
    hidden: str | tuple[str, ...] = "tanh"
    output: str = "linear"
    n: int = 65
    weighted: bool = False  # with sample_weight
    flat: bool = False  # T is (N,): class labels for softmax, else of the only output
    dtype: str = "float64"

    def __str__(self) -> str:
        hidden = self.hidden if isinstance(self.hidden, str) else "+".join(self.hidden)
        flags = "-weighted" * self.weighted + "-flat" * self.flat
        layers = "x".join(map(str, self.layers))
        return f"{layers}-{hidden}-{self.output}-N{self.n}{flags}-{self.dtype}"

    def network(self) -> mlpcore.Network:
        return mlpcore.Network(self.layers, self.hidden, self.output, self.dtype)

    def reference(self) -> Reference:
        return Reference(reference.Architecture(self.layers, self.hidden, self.output))

    @property
    def n_weights(self) -> int:
        return sum((m + 1) * n for m, n in zip(self.layers, self.layers[1:], strict=False))

    @property
    def smooth(self) -> bool:
        hidden = (self.hidden,) if isinstance(self.hidden, str) else self.hidden
        return not set(hidden) & set(CORNERED)

    def parts(self, w: Any) -> Iterator[tuple[Any, Any]]:
        """W and b of each layer, cut from an array of any library as torch.nn.Linear has them."""
        start = 0
        for n_in, n_out in itertools.pairwise(self.layers):
            end = start + n_out * n_in
            yield w[start:end].reshape(n_out, n_in), w[end : end + n_out]
            start = end + n_out

    def problem(self, seed: int = 0) -> Problem:
        """Random weights and data, always the same for a seed."""
        rng = np.random.default_rng([seed, self.n, *self.layers])
        w = [
            np.concatenate([rng.normal(size=m * n) * 1.2 / np.sqrt(m), 0.5 * rng.normal(size=n)])
            for m, n in zip(self.layers, self.layers[1:], strict=False)
        ]
        D, K = self.layers[0], self.layers[-1]
        X = rng.normal(size=(self.n, D))
        T: Any
        if self.output == "linear":
            T = rng.normal(size=(self.n, K))
        elif self.output == "sigmoid":
            T = np.clip(rng.uniform(-0.5, 1.5, size=(self.n, K)), 0, 1)
        else:
            T = rng.dirichlet(np.ones(K), size=self.n)
        if self.flat:
            T = T.argmax(axis=1) if self.output == "softmax" else T[:, 0]
        s = rng.integers(0, 5, size=self.n) / 2 if self.weighted else None
        problem = Problem(np.concatenate(w), X, T, s).astype(self.dtype)
        labels = self.flat and self.output == "softmax"
        return problem._replace(T=problem.T.astype(int)) if labels else problem


def _cases() -> list[Case]:
    cases = [Case((3, 7, 5, 2), name) for name in ACTIVATIONS]
    cases += [
        Case((5, *(6, 9, 4, 8)[:depth], 3), ACTIVATIONS[depth : 2 * depth], output, n=33)
        for output in OUTPUTS
        for depth in range(5)
    ]
    cases += [
        Case((4, 9, 3), "sigmoid", output, n, weighted=bool(n % 2))
        for n, output in zip(
            (1, 2, 3, 7, 8, 63, 64, 65, 100, 127, 128, 129, 257), OUTPUTS * 5, strict=False
        )
    ]
    cases += [
        Case((1, 1)),
        Case((1, 1, 1), "softplus"),
        Case((1, 10, 1), n=100, flat=True),
        Case((8, 50, 1), weighted=True, flat=True),
        Case((2, 70, 1), "gelu", "sigmoid", flat=True),
        Case((1, 17, 1, 5), ("silu", "relu"), "softmax", n=64),
        Case((13, 6, 12, 7), ("elu", "leaky_relu"), weighted=True),
        Case((130, 33, 20), "relu", "softmax", n=19, flat=True),
        Case((3, 131, 2), "silu", "sigmoid", n=31),
        Case((2, 5, 67), "tanh", "softmax", n=13, weighted=True),
        Case((3, 7, 6, 4), ("tanh", "gelu"), "softmax", n=70, weighted=True, flat=True),
        Case((8, 50, 1), n=1500),  # from here on enough work for threads
        Case((16, 64, 64, 4), ("tanh", "silu"), "softmax", n=130, weighted=True),
    ]
    return cases


CASES_FLOAT64 = _cases()
CASES = CASES_FLOAT64 + [replace(case, dtype="float32") for case in CASES_FLOAT64]

Quantity = Callable[[Any, Problem], Any]


def _like_inputs(p: Problem) -> Any:
    """Numbers of the shape of X, the same for a sample wherever it stands."""
    X = np.asarray(p.X, dtype=np.float64)
    return np.roll(X, 1, axis=1) - X


def _like_outputs(net: Any, p: Problem) -> Any:
    """Numbers of the shape of Y, likewise."""
    return np.asarray(net.forward(p.w, p.X, logits=True)) / 4 + 1


QUANTITIES: dict[str, Quantity] = {
    "forward": lambda net, p: net.forward(p.w, p.X),
    "logits": lambda net, p: net.forward(p.w, p.X, logits=True),
    "error": lambda net, p: net.error(p.w, p.X, p.T, p.s),
    "gradient": lambda net, p: net.gradient(p.w, p.X, p.T, p.s),
    "error_and_gradient": lambda net, p: net.error_and_gradient(p.w, p.X, p.T, p.s),
    "jacobian": lambda net, p: net.jacobian(p.w, p.X),
    "weight_jacobian": lambda net, p: net.weight_jacobian(p.w, p.X),
    "per_sample_gradient": lambda net, p: net.per_sample_gradient(p.w, p.X, p.T),
    **{
        f"hessian_diagonal-{kind}": functools.partial(
            lambda net, p, kind: net.hessian_diagonal(p.w, p.X, p.T, p.s, kind=kind), kind=kind
        )
        for kind in KINDS
    },
    **{
        f"hessian-{kind}": functools.partial(
            lambda net, p, kind: net.hessian(p.w, p.X, p.T, p.s, kind=kind), kind=kind
        )
        for kind in HESSIAN_KINDS
    },
    "hessian_blocks": lambda net, p: np.concatenate(
        [block.ravel() for block in net.hessian_blocks(p.w, p.X, p.T, p.s)]
    ),
    **{
        f"hessian_vector_product-{kind}": functools.partial(
            lambda net, p, kind: net.hessian_vector_product(
                p.w, p.directions(1)[0], p.X, p.T, p.s, kind=kind
            ),
            kind=kind,
        )
        for kind in PRODUCT_KINDS
    },
    "hessian_vector_product-block": lambda net, p: net.hessian_vector_product(
        p.w, p.directions(11), p.X, p.T, p.s
    ),
    "output_hessian": lambda net, p: net.output_hessian(p.w, p.X),
    "jvp": lambda net, p: net.jvp(p.w, p.X, _like_inputs(p)),
    "vjp": lambda net, p: net.vjp(p.w, p.X, _like_outputs(net, p)),
    "weight_jvp": lambda net, p: net.weight_jvp(p.w, p.X, p.directions(1)[0]),
    "weight_vjp": lambda net, p: net.weight_vjp(p.w, p.X, _like_outputs(net, p)),
}

#: Those with W^2 numbers.
SQUARES = ("hessian_blocks", *(f"hessian-{kind}" for kind in HESSIAN_KINDS))

#: Those that are sums over samples, and so take ``sample_weight``.
SUMS = ("error", "gradient", *(name for name in QUANTITIES if name.startswith("hessian")))


#: The methods of `minimize` with their options: the name, the options of `minimize`, the method of
#: the reference and its options.
MINIMIZERS: list[tuple[str, dict[str, Any], Callable[..., Any], dict[str, Any]]] = [
    ("lm", {}, oracle.lm, {}),
    ("lm", {"acceleration": True}, oracle.lm, {"acceleration": True}),
    ("scg", {}, oracle.scg, {}),
    ("scg", {"curvature": "gauss_newton"}, oracle.scg, {"kind": "gauss_newton"}),
    ("cg", {}, oracle.cg, {}),
    ("cg", {"conjugacy": "hestenes_stiefel"}, oracle.cg, {"conjugacy": "hestenes_stiefel"}),
    ("newton-cg", {}, oracle.newton_cg, {}),
    ("newton-cg", {"curvature": "gauss_newton"}, oracle.newton_cg, {"kind": "gauss_newton"}),
    ("bfgs", {}, oracle.bfgs, {}),
    ("lbfgs", {}, oracle.lbfgs, {}),
    ("lbfgs", {"memory": 2}, oracle.lbfgs, {"memory": 2}),
    ("gd", {}, oracle.gd, {}),
]

#: `minimize` goes on until its iterations are done.
OFF = {"gradient_tolerance": 0.0, "step_tolerance": 0.0, "error_tolerance": 0.0}


class Coupled(Regularizer):
    """R(w) = sum_i log cosh w_i + 0.1 (sum_i w_i)^2, as a user writes it: no sum over the weights,
    its second derivatives differences of the gradient.
    """

    def value(self, net: mlpcore.Network, w: Any) -> float:
        return float(np.log(np.cosh(w)).sum() + 0.1 * w.sum() ** 2)

    def gradient(self, net: mlpcore.Network, w: Any) -> Any:
        return np.tanh(w) + 0.2 * w.sum()

    @staticmethod
    def exact_hessian(w: Any) -> Any:
        """(W, W), in closed form."""
        return np.diag(1 - np.tanh(w) ** 2) + 0.2


def assert_close(actual: Any, expected: Any, tolerance: float, floor: float = 1e-300) -> None:
    """Equal shapes, all finite, and max |a - b| <= tolerance * max(floor, max |b|)."""
    if isinstance(expected, tuple):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_close(one, other, tolerance, floor)
        return
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    difference = np.abs(actual - expected).max(initial=0)
    scale = max(floor, np.abs(expected).max(initial=0))
    assert difference <= tolerance * scale, f"off by {difference / scale:.1e} of the largest"


def assert_same_bits(actual: Any, expected: Any) -> None:
    """Equal to the last bit, shapes and dtypes included."""
    if isinstance(expected, tuple):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_same_bits(one, other)
        return
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    assert actual.tobytes() == expected.tobytes()
