"""What is measured: the cases, and which quantities each of them is measured on.

To add a case, add a line to `CASES` or `TRAINING_CASES`. To add a quantity, add it to `QUANTITIES`
and write the method of that name in the contestants that can do it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

# In the order of the table. All but the trainings are functions of (w, X, T) alone.
QUANTITIES = (
    "gradient",
    "jacobian",
    "hessian_diagonal",
    "hessian",
    "gauss_newton",
    "hessian_vector_product",
    "hessian_vector_products",
    "weight_jacobian",
    "per_sample_gradient",
    "train",
    "train_ensemble",
)

# Those with so large a result, N K W and N W numbers, that a plain copy of it is the measure.
COPIED = ("weight_jacobian", "per_sample_gradient")

# Matrices of W^2 numbers.
HESSIANS = ("hessian", "gauss_newton")

# BackPACK takes 1.5 s on 16-64-64-64-4 already; the widest network would take minutes.
LARGEST_HESSIAN_DIAGONAL = 50_000  # weights

# W^2 numbers: 800 MB. The widest network's would be 440 GB.
LARGEST_HESSIAN = 10_000  # weights

# Multiply-adds of J^T J, N K W^2 / 2, above which a peer takes 20 s and more a call.
LARGEST_HESSIAN_BY_PEERS = 2e11

# Of `COPIED`: peers need several times as much, and take seconds to minutes to get it.
LARGEST_RESULT_BY_PEERS = 1.5e9  # bytes in float64

# Of a block of Hessian-vector products.
VECTORS = 50


@dataclass(frozen=True)
class Training:
    """How the `train` rows train: Adam, `epochs` passes a call, the time given for one pass."""

    epochs: int
    batch_size: int | None  # None is the full batch
    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def steps(self, n: int) -> int:
        """Of an epoch over n samples."""
        return 1 if self.batch_size is None else math.ceil(n / self.batch_size)


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
        if self.training is not None or quantity.startswith("train"):
            return quantity == "train" and self.training is not None
        if quantity == "hessian_diagonal":
            return self.n_weights <= LARGEST_HESSIAN_DIAGONAL
        if quantity in HESSIANS:
            return self.n_weights <= LARGEST_HESSIAN
        return True

    def measures_peers(self, quantity: str) -> bool:
        """Whether their time is bearable. Where it isn't, ours are checked and timed alone."""
        if quantity in COPIED:
            return 8 * math.prod(self.result_shape(quantity)) <= LARGEST_RESULT_BY_PEERS
        by_rows = self.n_samples * self.layers[-1] * self.n_weights**2 / 2
        return quantity not in HESSIANS or by_rows <= LARGEST_HESSIAN_BY_PEERS

    def result_shape(self, quantity: str) -> tuple[int, ...]:
        n, k, d, w = self.n_samples, self.layers[-1], self.layers[0], self.n_weights
        shapes: dict[str, tuple[int, ...]] = {
            "jacobian": (n, k, d),
            "hessian": (w, w),
            "gauss_newton": (w, w),
            "hessian_vector_products": (VECTORS, w),
            "weight_jacobian": (n, k, w),
            "per_sample_gradient": (n, w),
        }
        return shapes.get(quantity, (w,))

    def problem(self, dtype: str) -> Problem:
        return Problem.make(self, self.dtype or dtype)


@dataclass(frozen=True)
class EnsembleCase:
    """One regression by networks 1-M-1 of several widths, each from several starts, all at once.

    It stands for the search for a width and for multi-start: what is timed is the training of all.
    """

    widths: tuple[int, ...]
    starts: int
    n_samples: int
    training: Training
    dtype: str | None = None

    @property
    def members(self) -> tuple[Case, ...]:
        """A case for each width."""
        return tuple(
            Case((1, m, 1), self.n_samples, training=self.training, dtype=self.dtype)
            for m in self.widths
        )

    @property
    def name(self) -> str:
        n = len(self.widths) * self.starts
        return f"{n} nets 1-M-1, M={self.widths[0]}..{self.widths[-1]}, N={self.n_samples}"

    def measures(self, quantity: str) -> bool:
        return quantity == "train_ensemble"

    def measures_peers(self, quantity: str) -> bool:
        return True

    def result_shape(self, quantity: str) -> tuple[int, ...]:
        return (self.starts * sum(case.n_weights for case in self.members),)

    def problem(self, dtype: str) -> EnsembleProblem:
        data = self.members[0].problem(dtype)
        members = [data.with_networks(case, self.starts) for case in self.members]
        return EnsembleProblem(self, self.dtype or dtype, tuple(members))


