"""Real data that come with the package.

The licence and the source of each set are in ``data/README.md`` beside the files.
"""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpcore.tables import CsvColumns

__all__ = ["Dataset", "load_concrete"]


class Dataset(NamedTuple):
    """Inputs and target of a regression, with their names.

    Attributes
    ----------
    X : (N, D) float64
        Inputs, a row a sample.
    t : (N,) float64
        Target.
    feature_names : tuple of D str
        The columns of ``X``.
    target_name : str
    feature_units : tuple of D str
    target_unit : str
    description : str
        What was measured, by whom, and the licence.
    """

    X: NDArray[np.float64]
    t: NDArray[np.float64]
    feature_names: tuple[str, ...]
    target_name: str
    feature_units: tuple[str, ...]
    target_unit: str
    description: str


def load_concrete() -> Dataset:
    """Concrete compressive strength: 1030 mixtures, 8 inputs, the strength in MPa.

    Returns
    -------
    Dataset
        ``X`` (1030, 8): seven ingredients in kg/m3 and the age in days; ``t`` (1030,) in MPa.
        The arrays are the caller's own.

    References
    ----------
    I-C. Yeh, Concrete Compressive Strength, UCI Machine Learning Repository, 1998, CC BY 4.0.

    Examples
    --------
    >>> concrete = load_concrete()
    >>> concrete.X.shape, concrete.target_unit
    ((1030, 8), 'MPa')
    """
    file = resources.files(__package__).joinpath("data").joinpath("concrete.csv")
    table = CsvColumns.parse(file.read_bytes(), "concrete.csv")
    values = table.numbers(range(len(table.names)))
    return Dataset(
        X=np.ascontiguousarray(values[:, :-1]),
        t=values[:, -1].copy(),
        feature_names=table.names[:-1],
        target_name=table.names[-1],
        feature_units=("kg/m3",) * 7 + ("day",),
        target_unit="MPa",
        description=(
            "Compressive strength of 1030 concrete mixtures by ingredients and age. "
            "I-C. Yeh, Concrete Compressive Strength, UCI Machine Learning Repository, 1998. "
            "CC BY 4.0."
        ),
    )
