"""Fast re-training in plain NumPy, to read and to test against: what `mlpcore.retrain`,
`leave_one_out`, `k_fold_predictions` and `influence` give, with a whole Hessian and a system of
equations of its own for every step.

Each begins at a minimum w of an `Objective` of `mlpcore.reference_optimizers`,

    F(w) = sum_n s_n E_n(w) + R(w),    H = d2F/dw2

and asks where the minimum goes when samples come, go, or change their weight. R belongs to the
whole: no sample has a share in it. Shapes are those of `mlpcore.reference`.

>>> net = reference.Architecture((1, 1))  # the mean of 1, 2 and 6, without each of them
>>> f = Objective(net, np.zeros((3, 1)), np.array([1.0, 2.0, 6.0]), alpha=1e-12)
>>> leave_one_out(f, np.array([0.0, 3.0])).ravel().round(6).tolist()
[4.0, 3.5, 1.5]
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import reference
from mlpcore.reference_optimizers import Objective

__all__ = [
    "changed",
    "influence",
    "k_fold_predictions",
    "leave_one_out",
    "leverages",
    "newton",
    "retrain",
    "steps_without_each",
]

Array = NDArray[Any]


# The new minimum ---------------------------------------------------------------------------------


def newton(f: Objective, w: Array, kind: str = "exact") -> Iterator[Array]:
    """Newton's method, w - H^-1 dF/dw (PRML 4.92), from where it needs no care: near a minimum."""
    while True:
        yield w
        w = w - np.linalg.solve(f.hessian(w, kind), f.gradient(w))


def changed(
    f: Objective,
    remove: ArrayLike = (),
    add: tuple[ArrayLike, ...] | None = None,
    sample_weight: ArrayLike | None = None,
) -> Objective:
    """The objective with new weights (N,) of its samples, without the rows ``remove`` (m,), and
    with the samples ``add``, (X, T) or (X, T, sample_weight), behind those that stay."""
    X, T, s = _samples(f)
    s = s if sample_weight is None else np.asarray(sample_weight)
    X, T, s = (np.delete(array, np.asarray(remove, dtype=int), axis=0) for array in (X, T, s))
    if add is not None:
        more = _samples(Objective(f.net, add[0], add[1], add[2] if len(add) > 2 else None))
        X, T, s = (np.concatenate(pair) for pair in zip((X, T, s), more, strict=True))
    return Objective(f.net, X, T, s, f.alpha, f.penalty)


def _samples(f: Objective) -> tuple[Array, Array, Array]:
    X, T, s = f.data
    return np.asarray(X), np.asarray(T), np.ones(len(np.asarray(X))) if s is None else np.asarray(s)


def retrain(
    f: Objective,
    w: Array,
    remove: ArrayLike = (),
    add: tuple[ArrayLike, ...] | None = None,
    sample_weight: ArrayLike | None = None,
    parts: int = 5,
    steps: int = 6,
) -> Array:
    """The minimum (W,) of the :func:`changed` objective, followed from that of ``f``.

    The weights of the samples change in equal parts, a removed one's to 0 and an added one's from
    0, and after each the minimum is found by Newton steps from the one before.
    """
    X, T, s = _samples(changed(f, add=add, sample_weight=sample_weight))
    N = len(_samples(f)[0])
    before, after = np.append(_samples(f)[2], np.zeros(len(X) - N)), np.array(s)
    after[np.asarray(remove, dtype=int)] = 0
    for part in range(1, parts + 1):
        now = before + part / parts * (after - before)
        near = Objective(f.net, X, T, now, f.alpha, f.penalty)
        *_, w = itertools.islice(newton(near, w), steps + 1)
    return w


# Without one sample, without a fold --------------------------------------------------------------


def _is_positive(H: Array) -> bool:
    """Whether H is positive definite."""
    return bool(np.linalg.eigvalsh(H)[0] > 0)


def leverages(f: Objective, w: Array, kind: str = "exact") -> Array:
    """The largest eigenvalue of s_n B_n J_n H^-1 J_n^T for each sample, (N,).

    J_n = dz^L/dw, B_n = dy/dz^L. At 1 or more, H without J^T B J is not positive definite.
    """
    H, J, sB = f.hessian(w, kind), f.logit_jacobian(w), f.curvature(w)
    eigenvalues = [
        np.linalg.eigvals(sB[n] @ J[n] @ np.linalg.solve(H, J[n].T)).real for n in range(len(J))
    ]
    return np.array([of_one.max() for of_one in eigenvalues])


def steps_without_each(
    f: Objective, w: Array, kind: str = "exact", corrected: bool = True
) -> Array:
    """The step (N, W) that takes out each sample, with g_n = dE_n/dw.

        dw_n = (H - s_n J_n^T B_n J_n)^-1 s_n g_n

    takes the Gauss-Newton part (PRML 5.84) of its own Hessian out; where that is too much, so that
    what is left is not positive definite, it is a fold of one in :func:`k_fold_predictions`. That
    begins at a leverage of 1, less what rounding may have made of it. Not ``corrected`` it is
    H^-1 s_n g_n, the derivative with respect to s_n (Koh and Liang, 2017).
    """
    X, T, s = _samples(f)
    H, J, sB = f.hessian(w, kind), f.logit_jacobian(w), f.curvature(w)
    g, steps = reference.per_sample_gradient(f.net, w, X, T), np.zeros((len(X), len(w)))
    h = leverages(f, w, kind)
    for n in range(len(X)):
        rest = H - J[n].T @ sB[n] @ J[n] if corrected else H
        if corrected and h[n] >= 1 - 1e-8:
            steps[n] = _step_without(f, w, np.array([n]), kind)
        else:
            steps[n] = np.linalg.solve(rest, s[n] * g[n])
    return steps


def _step_without(f: Objective, w: Array, rows: Array, kind: str) -> Array:
    """The Newton step (W,) that takes out these rows, by the Hessian of F without them.

    It is Gauss-Newton where that is not positive definite. The gradient of F is 0 with the rows,
    and so it is minus their own without them.
    """
    X, T, s = _samples(f)
    H = changed(f, remove=rows).hessian(w, kind)
    if not _is_positive(H):
        H = changed(f, remove=rows).hessian(w, "gauss_newton")
    step: Array = np.linalg.solve(H, reference.gradient(f.net, w, X[rows], T[rows], s[rows]))
    return step


def leave_one_out(f: Objective, w: Array, kind: str = "exact") -> Array:
    """The outputs (N, K) for each sample after its step of :func:`steps_without_each`."""
    X, steps = _samples(f)[0], steps_without_each(f, w, kind)
    return np.concatenate([reference.forward(f.net, w + dw, X[[n]]) for n, dw in enumerate(steps)])


def k_fold_predictions(f: Objective, w: Array, folds: ArrayLike, kind: str = "exact") -> Array:
    """The outputs (N, K) for each sample without its fold, ``folds`` (N,), by one Newton step."""
    X, folds = _samples(f)[0], np.asarray(folds)
    y = np.zeros((len(X), f.net.layers[-1]))
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        y[rows] = reference.forward(f.net, w + _step_without(f, w, rows, kind), X[rows])
    return y


def influence(
    f: Objective, w: Array, X: ArrayLike, kind: str = "exact", corrected: bool = True
) -> Array:
    """The change dy/dw dw_n of the outputs at ``X`` (M, D) without each sample, (N, M, K)."""
    steps = steps_without_each(f, w, kind, corrected)
    changes: Array = np.einsum("mkw,nw->nmk", reference.weight_jacobian(f.net, w, X), steps)
    return changes
