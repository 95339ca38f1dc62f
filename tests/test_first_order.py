"""The steps, schedules and clipping of the native loops against mlpcore.reference_training."""

from __future__ import annotations

import numpy as np
import pytest
from cases import OFF
from test_training import Shuffle

import mlpcore
from mlpcore import reference_training as plain
from mlpcore.regularizers import L1, LayerDecay, WeightDecay
from mlpcore.schedules import Constant, Cosine, OneCycle, Plateau, Step

NET = mlpcore.Network((2, 5, 1), "softplus")
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((37, 2))
T = np.sin(2 * X[:, :1]) + 0.2 * RANDOM.standard_normal((37, 1))
SAMPLE_WEIGHT = RANDOM.uniform(0.5, 2, 37)
EPOCHS = 12
STEPPING = ("adam", "adamw", "sgd")
METHODS = ("lm", "scg", "cg", "newton-cg", "bfgs", "lbfgs", "gd")

RULES = {
    "sgd": (lambda rate: plain.sgd(0.8), {"momentum": 0.8}),
    "nesterov": (lambda rate: plain.nesterov(0.8), {"momentum": 0.8, "nesterov": True}),
    "adam": (lambda rate: plain.adam(), {}),
    "adamw": (lambda rate: plain.adamw(0.3 / SAMPLE_WEIGHT.sum()), {"weight_decay": 0.3}),
    "rprop": (lambda rate: plain.rprop(rate), {}),
}
SHARES = {
    "constant": (Constant(), lambda done: 1.0),
    "step": (Step(3, 0.5), lambda done: plain.step(done, 3, 0.5)),
    "cosine": (Cosine(0.1), lambda done: plain.cosine(done, EPOCHS, 0.1)),
    "one_cycle": (
        OneCycle(0.25, 0.1, 0.01),
        lambda done: plain.one_cycle(done, EPOCHS, 0.25, 0.1, 0.01),
    ),
}


def trajectory(rule, rate, share, batch_size, clip, seed):
    """The weights after each epoch."""
    w = NET.init(1)
    order, shuffle = np.arange(37).tolist(), Shuffle(seed)
    weights = [w]
    for epoch in range(EPOCHS):
        if batch_size < 37:
            shuffle(order)
        for first in range(0, 37, batch_size):
            rows = order[first : first + batch_size]
            s = SAMPLE_WEIGHT[rows]
            g = NET.gradient(w, X[rows], T[rows], s) / s.sum()
            w = rule(w, plain.clip(g, clip), rate * share(epoch + first / 37))
        weights.append(w)
    return np.array(weights)


# rprop is on the full batch, and has rates of its own.
SETTINGS = [("rprop", 37, "constant", None)] + [
    (name, batch_size, schedule, clip_norm)
    for name in RULES
    for batch_size in (8, 37)
    for schedule in SHARES
    for clip_norm in (None, 0.2)
    if name != "rprop"
]


@pytest.mark.parametrize(("name", "batch_size", "schedule", "clip_norm"), SETTINGS)
def test_trajectory(name, batch_size, schedule, clip_norm):
    make, options = RULES[name]
    optimizer = "sgd" if name == "nesterov" else name
    schedule, share = SHARES[schedule]
    given = {"batch_size": batch_size, "schedule": schedule, "clip_norm": clip_norm}
    given = {} if name == "rprop" else given
    weights = []
    mlpcore.train(
        NET,
        NET.init(1),
        X,
        T,
        sample_weight=SAMPLE_WEIGHT,
        optimizer=optimizer,
        epochs=EPOCHS,
        learning_rate=0.02,
        seed=5,
        callback=lambda epoch, e, v, w: weights.append(w) and False,
        **given,
        **options,
    )
    clip = np.inf if clip_norm is None else clip_norm
    expected = trajectory(make(0.02), 0.02, share, batch_size, clip, 5)
    np.testing.assert_allclose(weights, expected, rtol=1e-9, atol=1e-11)


