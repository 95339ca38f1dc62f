"""Every method of minimize on each named problem of the benchmark."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import mlpcore
from mlpcore import minimization

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    from bench import problems
    from bench.problems import MAKERS, Missing, make
    from bench.profile_methods import METHODS
finally:
    del sys.path[0]

REASONS = set(get_args(minimization.Stopped))


def test_the_documented_reasons_are_those_of_the_type():
    stopping = mlpcore.minimize.__doc__.partition("*Stopping.*")[2]
    paragraph = next(part for part in stopping.split("\n\n") if part.lstrip().startswith("- "))
    words = re.findall(r"^ *- ([a-z, ]+):", paragraph, re.MULTILINE)
    assert {word for some in words for word in some.split(", ")} == REASONS


def test_there_are_ten_problems_and_all_methods():
    assert len(MAKERS) == 10
    methods = {options["method"] for options in METHODS.values()}
    assert methods == set(get_args(minimization.Method))


def test_missing_problems_are_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(problems, "UCI", tmp_path)
    made = {problem.name for problem in problems.problems()}
    told = capsys.readouterr().err.splitlines()
    missing = [name for name in MAKERS if name not in made]
    assert missing[:2] == ["yacht", "energy"]
    assert [line.split()[:3] for line in told[:-1]] == [
        ["LEFT", "OUT:", f"{name},"] for name in missing
    ]
    assert told[-1].startswith(f"ONLY {len(made)} OF 10 PROBLEMS")


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MAKERS)
def test_a_method_on_a_problem(name, method):
    """Ends with finite numbers, lower than it began, and says why in a documented word."""
    try:
        problem = make(name)
    except Missing as why:
        pytest.skip(str(why))
    w = problem.net.init(seed=0)
    result = mlpcore.minimize(
        problem.net,
        w,
        problem.X,
        problem.T,
        weight_decay=problem.weight_decay,
        iterations=200,
        seconds=5.0,
        **METHODS[method],
    )
    assert result.stopped in REASONS - {"callback", "interrupted", "diverged"}
    assert result.message
    assert np.isfinite(result.w).all()
    for values in result.history.values():
        assert len(values) == result.n_iterations + 1
        assert np.isfinite(values).all()
    error = problem.net.error(result.w, problem.X, problem.T)
    assert result.error == pytest.approx(error, rel=1e-9)
    assert result.objective == pytest.approx(
        error + 0.5 * problem.weight_decay * result.w @ result.w, rel=1e-9
    )
    assert result.objective < result.history["objective"][0]
