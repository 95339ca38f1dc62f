"""Newton's method: down to rounding, away from saddles, along what hardly bends."""

from __future__ import annotations

import numpy as np
import pytest
from cases import assert_close
from optima import (
    ALPHA,
    LINEAR,
    SMALL,
    Absolute,
    Around,
    AroundByDifferences,
    optimum_of,
    refit,
    regularized,
    saddle,
)

import mlpcore
from mlpcore.regularizers import L1, ConsistentPrior, Regularizer, WeightDecay


class Together(Regularizer):
    """The slope of one weight depends on another, which is 0."""

    def value(self, net, w):
        return np.hypot(w[0] - w[1], 1e-3) + 1e-6 * w @ w

    def gradient(self, net, w):
        slope = (w[0] - w[1]) / np.hypot(w[0] - w[1], 1e-3)
        return np.array([slope, -slope, 0]) + 2e-6 * w


@pytest.mark.parametrize(("kind", "max_steps"), [("exact", 100), ("gauss_newton", 2000)])
def test_a_saddle_is_left(kind, max_steps):
    net, w, X, T = saddle()
    old = mlpcore.Optimum(net, w, X, T, weight_decay=0.01, kind=kind, max_steps=max_steps)
    assert old.converged
    H = net.hessian(old.w, X, T) + 0.01 * np.eye(w.size)
    assert np.linalg.eigvalsh(H)[0] > 1e-3
    assert net.error(old.w, X, T) < 0.2 * net.error(w, X, T)


@pytest.mark.parametrize("kind", ["exact", "gauss_newton"])
def test_a_saddle_is_no_minimum(kind):
    old = mlpcore.Optimum(*saddle(), weight_decay=0.1, kind=kind, max_steps=0)
    assert not old.converged  # though the gradient is zero
    with pytest.raises(ValueError, match="optimum has not converged: after 0 steps"):
        mlpcore.leave_one_out(old)


def test_a_saddle_is_handed_on():
    old = mlpcore.Optimum(*saddle(), weight_decay=0.1, max_steps=0)
    new = mlpcore.retrain(old, max_steps=0)
    assert (old.converged, new.converged) == (False, False)
    new = mlpcore.retrain(old)
    assert new.converged
    assert new.net.error(new.w, new.X, new.T) < 0.2 * new.net.error(old.w, new.X, new.T)


@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_what_becomes_a_saddle_is_left(mean):
    """By symmetry neither gradient nor steps show that a change of the targets makes it one."""
    net, w, X, T = saddle()
    old = mlpcore.Optimum(net, w, X, 0.01 * T, weight_decay=1.0)
    assert (old.converged, np.abs(old.w).max() < 1e-12) == (True, True)
    new = mlpcore.retrain(old, add=([[1.0], [-1.0]], [mean + 10, mean - 10]))
    assert new.converged
    assert np.abs(new.w[:2]).min() > 0.1
    H = net.hessian(new.w, new.X, new.T) + np.eye(w.size)
    assert np.linalg.eigvalsh(H)[0] > 0.1


def test_a_saddle_that_no_step_leaves_is_no_minimum(monkeypatch):
    monkeypatch.setattr(mlpcore.newton, "_search_aside", lambda *_: None)
    for kind in ("exact", "gauss_newton"):
        assert not mlpcore.Optimum(*saddle(), weight_decay=0.1, kind=kind).converged


@pytest.mark.parametrize("W", [3, 40])
@pytest.mark.parametrize("lowest", [0.3, 1e-9, -1e-9, -0.3, -30.0])
def test_a_minimum_is_known_by_products(W, lowest, monkeypatch):
    """With the factor of a matrix from nearby; where it is nearly singular they need not tell."""
    rng = np.random.default_rng(W)
    near, Q = np.diag(np.logspace(-6, 6, W)), np.linalg.qr(rng.normal(size=(W, W)))[0]
    change = Q * np.append(rng.uniform(0.9, 1.1, size=W - 1), lowest) @ Q.T
    H = np.sqrt(near) @ change @ np.sqrt(near)  # of which these are the eigenvalues beside `near`
    net = mlpcore.Network((W - 1, 1))
    monkeypatch.setattr(type(net), "hessian_vector_product", lambda _, w, v, *a, **b: H @ v)
    f = mlpcore.Optimum(net, np.zeros(W), np.ones((1, W - 1)), [0.0], weight_decay=1)._objective
    factor = mlpcore.hessian_factor.Factor(np.diag(np.diag(near) ** -0.5))
    known = mlpcore.newton._is_minimum(f, np.zeros(W), factor)
    assert known == (lowest > 0) or lowest == 1e-9


