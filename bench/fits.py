"""Whole fits against those of SciPy, scikit-learn and R, in one run.

    python bench/fits.py concrete       # lm: 20 starts of 8-20-1 on the concrete data
    python bench/fits.py sinusoid       # lbfgs and the M sweep: 30 starts of 1-M-1, M = 1 ... 10,
                                        # on 50 samples

A row is the time of all fits of one contestant, and the training errors E (half the sum of
squares) it reached: the lowest, the mean and the highest. SciPy gets our Jacobian; R's nnet runs
where there is an Rscript. Everybody begins at the same weights, but for scikit-learn and
`mlpcore.sweep`, which begin at their own.

Of the starts we fit as many at once as there are threads, the others one after the other; a row "2
processes" is theirs with the starts shared out. Neither the start of a process is on the clock nor
what it imports. Who is missing is said on standard error and left out.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np

import mlpcore
from bench.problems import standardized
from mlpcore.datasets import load_concrete

#: From a network, weights (S, W), X and t: the seconds of S fits, and their errors.
Fit = Callable[[mlpcore.Network, Any, Any, Any], tuple[float, list[float]]]
#: The error of one fit, from weights (W,), a seed, X and t.
FitOne = Callable[[Any, int, Any, Any], float]
R_SCRIPT = """
library(nnet)
a <- commandArgs(trailingOnly = TRUE)
d <- as.matrix(read.csv(a[1], header = FALSE))
w <- as.matrix(read.csv(a[2], header = FALSE))
k <- ncol(d)
x <- d[, -k, drop = FALSE]
start <- Sys.time()
errors <- apply(w, 1, function(one) nnet(x, d[, k], size = as.integer(a[3]), Wts = one,
    linout = TRUE, maxit = as.integer(a[4]), MaxNWts = 10000, trace = FALSE)$value / 2)
