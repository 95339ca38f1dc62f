"""Inverses of Hessians: built up from outer products, or by Cholesky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import _core
from mlpcore.checks import as_float64, as_floats, check_finite, real_number

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

#: Rows that go into one QR decomposition, or twice as many as there are columns.
_QR_BLOCK = 512

#: By how much a Woodbury step may enlarge rounding errors.
_LOSS = 1e3

#: Bound on rounding errors, as a share of the root of a matrix or of the largest element.
_ROUNDING = 0.01

#: Roundings of its largest element that an inverse carries.
_CARRIED = 4


class NotPositiveDefiniteError(np.linalg.LinAlgError):
    """A matrix that had to be positive definite isn't, or only by rounding.

    Attributes
    ----------
    lowest_eigenvalue : float
        How far it is from it.
    damping : float
        What, added to the diagonal, mends it; rounded up to three digits, as in the message.
    """

    def __init__(
        self, message: str, lowest_eigenvalue: float = np.nan, damping: float = np.nan
    ) -> None:
        self.lowest_eigenvalue = lowest_eigenvalue
        self.damping = damping
        super().__init__(message)


def _not_positive_definite(name: str, matrix: Array) -> NotPositiveDefiniteError:
    """The error that tells by how much a matrix that has no `_root` fails, and what mends it."""
    W, kind = len(matrix), np.finfo(matrix.dtype)
    eigenvalues = np.linalg.eigvalsh(matrix)
    lowest, highest = float(eigenvalues[0]), float(abs(eigenvalues).max())
    rounding = max(4 * W * float(kind.eps) * highest, float(kind.tiny))
    shift, slack = max(-lowest, 0.0), rounding
    # With half of it already it is mended, so that rounding does not decide.
    while _root(_damped(matrix, shift + slack / 2)) is None and slack < float(kind.max) / 4:
        slack *= 2
    damping = _rounded_up(shift + slack)
    if lowest < -rounding:
        beyond, bound, n = "", "0", int((eigenvalues <= 0).sum())
    else:
        beyond, bound = " beyond rounding", f"{rounding:.3g}"
        n = int((eigenvalues <= rounding).sum())
    return NotPositiveDefiniteError(
        f"{name} is not positive definite{beyond}: its lowest eigenvalue is {lowest:.3g}, the "
        f"largest in size is {highest:.3g}, {n} of {W} are not above {bound}; {damping:.3g} added "
        "to the diagonal mends it",
        lowest,
        damping,
    )


def _rounded_up(x: float) -> float:
    """x, above 0, with three digits."""
    return float(f"{1.006 * x:.2e}")


def _damped(matrix: Array, damping: float) -> Array:
    """A copy with damping added to the diagonal; infinite where that overflows."""
    damped = matrix.copy()
    with np.errstate(over="ignore"):
        damped[np.diag_indices_from(damped)] += matrix.dtype.type(damping)
    return damped


def _real(name: str, value: ArrayLike) -> Array:
    """A finite array of real numbers, float32 or float64."""
    array = as_floats(name, value)
    check_finite(name, array)
    return array


def _matrix(what: str, name: str, value: ArrayLike) -> Array:
    """A finite symmetric matrix, float32 or float64; half the sum if the halves differ a bit.

    A MemoryError if the least that ``what`` makes of it is not to be had.
    """
    a = _real(name, value)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or len(a) == 0:
        raise ValueError(f"{name} has shape {a.shape}, expected (W, W) with W of at least 1")
    _core.check_memory(f"the working memory of {what}", 3 * a.nbytes)
    with np.errstate(over="ignore"):
        asymmetry, largest = np.abs(a - a.T).max(), np.abs(a).max()
    if asymmetry > np.sqrt(np.finfo(a.dtype).eps) * largest:
        raise ValueError(
            f"{name} is not symmetric: it differs from its transpose by up to {asymmetry:.3g}"
        )
    return a if asymmetry == 0 else np.asarray(a / 2 + a.T / 2)


def _rows(
    J: ArrayLike, row_weight: ArrayLike | None, n_weights: int | None
) -> tuple[Array, np.dtype[Any]]:
    """The rows b of J, (R, W), each times the root of its weight, in float64; the dtype of J."""
    given = _real("J", J)
    width = "W" if n_weights is None else n_weights
    if given.ndim not in (2, 3) or (n_weights is not None and given.shape[-1] != n_weights):
        raise ValueError(f"J has shape {given.shape}, expected (N, {width}) or (N, K, {width})")
    if given.shape[-1] == 0:
        raise ValueError(
            f"J has shape {given.shape}, expected (N, W) or (N, K, W) with W of at least 1"
        )
    b, weighted = given.astype(np.float64, copy=False), ""
    if row_weight is not None:
        s = _real("row_weight", row_weight).astype(np.float64, copy=False)
        if s.shape not in (b.shape[:1], b.shape[:-1]):
            expected = " or ".join(str(shape) for shape in {b.shape[:1], b.shape[:-1]})
            raise ValueError(f"row_weight has shape {s.shape}, expected {expected}")
        if (s < 0).any():
            first = tuple(int(n) for n in np.argwhere(s < 0)[0])
            raise ValueError(
                f"row_weight[{', '.join(map(str, first))}] is {s[first]:g}, expected a weight of "
                "at least 0"
            )
        with np.errstate(over="ignore"):
            b = b * np.sqrt(s).reshape(s.shape + (1,) * (b.ndim - s.ndim))
        weighted = " times the root of row_weight"
    if not np.isfinite(np.vdot(b, b)):
        raise ValueError(
            f"J{weighted} is up to {np.abs(b).max():.3g} in size, expected rows b whose b b^T do "
            "not overflow"
        )
    return b.reshape(-1, b.shape[-1]), given.dtype


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

    Returns
    -------
    (W, W)
        Symmetric to the last bit; float32 for J in float32 (computed in float64), else float64.

    Raises
    ------
    TypeError, ValueError
        If an argument is no array of finite real numbers of its shape, alpha is not above 0 or a
        row_weight is negative; if alpha is so far below J that rounding leaves nothing of the
        inverse, or the inverse or the b b^T are out of the range of floating point.
    MemoryError
        If the result, or what it is made of, is larger than the memory available; the message
        states its size.

    Notes
    -----
    Fewer rows than weights are taken by Sherman and Morrison's step (PRML 5.89) for all of them at
    once (Woodbury). Where they hold all weights instead, the step's difference would lose as many
    digits as alpha is below the b b^T. Then the root R of the sum, R^T R = alpha I + sum_n s_n b_n
    b_n^T, grows by QR decompositions, block of rows by block of rows, and the inverse is R^-1 R^-T.
    About 2 N W^2 multiply-adds, in products of matrices.

    With c the condition number of the sum, rounding errors as a share of the largest element are
    at most of the size of eps sqrt(c), by a Woodbury step of 1e3 eps; mostly they are far below.
    (A Cholesky factor of the sum has eps c, row-by-row steps eps / alpha times the largest b.b.)
    Where they might come to a hundredth, alpha is refused.
    """
    b, dtype = _rows(J, row_weight, None)
    start = _precisions(alpha, b.shape[1])
    _expect_memory("outer_product_inverse", b, few=3, many=1)
    inverse = _from_few(start, b) if len(b) < len(start) else None
    if inverse is None:
        inverse = _inverse_by_root(np.diag(np.sqrt(start)), b)
    if inverse is None:
        squares = float(np.einsum("nw,nw->w", b, b).max())
        enough = squares * (2 * len(start) * float(np.finfo(np.float64).eps) / _ROUNDING) ** 2
        raise ValueError(
            f"alpha is {_least(alpha, start)} beside outer products that sum up to "
            f"{squares:.3g}, expected at least {_rounded_up(enough):.3g}: rounding leaves nothing "
            "of the inverse"
        )
    return _in_range(inverse, dtype, f"alpha is {_least(alpha, start)}", b)


