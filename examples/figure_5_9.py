"""PRML figure 5.9: the number of hidden units governs how closely a network follows ten points.

python examples/figure_5_9.py [output folder]
"""

import numpy as np
from common import save

import mlpcore
from mlpcore import plots
from mlpcore.plots.style import BLUE, GREEN, ORANGE


def main() -> None:
    random = np.random.default_rng(4)
    X = np.linspace(0, 1, 10)[:, None]
    t = np.sin(2 * np.pi * X) + 0.2 * random.standard_normal(X.shape)
    x = np.linspace(0, 1, 501)[:, None]
    figure = plots.figure(7, 2.6)
    for ax, M in zip(figure.subplots(1, 3, sharey=True), (1, 3, 10), strict=True):
        net = mlpcore.Network((1, M, 1), hidden="tanh")
        fit = mlpcore.multistart(net, X, t, starts=20, seed=0, epochs=1000).best()
        rmse = np.sqrt(2 * net.error(fit.w, X, t) / len(X))
        off = np.sqrt(np.mean((net.forward(fit.w, x) - np.sin(2 * np.pi * x)) ** 2))
        print(f"M = {M:2}: RMSE of the data {rmse:.2g}, distance from the sinusoid {off:.2g}")
        ax.plot(x, np.sin(2 * np.pi * x), color=GREEN, linewidth=1.2, label=r"$\sin\,2\pi x$")
        ax.plot(x, net.forward(fit.w, x), color=ORANGE, linewidth=1.6, label="network")
        ax.plot(X, t, "o", color=BLUE, markersize=4.5, label="data")
        ax.set_title(f"$M = {M}$", fontsize="medium")
        ax.set_xlabel("$x$")
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_ylim(-1.6, 1.6)
        ax.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("$t$")
    figure.axes[0].legend(frameon=False, fontsize="small", loc="upper right")
    save(figure, "figure_5_9")


if __name__ == "__main__":
    main()
