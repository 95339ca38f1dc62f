"""Predictions beside the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore.checks import as_float64, check_finite
from mlpcore.plots.style import BLUE, literal, open_frame, own_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["predicted_against_true"]


def predicted_against_true(
    t: ArrayLike,
    y: ArrayLike,
    ax: Axes | None = None,
    *,
    training: tuple[ArrayLike, ArrayLike] | None = None,
    name: str | None = None,
    unit: str | None = None,
    label: str = "test",
) -> Axes:
    """Predictions against true targets, with the diagonal on which they would be equal.

    Parameters
    ----------
    t, y : (N,) or (N, 1) array_like
        True targets and predictions, in the same unit.
    ax : matplotlib Axes, optional
    training : (t, y), optional
        Those of the training part, drawn in grey beneath.
    name, unit : str, optional
        Of the target, for the labels.
    label : str
        What the legend calls ``t`` and ``y``; their root mean square error stands beside it.

    Returns
    -------
    ax : matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If ``t`` or ``y`` does not hold real numbers, or is a masked array.
    ValueError
        If ``t`` and ``y`` are not of one size, empty, not finite, or not of one output, or
        ``training`` is not a pair.
    """
    pairs = [(*_pair(t, y, "t", "y"), label, BLUE)]
    if training is not None:
        try:
            parts = list(training)
        except TypeError:
            raise ValueError(f"training is {training!r}, expected a pair (t, y)") from None
        if len(parts) != 2:
            raise ValueError(f"training has {len(parts)} entries, expected a pair (t, y)")
        true, predicted = parts
        pairs.insert(0, (*_pair(true, predicted, "training[0]", "training[1]"), "training", "0.65"))
    ax = own_axes(ax)
    everything = np.concatenate([values for pair in pairs for values in pair[:2]])
    low, high = float(everything.min()), float(everything.max())
    margin = 0.04 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    ax.plot(limits, limits, color="black", linewidth=0.8, zorder=1)
    suffix = f" {literal(unit)}" if unit else ""
    for true, predicted, part, color in pairs:
        rmse = float(np.sqrt(np.mean((predicted - true) ** 2)))
        ax.scatter(
            true,
            predicted,
            s=9,
            color=color,
            alpha=0.8 if true.size < 1000 else 0.4,
            linewidths=0,
            rasterized=true.size > 5000,
            label=f"{part}, RMSE {rmse:.3g}{suffix}",
            zorder=3 if part == label else 2,
        )
    what = literal(name) if name else "target"
    ax.set_xlim(limits)
    ax.set_ylim(limits)
    ax.set_aspect("equal")
    ax.locator_params(nbins=6)  # the same ticks on both axes
    ax.set_xlabel(f"true {what}" + (f" ({literal(unit)})" if unit else ""))
    ax.set_ylabel(f"predicted {what}" + (f" ({literal(unit)})" if unit else ""))
    ax.legend(frameon=False, fontsize="small", loc="upper left", handletextpad=0.2)
    open_frame(ax)
    return ax


def _pair(
    t: ArrayLike, y: ArrayLike, t_name: str, y_name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    true, predicted = as_float64(t_name, t), as_float64(y_name, y)
    for values, name in ((true, t_name), (predicted, y_name)):
        if values.size == 0 or values.size != max(values.shape, default=1):
            raise ValueError(f"{name} has shape {values.shape}, expected (N,) or (N, 1), N > 0")
        check_finite(name, values)
    if true.size != predicted.size:
        raise ValueError(
            f"{y_name} has {predicted.size} values, expected {true.size} as in {t_name}"
        )
    return true.ravel(), predicted.ravel()
