"""``predict``: use a saved model on a table."""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from mlpcore.cli.files import refuse_to_overwrite
from mlpcore.cli.fitting import rmse
from mlpcore.cli.model import Model, load_model
from mlpcore.cli.options import delimiter
from mlpcore.cli.problem import counts_rows
from mlpcore.cli.report import UserError, complain, count, discard, number, say, short
from mlpcore.parquet import need_pyarrow, write_parquet
from mlpcore.persistence import replacing
from mlpcore.tables import Columns, TableError, read_columns

__all__ = ["run"]

Array = NDArray[np.float64]
_MOST_NAMES = 10  # of columns in an error message


class _Found(NamedTuple):
    """The model's columns in a table, from 0."""

    inputs: list[int]
    target: int | None


def run(options: argparse.Namespace) -> int:
    """Run the subcommand; return the exit status."""
    output = None if options.output is None else Path(options.output)
    if output is not None:
        _check_output(output)
        for source in (options.model, options.file):
            refuse_to_overwrite(source, output)
    model = load_model(options.model)
    table = read_columns(
        options.file, delimiter=delimiter(options.delimiter), header=options.header
    )
    found = _find(table, model, options.ignore_others)
    X = table.numbers(found.inputs)
    if np.abs(X).max() > 1e150:
        raise UserError(f"{options.file}: numbers beyond 1e150, whose squares are too large")
    truth = None if found.target is None else _truth(table, model, found.target)

    y = model.predict(X)
    columns = _columns(model, X, y, options.jacobian)
    _check_finite(columns, options.file)
    if output is None:
        _to_stdout(columns)
    else:
        _to_file(output, columns)
        written = f"{count(len(y), 'row')}, {count(len(columns), 'column')}"
        say(f"Predictions  {output}: {written}")
    if truth is not None:
        complain(_score(model, truth, y))
    return 0


# The model's columns in the table


def _find(table: Columns, model: Model, ignore_others: bool) -> _Found:
    if not model.has_header:
        return _by_position(table, model)
    names = {name: i for i, name in enumerate(table.names)}
    missing = [name for name in model.input_names if name not in names]
    if missing:
        raise UserError(f"{table.source}: {_missing(table, missing)}")
    known = {*model.input_names, model.target, *model.left_out}
    others = [name for i, name in enumerate(table.names) if name not in known and i > 0]
    if table.names[0] not in known and not counts_rows(table):
        others.insert(0, table.names[0])
    if others and not ignore_others:
        raise UserError(
            f"{table.source}: {_listed(others)}: neither input nor target of the model; to let "
            f"other columns be, say --ignore-others"
        )
    return _Found([names[name] for name in model.input_names], names.get(model.target))


def _missing(table: Columns, missing: Sequence[str]) -> str:
    """What is wrong with a table in which the model's inputs are not found."""
    if not table.has_header:
        return (
            f"no header, and the model finds its inputs by their names, as {missing[0]!r}; "
            f"if the first line is a header, say so (--header)"
        )
    for name in missing:
        if any(name == other.rpartition(" (column ")[0] for other in table.names):
            return f"more than one column is called {name!r}, an input of the model"
    return (
        f"no {'column' if len(missing) == 1 else 'columns'} {_listed(missing)}, which the model "
        f"needs; the columns are {_listed(table.names)}"
    )


def _by_position(table: Columns, model: Model) -> _Found:
    """Columns of a model that was fitted to a table without names, with its target or without."""
    target = model.target_column - 1
    inputs = [i - 1 for i in model.input_columns]
    n = len(table.names)
    if n == model.n_columns:
        return _Found(inputs, target)
    if n == model.n_columns - 1:
        return _Found([i - (i > target) for i in inputs], None)
    raise UserError(
        f"{table.source}: {count(n, 'column')}, expected {model.n_columns} as in the table of the "
        f"model, or {model.n_columns - 1} without its target"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(short(name, 40)) for name in names[:_MOST_NAMES])
    return shown + (", ..." if len(names) > _MOST_NAMES else "")


# What is written


