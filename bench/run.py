#!/usr/bin/env python3
"""Measure mlpcore beside its peers, in one run, and print one table.

    python bench/run.py
    python bench/run.py --quick --quantities gradient --cases 8-50-1
    python bench/run.py --dtype float32 --json run.json
    python bench/run.py --isas           # mlpcore by each instruction set, side by side

A row is one quantity on one case. First every contestant computes it and is compared with the NumPy
reference in float64; of several ways to it one that differs is dropped, and who has no other is
shown as FAILED and is not timed. Then they are timed in turns. A cell is the median and the
interquartile range in microseconds a call (an epoch when training); `ratio` is the best peer's
median over ours; `of peak` is the share of the multiply-adds that this machine could have done in
our time.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

if not __package__:  # python bench/run.py
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

# Settings of OpenBLAS that slow NumPy down on another machine than they were meant for.
UNWANTED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = {"nargs": "+", "metavar": "NAME"}
    parser.add_argument("--quantities", help="only these: gradient jacobian ...", **names)
    parser.add_argument("--cases", help="only cases whose name contains one of these", **names)
    parser.add_argument(
        "--peers",
        help="only these beside mlpcore: numpy torch curvlinops jax sklearn, or none",
        **names,
    )
    parser.add_argument(
        "--dtype",
        choices=["float64", "float32", "both"],
        help="default: float64, and the gradients in float32 too",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="of everybody; default: as they like"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="save the run")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter samples")
    parser.add_argument(
        "--isas", action="store_true", help="force each instruction set in turn; no peers"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of --isas; default: 3")
    args = parser.parse_args(argv)
    if args.isas and args.json is not None:
        parser.error("--json saves one run, and --isas makes several")
    return args


def prepare_process(threads: int | None) -> None:
    """The environment in which the libraries are loaded. Starts over if NumPy is loaded already."""
    wanted = dict.fromkeys(UNWANTED)
    if threads is not None:
        wanted.update(dict.fromkeys(THREADS, str(threads)))
        if hasattr(os, "sched_setaffinity"):  # what XLA goes by
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    changes = {name: value for name, value in wanted.items() if os.environ.get(name) != value}
    for name, value in changes.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    if changes and "numpy" in sys.modules:
        os.execv(sys.executable, sys.orig_argv)


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    prepare_process(args.threads)
    if args.isas:
        from bench import isas

        return isas.run(args)
    from bench import measure

    return measure.run(args)


if __name__ == "__main__":
    raise SystemExit(main())
