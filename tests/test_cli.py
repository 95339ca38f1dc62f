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
from command_line import COMMAND, classes_text, command, one_error, table_text

import mlpcore
from mlpcore import cli
from mlpcore.datasets import load_concrete
from mlpcore.scaling import Standardizer

posix = pytest.mark.skipif(os.name != "posix", reason="signals, pipes and terminals of POSIX")


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


def test_layers_are_written_as_in_sweep(run, csv, tmp_path):
    """``5x4`` is two layers here as there; commas do here as well."""
    for hidden in ("5x4", "5,4"):
        status, _, err = run("train", csv(), "--hidden", hidden, "--epochs", "2")
        assert (status, err) == (0, "")
        assert mlpcore.load(tmp_path / "my.npz").net.layers == (2, 5, 4, 1)


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "adam (learning rate 0.003, batches of 32), weight decay 0.1,"),
        (["--optimizer", "rprop"], "rprop (learning rate 0.003), weight decay 0.1,"),
        (["--optimizer", "lm"], "lm, weight decay 0.1,"),
        (
            ["--optimizer", "sgd", "--learning-rate", "0.01", "--batch-size", "8"],
            "sgd (learning rate 0.01, batches of 8), weight decay 0.1,",
        ),
    ],
)
def test_steps_are_those_that_the_optimizer_takes(run, csv, arguments, words):
    status, out, err = run("train", csv(), "--hidden", "2", "--epochs", "2", *arguments)
    assert (status, err) == (0, "")
    assert f"Training  {words}\n" in out


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


# Classes


def lines_after(stdout, beginning):
    """The lines of the table below a heading."""
    lines = stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(beginning))
    return lines[start : start + 8]


def test_classes_are_learned(run, csv, tmp_path):
    status, out, err = run("train", csv(classes_text(n=90)), "--hidden", "4")
    assert (status, err) == (0, "")
    assert "classification of kind on 2 inputs" in out
    assert "Classes   3: high (30), low (30), mid (30)" in out
    assert re.search(r"network +100.0 % +100.0 % +100.0 %", out)
    assert re.search(r"most frequent class \(high\) +33.3 % +33.3 % +33.3 %", out)
    assert [line.split() for line in lines_after(out, "Rows of the test")[2:6]] == [
        ["high", "low", "mid"],
        ["high", "6", "0", "0"],
        ["low", "0", "6", "0"],
        ["mid", "0", "0", "6"],
    ]
    table = sensitivities(out)
    assert list(table) == ["x", "z"]
    model = mlpcore.load(tmp_path / "my.npz")
    assert (model.net.output, model.net.layers) == ("softmax", (2, 4, 3))
    assert model.extras["class_labels"] == ["high", "low", "mid"]
    assert "target_mean" not in model.extras


def test_what_is_printed_of_classes_is_right(run, csv, tmp_path):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(120, 2))
    t = X[:, 0] + rng.normal(size=120) > 0.8
    rows = [f"{a!r},{b!r},{'no' if c else 'yes'}" for (a, b), c in zip(X.tolist(), t, strict=True)]
    status, out, err = run("train", csv("a,b,t\n" + "\n".join(rows)), "--epochs", "20")
    assert (status, err) == (0, "")
    net, w, extras = mlpcore.load(tmp_path / "my.npz")
    assert net.output == "sigmoid"
    y = net.forward(w, (X - extras["input_mean"]) / extras["input_scale"])[:, 0]
    labels = extras["class_labels"]
    assert labels == ["no", "yes"]
    c = (~t).astype(int)
    for part in ("training", "validation", "test"):
        rows = extras[f"{part}_rows"]
        entropy = -np.log(np.where(c[rows], y[rows], 1 - y[rows])).mean()
        assert extras["cross_entropy"][part] == pytest.approx(entropy)
        assert extras["accuracy"][part] == np.mean((y[rows] > 0.5) == c[rows])
    share = np.mean(c[extras["test_rows"]])  # "yes" is the most frequent
    assert re.search(rf"most frequent class \(yes\) .* {100 * share:.1f} %$", out, re.M)
    # Every part has its share of the classes.
    for part in ("training", "validation", "test"):
        assert np.mean(t[extras[f"{part}_rows"]]) == pytest.approx(t.mean(), abs=0.06)


def test_whole_numbers_are_classes_on_demand(run, csv, tmp_path):
    text = csv(classes_text(labels=["10", "9"]))
    status, out, err = run("train", text, "--epochs", "2")
    assert (status, err) == (0, "")
    assert "regression of kind" in out
    assert "'kind' has only 2 different whole numbers: for classes, say --classes" in out
    status, out, err = run("train", text, "--epochs", "2", "--classes")
    assert (status, err) == (0, "")
    assert "Classes   2: 9 (30), 10 (30)" in out
    assert "say --classes" not in out
    assert mlpcore.load(tmp_path / "my.npz").extras["class_labels"] == [9, 10]


