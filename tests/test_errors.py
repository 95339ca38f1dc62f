"""Malformed input: the type of the error, and a message with argument, what came, what should."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from cases import Case

import mlpcore

N = 10
NET = Case((8, 3, 1), n=N)  # 31 weights
TWO = Case((8, 3, 2), n=N)
SIGMOID = Case((8, 3, 1), output="sigmoid", n=N)
SOFTMAX = Case((8, 3, 3), output="softmax", n=N)

ARGUMENTS = {
    "forward": ("w", "X"),
    "jacobian": ("w", "X"),
    "weight_jacobian": ("w", "X"),
    "per_sample_gradient": ("w", "X", "T"),
    "error": ("w", "X", "T", "sample_weight"),
    "gradient": ("w", "X", "T", "sample_weight"),
    "error_and_gradient": ("w", "X", "T", "sample_weight"),
    "hessian_diagonal": ("w", "X", "T", "sample_weight"),
    "hessian": ("w", "X", "T", "sample_weight"),
    "hessian_blocks": ("w", "X", "T", "sample_weight"),
}


def with_value(a, index, value):
    a = np.array(a, dtype=float)
    a[index] = value
    return a


def refuses(case, bad, exception, message):
    """Every function that takes the argument refuses it, with this message, without a warning."""
    w, X, T, _ = case.problem()
    good = {"w": w, "X": X, "T": T, "sample_weight": np.ones(N)}
    (argument,) = bad
    for name, arguments in ARGUMENTS.items():
        if argument not in arguments:
            continue
        given = {key: value for key, value in {**good, **bad}.items() if key in arguments}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(exception, match=message):
                getattr(case.network(), name)(**given)


W, X, S = np.zeros(31), np.zeros((N, 8)), np.ones(N)
SHAPES = [
    ("w", np.zeros(5), r"w has shape \(5,\), expected \(31,\)"),
    ("w", np.zeros(32), r"w has shape \(32,\), expected \(31,\)"),
    ("w", np.zeros((31, 1)), r"w has shape \(31, 1\), expected \(31,\)"),
    ("w", np.zeros((1, 30)), r"w has shape \(1, 30\), expected \(31,\) or.* \(S, 31\)"),
    ("w", np.zeros((1, 1, 31)), r"w has shape \(1, 1, 31\), expected \(31,\)"),
    ("w", 0.0, r"w has shape \(\), expected \(31,\)"),
    ("w", [], r"w has shape \(0,\), expected \(31,\)"),
    ("X", np.zeros((N, 3)), r"X has shape \(10, 3\), expected \(N, 8\)"),
    ("X", np.zeros((8, N)), r"X has shape \(8, 10\), expected \(N, 8\)"),
    ("X", np.zeros(8), r"X has shape \(8,\), expected \(N, 8\)"),
    ("X", np.zeros((N, 8, 1)), r"X has shape \(10, 8, 1\), expected \(N, 8\)"),
    ("X", np.zeros((N, 0)), r"X has shape \(10, 0\), expected \(N, 8\)"),
    ("X", [], r"X has shape \(0,\), expected \(N, 8\)"),
    ("X", 1.0, r"X has shape \(\), expected \(N, 8\)"),
    ("T", np.zeros(9), r"T has shape \(9,\), expected \(10, 1\) or \(10,\)"),
    ("T", np.zeros((11, 1)), r"T has shape \(11, 1\), expected \(10, 1\) or \(10,\)"),
    ("T", np.zeros((N, 2)), r"T has shape \(10, 2\), expected \(10, 1\) or \(10,\)"),
    ("T", np.zeros((1, N)), r"T has shape \(1, 10\), expected \(10, 1\) or \(10,\)"),
    ("T", 0.0, r"T has shape \(\), expected \(10, 1\) or \(10,\)"),
    ("sample_weight", np.ones(9), r"sample_weight has shape \(9,\), expected \(10,\)"),
    ("sample_weight", np.ones((N, 1)), r"sample_weight has shape \(10, 1\), expected \(10,\)"),
    ("sample_weight", 1.0, r"sample_weight has shape \(\), expected \(10,\)"),
]
NOT_FINITE = [
    ("w", with_value(W, 3, np.nan), r"w is not finite: w\[3\] is nan"),
    ("w", with_value(W, 30, np.inf), r"w is not finite: w\[30\] is inf"),
    ("w", with_value(W, 0, -np.inf), r"w is not finite: w\[0\] is -inf"),
    ("X", with_value(X, (3, 1), np.nan), r"X is not finite: X\[3, 1\] is nan"),
    ("X", with_value(X, (9, 7), -np.inf), r"X is not finite: X\[9, 7\] is -inf"),
    ("T", with_value(S, 4, np.nan), r"T is not finite: T\[4\] is nan"),
    ("T", with_value(S[:, None], (9, 0), np.inf), r"T is not finite: T\[9, 0\] is inf"),
    ("sample_weight", with_value(S, 5, np.nan), r"sample_weight is not finite: .*\[5\] is nan"),
    ("sample_weight", with_value(S, 9, np.inf), r"sample_weight is not finite: .*\[9\] is inf"),
]
DTYPES = {
    "complex": lambda a: a.astype(complex),
    "strings": lambda a: a.astype(str),
    "bytes": lambda a: a.astype(bytes),
    "objects": lambda a: a.astype(object),
    "dates": lambda a: a.astype("datetime64[s]"),
    "durations": lambda a: a.astype("timedelta64[s]"),
    "records": lambda a: a.astype([("x", float)]),
}


@pytest.mark.parametrize(("argument", "value", "message"), SHAPES)
def test_wrong_shape(argument, value, message):
    refuses(NET, {argument: value}, ValueError, message)


@pytest.mark.parametrize(("argument", "value", "message"), NOT_FINITE)
def test_not_finite(argument, value, message):
    refuses(NET, {argument: value}, ValueError, message)


@pytest.mark.parametrize("argument", ["w", "X", "T", "sample_weight"])
@pytest.mark.parametrize("kind", DTYPES)
def test_not_real_numbers(kind, argument):
    value = DTYPES[kind]({"w": W, "X": X, "T": S, "sample_weight": S}[argument])
    refuses(NET, {argument: value}, TypeError, f"^{argument} has dtype .*, expected real numbers")


@pytest.mark.parametrize("argument", ["w", "X", "T", "sample_weight"])
@pytest.mark.parametrize(
    "value", ["text", {"a": 1}, object(), [[1, 2], [3]], [None] * 10], ids=repr
)
def test_not_even_an_array(value, argument):
    refuses(NET, {argument: value}, (TypeError, ValueError), f"^{argument} ")


@pytest.mark.parametrize("argument", ["w", "X", "T"])
def test_none(argument):
    refuses(NET, {argument: None}, TypeError, f"^{argument} ")


@pytest.mark.parametrize("argument", ["w", "X", "T", "sample_weight"])
def test_masked_arrays(argument):
    value = {"w": W, "X": X, "T": S, "sample_weight": S}[argument]
    masked = np.ma.masked_array(value, mask=np.arange(value.size).reshape(value.shape) == 2)
    refuses(NET, {argument: masked}, TypeError, f"^{argument} .*mask")


@pytest.mark.parametrize("argument", ["w", "X", "T", "sample_weight"])
@pytest.mark.parametrize("value", [1e300, -1e39])
def test_too_big_for_float32(argument, value):
    case = Case((8, 3, 1), n=N, dtype="float32")
    good = {"w": W, "X": X, "T": S[:, None], "sample_weight": S}[argument]
    bad = {argument: with_value(good, (2,) + (0,) * (good.ndim - 1), value)}
    refuses(case, bad, ValueError, rf"^{argument}\b.*\[2\b")


LONG = np.finfo(np.longdouble).max  # where it is no longer than a float64, nothing is too large
has_long_doubles = pytest.mark.skipif(
    np.finfo(np.float64).max >= LONG, reason="a long double is a float64 here"
)


@has_long_doubles
@pytest.mark.parametrize("state", ["raise", "warn", "ignore"])
@pytest.mark.parametrize("argument", ["w", "X", "T", "sample_weight"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_too_big_for_float64(dtype, argument, state):
    """NumPy has no say in it, by an error or a warning of its own."""
    case = Case((8, 3, 1), n=N, dtype=dtype)
    values = dict(zip(("w", "X", "T", "sample_weight"), case.problem(), strict=True))
    values["sample_weight"] = np.ones(N)
    value = values[argument].astype(np.longdouble)
    value.flat[-1] = np.longdouble("1e4000")
    place = ", ".join(str(n - 1) for n in value.shape)
    for layout in (value, np.asfortranarray(value), value.astype(value.dtype.newbyteorder())):
        with np.errstate(all=state):
            message = rf"^{argument}\[{place}\] is 1e\+4000, which is too large for {dtype}$"
            refuses(case, {argument: layout}, ValueError, message)


@has_long_doubles
def test_long_doubles_too_small_for_float64_are_zero():
    w, X, *_ = NET.problem()
    with np.errstate(all="raise"):
        tiny = NET.network().forward(w, np.full(X.shape, np.longdouble("1e-4000")))
    np.testing.assert_array_equal(tiny, NET.network().forward(w, np.zeros(X.shape)))


def test_signaling_nans():
    """Which are invalid values to a cast of NumPy's."""
    X = np.full((N, 8), 0x7FA00000, np.uint32).view(np.float32)
    with np.errstate(all="raise"):
        refuses(NET, {"X": X}, ValueError, r"^X is not finite: X\[0, 0\] is nan$")


