"""Fast re-training: the optimum after a small change of the data, from the optimum before it.

At a minimum of ``F(w) = sum_n s_n E_n(w) + R(w)``, R the weight decay and the regularizer, the
Hessian ``H = d2F/dw2`` says where the minimum goes when the weights s of the samples change: one
Newton step (PRML 5.4, the second of the uses of the Hessian),

    dw = -(H + sum_n ds_n H_n)^{-1} sum_n ds_n g_n

with the gradient g_n and Hessian H_n of E_n. R belongs to the whole, no sample has a share in it:
it stays as it is whichever samples come and go. A sample is removed by ds_n = -s_n and added by
ds_n = 1. With ``J_n = dz/dw`` (z are the outputs before the output function), ``B_n = dy/dz`` and
``delta_n = y_n - t_n``, the gradient g_n is ``J_n^T delta_n`` and the Gauss-Newton part of H_n is
``J_n^T B_n J_n``, of rank K, so that a sample is taken out of H^{-1} by a K x K system (Woodbury).
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import _core
from mlpcore.checks import choice, flag, whole_number
from mlpcore.network import Network
from mlpcore.regularizers import Regularizer, n_free_weights, real_curvature, with_weight_decay
from mlpcore.results import Table

__all__ = ["LeaveOneOut", "Optimum", "influence", "k_fold_predictions", "leave_one_out", "retrain"]

Array = NDArray[Any]
Kind = Literal["exact", "gauss_newton"]
KINDS = ("exact", "gauss_newton")

_CONVERGED = 1e-26  # twice the decrease that the Newton step promises, relative to F
_ROUNDING = 1e-13  # relative to F or to a curvature one expects, below which rounding may lead
_FEW = 30  # times what rounding moves is still rounding
_NOTICEABLE = 1e-3  # share of a curvature or slope below which a part of it does not count
_FLAT = 1e-10  # of the largest curvature: below 0 by less than this is rounding
_OUT_OF_REACH = 1e-8  # a leverage nearer to 1 than this is 1 but for rounding
_UNSEEN = 1e-4  # the chance that a negative curvature goes unseen
_PRODUCTS = 20  # with the Hessian, at most, in the search for one
_SIZES = (1e-100, 1e100)  # so that no square of one overflows
_TILE = 1 << 22  # numbers in a tile of derivatives of samples: 32 MB


# The matrix H, its inverse, and changes of it --------------------------------------------------


def _units(H: Array, start: Array, held: Any = False) -> Array:
    """d (W,), powers of 2, such that H / (d d^T) has rows whose largest elements are about 1.

    What is singular, or flat, must not depend on the units of inputs and targets, and in these it
    does not. Rows and columns take turns (Ruiz, A scaling algorithm to equilibrate both rows and
    columns norms in matrices, 2001), for where H is indefinite its diagonal may be 0. A row of
    zeros, or of what is rounding in the units ``start`` (W,), beside 1 or the largest, keeps those.
    On the diagonal of the weights ``held`` (W,) bools, that of `_Objective.held`, nothing is.
    """
    size = np.abs(H)
    size /= start[:, None]
    size /= start
    rounding = size < _ROUNDING * min(size.max(), 1)
    rounding[np.diag_indices_from(H)] &= ~np.asarray(held)
    size[rounding] = 0
    d = start.copy()
    for _ in range(20):  # each halves the logarithm of what is left
        largest = size.max(axis=1)
        root = np.sqrt(np.where(largest > 0, largest, 1))
        if ((root > 0.7) & (root < 1.5)).all():
            break
        d *= root
        size /= root[:, None]
        size /= root
    units: Array = np.exp2(np.round(np.log2(d)))  # so that to divide by them rounds nothing
    return units


def _inverse_factor(H: Array, d: Array) -> Array:
    """U = L^{-1} of the Cholesky factor H = L L^T, so that H^{-1} = U^T U.

    NumPy solves no triangular systems; with U every solution is a product of matrices.
    LinAlgError if H is not positive definite, or singular to rounding in the units ``d`` (W,).
    """
    U: Array = H / d[:, None]
    U /= d
    U = np.linalg.cholesky(U)
    trace = np.vdot(U, U)  # of H in these units
    _invert_lower(U)
    if not trace * np.vdot(U, U) < 0.1 / np.finfo(float).eps:  # trace(H) trace(H^{-1})
        raise np.linalg.LinAlgError("singular to rounding")
    U /= d
    return U


def _invert_lower(L: Array) -> None:
    """Makes a lower triangle its inverse, by halves: of [A, 0; C, B] [A', 0; -B' C A', B']."""
    n = len(L)
    if n <= 64:
        L[...] = np.tril(np.linalg.inv(L))
        return
    m = n // 2
    A, B, C = L[:m, :m], L[m:, m:], L[m:, :m]
    _invert_lower(A)
    _invert_lower(B)
    C[...] = -(B @ (C @ A))


class _Factor:
    """The inverse of H + V^T C V, from that of H and the rows V (m, W), by Woodbury; C = diag(+-1).

    (H + V^T C V)^{-1} = U^T (I + G^T C G)^{-1} U,    G = V U^T
    (I + G^T C G)^{-1} = I - G^T (C + G G^T)^{-1} G
    """

    def __init__(self, U: Array, G: Array | None = None, c: Array | None = None) -> None:
        self.U = U
        self.G = np.zeros((0, len(U))) if G is None else G
        self.c = np.zeros(0) if c is None else c
        # For a row taken out its leverage less 1, for one added 1 or more.
        eigenvalues, Q = np.linalg.eigh(np.diag(self.c) + self.G @ self.G.T)
        size = np.abs(eigenvalues)
        if (size < _OUT_OF_REACH * size.max(initial=1)).any():
            raise np.linalg.LinAlgError("singular to rounding")
        # As many negative eigenvalues as rows taken out: the sum is positive definite.
        if (eigenvalues < 0).sum() != (self.c < 0).sum():
            raise np.linalg.LinAlgError("not positive definite")
        self._inner = (Q / eigenvalues) @ Q.T

    def changed(self, V: Array, c: Array) -> _Factor:
        """That of the sum with V^T diag(c) V added; LinAlgError if it is not positive definite."""
        G = np.concatenate([self.G, np.sqrt(np.abs(c))[:, None] * (V @ self.U.T)])
        return _Factor(self.U, G, np.concatenate([self.c, np.sign(c)]))

    def solve_within(self, u: Array) -> Array:
        """(I + G^T C G)^{-1} u, between the U^T and U of `solve`."""
        result: Array = u - self.G.T @ (self._inner @ (self.G @ u))
        return result

    def solve(self, v: Array) -> Array:
        solution: Array = self.U.T @ self.solve_within(self.U @ v)
        return solution


# The objective -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Objective:
    """F(w) = sum_n s_n E_n(w) + R(w) with its derivatives, in float64; without R if it is None."""

    net: Network
    X: Array
    T: Array
    s: Array
    R: Regularizer | None

    @property
    def floor(self) -> float:
        """What F is at most where nothing but rounding is left of the residuals.

        Of the other outputs F is 0 only at infinity, and there is no floor.
        """
        if self.net.output != "linear":
            return 0.0
        rounding = 10 * np.finfo(float).eps * self.T
        return float((self.s[:, None] * rounding**2).sum())

    def rounding(self, F: float) -> float:
        """By how much F may be off: in itself, and by what `floor` has of each residual."""
        return _ROUNDING * abs(F) + float(np.sqrt(2 * abs(F) * self.floor))

    @property
    def logits(self) -> Network:
        """The network that ends with z, before the output function."""
        return Network(self.net.layers, self.net.hidden, "linear")

    @cached_property
    def size_of_T(self) -> float:
        """The largest |t| of linear outputs, else 1; where it is 0 also 1."""
        largest = np.abs(self.T[self.s > 0]).max(initial=0) if self.net.output == "linear" else 1
        return float(np.clip(largest or 1.0, *_SIZES))

    @cached_property
    def sizes(self) -> Array:
        """Those one expects of the weights (W,): 1 where inputs and targets are of size 1."""
        of_X = np.abs(self.X[self.s > 0]).max(axis=0, initial=0)
        sizes = np.ones(self.net.n_weights)
        layers = self.net.unpack(sizes)
        layers[0][0][...] = 1 / np.clip(np.where(of_X > 0, of_X, 1), *_SIZES)
        layers[-1][0][...] *= self.size_of_T
        layers[-1][1][...] *= self.size_of_T
        return sizes

    @property
    def units(self) -> Array:
        """The root of the curvature one expects in each weight (W,)."""
        units: Array = np.clip(np.sqrt(self.s.sum()) * self.size_of_T / self.sizes, *_SIZES)
        return units

    def rows(self, rows: Any) -> _Objective:
        """The same of some samples."""
        return replace(self, X=self.X[rows], T=self.T[rows], s=self.s[rows])

    def value_and_gradient(self, w: Array) -> tuple[float, Array]:
        F, g = self.net.error_and_gradient(w, self.X, self.T, self.s, regularizer=self.R)
        return float(F), g

    def hessian(self, w: Array, kind: Kind) -> Array:
        # With what its factor takes: itself, its eigenvectors, and three that LAPACK works with.
        _core.check_memory("the working memory of the Hessian's factor", 8.0 * 5 * w.size**2)
        H = self.net.hessian(w, self.X, self.T, self.s, kind, regularizer=self.R)
        if not np.isfinite(H).all():  # which no damping mends
            raise ValueError(
                "the Hessian is not finite: w, X or T is too large, or regularizer is wrong"
            )
        return H

    def held(self, w: Array, H: Array) -> Array:
        """Whether R has a real part in the curvature H_ii of each weight, (W,) bools.

        However small that is beside `units`, it is no rounding: saturated hidden units leave
        nothing else, and the minimum is where R says.
        """
        if self.R is None:
            return np.zeros(w.size, dtype=bool)
        of_R = real_curvature(self.net, w, self.R)
        held: Array = (of_R > 0) & (of_R >= _NOTICEABLE * np.abs(H.diagonal() - of_R))
        return held

    def hessian_and_units(self, w: Array, kind: Kind) -> tuple[Array, Array]:
        """H (W, W) and its `_units` (W,)."""
        H = self.hessian(w, kind)
        return H, _units(H, self.units, self.held(w, H))

    def shorten(self, w: Array, g: Array, H: Array, kind: Kind) -> Array:
        """Raises H_ii where nothing keeps a step near w_i; whether it did, (W,) bools.

        Far from 0 the slope of L1 hardly changes, and a weight that the data don't hold would go
        far beyond the minimum. With H_ii = |g_i / w_i| it goes to 0, by a parabola that is nowhere
        below the absolute value (Hunter and Li, Variable selection using MM algorithms, 2005). That
        vanishes with g, so that the last steps are those of Newton.
        """
        if self.R is None:
            return np.zeros(w.size, dtype=bool)
        size, slope, diagonal = np.abs(w), np.abs(g), np.einsum("ii->i", H)
        of_E = np.abs(self.net.hessian_diagonal(w, self.X, self.T, self.s, kind))
        far: Array = of_E * np.maximum(size, self.sizes) < _NOTICEABLE * slope
        far &= (size > 0) & (np.abs(diagonal) * size < slope)
        if far.any():  # where F is the parabola that H says, a step may be as far as it likes
            step = np.where(far, -np.sign(g) * size, 0)
            _, g_near = self.value_and_gradient(w + step)
            far &= ~(np.abs(g_near - g - H @ step) <= 0.5 * slope)
            diagonal[far] = slope[far] / size[far]
        return far

    def step_factor(
        self, w: Array, kind: Kind, g: Array | None = None, units: Array | None = None
    ) -> tuple[_Factor, Array | None, bool]:
        """For a step downhill, a direction of negative curvature or None, whether to keep it.

        With the gradient ``g`` (W,) it may `shorten` the step, and is then good for this alone.
        Where H / (d d^T) = Q diag(e) Q^T is not positive definite, the step has |e| in place of e
        and so leaves saddles (Dauphin et al., 2014), with 1e-8 of the largest as the least. The
        units d are those of H, at least ``units`` (W,) but for weights that R holds; in them no
        curvature is more negative.
        """
        H = self.hessian(w, kind)
        units, held = self.units if units is None else units, self.held(w, H)
        raised = np.zeros_like(held) if g is None else self.shorten(w, g, H, kind)
        held, lasts = held | raised, not raised.any()
        d = _units(H, units, held)
        try:
            return _Factor(_inverse_factor(H, d)), None, lasts
        except np.linalg.LinAlgError:
            # What is nearly flat, and hardly known, must not lead.
            d = np.where(held, d, np.maximum(d, units))
        H /= d[:, None]
        H /= d
        e, Q = np.linalg.eigh(H)  # now that the exception no longer holds a matrix
        largest = float(np.abs(e).max()) or 1.0
        factor = _Factor((Q / np.sqrt(np.maximum(np.abs(e), 1e-8 * largest))).T / d)
        return factor, Q[:, 0] / d if e[0] < -_FLAT * largest else None, lasts

    def curvature_rows(self, w: Array) -> Array:
        """V (N K, W) with sum_n J_n^T B_n J_n = V^T V: R_n^T J_n, B_n = R_n R_n^T."""
        R = _curvature_root(self.net.output, self.net.forward(w, self.X))
        V: Array = np.swapaxes(R, 1, 2) @ self.logits.weight_jacobian(w, self.X)
        return V.reshape(-1, w.size)


def _curvature_root(output: str, y: Array) -> Array:
    """R_n (N, K, K) with R_n R_n^T = B_n = dy/dz: I, diag(y (1 - y)), diag(y) - y y^T."""
    identity = np.eye(y.shape[1])
    if output == "linear":
        return np.broadcast_to(identity, (*y.shape, y.shape[1]))
    if output == "sigmoid":
        return np.asarray(np.sqrt(y * (1 - y))[:, :, None] * identity)
    q = np.sqrt(y)  # I - q q^T is a projection, for q.q = 1
    return np.asarray(q[:, :, None] * (identity - q[:, :, None] * q[:, None, :]))


# Newton steps ------------------------------------------------------------------------------------


class _Descent(NamedTuple):
    w: Array
    factor: _Factor
    gradient_norm: float
    steps: int
    factorizations: int
    converged: bool


def _descend(
    objective: _Objective, w: Array, kept: _Factor | None, kind: Kind, max_steps: int
) -> _Descent:
    """Newton's method that keeps a factor for as long as each step shrinks the next tenfold.

    Where the gradient is gone but a curvature is negative it moves along that, to both sides; if
    nothing there is lower, it is no minimum all the same. That each step with a kept factor is far
    shorter says so of their directions alone: by symmetry they may all miss the negative one.
    """
    downward: Array | None = None
    F, g = objective.value_and_gradient(w)
    if not (np.isfinite(F) and np.isfinite(g).all()):
        raise ValueError(
            "the error or its gradient is not finite at the start: w, X or T is too large, or "
            "regularizer is wrong"
        )
    floor = objective.floor
    steps = factorizations = 0
    before, converged = np.inf, False
    while True:
        fresh = kept is None
        if kept is None:
            factor, downward, lasts = objective.step_factor(w, kind, g)
            factorizations += 1
            kept = factor if lasts else None
        else:
            factor = kept
        d = -factor.solve(g)
        decrement = -float(g @ d)
        if not fresh and not decrement >= 0:  # rounding has made the kept factor indefinite
            kept = None
            continue
        stalled = decrement > 0.01 * before
        at_rest = decrement <= _CONVERGED * abs(F) + floor
        is_rounding = decrement <= _ROUNDING * abs(F)
        if not at_rest and fresh and is_rounding:
            # A saddle is left sooner by a move aside than by steps that double a rounding.
            at_rest = (stalled and downward is not None) or decrement <= _decrement_of_rounding(
                objective, w, g, factor
            )
        trial = None
        if not at_rest and steps < max_steps and (fresh or not stalled):
            trial = _search(objective, w, F, d, decrement)
            # Between steps of rounding, as saturated units have, the slope jumps.
            at_rest = trial is None and fresh and is_rounding
        if at_rest:
            if kind != "exact":
                _, downward, _ = objective.step_factor(w, "exact")
                factorizations += 1
            elif not fresh and not (downward is None and _is_minimum(objective, w, factor)):
                kept = None  # a curvature was negative elsewhere, or may be so here
                continue
            if objective.R is None and abs(F) <= floor:
                downward = None  # of residuals of rounding
            if downward is not None and steps < max_steps:
                trial = _search_aside(objective, w, F, downward)
            converged = downward is None
            if trial is not None:
                kept, decrement = None, np.inf
        if trial is not None:
            w, F, g = trial
            before = decrement
            steps += 1
        elif at_rest or fresh or steps == max_steps:
            break
        else:
            kept = None
    return _Descent(w, factor, float(np.abs(g).max()), steps, factorizations, converged)


def _decrement_of_rounding(objective: _Objective, w: Array, g: Array, factor: _Factor) -> float:
    """What the decrement is where g is rounding: that of what a last bit of w does to g.

    The steps of Gauss-Newton shrink slowly, and now and then one grows, long before that.
    """
    last_bits = np.finfo(float).eps * np.random.default_rng(0).choice((-1, 1), w.size)
    _, g_beside = objective.value_and_gradient(w + last_bits * w)
    rounding = g_beside - g
    return _FEW**2 * float(rounding @ factor.solve(rounding))


def _is_minimum(objective: _Objective, w: Array, factor: _Factor) -> bool:
    """Whether H at w is positive definite, by a few products with it; False if they do not tell.

    Conjugate gradients for ``U H U^T x = r``, r at random, with a ``factor`` from nearby. A p with
    p^T U H U^T p <= 0 shows that it is not (Steihaug, The conjugate gradient method and trust
    regions in large scale optimization, 1983). Without one the residual is r times a polynomial of
    the matrix that is 1 at 0 and has all its roots above 0: what r has of an eigenvector with an
    eigenvalue <= 0 never shrinks. If all of r comes below `_UNSEEN`, that part was so from the
    start, by a chance of about `_UNSEEN`.
    """
    net, data, U = objective.net, (objective.X, objective.T, objective.s), factor.U
    r = np.random.default_rng(0).standard_normal(w.size)
    p = z = factor.solve_within(r)
    for _ in range(_PRODUCTS):
        Hp = U @ net.hessian_vector_product(w, U.T @ p, *data, regularizer=objective.R)
        curvature = p @ Hp
        if not curvature > 0:
            return False
        before = r @ z
        r = r - before / curvature * Hp
        if r @ r < _UNSEEN**2:
            return True
        z = factor.solve_within(r)
        p = z + r @ z / before * p
    return False


def _search(
    objective: _Objective, w: Array, F: float, d: Array, decrement: float
) -> tuple[Array, float, Array] | None:
    """The first of w + d, w + d/2, w + d/4, ... that is lower (Armijo), None without one.

    Where the decrease is lost in the rounding of F it is the first that is no higher by more than
    that, and lower as the slope along d tells: a parabola is for as long as its slope is below the
    decrement (Hager and Zhang, A new conjugate gradient method with guaranteed descent and an
    efficient line search, 2005). Half of that is allowed, so that steps of Gauss-Newton that go too
    far do not come and go forever.
    """
    for halvings in range(30):
        t = 0.5**halvings
        there = w + t * d
        if np.isfinite(there).all():
            F_there, g_there = objective.value_and_gradient(there)
            if decrement <= _ROUNDING * abs(F):
                no_higher = F_there <= F + objective.rounding(F)
                lower = no_higher and bool(g_there @ d <= 0.5 * decrement)
            else:
                slack = 4 * float(np.finfo(float).eps) * abs(F)
                lower = F_there <= F - 1e-4 * t * decrement + slack
            if lower and np.isfinite(g_there).all():
                return there, F_there, g_there
    return None


def _search_aside(
    objective: _Objective, w: Array, F: float, direction: Array
) -> tuple[Array, float, Array] | None:
    """The first of w + d, w - d, w + d/2, ... that is lower, None without one."""
    # As far as weights usually go, and at least as far as these have gone.
    size = max(1.0, float((np.abs(w) / objective.sizes).max()))
    farthest = size / float((np.abs(direction) / objective.sizes).max()) * direction
    for halvings in range(40):
        for sign in (1, -1):
            there = w + sign * 0.5**halvings * farthest
            F_there, g_there = objective.value_and_gradient(there)
            if F_there < F - 4 * np.finfo(float).eps * abs(F) and np.isfinite(g_there).all():
                return there, F_there, g_there
    return None


# The optimum and its changes ---------------------------------------------------------------------


class Optimum(Table):
    """A minimum of ``F(w) = E(w) + weight_decay / 2 * w.w + R(w)``, with all that moving it needs.

    It begins at `w`, which should be well trained, and takes Newton steps until they are of the
    size of rounding. It holds the network, the data, the weights and the factor of the Hessian,
    all in float64. Nothing of it changes later: `retrain` makes another one.

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
        kind: Kind = "exact",
        max_steps: int | None = None,
    ) -> None:
        if not isinstance(net, Network):
            raise TypeError(f"net is a {type(net).__name__}, expected a mlpcore.Network")
        R = with_weight_decay(weight_decay, regularizer)
        choice("kind", kind, KINDS)
        max_steps = _most_steps(max_steps, kind)
        w = _core.as_array("w", w, True)
        if w.ndim != 1:
            raise ValueError(f"w has shape {w.shape}, expected ({net.n_weights},)")
        double = Network(net.layers, net.hidden, net.output)
        objective = _Objective(double, *_samples(net, w, X, T, sample_weight), R)
        self.net, self.kind = net, kind
        self.weight_decay, self.regularizer = float(weight_decay), regularizer
        weighing = "X" if sample_weight is None else "sample_weight"
        self._settle(objective, w, None, max_steps, weighing)

    def _settle(
        self,
        objective: _Objective,
        w: Array,
        factor: _Factor | None,
        max_steps: int,
        weighing: str,
    ) -> None:
        _check_determined(objective, weighing)
        self._objective = objective
        self.X, self.T, self.sample_weight = objective.X, objective.T, objective.s
        # A copy: without a step w would be the caller's array, or that of another optimum.
        found = _descend(objective, w.copy(), factor, self.kind, max_steps)
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
                self._at_w = _inverse_factor(H, d)
            except np.linalg.LinAlgError:
                lowest, largest = np.linalg.eigvalsh(H)[[0, -1]]
                remedy = "kind='gauss_newton' or " if self._gauss_newton_may_help() else ""
                others = "" if self.regularizer is None else f" and {self.regularizer!r}"
                raise ValueError(
                    f"the Hessian with weight_decay {self.weight_decay:g}{others} is not positive "
                    f"definite: its eigenvalues go from {lowest:.3g} to {largest:.3g}, expected "
                    f"all above 0 by more than rounding; {remedy}a larger weight_decay may help"
                ) from None
            self._factor = _Factor(self._at_w)
        return self._at_w

    def _gauss_newton_may_help(self) -> bool:
        if self.kind != "exact":
            return False
        try:
            _inverse_factor(*self._objective.hessian_and_units(self.w, "gauss_newton"))
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


