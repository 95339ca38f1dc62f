"""Samples and folds left out, and influence: against closed forms, refits, and differences."""

from __future__ import annotations

import numpy as np
import pytest
from cases import Case, assert_close
from optima import (
    ALPHA,
    NEEDED,
    REGULARIZERS,
    SMALL,
    Around,
    Own,
    cases_but,
    each_regularizer,
    optimum_of,
    regularized,
    ridge,
    second_derivative,
    small_cases,
    without,
)

import mlpcore
from mlpcore import _core, reference, reference_retraining
from mlpcore.reference_optimizers import Objective


@pytest.mark.parametrize("alpha", [0.0, 3.0])
@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("corrected", [True, False])
def test_linear_regression(K, alpha, corrected):
    """PRESS, the samples' influence and folds, each against a least-squares fit of its own."""
    case = Case((4, K), n=40, weighted=True)
    old = optimum_of(case, alpha)
    X, T, s = old.X, old.T, old.sample_weight
    w = ridge(X, T, s, alpha)
    assert_close(old.w, np.concatenate([w[:, :-1].ravel(), w[:, -1]]), 1e-7)
    left_out = mlpcore.leave_one_out(old)
    X_new = np.random.default_rng(0).normal(size=(7, 4))
    influences = mlpcore.influence(old, X_new, corrected=corrected)
    Z_new = np.concatenate([X_new, np.ones((7, 1))], axis=1)
    for n in range(len(X)):
        stay = np.arange(len(X)) != n
        w_n = ridge(X[stay], T[stay], s[stay], alpha)
        y = w_n @ np.append(X[n], 1)
        assert_close(left_out.y[n], y, 1e-7)
        assert_close(left_out.residuals[n], T[n] - y, 1e-7, floor=1)
        shrunk = 1 if corrected else 1 - left_out.leverage[n]
        assert_close(influences[n], Z_new @ (w_n - w).T * shrunk, 1e-7, floor=1)
    press = 0.5 * (s[:, None] * left_out.residuals**2).sum()
    assert left_out.error == pytest.approx(press, rel=1e-12)
    if alpha == 0:
        assert left_out.leverage.sum() == pytest.approx(5)  # the trace of the hat matrix

    folds = np.arange(len(X)) % 4
    y = mlpcore.k_fold_predictions(old, folds)
    for fold in range(4):
        rest, own = folds != fold, folds == fold
        w_n = ridge(X[rest], T[rest], s[rest], alpha)
        assert_close(y[own], X[own] @ w_n[:, :-1].T + w_n[:, -1], 1e-7)


def test_linear_regression_by_hand():
    """The mean of 1, 2, 6 without each."""
    net = mlpcore.Network((1, 1))
    old = mlpcore.Optimum(net, [0.0, 0.0], [[0.0], [0], [0]], [1.0, 2, 6], weight_decay=1e-9)
    assert_close(mlpcore.leave_one_out(old).y[:, 0], np.array([4, 3.5, 1.5]), 1e-8)
    assert_close(mlpcore.leave_one_out(old).leverage, np.full(3, 1 / 3), 1e-8)


