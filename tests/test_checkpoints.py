"""Checkpoints: a run that was broken off, by whatever, becomes to the bit what it would have."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from cases import assert_same_bits

import mlpcore
from mlpcore.regularizers import ARD, L1, LayerDecay, Regularizer, WeightDecay, description
from mlpcore.schedules import Cosine, OneCycle, Plateau

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((41, 2))
T = np.sin(2 * X[:, :1]) + 0.2 * RANDOM.standard_normal((41, 1))
OPTIMIZERS = [
    {"optimizer": "sgd", "batch_size": 7, "nesterov": True, "schedule": Plateau(2)},
    {"optimizer": "adam", "batch_size": 7, "schedule": OneCycle(), "clip_norm": 0.1},
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"optimizer": "rprop"},
    *({"optimizer": m} for m in ("lm", "scg", "cg", "newton-cg", "bfgs", "lbfgs", "gd")),
]


class Stop(Exception):
    pass


def run(dtype, epochs=25, copies=1, **options):
    net = mlpcore.Network((2, 6, 1), dtype=dtype)
    return mlpcore.train(
        net,
        net.init(0),
        np.tile(X[:30], (copies, 1)),
        np.tile(T[:30], (copies, 1)),
        X[30:],
        T[30:],
        epochs=epochs,
        seed=9,
        regularizer=L1(0.01),
        **options,
    )


def assert_same(result, expected):
    assert_same_bits(result.w, expected.w)
    assert result.history.keys() == expected.history.keys()
    for name, curve in expected.history.items():
        assert_same_bits(result.history[name], curve)
    assert (result.stopped, result.best_epoch) == (expected.stopped, expected.best_epoch)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", OPTIMIZERS, ids=lambda o: o["optimizer"])
def test_a_run_that_is_taken_up(options, dtype, tmp_path):
    expected = run(dtype, **options)
    for broken_off in (1, 2, 13):
        file = tmp_path / f"{broken_off}.mlp"
        state = {"checkpoint": file, "checkpoint_seconds": 0, "resume": True}

        def stop(epoch, *_, last=broken_off):
            if epoch == last:
                raise Stop

        with pytest.raises(Stop):
            run(dtype, callback=stop, **state, **options)
        assert file.exists()
        assert_same(run(dtype, **state, **options), expected)
        assert_same(run(dtype, **state, **options), expected)  # nothing left to do
        saved = mlpcore.load(file)
        assert_same_bits(saved.w, expected.w)


@pytest.mark.parametrize("optimizer", [o["optimizer"] for o in OPTIMIZERS[4:]])
def test_steps_in_scaled_weights(optimizer, tmp_path):
    """For targets this large; a state in other weights than those of today is refused."""
    net, file = mlpcore.Network((2, 6, 1)), tmp_path / "a"
    options = {"net": net, "w": net.init(0), "X": X, "T": 1e4 * T, "optimizer": optimizer}
    state = {"checkpoint": file, "resume": True, **options}
    mlpcore.train(epochs=7, **state)
    saved = mlpcore.load(file)
    assert_same(mlpcore.train(epochs=15, **state), mlpcore.train(epochs=15, **options))
    assert saved.extras["number_weight_scale"] == 2.0**-13
    others = dict(saved.extras) | {"number_weight_scale": np.array([2.0**-12])}
    mlpcore.save(file, saved.net, saved.w, **others)
    words = "the checkpoint has weight_scale 0.000244141, expected 0.00012207"
    with pytest.raises(ValueError, match=words):
        mlpcore.train(epochs=15, **state)


def test_more_epochs(tmp_path):
    """Of a run that was finished: those that a longer one would have had."""
    state = {"checkpoint": tmp_path / "a", "resume": True, "optimizer": "adam", "batch_size": 4}
    run("float64", 10, **state)
    state["checkpoint_seconds"] = 1000
    assert_same(run("float64", 20, **state), run("float64", 20, optimizer="adam", batch_size=4))


def diverging():
    """A metric that is no longer a number at epoch 7."""
    values = iter([*range(9, 2, -1), np.nan])
    return lambda Y, T: next(values)


@pytest.mark.parametrize("seconds", [0, 1000])
@pytest.mark.parametrize("how", ["patience", "callback", "diverged"])
@pytest.mark.parametrize("options", OPTIMIZERS, ids=lambda o: o["optimizer"])
def test_a_run_that_had_ended_is_over(options, how, seconds, tmp_path):
    ending = {
        "patience": lambda: {"patience": 4, "min_delta": 0.05},
        "callback": lambda: {"callback": lambda epoch, *_: epoch == 5},
        "diverged": lambda: {"metric": diverging()},
    }[how]
    state = {"checkpoint": tmp_path / "a", "checkpoint_seconds": seconds, "resume": True}
    expected = run("float64", 60, **ending(), **state, **options)
    assert expected.stopped == how
    assert 0 < expected.n_epochs < 60
    kept = (tmp_path / "a").read_bytes()
    spread = isinstance(options.get("schedule"), OneCycle)
    for epochs in (60, 60 if spread else 90):
        again = run("float64", epochs, **ending(), **state, **options)
        assert_same(again, expected)
        assert again.message == expected.message
    assert (tmp_path / "a").read_bytes() == kept


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", OPTIMIZERS[4:], ids=lambda o: o["optimizer"])
def test_a_run_that_had_converged_is_over(options, dtype, tmp_path):
    """By the gradient, or because the method finds nothing lower."""
    net = mlpcore.Network((2, 1), dtype=dtype)
    arguments = {"net": net, "w": net.init(0), "X": X, "T": T, **options}
    state = {"checkpoint": tmp_path / "a", "checkpoint_seconds": 1000, "resume": True}
    expected = mlpcore.train(**arguments, epochs=10**4, **state)
    assert expected.stopped == "converged"
    for epochs in (10**4, 10**5):
        assert_same(mlpcore.train(**arguments, epochs=epochs, **state), expected)
    # Nor does it matter that the epochs were just used up.
    n = expected.n_epochs
    state["checkpoint"] = tmp_path / "b"
    mlpcore.train(**arguments, epochs=n, **state)
    assert_same(mlpcore.train(**arguments, epochs=n + 9, **state), expected)


def test_what_a_raising_callback_ended_goes_on(tmp_path):
    """It is not over, though patience would have ended it at a later epoch."""

    def fail(epoch, *_):
        if epoch == 2:
            raise Stop

    options = {"optimizer": "adam", "patience": 4, "min_delta": 0.05}
    state = {"checkpoint": tmp_path / "a", "resume": True}
    with pytest.raises(Stop):
        run("float64", 60, callback=fail, **options, **state)
    assert_same(run("float64", 60, **options, **state), run("float64", 60, **options))


ENDINGS = {
    "patience": {"patience": 3, "min_delta": 0.02, "epochs": 60},
    "converged": {"X_val": None, "T_val": None, "weight_decay": 0.1, "epochs": 10**4},
    "epochs": {"epochs": 7},
}


def broken_off_at(epochs, how):
    """A callback that raises at these epochs, the one after the other."""
    left = list(epochs)

    def callback(epoch, *_):
        if left and epoch == left[0]:
            left.pop(0)
            raise how

    return callback


@pytest.mark.parametrize("name", ["callback", "on_best"])
@pytest.mark.parametrize("how", [KeyboardInterrupt, Stop])
@pytest.mark.parametrize(
    ("options", "ending"),
    [
        pytest.param(options, ending, id=f"{options['optimizer']}-{ending}")
        for options in OPTIMIZERS
        for ending in ENDINGS
        if ending != "converged" or options in OPTIMIZERS[4:]  # none of first order says so
    ],
)
def test_a_run_that_is_broken_off_wherever_it_may_be(options, ending, how, name, tmp_path):
    """Also in the epoch that ends it by a rule of its own: it does not run past its end."""
    net = mlpcore.Network((2, 1) if ending == "converged" else (2, 3, 1))
    arguments = {"net": net, "w": net.init(0), "X": X[:30], "T": T[:30], "seed": 9, **options}
    arguments |= {"X_val": X[30:], "T_val": T[30:], **ENDINGS[ending]}
    best = []
    expected = mlpcore.train(**arguments, on_best=lambda epoch, w: best.append(epoch))
    assert expected.stopped == ending
    last = expected.n_epochs
    where = best if name == "on_best" else range(last + 1)
    drawn = np.sort(np.random.default_rng(last).choice(where, min(3, len(where)), replace=False))
    for breaks in ([where[-1]], drawn.tolist()):
        state = {"checkpoint": tmp_path / f"{len(breaks)}", "resume": True, **arguments}
        state[name] = broken_off_at(breaks, how)
        for epoch in breaks:
            if how is Stop:
                with pytest.raises(Stop):
                    mlpcore.train(**state)
            else:
                result = mlpcore.train(**state)
                assert (result.stopped, result.n_epochs) == ("interrupted", epoch)
        result = mlpcore.train(**state)
        assert_same(result, expected)
        assert result.message == expected.message


@pytest.mark.parametrize("ending", ["patience", "epochs"])
def test_what_a_callback_says_in_the_last_epoch_counts(ending, tmp_path):
    options = {"optimizer": "adam", **ENDINGS[ending]}
    whole = run("float64", **options)
    assert whole.stopped == ending
    state = {"checkpoint": tmp_path / "a", "resume": True, **options}
    said = run("float64", callback=lambda epoch, *_: epoch == whole.n_epochs, **state)
    assert (said.stopped, said.n_epochs) == ("callback", whole.n_epochs)
    assert_same(run("float64", **state), said)


def test_ctrl_c_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    """It is tried once more, so that the epochs since the last one are not lost."""
    calls = []

    def write(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return written(*arguments)

    written = mlpcore.training.write_checkpoint
    monkeypatch.setattr(mlpcore.training, "write_checkpoint", write)
    state = {"checkpoint": tmp_path / "a", "checkpoint_seconds": 0, "resume": True}
    assert run("float64", **state).stopped == "interrupted"
    assert mlpcore.load(tmp_path / "a").extras["number_training_error"].size == 5
    assert_same(run("float64", **state), run("float64"))


SCRIPT = """
import sys, time
sys.path[:0] = {path!r}
import test_checkpoints
test_checkpoints.run(
    "float64", 10**9, optimizer="adam", batch_size=5, checkpoint={file!r}, checkpoint_seconds=0,
    callback=lambda epoch, *_: epoch == 3 and print("going", flush=True),
)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_after_kill_9(tmp_path):
    file = tmp_path / "run.mlp"
    script = SCRIPT.format(path=[os.path.dirname(__file__), *sys.path], file=str(file))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"going\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    options = {"optimizer": "adam", "batch_size": 5}
    done = len(mlpcore.load(file).extras["number_training_error"]) - 1
    epochs = done + 5
    result = run("float64", epochs, checkpoint=file, resume=True, **options)
    assert_same(result, run("float64", epochs, **options))