def minimized(weight_decay, dtype="float64", **options):
    case = Case((8, 3, 1), n=N, dtype=dtype)
    w, X, T, _ = case.problem()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return mlpcore.minimize(
            case.network(), w, X, T, weight_decay=weight_decay, iterations=1, **options
        )


@has_long_doubles
@pytest.mark.parametrize("state", ["raise", "warn"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_weight_decay_too_large_for_float64(dtype, state):
    large = np.longdouble("1e4000")
    message = r" is 1e\+4000, which is too large for float64$"
    with np.errstate(all=state):
        with pytest.raises(ValueError, match="^weight_decay" + message):
            minimized(large, dtype)
        with pytest.raises(ValueError, match=r"^weight_decay\[0\]" + message):
            minimized(np.full(31, large), dtype)


@pytest.mark.parametrize("regularizer", [None, mlpcore.regularizers.L1(0.1)])
def test_a_weight_decay_that_is_a_bool(regularizer):
    for true in (True, np.True_):
        with pytest.raises(TypeError, match=r"^weight_decay is .*True_?, expected a number$"):
            minimized(true, regularizer=regularizer)
    # As an array of the weights it may be of any real type.
    ones = minimized(np.ones(31), regularizer=regularizer)
    np.testing.assert_array_equal(minimized(np.ones(31, bool), regularizer=regularizer).w, ones.w)
    np.testing.assert_array_equal(minimized(np.float32(1), regularizer=regularizer).w, ones.w)


def test_targets_of_several_outputs():
    refuses(TWO, {"T": np.zeros(N)}, ValueError, r"T has shape \(10,\), expected \(10, 2\)$")
    refuses(TWO, {"T": np.zeros((N, 1))}, ValueError, r"T has shape \(10, 1\), expected \(10, 2\)$")


@pytest.mark.parametrize("value", [1.5, -0.25])
def test_sigmoid_targets(value):
    columns = with_value(S[:, None], (4, 0), value)
    message = rf"{value}, expected a value in \[0, 1\]"
    refuses(SIGMOID, {"T": columns}, ValueError, rf"T\[4, 0\] is {message}")
    refuses(SIGMOID, {"T": columns[:, 0]}, ValueError, rf"T\[4(, 0)?\] is {message}")


@pytest.mark.parametrize(
    ("index", "value", "shown"),
    [(4, 7, "7"), (0, -1, "-1"), (9, 3, "3"), (2, 1.5, "1.5"), (2, 0.9999999, "0.9999999")],
)
def test_softmax_labels(index, value, shown):
    T = with_value(np.arange(N) % 3, index, value)
    message = rf"T\[{index}\] is {shown}(\.0)?, expected a class label from 0 to 2"
    refuses(SOFTMAX, {"T": T}, ValueError, message)
    if value == int(value):
        refuses(SOFTMAX, {"T": T.astype(int)}, ValueError, message)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 2**32, 2**31, 256])
