"""One run: choose the rows, check the numbers, take the times, print."""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import traceback

import numpy as np

from bench import arithmetic, machine, memory, report, timing
from bench.cases import (
    CASES,
    COPIED,
    HESSIANS,
    QUANTITIES,
    TRAINING_CASES,
    Array,
    Case,
    EnsembleCase,
    EnsembleProblem,
    Problem,
)
from bench.contestants import MODULES, Contestant, Idiom, NotOffered, load, numpy_reference
from mlpcore import _core

JUDGE = numpy_reference.make()  # in float64
JUDGE.patient = True
AnyCase = Case | EnsembleCase
AnyProblem = Problem | EnsembleProblem

# Weights above which the reference takes up to 20 s for a Hessian, and a comparison GB: there it
# judges the products with some random vectors, which any wrong number spoils.
LARGEST_JUDGED_WHOLE = 5000
JUDGED_VECTORS = 8

# Of the results of `COPIED` so many are there at once: the right one, one of a contestant and what
# it needs to make it, one in the arrangement of the right one, and the copies.
HELD_AT_ONCE = 6
# Bytes; larger ones take seconds a call, those of the reference a quarter of a minute.
LARGEST_QUICK_RESULT = 1e8

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
# Of the way that the weights went in training with the full batch, and of the error reached by
# minibatches, which everybody draws in an order of his own.
TOLERANCE_WEIGHTS = 1e-2
TOLERANCE_ERROR = 0.1


def choose(names: list[str] | None, known: list[str], what: str) -> list[str]:
    for name in names or []:
        if name not in known:
            raise SystemExit(f"bench: no {what} {name!r}; there are: {' '.join(known)}")
    return [name for name in known if names is None or name in names]


def choose_cases(parts: list[str] | None) -> list[AnyCase]:
    cases = [*CASES, *TRAINING_CASES]
    chosen = [c for c in cases if parts is None or any(part in c.name for part in parts)]
    if not chosen:
        raise SystemExit("bench: no such case; there are: " + "; ".join(c.name for c in cases))
    return chosen


def choose_dtypes(wanted: str | None, quantity: str, case: AnyCase) -> tuple[str, ...]:
    """By default float64, and the gradients in float32 too."""
    if case.dtype is not None:
        return (case.dtype,)
    if wanted == "both" or (wanted is None and quantity == "gradient"):
        return ("float64", "float32")
    return (wanted or "float64",)


def too_large(quantity: str, case: AnyCase, dtype: str, quick: bool) -> str:
    """Why a row is left out for want of memory, or of time; "" where there is enough."""
    if quantity not in COPIED:
        return ""
    size = np.dtype(dtype).itemsize * math.prod(case.result_shape(quantity))
    if quick and size > LARGEST_QUICK_RESULT:
        return f"has {1e-9 * size:.1f} GB, left out by --quick"
    free = _core.available_memory()
    if HELD_AT_ONCE * size <= free:
        return ""
    return f"takes {HELD_AT_ONCE} times {1e-9 * size:.1f} GB, of {1e-9 * free:.1f} that are free"


def judged_by_products(quantity: str, problem: AnyProblem) -> bool:
    return quantity in HESSIANS and problem.case.n_weights > LARGEST_JUDGED_WHOLE


def right_answer(quantity: str, problem: AnyProblem) -> Array:
    if judged_by_products(quantity, problem):
        kind = "exact" if quantity == "hessian" else quantity
        return JUDGE.products(problem.in_float64(), problem.vectors(JUDGED_VECTORS), kind).run()
    idiom = JUDGE.idioms(quantity, problem.in_float64())[0]
    return idiom.collect(idiom.run())


def training_error(problem: Problem, w: Array) -> float:
    """Half the mean of squares of a network trained on this regression, in plain NumPy."""
    assert (problem.case.hidden, problem.case.output) == ("tanh", "linear")
    a = problem.X.astype("float64")
    *hidden, (W_out, b_out) = problem.unpack(np.asarray(w, "float64"))
    for W, b in hidden:
        a = np.tanh(a @ W.T + b)
    return 0.5 * float(np.mean((a @ W_out.T + b_out - problem.T) ** 2))


def largest_difference(a: Array, b: Array) -> float:
    """In magnitude; by parts, for the arrays may be as large as the memory allows."""
    parts = [np.array_split(array, 16) for array in (a, b)]
    return max(float(np.max(np.abs(x - y), initial=0)) for x, y in zip(*parts, strict=True))


def compare(quantity: str, problem: AnyProblem, got: Array, right: Array) -> tuple[float, float]:
    """The relative difference, and the one that is allowed."""
    if not np.all(np.isfinite(got)):
        return np.inf, 0.0
    training = problem.case.training
    if judged_by_products(quantity, problem):
        got = problem.vectors(JUDGED_VECTORS) @ got
    if training is None:
        scale = max(float(right.max()), -float(right.min()))
        return largest_difference(got, right) / scale, TOLERANCE[problem.dtype]
    if training.batch_size is None:
        way = float(np.linalg.norm(right - problem.w))
        return float(np.linalg.norm(got - right)) / way, TOLERANCE_WEIGHTS
    assert isinstance(problem, Problem)
    reached = training_error(problem, right)
    return abs(training_error(problem, got) / reached - 1), TOLERANCE_ERROR


