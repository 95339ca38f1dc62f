"""Standardize inputs and targets, and undo it in predictions and in the Jacobian.

A network learns best when every input and target has mean 0 and standard deviation 1.  With
``x' = (x - m_x) / s_x`` and ``t' = (t - m_t) / s_t`` a network ``y'(x')`` of the standardized
quantities is, in the units of the data,

    y(x) = m_t + s_t * y'((x - m_x) / s_x)
    dy_k/dx_i = (s_t)_k / (s_x)_i * dy'_k/dx'_i
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Standardizer", "unscale_jacobian"]


@dataclass(frozen=True, eq=False)
class Standardizer:
    """Mean and scale of the columns of a matrix.

    Attributes
    ----------
    mean : (C,) float64
        Mean of each column.
    scale : (C,) float64
        Standard deviation of each column (the root of the mean square, not of the unbiased
        estimate); 1 where the column is constant, so that it becomes 0 everywhere.

    Examples
    --------
    >>> s = Standardizer.fit([[1.0, 7.0], [3.0, 7.0]])
    >>> s.transform([[3.0, 7.0]])
    array([[1., 0.]])
    >>> s.inverse([[1.0, 0.0]])
    array([[3., 7.]])
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, A: ArrayLike) -> Standardizer:
        """Measure the columns of ``A``.

        Parameters
        ----------
        A : (N, C) array_like, N > 0
            A column is taken as constant when its standard deviation is below what rounding
            can make of equal numbers (8 units in the last place of its largest value).

        Raises
        ------
        ValueError
            If ``A`` is not a matrix, has no row, holds NaN or infinity, or values whose square
            overflows (beyond 1e150 in absolute value).
        """
        values = np.asarray(A, dtype=np.float64)
        if values.ndim != 2 or values.shape[0] == 0:
            raise ValueError(
                f"A: expected a matrix with at least one row, got shape {values.shape}"
            )
        largest = np.abs(values).max(axis=0)
        if not bool(np.all(largest <= 1e150)):
            raise ValueError("A: expected finite values of at most 1e150, got NaN or larger ones")
        mean = values.mean(axis=0)
        scale = values.std(axis=0)
        constant = constant_columns(values)
        mean[constant] = values[0, constant]
        scale[constant] = 1.0
        return cls(mean, scale)

    def transform(self, A: ArrayLike) -> NDArray[np.float64]:
        """``(A - mean) / scale``, shape ``(N, C)``."""
        standardized: NDArray[np.float64] = (
            np.asarray(A, dtype=np.float64) - self.mean
        ) / self.scale
        return standardized

    def inverse(self, A: ArrayLike) -> NDArray[np.float64]:
        """``mean + scale * A``, shape ``(N, C)``: back to the units of the data."""
        original: NDArray[np.float64] = self.mean + self.scale * np.asarray(A, dtype=np.float64)
        return original


def constant_columns(A: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which columns of ``A`` (N, C) are constant up to rounding: bool, shape (C,).

    Also columns that vary by less than 1e-150, whose squares would vanish.
    """
    rounding = 8 * np.finfo(np.float64).eps * np.abs(A).max(axis=0)
    constant: NDArray[np.bool_] = (np.ptp(A, axis=0) == 0) | (
        A.std(axis=0) <= np.maximum(rounding, 1e-150)
    )
    return constant


def unscale_jacobian(
    J: ArrayLike, inputs: Standardizer, targets: Standardizer
) -> NDArray[np.float64]:
    """The Jacobian in the units of the data from that of the standardized quantities.

    Parameters
    ----------
    J : (N, K, D) array_like
        ``dy'_k/dx'_i`` of a network that was fitted to standardized inputs and targets.
    inputs, targets : Standardizer
        Those of the D inputs and of the K targets.

    Returns
    -------
    (N, K, D) float64
        ``dy_k/dx_i``.
    """
    unscaled: NDArray[np.float64] = np.asarray(J, dtype=np.float64) * (
        targets.scale[:, np.newaxis] / inputs.scale
    )
    return unscaled
