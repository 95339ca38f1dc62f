"""The equations of a multilayer perceptron in plain NumPy, for reading and for checking.

The methods of ``mlpcore.Network``, and functions of ``mlpcore`` itself, are their fast twins.
Numbers of equations are those of Bishop, *Pattern Recognition and Machine Learning* (PRML),
chapter 5, but here ``z`` is the pre-activation and ``a`` the activation; PRML has the two the
other way round:

    z^l = W^l a^{l-1} + b^l,    a^l = h_l(z^l),    a^0 = x,    y = output(z^L)

Shapes: ``X`` (N, D), ``T`` (N, K), ``w`` (W,). ``T`` may be (N,) when K = 1, or hold the class
labels (N,) when the output is softmax. Errors are sums over samples, and ``sample_weight`` (N,)
multiplies the term of each sample.

The first argument is any object with the attributes ``layers`` (D, M1, ..., K), ``hidden`` (one
name a hidden layer) and ``output``: a ``Network``, or the ``Architecture`` below. A float32 ``w``
gives float32 results. A complex ``w`` or ``X`` is carried through, so that every derivative can be
checked by a :func:`complex_step`, exact to rounding, as well as by a :func:`central_difference`.

>>> net = Architecture((2, 3, 1))
>>> w, X, T = np.full(13, 0.1), np.array([[1.0, 2.0]]), np.array([1.0])
>>> g = gradient(net, w, X, T)
>>> bool(np.allclose(g, complex_step(lambda w: error(net, w, X, T), w), rtol=1e-14))
True
>>> bool(np.allclose(g, central_difference(lambda w: error(net, w, X, T), w), rtol=1e-8))
True
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ACTIVATIONS",
    "OUTPUTS",
    "Activation",
    "Architecture",
    "Output",
    "add_outer_products",
    "central_difference",
    "cholesky",
    "cholesky_solve",
    "complex_step",
    "error",
    "error_and_gradient",
    "forward",
    "gradient",
    "hessian",
    "hessian_blocks",
    "hessian_diagonal",
    "hessian_vector_product",
    "jacobian",
    "jvp",
    "log_determinant",
    "outer_product_inverse",
    "output_hessian",
    "pack",
    "per_sample_gradient",
    "probes",
    "stochastic_diagonal",
    "unpack",
    "vjp",
    "weight_jacobian",
    "weight_jvp",
    "weight_vjp",
]

Array = NDArray[Any]


class Net(Protocol):
    """What the functions of this module need to know of a network."""

    @property
    def layers(self) -> tuple[int, ...]: ...
    @property
    def hidden(self) -> tuple[str, ...]: ...
    @property
    def output(self) -> str: ...


@dataclass(frozen=True, init=False)
class Architecture:
    """Layer sizes (D, M1, ..., K), a hidden activation a hidden layer (or one for all), output."""

    layers: tuple[int, ...]
    hidden: tuple[str, ...]
    output: str

    def __init__(
        self, layers: Sequence[int], hidden: str | Sequence[str] = "tanh", output: str = "linear"
    ) -> None:
        names = (hidden,) * (len(layers) - 2) if isinstance(hidden, str) else tuple(hidden)
        if len(layers) < 2 or len(names) != len(layers) - 2:
            raise ValueError(f"hidden is {hidden!r}, expected a name a hidden layer of {layers}")
        for name in names:
            if name not in ACTIVATIONS:
                raise ValueError(f"hidden has {name!r}, expected one of {', '.join(ACTIVATIONS)}")
        if output not in OUTPUTS:
            raise ValueError(f"output is {output!r}, expected one of {', '.join(OUTPUTS)}")
        object.__setattr__(self, "layers", tuple(int(n) for n in layers))
        object.__setattr__(self, "hidden", names)
        object.__setattr__(self, "output", output)


# Activations ------------------------------------------------------------------------------------


def _absolute(z: Array) -> Array:
    """|z| as an analytic function on either side of zero."""
    return np.where(z.real < 0, -z, z)


def _positive(z: Array) -> Array:
    """max(z, 0), the ramp."""
    return np.where(z.real > 0, z, np.zeros_like(z))


def _negative(z: Array) -> Array:
    """min(z, 0)."""
    return np.where(z.real > 0, np.zeros_like(z), z)


def _sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), written so that exp never overflows."""
    e: Array = np.exp(-_absolute(z))
    return np.where(z.real < 0, e / (1 + e), 1 / (1 + e))


def _softplus(z: Array) -> Array:
    """log(1 + exp(z)), likewise."""
    small: Array = np.log1p(np.exp(-_absolute(z)))
    return _positive(z) + small


def _normal_density(z: Array) -> Array:
    """phi(z), the standard normal density."""
    density: Array = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return density


_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _normal_cdf(z: Array) -> Array:
    """Phi(z) = erfc(-z / sqrt(2)) / 2, to full relative accuracy in the left tail also."""
    p: Array = 0.5 * _erfc(-z.real / math.sqrt(2))
    if np.iscomplexobj(z):  # the term of first order is all that a complex step asks for
        p = p + 1j * z.imag * _normal_density(z.real)
    result: Array = p.astype(z.dtype, copy=False)
    return result


