"""Regularizers of a user's own in the methods of a network: what they give back, what they cost."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from cases import assert_same_bits

import mlpcore
from mlpcore import _core, regularizers
from mlpcore.regularizers import (
    L1,
    Coefficients,
    ConsistentPrior,
    Regularizer,
    SeparableRegularizer,
    WeightDecay,
)

NET = mlpcore.Network((2, 3, 1))
W = NET.n_weights
w, X = NET.init(0, "normal"), np.random.default_rng(0).standard_normal((9, 2))
T = np.sin(X[:, 0])


class Coupled(Regularizer):
    """No sum over the weights; any of its results may be another."""

    def __init__(self, **other):
        self.other = other

    def value(self, net, w):
        own = float(np.log(np.cosh(w)).sum() + 0.1 * w.sum() ** 2)
        return self.other.get("value", lambda *_: own)(w)

    def gradient(self, net, w):
        return self.other.get("gradient", lambda w: np.tanh(w) + 0.2 * w.sum())(w)

    def hessian_diagonal(self, net, w):
        if "hessian_diagonal" in self.other:
            return self.other["hessian_diagonal"](w)
        return super().hessian_diagonal(net, w)

    def hessian_vector_product(self, net, w, v):
        if "hessian_vector_product" in self.other:
            return self.other["hessian_vector_product"](w, v)
        return super().hessian_vector_product(net, w, v)


def exact(w):
    """The Hessian of Coupled."""
    return np.diag(1 - np.tanh(w) ** 2) + 0.2


def arrays_of(result):
    """All that a method gives back, as a list of arrays."""
    return list(map(np.asarray, result if isinstance(result, tuple | list) else [result]))


def call(method, net=NET, w=w, X=X, T=T, **options):
    v = [np.ones_like(w)] if method == "hessian_vector_product" else []
    return getattr(net, method)(w, *v, X, T, **options)


WITH_OUT = ["gradient", "error_and_gradient", "hessian_diagonal", "hessian"]
WITH_OUT += ["hessian_vector_product"]
METHODS = ["error", *WITH_OUT, "hessian_blocks"]
#: The method of the network that calls each method of a regularizer first.
CALLERS = {
    "value": "error",
    "gradient": "gradient",
    "hessian_diagonal": "hessian_diagonal",
    "hessian_vector_product": "hessian",
}


# Arguments first ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("regularizer", "exception", "message"),
    [
        ("x", TypeError, "regularizer is a str, expected"),
        (ConsistentPrior([1]), ValueError, "alphas has 1 numbers, expected 2"),
        (Coupled() + ConsistentPrior([1]), ValueError, "alphas has 1 numbers, expected 2"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_computed_for_a_bad_regularizer(
    method, regularizer, exception, message, monkeypatch
):
    options = {}
    if method in WITH_OUT:
        options["out"] = np.full_like(arrays_of(call(method))[-1], 7)
    for name in (method, f"{method}_into"):
        monkeypatch.setattr(_core, name, None, raising=False)
    with pytest.raises(exception, match=message):
        call(method, regularizer=regularizer, **options)
    for out in options.values():
        assert (out == 7).all()


def test_other_arguments_beside_a_regularizer():
    with pytest.raises(ValueError, match="kind is 'x', expected one of"):
        NET.hessian(w, X, T, kind="x", regularizer=WeightDecay(1))
    with pytest.raises(ValueError, match=r"w has shape \(12,\), expected \(13,\) or, for S"):
        NET.gradient(w[1:], X, T, regularizer=WeightDecay(1))


@pytest.mark.parametrize("R", [WeightDecay(0.1), Coupled(), WeightDecay(0.1) + Coupled()])
@pytest.mark.parametrize("method", WITH_OUT)
def test_out_with_a_regularizer(method, R):
    expected = arrays_of(call(method, regularizer=R))[-1]
    out = np.full_like(expected, np.nan)
    assert arrays_of(call(method, regularizer=R, out=out))[-1] is out
    assert_same_bits(out, expected)


# What comes back ---------------------------------------------------------------------------------

BAD_DERIVATIVES = {
    "shape (1,)": (lambda *_: np.ones(1), ValueError, r"has shape \(1,\), expected \(.*13.*\)$"),
    "a number": (lambda *_: 1.0, ValueError, r"has shape \(\), expected \(.*13.*\)$"),
    "shape (W, 1)": (
        lambda *_: np.ones((W, 1)),
        ValueError,
        r"has shape \(13, 1\), expected \(.*13.*\)$",
    ),
    "None": (lambda *_: None, TypeError, "has dtype object, expected real numbers"),
    "complex": (lambda w, *v: 1j * (v or [w])[0], TypeError, "has dtype complex128, expected"),
    "texts": (lambda *_: ["a"] * W, TypeError, "has dtype <U1, expected real numbers"),
}


@pytest.mark.parametrize("what", BAD_DERIVATIVES)
@pytest.mark.parametrize("name", ["gradient", "hessian_diagonal", "hessian_vector_product"])
@pytest.mark.parametrize("together", [False, True])
def test_bad_derivatives(name, what, together):
    """By a network, in a sum with others, and in training: the same words."""
    result, exception, message = BAD_DERIVATIVES[what]
    R = Coupled(**{name: result})
    R = WeightDecay(0.1) + R if together else R
    message = f"^the regularizer's {name} {message}"
    with pytest.raises(exception, match=message):
        call(CALLERS[name], regularizer=R)
    if name == "gradient":
        for method in METHODS[1:]:
            with pytest.raises(exception, match=message):
                call(method, regularizer=R)
        with pytest.raises(exception, match=message):
            mlpcore.train(NET, w, X, T, epochs=2, regularizer=R)
        with pytest.raises(exception, match=message):
            mlpcore.Optimum(NET, w, X, T, regularizer=R)
    if name != "hessian_diagonal":
        with pytest.raises(exception, match=message):
            mlpcore.minimize(NET, w, X, T, method="newton-cg", regularizer=R)


@pytest.mark.parametrize(
    ("value", "exception", "message"),
    [
        (np.ones(W), ValueError, r"has shape \(13,\), expected a number"),
        (np.ones(1), ValueError, r"has shape \(1,\), expected a number"),
        (None, TypeError, "is None, expected a number"),
        ("1", TypeError, "is '1', expected a number"),
        (1j, TypeError, "is 1j, expected a number"),
        (np.array(1j), TypeError, "is .*1j.*, expected a number"),
    ],
)
def test_bad_values(value, exception, message):
    for R in (Coupled(value=lambda w: value), L1(1) + Coupled(value=lambda w: value)):
        for compute in (NET.error, NET.error_and_gradient, mlpcore.minimize, mlpcore.Optimum):
            first = () if compute in (NET.error, NET.error_and_gradient) else (NET,)
            with pytest.raises(exception, match=f"^the regularizer's value {message}"):
                compute(*first, w, X, T, regularizer=R)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_becomes_an_array_of_numbers_will_do(dtype):
    net = mlpcore.Network(NET.layers, dtype=dtype)
    at = w.astype(dtype)
    listed = Coupled(
        value=lambda w: np.array(3),
        gradient=lambda w: (2 * w).tolist(),
        hessian_diagonal=lambda w: [2] * W,
        hessian_vector_product=lambda w, v: (2 * v).tolist(),
    )
    E = net.error(at, X, T, regularizer=listed)
    assert isinstance(E, float)
    assert E == pytest.approx(net.error(at, X, T) + 3)
    for method in METHODS[1:]:
        # WeightDecay(2) has the same derivatives.
        results, expected = (
            arrays_of(call(method, net, at, regularizer=R)) for R in (listed, WeightDecay(2))
        )
        np.testing.assert_allclose(results[-1], expected[-1], rtol=1e-5)
        assert results[-1].dtype == net.dtype


def test_coefficients_of_ones_own():
    class Own(SeparableRegularizer):
        def __init__(self, alpha):
            self.alpha = alpha

        def coefficients(self, net):
            return Coefficients(self.alpha)

    assert_same_bits(
        NET.gradient(w, X, T, regularizer=Own(np.full(W, 0.3))),
        NET.gradient(w, X, T, regularizer=WeightDecay(0.3)),
    )
    for run in (NET.gradient, lambda *a, **k: mlpcore.minimize(NET, *a, **k)):
        with pytest.raises(ValueError, match=r"coefficients have shape \(1,\), expected \(13,\)"):
            run(w, X, T, regularizer=Own(np.ones(1)))


@pytest.mark.parametrize("name", ["gradient", "hessian_diagonal", "hessian_vector_product"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_derivatives_that_are_not_finite(name, number):
    def result(w, *v):
        array = np.zeros_like((v or [w])[0])
        array[..., 3] = number
        return array

    R = Coupled(**{name: result})
    quantity = "the gradient" if name == "gradient" else "the Hessian"
    at = r"\[0, 3\]" if name == "hessian_vector_product" else r"\[3\]"
    with pytest.raises(ValueError, match=f"^{quantity} is not finite: .*'s {name}{at} is {number}"):
        call(CALLERS[name], regularizer=R)


def test_where_it_is_not_defined():
    """A barrier: error_and_gradient says so in numbers, and no minimum ends beyond."""

    def inside(f):
        def checked(w):
            return f(w) if (np.abs(w) < 1).all() else np.nan * f(w)

        return checked

    barrier = Coupled(
        value=inside(lambda w: -1e-3 * np.log1p(-np.minimum(w**2, 0.99)).sum()),
        gradient=inside(lambda w: 2e-3 * w / (1 - w**2)),
    )
    out_there = np.full(W, 2.0)
    E, g = NET.error_and_gradient(out_there, X, T, regularizer=barrier)
    assert np.isnan(E)
    assert np.isnan(g).all()
    assert np.isnan(NET.error(out_there, X, T, regularizer=barrier))
    start = 0.3 * w / np.abs(w).max()
    found = mlpcore.minimize(NET, start, X, T, regularizer=barrier, weight_decay=0.01)
    optimum = mlpcore.Optimum(NET, start, X, T, regularizer=barrier, weight_decay=0.01)
    for end in (found.w, optimum.w):
        assert (np.abs(end) < 1).all()
        assert NET.error(end, X, T, regularizer=barrier) < NET.error(
            start, X, T, regularizer=barrier
        )


def test_what_it_is_given_are_copies():
    """One that works in place changes neither the caller's arrays nor the next call."""

    def in_place(w, *v):
        for array in (w, *v):
            array *= 2
        return (v or [w])[0]

    in_place_of_all = Coupled(
        gradient=in_place,
        hessian_diagonal=lambda w: in_place(w) * 0 + 2,
        hessian_vector_product=in_place,
        value=lambda w: float(in_place(w) @ w) / 4,
    )
    by_differences = Coupled(gradient=in_place, value=lambda w: float(in_place(w) @ w) / 4)
    for R in (in_place_of_all, by_differences, in_place_of_all + L1(0), L1(0) + by_differences):
        for at in (w, np.stack([w, -w])):
            before = at.copy()
            for method in METHODS:
                v = np.ones_like(at)
                given = [at, v] if method == "hessian_vector_product" else [at]
                results, expected = (
                    arrays_of(getattr(NET, method)(*given, X, T, regularizer=one))
                    for one in (R, WeightDecay(2))
                )
                for one, other in zip(results, expected, strict=True):
                    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
                assert_same_bits(at, before)
                assert (v == 1).all()


