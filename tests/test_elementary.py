"""The kernels' elementary functions against mpmath, in units in the last place.

Every instruction set of this machine is measured, each in a process of its own. The bounds in the
table are the largest errors found in any of them, rounded up to the next half: by the slow tests,
in float32 of every number, in float64 of 100 000, and there by more where it is worst
(docs/performance.md).
"""

from __future__ import annotations

import functools
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import mlpcore
from mlpcore import _core

mpmath = pytest.importorskip("mpmath")

INF, NAN = math.inf, math.nan

#: name: the domain, and the bounds of the error in ulp for float64 and for float32.
FUNCTIONS = {
    "exp_nonpositive": (-INF, 0, 1, 1),
    "expm1_nonpositive": (-INF, 0, 1, 1),
    "log1p_unit": (0, 1, 1.5, 1.5),
    "log_positive": (0, INF, 1, 1),
    "tanh": (-INF, INF, 2, 2),
    "sigmoid": (-INF, INF, 2, 2),
    "softplus": (-INF, INF, 2, 2),
    "normal_density": (-INF, INF, 1.5, 1.5),
    "normal_distribution": (-INF, INF, 2, 2),
}
BOUND = {
    (name, dtype): row[2 + i]
    for name, row in FUNCTIONS.items()
    for i, dtype in enumerate(("float64", "float32"))
}

MPMATH = {
    "exp_nonpositive": lambda mp, x: mp.exp(x),
    "expm1_nonpositive": lambda mp, x: mp.expm1(x),
    "log1p_unit": lambda mp, x: mp.log1p(x),
    "log_positive": lambda mp, x: mp.log(x),
    "tanh": lambda mp, x: mp.tanh(x),
    "sigmoid": lambda mp, x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda mp, x: mp.log1p(mp.exp(x)),
    "normal_density": lambda mp, x: mp.npdf(x),
    "normal_distribution": lambda mp, x: mp.erfc(-x / mp.sqrt(2)) / 2,
}

#: In float64, which is more than exact enough for float32.
NUMPY = {
    "exp_nonpositive": np.exp,
    "expm1_nonpositive": np.expm1,
    "log1p_unit": np.log1p,
    "log_positive": np.log,
    "tanh": np.tanh,
    "sigmoid": lambda x: np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "normal_density": lambda x: np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi),
    "normal_distribution": lambda x: 0.5 * np.vectorize(math.erfc)(-x * math.sqrt(0.5)),
}


def exp_argument(name, x):
    """What the function takes exp of: below log(tiny) that is flushed to 0."""
    x = np.clip(x, -1e9, 1e9, dtype=np.float64)
    if name == "normal_distribution":
        return np.where(x > 0, 0, -0.5 * x * x)
    if name == "normal_density":
        return -0.5 * x * x
    if name == "exp_nonpositive":
        return x
    return np.minimum(x, 0) if name in ("sigmoid", "softplus") else np.zeros_like(x)


def inside(name, x):
    """Those of the numbers x that are finite and in the domain, and whose result isn't flushed."""
    lowest, highest, *_ = FUNCTIONS[name]
    info = np.finfo(x.dtype)
    x = x[(x >= max(lowest, -info.max)) & (x <= min(highest, info.max))]
    x = x[exp_argument(name, x) >= math.log(info.tiny)]
    return x[x >= info.tiny] if name == "log_positive" else x


@functools.lru_cache
def points(name, dtype, n):
    """About n points: evenly, around 0, over all magnitudes, and the edges; none is flushed."""
    info, rng = np.finfo(dtype), np.random.default_rng(n)
    exp_low = math.log(info.tiny)  # -708.4 or -87.3
    smallest = info.tiny if name == "log_positive" else info.smallest_subnormal
    wide = math.sqrt(-2 * exp_low) if name.startswith("normal") else -exp_low
    size = [
        rng.uniform(0, wide, n),
        rng.uniform(0, 2, n),
        np.exp(rng.uniform(math.log(smallest), math.log(info.max), n)),
        np.arange(100) * math.log(2) / 2,  # between the reduced ranges of exp
        [0, smallest, info.tiny, info.eps, 1, wide, info.max],
    ]
    x = np.unique(np.concatenate([*size, *(-np.asarray(part) for part in size)]).astype(dtype))
    x = inside(name, x)
    return np.sort(x[rng.permutation(x.size)[:n]])


