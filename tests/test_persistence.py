"""Saving and loading: what goes in comes out, and no file does harm."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlpcore
from mlpcore import checkpoints, persistence
from mlpcore.persistence import ModelFileError, load, save

NETWORKS = [
    ((3, 4, 1), {}),
    ((2, 1), {"output": "sigmoid"}),
    ((3, 5, 4, 2), {"hidden": ("tanh", "softplus"), "output": "softmax"}),
    ((1, 3, 2), {"hidden": "relu", "dtype": "float32"}),
]

EXTRAS = {
    "text": "Beton, Größe \u2603 \ud83d",
    "integer": -(2**70),
    "real": 0.1,
    "infinite": float("inf"),
    "yes": True,
    "nothing": None,
    "nested": {"a": [1, 2.5, "x", None, {"b": []}], "": {}},
    "floats": np.array([[1.0, np.nan], [-np.inf, 2.0]]),
    "swapped": np.arange(3, dtype=">i4"),
    "small": np.array([1, 2], dtype=np.uint8),
    "half": np.array(0.5, dtype=np.float16),
    "booleans": np.array([True, False]),
    "names": np.array(["age", "größe"]),
    "no_names": np.array([], dtype="<U0"),
    "empty": np.zeros((0, 3)),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "reversed": np.arange(5)[::-1],
}


def model(layers=(3, 4, 1), seed=0, **options):
    net = mlpcore.Network(layers, **options)
    return net, net.init(seed=seed)


def same_extras(got, expected):
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(got[name], value)
            if value.dtype.itemsize:
                assert got[name].dtype == value.dtype
        else:
            assert got[name] == value
            assert type(got[name]) is type(value)


@pytest.fixture
def saved(tmp_path):
    """A small file and what is in it."""
    path = tmp_path / "model.npz"
    net, w = model()
    save(path, net, w, scale=np.array([1.0, 2.0]), names=["a", "b"])
    return path, net, w


@pytest.mark.parametrize(("layers", "options"), NETWORKS)
def test_round_trip(tmp_path, layers, options):
    net, w = model(layers, **options)
    path = tmp_path / "model.npz"
    save(path, net, w, **EXTRAS)
    got = load(path)
    assert got.net.layers == net.layers
    assert got.net.hidden == net.hidden
    assert got.net.output == net.output
    assert got.net.dtype == net.dtype
    assert got.w.dtype == net.dtype
    np.testing.assert_array_equal(got.w, w)
    assert got.w.flags.writeable
    same_extras(got.extras, EXTRAS)
    X = np.random.default_rng(1).normal(size=(5, layers[0]))
    np.testing.assert_array_equal(got.net.forward(got.w, X), net.forward(w, X))


def test_exported_by_the_package():
    assert mlpcore.save is save
    assert mlpcore.load is load


@given(
    st.dictionaries(
        st.text("abcxyz_", min_size=1).filter(str.isidentifier).filter(lambda s: s != "w"),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**80), 2**80)
            | st.floats(allow_nan=False)
            | st.text(max_size=5),
            lambda items: (
                st.lists(items, max_size=3)
                | st.dictionaries(st.text(max_size=3), items, max_size=3)
            ),
            max_leaves=8,
        ),
        max_size=4,
    )
)
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_json_extra_comes_back(tmp_path, extras):
    net, w = model()
    save(tmp_path / "m", net, w, **extras)
    same_extras(load(tmp_path / "m").extras, extras)


def test_numpy_scalars_become_pythons(tmp_path):
    net, w = model()
    save(tmp_path / "m", net, w, a=np.int64(3), b=np.float32(0.5), c=np.bool_(True), d=np.str_("x"))
    assert load(tmp_path / "m").extras == {"a": 3, "b": 0.5, "c": True, "d": "x"}


def test_numpy_opens_the_file_too(saved):
    path, _, w = saved
    with np.load(path, allow_pickle=False) as npz:
        np.testing.assert_array_equal(npz["w"], w)
        np.testing.assert_array_equal(npz["extras/scale"], [1.0, 2.0])
        header = json.loads(npz["header.json"])
    assert header["format"] == "mlpcore"
    assert header["version"] == 1
    assert header["layers"] == [3, 4, 1]


def test_same_model_same_bytes(saved, tmp_path):
    path, net, w = saved
    save(tmp_path / "again", net, w, scale=np.array([1.0, 2.0]), names=["a", "b"])
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
def test_exactly_the_path_given(tmp_path, kind):
    net, w = model()
    path = tmp_path / "no suffix"
    save(kind(path), net, w)
    assert [p.name for p in tmp_path.iterdir()] == ["no suffix"]
    np.testing.assert_array_equal(load(kind(path)).w, w)


def test_weights_of_any_layout(tmp_path):
    net, w = model()
    for given_w in (w[::-1].copy()[::-1], w.astype(">f8"), list(w), w.astype(np.longdouble)):
        save(tmp_path / "m", net, given_w)
        got = load(tmp_path / "m").w
        np.testing.assert_array_equal(got, w)
        assert got.dtype == np.float64
        assert got.dtype.isnative
    save(tmp_path / "m", net, w > 0)  # booleans are numbers, as everywhere
    np.testing.assert_array_equal(load(tmp_path / "m").w, (w > 0).astype(float))


# What save refuses, before it writes


class Opaque:
    pass


CYCLE: list = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value",
    [
        Opaque(),
        (1, 2),
        {1, 2},
        b"bytes",
        1j,
        {"a": Opaque()},
        {1: "a"},
        [np.zeros(2)],
        CYCLE,
        1 << 5000,
        np.array([Opaque()]),
        np.array([1j]),
        np.array([b"x"]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.zeros(2, dtype=[("a", "f8")]),
        np.zeros(2, dtype=np.longdouble),
        np.ma.masked_array([1.0, 2.0], mask=[0, 1]),
        np.datetime64("2020-01-01"),
    ],
    ids=lambda value: type(value).__name__ + getattr(getattr(value, "dtype", None), "str", ""),
)
def test_an_extra_of_another_type_is_named(saved, value):
    path, net, w = saved
    before = path.read_bytes()
    with pytest.raises(TypeError, match="extra 'thing'"):
        save(path, net, w, thing=value)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_names_of_extras_are_identifiers(tmp_path):
    net, w = model()
    with pytest.raises(ValueError, match=r"'\.\./x' is not a name"):
        save(tmp_path / "m", net, w, **{"../x": 1})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda w: w[:-1], ValueError, r"w has shape \(20,\), expected \(21,\)"),
        (lambda w: w[np.newaxis], ValueError, r"w has shape \(1, 21\), expected \(21,\)"),
        (lambda w: np.append(w[1:], np.nan), ValueError, r"w is not finite: w\[20\] is nan"),
        (lambda w: np.append(np.inf, w[1:]), ValueError, r"w is not finite: w\[0\] is inf"),
        (lambda w: w + 0j, TypeError, "w has dtype complex128, expected real numbers"),
        (lambda w: w.astype(str), TypeError, "w has dtype <U32, expected real numbers"),
        (lambda w: w.astype(object), TypeError, "w has dtype object, expected real numbers"),
        (lambda w: [list(w), 1.0], (TypeError, ValueError), "w (is not an array|has dtype object)"),
        (lambda w: np.ma.masked_less(w, 0), TypeError, "w is a masked array"),
        (lambda w: np.ma.array(w), TypeError, "w is a masked array"),
    ],
)
def test_wrong_weights(saved, change, error, words):
    path, net, w = saved
    before = path.read_bytes()
    with pytest.raises(error, match=words):
        save(path, net, change(w))
    assert path.read_bytes() == before


def test_weights_that_overflow_in_the_dtype_of_the_network(tmp_path):
    net, w = model(dtype="float32")
    w = w.astype(float)
    w[2] = 1e60
    with pytest.raises(ValueError, match=r"w\[2\] is 1e\+60, which is too large for float32"):
        save(tmp_path / "m", net, w)


def test_wrong_network(tmp_path):
    with pytest.raises(TypeError, match=r"^net is a tuple, expected a mlpcore\.Network$"):
        save(tmp_path / "m", (3, 4, 1), np.zeros(21))


# How it is written


@pytest.mark.parametrize("culprit", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_file_and_no_other(saved, monkeypatch, culprit, error):
    path, net, w = saved

    def fail(*args):
        raise error

    monkeypatch.setattr(persistence.os, culprit, fail)
    with pytest.raises(type(error)):
        save(path, net, 2 * w)
    monkeypatch.undo()
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    np.testing.assert_array_equal(load(path).w, w)


@pytest.mark.skipif(os.name != "posix", reason="kill")
def test_a_killed_save_leaves_a_whole_file(tmp_path):
    path = tmp_path / "model.npz"
    script = (
        "import sys, mlpcore\n"
        "net = mlpcore.Network((100, 300, 1)); w = net.init(seed=0)\n"
        "mlpcore.save(sys.argv[1], net, w); print('go', flush=True)\n"
        "while True: mlpcore.save(sys.argv[1], net, w)\n"
    )
    for pause in (0.0, 0.013, 0.029):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"go\n"
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
        assert load(path).net.layers == (100, 300, 1)


@pytest.mark.skipif(os.name != "posix", reason="kill")
def test_what_a_killed_save_leaves_behind_goes_with_the_next(tmp_path):
    net, w = model()
    script = (
        "import sys, time, mlpcore.persistence\n"
        "with mlpcore.persistence.replacing(sys.argv[1]) as file:\n"
        "    print('go', flush=True); time.sleep(100)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
        for path in (tmp_path / "model", tmp_path / "model", tmp_path / "other")
    ]
    try:
        assert all(process.stdout.readline() == b"go\n" for process in writers)
        assert len(list(tmp_path.iterdir())) == 3
        for process in writers[1:]:
            process.kill()
            process.wait()
        save(tmp_path / "model", net, w)
        # Those of the writer that lives and of the other target are left alone.
        assert len(list(tmp_path.glob(".mlpcore-*.tmp"))) == 2
        save(tmp_path / "other", net, w)
        writers[0].kill()
        writers[0].wait()
        save(tmp_path / "model", net, w)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "other"]
    finally:
        for process in writers:
            process.kill()
            process.wait()
            process.stdout.close()


def test_where_there_are_no_locks_what_is_old_has_been_left_behind(tmp_path, monkeypatch):
    net, w = model()
    monkeypatch.setattr(persistence, "_lock", lambda descriptor, wait: None)
    for name, age in (("0" * 16, 3600), ("1" * 16, 48 * 3600)):
        file = Path(f"{tmp_path}/{persistence._prefix('model')}{name}.tmp")
        file.touch()
        os.utime(file, (time.time() - age,) * 2)
    save(tmp_path / "model", net, w)
    assert [p.name[-20:] for p in tmp_path.glob(".*")] == ["0" * 16 + ".tmp"]


@pytest.mark.skipif(os.name != "posix", reason="an open file is removed")
def test_a_temporary_file_that_was_taken_for_one_left_behind(tmp_path, monkeypatch):
    """Between its making and its locking: there is another then."""
    net, w = model()
    taken = []

    def lock(descriptor, wait):
        if not taken:
            taken.extend(tmp_path.iterdir())
            os.unlink(taken[0])
        return True

    monkeypatch.setattr(persistence, "_lock", lock)
    save(tmp_path / "model", net, w)
    assert len(taken) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_permissions_are_those_of_a_normal_file(tmp_path):
    net, w = model()
    old = os.umask(0o027)
    try:
        save(tmp_path / "m", net, w)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o640
    (tmp_path / "m").chmod(0o604)
    save(tmp_path / "m", net, w)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o604


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_link_stays_a_link(tmp_path):
    net, w = model()
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link.npz"
    link.symlink_to(Path("folder", "model.npz"))
    for _ in range(2):  # dangling, then not
        save(link, net, w)
        assert link.is_symlink()
        assert [p.name for p in (tmp_path / "folder").iterdir()] == ["model.npz"]
        np.testing.assert_array_equal(load(link).w, w)


@pytest.mark.skipif(os.name != "posix", reason="devices")
def test_no_device_or_folder_is_replaced(tmp_path):
    net, w = model()
    with pytest.raises(IsADirectoryError):
        save(tmp_path, net, w)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="not a regular file"):
        save(tmp_path / "fifo", net, w)
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_a_missing_folder_is_named(tmp_path):
    net, w = model()
    with pytest.raises(FileNotFoundError) as caught:
        save(tmp_path / "nowhere" / "m", net, w)
    assert caught.value.filename == os.path.realpath(tmp_path / "nowhere")
    assert "tmp" not in Path(caught.value.filename).name
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", ["save", "load", "train", "resume"])
def test_what_is_no_path(call):
    net, w = model()
    X, T = np.zeros((4, 3)), np.zeros((4, 1))
    calls = {
        "save": lambda path: save(path, net, w),
        "load": load,
        "train": lambda path: mlpcore.train(net, w, X, T, epochs=1, checkpoint=path),
        "resume": lambda path: checkpoints.read_checkpoint(path, net, {}),
    }
    name = "path" if call in ("save", "load") else "checkpoint"
    for path in (5, 1.5, [], net):
        with pytest.raises(
            TypeError, match=rf"^{name} is .*, expected a path \(str or os.PathLike"
        ):
            calls[call](path)
    with pytest.raises(ValueError, match=rf"^{name} is 'a\\x00b', expected a path without a null"):
        calls[call]("a\0b")


def test_a_path_of_bytes(tmp_path):
    """As open takes it, and everywhere."""
    path = os.fsencode(tmp_path / "größe.npz")
    net, w = model()
    save(path, net, w)
    np.testing.assert_array_equal(load(path).w, w)
    X = np.random.default_rng(0).normal(size=(9, 3))
    options = {"checkpoint": path, "seed": 0}
    mlpcore.train(net, w, X, X[:, :1], epochs=1, **options)
    again = mlpcore.train(net, w, X, X[:, :1], epochs=2, resume=True, **options)
    np.testing.assert_array_equal(again.w, mlpcore.train(net, w, X, X[:, :1], epochs=2, seed=0).w)
    with pytest.raises(ValueError, match=r"^checkpoint /.*größe.npz is of a training on other"):
        mlpcore.train(net, w, X + 1, X[:, :1], epochs=2, resume=True, **options)


# What load refuses


def rewrite(path, change_header=None, members=None, remove=(), **zip_options):
    """Write the file at ``path`` again with another header or other members."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    if change_header is not None:
        header = json.loads(contents["header.json"])
        contents["header.json"] = json.dumps(change_header(header)).encode()
    contents.update(members or {})
    with zipfile.ZipFile(path, "w", **zip_options) as archive:
        for name, content in contents.items():
            if name not in remove:
                archive.writestr(name, content)