@pytest.mark.parametrize("value", [1.0, 3.3, 1e7])
def test_an_input_of_one_sample_alone(value):
    """Its leverage is 1 whatever rounding says; its weight stays, for nothing else is known."""
    rng = np.random.default_rng(0)
    net, X, T = mlpcore.Network((3, 1)), rng.normal(size=(20, 3)), rng.normal(size=20)
    X[:, 2] = 0
    X[7, 2] = value
    for scale in (1.0, 1.1, 1.7, 2.3):
        old = mlpcore.Optimum(net, np.zeros(4), X, scale * T)
        left_out = mlpcore.leave_one_out(old)
        assert_close(left_out.leverage[7], 1.0, 1e-12)
        assert_close(left_out.y[7, 0], scale * T[7], 1e-7)
        assert np.abs(mlpcore.influence(old, X)[7]).max() < 1e-6


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_leverages_of_one(output, monkeypatch):
    """Where the small system is singular: B A = 1, in all samples."""
    old = optimum_of(SMALL[output])
    f, U = old._objective, old._inverse_factor()
    root = mlpcore.leaving_out.curvature_root

    def to_leverage_1(output, y):
        R = root(output, y)
        V = np.swapaxes(R, 1, 2) @ f.logits.weight_jacobian(old.w, f.X) @ U.T
        h = f.s * np.linalg.eigvalsh(V @ np.swapaxes(V, 1, 2))[:, -1]
        return R / np.sqrt(h)[:, None, None]

    monkeypatch.setattr(mlpcore.leaving_out, "curvature_root", to_leverage_1)
    left_out = mlpcore.leave_one_out(old)
    assert_close(left_out.leverage, np.ones(len(f.X)), 1e-9)
    folds = mlpcore.k_fold_predictions(old, np.arange(len(f.X)))
    assert_close(left_out.y, folds, 1e-9)


@cases_but("sigmoid")
def test_leave_one_out_against_refits(name):
    """The step is exact to second order: its error is a small part of what it predicts."""
    old = optimum_of(SMALL[name])
    net = mlpcore.Network(old.net.layers, old.net.hidden, old.net.output)
    y, left_out = net.forward(old.w, old.X), mlpcore.leave_one_out(old)
    true = np.stack([net.forward(without(old, n), old.X[n : n + 1])[0] for n in range(40)])
    moved = np.abs(true - y[:40]).mean()
    assert moved > 1e-3
    assert np.abs(left_out.y[:40] - true).mean() < 0.2 * moved
    assert np.median(np.abs(left_out.y[:40] - true)) < 0.05 * (old.T[:40] - true).std()
    assert left_out.error == pytest.approx(
        sum(
            s * row_error(old.net.output, t, y)
            for s, t, y in zip(old.sample_weight, old.T, left_out.y, strict=True)
        )
    )
    assert ((left_out.leverage > 0) & (left_out.leverage < 1)).all()


def row_error(output, t, y):
    if output == "linear":
        return 0.5 * ((y - t) ** 2).sum()
    if output == "softmax":
        return -(t * np.log(y)).sum()
    return -(t * np.log(y) + (1 - t) * np.log(1 - y)).sum()


@small_cases
def test_the_reference(name):
    case = SMALL[name]
    old = optimum_of(case)
    architecture = reference.Architecture(case.layers, case.hidden, case.output)
    f = Objective(architecture, old.X, old.T, old.sample_weight, ALPHA)
    expected = reference_retraining.leave_one_out(f, old.w)
    assert_close(mlpcore.leave_one_out(old).y, expected, 1e-10)


@cases_but("sigmoid", "softmax", "labels")
def test_folds_against_refits(name):
    old = optimum_of(SMALL[name])
    net = mlpcore.Network(old.net.layers, old.net.hidden, old.net.output)
    folds = np.arange(len(old.X)) % 10
    y, before = mlpcore.k_fold_predictions(old, folds), net.forward(old.w, old.X)
    true = np.empty_like(y)
    for fold in range(10):
        rows = np.flatnonzero(folds == fold)
        true[rows] = net.forward(without(old, rows), old.X[rows])
    assert np.median(np.abs(y - true)) < 0.3 * np.median(np.abs(before - true))


def test_folds_drawn():
    old = optimum_of(SMALL["linear"])
    one, same, other = (mlpcore.k_fold_predictions(old, 5, seed=seed) for seed in (0, 0, 1))
    assert (one == same).all()
    assert not (one == other).all()


