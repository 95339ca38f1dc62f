"""Save a network, its weights and what belongs to them in one file; load it without risk.

The format, version 1
---------------------
A zip file whose members are stored, never compressed, so that ``numpy.load`` opens it too:

``header.json``
    An object in ASCII with the keys

    - ``format``: ``"mlpcore"``;  ``version``: 1;
    - ``layers``: list of integers, ``[D, M1, ..., K]``;
    - ``hidden``: list of the names of the activations, one a hidden layer;
    - ``output``: ``"linear"``, ``"sigmoid"`` or ``"softmax"``;
    - ``dtype``: ``"float64"`` or ``"float32"``, also of the weights;
    - ``extras``: object, the extras that are not arrays (NaN and infinity as Python's ``json``
      writes them: ``NaN``, ``Infinity``, ``-Infinity``);
    - ``arrays``: object, for each extra that is an array ``{"dtype": "<f8", "shape": [3, 2]}``.

``w.npy``
    The weights, shape ``(W,)``, little-endian, finite.

``extras/NAME.npy``
    One a key of ``arrays``: booleans, integers, real numbers of 2, 4 or 8 bytes, or strings, in
    C order.

Each array is a ``.npy`` of version 1.0.  Nothing is pickled.  `load` compares every size in the
file with what the header announces before it reads an array, and takes nothing that version 1
does not name: no other member, no member twice, no compression.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlpcore import _core
from mlpcore.checks import check_finite, file_path
from mlpcore.network import Network, check_network

__all__ = ["ModelFileError", "SavedModel", "load", "save"]

FORMAT = "mlpcore"
VERSION = 1

_MAX_HEADER = 64 * 2**20  # bytes of header.json
_MAX_DEPTH = 64  # of lists and dicts in an extra
_ARRAY_DTYPE = re.compile(r"\|b1|\|[iu]1|[<>][iu][248]|[<>]f[248]|[<>]U\d{1,8}")
_NPY_MAGIC = b"\x93NUMPY\x01\x00"  # version 1.0
# Before 2.3 NumPy says nothing of their types.
_write_npy: Callable[..., None] = np.lib.format.write_array
_write_npy_header: Callable[..., None] = np.lib.format.write_array_header_1_0


class ModelFileError(ValueError):
    """The file is not a model that this version can read: damaged, truncated or made up."""


class SavedModel(NamedTuple):
    """What `load` returns.

    Attributes
    ----------
    net : Network
    w : (W,) array of net.dtype
        The weights; the caller's own, writable.
    extras : dict of str to values
        What was given to `save` by keyword.
    """

    net: Network
    w: NDArray[Any]
    extras: dict[str, Any]


def save(path: str | os.PathLike[str], net: Network, w: ArrayLike, **extras: Any) -> None:
    """Save a network, its weights and any extras to exactly ``path``.

    The file is written beside its destination, flushed to the disk and renamed, so that whoever
    looks at ``path`` finds the old file whole or the new file whole, also after a kill or a power
    cut.  A symbolic link stays one: the file that it points to is replaced.

    Parameters
    ----------
    path : str or os.PathLike
        No suffix is appended.
    net : Network
    w : (W,) array_like
        Finite; saved in ``net.dtype``.
    **extras
        What the model needs beside its weights: scaling, names, settings.  Arrays of booleans,
        integers, real numbers or strings; str, int, float, bool, None, and lists and dicts (with
        str keys) of these.  NumPy scalars become Python's.

    Raises
    ------
    TypeError
        If ``path`` is no path, ``net`` no Network, ``w`` not real, or an extra of another type;
        the message names it.  Nothing has been written then.
    ValueError
        If ``w`` has the wrong shape or is not finite, or ``path`` is no regular file.
    OSError
        If the file can't be written; the old one is untouched.

    See Also
    --------
    load

    Examples
    --------
    >>> import tempfile, os, mlpcore
    >>> net = mlpcore.Network((2, 3, 1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = os.path.join(folder, "model.npz")
    ...     mlpcore.save(file, net, net.init(seed=1), names=["length", "mass"])
    ...     model = mlpcore.load(file)
    >>> model.net.layers, model.extras
    ((2, 3, 1), {'names': ['length', 'mass']})
    """
    path = file_path("path", path)
    check_network(net)
    members = {"w.npy": _npy(_checked_weights(net, w))}
    values: dict[str, Any] = {}
    arrays: dict[str, dict[str, Any]] = {}
    for name, extra in extras.items():
        if not name.isidentifier():
            raise ValueError(f"extra {name!r} is not a name, expected a Python identifier")
        if isinstance(extra, np.ndarray):
            array = _checked_array(name, extra)
            arrays[name] = {"dtype": array.dtype.str, "shape": list(array.shape)}
            members[f"extras/{name}.npy"] = _npy(array)
        else:
            values[name] = _checked_value(name, extra, 0)
    import json  # these two not at the top, where they would cost 7 ms of each import of mlpcore
    import zipfile

    header = {
        "format": FORMAT,
        "version": VERSION,
        "layers": [int(n) for n in net.layers],
        "hidden": [str(name) for name in net.hidden],
        "output": str(net.output),
        "dtype": np.dtype(net.dtype).name,
        "extras": values,
        "arrays": arrays,
    }
    text = json.dumps(header, indent=1).encode("ascii")
    if len(text) > _MAX_HEADER:
        raise ValueError(
            f"extras has {len(text)} bytes that are not arrays, expected at most {_MAX_HEADER}"
        )
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for member, content in {"header.json": text, **members}.items():
            # A fixed date, so that the same model makes the same bytes.
            archive.writestr(zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0)), content)


def load(path: str | os.PathLike[str]) -> SavedModel:
    """Load what `save` has written.

    Nothing from the file is executed, and nothing is written.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    SavedModel
        ``net``, ``w``, ``extras``.

    Raises
    ------
    TypeError
        If ``path`` is no path.
    FileNotFoundError, OSError
        If there is no such file or it can't be opened.
    ModelFileError
        If it is no regular file, or its content is damaged, truncated, of another format or
        version, or contradicts itself.  The message says what is wrong.

    See Also
    --------
    save
    """
    name = file_path("path", path)
    mode = os.stat(name).st_mode
    # Before it is opened: a pipe would block, a device might never end.  A folder is left to open.
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ModelFileError(f"{name}: not a regular file")
    with open(name, "rb") as file:
        try:
            return _read(file)
        except ModelFileError as error:
            raise ModelFileError(f"{name}: {error}") from error.__cause__
        except Exception as error:  # zipfile has a dozen kinds for files that are none of its own
            raise ModelFileError(
                f"{name}: not a model file of mlpcore, or a damaged one ({_one_line(error)})"
            ) from error


# Writing


def _checked_weights(net: Network, w: ArrayLike) -> NDArray[Any]:
    given = _core.as_array("w", w, net.dtype == np.float64)
    if given.shape != (net.n_weights,):
        raise ValueError(f"w has shape {given.shape}, expected ({net.n_weights},)")
    weights: NDArray[Any] = given.astype(given.dtype.newbyteorder("<"))
    check_finite("w", weights)
    return weights


def _checked_array(name: str, extra: NDArray[Any]) -> NDArray[Any]:
    if type(extra) not in (np.ndarray, np.memmap) or not _ARRAY_DTYPE.fullmatch(extra.dtype.str):
        raise TypeError(
            f"extra {name!r} is of type {type(extra).__name__} and dtype {extra.dtype}, expected "
            f"an array of booleans, integers, real numbers of at most 8 bytes or strings"
        )
    if extra.dtype.itemsize == 0:  # an empty array of strings
        extra = extra.astype("<U1")
    return np.asarray(extra, order="C")


def _checked_value(name: str, value: Any, depth: int) -> Any:
    """``value`` in types that JSON has, or a TypeError that names the extra."""
    if depth > _MAX_DEPTH:
        raise TypeError(
            f"extra {name!r} is nested in itself or too deep, expected at most {_MAX_DEPTH} levels"
        )
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        value = value.item()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if value.bit_length() > 1024:
            raise TypeError(
                f"extra {name!r} has an integer of {value.bit_length()} bits, expected at most 1024"
            )
        return value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list):
        return [_checked_value(name, item, depth + 1) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"extra {name!r} has the key {key!r}, expected keys of type str")
        return {key: _checked_value(name, item, depth + 1) for key, item in value.items()}
    raise TypeError(
        f"extra {name!r} is or has a {type(value).__name__}, expected an array, str, int, float, "
        f"bool, None, or a list or dict of these"
        + (" (arrays go in as extras of their own)" if isinstance(value, np.ndarray) else "")
    )


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    _write_npy(buffer, array, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file that takes the place of ``path`` when the block ends well, or vanishes."""
    target = os.path.realpath(os.fsdecode(path))  # write through a symbolic link
    folder = os.path.dirname(target)
    try:
        old_mode: int | None = os.stat(target).st_mode
    except FileNotFoundError:
        old_mode = None
    if old_mode is not None and stat.S_ISDIR(old_mode):
        raise IsADirectoryError(f"{os.fsdecode(path)}: is a directory")
    if old_mode is not None and not stat.S_ISREG(old_mode):
        raise ValueError(f"path: {os.fsdecode(path)} is not a regular file")
    _remove_left_behind(target)
    temporary, descriptor = _new_temporary(target)
    with _held(descriptor):
        try:
            with os.fdopen(descriptor, "w+b") as file:
                if old_mode is not None and hasattr(os, "fchmod"):
                    os.fchmod(file.fileno(), stat.S_IMODE(old_mode))
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    with contextlib.suppress(OSError):  # some systems can't open or flush a folder
        folder_descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(folder_descriptor)
        finally:
            os.close(folder_descriptor)


# A process that is killed while it writes leaves its temporary file behind. While it lives it holds
# a lock on that file, which ends with it: what another can lock is nobody's any more. Where there
# are no such locks (Windows, some network disks) a day of rest has to do.

_LONG = 24 * 3600.0  # seconds


def _prefix(target: str) -> str:
    """What the names of the temporary files for this target begin with."""
    import zlib

    return f".mlpcore-{zlib.crc32(os.fsencode(os.path.basename(target))):08x}-"


def _new_temporary(target: str) -> tuple[str, int]:
    """A new file beside the target, locked, and its descriptor."""
    folder, prefix = os.path.dirname(target), _prefix(target)
    # Not the tempfile module: its files are 0o600, and a model deserves what open() gives.
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
    while True:
        name = os.path.join(folder, f"{prefix}{os.urandom(8).hex()}.tmp")
        try:
            descriptor = os.open(name, flags, 0o666)
        except OSError as error:
            # Of a name that nobody has given: it is the folder that is missing or closed.
            raise OSError(error.errno, error.strerror, folder) from None
        _lock(descriptor, wait=True)
        # Until it was locked, another process may have taken it for one left behind.
        if os.path.exists(name):
            return name, descriptor
        os.close(descriptor)


@contextlib.contextmanager
def _held(descriptor: int) -> Iterator[None]:
    """Keeps the lock on a file beyond its closing, until it has its name."""
    if os.name == "nt":  # what is open can't be renamed
        yield
        return
    held = os.dup(descriptor)
    try:
        yield
    finally:
        os.close(held)


def _remove_left_behind(target: str) -> None:
    """Remove the temporary files for this target whose writers are gone."""
    left = re.compile(re.escape(_prefix(target)) + r"[0-9a-f]{16}\.tmp")
    # What can't be listed, opened or removed stays, and harms nobody.
    with contextlib.suppress(OSError), os.scandir(os.path.dirname(target)) as entries:
        for entry in entries:
            if left.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    _remove_if_left_behind(entry.path)


def _remove_if_left_behind(name: str) -> None:
    descriptor = os.open(name, os.O_RDONLY)
    try:
        locked = _lock(descriptor, wait=False)
        rested = time.time() - os.fstat(descriptor).st_mtime > _LONG
        if locked:
            os.unlink(name)
    finally:
        os.close(descriptor)
    if locked is None and rested:
        os.unlink(name)


def _lock(descriptor: int, wait: bool) -> bool | None:
    """Lock a file for as long as it is open; False if another holds it, None if nobody can."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


# Reading


def _read(file: BinaryIO) -> SavedModel:
    import zipfile

    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        members: dict[str, zipfile.ZipInfo] = {}
        total = 0
        for info in archive.infolist():
            if info.filename in members:
                raise ModelFileError(f"member {info.filename!r} twice")
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise ModelFileError(f"member {info.filename!r} is compressed")
            members[info.filename] = info
            total += info.file_size
        if total > size:
            raise ModelFileError(f"announces {total} bytes in a file of {size}")
        if "header.json" not in members:
            raise ModelFileError("not a model file of mlpcore: no member 'header.json'")
        if members["header.json"].file_size > _MAX_HEADER:
            raise ModelFileError(f"'header.json' has more than {_MAX_HEADER >> 20} MiB")
        header = _parsed_header(archive.read("header.json"))
        layers, dtype, arrays = _checked_header(header)
        n_weights = sum((n + 1) * m for n, m in itertools.pairwise(layers))
        expected: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
        expected["w.npy"] = (dtype.newbyteorder("<"), (n_weights,))
        expected.update({f"extras/{name}.npy": array for name, array in arrays.items()})
        for name in members.keys() - expected.keys() - {"header.json"}:
            raise ModelFileError(f"unexpected member {name!r}")
        for name, (kind, shape) in expected.items():
            if name not in members:
                raise ModelFileError(f"no member {name!r}")
            n_bytes = math.prod(shape) * kind.itemsize
            if not n_bytes <= members[name].file_size <= n_bytes + 2**16 + 10:
                raise ModelFileError(
                    f"member {name!r} has {members[name].file_size} bytes, which does not fit "
                    f"shape {shape} of {kind.name} in the header"
                )
        net = _network(layers, header["hidden"], header["output"], dtype.name)
        if net.n_weights != n_weights:
            raise ModelFileError(f"{n_weights} weights for a network of {net.n_weights}")
        contents = {
            name: _array(name, archive.read(name), kind, shape)
            for name, (kind, shape) in expected.items()
        }
    w = contents["w.npy"].astype(dtype)
    if not np.isfinite(w).all():
        raise ModelFileError("weights that are NaN or infinite")
    extras = dict(header["extras"])
    extras.update({name: contents[f"extras/{name}.npy"] for name in arrays})
    return SavedModel(net, w, extras)


def _parsed_header(text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ModelFileError("a key twice in 'header.json'")
        return dict(pairs)

    def integer(digits: str) -> int:
        if len(digits) > 400:
            raise ModelFileError(f"an integer of {len(digits)} digits in 'header.json'")
        return int(digits)

    import json

    try:
        header = json.loads(text.decode("ascii"), object_pairs_hook=unique, parse_int=integer)
    except ModelFileError:
        raise
    except (ValueError, RecursionError, MemoryError) as error:
        raise ModelFileError(f"'header.json' is not JSON ({_one_line(error)})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelFileError(f"'header.json' does not say format {FORMAT!r}")
    version = header.get("version")
    if type(version) is not int or version != VERSION:
        newer = type(version) is int and version > VERSION
        raise ModelFileError(
            f"version {_short(version)} of the format where {VERSION} is known"
            + (": update mlpcore" if newer else "")
        )
    return header


def _checked_header(
    header: dict[str, Any],
) -> tuple[list[int], np.dtype[Any], dict[str, tuple[np.dtype[Any], tuple[int, ...]]]]:
    """Layers, dtype, and the dtype and shape of each array among the extras."""
    keys = {"format", "version", "layers", "hidden", "output", "dtype", "extras", "arrays"}
    if header.keys() != keys:
        raise ModelFileError(
            f"keys {_short(sorted(header))} in the header, expected {sorted(keys)}"
        )
    layers = header["layers"]
    if not _is_shape(layers) or len(layers) < 2 or 0 in layers:
        raise ModelFileError(f"layers {_short(layers)}: expected two or more positive integers")
    hidden = header["hidden"]
    if not isinstance(hidden, list) or not all(isinstance(name, str) for name in hidden):
        raise ModelFileError(f"hidden {_short(hidden)}: expected a list of names")
    if len(hidden) != len(layers) - 2:
        raise ModelFileError(f"{len(hidden)} activations for {len(layers) - 2} hidden layers")
    if not isinstance(header["output"], str):
        raise ModelFileError(f"output {_short(header['output'])}: expected a name")
    if header["dtype"] not in ("float64", "float32"):
        raise ModelFileError(f"dtype {_short(header['dtype'])}: expected float64 or float32")
    if not isinstance(header["extras"], dict) or not isinstance(header["arrays"], dict):
        raise ModelFileError("extras and arrays: expected objects")
    arrays = {}
    for name, array in header["arrays"].items():
        if (
            not name.isidentifier()
            or name in header["extras"]
            or not isinstance(array, dict)
            or array.keys() != {"dtype", "shape"}
            or not isinstance(array["dtype"], str)
            or not _ARRAY_DTYPE.fullmatch(array["dtype"])
            or not _is_shape(array["shape"])
        ):
            raise ModelFileError(f"array {_short(name)}: {_short(array)} is no dtype and shape")
        kind = np.dtype(array["dtype"])
        if kind.itemsize == 0:
            raise ModelFileError(f"array {_short(name)}: a dtype of no bytes")
        arrays[name] = (kind, tuple(array["shape"]))
    return layers, np.dtype(header["dtype"]), arrays


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, list)
        and len(shape) <= 10_000
        and all(type(n) is int and 0 <= n < 2**62 for n in shape)
    )


def _network(layers: list[int], hidden: list[str], output: str, dtype: str) -> Network:
    try:
        return Network(tuple(layers), hidden=tuple(hidden), output=output, dtype=dtype)
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise ModelFileError(f"no such network: {_one_line(error)}") from error


def _array(name: str, content: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The array of a ``.npy`` whose own header must say what is expected already."""
    expected = io.BytesIO()
    _write_npy_header(expected, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    # Compared, not parsed. NumPy's versions differ only in how many blanks follow.
    start = len(_NPY_MAGIC) + 2
    end = start + int.from_bytes(content[len(_NPY_MAGIC) : start], "little")
    if content[: len(_NPY_MAGIC)] != _NPY_MAGIC or (
        content[start:end].rstrip(b" \n") != expected.getvalue()[start:].rstrip(b" \n")
    ):
        raise ModelFileError(f"member {name!r} is not the array that the header announces")
    data = content[end:]
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ModelFileError(f"member {name!r} has {len(data)} bytes for shape {shape}")
    array: NDArray[Any] = np.frombuffer(data, dtype).reshape(shape).copy()
    if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise ModelFileError(f"member {name!r} has booleans that are neither true nor false")
    if dtype.kind == "U":
        codes = np.frombuffer(data, np.dtype(f"{dtype.str[0]}u4"))
        if (codes > 0x10FFFF).any():
            raise ModelFileError(f"member {name!r} has characters that do not exist")
    return array


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
