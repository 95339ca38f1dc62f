"""Standardize inputs and targets, and undo it in predictions and in the Jacobian.

A network learns best when every input and target has mean 0 and standard deviation 1.  With
``x' = (x - m_x) / s_x`` and ``t' = (t - m_t) / s_t`` a network ``y'(x')`` of the standardized
quantities is, in the units of the data,

    y(x) = m_t + s_t * y'((x - m_x) / s_x)
    dy_k/dx_i = (s_t)_k / (s_x)_i * dy'_k/dx'_i
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore.checks import as_float64, check_finite
from mlpcore.network import Network

__all__ = ["Standardizer", "rescale_weights", "unscale_jacobian"]

LARGEST = 1e150  # The squares of larger numbers overflow.


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
    def fit(cls, A: ArrayLike, sample_weight: ArrayLike | None = None) -> Standardizer:
        """Measure the columns of ``A``.

        Parameters
        ----------
        A : (N, C) array_like, N > 0
            A column is taken as constant when its standard deviation is below what rounding
            can make of equal numbers (8 units in the last place of its largest value).
        sample_weight : (N,) array_like, optional
            Weights of the rows in the mean and the standard deviation, at least 0. A row of weight
            0 counts for nothing, nor does it keep a column from being constant.

        Raises
        ------
        TypeError
            If ``A`` does not hold real numbers, or is a masked array.
        ValueError
            If ``A`` is not a matrix, has no row, holds NaN or infinity, or values whose square
            overflows (beyond 1e150 in absolute value), or ``sample_weight`` has another length,
            a value that is negative or not finite, or a sum that is not positive and finite.
        """
        values = as_float64("A", A)
        if values.ndim != 2 or values.shape[0] == 0:
            raise ValueError(f"A has shape {values.shape}, expected (N, C) with N > 0")
        check_finite("A", values)
        if np.abs(values).max(initial=0.0) > LARGEST:
            i, j = (int(n) for n in np.argwhere(np.abs(values) > LARGEST)[0])
            raise ValueError(
                f"A[{i}, {j}] is {values[i, j]}, expected at most 1e150 in absolute value"
            )
        typical = 0  # the row of the largest weight
        if sample_weight is None:
            mean, scale = values.mean(axis=0), values.std(axis=0)
        else:
            weight = as_float64("sample_weight", sample_weight)
            if weight.shape != values.shape[:1]:
                raise ValueError(
                    f"sample_weight has shape {weight.shape}, expected ({values.shape[0]},)"
                )
            check_finite("sample_weight", weight)
            for i in np.flatnonzero(weight < 0)[:1]:
                raise ValueError(
                    f"sample_weight[{i}] is {weight[i]}, expected a weight of at least 0"
                )
            if not 0 < weight.sum() < np.inf:
                raise ValueError(
                    f"sample_weight has the sum {weight.sum()}, expected one above 0 and finite"
                )
            values, weight = values[weight > 0], weight[weight > 0]
            # Only their ratios count. By a power of two, the largest is 1 to below 2 without a
            # rounding, and the sums neither overflow nor vanish.
            weight = np.ldexp(weight, 1 - np.frexp(weight.max())[1])
            typical = int(np.argmax(weight))
            mean = np.average(values, axis=0, weights=weight)
            scale = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))
        constant = _is_constant(values, scale)
        mean[constant] = values[typical, constant]
        scale[constant] = 1.0
        return cls(mean, scale)

    def transform(self, A: ArrayLike) -> NDArray[np.float64]:
        """``(A - mean) / scale``, shape ``(N, C)``."""
        standardized: NDArray[np.float64] = (self._matrix(A) - self.mean) / self.scale
        return standardized

    def inverse(self, A: ArrayLike) -> NDArray[np.float64]:
        """``mean + scale * A``, shape ``(N, C)``: back to the units of the data."""
        original: NDArray[np.float64] = self.mean + self.scale * self._matrix(A)
        return original

    def _matrix(self, A: ArrayLike) -> NDArray[np.float64]:
        values = as_float64("A", A)
        columns = np.size(self.mean)
        if values.ndim != 2 or values.shape[1] != columns:
            raise ValueError(f"A has shape {values.shape}, expected (N, {columns})")
        return values


def constant_columns(A: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which columns of ``A`` (N, C) are constant up to rounding: bool, shape (C,).

    Also columns that vary by less than 1e-150, whose squares would vanish.
    """
    return _is_constant(A, A.std(axis=0))


