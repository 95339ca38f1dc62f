"""Inverses from outer products, and Cholesky with its answer for what isn't positive."""

from __future__ import annotations

import doctest
import pickle
import re
import tracemalloc

import numpy as np
import pytest
from cases import Case, assert_close, assert_same_bits

import mlpcore
from mlpcore import _core, inverse, reference
from mlpcore.regularizers import LayerDecay

#: How much more may be asked for than tracemalloc sees: not LAPACK's copies before NumPy 2.5.
UNTRACED = 1.04 if np.lib.NumpyVersion(np.__version__) >= "2.5.0" else 1.3


@pytest.mark.parametrize("n", [0, 1, 5, 127, 128, 129, 300])
def test_outer_product_inverse(n):
    """By rows in the reference (PRML 5.89), by blocks here, and by the definition."""
    J = np.random.default_rng(n).normal(size=(n, 40))
    built = mlpcore.outer_product_inverse(J, 0.7)
    assert_close(built, reference.outer_product_inverse(J, 0.7), 1e-12)
    assert_close(built, np.linalg.inv(0.7 * np.eye(40) + J.T @ J), 1e-12)
    assert_same_bits(built, built.T.copy())


def exact_inverse(rows, alpha):
    """(diag(alpha) + B^T B)^-1 of the very floats, rounded once."""
    mpmath = pytest.importorskip("mpmath")
    W = rows.shape[1]
    integers = np.array([[int(mpmath.ldexp(b, 200)) for b in row] for row in rows], dtype=object)
    with mpmath.workprec(300):
        H = mpmath.matrix((integers.T @ integers).tolist()) * mpmath.ldexp(1, -400)
        H += mpmath.diag([float(a) for a in np.broadcast_to(alpha, (W,))])
        return np.array((H**-1).tolist(), dtype=float)


def share(built, exact):
    """The largest error as a share of the largest element."""
    return np.abs(built - exact).max() / np.abs(exact).max()


def network_rows(N, dependent=False):
    net = mlpcore.Network([3, 6, 1])
    rng = np.random.default_rng(0)
    J = 100 * net.weight_jacobian(rng.normal(size=net.n_weights), rng.normal(size=(N, 3)))
    J = J.reshape(N, -1)
    if dependent:
        J[:, 5], J[:, 9] = J[:, 0], J[:, 3] - J[:, 2]
    return J


@pytest.mark.parametrize("alpha", [1, 1e-6, 1e-10])
@pytest.mark.parametrize(("N", "dependent"), [(1000, False), (100, True), (31, False), (20, False)])
def test_it_is_exact_where_alpha_is_far_below_the_rows(N, dependent, alpha):
    """Row by row the reference loses digits with alpha, up to all of them."""
    J = network_rows(N, dependent)
    exact = exact_inverse(J, alpha)
    assert share(mlpcore.outer_product_inverse(J, alpha), exact) < 1e-12


def test_float32_is_computed_in_float64():
    J = network_rows(100).astype(np.float32)
    built = mlpcore.outer_product_inverse(J, 1e-6)
    assert share(built, exact_inverse(J.astype(float), 1e-6)) < 1e-7


def test_it_is_exact_where_the_precisions_differ():
    J, alpha = network_rows(100), np.logspace(-12, 2, 31)
    exact = exact_inverse(J, alpha)
    assert share(mlpcore.outer_product_inverse(J, alpha), exact) < 1e-12
    assert share(mlpcore.outer_product_inverse(J[:20], alpha), exact_inverse(J[:20], alpha)) < 1e-12


