"""What is measured: the cases, and which quantities each of them is measured on.

To add a case, add a line to `CASES` or `TRAINING_CASES`. To add a quantity, add it to `QUANTITIES`
and write the method of that name in the contestants that can do it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

# In the order of the table. All but the last are functions of (w, X, T) alone.
QUANTITIES = ("gradient", "jacobian", "hessian_diagonal", "weight_jacobian", "train")

# weight_jacobian has N K W numbers. Above this the row measures the page faults of one huge
# allocation, and the peers, which need several of them, run out of memory.
LARGEST_RESULT = 64 * 2**20  # bytes

# BackPACK takes 1.5 s on 16-64-64-64-4 already; the widest network would take minutes.
LARGEST_HESSIAN_DIAGONAL = 50_000  # weights


@dataclass(frozen=True)
class Training:
    """How the `train` rows train: Adam, `epochs` passes a call, the time given for one pass."""

    epochs: int
    batch_size: int | None  # None is the full batch
    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


@dataclass(frozen=True)
class Case:
    layers: tuple[int, ...]
    n_samples: int
    output: str = "linear"
    hidden: str = "tanh"
    training: Training | None = None
    dtype: str | None = None  # None: as the command line says

    @property
    def n_weights(self) -> int:
        return sum((a + 1) * b for a, b in pairwise(self.layers))

    @property
    def name(self) -> str:
        parts = ["-".join(map(str, self.layers)), f"N={self.n_samples}"]
        if self.output != "linear":
            parts.append(self.output)
        if self.training is not None:
            batch = self.training.batch_size
            parts.append("full batch" if batch is None else f"batch {batch}")
        return ", ".join(parts)

    def measures(self, quantity: str) -> bool:
        if self.training is not None:
            return quantity == "train"
        if quantity == "hessian_diagonal":
            return self.n_weights <= LARGEST_HESSIAN_DIAGONAL
        if quantity == "weight_jacobian":
            return 8 * self.n_samples * self.layers[-1] * self.n_weights <= LARGEST_RESULT
        return quantity != "train"

    def problem(self, dtype: str) -> Problem:
        return Problem.make(self, self.dtype or dtype)


CASES = (
    Case((1, 10, 1), 100),
    Case((8, 50, 1), 1000),
    Case((8, 50, 1), 8192),
    Case((64, 100, 10), 1797, output="softmax"),
    Case((16, 64, 64, 64, 4), 1024),
    Case((784, 256, 128, 10), 128, output="softmax"),
)

TRAINING_CASES = (
    Case((4, 32, 16, 4), 10_000, training=Training(epochs=20, batch_size=None), dtype="float32"),
    Case((8, 50, 1), 8192, training=Training(epochs=3, batch_size=128)),
)


@dataclass(frozen=True)
class Problem:
    """A case with its numbers. Contestants convert them before the clock starts."""

    case: Case
    dtype: str
    w: Array  # (W,) in the order of torch.nn.Linear: weight row-major, bias, layer by layer
    X: Array  # (N, D)
    T: Array  # (N, K), one-hot for softmax
    labels: NDArray[np.int64] | None  # (N,) for softmax

    @classmethod
    def make(cls, case: Case, dtype: str) -> Problem:
        rng = np.random.default_rng(20060817)
        n_inputs, n_outputs, n = case.layers[0], case.layers[-1], case.n_samples
        blocks = []
        for fan_in, fan_out in pairwise(case.layers):
            blocks.append(rng.normal(0, fan_in**-0.5, fan_in * fan_out))
            blocks.append(rng.normal(0, 0.1, fan_out))
        X = rng.normal(size=(n, n_inputs))
        labels = None
        if case.output == "softmax":
            labels = rng.integers(0, n_outputs, n)
            T = np.eye(n_outputs)[labels]
        else:  # something to learn, and noise
            directions = rng.normal(0, n_inputs**-0.5, (n_inputs, n_outputs))
            T = np.sin(2 * X @ directions) + rng.normal(0, 0.1, (n, n_outputs))
        w, X, T = (np.ascontiguousarray(a, dtype) for a in (np.concatenate(blocks), X, T))
        return cls(case, dtype, w, X, T, labels)

    def in_float64(self) -> Problem:
        """The same numbers (rounded to this problem's dtype) held in float64."""
        w, X, T = (a.astype("float64") for a in (self.w, self.X, self.T))
        return Problem(self.case, "float64", w, X, T, self.labels)

    def unpack(self, w: Array | None = None) -> list[tuple[Array, Array]]:
        """[(W1, b1), (W2, b2), ...] as views; W is (n_out, n_in)."""
        w = self.w if w is None else w
        pairs, start = [], 0
        for fan_in, fan_out in pairwise(self.case.layers):
            middle, stop = start + fan_in * fan_out, start + (fan_in + 1) * fan_out
            pairs.append((w[start:middle].reshape(fan_out, fan_in), w[middle:stop]))
            start = stop
        return pairs

    def result_shape(self, quantity: str) -> tuple[int, ...]:
        n, k, d = self.case.n_samples, self.case.layers[-1], self.case.layers[0]
        return {
            "jacobian": (n, k, d),
            "weight_jacobian": (n, k, self.case.n_weights),
        }.get(quantity, (self.case.n_weights,))
