"""The warning of a start from which the units of a hidden layer can't become different."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
from numpy.typing import ArrayLike

from mlpcore.network import Network

__all__ = ["warn_of_symmetry"]


def warn_of_symmetry(net: Network, w: ArrayLike) -> None:
    """Warn the caller's caller if the units of a layer begin all alike, as from zero weights.

    They then have the same gradient and stay alike for ever, which makes them one unit.

    Parameters
    ----------
    net : Network
    w : (W,) or (S, W) array-like
        Where the network begins, or each of an ensemble. Other shapes are for others to refuse.

    Warns
    -----
    UserWarning
        Once, of the first such layer.
    """
    w = np.asarray(w)
    if w.ndim not in (1, 2) or w.shape[-1] != net.n_weights:
        return
    is_ensemble = w.ndim == 2
    w = np.atleast_2d(w)
    places = net.unpack(np.arange(net.n_weights))
    for layer, (below, above) in enumerate(itertools.pairwise(places), start=1):
        W, b, W_next = w[:, below[0]], w[:, below[1]], w[:, above[0]]
        alike = (
            (W == W[:, :1]).all((1, 2))
            & (b == b[:, :1]).all(1)
            & (W_next == W_next[:, :, :1]).all((1, 2))
        )
        if b.shape[1] > 1 and alike.any():
            of = f" of network {np.argmax(alike)}" if is_ensemble else ""
            warnings.warn(
                f"the {b.shape[1]} units of hidden layer {layer}{of} begin all alike and will "
                f"stay so, as they have the same gradient; begin at net.init(seed) instead",
                UserWarning,
                stacklevel=3,
            )
            return
