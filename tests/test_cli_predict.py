"""``predict``: the numbers that it writes, how it finds the inputs, and each error in one line."""

from __future__ import annotations

import csv as csv_module
import io
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from command_line import COMMAND, classes_text, command, one_error, table_text

import mlpcore
from mlpcore.datasets import load_concrete

QUICK = ("--epochs", "20", "--hidden", "3")


@pytest.fixture
def fitted(run, csv):
    """``train`` on a table: fitted(text, option, ...)."""

    def fitted(text=None, *options):
        name = csv(text, name="my.csv")
        status, out, err = run("train", name, *QUICK, *options)
        assert (status, err) == (0, ""), out
        return name

    return fitted


def values(text):
    return np.array([line.split(",") for line in text.splitlines()[1:]], dtype=float)


def test_predictions_are_those_of_the_model(run, fitted, tmp_path):
    fitted(None, "--target", "t")
    status, out, err = run("predict", "my.npz", "my.csv", "--jacobian")
    assert status == 0
    written = list(csv_module.reader(io.StringIO(out)))
    assert written[0] == ["predicted t", "d t/d x", "d t/d z"]
    data = values(table_text())
    net, w, extras = mlpcore.load(tmp_path / "my.npz")

    def predict(X):
        y = net.forward(w, (X - extras["input_mean"]) / extras["input_scale"])[:, 0]
        return extras["target_mean"] + extras["target_scale"] * y

    X = data[:, [0, 2]]
    got = np.array(written[1:], float)
    np.testing.assert_allclose(got[:, 0], predict(X), rtol=1e-14)
    for i in range(2):
        step = np.zeros(2)
        step[i] = 1e-5
        slope = (predict(X + step) - predict(X - step)) / 2e-5
        np.testing.assert_allclose(got[:, 1 + i], slope, rtol=1e-6, atol=1e-8)
    rmse = np.sqrt(np.mean((got[:, 0] - data[:, 1]) ** 2))
    assert err == f"mlpcore: RMSE {rmse:#.4g} on 40 rows\n"


@pytest.mark.parametrize("labels", [("low", "high"), ("low", "mid", "high")])
def test_classes_and_their_probabilities(run, fitted, tmp_path, labels):
    fitted(classes_text(labels=labels), "--epochs", "300")
    status, out, err = run("predict", "my.npz", "my.csv", "--jacobian")
    assert status == 0
    assert err == "mlpcore: accuracy 100.0 % on 60 rows\n"
    header, *rows = csv_module.reader(io.StringIO(out))
    names = sorted(labels)
    assert header == [
        "predicted kind",
        *(f"P({name})" for name in names),
        *(f"d P({name})/d {i}" for name in names for i in ("x", "z")),
    ]
    P = np.array([row[1 : 1 + len(names)] for row in rows], float)
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-12)
    assert [row[0] for row in rows] == [names[k] for k in P.argmax(axis=1)]
    J = np.array([row[1 + len(names) :] for row in rows], float).reshape(60, len(names), 2)
    np.testing.assert_allclose(J.sum(axis=1), 0, atol=1e-12)
    net, w, extras = mlpcore.load(tmp_path / "my.npz")
    X = np.array([line.split(",")[:2] for line in classes_text(labels=labels).splitlines()[1:]])
    X = X.astype(float)
    step = 1e-5 * np.array([1.0, 0.0])
    y = [
        net.forward(w, (X + s - extras["input_mean"]) / extras["input_scale"])[:, -1]
        for s in (-step, np.zeros(2), step)
    ]
    np.testing.assert_allclose(P[:, -1], y[1], rtol=1e-12)
    np.testing.assert_allclose(J[:, -1, 0], (y[2] - y[0]) / 2e-5, rtol=1e-4, atol=1e-8)


def test_the_concrete_model_in_its_unit(run, csv):
    data = load_concrete()
    assert run("train", *QUICK)[0] == 0
    rows = ["age_days,cement," + ",".join(data.feature_names[1:7])]
    rows += [",".join(map(repr, [row[7], *row[:7]])) for row in data.X[:5].tolist()]
    without = run("predict", "concrete.npz", csv("\n".join(rows)))
    assert (without[0], without[2]) == (0, "")
    lines = [rows[0] + "," + data.target_name]
    lines += [f"{row},{t}" for row, t in zip(rows[1:], data.t.tolist(), strict=False)]
    status, out, err = run("predict", "concrete.npz", csv("\n".join(lines)))
    assert (status, out) == (0, without[1])
    assert err.startswith("mlpcore: RMSE ")
    assert err.endswith(" MPa on 5 rows\n")


# How the inputs are found


def test_inputs_are_found_by_name(run, fitted, csv):
    fitted(None, "--target", "t")
    expected = run("predict", "my.npz", "my.csv")[1]
    data = values(table_text()).tolist()
    text = "z;x\n" + "".join(f"{z!r};{x!r}\n" for x, _, z in data)
    for make in (text, text.replace(".", ",")):
        assert run("predict", "my.npz", csv(make, name="new.csv")) == (0, expected, "")


