"""The weight decay by cross-validation: folds that don't meet, the best of the path, an end."""

from __future__ import annotations

import numpy as np
import pytest

import mlpcore
from mlpcore import cross_validation
from mlpcore.cross_validation import PATH, train_by_cross_validation

NET = mlpcore.Network((2, 6, 1))


def problem(noise, N=80, seed=0):
    random = np.random.default_rng(seed)
    X = random.standard_normal((N, 2))
    T = np.sin(2 * X[:, :1]) + noise * random.standard_normal((N, 1))
    return X, T


def fit(X, T, S=3, epochs=1400, **options):
    w = np.stack([NET.init(seed=s) for s in range(S)])
    options = {"optimizer": "lbfgs", "sample_weight": np.ones(len(X)), "seed": 0, **options}
    return train_by_cross_validation(NET, w, X, T, epochs=epochs, **options)


def test_noise_asks_for_more_weight_decay():
    quiet, noisy = fit(*problem(0.01)), fit(*problem(1.0))
    assert quiet.weight_decay < 0.1 * noisy.weight_decay
    for result in (quiet, noisy):
        tried = list(result.errors)
        assert tried == list(PATH[: len(tried)])
        assert result.errors[result.weight_decay] == min(result.errors.values())


def test_the_last_training_sees_all_samples():
    X, T = problem(0.1)
    result = fit(X, T, epochs=9000)
    for w in result.w:
        g = NET.gradient(w, X, T) + result.weight_decay * w
        assert np.abs(g).max() < 1e-4 * len(X)
    assert len(result.rounds) == len(result.errors) + 1


def test_what_is_left_out_is_not_trained_on(monkeypatch):
    seen = []

    def train(net, w, X, T, **options):
        seen.append(np.array(X))
        return mlpcore.train(net, w, X, T, **options)

    monkeypatch.setattr(cross_validation, "train", train)
    X, T = problem(0.1, N=41)
    fit(X, T, epochs=28)
    kept = [{tuple(row) for row in of_network} for of_network in seen[0]]
    everything = {tuple(row) for row in X}
    out = [everything - rows for rows in kept]
    assert [len(rows) for rows in out] == [10, 10, 10]
    assert len(set.union(*out)) == 30
    np.testing.assert_array_equal(seen[-1], X)


def test_errors_that_overflow():
    X, T = problem(0.1)
    result = fit(X, 1e300 * T, epochs=28)
    assert set(result.errors.values()) == {np.inf}
    assert {member.stopped for member in result.rounds[-1]} == {"diverged"}


def test_too_few_samples():
    with pytest.raises(ValueError, match="X has 3 samples, expected at least 4"):
        fit(*problem(0.1, N=3))
