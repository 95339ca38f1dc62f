"""Every code block of the README runs and prints what the README says; so do those of the pages
about the command line, the estimators, training and the plots. The commands of the benchmark take
too long: of them only the options are looked up."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cases import assert_same_bits

from mlpcore import plots

README = Path(__file__).resolve().parent.parent / "README.md"
ESTIMATORS = README.parent / "docs" / "estimators.md"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

# Commands of other kinds have their own tests: the installation is how this suite came here.
OWN_TESTS = ("pip install", "pytest", "python bench/run.py")


def code_blocks(page):
    """The language and the text of each block."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("page", [README, ESTIMATORS], ids=lambda page: page.stem)
def test_python_blocks(capsys, page, tmp_path, monkeypatch):
    """They run one after the other, as a reader would type them; numbers may differ by 20 % or
    0.1, because a training takes another path on a machine that rounds differently."""
    for package in ("matplotlib", "sklearn"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)  # for the picture
    blocks, names = code_blocks(page), {}
    ran = 0
    for i, (language, text) in enumerate(blocks):
        if language != "python":
            continue
        exec(compile(text, f"{page.stem} block {i}", "exec"), names)
        printed = capsys.readouterr().out.split("\n")
        after, expected = blocks[i + 1]
        assert after == "text"
        for line, promised in zip(printed, expected.split("\n"), strict=True):
            assert NUMBER.sub("#", line) == NUMBER.sub("#", promised)
            assert [float(n) for n in NUMBER.findall(line)] == pytest.approx(
                [float(n) for n in NUMBER.findall(promised)], rel=0.2, abs=0.1 + 1e-9
            )
        ran += 1
    assert ran >= 4
    assert page is not README or (tmp_path / "predicted.png").exists()


def test_the_page_about_plots(tmp_path, monkeypatch):
    """It has an example of each plot, which runs."""
    for package in ("matplotlib", "sklearn"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    text = (README.parent / "docs" / "plots.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
    assert set(re.findall(r"plots\.(\w+)\(", code)) == set(plots.__all__)
    exec(compile(code, "docs/plots.md", "exec"), {})
    assert {p.name for p in tmp_path.iterdir()} == {"curves.png", "both.pdf"}


def test_the_page_about_training(tmp_path, monkeypatch):
    """Its example of checkpoints: the second time takes up the first, which is at its end."""
    monkeypatch.chdir(tmp_path)
    [(language, text)] = code_blocks(README.parent / "docs" / "training.md")
    assert language == "python"
    results = []
    for _ in range(2):
        exec(compile(text, "docs/training.md", "exec"), names := {})
        results.append(names["result"])
        assert (tmp_path / "run.mlp").exists()
    first, second = results
    assert first.stopped == second.stopped == "epochs"
    assert_same_bits(second.w, first.w)
    again = {**names["settings"], "epochs": 1999}
    with pytest.raises(ValueError, match="epochs"):
        names["mlpcore"].train(names["net"], first.w, names["X"], names["T"], **again)


@functools.cache
def help_of(script):
    given = [sys.executable, README.parent / script, "--help"]
    done = subprocess.run(given, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


#: Pages that name scripts of the benchmark, and how many commands each has at least.
BENCHMARKS = {
    "README.md": 3,
    "docs/performance.md": 11,
    "bench/README.md": 19,
    "CONTRIBUTING.md": 1,
}


@pytest.mark.parametrize("page", BENCHMARKS)
def test_commands_of_the_benchmark(page):
    """Indented, in a block or in a line of text: the scripts have the options and words that the
    page gives them, those in the remark behind a command too."""
    text = (README.parent / page).read_text(encoding="utf-8")
    commands = re.findall(r"(?:^ *|`)python (bench/\w+\.py)([^`\n]*)", text, re.MULTILINE)
    assert len(commands) >= BENCHMARKS[page]
    for script, given in commands:
        assert (README.parent / script).exists(), script
        options = re.findall(r"--[a-z-]+", given)
        words = re.findall(r"(?<= )[a-z_]+(?= |$)", given.partition("#")[0])
        for name in options + words:
            assert re.search(rf"{name}\b", help_of(script)), (script, name)


def shell_blocks(page):
    """The commands of each block; those of a block run in one folder, one after the other."""
    return [
        [part.strip() for line in block.splitlines() for part in line.split("&&") if part.strip()]
        for language, block in code_blocks(page)
        if language == "sh"
    ]


PAGES = [README, README.parent / "docs" / "command_line.md"]
ALL_BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{i}")
    for page in PAGES
    for i, block in enumerate(shell_blocks(page))
]


@pytest.mark.parametrize("block", ALL_BLOCKS)
def test_shell_blocks(block, tmp_path):
    rows = [f"{i},{i * i},{3 * i - 1}" for i in range(60)]
    (tmp_path / "my.csv").write_text("\n".join(["a,b,yield", *rows]))
    (tmp_path / "new.csv").write_text("a,b\n1,2\n3,4\n")
    flowers = [f"{i},{'rose' if i < 30 else 'tulip'}" for i in range(60)]
    (tmp_path / "flowers.csv").write_text("\n".join(["petal,kind", *flowers]))
    for command in block:
        if command.startswith(OWN_TESTS):
            continue
        assert command.startswith("python ")
        done = subprocess.run(
            [sys.executable, *command.split()[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_all_commands_are_known(page):
    commands = [command for block in shell_blocks(page) for command in block]
    assert any(c.startswith("python -m mlpcore") for c in commands)
    for command in commands:
        assert command.startswith((*OWN_TESTS, "python -m mlpcore")), command