def _expect_memory(what: str, rows: Array, few: int, many: int) -> None:
    """A MemoryError if what is made of these rows is not to be had.

    By a step it is `few` (W, W) beside what grows with the rows; by QR decompositions it is `many`
    beside their blocks, of which NumPy and LAPACK each make a copy.
    """
    N, W = rows.shape
    _core.check_memory(f"{what} of shape ({W}, {W})", 8 * W**2)
    numbers = few * W**2 + 3 * N * W if N < W else many * W**2 + 3 * (min(N, 3 * W) + W) * W
    _core.check_memory(f"the working memory of {what}", 8 * numbers)


def _least(alpha: ArrayLike, precisions: Array) -> str:
    """What a message says of alpha."""
    return f"{'' if np.ndim(alpha) == 0 else 'down to '}{precisions.min():.3g}"


def _in_range(inverse: Array, dtype: np.dtype[Any], start: str, rows: Array) -> Array:
    """The inverse in its dtype; a ValueError if its diagonal overflows or underflows there."""
    with np.errstate(over="ignore", under="ignore"):
        result = inverse.astype(dtype, copy=False)
    diagonal = np.diagonal(result)
    if not np.isfinite(diagonal).all():
        raise ValueError(f"{start}, with which the inverse overflows {dtype}")
    if not (diagonal > 0).all():
        raise ValueError(
            f"J is up to {np.abs(rows).max(initial=0):.3g} in size, with which the inverse "
            f"underflows {dtype}"
        )
    return result