@pytest.mark.parametrize(("first", "last"), [(0, 1), (0, 25), (0, 100), (5, 30), (5, 100)])
@pytest.mark.parametrize("alpha", [1, 1e-6])
def test_further_rows_are_as_exact_as_one_after_the_other(alpha, first, last):
    J = network_rows(100)
    start = mlpcore.outer_product_inverse(J[:first], alpha)
    exact, steps = exact_inverse(J[:last], alpha), start
    for b in J[first:last]:
        Pb = steps @ b
        steps = steps - np.outer(Pb, Pb) / (1 + b @ Pb)
    built = mlpcore.add_outer_products(start, J[first:last])
    assert share(built, exact) < 3 * share(steps, exact) + 1e-12
    assert_same_bits(built, built.T.copy())


def added_or_refused(start, rows, exact):
    """Whether it was added; what was has an error of less than a hundredth."""
    try:
        built = mlpcore.add_outer_products(start, rows)
    except ValueError as e:
        if "in this inverse already, leaves nothing of the result" not in str(e):
            raise
        return False
    assert share(built, exact) < 0.01
    return True


@pytest.mark.parametrize("W", [2, 5, 12])
@pytest.mark.parametrize("apart", [0, 1e-3, 1])
def test_a_row_like_one_before_it(apart, W):
    """The rounding of the inverse is enlarged, or hides what it was of the first row."""
    rng, added = np.random.default_rng(W), []
    ratios = 10.0 ** np.arange(4, 21, 2)  # of b.b to alpha
    for ratio in ratios:
        rows = rng.normal(size=W) + apart * rng.normal(size=(2, W)) * [[0], [1]]
        rows *= np.sqrt(ratio) / np.linalg.norm(rows[0])
        start = mlpcore.outer_product_inverse(rows[:1], 1)
        added.append(added_or_refused(start, rows[1:], exact_inverse(rows, 1)))
    assert all(added[:3])
    assert W > 2 or not added[-1]


def test_what_is_added_to_any_inverse():
    """From one row far above alpha its largest eigenvalues are rounding."""
    added = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        W, N, alpha = rng.integers(1, 9), rng.integers(2, 20), 10.0 ** rng.integers(-12, 6)
        rows = rng.normal(size=(N, W)) * 10.0 ** rng.integers(-8, 9, size=W)
        rows[:, 0] = rows[:, -1]
        start = mlpcore.outer_product_inverse(rows[:1], alpha)
        try:
            exact = exact_inverse(rows, alpha)
        except ZeroDivisionError:  # more digits than it has
            continue
        added += added_or_refused(start, rows[1:], exact)
    assert added > 50


def test_the_rounding_of_an_inverse_in_float32():
    rows = 1e3 * np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    start = mlpcore.outer_product_inverse(rows[:3], 1e-3)
    with pytest.raises(ValueError, match=r"rounding, of up to 0\.0004 in this inverse already"):
        mlpcore.add_outer_products(start, rows[3:])
    wide = mlpcore.outer_product_inverse(rows[:3].astype(float), 1e-3)
    exact = exact_inverse(rows.astype(float), 1e-3)
    assert share(mlpcore.add_outer_products(wide, rows[3:]), exact) < 1e-4