class Activation(NamedTuple):
    """A hidden activation and its derivatives, as functions of z and of a = h(z)."""

    h: Callable[[Array], Array]
    d1: Callable[[Array, Array], Array]  # h'
    d2: Callable[[Array, Array], Array]  # h''


def _ones(z: Array, a: Array) -> Array:
    return np.ones_like(z)


def _zeros(z: Array, a: Array) -> Array:
    return np.zeros_like(z)


def _silu_d2(z: Array, a: Array) -> Array:
    s = _sigmoid(z)
    d2: Array = s * (1 - s) * (2 + z * (1 - 2 * s))
    return d2


#: Where h' or h'' jumps, at zero, the value is that of the left side: relu'(0) = 0,
#: leaky_relu'(0) = 0.01, elu''(0) = 1. The jump itself is not counted: relu'' = 0 everywhere.
ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(lambda z: z, _ones, _zeros),
    "sigmoid": Activation(
        _sigmoid,
        lambda z, a: a * (1 - a),  # PRML 4.88
        lambda z, a: a * (1 - a) * (1 - 2 * a),
    ),
    "tanh": Activation(
        np.tanh,  # PRML 5.59
        lambda z, a: 1 - a * a,  # PRML 5.60
        lambda z, a: -2 * a * (1 - a * a),
    ),
    "relu": Activation(
        _positive,
        lambda z, a: np.where(z.real > 0, np.ones_like(z), np.zeros_like(z)),
        _zeros,
    ),
    "leaky_relu": Activation(
        lambda z: np.where(z.real > 0, z, 0.01 * z),
        lambda z, a: np.where(z.real > 0, np.ones_like(z), np.full_like(z, 0.01)),
        _zeros,
    ),
    "softplus": Activation(
        _softplus,
        lambda z, a: _sigmoid(z),
        lambda z, a: _sigmoid(z) * (1 - _sigmoid(z)),
    ),
    "elu": Activation(
        lambda z: np.where(z.real > 0, z, np.expm1(_negative(z))),
        lambda z, a: np.exp(_negative(z)),
        lambda z, a: np.where(z.real > 0, np.zeros_like(z), np.exp(_negative(z))),
    ),
    "gelu": Activation(
        lambda z: z * _normal_cdf(z),
        lambda z, a: _normal_cdf(z) + z * _normal_density(z),
        lambda z, a: (2 - z * z) * _normal_density(z),
    ),
    "silu": Activation(
        lambda z: z * _sigmoid(z),
        lambda z, a: _sigmoid(z) * (1 + z * (1 - _sigmoid(z))),
        _silu_d2,
    ),
}


# Outputs and their canonical errors -------------------------------------------------------------


class Output(NamedTuple):
    """An output function with its canonical error, so that dE_n/dz^L = y - t (PRML 5.18).

    For such a pair dy/dz^L is symmetric and is also the curvature B^L = d2E_n / dz^L dz^LT.
    """

    y: Callable[[Array], Array]  # (N, K) of z^L
    error: Callable[[Array, Array], Array]  # E_n (N,) of z^L and t
    curvature: Callable[[Array], Array]  # B^L = dy/dz^L (N, K, K) of y
    second: Callable[[Array], Array]  # d2y_k / dz^L dz^LT (N, K, K, K) of y


def _diagonal_matrix(v: Array) -> Array:
    """(N, n) to N diagonal matrices (N, n, n)."""
    matrices: Array = v[:, :, None] * np.eye(v.shape[1], dtype=v.dtype)
    return matrices


def _diagonal_cube(v: Array) -> Array:
    """(N, n) to (N, n, n, n), v on i = j = k."""
    cube: Array = _diagonal_matrix(v)[..., None] * np.eye(v.shape[1], dtype=v.dtype)
    return cube


def _softmax_second(y: Array) -> Array:
    """y_k [(I_ka - y_a)(I_kb - y_b) - (I_ab y_a - y_a y_b)], the derivative of PRML 5.76."""
    centred = np.eye(y.shape[1], dtype=y.dtype) - y[:, None, :]
    curvature = _diagonal_matrix(y) - y[:, :, None] * y[:, None, :]
    pairs = centred[:, :, :, None] * centred[:, :, None, :] - curvature[:, None]
    second: Array = y[:, :, None, None] * pairs
    return second


def _log_softmax(z: Array) -> Array:
    """log y_k = z_k - log sum_j exp(z_j), with the largest logit taken out of the sum."""
    shifted = z - z.real.max(axis=1, keepdims=True)
    log_y: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_y