@pytest.mark.parametrize("kind", ["exact", "gauss_newton"])
def test_all_folds_together_cost_two_hessians(kind, monkeypatch):
    """Where those without a fold are positive definite; and none where there is but one fold."""
    old, samples = optimum_of(SMALL["linear-2"], kind=kind), []
    hessian = mlpcore.objective.Objective.hessian

    def counted(f, w, kind):
        samples.append(len(f.X))
        return hessian(f, w, kind)

    monkeypatch.setattr(mlpcore.objective.Objective, "hessian", counted)
    with pytest.raises(ValueError, match="folds has 3 alone, expected at least two folds"):
        mlpcore.k_fold_predictions(old, np.full(80, 3))
    assert samples == []
    mlpcore.k_fold_predictions(old, 5, seed=0)
    assert samples == [80] + 5 * [16]


def test_a_sample_without_weight_is_left_out_already():
    old = optimum_of(SMALL["linear"])
    s = old.sample_weight.copy()
    s[4] = 0
    new = mlpcore.retrain(old, sample_weight=s)
    left_out = mlpcore.leave_one_out(new)
    assert_close(left_out.y[4], new.net.forward(new.w, new.X[4:5])[0], 1e-12)
    assert left_out.leverage[4] == 0


def test_tiles(monkeypatch):
    old = optimum_of(SMALL["softmax"])
    whole, influences = mlpcore.leave_one_out(old), mlpcore.influence(old, old.X[:3])
    monkeypatch.setattr("mlpcore.leaving_out._TILE", 1000)
    assert_close(mlpcore.leave_one_out(old).y, whole.y, 1e-12)
    assert_close(mlpcore.leave_one_out(old).leverage, whole.leverage, 1e-12)
    assert_close(mlpcore.influence(old, old.X[:3]), influences, 1e-11)


@cases_but("sigmoid", "softmax")
@pytest.mark.parametrize("corrected", [True, False])
def test_influence_against_refits(name, corrected):
    old = optimum_of(SMALL[name])
    net = mlpcore.Network(old.net.layers, old.net.hidden, old.net.output)
    X = np.random.default_rng(1).normal(size=(5, 3))
    influences = mlpcore.influence(old, X, corrected=corrected)
    assert influences.shape == (len(old.X), 5, net.n_outputs)
    y = net.forward(old.w, X)
    true = np.stack([net.forward(without(old, n), X) - y for n in range(30)])
    assert np.corrcoef(influences[:30].ravel(), true.ravel())[0, 1] > 0.97
    if corrected:
        assert np.abs(influences[:30] - true).mean() < 0.2 * np.abs(true).mean()


def test_the_memory_of_influences(monkeypatch):
    old = optimum_of(SMALL["linear-2"])

    def refuse(what, n_bytes):
        raise MemoryError(f"{what}: {n_bytes:.0f} bytes")

    monkeypatch.setattr(_core, "check_memory", refuse)
    with pytest.raises(MemoryError, match=r"^influence of shape \(80, 5, 2\): 6400 bytes$"):
        mlpcore.influence(old, np.zeros((5, 3)))


@pytest.mark.parametrize("name", ["linear-2", "sigmoid", "softmax"])
def test_uncorrected_influence_is_the_derivative(name):
    """dy/ds_n, by central differences of optima (Koh and Liang, 2017, equation 1)."""
    old = optimum_of(SMALL[name])
    X = old.X[:4] + 0.2
    influences, step = mlpcore.influence(old, X, corrected=False), 1e-4
    for n in (0, 11, 50):
        y = []
        for sign in (1, -1):
            s = old.sample_weight.copy()
            s[n] += sign * step
            y.append(old.net.forward(mlpcore.retrain(old, sample_weight=s).w, X))
        slope = (y[0] - y[1]) / (2 * step)
        assert_close(influences[n], -old.sample_weight[n] * slope, 1e-6)


@each_regularizer
def test_regularized_samples_left_out_against_refits(R):
    """R is in the Hessian, whole, whichever sample is left out."""
    old = regularized(R)
    net, rows = old.net, np.arange(20)
    X = np.random.default_rng(1).normal(size=(5, 3))
    left_out, influences = mlpcore.leave_one_out(old), mlpcore.influence(old, X)
    y, y_own = net.forward(old.w, X), net.forward(old.w, old.X[rows])
    refits = [without(old, n) for n in rows]
    true = np.stack(
        [net.forward(w, old.X[n : n + 1])[0] for n, w in zip(rows, refits, strict=True)]
    )
    assert np.abs(left_out.y[rows] - true).mean() < 0.04 * np.abs(true - y_own).mean()
    true = np.stack([net.forward(w, X) - y for w in refits])
    assert np.abs(influences[rows] - true).mean() < 0.04 * np.abs(true).mean()


