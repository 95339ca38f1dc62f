"""Re-training: against closed forms of linear regression, against refits, and what is refused."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from cases import Case, assert_close

import mlpcore
from mlpcore import _core, reference, reference_retraining
from mlpcore.reference_optimizers import Objective
from mlpcore.regularizers import (
    ARD,
    L1,
    ConsistentPrior,
    LayerDecay,
    Regularizer,
    WeightDecay,
)

LINEAR = Case((4, 1), n=40, weighted=True)
SMALL = {
    "linear": Case((3, 3, 1), n=80, weighted=True),
    "linear-2": Case((3, 3, 2), "softplus", n=80),
    "sigmoid": Case((3, 3, 2), "tanh", "sigmoid", n=80, weighted=True),
    "softmax": Case((3, 3, 3), "tanh", "softmax", n=80),
    "labels": Case((3, 3, 3), "sigmoid", "softmax", n=80, flat=True, weighted=True),
}
ALPHA = 0.5
small_cases = pytest.mark.parametrize("name", SMALL)


def cases_but(*names):
    """Without those whose refits, of random classes, jump to another minimum for some samples."""
    return pytest.mark.parametrize("name", [name for name in SMALL if name not in names])


class Own(Regularizer):
    """As a user might write one: no sum over the weights, and without second derivatives."""

    def value(self, net, w):
        return float(0.3 * np.log(np.cosh(w)).sum() + 0.2 * w.sum() ** 2)

    def gradient(self, net, w):
        return 0.3 * np.tanh(w) + 0.4 * w.sum()


REGULARIZERS = {
    "weight_decay": WeightDecay(ALPHA),
    "l1": L1(0.2, epsilon=0.1),
    "layer_decay": LayerDecay([0.6, 0.3], [0.2, 0.1]),
    "ard": ARD([0.3, 0.6, 2.0], others=0.4, biases=0.1),
    "consistent": ConsistentPrior([0.3, 0.2]),
    "own": Own(),
    "sum": Own() + L1(0.2, epsilon=0.1, biases=True) + WeightDecay(0.1),
}
each_regularizer = pytest.mark.parametrize("R", REGULARIZERS.values(), ids=REGULARIZERS)


def optimum_of(case, alpha=ALPHA, **options):
    """Of random data, that lie near a function such as the network has."""
    net, (w, X, T, s) = case.network(), case.problem()
    if case.output == "linear":
        T = net.forward(w, X) + 0.1 * T
    s = None if s is None else s + 0.5
    regularizer = options.get("regularizer")
    start = mlpcore.train(
        net, w, X, T,
        optimizer="lbfgs", weight_decay=alpha, sample_weight=s, regularizer=regularizer,
    ).w  # fmt: skip
    return mlpcore.Optimum(net, start, X, T, s, weight_decay=alpha, **options)


def refit(old, X, T, s):
    """From the same start by gradients alone, for an answer that owes nothing to the Hessian."""
    fit = mlpcore.train(
        mlpcore.Network(old.net.layers, old.net.hidden, old.net.output), old.w, X, T,
        optimizer="lbfgs", weight_decay=old.weight_decay, sample_weight=s, epochs=5000,
        regularizer=old.regularizer,
    )  # fmt: skip
    return fit.w


def without(old, rows):
    s = old.sample_weight.copy()
    s[rows] = 0
    return refit(old, old.X, old.T, s)


def ridge(X, T, s, alpha):
    """Weights (K, D + 1) of ridge regression, the bias last and in the penalty as well."""
    Z = np.concatenate([X, np.ones((len(X), 1))], axis=1)
    return np.linalg.solve(Z.T @ (s[:, None] * Z) + alpha * np.eye(Z.shape[1]), (Z.T * s) @ T).T


# Linear regression, where everything is exact ----------------------------------------------------


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


def test_one_step_is_the_new_optimum_of_a_linear_network():
    old = optimum_of(LINEAR)
    new = mlpcore.retrain(old, remove=[3, 5], add=([[1.0, 2, 3, 4]], [0.3], [2.0]))
    assert (new.steps, new.converged) == (1, True)
    w = ridge(new.X, new.T, new.sample_weight, ALPHA)
    assert_close(new.w, np.concatenate([w[:, :-1].ravel(), w[:, -1]]), 1e-10)


COLUMN_SCALES = [1e-11, 1e-9, 1e-7, 1.0, 1e7, 1e9, 1e11]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scale", COLUMN_SCALES)
def test_least_squares_in_any_unit(scale, dtype):
    """From w = 0, where the weight of the column of 1e-11 has far to go."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(30, 2)) * [scale, 1]).astype(dtype)
    T = rng.normal(size=30).astype(dtype)
    old = mlpcore.Optimum(mlpcore.Network((2, 1), dtype=dtype), np.zeros(3, dtype), X, T)
    assert old.converged
    units = np.array([scale, 1, 1])  # lstsq depends on them too
    Z = np.c_[X, np.ones(30)].astype(float) / units
    t = T.astype(float)
    w = np.linalg.lstsq(Z, t, rcond=None)[0]
    np.testing.assert_allclose(old.w * units, w, rtol=1e-8)
    left_out = mlpcore.leave_one_out(old)
    hat = Z @ np.linalg.pinv(Z)
    assert_close(left_out.leverage, np.diag(hat), 1e-8)
    assert_close(left_out.residuals[:, 0], (t - Z @ w) / (1 - np.diag(hat)), 1e-8)
    new = mlpcore.retrain(old, remove=[4])
    w = np.linalg.lstsq(np.delete(Z, 4, axis=0), np.delete(t, 4), rcond=None)[0]
    np.testing.assert_allclose(new.w * units, w, rtol=1e-8)
    folds = mlpcore.k_fold_predictions(old, np.arange(30))
    assert_close(folds, left_out.y, 1e-8)