OUTPUTS: dict[str, Output] = {
    "linear": Output(
        lambda z: z,
        lambda z, t: 0.5 * ((z - t) ** 2).sum(axis=1),  # PRML 5.11
        lambda y: _diagonal_matrix(np.ones_like(y)),
        lambda y: np.zeros((*y.shape, y.shape[1], y.shape[1]), dtype=y.dtype),
    ),
    "sigmoid": Output(
        _sigmoid,
        # -t log y - (1 - t) log(1 - y), PRML 5.23, of the logits
        lambda z, t: (_softplus(z) - t * z).sum(axis=1),
        lambda y: _diagonal_matrix(y * (1 - y)),  # PRML 5.75
        lambda y: _diagonal_cube(y * (1 - y) * (1 - 2 * y)),
    ),
    "softmax": Output(
        lambda z: np.exp(_log_softmax(z)),  # PRML 5.25
        lambda z, t: -(t * _log_softmax(z)).sum(axis=1),  # PRML 5.24
        lambda y: _diagonal_matrix(y) - y[:, :, None] * y[:, None, :],  # PRML 5.76
        _softmax_second,
    ),
}


# Weights ----------------------------------------------------------------------------------------


def unpack(net: Net, w: ArrayLike) -> list[tuple[Array, Array]]:
    """The weights layer by layer, [(W1, b1), (W2, b2), ...], as views into ``w`` (W,).

    ``w`` holds, layer by layer, W^l row-major (n_l, n_{l-1}), then b^l (n_l,).
    """
    w, start = np.asarray(w), 0
    parameters: list[tuple[Array, Array]] = []
    for fan_in, n in zip(net.layers, net.layers[1:], strict=False):
        middle, end = start + n * fan_in, start + n * fan_in + n
        parameters.append((w[start:middle].reshape(n, fan_in), w[middle:end]))
        start = end
    if w.shape != (start,):
        raise ValueError(f"w has shape {w.shape}, expected ({start},)")
    return parameters


def pack(net: Net, parameters: Sequence[tuple[ArrayLike, ArrayLike]]) -> Array:
    """``w`` (W,) from [(W1, b1), (W2, b2), ...], the inverse of :func:`unpack`."""
    return np.concatenate([np.ravel(p) for pair in parameters for p in pair])


# Forward ----------------------------------------------------------------------------------------


class _Pass(NamedTuple):
    """What a forward pass leaves behind: W^l, z^l for l = 1..L, and a^l for l = 0..L-1."""

    W: list[Array]
    z: list[Array]
    a: list[Array]


def _like(w: ArrayLike, x: ArrayLike) -> Array:
    """``x`` in the real precision of ``w``; complex numbers stay complex."""
    array: Array = np.asarray(x, dtype=None if np.iscomplexobj(x) else np.asarray(w).real.dtype)
    return array


def _forward(net: Net, w: ArrayLike, X: ArrayLike) -> _Pass:
    parameters = unpack(net, w)
    z, a = [], [_like(w, X)]
    for i, (W, b) in enumerate(parameters):
        z.append(a[i] @ W.T + b)  # PRML 5.48
        if i < len(net.hidden):
            a.append(ACTIVATIONS[net.hidden[i]].h(z[i]))  # PRML 5.49
    return _Pass([W for W, _ in parameters], z, a)


def forward(net: Net, w: ArrayLike, X: ArrayLike, logits: bool = False) -> Array:
    """The outputs y(x, w), (N, K), or z^L before the output function: PRML 5.48, 5.49."""
    z = _forward(net, w, X).z[-1]
    return z if logits else OUTPUTS[net.output].y(z)


# Errors and first derivatives -------------------------------------------------------------------


def _targets(net: Net, w: ArrayLike, T: ArrayLike) -> Array:
    """``T`` as (N, K): class labels one-hot, a vector as a column."""
    t, K = _like(w, T), net.layers[-1]
    if t.ndim == 1 and net.output == "softmax":
        t = np.eye(K, dtype=t.dtype)[t.astype(int)]
    return t.reshape(-1, K)


def _totals(net: Net, t: Array) -> Array:
    """(N,): what the targets of a sample sum to with softmax, 1 but for rounding; else 1."""
    totals: Array = t.sum(axis=1) if net.output == "softmax" else np.ones_like(t[:, 0])
    return totals


def _output_delta(net: Net, y: Array, t: Array) -> Array:
    """dE_n/dz^L (N, K): PRML 5.18."""
    delta: Array = _totals(net, t)[:, None] * y - t
    return delta


def _weights_of_samples(w: ArrayLike, X: ArrayLike, sample_weight: ArrayLike | None) -> Array:
    return _like(w, np.ones(len(np.asarray(X))) if sample_weight is None else sample_weight)


def _backward(net: Net, p: _Pass, delta: Array) -> list[Array]:
    """delta^l = d/dz^l for l = 1..L, from that of the last layer: PRML 5.56.

    ``delta`` is (..., N, n_L): leading axes are carried along.

        delta^l = h'(z^l) * (W^{l+1}T delta^{l+1})
    """
    deltas = [delta]
    for i in range(len(net.hidden), 0, -1):
        h = ACTIVATIONS[net.hidden[i - 1]]
        deltas.insert(0, h.d1(p.z[i - 1], p.a[i]) * (deltas[0] @ p.W[i]))
    return deltas


