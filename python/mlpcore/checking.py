"""Derivatives against differences: for a network, and for functions of your own."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import _core
from mlpcore.checks import as_float64, as_numbers, check_finite, real_number
from mlpcore.network import Network, check_network, weights_of_one

if TYPE_CHECKING:
    from mlpcore.regularizers import Regularizer

__all__ = ["CheckedQuantity", "DerivativeCheck", "check_derivatives", "check_gradient"]

Array = NDArray[Any]
EPS = float(np.finfo(np.float64).eps)

#: Samples of the quantities that have rows of their own for each sample.
_ROWS = 5
#: Activations of which a derivative jumps.
_CORNERED = frozenset(("relu", "leaky_relu", "elu"))

_PROBES = 20  #: values of a function that tell its noise
_CONTROL = 2.0**20  #: how much smaller than an element the step is that controls the others
_LARGEST = 256  #: of the size of an element, where larger steps end
_STEPS = 24  #: the most steps that are tried for one element
_ORDERS = 3  #: even powers of the step that are taken out
_TILE = 1 << 16  #: numbers that are worked on at once where there are many
_HELD = 18  #: copies of a quantity that there are at most while its noise is found
_LEVEL = 8  #: roundings of the largest terms that are in a derivative
_CERTAIN = 6  #: estimated errors within which all differences are


class CheckedQuantity(NamedTuple):
    """One line of the table."""

    quantity: str
    compared_with: str  #: what the differences are of
    difference: float  #: the largest one, each relative to its own element's scale
    at: tuple[int, ...]  #: the element where it is
    scale: float  #: the size of this element; more where differences can't resolve that finely
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether no element differs by more than the tolerance; a NaN does."""
        return self.difference <= self.tolerance

    @property
    def verdict(self) -> str:
        """The last word of the line: "agrees" if it has passed, else "DIFFERS"."""
        return "agrees" if self.passed else "DIFFERS"


@dataclass(frozen=True, repr=False)
class DerivativeCheck:
    """What `check_derivatives` and `check_gradient` found; prints as a table."""

    quantities: tuple[CheckedQuantity, ...]
    cost: str = ""  #: of the differences, the last line of the table

    @property
    def passed(self) -> bool:
        """Whether every quantity agrees."""
        return all(q.passed for q in self.quantities)

    def __getitem__(self, quantity: str) -> CheckedQuantity:
        """The line of this quantity; a KeyError that names all if there is none."""
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
        return "\n".join([*lines, last, *([self.cost] if self.cost else [])])

    def _repr_html_(self) -> str:
        head, *rows = (
            "".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in self._table()
        )
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        table = f"<table><tr>{head.replace('td>', 'th>')}</tr>{body}</table>"
        return f"{table}<p>{html.escape(self.cost)}</p>" if self.cost else table


class _Difference(NamedTuple):
    """df/dx by central differences, x's axes last."""

    derivative: Array
    error: Array  #: how far off each element may be


def _values(f: Callable[[Array], Any], x: Array) -> Array:
    """f(x), and never the array that f may give back again."""
    given = np.asarray(f(x.copy()))
    if given.size <= _TILE:
        return np.array(given, dtype=np.float64)
    values = np.empty(given.shape)
    for tile in _tiles(given):
        values[tile] = given[tile]
    return values


def _central_difference(
    f: Callable[[Array], Any],
    x: Array,
    tolerance: float,
    magnitudes: Array | None = None,
    cornered: bool = False,
    noise: Array | float = 0.0,
) -> _Difference:
    """Steps for each element of x, and of them the best for each element of f.

    The first steps are 1/128, 1/512 and 1/2048 of the element of x, or of its magnitude where
    that is given. Others follow, see `_quotients`, until the error is a hundredth of what
    `tolerance` allows or can't be lowered; larger ones only where f is not `cornered`. Of f itself
    `noise` at least may be rounding.
    """
    sizes = _sizes(x if magnitudes is None else magnitudes)
    goal = tolerance / 100
    with np.errstate(all="ignore"):  # a step may lead to where f overflows or has no value
        noise = np.maximum(noise, _noise(f, x, sizes, EPS))
        place = _Place(f, x, sizes, _values(f, x), noise)
        derivatives, errors = np.empty((2, x.size, *noise.shape))
        for k, i in enumerate(np.ndindex(x.shape)):
            derivatives[k], errors[k] = _quotients(place, i, goal, cornered)
    shape = (*noise.shape, *x.shape)
    return _Difference(
        np.moveaxis(derivatives, 0, -1).reshape(shape), np.moveaxis(errors, 0, -1).reshape(shape)
    )


