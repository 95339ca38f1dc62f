"""The benchmark: its scripts run, what they say is so, and its parts by themselves."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import time
import types
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest

import mlpcore
from mlpcore.regularizers import LayerDecay

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
try:
    from bench import arithmetic, compare, fits, measure, report, timing
    from bench.cases import Case
    from bench.contestants import Idiom, mlpcore_
    from bench.profile_methods import METHODS, STYLES
finally:
    del sys.path[0]


def bench(script, *options):
    command = [sys.executable, ROOT / "bench" / script, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=250)


@pytest.fixture(scope="module")
def saved_run(tmp_path_factory):
    """The smallest case, by mlpcore and NumPy, in every quantity."""
    saved = tmp_path_factory.mktemp("bench") / "run.json"
    done = bench("run.py", "--quick", "--peers", "numpy", "--cases", "1-10-1", "--json", saved)
    assert done.returncode == 0, done.stderr
    return saved, done.stdout


def test_the_benchmark_runs_and_compares(saved_run):
    saved, printed = saved_run
    document = json.loads(saved.read_text())
    assert {row["quantity"] for row in document["rows"]} >= {"gradient", "per_sample_gradient"}
    assert {row["dtype"] for row in document["rows"]} == {"float64", "float32"}
    for row in document["rows"]:
        assert [entry["contestant"] for entry in row["entries"]] == ["mlpcore", "numpy"]
        assert all(entry["seconds"] > 0 for entry in row["entries"])
        assert set(row["copies"]) == (
            {"np.copyto", "np.copy"}
            if row["quantity"] in ("weight_jacobian", "per_sample_gradient")
            else set()
        )
        reached = row["multiply_adds"] / row["entries"][0]["seconds"]
        assert 0 < reached < document["fma_peak"][row["dtype"]]["all"]
    assert "times its arithmetic at peak" in printed

    done = bench("compare.py", saved, saved)
    assert done.returncode == 0, done.stderr
    assert "no row of mlpcore got slower" in done.stdout


def test_the_benchmark_says_which_row_got_slower(saved_run, tmp_path):
    saved, _ = saved_run
    document = json.loads(saved.read_text())
    ours = document["rows"][0]["entries"][0]
    ours["seconds"] *= 2
    ours["quartiles"] = [4 * ours["quartiles"][1]] * 2
    slower = tmp_path / "slower.json"
    slower.write_text(json.dumps(document))
    done = bench("compare.py", saved, slower)
    assert done.returncode == 1
    assert "1 row of mlpcore got slower" in done.stdout
    marked = [line.split()[:2] for line in done.stdout.splitlines() if line.endswith("  slower")]
    assert marked == [["gradient", "1-10-1,"]]


def row(case, ours, peer=2.0, spread=0.01):
    """Of a benchmark, with these medians, and quartiles by that share to both sides."""
    entries = [
        report.Entry(name, why_not="too little memory")
        if median is None
        else report.Entry(
            name, seconds=median, quartiles=((1 - spread) * median, (1 + spread) * median)
        )
        for name, median in ((report.OURS, ours), ("numpy", peer))
    ]
    return report.Row("gradient", case, "float64", entries=entries)


A, B = row("a", 1), row("b", 1)
#: What becomes of rows A and B: the rows of the second run, those that got slower, those that are
#: missing and why.
COMPARED = {
    "equal": ([A, B], [], []),
    "slower": ([row("a", 1.06), B], ["a"], []),
    "slower by less than the threshold": ([row("a", 1.04), B], [], []),
    "slower with quartiles that overlap": ([row("a", 1.06, spread=0.05), B], [], []),
    "faster": ([row("a", 0.5), B], [], []),
    "a slower peer": ([row("a", 1, peer=4), B], [], []),
    "not measured": ([row("a", None), B], [], ["gradient of a float64: too little memory"]),
    "no such row": ([A], [], ["gradient of b float64: not in the second run"]),
    "no row at all": (
        [],
        [],
        [f"gradient of {name} float64: not in the second run" for name in "ab"],
    ),
    "both slower": ([row("a", 3), row("b", 3)], ["a", "b"], []),
    "a new row": ([A, B, row("c", 1)], [], []),
    "slower, and no such row": (
        [row("b", 3)],
        ["b"],
        ["gradient of a float64: not in the second run"],
    ),
}


@pytest.mark.parametrize("what", COMPARED)
def test_what_the_benchmark_says_of_two_runs(what, capsys):
    after, slower, missing = COMPARED[what]
    status = compare.show([A, B], after, 0.05, everybody=False)
    assert status == (1 if slower or missing else 0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.endswith("  slower")] == slower
    gone = "no longer measured: "
    assert [line.removeprefix(gone) for line in lines if line.startswith(gone)] == missing
    rows = {0: "no row", 1: "1 row", 2: "2 rows"}[len(slower)]
    left = {0: "", 1: ", 1 no longer measured", 2: ", 2 no longer measured"}[len(missing)]
    assert lines[-1] == f"{rows} of mlpcore got slower{left}"


def test_the_benchmark_puts_instruction_sets_side_by_side():
    options = ["--rounds", "1", "--quantities", "gradient", "--cases", "1-10-1", "--quick"]
    done = bench("run.py", "--isas", *options)
    assert done.returncode == 0, done.stderr
    head, _, *rows = done.stdout.split("\n\n")[0].splitlines()
    assert [isa for isa in mlpcore.available_isas() if isa not in head] == []
    assert len(rows) == 2  # float64 and float32
    assert all(row.count("±") == len(mlpcore.available_isas()) for row in rows)


def test_the_benchmark_puts_builds_side_by_side():
    options = ["--rounds", "1", "--quantities", "gradient", "--cases", "1-10-1"]
    done = bench("commits.py", sys.executable, sys.executable, *options)
    assert done.stdout.count("gradient  1-10-1") == 2, done.stderr
    slower = re.search(r"^(no row|\d+ rows?) of mlpcore got slower$", done.stdout, re.MULTILINE)
    assert slower, done.stderr
    assert done.returncode == (slower[1] != "no row"), done.stderr


def test_the_benchmark_of_imports():
    done = bench("import_time.py", "--processes", "1")
    assert done.returncode == 0, done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["ms"] * 3


def test_the_benchmark_draws(saved_run, tmp_path):
    pytest.importorskip("matplotlib")
    saved, _ = saved_run
    options = ["--quick", "--peers", "numpy", "--sizes", "2", "--run", saved]
    done = bench("figures.py", *options, "--saved", tmp_path / "new.json", "--folder", tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("roofline", "scaling"):
        assert 5_000 < (tmp_path / f"{name}.svg").stat().st_size < 200_000


def test_the_profile_of_the_methods_can_be_read_in_grey(tmp_path):
    """By line and sign, whatever the colour: in the picture and in its legend."""
    pytest.importorskip("matplotlib")
    assert STYLES.keys() == METHODS.keys()
    assert len({(line, sign) for _, line, sign in STYLES.values()}) == len(METHODS)
    ratios = {name: [1.0 + k, 30.0, float("inf")] for k, name in enumerate(METHODS)}
    saved = tmp_path / "saved.json"
    saved.write_text(json.dumps({"ratios": ratios, "tau": 1e-3, "problems": ["a", "b", "c"]}))
    done = bench("profile_methods.py", "--draw", "--saved", saved, "--folder", tmp_path)
    assert done.returncode == 0, done.stderr
    drawn = (tmp_path / "performance_profile.svg").read_text()
    shown = (ROOT / "docs" / "performance_profile.svg").read_text()
    for picture in (drawn, shown):
        signs = set(re.findall(r'<use xlink:href="#(\w+)"', picture))
        assert len(signs) >= len(METHODS) + 2  # and the ticks of both axes
        broken = sum(line != "-" for _, line, _ in STYLES.values())
        assert picture.count("stroke-dasharray") >= 2 * broken  # each in the legend as well
        assert [name for name in METHODS if f">{name}</text>" not in picture] == []


@pytest.mark.parametrize("hidden_layers", [1, 2, 4])
@pytest.mark.parametrize("output", ["linear", "softmax"])
def test_the_arithmetic_of_the_benchmark_by_counting(hidden_layers, output):
    """Where two ways of counting must agree, and bounds that the mathematics gives."""
    layers = (3, *range(4, 4 + hidden_layers), 2)
    case = Case(layers, 10, output=output)
    products = sum(a * b for a, b in itertools.pairwise(layers))
    gradient = arithmetic.multiply_adds("gradient", case)
    assert gradient == 10 * (3 * products - layers[0] * layers[1])
    assert arithmetic.multiply_adds("per_sample_gradient", case) == gradient
    assert arithmetic.multiply_adds("jacobian", case) >= 10 * products * (output == "softmax")
    # A sum over the outputs of what the gradient does for one.
    assert arithmetic.multiply_adds("weight_jacobian", case) <= 2 * gradient
    # R{.} of a product is two, but R{x} = 0; the outer products themselves aren't needed.
    lowest = 10 * layers[0] * layers[1]
    along, network = 2 * (gradient - lowest), gradient - 10 * products
    assert arithmetic.multiply_adds("hessian_vector_product", case) == network + along
    assert arithmetic.multiply_adds("hessian_vector_products", case) == network + 50 * along
    diagonal = arithmetic.multiply_adds("hessian_diagonal", case)
    bound = sum(a * b * (a + b) for a, b in itertools.pairwise(layers[1:]))
    assert diagonal <= 10 * (4 * products + bound)


#: As short as samples can be.
INSTANT = timing.Settings(samples=3, sample_time=1e-6, warm_up=0.0, pause=0.0)
PROBLEM = Case((1, 2, 1), 5).problem("float64")
RIGHT = measure.right_answer("gradient", PROBLEM)


def broken():
    raise RuntimeError("\n\n  it broke\nhere")


def slowly():
    time.sleep(2e-3)
    return RIGHT


IDIOMS = {
    "right": lambda: RIGHT,
    "slow": slowly,
    "double": lambda: 2 * RIGHT,
    "nan": lambda: np.full_like(RIGHT, np.nan),
    "short": lambda: RIGHT[1:],
    "float32": lambda: RIGHT.astype("float32"),
    "broken": broken,
}
WRONG = {
    "double": r"differs by 1\.0e\+00",
    "nan": "differs by inf",
    "short": r"shape \(6,\), not \(7,\)",
    "float32": "computes in float32, not in float64",
    "broken": "RuntimeError: it broke",
}


def choose_of(names):
    entry = report.Entry("peer")
    idioms = [Idiom(name, IDIOMS[name]) for name in names]
    return measure.choose_idiom(idioms, "gradient", PROBLEM, RIGHT, INSTANT, entry), entry


def test_the_quickest_right_idiom_is_chosen_and_wrong_ones_are_dropped():
    for names in (list(IDIOMS), list(IDIOMS)[::-1]):
        chosen, entry = choose_of(names)
        assert (chosen.name, entry.idiom) == ("right", "right")
        assert set(entry.ways) == {"right", "slow"}
        assert entry.ways["right"] < 2e-3 <= entry.ways["slow"]
        assert entry.dropped.keys() == WRONG.keys()
        assert [w for w in WRONG if not re.fullmatch(WRONG[w], entry.dropped[w])] == []
        assert (entry.difference, entry.failed, entry.why_not) == (0.0, False, "")


def test_the_only_idiom_is_not_timed_for_the_choice():
    chosen, entry = choose_of(["slow"])
    assert (chosen.name, entry.ways, entry.dropped) == ("slow", {}, {})
    chosen, entry = choose_of(["double", "slow"])
    assert (chosen.name, list(entry.ways), list(entry.dropped)) == ("slow", ["slow"], ["double"])


def test_a_contestant_without_a_right_idiom_has_failed():
    chosen, entry = choose_of(list(WRONG))
    assert chosen is None
    assert entry.failed
    assert re.fullmatch("; ".join(f"{name}: {why}" for name, why in WRONG.items()), entry.why_not)
    assert (entry.idiom, entry.difference, entry.ways, entry.dropped) == ("", None, {}, {})


def test_what_broke_is_said_in_a_line():
    assert measure.said(ValueError("")) == "ValueError: "
    assert measure.said(ValueError("one\ntwo")) == "ValueError: one"
    assert measure.said(ValueError("\n \n one \ntwo")) == "ValueError: one"


def test_the_best_of_three_samples_counts(monkeypatch):
    """The first call and those that calibrate do not."""
    taken = [0.01, 0.02, 0.5, 0.3, 0.4]
    monkeypatch.setattr(timing, "sample", lambda run, calls: taken.pop(0))
    assert timing.best_of_three(lambda: None, INSTANT) == 0.3
    assert taken == []


def test_a_slow_call_is_made_once(monkeypatch):
    monkeypatch.setattr(timing, "LONG", 1e-3)
    calls = []

    def run():
        calls.append(1)
        time.sleep(4e-3)

    assert timing.best_of_three(run, INSTANT) >= 4e-3
    assert len(calls) == 1


class Watched(mlpcore_.Mlpcore):
    """Remembers the array that it was given to write into, and may write wrong numbers, or once."""

    target = None
    off = 0.0
    once = False

    def into(self, quantity, p, out):
        self.target = weakref.ref(out)
        idiom, called = super().into(quantity, p, out), []

        def run():
            if not (self.once and called):
                idiom.run()
                np.add(out, self.off, out=out)
            called.append(1)
            return out

        return Idiom(idiom.name, run)

    def is_held(self):
        return self.target is not None and self.target() is not None


def measured_by(ours, quantity, monkeypatch):
    """The row; the jobs of each turn and whether the target was there, then and for the memory."""
    turns, alternate = [], timing.alternate

    def watched(jobs, settings):
        turns.append((list(jobs), ours.is_held()))
        return alternate(jobs, settings)

    def memory_of_ours(quantity, case):
        turns.append(("memory", ours.is_held()))
        return 1

    monkeypatch.setattr(timing, "alternate", watched)
    monkeypatch.setattr(measure, "memory_of_ours", memory_of_ours)
    monkeypatch.setattr(measure, "LARGEST_JUDGED_WHOLE", 0)  # as if the Hessian were large
    return measure.measure_row(quantity, PROBLEM, [ours, measure.JUDGE], INSTANT), turns


@pytest.mark.parametrize("quantity", ["hessian", "gauss_newton"])
def test_a_large_hessian_into_an_array_has_turns_of_its_own(quantity, monkeypatch):
    """So that the array is not in memory when others are timed and our memory is measured."""
    row, turns = measured_by(Watched(), quantity, monkeypatch)
    assert turns == [
        (["mlpcore", "numpy"], False),
        (["mlpcore"], True),
        ("memory", False),
    ]
    ours, numpy = row.entries
    assert min(ours.seconds, ours.into, numpy.seconds) > 0
    assert (ours.failed, numpy.into, row.copies, row.beyond_result) == (False, None, {}, 1)


@pytest.mark.parametrize("quantity", ["weight_jacobian", "per_sample_gradient"])
def test_large_results_are_compared_with_copies(quantity, monkeypatch):
    row, turns = measured_by(Watched(), quantity, monkeypatch)
    assert turns == [(["mlpcore", "numpy", "np.copy"], False), (["mlpcore", "np.copyto"], True)]
    assert min(row.entries[0].into, *row.copies.values()) > 0
    assert row.copies.keys() == {"np.copy", "np.copyto"}
    assert row.beyond_result is None


@pytest.mark.parametrize("quantity", ["hessian", "weight_jacobian"])
@pytest.mark.parametrize("wrong", [{"off": 1.0}, {"once": True}], ids=str)
def test_wrong_numbers_in_a_given_array_fail(quantity, wrong, monkeypatch):
    ours = Watched()
    vars(ours).update(wrong)
    row, _ = measured_by(ours, quantity, monkeypatch)
    entry = row.entries[0]
    assert entry.failed
    assert re.fullmatch(r"after timing, out=: differs by .*", entry.why_not)
    assert (entry.seconds, entry.quartiles, entry.into) == (None, None, None)
    assert entry.cell() == "FAILED"
    assert row.entry(report.OURS) is None


def test_our_results_in_a_given_array():
    ours = mlpcore_.Mlpcore()
    for quantity in ("hessian", "gauss_newton", "weight_jacobian", "per_sample_gradient"):
        out = np.full(PROBLEM.case.result_shape(quantity), np.nan)
        assert ours.into(quantity, PROBLEM, out).run() is out
        (idiom,) = ours.idioms(quantity, PROBLEM)
        np.testing.assert_array_equal(out, idiom.run())
    with pytest.raises(AttributeError, match="gaus_newton"):
        ours.into("gaus_newton", PROBLEM, out)


class Pool:
    """In the place of joblib.Parallel: calls here, one after the other."""

    def __init__(self, n_jobs):
        self.rounds = 0
        sys.modules.pop(NEEDED, None)  # a new process has nothing

    def __call__(self, calls):
        self.rounds += 1
        return [f(*arguments) for f, *arguments in calls]


NEEDED = "colorsys"
JOBLIB = types.SimpleNamespace(Parallel=Pool, delayed=lambda f: lambda *arguments: (f, *arguments))


def fitter(net):
    """A fit that tells all that it was given."""
    width = net.layers[1]

    def fit_one(w, seed, X, t):
        assert NEEDED in sys.modules
        return float(10000 * width + 1000 * seed + 100 * w[0] + 10 * X[0] + t[0])

    return fit_one


@pytest.mark.parametrize("processes", [1, 2])
def test_every_start_is_fitted_once_in_order(processes, monkeypatch):
    """By processes that have imported what the fit needs."""
    monkeypatch.setitem(sys.modules, "joblib", JOBLIB if processes > 1 else None)
    monkeypatch.delitem(sys.modules, NEEDED, raising=False)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    numbers = iter([1, 1, 1, 2])  # one process has both of the first calls
    monkeypatch.setattr(os, "getpid", lambda: next(numbers))
    fit = fits.shared_out(fitter, (NEEDED,), processes)
    assert list(numbers) == ([] if processes == 2 else [1, 1, 1, 2])
    w = np.array([[0.0], [2.0], [4.0], [6.0], [8.0]])
    for width in (2, 3):
        seconds, errors = fit(mlpcore.Network((1, width, 1)), w, np.array([3.0]), np.array([5.0]))
        assert errors == [10000 * width + 1200 * seed + 35 for seed in range(5)]
        assert seconds > 0


def test_processes_that_do_not_start_leave_a_fit_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", JOBLIB)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(fits.LeftOut, match="joblib does not start 2 processes"):
        fits.shared_out(fitter, (), 2)


def test_a_missing_module_leaves_a_fit_out(monkeypatch):
    with pytest.raises(fits.LeftOut, match="No module named 'mlpcore_no_such'"):
        fits.shared_out(fitter, ("sys", "mlpcore_no_such"), 1)
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(fits.LeftOut, match="joblib"):
        fits.shared_out(fitter, (), 2)


def test_missing_peers_are_said_and_left_out(tmp_path):
    """SciPy, scikit-learn, and an R without nnet; our rows come all the same."""
    rscript = tmp_path / "Rscript"
    rscript.write_text("#!/bin/sh\nexit 1\n")
    rscript.chmod(0o755)
    program = (
        "import runpy, sys; sys.modules.update(dict.fromkeys(['scipy', 'sklearn', 'joblib'])); "
        "del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    options = ["concrete", "--starts", "1", "--iterations", "1"]
    done = subprocess.run(
        [sys.executable, "-c", program, ROOT / "bench" / "fits.py", *options],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ")[0] for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows == ["| fit", "| mlpcore lm", "| mlpcore lm, 2 iterations", "| mlpcore lbfgs"]
    peers = ["scipy least_squares trf", "scipy least_squares lm", "scikit-learn lbfgs"]
    peers.append("R nnet, BFGS")
    why = {"scipy": "scipy", "scikit-learn": "sklearn", "R": "R has no nnet"}
    lines = done.stderr.splitlines()
    peers += [f"{peer}, 2 processes" for peer in peers]
    for line, peer in zip(lines, peers, strict=True):
        assert line.startswith(f"left out: {peer}, ")
        assert why[peer.split()[0]] in line.removeprefix(f"left out: {peer}, ")


@pytest.mark.peer
@pytest.mark.slow
def test_the_fits_of_peers_in_two_processes():
    """They reach the errors of those one after the other."""
    pytest.importorskip("sklearn")
    options = ["--starts", "3", "--iterations", "2", "--only", "scikit-learn,trf"]
    done = bench("fits.py", "concrete", *options)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[4:]]
    names = ["scipy least_squares trf", "scikit-learn lbfgs"]
    assert [name for name, *_ in rows] == [*names, *(f"{name}, 2 processes" for name in names)]
    for one, two in zip(rows[:2], rows[2:], strict=True):
        assert one[2:] == two[2:]
        assert len(set(one[2:])) == 3


@pytest.mark.peer
@pytest.mark.parametrize("batch_size", [8, 4, 2])
def test_the_alpha_of_scikit_learn(batch_size):
    """Epochs of plain gradient descent end at the same weights, biases without decay."""
    sklearn = pytest.importorskip("sklearn.neural_network")
    from bench.estimators import same_alpha

    N, alpha, rate = 8, 0.7, 0.1
    theirs = same_alpha(alpha, N, batch_size)
    assert theirs == alpha * batch_size / N
    X, t = np.tile([[0.3, -1.2]], (N, 1)), np.full(N, 0.8)  # so that their order is nothing
    model = sklearn.MLPRegressor(
        hidden_layer_sizes=3, activation="tanh", solver="sgd", momentum=0, learning_rate_init=rate,
        alpha=theirs, batch_size=batch_size, max_iter=1, warm_start=True, random_state=0,
    )  # fmt: skip
    net = mlpcore.Network((2, 3, 1))

    def weights():
        return net.pack([(W.T, b) for W, b in zip(model.coefs_, model.intercepts_, strict=True)])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that one epoch is not enough
        model.fit(X, t)
        w = weights()
        model.fit(X, t)
    ours = mlpcore.train(
        net, w, X, t, optimizer="sgd", momentum=0.0, epochs=1, batch_size=batch_size,
        learning_rate=rate, regularizer=LayerDecay(weights=(alpha, alpha), biases=(0.0, 0.0)),
    )  # fmt: skip
    assert np.abs(ours.w - w).max() > 1e-3
    np.testing.assert_allclose(ours.w, weights(), rtol=1e-12, atol=1e-14)
