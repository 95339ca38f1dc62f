"""Whole fits against those of SciPy, scikit-learn and R, in one run.

    python bench/fits.py concrete       # lm: 20 starts of 8-20-1 on the concrete data
    python bench/fits.py sinusoid       # lbfgs and the M sweep: 30 starts of 1-M-1, M = 1 ... 10,
                                        # on 50 samples

A row is the time of all fits of one contestant, and the training errors E (half the sum of
squares) it reached: the lowest, the mean and the highest. SciPy gets our Jacobian; R's nnet runs
where there is an Rscript. Everybody begins at the same weights, but for scikit-learn and
`mlpcore.sweep`, which begin at their own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import mlpcore  # noqa: E402
from bench.problems import standardized  # noqa: E402
from mlpcore.datasets import load_concrete  # noqa: E402

Fit = Callable[[mlpcore.Network, Any, Any, Any], list[float]]
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


def lowest_errors(iterations: int, **options: Any) -> Fit:
    def fit(net: mlpcore.Network, w: Any, X: Any, t: Any) -> list[float]:
        found = mlpcore.minimize(net, w, X, t, iterations=iterations, **options)
        return [member.error for member in found]

    return fit


def scipy_least_squares(method: str, iterations: int) -> Fit:
    def fit(net: mlpcore.Network, w: Any, X: Any, t: Any) -> list[float]:
        from scipy.optimize import least_squares

        def residual(v: Any) -> Any:
            return net.forward(v, X)[:, 0] - t

        def jacobian(v: Any) -> Any:
            return net.weight_jacobian(v, X)[:, 0]

        return [
            least_squares(residual, v, jacobian, method=method, max_nfev=iterations).cost for v in w
        ]

    return fit


def sweep(net: mlpcore.Network, w: Any, X: Any, t: Any) -> list[float]:
    """One size of `mlpcore.sweep` at its defaults."""
    result = mlpcore.sweep(X, t, hidden=net.layers[1:-1], starts=len(w), seed=0)
    errors: list[float] = (len(X) * result.training_errors[0]).tolist()
    return errors


def sklearn_lbfgs(iterations: int, processes: int = 1) -> Fit:
    from joblib import Parallel, delayed
    from sklearn.neural_network import MLPRegressor

    def fit_one(layers: tuple[int, ...], seed: int, X: Any, t: Any) -> float:
        model = MLPRegressor(
            hidden_layer_sizes=layers,
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

    pool = Parallel(n_jobs=processes)
    pool(delayed(abs)(i) for i in range(processes))  # their start is not theirs to pay

    def fit(net: mlpcore.Network, w: Any, X: Any, t: Any) -> list[float]:
        layers = net.layers[1:-1]
        return list(pool(delayed(fit_one)(layers, seed, X, t) for seed in range(len(w))))

    return fit


def r_nnet(net: mlpcore.Network, w: Any, X: Any, t: Any, iterations: int) -> tuple[float, Any]:
    """The seconds within R, without its start and the reading of files, and the errors.

    nnet has logistic units, sigmoid(2 z) = (1 + tanh z) / 2: the same functions, from weights
    that are changed accordingly; and each unit's bias before its weights.
    """
    starts = []
    for one in w:
        (W1, b1), (W2, b2) = net.unpack(one)
        hidden = 2 * np.column_stack([b1, W1])
        starts.append(np.concatenate([hidden.ravel(), b2 - W2.sum(axis=1), 2 * W2.ravel()]))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("data.csv", "weights.csv", "fit.R")]
        np.savetxt(files[0], np.column_stack([X, t]), delimiter=",", fmt="%.17g")
        np.savetxt(files[1], np.array(starts), delimiter=",", fmt="%.17g")
        files[2].write_text(R_SCRIPT)
        command = ["Rscript", str(files[2]), str(files[0]), str(files[1])]
        command += [str(net.layers[1]), str(iterations)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, *errors = map(float, done.stdout.split())
    return seconds, errors


def compare(name: str, nets: list[mlpcore.Network], X: Any, t: Any, fits: dict[str, Fit],
            starts: int, iterations: int) -> None:  # fmt: skip
    print(f"{name}: {starts} starts each\n")
    print("| fit | seconds | lowest E | mean E | highest E |\n|---|---|---|---|---|")
    w = [np.stack([net.init(seed=s) for s in range(starts)]) for net in nets]

    def show(label: str, seconds: float, errors: list[float]) -> None:
        numbers = f"{seconds:.4g} | {min(errors):.5g} | {np.mean(errors):.5g} | {max(errors):.5g}"
        print(f"| {label} | {numbers} |", flush=True)

    for label, fit in fits.items():
        errors: list[float] = []
        begin = time.perf_counter()
        for net, one in zip(nets, w, strict=True):
            errors += fit(net, one, X, t)
        show(label, time.perf_counter() - begin, errors)
    try:
        found = [r_nnet(net, one, X, t, iterations) for net, one in zip(nets, w, strict=True)]
        show("R nnet, BFGS", sum(s for s, _ in found), [e for _, some in found for e in some])
    except FileNotFoundError:
        print("(no Rscript)", file=sys.stderr)


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
            "mlpcore lm": partial(lowest_errors, n, method="lm"),
            # Enough for the lowest error of all.
            f"mlpcore lm, {2 * n} iterations": partial(lowest_errors, 2 * n, method="lm"),
            "mlpcore lbfgs": partial(lowest_errors, 20 * n, method="lbfgs"),
            "scipy least_squares trf": partial(scipy_least_squares, "trf", n),
            "scipy least_squares lm": partial(scipy_least_squares, "lm", n),
            "scikit-learn lbfgs": partial(sklearn_lbfgs, 20 * n),
        }
        n *= 20
    else:
        rng = np.random.default_rng(0)
        X = rng.uniform(size=(50, 1))
        t = np.sin(2 * np.pi * X[:, 0]) + 0.2 * rng.normal(size=50)
        nets, starts = [mlpcore.Network((1, m, 1)) for m in range(1, 11)], 30
        n = arguments.iterations or 1000
        fewer = n * 6 // 10  # enough for the mean error of R's BFGS
        makers = {
            "mlpcore lbfgs": partial(lowest_errors, n, method="lbfgs"),
            f"mlpcore lbfgs, {fewer} iterations": partial(lowest_errors, fewer, method="lbfgs"),
            "mlpcore bfgs": partial(lowest_errors, n, method="bfgs"),
            "mlpcore lm": partial(lowest_errors, n, method="lm"),
            "mlpcore sweep": lambda: sweep,
            "scikit-learn lbfgs": partial(sklearn_lbfgs, n),
            "scikit-learn lbfgs, 2 processes": partial(sklearn_lbfgs, n, processes=2),
        }
    wanted = (arguments.only or "").split(",")
    fits = {name: make() for name, make in makers.items() if any(word in name for word in wanted)}
    compare(arguments.which, nets, X, t, fits, arguments.starts or starts, n)


if __name__ == "__main__":
    main()
