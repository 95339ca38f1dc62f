"""Standardizing and its undoing: the numbers, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

import mlpcore
from mlpcore.scaling import Standardizer, rescale_weights, unscale_jacobian


def test_standardized_columns():
    A = np.random.default_rng(0).normal([1e6, -3.0], [5.0, 1e-4], size=(50, 2))
    s = Standardizer.fit(A)
    np.testing.assert_allclose(s.transform(A).mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(s.transform(A).std(axis=0), 1, rtol=1e-10)
    np.testing.assert_allclose(s.inverse(s.transform(A)), A, rtol=1e-14)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e100, 1e-300])
def test_constant_columns_become_zero(value):
    s = Standardizer.fit(np.full((7, 1), value))
    assert s.scale[0] == 1
    np.testing.assert_array_equal(s.transform(np.full((7, 1), value)), 0)


def test_columns_that_are_constant_but_for_rounding():
    assert Standardizer.fit([[0.1 + 0.2], [0.3], [0.3]]).scale[0] == 1


def test_weighted_columns():
    A = np.random.default_rng(1).normal(size=(9, 2))
    weight = np.arange(9)
    s = Standardizer.fit(A, weight)
    copies = Standardizer.fit(A.repeat(weight, axis=0))
    np.testing.assert_allclose(s.mean, copies.mean, rtol=1e-13)
    np.testing.assert_allclose(s.scale, copies.scale, rtol=1e-13)


@pytest.mark.parametrize("value", [0.1, -1e100, 1e-300])
@pytest.mark.parametrize("weight", [[0, 0.3, 0.1, 0], [0, 7, 0, 0], [0, 1e-300, 1, 0]])
def test_columns_that_are_constant_where_there_is_weight(value, weight):
    """To the last bit, which a weighted mean is not."""
    A = np.array([[5, 1.0], [value, 2], [value, 3], [7, 4]])
    s = Standardizer.fit(A, weight)
    assert (s.mean[0], s.scale[0]) == (value, 1)
    assert np.isfinite(s.transform(A)).all()
    np.testing.assert_array_equal(s.transform(A)[1:3, 0], 0)


def test_a_row_without_weight_leaves_no_trace():
    s = Standardizer.fit([[1.0], [1.0], [2.0]], sample_weight=[1, 1, 0])
    np.testing.assert_array_equal(s.transform([[1.0], [2.0]]), [[0], [1]])
    # Of a weight so small that its square of the deviation vanishes.
    s = Standardizer.fit([[1.5], [1.0], [1.0]], sample_weight=[5e-324, 1, 1])
    assert (s.mean[0], s.scale[0]) == (1, 1)


@pytest.mark.parametrize("size", [1e-320, 1e-300, 1e200, 1e307])
def test_only_the_ratios_of_the_weights_count(size):
    A = np.array([[1e120, 0.001], [3e120, 0.002], [2e120, 0.005], [0.0, 9.0]])
    weight = np.array([4.0, 2.0, 8.0, 0.0])
    s, expected = Standardizer.fit(A, size * weight / 16), Standardizer.fit(A, weight)
    rtol = 1e-2 if size == 1e-320 else 1e-14  # 1e-320 / 16 has few bits
    np.testing.assert_allclose(s.mean, expected.mean, rtol=rtol)
    np.testing.assert_allclose(s.scale, expected.scale, rtol=rtol)
    same = Standardizer.fit(A, 2.0**-1000 * weight)
    np.testing.assert_array_equal(same.mean, expected.mean)
    np.testing.assert_array_equal(same.scale, expected.scale)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (np.ones(2), r" has shape \(2,\), expected \(3,\)"),
        ([1, -0.5, -1], r"\[1\] is -0.5, expected a weight of at least 0"),
        ([1, 1, np.nan], r" is not finite: sample_weight\[2\] is nan"),
        ([1, np.inf, 1], r" is not finite: sample_weight\[1\] is inf"),
        ([0, 0, 0], r" has the sum 0.0, expected one above 0 and finite"),
        ([1e308, 1e308, 0], r" has the sum inf, expected one above 0 and finite"),
    ],
)
def test_weights_that_weigh_nothing(weight, words):
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=f"^sample_weight{words}$"):
        Standardizer.fit(np.ones((3, 1)), weight)


@pytest.mark.parametrize(
    ("A", "words"),
    [
        ([], r"A has shape \(0,\), expected \(N, C\) with N > 0"),
        ([1.0], r"A has shape \(1,\), expected \(N, C\)"),
        (np.zeros((0, 2)), r"A has shape \(0, 2\), expected \(N, C\)"),
        ([[1.0, 2.0], [1.0, np.nan]], r"A is not finite: A\[1, 1\] is nan"),
        ([[np.inf]], r"A is not finite: A\[0, 0\] is inf"),
        ([[1.0], [-1e200]], r"A\[1, 0\] is -1e\+200, expected at most 1e150 in absolute value"),
    ],
)
def test_what_can_not_be_standardized(A, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        Standardizer.fit(A)


NO_NUMBERS = [
    (np.ones((3, 2)) + 0j, "has dtype complex128, expected real numbers"),
    (np.full((3, 2), "1"), "has dtype <U1, expected real numbers"),
    (np.zeros((3, 2), dtype="M8[s]"), r"has dtype datetime64\[s\], expected real numbers"),
    (np.zeros((3, 2), dtype="m8[s]"), r"has dtype timedelta64\[s\], expected real numbers"),
    (np.ones((3, 2), dtype=object), "has dtype object, expected real numbers"),
    (np.ma.masked_equal(np.ones((3, 2)), 1), "is a masked array, expected one without masked"),
]


@pytest.mark.parametrize(("A", "words"), NO_NUMBERS)
def test_what_is_no_array_of_real_numbers_is_refused(A, words):
    s = Standardizer.fit([[1.0, 2.0], [3.0, 4.0]])
    for function in (Standardizer.fit, s.transform, s.inverse):
        with pytest.raises(TypeError, match=f"^A {words}"):
            function(A)
    with pytest.raises(TypeError, match=f"^J {words}"):
        unscale_jacobian(A[np.newaxis], s, s)


def test_integers_booleans_and_other_layouts_are_numbers():
    A = np.array([[1, 0], [0, 0], [1, 1]])
    expected = Standardizer.fit(A.astype(float))
    for given in (A, A.astype(bool), A.astype(np.float32), np.asfortranarray(A), A.tolist()):
        s = Standardizer.fit(given)
        np.testing.assert_array_equal(s.mean, expected.mean)
        np.testing.assert_array_equal(s.transform(given), expected.transform(A))


@pytest.mark.parametrize("shape", [(5, 1), (5, 2), (5, 4), (3,), (), (1, 5, 3)])
def test_another_number_of_columns_is_refused(shape):
    s = Standardizer.fit(np.arange(6.0).reshape(2, 3))
    words = re.escape(f"A has shape {shape}, expected (N, 3)")
    for function in (s.transform, s.inverse):
        with pytest.raises(ValueError, match=f"^{words}$"):
            function(np.zeros(shape))


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 2), (5, 1, 3), (5, 2, 1), (2, 3), (2, 2, 2, 3)])
def test_another_shape_of_jacobian_is_refused(shape):
    inputs = Standardizer.fit(np.arange(6.0).reshape(2, 3))
    targets = Standardizer.fit(np.arange(4.0).reshape(2, 2))
    words = re.escape(f"J has shape {shape}, expected (N, 2, 3)")
    with pytest.raises(ValueError, match=f"^{words}$"):
        unscale_jacobian(np.zeros(shape), inputs, targets)
    with pytest.raises(TypeError, match=r"^targets is of type ndarray, expected a Standardizer"):
        unscale_jacobian(np.zeros((5, 2, 3)), inputs, targets.scale)


def test_jacobian_in_the_units_of_the_data():
    """For y = B x + c the standardized Jacobian is s_x B / s_t."""
    rng = np.random.default_rng(0)
    B = rng.normal(size=(2, 3))
    X = rng.normal(size=(20, 3)) * [1.0, 10.0, 0.1]
    inputs, targets = Standardizer.fit(X), Standardizer.fit(X @ B.T)
    J = np.broadcast_to(B * inputs.scale / targets.scale[:, np.newaxis], (20, 2, 3))
    got = unscale_jacobian(J, inputs, targets)
    assert got.shape == (20, 2, 3)
    np.testing.assert_allclose(got, np.broadcast_to(B, got.shape), rtol=1e-14)


@pytest.mark.parametrize(
    ("scale", "place"), [(0.0, "input_scale"), ([2.0, -0.0, 0.0], r"input_scale\[1\]")]
)
def test_inputs_can_not_be_scaled_by_zero(scale, place):
    net = mlpcore.Network((3, 2, 1))
    with pytest.raises(ValueError, match=rf"^{place} is -?0.0, expected a number other than 0$"):
        rescale_weights(net, net.init(seed=0), input_scale=scale)


@pytest.mark.parametrize("layers", [(3, 2), (3, 2, 4, 2)])
def test_weights_of_several_networks_are_rescaled(layers):
    rng = np.random.default_rng(0)
    net, X = mlpcore.Network(layers), rng.normal(size=(7, 3))
    w = np.stack([net.init(seed, "normal") for seed in range(3)])
    a, b, c, d = np.array([2.0, -0.3, 5.0]), rng.normal(size=3), np.array([4.0, -0.1]), [1.0, 3.0]
    rescaled = rescale_weights(net, w, a, b, c, d)
    y = net.forward(rescaled, a * X + b)
    np.testing.assert_allclose(y, c * net.forward(w, X) + d, rtol=1e-12, atol=1e-12)
    for one, of_one in zip(rescaled, w, strict=True):
        np.testing.assert_array_equal(one, rescale_weights(net, of_one, a, b, c, d))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_rescaled(value):
    net = mlpcore.Network((3, 2, 1))
    w = net.init(seed=0)
    w[4] = value
    with pytest.raises(ValueError, match=rf"^w is not finite: w\[4\] is {value}$"):
        rescale_weights(net, w)
    with pytest.raises(ValueError, match=rf"^w is not finite: w\[1, 4\] is {value}$"):
        rescale_weights(net, np.stack([net.init(seed=0), w]))
