"""What is taken beyond the results, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    from bench import memory
finally:
    del sys.path[0]

pytestmark = pytest.mark.skipif(not memory.STATUS.exists(), reason="this system has no /proc")


@pytest.mark.slow
@pytest.mark.parametrize("kind", memory.KINDS)
def test_a_hessian_of_750_megabytes_takes_200_more_at_most(kind):
    beyond, result = memory.beyond_result((16, 64, 64, 64, 4), 1024, kind)
    assert result == 8 * 9668**2
    assert beyond < 200e6


@pytest.mark.slow
@pytest.mark.parametrize("kind", memory.KINDS)
def test_memory_does_not_grow_with_the_samples(kind):
    """N W numbers would be 800 MB more."""
    few, many = (memory.beyond_result((8, 50, 1), n, kind)[0] for n in (2000, 202_000))
    assert many < few + 20e6


REFUSED = """
import resource
import numpy as np
import mlpcore

mlpcore.set_num_threads({threads})
net = mlpcore.Network({layers})
w, X = np.stack([net.init(0)] * {networks}), np.ones((1, net.n_inputs))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + ({mebibytes} << 20), resource.RLIM_INFINITY))
try:
    net.{call}
except MemoryError as error:
    print(error)
"""
#: The quantity, the layers, networks, threads, MiB that are left, and GiB that it takes at least.
REFUSALS = [
    ("jacobian(w[0], X)", (200, 8000, 200), 1, 1, 80, 0.1),
    ("jacobian(w[0], X)", (200, 8000, 200), 1, 2, 80, 0.1),
    # 160 MiB would do for one network; each thread has one.
    ("hessian_diagonal(w, X, X)", (1, 1, 2300, 1), 2, 2, 280, 0.3),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_working_memory_is_refused_in_words(refusal):
    call, layers, networks, threads, mebibytes, least = refusal
    program = REFUSED.format(
        layers=layers, networks=networks, threads=threads, mebibytes=mebibytes, call=call
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    quantity = call.split("(")[0]
    words = re.fullmatch(
        rf"the working memory of {quantity} would take (\S+) GiB, more than the (\S+) GiB of "
        r"memory available\n",
        done.stdout,
    )
    assert words is not None, done.stdout
    assert float(words[1]) > least
    assert float(words[2]) < mebibytes / 1024
