"""Training: the native loops against plain NumPy ones, and every way in which a training ends."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import Case, assert_close, assert_same_bits

import mlpcore
from mlpcore import reference_training as plain

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


def oracle(case, problem, step, rate, epochs, batch_size=None, weight_decay=0.0, seed=0):
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
            w = step(w, g / share + weight_decay / s.sum() * w, rate)
        weights.append(w)
        history.append(net.error(w, X, T, s) / s.sum() if full else total / s.sum())
    return np.array(weights), np.array(history)


def test_the_generator():
    """The first numbers of xoshiro256** from the state 1, 2, 3, 4, as other libraries have them."""
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
STEPS = {"sgd": lambda: plain.sgd(0.9), "adam": plain.adam}


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
    expected = oracle(case, problem, STEPS[optimizer](), 0.02, 6, **settings)
    weights, result = trajectory(
        case, problem, optimizer=optimizer, learning_rate=0.02, epochs=6, **settings
    )
    assert_close(weights, expected[0], 1e-10)
    assert_close(result.history["training_error"], expected[1], 1e-10)
    assert (result.stopped, result.n_epochs, result.optimizer) == ("epochs", 6, optimizer)
    assert_same_bits(result.w, weights[result.best_epoch])


@pytest.mark.parametrize("momentum", [0, 0.5])
def test_momentum(momentum):
    expected = oracle(REGRESSION, REGRESSION.problem(), plain.sgd(momentum), 0.1, 5)
    weights, _ = trajectory(
        REGRESSION, None, optimizer="sgd", momentum=momentum, learning_rate=0.1, epochs=5
    )
    assert_close(weights, expected[0], 1e-10)


@pytest.mark.parametrize("optimizer", STEPS)
def test_defaults(optimizer):
    expected = oracle(REGRESSION, REGRESSION.problem(), STEPS[optimizer](), 0.01, 5)
    assert_close(trajectory(REGRESSION, None, optimizer=optimizer, epochs=5)[0], expected[0], 1e-10)


@pytest.mark.parametrize("optimizer", STEPS)
@pytest.mark.parametrize("batch_size", [None, 8])
def test_float32(optimizer, batch_size):
    case = Case((4, 5, 4, 3), ("tanh", "silu"), "softmax", n=37, flat=True, dtype="float32")
    problem, settings = case.problem(), {"weight_decay": 0.3, "batch_size": batch_size, "seed": 2}
    wide = problem._replace(w=problem.w.astype("float64"), X=problem.X.astype("float64"))
    expected = oracle(case, wide, STEPS[optimizer](), 0.02, 6, **settings)
    weights, result = trajectory(
        case, problem, optimizer=optimizer, learning_rate=0.02, epochs=6, **settings
    )
    assert weights.dtype == result.w.dtype == np.float32
    assert result.history["training_error"].dtype == np.float64
    assert_close(weights, expected[0], 1e-4)
    assert_close(result.history["training_error"], expected[1], 1e-4)


def test_weights_of_samples_are_multiplicities():
    """Two of a sample are one of weight two, none is weight zero; N does not change the rate."""
    p = Case((3, 6, 2), n=50, weighted=True).problem()
    repeats = (2 * p.s).astype(int)
    rows = np.repeat(np.arange(50), repeats)
    weighted, _ = trajectory(REGRESSION, p, epochs=5, weight_decay=1)
    repeated, _ = trajectory(
        REGRESSION, p.rows(rows)._replace(s=None), epochs=5, weight_decay=len(rows) / p.s.sum()
    )
    assert_close(weighted, repeated, 1e-12)


def test_one_hot_targets_are_labels():
    case = Case((4, 5, 3), output="softmax", n=37, flat=True)
    problem = case.problem()
    one_hot = problem._replace(T=np.eye(3)[problem.T])
    settings = {"batch_size": 5, "seed": 1, "epochs": 5}
    by_label = fit(case, problem, problem, **settings)
    by_row = fit(case, one_hot, one_hot, **settings)
    assert_close(by_label.w, by_row.w, 1e-12)
    for name, history in by_label.history.items():
        assert_close(history, by_row.history[name], 1e-12)


# L-BFGS ------------------------------------------------------------------------------------------


def largest_gradient(case, problem, w, weight_decay=0.0):
    """Of the mean objective, as which the optimizers see it."""
    _, X, T, s = problem
    g = case.reference().gradient(w, X, T, s) + weight_decay * w
    return np.abs(g).max() / (len(X) if s is None else s.sum())


@pytest.mark.parametrize("weight_decay", [0, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_lbfgs_finds_least_squares(weighted, weight_decay):
    case = Case((4, 3), n=30, weighted=weighted)
    problem = case.problem()
    _, X, T, s = problem
    root = np.sqrt(np.ones(30) if s is None else s)[:, None]
    Phi = np.append(X, np.ones((30, 1)), axis=1)
    Phi = np.append(root * Phi, np.sqrt(weight_decay) * np.eye(5), axis=0)
    W = np.linalg.lstsq(Phi, np.append(root * T, np.zeros((5, 3)), axis=0), rcond=None)[0]
    result = fit(case, problem, optimizer="lbfgs", epochs=200, weight_decay=weight_decay)
    assert (result.stopped, result.best_epoch) == ("converged", result.n_epochs)
    assert largest_gradient(case, problem, result.w, weight_decay) <= 1e-8
    assert_close(result.w, case.network().pack([(W[:4].T, W[4])]), 1e-7)


def test_lbfgs_finds_least_squares_of_badly_scaled_inputs():
    case = Case((4, 1), n=60)
    problem = case.problem()
    problem = problem._replace(X=problem.X * [1e-2, 1, 10, 300] + [0, 5, 0, 0])
    Phi = np.append(problem.X, np.ones((60, 1)), axis=1)
    rss = np.linalg.lstsq(Phi, problem.T, rcond=None)[1][0]
    result = fit(case, problem, optimizer="lbfgs", epochs=2000)
    assert result.stopped == "converged"
    assert_close(result.history["training_error"][-1], 0.5 * rss / 60, 1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_lbfgs_finds_the_optimum_of_logistic_regression(weighted):
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
    result = fit(case, problem, optimizer="lbfgs", weight_decay=0.5)
    assert result.stopped == "converged"
    assert_close(result.w, v, 1e-6)


@pytest.mark.peer
def test_lbfgs_finds_the_optimum_of_scipy():
    optimize = pytest.importorskip("scipy.optimize")
    case = Case((5, 3), output="softmax", n=80, flat=True)
    net, problem = case.reference(), case.problem()
    w, X, T, _ = problem

    def objective(w):
        e, g = net.error_and_gradient(w, X, T)
        return e + 0.5 * w @ w, g + w

    best = optimize.minimize(objective, w, jac=True, method="BFGS", options={"gtol": 1e-8})
    result = fit(case, problem, optimizer="lbfgs", weight_decay=1.0)
    assert result.stopped == "converged"
    assert_close(result.w, best.x, 1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-7), ("float32", 1e-3)])
@pytest.mark.parametrize("case", PROBLEMS[1:4], ids=str)
def test_lbfgs_of_networks(case, dtype, tolerance):
    """Until the values of the objective, good to eps, show no descent: a gradient of sqrt(eps)."""
    case = Case(**{**vars(case), "dtype": dtype})
    problem = case.problem()
    settings = {"weight_decay": 0.1, "epochs": 3000}
    weights, result = trajectory(case, problem, optimizer="lbfgs", **settings)
    assert (result.stopped, result.best_epoch) == ("converged", result.n_epochs)
    assert largest_gradient(case, problem, result.w, 0.1) <= tolerance
    _, X, T, s = problem
    net, total = case.reference(), len(X) if s is None else s.sum()
    history = [net.error(w, X, T, s) / total for w in weights.astype("float64")]
    assert_close(
        result.history["training_error"], np.array(history), 1e-12 if dtype == "float64" else 1e-5
    )
    objective = history + 0.05 * (weights.astype("float64") ** 2).sum(axis=1) / total
    assert (np.diff(objective) < 1e-6 * objective[0]).all()
    assert objective[-1] < 0.9 * objective[0]


def test_lbfgs_at_the_optimum_already():
    problem = REGRESSION.problem()
    problem = problem._replace(T=REGRESSION.network().forward(problem.w, problem.X))
    result = fit(REGRESSION, problem, optimizer="lbfgs")
    assert (result.stopped, result.n_epochs, result.best_epoch) == ("converged", 0, 0)
    assert_same_bits(result.w, problem.w)
    assert result.message == "after 0 epochs the objective can't be lowered any further"


# Early stopping ----------------------------------------------------------------------------------


def validation_of(case, n=40):
    return Case(**{**vars(case), "n": n, "weighted": False}).problem(seed=1)


def patience_ends(watched, patience, min_delta):
    """The epoch at which the documented rule stops, or None."""
    lowest, last = np.inf, 0
    for epoch, value in enumerate(watched):
        if value < lowest - min_delta:
            lowest, last = value, epoch
        if epoch - last >= patience:
            return epoch
    return None


@pytest.mark.parametrize("min_delta", [0, 1e-3, 0.1])
@pytest.mark.parametrize("patience", [1, 2, 10])
@pytest.mark.parametrize("validated", [True, False])
def test_patience(validated, patience, min_delta):
    problem = REGRESSION.problem()
    weights, result = trajectory(
        REGRESSION,
        problem,
        validation=validation_of(REGRESSION) if validated else None,
        optimizer="sgd",
        learning_rate=0.05,
        batch_size=3,
        seed=0,
        epochs=500,
        weight_decay=0.2,
        patience=patience,
        min_delta=min_delta,
    )
    if validated:
        watched = result.history["validation_error"]
    else:
        watched = result.history["training_error"] + 0.1 * (weights**2).sum(axis=1) / 50
    assert result.stopped == "patience"
    assert result.n_epochs == patience_ends(watched, patience, min_delta)
    assert result.best_epoch == watched.argmin()
    assert_same_bits(result.w, weights[result.best_epoch])
    assert result.message == (
        f"no improvement since epoch {result.n_epochs - patience}, for {patience} epochs"
    )


@pytest.mark.parametrize(
    ("optimizer", "steps"),
    [
        ("sgd", {"learning_rate": 0.02}),
        ("sgd", {"learning_rate": 0.02, "batch_size": 7}),
        ("adam", {"learning_rate": 0.02}),
        ("adam", {"learning_rate": 0.02, "batch_size": 7}),
        ("lbfgs", {}),
    ],
)
def test_the_best_weights_come_back(optimizer, steps):
    case = Case((3, 20, 2), n=20)
    net, problem, validation = case.network(), case.problem(), validation_of(case)
    result = fit(
        case,
        problem,
        validation,
        optimizer=optimizer,
        epochs=100,
        seed=0,
        **steps,
    )
    errors = result.history["validation_error"]
    assert errors.shape == result.history["training_error"].shape == (result.n_epochs + 1,)
    assert 0 < result.best_epoch == errors.argmin() < result.n_epochs
    assert_close(errors[result.best_epoch], net.error(result.w, *validation[1:3]) / 40, 1e-12)
    assert_close(errors[0], net.error(problem.w, *validation[1:3]) / 40, 1e-12)
    first = result.history["training_error"][0]
    assert_close(first, net.error(problem.w, *problem[1:3]) / 20, 1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
def test_no_epochs(optimizer):
    problem = REGRESSION.problem()
    result = fit(REGRESSION, problem, problem, optimizer=optimizer, epochs=0)
    assert (result.stopped, result.n_epochs, result.best_epoch) == ("epochs", 0, 0)
    assert result.message == "all 0 epochs were done"
    assert_same_bits(result.w, problem.w)
    assert result.w is not problem.w
    error = REGRESSION.network().error(*problem) / 50
    for name in ("training_error", "validation_error"):
        assert_close(result.history[name], np.array([error]), 1e-13)


# Divergence --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("hidden", ["identity", "relu", "tanh"])
@pytest.mark.parametrize("validated", [False, True])
def test_divergence(validated, hidden, batch_size, dtype):
    case = Case((3, 6, 2), hidden, n=50, dtype=dtype)
    problem, rate = case.problem(), 1e6
    weights, result = trajectory(
        case,
        problem,
        validation=validation_of(case) if validated else None,
        optimizer="sgd",
        learning_rate=rate,
        batch_size=batch_size,
        seed=0,
    )
    assert result.stopped == "diverged"
    assert np.isfinite(weights).all()
    assert_same_bits(result.w, weights[result.best_epoch])
    assert result.n_epochs == len(weights)  # the callback has not seen the last one
    assert result.message == (
        f"the error or a weight was no longer finite in epoch {result.n_epochs}; these are the "
        f"weights of epoch {result.best_epoch}, and a smaller learning rate may help"
    )
    assert "diverged" in repr(result)


@pytest.mark.filterwarnings("ignore:the 6 units of hidden layer 1 begin all alike")
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
def test_divergence_at_the_start(optimizer):
    problem = REGRESSION.problem()
    problem = problem._replace(w=np.full_like(problem.w, 1e200))
    result = fit(REGRESSION, problem, optimizer=optimizer)
    assert (result.stopped, result.n_epochs, result.best_epoch) == ("diverged", 0, 0)
    assert_same_bits(result.w, problem.w)


def test_divergence_of_adam():
    result = fit(REGRESSION, optimizer="adam", learning_rate=1e300)
    assert result.stopped == "diverged"
    assert np.isfinite(result.w).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_metric_that_is_not_finite_is_named(value):
    values = iter([3.0, 2.0, value])
    problem = REGRESSION.problem()
    result = fit(REGRESSION, problem, validation=problem, metric=lambda Y, T: next(values))
    assert (result.stopped, result.n_epochs, result.best_epoch) == ("diverged", 2, 1)
    what = f"the metric, {value}, was no longer finite in epoch 2"
    assert result.message == f"{what}; these are the weights of epoch 1"


@pytest.mark.parametrize("value", ["x", None, np.zeros(3), 1j])
def test_a_metric_that_is_no_number_is_named(value):
    problem = REGRESSION.problem()
    with pytest.raises(TypeError, match=r"metric returned .*, expected a number"):
        fit(REGRESSION, problem, validation=problem, metric=lambda Y, T: value)


# The callback ------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("validated", [False, True])
def test_callback(optimizer, validated):
    problem, calls = REGRESSION.problem(), []
    result = fit(
        REGRESSION,
        problem,
        problem if validated else None,
        optimizer=optimizer,
        epochs=5,
        callback=lambda *arguments: calls.append(arguments),
    )
    epochs, training, validation, weights = zip(*calls, strict=True)
    assert epochs == (0, 1, 2, 3, 4, 5)
    assert all(type(epoch) is int for epoch in epochs)
    assert list(training) == result.history["training_error"].tolist()
    if validated:
        assert list(validation) == result.history["validation_error"].tolist()
    else:
        assert set(validation) == {None}
        assert "validation_error" not in result.history
    net = REGRESSION.network()
    for e, w in zip(training, weights, strict=True):
        assert_close(e, net.error(w, *problem[1:3]) / 50, 1e-12)
    assert_same_bits(weights[0], problem.w)


def test_the_callback_gets_a_copy():
    def spoil(epoch, e, v, w):
        w[:] = np.nan

    problem = REGRESSION.problem()
    result = fit(REGRESSION, problem, epochs=5, callback=spoil)
    assert_same_bits(result.w, fit(REGRESSION, problem, epochs=5).w)
    assert_same_bits(problem.w, REGRESSION.problem().w)


@pytest.mark.parametrize("answer", [True, 1, "yes", np.True_], ids=repr)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
def test_a_callback_that_stops(optimizer, answer):
    result = fit(
        REGRESSION, optimizer=optimizer, callback=lambda epoch, *_: answer if epoch == 3 else None
    )
    assert (result.stopped, result.n_epochs, result.best_epoch) == ("callback", 3, 3)
    assert result.message == "the callback said so after epoch 3"


@pytest.mark.parametrize("answer", [False, 0, "", None, np.False_], ids=repr)
def test_a_callback_that_goes_on(answer):
    assert fit(REGRESSION, epochs=2, callback=lambda *_: answer).n_epochs == 2


@pytest.mark.parametrize("exception", [ZeroDivisionError, SystemExit, GeneratorExit])
@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
def test_a_callback_that_raises(optimizer, at, exception):
    raised, calls = exception("no"), []

    def fail(epoch, *_):
        calls.append(epoch)
        if epoch == at:
            raise raised

    with pytest.raises(exception) as caught:
        fit(REGRESSION, optimizer=optimizer, callback=fail)
    assert caught.value is raised
    assert calls == list(range(at + 1))


def test_a_callback_whose_answer_has_no_truth():
    with pytest.raises(ValueError, match="ambiguous"):
        fit(REGRESSION, callback=lambda *_: np.zeros(2))


def test_a_callback_that_trains():
    inner = []

    def train(epoch, e, v, w):
        inner.append(fit(REGRESSION, REGRESSION.problem()._replace(w=w), epochs=1).w)

    outer, _ = trajectory(REGRESSION, None, optimizer="sgd", momentum=0, epochs=3)
    result = fit(REGRESSION, optimizer="sgd", momentum=0, epochs=3, callback=train)
    assert_same_bits(result.w, outer[-1])
    assert len(inner) == 4


# Seeds, threads, sizes ---------------------------------------------------------------------------


def outcome(result):
    return (result.w, *result.history.values())


def test_seeds():
    runs = {seed: fit(REGRESSION, batch_size=7, epochs=4, seed=seed) for seed in (0, 1, 2**62 - 1)}
    for seed, run in runs.items():
        again = fit(REGRESSION, batch_size=7, epochs=4, seed=seed)
        assert_same_bits(outcome(again), outcome(run))
    assert len({run.w.tobytes() for run in runs.values()}) == 3
    unseeded = {fit(REGRESSION, batch_size=7, epochs=4).w.tobytes() for _ in range(3)}
    assert len(unseeded) == 3
    full = {fit(REGRESSION, epochs=4, seed=seed).w.tobytes() for seed in (None, 1, 2)}
    assert len(full) == 1


LARGE = Case((8, 50, 1), n=3000, weighted=True)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("optimizer", "batch_size"),
    [("sgd", None), ("sgd", 700), ("adam", None), ("adam", 700), ("lbfgs", None)],
)
def test_the_same_bits_for_any_number_of_threads(optimizer, batch_size, dtype):
    case = Case(**{**vars(LARGE), "dtype": dtype})
    results = []
    for threads in (1, 2, 3):
        mlpcore.set_num_threads(threads)
        result = fit(
            case,
            validation=validation_of(case, 2000),
            optimizer=optimizer,
            batch_size=batch_size,
            epochs=5,
            seed=0,
            weight_decay=0.1,
        )
        results.append(outcome(result))
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


def test_many_trainings_at_once():
    """Fits in several Python threads, callbacks included, are those of one after the other."""
    jobs = [
        (case, {"optimizer": optimizer, "batch_size": batch_size, "seed": 3, "epochs": 20})
        for case in (*PROBLEMS, LARGE)
        for optimizer, batch_size in [("sgd", 16), ("adam", None), ("adam", 16), ("lbfgs", None)]
    ]
    threads = set()

    def run(job):
        def callback(*_):
            threads.add(threading.get_ident())

        case, settings = job
        return outcome(fit(case, validation=validation_of(case), callback=callback, **settings))

    expected = [run(job) for job in jobs]
    assert threads == {threading.get_ident()}
    with ThreadPoolExecutor(3) as pool:
        actual = list(pool.map(run, jobs))
    assert len(threads) > 2
    for one, other in zip(actual, expected, strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize(
    ("optimizer", "batch_size"),
    [
        *((name, batch_size) for name in ("sgd", "adam") for batch_size in (None, 1, 2)),
        ("lbfgs", None),
    ],
)
def test_one_sample(optimizer, batch_size):
    case = Case((3, 4, 2), n=1)
    problem = case.problem()
    result = fit(
        case,
        problem,
        problem,
        optimizer=optimizer,
        batch_size=batch_size,
        learning_rate=None if optimizer == "lbfgs" else 0.05,
        epochs=300,
    )
    assert result.history["training_error"][-1] < 1e-4 * result.history["training_error"][0]
    assert_same_bits(result.history["training_error"], result.history["validation_error"])


def test_a_batch_of_more_than_all_is_all():
    full = fit(REGRESSION, epochs=4)
    for batch_size in (50, 51, 2**61):
        assert_same_bits(outcome(fit(REGRESSION, epochs=4, batch_size=batch_size)), outcome(full))


@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize("hidden", ["tanh", "sigmoid"])
def test_hidden_units_that_begin_alike_stay_alike(hidden, batch_size):
    """From all zeros: the units of a layer get the same gradients, and never differ."""
    case = Case((3, 11, 2), hidden, n=50)
    net = case.network()
    problem = case.problem()._replace(w=net.init(scheme="zeros"))
    with pytest.warns(UserWarning, match="the 11 units of hidden layer 1 begin all alike"):
        result = fit(case, problem, optimizer="adam", batch_size=batch_size, epochs=50, seed=0)
    (W1, b1), (W2, b2) = net.unpack(result.w)
    assert (W1 == W1[0]).all()
    assert (b1 == b1[0]).all()
    assert (W2.T == W2[:, 0]).all()
    assert b2.all()
    assert W1.any() == W2.any() == (hidden == "sigmoid")


def test_the_words_of_a_result_do_not_run_together():
    """`validation metric` is the longest name, with as many characters as the column had."""
    problem = REGRESSION.problem()
    result = fit(REGRESSION, problem, validation=problem, epochs=2, metric=lambda Y, T: 1.5)
    assert "\n  validation metric  1.5\n" in repr(result)
    assert "\n  epochs             2, best 0\n" in repr(result)


def test_members_of_an_ensemble_that_begin_alike_are_named():
    case = Case((3, 11, 2), "tanh", n=50)
    net, problem = case.network(), case.problem()
    W = np.stack([net.init(0), np.zeros(net.n_weights), net.init(1)])
    with pytest.warns(UserWarning, match="the 11 units of hidden layer 1 of network 1 begin all"):
        mlpcore.train(net, W, problem.X, problem.T, epochs=2)
    mlpcore.train(net, W[::2], problem.X, problem.T, epochs=2)
    mlpcore.train(net, W, problem.X, problem.T, epochs=0)


def test_inputs_are_never_changed():
    problem = LARGE.problem()
    validation = validation_of(LARGE)
    before = [a.copy() for a in (*problem, *validation[1:3])]
    for a in (*problem, *validation[1:3]):
        a.flags.writeable = False
    for steps in (
        {"optimizer": "sgd", "batch_size": 500},
        {"optimizer": "adam", "batch_size": 500},
        {"optimizer": "lbfgs"},
    ):
        result = fit(LARGE, problem, validation, epochs=3, seed=0, **steps)
        assert result.w.flags.writeable
        assert not np.shares_memory(result.w, problem.w)
    for a, b in zip((*problem, *validation[1:3]), before, strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize(
    "layout", [np.asfortranarray, lambda a: a[::-1].copy()[::-1], lambda a: a.tolist()]
)
def test_layouts(layout):
    problem = REGRESSION.problem()
    other = problem._replace(w=layout(problem.w), X=layout(problem.X), T=layout(problem.T))
    settings = {"epochs": 4, "batch_size": 7, "seed": 0}
    assert_same_bits(
        outcome(fit(REGRESSION, other, other, **settings)),
        outcome(fit(REGRESSION, problem, problem, **settings)),
    )


# The result --------------------------------------------------------------------------------------


def test_repr():
    result = fit(REGRESSION, REGRESSION.problem(), REGRESSION.problem(), epochs=3)
    for text in (repr(result), result._repr_html_()):
        assert "TrainResult" in text
        assert "epochs: all 3 epochs were done" in text
        assert "adam" in text
        for history in result.history.values():
            assert f"{history[result.best_epoch]:.6g} a sample" in text
    assert result.seconds > 0
    with pytest.raises(AttributeError):
        result.w = None


def test_repr_html_escapes():
    result = mlpcore.TrainResult(
        w=np.zeros(2),
        history={"<i>": np.ones(1)},
        stopped="epochs",
        message="<script>alert('&')</script>",
        best_epoch=0,
        n_epochs=0,
        seconds=0.0,
        optimizer="<b>",
    )
    text = result._repr_html_()
    assert not re.search("<(script|i|b)>", text)
    assert "&lt;script&gt;alert(" in text
    assert "&amp;" in text


# Refusals ----------------------------------------------------------------------------------------

N = 50
X, T = np.zeros((N, 3)), np.zeros((N, 2))
RAGGED = [[1, 2, 3], [1, 2]]

REFUSED = [
    ("net", "net", TypeError, "net is a str, expected a mlpcore.Network"),
    ("w", np.zeros(5), ValueError, r"w has shape \(5,\), expected \(38,\)"),
    ("w", None, TypeError, "w has dtype object, expected real numbers"),
    ("w", RAGGED, ValueError, "^w is not an array of numbers"),
    ("w", np.full(38, np.nan), ValueError, r"w is not finite: w\[0\] is nan"),
    ("X", X[:0], ValueError, r"T has shape \(50, 2\), expected \(0, 2\)"),
    ("X", None, (TypeError, ValueError), r"X has .*, expected"),
    ("X", X[:, :2], ValueError, r"X has shape \(50, 2\), expected \(N, 3\)"),
    ("X", X * 1j, TypeError, "X has dtype complex128, expected real numbers"),
    ("X", np.full((N, 3), np.inf), ValueError, r"X is not finite: X\[0, 0\]"),
    ("X", RAGGED, ValueError, "^X is not an array of numbers"),
    ("T", T[:9], ValueError, r"T has shape \(9, 2\), expected \(50, 2\)"),
    ("T", None, TypeError, "T has dtype object, expected real numbers"),
    ("T", RAGGED, ValueError, "^T is not an array of numbers"),
    ("X_val", X[:0], ValueError, r"T_val has shape \(50, 2\), expected \(0, 2\)"),
    ("X_val", X[:, 0], ValueError, r"X_val has shape \(50,\), expected \(N, 3\)"),
    ("X_val", None, ValueError, "T_val came without X_val, expected both or neither"),
    ("X_val", RAGGED, ValueError, "^X_val is not an array of numbers"),
    ("T_val", None, ValueError, "X_val came without T_val, expected both or neither"),
    ("T_val", T[:9], ValueError, r"T_val has shape \(9, 2\), expected \(50, 2\)"),
    ("T_val", T * np.nan, ValueError, r"T_val is not finite: T_val\[0, 0\] is nan"),
    ("sample_weight", np.zeros(N), ValueError, "sample_weight sums to 0.0, expected"),
    ("sample_weight", -np.ones(N), ValueError, r"sample_weight\[0\] is -1.0, expected a weight"),
    ("sample_weight", np.ones(9), ValueError, r"sample_weight has shape \(9,\), expected \(50,\)"),
    ("sample_weight", "text", TypeError, "sample_weight has dtype <U4, expected real numbers"),
    ("sample_weight", [None] * N, TypeError, "sample_weight has dtype object, expected real"),
    ("sample_weight", RAGGED, ValueError, "^sample_weight is not an array of numbers"),
    (
        "optimizer",
        "foo",
        ValueError,
        "optimizer is 'foo', expected one of adam, adamw, sgd, rprop, lm",
    ),
    (
        "optimizer",
        None,
        TypeError,
        "optimizer is None, expected one of adam, adamw, sgd, rprop, lm",
    ),
    ("epochs", -1, ValueError, "epochs is -1, expected a whole number of at least 0"),
    ("epochs", 1.5, TypeError, "epochs is 1.5, expected a whole number of at least 0"),
    ("epochs", 2**63, ValueError, "epochs is 9223372036854775808, expected"),
    ("batch_size", 0, ValueError, "batch_size is 0, expected a whole number of at least 1"),
    ("batch_size", 2.5, TypeError, "batch_size is 2.5, expected a whole number of at least 1"),
    ("learning_rate", 0, ValueError, "learning_rate is 0.0, expected a number above 0"),
    ("learning_rate", np.nan, ValueError, "learning_rate is nan, expected a number above 0"),
    ("learning_rate", "x", TypeError, "learning_rate is 'x', expected a number"),
    ("weight_decay", -1, ValueError, "weight_decay is -1.0, expected a number at least 0"),
    ("weight_decay", np.inf, ValueError, "weight_decay is inf, expected .* finite"),
    ("patience", 0, ValueError, "patience is 0, expected a whole number of at least 1"),
    ("patience", "x", TypeError, "patience is 'x', expected a whole number of at least 1"),
    ("min_delta", -1, ValueError, "min_delta is -1.0, expected a number at least 0"),
    ("seed", -1, ValueError, "seed is -1, expected a whole number of at least 0"),
    ("seed", 2**64, ValueError, "seed is 18446744073709551616, expected .* below"),
    ("seed", 0.5, TypeError, "seed is 0.5, expected a whole number of at least 0"),
    ("callback", 3, TypeError, "callback is 3, expected a callable or None"),
]


@pytest.mark.parametrize(("argument", "value", "exception", "message"), REFUSED)
def test_refusals(argument, value, exception, message):
    w = REGRESSION.problem().w
    good = {"net": REGRESSION.network(), "w": w, "X": X, "T": T, "X_val": X, "T_val": T}
    with pytest.raises(exception, match=message):
        mlpcore.train(**{**good, "epochs": 1, argument: value})


def test_refused_labels_of_the_validation_data():
    case = Case((4, 5, 3), output="softmax", n=20, flat=True)
    problem = case.problem()
    bad = problem._replace(T=problem.T + 1)
    with pytest.raises(ValueError, match=r"T_val\[\d+\] is 3, expected a class label from 0 to 2"):
        fit(case, problem, bad, epochs=1)


def test_weights_of_samples_that_vanish_in_float32():
    case = Case((3, 6, 2), n=50, dtype="float32")
    with pytest.raises(ValueError, match="sample_weight"):
        fit(case, case.problem()._replace(s=np.full(50, 1e-60)), epochs=1)


@pytest.mark.parametrize(
    ("argument", "value", "exception", "message"),
    [
        ("sample_weight", np.ones(75), ValueError, r"has shape \(75,\), expected \(50,\)$"),
        ("sample_weight", np.ones(25), ValueError, r"has shape \(25,\), expected \(50,\)$"),
        ("sample_weight", np.ones((3, N)), ValueError, r"has shape \(3, 50\), expected \(50,\)$"),
        ("sample_weight", 2.0, ValueError, r"has shape \(\), expected \(50,\)$"),
        ("sample_weight", RAGGED, ValueError, "^sample_weight is not an array of numbers"),
        ("sample_weight", ["a"] * N, TypeError, "^sample_weight has dtype <U1, expected real"),
        ("X", RAGGED, ValueError, "^X is not an array of numbers"),
        ("X", np.ma.masked_less(X, 1), TypeError, "^X is a masked array"),
        ("T", RAGGED, ValueError, "^T is not an array of numbers"),
        ("T", np.ones((60, 2)), ValueError, r"X of shape \(50, 3\) and T of shape \(60, 2\)"),
    ],
)
def test_refused_of_the_data_that_are_split(argument, value, exception, message):
    good = {"net": REGRESSION.network(), "w": REGRESSION.problem().w, "X": X, "T": T}
    with pytest.raises(exception, match=message):
        mlpcore.train(**{**good, "epochs": 1, "validation_fraction": 0.2, argument: value})


def test_weights_of_the_samples_of_each_network_are_split():
    net, problem = REGRESSION.network(), REGRESSION.problem()
    w = np.stack([net.init(s) for s in range(3)])
    weight = np.random.default_rng(0).uniform(1, 2, (3, N))
    options = {"optimizer": "lbfgs", "epochs": 5, "seed": 1, "validation_fraction": 0.2}
    result = mlpcore.train(net, w, problem.X, problem.T, sample_weight=weight, **options)
    for s in range(3):
        one = mlpcore.train(net, w[s], problem.X, problem.T, sample_weight=weight[s], **options)
        assert_same_bits(result.w[s], one.w)
    message = r"sample_weight has shape \(2, 50\), expected \(50,\) or \(3, 50\)$"
    with pytest.raises(ValueError, match=message):
        mlpcore.train(net, w, problem.X, problem.T, sample_weight=weight[:2], **options)


@pytest.mark.parametrize("flat", [False, True])
def test_probabilities_are_split_as_they_come(flat):
    random = np.random.default_rng(0)
    inputs, targets = random.normal(size=(50, 1)), random.uniform(size=(50, 1))
    net = mlpcore.Network((1, 3, 1), output="sigmoid")
    targets = targets[:, 0] if flat else targets
    options = {"epochs": 3, "validation_fraction": 0.2, "seed": 0}
    result = mlpcore.train(net, net.init(0), inputs, targets, **options)
    assert len(result.validation_rows) == 10


def test_a_metric_gets_the_labels_that_were_split_off_as_they_came():
    problem = Case((4, 5, 3), output="softmax", n=40, flat=True).problem()
    net = mlpcore.Network((4, 5, 3), output="softmax")

    def metric(Y, labels):
        return -np.log(Y[np.arange(len(Y)), labels]).mean()

    options = {"epochs": 2, "validation_fraction": 0.25, "seed": 0, "metric": metric}
    result = mlpcore.train(net, problem.w, problem.X, problem.T.astype(int).tolist(), **options)
    history = result.history
    assert_close(history["validation_metric"], history["validation_error"], 1e-12)


@pytest.mark.parametrize("name", ["X", "X_val"])
def test_nothing_to_fit(name):
    net, w = REGRESSION.network(), REGRESSION.problem().w
    data = {"X": X, "T": T, "X_val": X, "T_val": T}
    data |= {name: X[:0], name.replace("X", "T"): T[:0]}
    with pytest.raises(ValueError, match=f"{name} has no rows, expected at least one"):
        mlpcore.train(net, w, **data)
