"""Inverses of Hessians: built up from outer products, or by Cholesky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore.checks import real_number

__all__ = [
    "CholeskyFactor",
    "NotPositiveDefiniteError",
    "add_outer_products",
    "cholesky",
    "outer_product_inverse",
]

Array = NDArray[Any]

#: Rows, or columns, that go into one product of matrices.
_BLOCK = 128


class NotPositiveDefiniteError(np.linalg.LinAlgError):
    """A matrix that had to be positive definite isn't.

    Attributes
    ----------
    lowest_eigenvalue : float
        How far it is from it.
    damping : float
        What, added to the diagonal, mends it.
    """

    def __init__(self, name: str, eigenvalues: Array) -> None:
        lowest, highest = float(eigenvalues[0]), float(abs(eigenvalues).max())
        rounding = 2 * len(eigenvalues) * float(np.finfo(eigenvalues.dtype).eps) * highest
        self.lowest_eigenvalue = lowest
        self.damping = max(-lowest, 0.0) + max(rounding, float(np.finfo(eigenvalues.dtype).tiny))
        super().__init__(
            f"{name} is not positive definite: its lowest eigenvalue is {lowest:.3g}, the largest "
            f"in size is {highest:.3g}, {int((eigenvalues <= 0).sum())} of {len(eigenvalues)} are "
            f"not above 0; {self.damping:.3g} added to the diagonal mends it"
        )


def _matrix(name: str, value: ArrayLike) -> Array:
    """A finite symmetric matrix, float32 or float64."""
    a = np.asarray(value)
    if a.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {a.dtype}, expected real numbers")
    a = a.astype(np.float32 if a.dtype == np.float32 else np.float64, copy=False)
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise ValueError(f"{name} has shape {a.shape}, expected (W, W)")
    if not np.isfinite(a).all():
        raise ValueError(f"{name} is not finite")
    asymmetry, largest = np.abs(a - a.T).max(initial=0), np.abs(a).max(initial=0)
    if asymmetry > np.sqrt(np.finfo(a.dtype).eps) * largest:
        raise ValueError(
            f"{name} is not symmetric: it differs from its transpose by up to {asymmetry:.3g}"
        )
    return a


def _rows(J: ArrayLike, row_weight: ArrayLike | None, n_weights: int | None) -> Array:
    """The rows b of J, (R, W), each times the root of its weight."""
    b = np.asarray(J)
    if b.dtype.kind not in "biuf":
        raise TypeError(f"J has dtype {b.dtype}, expected real numbers")
    b = b.astype(np.float32 if b.dtype == np.float32 else np.float64, copy=False)
    width = "W" if n_weights is None else n_weights
    if b.ndim not in (2, 3) or (n_weights is not None and b.shape[-1] != n_weights):
        raise ValueError(f"J has shape {b.shape}, expected (N, {width}) or (N, K, {width})")
    if not np.isfinite(b).all():
        raise ValueError("J is not finite")
    if row_weight is not None:
        s = np.asarray(row_weight, dtype=b.dtype)
        if s.shape not in (b.shape[:1], b.shape[:-1]):
            expected = " or ".join(str(shape) for shape in {b.shape[:1], b.shape[:-1]})
            raise ValueError(f"row_weight has shape {s.shape}, expected {expected}")
        if not (np.isfinite(s).all() and (s >= 0).all()):
            raise ValueError("row_weight has an element that is negative or not finite")
        b = b * np.sqrt(s).reshape(s.shape + (1,) * (b.ndim - s.ndim))
    return b.reshape(-1, b.shape[-1])


def outer_product_inverse(
    J: ArrayLike, alpha: ArrayLike, row_weight: ArrayLike | None = None
) -> Array:
    """(alpha I + sum_n s_n b_n b_n^T)^-1, (W, W), built up from outer products (PRML 5.87 to 5.89).

    With b_n = dy_n/dw this is the inverse of the outer-product approximation of the Hessian
    (PRML 5.84) plus the prior's alpha I; with more outputs each has its own b.

    Parameters
    ----------
    J : (N, W) or (N, K, W)
        The rows b, as `Network.weight_jacobian` gives them.
    alpha : float or (W,)
        Above 0: where the build-up starts. (W,) stands for diag(alpha), such as the
        ``hessian_diagonal`` of a regularizer that leaves no weight free; one that does leaves no
        inverse to start from: then take `cholesky` of ``net.hessian(..., regularizer=R)``.
    row_weight : (N,) or (N, K), optional
        s, at least 0: the noise precision beta, y(1 - y) of a sigmoid output (PRML 5.85), ...

    Notes
    -----
    Sherman and Morrison's step (PRML 5.89), taken for a block of rows at once (Woodbury): about
    N W^2 multiply-adds in products of matrices. Symmetric to the last bit. Rounding errors are of
    the size of eps / alpha: where alpha is very small beside the rest, sum up the matrix itself
    and take `cholesky`.
    """
    b = _rows(J, row_weight, None)
    start = _precisions(alpha, b.shape[1]).astype(b.dtype)
    return _add(np.diag(1 / start), b)


def _precisions(alpha: ArrayLike, n_weights: int) -> Array:
    """alpha as (W,), each above 0."""
    if np.ndim(alpha) == 0:
        return np.full(n_weights, real_number("alpha", alpha, positive=True))
    array = np.asarray(alpha)
    if array.shape != (n_weights,):
        raise ValueError(f"alpha has shape {array.shape}, expected a number or ({n_weights},)")
    return np.array([real_number(f"alpha[{i}]", a, positive=True) for i, a in enumerate(array)])


def add_outer_products(
    inverse: ArrayLike, J: ArrayLike, row_weight: ArrayLike | None = None
) -> Array:
    """The inverse (W, W) of ``A + sum_n s_n b_n b_n^T`` from the inverse of A.

    What `outer_product_inverse` goes on with when further data come in; arguments as there.
    """
    start = _matrix("inverse", inverse)
    b = _rows(J, row_weight, len(start))
    return _add(start.astype(np.result_type(start, b), copy=True), b)


def _add(inverse: Array, rows: Array) -> Array:
    """In place: A^-1 - A^-1 B^T (I + B A^-1 B^T)^-1 B A^-1, a block B of rows after the other."""
    for first in range(0, len(rows), _BLOCK):
        B = rows[first : first + _BLOCK]
        BA = B @ inverse
        inner = BA @ B.T
        inner[np.diag_indices_from(inner)] += 1
        try:
            L = np.linalg.cholesky(inner)
        except np.linalg.LinAlgError:  # of a start that was not positive, or by rounding
            raise NotPositiveDefiniteError("I + B A^-1 B^T", np.linalg.eigvalsh(inner)) from None
        half = _solve_lower(L, BA)
        inverse -= half.T @ half
    return inverse


def _solve_lower(L: Array, b: Array) -> Array:
    """L^-1 b for a lower triangle, by forward substitution a block of rows at a time."""
    x = np.array(b, dtype=np.result_type(L, b))
    for first in range(0, len(L), _BLOCK):
        rows = slice(first, first + _BLOCK)
        x[rows] -= L[rows, :first] @ x[:first]
        x[rows] = np.linalg.solve(L[rows, rows], x[rows])
    return x


def _solve_lower_transposed(L: Array, b: Array) -> Array:
    """L^-T b, by backward substitution likewise."""
    x = np.array(b, dtype=np.result_type(L, b))
    for first in reversed(range(0, len(L), _BLOCK)):
        rows = slice(first, first + _BLOCK)
        x[rows] -= L[first + _BLOCK :, rows].T @ x[first + _BLOCK :]
        x[rows] = np.linalg.solve(L[rows, rows].T, x[rows])
    return x


@dataclass(frozen=True)
class CholeskyFactor:
    """H + damping I = L L^T, with L a lower triangle; what `cholesky` returns."""

    L: Array  #: (W, W)
    damping: float

    def solve(self, b: ArrayLike) -> Array:
        """(H + damping I)^-1 b, for b of shape (W,) or (W, m)."""
        array = np.asarray(b)
        if array.ndim not in (1, 2) or len(array) != len(self.L):
            raise ValueError(
                f"b has shape {array.shape}, expected ({len(self.L)},) or ({len(self.L)}, m)"
            )
        columns = array.reshape(len(self.L), -1)
        x = _solve_lower_transposed(self.L, _solve_lower(self.L, columns))
        return x.reshape(array.shape)

    def log_determinant(self) -> float:
        """ln |H + damping I|, without overflow."""
        return 2 * float(np.log(np.diagonal(self.L)).sum(dtype=np.float64))

    def inverse(self) -> Array:
        """(H + damping I)^-1, (W, W), symmetric to the last bit."""
        half = _solve_lower(self.L, np.eye(len(self.L), dtype=self.L.dtype))
        return half.T @ half

    def __repr__(self) -> str:
        return (
            f"CholeskyFactor(W={len(self.L)}, damping={self.damping:g}, "
            f"log_determinant={self.log_determinant():.6g})"
        )


def cholesky(H: ArrayLike, damping: float = 0.0) -> CholeskyFactor:
    """The Cholesky factor of H + damping I, to solve with and for its log-determinant.

    Parameters
    ----------
    H : (W, W)
        Symmetric; a Hessian.
    damping : float
        At least 0, added to the diagonal: a prior's alpha, or what makes an indefinite Hessian
        positive.

    Raises
    ------
    NotPositiveDefiniteError
        If it isn't positive definite. The message, and the exception's ``lowest_eigenvalue`` and
        ``damping``, say by how much, and what would mend it.

    Examples
    --------
    >>> factor = cholesky([[4.0, 2.0], [2.0, 3.0]])
    >>> factor.solve([8.0, 7.0])
    array([1.25, 1.5 ])
    >>> cholesky([[1.0, 2.0], [2.0, 1.0]])  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    mlpcore.inverse.NotPositiveDefiniteError: H is not positive definite: its lowest ...
    """
    matrix = _matrix("H", H)
    damping = real_number("damping", damping)
    damped = matrix + damping * np.eye(len(matrix), dtype=matrix.dtype) if damping else matrix
    try:
        L = np.linalg.cholesky(damped)
    except np.linalg.LinAlgError:
        name = f"H + {damping:g} I" if damping else "H"
        raise NotPositiveDefiniteError(name, np.linalg.eigvalsh(damped)) from None
    return CholeskyFactor(L, damping)