def test_ctrl_c(tmp_path):
    """What a KeyboardInterrupt ends can be taken up as well."""

    def interrupt(epoch, *_):
        if epoch == 4:
            raise KeyboardInterrupt

    state = {"checkpoint": tmp_path / "a", "resume": True, "optimizer": "lbfgs"}
    assert run("float64", callback=interrupt, **state).stopped == "interrupted"
    assert_same(run("float64", **state), run("float64", optimizer="lbfgs"))


@pytest.mark.parametrize(
    "options",
    # Some 170 000 iterations, minutes with so many rows, would take scg to the minimum.
    [{"optimizer": "adam"}, {"batch_size": 7}, {"optimizer": "scg", "copies": 1000}],
    ids=str,
)
def test_ctrl_c_in_the_midst_of_an_epoch(options, tmp_path):
    """A checkpoint is written then, too, though `checkpoint_seconds` are not over."""

    def interrupt(*_):
        raise KeyboardInterrupt

    state = {"checkpoint": tmp_path / "a", "checkpoint_seconds": 1e10, **options}
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1.5)
    try:
        result = run("float64", 10**7, min_delta=0, patience=None, **state)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert result.stopped == "interrupted"
    kept = run("float64", 10**7, callback=lambda *_: True, resume=True, **state)
    assert 1 < kept.n_epochs <= result.n_epochs + 1  # without a checkpoint it would be 1
    assert_same(kept, run("float64", 10**7, callback=lambda e, *_: e == kept.n_epochs, **options))