def test_columns_that_were_left_out_may_be_there_or_not(run, csv):
    rows = [f"{i},{a},7" for i, a in enumerate(table_text(header=None).splitlines())]
    assert run("train", csv("\n".join([",x,t,z,same", *rows])), "--target", "t", *QUICK)[0] == 0
    expected = run("predict", "my.npz", "my.csv")
    assert expected[0] == 0
    assert run("predict", "my.npz", csv(table_text(), name="new.csv")) == expected


def test_inputs_are_found_by_position_without_names(run, fitted, csv):
    fitted(table_text(header=None), "--target", "2")
    expected = run("predict", "my.npz", "my.csv")
    assert expected[2].startswith("mlpcore: RMSE")
    data = values(table_text()).tolist()
    text = "".join(f"{x!r},{z!r}\n" for x, _, z in data)
    assert run("predict", "my.npz", csv(text, name="new.csv")) == (0, expected[1], "")
    assert run("predict", "my.npz", csv("a,b\n" + text, name="new.csv")) == (0, expected[1], "")
    for wrong in ("1\n2\n", "1,2,3,4\n"):
        err = one_error(run("predict", "my.npz", csv(wrong, name="new.csv")))
        assert "expected 3 as in the table of the model, or 2 without its target" in err


def test_one_row_is_enough(run, fitted, csv):
    fitted(None, "--target", "t")
    status, out, err = run("predict", "my.npz", csv("x,z\n1,2\n", name="new.csv"))
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "new.csv: no line of data"),
        ("x,z\n", "a header (line 1) but no row"),
        ("x,y\n1,2\n", "no column 'z', which the model needs; the columns are 'x', 'y'"),
        ("a,b\n1,2\n", "no columns 'x', 'z', which the model needs"),
        ("x,z,id\n1,2,3\n", "'id': neither input nor target of the model; to let other"),
        ("id,x,z\n7,1,2\n", "'id': neither input nor target of the model"),
        ("x,x,z\n1,2,3\n", "more than one column is called 'x', an input of the model"),
        ("1,2\n3,4\n", "no header, and the model finds its inputs by their names, as 'x'"),
        ("x,z\n1,two\n", "line 2 (data row 1), column 2 ('z'): 'two' is not a number"),
        ("x,z\n1,\n", "line 2 (data row 1), column 2 ('z'): the value is missing"),
        ("x,z\n1,nan\n", "the value is missing ('nan')"),
        ("x,z\n1,1e200\n", "numbers beyond 1e150"),
        ("x,z,t\n1,2,many\n", "column 3 ('t'): 'many' is not a number"),
        ("x,z\n1,\0\n", "not a text file"),
    ],
)
def test_wrong_tables(run, fitted, csv, text, words):
    fitted(None, "--target", "t")
    assert words in one_error(run("predict", "my.npz", csv(text, name="new.csv")))


def test_far_from_the_data(run, fitted, csv):
    """What is too large for a number is an error, not a warning of NumPy's and inf in a file."""
    rows = [line.split(",") for line in table_text(header=None).splitlines()]
    text = "x,z,t\n" + "".join(f"{x}e-140,{z},{t}e140\n" for x, t, z in rows if "e" not in x + t)
    fitted(text, "--activation", "relu")
    assert run("predict", "my.npz", "my.csv", "--jacobian")[0] == 0
    name = csv("x,z\n0,0\n1e100,1\n", name="new.csv")
    assert "new.csv, data row 2: 'predicted t' is too large" in one_error(
        run("predict", "my.npz", name)
    )


def test_other_columns_can_be_ignored(run, fitted, csv):
    fitted(None, "--target", "t")
    name = csv("name,x,z\nA,1,2\nB,3,4\n", name="new.csv")
    assert "'name': neither input" in one_error(run("predict", "my.npz", name))
    status, out, err = run("predict", "my.npz", name, "--ignore-others")
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 3


def test_a_target_that_is_missing_is_no_error(run, fitted, csv):
    fitted(None, "--target", "t")
    status, out, err = run("predict", "my.npz", csv("x,z,t\n1,2,5\n3,4,\n", name="new.csv"))
    assert status == 0
    assert len(out.splitlines()) == 3
    assert err == "mlpcore: note: 't' has missing values, so the error is not reported\n"


def test_classes_of_the_table_against_those_of_the_model(run, fitted, csv):
    fitted(classes_text(labels=("low", "high")), "--epochs", "300")
    text = "x,z,kind\n0,0,low\n3,0,high\n0,0,odd\n3,0,low\n"
    assert run("predict", "my.npz", csv(text, name="new.csv"))[2] == (
        "mlpcore: accuracy 50.0 % on 4 rows, 1 row of classes unknown to the model\n"
    )
    fitted(classes_text(labels=("True", "False")), "--epochs", "300")
    text = "x,z,kind\n0,0,TRUE\n3,0,false\n"
    assert "accuracy 100.0 %" in run("predict", "my.npz", csv(text, name="new.csv"))[2]
    fitted(classes_text(labels=("5", "6")), "--epochs", "300", "--classes")
    text = "x,z,kind\n0,0,5.0\n3,0,6\n3,0,6.5\n"
    _, out, err = run("predict", "my.npz", csv(text, name="new.csv"))
    assert "accuracy 66.7 % on 3 rows, 1 row of classes unknown" in err
    assert [line.split(",")[0] for line in out.splitlines()] == ["predicted kind", "5", "6", "6"]


