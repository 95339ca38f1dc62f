"""The look that all pictures share: the figure, colours, frame and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure"]

# The palette of Okabe and Ito, which colour-blind readers tell apart; its black and yellow are
# left out, as lines are black and yellow is lost on white. What is ORANGE here they call vermilion,
# and AMBER orange.
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
AMBER = "#E69F00"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER)
GREY = "0.45"


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


def own_axes(ax: Axes | None, width: float = 3.5, height: float = 3.3) -> Axes:
    """`ax`, or the axes of a new figure."""
    return figure(width, height).add_subplot() if ax is None else ax


def names(name: str, given: Sequence[str] | None, count: int, default: str) -> list[str]:
    """`given` as words for labels, or ``default 1`` to ``default count``."""
    if given is None:
        return [f"{default} {i}" for i in range(1, count + 1)]
    if isinstance(given, str):
        raise TypeError(f"{name} is {given!r}, expected a sequence of {count} names")
    words = [literal(str(word)) for word in given]
    if len(words) != count:
        raise ValueError(f"{name} has {len(words)} names, expected {count}")
    return words


def open_frame(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize="small")


def plain_log_ticks(ax: Axes) -> None:
    """On less than two decades, label numbers between the powers of ten too."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    low, high = ax.get_ylim()
    if 0 < low and high / low < 100:
        subs = (1.0, 2.0, 5.0) if high / low > 10 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
        ax.yaxis.set_major_locator(LogLocator(subs=subs))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())


def literal(text: str) -> str:
    """``text`` with no dollar sign read as mathematics."""
    return text.replace("$", r"\$")