def error(
    net: Net, w: ArrayLike, X: ArrayLike, T: ArrayLike, sample_weight: ArrayLike | None = None
) -> Any:
    """E(w) = sum_n s_n E_n, a number: PRML 5.11, 5.23 or 5.24, as the output has it."""
    z = _forward(net, w, X).z[-1]
    errors = OUTPUTS[net.output].error(z, _targets(net, w, T))
    return (_weights_of_samples(w, X, sample_weight) * errors).sum().item()


def gradient(
    net: Net, w: ArrayLike, X: ArrayLike, T: ArrayLike, sample_weight: ArrayLike | None = None
) -> Array:
    """dE/dw, (W,): PRML 5.53, 5.54.

    dE/dW^l = sum_n s_n delta^l a^{l-1}T,    dE/db^l = sum_n s_n delta^l,    delta^L = y - t

    With softmax delta^L = q y - t, where the targets of a sample sum to q, which is near 1.
    """
    return error_and_gradient(net, w, X, T, sample_weight)[1]


def error_and_gradient(
    net: Net, w: ArrayLike, X: ArrayLike, T: ArrayLike, sample_weight: ArrayLike | None = None
) -> tuple[Any, Array]:
    """:func:`error` and :func:`gradient` from one forward pass."""
    p, t, out = _forward(net, w, X), _targets(net, w, T), OUTPUTS[net.output]
    s = _weights_of_samples(w, X, sample_weight)
    deltas = _backward(net, p, s[:, None] * _output_delta(net, out.y(p.z[-1]), t))
    pairs = [(delta.T @ a, delta.sum(axis=0)) for delta, a in zip(deltas, p.a, strict=True)]
    return (s * out.error(p.z[-1], t)).sum().item(), pack(net, pairs)


def per_sample_gradient(net: Net, w: ArrayLike, X: ArrayLike, T: ArrayLike) -> Array:
    """dE_n/dw, (N, W), a row a sample: PRML 5.53."""
    p = _forward(net, w, X)
    y, t = OUTPUTS[net.output].y(p.z[-1]), _targets(net, w, T)
    deltas = _backward(net, p, _output_delta(net, y, t))
    blocks = []
    for delta, a in zip(deltas, p.a, strict=True):
        (N, n), m = delta.shape, a.shape[1]
        blocks += [np.einsum("nj,ni->nji", delta, a).reshape(N, n * m), delta]
    return np.concatenate(blocks, axis=1)


def _output_deltas(net: Net, p: _Pass) -> list[Array]:
    """dy_k/dz^l, (K, N, n_l) for l = 1..L: :func:`_backward` from dy_k/dz^L."""
    out = OUTPUTS[net.output]
    return _backward(net, p, np.moveaxis(out.curvature(out.y(p.z[-1])), 1, 0))


def jacobian(net: Net, w: ArrayLike, X: ArrayLike) -> Array:
    """dy_k/dx_i after the output function, (N, K, D): PRML 5.70 to 5.76."""
    p = _forward(net, w, X)
    return np.moveaxis(_output_deltas(net, p)[0] @ p.W[0], 0, 1)


def weight_jacobian(net: Net, w: ArrayLike, X: ArrayLike) -> Array:
    """dy_k/dw after the output function, (N, K, W): b_n of PRML 5.84.

    dy_k/dW^l_ji = dy_k/dz^l_j a^{l-1}_i,    dy_k/db^l_j = dy_k/dz^l_j
    """
    p = _forward(net, w, X)
    blocks = []
    for delta, a in zip(_output_deltas(net, p), p.a, strict=True):
        (K, N, n), m = delta.shape, a.shape[1]
        blocks.append(np.einsum("knj,ni->nkji", delta, a).reshape(N, K, n * m))
        blocks.append(np.moveaxis(delta, 0, 1))
    return np.concatenate(blocks, axis=2)


# Second derivatives -----------------------------------------------------------------------------


def hessian_diagonal(
    net: Net,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None = None,
    kind: str = "exact",
) -> Array:
    """d2E/dw_i^2, (W,), from B^l = d2E_n / dz^l dz^lT, (N, n_l, n_l), at any depth.

        B^l = diag(h') W^{l+1}T B^{l+1} W^{l+1} diag(h') + diag(h'' * (W^{l+1}T delta^{l+1}))

        d2E/dW^l_ji^2 = sum_n s_n B^l_jj (a^{l-1}_i)^2,    d2E/db^l_j^2 = sum_n s_n B^l_jj

    ``kind`` is "exact"; "gauss_newton", which drops the term in h'' (the diagonal of PRML 5.84);
    or "becker_lecun", which keeps only the diagonal of each B (PRML 5.79 to 5.81).
    """
    if kind not in ("exact", "gauss_newton", "becker_lecun"):
        raise ValueError(f"kind is {kind!r}, expected one of exact, gauss_newton, becker_lecun")
    p, s = _forward(net, w, X), _weights_of_samples(w, X, sample_weight)
    y, t = OUTPUTS[net.output].y(p.z[-1]), _targets(net, w, T)
    delta = s[:, None] * _output_delta(net, y, t)
    B = s[:, None, None] * OUTPUTS[net.output].curvature(y)
    if kind != "gauss_newton":
        B = B * _totals(net, t)[:, None, None]
    pairs: list[tuple[Array, Array]] = []
    for i in range(len(net.hidden), -1, -1):
        diagonal = np.einsum("njj->nj", B)
        pairs.insert(0, (diagonal.T @ p.a[i] ** 2, diagonal.sum(axis=0)))  # PRML 5.79
        if i == 0:
            break
        if kind == "becker_lecun":
            B = _diagonal_matrix(diagonal)
        h, z, a, W = ACTIVATIONS[net.hidden[i - 1]], p.z[i - 1], p.a[i], p.W[i]
        d1, back = h.d1(z, a), delta @ W
        B = d1[:, :, None] * (W.T @ B @ W) * d1[:, None, :]
        if kind != "gauss_newton":
            B = B + _diagonal_matrix(h.d2(z, a) * back)
        delta = d1 * back
    return pack(net, pairs)


