#!/usr/bin/env python3
"""Measure what `import mlpcore` takes beyond `import numpy`, which it needs.

    python bench/import_time.py
    python bench/import_time.py --processes 50

Fresh interpreters take turns: one that imports NumPy, one that imports mlpcore. The clock of each
starts after the interpreter itself has. Where the time goes tells `python -X importtime -c "import
mlpcore"`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

MODULES = ("numpy", "mlpcore")
PROGRAM = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def seconds(module: str) -> float:
    command = [sys.executable, "-c", PROGRAM.format(module)]
    # As after an installation, where the modules are compiled; from a folder of sources the first
    # import must be allowed to keep what it compiles.
    env = {name: v for name, v in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return float(done.stdout)


def medians(processes: int) -> dict[str, float]:
    """The median of so many imports of each module, in seconds."""
    for module in MODULES:  # the first fills the caches of the file system
        seconds(module)
    times: dict[str, list[float]] = {module: [] for module in MODULES}
    for i in range(processes):
        for module in MODULES[:: 1 if i % 2 == 0 else -1]:  # A B, B A, A B, ...
            times[module].append(seconds(module))
    return {module: statistics.median(t) for module, t in times.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--processes", type=int, default=20, metavar="N", help="of each module (20)"
    )
    found = medians(parser.parse_args().processes)
    for module, t in found.items():
        print(f"import {module:8} {1e3 * t:6.1f} ms")
    print(f"difference      {1e3 * (found['mlpcore'] - found['numpy']):6.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
