"""The methods of minimize on a list of named problems, and their performance profile.

    python bench/profile_methods.py                     # the table, and the picture in docs/
    python bench/profile_methods.py --seconds 2 --starts 5

Dolan and More, Benchmarking optimization software with performance profiles, 2002: of all runs,
the share in which a method needed at most r times as long as the quickest one. A method has done a
run when it has brought F to F_best + tau (F_start - F_best), where F_best is the lowest that any
method found from the same start (More and Wild, 2009).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import mlpcore  # noqa: E402
from bench.problems import Problem, problems  # noqa: E402

METHODS: dict[str, dict[str, Any]] = {
    "lm": {"method": "lm"},
    "lm, accelerated": {"method": "lm", "acceleration": True},
    "newton-cg": {"method": "newton-cg"},
    "newton-cg, Gauss-Newton": {"method": "newton-cg", "curvature": "gauss_newton"},
    "bfgs": {"method": "bfgs"},
    "lbfgs": {"method": "lbfgs"},
    "scg": {"method": "scg"},
    "cg": {"method": "cg"},
    "gd": {"method": "gd"},
}
COLOURS = (
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#8FD0B8",
    "#D55E00",
    "#E69F00",
    "#CC79A7",
    "#7A5195",
    "0.5",
)


def run(problem: Problem, w: Any, seconds: float) -> list[mlpcore.MinimizeResult]:
    """A result a method, all from the same weights."""
    return [
        mlpcore.minimize(
            problem.net,
            w,
            problem.X,
            problem.T,
            weight_decay=problem.weight_decay,
            iterations=10**6,
            seconds=seconds,
            **options,
        )
        for options in METHODS.values()
    ]


def times(results: list[mlpcore.MinimizeResult], tau: float) -> list[float]:
    """When each method had done the run, infinite if never."""
    best = min(r.objective for r in results)
    goal = best + tau * (results[0].history["objective"][0] - best)
    done = [np.flatnonzero(r.history["objective"] <= goal) for r in results]
    return [
        float(r.history["seconds"][at[0]]) if at.size else np.inf
        for r, at in zip(results, done, strict=True)
    ]


def table(name: str, per_start: list[list[mlpcore.MinimizeResult]]) -> list[str]:
    """A line a method: the lowest and median objective, and why it stopped."""
    lines = []
    for m, method in enumerate(METHODS):
        mine = [results[m] for results in per_start]
        for r in mine:
            if not (np.isfinite(r.w).all() and np.isfinite(r.history["objective"]).all()):
                raise AssertionError(f"{method} on {name}: not finite")
        F = [r.objective for r in mine]
        reasons = Counter(r.stopped for r in mine)
        stopped = ", ".join(f"{n} {why}" for why, n in reasons.items())
        lines.append(f"| {name} | {method} | {min(F):.6g} | {np.median(F):.6g} | {stopped} |")
    return lines


def draw(ratios: Any, tau: float, n_problems: int) -> None:
    """The profile as docs/performance_profile.svg and .png."""
    import matplotlib

    from mlpcore import plots

    figure = plots.figure(7, 4)
    ax = figure.subplots()
    ends = np.where(np.isfinite(ratios), ratios, np.nan)
    limit = 2 ** np.ceil(np.log2(np.nanmax(ends)))
    for (name, row), colour in zip(zip(METHODS, ratios, strict=True), COLOURS, strict=True):
        r = np.sort(row[np.isfinite(row)])
        share = np.arange(1, r.size + 1) / row.size
        x, y = np.append(r, limit), np.append(share, share[-1:] if r.size else [0.0])
        ax.step(np.append(1, x), np.append(0, y), where="post", label=name, color=colour)
    ax.set_xscale("log", base=2)
    ax.set_xlim(1, limit)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("time, as a multiple of the quickest method's")
    ax.set_ylabel(f"share of runs done to {tau:g}")
    ax.set_title(f"{n_problems} problems, {ratios.shape[1]} runs", loc="left", fontsize="medium")
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    with matplotlib.rc_context({"svg.hashsalt": "profile", "svg.fonttype": "none"}):
        figure.savefig(ROOT / "docs" / "performance_profile.svg", metadata={"Date": None})
    figure.savefig(ROOT / "docs" / "performance_profile.png", dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="the most a run (default 1)")
    parser.add_argument("--starts", type=int, default=3, help="runs a problem (default 3)")
    parser.add_argument("--tau", type=float, default=1e-3, help="precision asked for (1e-3)")
    arguments = parser.parse_args()
    ratios, names = [], []
    print("| problem | method | lowest F | median F | stopped |\n|---|---|---|---|---|")
    for problem in problems():
        per_start = []
        for seed in range(arguments.starts):
            results = run(problem, problem.net.init(seed=seed), arguments.seconds)
            needed = np.array(times(results, arguments.tau))
            ratios.append(needed / needed.min())
            per_start.append(results)
        names.append(problem.name)
        print("\n".join(table(problem.name, per_start)), flush=True)
    draw(np.array(ratios).T, arguments.tau, len(names))


if __name__ == "__main__":
    main()
