"""Training: the native loops against plain NumPy ones, and every way in which a training ends."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import Case, assert_close, assert_same_bits

import mlpcore

# The oracle: the documented algorithms in plain NumPy, on the gradients of mlpcore.reference ------

MASK = 2**64 - 1


def rotate(x, k):
    return ((x << k) | (x >> (64 - k))) & MASK


class Shuffle:
    """xoshiro256** (Blackman and Vigna, 2018) seeded by SplitMix64, and Fisher-Yates from above."""

    def __init__(self, seed):
        self.s = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & MASK
            x = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
            x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
            self.s.append(x ^ (x >> 31))

    def next(self):
        a, b, c, d = self.s
        result = (rotate((b * 5) & MASK, 7) * 9) & MASK
        c, d = c ^ a, d ^ b
        self.s = [a ^ d, b ^ c, c ^ ((b << 17) & MASK), rotate(d, 45)]
        return result

    def below(self, n):
        while True:
            x = self.next()
            if x < MASK - MASK % n:
                return x % n

    def __call__(self, order):
        for i in range(len(order), 1, -1):
            j = self.below(i)
            order[i - 1], order[j] = order[j], order[i - 1]


def sgd(rate, momentum=0.9):
    velocity = 0

    def step(w, g):
        nonlocal velocity
        velocity = momentum * velocity - rate * g
        return w + velocity

    return step


def adam(rate):
    t = m = v = 0

    def step(w, g):  # Kingma and Ba (2015), Algorithm 1
        nonlocal t, m, v
        t += 1
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        return w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)

    return step


def oracle(case, problem, step, epochs, batch_size=None, weight_decay=0.0, seed=0):
    """The weights of every epoch and the history of training errors."""
    net, (w, X, T, s) = case.reference(), problem
    N = len(X)
    s = np.ones(N) if s is None else s
    full = batch_size is None or batch_size >= N
    weights, history = [w], [net.error(w, X, T, s) / s.sum()]
    shuffle, order = Shuffle(seed), list(range(N))
    for _ in range(epochs):
        if not full:
            shuffle(order)
        total = 0
        for first in range(0, N, N if full else batch_size):
            rows = slice(None) if full else order[first : first + batch_size]
            share = s[rows].sum()
            if share == 0:
                continue
            error, g = net.error_and_gradient(w, X[rows], T[rows], s[rows])
            total += error
            w = step(w, g / share + weight_decay / s.sum() * w)
        weights.append(w)
        history.append(net.error(w, X, T, s) / s.sum() if full else total / s.sum())
    return np.array(weights), np.array(history)


def test_the_generator():
    """The first numbers of xoshiro256** from the state 1, 2, 3, 4, as Rust's rand crate has them."""
    shuffle = Shuffle(0)
    assert shuffle.s[:2] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]  # SplitMix64 of 0
    shuffle.s = [1, 2, 3, 4]
    assert [shuffle.next() for _ in range(5)] == [
        11520,
        0,
        1509978240,
        1215971899390074240,
        1216172134540287360,
    ]


REGRESSION = Case((3, 6, 2), n=50)
PROBLEMS = [
    REGRESSION,
    Case((3, 6, 2), "softplus", n=50, weighted=True),
    Case((4, 5, 4, 3), ("tanh", "silu"), "softmax", n=37, flat=True),
    Case((2, 8, 1), "gelu", "sigmoid", n=41, weighted=True, flat=True),
    Case((3, 2), n=20),
]
STEPS = {"sgd": sgd, "adam": adam}


def fit(case, problem=None, validation=None, **settings):
    w, X, T, s = case.problem() if problem is None else problem
    if validation is not None:
        settings |= {"X_val": validation.X, "T_val": validation.T}
    return mlpcore.train(case.network(), w, X, T, sample_weight=s, **settings)


def trajectory(case, problem, **settings):
    """The weights of every epoch, and the result."""
    weights = []
    result = fit(
        case, problem, callback=lambda epoch, e, v, w: weights.append(w) and False, **settings
    )
    return np.array(weights), result


@pytest.mark.parametrize("batch_size", [None, 1, 7, 10, 49, 1000])
@pytest.mark.parametrize("optimizer", STEPS)
@pytest.mark.parametrize("case", PROBLEMS, ids=str)
def test_trajectory(case, optimizer, batch_size):
    problem, settings = case.problem(), {"weight_decay": 0.3, "batch_size": batch_size, "seed": 5}
    expected = oracle(case, problem, STEPS[optimizer](0.02), 6, **settings)
    weights, result = trajectory(
        case, problem, optimizer=optimizer, learning_rate=0.02, epochs=6, **settings
    )
    assert_close(weights, expected[0], 1e-10)
    assert_close(result.history["training_error"], expected[1], 1e-10)
    assert (result.stopped, result.n_epochs, result.optimizer) == ("epochs", 6, optimizer)
    assert_same_bits(result.w, weights[result.best_epoch])