def _precisions(alpha: ArrayLike, n_weights: int) -> Array:
    """alpha as (W,), each above 0."""
    if np.isscalar(alpha) and not isinstance(alpha, np.generic):
        return np.full(n_weights, real_number("alpha", alpha, positive=True))
    array = as_float64("alpha", alpha)
    if array.ndim == 0:
        return np.full(n_weights, real_number("alpha", array.item(), positive=True))
    if array.shape != (n_weights,):
        raise ValueError(f"alpha has shape {array.shape}, expected a number or ({n_weights},)")
    return np.array([real_number(f"alpha[{i}]", a, positive=True) for i, a in enumerate(array)])


def add_outer_products(
    inverse: ArrayLike, J: ArrayLike, row_weight: ArrayLike | None = None
) -> Array:
    """The inverse (W, W) of ``A + sum_n s_n b_n b_n^T`` from the inverse of A.

    What `outer_product_inverse` goes on with when further data come in.

    Parameters
    ----------
    inverse : (W, W)
        A^-1, positive definite. It stays as it is.
    J : (N, W) or (N, K, W)
        The further rows b.
    row_weight : (N,) or (N, K), optional
        s, at least 0, of each of them.

    Returns
    -------
    (W, W)
        Symmetric to the last bit; float32 if inverse and J are (computed in float64), else float64.

    Raises
    ------
    TypeError, ValueError
        If an argument is no array of finite real numbers of its shape, inverse is not symmetric or
        a row_weight is negative; if rounding, that of ``inverse`` among it, may come to a
        hundredth of the largest element of the result.
    NotPositiveDefiniteError
        If inverse turns out not to be positive definite, by more than rounding. Few rows need not
        bring that to light.
    MemoryError
        If the result, or what it is made of, is larger than the memory available; the message
        states its size.

    Notes
    -----
    Fewer rows than weights take about 2 N W^2 multiply-adds (PRML 5.89), unless they make the
    largest element much smaller; then, and for more rows, the root of A grows as in
    `outer_product_inverse`.

    ``inverse`` comes with rounding errors dP of its own, taken as 4 eps times its largest element,
    eps that of its dtype. In the result Q they are M dP M^T with M = Q A, which rows nearly
    parallel to those before make large; and where A is so large in the direction of a row that dP
    hides its inverse, nothing is left of A there. Both are refused. Where alpha is far below J,
    one `outer_product_inverse` of all rows is more exact than a start from a few of them. (Weights
    in units so different that the small elements of ``inverse`` are below the rounding of its
    largest are refused too.)
    """
    given = _matrix("add_outer_products", "inverse", inverse)
    b, dtype = _rows(J, row_weight, len(given))
    _expect_memory("add_outer_products", b, few=2, many=2)
    if not (np.diagonal(given) > 0).all():
        raise _not_positive_definite("inverse", given)
    largest = float(np.diagonal(given).max())
    start = _Rounded(
        given.astype(np.float64, copy=False), _CARRIED * float(np.finfo(given.dtype).eps) * largest
    )
    added = _add(start, b)
    if added is None:
        eigenvalues = np.linalg.eigvalsh(given)
        # An inverse that a Woodbury step has left with all of its `_LOSS` may be below 0 by that.
        if eigenvalues[0] < -_LOSS * np.finfo(given.dtype).eps * abs(eigenvalues).max():
            raise _not_positive_definite("inverse", given)
        raise ValueError(
            f"J is up to {np.abs(b).max():.3g} in size beside an inverse of up to {largest:.3g}, "
            f"expected less: rounding, of up to {start.rounding:.1g} in this inverse already, "
            "leaves nothing of the result; outer_product_inverse of all rows keeps more"
        )
    name = f"inverse is up to {largest:.3g}"
    return _in_range(added.inverse, np.result_type(given.dtype, dtype), name, b)


