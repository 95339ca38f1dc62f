"""Threads: the same bits for any number of them, callers side by side, and forks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import QUANTITIES, SQUARES, Case, assert_same_bits

import mlpcore
from mlpcore import _core

LARGE = [
    Case((8, 50, 1), n=5000, weighted=True),
    Case((8, 50, 1), n=8192, dtype="float32"),
    Case((16, 64, 64, 4), ("tanh", "gelu"), n=3000),
    Case((64, 100, 10), "relu", "softmax", n=1797, flat=True),
    Case((3, 5), output="softmax", n=40001),
    Case((300, 100, 10), "relu", "softmax", n=150, flat=True),
]


@pytest.mark.parametrize("quantity", [name for name in QUANTITIES if name not in SQUARES])
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_the_same_bits_for_any_number_of_threads(case, quantity):
    net, problem = case.network(), case.problem()
    if quantity in ("weight_jacobian", "per_sample_gradient", "output_hessian"):  # large results
        problem = problem.rows(slice(3 * 10**6 // (case.n_weights * case.layers[-1])))
    results = []
    for threads in (1, 2, 3, 1):
        mlpcore.set_num_threads(threads)
        results.append(QUANTITIES[quantity](net, problem))
    for result in results[1:]:
        assert_same_bits(result, results[0])


def test_number_of_threads():
    for n in (1, 3, 2):
        mlpcore.set_num_threads(n)
        assert mlpcore.get_num_threads() == n
    mlpcore.set_num_threads(None)
    assert mlpcore.get_num_threads() >= 1


@pytest.mark.parametrize(("n", "exception"), [(0, ValueError), (-2, ValueError), (1.5, TypeError)])
def test_absurd_numbers_of_threads(n, exception):
    before = mlpcore.get_num_threads()
    with pytest.raises(exception, match=str(n)):
        mlpcore.set_num_threads(n)
    assert mlpcore.get_num_threads() == before


# Who else may say how many ------------------------------------------------------------------------

openmp = pytest.mark.skipif(not _core.openmp, reason="built without OpenMP")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
two_cpus = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="takes two CPUs",
)


def run(program, **environment):
    """What a program prints in a process of its own, with these variables of the environment."""
    others = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**others, **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


STARTED = """
import os
import numpy as np
import mlpcore

mlpcore.set_num_threads({chosen})
net, X = mlpcore.Network((8, 50, 1)), np.ones((100_000, 8))
tasks = "/proc/self/task"
count = lambda: len(os.listdir(tasks)) if os.path.exists(tasks) else 0
before = count()
net.gradient(net.init(0), X, X[:, :1])
print(mlpcore.get_num_threads(), count() - before)
"""


@openmp
@pytest.mark.parametrize("n", [1, 2, 5, 16])
def test_the_environment_says_how_many(n):
    """And so many compute, if there are as many CPUs; else one on each."""
    threads, started = map(int, run(STARTED.format(chosen=None), OMP_NUM_THREADS=str(n)).split())
    assert threads == n
    if sys.platform.startswith("linux"):
        assert started == min(n, len(os.sched_getaffinity(0))) - 1


@linux
@two_cpus
@pytest.mark.parametrize("n", [2, 16])
def test_a_number_that_was_chosen_is_started(n):
    """Whatever the CPUs."""
    threads, started = map(int, run(STARTED.format(chosen=n), OMP_NUM_THREADS="3").split())
    assert (threads, started) == (n, n - 1)


@openmp
def test_threadpoolctl_says_how_many():
    pytest.importorskip("threadpoolctl")
    program = """
import mlpcore
from threadpoolctl import threadpool_limits

print(mlpcore.get_num_threads())
for n in (1, 2):
    with threadpool_limits(limits=n):
        print(mlpcore.get_num_threads())
print(mlpcore.get_num_threads())
with threadpool_limits(limits=1):
    mlpcore.set_num_threads(4)  # the last word
    print(mlpcore.get_num_threads())
"""
    assert run(program, OMP_NUM_THREADS="3").split() == ["3", "1", "2", "3", "4"]


@openmp
def test_the_limit_of_threadpoolctl_holds_in_the_thread_that_set_it():
    pytest.importorskip("threadpoolctl")
    program = """
import threading
import mlpcore
from threadpoolctl import threadpool_limits

def show():
    print(mlpcore.get_num_threads())

with threadpool_limits(limits=1):
    show()
    other = threading.Thread(target=show)
    other.start()
    other.join()
"""
    assert run(program, OMP_NUM_THREADS="3").split() == ["1", "3"]


@openmp
def test_joblib_says_how_many():
    """A limit within its workers; without one they share the CPUs."""
    pytest.importorskip("joblib")
    program = """
import joblib
import mlpcore

