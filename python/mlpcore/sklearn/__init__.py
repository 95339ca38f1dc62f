"""Estimators for scikit-learn: the networks of this package behind ``fit`` and ``predict``.

`MLPRegressor` and `MLPClassifier` have the parameter names of scikit-learn's where the meaning is
the same. They scale inputs and targets themselves and undo it everywhere, choose the weight decay
of a regression by cross-validation, and average several starts.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError:
    raise ImportError(
        'mlpcore.sklearn needs scikit-learn: pip install "mlpcore[sklearn]"'
    ) from None

from mlpcore.sklearn.classifier import MLPClassifier
from mlpcore.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