def check(quantity: str, problem: AnyProblem, idiom: Idiom, right: Array) -> tuple[float, str]:
    """The relative difference from the right answer, and what is wrong, if anything."""
    got = idiom.collect(idiom.run())
    shape = problem.case.result_shape(quantity)
    if got.shape != shape:
        return np.inf, f"shape {got.shape}, not {shape}"
    if got.dtype != problem.dtype:
        return np.inf, f"computes in {got.dtype}, not in {problem.dtype}"
    difference, allowed = compare(quantity, problem, got, right)
    return difference, "" if difference <= allowed else f"differs by {difference:.1e}"


def said(error: Exception) -> str:
    """What broke, in a line, the first that is not blank; compilers write pages."""
    first = next(filter(None, map(str.strip, str(error).splitlines())), "")
    return f"{type(error).__name__}: {first}"


def choose_idiom(
    idioms: list[Idiom],
    quantity: str,
    problem: AnyProblem,
    right: Array,
    settings: timing.Settings,
    entry: report.Entry,
) -> Idiom | None:
    """The quickest of those that give the right numbers; `entry` tells what was found.

    One that breaks or differs is dropped with a remark, so that it does not take the others of its
    contestant out of the row. None if there is no other.
    """
    differences: dict[str, float] = {}
    for idiom in idioms:
        try:
            difference, wrong = check(quantity, problem, idiom, right)
            if not wrong and len(idioms) > 1:
                entry.ways[idiom.name] = timing.best_of_three(idiom.run, settings)
        except Exception as error:  # a peer that breaks must not end the run
            traceback.print_exc()
            wrong = said(error)
        if wrong:
            entry.dropped[idiom.name] = wrong
        else:
            differences[idiom.name] = difference
    usable = [idiom for idiom in idioms if idiom.name in differences]
    if not usable:
        entry.fail("; ".join(f"{name}: {why}" for name, why in entry.dropped.items()))
        entry.dropped = {}
        return None
    chosen = min(usable, key=lambda idiom: entry.ways.get(idiom.name, 0.0))
    entry.idiom, entry.difference = chosen.name, max(differences.values())
    return chosen


def measure_row(
    quantity: str, problem: AnyProblem, contestants: list[Contestant], settings: timing.Settings
) -> report.Row:
    case = problem.case
    row = report.Row(
        quantity,
        case.name,
        problem.dtype,
        multiply_adds=arithmetic.multiply_adds(quantity, case),
        bytes=arithmetic.numbers_moved(quantity, case) * np.dtype(problem.dtype).itemsize,
    )
    right = right_answer(quantity, problem)
    chosen: dict[str, Idiom] = {}
    for contestant in contestants:
        entry = report.Entry(contestant.name)
        row.entries.append(entry)
        try:
            idioms = contestant.idioms(quantity, problem)
        except NotOffered as why:
            entry.why_not = str(why)
        except Exception as error:
            traceback.print_exc()
            entry.fail(said(error))
        else:
            idiom = choose_idiom(idioms, quantity, problem, right, settings, entry)
            if idiom is not None:
                chosen[contestant.name] = idiom

    epochs = case.training.epochs if case.training else 1
    jobs: dict[str, timing.Job] = {name: idiom.run for name, idiom in chosen.items()}
    if quantity in COPIED:
        result = np.asarray(right, problem.dtype)
        jobs["np.copy"] = lambda: np.copy(result)
    times = timing.alternate(jobs, settings)
    if quantity in COPIED:
        row.copies["np.copy"] = times["np.copy"].median
    for entry in row.entries:
        if entry.contestant not in chosen:
            continue
        # Again: an idiom that does less work from the second call on must not pass.
        idiom = chosen[entry.contestant]
        if wrong := check(quantity, problem, idiom, right)[1]:
            entry.fail(f"after timing, {idiom.name}: {wrong}")
            continue
        samples = times[entry.contestant]
        low, high = samples.quartiles
        entry.seconds = samples.median / epochs
        entry.quartiles = (low / epochs, high / epochs)
        entry.samples, entry.calls = len(samples.seconds), samples.calls
    if quantity in COPIED or judged_by_products(quantity, problem):  # page faults cost as much
        measure_into(row, problem, contestants, right, settings)
    if judged_by_products(quantity, problem):
        row.beyond_result = memory_of_ours(quantity, problem)
    return row


