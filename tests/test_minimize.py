"""Minimization: the native methods against those of the reference, closed forms and SciPy; every
rule that stops them; and hostile problems.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from cases import MINIMIZERS, OFF, Case, assert_close, assert_same_bits

import mlpcore
from mlpcore import reference_optimizers as oracle

METHODS = ("lm", "scg", "cg", "newton-cg", "bfgs", "lbfgs", "gd")
REGRESSION = Case((3, 6, 2), n=50)
PROBLEMS = [
    REGRESSION,
    Case((3, 6, 2), "softplus", n=50, weighted=True),
    Case((4, 5, 4, 3), ("tanh", "silu"), "softmax", n=37, flat=True),
    Case((2, 4, 3), output="softmax", n=23, weighted=True),
    Case((2, 8, 1), "gelu", "sigmoid", n=41, weighted=True, flat=True),
]
PRECISE = {"gradient_tolerance": 1e-8}
EVERY = pytest.mark.parametrize("method", METHODS)


def ids(value):
    return value if isinstance(value, str) else None


def fit(case, problem=None, **settings):
    w, X, T, s = case.problem() if problem is None else problem
    return mlpcore.minimize(case.network(), w, X, T, sample_weight=s, **settings)


def objective(case, problem, alpha=0.0):
    _, X, T, s = problem
    return oracle.Objective(case.reference().architecture, X, T, s, alpha)


# The methods -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", PROBLEMS, ids=str)
@pytest.mark.parametrize(("method", "options", "expected", "settings"), MINIMIZERS, ids=ids)
def test_iterations_are_those_of_the_reference(method, options, expected, settings, case):
    problem, weights = case.problem(), []
    alpha = np.linspace(0, 0.5, case.n_weights)
    result = fit(
        case,
        problem,
        method=method,
        weight_decay=alpha,
        iterations=8,
        callback=lambda i, F, w: weights.append(w) and False,
        **OFF,
        **options,
    )
    f = objective(case, problem, alpha)
    path = np.array(list(itertools.islice(expected(f, problem.w, **settings), 9)))
    assert_close(np.array(weights), path, 1e-5)  # rounding grows with the iterations
    assert_close(np.array(weights)[:3], path[:3], 1e-9)
    assert_close(result.history["objective"], np.array([f.value(w) for w in weights]), 1e-12)
    assert_close(
        result.history["gradient_norm"],
        np.array([np.abs(f.gradient(w)).max() for w in weights]),
        1e-9,
    )
    assert_close(result.history["error"][-1], case.network().error(result.w, *problem[1:]), 1e-12)
    assert (result.stopped, result.n_iterations) == ("iterations", 8)
    assert (np.diff(result.history["objective"]) < 0).all()
    assert (np.diff(result.history["seconds"]) >= 0).all()
    assert_same_bits(result.w, weights[-1])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("units", [1, 2, 3, 5, 7, 8, 10, 11, 15, 16, 21, 26, 31, 40, 43, 60])
def test_lbfgs_of_few_weights(units, dtype):
    """Pairs of up to eight vectors of any instruction set are held in registers."""
    case = Case((1, units, 1), n=30, dtype=dtype)
    problem = case.problem()
    f = objective(case, problem.astype("float64"), 0.1)
    path = list(itertools.islice(oracle.lbfgs(f, problem.w.astype("float64"), memory=3), 8))
    result = fit(case, problem, method="lbfgs", memory=3, weight_decay=0.1, iterations=7, **OFF)
    assert_close(result.w, path[-1], {"float64": 1e-8, "float32": 1e-2}[dtype])


@pytest.mark.parametrize(("layers", "n"), [((8, 20, 1), 300), ((5, 16, 16, 2), 200)], ids=str)
def test_lm_of_many_weights(layers, n):
    """The factorization has several panels, the last one narrower."""
    case = Case(layers, n=n)
    problem = case.problem()
    f = objective(case, problem, 0.01)
    path = list(itertools.islice(oracle.lm(f, problem.w), 6))
    result = fit(case, problem, method="lm", weight_decay=0.01, iterations=5, **OFF)
    assert_close(result.w, path[-1], 1e-7)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0, 3, "each"])
@EVERY
def test_least_squares(method, weighted, alpha):
    """A network without a hidden layer has a closed form (PRML 3.15, 3.28)."""
    case = Case((4, 3), n=30, weighted=weighted)
    net, problem = case.network(), case.problem()
    _, X, T, s = problem
    alpha = np.linspace(0.1, 2, 15) if alpha == "each" else alpha
    each = net.unpack(np.broadcast_to(alpha, 15).astype(float))[0]
    root = np.sqrt(np.ones(30) if s is None else s)[:, None]
    Phi = root * np.append(X, np.ones((30, 1)), axis=1)
    columns = [
        np.linalg.solve(Phi.T @ Phi + np.diag([*each[0][k], each[1][k]]), Phi.T @ (root * T)[:, k])
        for k in range(3)
    ]
    W = np.array(columns)
    result = fit(case, problem, method=method, weight_decay=alpha, error_tolerance=0)
    assert result.stopped in ("gradient", "precision", "step")
    assert_close(result.w, net.pack([(W[:, :4], W[:, 4])]), 1e-5)
    if method == "lm":
        assert result.n_iterations < 20


@pytest.mark.parametrize("weighted", [False, True])
@EVERY
def test_logistic_regression(method, weighted):
    """Against iterative reweighted least squares, PRML 4.99."""
    case = Case((5, 1), output="sigmoid", n=80, weighted=weighted)
    problem = case.problem()
    _, X, T, s = problem
    s = np.ones(80) if s is None else s
    Phi, v = np.append(X, np.ones((80, 1)), axis=1), np.zeros(6)
    for _ in range(20):
        y = 1 / (1 + np.exp(-Phi @ v))
        H = Phi.T @ ((s * y * (1 - y))[:, None] * Phi) + 0.5 * np.eye(6)
        v = v - np.linalg.solve(H, Phi.T @ (s * (y - T[:, 0])) + 0.5 * v)
    result = fit(case, problem, method=method, weight_decay=0.5, gradient_tolerance=1e-8)
    assert_close(result.w, v, 1e-4)


@pytest.mark.peer
@EVERY
def test_the_optimum_of_scipy(method):
    optimize = pytest.importorskip("scipy.optimize")
    case = Case((5, 3), output="softmax", n=80, flat=True)
    problem = case.problem()
    f = objective(case, problem, 1.0)
    best = optimize.minimize(
        f.value, problem.w, jac=f.gradient, method="BFGS", options={"gtol": 1e-8}
    )
    result = fit(case, problem, method=method, weight_decay=1.0, **(OFF | PRECISE))
    assert_close(result.objective, best.fun, 1e-9)
    assert_close(result.w, best.x, 1e-4)


@pytest.mark.parametrize("case", PROBLEMS, ids=str)
@EVERY
def test_a_minimum_of_networks(method, case):
    """Converged: no direction goes down, at the values of the reference."""
    problem = case.problem()
    f = objective(case, problem, 0.1)
    result = fit(case, problem, method=method, weight_decay=0.1, iterations=5000)
    assert result.stopped in ("gradient", "error", "precision", "step") or method == "gd", result
    tolerance = 1e-2 if method in ("gd", "cg") else 1e-4
    assert np.abs(f.gradient(result.w)).max() <= tolerance * result.objective
    assert_close(result.objective, f.value(result.w), 1e-12)


@EVERY
def test_float32(method):
    case = Case((4, 5, 3), "tanh", "softmax", n=37, flat=True, dtype="float32")
    wide = Case((4, 5, 3), "tanh", "softmax", n=37, flat=True)
    settings = {"method": method, "weight_decay": 0.3, "iterations": 3000}
    result, expected = fit(case, **settings), fit(wide, **settings)
    assert result.w.dtype == np.float32
    assert result.history["objective"].dtype == np.float64
    assert result.stopped in ("gradient", "step", "error", "precision")
    assert result.objective < 1.05 * expected.objective


@EVERY
def test_counts(method):
    settings = {"acceleration": True} if method == "lm" else {}
    result = fit(REGRESSION, method=method, iterations=10, **settings)
    counts = result.counts
    assert set(counts) == {"forward", "gradient", "product", "hessian", "factorization"}
    assert counts["gradient"] >= 11
    assert (counts["hessian"] > 0) == (counts["factorization"] > 0) == (method == "lm")
    assert (counts["forward"] > 0) == (method == "lm")
    assert (counts["product"] > 0) == (method in ("scg", "newton-cg"))


# Stopping ----------------------------------------------------------------------------------------


def relative_gradient(f, w, u):
    return (np.abs(f.gradient(w)) * np.maximum(np.abs(w), u)).max() / f.value(w)


def first(condition):
    """The first iteration at which the condition holds."""
    return int(np.flatnonzero(condition)[0])


def uneven():
    """Columns of any size, none at all, and samples that do not count."""
    case = Case((3, 6, 2), n=2500, weighted=True)
    problem = case.problem()
    X, T = problem.X * [10, 0.1, 0], problem.T * [5, 0.1] * np.linspace(1, 2, 2500)[:, None]
    X[problem.s == 0] *= 1e3
    return case, problem._replace(X=X, T=T)


@pytest.mark.parametrize("made", [lambda: (REGRESSION, REGRESSION.problem()), uneven])
@EVERY
def test_rules(method, made):
    """Each tolerance stops where its documented measure first falls below it."""
    (case, problem), weights = made(), []
    f = objective(case, problem, 0.1)
    common = {"method": method, "weight_decay": 0.1, "iterations": 60}
    full = fit(case, problem, callback=lambda i, F, w: weights.append(w) and False, **common, **OFF)
    w, F = np.array(weights), full.history["objective"]
    u = oracle.typical_sizes(f)
    gradients = np.array([relative_gradient(f, v, u) for v in w])
    steps = (np.abs(np.diff(w, axis=0)) / np.maximum(np.abs(w[1:]), u)).max(axis=1)
    decreases = -np.diff(F) / F[1:]
    for name, measures, begin in (
        ("gradient", gradients, 0),
        ("step", steps, 1),
        ("error", decreases, 1),
    ):
        tolerance = np.sort(measures)[len(measures) // 2] * (1 + 1e-6)
        expected = first(measures <= tolerance) + begin
        result = fit(case, problem, **common, **(OFF | {f"{name}_tolerance": tolerance}))
        assert (result.stopped, result.n_iterations) == (name, expected)
        assert_same_bits(result.w, w[expected])
        assert name in result.message
        assert_same_bits(result.history["objective"], F[: expected + 1])


#: Tolerances that are reached before rounding leads two courses apart.
RULES = {
    "gradient": OFF | {"gradient_tolerance": 0.05},
    "step": OFF | {"step_tolerance": 0.03},
    "error": OFF | {"error_tolerance": 0.003},
    "iterations": OFF,
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", PROBLEMS[:3], ids=str)
@pytest.mark.parametrize(("method", "options", "expected", "settings"), MINIMIZERS, ids=ids)
def test_it_stops_where_the_reference_does(method, options, expected, settings, case, rule):
    problem = case.problem()
    f = objective(case, problem, 0.1)
    limits = RULES[rule] | {"iterations": 9 if rule == "iterations" else 50}
    w, n_iterations, stopped = oracle.minimize(f, expected(f, problem.w, **settings), **limits)
    result = fit(case, problem, method=method, weight_decay=0.1, **limits, **options)
    assert (result.stopped, result.n_iterations) == (stopped, n_iterations)
    assert result.objective == pytest.approx(f.value(w), rel=1e-3)
    assert stopped == rule or n_iterations == 50


@pytest.mark.parametrize("size", [1, 1e200])
def test_other_ends_of_the_reference(size):
    problem = Case((3, 2), n=20).problem()
    problem = problem._replace(w=size * problem.w)
    f = objective(Case((3, 2), n=20), problem)
    for method, expected in (("lm", oracle.lm), ("newton-cg", oracle.newton_cg)):
        with np.errstate(over="ignore", invalid="ignore"):
            _, _, stopped = oracle.minimize(f, expected(f, problem.w), **OFF)
        assert stopped == ("precision" if size == 1 else "diverged")
        assert fit(Case((3, 2), n=20), problem, method=method, **OFF).stopped == stopped


@EVERY
def test_tolerances_have_no_units(method):
    """The same targets in other units, and every sample a thousand times: the same course."""
    problem = Case((3, 2), n=20).problem()
    scaled = problem._replace(s=np.full(20, 1000.0))
    one = fit(Case((3, 2), n=20), problem, method=method)
    other = fit(Case((3, 2), n=20), scaled, method=method)
    assert one.stopped == other.stopped
    if method not in ("gd", "cg", "bfgs", "lbfgs"):  # their very first step is a guess
        assert one.n_iterations == other.n_iterations
    assert_close(one.w, other.w, 1e-4)


#: Powers of ten, for float32 as far as squares of the targets are in its range.
SIZES = {
    "float64": [-60, -30, -20, -10, -5, -2, 2, 5, 8, 10, 15, 20, 30, 60],
    "float32": [-30, -20, -15, -12, -8, -4, -2, 2, 5, 6, 7, 8, 12, 15],
}


def of_size(dtype, size):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    t = X @ [1, 2, 3] + np.sin(X[:, 0]) + 0.3 * rng.normal(size=100)
    return X.astype(dtype), (t * size).astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@EVERY
def test_targets_of_any_size(method, dtype):
    """No first step is in the units of the weights, and no stop before F has fallen."""
    options = [{}, {"acceleration": True}] if method == "lm" else [{}]
    for (layers, sizes), given in itertools.product(
        (((3, 1), SIZES[dtype]), ((3, 5, 1), [e for e in SIZES[dtype] if e > 0])), options
    ):
        net = mlpcore.Network(layers, dtype=dtype)
        w, X, fits = net.init(seed=0), of_size(dtype, 1)[0], {}
        for e in (0, *sizes):
            T = of_size(dtype, 10.0**e)[1]
            result = mlpcore.minimize(net, w, X, T, method=method, iterations=300, **given)
            fits[e] = result.objective / (0.5 * np.square(T, dtype=float).sum())
        limit = 1.01 * fits[0] if len(layers) == 2 else 1.1 * max(fits[0], 0.008)
        assert {e: fit for e, fit in fits.items() if not fit <= limit} == {}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", ["lm", "bfgs", "lbfgs"])
def test_a_network_for_tiny_targets(method, dtype):
    net = mlpcore.Network((3, 5, 1), dtype=dtype)
    for e in (-30, -20, -12):
        X, T = of_size(dtype, 10.0**e)
        result = mlpcore.minimize(net, net.init(seed=0), X, T, method=method)
        assert result.objective < 0.05 * 0.5 * np.square(T, dtype=float).sum()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@EVERY
def test_targets_of_any_size_in_training(method, dtype):
    for layers, size in itertools.product(((3, 1), (3, 5, 1)), (1e6, 1e10)):
        net = mlpcore.Network(layers, dtype=dtype)
        X, T = of_size(dtype, size)
        result = mlpcore.train(net, net.init(seed=0), X, T, optimizer=method, epochs=200)
        error = min(result.history["training_error"]) * len(T)
        assert error < 0.02 * 0.5 * np.square(T, dtype=float).sum()


@pytest.mark.parametrize(("dtype", "far"), [("float64", 1e18), ("float32", 1e8)])
@EVERY
def test_a_first_step_below_the_rounding(method, dtype, far):
    """From weights so large a step of length 1 does not change F by more than its rounding."""
    net = mlpcore.Network((3, 1), dtype=dtype)
    X, T = of_size(dtype, 1)
    result = mlpcore.minimize(net, far * net.init(seed=0), X, T, method=method)
    assert result.objective < 0.02 * 0.5 * np.square(T, dtype=float).sum()


def test_lbfgs_taken_up_again_with_large_targets():
    """The pairs of a state are steps and gradients of the weights, however the method scales."""
    net, weights = mlpcore.Network((3, 5, 1)), []
    X, T = of_size("float64", 1e6)
    settings = {"method": "lbfgs", "memory": 5, **OFF}
    keep = {"callback": lambda i, F, w: weights.append(w) and False}
    whole = mlpcore.minimize(net, net.init(seed=0), X, T, iterations=20, **settings, **keep)
    part = mlpcore.minimize(net, net.init(seed=0), X, T, iterations=12, **settings)
    rest = mlpcore.minimize(net, part.w, X, T, iterations=8, state=part.state, **settings)
    assert_same_bits(rest.w, whole.w)
    assert_close(whole.state.s, np.diff(weights, axis=0)[-5:], 1e-12)
    gradients = [net.gradient(w, X, T) for w in weights[-6:]]
    assert_close(whole.state.y, np.diff(gradients, axis=0), 1e-9)


@EVERY
def test_at_the_optimum_already(method):
    problem = REGRESSION.problem()
    problem = problem._replace(T=REGRESSION.network().forward(problem.w, problem.X))
    result = fit(REGRESSION, problem, method=method)
    assert (result.stopped, result.n_iterations) == ("gradient", 0)
    assert_same_bits(result.w, problem.w)
    assert result.objective == 0


@EVERY
def test_no_iterations(method):
    problem = REGRESSION.problem()
    result = fit(REGRESSION, problem, method=method, iterations=0)
    assert (result.stopped, result.n_iterations) == ("iterations", 0)
    assert_same_bits(result.w, problem.w)
    assert result.w is not problem.w


@EVERY
def test_to_the_precision_of_the_numbers(method):
    """With every tolerance off a method still ends by itself, or slowly goes on downwards."""
    case = Case((2, 2, 1), n=30)
    result = fit(case, method=method, weight_decay=0.5, iterations=3000, **OFF)
    assert result.stopped in ("precision", "gradient", "step", "error", "iterations")
    assert relative_gradient(objective(case, case.problem(), 0.5), result.w, 1.0) < 1e-5


@EVERY
def test_time(method):
    case = Case((8, 20, 10), n=500)
    result = fit(case, method=method, iterations=10**9, seconds=0.05, **OFF)
    assert result.stopped == "time"
    assert result.seconds < 1.5
    assert result.objective < result.history["objective"][0]


@EVERY
def test_divergence_at_the_start(method):
    problem = REGRESSION.problem()
    problem = problem._replace(w=1e200 * problem.w)
    result = fit(REGRESSION, problem, method=method)
    assert (result.stopped, result.n_iterations) == ("diverged", 0)
    assert_same_bits(result.w, problem.w)


@EVERY
def test_callback(method):
    calls = []
    problem = REGRESSION.problem()

    def callback(iteration, F, w):
        calls.append((iteration, F, w.copy()))
        w[:] = np.nan  # a copy: this spoils nothing
        return iteration == 3

    result = fit(REGRESSION, problem, method=method, callback=callback)
    assert (result.stopped, result.n_iterations) == ("callback", 3)
    assert [i for i, _, _ in calls] == [0, 1, 2, 3]
    assert [F for _, F, _ in calls] == result.history["objective"].tolist()
    assert_same_bits(calls[0][2], problem.w)
    assert_same_bits(calls[3][2], result.w)


@EVERY
@pytest.mark.parametrize("at", [0, 2])
def test_callbacks_that_raise(method, at):
    def fail(exception):
        def callback(iteration, *_):
            if iteration == at:
                raise exception

        return callback

    with pytest.raises(ZeroDivisionError, match="mine"):
        fit(REGRESSION, method=method, callback=fail(ZeroDivisionError("mine")))
    result = fit(REGRESSION, method=method, callback=fail(KeyboardInterrupt()))
    assert (result.stopped, result.n_iterations) == ("interrupted", at)


# One run, many runs ------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [False, True])
@EVERY
def test_an_ensemble_is_what_each_is_alone(method, own):
    rng = np.random.default_rng(0)
    net = mlpcore.Network((3, 4, 1))
    front = (5,) if own else ()
    w = rng.normal(size=(5, net.n_weights))
    X, T = rng.normal(size=(*front, 37, 3)), rng.normal(size=(*front, 37, 1))
    s = rng.uniform(0, 2, (*front, 37))
    settings = {"method": method, "weight_decay": 0.1, "iterations": 30}
    for threads in (1, 3):
        mlpcore.set_num_threads(threads)
        together = mlpcore.minimize(net, w, X, T, sample_weight=s, **settings)
        assert len(together) == 5
        for i, member in enumerate(together):
            data = (X[i], T[i]) if own else (X, T)
            alone = mlpcore.minimize(net, w[i], *data, sample_weight=s[i] if own else s, **settings)
            assert_same_bits(together.w[i], alone.w)
            assert_same_bits(member.history["objective"], alone.history["objective"])
            assert (member.stopped, member.counts) == (alone.stopped, alone.counts)
    assert together.best().objective == min(member.objective for member in together)
    assert "5 networks" in repr(together)
    assert method in together._repr_html_()


def test_an_ensemble_of_none_and_of_one():
    net = mlpcore.Network((3, 4, 1))
    w, X = net.init(0)[None], np.ones((7, 3))
    assert len(mlpcore.minimize(net, w[:0], X, np.ones(7))) == 0
    one = mlpcore.minimize(net, w, X, np.zeros(7), iterations=5)
    assert_same_bits(one.w[0], mlpcore.minimize(net, w[0], X, np.zeros(7), iterations=5).w)
    with pytest.raises(ValueError, match="no networks"):
        mlpcore.minimize(net, w[:0], X, np.ones(7)).best()


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_the_best_of_an_ensemble_is_finite(value):
    net = mlpcore.Network((3, 4, 1))
    w = np.stack([net.init(s) for s in range(3)])
    result = mlpcore.minimize(net, w, np.ones((7, 3)), np.zeros(7), iterations=2)
    first = dataclasses.replace(result[0], objective=value)
    members = (first, *sorted(result[1:], key=lambda member: member.objective))
    result = dataclasses.replace(result, members=members)
    assert result.best() is members[1]
    assert f"best {members[1].objective:.6g}, median" in repr(result)


@EVERY
def test_the_same_bits_for_any_number_of_threads(method):
    case = Case((8, 50, 1), n=2000)
    results = []
    for threads in (1, 2, 3):
        mlpcore.set_num_threads(threads)
        results.append(fit(case, method=method, iterations=3).w)
    for w in results[1:]:
        assert_same_bits(w, results[0])


@pytest.mark.parametrize("parts", [(1, 19), (7, 13), (12, 8)])
@pytest.mark.parametrize("memory", [1, 5, 10])
def test_lbfgs_taken_up_again(parts, memory):
    problem = REGRESSION.problem()
    settings = {"method": "lbfgs", "memory": memory, **OFF}
    whole = fit(REGRESSION, problem, iterations=20, **settings)
    part = fit(REGRESSION, problem, iterations=parts[0], **settings)
    rest = fit(
        REGRESSION, problem._replace(w=part.w), iterations=parts[1], state=part.state, **settings
    )
    assert_same_bits(rest.w, whole.w)
    assert_same_bits(rest.history["objective"], whole.history["objective"][parts[0] :])
    assert_same_bits(rest.state.s, whole.state.s)
    assert_same_bits(rest.state.y, whole.state.y)
    assert repr(part.state) == f"LbfgsState of {min(parts[0], memory)} pairs"


def test_an_ensemble_taken_up_again():
    net = mlpcore.Network((3, 4, 1))
    rng = np.random.default_rng(0)
    w, X, T = rng.normal(size=(3, net.n_weights)), rng.normal(size=(37, 3)), rng.normal(size=37)
    whole = mlpcore.minimize(net, w, X, T, iterations=12, **OFF)
    part = mlpcore.minimize(net, w, X, T, iterations=5, **OFF)
    states = [member.state for member in part]
    rest = mlpcore.minimize(net, part.w, X, T, iterations=7, state=states, **OFF)
    assert_same_bits(rest.w, whole.w)


# Hostile problems --------------------------------------------------------------------------------


def hostile():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(20, 3))
    return {
        "constant targets": (X, np.full(20, 2.5)),
        "targets of 0": (X, np.zeros(20)),
        "duplicated rows": (np.repeat(X[:2], 10, axis=0), np.repeat([1.0, -1.0], 10)),
        "contradicting rows": (np.repeat(X[:2], 10, axis=0), rng.normal(size=20)),
        "one row": (X[:1], np.ones(1)),
        "fewer rows than weights": (X[:4], rng.normal(size=4)),
        "inputs of 0": (np.zeros((20, 3)), rng.normal(size=20)),
        "one input all": (np.repeat(X[:, :1], 3, axis=1), X[:, 0]),
        "inputs far apart": (X * [1e-6, 1, 1e6], rng.normal(size=20)),
        "huge targets": (X, 1e100 * rng.normal(size=20)),
        "tiny targets": (X, 1e-100 * rng.normal(size=20)),
        "saturated": (1e8 * X, rng.normal(size=20)),
    }


@pytest.mark.filterwarnings("ignore:the . units of hidden layer 1 begin all alike")
@pytest.mark.parametrize("start", ["random", "zeros", "ones", "far"])
@pytest.mark.parametrize("problem", hostile())
@EVERY
def test_hostile_problems(method, problem, start):
    X, T = hostile()[problem]
    net = mlpcore.Network((3, 6, 1))
    w = {
        "random": net.init(seed=0),
        "zeros": np.zeros(net.n_weights),
        "ones": np.ones(net.n_weights),
        "far": 1e5 * net.init(seed=0),
    }[start]
    of_lm = [{"acceleration": True}] if method == "lm" else []
    for settings in ({}, {"weight_decay": 0.1}, *of_lm, OFF):
        result = mlpcore.minimize(net, w, X, T, method=method, iterations=200, **settings)
        assert np.isfinite(result.w).all()
        assert np.isfinite(result.history["objective"]).all()
        assert (np.diff(result.history["objective"]) < 0).all()
        assert result.stopped not in ("diverged", "interrupted", "time", "callback")
        assert result.stopped in result.message or result.stopped == "precision"


@EVERY
def test_constant_targets_are_learned(method):
    X, T = hostile()["constant targets"]
    net = mlpcore.Network((3, 6, 1))
    result = mlpcore.minimize(net, net.init(seed=0), X, T, method=method, error_tolerance=0)
    assert result.error < 1e-4


@EVERY
def test_rows_that_occur_often_are_weights(method):
    rng = np.random.default_rng(0)
    net, X, T = mlpcore.Network((2, 3, 1)), rng.normal(size=(20, 2)), rng.normal(size=20)
    times = rng.integers(1, 5, 20)
    settings = {"method": method, "iterations": 8, **OFF}
    often = mlpcore.minimize(
        net, net.init(0), np.repeat(X, times, axis=0), np.repeat(T, times), **settings
    )
    weighted = mlpcore.minimize(net, net.init(0), X, T, sample_weight=times, **settings)
    assert_close(often.w, weighted.w, 1e-9)
    assert_close(often.history["objective"], weighted.history["objective"], 1e-10)


@EVERY
def test_what_targets_of_the_same_row_differ_by_stays(method):
    X, T = hostile()["contradicting rows"]
    net = mlpcore.Network((3, 6, 1))
    spread = sum(0.5 * ((t - t.mean()) ** 2).sum() for t in (T[:10], T[10:]))
    result = mlpcore.minimize(net, net.init(seed=0), X, T, method=method)
    assert_close(result.error, spread, 1e-9)


@EVERY
def test_fewer_targets_than_weights(method):
    """The error falls to rounding; where, depends on the start. A prior leaves one minimum here."""
    X, T = hostile()["fewer rows than weights"]
    net = mlpcore.Network((3, 6, 1))
    starts = np.stack([net.init(seed=0), net.init(seed=1)])
    free = mlpcore.minimize(net, starts, X, T, method=method)
    for result in free:
        assert result.error < 1e-17
        assert result.stopped in ("step", "precision", "gradient")
        assert (result.stopped == "gradient") == (result.error == 0)
    assert np.linalg.norm(free.w[0] - free.w[1]) > 0.1 * np.linalg.norm(free.w[0])
    held = mlpcore.minimize(net, starts, X, T, method=method, weight_decay=0.1, iterations=2000)
    assert_close(held[0].objective, held[1].objective, 1e-6)


@EVERY
@pytest.mark.parametrize("layers", [(1, 1), (1, 1, 1)])
def test_few_weights(method, layers):
    net = mlpcore.Network(layers)
    X = np.linspace(-1, 1, 9)[:, None]
    result = mlpcore.minimize(net, np.full(net.n_weights, 0.3), X, 0.5 * X, method=method)
    assert result.error < 1e-3


def test_hidden_units_that_begin_alike():
    """They stay alike, and the caller is told."""
    net, X = mlpcore.Network((2, 4, 1)), np.random.default_rng(0).normal(size=(30, 2))
    T = X[:, 0] * X[:, 1]
    zeros = np.zeros(net.n_weights)
    with pytest.warns(UserWarning, match="the 4 units of hidden layer 1 begin all alike") as told:
        result = mlpcore.minimize(net, zeros, X, T, iterations=3)
    assert told[0].filename == __file__
    W = net.unpack(result.w)[0][0]
    assert (W == W[0]).all()
    with pytest.warns(UserWarning, match="hidden layer 1 of network 1 begin all alike"):
        mlpcore.minimize(net, np.stack([net.init(0), zeros]), X, T, iterations=3)
    mlpcore.minimize(net, zeros, X, T, iterations=0)


def test_a_singular_gauss_newton():
    """Two hidden units alike make J^T J singular; the damping makes the equation solvable. The
    other two differ: with all alike, rounding would decide between two minima."""
    net = mlpcore.Network((2, 4, 1))
    W1 = [[0.3, -0.2], [0.3, -0.2], [0.8, -0.1], [-0.1, 0.1]]
    w = net.pack([(W1, [0, 0, 0.2, -0.3]), ([[0.1, 0.1, 0.2, -0.2]], [0])])
    X = np.random.default_rng(0).normal(size=(30, 2))
    result = mlpcore.minimize(net, w, X, X[:, 0] * X[:, 1], method="lm")
    assert result.objective < 1e-3 * result.history["objective"][0]
    assert result.stopped in ("gradient", "step", "error", "precision", "iterations")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_factorization_that_fails(dtype):
    """The same input three times. Of what fails there is no gradient, and the damping grows."""
    rng, net = np.random.default_rng(0), mlpcore.Network((3, 4, 1), dtype=dtype)
    x = rng.normal(size=(30, 1))
    T = x[:, 0] + 0.1 * rng.normal(size=30)
    result = mlpcore.minimize(
        net, net.init(0), np.repeat(x, 3, axis=1), T, method="lm", iterations=200, **OFF
    )
    assert result.counts["factorization"] > result.counts["gradient"] + 5
    assert result.error < 0.12  # what a line leaves


@EVERY
def test_separable_classes(method):
    """The error has no minimum, its infimum 0 is at infinity."""
    X = np.array([[-1.0], [-0.5], [0.5], [1.0]])
    net = mlpcore.Network((1, 1), output="sigmoid")
    result = mlpcore.minimize(net, [0.0, 0.0], X, [0, 0, 1, 1], method=method, iterations=3000)
    assert result.error < 0.05
    assert np.isfinite(result.w).all()


# Arguments ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "exception", "message"),
    [
        ({"method": "adam"}, ValueError, "method is 'adam', expected one of lm, scg, cg"),
        ({"method": 3}, TypeError, "method is 3"),
        ({"conjugacy": "x"}, ValueError, "conjugacy is 'x'"),
        ({"curvature": "x"}, ValueError, "curvature is 'x'"),
        ({"iterations": -1}, ValueError, "iterations is -1"),
        ({"gradient_tolerance": -1}, ValueError, "gradient_tolerance is -1"),
        ({"step_tolerance": np.nan}, ValueError, "step_tolerance is nan"),
        ({"error_tolerance": "x"}, TypeError, "error_tolerance is 'x'"),
        ({"seconds": 0}, ValueError, "seconds is 0.0, expected a number above 0"),
        ({"memory": 0}, ValueError, "memory is 0"),
        ({"acceleration": 1}, TypeError, "acceleration is 1"),
        ({"callback": 1}, TypeError, "callback is 1"),
        ({"weight_decay": -1}, ValueError, r"weight_decay is -1\.0, expected a finite number"),
        ({"weight_decay": np.inf}, ValueError, "weight_decay is inf"),
        ({"weight_decay": [1.0]}, ValueError, r"weight_decay has shape \(1,\), expected a number"),
        ({"weight_decay": [0.0] * 37 + [-2]}, ValueError, r"weight_decay\[37\] is -2\.0"),
        ({"weight_decay": "x"}, (TypeError, ValueError), "weight_decay"),
        ({"sample_weight": np.zeros(50)}, ValueError, "sample_weight sums to 0"),
        ({"state": 1}, TypeError, "state is 1, expected a LbfgsState or a sequence of them"),
        ({"state": [], "method": "lbfgs"}, ValueError, r"state is \[\], expected 1 LbfgsState"),
    ],
    ids=str,
)
def test_bad_arguments(settings, exception, message):
    w, X, T, _ = REGRESSION.problem()
    with pytest.raises(exception, match=message):
        mlpcore.minimize(REGRESSION.network(), w, X, T, **settings)


@EVERY
@pytest.mark.parametrize(
    ("name", "value", "default", "users"),
    [
        ("acceleration", True, False, ["lm"]),
        ("curvature", "gauss_newton", "exact", ["scg", "newton-cg"]),
        ("conjugacy", "hestenes_stiefel", "polak_ribiere", ["cg"]),
        ("memory", 5, 20, ["lbfgs"]),
    ],
)
def test_settings_of_other_methods_are_refused(name, value, default, users, method):
    fit(REGRESSION, method=method, iterations=1, **{name: default})
    if method in users:
        fit(REGRESSION, method=method, iterations=1, **{name: value})
        return
    expected = " or ".join(map(repr, users))
    message = f"{name} came with method '{method}', expected it with {expected}$"
    with pytest.raises(ValueError, match=message):
        fit(REGRESSION, method=method, **{name: value})


def test_bad_states():
    w, X, T, _ = REGRESSION.problem()
    net, n = REGRESSION.network(), REGRESSION.n_weights
    good = np.ones((2, n))
    for s, y, message in (
        (good, good[:1], rf"state.y has shape \(1, {n}\), expected \(2, {n}\)"),
        (good[:, 1:], good, rf"state.s has shape \(2, {n - 1}\), expected \(m, {n}\)"),
        (good, good * np.nan, "state.y is not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            mlpcore.minimize(net, w, X, T, state=mlpcore.LbfgsState(s, y))
    state = mlpcore.LbfgsState(good, good)
    with pytest.raises(ValueError, match="state came with method 'bfgs'"):
        mlpcore.minimize(net, w, X, T, method="bfgs", state=state)


def test_more_pairs_than_fit_into_memory():
    w, X, T, _ = REGRESSION.problem()
    with pytest.raises(MemoryError, match=r"the working memory of lbfgs would take 9\d\d GiB"):
        mlpcore.minimize(REGRESSION.network(), w, X, T, method="lbfgs", memory=10**9)


@pytest.mark.parametrize(
    ("which", "size"),
    [("T", 1e-9), ("T", 1e-3), ("T", 1e3), ("T", 1e9), ("X", 0.01), ("X", 100)],
)
def test_no_tolerance_depends_on_units(which, size):
    """From far away to the optimum, and no further."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2)) * (size if which == "X" else 1)
    T = (rng.normal(size=(40, 1)) + X @ np.array([[1.0], [2]])) * (size if which == "T" else 1)
    net = mlpcore.Network((2, 1))
    best = np.linalg.lstsq(np.column_stack([X, np.ones(40)]), T[:, 0], rcond=None)[0]
    for method in ("lm", "newton-cg"):
        result = mlpcore.minimize(net, np.zeros(3), X, T, method=method)
        assert result.stopped in ("gradient", "error"), (method, result)
        np.testing.assert_allclose(result.w, best, rtol=1e-4, atol=1e-6 * np.abs(best).max())
        assert mlpcore.minimize(net, result.w, X, T, method=method).n_iterations <= 1


