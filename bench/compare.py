#!/usr/bin/env python3
"""Put two saved runs side by side and say which rows changed beyond noise.

    python bench/compare.py before.json after.json

A row has changed when the interquartile ranges of the two runs do not overlap and the medians are
more than --threshold apart. The peers did not change between the runs, so what they show is
the machine: a line gives it. Exit status 1 when a row of mlpcore got slower, or when the second run
did not measure one that the first did.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench import report


def verdict(before: report.Entry, after: report.Entry, threshold: float) -> str:
    assert before.seconds
    assert after.seconds
    assert before.quartiles
    assert after.quartiles
    change = after.seconds / before.seconds - 1
    if abs(change) <= threshold:
        return ""
    if change > 0:
        return "slower" if after.quartiles[0] > before.quartiles[1] else ""
    return "faster" if after.quartiles[1] < before.quartiles[0] else ""


def show(
    rows_before: list[report.Row], rows_after: list[report.Row], threshold: float, everybody: bool
) -> int:
    """Print the rows of mlpcore (of everybody) that both runs have.

    Returns the exit status: 1 if one of ours got slower, or is not in the second run.
    """
    before = {(*row.key, e.contestant): e for row in rows_before for e in row.entries}
    slower, drift, missing = [], [], []
    lines = [("quantity", "case", "type", "contestant", "before", "after", "change", "")]
    for row in rows_after:
        for entry in row.entries:
            old = before.pop((*row.key, entry.contestant), None)
            ours = entry.contestant == report.OURS
            if old is None or old.seconds is None or entry.seconds is None:
                if ours and old is not None and old.seconds is not None:
                    missing.append((row.key, entry.why_not))
                continue
            change = entry.seconds / old.seconds - 1
            said = verdict(old, entry, threshold)
            if ours and said == "slower":
                slower.append(row)
            if not ours:
                drift.append(change)
            if ours or everybody:
                lines.append(
                    (*row.key, entry.contestant, old.cell(), entry.cell(), f"{change:+.1%}", said)
                )
    missing += [
        (key, "not in the second run")
        for (*key, contestant), entry in before.items()
        if contestant == report.OURS and entry.seconds is not None
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())
    for (quantity, case, dtype), why in missing:
        print(f"no longer measured: {quantity} of {case} {dtype}: {why}")
    if drift:
        print(f"\nmeanwhile the peers changed by {statistics.median(drift):+.1%} (median)")
    rows = f"{len(slower) or 'no'} row{'s' if len(slower) > 1 else ''}"
    gone = f", {len(missing)} no longer measured" if missing else ""
    print(f"{rows} of mlpcore got slower{gone}")
    return 1 if slower or missing else 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--threshold", type=float, default=0.05, help="default: 0.05")
    parser.add_argument("--all", action="store_true", help="show the peers' rows too")
    args = parser.parse_args(argv)

    (rows_before, facts_before), (rows_after, facts_after) = map(
        report.read, (args.before, args.after)
    )
    for name in ("machine", "versions", "settings"):
        a, b = facts_before[name], facts_after[name]
        for key in sorted({*a, *b} - {"load"}):
            if a.get(key) != b.get(key):
                print(f"note: {name}, {key}: {a.get(key)} before, {b.get(key)} after")
    print(f"before: commit {facts_before['commit']}; after: commit {facts_after['commit']}\n")

    return show(rows_before, rows_after, args.threshold, everybody=args.all)


if __name__ == "__main__":
    raise SystemExit(main())
