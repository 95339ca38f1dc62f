"""The optima that the tests of re-training share: their data, regularizers and refits."""

from __future__ import annotations

import numpy as np
import pytest
from cases import Case

import mlpcore
from mlpcore.regularizers import ARD, L1, ConsistentPrior, LayerDecay, Regularizer, WeightDecay

LINEAR = Case((4, 1), n=40, weighted=True)
SMALL = {
    "linear": Case((3, 3, 1), n=80, weighted=True),
    "linear-2": Case((3, 3, 2), "softplus", n=80),
    "sigmoid": Case((3, 3, 2), "tanh", "sigmoid", n=80, weighted=True),
    "softmax": Case((3, 3, 3), "tanh", "softmax", n=80),
    "labels": Case((3, 3, 3), "sigmoid", "softmax", n=80, flat=True, weighted=True),
}
ALPHA = 0.5
small_cases = pytest.mark.parametrize("name", SMALL)


def cases_but(*names):
    """Without those whose refits, of random classes, jump to another minimum for some samples."""
    return pytest.mark.parametrize("name", [name for name in SMALL if name not in names])


class Own(Regularizer):
    """As a user might write one: no sum over the weights, and without second derivatives."""

    def value(self, net, w):
        return float(0.3 * np.log(np.cosh(w)).sum() + 0.2 * w.sum() ** 2)

    def gradient(self, net, w):
        return 0.3 * np.tanh(w) + 0.4 * w.sum()


REGULARIZERS = {
    "weight_decay": WeightDecay(ALPHA),
    "l1": L1(0.2, epsilon=0.1),
    "layer_decay": LayerDecay([0.6, 0.3], [0.2, 0.1]),
    "ard": ARD([0.3, 0.6, 2.0], others=0.4, biases=0.1),
    "consistent": ConsistentPrior([0.3, 0.2]),
    "own": Own(),
    "sum": Own() + L1(0.2, epsilon=0.1, biases=True) + WeightDecay(0.1),
}
each_regularizer = pytest.mark.parametrize("R", REGULARIZERS.values(), ids=REGULARIZERS)


def optimum_of(case, alpha=ALPHA, **options):
    """Of random data, that lie near a function such as the network has."""
    net, (w, X, T, s) = case.network(), case.problem()
    if case.output == "linear":
        T = net.forward(w, X) + 0.1 * T
    s = None if s is None else s + 0.5
    regularizer = options.get("regularizer")
    start = mlpcore.train(
        net, w, X, T,
        optimizer="lbfgs", weight_decay=alpha, sample_weight=s, regularizer=regularizer,
    ).w  # fmt: skip
    return mlpcore.Optimum(net, start, X, T, s, weight_decay=alpha, **options)


def refit(old, X, T, s):
    """From the same start by gradients alone, for an answer that owes nothing to the Hessian."""
    fit = mlpcore.train(
        mlpcore.Network(old.net.layers, old.net.hidden, old.net.output), old.w, X, T,
        optimizer="lbfgs", weight_decay=old.weight_decay, sample_weight=s, epochs=5000,
        regularizer=old.regularizer,
    )  # fmt: skip
    return fit.w


def without(old, rows):
    s = old.sample_weight.copy()
    s[rows] = 0
    return refit(old, old.X, old.T, s)


def ridge(X, T, s, alpha):
    """Weights (K, D + 1) of ridge regression, the bias last and in the penalty as well."""
    Z = np.concatenate([X, np.ones((len(X), 1))], axis=1)
    return np.linalg.solve(Z.T @ (s[:, None] * Z) + alpha * np.eye(Z.shape[1]), (Z.T * s) @ T).T


def second_derivative(f, w, step=1e-4):
    """Of the function whose gradient is f, by differences of it, (W, W)."""
    H = np.array([(f(w + e) - f(w - e)) / (2 * step) for e in step * np.eye(w.size)])
    return (H + H.T) / 2


# Both its hidden units are needed: of one that is not, a regularizer of the weights alone leaves
# the bias free.
NEEDED = Case((3, 2, 2), n=80, weighted=True)


def regularized(R, case=NEEDED, **options):
    return optimum_of(case, alpha=0.0, regularizer=R, **options)


def saddle():
    """At w = 0 of a network with hidden units, symmetry makes the gradient vanish; E is even."""
    net = mlpcore.Network((1, 2, 1))
    X = np.linspace(-1, 1, 20)[:, None]
    return net, np.zeros(net.n_weights), X, np.sin(3 * X)


class Around(Regularizer):
    """A prior whose mean is not 0."""

    def __init__(self, mean, alpha):
        self.mean, self.alpha = mean, alpha

    def value(self, net, w):
        return self.alpha / 2 * ((w - self.mean) ** 2).sum()

    def gradient(self, net, w):
        return self.alpha * (w - self.mean)

    def hessian_diagonal(self, net, w):
        return np.full(w.size, self.alpha)

    def hessian_vector_product(self, net, w, v):
        return self.alpha * v


class AroundByDifferences(Around):
    hessian_diagonal = Regularizer.hessian_diagonal
    hessian_vector_product = Regularizer.hessian_vector_product


class Absolute(Regularizer):
    """`L1` of all weights as a user writes it, by differences of the gradient."""

    def __init__(self, strength, epsilon):
        self.strength, self.epsilon = strength, epsilon

    def value(self, net, w):
        return self.strength * (np.hypot(w, self.epsilon) - self.epsilon).sum()

    def gradient(self, net, w):
        return self.strength * w / np.hypot(w, self.epsilon)
