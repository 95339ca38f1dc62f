"""The evidence procedure against the closed forms of linear regression, and where it can't end."""

from __future__ import annotations

import numpy as np
import pytest

import mlpcore
from mlpcore import evidence, reference


def linear_problem(N=200, D=6, noise=0.5, seed=0):
    random = np.random.default_rng(seed)
    X = random.standard_normal((N, D))
    w = random.standard_normal(D + 1) * 2
    T = X @ w[:D, np.newaxis] + w[D] + noise * random.standard_normal((N, 1))
    return X, T


def log_evidence(X, T, alpha, beta):
    """ln p(T | alpha, beta) of the linear model by the covariance of its targets (PRML 3.86)."""
    phi = np.column_stack((X, np.ones(len(X))))
    C = np.eye(len(X)) / beta + phi @ phi.T / alpha
    _, log_determinant = np.linalg.slogdet(C)
    t = T[:, 0]
    return -0.5 * (log_determinant + t @ np.linalg.solve(C, t) + len(t) * np.log(2 * np.pi))


def test_a_linear_model_finds_the_highest_evidence():
    X, T = linear_problem()
    net = mlpcore.Network((6, 1))
    result = evidence.train_by_evidence(
        net, np.zeros((1, net.n_weights)), X, T, np.ones(len(X)), epochs=2000, optimizer="lbfgs"
    )
    found = result.evidence
    here = log_evidence(X, T, found.alpha, found.beta)
    for factor in (0.8, 1.25):
        assert log_evidence(X, T, factor * found.alpha, found.beta) < here
        assert log_evidence(X, T, found.alpha, factor * found.beta) < here
    assert found.beta == pytest.approx(1 / 0.5**2, rel=0.2)
    assert 6.5 < found.gamma <= 7


def test_curvatures_are_the_eigenvalues_of_gauss_newton():
    random = np.random.default_rng(1)
    net = mlpcore.Network((3, 4, 2), hidden="tanh")
    w, X = net.init(seed=1), random.standard_normal((30, 3))
    T, weight = random.standard_normal((30, 2)), random.uniform(0.5, 2, 30)
    H = reference.hessian(net, w, X, T, weight, kind="gauss_newton")
    h = evidence.curvatures(net, w, X, T, weight)
    np.testing.assert_allclose(h, np.linalg.eigvalsh(H), atol=1e-10 * h.max())


def test_some_samples_stand_for_all(monkeypatch):
    random = np.random.default_rng(2)
    net = mlpcore.Network((2, 1))
    X, T = random.standard_normal((4000, 2)), np.zeros((4000, 1))
    w, weight = np.zeros(3), np.ones(4000)
    few = evidence.curvatures(net, w, X, T, weight)
    monkeypatch.setattr(evidence, "SAMPLES_A_WEIGHT", 4000)
    np.testing.assert_allclose(few, evidence.curvatures(net, w, X, T, weight), rtol=0.5)
    assert few.sum() != evidence.curvatures(net, w, X, T, weight).sum()


def test_the_diagonal_makes_gamma_larger(monkeypatch):
    random = np.random.default_rng(3)
    net = mlpcore.Network((4, 5, 3), output="softmax")
    w, X = net.init(seed=3), random.standard_normal((60, 4))
    T, weight = random.integers(0, 3, 60), np.ones(60)
    gammas = []
    before = evidence.Evidence(alpha=0.3, beta=1.0, gamma=0.0)
    for most in (1500, 0):
        monkeypatch.setattr(evidence, "MOST_WEIGHTS", most)
        h = evidence.curvatures(net, w, X, T, weight)
        gammas.append(evidence.reestimate(h, w @ w, 1.0, 0.0, before).gamma)
    assert 0 < gammas[0] < gammas[1] < net.n_weights


def test_the_cross_entropy_keeps_beta():
    before = evidence.Evidence(alpha=0.5, beta=1.0, gamma=0.0)
    after = evidence.reestimate(np.ones(10), 4.0, 7.0, 0.0, before)
    assert after.beta == 1.0
    assert after.gamma == pytest.approx(10 / 1.5, rel=0.005)
    assert after.alpha == after.gamma / 4


@pytest.mark.parametrize("T", [np.zeros((20, 1)), np.ones((20, 1))])
def test_a_constant_target_ends_in_finite_weights(T):
    X = np.random.default_rng(4).standard_normal((20, 3))
    net = mlpcore.Network((3, 4, 1))
    result = evidence.train_by_evidence(
        net, net.init(seed=0)[np.newaxis], X, T, np.ones(20), epochs=300, optimizer="lbfgs"
    )
    assert np.isfinite(result.w).all()
    assert np.isfinite(result.evidence.weight_decay)
    np.testing.assert_allclose(net.forward(result.w[0], X), T, atol=0.1)


