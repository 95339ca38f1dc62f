"""The weights themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from mlpcore.checks import as_float64, check_finite, whole_number
from mlpcore.network import Network, check_network
from mlpcore.plots.style import names, own_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["weights"]

_GAP = 0.6  # between the weights and the biases, in cells
_LARGEST = 0.92  # the side of the largest square, in cells


def weights(
    net: Network,
    w: ArrayLike,
    ax: Axes | None = None,
    *,
    layer: int = 1,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> Axes:
    """The weights of a layer as a Hinton diagram: white squares are positive, black negative.

    The area of a square is proportional to the absolute value. A row is a unit of the layer, a
    column a unit that feeds it; the biases are a column of their own, set apart.

    Parameters
    ----------
    net : Network
    w : (W,) array_like
    ax : matplotlib Axes, optional
    layer : int
        1 for the weights from the inputs to the first hidden layer, up to the number of layers of
        weights.
    input_names, output_names : sequence of str, optional
        Of the columns and of the rows; numbers from 1 without them.

    Returns
    -------
    ax : matplotlib Axes
        Its title states |w| of the largest square.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If ``net`` is no Network, or ``w`` does not hold real numbers.
    ValueError
        If ``w`` has another shape or is not finite, there is no such layer, or the names are not
        as many as its columns or rows.
    """
    check_network(net)
    n_layers = len(net.layers) - 1
    layer = whole_number("layer", layer, least=1, below=n_layers + 1)
    vector = as_float64("w", w)
    if vector.shape != (net.n_weights,):
        raise ValueError(f"w has shape {vector.shape}, expected ({net.n_weights},)")
    parts = net.unpack(vector)
    check_finite("w", vector)
    matrix, bias = parts[layer - 1]
    rows, columns = matrix.shape
    given = (input_names, output_names)
    from_names = names("input_names", input_names, columns, "")
    to_names = names("output_names", output_names, rows, "")
    # Large enough to see, small enough for a page.
    cell = min(0.28, 6.0 / (columns + 2), 6.0 / rows)
    ax = own_axes(ax, max(2.4, 1.1 + cell * (columns + 2)), max(1.6, 1.1 + cell * rows))

    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Rectangle

    values = np.column_stack([matrix, bias])
    x = np.append(np.arange(columns), columns + _GAP)
    centres = np.stack(np.broadcast_arrays(x, np.arange(rows)[:, np.newaxis]), axis=-1)
    largest = float(np.abs(values).max())
    # Of weights that are all zero there is nothing to draw; do not divide by it either.
    side = _LARGEST * np.sqrt(np.abs(values) / (largest or 1.0))
    corner = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    squares = centres[:, :, np.newaxis] + side[:, :, np.newaxis, np.newaxis] * corner
    drawn = values != 0
    for left, width in ((-0.5, columns), (columns + _GAP - 0.5, 1)):
        ax.add_patch(Rectangle((left, -0.5), width, rows, color="0.6", linewidth=0, zorder=0))
    ax.add_collection(
        PolyCollection(
            squares[drawn],
            facecolors=["white" if value > 0 else "black" for value in values[drawn]],
            linewidths=0,
            zorder=1,
        )
    )
    ax.set_xlim(-0.6, columns + _GAP + 0.6)
    ax.set_ylim(rows - 0.4, -0.6)
    ax.set_aspect("equal")
    step_x, step_y = (
        1 if words is not None else -(-n // 15)
        for words, n in zip(given, (columns, rows), strict=True)
    )
    ticks = [*range(0, columns, step_x), columns + _GAP]
    ax.set_xticks(ticks)
    ax.set_xticklabels([*(word.strip() for word in from_names[::step_x]), "bias"])
    ax.set_yticks(range(0, rows, step_y))
    ax.set_yticklabels([word.strip() for word in to_names[::step_y]])
    if input_names is not None:
        ax.tick_params(axis="x", rotation=90)
    ax.set_xlabel("input" if layer == 1 else _hidden(layer - 1, n_layers))
    ax.set_ylabel("output" if layer == n_layers else _hidden(layer, n_layers))
    ax.set_title(f"largest $|w|$ = {largest:.3g}", fontsize="small")
    ax.tick_params(labelsize="small", length=0)
    ax.spines[:].set_visible(False)
    return ax


def _hidden(layer: int, n_layers: int) -> str:
    return "hidden unit" + (f" of layer {layer}" if n_layers > 2 else "")
