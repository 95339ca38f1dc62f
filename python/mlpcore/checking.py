"""Derivatives against differences: for a network, and for functions of your own."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore.checks import real_number
from mlpcore.network import Network

if TYPE_CHECKING:
    from mlpcore.regularizers import Regularizer

__all__ = ["CheckedQuantity", "DerivativeCheck", "check_derivatives", "check_gradient"]

Array = NDArray[Any]
EPS = float(np.finfo(np.float64).eps)

#: Samples of the quantities that have rows of their own for each sample.
_ROWS = 5


class CheckedQuantity(NamedTuple):
    """One line of the table."""

    quantity: str
    compared_with: str
    difference: float  #: the largest one, relative to `scale`
    at: tuple[int, ...]  #: the element where it is
    scale: float  #: the largest element, or what differences can resolve if that is larger
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.tolerance  # a NaN has not

    @property
    def verdict(self) -> str:
        return "agrees" if self.passed else "DIFFERS"


@dataclass(frozen=True, repr=False)
class DerivativeCheck:
    """What `check_derivatives` and `check_gradient` found; prints as a table."""

    quantities: tuple[CheckedQuantity, ...]

    @property
    def passed(self) -> bool:
        """Whether every quantity agrees."""
        return all(q.passed for q in self.quantities)

    def __getitem__(self, quantity: str) -> CheckedQuantity:
        for q in self.quantities:
            if q.quantity == quantity:
                return q
        names = ", ".join(q.quantity for q in self.quantities)
        raise KeyError(f"quantity is {quantity!r}, expected one of {names}")

    def _table(self) -> list[tuple[str, ...]]:
        head = ("quantity", "against differences of", "largest difference", "at", "tolerance", "")
        return [
            head,
            *(
                (
                    q.quantity,
                    q.compared_with,
                    f"{q.difference:.1e}",
                    "[" + ", ".join(map(str, q.at)) + "]",
                    f"{q.tolerance:.0e}",
                    q.verdict,
                )
                for q in self.quantities
            ),
        ]

    def __repr__(self) -> str:
        rows = self._table()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        failed = sum(not q.passed for q in self.quantities)
        last = f"{failed} of {len(self.quantities)} differ" if failed else "all agree"
        return "\n".join([*lines, last])

    def _repr_html_(self) -> str:
        head, *rows = (
            "".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in self._table()
        )
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><tr>{head.replace('td>', 'th>')}</tr>{body}</table>"


class _Difference(NamedTuple):
    """df/dx by central differences, x's axes last, and what rounding makes of it."""

    derivative: Array
    noise: float


def _central_difference(f: Callable[[Array], Any], x: Array) -> _Difference:
    """A step for each element of x, by trial.

    Central differences at h, h / 4 and h / 16, each pair freed of its error of order h^2
    (Richardson); of the two the one is taken whose pair is closer together. h begins at
    eps^(1/5) times the size of the element, 1 at least.
    """
    columns, disagreements = [], []
    steps = EPS**0.2 * np.maximum(1, np.abs(x))
    largest = np.abs(np.asarray(f(x), dtype=np.float64)).max(initial=0)
    for i in np.ndindex(x.shape):
        at: list[Array] = []
        for h in (steps[i], steps[i] / 4, steps[i] / 16):
            up, down = x.copy(), x.copy()
            up[i] += h
            down[i] -= h
            width = up[i] - down[i]  # what the step has become in floating point
            at.append((np.asarray(f(up), np.float64) - np.asarray(f(down), np.float64)) / width)
        spreads = [np.abs(fine - coarse) for coarse, fine in itertools.pairwise(at)]
        better = [(16 * fine - coarse) / 15 for coarse, fine in itertools.pairwise(at)]
        columns.append(np.where(spreads[0] < spreads[1], better[0], better[1]))
        disagreements.append(np.abs(better[1] - better[0]))
    shape = columns[0].shape if columns else np.shape(f(x))
    stacked = np.stack(columns, axis=-1) if columns else np.zeros((*shape, 0))
    # Rounding of f is at least that of its value; inside of it may have been larger numbers. The
    # median, for where a corner is crossed the differences disagree for another reason.
    noise = 16 * EPS * float(largest) / float(steps.min(initial=np.inf))
    if columns and disagreements[0].size:
        noise = max(noise, 8 * float(np.median(disagreements)))
    return _Difference(stacked.reshape(*shape, *x.shape), noise)


