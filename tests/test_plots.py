"""Pictures: what is drawn, on which axes, and that nothing global changes."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mlpcore import plots

matplotlib = pytest.importorskip("matplotlib")


def result(training=(4.0, 2.0, 1.0, 0.5), validation=(4.0, 2.5, 2.0, 3.0), best_epoch=2):
    history = {
        "training_error": np.array(training, dtype=float),
        "validation_error": np.array(validation, dtype=float),
    }
    return SimpleNamespace(history=history, best_epoch=best_epoch, stopped="patience")


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_learning_curves():
    ax = plots.learning_curves(result())
    drawn = lines(ax)
    np.testing.assert_array_equal(drawn["training"].get_ydata(), [4, 2, 1, 0.5])
    np.testing.assert_array_equal(drawn["validation"].get_ydata(), [4, 2.5, 2, 3])
    np.testing.assert_array_equal(drawn["training"].get_xdata(), [0, 1, 2, 3])
    np.testing.assert_array_equal(drawn["best epoch, 2"].get_xdata(), [2, 2])
    assert ax.get_xlabel() == "epoch"
    assert ax.get_ylabel() == "mean error per sample"
    assert ax.get_yscale() == "log"


def test_learning_curves_as_rmse():
    ax = plots.learning_curves(result(), rms_unit=3.0, unit="MPa")
    np.testing.assert_allclose(lines(ax)["training"].get_ydata()[0], 3 * np.sqrt(2 * 4.0))
    assert ax.get_ylabel() == "RMSE (MPa)"


@pytest.mark.parametrize("validation", [(), (np.nan,) * 4])
def test_learning_curves_without_validation(validation):
    drawn = lines(plots.learning_curves(result(validation=validation)))
    assert "validation" not in drawn
    assert "training" in drawn


@pytest.mark.parametrize(
    "training", [(1.0,), (0.0, 0.0), (1.0, 0.0), (1.0, np.nan), (1e200, 1.0), (1.0, 1.0)]
)
def test_odd_histories_can_be_drawn(training, tmp_path):
    ax = plots.learning_curves(result(training, validation=(), best_epoch=0))
    ax.figure.savefig(tmp_path / "picture.png")


def test_predicted_against_true():
    t, y = np.array([1.0, 2.0, 3.0]), np.array([[1.0], [2.0], [4.0]])
    ax = plots.predicted_against_true(t, y, training=([0.0, 5.0], [0.5, 5.0]), name="y", unit="$")
    grey, blue = ax.collections
    np.testing.assert_array_equal(blue.get_offsets(), [[1, 1], [2, 2], [3, 4]])
    np.testing.assert_array_equal(grey.get_offsets(), [[0, 0.5], [5, 5]])
    assert blue.get_label() == r"test, RMSE 0.577 \$"
    assert ax.get_xlabel() == r"true y (\$)"
    assert ax.get_ylabel() == r"predicted y (\$)"
    (diagonal,) = ax.get_lines()
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlim()[0] < 0
    assert ax.get_xlim()[1] > 5


def test_one_point_can_be_drawn(tmp_path):
    plots.predicted_against_true([2.0], [2.0]).figure.savefig(tmp_path / "picture.png")


@pytest.mark.parametrize(
    ("t", "y", "words"),
    [
        ([1.0, 2.0], [1.0], "y has 1 values, expected 2 as in t"),
        ([], [], r"t has shape \(0,\), expected \(N,\) or \(N, 1\), N > 0"),
        (np.zeros((2, 2)), np.zeros((2, 2)), r"t has shape \(2, 2\), expected \(N,\)"),
        (np.zeros(2), np.zeros((2, 2)), r"y has shape \(2, 2\), expected"),
    ],
)
def test_wrong_shapes(t, y, words):
    with pytest.raises(ValueError, match=words):
        plots.predicted_against_true(t, y)


@pytest.mark.parametrize(
    ("t", "y", "words"),
    [
        ([1.0, np.nan], [1.0, 2.0], r"t is not finite: t\[1\] is nan"),
        ([1.0, 2.0], [[1.0], [-np.inf]], r"y is not finite: y\[1, 0\] is -inf"),
    ],
)
def test_what_is_not_finite_is_named(t, y, words):
    with pytest.raises(ValueError, match=words):
        plots.predicted_against_true(t, y)
    with pytest.raises(ValueError, match=r"training\[[01]\]" + words[1:].split(":")[0]):
        plots.predicted_against_true([1.0], [1.0], training=(t, y))


@pytest.mark.parametrize("values", [[1j], ["a"], [None], np.ma.array([1.0])])
def test_what_is_no_array_of_real_numbers_is_named(values):
    with pytest.raises(TypeError, match=r"^t (has dtype .*, expected real|is a masked array)"):
        plots.predicted_against_true(values, [1.0])


@pytest.mark.parametrize("training", [([1.0],), ([1.0],) * 3, (), 1.0])
def test_training_is_a_pair(training):
    with pytest.raises(ValueError, match=r"^training is not a pair \(t, y\)$"):
        plots.predicted_against_true([1.0], [1.0], training=training)


@pytest.mark.parametrize("unit", [np.nan, np.inf, 0.0, -1.0])
def test_the_unit_of_the_rmse_is_positive(unit):
    with pytest.raises(ValueError, match=r"^rms_unit is "):
        plots.learning_curves(result(), rms_unit=unit)


def test_ax_is_drawn_on_and_returned():
    left, right = plots.figure().subplots(1, 2)
    assert plots.learning_curves(result(), left) is left
    assert plots.predicted_against_true([1.0], [2.0], right) is right
    assert left.has_data()
    assert right.has_data()


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_figures_can_be_saved(tmp_path, suffix):
    plots.learning_curves(result()).figure.savefig(tmp_path / f"picture.{suffix}")
    assert (tmp_path / f"picture.{suffix}").stat().st_size > 1000


def test_nothing_global_changes():
    """Neither the settings of matplotlib nor its backend, and pyplot is not even imported."""
    script = (
        "import sys\n"
        "from types import SimpleNamespace\n"
        "import matplotlib\n"
        "def settings():  # to look at the backend would choose one\n"
        "    return {k: dict.__getitem__(matplotlib.rcParams, k) for k in matplotlib.rcParams}\n"
        "before = settings()\n"
        "from mlpcore import plots\n"
        "result = SimpleNamespace(history={'training_error': [2.0, 1.0]}, best_epoch=1)\n"
        "plots.learning_curves(result)\n"
        "plots.predicted_against_true([1.0, 2.0], [1.0, 2.0]).figure.canvas.draw()\n"
        "assert settings() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