def test_ctrl_c_within_the_metric_leaves_curves_of_one_length():
    calls = []

    def metric(Y, T):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return sum_of_squares(Y, T)

    result = run("float64", metric=metric)
    assert result.stopped == "interrupted"
    assert {len(curve) for curve in result.history.values()} == {3}
    assert result.n_epochs == 2


def sum_of_squares(Y, T):
    return np.sum((Y - T) ** 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "sgd"}, "has optimizer 'adam', expected 'sgd'"),
        ({"batch_size": 3}, "has batch_size 4, expected 3"),
        ({"learning_rate": 0.5}, "has learning_rate 0.01, expected 0.5"),
        ({"weight_decay": 0.5}, "has weight_decay 0.0, expected 0.5"),
        ({"regularizer": L1(2)}, r"has regularizer .*L1\(strength=0.01"),
        ({"T": T[:30] + 1}, "is of a training on other data"),
        ({"T_val": T[30:] + 1}, "is of a training on other validation data"),
        ({"X_val": None, "T_val": None, "metric": None}, "metric 'a callable', expected None"),
        ({"metric": None}, "has metric 'a callable', expected None"),
        ({"patience": None}, "has patience 20, expected None"),
        ({"patience": 3}, "has patience 20, expected 3"),
        ({"min_delta": 0.1}, "has min_delta 0.0, expected 0.1"),
        ({"seed": 2}, "has seed 1, expected 2"),
        ({"validation_fraction": 0.2}, "has validation_fraction None, expected 0.2"),
        ({"epochs": 2}, "has done 3 epochs, expected no more than the 2 of epochs"),
        ({"net": mlpcore.Network((2, 7, 1))}, r"is of Network\(\(2, 6, 1\)"),
    ],
)
def test_another_run(change, message, tmp_path):
    net = mlpcore.Network((2, 6, 1))
    good = {"net": net, "X": X[:30], "T": T[:30], "optimizer": "adam", "batch_size": 4}
    good |= {"regularizer": L1(0.01), "checkpoint": tmp_path / "a", "epochs": 3, "seed": 1}
    good |= {"X_val": X[30:], "T_val": T[30:], "metric": sum_of_squares, "patience": 20}
    mlpcore.train(w=net.init(0), **good)
    before = (tmp_path / "a").read_bytes()
    with pytest.raises(ValueError, match=message):
        mlpcore.train(
            **{"w": np.zeros(change.get("net", net).n_weights)} | good | change, resume=True
        )
    assert (tmp_path / "a").read_bytes() == before


