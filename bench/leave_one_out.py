"""Leave-one-out of concrete, 8-20-1: one step from one factor, against true refits.

python bench/leave_one_out.py [--refits 100] [--picture docs/leave_one_out.svg]

A true refit begins at the optimum of all samples and ends where L-BFGS says that it has converged.
Refits of a random part stand for all of them in time; the errors are those of this part.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import mlpcore
from mlpcore.datasets import load_concrete
from mlpcore.scaling import Standardizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--refits", type=int, default=100, help="how many, at random")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--picture", type=Path, help="draw it to this file (needs matplotlib)")
    options = parser.parse_args()

    data = load_concrete()
    X = Standardizer.fit(data.X).transform(data.X)
    T = Standardizer.fit(data.t[:, None]).transform(data.t[:, None])
    N, alpha = len(X), options.weight_decay
    net = mlpcore.Network((8, 20, 1))
    fit = mlpcore.train(
        net, net.init(seed=0), X, T, optimizer="lbfgs", epochs=5000, weight_decay=alpha
    )
    w = mlpcore.Optimum(net, fit.w, X, T, weight_decay=alpha).w

    times = []
    for _ in range(5):  # the Hessian and its factor included
        start = time.perf_counter()
        left_out = mlpcore.leave_one_out(mlpcore.Optimum(net, w, X, T, weight_decay=alpha))
        times.append(time.perf_counter() - start)
    approximation = float(np.median(times))

    rows = np.random.default_rng(0).permutation(N)[: options.refits]
    true = np.empty((len(rows), 1))
    start = time.perf_counter()
    for i, n in enumerate(rows):
        s = np.ones(N)
        s[n] = 0
        refit = mlpcore.train(
            net, w, X, T, optimizer="lbfgs", epochs=5000, weight_decay=alpha, sample_weight=s
        )
        true[i] = net.forward(refit.w, X[n : n + 1])
    refits = (time.perf_counter() - start) / len(rows) * N

    residuals = (T[rows] - true)[:, 0]
    approximate = left_out.residuals[rows, 0]
    spread, difference = residuals.std(), np.abs(approximate - residuals)
    training = np.abs((T - net.forward(w, X))[rows, 0] - residuals)
    print(f"concrete, 8-20-1, N = {N}, weight decay {alpha:g}, {len(rows)} refits")
    print(f"{N} refits          {refits:9.3f} s")
    print(f"leave_one_out        {approximation:9.4f} s, {refits / approximation:.0f} times faster")
    print(f"spread of the residuals {spread:.4f}; off from them, in parts of the spread:")
    print("                         median    mean     largest")
    for name, off in (("leave_one_out", difference), ("training residuals", training)):
        median, mean, largest = np.array([np.median(off), off.mean(), off.max()]) / spread
        print(f"{name:<22} {median:9.4%} {mean:8.3%} {largest:8.2%}")
    if options.picture:
        draw(options.picture, residuals, approximate, left_out.leverage[rows], data.t.std())


def draw(path: Path, true: np.ndarray, ours: np.ndarray, leverage: np.ndarray, MPa: float) -> None:
    import matplotlib

    from mlpcore import plots

    figure = plots.figure(4.6, 3.8)
    ax = figure.subplots()
    ends = np.array([true.min(), true.max()]) * MPa
    ax.plot(ends, ends, color="0.6", linewidth=1, zorder=0)
    points = ax.scatter(true * MPa, ours * MPa, c=leverage, s=18, cmap="viridis", vmin=0, vmax=1)
    figure.colorbar(points, label="leverage")
    ax.set_xlabel("residual of a true refit (MPa)")
    ax.set_ylabel("residual by leave_one_out (MPa)")
    # Paths and dates would make a new file of the same picture.
    with matplotlib.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "none"}):
        svg = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=svg, dpi=150)


if __name__ == "__main__":
    main()