def test_the_last_steps_need_no_digits_of_the_error():
    """Residuals of 1e-6 beside targets of 1: F is known to about 1e-12 of itself."""
    rng = np.random.default_rng(4)
    net, X = mlpcore.Network((3, 4, 1)), rng.normal(size=(20000, 3))
    teacher = net.init(seed=4)
    t = net.forward(teacher, X)[:, 0] + 1e-6 * rng.normal(size=20000)
    start = teacher + 1e-3 * rng.normal(size=net.n_weights)
    old = mlpcore.Optimum(net, start, X, t)
    assert old.converged
    assert old.steps < 20
    assert old.gradient_norm < 1e-10


@pytest.mark.parametrize("kind", ["exact", "gauss_newton"])
@pytest.mark.parametrize("of", [Around, AroundByDifferences])
def test_saturated_units_are_held_by_the_regularizer(of, kind):
    """Theirs is all the curvature, far below what the size of X and T lets one expect."""
    rng = np.random.default_rng(37)
    X, t = 1e3 * rng.normal(size=(12, 3)), 1e4 * rng.normal(size=12)
    net = mlpcore.Network((3, 3, 1))
    mean = np.round(net.init(seed=0) * 4) + 0.5  # x.w is some hundreds in size
    start = mean + 0.1 * rng.normal(size=net.n_weights)
    old = mlpcore.Optimum(net, start, X, t, regularizer=of(mean, 0.1), kind=kind)
    assert old.converged
    assert old.steps < 5
    assert_close(old.w[:9], mean[:9], 1e-12)
    signs = np.tanh(X @ mean[:9].reshape(3, 3).T + mean[9:12])
    assert (np.abs(signs) == 1).all()
    Z = np.c_[signs, np.ones(12)]  # what is left is ridge regression
    H = Z.T @ Z + 0.1 * np.eye(4)
    assert_close(old.w[12:], np.linalg.solve(H, Z.T @ t + 0.1 * mean[12:]), 1e-9)
    hat = Z @ np.linalg.solve(H, Z.T)
    left_out = mlpcore.leave_one_out(old)
    assert_close(left_out.leverage, np.diag(hat), 1e-9)
    assert_close(mlpcore.k_fold_predictions(old, np.arange(12)), left_out.y, 1e-9)


@pytest.mark.parametrize("seed", [3, 5, 16, 37])
def test_saturated_units_are_no_minimum(seed):
    """Their weights decay, though F hardly says so, until the data hold them."""
    rng = np.random.default_rng(seed)
    X, t = 1e3 * rng.normal(size=(12, 3)), 1e4 * rng.normal(size=12)
    net = mlpcore.Network((3, 3, 1))
    old = mlpcore.Optimum(net, net.init(seed=seed), X, t, weight_decay=0.1)
    H = net.hessian(old.w, X, t) + 0.1 * np.eye(net.n_weights)
    g = net.gradient(old.w, X, t) + 0.1 * old.w
    decrement = g @ np.linalg.solve(H, g)
    F, start = (net.error(w, X, t, regularizer=WeightDecay(0.1)) for w in (old.w, net.init(seed)))
    assert F < start
    relative = decrement / net.error(old.w, X, t)
    assert old.converged or not 0 <= relative < 1e-22  # which of the seeds do hinges on rounding
    if old.converged:
        assert 0 <= relative < 1e-20
        assert np.isfinite(mlpcore.leave_one_out(old).y).all()


