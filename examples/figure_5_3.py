"""PRML figure 5.3: three hidden units are enough for four quite different functions.

python examples/figure_5_3.py [output folder]
"""

import numpy as np
from common import save

import mlpcore
from mlpcore import plots
from mlpcore.plots.style import AMBER, BLUE, GREEN, ORANGE, PURPLE

FUNCTIONS = (
    ("$x^2$", lambda x: x**2),
    (r"$\sin\,\pi x$", lambda x: np.sin(np.pi * x)),  # one period, as the book draws it
    ("$|x|$", np.abs),
    ("Heaviside step of $x$", lambda x: np.heaviside(x, 0.5)),
)


def main() -> None:
    X = np.linspace(-1, 1, 50)[:, None]
    x = np.linspace(-1, 1, 401)[:, None]
    net = mlpcore.Network((1, 3, 1), hidden="tanh")
    figure = plots.figure(7, 5.2)
    for ax, (name, f) in zip(figure.subplots(2, 2, sharex=True).flat, FUNCTIONS, strict=True):
        # A little weight decay keeps the hidden units from large outputs that cancel.
        fits = mlpcore.multistart(net, X, f(X), starts=20, seed=0, epochs=1000, weight_decay=1e-6)
        w = min(fits, key=lambda fit: net.error(fit.w, X, f(X))).w
        rmse = np.sqrt(2 * net.error(w, X, f(X)) / len(X))
        print(f"{name:24} RMSE {rmse:.1e}")

        (W1, b1), _ = net.unpack(w)
        hidden = np.tanh(x @ W1.T + b1)
        ax.plot(X, f(X), "o", color=BLUE, markersize=3.5, alpha=0.7, mew=0, label="data")
        ax.plot(x, net.forward(w, x), color=ORANGE, linewidth=1.6, zorder=3, label="$y(x)$")
        for j, color in enumerate((GREEN, PURPLE, AMBER)):
            ax.plot(x, hidden[:, j], "--", color=color, linewidth=1.1, label=f"$a_{j + 1}$")
        ax.set_title(name, fontsize="medium")
        ax.set_ylim(-1.12, 1.12)
        ax.spines[["top", "right"]].set_visible(False)
        if ax.get_subplotspec().is_last_row():
            ax.set_xlabel("$x$")
    figure.suptitle(" ", fontsize=22)  # room for the legend
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="upper center", ncol=5,
                  frameon=False)  # fmt: skip
    save(figure, "figure_5_3")


if __name__ == "__main__":
    main()
