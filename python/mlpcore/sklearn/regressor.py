"""`MLPRegressor`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import check_array

from mlpcore.scaling import unscale_jacobian
from mlpcore.sklearn.base import BaseMLP

__all__ = ["MLPRegressor"]

Array = NDArray[Any]


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """Regression by a multilayer perceptron, one or several targets.

    By default inputs and targets are standardized, the weight decay is chosen by cross-validation,
    and the prediction is the mean of the networks that `n_starts` random starts lead to.

    Parameters
    ----------
    hidden_layer_sizes : int, sequence of int or "auto"
        "auto" is one layer with a weight for 8 target values: N K / (8 (D + K + 1)) units, but at
        least 5 and at most 100.
    activation : str or sequence of str
        Of all hidden layers, or one for each; any that `mlpcore.Network` knows.
    solver : str
        An optimizer of `mlpcore.train`: lbfgs, adam, adamw, sgd, rprop, lm, scg, cg, newton-cg,
        bfgs, gd. Parameters that are of others are ignored, as in scikit-learn.
    alpha : float, "auto", "cross_validation" or "evidence"
        The weight decay: ``E(w) + alpha / 2 w.w`` is minimized, E a sum over the samples of half
        the squared errors (scaled). "cross_validation", which is "auto", chooses it by samples
        that each start leaves out, and then fits all starts to all samples
        (`mlpcore.cross_validation`); it is 1 with fewer than 8 different samples, or than two for
        each start. "evidence" estimates it from the training data alone (`mlpcore.evidence`),
        between rounds of training. With a `regularizer` "auto" is 0.
    batch_size : int or "auto"
        Of adam, adamw and sgd; "auto" is min(200, N).
    learning_rate_init, momentum : float
        Of adam, adamw, sgd and rprop; of sgd.
    nesterovs_momentum : bool
        Of sgd.
    schedule : mlpcore.schedules.Schedule, optional
        Of the learning rate of adam, adamw and sgd.
    regularizer : mlpcore.regularizers.Regularizer, optional
        A prior over the weights of the network of scaled data, beside `alpha`. With one written in
        Python the starts are fitted one after the other.
    max_iter : int or "auto"
        The most epochs of a start, in one `fit`. "auto" is 200 for adam, adamw, sgd and rprop; for
        the others 6 W, beyond 100 weights times sqrt(W / 100), but at most 8000 and, beyond 100
        epochs, at most 8 million divided by N. All trainings of an alpha that is to be chosen share
        them: by cross-validation, the steps of the path (8 at most) and the fit to all samples have
        a ninth each, at least 1; by evidence, round follows round until they are used up or nothing
        moves any more, and they must be 2 at least.
    random_state : int, RandomState or None
        Of the starts, shuffles and splits. The same integer gives the same bits, for any number of
        threads and any order of the rows.
    tol, n_iter_no_change
        adam, adamw, sgd, rprop, and all solvers with validation data, stop when the mean error of a
        validation sample (or, without them, the objective divided by the sum of the sample weights;
        adamw's decay is not part of it) has not fallen by more than `tol` for `n_iter_no_change`
        epochs; by evidence, the round does. The other solvers without validation data look at
        neither and stop where they have converged.
    verbose : bool
        A line after the fit.
    warm_start : bool
        `fit` goes on from the weights and the scaling of the fit before. What they were made by
        must be as it was: `hidden_layer_sizes`, `activation`, `n_starts`, `scale`, `dtype`.
    early_stopping : bool
        Split off `validation_fraction` of the samples and keep the weights of the epoch with the
        lowest error there. `fit(..., X_val, T_val)` does so with data of your own.
    validation_fraction : float
        Of the different samples: equal ones go to the same side, and there count once. Classes give
        equal shares; a class of one sample gives none.
    n_starts : int
        Networks that are fitted side by side.
    combine : {"average", "best"}
        Predict the mean of the networks, or keep the one with the lowest validation error (training
        error without validation data).
    scale : bool
        Standardize inputs and targets.
    dtype : {"float64", "float32"}
        The type of the computation.

    Attributes
    ----------
    network_ : mlpcore.Network
    weights_ : (S, W) array
        S is `n_starts`, or 1 with ``combine="best"``. After Ctrl-C on the path of a
        cross-validation those of its best step, and in the first step the initial ones; with
        ``combine="best"`` of the first start, for none has been chosen.
    input_scaling_, target_scaling_ : mlpcore.scaling.Standardizer
    weight_decay_ : float
        The weight decay that was used; of several trainings that of the last, after Ctrl-C on the
        path of a cross-validation that of its best step, or else of the first.
    cross_validation_errors_ : dict of float
        The mean error (scaled) of a sample left out, by weight decay, in the order tried. Nothing
        else is kept of the trainings without these samples.
    evidence_ : mlpcore.evidence.Evidence
        alpha, beta and the effective number of weights, with ``alpha="evidence"``: as estimated
        from the weights at the end of those starts that did not diverge in the last round. After
        Ctrl-C, in a round or in the estimate after it, or where all diverged, the estimate before:
        in the first round the starting value, 0.1, 1 and 0.
    loss_curve_, validation_loss_curve_ : list of float
        The mean error of a sample (scaled) after each epoch of the fit to all samples, a mean over
        the networks; empty if Ctrl-C came before that fit. `warm_start` and `partial_fit` add to
        them.
    loss_, best_loss_ : float
        The last and the lowest of `loss_curve_`; NaN where it is empty.
    n_iter_ : int
        The length of `loss_curve_`, at least 1.
    n_features_in_, feature_names_in_, n_outputs_, n_layers_

    Examples
    --------
    >>> import numpy as np
    >>> from mlpcore.sklearn import MLPRegressor
    >>> X = np.linspace(0, 10, 60)[:, None]
    >>> model = MLPRegressor(hidden_layer_sizes=8, solver="lm", alpha=1e-4, random_state=0)
    >>> model = model.fit(X, 100 * np.sin(X[:, 0]))
    >>> bool(np.abs(model.jacobian(X)[:, 0, 0] - 100 * np.cos(X[:, 0])).max() < 5)
    True
    """

    _most_epochs = 8000
    _default_alpha = "cross_validation"

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> MLPRegressor:
        """One epoch on these samples. The first call sets the scaling.

        The solver begins anew, and an alpha that is to be chosen stays that of the last `fit`, 1
        without one. What the epoch made worse, on these samples, is not kept.
        """
        self._partial_fit(X, y, sample_weight, None)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """The outputs, (N,) or (N, K) as `y` was, in its units."""
        scaled = self._mean_output(X)
        Y: Array = self.target_scaling_.inverse(scaled)
        return Y[:, 0] if self._one_dimensional else Y

    def jacobian(self, X: ArrayLike) -> Array:
        """dy_k/dx_i, (N, K, D), in the units of `y` and `X`."""
        J = self._mean_jacobian(X)
        return unscale_jacobian(J, self.input_scaling_, self.target_scaling_)

    def _learn_targets(self, y: Any, classes: Any) -> None:
        self._one_dimensional = np.ndim(y) == 1
        self._n_targets = 1 if self._one_dimensional else np.shape(y)[1]

    def _targets(self, y: Any, name: str = "y") -> Array:
        T: Array = check_array(y, ensure_2d=False, dtype=np.float64, input_name=name)
        T = T.reshape(-1, 1) if T.ndim == 1 else T
        if T.shape[1] != self._n_targets:
            raise ValueError(f"{name} has shape {np.shape(y)}, expected {self._n_targets} columns")
        return T

    def _output(self) -> tuple[str, int]:
        return "linear", self._n_targets

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