@pytest.mark.parametrize("kind", ["exact", "gauss_newton"])
@pytest.mark.parametrize("start", [1e-4, 0.5, -20.0])
@pytest.mark.parametrize("epsilon", [1e-6, 1e-3, 0.1])
@pytest.mark.parametrize("of", [L1, Absolute])
def test_a_weight_without_data_far_out_on_l1(of, epsilon, start, kind):
    """Its curvature is all there is, and so small that Newton's step is up to 1e16 long."""
    X = np.random.default_rng(0).normal(size=(3000, 2))
    X[:, 1] = 0
    w, R = [1.0, start, 0.0], of(1.0, epsilon)
    old = mlpcore.Optimum(mlpcore.Network((2, 1)), w, X, X[:, 0], regularizer=R, kind=kind)
    assert old.converged
    seen = of is L1 or epsilon > 1e-5  # by differences an epsilon of 1e-6 is not
    assert old.steps < (15 if seen else 60)
    assert np.abs(old.w[1]) < 1e-9 * epsilon
    gradient = old.net.gradient(old.w, X, X[:, 0], regularizer=R)
    assert np.abs(gradient).max() < 1e-9
    H = old.net.hessian(old.w, X, X[:, 0], regularizer=R)
    if seen:  # what `retrain` begins with is not that of a step which was shortened
        np.testing.assert_allclose(old._factor.solve(H @ np.ones(3)), 1, rtol=0.2)
    assert np.isfinite(mlpcore.leave_one_out(old).y).all()


def test_a_weight_of_zero_that_another_moves():
    X = np.zeros((20, 2))
    old = mlpcore.Optimum(
        mlpcore.Network((2, 1)), [5.0, 0.0, 0.0], X, X[:, 0], regularizer=Together()
    )
    assert old.converged
    assert np.abs(old.w).max() < 1e-6


def test_far_from_the_mean_of_a_parabola():
    """Where R is what its derivatives say, a step may be as far as it likes."""
    X = np.random.default_rng(0).normal(size=(30, 2))
    X[:, 1] = 0
    R = Around(1e6, 1e-9)
    old = mlpcore.Optimum(mlpcore.Network((2, 1)), np.full(3, 1e-3), X, X[:, 0], regularizer=R)
    assert (old.converged, old.w[1]) == (True, pytest.approx(1e6, rel=1e-12))
    assert old.steps < 5


def test_differences_of_rounding_hold_nothing():
    """Far out on the absolute value they are above 0 as often as not."""
    X = np.random.default_rng(0).normal(size=(30, 20))
    X[:, 1:] = 0
    net, w = mlpcore.Network((20, 1)), np.linspace(1, 2, 21)
    absolute = Absolute(1.0, 1e-6)
    assert (absolute.hessian_diagonal(net, w)[1:20] > 0).any()
    sharp = L1(1.0, 1e-6)
    for R, expected in (
        (sharp, True),
        (absolute, False),
        (AroundByDifferences(2.0, 1e-6), True),
        (sharp + absolute, True),
    ):
        f = mlpcore.Optimum(net, w, X, X[:, 0], regularizer=R, max_steps=0)._objective
        H = np.diag(f.net.hessian_diagonal(w, f.X, f.T) + R.hessian_diagonal(net, w))
        assert (f.held(w, H)[1:20] == expected).all()


def test_a_maximum_where_a_shortened_step_ends():
    """At 0, where L1 would have its minimum, and this one has a bump."""

    class Bump(Absolute):
        def value(self, net, w):
            return super().value(net, w) + self.epsilon * np.exp(-((w / self.epsilon) ** 2)).sum()

        def gradient(self, net, w):
            bump = -2 * w / self.epsilon * np.exp(-((w / self.epsilon) ** 2))
            return super().gradient(net, w) + bump

    X = np.random.default_rng(0).normal(size=(30, 2))
    X[:, 1] = 0
    net, R = mlpcore.Network((2, 1)), Bump(1.0, 0.01)
    old = mlpcore.Optimum(net, [1.0, 0.5, 0.0], X, X[:, 0], regularizer=R)
    assert old.converged
    assert 0.005 < np.abs(old.w[1]) < 0.05
    assert R.hessian_diagonal(net, old.w)[1] > 1


