"""``out=``: the same bits in an array of the caller's, and refusals in words."""

from __future__ import annotations

import array
import re

import numpy as np
import pytest
from cases import Case, assert_same_bits

import mlpcore

#: The methods that take ``out``, with their arguments.
METHODS = {
    "forward": ("w", "X"),
    "gradient": ("w", "X", "T", "sample_weight"),
    "error_and_gradient": ("w", "X", "T", "sample_weight"),
    "jacobian": ("w", "X"),
    "weight_jacobian": ("w", "X"),
    "per_sample_gradient": ("w", "X", "T"),
    "hessian_diagonal": ("w", "X", "T", "sample_weight"),
    "hessian": ("w", "X", "T", "sample_weight"),
    "hessian_vector_product": ("w", "v", "X", "T", "sample_weight"),
    "output_hessian": ("w", "X"),
    "jvp": ("w", "X", "dX"),
    "vjp": ("w", "X", "dY"),
    "weight_jvp": ("w", "X", "v"),
    "weight_vjp": ("w", "X", "dY"),
}
CASES = [
    Case((4, 7, 3), n=70, weighted=True),
    Case((4, 7, 3), n=70, weighted=True, dtype="float32"),
    Case((1, 10, 1), n=1, flat=True),
    Case((3, 6, 5, 4), ("gelu", "relu"), "softmax", n=33, flat=True),
    Case((2, 5, 3), output="sigmoid", n=0),
    Case((8, 50, 1), n=1500),  # enough work for threads
]
CASE = CASES[0]
S = 3


def arguments(case, ensemble="alone"):
    """All arguments by name; for an ensemble shared ("shared") or one for each network ("own"),
    which has the numbers in another order than the others."""
    w, X, T, s = case.problem()
    shape = (case.n, case.layers[-1])
    dY = np.cos(np.arange(np.prod(shape)), dtype=w.dtype).reshape(shape)
    given = {"w": w, "v": np.cos(np.arange(w.size), dtype=w.dtype), "X": X, "T": T}
    given |= {"dX": X[::-1].copy(), "dY": dY}
    if s is not None:
        given["sample_weight"] = s
    if ensemble != "alone":
        own = ("w", "v", "dX", "dY") if ensemble == "shared" else given
        rolled = {name: [np.roll(given[name], s, axis=0) for s in range(S)] for name in own}
        given |= {name: np.stack(copies) for name, copies in rolled.items()}
    return given


def of_network(s, case, given):
    """The arguments of the network s alone."""
    alone = arguments(case)
    return {name: a[s] if np.ndim(a) > alone[name].ndim else a for name, a in given.items()}


def call(net, method, given, **options):
    names = [name for name in METHODS[method] if name in given]
    return getattr(net, method)(**{name: given[name] for name in names}, **options)


def array_of(result):
    """The part of a result that ``out`` takes."""
    return result[1] if isinstance(result, tuple) else result


def like(result):
    """An array for such a result, full of NaN."""
    return np.full_like(array_of(result), np.nan)


@pytest.mark.parametrize("ensemble", ["alone", "shared", "own"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_bits_in_that_array(case, method, ensemble):
    net, given = case.network(), arguments(case, ensemble)
    expected = call(net, method, given)
    out = like(expected)
    result = call(net, method, given, out=out)
    assert array_of(result) is out
    assert_same_bits(result, expected)
    for s in range(S if ensemble != "alone" else 0):
        assert_same_bits(out[s], array_of(call(net, method, of_network(s, case, given))))


@pytest.mark.parametrize("ensemble", ["alone", "shared", "own"])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("forward", {"logits": True}),
        ("hessian_diagonal", {"kind": "becker_lecun"}),
        ("hessian_diagonal", {"kind": "gauss_newton"}),
        ("hessian", {"kind": "gauss_newton"}),
        ("hessian", {"kind": "empirical_fisher"}),
        ("hessian_vector_product", {"kind": "gauss_newton"}),
    ],
)
def test_with_other_options(method, options, ensemble):
    net, given = CASE.network(), arguments(CASE, ensemble)
    expected = call(net, method, given, **options)
    out = like(expected)
    assert call(net, method, given, out=out, **options) is out
    assert_same_bits(out, expected)
    for s in range(S if ensemble != "alone" else 0):
        assert_same_bits(out[s], call(net, method, of_network(s, CASE, given), **options))


