"""The estimators: scikit-learn's own checks, the scaling undone, and what only ours have."""

from __future__ import annotations

import doctest
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from interrupting import Interrupts

import mlpcore
from mlpcore.datasets import load_concrete

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.base import clone
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlpcore import evidence
from mlpcore.cross_validation import train_by_cross_validation
from mlpcore.evidence import Evidence
from mlpcore.regularizers import ConsistentPrior, Regularizer, WeightDecay
from mlpcore.schedules import Cosine
from mlpcore.sklearn import MLPClassifier, MLPRegressor, base, classifier, regressor
from mlpcore.sklearn.base import default_epochs, merge_rows

pytestmark = pytest.mark.peer


def small(cls, **parameters):
    return cls(**{"hidden_layer_sizes": 5, "max_iter": 60, "random_state": 0, **parameters})


def run_python(code, **environment):
    """What the code prints in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def data():
    """Inputs of very different scales, and two targets."""
    random = np.random.default_rng(0)
    X = random.standard_normal((120, 3)) * [1e-3, 1.0, 1e4] + [5.0, 0.0, -1e5]
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    Y = np.column_stack((1000 + 50 * np.sin(z[:, 0]) + 20 * z[:, 1], 1e-3 * z[:, 2] * z[:, 0]))
    return X, Y


@pytest.mark.parametrize("name", ["MLPRegressor", "MLPClassifier"])
def test_check_estimator(name):
    """In a process of its own: SciPy reads at import whether the array API is to be checked."""
    code = (
        "import json, warnings; warnings.simplefilter('ignore')\n"
        "from sklearn.utils.estimator_checks import check_estimator\n"
        f"from mlpcore.sklearn import {name}\n"
        f"results = check_estimator({name}(), on_fail=None, on_skip=None)\n"
        "print(json.dumps([[r['check_name'], r['status'], str(r['exception'])] for r in results]))"
    )
    results = json.loads(run_python(code, SCIPY_ARRAY_API="1"))
    assert len(results) > 40
    assert [result for result in results if result[1] != "passed"] == []


def test_predictions_and_jacobian_are_in_the_units_of_the_user(data):
    X, Y = data
    model = small(MLPRegressor, max_iter=400).fit(X, Y)
    assert model.score(X, Y) > 0.98
    J = model.jacobian(X[:10])
    assert J.shape == (10, 2, 3)
    for i, step in enumerate(1e-4 * X.std(axis=0)):
        h = step * np.eye(3)[i]
        slope = (model.predict(X[:10] + h) - model.predict(X[:10] - h)) / (2 * step)
        np.testing.assert_allclose(J[:, :, i], slope, rtol=1e-4, atol=1e-5 * np.abs(slope).max())


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_jacobian_of_the_probabilities(n_classes):
    X, y = load_iris(return_X_y=True)
    X, y = X[y < n_classes], y[y < n_classes]
    model = small(MLPClassifier).fit(X, y)
    J = model.jacobian(X[::10])
    assert J.shape == (len(X[::10]), n_classes, 4)
    h = 1e-5 * np.eye(4)[2]
    slope = (model.predict_proba(X[::10] + h) - model.predict_proba(X[::10] - h)) / 2e-5
    np.testing.assert_allclose(J[:, :, 2], slope, atol=1e-7 * np.abs(J).max() + 1e-9)
    np.testing.assert_allclose(J.sum(axis=1), 0, atol=1e-12 * np.abs(J).max())


@pytest.mark.parametrize("solver", ["lbfgs", "adam", "sgd"])
def test_the_bits_don_t_depend_on_threads_or_the_order_of_rows(data, solver):
    X, Y = data
    predictions = []
    for threads in (1, 3):
        mlpcore.set_num_threads(threads)
        order = np.random.default_rng(threads).permutation(len(X))
        predictions.append(small(MLPRegressor, solver=solver).fit(X[order], Y[order]).predict(X))
    np.testing.assert_array_equal(*predictions)
    other = small(MLPRegressor, solver=solver, random_state=1).fit(X, Y).predict(X)
    assert (other != predictions[0]).any()


def test_the_bits_don_t_depend_on_the_threads_of_lapack():
    code = (
        "from mlpcore.datasets import load_concrete; from mlpcore.sklearn import MLPRegressor\n"
        "data = load_concrete()\n"
        "m = MLPRegressor(20, alpha='evidence', max_iter=60, n_starts=2, random_state=0)\n"
        "print(m.fit(data.X[:200], data.t[:200]).weights_.tobytes().hex())"
    )
    one, two = (run_python(code, OMP_NUM_THREADS=n, OPENBLAS_NUM_THREADS=n) for n in "12")
    assert one == two


def test_a_weight_is_that_many_rows(data):
    X, Y = data
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    a = small(MLPRegressor).fit(X, Y, sample_weight=weight).predict(X)
    b = small(MLPRegressor).fit(X.repeat(weight, axis=0), Y.repeat(weight, axis=0)).predict(X)
    np.testing.assert_array_equal(a, b)


def test_merge_rows():
    X = np.array([[2.0], [1.0], [2.0], [2.0], [0.0]])
    T = np.array([[1.0], [1.0], [1.0], [5.0], [0.0]])
    merged = merge_rows(X, T, np.array([1.0, 2.0, 3.0, 4.0, 0.0]))
    for got, expected in zip(
        merged, ([[1.0], [2.0], [2.0]], [[1.0], [1.0], [5.0]], [2.0, 4.0, 4.0]), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


def test_labels_of_any_type():
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)
    expected = small(MLPClassifier).fit(X, y)
    for labels in (names[y], names.astype(str)[y], y * 10 - 7):
        model = small(MLPClassifier).fit(X, labels)
        assert model.score(X, labels) > 0.95
        np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
    two = small(MLPClassifier).fit(X, y == 1)
    assert two.predict(X).dtype == bool
    np.testing.assert_allclose(two.predict_proba(X).sum(axis=1), 1)


def test_as_many_classes_as_starts_and_samples_left_out():
    X, y = np.random.default_rng(0).standard_normal((17, 2)), np.arange(17) % 4
    model = small(MLPClassifier, alpha="cross_validation").fit(X, y)
    assert model.weight_decay_ in model.cross_validation_errors_


def test_several_labels_at_once():
    X, Y = make_multilabel_classification(n_samples=200, n_classes=4, random_state=0)
    model = small(MLPClassifier).fit(X, Y)
    np.testing.assert_array_equal(model.decision_function(X) > 0, model.predict(X))
    assert model.predict_proba(X).shape == model.predict(X).shape == Y.shape
    assert (model.predict(X) == Y).mean() > 0.85
    assert model.jacobian(X[:5]).shape == (5, 4, X.shape[1])


def test_one_class_is_refused_in_words():
    with pytest.raises(ValueError, match="y has only one class"):
        MLPClassifier().fit(np.eye(3), ["a", "a", "a"])


def test_validation_data_of_the_user(data):
    X, Y = data
    model = small(MLPRegressor, max_iter=500, alpha=0.0)
    model.fit(X[:80], Y[:80], X_val=X[80:], T_val=Y[80:])
    assert len(model.validation_loss_curve_) == len(model.loss_curve_) == model.n_iter_
    assert model.n_iter_ < 500
    with pytest.raises(ValueError, match="X_val came without T_val"):
        model.fit(X, Y, X_val=X)
    with pytest.raises(ValueError, match="T_val has shape"):
        model.fit(X, Y, X_val=X, T_val=Y[:, 0])
    with pytest.raises(ValueError, match=r"^T_val has 9 samples, expected 120, as X_val has$"):
        model.fit(X, Y, X_val=X, T_val=Y[:9])


def test_a_class_without_weight_is_none():
    X, y = load_iris(return_X_y=True)
    model = small(MLPClassifier).fit(X, y, sample_weight=(y > 0))
    np.testing.assert_array_equal(model.classes_, [1, 2])
    same = small(MLPClassifier).fit(X[y > 0], y[y > 0])
    np.testing.assert_array_equal(model.predict_proba(X), same.predict_proba(X))
    model = small(MLPClassifier).partial_fit(X, y, sample_weight=(y > 0).astype(float))
    np.testing.assert_array_equal(model.classes_, [1, 2])


def test_labels_in_a_sparse_matrix():
    scipy_sparse = pytest.importorskip("scipy.sparse")
    X, Y = make_multilabel_classification(n_samples=60, n_classes=4, random_state=0)
    sparse = scipy_sparse.csr_matrix(Y)
    one = small(MLPClassifier).fit(X, Y, X_val=X, T_val=Y)
    other = small(MLPClassifier).fit(X, sparse, X_val=X, T_val=sparse)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_validation_data_split_off():
    X, y = load_iris(return_X_y=True)
    model = small(MLPClassifier, early_stopping=True, solver="adam", learning_rate_init=0.02)
    assert model.fit(X, y).score(X, y) > 0.9
    assert model.validation_loss_curve_


@pytest.mark.parametrize("cls", [MLPRegressor, MLPClassifier])
def test_early_stopping_sees_a_weight_as_that_many_rows(cls):
    X, y = load_iris(return_X_y=True)
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    order = np.random.default_rng(1).permutation(weight.sum())
    a = small(cls, early_stopping=True).fit(X, y, sample_weight=weight)
    copies = X.repeat(weight, axis=0)[order], y.repeat(weight)[order]
    b = small(cls, early_stopping=True).fit(*copies)
    np.testing.assert_array_equal(a.weights_, b.weights_)
    assert a.validation_loss_curve_


def test_early_stopping_with_a_class_of_one_sample():
    X, y = load_iris(return_X_y=True)
    y[7] = 9
    model = small(MLPClassifier, early_stopping=True).fit(X, y)
    np.testing.assert_array_equal(model.classes_, [0, 1, 2, 9])
    assert model.validation_loss_curve_
    with pytest.raises(ValueError, match="validation_fraction came with one sample of each class"):
        small(MLPClassifier, early_stopping=True).fit(X[:3], [0, 1, 2])
    with pytest.raises(ValueError, match="early_stopping came with samples that are all equal"):
        small(MLPRegressor, early_stopping=True).fit(np.ones((5, 2)), np.ones(5))


def test_the_best_start_or_the_average(data):
    X, Y = data
    average = small(MLPRegressor, n_starts=3).fit(X, Y[:, 0])
    best = small(MLPRegressor, n_starts=3, combine="best").fit(X, Y[:, 0])
    assert average.weights_.shape[0] == 3
    assert best.weights_.shape[0] == 1
    (which,) = np.flatnonzero((average.weights_ == best.weights_).all(axis=1))
    net, S = average.network_, average.weights_
    Z, T = average.input_scaling_.transform(X), average.target_scaling_.transform(Y[:, :1])
    assert which == np.argmin([net.error(w, Z, T) for w in S])


def test_warm_start_goes_on(data):
    X, Y = data
    model = small(MLPRegressor, warm_start=True, max_iter=20, alpha=0.1).fit(X, Y)
    losses = [model.loss_, *(model.fit(X, Y).loss_ for _ in range(3))]
    assert losses == sorted(losses, reverse=True)
    assert model.n_iter_ == 80


def test_going_on_with_another_network_is_refused(data):
    X, Y = data
    model = small(MLPRegressor, warm_start=True, max_iter=5, alpha=0.1, hidden_layer_sizes=(4, 3))
    model.fit(X, Y)
    for name, changed, message in (
        ("hidden_layer_sizes", 6, r"hidden_layer_sizes is \[6\], expected \[4, 3\]"),
        ("n_starts", 3, "n_starts is 3, expected 4"),
        ("activation", "relu", r"activation is \['relu', 'relu'\], expected \['tanh', 'tanh'\]"),
        ("dtype", "float32", "dtype is 'float32', expected 'float64'"),
        ("scale", False, "scale is False, expected True"),
    ):
        before = model.get_params()[name]
        model.set_params(**{name: changed})
        for fit in (model.fit, model.partial_fit):
            with pytest.raises(ValueError, match=f"^{message} as in the fit"):
                fit(X, Y)
        model.set_params(**{name: before})
    n_epochs = model.n_iter_
    same = {"hidden_layer_sizes": np.array([4, 3]), "activation": ("tanh", "tanh"), "alpha": 1.0}
    model.set_params(**same, combine="best").fit(X, Y)
    assert n_epochs < model.n_iter_ <= 10
    model.fit(X, Y)
    with pytest.raises(ValueError, match="combine is 'average', expected 'best'"):
        model.set_params(combine="average").fit(X, Y)
    model.set_params(warm_start=False, hidden_layer_sizes=6, activation="relu").fit(X, Y)


@pytest.mark.parametrize(
    ("W", "N", "epochs"),
    [
        (1, 10, 100),
        (50, 1000, 300),
        (100, 1000, 600),
        (400, 1000, 4800),
        (501, 5000, 1600),
        (10_000, 1000, 8000),
        (10_000, 10**6, 100),
    ],
)
def test_the_default_epochs_grow_faster_than_the_weights(W, N, epochs):
    assert default_epochs(W, N, most=8000) == epochs
    assert default_epochs(W, N, most=60) == 60


@pytest.mark.parametrize("alpha", ["auto", "evidence", 0.1])
@pytest.mark.parametrize("max_iter", [4, 180])
def test_the_curves_are_those_of_the_fit_to_all_samples(data, alpha, max_iter):
    X, Y = data
    model = small(MLPRegressor, alpha=alpha, max_iter=max_iter).fit(X, Y)
    assert 1 <= model.n_iter_ == len(model.loss_curve_) <= max_iter
    Z, T = model.input_scaling_.transform(X), model.target_scaling_.transform(Y)
    errors = [model.network_.error(w, Z, T) / len(X) for w in model.weights_]
    assert model.loss_ == pytest.approx(np.mean(errors))
    if alpha == "auto":
        assert model.n_iter_ <= max(1, max_iter // 9)
        # Each training goes down from the outcome of the path, with its weight decay.
        assert max(model.loss_curve_) < 2 * min(model.loss_curve_)
    assert model.best_loss_ == min(model.loss_curve_)


def test_partial_fit_learns(data):
    X, Y = data
    model = small(MLPRegressor, solver="sgd", batch_size=20, learning_rate_init=0.02)
    for _ in range(60):
        model.partial_fit(X, Y[:, :1])
    assert model.score(X, Y[:, :1]) > 0.9
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :2], Y[:, :1])
    classifier = small(MLPClassifier, solver="adam")
    classifier.partial_fit(X, np.zeros(len(X), int), classes=[0, 1])
    with pytest.raises(ValueError, match="y has the class 7"):
        classifier.partial_fit(X, np.full(len(X), 7))


def test_partial_fit_has_no_rounds(data):
    """So it needs no two epochs, as `fit` does by evidence."""
    X, Y = data
    model = small(MLPRegressor, alpha="evidence", max_iter=1).partial_fit(X, Y)
    assert model.n_iter_ == 1
    assert model.weight_decay_ == 1
    with pytest.raises(ValueError, match=r"^max_iter is 1, expected at least 2 with alpha"):
        model.fit(X, Y)
    classifier = small(MLPClassifier, alpha="evidence", max_iter=1).partial_fit(X, Y[:, 0] > 1000)
    assert classifier.n_iter_ == 1


def test_evidence_of_a_fit_without_an_estimate(data):
    X, Y = data
    model = small(MLPRegressor, alpha="evidence", regularizer=Interrupts())
    with pytest.warns(ConvergenceWarning, match="the training was interrupted"):
        model.fit(X, Y)
    assert model.evidence_ == Evidence(alpha=0.1, beta=1.0, gamma=0.0)
    model = small(MLPRegressor, alpha="evidence", scale=False)
    with pytest.warns(ConvergenceWarning, match="the training diverged"):
        model.fit(X, 1e160 * Y)
    assert model.evidence_ == Evidence(alpha=0.1, beta=1.0, gamma=0.0)
    assert model.weight_decay_ == 0.1


def test_ctrl_c_in_an_estimate(data, monkeypatch):
    X, Y = data

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(evidence, "curvatures", interrupted)
    model = small(MLPRegressor, alpha="evidence")
    with pytest.warns(ConvergenceWarning, match="the training was interrupted"):
        model.fit(X, Y)
    assert model.evidence_ == Evidence(alpha=0.1, beta=1.0, gamma=0.0)
    assert len(model.loss_curve_) > 1


@pytest.mark.parametrize("combine", ["average", "best"])
@pytest.mark.parametrize(("n", "steps"), [(1, 0), (65, 2), (165, 6)])
def test_ctrl_c_in_a_cross_validation(data, monkeypatch, n, steps, combine):
    """In the first step of the path, in a later one, and in the fit to all samples."""
    X, Y = data
    results = []

    def kept(*arguments, **options):
        results.append(train_by_cross_validation(*arguments, **options))
        return results[-1]

    monkeypatch.setattr(base, "train_by_cross_validation", kept)
    options = {"alpha": "cross_validation", "n_starts": 2, "max_iter": 90, "verbose": True}
    model = small(MLPRegressor, regularizer=Interrupts(n), combine=combine, **options)
    with pytest.warns(ConvergenceWarning, match="the training was interrupted"):
        model.fit(X, Y)
    (result,) = results
    assert len(result.errors) == steps
    assert result.interrupted
    which = (model.weights_[:, None] == result.w).all(axis=2).argmax(axis=1)
    np.testing.assert_array_equal(model.weights_, result.w[which])
    assert len(which) == (2 if combine == "average" else 1)
    assert model.weight_decay_ == result.weight_decay
    assert model.cross_validation_errors_ == result.errors
    assert (model.loss_curve_ == []) == np.isnan(model.loss_) == (steps < 6)
    assert np.isfinite(model.predict(X)).all()


def test_tools_of_scikit_learn(data):
    X, Y = data
    model = small(MLPRegressor, max_iter=400)
    assert np.mean(cross_val_score(model, X, Y, cv=3)) > 0.8
    search = GridSearchCV(
        make_pipeline(StandardScaler(), model),
        {
            "mlpregressor__activation": ["tanh", ["softplus"]],
            "mlpregressor__alpha": [0.1, "evidence"],
        },
        cv=2,
        error_score="raise",
    ).fit(X, Y)
    again = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(again.predict(X), search.predict(X))
    assert clone(model).get_params() == model.get_params()


def test_pandas(data):
    pandas = pytest.importorskip("pandas")
    X, Y = data
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    model = small(MLPRegressor).fit(frame, pandas.DataFrame(Y))
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    np.testing.assert_array_equal(model.predict(frame), small(MLPRegressor).fit(X, Y).predict(X))
    chain = make_pipeline(StandardScaler(), small(MLPRegressor)).set_output(transform="pandas")
    chain.fit(frame, Y)
    assert list(chain[-1].feature_names_in_) == ["a", "b", "c"]


def test_hostile_numbers(data):
    X, Y = data
    hostile = np.column_stack((X * 1e12, np.full(len(X), 3.0), X[:, 0]))
    model = small(MLPRegressor).fit(hostile, Y[:, 0] * 1e12)
    assert model.score(hostile, Y[:, 0] * 1e12) > 0.9
    constant = small(MLPRegressor).fit(X, np.full(len(X), 7.0))
    np.testing.assert_allclose(constant.predict(X), 7.0, atol=1e-3)
    one = small(MLPRegressor).fit(X[:1], [5.0])
    np.testing.assert_allclose(one.predict(X[:1]), 5.0, atol=1e-3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"solver": "newton"}, "solver is 'newton', expected one of"),
        ({"alpha": -1}, "alpha is -1"),
        ({"alpha": "best"}, "alpha is 'best'"),
        ({"combine": "vote"}, "combine is 'vote'"),
        ({"hidden_layer_sizes": (5, 0)}, r"hidden_layer_sizes\[1\] is 0"),
        ({"n_starts": 0}, "n_starts is 0"),
        ({"max_iter": 0}, "max_iter is 0"),
        ({"batch_size": 0, "solver": "adam"}, "batch_size is 0"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "validation_fraction is 1"),
        ({"activation": "logistic"}, "^activation is 'logistic', expected one of identity, sigm"),
        ({"activation": ["tanh", "sin"]}, r"^activation\[1\] is 'sin', expected one of"),
        ({"activation": ["tanh", "relu"]}, "^activation has 2 names, expected one name or one for"),
        ({"alpha": "evidence", "max_iter": 1}, "^max_iter is 1, expected at least 2 with alpha"),
    ],
)
def test_parameters_are_named(data, parameters, message):
    X, Y = data
    with pytest.raises(ValueError, match=message):
        MLPRegressor(**parameters).fit(X, Y)


def test_the_default_predicts_concrete_well():
    data = load_concrete()
    test = np.arange(len(data.t)) % 10 == 0
    for alpha in ("auto", "evidence"):
        model = MLPRegressor(alpha=alpha, random_state=0).fit(data.X[~test], data.t[~test])
        error = model.predict(data.X[test]) - data.t[test]
        assert np.sqrt(np.mean(error**2)) < 6
    assert 0 < model.evidence_.gamma < model.network_.n_weights


@pytest.mark.parametrize("max_iter", [2, 50, 200])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_evidence_is_estimated_whatever_ends_the_training(data, solver, early_stopping, max_iter):
    X, Y = data
    model = small(
        MLPRegressor,
        alpha="evidence",
        solver=solver,
        early_stopping=early_stopping,
        max_iter=max_iter,
        n_iter_no_change=3,
    ).fit(X, Y)
    found, net = model.evidence_, model.network_
    assert 0 < found.gamma < net.n_weights
    assert found.beta != 1
    assert found.alpha == pytest.approx(found.gamma / np.mean(np.sum(model.weights_**2, axis=1)))
    assert model.weight_decay_ != 0.1  # that of the first round
    assert model.n_iter_ <= max_iter


@pytest.mark.parametrize(
    "solver", ["adamw", "rprop", "lm", "scg", "cg", "newton-cg", "bfgs", "gd", "sgd", "adam"]
)
def test_every_solver(data, solver):
    X, Y = data
    model = small(MLPRegressor, solver=solver, alpha=0.1, learning_rate_init=0.02, max_iter=150)
    assert model.fit(X, Y).score(X, Y) > (0.4 if solver in ("gd", "sgd") else 0.85)


@pytest.mark.parametrize("solver", ["lbfgs", "rprop", "adam"])
def test_parameters_of_other_solvers_are_ignored(data, solver):
    """As in scikit-learn, where a search over parameters may come upon any of them."""
    X, Y = data
    others = {"momentum": 0.5, "nesterovs_momentum": False}
    if solver != "adam":
        others |= {"batch_size": 3, "schedule": Cosine()}
    if solver == "lbfgs":
        others |= {"learning_rate_init": 0.5}
    one, other = (
        small(MLPRegressor, solver=solver, alpha=0.1, max_iter=5, **given).fit(X, Y)
        for given in ({}, others)
    )
    np.testing.assert_array_equal(one.weights_, other.weights_)


def test_a_prior_of_ones_own(data):
    """It takes the place of the weight decay that would be chosen, and stands beside one given."""
    X, Y = data
    weak, strong = (
        small(MLPRegressor, regularizer=ConsistentPrior([a, a])).fit(X, Y) for a in (1e-3, 100.0)
    )
    assert weak.weight_decay_ == strong.weight_decay_ == 0
    assert np.linalg.norm(strong.weights_) < np.linalg.norm(weak.weights_)
    one = small(MLPRegressor, regularizer=WeightDecay(0.2), alpha=0.1, max_iter=20).fit(X, Y)
    other = small(MLPRegressor, alpha=0.3, max_iter=20).fit(X, Y)
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-6)
    with pytest.raises(TypeError, match="regularizer is a float"):
        small(MLPRegressor, regularizer=0.1).fit(X, Y)


class Bound(Regularizer):
    """Written in Python: nothing in [-1, 1], a parabola beyond."""

    def value(self, net, w):
        return float(50 * np.sum(np.maximum(np.abs(w) - 1, 0) ** 2))

    def gradient(self, net, w):
        return 100 * np.sign(w) * np.maximum(np.abs(w) - 1, 0)


@pytest.mark.parametrize("alpha", ["auto", 0.1, "cross_validation", "evidence"])
def test_a_regularizer_in_python(data, alpha):
    X, Y = data
    options = {"alpha": alpha, "max_iter": 180, "n_starts": 2, "hidden_layer_sizes": 3}
    model = small(MLPRegressor, regularizer=Bound(), **options).fit(X, Y)
    assert np.abs(model.weights_).max() < 1.5
    assert model.score(X, Y) > 0.4
    if alpha == "auto":
        assert model.weight_decay_ == 0
    classifier = small(MLPClassifier, regularizer=Bound(), **options).fit(X, Y[:, 0] > 1000)
    assert classifier.score(X, Y[:, 0] > 1000) > 0.8


def test_a_schedule(data):
    X, Y = data
    options = {"solver": "adam", "alpha": 0.1, "max_iter": 10}
    one = small(MLPRegressor, schedule=Cosine(), **options).fit(X, Y)
    other = small(MLPRegressor, **options).fit(X, Y)
    assert np.abs(one.weights_ - other.weights_).max() > 1e-3


def test_polars():
    polars = pytest.importorskip("polars")
    X, y = load_iris(return_X_y=True)
    names = ["a", "b", "c", "d"]
    model = small(MLPClassifier).fit(polars.DataFrame(X, schema=names), polars.Series(y))
    assert list(model.feature_names_in_) == names
    same = small(MLPClassifier).fit(X, y)
    np.testing.assert_array_equal(
        model.predict_proba(polars.DataFrame(X, schema=names)), same.predict_proba(X)
    )


def test_verbose(capsys):
    X, y = load_iris(return_X_y=True)
    small(MLPClassifier, verbose=True).fit(X, y)
    line = capsys.readouterr().out
    assert line.startswith("[mlpcore] Network((4, 5, 3)")
    assert "4 networks, 60 epochs by lbfgs, weight decay 1, mean error" in line


@pytest.mark.parametrize("factor", [1e160, 1e300])
def test_numbers_too_large_are_named(data, factor):
    X, Y = data
    huge = factor * (Y / np.abs(Y).max())
    with pytest.raises(
        ValueError, match=r"^X is up to 1e\+\d+ in absolute value, expected at most"
    ):
        small(MLPRegressor).fit(huge, X)
    with pytest.raises(
        ValueError, match=r"^y is up to 1e\+\d+ in absolute value, expected at most"
    ):
        small(MLPRegressor).fit(X, huge)
    with pytest.raises(ValueError, match=r"^X is up to .* after scaling, .* the largest float32"):
        small(MLPRegressor, scale=False, dtype="float32").fit(huge, X)
    for alpha in ("auto", 0.1, "evidence"):
        with pytest.warns(ConvergenceWarning, match="the training diverged: the error or a weight"):
            small(MLPRegressor, scale=False, alpha=alpha).fit(X, huge)


@pytest.mark.parametrize("scale", [1e12, 1e-12])
def test_huge_and_tiny_scales(scale):
    random = np.random.default_rng(0)
    X = random.standard_normal((80, 2))
    y = np.sin(X[:, 0])
    model = small(MLPRegressor).fit(scale * X, scale * y)
    same = small(MLPRegressor).fit(X, y)
    np.testing.assert_allclose(model.predict(scale * X) / scale, same.predict(X), rtol=1e-3)


def test_a_constant_target_and_constant_and_duplicated_columns():
    random = np.random.default_rng(0)
    X = random.standard_normal((60, 2))
    X = np.column_stack((X, X[:, 0], np.full(60, 7.0)))
    model = small(MLPRegressor).fit(X, np.full(60, 3.0))
    np.testing.assert_allclose(model.predict(X), 3.0, atol=1e-6)
    model = small(MLPRegressor).fit(X, np.sin(X[:, 0]))
    assert model.score(X, np.sin(X[:, 0])) > 0.9
    assert np.isfinite(model.jacobian(X)).all()


def test_one_sample_and_fewer_than_a_batch():
    one = small(MLPRegressor).fit([[1.0, 2.0]], [3.0])
    np.testing.assert_allclose(one.predict([[1.0, 2.0], [5.0, 6.0]])[0], 3.0, atol=1e-6)
    model = small(MLPRegressor, solver="adam", batch_size=500).fit(np.eye(5), np.arange(5.0))
    assert np.isfinite(model.predict(np.eye(5))).all()


@pytest.mark.parametrize("module", [regressor, classifier])
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
