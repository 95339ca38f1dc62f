"""Checks of arguments, but of the arrays that the compiled core is given: it checks them itself.

Every message names the argument, what came and what was expected.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import _core

__all__ = [
    "as_array",
    "as_float64",
    "as_floats",
    "as_numbers",
    "check_finite",
    "choice",
    "either",
    "expect_user",
    "file_path",
    "flag",
    "random_generator",
    "real_number",
    "whole_number",
]


def as_float64(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """`value` as the compiled core takes an array of real numbers."""
    return _core.as_array(name, value, True)


def as_floats(name: str, value: ArrayLike) -> NDArray[Any]:
    """The same as float32 if it is that already, which is not copied then, else as float64."""
    return _core.as_array(name, value, getattr(value, "dtype", None) != np.float32)


def as_numbers(name: str, value: ArrayLike) -> NDArray[Any]:
    """`value` as an array of its own dtype, if the core would take it for real numbers."""
    numbers, array = as_floats(name, value), np.asarray(value)
    # As it came, for a metric may take labels for indices; objects are columns of pandas.
    return numbers if array.dtype == object else array


def as_array(name: str, value: ArrayLike, expected: str) -> NDArray[Any]:
    """`value` as NumPy takes it, which has no name for it where lists differ in length."""
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} has parts of different lengths, expected {expected}") from None


def check_finite(name: str, values: NDArray[Any]) -> None:
    """A ValueError that names the first value that is NaN or infinite."""
    finite = np.isfinite(values)
    if not finite.all():
        first = tuple(int(n) for n in np.argwhere(~finite)[0])
        place = f"{name}[{', '.join(map(str, first))}]" if first else name
        raise ValueError(f"{name} is not finite: {place} is {values[first]}")


def choice(name: str, value: object, choices: Iterable[str]) -> str:
    """`value` if it is among the choices."""
    expected = f"expected one of {', '.join(choices)}"
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, {expected}")
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, {expected}")
    return value


def either(words: Iterable[str]) -> str:
    """``a, b or c``."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def expect_user(name: str, kind: str, chosen: str, users: Sequence[str]) -> None:
    """A ValueError unless the method or optimizer chosen is among the users of this argument."""
    if chosen not in users:
        expected = either(map(repr, users))
        raise ValueError(f"{name} came with {kind} {chosen!r}, expected it with {expected}")


def file_path(name: str, value: Any) -> str:
    """`value` as a text, if it is a path."""
    try:
        path = os.fsdecode(value)
    except TypeError:
        # Not a number either: it would be taken for that of an open file.
        raise TypeError(f"{name} is {value!r}, expected a path (str or os.PathLike)") from None
    if "\0" in path:
        raise ValueError(f"{name} is {path!r}, expected a path without a null character")
    return path


def flag(name: str, value: object) -> bool:
    """`value` as a bool, if it is one."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"{name} is {value!r}, expected True or False")


def whole_number(name: str, value: Any, least: int, below: int = 2**62) -> int:
    """`value` as an int, from `least` up to but not including `below`."""
    expected = f"expected a whole number of at least {least}"
    if isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, {expected}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, {expected}") from None
    if not least <= number < below:
        limit = f" and below {below}" if number >= below else ""
        raise ValueError(f"{name} is {number}, {expected}{limit}")
    return number


def real_number(name: str, value: Any, *, positive: bool = False, below: float = math.inf) -> float:
    """`value` as a float, at least 0 (or above 0 where `positive`), less than `below`."""
    # float would read a text, and drop the imaginary part of NumPy's complex numbers.
    if isinstance(value, (str, bytes, bool, np.complexfloating)):
        raise TypeError(f"{name} is {value!r}, expected a number")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}, expected a number") from None
    except OverflowError:
        number = math.inf
    if not ((number > 0 if positive else number >= 0) and number < below):
        bound = "above 0" if positive else "at least 0"
        limit = "finite" if below == math.inf else f"below {below:g}"
        raise ValueError(f"{name} is {number}, expected a number {bound} and {limit}")
    return number


def random_generator(seed: int | np.random.Generator | None) -> np.random.Generator:
    """NumPy's from a seed, None for one from the system; one that is given stays as it is."""
    if not (seed is None or isinstance(seed, np.random.Generator)):
        seed = whole_number("seed", seed, least=0)
    return np.random.default_rng(seed)
