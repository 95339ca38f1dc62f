"""Many starts at once, the sweep over sizes, and the splits that they are judged by."""

from __future__ import annotations

import _thread
import dataclasses
import sys
import threading

import numpy as np
import pytest
from cases import assert_same_bits
from hypothesis import given
from hypothesis import strategies as st

import mlpcore
from mlpcore.regularizers import ConsistentPrior, LayerDecay, Regularizer
from mlpcore.splitting import class_labels, split_off

RANDOM = np.random.default_rng(0)
X = np.linspace(-1, 1, 50)[:, None]
T = np.sin(4 * X) + 0.1 * RANDOM.standard_normal(X.shape)
X_VAL = RANDOM.uniform(-1, 1, (40, 1))
T_VAL = np.sin(4 * X_VAL) + 0.1 * RANDOM.standard_normal(X_VAL.shape)


def test_each_start_is_a_training_of_its_own():
    net = mlpcore.Network((1, 4, 1))
    options = {"optimizer": "adam", "epochs": 20, "batch_size": 8}
    result = mlpcore.multistart(net, X, T, X_VAL, T_VAL, starts=5, seed=7, **options)
    fewer = mlpcore.multistart(net, X, T, X_VAL, T_VAL, starts=2, seed=7, **options)
    assert_same_bits(fewer.w, result.w[:2])
    for s in range(5):
        w = net.init(np.random.default_rng([7, s]))
        alone = mlpcore.train(net, w, X, T, X_VAL, T_VAL, seed=7 + s, **options)
        assert_same_bits(result.w[s], alone.w)
    errors = [r.history["validation_error"][r.best_epoch] for r in result]
    assert result.best() is result[int(np.argmin(errors))]
    assert len(np.unique(result.w, axis=0)) == 5


def test_sweep():
    result = mlpcore.sweep(
        X, T, X_VAL, T_VAL, hidden=(1, (3, 2), 8), starts=6, seed=1, epochs=50, weight_decay=1e-3
    )
    assert result.hidden == ((1,), (3, 2), (8,))
    assert [net.layers for net in result.networks] == [(1, 1, 1), (1, 3, 2, 1), (1, 8, 1)]
    assert result.training_errors.shape == result.validation_errors.shape == (3, 6)
    for net, of_size, errors in zip(
        result.networks, result.results, result.validation_errors, strict=True
    ):
        alone = mlpcore.multistart(
            net, X, T, X_VAL, T_VAL, starts=6, seed=1, epochs=50, weight_decay=1e-3
        )
        assert_same_bits(of_size.w, alone.w)
        for w, error in zip(of_size.w, errors, strict=True):
            assert error == pytest.approx(net.error(w, X_VAL, T_VAL) / len(X_VAL), rel=1e-12)
    net, best = result.best()
    assert result.validation_errors.min() == best.history["validation_error"][best.best_epoch]
    assert result.best_hidden == net.layers[1:-1]
    assert "3-2" in repr(result)
    assert "<table>" in result._repr_html_()


def test_a_sweep_begins_by_the_scheme():
    options = {"starts": 2, "seed": 3, "epochs": 5, "scheme": "he"}
    result = mlpcore.sweep(X, T, hidden=(2, 3), activation=["relu"], **options)
    for net, of_size in zip(result.networks, result.results, strict=True):
        assert net.hidden == ("relu",)
        assert_same_bits(of_size.w, mlpcore.multistart(net, X, T, **options).w)
    other = mlpcore.sweep(X, T, hidden=[2], activation="relu", **{**options, "scheme": "normal"})
    assert (other.results[0].w != result.results[0].w).any()


def test_a_sweep_without_validation_data():
    result = mlpcore.sweep(X, T, hidden=[1, 2], starts=3, seed=0, epochs=30)
    assert result.validation_errors is None
    assert result.best()[1].history["training_error"].min() == result.training_errors.min()


