"""Errors in the unit of the data: mean errors as root mean squares, and the words at the axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore.checks import real_number
from mlpcore.plots.style import literal

__all__ = ["ErrorUnit"]


class ErrorUnit:
    """Of the errors in a picture.

    Parameters
    ----------
    rms_unit : float or None
        None for the mean error per sample; otherwise root mean square errors in multiples of this,
        for linear outputs, of which the mean error is half the mean square.
    unit : str or None
        Its name.
    """

    def __init__(self, rms_unit: Any, unit: str | None) -> None:
        self.rms_unit = (
            None if rms_unit is None else real_number("rms_unit", rms_unit, positive=True)
        )
        self.unit = unit

    def of(self, errors: ArrayLike) -> NDArray[np.float64]:
        """What is drawn of these mean errors per sample."""
        errors = np.asarray(errors, dtype=np.float64)
        return errors if self.rms_unit is None else self.rms_unit * np.sqrt(2 * errors)

    def label(self, kind: str = "") -> str:
        """For the axis; `kind` is the part of the data, if it is one."""
        if self.rms_unit is None:
            return " ".join(filter(None, ("mean", kind, "error per sample")))
        unit = f"({literal(self.unit)})" if self.unit else None
        return " ".join(filter(None, (kind, "RMSE", unit)))
