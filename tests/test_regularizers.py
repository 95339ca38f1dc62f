"""Regularizers: against plain NumPy and differences, in training, and what they are there for."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cases import assert_close, assert_same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import mlpcore
from mlpcore import reference_training
from mlpcore.regularizers import (
    ARD,
    L1,
    Coefficients,
    ConsistentPrior,
    LayerDecay,
    Regularizer,
    SeparableRegularizer,
    WeightDecay,
)
from mlpcore.scaling import rescale_weights

NET = mlpcore.Network((3, 4, 5, 2), ("tanh", "softplus"))
REGULARIZERS = {
    "weight_decay": WeightDecay(0.3),
    "weights_alone": WeightDecay(0.3, biases=False),
    "layer_decay": LayerDecay([0.1, 0.2, 0.3], [0.4, 0.5, 0.0]),
    "consistent": ConsistentPrior([0.1, 0.2, 0.3]),
    "ard": ARD([0.1, 2.0, 30.0], others=0.5, biases=0.01),
    "l1": L1(0.2, epsilon=0.05),
    "sum": WeightDecay(0.3) + L1(0.2, 0.05) + L1(0.1, 0.5, biases=True) + ARD([1, 2, 3]),
}


def weights(net=NET, seed=0):
    return net.init(seed, "normal")


def plain(name, net, w):
    """The same by mlpcore.reference_training."""
    zeros = mlpcore.reference_training.layer_decay(net.layers, w, [1, 1, 1], [0, 0, 0])
    on_weights = zeros.hessian_diagonal
    of = {
        "weight_decay": lambda: reference_training.weight_decay(w, 0.3),
        "weights_alone": lambda: reference_training.normal_prior(w, 0.3 * on_weights),
        "layer_decay": lambda: reference_training.layer_decay(
            net.layers, w, [0.1, 0.2, 0.3], [0.4, 0.5, 0.0]
        ),
        "consistent": lambda: reference_training.consistent_prior(net.layers, w, [0.1, 0.2, 0.3]),
        "ard": lambda: reference_training.ard(net.layers, w, [0.1, 2.0, 30.0], 0.5, 0.01),
        "l1": lambda: reference_training.l1(w, 0.2 * on_weights, 0.05),
    }
    if name != "sum":
        return of[name]()
    parts = [
        of["weight_decay"](),
        of["l1"](),
        reference_training.l1(w, np.full(len(w), 0.1), 0.5),
        reference_training.ard(net.layers, w, [1, 2, 3], 0, 0),
    ]
    return reference_training.Penalty(*(sum(values) for values in zip(*parts, strict=True)))


@pytest.mark.parametrize("name", REGULARIZERS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_against_the_reference(name, dtype):
    net = mlpcore.Network(NET.layers, NET.hidden, dtype=dtype)
    w, regularizer = weights(net), REGULARIZERS[name]
    expected = plain(name, net, w.astype(np.float64))
    rtol = 1e-13 if dtype == "float64" else 2e-6
    v = np.random.default_rng(1).standard_normal((3, net.n_weights)).astype(dtype)
    np.testing.assert_allclose(regularizer.value(net, w), expected.value, rtol=rtol)
    np.testing.assert_allclose(regularizer.gradient(net, w), expected.gradient, rtol=rtol)
    diagonal = regularizer.hessian_diagonal(net, w)
    np.testing.assert_allclose(diagonal, expected.hessian_diagonal, rtol=10 * rtol)
    assert_close(regularizer.hessian_vector_product(net, w, v), diagonal * v, rtol)
    assert_close(regularizer.hessian_vector_product(net, w, v[0]), diagonal * v[0], rtol)
    assert regularizer.gradient(net, w).dtype == diagonal.dtype == net.dtype


@given(
    layers=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    strengths=st.lists(st.floats(0, 10), min_size=4, max_size=4),
    epsilon=st.floats(1e-6, 1),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=50)
def test_derivatives_by_differences(layers, strengths, epsilon, seed):
    """Every derivative is one of the function before it."""
    net = mlpcore.Network(layers)
    regularizer = (
        LayerDecay(strengths[: len(layers) - 1], strengths[0])
        + ARD([strengths[1]] * layers[0], strengths[2], strengths[3])
        + L1(strengths[3], epsilon, biases=True)
    )
    w = net.init(seed, "normal")
    scale = 1 + np.abs(regularizer.gradient(net, w)).max()
    h = min(1e-5, 0.01 * epsilon)
    for i, unit in enumerate(np.eye(net.n_weights)):
        slope = regularizer.value(net, w + h * unit) - regularizer.value(net, w - h * unit)
        assert abs(slope / (2 * h) - regularizer.gradient(net, w)[i]) < 1e-3 * scale + 1e-9 / h
    v = np.random.default_rng(seed).standard_normal(net.n_weights)
    change = Regularizer.hessian_vector_product(regularizer, net, w, v)
    exact = regularizer.hessian_vector_product(net, w, v)
    curvature = np.abs(exact).max() + scale
    if epsilon > 0.01:
        np.testing.assert_allclose(change, exact, atol=1e-3 * curvature)


def test_ensembles():
    w = np.stack([weights(seed=s) for s in range(4)])
    v = np.random.default_rng(0).standard_normal((4, 2, NET.n_weights))
    for regularizer in REGULARIZERS.values():
        values = regularizer.value(NET, w)
        gradients = regularizer.gradient(NET, w)
        products = regularizer.hessian_vector_product(NET, w, v)
        diagonals = regularizer.hessian_diagonal(NET, w)
        for s in range(4):
            np.testing.assert_allclose(values[s], regularizer.value(NET, w[s]), rtol=1e-14)
            assert_same_bits(gradients[s], regularizer.gradient(NET, w[s]))
            assert_same_bits(diagonals[s], regularizer.hessian_diagonal(NET, w[s]))
            assert_same_bits(products[s], regularizer.hessian_vector_product(NET, w[s], v[s]))


def data(n=60, seed=0, net=NET):
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, net.n_inputs))
    T = np.sin(X @ random.standard_normal((net.n_inputs, net.n_outputs)))
    return X, T + 0.1 * random.standard_normal(T.shape)


class Own(Regularizer):
    """Any regularizer, as somebody else might write it: by value and gradient alone."""

    def __init__(self, inner):
        self.inner = inner

    def value(self, net, w):
        return self.inner.value(net, w)

    def gradient(self, net, w):
        return self.inner.gradient(net, w)


METHODS = ["lm", "scg", "cg", "newton-cg", "bfgs", "lbfgs", "gd"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["ard", "sum"])
def test_minimize(method, name):
    """The minimum has no slope of E + R, and each method sees R natively as from Python."""
    X, T = data()
    w, regularizer = 0.5 * weights(), REGULARIZERS[name]
    steps = 30
    native = mlpcore.minimize(
        NET, w, X, T, method=method, regularizer=regularizer, iterations=steps
    )
    assert native.objective == pytest.approx(
        NET.error(native.w, X, T) + regularizer.value(NET, native.w), rel=1e-12
    )
    first = mlpcore.minimize(NET, w, X, T, method=method, regularizer=regularizer, iterations=3)
    own = mlpcore.minimize(NET, w, X, T, method=method, regularizer=Own(regularizer), iterations=3)
    np.testing.assert_allclose(own.w, first.w, rtol=1e-4, atol=1e-5)
    long = mlpcore.minimize(
        NET,
        native.w,
        X,
        T,
        method="newton-cg",
        regularizer=regularizer,
        weight_decay=0.1,
        iterations=2000,
        error_tolerance=0,
    )
    slope = NET.gradient(long.w, X, T) + regularizer.gradient(NET, long.w) + 0.1 * long.w
    assert np.abs(slope).max() < 1e-4


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rprop", "adamw", "lbfgs", "lm"])
def test_train(optimizer):
    X, T = data()
    w, regularizer = 0.5 * weights(), REGULARIZERS["sum"]
    options = {"optimizer": optimizer, "epochs": 5}
    if optimizer not in METHODS:
        options["learning_rate"] = 0.003
    native = mlpcore.train(NET, w, X, T, regularizer=regularizer, **options)
    own = mlpcore.train(NET, w, X, T, regularizer=Own(regularizer), **options)
    np.testing.assert_allclose(own.w, native.w, rtol=1e-5, atol=1e-7)
    without = mlpcore.train(NET, w, X, T, **options)
    assert np.abs(without.w - native.w).max() > 1e-4


def test_weight_decay_is_a_number_too():
    X, T = data()
    w = weights()
    one = mlpcore.train(NET, w, X, T, weight_decay=0.3, epochs=5)
    other = mlpcore.train(NET, w, X, T, regularizer=WeightDecay(0.3), epochs=5)
    assert_same_bits(one.w, other.w)
    both = mlpcore.train(NET, w, X, T, weight_decay=0.1, regularizer=WeightDecay(0.2), epochs=5)
    np.testing.assert_allclose(both.w, one.w, rtol=1e-10)


def test_an_ensemble_is_trained_as_its_networks():
    X, T = data()
    w = np.stack([weights(seed=s) for s in range(3)])
    options = {"regularizer": REGULARIZERS["sum"], "epochs": 7, "seed": 3}
    together = mlpcore.train(NET, w, X, T, **options)
    for s in range(3):
        alone = mlpcore.train(NET, w[s], X, T, **{**options, "seed": 3 + s})
        assert_same_bits(together.w[s], alone.w)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("own_data", [False, True])
def test_an_ensemble_with_a_regularizer_of_ones_own(optimizer, own_data):
    """Network for network what is trained alone, on the same data and each on its own."""
    samples = [data(seed=s) for s in range(3)] if own_data else [data()] * 3
    X, T = map(np.stack, zip(*samples, strict=True)) if own_data else samples[0]
    weight = np.random.default_rng(0).uniform(0.5, 2, X.shape[:-1])
    w = np.stack([weights(seed=s) for s in range(3)])
    options = {"regularizer": Own(WeightDecay(1)), "optimizer": optimizer, "epochs": 4}
    options |= {"weight_decay": 0.1} | ({"batch_size": 20} if optimizer == "adam" else {})
    together = mlpcore.train(
        NET, w, X, T, X_val=X, T_val=T, sample_weight=weight, seed=3, **options
    )
    for s, (X_s, T_s) in enumerate(samples):
        own_weight = weight[s] if own_data else weight
        alone = mlpcore.train(
            NET, w[s], X_s, T_s, X_s, T_s, sample_weight=own_weight, seed=3 + s, **options
        )
        assert_same_bits(together.w[s], alone.w)
        assert_same_bits(together[s].history["validation_error"], alone.history["validation_error"])
    with pytest.raises(ValueError, match=r"T has shape \(3, 3\), expected .* or \(3, 60, 2\)"):
        mlpcore.train(NET, w, X, np.zeros((3, 3)), regularizer=Own(WeightDecay(1)))


def test_coefficients_are_added_up_once(monkeypatch):
    """For all the calls of a native loop, and for one of a method of the regularizer."""

    class Squares(Regularizer):
        def value(self, net, w):
            return w @ w

        def gradient(self, net, w):
            return 2 * w

    kind = type(WeightDecay(1) + L1(1))
    add_up, calls = kind.coefficients, []
    monkeypatch.setattr(kind, "coefficients", lambda *given: calls.append(1) or add_up(*given))
    w, X, T = weights(), *data()
    alone = WeightDecay(0.1) + L1(0.1)
    mixed = alone + Squares()

    def count(compute, *given, **options):
        calls.clear()
        compute(*given, **options)
        return len(calls)

    for iterations in (1, 20):
        options = {"regularizer": mixed, "iterations": iterations}
        assert count(mlpcore.minimize, NET, w, X, T, **options) == 1
    for R in (alone, mixed):
        for compute in (R.value, R.gradient, R.hessian_diagonal):
            assert count(compute, NET, w) == 1
        assert count(R.hessian_vector_product, NET, w, w) == 1
        for compute in (NET.error_and_gradient, NET.hessian):
            assert count(compute, w, X, T, regularizer=R) == 1


def test_class_labels_of_an_ensemble_with_a_regularizer_of_ones_own():
    net = mlpcore.Network((3, 4, 3), output="softmax")
    X, labels = data()[0], np.random.default_rng(0).integers(0, 3, (2, 60))
    w = np.stack([net.init(s) for s in range(2)])
    for T in (labels[0], labels):
        native, own = (
            mlpcore.train(net, w, X, T, regularizer=r, epochs=4)
            for r in (WeightDecay(1), Own(WeightDecay(1)))
        )
        np.testing.assert_allclose(own.w, native.w, rtol=1e-8)


def test_many_starts_with_a_regularizer_of_ones_own():
    X, T = data()
    several = mlpcore.multistart(NET, X, T, starts=2, seed=0, epochs=3, regularizer=Own(L1(1)))
    assert [member.n_epochs for member in several] == [3, 3]
    swept = mlpcore.sweep(
        X, T, hidden=(1, 2), starts=2, seed=0, epochs=3, regularizer=Own(WeightDecay(1))
    )
    assert swept.training_errors.shape == (2, 2)


def test_an_interrupted_ensemble_with_a_regularizer_of_ones_own():
    class Interrupts(Own):
        calls = 0

        def gradient(self, net, w):
            self.calls += 1
            if self.calls == 20:
                raise KeyboardInterrupt
            return super().gradient(net, w)

    X, T = data()
    w = np.stack([weights(seed=s) for s in range(3)])
    result = mlpcore.train(NET, w, X, T, epochs=15, regularizer=Interrupts(L1(1)))
    assert [member.stopped for member in result] == ["epochs", "interrupted", "interrupted"]
    assert_same_bits(result.w[2], w[2])


def test_l1_makes_weights_vanish():
    """Of six inputs two matter; the first-layer weights of the others go to zero."""
    random = np.random.default_rng(0)
    X = random.standard_normal((300, 6))
    T = np.sin(2 * X[:, 0]) + X[:, 3]
    net = mlpcore.Network((6, 8, 1))
    result = mlpcore.minimize(net, net.init(0), X, T, regularizer=L1(1.0), iterations=2000)
    sizes = np.abs(net.unpack(result.w)[0][0]).max(axis=0)
    assert sizes[[1, 2, 4, 5]].max() < 0.01 < 0.2 < sizes[[0, 3]].min()


# Consistency (PRML 5.5.1)

A, B, C, D = 3.0, -0.7, 0.2, 5.0  # x -> A x + B, t -> C t + D


def minimum(net, w, X, T, regularizer):
    result = mlpcore.minimize(
        net,
        w,
        X,
        T,
        method="newton-cg",
        regularizer=regularizer,
        iterations=5000,
        gradient_tolerance=1e-12,
        error_tolerance=0,
        step_tolerance=0,
    )
    # It ends where F no longer differs; Newton's last steps look at the slope alone.
    w = mlpcore.Optimum(net, result.w, X, T, regularizer=regularizer).w
    slope = net.gradient(w, X, T) + regularizer.gradient(net, w)
    assert np.abs(slope).max() < 1e-7
    return w


@pytest.mark.parametrize("seed", range(4))
def test_consistent_priors_are_consistent_and_weight_decay_is_not(seed):
    """The equivalent of a minimum is a minimum for the linear transform of the data, or not."""
    random = np.random.default_rng(0)
    X = random.uniform(-1, 1, (50, 1))
    T = np.sin(3 * X) + 0.1 * random.standard_normal(X.shape)
    net = mlpcore.Network((1, 4, 1))
    start = net.init(seed)

    def equivalent(w):
        return rescale_weights(net, w, input_scale=A, input_shift=B, target_scale=C, target_shift=D)

    there = equivalent(start)
    x = np.linspace(-1, 1, 200)[:, None]
    np.testing.assert_allclose(
        net.forward(there, A * x + B), C * net.forward(start, x) + D, atol=1e-12
    )
    prior = ConsistentPrior([0.02, 0.05])
    w = minimum(net, start, X, T, prior)
    y = net.forward(w, x)
    optimum = equivalent(w)
    off = optimum * (1 + 0.01 * np.random.default_rng(seed).standard_normal(net.n_weights))
    # From `there`, a random start, it is also the minimum reached; of these data, not of all.
    for begin in (optimum, off, there):
        moved = minimum(net, begin, A * X + B, C * T + D, prior.transformed(A, C))
        np.testing.assert_allclose((net.forward(moved, A * x + B) - D) / C, y, atol=1e-6)
    assert np.abs((net.forward(off, A * x + B) - D) / C - y).max() > 1e-3

    # No weight decay of the transformed problem leads to the equivalent network: the biases have
    # taken up the shift, and the layers have scaled by different factors.
    plain_w = minimum(net, start, X, T, WeightDecay(0.05))
    y = net.forward(plain_w, x)
    for alpha in np.logspace(-5, 1, 13):
        for begin in (equivalent(plain_w), there):
            w = minimum(net, begin, A * X + B, C * T + D, WeightDecay(alpha))
            assert np.abs((net.forward(w, A * x + B) - D) / C - y).max() > 1e-3


def test_rescaling_of_every_column():
    net = mlpcore.Network((2, 3, 3, 2), "silu")
    w, (a, b) = net.init(0, "normal"), ([2.0, 0.1], [1.0, -3.0])
    c, d = [5.0, -0.3], [7.0, 0.5]
    new = rescale_weights(net, w, a, b, c, d)
    X = np.random.default_rng(0).standard_normal((9, 2))
    np.testing.assert_allclose(net.forward(new, X * a + b), net.forward(w, X) * c + d, rtol=1e-12)
    with pytest.raises(ValueError, match="target_scale"):
        rescale_weights(mlpcore.Network((2, 2), output="softmax"), np.zeros(6), target_scale=2.0)
    with pytest.raises(ValueError, match=r"input_scale has shape \(3,\), expected a number"):
        rescale_weights(net, w, input_scale=[1, 2, 3])
    with pytest.raises(ValueError, match=r"^input_scale is 0\.0, expected a number other"):
        rescale_weights(net, w, input_scale=0)


def test_samples_of_the_prior():
    prior = LayerDecay([1.0, 4.0, 100.0], [25.0, 1.0, 16.0])
    W = prior.sample(NET, 4000, seed=0)
    expected = 1 / np.sqrt(prior.hessian_diagonal(NET, W[0]))
    np.testing.assert_allclose(W.std(axis=0), expected, rtol=0.1)
    assert_same_bits(W, prior.sample(NET, 4000, seed=0))


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (ConsistentPrior([1, 1, 1]), "is improper: it has precision 0 for 11 of 53 weights"),
        (LayerDecay([1, 0, 1], 1.0), "is improper: it has precision 0 for 20 of 53 weights"),
        (WeightDecay(1) + L1(1), "is not normal"),
    ],
)
def test_improper_priors_have_no_samples(prior, message):
    with pytest.raises(ValueError, match=message):
        prior.sample(NET)


@pytest.mark.parametrize(
    ("seed", "exception", "message"),
    [
        (-1, ValueError, "seed is -1, expected a whole number of at least 0"),
        ("a", TypeError, "seed is 'a', expected a whole number"),
        (1.5, TypeError, "seed is 1.5, expected a whole number"),
    ],
)
def test_a_wrong_seed(seed, exception, message):
    with pytest.raises(exception, match=message):
        WeightDecay(1.0).sample(NET, seed=seed)


def test_samples_of_a_generator():
    """As the weights of init."""
    prior = WeightDecay(1.0)
    assert_same_bits(prior.sample(NET, seed=np.random.default_rng(3)), prior.sample(NET, seed=3))


@pytest.mark.parametrize("R", [WeightDecay(1), WeightDecay(1) + L1(1), Own(WeightDecay(1))])
@pytest.mark.parametrize("ensemble", [False, True])
def test_wrong_directions(R, ensemble):
    """In the words of the network."""
    w, X, T = weights(), *data()
    w = np.stack([w, w]) if ensemble else w
    if ensemble and isinstance(R, Own):
        one = r"^w has shape \(2, 53\), expected \(53,\), one network at a time$"
        for v in (w, w[:, None], w[0]):
            with pytest.raises(ValueError, match=one):
                R.hessian_vector_product(NET, w, v)
        with pytest.raises(ValueError, match=one):
            R.hessian_diagonal(NET, w)
        return
    for v in (w[..., :3], w[None, None], 1.0, "ab", None, w + 0j, np.zeros((3, 2, 53))):
        with pytest.raises((TypeError, ValueError), match=r"^v has") as found:
            R.hessian_vector_product(NET, w, v)
        with pytest.raises(found.type) as of_the_network:
            NET.hessian_vector_product(w, v, X, T)
        assert str(found.value) == str(of_the_network.value)


def test_scales_that_no_prior_can_take():
    prior = ConsistentPrior([1, 2])
    for scale in ("a", None, [1], 1j, True):
        for name in ("input_scale", "target_scale"):
            with pytest.raises(TypeError, match=rf"^{name} is .*, expected a number$"):
                prior.transformed(**{name: scale})
    for scale in (0, np.nan, -np.inf, 10**400):
        with pytest.raises(ValueError, match=r"^input_scale is .*, expected a number above 0"):
            prior.transformed(scale)
    for scales, became in (((1e200, 1), "inf"), ((1, -1e200), "inf"), ((1, 1e-200), "0.0")):
        with pytest.raises(
            ValueError,
            match=rf"^input_scale is .* and target_scale .*, with which alphas\[0\], 1.0, would "
            rf"become {became}, expected scales that leave it finite and above 0$",
        ):
            prior.transformed(*scales)
    assert prior.transformed(-1e200, 1e-200) == prior
    assert ConsistentPrior([0, 2]).transformed(1e200).alphas == (0, 2)
    assert ConsistentPrior([3]).transformed(2, 7).alphas == (12,)


@pytest.mark.parametrize(
    ("make", "exception", "message"),
    [
        (lambda: WeightDecay(-1), ValueError, "alpha is -1.0, expected a number at least 0"),
        (lambda: WeightDecay("a"), TypeError, "alpha is 'a', expected a number"),
        (lambda: WeightDecay(1, biases=2), TypeError, "biases is 2, expected True or False"),
        (lambda: LayerDecay(1.0), TypeError, "weights is 1.0, expected a sequence"),
        (lambda: LayerDecay([1, np.nan]), ValueError, r"weights\[1\] is nan"),
        (lambda: ConsistentPrior([]), ValueError, "alphas is empty"),
        (lambda: L1(1, 0), ValueError, "epsilon is 0.0, expected a number above 0"),
        (lambda: ARD([1, -2]), ValueError, r"alphas\[1\] is -2.0"),
        (lambda: LayerDecay([1, 2]).coefficients(NET), ValueError, "2 numbers, expected 3, one"),
        (lambda: ARD([1]).coefficients(NET), ValueError, "expected 3, one for each input"),
        (lambda: WeightDecay(1) + 1, TypeError, "unsupported operand"),
        (lambda: WeightDecay(1).value(NET, np.zeros(3)), ValueError, "w has shape"),
        (lambda: fit(regularizer=0.1), TypeError, "regularizer is a float"),
        (lambda: fit(regularizer=ConsistentPrior([1])), ValueError, "alphas has 1 numbers"),
    ],
)
def test_refusals(make, exception, message):
    with pytest.raises(exception, match=message):
        make()


class Separable(SeparableRegularizer):
    """As somebody else might write it: by its coefficients."""

    def coefficients(self, net):
        return Coefficients(np.full(net.n_weights, 1e39))


# What is refused, by which name.
TOO_LARGE_FOR_FLOAT32 = [
    (WeightDecay(1e39), "alpha"),
    (LayerDecay([1, 1e39, 1]), "weights[1]"),
    (LayerDecay([1, 1, 1], [1, 1, 1e39]), "biases[2]"),
    (LayerDecay([1, 1, 1], 1e39), "biases"),
    (ConsistentPrior([1e39, 1, 1]), "alphas[0]"),
    (WeightDecay(1) + ARD([1, 1e39, 1]), "alphas[1]"),
    (ARD([1, 1, 1], others=1e39), "others"),
    (ARD([1, 1, 1], biases=1e39), "biases"),
    (L1(1e39), "strength"),
    (WeightDecay(3e38) + WeightDecay(7e38), "alpha"),
    (WeightDecay(3e38) + WeightDecay(3e38), "the regularizer's coefficients[0]"),
    (Separable(), "the regularizer's coefficients[0]"),
]


@pytest.mark.parametrize(("prior", "name"), TOO_LARGE_FOR_FLOAT32)
def test_coefficients_too_large_for_float32(prior, name):
    """They are refused alike wherever they come, without a warning of NumPy, and by float64 not."""
    X, T = data()
    net = mlpcore.Network(NET.layers, NET.hidden, dtype="float32")

    def uses(net):
        w = net.init(0)
        return [
            lambda: prior.value(net, w),
            lambda: prior.gradient(net, w),
            lambda: prior.hessian_diagonal(net, w),
            lambda: prior.hessian_vector_product(net, w, w),
            lambda: net.gradient(w, X, T, regularizer=prior),
            lambda: mlpcore.train(net, w, X, T, regularizer=prior, epochs=1, optimizer="lbfgs").w,
            lambda: mlpcore.minimize(net, w, X, T, regularizer=prior, iterations=1).w,
        ]

    message = rf"^{re.escape(name)} is (6e\+38|7e\+38|1e\+39), which is too large for float32$"
    for use in uses(net):
        with pytest.raises(ValueError, match=message):
            use()
    for use in uses(NET):
        assert np.isfinite(use()).all()


@pytest.mark.parametrize("fit", [mlpcore.train, mlpcore.minimize])
@pytest.mark.parametrize("own", [False, True])
def test_a_weight_decay_too_large_for_float32(fit, own):
    X, T = data()
    net = mlpcore.Network(NET.layers, NET.hidden, dtype="float32")
    regularizer = Own(WeightDecay(1)) if own else None
    with pytest.raises(ValueError, match=r"^weight_decay is 1e\+39, which is too large for f"):
        fit(net, net.init(0), X, T, weight_decay=1e39, regularizer=regularizer)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("own", [False, True])
def test_what_is_too_large_is_infinite(dtype, own):
    """The coefficients are in range and what they make of the weights is not: no warning."""
    net = mlpcore.Network(NET.layers, NET.hidden, dtype=dtype)
    largest = float(np.finfo(dtype).max)
    prior = WeightDecay(0.1 * largest) + L1(1.0)
    w = np.where(np.arange(net.n_weights) % 2, 100.0, 0.0)
    given = prior + Own(WeightDecay(0.1)) if own else prior
    gradient = given.gradient(net, w)
    assert np.isposinf(gradient[1::2]).all()
    assert (gradient[::2] == 0).all()
    product = given.hessian_vector_product(net, np.zeros_like(w), w.astype(dtype))
    assert np.isposinf(product[1::2]).all()
    assert (product[::2] == 0).all()
    assert given.value(net, w) > largest
    X, T = data()
    with pytest.raises(ValueError, match=r"the gradient is not finite: the regularizer's"):
        net.gradient(w, X, T, regularizer=given)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("epsilon", [1e-60, 1e-30, 1e39, 1e170])
def test_an_epsilon_of_any_size(epsilon, dtype):
    """All is computed in float64, and no power of epsilon is taken."""
    net = mlpcore.Network(NET.layers, NET.hidden, dtype=dtype)
    prior = L1(1.0, epsilon, biases=True)
    for w in (np.zeros(net.n_weights), np.full(net.n_weights, 2.0)):
        expected = [0.0, 0.0] if epsilon > 1 or not w.any() else [2.0, 1.0]
        np.testing.assert_allclose(prior.value(net, w) / w.size, expected[0], atol=1e-30)
        np.testing.assert_allclose(prior.gradient(net, w), expected[1], atol=1e-30)
        second = 0.0 if w.any() and epsilon < 1 else 1 / epsilon
        with np.errstate(over="ignore"):
            second = np.asarray(second).astype(dtype)
        np.testing.assert_allclose(prior.hessian_diagonal(net, w), second, rtol=1e-5, atol=1e-29)


def fit(**options):
    X, T = data()
    return mlpcore.train(NET, weights(), X, T, epochs=2, **options)


@pytest.mark.parametrize("method", ["train", "minimize"])
@pytest.mark.parametrize("exception", [ZeroDivisionError, KeyboardInterrupt])
def test_what_a_regularizer_raises(method, exception):
    class Fails(Own):
        calls = 0

        def gradient(self, net, w):
            self.calls += 1
            if self.calls == 3:
                raise exception("no")
            return super().gradient(net, w)

    X, T = data()
    run = getattr(mlpcore, method)
    if exception is KeyboardInterrupt:
        assert run(NET, weights(), X, T, regularizer=Fails(L1(1))).stopped == "interrupted"
    else:
        with pytest.raises(exception, match="no"):
            run(NET, weights(), X, T, regularizer=Fails(L1(1)))


def test_what_a_regularizer_gives_back_is_checked():
    class Short(Own):
        def gradient(self, net, w):
            return np.zeros(3)

    with pytest.raises(
        ValueError, match=r"the regularizer's gradient has shape \(3,\), expected \(53,\)"
    ):
        fit(regularizer=Short(L1(1)))


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("ensemble", [False, True])
def test_every_quantity_sees_them(own, ensemble):
    regularizer = REGULARIZERS["sum"]
    used = Own(regularizer) if own else regularizer
    X, T = data()
    w = np.stack([weights(seed=s) for s in range(3)]) if ensemble else weights()
    v = np.random.default_rng(0).standard_normal((*w.shape[:-1], 2, NET.n_weights))
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if own else {"rtol": 1e-12, "atol": 1e-12}
    with_r = {"regularizer": used}
    R, g = regularizer.value(NET, w), regularizer.gradient(NET, w)
    d = regularizer.hessian_diagonal(NET, w)
    D = d[..., None] * np.eye(NET.n_weights)
    for _ in range(2):  # nothing stays behind from a call
        np.testing.assert_allclose(NET.error(w, X, T, **with_r), NET.error(w, X, T) + R)
        E, both = NET.error_and_gradient(w, X, T, **with_r)
        np.testing.assert_allclose(E, NET.error(w, X, T) + R)
        np.testing.assert_allclose(both, NET.gradient(w, X, T) + g)
    np.testing.assert_allclose(NET.gradient(w, X, T, **with_r), NET.gradient(w, X, T) + g)
    for kind in ("exact", "gauss_newton"):
        plain_diagonal = NET.hessian_diagonal(w, X, T, kind=kind)
        diagonal = NET.hessian_diagonal(w, X, T, kind=kind, **with_r)
        np.testing.assert_allclose(diagonal, plain_diagonal + d, **tolerance)
        H = NET.hessian(w, X, T, kind=kind, **with_r)
        np.testing.assert_allclose(H, NET.hessian(w, X, T, kind=kind) + D, **tolerance)
        assert_same_bits(H, np.swapaxes(H, -1, -2))
        blocks = NET.hessian_blocks(w, X, T, kind=kind, **with_r)
        end = 0
        for block in blocks:
            rows = slice(end, end := end + block.shape[-1])
            np.testing.assert_allclose(block, H[..., rows, rows], rtol=1e-9, atol=1e-6)
        product = NET.hessian_vector_product(w, v, X, T, kind=kind, **with_r)
        np.testing.assert_allclose(product, v @ H, rtol=1e-4, atol=1e-4)
    if not ensemble:
        out = np.empty(NET.n_weights)
        assert NET.gradient(w, X, T, out=out, **with_r) is out
        np.testing.assert_allclose(out, NET.gradient(w, X, T) + g)
    with pytest.raises(TypeError, match="regularizer is a int"):
        NET.hessian(w, X, T, regularizer=1)
