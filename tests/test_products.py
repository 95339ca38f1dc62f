"""Hessian-vector products and their kin: identities that hold between the quantities."""

from __future__ import annotations

import itertools
import pickle
import re
import sys

import numpy as np
import pytest
from cases import CASES_FLOAT64, PRODUCT_KINDS, Case, assert_close, assert_same_bits, complex_step

import mlpcore
from mlpcore.regularizers import L1

SMALL = [case for case in CASES_FLOAT64 if case.n_weights < 200 and case.n <= 65]
every_small_case = pytest.mark.parametrize("case", SMALL, ids=str)
kinds = pytest.mark.parametrize("kind", PRODUCT_KINDS)


@every_small_case
def test_products_with_the_unit_vectors_are_the_hessian(case):
    """By complex steps of the gradient, exact to rounding."""
    net, oracle, (w, X, T, s) = case.network(), case.reference(), case.problem()
    hessian = complex_step(lambda w: oracle.gradient(w, X, T, s), w)
    rows = net.hessian_vector_product(w, np.eye(case.n_weights), X, T, s)
    assert_close(rows, hessian, 1e-12)
    assert_close(rows, rows.T, 1e-12)


@every_small_case
def test_gauss_newton_is_outer_products(case):
    """sum_n J^T B J with J = dz^L/dw and B = dy/dz^L (PRML 5.84, 5.85)."""
    net, oracle, (w, X, T, s) = case.network(), case.reference(), case.problem()
    J = complex_step(lambda w: oracle.forward(w, X, logits=True), w)
    y = net.forward(w, X)
    B = mlpcore.reference.OUTPUTS[case.output].curvature(y)
    s_ = np.ones(case.n) if s is None else s
    hessian = np.einsum("n,nai,nab,nbj->ij", s_, J, B, J)
    rows = net.hessian_vector_product(w, np.eye(case.n_weights), X, T, s, kind="gauss_newton")
    assert_close(rows, hessian, 1e-12)


@kinds
@pytest.mark.parametrize("m", [1, 2, 8, 9, 33, 50])
@pytest.mark.parametrize(
    "case", [Case((8, 50, 1), n=300), Case((5, 9, 7, 3), "gelu", "softmax", n=70)], ids=str
)
def test_a_block_is_its_products_one_by_one(case, m, kind):
    net, problem = case.network(), case.problem()
    w, X, T, _ = problem
    V = problem.directions(m)
    block = net.hessian_vector_product(w, V, X, T, kind=kind)
    one_by_one = [net.hessian_vector_product(w, v, X, T, kind=kind) for v in V]
    assert_close(block, np.array(one_by_one), 1e-13)


@kinds
@pytest.mark.parametrize("own", list(itertools.product([False, True], repeat=3)), ids=str)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("m", [None, 1, 3, 40])
def test_ensembles(m, threads, own, kind):
    """With X, T and sample_weight shared, or each network's own."""
    mlpcore.set_num_threads(threads)
    S = 3
    case = Case((4, 6, 5, 2), n=150, weighted=True)
    net, (_, *data) = case.network(), case.problem()
    rng = np.random.default_rng(0)
    w = rng.normal(size=(S, net.n_weights))
    v = rng.normal(size=(S, net.n_weights) if m is None else (S, m, net.n_weights))
    pairs = list(zip(data, own, strict=True))
    of_each = [[np.roll(a, s if o else 0, axis=0) for a, o in pairs] for s in range(S)]
    stacks = [np.stack(copies) for copies in zip(*of_each, strict=True)]
    given = [stack if o else a for stack, (a, o) in zip(stacks, pairs, strict=True)]
    together = net.hessian_vector_product(w, v, *given, kind=kind)
    assert together.shape == v.shape
    for s in range(S):
        alone = net.hessian_vector_product(w[s], v[s], *of_each[s], kind=kind)
        assert_same_bits(together[s], alone)