def test_what_no_float_can_hold_is_an_error():
    J = network_rows(1000)
    assert_close(mlpcore.outer_product_inverse(J, 1e-308), exact_inverse(J, 1e-308), 1e-10)
    for call, message in (
        (lambda: mlpcore.outer_product_inverse(J * 1e200, 1), r"J is up to .*e\+20\d in size"),
        (lambda: mlpcore.outer_product_inverse(J, 1, np.full(1000, 1e307)), "J times the root of"),
        (lambda: mlpcore.outer_product_inverse(J[:5], 1e-308), "alpha is 1e-308 beside"),
        (lambda: mlpcore.outer_product_inverse(J[:0], 1e-320), "alpha is .*, .* overflows float64"),
        (
            lambda: mlpcore.outer_product_inverse(J[:5].astype(np.float32), 1e-40),
            "alpha is 1e-40, with which the inverse overflows float32",
        ),
        (
            lambda: mlpcore.outer_product_inverse((J * 1e30).astype(np.float32), 1),
            "J is up to .* in size, with which the inverse underflows float32",
        ),
        (
            lambda: mlpcore.add_outer_products(1e30 * np.eye(5), np.full((50, 5), 1e3)),
            r"J is up to 1e\+03 in size beside an inverse of up to 1e\+30, expected less",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_the_least_alpha_is_named(scale):
    J = scale * np.ones((50, 5))
    with pytest.raises(ValueError, match="alpha is down to 1e-40 beside outer products") as e:
        mlpcore.outer_product_inverse(J, np.full(5, 1e-40))
    least = float(re.search("expected at least ([^:]+):", str(e.value))[1])
    built = mlpcore.outer_product_inverse(J, least)
    assert share(built, exact_inverse(J, least)) < 0.01


def test_it_is_the_inverse_of_the_gauss_newton_hessian():
    case = Case((3, 5, 2), n=60, weighted=True)
    net, (w, X, T, s) = case.network(), case.problem()
    J = net.weight_jacobian(w, X)
    H = net.hessian_vector_product(w, np.eye(net.n_weights), X, T, s, kind="gauss_newton")
    built = mlpcore.outer_product_inverse(J, 0.1, row_weight=s)
    assert_close(built @ (H + 0.1 * np.eye(net.n_weights)), np.eye(net.n_weights), 1e-10)


def test_from_a_precision_for_each_weight():
    case = Case((3, 5, 2), n=60)
    net, (w, X, T, _) = case.network(), case.problem()
    R, J = LayerDecay([0.1, 2.0], 0.3), net.weight_jacobian(w, X)
    alpha = R.hessian_diagonal(net, w)
    built = mlpcore.outer_product_inverse(J, alpha)
    H = net.hessian(w, X, T, kind="gauss_newton", regularizer=R)
    assert_close(built @ H, np.eye(net.n_weights), 1e-10)
    assert_close(built, reference.outer_product_inverse(J.reshape(-1, w.size), alpha), 1e-10)
    assert_same_bits(
        mlpcore.outer_product_inverse(J, np.full(w.size, 0.7)),
        mlpcore.outer_product_inverse(J, 0.7),
    )


def test_row_weights():
    rng = np.random.default_rng(0)
    J, s = rng.normal(size=(30, 2, 7)), rng.uniform(size=(30, 2))
    expected = np.linalg.inv(2 * np.eye(7) + np.einsum("nk,nki,nkj->ij", s, J, J))
    assert_close(mlpcore.outer_product_inverse(J, 2, row_weight=s), expected, 1e-12)


def test_going_on_with_further_rows():
    J = np.random.default_rng(0).normal(size=(50, 9))
    start = mlpcore.outer_product_inverse(J[:20], 1.0)
    before = start.copy()
    assert_close(
        mlpcore.add_outer_products(start, J[20:]), mlpcore.outer_product_inverse(J, 1.0), 1e-12
    )
    assert_same_bits(start, before)


def test_float32_stays_float32():
    J = np.random.default_rng(0).normal(size=(50, 9)).astype(np.float32)
    assert mlpcore.outer_product_inverse(J, 1.0).dtype == np.float32


def positive(W, seed=0):
    a = np.random.default_rng(seed).normal(size=(W, 2 * W))
    return a @ a.T / W


@pytest.mark.parametrize("W", [1, 5, 127, 128, 129, 300])
def test_cholesky(W):
    H, b = positive(W), np.random.default_rng(1).normal(size=(W, 3))
    factor = mlpcore.cholesky(H)
    assert_close(factor.solve(b), np.linalg.solve(H, b), 1e-10)
    assert_close(factor.solve(b[:, 0]), np.linalg.solve(H, b[:, 0]), 1e-10)
    assert_close(factor.log_determinant(), np.linalg.slogdet(H)[1], 1e-10)
    assert_close(factor.inverse(), np.linalg.inv(H), 1e-10)
    assert_same_bits(factor.inverse(), factor.inverse().T.copy())
    damped = mlpcore.cholesky(H, damping=0.5)
    assert_close(damped.solve(b), np.linalg.solve(H + 0.5 * np.eye(W), b), 1e-10)
    assert f"W={W}" in repr(factor)
    assert len({factor, damped, factor}) == 2


def test_the_log_determinant_does_not_overflow():
    assert_close(mlpcore.cholesky(1e300 * np.eye(50)).log_determinant(), 50 * np.log(1e300), 1e-12)


@pytest.mark.parametrize("eigenvalues", [[-3.0, 1.0, 8.0], [0.0, 0.0, 0.0], [-1.0], [-1e-3, 1e6]])
def test_not_positive_definite(eigenvalues):
    n = len(eigenvalues)
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    H = Q * eigenvalues @ Q.T
    H = (H + H.T) / 2
    with pytest.raises(mlpcore.NotPositiveDefiniteError, match="H is not positive definite") as e:
        mlpcore.cholesky(H)
    assert abs(e.value.lowest_eigenvalue - eigenvalues[0]) < 1e-9
    assert f"lowest eigenvalue is {e.value.lowest_eigenvalue:.3g}" in str(e.value)
    assert e.value.damping < -1.02 * eigenvalues[0] + 1e-6
    assert f"{e.value.damping:.3g} added to the diagonal mends it" in str(e.value)
    mlpcore.cholesky(H, damping=float(f"{e.value.damping:.3g}"))  # it does
    assert isinstance(e.value, np.linalg.LinAlgError)
    again = pickle.loads(pickle.dumps(e.value))
    assert (str(again), again.damping) == (str(e.value), e.value.damping)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e8])
