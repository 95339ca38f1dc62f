"""Read and write Parquet files, by pyarrow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mlpcore.tables import (
    Kind,
    Label,
    TableError,
    column_name,
    more_such_cells,
    printable,
    unique_names,
)

__all__ = ["ParquetColumns", "need_pyarrow", "write_parquet"]


class ParquetColumns:
    """The `mlpcore.tables.Columns` of a Parquet file."""

    has_header = True

    def __init__(self, source: str, names: tuple[str, ...], table: Any) -> None:
        self.source = source
        self.names = names
        self._table = table

    @classmethod
    def parse(cls, data: bytes, source: str) -> ParquetColumns:
        """Read the content of a file; errors call it ``source``."""
        pyarrow = _pyarrow(source)
        if not data:
            raise TableError(f"{source}: the file is empty")
        try:
            table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data)).read()
            names = [str(name) for name in table.schema.names]
        except MemoryError:
            raise
        except Exception as error:  # pyarrow has a dozen kinds for files that are none of its own
            reason = printable(str(error)) or type(error).__name__
            reason = reason if len(reason) <= 200 else reason[:197] + "..."
            raise TableError(
                f"{source}: not a Parquet file, or a damaged one ({reason})"
            ) from error
        if table.num_columns == 0 or table.num_rows == 0:
            raise TableError(
                f"{source}: {table.num_columns} columns and {table.num_rows} rows: nothing to read"
            )
        return cls(source, unique_names(names), table)

    @property
    def n_rows(self) -> int:
        return int(self._table.num_rows)

    def layout(self, columns: Sequence[int]) -> str:
        return "Parquet"

    def kind(self, column: int) -> Kind:
        return "numbers" if self._is_numeric(column) else "text"

    def has_missing(self, column: int) -> bool:
        if self._is_numeric(column):
            return bool(np.isnan(self._floats(column)).any())
        return any(_is_missing(value) for value in self._table.column(column).to_pylist())

    def place(self, row: int, column: int) -> str:
        return f"{self.source}, data row {row + 1}, {column_name(self.names, column)}"

    def numbers(self, columns: Sequence[int]) -> NDArray[np.float64]:
        values = np.empty((self.n_rows, len(columns)))
        wrong: list[tuple[int, int, str]] = []  # row, column and what is wrong there
        n_wrong = 0
        for k, i in enumerate(columns):
            if not self._is_numeric(i):
                kind = self._table.schema.field(i).type
                what = "text" if self._is_text(i) else str(kind)
                raise TableError(
                    f"{self.place(0, i)}: {_shown(self._table.column(i)[0].as_py())} is no number: "
                    f"the column holds {what}"
                )
            values[:, k] = self._floats(i)
            rows = np.flatnonzero(~np.isfinite(values[:, k]))
            n_wrong += rows.size
            if rows.size:
                infinite = np.isinf(values[rows[0], k])
                complaint = "the value is not finite" if infinite else "the value is missing"
                wrong.append((int(rows[0]), i, complaint))
        if wrong:
            row, i, complaint = min(wrong)
            raise TableError(f"{self.place(row, i)}: {complaint}{more_such_cells(n_wrong)}")
        return values

    def labels(self, column: int) -> list[Label]:
        values = self._table.column(column).to_pylist()
        for row, value in enumerate(values):
            if _is_missing(value):
                n = sum(map(_is_missing, values))
                raise TableError(
                    f"{self.place(row, column)}: the value is missing{more_such_cells(n)}"
                )
            if not isinstance(value, (str, bool, int)):
                raise TableError(
                    f"{self.place(row, column)}: {_shown(value)} is neither a number nor text"
                )
        return [printable(value) if isinstance(value, str) else value for value in values]

    def _is_numeric(self, column: int) -> bool:
        types = _pyarrow(self.source).types
        kind = self._table.schema.field(column).type
        return any(
            is_kind(kind)
            for is_kind in (types.is_integer, types.is_floating, types.is_decimal, types.is_null)
        )

    def _is_text(self, column: int) -> bool:
        types = _pyarrow(self.source).types
        kind = self._table.schema.field(column).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        return bool(types.is_string(kind) or types.is_large_string(kind))

    def _floats(self, column: int) -> NDArray[np.float64]:
        """A column of numbers; NaN where a value is missing."""
        chunks = self._table.column(column).cast("float64", safe=False)
        values: NDArray[np.float64] = chunks.to_numpy()
        return values


def write_parquet(
    file: BinaryIO, path: str | os.PathLike[str], columns: dict[str, Sequence[Any]]
) -> None:
    """Write named columns into an open file; errors call it ``path``."""
    pyarrow = _pyarrow(os.fsdecode(path))
    pyarrow.parquet.write_table(pyarrow.table(columns), file)


def need_pyarrow(path: str | os.PathLike[str]) -> None:
    """A TableError that says how to get pyarrow, if it is missing."""
    _pyarrow(os.fsdecode(path))


def _pyarrow(source: str) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        name = (getattr(error, "name", None) or "").split(".")[0]
        if isinstance(error, ModuleNotFoundError) and name == "pyarrow":
            raise TableError(
                f'{source}: a Parquet file needs pyarrow: pip install "mlpcore[table]"'
            ) from error
        raise TableError(
            f"{source}: a Parquet file needs pyarrow, which can't be imported: "
            f"{printable(str(error))}"
        ) from error
    return pyarrow


def _is_missing(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and not printable(value))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
