"""Arrays of every layout and type give the right answers, and none is ever changed."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from cases import OUTPUTS, QUANTITIES, Case, Problem, assert_close, assert_same_bits

import mlpcore
from mlpcore import _core

CASE = Case((4, 7, 3), n=70, weighted=True)
FLOAT32 = Case((4, 7, 3), n=70, weighted=True, dtype="float32")


def misaligned(a):
    buffer = np.zeros(a.nbytes + 1, np.uint8)
    view = buffer[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    assert not view.flags.aligned
    return view


def read_only(a):
    a = a.copy()
    a.setflags(write=False)
    return a


def strided(a):
    big = np.full([3 * n for n in a.shape], np.nan, a.dtype)
    view = big[tuple(slice(1, None, 3) for _ in a.shape)]
    view[...] = a
    return view


def column_of_a_table(a):
    """Columns of a wider C-contiguous table: rows aren't adjacent, elements of a row are."""
    table = np.full((*a.shape[:-1], a.shape[-1] + 3), np.nan, a.dtype)
    table[..., 1 : 1 + a.shape[-1]] = a
    return table[..., 1 : 1 + a.shape[-1]]


LAYOUTS = {
    "contiguous": lambda a: a,
    "fortran": lambda a: np.asfortranarray(a),
    "reversed": lambda a: a[::-1].copy()[::-1],
    "mirrored": lambda a: a[..., ::-1].copy()[..., ::-1],
    "strided": strided,
    "part of a table": column_of_a_table,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "read-only": read_only,
    "misaligned": misaligned,
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(map(tuple, a)) if a.ndim == 2 else tuple(a),
    "long double": lambda a: a.astype(np.longdouble),
    "subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
}


def copied(value):
    return value.copy() if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", [CASE, FLOAT32], ids=str)
def test_layouts(case, layout, quantity):
    net, problem, compute = case.network(), case.problem(), QUANTITIES[quantity]
    given = Problem(*map(LAYOUTS[layout], problem))
    before = [copied(value) for value in given]
    assert_same_bits(compute(net, given), compute(net, problem))
    for value, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(value, copy)


@pytest.mark.parametrize("argument", Problem._fields)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_argument_of_another_layout(layout, argument):
    """Each argument is looked at by itself."""
    net, problem = CASE.network(), CASE.problem()
    given = problem._replace(**{argument: LAYOUTS[layout](getattr(problem, argument))})
    for compute in QUANTITIES.values():
        assert_same_bits(compute(net, given), compute(net, problem))


