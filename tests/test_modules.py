"""What ``import mlpcore`` makes reachable: modules that are imported when they are first used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mlpcore

ON_DEMAND = (
    "cross_validation",
    "datasets",
    "evidence",
    "plots",
    "reference",
    "reference_optimizers",
    "reference_retraining",
    "reference_training",
    "sklearn",
)


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() + done.stderr.strip()


@pytest.mark.parametrize("name", ON_DEMAND)
def test_a_module_is_there_when_it_is_used(name):
    if name == "sklearn":
        pytest.importorskip("sklearn")
    code = (
        f"import sys, mlpcore; full = 'mlpcore.{name}'; before = full in sys.modules; "
        f"print(before, mlpcore.{name}.__name__ == full, '{name}' in dir(mlpcore))"
    )
    assert python(code) == "False True True"


def test_names():
    assert {*mlpcore.__all__, "__version__"} <= set(dir(mlpcore))
    assert set(mlpcore.__all__).isdisjoint(ON_DEMAND)  # import * imports none of them
    with pytest.raises(AttributeError, match=r"^module 'mlpcore' has no attribute 'plot'$"):
        _ = mlpcore.plot


def test_type_checkers_know_the_same_modules():
    source = Path(mlpcore.__file__).read_text(encoding="utf-8")
    named = [
        alias.asname
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module == "mlpcore"
        for alias in node.names
    ]
    assert tuple(named) == ON_DEMAND


def test_without_scikit_learn():
    code = (
        "import inspect, sys; sys.modules['sklearn'] = None; import mlpcore\n"
        "assert 'sklearn' not in dir(mlpcore)\n"
        "inspect.getmembers(mlpcore)\n"
        "mlpcore.sklearn"
    )
    promised = 'ImportError: mlpcore.sklearn needs scikit-learn: pip install "mlpcore[sklearn]"'
    assert python(code).splitlines()[-1] == promised