def test_a_setting_that_the_optimizer_does_not_use_may_differ(tmp_path):
    """A file of the time when `train` took such settings and ignored them can be taken up."""
    state = {"checkpoint": tmp_path / "a", "optimizer": "lbfgs"}
    run("float64", 3, **state)
    saved = mlpcore.load(tmp_path / "a")
    extras = dict(saved.extras)
    extras["checkpoint"] = extras["checkpoint"] | {"learning_rate": 0.003, "momentum": 0.5}
    mlpcore.save(tmp_path / "a", saved.net, saved.w, **extras)
    assert_same(run("float64", 5, resume=True, **state), run("float64", 5, optimizer="lbfgs"))


RAGGED = [[1, 2], [3]]


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["X", "T", "X_val", "T_val", "sample_weight"])
def test_arrays_that_are_none_are_named(name, resume, tmp_path):
    net = mlpcore.Network((2, 3, 1))
    good = {"net": net, "w": net.init(0), "X": X, "T": T, "X_val": X, "T_val": T, "epochs": 1}
    state = {"checkpoint": tmp_path / "a", "resume": resume}
    if resume:
        mlpcore.train(**good, **state)
    for kept in ({}, state):
        with pytest.raises(ValueError, match=f"^{name} is not an array of numbers"):
            mlpcore.train(**good | {name: RAGGED}, **kept)
    with pytest.raises(ValueError, match=r"^X is not an array of numbers"):
        mlpcore.sweep(RAGGED, T, hidden=(1,), starts=1, **state)


def test_the_digest_of_the_data_is_that_of_their_bytes(tmp_path):
    """It stands in files that are there, and must not change."""
    net = mlpcore.Network((2, 3, 1))
    single = {"X": X.astype(np.float32), "T": T.tolist()}
    mlpcore.train(net, net.init(0), **single, epochs=1, seed=0, checkpoint=tmp_path / "a")
    total = hashlib.sha256()
    for array in (single["X"], T):
        total.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes() + b"|")
    total.update(b"|")  # no sample_weight
    settings = mlpcore.load(tmp_path / "a").extras["checkpoint"]
    assert settings["data"] == total.hexdigest()
    assert settings["validation data"] == hashlib.sha256(b"||").hexdigest()


