#!/usr/bin/env python3
"""Leave-one-out of concrete, 8-20-1: one step from one factor, against true refits.

    python bench/leave_one_out.py                   # a minute: 100 refits, at random, of the 1030
    python bench/leave_one_out.py --refits 1030
    python bench/leave_one_out.py --picture docs/leave_one_out.svg

A true refit begins at the optimum of all samples and ends where L-BFGS says that it has converged.
`mlpcore.retrain`, a few Newton steps, gives the same and is timed as well. Refits of a random part
stand for all of them in time; the errors are those of this part.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np

import mlpcore
from bench import machine
from bench.problems import standardized
from mlpcore.datasets import load_concrete


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--refits", type=int, default=100, help="how many, at random")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--picture", type=Path, help="draw it to this file (needs matplotlib)")
    options = parser.parse_args()

    machine.warn_if_busy()
    data = load_concrete()
    X, T = standardized(data.X), standardized(data.t)[:, None]
    N, how = len(X), {"weight_decay": options.weight_decay}
    lbfgs = {"optimizer": "lbfgs", "epochs": 5000, **how}
    net = mlpcore.Network((8, 20, 1))
    w = mlpcore.train(net, net.init(seed=0), X, T, **lbfgs).w
    optimum = mlpcore.Optimum(net, w, X, T, **how)

    def approximated() -> mlpcore.LeaveOneOut:  # the Hessian and its factor included
        return mlpcore.leave_one_out(mlpcore.Optimum(net, optimum.w, X, T, **how))

    def refits(n: int) -> dict[str, Callable[[], Any]]:
        s = np.ones(N)
        s[n] = 0
        return {
            "L-BFGS": lambda: mlpcore.train(net, optimum.w, X, T, sample_weight=s, **lbfgs),
            "retrain": lambda: mlpcore.retrain(optimum, remove=[n]),
        }

    rows = np.random.default_rng(0).permutation(N)[: options.refits]
    seconds: dict[str, list[float]] = {"L-BFGS": [], "retrain": []}
    y: dict[str, list[float]] = {name: [] for name in seconds}
    times = []
    for i, n in enumerate(rows):  # in turns, so that whatever the machine does meets all
        if i % 5 == 0:
            left_out, taken = timed(approximated)
            times.append(taken)
        for name, refit in refits(n).items():
            fit, taken = timed(refit)
            seconds[name].append(taken)
            y[name].append(net.forward(fit.w, X[n : n + 1])[0, 0])
    approximation = float(np.median(times))
    true, again = np.array(y["L-BFGS"]), np.array(y["retrain"])

    residuals, t = T[rows, 0] - true, data.t.std()
    approximate = left_out.residuals[rows, 0]
    spread = residuals.std()
    off = {
        "leave_one_out": np.abs(approximate - residuals) / spread,
        "training residuals": np.abs((T - net.forward(optimum.w, X))[rows, 0] - residuals) / spread,
    }
    print(f"concrete, 8-20-1, N = {N}, weight decay {options.weight_decay:g}, {len(rows)} refits\n")
    print("| all N, by | seconds | times leave_one_out |\n|---|---|---|")
    print(f"| leave_one_out | {approximation:.4f} | 1 |")
    for name, some in seconds.items():
        taken = float(np.mean(some)) * N
        print(f"| true refits by {name} | {taken:.1f} | {taken / approximation:.0f} |")
    print(f"\nThe residuals of true refits spread by {t * spread:.2f} MPa; off from them,")
    print("in parts of that:\n\n| | median | mean | largest | above 5 % |\n|---|---|---|---|---|")
    for name, parts in off.items():
        numbers = f"{np.median(parts):.3%} | {parts.mean():.2%} | {parts.max():.1%}"
        print(f"| {name} | {numbers} | {np.mean(parts > 0.05):.1%} |")
    apart = np.abs(true - again).max() / spread
    print(f"\nThe refits of L-BFGS and retrain are at most {apart:.1e} apart, in the same parts.")
    if options.picture:
        draw(options.picture, t * residuals, t * approximate, left_out.leverage[rows], off)


def draw(path: Path, true: Any, ours: Any, leverage: Any, off: dict[str, Any]) -> None:
    """Residuals against residuals in MPa, and the distribution of what is between them."""
    import matplotlib

    from mlpcore import plots
    from mlpcore.plots.style import BLUE, ORANGE

    figure = plots.figure(8, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    ends = np.array([true.min(), true.max()])
    left.plot(ends, ends, color="0.6", linewidth=1, zorder=0)
    points = left.scatter(true, ours, c=leverage, s=18, cmap="viridis_r", vmin=0, vmax=1)
    figure.colorbar(points, label="leverage")
    left.set_xlabel("residual of a true refit (MPa)")
    left.set_ylabel("residual by leave_one_out (MPa)")
    left.set_aspect("equal", adjustable="datalim")

    looks = ((BLUE, "-", -8, "right"), (ORANGE, "--", 10, "left"))
    share = np.arange(1, len(true) + 1) / len(true)
    for (name, parts), (colour, line, aside, side) in zip(off.items(), looks, strict=True):
        right.step(np.sort(parts), share, where="post", color=colour, linestyle=line)
        right.plot(np.median(parts), 0.5, "o", color=colour, markersize=5)
        right.annotate(
            name.replace(" ", "\n"), (np.quantile(parts, 0.7), 0.7), (aside, 0),
            textcoords="offset points", fontsize="small", color=colour, ha=side, va="center",
        )  # fmt: skip
    right.axhline(0.5, color="0.85", linewidth=0.8, zorder=0)
    right.annotate(
        "median", (0, 0.5), (4, 2), xycoords=("axes fraction", "data"),
        textcoords="offset points", fontsize="small", color="0.4",
    )  # fmt: skip
    right.set_xscale("log")
    right.set_xlim(1e-6, 10)
    right.set_ylim(0, 1.02)
    right.set_xlabel("|difference| / spread of the residuals")
    right.set_ylabel("share of the samples")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    # Paths and dates would make a new file of the same picture.
    with matplotlib.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "none"}):
        svg = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=svg, dpi=150)


if __name__ == "__main__":
    main()