def npy(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), **options)
    return buffer.getvalue()


def test_rewrite_itself_does_no_harm(saved):
    path, _, w = saved
    rewrite(path, change_header=lambda header: header)
    np.testing.assert_array_equal(load(path).w, w)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz")
    with pytest.raises(IsADirectoryError if os.name == "posix" else OSError):
        load(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="devices")
@pytest.mark.timeout(30)  # as opened they would block or never end
def test_no_pipe_or_device_is_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for path in (tmp_path / "fifo", tmp_path / "link", "/dev/zero", "/dev/null"):
        with pytest.raises(ModelFileError, match=f"^{path}: not a regular file$"):
            load(path)


def test_every_truncation(saved):
    path, _, _ = saved
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError, match=r"model\.npz: "):
            load(path)


def test_every_flipped_bit_is_noticed_or_harmless(saved):
    path, net, w = saved
    data = path.read_bytes()
    harmless = 0
    for i in range(len(data)):
        for bit in (0x01, 0x08, 0x80):
            path.write_bytes(data[:i] + bytes([data[i] ^ bit]) + data[i + 1 :])
            try:
                got = load(path)
            except ModelFileError:
                continue
            harmless += 1  # a date, a permission of the archive
            np.testing.assert_array_equal(got.w, w)
            assert got.net.layers == net.layers
            np.testing.assert_array_equal(got.extras["scale"], [1.0, 2.0])
    assert harmless < 3 * len(data) / 4