def _compare(
    quantity: str, compared_with: str, value: Any, expected: Array, noise: float, tolerance: float
) -> CheckedQuantity:
    given = np.asarray(value, dtype=np.float64)
    if given.shape != expected.shape:
        raise ValueError(f"{quantity} has shape {given.shape}, expected {expected.shape}")
    scale = max(float(np.abs(expected).max(initial=0)), noise / tolerance, np.finfo(float).tiny)
    differences = np.abs(given - expected) / scale
    place = np.unravel_index(int(np.argmax(differences)), given.shape) if given.size else ()
    worst = float(differences[place]) if given.size else 0.0
    at = tuple(int(i) for i in place)
    return CheckedQuantity(quantity, compared_with, worst, at, scale, tolerance)


def check_gradient(
    f: Callable[[Array], Any],
    gradient: Callable[[Array], ArrayLike] | ArrayLike,
    w: ArrayLike,
    tolerance: float = 1e-6,
    name: str = "gradient",
) -> DerivativeCheck:
    """A derivative of your own, of a regularizer or an error function, against differences.

    Parameters
    ----------
    f : callable
        Of w; returns a number, or an array.
    gradient : callable or array
        df/dw at w, or the function that computes it; of an array f, the Jacobian with the axes of
        w last. So a Hessian is checked with f the gradient.
    w : array
        Where. Some place where nothing is special: away from zero, and from any corner.
    tolerance : float
        Of the largest difference, relative to the largest element.

    Returns
    -------
    DerivativeCheck
        Prints as a table; ``.passed`` says whether it agrees.

    Notes
    -----
    f is computed 6 W times, which is why one checks with differences, and computes without.

    Examples
    --------
    >>> check_gradient(lambda w: 0.5 * w @ w, lambda w: w, [1.0, -2.0, 3.0]).passed
    True
    >>> check_gradient(lambda w: 0.5 * w @ w, lambda w: 2 * w, [1.0, -2.0, 3.0]).passed
    False
    """
    tolerance = real_number("tolerance", tolerance, positive=True)
    x = np.array(w, dtype=np.float64)
    if not np.isfinite(x).all():
        raise ValueError("w is not finite")
    derivative, noise = _central_difference(f, x)
    value = gradient(x) if callable(gradient) else gradient
    return DerivativeCheck((_compare(name, "f", value, derivative, noise, tolerance),))


