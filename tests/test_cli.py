"""The command line: what it prints, what it writes, and each error in one line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlpcore
from mlpcore import cli
from mlpcore.datasets import load_concrete
from mlpcore.scaling import Standardizer

COMMAND = [sys.executable, "-m", "mlpcore"]
posix = pytest.mark.skipif(os.name != "posix", reason="signals, pipes and terminals of POSIX")


def command(*arguments, cwd, **options):
    """Run ``python -m mlpcore`` in a process of its own."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run it in this process: ``status, stdout, stderr = run(argument, ...)``."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        status = cli.main([*arguments, "--no-plot"])
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


def table_text(n=40, header="x,t,z", delimiter=",", seed=0):
    x, z = np.random.default_rng(seed).normal(size=(2, n))
    rows = [header] if header else []
    rows += [
        f"{a!r},{3 * a - 2 * b + 1!r},{b!r}" for a, b in zip(x.tolist(), z.tolist(), strict=True)
    ]
    return "\n".join(rows).replace(",", delimiter) + "\n"


def errors(stdout, model="network"):
    """The RMSE of each part, as printed."""
    head = next(line for line in stdout.splitlines() if line.strip().startswith("RMSE"))
    line = next(line for line in stdout.splitlines() if line.strip().startswith(model))
    parts = re.sub(r"RMSE( \(.*?\))?", "", head).split()
    return dict(zip(parts, map(float, line.split()[-len(parts) :]), strict=True))


def sensitivities(stdout):
    """Name -> (mean |dy/dx|, times s), in the order printed."""
    lines = stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith("input "))
    rows = {}
    for line in lines[start + 1 :]:
        if not line.strip():
            break
        name, plain, scaled = re.match(r"\s*(.*?)\s+(\S+)\s+(\S+)", line).groups()
        rows[name] = (float(plain), float(scaled))
    return rows


# The main job