def _tiles(array: Array) -> Iterator[slice]:
    """Parts of the rows: small ones, so that Ctrl-C comes between them."""
    step = max(1, _TILE * len(array) // max(array.size, 1))
    return (slice(first, first + step) for first in range(0, len(array), step))


def _sizes(x: Array) -> Array:
    """The magnitudes, down to powers of two: a step that is part of one is exact."""
    magnitudes = np.abs(x)
    positive = magnitudes[magnitudes > 0]
    # Of a zero, as a bias may be, the size is anyone's guess.
    usual = float(np.median(positive)) if positive.size else 1.0
    sizes: Array = np.exp2(np.floor(np.log2(np.where(magnitudes > 0, magnitudes, usual))))
    return sizes


def _noise(f: Callable[[Array], Any], x: Array, sizes: Array, eps: float) -> Array:
    """What rounding to a relative eps makes of each element of f near x.

    From the eighth differences of f along a short line, where all else of them vanishes (Moré and
    Wild, Estimating computational noise, 2011): of noise of variance 1 theirs is 16! / 8!^2.
    """
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=x.shape)

    def along(part: float) -> tuple[Array, Array]:
        """The noise, and whether f moves at all, to points eps ** part apart."""
        spacing = signs * sizes * 2.0 ** np.floor(np.log2(eps) * part)
        differences: list[Array] = []  # of orders 0 to 7, that end at the point before
        noise, farthest = np.zeros(at_x.size), np.zeros(at_x.size)
        moves = np.zeros(at_x.size, dtype=bool)
        for m in range(_PROBES):
            values = _values(f, x + m * spacing).reshape(-1)
            for tile in _tiles(at_x):
                latest = values[tile]
                farthest[tile] = np.fmax(farthest[tile], np.abs(latest - at_x[tile]))
                for before in differences:
                    before[tile], latest = latest, latest - before[tile]
                if m < 8:
                    values[tile] = latest
                else:
                    noise[tile] = np.fmax(noise[tile], np.abs(latest) / np.sqrt(12870))
            if m < 8:
                differences.append(values)
            del values  # before the next ones come
        for tile in _tiles(at_x):  # that much is certain
            noise[tile] = np.fmax(noise[tile], eps * np.abs(at_x[tile]))
            moves[tile] = farthest[tile] > 8 * noise[tile]
        return noise, moves

    value = _values(f, x)
    at_x = value.reshape(-1)
    # In float64 2^-41, 2^-29 and 2^-20 apart. Where f does not move, what is rounded inside of it
    # may be the same number at each point, and a longer line shows more. Where it does, it may
    # move in ways of its own on the longer line, and not all of that is believed.
    noise, moves = along(0.77)
    for part in (0.55, 0.38):
        longer, moves_then = along(part)
        for tile in _tiles(at_x):
            more, known = longer[tile], noise[tile]
            more = np.where(moves[tile], np.fmin(more, 100 * known), more)
            noise[tile] = np.fmax(known, more)
        moves |= moves_then
    noise[~np.isfinite(at_x)] = np.nan
    return noise.reshape(value.shape)


def _rounding(compute: Callable[[Array], Any], w: Array, eps: float) -> Array:
    """The noise of a computed derivative."""
    with np.errstate(all="ignore"):
        noise = _noise(compute, w, _sizes(w), eps)
    noise[~np.isfinite(noise)] = 0
    return noise


class _Place(NamedTuple):
    """Where a function is differentiated."""

    f: Callable[[Array], Any]
    x: Array
    sizes: Array  #: of the elements of x, powers of two
    at_x: Array  #: f there
    noise: Array  #: of f there


