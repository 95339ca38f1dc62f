"""Checks of the source itself: what a compiler, mypy or ruff can't see."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mlpcore
from mlpcore import _core

ROOT = Path(__file__).resolve().parents[1]
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