@pytest.mark.parametrize("of_T", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("of_X", [1e-9, 1e-5, 1.0, 1e5, 1e9])
def test_a_saddle_is_left_in_any_unit(of_X, of_T):
    """w = 0, where the Hessian has a diagonal of zeros, and noise beside it."""
    net, w, X, T = saddle()
    old = mlpcore.Optimum(net, w, X * of_X, T * of_T)
    assert net.error(old.w, X * of_X, T * of_T) < 3e-4 * of_T**2


def test_units():
    """Rows of an indefinite matrix come to 1, those of nothing and of rounding stay."""
    rng = np.random.default_rng(0)
    H = rng.normal(size=(6, 6))
    H += H.T
    np.fill_diagonal(H, 0)
    H[4:] = H[:, 4:] = 0
    H[5, 0] = H[0, 5] = 1e-16
    by = np.array([1e-4, 1e3, 1, 10, 1, 1])
    d = mlpcore.retraining._units(H * np.outer(by, by), np.ones(6))
    rows = np.abs(H * np.outer(by / d, by / d)).max(axis=1)
    assert ((rows[:4] > 0.3) & (rows[:4] < 3)).all()
    assert (d[4:] == 1).all()
    assert (np.log2(d) % 1 == 0).all()


# Changes of the data -----------------------------------------------------------------------------


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

    class Indefinite(mlpcore.retraining._Factor):
        def solve(self, v):
            return -super().solve(v)

    old = optimum_of(SMALL["linear"])
    kept = Indefinite(old._inverse_factor())
    monkeypatch.setattr(mlpcore.retraining, "_changed_factor", lambda *_: kept)
    new = mlpcore.retrain(old, remove=[0, 1, 2])
    assert new.converged
    assert new.factorizations >= 1
    assert_close(new.w, refit(new, new.X, new.T, new.sample_weight), 1e-5)


# Without one sample ------------------------------------------------------------------------------


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


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_leverages_of_one(output, monkeypatch):
    """Where the small system is singular: B A = 1, in all samples."""
    old = optimum_of(SMALL[output])
    f, U = old._objective, old._inverse_factor()
    root = mlpcore.retraining._curvature_root

    def to_leverage_1(output, y):
        R = root(output, y)
        V = np.swapaxes(R, 1, 2) @ f.logits.weight_jacobian(old.w, f.X) @ U.T
        h = f.s * np.linalg.eigvalsh(V @ np.swapaxes(V, 1, 2))[:, -1]
        return R / np.sqrt(h)[:, None, None]

    monkeypatch.setattr(mlpcore.retraining, "_curvature_root", to_leverage_1)
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
    hessian = mlpcore.retraining._Objective.hessian

    def counted(f, w, kind):
        samples.append(len(f.X))
        return hessian(f, w, kind)

    monkeypatch.setattr(mlpcore.retraining._Objective, "hessian", counted)
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
    monkeypatch.setattr("mlpcore.retraining._TILE", 1000)
    assert_close(mlpcore.leave_one_out(old).y, whole.y, 1e-12)
    assert_close(mlpcore.leave_one_out(old).leverage, whole.leverage, 1e-12)
    assert_close(mlpcore.influence(old, old.X[:3]), influences, 1e-11)


# Influence ---------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("definite", [True, False])
def test_the_memory_of_a_factor(definite, monkeypatch):
    """Asked for before the Hessian is there, with what LAPACK takes, which is not traced."""
    net = mlpcore.Network((8, 40, 1))
    X = np.random.default_rng(0).normal(size=(30, 8))
    data, alpha = (net, net.init(0), X, X[:, 0] ** 2), 1e3 if definite else 1e-3
    asked = []
    monkeypatch.setattr(_core, "check_memory", lambda what, n_bytes: asked.append((what, n_bytes)))
    tracemalloc.start()
    try:
        mlpcore.Optimum(*data, weight_decay=alpha, max_steps=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert asked == [("the working memory of the Hessian's factor", 40 * net.n_weights**2)]
    assert 0.55 * asked[0][1] < peak < 1.02 * asked[0][1]

    def refuse(what, n_bytes):
        raise MemoryError(what)

    monkeypatch.setattr(_core, "check_memory", refuse)
    monkeypatch.delattr(mlpcore.Network, "hessian")
    with pytest.raises(MemoryError, match="the working memory of the Hessian's factor"):
        mlpcore.Optimum(*data, weight_decay=alpha)


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


# Regularizers ------------------------------------------------------------------------------------


def second_derivative(f, w, step=1e-4):
    """Of the function whose gradient is f, by differences of it, (W, W)."""
    H = np.array([(f(w + e) - f(w - e)) / (2 * step) for e in step * np.eye(w.size)])
    return (H + H.T) / 2


# Both its hidden units are needed: of one that is not, a regularizer of the weights alone leaves
# the bias free.
NEEDED = Case((3, 2, 2), n=80, weighted=True)


def regularized(R, case=NEEDED, **options):
    return optimum_of(case, alpha=0.0, regularizer=R, **options)


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


@each_regularizer
def test_a_regularized_optimum_moves_to_the_new_one(R):
    old = regularized(R)
    new = mlpcore.retrain(old, remove=[0, 7], add=(old.X[:2] + 0.1, old.T[:2]))
    assert new.converged
    assert new.regularizer is R
    gradient = new.net.gradient(new.w, new.X, new.T, new.sample_weight)
    assert np.abs(gradient + R.gradient(new.net, new.w)).max() < 1e-7
    assert_close(new.w, refit(new, new.X, new.T, new.sample_weight), 1e-5)


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


def test_l1_as_sharp_as_it_comes():
    """With weights at the bottom of their corners and others far from theirs."""
    old = regularized(L1(0.5, biases=True), SMALL["linear"])
    new = mlpcore.retrain(old, remove=[3])
    assert old.converged
    assert new.converged
    assert (np.abs(new.w) < 1e-3).any()
    assert_close(new.w, refit(new, new.X, new.T, new.sample_weight), 1e-5)


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


# Where the Hessian isn't positive definite -------------------------------------------------------


def saddle():
    """At w = 0 of a network with hidden units, symmetry makes the gradient vanish; E is even."""
    net = mlpcore.Network((1, 2, 1))
    X = np.linspace(-1, 1, 20)[:, None]
    return net, np.zeros(net.n_weights), X, np.sin(3 * X)


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


def test_a_saddle_is_handed_on():
    old = mlpcore.Optimum(*saddle(), weight_decay=0.1, max_steps=0)
    new = mlpcore.retrain(old, max_steps=0)
    assert (old.converged, new.converged) == (False, False)
    new = mlpcore.retrain(old)
    assert new.converged
    assert new.net.error(new.w, new.X, new.T) < 0.2 * new.net.error(old.w, new.X, new.T)


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
    factor = mlpcore.retraining._Factor(np.diag(np.diag(near) ** -0.5))
    known = mlpcore.retraining._is_minimum(f, np.zeros(W), factor)
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


class Around(Regularizer):
    """A prior whose mean is not 0."""

    def __init__(self, mean, alpha):
        self.mean, self.alpha = mean, alpha

    def value(self, net, w):
        return self.alpha / 2 * ((w - self.mean) ** 2).sum()

    def gradient(self, net, w):
        return self.alpha * (w - self.mean)

    def hessian_diagonal(self, net, w):
        return np.full(w.size, self.alpha)

    def hessian_vector_product(self, net, w, v):
        return self.alpha * v


class AroundByDifferences(Around):
    hessian_diagonal = Regularizer.hessian_diagonal
    hessian_vector_product = Regularizer.hessian_vector_product


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


class Absolute(Regularizer):
    """`L1` of all weights as a user writes it, by differences of the gradient."""

    def __init__(self, strength, epsilon):
        self.strength, self.epsilon = strength, epsilon

    def value(self, net, w):
        return self.strength * (np.hypot(w, self.epsilon) - self.epsilon).sum()

    def gradient(self, net, w):
        return self.strength * w / np.hypot(w, self.epsilon)


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


class Together(Regularizer):
    """The slope of one weight depends on another, which is 0."""

    def value(self, net, w):
        return np.hypot(w[0] - w[1], 1e-3) + 1e-6 * w @ w

    def gradient(self, net, w):
        slope = (w[0] - w[1]) / np.hypot(w[0] - w[1], 1e-3)
        return np.array([slope, -slope, 0]) + 2e-6 * w


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
    root = mlpcore.retraining._curvature_root
    monkeypatch.setattr(mlpcore.retraining, "_curvature_root", lambda *a: 30 * root(*a))
    R.calls = 0
    left_out = mlpcore.leave_one_out(old)
    assert (left_out.leverage >= 1).sum() > 40
    assert R.calls == 1


@pytest.mark.parametrize(("rise", "share"), [(1e-14, 1), (1e-12, 0.5), (1e-7, 0.5)])
def test_the_slope_is_asked_within_the_rounding_of_the_error_alone(rise, share, monkeypatch):
    """Beyond a hump it is flat, or leads down again, and higher all the same."""

    def value_and_gradient(f, w):
        return 1 + rise * float(w[0] == 1), -1e-20 * np.ones(w.size)

    old = optimum_of(LINEAR)
    f = old._objective
    monkeypatch.setattr(type(f), "value_and_gradient", value_and_gradient)
    w, d = np.zeros(5), np.ones(5)
    there, _, _ = mlpcore.retraining._search(f, w, 1.0, d, 1e-18)
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


def test_a_saddle_that_no_step_leaves_is_no_minimum(monkeypatch):
    monkeypatch.setattr(mlpcore.retraining, "_search_aside", lambda *_: None)
    for kind in ("exact", "gauss_newton"):
        assert not mlpcore.Optimum(*saddle(), weight_decay=0.1, kind=kind).converged


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


def test_a_singular_hessian_is_refused():
    """Two equal hidden units can't be told apart without weight decay."""
    net = mlpcore.Network((1, 2, 1), "identity")
    X = np.linspace(-1, 1, 20)[:, None]
    old = mlpcore.Optimum(net, net.init(seed=0), X, 2 * X)
    assert net.error(old.w, X, 2 * X) < 1e-15
    with pytest.raises(ValueError, match=r"not positive definite|has not converged") as refusal:
        mlpcore.influence(old, X)
    assert "gauss_newton" not in str(refusal.value)  # that is singular as well


def test_gauss_newton_is_advised_where_it_is_definite(monkeypatch):
    old = optimum_of(SMALL["linear"])
    hessian = mlpcore.retraining._Objective.hessian
    monkeypatch.setattr(
        mlpcore.retraining._Objective,
        "hessian",
        lambda self, w, kind: (kind == "gauss_newton") * hessian(self, w, kind),
    )
    with pytest.raises(ValueError, match="kind='gauss_newton' or a larger weight_decay may help"):
        mlpcore.leave_one_out(old)


def test_far_from_the_minimum_it_still_descends():
    case = SMALL["linear"]
    net, (w, X, T, s) = case.network(), case.problem()
    old = mlpcore.Optimum(net, 3 * w, X, T, s, weight_decay=ALPHA, max_steps=300)
    assert old.converged
    np.linalg.cholesky(net.hessian(old.w, X, T, s) + ALPHA * np.eye(w.size))


def test_leverages_above_one(monkeypatch):
    """What can't be taken out by its Gauss-Newton part is taken out by its Hessian."""
    old = optimum_of(SMALL["linear"])
    expected = mlpcore.k_fold_predictions(old, np.arange(len(old.X)))
    root = mlpcore.retraining._curvature_root
    monkeypatch.setattr(mlpcore.retraining, "_curvature_root", lambda *a: 30 * root(*a))
    left_out = mlpcore.leave_one_out(old)
    out = left_out.leverage >= 1
    assert out.sum() > 40
    assert_close(left_out.y[out], expected[out], 1e-9)
    whole = []
    hessian = mlpcore.retraining._Objective.hessian

    def counted(f, w, kind):
        whole.append(len(f.X) == len(old.X))
        return hessian(f, w, kind)

    monkeypatch.setattr(mlpcore.retraining._Objective, "hessian", counted)
    mlpcore.leave_one_out(old)
    assert sum(whole) == 1


def test_constant_targets_and_repeated_rows():
    net = mlpcore.Network((2, 3, 1))
    X = np.repeat(np.random.default_rng(0).normal(size=(5, 2)), 10, axis=0)
    old = mlpcore.Optimum(net, net.init(seed=0), X, np.full(50, 2.0), weight_decay=0.01)
    left_out = mlpcore.leave_one_out(old)
    assert_close(left_out.y, np.full((50, 1), 2.0), 0.05)
    assert_close(left_out.y[:9], left_out.y[1:10], 1e-9)


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


# Refusals ----------------------------------------------------------------------------------------

NET = mlpcore.Network((3, 4, 1))
DATA = {"net": NET, "w": NET.init(seed=0), "X": np.zeros((30, 3)), "T": np.zeros(30)}


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


def test_the_regularizer_is_named_where_the_hessian_is_refused():
    net = mlpcore.Network((1, 2, 1), "identity")
    X = np.linspace(-1, 1, 20)[:, None]
    old = mlpcore.Optimum(net, net.init(seed=0), X, np.sin(3 * X), regularizer=WeightDecay(1e-300))
    with pytest.raises(ValueError, match=r"weight_decay 0 and WeightDecay\(.*\) is not positive"):
        mlpcore.leave_one_out(old)


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
