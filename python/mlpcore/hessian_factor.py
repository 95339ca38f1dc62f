"""The inverse factor of a Hessian, in units that make its rows alike, and changes of few rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["OUT_OF_REACH", "ROUNDING", "Factor", "equilibrating_units", "inverse_factor"]

Array = NDArray[Any]

ROUNDING = 1e-13  # relative to F or to a curvature one expects, below which rounding may lead
OUT_OF_REACH = 1e-8  # a leverage nearer to 1 than this is 1 but for rounding


def equilibrating_units(H: Array, start: Array, held: Any = False) -> Array:
    """d (W,), powers of 2, such that H / (d d^T) has rows whose largest elements are about 1.

    What is singular, or flat, must not depend on the units of inputs and targets, and in these it
    does not. Rows and columns take turns (Ruiz, A scaling algorithm to equilibrate both rows and
    columns norms in matrices, 2001), for where H is indefinite its diagonal may be 0. A row of
    zeros, or of what is rounding in the units ``start`` (W,), beside 1 or the largest, keeps those.
    On the diagonal of the weights ``held`` (W,) bools nothing is rounding.
    """
    size = np.abs(H)
    size /= start[:, None]
    size /= start
    rounding = size < ROUNDING * min(size.max(), 1)
    rounding[np.diag_indices_from(H)] &= ~np.asarray(held)
    size[rounding] = 0
    d = start.copy()
    for _ in range(20):  # each halves the logarithm of what is left
        largest = size.max(axis=1)
        root = np.sqrt(np.where(largest > 0, largest, 1))
        if ((root > 0.7) & (root < 1.5)).all():
            break
        d *= root
        size /= root[:, None]
        size /= root
    units: Array = np.exp2(np.round(np.log2(d)))  # so that to divide by them rounds nothing
    return units


def inverse_factor(H: Array, d: Array) -> Array:
    """U = L^{-1} of the Cholesky factor H = L L^T, so that H^{-1} = U^T U.

    NumPy solves no triangular systems; with U every solution is a product of matrices.
    LinAlgError if H is not positive definite, or singular to rounding in the units ``d`` (W,).
    """
    U: Array = H / d[:, None]
    U /= d
    U = np.linalg.cholesky(U)
    trace = np.vdot(U, U)  # of H in these units
    _invert_lower(U)
    if not trace * np.vdot(U, U) < 0.1 / np.finfo(float).eps:  # trace(H) trace(H^{-1})
        raise np.linalg.LinAlgError("singular to rounding")
    U /= d
    return U


def _invert_lower(L: Array) -> None:
    """Makes a lower triangle its inverse, by halves: of [A, 0; C, B] [A', 0; -B' C A', B']."""
    n = len(L)
    if n <= 64:
        L[...] = np.tril(np.linalg.inv(L))
        return
    m = n // 2
    A, B, C = L[:m, :m], L[m:, m:], L[m:, :m]
    _invert_lower(A)
    _invert_lower(B)
    C[...] = -(B @ (C @ A))


class Factor:
    """The inverse of H + V^T C V, from that of H and the rows V (m, W), by Woodbury; C = diag(+-1).

    (H + V^T C V)^{-1} = U^T (I + G^T C G)^{-1} U,    G = V U^T
    (I + G^T C G)^{-1} = I - G^T (C + G G^T)^{-1} G
    """

    def __init__(self, U: Array, G: Array | None = None, c: Array | None = None) -> None:
        self.U = U
        self.G = np.zeros((0, len(U))) if G is None else G
        self.c = np.zeros(0) if c is None else c
        # For a row taken out its leverage less 1, for one added 1 or more.
        eigenvalues, Q = np.linalg.eigh(np.diag(self.c) + self.G @ self.G.T)
        size = np.abs(eigenvalues)
        if (size < OUT_OF_REACH * size.max(initial=1)).any():
            raise np.linalg.LinAlgError("singular to rounding")
        # As many negative eigenvalues as rows taken out: the sum is positive definite.
        if (eigenvalues < 0).sum() != (self.c < 0).sum():
            raise np.linalg.LinAlgError("not positive definite")
        self._inner = (Q / eigenvalues) @ Q.T

    def changed(self, V: Array, c: Array) -> Factor:
        """That of the sum with V^T diag(c) V added; LinAlgError if it is not positive definite."""
        G = np.concatenate([self.G, np.sqrt(np.abs(c))[:, None] * (V @ self.U.T)])
        return Factor(self.U, G, np.concatenate([self.c, np.sign(c)]))

    def solve_within(self, u: Array) -> Array:
        """(I + G^T C G)^{-1} u, between the U^T and U of `solve`."""
        result: Array = u - self.G.T @ (self._inner @ (self.G @ u))
        return result

    def solve(self, v: Array) -> Array:
        solution: Array = self.U.T @ self.solve_within(self.U @ v)
        return solution
