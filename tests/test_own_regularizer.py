"""Regularizers of a user's own in the methods of a network: what they give back, what they cost."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from cases import MINIMIZERS, OFF, Coupled, assert_same_bits

import mlpcore
from mlpcore import _core, regularizers
from mlpcore.regularizers import (
    L1,
    Coefficients,
    ConsistentPrior,
    SeparableRegularizer,
    WeightDecay,
)

NET = mlpcore.Network((2, 3, 1))
W = NET.n_weights
w, X = NET.init(0, "normal"), np.random.default_rng(0).standard_normal((9, 2))
T = np.sin(X[:, 0])


class With(Coupled):
    """`Coupled` with these in place of its methods, functions of w (and v)."""

    def __init__(self, **other):
        for name, function in other.items():
            setattr(self, name, lambda net, *given, function=function: function(*given))


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
    monkeypatch.setattr(_core, method, None)
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
    R = With(**{name: result})
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
    for R in (With(value=lambda w: value), L1(1) + With(value=lambda w: value)):
        for compute in (NET.error, NET.error_and_gradient, mlpcore.minimize, mlpcore.Optimum):
            first = () if compute in (NET.error, NET.error_and_gradient) else (NET,)
            with pytest.raises(exception, match=f"^the regularizer's value {message}"):
                compute(*first, w, X, T, regularizer=R)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_becomes_an_array_of_numbers_will_do(dtype):
    net = mlpcore.Network(NET.layers, dtype=dtype)
    at = w.astype(dtype)
    listed = With(
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

    R = With(**{name: result})
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

    barrier = With(
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

    in_place_of_all = With(
        gradient=in_place,
        hessian_diagonal=lambda w: in_place(w) * 0 + 2,
        hessian_vector_product=in_place,
        value=lambda w: float(in_place(w) @ w) / 4,
    )
    by_differences = With(gradient=in_place, value=lambda w: float(in_place(w) @ w) / 4)
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

    R = With(gradient=gradient)
    for method in METHODS[1:]:
        results, expected = (arrays_of(call(method, regularizer=one)) for one in (R, Coupled()))
        for one, other in zip(results, expected, strict=True):
            np.testing.assert_allclose(one, other)


# Ensembles in minimize ---------------------------------------------------------------------------


def ensemble(own_data=True):
    """Weights of three networks, and their data: of each, or of all."""
    rng = np.random.default_rng(1)
    front = (3,) if own_data else ()
    x = rng.standard_normal((*front, 20, 2))
    weight = rng.uniform(0.5, 2, (*front, 20))
    return np.stack([NET.init(seed) for seed in range(3)]), x, np.sin(x[..., 0]), weight


@pytest.mark.parametrize("own_data", [False, True])
@pytest.mark.parametrize(("method", "options"), [variant[:2] for variant in MINIMIZERS])
def test_an_ensemble_is_minimized_one_by_one(method, options, own_data):
    """Network for network what is found alone."""
    at, x, t, weight = ensemble(own_data)
    settings = {"method": method, "regularizer": Coupled(), "weight_decay": 0.1, "iterations": 9}
    settings |= options | OFF
    together = mlpcore.minimize(NET, at, x, t, sample_weight=weight, **settings)
    assert together.w.shape == at.shape
    for s, member in enumerate(together):
        data = (x[s], t[s]) if own_data else (x, t)
        weight_s = weight[s] if own_data else weight
        alone = mlpcore.minimize(NET, at[s], *data, sample_weight=weight_s, **settings)
        assert_same_bits(together.w[s], alone.w)
        assert (member.stopped, member.counts) == (alone.stopped, alone.counts)
        for name in ("objective", "error", "gradient_norm"):
            assert_same_bits(member.history[name], alone.history[name])
        if method == "lbfgs":
            assert_same_bits(member.state.s, alone.state.s)
    # "seconds since the call": the networks begin one after the other.
    starts = [member.history["seconds"][0] for member in together]
    assert starts[0] < starts[1] < starts[2] < together[0].seconds


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_class_labels_of_an_ensemble(dtype):
    net = mlpcore.Network((2, 3, 3), output="softmax", dtype=dtype)
    at = np.stack([net.init(0), net.init(1)])
    labels = np.random.default_rng(0).integers(0, 3, (2, 9))
    for t in (labels[0], labels, labels.tolist()):
        result = mlpcore.minimize(net, at, X, t, regularizer=Coupled(), iterations=5)
        own = t if np.ndim(t) == 2 else [t, t]
        for s in range(2):
            alone = mlpcore.minimize(net, at[s], X, own[s], regularizer=Coupled(), iterations=5)
            assert_same_bits(result.w[s], alone.w)


def test_an_ensemble_taken_up_again():
    at, x, t, _ = ensemble()
    settings = {"regularizer": L1(0.1) + Coupled(), **OFF}
    whole = mlpcore.minimize(NET, at, x, t, iterations=12, **settings)
    part = mlpcore.minimize(NET, at, x, t, iterations=5, **settings)
    states = [member.state for member in part]
    rest = mlpcore.minimize(NET, part.w, x, t, iterations=7, state=states, **settings)
    assert_same_bits(rest.w, whole.w)


def test_an_ensemble_of_none():
    at, x, t, _ = ensemble()
    assert len(mlpcore.minimize(NET, at[:0], x[:0], t[:0], regularizer=Coupled())) == 0


class Slow(Coupled):
    """Its value takes a while, or raises what it is told to when it is asked often enough."""

    def __init__(self, seconds=0.0, after=np.inf, exception=None):
        self.seconds, self.left, self.exception = seconds, after, exception

    def value(self, net, w):
        time.sleep(self.seconds)
        self.left -= 1
        if self.left < 0:
            raise self.exception
        return super().value(net, w)


def test_an_ensemble_has_one_time_for_all():
    at, x, t, _ = ensemble()
    result = mlpcore.minimize(
        NET, at, x, t, regularizer=Slow(0.02), iterations=10**6, seconds=0.3, **OFF
    )
    assert [member.stopped for member in result] == ["time"] * 3
    assert result[0].n_iterations > 0
    assert [member.n_iterations for member in result[1:]] == [0, 0]
    assert_same_bits(result.w[1:], at[1:])
    assert result[0].seconds < 1


def test_an_interrupted_ensemble():
    """The networks that have not begun stay as they are."""
    at, x, t, _ = ensemble()
    once = mlpcore.minimize(NET, at, x, t, regularizer=Coupled(), iterations=7, **OFF)
    R = Slow(after=once[0].counts["gradient"] + 5, exception=KeyboardInterrupt)
    result = mlpcore.minimize(NET, at, x, t, regularizer=R, iterations=7, **OFF)
    assert [member.stopped for member in result] == ["iterations", "interrupted", "interrupted"]
    assert_same_bits(result.w[0], once.w[0])
    assert (result.w[1] != at[1]).any()
    assert_same_bits(result.w[2], at[2])
    assert result[2].n_iterations == 0
    assert result[2].history["objective"].size == 0
    assert result.best() is min(result[:2], key=lambda member: member.objective)
    R = Slow(after=40, exception=ZeroDivisionError("mine"))
    with pytest.raises(ZeroDivisionError, match="mine"):
        mlpcore.minimize(NET, at, x, t, regularizer=R, **OFF)


def test_an_ensemble_interrupted_in_training():
    """A network that has not begun has no history, as side by side."""
    at, x, t, _ = ensemble()
    options = {"epochs": 7, "optimizer": "adam"}
    counted = Slow(after=1000)
    once = mlpcore.train(NET, at[0], x[0], t[0], x[0], t[0], regularizer=counted, **options)
    after = 1000 - counted.left + 5
    R = Slow(after=after, exception=KeyboardInterrupt)
    result = mlpcore.train(NET, at, x, t, x, t, regularizer=R, **options)
    assert [member.stopped for member in result] == ["epochs", "interrupted", "interrupted"]
    assert_same_bits(result.w[0], once.w)
    assert (result.w[1] != at[1]).any()
    assert_same_bits(result.w[2], at[2])
    assert [curve.size for curve in result[2].history.values()] == [0, 0]
    assert result[2].n_epochs == result[2].best_epoch == 0
    R = Slow(after=after, exception=KeyboardInterrupt)
    swept = mlpcore.sweep(x[0], t[0], hidden=[3], starts=3, seed=0, regularizer=R, **options)
    assert np.isnan(swept.training_errors).tolist() == [[False, False, True]]


def test_tables_of_pandas_own_types():
    """Which NumPy takes for objects."""
    pandas = pytest.importorskip("pandas")
    at, _, t, weight = ensemble()
    x = np.random.default_rng(2).standard_normal((20, 2))
    given = {"X": x, "T": t[0][:, None], "sample_weight": weight}
    tables = {name: pandas.DataFrame(array).astype("Float64") for name, array in given.items()}
    assert np.asarray(tables["X"]).dtype == object
    for fit, options in (
        (mlpcore.train, {"epochs": 3, "seed": 0}),
        (mlpcore.minimize, {"iterations": 3}),
    ):
        one, other = (fit(NET, at, **g, regularizer=Coupled(), **options) for g in (given, tables))
        assert_same_bits(one.w, other.w)
    options = {"epochs": 3, "seed": 0, "regularizer": Coupled()}
    one, other = (
        mlpcore.train(NET, at, x, t, X_val=g["X"], T_val=g["T"], **options) for g in (given, tables)
    )
    for a, b in zip(one, other, strict=True):
        assert_same_bits(a.history["validation_error"], b.history["validation_error"])


@pytest.mark.parametrize(
    ("change", "exception", "message"),
    [
        ({"T": np.zeros((3, 3))}, ValueError, r"T has shape \(3, 3\), expected .* or \(3, 20, 1\)"),
        ({"X": np.zeros((2, 20, 2))}, ValueError, r"X has shape \(2, 20, 2\), expected"),
        ({"w": np.zeros((3, 12))}, ValueError, r"w has shape \(3, 12\), expected"),
        ({"state": []}, ValueError, r"state is \[\], expected 3 LbfgsState"),
        ({"callback": print}, ValueError, "callback came with an ensemble of networks"),
        ({"weight_decay": np.ones(W)}, ValueError, "expected a single one beside a regularizer"),
        (
            {"regularizer": With(gradient=lambda w: np.ones(1))},
            ValueError,
            r"the regularizer's gradient has shape \(1,\), expected \(13,\)",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_arguments_of_an_ensemble(change, exception, message):
    at, x, t, weight = ensemble()
    given = {"w": at, "X": x, "T": t, "sample_weight": weight, "regularizer": Coupled()}
    with pytest.raises(exception, match=message):
        mlpcore.minimize(NET, **(given | change))


# Hessians in little memory -----------------------------------------------------------------------


@pytest.mark.parametrize("tile", [1, 3 * W, 4 * W + 5, 1 << 20])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("ensemble", [False, True])
def test_hessians_by_rows(tile, together, ensemble, monkeypatch):
    """Of one row or more, with products that are not symmetric to the last bit."""
    monkeypatch.setattr(regularizers, "_TILE", tile)
    skew = np.random.default_rng(0).standard_normal((W, W))
    skew = 1e-3 * (skew - skew.T)
    R = With(hessian_vector_product=lambda w, v: v @ (Coupled.exact_hessian(w) + skew))
    R = WeightDecay(0.5) + R + WeightDecay(0.25) if together else R
    at = np.stack([w, -w, 2 * w]) if ensemble else w
    H = NET.hessian(at, X, T, regularizer=R)
    second = np.array(
        [Coupled.exact_hessian(one) + 0.75 * together * np.eye(W) for one in np.atleast_2d(at)]
    )
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
