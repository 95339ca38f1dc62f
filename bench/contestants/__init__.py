"""The contestants: one file a package, all with the interface of `Contestant`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.cases import Array, EnsembleProblem, Problem


class NotOffered(Exception):
    """This contestant does not do that quantity, or not at that size; the message says why."""


@dataclass(frozen=True)
class Idiom:
    """One way in which a contestant computes a quantity.

    `run` is what is timed: it returns when the result is complete, in the package's own type and
    arrangement. `collect` turns that into one NumPy array and is not timed.
    """

    name: str
    run: Callable[[], Any]
    collect: Callable[[Any], Array] = field(default=np.asarray)


class Contestant:
    """Offers a quantity by a method of its name that returns idioms; the fastest is measured.

    A method may convert and compile as much as it likes: only `Idiom.run` is on the clock, and not
    its first call. What the method itself raises takes all its idioms out of the row, what an idiom
    raises that one alone.
    """

    name: str
    thorough: bool = True  # also offer the idioms that take many seconds to get ready
    patient: bool = False  # also do what takes a peer minutes

    def versions(self) -> dict[str, str]:
        """The packages in use and their versions."""
        raise NotImplementedError

    def set_threads(self, n: int) -> None:
        """Use n threads. Without a call: as the package likes by default."""

    def idioms(self, quantity: str, problem: Problem | EnsembleProblem) -> list[Idiom]:
        method = getattr(self, quantity, None)
        if method is None:
            raise NotOffered("not offered")
        if not self.patient and not problem.case.measures_peers(quantity):
            raise NotOffered("not measured, takes minutes or many GB")
        return method(problem)

    def into(self, quantity: str, problem: Problem, out: Array) -> Idiom | None:
        """The quantity written into an array that is there, if the contestant can."""
        return None


# name on the command line and in the table -> module. The order is that of the columns.
MODULES = {
    "mlpcore": "mlpcore_",
    "numpy": "numpy_reference",
    "torch": "torch_",
    "curvlinops": "curvlinops_",
    "jax": "jax_",
    "sklearn": "sklearn_",
}


def load(names: list[str]) -> tuple[list[Contestant], dict[str, str]]:
    """The contestants that are installed, and for the others why they are absent."""
    present: list[Contestant] = []
    absent: dict[str, str] = {}
    for name in names:
        try:
            module = importlib.import_module(f"bench.contestants.{MODULES[name]}")
        except ImportError as error:
            absent[name] = str(error)
        else:
            present.append(module.make())
    return present, absent