@pytest.mark.parametrize(("rise", "share"), [(1e-14, 1), (1e-12, 0.5), (1e-7, 0.5)])
def test_the_slope_is_asked_within_the_rounding_of_the_error_alone(rise, share, monkeypatch):
    """Beyond a hump it is flat, or leads down again, and higher all the same."""

    def value_and_gradient(f, w):
        return 1 + rise * float(w[0] == 1), -1e-20 * np.ones(w.size)

    old = optimum_of(LINEAR)
    f = old._objective
    monkeypatch.setattr(type(f), "value_and_gradient", value_and_gradient)
    w, d = np.zeros(5), np.ones(5)
    there, _, _ = mlpcore.newton._search(f, w, 1.0, d, 1e-18)
    assert (there == share).all()


@pytest.mark.parametrize("seed", range(4))
def test_gauss_newton_goes_on_to_rounding(seed):
    """Its steps shrink slowly, and now and then one grows."""
    rng = np.random.default_rng(seed)
    X = np.linspace(-1, 1, 30)[:, None]
    t = np.sin(3 * X[:, 0]) + 0.3 * rng.normal(size=30)
    net = mlpcore.Network((1, 3, 1))
    start = mlpcore.minimize(net, net.init(seed=0), X, t, method="lm", weight_decay=0.1).w
    exact = mlpcore.Optimum(net, start, X, t, weight_decay=0.1)
    start = exact.w + 1e-2 * rng.normal(size=net.n_weights)
    options = {"weight_decay": 0.1, "kind": "gauss_newton"}
    old = mlpcore.Optimum(net, start, X, t, **options)
    assert old.converged
    assert_close(old.w, exact.w, 1e-10)
    new = mlpcore.retrain(old, remove=[3])
    assert new.converged
    assert_close(new.w, mlpcore.Optimum(net, new.w, new.X, new.T, weight_decay=0.1).w, 1e-10)
    few = mlpcore.Optimum(net, start, X, t, **options, max_steps=20)
    assert few.converged == (np.abs(few.w - exact.w).max() < 1e-10)


def test_fits_without_residuals_converge():
    """F itself is rounding there, and so is what each step gains."""
    net = mlpcore.Network((2, 3, 1))
    for seed in range(9):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(60, 2))
        teacher = net.init(seed + 100, "normal")
        net.unpack(teacher)[0][0][...] *= 2
        T = 1e3 * net.forward(teacher, X)
        start = teacher + 1e-3 * rng.normal(size=net.n_weights)
        net.unpack(start)[1][0][...] *= 1e3
        net.unpack(start)[1][1][...] *= 1e3
        old = mlpcore.Optimum(net, start, X, T)
        assert old.converged, seed
        assert net.error(old.w, X, T) < 1e-27 * (T**2).sum()
    line = mlpcore.Network((2, 1))
    for seed in range(9):
        for T in (np.full(60, 2.0), X @ rng.normal(size=2)):
            assert mlpcore.Optimum(line, line.init(seed), X, T).converged


def test_a_separable_problem_has_no_minimum():
    """F goes to 0 as w goes to infinity, and no floor makes an end of it."""
    net, x = mlpcore.Network((1, 1), output="sigmoid"), np.linspace(-1, 1, 20)[:, None]
    old = mlpcore.Optimum(net, [1.0, 0.0], x, x[:, 0] > 0, max_steps=1000)
    assert not old.converged


def test_large_changes_end_at_minima():
    """A quarter of the samples removed: on the way the Hessian is often indefinite."""
    net = mlpcore.Network((2, 4, 1))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(40, 2))
        T = np.sin(X.sum(axis=1, keepdims=True)) + 0.1 * rng.normal(size=(40, 1))
        start = mlpcore.minimize(net, net.init(seed), X, T, method="lm", weight_decay=0.1)
        old = mlpcore.Optimum(net, start.w, X, T, weight_decay=0.1)
        new = mlpcore.retrain(old, remove=np.arange(10))
        assert new.converged
        H = net.hessian(new.w, new.X, new.T) + 0.1 * np.eye(net.n_weights)
        assert np.linalg.eigvalsh(H)[0] > -1e-12