def test_a_gradient_whose_square_is_beyond_float64_is_clipped():
    net, w, data = mlpcore.Network((1, 1)), np.array([1.0, 0.0]), ([[1e80]], [[0.0]])
    assert np.isfinite(net.gradient(w, *data)).all()
    weights = []
    mlpcore.train(
        net,
        w,
        *data,
        optimizer="sgd",
        learning_rate=0.5,
        momentum=0,
        clip_norm=1,
        epochs=1,
        callback=lambda epoch, e, v, w: weights.append(w) and False,
    )
    np.testing.assert_allclose(weights[-1], [0.5, 0], atol=1e-12)


@pytest.mark.parametrize("name", SHARES)
def test_schedules(name):
    """The schedule itself is the formula of the reference, and the history that of the schedule."""
    schedule, share = SHARES[name]
    result = mlpcore.train(
        NET, NET.init(0), X, T, epochs=EPOCHS, learning_rate=0.02, schedule=schedule
    )
    rates = result.history["learning_rate"]
    expected = [share(epoch) for epoch in range(EPOCHS + 1)]
    np.testing.assert_allclose(rates / 0.02, expected, rtol=1e-12, atol=1e-15)
    called = [schedule(epoch, EPOCHS) for epoch in range(EPOCHS + 1)]
    np.testing.assert_allclose(called, expected, rtol=1e-12, atol=1e-15)


def test_plateau():
    result = mlpcore.train(
        NET,
        NET.init(0),
        X[:20],
        T[:20],
        X[20:],
        T[20:],
        optimizer="sgd",
        epochs=300,
        learning_rate=0.3,
        schedule=Plateau(patience=7, factor=0.5),
        min_delta=1e-3,
    )
    errors = result.history["validation_error"]
    expected = [plain.plateau(errors[: i + 1], 7, 0.5, 1e-3) for i in range(301)]
    np.testing.assert_allclose(result.history["learning_rate"], 0.3 * np.array(expected))
    assert expected[-1] < 0.1


@pytest.mark.parametrize("method", METHODS)
def test_methods_of_minimize(method):
    """An epoch is an iteration of minimize, on the mean objective."""
    options = {"weight_decay": 0.1, "sample_weight": SAMPLE_WEIGHT}
    result = mlpcore.train(NET, NET.init(0), X, T, optimizer=method, epochs=8, **options)
    other = mlpcore.minimize(NET, NET.init(0), X, T, method=method, iterations=8, **OFF, **options)
    np.testing.assert_allclose(result.w, other.w, rtol=1e-6, atol=1e-9)
    errors = result.history["training_error"]
    assert result.optimizer == method
    assert errors.size == 9
    assert errors[-1] < errors[0]
    with_validation = mlpcore.train(
        NET, NET.init(0), X[:20], T[:20], X[20:], T[20:], optimizer=method, epochs=30, patience=4
    )
    validation = with_validation.history["validation_error"]
    assert with_validation.best_epoch == np.argmin(validation)


@pytest.mark.parametrize("method", METHODS)
def test_targets_whose_fourth_power_is_nothing(method):
    """The objective can be told from 0, its square can't."""
    net = mlpcore.Network((2, 1))
    for size in (1, 1e-85):
        arguments = (net, net.init(0), X, size * T)
        for result in (
            mlpcore.train(*arguments, optimizer=method, epochs=1000),
            mlpcore.minimize(*arguments, method=method),
        ):
            fit = np.square(net.forward(result.w, X) / size - T).sum()
            lowest = np.linalg.lstsq(np.column_stack([X, np.ones(37)]), T, rcond=None)[1][0]
            assert fit == pytest.approx(lowest, rel=1e-3)


def test_slopes_of_a_wide_regularizer():
    """lambda x / N is beyond the range, dR/dw / N = lambda x / (N eps) = x is not."""
    net, w, zero = mlpcore.Network((1, 1)), [1e145, 0], np.zeros((1, 1))
    options = {"regularizer": L1(1e160, epsilon=1e170), "sample_weight": [1e-10], "epochs": 1}
    for optimizer, share in (("sgd", 0.99), ("lm", 1e-3 / 1.001)):
        result = mlpcore.train(net, w, zero, zero, optimizer=optimizer, **options)
        assert result.stopped == "epochs"
        assert result.w[0] == pytest.approx(share * 1e145)