cat(as.numeric(Sys.time() - start, units = "secs"), errors)
"""


class LeftOut(Exception):
    """A peer that is missing, or breaks; the message says what."""


def timed(work: Callable[[], list[float]]) -> tuple[float, list[float]]:
    begin = time.perf_counter()
    errors = work()
    return time.perf_counter() - begin, errors


def minimized(iterations: int, **options: Any) -> Fit:
    def fit(net: mlpcore.Network, w: Any, X: Any, t: Any) -> tuple[float, list[float]]:
        return timed(
            lambda: [
                member.error
                for member in mlpcore.minimize(net, w, X, t, iterations=iterations, **options)
            ]
        )

    return fit


def sweep(net: mlpcore.Network, w: Any, X: Any, t: Any) -> tuple[float, list[float]]:
    """One size of `mlpcore.sweep` at its defaults."""

    def work() -> list[float]:
        result = mlpcore.sweep(X, t, hidden=net.layers[1:-1], starts=len(w), seed=0)
        errors: list[float] = (len(X) * result.training_errors[0]).tolist()
        return errors

    return timed(work)


def wake(modules: Sequence[str]) -> int:
    """Import what the fits need; wait, so that every process of a pool gets one of these calls.

    Returns the number of the process.
    """
    for module in modules:
        importlib.import_module(module)
    time.sleep(1)
    return os.getpid()


def shared_out(
    fitter: Callable[[mlpcore.Network], FitOne], modules: Sequence[str], processes: int
) -> Fit:
    """One fit after the other, in each of so many processes; in this one alone if it is 1.

    `fitter` makes of a network the fit of one start, and `modules` is what that needs. A process
    gets the fit with what it refers to: if that is the network, mlpcore belongs to `modules`.

    Raises LeftOut if a module is missing.
    """
    try:
        for module in modules:
            importlib.import_module(module)
        if processes > 1:
            from joblib import Parallel, delayed
    except ImportError as error:
        raise LeftOut(str(error)) from None

    def one_by_one(net: mlpcore.Network, w: Any, X: Any, t: Any) -> tuple[float, list[float]]:
        fit_one = fitter(net)
        return timed(lambda: [fit_one(v, seed, X, t) for seed, v in enumerate(w)])

    if processes == 1:
        return one_by_one
    pool = Parallel(n_jobs=processes)
    for _ in range(5):  # one that starts slowly may have left its call to another
        if len(set(pool(delayed(wake)(modules) for _ in range(processes)))) == processes:
            break
    else:
        raise LeftOut(f"joblib does not start {processes} processes")

    def at_once(net: mlpcore.Network, w: Any, X: Any, t: Any) -> tuple[float, list[float]]:
        fit_one = fitter(net)
        fits = [delayed(fit_one)(v, seed, X, t) for seed, v in enumerate(w)]
        return timed(lambda: list(pool(fits)))

    return at_once


def scipy_least_squares(method: str, iterations: int, processes: int = 1) -> Fit:
    def fitter(net: mlpcore.Network) -> FitOne:
        def fit_one(w: Any, seed: int, X: Any, t: Any) -> float:
            from scipy.optimize import least_squares

            def residual(v: Any) -> Any:
                return net.forward(v, X)[:, 0] - t

            def jacobian(v: Any) -> Any:
                return net.weight_jacobian(v, X)[:, 0]

            found = least_squares(residual, w, jacobian, method=method, max_nfev=iterations)
            return float(found.cost)

        return fit_one

    return shared_out(fitter, ("scipy.optimize", "mlpcore"), processes)


def sklearn_lbfgs(iterations: int, processes: int = 1) -> Fit:
    def fitter(net: mlpcore.Network) -> FitOne:
        hidden = net.layers[1:-1]  # and not the network: its processes need no mlpcore

        def fit_one(w: Any, seed: int, X: Any, t: Any) -> float:
            from sklearn.neural_network import MLPRegressor

            model = MLPRegressor(
                hidden_layer_sizes=hidden,
                activation="tanh",
                solver="lbfgs",
                alpha=0,
                tol=1e-8,
                max_iter=iterations,
                max_fun=10**9,
                random_state=seed,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(X, t)
            return float(0.5 * ((model.predict(X) - t) ** 2).sum())

        return fit_one

    return shared_out(fitter, ("sklearn.neural_network",), processes)


def r_nnet(iterations: int, processes: int = 1) -> Fit:
    """The seconds are those within R, without its start and the reading of files; of several
    processes, which run at once, those of the slowest.

    nnet has logistic units, sigmoid(2 z) = (1 + tanh z) / 2: the same functions, from weights
    that are changed accordingly; and each unit's bias before its weights.
    """
    if shutil.which("Rscript") is None:
        raise LeftOut("no Rscript")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if subprocess.run(["Rscript", "-e", "library(nnet)"], **quiet).returncode != 0:
        raise LeftOut("R has no nnet")

    def fit(net: mlpcore.Network, w: Any, X: Any, t: Any) -> tuple[float, list[float]]:
        starts = []
        for one in w:
            (W1, b1), (W2, b2) = net.unpack(one)
            hidden = 2 * np.column_stack([b1, W1])
            starts.append(np.concatenate([hidden.ravel(), b2 - W2.sum(axis=1), 2 * W2.ravel()]))
        with tempfile.TemporaryDirectory() as name:
            data, script = Path(name) / "data.csv", Path(name) / "fit.R"
            np.savetxt(data, np.column_stack([X, t]), delimiter=",", fmt="%.17g")
            script.write_text(R_SCRIPT)
            running = []
            for i in range(min(processes, len(starts))):
                weights = Path(name) / f"weights{i}.csv"
                np.savetxt(weights, np.array(starts[i::processes]), delimiter=",", fmt="%.17g")
                command = ["Rscript", script, data, weights, str(net.layers[1]), str(iterations)]
                running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            printed = [process.communicate()[0] for process in running]
        if any(process.returncode for process in running):
            raise LeftOut("R failed, see above")
        numbers = [[float(word) for word in text.split()] for text in printed]
        return max(s for s, *_ in numbers), [e for _, *errors in numbers for e in errors]

    return fit


def compare(name: str, nets: list[mlpcore.Network], X: Any, t: Any,
            makers: dict[str, Callable[[], Fit]], starts: int) -> None:  # fmt: skip
    print(f"{name}: {starts} starts each\n")
    print("| fit | seconds | lowest E | mean E | highest E |\n|---|---|---|---|---|")
    w = [np.stack([net.init(seed=s) for s in range(starts)]) for net in nets]
    for label, make in makers.items():
        try:
            fit = make()
            found = [fit(net, one, X, t) for net, one in zip(nets, w, strict=True)]
        except LeftOut as why:
            print(f"left out: {label}, {why}", file=sys.stderr, flush=True)
            continue
        E = [error for _, errors in found for error in errors]
        seconds = sum(seconds for seconds, _ in found)
        print(
            f"| {label} | {seconds:.4g} | {min(E):.5g} | {np.mean(E):.5g} | {max(E):.5g} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=("concrete", "sinusoid"))
    parser.add_argument("--starts", type=int, help="default 20 and 30")
    parser.add_argument("--iterations", type=int, help="the most a fit, default 200 and 1000")
    parser.add_argument("--only", help="words of the contestants wanted, separated by commas")
    arguments = parser.parse_args()
    if arguments.which == "concrete":
        data = load_concrete()
        X, t = standardized(data.X), standardized(data.t)
        nets, starts, n = [mlpcore.Network((8, 20, 1))], 20, arguments.iterations or 200
        makers: dict[str, Callable[[], Fit]] = {
            "mlpcore lm": partial(minimized, n, method="lm"),
            # Enough for the lowest error of all.
            f"mlpcore lm, {2 * n} iterations": partial(minimized, 2 * n, method="lm"),
            "mlpcore lbfgs": partial(minimized, 20 * n, method="lbfgs"),
        }
        peers: dict[str, Callable[..., Fit]] = {
            "scipy least_squares trf": partial(scipy_least_squares, "trf", n),
            "scipy least_squares lm": partial(scipy_least_squares, "lm", n),
            "scikit-learn lbfgs": partial(sklearn_lbfgs, 20 * n),
            "R nnet, BFGS": partial(r_nnet, 20 * n),
        }
    else:
        rng = np.random.default_rng(0)
        X = rng.uniform(size=(50, 1))
        t = np.sin(2 * np.pi * X[:, 0]) + 0.2 * rng.normal(size=50)
        nets, starts = [mlpcore.Network((1, m, 1)) for m in range(1, 11)], 30
        n = arguments.iterations or 1000
        fewer = n * 6 // 10  # enough for the mean error of R's BFGS
        makers = {
            "mlpcore lbfgs": partial(minimized, n, method="lbfgs"),
            f"mlpcore lbfgs, {fewer} iterations": partial(minimized, fewer, method="lbfgs"),
            "mlpcore bfgs": partial(minimized, n, method="bfgs"),
            "mlpcore lm": partial(minimized, n, method="lm"),
            "mlpcore sweep": lambda: sweep,
        }
        peers = {
            "scikit-learn lbfgs": partial(sklearn_lbfgs, n),
            "R nnet, BFGS": partial(r_nnet, n),
        }
    makers |= peers
    makers |= {f"{name}, 2 processes": partial(make, processes=2) for name, make in peers.items()}
    wanted = (arguments.only or "").split(",")
    makers = {name: make for name, make in makers.items() if any(word in name for word in wanted)}
    compare(arguments.which, nets, X, t, makers, arguments.starts or starts)


if __name__ == "__main__":
    main()