def _samples(
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


def _most_steps(max_steps: int | None, kind: Kind) -> int:
    if max_steps is None:
        return 100 if kind == "exact" else 1000
    return whole_number("max_steps", max_steps, least=0)


def _check_determined(objective: _Objective, weighing: str) -> None:
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


def retrain(
    optimum: Optimum,
    *,
    remove: ArrayLike | None = None,
    add: tuple[ArrayLike, ...] | None = None,
    sample_weight: ArrayLike | None = None,
    max_steps: int | None = None,
) -> Optimum:
    """The optimum after a change of the data (PRML 5.4, the second use of the Hessian).

    The first step is Newton's with the stored factor, from which the changed samples are taken or
    to which they are added by their Gauss-Newton part (Woodbury); the h'' terms of the changed
    samples and the change of the Hessian along the way are left out. That affects how fast the
    following steps converge, not where: their gradients are those of the new data, and as soon as
    a step shrinks the gradient by less than ten times, the whole Hessian is built and factorized
    anew, and so it is where products with it leave open at the end whether a curvature is negative.
    Few changed samples cost some gradients and such products; after a change of more than W / 2
    targets it begins with a new factor.

    Parameters
    ----------
    optimum : Optimum
        The minimum for the data before. It stays as it is.
    remove : (m,) integers or (N,) bools, optional
        The samples to remove.
    add : tuple, optional
        ``(X, T)`` or ``(X, T, sample_weight)`` of samples to add after those that stay.
    sample_weight : (N,) array-like, optional
        New weights of the samples of `optimum`.
    max_steps : int, optional
        The most Newton steps; None as in `Optimum`.

    Returns
    -------
    Optimum
        The minimum for the data after, those that were added last. Whether it got there in
        `max_steps` is its `converged`.

    Raises
    ------
    ValueError, TypeError
        If an argument is unusable, no sample is left, or too few without weight decay, as in
        `Optimum`.
    MemoryError
        If the factor of the Hessian takes, with five matrices (W, W) at most, more than the memory
        available; the message states its size.
    """
    _check_optimum(optimum, converged=False)
    max_steps = _most_steps(max_steps, optimum.kind)
    old, w = optimum._objective, optimum.w
    gone = np.zeros(len(old.X), dtype=bool)
    if remove is not None:
        gone[_row_numbers("remove", remove, len(old.X))] = True
    s = old.s
    if sample_weight is not None:
        s = _samples(optimum.net, w, old.X, old.T, sample_weight)[2]
    X, T, s_added = old.X[:0], old.T[:0], old.s[:0]
    if add is not None:
        new_samples: object = add  # whatever its type says
        if not isinstance(new_samples, tuple) or len(new_samples) not in (2, 3):
            raise TypeError("add is no tuple (X, T) or (X, T, sample_weight), expected one")
        try:
            more = add[2] if len(add) > 2 else None
            X, T, s_added = _samples(optimum.net, w, add[0], add[1], more)
        except (TypeError, ValueError) as error:
            raise type(error)(f"add: {error}") from None

    stay = ~gone
    new = replace(
        old,
        X=np.concatenate([old.X[stay], X]),
        T=np.concatenate([old.T[stay], T]),
        s=np.concatenate([s[stay], s_added]),
    )
    change = np.where(gone, 0, s) - old.s
    # A change of rounding is none, and takes no row of the factor.
    change[np.abs(change) <= 4 * np.finfo(float).eps * np.maximum(s, old.s)] = 0
    rows = np.flatnonzero(change)
    factor = _changed_factor(
        optimum._factor,
        replace(
            old,
            X=np.concatenate([old.X[rows], X]),
            T=np.concatenate([old.T[rows], T]),
            s=np.concatenate([change[rows], s_added]),
        ),
        w,
    )
    result = copy(optimum)
    given = {"remove": remove, "sample_weight": sample_weight}
    weighing = " and ".join(name for name, value in given.items() if value is not None)
    result._settle(new, w, factor, max_steps, weighing)
    return result


def _changed_factor(factor: _Factor, changed: _Objective, w: Array) -> _Factor | None:
    """With the Gauss-Newton part of samples whose weights change by ``changed.s``, or None."""
    changed = changed.rows(changed.s != 0)
    K = changed.net.n_outputs
    if len(factor.c) + K * len(changed.s) > w.size / 2:
        return None  # a new factor is cheaper
    try:
        return factor.changed(changed.curvature_rows(w), np.repeat(changed.s, K))
    except np.linalg.LinAlgError:
        return None


def _as_array(name: str, value: ArrayLike, expected: str) -> Array:
    try:
        return np.asarray(value)
    except ValueError:  # of lists of lists, and NumPy does not know their name
        raise ValueError(f"{name} has parts of different lengths, expected {expected}") from None


def _row_numbers(name: str, rows: ArrayLike, N: int) -> Array:
    array = _as_array(name, rows, "(m,) integers or bools")
    if array.dtype == bool:
        if array.shape != (N,):
            raise ValueError(f"{name} has shape {array.shape}, expected ({N},) for bools")
        return np.flatnonzero(array)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} has dtype {array.dtype}, expected integers or bools")
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}, expected (m,)")
    for row in array[(array < 0) | (array >= N)][:1]:
        raise ValueError(f"{name} has {row}, expected rows from 0 to {N - 1}")
    return array.astype(int)


