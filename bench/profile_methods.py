"""The methods of minimize on a list of named problems, and their performance profile.

    python bench/profile_methods.py              # the table, and the picture in docs/ (minutes)
    python bench/profile_methods.py --seconds 2 --starts 5
    python bench/profile_methods.py --draw       # draws again from what was saved

Dolan and More, Benchmarking optimization software with performance profiles, 2002: of all runs,
the share in which a method needed at most r times as long as the quickest one. A method has done a
run when it has brought F to F_best + tau (F_start - F_best), where F_best is the lowest that any
method found from the same start (More and Wild, 2009).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np

import mlpcore
from bench.problems import Problem, problems
from mlpcore.plots.style import AMBER, BLUE, GREEN, ORANGE, PURPLE, SKY

ROOT = Path(__file__).resolve().parent.parent
SAVED = ROOT / "bench" / "results" / "profile_methods.json"

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
# Colour, line and sign of each. The latter two tell them apart in grey: relatives have the sign in
# common, and the second of them is dashed, its signs hollow.
STYLES = {
    "lm": (BLUE, "-", "o"),
    "lm, accelerated": (SKY, "--", "o"),
    "newton-cg": (GREEN, "-", "s"),
    "newton-cg, Gauss-Newton": ("#5FB596", "--", "s"),
    "bfgs": (ORANGE, "-", "^"),
    "lbfgs": (AMBER, "--", "^"),
    "scg": (PURPLE, "-", "D"),
    "cg": ("#7A5195", "--", "D"),
    "gd": ("0.4", ":", "x"),
}


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


def draw(ratios: Any, tau: float, n_problems: int, folder: Path) -> None:
    """The profile, of ratios (methods, runs), as performance_profile.svg and .png."""
    import matplotlib
    from matplotlib.lines import Line2D

    from mlpcore import plots

    figure = plots.figure(7, 4)
    ax = figure.subplots()
    ends = np.where(np.isfinite(ratios), ratios, np.nan)
    limit = 2 ** max(1.0, np.ceil(np.log2(np.nanmax(ends))))
    between = np.log2(limit) / 50  # two signs of lines that run together

    handles = []
    for k, (name, row) in enumerate(zip(METHODS, ratios, strict=True)):
        colour, line, sign = STYLES[name]
        r = np.sort(row[np.isfinite(row)])
        share = np.arange(r.size + 1) / row.size
        x, y = np.concatenate([[1], r, [limit]]), np.append(share, share[-1:])
        look: dict[str, Any] = {"color": colour, "linewidth": 1.4}
        of_sign = {"marker": sign, "markersize": 5, "mfc": colour if line == "-" else "white"}
        ax.step(x, y, where="post", linestyle=line, **look)
        at = 2 ** np.arange((k + 1) * between, np.log2(limit), len(METHODS) * between)
        reached = share[np.searchsorted(r, at, side="right")]
        ax.plot(at, reached, linestyle="none", **look, **of_sign)
        handles.append(Line2D([], [], linestyle=line, label=name, **look, **of_sign))
    # From the top down, as the lines end.
    order = sorted(range(len(handles)), key=lambda k: -np.isfinite(ratios[k]).mean())
    ax.set_xscale("log", base=2)
    ax.set_xlim(1, limit)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("time, as a multiple of the quickest method's")
    ax.set_ylabel(f"share of runs done to {tau:g}")
    ax.set_title(f"{n_problems} problems, {ratios.shape[1]} runs", loc="left", fontsize="medium")
    ax.legend(
        handles=[handles[k] for k in order],
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        frameon=False,
        fontsize="small",
        handlelength=3.5,
    )
    ax.spines[["top", "right"]].set_visible(False)
    with matplotlib.rc_context({"svg.hashsalt": "profile", "svg.fonttype": "none"}):
        figure.savefig(folder / "performance_profile.svg", metadata={"Date": None})
    figure.savefig(folder / "performance_profile.png", dpi=150)


def measure(seconds: float, starts: int, tau: float) -> dict[str, Any]:
    """What `draw` needs, all as JSON takes it."""
    ratios, names = [], []
    print("| problem | method | lowest F | median F | stopped |\n|---|---|---|---|---|")
    for problem in problems():
        per_start = []
        for seed in range(starts):
            results = run(problem, problem.net.init(seed=seed), seconds)
            needed = np.array(times(results, tau))
            ratios.append(needed / needed.min())
            per_start.append(results)
        names.append(problem.name)
        print("\n".join(table(problem.name, per_start)), flush=True)
    by_method = dict(zip(METHODS, np.array(ratios).T.tolist(), strict=True))
    return {"ratios": by_method, "tau": tau, "problems": names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="the most a run (default 1)")
    parser.add_argument("--starts", type=int, default=3, help="runs a problem (default 3)")
    parser.add_argument("--tau", type=float, default=1e-3, help="precision asked for (1e-3)")
    parser.add_argument("--draw", action="store_true", help="draw what was saved, measure nothing")
    parser.add_argument("--saved", type=Path, default=SAVED, help="default: bench/results/...")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs", help="default: docs")
    arguments = parser.parse_args()
    if not arguments.draw:
        saved = measure(arguments.seconds, arguments.starts, arguments.tau)
        arguments.saved.parent.mkdir(parents=True, exist_ok=True)
        arguments.saved.write_text(json.dumps(saved, indent=1) + "\n")
    saved = json.loads(arguments.saved.read_text())
    ratios = np.array([saved["ratios"][name] for name in METHODS])
    draw(ratios, saved["tau"], len(saved["problems"]), arguments.folder)


if __name__ == "__main__":
    main()
