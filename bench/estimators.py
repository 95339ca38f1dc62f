"""The estimators: the literature's regression splits, and scikit-learn side by side.

    python bench/estimators.py                    # concrete and digits against scikit-learn
    python bench/estimators.py FOLDER             # ... after the splits that FOLDER has
    python bench/estimators.py FOLDER --only yacht

FOLDER has NAME.csv (a header, the target last) and NAME_test_rows.csv (a line a split: the rows of
its test set, from 0), as the Bayesian neural-network literature has them since Hernandez-Lobato
and Adams, 2015. The estimators take turns, fold by fold.

Ours standardize inputs and targets. scikit-learn's take the data as they come, and once more as
their users are advised to give them: "standardized" is a pipeline with StandardScaler, for a
regression within TransformedTargetRegressor. In the rows of 200 epochs the standardized one has our
objective (`same_alpha`), but that it does not shrink the biases; the other one has its error in the
units of the data. The batches differ: ours are drawn from the samples with equal ones merged.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlpcore.datasets import load_concrete
from mlpcore.sklearn import MLPClassifier, MLPRegressor

Split = tuple[Any, Any]
Row = tuple[str, str, str, list[float], list[float]]


def rmse(model: Any, X: Any, t: Any) -> float:
    return float(np.sqrt(np.mean((model.predict(X) - t) ** 2)))


def accuracy(model: Any, X: Any, t: Any) -> float:
    return float(np.mean(model.predict(X) == t))


def compare(
    work: str,
    X: Any,
    t: Any,
    splits: Iterable[Split],
    measure: Callable[[Any, Any, Any], float],
    makers: dict[str, Callable[[], Any]],
) -> list[Row]:
    """A row for each maker of models: scores and seconds of the fits, one a split."""
    rows: list[Row] = [(work, name, measure.__name__, [], []) for name in makers]
    for train, test in splits:
        for (*_, scores, seconds), make in zip(rows, makers.values(), strict=True):
            model = make()
            start = time.perf_counter()
            model.fit(X[train], t[train])
            seconds.append(time.perf_counter() - start)
            scores.append(measure(model, X[test], t[test]))
    return rows


def literature(folder: Path, name: str) -> list[Row]:
    table = np.loadtxt(folder / f"{name}.csv", delimiter=",", skiprows=1)
    X, t = table[:, :-1], table[:, -1]
    lines = (folder / f"{name}_test_rows.csv").read_text().splitlines()
    tests = [np.array(line.split(","), int) for line in lines if line[:1].isdigit()]
    splits = [(np.setdiff1d(np.arange(len(t)), test), test) for test in tests]
    ours = {"mlpcore": lambda: MLPRegressor(hidden_layer_sizes=(50,), random_state=0)}
    return compare(f"{name}, {len(tests)} splits", X, t, splits, rmse, ours)


def standardized_regressor(**options: Any) -> Any:
    regressor = TheirRegressor(random_state=0, **options)
    return TransformedTargetRegressor(
        make_pipeline(StandardScaler(), regressor), transformer=StandardScaler()
    )


def same_alpha(alpha: float, n_samples: int, batch_size: int) -> float:
    """scikit-learn's alpha for the objective that we have with `alpha`.

    We minimize E(w) + alpha/2 w.w, E half the sum of squares over all N samples; divided by N, the
    gradient of a step is that of the batch's mean error, plus alpha/N w. scikit-learn divides its
    alpha by the samples of the batch, n: a step has alpha'/n w. So alpha' = alpha n / N, with the
    full batch alpha itself. It does not shrink the biases, we do.
    """
    return alpha * batch_size / n_samples


def against_scikit_learn() -> Iterator[list[Row]]:
    concrete = load_concrete()
    X, t = concrete.X, concrete.t
    folds = list(KFold(5, shuffle=True, random_state=0).split(X))  # each trains on 824 samples
    # Four batches an epoch: theirs all whole, so that same_alpha is right in each; of ours, which
    # have equal samples merged (some 805 are left), the last is smaller.
    alpha, batch_size = 1e-4, 206
    theirs = same_alpha(alpha, len(folds[0][0]), batch_size)
    same = {
        "hidden_layer_sizes": (100,),
        "activation": "relu",
        "solver": "adam",
        "learning_rate_init": 0.01,
        "batch_size": batch_size,
        "max_iter": 200,
        "n_iter_no_change": 200,
    }
    yield compare(
        "concrete, 5 folds, defaults",
        X,
        t,
        folds,
        rmse,
        {
            "mlpcore": lambda: MLPRegressor(random_state=0),
            "scikit-learn": lambda: TheirRegressor(random_state=0),
            "scikit-learn, standardized": standardized_regressor,
        },
    )
    yield compare(
        "concrete, 5 folds, 200 epochs of adam",
        X,
        t,
        folds,
        rmse,
        {
            "mlpcore": lambda: MLPRegressor(**same, alpha=alpha, n_starts=1, random_state=0),
            "scikit-learn": lambda: TheirRegressor(**same, alpha=theirs, random_state=0),
            "scikit-learn, standardized": lambda: standardized_regressor(**same, alpha=theirs),
        },
    )
    X, y = load_digits(return_X_y=True)
    yield compare(
        "digits, 5 folds, defaults",
        X,
        y,
        StratifiedKFold(5, shuffle=True, random_state=0).split(X, y),
        accuracy,
        {
            "mlpcore": lambda: MLPClassifier(random_state=0),
            "scikit-learn": lambda: TheirClassifier(random_state=0),
            "scikit-learn, standardized": lambda: make_pipeline(
                StandardScaler(), TheirClassifier(random_state=0)
            ),
        },
    )


def show(rows: list[Row]) -> None:
    for work, name, score, scores, seconds in rows:
        error = np.std(scores, ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else 0.0
        print(
            f"| {work} | {name} | {score} | {np.mean(scores):.4g} ± {error:.2g} "
            f"| {np.median(seconds):.3g} | {max(seconds):.3g} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="NAME.csv and NAME_test_rows.csv")
    parser.add_argument("--only", help="one NAME, and no comparison")
    options = parser.parse_args()
    print("| work | estimator | score | mean ± standard error | seconds a fit, median | most |")
    print("|---|---|---|---|---|---|")
    if options.folder:
        suffix = "_test_rows.csv"
        names = sorted(p.name.removesuffix(suffix) for p in options.folder.glob("*" + suffix))
        for name in names:
            if options.only in (None, name):
                show(literature(options.folder, name))
    if not options.only:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's ConvergenceWarning
            for rows in against_scikit_learn():
                show(rows)


if __name__ == "__main__":
    main()
