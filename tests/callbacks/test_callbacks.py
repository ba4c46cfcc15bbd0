"""Callbacks: those that watch the logs against Keras on the same logs; the others, and the display, in real runs."""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

import cornu
from cornu import callbacks, layers
from cornu.base.config import backend_scope
from cornu.base.errors import ArgumentError, NonFiniteError
from tests.backends import TRAINING

X = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


MODELS: dict[str, cornu.Model] = {}


@pytest.fixture(params=TRAINING)
def trained(request: pytest.FixtureRequest) -> Iterator[cornu.Model]:
    """A compiled model of each backend that trains, and that backend in force."""
    with backend_scope(request.param):
        if request.param not in MODELS:
            model = MODELS[request.param] = cornu.Sequential([cornu.Input((2,)), layers.Dense(1)])
            model.compile(cornu.optimizers.SGD(0.01), "mse", metrics=["mae"])
        yield MODELS[request.param]


class Stand:
    """What a callback needs of a model."""

    metrics = ()
    metrics_names = ()
    stop_training = False

    def __init__(self):
        self.optimizer = type("Optimizer", (), {"learning_rate": 1.0})()
        self.epoch = -1
        self.set_to = None

    def get_weights(self):
        return self.epoch

    def set_weights(self, weights):
        self.set_to = weights


def told(callback, values, name="val_loss"):
    """(epoch of the stop, learning rates, restored weights) of a callback that is told these values."""
    model = Stand()
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for model.epoch, value in enumerate(values):
        callback.on_epoch_begin(model.epoch)
        callback.on_epoch_end(model.epoch, {name: value})
        rates.append(round(float(np.asarray(model.optimizer.learning_rate)), 9))
        if model.stop_training:
            break
    callback.on_train_end()
    return model.epoch, rates, model.set_to


DOWN_AND_UP = [1.0, 0.8, 0.9, 0.79, 0.85, 0.9, 0.95, 0.5, 0.6, 0.7, 0.8, 0.9]
FLAT = [1.0] * 8


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patience": 2},
        {"patience": 2, "restore_best_weights": True},
        {"patience": 9, "restore_best_weights": True},
        {"patience": 1, "min_delta": 0.15},
        {"patience": 2, "baseline": 0.7},
        {"patience": 2, "baseline": 0.7, "restore_best_weights": True},
        {"patience": 1, "start_from_epoch": 3},
        {"patience": 2, "mode": "max"},
        {"patience": 0, "mode": "max", "restore_best_weights": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("values", [DOWN_AND_UP, FLAT, DOWN_AND_UP[::-1]], ids=["down and up", "flat", "reversed"])
def test_early_stopping_is_that_of_keras(options, values) -> None:
    ours, theirs = (told(k.callbacks.EarlyStopping(**options), values) for k in (cornu, keras))
    assert ours == theirs


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 1, "factor": 0.5},
        {"patience": 2, "factor": 0.1},
        {"patience": 1, "factor": 0.5, "cooldown": 2},
        {"patience": 1, "factor": 0.5, "min_lr": 0.3},
        {"patience": 1, "factor": 0.5, "min_delta": 0.2},
        {"patience": 2, "factor": 0.5, "mode": "max"},
    ],
    ids=str,
)
@pytest.mark.parametrize("values", [DOWN_AND_UP, FLAT], ids=["down and up", "flat"])
def test_reduce_lr_on_plateau_is_that_of_keras(options, values) -> None:
    ours, theirs = (told(k.callbacks.ReduceLROnPlateau(**options), values) for k in (cornu, keras))
    assert ours == theirs


@pytest.mark.parametrize(("name", "stops"), [("acc", 2), ("val_auc", 2), ("my_loss", 11), ("error", 11)])
def test_the_direction_follows_from_the_name(name: str, stops: int) -> None:
    values = [1.0 - 0.05 * i for i in range(12)]  # better for losses, worse for accuracies
    assert told(callbacks.EarlyStopping(name, patience=2), values, name)[0] == stops


