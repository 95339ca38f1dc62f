"""Fitting a network to data."""

from __future__ import annotations

import html
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import _core
from mlpcore.checks import choice, flag, real_number, whole_number
from mlpcore.network import Network
from mlpcore.progress import TrainingProgress

__all__ = ["EnsembleTrainResult", "TrainResult", "train"]

Array = NDArray[Any]
Optimizer = Literal["adam", "sgd", "lbfgs"]
Stopped = Literal["epochs", "patience", "converged", "interrupted", "diverged", "callback"]
Callback = Callable[[int, float, "float | None", Array], object]


@dataclass(frozen=True, repr=False, eq=False)
class TrainResult:
    """What a training gives back.

    Attributes
    ----------
    w : (W,) array
        The weights of the best epoch, always finite.
    history : dict of (n_epochs + 1,) arrays
        "training_error" and, with validation data, "validation_error": the mean error of a sample
        after each epoch, without weight decay; entry 0 is before the first epoch.
    stopped : str
        Why it stopped: "epochs", "patience", "converged", "interrupted", "diverged", "callback".
    message : str
        The same as a sentence.
    best_epoch : int
        The epoch of the weights `w`: lowest validation error, or lowest objective without
        validation data.
    n_epochs : int
        Epochs done.
    seconds : float
        Time spent.
    optimizer : str
    """

    w: Array
    history: dict[str, Array]
    stopped: Stopped
    message: str
    best_epoch: int
    n_epochs: int
    seconds: float
    optimizer: str

    def _rows(self) -> list[tuple[str, str]]:
        rows = [
            ("stopped", f"{self.stopped}: {self.message}"),
            ("epochs", f"{self.n_epochs}, best {self.best_epoch}"),
        ]
        for name, errors in self.history.items():
            if errors.size > self.best_epoch:
                rows.append((name.replace("_", " "), f"{errors[self.best_epoch]:.6g} a sample"))
        rows.append(("optimizer", self.optimizer))
        rows.append(("weights", str(self.w.size)))
        rows.append(("seconds", f"{self.seconds:.3g}"))
        return rows

    def __repr__(self) -> str:
        return "TrainResult\n" + "\n".join(f"  {k:<17}{v}" for k, v in self._rows())

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(k)}</th>"
            f"<td style='text-align:left'>{html.escape(v)}</td></tr>"
            for k, v in self._rows()
        )
        return f"<table><caption>TrainResult</caption>{cells}</table>"


@dataclass(frozen=True, repr=False, eq=False)
class EnsembleTrainResult(Sequence[TrainResult]):
    """What the training of an ensemble gives back: a sequence of its members' results.

    Attributes
    ----------
    w : (S, W) array
        The weights of the best epoch of each network.
    members : tuple of S TrainResult
        `seconds` is that of the whole ensemble.
    """

    w: Array
    members: tuple[TrainResult, ...]

    def __len__(self) -> int:
        return len(self.members)

    @overload
    def __getitem__(self, s: int) -> TrainResult: ...
    @overload
    def __getitem__(self, s: slice) -> tuple[TrainResult, ...]: ...
    def __getitem__(self, s: int | slice) -> TrainResult | tuple[TrainResult, ...]:
        return self.members[s]

    def best(self) -> TrainResult:
        """The member with the lowest validation error, or training error without validation data.

        Raises
        ------
        ValueError
            If no network was trained.
        """
        if not self.members:
            raise ValueError("the ensemble has no networks")
        return min(self.members, key=best_error)

    def __repr__(self) -> str:
        reasons = Counter(member.stopped for member in self.members)
        lines = [f"EnsembleTrainResult of {len(self)} networks"]
        if self.members:
            errors = [best_error(member) for member in self.members]
            lines += [
                "  stopped          " + ", ".join(f"{n} {why}" for why, n in reasons.items()),
                f"  error a sample   best {min(errors):.6g}, median {np.median(errors):.6g}",
                f"  seconds          {self.members[0].seconds:.3g}",
            ]
        return "\n".join(lines)


