"""What is to be fitted: inputs and target from a table, and which rows are held out."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpcore.cli.options import PROGRAM, delimiter
from mlpcore.cli.report import UserError, count, short
from mlpcore.datasets import load_concrete
from mlpcore.scaling import constant_columns
from mlpcore.splitting import split_off
from mlpcore.tables import Columns, Label, TableError, find_column, read_columns

__all__ = ["Problem", "Split", "counts_rows", "read_problem", "split_rows", "without_constants"]

_MIN_ROWS = 10
_MIN_CLASS_ROWS = 3  # one for each part
_FEW_NUMBERS = 10  # so many different whole numbers of a target may be meant as classes


class Problem(NamedTuple):
    """What is to be fitted."""

    title: str  # of the output files
    source: str  # for the reader
    X: NDArray[np.float64]
    t: NDArray[Any]  # float64, or the number of the class in `labels`
    inputs: tuple[str, ...]
    target: str
    input_units: tuple[str, ...]
    unit: str  # of the target; empty if unknown
    label: str  # the target in the picture
    notes: tuple[str, ...]
    labels: tuple[Label, ...]  # the classes; empty for a regression
    input_columns: tuple[int, ...]  # in the file, from 1
    target_column: int
    n_columns: int
    has_header: bool
    left_out: tuple[str, ...]  # names of columns that are neither inputs nor target

    @property
    def output(self) -> str:
        """The output units of a network for it."""
        if not self.labels:
            return "linear"
        return "sigmoid" if len(self.labels) == 2 else "softmax"


class Split(NamedTuple):
    """Row numbers, from 0, of the three parts."""

    training: NDArray[np.intp]
    validation: NDArray[np.intp]
    test: NDArray[np.intp]


def read_problem(options: argparse.Namespace) -> Problem:
    """The problem in the file, or that of the concrete data."""
    return _concrete(options) if options.file is None else _from_file(options)


def _concrete(options: argparse.Namespace) -> Problem:
    given = [
        name for name in ("target", "delimiter", "header") if getattr(options, name) is not None
    ]
    for name in given + ["classes"] * options.classes:
        raise UserError(
            f"--{name} is for a file, and none is given (see {PROGRAM} {options.command} --help)"
        )
    data = load_concrete()
    columns = len(data.feature_names) + 1
    return Problem(
        title="concrete",
        source="1030 mixtures of concrete, which come with mlpcore",
        X=data.X,
        t=data.t,
        inputs=data.feature_names,
        target=data.target_name,
        input_units=data.feature_units,
        unit=data.target_unit,
        label="compressive strength",
        notes=("I-C. Yeh, Concrete Compressive Strength, UCI repository, 1998 (CC BY 4.0)",),
        labels=(),
        input_columns=tuple(range(1, columns)),
        target_column=columns,
        n_columns=columns,
        has_header=True,
        left_out=(),
    )


def _from_file(options: argparse.Namespace) -> Problem:
    table = read_columns(
        options.file, delimiter=delimiter(options.delimiter), header=options.header
    )
    names = table.names
    target = find_column(table, -1 if options.target is None else options.target)
    keep = [i for i in range(len(names)) if i != target]
    notes = []
    left_out = []
    if keep and keep[0] == 0 and counts_rows(table):
        notes.append("left out: column 1, which has no name and counts the rows")
        left_out.append(names[0])
        del keep[0]
    if not keep:
        raise UserError(
            f"{options.file}: no input beside the target {names[target]!r}"
            + ("; is it the right delimiter? (--delimiter)" if len(names) == 1 else "")
        )
    classes = options.classes or table.kind(target) == "text"
    labels: tuple[Label, ...] = ()
    t: NDArray[Any]
    if classes:
        X = table.numbers(keep)
        _check_rows(table.n_rows)
        t, labels = _classes(table, target)
        numeric = keep
    else:
        numeric = sorted([*keep, target])
        X, t = _numbers(table, numeric, target)
        notes += _hint(names[target], t)
    largest = max(float(np.abs(A).max()) for A in (X, t))
    if largest > 1e150:
        raise UserError(f"{options.file}: numbers beyond 1e150, whose squares are too large")
    return Problem(
        title=Path(options.file).stem or "model",
        source=(
            f"{options.file}: {count(table.n_rows, 'row')}, {len(names)} columns "
            f"({table.layout(numeric)})"
        ),
        X=X,
        t=t,
        inputs=tuple(names[i] for i in keep),
        target=names[target],
        input_units=("",) * len(keep),
        unit="",
        label=names[target],
        notes=tuple(notes),
        labels=labels,
        input_columns=tuple(i + 1 for i in keep),
        target_column=target + 1,
        n_columns=len(names),
        has_header=table.has_header,
        left_out=tuple(left_out),
    )


def counts_rows(table: Columns) -> bool:
    """Whether column 1 is the index that data frames write: without a name, 0, 1, 2, ..."""
    unnamed = table.has_header and table.names[0] in ("column 1", "Unnamed: 0", "__index_level_0__")
    if not unnamed or table.kind(0) != "numbers" or table.has_missing(0):
        return False
    values = table.numbers([0])[:, 0]
    return any(np.array_equal(values, np.arange(len(values)) + first) for first in (0, 1))


def _check_rows(n: int) -> None:
    if n < _MIN_ROWS:
        raise UserError(f"{count(n, 'row')} of data: at least {_MIN_ROWS} are needed")


def _numbers(
    table: Columns, columns: Sequence[int], target: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The inputs and the target of a regression."""
    try:
        values = table.numbers(columns)
    except TableError as error:
        mixed = table.kind(target) == "mixed"
        hint = "; to take the target for classes, say --classes" if mixed else ""
        raise TableError(f"{error}{hint}") from None
    _check_rows(len(values))
    k = list(columns).index(target)
    return np.ascontiguousarray(np.delete(values, k, axis=1)), values[:, k].copy()