def test_a_gradient_in_the_same_array_each_time():
    memory = np.empty(W)

    def gradient(w):
        memory[:] = np.tanh(w) + 0.2 * w.sum()
        return memory

    R = Coupled(gradient=gradient)
    for method in METHODS[1:]:
        results, expected = (arrays_of(call(method, regularizer=one)) for one in (R, Coupled()))
        for one, other in zip(results, expected, strict=True):
            np.testing.assert_allclose(one, other)


# Hessians in little memory -----------------------------------------------------------------------


@pytest.mark.parametrize("tile", [1, 3 * W, 4 * W + 5, 1 << 20])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("ensemble", [False, True])
def test_hessians_by_rows(tile, together, ensemble, monkeypatch):
    """Of one row or more, with products that are not symmetric to the last bit."""
    monkeypatch.setattr(regularizers, "_TILE", tile)
    skew = np.random.default_rng(0).standard_normal((W, W))
    skew = 1e-3 * (skew - skew.T)
    R = Coupled(hessian_vector_product=lambda w, v: v @ (exact(w) + skew))
    R = WeightDecay(0.5) + R + WeightDecay(0.25) if together else R
    at = np.stack([w, -w, 2 * w]) if ensemble else w
    H = NET.hessian(at, X, T, regularizer=R)
    second = np.array([exact(one) + 0.75 * together * np.eye(W) for one in np.atleast_2d(at)])
    expected = NET.hessian(at, X, T) + (second if ensemble else second[0])
    np.testing.assert_allclose(H, expected, rtol=1e-12, atol=1e-12)
    assert_same_bits(H, np.ascontiguousarray(np.swapaxes(H, -1, -2)))
    end = 0
    for block in NET.hessian_blocks(at, X, T, regularizer=R):
        rows = slice(end, end := end + block.shape[-1])
        np.testing.assert_allclose(block, H[..., rows, rows], rtol=1e-12, atol=1e-12)
        assert_same_bits(block, np.ascontiguousarray(np.swapaxes(block, -1, -2)))
    assert end == W


