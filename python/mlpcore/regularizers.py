"""Regularizers: what is added to the error so that the weights stay where they make sense.

Each is minus the logarithm of a prior over the weights, up to a constant, relative to a noise
precision of 1 (PRML 5.112, 5.121). They add up::

    regularizer = ConsistentPrior([0.1, 0.01]) + L1(0.001)
    mlpcore.train(net, w, X, T, regularizer=regularizer)
    net.hessian(w, X, T, regularizer=regularizer)

Each has its value, gradient, Hessian diagonal and Hessian-vector product, for one network or, with
weights of shape (S, W), for an ensemble. Those here are sums over the weights, which the compiled
core computes. For one of your own derive from `Regularizer`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import _core
from mlpcore.checks import flag, random_generator, real_number, whole_number
from mlpcore.network import Network, check_weights

__all__ = [
    "ARD",
    "L1",
    "ConsistentPrior",
    "LayerDecay",
    "Regularizer",
    "SeparableRegularizer",
    "WeightDecay",
]

Array = NDArray[Any]

_TILE = 1 << 20  # numbers in some rows of a Hessian: 8 MB
_FEW = 30  # times a rounding of a gradient is still rounding


class Regularizer(ABC):
    """A function R(w) that is added to the error.

    A regularizer of your own derives from this class and has `value` and `gradient`; the second
    derivatives are differences of the gradient unless you have better ones. It is called from the
    native loops, for one network at a time: `mlpcore.train`, `mlpcore.minimize` and what calls them
    fit the networks of an ensemble one after the other. `mlpcore.check_gradient` checks it.

    What it is given are copies. Each result is checked: one of another shape is a ValueError, one
    that is not real numbers a TypeError. R(w) may be infinite or NaN where it is not defined, and
    E(w) + R(w) is then too; in `mlpcore.minimize` and `mlpcore.Optimum` a step that ends there is
    shortened. A derivative asked of a network that is not finite is a ValueError, except in
    ``net.error_and_gradient``.

    `mlpcore.train` takes a checkpoint up with the same regularizer alone: one of a class of the
    same name, with the same public attributes. These are compared by value: numbers, text, arrays
    of any size, and tuples, lists, sets, dicts, dataclasses and regularizers of such; of anything
    else it is compared of what class it is, or its name if it is a function. An attribute that
    changes as the regularizer is called has to begin with an underscore.

    Examples
    --------
    >>> class Bound(Regularizer):
    ...     def value(self, net, w):
    ...         return float(np.sum(np.maximum(np.abs(w) - 1, 0) ** 2))
    ...     def gradient(self, net, w):
    ...         return 2 * np.sign(w) * np.maximum(np.abs(w) - 1, 0)
    >>> net = Network((1, 3, 1))
    >>> Bound().value(net, np.full(net.n_weights, 2.0))
    10.0
    """

    @abstractmethod
    def value(self, net: Network, w: Array) -> Any:
        """R(w), a float."""

    @abstractmethod
    def gradient(self, net: Network, w: Array) -> Array:
        """dR/dw, (W,)."""

    def hessian_diagonal(self, net: Network, w: Array) -> Array:
        """d2R/dw_i^2, (W,)."""
        w = _weights_of_one(net, w)
        diagonal, unit = np.empty_like(w), np.zeros_like(w)
        for i in range(w.size):
            unit[i] = 1
            diagonal[i] = _derivative(self, "hessian_vector_product", net, w, unit)[i]
            unit[i] = 0
        return diagonal

    def hessian_vector_product(self, net: Network, w: Array, v: Array) -> Array:
        """(d2R/dw2) v, for v (W,) or (m, W)."""
        w = _weights_of_one(net, w)
        v = _directions(net, w, v)
        if v.ndim == 2:
            rows = [_derivative(self, "hessian_vector_product", net, w, one) for one in v]
            return np.array(rows, w.dtype).reshape(v.shape)  # (0, W) without a row
        length = float(np.linalg.norm(v))
        if length == 0:
            return np.zeros_like(v)
        step = _difference(w) / length
        # A copy, for a gradient may come back in the same array each time.
        ahead = _derivative(self, "gradient", net, w + step * v).copy()
        behind = _derivative(self, "gradient", net, w - step * v)
        product: Array = (ahead - behind) / (2 * step)
        return product

    def __add__(self, other: Regularizer) -> Regularizer:
        if not isinstance(other, Regularizer):
            return NotImplemented
        return _Sum((*_parts(self), *_parts(other)))


class Coefficients(NamedTuple):
    """The coefficients of ``sum_i 1/2 alpha_i w_i^2 + lambda_i (sqrt(w_i^2 + eps^2) - eps)``.

    Attributes
    ----------
    alpha : (W,) float64 array
    absolutes : tuple of (lambda, eps)
        Each lambda (W,).
    """

    alpha: Array
    absolutes: tuple[tuple[Array, float], ...] = ()


class SeparableRegularizer(Regularizer):
    """A sum over the weights; see `coefficients`."""

    @abstractmethod
    def coefficients(self, net: Network) -> Coefficients:
        """The coefficients for the weights of this network.

        Raises
        ------
        ValueError
            If the regularizer is for a network with other layers, or a coefficient is too large for
            the network's dtype.
        """

    def value(self, net: Network, w: ArrayLike) -> Any:
        """R(w), a float, or (S,) for an ensemble."""
        w, (alpha, absolutes) = self._prepared(net, w)
        with _quietly():
            total = 0.5 * np.sum(alpha * w * w, axis=-1)
            for lam, eps in absolutes:
                total = total + np.sum(lam * w * (w / (np.hypot(w, eps) + eps)), axis=-1)
        return total if w.ndim == 2 else float(total)

    def gradient(self, net: Network, w: ArrayLike) -> Array:
        """dR/dw, the shape of w."""
        w, (alpha, absolutes) = self._prepared(net, w)
        with _quietly():
            g = alpha * w
            for lam, eps in absolutes:
                g = g + lam * (w / np.hypot(w, eps))
            return np.asarray(g, net.dtype)

    def hessian_diagonal(self, net: Network, w: ArrayLike) -> Array:
        """d2R/dw_i^2, the shape of w: all there is, as R is a sum over the weights."""
        with _quietly():
            return np.asarray(self._second(net, w), net.dtype)

    def hessian_vector_product(self, net: Network, w: ArrayLike, v: ArrayLike) -> Array:
        """(d2R/dw2) v, for v (W,) or (m, W); with an ensemble (S, W) or (S, m, W)."""
        w = _weights(net, w)
        v, second = _directions(net, w, v), self._second(net, w)
        if second.ndim == 2 and v.ndim == 3:
            second = second[:, np.newaxis]
        with _quietly():
            return np.asarray(second * v, net.dtype)

    def _second(self, net: Network, w: ArrayLike) -> Array:
        w, (alpha, absolutes) = self._prepared(net, w)
        second: Array = np.broadcast_to(alpha, w.shape)
        with _quietly():
            for lam, eps in absolutes:
                root = np.hypot(w, eps)
                # In this order a power of a large or small root can't leave the range.
                second = second + lam * (eps / root) * (eps / root) / root
        return second

    def _prepared(self, net: Network, w: ArrayLike) -> tuple[Array, Coefficients]:
        """The weights, as float64 as the coefficients are, and these, both checked."""
        return _weights(net, w).astype(np.float64), _Sum((self,)).coefficients(net)

    def sample(
        self, net: Network, n: int = 1, seed: int | np.random.Generator | None = None
    ) -> Array:
        """Weights (n, W) drawn from the prior.

        Raises
        ------
        ValueError
            If the prior is improper, that is, leaves some weights free, or is not normal; if n or
            seed is below 0.
        TypeError
            If n is not an integer, or seed neither that nor a NumPy Generator nor None.
        """
        alpha, absolutes = self.coefficients(net)
        if absolutes:
            raise ValueError(f"{self!r} is not normal, expected a normal prior to sample from")
        free = int(np.sum(alpha == 0))
        if free:
            raise ValueError(
                f"{self!r} is improper: it has precision 0 for {free} of {net.n_weights} weights, "
                f"and no sample can be drawn of what is spread over all numbers; expected a "
                f"precision above 0 for each, as LayerDecay can give to the biases"
            )
        n = whole_number("n", n, least=0)
        normal = random_generator(seed).standard_normal((n, net.n_weights))
        weights: Array = (normal / np.sqrt(alpha)).astype(net.dtype)
        return weights


@dataclass(frozen=True)
class WeightDecay(SeparableRegularizer):
    """``alpha / 2 w.w`` (PRML 5.112): one precision for all weights.

    It is not consistent: a linear transformation of the inputs or targets changes which network it
    prefers (PRML 5.5.1).

    Parameters
    ----------
    alpha : float
    biases : bool
        Whether the biases decay as well.
    """

    alpha: float
    biases: bool = True

    def __post_init__(self) -> None:
        real_number("alpha", self.alpha)
        flag("biases", self.biases)

    def coefficients(self, net: Network) -> Coefficients:
        expect_in_range(net, "alpha", self.alpha)
        n_layers = len(net.layers) - 1
        biases = [self.alpha if self.biases else 0.0] * n_layers
        return Coefficients(_by_layer(net, [self.alpha] * n_layers, biases))


@dataclass(frozen=True)
class LayerDecay(SeparableRegularizer):
    """``sum_l alpha_l / 2 |W^l|^2 + beta_l / 2 |b^l|^2``: a precision for each layer.

    With precisions above 0 this is the proper prior of PRML figure 5.11.

    Parameters
    ----------
    weights : sequence of float
        alpha_l, one for each layer of weights.
    biases : sequence of float, or float
        The precisions of the biases, one for each layer or one for all.
    """

    weights: Sequence[float]
    biases: Sequence[float] | float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", _numbers("weights", self.weights))
        if isinstance(self.biases, (Sequence, np.ndarray)):
            object.__setattr__(self, "biases", _numbers("biases", self.biases))
        else:
            real_number("biases", self.biases)

    def coefficients(self, net: Network) -> Coefficients:
        n_layers = len(net.layers) - 1
        biases = self.biases
        of_biases = list(biases) if isinstance(biases, Sequence) else [biases] * n_layers
        for name, given in (("weights", self.weights), ("biases", of_biases)):
            _expect(name, len(given), n_layers, "one for each layer")
        expect_in_range(net, "weights", self.weights)
        expect_in_range(net, "biases", biases)
        return Coefficients(_by_layer(net, self.weights, of_biases))


@dataclass(frozen=True)
class ConsistentPrior(SeparableRegularizer):
    """``sum_l alpha_l / 2 |W^l|^2``: a precision for each layer's weights, none for the biases.

    It is consistent (PRML 5.5.1, 5.121): for the transformed data a x + b, c t + d the equivalent
    of a minimum is a minimum when the precisions are transformed with them, see `transformed`.
    With biases left free it is improper: no samples can be drawn from it, and the evidence is not
    defined.

    Parameters
    ----------
    alphas : sequence of float
        One for each layer of weights.
    """

    alphas: Sequence[float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "alphas", _numbers("alphas", self.alphas))

    def coefficients(self, net: Network) -> Coefficients:
        n_layers = len(net.layers) - 1
        _expect("alphas", len(self.alphas), n_layers, "one for each layer")
        expect_in_range(net, "alphas", self.alphas)
        return Coefficients(_by_layer(net, self.alphas, [0.0] * n_layers))

    def transformed(self, input_scale: float = 1.0, target_scale: float = 1.0) -> ConsistentPrior:
        """The prior for data a x + b, c t + d, a = `input_scale` and c = `target_scale`.

        The weights of the equivalent network are W^1 / a and, for linear outputs, c W^L (PRML 5.115
        to 5.120), and its error is c^2 times as large, so that
        ``alpha_1 -> a^2 c^2 alpha_1``, ``alpha_L -> alpha_L`` and ``alpha_l -> c^2 alpha_l`` for
        the layers between. `mlpcore.scaling.rescale_weights` gives that network.

        Raises
        ------
        TypeError, ValueError
            If a scale is no finite number other than 0, or so large or small that a precision
            would overflow or vanish.
        """
        a = _magnitude("input_scale", input_scale)
        c = _magnitude("target_scale", target_scale)
        roots = [c] * (len(self.alphas) - 1) + [1.0]
        roots[0] *= a
        # In this order what comes out in range is in range all along.
        alphas = [
            alpha and root * alpha * root for alpha, root in zip(self.alphas, roots, strict=True)
        ]
        for i, (alpha, became) in enumerate(zip(self.alphas, alphas, strict=True)):
            if alpha > 0 and not 0 < became < np.inf:
                raise ValueError(
                    f"input_scale is {input_scale} and target_scale {target_scale}, with which "
                    f"alphas[{i}], {alpha}, would become {became}, expected scales that leave it "
                    f"finite and above 0"
                )
        return ConsistentPrior(tuple(alphas))


@dataclass(frozen=True)
class ARD(SeparableRegularizer):
    """Automatic relevance determination: a precision for the weights of each input.

    ``sum_i alpha_i / 2 sum_j (W^1_ji)^2 + others / 2 sum_l>1 |W^l|^2 + biases / 2 sum_l |b^l|^2``
    (MacKay, 1994; Neal, 1996; PRML 7.2.2). A large alpha_i says that input i matters little.

    Parameters
    ----------
    alphas : (D,) sequence of float
    others, biases : float
        The precisions of the weights of all other layers, and of the biases.
    """

    alphas: Sequence[float]
    others: float = 0.0
    biases: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "alphas", _numbers("alphas", self.alphas))
        real_number("others", self.others)
        real_number("biases", self.biases)

    def coefficients(self, net: Network) -> Coefficients:
        n_layers = len(net.layers) - 1
        _expect("alphas", len(self.alphas), net.n_inputs, "one for each input")
        for name in ("alphas", "others", "biases"):
            expect_in_range(net, name, getattr(self, name))
        alpha = _by_layer(net, [self.others] * n_layers, [self.biases] * n_layers)
        first = net.layers[0] * net.layers[1]
        alpha[:first] = np.tile(np.asarray(self.alphas, np.float64), net.layers[1])
        return Coefficients(alpha)


@dataclass(frozen=True)
class L1(SeparableRegularizer):
    """``lambda sum_i (sqrt(w_i^2 + eps^2) - eps)``: the absolute values, smoothed.

    It drives weights that the data do not need to nearly zero (the lasso: Tibshirani, 1996). Within
    about eps of zero it is the parabola ``lambda / (2 eps) w^2``, so that it has two derivatives
    everywhere; a weight with less than that is as good as zero.

    Parameters
    ----------
    strength : float
        lambda.
    epsilon : float
        eps, above 0.
    biases : bool
        Whether the biases are penalized as well.
    """

    strength: float
    epsilon: float = 1e-3
    biases: bool = False

    def __post_init__(self) -> None:
        real_number("strength", self.strength)
        real_number("epsilon", self.epsilon, positive=True)
        flag("biases", self.biases)

    def coefficients(self, net: Network) -> Coefficients:
        expect_in_range(net, "strength", self.strength)
        n_layers = len(net.layers) - 1
        of_biases = self.strength if self.biases else 0.0
        lam = _by_layer(net, [self.strength] * n_layers, [of_biases] * n_layers)
        return Coefficients(np.zeros(net.n_weights), ((lam, float(self.epsilon)),))


class _Sum(SeparableRegularizer):
    """A sum of regularizers; separable if all are."""

    def __init__(self, parts: tuple[Regularizer, ...]) -> None:
        self.parts = parts

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts))

    def __eq__(self, other: object) -> bool:
        return self.parts == other.parts if isinstance(other, _Sum) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.parts)

    def coefficients(self, net: Network) -> Coefficients:
        alpha: Array = np.zeros(net.n_weights)
        absolutes: list[tuple[Array, float]] = []
        for part in self.parts:
            if not isinstance(part, SeparableRegularizer):
                raise TypeError(f"{part!r} is not a sum over the weights")
            own_alpha, own_absolutes = part.coefficients(net)
            for array in (own_alpha, *(lam for lam, _ in own_absolutes)):
                if np.shape(array) != alpha.shape:
                    raise ValueError(
                        f"the regularizer's coefficients have shape {np.shape(array)}, expected "
                        f"{alpha.shape}"
                    )
            with _quietly():
                alpha = alpha + own_alpha
            absolutes += own_absolutes
        # Each may be in range where their sum is not, and one of a user may be anything.
        for array in (alpha, *(lam for lam, _ in absolutes)):
            expect_in_range(net, "the regularizer's coefficients", array)
        return Coefficients(alpha, tuple(absolutes))

    def value(self, net: Network, w: ArrayLike) -> Any:
        w = _weights(net, w)
        return sum(_value(part, net, w) for part in _parts_of(net, self))

    def gradient(self, net: Network, w: ArrayLike) -> Array:
        return self._total("gradient", net, w)

    def hessian_diagonal(self, net: Network, w: ArrayLike) -> Array:
        return self._total("hessian_diagonal", net, w)

    def hessian_vector_product(self, net: Network, w: ArrayLike, v: ArrayLike) -> Array:
        w = _weights(net, w)
        return self._total("hessian_vector_product", net, w, _directions(net, w, v))

    def _total(self, method: str, net: Network, w: ArrayLike, v: Array | None = None) -> Array:
        w = _weights(net, w)
        first, *others = _parts_of(net, self)
        total = _derivative(first, method, net, w, v)
        with _quietly():
            for part in others:
                total = total + _derivative(part, method, net, w, v)
        return total


class _Known(SeparableRegularizer):
    """A sum over the weights of one network, by its coefficients."""

    def __init__(self, coefficients: Coefficients) -> None:
        self._coefficients = coefficients

    def coefficients(self, net: Network) -> Coefficients:
        return self._coefficients

    def _prepared(self, net: Network, w: ArrayLike) -> tuple[Array, Coefficients]:
        return _weights(net, w).astype(np.float64), self._coefficients  # checked already


def _parts(regularizer: Regularizer) -> tuple[Regularizer, ...]:
    return regularizer.parts if isinstance(regularizer, _Sum) else (regularizer,)


def _parts_of(net: Network, regularizer: Regularizer) -> tuple[Regularizer, ...]:
    """The parts, those that are sums over the weights as one whose coefficients are computed."""
    parts = _parts(regularizer)
    if isinstance(parts[0], _Known):  # they come from here
        return parts
    separable = tuple(part for part in parts if isinstance(part, SeparableRegularizer))
    own = tuple(part for part in parts if not isinstance(part, SeparableRegularizer))
    return (_Known(_Sum(separable).coefficients(net)), *own) if separable else own


# Results of regularizers, of which some are a user's ---------------------------------------------


def _value(part: Regularizer, net: Network, w: Array) -> Any:
    """R(w), a float, or (S,) for an ensemble."""
    given = part.value(net, w.copy())
    if np.shape(given) != w.shape[:-1]:
        expected = "a number" if w.ndim == 1 else w.shape[:-1]
        raise ValueError(
            f"the regularizer's value has shape {np.shape(given)}, expected {expected}"
        )
    if w.ndim == 2:
        return given
    if isinstance(given, np.ndarray):
        given = given[()]
    try:
        # float would read a text, and drop an imaginary part.
        if isinstance(given, (str, bytes, complex, np.complexfloating)):
            raise TypeError
        return float(given)
    except (TypeError, ValueError):
        raise TypeError(f"the regularizer's value is {given!r}, expected a number") from None


def _derivative(
    part: Regularizer, method: str, net: Network, w: Array, v: Array | None = None
) -> Array:
    """The result of this method, of the shape of w, or of v for a product."""
    given = getattr(part, method)(net, w.copy(), *(() if v is None else (v.copy(),)))
    array = _core.as_array(f"the regularizer's {method}", given, net.dtype == np.float64)
    expected = w.shape if v is None else v.shape
    if array.shape != expected:
        raise ValueError(f"the regularizer's {method} has shape {array.shape}, expected {expected}")
    return array


def _finite(quantity: str, method: str, array: Array) -> Array:
    if not np.isfinite(array).all():
        at = np.argwhere(~np.isfinite(array))[0].tolist()
        number = array[tuple(at)]
        raise ValueError(f"{quantity} is not finite: the regularizer's {method}{at} is {number}")
    return array


# What calls them ---------------------------------------------------------------------------------


class Terms:
    """R(w) and its derivatives, added to those of the error, for one network or an ensemble.

    To make one checks the arguments; no regularizer of a user is called yet.
    """

    def __init__(self, net: Network, w: ArrayLike, regularizer: Regularizer) -> None:
        check_regularizer(regularizer)
        self._net, self._w = net, _weights(net, w)
        self._parts = _parts_of(net, regularizer)
        self._is_ensemble = self._w.ndim == 2

    def value(self) -> Any:
        """R(w), (S,) for an ensemble."""
        values = [
            sum(_value(part, self._net, one) for part in self._parts)
            for one in np.atleast_2d(self._w)
        ]
        return np.array(values) if self._is_ensemble else values[0]

    def add_gradient(self, g: Array, finite: bool = True) -> Array:
        """g, of the shape of w, with dR/dw added; `finite` is whether all of it must be."""
        for to, one in zip(np.atleast_2d(g), np.atleast_2d(self._w), strict=True):
            for part in self._parts:
                slope = _derivative(part, "gradient", self._net, one)
                to += _finite("the gradient", "gradient", slope) if finite else slope
        return g

    def add_diagonal(self, h: Array) -> Array:
        """h, of the shape of w, with d2R/dw_i^2 added."""
        for to, one in zip(np.atleast_2d(h), np.atleast_2d(self._w), strict=True):
            for part in self._parts:
                to += self._second(part, "hessian_diagonal", one)
        return h

    def add_hessian(self, H: Array) -> Array:
        """H (W, W) or (S, W, W) with d2R/dw2 added."""
        for to, one in zip(H.reshape(-1, *H.shape[-2:]), np.atleast_2d(self._w), strict=True):
            self._add_block(to, one, 0)
        return H

    def add_blocks(self, blocks: list[Array]) -> list[Array]:
        """The blocks by layer with those of d2R/dw2 added."""
        start = 0
        for block in blocks:
            every = block.reshape(-1, *block.shape[-2:])
            for to, one in zip(every, np.atleast_2d(self._w), strict=True):
                self._add_block(to, one, start)
            start += block.shape[-1]
        return blocks

    def add_product(self, p: Array, v: ArrayLike) -> Array:
        """p, of the shape of v, with (d2R/dw2) v added."""
        v = np.asarray(v, self._net.dtype)
        networks = zip(p, self._w, v, strict=True) if self._is_ensemble else [(p, self._w, v)]
        for to, one, along in networks:
            for part in self._parts:
                to += self._second(part, "hessian_vector_product", one, along)
        return p

    def _second(self, part: Regularizer, method: str, w: Array, v: Array | None = None) -> Array:
        return _finite("the Hessian", method, _derivative(part, method, self._net, w, v))

    def _add_block(self, to: Array, w: Array, start: int) -> None:
        """Adds to a symmetric `to` (n, n) the d2R/dw2 of the n weights from `start`.

        Some rows at a time, so that little memory is needed beside it. It stays symmetric to the
        last bit: an element and its mirror image get the same numbers in the same order.
        """
        n = len(to)
        end, step = start + n, max(1, _TILE // w.size)
        for part in self._parts:
            if isinstance(part, SeparableRegularizer):
                diagonal = self._second(part, "hessian_diagonal", w)
                np.einsum("ii->i", to)[:] += diagonal[start:end]
                continue
            for i in range(0, n, step):
                j = min(i + step, n)
                unit = np.eye(j - i, w.size, start + i, dtype=w.dtype)
                rows = self._second(part, "hessian_vector_product", w, unit)[:, start:end]
                half = 0.5 * rows
                to[i:j, i:j] += half[:, i:j] + half[:, i:j].T
                for others in (slice(i), slice(j, n)):
                    to[i:j, others] += half[:, others]
                    to[others, i:j] += half[:, others].T


def _is_separable(regularizer: Regularizer) -> bool:
    return all(isinstance(part, SeparableRegularizer) for part in _parts(regularizer))


class _Computer:
    """A regularizer of a user, as the native loops call it.

    A result that is not finite is theirs to judge.
    """

    def __init__(self, net: Network, regularizer: Regularizer) -> None:
        self._net, self._regularizer = net, _Sum(_parts_of(net, regularizer))

    def value(self, w: Array) -> float:
        return float(self._regularizer.value(self._net, w))

    def gradient(self, w: Array) -> Array:
        return self._regularizer.gradient(self._net, w)

    def hessian_vector_product(self, w: Array, v: Array) -> Array:
        return self._regularizer.hessian_vector_product(self._net, w, v)

    def hessian_diagonal(self, w: Array) -> Array:
        return self._regularizer.hessian_diagonal(self._net, w)


def as_penalty(
    net: Network, weight_decay: ArrayLike, regularizer: Regularizer | None
) -> tuple[ArrayLike, object]:
    """The weight decay and the penalty as the native loops take them."""
    if regularizer is None:
        return weight_decay, None
    check_regularizer(regularizer)
    if _is_separable(regularizer):
        alpha, absolutes = _Sum(_parts(regularizer)).coefficients(net)
        # As float64: what is too large for the network's dtype is refused where it is narrowed.
        return weight_decay, (alpha, absolutes)
    if np.ndim(weight_decay) != 0:
        raise ValueError(
            "weight_decay has a number for each weight, expected a single one beside a "
            "regularizer of your own"
        )
    combined = with_weight_decay(weight_decay, regularizer)
    assert combined is not None  # for regularizer is not
    return 0.0, _Computer(net, combined)


def with_weight_decay(
    weight_decay: ArrayLike, regularizer: Regularizer | None
) -> Regularizer | None:
    """``weight_decay / 2 w.w + R(w)`` as one regularizer; None if there is neither."""
    decay = real_number("weight_decay", weight_decay)
    if regularizer is None:
        return WeightDecay(decay) if decay else None
    check_regularizer(regularizer)
    return WeightDecay(decay) + regularizer if decay else regularizer


def real_curvature(net: Network, w: Array, regularizer: Regularizer) -> Array:
    """d2R/dw_i^2, (W,), with 0 for differences of the gradient that may be its rounding alone."""
    total, method = np.zeros(w.size), "hessian_diagonal"
    for part in _parts_of(net, regularizer):
        second = _finite("the Hessian", method, _derivative(part, method, net, w))
        if _has_differences(part):
            slope = np.abs(_derivative(part, "gradient", net, w)).max()
            rounding = _FEW * np.finfo(w.dtype).eps * slope / _difference(w)
            second = np.where(np.abs(second) > rounding, second, 0)
        total += second
    return total


def _has_differences(part: Regularizer) -> bool:
    """Whether neither of its second derivatives is its own."""
    kind, base = type(part), Regularizer
    return (
        kind.hessian_diagonal is base.hessian_diagonal
        and kind.hessian_vector_product is base.hessian_vector_product
    )


def n_free_weights(net: Network, regularizer: Regularizer | None) -> int:
    """How many weights R is constant in; of a regularizer of a user, who knows, 0."""
    if regularizer is None:
        return net.n_weights
    if not _is_separable(regularizer):
        return 0
    alpha, absolutes = _Sum(_parts(regularizer)).coefficients(net)
    strength = sum((lam for lam, _ in absolutes), alpha)
    return int(np.count_nonzero(strength == 0))


def check_regularizer(regularizer: object) -> None:
    """A TypeError unless this is a Regularizer."""
    if not isinstance(regularizer, Regularizer):
        raise TypeError(
            f"regularizer is a {type(regularizer).__name__}, expected a "
            f"mlpcore.regularizers.Regularizer or None"
        )


def description(value: object) -> str:
    """What tells a regularizer from another in any process; of those here it is the repr."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(description, value))}{',' * (len(value) == 1)})"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(description, value)))}}}"
    if isinstance(value, dict):
        items = (f"{description(key)}: {description(held)}" for key, held in value.items())
        return f"{{{', '.join(sorted(items))}}}"
    if isinstance(value, _Sum):
        return " + ".join(map(description, value.parts))
    kind = type(value)
    if isinstance(value, Regularizer) or (is_dataclass(value) and not isinstance(value, type)):
        state = (f"{name}={description(held)}" for name, held in _public(value))
        return f"{kind.__qualname__}({', '.join(state)})"
    if hasattr(kind, "__array__"):
        return _description_of_array(np.asarray(value))
    return str(getattr(value, "__qualname__", kind.__qualname__))


