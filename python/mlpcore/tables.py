"""Read names, numbers and classes of a CSV or Parquet file, or say which cell is in the way.

What is understood of a CSV file, without being told:

- the delimiter: comma, semicolon, tab, pipe, or any run of blanks;
- a header or none: a first line without a number is a header, and one with more words than
  numbers too; one with a word among at least as many numbers is refused unless the caller says
  which it is, unless each of its words comes again below it, as a class does; without a header
  the columns are called ``column 1``, ``column 2``, ...;
- quoted fields (``"a, b"``), blank lines, comment lines that begin with ``#``, a delimiter at the
  end of every line, rows of nothing but delimiters at the end of the file;
- UTF-8, UTF-16 and UTF-32 with or without byte order mark, else Latin-1; any line ends;
- decimal commas (``1,5``) when the delimiter is a semicolon and no number has a decimal point.

What is refused, with the line and the column: a missing value (an empty cell, NA, NaN, ?, ...),
anything else that is not a finite number, a row with more or fewer fields than the first. Of a
column of classes, text is taken as well.

A file whose name ends in ``.parquet`` is read by pyarrow, see `mlpcore.parquet`.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Columns",
    "CsvColumns",
    "Kind",
    "Label",
    "TableError",
    "find_column",
    "read_columns",
]

Label = str | int | bool
Kind = Literal["numbers", "text", "mixed"]

# In order of preference when two fit equally well; " " stands for any run of blanks.
DELIMITERS = {"\t": "tab", ";": "semicolon", "|": "pipe", ",": "comma", " ": "blanks"}

_MISSING = frozenset(
    ["", "?", "-", "--", ".", "#n/a", "n/a", "na", "nan", "<na>", "nil", "none", "null", "missing"]
)
# Of classes: "none" and "-" may well be among them.
_MISSING_LABELS = frozenset(["", "?", "#n/a", "n/a", "na", "nan", "<na>", "null"])
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_SAMPLE = 200  # lines by which the delimiter is found
# The mark of UTF-32 first: in little-endian it begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What is open already: by such a name a pipe may be read.
_OPEN_FILE = re.compile(r"/dev/(stdin|fd/\d+)|/proc/self/fd/\d+")


class TableError(ValueError):
    """The file is no such table; the message names the file, the line and the column."""


class _Record(NamedTuple):
    line: int  # where it begins in the file, from 1
    cells: list[str]


class Columns(Protocol):
    """A table whose cells are read column by column, as numbers or as classes."""

    @property
    def source(self) -> str:
        """What error messages call the file."""

    @property
    def names(self) -> tuple[str, ...]:
        """One a column, all different: ``x`` twice is ``x (column 1)`` and ``x (column 3)``."""

    @property
    def has_header(self) -> bool:
        """Whether the names come from the file."""

    @property
    def n_rows(self) -> int:
        """Rows of data."""

    def layout(self, columns: Sequence[int]) -> str:
        """How the file is made, for the reader."""

    def kind(self, column: int) -> Kind:
        """Whether cells that are not missing are all numbers, none of them, or some."""

    def has_missing(self, column: int) -> bool:
        """Whether a value of the column is missing."""

    def place(self, row: int, column: int) -> str:
        """The cell's file, line and column in words; ``row`` and ``column`` count from 0."""

    def numbers(self, columns: Sequence[int]) -> NDArray[np.float64]:
        """The columns as an (N, C) array of finite numbers, or a TableError."""

    def labels(self, column: int) -> list[Label]:
        """The cells of a column of classes, or a TableError if one is missing."""


def read_columns(
    path: str | os.PathLike[str], *, delimiter: str | None = None, header: bool | None = None
) -> Columns:
    """Open the CSV or Parquet file at ``path``, to be read column by column.

    Parameters
    ----------
    path : str or os.PathLike
        A regular file, or one that is open already: ``/dev/stdin``, ``/dev/fd/3``.
    delimiter : str, optional
        Of a CSV file alone: one character, a blank for any run of blanks; found by itself when
        None.
    header : bool, optional
        Of a CSV file alone: whether the first line holds the names; found by itself when None.

    Raises
    ------
    TableError
        What is wrong, with the line and the column.
    OSError
        If the file can't be read.
    """
    if Path(path).suffix.lower() != ".parquet":
        return CsvColumns.parse(_file_bytes(path), os.fspath(path), delimiter, header)
    for name, given in (("delimiter", delimiter), ("header", header)):
        if given is not None:
            raise TableError(f"{os.fspath(path)}: a Parquet file has its names and no {name}")
    from mlpcore.parquet import ParquetColumns

    return ParquetColumns.parse(_file_bytes(path), os.fspath(path))