@pytest.mark.parametrize("own_X", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_ensembles_of_the_others(own, own_X):
    S = 3
    case = Case((4, 6, 5, 2), output="softmax", n=50)
    net, (_, X, _, _) = case.network(), case.problem()
    rng = np.random.default_rng(0)
    front = (S,) if own else ()
    w = rng.normal(size=(S, net.n_weights))
    v, dX = rng.normal(size=(*front, net.n_weights)), rng.normal(size=(*front, *X.shape))
    dY = rng.normal(size=(*front, 50, 2))
    X = np.stack([np.roll(X, s, axis=0) for s in range(S)]) if own_X else X
    calls = {
        "output_hessian": (lambda w, X, _: net.output_hessian(w, X), dX),
        "jvp": (net.jvp, dX),
        "vjp": (net.vjp, dY),
        "weight_jvp": (net.weight_jvp, v),
        "weight_vjp": (net.weight_vjp, dY),
    }
    for call, extra in calls.values():
        together = call(w, X, extra)
        for s in range(S):
            alone = call(w[s], X[s] if own_X else X, extra[s] if own else extra)
            assert_same_bits(together[s], alone)


def test_no_vectors():
    case = Case((3, 4, 1))
    net, (w, X, T, _) = case.network(), case.problem()
    assert net.hessian_vector_product(w, np.zeros((0, net.n_weights)), X, T).shape == (0, 21)


@every_small_case
def test_jacobian_products(case):
    net, (w, X, _, _) = case.network(), case.problem()
    rng = np.random.default_rng(1)
    dX, dY = rng.normal(size=X.shape), rng.normal(size=(case.n, case.layers[-1]))
    v = rng.normal(size=net.n_weights)
    J, J_w = net.jacobian(w, X), net.weight_jacobian(w, X)
    assert_close(net.jvp(w, X, dX), np.einsum("nkd,nd->nk", J, dX), 1e-12)
    assert_close(net.vjp(w, X, dY), np.einsum("nkd,nk->nd", J, dY), 1e-12)
    assert_close(net.weight_jvp(w, X, v), J_w @ v, 1e-12)
    assert_close(net.weight_vjp(w, X, dY), np.einsum("nkw,nk->w", J_w, dY), 1e-12)


@every_small_case
def test_output_hessian(case):
    net, oracle, (w, X, _, _) = case.network(), case.reference(), case.problem()
    hessian = net.output_hessian(w, X)
    by_steps = complex_step(lambda step: oracle.jacobian(w, X + step), np.zeros(X.shape[1]))
    assert_close(hessian, by_steps, 1e-12, floor=1e-3)
    assert_same_bits(hessian, np.ascontiguousarray(hessian.swapaxes(2, 3)))


@kinds
def test_hessian_operator(kind):
    linalg = pytest.importorskip("scipy.sparse.linalg")
    case = Case((3, 7, 2), output="softmax", weighted=True)
    net, (w, X, T, s) = case.network(), case.problem()
    operator = net.hessian_operator(w, X, T, s, kind=kind)
    matrix = net.hessian_vector_product(w, np.eye(net.n_weights), X, T, s, kind=kind)
    V = case.problem().directions(4).T
    assert operator.shape == matrix.shape
    assert operator.dtype == net.dtype
    assert_close(operator @ V[:, 0], matrix @ V[:, 0], 1e-12)
    assert_close(operator @ V, matrix @ V, 1e-12)
    assert_close(operator.T @ V, matrix @ V, 1e-12)
    highest = linalg.eigsh(operator, k=2, return_eigenvectors=False)
    assert_close(np.sort(highest), np.sort(np.linalg.eigvalsh(matrix))[-2:], 1e-8)
    with pytest.raises(ValueError, match="T has shape"):
        net.hessian_operator(w, X, T[:3], kind=kind)


@kinds
def test_hessian_operator_with_a_regularizer(kind):
    pytest.importorskip("scipy")
    case = Case((3, 7, 2), output="softmax", weighted=True)
    net, (w, X, T, s), R = case.network(), case.problem(), L1(0.5)
    operator = net.hessian_operator(w, X, T, s, kind, regularizer=R)
    matrix = net.hessian(w, X, T, s, kind, regularizer=R)
    assert_close(operator @ np.eye(net.n_weights), matrix, 1e-12)
    assert_close(operator @ w, matrix @ w, 1e-12)


@kinds
def test_hessian_operator_in_another_process(kind):
    """What a pool of processes is given is pickled."""
    pytest.importorskip("scipy")
    case = Case((3, 7, 2), output="softmax", weighted=True)
    net, (w, X, T, s) = case.network(), case.problem()
    operator = net.hessian_operator(w, X, T, s, kind, regularizer=L1(0.5))
    again = pickle.loads(pickle.dumps(operator))
    V = case.problem().directions(4).T
    assert_same_bits(again @ V, operator @ V)
    assert_same_bits(again @ V[:, 0], operator @ V[:, 0])


def test_hessian_operator_without_scipy(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "scipy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scipy", None)
    case = Case((3, 7, 2))
    w, X, T, _ = case.problem()
    with pytest.raises(ImportError, match=r"net\.hessian_operator needs SciPy: pip install"):
        case.network().hessian_operator(w, X, T)


W = 21
WRONG = [
    ("hessian_vector_product", "v", np.zeros(20), "v has shape (20,), expected (21,) or, for m"),
    ("hessian_vector_product", "v", np.zeros((2, 20)), "v has shape (2, 20), expected (21,) or"),
    ("hessian_vector_product", "v", np.zeros((1, 1, W)), "v has shape (1, 1, 21), expected (21,)"),
    ("hessian_vector_product", "v", np.full(W, np.nan), "v is not finite: v[0] is nan"),
    ("hessian_vector_product", "kind", "becker_lecun", "kind is 'becker_lecun', expected one of"),
    ("jvp", "dX", np.zeros((9, 2)), "dX has shape (9, 2), expected (9, 3)"),
    ("vjp", "dY", np.zeros(9), "dY has shape (9,), expected (9, 1)"),
    ("weight_jvp", "v", np.zeros((2, W)), "v has shape (2, 21), expected (21,)"),
    ("weight_vjp", "dY", np.full((9, 1), np.inf), "dY is not finite: dY[0, 0] is inf"),
]


@pytest.mark.parametrize(("method", "argument", "value", "message"), WRONG)
def test_errors_in_words(method, argument, value, message):
    case = Case((3, 4, 1), n=9)
    net, (w, X, T, _) = case.network(), case.problem()
    good = {
        "hessian_vector_product": {"v": w, "T": T},
        "jvp": {"dX": X},
        "vjp": {"dY": T},
        "weight_jvp": {"v": w},
        "weight_vjp": {"dY": T},
    }[method]
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(net, method)(w=w, X=X, **(good | {argument: value}))


def test_a_result_too_large_is_refused_with_its_size():
    net = mlpcore.Network((20_000, 2, 1))
    w = np.zeros(net.n_weights)
    with pytest.raises(MemoryError, match=r"output_hessian of shape .* would take .* GiB"):
        net.output_hessian(w, np.zeros((1000, 20_000)))
