"""The clock: samples of several jobs, taken in turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

Job = Callable[[], object]


@dataclass(frozen=True)
class Settings:
    samples: int = 21  # of each job
    least_samples: int = 5  # of a job that is over its budget
    sample_time: float = 5e-3  # seconds that one sample lasts at least
    # Seconds of calls off the clock just before. A core that was idle takes some milliseconds to
    # reach its clock rate with wide vectors; those of a virtual machine that were idle may share
    # one of its host for a tenth of a second, and two threads are then as slow as one.
    warm_up: float = 0.2
    budget: float = 3.0  # seconds a job, beyond which it gets only its least samples
    patience: float = 60.0  # ... and beyond which it gets no more
    # Seconds before each sample. The threads of the last job must have gone to sleep: those of
    # OpenBLAS keep a core busy for some 20 ms after their work, those of OpenMP up to 200.
    pause: float = 0.25


# Seconds a call from which on what comes just before no longer matters: a tenth of a second at half
# the rate is then 2.5 %.
LONG = 2.0

QUICK = Settings(samples=5, least_samples=3, budget=0.5, warm_up=0.05)


@dataclass
class Samples:
    """Seconds a call, a number a sample."""

    calls: int  # a sample
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        low, high = np.percentile(self.seconds, [25, 75])
        return float(low), float(high)

    @property
    def spread(self) -> float:
        """The interquartile range."""
        low, high = self.quartiles
        return high - low


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def sample(run: Job, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def warm_up(run: Job, seconds: float) -> None:
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        run()


def calibrate(run: Job, settings: Settings) -> int:
    """How many calls make a sample."""
    calls = 1
    while (seconds := sample(run, calls) * calls) < settings.sample_time:
        calls = max(calls + 1, min(10 * calls, int(1.2 * calls * settings.sample_time / seconds)))
    return calls


def best_of_three(run: Job, settings: Settings) -> float:
    """Seconds a call in the best of three samples, warm; of one call alone where it is slow.

    For the choice among several ways to the same: as `alternate` takes samples, but in a row.
    """
    with no_garbage_collection():
        time.sleep(settings.pause)
        first = sample(run, 1)
        if first > LONG / 4:
            return first
        warm_up(run, settings.warm_up)
        calls = calibrate(run, settings)
        return min(sample(run, calls) for _ in range(3))


def alternate(jobs: dict[str, Job], settings: Settings) -> dict[str, Samples]:
    """Time the jobs in turns, so that whatever the machine does meets all of them alike.

    Each sample follows calls off the clock, which bring the job's own data, its threads and the
    clock rate back, unless a call is so long that this does not matter.
    """
    with no_garbage_collection():
        taken = {name: Samples(calibrate(run, settings)) for name, run in jobs.items()}
        for turn in range(settings.samples):
            for name, run in jobs.items():
                samples = taken[name]
                spent = samples.calls * sum(samples.seconds)
                if spent > settings.patience:
                    continue
                if turn >= settings.least_samples and spent > settings.budget:
                    continue
                time.sleep(settings.pause)
                if not samples.seconds or samples.median < LONG:
                    warm_up(run, settings.warm_up)
                samples.seconds.append(sample(run, samples.calls))
    return taken
