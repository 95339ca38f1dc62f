"""The stochastic diagonal against the exact one."""

from __future__ import annotations

import tracemalloc
from typing import ClassVar

import numpy as np
import pytest
from cases import Case, Coupled, assert_close, assert_same_bits

import mlpcore
from mlpcore import reference
from mlpcore.regularizers import ARD, L1

CASE = Case((4, 6, 2), "tanh", "softmax", n=60, weighted=True)


@pytest.mark.parametrize("kind", ["exact", "gauss_newton"])
@pytest.mark.parametrize("method", ["hutchinson", "bekas"])
def test_within_its_standard_error(method, kind):
    net, (w, X, T, s) = CASE.network(), CASE.problem()
    exact = net.hessian_diagonal(w, X, T, s, kind=kind)
    estimate = mlpcore.stochastic_diagonal(
        net, w, X, T, 512, seed=1, method=method, sample_weight=s, kind=kind
    )
    off = (estimate.diagonal - exact) / np.maximum(estimate.standard_error, 1e-12)
    rms = np.sqrt(np.mean(off**2))
    # Hutchinson: 512 rounds; Bekas: four rounds, so that the error of each is Student's t.
    assert 0.7 < rms < 1.3 if method == "hutchinson" else rms < 3
    assert estimate.n_probes == 512


def test_the_error_falls_as_the_root_of_the_probes():
    net, (w, X, T, _) = CASE.network(), CASE.problem()
    few, many = (
        np.linalg.norm(mlpcore.stochastic_diagonal(net, w, X, T, n, seed=0).standard_error)
        for n in (100, 1600)
    )
    assert 0.2 < many / few < 0.31


def test_the_variance_is_that_of_the_formula():
    net, (w, X, T, _) = CASE.network(), CASE.problem()
    H = net.hessian_vector_product(w, np.eye(net.n_weights), X, T)
    off_diagonal = (H**2).sum(axis=1) - np.diag(H) ** 2
    error = mlpcore.stochastic_diagonal(net, w, X, T, 2000, seed=0).standard_error
    np.testing.assert_allclose(error, np.sqrt(off_diagonal / 2000), rtol=0.2)


def test_enough_hadamard_rows_are_exact():
    net, (w, X, T, _) = CASE.network(), CASE.problem()
    estimate = mlpcore.stochastic_diagonal(net, w, X, T, 4 * 64, seed=0, method="bekas")
    assert net.n_weights <= 64
    assert_close(estimate.diagonal, net.hessian_diagonal(w, X, T), 1e-12)
    assert np.abs(estimate.standard_error).max() < 1e-11


def test_no_more_products_at_once_than_a_block():
    """Whatever the order of the Hadamard matrix, here 256."""

    class Counting(mlpcore.Network):
        at_once: ClassVar[list[int]] = []

        def hessian_vector_product(self, w, v, *args, **kwargs):
            self.at_once.append(len(v))
            return super().hessian_vector_product(w, v, *args, **kwargs)

    net = Counting((4, 40, 2), "tanh", "softmax")
    w, X, T, _ = Case((4, 40, 2), "tanh", "softmax", n=9).problem()
    estimate = mlpcore.stochastic_diagonal(net, w, X, T, 1024, seed=0, method="bekas")
    assert net.n_weights > 256
    assert estimate.n_probes == sum(net.at_once) == 1024
    assert max(net.at_once) == 64
    off = estimate.diagonal - net.hessian_diagonal(w, X, T)
    assert np.linalg.norm(off) < 2 * np.linalg.norm(estimate.standard_error)


def test_the_vectors_are_those_of_the_reference():
    """Of 256 rows of a Hadamard matrix, which come in blocks."""

    class Seeing(mlpcore.Network):
        seen: ClassVar[list[np.ndarray]] = []

        def hessian_vector_product(self, w, v, *args, **kwargs):
            self.seen.append(v)
            return super().hessian_vector_product(w, v, *args, **kwargs)

    net = Seeing((4, 40, 2), "tanh", "softmax")
    w, X, T, _ = Case((4, 40, 2), "tanh", "softmax", n=9).problem()
    mlpcore.stochastic_diagonal(net, w, X, T, 1024, seed=3, method="bekas")
    expected = reference.probes(net.n_weights, 1024, seed=3, method="bekas")
    assert expected.shape == (4, 256, net.n_weights)
    np.testing.assert_array_equal(np.concatenate(net.seen), expected.reshape(1024, -1))


