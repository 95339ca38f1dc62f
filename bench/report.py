"""Results: as rows, as one table, as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = 1
OURS = "mlpcore"


@dataclass
class Entry:
    """One contestant in one row. `seconds` is empty when `why_not` says why."""

    contestant: str
    idiom: str = ""
    difference: float | None = None  # from the reference, relative
    seconds: float | None = None  # median of a call (of an epoch when training)
    quartiles: tuple[float, float] | None = None
    samples: int = 0
    calls: int = 0  # a sample
    why_not: str = ""
    failed: bool = False  # gave other numbers, or raised

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
    entries: list[Entry] = field(default_factory=list)

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


def table(rows: list[Row], contestants: list[str]) -> str:
    """One Markdown table that is also aligned for a terminal."""
    head = ["quantity", "case", "type", *contestants, "ratio", "agree to"]
    lines = [head]
    for row in rows:
        by_name = {e.contestant: e.cell() for e in row.entries}
        ratio = "" if row.ratio is None else f"{row.ratio[0]:.2f} ({row.ratio[1]})"
        difference = "" if row.difference is None else f"{row.difference:.0e}"
        cells = [by_name.get(name, "") for name in contestants]
        lines.append([row.quantity, row.case, row.dtype, *cells, ratio, difference])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    left = 3  # columns of words; the others are numbers

    def formatted(line: list[str]) -> str:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"

    rule = ["-" * w if i < left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([formatted(head), formatted(rule), *map(formatted, lines[1:])])


def geometric_means(rows: list[Row]) -> str:
    """A line a quantity: the geometric mean of its ratios."""
    lines = []
    for quantity in dict.fromkeys(row.quantity for row in rows):
        ratios = [r.ratio[0] for r in rows if r.quantity == quantity and r.ratio is not None]
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            lines.append(
                f"{quantity}: {mean:.2f} times the best peer (geometric mean of {len(ratios)})"
            )
    return "\n".join(lines)


def remarks(rows: list[Row]) -> str:
    """By which idioms each contestant was measured, and why the missing ones are missing."""
    idioms: dict[str, Counter[str]] = {}
    missing: dict[str, list[str]] = {}
    for row in rows:
        for e in row.entries:
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


def machine() -> dict[str, Any]:
    facts: dict[str, Any] = {
        "cpu": platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "cores usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                facts["cpu"] = line.partition(":")[2].strip()
                break
    return facts


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


def save(path: Path, rows: Iterable[Row], facts: dict[str, Any]) -> None:
    document = {"schema": SCHEMA, **facts, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> tuple[list[Row], dict[str, Any]]:
    document = json.loads(path.read_text(encoding="utf-8"))
    if document.get("schema") != SCHEMA:
        raise SystemExit(f"{path}: not a benchmark run of schema {SCHEMA}")
    rows = [
        Row(**{**row, "entries": [Entry(**entry) for entry in row["entries"]]})
        for row in document.pop("rows")
    ]
    return rows, document
