"""One run: choose the rows, check the numbers, take the times, print."""

from __future__ import annotations

import argparse
import sys
import traceback

import numpy as np

from bench import report, timing
from bench.cases import CASES, QUANTITIES, TRAINING_CASES, Array, Case, Problem
from bench.contestants import MODULES, Contestant, Idiom, NotOffered, load

# Who is asked for the right answer, in float64, in this order.
JUDGES = ("numpy", "torch", "jax", "mlpcore")
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


def choose_cases(parts: list[str] | None) -> list[Case]:
    cases = [*CASES, *TRAINING_CASES]
    chosen = [c for c in cases if parts is None or any(part in c.name for part in parts)]
    if not chosen:
        raise SystemExit("bench: no such case; there are: " + "; ".join(c.name for c in cases))
    return chosen


def right_answer(quantity: str, problem: Problem, contestants: list[Contestant]) -> Array | None:
    by_name = {c.name: c for c in contestants}
    for name in JUDGES:
        if name not in by_name:
            continue
        try:
            idiom = by_name[name].idioms(quantity, problem.in_float64())[0]
        except NotOffered:
            continue
        return idiom.collect(idiom.run())
    return None


def training_error(problem: Problem, w: Array) -> float:
    """Half the mean of squares of a network trained on this regression, in plain NumPy."""
    assert (problem.case.hidden, problem.case.output) == ("tanh", "linear")
    a = problem.X.astype("float64")
    *hidden, (W_out, b_out) = problem.unpack(np.asarray(w, "float64"))
    for W, b in hidden:
        a = np.tanh(a @ W.T + b)
    return 0.5 * float(np.mean((a @ W_out.T + b_out - problem.T) ** 2))


def compare(quantity: str, problem: Problem, got: Array, right: Array) -> tuple[float, float]:
    """The relative difference, and the one that is allowed."""
    if not np.all(np.isfinite(got)):
        return np.inf, 0.0
    if quantity != "train":
        scale = float(np.max(np.abs(right)))
        return float(np.max(np.abs(got - right))) / scale, TOLERANCE[problem.dtype]
    training = problem.case.training
    assert training is not None
    if training.batch_size is None:
        way = float(np.linalg.norm(right - problem.w))
        return float(np.linalg.norm(got - right)) / way, TOLERANCE_WEIGHTS
    reached = training_error(problem, right)
    return abs(training_error(problem, got) / reached - 1), TOLERANCE_ERROR


def check(quantity: str, problem: Problem, idiom: Idiom, right: Array | None) -> tuple[float, str]:
    """The relative difference from the right answer, and what is wrong, if anything."""
    got = idiom.collect(idiom.run())
    shape = problem.result_shape(quantity)
    if got.shape != shape:
        return np.inf, f"{idiom.name}: shape {got.shape}, not {shape}"
    if got.dtype != problem.dtype:
        return np.inf, f"{idiom.name}: computes in {got.dtype}, not in {problem.dtype}"
    if right is None:
        return np.nan, "nobody to check against"
    difference, allowed = compare(quantity, problem, got, right)
    wrong = "" if difference <= allowed else f"{idiom.name}: differs by {difference:.1e}"
    return difference, wrong


def measure_row(
    quantity: str, problem: Problem, contestants: list[Contestant], settings: timing.Settings
) -> report.Row:
    row = report.Row(quantity, problem.case.name, problem.dtype)
    right = right_answer(quantity, problem, contestants)
    chosen: dict[str, Idiom] = {}
    for contestant in contestants:
        entry = report.Entry(contestant.name)
        row.entries.append(entry)
        try:
            idioms = contestant.idioms(quantity, problem)
            differences, wrongs = zip(
                *(check(quantity, problem, idiom, right) for idiom in idioms), strict=True
            )
            entry.difference = max(differences) if np.all(np.isfinite(differences)) else None
            entry.why_not = "; ".join(filter(None, wrongs))
            entry.failed = bool(entry.why_not)
            if not entry.failed:
                idiom = idioms[timing.quickest([idiom.run for idiom in idioms])]
                chosen[contestant.name], entry.idiom = idiom, idiom.name
        except NotOffered as why:
            entry.why_not = str(why)
        except Exception as error:  # a peer that breaks must not end the run
            traceback.print_exc()
            entry.why_not, entry.failed = f"{type(error).__name__}: {error}", True

    epochs = problem.case.training.epochs if problem.case.training else 1
    times = timing.alternate({name: idiom.run for name, idiom in chosen.items()}, settings)
    for entry in row.entries:
        if entry.contestant not in times:
            continue
        # Again: an idiom that does less work from the second call on must not pass.
        _, wrong = check(quantity, problem, chosen[entry.contestant], right)
        if wrong:
            entry.why_not, entry.failed = f"after timing, {wrong}", True
        else:
            samples = times[entry.contestant]
            low, high = samples.quartiles
            entry.seconds = samples.median / epochs
            entry.quartiles = (low / epochs, high / epochs)
            entry.samples, entry.calls = len(samples.seconds), samples.calls
    return row


def progress(row: report.Row) -> None:
    checked = ", ".join(
        f"{e.contestant} {'FAILED: ' + e.why_not if e.failed else f'{e.difference:.0e}'}"
        for e in row.entries
        if e.failed or e.difference is not None
    )
    print(f"{row.quantity} of {row.case} {row.dtype}: differences {checked}", file=sys.stderr)


def run(args: argparse.Namespace) -> int:
    quantities = choose(args.quantities, list(QUANTITIES), "quantity")
    cases = choose_cases(args.cases)
    peers = choose(args.peers, [name for name in MODULES if name != report.OURS], "peer")
    contestants, absent = load([report.OURS, *peers])
    if not contestants:
        raise SystemExit("bench: none of the packages is installed")
    for contestant in contestants:
        if args.threads is not None:
            contestant.set_threads(args.threads)

    facts = {
        "commit": report.commit(),
        "machine": report.machine(),
        "versions": {k: v for c in contestants for k, v in c.versions().items()},
        "settings": {"dtype": args.dtype, "threads": args.threads, "quick": args.quick},
    }
    print(f"{facts['machine']['cpu']}, {facts['machine']['cores usable']} cores", file=sys.stderr)
    print(", ".join(f"{k} {v}" for k, v in facts["versions"].items()), file=sys.stderr)
    for name, why in absent.items():
        print(f"absent: {name} ({why})", file=sys.stderr)

    settings = timing.QUICK if args.quick else timing.Settings()
    rows = []
    for quantity in quantities:
        for case in cases:
            if case.measures(quantity):
                rows.append(measure_row(quantity, case.problem(args.dtype), contestants, settings))
                progress(rows[-1])
    print(file=sys.stderr)
    print(report.table(rows, [c.name for c in contestants]))
    for text in (report.geometric_means(rows), report.remarks(rows)):
        if text:
            print("\n" + text)
    if args.json is not None:
        report.save(args.json, rows, facts)
    return 1 if any(entry.failed for row in rows for entry in row.entries) else 0
