"""The ensemble axis: S networks at once have the bits that each has alone."""

from typing import get_args

import numpy as np
import pytest

import mlpcore
from mlpcore.schedules import Cosine, Plateau

S, N = 5, 37
NETS = [
    mlpcore.Network((3, 4, 1)),
    mlpcore.Network((3, 4, 2), hidden="softplus", output="sigmoid"),
    mlpcore.Network((2, 7, 5, 3), hidden=("relu", "tanh"), output="softmax"),
    mlpcore.Network((3, 2), output="linear", dtype="float32"),
    mlpcore.Network((61, 140, 2)),  # whose gradient is made block by block
]


def problem(net, own, flat=False):
    """Weights, inputs, targets and sample weights, shared or with one part for each network."""
    rng = np.random.default_rng(1)
    front = (S,) if own else ()
    w = rng.standard_normal((S, net.n_weights))
    X = rng.standard_normal((*front, N, net.n_inputs))
    sample_weight = rng.uniform(0, 2, (*front, N))
    if net.output == "softmax" and flat:
        T = rng.integers(0, net.n_outputs, (*front, N))
    else:
        T = rng.uniform(0, 1, (*front, N, net.n_outputs))
        if net.output == "softmax":
            T /= T.sum(axis=-1, keepdims=True)
        if flat:
            T = T[..., 0]
    return tuple(np.asarray(a, net.dtype if a.dtype.kind == "f" else None) for a in
                 (w, X, T, sample_weight))  # fmt: skip


def part(array, s, own):
    return array[s] if own else array


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    ("net", "flat"),
    [
        pytest.param(net, flat, id=f"{net!r}{'-flat' * flat}")
        for net in NETS
        for flat in (False, True)
        if not flat or net.output == "softmax" or net.n_outputs == 1
    ],
)
def test_each_network_is_what_it_is_alone(net, own, flat, threads):
    mlpcore.set_num_threads(threads)
    w, X, T, g = problem(net, own, flat)
    together = {
        "forward": net.forward(w, X),
        "logits": net.forward(w, X, logits=True),
        "error": net.error(w, X, T, g),
        "gradient": net.gradient(w, X, T, g),
        "jacobian": net.jacobian(w, X),
        "weight_jacobian": net.weight_jacobian(w, X),
        "per_sample_gradient": net.per_sample_gradient(w, X, T),
        "exact": net.hessian_diagonal(w, X, T, g),
        "becker_lecun": net.hessian_diagonal(w, X, T, kind="becker_lecun"),
    }
    for s in range(S):
        x, t, weight = part(X, s, own), part(T, s, own), part(g, s, own)
        alone = {
            "forward": net.forward(w[s], x),
            "logits": net.forward(w[s], x, logits=True),
            "error": net.error(w[s], x, t, weight),
            "gradient": net.gradient(w[s], x, t, weight),
            "jacobian": net.jacobian(w[s], x),
            "weight_jacobian": net.weight_jacobian(w[s], x),
            "per_sample_gradient": net.per_sample_gradient(w[s], x, t),
            "exact": net.hessian_diagonal(w[s], x, t, weight),
            "becker_lecun": net.hessian_diagonal(w[s], x, t, kind="becker_lecun"),
        }
        for name, expected in alone.items():
            assert together[name].shape == (S, *np.shape(expected)), name
            assert np.array_equal(together[name][s], expected), name


def test_mixed_sharing():
    """Own inputs with shared targets, shared inputs with own weights of the samples."""
    net = NETS[0]
    w, X, T, g = problem(net, own=True)
    both = net.gradient(w, X, T[0], g)
    other = net.gradient(w, X[0], T, g[0])
    for s in range(S):
        assert np.array_equal(both[s], net.gradient(w[s], X[s], T[0], g[s]))
        assert np.array_equal(other[s], net.gradient(w[s], X[0], T[s], g[0]))


def test_large_networks_one_after_the_other():
    net = mlpcore.Network((20, 60, 40, 1))
    rng = np.random.default_rng(0)
    w, X, T = (
        rng.standard_normal((3, net.n_weights)),
        rng.standard_normal((3000, 20)),
        np.ones(3000),
    )
    g = net.gradient(w, X, T)
    for s in range(3):
        assert np.array_equal(g[s], net.gradient(w[s], X, T))


