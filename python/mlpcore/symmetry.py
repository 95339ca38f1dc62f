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
    for s, one in enumerate(np.atleast_2d(w)):
        for layer, ((W, b), (W_next, _)) in enumerate(itertools.pairwise(net.unpack(one))):
            alike = (W == W[:1]).all() and (b == b[:1]).all() and (W_next == W_next[:, :1]).all()
            if len(W) > 1 and alike:
                of = f" of network {s}" if w.ndim == 2 else ""
                warnings.warn(
                    f"the {len(W)} units of hidden layer {layer + 1}{of} begin all alike and will "
                    f"stay so, as they have the same gradient; begin at net.init(seed) instead",
                    UserWarning,
                    stacklevel=3,
                )
                return