def _positions(net: Net) -> list[Array]:
    """Where the weights of each layer stand in ``w``: (n_l, n_{l-1} + 1), the bias last."""
    n_weights = sum((m + 1) * n for m, n in itertools.pairwise(net.layers))
    return [np.column_stack(pair) for pair in unpack(net, np.arange(n_weights))]


def hessian(
    net: Net,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None = None,
    kind: str = "exact",
) -> Array:
    """d2E/dw dw^T, (W, W), at any depth; PRML 5.4.5 has it for two layers.

    With B^{l,m} = d delta^m / dz^l, Q^{l,m} = (da^{m-1}/dz^l)^T, and a^{l-1} followed by a 1 for
    the bias, the block of layers l <= m is

        d2E/dw^l_ji dw^m_qp = sum_n s_n a^{l-1}_i [ B^{l,m}_jq a^{m-1}_p + Q^{l,m}_jp delta^m_q ]

        B^{l,m} = diag(h') W^{l+1}T B^{l+1,m},    B^{m,m} = B^m as in :func:`hessian_diagonal`
        Q^{l,m} = diag(h') W^{l+1}T Q^{l+1,m},    Q^{m-1,m} = diag(h'),    Q^{m,m} = 0

    ``kind`` is "exact"; "gauss_newton", without Q and the term of B^m in h'':
    sum_n s_n J_n^T B^L J_n, J_n = dz^L/dw (PRML 5.84, 5.85); or "empirical_fisher":
    sum_n s_n g_n g_n^T of the gradients g_n of the samples.
    """
    if kind not in ("exact", "gauss_newton", "empirical_fisher"):
        raise ValueError(f"kind is {kind!r}, expected one of exact, gauss_newton, empirical_fisher")
    p, s = _forward(net, w, X), _weights_of_samples(w, X, sample_weight)
    if kind == "empirical_fisher":
        g = per_sample_gradient(net, w, X, T)
        return (s[:, None] * g).T @ g
    y, t = OUTPUTS[net.output].y(p.z[-1]), _targets(net, w, T)
    deltas = _backward(net, p, s[:, None] * _output_delta(net, y, t))
    a = [np.concatenate([a, np.ones_like(a[:, :1])], axis=1) for a in p.a]
    h = [ACTIVATIONS[name] for name in net.hidden]
    d1 = [h[i].d1(p.z[i], p.a[i + 1]) for i in range(len(h))]
    positions = _positions(net)
    H = np.zeros((np.asarray(w).size,) * 2, p.z[-1].dtype)

    def put(i: int, j: int, block: Array) -> None:
        rows, columns = positions[i].ravel(), positions[j].ravel()
        block = block.reshape(rows.size, columns.size)
        H[np.ix_(rows, columns)] = block
        H[np.ix_(columns, rows)] = block.T

    own = s[:, None, None] * OUTPUTS[net.output].curvature(y)  # B^L
    if kind == "exact":
        own = own * _totals(net, t)[:, None, None]
    for m in range(len(h), -1, -1):
        B: Array = own
        Q: Array = np.zeros(0)
        for i in range(m, -1, -1):
            if i < m:
                Q = (
                    _diagonal_matrix(d1[i])
                    if i + 1 == m
                    else d1[i][:, :, None] * (p.W[i + 1].T @ Q)
                )
                B = d1[i][:, :, None] * (p.W[i + 1].T @ B)
            block = np.einsum("njq,ni,np->jiqp", B, a[i], a[m], optimize=True)
            if i < m and kind == "exact":
                slopes = np.einsum("njp,ni,nq->jiqp", Q, a[i], deltas[m], optimize=True)
                block[..., :-1] += slopes  # the bias of m has none
            put(i, m, block)
            if i + 1 == m:  # B^{m-1} from B^{m-1,m}
                own = (B @ p.W[m]) * d1[i][:, None, :]
                if kind == "exact":
                    bend = h[i].d2(p.z[i], p.a[m]) * (deltas[m] @ p.W[m])
                    own = own + _diagonal_matrix(bend)
    return H


