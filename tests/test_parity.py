"""The compiled functions against ``mlpcore.reference``, in every instruction set."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from cases import (
    ACTIVATIONS,
    CASES,
    KINDS,
    OUTPUTS,
    QUANTITIES,
    SQUARES,
    TOLERANCE,
    Case,
    Problem,
    assert_close,
)

import mlpcore
from mlpcore import reference

DTYPES = ("float64", "float32")
#: What goes forward and back through the layers once.
MANY_TERMS = (
    "forward",
    "error_and_gradient",
    "jacobian",
    "per_sample_gradient",
    "jvp",
    "vjp",
    "weight_vjp",
)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_parity(case, quantity):
    if quantity in SQUARES and case.n_weights > 600:
        pytest.skip("the reference takes too long; test_hessian.py has large ones")
    problem, compute = case.problem(), QUANTITIES[quantity]
    actual = compute(case.network(), problem)
    expected = compute(case.reference(), problem.astype("float64"))
    assert_close(actual, expected, TOLERANCE[case.dtype])
    if not isinstance(actual, float | tuple):
        assert actual.dtype == case.dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 31, 64, 65, 128, 129, 256, 257])
@pytest.mark.parametrize(
    ("layers", "output", "weighted"),
    [
        ((200, 37, 23, 9), "softmax", False),
        ((21, 301, 7), "softmax", True),
        ((300, 40), "sigmoid", False),
        ((90, 100, 1), "linear", False),
    ],
    ids=str,
)
def test_gradient_of_many_weights_and_few_samples(layers, output, weighted, n, dtype):
    """From 8192 weights on and up to 256 samples it is made block by block of the weights."""
    hidden, flat = ("tanh", "gelu")[: len(layers) - 2], output != "sigmoid"
    case = Case(layers, hidden, output, n, weighted and n > 2, flat, dtype)
    assert case.n_weights > 8192
    problem, compute = case.problem(), QUANTITIES["error_and_gradient"]
    expected = compute(case.reference(), problem.astype("float64"))
    assert_close(compute(case.network(), problem), expected, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [5, 36, 37])
@pytest.mark.parametrize("layers", [(530, 9, 14, 3), (521, 11, 2)], ids=str)
def test_jacobian_of_many_inputs(layers, n, dtype):
    """The last product has several panels of inputs in every instruction set."""
    case = Case(layers, ("tanh", "gelu")[: len(layers) - 2], "softmax", n, dtype=dtype)
    problem = case.problem()
    expected = case.reference().jacobian(problem.w.astype("float64"), problem.X.astype("float64"))
    assert_close(case.network().jacobian(problem.w, problem.X), expected, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "weighted"), [(1, False), (33, True), (300, False)])
@pytest.mark.parametrize(
    ("layers", "output"),
    [
        ((1025, 3, 1), "linear"),
        ((2600, 14, 2), "sigmoid"),
        ((3, 4, 513, 2), "linear"),
        ((3, 1030, 40, 1), "linear"),
        ((2, 5, 7, 1100), "linear"),
        ((5, 1100, 30, 2), "softmax"),
        ((3, 40, 1025), "linear"),
        ((2, 14, 2100), "sigmoid"),
    ],
    ids=str,
)
def test_sums_of_many_terms(layers, output, n, weighted, dtype):
    """Of more than 1024 terms: in pieces, on the way forward and on the way back."""
    hidden = ("tanh", "gelu")[: len(layers) - 2]
    case = Case(layers, hidden, output, n, weighted, flat=False, dtype=dtype)
    problem = case.problem()
    takes_long = n * layers[-1] ** 2 > 1e8  # in the reference
    names = ("error_and_gradient",) if takes_long else MANY_TERMS
    if n == 33:  # enough samples for copies of the squared matrices
        names += ("hessian_diagonal-becker_lecun",)
    for name in names:
        compute = QUANTITIES[name]
        expected = compute(case.reference(), problem.astype("float64"))
        assert_close(compute(case.network(), problem), expected, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_activation_curve(hidden, dtype):
    """h and h', element by element, from one tail to the other; 1-1-1 has y = h(x)."""
    X = np.concatenate([np.linspace(-40, 40, 2001), [-1000, -100, 100, 1000]])[:, None]
    X, w = X.astype(dtype), np.array([1, 0, 1, 0], dtype)
    net, z = mlpcore.Network((1, 1, 1), hidden, dtype=dtype), X.astype("float64")
    h, d1, d2 = reference.ACTIVATIONS[hidden]
    rtol, atol = {"float64": (1e-13, 1e-15), "float32": (1e-5, 1e-6)}[dtype]
    np.testing.assert_allclose(net.forward(w, X), h(z), rtol=rtol, atol=atol)
    np.testing.assert_allclose(net.jacobian(w, X)[:, 0], d1(z, h(z)), rtol=10 * rtol, atol=atol)
    # Of one sample, d2E/db^2 = h'^2 + (y - t) h''; with t = y - 1 that is h'^2 + h''.
    rows = range(0, len(X), 40)
    curvature = [net.hessian_diagonal(w, X[[n]], h(z[[n]]) - 1)[1] for n in rows]
    expected = (d1(z, h(z)) ** 2 + d2(z, h(z)))[::40, 0]
    np.testing.assert_allclose(curvature, expected, rtol=10 * rtol, atol=100 * atol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_saturated_hidden_units(hidden, dtype):
    """Pre-activations of plus and minus 1000, and of exactly 0, in every quantity."""
    case = Case((1, 3, 2), hidden, dtype=dtype)
    W2 = [[1e-3, -2e-3, 3e-3], [-2e-3, 1e-3, 1e-3]]
    w = case.network().pack([([[1], [-1], [0.5]], [0, 0, 0]), (W2, [0.1, -0.1])])
    X = np.array([[-1000], [0], [1000], [3], [-3]])
    problem = Problem(w, X, np.zeros((5, 2))).astype(dtype)
    for compute in QUANTITIES.values():
        expected = compute(case.reference(), problem.astype("float64"))
        assert_close(compute(case.network(), problem), expected, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_logits_of_a_thousand(output, dtype):
    net = mlpcore.Network((2, 2), output=output, dtype=dtype)
    w = np.array([1, 0, 0, 1, 0, 0], dtype)
    X = np.array([[-1000, 1000], [1000, -1000]], dtype)
    right, wrong = np.array([[0, 1], [1, 0]], dtype), np.array([[1, 0], [0, 1]], dtype)
    assert net.forward(w, X).tolist() == right.tolist()
    assert net.error(w, X, right) == 0
    assert net.error(w, X, wrong) == 4000
    assert net.per_sample_gradient(w, X, wrong)[:, -2:].tolist() == [[-1, 1], [1, -1]]
    assert not net.jacobian(w, X).any()
    for kind in KINDS:
        assert not net.hessian_diagonal(w, X, wrong, kind=kind).any()


@pytest.mark.parametrize(
    ("dtype", "sizes"), [("float64", (1e12, 1e15, 1e20)), ("float32", (1e4, 1e6, 1e8))]
)
def test_large_logits_that_are_equal(dtype, sizes):
    """E = ln 2, which is beyond the digits of the logits."""
    net = mlpcore.Network((1, 2), output="softmax", dtype=dtype)
    for size in sizes:
        E = net.error([1, 1, 0, 0], [[size]], [0])
        assert E == pytest.approx(np.log(2), rel=4 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", DTYPES)
def test_probabilities_sum_to_one(dtype):
    case = Case((4, 9, 5), output="softmax", n=257, dtype=dtype)
    w, X, _, _ = case.problem()
    for scale in (1, 10, 300):
        y = case.network().forward(w * w.dtype.type(scale), X)
        assert (y >= 0).all()
        np.testing.assert_allclose(y.sum(axis=1), 1, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("layers", [(4, 3), (4, 5, 3), (4, 5, 6, 3)], ids=str)
def test_no_samples(layers, output, dtype):
    """N = 0: error 0, zero sums, arrays with a leading 0."""
    case = Case(layers, output=output, n=0, dtype=dtype)
    for flat in (False, output == "softmax"):
        T = np.zeros(0, int) if flat else np.zeros((0, 3), dtype)
        problem = case.problem()._replace(T=T)
        for weighted in (None, np.zeros(0, dtype)):
            for compute in QUANTITIES.values():
                actual = compute(case.network(), problem._replace(s=weighted))
                expected = compute(case.reference(), problem._replace(s=weighted))
                assert_close(actual, expected, 0)
                if not isinstance(expected, tuple):
                    assert not np.any(actual)


def test_error_and_gradient_is_both():
    case = Case((8, 50, 1), n=257, weighted=True)
    net, (w, X, T, s) = case.network(), case.problem()
    error, gradient = net.error_and_gradient(w, X, T, s)
    assert isinstance(error, float)
    assert isinstance(net.error(w, X, T, s), float)
    assert_close(error, net.error(w, X, T, s), 1e-14)
    assert_close(gradient, net.gradient(w, X, T, s), 1e-14)


FORCED = os.environ.get("MLPCORE_ISA")


def test_the_configuration(capsys):
    mlpcore.show_config()
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown["kernels"].split()[0] in mlpcore.available_isas()
    assert "-ffp-contract=fast" in shown["flags"]
    assert {"threads", "compiler", "build", "numpy"} < shown.keys()


def test_a_last_tile_that_is_shorter():
    """250 samples in tiles of 126 and 124: the shorter one rounds its rows up further."""
    net = mlpcore.Network((34, 1, 3))
    X = np.random.default_rng(0).normal(size=(8000, 34))
    assert_close(net.jacobian(net.init(0), X), reference.jacobian(net, net.init(0), X), 1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [1, 3, 400])
@pytest.mark.parametrize(
    ("layers", "output"),
    [((23, 9, 1), "linear"), *itertools.product([(5, 9, 3), (21, 9, 3), (70, 9, 3)], OUTPUTS)],
)
def test_jacobian_of_one_hidden_layer(layers, n, output, dtype):
    """The outputs share h' or not: it depends on the samples of a tile."""
    net = mlpcore.Network(layers, output=output, dtype=dtype)
    w, X = net.init(0), np.random.default_rng(0).normal(size=(n, layers[0])).astype(dtype)
    expected = reference.jacobian(net, w.astype("float64"), X.astype("float64"))
    assert_close(net.jacobian(w, X), expected, TOLERANCE[dtype])


@pytest.mark.parametrize(
    "layers", [(2, 7, 4), (9, 7, 4), (70, 65, 4), (9, 4), (130, 66, 5, 4)], ids=str
)
def test_jacobian_of_improbable_classes(layers):
    """Each row dy_k/dx is as exact as its own y_k is small: 1e-40 next to 1."""
    net = mlpcore.Network(layers, output="softmax")
    rng = np.random.default_rng(0)
    w, X = net.init(0), rng.normal(size=(37, layers[0]))
    *_, (W, b) = net.unpack(w)
    b[:] = [0, -90, -40, -1]
    W[1] *= 20
    long = np.longdouble
    a, J = X.astype(long), np.broadcast_to(np.eye(layers[0], dtype=long), (37,) + 2 * layers[:1])
    *hidden, _ = net.unpack(w)
    for V, c in hidden:
        a = np.tanh(a @ V.T.astype(long) + c)
        J = (1 - a**2)[:, :, None] * (V.astype(long) @ J)
    e = np.exp(a @ W.T.astype(long) + b)
    y, G = e / e.sum(1, keepdims=True), W.astype(long) @ J
    exact = y[:, :, None] * (G - np.einsum("nk,nki->ni", y, G)[:, None])
    # exp of a logit of some 100, with an error of 1e-14.
    scale = np.abs(exact).max(2, keepdims=True)
    assert np.max(np.abs(net.jacobian(w, X) - exact) / scale) < 1e-12


@pytest.mark.parametrize("sum_of_targets", [1 - 9e-7, 1 + 9e-7])
def test_targets_of_softmax_that_sum_to_nearly_1(sum_of_targets):
    """As those that another program has rounded: the gradient is that of the error all the same."""
    net = mlpcore.Network((3, 5, 4), output="softmax")
    rng = np.random.default_rng(0)
    w, X, v = net.init(0), rng.normal(size=(30, 3)), rng.normal(size=net.n_weights)
    data = X, sum_of_targets * rng.dirichlet(np.ones(4), size=30)
    g = net.gradient(w, *data)
    slopes = reference.complex_step(lambda u: reference.error(net, u, *data), w)
    assert_close(g, slopes, 1e-13)
    assert_close(net.error(w, *data), reference.error(net, w, *data), 1e-13)
    assert_close(net.per_sample_gradient(w, *data).sum(axis=0), g, 1e-13)
    H = net.hessian(w, *data)
    slopes = reference.complex_step(lambda u: reference.gradient(net, u, *data), w)
    assert_close(H, slopes, 1e-12)
    assert_close(net.hessian_vector_product(w, v, *data), H @ v, 1e-12)
    assert_close(net.hessian_diagonal(w, *data), np.diag(H), 1e-12)
    for kind in ("exact", "gauss_newton", "empirical_fisher"):
        expected = reference.hessian(net, w, *data, kind=kind)
        assert_close(net.hessian(w, *data, kind=kind), expected, 1e-12)
    for kind in ("exact", "gauss_newton", "becker_lecun"):
        expected = reference.hessian_diagonal(net, w, *data, kind=kind)
        assert_close(net.hessian_diagonal(w, *data, kind=kind), expected, 1e-12)
    for kind in ("exact", "gauss_newton"):
        expected = reference.hessian_vector_product(net, w, v, *data, kind=kind)
        assert_close(net.hessian_vector_product(w, v, *data, kind=kind), expected, 1e-12)


@pytest.mark.skipif(FORCED is None, reason="MLPCORE_ISA is not set")
def test_the_forced_instruction_set_is_in_use(capsys):
    mlpcore.show_config()
    assert re.search(rf"kernels\s+{FORCED}\b", capsys.readouterr().out)


@pytest.mark.skipif(FORCED is not None, reason="already inside such a run")
@pytest.mark.parametrize("isa", mlpcore.available_isas()[:-1])
def test_instruction_set(isa):
    """This file again for each build of the kernels but the last one, which is the default."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        command, env={**os.environ, "MLPCORE_ISA": isa}, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