def test_no_networks():
    net = NETS[0]
    w, X, T, _ = problem(net, own=False)
    assert net.error(w[:0], X, T).shape == (0,)
    assert net.jacobian(w[:0], X).shape == (0, N, 1, 3)
    assert len(mlpcore.train(net, w[:0], X, T)) == 0


def test_no_samples():
    net = NETS[0]
    w, X, T, _ = problem(net, own=True)
    assert np.array_equal(net.error(w, X[:, :0], T[:, :0]), np.zeros(S))
    assert np.array_equal(net.gradient(w, X[:, :0], T[:, :0]), np.zeros(w.shape))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("X", np.zeros((4, N, 3)), r"X has shape \(4, 37, 3\), expected \(N, 3\) or \(5, N, 3\)"),
        ("T", np.zeros((4, N)), r"T has shape \(4, 37\), expected \(37, 1\) or \(5, 37, 1\)"),
        ("sample_weight", np.zeros((4, N)), r"expected \(37,\) or \(5, 37\)"),
    ],
)
def test_wrong_shapes(name, value, message):
    net = NETS[0]
    arguments = dict(zip(("w", "X", "T", "sample_weight"), problem(net, own=True), strict=True))
    with pytest.raises(ValueError, match=message):
        net.gradient(**(arguments | {name: value}))


def test_labels_that_may_be_targets():
    """S = N = K: are whole numbers the labels of each network or the targets of all?"""
    net = mlpcore.Network((1, 2), output="softmax")
    w, X = np.zeros((2, net.n_weights)), np.ones((2, 1))
    with pytest.raises(ValueError, match=r"T has shape \(2, 2\) and whole numbers, which may be"):
        net.error(w, X, np.array([[0, 1], [0, 1]]))
    targets = np.array([[0.0, 1], [0, 1]])
    assert net.error(w, X, targets).shape == (2,)
    assert net.error(w, X, np.stack([targets.astype(int)] * 2)).shape == (2,)
    assert net.error(w[0], X, targets.astype(int)) > 0


def test_an_element_is_named_with_its_network():
    net = NETS[0]
    w, X, T, _ = problem(net, own=True)
    X[3, 7, 1] = np.nan
    with pytest.raises(ValueError, match=r"X is not finite: X\[3, 7, 1\] is nan"):
        net.error(w, X, T)


TRAININGS = [
    {"optimizer": "adam"},
    {"optimizer": "adam", "batch_size": 10, "schedule": Cosine()},
    {"optimizer": "adamw", "batch_size": 10, "weight_decay": 0.1},
    {"optimizer": "sgd", "schedule": Plateau(2)},
    {"optimizer": "sgd", "batch_size": 10, "nesterov": True, "clip_norm": 0.1},
    {"optimizer": "rprop"},
    *({"optimizer": method} for method in get_args(mlpcore.minimization.Method)),
]


@pytest.mark.parametrize("options", TRAININGS, ids=lambda o: "-".join(map(str, o.values())))
@pytest.mark.parametrize("own", [False, True])
def test_training(options, own):
    """The validation data, too, are shared or each network's own."""
    net = NETS[0]
    w, X, T, g = problem(net, own)
    X_val, T_val = X[..., 7:, :] + 0.1, T[..., 7:, :]
    options = {"epochs": 30, "patience": 5, **options}
    together = mlpcore.train(net, w, X, T, X_val, T_val, sample_weight=g, seed=3, **options)
    assert together.w.shape == w.shape
    assert len(together) == S
    for s in range(S):
        alone = mlpcore.train(
            net, w[s], part(X, s, own), part(T, s, own), part(X_val, s, own), part(T_val, s, own),
            sample_weight=part(g, s, own), seed=3 + s, **options,
        )  # fmt: skip
        assert np.array_equal(together.w[s], alone.w)
        assert np.array_equal(together[s].w, alone.w)
        assert together[s].stopped == alone.stopped
        assert together[s].best_epoch == alone.best_epoch
        for name, errors in alone.history.items():
            assert np.array_equal(together[s].history[name], errors)
    best = together.best()
    lowest = min(member.history["validation_error"][member.best_epoch] for member in together)
    assert best.history["validation_error"][best.best_epoch] == lowest
    assert "5 networks" in repr(together)


def test_training_refuses_a_callback():
    net = NETS[0]
    w, X, T, _ = problem(net, own=False)
    with pytest.raises(ValueError, match="callback came with an ensemble of networks"):
        mlpcore.train(net, w, X, T, callback=print)