def test_enormous_labels(value):
    """Labels that would be right ones after a cast to fewer bits."""
    T = np.arange(N) % 3
    T[3] = value
    refuses(SOFTMAX, {"T": T}, ValueError, r"T\[3\] is .*, expected a class label from 0 to 2")


def test_softmax_labels_that_are_not_finite():
    T = with_value(np.arange(N) % 3, 2, np.nan)
    refuses(SOFTMAX, {"T": T}, ValueError, r"T\[2\] is nan")


def test_softmax_rows():
    rows = np.eye(3)[np.arange(N) % 3]
    for values, message in [
        ([0.5, 0.3, 0.1], r"T\[3\] sums to 0\.(9|8999), expected 1"),
        ([0, 0, 0], r"T\[3\] sums to 0(\.0)?, expected 1"),
        ([1, 1, 0], r"T\[3\] sums to 2(\.0)?, expected 1"),
        ([-0.25, 0.75, 0.5], r"T\[3, 0\] is -0\.25, expected a value in \[0, 1\]"),
        ([np.nan, 0.5, 0.5], r"T is not finite: T\[3, 0\] is nan"),
    ]:
        refuses(SOFTMAX, {"T": with_value(rows, 3, values)}, ValueError, message)
    refuses(SOFTMAX, {"T": rows[:, :2]}, ValueError, r"T has shape \(10, 2\), expected \(10, 3\)")
    refuses(SOFTMAX, {"T": rows[:9]}, ValueError, r"T has shape \(9, 3\), expected \(10, 3\)")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_softmax_rows_that_sum_to_one_but_for_rounding(dtype):
    T = np.random.default_rng(0).dirichlet(np.ones(3), size=N)
    net, (w, X, _, _) = SOFTMAX.network(), SOFTMAX.problem()
    assert np.isfinite(net.error(w, X, T.astype(dtype)))
    assert np.isfinite(net.error(w, X, np.full((N, 3), 1 / 3, dtype)))


