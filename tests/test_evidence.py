"""The evidence procedure against the closed forms of linear regression, and where it can't end."""

from __future__ import annotations

import numpy as np
import pytest
from interrupting import Interrupts

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
    weight[::4] = 0
    H = reference.hessian(net, w, X, T, weight, kind="gauss_newton")
    h = evidence.curvatures(net, w, X, weight)
    np.testing.assert_allclose(h, np.linalg.eigvalsh(H), atol=1e-10 * h.max())


def test_some_samples_stand_for_all(monkeypatch):
    random = np.random.default_rng(2)
    net = mlpcore.Network((2, 1))
    X = random.standard_normal((4000, 2))
    w, weight = np.zeros(3), np.ones(4000)
    few = evidence.curvatures(net, w, X, weight)
    monkeypatch.setattr(evidence, "SAMPLES_A_WEIGHT", 4000)
    np.testing.assert_allclose(few, evidence.curvatures(net, w, X, weight), rtol=0.5)
    assert few.sum() != evidence.curvatures(net, w, X, weight).sum()


def test_samples_without_weight_are_not_among_them():
    """Every other one of these would be one of them."""
    net = mlpcore.Network((1, 2, 1))
    X, w = np.random.default_rng(5).standard_normal((112, 1)), net.init(seed=0)
    expected = evidence.curvatures(net, w, X[1::2], np.ones(56))
    found = evidence.curvatures(net, w, X, np.tile([0.0, 1.0], 56))
    np.testing.assert_array_equal(found, expected)
    tiny = np.tile(np.array([1e-45, 1], np.float32), 56)  # by which 1 can't be divided in float32
    assert np.isfinite(evidence.curvatures(net, w, X, tiny)).all()


def test_the_diagonal_makes_gamma_larger(monkeypatch):
    random = np.random.default_rng(3)
    net = mlpcore.Network((4, 5, 3), output="softmax")
    w, X = net.init(seed=3), random.standard_normal((60, 4))
    weight = np.ones(60)
    gammas = []
    before = evidence.Evidence(alpha=0.3, beta=1.0, gamma=0.0)
    for most in (1500, 0):
        monkeypatch.setattr(evidence, "MOST_WEIGHTS", most)
        h = evidence.curvatures(net, w, X, weight)
        gammas.append(evidence.reestimate(h, w @ w, 1.0, 0.0, before).gamma)
    assert 0 < gammas[0] < gammas[1] < net.n_weights


def test_the_cross_entropy_keeps_beta():
    before = evidence.Evidence(alpha=0.5, beta=1.0, gamma=0.0)
    after = evidence.reestimate(np.ones(10), 4.0, 7.0, 0.0, before)
    assert after.beta == 1.0
    assert after.gamma == pytest.approx(10 / 1.5, rel=0.005)
    assert after.alpha == after.gamma / 4


@pytest.mark.parametrize("size", [0.0, 1e-200, 1e200, 1e307, np.inf])
def test_the_precisions_are_bounded(size):
    """The sums of squares may have overflowed or vanished."""
    before = evidence.Evidence(alpha=0.5, beta=1.0, gamma=0.0)
    for n_targets in (50.0, 0.0):
        after = evidence.reestimate(np.ones(3), size, size, n_targets, before)
        assert 0 < after.alpha < np.inf
        assert 0 < after.beta < np.inf
        assert 1e-7 <= after.weight_decay <= 1e4
    assert evidence.reestimate(np.ones(3), size, 1.0, 50.0, before).weight_decay > 0
    assert evidence.reestimate(np.ones(3), 1.0, size, 50.0, before).weight_decay > 0


@pytest.mark.parametrize("most", [1500, 0])
def test_curvatures_that_overflow_are_bounded(monkeypatch, most):
    """The error of such weights, which nearly cancel, may be finite."""
    monkeypatch.setattr(evidence, "MOST_WEIGHTS", most)
    X, T = linear_problem(50)
    net = mlpcore.Network((6, 5, 1), hidden="identity")
    w = 1e-3 * net.init(seed=0)
    w[35:] *= 1e157
    weight = np.ones(50)
    assert np.isfinite(net.error(w, X, T))
    assert not np.isfinite(net.hessian(w, X, T, weight, kind="gauss_newton")).all()
    h = evidence.curvatures(net, w, X, weight)
    assert np.isfinite(h).all()
    assert h.max() > 1e303


def test_float32_targets_that_float64_would_refuse():
    """They sum to 1 as nearly as float32 asks."""
    random = np.random.default_rng(6)
    net = mlpcore.Network((2, 3, 3), output="softmax", dtype="float32")
    X, T = random.standard_normal((30, 2)), 0.99995 * random.dirichlet([1, 1, 1], 30)
    w = net.init(seed=0)[np.newaxis]
    result = evidence.train_by_evidence(net, w, X, T, np.ones(30), epochs=10)
    assert 0 < result.evidence.gamma < net.n_weights


def test_lists_and_tables():
    X, T = linear_problem(50)
    net = mlpcore.Network((6, 5, 1))
    w, weight = net.init(seed=0)[np.newaxis], np.ones(50)
    expected = evidence.train_by_evidence(net, w, X, T, weight, epochs=10)
    given = [X.tolist(), T.tolist(), weight.tolist()]
    assert evidence.train_by_evidence(net, w, *given, epochs=10).evidence == expected.evidence
    pandas = pytest.importorskip("pandas")
    tables = [pandas.DataFrame(a).astype("Float64") for a in (X, T)]
    found = evidence.train_by_evidence(net, w, *tables, pandas.Series(weight), epochs=10)
    assert found.evidence == expected.evidence


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