def hessian_blocks(
    net: Net,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None = None,
    kind: str = "exact",
) -> list[Array]:
    """The diagonal blocks of :func:`hessian` by layer, a list of (W_l, W_l)."""
    H = hessian(net, w, X, T, sample_weight, kind)
    layers = [np.sort(positions.ravel()) for positions in _positions(net)]
    return [H[np.ix_(rows, rows)] for rows in layers]


def _tangents(net: Net, p: _Pass, v: ArrayLike) -> tuple[list[Array], list[Array]]:
    """R{z^l} for l = 1..L and R{a^l} for l = 0..L-1, along v (W,): PRML 5.101 to 5.103.

    R{z^l} = W^l R{a^{l-1}} + V^l a^{l-1} + v_b^l,    R{a^l} = h'(z^l) * R{z^l},    R{a^0} = 0
    """
    Rz, Ra = [], [np.zeros_like(p.a[0])]
    for i, (V, v_b) in enumerate(unpack(net, _like(p.W[0], v))):
        Rz.append(Ra[i] @ p.W[i].T + p.a[i] @ V.T + v_b)
        if i < len(net.hidden):
            h = ACTIVATIONS[net.hidden[i]]
            Ra.append(h.d1(p.z[i], p.a[i + 1]) * Rz[i])
    return Rz, Ra


def hessian_vector_product(
    net: Net,
    w: ArrayLike,
    v: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None = None,
    kind: str = "exact",
) -> Array:
    """The Hessian times ``v`` (W,), or times each row of (m, W): PRML 5.96 to 5.111.

    R{.} = v^T d/dw of the forward and of the backward pass:

        R{delta^L} = s_n B^L R{z^L}
        R{delta^l} = h' * (W^{l+1}T R{delta^{l+1}} + V^{l+1}T delta^{l+1})
                     + h'' * (W^{l+1}T delta^{l+1}) * R{z^l}
        R{dE/dW^l} = sum_n R{delta^l} a^{l-1}T + delta^l R{a^{l-1}}T,   R{dE/db^l} = R{delta^l}

    ``kind`` "gauss_newton" is the same with delta = 0 (PRML 5.84).
    """
    if kind not in ("exact", "gauss_newton"):
        raise ValueError(f"kind is {kind!r}, expected one of exact, gauss_newton")
    v = np.asarray(v)
    if v.ndim == 2:
        rows = [hessian_vector_product(net, w, row, X, T, sample_weight, kind) for row in v]
        return np.array(rows).reshape(v.shape)
    p, s = _forward(net, w, X), _weights_of_samples(w, X, sample_weight)
    out = OUTPUTS[net.output]
    y, t = out.y(p.z[-1]), _targets(net, w, T)
    delta = s[:, None] * _output_delta(net, y, t) * (kind == "exact")
    V = [matrix for matrix, _ in unpack(net, _like(w, v))]
    Rz, Ra = _tangents(net, p, v)
    Rdelta = s[:, None] * np.einsum("nij,nj->ni", out.curvature(y), Rz[-1])
    if kind == "exact":
        Rdelta = Rdelta * _totals(net, t)[:, None]
    pairs: list[tuple[Array, Array]] = []
    for i in range(len(net.hidden), -1, -1):
        pairs.insert(0, (Rdelta.T @ p.a[i] + delta.T @ Ra[i], Rdelta.sum(axis=0)))
        if i > 0:
            h, z, a = ACTIVATIONS[net.hidden[i - 1]], p.z[i - 1], p.a[i]
            back, Rback = delta @ p.W[i], Rdelta @ p.W[i] + delta @ V[i]
            Rdelta = h.d1(z, a) * Rback + h.d2(z, a) * back * Rz[i - 1]
            delta = h.d1(z, a) * back
    return pack(net, pairs)


# Any derivative by differences -------------------------------------------------------------------


def central_difference(f: Callable[[Array], Any], x: Array, step: float = 1e-5) -> Array:
    """df/dx, the axes of f(x) and then those of x, by 2 evaluations of f for each element of x.

        df/dx_i = (f(x + step e_i) - f(x - step e_i)) / (2 step) + O(step^2)        (PRML 5.69)

    The quotient of one side, (f(x + step e_i) - f(x)) / step, is off by O(step) (5.68). A gradient
    takes 2 W errors of cost O(W) each, O(W^2) where backpropagation takes O(W); a Hessian as many
    gradients (5.91). Rounding of f, of relative size eps, adds about eps f / step. f is given x as
    float64, in which x + step is not x.
    """
    x = np.asarray(x, dtype=float)
    columns = []
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        columns.append((np.asarray(f(up)) - np.asarray(f(down))) / (2 * step))
    return _axes_last(columns, x.shape)


