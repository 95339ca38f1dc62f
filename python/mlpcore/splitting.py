"""Splitting samples off for validation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore.checks import real_number

__all__ = ["class_labels", "split_off"]


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
        return T.reshape(-1)
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
