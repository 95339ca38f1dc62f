#!/usr/bin/env python3
"""Measure and draw the pictures of docs/performance.md: docs/roofline.svg and docs/scaling.svg.

    python bench/figures.py                    # measures (some minutes), saves, draws
    python bench/figures.py --draw             # draws again from what was saved
    python bench/figures.py --run run.json     # the roofline from the rows of bench/run.py --json
    python bench/figures.py --format png
    python bench/figures.py --quick --sizes 4  # a first look

roofline: what each quantity reaches beside what the machine allows. To the right the multiply-adds
limit, to the left memory: below some number of operations a byte the arguments and the result can't
come and go any quicker. The results of weight_jacobian and per_sample_gradient, and those of large
Hessians, go into an array that is there.

scaling: the time of a gradient against the number of samples, the width, and the depth, on log
axes, with the slope of the upper half of each line. Needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import string
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.run import prepare_process

if __name__ == "__main__":
    prepare_process(None)

import numpy as np

from bench import machine, measure, report, timing
from bench.cases import CASES, TRAINING_CASES, Case
from mlpcore import _core
from mlpcore.plots.style import AMBER, BLUE, GREEN, ORANGE, PURPLE, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# For each sweep its points: x and {contestant: seconds}.
Curves = dict[str, list[tuple[int, dict[str, float]]]]

ROOT = Path(__file__).resolve().parent.parent
SAVED = ROOT / "bench" / "results" / "figures.json"

COLOURS = {"mlpcore": BLUE, "numpy": "#999999", "torch": ORANGE, "jax": GREEN}
QUANTITIES = {  # of the roofline, and their signs
    "gradient": ("o", BLUE),
    "jacobian": ("s", ORANGE),
    "hessian_diagonal": ("^", GREEN),
    "hessian": ("h", "#7A5195"),  # gauss_newton would lie on it
    "hessian_vector_product": ("p", "#B2182B"),
    "weight_jacobian": ("D", PURPLE),
    "per_sample_gradient": ("v", AMBER),
    "train": ("P", "#000000"),
    "train_ensemble": ("X", SKY),
}
SWEEPS = {
    "samples N (8-50-1)": [
        (n, Case((8, 50, 1), n)) for n in (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
    ],
    "hidden units M (8-M-1, N=1000)": [
        (m, Case((8, m, 1), 1000)) for m in (2, 5, 12, 30, 75, 200, 500, 1200)
    ],
    "hidden layers of 64 units (N=1024)": [
        (depth, Case((16, *[64] * depth, 4), 1024)) for depth in (1, 2, 4, 8, 16)
    ],
}


def measure_roofline(settings: timing.Settings, quick: bool) -> list[report.Row]:
    contestants = measure.load_contestants(["none"], quick=True)
    rows = []
    for quantity in QUANTITIES:
        for case in [*CASES, *TRAINING_CASES]:
            dtype = case.dtype or "float64"
            if case.measures(quantity) and not measure.too_large(quantity, case, dtype, quick):
                problem = case.problem(dtype)
                rows.append(measure.measure_row(quantity, problem, contestants, settings))
                measure.progress(rows[-1])
    return rows


def measure_scaling(
    settings: timing.Settings, peers: list[str], sizes: int | None, quick: bool
) -> Curves:
    contestants = measure.load_contestants(peers, quick)
    curves: Curves = {}
    for name, points in SWEEPS.items():
        curve = []
        for x, case in points[:sizes]:
            row = measure.measure_row("gradient", case.problem("float64"), contestants, settings)
            measure.progress(row)
            curve.append((x, {e.contestant: e.seconds for e in row.entries if e.seconds}))
        curves[name] = curve
    return curves


def place(row: report.Row) -> tuple[float, float]:
    """Operations a byte, and how many GFLOP/s we reach: into an array that is there, if we did."""
    ours = row.entry(report.OURS)
    return 2 * row.multiply_adds / row.bytes, 2e-9 * row.multiply_adds / (ours.into or ours.seconds)


def draw_roofline(rows: list[report.Row], facts: report.Facts, figure: Figure) -> None:
    ax = figure.subplots()
    peak, rates = facts["fma_peak"], facts["bandwidth"]
    rows = [r for r in rows if r.quantity in QUANTITIES and r.entry(report.OURS)]
    present = {row.dtype for row in rows}
    dtypes = [dtype for dtype in machine.DTYPES if dtype in present]
    x = np.geomspace(0.05, 3000, 400)
    for dtype, style in zip(dtypes, ("-", ":"), strict=False):
        flops = 2e-9 * peak[dtype]["all"]
        for where, shade in (("memory", "0.25"), ("cache", "0.6")):
            roof = np.minimum(flops, 1e-9 * rates[f"{where}, all"] * x)
            ax.plot(x, roof, style, color=shade, lw=1.2, zorder=2.1)
        ax.annotate(
            f"multiply-adds, {dtype}: {flops:.0f} GFLOP/s", (x[-1], flops), (0, 3),
            textcoords="offset points", ha="right", va="bottom", fontsize=8, color="0.25",
        )  # fmt: skip
    for quantity, (marker, colour) in QUANTITIES.items():
        for dtype, filled in (("float64", True), ("float32", False)):
            mine = [r for r in rows if (r.quantity, r.dtype) == (quantity, dtype)]
            if not mine:
                continue
            intensity, reached = np.array([place(r) for r in mine]).T
            label = quantity.replace("_", " ") + ("" if filled else ", float32")
            ax.plot(
                intensity, reached, marker, color=colour, ms=9, zorder=3, label=label,
                mfc=colour if filled else "white", mec="white" if filled else colour, mew=0.6,
            )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlim=(x[0], x[-1]))
    name_cases(ax, rows)
    ax.set_xlabel("operations a byte of arguments and result (FLOP/byte)")
    ax.set_ylabel("reached (GFLOP/s)")
    low = min(place(r)[1] for r in rows)
    ax.set_ylim(low / 2, 4e-9 * max(p["all"] for p in peak.values()))
    label_slope(ax, 1e-9 * rates["memory, all"], "memory")
    label_slope(ax, 1e-9 * rates["cache, all"], "second-level cache")
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    tidy(ax)


def name_cases(ax: Axes, rows: list[report.Row]) -> None:
    """A letter in each sign, and what it stands for to the right of the picture."""
    letters = dict(zip(dict.fromkeys(r.case for r in rows), string.ascii_lowercase, strict=False))
    for row in rows:
        colour = QUANTITIES[row.quantity][1]
        ax.text(
            *place(row), letters[row.case], fontsize=6, ha="center", va="center_baseline", zorder=4,
            color="white" if row.dtype == "float64" else colour,
        )  # fmt: skip
    names = "\n".join(f"{letter}  {case}" for case, letter in letters.items())
    ax.annotate(
        names, (1, 0), (8, 0), xycoords="axes fraction", textcoords="offset points", fontsize=7,
        va="bottom", color="0.25", annotation_clip=False,
    )  # fmt: skip


def name_machine(figure: Figure, facts: report.Facts) -> None:
    """Below the picture: where it was measured."""
    about = facts["machine"]
    figure.supxlabel(
        f"{about['cpu']}, {about['cores usable']} cores, {facts['isa']}",
        fontsize=7, color="0.4", x=0.99, ha="right",
    )  # fmt: skip


def label_slope(ax: Axes, rate: float, name: str) -> None:
    """Just above the line y = rate * x, near its left end."""
    above = 1.15 * rate
    x = max(ax.get_xlim()[0], ax.get_ylim()[0] / above) * 1.25
    ax.text(
        x, above * x, f"{name}: {rate:.0f} GB/s", fontsize=8, color="0.25",
        rotation=np.degrees(np.arctan(above)), rotation_mode="anchor", transform_rotates_text=True,
    )  # fmt: skip


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """Of the upper half of a curve on log axes, by least squares."""
    upper = slice(-max(3, (len(x) + 1) // 2), None)
    return float(np.polyfit(np.log(x[upper]), np.log(y[upper]), 1)[0])


def draw_scaling(curves: Curves, figure: Figure) -> None:
    from matplotlib.ticker import NullLocator

    axes = figure.subplots(1, len(curves), sharey=True)
    for ax, (name, curve) in zip(axes, curves.items(), strict=True):
        for contestant in [c for c in COLOURS if any(c in times for _, times in curve)]:
            points = [(x, 1e6 * times[contestant]) for x, times in curve if contestant in times]
            x, y = np.array(points).T
            ours = contestant == report.OURS
            ax.plot(
                x, y, "o-", color=COLOURS[contestant], ms=4 if ours else 3, lw=2 if ours else 1.2,
                zorder=3 if ours else 2, label=f"{contestant}, slope {slope(x, y):.2f}",
            )  # fmt: skip
        ax.set(xscale="log", yscale="log")
        ax.set_xlabel(name)
        ax.legend(fontsize=7.5, frameon=False, loc="upper left")
        tidy(ax)
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, 30 * high)  # room for the legends
    axes[0].set_ylabel("time of a gradient (µs)")
    depths = [x for x, _ in list(curves.values())[-1]]
    axes[-1].set_xticks(depths, [str(x) for x in depths], minor=False)
    axes[-1].xaxis.set_minor_locator(NullLocator())


def tidy(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color="0.92", lw=0.6, zorder=0)


def new_figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, path: Path) -> None:
    import matplotlib

    # Paths and dates would make a new file of the same picture.
    with matplotlib.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "none"}):
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, metadata=metadata, dpi=150)
    print(path, file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draw", action="store_true", help="do not measure")
    parser.add_argument("--run", type=Path, metavar="FILE", help="rows of the roofline")
    parser.add_argument("--saved", type=Path, default=SAVED, help="default: bench/results/...")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs", help="default: docs/")
    parser.add_argument("--format", choices=["svg", "png", "pdf"], default="svg")
    parser.add_argument(
        "--quick", action="store_true", help="fewer and shorter samples, PyTorch eager"
    )
    parser.add_argument("--peers", nargs="+", metavar="NAME", default=["numpy", "torch", "jax"])
    parser.add_argument("--sizes", type=int, metavar="N", help="only the first N of each sweep")
    args = parser.parse_args(argv)

    if not args.draw:
        settings = timing.QUICK if args.quick else timing.Settings(samples=11, pause=0.15)
        machine.warn_if_busy()
        facts = {
            "machine": machine.facts(),
            "isa": _core.isa(),
            "fma_peak": machine.fma_peak(),
            "bandwidth": machine.bandwidth(),
        }
        rows = [] if args.run else measure_roofline(settings, args.quick)
        document = {
            "curves": measure_scaling(settings, args.peers, args.sizes, args.quick),
            "rows": [asdict(row) for row in rows],
        }
        args.saved.parent.mkdir(parents=True, exist_ok=True)
        args.saved.write_text(json.dumps({**facts, **document}, indent=1) + "\n")
    saved = json.loads(args.saved.read_text())
    rows, facts = report.read(args.run) if args.run else (report.rows_of(saved["rows"]), saved)

    figure = new_figure(8, 5.2)
    draw_roofline(rows, facts, figure)
    name_machine(figure, facts)
    save(figure, args.folder / f"roofline.{args.format}")
    figure = new_figure(9, 3.6)
    draw_scaling(saved["curves"], figure)
    name_machine(figure, saved)
    save(figure, args.folder / f"scaling.{args.format}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