def test_a_sample_without_weight_has_no_say_in_the_units():
    w, X, T, _ = REGRESSION.problem()
    net, s = REGRESSION.network(), np.ones(len(X))
    far, s[3] = T.copy(), 0
    far[3] = 1e12
    for method in METHODS:
        options = {"sample_weight": s, "method": method, "iterations": 30}
        one, other = (mlpcore.minimize(net, w, X, t, **options) for t in (T, far))
        assert (one.stopped, one.n_iterations) == (other.stopped, other.n_iterations)
    for t in (T, far):
        result = mlpcore.train(net, w, X, t, sample_weight=s, optimizer="lbfgs", epochs=30)
        assert result.n_epochs == 30


def test_large_targets_are_no_convergence():
    """The gradient is small beside the error at once; it was taken for a minimum."""
    w, X, T, _ = REGRESSION.problem()
    for method in METHODS:
        result = mlpcore.minimize(REGRESSION.network(), w, X, T * 1e6, method=method)
        assert result.n_iterations > 0
        assert result.error < result.history["error"][0]


@pytest.mark.parametrize("method", METHODS)
def test_an_objective_below_zero(method):
    """As that of a regularizer of one's own may be: no rule takes its sign for convergence."""

    class Below(mlpcore.regularizers.Regularizer):
        def value(self, net, w):
            return 0.5 * float(w @ w) - 1000

        def gradient(self, net, w):
            return w

        def hessian_diagonal(self, net, w):
            return np.ones_like(w)

    w, X, T, _ = REGRESSION.problem()
    net = REGRESSION.network()
    below = mlpcore.minimize(net, w, X, T, method=method, regularizer=Below(), iterations=20, **OFF)
    same = mlpcore.minimize(net, w, X, T, method=method, weight_decay=1, iterations=20, **OFF)
    assert below.n_iterations == same.n_iterations
    assert_close(below.w, same.w, 1e-3)
    assert mlpcore.minimize(net, w, X, T, method=method, regularizer=Below()).n_iterations > 1