@pytest.mark.parametrize("labels", [("0.5", "1"), [str(i) for i in range(11)]])
def test_other_numbers_bring_no_note(run, csv, labels):
    text = classes_text(n=66, labels=labels)
    status, out, err = run("train", csv(text), "--epochs", "2")
    assert (status, err) == (0, "")
    assert "--classes" not in out


@pytest.mark.parametrize("labels", [("none", "-"), ("true", "false"), ("3a", "Größe $x^2$")])
def test_classes_of_all_kinds(run, csv, tmp_path, labels):
    for header in ("x,z,kind", None):
        text = classes_text(n=40, labels=labels, header=header)
        status, _, err = run("train", csv(text), "--epochs", "2", "--hidden", "0")
        assert (status, err) == (0, "")
        assert mlpcore.load(tmp_path / "my.npz").extras["class_labels"] == sorted(labels)


def test_many_classes_are_printed_in_short(run, csv):
    labels = [f"class {i}" for i in range(20)]
    status, out, err = run("train", csv(classes_text(n=200, labels=labels)), "--epochs", "2")
    assert (status, err) == (0, "")
    assert "The most frequent mistakes in the test" in out
    assert max(map(len, out.splitlines())) < 400


@pytest.mark.parametrize("labels", [("a", "b"), ("$a", "b^", "c_"), [f"v{i}" for i in range(50)]])
def test_a_picture_of_classes(tmp_path, csv, monkeypatch, capsys, labels):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    name = csv(classes_text(n=300, labels=labels, header="x,z,$k_1"))
    assert cli.main(["train", name, "--epochs", "2"]) == 0
    assert "Picture   my.png" in capsys.readouterr().out
    assert (tmp_path / "my.png").read_bytes().startswith(b"\x89PNG")


# Parquet


@pytest.fixture
def parquet(tmp_path):
    """Write columns to a Parquet file."""
    pyarrow = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")

    def parquet(name="my.parquet", **columns):
        pq.write_table(pyarrow.table(columns), tmp_path / name)
        return name

    return parquet


def columns_of(text):
    header, *rows = (line.split(",") for line in text.splitlines())
    return dict(zip(header, zip(*rows, strict=True), strict=True))


def test_parquet_gives_the_same_network(run, csv, parquet, tmp_path):
    columns = {name: np.array(c, dtype=float) for name, c in columns_of(table_text()).items()}
    weights = []
    for name in (csv(), parquet(**columns)):
        status, _, err = run("train", name, "--target", "t", "--epochs", "3", "--hidden", "4")
        assert (status, err) == (0, "")
        weights.append(mlpcore.load(tmp_path / "my.npz").w)
    np.testing.assert_array_equal(*weights)


def test_booleans_and_dictionaries_of_parquet_are_classes(run, parquet, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    x = np.linspace(-1, 1, 40)
    for t, labels in (
        (x > 0, [False, True]),
        (pyarrow.array(["ab"[v > 0] for v in x.tolist()]).dictionary_encode(), ["a", "b"]),
    ):
        status, _, err = run("train", parquet(x=x, t=t), "--epochs", "2")
        assert (status, err) == (0, "")
        assert mlpcore.load(tmp_path / "my.npz").extras["class_labels"] == labels


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"x": [None, *range(19)], "t": range(20)},
            "data row 1, column 1 ('x'): the value is miss",
        ),
        (
            {"x": [0.0, np.nan] * 10, "t": range(20)},
            "data row 2, column 1 ('x'): the value is missi",
        ),
        ({"x": [0.0, np.inf] * 10, "t": range(20)}, "data row 2, column 1 ('x'): the value is not"),
        (
            {"x": list("ab") * 10, "t": range(20)},
            "column 1 ('x'): 'a' is no number: the column hol",
        ),
        ({"x": [True, False] * 10, "t": range(20)}, "True is no number: the column holds bool"),
        ({"x": range(20), "t": [None, *"ab" * 9, "a"]}, "data row 1, column 2 ('t'): the value is"),
        ({"x": range(20), "t": [[1.0]] * 20}, "[1.0] is neither a number nor text"),
        ({"x": range(5), "t": range(5)}, "5 rows of data: at least 10"),
        ({"x": [1.0][:0]}, "0 rows: nothing to read"),
    ],
)
def test_wrong_parquet(run, parquet, columns, words):
    assert words in one_error(run("train", parquet(**{k: list(v) for k, v in columns.items()})))


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"PAR1" + bytes(range(256)) + b"PAR1", b"a,b\n1,2"]
)
def test_no_parquet(run, tmp_path, content):
    pytest.importorskip("pyarrow")
    (tmp_path / "my.parquet").write_bytes(content)
    assert "my.parquet: " in one_error(run("train", "my.parquet"))


