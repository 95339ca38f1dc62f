"""A progress display on a terminal: tqdm's bar where tqdm is installed, else one plain line."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, TextIO

__all__ = ["TrainingProgress"]


class TrainingProgress:
    """Shows the epochs of a training on stderr while it runs; silent unless that is a terminal.

    Calls are ``progress(epoch, training_error, validation_error)``.
    """

    def __init__(self, n_epochs: int, enabled: bool = True, stream: TextIO | None = None) -> None:
        self._n_epochs = n_epochs
        self._stream = sys.stderr if stream is None else stream
        self.visible = enabled and bool(getattr(self._stream, "isatty", lambda: False)())
        self._bar: Any = None
        self._width = 0
        if self.visible:
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self._bar = tqdm(
                total=n_epochs, unit="epoch", file=self._stream, leave=False, dynamic_ncols=True
            )

    def __call__(self, epoch: int, training_error: float, validation_error: float | None) -> None:
        errors = f"training {training_error:.4g}"
        if validation_error is not None:
            errors += f", validation {validation_error:.4g}"
        if self._bar is not None:
            self._bar.set_postfix_str(errors, refresh=False)
            self._bar.update(epoch - self._bar.n)
            return
        done = round(20 * epoch / max(self._n_epochs, 1))
        line = f"[{'#' * done}{'.' * (20 - done)}] epoch {epoch} of {self._n_epochs}, {errors}"
        self._write(line)

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self.visible:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()

    def _write(self, line: str) -> None:
        # Blanks wipe what is left of a longer line before it.
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)