def test_negative_sample_weights():
    message = r"sample_weight\[2\] is -1(\.0)?, expected a weight of at least 0"
    refuses(NET, {"sample_weight": with_value(S, 2, -1)}, ValueError, message)
    w, X, T, _ = NET.problem()
    assert NET.network().error(w, X, T, np.zeros(N)) == 0  # nothing wrong with zeros


@pytest.mark.parametrize("kind", ["foo", "", "EXACT"])
def test_unknown_kind(kind):
    w, X, T, _ = NET.problem()
    message = f"kind is '{kind}', expected one of exact, gauss_newton, becker_lecun"
    with pytest.raises(ValueError, match=message):
        NET.network().hessian_diagonal(w, X, T, kind=kind)


def test_the_first_offender_is_named():
    X = with_value(np.zeros((300, 8)), (170, 2), np.nan)
    X[299, 7] = np.inf
    with pytest.raises(ValueError, match=r"X\[170, 2\] is nan"):
        NET.network().forward(W, X)
    with pytest.raises(ValueError, match=r"X\[170, 2\] is nan"):
        NET.network().forward(W, np.asfortranarray(X))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((), "layers"),
        ((3,), "layers"),
        ((0, 1), r"layers\[0\] is 0, expected .* at least 1"),
        ((2, 0, 1), r"layers\[1\] is 0, expected .* at least 1"),
        ((2, 3, -1), r"layers\[2\] is -1, expected .* at least 1"),
        ((10**9, 10**9, 1), "layers"),
        ((2**32, 2**32, 1), "layers"),  # the product is 0 in 64 bits
        ((2**31, 2**33 + 1), "layers"),
        ((2**62, 3), "layers"),
        ((10**30, 1), "layers"),
        ((1, -(10**30)), "layers"),
    ],
)
def test_absurd_layers(layers, message):
    with pytest.raises(ValueError, match=message):
        mlpcore.Network(layers)


