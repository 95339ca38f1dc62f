"""The reference itself: against complex steps, closed forms, and the book's own formulas."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from cases import (
    ACTIVATIONS,
    CASES_FLOAT64,
    KINDS,
    OUTPUTS,
    QUANTITIES,
    Case,
    assert_close,
    complex_step,
)

from mlpcore import reference

SMALL = [case for case in CASES_FLOAT64 if case.n_weights < 200 and case.n <= 65]
POINTS = np.array([-800.0, -37, -5, -1.5, -0.3, -1e-3, 1e-3, 0.2, 0.9, 4, 36, 800])
small_cases = pytest.mark.parametrize("case", SMALL, ids=str)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_derivatives(name):
    h, d1, d2 = reference.ACTIVATIONS[name]
    z, step = POINTS, 1e-30
    stepped = z + 1j * step
    np.testing.assert_allclose(h(stepped).real, h(z), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(h(stepped).imag / step, d1(z, h(z)), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        d1(stepped, h(stepped)).imag / step, d2(z, h(z)), rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize(
    ("name", "z", "expected"),
    [
        ("identity", -2.5, (-2.5, 1, 0)),
        ("sigmoid", 0.0, (0.5, 0.25, 0)),
        ("sigmoid", 1.0, (0.7310585786300049, 0.19661193324148185, -0.09085774767294841)),
        ("tanh", 0.5, (0.46211715726000975, 0.7864477329659274, -0.7268619813835874)),
        ("relu", -1.0, (0, 0, 0)),
        ("relu", 0.0, (0, 0, 0)),
        ("relu", 2.0, (2, 1, 0)),
        ("leaky_relu", -2.0, (-0.02, 0.01, 0)),
        ("leaky_relu", 0.0, (0, 0.01, 0)),
        ("leaky_relu", 3.0, (3, 1, 0)),
        ("softplus", 0.0, (0.6931471805599453, 0.5, 0.25)),
        ("elu", 0.0, (0, 1, 1)),
        ("elu", 1.0, (1, 1, 0)),
        ("elu", -1.0, (-0.6321205588285577, 0.36787944117144233, 0.36787944117144233)),
        ("gelu", 0.0, (0, 0.5, 0.7978845608028654)),
        ("gelu", 1.0, (0.8413447460685429, 1.0833154705876864, 0.24197072451914337)),
        ("gelu", -10.0, (-7.6198530241605261e-23, -7.6183372867e-22, -7.5412983777e-21)),
        ("silu", 0.0, (0, 0.5, 0.5)),
        ("silu", 1.0, (0.7310585786300049, 0.9276705118714868, 0.3023661187880669)),
    ],
)
def test_activation_values(name, z, expected):
    h, d1, d2 = reference.ACTIVATIONS[name]
    z = np.array([z])
    values = [h(z)[0], d1(z, h(z))[0], d2(z, h(z))[0]]
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-15)


@small_cases
def test_gradient(case):
    net, (w, X, T, s) = case.reference(), case.problem()
    by_step = complex_step(lambda w: net.error(w, X, T, s), w)
    assert_close(net.gradient(w, X, T, s), by_step, 1e-12)


@small_cases
def test_per_sample_gradient(case):
    net, (w, X, T, _) = case.reference(), case.problem()
    each = [
        complex_step(lambda w, n=n: net.error(w, X[n : n + 1], T[n : n + 1]), w)
        for n in (0, -1 % case.n)
    ]
    assert_close(net.per_sample_gradient(w, X, T)[[0, -1]], np.array(each), 1e-12)


@small_cases
def test_jacobians(case):
    net, (w, X, _, _) = case.reference(), case.problem()
    assert_close(net.weight_jacobian(w, X), complex_step(lambda w: net.forward(w, X), w), 1e-12)
    by_step = complex_step(lambda x: net.forward(w, X[:1] - X[:1] + x), X[0])
    assert_close(net.jacobian(w, X)[:1], by_step, 1e-12)


@small_cases
def test_hessian_diagonal_exact(case):
    net, (w, X, T, s) = case.reference(), case.problem()
    hessian = complex_step(lambda w: net.gradient(w, X, T, s), w)
    assert_close(net.hessian_diagonal(w, X, T, s), np.diag(hessian), 1e-12)


@small_cases
def test_hessian_diagonal_gauss_newton(case):
    """diag sum_n s_n J_n^T B_n J_n, with J_n = dz^L/dw and B_n = dy/dz^L."""
    net, (w, X, T, s) = case.reference(), case.problem()
    z = net.forward(w, X, logits=True)
    J = Case(case.layers, case.hidden).reference().weight_jacobian(w, X)
    output = Case((z.shape[1],) * 2, output=case.output).reference()
    identity = np.concatenate([np.eye(z.shape[1]).ravel(), np.zeros(z.shape[1])])
    B = complex_step(lambda step: output.forward(identity, z + step), np.zeros(z.shape[1]))
    weights = np.ones(case.n) if s is None else s
    expected = np.einsum("n,nkw,nkl,nlw->w", weights, J, B, J, optimize=True)
    assert_close(net.hessian_diagonal(w, X, T, s, kind="gauss_newton"), expected, 1e-12)


@pytest.mark.parametrize("output", OUTPUTS)
def test_hessian_diagonal_becker_lecun(output):
    """PRML 5.79 to 5.81, written out as the book has them, a unit at a time."""
    case = Case((3, 4, 5, 2), ("tanh", "sigmoid"), output, n=3)
    net, (w, X, T, _) = case.reference(), case.problem()
    expected = np.zeros_like(w)
    for x, t in zip(X, T, strict=True):
        (W1, b1), (W2, b2), (W3, _) = net.unpack(w)
        a1 = np.tanh(W1 @ x + b1)
        a2 = 1 / (1 + np.exp(-(W2 @ a1 + b2)))
        y = net.forward(w, x[None])[0]
        second3 = np.ones(2) if output == "linear" else y * (1 - y)
        delta3 = y - t
        second2, delta2 = np.zeros(5), np.zeros(5)
        for j in range(5):
            h1, h2 = a2[j] * (1 - a2[j]), a2[j] * (1 - a2[j]) * (1 - 2 * a2[j])
            back = sum(W3[k, j] * delta3[k] for k in range(2))
            second2[j] = h1**2 * sum(W3[k, j] ** 2 * second3[k] for k in range(2)) + h2 * back
            delta2[j] = h1 * back
        second1 = np.zeros(4)
        for j in range(4):
            h1, h2 = 1 - a1[j] ** 2, -2 * a1[j] * (1 - a1[j] ** 2)
            back = sum(W2[k, j] * delta2[k] for k in range(5))
            second1[j] = h1**2 * sum(W2[k, j] ** 2 * second2[k] for k in range(5)) + h2 * back
        blocks = ((second1, x), (second2, a1), (second3, a2))
        expected += np.concatenate([np.append(np.outer(b, a**2), b) for b, a in blocks])
    assert_close(net.hessian_diagonal(w, X, T, kind="becker_lecun"), expected, 1e-12)


def test_kinds_agree_where_they_must():
    case = Case((3, 6, 1), output="sigmoid")
    net, (w, X, T, _) = case.reference(), case.problem()
    exact, gauss_newton, becker_lecun = (net.hessian_diagonal(w, X, T, kind=k) for k in KINDS)
    assert_close(becker_lecun, exact, 1e-14)  # one hidden layer and one output: the same
    assert np.abs(gauss_newton - exact).max() > 1e-3 * np.abs(exact).max()
    assert_close(gauss_newton[-7:], exact[-7:], 1e-14)  # h'' is not in the last layer
    linear = Case((3, 6, 2), "identity")
    net, (w, X, T, _) = linear.reference(), linear.problem()
    assert_close(net.hessian_diagonal(w, X, T, kind=KINDS[1]), net.hessian_diagonal(w, X, T), 1e-14)


def test_a_network_worked_by_hand():
    """y = 2 relu(3 x1 - x2 + 1) - 1 at x = (1, 2), t = 1: z = 2, y = 3, delta = 2."""
    net = reference.Architecture((2, 1, 1), "relu")
    w, X, T = [3.0, -1.0, 1.0, 2.0, -1.0], [[1.0, 2.0]], [1.0]
    assert reference.forward(net, w, X).tolist() == [[3.0]]
    assert reference.error(net, w, X, T, [3.0]) == 6.0
    assert reference.gradient(net, w, X, T).tolist() == [4.0, 8.0, 4.0, 4.0, 2.0]
    assert reference.jacobian(net, w, X).tolist() == [[[6.0, -2.0]]]
    assert reference.weight_jacobian(net, w, X).tolist() == [[[2.0, 4.0, 2.0, 2.0, 1.0]]]
    assert reference.hessian_diagonal(net, w, X, T).tolist() == [4.0, 16.0, 4.0, 4.0, 1.0]


ERRORS = {
    "linear": lambda y, t: 0.5 * (y - t) ** 2,
    "sigmoid": lambda y, t: -t * np.log(y) - (1 - t) * np.log(1 - y),
    "softmax": lambda y, t: -t * np.log(y),
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_error_by_definition(output):
    case = Case((3, 4, 3), output=output, weighted=True)
    net, (w, X, T, s) = case.reference(), case.problem()
    each = ERRORS[output](net.forward(w, X), T).sum(axis=1)
    assert_close(net.error(w, X, T, s), s @ each, 1e-13)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_logits_of_a_thousand(output):
    net = reference.Architecture((2, 2), output=output)
    w, X, T = np.array([1.0, 0, 0, 1, 0, 0]), [[-1000.0, 1000.0]], [[1.0, 0.0]]
    assert reference.forward(net, w, X).tolist() == [[0.0, 1.0]]
    assert reference.error(net, w, X, T) == 2000.0
    assert reference.gradient(net, w, X, T)[-2:].tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_float32_stays_float32(hidden, quantity):
    case = Case((3, 4, 2), hidden, "softmax", n=5, weighted=True, dtype="float32")
    result = QUANTITIES[quantity](case.reference(), case.problem())
    assert isinstance(result, float | tuple) or result.dtype == np.float32


def test_pack_inverts_unpack_and_unpack_gives_views():
    net = reference.Architecture([2, 3, 1])
    w = np.arange(13.0)
    (W1, b1), (W2, b2) = reference.unpack(net, w)
    assert W1.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert (b1.tolist(), W2.tolist(), b2.tolist()) == ([6, 7, 8], [[9, 10, 11]], [12])
    assert all(np.shares_memory(p, w) for p in (W1, b1, W2, b2))
    assert reference.pack(net, [(W1, b1), (W2, b2)]).tolist() == w.tolist()


def test_differences():
    """Of matrices by vectors, with a closed form; the axes of x come last."""
    x = np.array([[0.3, -0.7, 1.1], [2.0, 0.2, -0.4]])

    def f(x):
        return np.exp(x).sum(axis=1)[:, None] * np.array([1.0, 2.0])

    expected = np.einsum("ab,k,bi->akbi", np.eye(2), [1.0, 2.0], np.exp(x))
    assert_close(reference.complex_step(f, x), expected, 1e-15)
    assert_close(reference.central_difference(f, x), expected, 1e-9)
    off = [
        np.abs(reference.central_difference(f, x, step) - expected).max() for step in (1e-2, 1e-3)
    ]
    assert 95 < off[0] / off[1] < 105  # O(step^2)
    assert reference.central_difference(lambda x: float(x[1, 2] ** 2), x).shape == (2, 3)
    for dtype in (int, np.float32):
        x = np.array([1, 100], dtype)
        assert_close(reference.central_difference(lambda x: float((x**2).sum()), x), 2 * x, 1e-7)


def test_examples():
    assert doctest.testmod(reference).failed == 0


def test_architecture():
    net = reference.Architecture([2, 3, 4, 1], "relu")
    assert net == reference.Architecture((2, 3, 4, 1), ["relu", "relu"], "linear")
    assert hash(net) == hash(reference.Architecture((2, 3, 4, 1), ("relu", "relu")))
    assert reference.Architecture((2, 1)).hidden == ()
    for arguments, name in [
        (((2,),), "hidden"),
        (((2, 3, 1), ["tanh", "tanh"]), "hidden"),
        (((2, 3, 1), "foo"), "hidden"),
        (((2, 3, 1), "tanh", "foo"), "output"),
    ]:
        with pytest.raises(ValueError, match=name):
            reference.Architecture(*arguments)


def test_what_the_reference_refuses():
    net = reference.Architecture((2, 3, 1))
    with pytest.raises(ValueError, match=r"w has shape \(14,\), expected \(13,\)"):
        reference.forward(net, np.zeros(14), [[1.0, 2.0]])
    with pytest.raises(ValueError, match="kind is 'foo'"):
        reference.hessian_diagonal(net, np.zeros(13), [[1.0, 2.0]], [1.0], kind="foo")


@small_cases
def test_products_and_output_hessian(case):
    """By complex steps of what each is a derivative of."""
    net, (w, X, T, s) = case.reference(), case.problem()
    rng = np.random.default_rng(0)
    v, dX = rng.normal(size=w.shape), rng.normal(size=X.shape)
    dY = rng.normal(size=(case.n, case.layers[-1]))

    def along(f, *arguments):
        """df along the given directions, at step 0."""
        return np.imag(f(*(1e-30j * a for a in arguments))) / 1e-30

    hv = along(lambda d: net.gradient(w + d, X, T, s), v)
    assert_close(net.hessian_vector_product(w, v, X, T, s), hv, 1e-12)
    assert_close(net.weight_jvp(w, X, v), along(lambda d: net.forward(w + d, X), v), 1e-12)
    assert_close(net.jvp(w, X, dX), along(lambda d: net.forward(w, X + d), dX), 1e-12)
    bent = complex_step(lambda step: net.jacobian(w, X + step), np.zeros(X.shape[1]))
    assert_close(net.output_hessian(w, X), bent, 1e-12, floor=1e-3)
    # An adjoint is the transpose.
    assert_close((net.weight_jvp(w, X, v) * dY).sum(), net.weight_vjp(w, X, dY) @ v, 1e-11)
    assert_close((net.jvp(w, X, dX) * dY).sum(), (net.vjp(w, X, dY) * dX).sum(), 1e-11)
