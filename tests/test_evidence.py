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


def test_the_epochs_are_those_asked_for():
    X, T = linear_problem(50)
    net = mlpcore.Network((6, 5, 1))
    result = evidence.train_by_evidence(
        net, net.init(seed=0)[np.newaxis], X, T, np.ones(50), epochs=130, optimizer="adam"
    )
    assert sum(members[0].n_epochs for members in result.rounds) == 130