def test_what_is_not_in_the_logs_is_a_warning_with_what_is() -> None:
    with pytest.warns(UserWarning, match=r"monitors 'val_los', which is not in the logs.*Did you mean 'val_loss'"):
        told(callbacks.EarlyStopping("val_los"), [1.0])
    with pytest.warns(UserWarning, match="need validation_data or validation_split"):
        told(callbacks.EarlyStopping(), [1.0], "loss")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: callbacks.EarlyStopping(mode="low"), "mode must be one of 'auto', 'min', 'max'"),
        (lambda: callbacks.ReduceLROnPlateau(factor=1.5), "factor should be a number within \\(0, 1\\)"),
        (lambda: callbacks.ModelCheckpoint("a.txt"), "filepath should end in .keras or"),
        (lambda: callbacks.ModelCheckpoint("a.keras", save_weights_only=True), "should end in .weights.h5"),
        (lambda: callbacks.ModelCheckpoint("a.keras", save_freq=0), "save_freq should be 'epoch' or a positive int"),
        (lambda: callbacks.LearningRateScheduler(0.1), "schedule should be a function"),
        (lambda: callbacks.LambdaCallback(on_epoch_end=1), "on_epoch_end should be a function, got 1"),
        (lambda: callbacks.EarlyStopping(None), "EarlyStopping: monitor should be a name .*, got None"),
        (lambda: callbacks.ReduceLROnPlateau(None), "ReduceLROnPlateau: monitor should be a name .*, got None"),
        (lambda: callbacks.ModelCheckpoint("a.keras", None), "ModelCheckpoint: monitor should be a name .*, got None"),
        (lambda: callbacks.EarlyStopping(patience=-1), "patience should be an int of at least 0, got -1"),
        (lambda: callbacks.EarlyStopping(patience="3"), "patience should be an int of at least 0, got '3'"),
        (lambda: callbacks.EarlyStopping(patience=True), "patience should be an int of at least 0, got True"),
        (lambda: callbacks.EarlyStopping(start_from_epoch=1.5), "start_from_epoch should be an int .*, got 1.5"),
        (lambda: callbacks.EarlyStopping(min_delta="0"), "min_delta should be a number, got '0'"),
        (lambda: callbacks.EarlyStopping(min_delta=float("nan")), "min_delta should be a number, got nan"),
        (lambda: callbacks.ReduceLROnPlateau(patience=2.0), "patience should be an int of at least 0, got 2.0"),
        (lambda: callbacks.ReduceLROnPlateau(cooldown=-1), "cooldown should be an int of at least 0, got -1"),
        (
            lambda: callbacks.ReduceLROnPlateau(min_delta=-0.1),
            "min_delta should be a finite .* at least 0, got -0.1",
        ),
        (lambda: callbacks.ReduceLROnPlateau(min_lr=-1), "min_lr should be a finite number of at least 0, got -1"),
        (lambda: callbacks.ReduceLROnPlateau(factor="0.1"), "factor should be a number within \\(0, 1\\), got '0.1'"),
        (lambda: callbacks.LambdaCallback(on_epoch_ends=print), "no hook 'on_epoch_ends'. Did you mean 'on_epoch_end'"),
    ],
)
def test_wrong_arguments(make, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()


def test_the_smallest_learning_rate_is_not_lowered(trained, capsys: pytest.CaptureFixture[str]) -> None:
    trained.optimizer.learning_rate = 0.1  # above min_lr by its rounding to float32
    lower = callbacks.ReduceLROnPlateau("loss", patience=0, min_lr=0.1, verbose=1, min_delta=1e9)
    trained.fit(X, Y, epochs=3, verbose=0, callbacks=[lower])
    assert capsys.readouterr().out == ""
    trained.optimizer.learning_rate = 0.01


def test_learning_rate_schedulers_of_both_forms(trained) -> None:
    by_both = callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    trained.optimizer.learning_rate = 0.08
    history = trained.fit(X, Y, epochs=3, verbose=0, callbacks=[by_both]).history
    np.testing.assert_allclose(history["learning_rate"], [0.04, 0.02, 0.01], rtol=1e-6)
    np.testing.assert_allclose(history["lr"], history["learning_rate"])
    by_epoch = callbacks.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))
    np.testing.assert_allclose(
        trained.fit(X, Y, epochs=2, verbose=0, callbacks=[by_epoch]).history["lr"], [0.01, 0.005]
    )
    with pytest.raises(ArgumentError, match="should return a number for epoch 0, got None"):
        trained.fit(X, Y, verbose=0, callbacks=[callbacks.LearningRateScheduler(lambda epoch, rate: None)])


