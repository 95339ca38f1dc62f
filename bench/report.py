"""Results: as rows, as one table, as JSON."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.cases import HESSIANS, VECTORS

SCHEMA = 2
OURS = "mlpcore"
Facts = dict[str, Any]


@dataclass
class Entry:
    """One contestant in one row. `seconds` is empty when `why_not` says why."""

    contestant: str
    idiom: str = ""
    ways: dict[str, float] = field(default_factory=dict)  # best seconds of few samples, by idiom
    dropped: dict[str, str] = field(default_factory=dict)  # idioms that are out, and why
    difference: float | None = None  # from the reference, relative
    seconds: float | None = None  # median of a call (of an epoch when training)
    quartiles: tuple[float, float] | None = None
    samples: int = 0
    calls: int = 0  # a sample
    into: float | None = None  # median seconds of the same into an array that is there
    why_not: str = ""
    failed: bool = False  # gave other numbers, or raised

    def fail(self, why: str) -> None:
        """It has no time, whatever was measured."""
        self.why_not, self.failed = why, True
        self.seconds = self.quartiles = None

    def cell(self) -> str:
        if self.seconds is None or self.quartiles is None:
            return "FAILED" if self.failed else ""
        low, high = self.quartiles
        return f"{microseconds(self.seconds)} ± {microseconds(high - low)}"


@dataclass
class Row:
    quantity: str
    case: str
    dtype: str
    multiply_adds: int = 0  # that it takes at least (arithmetic.py); of an epoch when training
    bytes: int = 0  # of its arguments and its result
    entries: list[Entry] = field(default_factory=list)
    copies: dict[str, float] = field(default_factory=dict)  # seconds of plain copies of the result
    beyond_result: int | None = None  # bytes of our peak beyond the result, where it is large

    @property
    def key(self) -> tuple[str, str, str]:
        return self.quantity, self.case, self.dtype

    @property
    def difference(self) -> float | None:
        """The largest among those who passed."""
        return max(
            (e.difference for e in self.entries if e.difference is not None and not e.failed),
            default=None,
        )

    def entry(self, contestant: str) -> Entry | None:
        """That contestant's, if it was timed."""
        for e in self.entries:
            if e.contestant == contestant and e.seconds is not None:
                return e
        return None

    def share_of_peak(self, facts: Facts, contestant: str = OURS) -> float | None:
        """Of the multiply-adds that all threads could have done in that time."""
        entry, peak = self.entry(contestant), facts.get("fma_peak")
        if entry is None or entry.seconds is None or not peak:
            return None
        return self.multiply_adds / entry.seconds / peak[self.dtype]["all"]

    @property
    def ratio(self) -> tuple[float, str] | None:
        """How many times faster we are than the best of the others, and who that is."""
        timed = {e.contestant: e.seconds for e in self.entries if e.seconds is not None}
        ours = timed.pop(OURS, None)
        if ours is None or not timed:
            return None
        peer = min(timed, key=lambda name: timed[name])
        return timed[peer] / ours, peer


def microseconds(seconds: float) -> str:
    value = 1e6 * seconds
    if value >= 99.5:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"