def best_error(result: TrainResult) -> float:
    """The validation error of the best epoch, or the training error without validation data."""
    errors = result.history.get("validation_error", result.history["training_error"])
    return float(errors[result.best_epoch]) if errors.size else float("inf")


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
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    patience: int | None = None,
    min_delta: float = 0.0,
    seed: int | None = None,
    sample_weight: ArrayLike | None = None,
    callback: Callback | None = None,
    progress: bool = False,
) -> Any:
    """Fit the weights of a network, beginning at `w`.

    Minimizes ``E(w) + weight_decay / 2 * w.w`` with E a sum over samples (PRML 5.112). The
    optimizers see it divided by the total weight of the samples, so that a learning rate does not
    depend on how many there are. The loop is native; Python runs only for `callback`.

    Parameters
    ----------
    net, w, X, T
        The network, its initial weights (W,), the inputs (N, D) and targets, as for its methods.
        With w of shape (S, W) an ensemble of S networks is trained side by side, on the same data
        or each on its own (S, N, D); network s shuffles with `seed` + s and becomes, bit for bit,
        what it would alone. An ensemble has no callback and no progress bar.
    X_val, T_val : array-like, optional
        Validation data. With it the best epoch is that of the lowest validation error, without it
        that of the lowest objective; the weights of the best epoch are what comes back.
    optimizer : {"adam", "sgd", "lbfgs"}
        adam (Kingma and Ba, 2015), sgd with `momentum`, or lbfgs (Nocedal and Wright, 2006,
        Algorithm 7.5; strong Wolfe line search; always on the full batch, an epoch is an
        iteration).
    epochs : int
        The most epochs.
    batch_size : int, optional
        Samples of a step of adam or sgd; None is all of them. Batches are drawn without
        replacement from a new shuffle (xoshiro256**, seeded by `seed`) in every epoch, and the
        training error of such an epoch is the mean over its batches as they came.
    learning_rate : float, optional
        Of adam and sgd; None is 0.01 for either.
    momentum : float
        Of sgd.
    weight_decay : float
        alpha, the precision of a normal prior over all weights and biases, relative to a noise
        precision of 1.
    patience : int, optional
        Stop after this many epochs without an improvement by more than `min_delta`.
    min_delta : float
        See `patience`.
    seed : int, optional
        Of the shuffles; None takes one from the system.
    sample_weight : (N,) array-like, optional
        Weights of the training samples.
    callback : callable, optional
        Called as ``callback(epoch, training_error, validation_error, w)`` after each epoch (epoch
        0 is the start; validation_error is None without validation data; w is a copy). A true
        answer stops the training.
    progress : bool
        Show a progress bar on stderr if that is a terminal.

    Returns
    -------
    TrainResult, or EnsembleTrainResult for w of shape (S, W)
        After Ctrl-C with ``stopped = "interrupted"``, after an error or weight that is not finite
        with ``stopped = "diverged"``; both with the best weights until then.

    Raises
    ------
    ValueError, TypeError
        If an argument is unusable; the message names it. What `callback` raises is raised, except
        for KeyboardInterrupt.

    Examples
    --------
    >>> import mlpcore, numpy as np
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> net = mlpcore.Network((1, 5, 1))
    >>> result = mlpcore.train(net, net.init(seed=0), X, np.sin(3 * X), optimizer="lbfgs")
    >>> bool(result.history["training_error"][-1] < 1e-4)
    True
    """
    if not isinstance(net, Network):
        raise TypeError(f"net is a {type(net).__name__}, expected a mlpcore.Network")
    if (X_val is None) != (T_val is None):
        given, missing = ("T_val", "X_val") if X_val is None else ("X_val", "T_val")
        raise ValueError(f"{given} came without {missing}, expected both or neither")
    choice("optimizer", optimizer, _core.optimizers)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback is {callback!r}, expected a callable or None")
    if callback is not None and np.ndim(w) == 2:
        raise ValueError("callback came with an ensemble of networks, expected none")
    epochs = whole_number("epochs", epochs, least=0)
    rate = 0.01 if learning_rate is None else learning_rate
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(2))
    start = time.perf_counter()
    with TrainingProgress(epochs, enabled=flag("progress", progress)) as display:
        fitted, reports = _core.train(
            net._core,
            w,
            X,
            T,
            sample_weight,
            X_val,
            T_val,
            optimizer=optimizer,
            epochs=epochs,
            batch_size=0 if batch_size is None else whole_number("batch_size", batch_size, least=1),
            learning_rate=real_number("learning_rate", rate, positive=True),
            momentum=real_number("momentum", momentum, below=1),
            weight_decay=real_number("weight_decay", weight_decay),
            patience=0 if patience is None else whole_number("patience", patience, least=1),
            min_delta=real_number("min_delta", min_delta),
            seed=whole_number("seed", seed, least=0),
            callback=callback,
            progress=display if display.visible else None,
        )
    seconds = time.perf_counter() - start
    members = [
        _result(one, report, optimizer, seconds, patience, X_val is not None)
        for one, report in zip(np.atleast_2d(fitted), reports, strict=True)
    ]
    return EnsembleTrainResult(fitted, tuple(members)) if fitted.ndim == 2 else members[0]


def _result(
    w: Array,
    report: tuple[Array, Array, int, Stopped],
    optimizer: str,
    seconds: float,
    patience: int | None,
    has_validation: bool,
) -> TrainResult:
    training, validation, best_epoch, stopped = report
    # Interrupted in its very first pass, a training has no history.
    n_epochs = max(training.size - 1, 0)
    history = {"training_error": training}
    if has_validation:
        history["validation_error"] = validation
    return TrainResult(
        w=w,
        history=history,
        stopped=stopped,
        message=_explain(stopped, n_epochs, best_epoch, patience),
        best_epoch=best_epoch,
        n_epochs=n_epochs,
        seconds=seconds,
        optimizer=optimizer,
    )


def _explain(stopped: Stopped, n_epochs: int, best_epoch: int, patience: int | None) -> str:
    return {
        "epochs": f"all {n_epochs} epochs were done",
        "patience": f"no improvement since epoch {n_epochs - (patience or 0)}, "
        f"for {patience} epochs",
        "converged": f"after {n_epochs} epochs the objective can't be lowered any further",
        "interrupted": f"interrupted after epoch {n_epochs}; "
        f"these are the weights of epoch {best_epoch}",
        "diverged": f"the error or a weight was no longer finite in epoch {n_epochs}; these are "
        f"the weights of epoch {best_epoch}, and a smaller learning rate may help",
        "callback": f"the callback said so after epoch {n_epochs}",
    }[stopped]