@given(st.binary(max_size=300))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_noise(tmp_path, data):
    (tmp_path / "noise").write_bytes(data)
    with pytest.raises(ModelFileError):
        load(tmp_path / "noise")


def changed(**values):
    return lambda header: {**header, **values}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed(format="other"), "does not say format 'mlpcore'"),
        (lambda header: [header], "does not say format 'mlpcore'"),
        (changed(version=2), "version 2 .* where 1 is known: update mlpcore"),
        (changed(version=0), "version 0 "),
        (changed(version=True), "version True"),
        (changed(version="1"), "version '1'"),
        (changed(more=1), "keys"),
        (lambda header: {k: v for k, v in header.items() if k != "hidden"}, "keys"),
        (changed(layers="3-4-1"), "layers"),
        (changed(layers=[3]), "layers"),
        (changed(layers=[3, 0, 1]), "layers"),
        (changed(layers=[3, -4, 1]), "layers"),
        (changed(layers=[3, 4.0, 1]), "layers"),
        (changed(layers=[3, True, 1]), "layers"),
        (changed(layers=[3, 10**9, 1]), "does not fit"),
        (changed(layers=[2**61, 2**61, 1]), "does not fit"),
        (changed(layers=[10**300, 4, 1]), "layers"),
        (changed(layers=[4, 3, 1]), "has .* for shape|does not fit|not the array"),
        (changed(hidden="tanh"), "hidden"),
        (changed(hidden=["tanh", "tanh"]), "2 activations for 1 hidden"),
        (changed(hidden=["os.system"]), "no such network"),
        (changed(output="__import__"), "no such network"),
        (changed(output=3), "output"),
        (changed(dtype="object"), "dtype"),
        (changed(dtype="float32"), "not the array|does not fit|has .* for shape"),
        (changed(extras=[]), "extras and arrays"),
        (changed(extras={"scale": 1}), "array 'scale'"),
        (changed(arrays={"scale": {"dtype": "|O", "shape": [2]}}), "array 'scale'"),
        (changed(arrays={"scale": {"dtype": "<f8", "shape": [-2]}}), "array 'scale'"),
        (changed(arrays={"scale": {"dtype": "<f8", "shape": [3]}}), "not the array|does not fit"),
        (changed(arrays={"scale": {"dtype": "<f8", "shape": [2**60, 2**60]}}), "does not fit"),
        (changed(arrays={"scale": {"dtype": "<U0", "shape": [2]}}), "array 'scale'"),
        (changed(arrays={"../x": {"dtype": "<f8", "shape": [2]}}), "array '../x'"),
        (changed(arrays={}), "unexpected member 'extras/scale.npy'"),
    ],
)
def test_hostile_headers(saved, change, words):
    path, _, _ = saved
    rewrite(path, change_header=change)
    with pytest.raises(ModelFileError, match=words):
        load(path)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"\x80\x04N.",
        b"[" * 200_000,
        b'{"version": ' + b"1" * 10_000 + b"}",
        b'{"format": "mlpcore", "format": "mlpcore"}',
    ],
    ids=["empty", "cut", "binary", "pickle", "deep", "long integer", "key twice"],
)
def test_headers_that_are_no_json(saved, text):
    path, _, _ = saved
    rewrite(path, members={"header.json": text})
    with pytest.raises(ModelFileError, match=r"header\.json"):
        load(path)


