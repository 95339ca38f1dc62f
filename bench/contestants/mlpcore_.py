"""mlpcore: NumPy in, NumPy out, every check of the public surface included in the time."""

from __future__ import annotations

import mlpcore
from bench.cases import Problem
from bench.contestants import Contestant, Idiom


class Mlpcore(Contestant):
    name = "mlpcore"

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

    def train(self, p: Problem) -> list[Idiom]:
        net, how = self.network(p), p.case.training
        assert how is not None

        def run():
            return mlpcore.train(
                net,
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

        return [Idiom("train", run, lambda result: result.w)]


make = Mlpcore
