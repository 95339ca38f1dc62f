"""The diagonal of the Hessian from random products, where the exact one is too dear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore.checks import choice, random_generator, whole_number
from mlpcore.network import Network, ProductKind, check_network, weights_of_one

if TYPE_CHECKING:
    from mlpcore.regularizers import Regularizer

__all__ = ["DiagonalEstimate", "stochastic_diagonal"]

Array = NDArray[Any]

#: Products that are asked for at once: enough to share the passes, few enough to hold.
_BLOCK = 64


class DiagonalEstimate(NamedTuple):
    """An estimate of a diagonal, and how far off it may be."""

    diagonal: Array  #: (W,)
    standard_error: Array  #: (W,), the standard deviation of the estimate, itself estimated
    n_probes: int  #: products with the Hessian that were made


def stochastic_diagonal(
    net: Network,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    n_probes: int,
    seed: int | np.random.Generator | None = None,
    method: Literal["hutchinson", "bekas"] = "hutchinson",
    sample_weight: ArrayLike | None = None,
    kind: ProductKind = "exact",
    regularizer: Regularizer | None = None,
) -> DiagonalEstimate:
    """The diagonal of the Hessian H, estimated from ``n_probes`` products H z.

    The estimate is the mean of ``z * H z`` over random z with elements of plus and minus one. It
    is unbiased: (z * H z)_i = H_ii + sum_j z_i z_j H_ij, and the sum has mean zero.

    Parameters
    ----------
    net : Network
    w : (W,) array
        The weights of a single network; no ensemble (S, W).
    X, T, sample_weight
        As for `Network.hessian_vector_product`.
    n_probes : int
        At least 2 for hutchinson, at least 8 for bekas.
    method : {"hutchinson", "bekas"}
        hutchinson draws every element of every z: the variance is sum_{j != i} H_ij^2 / n_probes.
        bekas takes z from the rows of a Hadamard matrix of order b, n_probes / 4 rounded down to
        a power of two, repeated along w, in at least four rounds with new random signs: in a
        round the terms of all j cancel but those with j - i a multiple of b. Weights of one unit
        stand side by side in w and are the most entangled, so it is often the better one; with
        b >= W it is exact.
    seed : int, numpy Generator or None
        None takes a seed from the system.
    kind : {"exact", "gauss_newton"}
        Of which matrix; see `Network.hessian_vector_product`.
    regularizer : mlpcore.regularizers.Regularizer, optional
        R: the diagonal is that of the Hessian of E + R. Where R is a sum over the weights its part
        of the estimate is exact, for z_i^2 = 1.

    Returns
    -------
    DiagonalEstimate
        The diagonal (W,), its standard error (W,) and the number of products made.

    Raises
    ------
    ValueError, TypeError
        If an argument is unusable, or if w is that of an ensemble; the message names it.
    MemoryError
        If the products of a block of 64, or the working memory for them, are larger than the memory
        available; the message states its size.

    References
    ----------
    Hutchinson, A stochastic estimator of the trace of the influence matrix, 1990.
    Bekas, Kokiopoulou and Saad, An estimator for the diagonal of a matrix, Applied Numerical
    Mathematics 57, 2007.
    """
    check_network(net)
    choice("method", method, ("hutchinson", "bekas"))
    n_probes = whole_number("n_probes", n_probes, least=2 if method == "hutchinson" else 8)
    w = weights_of_one(net, w)
    random = random_generator(seed)
    W = net.n_weights
    order = 1
    while method == "bekas" and order <= n_probes // 8 and order < W:
        order *= 2
    columns = np.arange(W) % order
    rounds = n_probes // order

    def hadamard_rows(start: int) -> Array:
        """A block (m, W) of Sylvester's matrix: -1 where i and j share an odd number of ones."""
        digits = np.arange(start, min(start + _BLOCK, order))[:, None] & columns
        for half in (32, 16, 8, 4, 2, 1):
            digits ^= digits >> half
        return 1 - 2 * (digits & 1)

    def one_round_estimates(count: int) -> Array:
        """Of ``count`` rounds, (count, W)."""
        signs = random.integers(0, 2, size=(count, 1, W)) * 2.0 - 1
        totals = np.zeros((count, W))
        for start in range(0, order, _BLOCK):
            z = (signs * hadamard_rows(start)).reshape(-1, W).astype(net.dtype)
            products = net.hessian_vector_product(
                w, z, X, T, sample_weight, kind, regularizer=regularizer
            )
            terms = (z * products).reshape(count, -1, W)
            totals += terms.sum(axis=1, dtype=np.float64)
        return totals / order

    # The mean and the squared deviations of all rounds, put together block by block.
    mean, squares, done = np.zeros(W), np.zeros(W), 0
    while done < rounds:
        count = min(max(_BLOCK // order, 1), rounds - done)
        block = one_round_estimates(count)
        block_mean = block.mean(axis=0)
        step, total = block_mean - mean, done + count
        squares += ((block - block_mean) ** 2).sum(axis=0) + step**2 * (done * count / total)
        mean, done = mean + step * (count / total), total
    standard_error = np.sqrt(squares / (rounds - 1) / rounds)
    return DiagonalEstimate(
        mean.astype(net.dtype), standard_error.astype(net.dtype), rounds * order
    )
