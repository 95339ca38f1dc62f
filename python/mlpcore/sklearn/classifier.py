"""`MLPClassifier`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from mlpcore.sklearn.base import BaseMLP

__all__ = ["MLPClassifier"]

Array = NDArray[Any]


class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """Classification by a multilayer perceptron: two or more classes, or several labels at once.

    Two classes have one sigmoid output, more of them softmax outputs, and a matrix of 0 and 1
    (N, K), K labels that don't exclude each other, K sigmoid outputs. Class labels may be of any
    type. The error is the cross-entropy, with beta = 1; the parameters, the attributes and the
    defaults are those of `MLPRegressor`, the scaling that of the inputs. Only ``max_iter="auto"``
    is 60 epochs of lbfgs, as the most probable class stands still long before the error, and
    ``alpha="auto"`` is 1, the prior that scikit-learn's LogisticRegression has by default.

    Attributes
    ----------
    classes_ : (K,) array
        The class labels, sorted; with several labels their numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from mlpcore.sklearn import MLPClassifier
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]).repeat(5, axis=0)
    >>> y = np.where(X[:, 0] == X[:, 1], "same", "different")
    >>> MLPClassifier(hidden_layer_sizes=5, random_state=0).fit(X, y).predict([[0, 1], [1, 1]])
    array(['different', 'same'], dtype='<U9')
    """

    _most_epochs = 60
    _default_alpha = 1.0

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> MLPClassifier:
        """One epoch on these samples. The first call sets the scaling and the classes.

        `classes` are all that will come; None takes those of the first call. The solver begins
        anew, and an alpha that is to be chosen stays that of the last `fit`, 1 without one. What
        the epoch made worse, on these samples, is not kept.
        """
        self._partial_fit(X, y, sample_weight, classes)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """The class of the highest probability, (N,); of several labels those above 1/2, (N, K)."""
        P = self.predict_proba(X)
        if self._multilabel:
            labels: Array = (P > 0.5).astype(np.int64)
            return labels
        predicted: Array = self.classes_[P.argmax(axis=1)]
        return predicted

    def predict_proba(self, X: ArrayLike) -> Array:
        """The probability of each class or label, (N, K), the classes as in `classes_`."""
        Y = self._mean_output(X)
        return np.hstack((1 - Y, Y)) if self._is_binary() else Y

    def predict_log_proba(self, X: ArrayLike) -> Array:
        """The logarithm of `predict_proba`, -inf where that is 0."""
        with np.errstate(divide="ignore"):
            logarithms: Array = np.log(self.predict_proba(X))
        return logarithms

    def decision_function(self, X: ArrayLike) -> Array:
        """The log-odds of the second class, (N,), or of each label, (N, K).

        With more than two classes the logarithm of each probability, (N, K).
        """
        Y = self._mean_output(X)
        tiny = np.finfo(np.float64).tiny
        scores: Array = np.log(np.maximum(Y, tiny))
        if self.network_.output == "sigmoid":
            scores -= np.log(np.maximum(1 - Y, tiny))
        return scores[:, 0] if self._is_binary() else scores

    def jacobian(self, X: ArrayLike) -> Array:
        """The derivatives of `predict_proba` by the inputs, (N, K, D), in the units of `X`."""
        J = self._mean_jacobian(X) / self.input_scaling_.scale
        return np.concatenate((-J, J), axis=1) if self._is_binary() else J

    def _is_binary(self) -> bool:
        return not self._multilabel and len(self.classes_) == 2

    def _learn_targets(self, y: Any, classes: Any) -> None:
        check_classification_targets(y)
        self._multilabel = type_of_target(y) == "multilabel-indicator"
        if self._multilabel:
            self.classes_ = np.arange(np.shape(y)[1])
            return
        self.classes_ = np.unique(np.asarray(_column(y) if classes is None else classes))
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has only one class, {self.classes_.tolist()[0]!r}, expected at least two"
            )

    def _targets(self, y: Any, name: str = "y") -> Array:
        if self._multilabel:
            T = np.asarray(y, dtype=np.float64)
            if T.ndim != 2 or T.shape[1] != len(self.classes_):
                raise ValueError(f"{name} has shape {T.shape}, expected (N, {len(self.classes_)})")
            return T
        labels = _column(y)
        index = np.minimum(np.searchsorted(self.classes_, labels), len(self.classes_) - 1)
        known = self.classes_[index] == labels
        if not known.all():
            (first, *_) = labels[~known].tolist()
            raise ValueError(f"{name} has the class {first!r}, expected one of {self.classes_}")
        return index[:, np.newaxis].astype(np.float64) if self._is_binary() else index

    def _output(self) -> tuple[str, int]:
        if self._multilabel:
            return "sigmoid", len(self.classes_)
        return ("sigmoid", 1) if self._is_binary() else ("softmax", len(self.classes_))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _column(y: Any) -> Array:
    """Class labels as (N,); a column (N, 1) is taken as such, with scikit-learn's warning."""
    from sklearn.utils import column_or_1d

    labels: Array = column_or_1d(y, warn=True)
    return labels
