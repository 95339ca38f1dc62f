"""`mlpcore.reference`: the same functions in plain NumPy, the baseline.

Its results in float64 are also what every contestant is checked against. The Gauss-Newton matrix is
also made as one does without `hessian`: by BLAS of our own `weight_jacobian`.
"""

from __future__ import annotations

import numpy as np

from bench.cases import Array, EnsembleProblem, Problem, in_a_row
from bench.contestants import Contestant, Idiom
from mlpcore import Network, reference

# Weights above which the reference takes many seconds for a Gauss-Newton matrix, and BLAS half.
LARGEST_BY_REFERENCE = 5000


def diagonal_one_hidden_layer(p: Problem) -> Array:
    """The exact diagonal Hessian of a tanh network with one hidden layer, as one writes it by hand.

    The reference works at any depth and so holds B^1 (N, M, M); here only its diagonal is needed.
    """
    (W1, b1), (W2, b2) = p.unpack()
    a = np.tanh(p.X @ W1.T + b1)
    y = a @ W2.T + b2
    if p.case.output == "softmax":
        y = np.exp(y - y.max(1, keepdims=True))
        y /= y.sum(1, keepdims=True)
        curvature, through = y * (1 - y), y @ (W2 * W2) - (y @ W2) ** 2  # B^2 = diag(y) - y y^T
    else:
        curvature, through = np.ones_like(y), (W2 * W2).sum(0)  # B^2 = 1
    h1 = 1 - a * a
    h2 = -2 * a * h1
    B1 = h1 * h1 * through + h2 * ((y - p.T) @ W2)
    blocks = (B1.T @ (p.X * p.X), B1.sum(0), curvature.T @ (a * a), curvature.sum(0))
    return np.concatenate([block.ravel() for block in blocks])


def train_stack(p: Problem) -> Array:
    """Adam on the networks of w (S, W) at once, tanh and linear, by products of stacks of matrices.

    The reference does not know ensembles; this is how one writes them in NumPy.
    """
    how, n = p.case.training, p.case.n_samples
    assert how is not None
    assert (p.case.hidden, p.case.output) == ("tanh", "linear")
    w, m, v = p.w.copy(), np.zeros_like(p.w), np.zeros_like(p.w)
    layers, g = p.unpack(w), np.empty_like(w)
    gradients = p.unpack(g)  # views of w and of g
    for step in range(1, how.epochs + 1):
        a = [np.broadcast_to(p.X, (len(w), *p.X.shape))]
        for W, b in layers:
            z = a[-1] @ W.swapaxes(-1, -2) + b[:, None, :]
            a.append(np.tanh(z) if len(a) < len(layers) else z)
        delta = (a.pop() - p.T) / n
        for i in range(len(layers) - 1, -1, -1):
            np.matmul(delta.swapaxes(-1, -2), a[i], out=gradients[i][0])
            delta.sum(1, out=gradients[i][1])
            if i > 0:
                delta = (1 - a[i] * a[i]) * (delta @ layers[i][0])
        m += (1 - how.beta1) * (g - m)
        v += (1 - how.beta2) * (g * g - v)
        m_hat, v_hat = m / (1 - how.beta1**step), v / (1 - how.beta2**step)
        w -= how.learning_rate * m_hat / (np.sqrt(v_hat) + how.epsilon)
    return w