def test_far_from_the_minimum_it_still_descends():
    case = SMALL["linear"]
    net, (w, X, T, s) = case.network(), case.problem()
    old = mlpcore.Optimum(net, 3 * w, X, T, s, weight_decay=ALPHA, max_steps=300)
    assert old.converged
    np.linalg.cholesky(net.hessian(old.w, X, T, s) + ALPHA * np.eye(w.size))


def test_a_regularizer_that_is_not_convex():
    """Steps go downhill where neither Hessian nor Gauss-Newton with R is positive definite."""

    class TwoWells(Regularizer):
        def value(self, net, w):
            return float(((w**2 - 1) ** 2).sum() - 1000)  # and an error below zero

        def gradient(self, net, w):
            return 4 * w * (w**2 - 1)

    net, R = mlpcore.Network((2, 3, 1)), TwoWells()
    X = np.random.default_rng(0).normal(size=(5, 2))
    old = mlpcore.Optimum(net, 0.05 * net.init(0, "normal"), X, X[:, 0], regularizer=R)
    assert old.converged
    assert net.error(old.w, X, X[:, 0], regularizer=R) < -999
    assert np.isfinite(mlpcore.leave_one_out(old).y).all()


def test_l1_as_sharp_as_it_comes():
    """With weights at the bottom of their corners and others far from theirs."""
    old = regularized(L1(0.5, biases=True), SMALL["linear"])
    new = mlpcore.retrain(old, remove=[3])
    assert old.converged
    assert new.converged
    assert (np.abs(new.w) < 1e-3).any()
    assert_close(new.w, refit(new, new.X, new.T, new.sample_weight), 1e-5)


@pytest.mark.parametrize(("layers", "n"), [((1, 1, 1), 40), ((1, 2, 1), 8)], ids=str)
def test_dead_units_with_a_free_bias(layers, n):
    """H is singular, or positive by rounding alone, and makes conjugate gradients overflow."""
    net, random = mlpcore.Network(layers, "relu"), np.random.default_rng(7)
    prior = ConsistentPrior([0.1, 0.1])
    X, T, start = random.normal(size=(n, 1)), random.normal(size=n), net.init(7)
    if n == 40:
        X, start = np.linspace(-1, 1, n)[:, None], np.zeros(net.n_weights)
        T = X[:, 0] + 1
    old = mlpcore.Optimum(net, start, X, T, regularizer=prior)
    assert np.isfinite(old.w).all()


@pytest.mark.parametrize("kind", ["exact", "gauss_newton"])
def test_a_weight_that_is_nothing_but_its_last_bits(kind):
    net = mlpcore.Network((2, 2, 3), "gelu")
    hidden = [1.1e-15, 2.4e-299, 1.94e-10, 3.27674024e-9, -2.3e-14, -4.1e-9]
    below = [-9.88131292e-324, 2.69e-9, -1.6e-14, 3.62e-9, -3.3e-15, 7.48e-10]
    w = [*hidden, *below, -0.729960653, -0.984378651, -0.203313962]
    X, T = [[-0.04731721, -0.79997858]], [[-0.80295672, -1.08281652, -0.22364536]]
    assert mlpcore.Optimum(net, w, X, T, [3.0], weight_decay=0.3, kind=kind).converged


def test_a_flat_direction_of_symmetry_is_no_end():
    """Of identity units all of the first two layers turn together: e = -O(|g|) beside g = 1e-10."""
    net = mlpcore.Network((3, 2, 1), "identity")
    for seed in range(60):
        random = np.random.default_rng(seed)
        X, T = random.normal(size=(5, 3)), random.normal(size=5)
        w = mlpcore.minimize(net, net.init(seed), X, T, weight_decay=0.3).w
        assert mlpcore.Optimum(net, w, X, T, weight_decay=0.3).converged, seed