CASES = (
    Case((1, 10, 1), 100),
    Case((7, 47, 1), 1009),
    Case((8, 50, 1), 1000),
    Case((8, 50, 1), 8192),
    Case((17, 65, 3), 1001),
    Case((60, 101, 10), 1797, output="softmax"),
    Case((64, 100, 10), 1797, output="softmax"),
    Case((16, 64, 64, 64, 4), 1024),
    Case((784, 256, 128, 10), 128, output="softmax"),
)

TRAINING_CASES = (
    Case((4, 32, 16, 4), 10_000, training=Training(epochs=20, batch_size=None), dtype="float32"),
    Case((8, 50, 1), 8192, training=Training(epochs=3, batch_size=128)),
    EnsembleCase(tuple(range(1, 11)), 30, 50, Training(epochs=200, batch_size=None)),
)


@dataclass(frozen=True)
class Problem:
    """A case with its numbers. Contestants convert them before the clock starts."""

    case: Case
    dtype: str
    w: Array  # (W,) in the order of torch.nn.Linear: weight row-major, bias, layer by layer;
    #           (S, W) in an ensemble
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

    def vectors(self, m: int = VECTORS) -> Array:
        """(m, W), to be multiplied by the Hessian: the same numbers in both types."""
        rng = np.random.default_rng(1994)
        return rng.normal(size=(m, self.case.n_weights)).astype("float32").astype(self.dtype)

    def unpack(self, w: Array | None = None) -> list[tuple[Array, Array]]:
        """[(W1, b1), (W2, b2), ...] as views; W is (..., n_out, n_in)."""
        w = self.w if w is None else w
        pairs, start = [], 0
        for fan_in, fan_out in pairwise(self.case.layers):
            middle, stop = start + fan_in * fan_out, start + (fan_in + 1) * fan_out
            W = w[..., start:middle].reshape(*w.shape[:-1], fan_out, fan_in)
            pairs.append((W, w[..., middle:stop]))
            start = stop
        return pairs

    def with_networks(self, case: Case, n: int) -> Problem:
        """The same data with n networks of another case, of random weights."""
        w = np.random.default_rng(case.n_weights).normal(size=(n, case.n_weights))
        return Problem(case, self.dtype, w.astype(self.dtype), self.X, self.T, self.labels)


@dataclass(frozen=True)
class EnsembleProblem:
    """An ensemble case with its numbers: one problem a width, its w of shape (S, W)."""

    case: EnsembleCase
    dtype: str
    members: tuple[Problem, ...]

    @property
    def w(self) -> Array:
        """All the weights in a row."""
        return np.concatenate([member.w.ravel() for member in self.members])

    def in_float64(self) -> EnsembleProblem:
        members = tuple(member.in_float64() for member in self.members)
        return EnsembleProblem(self.case, "float64", members)

    def padded(self) -> Problem:
        """All networks as one ensemble of the widest, for those who like one large computation.

        The units that a narrower network lacks have zero weights. tanh(0) = 0, so the derivatives
        by these weights are 0 and Adam leaves them where they are: the same trainings.
        """
        widest = max(self.members, key=lambda member: member.case.n_weights)
        w = np.zeros((self.case.starts * len(self.members), widest.case.n_weights), self.dtype)
        problem = Problem(widest.case, self.dtype, w, widest.X, widest.T, None)
        for stack, member in zip(np.split(w, len(self.members)), self.members, strict=True):
            for whole, part in zip(problem.unpack(stack), member.unpack(), strict=True):
                for to, array in zip(whole, part, strict=True):
                    to[tuple(slice(n) for n in array.shape)] = array
        return problem

    def unpad(self, w: Array) -> Array:
        """The weights of the networks of `padded`, in the order of `self.w`."""
        parts = []
        padded = self.padded()
        for stack, member in zip(np.split(w, len(self.members)), self.members, strict=True):
            narrow = np.empty_like(member.w)
            for whole, part in zip(padded.unpack(stack), member.unpack(narrow), strict=True):
                for array, to in zip(whole, part, strict=True):
                    to[...] = array[tuple(slice(n) for n in to.shape)]
            parts.append(narrow.ravel())
        return np.concatenate(parts)


def in_a_row(stacks: list[Array]) -> Array:
    """The weights of the ensembles of each width, in the order of `EnsembleProblem.w`."""
    return np.concatenate([np.asarray(w).ravel() for w in stacks])