def _quotients(place: _Place, i: tuple[int, ...], goal: float, cornered: bool) -> _Difference:
    """df/dx_i: difference quotients at steps that are each 4 times the next one.

    One step is much smaller than the first ones, to see whether they overlook something. Smaller
    steps follow while the noise allows them and something can be gained; larger ones where it is
    the noise that matters, until the best one has enough of them above it to be extrapolated.
    """
    f, x, sizes, at_x, noise = place
    steps: list[float] = []
    quotients: list[Array] = []
    bends: list[Array] = []
    rounding: list[Array] = []

    def take(step: float, number: int) -> None:
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        above, below = _values(f, up), _values(f, down)
        width = up[i] - down[i]  # what the step has become in floating point
        of_values = np.maximum(noise, EPS * np.maximum(np.abs(above), np.abs(below)))
        steps.insert(number, step)
        quotients.insert(number, (above - below) / width)
        bends.insert(number, (above - at_x + (below - at_x)) / width)
        rounding.insert(number, 2 * of_values / width)

    take(sizes[i] / _CONTROL, 0)
    del steps[0], bends[0]
    control, doubt = quotients.pop(), 2 * rounding.pop()
    for k in range(3):
        take(sizes[i] / 2 ** (7 + 2 * k), k)
    while True:
        if steps[-1] <= sizes[i] / _CONTROL:  # it is no longer the smaller one
            doubt = np.full_like(doubt, np.inf)
        best = _extrapolate(quotients, bends, rounding, control - doubt, control + doubt)
        # The opposite, for there may be a NaN.
        missed = ~(best.error <= goal * np.abs(best.derivative))
        if steps[0] >= sizes[i]:  # these do not depend on x_i
            missed &= ~np.all([q == 0 for q in quotients], axis=0)
        smaller = missed & (8 * noise / steps[-1] < best.error)
        larger = missed & (8 * best.rounding >= best.error) & (best.last <= _ORDERS)
        larger &= not cornered and steps[0] < _LARGEST * sizes[i]
        if len(steps) >= _STEPS or not (smaller.any() or larger.any()):
            return _Difference(best.derivative, best.error)
        if smaller.any():
            take(steps[-1] / 4, len(steps))
        if larger.any():
            try:
                take(steps[0] * 4, 0)
            except (ArithmeticError, ValueError):  # f has no value there
                cornered = True


class _Extrapolated(NamedTuple):
    """All of the shape of f."""

    derivative: Array
    error: Array
    rounding: Array  #: its part of the error
    last: Array  #: the number of the smallest step of those that it is made of


def _extrapolate(
    quotients: list[Array],
    bends: list[Array],
    rounding: list[Array],
    lowest: Array,
    highest: Array,
) -> _Extrapolated:
    """The best of Richardson's table, for each element.

    Each column of the table is freed of one more even power of the step. The error of an entry is
    taken as what parts it from the two that it is made of (Numerical Recipes, 5.7), and rounding;
    or as what parts it from those of smaller steps, if that is more than their rounding: at large
    steps a bend of f may be out of sight. A much smaller one says that it is from `lowest` to
    `highest`. And at a corner the slopes on both sides of x remain apart: the `bends` are half of
    what they are, and vanish with the step where f is smooth.
    """
    corners = [
        np.maximum(np.abs(4 * fine - coarse) / 3 - 4 * noise, 0)
        for (coarse, fine), noise in zip(itertools.pairwise(bends), rounding[1:], strict=True)
    ]
    entries, errors, rounded, last = [], [], [], []
    column = quotients
    for order in range(1, min(len(quotients), _ORDERS + 1)):
        power = 16.0**order
        following = [
            (power * fine - coarse) / (power - 1) for coarse, fine in itertools.pairwise(column)
        ]
        least, most = lowest, highest
        for k in reversed(range(len(following))):
            entry, noise = following[k], rounding[k + order]
            from_fine, from_coarse = np.abs(entry - column[k + 1]), np.abs(entry - column[k])
            apart = np.maximum(least - entry, entry - most)
            # Of several corners at one place part may cancel.
            doubt = np.maximum(np.maximum(from_fine, from_coarse), 32 * corners[k + order - 1])
            errors.append(np.maximum(doubt + noise, apart))
            entries.append(entry)
            rounded.append(noise)
            last.append(k + order)
            reach = from_fine + 2 * noise
            least, most = np.fmax(least, entry - reach), np.fmin(most, entry + reach)
        column = following
    all_errors = np.array(errors)
    all_errors[np.isnan(all_errors)] = np.inf
    best = all_errors.argmin(axis=0)[np.newaxis]

    def of_best(values: list[Array]) -> Array:
        taken: Array = np.take_along_axis(np.array(values), best, axis=0)[0]
        return taken

    error = of_best(list(all_errors))
    return _Extrapolated(
        np.where(np.isfinite(error), of_best(entries), np.nan),
        error,
        of_best(rounded),
        np.array(last)[best[0]],
    )