@each_regularizer
def test_regularized_samples_left_out_by_the_reference(R):
    old = regularized(R)
    architecture = reference.Architecture(NEEDED.layers, NEEDED.hidden, NEEDED.output)
    data = (old.X, old.T, old.sample_weight)

    def expected(second):
        def penalty(w):
            return R.value(old.net, w), R.gradient(old.net, w), second

        f = Objective(architecture, *data, penalty=penalty)
        return reference_retraining.leave_one_out(f, old.w)

    P = second_derivative(lambda w: R.gradient(old.net, w), old.w)
    assert_close(mlpcore.leave_one_out(old).y, expected(P), 1e-7)
    if not isinstance(R, Own) and R is not REGULARIZERS["sum"]:
        diagonal = R.hessian_diagonal(old.net, old.w)
        assert_close(mlpcore.leave_one_out(old).y, expected(diagonal), 1e-9)


@each_regularizer
def test_regularized_folds(R):
    """The Newton step written out, with a Hessian of differences of the gradient of the rest."""
    old = regularized(R)
    net, folds = old.net, np.arange(len(old.X)) % 10
    y = mlpcore.k_fold_predictions(old, folds)
    for fold in range(3):
        rest, own = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)

        def slope(w, rest=rest):
            g = net.gradient(w, old.X[rest], old.T[rest], old.sample_weight[rest])
            return g + R.gradient(net, w)

        w = old.w - np.linalg.solve(second_derivative(slope, old.w), slope(old.w))
        assert_close(y[own], net.forward(w, old.X[own]), 1e-5)


@each_regularizer
def test_regularized_uncorrected_influence_is_the_derivative(R):
    old = regularized(R)
    X = old.X[:4] + 0.2
    influences, step = mlpcore.influence(old, X, corrected=False), 1e-4
    s = old.sample_weight.copy()
    s[11] += step
    ahead = mlpcore.retrain(old, sample_weight=s)
    s[11] -= 2 * step
    behind = mlpcore.retrain(old, sample_weight=s)
    slope = (old.net.forward(ahead.w, X) - old.net.forward(behind.w, X)) / (2 * step)
    assert_close(influences[11], -old.sample_weight[11] * slope, 1e-5)


def test_a_diagonal_of_ones_own_is_asked_for_once(monkeypatch):
    """For all folds, and for all samples out of reach."""

    class Counted(Around):
        calls = 0

        def hessian_diagonal(self, net, w):
            self.calls += 1
            return super().hessian_diagonal(net, w)

    R = Counted(0.0, 0.5)
    old = regularized(R, SMALL["linear"], kind="gauss_newton")  # positive definite without folds
    mlpcore.leave_one_out(old)  # keeps the factor
    for folds in (2, 20):
        R.calls = 0
        mlpcore.k_fold_predictions(old, folds, seed=0)
        assert R.calls == 1
    root = mlpcore.leaving_out.curvature_root
    monkeypatch.setattr(mlpcore.leaving_out, "curvature_root", lambda *a: 30 * root(*a))
    R.calls = 0
    left_out = mlpcore.leave_one_out(old)
    assert (left_out.leverage >= 1).sum() > 40
    assert R.calls == 1


