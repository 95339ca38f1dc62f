"""The files that are written: where, and never over the ones that are read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mlpcore.cli.report import UserError

__all__ = ["os_error", "output_folder", "refuse_to_overwrite"]


def output_folder(name: str) -> Path:
    """The folder, made if need be, after a check that a file can be made in it."""
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"can't write to {name}: {error.strerror or error}") from error
    return folder


def refuse_to_overwrite(source: str | None, *files: Path) -> None:
    """An error if one of the files is what is read."""
    for file in files:
        if source is not None and file.exists() and os.path.samefile(source, file):
            raise UserError(f"{file} is the input and would be overwritten: choose another -o")


def os_error(error: OSError) -> str:
    """The name of the file and what the system says."""
    reason = error.strerror or str(error)
    return f"{os.fsdecode(error.filename)}: {reason}" if error.filename is not None else reason
