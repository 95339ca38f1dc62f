"""Newton's method down to rounding, away from saddles, with as few factorizations as it takes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpcore.hessian_factor import ROUNDING, Factor
from mlpcore.network import ProductKind
from mlpcore.objective import Objective

__all__ = ["Descent", "descend"]

Array = NDArray[Any]

_CONVERGED = 1e-26  # twice the decrease that the Newton step promises, relative to F
_FEW = 30  # times what rounding moves is still rounding
_UNSEEN = 1e-4  # the chance that a negative curvature goes unseen
_PRODUCTS = 20  # with the Hessian, at most, in the search for one


class Descent(NamedTuple):
    w: Array
    factor: Factor
    gradient_norm: float
    steps: int
    factorizations: int
    converged: bool


def descend(
    objective: Objective, w: Array, kept: Factor | None, kind: ProductKind, max_steps: int
) -> Descent:
    """Newton's method that keeps a factor for as long as each step shrinks the next tenfold.

    Where the gradient is gone but a curvature is negative it moves along that, to both sides; if
    nothing there is lower, it is no minimum all the same. That each step with a kept factor is far
    shorter says so of their directions alone: by symmetry they may all miss the negative one.
    """
    downward: Array | None = None
    F, g = objective.value_and_gradient(w)
    if not (np.isfinite(F) and np.isfinite(g).all()):
        raise ValueError(
            "the error or its gradient is not finite at the start: w, X or T is too large, or "
            "regularizer is wrong"
        )
    floor = objective.floor
    steps = factorizations = 0
    before, converged = np.inf, False
    while True:
        fresh = kept is None
        if kept is None:
            factor, downward, lasts = objective.step_factor(w, kind, g)
            factorizations += 1
            kept = factor if lasts else None
        else:
            factor = kept
        d = -factor.solve(g)
        decrement = -float(g @ d)
        if not fresh and not decrement >= 0:  # rounding has made the kept factor indefinite
            kept = None
            continue
        stalled = decrement > 0.01 * before
        at_rest = decrement <= _CONVERGED * abs(F) + floor
        is_rounding = decrement <= ROUNDING * abs(F)
        if not at_rest and fresh and is_rounding:
            # A saddle is left sooner by a move aside than by steps that double a rounding.
            at_rest = (stalled and downward is not None) or decrement <= _decrement_of_rounding(
                objective, w, g, factor
            )
        trial = None
        if not at_rest and steps < max_steps and (fresh or not stalled):
            trial = _search(objective, w, F, d, decrement)
            # Between steps of rounding, as saturated units have, the slope jumps.
            at_rest = trial is None and fresh and is_rounding
        if at_rest:
            if kind != "exact":
                _, downward, _ = objective.step_factor(w, "exact")
                factorizations += 1
            elif not fresh and not (downward is None and _is_minimum(objective, w, factor)):
                kept = None  # a curvature was negative elsewhere, or may be so here
                continue
            if objective.R is None and abs(F) <= floor:
                downward = None  # of residuals of rounding
            if downward is not None and steps < max_steps:
                trial = _search_aside(objective, w, F, downward)
            converged = downward is None and not objective.is_of_infinity(F)
            if trial is not None:
                kept, decrement = None, np.inf
            elif (
                not converged
                and fresh
                and steps < max_steps
                and decrement > _decrement_of_rounding(objective, w, g, factor)
            ):  # so flat a curvature may be one of the gradient that is left, along a symmetry
                trial = _search(objective, w, F, d, decrement)
        if trial is not None:
            w, F, g = trial
            before = decrement
            steps += 1
        elif at_rest or fresh or steps == max_steps:
            break
        else:
            kept = None
    return Descent(w, factor, float(np.abs(g).max()), steps, factorizations, converged)


def _decrement_of_rounding(objective: Objective, w: Array, g: Array, factor: Factor) -> float:
    """What the decrement is where g is rounding: that of what a last bit of w does to g.

    The steps of Gauss-Newton shrink slowly, and now and then one grows, long before that.
    """
    last_bits = np.finfo(float).eps * np.random.default_rng(0).choice((-1, 1), w.size)
    _, g_beside = objective.value_and_gradient(w + last_bits * w)
    rounding = g_beside - g
    return _FEW**2 * float(rounding @ factor.solve(rounding))


def _is_minimum(objective: Objective, w: Array, factor: Factor) -> bool:
    """Whether H at w is positive definite, by a few products with it; False if they do not tell.

    Conjugate gradients for ``U H U^T x = r``, r at random, with a ``factor`` from nearby. A p with
    p^T U H U^T p <= 0 shows that it is not (Steihaug, The conjugate gradient method and trust
    regions in large scale optimization, 1983). Without one the residual is r times a polynomial of
    the matrix that is 1 at 0 and has all its roots above 0: what r has of an eigenvector with an
    eigenvalue <= 0 never shrinks. If all of r comes below `_UNSEEN`, that part was so from the
    start, by a chance of about `_UNSEEN`. A singular H, positive by rounding alone, makes r large.
    """
    eps = float(np.finfo(float).eps)
    net, data, U = objective.net, (objective.X, objective.T, objective.s), factor.U
    r = np.random.default_rng(0).standard_normal(w.size)
    p = z = factor.solve_within(r)
    for _ in range(_PRODUCTS):
        Hp = U @ net.hessian_vector_product(w, U.T @ p, *data, regularizer=objective.R)
        curvature = p @ Hp
        if not curvature > eps * np.linalg.norm(p) * np.linalg.norm(Hp):
            return False
        before = r @ z
        r = r - before / curvature * Hp
        if r @ r < _UNSEEN**2:
            return True
        if not r @ r < w.size / eps:
            return False
        z = factor.solve_within(r)
        p = z + r @ z / before * p
    return False


def _search(
    objective: Objective, w: Array, F: float, d: Array, decrement: float
) -> tuple[Array, float, Array] | None:
    """The first of w + d, w + d/2, w + d/4, ... that is lower (Armijo), None without one.

    Where the decrease is lost in the rounding of F it is the first that is no higher by more than
    that, and lower as the slope along d tells: a parabola is for as long as its slope is below the
    decrement (Hager and Zhang, A new conjugate gradient method with guaranteed descent and an
    efficient line search, 2005). Half of that is allowed, so that steps of Gauss-Newton that go too
    far do not come and go forever.
    """
    for halvings in range(30):
        t = 0.5**halvings
        there = w + t * d
        if np.isfinite(there).all():
            F_there, g_there = objective.value_and_gradient(there)
            if decrement <= ROUNDING * abs(F):
                no_higher = F_there <= F + objective.rounding(F)
                lower = no_higher and bool(g_there @ d <= 0.5 * decrement)
            else:
                slack = 4 * float(np.finfo(float).eps) * abs(F)
                lower = F_there <= F - 1e-4 * t * decrement + slack
            if lower and np.isfinite(g_there).all():
                return there, F_there, g_there
    return None


def _search_aside(
    objective: Objective, w: Array, F: float, direction: Array
) -> tuple[Array, float, Array] | None:
    """The first of w + d, w - d, w + d/2, ... that is lower, None without one."""
    # As far as weights usually go, and at least as far as these have gone.
    size = max(1.0, float((np.abs(w) / objective.sizes).max()))
    farthest = size / float((np.abs(direction) / objective.sizes).max()) * direction
    for halvings in range(40):
        for sign in (1, -1):
            there = w + sign * 0.5**halvings * farthest
            F_there, g_there = objective.value_and_gradient(there)
            if F_there < F - 4 * np.finfo(float).eps * abs(F) and np.isfinite(g_there).all():
                return there, F_there, g_there
    return None
