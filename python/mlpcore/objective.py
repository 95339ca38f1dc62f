"""The regularized error of an optimum, ``F(w) = sum_n s_n E_n(w) + R(w)``, and its curvature."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpcore import _core
from mlpcore.hessian_factor import ROUNDING, Factor, equilibrating_units, inverse_factor
from mlpcore.network import Network, ProductKind
from mlpcore.regularizers import Regularizer, real_curvature

__all__ = ["Objective", "curvature_root"]

Array = NDArray[Any]

_NOTICEABLE = 1e-3  # share of a curvature or slope below which a part of it does not count
_FLAT = 1e-10  # of the largest curvature: below 0 by less than this is rounding
_NOTHING = 1e-100  # of the size one expects of a weight: it is 0 but for its last bits
_SIZES = (1e-100, 1e100)  # so that no square of one overflows


@dataclass(frozen=True, eq=False)
class Objective:
    """F(w) = sum_n s_n E_n(w) + R(w) with its derivatives, in float64; without R if it is None."""

    net: Network
    X: Array
    T: Array
    s: Array
    R: Regularizer | None

    @property
    def floor(self) -> float:
        """What F is at most where nothing but rounding is left of the residuals.

        Of the other outputs there is no floor.
        """
        if self.net.output != "linear":
            return 0.0
        rounding = 10 * np.finfo(float).eps * self.T
        return float((self.s[:, None] * rounding**2).sum())

    def is_of_infinity(self, F: float) -> bool:
        """Whether F has no such value: that of other outputs is 0 only where w is infinite."""
        return F == 0 and self.net.output != "linear"

    def rounding(self, F: float) -> float:
        """By how much F may be off: in itself, and by what `floor` has of each residual."""
        return ROUNDING * abs(F) + float(np.sqrt(2 * abs(F) * self.floor))

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

    def rows(self, rows: Any) -> Objective:
        """The same of some samples."""
        return replace(self, X=self.X[rows], T=self.T[rows], s=self.s[rows])

    def value_and_gradient(self, w: Array) -> tuple[float, Array]:
        F, g = self.net.error_and_gradient(w, self.X, self.T, self.s, regularizer=self.R)
        return float(F), g

    def hessian(self, w: Array, kind: ProductKind) -> Array:
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

    def hessian_and_units(self, w: Array, kind: ProductKind) -> tuple[Array, Array]:
        """H (W, W) and its `equilibrating_units` (W,)."""
        H = self.hessian(w, kind)
        return H, equilibrating_units(H, self.units, self.held(w, H))

    def shorten(self, w: Array, g: Array, H: Array, kind: ProductKind) -> Array:
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
        far &= (size > _NOTHING * self.sizes) & (np.abs(diagonal) * size < slope)
        if far.any():  # where F is the parabola that H says, a step may be as far as it likes
            step = np.where(far, -np.sign(g) * size, 0)
            _, g_near = self.value_and_gradient(w + step)
            far &= ~(np.abs(g_near - g - H @ step) <= 0.5 * slope)
            diagonal[far] = slope[far] / size[far]
        return far

    def step_factor(
        self, w: Array, kind: ProductKind, g: Array | None = None, units: Array | None = None
    ) -> tuple[Factor, Array | None, bool]:
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
        d = equilibrating_units(H, units, held)
        try:
            return Factor(inverse_factor(H, d)), None, lasts
        except np.linalg.LinAlgError:
            # What is nearly flat, and hardly known, must not lead.
            d = np.where(held, d, np.maximum(d, units))
        H /= d[:, None]
        H /= d
        e, Q = np.linalg.eigh(H)  # now that the exception no longer holds a matrix
        largest = float(np.abs(e).max()) or 1.0
        factor = Factor((Q / np.sqrt(np.maximum(np.abs(e), 1e-8 * largest))).T / d)
        return factor, Q[:, 0] / d if e[0] < -_FLAT * largest else None, lasts

    def curvature_rows(self, w: Array) -> Array:
        """V (N K, W) with sum_n J_n^T B_n J_n = V^T V: R_n^T J_n, B_n = R_n R_n^T."""
        R = curvature_root(self.net.output, self.net.forward(w, self.X))
        V: Array = np.swapaxes(R, 1, 2) @ self.logits.weight_jacobian(w, self.X)
        return V.reshape(-1, w.size)


def curvature_root(output: str, y: Array) -> Array:
    """R_n (N, K, K) with R_n R_n^T = B_n = dy/dz: I, diag(y (1 - y)), diag(y) - y y^T."""
    identity = np.eye(y.shape[1])
    if output == "linear":
        return np.broadcast_to(identity, (*y.shape, y.shape[1]))
    if output == "sigmoid":
        return np.asarray(np.sqrt(y * (1 - y))[:, :, None] * identity)
    q = np.sqrt(y)  # I - q q^T is a projection, for q.q = 1
    return np.asarray(q[:, :, None] * (identity - q[:, :, None] * q[:, None, :]))
