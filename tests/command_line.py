"""What the tests of the command line share."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

COMMAND = [sys.executable, "-m", "mlpcore"]


def command(*arguments, cwd, **options):
    """Run ``python -m mlpcore`` in a process of its own."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


def one_error(result):
    """The one line on stderr of a run that failed."""
    status, out, err = result
    assert status == 2, out
    assert "Traceback" not in err
    assert err.startswith("mlpcore: error: ")
    assert err.count("\n") == 1
    return err


def table_text(n=40, header="x,t,z", delimiter=",", seed=0):
    """CSV rows of t = 3 x - 2 z + 1."""
    x, z = np.random.default_rng(seed).normal(size=(2, n))
    rows = [header] if header else []
    rows += [
        f"{a!r},{3 * a - 2 * b + 1!r},{b!r}" for a, b in zip(x.tolist(), z.tolist(), strict=True)
    ]
    return "\n".join(rows).replace(",", delimiter) + "\n"


def classes_text(n=60, header="x,z,kind", labels=("low", "mid", "high"), seed=0):
    """CSV rows of classes that x alone decides: so many of each."""
    rng = np.random.default_rng(seed)
    rows = [header] if header else []
    for i in range(n):
        k = i % len(labels)
        rows.append(f"{3 * k + rng.uniform(-1, 1)!r},{rng.normal()!r},{labels[k]}")
    return "\n".join(rows) + "\n"