def complex_step(f: Callable[[Array], Any], x: Array, step: float = 1e-30) -> Array:
    """df/dx, likewise, by one evaluation of an analytic f for each element of x.

        df/dx_i = imag(f(x + i step e_i)) / step + O(step^2)        (Squire and Trapp, 1998)

    No difference loses digits, so step may be tiny, and the result is exact to rounding. (Using
    complex variables to estimate derivatives of real functions, SIAM Review 40.)
    """
    x = np.asarray(x)
    columns = []
    for i in np.ndindex(x.shape):
        stepped = x.astype(complex)
        stepped[i] += 1j * step
        columns.append(np.imag(f(stepped)) / step)
    return _axes_last(columns, x.shape)


def _axes_last(columns: Sequence[Array], shape: tuple[int, ...]) -> Array:
    stacked = np.stack(columns, axis=-1)
    return stacked.reshape(stacked.shape[:-1] + shape)


# Derivatives of the outputs, and products with them --------------------------------------------


def jvp(net: Net, w: ArrayLike, X: ArrayLike, dX: ArrayLike) -> Array:
    """(dy/dx) dx for each sample, (N, K), of ``dX`` (N, D): the Jacobian, PRML 5.70, times dx."""
    product: Array = np.einsum("nki,ni->nk", jacobian(net, w, X), _like(w, dX))
    return product


def vjp(net: Net, w: ArrayLike, X: ArrayLike, dY: ArrayLike) -> Array:
    """(dy/dx)^T dy for each sample, (N, D), of ``dY`` (N, K)."""
    product: Array = np.einsum("nki,nk->ni", jacobian(net, w, X), _like(w, dY))
    return product


def weight_jvp(net: Net, w: ArrayLike, X: ArrayLike, v: ArrayLike) -> Array:
    """(dy/dw) v for each sample, (N, K), of ``v`` (W,): dy/dz^L R{z^L}, PRML 5.101 to 5.103."""
    p, out = _forward(net, w, X), OUTPUTS[net.output]
    Rz, _ = _tangents(net, p, v)
    Ry: Array = np.einsum("nij,nj->ni", out.curvature(out.y(p.z[-1])), Rz[-1])
    return Ry


def weight_vjp(net: Net, w: ArrayLike, X: ArrayLike, dY: ArrayLike) -> Array:
    """sum_n (dy_n/dw)^T dy_n, (W,), of ``dY`` (N, K): backpropagation (PRML 5.53, 5.56) of dY."""
    p, out = _forward(net, w, X), OUTPUTS[net.output]
    dz = np.einsum("nij,ni->nj", out.curvature(out.y(p.z[-1])), _like(w, dY))
    deltas = _backward(net, p, dz)
    pairs = [(delta.T @ a, delta.sum(axis=0)) for delta, a in zip(deltas, p.a, strict=True)]
    return pack(net, pairs)


def output_hessian(net: Net, w: ArrayLike, X: ArrayLike) -> Array:
    """d2y_k/dx_i dx_j, (N, K, D, D), carried forward with J^l = dz^l/dx and H^l = d2z^l/dx dx^T.

        J^1 = W^1,    H^1 = 0
        J^{l+1}_ri = sum_j W_rj h'_j J^l_ji
        H^{l+1}_rim = sum_j W_rj (h''_j J^l_ji J^l_jm + h'_j H^l_jim)

    and the outputs likewise, where y_k depends on every z^L.
    """
    p, out = _forward(net, w, X), OUTPUTS[net.output]
    N, D = p.a[0].shape
    J = np.broadcast_to(p.W[0], (N, *p.W[0].shape))
    H = np.zeros((N, len(p.W[0]), D, D), dtype=p.z[0].dtype)
    for i, name in enumerate(net.hidden):
        h, z, a = ACTIVATIONS[name], p.z[i], p.a[i + 1]
        H = h.d2(z, a)[:, :, None, None] * J[:, :, :, None] * J[:, :, None, :] + (
            h.d1(z, a)[:, :, None, None] * H
        )
        H = np.einsum("rj,njim->nrim", p.W[i + 1], H)
        J = np.einsum("rj,nj,nji->nri", p.W[i + 1], h.d1(z, a), J)
    y = out.y(p.z[-1])
    bent = np.einsum("nkab,nai,nbm->nkim", out.second(y), J, J)
    hessian: Array = bent + np.einsum("nka,naim->nkim", out.curvature(y), H)
    return hessian


# The diagonal from random products --------------------------------------------------------------


