"""curvlinops: the Hessian as a linear operator on a PyTorch model, by its products alone."""

from __future__ import annotations

from importlib.metadata import version

import torch
from curvlinops import HessianLinearOperator

from bench.cases import Array, Problem
from bench.contestants import Contestant, Idiom, NotOffered
from bench.contestants.torch_ import LARGEST_QUICK_HESSIAN, data, modules

CHUNK = 64  # columns of the Hessian at once; fewer take longer, all at once tens of GB


class Curvlinops(Contestant):
    name = "curvlinops"

    def versions(self) -> dict[str, str]:
        return {"curvlinops-for-pytorch": version("curvlinops-for-pytorch")}

    def set_threads(self, n: int) -> None:
        torch.set_num_threads(n)

    @staticmethod
    def operator(p: Problem) -> tuple[HessianLinearOperator, float]:
        """That of the sum of the losses, and what to multiply it by to get the Hessian of E."""
        model, loss, factor = modules(p)
        parameters = list(model.parameters())
        operator = HessianLinearOperator(
            model, loss, parameters, [data(p)], check_deterministic=False
        )
        return operator, factor

    def products(self, p: Problem, V: Array) -> list[Idiom]:
        """The rows of V (m, W) or one v (W,); the operator takes them as columns."""
        (operator, factor), columns = self.operator(p), torch.tensor(V.T)
        return [Idiom("operator @ V", lambda: operator @ columns, lambda r: factor * r.numpy().T)]

    def hessian_vector_product(self, p: Problem) -> list[Idiom]:
        return self.products(p, p.vectors(1)[0])

    def hessian_vector_products(self, p: Problem) -> list[Idiom]:
        return self.products(p, p.vectors())

    def hessian(self, p: Problem) -> list[Idiom]:
        if p.case.n_weights > LARGEST_QUICK_HESSIAN and not self.thorough:
            raise NotOffered("takes a minute and more a call, left out by --quick")
        operator, factor = self.operator(p)
        columns = torch.eye(p.case.n_weights, dtype=getattr(torch, p.dtype)).split(CHUNK, 1)

        def run() -> torch.Tensor:
            return torch.cat([operator @ some for some in columns], 1)

        return [Idiom(f"operator @ 1, {CHUNK} columns at once", run, lambda H: factor * H.numpy())]


make = Curvlinops
