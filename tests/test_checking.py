"""The user's check: it agrees where all is well, and says so where it isn't."""

from __future__ import annotations

import doctest
import math
import time
import tracemalloc

import numpy as np
import pytest
from cases import ACTIVATIONS, CORNERED, OUTPUTS, Case, Coupled

import mlpcore
from mlpcore import _core, checking
from mlpcore.datasets import load_concrete
from mlpcore.regularizers import ARD, L1, LayerDecay

SMOOTH = [name for name in ACTIVATIONS if name not in CORNERED]
CASES = [
    *(Case((2, 3, 2), name, n=7) for name in SMOOTH),
    *(Case((3, 4, 3, 2), output=output, n=7, weighted=True) for output in OUTPUTS),
    Case((2, 3), output="softmax", n=7, flat=True),
    Case((2, 3, 2), n=7, dtype="float32"),
    Case((1, 1, 1), n=1),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_all_agree(case):
    w, X, T, s = case.problem()
    check = mlpcore.check_derivatives(case.network(), w, X, T, s)
    assert check.passed, check
    *_, verdict, cost = repr(check).splitlines()
    assert verdict == "all agree"
    assert cost.startswith(f"differences for W = {case.n_weights} weights: O(W) errors and gradie")
    assert len(check.quantities) == 13
    assert max(q.difference for q in check.quantities) < (1e-3 if case.dtype == "float32" else 1e-7)


@pytest.mark.parametrize(
    "method",
    [
        "gradient", "hessian_diagonal", "hessian_vector_product", "jacobian", "weight_jacobian",
        "per_sample_gradient", "output_hessian", "jvp", "vjp", "weight_jvp", "weight_vjp",
    ],
)  # fmt: skip
def test_an_error_in_one_is_found(method):
    """A network one of whose quantities is off by a part in ten thousand in one element."""

    class Wrong(mlpcore.Network):
        pass

    def wrong(self, *args, **kwargs):
        result = getattr(mlpcore.Network, method)(self, *args, **kwargs).copy()
        place = np.unravel_index(np.abs(result).argmax(), result.shape)
        result[place] *= 1 + 1e-4
        return result

    setattr(Wrong, method, wrong)
    w, X, T, _ = Case((2, 3, 2), n=7).problem()
    check = mlpcore.check_derivatives(Wrong((2, 3, 2)), w, X, T)
    assert [q.quantity for q in check.quantities if not q.passed] == [method]
    assert not check.passed
    assert check[method].verdict == "DIFFERS"
    assert 5e-5 < check[method].difference < 2e-4
    assert "DIFFERS" in repr(check)
    assert f"1 of {len(check.quantities)} differ" in repr(check)


SURE = [10.0, 18.0, 19.0, 36.0, 100.0, -38.0]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("x", SURE)
def test_an_output_that_is_sure(x, dtype):
    """The error, or the slope of the output, is 0 to rounding, and so are its differences."""
    softmax = mlpcore.Network((1, 2), (), "softmax", dtype)
    sigmoid = mlpcore.Network((1, 1), (), "sigmoid", dtype)
    for net, w, targets in (
        (softmax, [1.0, -1.0, 0.1, 0.0], ([0], [1], [[0.5, 0.5]])),
        (sigmoid, [2.0, 0.1], ([0.0], [1.0], [0.5])),
    ):
        for T in targets:
            check = mlpcore.check_derivatives(net, w, [[x]], T)
            assert check.passed, check


def test_a_hidden_unit_whose_slope_is_below_all_floats():
    """Of float32; the differences are of float64."""
    net = mlpcore.Network((1, 1, 1), "sigmoid", dtype="float32")
    for x in (-20.0, -40.0, -50.0, -60.0, -100.0):
        check = mlpcore.check_derivatives(net, [2.0, 0.1, 1.0, 0.0], [[x]], [0.0])
        assert check.passed, check


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
@pytest.mark.parametrize("method", ["gradient", "jacobian", "output_hessian", "hessian"])
def test_an_error_beside_outputs_that_are_sure_is_found(method, output, dtype):
    """Of a sample that is not, and in float64 of one with a chance of one in a million."""

    class Wrong(mlpcore.Network):
        pass

    def wrong(self, *args, **kwargs):
        return getattr(mlpcore.Network, method)(self, *args, **kwargs) * (1 + off)

    setattr(Wrong, method, wrong)
    net = Wrong((1, 2), (), output, dtype)
    for X, off in (([[50.0], [0.4]], 1e-2), ([[50.0], [7.0]], 1e-3)):
        if off < 1e-2 and dtype == "float32":
            continue
        check = mlpcore.check_derivatives(net, [1.0, -1.0, 0.1, 0.0], X, [[1.0, 0.0]] * 2)
        assert [q.quantity for q in check.quantities if not q.passed] == [method]


@pytest.mark.parametrize("at", [(0, 3, 8), (1, 0, 0), (1, 7, 2), (2, 5, 5)])
def test_an_error_in_a_block_is_found(at):
    class Wrong(mlpcore.Network):
        def hessian_blocks(self, *args, **kwargs):
            blocks = super().hessian_blocks(*args, **kwargs)
            blocks[at[0]][at[1:]] *= 1 + 1e-4
            return blocks

    w, X, T, _ = Case((2, 3, 2, 2), n=7).problem()
    check = mlpcore.check_derivatives(Wrong((2, 3, 2, 2)), w, X, T)
    assert [q.quantity for q in check.quantities if not q.passed] == ["hessian_blocks"]
    assert check["hessian_blocks"].at == at


def test_at_a_minimum_nothing_is_made_of_rounding():
    """Where the gradient is zero, its differences are rounding and say nothing."""
    net, X = mlpcore.Network((2, 1)), np.random.default_rng(0).normal(size=(30, 2))
    T = 100 * X[:, :1] + np.random.default_rng(1).normal(size=(30, 1))
    w = np.linalg.lstsq(np.c_[X, np.ones(30)], T, rcond=None)[0][:, 0]
    check = mlpcore.check_derivatives(net, w, X, T)
    assert check.passed, check


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "R", [L1(0.5, epsilon=0.1), LayerDecay([1, 2], 0.3), ARD([1, 2], 0.5, 0.1), Coupled()]
)
def test_with_a_regularizer(R, dtype):
    case = Case((2, 3, 2), n=7, weighted=True, dtype=dtype)
    w, X, T, s = case.problem()
    check = mlpcore.check_derivatives(case.network(), w, X, T, s, regularizer=R)
    assert check.passed, check


