"""Checks of the source itself: what a compiler, mypy or ruff can't see."""

from __future__ import annotations

import ast
import importlib.metadata
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mlpcore
from mlpcore import _core

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
try:
    from bench import arithmetic, compare, report
    from bench.cases import Case
    from bench.profile_methods import METHODS, STYLES
finally:
    del sys.path[0]

PACKAGE = Path(mlpcore.__file__).parent


def public(names):
    return {name for name in names if not name.startswith("_")}


def declared(body):
    """The names that a list of statements of a stub declares."""
    names = set()
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return public(names)


def stub():
    return ast.parse((PACKAGE / "_core.pyi").read_text(encoding="utf-8"))


def test_the_stub_declares_what_the_compiled_module_has():
    assert declared(stub().body) == public(vars(_core))


def test_the_stub_declares_the_members_of_each_compiled_class():
    classes = {node.name: node for node in stub().body if isinstance(node, ast.ClassDef)}
    compiled = {name: value for name, value in vars(_core).items() if isinstance(value, type)}
    assert public(classes) == public(compiled)
    for name in public(compiled):
        assert declared(classes[name].body) == public(vars(compiled[name])), name


def functions():
    """Those of the stub, methods included, each with the compiled one."""
    for node in stub().body:
        if isinstance(node, ast.FunctionDef):
            yield node, getattr(_core, node.name)
        elif isinstance(node, ast.ClassDef):
            owner = getattr(_core, node.name)
            methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
            yield from ((m, getattr(owner, m.name)) for m in methods if not m.decorator_list)


def parameters(function):
    """Names and defaults, as text, and the names of those that must be arrays already."""
    arrays = set()
    for node in ast.walk(function.args):
        if isinstance(node, ast.arg) and node.annotation is not None:
            if ast.unparse(node.annotation).startswith(("numpy.ndarray", "NDArray")):
                arrays.add(node.arg)
            node.annotation = None
    return ast.unparse(function.args), arrays


def test_the_stub_declares_the_parameters_of_each_function():
    """As pybind11 writes them in the docstring: name(x: type = default) -> type."""
    for node, compiled in functions():
        signature = ast.parse(f"def {compiled.__doc__.splitlines()[0]}: ...").body[0]
        stated, arrays = parameters(node)
        expected, must_be_arrays = parameters(signature)
        assert stated == expected, node.name
        assert must_be_arrays <= arrays, node.name


def test_one_version():
    assert mlpcore.__version__ == importlib.metadata.version("mlpcore")
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{mlpcore.__version__}"\n' in pyproject


def test_what_the_import_leaves_for_later():
    """Half of the time to import mlpcore was for modules that most programs never use."""
    program = (
        "import sys, numpy; before = set(sys.modules); "
        "import mlpcore; print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "mlpcore.network" in loaded
    assert loaded & {"importlib.metadata", "zipfile", "secrets", "matplotlib", "scipy"} == set()
    with pytest.raises(AttributeError, match="module 'mlpcore' has no attribute '__versoin__'"):
        _ = mlpcore.__versoin__


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()


def test_every_public_name_exists():
    assert [name for name in mlpcore.__all__ if not hasattr(mlpcore, name)] == []
    assert len(set(mlpcore.__all__)) == len(mlpcore.__all__)


REFERENCES = {
    "reference": set(),
    "reference_training": {"mlpcore"},
    "reference_optimizers": {"mlpcore"},
    "reference_retraining": {"mlpcore", "mlpcore.reference_optimizers"},
}


@pytest.mark.parametrize("name", REFERENCES)
def test_the_reference_imports_nothing_of_ours(name):
    """But the reference itself."""
    tree = ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("mlpcore") for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            if (node.module or "").startswith("mlpcore"):
                assert node.module in REFERENCES[name]
                if node.module == "mlpcore":
                    assert [alias.name for alias in node.names] == ["reference"]


@pytest.mark.parametrize("folder", ["include", "src", "kernels", "optim"])
def test_the_core_knows_no_python(folder):
    sources = [p for p in (ROOT / "cpp" / folder).rglob("*") if p.suffix in {".cpp", ".hpp", ".h"}]
    assert sources
    for path in sources:
        assert not re.search(r"#\s*include\s*[<\"](Python\.h|pybind11)", path.read_text()), path


def test_no_flag_that_breaks_nan_or_the_mode_of_the_process():
    lines = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8").splitlines()
    code = "\n".join(line.partition("#")[0] for line in lines)
    for flag in ("-ffast-math", "-Ofast", "-ffinite-math-only", "-funsafe-math", "-march=native"):
        assert flag not in code


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
    assert "1 rows of mlpcore got slower" in done.stdout
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
    assert lines[-1] == f"{len(slower) or 'no'} row{'s' * bool(slower)} of mlpcore got slower"


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
    slower = re.search(r"^(no row|\d+ rows) of mlpcore got slower$", done.stdout, re.MULTILINE)
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