@pytest.mark.parametrize("layers", [(2.5, 1), (2, "3"), "abc", 5, None, (2, None), ((2, 3), 1)])
def test_layers_that_are_not_integers(layers):
    with pytest.raises((TypeError, ValueError), match="layers"):
        mlpcore.Network(layers)


@pytest.mark.parametrize(
    ("argument", "value", "shown"),
    [
        ("hidden", "foo", "foo"),
        ("hidden", ["tanh", "foo"], "foo"),
        ("hidden", ["tanh"], r"\b1\b|tanh"),
        ("hidden", ["tanh"] * 3, r"\b3\b|tanh"),
        ("hidden", [], r"\b0\b|\[\]|\(\)"),
        ("hidden", 3, "3"),
        ("hidden", None, "None"),
        ("hidden", ["tanh", 3], "3"),
        ("output", "foo", "foo"),
        ("output", None, "None"),
        ("dtype", "foo", "foo"),
        ("dtype", "float16", "float16"),
        ("dtype", "int32", "int32"),
        ("dtype", complex, "complex"),
    ],
)
def test_bad_description_of_a_network(argument, value, shown):
    with pytest.raises((TypeError, ValueError), match=rf"{argument}.*({shown})"):
        mlpcore.Network((2, 3, 4, 1), **{argument: value})


@pytest.mark.parametrize("name", ["foo", ""])
def test_the_layer_of_an_unknown_activation_is_named(name):
    with pytest.raises(ValueError, match=rf"^hidden\[1\] is '{name}', expected one of identity"):
        mlpcore.Network((2, 3, 4, 1), ["tanh", name])


def test_init_with_an_unknown_scheme():
    with pytest.raises(ValueError, match=r"scheme is 'foo', expected one of auto"):
        NET.network().init(scheme="foo")


def test_unpack_and_pack_check_shapes():
    net = mlpcore.Network((2, 3, 1))
    with pytest.raises(ValueError, match=r"w has shape \(12,\), expected \(13,\)"):
        net.unpack(np.zeros(12))
    good = net.unpack(np.zeros(13))
    with pytest.raises(ValueError, match=r"\(2, 3\).*expected \(3, 2\)"):
        net.pack([(np.zeros((2, 3)), np.zeros(3)), good[1]])
    with pytest.raises(ValueError, match=r"\(2,\).*expected \(3,\)"):
        net.pack([(np.zeros((3, 2)), np.zeros(2)), good[1]])
    with pytest.raises(ValueError, match=r"\b1\b.*expected.*\b2\b"):
        net.pack(good[:1])
    for parts in (5, [1, 2], [(1, 2, 3)] * 2):
        with pytest.raises(ValueError, match=r"^parts is not a sequence of pairs, expected a pair"):
            net.pack(parts)


def test_a_result_too_big_for_memory():
    """A million rows of a million weights: said in words, and never tried."""
    net = mlpcore.Network((8, 1000, 1000, 100))
    X = np.broadcast_to(0.0, (10**6, 8))
    with pytest.raises(MemoryError, match=r"weight_jacobian .*\d ?[GTPE]i?B"):
        net.weight_jacobian(np.zeros(net.n_weights), X)


def test_an_error_leaves_nothing_behind():
    """After refusals the functions go on as before."""
    net, (w, X, T, _) = NET.network(), NET.problem()
    before = net.gradient(w, X, T)
    for _ in range(3):
        with pytest.raises(ValueError, match="X is not finite"):
            net.gradient(w, with_value(X, (0, 0), np.nan), T)
        assert net.gradient(w, X, T).tobytes() == before.tobytes()