def test_a_hadamard_matrix_is_never_held_as_a_whole():
    """That of order 2^14 has 268 million elements."""

    class Enough(Exception):
        pass

    class Refusing(mlpcore.Network):
        def hessian_vector_product(self, *args, **kwargs):
            raise Enough

    net = Refusing((1, 5500, 1))
    order = 2**14
    assert net.n_weights > order
    X = np.ones((1, 1))
    tracemalloc.start()
    try:
        with pytest.raises(Enough):
            mlpcore.stochastic_diagonal(net, net.init(0), X, X, 4 * order, method="bekas")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * net.n_weights * 8 * 8  # several blocks of 64 rows


def second_derivatives(f, w, step=1e-3):
    """The diagonal of the Hessian of f, by differences of f itself."""
    units = step * np.eye(w.size)
    return np.array([(f(w + e) - 2 * f(w) + f(w - e)) / step**2 for e in units])


@pytest.mark.parametrize("R", [L1(0.1, epsilon=0.2), ARD([1, 2, 3, 4], 0.5, 0.1), Coupled()])
@pytest.mark.parametrize("kind", ["exact", "gauss_newton"])
def test_it_sees_the_regularizer(R, kind):
    net, (w, X, T, s) = CASE.network(), CASE.problem()
    given = {"sample_weight": s, "kind": kind, "regularizer": R}
    estimate = mlpcore.stochastic_diagonal(
        net, w, X, T, 4 * 64, seed=0, method="bekas", **given
    ).diagonal
    assert_close(estimate, net.hessian_diagonal(w, X, T, **given), 1e-9)
    of_R = second_derivatives(lambda w: R.value(net, w), w)
    assert_close(estimate - net.hessian_diagonal(w, X, T, s, kind=kind), of_R, 1e-3)
    if kind == "exact":
        of_both = second_derivatives(lambda w: net.error(w, X, T, s, regularizer=R), w)
        assert_close(estimate, of_both, 1e-3)


def test_a_sum_over_the_weights_adds_no_variance():
    net, (w, X, T, _) = CASE.network(), CASE.problem()
    R = L1(5.0, epsilon=0.2)
    without = mlpcore.stochastic_diagonal(net, w, X, T, 20, seed=0)
    estimate = mlpcore.stochastic_diagonal(net, w, X, T, 20, seed=0, regularizer=R)
    assert_close(estimate.standard_error, without.standard_error, 1e-10)
    assert_close(estimate.diagonal - without.diagonal, R.hessian_diagonal(net, w), 1e-10)


@pytest.mark.parametrize("method", ["hutchinson", "bekas"])
def test_a_seed_gives_the_same_bits(method):
    net, (w, X, T, _) = CASE.network(), CASE.problem()
    a, b, c = (
        mlpcore.stochastic_diagonal(net, w, X, T, 20, seed=seed, method=method)
        for seed in (3, 3, 4)
    )
    assert_same_bits(a.diagonal, b.diagonal)
    assert not np.array_equal(a.diagonal, c.diagonal)


def test_float32():
    net, (w, X, T, _) = Case((4, 6, 2), dtype="float32").network(), Case((4, 6, 2)).problem()
    estimate = mlpcore.stochastic_diagonal(net, w, X, T, 400, seed=0, method="bekas")
    assert estimate.diagonal.dtype == estimate.standard_error.dtype == np.float32
    assert_close(estimate.diagonal, net.hessian_diagonal(w, X, T), 1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_probes": 1}, "n_probes is 1, expected a whole number of at least 2"),
        ({"n_probes": 7, "method": "bekas"}, "n_probes is 7, expected a whole number of at least"),
        ({"n_probes": 9, "method": "lanczos"}, "method is 'lanczos', expected one of hutchinson"),
        ({"n_probes": 9, "seed": -1}, "seed is -1"),
    ],
)
def test_errors_in_words(settings, message):
    net, (w, X, T, _) = CASE.network(), CASE.problem()
    with pytest.raises(ValueError, match=message):
        mlpcore.stochastic_diagonal(net, w, X, T, **settings)
    with pytest.raises(TypeError, match="regularizer is a float, expected a"):
        mlpcore.stochastic_diagonal(net, w, X, T, 9, regularizer=0.1)
    single = rf"w has shape \(2, {w.size}\), expected \({w.size},\): a single network, no ensemble"
    with pytest.raises(ValueError, match=single):
        mlpcore.stochastic_diagonal(net, np.array([w, w]), X, T, 9)
    with pytest.raises(TypeError, match=r"net is a str, expected a mlpcore\.Network"):
        mlpcore.stochastic_diagonal("x", w, X, T, 9)
    with pytest.raises(TypeError, match="w has dtype object, expected real numbers"):
        mlpcore.stochastic_diagonal(net, None, X, T, 9)
