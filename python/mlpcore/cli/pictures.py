"""The pictures of the subcommands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlpcore import plots
from mlpcore.cli.report import one_line, short
from mlpcore.persistence import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_confusion", "save_picture"]

_MOST_NUMBERED = 12  # classes of a matrix with a number in each cell
_MOST_NAMED = 40  # classes whose names stand at the axes


def save_picture(
    file: Path, draw: Callable[[Figure], None], width: float = 7.0, height: float = 3.3
) -> str:
    """Draw and save the picture; return its name, or why there is none."""
    try:
        figure = plots.figure(width, height)
    except ImportError as error:
        if getattr(error, "name", None) == "matplotlib":
            return 'none, as matplotlib is missing: pip install "mlpcore[plot]"'
        return f"none, as matplotlib can't be imported: {one_line(error)}"
    draw(figure)
    with replacing(file) as stream:
        figure.savefig(stream, dpi=300, format="png")
    return str(file)


def draw_confusion(
    counts: NDArray[np.intp], labels: Sequence[str], ax: Axes, *, name: str, title: str
) -> None:
    """The confusion matrix: true classes down, predicted across, each row's shares in blue."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    n = len(labels)
    if n <= _MOST_NUMBERED:
        for i in range(n):
            for j in range(n):
                color = "white" if shares[i, j] > 0.5 else "black"
                ax.text(j, i, str(counts[i, j]), ha="center", va="center", color=color, size=8)
    if n <= _MOST_NAMED:
        # No dollar sign is read as mathematics.
        ticks = [short(label, 16).replace("$", r"\$") for label in labels]
        longest = max(map(len, ticks))
        ax.set_xticks(range(n), ticks, rotation=90 if longest * n > 24 else 0)
        ax.set_yticks(range(n), ticks)
    ax.tick_params(labelsize="small", length=0)
    ax.set_xlabel("predicted " + name.replace("$", r"\$"))
    ax.set_ylabel("true " + name.replace("$", r"\$"))
    ax.set_title(title, fontsize="small")
