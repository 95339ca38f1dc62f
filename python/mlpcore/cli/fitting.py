"""What train and sweep share: scaled data, and the report on a fitted network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpcore import __version__
from mlpcore.cli.model import Model, save_model
from mlpcore.cli.problem import Problem, Split
from mlpcore.cli.report import UserError, count, number, one_line, say, short, table
from mlpcore.network import Network
from mlpcore.scaling import Standardizer
from mlpcore.training import TrainResult

__all__ = [
    "Fit",
    "Scaled",
    "activations",
    "confusion",
    "describe_data",
    "describe_training",
    "first_network",
    "nothing_learned",
    "report_fit",
    "rmse",
    "save_fit",
    "scale",
]

_MOST_CLASSES = 12  # of a confusion table that is printed
_MOST_LABEL = 14  # characters of a class in it


class Scaled(NamedTuple):
    """The data as the network sees them."""

    inputs: Standardizer
    targets: Standardizer | None  # None for a classification
    X: NDArray[np.float64]
    T: NDArray[Any]  # (N, 1), or class labels (N,) for softmax


class Fit(NamedTuple):
    """What a model makes of the data."""

    y: NDArray[np.float64]  # (N, 1), or the probability of each class (N, K)
    errors: dict[str, dict[str, float]]  # by kind, as the model file calls it, and part


def scale(problem: Problem, training: NDArray[np.intp]) -> Scaled:
    """Standardize inputs, and the target of a regression, by the training part alone."""
    inputs = Standardizer.fit(problem.X[training])
    X = inputs.transform(problem.X)
    if problem.labels:
        T = problem.t if problem.output == "softmax" else problem.t[:, np.newaxis].astype(float)
        return Scaled(inputs, None, X, T)
    targets = Standardizer.fit(problem.t[training, np.newaxis])
    return Scaled(inputs, targets, X, targets.transform(problem.t[:, np.newaxis]))


def activations(options: argparse.Namespace, hidden: tuple[int, ...]) -> tuple[str, ...]:
    """One name for each hidden layer."""
    names: tuple[str, ...] = options.activation
    if len(names) == 1:
        names *= len(hidden)
    if len(names) != len(hidden) and hidden:
        raise UserError(
            f"--activation: {len(names)} names for {len(hidden)} hidden layers "
            f"(give one, or one a layer)"
        )
    return names[: len(hidden)]


def first_network(
    problem: Problem, options: argparse.Namespace, hidden: tuple[int, ...]
) -> tuple[Network, NDArray[np.float64]]:
    """The network and its first weights."""
    n_outputs = len(problem.labels) if problem.output == "softmax" else 1
    names = activations(options, hidden)
    try:
        net = Network((len(problem.inputs), *hidden, n_outputs), names, problem.output)
        return net, net.init(seed=options.seed)
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise UserError(f"--hidden or --activation: {one_line(error)}") from error


def describe_data(problem: Problem, split: Split, options: argparse.Namespace, what: str) -> None:
    """Print what is fitted to what."""
    inputs = count(len(problem.inputs), "input")
    say(f"mlpcore {__version__}: {what} of {problem.target} on {inputs}")
    say()
    say(f"Data      {problem.source}")
    for note in problem.notes:
        say(f"          {note}")
    if problem.labels:
        counts = np.bincount(problem.t)
        shown = ", ".join(
            f"{short(str(label), _MOST_LABEL)} ({n})"
            for label, n in zip(problem.labels[:_MOST_CLASSES], counts, strict=False)
        )
        more = ", ..." if len(problem.labels) > _MOST_CLASSES else ""
        say(f"Classes   {len(problem.labels)}: {shown}{more}")
    say(
        f"Split     {len(split.training)} rows for training, {len(split.validation)} for "
        f"validation, {len(split.test)} for the test (seed {options.seed})"
    )


def describe_training(
    options: argparse.Namespace, steps: dict[str, Any], patience: int | None
) -> None:
    """Print how it is fitted."""
    words = {"learning_rate": "learning rate {:g}", "batch_size": "batches of {}"}
    shown = ", ".join(words[name].format(value) for name, value in steps.items())
    of_steps = f" ({shown})" if shown else ""
    say(f"Training  {options.optimizer}{of_steps}, weight decay {options.weight_decay:g},")
    say(
        f"          at most {options.epochs} epochs, "
        + (f"patience {patience}" if patience else "no early stopping")
    )


def _assess(problem: Problem, split: Split, scaled: Scaled, model: Model) -> Fit:
    """Predictions for all rows, and their errors."""
    y = model.predict(problem.X)
    parts = _parts(split)
    if not problem.labels:
        return Fit(y, {"rmse": {p: rmse(problem.t[r], y[r, 0]) for p, r in parts.items()}})
    entropy, accuracy = {}, {}
    for part, rows in parts.items():
        entropy[part] = float(model.net.error(model.w, scaled.X[rows], scaled.T[rows])) / len(rows)
        accuracy[part] = float((y[rows].argmax(axis=1) == problem.t[rows]).mean())
    return Fit(y, {"cross_entropy": entropy, "accuracy": accuracy})


def save_fit(
    path: Path,
    net: Network,
    result: TrainResult,
    problem: Problem,
    split: Split,
    scaled: Scaled,
    options: argparse.Namespace,
    **extras: Any,
) -> tuple[Model, Fit]:
    """Save the model that a training led to, and return it with what it makes of the data."""
    model = Model.of(problem, net, result.w, scaled.inputs, scaled.targets)
    fit = _assess(problem, split, scaled, model)
    save_model(
        path,
        model,
        problem,
        training_rows=split.training,
        validation_rows=split.validation,
        test_rows=split.test,
        **fit.errors,
        optimizer=options.optimizer,
        weight_decay=options.weight_decay,
        seed=options.seed,
        best_epoch=int(result.best_epoch),
        **extras,
    )
    return model, fit


def report_fit(problem: Problem, split: Split, scaled: Scaled, model: Model, fit: Fit) -> None:
    """Print errors and sensitivities."""
    if problem.labels:
        _report_classes(problem, split, fit)
    else:
        _report_rmse(problem, split, scaled, fit)
    _report_sensitivities(problem, model)


def nothing_learned(result: TrainResult) -> bool:
    """Whether Ctrl-C came before the first epoch; an error if it diverged in it."""
    if result.stopped == "diverged" and result.best_epoch == 0:
        raise UserError(f"nothing was learned: {result.message}")
    return result.stopped == "interrupted" and result.best_epoch == 0


def confusion(t: NDArray[np.intp], y: NDArray[np.float64]) -> NDArray[np.intp]:
    """How many rows of each class (down) were taken for which (across)."""
    counts = np.zeros((y.shape[1],) * 2, np.intp)
    np.add.at(counts, (t, y.argmax(axis=1)), 1)
    return counts


def _parts(split: Split) -> dict[str, NDArray[np.intp]]:
    return {part: rows for part, rows in split._asdict().items() if len(rows)}


# Regression


def _report_rmse(problem: Problem, split: Split, scaled: Scaled, fit: Fit) -> None:
    assert scaled.targets is not None
    linear = scaled.targets.inverse(_linear_fit(scaled.X, scaled.T, split.training))[:, 0]
    parts = _parts(split)
    by_line = (rmse(problem.t[rows], linear[rows]) for rows in parts.values())
    say()
    table(
        [
            [f"RMSE{_in(problem.unit)}", *parts],
            ["network", *map(number, fit.errors["rmse"].values())],
            ["linear least squares", *map(number, by_line)],
        ]
    )


def _linear_fit(
    X: NDArray[np.float64], T: NDArray[np.float64], training: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Predictions (N, 1) of the least-squares fit to the rows on which the network was trained."""
    A = np.column_stack([X, np.ones(len(X))])
    coefficients = np.linalg.lstsq(A[training], T[training], rcond=None)[0]
    predictions: NDArray[np.float64] = A @ coefficients
    return predictions


