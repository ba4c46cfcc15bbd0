"""Runs that go on: to the same end, bit for bit, wherever they were broken off and whatever the data are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
import safetensors

import cornu
from cornu import callbacks, layers
from cornu.base.errors import ArgumentError, ShapeError, StateError
from cornu.saving import tensors
from cornu.training import Checkpoint

ROWS, BATCH = 70, 8  # the last batch is smaller
STEPS = -(-ROWS // BATCH)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 4)).astype("float32")
Y = (X.sum(axis=1) > 0).astype("int32")
ROOT = Path(__file__).parents[2]


class Broken(Exception):
    """Ends a run."""


class BreakOff(callbacks.Callback):
    """Raises after so many steps of an epoch, or when its validation begins."""

    def __init__(self, epoch: int, step: int, in_validation: bool = False) -> None:
        super().__init__()
        self.epoch, self.step, self.in_validation = epoch, step, in_validation
        self.now = -1

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if not self.in_validation and (self.now, batch) == (self.epoch, self.step):
            raise Broken

    def on_test_begin(self, logs=None):
        if self.in_validation and self.now == self.epoch:
            raise Broken


class Numbered(cornu.utils.PyDataset):
    """Batches that follow from epoch and index; shuffled by NumPy's own generator after each epoch."""

    def __init__(self):
        super().__init__(workers=2)
        self.order, self.epoch = np.arange(ROWS), 0

    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        rows = self.order[index * BATCH : (index + 1) * BATCH]
        return X[rows] + self.epoch * 0.01, Y[rows]

    def on_epoch_end(self):
        self.epoch += 1
        np.random.shuffle(self.order)


class Drawn:
    """An iterable that draws its rows anew in each epoch, from NumPy's own generator."""

    def __len__(self):
        return STEPS

    def __iter__(self):
        for _ in range(STEPS):
            rows = np.random.randint(0, ROWS, BATCH)
            yield X[rows], Y[rows]


def endless():
    while True:
        rows = np.random.randint(0, ROWS, BATCH)
        yield X[rows], Y[rows]


DATA = {
    "shuffled": lambda: {"x": X, "y": Y, "batch_size": BATCH},
    "batches shuffled": lambda: {"x": X, "y": Y, "batch_size": BATCH, "shuffle": "batch"},
    "more steps than rows": lambda: {"x": X, "y": Y, "batch_size": BATCH, "steps_per_epoch": STEPS + 4},
    "dataset": lambda: {"x": Numbered()},
    "fewer steps than of the dataset": lambda: {"x": Numbered(), "steps_per_epoch": STEPS - 2},
    "iterable": lambda: {"x": Drawn()},
    "more steps than of the iterable": lambda: {"x": Drawn(), "steps_per_epoch": STEPS + 4},
    "fewer steps than of the iterable": lambda: {"x": Drawn(), "steps_per_epoch": STEPS - 2},
    "generator": lambda: {"x": endless(), "steps_per_epoch": STEPS},
}