def _check_optimum(optimum: object, converged: bool = True) -> None:
    if not isinstance(optimum, Optimum):
        raise TypeError(f"optimum is a {type(optimum).__name__}, expected a mlpcore.Optimum")
    if converged and not optimum.converged:
        raise ValueError(
            f"optimum has not converged: after {optimum.steps} steps the gradient is up to "
            f"{optimum.gradient_norm:.3g}, expected a minimum; train further or raise max_steps"
        )


# Without one sample, without a fold --------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False)
class LeaveOneOut(Table):
    """What `leave_one_out` gives back.

    Attributes
    ----------
    y : (N, K) array
        The prediction for each sample by the optimum without it.
    residuals : (N, K) array
        T - y.
    error : float
        sum_n s_n E_n of these predictions: half the PRESS for linear outputs.
    leverage : (N,) array
        The largest eigenvalue of ``s_n R_n^T J_n H^{-1} J_n^T R_n`` (B_n = R_n R_n^T); for linear
        outputs with K = 1 the leverage ``dy_n/dt_n`` to first order.
    """

    y: Array
    residuals: Array
    error: float
    leverage: Array

    def _title(self) -> str:
        return f"LeaveOneOut of {len(self.y)} samples"

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("error", f"{self.error:.6g} in all"),
            ("leverage", f"{self.leverage.min():.3g} to {self.leverage.max():.3g}"),
        ]