@pytest.mark.parametrize("ensemble", ["alone", "own"])
def test_a_block_of_vectors(ensemble):
    net, given = CASE.network(), arguments(CASE, ensemble)
    given["v"] = np.stack([given["v"], 2 * given["v"]], axis=-2)
    expected = call(net, "hessian_vector_product", given)
    out = like(expected)
    assert call(net, "hessian_vector_product", given, out=out) is out
    assert_same_bits(out, expected)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_around_it_is_written(method):
    net, given = CASE.network(), arguments(CASE)
    expected = array_of(call(net, method, given))
    memory = np.full(expected.size + 18, np.nan)
    out = memory[9:-9].reshape(expected.shape)
    call(net, method, given, out=out)
    assert_same_bits(memory[9:-9], expected.ravel())
    assert np.isnan(memory[:9]).all()
    assert np.isnan(memory[-9:]).all()


def test_it_serves_again_and_again():
    net, given = CASE.network(), arguments(CASE)
    out = like(call(net, "gradient", given))
    for scale in (1.0, 0.5):
        again = {**given, "w": scale * given["w"]}
        call(net, "gradient", again, out=out)
        assert_same_bits(out, call(net, "gradient", again))


def test_a_file_in_memory(tmp_path):
    net, given = CASE.network(), arguments(CASE)
    expected = call(net, "hessian", given)
    out = np.memmap(tmp_path / "H", "float64", "w+", shape=expected.shape)
    assert call(net, "hessian", given, out=out) is out
    out.flush()
    assert_same_bits(np.fromfile(tmp_path / "H").reshape(expected.shape), expected)


def misaligned(a):
    return np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)


def read_only(a):
    a.setflags(write=False)
    return a


ORDER = ", expected a C-contiguous, aligned and writeable array"