def fitted(epochs=130, optimizer="adam", **options):
    """A network for 50 samples, two starts, by evidence; the network and the data with it."""
    X, T = linear_problem(50)
    net = mlpcore.Network((6, 5, 1))
    w = np.stack([net.init(seed=0), net.init(seed=1)])
    options |= {"epochs": epochs, "optimizer": optimizer}
    return net, X, T, evidence.train_by_evidence(net, w, X, T, np.ones(50), **options)


@pytest.mark.parametrize("epochs", [2, 3, 50, 99, 130, 400])
def test_the_epochs_are_those_asked_for(epochs):
    result = fitted(epochs)[-1]
    lengths = [members[0].n_epochs for members in result.rounds]
    assert sum(lengths) == epochs
    assert len(lengths) > 1
    if epochs >= 100:
        assert lengths[0] == 50


@pytest.mark.parametrize("epochs", [1, 0, -3])
def test_one_training_has_no_estimate(epochs):
    message = f"^epochs is {epochs}, expected a whole number of at least 2$"
    with pytest.raises(ValueError, match=message):
        fitted(epochs)


SOON = {"patience": 3, "min_delta": 1e9}  # every round ends after three epochs


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 4, "optimizer": "lbfgs"},
        {"epochs": 50, "optimizer": "lbfgs"},
        {"epochs": 300, "optimizer": "lbfgs"},
        {"epochs": 300, "optimizer": "adam", **SOON},
        {"epochs": 120, "optimizer": "lm", **SOON},
    ],
)
def test_whatever_ends_the_rounds_the_precisions_are_estimated(options):
    """alpha and beta follow from the weights that come back, the weight decay from those before."""
    net, X, T, result = fitted(**options)
    assert len(result.rounds) > 1
    found, n_weights = result.evidence, net.n_weights
    assert 0 < found.gamma < n_weights
    assert found.alpha == pytest.approx(found.gamma / np.mean(np.sum(result.w**2, axis=1)))
    squared_errors = np.mean([2 * net.error(w, X, T) for w in result.w])
    assert 1 / found.beta == pytest.approx(squared_errors / (len(X) - found.gamma))
    last = result.rounds[-1]
    again = mlpcore.train(
        net,
        result.rounds[-2].w,
        X,
        T,
        sample_weight=np.ones(50),
        weight_decay=result.weight_decay,
        **{**options, "epochs": last[0].n_epochs},
    )
    np.testing.assert_array_equal(again.w[0], last.w[0])
    assert result.weight_decay != 0.1


def test_a_round_that_patience_ends_is_not_the_last():
    result = fitted(epochs=1000, optimizer="adam", patience=5, min_delta=1e9)[-1]
    assert {member.stopped for members in result.rounds for member in members} == {"patience"}
    assert len(result.rounds) > 3
    assert {members[0].n_epochs for members in result.rounds} == {5}


def test_validation_data_end_the_rounds_too():
    X_val, T_val = linear_problem(40, seed=0)
    validation = {"X_val": X_val, "T_val": T_val, "patience": 10, "min_delta": 1e-3}
    result = fitted(epochs=1000, optimizer="lbfgs", **validation)[-1]
    assert result.evidence.gamma > 0
    assert sum(len(members[0].history["training_error"]) for members in result.rounds) < 1000


def test_the_weight_decay_is_that_which_was_used():
    """Also where both stand still and the procedure ends before its epochs do."""
    X, T = linear_problem()
    net = mlpcore.Network((6, 1))
    result = evidence.train_by_evidence(
        net, np.zeros((1, net.n_weights)), X, T, np.ones(len(X)), epochs=2000, optimizer="lbfgs"
    )
    assert {member.stopped for member in result.rounds[-1]} == {"converged"}
    w, g = result.w[0], net.gradient(result.w[0], X, T)
    np.testing.assert_allclose(g + result.weight_decay * w, 0, atol=1e-5)
    assert result.weight_decay != result.evidence.weight_decay
    assert result.weight_decay == pytest.approx(result.evidence.weight_decay, rel=0.01)


def test_results_show_themselves():
    result = fitted(100)[-1]
    for text in (repr(result), result._repr_html_()):
        assert "EvidenceResult of 2 networks" in text
        assert f"{result.evidence.beta:.6g}" in text
