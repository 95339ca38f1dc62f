"""The optimum: that of the regularized error, in either dtype, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from cases import assert_close
from optima import (
    ALPHA,
    SMALL,
    Around,
    Own,
    each_regularizer,
    optimum_of,
    refit,
    regularized,
    second_derivative,
)

import mlpcore
from mlpcore.regularizers import ARD, ConsistentPrior, WeightDecay

NET = mlpcore.Network((3, 4, 1))
DATA = {"net": NET, "w": NET.init(seed=0), "X": np.zeros((30, 3)), "T": np.zeros(30)}


@each_regularizer
def test_the_optimum_is_that_of_the_regularized_error(R):
    old = regularized(R)
    assert old.converged
    assert old.regularizer is R
    net, data = old.net, (old.X, old.T, old.sample_weight)
    gradient = net.gradient(old.w, *data) + R.gradient(net, old.w)
    assert np.abs(gradient).max() < 1e-7
    assert_close(old.w, refit(old, *data), 1e-5)
    U = old._inverse_factor()
    H = second_derivative(lambda w: net.gradient(w, *data) + R.gradient(net, w), old.w)
    assert_close(U.T @ U @ H, np.eye(old.w.size), 1e-4)


def test_weight_decay_is_a_regularizer():
    one, other = optimum_of(SMALL["linear"]), regularized(WeightDecay(ALPHA), SMALL["linear"])
    assert (one.w == other.w).all()
    assert (mlpcore.leave_one_out(one).y == mlpcore.leave_one_out(other).y).all()
    both = optimum_of(SMALL["linear"], alpha=0.2, regularizer=WeightDecay(ALPHA - 0.2))
    assert both.weight_decay == 0.2
    assert_close(both.w, one.w, 1e-10)
    assert_close(mlpcore.leave_one_out(both).y, mlpcore.leave_one_out(one).y, 1e-9)


@each_regularizer
def test_regularized_gauss_newton(R):
    """R whole beside the Gauss-Newton part of the error."""
    old = regularized(R, kind="gauss_newton")
    H = old.net.hessian(old.w, old.X, old.T, old.sample_weight, "gauss_newton")
    H += second_derivative(lambda w: R.gradient(old.net, w), old.w)
    U = old._inverse_factor()
    assert_close(U.T @ U @ H, np.eye(old.w.size), 1e-5)


@pytest.mark.parametrize(
    ("diagonal", "exception", "message"),
    [
        (lambda w: np.ones((w.size, 1)), ValueError, r"has shape \(9, 1\), expected \(9,\)$"),
        (lambda w: 1.0, ValueError, r"has shape \(\), expected \(9,\)$"),
        (lambda w: None, TypeError, "has dtype object, expected real numbers"),
        (lambda w: np.full(w.size, np.nan), ValueError, r"\[0\] is nan$"),
    ],
)
def test_a_diagonal_of_ones_own_is_checked(diagonal, exception, message):
    class Wrong(Own):
        def hessian_diagonal(self, net, w):
            return diagonal(w)

    net, X = mlpcore.Network((2, 2, 1)), np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(exception, match=f"the regularizer's hessian_diagonal ?{message}"):
        mlpcore.Optimum(net, net.init(0), X, X[:, 0], regularizer=Wrong())


def test_a_diagonal_of_ones_own_has_a_copy():
    class InPlace(Around):
        def hessian_diagonal(self, net, w):
            w *= 0
            return w + self.alpha

    net, X = mlpcore.Network((2, 2, 1)), np.random.default_rng(0).normal(size=(20, 2))
    one, other = (
        mlpcore.Optimum(net, net.init(0), X, X[:, 0], regularizer=of(1.0, 0.3))
        for of in (InPlace, Around)
    )
    assert (one.w == other.w).all()


def test_float32():
    double = optimum_of(SMALL["linear"])
    net = mlpcore.Network(double.net.layers, dtype="float32")
    data = (a.astype("float32") for a in (double.w, double.X, double.T, double.sample_weight))
    single = mlpcore.Optimum(net, *data, weight_decay=ALPHA)
    assert single.converged
    assert_close(mlpcore.leave_one_out(single).y, mlpcore.leave_one_out(double).y, 1e-5)


def test_targets_that_sum_to_one_in_float32():
    """What the network of float32 accepts, its optimum does."""
    case = SMALL["softmax"]
    net = mlpcore.Network(case.layers, case.hidden, case.output, dtype="float32")
    w, X, T, _ = (None if a is None else a.astype("float32") for a in case.problem())
    off = T * np.float32(0.99999)
    old = mlpcore.Optimum(net, w, X, off, weight_decay=ALPHA)
    assert_close(old.T.sum(axis=1), np.ones(case.n), 1e-15)
    assert_close(old.T, T.astype(float), 1e-6)
    new = mlpcore.retrain(old, add=(X[:2], off[:2]), sample_weight=2 * old.sample_weight)
    assert_close(new.T[-2:], old.T[:2], 1e-15)
    with pytest.raises(ValueError, match=r"T\[0\] sums to 0.9"):
        mlpcore.Optimum(net, w, X, T * np.float32(0.99), weight_decay=ALPHA)


def test_repr():
    old = optimum_of(SMALL["linear"])
    assert "converged in" in repr(old)
    assert "regularizer" not in repr(old)
    assert "  regularizer      WeightDecay(alpha=1, " in repr(regularized(WeightDecay(1)))
    left_out = mlpcore.leave_one_out(old)
    assert f"{left_out.error:.6g} in all" in repr(left_out)
    assert "leverage" in repr(left_out)


@pytest.mark.parametrize(
    ("argument", "value", "exception", "message"),
    [
        ("net", "net", TypeError, "net is a str, expected a mlpcore.Network"),
        ("w", np.zeros((2, 21)), ValueError, r"w has shape \(2, 21\), expected \(21,\)"),
        ("w", np.zeros(5), ValueError, r"w has shape \(5,\), expected \(21,\)"),
        ("X", np.full((30, 3), np.nan), ValueError, "X is not finite"),
        ("T", np.zeros(9), ValueError, r"T has shape \(9,\), expected \(30, 1\)"),
        ("sample_weight", -np.ones(30), ValueError, r"sample_weight\[0\] is -1"),
        ("sample_weight", np.zeros(30), ValueError, "no sample has a positive weight"),
        ("weight_decay", -1, ValueError, "weight_decay is -1.0, expected a number at least 0"),
        ("regularizer", 0.1, TypeError, "regularizer is a float, expected a mlpcore.regularizers"),
        ("regularizer", ARD([1.0]), ValueError, "alphas has 1 numbers, expected 3, one for each"),
        ("kind", "fisher", ValueError, "kind is 'fisher', expected one of exact, gauss_newton"),
        ("max_steps", -1, ValueError, "max_steps is -1, expected a whole number"),
    ],
)
def test_refused_optima(argument, value, exception, message):
    with pytest.raises(exception, match=message):
        mlpcore.Optimum(**{**DATA, "weight_decay": 1.0, argument: value})


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("value", "the error or its gradient is not finite at the start"),
        ("gradient", "the error or its gradient is not finite at the start"),
        ("hessian_vector_product", "the Hessian is not finite"),
    ],
)
def test_a_regularizer_without_numbers(method, message):
    class Wrong(Own):
        pass

    nothing = {"value": np.nan, "gradient": np.full(21, np.nan)}
    setattr(Wrong, method, lambda *_: nothing.get(method, np.full((21, 21), np.nan)))
    with pytest.raises(ValueError, match=message):
        mlpcore.Optimum(**DATA, regularizer=Wrong())


@pytest.mark.parametrize("hidden", ["relu", "leaky_relu"])
def test_a_minimum_on_a_corner_is_not_found(hidden):
    """One target is far below: right of the corner it pulls the sum back, left of it hardly."""
    x, t = np.linspace(-1, 1, 21)[:, None], np.zeros(21)
    t[13:] = x[13:, 0] - x[12, 0]
    t[12] = -2.0
    net = mlpcore.Network((1, 1, 1), hidden)
    start = [1.0, -x[12, 0], 1.0, 0.0] + 0.1 * np.random.default_rng(0).normal(size=4)
    start = mlpcore.minimize(net, start, x, t, weight_decay=0.01).w
    old = mlpcore.Optimum(net, start, x, t, weight_decay=0.01)
    assert not old.converged
    assert abs(old.w[0] * x[12, 0] + old.w[1]) < 1e-12


def test_fewer_targets_than_weights():
    few = {**DATA, "X": np.random.default_rng(0).normal(size=(20, 3)), "T": np.zeros(20)}
    with pytest.raises(ValueError, match="weight_decay is 0 with 20 targets for 21 weights"):
        mlpcore.Optimum(**few)
    old = mlpcore.Optimum(**few, weight_decay=0.1)
    assert old.converged
    assert mlpcore.Optimum(**few, regularizer=WeightDecay(0.1)).converged
    assert mlpcore.Optimum(**few, regularizer=ConsistentPrior([0.1, 0.1])).w.size == 21  # 5 free
    few["sample_weight"] = np.arange(20) < 4
    with pytest.raises(ValueError, match="4 targets for 5 weights that regularizer leaves free"):
        mlpcore.Optimum(**few, regularizer=ConsistentPrior([0.1, 0.1]))


@pytest.mark.parametrize(("K", "rows"), [(1, 5), (1, 16), (2, 10)])
def test_fewer_different_rows_than_weights(K, rows):
    """Targets at one place determine no more than their mean."""
    rng = np.random.default_rng(0)
    net = mlpcore.Network((2, 4, K))  # 17 weights, or 22
    X, T = np.repeat(rng.normal(size=(rows, 2)), 6, axis=0), rng.normal(size=(6 * rows, K))
    X[:6] = 0.0
    X[1] = -0.0  # which is the same
    order = rng.permutation(6 * rows)
    X, T = X[order], T[order]
    words = (
        f"weight_decay is 0 with {rows * K} targets at different rows of X for {net.n_weights} w"
    )
    with pytest.raises(ValueError, match=words):
        mlpcore.Optimum(net, net.init(0), X, T)
    assert mlpcore.Optimum(net, net.init(0), X, T, weight_decay=0.1).converged
    # Others don't count without a weight, and are enough with one.
    X, T = np.append(X, rng.normal(size=(20, 2)), 0), np.append(T, rng.normal(size=(20, K)), 0)
    others = np.arange(6 * rows, len(X))
    with pytest.raises(ValueError, match=words):
        mlpcore.Optimum(net, net.init(0), X, T, np.isin(np.arange(len(X)), others, invert=True))
    old = mlpcore.Optimum(net, net.init(0), X, T, max_steps=0)
    with pytest.raises(ValueError, match=words):
        mlpcore.retrain(old, remove=others)
