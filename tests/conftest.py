"""Fixtures that several test files share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from command_line import table_text

import mlpcore
from mlpcore import cli

# A shell starts what it runs in the background with Ctrl-C ignored, and so would be the programs
# that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _keep_num_threads() -> Iterator[None]:
    """Whatever number of threads a test sets, the next one starts with the default."""
    yield
    mlpcore.set_num_threads(None)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command line in this process: ``status, stdout, stderr = run(argument, ...)``."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        picture = [] if arguments[:1] == ("predict",) else ["--no-plot"]
        status = cli.main([*arguments, *picture])
        return (status, *capsys.readouterr())

    return run


@pytest.fixture
def csv(tmp_path):
    """Write a CSV file of 40 rows of t = 3 x - 2 z + 1, or the text given."""

    def csv(text=None, name="my.csv", **options):
        if text is None:
            text = table_text(**options)
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return csv
