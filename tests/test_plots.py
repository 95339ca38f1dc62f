"""Pictures: what is drawn, on which axes, and that nothing global changes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import mlpcore
from mlpcore import plots
from mlpcore.multistart import SweepResult
from mlpcore.training import EnsembleTrainResult, TrainResult

matplotlib = pytest.importorskip("matplotlib")


def result(training=(4.0, 2.0, 1.0, 0.5), validation=(4.0, 2.5, 2.0, 3.0), best_epoch=2):
    history = {
        "training_error": np.array(training, dtype=float),
        "validation_error": np.array(validation, dtype=float),
    }
    return TrainResult(
        w=np.zeros(1), history=history, stopped="patience", message="", best_epoch=best_epoch,
        n_epochs=len(training) - 1, seconds=0.0, optimizer="adam",
    )  # fmt: skip


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


def test_learning_curves_of_an_ensemble():
    others = [result((8.0, 5.0), (9.0, 7.0), 1), result((3.0, np.nan), (), 0)]
    best = result()
    ensemble = EnsembleTrainResult(np.zeros((3, 1)), (others[0], best, others[1]))
    ax = plots.learning_curves(ensemble, rms_unit=1.0)
    drawn = lines(ax)
    assert {"training", "validation", "best of 3 networks, epoch 2"} <= set(drawn)
    np.testing.assert_allclose(drawn["training"].get_ydata(), np.sqrt([8, 4, 2, 1]))
    thin = [line.get_ydata() for line in ax.get_lines() if line.get_linewidth() == 0.5]
    for line, error in zip(thin, ([8, 5], [3, np.nan], [9, 7]), strict=True):
        np.testing.assert_allclose(line, np.sqrt(2 * np.array(error)))
    assert legend(ax) == ["training", "validation", "best of 3 networks, epoch 2"]


@pytest.mark.parametrize("wrong", [{}, None, mlpcore.Network((1, 1))])
def test_learning_curves_of_something_else(wrong):
    words = r"expected a mlpcore\.TrainResult or a mlpcore\.EnsembleTrainResult$"
    with pytest.raises(TypeError, match=rf"^result is a {type(wrong).__name__}, {words}"):
        plots.learning_curves(wrong)
    with pytest.raises(ValueError, match="the ensemble has no networks"):
        plots.learning_curves(EnsembleTrainResult(np.zeros((0, 1)), ()))


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
    with pytest.raises(ValueError, match=r"^training (is 1.0|has \d entries), expected a pair"):
        plots.predicted_against_true([1.0], [1.0], training=training)


@pytest.mark.parametrize("unit", [np.nan, np.inf, 0.0, -1.0])
def test_the_unit_of_the_rmse_is_positive(unit):
    with pytest.raises(ValueError, match=r"^rms_unit is "):
        plots.learning_curves(result(), rms_unit=unit)


def swept(validation, hidden=None, training=None):
    """A sweep with these errors (n_sizes, starts), of which the pictures read nothing else."""
    validation = None if validation is None else np.array(validation, float)
    training = np.array(validation if training is None else training, float)
    hidden = [(i + 1,) for i in range(len(training))] if hidden is None else hidden
    return SweepResult(tuple(hidden), (), (), training, validation)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_sweep():
    errors = np.array([[3.0, 4.0, 5.0], [1.5, 2.0, 2.25], [1.0, 4.0, 4.5]])
    ax = plots.sweep(swept(errors))
    dots, medians, ring = ax.collections
    x, y = np.asarray(dots.get_offsets()).T.reshape(2, 3, 3)
    np.testing.assert_array_equal(y, errors)
    assert (np.abs(x - np.arange(3)[:, None]) <= 0.25).all()
    assert len(np.unique(x)) == 9
    np.testing.assert_array_equal([s[0, 1] for s in medians.get_segments()], [4, 2, 4])
    # The lowest error of all is the choice, not the lowest median.
    np.testing.assert_array_equal(ring.get_offsets(), dots.get_offsets()[6:7])
    (shaded,) = ax.patches
    left, right = shaded.get_extents().transformed(ax.transData.inverted()).intervalx
    assert (left + right) / 2 == pytest.approx(2)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "3"]
    assert ax.get_xlabel() == "number of hidden units $M$"
    assert ax.get_ylabel() == "mean validation error per sample"
    assert ax.get_yscale() == "linear"
    assert legend(ax) == ["one start", "median", "lowest, 3 hidden units"]


def test_sweep_as_rmse():
    ax = plots.sweep(swept([[0.5, 2.0], [8.0, 18.0]]), rms_unit=3.0, unit="MPa")
    np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 1], [3, 6, 12, 18])
    assert ax.get_ylabel() == "validation RMSE (MPa)"
    assert plots.sweep(swept([[0.5]]), rms_unit=1.0).get_ylabel() == "validation RMSE"


@pytest.mark.parametrize("shape", [(4.2, 3.2), (2.8, 1.8)])
def test_the_legend_of_a_sweep_covers_no_data(shape):
    ax = plots.figure(*shape).subplots()
    plots.sweep(swept([[1.0, 1.0], [2.0, 2.0]]), ax)
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1
    assert ax.get_legend().get_window_extent().y1 <= ax.figure.bbox.y1


def test_sweep_over_more_than_a_decade():
    assert plots.sweep(swept([[1.0, 0.09]])).get_yscale() == "log"
    assert plots.sweep(swept([[1.0, 0.11]])).get_yscale() == "linear"
    assert plots.sweep(swept([[1.0, 0.0]])).get_yscale() == "linear"


def test_sweep_without_validation():
    ax = plots.sweep(swept(None, hidden=[(1,), (8, 4)], training=[[1.0], [2.0]]))
    dots, _ = ax.collections  # the median of one start is not drawn
    np.testing.assert_array_equal(dots.get_offsets(), [[0, 1], [1, 2]])
    assert ax.get_ylabel() == "mean training error per sample"
    assert ax.get_xlabel() == "hidden units of each layer"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "8-4"]
    assert legend(ax) == ["one start", "lowest, 1 hidden unit"]


def test_sweep_leaves_out_what_is_not_finite():
    ax = plots.sweep(swept([[np.nan, 2.0, 4.0], [np.inf, np.nan, np.nan], [3.0, 5.0, 7.0]]))
    dots, medians, _ = ax.collections
    np.testing.assert_array_equal(dots.get_offsets()[:, 1], [2, 4, 3, 5, 7])
    np.testing.assert_array_equal([s[0, 1] for s in medians.get_segments()], [3, 5])


def test_sweep_of_many_sizes_labels_some():
    ax = plots.sweep(swept(np.ones((100, 2)), hidden=[(10 * i,) for i in range(1, 101)]))
    shown = [label.get_text() for label in ax.get_xticklabels()]
    assert 5 <= len(shown) <= 15
    assert shown[0] == "10"


def test_a_sweep_draws_itself():
    x = np.linspace(-1, 1, 12)[:, None]
    result = mlpcore.sweep(x, x**2, x, x**2, hidden=(2, 1), starts=3, seed=0, epochs=5)
    ax = plots.figure().subplots()
    assert result.plot(ax) is ax
    offsets = ax.collections[0].get_offsets()
    np.testing.assert_array_equal(offsets[:, 1], result.validation_errors.ravel())
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2", "1"]


def test_wrong_sweeps():
    with pytest.raises(TypeError, match=r"^result is a dict, expected a mlpcore\.SweepResult$"):
        plots.sweep({})
    with pytest.raises(ValueError, match=r"^result has no networks, expected at least one"):
        plots.sweep(swept(np.zeros((0, 3))))
    with pytest.raises(ValueError, match=r"^result has no finite error"):
        plots.sweep(swept([[np.nan]]))
    with pytest.raises(ValueError, match=r"^rms_unit is "):
        plots.sweep(swept([[1.0]]), rms_unit=-1.0)
    x = np.linspace(-1, 1, 12)[:, None]
    classes = mlpcore.sweep(x, x > 0, hidden=(1,), starts=1, output="sigmoid", epochs=2)
    with pytest.raises(ValueError, match=r"^rms_unit came for sigmoid outputs, expected it for "):
        classes.plot(rms_unit=1.0)


def bars(ax):
    return np.array([bar.get_width() for bar in ax.patches])


def test_sensitivities():
    J = np.array([[[1.0, -8.0, 0.0]], [[-2.0, 4.0, 0.0]], [[3.0, 0.0, 0.0]]])
    ax = plots.sensitivities(J, input_names=["a", "b$", "c"], unit="MPa")
    assert [label.get_text() for label in ax.get_yticklabels()] == [r"b\$", "a", "c"]
    np.testing.assert_allclose(bars(ax), [4, 2, 0])
    (quartiles,) = ax.collections
    np.testing.assert_allclose(
        [s[:, 0] for s in quartiles.get_segments()], [[2, 6], [1.5, 2.5], [0, 0]]
    )
    top, bottom = (bar.get_y() for bar in (ax.patches[0], ax.patches[2]))
    assert top < bottom
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # downwards
    assert ax.get_xlabel() == r"mean $|\partial y / \partial x_i|$ (MPa)"
    assert sorted(legend(ax)) == ["mean", "quartiles over the rows"]


def test_sensitivities_are_scaled():
    ax = plots.sensitivities([[1.0, 2.0]], scale=[10.0, 0.5])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["input 1", "input 2"]
    np.testing.assert_allclose(bars(ax), [10, 1])
    assert ax.get_xlabel().endswith(r"$\,\cdot\,s_i$")


def test_sensitivities_of_several_outputs():
    J = np.array([[[1.0, 2.0], [3.0, 7.0]], [[1.0, 4.0], [5.0, 7.0]]])
    ax = plots.sensitivities(J, output_names=["low", "high"])
    low, high = ax.containers
    assert (low.get_label(), high.get_label()) == ("low", "high")
    np.testing.assert_allclose([bar.get_width() for bar in low], [3, 1])
    np.testing.assert_allclose([bar.get_width() for bar in high], [7, 4])
    assert low[0].get_facecolor() != high[0].get_facecolor()
    assert "y_k" in ax.get_xlabel()


@pytest.mark.parametrize(
    ("J", "options", "words"),
    [
        (np.zeros(3), {}, r"^J has shape \(3,\), expected \(N, K, D\) or \(N, D\)"),
        (np.zeros((0, 1, 3)), {}, r"^J has shape \(0, 1, 3\), expected"),
        ([[1.0, np.nan]], {}, r"^J is not finite: J\[0, 1\] is nan$"),
        (np.zeros((2, 7, 3)), {}, r"^J has 7 outputs, expected at most 6"),
        ([[1.0]], {"scale": [1.0, 2.0]}, r"^scale has shape \(2,\), expected \(1,\)$"),
        ([[1.0]], {"scale": [-1.0]}, r"^scale\[0\] is -1.0, expected at least 0$"),
        ([[1.0]], {"scale": [np.inf]}, r"^scale is not finite: scale\[0\] is inf$"),
        ([[1.0]], {"input_names": ["a", "b"]}, r"^input_names has 2 names, expected 1$"),
        ([[1.0]], {"output_names": []}, r"^output_names has 0 names, expected 1$"),
    ],
)
def test_wrong_sensitivities(J, options, words):
    with pytest.raises(ValueError, match=words):
        plots.sensitivities(J, **options)


def test_names_are_not_one_string():
    with pytest.raises(TypeError, match=r"^input_names is 'ab', expected a sequence of 2 names$"):
        plots.sensitivities([[1.0, 2.0]], input_names="ab")


CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def points(ax):
    """Those of each class, by its label."""
    drawn = [c for c in ax.collections if not c.get_label().startswith("_")]
    return {c.get_label(): np.asarray(c.get_offsets()) for c in drawn}


@pytest.mark.parametrize("shape", ["(n,)", "(n, 1)", "(n, 2)"])
def test_decision_regions_of_two_classes(shape):
    def predict(X):
        p = 1 / (1 + np.exp(-8 * (X[:, 0] - 0.3)))
        return {"(n,)": p, "(n, 1)": p[:, None], "(n, 2)": np.stack([1 - p, p], axis=1)}[shape]

    ax = plots.decision_regions(predict, CORNERS, [0, 1, 0, 1], input_names=["a", "b"])
    mesh = ax.collections[0]
    regions = np.asarray(mesh.get_array()).reshape(200, 200)
    grid = np.linspace(-0.08, 1.08, 200)
    np.testing.assert_array_equal(regions, np.broadcast_to(grid > 0.3, (200, 200)))
    contour = ax.collections[1]
    line = np.concatenate([path.vertices for path in contour.get_paths()])
    np.testing.assert_allclose(line[:, 0], 0.3, atol=1e-3)
    assert np.ptp(line[:, 1]) == pytest.approx(1.16)
    drawn = points(ax)
    np.testing.assert_array_equal(drawn["class 0"], CORNERS[[0, 2]])
    np.testing.assert_array_equal(drawn["class 1"], CORNERS[[1, 3]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")
    assert ax.get_xlim() == pytest.approx((-0.08, 1.08))


def test_decision_regions_of_a_network():
    net = mlpcore.Network((2, 3), output="softmax")
    w = net.pack([([[4.0, 0.0], [0.0, 4.0], [0.0, 0.0]], [0.0, 0.0, 2.0])])
    ax = plots.decision_regions(
        lambda X: net.forward(w, X),
        CORNERS,
        np.array([2, 0, 1, 0]),
        class_names=["right", "top", "rest"],
        resolution=50,
    )
    regions = np.asarray(ax.collections[0].get_array()).reshape(50, 50)
    assert [regions[0, -1], regions[-1, 0], regions[0, 0]] == [0, 1, 2]
    assert ax.collections[0].norm.vmax == 2.5
    # The class with the highest z: 4 x, 4 y or 2.
    vertices = [p.vertices for c in ax.collections[1:-3] for p in c.get_paths()]
    x, y = np.concatenate([v for v in vertices if len(v)]).T
    highest = np.sort([4 * x, 4 * y, np.full_like(x, 2.0)], axis=0)
    np.testing.assert_allclose(highest[2], highest[1], atol=0.1)
    assert points(ax).keys() == {"right", "top", "rest"}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x_1$", "$x_2$")
    assert len({tuple(c.get_facecolor()[0]) for c in ax.collections[-3:]}) == 3


class Threshold:
    """A classifier by the first input."""

    classes_ = np.array(["left", "right"])

    def predict_proba(self, X):
        return np.stack([X[:, 0] < 0.5, X[:, 0] >= 0.5], axis=1).astype(float)


@pytest.mark.parametrize("kind", ["classifier", "names", "bools"])
def test_labels_of_any_type(kind):
    labels = np.array(["left", "right", "left", "right"])
    if kind == "classifier":
        ax = plots.decision_regions(Threshold(), CORNERS, labels, resolution=9)
    elif kind == "names":
        ax = plots.decision_regions(
            Threshold().predict_proba, CORNERS, labels.astype(object),
            class_names=["left", "right"], resolution=9,
        )  # fmt: skip
    else:
        it = Threshold()
        it.classes_ = np.array([False, True])
        ax = plots.decision_regions(
            it, CORNERS, labels == "right", class_names=["left", "right"], resolution=9
        )
    drawn = points(ax)
    np.testing.assert_array_equal(drawn["left"], CORNERS[[0, 2]])
    np.testing.assert_array_equal(drawn["right"], CORNERS[[1, 3]])


def test_decision_regions_of_our_estimator():
    estimators = pytest.importorskip("mlpcore.sklearn")
    X = np.random.default_rng(0).normal(size=(40, 2))
    y = np.where(X[:, 0] > 0, "right", "left")
    estimator = estimators.MLPClassifier(hidden_layer_sizes=(2,), max_iter=20, random_state=0)
    with pytest.raises(TypeError, match=r"^predict is a MLPClassifier, expected .* a fitted"):
        plots.decision_regions(estimator, X, y)
    ax = plots.decision_regions(estimator.fit(X, y), X, y, resolution=20)
    np.testing.assert_array_equal(points(ax)["left"], X[y == "left"])
    with pytest.raises(TypeError, match=r"^result is a MLPClassifier, expected a mlpcore\.Train"):
        plots.learning_curves(estimator)


def test_unknown_labels():
    with pytest.raises(
        ValueError, match=r"^labels\[1\] is 'up', expected one of \['left', 'right'"
    ):
        plots.decision_regions(Threshold(), CORNERS[:2], ["left", "up"])
    with pytest.raises(ValueError, match=r"^labels\[0\] is 'up', expected one of \['a', 'b'\]$"):
        plots.decision_regions(lambda X: X, CORNERS[:1], ["up"], class_names=["a", "b"])
    with pytest.raises(TypeError, match=r"^labels has dtype <U4, .*, or names in class_names$"):
        plots.decision_regions(lambda X: X, CORNERS[:1], ["left"])


def test_one_class_everywhere_has_no_border(tmp_path):
    ax = plots.decision_regions(lambda X: np.ones(len(X)), [[1.0, 2.0]], [1], resolution=2)
    assert len(ax.collections) == 3
    ax.figure.savefig(tmp_path / "picture.png")


@pytest.mark.parametrize(
    ("predict", "X", "labels", "words"),
    [
        (len, CORNERS[0], [0], r"^X has shape \(2,\), expected \(N, 2\) with N > 0$"),
        (len, [[1.0, 2.0, 3.0]], [0], r"^X has shape \(1, 3\), expected"),
        (len, [[1.0, np.nan]], [0], r"^X is not finite: X\[0, 1\] is nan$"),
        (len, CORNERS, [0], r"^predict\(X\) has shape \(\) for X of \(9, 2\), expected \(9, K\)"),
        (lambda X: X[:5], CORNERS, [0], r"^predict\(X\) has shape \(5, 2\) for X of"),
        (lambda X: X / 0, CORNERS, [0], r"^predict\(X\) is not finite: "),
        (lambda X: X @ np.ones((2, 7)), CORNERS, [0], r"^predict has 7 classes, expected at most"),
        (lambda X: X, CORNERS, [0, 1], r"^labels has shape \(2,\), expected \(4,\)$"),
        (lambda X: X, CORNERS, [0, 1, 2, 1], r"^labels\[2\] is 2, expected 0 to 1$"),
        (lambda X: X, CORNERS, [0, -1, 1, 1], r"^labels\[1\] is -1, expected 0 to 1$"),
    ],
)
@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value):RuntimeWarning")
def test_wrong_decision_regions(predict, X, labels, words):
    with pytest.raises(ValueError, match=words):
        plots.decision_regions(predict, X, labels, resolution=3)


def test_decision_regions_of_wrong_types():
    with pytest.raises(TypeError, match=r"^predict is a int, expected a callable or a fitted"):
        plots.decision_regions(1, CORNERS, [0, 0, 0, 0])
    with pytest.raises(TypeError, match=r"^labels has dtype float64, expected integers from 0 to"):
        plots.decision_regions(lambda X: X, CORNERS, [0.0, 1.0, 0.0, 1.0])


def squares(ax):
    """(x, y) of the centre, the area and the colour of each square, in the order of drawing."""
    (collection,) = ax.collections
    corners = np.array([path.vertices[:4] for path in collection.get_paths()])
    sides = np.ptp(corners, axis=1)
    np.testing.assert_allclose(sides[:, 0], sides[:, 1])
    return corners.mean(axis=1), sides[:, 0] ** 2, collection.get_facecolor()[:, 0]


def test_weights():
    net = mlpcore.Network((2, 3, 1))
    W, b = np.array([[1.0, -4.0], [0.0, 2.0], [-2.0, 0.5]]), np.array([-1.0, 0.0, 3.0])
    w = net.pack([(W, b), ([[1.0, 2.0, 3.0]], [4.0])])
    ax = plots.weights(net, w)
    centres, areas, whiteness = squares(ax)
    values = np.column_stack([W, b])
    at = np.argwhere(values != 0)
    np.testing.assert_allclose(centres[:, 1], at[:, 0])
    np.testing.assert_allclose(centres[:, 0], np.array([0, 1, 2.6])[at[:, 1]])
    drawn = values[values != 0]
    np.testing.assert_allclose(areas / areas.max(), np.abs(drawn) / 4)
    np.testing.assert_array_equal(whiteness, drawn > 0)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "bias"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2", "3"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("input", "hidden unit")
    assert ax.get_title() == "largest $|w|$ = 4"


def test_weights_of_another_layer():
    net = mlpcore.Network((2, 3, 4, 1))
    w = net.init(seed=0)
    ax = plots.weights(net, w, layer=2, input_names=list("abc"), output_names=list("pqrs"))
    assert len(squares(ax)[1]) == 12  # the biases are still zero
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c", "bias"]
    assert ax.get_xlabel() == "hidden unit of layer 1"
    assert ax.get_ylabel() == "hidden unit of layer 2"
    assert plots.weights(net, w, layer=3).get_ylabel() == "output"


def test_weights_that_are_all_zero_can_be_drawn(tmp_path):
    net = mlpcore.Network((70, 20, 1), dtype="float32")
    ax = plots.weights(net, net.init(scheme="zeros"))
    assert not ax.collections[0].get_paths()
    assert len(ax.get_xticklabels()) < 20
    ax.figure.savefig(tmp_path / "picture.png")


def test_wrong_weights():
    net = mlpcore.Network((1, 2, 1))
    w = net.init(seed=0)
    with pytest.raises(TypeError, match=r"^net is a int, expected a mlpcore\.Network$"):
        plots.weights(1, w)
    with pytest.raises(ValueError, match=r"^w has shape \(6,\), expected \(7,\)$"):
        plots.weights(net, w[:-1])
    with pytest.raises(ValueError, match=r"^w is not finite: w\[0\] is nan$"):
        plots.weights(net, np.full(7, np.nan))
    for layer in (0, 3):
        with pytest.raises(ValueError, match=rf"^layer is {layer}, expected a whole number"):
            plots.weights(net, w, layer=layer)
    with pytest.raises(ValueError, match=r"^input_names has 2 names, expected 1$"):
        plots.weights(net, w, input_names=["a", "b"])


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
        "import matplotlib\n"
        "def settings():  # to look at the backend would choose one\n"
        "    return {k: dict.__getitem__(matplotlib.rcParams, k) for k in matplotlib.rcParams}\n"
        "before = settings()\n"
        "from mlpcore import plots\n"
        "import mlpcore\n"
        "net, x = mlpcore.Network((1, 1)), [[0.0], [1.0]]\n"
        "plots.learning_curves(mlpcore.train(net, net.init(seed=0), x, x, epochs=2))\n"
        "plots.predicted_against_true([1.0, 2.0], [1.0, 2.0]).figure.canvas.draw()\n"
        "plots.decision_regions(lambda X: X, [[1.0, 2.0]], [0]).figure.canvas.draw()\n"
        "plots.sensitivities([[1.0, 2.0]]).figure.canvas.draw()\n"
        "assert settings() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
