"""The command line: fit a regression to a table, and say how good it is and what matters.

``python -m mlpcore`` fits the concrete data of the package, ``python -m mlpcore my.csv`` a file.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from mlpcore import __version__, plots
from mlpcore.datasets import load_concrete
from mlpcore.network import Network
from mlpcore.persistence import save
from mlpcore.scaling import Standardizer, constant_columns, unscale_jacobian
from mlpcore.tables import DELIMITERS, TableError, find_column, read_table
from mlpcore.training import TrainResult, train

__all__ = ["main"]

_PROGRAM = "python -m mlpcore"
_MIN_ROWS = 10
_INTERRUPTED = 130  # as shells report a death by SIGINT

_DESCRIPTION = """\
Fit a small neural network to the numbers in a CSV file: one column is the target, the others are
the inputs. Without a file, to the concrete data that come with the package.

Rows are held out for testing and for early stopping, inputs and target are standardized, the
weights decay. Printed are the errors beside those of a linear fit, why training stopped, and how
strongly the prediction depends on each input. The model is saved as NAME.npz and, where matplotlib
is installed, the learning curves and the predictions against the truth as NAME.png.
"""

_EPILOG = """\
examples:
  python -m mlpcore
  python -m mlpcore my.csv --target strength --hidden 50
  python -m mlpcore my.csv --target -1 --hidden 20,20 --activation softplus -o results

The file may have a header or none; comma, semicolon, tab, pipe or blanks as delimiter; quoted
fields; comment lines that begin with '#'. A cell that is missing or not a number is an error that
names its line and column. Columns that are constant are left out. In Python,
mlpcore.load("NAME.npz") gives the network, its weights and, as extras, the scaling and the names.

exit status: 0 done, 2 an error (one line on stderr), 130 interrupted before anything was fitted.
Ctrl-C during training keeps the best network so far and reports it.
"""


class _Error(Exception):
    """What is wrong, in one line for the user."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Error(f"{message} (see {_PROGRAM} --help)")


class _Problem(NamedTuple):
    """What is to be fitted."""

    title: str  # of the output files
    source: str  # for the reader
    X: NDArray[np.float64]
    t: NDArray[np.float64]
    inputs: tuple[str, ...]
    target: str
    input_units: tuple[str, ...]
    unit: str  # of the target; empty if unknown
    label: str  # the target in the picture
    notes: tuple[str, ...]


