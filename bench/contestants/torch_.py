"""PyTorch by its cheapest idioms: a hand-made functional forward and autograd.grad, eager, and what
`torch.compile` makes of the functional transforms and of a step of Adam.

The results stay a tuple of tensors, one a parameter: flattening them is not on the clock. The
exact diagonal of the Hessian is BackPACK's where it is installed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.autograd import functional
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

from bench.cases import Array, EnsembleProblem, Problem, Training, in_a_row
from bench.contestants import Contestant, Idiom, NotOffered

try:
    import backpack
    from backpack.extensions import DiagHessian
except ImportError:
    backpack = None
else:  # its hooks are on a network whose inputs need no gradient, which is as it should be
    warnings.filterwarnings("ignore", "Full backward hook is firing")

# What the compiler says of its own deprecations.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.")

HIDDEN = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu}
MODULES = {"tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid, "relu": torch.nn.ReLU}

# Multiply-adds of W Hessian-vector products above which a call takes a second and more.
LARGEST_DIAGONAL_BY_PRODUCTS = 1e10

# Numbers of one hidden layer's activations for all W columns of a Hessian at once, of which
# several are held.
LARGEST_AT_ONCE = 1e8

# Weights above which a Hessian takes half a minute.
LARGEST_QUICK_HESSIAN = 5000

Params = list[torch.Tensor]  # W1, b1, W2, b2, ...; with an axis in front in an ensemble
State = tuple[Params, Params, Params, torch.Tensor]  # w, m, v, step of Adam
Error = Callable[[Params, torch.Tensor, torch.Tensor], torch.Tensor]


def logits(p: Problem, params: Params, X: torch.Tensor) -> torch.Tensor:
    h = HIDDEN[p.case.hidden]
    a = X
    for i in range(0, len(params) - 2, 2):
        a = h(F.linear(a, params[i], params[i + 1]))
    return F.linear(a, params[-2], params[-1])


def outputs(p: Problem, params: Params, X: torch.Tensor) -> torch.Tensor:
    z = logits(p, params, X)
    return torch.softmax(z, -1) if p.case.output == "softmax" else z


def error(p: Problem, params: Params, X: torch.Tensor, T: torch.Tensor) -> torch.Tensor:
    z = logits(p, params, X)
    if p.case.output == "softmax":
        return F.cross_entropy(z, T, reduction="sum")
    return 0.5 * F.mse_loss(z, T, reduction="sum")


def parameters(p: Problem, requires_grad: bool = False) -> Params:
    return [
        torch.tensor(array).requires_grad_(requires_grad) for pair in p.unpack() for array in pair
    ]


def data(p: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(p.X), torch.tensor(p.T if p.labels is None else p.labels)


def modules(p: Problem) -> tuple[torch.nn.Sequential, torch.nn.Module, float]:
    """The network, the loss, and what to multiply that by to get E(w)."""
    layers: list[torch.nn.Module] = []
    for W, b in p.unpack():
        linear = torch.nn.Linear(W.shape[1], W.shape[0], dtype=getattr(torch, p.dtype))
        linear.weight.data, linear.bias.data = torch.tensor(W), torch.tensor(b)
        layers += [linear, MODULES[p.case.hidden]()]
    network = torch.nn.Sequential(*layers[:-1])
    if p.case.output == "softmax":
        return network, torch.nn.CrossEntropyLoss(reduction="sum"), 1.0
    return network, torch.nn.MSELoss(reduction="sum"), 0.5  # E is half the sum of squares


def product(p: Problem, params: Params, v: Params, X: torch.Tensor, T: torch.Tensor) -> Params:
    """The Hessian times v, forward over reverse."""
    return jvp(grad(lambda params: error(p, params, X, T)), (params,), (v,))[1]


def flat_error(p: Problem, X: torch.Tensor, T: torch.Tensor) -> Callable[..., torch.Tensor]:
    """The error as a function of w (W,)."""
    layers = p.case.layers
    sizes = [s for a, b in pairwise(layers) for s in (a * b, b)]
    shapes = [s for a, b in pairwise(layers) for s in ((b, a), (b,))]

    def of_flat(w: torch.Tensor) -> torch.Tensor:
        parts = torch.split(w, sizes)
        params = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
        return error(p, params, X, T)

    return of_flat


def flatten(tensors: Any) -> Array:
    return np.concatenate([t.detach().numpy().ravel() for t in tensors])


def flatten_last(p: Problem) -> Callable[[Any], Array]:
    """(N, K, *shape of a parameter), ... -> (N, K, W)"""
    n, k = p.case.n_samples, p.case.layers[-1]
    return lambda tensors: np.concatenate(
        [t.detach().numpy().reshape(n, k, -1) for t in tensors], axis=-1
    )


def compiled(f: Callable[..., Any]) -> Callable[..., Any]:
    """torch.compile for one shape, forgetting what was compiled before.

    Its cache is by line of source, and after a few shapes of one line it silently stays eager.
    """
    torch.compiler.reset()
    return torch.compile(f, dynamic=False, fullgraph=True)


def start(params: Params) -> State:
    zeros = [[torch.zeros_like(q) for q in params] for _ in range(2)]
    return params, *zeros, torch.zeros((), dtype=params[0].dtype)


def compiled_adam(how: Training, mean: Error) -> Callable[..., State]:
    """A step down the mean error, gradient and Adam compiled into one."""

    def step(state: State, X: torch.Tensor, T: torch.Tensor) -> State:
        w, m, v, n = state
        g = grad(mean)(w, X, T)
        n = n + 1
        m = [how.beta1 * a + (1 - how.beta1) * b for a, b in zip(m, g, strict=True)]
        v = [how.beta2 * a + (1 - how.beta2) * b * b for a, b in zip(v, g, strict=True)]
        rate, unbias = how.learning_rate / (1 - how.beta1**n), 1 / (1 - how.beta2**n)
        w = [
            q - rate * a / ((unbias * b).sqrt() + how.epsilon)
            for q, a, b in zip(w, m, v, strict=True)
        ]
        return w, m, v, n

    return torch.no_grad()(compiled(step))


def ways_to_weight_jacobian(p: Problem) -> dict[str, Callable[[Params, torch.Tensor], Params]]:
    """By name: (N, K, *shape of a parameter), ... of the parameters and X; (N, ...) by grad."""

    def one(params: Params, x: torch.Tensor) -> torch.Tensor:
        return outputs(p, params, x)

    ways = {"vmap(jacrev)": vmap(jacrev(one), in_dims=(None, 0))}
    if p.case.layers[-1] == 1:
        ways["vmap(grad)"] = vmap(grad(lambda params, x: one(params, x)[0]), in_dims=(None, 0))
    return ways


def mean_of_stack(params: Params, X: torch.Tensor, T: torch.Tensor) -> torch.Tensor:
    """The sum of the mean errors of all networks of a stack, tanh and linear, on the same data.

    Its derivative has each network's own.
    """
    a = X.expand(len(params[0]), -1, -1)
    for i in range(0, len(params), 2):
        z = torch.baddbmm(params[i + 1][:, None, :], a, params[i].mT)
        a = torch.tanh(z) if i + 2 < len(params) else z
    return 0.5 / len(X) * ((a - T) ** 2).sum()


def mean_of_stacks(params: Params, X: torch.Tensor, T: torch.Tensor) -> torch.Tensor:
    """The same of stacks of two layers each, a width a stack: four parameters each, in a row."""
    stacks = [params[i : i + 4] for i in range(0, len(params), 4)]
    return torch.stack([mean_of_stack(stack, X, T) for stack in stacks]).sum()


class Torch(Contestant):
    name = "torch"

    def versions(self) -> dict[str, str]:
        found = {"torch": torch.__version__}
        if backpack is not None:
            from importlib.metadata import version

            found["backpack-for-pytorch"] = version("backpack-for-pytorch")
        return found

    def set_threads(self, n: int) -> None:
        torch.set_num_threads(n)

    def gradient(self, p: Problem) -> list[Idiom]:
        params, (X, T) = parameters(p, requires_grad=True), data(p)

        def run() -> tuple[torch.Tensor, ...]:
            return torch.autograd.grad(error(p, params, X, T), params)

        idioms = [Idiom("autograd.grad", run, flatten)]
        if self.thorough:
            leaves = parameters(p)
            f = compiled(grad(lambda leaves, X, T: error(p, leaves, X, T)))
            idioms.append(Idiom("compile(grad)", lambda: f(leaves, X, T), flatten))
        return idioms

    def jacobian(self, p: Problem) -> list[Idiom]:
        params, (X, _) = parameters(p), data(p)
        leaf = X.clone().requires_grad_()
        k = p.case.layers[-1]

        def one(x: torch.Tensor) -> torch.Tensor:
            return outputs(p, params, x)

        def by_outputs() -> torch.Tensor:
            sums = outputs(p, params, leaf).sum(0)
            rows = [torch.autograd.grad(sums[i], leaf, retain_graph=i < k - 1)[0] for i in range(k)]
            return torch.stack(rows, 1)

        reverse, forward = vmap(jacrev(one)), vmap(jacfwd(one))
        idioms = [
            Idiom("autograd.grad by outputs", by_outputs),
            Idiom("vmap(jacrev)", lambda: reverse(X)),
            Idiom("vmap(jacfwd)", lambda: forward(X)),
        ]
        if self.thorough:
            fused = compiled(reverse)
            idioms.append(Idiom("compile(vmap(jacrev))", lambda: fused(X)))
        return idioms

    def weight_jacobian(self, p: Problem) -> list[Idiom]:
        params, (X, _) = parameters(p), data(p)
        ways = ways_to_weight_jacobian(p)
        if self.thorough:
            ways["compile(vmap(jacrev))"] = compiled(ways["vmap(jacrev)"])
        return [Idiom(name, partial(f, params, X), flatten_last(p)) for name, f in ways.items()]

    def per_sample_gradient(self, p: Problem) -> list[Idiom]:
        params, (X, T), n = parameters(p), data(p), p.case.n_samples

        def one(params: Params, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return error(p, params, x, t)

        def collect(tensors: Any) -> Array:
            return np.concatenate([t.numpy().reshape(n, -1) for t in tensors], axis=-1)

        every = vmap(grad(one), in_dims=(None, 0, 0))
        idioms = [Idiom("vmap(grad)", lambda: every(params, X, T), collect)]
        if self.thorough:
            fused = compiled(every)
            idioms.append(Idiom("compile(vmap(grad))", lambda: fused(params, X, T), collect))
        return idioms

    def hessian_diagonal(self, p: Problem) -> list[Idiom]:
        if backpack is not None:  # always quicker than products
            return [self.backpack_diagonal(p)]
        if 6 * p.case.n_weights**2 * p.case.n_samples > LARGEST_DIAGONAL_BY_PRODUCTS:
            raise NotOffered("takes seconds to minutes without BackPACK")
        return [self.diagonal_by_products(p)]

    @staticmethod
    def backpack_diagonal(p: Problem) -> Idiom:
        model, loss, factor = modules(p)
        model, loss = backpack.extend(model), backpack.extend(loss)
        params, (X, T) = list(model.parameters()), data(p)

        def run() -> list[torch.Tensor]:
            for q in params:
                q.grad = None
            with backpack.backpack(DiagHessian()):
                loss(model(X), T).backward()
            return [q.diag_h for q in params]

        return Idiom("BackPACK", run, lambda result: factor * flatten(result))

    @staticmethod
    def diagonal_by_products(p: Problem) -> Idiom:
        """e_i^T H e_i for every weight i, forward over reverse, 16 at a time."""
        w, f = torch.tensor(p.w), flat_error(p, *data(p))

        def curvature(e: torch.Tensor) -> torch.Tensor:
            return e @ jvp(grad(f), (w,), (e,))[1]

        basis, batched = torch.eye(len(w), dtype=w.dtype), vmap(curvature, chunk_size=16)
        return Idiom("vmap(hvp)", lambda: batched(basis))

    def hessian(self, p: Problem) -> list[Idiom]:
        if p.case.n_weights > LARGEST_QUICK_HESSIAN and not self.thorough:
            raise NotOffered("takes half a minute a call, left out by --quick")
        w, f = torch.tensor(p.w), flat_error(p, *data(p))
        by_chunks = jacrev(grad(f), chunk_size=16)
        idioms = [
            Idiom("autograd.functional.hessian", lambda: functional.hessian(f, w)),
            Idiom("jacrev(grad), 16 at once", lambda: by_chunks(w)),
        ]
        if len(w) * p.case.n_samples * max(p.case.layers[1:-1]) <= LARGEST_AT_ONCE:
            whole = hessian(f)
            idioms.append(Idiom("func.hessian", lambda: whole(w)))
            if self.thorough:  # in reverse, for what becomes of jvp ends in a segmentation fault
                fused = compiled(jacrev(grad(f)))
                idioms.append(Idiom("compile(jacrev(grad))", lambda: fused(w)))
        return idioms

    def gauss_newton(self, p: Problem) -> list[Idiom]:
        """J^T J, J = dy/dw; with softmax J over sqrt(y), for dy/dz is B = B diag(1/y) B."""
        params, (X, _), k = parameters(p), data(p), p.case.layers[-1]

        def by_rows(
            every: Callable[[Params, torch.Tensor], Params], params: Params, X: torch.Tensor
        ) -> torch.Tensor:
            J = torch.cat([part.reshape(len(X) * k, -1) for part in every(params, X)], 1)
            if p.case.output == "softmax":
                J /= outputs(p, params, X).sqrt().reshape(-1, 1)
            return J.T @ J

        ways = {
            f"J.T @ J, J by {name}": partial(by_rows, every)
            for name, every in ways_to_weight_jacobian(p).items()
        }
        if self.thorough:
            reverse = ways["J.T @ J, J by vmap(jacrev)"]
            ways["compile(J.T @ J), J by vmap(jacrev)"] = compiled(reverse)
        return [Idiom(name, partial(f, params, X)) for name, f in ways.items()]

    def hessian_vector_product(self, p: Problem) -> list[Idiom]:
        params, (X, T) = parameters(p), data(p)
        leaves = parameters(p, requires_grad=True)
        v = [torch.tensor(array) for pair in p.unpack(p.vectors(1)[0]) for array in pair]

        def f(*params: torch.Tensor) -> torch.Tensor:
            return error(p, list(params), X, T)

        def twice() -> tuple[torch.Tensor, ...]:
            g = torch.autograd.grad(f(*leaves), leaves, create_graph=True)
            return torch.autograd.grad(g, leaves, v)

        # Not compiled: the code that torch 2.13 makes of jvp(grad) ends in a segmentation fault.
        return [
            Idiom("autograd.grad twice", twice, flatten),
            Idiom("jvp(grad)", lambda: product(p, params, v, X, T), flatten),
            Idiom("hvp", lambda: functional.hvp(f, tuple(params), tuple(v))[1], flatten),
            Idiom("vhp", lambda: functional.vhp(f, tuple(params), tuple(v))[1], flatten),
        ]

    def hessian_vector_products(self, p: Problem) -> list[Idiom]:
        params, (X, T) = parameters(p), data(p)
        leaves = parameters(p, requires_grad=True)
        V = [torch.tensor(array) for pair in p.unpack(p.vectors()) for array in pair]
        m = len(V[0])

        def gradient() -> tuple[torch.Tensor, ...]:
            return torch.autograd.grad(error(p, leaves, X, T), leaves, create_graph=True)

        def one_by_one() -> list[tuple[torch.Tensor, ...]]:
            g = gradient()
            return [
                torch.autograd.grad(g, leaves, [part[i] for part in V], retain_graph=i < m - 1)
                for i in range(m)
            ]

        def batched() -> tuple[torch.Tensor, ...]:
            return torch.autograd.grad(gradient(), leaves, V, is_grads_batched=True)

        def collect(tensors: Any) -> Array:
            return np.concatenate([t.numpy().reshape(m, -1) for t in tensors], axis=-1)

        every = vmap(partial(product, p), in_dims=(None, 0, None, None))
        return [
            Idiom(
                "autograd.grad of one gradient, one by one",
                one_by_one,
                lambda rows: np.stack([flatten(row) for row in rows]),
            ),
            Idiom("autograd.grad of one gradient, batched", batched, collect),
            Idiom("vmap(jvp(grad))", lambda: every(params, V, X, T), collect),
        ]

    def train(self, p: Problem) -> list[Idiom]:
        how, n, (X, T) = p.case.training, p.case.n_samples, data(p)
        assert how is not None

        def mean(params: Params, X: torch.Tensor, T: torch.Tensor) -> torch.Tensor:
            return error(p, params, X, T) / len(X)

        def epochs(step: Callable[[torch.Tensor, torch.Tensor], None]) -> None:
            generator = torch.Generator().manual_seed(0)
            for _ in range(how.epochs):
                if how.batch_size is None:
                    step(X, T)
                    continue
                order = torch.randperm(n, generator=generator)
                batches = (a[order].split(how.batch_size) for a in (X, T))
                for x, t in zip(*batches, strict=True):
                    step(x, t)

        def eager(**options: bool) -> Params:
            params = parameters(p, requires_grad=True)
            adam = self.adam(params, how, **options)

            def step(X: torch.Tensor, T: torch.Tensor) -> None:
                gradients = torch.autograd.grad(mean(params, X, T), params)
                for q, g in zip(params, gradients, strict=True):
                    q.grad = g
                adam.step()

            epochs(step)
            return params

        idioms = [
            Idiom("Adam(fused)", lambda: eager(fused=True), flatten),
            Idiom("Adam(foreach)", lambda: eager(foreach=True), flatten),
        ]
        if self.thorough:
            fused = compiled_adam(how, mean)

            def by_compiled_steps() -> Params:
                state = start(parameters(p))

                def step(X: torch.Tensor, T: torch.Tensor) -> None:
                    nonlocal state
                    state = fused(state, X, T)

                epochs(step)
                return state[0]

            idioms.append(Idiom("compile(step)", by_compiled_steps, flatten))
        return idioms

    @staticmethod
    def adam(params: Params, how: Training, **options: bool) -> torch.optim.Adam:
        return torch.optim.Adam(
            params,
            lr=how.learning_rate,
            betas=(how.beta1, how.beta2),
            eps=how.epsilon,
            **options,
        )

    def train_ensemble(self, p: EnsembleProblem) -> list[Idiom]:
        X, T = data(p.members[0])  # the same for all
        how, padded = p.case.training, p.padded()

        def eager(stacks: Sequence[Problem], mean: Error) -> Params:
            params = [q for stack in stacks for q in parameters(stack, requires_grad=True)]
            adam = self.adam(params, how, fused=True)
            for _ in range(how.epochs):
                gradients = torch.autograd.grad(mean(params, X, T), params)
                for q, g in zip(params, gradients, strict=True):
                    q.grad = g
                adam.step()
            return params

        def by_compiled_steps(step: Callable[..., State], stacks: Sequence[Problem]) -> Params:
            state = start([q for stack in stacks for q in parameters(stack)])
            for _ in range(how.epochs):
                state = step(state, X, T)
            return state[0]

        def as_stacks(params: Params) -> list[Array]:
            """(S, W) of each stack."""
            parts = [t.detach().numpy().reshape(t.shape[0], -1) for t in params]
            return [np.concatenate(parts[i : i + 4], axis=1) for i in range(0, len(parts), 4)]

        idioms = []
        for name, stacks, mean, collect in (
            ("a stack a width", p.members, mean_of_stacks, lambda w: in_a_row(as_stacks(w))),
            ("one padded stack", [padded], mean_of_stack, lambda w: p.unpad(as_stacks(w)[0])),
        ):
            idioms.append(Idiom(f"{name}, Adam(fused)", partial(eager, stacks, mean), collect))
            if self.thorough:
                run = partial(by_compiled_steps, compiled_adam(how, mean), stacks)
                idioms.append(Idiom(f"{name}, compile(step)", run, collect))
        return idioms


make = Torch
