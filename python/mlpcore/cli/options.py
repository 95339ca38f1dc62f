"""The options of the subcommands, in groups that they share."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

import numpy as np

from mlpcore import __version__, _core
from mlpcore.checks import either
from mlpcore.cli.report import UserError
from mlpcore.optimizer_settings import USERS, used_by
from mlpcore.tables import DELIMITERS

__all__ = ["PROGRAM", "SUBCOMMANDS", "delimiter", "make_parser", "step_settings"]

PROGRAM = "python -m mlpcore"
SUBCOMMANDS = ("train", "predict", "sweep")
_MOST_SIZES = 1000
_MOST_STARTS = 10_000  # of a size: all of them are in memory at once
# For the optimizers that use them. Of the parser they are no defaults, so that it can be told
# whether an option was given.
_STEP_SETTINGS = {"learning_rate": 0.003, "batch_size": 32}

_DESCRIPTION = f"""\
Fit a small neural network to a table, say how good it is and what matters, and use it.
Without a subcommand: `{PROGRAM} train` on the concrete data that come with the package.
"""

_EXIT_STATUS = """\
exit status: 0 done, 2 an error (one line on stderr), 130 interrupted before anything was fitted.
"""

_EPILOG = f"""\
examples:
  {PROGRAM}
  {PROGRAM} train my.csv --target strength --hidden 50
  {PROGRAM} predict my.npz new.csv -o predictions.csv
  {PROGRAM} sweep my.csv --target strength --hidden 1-10 --starts 30

`{PROGRAM} train --help` has the options of train, and so on.

{_EXIT_STATUS}"""

_TABLES = """\
The file is CSV, with a header or none; comma, semicolon, tab, pipe or blanks as delimiter; quoted
fields; comment lines that begin with '#'. Or it is Parquet, named NAME.parquet. A cell of an input
that is missing or not a number is an error that names its line and column."""

_TRAIN = """\
Fit a small neural network to a table: one column is the target, the others are the inputs. A
target of numbers makes a regression; one of text or booleans a classification. Without a file, the
concrete data that come with the package.

Rows are held out for testing and for early stopping (of each class its share), the inputs and the
target of a regression are standardized, the weights decay. Printed are the errors beside those of
a linear fit, or of the most frequent class, why training stopped, and how strongly the prediction
depends on each input. The model is saved as NAME.npz and, where matplotlib is installed, the
learning curves with the predictions against the truth, or the confusion matrix, as NAME.png.
"""

_TRAIN_EPILOG = f"""\
examples:
  {PROGRAM} train my.csv --target strength --hidden 50
  {PROGRAM} train my.csv --target -1 --hidden 20x20 --activation softplus -o results
  {PROGRAM} train flowers.parquet --target species

{_TABLES} Columns that are
constant are left out. In Python, mlpcore.load("NAME.npz") gives the network, its weights and, as
extras, the scaling and the names.

{_EXIT_STATUS}Ctrl-C during training keeps the best network so far and reports it.
"""

_PREDICT = """\
Predict the target of every row of a table by a model that train or sweep has saved. The inputs are
found by their names, or by position if the model was fitted to a table without a header.

Written is a row for each row: the prediction, or the class and the probability of each class. If
the target column is there too, the RMSE or the accuracy goes to stderr.
"""

_PREDICT_EPILOG = f"""\
examples:
  {PROGRAM} predict my.npz new.csv
  {PROGRAM} predict my.npz new.csv --jacobian -o predictions.parquet

{_TABLES}

exit status: 0 done, 2 an error (one line on stderr), 130 interrupted.
"""

_SWEEP = """\
Choose the number of hidden units: train networks of each size from many random starts, and take
the one with the lowest error on the rows held out for validation. Without a file, for the concrete
data that come with the package.

Printed are the median and the lowest validation error of each size, and the errors of the best
network beside those of a linear fit, or of the most frequent class. It is saved as NAME-sweep.npz
and, where matplotlib is installed, the validation errors against the size as NAME-sweep.png.
"""

_SWEEP_EPILOG = f"""\
examples:
  {PROGRAM} sweep my.csv --target strength --hidden 1-10 --starts 30
  {PROGRAM} sweep my.csv --hidden 2,4,8,8x4 --starts 10 --optimizer adam

