"""The methods of `mlpcore.minimize` in plain NumPy where only care keeps them to the native ones.

Their usual courses are in test_minimize.py.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from cases import OFF, OUTPUTS, assert_close

import mlpcore
from mlpcore import reference
from mlpcore import reference_optimizers as plain


def courses(method, expected, layers, w, X, T, iterations, output="linear", **options):
    """The weights of each iteration, (n, W), by the reference and by the native method."""
    net, weights = mlpcore.Network(layers, output=output), []
    mlpcore.minimize(
        net, w, X, T, method=method, iterations=iterations, **OFF, **options,
        callback=lambda i, F, w: weights.append(w) and False,
    )  # fmt: skip
    f = plain.Objective(reference.Architecture(layers, output=output), X, T)
    path = itertools.islice(expected(f, np.array(w, float)), iterations + 1)
    return np.array(list(path)), np.array(weights)


def data():
    X = np.random.default_rng(0).normal(size=(20, 2))
    return X, X @ [[1.0], [-2.0]] + 0.5 + 0.1 * np.sin(9 * X[:, :1])


def test_a_first_border_far_too_near():
    """That of weights of 1e-20: nothing has refused it, and it grows until a step counts."""
    path, native = courses("newton-cg", plain.newton_cg, (2, 1), np.full(3, 1e-20), *data(), 6)
    assert len(path) > 2
    assert_close(path, native, 1e-6)


def test_squares_beyond_the_range():
    """Targets of 1e80: g.g, squared, is not finite."""
    X, T = data()
    path, native = courses("scg", plain.scg, (2, 1), np.zeros(3), X, 1e80 * T, 3)
    assert len(path) == 4
    assert_close(path, native, 1e-6)


@pytest.mark.parametrize(
    ("method", "expected", "options"),
    [
        ("lm", plain.lm, {}),
        ("scg", functools.partial(plain.scg, kind="gauss_newton"), {"curvature": "gauss_newton"}),
    ],
)
def test_a_first_step_without_curvature(method, expected, options):
    """It is measured by the weights, and by 1/1000 for that of an input of 1000."""
    X, T = np.array([[1e3]]), np.array([[0.0]])
    path, native = courses(method, expected, (1, 1), [0.0, 40.0], X, T, 1, "sigmoid", **options)
    assert len(path) == 2
    assert_close(path, native, 1e-6)


@pytest.mark.parametrize("output", OUTPUTS)
def test_with_the_acceleration_outputs_go_straight(output):
    """Towards targets at a distance tau, z^L goes as J step says but for O(tau^2), with the bend
    but for O(tau^3): there are more weights than outputs, so the damping counts for little.
    """
    layers, rng = (2, 8, 3), np.random.default_rng(0)
    net, identity = mlpcore.Network(layers, output=output), mlpcore.Network(layers)
    w, X = rng.normal(scale=0.5, size=net.n_weights), 2 * rng.normal(size=(2, 2))
    y, J = net.forward(w, X), identity.weight_jacobian(w, X)
    B = reference.OUTPUTS[output].curvature(y)
    towards = np.einsum("nkl,nl->nk", B, rng.uniform(-1, 1, size=y.shape))  # dy = B dz^L

    def off_the_line(step, end):
        """How far; what all logits of a softmax have in common changes nothing."""
        d = identity.forward(end, X) - identity.forward(w, X) - J @ step
        return np.linalg.norm(d - d.mean(axis=1, keepdims=True) * (output == "softmax"))

    distances = []
    for tau in (0.2, 0.1):
        ends = []
        for accelerated in (False, True):
            expected = functools.partial(plain.lm, acceleration=accelerated)
            T, options = y + tau * towards, {"output": output, "acceleration": accelerated}
            path, native = courses("lm", expected, layers, w, X, T, 1, **options)
            ends += [path[1], native[1]]
        distances.append([off_the_line(ends[0] - w, end) for end in ends])
    orders = np.log2(np.divide(*distances))
    assert_close(orders, [2, 2, 3, 3], 0.05)


def test_no_sample_has_weight():
    X, T = data()
    f = plain.Objective(reference.Architecture((2, 1)), X, T, np.zeros(20))
    assert plain.typical_sizes(f).tolist() == [1, 1, 1]
