"""Checkpoints of a training: what it needs to be taken up again, in one file.

The file is one that `mlpcore.load` reads: the network with the best weights until then and, as
extras, the state. It is replaced as a whole (`mlpcore.save`), so that a kill at any moment leaves a
checkpoint that is good.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpcore.checks import as_numbers, file_path
from mlpcore.network import Network
from mlpcore.optimizer_settings import used_by
from mlpcore.persistence import load, save

__all__ = ["Checkpoint", "digest", "read_checkpoint", "write_checkpoint"]

Array = NDArray[Any]

# What must be the same when a run is taken up, for the outcome to be the same bits, if the
# optimizer uses it. Of `metric` there is only whether it was given: functions can't be compared.
SAME = (
    "optimizer",
    "batch_size",
    "learning_rate",
    "momentum",
    "nesterov",
    "schedule",
    "clip_norm",
    "weight_decay",
    "regularizer",
    "validation_fraction",
    "metric",
    "patience",
    "min_delta",
    "seed",
    "data",
    "validation data",
)
DIGESTS = ("data", "validation data")

# Schedules that are spread over all epochs: more of them change the rates of those that are done.
SPREAD = ("cosine", "one_cycle")


class Checkpoint(NamedTuple):
    """The settings and the state of a run.

    Attributes
    ----------
    settings : dict
        With the names in `SAME`, and "epochs".
    numbers, words : dict of arrays
        The state of the native loop.
    """

    settings: dict[str, Any]
    numbers: dict[str, Array]
    words: dict[str, Array]


def write_checkpoint(path: str, net: Network, best: Array, checkpoint: Checkpoint) -> None:
    """Replace the file by this checkpoint."""
    arrays = {f"number_{name}": values for name, values in checkpoint.numbers.items()}
    arrays |= {f"word_{name}": values for name, values in checkpoint.words.items()}
    save(path, net, best, checkpoint=checkpoint.settings, **arrays)


def read_checkpoint(
    path: str | os.PathLike[str], net: Network, settings: dict[str, Any]
) -> Checkpoint:
    """The checkpoint of a run with this network and these settings; a seed of None is any.

    Raises
    ------
    ValueError
        If the file is no checkpoint, or of another run; the message says what differs.
    OSError
        If it can't be read.
    """
    path = file_path("checkpoint", path)
    saved = load(path)
    before = saved.extras.get("checkpoint")
    if not isinstance(before, dict):
        raise ValueError(f"checkpoint {path} is a model, but not of a training")
    if saved.net != net:
        raise ValueError(f"checkpoint {path} is of {saved.net}, expected {net}")
    used = used_by(settings["optimizer"], {name: settings[name] for name in SAME})
    compared = [name for name, value in used.items() if (name, value) != ("seed", None)]
    if settings["schedule"]["kind"] in SPREAD:
        compared.append("epochs")
    for name in compared:
        if before.get(name) != settings[name]:
            what = (
                f"is of a training on other {name}"
                if name in DIGESTS
                else f"has {name} {before.get(name)!r}, expected {settings[name]!r}"
            )
            raise ValueError(f"checkpoint {path} {what}")
    numbers, words = (
        {
            name.removeprefix(prefix): np.asarray(values)
            for name, values in saved.extras.items()
            if name.startswith(prefix)
        }
        for prefix in ("number_", "word_")
    )
    done = numbers["training_error"].size - 1 if "training_error" in numbers else 0
    if settings["epochs"] < done:
        raise ValueError(
            f"checkpoint {path} has done {done} epochs, expected no more than the "
            f"{settings['epochs']} of epochs"
        )
    return Checkpoint(before, numbers, words)


def digest(**arrays: Any) -> str:
    """A number that is the same for the same arrays; an error calls them by these names."""
    import hashlib  # takes some milliseconds to import

    total = hashlib.sha256()
    for name, array in arrays.items():
        if array is not None:
            array = np.ascontiguousarray(as_numbers(name, array))
            total.update(f"{array.dtype.str}{array.shape}".encode())
            total.update(array.tobytes())
        total.update(b"|")
    return total.hexdigest()
