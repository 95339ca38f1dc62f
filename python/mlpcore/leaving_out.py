"""What each sample, or each fold, does to an optimum: predictions without it, its influence.

The sample or fold is taken out by the one Newton step of `mlpcore.retraining`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import _core
from mlpcore.checks import as_array, flag, whole_number
from mlpcore.hessian_factor import OUT_OF_REACH, Factor, inverse_factor
from mlpcore.objective import Objective, curvature_root
from mlpcore.optimum import Optimum, check_optimum
from mlpcore.results import Table

__all__ = ["LeaveOneOut", "influence", "k_fold_predictions", "leave_one_out"]

Array = NDArray[Any]

_TILE = 1 << 22  # numbers in a tile of derivatives of samples: 32 MB


@dataclass(frozen=True, repr=False, eq=False)
class LeaveOneOut(Table):
    """What `leave_one_out` gives back.

    Attributes
    ----------
    y : (N, K) array
        The prediction for each sample by the optimum without it.
    residuals : (N, K) array
        T - y.
    error : float
        sum_n s_n E_n of these predictions: half the PRESS for linear outputs.
    leverage : (N,) array
        The largest eigenvalue of ``s_n R_n^T J_n H^{-1} J_n^T R_n`` (B_n = R_n R_n^T); for linear
        outputs with K = 1 the leverage ``dy_n/dt_n`` to first order.
    """

    y: Array
    residuals: Array
    error: float
    leverage: Array

    def _title(self) -> str:
        return f"LeaveOneOut of {len(self.y)} samples"

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("error", f"{self.error:.6g} in all"),
            ("leverage", f"{self.leverage.min():.3g} to {self.leverage.max():.3g}"),
        ]


def leave_one_out(optimum: Optimum) -> LeaveOneOut:
    """The prediction for each sample by the optimum without it, all N from one factor.

    The sample is taken out by one Newton step with the Hessian less the Gauss-Newton part of the
    sample (its h'' term stays), in output space:

        dw_n = H^{-1} J_n^T (I - s_n B_n A_n)^{-1} s_n delta_n,    A_n = J_n H^{-1} J_n^T

    and the prediction is y(x_n, w + dw_n). For linear outputs, K = 1, the step has the factor
    1 / (1 - leverage) of Sherman and Morrison; in a network without hidden layers it is exact, and
    the residuals are those of the PRESS statistic (Allen, 1974). For the cross-entropy see Pregibon
    (1981), for networks Larsen and Hansen (1996).

    Where a leverage is 1 to rounding or more, which the exact Hessian does not exclude, the sample
    is taken out by its whole Hessian as a fold in `k_fold_predictions`. Weights that only this
    sample determines, as those of an input that is 0 in all others, stay as they are.

    Parameters
    ----------
    optimum : Optimum
        Of N samples; it must have converged.

    Returns
    -------
    LeaveOneOut
        The predictions (N, K), their residuals (N, K) and error, and the leverages (N,).

    Raises
    ------
    TypeError
        If optimum is none.
    ValueError
        If the optimum has not converged, or if its Hessian is not positive definite; the message
        has the eigenvalues.
    MemoryError
        If the factor of the Hessian takes, with five matrices (W, W) at most, more than the memory
        available; the message states its size.

    Notes
    -----
    A Hessian, a Cholesky factor and about N W^2 K multiply-adds; tiles of samples bound the memory.
    """
    check_optimum(optimum)
    f = optimum._objective
    y, z, leverage = np.empty_like(f.T), np.empty_like(f.T), np.empty(len(f.X))
    for tile, dw, h in _steps_without_each(optimum):
        there, X = optimum.w + dw, f.X[tile, None, :]
        y[tile] = f.net.forward(there, X)[:, 0]
        z[tile] = f.logits.forward(there, X)[:, 0]
        leverage[tile] = h
    return LeaveOneOut(y, f.T - y, _error_of(f, z), leverage)


def _error_of(f: Objective, z: Array) -> float:
    """sum_n s_n E_n of given z, the outputs before the output function: no logarithm of 0."""
    if f.net.output == "linear":
        each = 0.5 * (z - f.T) ** 2
    elif f.net.output == "sigmoid":
        each = f.T * np.logaddexp(0, -z) + (1 - f.T) * np.logaddexp(0, z)
    else:
        below = z - z.max(axis=1, keepdims=True)
        each = f.T * (np.log(np.exp(below).sum(axis=1, keepdims=True)) - below)
    return float((f.s[:, None] * each).sum())


def _steps_without_each(
    optimum: Optimum, corrected: bool = True
) -> Iterator[tuple[slice, Array, Array]]:
    """Tile by tile: the rows, the steps dw_n (n, W) that take each out, the leverages (n,)."""
    f, w, U = optimum._objective, optimum.w, optimum._inverse_factor()
    K, W = f.net.n_outputs, w.size
    logits, identity = f.logits, np.eye(K)
    whole: tuple[Array, Array] | None = None
    size = max(1, _TILE // (K * W))
    for start in range(0, len(f.X), size):
        tile = slice(start, min(start + size, len(f.X)))
        X, s = f.X[tile], f.s[tile, None]
        y = f.net.forward(w, X)
        R = curvature_root(f.net.output, y)
        J = logits.weight_jacobian(w, X)
        G = (J.reshape(-1, W) @ U.T).reshape(-1, K, W)
        A = G @ np.swapaxes(G, 1, 2)  # J H^{-1} J^T
        leverage = s[:, 0] * np.linalg.eigvalsh(np.swapaxes(R, 1, 2) @ A @ R)[:, -1]
        e = s * (y - f.T[tile])
        if corrected:
            sBA = s[:, :, None] * (R @ np.swapaxes(R, 1, 2) @ A)
            out_of_reach = leverage >= 1 - OUT_OF_REACH
            sBA[out_of_reach] = 0
            e = np.linalg.solve(identity - sBA, e[:, :, None])[:, :, 0]
        dw = np.einsum("nk,nkw->nw", e, G) @ U
        if corrected:
            for i in np.flatnonzero(out_of_reach):
                whole = whole or f.hessian_and_units(w, optimum.kind)
                dw[i] = _step_without(optimum, np.arange(start + i, start + i + 1), *whole)
        yield tile, dw, leverage


def _step_without(optimum: Optimum, rows: Array, H: Array, d: Array) -> Array:
    """The Newton step (W,) that takes these rows out, by their Hessian of the optimum's kind.

    Gauss-Newton for all the rest where the Hessian of the rest is not positive definite. H is that
    of all rows, d its units, also of the rest, whose rounding is that of the whole.
    """
    f, w = optimum._objective, optimum.w
    part = f.rows(rows)
    gradient = f.net.gradient(w, part.X, part.T, part.s)
    try:
        rest = Factor(inverse_factor(H - replace(part, R=None).hessian(w, optimum.kind), d))
    except np.linalg.LinAlgError:
        stay = np.delete(np.arange(len(f.X)), rows)
        rest, _, _ = f.rows(stay).step_factor(w, "gauss_newton", units=d)
    return rest.solve(gradient)


def k_fold_predictions(optimum: Optimum, folds: int | ArrayLike, seed: int | None = None) -> Array:
    """The prediction for each sample by the optimum without its fold, (N, K).

    A fold is taken out by one Newton step with the Hessian, of the optimum's kind, of the samples
    that stay: the whole less that of the fold, so that all folds together cost two Hessians and a
    factorization each. Where it is not positive definite the step is that of Gauss-Newton.

    Parameters
    ----------
    optimum : Optimum
        Of N samples; it must have converged.
    folds : int or (N,) integers
        How many folds to draw at random (from 2 to N), or the fold of each sample.
    seed : int, optional
        Of the draw; None takes one from the system. With the fold of each sample nothing is drawn.

    Returns
    -------
    (N, K) array
        The outputs after the output function, a row a sample.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As in `leave_one_out`, and if folds or seed are unusable.
    """
    check_optimum(optimum)
    f = optimum._objective
    N = len(f.X)
    fold = as_array("folds", folds, f"a whole number or ({N},) integers")
    if fold.ndim == 0:
        k = whole_number("folds", folds, least=2, below=N + 1)
        if seed is not None:
            seed = whole_number("seed", seed, least=0)
        fold = np.random.default_rng(seed).permutation(np.arange(N) % k)
    else:
        if fold.shape != (N,):
            raise ValueError(f"folds has shape {fold.shape}, expected ({N},)")
        if not np.issubdtype(fold.dtype, np.integer):
            raise TypeError(f"folds has dtype {fold.dtype}, expected integers")
        if (fold == fold[0]).all():
            raise ValueError(f"folds has {fold[0]} alone, expected at least two folds")
        if seed is not None:
            raise ValueError(f"seed is {seed!r} beside the fold of each sample, expected None")
    whole = f.hessian_and_units(optimum.w, optimum.kind)
    optimum._inverse_factor(whole)  # or say why there is none
    y = np.empty_like(f.T)
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        y[rows] = f.net.forward(optimum.w + _step_without(optimum, rows, *whole), f.X[rows])
    return y


def influence(optimum: Optimum, X: ArrayLike, *, corrected: bool = True) -> Array:
    """What each training sample does to predictions: y without it less y with it, (N, M, K).

    To first order in the step that takes the sample out, ``dy/dw dw_n``.

    Parameters
    ----------
    optimum : Optimum
        Of N samples; it must have converged.
    X : (M, D) array-like
        Where to predict.
    corrected : bool
        True: the step of `leave_one_out`, with the curvature of the sample taken out; exact in
        linear regression, and the ground of Cook's distance (Cook, 1977). False:
        ``dw_n = H^{-1} s_n g_n``, the derivative with respect to the weight of the sample (Koh
        and Liang, 2017), too small where leverages are large.

    Returns
    -------
    (N, M, K) array
        By sample, place and output.

    Raises
    ------
    ValueError, TypeError
        As in `leave_one_out`, and if X or corrected is unusable.
    MemoryError
        As in `leave_one_out`, and if the dy/dw (M, K, W) or the result are larger than the memory
        available.
    """
    check_optimum(optimum)
    corrected = flag("corrected", corrected)
    f = optimum._objective
    slopes = f.net.weight_jacobian(optimum.w, X)  # (M, K, W)
    M, K, W = slopes.shape
    N = len(f.X)
    _core.check_memory(f"influence of shape ({N}, {M}, {K})", 8.0 * N * M * K)
    result = np.empty((N, M, K))
    for tile, dw, _ in _steps_without_each(optimum, corrected):
        result[tile] = (dw @ slopes.reshape(M * K, W).T).reshape(len(dw), M, K)
    return result