class _Rounded(NamedTuple):
    """An inverse (W, W), and what of its elements may be rounding."""

    inverse: Array
    rounding: float


def _add(start: _Rounded, rows: Array) -> _Rounded | None:
    """(A + B^T B)^-1 from A^-1 and the rows B; None where rounding leaves nothing of it."""
    added = _add_few(start, rows) if len(rows) < len(start.inverse) else None
    added = added or _add_to_root(start, rows)
    if added is not None or len(rows) <= 1:
        return added
    # The inverse has become singular to rounding: fewer rows at a time may still go well.
    middle = len(rows) // 2
    first = _add(start, rows[:middle])
    return None if first is None else _add(first, rows[middle:])


def _carried(start: _Rounded, hidden: float, growth: float, result: Array) -> _Rounded | None:
    """The result Q with the rounding dP of the start in it; None where that leaves nothing of it.

    To first order it is M dP M^T with M = Q A, the squares of whose rows sum up to `growth` at
    most. That holds where the trace of B^T (I + B A^-1 B^T)^-1 B, `hidden`, times dP is below 1.
    """
    largest = float(np.diagonal(result).max())
    rounding = start.rounding * growth
    if not (start.rounding * hidden < _ROUNDING and rounding < _ROUNDING * largest):
        return None
    return _Rounded(result, rounding + _CARRIED * float(np.finfo(np.float64).eps) * largest)


def _add_to_root(start: _Rounded, rows: Array) -> _Rounded | None:
    """(A + B^T B)^-1 from the root of A; None where rounding leaves nothing of it."""
    L = _root(start.inverse)
    if L is None:
        return None
    root = _inverse_upper(L.T).T  # A^-1 = L L^T
    # All of A: rows that reach all of it leave no less.
    hidden = float(np.square(root).sum())
    if not start.rounding * hidden < _ROUNDING:
        return None
    result = _inverse_by_root(root, rows)
    if result is None:
        return None
    M = result @ root.T @ root
    return _carried(start, hidden, float(np.einsum("ij,ij->i", M, M).max()), result)


def _add_few(start: _Rounded, B: Array) -> _Rounded | None:
    """(A + B^T B)^-1 from A^-1 and few rows B; None where that loses more than `_LOSS`."""
    inverse = start.inverse
    with np.errstate(over="ignore", invalid="ignore"):
        BA = B @ inverse
        inner = BA @ B.T
    inner[np.diag_indices_from(inner)] += 1
    if not np.isfinite(inner).all():
        return None
    try:
        R = np.linalg.cholesky(inner).T
    except np.linalg.LinAlgError:
        return None
    result = _woodbury(inverse, BA, R, _spread(R) ** 2)
    if result is None:
        return None
    half, S = _solve_lower(R.T, BA), _solve_lower(R.T, B)
    # M = I - half^T S
    growth = 1 + np.einsum("ni,ni->i", half, S @ S.T @ half - 2 * S)
    return _carried(start, float(np.square(S).sum()), float(growth.max()), result)


def _from_few(alpha: Array, B: Array) -> Array | None:
    """(diag(alpha) + B^T B)^-1 from few rows B; None where that loses more than `_LOSS`."""
    with np.errstate(over="ignore", invalid="ignore"):
        G = B / np.sqrt(alpha)
        if not np.isfinite(np.vdot(G, G)):
            return None
        # The root of I + G G^T without this sum, which has the square of its condition number.
        R = np.asarray(np.linalg.qr(np.concatenate([G.T, np.eye(len(B))]), mode="r"))
        return _woodbury(np.diag(1 / alpha), B / alpha, R, _spread(R))