def _is_constant(A: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The same by the standard deviations ``scale`` (C,), which may be weighted."""
    rounding = 8 * np.finfo(np.float64).eps * np.abs(A).max(axis=0)
    constant: NDArray[np.bool_] = (np.ptp(A, axis=0) == 0) | (scale <= np.maximum(rounding, 1e-150))
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

    Raises
    ------
    TypeError
        If ``J`` does not hold real numbers or is a masked array, or ``inputs`` or ``targets`` is
        no Standardizer.
    ValueError
        If ``J`` has another shape.
    """
    for name, standardizer in (("inputs", inputs), ("targets", targets)):
        if not isinstance(standardizer, Standardizer):
            raise TypeError(
                f"{name} is of type {type(standardizer).__name__}, expected a Standardizer"
            )
    values = as_float64("J", J)
    expected = (np.size(targets.scale), np.size(inputs.scale))
    if values.ndim != 3 or values.shape[1:] != expected:
        raise ValueError(f"J has shape {values.shape}, expected (N, {expected[0]}, {expected[1]})")
    unscaled: NDArray[np.float64] = values * (targets.scale[:, np.newaxis] / inputs.scale)
    return unscaled


def rescale_weights(
    net: Network,
    w: ArrayLike,
    input_scale: ArrayLike = 1.0,
    input_shift: ArrayLike = 0.0,
    target_scale: ArrayLike = 1.0,
    target_shift: ArrayLike = 0.0,
) -> NDArray[Any]:
    """The weights of the equivalent network for inputs a x + b and outputs c y + d.

    ``net.forward(rescaled, a * X + b) == c * net.forward(w, X) + d``, by the first and the last
    layer alone (PRML 5.115 to 5.120)::

        W^1 -> W^1 / a,    b^1 -> b^1 - W^1 (b / a),    W^L -> c W^L,    b^L -> c b^L + d

    Parameters
    ----------
    w : (W,) or (S, W) array_like
        The weights, also of S networks.
    input_scale, input_shift : float or (D,) array_like
        a, none zero, and b.
    target_scale, target_shift : float or (K,) array_like
        c and d; only for linear outputs.

    Returns
    -------
    (W,) or (S, W) array of net.dtype

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong shape or is not finite, `input_scale` has a zero, or the
        outputs of `net` are not linear and are to be rescaled.
    """
    a = _columns("input_scale", input_scale, net.n_inputs)
    b = _columns("input_shift", input_shift, net.n_inputs)
    c = _columns("target_scale", target_scale, net.n_outputs)
    d = _columns("target_shift", target_shift, net.n_outputs)
    for i in np.flatnonzero(a == 0)[:1]:
        place = f"input_scale[{i}]" if np.ndim(input_scale) else "input_scale"
        raise ValueError(f"{place} is {a[i]}, expected a number other than 0")
    if net.output != "linear" and ((c != 1).any() or (d != 0).any()):
        raise ValueError(
            f"target_scale, target_shift came with {net.output} outputs, expected linear ones"
        )
    values = as_float64("w", w)
    check_finite("w", values)
    parts = [(W.copy(), bias.copy()) for W, bias in net.unpack(values)]
    first_W, first_bias = parts[0]
    parts[0] = (first_W / a, first_bias - first_W @ (b / a))
    last_W, last_bias = parts[-1]
    parts[-1] = (c[:, np.newaxis] * last_W, c * last_bias + d)
    return net.pack(parts)


def _columns(name: str, given: ArrayLike, n: int) -> NDArray[np.float64]:
    values = as_float64(name, given)
    if values.shape not in ((), (n,)):
        raise ValueError(f"{name} has shape {values.shape}, expected a number or ({n},)")
    check_finite(name, values)
    return np.broadcast_to(values, (n,))
