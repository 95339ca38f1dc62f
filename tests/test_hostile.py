"""Things that nobody should do: they end in words, never in a crash or a quiet wrong answer."""

import subprocess
import sys

import numpy as np
import pytest
from cases import assert_same_bits

import mlpcore

EXIT = """
import threading, time
import numpy as np, mlpcore
net = mlpcore.Network((8, 50, 1))
w, X, T = net.init(seed=0), np.ones((20000, 8)), np.ones((20000, 1))
def train():
    mlpcore.train(net, w, X, T, epochs=10**6)
def call_back():
    mlpcore.train(net, w, X[:100], T[:100], epochs=10**6, callback=lambda *a: None)
def gradients():
    while True:
        net.gradient(w, X[:1000], T[:1000])
for work in (train, call_back, gradients):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.3)
print("leaving")
"""


def test_the_interpreter_exits_while_daemon_threads_compute():
    done = subprocess.run([sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")


def test_labels_that_change_during_a_training():
    """The labels are a copy from the call on: the kernels write where a label says."""
    net = mlpcore.Network((2, 3, 3), output="softmax")
    X, T = np.ones((100, 2)), np.zeros(100, np.int64)

    def spoil(*_):
        T[:] = 2**40

    settings = {"epochs": 5, "batch_size": 10, "seed": 0}
    expected = mlpcore.train(net, net.init(seed=0), X, T, **settings)
    result = mlpcore.train(net, net.init(seed=0), X, T, callback=spoil, **settings)
    assert (T == 2**40).all()
    assert result.stopped == "epochs"
    assert_same_bits(result.w, expected.w)
    assert_same_bits(result.history["training_error"], expected.history["training_error"])


@pytest.mark.parametrize("n", [1, 3, 64])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_padding_does_not_overflow(n, dtype):
    """With these weights an input of 0 would overflow, and no sample is 0."""
    big = 1e200 if dtype == "float64" else 1e25
    net = mlpcore.Network((1, 1, 1, 1), hidden="identity", dtype=dtype)
    w = np.array([big, big, big, 0, 0, 1.0])
    X, T = np.full((n, 1), -1.0), np.ones((n, 1))
    assert np.array_equal(net.gradient(w, X, T), np.zeros(6))
    assert np.array_equal(net.hessian_diagonal(w, X, T), [0, 0, 0, 0, 0, n])


def test_a_sample_without_weight_may_overflow():
    net = mlpcore.Network((1, 1))
    w, X, T = [1e200, 0.0], [[1.0], [1e-200]], [0.0, 0.0]
    error, gradient = net.error_and_gradient(w, X, T, sample_weight=[0, 1])
    assert error == 0.5
    assert np.isfinite(gradient).all()


SUMS = {
    "gradient": lambda net, w, X, T, g: net.gradient(w, X, T, g),
    "diagonal": lambda net, w, X, T, g: net.hessian_diagonal(w, X, T, g),
    "exact": lambda net, w, X, T, g: net.hessian(w, X, T, g),
    "gauss_newton": lambda net, w, X, T, g: net.hessian(w, X, T, g, kind="gauss_newton"),
    "empirical_fisher": lambda net, w, X, T, g: net.hessian(w, X, T, g, kind="empirical_fisher"),
    "product": lambda net, w, X, T, g: net.hessian_vector_product(w, w, X, T, g),
    "products": lambda net, w, X, T, g: net.hessian_vector_product(w, np.eye(40, 32), X, T, g),
}


@pytest.mark.parametrize("quantity", SUMS)
@pytest.mark.parametrize("hidden", ["tanh", "relu", "identity"])
def test_samples_without_weight_are_left_out_of_every_sum(quantity, hidden):
    """To the bit, where they overflow, the last one too, which the padding repeats."""
    rng = np.random.default_rng(0)
    net = mlpcore.Network((3, 5, 2), hidden=hidden)
    w = 1e3 * net.init(seed=0)
    X, T, weight = rng.normal(size=(20, 3)), rng.normal(size=(20, 2)), np.ones(20)
    X[[7, 19]], weight[[7, 19]] = 1e306, 0
    kept = weight > 0
    found = SUMS[quantity](net, w, X, T, weight)
    assert np.array_equal(found, SUMS[quantity](net, w, X[kept], T[kept], weight[kept]))
    assert not SUMS[quantity](net, w, X, T, 0 * weight).any()


@pytest.mark.parametrize("kept", [0, 1, 250, 300])
def test_samples_without_weight_do_not_change_the_way_of_the_sum(kept):
    """Up to 256 samples that count are summed in another order than more of them."""
    rng = np.random.default_rng(0)
    net = mlpcore.Network((90, 91, 3))
    w, X, T = net.init(seed=0), rng.normal(size=(400, 90)), rng.normal(size=(400, 3))
    rows = np.sort(rng.permutation(400)[:kept])
    weight = np.isin(np.arange(400), rows).astype(float)
    found = net.error_and_gradient(w, X, T, sample_weight=weight)
    expected = net.error_and_gradient(w, X[rows], T[rows], sample_weight=weight[rows])
    assert found[0] == expected[0]
    assert np.array_equal(found[1], expected[1])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gelu_far_out(dtype):
    net = mlpcore.Network((1, 1, 1), hidden="gelu", dtype=dtype)
    z = 1e20 if dtype == "float32" else 1e155  # its square overflows, that of the input does not
    for x in (-z / 1e5, z / 1e5):
        diagonal = net.hessian_diagonal([1e5, 0.0, 1 / z, 0.0], [[x]], [[0.0]])
        assert not np.isnan(diagonal[[0, 1, 3]]).any()  # that of w2 is z^2, beyond the type


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("hidden", ["gelu", "silu"])
def test_activations_of_a_sum_that_overflows(hidden, dtype):
    """z is -infinite, then infinite: 0 and infinity, slopes 0 and 1, not NaN."""
    net = mlpcore.Network((1, 1, 1), hidden=hidden, dtype=dtype)
    w = [0.9 * np.finfo(dtype).max, 0.0, 1.0, 0.0]
    assert net.forward(w, [[-4.0]]) == 0
    assert net.forward(w, [[4.0]]) == np.inf
    slope = mlpcore.Network((1, 1, 1), hidden=hidden, dtype=dtype).jacobian(w, [[-4.0], [4.0]])
    np.testing.assert_array_equal(slope.ravel(), np.array([0, w[0]], dtype=dtype))


@pytest.mark.parametrize("layers", [(3, 5, 4), (3, 5, 4, 4), (3, 4, 5, 4, 3)])
@pytest.mark.parametrize("scale", [1, 3, 8])
def test_curvature_of_a_saturated_softmax(layers, scale):
    """The Gauss-Newton diagonal is a sum of squares; float32 finds it as float64 does."""
    rng = np.random.default_rng(scale)
    net = mlpcore.Network(layers, output="softmax")
    single = mlpcore.Network(layers, output="softmax", dtype="float32")
    w = (scale * rng.standard_normal(net.n_weights)).astype(np.float32)
    X = rng.standard_normal((50, 3)).astype(np.float32)
    T = rng.integers(0, layers[-1], 50)
    for kind in ("exact", "gauss_newton"):
        expected = net.hessian_diagonal(w, X, T, kind=kind)
        found = single.hessian_diagonal(w, X, T, kind=kind)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * np.abs(expected).max())
        if kind == "gauss_newton":
            assert (expected >= 0).all()
            assert (found >= 0).all()


def test_conversions_that_can_not_fit():
    net = mlpcore.Network((1, 1))
    with pytest.raises(MemoryError, match="X as a contiguous array would take"):
        net.forward([1.0, 2.0], np.broadcast_to(np.float32(1), (10**13, 1)))
    net = mlpcore.Network((1, 1, 200_000, 1))
    with pytest.raises(MemoryError, match="working memory of hessian_diagonal would take"):
        net.hessian_diagonal(np.zeros(net.n_weights), [[1.0]], [[1.0]])