@pytest.mark.parametrize("layers", [(2, 4, 1), (3, 6, 1), (5, 15, 2)])
def test_singular_to_rounding(layers, scale, dtype):
    """Gauss-Newton of fewer targets than weights: a Cholesky factor may exist, a solution none."""
    net = mlpcore.Network(layers)
    W, rng = net.n_weights, np.random.default_rng(0)
    for N in range(1, W // layers[-1], W // 12):
        w, X = rng.normal(size=W), rng.normal(size=(N, layers[0]))
        J = scale * net.weight_jacobian(w, X).reshape(-1, W)
        H = (J.T @ J).astype(dtype)
        with pytest.raises(
            mlpcore.NotPositiveDefiniteError, match="definite beyond rounding:"
        ) as e:
            mlpcore.cholesky(H)
        solution = mlpcore.cholesky(H, damping=e.value.damping).solve(H @ np.ones(W, dtype))
        assert np.abs(solution).max() < 10


def test_singular_to_rounding_with_no_pivot_that_is_small():
    """One row fewer than weights, in float32: the smallest pivot is far above rounding."""
    for seed in (37, 389, 540):
        rng = np.random.default_rng(seed)
        W = int(rng.integers(20, 40))
        J = rng.normal(size=(W - 1, W)).astype(np.float32)
        with pytest.raises(mlpcore.NotPositiveDefiniteError):
            mlpcore.cholesky(J.T @ J)


@pytest.mark.parametrize(
    ("dtype", "condition"), [(np.float64, 1e12), (np.float64, 1e3), (np.float32, 1e4)]
)
@pytest.mark.parametrize("W", [2, 17, 150])
def test_what_is_only_ill_conditioned_is_no_error(W, dtype, condition):
    rng = np.random.default_rng(W)
    for eigenvalues in (np.logspace(0, -np.log10(condition), W), [1] * (W - 1) + [1 / condition]):
        Q = np.linalg.qr(rng.normal(size=(W, W)))[0]
        H = Q * eigenvalues @ Q.T
        H = ((H + H.T) / 2).astype(dtype)
        factor = mlpcore.cholesky(H)
        assert_close(factor.L @ factor.L.T, H, 100 * np.finfo(dtype).eps)
        unit = 10.0 ** rng.integers(-8, 8, size=W).astype(dtype)  # of each weight
        mlpcore.cholesky(unit[:, np.newaxis] * H * unit)
    mlpcore.cholesky(np.diag([1e300, 1e-300]))


def test_what_damping_did_not_mend():
    with pytest.raises(mlpcore.NotPositiveDefiniteError, match=r"H \+ 1 I is not positive"):
        mlpcore.cholesky([[-3.0]], damping=1.0)


UNIT = np.eye(2)
NAN = [[1.0, 2.0], [np.nan, 3.0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mlpcore.cholesky(np.zeros((2, 3))), r"H has shape \(2, 3\), expected \(W, W\)"),
        (lambda: mlpcore.cholesky(np.zeros((0, 0))), r"H has shape \(0, 0\), expected .* least 1"),
        (lambda: mlpcore.cholesky([[1.0, 0.5], [0.2, 1.0]]), "H is not symmetric: .* by up to 0.3"),
        (lambda: mlpcore.cholesky(NAN), r"H is not finite: H\[1, 0\] is nan"),
        (lambda: mlpcore.cholesky([[1.0, 2.0], [3.0]]), "H is not an array of numbers"),
        (lambda: mlpcore.cholesky([[1.0]], damping=-1), "damping is -1"),
        (
            lambda: mlpcore.cholesky(1e308 * UNIT, damping=1e308),
            r"damping is 1e\+308, .* overflows",
        ),
        (lambda: mlpcore.cholesky([[1.0]]).solve([1.0, 2.0]), r"b has shape \(2,\), expected"),
        (lambda: mlpcore.cholesky([[1.0]]).solve(1.0), r"b has shape \(\), expected"),
        (lambda: mlpcore.cholesky(UNIT).solve([1, np.nan]), r"b is not finite: b\[1\] is nan"),
        (
            lambda: mlpcore.cholesky(UNIT).solve([[1], [np.inf]]),
            r"b is not finite: b\[1, 0\] is inf",
        ),
        (lambda: mlpcore.outer_product_inverse(np.zeros((2, 3)), 0), "alpha is 0"),
        (
            lambda: mlpcore.outer_product_inverse(UNIT, [[1], [2, 3]]),
            "alpha is not an array of num",
        ),
        (lambda: mlpcore.outer_product_inverse([[1.0, 2]], [1, 0]), r"alpha\[1\] is 0"),
        (
            lambda: mlpcore.outer_product_inverse(np.zeros((2, 3)), [1, 2]),
            r"alpha has shape \(2,\), expected a number or \(3,\)",
        ),
        (lambda: mlpcore.outer_product_inverse(np.zeros(3), 1), r"J has shape \(3,\), expected"),
        (
            lambda: mlpcore.outer_product_inverse(np.zeros((3, 0)), 1),
            r"J has shape \(3, 0\), expected .* least 1",
        ),
        (lambda: mlpcore.outer_product_inverse(NAN, 1), r"J is not finite: J\[1, 0\] is nan"),
        (lambda: mlpcore.outer_product_inverse([[1, 2], [3]], 1), "J is not an array of numbers"),
        (
            lambda: mlpcore.outer_product_inverse(np.zeros((2, 3)), 1, row_weight=[1.0]),
            r"row_weight has shape \(1,\), expected \(2,\)",
        ),
        (
            lambda: mlpcore.outer_product_inverse(np.zeros((2, 3)), 1, row_weight=[1.0, -1.0]),
            r"row_weight\[1\] is -1, expected a weight of at least 0",
        ),
        (
            lambda: mlpcore.outer_product_inverse(UNIT, 1, row_weight=[1.0, np.inf]),
            r"row_weight is not finite: row_weight\[1\] is inf",
        ),
        (
            lambda: mlpcore.add_outer_products(np.eye(2), np.zeros((2, 3))),
            r"J has shape \(2, 3\), expected \(N, 2\)",
        ),
        (lambda: mlpcore.add_outer_products([[1, 0.5], [0, 1]], UNIT), "inverse is not symmetric"),
    ],
)
def test_errors_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_does_not_fit_in_memory():
    """Said in words, and never tried."""
    words = r"outer_product_inverse of shape \(3000000, 3000000\) would take 6.71e\+04 GiB, more "
    with pytest.raises(MemoryError, match=words):
        mlpcore.outer_product_inverse(np.zeros((1, 3_000_000)), 1.0)