def aligned(lines: list[list[str]], left: int) -> str:
    """A Markdown table that is also aligned for a terminal; the first line is the head.

    The first `left` columns are words, the others numbers.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def formatted(line: list[str]) -> str:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"

    rule = ["-" * w if i < left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([formatted(lines[0]), formatted(rule), *map(formatted, lines[1:])])


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.{0 if share > 0.095 else 1}f} %"


def table(rows: list[Row], contestants: list[str], facts: Facts) -> str:
    cells = [{e.contestant: e.cell() for e in row.entries} for row in rows]
    contestants = [name for name in contestants if any(by_name.get(name) for by_name in cells)]
    lines = [["quantity", "case", "type", *contestants, "ratio", "of peak", "agree to"]]
    for row, by_name in zip(rows, cells, strict=True):
        ratio = "" if row.ratio is None else f"{row.ratio[0]:.2f} ({row.ratio[1]})"
        difference = "" if row.difference is None else f"{row.difference:.0e}"
        times = [by_name.get(name, "") for name in contestants]
        peak = percent(row.share_of_peak(facts))
        lines.append([row.quantity, row.case, row.dtype, *times, ratio, peak, difference])
    return aligned(lines, left=3)


def table_of_copies(rows: list[Row]) -> str:
    """Rows whose result is so large that to write it is the work, beside a plain copy of it."""
    head = ["quantity", "case", "type"]
    head += [OURS, "np.copy", "of np.copy", f"{OURS}, out=", "np.copyto", "of np.copyto"]
    lines = [head]
    for row in rows:
        ours = row.entry(OURS)
        if ours is None or ours.seconds is None or not row.copies:
            continue
        line = list(row.key)
        for taken, copy in ((ours.seconds, "np.copy"), (ours.into, "np.copyto")):
            seconds = row.copies[copy]
            line += ["", microseconds(seconds), ""]
            if taken is not None:
                line[-3:] = microseconds(taken), line[-2], percent(seconds / taken)
        lines.append(line)
    return aligned(lines, left=3) if len(lines) > 1 else ""


def geometric_means(rows: list[Row]) -> str:
    """A line a quantity and type: the geometric mean of its ratios."""
    ratios: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row.ratio is not None:
            ratios.setdefault((row.quantity, row.dtype), []).append(row.ratio[0])
    return "\n".join(
        f"{quantity} {dtype}: {statistics.geometric_mean(values):.2f} times the best peer "
        f"(geometric mean of {len(values)})"
        for (quantity, dtype), values in ratios.items()
    )


def jacobians_against_arithmetic(rows: list[Row], facts: Facts) -> str:
    """How many times the time of its multiply-adds at peak each input Jacobian takes."""
    shares = [
        (row, share)
        for row in rows
        if row.quantity == "jacobian" and (share := row.share_of_peak(facts))
    ]
    return "\n".join(
        f"jacobian of {row.case} {row.dtype}: {1 / share:.2f} times its arithmetic at peak"
        for row, share in shares
    )


def second_order_against_others(rows: list[Row]) -> str:
    """Diagonals and products in gradients, and a block of products in single ones, in this run.

    The ideal of the block is below 1, for the passes of the network itself are shared.
    """
    seconds = {row.key: e.seconds for row in rows if (e := row.entry(OURS)) and e.seconds}
    lines = []
    for (quantity, case, dtype), taken in seconds.items():
        gradient = seconds.get(("gradient", case, dtype))
        product = seconds.get(("hessian_vector_product", case, dtype))
        if quantity in ("hessian_diagonal", "hessian_vector_product") and gradient:
            lines.append(f"{quantity} of {case} {dtype}: {taken / gradient:.2f} gradients")
        if quantity == "hessian_vector_products" and product:
            share = taken / (VECTORS * product)
            lines.append(f"{quantity} of {case} {dtype}: {share:.2f} of {VECTORS} single products")
    return "\n".join(lines)


def ways_to_the_hessian(rows: list[Row]) -> str:
    """By each idiom of who has several, for the one that people use need not be the quickest."""
    lines = []
    for row in rows:
        for entry in row.entries if row.quantity == "hessian" else []:
            if entry.seconds is not None and entry.ways:
                ways = "; ".join(f"{name} {1e3 * t:.4g}" for name, t in entry.ways.items())
                lines.append(f"hessian of {row.case} {row.dtype} by {entry.contestant}, ms: {ways}")
    return "\n".join(lines)


def large_hessians(rows: list[Row]) -> str:
    """What they take in memory that is there, and how much they need beyond the result."""
    lines = []
    for row in rows:
        ours = row.entry(OURS)
        if row.quantity in HESSIANS and ours is not None and ours.into is not None:
            lines.append(
                f"{row.quantity} of {row.case} {row.dtype}: {ours.into:.3g} s into an array that "
                "is there (out=)"
            )
        if row.beyond_result is not None:
            lines.append(
                f"{row.quantity} of {row.case} {row.dtype}: at the peak "
                f"{1e-6 * row.beyond_result:.1f} MB of memory beyond the result"
            )
    return "\n".join(lines)


def of_the_machine(facts: Facts) -> str:
    lines = []
    if peak := facts.get("fma_peak"):
        rates = "; ".join(
            f"{dtype} {2e-9 * p['one']:.1f} on one thread, {2e-9 * p['all']:.1f} on all"
            for dtype, p in peak.items()
        )
        lines.append(f"peak of multiply-adds by {facts['isa']}, GFLOP/s: {rates}")
    if rates := facts.get("bandwidth"):
        text = "; ".join(f"{where} {1e-9 * rate:.1f}" for where, rate in rates.items())
        lines.append(f"np.copyto, GB/s read and written: {text}")
    if seconds := facts.get("import"):
        lines.append(
            f"import mlpcore takes {1e3 * seconds['mlpcore']:.1f} ms after import numpy, "
            f"which takes {1e3 * seconds['numpy']:.1f} ms"
        )
    return "\n".join(lines)


def everything(rows: list[Row], contestants: list[str], facts: Facts) -> str:
    parts = [
        table(rows, contestants, facts),
        table_of_copies(rows),
        geometric_means(rows),
        jacobians_against_arithmetic(rows, facts),
        second_order_against_others(rows),
        ways_to_the_hessian(rows),
        large_hessians(rows),
        of_the_machine(facts),
        remarks(rows),
    ]
    return "\n\n".join(filter(None, parts))


def remarks(rows: list[Row]) -> str:
    """By which idioms each contestant was measured, and why others, or all, are missing."""
    idioms: dict[str, Counter[str]] = {}
    missing: dict[str, list[str]] = {}
    for row in rows:
        for e in row.entries:
            for idiom, why in e.dropped.items():
                where = f"{row.quantity} of {row.case} {row.dtype}"
                missing.setdefault(f"{e.contestant} without {idiom}, {why}", []).append(where)
            if e.seconds is not None:
                idioms.setdefault(e.contestant, Counter())[e.idiom] += 1
            elif e.failed or e.why_not not in ("", "not offered"):
                where = f"{row.quantity} of {row.case}"
                missing.setdefault(f"{e.contestant}: {e.why_not}", []).append(where)
    lines = [
        f"{name} by " + ", ".join(f"{idiom} ({n})" for idiom, n in counts.items())
        for name, counts in idioms.items()
        if name != OURS
    ]
    lines += [f"{what}: {'; '.join(where)}" for what, where in missing.items()]
    return "\n".join(lines)


def commit() -> str | None:
    """Of this source tree, with a plus sign when files have been changed since."""

    def git(*args: str) -> str:
        here = Path(__file__).resolve().parent
        done = subprocess.run(["git", *args], cwd=here, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (
            "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def save(path: Path, rows: Iterable[Row], facts: Facts) -> None:
    document = {"schema": SCHEMA, **facts, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> tuple[list[Row], Facts]:
    document = json.loads(path.read_text(encoding="utf-8"))
    if document.get("schema") != SCHEMA:
        raise SystemExit(f"{path}: not a benchmark run of schema {SCHEMA}")
    return rows_of(document.pop("rows")), document


def rows_of(dicts: list[dict[str, Any]]) -> list[Row]:
    return [
        Row(**{**row, "entries": [Entry(**entry) for entry in row["entries"]]}) for row in dicts
    ]
