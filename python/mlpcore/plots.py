"""Pictures of a fit, for the screen and for print.

Every function takes the ``ax`` to draw on and returns it; without one it makes a figure of its
own, which needs no display and touches neither ``pyplot`` nor matplotlib's global settings:
``ax.figure.savefig("picture.pdf")``.  matplotlib is needed here alone; without it each function
raises an ImportError that says how to get it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore.checks import real_number
from mlpcore.scaling import as_float64, check_finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mlpcore.training import TrainResult

__all__ = ["figure", "learning_curves", "predicted_against_true"]

# Blue and orange of the palette of Okabe and Ito, which colour-blind readers tell apart.
_BLUE = "#0072B2"
_ORANGE = "#D55E00"
_GREY = "0.45"


def figure(width: float = 7.0, height: float = 3.3) -> Figure:
    """An empty figure of ``width`` x ``height`` inches that needs no display.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message says how to get it.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != "matplotlib":
            raise
        raise ImportError(
            'mlpcore.plots needs matplotlib: pip install "mlpcore[plot]"', name="matplotlib"
        ) from error
    empty = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(empty)
    return empty


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
    ax = _axes(ax)
    label = "mean error per sample"
    if rms_unit is not None:
        rms_unit = real_number("rms_unit", rms_unit, positive=True)
        label = "RMSE" + (f" ({_literal(unit)})" if unit else "")
    shown = False
    for key, name, color in (
        ("training_error", "training", _BLUE),
        ("validation_error", "validation", _ORANGE),
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
        color=_GREY,
        linewidth=0.8,
        linestyle="--",
        label=f"best epoch, {result.best_epoch}",
    )
    if shown:
        ax.set_yscale("log")
        _plain_log_ticks(ax)
    ax.margins(x=0.02)
    ax.set_xlabel("epoch")
    ax.set_ylabel(label)
    # A white ground without a frame: the line of the best epoch may pass behind.
    ax.legend(fontsize="small", edgecolor="none", framealpha=1.0, loc="upper right")
    _open_frame(ax)
    return ax


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
    pairs = [(*_pair(t, y, "t", "y"), label, _BLUE)]
    if training is not None:
        try:
            true, predicted = training
        except (TypeError, ValueError):
            raise ValueError("training is not a pair (t, y)") from None
        pairs.insert(0, (*_pair(true, predicted, "training[0]", "training[1]"), "training", "0.65"))
    ax = _axes(ax)
    everything = np.concatenate([values for pair in pairs for values in pair[:2]])
    low, high = float(everything.min()), float(everything.max())
    margin = 0.04 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    ax.plot(limits, limits, color="black", linewidth=0.8, zorder=1)
    suffix = f" {_literal(unit)}" if unit else ""
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
    what = _literal(name) if name else "target"
    ax.set_xlim(limits)
    ax.set_ylim(limits)
    ax.set_aspect("equal")
    ax.locator_params(nbins=6)  # the same ticks on both axes
    ax.set_xlabel(f"true {what}" + (f" ({_literal(unit)})" if unit else ""))
    ax.set_ylabel(f"predicted {what}" + (f" ({_literal(unit)})" if unit else ""))
    ax.legend(frameon=False, fontsize="small", loc="upper left", handletextpad=0.2)
    _open_frame(ax)
    return ax


def _axes(ax: Axes | None) -> Axes:
    return figure(3.5, 3.3).add_subplot() if ax is None else ax


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


def _open_frame(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize="small")


def _plain_log_ticks(ax: Axes) -> None:
    """On less than two decades, label numbers between the powers of ten too."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    low, high = ax.get_ylim()
    if 0 < low and high / low < 100:
        subs = (1.0, 2.0, 5.0) if high / low > 10 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
        ax.yaxis.set_major_locator(LogLocator(subs=subs))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())


def _literal(text: str) -> str:
    """``text`` with no dollar sign read as mathematics."""
    return text.replace("$", r"\$")