SECOND = ["hessian", "hessian_diagonal", "hessian_vector_product", "hessian_blocks"]


def test_a_wrong_regularizer_is_found():
    """In each quantity that sees it, and in no other."""

    class WrongSlope(Coupled):
        def gradient(self, net, w):
            return super().gradient(net, w) + 1e-4 * w.sum()

    class WrongCurvature(Coupled):
        def hessian_vector_product(self, net, w, v):
            return 1.001 * super().hessian_vector_product(net, w, v)

    w, X, T, _ = Case((2, 3, 2), n=7).problem()
    for R, expected in ((WrongSlope(), ["gradient"]), (WrongCurvature(), SECOND)):
        check = mlpcore.check_derivatives(mlpcore.Network((2, 3, 2)), w, X, T, regularizer=R)
        assert [q.quantity for q in check.quantities if not q.passed] == expected


def test_own_regularizer():
    w = np.random.default_rng(0).normal(size=6)
    right = mlpcore.check_gradient(
        lambda w: np.log(1 + w**2).sum(), lambda w: 2 * w / (1 + w**2), w
    )
    wrong = mlpcore.check_gradient(lambda w: np.log(1 + w**2).sum(), lambda w: w / (1 + w**2), w)
    assert right.passed
    assert not wrong.passed
    hessian = mlpcore.check_gradient(lambda w: w**3, np.diag(3 * w**2), w, name="hessian")
    assert hessian["hessian"].passed


def test_weights_of_very_different_sizes():
    w = np.array([1e-6, 1e-2, 1.0, 1e3, 1e5])
    assert mlpcore.check_gradient(lambda w: np.log(1 + w**2).sum(), 2 * w / (1 + w**2), w).passed


