"""What was built, what was chosen at import, and how many threads are used."""

from __future__ import annotations

import platform

import numpy as np

from mlpcore import _core
from mlpcore.checks import whole_number

__all__ = ["available_isas", "get_num_threads", "set_num_threads", "show_config"]


def available_isas() -> tuple[str, ...]:
    """Names of the kernel builds that this machine can run, the best one last.

    The environment variable ``MLPCORE_ISA`` forces one when it is set before the import.
    """
    return _core.available_isas()


def get_num_threads() -> int:
    """The most threads that one call uses.

    That is what `set_num_threads` said, else what OpenMP would use: ``OMP_NUM_THREADS``, a
    limit by threadpoolctl or joblib, or the CPUs that the process may run on. A limit by
    threadpoolctl holds in the Python thread that set it; others have the whole number. A build
    without OpenMP (`show_config` says so) takes the CPUs of the machine.

    On Linux no more threads are started than there are CPUs that the process may run on, unless
    `set_num_threads` said so.
    """
    return _core.max_threads()


def set_num_threads(n: int | None) -> None:
    """Set the most threads that one call uses; None goes back to the number without this call.

    The results have the same bits for every number of threads.

    Raises
    ------
    TypeError
        If `n` is neither a whole number nor None.
    ValueError
        If `n` is less than 1 or above 4096.
    """
    _core.set_max_threads(0 if n is None else whole_number("n", n, least=1, below=4097))


def show_config() -> None:
    """Print the version, the kernels in use, the threads and what says how many, and the build."""
    from mlpcore import __version__  # not at the top: it takes long to find out

    rows = {
        "mlpcore": __version__,
        "kernels": f"{_core.isa()} (this machine runs {', '.join(available_isas())})",
        "threads": f"{get_num_threads()} ({_source_of_threads()})",
        "compiler": _core.compiler,
        "build": _core.build_type + (f", sanitizers {_core.sanitizers}" * bool(_core.sanitizers)),
        "flags": _core.flags,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    for name, value in rows.items():
        print(f"{name:<10}{value}")


def _source_of_threads() -> str:
    if _core.chosen_threads() > 0:
        return f"set_num_threads; built {'with' if _core.openmp else 'without'} OpenMP"
    if _core.openmp:
        return "OpenMP; OMP_NUM_THREADS, threadpoolctl, joblib"
    return "hardware; built without OpenMP"
