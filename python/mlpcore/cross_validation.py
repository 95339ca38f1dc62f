"""The weight decay by cross-validation, the folds along the ensemble axis.

Each network of an ensemble is trained without a share of the samples of its own. The weight decay
falls in steps, from so strong that the outputs are nearly constant, each training going on from
the weights of the step before; the mean error of the shares left out says which is best (PRML 1.3;
the path of warm starts: Friedman, Hastie and Tibshirani, 2010). From the weights of that step every
network is then trained on all samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore.checks import as_numbers, whole_number
from mlpcore.network import Network
from mlpcore.results import Table, was_interrupted
from mlpcore.training import EnsembleTrainResult, train

__all__ = ["CrossValidationResult", "train_by_cross_validation"]

Array = NDArray[Any]

# The weight decays tried. The path ends where one does not lower the error.
PATH = (100.0, 10.0, 1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5)
# A step of the path ends when this many epochs did not lower the mean objective by more than a
# share of the error on the samples left out, which tells the steps apart no better than that.
PATIENCE, WORTHWHILE = 10, 3e-4
# A network leaves out one sample of this many, or of as many as there are networks.
LEAST_FOLDS = 4


@dataclass(frozen=True, repr=False, eq=False)
class CrossValidationResult(Table):
    """What a training with cross-validation gives back.

    Attributes
    ----------
    w : (S, W) array
        The weights of the networks, trained on all samples. After Ctrl-C those that this training
        had reached; before it, those of the best step of the path, trained without the samples left
        out, and in the first step the initial ones.
    weight_decay : float
        The best; in the first step the first of the path.
    errors : dict of float
        The mean error of a sample left out, by weight decay, in the order tried.
    rounds : tuple of EnsembleTrainResult
        The trainings that these are the errors of, one after the other, and then that on all
        samples, unless Ctrl-C came before it.
    interrupted : bool
        Whether Ctrl-C ended it.
    """

    w: Array
    weight_decay: float
    errors: dict[float, float]
    rounds: tuple[EnsembleTrainResult, ...]
    interrupted: bool

    def _title(self) -> str:
        return f"CrossValidationResult of {len(self.w)} networks"

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("weight decay", "error of a sample left out")]
        rows += [(f"{alpha:g}", f"{error:.6g}") for alpha, error in self.errors.items()]
        best = f"{self.weight_decay:g}" + (", interrupted" if self.interrupted else "")
        return [*rows, ("best", best)]


def train_by_cross_validation(
    net: Network,
    w: Array,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike,
    *,
    epochs: int,
    seed: int,
    **options: Any,
) -> CrossValidationResult:
    """Fit an ensemble with the weight decay of the lowest error on samples left out.

    Parameters
    ----------
    net, w, X, T, sample_weight, **options
        As for `mlpcore.train`, with w (S, W); X_val and T_val are for the training on all samples.
    epochs : int
        The most epochs of all trainings together, but at least one each. Every step has as many as
        the training on all samples, a ninth, so that this one is not carried beyond what was
        validated.
    seed : int
        Of the folds and the shuffles.

    Raises
    ------
    ValueError, TypeError
        If there are fewer samples than folds, or an argument is unusable.
    """
    length = max(1, whole_number("epochs", epochs, least=1) // (len(PATH) + 1))
    X, T = as_numbers("X", X), as_numbers("T", T)
    sample_weight = as_numbers("sample_weight", sample_weight)
    if len(w) == 0:
        raise ValueError(f"w has shape {w.shape}, expected a network at least")
    net.error(w[0], X, T, sample_weight)  # checks that they fit together, and are those of all
    n_folds = max(len(w), LEAST_FOLDS)
    size = len(X) // n_folds
    if size == 0:
        raise ValueError(f"X has {len(X)} samples, expected at least {n_folds}, one for each fold")
    if net.output == "softmax" and T.ndim == 1:
        # The labels (S, n) of the folds could be taken for targets (N, K) of all networks.
        T = np.eye(net.n_outputs, dtype=net.dtype)[T.astype(np.intp)]
    order = np.random.default_rng(seed).permutation(len(X))
    left_out = np.stack([np.sort(order[s * size : (s + 1) * size]) for s in range(len(w))])
    kept = np.stack([np.delete(np.arange(len(X)), rows) for rows in left_out])
    training: dict[str, Any] = {"X": X[kept], "T": T[kept], "sample_weight": sample_weight[kept]}
    validation = (X[left_out], T[left_out], sample_weight[left_out])

    def validation_error(w: Array) -> float:
        with np.errstate(invalid="ignore"):  # without any weight `train` says so
            error = float(np.sum(net.error(w, *validation)) / np.sum(validation[-1]))
        return np.inf if np.isnan(error) else error

    own = ("X_val", "T_val", "patience", "min_delta")
    of_path = {name: value for name, value in options.items() if name not in own}
    rounds: list[EnsembleTrainResult] = []
    errors: dict[float, float] = {}
    initial, best, best_w = w, PATH[0], w
    lowest = validation_error(w)
    collapsed: NDArray[np.bool_] = np.ones(len(w), bool)
    interrupted = False
    try:
        for weight_decay in PATH:
            result = train(
                net,
                w,
                **training,
                epochs=length,
                weight_decay=weight_decay,
                seed=seed,
                patience=PATIENCE,
                min_delta=WORTHWHILE * lowest if np.isfinite(lowest) else 0.0,
                **of_path,
            )
            if was_interrupted(result):
                raise KeyboardInterrupt  # as if it had come between two trainings
            before, w = collapsed, result.w
            errors[weight_decay] = validation_error(w)
            rounds.append(result)
            lowest = min(errors.values())
            risen = errors[weight_decay] > lowest
            if risen and not before.all():
                break
            if not risen:
                best, best_w = weight_decay, w
            # Zero weights are a saddle that no lesser weight decay leads away from.
            collapsed = _first_layer_norms(net, w) < 1e-2 * _first_layer_norms(net, initial)
            w = np.where(collapsed[:, np.newaxis], initial, w)
        result = train(
            net,
            best_w,
            X,
            T,
            sample_weight=sample_weight,
            epochs=length,
            weight_decay=best,
            seed=seed,
            **options,
        )
        rounds.append(result)
        best_w, interrupted = result.w, was_interrupted(result)
    except KeyboardInterrupt:
        interrupted = True
    return CrossValidationResult(best_w, best, errors, tuple(rounds), interrupted)


def _first_layer_norms(net: Network, w: Array) -> Array:
    norms: Array = np.linalg.norm(w[:, : net.layers[0] * net.layers[1]], axis=1)
    return norms
