"""A fitted network with all that it takes to use it on another table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpcore import __version__
from mlpcore.cli.problem import Problem
from mlpcore.cli.report import UserError
from mlpcore.network import Network
from mlpcore.persistence import load, save
from mlpcore.scaling import Standardizer, unscale_jacobian
from mlpcore.tables import Label

__all__ = ["Model", "load_model", "save_model"]

Array = NDArray[np.float64]
_CELLS = 2**21  # of a Jacobian at a time


@dataclass(frozen=True)
class Model:
    """A network of standardized inputs, and the names and scales of the data."""

    net: Network
    w: Array
    inputs: Standardizer
    targets: Standardizer | None  # None for a classification
    input_names: tuple[str, ...]
    target: str
    unit: str
    labels: tuple[Label, ...]
    input_columns: tuple[int, ...]  # in the table, from 1
    target_column: int
    n_columns: int
    has_header: bool
    left_out: tuple[str, ...]

    @classmethod
    def of(
        cls,
        problem: Problem,
        net: Network,
        w: Array,
        inputs: Standardizer,
        targets: Standardizer | None,
    ) -> Model:
        """The model that a network is for a problem."""
        return cls(
            net=net,
            w=w,
            inputs=inputs,
            targets=targets,
            input_names=problem.inputs,
            target=problem.target,
            unit=problem.unit,
            labels=problem.labels,
            input_columns=problem.input_columns,
            target_column=problem.target_column,
            n_columns=problem.n_columns,
            has_header=problem.has_header,
            left_out=problem.left_out,
        )

    def predict(self, X: Array) -> Array:
        """The target (N, 1), or the probability of each class (N, K), for inputs of the table."""
        y = self.net.forward(self.w, self.inputs.transform(X))
        if self.targets is not None:
            with np.errstate(over="ignore"):  # far from the data; predict looks at what comes out
                return self.targets.inverse(y)
        return np.hstack([1 - y, y]) if len(self.labels) == 2 else y

    def jacobian(self, X: Array) -> Array:
        """d target/d input (N, 1, D), or that of each probability (N, K, D), in their units."""
        J = self.net.jacobian(self.w, self.inputs.transform(X))
        with np.errstate(over="ignore", invalid="ignore"):
            if self.targets is not None:
                return unscale_jacobian(J, self.inputs, self.targets)
            J = J / self.inputs.scale
        return np.concatenate([-J, J], axis=1) if len(self.labels) == 2 else J

    def jacobians(self, X: Array) -> Iterator[Array]:
        """`jacobian` of some rows at a time, for tables of any length."""
        step = max(1, _CELLS // (self.net.n_inputs * max(1, len(self.labels))))
        for first in range(0, len(X), step):
            yield self.jacobian(X[first : first + step])


def save_model(path: str | os.PathLike[str], model: Model, problem: Problem, **extras: Any) -> None:
    """Save a model with all that `load_model` needs, and more extras."""
    target: dict[str, Any]
    if model.targets is None:
        target = {"class_labels": list(model.labels)}
    else:
        target = {
            "target_mean": float(model.targets.mean[0]),
            "target_scale": float(model.targets.scale[0]),
        }
    save(
        path,
        model.net,
        model.w,
        task="regression" if model.targets is not None else "classification",
        input_names=list(model.input_names),
        input_units=list(problem.input_units),
        input_mean=model.inputs.mean,
        input_scale=model.inputs.scale,
        target_name=model.target,
        target_unit=model.unit,
        **target,
        input_columns=list(model.input_columns),
        target_column=model.target_column,
        n_columns=model.n_columns,
        has_header=model.has_header,
        left_out=list(model.left_out),
        written_by=f"mlpcore {__version__}",
        **extras,
    )


def load_model(path: str) -> Model:
    """Load what `save_model` has written; an error if it was saved by another hand."""
    net, w, extras = load(path)

    def extra(name: str, fits: Callable[[Any], bool]) -> Any:
        if name not in extras:
            raise UserError(f"{path}: the model does not say {name}: it is none of train or sweep")
        if not fits(extras[name]):
            raise UserError(f"{path}: the model's {name} can't be understood")
        return extras[name]

    def words(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(word, str) for word in value)

    def whole(value: Any) -> bool:
        return type(value) is int and value >= 1

    def one_each_input(value: Any) -> bool:
        return (
            isinstance(value, np.ndarray)
            and value.shape == (net.n_inputs,)
            and value.dtype == np.float64
            and bool(np.isfinite(value).all())
        )

    def finite(value: Any) -> bool:
        return isinstance(value, float) and bool(np.isfinite(value))

    def classes(value: Any) -> bool:
        n = 2 if net.output == "sigmoid" else net.n_outputs
        return (
            isinstance(value, list)
            and len(value) == n >= 2
            and all(isinstance(label, (str, bool, int)) for label in value)
            and len(set(map(str, value))) == n
            and (net.output != "sigmoid" or net.n_outputs == 1)
        )

    task = extra("task", lambda value: value in ("regression", "classification"))
    names = extra("input_names", lambda v: words(v) and len(v) == len(set(v)) == net.n_inputs)
    inputs = Standardizer(
        extra("input_mean", one_each_input),
        extra("input_scale", lambda value: one_each_input(value) and bool((value > 0).all())),
    )
    targets = None
    labels: list[Label] = []
    if task == "regression":
        linear = net.output == "linear" and net.n_outputs == 1
        mean = extra("target_mean", lambda value: linear and finite(value))
        scale = extra("target_scale", lambda value: finite(value) and value > 0)
        targets = Standardizer(np.array([mean]), np.array([scale]))
    else:
        labels = extra("class_labels", lambda value: net.output != "linear" and classes(value))
    n_columns = extra("n_columns", whole)
    target_column = extra("target_column", lambda value: whole(value) and value <= n_columns)
    return Model(
        net=net,
        w=w,
        inputs=inputs,
        targets=targets,
        input_names=tuple(names),
        target=extra("target_name", lambda value: isinstance(value, str)),
        unit=extra("target_unit", lambda value: isinstance(value, str)),
        labels=tuple(labels),
        input_columns=tuple(
            extra(
                "input_columns",
                lambda value: (
                    isinstance(value, list)
                    and len(value) == len(set(map(str, value))) == net.n_inputs
                    and all(whole(i) and i <= n_columns and i != target_column for i in value)
                ),
            )
        ),
        target_column=target_column,
        n_columns=n_columns,
        has_header=extra("has_header", lambda value: isinstance(value, bool)),
        left_out=tuple(extra("left_out", words)),
    )
