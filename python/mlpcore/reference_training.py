"""What `mlpcore.train` is made of in plain NumPy, to read and to test against: regularizers,
schedules of the learning rate, and the steps of the optimizers of first order.

Layers are ``(D, M1, ..., K)``, weights the flat vector w of `mlpcore.reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Penalty",
    "adam",
    "adamw",
    "ard",
    "clip",
    "consistent_prior",
    "cosine",
    "l1",
    "layer_decay",
    "nesterov",
    "normal_prior",
    "one_cycle",
    "plateau",
    "rprop",
    "sgd",
    "step",
    "weight_decay",
]

Array = NDArray[Any]
Step = Callable[[Array, Array, float], Array]


class Penalty(NamedTuple):
    """R(w), dR/dw and d2R/dw_i^2; all there is of second order, as R is a sum over the weights."""

    value: float
    gradient: Array
    hessian_diagonal: Array


# Regularizers


def normal_prior(w: Array, alpha: Array) -> Penalty:
    """sum_i 1/2 alpha_i w_i^2: normal priors of precision alpha (W,)."""
    return Penalty(0.5 * float(np.sum(alpha * w**2)), alpha * w, alpha)


def weight_decay(w: Array, alpha: float) -> Penalty:
    """alpha/2 w.w (PRML 5.112)."""
    return normal_prior(w, np.full(len(w), alpha))


def layer_decay(
    layers: Sequence[int], w: Array, weights: Sequence[float], biases: Sequence[float]
) -> Penalty:
    """sum_l alpha_l/2 |W^l|^2 + beta_l/2 |b^l|^2 (the priors of PRML figure 5.11)."""
    alpha: list[float] = []
    for layer, (of_weights, of_biases) in enumerate(zip(weights, biases, strict=True)):
        n_in, n_out = layers[layer], layers[layer + 1]
        alpha += [of_weights] * (n_in * n_out) + [of_biases] * n_out
    return normal_prior(w, np.array(alpha))


def consistent_prior(layers: Sequence[int], w: Array, alphas: Sequence[float]) -> Penalty:
    """sum_l alpha_l/2 |W^l|^2, the biases free (PRML 5.121)."""
    return layer_decay(layers, w, alphas, [0.0] * len(alphas))


def ard(
    layers: Sequence[int], w: Array, alphas: Sequence[float], others: float, biases: float
) -> Penalty:
    """sum_i alpha_i/2 sum_j (W^1_ji)^2, and others/2, biases/2 times what is left (PRML 7.2.2)."""
    n_layers = len(layers) - 1
    alpha = layer_decay(layers, w, [others] * n_layers, [biases] * n_layers).hessian_diagonal
    for unit in range(layers[1]):
        for i in range(layers[0]):
            alpha[unit * layers[0] + i] = alphas[i]
    return normal_prior(w, alpha)


def l1(w: Array, strengths: Array, epsilon: float) -> Penalty:
    """sum_i lambda_i (sqrt(w_i^2 + eps^2) - eps), with lambda (W,)."""
    root = np.sqrt(w**2 + epsilon**2)
    return Penalty(
        float(np.sum(strengths * (root - epsilon))),
        strengths * w / root,
        strengths * epsilon**2 / root**3,
    )


# Schedules: the share of the learning rate when `done` of `epochs` epochs are over


def step(done: float, every: int, factor: float) -> float:
    """Multiplied by `factor` every so many epochs."""
    return float(factor ** np.floor(done / every))


def cosine(done: float, epochs: int, final: float) -> float:
    """From 1 to `final` by half a cosine (Loshchilov and Hutter, 2017, equation 5)."""
    return float(final + (1 - final) * (1 + np.cos(np.pi * done / epochs)) / 2)


def one_cycle(done: float, epochs: int, warmup: float, start: float, final: float) -> float:
    """From `start` to 1 in the part `warmup`, then to `final` (Smith and Topin, 2018)."""
    progress = done / epochs
    if progress < warmup:
        return _rise(start, progress / warmup)
    return cosine((progress - warmup) / (1 - warmup), 1, final)


def _rise(start: float, part: float) -> float:
    return float(1 + (start - 1) * (1 + np.cos(np.pi * part)) / 2)


def plateau(errors: Sequence[float], patience: int, factor: float, min_delta: float) -> float:
    """The share after these errors: multiplied by `factor` for each `patience` epochs in a row
    without an improvement by more than `min_delta`."""
    best, since, share = np.inf, 0, 1.0
    for epoch, error in enumerate(errors):
        if error < best - min_delta:
            best, since = error, epoch
        if epoch - since >= patience:
            share, since = share * factor, epoch
    return share


# Optimizers: each returns a function (w, g, rate) -> w that keeps its state


def clip(g: Array, norm: float) -> Array:
    """g, shortened to `norm` if it is longer (Pascanu, Mikolov and Bengio, 2013)."""
    largest = np.abs(g).max(initial=0.0)  # taken out, for the squares may overflow
    length = largest * np.sqrt(np.sum((g / largest) ** 2)) if largest > 0 else 0.0
    clipped: Array = g * (norm / length) if length > norm else g
    return clipped


def sgd(momentum: float) -> Step:
    """v = momentum v - rate g, w = w + v (Polyak, 1964)."""
    v: Any = 0.0

    def advance(w: Array, g: Array, rate: float) -> Array:
        nonlocal v
        v = momentum * v - rate * g
        new: Array = w + v
        return new

    return advance


def nesterov(momentum: float) -> Step:
    """v = momentum v - rate g, w = w + momentum v - rate g (Sutskever et al., 2013)."""
    v: Any = 0.0

    def advance(w: Array, g: Array, rate: float) -> Array:
        nonlocal v
        v = momentum * v - rate * g
        new: Array = w + momentum * v - rate * g
        return new

    return advance


def adam() -> Step:
    """Kingma and Ba, 2015, Algorithm 1, with beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-8."""
    return adamw(0.0)


def adamw(decay: float) -> Step:
    """Loshchilov and Hutter, 2019, Algorithm 2: w shrinks by rate * decay beside Adam's step."""
    t, m, v = 0, 0.0, 0.0

    def advance(w: Array, g: Array, rate: float) -> Array:
        nonlocal t, m, v
        t += 1
        m = 0.9 * m + 0.1 * g  # type: ignore[assignment]
        v = 0.999 * v + 0.001 * g**2  # type: ignore[assignment]
        change = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        new: Array = w - rate * decay * w - rate * change
        return new

    return advance


def rprop(first: float) -> Step:
    """iRprop- (Igel and Huesken, 2003): steps of each weight's own, by the signs of its slope."""
    before: Any = None
    size: Any = None

    def advance(w: Array, g: Array, rate: float) -> Array:
        nonlocal before, size
        if size is None:
            before, size = np.zeros_like(w), np.full_like(w, first)
        turn = g * before
        size = np.where(turn > 0, np.minimum(1.2 * size, 50), size)
        size = np.where(turn < 0, np.maximum(0.5 * size, 1e-6), size)
        before = np.where(turn < 0, 0, g)
        new: Array = w - np.sign(before) * size
        return new

    return advance
