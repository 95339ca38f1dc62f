"""Training from many random starts at once, and the choice of the number of hidden units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from mlpcore.checks import as_float64, whole_number
from mlpcore.network import InitScheme, Network, activation_names, check_network
from mlpcore.regularizers import as_penalty
from mlpcore.results import Table, was_interrupted
from mlpcore.splitting import split_samples
from mlpcore.training import EnsembleTrainResult, Optimizer, TrainResult, best_error, train

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SweepResult", "multistart", "sweep"]

Array = NDArray[Any]

# An iteration of lm costs some W^2 for each sample and W^3 / 6 beside, and saves hundreds.
MOST_WEIGHTS_FOR_LM = 200


def multistart(
    net: Network,
    X: ArrayLike,
    T: ArrayLike,
    X_val: ArrayLike | None = None,
    T_val: ArrayLike | None = None,
    *,
    starts: int = 10,
    seed: int | None = None,
    scheme: InitScheme = "auto",
    optimizer: Optimizer | None = None,
    epochs: int = 200,
    **options: Any,
) -> EnsembleTrainResult:
    """Train a network from several random starts, side by side.

    The error of a network has many minima (PRML 5.2.1); the lowest of several is found by several
    starts. ``result.best()`` is the one with the lowest validation error, or training error
    without validation data.

    Parameters
    ----------
    net, X, T, X_val, T_val, epochs, **options
        As for `mlpcore.train`. All starts have the same validation data.
    optimizer : str, optional
        As for `mlpcore.train`; None is lm for networks of up to 200 weights, lbfgs for larger ones.
    starts : int
        Networks to train.
    seed : int, optional
        Start s begins at ``net.init(numpy.random.default_rng([seed, s]), scheme)``, whatever the
        number of starts, and shuffles with `seed` + s; None takes a seed from the system.
    scheme : str
        Of `Network.init`.

    Returns
    -------
    EnsembleTrainResult

    Raises
    ------
    ValueError, TypeError
        If an argument is unusable; the message names it.

    Examples
    --------
    >>> import mlpcore, numpy as np
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> net = mlpcore.Network((1, 3, 1))
    >>> result = mlpcore.multistart(net, X, np.sin(4 * X), starts=5, seed=0)
    >>> len(result), bool(result.best().history["training_error"].min() < 1e-3)
    (5, True)
    """
    check_network(net)
    seed = _seed(seed)
    w = initial_weights(net, whole_number("starts", starts, least=1), seed, scheme)
    if optimizer is None:
        optimizer = "lm" if net.n_weights <= MOST_WEIGHTS_FOR_LM else "lbfgs"
    result: EnsembleTrainResult = train(
        net,
        w,
        X,
        T,
        X_val,
        T_val,
        optimizer=optimizer,
        epochs=epochs,
        seed=seed,
        **options,
    )
    return result


def initial_weights(net: Network, starts: int, seed: int, scheme: InitScheme = "auto") -> Array:
    """The weights (S, W) at which the starts of `multistart` begin."""
    return np.stack([net.init(np.random.default_rng([seed, s]), scheme) for s in range(starts)])


@dataclass(frozen=True, repr=False, eq=False)
class SweepResult(Table):
    """What `sweep` gives back: every network of every size.

    Attributes
    ----------
    hidden : tuple of tuple of int
        The hidden layers of each size that was trained, also of one that was interrupted.
    networks : tuple of Network
        One for each size.
    results : tuple of EnsembleTrainResult
        For each size the trainings of its starts.
    training_errors : (n_sizes, starts) array
        The mean training error of a sample at the best epoch of each network; NaN for one that
        an interrupt did not let begin.
    validation_errors : (n_sizes, starts) array or None
        The same on the validation data; None without them.
    validation_rows : (n_val,) array of int or None
        The rows that were split off for validation.
    """

    hidden: tuple[tuple[int, ...], ...]
    networks: tuple[Network, ...]
    results: tuple[EnsembleTrainResult, ...]
    training_errors: Array
    validation_errors: Array | None
    validation_rows: Array | None = None

    def _errors(self) -> Array:
        """Those that the networks are chosen by, infinite where they are not finite."""
        errors = self.training_errors if self.validation_errors is None else self.validation_errors
        return np.where(np.isfinite(errors), errors, np.inf)

    def _chosen(self) -> tuple[int, int]:
        errors = self._errors()
        if not np.isfinite(errors).any():
            raise ValueError("no network was trained to a finite error")
        size, start = np.unravel_index(np.argmin(errors), errors.shape)
        return int(size), int(start)

    @property
    def best_hidden(self) -> tuple[int, ...]:
        """The hidden layers of the network with the lowest error."""
        return self.hidden[self._chosen()[0]]

    def best(self) -> tuple[Network, TrainResult]:
        """The network with the lowest validation error, or training error without validation data.

        Raises
        ------
        ValueError
            If no network was trained to a finite error.
        """
        size, start = self._chosen()
        return self.networks[size], self.results[size][start]

    def plot(
        self, ax: Axes | None = None, *, rms_unit: float | None = None, unit: str | None = None
    ) -> Axes:
        """`mlpcore.plots.sweep` of this result: the error of each start by size.

        Parameters
        ----------
        ax, rms_unit, unit
            As for `mlpcore.plots.sweep`.

        Returns
        -------
        ax : matplotlib Axes

        Raises
        ------
        ImportError, TypeError, ValueError
            As from `mlpcore.plots.sweep`.
        """
        from mlpcore import plots

        return plots.sweep(self, ax, rms_unit=rms_unit, unit=unit)

    def _rows(self) -> list[tuple[str, str]]:
        kind = "training" if self.validation_errors is None else "validation"
        errors = self._errors()
        rows = [("hidden units", f"lowest and median {kind} error of a sample")]
        rows += [
            (size_name(size), f"{of_size.min():.6g}, {np.median(of_size):.6g}")
            for size, of_size in zip(self.hidden, errors, strict=True)
        ]
        if np.isfinite(errors).any():
            rows.append(("best", size_name(self.best_hidden)))
            rows.append(("seconds", f"{sum(r[0].seconds for r in self.results):.3g}"))
        return rows

    def _title(self) -> str:
        starts = self.training_errors.shape[1]
        return f"SweepResult of {len(self.hidden)} sizes, {starts} starts each"


def size_name(size: tuple[int, ...]) -> str:
    """``8`` or ``8-4``: the hidden layers as words."""
    return "-".join(map(str, size)) or "none"


def sweep(
    X: ArrayLike,
    T: ArrayLike,
    X_val: ArrayLike | None = None,
    T_val: ArrayLike | None = None,
    *,
    hidden: Iterable[int | Sequence[int]] = range(1, 11),
    starts: int = 30,
    activation: str | Sequence[str] = "tanh",
    output: str = "linear",
    dtype: DTypeLike = "float64",
    seed: int | None = None,
    scheme: InitScheme = "auto",
    validation_fraction: float | None = None,
    optimizer: Optimizer | None = None,
    epochs: int = 200,
    **options: Any,
) -> SweepResult:
    """Train networks of several sizes from many starts each, and choose by the validation error.

    This is the experiment of PRML figure 5.10: the error on data that the networks did not see,
    against the number of hidden units M, a dot for each start (``result.plot()``).

    Parameters
    ----------
    X, T
        Inputs (N, D) and targets: (N, K), (N,), or class labels (N,) from 0 for softmax.
    X_val, T_val : array-like, optional
        Validation data.
    hidden : iterable of int or of sequences of int
        The sizes: M, or (M1, M2, ...) for several hidden layers.
    starts : int
        Networks of each size.
    activation, output, dtype
        `hidden`, `output` and `dtype` of `mlpcore.Network`; a sequence of activations needs sizes
        that all have as many hidden layers as it has names.
    seed : int, optional
        As for `multistart`; also of the split.
    validation_fraction : float, optional
        Split off this share of the samples for validation, as `mlpcore.train` does.
    scheme, optimizer, epochs, **options
        As for `multistart`.

    Returns
    -------
    SweepResult
        After Ctrl-C of the sizes that were trained until then, the one under way among them with
        the weights that its networks had reached, if any of them has a finite error.

    Raises
    ------
    ValueError, TypeError
        If an argument is unusable; the message names it.

    Examples
    --------
    >>> import mlpcore, numpy as np
    >>> x = np.linspace(-1, 1, 40)[:, None]
    >>> result = mlpcore.sweep(x, np.sin(4 * x), hidden=(1, 2, 3), starts=5, seed=0)
    >>> result.training_errors.shape
    (3, 5)
    """
    seed = _seed(seed)
    starts = whole_number("starts", starts, least=1)
    if not isinstance(hidden, Iterable):
        raise TypeError(f"hidden is {hidden!r}, expected a sequence of sizes, as ({hidden!r},)")
    sizes = tuple(_layers(i, size) for i, size in enumerate(hidden))
    if not sizes:
        raise ValueError("hidden is empty, expected at least one size")
    activations = [activation_names("activation", activation, len(size)) for size in sizes]
    n_inputs, n_outputs = _n_inputs(X), _n_outputs(T, output)
    rows = None
    if validation_fraction is not None:
        for name, given in (("X_val", X_val), ("T_val", T_val)):
            if given is not None:
                raise ValueError(f"validation_fraction came with {name}, expected one of them")
        weight = options.pop("sample_weight", None)
        X, T, options["sample_weight"], X_val, T_val, rows = split_samples(
            output, X, T, weight, validation_fraction, seed, starts
        )
    networks = [
        Network((n_inputs, *size, n_outputs), names, output, dtype)
        for size, names in zip(sizes, activations, strict=True)
    ]
    for net in networks:
        as_penalty(net, 0.0, options.get("regularizer"))  # checks that it fits this size
    results: list[EnsembleTrainResult] = []
    for net in networks:
        result = multistart(
            net,
            X,
            T,
            X_val,
            T_val,
            starts=starts,
            seed=seed,
            scheme=scheme,
            optimizer=optimizer,
            epochs=epochs,
            **options,
        )
        interrupted = was_interrupted(result)
        if not interrupted or any(np.isfinite(best_error(member)) for member in result):
            results.append(result)
        if interrupted:
            break
    done = len(results)
    return SweepResult(
        hidden=sizes[:done],
        networks=tuple(networks[:done]),
        results=tuple(results),
        training_errors=_errors(results, starts, "training_error"),
        validation_errors=None if X_val is None else _errors(results, starts, "validation_error"),
        validation_rows=rows,
    )


def _errors(results: Sequence[EnsembleTrainResult], starts: int, name: str) -> Array:
    of_best = [
        [float(m.history[name][m.best_epoch]) if m.history[name].size else np.nan for m in result]
        for result in results
    ]
    return np.array(of_best, np.float64).reshape(len(results), starts)


def _seed(seed: int | None) -> int:
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint32)[0])
    return whole_number("seed", seed, least=0)


def _layers(i: int, size: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(size, Sequence):
        return tuple(whole_number(f"hidden[{i}]", units, least=1) for units in size)
    return (whole_number(f"hidden[{i}]", size, least=1),)


def _shape(name: str, array: ArrayLike) -> tuple[int, ...]:
    try:
        return np.shape(array)
    except ValueError:  # rows of several lengths, which the core refuses by name
        return as_float64(name, array).shape


def _n_inputs(X: ArrayLike) -> int:
    shape = _shape("X", X)
    if len(shape) != 2:
        raise ValueError(f"X has shape {shape}, expected (N, D)")
    return int(shape[1])


def _n_outputs(T: ArrayLike, output: str) -> int:
    shape = _shape("T", T)
    if len(shape) == 2:
        return int(shape[1])
    if len(shape) != 1 or shape[0] == 0:
        raise ValueError(f"T has shape {shape}, expected (N, K) or (N,)")
    if output != "softmax":
        return 1
    labels = np.asarray(T)
    if labels.dtype.kind not in "biuf":
        raise TypeError(f"T has dtype {labels.dtype}, expected class labels from 0")
    # Those that are none, such as 1.5 or NaN, are named where all labels are checked.
    return max(int(np.max(labels, where=np.isfinite(labels), initial=0)), 0) + 1