class _Split(NamedTuple):
    """Row numbers, from 0, of the three parts."""

    training: NDArray[np.intp]
    validation: NDArray[np.intp]
    test: NDArray[np.intp]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process when None.

    Returns
    -------
    int
        0 when done, 2 after an error (one line on stderr), 130 when interrupted before anything
        was fitted.
    """
    if hasattr(sys.stdout, "reconfigure"):
        # A column's name that the terminal can't show is no reason to fail.
        sys.stdout.reconfigure(errors="replace")
    try:
        try:
            status = _run(_parser().parse_args(argv))
        except SystemExit as exit_:  # argparse, after --help and --version
            status = int(exit_.code or 0)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        _discard_stdout()
        return 1
    except KeyboardInterrupt:
        _complain("interrupted")
        return _INTERRUPTED
    except (_Error, TableError) as error:
        _complain(f"error: {error}")
    except OSError as error:
        _complain(f"error: {_os_error(error)}")
        _discard_stdout()
    except MemoryError:
        _complain("error: not enough memory")
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROGRAM,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("csv", nargs="?", metavar="FILE", help="CSV file (default: the concrete data)")
    add("--version", action="version", version=f"mlpcore {__version__}")

    data = parser.add_argument_group("data")
    add = data.add_argument
    add("--target", metavar="COLUMN", help="name or number, from 1 or from -1 (default: the last)")
    add("--delimiter", metavar="CHAR", help="of the fields, or tab, blanks (default: found)")
    add(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="whether the first line holds the names (default: found)",
    )
    add(
        "--test-fraction",
        type=_fraction,
        default=0.2,
        metavar="F",
        help="rows held out for the test (default: %(default)s)",
    )
    add(
        "--validation-fraction",
        type=_fraction,
        default=0.1,
        metavar="F",
        help="rows held out for early stopping; 0 for none (default: %(default)s)",
    )

    network = parser.add_argument_group("network and training")
    add = network.add_argument
    add(
        "--hidden",
        type=_sizes,
        default=(50,),
        metavar="M[,M...]",
        help="units of each hidden layer; 0 for a linear network (default: 50)",
    )
    add(
        "--activation",
        type=_words,
        default=("tanh",),
        metavar="NAME[,...]",
        help="sigmoid, tanh, relu, leaky_relu, softplus, elu, gelu, silu or identity; one, or one "
        "a hidden layer (default: tanh)",
    )
    add(
        "--optimizer",
        choices=("adam", "sgd", "lbfgs"),
        default="adam",
        help="(default: %(default)s)",
    )
    add(
        "--learning-rate",
        type=_positive,
        default=0.003,
        metavar="R",
        help="of adam and sgd (default: %(default)s)",
    )
    add(
        "--batch-size",
        type=_at_least_1,
        default=32,
        metavar="N",
        help="rows of a step of adam and sgd (default: %(default)s)",
    )
    add(
        "--epochs",
        type=_at_least_1,
        default=2000,
        metavar="N",
        help="at most (default: %(default)s)",
    )
    add(
        "--patience",
        type=_at_least_0,
        default=200,
        metavar="N",
        help="stop when the validation error has not improved for so many epochs; 0 for never "
        "(default: %(default)s)",
    )
    add(
        "--weight-decay",
        type=_not_negative,
        default=0.1,
        metavar="A",
        help="A/2 times the sum of the squared weights is added to half the sum of the squared "
        "errors in standardized units (default: %(default)s)",
    )
    add(
        "--seed",
        type=_at_least_0,
        default=0,
        metavar="N",
        help="of the split, the first weights and the order of the samples (default: %(default)s)",
    )

    output = parser.add_argument_group("output")
    add = output.add_argument
    add(
        "-o",
        "--output-dir",
        default=".",
        metavar="FOLDER",
        help="where the model and the picture go; made if need be (default: here)",
    )
    add("--no-plot", action="store_true", help="no picture")
    return parser


def _run(options: argparse.Namespace) -> int:
    problem = _concrete(options) if options.csv is None else _from_file(options)
    folder = _output_folder(options.output_dir)
    model_file, picture_file = (folder / f"{problem.title}{suffix}" for suffix in (".npz", ".png"))
    _refuse_to_overwrite(options.csv, model_file, picture_file)
    split = _split(len(problem.t), options)
    problem = _without_constants(problem, split.training)

    net, w = _network(len(problem.inputs), options)
    _say(f"mlpcore {__version__}: regression of {problem.target} on {_inputs(problem)}")
    _say()
    _say(f"Data      {problem.source}")
    for note in problem.notes:
        _say(f"          {note}")
    _say(
        f"Split     {len(split.training)} rows for training, {len(split.validation)} for "
        f"validation, {len(split.test)} for the test (seed {options.seed})"
    )
    sizes = "-".join(map(str, net.layers))
    hidden = ", ".join(dict.fromkeys(net.hidden)) or "no hidden layer"
    _say(f"Network   {sizes}, {hidden}, {net.n_weights} weights")
    patience = options.patience if len(split.validation) and options.patience else None
    steps = f" (learning rate {options.learning_rate:g}, batches of {options.batch_size})"
    _say(
        f"Training  {options.optimizer}{'' if options.optimizer == 'lbfgs' else steps}, "
        f"weight decay {options.weight_decay:g},"
    )
    _say(
        f"          at most {options.epochs} epochs, "
        + (f"patience {patience}" if patience else "no early stopping")
    )

    inputs = Standardizer.fit(problem.X[split.training])
    targets = Standardizer.fit(problem.t[split.training, np.newaxis])
    X = inputs.transform(problem.X)
    T = targets.transform(problem.t[:, np.newaxis])
    result = _fit(net, w, X, T, split, options, patience)
    if result.stopped == "interrupted" and result.best_epoch == 0:
        _complain("interrupted before anything was learned; nothing was saved")
        return _INTERRUPTED
    if result.stopped == "diverged" and result.best_epoch == 0:
        raise _Error(f"nothing was learned: {result.message}")
    if result.stopped == "diverged":
        _complain(f"warning: {result.message}")
    _say(f"Stopped   {_one_line(result.message)}")
    _say(
        f"          after epoch {result.n_epochs}, {result.seconds:.1f} s; "
        f"best epoch {result.best_epoch}"
    )

    y = targets.inverse(net.forward(result.w, X))[:, 0]
    linear = targets.inverse(_linear_fit(X, T, split.training))[:, 0]
    errors = _report_errors(problem, split, y, linear)
    J = unscale_jacobian(net.jacobian(result.w, X), inputs, targets)
    sensitivities = np.abs(J[:, 0, :]).mean(axis=0)
    _report_sensitivities(problem, sensitivities, sensitivities * inputs.scale)

    save(
        model_file,
        net,
        result.w,
        input_names=list(problem.inputs),
        input_mean=inputs.mean,
        input_scale=inputs.scale,
        target_name=problem.target,
        target_mean=float(targets.mean[0]),
        target_scale=float(targets.scale[0]),
        training_rows=split.training,
        validation_rows=split.validation,
        test_rows=split.test,
        rmse={part: network for part, (network, _) in errors.items()},
        optimizer=options.optimizer,
        weight_decay=options.weight_decay,
        seed=options.seed,
        best_epoch=int(result.best_epoch),
        written_by=f"mlpcore {__version__}",
    )
    _say()
    _say(f"Model     {model_file}")
    if not options.no_plot:
        _say(f"Picture   {_picture(picture_file, problem, split, result, y, targets)}")
    return 0


# Data


def _concrete(options: argparse.Namespace) -> _Problem:
    for name in ("target", "delimiter", "header"):
        if getattr(options, name) is not None:
            raise _Error(f"--{name} is for a file, and none is given (see {_PROGRAM} --help)")
    data = load_concrete()
    return _Problem(
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
    )


def _from_file(options: argparse.Namespace) -> _Problem:
    table = read_table(options.csv, delimiter=_delimiter(options.delimiter), header=options.header)
    target = find_column(table, -1 if options.target is None else options.target)
    t = table.values[:, target]
    keep = [i for i in range(len(table.names)) if i != target]
    rows, columns = table.values.shape
    notes = []
    if keep and keep[0] == 0 and table.has_header and _counts_rows(table.names[0], table.values):
        notes.append("left out: column 1, which has no name and counts the rows")
        del keep[0]
    if not keep:
        raise _Error(
            f"{options.csv}: no input beside the target {table.names[target]!r}"
            + ("; is it the right delimiter? (--delimiter)" if columns == 1 else "")
        )
    if np.abs(table.values).max() > 1e150:
        raise _Error(f"{options.csv}: numbers beyond 1e150, whose squares are too large")
    header = "header" if table.has_header else "no header"
    decimal = ", decimal commas" if table.decimal == "," else ""
    return _Problem(
        title=Path(options.csv).stem or "model",
        source=(
            f"{options.csv}: {rows} rows, {columns} columns ({header}, delimiter "
            f"{DELIMITERS.get(table.delimiter, repr(table.delimiter))}{decimal})"
        ),
        X=np.ascontiguousarray(table.values[:, keep]),
        t=t.copy(),
        inputs=tuple(table.names[i] for i in keep),
        target=table.names[target],
        input_units=("",) * len(keep),
        unit="",
        label=table.names[target],
        notes=tuple(notes),
    )


def _counts_rows(name: str, values: NDArray[np.float64]) -> bool:
    """Whether column 1 is the index that data frames write: without a name, 0, 1, 2, ..."""
    counts = np.arange(len(values))
    unnamed = name in ("column 1", "Unnamed: 0")
    return unnamed and any(np.array_equal(values[:, 0], counts + first) for first in (0, 1))


def _split(n: int, options: argparse.Namespace) -> _Split:
    if n < _MIN_ROWS:
        raise _Error(f"{n} row{'s' * (n != 1)} of data: at least {_MIN_ROWS} are needed")
    if options.test_fraction == 0:
        raise _Error("--test-fraction: some rows must be held out, got 0")
    n_test = max(1, round(options.test_fraction * n))
    n_validation = round(options.validation_fraction * n)
    if options.validation_fraction > 0:
        n_validation = max(1, n_validation)
    if n - n_test - n_validation < 2:
        raise _Error(
            f"{n_test} of {n} rows for the test and {n_validation} for validation leave fewer than "
            f"2 for training: lower --test-fraction or --validation-fraction"
        )
    rows = np.random.default_rng(options.seed).permutation(n)
    test, validation, training = np.split(rows, [n_test, n_test + n_validation])
    return _Split(np.sort(training), np.sort(validation), np.sort(test))


def _without_constants(problem: _Problem, training: NDArray[np.intp]) -> _Problem:
    """The problem without the inputs that say nothing in the training part."""
    if constant_columns(problem.t[training, np.newaxis])[0]:
        where = "" if constant_columns(problem.t[:, np.newaxis])[0] else " in the training part"
        raise _Error(
            f"the target {problem.target!r} is constant{where} ({problem.t[training[0]]:g}): "
            f"there is nothing to fit"
        )
    constant = constant_columns(problem.X[training])
    if constant.all():
        raise _Error("every input is constant in the training part: there is nothing to fit")
    if not constant.any():
        return problem
    left_out = ", ".join(name for name, c in zip(problem.inputs, constant, strict=True) if c)
    keep = np.flatnonzero(~constant)
    return problem._replace(
        X=np.ascontiguousarray(problem.X[:, keep]),
        inputs=tuple(problem.inputs[i] for i in keep),
        input_units=tuple(problem.input_units[i] for i in keep),
        notes=(*problem.notes, f"left out, constant in the training part: {left_out}"),
    )


# Fit


def _network(n_inputs: int, options: argparse.Namespace) -> tuple[Network, NDArray[np.float64]]:
    names: tuple[str, ...] = options.activation
    if len(names) == 1:
        names *= len(options.hidden)
    if len(names) != len(options.hidden) and options.hidden:
        raise _Error(
            f"--activation: {len(names)} names for {len(options.hidden)} hidden layers "
            f"(give one, or one a layer)"
        )
    try:
        net = Network((n_inputs, *options.hidden, 1), hidden=names[: len(options.hidden)])
        return net, net.init(seed=options.seed)
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise _Error(f"--hidden or --activation: {_one_line(error)}") from error


def _fit(
    net: Network,
    w: NDArray[np.float64],
    X: NDArray[np.float64],
    T: NDArray[np.float64],
    split: _Split,
    options: argparse.Namespace,
    patience: int | None,
) -> TrainResult:
    held_out = len(split.validation) > 0
    try:
        result: TrainResult = train(
            net,
            w,
            X[split.training],
            T[split.training],
            X[split.validation] if held_out else None,
            T[split.validation] if held_out else None,
            optimizer=options.optimizer,
            epochs=options.epochs,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            weight_decay=options.weight_decay,
            patience=patience,
            seed=options.seed,
            progress=True,
        )
    except (ValueError, TypeError) as error:
        raise _Error(_one_line(error)) from error
    return result


def _linear_fit(
    X: NDArray[np.float64], T: NDArray[np.float64], training: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Predictions (N, 1) of the least-squares fit to the rows on which the network was trained."""
    A = np.column_stack([X, np.ones(len(X))])
    coefficients = np.linalg.lstsq(A[training], T[training], rcond=None)[0]
    predictions: NDArray[np.float64] = A @ coefficients
    return predictions