def leave_one_out(optimum: Optimum) -> LeaveOneOut:
    """The prediction for each sample by the optimum without it, all N from one factor.

    The sample is taken out by one Newton step with the Hessian less the Gauss-Newton part of the
    sample (its h'' term stays), in output space:

        dw_n = H^{-1} J_n^T (I - s_n B_n A_n)^{-1} s_n delta_n,    A_n = J_n H^{-1} J_n^T

    and the prediction is y(x_n, w + dw_n). For linear outputs, K = 1, the step has the factor
    1 / (1 - leverage) of Sherman and Morrison; in a network without hidden layers it is exact, and
    the residuals are those of the PRESS statistic (Allen, 1974). For the cross-entropy see Pregibon
    (1981), for networks Larsen and Hansen (1996).

    Where a leverage is 1 to rounding or more, which the exact Hessian does not exclude, the sample
    is taken out by its whole Hessian as a fold in `k_fold_predictions`. Weights that only this
    sample determines, as those of an input that is 0 in all others, stay as they are.

    Parameters
    ----------
    optimum : Optimum
        Of N samples; it must have converged.

    Returns
    -------
    LeaveOneOut
        The predictions (N, K), their residuals (N, K) and error, and the leverages (N,).

    Raises
    ------
    TypeError
        If optimum is none.
    ValueError
        If the optimum has not converged, or if its Hessian is not positive definite; the message
        has the eigenvalues.
    MemoryError
        If the factor of the Hessian takes, with five matrices (W, W) at most, more than the memory
        available; the message states its size.

    Notes
    -----
    A Hessian, a Cholesky factor and about N W^2 K multiply-adds; tiles of samples bound the memory.
    """
    _check_optimum(optimum)
    f = optimum._objective
    y, z, leverage = np.empty_like(f.T), np.empty_like(f.T), np.empty(len(f.X))
    for tile, dw, h in _steps_without_each(optimum):
        there, X = optimum.w + dw, f.X[tile, None, :]
        y[tile] = f.net.forward(there, X)[:, 0]
        z[tile] = f.logits.forward(there, X)[:, 0]
        leverage[tile] = h
    return LeaveOneOut(y, f.T - y, _error_of(f, z), leverage)