def _spread(R: Array) -> float:
    """The largest by the smallest diagonal element: the condition number of R, roughly."""
    pivots = np.abs(np.diagonal(R))
    return float(pivots.max() / pivots.min()) if len(R) else 1.0


def _woodbury(inverse: Array, BA: Array, R: Array, lost: float) -> Array | None:
    """A^-1 - A^-1 B^T (R^T R)^-1 B A^-1 with R^T R = I + B A^-1 B^T (Woodbury; PRML 5.89).

    None where the difference, after R has ``lost`` something, loses more than `_LOSS`.
    """
    if not lost <= _LOSS:
        return None
    half = _solve_lower(R.T, BA)
    result: Array = inverse - half.T @ half
    diagonal = np.diagonal(result)
    if not (diagonal > 0).all():  # A^-1 is not positive definite
        return None
    if not np.diagonal(inverse).max() * lost <= diagonal.max() * _LOSS:
        return None
    return result


def _inverse_by_root(root: Array, rows: Array) -> Array | None:
    """(A + B^T B)^-1 with A = root^T root (W, W); None where rounding leaves nothing of it.

    The triangle of the QR decomposition of a block below the triangle so far has the squares of
    both; no difference is taken. The root of A, mostly the smallest, comes last: a reflection
    rounds each row by its share in it, and that of small rows below large ones is small.
    """
    W = len(root)
    size = max(2 * W, _QR_BLOCK)
    R: Array = rows[:0]
    for first in range(0, max(len(rows), 1), size):
        parts = [R, rows[first : first + size]]
        if first + size >= len(rows):
            parts.append(root)
        R = np.asarray(np.linalg.qr(np.concatenate(parts), mode="r"))
    if not np.diagonal(R).all():
        return None
    half = _inverse_upper(R)
    with np.errstate(over="ignore", invalid="ignore"):
        # The condition number with columns of length 1: in what units weights are does not matter.
        lengths = np.sqrt(np.square(R).sum(axis=0))
        condition = np.sqrt(W) * np.linalg.norm(lengths[:, np.newaxis] * half)
        if not condition * np.finfo(np.float64).eps < _ROUNDING:
            return None
        inverse: Array = half @ half.T
    return inverse


def _solve_lower(L: Array, b: Array) -> Array:
    """L^-1 b for a lower triangle, by forward substitution."""
    # Turned round it is an upper triangle, in which NumPy's solver has nothing to eliminate.
    return np.ascontiguousarray(_solve_upper(L[::-1, ::-1], b[::-1])[::-1])


def _solve_upper(R: Array, b: Array) -> Array:
    """R^-1 b for an upper triangle, by backward substitution a block of rows at a time."""
    x = np.array(b, dtype=np.result_type(R, b))
    for first in reversed(range(0, len(R), _BLOCK)):
        rows = slice(first, first + _BLOCK)
        x[rows] -= R[rows, first + _BLOCK :] @ x[first + _BLOCK :]
        x[rows] = np.linalg.solve(R[rows, rows], x[rows])
    return x


def _inverse_upper(R: Array) -> Array:
    """R^-1 for an upper triangle, likewise; only the upper triangle is touched."""
    x = np.zeros_like(R)
    for first in reversed(range(0, len(R), _BLOCK)):
        end = min(first + _BLOCK, len(R))
        rows = slice(first, end)
        inverse = np.linalg.inv(R[rows, rows])
        x[rows, rows] = inverse
        x[rows, end:] = -inverse @ (R[rows, end:] @ x[end:, end:])
    return x