# Report


def _report_errors(
    problem: _Problem, split: _Split, y: NDArray[np.float64], linear: NDArray[np.float64]
) -> dict[str, tuple[float, float]]:
    """Print the RMSE of the network and of the linear fit on each part, and return them."""
    errors = {
        part: (_rmse(problem.t[rows], y[rows]), _rmse(problem.t[rows], linear[rows]))
        for part, rows in split._asdict().items()
        if len(rows)
    }
    unit = f" ({problem.unit})" if problem.unit else ""
    _say()
    rows = [[f"RMSE{unit}", *errors]]
    for i, model in enumerate(("network", "linear least squares")):
        rows.append([model, *(_number(pair[i]) for pair in errors.values())])
    _table(rows)
    return errors


def _report_sensitivities(
    problem: _Problem, plain: NDArray[np.float64], scaled: NDArray[np.float64]
) -> None:
    unit = f" ({problem.unit})" if problem.unit else ""
    _say()
    _say(f"Sensitivity of {problem.target} to each input, mean |dy/dx| over all rows; times the")
    _say("standard deviation s of the input (in the training rows) to compare one with another")
    _say()
    rows = [["input", "mean |dy/dx|", f"times s{unit}"]]
    for i in np.argsort(-scaled, kind="stable"):
        rows.append([problem.inputs[i], _number(plain[i]), _number(scaled[i])])
        if problem.unit:
            per = problem.input_units[i]
            rows[-1].append(f"{problem.unit} per {per}")
    if problem.unit:
        rows[0].append("unit of dy/dx")
    _table(rows)


