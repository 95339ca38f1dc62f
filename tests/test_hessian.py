"""The Hessian: against complex steps, its factors and its diagonal; its order, size, symmetry."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cases import (
    CASES_FLOAT64,
    HESSIAN_KINDS,
    OUTPUTS,
    Case,
    assert_close,
    assert_same_bits,
    complex_step,
)

import mlpcore
from mlpcore.regularizers import WeightDecay

SMALL = [case for case in CASES_FLOAT64 if case.n_weights < 200 and case.n <= 65]
LARGE = [
    Case((16, 64, 64, 4), ("tanh", "silu"), "softmax", n=130, weighted=True),
    Case((130, 33, 20), "relu", "softmax", n=19, flat=True),
    Case((5, 31, 30, 29, 28, 3), "gelu", "sigmoid", n=301),
    Case((2, 150, 1), "tanh", n=600, weighted=True),
    Case((90, 7), output="softmax", n=100),
    Case((70, 3, 2), n=40),
]
every_kind = pytest.mark.parametrize("kind", HESSIAN_KINDS)


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_rows_by_complex_steps(case):
    net, oracle, (w, X, T, s) = case.network(), case.reference(), case.problem()
    by_steps = complex_step(lambda w: oracle.gradient(w, X, T, s), w)
    assert_close(net.hessian(w, X, T, s), by_steps, 1e-12)
    assert_close(oracle.hessian(w, X, T, s), by_steps, 1e-12)


@every_kind
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_products_with_vectors(case, kind):
    """All of a large one, by its products with some vectors."""
    net, oracle, (w, X, T, s) = case.network(), case.reference(), case.problem()
    H, rng = net.hessian(w, X, T, s, kind=kind), np.random.default_rng(0)
    g, weights = oracle.per_sample_gradient(w, X, T), np.ones(case.n) if s is None else s
    for v in rng.normal(size=(3, w.size)):
        if kind == "exact":
            expected = oracle.gradient(w + 1e-30j * v, X, T, s).imag / 1e-30
        elif kind == "gauss_newton":
            expected = gauss_newton_product(case, w, X, weights, v)
        else:
            expected = (weights * (g @ v)) @ g
        assert_close(H @ v, expected, 1e-12)


def gauss_newton_product(case, w, X, weights, v):
    """sum_n s_n J_n^T B_n J_n v, J_n = dz^L/dw; J^T B = dy/dw, because B = dy/dz^L."""
    z = Case(case.layers, case.hidden).reference()
    y_of_z = Case((case.layers[-1],) * 2, output=case.output).reference()
    Jv = z.forward(w + 1e-30j * v, X).imag / 1e-30
    identity = np.concatenate([np.eye(Jv.shape[1]).ravel(), np.zeros(Jv.shape[1])])
    BJv = y_of_z.forward(identity, z.forward(w, X) + 1e-30j * Jv).imag / 1e-30
    return np.einsum("nkw,nk->w", z.weight_jacobian(w, X), weights[:, None] * BJv)


@every_kind
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layers", [(3, 2), (5, 9, 1), (4, 6, 7, 5, 3), (33, 3, 2)], ids=str)
def test_symmetric_to_the_last_bit(layers, dtype, kind):
    case = Case(layers, n=77, weighted=True, dtype=dtype)
    w, X, T, s = case.problem()
    H = case.network().hessian(w, X, T, s, kind=kind)
    assert H.dtype == dtype
    assert_same_bits(H, H.T.copy())


@pytest.mark.parametrize("kind", ["exact", "gauss_newton"])
@pytest.mark.parametrize("case", CASES_FLOAT64[:40], ids=str)
def test_the_diagonal(case, kind):
    net, (w, X, T, s) = case.network(), case.problem()
    diagonal = net.hessian_diagonal(w, X, T, s, kind=kind)
    assert_close(np.diag(net.hessian(w, X, T, s, kind=kind)), diagonal, 1e-12)


@every_kind
@pytest.mark.parametrize("layers", [(4, 3), (4, 6, 3), (4, 6, 5, 7, 3)], ids=str)
@pytest.mark.parametrize("output", OUTPUTS)
def test_blocks_have_the_bits_of_the_whole(layers, output, kind):
    case = Case(layers, "tanh", output, n=321, weighted=True)
    net, (w, X, T, s) = case.network(), case.problem()
    H, start = net.hessian(w, X, T, s, kind=kind), 0
    blocks = net.hessian_blocks(w, X, T, s, kind=kind)
    assert len(blocks) == len(layers) - 1
    for block, (m, n) in zip(blocks, itertools.pairwise(layers), strict=True):
        assert block.shape == (n * (m + 1),) * 2
        own = slice(start, start + n * (m + 1))
        assert_same_bits(block, H[own, own].copy())
        start = own.stop


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gauss_newton_and_fisher_are_not_indefinite(output, dtype):
    case = Case((3, 6, 5, 4), "softplus", output, n=50, dtype=dtype)
    net, (w, X, T, s) = case.network(), case.problem()
    for kind in HESSIAN_KINDS[1:]:
        eigenvalues = np.linalg.eigvalsh(net.hessian(3 * w, X, T, s, kind=kind).astype(float))
        assert eigenvalues[0] > -100 * np.finfo(dtype).eps * eigenvalues[-1]


def test_gauss_newton_is_exact_for_a_linear_network():
    case = Case((3, 4, 2), "identity", n=20)
    net, (w, X, _, _) = case.network(), case.problem()
    T = net.forward(w, X)  # then delta = 0, and with it what Gauss-Newton leaves out
    assert_close(net.hessian(w, X, T, kind="gauss_newton"), net.hessian(w, X, T), 1e-13)


def test_linear_regression_by_hand():
    net = mlpcore.Network((1, 1))
    H = net.hessian([2.0, 1.0], [[3.0], [5.0]], [0.0, 0.0], sample_weight=[1, 2])
    assert H.tolist() == [[9 + 2 * 25, 3 + 2 * 5], [3 + 2 * 5, 3]]
    fisher = net.hessian([2.0, 1.0], [[3.0]], [6.0], kind="empirical_fisher")  # g = (3, 1)
    assert fisher.tolist() == [[9, 3], [3, 1]]


def test_the_order_of_netlab():
    """mlphess of NETLAB has [w1(:)', b1, w2(:)', b2] with w1 (inputs x hidden), w2 (hidden x
    outputs); (:) goes along the columns. That is our order already."""
    D, M, K = 4, 3, 2
    net = mlpcore.Network((D, M, K))
    (W1, b1), (W2, b2) = net.unpack(np.arange(net.n_weights))
    netlab = [W1.T.ravel(order="F"), b1, W2.T.ravel(order="F"), b2]
    assert np.concatenate(netlab).tolist() == list(range(net.n_weights))


def test_the_product_of_netlab():
    """mlphdotv of NETLAB, its equations for linear outputs, in its order and with its alpha."""
    D, M, K, alpha = 4, 3, 2, 0.3
    case = Case((D, M, K), n=30)
    net, (w, X, T, _) = case.network(), case.problem()
    v = np.random.default_rng(0).normal(size=w.size)

    def matrices(x):  # w1 (D, M), b1, w2 (M, K), b2, each along the columns
        w1, b1, w2, b2 = np.split(x, np.cumsum([D * M, M, M * K]))
        return w1.reshape((D, M), order="F"), b1, w2.reshape((M, K), order="F"), b2

    w1, b1, w2, b2 = matrices(w)
    v1, c1, v2, c2 = matrices(v)
    z = np.tanh(X @ w1 + b1)
    zprime, zpprime = 1 - z**2, -2 * z * (1 - z**2)
    rz = zprime * (X @ v1 + c1)
    ry = rz @ w2 + z @ v2 + c2
    delout = z @ w2 + b2 - T
    delhid = delout @ w2.T
    rdelhid = zpprime * (X @ v1 + c1) * delhid + zprime * (delout @ v2.T + ry @ w2.T)
    parts = (X.T @ rdelhid, rdelhid.sum(0), rz.T @ delout + z.T @ ry, ry.sum(0))
    hdv = np.concatenate([part.ravel(order="F") for part in parts]) + alpha * v
    found = net.hessian_vector_product(w, v, X, T, regularizer=WeightDecay(alpha))
    assert_close(found, hdv, 1e-13)


def test_hidden_units_exchanged():
    """Exchanging hidden units permutes rows and columns."""
    case = Case((3, 6, 2), "silu", n=40)
    net, (w, X, T, s) = case.network(), case.problem()
    order = np.random.default_rng(0).permutation(6)
    (W1, b1), (W2, b2) = net.unpack(np.arange(net.n_weights))
    moved = net.pack([(W1[order], b1[order]), (W2[:, order], b2)]).astype(int)
    H, other = net.hessian(w, X, T, s), net.hessian(w[moved], X, T, s)
    assert_close(other, H[np.ix_(moved, moved)], 1e-13)


@every_kind
def test_no_samples(kind):
    net = mlpcore.Network((3, 4, 2))
    w = net.init(seed=0)
    assert not net.hessian(w, np.zeros((0, 3)), np.zeros((0, 2)), kind=kind).any()
    for block in net.hessian_blocks(w, np.zeros((0, 3)), np.zeros((0, 2)), kind=kind):
        assert not block.any()


@every_kind
@pytest.mark.parametrize("own", list(itertools.product([False, True], repeat=3)), ids=str)
def test_an_ensemble(own, kind):
    """With X, T and sample_weight shared, or each network's own."""
    case = Case((3, 7, 5, 2), "tanh", n=70, weighted=True)
    net, (_, *data) = case.network(), case.problem()
    w = np.stack([net.init(seed=seed) for seed in range(4)])
    pairs = list(zip(data, own, strict=True))
    of_each = [[np.roll(a, i if o else 0, axis=0) for a, o in pairs] for i in range(4)]
    stacks = [np.stack(copies) for copies in zip(*of_each, strict=True)]
    given = [stack if o else a for stack, (a, o) in zip(stacks, pairs, strict=True)]
    together = net.hessian(w, *given, kind=kind)
    blocks = net.hessian_blocks(w, *given, kind=kind)
    assert together.shape == (4, net.n_weights, net.n_weights)
    for i in range(4):
        assert_same_bits(together[i], net.hessian(w[i], *of_each[i], kind=kind))
        alone = net.hessian_blocks(w[i], *of_each[i], kind=kind)
        for stacked, block in zip(blocks, alone, strict=True):
            assert_same_bits(stacked[i], block)