@pytest.fixture(scope="module")
def concrete(tmp_path_factory):
    """The main job as the README has it: its folder and what it printed."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("concrete")
    done = command(cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_concrete_is_fitted(concrete):
    folder, done = concrete
    assert done.stderr == ""  # no progress bar in a pipe
    assert "721 rows for training, 103 for validation, 206 for the test" in done.stdout
    network, linear = errors(done.stdout), errors(done.stdout, "linear")
    assert network["test"] < 6.0
    assert 9.0 < linear["test"] < 12.0
    assert network["training"] < linear["training"]
    assert re.search(r"^Stopped .+$", done.stdout, re.M)
    assert re.search(r"after epoch \d+, [\d.]+ s; best epoch \d+", done.stdout)
    assert sorted(p.name for p in folder.iterdir()) == ["concrete.npz", "concrete.png"]
    assert (folder / "concrete.png").read_bytes().startswith(b"\x89PNG")
    assert "concrete.npz" in done.stdout
    assert "concrete.png" in done.stdout


def test_concrete_sensitivities(concrete):
    """The printed table against central differences of the saved model."""
    folder, done = concrete
    data = load_concrete()
    net, w, extras = mlpcore.load(folder / "concrete.npz")

    def predict(X):
        standardized = (X - extras["input_mean"]) / extras["input_scale"]
        return extras["target_mean"] + extras["target_scale"] * net.forward(w, standardized)[:, 0]

    printed = sensitivities(done.stdout)
    assert set(printed) == set(data.feature_names)
    scaled = [row[1] for row in printed.values()]
    assert scaled == sorted(scaled, reverse=True)
    for i, name in enumerate(data.feature_names):
        step = np.zeros(8)
        step[i] = 1e-5 * extras["input_scale"][i]
        slope = (predict(data.X + step) - predict(data.X - step)) / (2 * step[i])
        assert printed[name][0] == pytest.approx(np.abs(slope).mean(), rel=1e-3)
        assert printed[name][1] == pytest.approx(
            np.abs(slope).mean() * extras["input_scale"][i], rel=1e-3
        )


def test_concrete_model_makes_the_printed_errors(concrete):
    folder, done = concrete
    data = load_concrete()
    net, w, extras = mlpcore.load(folder / "concrete.npz")
    assert extras["input_names"] == list(data.feature_names)
    parts = [extras[f"{part}_rows"] for part in ("training", "validation", "test")]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(1030))
    np.testing.assert_allclose(extras["input_mean"], data.X[parts[0]].mean(axis=0))
    np.testing.assert_allclose(extras["target_scale"], data.t[parts[0]].std())
    y = extras["target_mean"] + extras["target_scale"] * net.forward(
        w, (data.X - extras["input_mean"]) / extras["input_scale"]
    )
    for part, rows in zip(("training", "validation", "test"), parts, strict=True):
        rmse = np.sqrt(np.mean((y[rows, 0] - data.t[rows]) ** 2))
        assert errors(done.stdout)[part] == pytest.approx(rmse, rel=1e-3)
        assert extras["rmse"][part] == pytest.approx(rmse, rel=1e-12)


def test_the_linear_fit_is_least_squares(concrete):
    folder, done = concrete
    data = load_concrete()
    extras = mlpcore.load(folder / "concrete.npz").extras
    rows = extras["training_rows"]
    A = np.column_stack([np.ones(1030), data.X])
    y = A @ np.linalg.lstsq(A[rows], data.t[rows], rcond=None)[0]
    for part in ("training", "test"):
        rows = extras[f"{part}_rows"]
        rmse = np.sqrt(np.mean((y[rows] - data.t[rows]) ** 2))
        assert errors(done.stdout, "linear")[part] == pytest.approx(rmse, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_concrete_is_fitted_whatever_the_seed(run, seed):
    status, out, err = run("--seed", str(seed))
    assert (status, err) == (0, "")
    assert errors(out)["test"] < 6.0


def test_same_seed_same_result(run, tmp_path):
    models = []
    for seed in ("3", "3", "4"):
        status, _, err = run("--seed", seed, "--epochs", "5")
        assert (status, err) == (0, "")
        models.append((tmp_path / "concrete.npz").read_bytes())
    assert models[0] == models[1] != models[2]


# CSV files


@pytest.mark.parametrize("target", ["t", "2", "-2"])
def test_a_linear_table_is_learned(run, csv, target):
    """A network without hidden layer recovers t = 3 x - 2 z + 1."""
    status, out, err = run(
        "train",
        csv(),
        "--target",
        target,
        "--hidden",
        "0",
        "--weight-decay",
        "0",
        "--optimizer",
        "lbfgs",
    )
    assert (status, err) == (0, "")
    assert "regression of t on 2 inputs" in out
    table = sensitivities(out)
    assert table["x"][0] == pytest.approx(3, abs=0.02)
    assert table["z"][0] == pytest.approx(2, abs=0.02)
    assert errors(out, "linear")["test"] < 1e-10


@pytest.mark.parametrize(
    "text",
    [
        table_text(header=None),
        table_text(delimiter=";"),
        table_text(delimiter="\t"),
        table_text(delimiter="  "),
        table_text().replace("\n", "\r\n"),
        "\ufeff" + table_text(),
        "# comment\n\n" + table_text() + "\n\n",
        table_text().replace(",", ";").replace(".", ","),
    ],
    ids=["no header", "semicolon", "tab", "blanks", "crlf", "bom", "comments", "decimal comma"],
)
def test_every_make_of_file_gives_the_same_network(run, csv, tmp_path, text):
    weights = []
    for content in (table_text(), text):
        status, _, err = run(
            "train", csv(content), "--target", "2", "--epochs", "3", "--hidden", "4"
        )
        assert (status, err) == (0, "")
        weights.append(mlpcore.load(tmp_path / "my.npz").w)
    np.testing.assert_array_equal(*weights)


def test_the_last_column_is_the_target_by_default(run, csv):
    assert "regression of z on" in run("train", csv(), "--epochs", "2")[1]


def test_two_hidden_layers_and_other_options(run, csv, tmp_path):
    status, out, err = run(
        *("train", csv(), "--hidden", "5,4", "--activation", "relu,softplus", "--epochs", "4"),
        *("--patience", "2", "--test-fraction", "0.25", "--validation-fraction", "0"),
        *("--optimizer", "sgd", "--learning-rate", "0.001", "-o", "results/here"),
    )
    assert (status, err) == (0, "")
    assert "2-5-4-1, relu, softplus" in out
    assert "30 rows for training, 0 for validation, 10 for the test" in out
    assert "no early stopping" in out
    assert set(errors(out)) == {"training", "test"}
    model = mlpcore.load(tmp_path / "results" / "here" / "my.npz")
    assert model.net.hidden == ("relu", "softplus")


def test_columns_that_say_nothing_are_left_out(run, csv, tmp_path):
    lines = table_text(header=None).splitlines()
    text = ",x,t,z,same\n" + "".join(f"{i},{line},7\n" for i, line in enumerate(lines))
    status, out, err = run("train", csv(text), "--target", "t", "--epochs", "2")
    assert (status, err) == (0, "")
    assert "left out: column 1, which has no name and counts the rows" in out
    assert "left out, constant in the training part: same" in out
    assert mlpcore.load(tmp_path / "my.npz").extras["input_names"] == ["x", "z"]


def test_huge_and_tiny_units(run, csv):
    x, z = np.random.default_rng(0).normal(size=(2, 50))
    rows = zip((1e12 * x).tolist(), (1e-12 * z).tolist(), (1e100 * (x + z)).tolist(), strict=True)
    text = "".join(f"{a!r},{b!r},{c!r}\n" for a, b, c in rows)
    status, out, err = run("train", csv(text), "--hidden", "3", "--epochs", "20")
    assert (status, err) == (0, "")
    assert "nan" not in out
    assert "inf" not in out.replace("information", "")


def test_a_picture_for_a_file(tmp_path, csv, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    name = csv(header="x,$t_1,z", name="my data.csv")
    assert cli.main(["train", name, "--target", "$t_1", "--epochs", "2"]) == 0
    assert "Picture   my data.png" in capsys.readouterr().out
    assert (tmp_path / "my data.png").exists()


def test_names_that_the_terminal_can_not_show(tmp_path, csv):
    csv(header="größe,τ,z")
    done = command(
        *("train", "my.csv", "--epochs", "2", "--no-plot"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "gr??e" in done.stdout


# Errors


def one_error(result):
    status, out, err = result
    assert status == 2, out
    assert "Traceback" not in err
    assert err.startswith("mlpcore: error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--hidden", "x"], "--hidden: expected an integer of at least 1, got 'x'"),
        (["--hidden", "5,-1"], "--hidden: expected an integer of at least 1, got '-1'"),
        (["--hidden", ""], "--hidden"),
        (["--activation", "tanch"], "tanch"),
        (["--activation", "tanh,relu"], "2 names for 1 hidden layers"),
        (["--optimizer", "magic"], "--optimizer"),
        (["--epochs", "0"], "--epochs: expected an integer of at least 1, got '0'"),
        (["--epochs", "1.5"], "--epochs"),
        (["--patience", "-1"], "--patience"),
        (["--weight-decay", "-1"], "--weight-decay: expected a number of at least 0"),
        (["--weight-decay", "nan"], "--weight-decay"),
        (["--weight-decay", "inf"], "--weight-decay"),
        (["--learning-rate", "0"], "--learning-rate: expected a positive number"),
        (["--seed", "-1"], "--seed"),
        (["--test-fraction", "1"], "--test-fraction: expected a number from 0 to below 1"),
        (["--test-fraction", "0"], "--test-fraction: some rows must be held out"),
        (["--test-fraction", "0.6", "--validation-fraction", "0.4"], "fewer than 2 for training"),
        (["--target", "age"], "--target is for a file"),
        (["--nonsense"], "--nonsense"),
        (["train", "none.csv"], "none.csv: No such file"),
        (["train", "."], ".: Is a directory"),
        (["--hidden", "1000000000"], "--hidden or --activation"),
    ],
)
def test_wrong_arguments(run, arguments, words):
    assert words in one_error(run(*arguments))


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (b"", [], "my.csv: no line of data"),
        (b"PK\x03\x04\0\0", [], "my.csv: not a text file"),
        (table_text(n=9), [], "9 rows of data: at least 10 are needed"),
        ("x,t\n1,2\n", [], "1 row of data: at least 10"),
        (table_text().replace("\n", "\n,1,2\n", 1), [], "line 2 (data row 1), column 1 ('x'): the"),
        (table_text() + "1,2,many\n", [], "line 42 (data row 41), column 3 ('z'): 'many' is not"),
        (table_text() + "1,2\n", [], "line 42: 2 fields where line 1 has 3"),
        ("x,t\n" + "1,2\n2,2\n" * 9, [], "the target 't' is constant (2)"),
        ("x,t\n" + "1,2\n1,3\n" * 9, [], "every input is constant"),
        ("t\n" + "1\n2\n" * 9, [], "no input beside the target 't'; is it the right delimiter?"),
        (table_text(), ["--target", "y"], "no column 'y'; the columns are 'x', 't', 'z'"),
        (table_text(), ["--target", "4"], "no column 4: the file has 3"),
        (table_text(header="t,t,z"), ["--target", "t"], "more than one column is called 't'"),
        (table_text() + "1,2,1e200\n", [], "numbers beyond 1e150"),
        (table_text(), ["--delimiter", "ab"], "--delimiter: expected one character"),
        (table_text(), ["--delimiter", ";"], "my.csv"),
        (table_text(), ["-o", "my.csv"], "can't write to my.csv"),
    ],
)
def test_wrong_files(run, csv, text, arguments, words):
    assert words in one_error(run("train", csv(text), *arguments))


def test_the_target_can_be_constant_in_the_training_part(run, csv):
    text = "x,t\n" + "".join(f"{i},{int(i == 0)}\n" for i in range(20))
    messages = [run("train", csv(text), "--seed", str(seed), "--epochs", "2") for seed in range(10)]
    assert any("constant in the training part" in err for _, _, err in messages)
    assert all(status in (0, 2) for status, _, _ in messages)


def test_the_input_is_never_overwritten(run, csv, tmp_path):
    before = (tmp_path / csv(name="my.npz")).read_bytes()
    assert "my.npz is the input and would be overwritten" in one_error(run("train", "my.npz"))
    assert (tmp_path / "my.npz").read_bytes() == before


@posix
def test_pipes_and_devices_are_refused(run, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "/dev/zero"):
        assert f"{name}: not a regular file" in one_error(run("train", name))


@posix
def test_the_table_can_come_through_standard_input(tmp_path):
    done = command(
        *("train", "/dev/stdin", "--target", "t", "--epochs", "2", "--no-plot"),
        cwd=tmp_path,
        input=table_text(),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "regression of t on 2 inputs" in done.stdout
    with open("/dev/zero") as zero:
        done = command("train", "/dev/stdin", cwd=tmp_path, stdin=zero)
    assert "not a regular file" in one_error((done.returncode, done.stdout, done.stderr))


def test_errors_of_a_process_have_no_traceback(tmp_path):
    done = command("train", "none.csv", cwd=tmp_path)
    assert one_error((done.returncode, done.stdout, done.stderr)).endswith(
        "none.csv: No such file or directory\n"
    )
    assert done.stdout == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk")
def test_a_full_disk(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "--epochs", "2"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert one_error((done.returncode, "", done.stderr))


def test_divergence(run, tmp_path):
    err = one_error(run("--optimizer", "sgd", "--learning-rate", "1e6"))
    assert "nothing was learned: " in err
    assert "no longer finite" in err
    assert not list(tmp_path.iterdir())


# Help, terminals, pipes, signals


def test_help_explains_itself(tmp_path):
    done = command("train", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "python -m mlpcore train my.csv --target strength --hidden 50" in done.stdout
    for option in (
        *("--hidden", "--activation", "--optimizer", "--epochs", "--patience", "--weight-decay"),
        *("--seed", "--test-fraction", "--validation-fraction", "--no-plot", "--output-dir"),
    ):
        assert option in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert not list(tmp_path.iterdir())


def test_version(tmp_path):
    assert command("--version", cwd=tmp_path).stdout == f"mlpcore {mlpcore.__version__}\n"


@posix
@pytest.mark.parametrize("arguments", [["--epochs", "2"], ["--help"]])
def test_a_reader_who_leaves(tmp_path, arguments):
    with subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) in (0, 1)  # argparse does not mind, for its help


@posix
def test_interrupt_keeps_the_best_so_far(tmp_path):
    with subprocess.Popen(
        [*COMMAND, "--epochs", "2000000", "--patience", "0", "--no-plot"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if line.startswith("Training"):
                break
        try:
            process.wait(1.5)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        out = process.stdout.read()
        assert process.stderr.read() == ""
        assert process.wait(60) == 0
    assert "interrupted" in out.lower()
    assert errors(out)["training"] > 0
    assert mlpcore.load(tmp_path / "concrete.npz").extras["best_epoch"] > 0


def test_interrupt_before_anything_was_fitted(run, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("mlpcore.cli.train.train", interrupted)
    status, _, err = run()
    assert (status, err) == (130, "mlpcore: interrupted\n")
    assert not list(tmp_path.iterdir())


def test_interrupt_while_the_command_line_is_imported(tmp_path):
    code = (
        "import runpy, sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'mlpcore.cli':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "runpy.run_module('mlpcore', run_name='__main__', alter_sys=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "mlpcore: interrupted\n")


def test_interrupt_before_the_first_epoch(run, tmp_path, monkeypatch):
    def callback_train(*arguments, **options):
        return mlpcore.TrainResult(
            w=arguments[1],
            history={"training_error": np.ones(1), "validation_error": np.ones(1)},
            stopped="interrupted",
            message="interrupted",
            best_epoch=0,
            n_epochs=0,
            seconds=0.0,
            optimizer="adam",
        )

    monkeypatch.setattr("mlpcore.cli.train.train", callback_train)
    status, _, err = run()
    assert status == 130
    assert "nothing was saved" in err
    assert not list(tmp_path.iterdir())


@posix
def test_a_progress_bar_on_a_terminal(tmp_path):
    pexpect = pytest.importorskip("pexpect")
    process = pexpect.spawn(
        sys.executable,
        ["-m", "mlpcore", "--no-plot", "--epochs", "3000", "--patience", "0"],
        cwd=str(tmp_path),
        timeout=60,
        encoding="utf-8",
    )
    process.expect(pexpect.EOF)
    process.close()
    assert process.exitstatus == 0
    # A bar draws over its own line; a terminal's line ends are \r\n (or \r\r\n).
    assert re.search(r"\r(?!\r*\n)", process.before)
    assert "Model" in process.before


def test_scaling_comes_from_the_training_part_alone(run, csv, tmp_path):
    """A test row far away changes nothing but the test error."""
    text = table_text(n=50)
    assert run("train", csv(text), "--target", "t", "--epochs", "3")[0] == 0
    before = mlpcore.load(tmp_path / "my.npz")
    lines = text.splitlines()
    lines[1 + before.extras["test_rows"][0]] = "1000.0,7.0,-1000.0"
    assert run("train", csv("\n".join(lines)), "--target", "t", "--epochs", "3")[0] == 0
    after = mlpcore.load(tmp_path / "my.npz")
    np.testing.assert_array_equal(after.w, before.w)
    table = np.array([line.split(",") for line in text.splitlines()[1:]], dtype=float)
    s = Standardizer.fit(table[before.extras["training_rows"]][:, [0, 2]])
    np.testing.assert_allclose(after.extras["input_mean"], s.mean, rtol=1e-12)