def _file_bytes(path: str | os.PathLike[str]) -> bytes:
    file = Path(path)
    mode = file.stat().st_mode
    open_pipe = _OPEN_FILE.fullmatch(str(file)) and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))
    # A folder is left to the system's own words; another pipe or a device might never end.
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or open_pipe):
        raise TableError(f"{file}: not a regular file")
    return file.read_bytes()


class CsvColumns:
    """The `Columns` of a CSV file."""

    def __init__(
        self,
        source: str,
        names: tuple[str, ...],
        has_header: bool,
        delimiter: str,
        rows: Sequence[_Record],
    ) -> None:
        self.source = source
        self.names = names
        self.has_header = has_header
        self.delimiter = delimiter
        self._rows = rows

    @classmethod
    def parse(
        cls, data: bytes, source: str, delimiter: str | None = None, header: bool | None = None
    ) -> CsvColumns:
        """Find the rows and their fields, as `read_columns` does; errors call it ``source``."""
        lines = _lines(_decode(data, source))
        if not lines:
            raise TableError(f"{source}: no line of data")
        if delimiter is None:
            delimiter = _find_delimiter(lines[:_SAMPLE])
        records = _records(lines, delimiter, source)
        while records and not any(records[-1].cells):
            records.pop()
        if not records:
            raise TableError(f"{source}: no line of data")
        width = _width(records)
        if header is None:
            header = _is_header(records, width, source)
        rows = records[1:] if header else records
        if not rows:
            raise TableError(f"{source}: a header (line {records[0].line}) but no row of numbers")
        for record in records:
            _check_width(record, width, records[0], source, delimiter)
        names = unique_names(records[0].cells[:width] if header else [""] * width)
        return cls(source, names, header, delimiter, rows)

    @property
    def n_rows(self) -> int:
        return len(self._rows)

    def layout(self, columns: Sequence[int]) -> str:
        header = "header" if self.has_header else "no header"
        delimiter = DELIMITERS.get(self.delimiter, repr(self.delimiter))
        decimal = ", decimal commas" if self._has_decimal_commas(columns) else ""
        return f"{header}, delimiter {delimiter}{decimal}"

    def _has_decimal_commas(self, columns: Sequence[int]) -> bool:
        """Whether all these columns are written with them."""
        if self.delimiter != ";":
            return False
        comma = any("," in row.cells[i] for row in self._rows for i in columns)
        return comma and not self._has_point(columns)

    def kind(self, column: int) -> Kind:
        cells = [row.cells[column] for row in self._rows]
        numbers = sum(
            _is_number(cell) or _DECIMAL_COMMA.fullmatch(cell) is not None for cell in cells
        )
        if numbers == 0 and any(cell.lower() not in _MISSING_LABELS for cell in cells):
            return "text"
        words = numbers + sum(cell.lower() in _MISSING for cell in cells) < len(cells)
        return "mixed" if words else "numbers"

    def has_missing(self, column: int) -> bool:
        missing = _MISSING_LABELS if self.kind(column) == "text" else _MISSING
        return any(row.cells[column].lower() in missing for row in self._rows)

    def place(self, row: int, column: int) -> str:
        line = self._rows[row].line
        return f"{self.source}, line {line} (data row {row + 1}), {column_name(self.names, column)}"

    def numbers(self, columns: Sequence[int]) -> NDArray[np.float64]:
        comma = self._has_decimal_commas(columns)
        values = np.empty((len(self._rows), len(columns)))
        wrong = 0
        message = ""
        for n, row in enumerate(self._rows):
            for k, i in enumerate(columns):
                cell = row.cells[i]
                text = cell.replace(",", ".", 1) if comma else cell
                try:
                    value = float(text)
                except ValueError:
                    value = np.nan
                if "_" in text:  # 1_000 is a number to Python alone
                    value = np.nan
                values[n, k] = value
                if not math.isfinite(value):
                    wrong += 1
                    if wrong == 1:
                        complaint = _complaint(cell, self.delimiter, self._has_point(columns))
                        message = f"{self.place(n, i)}: {complaint}"
        if wrong:
            raise TableError(message + more_such_cells(wrong))
        return values

    def labels(self, column: int) -> list[Label]:
        cells = [row.cells[column] for row in self._rows]
        missing = [n for n, cell in enumerate(cells) if cell.lower() in _MISSING_LABELS]
        if missing:
            complaint = _complaint(cells[missing[0]], self.delimiter, False)
            raise TableError(
                f"{self.place(missing[0], column)}: {complaint}{more_such_cells(len(missing))}"
            )
        return [printable(cell) for cell in cells]

    def _has_point(self, columns: Sequence[int]) -> bool:
        return any("." in row.cells[i] for row in self._rows for i in columns)