def measure_into(
    row: report.Row,
    problem: AnyProblem,
    contestants: list[Contestant],
    right: Array,
    settings: timing.Settings,
) -> None:
    """The same into an array that is there, by who can; and what a mere copy into it takes.

    In turns of their own, after the others, which are so timed without that array in memory and not
    right after a call that filled it. It is gone when this returns.
    """
    target = np.empty(problem.case.result_shape(row.quantity), problem.dtype)
    into = {
        contestant.name: idiom
        for contestant in contestants
        if row.entry(contestant.name) and (idiom := contestant.into(row.quantity, problem, target))
    }
    jobs: dict[str, timing.Job] = {name: idiom.run for name, idiom in into.items()}
    if row.quantity in COPIED:
        result = np.asarray(right, problem.dtype)
        jobs["np.copyto"] = lambda: np.copyto(target, result)
    times = timing.alternate(jobs, settings)
    if row.quantity in COPIED:
        row.copies["np.copyto"] = times["np.copyto"].median
    for entry in row.entries:
        if (idiom := into.get(entry.contestant)) is None:
            continue
        target.fill(np.nan)  # what others, or its own calls, have left in it
        if wrong := check(row.quantity, problem, idiom, right)[1]:
            entry.fail(f"after timing, {idiom.name}: {wrong}")
        else:
            entry.into = times[entry.contestant].median


def memory_of_ours(quantity: str, problem: Problem) -> int | None:
    """Bytes at the peak of a Hessian beyond the result, where the system tells."""
    if not memory.STATUS.exists():
        return None
    case, kind = problem.case, "exact" if quantity == "hessian" else quantity
    try:
        return memory.beyond_result(
            case.layers, case.n_samples, kind, case.hidden, case.output, problem.dtype
        )[0]
    except subprocess.CalledProcessError:  # which has said why; the times are there all the same
        return None


def found(entry: report.Entry) -> str | None:
    """Of one contestant; None if it was not asked."""
    if entry.failed:
        return f"{entry.contestant} FAILED: {entry.why_not}"
    if entry.difference is None:
        return None
    return f"{entry.contestant} {entry.cell()} us, off {entry.difference:.0e}"


def progress(row: report.Row) -> None:
    """A line for a row that is done: a run that is cut off has not been in vain."""
    for entry in row.entries:
        for idiom, why in entry.dropped.items():
            print(f"dropped: {entry.contestant} by {idiom}, {why}", file=sys.stderr)
    entries = ", ".join(text for entry in row.entries if (text := found(entry)) is not None)
    ratio = "" if row.ratio is None else f"; {row.ratio[0]:.2f} times {row.ratio[1]}"
    print(
        f"{row.quantity} of {row.case} {row.dtype}: {entries}{ratio}", file=sys.stderr, flush=True
    )


def load_contestants(peers: list[str] | None, quick: bool) -> list[Contestant]:
    """mlpcore and these peers (all if None), as far as they are installed."""
    known = [name for name in MODULES if name != report.OURS]
    chosen = [] if peers == ["none"] else choose(peers, known, "peer")
    contestants, absent = load([report.OURS, *chosen])
    for name, why in absent.items():
        print(f"absent: {name} ({why})", file=sys.stderr)
    for contestant in contestants:
        contestant.thorough = not quick
    return contestants


def run(args: argparse.Namespace) -> int:
    quantities = choose(args.quantities, list(QUANTITIES), "quantity")
    cases = choose_cases(args.cases)
    contestants = load_contestants(args.peers, args.quick)
    if args.threads is not None:
        for contestant in contestants:
            contestant.set_threads(args.threads)

    machine.warn_if_busy()
    facts = {
        "commit": report.commit(),
        "machine": machine.facts(),
        "versions": {k: v for c in contestants for k, v in c.versions().items()},
        "settings": {"dtype": args.dtype, "threads": args.threads, "quick": args.quick},
        "isa": _core.isa(),
        "fma_peak": machine.fma_peak(),
        "bandwidth": machine.bandwidth(),
    }
    print(f"{facts['machine']['cpu']}, {facts['machine']['cores usable']} cores", file=sys.stderr)
    print(", ".join(f"{k} {v}" for k, v in facts["versions"].items()), file=sys.stderr)

    settings = timing.QUICK if args.quick else timing.Settings()
    rows = []
    for quantity in quantities:
        for case in cases:
            if not case.measures(quantity):
                continue
            for dtype in choose_dtypes(args.dtype, quantity, case):
                if why_not := too_large(quantity, case, dtype, args.quick):
                    print(f"left out: {quantity} of {case.name} {dtype} {why_not}", file=sys.stderr)
                    continue
                rows.append(measure_row(quantity, case.problem(dtype), contestants, settings))
                progress(rows[-1])
    facts["fma_peak"] = machine.higher(facts["fma_peak"], machine.fma_peak())
    if args.quantities is None and args.cases is None:
        facts["import"] = machine.import_seconds(5 if args.quick else 15)

    print(file=sys.stderr)
    print(report.everything(rows, [c.name for c in contestants], facts))
    if args.json is not None:
        report.save(args.json, rows, facts)
    return 1 if any(entry.failed for row in rows for entry in row.entries) else 0