def test_bad_data():
    w, X, T, _ = REGRESSION.problem()
    net = REGRESSION.network()
    with pytest.raises(TypeError, match="net is a int"):
        mlpcore.minimize(3, w, X, T)
    with pytest.raises(ValueError, match=r"^w is not an array of numbers"):
        mlpcore.minimize(net, [[1, 2, 3], [1, 2]], X, T)
    with pytest.raises(ValueError, match="w is not finite"):
        mlpcore.minimize(net, w * np.nan, X, T)
    with pytest.raises(ValueError, match="X has no rows"):
        mlpcore.minimize(net, w, X[:0], T[:0])
    with pytest.raises(ValueError, match="callback came with an ensemble"):
        mlpcore.minimize(net, w[None], X, T, callback=print)


@pytest.mark.filterwarnings("ignore:the 2000 units of hidden layer 1 begin all alike")
@pytest.mark.parametrize("method", ["lm", "bfgs"])
def test_too_large_a_matrix(method):
    net = mlpcore.Network((1000, 2000, 1))
    with pytest.raises(MemoryError, match=f"the working memory of {method}"):
        mlpcore.minimize(net, np.zeros(net.n_weights), np.zeros((1, 1000)), [0.0], method=method)


def test_how_a_result_shows_itself():
    result = fit(REGRESSION, method="lm", iterations=2)
    text = repr(result)
    assert text.startswith("MinimizeResult\n  stopped          iterations: all 2 iterations")
    counts = {name: count for name, count in result.counts.items() if count}
    evaluations = ", ".join(f"{count} {name}" for name, count in counts.items())
    assert {"gradient", "hessian"} <= counts.keys()
    assert f"\n  evaluations      {evaluations}\n" in text
    assert "<table><caption>MinimizeResult" in result._repr_html_()


@pytest.mark.parametrize("method", ["lm", "cg", "bfgs", "newton-cg"])
def test_a_row_with_a_weight_is_one_that_occurs_as_often(method):
    """Also in the size of the targets, by which the weights are scaled where it is large."""
    net = mlpcore.Network((1, 3, 1))
    X = np.array([[0.1], [0.5], [-1.0], [0.7]])
    T = np.array([30.0, 1000.0, -20.0, 5.0])
    s = np.array([1, 9, 1, 2])
    fits = [
        mlpcore.minimize(net, net.init(1), *data, sample_weight=w, method=method, iterations=4)
        for *data, w in ((X, T, s), (np.repeat(X, s, axis=0), np.repeat(T, s), None))
    ]
    np.testing.assert_allclose(*(fit.history["objective"] for fit in fits), rtol=1e-9)
