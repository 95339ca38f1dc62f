"""What is printed: lines, tables, and errors in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO, TypeVar

__all__ = [
    "INTERRUPTED",
    "UserError",
    "complain",
    "count",
    "discard",
    "number",
    "one_line",
    "say",
    "short",
    "table",
    "watched",
]

INTERRUPTED = 130  # the exit status, as shells report a death by SIGINT

Item = TypeVar("Item")


class UserError(Exception):
    """What is wrong, in one line for the user."""


def say(line: str = "") -> None:
    """Print a line."""
    # Flushed line by line: training takes a while, and its course is to be seen.
    try:
        print(line, flush=True)
    except BrokenPipeError:  # a reader has gone, as head does; the files are for others
        discard(sys.stdout)


def complain(message: str) -> None:
    """Print a line on stderr."""
    if sys.stderr is not None:
        try:
            print(f"mlpcore: {one_line(message)}", file=sys.stderr, flush=True)
        except BrokenPipeError:
            discard(sys.stderr)


def discard(stream: TextIO | None) -> None:
    """Send nowhere what the stream has still buffered, and all that follows."""
    if stream is None:
        return
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
    except (OSError, ValueError, AttributeError):  # it has no descriptor
        pass


def one_line(message: object) -> str:
    """The message without line ends; the name of its type if it says nothing."""
    text = " ".join(str(message).split())
    return text or type(message).__name__


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width + 3) for cell, width in zip(others, widths[1:], strict=True)]
        say(("  " + first.ljust(widths[0]) + "".join(cells)).rstrip())


def number(x: float) -> str:
    """Four significant digits, without an exponent where that is readable."""
    return f"{x:#.4g}".rstrip(".")


def short(text: str, most: int) -> str:
    """The text, cut to so many characters."""
    return text if len(text) <= most else text[: most - 3] + "..."


def count(n: int, what: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{n} {what}" + "s" * (n != 1)


def watched(items: Iterable[Item], total: int, unit: str) -> Iterator[Item]:
    """The items, with a bar on stderr where that is a terminal and tqdm is installed."""
    stream: Any = sys.stderr
    bar = None
    if bool(getattr(stream, "isatty", lambda: False)()):
        try:
            from tqdm import tqdm

            bar = tqdm(total=total, unit=unit, file=stream, leave=False, dynamic_ncols=True)
        except ImportError:
            pass
    try:
        for item in items:
            yield item
            if bar is not None:
                bar.update()
    finally:
        if bar is not None:
            bar.close()
