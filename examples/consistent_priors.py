"""PRML section 5.5.1: a prior is consistent if a change of units does not change the fit.

python examples/consistent_priors.py [output folder]

A network is trained on data and on a linear transform of them, x -> a x + b, t -> c t + d, from
equivalent weights. With one precision for each layer and free biases, both become the same
function; with one precision for all weights and biases they do not.
"""

from typing import Any

import numpy as np
from common import save

import mlpcore
from mlpcore.plots import figure
from mlpcore.plots.style import BLUE, ORANGE
from mlpcore.regularizers import ConsistentPrior, Regularizer, WeightDecay
from mlpcore.scaling import rescale_weights

a, b, c, d = 3.0, -0.7, 0.2, 5.0


def fit(net: mlpcore.Network, w: Any, X: Any, T: Any, regularizer: Regularizer) -> Any:
    return mlpcore.minimize(
        net,
        w,
        X,
        T,
        method="newton-cg",
        regularizer=regularizer,
        iterations=5000,
        gradient_tolerance=1e-12,
        error_tolerance=0,
        step_tolerance=0,
    ).w


def main() -> None:
    random = np.random.default_rng(0)
    X = random.uniform(-1, 1, (30, 1))
    T = np.sin(3 * X) + 0.2 * random.standard_normal(X.shape)
    net = mlpcore.Network((1, 6, 1))
    start = net.init(1)
    start_there = rescale_weights(net, start, a, b, c, d)
    x = np.linspace(-1.2, 1.2, 300)[:, None]
    fig = figure(7.0, 3.0)
    axes = fig.subplots(1, 2, sharey=True)
    prior, decay = ConsistentPrior((0.05, 0.1)), WeightDecay(0.05)
    for ax, title, here, there in (
        (axes[0], "a precision for each layer", prior, prior.transformed(a, c)),
        (axes[1], "weight decay", decay, decay),
    ):
        y = net.forward(fit(net, start, X, T, here), x)
        w = fit(net, start_there, a * X + b, c * T + d, there)
        back = (net.forward(w, a * x + b) - d) / c
        print(f"{title}: largest difference {np.abs(y - back).max():.1e}")
        ax.plot(X, T, "o", color="0.6", markersize=3, label="data")
        ax.plot(x, y, color=BLUE, linewidth=2.5, alpha=0.6, label="fit to the data")
        ax.plot(x, back, "--", color=ORANGE, linewidth=1.2, label="fit to their transform")
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("$x$")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("$t$, $y$")
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    save(fig, "consistent_priors")


if __name__ == "__main__":
    main()
