"""Each build of the kernels in a process of its own: what does not follow from single quantities.

Those are compared with the reference, for each build too, in ``test_parity.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import HESSIAN_KINDS, QUANTITIES, Case, assert_close, assert_same_bits

import mlpcore
from mlpcore import _core

DTYPES = ("float64", "float32")
OPTIMIZERS = ("adam", "adamw", "sgd", "rprop")
#: For weights after some iterations, in which rounding grows.
TOLERANCE = {"float64": 1e-9, "float32": 1e-2}


def the_same_bits_for_any_number_of_threads(case):
    net, problem = case.network(), case.problem()
    for compute in QUANTITIES.values():
        results = []
        for threads in (1, 2):
            mlpcore.set_num_threads(threads)
            results.append(compute(net, problem))
        assert_same_bits(results[1], results[0])


def hessians(case):
    """Symmetric to the last bit, in an array of the caller's too."""
    net, (w, X, T, s) = case.network(), case.problem()
    for kind in HESSIAN_KINDS:
        H = net.hessian(w, X, T, s, kind=kind)
        assert_same_bits(H, np.ascontiguousarray(H.T))
        out = np.full_like(H, np.nan)
        assert net.hessian(w, X, T, s, kind=kind, out=out) is out
        assert_same_bits(out, H)


def fits(dtype):
    """Weights by name: of each method, and of a training with each optimizer."""
    case = Case((4, 12, 3), n=90, dtype=dtype)  # the factor of lm has several panels
    net, (w, X, T, _) = case.network(), case.problem()
    found = {}
    for method in _core.methods:
        result = mlpcore.minimize(net, w, X, T, method=method, iterations=4)
        assert (np.diff(result.history["objective"]) < 0).all()
        found[method] = result.w
    for optimizer in OPTIMIZERS:
        options = {} if optimizer == "rprop" else {"batch_size": 16}
        result = mlpcore.train(net, w, X, T, optimizer=optimizer, epochs=5, seed=0, **options)
        assert result.best_epoch > 0
        found[optimizer] = result.w
    return found


def check(isa, file):
    """All of it in this process."""
    assert _core.isa() == isa
    fitted = {}
    for dtype in DTYPES:
        for case in (
            Case((8, 50, 1), n=2000, weighted=True, dtype=dtype),
            Case((5, 23, 9, 3), ("tanh", "gelu"), "softmax", n=700, dtype=dtype),
        ):
            the_same_bits_for_any_number_of_threads(case)
            hessians(case)
        fitted |= {f"{dtype} {name}": w for name, w in fits(dtype).items()}
    np.savez(file, **fitted)


@pytest.mark.parametrize("name", ["avx3", "AVX2", "avx2 "])
def test_an_instruction_set_that_is_none(name):
    """`import mlpcore` says what is wrong and which there are."""
    done = subprocess.run(
        [sys.executable, "-c", "import mlpcore"],
        env={**os.environ, "MLPCORE_ISA": name},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: the environment variable MLPCORE_ISA is '{name}', expected one that this "
        f"machine can run: {', '.join(mlpcore.available_isas())}"
    )


@pytest.mark.parametrize("isa", [name for name in mlpcore.available_isas() if name != _core.isa()])
def test_a_build_of_the_kernels(isa, tmp_path):
    program = "import sys, test_instruction_sets as t; t.check(*sys.argv[1:])"
    folders = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", program, isa, tmp_path / "fits.npz"],
        env={**os.environ, "MLPCORE_ISA": isa, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "fits.npz") as fitted:
        for dtype in DTYPES:
            for name, w in fits(dtype).items():
                assert_close(fitted[f"{dtype} {name}"], w, TOLERANCE[dtype])
