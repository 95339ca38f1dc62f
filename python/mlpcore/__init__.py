"""Small neural networks, whole: fitted, differentiated to second order, regularized, on a CPU.

A `Network` describes y(x, w) and holds no weights; everything acts on the flat vector w. The same
functions in plain NumPy, with their equation numbers, are in `mlpcore.reference`.
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
from mlpcore.minimization import EnsembleMinimizeResult, LbfgsState, MinimizeResult, minimize
from mlpcore.multistart import SweepResult, multistart, sweep
from mlpcore.network import Network
from mlpcore.persistence import ModelFileError, SavedModel, load, save
from mlpcore.retraining import (
    LeaveOneOut,
    Optimum,
    influence,
    k_fold_predictions,
    leave_one_out,
    retrain,
)
from mlpcore.stochastic import DiagonalEstimate, stochastic_diagonal
from mlpcore.training import EnsembleTrainResult, TrainResult, train

__version__: str

if not TYPE_CHECKING:  # there it would make a str of every misspelt name

    def __getattr__(name):
        # On demand, for importlib.metadata takes longer to import than all of mlpcore.
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version

        globals()[name] = version("mlpcore")
        return globals()[name]


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
