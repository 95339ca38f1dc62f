"""The course of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlpcore.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    open_frame,
    own_axes,
    plain_log_ticks,
)
from mlpcore.plots.units import ErrorUnit
from mlpcore.training import EnsembleTrainResult, TrainResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["learning_curves"]


def learning_curves(
    result: TrainResult | EnsembleTrainResult,
    ax: Axes | None = None,
    *,
    rms_unit: float | None = None,
    unit: str | None = None,
) -> Axes:
    """Training and validation error against the epoch, the best epoch marked.

    Of an ensemble each member is a thin line, the best one (`EnsembleTrainResult.best`) as
    strong as a single network.

    Parameters
    ----------
    result : TrainResult or EnsembleTrainResult
        What `mlpcore.train` or `mlpcore.multistart` returned.
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
    TypeError
        If ``result`` is something else, or ``rms_unit`` no number.
    ValueError
        If the ensemble has no networks, or ``rms_unit`` is not a finite number above 0.
    """
    if not isinstance(result, TrainResult | EnsembleTrainResult):
        raise TypeError(
            f"result is a {type(result).__name__}, expected a mlpcore.TrainResult or a "
            f"mlpcore.EnsembleTrainResult"
        )
    shown = ErrorUnit(rms_unit, unit)
    members: tuple[TrainResult, ...] = ()
    best, which = result, "best epoch,"
    if isinstance(best, EnsembleTrainResult):
        members, best = best.members, best.best()
        which = f"best of {len(members)} networks, epoch"
    ax = own_axes(ax)
    positive = False
    for key, name, color in (
        ("training_error", "training", BLUE),
        ("validation_error", "validation", ORANGE),
    ):
        for member in members:
            error = shown.of(member.history.get(key, ()))
            if member is not best and np.isfinite(error).any():
                ax.plot(error, color=color, linewidth=0.5, alpha=0.4)
                positive = positive or bool((error > 0).any())
        error = shown.of(best.history.get(key, ()))
        if not np.isfinite(error).any():
            continue
        ax.plot(error, color=color, linewidth=1.2, label=name, zorder=3)
        positive = positive or bool((error > 0).any())
        if key == "validation_error" and best.best_epoch < error.size:
            ax.plot(
                best.best_epoch,
                error[best.best_epoch],
                "o",
                color=color,
                markersize=4,
                zorder=5,
            )
    ax.axvline(
        best.best_epoch,
        color=GREY,
        linewidth=0.8,
        linestyle="--",
        label=f"{which} {best.best_epoch}",
    )
    if positive:
        ax.set_yscale("log")
        plain_log_ticks(ax)
    ax.margins(x=0.02)
    ax.set_xlabel("epoch")
    ax.set_ylabel(shown.label())
    # A white ground without a frame: the line of the best epoch may pass behind.
    ax.legend(fontsize="small", edgecolor="none", framealpha=1.0, loc="upper right")
    open_frame(ax)
    return ax
