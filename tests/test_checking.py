"""The user's check: it agrees where all is well, and says so where it isn't."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from cases import ACTIVATIONS, CORNERED, OUTPUTS, Case

import mlpcore
from mlpcore import checking
from mlpcore.regularizers import ARD, L1, LayerDecay, Regularizer

SMOOTH = [name for name in ACTIVATIONS if name not in CORNERED]
CASES = [
    *(Case((2, 3, 2), name, n=7) for name in SMOOTH),
    *(Case((3, 4, 3, 2), output=output, n=7, weighted=True) for output in OUTPUTS),
    Case((2, 3), output="softmax", n=7, flat=True),
    Case((2, 3, 2), n=7, dtype="float32"),
    Case((1, 1, 1), n=1),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_all_agree(case):
    w, X, T, s = case.problem()
    check = mlpcore.check_derivatives(case.network(), w, X, T, s)
    assert check.passed, check
    assert "all agree" in repr(check)
    assert len(check.quantities) >= 11
    assert max(q.difference for q in check.quantities) < (1e-3 if case.dtype == "float32" else 1e-7)


@pytest.mark.parametrize(
    "method",
    [
        "gradient", "hessian_diagonal", "hessian_vector_product", "jacobian", "weight_jacobian",
        "per_sample_gradient", "output_hessian", "jvp", "vjp", "weight_jvp", "weight_vjp",
    ],
)  # fmt: skip
def test_an_error_in_one_is_found(method):
    """A network one of whose quantities is off by a part in ten thousand in one element."""

    class Wrong(mlpcore.Network):
        pass

    def wrong(self, *args, **kwargs):
        result = getattr(mlpcore.Network, method)(self, *args, **kwargs).copy()
        place = np.unravel_index(np.abs(result).argmax(), result.shape)
        result[place] *= 1 + 1e-4
        return result

    setattr(Wrong, method, wrong)
    w, X, T, _ = Case((2, 3, 2), n=7).problem()
    check = mlpcore.check_derivatives(Wrong((2, 3, 2)), w, X, T)
    assert [q.quantity for q in check.quantities if not q.passed] == [method]
    assert not check.passed
    assert check[method].verdict == "DIFFERS"
    assert 5e-5 < check[method].difference < 2e-4
    assert "DIFFERS" in repr(check)
    assert f"1 of {len(check.quantities)} differ" in repr(check)


def test_at_a_minimum_nothing_is_made_of_rounding():
    """Where the gradient is zero, its differences are rounding and say nothing."""
    net, X = mlpcore.Network((2, 1)), np.random.default_rng(0).normal(size=(30, 2))
    T = 100 * X[:, :1] + np.random.default_rng(1).normal(size=(30, 1))
    w = np.linalg.lstsq(np.c_[X, np.ones(30)], T, rcond=None)[0][:, 0]
    check = mlpcore.check_derivatives(net, w, X, T)
    assert check.passed, check


class Coupled(Regularizer):
    """One of a user, whose products are differences of its gradient."""

    factor = 2.0

    def value(self, net, w):
        return float(np.log(np.cosh(w)).sum() + 0.1 * w.sum() ** 2)

    def gradient(self, net, w):
        return np.tanh(w) + 0.1 * self.factor * w.sum()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "R", [L1(0.5, epsilon=0.1), LayerDecay([1, 2], 0.3), ARD([1, 2], 0.5, 0.1), Coupled()]
)
def test_with_a_regularizer(R, dtype):
    case = Case((2, 3, 2), n=7, weighted=True, dtype=dtype)
    w, X, T, s = case.problem()
    check = mlpcore.check_derivatives(case.network(), w, X, T, s, regularizer=R)
    assert check.passed, check


SECOND = ["hessian", "hessian_diagonal", "hessian_vector_product"]


def test_a_wrong_regularizer_is_found():
    """In each quantity that sees it, and in no other."""

    class WrongSlope(Coupled):
        factor = 2.001

    class WrongCurvature(Coupled):
        def hessian_vector_product(self, net, w, v):
            return 1.001 * super().hessian_vector_product(net, w, v)

    w, X, T, _ = Case((2, 3, 2), n=7).problem()
    for R, expected in ((WrongSlope(), ["gradient"]), (WrongCurvature(), SECOND)):
        check = mlpcore.check_derivatives(mlpcore.Network((2, 3, 2)), w, X, T, regularizer=R)
        assert [q.quantity for q in check.quantities if not q.passed] == expected


def test_own_regularizer():
    w = np.random.default_rng(0).normal(size=6)
    right = mlpcore.check_gradient(
        lambda w: np.log(1 + w**2).sum(), lambda w: 2 * w / (1 + w**2), w
    )
    wrong = mlpcore.check_gradient(lambda w: np.log(1 + w**2).sum(), lambda w: w / (1 + w**2), w)
    assert right.passed
    assert not wrong.passed
    hessian = mlpcore.check_gradient(lambda w: w**3, np.diag(3 * w**2), w, name="hessian")
    assert hessian["hessian"].passed


def test_weights_of_very_different_sizes():
    w = np.array([1e-6, 1e-2, 1.0, 1e3, 1e5])
    assert mlpcore.check_gradient(lambda w: np.log(1 + w**2).sum(), 2 * w / (1 + w**2), w).passed


def test_a_nan_does_not_agree():
    check = mlpcore.check_gradient(lambda w: w.sum(), lambda w: np.full(3, np.nan), np.ones(3))
    assert not check.passed


def test_html():
    w, X, T, _ = Case((2, 3, 2), n=7).problem()
    table = mlpcore.check_derivatives(mlpcore.Network((2, 3, 2)), w, X, T)._repr_html_()
    assert table.startswith("<table><tr><th>quantity</th>")
    assert "<td>gradient</td>" in table


def test_errors_in_words():
    net, (w, X, T, _) = mlpcore.Network((2, 3, 2)), Case((2, 3, 2), n=7).problem()
    with pytest.raises(ValueError, match="T has shape"):
        mlpcore.check_derivatives(net, w, X, T[:3])
    with pytest.raises(ValueError, match=r"w has shape \(2, 17\), expected \(17,\)"):
        mlpcore.check_derivatives(net, np.array([w, w]), X, T)
    with pytest.raises(TypeError, match=r"regularizer is a str, expected a mlpcore\.regularizers"):
        mlpcore.check_derivatives(net, w, X, T, regularizer="l1")
    with pytest.raises(ValueError, match="tolerance is 0"):
        mlpcore.check_derivatives(net, w, X, T, tolerance=0)
    with pytest.raises(ValueError, match=r"gradient has shape \(2,\), expected \(3,\)"):
        mlpcore.check_gradient(lambda w: w.sum(), np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="w is not finite"):
        mlpcore.check_gradient(lambda w: w.sum(), np.ones(1), [np.nan])
    with pytest.raises(KeyError, match="expected one of gradient"):
        mlpcore.check_derivatives(net, w, X, T)["hession"]


def test_examples():
    assert doctest.testmod(checking).failed == 0
