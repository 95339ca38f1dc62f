"""What stands on the Hessian, against the plain equations: the diagonal from random products,
inverses and Cholesky, re-training, and regularizers in every method of minimize.
"""

from __future__ import annotations

import doctest
import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
from cases import MINIMIZERS, OFF, OUTPUTS, Case, Coupled, assert_close

import mlpcore
from mlpcore import reference, reference_retraining, reference_training
from mlpcore import reference_optimizers as oracle
from mlpcore.regularizers import ARD, L1, ConsistentPrior, LayerDecay, Regularizer, WeightDecay

CASES = [
    Case((5, 3), n=31, weighted=True),
    Case((1, 1, 1), "softplus", "sigmoid", n=9),
    Case((3, 7, 5, 2), ("gelu", "tanh"), "sigmoid", n=65, weighted=True),
    Case((2, 5, 3, 4, 3), ("tanh", "silu", "softplus"), "softmax", n=33),
    Case((4, 6, 3), "relu", "softmax", n=67, weighted=True, flat=True),
    Case((1, 11, 2), "sigmoid", n=50),
]
all_cases = pytest.mark.parametrize("case", CASES, ids=str)


class Curved(Coupled):
    """With second derivatives of its own."""

    def hessian_diagonal(self, net, w):
        return self.exact_hessian(w).diagonal()

    def hessian_vector_product(self, net, w, v):
        return v @ self.exact_hessian(w)


class Pair(NamedTuple):
    """A regularizer and, of layers and w, the same in plain NumPy."""

    R: Regularizer
    plain: Any

    def penalty(self, case):
        """As `reference_optimizers.Objective` takes it."""
        return lambda w: self.plain(case.layers, w)


def each_layer(case, first=0.3):
    """A precision for each layer, and one for each layer's biases."""
    n = len(case.layers) - 1
    return np.linspace(first, 0.6, n).tolist(), np.linspace(0.1, 0.2, n).tolist()


def decays(case):
    weights, biases = each_layer(case)
    return Pair(
        LayerDecay(weights, biases),
        lambda layers, w: reference_training.layer_decay(layers, w, weights, biases),
    )


def consistent(case):
    alphas, _ = each_layer(case, 0.05)
    return Pair(
        ConsistentPrior(alphas),
        lambda layers, w: reference_training.consistent_prior(layers, w, alphas),
    )


def ard(case):
    alphas = np.linspace(0.1, 3, case.layers[0]).tolist()
    return Pair(
        ARD(alphas, others=0.3, biases=0.1),
        lambda layers, w: reference_training.ard(layers, w, alphas, 0.3, 0.1),
    )


def absolute(case):
    def plain(layers, w):
        n = len(layers) - 1
        on_weights = reference_training.layer_decay(layers, w, [0.2] * n, [0] * n).hessian_diagonal
        return reference_training.l1(w, on_weights, 0.1)

    return Pair(L1(0.2, epsilon=0.1), plain)


def coupled(case):
    def plain(layers, w):
        second = np.diag(1 / np.cosh(w) ** 2) + 0.2
        value = np.log(np.cosh(w)).sum() + 0.1 * w.sum() ** 2
        return value, np.tanh(w) + 0.2 * w.sum(), second

    return Pair(Curved(), plain)


def several(case):
    """A sum of three, one of them coupled."""
    one, two = absolute(case), coupled(case)

    def plain(layers, w):
        (a, da, d2a), (b, db, d2b) = one.plain(layers, w), two.plain(layers, w)
        return a + b + 0.1 * w @ w, da + db + 0.2 * w, np.diag(d2a + 0.2) + d2b

    return Pair(one.R + two.R + WeightDecay(0.2), plain)


REGULARIZERS = (decays, consistent, ard, absolute, coupled, several)
each_regularizer = pytest.mark.parametrize("pair", REGULARIZERS, ids=lambda pair: pair.__name__)


