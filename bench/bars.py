#!/usr/bin/env python3
"""Measure everything that first derivatives, or the Hessian and its uses, are judged by.

    python bench/bars.py first_order
    python bench/bars.py second_order
    python bench/bars.py second_order --quick   # run.py with --quick
    python bench/bars.py first_order --dtype both

One script after the other; bench/README.md says which of their lines tells what. Exit status 1 if
one of them failed.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FIRST = (
    "gradient jacobian hessian_diagonal weight_jacobian per_sample_gradient train train_ensemble"
)
SECOND = (
    "gradient hessian_diagonal hessian gauss_newton hessian_vector_product hessian_vector_products"
)
CALLS = {
    "first_order": ("bench/import_time.py", f"bench/run.py --quantities {FIRST}"),
    "second_order": (
        f"bench/run.py --dtype float64 --quantities {SECOND}",
        "-m pytest -q -m '' tests/test_torch.py",
        "bench/fits.py concrete",
        "bench/fits.py sinusoid",
        "bench/profile_methods.py --folder bench/results",
        "bench/leave_one_out.py",
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("which", choices=CALLS)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter samples of run.py")
    parser.add_argument(
        "--dtype",
        choices=["float64", "float32", "both"],
        help="of run.py; default: float64, of the first derivatives the gradients in float32 too",
    )
    args = parser.parse_args()
    failed = False
    for call in CALLS[args.which]:
        if args.quick and "bench/run.py" in call:
            call += " --quick"
        if args.dtype and "bench/run.py" in call:
            call += f" --dtype {args.dtype}"  # the last one counts
        print(f"\n$ python {call}\n", flush=True)
        done = subprocess.run([sys.executable, *shlex.split(call)], cwd=ROOT)
        failed = failed or done.returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