def rmse(t: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The root of the mean square of the differences."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sqrt(np.mean((y - t) ** 2)))


# Classification


def _report_classes(problem: Problem, split: Split, fit: Fit) -> None:
    parts = _parts(split)
    counts = np.bincount(problem.t[split.training], minlength=len(problem.labels))
    shares = counts / counts.sum()
    most = int(shares.argmax())
    by_shares, by_most = {}, {}
    for part, rows in parts.items():
        t = problem.t[rows]
        by_shares[part] = float(-np.log(shares[t]).mean())
        by_most[part] = float((t == most).mean())
    most_frequent = f"most frequent class ({short(str(problem.labels[most]), _MOST_LABEL)})"
    width = max(len(most_frequent), len("shares of the classes"))
    say()
    table(
        [
            ["cross-entropy a row".ljust(width), *parts],
            ["network", *map(number, fit.errors["cross_entropy"].values())],
            ["shares of the classes", *map(number, by_shares.values())],
        ]
    )
    say()
    table(
        [
            ["accuracy".ljust(width), *parts],
            ["network", *map(_percent, fit.errors["accuracy"].values())],
            [most_frequent, *map(_percent, by_most.values())],
        ]
    )
    _report_confusion(problem, confusion(problem.t[split.test], fit.y[split.test]))


def _report_confusion(problem: Problem, counts: NDArray[np.intp]) -> None:
    labels = [short(str(label), _MOST_LABEL) for label in problem.labels]
    say()
    if len(labels) <= _MOST_CLASSES:
        say("Rows of the test by their class (down) and the class predicted (across)")
        say()
        lines = [["", *labels]]
        lines += [[label, *map(str, row)] for label, row in zip(labels, counts, strict=True)]
        table(lines)
        return
    wrong = counts * ~np.eye(len(labels), dtype=bool)
    say("The most frequent mistakes in the test")
    say()
    lines = [["class", "predicted", "rows"]]
    for k in np.argsort(-wrong, axis=None, kind="stable")[:_MOST_CLASSES]:
        i, j = divmod(int(k), len(labels))
        if wrong[i, j]:
            lines.append([labels[i], labels[j], str(wrong[i, j])])
    table(lines if len(lines) > 1 else [["none"]])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


# Sensitivities


def _report_sensitivities(problem: Problem, model: Model) -> None:
    total = np.zeros(len(problem.inputs))
    with np.errstate(over="ignore", invalid="ignore"):  # of units as far apart as 1e150 and 1e-150
        for J in model.jacobians(problem.X):
            total += np.abs(J).mean(axis=1).sum(axis=0)
        plain = total / len(problem.X)
        scaled = plain * model.inputs.scale
    y, what = "y", ""
    if problem.labels:
        y, what = "P", "the probabilities of "
    over = "all rows and classes" if problem.labels else "all rows"
    say()
    say(f"Sensitivity of {what}{problem.target} to each input, mean |d{y}/dx| over {over};")
    say("times the standard deviation s of the input (in the training rows) to compare them")
    say()
    rows = [["input", f"mean |d{y}/dx|", f"times s{_in(problem.unit)}"]]
    for i in np.argsort(-scaled, kind="stable"):
        rows.append([problem.inputs[i], number(plain[i]), number(scaled[i])])
        if problem.unit:
            rows[-1].append(f"{problem.unit} per {problem.input_units[i]}")
    if problem.unit:
        rows[0].append("unit of dy/dx")
    table(rows)


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""
