"""Splitting samples off for validation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore.checks import as_numbers, real_number

__all__ = ["Samples", "class_labels", "split_off", "split_samples"]


class Samples(NamedTuple):
    """Samples to train on and to validate on, as `split_samples` parts them."""

    X: NDArray[Any]
    T: NDArray[Any]
    sample_weight: NDArray[Any] | None
    X_val: NDArray[Any]
    T_val: NDArray[Any]
    validation_rows: NDArray[np.intp]


def split_samples(
    output: str,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None,
    fraction: float,
    seed: int,
    networks: int | None = None,
) -> Samples:
    """Split off the samples for the validation, the classes in equal shares.

    Parameters
    ----------
    output : str
        Of the network.
    X, T : (N, D) and (N, K) or (N,) array-like
    sample_weight : (N,) array-like, or (S, N) for an ensemble, optional
    fraction, seed
        As for `split_off`.
    networks : int, optional
        S, the networks of an ensemble.

    Raises
    ------
    ValueError, TypeError
        If the arrays don't fit together or are no numbers, or `split_off` refuses.
    """
    X, T = as_numbers("X", X), as_numbers("T", T)
    if X.ndim != 2 or T.ndim not in (1, 2) or len(T) != len(X):
        raise ValueError(
            f"validation_fraction came with X of shape {X.shape} and T of shape {T.shape}, "
            f"expected (N, D) and (N, K) or (N,)"
        )
    if sample_weight is not None:
        sample_weight = as_numbers("sample_weight", sample_weight)
        shapes = [(len(X),)] if networks is None else [(len(X),), (networks, len(X))]
        if sample_weight.shape not in shapes:
            raise ValueError(
                f"sample_weight has shape {sample_weight.shape}, expected "
                f"{' or '.join(map(str, shapes))}"
            )
    kept, off = split_off(len(X), fraction, seed, class_labels(output, T))
    weight = None if sample_weight is None else sample_weight[..., kept]
    return Samples(X[kept], T[kept], weight, X[off], T[off], off)


def split_off(
    n: int, fraction: float, seed: int, labels: ArrayLike | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row numbers, sorted, of the samples that stay and of those that are split off.

    Parameters
    ----------
    n : int
        Samples.
    fraction : float
        The share to split off, above 0 and below 1; at least one sample goes, at least one stays.
    seed : int
    labels : (n,) array-like, optional
        Class labels. Each class then gives its share, rounded so that the shares add up (largest
        remainders); a class of one sample stays.

    Raises
    ------
    ValueError
        If `fraction` is out of range, there are fewer than two samples, or no class has two.
    """
    share = real_number("validation_fraction", fraction, positive=True, below=1)
    if n < 2:
        raise ValueError(
            f"validation_fraction came with {n} samples, expected at least 2 to split some off"
        )
    size = int(np.clip(round(share * n), 1, n - 1))
    random = np.random.default_rng(seed)
    if labels is None:
        off = random.permutation(n)[:size]
    else:
        off = _stratified(np.asarray(labels), size, random)
        if len(off) == 0:
            raise ValueError(
                "validation_fraction came with one sample of each class, expected a class of at "
                "least 2 to split some off"
            )
    off = np.sort(off)
    return np.setdiff1d(np.arange(n), off), off


def class_labels(output: str, T: NDArray[Any]) -> NDArray[Any] | None:
    """The class (N,) of each sample, by targets for these outputs; None where there is not one."""
    if output == "softmax":
        return T.argmax(axis=1) if T.ndim == 2 else T
    if output == "sigmoid" and (T.ndim == 1 or T.shape[1] == 1):
        # Probabilities are targets as well, but no classes.
        return T.reshape(-1) if ((T == 0) | (T == 1)).all() else None
    return None


def _stratified(labels: NDArray[Any], size: int, random: np.random.Generator) -> NDArray[np.intp]:
    _, members, counts = np.unique(labels, return_inverse=True, return_counts=True)
    quotas = size * counts / len(labels)
    take = np.minimum(np.floor(quotas).astype(np.intp), counts - 1)
    # What is missing goes to the largest remainders, as far as a class can still give.
    while take.sum() < size and (take < counts - 1).any():
        remainder = np.where(take < counts - 1, quotas - take, -np.inf)
        take[np.argmax(remainder)] += 1
    order = random.permutation(len(labels))
    chosen = [order[members.reshape(-1)[order] == c][: take[c]] for c in range(len(counts))]
    return np.concatenate(chosen)
