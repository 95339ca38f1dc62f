"""Ctrl-C: within about a second, a training ends with a result and a long call with an exception.

The signal comes to a process of its own, which says when it is about to call and when it is back.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from cases import OFF

import mlpcore

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")

BEGIN = """
import json, signal, sys
import numpy as np
import mlpcore

class Alarm(Exception):
    pass

def alarm(*_):
    raise Alarm

signal.signal(signal.SIGUSR1, alarm)
handled = []
signal.signal(signal.SIGUSR2, lambda *_: handled.append(True))

def data(n, *layers):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, layers[0]))
    net = mlpcore.Network(layers)
    return net, net.init(seed=0), X, X[:, :1] * np.ones(layers[-1])

def call(f):
    print("calling", flush=True)
    try:
        r = f()
    except BaseException as e:
        print(json.dumps({"raised": type(e).__name__}), flush=True)
        return
    print(json.dumps({
        "stopped": r.stopped, "n_epochs": r.n_epochs, "best_epoch": r.best_epoch,
        "finite": bool(np.isfinite(r.w).all()), "started": bool((r.w == w).all()),
        "entries": [len(h) for h in r.history.values()], "repr": repr(r), "message": r.message,
        "handled": len(handled),
    }), flush=True)
"""

END = """
# The library works on as if nothing had happened.
net, w, X, T = data(5000, 8, 50, 1)
g = net.gradient(w, X, T)
assert (net.gradient(w, X, T) == g).all()
assert np.allclose(g, sum(net.gradient(w, X[i::5], T[i::5]) for i in range(5)))
assert mlpcore.train(net, w, X, T, epochs=2).stopped == "epochs"
"""


def signalled(program, number=signal.SIGINT, ready="calling"):
    """What the program said of its call, and the seconds from the signal until then.

    The signal goes out a little after the program has said that it is ready.
    """
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN + program + END],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert any(line == ready + "\n" for line in process.stdout), process.stderr.read()
            time.sleep(0.3)
            sent = time.monotonic()
            process.send_signal(number)
            answer = next((line for line in process.stdout if line.startswith("{")), "")
            seconds = time.monotonic() - sent
            process.wait(timeout=60)
            assert process.returncode == 0, process.stderr.read()
        finally:
            process.kill()
    return json.loads(answer), seconds


#: Far longer than a test may take, but for the signal.
ENDLESS = "net, w, X, T = data(200, 3, 10, 1)\ncall(lambda: mlpcore.train(net, w, X, T, {}))"
#: A million rows of a third of a million weights: minutes for one pass, 24 MB.
LONG = "net, w, X, T = data(10**6, 2, 600, 600, 1)\ncall(lambda: {})"


@posix
@pytest.mark.parametrize(
    "settings",
    [
        "epochs=10**9",
        "epochs=10**9, batch_size=7",
        "epochs=10**9, optimizer='sgd', learning_rate=1e-3, batch_size=1",
        "epochs=10**9, X_val=X, T_val=T",
        "epochs=10**9, callback=lambda *_: None",
    ],
)
def test_many_epochs(settings):
    answer, seconds = signalled(ENDLESS.format(settings))
    assert answer["stopped"] == "interrupted"
    assert answer["finite"]
    assert not answer["started"]
    assert answer["n_epochs"] >= answer["best_epoch"] > 0
    assert set(answer["entries"]) == {answer["n_epochs"] + 1}
    assert answer["message"] == (
        f"interrupted after epoch {answer['n_epochs']}; "
        f"these are the weights of epoch {answer['best_epoch']}"
    )
    assert "interrupted" in answer["repr"]
    assert seconds < 1.5


@posix
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("data", ["X, T", "X, T, X[:9], T[:9]", "X[:9], T[:9], X, T"])
def test_one_long_pass(optimizer, data):
    """Even before there is any error to report."""
    call = f"mlpcore.train(net, w, {data}, optimizer='{optimizer}')"
    answer, seconds = signalled(LONG.format(call))
    assert answer.get("stopped") == "interrupted", answer
    assert answer["finite"]
    assert answer["started"]
    assert answer["best_epoch"] == 0
    assert answer["n_epochs"] >= 0
    assert "interrupted" in answer["repr"]
    assert seconds < 1.5


@posix
@pytest.mark.parametrize("settings", ["", "batch_size=20_000, ", "optimizer='lbfgs', "])
def test_within_an_epoch(settings):
    program = "net, w, X, T = data(60_000, 2, 600, 600, 1)\n"
    call = f"mlpcore.train(net, w, X, T, {settings}callback=lambda *_: print('epoch', flush=True))"
    answer, seconds = signalled(program + f"call(lambda: {call})", ready="epoch")
    assert answer.get("stopped") == "interrupted", answer
    assert answer["finite"]
    assert answer["entries"] == [answer["n_epochs"] + 1]
    assert seconds < 1.5


@posix
@pytest.mark.parametrize(
    "call",
    [
        "net.forward(w, X)",
        "net.error(w, X, T)",
        "net.gradient(w, X, T)",
        "net.error_and_gradient(w, X, T)",
        "net.jacobian(w, X)",
        "net.hessian_diagonal(w, X, T)",
        "net.hessian_vector_product(w, w, X, T)",
        "net.hessian_vector_product(w, np.stack([w] * 40), X, T)",
        "net.output_hessian(w, X)",
        "net.weight_vjp(w, X, T)",
    ],
)
def test_one_long_call(call):
    answer, seconds = signalled(LONG.format(call))
    assert answer == {"raised": "KeyboardInterrupt"}
    assert seconds < 1.5


@posix
@pytest.mark.parametrize("method", ["hessian", "hessian_blocks"])
@pytest.mark.parametrize(
    "layers", ["8, 40, 40, 2", pytest.param("16, 64, 64, 64, 4", marks=pytest.mark.slow)]
)
def test_a_long_hessian(layers, method):
    program = f"net, w, X, T = data(300_000, {layers})\ncall(lambda: net.{method}(w, X, T))"
    answer, seconds = signalled(program)
    assert answer == {"raised": "KeyboardInterrupt"}
    assert seconds < 1.5


@posix
@pytest.mark.parametrize(
    "program",
    [
        ENDLESS.format("epochs=10**9"),
        ENDLESS.format("epochs=10**9, progress=True, callback=lambda *_: None"),
        LONG.format("net.gradient(w, X, T)"),
        LONG.format("mlpcore.train(net, w, X, T)"),
    ],
)
def test_what_another_handler_raises_is_raised(program):
    answer, seconds = signalled(program, signal.SIGUSR1)
    assert answer == {"raised": "Alarm"}
    assert seconds < 1.5


@posix
def test_a_signal_that_raises_nothing_ends_nothing():
    program = ENDLESS.format("epochs=10**9, callback=lambda *_: handled")
    answer, seconds = signalled(program, signal.SIGUSR2)
    assert (answer["stopped"], answer["handled"]) == ("callback", 1)
    assert seconds < 1.5


#: For results of minimize.
MINIMIZE = """
def call(f):
    print("calling", flush=True)
    try:
        r = f()
    except BaseException as e:
        print(json.dumps({"raised": type(e).__name__}), flush=True)
        return
    members = [r] if isinstance(r, mlpcore.MinimizeResult) else list(r)
    print(json.dumps({
        "stopped": [m.stopped for m in members],
        "n_iterations": [m.n_iterations for m in members],
        "finite": bool(np.isfinite(r.w).all()), "repr": repr(r),
        "lower": [bool(m.objective < m.history["objective"][0]) for m in members if m.n_iterations],
        "entries": [len(h) for m in members for h in m.history.values()],
    }), flush=True)
