"""The benchmark: its scripts run, what they say is so, and its parts by themselves."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import time
import types
import warnings
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mlpcore
from mlpcore.regularizers import LayerDecay

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
try:
    from bench import arithmetic, bars, compare, fits, measure, memory, report, rounds, timing
    from bench.cases import QUANTITIES, Case, EnsembleCase, Training
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


def timed(contestant, seconds, idiom="grad", **known):
    """With quartiles a tenth of it below and above."""
    quartiles = (0.9 * seconds, 1.1 * seconds)
    return report.Entry(contestant, idiom, seconds=seconds, quartiles=quartiles, **known)


def by_hand(quantity, case, *entries, dtype="float64", **known):
    return report.Row(quantity, case, dtype, entries=list(entries), **known)


FAILED = report.Entry("numpy", failed=True, why_not="differs")
ROWS = [
    by_hand(
        "gradient",
        "a",
        timed(report.OURS, 1e-5, difference=2e-16),
        timed("numpy", 8e-5, difference=4e-16),
        timed("jax", 2e-5, difference=3e-16),
        multiply_adds=4000,
    ),
    by_hand("gradient", "b", timed(report.OURS, 1e-3), timed("jax", 8e-3)),
    by_hand(
        "gradient", "a", timed(report.OURS, 1e-5), FAILED, report.Entry("jax"), dtype="float32"
    ),
    by_hand("jacobian", "a", timed("jax", 2e-3, "jacrev", dropped={"jacfwd": "differs by 1"})),
    by_hand("jacobian", "b", timed(report.OURS, 1e-3), multiply_adds=400_000),
    by_hand("hessian_diagonal", "a", timed(report.OURS, 1.5e-5)),
    by_hand("hessian_vector_product", "a", timed(report.OURS, 3e-5)),
    by_hand("hessian_vector_products", "a", timed(report.OURS, 9e-4)),
    by_hand("hessian_vector_product", "c", timed(report.OURS, 1e-3)),
    by_hand(
        "hessian",
        "a",
        timed(report.OURS, 4.0, into=2.5),
        timed("jax", 2.0, ways={"jit(hessian)": 3.0, "columns": 0.5}),
        beyond_result=92_400_000,
    ),
    by_hand(
        "weight_jacobian",
        "a",
        timed(report.OURS, 4e-3, into=1e-3),
        copies={"np.copy": 2e-3, "np.copyto": 5e-4},
    ),
    by_hand(
        "per_sample_gradient",
        "a",
        timed(report.OURS, 1e-3),
        copies={"np.copy": 2e-2, "np.copyto": 5e-4},
    ),
]
#: Multiply-adds a second.
PEAK = {"float64": {"one": 5e8, "all": 1e9}, "float32": {"one": 1e9, "all": 2e9}}
#: Below the first table; the cells of the second are at its head.
VERDICTS = """
weight_jacobian a float64 4000 2000 50 % 1000 500 50 %
per_sample_gradient a float64 1000 20000 2000 % 500

gradient float64: 4.00 times the best peer (geometric mean of 2)
hessian float64: 0.50 times the best peer (geometric mean of 1)

jacobian of b float64: 2.50 times its arithmetic at peak

hessian_diagonal of a float64: 1.50 gradients
hessian_vector_product of a float64: 3.00 gradients
hessian_vector_products of a float64: 0.60 of 50 single products

hessian of a float64 by jax, ms: jit(hessian) 3000; columns 500

hessian of a float64: 2.5 s into an array that is there (out=)
hessian of a float64: at the peak 92.4 MB of memory beyond the result

peak of multiply-adds by avx2, GFLOP/s: float64 1.0 on one thread, 2.0 on all; \
float32 2.0 on one thread, 4.0 on all

