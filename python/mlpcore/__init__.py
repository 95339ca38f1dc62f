"""Small neural networks, whole: fitted, differentiated to second order, regularized, on a CPU.

A `Network` describes y(x, w) and holds no weights; everything acts on the flat vector w. The same
functions in plain NumPy, with their equation numbers, are in `mlpcore.reference`.
"""

from importlib.metadata import version as _version

from mlpcore.config import available_isas, get_num_threads, set_num_threads, show_config
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
from mlpcore.training import EnsembleTrainResult, TrainResult, train

__version__ = _version("mlpcore")

__all__ = [
    "EnsembleTrainResult",
    "LeaveOneOut",
    "ModelFileError",
    "Network",
    "Optimum",
    "SavedModel",
    "TrainResult",
    "available_isas",
    "get_num_threads",
    "influence",
    "k_fold_predictions",
    "leave_one_out",
    "load",
    "retrain",
    "save",
    "set_num_threads",
    "show_config",
    "train",
]
