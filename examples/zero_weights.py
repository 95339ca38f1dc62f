"""Hidden units that begin alike stay alike: why a training begins with random weights.

python examples/zero_weights.py [output folder]
"""

import warnings

import numpy as np
from common import save

import mlpcore
from mlpcore import plots
from mlpcore.plots.style import PALETTE

M = 4
EPOCHS = 3000


def main() -> None:
    X = np.linspace(-1, 1, 40)[:, None]
    t = np.sin(np.pi * X)
    net = mlpcore.Network((1, M, 1), hidden="tanh")
    # Of weights and biases that are all zero only the output's bias would ever move; equal
    # biases set the others going.
    equal = net.init(scheme="zeros")
    (_, b1), _ = net.unpack(equal)
    b1[:] = 0.5
    figure = plots.figure(7, 3.2)
    axes = figure.subplots(1, 2, sharey=True)
    starts = (("zero weights, equal biases", equal), ("random weights", net.init(seed=3)))
    for ax, (name, w) in zip(axes, starts, strict=True):
        course = [w]
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            result = mlpcore.train(
                net, w, X, t, optimizer="adam", epochs=EPOCHS, seed=0,
                callback=lambda epoch, error, validation, w, kept=course: kept.append(w),
            )  # fmt: skip
        for warning in warned:
            print(f"train warns: {warning.message}")
        first_layer = np.array([net.unpack(w)[0][0][:, 0] for w in course[1:]])
        apart = np.ptp(first_layer, axis=1).max()
        rmse = np.sqrt(2 * result.history["training_error"][-1])
        print(f"{name}: units differ by at most {apart:.3g}, RMSE {rmse:.3g}")
        for j, color in enumerate(PALETTE[:M]):
            # Where all four are one line, dashes in turns show each of them.
            style = (-6 * j, (6, 6 * (M - 1))) if apart == 0 else "-"
            ax.plot(
                first_layer[:, j],
                color=color,
                linestyle=style,
                dash_capstyle="butt",
                linewidth=1.6,
                label=f"unit {j + 1}",
            )
        ax.set_title(f"from {name}\nRMSE {rmse:.2g}", fontsize="medium")
        ax.set_xlabel("epoch")
        ax.set_xticks(range(0, EPOCHS + 1, 1000))
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("weight $w_{j1}$ of hidden unit $j$")
    axes[1].legend(frameon=False, fontsize="small", loc="lower right", ncol=2)
    save(figure, "zero_weights")


if __name__ == "__main__":
    main()
