"""Properties that hold for every architecture, by random search."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from cases import (
    ACTIVATIONS,
    CORNERED,
    OUTPUTS,
    QUANTITIES,
    SQUARES,
    SUMS,
    TOLERANCE,
    Case,
    assert_same_bits,
)
from cases import assert_close as assert_close_to
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlpcore

widths = st.one_of(st.integers(1, 9), st.integers(1, 70))
search = settings(
    deadline=None, max_examples=200, suppress_health_check=list(HealthCheck), print_blob=True
)
invariance = settings(search, max_examples=60)

#: Gradients may be tiny where outputs saturate, and their rounding errors are then not.
assert_close = functools.partial(assert_close_to, floor=1e-3)


@st.composite
def cases(draw, min_n=0, max_n=200, min_depth=0):
    depth = draw(st.integers(min_depth, 4))
    layers = draw(st.tuples(*[widths] * (depth + 2)))
    output = draw(st.sampled_from(OUTPUTS))
    if output == "softmax":
        layers = (*layers[:-1], max(2, layers[-1]))
    hidden = draw(st.tuples(*[st.sampled_from(ACTIVATIONS)] * depth))
    # At a corner a rounding error decides on which side a unit is; in float64 that is too rare
    # to be met.
    dtypes = ["float64"] if set(hidden) & set(CORNERED) else ["float64", "float32"]
    return Case(
        layers=layers,
        hidden=hidden,
        output=output,
        n=draw(st.integers(min_n, max_n)),
        weighted=draw(st.booleans()),
        flat=draw(st.booleans()) and (output == "softmax" or layers[-1] == 1),
        dtype=draw(st.sampled_from(dtypes)),
    )


def affordable(case, quantity):
    """With no more samples than keep the result, or the reference's B^l, within 8 MB; the Hessian
    for narrow layers."""
    if quantity in SQUARES:
        return replace(case, layers=tuple(min(n, 9) for n in case.layers), n=min(case.n, 50))
    K, W, M = case.layers[-1], case.n_weights, max(case.layers)
    size = {"weight_jacobian": K * W, "per_sample_gradient": W, "jacobian": K * M}.get(
        quantity, M * M
    )
    return replace(case, n=min(case.n, 10**6 // size + 1))


def strided(array, steps):
    """The same values, as a view with these steps into a larger array of other values."""
    if array is None:
        return None
    steps = steps[: array.ndim]
    spread = [n * abs(step) for n, step in zip(array.shape, steps, strict=True)]
    view = np.full(spread, 7, array.dtype)[tuple(slice(None, None, step) for step in steps)]
    view[...] = array
    return view


steps = st.tuples(st.sampled_from([-3, -2, -1, 1, 2]), st.sampled_from([-2, -1, 1, 2, 5]))


@search
@given(cases(), st.integers(0, 2**31), steps, st.sampled_from(sorted(QUANTITIES)))
def test_parity(case, seed, steps, quantity):
    case = affordable(case, quantity)
    problem, compute = case.problem(seed), QUANTITIES[quantity]
    expected = compute(case.reference(), problem.astype("float64"))
    views = type(problem)(*(strided(value, steps) for value in problem))
    actual = compute(case.network(), views)
    assert_close(actual, expected, 10 * TOLERANCE[case.dtype])  # sums may cancel
    assert_same_bits(actual, compute(case.network(), problem))


@invariance
@given(cases(min_n=1), st.integers(0, 2**31), st.sampled_from(SUMS))
def test_order_of_samples(case, seed, quantity):
    case = replace(affordable(case, quantity), dtype="float64")
    problem, compute, net = case.problem(seed), QUANTITIES[quantity], case.network()
    order = np.random.default_rng(seed).permutation(case.n)
    assert_close(compute(net, problem.rows(order)), compute(net, problem), 1e-11)


@invariance
@given(cases(min_n=1), st.integers(0, 2**31), st.sampled_from(SUMS), st.floats(0, 1))
def test_a_batch_is_the_sum_of_its_parts(case, seed, quantity, where):
    case = replace(affordable(case, quantity), dtype="float64")
    problem, compute, net = case.problem(seed), QUANTITIES[quantity], case.network()
    cut = round(where * case.n)
    head, tail = problem.rows(slice(cut)), problem.rows(slice(cut, None))
    assert_close(compute(net, head) + compute(net, tail), compute(net, problem), 1e-11)


@invariance
@given(cases(min_n=1), st.integers(0, 2**31), st.sampled_from(SUMS))
def test_sample_weights_count_samples(case, seed, quantity):
    """A weight of 2 is the sample twice, of 0 the sample left out."""
    case = replace(affordable(case, quantity), dtype="float64")
    problem, compute, net = case.problem(seed), QUANTITIES[quantity], case.network()
    counts = np.random.default_rng(seed).integers(0, 4, size=case.n)
    repeated = problem.rows(np.repeat(np.arange(case.n), counts))._replace(s=None)
    weighted = problem._replace(s=counts.astype(float))
    assert_close(compute(net, weighted), compute(net, repeated), 1e-11)
    ones = problem._replace(s=np.ones(case.n))
    assert_same_bits(compute(net, ones), compute(net, problem._replace(s=None)))


@invariance
@given(cases(min_n=1), st.integers(0, 2**31))
def test_rows_do_not_know_of_each_other(case, seed):
    """The outputs and derivatives of a sample are those that it has alone."""
    for quantity in ("forward", "logits", "jacobian", "weight_jacobian", "per_sample_gradient"):
        small = affordable(case, quantity)
        problem, compute, net = small.problem(seed), QUANTITIES[quantity], case.network()
        n = seed % small.n
        alone = compute(net, problem.rows(slice(n, n + 1)))
        assert_close(compute(net, problem)[n : n + 1], alone, TOLERANCE[case.dtype])


@invariance
@given(cases(min_n=1, max_n=60, min_depth=1), st.integers(0, 2**31))
def test_order_of_hidden_units(case, seed):
    """Exchanging hidden units with their weights changes no output, and moves their gradient."""
    case = replace(case, dtype="float64")
    (w, X, T, s), net = case.problem(seed), case.network()
    rng = np.random.default_rng(seed)

    def exchanged(vector):
        parameters = [(W.copy(), b.copy()) for W, b in net.unpack(vector)]
        for i, order in enumerate(orders):
            (W, b), (V, c) = parameters[i : i + 2]
            parameters[i : i + 2] = [(W[order], b[order]), (V[:, order], c)]
        return net.pack(parameters)

    orders = [rng.permutation(n) for n in case.layers[1:-1]]
    assert_close(net.forward(exchanged(w), X), net.forward(w, X), 1e-11)
    assert_close(net.jacobian(exchanged(w), X), net.jacobian(w, X), 1e-11)
    for derivative in (net.gradient, net.hessian_diagonal):
        moved = derivative(exchanged(w), X, T, s)
        assert_close(moved, exchanged(derivative(w, X, T, s)), 1e-11)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("hidden", ["sigmoid", "softplus"])
@pytest.mark.parametrize("layers", [(3, 7, 2), (1, 13, 1), (5, 50, 3), (4, 9, 11, 2)], ids=str)
def test_zero_weights_keep_hidden_units_identical(layers, hidden, dtype):
    """Gradient descent from zero never tells the hidden units apart, to the last bit."""
    case = Case(layers, hidden, n=101, dtype=dtype)
    net, (_, X, T, _) = case.network(), case.problem()
    w = net.init(scheme="zeros")
    assert not w.any()
    for _ in range(5):
        w -= (0.01 * net.gradient(w, X, T)).astype(dtype)
    assert w.all()  # every weight has moved
    parameters = net.unpack(w)
    for i, (W, b) in enumerate(parameters):
        if i < len(parameters) - 1:
            assert (W == W[0]).all()
            assert (b == b[0]).all()
        if i > 0:
            assert (W == W[:, :1]).all()


@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_equal_hidden_units_have_equal_derivatives(hidden):
    """Constant weights, and so a gradient that isn't zero: equal bits in the rows of all units."""
    for layers in [(3, 7, 2), (6, 31, 1), (2, 64, 3)]:
        case = Case(layers, hidden, n=67)
        net, (_, X, T, _) = case.network(), case.problem()
        w = np.full(net.n_weights, 0.25)
        for derivative in (net.gradient, net.hessian_diagonal):
            (W1, b1), (W2, _) = net.unpack(derivative(w, X, T))
            assert W1.any()
            assert (W1 == W1[0]).all()
            assert (b1 == b1[0]).all()
            assert (W2 == W2[:, :1]).all()


@search
@given(cases(max_n=0), st.integers(0, 2**31), st.sampled_from(["auto", "glorot", "he", "normal"]))
def test_pack_and_unpack(case, seed, scheme):
    net = mlpcore.Network(case.layers, case.hidden, case.output, case.dtype)
    w = net.init(seed=seed, scheme=scheme)
    assert w.shape == (case.n_weights,)
    assert_same_bits(net.pack(net.unpack(w)), w)