def _public(value: object) -> list[tuple[str, object]]:
    """The public attributes, those in slots as well."""
    slots = (getattr(kind, "__slots__", ()) for kind in type(value).__mro__)
    names = [name for some in slots for name in ((some,) if isinstance(some, str) else some)]
    names += getattr(value, "__dict__", {})
    return [
        (name, getattr(value, name))
        for name in names
        if not name.startswith("_") and hasattr(value, name)
    ]


def _description_of_array(array: Array) -> str:
    import hashlib  # takes some milliseconds to import

    if array.dtype.hasobject:
        return f"array({description(array.tolist())})"
    total = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return f"array({array.dtype.str}, {array.shape}, {total})"


def expect_in_range(net: Network, name: str, numbers: ArrayLike) -> None:
    """A ValueError unless the network's dtype can hold all of these numbers."""
    array = np.asarray(numbers, np.float64)
    too_large = np.argwhere(array > np.finfo(net.dtype).max)
    if len(too_large):
        at = too_large[0].tolist()
        place = f"{name}{at}" if at else name
        raise ValueError(f"{place} is {array[tuple(at)]}, which is too large for {net.dtype.name}")


def _quietly() -> np.errstate:
    """NumPy does not warn: what is too large is infinite, as in the compiled loops."""
    return np.errstate(over="ignore", invalid="ignore")


