"""The error against the size of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlpcore.multistart import SweepResult, size_name
from mlpcore.plots.style import BLUE, ORANGE, open_frame, own_axes, plain_log_ticks
from mlpcore.plots.units import ErrorUnit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["sweep"]

# Successive multiples of the golden section, modulo 1, keep away from each other however many.
_GOLDEN = (5**0.5 - 1) / 2


def sweep(
    result: SweepResult,
    ax: Axes | None = None,
    *,
    rms_unit: float | None = None,
    unit: str | None = None,
) -> Axes:
    """The error of each network against its number of hidden units (PRML figure 5.10).

    A dot is a start, moved a little to the side that dots do not hide each other; a bar is the
    median of a size. The size that was chosen is shaded, its best network ringed.

    Parameters
    ----------
    result : SweepResult
        What `mlpcore.sweep` returned. The error is that of the validation data, or of the
        training data where there are no others. A start whose error is not finite is left out.
    ax : matplotlib Axes, optional
    rms_unit : float, optional
        Draw the root mean square error instead of the mean error per sample, in multiples of
        this: 1.0, or the scale of the target to undo its standardization. Only for linear
        outputs, where the mean error is half the mean square.
    unit : str, optional
        Of the root mean square error, for the label.

    Returns
    -------
    ax : matplotlib Axes
        The error has a logarithmic axis where it spans more than a decade. The legend stands above
        the axes, where there are no data.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If ``result`` is no SweepResult, or ``rms_unit`` no number.
    ValueError
        If no network was trained, or no error is finite, or ``rms_unit`` is not a finite number
        above 0, or the outputs are not linear and have none.
    """
    if not isinstance(result, SweepResult):
        raise TypeError(f"result is a {type(result).__name__}, expected a mlpcore.SweepResult")
    shown = ErrorUnit(rms_unit, unit)
    if rms_unit is not None and any(net.output != "linear" for net in result.networks):
        output = result.networks[0].output
        raise ValueError(f"rms_unit came for {output} outputs, expected it for linear ones alone")
    kind = "training" if result.validation_errors is None else "validation"
    errors = result.training_errors if kind == "training" else result.validation_errors
    errors = shown.of(np.asarray(errors))
    if errors.size == 0:
        raise ValueError("result has no networks, expected at least one that was trained")
    finite = np.isfinite(errors)
    if not finite.any():
        raise ValueError("result has no finite error, expected at least one")
    chosen, start = np.unravel_index(np.argmin(np.where(finite, errors, np.inf)), errors.shape)
    ax = own_axes(ax, 4.2, 3.2)

    # Sizes side by side, not at their values: 1, 2, 5, 10, ..., 500 must be told apart too.
    places = np.arange(len(errors))
    aside = 0.5 * ((_GOLDEN * np.arange(errors.shape[1])) % 1 - 0.5)
    x = places[:, np.newaxis] + (aside if errors.shape[1] > 1 else 0.0)
    ax.axvspan(chosen - 0.42, chosen + 0.42, color="0.92", linewidth=0, zorder=0)
    ax.scatter(
        x[finite], errors[finite], s=10, color=BLUE, alpha=0.7, linewidths=0, label="one start"
    )
    trained = finite.any(axis=1)
    median = [np.median(of_size[of_size < np.inf]) for of_size in errors[trained]]
    if errors.shape[1] > 1:
        ax.hlines(
            median,
            places[trained] - 0.33,
            places[trained] + 0.33,
            color="black",
            linewidth=1.4,
            zorder=3,
            label="median",
        )
    name = size_name(result.hidden[chosen])
    ax.scatter(
        x[chosen, start],
        errors[chosen, start],
        s=45,
        facecolors="none",
        edgecolors=ORANGE,
        linewidths=1.4,
        zorder=4,
        label=f"lowest, {name} hidden unit" + ("" if name == "1" else "s"),
    )
    if errors[finite].min() > 0 and errors[finite].max() > 10 * errors[finite].min():
        ax.set_yscale("log")
        plain_log_ticks(ax)
    # Of many sizes, or of long names, only some have room for a label.
    labels = [size_name(size) for size in result.hidden]
    room = max(1, 48 // (1 + max(map(len, labels))))
    step = -(-len(labels) // room)
    ax.set_xticks(places[::step])
    ax.set_xticklabels(labels[::step])
    ax.set_xlim(-0.6, len(labels) - 0.4)
    one_layer = all(len(size) == 1 for size in result.hidden)
    ax.set_xlabel("number of hidden units $M$" if one_layer else "hidden units of each layer")
    ax.set_ylabel(shown.label(kind))
    ax.legend(
        frameon=False,
        fontsize="small",
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncol=3,
        borderaxespad=0.2,
        columnspacing=1.2,
        handletextpad=0.4,
    )
    open_frame(ax)
    return ax