def probes(
    n_weights: int,
    n_probes: int,
    seed: int | np.random.Generator | None = None,
    method: str = "hutchinson",
) -> Array:
    """Vectors z of plus and minus one by the round, (rounds, b, W), at most ``n_probes`` in all.

    "hutchinson": b = 1, every sign drawn. "bekas": the rows of the Hadamard matrix of order b,
    repeated along the weights, times signs that each round draws anew; b is a power of two, up to
    n_probes / 4 and no larger than it takes to reach W. Sylvester's matrix has the sign
    (-1)^(how many binary digits i and j both have 1).
    """
    b = 1
    while method == "bekas" and 2 * b <= n_probes / 4 and b < n_weights:
        b *= 2
    hadamard = np.array([[(-1.0) ** bin(i & j).count("1") for j in range(b)] for i in range(b)])
    random = np.random.default_rng(seed)
    rounds = []
    for _ in range(n_probes // b):
        signs = 2.0 * random.integers(0, 2, size=n_weights) - 1
        rounds.append([[h[i % b] * signs[i] for i in range(n_weights)] for h in hadamard])
    return np.array(rounds)


def stochastic_diagonal(
    net: Net,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    n_probes: int,
    seed: int | np.random.Generator | None = None,
    method: str = "hutchinson",
    sample_weight: ArrayLike | None = None,
    kind: str = "exact",
    penalty: ArrayLike = 0.0,
) -> tuple[Array, Array]:
    """diag(H + P), (W,), as the mean of z * (H + P) z over :func:`probes` z, and its error (W,).

    (z * H z)_i = H_ii + sum_{j != i} z_i z_j H_ij,    of mean H_ii    (Hutchinson, 1990)

    Rounds are independent, and the second result is the standard error of the mean of theirs; the
    vectors of a round are not where they are from a Hadamard matrix (Bekas, Kokiopoulou and Saad,
    2007). P = d2R/dw2 is the ``penalty``: (W, W), its diagonal (W,), or a number for all.
    """
    P, means = np.asarray(penalty), []
    for vectors in probes(np.size(w), n_probes, seed, method):
        terms = [
            z * (hessian_vector_product(net, w, z, X, T, sample_weight, kind) + _times(P, z))
            for z in vectors
        ]
        means.append(np.mean(terms, axis=0))
    error: Array = np.std(means, axis=0, ddof=1) / math.sqrt(len(means))
    return np.mean(means, axis=0), error


def _times(P: Array, z: Array) -> Array:
    """P z, of P (W, W), its diagonal (W,), or a number for all."""
    product: Array = P @ z if P.ndim == 2 else P * z
    return product


# Inverse ----------------------------------------------------------------------------------------


def outer_product_inverse(
    J: ArrayLike, alpha: ArrayLike, row_weight: ArrayLike | None = None
) -> Array:
    """(alpha I + sum_n s_n b_n b_n^T)^-1, (W, W), of the rows b_n of ``J``, one after the other.

    ``alpha`` is a number, or (W,) for diag(alpha): the build-up starts from diag(1 / alpha). ``J``
    is (N, W), or (N, K, W) with a row for each output; the ``row_weight`` s is (N,) or (N, K).
    """
    n_weights = np.asarray(J).shape[-1]
    return add_outer_products(np.eye(n_weights) / np.asarray(alpha), J, row_weight)


def add_outer_products(
    inverse: ArrayLike, J: ArrayLike, row_weight: ArrayLike | None = None
) -> Array:
    """(H + sum_n s_n b_n b_n^T)^-1 from the inverse of H, arguments as above.

    H^-1_{n+1} = H^-1_n - s_n H^-1_n b b^T H^-1_n / (1 + s_n b^T H^-1_n b)    (PRML 5.89)
    """
    total, J = np.array(inverse), np.asarray(J)
    s = np.ones(len(J)) if row_weight is None else np.asarray(row_weight)
    for n in range(len(J)):
        rows = np.atleast_2d(J[n])
        for b, s_b in zip(rows, np.broadcast_to(s[n], len(rows)), strict=True):
            Hb = total @ b
            total = total - s_b * np.outer(Hb, Hb) / (1 + s_b * b @ Hb)
    return total


def cholesky(H: ArrayLike) -> Array:
    """The lower triangle L, (W, W), with H = L L^T, column by column.

        L_jj = sqrt(H_jj - sum_{k<j} L_jk^2)
        L_ij = (H_ij - sum_{k<j} L_ik L_jk) / L_jj    for i > j

    A square that is not above 0 is a LinAlgError: H is not positive definite.
    """
    H = np.asarray(H)
    L = np.zeros(H.shape)
    for j in range(len(H)):
        square = H[j, j] - L[j, :j] @ L[j, :j]
        if not square > 0:
            raise np.linalg.LinAlgError(f"H is not positive definite: L[{j}, {j}]^2 is {square:g}")
        L[j, j] = math.sqrt(square)
        for i in range(j + 1, len(H)):
            L[i, j] = (H[i, j] - L[i, :j] @ L[j, :j]) / L[j, j]
    return L


def cholesky_solve(L: ArrayLike, b: ArrayLike) -> Array:
    """(L L^T)^-1 b, (W,) or (W, m): L y = b from the first row on, then L^T x = y from the last."""
    L, x = np.asarray(L), np.array(b, dtype=float)
    for i in range(len(L)):
        x[i] = (x[i] - L[i, :i] @ x[:i]) / L[i, i]
    for i in reversed(range(len(L))):
        x[i] = (x[i] - L[i + 1 :, i] @ x[i + 1 :]) / L[i, i]
    return x


def log_determinant(L: ArrayLike) -> float:
    """ln |L L^T| = 2 sum_i ln L_ii."""
    return sum(2 * math.log(l_ii) for l_ii in np.diagonal(L))