"""
MINIMIZE += f"\nOFF = {OFF}\n"


@posix
@pytest.mark.parametrize("method", ["lm", "scg", "cg", "newton-cg", "bfgs", "lbfgs", "gd"])
def test_many_iterations(method):
    program = "net, w, X, T = data(500, 8, 20, 10)\nT = np.sin(9 * X @ np.ones((8, 10)))\n"
    program += f"call(lambda: mlpcore.minimize(net, w, X, T, method='{method}', "
    answer, seconds = signalled(MINIMIZE + program + "iterations=10**9, **OFF))")
    assert answer["stopped"] == ["interrupted"], answer
    assert answer["finite"]
    assert answer["lower"] == [True]
    assert set(answer["entries"]) == {answer["n_iterations"][0] + 1}
    assert "interrupted" in answer["repr"]
    assert seconds < 1.5


@posix
@pytest.mark.parametrize(("method", "rows"), [("lbfgs", 10**6), ("newton-cg", 10**5)])
def test_one_long_pass_of_minimize(method, rows):
    program = f"net, w, X, T = data({rows}, 2, 600, 600, 1)\n"
    call = f"call(lambda: mlpcore.minimize(net, w, X, T, method='{method}'))"
    answer, seconds = signalled(MINIMIZE + program + call)
    assert answer.get("stopped") == ["interrupted"], answer
    assert answer["finite"]
    assert seconds < 1.5


@posix
@pytest.mark.parametrize("method", ["lm", "bfgs"])
def test_a_large_matrix(method):
    program = "net, w, X, T = data(100, 2, 2000, 1)\n"
    call = f"call(lambda: mlpcore.minimize(net, w, X, T, method='{method}', **OFF))"
    answer, seconds = signalled(MINIMIZE + program + call)
    assert answer.get("stopped") == ["interrupted"], answer
    assert seconds < 1.5


#: A regularizer written in Python: the networks of an ensemble come one after the other.
OWN = """
class Own(mlpcore.regularizers.Regularizer):
    def value(self, net, w):
        return 1e-3 * float(w @ w)

    def gradient(self, net, w):
        return 2e-3 * w
