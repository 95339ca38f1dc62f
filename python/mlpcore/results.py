"""What results have in common: a table in a terminal and in a notebook, members in an ensemble."""

from __future__ import annotations

import html
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["EnsembleResult", "Table", "was_interrupted"]

Rows = Sequence[tuple[str, str]]


class Table:
    """A result that shows itself as a table of names and values."""

    def _title(self) -> str:
        return type(self).__name__

    def _rows(self) -> Rows:
        raise NotImplementedError

    def __repr__(self) -> str:
        rows = self._rows()
        width = max([15, *(len(name) for name, _ in rows)]) + 2
        return "\n".join([self._title(), *(f"  {name:<{width}}{value}" for name, value in rows)])

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in self._rows()
        )
        return f"<table><caption>{html.escape(self._title())}</caption>{cells}</table>"


class Fit(Protocol):
    """The result of one network."""

    @property
    def stopped(self) -> str: ...
    @property
    def seconds(self) -> float: ...


Member = TypeVar("Member", bound=Fit)


def was_interrupted(members: Iterable[Fit]) -> bool:
    """Whether Ctrl-C ended one of them."""
    return any(member.stopped == "interrupted" for member in members)


@dataclass(frozen=True, repr=False, eq=False)
class EnsembleResult(Table, Sequence[Member]):
    """The results of an ensemble's networks, a sequence of them."""

    w: NDArray[Any]
    members: tuple[Member, ...]

    _measure: ClassVar[str]  # what the members are compared by

    @abstractmethod
    def _measured(self, member: Member) -> float:
        """Never NaN."""

    def __len__(self) -> int:
        return len(self.members)

    @overload
    def __getitem__(self, s: int) -> Member: ...
    @overload
    def __getitem__(self, s: slice) -> tuple[Member, ...]: ...
    def __getitem__(self, s: int | slice) -> Member | tuple[Member, ...]:
        return self.members[s]

    def best(self) -> Member:
        """The member with the lowest error, or objective, as the class says.

        Raises
        ------
        ValueError
            If the ensemble has no networks.
        """
        if not self.members:
            raise ValueError("the ensemble has no networks")
        return min(self.members, key=self._measured)

    def _title(self) -> str:
        return f"{super()._title()} of {len(self)} networks"

    def _rows(self) -> Rows:
        if not self.members:
            return []
        reasons = Counter(member.stopped for member in self.members)
        values = [self._measured(member) for member in self.members]
        return [
            ("stopped", ", ".join(f"{n} {why}" for why, n in reasons.items())),
            (self._measure, f"best {min(values):.6g}, median {np.median(values):.6g}"),
            *self._more_rows(),
            ("seconds", f"{self.members[0].seconds:.3g}"),
        ]

    def _more_rows(self) -> Rows:
        return []