@pytest.mark.parametrize(
    ("epochs", "lengths"),
    [
        (2, [1, 1]),
        (3, [2, 1]),
        (50, [25, 25]),
        (51, [26, 25]),
        (99, [50, 49]),
        (100, [50, 50]),
        (130, [50, 50, 30]),
        (400, [50, 50, 50, 50, 50, 62, 78, 10]),
    ],
)
def test_the_epochs_are_those_asked_for(epochs, lengths):
    result = fitted(epochs)[-1]
    assert [members[0].n_epochs for members in result.rounds] == lengths


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


@pytest.mark.parametrize("diverged", [0, 1])
@pytest.mark.parametrize("size", [1e154, 1e160, 1e300])
def test_a_network_that_diverged_counts_for_nothing(size, diverged):
    X, T = linear_problem()
    net = mlpcore.Network((6, 1))
    w = np.stack([net.init(seed=0), net.init(seed=1)])
    w[diverged] *= size
    options = {"epochs": 2000, "optimizer": "lbfgs"}
    result = evidence.train_by_evidence(net, w, X, T, np.ones(200), **options)
    assert {members[diverged].stopped for members in result.rounds} == {"diverged"}
    other = 1 - diverged
    alone = evidence.train_by_evidence(net, w[[other]], X, T, np.ones(200), **options)
    np.testing.assert_array_equal(result.w[other], alone.w[0])
    assert (result.evidence, result.weight_decay) == (alone.evidence, alone.weight_decay)
    # It comes to rest as the other does, long before the epochs are used up.
    assert len(result.rounds) == len(alone.rounds)
    assert alone.rounds[-1][0].stopped == "converged"


def test_the_estimate_before_stays_where_all_diverged():
    X, T = linear_problem(50)
    net = mlpcore.Network((6, 5, 1))
    w = np.full((2, net.n_weights), 1e160) * [[1], [-1]] * net.init(seed=0)
    result = evidence.train_by_evidence(net, w, X, T, np.ones(50), epochs=100, weight_decay=0.3)
    assert [[member.stopped for member in members] for members in result.rounds] == [
        ["diverged", "diverged"]
    ]
    assert result.evidence == evidence.Evidence(alpha=0.3, beta=1.0, gamma=0.0)
    assert result.weight_decay == 0.3


def test_networks_that_diverge_in_a_later_round(monkeypatch):
    """The estimate of the first round is what is left."""
    first = fitted(51)[-1].rounds[0]
    X, T = linear_problem(50)
    w = np.stack([member.w for member in first])
    net = mlpcore.Network((6, 5, 1))
    given = []

    def train(*arguments, **options):
        given.append(options["weight_decay"])
        if len(given) == 2:
            options |= {"optimizer": "sgd", "learning_rate": 1e300}
        return mlpcore.train(*arguments, **options)

    monkeypatch.setattr(evidence, "train", train)
    result = fitted(51)[-1]
    assert {member.stopped for member in result.rounds[1]} == {"diverged"}
    assert len(result.rounds) == 2
    assert result.weight_decay == result.evidence.weight_decay == given[1] != 0.1
    expected = evidence.reestimate(
        evidence.curvatures(net, w[1], X, np.ones(50)),
        np.mean(np.sum(w**2, axis=1)),
        np.mean([2 * net.error(one, X, T) for one in w]),
        50.0,
        evidence.Evidence(alpha=0.1, beta=1.0, gamma=0.0),
    )
    assert result.evidence == expected


@pytest.mark.parametrize("at", [10, 110])
def test_the_estimate_before_stays_after_ctrl_c(at):
    """Two networks have 50 gradients each in a round."""
    result = fitted(regularizer=Interrupts(at))[-1]
    assert "interrupted" in {member.stopped for member in result.rounds[-1]}
    assert result.interrupted
    assert f"{len(result.rounds)}, interrupted" in repr(result)
    assert len(result.rounds) == 1 + at // 100
    np.testing.assert_array_equal(result.w, result.rounds[-1].w)
    if at < 100:
        assert result.evidence == evidence.Evidence(alpha=0.1, beta=1.0, gamma=0.0)
        assert result.weight_decay == 0.1
    else:
        before = result.rounds[0].w
        found = result.evidence
        assert found.alpha == pytest.approx(found.gamma / np.mean(np.sum(before**2, axis=1)))
        assert found.weight_decay == result.weight_decay != 0.1


@pytest.mark.parametrize("n", [1, 2])
def test_ctrl_c_during_an_estimate(monkeypatch, n):
    """The n-th: the rounds until then are what comes back, with the estimate before."""
    whole, curvatures, left = fitted()[-1], evidence.curvatures, [n]
    assert not whole.interrupted

    def interrupted(*arguments):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return curvatures(*arguments)

    monkeypatch.setattr(evidence, "curvatures", interrupted)
    result = fitted()[-1]
    assert result.interrupted
    assert len(result.rounds) == n
    np.testing.assert_array_equal(result.w, whole.rounds[n - 1].w)
    assert result.weight_decay == result.evidence.weight_decay
    assert (result.evidence.gamma == 0) == (n == 1)


def test_an_ensemble_without_networks():
    net = mlpcore.Network((6, 5, 1))
    X, T = linear_problem(50)
    w = np.empty((0, net.n_weights))
    result = evidence.train_by_evidence(net, w, X, T, np.ones(50), epochs=100)
    assert result.w.shape == w.shape
    assert result.evidence == evidence.Evidence(alpha=0.1, beta=1.0, gamma=0.0)


def test_results_show_themselves():
    result = fitted(100)[-1]
    for text in (repr(result), result._repr_html_()):
        assert "EvidenceResult of 2 networks" in text
        assert f"{result.evidence.beta:.6g}" in text
