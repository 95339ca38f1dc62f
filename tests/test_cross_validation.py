"""The weight decay by cross-validation: folds that don't meet, the best of the path, an end."""

from __future__ import annotations

import numpy as np
import pytest
from interrupting import Interrupts

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


@pytest.mark.parametrize("dtype", [int, float])
@pytest.mark.parametrize("N", [16, 19])
def test_class_labels(N, dtype):
    """Of four networks, four samples of each and four classes they look like targets."""
    random = np.random.default_rng(0)
    net = mlpcore.Network((2, 3, 4), output="softmax")
    w = np.stack([net.init(seed=s) for s in range(4)])
    X, labels = random.standard_normal((N, 2)), np.arange(N) % 4
    options = {"sample_weight": np.ones(N), "epochs": 45, "seed": 0, "optimizer": "lbfgs"}
    one, other = (
        train_by_cross_validation(net, w, X, T, **options)
        for T in (labels.astype(dtype), np.eye(4)[labels])
    )
    assert one.errors == other.errors
    np.testing.assert_array_equal(one.w, other.w)
    labels[-1] = 4
    with pytest.raises(ValueError, match=rf"^T\[{N - 1}\] is 4.*, expected a class label from 0"):
        train_by_cross_validation(net, w, X, labels.astype(dtype), **options)


@pytest.mark.parametrize(("epochs", "length"), [(1, 1), (17, 1), (np.int64(20), 2)])
def test_each_training_has_a_ninth_of_the_epochs(epochs, length):
    result = fit(*problem(0.1), epochs=epochs)
    assert {member.n_epochs for members in result.rounds for member in members} == {length}


@pytest.mark.parametrize("epochs", [-5, 0, 2.5, 20.0, True])
def test_epochs_that_are_no_number_of_them(epochs):
    message = f"^epochs is {epochs}, expected a whole number of at least 1$"
    with pytest.raises((ValueError, TypeError), match=message):
        fit(*problem(0.1), epochs=epochs)


def test_lists_and_tables():
    X, T = problem(0.1)
    expected = fit(X, T, epochs=20)
    assert fit(X.tolist(), T.tolist(), epochs=20).errors == expected.errors
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X).astype("Float64")
    assert fit(table, pandas.DataFrame(T), epochs=20).errors == expected.errors
    with pytest.raises(ValueError, match=r"^T has shape \(79, 1\), expected \(80, 1\)"):
        fit(X, T[1:])


def assert_interrupted(result, whole, done):
    """After so many steps of the path: what the best of them had led to."""
    assert result.interrupted
    assert "interrupted" in repr(result)
    assert list(result.errors.items()) == list(whole.errors.items())[:done]
    assert len(result.rounds) == done
    if done == 0:
        assert result.weight_decay == PATH[0]
        np.testing.assert_array_equal(result.w, [NET.init(seed=s) for s in range(3)])
    else:
        assert result.weight_decay == min(result.errors, key=result.errors.get)
        best = list(PATH).index(result.weight_decay)
        np.testing.assert_array_equal(result.w, whole.rounds[best].w)


@pytest.mark.parametrize("done", [0, 2, -1])
def test_ctrl_c_in_a_training(monkeypatch, done):
    """After so many steps of the path; -1 is in the training on all samples."""
    X, T = problem(1.0)
    whole = fit(X, T, epochs=90)
    steps = len(whole.errors)
    assert 2 < steps < len(PATH)  # so that the last one has risen
    assert not whole.interrupted
    left = [steps if done == -1 else done]

    def train(*arguments, **options):
        if left[0] == 0:
            options["regularizer"] = Interrupts(15)  # in the second network
        left[0] -= 1
        return mlpcore.train(*arguments, **options)

    monkeypatch.setattr(cross_validation, "train", train)
    result = fit(X, T, epochs=90)
    if done >= 0:
        assert_interrupted(result, whole, done)
        return
    assert result.interrupted
    assert [member.stopped for member in result.rounds[-1]][1:] == ["interrupted"] * 2
    assert (result.errors, result.weight_decay) == (whole.errors, whole.weight_decay)
    assert len(result.rounds) == steps + 1
    np.testing.assert_array_equal(result.w, result.rounds[-1].w)


@pytest.mark.parametrize("done", [0, 2])
def test_ctrl_c_between_the_trainings(monkeypatch, done):
    X, T = problem(1.0)
    whole = fit(X, T, epochs=90)
    error, left = mlpcore.Network.error, [done + 2]  # two before the first step

    def interrupted(*arguments):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return error(*arguments)

    monkeypatch.setattr(mlpcore.Network, "error", interrupted)
    assert_interrupted(fit(X, T, epochs=90), whole, done)


def test_too_few_samples():
    with pytest.raises(ValueError, match="X has 3 samples, expected at least 4"):
        fit(*problem(0.1, N=3))
