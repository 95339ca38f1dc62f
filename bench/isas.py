"""mlpcore by each instruction set that the build has and this machine runs, side by side."""

from __future__ import annotations

import argparse

import mlpcore
from bench import report, rounds


def table(runs: dict[str, tuple[list[report.Row], report.Facts]]) -> str:
    """Microseconds ± the range of the rounds, and the share of that instruction set's peak."""
    isas = list(runs)
    head = ["quantity", "case", "type"]
    for isa in isas:
        head += [isa, "of its peak"]
    lines = [[*head, f"{isas[0]} / {isas[-1]}"]]
    for rows in zip(*(rows for rows, _ in runs.values()), strict=True):
        line = list(rows[0].key)
        seconds = []
        for row, (_, facts) in zip(rows, runs.values(), strict=True):
            entry = row.entries[0]
            line += [entry.cell(), report.percent(row.share_of_peak(facts))]
            seconds.append(entry.seconds)
        first, last = seconds[0], seconds[-1]
        lines.append([*line, f"{first / last:.2f}" if first and last else ""])
    return report.aligned(lines, left=3)


def run(args: argparse.Namespace) -> int:
    options = ["--peers", "none"]
    for name in ("quantities", "cases"):
        if given := getattr(args, name):
            options += [f"--{name}", *given]
    for name in ("dtype", "threads"):
        if given := getattr(args, name):
            options += [f"--{name}", str(given)]
    if args.quick:
        options.append("--quick")
    variants = [
        rounds.Variant(isa, environment={"MLPCORE_ISA": isa}) for isa in mlpcore.available_isas()
    ]
    runs = rounds.alternate(variants, options, args.rounds)
    print(table(runs))
    for _, facts in runs.values():
        print("\n" + report.of_the_machine({k: facts[k] for k in ("isa", "fma_peak")}), end="")
    print()
    failed = [e for rows, _ in runs.values() for row in rows for e in row.entries if e.failed]
    return 1 if failed else 0