def scaled(net, w, by):
    """w with the weights of input d divided by ``by[d]``."""
    (W, b), *rest = net.unpack(np.array(w))
    return net.pack([(W / by, b), *rest])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_raw_data(dtype):
    """Concrete as it comes: the ingredients are hundreds of kilograms."""
    data = load_concrete()
    net = mlpcore.Network((8, 4, 1), dtype=dtype)
    w = net.init(seed=0)
    for weights in (scaled(net, w, data.X.std(axis=0)), w):
        check = mlpcore.check_derivatives(net, weights, data.X, data.t)
        assert check.passed, check


SCALES = {
    "large inputs": (1e4, 1.0, 1.0),
    "small inputs": (1e-4, 1.0, 1.0),
    "one of each": (np.array([1e5, 1e-3]), 1.0, 1.0),
    "small targets": (1.0, 1e-6, 1.0),
    "large targets": (1.0, 1e3, 1.0),
    "small weights": (1.0, 1.0, 1e-2),
}


@pytest.mark.parametrize("hidden", ["tanh", "softplus", "relu"])
@pytest.mark.parametrize("scale", SCALES)
def test_any_scale(scale, hidden):
    """What is right is called right, and a part in ten thousand of any slope is found."""
    of_X, of_T, of_w = SCALES[scale]
    net = mlpcore.Network((2, 3, 1), hidden)
    w, X, T, _ = Case((2, 3, 1), hidden, n=20).problem()
    X, T, w = X * of_X, T * of_T, scaled(net, w, of_X) * of_w
    check = mlpcore.check_derivatives(net, w, X, T)
    assert check.passed, check

    def f(w):
        return net.error(w, X, T)

    gradient = net.gradient(w, X, T)
    assert mlpcore.check_gradient(f, gradient, w).passed
    for i in range(net.n_weights):
        wrong = gradient.copy()
        wrong[i] *= 1 + 1e-4
        row = mlpcore.check_gradient(f, wrong, w)["gradient"]
        assert row.at == (i,)
        assert not row.passed or gradient[i] == 0


@pytest.mark.parametrize("hidden", ["relu", "leaky_relu"])
def test_at_a_corner(hidden):
    """Nothing goes into a unit for the sample of zeros: its slope is anything from 0 to 1."""
    net = mlpcore.Network((2, 3, 1), hidden)
    _, X, T, _ = Case((2, 3, 1), n=7).problem()
    X[2] = 0
    w = net.init(seed=0)  # the biases are 0
    check = mlpcore.check_derivatives(net, w, X, T)
    assert check.passed, check
    other = mlpcore.check_gradient(lambda w: net.error(w, X, T), 1.001 * net.gradient(w, X, T), w)
    assert not other.passed


def test_any_element_of_the_hessian():
    """Small ones too, beside large ones."""

    class Wrong(mlpcore.Network):
        at = (0, 0)

        def hessian(self, *args, **kwargs):
            H = super().hessian(*args, **kwargs)
            H[self.at] *= 1 + 1e-4
            return H

    net = Wrong((2, 1, 1))
    w, X, T, _ = Case((2, 1, 1), n=9).problem()
    X, w = X * [1e4, 1.0], scaled(net, w, [1e4, 1.0])
    H = mlpcore.Network((2, 1, 1)).hessian(w, X, T)
    assert np.abs(H).max() > 1e6 * np.abs(H[H != 0]).min()
    for net.at in np.argwhere(H != 0).tolist():
        net.at = tuple(net.at)
        check = mlpcore.check_derivatives(net, w, X, T)
        assert [q.quantity for q in check.quantities if not q.passed] == ["hessian"]
        assert check["hessian"].at == net.at


