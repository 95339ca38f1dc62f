"""The progress display: on a terminal with and without tqdm, and silent everywhere else."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import numpy as np
import pytest

import mlpcore
from mlpcore.progress import TrainingProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def shown(self):
        """What the line of the terminal shows in the end."""
        line = []
        for part in self.getvalue().split("\r"):
            line[: len(part)] = part
        return "".join(line)


@pytest.fixture
def no_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)


TERMINALS = [pytest.param(True, id="tqdm"), pytest.param(False, id="plain")]


@pytest.fixture(params=TERMINALS)
def terminal(request, monkeypatch):
    if request.param:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    return Terminal()


@pytest.mark.usefixtures("no_tqdm")
def test_the_plain_line():
    stream = Terminal()
    with TrainingProgress(40, stream=stream) as progress:
        assert progress.visible
        for epoch, line in [
            (0, "[....................] epoch 0 of 40, training 1234, validation 0.5"),
            (10, "[#####...............] epoch 10 of 40, training 1234, validation 0.5"),
            (40, "[####################] epoch 40 of 40, training 1234, validation 0.5"),
        ]:
            progress(epoch, 1234.01, 0.5)
            assert stream.shown() == line
        progress(40, 2.0, None)  # shorter than the line before
        assert stream.shown().rstrip() == "[####################] epoch 40 of 40, training 2"
    assert stream.shown().strip() == ""
    assert stream.getvalue().endswith("\r")
    assert "\n" not in stream.getvalue()


def test_the_bar_of_tqdm():
    pytest.importorskip("tqdm")
    stream = Terminal()
    with TrainingProgress(40, stream=stream) as progress:
        for epoch in (0, 3, 17, 40):
            progress(epoch, 0.25, None)
            progress._bar.refresh()
            assert re.search(rf"\b{epoch}/40 .*training 0\.25\b", stream.shown())
        progress(40, 0.25, 0.125)
        progress._bar.refresh()
        assert "training 0.25, validation 0.125" in stream.shown()
    assert stream.shown().strip() == ""


def test_nothing_stays_on_the_terminal(terminal):
    """Also when the training ends early, or in an exception."""

    def fail():
        with TrainingProgress(10, stream=terminal) as progress:
            progress(1, 1.0, None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert terminal.getvalue()
    assert terminal.shown().strip() == ""


def test_no_epochs(terminal):
    with TrainingProgress(0, stream=terminal) as progress:
        progress(0, 1.0, 2.0)
    assert terminal.shown().strip() == ""


@pytest.mark.parametrize("stream", [io.StringIO(), object(), None], ids=["pipe", "odd", "stderr"])
def test_silence_without_a_terminal(stream, capsys):
    with TrainingProgress(10, stream=stream) as progress:
        assert not progress.visible
    assert capsys.readouterr() == ("", "")
    if isinstance(stream, io.StringIO):
        assert stream.getvalue() == ""


def test_silence_when_not_asked_for(terminal):
    with TrainingProgress(10, enabled=False, stream=terminal) as progress:
        assert not progress.visible
    assert terminal.getvalue() == ""


def train(**settings):
    net = mlpcore.Network((2, 3, 1))
    X = np.random.default_rng(0).normal(size=(20, 2))
    return mlpcore.train(net, net.init(seed=0), X, X[:, :1], seed=0, **settings)


@pytest.mark.parametrize("asked", [True, False])
def test_training_shows_it_on_stderr(terminal, monkeypatch, asked):
    monkeypatch.setattr(sys, "stderr", terminal)
    result = train(epochs=50, batch_size=5, progress=asked)
    assert ("50" in terminal.getvalue()) is asked
    assert terminal.shown().strip() == ""
    assert result.w.tobytes() == train(epochs=50, batch_size=5).w.tobytes()


def test_an_exception_of_the_display_is_raised(terminal, monkeypatch):
    def fail(self, *_):
        raise OSError("the terminal is gone")

    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(TrainingProgress, "__call__", fail)
    with pytest.raises(OSError, match="the terminal is gone"):
        train(progress=True)


PROGRAM = """
import sys, time
if sys.argv[1] == "plain":
    sys.modules["tqdm"] = None
import numpy as np
import mlpcore

net = mlpcore.Network((2, 30, 1))
X = np.random.default_rng(0).normal(size=(500, 2))
end = time.monotonic() + 0.7
result = mlpcore.train(
    net, net.init(seed=0), X, X[:, :1], X, X[:, :1], epochs=10**9, batch_size=50, seed=0,
    progress=True, callback=lambda *_: time.monotonic() > end,
)
print("stopped:", result.stopped)
"""


def test_silence_in_a_pipe():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "either"], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("stopped: callback\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal")
@pytest.mark.parametrize("kind", ["tqdm", "plain"])
def test_on_a_real_terminal(kind):
    pexpect = pytest.importorskip("pexpect")
    if kind == "tqdm":
        pytest.importorskip("tqdm")
    child = pexpect.spawn(
        sys.executable, ["-c", PROGRAM, kind], encoding="utf-8", timeout=60, dimensions=(24, 200)
    )
    seen = []
    for _ in range(3):  # it moves on
        pattern = r"(\d+)/1000000000 .*?training" if kind == "tqdm" else r"epoch (\d+) of 10{9}, "
        child.expect(pattern)
        seen.append(int(child.match[1]))
    child.expect(r"validation \d")
    child.expect("\rstopped: callback\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert seen == sorted(seen)
    assert seen[0] < seen[-1]