def find_column(table: Columns, column: str | int) -> int:
    """The index (from 0) of a column given by name or number.

    Parameters
    ----------
    table : Columns
    column : str or int
        A name; or a number, counted from 1, or from the end when negative (-1 is the last).
        A column whose name is that number comes first.

    Raises
    ------
    TableError
        If there is no such column, or more than one of that name.
    """
    text = str(column).strip()
    if text in table.names:
        return table.names.index(text)
    twins = [
        i + 1 for i, name in enumerate(table.names) if name == f"{text} (column {i + 1})" and text
    ]
    if twins:
        numbers = " and ".join(map(str, twins))
        raise TableError(f"more than one column is called {text!r}: give its number, {numbers}")
    if re.fullmatch(r"[+-]?\d{1,9}", text):
        number = int(text)
        if 1 <= abs(number) <= len(table.names):
            return number - 1 if number > 0 else len(table.names) + number
        raise TableError(
            f"no column {number}: the file has {len(table.names)}, counted from 1 "
            f"(or from -1, the last, backwards)"
        )
    known = ", ".join(map(repr, table.names[:20])) + (", ..." if len(table.names) > 20 else "")
    reason = "" if table.has_header else " (the file has no header; give a number, from 1)"
    raise TableError(f"no column {text!r}{reason}; the columns are {known}")


def _decode(data: bytes, source: str) -> str:
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "")
    if not encoding and b"\0" in data:
        encoding = _wide_encoding(data[:4096])
        if not encoding:
            raise TableError(
                f"{source}: not a text file, or not in UTF-8, UTF-16 or UTF-32 "
                f"(save a spreadsheet as CSV first, a text as UTF-8)"
            )
    try:
        return data.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError as error:
        if encoding:
            raise TableError(
                f"{source}: begins as a text in {encoding.upper()} but is damaged at byte "
                f"{error.start} (save it as UTF-8)"
            ) from None
        return data.decode("latin-1")  # numbers are the same; only names can look odd


def _wide_encoding(head: bytes) -> str:
    """The encoding of two or four bytes a character in which these bytes are a text, or none."""
    for encoding in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        try:
            # Incremental, for the last character may be cut.
            text = codecs.getincrementaldecoder(encoding)().decode(head)
        except UnicodeDecodeError:
            continue
        if "\0" not in text and 2 * sum(c.isascii() for c in text) > len(text):
            return encoding
    return ""


def _lines(text: str) -> list[tuple[int, str]]:
    """The lines that are neither blank nor comments, with their numbers in the file."""
    lines = enumerate(io.StringIO(text, newline=""), start=1)
    return [(i, line) for i, line in lines if line.strip() and not line.lstrip().startswith("#")]


def _records(lines: Sequence[tuple[int, str]], delimiter: str, source: str) -> list[_Record]:
    def texts() -> Iterator[str]:
        for _, line in lines:
            yield " ".join(line.split()) if delimiter == " " else line

    reader = csv.reader(texts(), delimiter=delimiter, skipinitialspace=True)
    records = []
    used = 0
    try:
        for cells in reader:
            records.append(_Record(lines[used][0], [cell.strip() for cell in cells]))
            used = reader.line_num
    except csv.Error as error:
        raise TableError(
            f"{source}, line {lines[min(used, len(lines) - 1)][0]}: {error} "
            f"(is a quotation mark not closed?)"
        ) from None
    return records