FUNCTIONS = {
    "steps far below w": (lambda w: np.sin(w).sum(), np.cos, [1e6, 1.0]),
    "flat at a distance": (
        lambda w: np.exp(-((w - 1e5) ** 2)).sum(),
        lambda w: -2 * (w - 1e5) * np.exp(-((w - 1e5) ** 2)),
        [1e5 + 0.3, 1e5 - 0.1],
    ),
    "a line at a distance": (
        lambda w: np.logaddexp(0, w - 1e6).sum(),
        lambda w: 1 / (1 + np.exp(1e6 - w)),
        [1e6 + 0.3, 1e6 - 0.7],
    ),
    "steps far above w": (lambda w: 1e8 + np.exp(w).sum(), np.exp, [1e-3, 0.0, -1e-4]),
    "a corner near by": (lambda w: np.abs(w).sum(), np.sign, [1e-4, -1.0, 300.0]),
    "no value at 0": (lambda w: sum(map(math.log, w)), lambda w: 1 / w, [1e-8, 1e-3, 1.0, 1e5]),
    "a large constant": (lambda w: 1e8 + w.sum(), np.ones_like, [0.1, -2.0]),
    "the Hessian of w^4": (lambda w: w**3, lambda w: np.diag(3 * w**2), [1e-5, 1.0, 1e5]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    f, gradient, w = FUNCTIONS[name]
    check = mlpcore.check_gradient(f, gradient, w)
    assert check.passed, check
    for i in range(len(w)):
        wrong = gradient(np.array(w))
        wrong[..., i] *= 1 + 1e-4
        assert not mlpcore.check_gradient(f, wrong, w).passed


def test_what_rounding_hides_is_not_called_wrong():
    """Of 1e8 + w^2, rounded to 1e-8, the slope is known to a few digits."""
    w = np.array([0.1, 1.0, 3.0])
    row = mlpcore.check_gradient(lambda w: 1e12 + (w**2).sum(), lambda w: 2 * w, w)["gradient"]
    assert row.passed
    row = mlpcore.check_gradient(lambda w: 1e12 + (w**2).sum(), lambda w: 2.5 * w, w)["gradient"]
    assert not row.passed


def test_the_cost():
    """8 evaluations for a weight where all is of size 1."""
    calls = []
    w = np.random.default_rng(0).uniform(0.5, 2, size=50)
    mlpcore.check_gradient(lambda w: calls.append(1) or np.exp(w).sum(), np.exp, w)
    assert len(calls) < 10 * w.size + 70


def test_a_wrong_shape_costs_one_evaluation():
    calls = []
    with pytest.raises(ValueError, match=r"slope has shape \(49,\), expected \(50,\)"):
        mlpcore.check_gradient(
            lambda w: calls.append(1) or w.sum(), np.ones(49), np.ones(50), name="slope"
        )
    assert len(calls) == 1


def test_targets_that_sum_to_one_in_float32():
    """What the network accepts, its check does, and finds nothing wrong with."""
    case = Case((2, 3, 3), output="softmax", n=7, dtype="float32")
    w, X, T, s = case.problem()
    check = mlpcore.check_derivatives(case.network(), w, X, T * np.float32(0.99995), s)
    assert check.passed, check


def test_tables_of_pandas_own_types():
    pandas = pytest.importorskip("pandas")
    random = np.random.default_rng(0)
    net = mlpcore.Network((2, 3, 3), output="softmax")
    X, T = random.standard_normal((9, 2)), random.dirichlet([1, 1, 1], 9)
    one, other = (
        mlpcore.check_derivatives(net, net.init(0), *given)
        for given in ((X, T), [pandas.DataFrame(a).astype("Float64") for a in (X, T)])
    )
    assert one.passed
    assert one.quantities == other.quantities


def test_a_nan_does_not_agree():
    check = mlpcore.check_gradient(lambda w: w.sum(), lambda w: np.full(3, np.nan), np.ones(3))
    assert not check.passed


def test_what_does_not_fit_in_memory_is_refused_first():
    """Not after minutes of differences: the Hessian, or that of the outputs."""
    words = r"the working memory of check_derivatives would take \S+ GiB, more than the \S+ GiB of"
    for layers in ((100, 3000, 10), (20_000, 1, 100)):
        net = mlpcore.Network(layers)
        w, X, T = np.zeros(net.n_weights), np.zeros((5, layers[0])), np.zeros((5, layers[-1]))
        start = time.monotonic()
        with pytest.raises(MemoryError, match=words):
            mlpcore.check_derivatives(net, w, X, T)
        assert time.monotonic() - start < 2


def test_the_memory_of_it_is_what_was_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(_core, "check_memory", lambda what, n_bytes: asked.append(n_bytes))
    monkeypatch.setattr(checking, "_TILE", 1 << 8)
    for layers in ((20, 6, 1), (1, 1, 40), (20, 1, 3)):
        net, (w, X, T, _) = mlpcore.Network(layers), Case(layers, n=7).problem()
        tracemalloc.start()
        try:
            assert mlpcore.check_derivatives(net, w, X, T).passed
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert 0.7 * asked[-1] < peak < 1.2 * asked[-1] + 1e6


def test_many_numbers_are_worked_on_in_parts(monkeypatch):
    w, X, T, _ = Case((2, 3, 2), n=7).problem()
    whole = mlpcore.check_derivatives(mlpcore.Network((2, 3, 2)), w, X, T)
    monkeypatch.setattr(checking, "_TILE", 20)
    assert mlpcore.check_derivatives(mlpcore.Network((2, 3, 2)), w, X, T) == whole


def test_html():
    w, X, T, _ = Case((2, 3, 2), n=7).problem()
    check = mlpcore.check_derivatives(mlpcore.Network((2, 3, 2)), w, X, T)
    table = check._repr_html_()
    assert table.startswith("<table><tr><th>quantity</th>")
    assert "<td>gradient</td>" in table
    assert table.endswith(f"</table><p>{check.cost}</p>")
    own = mlpcore.check_gradient(lambda w: w.sum(), np.ones(3), np.ones(3))  # of unknown cost
    assert repr(own).endswith("all agree")
    assert own._repr_html_().endswith("</table>")


def test_errors_in_words():
    net, (w, X, T, _) = mlpcore.Network((2, 3, 2)), Case((2, 3, 2), n=7).problem()
    with pytest.raises(ValueError, match="T has shape"):
        mlpcore.check_derivatives(net, w, X, T[:3])
    single = r"w has shape \(2, 17\), expected \(17,\): a single network, no ensemble"
    with pytest.raises(ValueError, match=single):
        mlpcore.check_derivatives(net, np.array([w, w]), X, T)
    with pytest.raises(TypeError, match=r"net is a str, expected a mlpcore\.Network"):
        mlpcore.check_derivatives("x", w, X, T)
    with pytest.raises(TypeError, match="w has dtype object, expected real numbers"):
        mlpcore.check_derivatives(net, None, X, T)
    with pytest.raises(TypeError, match=r"regularizer is a str, expected a mlpcore\.regularizers"):
        mlpcore.check_derivatives(net, w, X, T, regularizer="l1")
    with pytest.raises(ValueError, match="tolerance is 0"):
        mlpcore.check_derivatives(net, w, X, T, tolerance=0)
    with pytest.raises(ValueError, match=r"gradient has shape \(2,\), expected \(3,\)"):
        mlpcore.check_gradient(lambda w: w.sum(), np.ones(2), np.ones(3))
    with pytest.raises(KeyError, match="expected one of gradient"):
        mlpcore.check_derivatives(net, w, X, T)["hession"]


@pytest.mark.parametrize(
    ("error", "message", "w"),
    [
        (TypeError, "w has dtype object, expected real numbers", None),
        (TypeError, "w has dtype complex128, expected real numbers", [1j]),
        (TypeError, "w has dtype <U1, expected real numbers", "w"),
        (ValueError, r"w has shape \(\), expected at least one dimension", 1.0),
        (ValueError, "w is not an array of numbers", [[1.0], [2.0, 3.0]]),
        (ValueError, r"w is not finite: w\[1\] is nan", [1.0, np.nan]),
    ],
)
def test_an_unusable_w(error, message, w):
    with pytest.raises(error, match=message):
        mlpcore.check_gradient(lambda w: w.sum(), np.ones(1), w)


def test_an_unusable_function():
    with pytest.raises(TypeError, match="f is 3, expected a callable"):
        mlpcore.check_gradient(3, np.ones(2), np.ones(2))
    with pytest.raises(TypeError, match=r"f\(w\) has dtype object, expected real numbers"):
        mlpcore.check_gradient(lambda w: None, np.ones(2), np.ones(2))
    with pytest.raises(TypeError, match="slope has dtype complex128, expected real numbers"):
        mlpcore.check_gradient(lambda w: w.sum(), lambda w: 1j * w, np.ones(2), name="slope")


def test_examples():
    assert doctest.testmod(checking).failed == 0
