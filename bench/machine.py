"""What the machine can do, measured in the run: its multiply-adds, its memory, its imports."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import mlpcore
from mlpcore import _core

DTYPES = ("float64", "float32")
FAR, NEAR = 2**26, 2**17  # bytes: far beyond the last cache; in the second level twice

IMPORT = """
import time
start = time.perf_counter()
import numpy
middle = time.perf_counter()
import mlpcore
print(middle - start, time.perf_counter() - middle)
"""


def facts() -> dict[str, Any]:
    found: dict[str, Any] = {
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
                found["cpu"] = line.partition(":")[2].strip()
                break
    return found


def warn_if_busy() -> None:
    """Other work on the cores spoils the times, most where threads wait for each other."""
    load, cores = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, os.cpu_count() or 1
    if load > 0.5 * cores:
        print(
            f"warning: the load of this machine is {load:.1f} on {cores} cores; "
            "times taken beside other work are not to be trusted",
            file=sys.stderr,
        )


def fma_peak() -> dict[str, dict[str, float]]:
    """Multiply-adds a second of the instruction set in use, by type, on one thread and on all.

    Empty where the compiled core has no ruler (a commit from before it).
    """
    if not hasattr(_core, "fma_peak"):
        return {}

    def best(dtype: str, threads: int) -> float:
        return max(_core.fma_peak(dtype == "float64", threads, 10_000) for _ in range(25))

    threads = mlpcore.get_num_threads()
    return {dtype: {"one": best(dtype, 1), "all": best(dtype, threads)} for dtype in DTYPES}


def higher(a: dict[str, dict[str, float]], b: dict[str, dict[str, float]]) -> Any:
    """The peaks measured before and after the rows; a peak is the highest that was seen."""
    return {dtype: {k: max(v, b[dtype][k]) for k, v in a[dtype].items()} for dtype in a}


def copy_rate(n_bytes: int, threads: int) -> float:
    """Bytes a second, read and written together, of np.copyto."""
    # In one buffer, and a little apart: stores and loads at the same place of a page collide.
    buffer = np.ones(2 * n_bytes + 1024, np.uint8)
    source, target = buffer[:n_bytes], buffer[-n_bytes:]
    pieces = list(
        zip(np.array_split(target, threads), np.array_split(source, threads), strict=True)
    )
    repeats = max(1, FAR // n_bytes // 4)

    def copy(piece: tuple[Any, Any]) -> None:
        for _ in range(repeats):
            np.copyto(*piece)

    best = np.inf
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            start = time.perf_counter()
            list(pool.map(copy, pieces))
            best = min(best, time.perf_counter() - start)
    return 2 * n_bytes * repeats / best


def bandwidth() -> dict[str, float]:
    threads = mlpcore.get_num_threads()
    return {
        "memory, one": copy_rate(FAR, 1),
        "memory, all": copy_rate(FAR, threads),
        "cache, one": copy_rate(NEAR, 1),
        "cache, all": threads * copy_rate(NEAR, 1),  # each core has its own
    }


def import_seconds(processes: int) -> dict[str, float]:
    """Medians over fresh interpreters: `import numpy`, and then `import mlpcore` on top."""
    command = [sys.executable, "-c", IMPORT]
    outputs = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        for _ in range(1 + processes)  # the first fills the caches of the file system
    ]
    of_numpy, on_top = zip(*outputs[1:], strict=True)
    return {
        "numpy": statistics.median(map(float, of_numpy)),
        "mlpcore": statistics.median(map(float, on_top)),
    }
