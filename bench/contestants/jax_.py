"""JAX, jitted, its inputs on the device before the clock starts, in float64 where we are."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.cases import Array, EnsembleProblem, Problem, in_a_row
from bench.contestants import Contestant, Idiom, NotOffered

jax.config.update("jax_enable_x64", True)

HIDDEN = {"tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu}

# Multiply-adds of W Hessian-vector products above which a call takes a second and more.
LARGEST_DIAGONAL_BY_PRODUCTS = 1e10

# Numbers of one hidden layer's activations for all W columns of a Hessian at once, of which XLA
# holds several.
LARGEST_AT_ONCE = 1e8

# Weights above which a Hessian takes some 20 s by any idiom: by the leanest alone.
LARGEST_HESSIAN_BY_MANY = 5000

Params = list[tuple[jax.Array, jax.Array]]
State = tuple[jax.Array, jax.Array, jax.Array, jax.Array]  # w, m, v, step of Adam


def unpack(p: Problem, w: jax.Array) -> Params:
    return p.unpack(w)  # slices and reshapes: as good for a traced array


def logits(p: Problem, params: Params, X: jax.Array) -> jax.Array:
    a = X
    for W, b in params[:-1]:
        a = HIDDEN[p.case.hidden](a @ W.T + b)
    W, b = params[-1]
    return a @ W.T + b


def outputs(p: Problem, params: Params, X: jax.Array) -> jax.Array:
    z = logits(p, params, X)
    return jax.nn.softmax(z) if p.case.output == "softmax" else z


def outputs_of_flat(p: Problem, w: jax.Array, X: jax.Array) -> jax.Array:
    return outputs(p, unpack(p, w), X)


def error(p: Problem, params: Params, X: jax.Array, T: jax.Array) -> jax.Array:
    z = logits(p, params, X)
    if p.case.output == "softmax":
        return -jnp.sum(T * jax.nn.log_softmax(z))
    return 0.5 * jnp.sum((z - T) ** 2)


def error_of_flat(p: Problem, w: jax.Array, X: jax.Array, T: jax.Array) -> jax.Array:
    return error(p, unpack(p, w), X, T)


def product(p: Problem, w: jax.Array, v: jax.Array, X: jax.Array, T: jax.Array) -> jax.Array:
    """The Hessian times v, forward over reverse."""
    return jax.jvp(lambda w: jax.grad(partial(error_of_flat, p))(w, X, T), (w,), (v,))[1]


def product_by_layer(p: Problem, w: Params, v: Params, X: jax.Array, T: jax.Array) -> Params:
    return jax.jvp(lambda w: jax.grad(partial(error, p))(w, X, T), (w,), (v,))[1]


def product_in_reverse(
    p: Problem, w: jax.Array, v: jax.Array, X: jax.Array, T: jax.Array
) -> jax.Array:
    return jax.grad(lambda w: jax.grad(partial(error_of_flat, p))(w, X, T) @ v)(w)


def start(w: jax.Array) -> State:
    return jnp.array(w), jnp.zeros_like(w), jnp.zeros_like(w), jnp.zeros(w.shape[:-1], w.dtype)


def adam(p: Problem, state: State, X: jax.Array, T: jax.Array) -> State:
    how = p.case.training
    assert how is not None
    w, m, v, step = state
    g = jax.grad(lambda w: error(p, unpack(p, w), X, T))(w) / len(X)
    step = step + 1
    m = how.beta1 * m + (1 - how.beta1) * g
    v = how.beta2 * v + (1 - how.beta2) * g * g
    m_hat, v_hat = m / (1 - how.beta1**step), v / (1 - how.beta2**step)
    return w - how.learning_rate * m_hat / (jnp.sqrt(v_hat) + how.epsilon), m, v, step


def train_stack(p: Problem, state: State, X: jax.Array, T: jax.Array) -> State:
    """All epochs of the networks of w (S, W), full batch."""
    how = p.case.training
    assert how is not None
    step = jax.vmap(lambda s: adam(p, s, X, T))
    return jax.lax.fori_loop(0, how.epochs, lambda _, s: step(s), state)


def on_device(p: Problem) -> tuple[jax.Array, jax.Array, jax.Array]:
    return jax.block_until_ready(tuple(jax.device_put(a) for a in (p.w, p.X, p.T)))


def by_layer(p: Problem, w: jax.Array) -> Params:
    """Arrays of their own."""
    return jax.block_until_ready([(W.copy(), b.copy()) for W, b in unpack(p, w)])


def flatten(tree: Any) -> Array:
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])


def timed(name: str, f: Any, *args: Any, collect: Any = np.asarray) -> Idiom:
    """The idiom calls f, which its first call compiles, and waits for the result."""
    compiled = jax.jit(f)
    return Idiom(name, lambda: jax.block_until_ready(compiled(*args)), collect)


class Jax(Contestant):
    name = "jax"

    def versions(self) -> dict[str, str]:
        import jaxlib

        return {"jax": jax.__version__, "jaxlib": jaxlib.__version__}

    # set_threads: XLA has no call for it; it takes as many as the process may run on, and
    # run.py limits that.

    def gradient(self, p: Problem) -> list[Idiom]:
        w, X, T = on_device(p)
        flat = jax.grad(partial(error_of_flat, p))
        layers = jax.grad(partial(error, p))
        return [
            timed("jit(grad), flat w", flat, w, X, T),
            timed("jit(grad), w by layer", layers, by_layer(p, w), X, T, collect=flatten),
        ]

    def jacobian(self, p: Problem) -> list[Idiom]:
        w, X, _ = on_device(p)
        return [
            timed(
                f"jit(vmap({transform.__name__}))",
                jax.vmap(transform(partial(outputs_of_flat, p), argnums=1), (None, 0)),
                w,
                X,
            )
            for transform in (jax.jacrev, jax.jacfwd)
        ]

    def weight_jacobian(self, p: Problem) -> list[Idiom]:
        w, X, _ = on_device(p)
        n, k = p.case.n_samples, p.case.layers[-1]
        flat, layers = (
            jax.vmap(jax.jacrev(partial(f, p)), (None, 0)) for f in (outputs_of_flat, outputs)
        )

        def collect(tree: Any) -> Array:
            leaves = [np.asarray(leaf).reshape(n, k, -1) for leaf in jax.tree.leaves(tree)]
            return np.concatenate(leaves, axis=-1)

        return [
            timed("jit(vmap(jacrev)), flat w", flat, w, X),
            timed("jit(vmap(jacrev)), w by layer", layers, by_layer(p, w), X, collect=collect),
        ]

    def per_sample_gradient(self, p: Problem) -> list[Idiom]:
        w, X, T = on_device(p)
        flat, layers = (
            jax.vmap(jax.grad(partial(f, p)), (None, 0, 0)) for f in (error_of_flat, error)
        )

        def collect(tree: Any) -> Array:
            leaves = [np.asarray(leaf).reshape(len(X), -1) for leaf in jax.tree.leaves(tree)]
            return np.concatenate(leaves, axis=-1)

        return [
            timed("jit(vmap(grad)), flat w", flat, w, X, T),
            timed("jit(vmap(grad)), w by layer", layers, by_layer(p, w), X, T, collect=collect),
        ]

    def hessian_diagonal(self, p: Problem) -> list[Idiom]:
        """e_i^T H e_i for every weight i, forward over reverse."""
        if 6 * p.case.n_weights**2 * p.case.n_samples > LARGEST_DIAGONAL_BY_PRODUCTS:
            raise NotOffered("takes seconds to minutes")
        w, X, T = on_device(p)

        def diagonal(batch_size: int, w: jax.Array, X: jax.Array, T: jax.Array) -> jax.Array:
            gradient = jax.grad(lambda w: error(p, unpack(p, w), X, T))

            def curvature(i: jax.Array) -> jax.Array:
                e = jnp.zeros_like(w).at[i].set(1)
                return jax.jvp(gradient, (w,), (e,))[1][i]

            return jax.lax.map(curvature, jnp.arange(w.size), batch_size=batch_size)

        return [
            timed(f"jit(map(hvp)), {size} at once", partial(diagonal, size), w, X, T)
            for size in (1, 16)
        ]

    def hessian(self, p: Problem) -> list[Idiom]:
        w, X, T = on_device(p)

        def columns(size: int, w: jax.Array, X: jax.Array, T: jax.Array) -> jax.Array:
            def column(i: jax.Array) -> jax.Array:
                return product(p, w, jnp.zeros_like(w).at[i].set(1), X, T)

            return jax.lax.map(column, jnp.arange(w.size), batch_size=size)

        sizes = (1, 4, 16) if w.size <= LARGEST_HESSIAN_BY_MANY else (1,)
        idioms = [
            timed(f"jit(map(hvp)), {size} at once", partial(columns, size), w, X, T)
            for size in sizes
        ]
        if w.size * len(X) * max(p.case.layers[1:-1]) <= LARGEST_AT_ONCE:
            f = partial(error_of_flat, p)
            idioms += [
                timed("jit(hessian)", jax.hessian(f), w, X, T),
                timed("jit(jacfwd(grad))", jax.jacfwd(jax.grad(f)), w, X, T),
                timed("jit(jacrev(grad))", jax.jacrev(jax.grad(f)), w, X, T),
            ]
        return idioms

    def gauss_newton(self, p: Problem) -> list[Idiom]:
        """J^T J, J = dy/dw; with softmax J over sqrt(y), for dy/dz is B = B diag(1/y) B."""
        w, X, _ = on_device(p)
        params = by_layer(p, w)
        rows = p.case.n_samples * p.case.layers[-1]

        def by_rows(params: Params, parts: list[jax.Array], X: jax.Array) -> jax.Array:
            J = jnp.concatenate([part.reshape(rows, -1) for part in parts], axis=1)
            if p.case.output == "softmax":
                J = J / jnp.sqrt(outputs(p, params, X)).reshape(rows, 1)
            return J.T @ J

        def flat(w: jax.Array, X: jax.Array) -> jax.Array:
            J = jax.vmap(jax.jacrev(partial(outputs_of_flat, p)), (None, 0))(w, X)
            return by_rows(unpack(p, w), [J], X)

        def layers(params: Params, X: jax.Array) -> jax.Array:
            J = jax.vmap(jax.jacrev(partial(outputs, p)), (None, 0))(params, X)
            return by_rows(params, jax.tree.leaves(J), X)

        return [
            timed("jit(J.T @ J), J by vmap(jacrev), flat w", flat, w, X),
            timed("jit(J.T @ J), J by vmap(jacrev), w by layer", layers, params, X),
        ]

    def hessian_vector_product(self, p: Problem) -> list[Idiom]:
        (w, X, T), v = on_device(p), jax.device_put(p.vectors(1)[0])
        layers = jax.block_until_ready([unpack(p, w.copy()), unpack(p, v.copy())])
        return [
            timed("jit(jvp(grad)), flat w", partial(product, p), w, v, X, T),
            timed("jit(grad(grad @ v)), flat w", partial(product_in_reverse, p), w, v, X, T),
            timed(
                "jit(jvp(grad)), w by layer",
                partial(product_by_layer, p),
                *layers,
                X,
                T,
                collect=flatten,
            ),
        ]

    def hessian_vector_products(self, p: Problem) -> list[Idiom]:
        (w, X, T), V = on_device(p), jax.device_put(p.vectors())
        layers = jax.block_until_ready([unpack(p, w.copy()), unpack(p, V.copy())])
        axes = (None, 0, None, None)

        def one_by_one(w: jax.Array, V: jax.Array, X: jax.Array, T: jax.Array) -> jax.Array:
            return jax.lax.map(lambda v: product(p, w, v, X, T), V)

        def collect(tree: Any) -> Array:
            leaves = [np.asarray(leaf).reshape(len(V), -1) for leaf in jax.tree.leaves(tree)]
            return np.concatenate(leaves, axis=-1)

        return [
            timed("jit(vmap(jvp(grad))), flat w", jax.vmap(partial(product, p), axes), w, V, X, T),
            timed("jit(map(jvp(grad))), flat w", one_by_one, w, V, X, T),
            timed(
                "jit(vmap(jvp(grad))), w by layer",
                jax.vmap(partial(product_by_layer, p), axes),
                *layers,
                X,
                T,
                collect=collect,
            ),
        ]

    def train(self, p: Problem) -> list[Idiom]:
        how, n = p.case.training, p.case.n_samples
        assert how is not None
        w, X, T = on_device(p)
        if how.batch_size is None:
            step = jax.jit(partial(adam, p), donate_argnums=0)

            def loop() -> jax.Array:
                state = start(w)
                for _ in range(how.epochs):
                    state = step(state, X, T)
                return jax.block_until_ready(state[0])

            @partial(jax.jit, donate_argnums=0)
            def scan_epochs(state: State, X: jax.Array, T: jax.Array) -> State:
                return jax.lax.fori_loop(0, how.epochs, lambda _, s: adam(p, s, X, T), state)

            def scan() -> jax.Array:
                return jax.block_until_ready(scan_epochs(start(w), X, T)[0])

            return [Idiom("jit(step)", loop), Idiom("jit(fori_loop)", scan)]

        batch, n_batches = how.batch_size, n // how.batch_size
        assert n == batch * n_batches

        @partial(jax.jit, donate_argnums=0)
        def epochs(state: State, key: jax.Array, X: jax.Array, T: jax.Array) -> State:
            def epoch(state: State, key: jax.Array) -> tuple[State, None]:
                order = jax.random.permutation(key, n)
                batches = [a[order].reshape(n_batches, batch, -1) for a in (X, T)]
                return jax.lax.scan(lambda s, xt: (adam(p, s, *xt), None), state, batches)

            return jax.lax.scan(epoch, state, jax.random.split(key, how.epochs))[0]

        key = jax.random.key(0)

        def scan_batches() -> jax.Array:
            return jax.block_until_ready(epochs(start(w), key, X, T)[0])

        return [Idiom("jit(scan)", scan_batches)]

    def train_ensemble(self, p: EnsembleProblem) -> list[Idiom]:
        _, X, T = on_device(p.members[0])  # the same data for all

        def idiom(name: str, stacks: list[Problem], collect: Any) -> Idiom:
            ws = jax.block_until_ready([jax.device_put(q.w) for q in stacks])
            trainings = [jax.jit(partial(train_stack, q), donate_argnums=0) for q in stacks]

            def run() -> list[jax.Array]:
                ends = [f(start(w), X, T)[0] for f, w in zip(trainings, ws, strict=True)]
                return jax.block_until_ready(ends)

            return Idiom(name, run, collect)

        padded = [p.padded()]
        return [
            idiom("jit(fori_loop(vmap(step))) a width", list(p.members), in_a_row),
            idiom(
                "jit(fori_loop(vmap(step))), padded", padded, lambda ws: p.unpad(np.asarray(ws[0]))
            ),
        ]


make = Jax