def threads_of_workers():
    calls = [joblib.delayed(mlpcore.get_num_threads)()] * 2
    return set(joblib.Parallel(2)(calls))

for n in (1, 3):
    with joblib.parallel_config("loky", inner_max_num_threads=n):
        assert threads_of_workers() == {n}, n
with joblib.parallel_config("loky"):
    assert threads_of_workers() == {max(joblib.cpu_count() // 2, 1)}
print("done")
"""
    assert run(program) == "done"


def test_the_configuration_says_who_says_how_many(capsys):
    def shown():
        mlpcore.show_config()
        lines = capsys.readouterr().out.splitlines()
        return dict(line.split(maxsplit=1) for line in lines)["threads"]

    n = mlpcore.get_num_threads()
    source = "OpenMP; OMP_NUM_THREADS, threadpoolctl, joblib"
    assert shown() == f"{n} ({source if _core.openmp else 'hardware; built without OpenMP'})"
    mlpcore.set_num_threads(3)
    built = "with" if _core.openmp else "without"
    assert shown() == f"3 (set_num_threads; built {built} OpenMP)"


def test_many_callers_at_once():
    """Python threads that call together, with different networks and sizes, disturb no one."""
    cases = [
        *LARGE[:2],
        LARGE[3],
        LARGE[5],
        Case((3, 7, 2), "silu"),
        Case((5, 9, 8, 3), output="softmax"),
    ]
    names = ("forward", "error_and_gradient", "jacobian", "hessian_diagonal-exact")
    jobs = [(QUANTITIES[name], c.network(), c.problem()) for name in names for c in cases] * 3
    expected = [compute(net, problem) for compute, net, problem in jobs]
    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(lambda job: job[0](*job[1:]), jobs))
    for one, other in zip(actual, expected, strict=True):
        assert_same_bits(one, other)


def test_callers_that_change_the_number_of_threads():
    net, problem = LARGE[0].network(), LARGE[0].problem()
    expected = QUANTITIES["gradient"](net, problem)

    def call(n):
        mlpcore.set_num_threads(n)
        return QUANTITIES["gradient"](net, problem)

    with ThreadPoolExecutor(3) as pool:
        for actual in pool.map(call, [1, 2, 3] * 20):
            assert_same_bits(actual, expected)


def test_other_threads_run_during_a_call():
    """The GIL is released: this thread goes on while another one is inside one long call."""
    case = Case((16, 64, 64, 4), n=20000)
    net, problem = case.network(), case.problem()
    mlpcore.set_num_threads(1)
    times, started = [], threading.Event()

    def call():
        started.set()
        begin = time.perf_counter()
        QUANTITIES["hessian_diagonal-exact"](net, problem)
        times.append(time.perf_counter() - begin)

    thread, ticks = threading.Thread(target=call), 0
    thread.start()
    started.wait()
    while thread.is_alive():
        time.sleep(1e-3)
        ticks += 1
    if times[0] < 0.05:
        pytest.skip("too fast to see")
    assert ticks > 5


FORK = """
import os, sys, threading, warnings
import numpy as np
import mlpcore

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of every such fork
net = mlpcore.Network((8, 50, 1))
rng = np.random.default_rng(0)
w, X, T = net.init(seed=0), rng.normal(size=(8192, 8)), rng.normal(size=(8192, 1))
mlpcore.set_num_threads(2)
expected = net.gradient(w, X, T)
for generation in range(3):
    pid = os.fork()
    if pid == 0:
        good = all((net.gradient(w, X, T) == expected).all() for _ in range(3))
        mlpcore.set_num_threads(3)
        good = good and (net.gradient(w, X, T) == expected).all()
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0 if (net.gradient(w, X, T) == expected).all() else 1)
        good = good and os.waitpid(grandchild, 0)[1] == 0
        os._exit(0 if good else 1)
    assert (net.gradient(w, X, T) == expected).all()
    assert os.waitpid(pid, 0)[1] == 0
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_calls_after_a_fork():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_the_floating_point_mode_is_left_alone():
    """Denormal numbers are still numbers after a call; -ffast-math would flush them to zero."""
    for case in LARGE[:2]:
        QUANTITIES["gradient"](case.network(), case.problem())
    assert (np.array([1e-310]) / 2 > 0).all()
    assert (np.array([1e-40], np.float32) / np.float32(2) > 0).all()


@linux
def test_no_more_threads_than_pieces_of_work():
    program = """
import os
import numpy as np
import mlpcore

mlpcore.set_num_threads(64)
X = np.zeros((5000, 8))  # three pieces to be checked for what is not finite, 5 to 22 to compute
net = mlpcore.Network((8, 1))
before = len(os.listdir("/proc/self/task"))
net.forward(net.init(0), X)
print(len(os.listdir("/proc/self/task")) - before)
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(answer.stdout) < 32


@linux
@two_cpus
def test_a_small_call_starts_no_thread():
    """Of each quantity so few samples that another thread would not pay, yet several pieces."""
    program = """
import os
import numpy as np
import mlpcore

mlpcore.set_num_threads(4)
net, X = mlpcore.Network((1, 10, 1)), np.ones((200, 1))
w, few = net.init(0), X[:100]
count = lambda: len(os.listdir("/proc/self/task"))
before = count()
net.forward(w, X)
net.error(w, X, X)
net.gradient(w, X, X)
net.jacobian(w, X)
net.weight_jacobian(w, X)
net.per_sample_gradient(w, X, X)
net.jvp(w, X, X)
net.weight_vjp(w, X, X)
net.hessian_diagonal(w, X, X)
net.hessian_vector_product(w, w, few, few)
net.hessian(w, few, few)
net.gradient(np.stack([w] * 4), few[:20], few[:20])
mlpcore.train(net, w, X, X, epochs=3)
mlpcore.minimize(net, w, few, few, method="lm", iterations=3)
small = count() - before
net.gradient(w, np.ones((100_000, 1)), np.ones(100_000))
print(small, count() - before)
"""
    assert run(program).split() == ["0", "3"]


CROWD = """
import os, threading, time
import numpy as np
import mlpcore

mlpcore.set_num_threads({threads})
net = mlpcore.Network((8, 50, 1))
w, X, T = net.init(0), np.ones((200_000, 8)), np.ones((200_000, 1))
before = set(os.listdir("/proc/self/task"))
net.gradient(w, X, T)
helpers = set(os.listdir("/proc/self/task")) - before
stop = False

def work():
    while not stop:
        net.gradient(w, X, T)

def of_helpers():
    stats = [open(f"/proc/self/task/{{i}}/stat").read().rsplit(")", 1)[1].split() for i in helpers]
    return sum(int(s[11]) + int(s[12]) for s in stats) / os.sysconf("SC_CLK_TCK")

callers = [threading.Thread(target=work) for _ in range(4)]
for caller in callers:
    caller.start()
time.sleep(0.1)
helping, all = of_helpers(), time.process_time()
time.sleep(0.7)
print(len(helpers), (of_helpers() - helping) / (time.process_time() - all))
stop = True
for caller in callers:
    caller.join()
"""


@linux
@two_cpus
@pytest.mark.parametrize(("threads", "help_wanted"), [(2, False), (5, True)])
def test_four_callers_at_once_are_four_threads(threads, help_wanted):
    """With two allowed nobody helps them, with five one does: by the helpers' share of the time."""
    helpers, share = run(CROWD.format(threads=threads)).split()
    assert int(helpers) == threads - 1
    assert float(share) > 0.1 if help_wanted else float(share) < 0.1


@linux
@two_cpus
def test_a_process_that_is_bound_to_a_cpu_later():
    """The helpers follow the thread that calls; left with one CPU it works alone."""
    program = """
import os, time
import numpy as np
import mlpcore

mlpcore.set_num_threads(2)
net = mlpcore.Network((8, 50, 1))
w, X = net.init(0), np.ones((20_000, 8))
T = X[:, :1]
net.gradient(w, X, T)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
time.sleep(0.01)  # the helper, awake for a moment, goes to sleep
wall, cpu = time.perf_counter(), time.process_time()
while time.perf_counter() < wall + 0.5:
    net.gradient(w, X, T)
print((time.process_time() - cpu) / (time.perf_counter() - wall))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert float(answer.stdout) < 1.1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_that_was_forked_during_a_call_exits_at_once():
    program = """
import os, threading, time
import numpy as np
import mlpcore

net = mlpcore.Network((8, 50, 1))
X = np.ones((2_000_000, 8))
thread = threading.Thread(target=lambda: net.gradient(net.init(0), X, X[:, :1]))
thread.start()
time.sleep(0.05)
child = os.fork()
if child == 0:
    raise SystemExit
start = time.monotonic()
os.waitpid(child, 0)
print(time.monotonic() - start)
"""
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    assert float(answer.stdout) < 3


@linux
@two_cpus
def test_a_child_that_was_forked_beside_other_callers_has_its_helpers():
    program = """
import os, threading, time
import numpy as np
import mlpcore

mlpcore.set_num_threads(1)
net = mlpcore.Network((8, 50, 1))
w, X = net.init(0), np.ones((20_000, 8))
stop = False

def work():
    while not stop:
        net.gradient(w, X, X[:, :1])

threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
time.sleep(0.1)
child = os.fork()
if child == 0:
    mlpcore.set_num_threads(2)
    for _ in range(20):
        net.gradient(w, X, X[:, :1])
    os._exit(len(os.listdir("/proc/self/task")))
stop = True
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    assert int(answer.stdout) == 2