def _picture(
    file: Path,
    problem: _Problem,
    split: _Split,
    result: TrainResult,
    y: NDArray[np.float64],
    targets: Standardizer,
) -> str:
    """Draw and save the picture; return its name, or why there is none."""
    try:
        figure = plots.figure()
    except ImportError as error:
        if getattr(error, "name", None) == "matplotlib":
            return 'none, as matplotlib is missing: pip install "mlpcore[plot]"'
        return f"none, as matplotlib can't be imported: {_one_line(error)}"
    left, right = figure.subplots(1, 2)
    plots.learning_curves(result, left, rms_unit=float(targets.scale[0]), unit=problem.unit)
    plots.predicted_against_true(
        problem.t[split.test],
        y[split.test],
        right,
        training=(problem.t[split.training], y[split.training]),
        name=problem.label,
        unit=problem.unit,
    )
    figure.savefig(file, dpi=300)
    return str(file)


def _table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width + 3) for cell, width in zip(others, widths[1:], strict=True)]
        _say("  " + first.ljust(widths[0]) + "".join(cells))


def _inputs(problem: _Problem) -> str:
    n = len(problem.inputs)
    return f"{n} input" + "s" * (n != 1)


def _rmse(t: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean((y - t) ** 2)))


def _number(x: float) -> str:
    """Four significant digits, without an exponent where that is readable."""
    return f"{x:#.4g}".rstrip(".")


