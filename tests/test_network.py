"""A Network: what it knows of itself, its weights, and how it travels."""

from __future__ import annotations

import copy
import inspect
import pickle

import numpy as np
import pytest
from cases import ACTIVATIONS, Case

import mlpcore

SCHEMES = ("auto", "glorot", "he", "lecun", "normal", "zeros")


def test_attributes():
    net = mlpcore.Network([8, 50, 20, 3], ["tanh", "relu"], "softmax", "float32")
    assert net.layers == (8, 50, 20, 3)
    assert net.hidden == ("tanh", "relu")
    assert net.output == "softmax"
    assert net.dtype == np.float32
    assert (net.n_inputs, net.n_outputs) == (8, 3)
    assert net.n_weights == 9 * 50 + 51 * 20 + 21 * 3


def test_defaults():
    net = mlpcore.Network((2, 3, 4, 1))
    assert (net.hidden, net.output, net.dtype) == (("tanh", "tanh"), "linear", np.float64)
    assert mlpcore.Network((2, 1)).hidden == ()


@pytest.mark.parametrize("layers", [[2, 3], (2, 3), np.array([2, 3]), (np.int32(2), np.int64(3))])
def test_layers_are_plain_integers(layers):
    net = mlpcore.Network(layers)
    assert net.layers == (2, 3)
    assert all(type(n) is int for n in net.layers)


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32")], ids=str)
def test_dtype_by_name_or_type(dtype):
    assert mlpcore.Network((2, 1), dtype=dtype) == mlpcore.Network((2, 1), dtype="float32")


def test_equality_and_hash():
    net = mlpcore.Network((2, 3, 1))
    same = mlpcore.Network([2, 3, 1], ["tanh"], "linear", np.float64)
    assert net == same
    assert hash(net) == hash(same)
    for other in [
        mlpcore.Network((2, 4, 1)),
        mlpcore.Network((2, 3, 1), "relu"),
        mlpcore.Network((2, 3, 1), output="sigmoid"),
        mlpcore.Network((2, 3, 1), dtype="float32"),
        (2, 3, 1),
        None,
    ]:
        assert net != other


@pytest.mark.parametrize("name", ["layers", "hidden", "output", "dtype", "n_weights"])
def test_a_network_does_not_change(name):
    net = mlpcore.Network((2, 3, 1))
    with pytest.raises(AttributeError):
        setattr(net, name, getattr(net, name))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol):
    case = Case((3, 7, 5, 2), ("gelu", "silu"), "sigmoid", dtype="float32")
    net, (w, X, _, _) = case.network(), case.problem()
    loaded = pickle.loads(pickle.dumps(net, protocol))
    assert loaded == net
    assert loaded.forward(w, X).tobytes() == net.forward(w, X).tobytes()


def test_copies():
    net = mlpcore.Network((3, 7, 2), "relu")
    assert copy.copy(net) == net
    assert copy.deepcopy(net) == net


def test_repr():
    text = repr(mlpcore.Network((3, 7, 5, 2), ("tanh", "relu"), "softmax", "float32"))
    for part in ("Network", "3, 7, 5, 2", "tanh", "relu", "softmax", "float32"):
        assert part in text


def test_weights_are_in_the_documented_order():
    """Layer by layer: W row-major, then b."""
    net = mlpcore.Network((2, 3, 1))
    w = np.arange(13.0)
    (W1, b1), (W2, b2) = net.unpack(w)
    assert W1.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert (b1.tolist(), W2.tolist(), b2.tolist()) == ([6, 7, 8], [[9, 10, 11]], [12])
    assert net.pack([(W1, b1), (W2, b2)]).tolist() == w.tolist()


def test_unpack_gives_views():
    net = mlpcore.Network((2, 3, 1))
    w = net.init(seed=0)
    for parameter in (p for pair in net.unpack(w) for p in pair):
        assert np.shares_memory(parameter, w)
        parameter[...] = 5
    assert (w == 5).all()


def test_unpack_and_pack_of_an_ensemble():
    net = mlpcore.Network((2, 3, 1))
    w = np.stack([net.init(seed, "normal") for seed in range(4)])
    parts = net.unpack(w)
    assert [(W.shape, b.shape) for W, b in parts] == [((4, 3, 2), (4, 3)), ((4, 1, 3), (4, 1))]
    assert all(np.shares_memory(parameter, w) for pair in parts for parameter in pair)
    for s in range(4):
        for pair, alone in zip(parts, net.unpack(w[s]), strict=True):
            assert [p[s].tolist() for p in pair] == [p.tolist() for p in alone]
    assert net.pack(parts).tolist() == w.tolist()
    assert [W.shape for W, _ in net.unpack(w[:0])] == [(0, 3, 2), (0, 1, 3)]
    assert net.pack(net.unpack(w[:0])).shape == (0, 13)
    with pytest.raises(ValueError, match=r"w has shape \(2, 12\), .* for S networks, \(S, 13\)$"):
        net.unpack(np.zeros((2, 12)))
    with pytest.raises(ValueError, match=r"w has shape \(1, 1, 13\), expected \(13,\) or"):
        net.unpack(np.zeros((1, 1, 13)))
    with pytest.raises(ValueError, match=r"b of parts\[0\] has shape \(3,\), expected \(4, 3\)"):
        net.pack([(parts[0][0], parts[0][1][0]), parts[1]])
    with pytest.raises(
        ValueError, match=r"W of parts\[1\] has shape \(3, 1, 3\), expected \(4, 1, 3"
    ):
        net.pack([parts[0], (parts[1][0][:3], parts[1][1][:3])])