# Files


def test_output_files(run, fitted, tmp_path):
    fitted(classes_text(labels=("größe", '"a,b"', '"c"""')), "--epochs", "2")
    _, out, _ = run("predict", "my.npz", "my.csv", "--jacobian")
    status, said, _ = run("predict", "my.npz", "my.csv", "--jacobian", "-o", "out.csv")
    assert (status, said) == (0, "Predictions  out.csv: 60 rows, 10 columns\n")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == out
    pq = pytest.importorskip("pyarrow.parquet")
    assert run("predict", "my.npz", "my.csv", "--jacobian", "-o", "out.parquet")[0] == 0
    columns = pq.read_table(tmp_path / "out.parquet").to_pydict()
    header, *rows = csv_module.reader(io.StringIO(out))
    assert list(columns) == header
    for name, column in zip(header, zip(*rows, strict=True), strict=True):
        assert list(map(str, columns[name])) == list(column)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("my.csv", "my.npz", "out.csv", "out.parquet")
    ]


def test_a_parquet_table_gives_the_same(run, fitted, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    fitted(None, "--target", "t")
    data = values(table_text())
    pq.write_table(pyarrow.table({"z": data[:, 2], "x": data[:, 0]}), tmp_path / "new.parquet")
    expected = run("predict", "my.npz", "my.csv")[1]
    assert run("predict", "my.npz", "new.parquet") == (0, expected, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["my.npz", "my.csv", "-o", "my.csv"], "my.csv is the input and would be overwritten"),
        (["my.npz", "my.csv", "-o", "out.txt"], "--output: expected a name that ends in .csv or"),
        (["my.npz", "my.csv", "-o", "none/out.csv"], "none: No such file or directory"),
        (["my.npz", "my.csv", "-o", "folder.csv"], "can't write to folder.csv: not a regular file"),
        (["my.npz", "none.csv"], "none.csv: No such file"),
        (["none.npz", "my.csv"], "none.npz: No such file"),
        (["my.csv", "my.csv"], "my.csv: not a model file of mlpcore"),
        ([".", "my.csv"], ".: Is a directory"),
        (["my.npz", "."], ".: Is a directory"),
        (["my.npz"], "the following arguments are required: FILE"),
        (["my.npz", "my.csv", "--delimiter", "ab"], "--delimiter: expected one character"),
    ],
)
def test_wrong_arguments(run, fitted, tmp_path, arguments, words):
    (tmp_path / "folder.csv").mkdir()
    before = (tmp_path / fitted(None, "--target", "t")).read_bytes()
    assert words in one_error(run("predict", *arguments))
    assert (tmp_path / "my.csv").read_bytes() == before


def test_models_of_another_make(run, fitted, tmp_path):
    fitted(None, "--target", "t")
    net, w, extras = mlpcore.load(tmp_path / "my.npz")
    mlpcore.save(tmp_path / "other.npz", net, w)
    assert "the model does not say task" in one_error(run("predict", "other.npz", "my.csv"))
    for name, wrong in {
        "task": "fun",
        "input_names": ["x"],
        "input_mean": np.zeros(3),
        "input_scale": np.zeros(2),
        "target_mean": None,
        "target_scale": -1.0,
        "n_columns": 0,
        "target_column": 9,
        "input_columns": [1, 1],
        "has_header": "yes",
        "left_out": None,
        "target_unit": 3,
    }.items():
        mlpcore.save(tmp_path / "other.npz", net, w, **{**extras, name: wrong})
        err = one_error(run("predict", "other.npz", "my.csv"))
        assert f"other.npz: the model's {name} can't be understood" in err


@pytest.mark.skipif(os.name != "posix", reason="standard input by name")
def test_pipes(run, fitted, tmp_path):
    """Data go through a pipe whole, whatever the terminal's encoding."""
    fitted(classes_text(labels=("größe", "τ")), "--epochs", "300")
    done = command(
        *("predict", "my.npz", "/dev/stdin"),
        cwd=tmp_path,
        input="x,z\n0,0\n3,0\n",
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        encoding="utf-8",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(",")[0] for line in done.stdout.splitlines()][1:] == ["größe", "τ"]


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize("n", [40, 40_000])
def test_a_reader_who_leaves(fitted, csv, tmp_path, n):
    fitted(None, "--target", "t")
    csv(table_text(n=n), name="many.csv")
    with subprocess.Popen(
        [*COMMAND, "predict", "my.npz", "many.csv"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "predicted t\n"
        process.stdout.close()
        assert re.fullmatch(rf"mlpcore: RMSE [\d.]+ on {n} rows\n", process.stderr.read())
        assert process.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk")
def test_a_full_disk(fitted, tmp_path):
    fitted(None, "--target", "t")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "predict", "my.npz", "my.csv"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    # The RMSE may be said before.
    assert done.returncode == 2
    assert "No space left on device" in done.stderr.splitlines()[-1]
