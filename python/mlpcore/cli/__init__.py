"""The command line: fit a network to a table, use it, choose its size.

``python -m mlpcore`` fits the concrete data of the package; ``train``, ``predict`` and ``sweep``
are for files.  `main` runs it; each subcommand is a module with a function ``run``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mlpcore.cli import predict, sweep, train
from mlpcore.cli.files import os_error
from mlpcore.cli.options import PROGRAM, SUBCOMMANDS, make_parser
from mlpcore.cli.report import INTERRUPTED, UserError, complain, discard
from mlpcore.persistence import ModelFileError
from mlpcore.tables import TableError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process when None.

    Returns
    -------
    int
        0 when done, also if the reader of stdout left before the end; 2 after an error (one line
        on stderr), 130 when interrupted before anything was fitted.
    """
    if hasattr(sys.stdout, "reconfigure"):
        # A column's name that the terminal can't show is no reason to fail.
        sys.stdout.reconfigure(errors="replace")
    try:
        try:
            status = _run(list(sys.argv[1:] if argv is None else argv))
        except SystemExit as exit_:  # argparse, after --help and --version
            status = int(exit_.code or 0)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:  # who reads has enough
        discard(sys.stdout)
        return 0
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except (UserError, TableError, ModelFileError) as error:
        complain(f"error: {error}")
    except OSError as error:
        complain(f"error: {os_error(error)}")
        discard(sys.stdout)
    except MemoryError:
        complain("error: not enough memory")
    return 2


def _run(arguments: list[str]) -> int:
    first = arguments[0] if arguments else ""
    alone = not first or (first.startswith("-") and first not in ("-h", "--help", "--version"))
    if alone:
        arguments = ["train", *arguments]
    elif not first.startswith("-") and first not in SUBCOMMANDS:
        raise UserError(
            f"{first!r} is not a subcommand ({', '.join(SUBCOMMANDS)}); to fit a table: "
            f"{PROGRAM} train {first}"
        )
    options: argparse.Namespace = make_parser().parse_args(arguments)
    if alone and options.file is not None:
        raise UserError(f"no subcommand; to fit a table: {PROGRAM} train {options.file}")
    if options.command == "predict":
        return predict.run(options)
    if options.command == "sweep":
        return sweep.run(options)
    return train.run(options)
