#!/usr/bin/env python3
"""What a Hessian adds to the peak of a process's memory beyond its result, W^2 numbers.

    python bench/memory.py
    python bench/memory.py --layers 8 50 1 --samples 100000 --kind gauss_newton

Each measurement has a process of its own, for a peak never falls; needs Linux's /proc.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

KINDS = ("exact", "gauss_newton")
STATUS = Path("/proc/self/status")
# Memory before the call as it is, not its peak until then: what comes out may be too much, never
# too little. VmHWM is of this process alone; ru_maxrss begins with what the parent had.
PROGRAM = """
import numpy as np, mlpcore
def memory(which):
    for line in open("/proc/self/status"):
        if line.startswith(which + ":"):
            return 1024 * int(line.split()[1])
random = np.random.default_rng(0)
net = mlpcore.Network({layers}, {hidden!r}, {output!r}, {dtype!r})
w, X = net.init(seed=0), random.normal(size=({samples}, net.n_inputs)).astype(net.dtype)
T = random.dirichlet(np.ones(net.n_outputs), {samples}).astype(net.dtype)  # as every output has it
before = memory("VmRSS")
H = net.hessian(w, X, T, kind={kind!r})
print(memory("VmHWM") - before - H.nbytes, H.nbytes)
"""


def beyond_result(
    layers: tuple[int, ...],
    samples: int,
    kind: str,
    hidden: str = "tanh",
    output: str = "linear",
    dtype: str = "float64",
) -> tuple[int, int]:
    """Bytes: the peak without the result, and the result."""
    program = PROGRAM.format(
        layers=layers, samples=samples, kind=kind, hidden=hidden, output=output, dtype=dtype
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    beyond, result = map(int, done.stdout.split())
    return beyond, result


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, nargs="+", default=[16, 64, 64, 64, 4], metavar="N")
    parser.add_argument("--samples", type=int, default=1024, metavar="N")
    parser.add_argument("--kind", choices=KINDS, help="default: both")
    args = parser.parse_args()
    if not STATUS.exists():
        raise SystemExit(f"bench: no {STATUS} on this system")
    name = "-".join(map(str, args.layers))
    for kind in [args.kind] if args.kind else KINDS:
        beyond, result = beyond_result(tuple(args.layers), args.samples, kind)
        print(
            f"{kind} Hessian of {name}, N={args.samples}: {1e-6 * result:.1f} MB, and at the peak "
            f"{1e-6 * beyond:.1f} MB beyond it"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
