"""What a classifier decides, over a plane of two inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore.checks import as_float64, check_finite, whole_number
from mlpcore.plots.style import PALETTE, names, own_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["decision_regions"]

# A shape for each colour, for whoever sees no colours at all.
_MARKERS = ("o", "s", "^", "D", "v", "P")


@runtime_checkable
class Classifier(Protocol):
    """What is fitted by scikit-learn's rules."""

    classes_: Any

    def predict_proba(self, X: Any) -> Any:
        """Probabilities (n, K)."""


def decision_regions(
    predict: Callable[[NDArray[np.float64]], Any] | Classifier,
    X: ArrayLike,
    labels: ArrayLike,
    ax: Axes | None = None,
    *,
    input_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    resolution: int = 200,
) -> Axes:
    """The region of each class in the plane of two inputs, its border, and the data.

    Parameters
    ----------
    predict : callable or classifier
        From inputs (n, 2) to the probabilities (n, K) of K classes, or to those of class 1 of
        two: (n,) or (n, 1). ``lambda X: net.forward(w, X)``. The border is where the two highest
        are equal. Or a fitted classifier as scikit-learn has them, with `predict_proba` and
        `classes_`.
    X : (N, 2) array_like
        Inputs; the picture reaches a little beyond them.
    labels : (N,) array_like
        The class of each: one of `classes_` of a classifier, otherwise its number, from 0 to
        K - 1, or its name in `class_names`.
    ax : matplotlib Axes, optional
    input_names, class_names : sequence of str, optional
        Two, and K names; of a classifier the names are `classes_` without them.
    resolution : int
        Points along each axis at which `predict` is asked.

    Returns
    -------
    ax : matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If ``predict`` can't be called and is no fitted classifier, or an array does not hold
        numbers, or labels, of the right kind.
    ValueError
        If an array has another shape, is empty or not finite, a label is none of the classes, or
        there are more classes than colours (6).
    """
    own: list[Any] | None = None
    if isinstance(predict, Classifier):
        own = np.asarray(predict.classes_).tolist()
        class_names = [str(label) for label in own] if class_names is None else class_names
        predict = predict.predict_proba
    if not callable(predict):
        raise TypeError(
            f"predict is a {type(predict).__name__}, expected a callable or a fitted classifier "
            f"with predict_proba and classes_"
        )
    points = as_float64("X", X)
    if points.ndim != 2 or points.shape[1] != 2 or points.size == 0:
        raise ValueError(f"X has shape {points.shape}, expected (N, 2) with N > 0")
    check_finite("X", points)
    n = whole_number("resolution", resolution, least=2)
    x_names = names("input_names", input_names, 2, "input")
    grid_x, grid_y = (_reach(column, n) for column in points.T)
    plane = np.stack(np.meshgrid(grid_x, grid_y), axis=-1).reshape(-1, 2)
    outputs = _outputs(predict, plane)
    K = outputs.shape[1]
    if len(PALETTE) < K:
        raise ValueError(f"predict has {K} classes, expected at most {len(PALETTE)}, one a colour")
    of_class = names("class_names", class_names, K, "class")
    classes = _classes(labels, len(points), K, own, class_names)
    if class_names is None:
        of_class = [f"class {k}" for k in range(K)]  # as labels count
    ax = own_axes(ax, 4.2, 3.4)

    from matplotlib.colors import ListedColormap, to_rgb

    tints = [[0.3 * c + 0.7 for c in to_rgb(color)] for color in PALETTE[:K]]
    ax.pcolormesh(
        grid_x,
        grid_y,
        outputs.argmax(axis=1).reshape(n, n),
        shading="nearest",
        cmap=ListedColormap(tints),
        vmin=-0.5,
        vmax=K - 0.5,
        rasterized=True,
        zorder=0,
    )
    # Of two classes one border is that of the other too.
    for k in range(1 if K == 2 else K):
        ahead = outputs[:, k] - np.delete(outputs, k, axis=1).max(axis=1)
        if ahead.min() < 0 < ahead.max():
            ax.contour(
                grid_x,
                grid_y,
                ahead.reshape(n, n),
                levels=[0.0],
                colors="0.15",
                linewidths=1.0,
                zorder=1,
            )
    for k in range(K):
        ax.scatter(
            *points[classes == k].T,
            s=20,
            marker=_MARKERS[k],
            color=PALETTE[k],
            edgecolors="white",
            linewidths=0.6,
            zorder=2,
            label=of_class[k],
        )
    ax.set_xlim(grid_x[0], grid_x[-1])
    ax.set_ylim(grid_y[0], grid_y[-1])
    ax.set_xlabel(x_names[0] if input_names is not None else "$x_1$")
    ax.set_ylabel(x_names[1] if input_names is not None else "$x_2$")
    # Beside the regions: within them there may be data anywhere.
    ax.legend(
        frameon=False,
        fontsize="small",
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        handletextpad=0.1,
    )
    ax.tick_params(labelsize="small")
    return ax


def _reach(column: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    low, high = float(column.min()), float(column.max())
    beyond = 0.08 * (high - low) or 1.0
    return np.linspace(low - beyond, high + beyond, n, dtype=np.float64)


def _outputs(
    predict: Callable[[NDArray[np.float64]], Any], plane: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What `predict` says of `plane`: a column for each class."""
    given = as_float64("predict(X)", predict(plane))
    outputs = given[:, np.newaxis] if given.ndim == 1 else given
    if outputs.ndim != 2 or len(outputs) != len(plane) or outputs.shape[1] == 0:
        raise ValueError(
            f"predict(X) has shape {given.shape} for X of {plane.shape}, "
            f"expected ({len(plane)}, K), ({len(plane)},) or ({len(plane)}, 1)"
        )
    check_finite("predict(X)", given)
    return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs


def _classes(
    labels: ArrayLike,
    N: int,
    K: int,
    own: Sequence[Any] | None,
    class_names: Sequence[str] | None,
) -> NDArray[np.int64]:
    """The number of each label: its place among a classifier's own, or the names, or itself."""
    given = np.asarray(labels)
    if given.shape not in ((N,), (N, 1)):
        raise ValueError(f"labels has shape {given.shape}, expected ({N},)")
    known, expected = own, f"one of {own}"
    if own is None and given.dtype.kind in "iub":
        known, expected = range(K), f"0 to {K - 1}"
    elif own is None and class_names is not None:
        known, expected = class_names, f"one of {[*class_names]}"
    if known is None:
        raise TypeError(
            f"labels has dtype {given.dtype}, expected integers from 0 to {K - 1}, or names in "
            f"class_names"
        )
    number = {label: k for k, label in enumerate(known)}
    flat = given.ravel().tolist()
    for i, label in enumerate(flat):
        if label not in number:
            raise ValueError(f"labels[{i}] is {label!r}, expected {expected}")
    return np.array([number[label] for label in flat], np.int64)
