"""PRML figure 5.11: functions drawn from the prior over the weights of a network.

python examples/figure_5_11.py [output folder]

A 1-12-1 network of tanh units; the weights and biases of each layer have normal priors of their
own. The numbers of the book's figure, which calls them precisions, give its curves when they are
taken as standard deviations s, which is what is done here: the precisions are 1/s^2. Those of the
weights of the first layer set how fast the functions vary, those of its biases over what range of x
they do, and those of the second layer the size of the outputs.
"""

import numpy as np
from common import save

import mlpcore
from mlpcore.plots import figure
from mlpcore.plots.style import PALETTE
from mlpcore.regularizers import LayerDecay

# s_1^w, s_1^b, s_2^w, s_2^b
DEVIATIONS = [(1, 1, 1, 1), (1, 1, 10, 1), (1000, 100, 1, 1), (1000, 1000, 1, 1)]


def main() -> None:
    net = mlpcore.Network((1, 12, 1))
    x = np.linspace(-1, 1, 2000)
    fig = figure(7.0, 5.0)
    axes = fig.subplots(2, 2)
    for ax, (w1, b1, w2, b2) in zip(axes.flat, DEVIATIONS, strict=True):
        prior = LayerDecay(weights=(w1**-2, w2**-2), biases=(b1**-2, b2**-2))
        for w, color in zip(prior.sample(net, 5, seed=2), PALETTE, strict=False):
            ax.plot(x, net.forward(w, x[:, None])[:, 0], color=color, linewidth=1.2)
        ax.set_title(rf"$s_1^w={w1},\ s_1^b={b1},\ s_2^w={w2},\ s_2^b={b2}$", fontsize=9)
        ax.set_xlim(-1, 1)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("$y(x, w)$")
    for ax in axes[1]:
        ax.set_xlabel("$x$")
    save(fig, "figure_5_11")


if __name__ == "__main__":
    main()
