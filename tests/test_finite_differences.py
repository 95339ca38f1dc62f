"""The compiled derivatives against differences of the compiled functions, and complex steps."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES_FLOAT64, assert_close, central_difference, complex_step

SMALL = [case for case in CASES_FLOAT64 if case.n_weights < 200 and case.n <= 65]
every_case = pytest.mark.parametrize("case", SMALL, ids=str)
smooth_case = pytest.mark.parametrize("case", [c for c in SMALL if c.smooth], ids=str)

# Central differences with a step of 1e-5: the third derivative times 1e-10, and rounding of 1e-11.
TOLERANCE = 1e-7


@smooth_case
def test_gradient(case):
    net, (w, X, T, s) = case.network(), case.problem()
    by_difference = central_difference(lambda w: net.error(w, X, T, s), w)
    assert_close(net.gradient(w, X, T, s), by_difference, TOLERANCE)


@smooth_case
def test_jacobian(case):
    net, (w, X, _, _) = case.network(), case.problem()
    for n in {0, case.n // 2, case.n - 1}:
        by_difference = central_difference(lambda x: net.forward(w, x[None])[0], X[n])
        assert_close(net.jacobian(w, X)[n], by_difference, TOLERANCE)


@smooth_case
def test_weight_jacobian(case):
    net, (w, X, _, _) = case.network(), case.problem()
    by_difference = central_difference(lambda w: net.forward(w, X), w)
    assert_close(net.weight_jacobian(w, X), by_difference, TOLERANCE)


@smooth_case
def test_per_sample_gradient(case):
    net, (w, X, T, _) = case.network(), case.problem()
    for n in {0, case.n // 2, case.n - 1}:
        rows = slice(n, n + 1)
        by_difference = central_difference(lambda w, rows=rows: net.error(w, X[rows], T[rows]), w)
        assert_close(net.per_sample_gradient(w, X, T)[n], by_difference, TOLERANCE)


@smooth_case
def test_hessian_diagonal(case):
    net, (w, X, T, s) = case.network(), case.problem()
    hessian = central_difference(lambda w: net.gradient(w, X, T, s), w)
    assert_close(net.hessian_diagonal(w, X, T, s), np.diag(hessian), TOLERANCE)


@every_case
def test_complex_steps(case):
    """Exact to rounding, and good for the activations with a corner too."""
    net, oracle, (w, X, T, s) = case.network(), case.reference(), case.problem()
    gradient = complex_step(lambda w: oracle.error(w, X, T, s), w)
    hessian = complex_step(lambda w: oracle.gradient(w, X, T, s), w)
    y_of_x = complex_step(lambda step: oracle.forward(w, X + step), np.zeros(X.shape[1]))
    y_of_w = complex_step(lambda w: oracle.forward(w, X), w)
    assert_close(net.gradient(w, X, T, s), gradient, 1e-12)
    assert_close(net.hessian_diagonal(w, X, T, s), np.diag(hessian), 1e-12)
    assert_close(net.jacobian(w, X), y_of_x, 1e-12)
    assert_close(net.weight_jacobian(w, X), y_of_w, 1e-12)


@every_case
def test_sums_of_samples(case):
    """The gradient is the weighted sum of the gradients of the samples, and dE/dy dy/dw."""
    net, (w, X, T, s) = case.network(), case.problem()
    each = net.per_sample_gradient(w, X, T)
    weights = np.ones(case.n) if s is None else s
    assert_close(weights @ each, net.gradient(w, X, T, s), 1e-12)
    if case.output == "linear":
        residual = net.forward(w, X) - T.reshape(case.n, -1)
        jacobian = net.weight_jacobian(w, X)
        assert_close(np.einsum("nk,nkw->nw", residual, jacobian), each, 1e-12)
        squares = np.einsum("n,nkw->w", weights, jacobian**2)
        assert_close(net.hessian_diagonal(w, X, T, s, kind="gauss_newton"), squares, 1e-12)