def test_checkpoints(trained, tmp_path: Path) -> None:
    trained.optimizer.learning_rate = 0.01
    every = callbacks.ModelCheckpoint(tmp_path / "at-{epoch:02d}-{mae:.1f}.keras")
    best = callbacks.ModelCheckpoint(
        str(tmp_path / "new" / "best.weights.h5"), "loss", save_best_only=True, save_weights_only=True
    )
    steps = callbacks.ModelCheckpoint(tmp_path / "step-{epoch}-{batch}.h5", save_freq=3)
    trained.fit(X, Y, batch_size=2, epochs=2, verbose=0, callbacks=[every, best, steps])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [re.sub(r"\d\.\d", "x", name) for name in names] == [
        "at-01-x.keras",
        "at-02-x.keras",
        "new",
        "step-1-3.h5",
        "step-2-2.h5",
    ]
    again = cornu.models.load_model(tmp_path / names[1])
    np.testing.assert_array_equal(again.get_weights()[0], trained.get_weights()[0])
    assert (tmp_path / "new" / "best.weights.h5").is_file()
    with pytest.raises(ArgumentError, match="names 'nothing', which is not in the logs: loss, mae"):
        trained.fit(X, Y, verbose=0, callbacks=[callbacks.ModelCheckpoint(tmp_path / "{nothing}.keras")])


@pytest.mark.parametrize("name", ["{epoch}.keras", "{epoch}.h5", "{epoch}.safetensors"])
def test_files_hold_what_the_model_was(trained, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are written while training goes on, here after it has ended."""
    ended = threading.Event()
    weights_only = name.endswith(".safetensors")
    method = "save_weights" if weights_only else "save"
    save = getattr(trained, method)
    monkeypatch.setattr(trained, method, lambda path: ended.wait(60) and save(path))
    found = []
    record = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: found.append(trained.get_weights()), on_train_end=lambda logs: ended.set()
    )
    saving = callbacks.ModelCheckpoint(tmp_path / name, save_weights_only=weights_only)
    trained.fit(X, Y, epochs=3, verbose=0, callbacks=[record, saving])
    for i, weights in enumerate(found):
        path = tmp_path / name.format(epoch=i + 1)
        if weights_only:
            trained.load_weights(path)
        again = trained if weights_only else cornu.models.load_model(path)
        for one, other in zip(again.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)


def test_training_goes_on_when_the_disk_is_full(trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, calls = trained.save, []

    def full(path: Path) -> None:
        calls.append(path)
        if len(calls) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(path)

    monkeypatch.setattr(trained, "save", full)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        saving = callbacks.ModelCheckpoint(tmp_path / "at-{epoch}.keras")
        assert len(trained.fit(X, Y, epochs=4, verbose=0, callbacks=[saving]).history["loss"]) == 4
    messages = [str(one.message) for one in told if "could not be written" in str(one.message)]
    assert len(messages) == 2
    assert "(OSError: No space left on device). Training goes on" in messages[0]
    assert messages[1].startswith("2 of 4 files could not be written to")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["at-3.keras", "at-4.keras"]


@contextlib.contextmanager
def slow_save(model: cornu.Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A disk that takes its time."""
    save = model.save
    with monkeypatch.context() as patch:
        patch.setattr(model, "save", lambda path: time.sleep(0.3) or save(path))
        yield


def fail(*args: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore:A file could not be written")
def test_files_are_there_however_fit_ends(trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.keras"
    told = [callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epoch and fail())]
    with slow_save(trained, monkeypatch), pytest.raises(KeyboardInterrupt):
        trained.fit(X, Y, epochs=2, verbose=0, callbacks=[*told, callbacks.ModelCheckpoint(file)])
    assert cornu.models.load_model(file).count_params() == 3

    def full(path: Path) -> None:
        time.sleep(0.3)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trained, "save", full)
    with pytest.warns(UserWarning, match="1 of 1 files could not be written"), pytest.raises(KeyboardInterrupt):
        trained.fit(X, Y, epochs=2, verbose=0, callbacks=[*told, callbacks.ModelCheckpoint(file)])


def test_what_cannot_be_saved_does_not_hide_why_fit_ended(tmp_path: Path) -> None:
    model = cornu.Sequential([cornu.Input((X.shape[1],)), cornu.layers.Lambda(lambda x: x), cornu.layers.Dense(1)])
    model.compile("sgd", "mse")
    told = [
        callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epoch and fail()),
        callbacks.ModelCheckpoint(tmp_path / "m.keras"),
    ]
    warned = pytest.warns(UserWarning, match="ModelCheckpoint could not save the model: A lambda cannot be saved")
    with warned, pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, epochs=2, verbose=0, callbacks=told)


