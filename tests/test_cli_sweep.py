"""``sweep``: the table that it prints, which network it takes, and each error in one line."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import numpy as np
import pytest
from command_line import COMMAND, classes_text, one_error

import mlpcore
from mlpcore import cli, plots
from mlpcore.scaling import Standardizer

QUICK = ("--epochs", "30", "--starts", "3")


def curve_text(n=80):
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, n)
    t = np.sin(2 * x) + 0.05 * rng.normal(size=n)
    return "x,t\n" + "".join(f"{a!r},{b!r}\n" for a, b in zip(x.tolist(), t.tolist(), strict=True))


def printed_sizes(stdout):
    """size -> (median, lowest), and the size that is marked."""
    lines = stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:2] == ["hidden", "units"])
    sizes, chosen = {}, None
    for line in lines[start + 1 :]:
        if not line.strip():
            break
        size, median, lowest, *mark = line.split()
        sizes[size] = (float(median), float(lowest))
        chosen = size if mark else chosen
    return sizes, chosen


def test_the_table_is_that_of_mlpcore_sweep(run, csv, tmp_path):
    status, out, err = run("sweep", csv(curve_text()), "--hidden", "1-3,2x2", *QUICK)
    assert (status, err) == (0, "")
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["my-sweep.npz", "my.csv"]
    net, w, extras = mlpcore.load(tmp_path / "my-sweep.npz")
    data = np.array([line.split(",") for line in curve_text().splitlines()[1:]], float)
    training, validation, test = (extras[f"{p}_rows"] for p in ("training", "validation", "test"))
    assert (len(training), len(validation), len(test)) == (48, 16, 16)
    inputs, targets = (Standardizer.fit(data[training][:, [i]]) for i in (0, 1))
    X, T = inputs.transform(data[:, :1]), targets.transform(data[:, 1:])
    result = mlpcore.sweep(
        *(X[training], T[training], X[validation], T[validation]),
        hidden=[1, 2, 3, (2, 2)],
        starts=3,
        seed=0,
        optimizer="lbfgs",
        epochs=30,
        weight_decay=0.1,
        patience=200,
    )
    best_net, best = result.best()
    assert net.layers == best_net.layers
    np.testing.assert_array_equal(w, best.w)
    rmse = targets.scale[0] * np.sqrt(2 * result.validation_errors)
    np.testing.assert_array_equal(extras["sweep_validation_errors"], rmse)
    assert extras["sweep_hidden"] == [[1], [2], [3], [2, 2]]
    sizes, chosen = printed_sizes(out)
    assert list(sizes) == ["1", "2", "3", "2x2"]
    assert chosen == "x".join(map(str, result.best_hidden))
    for row, printed in zip(rmse, sizes.values(), strict=True):
        assert printed == pytest.approx((np.median(row), row.min()), rel=1e-3)
    y = targets.inverse(net.forward(w, X))
    error = np.sqrt(np.mean((y - data[:, 1:])[test] ** 2))
    assert extras["rmse"]["test"] == pytest.approx(error)
    assert re.search(rf"network .* {error:#.4g}", out)
    assert extras["rmse"]["validation"] == pytest.approx(rmse.min())


def test_steps_are_as_in_train(run, csv):
    sizes = ("--hidden", "1", "--epochs", "2", "--starts", "2")
    for arguments, words in (
        (["--optimizer", "adam"], "adam (learning rate 0.003, batches of 32), weight decay 0.1,"),
        (["--optimizer", "rprop", "--learning-rate", "0.01"], "rprop (learning rate 0.01), weight"),
    ):
        status, out, err = run("sweep", csv(curve_text()), *sizes, *arguments)
        assert (status, err) == (0, "")
        assert f"Training  {words}" in out


@pytest.mark.parametrize("labels", [("low", "high"), ("low", "mid", "high")])
def test_classes(run, csv, tmp_path, labels):
    status, out, err = run("sweep", csv(classes_text(labels=labels)), "--hidden", "1,2", *QUICK)
    assert (status, err) == (0, "")
    assert "Validation cross-entropy a row of 3 starts, by hidden units" in out
    assert "Rows of the test by their class" in out
    status, _, err = run("predict", "my-sweep.npz", "my.csv")
    assert status == 0
    assert "accuracy 100.0 %" in err
    extras = mlpcore.load(tmp_path / "my-sweep.npz").extras
    assert extras["sweep_validation_errors"].min() == pytest.approx(
        extras["cross_entropy"]["validation"]
    )


def test_without_a_file_the_concrete_data(run, tmp_path):
    status, out, err = run("sweep", "--hidden", "2,4", "--starts", "2", "--epochs", "20")
    assert (status, err) == (0, "")
    assert "RMSE (MPa)" in out
    assert (tmp_path / "concrete-sweep.npz").exists()


def test_a_picture(tmp_path, csv, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sweep", csv(curve_text()), "--hidden", "1-2", *QUICK]) == 0
    assert "Picture   my-sweep.png" in capsys.readouterr().out
    assert (tmp_path / "my-sweep.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("classes", [False, True])
def test_the_picture_shows_what_is_printed(tmp_path, csv, monkeypatch, classes):
    """RMSE in the unit of the data, or the cross-entropy."""
    pytest.importorskip("matplotlib")
    drawn = []

    def kept(file, draw, **options):
        draw(figure := plots.figure())
        drawn.append(figure.axes[0])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mlpcore.cli.sweep.save_picture", kept)
    text = classes_text() if classes else curve_text().replace(".", "")  # far larger numbers
    assert cli.main(["sweep", csv(text), "--hidden", "1-2", *QUICK]) == 0
    (ax,) = drawn
    errors = mlpcore.load(tmp_path / "my-sweep.npz").extras["sweep_validation_errors"]
    np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 1], errors.ravel())
    label = "cross-entropy per row" if classes else "RMSE"
    assert ax.get_ylabel() == f"validation {label}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--hidden", "0"], "--hidden: expected an integer of at least 1, got '0'"),
        (["--hidden", "3-1"], "--hidden: expected a range upwards, got '3-1'"),
        (["--hidden", "1-"], "--hidden: expected an integer of at least 1, got '1-'"),
        (["--hidden", "0-3"], "--hidden: expected an integer of at least 1, got '0' in '0-3'"),
        (["--hidden", "2,8xx4"], "--hidden: expected an integer of at least 1, got '' in '2,8xx4'"),
        (["--hidden", "1-99999999999"], "and at most 2147483647, got '99999999999' in '1-9"),
        (["--hidden", ""], "--hidden"),
        (["--hidden", "1-2000000000"], "--hidden: expected at most 1000 sizes"),
        (["--hidden", "1000000000"], "--hidden or --activation"),
        (["--starts", "0"], "--starts: expected an integer of at least 1, got '0'"),
        (["--starts", "20000"], "--starts: expected an integer of at least 1 and at most 10000"),
        (["--activation", "tanh,relu"], "2 names for 1 hidden layers"),
        (["--batch-size", "8"], "--batch-size is for --optimizer adam, adamw or sgd, not for lbf"),
        (["--validation-fraction", "0"], "some rows must be held out to choose by, got 0"),
        (["--target", "y"], "no column 'y'"),
        (["none.csv"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments(run, csv, arguments, words):
    assert words in one_error(run("sweep", csv(curve_text()), *QUICK, *arguments))


def test_an_interrupt_keeps_the_sizes_that_are_done(run, csv, tmp_path, monkeypatch):
    sizes = []

    def interrupted(*arguments, **options):
        sizes.append(options["hidden"])
        if len(sizes) == 3:
            raise KeyboardInterrupt
        return mlpcore.sweep(*arguments, **options)

    monkeypatch.setattr("mlpcore.cli.sweep.sweep", interrupted)
    status, out, err = run("sweep", csv(curve_text()), "--hidden", "1-5", *QUICK)
    assert (status, err) == (0, "mlpcore: interrupted after 2 of 5 sizes\n")
    assert list(printed_sizes(out)[0]) == ["1", "2"]
    sizes[:] = [None, None]
    (tmp_path / "my-sweep.npz").unlink()
    status, _, err = run("sweep", "my.csv", "--hidden", "1-5", *QUICK)
    assert status == 130
    assert err == "mlpcore: interrupted before the first size was done; nothing was saved\n"
    assert not (tmp_path / "my-sweep.npz").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c(tmp_path, csv):
    csv(curve_text())
    with subprocess.Popen(
        [
            *(*COMMAND, "sweep", "my.csv", "--hidden", "1,500", "--no-plot", "--starts", "4"),
            *("--optimizer", "adam", "--epochs", "2000000", "--patience", "0"),
        ],
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
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        assert process.stderr.read().count("\n") == 1
        assert process.wait(60) in (0, 130)


def test_a_progress_bar_on_a_terminal(tmp_path, csv):
    pexpect = pytest.importorskip("pexpect")
    pytest.importorskip("tqdm")
    csv(curve_text())
    process = pexpect.spawn(
        COMMAND[0],
        [*COMMAND[1:], "sweep", "my.csv", "--no-plot", "--hidden", "1-4", *QUICK],
        cwd=str(tmp_path),
        timeout=60,
        encoding="utf-8",
    )
    process.expect(pexpect.EOF)
    process.close()
    assert process.exitstatus == 0
    assert "size" in process.before
    assert re.search(r"\r(?!\r*\n)", process.before)
