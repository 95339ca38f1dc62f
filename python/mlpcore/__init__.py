"""Small neural networks, whole: fitted, differentiated to second order, regularized, on a CPU.

A `Network` describes y(x, w) and holds no weights; everything acts on the flat vector w. The same
functions in plain NumPy, with their equation numbers, are in `mlpcore.reference`.

Modules that not every program needs, as `mlpcore.plots`, are imported when they are first used.
"""

from typing import TYPE_CHECKING

from mlpcore.checking import DerivativeCheck, check_derivatives, check_gradient
from mlpcore.config import available_isas, get_num_threads, set_num_threads, show_config
from mlpcore.inverse import (
    CholeskyFactor,
    NotPositiveDefiniteError,
    add_outer_products,
    cholesky,
    outer_product_inverse,
)
from mlpcore.leaving_out import LeaveOneOut, influence, k_fold_predictions, leave_one_out
from mlpcore.minimization import EnsembleMinimizeResult, LbfgsState, MinimizeResult, minimize
from mlpcore.multistart import SweepResult, multistart, sweep
from mlpcore.network import Network
from mlpcore.optimum import Optimum
from mlpcore.persistence import ModelFileError, SavedModel, load, save
from mlpcore.retraining import retrain
from mlpcore.stochastic import DiagonalEstimate, stochastic_diagonal
from mlpcore.training import EnsembleTrainResult, TrainResult, train

__version__: str

if TYPE_CHECKING:
    from mlpcore import cross_validation as cross_validation
    from mlpcore import datasets as datasets
    from mlpcore import evidence as evidence
    from mlpcore import plots as plots
    from mlpcore import reference as reference
    from mlpcore import reference_optimizers as reference_optimizers
    from mlpcore import reference_retraining as reference_retraining
    from mlpcore import reference_training as reference_training
    from mlpcore import sklearn as sklearn
else:  # a checker would make of __getattr__ that every misspelt name exists
    _ON_DEMAND = (
        "cross_validation",
        "datasets",
        "evidence",
        "plots",
        "reference",
        "reference_optimizers",
        "reference_retraining",
        "reference_training",
        "sklearn",
    )

    def __getattr__(name):
        # On demand, for each takes its time; importlib.metadata longer than all of mlpcore.
        if name in _ON_DEMAND:
            from importlib import import_module

            return import_module(f"{__name__}.{name}")  # which makes it an attribute
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version

        globals()[name] = version("mlpcore")
        return globals()[name]

    def __dir__():
        from importlib.util import find_spec

        # What walks through all the names would stumble over estimators that can't be imported.
        without = set() if find_spec("sklearn") else {"sklearn"}
        return sorted(globals().keys() | {"__version__", *_ON_DEMAND} - without)


__all__ = [
    "CholeskyFactor",
    "DerivativeCheck",
    "DiagonalEstimate",
    "EnsembleMinimizeResult",
    "EnsembleTrainResult",
    "LbfgsState",
    "LeaveOneOut",
    "MinimizeResult",
    "ModelFileError",
    "Network",
    "NotPositiveDefiniteError",
    "Optimum",
    "SavedModel",
    "SweepResult",
    "TrainResult",
    "add_outer_products",
    "available_isas",
    "check_derivatives",
    "check_gradient",
    "cholesky",
    "get_num_threads",
    "influence",
    "k_fold_predictions",
    "leave_one_out",
    "load",
    "minimize",
    "multistart",
    "outer_product_inverse",
    "retrain",
    "save",
    "set_num_threads",
    "show_config",
    "stochastic_diagonal",
    "sweep",
    "train",
]
