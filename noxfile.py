"""Every job that a contributor can run: `nox -l` lists them, `nox -s NAME` runs one.

`nox` alone runs lint, typing and the tests.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "typing", "tests"]

ROOT = Path(__file__).resolve().parent
PYPROJECT = nox.project.load_toml("pyproject.toml")


def dev(*names: str) -> list[str]:
    """The requirements of the `dev` extra that have these names, with their version bounds."""
    chosen = [
        requirement
        for requirement in PYPROJECT["project"]["optional-dependencies"]["dev"]
        if requirement.startswith(names)
    ]
    assert len(chosen) == len(names), (names, chosen)
    return chosen


def cpp_files(*suffixes: str) -> list[str]:
    return sorted(str(path) for path in (ROOT / "cpp").rglob("*") if path.suffix in suffixes)


def compiler_file(name: str) -> str:
    """Where the compiler keeps one of its own libraries or folders."""
    compiler = os.environ.get("CXX", "c++")
    done = subprocess.run(
        [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@nox.session
def lint(session: nox.Session) -> None:
    """ruff and clang-format, as checks."""
    session.install(*dev("ruff", "clang-format"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("clang-format", "--dry-run", "--Werror", *cpp_files(".cpp", ".hpp", ".h"))


@nox.session
def typing(session: nox.Session) -> None:
    """mypy --strict on the package."""
    session.install(*dev("mypy"), "numpy")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite; `-P 3.13` on that Python, `-- -m ''` with the slow tests."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def peers(session: nox.Session) -> None:
    """The tests that compare with other packages, the slow ones too.

    The versions are those that the numbers were last compared with; this JAX wants Python 3.11.
    """
    session.install(".[test]", "torch==2.13.0", "jax==0.10.2; python_version >= '3.11'", "polars")
    session.run("pytest", "-m", "peer", *session.posargs)


@nox.session
def tidy(session: nox.Session) -> None:
    """A build in which warnings are errors, then clang-tidy on the core, kernels and bindings."""
    session.install(*dev("clang-tidy", "cmake", "ninja", "pybind11"))
    cmakedir = session.run("python", "-m", "pybind11", "--cmakedir", silent=True)
    session.run("cmake", "--preset", "dev", f"-Dpybind11_DIR={str(cmakedir).strip()}")
    session.run("cmake", "--build", "--preset", "dev")
    commands = ROOT / "build" / "dev" / "compile_commands.json"
    commands.write_text(re.sub(" -fsched[a-z-]*", "", commands.read_text()))  # Clang has them not
    # The compiler's own headers come last: they are where omp.h is.
    headers = f"--extra-arg=-idirafter{compiler_file('include')}"
    session.run("clang-tidy", "-p", "build/dev", "--quiet", headers, *cpp_files(".cpp"))


def sanitized(session: nox.Session, sanitize: str, libraries: list[str], **env: str) -> None:
    """Build the package with these sanitizers and run pytest with their runtimes preloaded."""
    session.install(
        "--config-settings=cmake.build-type=RelWithDebInfo",
        f"--config-settings=cmake.define.MLPCORE_SANITIZE={sanitize}",
        ".[test]",
    )
    # libstdc++ is preloaded as well: the sanitizers look for the real __cxa_throw when they
    # start, and Python itself is not linked with it.
    preload = [compiler_file(name) for name in [*libraries, "libstdc++.so"]]
    session.run("pytest", *session.posargs, env={"LD_PRELOAD": " ".join(preload), **env})


@nox.session
def asan(session: nox.Session) -> None:
    """The whole suite under AddressSanitizer and UndefinedBehaviorSanitizer."""
    sanitized(
        session,
        "address,undefined",
        ["libasan.so", "libubsan.so"],
        ASAN_OPTIONS="detect_leaks=0:strict_init_order=1",  # Python itself leaks at exit
        UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1",
        PYTHONMALLOC="malloc",  # so that an overrun of a Python buffer is seen too
    )


@nox.session
def tsan(session: nox.Session) -> None:
    """The tests of threads under ThreadSanitizer."""
    session.posargs[:] = session.posargs or ["-k", "thread"]
    sanitized(
        session,
        "thread",
        ["libtsan.so"],
        TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1",
    )


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmark table; `nox -s bench -- --quick`. Installs its peers.

    They are PyTorch, JAX, scikit-learn, BackPACK and curvlinops.
    """
    session.install(
        ".", "torch", "jax", "scikit-learn", "backpack-for-pytorch", "curvlinops-for-pytorch"
    )
    session.run("python", "bench/run.py", *session.posargs)


@nox.session
def wheels(session: nox.Session) -> None:
    """Wheels for this platform by cibuildwheel, into wheelhouse/."""
    session.install("cibuildwheel")
    session.run("cibuildwheel", "--output-dir", "wheelhouse", *session.posargs)
