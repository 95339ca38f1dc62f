#!/usr/bin/env python3
"""Measure mlpcore as of two commits, in turns, and say which rows got slower beyond noise.

    python bench/commits.py HEAD~1 HEAD
    python bench/commits.py main . --quantities gradient --rounds 7

Each commit is built in a temporary virtual environment, with the NumPy of this one; `.` is the tree
as it stands. The path of a Python interpreter serves as well, of an environment that has mlpcore:
then nothing is built. The benchmark is this tree's for both. Needs git and a C++ compiler.

A row got slower when its medians are more than --threshold apart and in every round it was slower
than in any round of the other commit; with 5 rounds, chance does that in one row of 250. Then, or
when REV2 fails in a row that REV1 has, the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np

from bench import compare, rounds

ROOT = Path(__file__).resolve().parent.parent


def sources(revision: str, folder: Path) -> Path:
    """The tree of that commit, unpacked."""
    if revision == ".":
        return ROOT
    archive = folder / "tree.tar"
    subprocess.run(
        ["git", "archive", "--format=tar", "-o", str(archive), revision], cwd=ROOT, check=True
    )
    tree = folder / "tree"
    tree.mkdir()
    subprocess.run(["tar", "-xf", str(archive), "-C", str(tree)], check=True)
    return tree


def environment(revision: str, folder: Path) -> rounds.Variant:
    """An environment with the mlpcore of that commit, or the given one."""
    if os.path.sep in revision and os.access(revision, os.X_OK) and not os.path.isdir(revision):
        return rounds.Variant(revision, python=revision)
    print(f"building {revision}", file=sys.stderr)
    folder.mkdir()
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    without_path = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(
        [*install, f"numpy=={np.__version__}", str(sources(revision, folder))],
        check=True,
        env=without_path,
    )
    return rounds.Variant(revision, python=str(python), environment={"PYTHONPATH": None})


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", metavar="REV1", help="a commit, ., or the path of a Python")
    parser.add_argument("after", metavar="REV2")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument("--threshold", type=float, default=0.03, help="default: 0.03")
    parser.add_argument("--thorough", action="store_true", help="not with run.py's --quick")
    args, options = parser.parse_known_args(argv)  # the others are run.py's

    options = ["--peers", "none", *options, *([] if args.thorough else ["--quick"])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        variants = [
            environment(args.before, folder / "before"),
            environment(args.after, folder / "after"),
        ]
        if args.before == args.after:  # against itself: shows the noise
            variants[1] = rounds.Variant(
                f"{args.after} again", variants[1].python, variants[1].environment
            )
        before, after = rounds.alternate(variants, options, args.rounds).values()
    print(f"before: {variants[0].label}; after: {variants[1].label}\n")
    return compare.show(before[0], after[0], args.threshold, everybody=False)


if __name__ == "__main__":
    raise SystemExit(main())
