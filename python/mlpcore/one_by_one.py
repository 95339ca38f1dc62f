"""Ensembles with a regularizer written in Python: one network after the other.

The native loops fit the networks of an ensemble side by side, on threads that can't call Python.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import _core

__all__ = ["minimize_one_by_one", "train_one_by_one"]

Array = NDArray[Any]


def train_one_by_one(
    net: _core.Network,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None,
    X_val: ArrayLike | None,
    T_val: ArrayLike | None,
    *,
    n_outputs: int,
    settings: dict[str, Any],
    penalty: object,
    called: dict[str, Any],
    **rest: Any,
) -> tuple[Array, list[dict[str, Any]]]:
    """What ``_core.train`` gives back for an ensemble, w (S, W), with any penalty.

    Network s shuffles with the seed + s, as it does side by side. After Ctrl-C the networks that
    have not begun stay as they are.
    """
    called = called | {"progress": None}
    # No epoch checks the arguments, as those of an ensemble, and says what an untrained one has.
    fitted, reports = _core.train(
        net,
        w,
        X,
        T,
        sample_weight,
        X_val,
        T_val,
        settings=settings | {"epochs": 0},
        penalty=None,
        called=called,
        **rest,
    )
    for s, one in enumerate(fitted):
        X_s, T_s, weight = _of_network(s, n_outputs, X, T, sample_weight)
        X_val_s, T_val_s = None, None
        if X_val is not None:
            X_val_s, T_val_s, _ = _of_network(s, n_outputs, X_val, T_val)
        one[:], (reports[s],) = _core.train(
            net,
            one,
            X_s,
            T_s,
            weight,
            X_val_s,
            T_val_s,
            settings=settings | {"seed": settings["seed"] + s},
            penalty=penalty,
            called=called,
            **rest,
        )
        if reports[s]["stopped"] == "interrupted":
            for report in reports[s + 1 :]:
                report["stopped"] = "interrupted"
            break
    return fitted, reports


def minimize_one_by_one(
    net: _core.Network,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None,
    *,
    n_outputs: int,
    penalty: object,
    iterations: int,
    seconds: float,
    states: list[Any],
    **rest: Any,
) -> tuple[Array, list[dict[str, Any]], list[Any]]:
    """What ``_core.minimize`` gives back for an ensemble, w (S, W), with any penalty.

    All networks share the `seconds`. After Ctrl-C those that have not begun stay as they are.
    """
    start = time.perf_counter()
    # No iteration checks the arguments, as those of an ensemble, and says what one left out has.
    fitted, reports, after = _core.minimize(
        net,
        w,
        X,
        T,
        sample_weight,
        penalty=None,
        iterations=0,
        seconds=seconds,
        states=states,
        **rest,
    )
    interrupted = any(report["stopped"] == "interrupted" for report in reports)
    for s, one in enumerate(fitted):
        if interrupted:
            nothing = {name: values[:0] for name, values in reports[s]["history"].items()}
            reports[s] |= {"history": nothing, "stopped": "interrupted"}
            continue
        X_s, T_s, weight = _of_network(s, n_outputs, X, T, sample_weight)
        begun = time.perf_counter() - start
        one[:], (reports[s],), (after[s],) = _core.minimize(
            net,
            one,
            X_s,
            T_s,
            weight,
            penalty=penalty,
            iterations=iterations,
            seconds=max(seconds - begun, 0),
            states=states[s : s + 1],
            **rest,
        )
        reports[s]["history"]["seconds"] += begun
        interrupted = reports[s]["stopped"] == "interrupted"
    return fitted, reports, after


def _of_network(
    s: int, n_outputs: int, X: Any, T: Any, sample_weight: Any = None
) -> tuple[Array, Array, Array | None]:
    """The data of network s; each array is that of all networks, or has S in front."""
    X, T = np.asarray(X), np.asarray(T)
    N = X.shape[-2]
    weight = None if sample_weight is None else np.asarray(sample_weight)
    return (
        X[s] if X.ndim == 3 else X,
        T if T.shape in ((N, n_outputs), (N,)) else T[s],
        weight if weight is None or weight.ndim == 1 else weight[s],
    )
