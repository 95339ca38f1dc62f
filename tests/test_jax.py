"""Against JAX's automatic differentiation, on architectures that aren't in the list of cases."""

from __future__ import annotations

import numpy as np
import pytest
from cases import Case, assert_close

jax = pytest.importorskip("jax")
jnp = jax.numpy
jax.config.update("jax_enable_x64", True)

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

HIDDEN = {
    "identity": lambda z: z,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "leaky_relu": lambda z: jax.nn.leaky_relu(z, 0.01),
    "softplus": jax.nn.softplus,
    "elu": jax.nn.elu,
    "gelu": lambda z: jax.nn.gelu(z, approximate=False),
    "silu": jax.nn.silu,
}
OUTPUT = {"linear": lambda z: z, "sigmoid": jax.nn.sigmoid, "softmax": jax.nn.softmax}
ERROR = {
    "linear": lambda z, t: 0.5 * ((z - t) ** 2).sum(axis=-1),
    "sigmoid": lambda z, t: (jax.nn.softplus(z) - t * z).sum(axis=-1),
    "softmax": lambda z, t: -(t * jax.nn.log_softmax(z)).sum(axis=-1),
}

CASES = [
    *(Case((3, 5, 2), name, n=18, weighted=True) for name in HIDDEN),
    Case((4, 3), output="softmax", n=25, weighted=True),
    Case((6, 8, 1), "softplus", "sigmoid", n=70),
    Case((2, 9, 4, 3), ("gelu", "tanh"), "softmax", n=27, weighted=True),
    Case((5, 4, 3, 4, 2), ("silu", "elu", "sigmoid"), "sigmoid", n=35, weighted=True),
    Case((3, 5, 5, 5, 5, 2), ("tanh", "relu", "softplus", "leaky_relu"), n=15),
]


def logits(case, w, x):
    """z^L (K,) of one sample x (D,)."""
    hidden = case.reference().architecture.hidden
    for i, (weight, bias) in enumerate(case.parts(w)):
        x = weight @ x + bias
        if i < len(hidden):
            x = HIDDEN[hidden[i]](x)
    return x


def quantities(case, w, X, T, s, V):
    """Of the network at w, by JAX; V are directions (m, W)."""

    def outputs(w, x):
        return OUTPUT[case.output](logits(case, w, x))

    def error(w):
        return s @ jax.vmap(lambda x, t: ERROR[case.output](logits(case, w, x), t))(X, T)

    def of_samples(f):
        return jax.vmap(f, in_axes=(None, 0))(w, X)

    return {
        "forward": of_samples(outputs),
        "error": error(w),
        "gradient": jax.grad(error)(w),
        "jacobian": of_samples(jax.jacrev(outputs, argnums=1)),
        "weight_jacobian": of_samples(jax.jacrev(outputs)),
        "hessian": jax.hessian(error)(w),
        "products": jax.vmap(lambda v: jax.jvp(jax.grad(error), (w,), (v,))[1])(V),
    }


@pytest.mark.parametrize("case", CASES, ids=str)
def test_jax(case):
    problem, net = case.problem(seed=7), case.network()
    (w, X, T, s), V = problem, problem.directions(3)
    weight = np.ones(case.n) if s is None else s
    # Compiled as a whole, which takes JAX less time than operation by operation.
    expected = jax.jit(quantities, static_argnums=0)(case, w, X, T, weight, V)
    found = {
        "forward": net.forward(w, X),
        "error": net.error(w, X, T, s),
        "gradient": net.gradient(w, X, T, s),
        "jacobian": net.jacobian(w, X),
        "weight_jacobian": net.weight_jacobian(w, X),
        "hessian": net.hessian(w, X, T, s),
        "products": net.hessian_vector_product(w, V, X, T, s),
    }
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert_close(value, expected[name], 1e-10)
