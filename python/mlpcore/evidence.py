"""The evidence procedure: how strong the weight decay should be, from the training data alone.

The weights have a normal prior of precision alpha, the targets normal noise of precision beta
(cross-entropy has no noise to estimate, beta = 1). A training finds the minimum of
``beta E(w) + alpha / 2 w.w``, where the outputs are nearly linear in w; with the eigenvalues
lambda_i of beta H there, H the Gauss-Newton matrix, the evidence p(T | alpha, beta) is largest for

    gamma  = sum_i lambda_i / (lambda_i + alpha)        PRML 3.91, 5.179
    alpha  = gamma / w.w                                PRML 3.92, 5.178
    1/beta = sum_n |y_n - t_n|^2 / (N K - gamma)        PRML 3.95, 5.180

gamma is the number of weights that the data determine. Training and these three lines take turns
(MacKay, 1992). `mlpcore.train` minimizes ``E(w) + weight_decay / 2 w.w``, so that ``weight_decay``
is alpha / beta.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore.checks import as_numbers, whole_number
from mlpcore.network import Network
from mlpcore.results import Table
from mlpcore.training import EnsembleTrainResult, train

__all__ = ["Evidence", "EvidenceResult", "curvatures", "reestimate", "train_by_evidence"]

Array = NDArray[Any]

# Up to this many weights the eigenvalues of H are computed, which costs some W^3.
MOST_WEIGHTS = 1500
# A round of training may take this many epochs, or half of all if that is less. Later ones may take
# more, and the last takes what is left.
LEAST_EPOCHS = 50
# With more samples than this for each weight, H is measured on some of them.
SAMPLES_A_WEIGHT = 8
# alpha / beta stays between these; a constant target would make it infinite.
WEIGHT_DECAY_RANGE = (1e-7, 1e4)


@dataclass(frozen=True)
class Evidence:
    """The precisions and what they follow from.

    Attributes
    ----------
    alpha, beta : float
        The precision of the weights and of the noise.
    gamma : float
        The effective number of weights.
    """

    alpha: float
    beta: float
    gamma: float

    @property
    def weight_decay(self) -> float:
        """alpha / beta, within the range in which a training makes sense."""
        return float(np.clip(self.alpha / self.beta, *WEIGHT_DECAY_RANGE))


@dataclass(frozen=True, repr=False, eq=False)
class EvidenceResult(Table):
    """What a training with the evidence procedure gives back.

    Attributes
    ----------
    w : (S, W) array
        The weights of the networks.
    evidence : Evidence
        The precisions, one for all networks, as estimated from these weights, but of those networks
        alone that did not diverge in the last round. After Ctrl-C, in a round or in the estimate
        after it, or where all diverged, the estimate before: in the first round the starting value,
        with a gamma of 0.
    weight_decay : float
        That of the last training, from the estimate before.
    rounds : tuple of EnsembleTrainResult
        The trainings between the estimates, one after the other.
    interrupted : bool
        Whether Ctrl-C ended it.
    """

    w: Array
    evidence: Evidence
    weight_decay: float
    rounds: tuple[EnsembleTrainResult, ...]
    interrupted: bool

    def _title(self) -> str:
        return f"EvidenceResult of {len(self.w)} networks"

    def _rows(self) -> list[tuple[str, str]]:
        found = self.evidence
        return [
            ("alpha", f"{found.alpha:.6g}"),
            ("beta", f"{found.beta:.6g}"),
            ("gamma", f"{found.gamma:.3g} of {self.w.shape[1]} weights"),
            ("weight decay", f"{self.weight_decay:.6g}"),
            ("rounds", str(len(self.rounds)) + (", interrupted" if self.interrupted else "")),
        ]


def curvatures(net: Network, w: Array, X: Array, sample_weight: Array) -> Array:
    """The eigenvalues (W,) of H, the Gauss-Newton matrix of E at w (W,), whatever the targets.

    With more than `MOST_WEIGHTS` weights its diagonal stands in for them. That makes gamma larger,
    never smaller (Schur and Horn: lambda / (lambda + alpha) is concave).
    """
    net64 = Network(net.layers, net.hidden, net.output)  # alpha may be below H's rounding error
    rows = np.flatnonzero(sample_weight)
    rows = rows[:: max(1, len(rows) // (SAMPLES_A_WEIGHT * net.n_weights))]
    weight = sample_weight[rows].astype(np.float64)
    weight *= sample_weight.sum() / weight.sum()
    # Targets that any output takes: those of the training may not sum to 1 as float64 demands.
    T = np.full((len(rows), net.n_outputs), 1 / net.n_outputs)
    some = (w, X[rows], T, weight)
    if net.n_weights > MOST_WEIGHTS:
        return _bounded(net64.hessian_diagonal(*some, kind="gauss_newton"))
    H = _bounded(net64.hessian(*some, kind="gauss_newton"))
    eigenvalues: Array = np.maximum(np.linalg.eigvalsh(H), 0.0)
    return eigenvalues


def _bounded(H: Array) -> Array:
    """So that its eigenvalues are finite where it overflowed itself, with weights of 1e153."""
    bounded: Array = np.clip(np.nan_to_num(H), -1e304, 1e304)
    return bounded


def reestimate(
    h: Array, squared_weights: float, squared_errors: float, n_targets: float, before: Evidence
) -> Evidence:
    """The precisions for which the evidence is largest, by one step of its fixed point.

    Parameters
    ----------
    h : (W,) array
        The eigenvalues of H, the Gauss-Newton matrix of E (not of beta E).
    squared_weights, squared_errors : float
        w.w, and the sum of (y - t)^2 over samples and outputs.
    n_targets : float
        N K; 0 leaves beta as it is, for the cross-entropy.
    before : Evidence
        The precisions with which w was trained.
    """
    gamma = float(np.sum(h / (h + before.weight_decay)))
    # Rounded, far below its own error, so that no last bit of LAPACK, which depends on the number
    # of its threads, comes through.
    gamma = float(f"{gamma:.3g}")
    # Neither sum may make a precision infinite, or a beta 0.
    tiny = float(np.finfo(np.float64).tiny)
    squared_weights = min(max(squared_weights, tiny), 1 / tiny)
    squared_errors = min(max(squared_errors, tiny**0.5), 1 / tiny)
    beta = before.beta
    if n_targets:
        beta = max(n_targets - gamma, 0.01 * n_targets) / squared_errors
    return Evidence(alpha=gamma / squared_weights, beta=beta, gamma=gamma)


def train_by_evidence(
    net: Network,
    w: Array,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike,
    *,
    epochs: int,
    weight_decay: float = 0.1,
    **options: Any,
) -> EvidenceResult:
    """Fit an ensemble and its precisions, which all its networks share.

    Rounds of training and estimates take turns until both stand still or the epochs are used up. A
    round may take 50 epochs, or half of all if that is less, or a quarter of those before it if
    that is more; the last takes what is left. Convergence or `patience` ends it sooner, but it
    counts as a whole. gamma is measured at one network a round, in turn; w.w and the errors are
    means over the networks. One that diverged in the round counts for neither.

    Parameters
    ----------
    net, w, X, T, sample_weight, **options
        As for `mlpcore.train`, with w (S, W).
    epochs : int
        The most epochs of all rounds together; at least 2, for no training has an estimate before
        the second.
    weight_decay : float
        alpha / beta to begin with.

    Raises
    ------
    ValueError, TypeError
        If `epochs` is not such a number, or another argument unusable for `mlpcore.train`.
    """
    whole_number("epochs", epochs, least=2)
    X, sample_weight = as_numbers("X", X), as_numbers("sample_weight", sample_weight)
    n_targets = float(sample_weight.sum()) * net.n_outputs if net.output == "linear" else 0.0
    evidence = Evidence(alpha=weight_decay, beta=1.0, gamma=0.0)
    rounds: list[EnsembleTrainResult] = []
    done, used, interrupted = 0, weight_decay, False
    while True:
        length = min(max(LEAST_EPOCHS, done // 4), epochs - done, (epochs + 1) // 2)
        decay = evidence.weight_decay
        try:
            result = train(
                net,
                w,
                X,
                T,
                sample_weight=sample_weight,
                epochs=length,
                weight_decay=decay,
                **options,
            )
            rounds.append(result)
            w, used = result.w, decay
            done += length
            reasons = {member.stopped for member in result}
            interrupted = "interrupted" in reasons
            if interrupted or reasons <= {"diverged"}:  # none at all if S is 0
                break
            sound = w[[member.stopped != "diverged" for member in result]]
            of = sound[len(rounds) % len(sound)].astype(np.float64)
            with np.errstate(over="ignore"):
                squared_weights = float(np.mean(np.sum(sound.astype(np.float64) ** 2, axis=1)))
                errors = [2 * net.error(one, X, T, sample_weight) for one in sound]
                squared_errors = float(np.mean(errors))
            h = curvatures(net, of, X, sample_weight)
            evidence = reestimate(h, squared_weights, squared_errors, n_targets, evidence)
        except KeyboardInterrupt:
            if not rounds:
                raise
            interrupted = True
            break
        at_rest = reasons <= {"converged", "patience", "diverged"}
        moved = abs(np.log(evidence.weight_decay / used))
        if done >= epochs or (at_rest and moved < 0.01):
            break
    return EvidenceResult(w, evidence, used, tuple(rounds), interrupted)