def test_every_method_but_one_takes_an_ensemble():
    net, X = mlpcore.Network((2, 3, 1)), np.ones((5, 2))
    w, T = np.stack([net.init(0), net.init(1)]), np.ones((5, 1))
    arguments = {"w": w, "X": X, "T": T, "v": w, "dX": X, "dY": T}
    for name, method in inspect.getmembers(mlpcore.Network, inspect.isfunction):
        needed = [
            argument
            for argument, parameter in inspect.signature(method).parameters.items()
            if parameter.default is parameter.empty
        ]
        if "w" in needed and name not in ("unpack", "hessian_operator"):
            results = method(net, **{argument: arguments[argument] for argument in needed[1:]})
            results = results if isinstance(results, tuple | list) else (results,)
            assert {np.shape(result)[0] for result in results} == {2}, name


def test_out_and_regularizer_are_given_by_name():
    """They stand in no order that anybody would know."""
    parameters = [
        (name, parameter)
        for name, method in inspect.getmembers(mlpcore.Network, inspect.isfunction)
        for parameter in inspect.signature(method).parameters.values()
        if parameter.name in ("out", "regularizer")
    ]
    assert {name for name, _ in parameters} >= {"forward", "error", "gradient", "hessian_blocks"}
    assert [name for name, p in parameters if p.kind is not p.KEYWORD_ONLY] == []
    net, X = mlpcore.Network((2, 3, 1)), np.ones((5, 2))
    with pytest.raises(TypeError, match="positional arguments"):
        net.gradient(net.init(0), X, X[:, 0], None, np.zeros(13))


def test_the_hessian_operator_takes_one_network():
    pytest.importorskip("scipy.sparse.linalg")
    net, X = mlpcore.Network((2, 3, 1)), np.ones((5, 2))
    message = r"w has shape \(2, 13\), expected \(13,\): hessian_operator takes one network$"
    with pytest.raises(ValueError, match=message):
        net.hessian_operator(np.zeros((2, 13)), X, X[:, 0])
    with pytest.raises(ValueError, match=r"w has shape \(12,\), expected \(13,\)"):
        net.hessian_operator(np.zeros(12), X, X[:, 0])
    assert net.hessian_operator([0.1] * 13, X, X[:, 0]).shape == (13, 13)


def test_pack_copies_and_takes_what_is_like_an_array():
    net = mlpcore.Network((2, 1), dtype="float32")
    W, b = np.array([[1.0, 2.0]], order="F"), np.array([3])
    w = net.pack([(W, b)])
    assert (w.tolist(), w.dtype) == ([1, 2, 3], np.float32)
    assert net.pack([([[1, 2]], [3])]).tolist() == [1, 2, 3]
    assert not np.shares_memory(w, W)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_init(scheme, dtype):
    net = mlpcore.Network((200, 300, 100), "relu", dtype=dtype)
    w = net.init(seed=1, scheme=scheme)
    assert (w.shape, w.dtype) == ((net.n_weights,), net.dtype)
    assert np.isfinite(w).all()
    assert w.tobytes() == net.init(seed=1, scheme=scheme).tobytes()
    different = w.tobytes() != net.init(seed=2, scheme=scheme).tobytes()
    assert different == (scheme != "zeros")
    for W, _ in net.unpack(w):
        assert abs(W.mean()) <= 4 * W.std() / np.sqrt(W.size)


@pytest.mark.parametrize(
    ("scheme", "variance"),
    [
        ("glorot", lambda m, n: 2 / (m + n)),
        ("he", lambda m, n: 2 / m),
        ("lecun", lambda m, n: 1 / m),
        ("zeros", lambda m, n: 0),
    ],
)
def test_variance_of_the_initial_weights(scheme, variance):
    net = mlpcore.Network((200, 300, 100), "tanh")
    for W, b in net.unpack(net.init(seed=3, scheme=scheme)):
        n, m = W.shape
        np.testing.assert_allclose(W.var(), variance(m, n), rtol=0.05)
        assert not b.any()


def test_init_without_a_seed_differs():
    net = mlpcore.Network((3, 4, 1))
    assert (net.init() != net.init()).any()


@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_auto_init_keeps_signals_alive(hidden):
    """Through six layers neither the signal nor the gradient vanishes or explodes."""
    net = mlpcore.Network((20, *[60] * 5, 1), hidden)
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(200, 20)), net.init(seed=0)
    y = net.forward(w, X)
    gradient = net.gradient(w, X, y + 1) / len(X)
    assert np.abs(y).max() < 100
    assert np.linalg.norm(gradient) < 100
    assert np.abs(net.unpack(gradient)[0][0]).max() > 1e-8


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_results_are_new_plain_arrays(dtype):
    case = Case((3, 4, 2), n=5, dtype=dtype)
    net, (w, X, T, _) = case.network(), case.problem()
    results = {
        (5, 2): net.forward(w, X),
        (26,): net.gradient(w, X, T),
        (5, 2, 3): net.jacobian(w, X),
        (5, 2, 26): net.weight_jacobian(w, X),
        (5, 26): net.per_sample_gradient(w, X, T),
    }
    for shape, result in results.items():
        assert (type(result), result.shape, result.dtype) == (np.ndarray, shape, net.dtype)
        assert result.flags.c_contiguous
        assert result.flags.writeable
        assert not any(np.shares_memory(result, value) for value in (w, X, T))
    identity = mlpcore.Network((2, 2), dtype=dtype)
    assert not np.shares_memory(identity.forward(np.zeros(6, dtype), X[:, :2]), X)