@every_kind
@pytest.mark.parametrize("layers", [(8, 30, 2), (6, 12, 13, 9, 4)], ids=str)
def test_the_same_bits_for_any_number_of_threads(layers, kind):
    case = Case(layers, "silu", "softmax", n=3001, weighted=True)
    net, (w, X, T, s) = case.network(), case.problem()
    results = []
    for threads in (1, 2, 3):
        mlpcore.set_num_threads(threads)
        results.append(net.hessian(w, X, T, s, kind=kind))
    for result in results[1:]:
        assert_same_bits(result, results[0])


def test_refusals():
    net = mlpcore.Network((3, 4, 2))
    w, X, T = net.init(seed=0), np.zeros((5, 3)), np.zeros((5, 2))
    for method in (net.hessian, net.hessian_blocks):
        with pytest.raises(ValueError, match="kind is 'full', expected one of exact, gauss_newton"):
            method(w, X, T, kind="full")
    large = mlpcore.Network((784, 2000, 1000, 10))
    w, X, T = np.zeros(large.n_weights), np.zeros((1, 784)), np.zeros((1, 10))
    with pytest.raises(MemoryError, match=r"hessian of shape \(3581010, 3581010\) .* GiB"):
        large.hessian(w, X, T)
    with pytest.raises(MemoryError, match=r"hessian_blocks would take .* GiB"):
        large.hessian_blocks(w, X, T)
