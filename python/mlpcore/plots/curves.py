"""The course of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlpcore.checks import real_number
from mlpcore.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    literal,
    open_frame,
    own_axes,
    plain_log_ticks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlpcore.training import TrainResult

__all__ = ["learning_curves"]


def learning_curves(
    result: TrainResult,
    ax: Axes | None = None,
    *,
    rms_unit: float | None = None,
    unit: str | None = None,
) -> Axes:
    """Training and validation error against the epoch, the best epoch marked.

    Parameters
    ----------
    result : TrainResult
        What `mlpcore.train` returned.
    ax : matplotlib Axes, optional
    rms_unit : float, optional
        Draw the root mean square error instead of the mean error per sample, in multiples of
        this: 1.0, or the scale of the target to undo its standardization.  Only for linear
        outputs, where the mean error is half the mean square.
    unit : str, optional
        Of the root mean square error, for the label.

    Returns
    -------
    ax : matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If ``rms_unit`` is not a finite number above 0.
    """
    ax = own_axes(ax)
    label = "mean error per sample"
    if rms_unit is not None:
        rms_unit = real_number("rms_unit", rms_unit, positive=True)
        label = "RMSE" + (f" ({literal(unit)})" if unit else "")
    shown = False
    for key, name, color in (
        ("training_error", "training", BLUE),
        ("validation_error", "validation", ORANGE),
    ):
        error = np.asarray(result.history.get(key, ()), dtype=np.float64)
        if error.size == 0 or not np.isfinite(error).any():
            continue
        if rms_unit is not None:
            error = rms_unit * np.sqrt(2 * error)
        ax.plot(np.arange(error.size), error, color=color, linewidth=1.2, label=name)
        shown = shown or bool((error > 0).any())
        if key == "validation_error" and result.best_epoch < error.size:
            ax.plot(
                result.best_epoch,
                error[result.best_epoch],
                "o",
                color=color,
                markersize=4,
                zorder=5,
            )
    ax.axvline(
        result.best_epoch,
        color=GREY,
        linewidth=0.8,
        linestyle="--",
        label=f"best epoch, {result.best_epoch}",
    )
    if shown:
        ax.set_yscale("log")
        plain_log_ticks(ax)
    ax.margins(x=0.02)
    ax.set_xlabel("epoch")
    ax.set_ylabel(label)
    # A white ground without a frame: the line of the best epoch may pass behind.
    ax.legend(fontsize="small", edgecolor="none", framealpha=1.0, loc="upper right")
    open_frame(ax)
    return ax