@functools.lru_cache
def exact(name, dtype, n):
    """The function there: mpmath numbers of 160 bits, or float64 for float32."""
    x = points(name, dtype, n)
    if dtype == "float32":
        return NUMPY[name](x.astype(np.float64))
    mp = mpmath.mp.clone()
    mp.prec = 160
    return [MPMATH[name](mp, mp.mpf(v)) for v in x.tolist()]


def errors(name, dtype, n, y):
    """|y - f(x)| in units of the spacing of the type at f(x)."""
    f = exact(name, dtype, n)
    spacing = np.spacing(np.abs(np.array(f, dtype=dtype))).tolist()
    return np.array([float(abs(a - b) / s) for a, b, s in zip(f, y.tolist(), spacing, strict=True)])


PROGRAM = """
import sys
import numpy as np
from mlpcore import _core

assert _core.isa() == sys.argv[1]
with np.load(sys.argv[2]) as inputs:
    outputs = {key: _core.elementary(key.split()[0], x) for key, x in inputs.items()}
np.savez(sys.argv[3], **outputs)
"""


def evaluate(isa, inputs, folder):
    """f(x) for the arrays of ``inputs``, by (function, dtype), in that instruction set."""
    given, came = folder / "x.npz", folder / "y.npz"
    np.savez(given, **{" ".join(key): x for key, x in inputs.items()})
    subprocess.run(
        [sys.executable, "-c", PROGRAM, isa, given, came],
        env={**os.environ, "MLPCORE_ISA": isa},
        check=True,
        timeout=100,
    )
    with np.load(came) as outputs:
        return {tuple(key.split()): y for key, y in outputs.items()}


@pytest.fixture(scope="module", params=mlpcore.available_isas())
def isa(request):
    return request.param


@pytest.fixture(scope="module")
def outputs(isa, tmp_path_factory):
    inputs = {key: points(*key, 2000) for key in BOUND}
    return evaluate(isa, inputs, tmp_path_factory.mktemp("elementary"))


def test_every_function_is_here():
    assert tuple(FUNCTIONS) == _core.elementary_functions


@pytest.mark.parametrize(("name", "dtype"), BOUND)
def test_error_in_ulp(outputs, name, dtype):
    x, y = points(name, dtype, 2000), outputs[name, dtype]
    assert y.dtype == dtype
    error = errors(name, dtype, 2000, y)
    i = error.argmax()
    assert error[i] <= BOUND[name, dtype], f"{error[i]:.2f} ulp at {x[i]!r}: {y[i]!r}"


@pytest.mark.slow
def test_error_in_ulp_at_many_points(isa, tmp_path):
    n = 100_000
    keys = [(name, "float64") for name in FUNCTIONS]
    outputs = evaluate(isa, {key: points(*key, n) for key in keys}, tmp_path)
    found = {key: errors(*key, n, y).max() for key, y in outputs.items()}
    print(*(f"{isa} {' '.join(key)}: {error:.3f}" for key, error in found.items()), sep="\n")
    assert {key: error for key, error in found.items() if not error <= BOUND[key]} == {}


#: Numbers at once: what is computed of them stays in the cache.
CHUNK = 1 << 15


def binade_error(name, sign, exponent):
    """The largest error in ulp over the float32 numbers x of the domain with that sign and exponent
    field, and where; (0, nan) if there are none.
    """
    special = pytest.importorskip("scipy.special")
    function = special.ndtr if name == "normal_distribution" else NUMPY[name]
    first, last = exponent << 23, (exponent + 1 << 23) - 1
    ends = inside(name, sign * np.array([first, last], np.uint32).view(np.float32))
    if ends.size == 0:
        return 0.0, NAN
    largest, where = np.float32(0), NAN
    for bits in range(first, last, CHUNK):
        x = np.arange(bits, bits + CHUNK, dtype=np.uint32).view(np.float32)
        x *= np.float32(sign)
        if ends.size == 1:
            x = inside(name, x)
        if x.size == 0:
            continue
        y = _core.elementary(name, x)
        if (y == y[0]).all() or (y == x).all():  # f(x) and x - f(x) are monotonic: worst at an end
            x, y = x[[0, -1]], y[[0, -1]]
        exact = function(x.astype(np.float64))
        # 2^e <= |exact| < 2^(e + 1), of 2^23 ulp.
        power = (exact.astype(np.float32).view(np.uint32) & 0x7F800000).view(np.float32)
        error = (2**23 * (y - exact)).astype(np.float32)
        error /= np.maximum(power, np.finfo(np.float32).tiny)
        i = np.abs(error, out=error).argmax()  # of a NaN, if there is one
        if not error[i] <= largest:
            largest, where = error[i], x[i]
    return float(largest), float(where)