def test_the_error_of_a_saturated_sigmoid():
    """One sample far out on the wrong side: its logarithm comes from the logit, not from y = 1."""
    net = mlpcore.Network((1, 1), output="sigmoid")
    rng = np.random.default_rng(0)
    x = np.append(rng.normal(size=60), 60.0)
    t = (x + 0.5 * rng.normal(size=61) > 0).astype(float)
    t[-1] = 0
    old = mlpcore.Optimum(net, net.init(0), x[:, None], t, weight_decay=1e-3)
    left_out = mlpcore.leave_one_out(old)
    y = left_out.y[:-1, 0]
    rest = -(t[:-1] * np.log(y) + (1 - t[:-1]) * np.log1p(-y)).sum()
    # The last one alone: -log(1 - y) is about its logit, w x + b of the fit without it.
    alone = mlpcore.Optimum(net, old.w, x[:-1, None], t[:-1], weight_decay=1e-3)
    logit = alone.w[0] * 60 + alone.w[1]
    assert 0.2 * logit < left_out.error - rest < 5 * logit


def test_leverages_above_one(monkeypatch):
    """What can't be taken out by its Gauss-Newton part is taken out by its Hessian."""
    old = optimum_of(SMALL["linear"])
    expected = mlpcore.k_fold_predictions(old, np.arange(len(old.X)))
    root = mlpcore.leaving_out.curvature_root
    monkeypatch.setattr(mlpcore.leaving_out, "curvature_root", lambda *a: 30 * root(*a))
    left_out = mlpcore.leave_one_out(old)
    out = left_out.leverage >= 1
    assert out.sum() > 40
    assert_close(left_out.y[out], expected[out], 1e-9)
    whole = []
    hessian = mlpcore.objective.Objective.hessian

    def counted(f, w, kind):
        whole.append(len(f.X) == len(old.X))
        return hessian(f, w, kind)

    monkeypatch.setattr(mlpcore.objective.Objective, "hessian", counted)
    mlpcore.leave_one_out(old)
    assert sum(whole) == 1


def test_constant_targets_and_repeated_rows():
    net = mlpcore.Network((2, 3, 1))
    X = np.repeat(np.random.default_rng(0).normal(size=(5, 2)), 10, axis=0)
    old = mlpcore.Optimum(net, net.init(seed=0), X, np.full(50, 2.0), weight_decay=0.01)
    left_out = mlpcore.leave_one_out(old)
    assert_close(left_out.y, np.full((50, 1), 2.0), 0.05)
    assert_close(left_out.y[:9], left_out.y[1:10], 1e-9)


def test_other_refusals():
    for function in (mlpcore.retrain, mlpcore.leave_one_out):
        with pytest.raises(TypeError, match=r"optimum is a str, expected a mlpcore\.Optimum"):
            function("w")
    old = optimum_of(SMALL["linear"])
    with pytest.raises(ValueError, match="folds is 1, expected a whole number of at least 2"):
        mlpcore.k_fold_predictions(old, 1)
    with pytest.raises(ValueError, match=r"folds has shape \(3,\), expected \(80,\)"):
        mlpcore.k_fold_predictions(old, [0, 1, 2])
    with pytest.raises(ValueError, match=r"^folds has parts of .* number or \(80,\) integers"):
        mlpcore.k_fold_predictions(old, [[0], [1, 2]])
    with pytest.raises(TypeError, match="folds has dtype float64, expected integers"):
        mlpcore.k_fold_predictions(old, np.zeros(80))
    with pytest.raises(ValueError, match="seed is 1 beside the fold of each sample, expected None"):
        mlpcore.k_fold_predictions(old, np.arange(80), seed=1)
    with pytest.raises(ValueError, match=r"X has shape \(2, 2\), expected \(N, 3\)"):
        mlpcore.influence(old, np.zeros((2, 2)))
    assert mlpcore.influence(old, np.zeros((0, 3))).shape == (80, 0, 1)
    with pytest.raises(TypeError, match="corrected is 1, expected True or False"):
        mlpcore.influence(old, np.zeros((2, 3)), corrected=1)
    unfinished = mlpcore.retrain(old, remove=[0], max_steps=0)
    assert not unfinished.converged
    with pytest.raises(ValueError, match="optimum has not converged: after 0 steps"):
        mlpcore.leave_one_out(unfinished)