def test_a_table_with_columns_of_objects(tmp_path):
    """pandas' own floats: their digest is of the numbers, not of where in memory these are."""
    pandas = pytest.importorskip("pandas")
    net = mlpcore.Network((2, 3, 1))
    state = {"T": T, "seed": 0, "checkpoint": tmp_path / "a", "resume": True}
    for epochs in (2, 4):
        table = pandas.DataFrame(X).astype("Float64")
        result = mlpcore.train(net, net.init(0), table, epochs=epochs, **state)
    assert_same(result, mlpcore.train(net, net.init(0), X, T, epochs=4, seed=0))


@pytest.mark.parametrize("schedule", [Cosine(), OneCycle()])
def test_epochs_over_which_a_schedule_is_spread(schedule, tmp_path):
    options = {"optimizer": "sgd", "schedule": schedule, "checkpoint": tmp_path / "a"}
    expected = run("float64", 5, **options)
    with pytest.raises(ValueError, match="has epochs 5, expected 6"):
        run("float64", 6, resume=True, **options)
    assert_same(run("float64", 5, resume=True, **options), expected)


def test_the_seed_of_a_run_that_was_given_none(tmp_path):
    net = mlpcore.Network((2, 6, 1))
    options = {"batch_size": 7, "validation_fraction": 0.2, "checkpoint": tmp_path / "a"}
    first = mlpcore.train(net, net.init(0), X, T, epochs=3, **options)
    seed = mlpcore.load(tmp_path / "a").extras["checkpoint"]["seed"]
    longer = mlpcore.train(net, net.init(0), X, T, epochs=9, resume=True, **options)
    np.testing.assert_array_equal(longer.validation_rows, first.validation_rows)
    del options["checkpoint"]
    assert_same(longer, mlpcore.train(net, net.init(0), X, T, epochs=9, seed=seed, **options))


def test_files_that_are_no_checkpoints(tmp_path):
    net = mlpcore.Network((2, 6, 1))
    mlpcore.save(tmp_path / "model", net, net.init(0))
    with pytest.raises(ValueError, match="is a model, but not of a training"):
        run("float64", checkpoint=tmp_path / "model", resume=True)
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(mlpcore.ModelFileError):
        run("float64", checkpoint=tmp_path / "junk", resume=True)
    with pytest.raises(OSError, match="No such file"):
        run("float64", checkpoint=tmp_path / "none" / "a")


@pytest.mark.parametrize("name", ["velocity", "now", "order", "lowest", "stop"])
def test_a_checkpoint_that_is_damaged(name, tmp_path):
    file = tmp_path / "a"
    state = {"checkpoint": file, "optimizer": "sgd", "batch_size": 4}
    run("float64", 3, **state)
    saved = mlpcore.load(file)
    for values in (None, np.zeros(2)):
        extras = {k: v for k, v in saved.extras.items() if k != f"number_{name}"}
        if values is not None:
            extras[f"number_{name}"] = values
        mlpcore.save(file, saved.net, saved.w, **extras)
        with pytest.raises(ValueError, match=f"the checkpoint (lacks|has 2 numbers of) {name}"):
            run("float64", 5, resume=True, **state)


@pytest.mark.parametrize("value", [-1, 1000, np.nan, np.inf, 1e300])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("order", {"optimizer": "sgd", "batch_size": 4}),
        ("first", {"optimizer": "lbfgs"}),
        ("pairs", {"optimizer": "lbfgs"}),
    ],
)
def test_a_checkpoint_with_a_place_that_is_none(name, options, value, tmp_path):
    state = {"checkpoint": tmp_path / "a", **options}
    run("float64", 3, **state)
    saved = mlpcore.load(tmp_path / "a")
    extras = dict(saved.extras)
    extras[f"number_{name}"] = np.full_like(extras[f"number_{name}"], value)
    mlpcore.save(tmp_path / "a", saved.net, saved.w, **extras)
    with pytest.raises(ValueError, match=f"the checkpoint has a damaged {name}"):
        run("float64", 5, resume=True, **state)


def test_the_memory_of_a_regularizer_that_is_not_of_ours(tmp_path):
    class Own(Regularizer):
        def value(self, net, w):
            return float(w @ w)

        def gradient(self, net, w):
            return 2 * w

    net = mlpcore.Network((2, 3, 1))
    options = {"optimizer": "lbfgs", "regularizer": Own(), "checkpoint": tmp_path / "a"}
    mlpcore.train(net, net.init(0), X, T, epochs=4, **options)
    again = mlpcore.train(net, net.init(0), X, T, epochs=9, resume=True, **options)
    whole = mlpcore.train(
        net, net.init(0), X, T, epochs=9, **{k: options[k] for k in ("optimizer", "regularizer")}
    )
    assert_same_bits(again.w, whole.w)