def _compare(
    quantity: str, compared_with: str, value: Array, difference: _Difference, tolerance: float
) -> CheckedQuantity:
    """With `error` of the difference that of the value too."""
    expected, error = difference
    if not value.size:
        return CheckedQuantity(quantity, compared_with, 0.0, (), 0.0, tolerance)

    def scale(part: Any) -> Array:
        scales = np.maximum(np.abs(expected[part]), _CERTAIN * error[part] / tolerance)
        return np.asarray(np.maximum(scales, np.finfo(float).tiny))

    differences = np.empty(value.shape)
    for tile in _tiles(value):
        differences[tile] = np.abs(value[tile] - expected[tile]) / scale(tile)
    place = np.unravel_index(int(np.argmax(differences)), value.shape)
    at = tuple(int(i) for i in place)
    return CheckedQuantity(
        quantity, compared_with, float(differences[place]), at, float(scale(place)), tolerance
    )


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
        Where, of at least one dimension. Some place where nothing is special: away from zero, and
        from any corner.
    tolerance : float
        Of the largest difference of an element, relative to that element. What differences can't
        resolve is allowed beside it.
    name : str
        Of the derivative, in the table and in messages.

    Returns
    -------
    DerivativeCheck
        Prints as a table; ``.passed`` says whether it agrees.

    Raises
    ------
    ValueError, TypeError
        If an argument is unusable, or the gradient has another shape than that of f and w; the
        message names it.

    Notes
    -----
    The step is chosen for each element of w and of f by trial, whatever their sizes, and the error
    of the difference is estimated with it, from the steps beside it and from the rounding of f
    (Numerical Recipes, 5.7; Moré and Wild, 2011). f is computed 8 W times where the first steps
    suit, 50 W times at most, and 60 times for its rounding, which is why one checks with
    differences, and computes without. A callable gradient is computed 60 times, for its rounding.

    Examples
    --------
    >>> check_gradient(lambda w: 0.5 * w @ w, lambda w: w, [1.0, -2.0, 3.0]).passed
    True
    >>> check_gradient(lambda w: 0.5 * w @ w, lambda w: 2 * w, [1.0, -2.0, 3.0]).passed
    False
    """
    if not callable(f):
        raise TypeError(f"f is {f!r}, expected a callable")
    tolerance = real_number("tolerance", tolerance, positive=True)
    x: Array = np.array(as_float64("w", w))
    if x.ndim == 0:
        raise ValueError("w has shape (), expected at least one dimension")
    check_finite("w", x)
    at_x = as_float64("f(w)", f(x.copy()))  # real numbers?
    given = gradient(x.copy()) if callable(gradient) else gradient
    value: Array = np.array(as_float64(name, given))
    _same_shape(name, value, (*at_x.shape, *x.shape))  # before the differences, which take long
    difference = _central_difference(f, x, tolerance)
    rounding = _rounding(gradient, x, EPS) if callable(gradient) else EPS * np.abs(value)
    difference = difference._replace(error=difference.error + rounding)
    return DerivativeCheck((_compare(name, "f", value, difference, tolerance),))


def _same_shape(quantity: str, value: Array, expected: tuple[int, ...]) -> None:
    if value.shape != expected:
        raise ValueError(f"{quantity} has shape {value.shape}, expected {expected}")


def check_derivatives(
    net: Network,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None = None,
    tolerance: float | None = None,
    regularizer: Regularizer | None = None,
) -> DerivativeCheck:
    """The derivatives of a network against central differences, the error's first.

    Each quantity is compared with differences of the one before it (PRML 5.69 of the error, 5.91
    of the gradient): the gradient, of all samples and of each, with those of the error; the exact
    Hessian, its diagonal, its products and its blocks by layer with those of the gradient; both
    Jacobians and their products with those of the outputs; the outputs' Hessian with those of the
    Jacobian. The kinds of a Hessian that are approximations are not checked: they are no
    derivatives of the error.

    Parameters
    ----------
    net : Network
    w : (W,) array
        The weights of a single network; no ensemble (S, W).
    X, T, sample_weight
        As for the methods of `Network`. What has a row of its own for each sample is checked on
        the first 5 samples.
    tolerance : float, optional
        Of the largest difference of an element, relative to that element; 1e-6, for float32 1e-3.
        What differences can't resolve is allowed beside it, and what rounding makes of the
        element in the dtype of the network.
    regularizer : mlpcore.regularizers.Regularizer, optional
        R: the error, its gradient, Hessian, diagonal, products and blocks are those of E + R.

    Returns
    -------
    DerivativeCheck
        Prints as a table; ``.passed`` says whether all agree. An element of the blocks is given
        as that of its block, the layers counted from 0.

    Raises
    ------
    ValueError, TypeError
        If an argument is unusable, or if w is that of an ensemble; the message names it.
    MemoryError
        If the working memory is larger than the memory available; the message states its size.

    Notes
    -----
    The step is chosen for each weight and each element of what is differentiated, by trial, so
    that neither data nor weights need be scaled; see `check_gradient`. The cost is that of 8 W
    errors and 8 W gradients at least and on average of some 10 W, O(N W^2) in all, against O(N W)
    of backpropagation (PRML 5.3.3), and beside them that of 60 Hessians and 60 times its blocks,
    which tell their rounding; 18 W^2 numbers are held. So take a small network, or few samples:
    1500 weights take most of a minute, 6000 a quarter of an hour and 5 GiB. Differences are of the
    network in float64, whatever its dtype.

    What differences can't resolve is not found, and passes: elements that rounding hides, as of
    weights so small, or so many layers deep, that the outputs hardly depend on them, or where a
    sigmoid or softmax output is 0 or 1 to rounding (it is rounded by eps, E by eps times the sum of
    the sample weights, their slopes by that times the inputs of the unit); and what
    depends on a corner of relu or leaky_relu, where a sample's sum into a unit is 0, for there the
    differences mean nothing. A corner nearby, or the rounded one of L1 for weights near 0 where its
    epsilon is small, makes for smaller steps, which resolve less.
    """
    check_network(net)
    if tolerance is None:
        tolerance = 1e-6 if net.dtype == np.float64 else 1e-3
    tolerance = real_number("tolerance", tolerance, positive=True)
    w = weights_of_one(net, w)
    net.error(w, X, T, sample_weight, regularizer=regularizer)  # checks the arguments
    at = w.astype(np.float64)
    X_, T_, s = np.asarray(X, net.dtype), as_numbers("T", T), sample_weight
    if T_.dtype.kind == "f":  # not the labels of classes
        T_ = T_.astype(net.dtype)
        if net.output == "softmax" and T_.ndim == 2 and net.dtype == np.float32:
            # To 1 as the network in float64 sees it, and the same for both networks.
            T_ = (T_ / T_.sum(axis=1, keepdims=True, dtype=np.float64)).astype(net.dtype)
    wide = Network(net.layers, net.hidden, net.output)
    few, few_T = X_[:_ROWS], T_[:_ROWS]
    # Here, as the differences take long before the first array of such a size is asked for.
    largest = max(net.n_weights, net.n_inputs**2) * len(few) * net.n_outputs
    largest = max(largest, net.n_weights**2)
    _core.check_memory("the working memory of check_derivatives", 8.0 * _HELD * largest)
    kind, eps = np.finfo(net.dtype), float(np.finfo(net.dtype).eps)
    # A sure class has an output of 1, and an error of 0 beside it, which rounding leaves so.
    one = 0.0 if net.output == "linear" else 1.0
    total = one * (len(X_) if s is None else float(np.sum(np.asarray(s, np.float64))))
    cornered = not _CORNERED.isdisjoint(net.hidden)
    rows: list[CheckedQuantity] = []

    def differences(
        f: Callable[[Array], Any],
        x: Array,
        magnitudes: Array | None = None,
        level: Array | float = 0.0,
    ) -> _Difference:
        return _central_difference(f, x, tolerance, magnitudes, cornered, EPS * level)

    def add(
        quantity: str,
        compared_with: str,
        compute: Callable[[Array], Any],
        derivative: Array,
        error: Array,
    ) -> None:
        value = _values(compute, at)
        _same_shape(quantity, value, derivative.shape)
        allowed = _rounding(compute, at, eps)
        for tile in _tiles(allowed):
            allowed[tile] += error[tile]
        row = _compare(quantity, compared_with, value, _Difference(derivative, allowed), tolerance)
        rows.append(row)

    R = regularizer
    weights, inputs = _scales(wide, at, X_)
    slope = differences(lambda w: wide.error(w, X_, T_, s, regularizer=R), at, level=total)
    slope, level = weights.rounded(slope, kind, total)
    add("gradient", "error", lambda w: net.gradient(w, X, T_, s, regularizer=R), *slope)

    random = np.random.default_rng(0)
    V = random.standard_normal((3, net.n_weights))
    levels = level * weights.reach
    curve = differences(lambda w: wide.gradient(w, X_, T_, s, regularizer=R), at, level=levels)
    curve, _ = weights.rounded(curve, kind, levels)
    hessian, unsure = _better_half(curve)
    del curve  # two (W, W)
    if R is not None:
        # Of a regularizer of a user the second derivatives may be differences themselves.
        with_R, without = (
            net.hessian_vector_product(w, V, X, T_, s, regularizer=r) for r in (R, None)
        )
        unsure = unsure + eps ** (2 / 3) * np.abs(with_R - without).max(initial=0)
    add("hessian", "gradient", lambda w: net.hessian(w, X, T_, s, regularizer=R), hessian, unsure)
    add(
        "hessian_diagonal",
        "gradient",
        lambda w: net.hessian_diagonal(w, X, T_, s, regularizer=R),
        np.diagonal(hessian),
        np.diagonal(unsure),
    )
    add(
        "hessian_vector_product",
        "gradient",
        lambda w: net.hessian_vector_product(w, V, X, T_, s, regularizer=R),
        V @ hessian,
        np.abs(V) @ unsure,
    )
    ends = np.cumsum([0, *((m + 1) * n for m, n in itertools.pairwise(net.layers))])
    layers = [slice(*pair) for pair in itertools.pairwise(ends.tolist())]
    blocks, unsure_blocks = (
        np.concatenate([matrix[layer, layer].ravel() for layer in layers])
        for matrix in (hessian, unsure)
    )
    del hessian, unsure  # two (W, W)
    add(
        "hessian_blocks",
        "gradient",
        lambda w: np.concatenate(
            [block.ravel() for block in net.hessian_blocks(w, X, T_, s, regularizer=R)]
        ),
        blocks,
        unsure_blocks,
    )
    rows[-1] = rows[-1]._replace(at=_place_in_blocks(rows[-1].at[0], np.diff(ends)))
    del blocks, unsure_blocks

    def errors_of_samples(w: Array) -> Array:
        return np.array([wide.error(w, few[[n]], few_T[[n]]) for n in range(len(few))])

    each, _ = weights.rounded(differences(errors_of_samples, at, level=one), kind, one)
    add("per_sample_gradient", "error", lambda w: net.per_sample_gradient(w, few, few_T), *each)

    by_w = differences(lambda w: wide.forward(w, few), at, level=one)
    by_w, levels = weights.rounded(by_w, kind, one)
    dY = random.standard_normal((len(few), net.n_outputs))
    add("weight_jacobian", "forward", lambda w: net.weight_jacobian(w, few), *by_w)
    v_product = _contract("nkw,w->nk", by_w, V[0])
    add("weight_jvp", "forward", lambda w: net.weight_jvp(w, few, V[0]), *v_product)
    dy_product = _contract("nkw,nk->w", by_w, dY)
    add("weight_vjp", "forward", lambda w: net.weight_vjp(w, few, dY), *dy_product)

    # A step of all samples at once: each has outputs of its own.
    origin, dX = np.zeros(net.n_inputs), random.standard_normal(few.shape)
    wide_few = few.astype(np.float64)
    magnitudes = np.abs(wide_few).max(axis=0, initial=0)
    by_x = differences(lambda step: wide.forward(at, wide_few + step), origin, magnitudes, one)
    by_x, levels = inputs.rounded(by_x, kind, levels)
    add("jacobian", "forward", lambda w: net.jacobian(w, few), *by_x)
    dx_product = _contract("nkd,nd->nk", by_x, dX)
    add("jvp", "forward", lambda w: net.jvp(w, few, dX), *dx_product)
    dy_product = _contract("nkd,nk->nd", by_x, dY)
    add("vjp", "forward", lambda w: net.vjp(w, few, dY), *dy_product)
    levels = levels[..., np.newaxis] * inputs.reach
    bent = differences(lambda step: wide.jacobian(at, wide_few + step), origin, magnitudes, levels)
    bent, _ = inputs.rounded(bent, kind, levels)
    add("output_hessian", "jacobian", lambda w: net.output_hessian(w, few), *bent)
    cost = (
        f"differences for W = {net.n_weights} weights: O(W) errors and gradients of O(W) each, "
        f"O(W^2); backpropagation: O(W)"
    )
    return DerivativeCheck(tuple(rows), cost)


def _place_in_blocks(number: int, sizes: Array) -> tuple[int, int, int]:
    """The block, row and column of an element of square blocks of these sizes, end to end."""
    starts = np.cumsum([0, *sizes**2])
    block = int(np.searchsorted(starts, number, side="right")) - 1
    return (block, *divmod(number - int(starts[block]), int(sizes[block])))


def _better_half(curve: _Difference) -> _Difference:
    """H_ij is the difference of g_i along w_j and of g_j along w_i: the better one."""
    derivative, error = curve
    best = _Difference(np.empty(error.shape), np.empty(error.shape))
    for tile in _tiles(error):
        one, other = error[tile], error[:, tile].T
        best.derivative[tile] = np.where(one <= other, derivative[tile], derivative[:, tile].T)
        best.error[tile] = np.minimum(one, other)
    return best


def _contract(axes: str, difference: _Difference, v: Array) -> _Difference:
    derivative, error = difference
    return _Difference(np.einsum(axes, derivative, v), np.einsum(axes, error, np.abs(v)))


class _Scale(NamedTuple):
    """Of weights or inputs."""

    size: Array  #: of a large change: their size, or what changes the sum into a unit by 1
    reach: Array  #: how much a change of 1 changes the sum into a unit

    def rounded(
        self, difference: _Difference, kind: np.finfo[Any], level: Array | float = 0.0
    ) -> tuple[_Difference, Array]:
        """With what rounding may make of a derivative added to its error, in place; and a level.

        The slope of a saturated unit is a small difference of large numbers, and most of it may be
        rounding. So that is measured by the largest change of f, of its shape, to which a large
        change of one element leads: the level. It is at least that of what f is a derivative of.
        Below the smallest normal number of this kind a derivative may vanish.
        """
        derivative, error = difference
        # Along the last axis first, which in memory is the first.
        slopes, errors = np.moveaxis(derivative, -1, 0), np.moveaxis(error, -1, 0)
        changes = np.zeros(derivative.shape[:-1])
        for tile in _tiles(slopes):
            sizes = self.size[tile].reshape(-1, *(1,) * changes.ndim)
            changes = np.fmax(changes, np.fmax.reduce(np.abs(slopes[tile]) * sizes, axis=0))
        levels: Array = np.maximum(level, changes)
        for tile in _tiles(errors):
            reach = self.reach[tile].reshape(-1, *(1,) * changes.ndim)
            errors[tile] += _LEVEL * (float(kind.eps) * levels + float(kind.tiny)) * reach
        return difference, levels


def _scales(net: Network, w: Array, X: Array) -> tuple[_Scale, _Scale]:
    """Of the weights (W,), and of the inputs (D,)."""
    size, reach, layers = np.empty_like(w), np.empty_like(w), net.unpack(w)
    values = X.astype(np.float64)
    farthest, of_x = np.abs(values).max(axis=0, initial=0), _root_mean_square(layers[0][0])
    inputs = _Scale(np.maximum(farthest, _inverse(of_x)), of_x)
    for i, (W, b) in enumerate(layers):
        net.unpack(reach)[i][0][...] = farthest
        net.unpack(reach)[i][1][...] = 1
        net.unpack(size)[i][0][...] = np.maximum(_root_mean_square(W), _inverse(farthest))
        net.unpack(size)[i][1][...] = np.maximum(_root_mean_square(b), 1)
        if i < len(layers) - 1:
            unit = Network((W.shape[1], len(b), len(b)), net.hidden[i], "linear")
            values = unit.forward(unit.pack([(W, b), (np.eye(len(b)), np.zeros(len(b)))]), values)
            # At least 1, which is about what an activation is rounded by.
            farthest = np.abs(values).max(axis=0, initial=1)
    return _Scale(size, reach), inputs


def _root_mean_square(values: Array) -> Array:
    root: Array = np.sqrt((values**2).mean(axis=0))
    return root


def _inverse(values: Array) -> Array:
    """But of zero 1."""
    return 1 / np.where(values > 0, values, 1)
