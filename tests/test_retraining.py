"""Re-training: against closed forms of linear regression, against refits, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from cases import assert_close
from optima import (
    ALPHA,
    LINEAR,
    SMALL,
    each_regularizer,
    optimum_of,
    refit,
    regularized,
    ridge,
    saddle,
    small_cases,
)

import mlpcore


def test_one_step_is_the_new_optimum_of_a_linear_network():
    old = optimum_of(LINEAR)
    new = mlpcore.retrain(old, remove=[3, 5], add=([[1.0, 2, 3, 4]], [0.3], [2.0]))
    assert (new.steps, new.converged) == (1, True)
    w = ridge(new.X, new.T, new.sample_weight, ALPHA)
    assert_close(new.w, np.concatenate([w[:, :-1].ravel(), w[:, -1]]), 1e-10)


@small_cases
def test_rows_removed_added_and_weighted_anew(name):
    case = SMALL[name]
    old = optimum_of(case)
    assert old.converged
    s = old.sample_weight.copy()
    s[10:13] *= 1.5
    X, T = old.X[:2] + 0.1, old.T[:2]
    if name == "labels":
        T = T.argmax(axis=1)
    new = mlpcore.retrain(old, remove=[0, 7], add=(X, T), sample_weight=s)
    assert new.converged
    stay = np.delete(np.arange(case.n), [0, 7])
    assert_close(new.X, np.concatenate([old.X[stay], X]), 0)
    assert_close(new.sample_weight, np.concatenate([s[stay], np.ones(2)]), 0)
    gradient = old.net.gradient(new.w, new.X, new.T, new.sample_weight) + ALPHA * new.w
    assert np.abs(gradient).max() < 1e-7
    other = refit(old, new.X, new.T, new.sample_weight)
    if name == "linear":  # the Newton steps go on to a lower minimum

        def objective(w):
            error = old.net.error(w, new.X, new.T, new.sample_weight)
            return error + ALPHA / 2 * w @ w

        assert objective(new.w) < objective(other)
    else:
        assert_close(new.w, other, 1e-5)


@small_cases
def test_there_and_back(name):
    old = optimum_of(SMALL[name])
    mask = np.arange(len(old.X)) == 0
    new = mlpcore.retrain(
        mlpcore.retrain(old, remove=mask), add=(old.X[:1], old.T[:1], old.sample_weight[:1])
    )
    assert_close(new.w, old.w, 1e-8)


def test_many_small_changes_are_cheap():
    """Rows come and go one at a time: not a factorization each, and still the optimum."""
    moving = optimum_of(SMALL["linear"])
    factorizations = 0
    for n in range(20):
        moving = mlpcore.retrain(moving, remove=[0], add=(moving.X[:1] * 1.01, moving.T[:1]))
        factorizations += moving.factorizations
        assert moving.converged, n
    assert factorizations < 20
    assert_close(moving.w, refit(moving, moving.X, moving.T, moving.sample_weight), 1e-5)


def test_a_large_change():
    old = optimum_of(SMALL["linear"])
    new = mlpcore.retrain(old, remove=np.arange(40))
    assert new.factorizations >= 1
    assert new.converged
    assert_close(new.w, refit(new, new.X, new.T, new.sample_weight), 1e-6)


def test_no_change():
    old = optimum_of(SMALL["softmax"])
    assert_close(mlpcore.retrain(old).w, old.w, 1e-9)


def test_nothing_of_the_old_one_changes():
    old = optimum_of(SMALL["linear"])
    before = [a.copy() for a in (old.w, old.X, old.T, old.sample_weight)]
    mlpcore.retrain(old, remove=[1], sample_weight=old.sample_weight * 2)
    for a, b in zip(before, (old.w, old.X, old.T, old.sample_weight), strict=True):
        assert_close(a, b, 0)


def test_w_is_not_that_of_the_caller():
    net, w, X, T = saddle()
    old = mlpcore.Optimum(net, w, X, T, weight_decay=0.1, max_steps=0)
    new = mlpcore.retrain(old, max_steps=0)
    assert not np.shares_memory(old.w, w)
    assert not np.shares_memory(old.w, new.w)


def test_changes_of_rounding_are_none():
    """They take no row of the factor."""
    old = optimum_of(SMALL["linear"])
    s = old.sample_weight.copy()
    s[3] *= 1 + 2 * np.finfo(float).eps
    assert s[3] != old.sample_weight[3]
    new = mlpcore.retrain(old, sample_weight=s, max_steps=0)
    assert len(new._factor.c) == 0
    assert_close(new.sample_weight, s, 0)


def test_a_kept_factor_that_is_indefinite_is_dropped(monkeypatch):
    """Its step leads uphill, which is no sign that all is at rest."""

    class Indefinite(mlpcore.hessian_factor.Factor):
        def solve(self, v):
            return -super().solve(v)

    old = optimum_of(SMALL["linear"])
    kept = Indefinite(old._inverse_factor())
    monkeypatch.setattr(mlpcore.retraining, "_changed_factor", lambda *_: kept)
    new = mlpcore.retrain(old, remove=[0, 1, 2])
    assert new.converged
    assert new.factorizations >= 1
    assert_close(new.w, refit(new, new.X, new.T, new.sample_weight), 1e-5)


@pytest.mark.parametrize("s", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("value", [1.0, 1e7])
def test_an_input_of_one_sample_is_removed(value, s):
    """What the factor has for its weight without it is rounding, or a division by zero."""
    rng = np.random.default_rng(0)
    net, X, T = mlpcore.Network((3, 1)), rng.normal(size=(20, 3)), rng.normal(size=20)
    X[:, 2] = 0
    X[7, 2] = value
    old = mlpcore.Optimum(net, np.zeros(4), X, T, np.full(20, s))
    new = mlpcore.retrain(old, remove=[7])
    assert (new.converged, new.factorizations) == (True, 1)
    assert_close(new.w, old.w, 1e-12)
    other = mlpcore.retrain(old, remove=[7], add=([[1.0, 2.0, value]], [0.5]))  # holds it again
    assert other.converged
    assert_close(other.w, refit(other, other.X, other.T, other.sample_weight), 1e-6)


@each_regularizer
def test_a_regularized_optimum_moves_to_the_new_one(R):
    old = regularized(R)
    new = mlpcore.retrain(old, remove=[0, 7], add=(old.X[:2] + 0.1, old.T[:2]))
    assert new.converged
    assert new.regularizer is R
    gradient = new.net.gradient(new.w, new.X, new.T, new.sample_weight)
    assert np.abs(gradient + R.gradient(new.net, new.w)).max() < 1e-7
    assert_close(new.w, refit(new, new.X, new.T, new.sample_weight), 1e-5)


@pytest.mark.parametrize(
    ("change", "exception", "message"),
    [
        ({"remove": [80]}, ValueError, "remove has 80, expected rows from 0 to 79"),
        ({"remove": [-1]}, ValueError, "remove has -1, expected rows from 0 to 79"),
        ({"remove": [0.5]}, TypeError, "remove has dtype float64, expected integers or bools"),
        (
            {"remove": [[1], [1, 2]]},
            ValueError,
            r"^remove has parts .* expected \(m,\) integers or",
        ),
        ({"remove": 3}, ValueError, r"remove has shape \(\), expected \(m,\)"),
        ({"remove": [True]}, ValueError, r"remove has shape \(1,\), expected \(80,\) for bools"),
        ({"remove": np.arange(80)}, ValueError, "no sample has a positive weight"),
        ({"add": [1, 2]}, TypeError, r"add is no tuple \(X, T\)"),
        ({"add": ([[1.0, 2]], [1.0])}, ValueError, r"add: X has shape \(1, 2\), expected \(N, 3\)"),
        ({"sample_weight": [1.0]}, ValueError, r"sample_weight has shape \(1,\)"),
        ({"max_steps": 0.5}, TypeError, "max_steps is 0.5"),
    ],
)
def test_refused_changes(change, exception, message):
    old = optimum_of(SMALL["linear"])
    with pytest.raises(exception, match=message):
        mlpcore.retrain(old, **change)