def _weights(net: Network, w: ArrayLike) -> Array:
    return check_weights(net, _core.as_array("w", w, net.dtype == np.float64))


def _difference(w: Array) -> float:
    """How far apart from w gradients are taken for a second derivative."""
    return float(np.cbrt(np.finfo(w.dtype).eps)) * max(1.0, float(np.linalg.norm(w)))


def _weights_of_one(net: Network, w: ArrayLike) -> Array:
    array = _weights(net, w)
    if array.ndim != 1:
        raise ValueError(
            f"w has shape {array.shape}, expected ({net.n_weights},), one network at a time"
        )
    return array


def _directions(net: Network, w: Array, v: ArrayLike) -> Array:
    """v, checked as the network checks it, but that it is finite, which w need not be either."""
    array: Array = _core.as_array("v", v, net.dtype == np.float64)
    width, front = net.n_weights, w.shape[:-1]
    if (
        array.ndim not in (w.ndim, w.ndim + 1)
        or array.shape[-1] != width
        or array.shape[: len(front)] != front
    ):
        networks = "".join(f"{n}, " for n in front)
        raise ValueError(
            f"v has shape {array.shape}, expected {w.shape} or, for m vectors, "
            f"({networks}m, {width})"
        )
    return array


def _by_layer(net: Network, weights: Sequence[float], biases: Sequence[float]) -> Array:
    """(W,) numbers from one for the weights and one for the biases of each layer."""
    pairs = zip(net.layers[:-1], net.layers[1:], weights, biases, strict=True)
    parts = [np.repeat([a, b], [n_in * n_out, n_out]) for n_in, n_out, a, b in pairs]
    numbers: Array = np.concatenate(parts).astype(np.float64)
    return numbers


def _numbers(name: str, values: object) -> tuple[float, ...]:
    if isinstance(values, str) or not isinstance(values, (Sequence, np.ndarray)):
        raise TypeError(f"{name} is {values!r}, expected a sequence of numbers")
    if len(values) == 0:
        raise ValueError(f"{name} is empty, expected at least one number")
    return tuple(real_number(f"{name}[{i}]", value) for i, value in enumerate(values))


def _magnitude(name: str, value: Any) -> float:
    """|value|, above 0; what is no real number has none."""
    negative = isinstance(value, Real) and value < 0
    return real_number(name, -value if negative else value, positive=True)


def _expect(name: str, n: int, expected: int, why: str) -> None:
    if n != expected:
        raise ValueError(f"{name} has {n} numbers, expected {expected}, {why}")