def _columns(model: Model, X: Array, y: Array, jacobian: bool) -> dict[str, Any]:
    """Each column of the output by its name."""
    predicted = f"predicted {model.target}"
    if model.labels:
        quantities = [f"P({label})" for label in model.labels]
        labels = [model.labels[k] for k in y.argmax(axis=1)]
        named: list[tuple[str, Any]] = [(predicted, labels)]
        named += zip(quantities, y.T, strict=True)
    else:
        quantities = [model.target]
        named = [(predicted, y[:, 0])]
    if jacobian:
        J = np.concatenate(list(model.jacobians(X)))
        named += [
            (f"d {quantity}/d {name}", J[:, k, i])
            for k, quantity in enumerate(quantities)
            for i, name in enumerate(model.input_names)
        ]
    columns: dict[str, Any] = {}
    for name, values in named:
        unique = name
        while unique in columns:  # of classes and inputs whose names imitate ours
            unique += "'"
        columns[unique] = values
    return columns


def _check_finite(columns: dict[str, Any], source: str) -> None:
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise UserError(
                f"{source}, data row {row + 1}: {name!r} is too large for a number; are the "
                f"inputs in the units of the model?"
            )


def _check_output(output: Path) -> None:
    suffix = output.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise UserError(
            f"--output: expected a name that ends in .csv or .parquet, got {str(output)!r}"
        )
    if suffix == ".parquet":
        need_pyarrow(output)
    if output.exists() and not output.is_file():
        raise UserError(f"can't write to {output}: not a regular file")


def _to_file(output: Path, columns: dict[str, Any]) -> None:
    with replacing(output) as file:
        if output.suffix.lower() == ".parquet":
            write_parquet(file, output, columns)
            return
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        _write_csv(text, columns)
        text.flush()
        text.detach()  # the file is closed by who has opened it


def _to_stdout(columns: dict[str, Any]) -> None:
    if sys.stdout is None:
        raise UserError("standard output is closed: say where the predictions go (-o)")
    if hasattr(sys.stdout, "reconfigure") and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")  # data, that others read: no letter is replaced
    try:
        _write_csv(sys.stdout, columns)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has enough rows; how good they are is said all the same
        discard(sys.stdout)


def _write_csv(file: TextIO, columns: dict[str, Any]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    # Python's own numbers are written with all their digits.
    lists = [c.tolist() if isinstance(c, np.ndarray) else c for c in columns.values()]
    writer.writerows(zip(*lists, strict=True))


# How good it is


def _truth(table: Columns, model: Model, target: int) -> Any:
    """The target as the table has it: numbers, or the words of classes; None if it is missing."""
    if table.has_missing(target):
        complain(f"note: {model.target!r} has missing values, so the error is not reported")
        return None
    if not model.labels:
        return table.numbers([target])[:, 0]
    if all(type(label) is int for label in model.labels):
        return [f"{value:.17g}" for value in table.numbers([target])[:, 0]]
    if table.kind(target) == "numbers":
        raise TableError(
            f"{table.place(0, target)}: a number, where the model has classes: "
            f"{_listed([str(label) for label in model.labels])}"
        )
    return [_word(label, model) for label in table.labels(target)]


def _word(label: Any, model: Model) -> str:
    # true, True and TRUE are one, as programs differ in how they write it.
    booleans = all(str(known).lower() in ("true", "false") for known in model.labels)
    return str(label).lower() if booleans else str(label)


def _score(model: Model, truth: Any, y: Array) -> str:
    rows = count(len(y), "row")
    if not model.labels:
        unit = f" {model.unit}" if model.unit else ""
        return f"RMSE {number(rmse(truth, y[:, 0]))}{unit} on {rows}"
    words = [_word(label, model) for label in model.labels]
    predicted = [words[k] for k in y.argmax(axis=1)]
    right = sum(itertools.starmap(str.__eq__, zip(truth, predicted, strict=True)))
    known = set(words)
    unknown = sum(word not in known for word in truth)
    more = f", {count(unknown, 'row')} of classes unknown to the model" if unknown else ""
    return f"accuracy {100 * right / len(y):.1f} % on {rows}{more}"
