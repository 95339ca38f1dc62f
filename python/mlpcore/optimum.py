"""The optimum: a minimum of the regularized error, with the factor of the Hessian there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import _core
from mlpcore.checks import as_float64, choice, whole_number
from mlpcore.hessian_factor import Factor, inverse_factor
from mlpcore.network import Network, ProductKind, check_network
from mlpcore.newton import descend
from mlpcore.objective import Objective
from mlpcore.regularizers import Regularizer, n_free_weights, with_weight_decay
from mlpcore.results import Table

__all__ = ["Optimum", "as_samples", "check_optimum", "most_steps"]

Array = NDArray[Any]


class Optimum(Table):
    """A minimum of ``F(w) = E(w) + weight_decay / 2 * w.w + R(w)``, with all that moving it needs.

    It begins at `w`, which should be well trained, and takes Newton steps until they are of the
    size of rounding. It holds the network, the data, the weights and the factor of the Hessian,
    all in float64. Nothing of it changes later: `retrain` makes another one.

    With relu or leaky_relu it seldom converges: where a sample's sum into a unit is 0 the slope of
    F jumps, and minima often lie on such corners. There the gradient is not 0, and there is no
    Hessian.

    Parameters
    ----------
    net, w, X, T, sample_weight
        As for ``net.error``; w is (W,), no ensemble.
    weight_decay : float
        alpha, as in `train`.
    regularizer : mlpcore.regularizers.Regularizer, optional
        R, likewise. It stays as it is when samples come and go, in all that stands on the optimum.
        One that leaves biases free may leave the minimum open: the bias of a hidden unit that is
        not needed, a shift of all outputs of softmax. Then the Hessian is singular.
    kind : {"exact", "gauss_newton"}
        The Hessian of the steps, to which that of R is added, exact in both. Where it is not
        positive definite on the way, a step takes its eigenvalues by their size (Dauphin et al.,
        Identifying and attacking the saddle point problem, 2014), and where the gradient is gone
        it goes aside, along the most negative curvature of the exact one. Gauss-Newton often needs
        hundreds of steps: each leaves a share of the way, the larger the larger the residuals.
    max_steps : int, optional
        The most Newton steps; None stands for 100, and for 1000 of Gauss-Newton.

    Attributes
    ----------
    net, X, T, sample_weight, weight_decay, regularizer, kind
        The data as float64, T as (N, K), sample_weight (N,).
    w : (W,) array
    steps, factorizations : int
        Newton steps taken to come here, and how many Hessians were built and factorized for them.
    gradient_norm : float
        The largest element of |dF/dw|.
    converged : bool
        Whether the next step would be of the size of rounding, and no curvature is negative.

    Raises
    ------
    ValueError, TypeError
        If an argument is unusable, or if there are fewer targets (N K, counting the different rows
        of X of positive weight) than weights that neither weight decay nor regularizer holds: then
        there is no single minimum.
    MemoryError
        If the factor of the Hessian takes, with five matrices (W, W) at most, more than the memory
        available; the message states its size.

    Examples
    --------
    >>> import mlpcore, numpy as np
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> t = np.sin(3 * X[:, 0])
    >>> net = mlpcore.Network((1, 3, 1))
    >>> fit = mlpcore.train(net, net.init(seed=0), X, t, optimizer="lbfgs", weight_decay=0.01)
    >>> old = mlpcore.Optimum(net, fit.w, X, t, weight_decay=0.01)
    >>> new = mlpcore.retrain(old, remove=[7], add=([[0.5]], [1.2]))
    >>> new.X.shape, new.converged
    ((50, 1), True)
    """

    def __init__(
        self,
        net: Network,
        w: ArrayLike,
        X: ArrayLike,
        T: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        weight_decay: float = 0.0,
        regularizer: Regularizer | None = None,
        kind: ProductKind = "exact",
        max_steps: int | None = None,
    ) -> None:
        check_network(net)
        R = with_weight_decay(weight_decay, regularizer)
        choice("kind", kind, _core.product_kinds)
        max_steps = most_steps(max_steps, kind)
        w = as_float64("w", w)
        if w.ndim != 1:
            raise ValueError(f"w has shape {w.shape}, expected ({net.n_weights},)")
        double = Network(net.layers, net.hidden, net.output)
        objective = Objective(double, *as_samples(net, w, X, T, sample_weight), R)
        self.net, self.kind = net, kind
        self.weight_decay, self.regularizer = float(weight_decay), regularizer
        weighing = "X" if sample_weight is None else "sample_weight"
        self._settle(objective, w, None, max_steps, weighing)

    def _settle(
        self,
        objective: Objective,
        w: Array,
        factor: Factor | None,
        max_steps: int,
        weighing: str,
    ) -> None:
        _check_determined(objective, weighing)
        self._objective = objective
        self.X, self.T, self.sample_weight = objective.X, objective.T, objective.s
        # A copy: without a step w would be the caller's array, or that of another optimum.
        found = descend(objective, w.copy(), factor, self.kind, max_steps)
        self.w, self._factor, self.gradient_norm = found.w, found.factor, found.gradient_norm
        self.steps, self.factorizations = found.steps, found.factorizations
        self.converged = found.converged
        self._at_w: Array | None = None

    def _inverse_factor(self, whole: tuple[Array, Array] | None = None) -> Array:
        """U of the Hessian at w itself; kept. What `retrain` starts with may come from nearby.

        Of `hessian_and_units`, where there are any.
        """
        if self._at_w is None:
            H, d = whole or self._objective.hessian_and_units(self.w, self.kind)
            try:
                self._at_w = inverse_factor(H, d)
            except np.linalg.LinAlgError:
                lowest, largest = np.linalg.eigvalsh(H)[[0, -1]]
                remedy = "kind='gauss_newton' or " if self._gauss_newton_may_help() else ""
                others = "" if self.regularizer is None else f" and {self.regularizer!r}"
                raise ValueError(
                    f"the Hessian with weight_decay {self.weight_decay:g}{others} is not positive "
                    f"definite: its eigenvalues go from {lowest:.3g} to {largest:.3g}, expected "
                    f"all above 0 by more than rounding; {remedy}a larger weight_decay may help"
                ) from None
            self._factor = Factor(self._at_w)
        return self._at_w

    def _gauss_newton_may_help(self) -> bool:
        if self.kind != "exact":
            return False
        try:
            inverse_factor(*self._objective.hessian_and_units(self.w, "gauss_newton"))
        except np.linalg.LinAlgError:
            return False
        return True

    def _title(self) -> str:
        return f"Optimum of {self.net!r}"

    def _rows(self) -> list[tuple[str, str]]:
        state = "converged" if self.converged else "NOT converged"
        rows = [("samples", str(len(self.X))), ("weight decay", f"{self.weight_decay:g}")]
        if self.regularizer is not None:
            rows.append(("regularizer", repr(self.regularizer)))
        steps = f"{self.steps} Newton steps with {self.factorizations} factorizations"
        rows.append(("state", f"{state} in {steps}"))
        rows.append(("gradient", f"{self.gradient_norm:.3g} at most"))
        return rows


def as_samples(
    net: Network, w: Array, X: ArrayLike, T: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Array, Array, Array]:
    """X, T as (N, K) and sample_weight as (N,), copies in float64; what is wrong raises.

    Rows of T that sum to 1 within what is allowed are made to do so.
    """
    net.error(w, X, T, sample_weight)
    X, t, K = np.array(X, dtype=float), np.array(T, dtype=float), net.n_outputs
    if t.ndim == 1 and net.output == "softmax":
        t = np.eye(K)[t.astype(int)]
    elif net.output == "softmax":
        t /= t.sum(axis=1, keepdims=True)
    s = np.ones(len(X)) if sample_weight is None else np.array(sample_weight, dtype=float)
    return X, t.reshape(-1, K), s


def most_steps(max_steps: int | None, kind: ProductKind) -> int:
    """`max_steps`, checked, or what None stands for."""
    if max_steps is None:
        return 100 if kind == "exact" else 1000
    return whole_number("max_steps", max_steps, least=0)


def _check_determined(objective: Objective, weighing: str) -> None:
    """Refuses data that determine no minimum, by the arguments that weigh the samples."""
    counted = objective.s > 0
    n, K = np.count_nonzero(counted), objective.net.n_outputs
    if n == 0:
        raise ValueError(f"{weighing}: no sample has a positive weight, expected at least one")
    free = n_free_weights(objective.net, objective.R)
    different = _different_rows(objective.X[counted], -(-free // K))
    if different * K < free:
        where = "" if different == n else " at different rows of X"
        which = "" if objective.R is None else " that regularizer leaves free"
        raise ValueError(
            f"weight_decay is 0 with {different * K} targets{where} for {free} weights{which}, "
            "expected weight_decay above 0: there is no single minimum"
        )


def _different_rows(X: Array, enough: int) -> int:
    """How many rows of X (N, D) differ, counted until there are `enough`."""
    rows: set[bytes] = set()
    begin, end = 0, enough
    while begin < len(X) and len(rows) < enough:
        rows.update(row.tobytes() for row in X[begin:end] + 0.0)  # to which -0 is 0
        begin, end = end, 2 * end
    return len(rows)


def check_optimum(optimum: object, converged: bool = True) -> None:
    """A TypeError unless it is an Optimum, a ValueError unless it has converged."""
    if not isinstance(optimum, Optimum):
        raise TypeError(f"optimum is a {type(optimum).__name__}, expected a mlpcore.Optimum")
    if converged and not optimum.converged:
        raise ValueError(
            f"optimum has not converged: after {optimum.steps} steps the gradient is up to "
            f"{optimum.gradient_norm:.3g}, expected a minimum; train further or raise max_steps"
        )
