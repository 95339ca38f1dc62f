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
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import _core
from mlpcore.checks import flag, real_number, whole_number
from mlpcore.network import Network

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


class Regularizer(ABC):
    """A function R(w) that is added to the error.

    A regularizer of your own derives from this class and has `value` and `gradient`; the second
    derivatives are differences of the gradient unless you have better ones. It is called from the
    native loops, for one network at a time: `mlpcore.train` and what calls it train the networks of
    an ensemble one after the other, and `mlpcore.minimize` takes no ensemble with it.
    `mlpcore.check_gradient` checks it.

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
        unit = np.eye(net.n_weights, dtype=w.dtype)
        return np.array([self.hessian_vector_product(net, w, e)[i] for i, e in enumerate(unit)])

    def hessian_vector_product(self, net: Network, w: Array, v: Array) -> Array:
        """(d2R/dw2) v, for v (W,) or (m, W)."""
        if v.ndim == 2:
            return np.array([self.hessian_vector_product(net, w, one) for one in v])
        length = float(np.linalg.norm(v))
        if length == 0:
            return np.zeros_like(v)
        step = np.cbrt(np.finfo(w.dtype).eps) * max(1.0, float(np.linalg.norm(w))) / length
        ahead, behind = self.gradient(net, w + step * v), self.gradient(net, w - step * v)
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
            If the regularizer is for a network with other layers.
        """

    def value(self, net: Network, w: ArrayLike) -> Any:
        """R(w), a float, or (S,) for an ensemble."""
        w = _weights(net, w)
        alpha, absolutes = self.coefficients(net)
        total = 0.5 * np.sum(alpha * w * w, axis=-1)
        for lam, eps in absolutes:
            total = total + np.sum(lam * w * (w / (np.hypot(w, eps) + eps)), axis=-1)
        return total if w.ndim == 2 else float(total)

    def gradient(self, net: Network, w: ArrayLike) -> Array:
        """dR/dw, the shape of w."""
        w = _weights(net, w)
        alpha, absolutes = self.coefficients(net)
        g = alpha * w
        for lam, eps in absolutes:
            g = g + lam * w / np.hypot(w, eps)
        return np.asarray(g, net.dtype)

    def hessian_diagonal(self, net: Network, w: ArrayLike) -> Array:
        """d2R/dw_i^2, the shape of w: all there is, as R is a sum over the weights."""
        return np.asarray(self._second(net, _weights(net, w)), net.dtype)

    def hessian_vector_product(self, net: Network, w: ArrayLike, v: ArrayLike) -> Array:
        """(d2R/dw2) v, for v (W,) or (m, W); with an ensemble (S, W) or (S, m, W)."""
        w = _weights(net, w)
        second, v = self._second(net, w), np.asarray(v)
        if w.ndim == 2 and v.ndim == 3:
            second = second[:, np.newaxis]
        return np.asarray(second * v, net.dtype)

    def _second(self, net: Network, w: Array) -> Array:
        alpha, absolutes = self.coefficients(net)
        second: Array = np.broadcast_to(alpha, w.shape)
        for lam, eps in absolutes:
            second = second + lam * eps**2 / np.hypot(w, eps) ** 3
        return second

    def sample(self, net: Network, n: int = 1, seed: int | None = None) -> Array:
        """Weights (n, W) drawn from the prior.

        Raises
        ------
        ValueError
            If the prior is improper, that is, leaves some weights free, or is not normal.
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
        normal = np.random.default_rng(seed).standard_normal((n, net.n_weights))
        return (normal / np.sqrt(alpha)).astype(net.dtype)


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
        return Coefficients(_by_layer(net, self.alphas, [0.0] * n_layers))

    def transformed(self, input_scale: float = 1.0, target_scale: float = 1.0) -> ConsistentPrior:
        """The prior for data a x + b, c t + d, a = `input_scale` and c = `target_scale`.

        The weights of the equivalent network are W^1 / a and, for linear outputs, c W^L (PRML 5.115
        to 5.120), and its error is c^2 times as large, so that
        ``alpha_1 -> a^2 c^2 alpha_1``, ``alpha_L -> alpha_L`` and ``alpha_l -> c^2 alpha_l`` for
        the layers between. `mlpcore.scaling.rescale_weights` gives that network.
        """
        a = real_number("input_scale", abs(input_scale), positive=True)
        c = real_number("target_scale", abs(target_scale), positive=True)
        alphas = [c**2 * alpha for alpha in self.alphas]
        alphas[0] *= a**2
        alphas[-1] /= c**2
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
            own = part.coefficients(net)
            alpha = alpha + own.alpha
            absolutes += own.absolutes
        return Coefficients(alpha, tuple(absolutes))

    def value(self, net: Network, w: ArrayLike) -> Any:
        w = np.asarray(w)
        return sum(part.value(net, w) for part in self.parts)

    def gradient(self, net: Network, w: ArrayLike) -> Array:
        w = np.asarray(w)
        total: Array = np.sum([part.gradient(net, w) for part in self.parts], axis=0)
        return total

    def hessian_diagonal(self, net: Network, w: ArrayLike) -> Array:
        w = np.asarray(w)
        total: Array = np.sum([part.hessian_diagonal(net, w) for part in self.parts], axis=0)
        return total

    def hessian_vector_product(self, net: Network, w: ArrayLike, v: ArrayLike) -> Array:
        w, v = np.asarray(w), np.asarray(v)
        total: Array = np.sum(
            [part.hessian_vector_product(net, w, v) for part in self.parts], axis=0
        )
        return total


def _parts(regularizer: Regularizer) -> tuple[Regularizer, ...]:
    return regularizer.parts if isinstance(regularizer, _Sum) else (regularizer,)


class Terms:
    """R(w) and its derivatives, added to those of the error, for one network or an ensemble."""

    def __init__(self, net: Network, w: ArrayLike, regularizer: Regularizer) -> None:
        check_regularizer(regularizer)
        self._net, self._w, self._regularizer = net, _weights(net, w), regularizer
        self._is_ensemble = self._w.ndim == 2

    def value(self) -> Any:
        """R(w), (S,) for an ensemble."""
        values = [self._regularizer.value(self._net, one) for one in np.atleast_2d(self._w)]
        return np.array(values) if self._is_ensemble else values[0]

    def add_gradient(self, g: Array) -> Array:
        """g, of the shape of w, with dR/dw added."""
        for to, one in zip(np.atleast_2d(g), np.atleast_2d(self._w), strict=True):
            to += self._regularizer.gradient(self._net, one)
        return g

    def add_diagonal(self, h: Array) -> Array:
        """h, of the shape of w, with d2R/dw_i^2 added."""
        for to, one in zip(np.atleast_2d(h), np.atleast_2d(self._w), strict=True):
            to += self._regularizer.hessian_diagonal(self._net, one)
        return h

    def add_hessian(self, H: Array) -> Array:
        """H (W, W) or (S, W, W) with d2R/dw2 added."""
        for to, one in zip(H.reshape(-1, *H.shape[-2:]), np.atleast_2d(self._w), strict=True):
            if _is_separable(self._regularizer):
                np.einsum("ii->i", to)[:] += self._regularizer.hessian_diagonal(self._net, one)
            else:
                second = self._matrix(one)
                to += 0.5 * (second + second.T)
        return H

    def add_blocks(self, blocks: list[Array]) -> list[Array]:
        """The blocks by layer with those of d2R/dw2 added."""
        ends = np.cumsum([block.shape[-1] for block in blocks])
        for s, one in enumerate(np.atleast_2d(self._w)):
            if _is_separable(self._regularizer):
                second = np.diag(self._regularizer.hessian_diagonal(self._net, one))
            else:
                second = self._matrix(one)
            for block, end in zip(blocks, ends, strict=True):
                rows = slice(end - block.shape[-1], end)
                block.reshape(-1, *block.shape[-2:])[s] += second[rows, rows]
        return blocks

    def add_product(self, p: Array, v: ArrayLike) -> Array:
        """p, of the shape of v, with (d2R/dw2) v added."""
        v = np.asarray(v, self._net.dtype)
        if not self._is_ensemble:
            p += self._regularizer.hessian_vector_product(self._net, self._w, v)
            return p
        for to, one, along in zip(p, self._w, v, strict=True):
            to += self._regularizer.hessian_vector_product(self._net, one, along)
        return p

    def _matrix(self, w: Array) -> Array:
        unit = np.eye(self._net.n_weights, dtype=w.dtype)
        return self._regularizer.hessian_vector_product(self._net, w, unit)


def _is_separable(regularizer: Regularizer) -> bool:
    return all(isinstance(part, SeparableRegularizer) for part in _parts(regularizer))


class _Computer:
    """A regularizer of a user, as the native loops call it; its results are checked there."""

    def __init__(self, net: Network, regularizer: Regularizer) -> None:
        self._net, self._regularizer = net, regularizer

    def value(self, w: Array) -> float:
        return float(self._regularizer.value(self._net, w))

    def gradient(self, w: Array) -> Array:
        return self._regularizer.gradient(self._net, w)

    def product(self, w: Array, v: Array) -> Array:
        return self._regularizer.hessian_vector_product(self._net, w, v)

    def diagonal(self, w: Array) -> Array:
        return self._regularizer.hessian_diagonal(self._net, w)


def as_penalty(
    net: Network,
    weight_decay: ArrayLike,
    regularizer: Regularizer | None,
    side_by_side: bool = False,
) -> tuple[ArrayLike, object]:
    """The weight decay and the penalty as the native loops take them.

    `side_by_side` is whether they are for the networks of an ensemble at once, on threads that
    can't call Python.
    """
    if regularizer is None:
        return weight_decay, None
    check_regularizer(regularizer)
    if _is_separable(regularizer):
        alpha, absolutes = _Sum(_parts(regularizer)).coefficients(net)
        return weight_decay, (alpha.astype(net.dtype), absolutes)
    if side_by_side:
        raise ValueError(
            f"regularizer {regularizer!r} came with an ensemble of networks, expected one of "
            f"mlpcore.regularizers"
        )
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


def n_free_weights(net: Network, regularizer: Regularizer | None) -> int:
    """How many weights R is constant in; of a regularizer of a user, who knows, 0."""
    if regularizer is None:
        return net.n_weights
    if not _is_separable(regularizer):
        return 0
    alpha, absolutes = _Sum(_parts(regularizer)).coefficients(net)
    strength = sum((lam for lam, _ in absolutes), alpha)
    return int(np.count_nonzero(strength == 0))


def is_called(penalty: object) -> bool:
    """Whether the native loops call Python for this penalty of `as_penalty`."""
    return isinstance(penalty, _Computer)


def check_regularizer(regularizer: object) -> None:
    """A TypeError unless this is a Regularizer."""
    if not isinstance(regularizer, Regularizer):
        raise TypeError(
            f"regularizer is a {type(regularizer).__name__}, expected a "
            f"mlpcore.regularizers.Regularizer or None"
        )


def _weights(net: Network, w: ArrayLike) -> Array:
    array: Array = _core.as_array("w", w, net.dtype == np.float64)
    if array.ndim not in (1, 2) or array.shape[-1] != net.n_weights:
        raise ValueError(
            f"w has shape {array.shape}, expected ({net.n_weights},) or (S, {net.n_weights})"
        )
    return array


def _by_layer(net: Network, weights: Sequence[float], biases: Sequence[float]) -> Array:
    """(W,) numbers from one for the weights and one for the biases of each layer."""
    pairs = zip(net.layers[:-1], net.layers[1:], weights, biases, strict=True)
    parts = [np.repeat([a, b], [n_in * n_out, n_out]) for n_in, n_out, a, b in pairs]
    return np.concatenate(parts).astype(np.float64)


def _numbers(name: str, values: object) -> tuple[float, ...]:
    if isinstance(values, str) or not isinstance(values, (Sequence, np.ndarray)):
        raise TypeError(f"{name} is {values!r}, expected a sequence of numbers")
    if len(values) == 0:
        raise ValueError(f"{name} is empty, expected at least one number")
    return tuple(real_number(f"{name}[{i}]", value) for i, value in enumerate(values))


def _expect(name: str, n: int, expected: int, why: str) -> None:
    if n != expected:
        raise ValueError(f"{name} has {n} numbers, expected {expected}, {why}")