SWEEP = """
import sys
from test_elementary import _core, sweep

assert _core.isa() == sys.argv[1]
print(*sweep(sys.argv[2]))
"""


def sweep(name):
    """The largest error in ulp over all float32 numbers of the domain, and where."""
    binades = [(name, sign, exponent) for sign in (1, -1) for exponent in range(255)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda binade: binade_error(*binade), binades))
    return max(found, key=lambda pair: (math.isnan(pair[0]), pair[0]))


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_in_ulp_of_every_float32(isa, name):
    """Up to a minute and a half on one CPU."""
    pytest.importorskip("scipy.special")
    done = subprocess.run(
        [sys.executable, "-c", SWEEP, isa, name],
        env={**os.environ, "MLPCORE_ISA": isa},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    error, x = map(float, done.stdout.split())
    print(f"{isa} {name} float32: {error:.3f} at {x!r}")
    assert error <= BOUND[name, "float32"]


#: Arguments and their exact results.
EDGES = {
    "exp_nonpositive": {0: 1, -INF: 0, -1e30: 0},
    "expm1_nonpositive": {0: 0, -INF: -1, -100: -1, -1e30: -1},
    "log1p_unit": {0: 0},
    "log_positive": {1: 0, INF: INF},
    "tanh": {0: 0, INF: 1, -INF: -1, 25: 1, -25: -1, 1e30: 1},
    "sigmoid": {0: 0.5, INF: 1, -INF: 0, 100: 1, 1e30: 1, -1e30: 0},
    "softplus": {INF: INF, -INF: 0, 100: 100, 1e30: 1e30, -1e30: 0},
    "normal_density": {INF: 0, -INF: 0, 100: 0, -1e30: 0},
    "normal_distribution": {0: 0.5, INF: 1, -INF: 0, 100: 1, -100: 0, 1e30: 1, -1e30: 0},
}


def test_edges(isa, tmp_path):
    inputs, expected = {}, {}
    for name, dtype in BOUND:
        pairs = [*EDGES[name].items(), (NAN, NAN)]
        if 0 in EDGES[name]:
            pairs.append((-0.0, -0.0 if name == "tanh" else EDGES[name][0]))
        below = np.nextafter(np.log(np.finfo(dtype).tiny).astype(dtype), -np.inf, dtype=dtype)
        if name in ("exp_nonpositive", "sigmoid", "softplus"):  # results below the normal numbers
            pairs.append((below, 0))
        if name.startswith("normal"):
            pairs.append((-1.01 * math.sqrt(-2 * below), 0))
        inputs[name, dtype], expected[name, dtype] = np.array(pairs, dtype).T.copy()
    for key, y in evaluate(isa, inputs, tmp_path).items():
        np.testing.assert_array_equal(y, expected[key], err_msg=str(key))
        if key[0] == "tanh":
            np.testing.assert_array_equal(np.signbit(y), np.signbit(expected[key]))


@pytest.mark.parametrize(("name", "dtype"), BOUND)
def test_ranges_and_symmetries(outputs, name, dtype):
    x, y = points(name, dtype, 2000), outputs[name, dtype]
    if name == "tanh":
        np.testing.assert_array_equal(_core.elementary(name, -x), -_core.elementary(name, x))
        assert (np.abs(y) <= 1).all()
    elif name in ("sigmoid", "exp_nonpositive", "normal_distribution"):
        assert (y >= 0).all()
        assert (y <= 1).all()
    elif name == "expm1_nonpositive":
        assert (y >= -1).all()
        assert (y <= 0).all()
    elif name != "log_positive":
        assert (y >= 0).all()
    if name == "normal_density":
        np.testing.assert_array_equal(_core.elementary(name, -x), _core.elementary(name, x))


@pytest.mark.parametrize(("name", "dtype"), BOUND)
def test_a_result_depends_on_its_argument_alone(name, dtype):
    """Not on the place in the array, its length, or its neighbours."""
    x = points(name, dtype, 2000)[::30]
    y = _core.elementary(name, x)
    for start, stop in [(0, 0), (3, 4), (5, 12), (1, 34), (0, x.size)]:
        part = _core.elementary(name, x[start:stop])
        assert part.tobytes() == y[start:stop].tobytes()
    assert _core.elementary(name, x[::-1]).tobytes() == y[::-1].tobytes()


def test_an_unknown_function():
    with pytest.raises(ValueError, match="name is 'gamma', expected one of exp_nonpositive"):
        _core.elementary("gamma", np.zeros(3))