{_TABLES} Columns that are
constant are left out.

{_EXIT_STATUS}Ctrl-C keeps the sizes that are done and reports the best of them.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    form: dict[str, Any] = {
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }
    parser = _Parser(prog=PROGRAM, description=_DESCRIPTION, epilog=_EPILOG, **form)
    parser.add_argument("--version", action="version", version=f"mlpcore {__version__}")
    commands = parser.add_subparsers(
        title="subcommands", dest="command", metavar="SUBCOMMAND", required=True
    )

    train = commands.add_parser(
        "train", help="fit a network", description=_TRAIN, epilog=_TRAIN_EPILOG, **form
    )
    _add_data(train, validation=0.1, no_validation="; 0 for none")
    _add_training(
        train,
        hidden=_layers,
        sizes=(
            (50,),
            "M[xM...]",
            "units of each hidden layer, as 20x20 or 20,20; 0 for a linear network",
            "50",
        ),
        optimizer="adam",
        epochs=2000,
    )
    _add_output(train)

    predict = commands.add_parser(
        "predict",
        help="use a model that was saved",
        description=_PREDICT,
        epilog=_PREDICT_EPILOG,
        **form,
    )
    predict.add_argument("model", metavar="MODEL", help="the .npz that train or sweep has written")
    predict.add_argument("file", metavar="FILE", help="CSV or Parquet file")
    data = predict.add_argument_group("data")
    _add_table(data)
    data.add_argument(
        "--ignore-others",
        action="store_true",
        help="let columns be that the model does not know (default: they are an error)",
    )
    output = predict.add_argument_group("output")
    output.add_argument(
        "-o", "--output", metavar="FILE", help="a .csv or .parquet file (default: CSV to stdout)"
    )
    output.add_argument(
        "--jacobian",
        action="store_true",
        help="also d target/d input for each input, or that of each class's probability, in the "
        "units of the data",
    )

    sweep = commands.add_parser(
        "sweep",
        help="choose the number of hidden units",
        description=_SWEEP,
        epilog=_SWEEP_EPILOG,
        **form,
    )
    _add_data(sweep, validation=0.2, no_validation=" and the choice")
    training = _add_training(
        sweep,
        hidden=_sizes,
        sizes=(
            tuple((m,) for m in range(1, 11)),
            "SIZES",
            "sizes with commas between them: M, a range 1-10, or 8x4 for two layers",
            "1-10",
        ),
        optimizer="lbfgs",
        epochs=500,
    )
    training.add_argument(
        "--starts",
        type=_starts,
        default=30,
        metavar="N",
        help="networks of each size (default: %(default)s)",
    )
    _add_output(sweep)
    return parser


def _add_data(parser: argparse.ArgumentParser, *, validation: float, no_validation: str) -> None:
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="CSV or Parquet file (default: the concrete data)"
    )
    data = parser.add_argument_group("data")
    add = data.add_argument
    add("--target", metavar="COLUMN", help="name or number, from 1 or from -1 (default: the last)")
    add(
        "--classes",
        action="store_true",
        help="take whole numbers in the target for classes (default: text and booleans only; few "
        "different whole numbers bring a note)",
    )
    _add_table(data)
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
        default=validation,
        metavar="F",
        help=f"rows held out for early stopping{no_validation} (default: %(default)s)",
    )