def test_a_sweep_that_splits():
    labels = (X[:, 0] > 0.2).astype(int)
    weight = RANDOM.uniform(1, 2, 50)
    result = mlpcore.sweep(
        X,
        labels,
        hidden=[2],
        starts=3,
        seed=0,
        epochs=30,
        output="softmax",
        validation_fraction=0.2,
        sample_weight=weight,
    )
    rows = result.validation_rows
    kept = np.setdiff1d(np.arange(50), rows)
    alone = mlpcore.multistart(
        result.networks[0],
        X[kept],
        labels[kept],
        X[rows],
        labels[rows],
        starts=3,
        seed=0,
        epochs=30,
        sample_weight=weight[kept],
    )
    assert_same_bits(result.results[0].w, alone.w)
    assert labels[rows].sum() == 4


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_a_sweep_splits_as_train_does(output):
    labels = (X[:, 0] > 0.2).astype(int)
    targets = np.eye(2)[labels] if output == "softmax" else labels[:, None]
    options = {"epochs": 3, "validation_fraction": 0.3, "seed": 4}
    swept = mlpcore.sweep(X, targets, hidden=[2], starts=1, output=output, **options)
    net = swept.networks[0]
    trained = mlpcore.train(net, net.init(0), X, targets, **options)
    np.testing.assert_array_equal(swept.validation_rows, trained.validation_rows)
    assert labels[swept.validation_rows].sum() == 6  # 15 of 50, of them 20 in the class


@pytest.fixture
def interrupted(monkeypatch):
    """Changes the training of five hidden units: Ctrl-C comes after so many seconds of it.

    With 0 it comes so early that no network has begun.
    """
    module = sys.modules["mlpcore.multistart"]

    def unbegun(member):
        history = {name: curve[:0] for name, curve in member.history.items()}
        return dataclasses.replace(member, history=history, stopped="interrupted", best_epoch=0)

    def after(seconds):
        def train(net, *arguments, epochs, **options):
            if net.layers[1] != 5:
                return mlpcore.train(net, *arguments, epochs=epochs, **options)
            if seconds == 0:
                result = mlpcore.train(net, *arguments, epochs=0, **options)
                return dataclasses.replace(result, members=tuple(map(unbegun, result)))
            threading.Timer(seconds, _thread.interrupt_main).start()
            return mlpcore.train(net, *arguments, epochs=10**9, **options)

        monkeypatch.setattr(module, "train", train)

    return after


@pytest.mark.parametrize("validation", [(), (X_VAL, T_VAL)])
@pytest.mark.parametrize("hidden", [(5,), (2, 5, 9)])
def test_the_size_that_was_interrupted_is_kept(hidden, validation, interrupted):
    interrupted(0.3)
    options = {"starts": 2 * mlpcore.get_num_threads() + 1, "epochs": 5, "optimizer": "adam"}
    result = mlpcore.sweep(X, T, *validation, hidden=hidden, seed=1, **options)
    assert result.hidden == tuple((size,) for size in hidden if size != 9)
    assert {member.stopped for member in result.results[-1]} == {"interrupted"}
    errors = result.validation_errors if validation else result.training_errors
    assert errors.shape == (len(result.hidden), options["starts"])
    assert np.isfinite(errors[-1]).any()
    net, best = result.best()
    kind = "validation_error" if validation else "training_error"
    assert best.history[kind][best.best_epoch] == np.nanmin(errors)
    assert net is result.networks[-1]
    assert result.best_hidden == (5,)
    for member, error in zip(result.results[-1], errors[-1], strict=True):
        assert np.isnan(error) == (member.history["training_error"].size == 0)
    assert "\n  5 " in repr(result)


def test_a_size_that_had_not_begun_is_not_kept(interrupted):
    interrupted(0)
    options = {"starts": 3, "epochs": 5, "seed": 0}
    result = mlpcore.sweep(X, T, hidden=(5, 9), **options)
    assert result.hidden == result.results == ()
    assert result.training_errors.shape == (0, 3)
    with pytest.raises(ValueError, match="no network was trained"):
        result.best()
    assert "0 sizes" in repr(result)
    assert mlpcore.sweep(X, T, hidden=(2, 5, 9), **options).best_hidden == (2,)


