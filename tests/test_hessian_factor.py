"""The factor of the Hessian: in any unit, its memory, and where there is none."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from cases import assert_close
from optima import SMALL, optimum_of, saddle

import mlpcore
from mlpcore import _core
from mlpcore.regularizers import WeightDecay


def test_units():
    """Rows of an indefinite matrix come to 1, those of nothing and of rounding stay."""
    rng = np.random.default_rng(0)
    H = rng.normal(size=(6, 6))
    H += H.T
    np.fill_diagonal(H, 0)
    H[4:] = H[:, 4:] = 0
    H[5, 0] = H[0, 5] = 1e-16
    by = np.array([1e-4, 1e3, 1, 10, 1, 1])
    d = mlpcore.hessian_factor.equilibrating_units(H * np.outer(by, by), np.ones(6))
    rows = np.abs(H * np.outer(by / d, by / d)).max(axis=1)
    assert ((rows[:4] > 0.3) & (rows[:4] < 3)).all()
    assert (d[4:] == 1).all()
    assert (np.log2(d) % 1 == 0).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scale", [1e-11, 1e-9, 1e-7, 1.0, 1e7, 1e9, 1e11])
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
    hessian = mlpcore.objective.Objective.hessian
    monkeypatch.setattr(
        mlpcore.objective.Objective,
        "hessian",
        lambda self, w, kind: (kind == "gauss_newton") * hessian(self, w, kind),
    )
    with pytest.raises(ValueError, match="kind='gauss_newton' or a larger weight_decay may help"):
        mlpcore.leave_one_out(old)


def test_the_regularizer_is_named_where_the_hessian_is_refused():
    net = mlpcore.Network((1, 2, 1), "identity")
    X = np.linspace(-1, 1, 20)[:, None]
    old = mlpcore.Optimum(net, net.init(seed=0), X, np.sin(3 * X), regularizer=WeightDecay(1e-300))
    with pytest.raises(ValueError, match=r"weight_decay 0 and WeightDecay\(.*\) is not positive"):
        mlpcore.leave_one_out(old)