def test_the_memory_of_it_is_what_was_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(_core, "check_memory", lambda what, n_bytes: asked.append(n_bytes))
    for N in (0, 1, 200, 399, 400, 800, 3000):
        rows = np.random.default_rng(0).normal(size=(N, 400))
        A = np.eye(400)
        for call in (
            lambda rows=rows: mlpcore.outer_product_inverse(rows, 1.0),
            lambda rows=rows, A=A: mlpcore.add_outer_products(A, rows),
        ):
            tracemalloc.start()
            try:
                call()
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert 0.6 * peak < asked[-1] < UNTRACED * peak


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("damping", [0.0, 1.0])
@pytest.mark.parametrize("asymmetry", [0.0, 1e-6])
def test_the_memory_of_a_factor(dtype, damping, asymmetry, monkeypatch):
    """Asked for before anything is made of H, and then to the last copy."""
    H = np.diag(np.arange(1, 401)).astype(dtype)
    H[0, 1] = asymmetry
    asked = []
    monkeypatch.setattr(_core, "check_memory", lambda what, n_bytes: asked.append((what, n_bytes)))
    tracemalloc.start()
    try:
        mlpcore.cholesky(H, damping)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert all(what == "the working memory of cholesky" for what, _ in asked)
    assert asked[0][1] == 3 * H.nbytes
    assert 0.95 * peak < asked[-1][1] < UNTRACED * peak

    def refuse(what, n_bytes):
        raise MemoryError(what)

    monkeypatch.setattr(_core, "check_memory", refuse)
    with pytest.raises(MemoryError, match="the working memory of cholesky"):
        mlpcore.cholesky(H, damping)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("H", lambda a: mlpcore.cholesky(a)),
        ("b", lambda a: mlpcore.cholesky(UNIT).solve(a)),
        ("J", lambda a: mlpcore.outer_product_inverse(a, 1)),
        ("alpha", lambda a: mlpcore.outer_product_inverse(UNIT, a[0])),
        ("row_weight", lambda a: mlpcore.outer_product_inverse(UNIT, 1, row_weight=a[0])),
        ("inverse", lambda a: mlpcore.add_outer_products(a, UNIT)),
    ],
)
@pytest.mark.parametrize(
    ("dtype", "came"), [(complex, "dtype complex128"), (str, "dtype <U3"), (object, "dtype object")]
)
def test_what_is_no_real_array(name, call, dtype, came):
    given = np.array([["1.0", "0.0"], ["0.0", "1.0"]])
    array = given if dtype is str else given.astype(float).astype(dtype)
    with pytest.raises(TypeError, match=f"{name} has {came}, expected real numbers"):
        call(array)
    with pytest.raises(TypeError, match=f"{name} is a masked array"):
        call(np.ma.array(UNIT + 1, mask=UNIT))


@pytest.mark.parametrize("rows", [2 * UNIT, 5 * UNIT[:1]])
@pytest.mark.parametrize("start", [-UNIT, UNIT - 2 * (UNIT == 0), np.diag([1.0, 0.0])])
def test_a_start_that_is_no_inverse_of_a_positive_matrix(start, rows):
    with pytest.raises(mlpcore.NotPositiveDefiniteError, match="inverse is not positive definite"):
        mlpcore.add_outer_products(start, rows)


def test_examples():
    assert doctest.testmod(inverse).failed == 0
