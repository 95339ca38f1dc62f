"""What the regressor and the classifier share: parameters, scaling, training, averaging."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from mlpcore import _core
from mlpcore.checks import choice, flag, real_number, whole_number
from mlpcore.cross_validation import LEAST_FOLDS, train_by_cross_validation
from mlpcore.evidence import train_by_evidence
from mlpcore.network import Network, activation_names
from mlpcore.optimizer_settings import used_by
from mlpcore.regularizers import Regularizer, check_regularizer
from mlpcore.scaling import LARGEST, Standardizer
from mlpcore.schedules import Schedule
from mlpcore.splitting import class_labels, split_off
from mlpcore.training import EnsembleTrainResult, Optimizer, TrainResult, best_error, train

Array = NDArray[Any]

# By default a start goes through this many samples at most, if that is no less than 100 epochs.
SAMPLE_BUDGET = 8_000_000
# By default L-BFGS has this many epochs for each weight, and sqrt(W / SMALL) times as many for each
# of more than SMALL weights: to within 2 % of the lowest objective (concrete, weight decay 0.1) it
# takes 2 epochs a weight with 31 weights, 9 with 501.
EPOCHS_A_WEIGHT, SMALL = 6, 100
# By default there is one weight for this many target values.
TARGETS_A_WEIGHT = 8


class BaseMLP(BaseEstimator, ABC):  # type: ignore[misc]
    """See `MLPRegressor` and `MLPClassifier`."""

    _most_epochs: int  # of L-BFGS by default
    _default_alpha: float | str

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] | Literal["auto"] = "auto",
        activation: str | Sequence[str] = "tanh",
        *,
        solver: Optimizer = "lbfgs",
        alpha: float | Literal["auto", "cross_validation", "evidence"] = "auto",
        batch_size: int | Literal["auto"] = "auto",
        learning_rate_init: float = 0.01,
        max_iter: int | Literal["auto"] = "auto",
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        schedule: Schedule | None = None,
        regularizer: Regularizer | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        n_starts: int = 4,
        combine: Literal["average", "best"] = "average",
        scale: bool = True,
        dtype: Literal["float64", "float32"] = "float64",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.schedule = schedule
        self.regularizer = regularizer
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.n_starts = n_starts
        self.combine = combine
        self.scale = scale
        self.dtype = dtype

    # What the two differ in

    @abstractmethod
    def _learn_targets(self, y: Any, classes: Any) -> None:
        """Take from `y` what turns it into targets of the network, and back."""

    @abstractmethod
    def _targets(self, y: Any, name: str = "y") -> Array:
        """`y` as targets of the network, (N, K)."""

    @abstractmethod
    def _output(self) -> tuple[str, int]:
        """The output units and K."""

    # Fitting

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        X_val: Any = None,
        T_val: Any = None,
    ) -> Any:
        """Fit to inputs `X` (N, D) and targets `y`, (N,) or (N, K).

        Parameters
        ----------
        sample_weight : (N,) array-like, optional
            A whole number has the same effect as that many copies of the row, 0 that of none.
        X_val, T_val : array-like, optional
            Validation data, for early stopping and for ``combine="best"``; with them nothing is
            split off.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument or parameter is unusable, or, with ``warm_start``, one that the network
            was made by has changed; the message names it.

        Warns
        -----
        ConvergenceWarning
            If the training was interrupted, or diverged from every start.
        """
        options = self._train_options()
        if self.max_iter == 1 and self._alpha(0) == "evidence":
            raise ValueError(
                "max_iter is 1, expected at least 2 with alpha='evidence': before the second round "
                "of training there is no estimate"
            )
        continues = flag("warm_start", self.warm_start) and hasattr(self, "weights_")
        if continues:
            self._refuse_changes()
        X, y, weight = self._checked(X, y, sample_weight, reset=not continues)
        if (X_val is None) != (T_val is None):
            given, missing = ("T_val", "X_val") if X_val is None else ("X_val", "T_val")
            raise ValueError(f"{given} came without {missing}, expected both or neither")
        if X_val is not None:
            X_val = validate_data(self, X_val, dtype=np.float64, reset=False)
        random = check_random_state(self.random_state)
        seed = int(random.randint(np.iinfo(np.int32).max))
        if not continues:
            self._learn_targets(y, None)
        X, T, weight = merge_rows(X, self._targets(y), weight)
        if X_val is not None:
            T_val = self._targets(_dense(T_val), "T_val")
            if len(T_val) != len(X_val):
                raise ValueError(
                    f"T_val has {len(T_val)} samples, expected {len(X_val)}, as X_val has"
                )
        elif flag("early_stopping", self.early_stopping):
            # Of the merged samples, so that copies of one are not on both sides.
            if len(X) < 2:
                raise ValueError(
                    "early_stopping came with samples that are all equal, expected at least two "
                    "different ones to split off validation_fraction"
                )
            labels = class_labels(self._output()[0], T)
            kept, off = split_off(len(X), self.validation_fraction, seed, labels)
            X, T, weight, X_val, T_val = X[kept], T[kept], weight[kept], X[off], T[off]
        if not continues:
            self._begin(X, T, weight, seed)
        data = self._scaled_data(X, T, weight)
        if X_val is not None:
            data["X_val"] = self._scaled_inputs(X_val, "X_val")
            data["T_val"] = self._scaled_targets(T_val, "T_val")
        self._train(data, options | {"seed": seed})
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None, classes: Any) -> Any:
        options = self._train_options()
        first = not hasattr(self, "weights_")
        X, y, weight = self._checked(X, y, sample_weight, reset=first)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        if first:
            self._learn_targets(y, classes)
        else:
            self._refuse_changes()
        X, T, weight = merge_rows(X, self._targets(y), weight)
        if first:
            self._begin(X, T, weight, seed)
        alpha = self._alpha(len(X))
        if not isinstance(alpha, str):
            self.weight_decay_ = alpha
        options |= {"epochs": 1, "patience": None, "seed": seed + self.n_iter_}
        data = self._scaled_data(X, T, weight)
        result = train(
            self.network_, self.weights_, **data, weight_decay=self.weight_decay_, **options
        )
        self._keep(result.w, [result])
        return self

    def _checked(
        self, X: Any, y: Any, sample_weight: ArrayLike | None, reset: bool
    ) -> tuple[Array, Any, Array]:
        """As arrays, of the samples that have a weight."""
        X, y = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=False, reset=reset
        )
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weight.any():
            raise ValueError("sample_weight is zero everywhere, expected some above 0")
        seen = weight > 0
        return X[seen], _dense(y)[seen], weight[seen]

    def _refuse_changes(self) -> None:
        """A fit that goes on from another has its network, its starts and its scaling."""
        net = self.network_
        D, *hidden, K = net.layers
        given = self.hidden_layer_sizes
        is_auto = isinstance(given, str) and given == "auto"
        sizes = hidden if is_auto else self._hidden_layer_sizes(0, D, K)
        made: dict[str, tuple[object, object]] = {
            "hidden_layer_sizes": (hidden, sizes),
            "activation": (list(net.hidden), self._activations(len(sizes))),
            "dtype": (net.dtype.name, Network((D, K), dtype=self.dtype).dtype.name),
            "n_starts": (self._n_starts, int(self.n_starts)),
            "scale": (self._is_scaled, flag("scale", self.scale)),
        }
        if self.combine == "average" and len(self.weights_) < self._n_starts:
            made["combine"] = ("best", "average")
        for name, (before, now) in made.items():
            if now != before:
                raise ValueError(
                    f"{name} is {now!r}, expected {before!r} as in the fit that this one goes on "
                    f"from"
                )

    def _begin(self, X: Array, T: Array, weight: Array, seed: int) -> None:
        """The scaling, the network and its random weights."""
        scaled = flag("scale", self.scale)
        self.input_scaling_ = _standardizer("X", X, weight, scaled)
        output, n_outputs = self._output()
        self.target_scaling_ = _standardizer("y", T, weight, scaled and output == "linear")
        if output == "softmax":
            self.target_scaling_ = Standardizer(np.zeros(n_outputs), np.ones(n_outputs))
        sizes = self._hidden_layer_sizes(len(X), X.shape[1], n_outputs)
        self.network_ = Network(
            (X.shape[1], *sizes, n_outputs), self._activations(len(sizes)), output, self.dtype
        )
        random = np.random.default_rng(seed)
        self._is_scaled, self._n_starts = scaled, int(self.n_starts)
        self.weights_ = np.stack([self.network_.init(random) for _ in range(self._n_starts)])
        self.weight_decay_ = 1.0
        self.loss_curve_: list[float] = []
        self.validation_loss_curve_: list[float] = []
        self.n_iter_ = 0

    def _hidden_layer_sizes(self, N: int, D: int, K: int) -> list[int]:
        hidden: Any = self.hidden_layer_sizes
        if isinstance(hidden, str):
            choice("hidden_layer_sizes", hidden, ("auto",))
            return [int(np.clip(N * K // (TARGETS_A_WEIGHT * (D + K + 1)), 5, 100))]
        sizes = [hidden] if isinstance(hidden, (int, np.integer)) else list(hidden)
        return [
            whole_number(f"hidden_layer_sizes[{i}]", size, least=1) for i, size in enumerate(sizes)
        ]

    def _activations(self, n_hidden: int) -> list[str]:
        """The activation of each hidden layer."""
        return list(activation_names("activation", self.activation, n_hidden))

    def _train_options(self) -> dict[str, Any]:
        """The parameters that all trainings share, as `mlpcore.train` knows them.

        Those that the solver does not use are left out, as it is the custom of scikit-learn.
        """
        choice("combine", self.combine, ("average", "best"))
        whole_number("n_starts", self.n_starts, least=1)
        self._alpha(0)
        batch: Any = self.batch_size
        if isinstance(batch, str):
            choice("batch_size", batch, ("auto",))
            batch = 200
        whole_number("batch_size", batch, least=1)
        if isinstance(self.max_iter, str):
            choice("max_iter", self.max_iter, ("auto",))
        else:
            whole_number("max_iter", self.max_iter, least=1)
        if self.regularizer is not None:
            check_regularizer(self.regularizer)
        solver = choice("solver", self.solver, (*_core.first_order_optimizers, *_core.methods))
        rate = real_number("learning_rate_init", self.learning_rate_init, positive=True)
        options = {
            "optimizer": solver,
            "regularizer": self.regularizer,
            "learning_rate": rate,
            "schedule": self.schedule,
            "momentum": real_number("momentum", self.momentum, below=1),
            "nesterov": flag("nesterovs_momentum", self.nesterovs_momentum),
            "min_delta": real_number("tol", self.tol),
            "patience": whole_number("n_iter_no_change", self.n_iter_no_change, least=1),
            "batch_size": batch,
        }
        return used_by(solver, options)

    def _alpha(self, n_samples: int) -> float | str:
        """How the weight decay is chosen, or the weight decay."""
        alpha: float | str = self.alpha
        if isinstance(alpha, str):
            choice("alpha", alpha, ("auto", "cross_validation", "evidence"))
            default = self._default_alpha if self.regularizer is None else 0.0
            alpha = default if alpha == "auto" else alpha
            if not isinstance(alpha, str):
                return alpha
            enough = n_samples >= 2 * max(int(self.n_starts), LEAST_FOLDS)
            return 1.0 if alpha == "cross_validation" and not enough else alpha
        return real_number("alpha", alpha)

    def _scaled_inputs(self, X: Array, name: str = "X") -> Array:
        return self._cast(name, self.input_scaling_.transform(X))

    def _scaled_targets(self, T: Array, name: str = "y") -> Array:
        if self.network_.output == "softmax":
            return T
        return self._cast(name, self.target_scaling_.transform(T))

    def _cast(self, name: str, values: Array) -> Array:
        if self.network_.dtype == np.float64:
            return values
        largest, most = np.abs(values).max(initial=0.0), np.finfo(np.float32).max
        if largest > most:
            raise ValueError(
                f"{name} is up to {largest:.3g} in absolute value after scaling, expected at most "
                f"{most:.3g}, the largest float32"
            )
        return values.astype(np.float32)

    def _train(self, data: dict[str, Any], options: dict[str, Any]) -> None:
        """Fit the weights to scaled data, with a given weight decay or one that is chosen."""
        by_iterations = self.solver in _core.methods
        if by_iterations and "X_val" not in data:
            options["patience"] = None  # they know themselves when they have converged
        if self.max_iter != "auto":
            options["epochs"] = int(self.max_iter)
        elif by_iterations:
            options["epochs"] = default_epochs(
                self.network_.n_weights, len(data["X"]), self._most_epochs
            )
        else:
            options["epochs"] = 200  # as in scikit-learn
        alpha = self._alpha(len(data["X"]))
        rounds: Sequence[EnsembleTrainResult]
        interrupted = False
        if alpha == "evidence":
            by_evidence = train_by_evidence(self.network_, self.weights_, **data, **options)
            w, rounds = by_evidence.w, by_evidence.rounds
            interrupted = by_evidence.interrupted
            self.evidence_ = by_evidence.evidence
            self.weight_decay_ = by_evidence.weight_decay
        elif alpha == "cross_validation":
            validated = train_by_cross_validation(self.network_, self.weights_, **data, **options)
            # Those on the path, each without a part of the samples, leave only their errors.
            w, rounds = validated.w, validated.rounds[len(validated.errors) :]
            interrupted = validated.interrupted
            self.cross_validation_errors_ = validated.errors
            self.weight_decay_ = validated.weight_decay
        else:
            self.weight_decay_ = float(alpha)
            options["weight_decay"] = self.weight_decay_
            result = train(self.network_, self.weights_, **data, **options)
            w, rounds = result.w, [result]
        self._keep(w, rounds)
        reasons = {member.stopped for members in rounds[-1:] for member in members}
        if interrupted or "interrupted" in reasons:
            warnings.warn("the training was interrupted", ConvergenceWarning, stacklevel=3)
        elif reasons == {"diverged"}:
            words = f"the training diverged: {rounds[-1][0].message}"
            warnings.warn(words, ConvergenceWarning, stacklevel=3)

    def _scaled_data(self, X: Array, T: Array, weight: Array) -> dict[str, Any]:
        return {
            "X": self._scaled_inputs(X),
            "T": self._scaled_targets(T),
            "sample_weight": weight.astype(self.network_.dtype),
        }

    def _keep(self, w: Array, rounds: Sequence[Sequence[TrainResult]]) -> None:
        """The weights (S, W), and the curves of the trainings that led to them.

        There are none where Ctrl-C came before a training on all samples.
        """
        if self.combine == "best":
            errors = [best_error(member) for members in rounds[-1:] for member in members]
            lowest = errors.index(min(errors)) if errors else 0
            w, rounds = w[lowest : lowest + 1], [members[lowest : lowest + 1] for members in rounds]
        self.weights_ = w
        for members in rounds:
            self.loss_curve_ += _mean_curve(members, "training_error")
            if "validation_error" in members[0].history:
                self.validation_loss_curve_ += _mean_curve(members, "validation_error")
        self.n_iter_ = max(1, len(self.loss_curve_))
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else float("nan")
        self.best_loss_ = min(self.loss_curve_, default=float("nan"))
        self.n_outputs_ = self.network_.n_outputs
        self.n_layers_ = len(self.network_.layers)
        if flag("verbose", self.verbose):
            reasons = {member.stopped for members in rounds[-1:] for member in members}
            print(
                f"[mlpcore] {self.network_}: {len(self.weights_)} networks, {self.n_iter_} epochs "
                f"by {self.solver}, weight decay {self.weight_decay_:g}, mean error "
                f"{self.loss_:.6g} ({', '.join(sorted(reasons)) or 'interrupted'})"
            )

    # Use

    def _mean_output(self, X: Any) -> Array:
        """The outputs of the network, scaled, (N, K): a mean over the members."""
        check_is_fitted(self, "weights_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        mean: Array = self.network_.forward(self.weights_, self._scaled_inputs(X)).mean(axis=0)
        return mean.astype(np.float64)

    def _mean_jacobian(self, X: Any) -> Array:
        """dy_k/dx_i of the network, scaled, (N, K, D): a mean over the members."""
        check_is_fitted(self, "weights_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        mean: Array = self.network_.jacobian(self.weights_, self._scaled_inputs(X)).mean(axis=0)
        return mean.astype(np.float64)


def default_epochs(W: int, N: int, most: int) -> int:
    """The epochs of L-BFGS for W weights and N samples, with ``max_iter="auto"``."""
    wanted = int(EPOCHS_A_WEIGHT * W * max(1.0, W / SMALL) ** 0.5)
    return max(min(100, most), min(wanted, most, SAMPLE_BUDGET // N))


def merge_rows(X: Array, T: Array, weight: Array) -> tuple[Array, Array, Array]:
    """The samples sorted, equal ones as one with the sum of their weights, none of weight 0.

    So neither the order of the samples nor whether one is repeated or weighted changes a bit of
    the fit.
    """
    positive = weight > 0
    X, T, weight = X[positive], T[positive], weight[positive]
    rows = np.column_stack((X, T))
    order = np.lexsort(rows.T[::-1])
    rows = rows[order]
    first = np.concatenate(([True], (rows[1:] != rows[:-1]).any(axis=1)))
    starts = np.flatnonzero(first)
    kept = order[starts]
    return X[kept], T[kept], np.add.reduceat(weight[order], starts)


def _dense(y: Any) -> Any:
    """Labels in a sparse matrix as an array; anything else as it is."""
    return y.toarray() if issparse(y) else y


def _standardizer(name: str, A: Array, weight: Array, scaled: bool) -> Standardizer:
    if scaled:
        largest = np.abs(A).max(initial=0.0)
        if largest > LARGEST:
            raise ValueError(
                f"{name} is up to {largest:.3g} in absolute value, expected at most {LARGEST:.3g}"
            )
        return Standardizer.fit(A if A.ndim == 2 else A[:, np.newaxis], weight)
    columns = A.shape[1] if A.ndim == 2 else 1
    return Standardizer(np.zeros(columns), np.ones(columns))


def _mean_curve(members: Sequence[TrainResult], name: str) -> list[float]:
    """The errors after each epoch, a mean over the members; one that has ended keeps its last."""
    epochs = np.arange(1, 1 + max(member.n_epochs for member in members))
    curves = [member.history[name] for member in members if member.history[name].size]
    if not curves:
        return []
    mean = np.mean([curve[np.minimum(epochs, len(curve) - 1)] for curve in curves], axis=0)
    return [float(error) for error in mean]