# The diagonal from random products ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["exact", "gauss_newton"])
@pytest.mark.parametrize(
    ("method", "n_probes"),
    [("hutchinson", n) for n in (2, 9, 150)] + [("bekas", n) for n in (8, 70, 129, 520)],
)
@all_cases
def test_stochastic_diagonal(case, method, n_probes, kind):
    """The same probes, drawn from the same seed: the same estimate and the same error of it."""
    net, plain, (w, X, T, s) = case.network(), case.reference(), case.problem()
    found = mlpcore.stochastic_diagonal(
        net, w, X, T, n_probes, seed=5, method=method, sample_weight=s, kind=kind
    )
    diagonal, error = plain.stochastic_diagonal(w, X, T, n_probes, 5, method, s, kind)
    scale = np.abs(diagonal).max()
    assert_close(found.diagonal, diagonal, 1e-12)
    assert_close(found.standard_error, error, 1e-12, floor=scale)
    vectors = reference.probes(w.size, n_probes, 5, method)
    assert found.n_probes == len(vectors) * vectors.shape[1]


@pytest.mark.parametrize("method", ["hutchinson", "bekas"])
@each_regularizer
def test_stochastic_diagonal_with_a_regularizer(pair, method):
    case = CASES[2]
    net, plain, (w, X, T, s) = case.network(), case.reference(), case.problem()
    R, penalty = pair(case).R, pair(case).penalty(case)
    found = mlpcore.stochastic_diagonal(
        net, w, X, T, 40, seed=1, method=method, sample_weight=s, regularizer=R
    )
    expected = plain.stochastic_diagonal(w, X, T, 40, 1, method, s, penalty=penalty(w)[2])
    assert_close(tuple(found[:2]), expected, 1e-12)


def test_a_generator_goes_on_where_it_is():
    case = CASES[0]
    net, plain, (w, X, T, s) = case.network(), case.reference(), case.problem()
    ours, theirs = np.random.default_rng(3), np.random.default_rng(3)
    for n_probes in (3, 70, 5):
        found = mlpcore.stochastic_diagonal(net, w, X, T, n_probes, ours, sample_weight=s)
        expected = plain.stochastic_diagonal(w, X, T, n_probes, theirs, sample_weight=s)
        assert_close(tuple(found[:2]), expected, 1e-12)


def test_probes_of_a_round_are_orthogonal():
    vectors = reference.probes(50, 64, 0, "bekas")
    assert vectors.shape == (4, 16, 50)
    assert set(np.unique(vectors)) == {-1, 1}
    apart = np.subtract.outer(np.arange(50), np.arange(50)) % 16
    for z in vectors:
        assert ((z.T @ z != 0) == (apart == 0)).all()  # terms that do not cancel


# Inverses ----------------------------------------------------------------------------------------


def spd(W, condition):
    """A symmetric positive definite matrix with eigenvalues from 1 to `condition`."""
    Q = np.linalg.qr(np.random.default_rng(W).normal(size=(W, W)))[0]
    H = Q * np.geomspace(1, condition, W) @ Q.T
    return (H + H.T) / 2


@pytest.mark.parametrize("condition", [10, 1e6])
@pytest.mark.parametrize("W", [1, 2, 7, 127, 128, 129, 260])
def test_cholesky(W, condition):
    H, b = spd(W, condition), np.random.default_rng(0).normal(size=(W, 3))
    factor, L = mlpcore.cholesky(H), reference.cholesky(H)
    tolerance = 1e-12 + 1e-15 * condition
    assert_close(L @ L.T, H, 1e-14)
    assert_close(factor.L, L, tolerance)
    assert_close(factor.solve(b), reference.cholesky_solve(L, b), tolerance)
    assert_close(factor.solve(b[:, 1]), reference.cholesky_solve(L, b[:, 1]), tolerance)
    assert_close(factor.inverse(), reference.cholesky_solve(L, np.eye(W)), tolerance)
    logarithm = np.log(np.geomspace(1, condition, W)).sum()
    assert_close(reference.log_determinant(L), logarithm, 1e-10)
    assert_close(factor.log_determinant(), reference.log_determinant(L), 1e-10)


@pytest.mark.parametrize("kind", ["exact", "gauss_newton", "empirical_fisher"])
@all_cases
def test_cholesky_of_hessians(case, kind):
    """Positive definite for both or for neither; and what mends it for one does for the other."""
    net, (w, X, T, s) = case.network(), case.problem()
    H, damping = net.hessian(w, X, T, s, kind), 0.1
    if np.linalg.eigvalsh(H)[0] < -0.1:
        with pytest.raises(np.linalg.LinAlgError, match=r"L\[\d+, \d+\]\^2 is"):
            reference.cholesky(H)
        with pytest.raises(mlpcore.NotPositiveDefiniteError) as refused:
            mlpcore.cholesky(H)
        reference.cholesky(H + 1.000001 * refused.value.damping * np.eye(w.size))
        damping = 0.1 - refused.value.lowest_eigenvalue
    factor, L = mlpcore.cholesky(H, damping), reference.cholesky(H + damping * np.eye(w.size))
    g = net.gradient(w, X, T, s)
    assert_close(factor.solve(g), reference.cholesky_solve(L, g), 1e-10)
    assert_close(factor.log_determinant(), reference.log_determinant(L), 1e-11)