@pytest.mark.parametrize(
    ("w", "words"),
    [
        (np.zeros(20), "does not fit|not the array"),
        (np.zeros((21, 1)), "not the array"),
        (np.zeros(21, dtype=">f8"), "not the array"),
        (np.zeros(21, dtype="<i8"), "not the array"),
        (np.full(21, np.nan), "NaN or infinite"),
        (np.full(21, -np.inf), "NaN or infinite"),
    ],
)
def test_wrong_weights_in_the_file(saved, w, words):
    path, _, _ = saved
    rewrite(path, members={"w.npy": npy(w)})
    with pytest.raises(ModelFileError, match=words):
        load(path)


@pytest.mark.parametrize("member", ["header.json", "w.npy", "extras/scale.npy"])
def test_missing_members(saved, member):
    path, _, _ = saved
    rewrite(path, remove=[member])
    with pytest.raises(ModelFileError, match=f"no member '{member}'"):
        load(path)


def test_members_twice_and_too_many(saved):
    path, _, _ = saved
    data = path.read_bytes()
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("w.npy", npy(np.ones(21)))
    with pytest.raises(ModelFileError, match=r"member 'w\.npy' twice"):
        load(path)
    path.write_bytes(data)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../evil.py", "print('no')")
    with pytest.raises(ModelFileError, match="unexpected member"):
        load(path)


