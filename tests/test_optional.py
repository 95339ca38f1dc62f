"""Each optional dependency taken away: the promised line or the promised fallback comes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import mlpcore
from mlpcore import plots

OPTIONAL = (
    "matplotlib",
    "pandas",
    "pyarrow",
    "tqdm",
    "sklearn",
    "scipy",
    "torch",
    "hypothesis",
    "mpmath",
)


def run_without(modules, code, *arguments, cwd):
    """Run Python code in a process that can't import ``modules``."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({tuple(modules)!r}))\n"
    return subprocess.run(
        [sys.executable, "-c", hide + code, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


COMMAND = "import runpy; runpy.run_module('mlpcore', run_name='__main__', alter_sys=True)"


@pytest.mark.parametrize("function", plots.__all__)
def test_plots_without_matplotlib(monkeypatch, function):
    x, net = np.linspace(0, 1, 4)[:, None], mlpcore.Network((1, 2, 1))
    swept = mlpcore.sweep(x, x, hidden=(1,), starts=1, seed=0, epochs=1)
    for name in list(sys.modules):
        if name.split(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    arguments = {
        "decision_regions": (lambda X: X, [[0.0, 1.0]], [0]),
        "figure": (),
        "learning_curves": (swept.results[0],),
        "predicted_against_true": ([1.0], [1.0]),
        "sensitivities": ([[1.0]],),
        "sweep": (swept,),
        "weights": (net, net.init(seed=0)),
    }[function]
    with pytest.raises(ImportError) as caught:
        getattr(plots, function)(*arguments)
    assert str(caught.value) == ('mlpcore.plots needs matplotlib: pip install "mlpcore[plot]"')


def test_command_without_matplotlib(tmp_path):
    done = run_without(["matplotlib"], COMMAND, "--epochs", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (line,) = (line for line in done.stdout.splitlines() if "matplotlib" in line)
    assert 'pip install "mlpcore[plot]"' in line
    assert sorted(p.name for p in tmp_path.iterdir()) == ["concrete.npz"]


def test_command_with_a_broken_matplotlib(tmp_path):
    (tmp_path / "lib" / "matplotlib").mkdir(parents=True)
    (tmp_path / "lib" / "matplotlib" / "__init__.py").write_text("raise ImportError('broken')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'lib')!r})\n" + COMMAND
    done = run_without([], code, "--epochs", "3", "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "can't be imported: broken" in done.stdout
    assert "Traceback" not in done.stderr


def test_command_with_numpy_alone(tmp_path):
    done = run_without(OPTIONAL, COMMAND, "--epochs", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (tmp_path / "concrete.npz").exists()


def test_parquet_without_pyarrow(tmp_path):
    (tmp_path / "my.parquet").write_bytes(b"PAR1")
    for arguments in (["train", "my.parquet"], ["predict", "m.npz", "x.csv", "-o", "y.parquet"]):
        done = run_without(["pyarrow"], COMMAND, *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr == (
            f"mlpcore: error: {arguments[-1]}: a Parquet file needs pyarrow: "
            f'pip install "mlpcore[table]"\n'
        )


def test_import_and_fit_with_numpy_alone(tmp_path):
    code = (
        "import mlpcore, mlpcore.plots, mlpcore.datasets, mlpcore.persistence, mlpcore.cli\n"
        "net = mlpcore.Network((8, 3, 1)); data = mlpcore.datasets.load_concrete()\n"
        "w, X, T = net.init(seed=0), data.X / 1000, data.t[:, None] / 50\n"
        "print(mlpcore.train(net, w, X, T, epochs=2, progress=True))\n"
        "mlpcore.save('m.npz', net, w); mlpcore.load('m.npz')\n"
    )
    done = run_without(OPTIONAL, code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_import_takes_no_optional_package_along(tmp_path):
    code = (
        "import mlpcore, mlpcore.plots, mlpcore.cli\n"
        f"print([m for m in {OPTIONAL!r} if m in sys.modules])"
    )
    done = run_without([], code, cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_estimators_without_scikit_learn(tmp_path):
    done = run_without(["sklearn"], "import mlpcore.sklearn", cwd=tmp_path)
    promised = 'ImportError: mlpcore.sklearn needs scikit-learn: pip install "mlpcore[sklearn]"'
    assert done.stderr.splitlines()[-1] == promised
    assert done.stderr.count("Traceback") == 1


def test_pandas_in_numpy_out():
    pandas = pytest.importorskip("pandas")
    net = mlpcore.Network((2, 3, 1))
    w = net.init(seed=0)
    X = np.random.default_rng(0).normal(size=(5, 2))
    frame = pandas.DataFrame(X, columns=["a", "b"])
    y = net.forward(w, frame)
    assert type(y) is np.ndarray
    np.testing.assert_array_equal(y, net.forward(w, X))