class Nothing(Regularizer):
    """Written in Python."""

    def value(self, net, w):
        return 0.0

    def gradient(self, net, w):
        return np.zeros_like(w)


@pytest.mark.parametrize(
    ("regularizer", "message"),
    [
        (LayerDecay([1, 1]), "^weights has 2 numbers, expected 3, one for each layer"),
        (Nothing() + ConsistentPrior([1, 1]), "^alphas has 2 numbers, expected 3"),
    ],
)
def test_a_regularizer_that_does_not_fit_each_size(regularizer, message, monkeypatch):
    """Is refused before the first one is trained."""
    options = {"starts": 2, "epochs": 2, "seed": 0, "regularizer": regularizer}
    assert mlpcore.sweep(X, T, hidden=[3], **options).hidden == ((3,),)
    monkeypatch.setattr(sys.modules["mlpcore.multistart"], "train", None)
    with pytest.raises(ValueError, match=message):
        mlpcore.sweep(X, T, hidden=(3, (3, 3)), **options)


def test_networks_without_a_finite_error_are_not_chosen():
    result = mlpcore.sweep(X, T, hidden=[1, 2], starts=2, seed=0, epochs=3)
    errors = np.array([[np.nan, 2.0], [np.inf, 1.0]])
    of_these = dataclasses.replace(result, training_errors=errors)
    assert of_these.best_hidden == (2,)
    assert of_these.best()[1] is result.results[1][1]
    assert "inf" in repr(dataclasses.replace(result, training_errors=np.full((2, 2), np.nan)))


@pytest.mark.parametrize(
    ("options", "exception", "message"),
    [
        ({"hidden": []}, ValueError, "hidden is empty"),
        ({"hidden": [2, 0]}, ValueError, r"hidden\[1\] is 0"),
        ({"hidden": [(2, 1.5)]}, TypeError, r"hidden\[0\] is 1.5"),
        ({"starts": 0}, ValueError, "starts is 0"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"X": X[:, 0]}, ValueError, r"X has shape \(50,\), expected \(N, D\)"),
        ({"T": []}, ValueError, r"T has shape \(0,\)"),
        ({"T": T[:30]}, ValueError, "T has"),
        (
            {"T": ["a", "b"] * 25, "output": "softmax"},
            TypeError,
            "T has dtype <U1, expected class labels from 0",
        ),
        (
            {"T": [np.nan, 1] * 25, "output": "softmax"},
            ValueError,
            r"T\[0\] is nan, expected",
        ),
        ({"T": [-1, 1] * 25, "output": "softmax"}, ValueError, r"T\[0\] is -1, expected"),
        ({"progress": True}, ValueError, "progress came with an ensemble"),
        ({"validation_fraction": 2}, ValueError, "validation_fraction is 2.0"),
        ({"validation_fraction": 0.2, "X_val": X, "T_val": T}, ValueError, "expected one of them"),
        ({"validation_fraction": 0.2, "T_val": T}, ValueError, "came with T_val, expected one of"),
        (
            {"validation_fraction": 0.2, "T": np.vstack([T, T])},
            ValueError,
            r"X of shape \(50, 1\) and T of shape \(100, 1\), expected \(N, D\)",
        ),
        (
            {"validation_fraction": 0.2, "sample_weight": np.ones(75)},
            ValueError,
            r"sample_weight has shape \(75,\), expected \(50,\) or \(2, 50\)$",
        ),
        (
            {"validation_fraction": 0.2, "sample_weight": np.ones(25)},
            ValueError,
            r"sample_weight has shape \(25,\), expected \(50,\) or \(2, 50\)$",
        ),
        ({"hidden": 5}, TypeError, r"^hidden is 5, expected a sequence of sizes, as \(5,\)$"),
        ({"X": [[1, 2], [1]]}, ValueError, "^X is not an array of numbers"),
        ({"T": [[1, 2], [1]]}, ValueError, "^T is not an array of numbers"),
        ({"optimizer": "foo"}, ValueError, "optimizer is 'foo'"),
        ({"optimizer": ""}, ValueError, "optimizer is ''"),
        ({"activation": "foo"}, ValueError, "^activation is 'foo'"),
        ({"activation": ["foo"]}, ValueError, r"^activation\[0\] is 'foo'"),
        ({"activation": None}, TypeError, "^activation is None, expected a name or a sequence"),
        (
            {"activation": ["tanh"], "hidden": [2, (2, 3)]},
            ValueError,
            "^activation has 1 names, expected one name or one for each of the 2 hidden layers$",
        ),
        ({"scheme": "foo"}, ValueError, "^scheme is 'foo'"),
    ],
)
def test_refusals(options, exception, message):
    with pytest.raises(exception, match=message):
        mlpcore.sweep(**{"X": X, "T": T, "hidden": [2], "starts": 2, "epochs": 2} | options)


