"""Where the curvature is zero to the last bit, or the first step far too long."""

from __future__ import annotations

import numpy as np
import pytest

import mlpcore
from mlpcore import reference_optimizers as plain

#: The network, w, X, T, and what the lowest error found must be below.
PROBLEMS = {
    # p.Hp = 0 along the gradient; and so small that the first step is 1e7 times too long.
    "identity": (mlpcore.Network((1, 1, 1), "identity"), [1, 0, 1, 0], [[1]], [[5]], 1e-12),
    "overshoot": (
        mlpcore.Network((1, 1, 1), "identity"),
        [1, 0, 1, 0],
        [[1]],
        [[5.0000001]],
        1e-12,
    ),
    # Saturated on one side, some of them the wrong one: y (1 - y) = 0 for all.
    "wrong": (mlpcore.Network((1, 1), output="sigmoid"), [20, 20], [[1]], [[0]], 1e-12),
    "mixed": (
        mlpcore.Network((1, 1), output="sigmoid"),
        [1, 0],
        [[50], [60], [70], [80]],
        [0, 1, 0, 1],
        2.7726,  # 4 ln 2, that of y = 1/2
    ),
    "float32": (
        mlpcore.Network((1, 1), output="sigmoid", dtype="float32"),
        [1, 0],
        [[20], [30], [30], [40]],
        [0, 1, 0, 1],
        2.7726,
    ),
    "softmax": (
        mlpcore.Network((1, 3), output="softmax"),
        [100, 0, 0, 0, 0, 0],
        [[10], [20], [15]],
        [1, 2, 1],
        1.5,
    ),
}
METHODS = [(method, {}) for method in ("lm", "scg", "cg", "newton-cg", "bfgs", "lbfgs", "gd")]
METHODS += [(method, {"curvature": "gauss_newton"}) for method in ("scg", "newton-cg")]


@pytest.mark.parametrize(("method", "options"), METHODS, ids=str)
@pytest.mark.parametrize("name", PROBLEMS)
def test_every_method_goes_down_and_ends(name, method, options):
    net, w, X, T, bound = PROBLEMS[name]
    result = mlpcore.minimize(net, w, X, T, method=method, iterations=400, seconds=20, **options)
    assert result.stopped in ("gradient", "step", "error", "precision", "iterations")
    assert result.objective < bound


@pytest.mark.parametrize("method", ["scg", "lm"])
@pytest.mark.parametrize("name", ["identity", "overshoot", "wrong", "mixed"])
def test_the_reference_goes_down_and_ends(name, method):
    net, w, X, T, bound = PROBLEMS[name]
    f = plain.Objective(net, np.array(X, float), np.array(T, float).reshape(len(X), 1))
    course = getattr(plain, method)(f, np.array(w, float))
    lowest = np.inf
    for _, at in zip(range(400), course, strict=False):
        lowest = min(lowest, f.value(at))
    assert lowest < bound


@pytest.mark.parametrize("optimizer", ["scg", "lm"])
def test_training(optimizer):
    net, w, X, T, bound = PROBLEMS["mixed"]
    result = mlpcore.train(net, w, X, T, optimizer=optimizer, epochs=100)
    assert len(T) * result.history["training_error"][result.best_epoch] < bound


@pytest.mark.parametrize("method", ["lm", "scg"])
def test_squares_beyond_float32(method):
    """Products of a gradient of 1e20 and itself are above 3e38, the largest number."""
    net = mlpcore.Network((1, 1), dtype="float32")
    X = np.linspace(-1, 1, 1000, dtype=np.float32)[:, None]
    T = (1e17 * (1 + X)).astype(np.float32)
    result = mlpcore.minimize(net, [0, 0], X, T, method=method, iterations=50)
    assert np.allclose(result.w, 1e17, rtol=1e-3)


@pytest.mark.parametrize(
    "optimizer", ["adam", "adamw", "sgd", "rprop", "lbfgs", "lm", "scg", "bfgs"]
)
def test_weights_of_samples_whose_total_has_no_inverse_in_float32(optimizer):
    """1 / 2e-39 is above 3e38, the largest number; weights that are all equal change nothing."""
    rng = np.random.default_rng(0)
    net = mlpcore.Network((2, 5, 1), dtype="float32")
    X = rng.normal(size=(20, 2))
    ones, tiny = (
        mlpcore.train(
            net, net.init(0), X, np.sin(2 * X[:, 0]),
            optimizer=optimizer, epochs=5, sample_weight=np.full(20, s),
        )
        for s in (1, 1e-40)
    )  # fmt: skip
    assert tiny.stopped == "epochs"
    # 1e-40 itself has five digits.
    np.testing.assert_allclose(tiny.w, ones.w, rtol=1e-2, atol=1e-3)
    errors = (result.history["training_error"] for result in (tiny, ones))
    np.testing.assert_allclose(*errors, rtol=1e-2)


def test_rprop_sees_the_signs_of_slopes_whose_squares_are_nothing():
    """Of 1e-25 in float32: steps grow by 1.2 for as long as the sign stays."""
    weights = []
    for dtype in ("float64", "float32"):
        net = mlpcore.Network((1, 1, 1), "sigmoid", dtype=dtype)
        w, X = [1, -60, 1, 0], [[1.0], [2.0]]  # h = e^-59 and e^-58
        options = {"optimizer": "rprop", "learning_rate": 0.01, "epochs": 18}
        assert 0 < np.abs(net.gradient(w, X, X)[:3]).max() < 1e-24
        weights.append(mlpcore.train(net, w, X, X, **options).w)
    double, single = weights
    assert double[0] > 2  # 1 + 0.01 (1 + 1.2 + 1.2^2 + ...)
    np.testing.assert_allclose(single, double, rtol=1e-5)


def test_a_long_gradient_beyond_float32_is_clipped():
    net = mlpcore.Network((1, 1), dtype="float32")
    X, T = [[100.0]], [[1e18]]
    weights = []
    options = {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 1.0, "epochs": 1}
    options["callback"] = lambda *given: weights.append(given[-1])
    mlpcore.train(net, [0, 0], X, T, clip_norm=1.0, **options)
    assert np.allclose(weights[-1], [1, 0.01], rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("gap", [0.1, 2, 20, 40, 80])
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_a_sure_output_has_an_exact_error_and_gradient(output, gap, dtype):
    """E = ln(1 + r) and dE/dz = -r / (1 + r), where r << eps is all that is wrong with y."""
    net = mlpcore.Network((1, 1 if output == "sigmoid" else 3), output=output, dtype=dtype)
    w = [gap, 0] if output == "sigmoid" else [gap, 0, -gap, 0, 0, 0]
    error, gradient = net.error_and_gradient(w, [[1]], [1] if output == "sigmoid" else [0])
    terms = [np.exp(-gap)] if output == "sigmoid" else np.exp([-gap, -2 * gap])
    rtol = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(error, np.log1p(np.sum(terms)), rtol=rtol)
    y = np.array(terms) / (1 + np.sum(terms))
    expected = [-y.sum(), *y] if output == "softmax" else -y
    tiny = np.finfo(dtype).tiny
    np.testing.assert_allclose(net.unpack(gradient)[0][1], expected, rtol=rtol, atol=tiny)