def test_parquet_has_neither_delimiter_nor_header(run, parquet):
    name = parquet(x=[1.0], t=[2.0])
    assert "has its names and no header" in one_error(run("train", name, "--header"))
    assert "and no delimiter" in one_error(run("train", name, "--delimiter", ";"))


# Errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--hidden", "y"], "--hidden: expected an integer of at least 1, got 'y'"),
        (
            ["--hidden", "5x4,3"],
            "--hidden: expected an integer of at least 1, got '4,3' in '5x4,3'",
        ),
        (["--hidden", "5x"], "--hidden: expected an integer of at least 1, got '' in '5x'"),
        (["--hidden", "2xx3"], "--hidden: expected an integer of at least 1, got '' in '2xx3'"),
        (["--hidden", "5,-1"], "--hidden: expected an integer of at least 1, got '-1' in '5,-1'"),
        (
            ["train", "t.csv", "--hidden", "99999999999"],
            "--hidden: expected an integer of at least 1 and at most 2147483647, got '99999999999'",
        ),
        (["--seed", "9" * 5000], "--seed: expected an integer of at least 0 and at most 2147483"),
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
        (
            ["--optimizer", "lbfgs", "--learning-rate", "0.003"],
            "--learning-rate is for --optimizer adam, adamw, sgd or rprop, not for lbfgs",
        ),
        (
            ["--batch-size", "32", "--optimizer", "rprop"],
            "--batch-size is for --optimizer adam, adamw or sgd, not for rprop",
        ),
        (
            ["train", "none.csv", "--optimizer", "lm", "--batch-size", "8"],
            "--batch-size is for --optimizer adam, adamw or sgd, not for lm",
        ),
        (["--seed", "-1"], "--seed"),
        (["--test-fraction", "1"], "--test-fraction: expected a number from 0 to below 1"),
        (["--test-fraction", "0"], "--test-fraction: some rows must be held out"),
        (["--test-fraction", "0.6", "--validation-fraction", "0.4"], "fewer than 2 for training"),
        (["--target", "age"], "--target is for a file"),
        (
            ["sweep", "--target", "x"],
            "--target is for a file, and none is given (see python -m mlpcore sweep --help)",
        ),
        (["--nonsense"], "--nonsense"),
        (
            ["my.csv"],
            "is not a subcommand (train, predict, sweep); to fit a table: python -m mlpcore ",
        ),
        (["my.csv"], "python -m mlpcore train my.csv"),
        (
            ["--epochs", "2", "my.csv"],
            "no subcommand; to fit a table: python -m mlpcore train my.csv",
        ),
        (["train", "--classes"], "--classes is for a file"),
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
        (table_text(), ["--classes"], "no whole number below 2^53, as --classes expects"),
        (classes_text(n=4), [], "4 rows of data: at least 10"),
        (classes_text(labels=["one"]), [], "the target 'kind' is constant ('one')"),
        (classes_text(n=20, labels=[f"v{i}" for i in range(10)]), [], "10 different values in 20"),
        (
            classes_text() + "1,2,odd\n",
            [],
            "line 62 (data row 61), column 3 ('kind'): the class 'o",
        ),
        (classes_text() + "1,2,\n", [], "line 62 (data row 61), column 3 ('kind'): the value is"),
        (classes_text() + "1,x,low\n", [], "line 62 (data row 61), column 2 ('z'): 'x' is not a n"),
        (classes_text() + "1,2,3\n", [], "to take the target for classes, say --classes"),
        (classes_text() + "1e200,2,low\n", [], "numbers beyond 1e150"),
        (classes_text(), ["--target", "1", "--header"], "column 3 ('kind'): 'low' is not a number"),
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
        assert process.wait(60) == 0


@posix
@pytest.mark.parametrize("lines", [1, 12])
@pytest.mark.parametrize("subcommand", ["train", "sweep"])
def test_the_model_is_saved_whether_or_not_somebody_reads(tmp_path, csv, subcommand, lines):
    """As ``| head -12`` does, with errors in the same pipe."""
    csv()
    options = ["--hidden", "2", "--epochs", "5", *(["--starts", "2"] * (subcommand == "sweep"))]
    with subprocess.Popen(
        [*COMMAND, subcommand, "my.csv", *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdout is not None
        for _ in range(lines):
            assert process.stdout.readline() != ""
        process.stdout.close()
        assert process.wait(60) == 0
    name = "my-sweep" if subcommand == "sweep" else "my"
    assert mlpcore.load(tmp_path / f"{name}.npz").net.layers == (2, 2, 1)


def test_the_model_is_saved_before_the_report(run, csv, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    for subcommand, name in (("train", "my"), ("sweep", "my-sweep")):
        monkeypatch.setattr(f"mlpcore.cli.{subcommand}.report_fit", full)
        assert "No space left" in one_error(
            run(subcommand, csv(), "--hidden", "2", "--epochs", "5")
        )
        assert (tmp_path / f"{name}.npz").exists()


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