class NumpyReference(Contestant):
    name = "numpy"

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    @staticmethod
    def network(p: Problem) -> reference.Architecture:
        return reference.Architecture(p.case.layers, p.case.hidden, p.case.output)

    def gradient(self, p: Problem) -> list[Idiom]:
        net = self.network(p)
        return [Idiom("reference", lambda: reference.gradient(net, p.w, p.X, p.T))]

    def jacobian(self, p: Problem) -> list[Idiom]:
        net = self.network(p)
        return [Idiom("reference", lambda: reference.jacobian(net, p.w, p.X))]

    def weight_jacobian(self, p: Problem) -> list[Idiom]:
        net = self.network(p)
        return [Idiom("reference", lambda: reference.weight_jacobian(net, p.w, p.X))]

    def per_sample_gradient(self, p: Problem) -> list[Idiom]:
        net = self.network(p)
        return [Idiom("reference", lambda: reference.per_sample_gradient(net, p.w, p.X, p.T))]

    def hessian_diagonal(self, p: Problem) -> list[Idiom]:
        net = self.network(p)

        def run() -> Array:
            return reference.hessian_diagonal(net, p.w, p.X, p.T, kind="exact")

        idioms = [Idiom("reference", run)]
        if len(net.layers) == 3 and net.hidden == ("tanh",) and net.output in ("linear", "softmax"):
            idioms.append(Idiom("closed form", lambda: diagonal_one_hidden_layer(p)))
        return idioms

    def hessian(self, p: Problem) -> list[Idiom]:
        net = self.network(p)
        return [Idiom("reference", lambda: reference.hessian(net, p.w, p.X, p.T, kind="exact"))]

    def gauss_newton(self, p: Problem) -> list[Idiom]:
        net, ours = self.network(p), Network(p.case.layers, p.case.hidden, p.case.output, p.dtype)

        def by_reference() -> Array:
            return reference.hessian(net, p.w, p.X, p.T, kind="gauss_newton")

        def by_rows() -> Array:
            """J^T J, J = dy/dw; with softmax J over sqrt(y), for dy/dz is B = B diag(1/y) B."""
            J = ours.weight_jacobian(p.w, p.X)
            if p.case.output == "softmax":
                J /= np.sqrt(ours.forward(p.w, p.X))[:, :, None]
            J = J.reshape(-1, p.case.n_weights)
            return J.T @ J  # NumPy sees the symmetry and calls syrk

        idioms = [Idiom("our J, J.T @ J", by_rows)]
        if p.case.n_weights <= LARGEST_BY_REFERENCE:
            idioms.insert(0, Idiom("reference", by_reference))
        return idioms

    def hessian_vector_product(self, p: Problem) -> list[Idiom]:
        return [self.products(p, p.vectors(1)[0])]

    def hessian_vector_products(self, p: Problem) -> list[Idiom]:
        return [self.products(p, p.vectors())]

    def products(self, p: Problem, v: Array, kind: str = "exact") -> Idiom:
        net = self.network(p)

        def run() -> Array:
            return reference.hessian_vector_product(net, p.w, v, p.X, p.T, kind=kind)

        return Idiom("reference", run)

    def train(self, p: Problem) -> list[Idiom]:
        """Adam (Kingma and Ba, 2015, algorithm 1) on the reference's gradient."""
        net, how, n = self.network(p), p.case.training, p.case.n_samples
        assert how is not None
        batch = how.batch_size or n

        def run():
            rng = np.random.default_rng(0)
            w, m, v, step = p.w.copy(), np.zeros_like(p.w), np.zeros_like(p.w), 0
            for _ in range(how.epochs):
                order = np.arange(n) if how.batch_size is None else rng.permutation(n)
                for start in range(0, n, batch):
                    rows = order[start : start + batch]
                    X, T = (p.X, p.T) if how.batch_size is None else (p.X[rows], p.T[rows])
                    g = reference.gradient(net, w, X, T) / len(rows)
                    step += 1
                    m += (1 - how.beta1) * (g - m)
                    v += (1 - how.beta2) * (g * g - v)
                    m_hat = m / (1 - how.beta1**step)
                    v_hat = v / (1 - how.beta2**step)
                    w -= how.learning_rate * m_hat / (np.sqrt(v_hat) + how.epsilon)
            return w

        return [Idiom("reference", run)]

    def train_ensemble(self, p: EnsembleProblem) -> list[Idiom]:
        padded = p.padded()
        return [
            Idiom("stack a width", lambda: [train_stack(q) for q in p.members], in_a_row),
            Idiom("one padded stack", lambda: train_stack(padded), p.unpad),
        ]


make = NumpyReference