def _find_delimiter(lines: Sequence[tuple[int, str]]) -> str:
    """The delimiter that makes most cells numbers, in rows of most nearly equal length."""
    best = ","
    best_score = (-1.0, 0.0, 0)
    for delimiter in DELIMITERS:
        try:
            records = _records(lines, delimiter, "")
        except TableError:
            continue
        width, count = Counter(len(record.cells) for record in records).most_common(1)[0]
        if max(len(record.cells) for record in records) < 2:
            continue
        cells = [cell for record in records[1:] or records for cell in record.cells]
        numbers = sum(_looks_numeric(cell, delimiter) for cell in cells) / len(cells)
        score = (round(numbers, 3), count / len(records), width)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _looks_numeric(cell: str, delimiter: str) -> bool:
    return (
        _is_number(cell)
        or cell.lower() in _MISSING
        or (delimiter != "," and _DECIMAL_COMMA.fullmatch(cell) is not None)
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell and cell.lower() not in _MISSING


def _width(records: Sequence[_Record]) -> int:
    """Number of columns: that of the first record, without columns at the end that are empty."""
    filled = max(_last_filled(record.cells) for record in records)
    return min(len(records[0].cells), max(1, filled))


def _last_filled(cells: Sequence[str]) -> int:
    """The number, from 1, of the last cell that is not empty; 0 if all are."""
    return next((i for i in range(len(cells), 0, -1) if cells[i - 1]), 0)


def _is_header(records: Sequence[_Record], width: int, source: str) -> bool:
    first = records[0]
    cells = first.cells[:width]
    numbers = [_is_number(cell) or bool(_DECIMAL_COMMA.fullmatch(cell)) for cell in cells]
    words = [i for i, cell in enumerate(cells) if not numbers[i] and cell.lower() not in _MISSING]
    if not words or len(words) > sum(numbers):
        return bool(words)
    below = [{row.cells[i] for row in records[1:] if i < len(row.cells)} for i in words]
    if all(cells[i] in cells_below for i, cells_below in zip(words, below, strict=True)):
        return False
    raise TableError(
        f"{source}, line {first.line}, column {words[0] + 1}: {_quote(cells[words[0]])} is not "
        f"a number as others in this line are; if the line is a header, say so (--header), "
        f"or --no-header"
    )


def _check_width(record: _Record, width: int, first: _Record, source: str, delimiter: str) -> None:
    cells = record.cells
    if len(cells) == width or (len(cells) > width and not any(cells[width:])):
        return
    many = f"{len(cells)} field" + "s" * (len(cells) != 1)
    hint = ""
    if any("\n" in cell or "\r" in cell for cell in cells):
        hint = "; is a quotation mark not closed?"
    raise TableError(
        f"{source}, line {record.line}: {many} where line {first.line} has {width} "
        f"(delimiter: {DELIMITERS.get(delimiter, repr(delimiter))}){hint}"
    )


def unique_names(header: Sequence[str]) -> tuple[str, ...]:
    """One printable name a column, all different."""
    clean = [printable(name) or f"column {i}" for i, name in enumerate(header, start=1)]
    counts = Counter(clean)
    names: dict[str, None] = {}  # a set in order
    for i, name in enumerate(clean, start=1):
        unique = name if counts[name] == 1 else f"{name} (column {i})"
        while unique in names:  # a header that imitates our own suffix
            unique += "'"
        names[unique] = None
    return tuple(names)


def printable(text: str) -> str:
    """The text in one line, without control characters."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def column_name(names: Sequence[str], column: int) -> str:
    """``column 2 ('x')``, for an error message."""
    number = f"column {column + 1}"
    return number + (f" ({names[column]!r})" if names[column] != number else "")


def more_such_cells(n: int) -> str:
    """The end of an error message that names the first of ``n`` cells."""
    return f"; {n} such cells in all" if n > 1 else ""


def _complaint(cell: str, delimiter: str, point: bool) -> str:
    """What is wrong with a cell that is not a finite number."""
    if not cell:
        return "the value is missing"
    shown = _quote(cell)
    if cell.lower() in _MISSING:
        return f"the value is missing ({shown})"
    if _is_number(cell):
        return f"{shown} is not finite"
    if "," in cell and re.fullmatch(r"[+-]?[\d.,]+", cell):
        if delimiter == ";" and point:
            return f"{shown} has a comma where other numbers have a decimal point"
        return f"{shown} is not a number (decimal commas are read in files with semicolons only)"
    if "\n" in cell or "\r" in cell:
        return f"{shown} runs over several lines; is a quotation mark not closed?"
    return f"{shown} is not a number"


def _quote(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:37] + "...")
