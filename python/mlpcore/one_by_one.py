"""Ensembles with a regularizer written in Python: one network after the other.

The native loops fit the networks of an ensemble side by side, on threads that can't call Python.
"""

from __future__ import annotations

import time
from typing import Any

from numpy.typing import ArrayLike, NDArray

from mlpcore import _core
from mlpcore.splitting import as_numbers

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
    X, T, sample_weight, X_val, T_val = _as_arrays(
        X=X, T=T, sample_weight=sample_weight, X_val=X_val, T_val=T_val
    )
    # No epoch checks the arguments, as those of an ensemble.
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
        if _interrupted(reports):
            reports[s] = _left_out(reports[s])
            continue
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
    X, T, sample_weight = _as_arrays(X=X, T=T, sample_weight=sample_weight)
    # No iteration checks the arguments, as those of an ensemble.
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
    for s, one in enumerate(fitted):
        if _interrupted(reports):
            reports[s] = _left_out(reports[s])
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
    return fitted, reports, after


def _interrupted(reports: list[dict[str, Any]]) -> bool:
    return any(report["stopped"] == "interrupted" for report in reports)


def _left_out(report: dict[str, Any]) -> dict[str, Any]:
    """That of a network which Ctrl-C did not let begin: it has no history."""
    history = {name: curve[:0] for name, curve in report["history"].items()}
    return report | {"history": history, "stopped": "interrupted"}


def _as_arrays(**given: Any) -> list[Any]:
    """As the core reads them, a table of pandas among them."""
    return [None if value is None else as_numbers(name, value) for name, value in given.items()]


def _of_network(
    s: int, n_outputs: int, X: Any, T: Any, sample_weight: Any = None
) -> tuple[Array, Array, Array | None]:
    """The data of network s; each array is that of all networks, or has S in front."""
    N = X.shape[-2]
    shared = sample_weight is None or sample_weight.ndim == 1
    return (
        X[s] if X.ndim == 3 else X,
        T if T.shape in ((N, n_outputs), (N,)) else T[s],
        sample_weight if shared else sample_weight[s],
    )
