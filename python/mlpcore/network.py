"""The network: a description of y(x, w), and every quantity of it as a function of w."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from mlpcore import _core
from mlpcore.checks import choice, flag, random_generator, whole_number

if TYPE_CHECKING:
    from mlpcore.regularizers import Regularizer, Terms

__all__ = ["Network"]

Array = NDArray[Any]
CurvatureKind = Literal["exact", "gauss_newton", "becker_lecun"]
HessianKind = Literal["exact", "gauss_newton", "empirical_fisher"]
ProductKind = Literal["exact", "gauss_newton"]
InitScheme = Literal["auto", "glorot", "he", "lecun", "normal", "zeros"]

# The scheme of "auto", by the activation that a layer's weights feed; glorot where not named.
_AUTO_SCHEME = {"relu": "he", "leaky_relu": "he", "elu": "he", "gelu": "he", "silu": "he"}


class Network:
    """A multilayer perceptron y(x, w), without its weights.

    Layer by layer ``z = W a + b`` and ``a = h(z)``, beginning with ``a = x`` (PRML 5.48, 5.49).
    The weights are one flat vector `w` of length W: for each layer the matrix (n_out, n_in) row
    by row, then the bias (n_out,). That is the order of the parameters of ``torch.nn.Linear``.

    Parameters
    ----------
    layers : sequence of int
        ``(D, M1, ..., K)``: inputs, hidden units, outputs. ``(D, K)`` is linear or logistic
        regression.
    hidden : str or sequence of str
        The activation of all hidden layers, or one for each: identity, sigmoid, tanh, relu,
        leaky_relu (slope 0.01), softplus, elu (alpha 1), gelu (exact), silu. At 0, where relu and
        leaky_relu have no derivative, h' is that of the left side (0 and 0.01); their h'' is 0.
    output : {"linear", "sigmoid", "softmax"}
        The output units, with their canonical error E(w), a **sum** over samples: linear with
        half the sum of squares (PRML 5.11), sigmoid with the cross-entropy of K independent
        two-class problems (5.23), softmax with that of K classes (5.24).
    dtype : {"float64", "float32"}
        The type of the computation and of every result.

    Raises
    ------
    ValueError, TypeError
        If an argument can't describe a network; the message names it.

    Notes
    -----
    Arguments of the methods are arrays or anything that becomes one; an array that is
    C-contiguous and has the network's dtype is not copied. Inputs are never changed. All results
    have the same bits for any number of threads.

    In the methods, ``X`` is (N, D) and ``T`` is (N, K), or (N,) where K = 1; for softmax it may
    also be class labels (N,) from 0 to K - 1, and dense rows must sum to 1. ``sample_weight``
    is None or (N,), at least 0, and multiplies the error of each sample. A wrong shape, a value
    that is not finite or a target out of range is a ValueError, a dtype that is not real numbers
    a TypeError; both name the argument, what came and what was expected. A result, or the working
    memory for it, that is larger than the memory available is a MemoryError that states its size.

    ``out`` and ``regularizer``, where a method has them, are given by their names.

    ``out`` is an array for the result (of error_and_gradient: for the gradient), which is returned:
    exactly of the result's shape and dtype, C-contiguous, aligned and writeable, and sharing memory
    with no other argument. Anything else is a ValueError or a TypeError, before anything is
    written. A large result is had more quickly in memory that was used before. What `out` holds
    after an exception from the computation itself, such as KeyboardInterrupt or one of a
    regularizer of your own, is not defined.

    With a ``regularizer`` (`mlpcore.regularizers`) the error is E(w) + R(w), and every derivative
    has that of R added; R's second derivatives are exact whatever the ``kind``.

    The ensemble axis: with weights of shape (S, W) every method but `hessian_operator` computes S
    networks at once, all on the same data or, with arrays that have S in front of their shape, each
    on its own. Results get S in front of their shape, E(w) becomes (S,), and each has the bits that
    its network has alone. `init` makes the weights of one network; ``np.stack`` puts them together.

    Examples
    --------
    >>> import mlpcore, numpy as np
    >>> net = mlpcore.Network((2, 3, 1))
    >>> net.n_weights
    13
    >>> w = net.init(seed=0)
    >>> net.forward(w, [[0.0, 0.0], [1.0, 2.0]]).shape
    (2, 1)
    """

    __slots__ = ("_core", "_dtype", "_hidden", "_layers", "_output")

    def __init__(
        self,
        layers: Sequence[int],
        hidden: str | Sequence[str] = "tanh",
        output: Literal["linear", "sigmoid", "softmax"] | str = "linear",
        dtype: DTypeLike = "float64",
    ) -> None:
        self._layers = _layer_sizes(layers)
        n_hidden = max(len(self._layers) - 2, 0)
        names = activation_names("hidden", hidden, n_hidden)
        choice("output", output, _core.outputs)
        self._hidden = names
        self._output = output
        try:
            self._dtype = np.dtype(dtype or "object")  # NumPy takes None for float64
        except Exception:  # NumPy raises what it likes, SyntaxError among others
            raise TypeError(f"dtype is {dtype!r}, expected float64 or float32") from None
        if self._dtype not in (np.dtype(np.float64), np.dtype(np.float32)):
            raise ValueError(f"dtype is {self._dtype}, expected float64 or float32")
        self._core = _core.Network(
            list(self._layers), list(names), output, self._dtype == np.float64
        )

    @property
    def layers(self) -> tuple[int, ...]:
        """``(D, M1, ..., K)``."""
        return self._layers

    @property
    def hidden(self) -> tuple[str, ...]:
        """The activation of each hidden layer."""
        return self._hidden

    @property
    def output(self) -> str:
        """The output units: linear, sigmoid or softmax."""
        return self._output

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the computation."""
        return self._dtype

    @property
    def n_inputs(self) -> int:
        """D."""
        return self._layers[0]

    @property
    def n_outputs(self) -> int:
        """K."""
        return self._layers[-1]

    @property
    def n_weights(self) -> int:
        """W, biases included."""
        return self._core.n_weights

    def __repr__(self) -> str:
        hidden: object = self._hidden
        if len(set(self._hidden)) == 1:
            hidden = self._hidden[0]
        return (
            f"Network({self._layers}, hidden={hidden!r}, output={self._output!r}, "
            f"dtype='{self._dtype}')"
        )

    def _key(self) -> tuple[object, ...]:
        return (self._layers, self._hidden, self._output, self._dtype.name)

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Network) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), self._key())

    # Weights

    def init(
        self, seed: int | np.random.Generator | None = None, scheme: InitScheme = "auto"
    ) -> Array:
        """Random weights to begin a training with; the biases are zero.

        Parameters
        ----------
        seed : int, numpy Generator or None
            What the numbers come from; None takes a seed from the system.
        scheme : {"auto", "glorot", "he", "lecun", "normal", "zeros"}
            The variance of a layer's weights: glorot 2 / (n_in + n_out) (Glorot and Bengio, 2010),
            he 2 / n_in (He et al., 2015), lecun 1 / n_in (LeCun et al., 1998), normal 1 (biases
            too: a sample from the prior of unit precision), zeros 0. They are drawn from a normal
            distribution. auto takes he below relu, leaky_relu, elu, gelu and silu, glorot
            elsewhere.

        Returns
        -------
        w : (W,)

        Raises
        ------
        ValueError, TypeError
            If `seed` is no whole number of at least 0 and no Generator, or `scheme` none of these.

        Notes
        -----
        From "zeros" the units of a hidden layer have the same gradient and stay the same as each
        other for ever; it is of use for networks without a hidden layer.
        """
        choice("scheme", scheme, ("auto", "glorot", "he", "lecun", "normal", "zeros"))
        random = random_generator(seed)
        w = np.zeros(self.n_weights, self._dtype)
        if scheme == "zeros":
            return w
        if scheme == "normal":
            w[:] = random.standard_normal(self.n_weights)
            return w
        for (matrix, _), activation in zip(
            self.unpack(w), (*self._hidden, "identity"), strict=True
        ):
            n_out, n_in = matrix.shape
            chosen = _AUTO_SCHEME.get(activation, "glorot") if scheme == "auto" else scheme
            variance = {"glorot": 2 / (n_in + n_out), "he": 2 / n_in, "lecun": 1 / n_in}[chosen]
            matrix[:] = np.sqrt(variance) * random.standard_normal(matrix.shape)
        return w

    def unpack(self, w: ArrayLike) -> list[tuple[Array, Array]]:
        """The weights as ``[(W1, b1), (W2, b2), ...]``: views into `w` if that is an array.

        Parameters
        ----------
        w : (W,) or (S, W)

        Returns
        -------
        parts : list of pairs of arrays
            For each layer its W, (n_out, n_in), and its b, (n_out,); of an ensemble (S, W) they are
            (S, n_out, n_in) and (S, n_out).

        Raises
        ------
        ValueError
            If `w` has another shape.
        TypeError
            If `w` is not an array and does not become one of real numbers.
        """
        if not isinstance(w, np.ndarray):
            w = _core.as_array("w", w, self._dtype == np.float64)
        w = check_weights(self, w)
        parts = []
        start = 0
        for n_in, n_out in zip(self._layers[:-1], self._layers[1:], strict=True):
            middle = start + n_out * n_in
            end = middle + n_out
            matrix = w[..., start:middle].reshape(*w.shape[:-1], n_out, n_in)
            parts.append((matrix, w[..., middle:end]))
            start = end
        return parts

    def pack(self, parts: Sequence[tuple[ArrayLike, ArrayLike]]) -> Array:
        """The flat vector `w` of ``[(W1, b1), (W2, b2), ...]``: what `unpack` undoes.

        Parameters
        ----------
        parts : sequence of pairs of array_like
            For each layer its W, (n_out, n_in), and its b, (n_out,); of an ensemble of S networks
            (S, n_out, n_in) and (S, n_out).

        Returns
        -------
        w : (W,), or (S, W)

        Raises
        ------
        ValueError
            If `parts` is no sequence of pairs, one for each layer, or an array has another shape.
        TypeError
            If an array does not hold real numbers, or is a masked array.
        """
        n_layers = len(self._layers) - 1
        try:
            pairs = [(W, b) for W, b in parts]
        except (TypeError, ValueError):
            raise ValueError(
                "parts is not a sequence of pairs, expected a pair (W, b) for each layer"
            ) from None
        if len(pairs) != n_layers:
            raise ValueError(
                f"parts has {len(pairs)} entries, expected {n_layers}: a pair (W, b) for each layer"
            )
        is_double = self._dtype == np.float64
        first = _core.as_array("W of parts[0]", pairs[0][0], is_double)
        w = np.empty((*first.shape[: first.ndim == 3], self.n_weights), self._dtype)
        for i, (to, given) in enumerate(zip(self.unpack(w), pairs, strict=True)):
            for target, source, letter in zip(to, given, "Wb", strict=True):
                name = f"{letter} of parts[{i}]"
                array = _core.as_array(name, source, is_double)
                if array.shape != target.shape:
                    raise ValueError(f"{name} has shape {array.shape}, expected {target.shape}")
                target[...] = array
        return w

    # Values and derivatives

    def forward(
        self, w: ArrayLike, X: ArrayLike, logits: bool = False, *, out: Array | None = None
    ) -> Array:
        """The outputs y, (N, K); with ``logits=True`` the z^L before the output function."""
        return _core.forward(self._core, w, X, flag("logits", logits), out)

    def error(
        self,
        w: ArrayLike,
        X: ArrayLike,
        T: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        regularizer: Regularizer | None = None,
    ) -> Any:
        """The error E(w), a float: a sum over the samples (PRML 5.11, 5.23, 5.24)."""
        if regularizer is not None:
            terms = _terms(self, w, regularizer)
            return _core.error(self._core, w, X, T, sample_weight) + terms.value()
        return _core.error(self._core, w, X, T, sample_weight)

    def gradient(
        self,
        w: ArrayLike,
        X: ArrayLike,
        T: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        out: Array | None = None,
        regularizer: Regularizer | None = None,
    ) -> Array:
        """dE/dw, (W,), by error backpropagation (PRML 5.53 to 5.56)."""
        if regularizer is not None:
            terms = _terms(self, w, regularizer)  # refuses before anything is written
            return terms.add_gradient(Network.gradient(self, w, X, T, sample_weight, out=out))
        return _core.gradient(self._core, w, X, T, sample_weight, out)

    def error_and_gradient(
        self,
        w: ArrayLike,
        X: ArrayLike,
        T: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        out: Array | None = None,
        regularizer: Regularizer | None = None,
    ) -> tuple[Any, Array]:
        """E(w) and dE/dw for the price of the gradient.

        A gradient of a regularizer of your own that is not finite is refused by the other methods
        and given back by this one: a search for a minimum asks also where R is not defined, and
        then takes a shorter step.
        """
        if regularizer is not None:
            terms = _terms(self, w, regularizer)
            E, g = Network.error_and_gradient(self, w, X, T, sample_weight, out=out)
            return E + terms.value(), terms.add_gradient(g, finite=False)
        return _core.error_and_gradient(self._core, w, X, T, sample_weight, out)

    def jacobian(self, w: ArrayLike, X: ArrayLike, *, out: Array | None = None) -> Array:
        """dy_k/dx_i, (N, K, D), of the outputs after the output function (PRML 5.70 to 5.76).

        Raises
        ------
        MemoryError
            If the result, or the working memory, is larger than the memory available; the message
            states its size.
        """
        return _core.jacobian(self._core, w, X, out)

    def weight_jacobian(self, w: ArrayLike, X: ArrayLike, *, out: Array | None = None) -> Array:
        """dy_k/dw, (N, K, W), of the outputs after the output function: the b_n of PRML 5.84.

        By backpropagation of each output (PRML 5.74 to 5.76), dy_k/dW^l_ji = dy_k/dz^l_j a^{l-1}_i
        as in 5.53, and dy_k/db^l_j = dy_k/dz^l_j.

        Raises
        ------
        MemoryError
            If the result is larger than the memory available; the message states its size.
        """
        return _core.weight_jacobian(self._core, w, X, out)

    def per_sample_gradient(
        self, w: ArrayLike, X: ArrayLike, T: ArrayLike, *, out: Array | None = None
    ) -> Array:
        """dE_n/dw, (N, W): the terms of the gradient, without that of a regularizer: no sample's.

        dE_n/dW^l = delta^l a^{l-1}T and dE_n/db^l = delta^l (PRML 5.53), not multiplied by a
        sample_weight.

        Raises
        ------
        MemoryError
            If the result is larger than the memory available; the message states its size.
        """
        return _core.per_sample_gradient(self._core, w, X, T, out)

    def hessian_diagonal(
        self,
        w: ArrayLike,
        X: ArrayLike,
        T: ArrayLike,
        sample_weight: ArrayLike | None = None,
        kind: CurvatureKind = "exact",
        *,
        out: Array | None = None,
        regularizer: Regularizer | None = None,
    ) -> Array:
        """The diagonal of the Hessian, d2E/dw2, (W,).

        Parameters
        ----------
        kind : {"exact", "gauss_newton", "becker_lecun"}
            exact at any depth; gauss_newton leaves out the terms with h'' (the diagonal of PRML
            5.84); becker_lecun carries only diagonals from layer to layer (PRML 5.79 to 5.81;
            Becker and LeCun, 1989).

        Raises
        ------
        MemoryError
            If the working memory is larger than the memory available; the message states its size.

        Notes
        -----
        With one hidden layer it costs about a gradient. Deeper, exact and gauss_newton cost about
        N sum_l n_l n_{l+1} (n_l + n_{l+1}) multiply-adds.
        """
        choice("kind", kind, _core.curvatures)
        if regularizer is not None:
            terms = _terms(self, w, regularizer)
            h = Network.hessian_diagonal(self, w, X, T, sample_weight, kind, out=out)
            return terms.add_diagonal(h)
        return _core.hessian_diagonal(self._core, w, X, T, sample_weight, kind, out)

    def hessian(
        self,
        w: ArrayLike,
        X: ArrayLike,
        T: ArrayLike,
        sample_weight: ArrayLike | None = None,
        kind: HessianKind = "exact",
        *,
        out: Array | None = None,
        regularizer: Regularizer | None = None,
    ) -> Array:
        """The Hessian d2E/dw2, (W, W), symmetric to the last bit.

        Parameters
        ----------
        kind : {"exact", "gauss_newton", "empirical_fisher"}
            exact at any depth (PRML 5.4.5 has two layers), see the notes. gauss_newton, the
            generalized Gauss-Newton matrix: sum_n s_n J_n^T B_n J_n with J_n = dz^L/dw and
            B_n = d2E_n/dz^L2, never indefinite (PRML 5.84 and 5.85; Schraudolph, 2002).
            empirical_fisher: sum_n s_n g_n g_n^T with the gradient g_n of each sample, see
            `per_sample_gradient`; near the Hessian only where model and noise are the true ones
            (Kunstner, Hennig and Balles, 2019).

        Raises
        ------
        MemoryError
            If the result, or the working memory, is larger than the memory available; the message
            states its size.

        Notes
        -----
        With B^{l,m} = d delta^m / dz^l, G^{l,m} = dz^m/dz^l, and a^{l-1} followed by a 1 for the
        bias, the exact block of two layers l < m is::

            d2E/dw^l_ji dw^m_qp = sum_n s_n a_i^{l-1} [ B^{l,m}_jq a_p^{m-1}
                                                        + delta_q^m h'(z_p^{m-1}) G^{l,m-1}_pj ]

        where a bias w^m_qp has no second term, and that of one layer
        ``sum_n s_n B^{l,l}_jq a_i^{l-1} a_p^{l-1}``. PRML 5.93 to 5.95 are these for two layers.

        About N W^2 / 2 multiply-adds, in products of matrices along the samples; memory for the
        result, and some 100 MB at most beside it.

        NETLAB's ``mlphess`` has the weights in the order of its ``mlppak``,
        ``[w1(:)', b1, w2(:)', b2]``, where w1 is (inputs, hidden), w2 (hidden, outputs), and
        ``(:)`` goes along the columns. A column of its w1 is a row of our W1, so the order is the
        same: the permutation between the two is the identity.
        """
        choice("kind", kind, _core.hessian_kinds)
        if regularizer is not None:
            terms = _terms(self, w, regularizer)
            return terms.add_hessian(Network.hessian(self, w, X, T, sample_weight, kind, out=out))
        return _core.hessian(self._core, w, X, T, sample_weight, kind, out)

    def hessian_blocks(
        self,
        w: ArrayLike,
        X: ArrayLike,
        T: ArrayLike,
        sample_weight: ArrayLike | None = None,
        kind: HessianKind = "exact",
        *,
        regularizer: Regularizer | None = None,
    ) -> list[Array]:
        """The diagonal blocks of the Hessian by layer, a list of (W_l, W_l).

        W_l = n_l (n_{l-1} + 1) is how many weights the layer l has; ``kind`` as in `hessian`, of
        which these are the blocks l = m: the exact one is ``sum_n s_n B^{l,l}_jq a_i a_p``.

        Raises
        ------
        MemoryError
            If the blocks, or the working memory, are larger than the memory available; the message
            states their size.
        """
        choice("kind", kind, _core.hessian_kinds)
        if regularizer is not None:
            terms = _terms(self, w, regularizer)
            return terms.add_blocks(Network.hessian_blocks(self, w, X, T, sample_weight, kind))
        return _core.hessian_blocks(self._core, w, X, T, sample_weight, kind)

    def hessian_vector_product(
        self,
        w: ArrayLike,
        v: ArrayLike,
        X: ArrayLike,
        T: ArrayLike,
        sample_weight: ArrayLike | None = None,
        kind: ProductKind = "exact",
        *,
        out: Array | None = None,
        regularizer: Regularizer | None = None,
    ) -> Array:
        """The Hessian times v, without the Hessian: by the R-operator (PRML 5.96 to 5.111).

        Parameters
        ----------
        v : (W,) or (m, W)
            One vector or m of them; for an ensemble (S, W) or (S, m, W).
        kind : {"exact", "gauss_newton"}
            gauss_newton is J^T B J v, with J = dz^L/dw and B = d2E/dz^L2: the product with the
            outer-product approximation (PRML 5.84, 5.85), which is never negative (Schraudolph,
            2002).

        Returns
        -------
        product : the shape of v

        Raises
        ------
        MemoryError
            If the result, or the working memory, is larger than the memory available; the message
            states its size.

        Notes
        -----
        A product costs about two gradients. m together share the passes of the network itself; on
        wide networks (hundreds of units) that has not been seen to pay.

        NETLAB's ``mlphdotv`` is the exact product with one v, both in the order of its ``mlppak``,
        which is ours (see `hessian`); its weight decay is a `regularizer`.

        References
        ----------
        Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6, 1994.
        """
        choice("kind", kind, _core.product_kinds)
        if regularizer is not None:
            terms = _terms(self, w, regularizer)
            p = Network.hessian_vector_product(self, w, v, X, T, sample_weight, kind, out=out)
            return terms.add_product(p, v)
        return _core.hessian_vector_product(self._core, w, v, X, T, sample_weight, kind, out)

    def hessian_operator(
        self,
        w: ArrayLike,
        X: ArrayLike,
        T: ArrayLike,
        sample_weight: ArrayLike | None = None,
        kind: ProductKind = "exact",
        *,
        regularizer: Regularizer | None = None,
    ) -> Any:
        """The Hessian as a symmetric ``scipy.sparse.linalg.LinearOperator`` (W, W).

        For SciPy's iterative solvers (``cg``, ``minres``, ``eigsh``, ...): products with it are
        `hessian_vector_product`. w is (W,), one network; `w`, `X`, `T` are held, not copied. It can
        be pickled, the data with it.

        Parameters
        ----------
        kind : {"exact", "gauss_newton"}
            As in `hessian_vector_product`; of gauss_newton without a regularizer no eigenvalue is
            negative.

        Raises
        ------
        ImportError
            If SciPy isn't installed.
        ValueError, TypeError
            If an argument is unusable, among them a `w` of several networks.
        """
        try:
            from scipy.sparse.linalg import LinearOperator
        except ImportError as error:
            raise ImportError("net.hessian_operator needs SciPy: pip install scipy") from error

        shape = _core.as_array("w", w, self._dtype == np.float64).shape
        if shape != (self.n_weights,):
            raise ValueError(
                f"w has shape {shape}, expected ({self.n_weights},): hessian_operator takes one "
                f"network"
            )

        product = partial(
            self.hessian_vector_product,
            w,
            X=X,
            T=T,
            sample_weight=sample_weight,
            kind=kind,
            regularizer=regularizer,
        )
        product(np.zeros(self.n_weights))  # checks the arguments now, not in a solver
        # No function within this one, which could not be pickled.
        of_vector, of_columns = partial(_of_vector, product), partial(_of_columns, product)
        return LinearOperator(
            (self.n_weights, self.n_weights),
            matvec=of_vector,
            rmatvec=of_vector,
            matmat=of_columns,
            rmatmat=of_columns,
            dtype=self._dtype,
        )

    # Derivatives of the outputs

    def output_hessian(self, w: ArrayLike, X: ArrayLike, *, out: Array | None = None) -> Array:
        """d2y_k/dx_i dx_j, (N, K, D, D), of the outputs after the output function.

        Symmetric in i and j to the last bit. The curvature of a surrogate; `jacobian` has the
        slopes. Costs about N (D + K) W + N K D^2 / 2 sum_l n_l multiply-adds.

        Raises
        ------
        MemoryError
            If the result, or the working memory, is larger than the memory available; the message
            states its size.

        Notes
        -----
        With J^l = dz^l/dx, and l over the hidden layers::

            d2y_k/dx dx^T = sum_l J^lT diag(h''(z^l) * dy_k/da^l) J^l + J^LT (d2y_k/dz^L2) J^L

        which is the Jacobian (PRML 5.70 to 5.76) differentiated once more; the book has it not.
        """
        return _core.output_hessian(self._core, w, X, out)

    def jvp(self, w: ArrayLike, X: ArrayLike, dX: ArrayLike, *, out: Array | None = None) -> Array:
        """The Jacobian-vector product in x, dy = (dy/dx) dx for each sample, (N, K).

        How the outputs change when the inputs (N, D) change by `dX` (N, D), to first order (PRML
        5.72); two forward passes, whereas the whole `jacobian` takes min(D, K) of them.
        """
        return _core.jvp(self._core, w, X, dX, out)

    def vjp(self, w: ArrayLike, X: ArrayLike, dY: ArrayLike, *, out: Array | None = None) -> Array:
        """The vector-Jacobian product in x, (dy/dx)^T dy for each sample, (N, D).

        With `dY` (N, K) the slopes of something in the outputs, these are its slopes in the
        inputs: one forward and one backward pass (PRML 5.73 to 5.76, all outputs at once).
        """
        return _core.vjp(self._core, w, X, dY, out)

    def weight_jvp(
        self, w: ArrayLike, X: ArrayLike, v: ArrayLike, *, out: Array | None = None
    ) -> Array:
        """The Jacobian-vector product in w, (dy/dw) v for each sample, (N, K).

        `v` is (W,): how the outputs change when w does (PRML 5.101 to 5.103).
        """
        return _core.weight_jvp(self._core, w, X, v, out)

    def weight_vjp(
        self, w: ArrayLike, X: ArrayLike, dY: ArrayLike, *, out: Array | None = None
    ) -> Array:
        """The vector-Jacobian product in w, sum_n (dy_n/dw)^T dy_n, (W,).

        With `dY` (N, K) the slopes of an error function of your own in the outputs, this is its
        gradient, by backpropagation (PRML 5.53, 5.56) from ``delta^L = (dy/dz^L)^T dy``.
        """
        return _core.weight_vjp(self._core, w, X, dY, out)