@pytest.mark.parametrize("weights", ["none", "rows", "outputs"])
@all_cases
def test_outer_product_inverse(case, weights):
    """Rows one by one in the reference; further ones from the inverse of the first."""
    net, (w, X, _, _) = case.network(), case.problem()
    J, rng = net.weight_jacobian(w, X), np.random.default_rng(0)
    shape = {"none": None, "rows": len(J), "outputs": J.shape[:2]}[weights]
    s = None if shape is None else rng.integers(0, 5, size=shape) / 2
    one, rest = (None, None) if s is None else (s[:7], s[7:])
    for alpha in (0.3, np.linspace(0.1, 2, w.size)):
        expected = reference.outer_product_inverse(J, alpha, s)
        assert_close(mlpcore.outer_product_inverse(J, alpha, s), expected, 1e-11)
        start = reference.outer_product_inverse(J[:7], alpha, one)
        assert_close(reference.add_outer_products(start, J[7:], rest), expected, 1e-12)
        assert_close(mlpcore.add_outer_products(start, J[7:], rest), expected, 1e-11)
        S = (
            np.ones(J.shape[:2])
            if s is None
            else np.broadcast_to(s.reshape(len(J), -1), J.shape[:2])
        )
        H = alpha * np.eye(w.size) + np.einsum("nk,nki,nkj->ij", S, J, J)
        assert_close(expected @ H, np.eye(w.size), 1e-9)
        if weights == "outputs":  # the rows of all outputs in one list
            listed = reference.outer_product_inverse(J.reshape(-1, w.size), alpha, s.ravel())
            assert_close(mlpcore.outer_product_inverse(J, alpha, s), listed, 1e-11)


# Re-training -------------------------------------------------------------------------------------

SMOOTH = [
    Case((4, 2), n=30, weighted=True),
    Case((3, 3, 1), n=70, weighted=True),
    Case((2, 4, 3, 2), ("softplus", "tanh"), n=90),
    Case((3, 3, 2), "silu", "sigmoid", n=75, weighted=True),
    Case((1, 2, 1), "tanh", "sigmoid", n=60),
    Case((3, 2, 2, 3), "softplus", "softmax", n=201, weighted=True, flat=True),
    Case((3, 4, 3), "gelu", "softmax", n=203),
]
smooth_cases = pytest.mark.parametrize("case", SMOOTH, ids=str)
kinds = pytest.mark.parametrize("kind", ["exact", "gauss_newton"])


def optimum_and_objective(case, alpha=0.4, pair=None, kind="exact"):
    """The package's optimum, for targets near what the network computes, and F in plain NumPy."""
    net, (w, X, T, s) = case.network(), case.problem()
    Y = net.forward(w, X)
    if case.flat:
        T = np.array([np.random.default_rng(n).choice(len(y), p=y) for n, y in enumerate(Y)])
    else:
        T = 0.8 * Y + 0.2 * T
    s = None if s is None else s + 0.5
    given = {"weight_decay": alpha, "regularizer": None if pair is None else pair.R}
    w = mlpcore.minimize(net, w, X, T, method="lm", sample_weight=s, **given).w
    old = mlpcore.Optimum(net, w, X, T, s, kind=kind, **given)
    assert old.converged
    f = oracle.Objective(
        case.reference().architecture, X, T, s, alpha, None if pair is None else pair.penalty(case)
    )
    return old, f


def changes(old, f):
    """Rows gone, rows come, weights changed, and all of it."""
    X, T, s = old.X[:3] + 0.1, np.asarray(f.data[1])[:3], old.sample_weight.copy()
    s[5:9] *= [0.8, 0.5, 1.1, 1.3]
    return [
        {"remove": [6], "add": (X[1:2], T[1:2]), "sample_weight": s},
        {"remove": [7, 0]},
        {"add": (X, T, [0.5, 0.2, 0.0])},
        {"sample_weight": s},
    ]


