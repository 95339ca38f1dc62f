"""The methods of `mlpcore.minimize` in plain NumPy: a few readable lines each, to read and to test
against.

A method is a generator ``method(f, w)``: it yields the weights of each iteration, w itself first,
and ends when it finds nothing lower. When to stop is the business of the caller, or of
:func:`minimize`:

    f = Objective(net, X, T, alpha=0.1)
    *_, w = itertools.islice(bfgs(f, w), 100)
    w, n_iterations, stopped = minimize(f, bfgs(f, w))

They take their steps in the weights themselves, as the native ones do for targets of about unit
size. By the size of targets above 16 those scale the weights of the hidden layers, and the first
steps of which nothing is known. A system of equations that is singular is an error here, and a
reason for more damping there.

Equation numbers are of Nocedal and Wright, *Numerical Optimization*, 2006, unless said otherwise.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import reference

__all__ = [
    "Objective",
    "bfgs",
    "cg",
    "gd",
    "lbfgs",
    "line_search",
    "lm",
    "minimize",
    "newton_cg",
    "scg",
    "steihaug",
    "typical_sizes",
]

Array = NDArray[Any]
PenaltyFunction = Callable[[Array], tuple[float, Array, Array]]


class Objective:
    """F(w) = E(w) + 1/2 sum_i alpha_i w_i^2 + R(w), with its first and second derivatives.

    The ``penalty`` gives R(w), dR/dw (W,) and d2R/dw2, (W, W) or, where R is a sum over the
    weights, its diagonal (W,). The regularizers of `mlpcore.reference_training` are such:

        f = Objective(net, X, T, penalty=lambda w: l1(w, strengths, 0.1))
    """

    def __init__(
        self,
        net: reference.Net,
        X: ArrayLike,
        T: ArrayLike,
        sample_weight: ArrayLike | None = None,
        alpha: ArrayLike = 0.0,
        penalty: PenaltyFunction | None = None,
    ) -> None:
        self.net, self.data = net, (X, T, sample_weight)
        self.alpha, self.penalty = np.asarray(alpha), penalty

    def regularizer(self, w: Array) -> tuple[float, Array, Array]:
        """1/2 sum_i alpha_i w_i^2 + R(w), its gradient (W,) and Hessian (W, W)."""
        value, g, H = 0.5 * (self.alpha * w * w).sum(), self.alpha * w, self.alpha * np.eye(len(w))
        if self.penalty is not None:
            R, dR, d2R = self.penalty(w)
            value, g, H = value + R, g + dR, H + (d2R if d2R.ndim == 2 else np.diag(d2R))
        return value, g, H

    def value(self, w: Array) -> float:
        """F(w)."""
        return float(reference.error(self.net, w, *self.data) + self.regularizer(w)[0])

    def gradient(self, w: Array) -> Array:
        """g = dF/dw, (W,)."""
        g: Array = reference.gradient(self.net, w, *self.data) + self.regularizer(w)[1]
        return g

    def hessian(self, w: Array, kind: str = "exact") -> Array:
        """d2F/dw2, (W, W); ``kind`` is that of the Hessian of E."""
        H: Array = reference.hessian(self.net, w, *self.data, kind) + self.regularizer(w)[2]
        return H

    def product(self, w: Array, v: Array, kind: str = "exact") -> Array:
        """(d2F/dw2) v: of E the derivative of the gradient along v, by a complex step."""
        if kind == "gauss_newton":
            change = self.gauss_newton(w) @ v
        else:
            step = 1e-30
            change = reference.gradient(self.net, w + 1j * step * v, *self.data).imag / step
        product: Array = change + self.regularizer(w)[2] @ v
        return product

    def outputs(self, w: Array, logits: bool = True) -> Array:
        """z^L, or y, (N, K)."""
        return reference.forward(self.net, w, self.data[0], logits=logits)

    def logit_jacobian(self, w: Array) -> Array:
        """J = dz^L/dw, (N, K, W)."""
        return reference.weight_jacobian(
            reference.Architecture(self.net.layers, self.net.hidden, "linear"), w, self.data[0]
        )

    def curvature(self, w: Array) -> Array:
        """B_n = d2E_n/dz^L dz^L times the weight of the sample, (N, K, K)."""
        B = reference.OUTPUTS[self.net.output].curvature(self.outputs(w, logits=False))
        s = self.data[2]
        return B if s is None else np.asarray(s)[:, None, None] * B

    def gauss_newton(self, w: Array) -> Array:
        """sum_n J_n^T B_n J_n, (W, W): PRML 5.84, 5.85, of E alone."""
        J = self.logit_jacobian(w)
        H: Array = np.einsum("nki,nkl,nlj->ij", J, self.curvature(w), J, optimize=True)
        return H


def typical_sizes(f: Objective) -> Array:
    """u (W,), by which a change of a weight is measured where the weight itself is smaller.

    1 between hidden units, 1 / rms(x_i) from an input, rms(t_k) to a linear output (and for a
    weight from an input to one both), so that no rule of :func:`minimize` depends on the units of
    the data (Dennis and Schnabel, 1983, 7.1). The means are weighted as the samples are; a column
    of zeros counts as 1.
    """
    X, T = np.asarray(f.data[0]), np.asarray(f.data[1])
    s = np.ones(len(X)) if f.data[2] is None else np.asarray(f.data[2])
    rows = np.flatnonzero(s)

    def sizes(columns: Array) -> Array:
        rms: Array = np.sqrt(s[rows] @ columns[rows] ** 2 / max(s.sum(), np.finfo(float).tiny))
        return np.where(rms > 0, rms, 1)

    u = np.ones(sum((m + 1) * n for m, n in itertools.pairwise(f.net.layers)))
    layers = reference.unpack(f.net, u)
    layers[0][0][...] /= sizes(X)
    if f.net.output == "linear":
        t = sizes(T.reshape(len(X), -1))
        layers[-1][0][...] *= t[:, None]
        layers[-1][1][...] *= t
    return u


def _relative_size(x: Array, w: Array, u: Array) -> float:
    """max_i |x_i| / max(|w_i|, u_i): the size of a step x from w, u the :func:`typical_sizes`."""
    return float((np.abs(x) / np.maximum(np.abs(w), u)).max())


def minimize(
    f: Objective,
    path: Iterable[Array],
    iterations: int = 1000,
    gradient_tolerance: float = 1e-6,
    step_tolerance: float = 1e-10,
    error_tolerance: float = 1e-10,
) -> tuple[Array, int, str]:
    """Follows the ``path`` of a method, ``bfgs(f, w)``, until one of the rules says enough.

    Returns w, the number of iterations, and the rule. They are looked at in this order, where F is
    finite (else the start has diverged):

        gradient    max_i |g_i| max(|w_i|, u_i) <= gradient_tolerance |F|
        step        max_i |dw_i| / max(|w_i|, u_i) <= step_tolerance
        error       F_before - F <= error_tolerance |F|

    (Dennis and Schnabel, 1983, 7.2.5, 7.2.7), u the :func:`typical_sizes`; then iterations; and
    precision where the method itself ends, because it finds nothing lower.
    """
    u, before, F_before = typical_sizes(f), None, np.inf
    for n, w in enumerate(path):
        F, size = f.value(w), np.maximum(np.abs(w), u)
        if not np.isfinite(F):
            return w, n, "diverged"
        if (np.abs(f.gradient(w)) * size).max() <= gradient_tolerance * abs(F):
            return w, n, "gradient"
        if before is not None and _relative_size(w - before, w, u) <= step_tolerance:
            return w, n, "step"
        if F_before - F <= error_tolerance * abs(F):
            return w, n, "error"
        if n >= iterations:
            return w, n, "iterations"
        before, F_before = w, F
    return w, n, "precision"


def line_search(f: Objective, w: Array, d: Array, first: float, curvature: float) -> float:
    """A step along d that satisfies the strong Wolfe conditions 3.7, or the best found, or 0.

    Algorithm 3.5 (extrapolation) and 3.6 (interpolation by the cubic 3.59). F infinite is F too
    high. A step too short to change F by more than its rounding leads further out.
    """
    trials = iter(range(30))

    def sample(step: float) -> tuple[float, float, float]:
        return step, f.value(w + step * d), float(f.gradient(w + step * d) @ d)

    def decreases(s: tuple[float, float, float]) -> bool:  # 3.7a
        return s[1] <= start[1] + 1e-4 * s[0] * start[2] and s[1] < start[1]

    def flat(s: tuple[float, float, float]) -> bool:  # 3.7b
        return abs(s[2]) <= -curvature * start[2]

    def hardly_away(s: tuple[float, float, float]) -> bool:
        return abs(s[1] - start[1]) <= eps * abs(start[1]) and s[2] <= 0.9 * start[2]

    eps = float(np.finfo(w.dtype).eps)
    low = start = sample(0.0)
    step, high = first, None
    for _ in trials:
        s = sample(step)
        too_near = low[0] == 0 and hardly_away(s)
        if not too_near:
            if not decreases(s) or (low[0] != 0 and s[1] >= low[1]):
                high = s
                break
            if flat(s):
                return s[0]
            if s[2] >= 0:
                low, high = s, low
                break
        step *= 10.0
        if low[2] < s[2]:
            step = float(np.clip(s[0] + (s[0] - low[0]) * s[2] / (low[2] - s[2]), 2 * s[0], step))
        low = low if too_near else s
    for _ in trials:
        assert high is not None
        width = high[0] - low[0]
        if abs(width) <= 1e-14 * abs(low[0]):
            break
        d1 = low[2] + high[2] - 3 * (high[1] - low[1]) / width
        d2 = np.copysign(np.sqrt(max(d1 * d1 - low[2] * high[2], 0)), width)
        share = 1 - (high[2] + d2 - d1) / (high[2] - low[2] + 2 * d2)
        share = share if np.isfinite(share) else 0.5
        s = sample(low[0] + width * float(np.clip(share, 0.1, 0.9)))
        if not decreases(s) or s[1] >= low[1]:
            high = s
            continue
        if flat(s):
            return s[0]
        if s[2] * width >= 0:
            high = low
        low = s
    return low[0]


def _cautious(slope: float) -> float:
    """The first step of a search of which nothing is known."""
    return float(min(1.0, 1 / np.sqrt(-slope)))


def gd(f: Objective, w: Array) -> Iterator[Array]:
    """Gradient descent, d = -g (PRML 5.41); the first step of a search as in section 3.5."""
    step = slope_before = 0.0
    while True:
        yield w
        g = f.gradient(w)
        slope = -float(g @ g)
        if slope == 0:
            return
        step = line_search(
            f, w, -g, step * slope_before / slope if step else _cautious(slope), curvature=0.9
        )
        if step == 0:
            return
        w, slope_before = w - step * g, slope


def cg(f: Objective, w: Array, conjugacy: str = "polak_ribiere") -> Iterator[Array]:
    """Nonlinear conjugate gradients, d_{k+1} = -g_{k+1} + beta d_k (Algorithm 5.4).

    beta = max(0, g_{k+1}.y / g_k.g_k) (Polak and Ribiere, 5.44, 5.45) or
    max(0, g_{k+1}.y / d_k.y) (Hestenes and Stiefel, 5.46), with y = g_{k+1} - g_k.
    """
    g, d = f.gradient(w), np.zeros_like(w)
    beta = step = slope_before = 0.0
    while True:
        yield w
        while True:
            d = -g + beta * d
            slope = float(g @ d)
            if slope < 0:
                first = step * slope_before / slope if step else _cautious(slope)
                step = line_search(f, w, d, first, curvature=0.1)
            else:
                step = 0.0
            if step:
                break
            if beta == 0:
                return
            beta = 0.0  # once more along the gradient
        w, slope_before, before = w + step * d, slope, g
        g = f.gradient(w)
        y = g - before
        beta = max(0.0, float(g @ y / (before @ before if conjugacy == "polak_ribiere" else d @ y)))


def bfgs(f: Objective, w: Array) -> Iterator[Array]:
    """BFGS (Algorithm 6.1), d = -H g, with s = w_{k+1} - w_k, y = g_{k+1} - g_k, rho = 1 / s.y:

    H <- (I - rho s y^T) H (I - rho y s^T) + rho s s^T  (6.17), first from 10 I s.y / y.y, ten times
    6.20, for a network has many directions far flatter than the steepest.
    """
    unit = np.eye(len(w))
    g, H = f.gradient(w), None
    yield w
    while True:
        d = -g if H is None else -H @ g
        first = _cautious(float(g @ d)) if H is None else 1.0
        step = line_search(f, w, d, first, curvature=0.9) if g @ d < 0 else 0.0
        if step == 0:
            if H is None:
                return
            H = None
            continue
        s, y = step * d, f.gradient(w + step * d) - g
        w, g = w + s, g + y
        if s @ y > 0:
            H = 10 * unit * (s @ y) / (y @ y) if H is None else H
            V = unit - np.outer(y, s) / (s @ y)
            H = V.T @ H @ V + np.outer(s, s) / (s @ y)
        yield w


def lbfgs(f: Objective, w: Array, memory: int = 20) -> Iterator[Array]:
    """L-BFGS (Algorithm 7.5): bfgs with H from the last pairs s, y alone, by Algorithm 7.4."""
    pairs: list[tuple[Array, Array]] = []
    g = f.gradient(w)
    yield w
    while True:
        d = -_two_loops(pairs, g)
        first = 1.0 if pairs else _cautious(float(g @ d))
        step = line_search(f, w, d, first, curvature=0.9) if g @ d < 0 else 0.0
        if step == 0:
            if not pairs:
                return
            pairs = []
            continue
        s, y = step * d, f.gradient(w + step * d) - g
        w, g = w + s, g + y
        if s @ y > 0:
            pairs = [*pairs, (s, y)][-memory:]
        yield w


def _two_loops(pairs: list[tuple[Array, Array]], q: Array) -> Array:
    """H q (Algorithm 7.4), from the last pair outwards, with H_0 in the middle.

    H_0 is the largest of the pairs' gammas (7.20), not the last one.
    """
    if not pairs:
        return q
    alphas = []
    for s, y in reversed(pairs):
        alphas.append((s @ q) / (s @ y))
        q = q - alphas[-1] * y
    r: Array = max((s @ y) / (y @ y) for s, y in pairs) * q
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r = r + s * (alpha - (y @ r) / (s @ y))
    return r


def scg(f: Objective, w: Array, kind: str = "exact") -> Iterator[Array]:
    """Scaled conjugate gradients (Moller, 1993), with exact products of the Hessian.

    The scale lambda begins as 1e-6 of the first curvature, and so without units.
    """
    yield w
    g, u = f.gradient(w), typical_sizes(f)
    p, lam, success, count = -g, -1.0, True, 0
    while True:
        pp, mu = p @ p, -p @ g
        if pp == 0:
            return
        if success:
            delta = p @ f.product(w, p, kind)
            lam = 1e-6 * abs(delta) / pp if lam < 0 else lam
            delta += lam * pp
        if delta <= 0:  # made positive definite along p
            delta, lam = lam * pp - delta, 2 * (lam - delta / pp)
        if delta <= 0:  # neither curvature nor scale: a step as long as the weights
            delta = mu * _relative_size(p, w, u)
            lam = delta / pp
        step = mu / delta * p
        if not _relative_size(step, w, u) > np.finfo(w.dtype).eps:
            return
        comparison = 2 * (delta / mu) * ((f.value(w) - f.value(w + step)) / mu)
        before, success = lam, comparison > 0
        if success:
            w, g_before, count = w + step, g, count + 1
            yield w
            g = f.gradient(w)
            p = -g + (g @ g - g @ g_before) / mu * p
            if count >= len(w) or p @ g >= 0:
                p, count = -g, 0
            if comparison >= 0.75:
                lam /= 4
        if not comparison >= 0.25:  # no less than a quarter of the step
            lam += delta * (1 - comparison if comparison > -2 else 3) / pp
        if not success:
            delta += (lam - before) * pp


def newton_cg(f: Objective, w: Array, kind: str = "exact") -> Iterator[Array]:
    """Newton's method in a trust region (Algorithm 4.1), its steps by :func:`steihaug`.

    It ends where a step has become too short, unless the border did that and none of the steps from
    here has shown it to be too far: then it may be far too near.
    """
    yield w
    g, u, eps = f.gradient(w), typical_sizes(f), np.finfo(w.dtype).eps
    radius, refused = float(np.linalg.norm(w)) or 1.0, False
    first = np.linalg.norm(g)
    while radius > 0:
        tolerance = min(0.5, float(np.sqrt(np.linalg.norm(g) / first)))
        p, promised, border = steihaug(lambda v: f.product(w, v, kind), g, radius, tolerance)  # noqa: B023
        if not promised > eps * abs(f.value(w)) or _relative_size(p, w, u) <= eps:
            if not border or refused or not np.isfinite(radius):
                return
            radius *= 10
            continue
        ratio = (f.value(w) - f.value(w + p)) / promised  # 4.4
        if not ratio >= 0.25:
            radius, refused = 0.25 * min(float(np.linalg.norm(p)), 2 * radius), True
        elif ratio > 0.75 and border:
            radius *= 2
        if ratio > 1e-4:
            w, refused = w + p, False
            g = f.gradient(w)
            yield w


def steihaug(
    multiply: Callable[[Array], Array], g: Array, radius: float, tolerance: float
) -> tuple[Array, float, bool]:
    """Truncated conjugate gradients on m(p) = g.p + 1/2 p.H p, |p| <= radius (Algorithm 7.2).

    Returns p, -m(p), and whether p ends at the border.
    """
    p, Hp, r, d, border = np.zeros_like(g), np.zeros_like(g), g, -g, False
    for _ in range(len(g)):
        if border or r @ r <= tolerance**2 * (g @ g):
            break
        Hd = multiply(d)
        room = max(radius**2 - p @ p, 0)
        far = room / (p @ d + np.sqrt((p @ d) ** 2 + (d @ d) * room))
        length = min(r @ r / (d @ Hd), far) if d @ Hd > 0 else far
        border = length == far
        p, Hp, r_before, r = p + length * d, Hp + length * Hd, r, r + length * Hd
        d = -r + (r @ r) / (r_before @ r_before) * d
    return p, float(-g @ p - 0.5 * p @ Hp), border


def lm(f: Objective, w: Array, acceleration: bool = False) -> Iterator[Array]:
    """Levenberg-Marquardt with the damping of Nielsen (1999, 2.13).

        (H + P + lambda I) step = -g,    H of :meth:`Objective.gauss_newton`

    with P the diagonal of the Hessian of :meth:`Objective.regularizer`; and the geodesic
    acceleration of Transtrum and Sethna (2012): on the same left-hand side the right one is
    -1/2 J^T B z'', with the second derivative z'' of the outputs along the step.
    """
    yield w
    H, u, eps, growth = f.gauss_newton(w), typical_sizes(f), np.finfo(w.dtype).eps, 2.0
    most = H.diagonal().max() or eps * _relative_size(f.gradient(w), w, u)  # or: all saturated
    lam = 1e-3 * most
    while True:
        P = np.diagonal(f.regularizer(w)[2])
        A, g = H + np.diag(P + lam), f.gradient(w)
        step = np.linalg.solve(A, -g)
        promised = 0.5 * (lam * step @ step - g @ step)
        if not promised > eps * abs(f.value(w)) or _relative_size(step, w, u) <= eps:
            return
        bend = np.zeros_like(w)
        if acceleration:
            h = 0.1
            z = [f.outputs(w + share * step) for share in (-h, 0, h)]
            second = (z[0] - 2 * z[1] + z[2]) / h**2
            Bz = np.einsum("nkl,nl->nk", f.curvature(w), second)
            bend = np.linalg.solve(A, -0.5 * np.einsum("nkw,nk->w", f.logit_jacobian(w), Bz))
        ratio = (f.value(w) - f.value(w + step + bend)) / promised
        if 2 * np.linalg.norm(bend) > 0.75 * np.linalg.norm(step) or not ratio > 0:
            lam, growth = growth * max(lam, eps * most), 2 * growth
            continue
        w = w + step + bend
        yield w
        H, lam, growth = f.gauss_newton(w), lam * max(1 / 3, 1 - (2 * min(ratio, 1) - 1) ** 3), 2.0