def _root(matrix: Array) -> Array | None:
    """L of matrix = L L^T; None unless it is positive definite by more than rounding.

    Rounding is judged with the diagonal scaled to 1, so that units of weights do not matter.
    There the null space of a singular matrix, as sums of squares leave it, has eigenvalues of up
    to eps sqrt(W) / 2 in size; those below 4 eps sqrt(W) count as rounding.
    """
    try:
        L: Array = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(L).all():
        return None
    W, eps = len(L), float(np.finfo(matrix.dtype).eps)
    scaled = L.astype(np.float64)
    scaled /= np.sqrt(np.square(scaled).sum(axis=1))[:, np.newaxis]
    # No pivot need be small where an eigenvalue is. Inverse iteration finds it, from L^-T e of the
    # smallest pivot, which is nearly the null vector where that is rounding.
    e = np.zeros((W, 1))
    e[np.diagonal(scaled).argmin()] = 1
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        v = _solve_upper(scaled.T, e)
        for _ in range(2):
            v = _solve_upper(scaled.T, _solve_lower(scaled, v / np.linalg.norm(v)))
        lowest = 1 / np.linalg.norm(v)
    return L if lowest > 4 * eps * np.sqrt(W) else None


@dataclass(frozen=True, eq=False)
class CholeskyFactor:
    """H + damping I = L L^T, with L a lower triangle; what `cholesky` returns."""

    L: Array  #: (W, W)
    damping: float

    def solve(self, b: ArrayLike) -> Array:
        """(H + damping I)^-1 b.

        Parameters
        ----------
        b : (W,) or (W, m)
            The right-hand side, or m of them as columns.

        Returns
        -------
        (W,) or (W, m)
            As b; float32 if H and b are, else float64.

        Raises
        ------
        TypeError, ValueError
            If b is no array of finite real numbers of such a shape.
        """
        array, W = _real("b", b), len(self.L)
        if array.ndim not in (1, 2) or len(array) != W:
            raise ValueError(f"b has shape {array.shape}, expected ({W},) or ({W}, m)")
        columns = array if array.ndim == 2 else array[:, np.newaxis]
        return _solve_upper(self.L.T, _solve_lower(self.L, columns)).reshape(array.shape)

    def log_determinant(self) -> float:
        """ln |H + damping I|, without overflow."""
        return 2 * float(np.log(np.diagonal(self.L)).sum(dtype=np.float64))

    def inverse(self) -> Array:
        """(H + damping I)^-1, (W, W), symmetric to the last bit."""
        half = _inverse_upper(self.L.T)
        return half @ half.T

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

    Returns
    -------
    CholeskyFactor
        In float32 for H in float32, else in float64.

    Raises
    ------
    NotPositiveDefiniteError
        If it isn't positive definite, or only by rounding: J^T J of fewer rows than weights. The
        message, and the exception's ``lowest_eigenvalue`` and ``damping``, say by how much, and
        what, added to the diagonal, mends it. To say so all W eigenvalues are computed, O(W^3),
        and a failure takes several times as long as a factor. Don't raise `damping` by trial until
        it suffices: the first failure has named what does.
    TypeError, ValueError
        If H is no symmetric matrix of finite real numbers, or damping no number of at least 0.
    MemoryError
        If what is made of H, up to five matrices of its size (eight in float32), is more than the
        memory available; the message states its size.

    Examples
    --------
    >>> factor = cholesky([[4.0, 2.0], [2.0, 3.0]])
    >>> factor.solve([8.0, 7.0])
    array([1.25, 1.5 ])
    >>> cholesky([[1.0, 2.0], [2.0, 1.0]])  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    mlpcore.inverse.NotPositiveDefiniteError: H is not positive definite: its lowest ...
    """
    damping = real_number("damping", damping)
    matrix = _matrix("cholesky", "H", H)
    copies = (damping > 0) + (matrix is not H)
    # And three in float64: H as it is cast, LAPACK's copy and L; or L, scaled, and its squares.
    _core.check_memory("the working memory of cholesky", copies * matrix.nbytes + 24 * matrix.size)
    damped = _damped(matrix, damping) if damping else matrix
    if not np.isfinite(np.diagonal(damped)).all():
        raise ValueError(
            f"damping is {damping:g}, with which H + damping I overflows {damped.dtype}"
        )
    L = _root(damped)
    if L is None:
        raise _not_positive_definite(f"H + {damping:g} I" if damping else "H", damped)
    return CholeskyFactor(L, damping)