def test_no_name_is_not_the_optimizer_of_multistart():
    with pytest.raises(ValueError, match="optimizer is ''"):
        mlpcore.multistart(mlpcore.Network((1, 2, 1)), X, T, starts=2, optimizer="")


def test_a_sweep_splits_the_weights_of_each_start():
    weight = RANDOM.uniform(1, 2, (2, 50))
    options = {"hidden": [2], "epochs": 5, "seed": 0, "validation_fraction": 0.2}
    both = mlpcore.sweep(X, T, starts=2, sample_weight=weight, **options)
    first = mlpcore.sweep(X, T, starts=1, sample_weight=weight[0], **options)
    assert_same_bits(both.results[0].w[:1], first.results[0].w)


def test_a_sweep_splits_probabilities():
    targets = np.random.default_rng(1).uniform(size=50)
    options = {"hidden": [2], "starts": 2, "epochs": 2, "output": "sigmoid", "seed": 0}
    result = mlpcore.sweep(X, targets, validation_fraction=0.2, **options)
    assert len(result.validation_rows) == 10


@pytest.mark.parametrize(
    ("output", "T", "labels"),
    [
        ("sigmoid", [0, 1, 1], [0, 1, 1]),
        ("sigmoid", [[0.0], [1.0]], [0, 1]),
        ("sigmoid", [True, False], [1, 0]),
        ("sigmoid", [0, 0.5, 1], None),
        ("sigmoid", [0, 1, np.nan], None),
        ("sigmoid", [[0, 1], [1, 0]], None),
        ("softmax", [[0, 1], [1, 0]], [1, 0]),
        ("softmax", [[0.3, 0.7], [0.8, 0.2]], [1, 0]),
        ("softmax", [2, 0], [2, 0]),
        ("linear", [0, 1], None),
    ],
)
def test_class_labels(output, T, labels):
    found = class_labels(output, np.array(T))
    assert (found is None) == (labels is None)
    if found is not None:
        np.testing.assert_array_equal(found, labels)


@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 9), st.booleans(), st.data())
def test_split_off(n, fraction, seed, stratified, data):
    labels = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)) if stratified else None
    if labels is not None and len(set(labels)) == n:
        with pytest.raises(ValueError, match="came with one sample of each class"):
            split_off(n, fraction, seed, labels)
        return
    kept, off = split_off(n, fraction, seed, labels)
    assert len(off) > 0
    assert sorted([*kept, *off]) == list(range(n))
    assert len(kept) > 0
    if labels is None:
        assert len(off) == np.clip(round(fraction * n), 1, n - 1)
        return
    counts, of = np.bincount(labels, minlength=4), np.bincount(np.array(labels)[off], minlength=4)
    assert (counts - of >= np.minimum(counts, 1)).all()  # no class has gone
    quota = len(off) * counts / n
    assert (of <= np.ceil(np.clip(round(fraction * n), 1, n - 1) * counts / n) + 4).all()
    assert np.abs(of - quota).max() <= 4
