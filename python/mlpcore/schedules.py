"""Schedules of the learning rate: its course over the epochs, as a share of ``learning_rate``.

Every schedule but `Plateau` is called as ``schedule(done, epochs)``, the epochs done and those
there will be at most, and answers with the share; within an epoch of several batches `done` counts
the part that is over. That formula is what the native loops compute. The share of `Plateau` depends
on the course of the training, which only the loops know: it can't be called.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mlpcore.checks import real_number, whole_number

__all__ = ["Constant", "Cosine", "OneCycle", "Plateau", "Schedule", "Step"]


class Schedule:
    """What all schedules are: what `mlpcore.train` takes for ``schedule``."""

    def _native(self) -> dict[str, Any]:
        raise NotImplementedError


def as_native(schedule: Schedule) -> dict[str, Any]:
    """The schedule as the native loops take it."""
    none = {"factor": 1.0, "every": 1.0, "start": 1.0, "warmup": 0.0, "final": 0.0}
    return none | schedule._native()


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate in all epochs."""

    def __call__(self, done: float, epochs: int) -> float:
        return 1.0

    def _native(self) -> dict[str, Any]:
        return {"kind": "constant"}


@dataclass(frozen=True)
class Step(Schedule):
    """``factor^floor(done / every)``: the rate is multiplied by `factor` every so many epochs.

    Parameters
    ----------
    every : int
        Epochs, at least 1.
    factor : float
        Above 0.

    Raises
    ------
    ValueError, TypeError
        If a parameter is no such number; the message names it.
    """

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        whole_number("every", self.every, least=1)
        real_number("factor", self.factor, positive=True)

    def __call__(self, done: float, epochs: int) -> float:
        return float(self.factor ** math.floor(done / self.every))

    def _native(self) -> dict[str, Any]:
        return {"kind": "step", "every": float(self.every), "factor": float(self.factor)}


@dataclass(frozen=True)
class Cosine(Schedule):
    """``final + (1 - final) (1 + cos(pi done / epochs)) / 2``: half a cosine, from 1 down.

    Parameters
    ----------
    final : float
        The share after the last epoch, at least 0.

    Raises
    ------
    ValueError, TypeError
        If `final` is no such number.

    References
    ----------
    Loshchilov and Hutter, SGDR: Stochastic gradient descent with warm restarts, 2017, equation 5.
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        real_number("final", self.final)

    def __call__(self, done: float, epochs: int) -> float:
        return _between(1.0, self.final, min(done / max(epochs, 1), 1.0))

    def _native(self) -> dict[str, Any]:
        return {"kind": "cosine", "final": float(self.final)}


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from `start` within the part `warmup` of all epochs, then down to `final`.

    Each by half a cosine; at the top the share is 1.

    Parameters
    ----------
    warmup : float
        Above 0 and below 1.
    start : float
        The share at first, above 0.
    final : float
        The share after the last epoch, at least 0.

    Raises
    ------
    ValueError, TypeError
        If a parameter is no such number; the message names it.

    References
    ----------
    Smith and Topin, Super-convergence: Very fast training of neural networks using large learning
    rates, 2018.
    """

    warmup: float = 0.3
    start: float = 0.04
    final: float = 1e-4

    def __post_init__(self) -> None:
        real_number("warmup", self.warmup, positive=True, below=1)
        real_number("start", self.start, positive=True)
        real_number("final", self.final)

    def __call__(self, done: float, epochs: int) -> float:
        progress = min(done / max(epochs, 1), 1.0)
        if progress < self.warmup:
            return _between(self.start, 1.0, progress / self.warmup)
        return _between(1.0, self.final, (progress - self.warmup) / (1 - self.warmup))

    def _native(self) -> dict[str, Any]:
        return {
            "kind": "one_cycle",
            "warmup": float(self.warmup),
            "start": float(self.start),
            "final": float(self.final),
        }


@dataclass(frozen=True)
class Plateau(Schedule):
    """The rate is multiplied by `factor` when `patience` epochs brought no improvement.

    An improvement is one by more than the ``min_delta`` of `mlpcore.train`: of its ``metric``, or
    else of the validation error, or of the objective without validation data. The epochs are
    counted from the last improvement or reduction.

    Parameters
    ----------
    patience : int
        Epochs, at least 1.
    factor : float
        Above 0 and below 1.

    Raises
    ------
    ValueError, TypeError
        If a parameter is no such number; the message names it.
    """

    patience: int = 20
    factor: float = 0.5

    def __post_init__(self) -> None:
        whole_number("patience", self.patience, least=1)
        real_number("factor", self.factor, positive=True, below=1)

    def _native(self) -> dict[str, Any]:
        return {"kind": "plateau", "every": float(self.patience), "factor": float(self.factor)}


def _between(a: float, b: float, part: float) -> float:
    return b + 0.5 * (a - b) * (1 + math.cos(math.pi * part))
