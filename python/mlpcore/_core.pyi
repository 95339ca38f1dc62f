"""The compiled core; the public functions that call it state what it does."""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike, NDArray

_Out = NDArray[Any] | None  # an array for the result

activations: tuple[str, ...]
outputs: tuple[str, ...]
curvatures: tuple[str, ...]
hessian_kinds: tuple[str, ...]
product_kinds: tuple[str, ...]
first_order_optimizers: tuple[str, ...]
methods: tuple[str, ...]
conjugacies: tuple[str, ...]
elementary_functions: tuple[str, ...]
compiler: str
build_type: str
sanitizers: str
flags: str
openmp: bool

def isa() -> str: ...
def available_isas() -> tuple[str, ...]: ...
def max_threads() -> int: ...
def set_max_threads(n: int) -> None: ...
def chosen_threads() -> int: ...
def elementary(name: str, x: NDArray[Any]) -> NDArray[Any]: ...
def available_memory(root: str = "") -> float: ...
def fma_peak(is_double: bool, n_threads: int, rounds: int) -> float: ...
def as_array(name: str, object: ArrayLike, is_double: bool) -> NDArray[Any]: ...
def check_memory(what: str, n_bytes: float) -> None: ...

class Network:
    def __init__(
        self, layers: list[int], hidden: list[str], output: str, is_double: bool
    ) -> None: ...
    @property
    def n_weights(self) -> int: ...

def forward(net: Network, w: ArrayLike, X: ArrayLike, logits: bool, out: _Out) -> NDArray[Any]: ...
def error(
    net: Network, w: ArrayLike, X: ArrayLike, T: ArrayLike, sample_weight: ArrayLike | None
) -> Any: ...
def gradient(
    net: Network,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None,
    out: _Out,
) -> NDArray[Any]: ...
def error_and_gradient(
    net: Network,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None,
    out: _Out,
) -> tuple[Any, NDArray[Any]]: ...
def jacobian(net: Network, w: ArrayLike, X: ArrayLike, out: _Out) -> NDArray[Any]: ...
def weight_jacobian(net: Network, w: ArrayLike, X: ArrayLike, out: _Out) -> NDArray[Any]: ...
def per_sample_gradient(
    net: Network, w: ArrayLike, X: ArrayLike, T: ArrayLike, out: _Out
) -> NDArray[Any]: ...
def hessian_diagonal(
    net: Network,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None,
    kind: str,
    out: _Out,
) -> NDArray[Any]: ...
def hessian(
    net: Network,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None,
    kind: str,
    out: _Out,
) -> NDArray[Any]: ...
def hessian_blocks(
    net: Network,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None,
    kind: str,
) -> list[NDArray[Any]]: ...
def hessian_vector_product(
    net: Network,
    w: ArrayLike,
    v: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None,
    kind: str,
    out: _Out,
) -> NDArray[Any]: ...
def output_hessian(net: Network, w: ArrayLike, X: ArrayLike, out: _Out) -> NDArray[Any]: ...
def jvp(net: Network, w: ArrayLike, X: ArrayLike, dX: ArrayLike, out: _Out) -> NDArray[Any]: ...
def vjp(net: Network, w: ArrayLike, X: ArrayLike, dY: ArrayLike, out: _Out) -> NDArray[Any]: ...
def weight_jvp(
    net: Network, w: ArrayLike, X: ArrayLike, v: ArrayLike, out: _Out
) -> NDArray[Any]: ...
def weight_vjp(
    net: Network, w: ArrayLike, X: ArrayLike, dY: ArrayLike, out: _Out
) -> NDArray[Any]: ...
def train(
    net: Network,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None,
    X_val: ArrayLike | None,
    T_val: ArrayLike | None,
    settings: dict[str, Any],
    weight_decay: ArrayLike,
    penalty: object,
    called: dict[str, Any],
    from_state: tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]] | None,
) -> tuple[NDArray[Any], list[dict[str, Any]]]: ...
def minimize(
    net: Network,
    w: ArrayLike,
    X: ArrayLike,
    T: ArrayLike,
    sample_weight: ArrayLike | None,
    method: str,
    weight_decay: ArrayLike,
    penalty: object,
    iterations: int,
    gradient_tolerance: float,
    step_tolerance: float,
    error_tolerance: float,
    seconds: float,
    curvature: str,
    conjugacy: str,
    acceleration: bool,
    memory: int,
    states: list[Any],
    callback: Callable[[int, float, NDArray[Any]], object] | None,
) -> tuple[NDArray[Any], list[dict[str, Any]], list[Any]]: ...
