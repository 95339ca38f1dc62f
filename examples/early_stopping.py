"""The validation error turns up while the training error still falls (PRML figure 5.12).

python examples/early_stopping.py [output folder]
"""

import numpy as np
from common import save

import mlpcore
from mlpcore import plots
from mlpcore.plots.style import BLUE, ORANGE


def main() -> None:
    random = np.random.default_rng(0)
    X = random.uniform(-1, 1, (140, 1))
    t = np.sin(np.pi * X) + 0.3 * random.standard_normal(X.shape)
    net = mlpcore.Network((1, 20, 1), hidden="tanh")
    result = mlpcore.train(
        net, net.init(seed=0), X[:20], t[:20], X[20:], t[20:], learning_rate=0.003, epochs=3000,
    )  # fmt: skip
    print(result)
    figure = plots.figure(7, 3)
    left, right = figure.subplots(1, 2)
    plots.learning_curves(result, left)

    last = mlpcore.train(
        net, net.init(seed=0), X[:20], t[:20], learning_rate=0.003, epochs=result.n_epochs
    )
    x = np.linspace(-1, 1, 401)[:, None]
    right.plot(X[:20], t[:20], "o", color="0.35", markersize=4, label="training data")
    right.plot(x, np.sin(np.pi * x), color="0.6", linewidth=1.2, label=r"$\sin\,\pi x$")
    right.plot(x, net.forward(result.w, x), color=ORANGE, linewidth=1.6, label="best epoch")
    right.plot(x, net.forward(last.w, x), "--", color=BLUE, linewidth=1.4, label="last epoch")
    right.set_xlabel("$x$")
    right.set_ylabel("$t$")
    right.legend(frameon=False, fontsize="small", loc="upper left")
    right.spines[["top", "right"]].set_visible(False)
    right.tick_params(labelsize="small")  # as to the left
    save(figure, "early_stopping")


if __name__ == "__main__":
    main()