"""


@posix
@pytest.mark.parametrize("options", ["", ", regularizer=Own()"])
def test_an_ensemble_of_minimizations(options):
    program = "net, w, X, T = data(5000, 3, 10, 1)\nw = np.stack([w, 2 * w, 3 * w, 4 * w])\n"
    call = "call(lambda: mlpcore.minimize(net, w, np.sin(9 * X), T, iterations=10**9"
    answer, seconds = signalled(MINIMIZE + OWN + program + call + f"{options}, **OFF))")
    assert set(answer["stopped"]) == {"interrupted"}, answer
    assert answer["finite"]
    assert seconds < 1.5


@posix
def test_while_waiting_for_another_member():
    """The first has nothing to do; the thread that called waits for the second one's."""
    program = "net, w, X, T = data(20_000, 8, 50, 1)\nmlpcore.set_num_threads(2)\n"
    program += (
        "w = np.stack([0 * w, w])\nX = np.stack([X, X])\nT = np.stack([0 * T, np.sin(9 * T)])\n"
    )
    options = "gradient_tolerance=1e-30, step_tolerance=0, error_tolerance=0, iterations=10**9"
    call = f"call(lambda: mlpcore.minimize(net, w, X, T, method='lbfgs', {options}))"
    answer, seconds = signalled(
        "import warnings; warnings.simplefilter('ignore')\n" + MINIMIZE + program + call
    )
    assert answer["stopped"] == ["gradient", "interrupted"], answer
    assert seconds < 1.5


@posix
@pytest.mark.parametrize("threads", [1, 2])
def test_a_handler_that_computes(threads):
    """What a signal handler asks of us leaves the computation that it interrupted as it is."""
    program = f"""
import json, signal
import numpy as np
import mlpcore

mlpcore.set_num_threads({threads})
rng = np.random.default_rng(0)
net = mlpcore.Network((8, 50, 1))
w, other = net.init(0), net.init(1)
X = rng.normal(size=(200_000, 8))
T = np.sin(X.sum(axis=1, keepdims=True))
V = rng.normal(size=(7, w.size))
calls = [
    lambda: net.gradient(w, X, T),
    lambda: net.hessian_vector_product(w, V, X[:50_000], T[:50_000]),
    lambda: net.hessian(w, X[:20_000], T[:20_000]),
]
handled = []

def handler(*_):
    handled.append(True)
    net.gradient(other, X[:2000], T[:2000])
    net.hessian_vector_product(other, V[:5], X[:900], T[:900])
    net.hessian(other, X[:300], T[:300])

expected = [call() for call in calls]
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
right = [all((call() == e).all() for _ in range(5)) for call, e in zip(calls, expected)]
signal.setitimer(signal.ITIMER_REAL, 0)
print(json.dumps([right, len(handled)]))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    right, handled = json.loads(answer.stdout)
    assert right == [True] * 3
    assert handled > 3


@posix
def test_what_another_handler_raises_is_raised_by_minimize():
    program = "net, w, X, T = data(200, 3, 10, 1)\n"
    call = "call(lambda: mlpcore.minimize(net, w, np.sin(9 * X), T, iterations=10**9, **OFF))"
    answer, seconds = signalled(MINIMIZE + program + call, signal.SIGUSR1)
    assert answer == {"raised": "Alarm"}
    assert seconds < 1.5


def fit(callback, **settings):
    net = mlpcore.Network((2, 3, 1))
    X = np.random.default_rng(0).normal(size=(20, 2))
    w = net.init(seed=0)
    return w, mlpcore.train(net, w, X, X[:, :1], callback=callback, **settings)


@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
def test_keyboard_interrupt_in_the_callback(optimizer, at):
    seen = []

    def callback(epoch, e, v, w):
        seen.append(w)
        if epoch == at:
            raise KeyboardInterrupt

    _, result = fit(callback, optimizer=optimizer)
    assert (result.stopped, result.n_epochs, result.best_epoch) == ("interrupted", at, at)
    assert result.w.tobytes() == seen[at].tobytes()
    assert result.message == f"interrupted after epoch {at}; these are the weights of epoch {at}"


@posix
def test_ctrl_c_during_the_callback():
    """The signal comes while Python runs, not the loop."""
    result = fit(lambda epoch, *_: epoch == 5 and signal.raise_signal(signal.SIGINT))[1]
    assert (result.stopped, result.n_epochs) == ("interrupted", 5)
