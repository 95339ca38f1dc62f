"""How results show themselves: a table of names and values, in a terminal and in a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence

__all__ = ["Table", "html_table", "text_table"]

Rows = Sequence[tuple[str, str]]


def text_table(title: str, rows: Rows) -> str:
    """The title, and below it a line for each row."""
    width = max([15, *(len(name) for name, _ in rows)]) + 2
    return "\n".join([title, *(f"  {name:<{width}}{value}" for name, value in rows)])


def html_table(title: str, rows: Rows) -> str:
    """The same as an HTML table with the title as its caption."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for name, value in rows
    )
    return f"<table><caption>{html.escape(title)}</caption>{cells}</table>"


class Table:
    """A result that shows itself as a table."""

    def _title(self) -> str:
        return type(self).__name__

    def _rows(self) -> Rows:
        raise NotImplementedError

    def __repr__(self) -> str:
        return text_table(self._title(), self._rows())

    def _repr_html_(self) -> str:
        return html_table(self._title(), self._rows())