@pytest.mark.parametrize("function", [mlpcore.train, mlpcore.minimize])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_coefficients_whose_sum_is_too_large(dtype, function):
    """Each of them is in range."""
    net = mlpcore.Network((2, 5, 1), dtype=dtype)
    largest = float(np.finfo(dtype).max)
    twice = {"float64": "inf", "float32": r"6.80564\d*e\+38"}[dtype]
    for regularizer, i in ((WeightDecay(largest), 0), (LayerDecay((0.0, largest)), 15)):
        words = (
            rf"^weight_decay \+ the regularizer's coefficients\[{i}\] is {twice}, which is too "
            f"large for {dtype}$"
        )
        given = {"weight_decay": largest, "regularizer": regularizer}
        with pytest.raises(ValueError, match=words):
            function(net, net.init(0), X, T, **given)


@pytest.mark.parametrize("output", ["linear", "softmax", "sigmoid"])
def test_validation_fraction(output):
    labels = (X[:, 0] > 0.3).astype(int)
    net = mlpcore.Network((2, 5, 2 if output == "softmax" else 1), output=output)
    targets = T if output == "linear" else labels
    options = {"epochs": 20, "seed": 3, "batch_size": 5}
    result = mlpcore.train(net, net.init(0), X, targets, validation_fraction=0.3, **options)
    rows = result.validation_rows
    assert len(rows) == 11 == len(set(rows))
    kept = np.setdiff1d(np.arange(37), rows)
    same = mlpcore.train(
        net, net.init(0), X[kept], targets[kept], X[rows], targets[rows], **options
    )
    np.testing.assert_array_equal(result.w, same.w)
    assert result.best_epoch == np.argmin(result.history["validation_error"])
    if output != "linear":
        assert labels[rows].sum() == round(11 * labels.sum() / 37)
    again = mlpcore.train(net, net.init(0), X, targets, validation_fraction=0.3, **options)
    np.testing.assert_array_equal(again.validation_rows, rows)


def test_an_own_metric():
    """The best epoch is that of the metric, and patience looks at it."""

    def largest(Y, T):
        return float(np.abs(Y - T).max())

    best = []
    result = mlpcore.train(
        NET,
        NET.init(0),
        X[:20],
        T[:20],
        X[20:],
        T[20:],
        epochs=300,
        metric=largest,
        patience=30,
        on_best=lambda epoch, w: best.append((epoch, w)),
        on_stop=lambda result: best.append(result),
    )
    values = result.history["validation_metric"]
    assert best.pop() is result
    assert result.best_epoch == np.argmin(values) == best[-1][0]
    np.testing.assert_array_equal(best[-1][1], result.w)
    assert [epoch for epoch, _ in best] == [
        i for i in range(len(values)) if values[i] < values[:i].min(initial=np.inf)
    ]
    assert values[result.best_epoch] == largest(NET.forward(result.w, X[20:]), T[20:])
    assert result.best_epoch != np.argmin(result.history["validation_error"])
    assert result.stopped == "patience"
    assert result.n_epochs == result.best_epoch + 30


def test_a_metric_that_raises():
    def metric(Y, T):
        raise ZeroDivisionError("oh")

    with pytest.raises(ZeroDivisionError, match="oh"):
        mlpcore.train(NET, NET.init(0), X, T, X, T, metric=metric)