def check_derivatives(
    net: Network,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None = None,
    tolerance: float | None = None,
    regularizer: Regularizer | None = None,
) -> DerivativeCheck:
    """Every derivative of a network against central differences, the error's first.

    Each quantity is compared with differences of the one before it: the gradient with those of
    the error, the Hessian and its products with those of the gradient, the Jacobians with those
    of the outputs, the outputs' Hessian with those of the Jacobian.

    Parameters
    ----------
    w, X, T, sample_weight
        As for the methods of `Network`; no ensembles. What has a row of its own for each sample
        is checked on the first 5 samples.
    tolerance : float, optional
        Of the largest difference, relative to the largest element (or to what the rounding of
        differences can resolve, where that is more); 1e-6, for float32 1e-3.
    regularizer : mlpcore.regularizers.Regularizer, optional
        R: the error, its gradient, Hessian, diagonal and products are those of E + R.

    Returns
    -------
    DerivativeCheck
        Prints as a table; ``.passed`` says whether all agree.

    Notes
    -----
    The cost is that of 6 W errors and 6 W gradients, O(N W^2) in all, against O(N W) of
    backpropagation (PRML 5.3.3), with the step chosen for each weight; the difference quotients of
    the gradient are held, W^2 numbers. So take a small network, or few samples. Differences are
    of the network in float64, whatever its dtype. At a corner of relu or leaky_relu differences
    mean nothing, and the second derivatives of the two disagree with them where one is crossed.
    So it is at the rounded corner of L1 for weights near 0 where its epsilon is smaller than the
    steps, of some 1e-3: check with a larger epsilon, or at other weights.
    """
    if tolerance is None:
        tolerance = 1e-6 if net.dtype == np.float64 else 1e-3
    tolerance = real_number("tolerance", tolerance, positive=True)
    net.error(w, X, T, sample_weight, regularizer)  # checks the arguments
    at = np.array(w, dtype=net.dtype).astype(np.float64)
    if at.ndim != 1:
        raise ValueError(f"w has shape {at.shape}, expected ({net.n_weights},)")
    X_, T_, s = np.asarray(X, net.dtype), np.asarray(T), sample_weight
    wide = Network(net.layers, net.hidden, net.output)
    few, few_T = X_[:_ROWS], T_[:_ROWS]
    rows: list[CheckedQuantity] = []

    def add(quantity: str, compared_with: str, value: Any, expected: Array, noise: float) -> None:
        rows.append(_compare(quantity, compared_with, value, expected, noise, tolerance))

    R = regularizer
    slope = _central_difference(lambda w: wide.error(w, X_, T_, s, regularizer=R), at)
    add("gradient", "error", net.gradient(w, X, T, s, regularizer=R), *slope)

    random = np.random.default_rng(0)
    V = random.standard_normal((3, net.n_weights))
    curve = _central_difference(lambda w: wide.gradient(w, X_, T_, s, regularizer=R), at)
    hessian = (curve.derivative + curve.derivative.T) / 2
    if hasattr(net, "hessian"):
        add("hessian", "gradient", net.hessian(w, X, T, s, regularizer=R), hessian, curve.noise)
    diagonal = net.hessian_diagonal(w, X, T, s, regularizer=R)
    add("hessian_diagonal", "gradient", diagonal, np.diagonal(hessian), curve.noise)
    products = net.hessian_vector_product(w, V, X, T, s, regularizer=R)
    add("hessian_vector_product", "gradient", products, V @ hessian, curve.noise)

    def errors_of_samples(w: Array) -> Array:
        return np.array([wide.error(w, few[[n]], few_T[[n]]) for n in range(len(few))])

    each = _central_difference(errors_of_samples, at)
    add("per_sample_gradient", "error", net.per_sample_gradient(w, few, few_T), *each)

    by_w = _central_difference(lambda w: wide.forward(w, few), at)
    dY = random.standard_normal((len(few), net.n_outputs))
    add("weight_jacobian", "forward", net.weight_jacobian(w, few), *by_w)
    v_product = by_w.derivative @ V[0]
    add("weight_jvp", "forward", net.weight_jvp(w, few, V[0]), v_product, by_w.noise)
    dy_product = np.einsum("nkw,nk->w", by_w.derivative, dY)
    add("weight_vjp", "forward", net.weight_vjp(w, few, dY), dy_product, by_w.noise)

    # A step of all samples at once: each has outputs of its own.
    origin, dX = np.zeros(net.n_inputs), random.standard_normal(few.shape)
    wide_few = few.astype(np.float64)
    by_x = _central_difference(lambda step: wide.forward(at, wide_few + step), origin)
    add("jacobian", "forward", net.jacobian(w, few), *by_x)
    dx_product = np.einsum("nkd,nd->nk", by_x.derivative, dX)
    add("jvp", "forward", net.jvp(w, few, dX), dx_product, by_x.noise)
    dy_product = np.einsum("nkd,nk->nd", by_x.derivative, dY)
    add("vjp", "forward", net.vjp(w, few, dY), dy_product, by_x.noise)
    bent = _central_difference(lambda step: wide.jacobian(at, wide_few + step), origin)
    add("output_hessian", "jacobian", net.output_hessian(w, few), *bent)
    return DerivativeCheck(tuple(rows))
