"""scikit-learn's MLPRegressor: it offers training alone, by minibatches.

It is started from our weights (`warm_start` with `coefs_` set) and has a new Adam at each fit.
"""

from __future__ import annotations

import warnings

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from bench.cases import EnsembleProblem, Problem
from bench.contestants import Contestant, Idiom, NotOffered


class Sklearn(Contestant):
    name = "sklearn"

    def versions(self) -> dict[str, str]:
        return {"scikit-learn": sklearn.__version__}

    def train(self, p: Problem) -> list[Idiom]:
        how, n = p.case.training, p.case.n_samples
        assert how is not None
        T = p.T[:, 0] if p.T.shape[1] == 1 else p.T
        model = MLPRegressor(
            hidden_layer_sizes=p.case.layers[1:-1],
            activation=p.case.hidden,
            solver="adam",
            alpha=0.0,
            batch_size=how.batch_size or n,
            learning_rate_init=how.learning_rate,
            beta_1=how.beta1,
            beta_2=how.beta2,
            epsilon=how.epsilon,
            max_iter=how.epochs,
            n_iter_no_change=10**9,  # it goes on counting from one fit to the next
            shuffle=how.batch_size is not None,
            random_state=0,
            warm_start=True,
        )

        def fit() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(p.X, T)

        fit()  # makes coefs_ and intercepts_

        def run() -> MLPRegressor:
            model.coefs_ = [W.T.copy() for W, _ in p.unpack()]
            model.intercepts_ = [b.copy() for _, b in p.unpack()]
            fit()
            return model

        def collect(model: MLPRegressor) -> np.ndarray:
            return np.concatenate(
                [
                    a.ravel()
                    for W, b in zip(model.coefs_, model.intercepts_, strict=True)
                    for a in (W.T, b)
                ]
            )

        return [Idiom("fit", run, collect)]

    def train_ensemble(self, p: EnsembleProblem) -> list[Idiom]:
        raise NotOffered("has no ensembles, and one by one takes long")


make = Sklearn