@pytest.mark.parametrize(
    ("options", "exception", "message"),
    [
        ({"schedule": 0.1}, TypeError, "schedule is 0.1, expected a mlpcore.schedules"),
        ({"clip_norm": 0}, ValueError, "clip_norm is 0.0, expected a number above 0"),
        ({"nesterov": 1}, TypeError, "nesterov is 1, expected True or False"),
        ({"momentum": 0.9}, ValueError, "momentum came with optimizer 'adam'"),  # its default
        ({"momentum": 1, "optimizer": "sgd"}, ValueError, "momentum is 1.0, expected .* below 1"),
        ({"momentum": -0.1, "optimizer": "sgd"}, ValueError, "momentum is -0.1, expected a number"),
        ({"metric": 3}, TypeError, "metric is 3, expected a callable"),
        ({"metric": len}, ValueError, "metric came without validation data"),
        ({"on_best": 3}, TypeError, "on_best is 3"),
        ({"on_stop": 3}, TypeError, "on_stop is 3"),
        ({"validation_fraction": 0}, ValueError, "validation_fraction is 0.0, expected a number a"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction is 1.0, expected"),
        ({"validation_fraction": 0.1, "X_val": X, "T_val": T}, ValueError, "one of them"),
        ({"resume": True}, ValueError, "resume came without checkpoint"),
        ({"w": np.zeros((2, 21)), "metric": len}, ValueError, "metric came with an ensemble"),
        ({"w": np.zeros((2, 21)), "checkpoint": "a"}, ValueError, "checkpoint came with an ens"),
    ],
)
def test_refusals(options, exception, message):
    with pytest.raises(exception, match=message):
        mlpcore.train(**{"net": NET, "w": NET.init(0), "X": X, "T": T, "epochs": 1} | options)


@pytest.mark.parametrize(
    ("setting", "users", "named"),
    [
        ({"batch_size": 5}, STEPPING, "'adam', 'adamw' or 'sgd'"),
        ({"schedule": Step(1)}, STEPPING, "'adam', 'adamw' or 'sgd'"),
        ({"clip_norm": 0.1}, STEPPING, "'adam', 'adamw' or 'sgd'"),
        ({"learning_rate": 0.02}, (*STEPPING, "rprop"), "'adam', 'adamw', 'sgd' or 'rprop'"),
        ({"momentum": 0.5}, ("sgd",), "'sgd'"),
        ({"nesterov": True}, ("sgd",), "'sgd'"),
    ],
)
@pytest.mark.parametrize("optimizer", [*STEPPING, "rprop", *METHODS])
def test_settings_of_other_optimizers(optimizer, setting, users, named):
    """Each of them changes what its users do, and the others refuse it."""
    options = {"optimizer": optimizer, "epochs": 2, "seed": 0}
    if optimizer in users:
        with_it = mlpcore.train(NET, NET.init(0), X, T, **options, **setting)
        without = mlpcore.train(NET, NET.init(0), X, T, **options)
        assert not np.array_equal(with_it.w, without.w)
        return
    (name,) = setting
    message = f"^{name} came with optimizer '{optimizer}', expected it with {named}$"

    def computed(*_):
        raise AssertionError("before anything is computed")

    with pytest.raises(ValueError, match=message):
        mlpcore.train(NET, NET.init(0), X, T, callback=computed, **options, **setting)


@pytest.mark.parametrize("optimizer", [*STEPPING, "rprop", *METHODS])
def test_defaults_are_for_every_optimizer(optimizer):
    """Who passes on what was not given, passes None."""
    none = dict.fromkeys(("batch_size", "schedule", "clip_norm", "learning_rate", "momentum"))
    options = {"optimizer": optimizer, "epochs": 2}
    given = mlpcore.train(NET, NET.init(0), X, T, nesterov=False, **none, **options)
    np.testing.assert_array_equal(given.w, mlpcore.train(NET, NET.init(0), X, T, **options).w)


@pytest.mark.parametrize(
    ("make", "exception", "message"),
    [
        (lambda: Step(0), ValueError, "every is 0, expected a whole number of at least 1"),
        (lambda: Step(3, 0), ValueError, "factor is 0.0"),
        (lambda: Cosine(-1), ValueError, "final is -1.0"),
        (lambda: OneCycle(warmup=1), ValueError, "warmup is 1.0, expected .* below 1"),
        (lambda: Plateau(patience=1.5), TypeError, "patience is 1.5"),
        (lambda: Plateau(factor=1), ValueError, "factor is 1.0"),
    ],
)
def test_refused_schedules(make, exception, message):
    with pytest.raises(exception, match=message):
        make()


@pytest.mark.parametrize("rate", [1e-9, 200.0])
def test_steps_of_rprop_beyond_its_usual_bounds(rate):
    """From 1e-9 no change of sign makes them longer, from 200 no agreement makes them shorter."""
    net = mlpcore.Network((1, 1))
    X, T = np.ones((1, 1)), np.full((1, 1), 1e6)
    weights = []
    options = {"optimizer": "rprop", "learning_rate": rate, "epochs": 3}
    mlpcore.train(net, [0, 0], X, T, callback=lambda *a: weights.append(a[-1]), **options)
    assert np.allclose(np.diff([w[0] for w in weights])[1:], 1.2 * rate if rate < 1 else rate)
