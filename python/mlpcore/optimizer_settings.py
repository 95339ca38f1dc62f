"""Which optimizers of `mlpcore.train` use which settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlpcore import _core
from mlpcore.checks import expect_user

__all__ = ["USERS", "refuse_unused", "used_by"]

FIRST_ORDER = tuple(_core.first_order_optimizers)
# They step along the gradient, on batches; rprop looks at the signs of the whole one.
STEPPING = tuple(name for name in FIRST_ORDER if name != "rprop")

# What is not here is never refused.
USERS = {
    "batch_size": STEPPING,
    "learning_rate": FIRST_ORDER,
    "schedule": STEPPING,
    "momentum": ("sgd",),
    "nesterov": ("sgd",),
    "clip_norm": STEPPING,
}


def used_by(optimizer: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that this optimizer uses."""
    return {
        name: value
        for name, value in settings.items()
        if name not in USERS or optimizer in USERS[name]
    }


def refuse_unused(optimizer: str, **given: object) -> None:
    """A ValueError if one of these is given, not None, that this optimizer does not use."""
    for name, value in given.items():
        if value is not None:
            expect_user(name, "optimizer", optimizer, USERS[name])
