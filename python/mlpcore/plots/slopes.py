"""How strongly each input acts on each output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from mlpcore.checks import as_float64, check_finite
from mlpcore.plots.style import GREY, PALETTE, literal, names, open_frame, own_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["sensitivities"]


def sensitivities(
    J: ArrayLike,
    ax: Axes | None = None,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    scale: ArrayLike | None = None,
    unit: str | None = None,
) -> Axes:
    """The mean size of the derivatives dy_k/dx_i as bars, the strongest input on top.

    A line across a bar goes from the lower to the upper quartile of the rows: where it is long
    the input acts differently in different places. As a distribution with a long tail has its
    mean above the upper quartile, the line may end before the bar does.

    Parameters
    ----------
    J : (N, K, D) or (N, D) array_like
        dy_k/dx_i at each row, of `Network.jacobian`; (N, D) is of one output.
    ax : matplotlib Axes, optional
    input_names, output_names : sequence of str, optional
        D and K names.
    scale : (D,) array_like, optional
        Multiply by these, the standard deviations s_i of the inputs: how much an output moves when
        an input moves by one of its own standard deviations. Without it, inputs in different
        units are not to be compared.
    unit : str, optional
        Of what is drawn, for the label: with `scale` it is the unit of the outputs.

    Returns
    -------
    ax : matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If ``J`` or ``scale`` does not hold real numbers, or is a masked array, or names came as
        one string.
    ValueError
        If ``J`` or ``scale`` has another shape, is empty or not finite, ``scale`` is negative
        somewhere, the names are not as many as the inputs or outputs, or there are more outputs
        than colours (6).
    """
    values = as_float64("J", J)
    if values.ndim == 2:
        values = values[:, np.newaxis]
    if values.ndim != 3 or values.size == 0:
        raise ValueError(f"J has shape {np.shape(J)}, expected (N, K, D) or (N, D), none of them 0")
    check_finite("J", np.asarray(J))
    _, K, D = values.shape
    if len(PALETTE) < K:
        raise ValueError(f"J has {K} outputs, expected at most {len(PALETTE)}, one a colour")
    sizes = np.abs(values)
    if scale is not None:
        factors = as_float64("scale", scale)
        if factors.shape != (D,):
            raise ValueError(f"scale has shape {factors.shape}, expected ({D},)")
        check_finite("scale", factors)
        if factors.min() < 0:
            i = int(np.argmin(factors))
            raise ValueError(f"scale[{i}] is {factors[i]}, expected at least 0")
        sizes = sizes * factors
    inputs = names("input_names", input_names, D, "input")
    outputs = names("output_names", output_names, K, "output")
    ax = own_axes(ax, 4.6, min(0.9 + D * (0.12 + 0.16 * K), 12.0))

    mean = sizes.mean(axis=0)
    lower, upper = np.quantile(sizes, (0.25, 0.75), axis=0)
    order = np.argsort(-mean.sum(axis=0), kind="stable")
    thickness = 0.75 / K
    for k in range(K):
        y = np.arange(D) + thickness * (k - (K - 1) / 2)
        ax.barh(
            y,
            mean[k, order],
            height=0.92 * thickness,
            color=PALETTE[k],
            alpha=0.75,
            linewidth=0,
            label=outputs[k] if K > 1 or output_names is not None else "mean",
        )
        ax.hlines(
            y,
            lower[k, order],
            upper[k, order],
            color="0.15",
            linewidth=1.3,
            label="quartiles over the rows" if k == K - 1 else None,
        )
    ax.set_yticks(np.arange(D))
    ax.set_yticklabels([inputs[i] for i in order])
    ax.set_ylim(D - 0.45, -0.55)
    ax.set_xlim(left=0)
    ax.set_xlabel(_label(K, scale is not None) + (f" ({literal(unit)})" if unit else ""))
    ax.legend(frameon=False, fontsize="small", loc="lower right")
    open_frame(ax)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_color(GREY)
    return ax


def _label(K: int, scaled: bool) -> str:
    y = "y" if K == 1 else "y_k"
    return rf"mean $|\partial {y} / \partial x_i|$" + (r"$\,\cdot\,s_i$" if scaled else "")
