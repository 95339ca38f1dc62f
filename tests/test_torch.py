"""Against PyTorch's autograd, on architectures that aren't in the list of cases."""

from __future__ import annotations

import pytest
from cases import Case, assert_close

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

HIDDEN = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": lambda z: torch.nn.functional.leaky_relu(z, 0.01),
    "softplus": torch.nn.functional.softplus,
    "elu": torch.nn.functional.elu,
    "gelu": torch.nn.functional.gelu,
    "silu": torch.nn.functional.silu,
}
OUTPUT = {
    "linear": lambda z: z,
    "sigmoid": torch.sigmoid,
    "softmax": lambda z: torch.softmax(z, dim=-1),
}
ERROR = {
    "linear": lambda z, t: 0.5 * ((z - t) ** 2).sum(dim=-1),
    "sigmoid": lambda z, t: torch.nn.functional.binary_cross_entropy_with_logits(
        z, t, reduction="none"
    ).sum(dim=-1),
    "softmax": lambda z, t: torch.nn.functional.cross_entropy(z, t, reduction="none"),
}

CASES = [
    *(Case((4, 6, 3), name, "linear", n=21, weighted=True) for name in HIDDEN),
    Case((6, 4), output="softmax", n=40, weighted=True),
    Case((5, 2), output="sigmoid", n=67),
    Case((2, 11, 3, 4), ("silu", "gelu"), "softmax", n=29, weighted=True),
    Case((7, 5, 6, 4, 2), ("tanh", "softplus", "elu"), "sigmoid", n=66, weighted=True),
    Case((3, 4, 4, 4, 4, 4, 3), ("relu", "tanh", "sigmoid", "leaky_relu", "gelu"), n=17),
    Case((9, 12, 1), "tanh", "sigmoid", n=131),
]


def logits(case, w, x):
    """z^L of samples x, with w cut as torch.nn.Linear has it: weight, bias, weight, bias."""
    hidden = case.reference().architecture.hidden
    for i, (weight, bias) in enumerate(case.parts(w)):
        x = torch.nn.functional.linear(x, weight, bias)
        if i < len(hidden):
            x = HIDDEN[hidden[i]](x)
    return x


@pytest.mark.parametrize("case", CASES, ids=str)
def test_torch(case):
    problem, net = case.problem(seed=5), case.network()
    w, X, T, s = (None if value is None else torch.from_numpy(value) for value in problem)
    s = torch.ones(case.n, dtype=w.dtype) if s is None else s

    def outputs(w, X):
        return OUTPUT[case.output](logits(case, w, X))

    def errors(w):
        return ERROR[case.output](logits(case, w, X), T)

    def error(w):
        return s @ errors(w)

    jacobian, hessian = torch.autograd.functional.jacobian, torch.autograd.functional.hessian
    w_, X_, T_, s_ = problem
    assert_close(net.forward(w_, X_), outputs(w, X).numpy(), 1e-10)
    assert_close(net.error(w_, X_, T_, s_), error(w).item(), 1e-10)
    assert_close(net.gradient(w_, X_, T_, s_), jacobian(error, w).numpy(), 1e-10)
    assert_close(net.per_sample_gradient(w_, X_, T_), jacobian(errors, w).numpy(), 1e-10)
    by_weights = jacobian(lambda w: outputs(w, X), w).numpy()
    assert_close(net.weight_jacobian(w_, X_), by_weights, 1e-10)
    by_inputs = jacobian(lambda X: outputs(w, X).sum(dim=0), X).movedim(1, 0).numpy()
    assert_close(net.jacobian(w_, X_), by_inputs, 1e-10)
    full = hessian(error, w).numpy()
    assert_close(net.hessian(w_, X_, T_, s_), full, 1e-10)
    assert_close(net.hessian_diagonal(w_, X_, T_, s_), full.diagonal(), 1e-10)
    V = problem.directions(3)
    assert_close(net.hessian_vector_product(w_, V, X_, T_, s_), V @ full, 1e-10)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_torch_func(case):
    """Jacobian products, the outputs' Hessian, and the generalized Gauss-Newton matrix."""
    problem, net = case.problem(seed=6), case.network()
    w_, X_, T_, s_ = problem
    w, X = torch.from_numpy(w_), torch.from_numpy(X_)
    s = torch.ones(case.n, dtype=w.dtype) if s_ is None else torch.from_numpy(s_)
    dX, v = X.roll(1, dims=0), torch.from_numpy(problem.directions(1)[0])
    dY = torch.from_numpy(T_).roll(1, dims=0)

    def outputs(w, X):
        return OUTPUT[case.output](logits(case, w, X))

    func = torch.func
    jvp = func.jvp(lambda X: outputs(w, X), (X,), (dX,))[1]
    assert_close(net.jvp(w_, X_, dX.numpy()), jvp.numpy(), 1e-10)
    jvp = func.jvp(lambda w: outputs(w, X), (w,), (v,))[1]
    assert_close(net.weight_jvp(w_, X_, v.numpy()), jvp.numpy(), 1e-10)
    assert_close(
        net.vjp(w_, X_, dY.numpy()), func.vjp(lambda X: outputs(w, X), X)[1](dY)[0].numpy(), 1e-10
    )
    assert_close(
        net.weight_vjp(w_, X_, dY.numpy()),
        func.vjp(lambda w: outputs(w, X), w)[1](dY)[0].numpy(),
        1e-10,
    )
    bent = func.vmap(func.hessian(lambda x: outputs(w, x[None])[0]))(X).numpy()
    assert_close(net.output_hessian(w_, X_), bent, 1e-10, floor=1e-3)

    z, Jv = func.jvp(lambda w: logits(case, w, X), (w,), (v,))
    curvature = func.vmap(func.jacrev(OUTPUT[case.output]))(z)
    BJv = s[:, None] * torch.einsum("nab,nb->na", curvature, Jv)
    product = func.vjp(lambda w: logits(case, w, X), w)[1](BJv)[0].numpy()
    ours = net.hessian_vector_product(w_, v.numpy(), X_, T_, s_, kind="gauss_newton")
    assert_close(ours, product, 1e-10)


def test_parameters_pass_over_without_a_permutation():
    case = Case((3, 7, 2), "tanh", n=9)
    module = torch.nn.Sequential(
        torch.nn.Linear(3, 7), torch.nn.Tanh(), torch.nn.Linear(7, 2)
    ).double()
    w = torch.nn.utils.parameters_to_vector(module.parameters()).detach().numpy()
    X = case.problem().X
    y = module(torch.from_numpy(X)).detach().numpy()
    assert_close(case.network().forward(w, X), y, 1e-13)


def test_tensors_are_arrays():
    case = Case((3, 7, 2), n=9)
    tensors = [torch.from_numpy(value) for value in case.problem()[:3]]
    assert_close(case.network().gradient(*tensors), case.network().gradient(*case.problem()[:3]), 0)