class Saving(callbacks.ModelCheckpoint):
    """One that uses its files itself."""

    def __init__(self, path: Path, use) -> None:
        super().__init__(path)
        self.use = use

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.use(epoch, logs)


@pytest.mark.parametrize("kind", ["functions", "own", "derived"])
def test_callbacks_that_follow_find_the_file(trained, kind: str, tmp_path: Path, monkeypatch) -> None:
    found = []

    class Own(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            found.append((tmp_path / f"{epoch + 1}.keras").is_file())

    saving = callbacks.ModelCheckpoint(path := tmp_path / "{epoch}.keras")
    told = {
        "functions": [saving, callbacks.LambdaCallback(on_epoch_end=Own().on_epoch_end)],
        "own": [saving, callbacks.EarlyStopping("loss"), Own()],
        "derived": [Saving(path, Own().on_epoch_end)],
    }[kind]
    with slow_save(trained, monkeypatch):
        trained.fit(X, Y, epochs=2, verbose=0, callbacks=told)
    assert found == [True, True]


def test_all_callbacks_are_closed_whatever_one_raises(tmp_path: Path) -> None:
    table = callbacks.CSVLogger(tmp_path / "log.csv")
    broken = callbacks.ModelCheckpoint(tmp_path / "m.keras")
    broken._close = fail
    told = callbacks.CallbackList([broken, table])
    told.on_train_begin()
    with pytest.raises(KeyboardInterrupt):
        told.close()
    assert table._file is None
    told.callbacks = []
    told.close()


def test_a_model_that_cannot_be_saved_is_no_matter_of_the_disk(tmp_path: Path) -> None:
    model = cornu.Sequential([cornu.Input((X.shape[1],)), cornu.layers.Lambda(lambda x: x), cornu.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ArgumentError, match="A lambda cannot be saved"):
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[callbacks.ModelCheckpoint(tmp_path / "m.keras")])


def test_a_table_of_the_logs(trained, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    trained.fit(X, Y, epochs=2, verbose=0, callbacks=[callbacks.CSVLogger(file)])
    trained.fit(X, Y, epochs=3, initial_epoch=2, verbose=0, callbacks=[callbacks.CSVLogger(file, append=True)])
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert set(rows[0]) == {"epoch", "loss", "mae"}
    trained.fit(X, Y, verbose=0, callbacks=[callbacks.CSVLogger(file, separator=";")])
    assert file.read_text().splitlines()[0] == "epoch;loss;mae"


def rows_of(file: Path) -> list[list[str]]:
    with file.open(newline="") as lines:
        return list(csv.reader(lines))


def test_a_table_has_columns_for_a_validation_to_come(trained, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    told = [callbacks.ReduceLROnPlateau("loss"), callbacks.CSVLogger(file)]
    trained.fit(X, Y, epochs=3, verbose=0, validation_data=(X, Y), validation_freq=2, callbacks=told)
    header, *rows = rows_of(file)
    assert header == ["epoch", "learning_rate", "loss", "mae", "val_loss", "val_mae"]
    assert [row[4:] == ["NA", "NA"] for row in rows] == [True, False, True]
    trained.fit(X, Y, verbose=0, callbacks=told)
    assert rows_of(file)[0] == header[:4]


def test_a_table_of_what_it_is_told(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    table = callbacks.CSVLogger(file)
    table.on_train_begin()
    table.on_epoch_end(0, {"recall": np.arange(40.0).reshape(20, 2), "name": "a", "loss": np.float32(0.5)})
    table.on_train_end()
    assert file.read_text().count("\n") == 2
    assert rows_of(file)[1][:3] == ["0", "0.5", "a"]
    assert rows_of(file)[1][3].startswith("[[0.0, 1.0], [2.0, 3.0]")


def test_a_table_that_cannot_be_written_is_an_error_before_training(trained, tmp_path: Path) -> None:
    before = trained.get_weights()
    with pytest.raises(ArgumentError, match=r"no/log.csv' cannot be written \(No such file.*Make the folder '/.*/no'"):
        trained.fit(X, Y, verbose=0, callbacks=[callbacks.CSVLogger(tmp_path / "no" / "log.csv")])
    np.testing.assert_array_equal(trained.get_weights()[0], before[0])


def test_a_table_that_goes_on(tmp_path: Path) -> None:
    """Told as `fit` tells it: `set_state` after `on_train_begin`; rows after the checkpoint are written again."""
    file = tmp_path / "log.csv"
    file.write_text("what was there before")
    table = callbacks.CSVLogger(file)
    table.on_train_begin()
    states = [table.get_state()]
    for epoch in range(3):
        table.on_epoch_end(epoch, {"loss": epoch})
        states.append(table.get_state())
    table._close()
    for done, state in enumerate(states):
        again = callbacks.CSVLogger(file)
        again.on_train_begin()
        again.set_state(state)
        again.on_epoch_end(done, {"loss": done})
        again.on_train_end()
        assert rows_of(file) == [["epoch", "loss"], *([str(i), str(i)] for i in range(done + 1))]
    file.unlink()
    again.on_train_begin()
    again.set_state(states[2])
    again.on_epoch_end(2, {"loss": 2})
    again.on_train_end()
    assert rows_of(file) == [["epoch", "loss"], ["2", "2"]]
    more = callbacks.CSVLogger(file, append=True)
    more.on_train_begin()
    begun = more.get_state()
    for _ in range(2):  # again after an end within its first epoch
        more.set_state(begun)
        more.on_epoch_end(3, {"loss": 3})
        more.on_train_end()
        assert rows_of(file) == [["epoch", "loss"], ["2", "2"], ["3", "3"]]
        more.on_train_begin()


@pytest.mark.parametrize("append", [False, True])
def test_a_table_of_a_run_that_goes_on(trained, append: bool, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("epoch,loss,mae\n0,9.0,9.0\n" if append else "what was there before")
    stop = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epoch == 2 and fail())  # after its row
    for told in ([stop], []):
        table = callbacks.CSVLogger(file, append=append)
        with pytest.raises(KeyboardInterrupt) if told else contextlib.nullcontext():
            trained.fit(X, Y, epochs=4, verbose=0, callbacks=[table, *told], checkpoint=tmp_path / "run")
    assert rows_of(file)[0] == ["epoch", "loss", "mae"]
    assert [row[0] for row in rows_of(file)[1:]] == ["0"] * append + ["0", "1", "2", "3"]


@pytest.mark.filterwarnings("ignore:The loss is not finite")
def test_nan_ends_training(trained, capsys: pytest.CaptureFixture[str]) -> None:
    bad = np.full_like(Y, np.nan)
    before = trained.get_weights()
    trained.fit(X, bad, epochs=5, verbose=0, callbacks=[callbacks.TerminateOnNaN()])
    assert trained.stop_training
    assert "Step 1: the loss is nan; training stops." in capsys.readouterr().out
    with pytest.raises(NonFiniteError, match="became nan at step 1"):
        trained.fit(X, bad, verbose=0, callbacks=[callbacks.TerminateOnNaN(raise_error=True)])
    trained.set_weights(before)


class Recorder(callbacks.Callback):
    """Writes down every call."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(("batch", batch, {name: type(value) for name, value in logs.items()}))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("epoch", epoch, sorted(logs)))


def test_every_step_is_told_with_plain_numbers(trained) -> None:
    recorder = Recorder()
    trained.fit(X, Y, batch_size=2, epochs=2, verbose=0, callbacks=[recorder], validation_data=(X, Y))
    logs = {"loss": float, "mae": float}
    epoch = [("batch", i, logs) for i in range(4)]
    names = ["loss", "mae", "val_loss", "val_mae"]
    assert recorder.calls == [*epoch, ("epoch", 0, names), *epoch, ("epoch", 1, names)]


def test_lambda_callbacks(trained) -> None:
    seen = []
    one = callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append("begin"),
        on_epoch_end=lambda epoch, logs: seen.append(epoch),
        on_train_batch_begin=lambda batch, logs: seen.append(f"batch {batch}"),
        on_train_end=lambda logs: seen.append("end"),
    )
    trained.fit(X, Y, batch_size=4, verbose=0, callbacks=one)
    assert seen == ["begin", "batch 0", "batch 1", 0, "end"]


@pytest.mark.parametrize(
    "hook", ["on_train_begin", "on_epoch_begin", "on_train_batch_end", "on_epoch_end", "on_test_end"]
)
def test_an_exception_in_a_callback_leaves_the_model_usable(trained, hook: str) -> None:
    def fail(*args, **kwargs):
        raise ZeroDivisionError(hook)

    with pytest.raises(ZeroDivisionError, match=hook):
        trained.fit(
            X, Y, batch_size=4, verbose=0, callbacks=[callbacks.LambdaCallback(**{hook: fail})], validation_data=(X, Y)
        )
    assert np.isfinite(trained.fit(X, Y, verbose=0).history["loss"][0])
    assert trained.predict(X, verbose=0).shape == (8, 1)


def test_no_epoch_at_all(trained, tmp_path: Path) -> None:
    everything = [
        callbacks.EarlyStopping(restore_best_weights=True),
        callbacks.ReduceLROnPlateau(),
        callbacks.ModelCheckpoint(tmp_path / "m.keras"),
        callbacks.CSVLogger(tmp_path / "log.csv"),
        callbacks.TerminateOnNaN(),
        callbacks.LearningRateScheduler(lambda epoch: 0.1),
        callbacks.ProgbarLogger(),
    ]
    assert trained.fit(X, Y, epochs=0, callbacks=everything).history == {}


def test_the_history_answers_to_old_and_new_names() -> None:
    history = callbacks.History()
    history.set_model(Stand())
    history.on_train_begin()
    history.on_epoch_end(0, {"accuracy": 0.5, "val_accuracy": 0.25, "lr": 1.0})
    record = history.history
    assert record["acc"] == record["accuracy"] == [0.5]
    assert record["val_acc"] == [0.25]
    assert record["learning_rate"] == [1.0]
    with pytest.raises(KeyError, match="recorded: accuracy, val_accuracy, lr"):
        _ = record["auc"]
    for name in ("acc", "accuracy", "val_acc", "val_accuracy", "lr", "learning_rate"):
        assert name in record
        assert record.get(name) == record[name]
    for name in ("auc", "val_", "", "val_lr", 3):
        assert name not in record
        assert record.get(name) is None
        assert record.get(name, 1) == 1
    assert list(record) == ["accuracy", "val_accuracy", "lr"]


# the display


def test_one_line_an_epoch_off_the_terminal(trained, capsys: pytest.CaptureFixture[str]) -> None:
    for verbose in (1, 2):
        trained.fit(X, Y, batch_size=2, epochs=2, verbose=verbose, validation_data=(X, Y))
        lines = [line for line in capsys.readouterr().out.splitlines() if "loss" in line]
        assert len(lines) == 2
        for name in ("4/4", "loss: ", "mae: ", "val_loss: ", "val_mae: ", "/step"):
            assert name in lines[0]
    trained.fit(X, Y, verbose=0)
    trained.evaluate(X, Y, verbose=0)
    assert capsys.readouterr().out == ""


SLOW = """
import time, numpy as np, cornu
class Slow(cornu.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.06)
m = cornu.Sequential([cornu.Input((2,)), cornu.layers.Dense(1, kernel_initializer="zeros")])
m.compile("sgd", "mse", metrics=["mae"])
m.fit(np.ones((24, 2)), np.ones(24), batch_size=2, epochs=2, callbacks=[Slow()])
"""


def in_a_terminal(script: str, columns: int = 200) -> tuple[int, str]:
    """Exit status and output of a script in a terminal so wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2] / "src")
    run = subprocess.Popen([sys.executable, "-c", script], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    data = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # how Linux tells the end of a terminal
            break
        if not part:
            break
        data += part
    os.close(ours)
    return run.wait(60), data.decode()


def test_the_line_is_redrawn_in_a_terminal() -> None:
    status, text = in_a_terminal(SLOW)
    assert status == 0
    assert "Epoch 1/2" in text
    assert "Epoch 2/2" in text
    drawn = text.split("\r\x1b[2K")
    assert len(drawn) > 6  # several times an epoch
    assert re.search(r"\d+/12 .*━.* left, \d+m?s/step - loss: \d\.\d+.* - mae: \d\.\d+", drawn[3])
    assert re.search(r"12/12 .* \d+m?s/step - loss", drawn[-1])
    assert "left" not in drawn[-1]


@pytest.mark.parametrize("columns", [66, 40, 20])
def test_the_line_is_no_wider_than_the_terminal(columns: int) -> None:
    status, text = in_a_terminal(SLOW, columns)
    assert status == 0
    drawn = [re.sub(r"\x1b\[[\d;]+m", "", line) for line in text.split("\r\x1b[2K")[1:]]
    growing = [line for line in drawn if not line.startswith("12/12")]
    assert len(growing) > 4
    assert max(map(len, growing)) == columns - 1  # so much of it as there is room for
    assert any("━" in line for line in growing) == (columns == 66)  # the bar gives way first
    assert all("loss: " in line and "mae: " in line for line in growing) == (columns == 66)
    assert re.search(r"12/12 .*- loss: \d\.\d+.* - mae: \d\.\d+", drawn[-1])  # what stays is whole


def test_a_traceback_begins_on_a_line_of_its_own() -> None:
    status, text = in_a_terminal(SLOW.replace("time.sleep(0.06)", "time.sleep(0.2)\n        if batch == 3: 1 / 0"))
    assert status == 1
    lines = text.replace("\r\n", "\n").splitlines()
    assert any("/12 " in line for line in lines)
    assert "Traceback (most recent call last):" in lines
    assert "ZeroDivisionError: division by zero" in lines