class Towards(Regularizer):
    """1/2 |w - center|^2, and anything else that it may hold."""

    def __init__(self, center, **others):
        self.center, self._calls = center, 0
        for name, value in others.items():
            setattr(self, name, value)

    def __repr__(self):
        return f"Towards({self.center})"  # NumPy abbreviates a long array

    def value(self, net, w):
        self._calls += 1
        return 0.5 * float(np.sum((w - self.center) ** 2))

    def gradient(self, net, w):
        return w - self.center


OWN = """
import sys
sys.path[:0] = {path!r}
import numpy as np, mlpcore, test_checkpoints as here

class Plain(here.Towards):
    __repr__ = object.__repr__  # where in memory it is

net = mlpcore.Network((2, 3, 1))
R = Plain(0.5, parts=here.L1(0.1) + Plain(np.ones(3)), labels={{"b", "a", "c"}}, net=net, by=max)
state = {{"checkpoint": {file!r}, "resume": True, "seed": 0, "regularizer": R}}
print(mlpcore.train(net, net.init(0), here.X, here.T, epochs=int(sys.argv[1]), **state).n_epochs)
"""


def test_a_regularizer_without_a_repr_in_another_process(tmp_path):
    path = [os.path.dirname(__file__), *sys.path]
    script = OWN.format(path=path, file=str(tmp_path / "a"))
    for epochs in ("2", "4"):
        command = [sys.executable, "-c", script, epochs]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stdout == f"{epochs}\n", done.stderr


LONG = np.zeros(2001)
OTHER = LONG.copy()
OTHER[1000] = 1


@dataclasses.dataclass
class Held:
    array: np.ndarray


class Slotted(Towards):
    __slots__ = ("slot",)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Towards(0, held=LONG), Towards(0, held=OTHER)),
        (Towards(0, held=LONG), Towards(0, held=LONG.astype(np.float32))),
        (Towards(0, held=LONG), Towards(0, held=LONG.reshape(3, -1))),
        (Towards(0, held=[LONG]), Towards(0, held=[OTHER])),
        (Towards(0, held={"a": LONG}), Towards(0, held={"a": OTHER})),
        (Towards(0, held=Held(LONG)), Towards(0, held=Held(OTHER))),
        (Towards(0, held=LONG.astype(object)), Towards(0, held=OTHER.astype(object))),
        (L1(1) + Towards(0, held=LONG), L1(1) + Towards(0, held=OTHER)),
        (Towards(0, held=np.sin), Towards(0, held=sum_of_squares)),
        (Towards(0), Slotted(0)),
        (Slotted(0, slot=1), Slotted(0, slot=2)),
        (Towards(0), Towards(0.5)),
    ],
    ids=str,
)
def test_regularizers_that_differ_somewhere(one, other, tmp_path):
    net = mlpcore.Network((2, 3, 1))
    state = {"checkpoint": tmp_path / "a", "resume": True, "seed": 0}
    for epochs in (1, 2):
        mlpcore.train(net, net.init(0), X, T, epochs=epochs, regularizer=one, **state)
    with pytest.raises(ValueError, match=r"has regularizer .*(Towards|Slotted).*, expected "):
        mlpcore.train(net, net.init(0), X, T, epochs=3, regularizer=other, **state)


@pytest.mark.parametrize(
    "R", [L1(0.5), ARD([1, 2]) + L1(1), LayerDecay([1, 2], np.float64(3)), WeightDecay(1)], ids=str
)
def test_the_description_of_a_regularizer_of_ours_is_its_repr(R):
    """It stands in files that are there, and must not change."""
    assert description(R) == repr(R).replace("np.float64(3.0)", "3.0")


def test_only_the_matrix_of_bfgs_counts_when_a_run_is_taken_up(tmp_path):
    """Of 100 000 weights it would take 77 GiB, which lbfgs does not have."""
    net = mlpcore.Network((784, 128, 10), output="softmax")
    data = np.random.default_rng(0).normal(size=(20, 784)), np.arange(20) % 10
    run = {"optimizer": "lbfgs", "checkpoint": tmp_path / "run.npz"}
    mlpcore.train(net, net.init(0), *data, epochs=2, **run)
    assert mlpcore.train(net, net.init(0), *data, epochs=4, resume=True, **run).n_epochs == 4