#: From an array that would do: one that does not, the type of the error, the message.
REFUSED = {
    "list": (lambda a: a.tolist(), TypeError, "out is of type list, expected a NumPy array"),
    "number": (lambda a: 1.5, TypeError, "out is of type float, expected a NumPy array"),
    "False": (lambda a: False, TypeError, "out is of type bool, expected a NumPy array"),
    "masked": (
        lambda a: np.ma.masked_array(a),
        TypeError,
        "out is a masked array, expected one without a mask",
    ),
    "float32": (
        lambda a: a.astype("float32"),
        TypeError,
        "out has dtype float32, expected float64",
    ),
    "integers": (lambda a: a.astype(int), TypeError, "out has dtype int64, expected float64"),
    "complex": (
        lambda a: a.astype(complex),
        TypeError,
        "out has dtype complex128, expected float64",
    ),
    "byte-swapped": (
        lambda a: a.astype(a.dtype.newbyteorder()),
        TypeError,
        "out has dtype >f8, expected float64",
    ),
    "objects": (lambda a: a.astype(object), TypeError, "out has dtype object, expected float64"),
    "too long": (
        lambda a: np.zeros((71, 3)),
        ValueError,
        r"out has shape (71, 3), expected (70, 3)",
    ),
    "flat": (lambda a: a.ravel(), ValueError, r"out has shape (210,), expected (70, 3)"),
    "one axis more": (lambda a: a[None], ValueError, r"out has shape (1, 70, 3), expected (70, 3)"),
    "no axis": (lambda a: np.array(1.0), ValueError, r"out has shape (), expected (70, 3)"),
    "fortran": (np.asfortranarray, ValueError, "out is not C-contiguous" + ORDER),
    "strided": (
        lambda a: np.zeros((70, 6))[:, ::2],
        ValueError,
        "out is not C-contiguous" + ORDER,
    ),
    "broadcast": (
        lambda a: np.broadcast_to(a[0], a.shape),
        ValueError,
        "out is not C-contiguous" + ORDER,
    ),
    "misaligned": (misaligned, ValueError, "out is not aligned" + ORDER),
    "read-only": (read_only, ValueError, "out is not writeable" + ORDER),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(what):
    net, given = CASE.network(), arguments(CASE)
    bad, exception, message = REFUSED[what]
    out = bad(np.full((70, 3), 7.0))
    before = np.array(out)
    with pytest.raises(exception, match=f"^{re.escape(message)}$"):
        call(net, "forward", given, out=out)
    np.testing.assert_array_equal(np.array(out), before)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_refuses(method):
    net, given = CASE.network(), arguments(CASE)
    shape = array_of(call(net, method, given)).shape
    with pytest.raises(ValueError, match=r"out has shape \(2, 2\), expected \(" + str(shape[0])):
        call(net, method, given, out=np.empty((2, 2)))
    with pytest.raises(TypeError, match="out has dtype float32, expected float64"):
        call(net, method, given, out=np.empty(shape, np.float32))
    with pytest.raises(TypeError, match="out has dtype float64, expected float32"):
        call(mlpcore.Network((4, 7, 3), dtype="float32"), method, given, out=np.empty(shape))


def test_the_shape_for_an_ensemble():
    net, given = CASE.network(), arguments(CASE, "shared")
    with pytest.raises(ValueError, match=r"out has shape \(70, 3\), expected \(3, 70, 3\)"):
        call(net, "forward", given, out=np.empty((70, 3)))


def test_what_is_wrong_with_an_input_is_said_first_and_nothing_is_written():
    net, given = CASE.network(), arguments(CASE)
    out = np.full(given["w"].shape, 7.0)
    given["T"][3, 1] = np.nan
    with pytest.raises(ValueError, match=r"T is not finite: T\[3, 1\] is nan"):
        call(net, "gradient", given, out=out)
    assert (out == 7).all()


# Memory in common

#: As many weights as samples, as many inputs as outputs: results fit the memory of arguments.
LONG = Case((4, 7, 4), n=67, weighted=True)


@pytest.mark.parametrize(
    ("method", "argument"),
    [(name, argument) for name, taken in METHODS.items() for argument in taken],
)
def test_memory_in_common_with_an_argument(method, argument):
    net, given = LONG.network(), arguments(LONG)
    result = array_of(call(net, method, given))
    a = given[argument]
    memory = np.zeros(a.size + result.size)
    given[argument] = memory[: a.size].reshape(a.shape)
    given[argument][...] = a
    message = f"^out shares memory with {argument}, expected an array of its own$"
    with pytest.raises(ValueError, match=message):
        call(net, method, given, out=memory[a.size - 1 : -1].reshape(result.shape))
    np.testing.assert_array_equal(given[argument], a)
    out = memory[a.size :].reshape(result.shape)  # side by side is well
    assert_same_bits(array_of(call(net, method, given, out=out)), result)


@pytest.mark.parametrize(("method", "argument"), [("gradient", "w"), ("forward", "X")])
def test_an_argument_itself(method, argument):
    net, given = LONG.network(), arguments(LONG)
    with pytest.raises(ValueError, match=f"out shares memory with {argument},"):
        call(net, method, given, out=given[argument])


def test_an_argument_of_another_method():
    """What this one does not read may be overwritten."""
    net, given = LONG.network(), arguments(LONG)
    expected = call(net, "forward", given)
    assert_same_bits(call(net, "forward", given, out=given["T"]), expected)
    assert_same_bits(given["T"], expected)


COPIED = {
    "upside down": lambda a: a[::-1],
    "mirrored": lambda a: a[:, ::-1],
    "integers": lambda a: a.view(np.int64),
    "float32": lambda a: a.view(np.float32)[:, :4],
    "subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
    "buffer": memoryview,
}


@pytest.mark.parametrize("what", COPIED)
def test_an_argument_that_is_copied_or_wrapped(what):
    """Some could be computed, but the caller's argument would change."""
    net, given = LONG.network(), arguments(LONG)
    out = np.zeros((67, 4))
    with pytest.raises(ValueError, match="out shares memory with X,"):
        net.forward(given["w"], COPIED[what](out), out=out)


def test_a_table_around_the_memory():
    pandas = pytest.importorskip("pandas")
    net, given = LONG.network(), arguments(LONG)
    out = np.zeros((67, 4))
    table = pandas.DataFrame(out, copy=False)
    if np.shares_memory(np.asarray(table), out):
        with pytest.raises(ValueError, match="out shares memory with X,"):
            net.forward(given["w"], table, out=out)


def test_labels_in_common():
    net = mlpcore.Network((2, 3, 4), output="softmax")
    out = np.zeros(net.n_weights)
    labels = out.view(np.int64)[:5]
    with pytest.raises(ValueError, match="out shares memory with T,"):
        net.gradient(net.init(seed=0), np.ones((5, 2)), labels, out=out)


def test_in_the_gaps_of_an_argument():
    """Each number of w begins a table of two rows; the result is a second row."""
    net, X = mlpcore.Network((1, 2, 1)), np.ones((3, 1))
    memory = np.zeros((7, 2, 7))
    w = memory[:, 0, 0]
    w[:] = net.init(seed=1)
    expected = net.gradient(w, X, X)
    assert_same_bits(net.gradient(w, X, X, out=memory[3, 1]), expected)
    with pytest.raises(ValueError, match="out shares memory with w,"):
        net.gradient(w, X, X, out=memory[3, 0])


def test_arguments_that_are_no_arrays():
    net, given = CASE.network(), arguments(CASE)
    expected = call(net, "gradient", given)
    lists = {name: a.tolist() for name, a in given.items()}
    out = like(expected)
    assert call(net, "gradient", {**lists, "w": array.array("d", lists["w"])}, out=out) is out
    assert_same_bits(out, expected)
