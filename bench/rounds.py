"""Several runs of the benchmark in processes of their own, in turns: builds, or instruction sets.

One process has one build of mlpcore in it, so it cannot take turns with another sample by sample;
and from process to process times differ by more than within one (where memory lies, what the
scheduler does). So the processes take turns in several rounds, and what counts is the spread of
their medians.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import report

RUN = Path(__file__).resolve().parent / "run.py"


@dataclass(frozen=True)
class Variant:
    label: str
    python: str = sys.executable
    environment: dict[str, str | None] = field(default_factory=dict)  # None: without it


def alternate(
    variants: list[Variant], options: list[str], rounds: int
) -> dict[str, tuple[list[report.Row], report.Facts]]:
    """Run `bench/run.py` with these options for each variant in turn; by label, the runs pooled."""
    runs: dict[str, list[tuple[list[report.Row], report.Facts]]] = {v.label: [] for v in variants}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(rounds):
            for variant in variants[:: 1 if i % 2 == 0 else -1]:  # A B, B A, A B, ...
                print(f"round {i + 1} of {rounds}: {variant.label}", file=sys.stderr)
                runs[variant.label].append(run(variant, options, Path(folder) / "run.json"))
    return {label: (pool([rows for rows, _ in r]), r[-1][1]) for label, r in runs.items()}


def run(variant: Variant, options: list[str], saved: Path) -> tuple[list[report.Row], report.Facts]:
    environment = {**os.environ, **variant.environment}
    saved.unlink(missing_ok=True)
    done = subprocess.run(
        [variant.python, str(RUN), *options, "--json", str(saved)],
        env={k: v for k, v in environment.items() if v is not None},
        capture_output=True,
        text=True,
    )
    if not saved.exists():
        raise SystemExit(f"bench: the run of {variant.label} failed:\n{done.stderr}")
    return report.read(saved)


def pool(runs: list[list[report.Row]]) -> list[report.Row]:
    """Each entry the median of the rounds' medians, its quartiles their lowest and highest."""
    pooled = []
    for rows in zip(*runs, strict=True):
        entries = []
        for taken in zip(*(row.entries for row in rows), strict=True):
            seconds = [entry.seconds for entry in taken if entry.seconds is not None]
            whole = len(seconds) == len(taken)
            first = next((entry for entry in taken if entry.seconds is None), taken[0])
            entries.append(
                replace(
                    first,
                    seconds=statistics.median(seconds) if whole else None,
                    quartiles=(min(seconds), max(seconds)) if whole else None,
                )
            )
        pooled.append(replace(rows[0], entries=entries))
    return pooled
