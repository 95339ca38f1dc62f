"""Every code block of the README runs and prints what the README says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

# Commands of other kinds have their own tests: the installation is how this suite came here.
OWN_TESTS = ("pip install", "pytest", "python bench/run.py")


def test_python_blocks(capsys):
    """They run one after the other, as a reader would type them; numbers may differ by 20 %,
    because a training takes another path on a machine that rounds differently."""
    names = {}
    ran = 0
    for i, (language, text) in enumerate(BLOCKS):
        if language != "python":
            continue
        exec(compile(text, f"README block {i}", "exec"), names)
        printed = capsys.readouterr().out.split("\n")
        after, expected = BLOCKS[i + 1]
        assert after == "text"
        for line, promised in zip(printed, expected.split("\n"), strict=True):
            assert NUMBER.sub("#", line) == NUMBER.sub("#", promised)
            assert [float(n) for n in NUMBER.findall(line)] == pytest.approx(
                [float(n) for n in NUMBER.findall(promised)], rel=0.2, abs=0.1
            )
        ran += 1
    assert ran >= 2


def commands():
    shell = [text for language, text in BLOCKS if language == "sh"]
    lines = [line.strip() for text in shell for line in text.splitlines()]
    return [part.strip() for line in lines for part in line.split("&&")]


@pytest.mark.parametrize("command", [c for c in commands() if not c.startswith(OWN_TESTS)])
def test_shell_blocks(command, tmp_path):
    rows = [f"{i},{i * i},{3 * i - 1}" for i in range(60)]
    (tmp_path / "my.csv").write_text("\n".join(["a,b,yield", *rows]))
    assert command.startswith("python ")
    done = subprocess.run(
        [sys.executable, *command.split()[1:]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_all_commands_are_known():
    assert any(c.startswith("python -m mlpcore") for c in commands())
    for command in commands():
        assert command.startswith((*OWN_TESTS, "python -m mlpcore")), command
