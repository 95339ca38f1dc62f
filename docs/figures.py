"""Draws the pictures of the documentation, as SVG beside this file (needs matplotlib).

python docs/figures.py
"""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

import mlpcore
from mlpcore import plots
from mlpcore.datasets import load_concrete
from mlpcore.scaling import Standardizer

HERE = Path(__file__).resolve().parent


def concrete() -> None:
    """The regression of the main job: learning curves, and predicted against true."""
    data = load_concrete()
    rows = np.random.default_rng(0).permutation(len(data.t))
    test, validation, training = rows[:206], rows[206:309], rows[309:]
    inputs = Standardizer.fit(data.X[training])
    target = Standardizer.fit(data.t[training, None])
    X, t = inputs.transform(data.X), target.transform(data.t[:, None])
    net = mlpcore.Network((8, 50, 1))
    result = mlpcore.train(
        net, net.init(seed=0), X[training], t[training], X[validation], t[validation],
        batch_size=32, learning_rate=0.003, weight_decay=0.1, epochs=2000, patience=200, seed=0,
    )  # fmt: skip
    y = target.inverse(net.forward(result.w, X))[:, 0]

    figure = plots.figure(7, 3.3)
    left, right = figure.subplots(1, 2)
    plots.learning_curves(result, left, rms_unit=float(target.scale[0]), unit="MPa")
    plots.predicted_against_true(data.t[test], y[test], right)
    right.set_xlabel("true compressive strength (MPa)")
    right.set_ylabel("predicted compressive strength (MPa)")
    save(figure, "concrete")


def save(figure: Figure, name: str) -> None:
    # Paths and dates would make a new file of the same picture.
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(HERE / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    concrete()