def check_network(net: object) -> None:
    """A TypeError unless this is a Network."""
    if not isinstance(net, Network):
        raise TypeError(f"net is a {type(net).__name__}, expected a mlpcore.Network")


def check_weights(net: Network, w: Array) -> Array:
    """`w`; a ValueError unless it is (W,) or (S, W)."""
    if w.ndim not in (1, 2) or w.shape[-1] != net.n_weights:
        raise ValueError(
            f"w has shape {w.shape}, expected ({net.n_weights},) or, for S networks, "
            f"(S, {net.n_weights})"
        )
    return w


def weights_of_one(net: Network, w: ArrayLike) -> Array:
    """`w` in the network's dtype; a ValueError if it is that of an ensemble."""
    array = _core.as_array("w", w, net.dtype == np.float64)
    if array.ndim != 1:
        raise ValueError(
            f"w has shape {array.shape}, expected ({net.n_weights},): a single network, no ensemble"
        )
    return array


def _terms(net: Network, w: ArrayLike, regularizer: Regularizer) -> Terms:
    # Regularizers know networks, so a network meets them only here.
    from mlpcore.regularizers import Terms

    return Terms(net, w, regularizer)


def _of_vector(product: Callable[[Array], Array], v: Array) -> Array:
    return product(np.ravel(v))


def _of_columns(product: Callable[[Array], Array], V: Array) -> Array:
    return product(np.ascontiguousarray(V.T)).T


def activation_names(name: str, given: object, n_hidden: int) -> tuple[str, ...]:
    """The activation of each hidden layer by one name or a sequence; errors call it ``name``."""
    if isinstance(given, str):
        return (choice(name, given, _core.activations),) * n_hidden
    try:
        names: tuple[Any, ...] = tuple(given)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} is {given!r}, expected a name or a sequence of names") from None
    names = tuple(choice(f"{name}[{i}]", a, _core.activations) for i, a in enumerate(names))
    if len(names) != n_hidden:
        raise ValueError(
            f"{name} has {len(names)} names, expected one name or one for each of the {n_hidden} "
            f"hidden layers"
        )
    return names


def _layer_sizes(layers: Sequence[int]) -> tuple[int, ...]:
    try:
        sizes = list(layers)
    except TypeError:
        raise TypeError(f"layers is {layers!r}, expected a sequence (D, M1, ..., K)") from None
    return tuple(whole_number(f"layers[{i}]", n, least=1) for i, n in enumerate(sizes))
