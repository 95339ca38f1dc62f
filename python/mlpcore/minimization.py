"""Minimizing the error of a network by methods that look at all samples at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import _core
from mlpcore.checks import as_float64, choice, expect_user, flag, real_number, whole_number
from mlpcore.network import Network, check_network
from mlpcore.regularizers import Regularizer, as_penalty, expect_in_range
from mlpcore.results import EnsembleResult, Table
from mlpcore.symmetry import warn_of_symmetry

__all__ = ["EnsembleMinimizeResult", "LbfgsState", "MinimizeResult", "minimize"]

Array = NDArray[Any]
Method = Literal["lm", "scg", "cg", "newton-cg", "bfgs", "lbfgs", "gd"]
Stopped = Literal[
    "gradient",
    "step",
    "error",
    "iterations",
    "time",
    "callback",
    "interrupted",
    "diverged",
    "precision",
]
Callback = Callable[[int, float, Array], object]


@dataclass(frozen=True, eq=False)
class LbfgsState:
    """What L-BFGS remembers; with the weights it is all that a run needs to be taken up again.

    Attributes
    ----------
    s, y : (m, W) arrays
        The steps w_{k+1} - w_k and the changes g_{k+1} - g_k of the gradient, the oldest first.
    """

    s: Array
    y: Array

    def __repr__(self) -> str:
        return f"LbfgsState of {len(self.s)} pairs"


@dataclass(frozen=True, repr=False, eq=False)
class MinimizeResult(Table):
    """What a minimization gives back.

    Attributes
    ----------
    w : (W,) array
        The weights of the lowest objective found, always finite.
    objective : float
        ``E(w) + 1/2 sum_i alpha_i w_i^2 + R(w)`` there, with R the regularizer.
    error : float
        ``E(w)`` there.
    gradient_norm : float
        The largest element, in magnitude, of the gradient of the objective there.
    stopped : str
        Why it stopped, see `minimize`.
    message : str
        The same as a sentence.
    n_iterations : int
        Iterations done.
    counts : dict of int
        How often it computed "forward" (outputs alone), "gradient" (the error with it), "product"
        (of the Hessian with a vector), "hessian" and "factorization".
    history : dict of (n_iterations + 1,) arrays
        "objective", "error", "gradient_norm" and "seconds" since the call, after each iteration;
        entry 0 is the start.
    seconds : float
        Time spent.
    method : str
    state : LbfgsState or None
        Of lbfgs: what takes the run up again.
    """

    w: Array
    objective: float
    error: float
    gradient_norm: float
    stopped: Stopped
    message: str
    n_iterations: int
    counts: dict[str, int]
    history: dict[str, Array]
    seconds: float
    method: str
    state: LbfgsState | None

    def _rows(self) -> list[tuple[str, str]]:
        evaluations = [f"{n} {name}" for name, n in self.counts.items() if n > 0]
        return [
            ("stopped", f"{self.stopped}: {self.message}"),
            ("objective", f"{self.objective:.6g}"),
            ("error", f"{self.error:.6g}"),
            ("gradient", f"{self.gradient_norm:.3g} at most"),
            ("iterations", str(self.n_iterations)),
            ("evaluations", ", ".join(evaluations) or "none"),
            ("method", self.method),
            ("weights", str(self.w.size)),
            ("seconds", f"{self.seconds:.3g}"),
        ]


@dataclass(frozen=True, repr=False, eq=False)
class EnsembleMinimizeResult(EnsembleResult[MinimizeResult]):
    """What the minimization of an ensemble gives back: a sequence of its members' results.

    `best` is the one with the lowest objective.

    Attributes
    ----------
    w : (S, W) array
        The weights of the lowest objective of each network.
    members : tuple of S MinimizeResult
        `seconds` is that of the whole ensemble.
    """

    _measure = "objective"

    def _measured(self, member: MinimizeResult) -> float:
        return member.objective if np.isfinite(member.objective) else float("inf")

    def _more_rows(self) -> list[tuple[str, str]]:
        iterations = sum(member.n_iterations for member in self.members)
        return [("iterations", f"{iterations} in all"), ("method", self.members[0].method)]


def minimize(
    net: Network,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    *,
    method: Method = "lbfgs",
    weight_decay: ArrayLike = 0.0,
    regularizer: Regularizer | None = None,
    sample_weight: ArrayLike | None = None,
    iterations: int = 1000,
    gradient_tolerance: float | None = None,
    step_tolerance: float | None = None,
    error_tolerance: float | None = None,
    seconds: float | None = None,
    curvature: Literal["exact", "gauss_newton"] = "exact",
    conjugacy: Literal["polak_ribiere", "hestenes_stiefel"] = "polak_ribiere",
    acceleration: bool = False,
    memory: int = 20,
    state: LbfgsState | Sequence[LbfgsState] | None = None,
    callback: Callback | None = None,
) -> Any:
    """Find weights that minimize the error on all samples, beginning at `w`.

    The objective is ``F(w) = E(w) + 1/2 sum_i alpha_i w_i^2 + R(w)`` with E a **sum** over samples,
    as ``net.error`` has it (PRML 5.112), and R the `regularizer`; it is not divided by anything.
    It never rises from one iteration to the next. The loops are native; Python runs only for
    `callback` and a regularizer of your own.

    Parameters
    ----------
    net, w, X, T
        The network, its initial weights (W,), the inputs (N, D) and targets, as for its methods.
        With w of shape (S, W) the S networks of an ensemble are fitted side by side, on the same
        data or each on its own (S, N, D); each becomes, bit for bit, what it would alone. An
        ensemble has no callback: its networks run on threads of their own, while Python can be
        called from one alone. With a regularizer of your own they are fitted one after the other.
    method : str
        Algorithms, sections and equations without a source are those of Nocedal and Wright, 2006; g
        is the gradient of F, R'' the Hessian of weight decay and regularizer.

        lm
            Levenberg-Marquardt, ``(H + diag(R'') + lambda I) dw = -g`` (Levenberg, 1944; Marquardt,
            1963; section 10.3), H the Gauss-Newton Hessian of E (PRML 5.84, 5.85), also that of the
            cross-entropies. lambda begins as 1e-3 of the largest H_ii and is changed as by Nielsen
            (1999, equation 2.13). With `acceleration` half the geodesic acceleration is added as a
            second step; where twice its length is above 0.75 of the first's, lambda grows instead
            (Transtrum and Sethna, 2012, section 3, equation 15). The method of choice for up to
            some hundreds of weights; an iteration costs about N W^2 / 2 + W^3 / 6.
        scg
            Scaled conjugate gradients (Moller, 1993, section 4), with exact products of the Hessian
            (PRML 5.96 to 5.111), or of that of the kind `curvature`, in place of its equation 10.
            lambda begins as 1e-6 of the curvature ``|d.Hd| / d.d`` along the first direction d,
            where Moller begins with 1e-6 itself, in the units of E; and a step that misses is
            followed by no less than a quarter of it.
        cg
            Nonlinear conjugate gradients, ``d <- -g + beta d`` (Algorithm 5.4). With y the change
            of g, beta is that of `conjugacy`: ``g.y / |g_before|^2`` (Polak and Ribiere, 1969;
            5.44), or ``g.y / d.y`` (Hestenes and Stiefel, 1952; 5.46); 0 where it is negative
            (5.45).
        newton-cg
            Newton's method in a trust region (Algorithm 4.1), the steps by conjugate gradients that
            end at its border, along a negative curvature, or precise enough (Steihaug, 1983;
            Algorithm 7.2), on products with the Hessian of the kind `curvature`.
        bfgs
            BFGS with the whole inverse (W, W) (Algorithm 6.1, equation 6.17). It begins as 10 times
            the multiple of I of 6.20, which fits the steepest directions alone: a network has many
            that are far flatter.
        lbfgs
            BFGS of limited memory (Nocedal, 1980; Liu and Nocedal, 1989; Algorithms 7.4 and 7.5),
            the last `memory` pairs, begun each time from the largest of their gammas (7.20), not
            from the last one. The method of choice for many weights.
        gd
            Gradient descent, ``d = -g`` (Cauchy, 1847; PRML 5.41).

        cg, bfgs, lbfgs and gd search along their direction until the strong Wolfe conditions hold
        (3.7, with c_1 = 1e-4, and c_2 = 0.1 for cg, 0.9 for the others; Algorithms 3.5 and 3.6).
    weight_decay : float or (W,) array-like
        alpha, the precision of a normal prior over all weights and biases, or over each,
        relative to a noise precision of 1. Beside a regularizer of your own a single number.
    regularizer : mlpcore.regularizers.Regularizer, optional
        Other priors, or an error term of your own. lm takes the diagonal of its Hessian.
    sample_weight : (N,) array-like, optional
        Weights of the samples.
    iterations : int
        The most iterations.
    gradient_tolerance, step_tolerance, error_tolerance : float, optional
        See *stopping* below. None is 1e-6, 1e-10 and 1e-10 for float64, and 1e-4, 1e-6 and 1e-7
        for float32; 0 is off, but for a measure that is exactly 0.
    seconds : float, optional
        The most time for the call.
    curvature : {"exact", "gauss_newton"}
        The Hessian of scg and newton-cg. Like the next three it is refused, unless it has its
        default, by methods that don't use it.
    conjugacy : {"polak_ribiere", "hestenes_stiefel"}
        Of cg.
    acceleration : bool
        Of lm.
    memory : int
        Pairs of lbfgs. (`train` keeps 10 of them.)
    state : LbfgsState, or S of them for an ensemble, optional
        Of lbfgs: the `state` of an earlier result whose `w` is where this call begins. The two
        calls then take, bit for bit, the iterations that one long call takes.
    callback : callable, optional
        Called as ``callback(iteration, objective, w)`` after each iteration (0 is the start; w is
        a copy). A true answer stops the minimization.

    Returns
    -------
    MinimizeResult, or EnsembleMinimizeResult for w of shape (S, W)

    Raises
    ------
    ValueError, TypeError
        If an argument is unusable; the message names it. What `callback` raises is raised, except
        for KeyboardInterrupt.
    MemoryError
        If the working memory is larger than the memory available, that of the matrices (W, W) of
        lm and bfgs or the pairs of lbfgs; the message states its size.

    Warns
    -----
    UserWarning
        If the units of a hidden layer begin all alike, as from zero weights: they have the same
        gradient and stay alike for ever.

    Notes
    -----
    *Stopping.* All methods have the same rules, looked at after each iteration in this order;
    `stopped` of the result says which it was. No tolerance depends on the units of the error, of
    the inputs or of the targets, nor on the number of samples. (The way there does: from the
    weights of `Network.init`, which are meant for data of about unit size, inputs of another size
    lead to saturated units. Standardize them. Targets whose root mean square is above 16 are
    allowed for: the methods take their steps in weights scaled by it.)

    - diverged: the objective is not finite at the start.
    - callback: the callback said so.
    - gradient: ``max_i |g_i| max(|w_i|, u_i) <= gradient_tolerance |F|``: a relative change of the
      weights hardly changes F, relatively (Dennis and Schnabel, 1983, 7.2.5). u_i is the typical
      size of a weight: 1 between hidden units, 1 / rms(x_i) from an input, rms(t_k) to a linear
      output (means weighted as the samples are).
    - step: the iteration's step has ``max_i |dw_i| / max(|w_i|, u_i) <= step_tolerance``.
    - error: the iteration lowered F by no more than ``error_tolerance |F|``.
    - iterations, time: as many as were allowed, or as long.
    - interrupted: Ctrl-C. Like all others it keeps the best weights.
    - precision: the method finds nothing lower, because values of F near here no longer differ by
      more than their rounding.

    *Special problems.* None is refused.

    - Targets that can be met exactly, as constant ones, and mostly where they are fewer (N K) than
      the weights: without a prior F is 0 at many places, and which of them is found, if any,
      depends on `w` and on the method. On the way there the gradient falls as the root of F alone,
      so that "step", "precision" or "iterations" ends it; "gradient" only an F of exactly 0.
    - A row that occurs m times counts m times, as one with sample_weight m: the same iterations,
      but for rounding. What targets of the same row differ by stays in E.
    - The H of lm is singular where units are alike, an input occurs twice, or N K < W. lambda makes
      the system one that can be solved; if it does not to the precision of the dtype, it grows.
    - W is at least 2, the weight and the bias of ``Network((1, 1))``: all methods take it.

    References
    ----------
    Dennis and Schnabel, Numerical Methods for Unconstrained Optimization and Nonlinear Equations,
    1983.
    Hestenes and Stiefel, Methods of conjugate gradients for solving linear systems, Journal of
    Research of the National Bureau of Standards 49, 1952.
    Levenberg, A method for the solution of certain non-linear problems in least squares, Quarterly
    of Applied Mathematics 2, 1944.
    Liu and Nocedal, On the limited memory BFGS method for large scale optimization, Mathematical
    Programming 45, 1989.
    Marquardt, An algorithm for least-squares estimation of nonlinear parameters, Journal of the
    Society for Industrial and Applied Mathematics 11, 1963.
    Moller, A scaled conjugate gradient algorithm for fast supervised learning, Neural Networks 6,
    1993.
    Nielsen, Damping parameter in Marquardt's method, Technical University of Denmark, 1999.
    Nocedal, Updating quasi-Newton matrices with limited storage, Mathematics of Computation 35,
    1980.
    Nocedal and Wright, Numerical Optimization, second edition, 2006.
    Polak and Ribiere, Note sur la convergence de methodes de directions conjuguees, Revue francaise
    d'informatique et de recherche operationnelle 3, 1969.
    Steihaug, The conjugate gradient method and trust regions in large scale optimization, SIAM
    Journal on Numerical Analysis 20, 1983.
    Transtrum and Sethna, Improvements to the Levenberg-Marquardt algorithm for nonlinear
    least-squares minimization, arXiv:1201.5885, 2012.

    Examples
    --------
    >>> import mlpcore, numpy as np
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> net = mlpcore.Network((1, 5, 1))
    >>> result = mlpcore.minimize(net, net.init(seed=0), X, np.sin(3 * X), method="lbfgs")
    >>> bool(result.error < 0.01)
    True
    """
    check_network(net)
    choice("method", method, _core.methods)
    choice("conjugacy", conjugacy, _core.conjugacies)
    choice("curvature", curvature, ("exact", "gauss_newton"))
    acceleration = flag("acceleration", acceleration)
    memory = whole_number("memory", memory, least=1)
    for name, is_default, users in (
        ("curvature", curvature == "exact", ("scg", "newton-cg")),
        ("conjugacy", conjugacy == "polak_ribiere", ("cg",)),
        ("acceleration", not acceleration, ("lm",)),
        ("memory", memory == 20, ("lbfgs",)),
    ):
        if not is_default:
            expect_user(name, "method", method, users)
    w = _core.as_array("w", w, net.dtype == np.float64)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback is {callback!r}, expected a callable or None")
    if callback is not None and np.ndim(w) == 2:
        raise ValueError("callback came with an ensemble of networks, expected none")
    tolerances = {
        "gradient_tolerance": (gradient_tolerance, 1e-6, 1e-4),
        "step_tolerance": (step_tolerance, 1e-10, 1e-6),
        "error_tolerance": (error_tolerance, 1e-10, 1e-7),
    }
    iterations = whole_number("iterations", iterations, least=0)
    single = net.dtype == np.float32
    limits = {
        name: real_number(name, (f32 if single else f64) if given is None else given)
        for name, (given, f64, f32) in tolerances.items()
    }
    if isinstance(weight_decay, (bool, np.bool_)):
        raise TypeError(f"weight_decay is {weight_decay!r}, expected a number")
    weight_decay = as_float64("weight_decay", weight_decay)
    expect_in_range(net, "weight_decay", weight_decay)
    weight_decay, penalty = as_penalty(net, weight_decay, regularizer)
    if iterations > 0:
        warn_of_symmetry(net, w)
    start = time.perf_counter()
    fitted, reports, states = _core.minimize(
        net._core,
        w,
        X,
        T,
        sample_weight,
        method=method,
        weight_decay=weight_decay,
        penalty=penalty,
        iterations=iterations,
        **limits,
        seconds=np.inf if seconds is None else real_number("seconds", seconds, positive=True),
        curvature=curvature,
        conjugacy=conjugacy,
        acceleration=acceleration,
        memory=memory,
        states=_states(state, method, w),
        callback=callback,
    )
    spent = time.perf_counter() - start
    members = [
        _result(one, report, pairs, method, spent)
        for one, report, pairs in zip(np.atleast_2d(fitted), reports, states, strict=True)
    ]
    return EnsembleMinimizeResult(fitted, tuple(members)) if fitted.ndim == 2 else members[0]


def _states(state: object, method: str, w: ArrayLike) -> list[LbfgsState]:
    """The states to begin with, one for each network, or none at all."""
    if state is None:
        return []
    if method != "lbfgs":
        raise ValueError(f"state came with method {method!r}, expected it with 'lbfgs' alone")
    states = [state] if isinstance(state, LbfgsState) else state
    if not isinstance(states, Sequence) or not all(isinstance(s, LbfgsState) for s in states):
        raise TypeError(f"state is {state!r}, expected a LbfgsState or a sequence of them")
    expected = len(np.asarray(w)) if np.ndim(w) == 2 else 1
    if len(states) != expected:
        raise ValueError(f"state is {state!r}, expected {expected} LbfgsState")
    return list(states)


def _result(
    w: Array, report: dict[str, Any], pairs: Any, method: str, seconds: float
) -> MinimizeResult:
    history, stopped = report["history"], report["stopped"]
    # Interrupted in its very first pass, a minimization has no history.
    n_iterations = max(history["objective"].size - 1, 0)
    last = {name: float(values[-1]) if values.size else np.nan for name, values in history.items()}
    return MinimizeResult(
        w=w,
        objective=last["objective"],
        error=last["error"],
        gradient_norm=last["gradient_norm"],
        stopped=stopped,
        message=_explain(stopped, n_iterations),
        n_iterations=n_iterations,
        counts=report["counts"],
        history=history,
        seconds=seconds,
        method=method,
        state=None if pairs is None else LbfgsState(*pairs),
    )


def _explain(stopped: Stopped, n_iterations: int) -> str:
    after = f"after {n_iterations} iterations"
    return {
        "gradient": f"{after} the gradient is as small as gradient_tolerance asks",
        "step": f"{after} a step was no longer than step_tolerance",
        "error": f"{after} an iteration lowered the objective by no more than error_tolerance",
        "iterations": f"all {n_iterations} iterations were done",
        "time": f"the time was over {after}",
        "callback": f"the callback said so {after}",
        "interrupted": f"interrupted {after}; these are the best weights until then",
        "diverged": "the objective is not finite at the start",
        "precision": f"{after} nothing lower can be found to the precision of the numbers",
    }[stopped]