def most_memory(compute):
    """The result, and the most bytes held on the way."""
    tracemalloc.start()
    try:
        result = compute()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class Flat(Coupled):
    """With a product of its own, so that a large Hessian is quick."""

    def hessian_vector_product(self, net, w, v):
        return 0.1 * v.sum(axis=-1, keepdims=True) * np.ones_like(w)


OF_ALL_KINDS = [WeightDecay(0.1), Flat(), WeightDecay(0.1) + Flat(), Coupled()]


@pytest.mark.parametrize("R", OF_ALL_KINDS)
def test_memory_for_a_hessian(R):
    net = mlpcore.Network((50, 60, 1))
    at, x = net.init(0), np.ones((1, 50))
    out = np.empty((net.n_weights, net.n_weights))  # 78 MB
    H, most = most_memory(lambda: net.hessian(at, x, [0.0], out=out, regularizer=R))
    assert H is out
    assert most < 75e6
    assert (H[:300] == H[:, :300].T).all()


@pytest.mark.parametrize("R", OF_ALL_KINDS[:3])
def test_memory_for_blocks(R):
    """That of the blocks, 55 MB, where the whole matrix has 447 MB."""
    net = mlpcore.Network((30,) * 9 + (1,))
    at, x = net.init(0), np.ones((1, 30))
    blocks, most = most_memory(lambda: net.hessian_blocks(at, x, [0.0], regularizer=R))
    assert most < sum(block.nbytes for block in blocks) + 100e6
    second = net.hessian_vector_product(at, np.eye(net.n_weights)[-31:], x, [0.0], regularizer=R)
    np.testing.assert_allclose(blocks[-1], second[:, -31:], atol=1e-12)


def test_memory_for_a_diagonal():
    net = mlpcore.Network((50, 60, 1))
    at, x = net.init(0), np.ones((1, 50))
    h, most = most_memory(lambda: net.hessian_diagonal(at, x, [0.0], regularizer=Flat()))
    assert most < 10e6
    np.testing.assert_allclose(h, net.hessian_diagonal(at, x, [0.0]) + 0.1)