def make(units=6, optimizer=None):
    model = cornu.Sequential(
        [
            cornu.Input((4,)),
            layers.GaussianNoise(0.1),
            layers.Dense(units, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(2),
        ]
    )
    loss = cornu.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or cornu.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


def watchers():
    return [
        callbacks.EarlyStopping("val_loss", patience=9, restore_best_weights=True),
        callbacks.ReduceLROnPlateau("val_loss", patience=1),
        callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
    ]


def train(data, *more, epochs=4, model=None, **options):
    """A run as a script would do it; the model, and all that came out."""
    cornu.utils.set_random_seed(3)
    model = model or make()
    options = {"validation_data": (X[:16], Y[:16]), "verbose": 0, **options}
    history = model.fit(**DATA[data](), epochs=epochs, callbacks=[*watchers(), *more], **options)
    return model, outcome(model, history)


def outcome(model, history):
    return [history.epoch, dict(history.history)], [v.numpy() for v in (*model.variables, *model.optimizer.variables)]


def same(found, expected):
    assert json.dumps(found[0]) == json.dumps(expected[0])
    for mine, other in zip(found[1], expected[1], strict=True):
        np.testing.assert_array_equal(mine, other)


def names(folder):
    return sorted(path.name for path in folder.glob("run*"))


@pytest.fixture(scope="module")
def undisturbed():
    """What comes out of a run that nobody breaks off, by data and backend; computed once."""
    known = {}

    def get(data):
        key = data, cornu.config.backend()
        if key not in known:
            known[key] = train(data)[1]
        return known[key]

    return get


@pytest.mark.parametrize(
    ("data", "at"),
    [
        ("shuffled", (0, 4)),
        ("shuffled", (2, STEPS - 1)),
        ("shuffled", (1, "validation")),
        ("batches shuffled", (1, 6)),
        ("more steps than rows", (1, 0)),
        ("dataset", (0, 4)),
        ("dataset", (2, 5)),
        ("iterable", (0, 4)),
        ("iterable", (1, 6)),
        ("iterable", (1, "validation")),
        ("generator", (1, 6)),
    ],
)
def test_a_run_goes_on_to_the_same_end(data, at, undisturbed, tmp_path: Path) -> None:
    epoch, step = at
    off = BreakOff(epoch, 0, in_validation=True) if step == "validation" else BreakOff(epoch, step)
    checkpoint = Checkpoint(tmp_path, every_steps=2)
    with pytest.raises(Broken):
        train(data, off, checkpoint=checkpoint)
    assert names(tmp_path)
    same(train(data, checkpoint=checkpoint)[1], undisturbed(data))


@pytest.mark.parametrize("backend", ["torch", "tensorflow"])
@pytest.mark.parametrize("data", ["shuffled", "dataset"])
def test_on_every_backend(backend: str, data, undisturbed, tmp_path: Path) -> None:
    with cornu.config.backend_scope(backend):
        with pytest.raises(Broken):
            train(data, BreakOff(2, 5), checkpoint=Checkpoint(tmp_path, every_steps=2))
        same(train(data, checkpoint=tmp_path)[1], undisturbed(data))


@pytest.mark.parametrize(("backend", "kills"), [("jax", 20), ("torch", 2), ("tensorflow", 2)])
def test_killed_runs_end_as_undisturbed_ones(backend: str, kills: int) -> None:
    script = ROOT / "scripts" / "kill_and_resume.py"
    data = ["dataset", "arrays"] if backend == "jax" else ["dataset"]
    command = [sys.executable, script, "--backend", backend, "--kills", str(kills), "--data", *data]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert f"{kills} kills" in done.stdout, done.stderr[-2000:]
    assert "0 of them not as undisturbed" in done.stdout


def test_a_run_that_ended_is_not_run_again_but_may_become_longer(undisturbed, tmp_path: Path) -> None:
    seen = callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    begun: list[int] = []
    expected = undisturbed("shuffled")
    same(train("shuffled", checkpoint=tmp_path)[1], expected)
    same(train("shuffled", seen, checkpoint=tmp_path)[1], expected)
    assert begun == []
    longer = train("shuffled", seen, epochs=6, checkpoint=tmp_path)[1]
    assert begun == [4, 5]
    same(longer, train("shuffled", epochs=6)[1])


def test_a_run_stopped_early_stays_stopped(tmp_path: Path) -> None:
    stop = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", epoch == 1))
    model = make()
    _, expected = train("shuffled", stop, model=model, checkpoint=tmp_path)
    assert expected[0][0] == [0, 1]
    model = make()
    same(train("shuffled", stop, model=model, checkpoint=tmp_path)[1], expected)


# what is in the files


def test_the_last_few_and_the_best_are_kept(tmp_path: Path) -> None:
    class Scripted(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_score"] = [0.1, 0.9, 0.3, 0.2, 0.4, 0.5][epoch]

    checkpoint = Checkpoint(tmp_path, keep=2, monitor="val_score", mode="max")
    told = callbacks.CallbackList([Scripted(), callbacks.History()], model=(model := make()))
    model.fit(X, Y, epochs=6, verbose=0, callbacks=told, checkpoint=checkpoint)
    assert "run001-epoch00002-step00000000.safetensors" in names(tmp_path)  # the best; epochs are counted as done
    assert names(tmp_path)[-1] == "run001-epoch00006-step00000000.safetensors"
    assert len(names(tmp_path)) <= 3
    assert model.history.history["val_score"][1] == 0.9


def test_weights_are_read_by_their_names(tmp_path: Path) -> None:
    model, _ = train("shuffled", epochs=1, checkpoint=tmp_path)
    file = tmp_path / names(tmp_path)[-1]
    with safetensors.safe_open(file, framework="numpy") as found:
        weights = [name for name in found.keys() if not name.startswith(".state/")]  # noqa: SIM118
        assert sorted(weights)[:2] == ["batch_normalization/beta", "batch_normalization/gamma"]
        assert len(weights) == len(model.weights)
    other = make()
    other.load_weights(file)
    again = cornu.models.load_model(file)
    for made in (other, again):
        for mine, theirs in zip(
            made.get_weights(), tensors.TensorFile(file).stored and model.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(mine, theirs)


def test_names_counted_on_do_not_matter(tmp_path: Path) -> None:
    """The cell of a notebook that is run again makes `dense_7` where `dense_5` was."""
    cornu.utils.set_random_seed(3)
    options = {"epochs": 2, "verbose": 0, "checkpoint": tmp_path}
    first = make().fit(X, Y, **options)
    second = make().fit(X, Y, **options)
    assert second.history == first.history


# another run


def shorter(model, **options):
    return model.fit(X[:-8], Y[:-8], **options)


OTHERS = {
    "units": (lambda: make(units=7), None, r"model.*units: 6 -> 7"),
    "optimizer": (
        lambda: make(optimizer=cornu.optimizers.SGD(0.1)),
        None,
        r"training.*class_name: \"Adam\" -> \"SGD\"",
    ),
    "learning rate": (lambda: make(optimizer=cornu.optimizers.Adam(0.1)), None, r"learning_rate: 0.0\d+ -> 0.1"),
    "rows": (make, shorter, r"data.rows: 70 -> 62"),
    "batch size": (make, lambda m, **o: m.fit(X, Y, batch_size=9, **o), r"data.batch_size: 32 -> 9"),
    "columns": (lambda: cornu.Sequential([layers.Dense(2)]), None, "class_name|units"),
    "order": (make, lambda m, **o: m.fit(X, Y, shuffle=False, **o), r"data.shuffle: true -> false"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_run_is_refused_with_the_difference(name: str, tmp_path: Path) -> None:
    make().fit(X, Y, epochs=1, verbose=0, checkpoint=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other, fit, message = OTHERS[name]
    model = other()
    if not model.compiled:
        model.compile("adam", "mse")
    with pytest.raises(StateError, match=r"of another run; nothing was changed[\s\S]*" + message) as error:
        (fit or (lambda m, **o: m.fit(X, Y, **o)))(model, epochs=1, verbose=0, checkpoint=tmp_path)
    assert "Pass resume=False" in str(error.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make().fit(X, Y, epochs=1, verbose=0, checkpoint=tmp_path)
    monkeypatch.setattr(cornu, "__version__", "9.9")
    with pytest.raises(StateError, match=r'versions.cornu: "[\d.]+" -> "9.9"'):
        make().fit(X, Y, epochs=1, verbose=0, checkpoint=tmp_path)


def test_a_new_beginning_deletes_nothing(tmp_path: Path) -> None:
    make().fit(X, Y, epochs=1, verbose=0, checkpoint=tmp_path)
    before = names(tmp_path)
    model = make(units=7)
    model.fit(X, Y, epochs=2, verbose=0, checkpoint=tmp_path, resume=False)
    assert set(before) < set(names(tmp_path))
    assert names(tmp_path)[-1].startswith("run002-epoch00002")
    again = make(units=7)
    again.fit(X, Y, epochs=2, verbose=0, checkpoint=tmp_path)  # the newest run
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    def second(epoch, logs):
        with pytest.raises(StateError, match="Another run saves its checkpoints to"):
            make().fit(X, Y, verbose=0, checkpoint=tmp_path)

    told = callbacks.LambdaCallback(on_epoch_end=second)
    make().fit(X, Y, epochs=1, verbose=0, callbacks=[told], checkpoint=tmp_path)


# trouble


def test_a_damaged_checkpoint_is_passed_over(undisturbed, tmp_path: Path) -> None:
    train("shuffled", epochs=2, checkpoint=tmp_path)
    newest = tmp_path / names(tmp_path)[-1]
    data = bytearray(newest.read_bytes())
    data[-20] ^= 1
    newest.write_bytes(data)
    with pytest.warns(UserWarning, match="cannot be read, the one before it is tried"):
        _, found = train("shuffled", checkpoint=tmp_path)
    same(found, undisturbed("shuffled"))


def test_a_full_disk_does_not_end_the_run(undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = tensors.save, []

    def sometimes(path, *args, **kwargs):
        calls.append(path)
        if len(calls) in (1, 2):
            raise OSError(28, "No space left on device")
        write(path, *args, **kwargs)

    monkeypatch.setattr(tensors, "save", sometimes)

    class Wait(callbacks.Callback):  # so that every checkpoint is written
        def on_epoch_begin(self, epoch, logs=None):
            while epoch > len(calls):
                pass

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        _, found = train("shuffled", Wait(), checkpoint=Checkpoint(tmp_path, every_minutes=None))
    same(found, undisturbed("shuffled"))
    messages = [str(warning.message) for warning in told]
    assert sum("Training goes on, and the next checkpoint tries again" in m for m in messages) == 1
    assert "2 of 4 checkpoints could not be written" in messages[-1]
    assert "No space left on device" in messages[-1]
    assert names(tmp_path)


def test_a_folder_removed_on_the_way_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "inner"

    def remove(epoch, logs):
        if epoch == 1:
            folder.rename(tmp_path / "gone")  # at once, as a save may be going on

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a save that was going on at that moment fails
        train("shuffled", callbacks.LambdaCallback(on_epoch_begin=remove), checkpoint=folder, epochs=3)
    assert names(folder)[-1] == "run001-epoch00003-step00000000.safetensors"


def test_leftovers_of_killed_saves_go(tmp_path: Path) -> None:
    (tmp_path / ".run001-epoch00001-step00000000.safetensors.0a1b2c3d.part").write_bytes(b"1")
    (tmp_path / "mine.txt").write_text("stays")
    train("shuffled", epochs=1, checkpoint=tmp_path)
    assert not list(tmp_path.glob(".run*"))
    assert (tmp_path / "mine.txt").exists()


SCRIPT = """
import os, signal, sys, time
import numpy as np
import cornu
from cornu import callbacks, layers

class Signalled(callbacks.Callback):
    def on_test_begin(self, logs=None):
        if os.environ.get("AT") == "validation":
            os.kill(os.getpid(), signal.SIGTERM)
    def on_train_batch_end(self, batch, logs=None):
        if os.environ.get("AT") == "step" and batch == 5:
            os.kill(os.getpid(), signal.SIGTERM)

cornu.utils.set_random_seed(1)
x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
model = cornu.Sequential([cornu.Input((4,)), layers.Dropout(0.2), layers.Dense(1)])
model.compile("adam", "mse")
found = model.fit(x, x[:, :1], batch_size=8, epochs=3, validation_split=0.25, verbose=0, callbacks=[Signalled()],
                  checkpoint=sys.argv[1])
print(found.history, model.get_weights()[0].tolist())
"""


@pytest.mark.parametrize(("at", "where"), [("step", "after step 6"), ("validation", "in epoch 1 after step 6")])
def test_a_request_to_end_is_granted_after_a_save(at: str, where: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))

    def run(folder, **environment):
        command = [sys.executable, tmp_path / "script.py", tmp_path / folder]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120)

    ended = run("one", AT=at)
    assert ended.returncode == 128 + signal.SIGTERM, ended.stderr
    assert "SIGTERM in epoch 1" in ended.stderr
    assert where in ended.stderr
    assert "the same script goes on from there" in ended.stderr
    assert run("one").stdout == run("two").stdout != ""


# callbacks


def test_backup_and_restore_is_keras_name_for_it(undisturbed, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    with pytest.raises(Broken):
        train("shuffled", BreakOff(2, 5), callbacks.BackupAndRestore(folder, save_freq=2))
    assert len(names(folder)) == 1
    same(train("shuffled", callbacks.BackupAndRestore(folder, save_freq=2))[1], undisturbed("shuffled"))
    assert not folder.exists()
    train("shuffled", callbacks.BackupAndRestore(folder, double_checkpoint=True, delete_checkpoint=False))
    assert len(names(folder)) == 2


def test_a_callback_keeps_what_it_returns(tmp_path: Path) -> None:
    class Counting(callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = {"epochs": [], "mean": np.zeros(3), "pair": (1, None)}

        def on_epoch_end(self, epoch, logs=None):
            self.seen["epochs"].append(epoch)
            self.seen["mean"] = self.seen["mean"] + epoch

        def get_state(self):
            return {"seen": self.seen}

    train("shuffled", Counting(), epochs=2, checkpoint=tmp_path)
    again = Counting()
    train("shuffled", again, epochs=4, checkpoint=tmp_path)
    assert again.seen["epochs"] == [0, 1, 2, 3]
    assert again.seen["pair"] == (1, None)
    np.testing.assert_array_equal(again.seen["mean"], [6.0] * 3)


def test_a_state_that_is_no_data_is_refused(tmp_path: Path) -> None:
    class Bad(callbacks.Callback):
        def get_state(self):
            return {"file": sys.stdout}

    with pytest.raises(ArgumentError, match="callbacks/Bad_0/file: a checkpoint keeps numbers"):
        train("shuffled", Bad(), epochs=1, checkpoint=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 0}, "keep should be a positive int, got 0"),
        ({"every_steps": True}, "every_steps should be a positive int or None, got True"),
        ({"every_minutes": 0}, "every_minutes should be a positive number or None, got 0"),
        ({"mode": "up"}, "mode"),
    ],
)
def test_bad_settings(options, message: str, tmp_path: Path) -> None:
    with pytest.raises((ArgumentError, ShapeError), match=message):
        train("shuffled", epochs=1, checkpoint=Checkpoint(tmp_path, **options))


def test_without_a_checkpoint_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train("shuffled", epochs=1)
    assert list(tmp_path.iterdir()) == []