@smooth_cases
def test_newton_ends_at_the_optimum(case):
    old, f = optimum_and_objective(case)
    near = old.w + 1e-3 * np.random.default_rng(0).normal(size=old.w.size)
    *_, w = itertools.islice(reference_retraining.newton(f, near), 7)
    assert_close(old.w, w, 1e-9)


def assert_retrained(old, f, change, *, tolerance=1e-20):
    """At the minimum: what is left of the way to it lowers F by no more than `tolerance` F."""
    w = reference_retraining.retrain(f, old.w, **change)
    there = reference_retraining.changed(f, **change)
    assert np.abs(there.gradient(w)).max() < 1e-11
    new = mlpcore.retrain(old, **change)
    assert new.converged
    off = new.w - w
    assert off @ there.hessian(w) @ off <= tolerance * there.value(w)
    assert_close(new.w, w, 1e-9 if tolerance == 1e-20 else 1e-5)
    assert np.linalg.norm(off) < 0.01 * np.linalg.norm(old.w - w)


@smooth_cases
def test_retrain(case):
    old, f = optimum_and_objective(case)
    for change in changes(old, f):
        assert_retrained(old, f, change)
    if case.output == "linear":  # else the residuals make its steps converge too slowly
        old, _ = optimum_and_objective(case, kind="gauss_newton")
        assert_retrained(old, f, changes(old, f)[0], tolerance=1e-10)


@kinds
@smooth_cases
def test_leave_one_out_and_influence(case, kind):
    old, f = optimum_and_objective(case, kind=kind)
    net, (X, T, _) = f.net, f.data
    found, s = mlpcore.leave_one_out(old), old.sample_weight
    assert_close(found.y, reference_retraining.leave_one_out(f, old.w, kind), 1e-10)
    assert_close(found.leverage, reference_retraining.leverages(f, old.w, kind), 1e-10)
    steps = reference_retraining.steps_without_each(f, old.w, kind)
    rows = range(case.n)
    errors = [reference.error(net, old.w + steps[n], X[[n]], T[[n]], s[[n]]) for n in rows]
    assert_close(found.error, sum(errors), 1e-10)
    there = X[:5] + 0.1
    for corrected in (True, False):
        expected = reference_retraining.influence(f, old.w, there, kind, corrected)
        assert_close(mlpcore.influence(old, there, corrected=corrected), expected, 1e-9)


@kinds
@smooth_cases
def test_k_fold_predictions(case, kind):
    """Folds of unequal sizes with any numbers, and some of one sample."""
    old, f = optimum_and_objective(case, kind=kind)
    uneven = np.random.default_rng(0).choice([-3, 7, 8, 20], size=case.n, p=[0.1, 0.2, 0.3, 0.4])
    for folds in (uneven, np.maximum(np.arange(case.n), case.n - 20)):
        expected = reference_retraining.k_fold_predictions(f, old.w, folds, kind)
        assert_close(mlpcore.k_fold_predictions(old, folds), expected, 1e-9)


def test_where_too_much_is_taken_out():
    """Few samples of noise: the exact Hessian without some of them is not positive definite."""
    steep = saddles = 0
    for case, seed in itertools.product(
        (
            Case((2, 3, 1), n=25),
            Case((2, 3, 2), "tanh", "sigmoid", n=25),
            Case((2, 3, 3), "tanh", "softmax", n=25),
        ),
        range(9),
    ):
        net, (w, X, T, _) = case.network(), case.problem(seed)
        w = mlpcore.minimize(net, w, X, T, method="lm", weight_decay=0.1).w
        old = mlpcore.Optimum(net, w, X, T, weight_decay=0.1)
        f = oracle.Objective(case.reference().architecture, X, T, alpha=0.1)
        found, expected = mlpcore.leave_one_out(old), reference_retraining.leverages(f, old.w)
        assert_close(found.leverage, expected, 1e-10)
        assert_close(found.y, reference_retraining.leave_one_out(f, old.w), 1e-8)
        expected = reference_retraining.influence(f, old.w, X[:3])
        assert_close(mlpcore.influence(old, X[:3]), expected, 1e-8)
        folds = np.arange(case.n) % 5
        expected = reference_retraining.k_fold_predictions(f, old.w, folds)
        assert_close(mlpcore.k_fold_predictions(old, folds), expected, 1e-8)
        steep += np.count_nonzero(found.leverage >= 1)
        for fold in range(5):
            rest = reference_retraining.changed(f, remove=np.flatnonzero(folds == fold))
            saddles += np.linalg.eigvalsh(rest.hessian(old.w))[0] < 0
    assert steep > 5
    assert saddles > 50