numpy by grad (1)
jax by grad (3), jacrev (1)
numpy: differs: gradient of a
jax without jacfwd, differs by 1: jacobian of a float64
"""


def cells(table):
    """Those of the rows of a table, without the empty ones."""
    return [line.replace("|", " ").split() for line in table.splitlines()[2:]]


def test_what_the_benchmark_says_of_a_run():
    """Every ratio, share and mean that it prints is the one worked out by hand."""
    facts = {"fma_peak": PEAK, "isa": "avx2"}
    printed = report.everything(ROWS, ["mlpcore", "numpy", "jax"], facts).split("\n\n")
    table, copies, *verdicts = printed
    ratios = {i: r.ratio for i, r in enumerate(ROWS) if r.ratio is not None}
    assert ratios == {0: (2, "jax"), 1: (8, "jax"), 9: (0.5, "jax")}
    lines = [" ".join(line) for line in cells(table)]
    assert lines[0] == (
        "gradient a float64 10.0 ± 2.00 80.0 ± 16.0 20.0 ± 4.00 2.00 (jax) 40 % 4e-16"
    )
    assert lines[2] == "gradient a float32 10.0 ± 2.00 FAILED 0.0 %"
    assert lines[3] == "jacobian a float64 2000 ± 400"
    assert lines[4] == "jacobian b float64 1000 ± 200 40 %"
    verdicts = ["\n".join(map(" ".join, cells(copies))), *verdicts]
    assert "\n\n".join(verdicts) == VERDICTS.strip()


def test_several_rounds_are_pooled():
    """The median of their medians, between the lowest and the highest; nothing where one failed."""
    found = [(3.0, 1.0), (1.0, None), (7.0, 2.0)]
    failed = report.Entry("jax", failed=True)
    runs = [
        [by_hand("gradient", "a", timed(report.OURS, ours), timed("jax", jax) if jax else failed)]
        for ours, jax in found
    ]
    [pooled] = rounds.pool(runs)
    ours, jax = pooled.entries
    assert (ours.contestant, ours.seconds, ours.quartiles) == ("mlpcore", 3.0, (1.0, 7.0))
    assert (jax.seconds, jax.quartiles, jax.cell()) == (None, None, "FAILED")


def test_the_benchmark_puts_instruction_sets_side_by_side():
    options = ["--rounds", "1", "--quantities", "gradient", "--cases", "1-10-1", "--quick"]
    done = bench("run.py", "--isas", *options)
    assert done.returncode == 0, done.stderr
    head, _, *rows = done.stdout.split("\n\n")[0].splitlines()
    assert [isa for isa in mlpcore.available_isas() if isa not in head] == []
    assert len(rows) == 2  # float64 and float32
    assert all(row.count("±") == len(mlpcore.available_isas()) for row in rows)


def test_instruction_sets_side_by_side_are_not_saved(tmp_path):
    """They are several runs, and it says so rather than saving nothing."""
    done = bench("run.py", "--isas", "--json", tmp_path / "run.json")
    assert done.returncode == 2
    assert "error: --json saves one run, and --isas makes several" in done.stderr


def test_the_benchmark_puts_builds_side_by_side():
    options = ["--rounds", "1", "--quantities", "gradient", "--cases", "1-10-1"]
    done = bench("commits.py", sys.executable, sys.executable, *options)
    assert done.stdout.count("gradient  1-10-1") == 2, done.stderr
    slower = re.search(r"^(no row|\d+ rows?) of mlpcore got slower$", done.stdout, re.MULTILINE)
    assert slower, done.stderr
    assert done.returncode == (slower[1] != "no row"), done.stderr


@pytest.mark.parametrize("which", bars.CALLS)
def test_all_that_is_judged_is_called_as_its_scripts_want_it(which):
    """Their options, and the quantities of the table."""
    for script, *given in map(shlex.split, bars.CALLS[which]):
        if script == "-m":
            assert given[0] == "pytest"
            assert (ROOT / given[-1]).exists()
            continue
        done = bench(Path(script).name, "--help")
        assert done.returncode == 0, done.stderr
        words = itertools.takewhile(lambda word: not word.startswith("-"), given)
        for name in [*words, *(word for word in given if word.startswith("-"))]:
            assert re.search(rf"{name}\b", done.stdout), (script, name)
        if "--quantities" in given:
            assert set(given[given.index("--quantities") + 1 :]) <= set(QUANTITIES)


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


@pytest.mark.parametrize("quick", [False, True])
def test_the_curves_are_those_of_the_peers_at_their_best(quick, monkeypatch):
    """PyTorch compiled, too, unless it is to be quick."""
    pytest.importorskip("matplotlib")
    from bench import figures

    thorough = []

    def measure_row(quantity, problem, contestants, settings):
        thorough.append([contestant.thorough for contestant in contestants])
        return row(problem.case.name, 1)

    monkeypatch.setattr(measure, "measure_row", measure_row)
    curves = figures.measure_scaling(INSTANT, ["numpy"], 1, quick)
    assert thorough == [[not quick] * 2] * 3
    assert [curve[0][1] for curve in curves.values()] == [{"mlpcore": 1, "numpy": 2.0}] * 3


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


#: Of ten samples: the multiply-adds of one, part by part, and the numbers that all of them move.
#: 3-4-2-1, linear: P = 12, 8, 2; 29 weights, 30 inputs, 10 targets.
#: 2-3-4-2-4, softmax: P = 6, 12, 8, 8; 47 weights, 20 inputs, 40 targets.
#: 3-2-2, sigmoid: P = 6, 4; 14 weights, 30 inputs, 20 targets.
BY_HAND = {
    Case((3, 4, 2, 1), 10): {
        # z; W^T delta above the lowest layer; delta a^T
        "gradient": (22 + 10 + 22, 69 + 29),
        "per_sample_gradient": (22 + 10 + 22, 69 + 290),
        # a; from the output dy/da^2, a row of W, on to W^2 and W^1
        "jacobian": ((12 + 8) + (8 + 12), 59 + 30),
        # a; one row of W back by W^2; a for each unit of both hidden layers
        "weight_jacobian": ((12 + 8) + 8 + (12 + 8), 59 + 290),
        # z and delta; sums of B a^2, with a constant B^3 for the last; B^2 = W^T W is constant too;
        # the diagonal of B^1, for each unit by half of B^2, then by w
        "hessian_diagonal": ((22 + 10) + (12 + 8 + 2) + 4 * (3 + 2), 69 + 29),
        "hessian": (420, 69 + 29**2),
        "gauss_newton": (420, 69 + 29**2),
        # z and delta; V a, W R{a}; W^T R{delta}, V^T delta; R{delta} a^T, delta R{a}^T
        "hessian_vector_product": ((22 + 10) + (22 + 10) + 2 * 10 + (22 + 10), 98 + 29),
        "hessian_vector_products": ((22 + 10) + 50 * 84, 69 + 2 * 50 * 29),
    },
    Case((2, 3, 4, 2, 4), 10, output="softmax"): {
        "gradient": (34 + 28 + 34, 107 + 47),
        "per_sample_gradient": (34 + 28 + 34, 107 + 470),
        # z; two columns of W^1 up by all above; diag(y) - y y^T times them
        "jacobian": (34 + 2 * 28 + 2 * 4 * 2, 67 + 80),
        "weight_jacobian": (34 + 4 * (28 + 34), 67 + 1880),
        # z and delta; B a^2; the 3 different numbers of B^3 from W^T diag(y) W, and W^T y; the 10
        # of B^2 from W^T (B^3 W); the diagonal of B^1, for each unit by half of B^2, then by w
        "hessian_diagonal": (
            (34 + 28) + 34 + (4 * 3 + 8) + (4 * 2 * 2 + 2 * 10) + 3 * (10 + 4),
            107 + 47,
        ),
        "hessian": (1104, 107 + 47**2),
        "gauss_newton": (1104, 107 + 47**2),
        "hessian_vector_product": ((34 + 28) + (34 + 28) + 2 * 28 + (34 + 28), 154 + 47),
        "hessian_vector_products": ((34 + 28) + 50 * 180, 107 + 2 * 50 * 47),
    },
    Case((3, 2, 2), 10, output="sigmoid"): {
        "gradient": (10 + 4 + 10, 64 + 14),
        "per_sample_gradient": (10 + 4 + 10, 64 + 140),
        "jacobian": (10 + 2 * 6, 44 + 60),
        "weight_jacobian": (10 + 2 * (4 + 10), 44 + 280),
        "hessian_diagonal": ((10 + 4) + 10 + 4, 64 + 14),
        "hessian": (98, 64 + 14**2),
        "gauss_newton": (98, 64 + 14**2),
        "hessian_vector_product": ((10 + 4) + (10 + 4) + 2 * 4 + (10 + 4), 78 + 14),
        "hessian_vector_products": ((10 + 4) + 50 * 36, 64 + 2 * 50 * 14),
    },
}


@pytest.mark.parametrize("case", BY_HAND, ids=lambda case: case.name)
def test_the_arithmetic_of_the_benchmark_by_hand(case):
    """What `of peak` and the roofline rest on: a count that is too high would flatter us."""
    counted = {
        quantity: (
            arithmetic.multiply_adds(quantity, case),
            arithmetic.numbers_moved(quantity, case),
        )
        for quantity in QUANTITIES
        if not quantity.startswith("train")
    }
    assert counted == {name: (10 * adds, moved) for name, (adds, moved) in BY_HAND[case].items()}


def test_the_arithmetic_of_trainings_by_hand():
    """Three steps of Adam an epoch, each of which reads and writes w, m and v."""
    training = Training(epochs=20, batch_size=4)
    case = Case((3, 4, 2, 1), 10, training=training)
    assert arithmetic.multiply_adds("train", case) == 10 * (22 + 10 + 22)
    assert arithmetic.numbers_moved("train", case) == 30 + 10 + 3 * 6 * 29
    # 1-1-1 with 4 weights and 1-2-1 with 7, three times each
    ensemble = EnsembleCase((1, 2), 3, 10, Training(epochs=20, batch_size=None))
    adds = (2 + 1 + 2) + (4 + 2 + 4)
    assert arithmetic.multiply_adds("train_ensemble", ensemble) == 3 * 10 * adds
    assert arithmetic.numbers_moved("train_ensemble", ensemble) == 3 * (20 + 6 * 4 + 20 + 6 * 7)


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


@pytest.mark.parametrize(("seconds", "warm_ups"), [(1e-3, 3), (0.5, 3), (1.9, 3), (2.1, 1)])
def test_samples_of_all_but_long_calls_are_warm(seconds, warm_ups, monkeypatch):
    """With those of a hundred microseconds and those of a second alike."""
    made = []
    monkeypatch.setattr(timing, "sample", lambda run, calls: seconds)
    monkeypatch.setattr(timing, "warm_up", lambda run, seconds: made.append(seconds))
    taken = timing.alternate({"a": lambda: None}, replace(INSTANT, warm_up=0.2))
    assert taken["a"].seconds == [seconds] * 3
    assert made == [0.2] * warm_ups


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

    def memory_of_ours(quantity, problem):
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


def test_the_memory_of_a_hessian_is_that_of_the_case(monkeypatch):
    """Of its output and type."""
    if not memory.STATUS.exists():
        pytest.skip("this system has no /proc")
    results, beyond_result = [], memory.beyond_result

    def watched(*arguments):
        results.append((*arguments, beyond_result(*arguments)[1]))
        return 7, 0

    monkeypatch.setattr(memory, "beyond_result", watched)
    problem = Case((3, 4, 2), 10, output="softmax", hidden="relu").problem("float32")
    for quantity in ("hessian", "gauss_newton"):
        assert measure.memory_of_ours(quantity, problem) == 7
    case = ("relu", "softmax", "float32", 4 * 26**2)
    assert results == [((3, 4, 2), 10, kind, *case) for kind in ("exact", "gauss_newton")]


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
