"""Fits the polynomials of elementary.hpp and writes coefficients.hpp (needs mpmath).

    python cpp/kernels/coefficients.py > cpp/kernels/coefficients.hpp

Each polynomial interpolates its function at Chebyshev nodes in 60 digits, which is within a
small factor of the best (minimax) polynomial of that degree. The header states, as a comment,
the largest error of the fit itself; the errors of the finished functions are measured by
tests/test_elementary.py.
"""

from collections.abc import Callable

import mpmath as mp

mp.mp.dps = 60


def fit(f: Callable[[mp.mpf], mp.mpf], low: mp.mpf, high: mp.mpf, degree: int) -> list[mp.mpf]:
    """Monomial coefficients, constant first, of the interpolant at Chebyshev nodes."""
    n = degree + 1
    nodes = [
        (low + high) / 2 + (high - low) / 2 * mp.cos((2 * i + 1) * mp.pi / (2 * n))
        for i in range(n)
    ]
    vandermonde = mp.matrix(n, n)
    for i, x in enumerate(nodes):
        for j in range(n):
            vandermonde[i, j] = x**j
    return list(mp.lu_solve(vandermonde, mp.matrix([f(x) for x in nodes])))


def largest_error(
    f: Callable[[mp.mpf], mp.mpf], c: list[mp.mpf], low: mp.mpf, high: mp.mpf
) -> float:
    points = [low + (high - low) * mp.mpf(i) / 1000 for i in range(1001)]
    return float(max(abs(mp.polyval(c[::-1], x) / f(x) - 1) for x in points))


def exp_tail(r: mp.mpf) -> mp.mpf:
    """(exp(r) - 1 - r) / r^2."""
    return mp.nsum(lambda k: r**k / mp.factorial(k + 2), [0, 40])


def log_tail(z: mp.mpf) -> mp.mpf:
    """(2 atanh(s) / s - 2) / s^2 with z = s^2."""
    if z < mp.mpf(10) ** -12:
        return mp.mpf(2) / 3 + 2 * z / 5
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) / s - 2) / z


def coth_tail(z: mp.mpf) -> mp.mpf:
    """(r / tanh(r) - 1) / r^2 with z = r^2."""
    if z < mp.mpf(10) ** -12:
        return mp.mpf(1) / 3 - z / 45
    r = mp.sqrt(z)
    return (r / mp.tanh(r) - 1) / z


def normal_tail(q: mp.mpf) -> mp.mpf:
    """(1 + x) Phi(-x) / exp(-x^2/2) with q = (x - 4) / (x + 4)."""
    x = 4 * (1 + q) / (1 - q)
    return (1 + x) * mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2)) / 2


HALF_LOG2 = mp.log(2) / 2 * mp.mpf("1.0001")
TANH_R = mp.mpf("0.75") * HALF_LOG2
LOG_S = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)

TABLES = {
    # name: (function, low, high, degree for double, degree for float, what it is)
    "exp_tail": (exp_tail, -HALF_LOG2, HALF_LOG2, 10, 5, "(e^r - 1 - r) / r^2, |r| <= ln(2)/2"),
    "log_tail": (
        log_tail,
        mp.mpf(0),
        LOG_S**2 * mp.mpf("1.0001"),
        7,
        3,
        "(2 atanh(s)/s - 2) / s^2 in s^2",
    ),
    "coth_tail": (
        coth_tail,
        mp.mpf(0),
        TANH_R**2,
        5,
        2,
        "(r/tanh(r) - 1) / r^2 in r^2, |r| <= 3/8 ln(2)",
    ),
    "normal_tail": (
        normal_tail,
        mp.mpf(-1),
        mp.mpf(36) / 44,  # x = 40, beyond which Phi(-x) underflows
        24,
        11,
        "(1 + x) Phi(-x) e^(x^2/2) in (x - 4)/(x + 4), 0 <= x <= 40",
    ),
}


def main() -> None:
    print("// Made by coefficients.py; change that, not this.")
    print("// clang-format off")
    print("#pragma once")
    print()
    print("namespace mlpcore::coefficients {")
    for name, (f, low, high, degree_double, degree_float, what) in TABLES.items():
        print()
        print(f"// {what}; constant term first.")
        for type_name, degree in (("double", degree_double), ("float", degree_float)):
            c = fit(f, low, high, degree)
            if type_name == "double":
                numbers = [float(x).hex() for x in c]
            else:
                numbers = [f"{mp.nstr(x, 12)}F" for x in c]
            print(f"// Largest relative error of the fit: {largest_error(f, c, low, high):.1e}.")
            print(f"inline constexpr {type_name} {name}_{type_name}[] = {{")
            for number in numbers:
                print(f"    {number},")
            print("};")
    print()
    print("} // namespace mlpcore::coefficients")


if __name__ == "__main__":
    main()
