"""PRML figure 5.10: the validation error of 30 starts for each number of hidden units.

python examples/figure_5_10.py [output folder]
"""

import numpy as np
from common import save

import mlpcore
from mlpcore import plots


def main() -> None:
    random = np.random.default_rng(0)
    X = random.uniform(0, 1, (215, 1))
    t = np.sin(2 * np.pi * X) + 0.3 * random.standard_normal(X.shape)
    result = mlpcore.sweep(
        X[:15], t[:15], X[15:], t[15:], hidden=range(1, 11), starts=30, seed=0, epochs=500
    )
    print(result)
    figure = plots.figure(5, 3.4)
    result.plot(figure.subplots())
    save(figure, "figure_5_10")


if __name__ == "__main__":
    main()
