"""Fast re-training: the optimum after a small change of the data, from the optimum before it.

At a minimum of ``F(w) = sum_n s_n E_n(w) + R(w)``, R the weight decay and the regularizer, the
Hessian ``H = d2F/dw2`` says where the minimum goes when the weights s of the samples change: one
Newton step (PRML 5.4, the second of the uses of the Hessian),

    dw = -(H + sum_n ds_n H_n)^{-1} sum_n ds_n g_n

with the gradient g_n and Hessian H_n of E_n. R belongs to the whole, no sample has a share in it:
it stays as it is whichever samples come and go. A sample is removed by ds_n = -s_n and added by
ds_n = 1. With ``J_n = dz/dw`` (z are the outputs before the output function), ``B_n = dy/dz`` and
``delta_n = y_n - t_n``, the gradient g_n is ``J_n^T delta_n`` and the Gauss-Newton part of H_n is
``J_n^T B_n J_n``, of rank K, so that a sample is taken out of H^{-1} by a K x K system (Woodbury).
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore.checks import as_array
from mlpcore.hessian_factor import Factor
from mlpcore.objective import Objective
from mlpcore.optimum import Optimum, as_samples, check_optimum, most_steps

__all__ = ["retrain"]

Array = NDArray[Any]


def retrain(
    optimum: Optimum,
    *,
    remove: ArrayLike | None = None,
    add: tuple[ArrayLike, ...] | None = None,
    sample_weight: ArrayLike | None = None,
    max_steps: int | None = None,
) -> Optimum:
    """The optimum after a change of the data (PRML 5.4, the second use of the Hessian).

    The first step is Newton's with the stored factor, from which the changed samples are taken or
    to which they are added by their Gauss-Newton part (Woodbury); the h'' terms of the changed
    samples and the change of the Hessian along the way are left out. That affects how fast the
    following steps converge, not where: their gradients are those of the new data, and as soon as
    a step shrinks the gradient by less than ten times, the whole Hessian is built and factorized
    anew, and so it is where products with it leave open at the end whether a curvature is negative.
    Few changed samples cost some gradients and such products; after a change of more than W / 2
    targets it begins with a new factor.

    Parameters
    ----------
    optimum : Optimum
        The minimum for the data before. It stays as it is.
    remove : (m,) integers or (N,) bools, optional
        The samples to remove.
    add : tuple, optional
        ``(X, T)`` or ``(X, T, sample_weight)`` of samples to add after those that stay.
    sample_weight : (N,) array-like, optional
        New weights of the samples of `optimum`.
    max_steps : int, optional
        The most Newton steps; None as in `Optimum`.

    Returns
    -------
    Optimum
        The minimum for the data after, those that were added last. Whether it got there in
        `max_steps` is its `converged`.

    Raises
    ------
    ValueError, TypeError
        If an argument is unusable, no sample is left, or too few without weight decay, as in
        `Optimum`.
    MemoryError
        If the factor of the Hessian takes, with five matrices (W, W) at most, more than the memory
        available; the message states its size.
    """
    check_optimum(optimum, converged=False)
    max_steps = most_steps(max_steps, optimum.kind)
    old, w = optimum._objective, optimum.w
    gone = np.zeros(len(old.X), dtype=bool)
    if remove is not None:
        gone[_row_numbers("remove", remove, len(old.X))] = True
    s = old.s
    if sample_weight is not None:
        s = as_samples(optimum.net, w, old.X, old.T, sample_weight)[2]
    X, T, s_added = old.X[:0], old.T[:0], old.s[:0]
    if add is not None:
        new_samples: object = add  # whatever its type says
        if not isinstance(new_samples, tuple) or len(new_samples) not in (2, 3):
            raise TypeError("add is no tuple (X, T) or (X, T, sample_weight), expected one")
        try:
            more = add[2] if len(add) > 2 else None
            X, T, s_added = as_samples(optimum.net, w, add[0], add[1], more)
        except (TypeError, ValueError) as error:
            raise type(error)(f"add: {error}") from None

    stay = ~gone
    new = replace(
        old,
        X=np.concatenate([old.X[stay], X]),
        T=np.concatenate([old.T[stay], T]),
        s=np.concatenate([s[stay], s_added]),
    )
    change = np.where(gone, 0, s) - old.s
    # A change of rounding is none, and takes no row of the factor.
    change[np.abs(change) <= 4 * np.finfo(float).eps * np.maximum(s, old.s)] = 0
    rows = np.flatnonzero(change)
    factor = _changed_factor(
        optimum._factor,
        replace(
            old,
            X=np.concatenate([old.X[rows], X]),
            T=np.concatenate([old.T[rows], T]),
            s=np.concatenate([change[rows], s_added]),
        ),
        w,
    )
    result = copy(optimum)
    given = {"remove": remove, "sample_weight": sample_weight}
    weighing = " and ".join(name for name, value in given.items() if value is not None)
    result._settle(new, w, factor, max_steps, weighing)
    return result


def _changed_factor(factor: Factor, changed: Objective, w: Array) -> Factor | None:
    """With the Gauss-Newton part of samples whose weights change by ``changed.s``, or None."""
    changed = changed.rows(changed.s != 0)
    K = changed.net.n_outputs
    if len(factor.c) + K * len(changed.s) > w.size / 2:
        return None  # a new factor is cheaper
    try:
        return factor.changed(changed.curvature_rows(w), np.repeat(changed.s, K))
    except np.linalg.LinAlgError:
        return None


def _row_numbers(name: str, rows: ArrayLike, N: int) -> Array:
    array = as_array(name, rows, "(m,) integers or bools")
    if array.dtype == bool:
        if array.shape != (N,):
            raise ValueError(f"{name} has shape {array.shape}, expected ({N},) for bools")
        return np.flatnonzero(array)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} has dtype {array.dtype}, expected integers or bools")
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}, expected (m,)")
    for row in array[(array < 0) | (array >= N)][:1]:
        raise ValueError(f"{name} has {row}, expected rows from 0 to {N - 1}")
    return array.astype(int)