def _error_of(f: _Objective, z: Array) -> float:
    """sum_n s_n E_n of given z, the outputs before the output function: no logarithm of 0."""
    if f.net.output == "linear":
        each = 0.5 * (z - f.T) ** 2
    elif f.net.output == "sigmoid":
        each = f.T * np.logaddexp(0, -z) + (1 - f.T) * np.logaddexp(0, z)
    else:
        below = z - z.max(axis=1, keepdims=True)
        each = f.T * (np.log(np.exp(below).sum(axis=1, keepdims=True)) - below)
    return float((f.s[:, None] * each).sum())


def _steps_without_each(
    optimum: Optimum, corrected: bool = True
) -> Iterator[tuple[slice, Array, Array]]:
    """Tile by tile: the rows, the steps dw_n (n, W) that take each out, the leverages (n,)."""
    f, w, U = optimum._objective, optimum.w, optimum._inverse_factor()
    K, W = f.net.n_outputs, w.size
    logits, identity = f.logits, np.eye(K)
    whole: tuple[Array, Array] | None = None
    size = max(1, _TILE // (K * W))
    for start in range(0, len(f.X), size):
        tile = slice(start, min(start + size, len(f.X)))
        X, s = f.X[tile], f.s[tile, None]
        y = f.net.forward(w, X)
        R = _curvature_root(f.net.output, y)
        J = logits.weight_jacobian(w, X)
        G = (J.reshape(-1, W) @ U.T).reshape(-1, K, W)
        A = G @ np.swapaxes(G, 1, 2)  # J H^{-1} J^T
        leverage = s[:, 0] * np.linalg.eigvalsh(np.swapaxes(R, 1, 2) @ A @ R)[:, -1]
        e = s * (y - f.T[tile])
        if corrected:
            sBA = s[:, :, None] * (R @ np.swapaxes(R, 1, 2) @ A)
            out_of_reach = leverage >= 1 - _OUT_OF_REACH
            sBA[out_of_reach] = 0
            e = np.linalg.solve(identity - sBA, e[:, :, None])[:, :, 0]
        dw = np.einsum("nk,nkw->nw", e, G) @ U
        if corrected:
            for i in np.flatnonzero(out_of_reach):
                whole = whole or f.hessian_and_units(w, optimum.kind)
                dw[i] = _step_without(optimum, np.arange(start + i, start + i + 1), *whole)
        yield tile, dw, leverage


def _step_without(optimum: Optimum, rows: Array, H: Array, d: Array) -> Array:
    """The Newton step (W,) that takes these rows out, by their Hessian of the optimum's kind.

    Gauss-Newton for all the rest where the Hessian of the rest is not positive definite. H is that
    of all rows, d its units, also of the rest, whose rounding is that of the whole.
    """
    f, w = optimum._objective, optimum.w
    part = f.rows(rows)
    gradient = f.net.gradient(w, part.X, part.T, part.s)
    try:
        rest = _Factor(_inverse_factor(H - replace(part, R=None).hessian(w, optimum.kind), d))
    except np.linalg.LinAlgError:
        stay = np.delete(np.arange(len(f.X)), rows)
        rest, _, _ = f.rows(stay).step_factor(w, "gauss_newton", units=d)
    return rest.solve(gradient)


def k_fold_predictions(optimum: Optimum, folds: int | ArrayLike, seed: int | None = None) -> Array:
    """The prediction for each sample by the optimum without its fold, (N, K).

    A fold is taken out by one Newton step with the Hessian, of the optimum's kind, of the samples
    that stay: the whole less that of the fold, so that all folds together cost two Hessians and a
    factorization each. Where it is not positive definite the step is that of Gauss-Newton.

    Parameters
    ----------
    optimum : Optimum
        Of N samples; it must have converged.
    folds : int or (N,) integers
        How many folds to draw at random (from 2 to N), or the fold of each sample.
    seed : int, optional
        Of the draw; None takes one from the system. With the fold of each sample nothing is drawn.

    Returns
    -------
    (N, K) array
        The outputs after the output function, a row a sample.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As in `leave_one_out`, and if folds or seed are unusable.
    """
    _check_optimum(optimum)
    f = optimum._objective
    N = len(f.X)
    fold = _as_array("folds", folds, f"a whole number or ({N},) integers")
    if fold.ndim == 0:
        k = whole_number("folds", folds, least=2, below=N + 1)
        if seed is not None:
            seed = whole_number("seed", seed, least=0)
        fold = np.random.default_rng(seed).permutation(np.arange(N) % k)
    else:
        if fold.shape != (N,):
            raise ValueError(f"folds has shape {fold.shape}, expected ({N},)")
        if not np.issubdtype(fold.dtype, np.integer):
            raise TypeError(f"folds has dtype {fold.dtype}, expected integers")
        if (fold == fold[0]).all():
            raise ValueError(f"folds has {fold[0]} alone, expected at least two folds")
        if seed is not None:
            raise ValueError(f"seed is {seed!r} beside the fold of each sample, expected None")
    whole = f.hessian_and_units(optimum.w, optimum.kind)
    optimum._inverse_factor(whole)  # or say why there is none
    y = np.empty_like(f.T)
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        y[rows] = f.net.forward(optimum.w + _step_without(optimum, rows, *whole), f.X[rows])
    return y


def influence(optimum: Optimum, X: ArrayLike, *, corrected: bool = True) -> Array:
    """What each training sample does to predictions: y without it less y with it, (N, M, K).

    To first order in the step that takes the sample out, ``dy/dw dw_n``.

    Parameters
    ----------
    optimum : Optimum
        Of N samples; it must have converged.
    X : (M, D) array-like
        Where to predict.
    corrected : bool
        True: the step of `leave_one_out`, with the curvature of the sample taken out; exact in
        linear regression, and the ground of Cook's distance (Cook, 1977). False:
        ``dw_n = H^{-1} s_n g_n``, the derivative with respect to the weight of the sample (Koh
        and Liang, 2017), too small where leverages are large.

    Returns
    -------
    (N, M, K) array
        By sample, place and output.

    Raises
    ------
    ValueError, TypeError
        As in `leave_one_out`, and if X or corrected is unusable.
    MemoryError
        As in `leave_one_out`, and if the dy/dw (M, K, W) or the result are larger than the memory
        available.
    """
    _check_optimum(optimum)
    corrected = flag("corrected", corrected)
    f = optimum._objective
    slopes = f.net.weight_jacobian(optimum.w, X)  # (M, K, W)
    M, K, W = slopes.shape
    N = len(f.X)
    _core.check_memory(f"influence of shape ({N}, {M}, {K})", 8.0 * N * M * K)
    result = np.empty((N, M, K))
    for tile, dw, _ in _steps_without_each(optimum, corrected):
        result[tile] = (dw @ slopes.reshape(M * K, W).T).reshape(len(dw), M, K)
    return result