@each_regularizer
@pytest.mark.parametrize("case", [SMOOTH[i] for i in (1, 2, 3, 5)], ids=str)
def test_regularized(case, pair):
    old, f = optimum_and_objective(case, 0.1, pair(case))
    assert_retrained(old, f, changes(old, f)[0])
    found, folds = mlpcore.leave_one_out(old), np.arange(case.n) % 7
    assert_close(found.y, reference_retraining.leave_one_out(f, old.w), 1e-10)
    assert_close(found.leverage, reference_retraining.leverages(f, old.w), 1e-10)
    expected = reference_retraining.k_fold_predictions(f, old.w, folds)
    assert_close(mlpcore.k_fold_predictions(old, folds), expected, 1e-9)


def test_examples():
    assert doctest.testmod(reference_retraining).failed == 0


# Regularizers in minimize ------------------------------------------------------------------------


@each_regularizer
@pytest.mark.parametrize("case", [SMOOTH[0], SMOOTH[2], SMOOTH[3], SMOOTH[5]], ids=str)
@pytest.mark.parametrize(
    ("method", "options", "expected", "settings"),
    MINIMIZERS,
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_iterations_with_a_regularizer(method, options, expected, settings, case, pair):
    net, (w, X, T, s) = case.network(), case.problem()
    f = oracle.Objective(case.reference().architecture, X, T, s, 0.05, pair(case).penalty(case))
    weights = []
    result = mlpcore.minimize(
        net, w, X, T,
        method=method, weight_decay=0.05, regularizer=pair(case).R, sample_weight=s, iterations=5,
        callback=lambda i, F, w: weights.append(w) and False, **OFF, **options,
    )  # fmt: skip
    path = np.array(list(itertools.islice(expected(f, w, **settings), 6)))[: len(weights)]
    assert_close(np.array(weights), path, 1e-7)
    assert_close(np.array(weights)[:3], path[:3], 1e-9)
    values = np.array([f.value(w) for w in weights])
    assert_close(result.history["objective"], values, 1e-12)
    assert_close(result.error, reference.error(f.net, result.w, X, T, s), 1e-12)


def test_a_precision_for_each_weight_beside_a_regularizer():
    case, pair = SMOOTH[1], absolute(SMOOTH[1])
    net, (w, X, T, s) = case.network(), case.problem()
    alpha = np.linspace(0, 1, w.size)
    f = oracle.Objective(case.reference().architecture, X, T, s, alpha, pair.penalty(case))
    for method, options, expected, settings in MINIMIZERS:
        found = mlpcore.minimize(
            net, w, X, T,
            method=method, weight_decay=alpha, regularizer=pair.R, sample_weight=s, iterations=4,
            **OFF, **options,
        )  # fmt: skip
        *_, last = itertools.islice(expected(f, w, **settings), 5)
        assert_close(found.w, last, 1e-8)


@pytest.mark.parametrize("output", OUTPUTS)
@each_regularizer
def test_the_objective_of_the_reference(pair, output):
    """Its own derivatives, by complex steps and each other."""
    case = Case((3, 4, 2), "tanh", output, n=20, weighted=True)
    w, X, T, s = case.problem()
    alpha = np.linspace(0, 1, w.size)
    f = oracle.Objective(case.reference().architecture, X, T, s, alpha, pair(case).penalty(case))
    unit, step = np.eye(w.size), 1e-5
    slopes = [(f.value(w + step * e) - f.value(w - step * e)) / (2 * step) for e in unit]
    assert_close(f.gradient(w), np.array(slopes), 1e-8)
    seconds = [(f.gradient(w + step * e) - f.gradient(w - step * e)) / (2 * step) for e in unit]
    assert_close(f.hessian(w), np.array(seconds), 1e-8)
    for kind in ("exact", "gauss_newton"):
        products = np.array([f.product(w, e, kind) for e in unit])
        assert_close(products, f.hessian(w, kind), 1e-12)