@pytest.mark.parametrize("other", ["float32", "float16", "int64", "int8", "uint16", "bool"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_other_types_of_number(dtype, other):
    """Any type of real number, converted to that of the network."""
    case = Case((4, 7, 3), n=33, weighted=True, dtype=dtype)
    rng = np.random.default_rng(0)
    shapes = {"w": 59, "X": (33, 4), "T": (33, 3), "s": 33}
    given = Problem(*(rng.integers(0, 2, size=shape).astype(other) for shape in shapes.values()))
    for compute in QUANTITIES.values():
        actual = compute(case.network(), given)
        assert_same_bits(actual, compute(case.network(), given.astype(dtype)))
        assert_close(actual, compute(case.reference(), given.astype("float64")), 1e-4)


@pytest.mark.parametrize("output", OUTPUTS)
def test_shapes_of_targets(output):
    """(N,) and (N, 1) are the same; so are labels of any type and their one-hot rows."""
    if output == "softmax":
        case = Case((4, 7, 3), output=output, n=33)
        labels = np.arange(33) % 3
        wanted = np.eye(3)[labels]
        types = ("int64", "uint8", "float64", "float32", "int8")
        given = [labels.astype(t) for t in types] + [labels.tolist(), wanted.astype(int)]
    else:
        case = Case((4, 7, 1), output=output, n=33)
        wanted = case.problem().T
        given = [wanted[:, 0], wanted[:, 0].tolist(), wanted.tolist(), strided(wanted[:, 0])]
    problem = case.problem()._replace(T=wanted)
    for compute in QUANTITIES.values():
        expected = compute(case.network(), problem)
        for T in given:
            assert_same_bits(compute(case.network(), problem._replace(T=T)), expected)


def test_boolean_targets():
    case = Case((4, 1), output="sigmoid", n=9)
    net, (w, X, T, _) = case.network(), case.problem()
    assert net.error(w, X, T > 0.5) == net.error(w, X, (T > 0.5).astype(float))


def test_broadcast_arrays():
    net, (w, X, T, _) = CASE.network(), CASE.problem()
    one, many = np.broadcast_to(X[0], X.shape), np.repeat(X[:1], len(X), axis=0)
    assert_same_bits(
        net.gradient(w, one, T, np.broadcast_to(2.0, 70)), 2 * net.gradient(w, many, T)
    )


def test_arguments_that_are_one_array():
    """Inputs may overlap: an autoencoder has T = X."""
    case = Case((4, 3, 4), n=33)
    net, (w, X, _, _) = case.network(), case.problem()
    assert_same_bits(net.gradient(w, X, X), net.gradient(w, X, X.copy()))


def test_objects_with_an_array_inside():
    class Table:
        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            return np.array(self.values, dtype=dtype)

    net, problem = CASE.network(), CASE.problem()
    for compute in QUANTITIES.values():
        given = Problem(*(Table(value) for value in problem))
        assert_same_bits(compute(net, given), compute(net, problem))


def test_pandas():
    pandas = pytest.importorskip("pandas")
    net, (w, X, T, s) = CASE.network(), CASE.problem()
    frame = pandas.DataFrame(X, columns=list("abcd"), index=np.arange(70)[::-1])
    targets, weights = pandas.DataFrame(T), pandas.Series(s, index=frame.index)
    before = frame.copy()
    for compute in QUANTITIES.values():
        given = Problem(pandas.Series(w), frame, targets, weights)
        assert_same_bits(compute(net, given), compute(net, Problem(w, X, T, s)))
    pandas.testing.assert_frame_equal(frame, before)
    mixed = frame.assign(a=np.arange(70), b=np.arange(70) % 2 == 0)
    assert_same_bits(
        net.forward(w, mixed[list("acd")].assign(e=1.5)),
        net.forward(w, np.column_stack([np.arange(70), X[:, 2:], np.full(70, 1.5)])),
    )


def test_pandas_with_holes():
    pandas = pytest.importorskip("pandas")
    net, (w, X, _, _) = CASE.network(), CASE.problem()
    frame = pandas.DataFrame(X)
    frame.iloc[3, 1] = None
    with pytest.raises(ValueError, match=r"X is not finite: X\[3, 1\] is nan"):
        net.forward(w, frame)
    with pytest.raises(TypeError, match="X has dtype"):
        net.forward(w, frame.assign(**{"0": "text"}).iloc[:, 1:])


def test_unpack_of_a_strided_vector_is_a_view_too():
    net = mlpcore.Network((2, 3, 1))
    big = np.zeros(26)
    parameters = [p for pair in net.unpack(big[::2]) for p in pair]
    for p in parameters:
        p += 1
    assert (big[::2].tolist(), big[1::2].tolist()) == ([1] * 13, [0] * 13)


# How much memory there is ------------------------------------------------------------------------

GIB = 2**30
MACHINE = {"proc/meminfo": f"MemTotal: {99 * 2**20} kB\nMemAvailable: {50 * 2**20} kB\n"}
#: The files of a machine below a folder, and the GiB that are left.
MACHINES = {
    "no groups": (MACHINE, 50),
    "unlimited": (
        {
            "proc/self/cgroup": "0::/user/me\n",
            "sys/fs/cgroup/user/me/memory.max": "max\n",
            "sys/fs/cgroup/user/me/memory.current": f"{9 * GIB}\n",
        },
        50,
    ),
    "version 2": (
        {
            "proc/self/cgroup": "0::/user/me\n",
            "sys/fs/cgroup/user/me/memory.max": f"{4 * GIB}\n",
            "sys/fs/cgroup/user/me/memory.current": f"{3 * GIB}\n",
        },
        1,
    ),
    "a group further out": (
        {
            "proc/self/cgroup": "0::/user/me\n",
            "sys/fs/cgroup/user/me/memory.max": f"{40 * GIB}\n",
            "sys/fs/cgroup/user/memory.max": f"{7 * GIB}\n",
            "sys/fs/cgroup/user/memory.current": f"{2 * GIB}\n",
        },
        5,
    ),
    "files that were read": (
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": f"{4 * GIB}\n",
            "sys/fs/cgroup/memory.current": f"{3 * GIB}\n",
            "sys/fs/cgroup/memory.stat": f"anon {GIB}\nfile 7\ninactive_file {2 * GIB}\n",
        },
        3,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "7:cpu,cpuacct:/a\n4:memory:/a\n1:name=systemd:/a\n",
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": f"{8 * GIB}\n",
            "sys/fs/cgroup/memory/a/memory.usage_in_bytes": f"{6 * GIB}\n",
            "sys/fs/cgroup/memory/a/memory.stat": f"total_inactive_file {GIB}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
        3,
    ),
    "a container that sees its own folders and the path outside": (
        {
            "proc/self/cgroup": "4:cpu,memory:/docker/0123\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
        },
        1,
    ),
    "more than allowed": (
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": f"{GIB}\n",
            "sys/fs/cgroup/memory.current": f"{2 * GIB}\n",
        },
        0,
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_the_memory_that_control_groups_leave(name, tmp_path):
    files, left = MACHINES[name]
    for path, text in (MACHINE | files).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert _core.available_memory(str(tmp_path)) == left * GIB


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@linux
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_memmap_is_read_where_it_is(dtype, tmp_path):
    """One of more than the memory that is left; as another type it would be copied."""
    program = f"""
import resource
import numpy as np
import mlpcore

X = np.memmap({str(tmp_path / "X")!r}, "{dtype}", "w+", shape=(300_000, 100))
X[:10] = np.arange(1000).reshape(10, 100)
mlpcore.set_num_threads(1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, resource.RLIM_INFINITY))
for dtype in ("float64", "float32"):
    net = mlpcore.Network((100, 1), dtype=dtype)
    w = net.init(0)
    try:
        print((net.forward(w, X)[:10] == net.forward(w, np.array(X[:10]))).all())
    except MemoryError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    double, single = done.stdout.splitlines()
    own, other = (double, single) if dtype == "float64" else (single, double)
    assert own == "True"
    assert re.fullmatch(r"X as .* would take .* GiB, more than the .* of memory available", other)


@linux
def test_the_memory_that_the_address_space_leaves():
    """What is larger is refused in words, a result or the matrix of a method."""
    program = """
import resource
import numpy as np
import mlpcore

used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, resource.RLIM_INFINITY))
net = mlpcore.Network((8, 900, 1))
w, X, T = net.init(0), np.ones((1, 8)), np.ones((1, 1))
for call in (
    lambda: net.hessian(w, X, T),
    lambda: mlpcore.minimize(net, w, X, T, method="bfgs"),
):
    try:
        call()
    except MemoryError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    hessian, bfgs = done.stdout.splitlines()
    assert re.fullmatch(
        r"hessian of shape \(9001, 9001\) would take 0.604 GiB, more than the 0.\d+ GiB of memory "
        r"available",
        hessian,
    )
    assert bfgs.startswith("the working memory of bfgs would take 0.60")