def _hint(name: str, t: NDArray[np.float64]) -> list[str]:
    """A note if the target looks like classes: few whole numbers, each in several rows."""
    values, counts = np.unique(t, return_counts=True)
    whole = bool((values == np.round(values)).all())
    if not whole or not 2 <= len(values) <= _FEW_NUMBERS or counts.min() < _MIN_CLASS_ROWS:
        return []
    return [f"{name!r} has only {len(values)} different whole numbers: for classes, say --classes"]


def _classes(table: Columns, target: int) -> tuple[NDArray[np.intp], tuple[Label, ...]]:
    """The number of the class of each row, and the classes in order."""
    name = table.names[target]
    numeric = table.kind(target) == "numbers"
    cells = _whole_numbers(table, target) if numeric else table.labels(target)
    counts = Counter(cells)
    # Within a table all of them are of one type.
    labels = sorted(counts, key=lambda label: (isinstance(label, str), label))
    n = len(cells)
    if len(labels) == 1:
        raise UserError(
            f"the target {name!r} is constant ({_shown(labels[0])}): there is nothing to fit"
        )
    if len(labels) * _MIN_CLASS_ROWS > n:
        what = "" if numeric else f"{_shown(cells[0])} is no number, and "
        raise UserError(
            f"{table.place(0, target)}: {what}{len(labels)} different values in {n} rows are too "
            f"many for classes, of which each needs {_MIN_CLASS_ROWS} rows"
        )
    for label in labels:
        if counts[label] < _MIN_CLASS_ROWS:
            raise UserError(
                f"{table.place(cells.index(label), target)}: the class {_shown(label)} has only "
                f"{count(counts[label], 'row')}: at least {_MIN_CLASS_ROWS} are needed"
            )
    index = {label: k for k, label in enumerate(labels)}
    return np.array([index[cell] for cell in cells], np.intp), tuple(labels)


def _whole_numbers(table: Columns, target: int) -> list[Label]:
    values = table.numbers([target])[:, 0]
    wrong = np.flatnonzero((values != np.round(values)) | (np.abs(values) >= 2**53))
    if wrong.size:
        raise UserError(
            f"{table.place(int(wrong[0]), target)}: {values[wrong[0]]:g} is no whole number below "
            f"2^53, as --classes expects"
        )
    return [int(value) for value in values]


def _shown(label: Label) -> str:
    return short(repr(label), 40)


def split_rows(problem: Problem, options: argparse.Namespace) -> Split:
    """Rows by chance; of a classification each class gives its share to every part."""
    n = len(problem.t)
    if options.test_fraction == 0:
        raise UserError("--test-fraction: some rows must be held out, got 0")
    n_test = max(1, round(options.test_fraction * n))
    n_validation = round(options.validation_fraction * n)
    if options.validation_fraction > 0:
        n_validation = max(1, n_validation)
    least = max(2, len(problem.labels))
    if n - n_test - n_validation < least:
        raise UserError(
            f"{n_test} of {n} rows for the test and {n_validation} for validation leave fewer than "
            f"{least} for training: lower --test-fraction or --validation-fraction"
        )
    if problem.labels:
        return _stratified_split(problem.t, n_test, n_validation, options.seed)
    rows = np.random.default_rng(options.seed).permutation(n)
    test, validation, training = np.split(rows, [n_test, n_test + n_validation])
    return Split(np.sort(training), np.sort(validation), np.sort(test))


def _stratified_split(
    classes: NDArray[np.intp], n_test: int, n_validation: int, seed: int
) -> Split:
    rest, test = split_off(len(classes), n_test / len(classes), seed, classes)
    if n_validation == 0:
        return Split(rest, rest[:0], test)
    training, validation = split_off(len(rest), n_validation / len(rest), seed, classes[rest])
    return Split(rest[training], rest[validation], test)


def without_constants(problem: Problem, training: NDArray[np.intp]) -> Problem:
    """The problem without the inputs that say nothing in the training part."""
    if not problem.labels and constant_columns(problem.t[training, np.newaxis])[0]:
        where = "" if constant_columns(problem.t[:, np.newaxis])[0] else " in the training part"
        raise UserError(
            f"the target {problem.target!r} is constant{where} ({problem.t[training[0]]:g}): "
            f"there is nothing to fit"
        )
    constant = constant_columns(problem.X[training])
    if constant.all():
        raise UserError("every input is constant in the training part: there is nothing to fit")
    if not constant.any():
        return problem
    left_out = [name for name, c in zip(problem.inputs, constant, strict=True) if c]
    keep = np.flatnonzero(~constant)
    return problem._replace(
        X=np.ascontiguousarray(problem.X[:, keep]),
        inputs=tuple(problem.inputs[i] for i in keep),
        input_units=tuple(problem.input_units[i] for i in keep),
        input_columns=tuple(problem.input_columns[i] for i in keep),
        notes=(*problem.notes, f"left out, constant in the training part: {', '.join(left_out)}"),
        left_out=(*problem.left_out, *left_out),
    )
