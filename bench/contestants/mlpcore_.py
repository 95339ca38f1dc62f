"""mlpcore: NumPy in, NumPy out, every check of the public surface included in the time."""

from __future__ import annotations

from functools import partial
from typing import Any

import mlpcore
from bench.cases import HESSIANS, Array, EnsembleProblem, Problem, in_a_row
from bench.contestants import Contestant, Idiom


class Mlpcore(Contestant):
    name = "mlpcore"
    patient = True  # we do not take that long

    def versions(self) -> dict[str, str]:
        return {"mlpcore": mlpcore.__version__}

    def set_threads(self, n: int) -> None:
        mlpcore.set_num_threads(n)

    @staticmethod
    def network(p: Problem) -> mlpcore.Network:
        return mlpcore.Network(
            p.case.layers, hidden=p.case.hidden, output=p.case.output, dtype=p.dtype
        )

    def gradient(self, p: Problem) -> list[Idiom]:
        net = self.network(p)
        return [Idiom("gradient", lambda: net.gradient(p.w, p.X, p.T))]

    def jacobian(self, p: Problem) -> list[Idiom]:
        net = self.network(p)
        return [Idiom("jacobian", lambda: net.jacobian(p.w, p.X))]

    def weight_jacobian(self, p: Problem) -> list[Idiom]:
        net = self.network(p)
        return [Idiom("weight_jacobian", lambda: net.weight_jacobian(p.w, p.X))]

    def hessian_diagonal(self, p: Problem) -> list[Idiom]:
        net = self.network(p)
        return [
            Idiom("hessian_diagonal", lambda: net.hessian_diagonal(p.w, p.X, p.T, kind="exact"))
        ]

    def hessian(self, p: Problem) -> list[Idiom]:
        net = self.network(p)
        return [Idiom("hessian", lambda: net.hessian(p.w, p.X, p.T, kind="exact"))]

    def gauss_newton(self, p: Problem) -> list[Idiom]:
        net = self.network(p)
        return [Idiom("hessian", lambda: net.hessian(p.w, p.X, p.T, kind="gauss_newton"))]

    def hessian_vector_product(self, p: Problem) -> list[Idiom]:
        net, v = self.network(p), p.vectors(1)[0]
        product = net.hessian_vector_product
        return [Idiom("hessian_vector_product", lambda: product(p.w, v, p.X, p.T, kind="exact"))]

    def hessian_vector_products(self, p: Problem) -> list[Idiom]:
        net, V = self.network(p), p.vectors()
        product = net.hessian_vector_product
        return [Idiom("hessian_vector_product", lambda: product(p.w, V, p.X, p.T, kind="exact"))]

    def per_sample_gradient(self, p: Problem) -> list[Idiom]:
        net = self.network(p)
        return [Idiom("per_sample_gradient", lambda: net.per_sample_gradient(p.w, p.X, p.T))]

    def into(self, quantity: str, p: Problem, out: Array) -> Idiom:
        net = self.network(p)
        if quantity in HESSIANS:
            kind = "exact" if quantity == "hessian" else quantity
            compute = partial(net.hessian, kind=kind)
        else:
            compute = getattr(net, quantity)
        arguments = (p.w, p.X) if quantity.endswith("jacobian") else (p.w, p.X, p.T)
        return Idiom("out=", lambda: compute(*arguments, out=out))

    def trained(self, p: Problem) -> Any:
        how = p.case.training
        assert how is not None
        return mlpcore.train(
            self.network(p),
            p.w,
            p.X,
            p.T,
            optimizer="adam",
            epochs=how.epochs,
            batch_size=how.batch_size,
            learning_rate=how.learning_rate,
            weight_decay=0.0,
            seed=0,
            progress=False,
        )

    def train(self, p: Problem) -> list[Idiom]:
        return [Idiom("train", lambda: self.trained(p).w)]

    def train_ensemble(self, p: EnsembleProblem) -> list[Idiom]:
        return [
            Idiom(
                "train, an ensemble a width",
                lambda: [self.trained(member).w for member in p.members],
                in_a_row,
            )
        ]


make = Mlpcore