def test_an_archive_of_numpy_and_one_of_something_else(tmp_path):
    np.savez(tmp_path / "other.npz", w=np.zeros(21))
    with pytest.raises(ModelFileError, match=r"no member 'header\.json'"):
        load(tmp_path / "other.npz")


def test_a_bomb_is_not_unpacked(saved):
    path, _, _ = saved
    rewrite(path, members={"w.npy": bytes(50_000_000)}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    with pytest.raises(ModelFileError, match="is compressed"):
        load(path)


def test_sizes_beyond_the_file_are_not_believed(saved):
    """A directory that announces 800 MB for w, and a header that agrees."""
    path, _, _ = saved
    rewrite(path, change_header=changed(layers=[99_999_999, 1], hidden=[]))
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"w.npy"))
    data[entry + 20 : entry + 28] = (800_000_128).to_bytes(4, "little") * 2
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"announces 8.* bytes in a file of"):
        load(path)


class Evil:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (os.mkdir, (self.file,))


@pytest.mark.parametrize("member", ["w.npy", "header.json", "extras/scale.npy"])
def test_a_pickle_is_not_run(saved, tmp_path, member):
    path, _, _ = saved
    trap = str(tmp_path / "trap")
    array = np.empty(21, dtype=object)
    array[:] = [Evil(trap)] * 21
    rewrite(path, members={member: npy(array, allow_pickle=True)})
    with pytest.raises(ModelFileError):
        load(path)
    path.write_bytes(pickle.dumps(Evil(trap)))
    with pytest.raises(ModelFileError):
        load(path)
    assert not os.path.exists(trap)


def test_an_npy_header_is_compared_not_run(saved):
    path, _, _ = saved
    good = npy(np.zeros(21))
    bad = good.replace(b"'descr'", b"'desc' ")
    assert bad != good
    rewrite(path, members={"w.npy": bad})
    with pytest.raises(ModelFileError, match="not the array"):
        load(path)


@pytest.mark.parametrize(
    ("array", "raw"), [(np.array(["ab"]), b"\xff\xff\xff\x7f" * 2), (np.array([True]), b"\x02")]
)
def test_values_that_the_dtype_does_not_have(tmp_path, array, raw):
    net, w = model()
    path = tmp_path / "m"
    save(path, net, w, x=array)
    content = npy(array)
    rewrite(path, members={"extras/x.npy": content[: -len(raw)] + raw})
    with pytest.raises(ModelFileError, match=r"extras/x\.npy"):
        load(path)
