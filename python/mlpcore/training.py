"""Fitting a network to data."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import _core
from mlpcore.checkpoints import Checkpoint, digest, read_checkpoint, write_checkpoint
from mlpcore.checks import choice, file_path, flag, real_number, whole_number
from mlpcore.network import Network, check_network
from mlpcore.optimizer_settings import refuse_unused
from mlpcore.progress import TrainingProgress
from mlpcore.regularizers import Regularizer, as_penalty, description, expect_in_range
from mlpcore.results import EnsembleResult, Table
from mlpcore.schedules import Constant, Schedule, as_native
from mlpcore.splitting import split_samples
from mlpcore.symmetry import warn_of_symmetry

__all__ = ["EnsembleTrainResult", "TrainResult", "train"]

Array = NDArray[Any]
Optimizer = Literal[
    "adam",
    "adamw",
    "sgd",
    "rprop",
    "lm",
    "scg",
    "cg",
    "newton-cg",
    "bfgs",
    "lbfgs",
    "gd",
]
Stopped = Literal["epochs", "patience", "converged", "interrupted", "diverged", "callback"]
Callback = Callable[[int, float, "float | None", Array], object]
BestCallback = Callable[[int, Array], object]
Metric = Callable[[Array, Array], float]

# Settings that a checkpoint keeps as the native loop has them.
NATIVE = (
    "optimizer",
    "epochs",
    "batch_size",
    "learning_rate",
    "momentum",
    "nesterov",
    "schedule",
    "min_delta",
)


@dataclass(frozen=True, repr=False, eq=False)
class TrainResult(Table):
    """What a training gives back.

    Attributes
    ----------
    w : (W,) array
        The weights of the best epoch, always finite.
    history : dict of (n_epochs + 1,) arrays
        "training_error" and, with validation data, "validation_error": the mean error of a sample
        after each epoch, without the regularizer; entry 0 is before the first epoch. With a
        metric "validation_metric", with a schedule "learning_rate".
    stopped : str
        Why it stopped: "epochs", "patience", "converged", "interrupted", "diverged", "callback".
    message : str
        The same as a sentence.
    best_epoch : int
        The epoch of the weights `w`: lowest metric or validation error, or lowest objective
        without validation data.
    n_epochs : int
        Epochs done.
    seconds : float
        Time spent.
    optimizer : str
    validation_rows : (n_val,) array of int or None
        The rows that `validation_fraction` split off.
    """

    w: Array
    history: dict[str, Array]
    stopped: Stopped
    message: str
    best_epoch: int
    n_epochs: int
    seconds: float
    optimizer: str
    validation_rows: Array | None = None

    def _rows(self) -> list[tuple[str, str]]:
        rows = [
            ("stopped", f"{self.stopped}: {self.message}"),
            ("epochs", f"{self.n_epochs}, best {self.best_epoch}"),
        ]
        for name, errors in self.history.items():
            if errors.size > self.best_epoch:
                of = " a sample" if name.endswith("error") else ""
                rows.append((name.replace("_", " "), f"{errors[self.best_epoch]:.6g}{of}"))
        rows.append(("optimizer", self.optimizer))
        rows.append(("weights", str(self.w.size)))
        rows.append(("seconds", f"{self.seconds:.3g}"))
        return rows


@dataclass(frozen=True, repr=False, eq=False)
class EnsembleTrainResult(EnsembleResult[TrainResult]):
    """What the training of an ensemble gives back: a sequence of its members' results.

    `best` is the one with the lowest validation error, or training error without validation data.

    Attributes
    ----------
    w : (S, W) array
        The weights of the best epoch of each network.
    members : tuple of S TrainResult
        `seconds` is that of the whole ensemble.
    """

    _measure = "error a sample"

    def _measured(self, member: TrainResult) -> float:
        return best_error(member)


def best_error(result: TrainResult) -> float:
    """The validation error of the best epoch, or the training error without validation data.

    Infinite where there is none, or none that is finite.
    """
    errors = result.history.get("validation_error", result.history["training_error"])
    error = float(errors[result.best_epoch]) if errors.size else np.nan
    return error if np.isfinite(error) else float("inf")


def train(
    net: Network,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    X_val: ArrayLike | None = None,
    T_val: ArrayLike | None = None,
    *,
    optimizer: Optimizer = "adam",
    epochs: int = 1000,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    schedule: Schedule | None = None,
    momentum: float | None = None,
    nesterov: bool = False,
    clip_norm: float | None = None,
    weight_decay: float = 0.0,
    regularizer: Regularizer | None = None,
    validation_fraction: float | None = None,
    metric: Metric | None = None,
    patience: int | None = None,
    min_delta: float = 0.0,
    seed: int | None = None,
    sample_weight: ArrayLike | None = None,
    callback: Callback | None = None,
    on_best: BestCallback | None = None,
    on_stop: Callable[[TrainResult], object] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 60.0,
    resume: bool = False,
    progress: bool = False,
) -> Any:
    """Fit the weights of a network, beginning at `w`.

    Minimizes ``E(w) + weight_decay / 2 * w.w + R(w)`` with E a sum over samples and R the
    `regularizer` (PRML 5.112). The optimizers see it divided by the total weight of the samples, so
    that a learning rate does not depend on how many there are. The loop is native; Python runs only
    for what it is given to call.

    Parameters
    ----------
    net, w, X, T
        The network, its initial weights (W,), the inputs (N, D) and targets, as for its methods.
        With w of shape (S, W) an ensemble of S networks is trained side by side, on the same data
        or each on its own (S, N, D); network s shuffles with `seed` + s and becomes, bit for bit,
        what it would alone. An ensemble has no callbacks, metric, checkpoint or progress bar: its
        networks run on threads of their own, while Python can be called from one alone. With a
        regularizer of your own they are trained one after the other.
    X_val, T_val : array-like, optional
        Validation data. With it the best epoch is that of the lowest validation error, without it
        that of the lowest objective; the weights of the best epoch are what comes back. The decay
        of adamw is a part of its steps and not of that objective.
    optimizer : str
        adam (Kingma and Ba, 2015); adamw (Loshchilov and Hutter, 2019: the weights shrink by
        ``rate * weight_decay / sum of sample weights`` in each step, beside the gradient); sgd
        with `momentum`; rprop (iRprop-: Igel and Huesken, 2003; on the full batch). Or a method of
        `mlpcore.minimize`: lm, scg, cg, newton-cg, bfgs, lbfgs, gd; on the full batch, an epoch is
        an iteration. batch_size, learning_rate, schedule, momentum, nesterov and clip_norm are
        refused by those that don't use them.
    epochs : int
        The most epochs.
    batch_size : int, optional
        Samples of a step of adam, adamw and sgd; None is all of them. Batches are drawn without
        replacement from a new shuffle (xoshiro256**, seeded by `seed`) in every epoch, and the
        training error of such an epoch is the mean over its batches as they came.
    learning_rate : float, optional
        Of adam, adamw and sgd, and the first step of rprop; None is 0.01.
    schedule : mlpcore.schedules.Schedule, optional
        How the learning rate of adam, adamw and sgd changes; None is constant.
    momentum : float, optional
        Of sgd; None is 0.9.
    nesterov : bool
        Nesterov's momentum for sgd (Sutskever et al., 2013).
    clip_norm : float, optional
        A gradient (of the mean objective) that is longer is shortened to this norm (Pascanu,
        Mikolov and Bengio, 2013). Of adam, adamw and sgd.
    weight_decay : float
        alpha, the precision of a normal prior over all weights and biases, relative to a noise
        precision of 1.
    regularizer : mlpcore.regularizers.Regularizer, optional
        Other priors, or an error term of your own.
    validation_fraction : float, optional
        Split off this share of the samples as validation data, by `seed`; for class labels the
        same share of each class. The networks of an ensemble then share X (N, D) and T; data of
        their own (S, N, D) are refused.
    metric : callable, optional
        ``metric(Y, T_val)`` with the outputs Y (N, K) for the validation data: a number to be
        lowered in place of the validation error.
    patience : int, optional
        Stop after this many epochs without an improvement by more than `min_delta`.
    min_delta : float
        See `patience`.
    seed : int, optional
        Of the shuffles and the split; None takes one from the system.
    sample_weight : (N,) array-like, optional
        Weights of the training samples.
    callback : callable, optional
        Called as ``callback(epoch, training_error, validation_error, w)`` after each epoch (epoch
        0 is the start; validation_error is None without validation data; w is a copy). A true
        answer stops the training.
    on_best, on_stop : callable, optional
        Called as ``on_best(epoch, w)`` after each epoch that is the best until then, and as
        ``on_stop(result)`` with what is about to be returned.
    checkpoint : path, optional
        Where the state is kept, every `checkpoint_seconds` (0 is after every epoch) and at the end.
        What Ctrl-C ends in the midst of an epoch is kept as it was a second before, or an epoch.
        The file is replaced as a whole; `mlpcore.load` reads the best weights from it.
    resume : bool
        Go on from `checkpoint` if that file exists; the outcome has the bits that it would have had
        without the break. A run that had ended by "patience", "callback", "converged" or "diverged"
        is over: its outcome comes back as it was. All arguments must be as they were, but `w`,
        which is not looked at, a `seed` of None, which is that of the run, and `epochs`: any number
        that is not below the epochs done, unless the `schedule` is spread over them (Cosine,
        OneCycle). Callables can't be compared; of `metric` it is compared whether there is one, of
        a regularizer of your own what `mlpcore.regularizers.Regularizer` says.
    progress : bool
        Show a progress bar on stderr if that is a terminal. Not of an ensemble.

    Returns
    -------
    TrainResult, or EnsembleTrainResult for w of shape (S, W)
        After Ctrl-C with ``stopped = "interrupted"``, after an error or weight that is not finite
        with ``stopped = "diverged"``; both with the best weights until then.

    Raises
    ------
    ValueError, TypeError
        If an argument is unusable; the message names it. What a callback raises is raised, except
        for KeyboardInterrupt.

    Warns
    -----
    UserWarning
        If the units of a hidden layer begin all alike, as from zero weights: they have the same
        gradient and stay alike for ever.

    Examples
    --------
    >>> import mlpcore, numpy as np
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> net = mlpcore.Network((1, 5, 1))
    >>> result = mlpcore.train(net, net.init(seed=0), X, np.sin(3 * X), optimizer="lbfgs")
    >>> bool(result.history["training_error"][-1] < 1e-4)
    True
    """
    check_network(net)
    if (X_val is None) != (T_val is None):
        given, missing = ("T_val", "X_val") if X_val is None else ("X_val", "T_val")
        raise ValueError(f"{given} came without {missing}, expected both or neither")
    settings = _settings(
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        momentum=momentum,
        nesterov=nesterov,
        clip_norm=clip_norm,
        patience=patience,
        min_delta=min_delta,
    )
    decay = real_number("weight_decay", weight_decay)
    expect_in_range(net, "weight_decay", decay)
    checkpoint = None if checkpoint is None else file_path("checkpoint", checkpoint)
    resumes = flag("resume", resume) and checkpoint is not None and os.path.exists(checkpoint)
    if not resumes:
        w = _core.as_array("w", w, net.dtype == np.float64)
    called = {"callback": callback, "metric": metric, "on_best": on_best, "on_stop": on_stop}
    for name, function in called.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} is {function!r}, expected a callable or None")
    ensemble = np.ndim(w) == 2
    alone = {**called, "checkpoint": checkpoint, "progress": flag("progress", progress) or None}
    for name, value in alone.items():
        if value is not None and ensemble:
            raise ValueError(f"{name} came with an ensemble of networks, expected none")
    if resume and checkpoint is None:
        raise ValueError("resume came without checkpoint, expected the file to go on from")
    identity = {
        **{name: settings[name] for name in NATIVE},
        "clip_norm": None if clip_norm is None else settings["clip_norm"],
        "patience": None if patience is None else settings["patience"],
        "weight_decay": decay,
        "regularizer": None
        if checkpoint is None or regularizer is None
        else description(regularizer),
        "validation_fraction": None
        if validation_fraction is None
        else real_number("validation_fraction", validation_fraction, positive=True, below=1),
        "metric": None if metric is None else "a callable",
        "seed": None if seed is None else whole_number("seed", seed, least=0),
        "data": None if checkpoint is None else digest(X=X, T=T, sample_weight=sample_weight),
        "validation data": None if checkpoint is None else digest(X_val=X_val, T_val=T_val),
    }
    from_state: Checkpoint | None = None
    if resumes and checkpoint is not None:
        from_state = read_checkpoint(checkpoint, net, identity)
        identity["seed"] = from_state.settings["seed"]
    elif seed is None:
        drawn = np.random.SeedSequence().generate_state(1, np.uint64)[0]
        identity["seed"] = int(drawn >> np.uint64(2))
    settings["seed"] = identity["seed"]
    rows: Array | None = None
    if validation_fraction is not None:
        if X_val is not None:
            raise ValueError("validation_fraction came with X_val, expected one of them")
        X, T, sample_weight, X_val, T_val, rows = split_samples(
            net.output,
            X,
            T,
            sample_weight,
            validation_fraction,
            settings["seed"],
            np.shape(w)[0] if ensemble else None,
        )
    if metric is not None and X_val is None:
        raise ValueError("metric came without validation data, expected X_val and T_val")
    if settings["optimizer"] == "adamw":
        settings["decay"], decay = decay, 0.0
    native_decay, penalty = as_penalty(net, decay, regularizer)
    if epochs > 0 and from_state is None:
        warn_of_symmetry(net, w)

    def measure(now: Array) -> float:
        value = metric(net.forward(now, X_val), T_val)  # type: ignore[misc, arg-type]
        try:
            return float(value)
        except (TypeError, ValueError):
            raise TypeError(f"metric returned {value!r}, expected a number") from None

    def keep(numbers: dict[str, Array], words: dict[str, Array], best: Array) -> None:
        write_checkpoint(checkpoint, net, best, Checkpoint(identity, numbers, words))  # type: ignore[arg-type]

    start = time.perf_counter()
    with TrainingProgress(settings["epochs"], enabled=progress) as display:
        fitted, reports = _core.train(
            net._core,
            w if from_state is None else np.zeros(net.n_weights, net.dtype),
            X,
            T,
            sample_weight,
            X_val,
            T_val,
            settings=settings,
            weight_decay=native_decay,
            penalty=penalty,
            called={
                "epoch_ended": callback,
                "best": on_best,
                "metric": None if metric is None else measure,
                "progress": display if display.visible else None,
                "checkpoint": None if checkpoint is None else keep,
                "checkpoint_seconds": real_number("checkpoint_seconds", checkpoint_seconds),
            },
            from_state=None if from_state is None else (from_state.numbers, from_state.words),
        )
    seconds = time.perf_counter() - start
    shown = {"training_error"}
    shown |= {"validation_error"} if X_val is not None else set()
    shown |= {"validation_metric"} if metric is not None else set()
    shown |= {"learning_rate"} if schedule is not None else set()
    members = [
        _result(one, report, optimizer, seconds, patience, shown, rows)
        for one, report in zip(np.atleast_2d(fitted), reports, strict=True)
    ]
    if fitted.ndim == 2:
        return EnsembleTrainResult(fitted, tuple(members))
    if on_stop is not None:
        on_stop(members[0])
    return members[0]


def _settings(
    *,
    optimizer: str,
    epochs: int,
    batch_size: int | None,
    learning_rate: float | None,
    schedule: Schedule | None,
    momentum: float | None,
    nesterov: bool,
    clip_norm: float | None,
    patience: int | None,
    min_delta: float,
) -> dict[str, Any]:
    """What the native loop is told, checked."""
    choice("optimizer", optimizer, (*_core.first_order_optimizers, *_core.methods))
    nesterov = flag("nesterov", nesterov)
    refuse_unused(
        optimizer,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        momentum=momentum,
        nesterov=nesterov or None,
        clip_norm=clip_norm,
    )
    if schedule is not None and not isinstance(schedule, Schedule):
        raise TypeError(f"schedule is {schedule!r}, expected a mlpcore.schedules.Schedule or None")
    rate = 0.01 if learning_rate is None else learning_rate
    return {
        "optimizer": optimizer,
        "epochs": whole_number("epochs", epochs, least=0),
        "batch_size": 0 if batch_size is None else whole_number("batch_size", batch_size, least=1),
        "learning_rate": real_number("learning_rate", rate, positive=True),
        "schedule": as_native(Constant() if schedule is None else schedule),
        "momentum": real_number("momentum", 0.9 if momentum is None else momentum, below=1),
        "nesterov": nesterov,
        "decay": 0.0,
        "clip_norm": np.inf
        if clip_norm is None
        else real_number("clip_norm", clip_norm, positive=True),
        "patience": 0 if patience is None else whole_number("patience", patience, least=1),
        "min_delta": real_number("min_delta", min_delta),
    }


def _result(
    w: Array,
    report: dict[str, Any],
    optimizer: str,
    seconds: float,
    patience: int | None,
    shown: set[str],
    rows: Array | None,
) -> TrainResult:
    history = {name: curve for name, curve in report["history"].items() if name in shown}
    stopped, best_epoch = report["stopped"], report["best_epoch"]
    # Interrupted in its very first pass, a training has no history.
    n_epochs = max(history["training_error"].size - 1, 0)
    return TrainResult(
        w=w,
        history=history,
        stopped=stopped,
        message=_explain(stopped, n_epochs, best_epoch, patience, history),
        best_epoch=best_epoch,
        n_epochs=n_epochs,
        seconds=seconds,
        optimizer=optimizer,
        validation_rows=rows,
    )


def _explain(
    stopped: Stopped,
    n_epochs: int,
    best_epoch: int,
    patience: int | None,
    history: dict[str, Array],
) -> str:
    match stopped:
        case "epochs":
            return f"all {n_epochs} epochs were done"
        case "patience":
            last = n_epochs - (patience or 0)
            return f"no improvement since epoch {last}, for {patience} epochs"
        case "converged":
            return f"after {n_epochs} epochs the objective can't be lowered any further"
        case "interrupted":
            return (
                f"interrupted after epoch {n_epochs}; these are the weights of epoch {best_epoch}"
            )
        case "diverged":
            return _what_diverged(history, n_epochs, best_epoch)
        case "callback":
            return f"the callback said so after epoch {n_epochs}"


def _what_diverged(history: dict[str, Array], n_epochs: int, best_epoch: int) -> str:
    kept = f"no longer finite in epoch {n_epochs}; these are the weights of epoch {best_epoch}"
    last = {name: curve[-1] for name, curve in history.items() if curve.size}
    metric = last.pop("validation_metric", 0.0)
    if not np.isfinite(metric) and np.isfinite([*last.values()]).all():
        return f"the metric, {metric}, was {kept}"
    return f"the error or a weight was {kept}, and a smaller learning rate may help"
