"""How results show themselves: the same names and values in a terminal and in a notebook."""

from __future__ import annotations

import html
import re

import numpy as np
import pytest

import mlpcore
from mlpcore.cross_validation import train_by_cross_validation
from mlpcore.evidence import train_by_evidence
from mlpcore.regularizers import L1

X = np.linspace(-1, 1, 40)[:, None]
T = np.sin(3 * X)
NET = mlpcore.Network((1, 2, 1))
W = np.stack([NET.init(seed=0), NET.init(seed=1)])
SMALL = {"epochs": 20, "seed": 0}


def optimum(**options):
    return mlpcore.Optimum(NET, W[0], X, T, weight_decay=0.1, **options)


RESULTS = {
    "TrainResult": lambda: mlpcore.train(NET, W[0], X, T, **SMALL),
    "EnsembleTrainResult": lambda: mlpcore.train(NET, W, X, T, **SMALL),
    "MinimizeResult": lambda: mlpcore.minimize(NET, W[0], X, T, iterations=5),
    "EnsembleMinimizeResult": lambda: mlpcore.minimize(NET, W, X, T, iterations=5),
    "SweepResult": lambda: mlpcore.sweep(X, T, hidden=[1, 2], starts=2, **SMALL),
    "EvidenceResult": lambda: train_by_evidence(NET, W, X, T, np.ones(40), epochs=20),
    "CrossValidationResult": lambda: train_by_cross_validation(
        NET, W, X, T, np.ones(40), epochs=90, seed=0
    ),
    "Optimum": lambda: optimum(regularizer=L1(0.1)),
    "LeaveOneOut": lambda: mlpcore.leave_one_out(optimum()),
}


@pytest.mark.parametrize("name", RESULTS)
def test_terminal_and_notebook_show_the_same(name):
    result = RESULTS[name]()
    title, *lines = repr(result).splitlines()
    assert title.startswith(name)
    table = result._repr_html_()
    assert table.startswith(f"<table><caption>{html.escape(title)}</caption>")
    rows = re.findall("<tr><th[^>]*>(.*?)</th><td[^>]*>(.*?)</td></tr>", table)
    assert len(rows) == len(lines) >= 2
    for line, (label, value) in zip(lines, rows, strict=True):
        assert line.split() == html.unescape(f"{label} {value}").split()
        assert value


def test_an_ensemble_of_no_networks():
    for result in (mlpcore.train(NET, W[:0], X, T, **SMALL), mlpcore.minimize(NET, W[:0], X, T)):
        assert repr(result) == f"{type(result).__name__} of 0 networks"
        assert result._repr_html_().startswith("<table><caption>")