def _say(line: str = "") -> None:
    # Flushed line by line: training takes a while, and a reader may have gone.
    print(line, flush=True)


def _complain(message: str) -> None:
    if sys.stderr is not None:
        print(f"mlpcore: {_one_line(message)}", file=sys.stderr, flush=True)


def _one_line(message: object) -> str:
    text = " ".join(str(message).split())
    return text or type(message).__name__


# Files


def _output_folder(name: str) -> Path:
    """The folder, made if need be, after a check that a file can be made in it."""
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _Error(f"can't write to {name}: {error.strerror or error}") from error
    return folder


def _refuse_to_overwrite(source: str | None, *files: Path) -> None:
    for file in files:
        if source is not None and file.exists() and os.path.samefile(source, file):
            raise _Error(f"{file} is the input and would be overwritten: choose another -o")


def _os_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{os.fsdecode(error.filename)}: {reason}" if error.filename is not None else reason


def _discard_stdout() -> None:
    """Send what is still buffered nowhere, so that the exit of Python does not try again."""
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)
    except (OSError, ValueError, AttributeError):
        pass


# Types of options: a ValueError's words are not shown by argparse, ArgumentTypeError's are.


def _fraction(text: str) -> float:
    value = _float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to below 1, got {text!r}")
    return value


def _positive(text: str) -> float:
    value = _float(text)
    if not 0 < value < np.inf:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return value


def _not_negative(text: str) -> float:
    value = _float(text)
    if not 0 <= value < np.inf:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return value


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None


def _at_least_0(text: str) -> int:
    return _integer(text, 0)


def _at_least_1(text: str) -> int:
    return _integer(text, 1)


def _integer(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not least <= value < 2**31:
        raise argparse.ArgumentTypeError(f"expected an integer of at least {least}, got {text!r}")
    return value


def _sizes(text: str) -> tuple[int, ...]:
    if text.strip() == "0":
        return ()
    return tuple(_integer(size.strip(), 1) for size in text.split(","))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


def _delimiter(text: str | None) -> str | None:
    if text is None or text in DELIMITERS:
        return text
    named = {name: character for character, name in DELIMITERS.items()}
    named.update({"\\t": "\t", "space": " ", "blank": " "})
    if text.lower() in named:
        return named[text.lower()]
    if len(text) == 1 and text.isprintable() and not text.isalnum() and text not in "\"'#.+-_":
        return text
    raise _Error(f"--delimiter: expected one character, tab or blanks, got {text!r}")
