"""Inverses from outer products, and Cholesky with its answer for what isn't positive."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from cases import Case, assert_close, assert_same_bits

import mlpcore
from mlpcore import inverse, reference
from mlpcore.regularizers import LayerDecay


@pytest.mark.parametrize("n", [0, 1, 5, 127, 128, 129, 300])
def test_outer_product_inverse(n):
    """By rows in the reference (PRML 5.89), by blocks here, and by the definition."""
    J = np.random.default_rng(n).normal(size=(n, 40))
    built = mlpcore.outer_product_inverse(J, 0.7)
    assert_close(built, reference.outer_product_inverse(J, 0.7), 1e-12)
    assert_close(built, np.linalg.inv(0.7 * np.eye(40) + J.T @ J), 1e-12)
    assert_same_bits(built, built.T.copy())


def test_it_is_the_inverse_of_the_gauss_newton_hessian():
    case = Case((3, 5, 2), n=60, weighted=True)
    net, (w, X, T, s) = case.network(), case.problem()
    J = net.weight_jacobian(w, X)
    H = net.hessian_vector_product(w, np.eye(net.n_weights), X, T, s, kind="gauss_newton")
    built = mlpcore.outer_product_inverse(J, 0.1, row_weight=s)
    assert_close(built @ (H + 0.1 * np.eye(net.n_weights)), np.eye(net.n_weights), 1e-10)


def test_from_a_precision_for_each_weight():
    case = Case((3, 5, 2), n=60)
    net, (w, X, T, _) = case.network(), case.problem()
    R, J = LayerDecay([0.1, 2.0], 0.3), net.weight_jacobian(w, X)
    alpha = R.hessian_diagonal(net, w)
    built = mlpcore.outer_product_inverse(J, alpha)
    H = net.hessian(w, X, T, kind="gauss_newton", regularizer=R)
    assert_close(built @ H, np.eye(net.n_weights), 1e-10)
    assert_close(built, reference.outer_product_inverse(J.reshape(-1, w.size), alpha), 1e-10)
    assert_same_bits(
        mlpcore.outer_product_inverse(J, np.full(w.size, 0.7)),
        mlpcore.outer_product_inverse(J, 0.7),
    )


def test_row_weights():
    rng = np.random.default_rng(0)
    J, s = rng.normal(size=(30, 2, 7)), rng.uniform(size=(30, 2))
    expected = np.linalg.inv(2 * np.eye(7) + np.einsum("nk,nki,nkj->ij", s, J, J))
    assert_close(mlpcore.outer_product_inverse(J, 2, row_weight=s), expected, 1e-12)


def test_going_on_with_further_rows():
    J = np.random.default_rng(0).normal(size=(50, 9))
    start = mlpcore.outer_product_inverse(J[:20], 1.0)
    before = start.copy()
    assert_close(
        mlpcore.add_outer_products(start, J[20:]), mlpcore.outer_product_inverse(J, 1.0), 1e-12
    )
    assert_same_bits(start, before)


def test_float32_stays_float32():
    J = np.random.default_rng(0).normal(size=(50, 9)).astype(np.float32)
    assert mlpcore.outer_product_inverse(J, 1.0).dtype == np.float32


def positive(W, seed=0):
    a = np.random.default_rng(seed).normal(size=(W, 2 * W))
    return a @ a.T / W


@pytest.mark.parametrize("W", [1, 5, 127, 128, 129, 300])
def test_cholesky(W):
    H, b = positive(W), np.random.default_rng(1).normal(size=(W, 3))
    factor = mlpcore.cholesky(H)
    assert_close(factor.solve(b), np.linalg.solve(H, b), 1e-10)
    assert_close(factor.solve(b[:, 0]), np.linalg.solve(H, b[:, 0]), 1e-10)
    assert_close(factor.log_determinant(), np.linalg.slogdet(H)[1], 1e-10)
    assert_close(factor.inverse(), np.linalg.inv(H), 1e-10)
    assert_same_bits(factor.inverse(), factor.inverse().T.copy())
    damped = mlpcore.cholesky(H, damping=0.5)
    assert_close(damped.solve(b), np.linalg.solve(H + 0.5 * np.eye(W), b), 1e-10)
    assert f"W={W}" in repr(factor)


def test_the_log_determinant_does_not_overflow():
    assert_close(mlpcore.cholesky(1e300 * np.eye(50)).log_determinant(), 50 * np.log(1e300), 1e-12)


@pytest.mark.parametrize("eigenvalues", [[-3.0, 1.0, 8.0], [0.0, 0.0, 0.0], [-1.0], [-1e-3, 1e6]])
def test_not_positive_definite(eigenvalues):
    n = len(eigenvalues)
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    H = Q * eigenvalues @ Q.T
    H = (H + H.T) / 2
    with pytest.raises(mlpcore.NotPositiveDefiniteError, match="H is not positive definite") as e:
        mlpcore.cholesky(H)
    assert abs(e.value.lowest_eigenvalue - eigenvalues[0]) < 1e-9
    assert f"lowest eigenvalue is {e.value.lowest_eigenvalue:.3g}" in str(e.value)
    assert e.value.damping < -eigenvalues[0] + 1e-6
    mlpcore.cholesky(H, damping=e.value.damping)  # it mends it
    assert isinstance(e.value, np.linalg.LinAlgError)


def test_what_damping_did_not_mend():
    with pytest.raises(mlpcore.NotPositiveDefiniteError, match=r"H \+ 1 I is not positive"):
        mlpcore.cholesky([[-3.0]], damping=1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mlpcore.cholesky(np.zeros((2, 3))), r"H has shape \(2, 3\), expected \(W, W\)"),
        (lambda: mlpcore.cholesky([[1.0, 0.5], [0.2, 1.0]]), "H is not symmetric: .* by up to 0.3"),
        (lambda: mlpcore.cholesky([[np.nan]]), "H is not finite"),
        (lambda: mlpcore.cholesky([[1.0]], damping=-1), "damping is -1"),
        (lambda: mlpcore.cholesky([[1.0]]).solve([1.0, 2.0]), r"b has shape \(2,\), expected"),
        (lambda: mlpcore.outer_product_inverse(np.zeros((2, 3)), 0), "alpha is 0"),
        (lambda: mlpcore.outer_product_inverse([[1.0, 2]], [1, 0]), r"alpha\[1\] is 0"),
        (
            lambda: mlpcore.outer_product_inverse(np.zeros((2, 3)), [1, 2]),
            r"alpha has shape \(2,\), expected a number or \(3,\)",
        ),
        (lambda: mlpcore.outer_product_inverse(np.zeros(3), 1), r"J has shape \(3,\), expected"),
        (lambda: mlpcore.outer_product_inverse([[np.inf]], 1), "J is not finite"),
        (
            lambda: mlpcore.outer_product_inverse(np.zeros((2, 3)), 1, row_weight=[1.0]),
            r"row_weight has shape \(1,\), expected \(2,\)",
        ),
        (
            lambda: mlpcore.outer_product_inverse(np.zeros((2, 3)), 1, row_weight=[1.0, -1.0]),
            "row_weight has an element that is negative",
        ),
        (
            lambda: mlpcore.add_outer_products(np.eye(2), np.zeros((2, 3))),
            r"J has shape \(2, 3\), expected \(N, 2\)",
        ),
    ],
)
def test_errors_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_start_that_is_no_inverse_of_a_positive_matrix():
    with pytest.raises(mlpcore.NotPositiveDefiniteError, match="B A"):
        mlpcore.add_outer_products(-np.eye(2), np.eye(2) * 2)


def test_examples():
    assert doctest.testmod(inverse).failed == 0