def _add_table(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--delimiter", metavar="CHAR", help="of the fields, or tab, blanks (default: found)")
    add(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="whether the first line holds the names (default: found)",
    )


def _add_training(
    parser: argparse.ArgumentParser,
    *,
    hidden: Any,
    sizes: tuple[Any, str, str, str],
    optimizer: str,
    epochs: int,
) -> argparse._ArgumentGroup:
    default, metavar, meaning, shown = sizes
    optimizers = (*_core.first_order_optimizers, *_core.methods)
    network = parser.add_argument_group("network and training")
    add = network.add_argument
    add(
        "--hidden",
        type=hidden,
        default=default,
        metavar=metavar,
        help=f"{meaning} (default: {shown})",
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
        choices=optimizers,
        default=optimizer,
        metavar="NAME",
        help=f"{either(optimizers)} (default: %(default)s)",
    )
    add(
        "--learning-rate",
        type=_positive,
        metavar="R",
        help=f"of {either(USERS['learning_rate'])} alone (default: "
        f"{_STEP_SETTINGS['learning_rate']})",
    )
    add(
        "--batch-size",
        type=_at_least_1,
        metavar="N",
        help=f"rows of a step of {either(USERS['batch_size'])} alone (default: "
        f"{_STEP_SETTINGS['batch_size']})",
    )
    add(
        "--epochs",
        type=_at_least_1,
        default=epochs,
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
        "errors in standardized units, or to the cross-entropy of all rows (default: %(default)s)",
    )
    add(
        "--seed",
        type=_at_least_0,
        default=0,
        metavar="N",
        help="of the split, the first weights and the order of the samples (default: %(default)s)",
    )
    return network


def _add_output(parser: argparse.ArgumentParser) -> None:
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


def _starts(text: str) -> int:
    return _integer(text, 1, most=_MOST_STARTS)


def _integer(text: str, least: int, most: int = 2**31 - 1, within: str = "") -> int:
    """`text` as an integer; `within` is what was typed, if `text` is a part of it."""
    try:
        value = int(text)
    except ValueError:
        # int refuses thousands of digits too.
        value = most + 1 if text.strip().isdecimal() else least - 1
    if not least <= value <= most:
        limit = f" and at most {most}" if value > most else ""
        place = f" in {within!r}" if within.strip() not in ("", text.strip()) else ""
        raise argparse.ArgumentTypeError(
            f"expected an integer of at least {least}{limit}, got {text!r}{place}"
        )
    return value


def _layers(text: str) -> tuple[int, ...]:
    """``20,10`` or, as sweep and its report write it, ``20x10`` as ``(20, 10)``."""
    if text.strip() == "0":
        return ()
    sizes = text.split("x" if "x" in text else ",")
    return tuple(_integer(size.strip(), 1, within=text) for size in sizes)


def _sizes(text: str) -> tuple[tuple[int, ...], ...]:
    """``1-3,8x4`` as ``((1,), (2,), (3,), (8, 4))``, each size once."""
    sizes: dict[tuple[int, ...], None] = {}  # a set in order
    for part in text.split(","):
        ends = re.fullmatch(r"(\d+)-(\d+)", part.strip())
        if ends:
            first, last = (_integer(end, 1, within=text) for end in ends.groups())
            if first > last:
                raise argparse.ArgumentTypeError(f"expected a range upwards, got {part.strip()!r}")
            sizes.update({(m,): None for m in range(first, last + 1)[: _MOST_SIZES + 1]})
        else:
            units = (_integer(size.strip(), 1, within=text) for size in part.split("x"))
            sizes[tuple(units)] = None
        if len(sizes) > _MOST_SIZES:
            raise argparse.ArgumentTypeError(f"expected at most {_MOST_SIZES} sizes, got {text!r}")
    return tuple(sizes)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


def step_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The learning rate and the batch size, those of them that the optimizer uses."""
    for name in _STEP_SETTINGS:
        if getattr(options, name) is not None and options.optimizer not in USERS[name]:
            raise UserError(
                f"--{name.replace('_', '-')} is for --optimizer {either(USERS[name])}, not for "
                f"{options.optimizer}"
            )
    return {
        name: default if getattr(options, name) is None else getattr(options, name)
        for name, default in used_by(options.optimizer, _STEP_SETTINGS).items()
    }


def delimiter(text: str | None) -> str | None:
    """The character that ``--delimiter`` means."""
    if text is None or text in DELIMITERS:
        return text
    named = {name: character for character, name in DELIMITERS.items()}
    named.update({"\\t": "\t", "space": " ", "blank": " "})
    if text.lower() in named:
        return named[text.lower()]
    if len(text) == 1 and text.isprintable() and not text.isalnum() and text not in "\"'#.+-_":
        return text
    raise UserError(f"--delimiter: expected one character, tab or blanks, got {text!r}")
