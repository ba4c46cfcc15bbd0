"""The loop: compilations, dispatches, data of every kind, interruptions, overrides, and what is said of bad input."""

from __future__ import annotations

import itertools
import os
import re
import signal
import threading
import time

import jax
import numpy as np
import pytest
import torch

import cornu
from cornu import layers, ops
from cornu.backend import current
from cornu.base.errors import (
    ArgumentError,
    BackendError,
    CornuError,
    DataError,
    DTypeError,
    NonFiniteError,
    ShapeError,
    StateError,
)
from cornu.training import data, engine
from cornu.training.data import BatchData
from cornu.training.engine import Interruption, Listener
from tests.backends import TRAINING

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 6)).astype("float32")
Y = RNG.integers(0, 3, 50)
SPARSE = "sparse_categorical_crossentropy"


def mlp(optimizer="sgd", loss=SPARSE, dropout=0.0, **compiled):
    model = cornu.Sequential(
        [
            cornu.Input((6,)),
            layers.Dense(8, activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer, loss, **compiled)
    return model


class Compilations:
    """Counts XLA's compilations."""

    def __enter__(self):
        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self.note)
        return self

    def note(self, event, duration, **kwargs):
        if event.endswith("backend_compile_duration"):
            self.count += 1

    def __exit__(self, *exc):
        jax.monitoring.unregister_event_duration_listener(self.note)


everywhere = pytest.mark.parametrize("backend", TRAINING, indirect=True)


class Watch(cornu.callbacks.Callback):
    def __init__(self, at_epoch):
        super().__init__()
        self.at_epoch = at_epoch

    def on_epoch_end(self, epoch, logs=None):
        self.at_epoch(epoch)


def test_nothing_is_compiled_after_the_first_epoch():
    counts = []
    model = mlp("adam", metrics=["accuracy"], dropout=0.2)
    with Compilations() as compilations:
        model.fit(
            X, Y, batch_size=8, epochs=4, validation_split=0.2, verbose=0,
            callbacks=[Watch(lambda epoch: counts.append(compilations.count))],
        )  # fmt: skip
        before = compilations.count
        model.fit(X, Y, batch_size=8, validation_split=0.2, verbose=0)  # other data of the same form
        model.optimizer.learning_rate = 0.5
        model.fit(X[::-1], Y, batch_size=8, validation_split=0.2, verbose=0)
        mlp().predict(X[:1])  # another model does not disturb this one
        elsewhere = compilations.count - before
        model.fit(X, Y, batch_size=8, validation_split=0.2, verbose=0)
        assert compilations.count - before == elsewhere
    assert counts[0] > 0
    assert counts[1:] == [counts[0]] * 3


@everywhere
def test_a_changed_layer_counts_at_once(backend):
    model = mlp()
    model.fit(X, Y, verbose=0)
    model.layers[0].trainable = False
    kernel, before = model.layers[0].get_weights()[0], model.predict(X, verbose=0)
    model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], kernel)
    model.layers[0].activation = cornu.activations.linear
    assert not np.allclose(model.predict(X, verbose=0), before)


@pytest.mark.parametrize(
    ("size", "backend"),
    [(7, "jax"), (50, "jax"), (64, "jax"), (7, "torch"), (7, "tensorflow")],
    indirect=["backend"],
)
def test_the_same_seed_gives_the_same_run_whatever_the_dispatch(size, backend):
    runs = []
    for steps in ("auto", 1, 3):
        cornu.utils.set_random_seed(3)
        model = mlp("adam", dropout=0.5, steps_per_execution=steps, metrics=["accuracy"])
        runs.append((model.fit(X, Y, epochs=3, batch_size=size, verbose=0).history, model.get_weights()))
    for history, weights in runs[1:]:
        assert history == runs[0][0]
        for a, b in zip(weights, runs[0][1], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rows", [48, 50, 9], ids=["whole batches", "rows left over", "one batch"])
def test_long_steps_are_programs_without_a_loop_where_one_would_ask_the_host(rows, monkeypatch):
    """With the numbers of the loop, a single program for all whole batches, and nothing waited for between them."""
    x, y = X[:rows], Y[:rows]

    def run():
        cornu.utils.set_random_seed(3)
        model = mlp("adam", dropout=0.5, metrics=["accuracy"])
        history = model.fit(x, y, epochs=3, batch_size=16, verbose=0, validation_data=(x, y)).history
        return history, model.predict(x, verbose=0), [model._engine("train"), model._engine("test")]

    def asking(ran):
        """The loops of its programs whose steps are not known before they run."""
        for (*_, counts), program in ran._resident.items():
            order, numbers = np.arange(rows, dtype="int32"), np.int32([0, *counts] if counts else [0, 1, 0])
            lowered = program.lower([v.value for v in ran.variables], [x, y], order, *numbers, False)
            lines = lowered.compile().as_text().splitlines()
            yield sum(" while(" in line and "known_trip_count" not in line for line in lines)

    losses, outputs, engines = run()
    assert all(sum(asking(ran)) > 0 for ran in engines)
    monkeypatch.setattr(current(), "asks", True)
    monkeypatch.setattr(engine, "LONG_BYTES", 0)
    waits = []
    wait = current().wait
    monkeypatch.setattr(current(), "wait", lambda arrays: waits.append(len(arrays)) or wait(arrays))
    apart, found, engines = run()
    steps = -(-rows // 16)
    assert max(waits) == steps
    for ran in engines:
        assert ran.watch.counts["dispatches"] == ran.watch.counts["steps"] > 0
        assert len(ran._resident) == (rows >= 16) + (rows % 16 > 0)
        assert sum(asking(ran)) == 0
    np.testing.assert_allclose(found, outputs, rtol=1e-4, atol=1e-6)
    for name, values in losses.items():
        np.testing.assert_allclose(apart[name], values, rtol=1e-5, err_msg=name)


def counting_noise():
    """Dropout, batch statistics, and a metric with a value for each class: all that a step leaves behind."""
    cornu.utils.set_random_seed(3)
    inputs = cornu.Input((6,))
    x = layers.Dropout(0.5)(layers.BatchNormalization()(layers.Dense(8, activation="relu")(inputs)))
    model = cornu.Model(inputs, layers.Dense(3, activation="softmax")(x))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy", cornu.metrics.F1Score()])
    return model


@pytest.mark.parametrize("settings", [{}, {"shuffle": False}, {"shuffle": "batch"}, {"class_weight": {0: 2.0, 1: 0.5}}])
@pytest.mark.parametrize("size", [5, 7, 50])
def test_epochs_nobody_looks_at_run_together(size, settings, monkeypatch):
    """With the numbers of those that somebody looks at, to the last bit."""
    y = np.eye(3, dtype="float32")[Y]
    dispatches = []
    run = engine.Engine._run
    monkeypatch.setattr(engine.Engine, "_run", lambda *args: dispatches.append(1) or run(*args))
    results = []
    for told in ([], [Watch(lambda epoch: None)]):
        model = counting_noise()
        dispatches.clear()
        found = model.fit(X, y, epochs=200, batch_size=size, verbose=0, callbacks=told, **settings)
        assert found.epoch == list(range(200))
        results.append((found.history, model.get_weights(), len(dispatches)))
        model.fit(X, y, epochs=3, initial_epoch=1, batch_size=size, verbose=0, callbacks=told, **settings)
        assert model.history.epoch == [1, 2]
        results[-1] += (model.history.history, model.get_weights())
    (history, weights, few, *after), (expected, same, many, *same_after) = results
    assert few < 20 < 200 <= many
    for a, b in zip([weights, after[1]], [same, same_after[1]], strict=True):
        for mine, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(mine, other)
    for a, b in ((history, expected), (after[0], same_after[0])):
        assert a.keys() == b.keys()
        for name, values in b.items():
            np.testing.assert_array_equal(a[name], values, err_msg=name)


def test_what_somebody_looks_at_or_is_too_long_does_not_run_together(monkeypatch, tmp_path):
    several = []
    run = engine.Engine._run_passes
    monkeypatch.setattr(engine.Engine, "_run_passes", lambda s, *args: several.append(args[1]) or run(s, *args))
    model = mlp("adam")
    for settings in (
        {"verbose": 2},
        {"validation_split": 0.2},
        {"callbacks": [cornu.callbacks.EarlyStopping("loss")]},
        {"steps_per_epoch": 2},
        {"epochs": 1},
    ):
        model.fit(X, Y, **{"epochs": 3, "verbose": 0} | settings)
    model.fit(np.repeat(X, 100, 0), np.repeat(Y, 100), epochs=3, verbose=0)  # over too many rows
    np.save(tmp_path / "x.npy", X)
    model.fit(np.load(tmp_path / "x.npy", mmap_mode="r"), Y, epochs=3, verbose=0)
    assert several == []
    model.fit(X, Y, epochs=3, verbose=0)
    assert several == [3]
    monkeypatch.setattr(engine, "DISPATCH_SECONDS", 1e-9)  # so that every step is long
    several.clear()
    mlp("adam").fit(X, Y, batch_size=5, epochs=3, verbose=0)
    assert several == [1] * 30


def test_of_epochs_that_run_together_the_one_with_a_loss_that_is_not_finite_is_named():
    messages = []
    for told in ([], [Watch(lambda epoch: None)]):
        cornu.utils.set_random_seed(3)
        model = cornu.Sequential([cornu.Input((6,)), layers.Dense(1)])
        model.compile(cornu.optimizers.SGD(1.0), "mse")  # which grows a little at each step
        with pytest.warns(UserWarning, match="not finite since epoch") as caught:
            model.fit(X, 1.0 * Y, batch_size=20, epochs=100, verbose=0, callbacks=told)
        messages += [re.search(r"since epoch (\d+), step \d", str(one.message)) for one in caught]
    assert messages[0][0] == messages[1][0]
    assert int(messages[0][1]) > 5


@everywhere
def test_eager_runs_agree_with_compiled_ones(backend):
    runs = []
    for options in ({}, {"run_eagerly": True}, {"jit_compile": False}):
        cornu.utils.set_random_seed(3)
        model = mlp("adam", dropout=0.5, metrics=["accuracy"], **options)
        runs.append(model.fit(X[:20], Y[:20], epochs=2, batch_size=8, verbose=0).history["loss"])
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-5)
    np.testing.assert_allclose(runs[2], runs[0], rtol=1e-5)


# data


class Batches(cornu.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return X[index * 10 : index * 10 + 10], Y[index * 10 : index * 10 + 10]


class Plain:
    """An iterable of batches that is neither a sequence nor an iterator."""

    def __iter__(self):
        return (Batches()[i] for i in range(5))


def endless():
    while True:
        for i in range(5):
            yield Batches()[i]


def loader():
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=10)


SOURCES = {
    "PyDataset": (Batches, {}),
    "PyDataset with workers": (lambda: Batches(workers=3), {}),
    "iterable": (Plain, {}),
    "list of pairs": (lambda: [Batches()[i] for i in range(5)].__iter__(), {"steps_per_epoch": 5, "epochs": 1}),
    "generator": (endless, {"steps_per_epoch": 5}),
    "DataLoader": (loader, {}),
}


@pytest.fixture(scope="module")
def expected():
    cornu.utils.set_random_seed(2)
    model = mlp()
    weights = model.get_weights()
    history = model.fit(X, Y, batch_size=10, shuffle=False, epochs=2, verbose=0).history["loss"]
    return weights, history


@pytest.mark.parametrize("source", SOURCES)
@everywhere
def test_every_source_of_batches_trains_alike(source, expected, backend):
    make, options = SOURCES[source]
    model = mlp()
    model.set_weights(expected[0])
    options = {"epochs": 2, "shuffle": False, **options}
    history = model.fit(make(), verbose=0, **options).history["loss"]
    np.testing.assert_allclose(history, expected[1][: options["epochs"]], rtol=1e-5)
    if source not in ("generator", "list of pairs"):
        value = model.evaluate(make(), verbose=0)
        assert value == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-5)
        assert model.predict(make(), verbose=0).shape == (50, 3)


@everywhere
def test_batches_of_the_host_go_to_the_device_together(backend, monkeypatch):
    """With the same numbers as one by one, a change of form among them."""
    monkeypatch.setattr(cornu.training.engine, "DISPATCH_SECONDS", 100.0)  # however busy the machine is
    sizes = [10, 10, 10, 4, 10, 10, 10, 10]

    def batches():
        for start, size in zip(np.cumsum([0, *sizes]), sizes, strict=False):
            rows = np.arange(start, start + size) % 50
            yield X[rows], Y[rows]

    found = {}
    for together in (1, "auto"):
        cornu.utils.set_random_seed(3)
        model = mlp("adam", dropout=0.3, steps_per_execution=together)
        found[together] = [model.fit(batches(), verbose=0).history["loss"][0] for _ in range(4)]
        engine = model._engine("train")
        assert (engine.watch.counts["dispatches"] < len(sizes)) == (together == "auto")
    np.testing.assert_allclose(found[1], found["auto"], rtol=2e-5)


def test_batches_that_were_not_trained_on_are_not_counted():
    """At the end of each dispatch the source counts the steps that were taken, whatever was drawn ahead."""
    seen = []

    class Counting(Listener):
        def end(self, step, logs):
            seen.append((step + 1, data.consumed))
            return False

    data = BatchData((X[: 4 + i // 3], Y[: 4 + i // 3]) for i in range(12))
    model = mlp()
    model.fit(X[:4], Y[:4], verbose=0)
    with Interruption() as interruption:
        model._engine("train").epoch(data, 0, None, 0, Counting(), interruption)
    assert seen[-1] == (12, 12)
    assert all(step == consumed for step, consumed in seen)
    assert len(seen) < 12


def test_a_generator_may_fill_its_arrays_again(expected):
    def refilling():
        x, y = np.empty((10, 6), "float32"), np.empty(10, "int64")
        for i in range(10):
            x[:], y[:] = Batches()[i % 5]
            yield x, y

    model = mlp()
    model.set_weights(expected[0])
    history = model.fit(refilling(), steps_per_epoch=5, epochs=2, verbose=0).history["loss"]
    np.testing.assert_allclose(history, expected[1], rtol=1e-5)


@pytest.mark.parametrize("rows", [10, 20_000, 40_000, 100_000])  # 16 batches in 2 MiB, 3, 2, and none as a whole
def test_batches_of_every_size_train(rows):
    x, y = np.tile(X, (rows // 10, 1))[:rows], np.tile(Y, rows // 10)[:rows]
    model = mlp()
    history = model.fit(((x, y) for _ in range(6)), epochs=1, verbose=0).history["loss"]
    assert np.isfinite(history[0])
    assert int(model.optimizer.iterations.value) == 6


def test_batches_that_come_slowly_are_not_waited_for(monkeypatch):
    monkeypatch.setattr(cornu.training.engine, "DISPATCH_SECONDS", 0.0)
    model = mlp()
    model.fit(endless(), steps_per_epoch=20, epochs=3, verbose=0)
    assert model._engine("train").watch.counts["dispatches"] == 20


FORMS = {
    "float64": (X.astype("float64"), Y),
    "int64 labels as a column": (X, Y[:, None].astype("int64")),
    "device arrays": (jax.numpy.asarray(X), jax.numpy.asarray(Y)),
    "torch tensors": (torch.tensor(X), torch.tensor(Y)),
    "lists of numbers": (X.tolist(), Y.tolist()),
    "a list of one array": ([X], [Y]),
}


@pytest.mark.parametrize("form", FORMS)
@everywhere
def test_every_form_of_arrays_trains_alike(form, expected, backend):
    x, y = FORMS[form]
    model = mlp()
    model.set_weights(expected[0])
    history = model.fit(x, y, batch_size=10, shuffle=False, epochs=1, verbose=0).history["loss"]
    np.testing.assert_allclose(history, expected[1][:1], rtol=1e-5)


def test_pandas(expected):
    pandas = pytest.importorskip("pandas")
    model = mlp()
    model.set_weights(expected[0])
    frame, series = pandas.DataFrame(X), pandas.Series(Y)
    history = model.fit(frame, series, batch_size=10, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(history, expected[1][:1], rtol=1e-5)


def test_a_memory_map_is_not_copied_to_the_device(tmp_path, expected):
    np.save(tmp_path / "x.npy", X)
    model = mlp()
    model.set_weights(expected[0])
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    history = model.fit(x, Y, batch_size=10, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(history, expected[1][:1], rtol=1e-5)


@everywhere
def test_the_users_arrays_stay_as_they_are(backend):
    x, y = X.copy(), Y.copy()
    model = mlp()
    held = model.layers[0].kernel.value
    model.fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    assert np.isfinite(np.asarray(held)).all()  # not given away to the compiler


def test_a_generator_that_ends_early_stops_with_a_warning():
    model = mlp()
    with pytest.warns(UserWarning, match="ended after 2 of 5 steps in epoch 1"):
        history = model.fit((Batches()[i] for i in range(2)), steps_per_epoch=5, epochs=3, verbose=0)
    assert len(history.epoch) == 1


def test_the_shuffle_is_a_function_of_seed_and_epoch():
    from cornu.training.data import ArrayData

    data = ArrayData(X, Y, None, 8, True)
    assert not np.array_equal(data.order(1, 0), data.order(1, 1))
    assert np.array_equal(data.order(1, 0), data.order(1, 0))
    assert sorted(data.order(1, 0)) == list(range(50))
    whole = ArrayData(X, Y, None, 8, "batch").order(1, 0)
    assert sorted(whole) == list(range(50))
    assert all(b == a + 1 for block in whole[:48].reshape(6, 8) for a, b in itertools.pairwise(block))


# hooks


@everywhere
def test_batch_hooks_are_called_at_every_step_with_numbers(backend):
    seen = []
    hook = cornu.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append((batch, logs["loss"])))
    mlp().fit(X, Y, batch_size=10, epochs=2, verbose=0, callbacks=[hook])
    assert [batch for batch, _ in seen] == [0, 1, 2, 3, 4] * 2
    assert all(isinstance(loss, float) for _, loss in seen)


def test_without_batch_hooks_an_epoch_takes_few_dispatches():
    ends = []

    class Coarse(cornu.callbacks.Callback):
        any_batch = True

        def on_train_batch_end(self, batch, logs=None):
            ends.append(batch)

    x, y = np.repeat(X, 40, 0), np.repeat(Y, 40)
    mlp().fit(x, y, batch_size=10, epochs=4, verbose=0, callbacks=[Coarse()])
    per_epoch = np.split(np.array(ends), np.flatnonzero(np.array(ends) == 199) + 1)[:-1]
    assert len(per_epoch) == 4
    assert len(per_epoch[-1]) <= 20


def test_an_exception_in_a_callback_leaves_the_model_usable():
    model = mlp()

    def fail(epoch):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        model.fit(X, Y, verbose=0, callbacks=[Watch(fail)])
    assert np.isfinite(model.evaluate(X, Y, verbose=0))
    model.fit(X, Y, verbose=0)


@pytest.fixture
def _heeding_control_c():
    """Ctrl-C is heeded, although a shell lets what it runs in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_heeding_control_c")
def test_control_c_stops_soon_and_leaves_a_usable_model():
    model = mlp("adam")
    model.fit(X, Y, verbose=0)
    asked = []

    def interrupt():
        asked.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(1.0, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(np.repeat(X, 100, 0), np.repeat(Y, 100), epochs=100_000, batch_size=4, verbose=0)
    assert time.perf_counter() - asked[0] < 20  # half a second on an idle machine, and the run would take hours
    assert np.isfinite(model.evaluate(X, Y, verbose=0))
    model.fit(X, Y, verbose=0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("_heeding_control_c")
def test_control_c_does_not_wait_for_data():
    def slow():
        yield X, Y
        time.sleep(30)
        yield X, Y

    model, asked = mlp(), []

    def interrupt():
        asked.append(time.perf_counter())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    model.fit(X, Y, verbose=0)
    threading.Timer(0.5, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(slow(), verbose=0)
    assert time.perf_counter() - asked[0] < 10  # half a second on an idle machine
    model.fit(X, Y, verbose=0)


@everywhere
def test_stop_training_and_initial_epoch(backend):
    model = mlp()

    class Stop(cornu.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 4

    assert model.fit(X, Y, initial_epoch=3, epochs=9, verbose=0, callbacks=[Stop()]).epoch == [3, 4]


def test_caps_for_smoke_tests():
    try:
        cornu.config.set_max_epochs(2)
        cornu.config.set_max_steps_per_epoch(1)
        assert len(mlp().fit(X, Y, epochs=9, batch_size=10, verbose=0).epoch) == 2
    finally:
        cornu.config.set_max_epochs(None)
        cornu.config.set_max_steps_per_epoch(None)


# overrides


class Doubled(cornu.Model):
    """The default step, written out, with a metric and an optimizer of its own."""

    def __init__(self):
        super().__init__()
        self.inner = [layers.Dense(8, activation="relu"), layers.Dense(3, activation="softmax")]
        self.seen = cornu.metrics.Mean(name="seen")

    def call(self, inputs):
        for layer in self.inner:
            inputs = layer(inputs)
        return inputs

    def train_step(self, data):
        x, y = data

        def loss():
            return self.compute_loss(y=y, y_pred=self(x, training=True))

        value, grads = ops.value_and_grad(loss, self.trainable_variables)()
        self.optimizer.apply(grads, self.trainable_variables)
        self.seen.update_state(value)
        return {"seen": self.seen.result(), "rows": ops.shape(x)[0] * ops.ones(())}


@everywhere
def test_a_train_step_of_ones_own(backend):
    cornu.utils.set_random_seed(0)
    model = Doubled()
    model.compile("sgd", SPARSE)
    history = model.fit(X, Y, epochs=10, batch_size=8, verbose=0).history
    assert list(history) == ["seen", "rows"]
    assert history["seen"][-1] < history["seen"][0]
    assert history["rows"] == [2] * 10  # the last batch of an epoch

    twin = Doubled()
    twin.compile("sgd", SPARSE, run_eagerly=True)
    twin.build((None, 6))
    twin.set_weights(model.get_weights())
    a = model.fit(X, Y, shuffle=False, verbose=0).history["seen"]
    b = twin.fit(X, Y, shuffle=False, verbose=0).history["seen"]
    np.testing.assert_allclose(a, b, rtol=1e-5)


class EachRow(Doubled):
    """A step whose logs are of each row, and so of another shape where fewer rows are left over."""

    def train_step(self, data):
        logs = super().train_step(data)
        return {"seen": logs["seen"], "each": ops.ones((ops.shape(data[0])[0],)) * logs["rows"]}


@everywhere
@pytest.mark.parametrize("steps", [1, "auto"])
def test_logs_of_a_shape_that_follows_the_rows(backend, steps):
    model = EachRow()
    model.compile("sgd", SPARSE, steps_per_execution=steps)
    seen = []
    told = cornu.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["each"]))
    for watched in ([], [told]):
        each = model.fit(X[:19], Y[:19], epochs=3, batch_size=8, verbose=0, callbacks=watched).history["each"]
        assert [np.asarray(one).tolist() for one in each] == [[3.0] * 3] * 3
    assert [np.asarray(one).tolist() for one in seen] == [[8.0] * 8, [8.0] * 8, [3.0] * 3] * 3


class KerasOnJax(Doubled):
    """The step as Keras on JAX wants it written."""

    def train_step(self, state, data):
        trainable, others, slots, metrics = state
        x, y = data
        compute = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
        (_, (loss, _, others, metrics)), grads = compute(trainable, others, metrics, x, y, None, training=True)
        trainable, slots = self.optimizer.stateless_apply(slots, grads, trainable)
        return {"loss": loss}, (trainable, others, slots, metrics)

    def test_step(self, state, data):
        trainable, others, metrics = state
        x, y = data
        loss, (_, _, others, metrics) = self.compute_loss_and_updates(trainable, others, metrics, x, y, None)
        return {"loss": loss}, (trainable, others, metrics)

    def predict_step(self, state, data):
        outputs, others = self.stateless_call(*state, data)
        return outputs * 2, others


def test_a_train_step_in_keras_on_jax_form():
    model = KerasOnJax()
    model.compile("adam", SPARSE)
    before = model.evaluate(X, Y, batch_size=50, verbose=0)
    history = model.fit(X, Y, epochs=5, batch_size=10, verbose=0).history
    after = model.evaluate(X, Y, batch_size=50, verbose=0)
    assert after < before
    expected = model.predict_on_batch(X)
    np.testing.assert_allclose(expected, 2 * np.asarray(model(X)), rtol=1e-5)
    assert after == pytest.approx(float(cornu.losses.get(SPARSE)(Y, expected / 2).mean()), rel=1e-4)
    assert len(history["loss"]) == 5
    assert int(model.optimizer.iterations) == 25


class Gan(cornu.Model):
    """Two networks, two optimizers, random numbers in the step."""

    def __init__(self):
        super().__init__()
        self.generator = cornu.Sequential([layers.Dense(8, activation="relu"), layers.Dense(6)])
        self.critic = cornu.Sequential([layers.Dense(8, activation="relu"), layers.Dense(1)])

    def compile(self, **optimizers):
        super().compile()
        self.optimizers = {name: cornu.optimizers.get(one) for name, one in optimizers.items()}

    def train_step(self, data):
        noise = cornu.random.normal((data.shape[0], 4))

        def critic_loss():
            real, fake = self.critic(data), self.critic(self.generator(noise))
            return ops.mean(ops.softplus(-real) + ops.softplus(fake))

        def generator_loss():
            return ops.mean(ops.softplus(-self.critic(self.generator(noise))))

        self.critic(data), self.generator(noise)  # built before their variables are named
        logs = {}
        for name, loss in (("critic", critic_loss), ("generator", generator_loss)):
            variables = getattr(self, name).trainable_variables
            logs[name], grads = ops.value_and_grad(loss, variables)()
            self.optimizers[name].apply(grads, variables)
        return logs


@everywhere
def test_a_gan(backend):
    model = Gan()
    model.compile(critic="adam", generator="adam")
    history = model.fit(X, epochs=3, batch_size=10, verbose=0).history
    assert set(history) == {"critic", "generator"}
    assert len(model.weights) == 8
    assert int(model.optimizers["critic"].iterations) == 15


@everywhere
def test_compute_loss_and_add_loss(backend):
    class Penalty(layers.Layer):
        def call(self, x):
            self.add_loss(ops.mean(ops.abs(x)))
            return x

    model = cornu.Sequential([cornu.Input((6,)), Penalty(), layers.Dense(2)])
    model.compile("sgd")
    history = model.fit(X, epochs=2, verbose=0).history["loss"]
    assert history[0] == pytest.approx(np.abs(X).mean(), rel=1e-4)


# precision


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
@everywhere
def test_training_in_less_precision(policy, backend):
    try:
        cornu.config.set_dtype_policy(policy)
        model = mlp("adam")
    finally:
        cornu.config.set_dtype_policy(None)
    losses = model.fit(X, Y, epochs=8, batch_size=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model.layers[0].kernel.dtype == ("bfloat16" if policy == "bfloat16" else "float32")
    assert type(model.optimizer).__name__ == ("LossScaleOptimizer" if policy == "mixed_float16" else "Adam")


# bad input


def bad(call, error, message):
    return pytest.param(call, error, message, id=message[:40])


MISTAKES = [
    bad(lambda: mlp().fit(X[:, :5], Y), ShapeError, r"should have shape \(None, 6\), got \(None, 5\)"),
    bad(lambda: mlp().fit(X[0], Y[:6]), ShapeError, r"should have shape \(None, 6\), got \(None,\)"),
    bad(lambda: mlp().predict(X[0]), ShapeError, r"got \(6,\). Is the batch axis missing\? `x\[None\]` adds one"),
    bad(lambda: mlp().fit(X, Y[:-1]), DataError, "same number of rows, got x: 50, y: 49"),
    bad(lambda: mlp().fit(X[:0], Y[:0]), DataError, "holds no rows"),
    bad(lambda: mlp().fit(iter([])), DataError, "yields no batch"),
    bad(lambda: mlp().fit(None), DataError, "x is None"),
    bad(lambda: mlp().fit(3, Y), DataError, "Data of type int is not supported"),
    bad(lambda: mlp().fit(np.array([["a"] * 6]), Y[:1]), DTypeError, "no layer computes with|float32, got strings"),
    bad(lambda: mlp().fit(np.array([[1], [1, 2]], object), Y[:2]), DTypeError, "pad_sequences"),
    bad(lambda: mlp().fit(X), DataError, "but the data has no targets"),
    bad(lambda: mlp().fit(X, np.eye(3)[Y]), ShapeError, "look one-hot"),
    bad(lambda: mlp(loss="categorical_crossentropy").fit(X, Y), ShapeError, "wants one-hot targets"),
    bad(lambda: mlp(loss="mse").fit(X, np.zeros((50, 2))), ShapeError, "do not fit outputs"),
    bad(lambda: mlp().fit(X, Y, batch_size=0), ArgumentError, "batch_size should be a positive int, got 0"),
    bad(lambda: mlp().fit(X, Y, epochs=-1), ArgumentError, "epochs should be"),
    bad(lambda: mlp().fit(X, Y, steps_per_epoch=0), ArgumentError, "steps_per_epoch should be a positive int"),
    bad(lambda: mlp().fit(X, Y, validation_split=1.5), ArgumentError, "between 0 and 1"),
    bad(lambda: mlp().fit(Plain(), Y), ArgumentError, "y should not be given besides data"),
    bad(lambda: mlp().fit(Plain(), validation_split=0.1), ArgumentError, "needs arrays"),
    bad(lambda: cornu.Sequential([layers.Dense(2)]).fit(X, Y), StateError, "not compiled: call `model.compile"),
    bad(lambda: cornu.Sequential([layers.Dense(2)]).evaluate(X, Y), StateError, "before `evaluate`"),
    bad(lambda: mlp("adm"), ValueError, r"Unknown optimizer 'adm'. Did you mean 'adam'\?"),
    bad(lambda: mlp(loss="mean_squared_eror"), ValueError, "Did you mean 'mean_squared_error'"),
    bad(lambda: mlp(metrics=["acuracy"]), ValueError, "Unknown metric 'acuracy'. Did you mean 'accuracy'"),
    bad(lambda: mlp(loss=lambda y, y_pred: None).fit(X, Y), ArgumentError, "The loss '<lambda>' returned None. Is a"),
    bad(lambda: mlp(steps_per_execution=0), ArgumentError, "steps_per_execution"),
    bad(lambda: mlp(loss=[SPARSE, "mse"]).fit(X, Y), ArgumentError, "one entry for each of the 1 outputs"),
    bad(lambda: mlp(loss={"nonsense": SPARSE}).fit(X, Y), ArgumentError, "names the output 'nonsense'"),
    bad(lambda: mlp().fit(X, Y, callbacks=[3]), TypeError, "cornu.callbacks.Callback, got 3"),
    bad(lambda: mlp().fit(X, (Y, Y)), ArgumentError, "y has 2 parts"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), MISTAKES)
@everywhere
def test_mistakes_are_explained(call, error, message, backend):
    with pytest.raises(error, match=message) as caught:
        call()
    assert isinstance(caught.value, CornuError) or error is TypeError


def test_a_failed_fit_changes_nothing():
    model = mlp()
    before = model.get_weights()
    with pytest.raises(ShapeError):
        model.fit(X[:, :5], Y)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit(X, Y, verbose=0)


@everywhere
def test_an_output_without_a_loss_is_not_trained_and_not_asked_for(backend):
    inputs = cornu.Input((6,))
    hidden = layers.Dense(4)(inputs)
    model = cornu.Model(inputs, {"a": layers.Dense(1)(hidden), "b": layers.Dense(3)(hidden)})
    model.compile("sgd", {"a": "mse"})
    model.fit(X, {"a": Y.astype("float32")}, verbose=0)
    model.compile("sgd", {"a": "mse"})
    with pytest.raises(ArgumentError, match=r"Output 'a' has the loss .* but no target"):
        model.fit(X, {"b": Y}, verbose=0)


def _ending_in(*last):
    return cornu.Sequential([cornu.Input((6,)), *last])


class _Subclassed(cornu.Model):
    def __init__(self, activation=None):
        super().__init__()
        self.inner = _ending_in(layers.Dense(3, name="last", activation=activation), layers.Dropout(0.5))

    def call(self, x):
        return self.inner(x)


LOGITS = cornu.losses.SparseCategoricalCrossentropy(from_logits=True)
TAKEN_FOR_LOGITS, TAKEN_FOR_PROBABILITIES = "(softmax|sigmoid) itself", r"no activation, so it makes logits"
# model, loss, what is said
HEADS = {
    "softmax, logits": (lambda: _ending_in(layers.Dense(3, "softmax", name="last")), LOGITS, TAKEN_FOR_LOGITS),
    "Softmax, logits": (lambda: _ending_in(layers.Dense(3), layers.Softmax(name="last")), LOGITS, TAKEN_FOR_LOGITS),
    "Activation, logits": (
        lambda: _ending_in(layers.Dense(1), layers.Activation("sigmoid", name="last")),
        cornu.losses.BinaryCrossentropy(from_logits=True),
        TAKEN_FOR_LOGITS,
    ),
    "subclassed, logits": (lambda: _Subclassed("softmax"), LOGITS, TAKEN_FOR_LOGITS),
    "none, probabilities": (lambda: _ending_in(layers.Dense(3, name="last")), SPARSE, TAKEN_FOR_PROBABILITIES),
    "subclassed, probabilities": (_Subclassed, SPARSE, TAKEN_FOR_PROBABILITIES),
    "none, a function": (
        lambda: _ending_in(layers.Dense(1, name="last")),
        cornu.losses.binary_crossentropy,
        TAKEN_FOR_PROBABILITIES,
    ),
    "none, logits": (lambda: _ending_in(layers.Dense(3)), LOGITS, None),
    "subclassed, none, logits": (_Subclassed, LOGITS, None),
    "subclassed, softmax, probabilities": (lambda: _Subclassed("softmax"), SPARSE, None),
    "softplus, probabilities": (lambda: _ending_in(layers.Dense(3, "softplus")), SPARSE, None),
    "none, squares": (lambda: _ending_in(layers.Dense(1)), "mse", None),
    "scaled": (lambda: _ending_in(layers.Dense(3), layers.Lambda(ops.softmax)), SPARSE, None),
}


@pytest.mark.parametrize("head", HEADS)
@everywhere
def test_logits_taken_for_probabilities_are_told_once(head, backend, recwarn):
    make, loss, message = HEADS[head]
    model = make()
    model.compile("sgd", loss)
    for _ in range(2):
        model.fit(X, Y % 2, verbose=0)
    told = [str(one.message) for one in recwarn if "Output" in str(one.message)]
    assert len(told) == (message is not None)
    assert not told or re.search(f"{message}.*'last'|'last'.*{message}", told[0]), told


def test_warnings_point_at_the_line_of_the_user():
    model = _Subclassed()
    model.compile("sgd", SPARSE)
    with pytest.warns(UserWarning, match="makes logits") as found:
        model.fit(X, Y, verbose=0)
    assert found[0].filename == __file__


DIAGNOSES = {
    "data": (np.where(np.arange(50)[:, None] == 7, np.nan, X), Y, {}, r"x holds NaN or infinity, first in row 7"),
    "target": (
        X,
        np.where(np.arange(50) == 4, np.inf, 1.0),
        {"loss": "mse"},
        "y holds NaN or infinity, first in row 4",
    ),
    "rate": (
        X,
        1.0 * Y,
        {"optimizer": {"class_name": "SGD", "config": {"learning_rate": 1e20}}, "loss": "mse"},
        "gradient overflowed|rate is too high",
    ),
}


@pytest.mark.parametrize("cause", DIAGNOSES)
@everywhere
def test_a_loss_that_is_not_finite_is_explained(cause, backend):
    x, y, compiled, message = DIAGNOSES[cause]
    model = cornu.Sequential([cornu.Input((6,)), layers.Dense(3, activation="softmax")])
    if compiled.get("loss") == "mse":
        model = cornu.Sequential([cornu.Input((6,)), layers.Dense(1)])
    model.compile(**{"optimizer": "sgd", "loss": SPARSE, **compiled})
    with pytest.warns(UserWarning, match=f"not finite since epoch 1, step [0-9]+.*({message})"):
        model.fit(x, y, batch_size=10, verbose=0, shuffle=False, epochs=1)


LABELS = {  # in batches that are not seen before training
    "label": (X, np.where(np.arange(50) == 9, 3, Y), {}, r"label \[3\] in row 9, but the output has 3 classes"),
    "negative label": (X, np.where(np.arange(50) == 9, -1, Y), {}, r"label \[-1\] in row 9, but the output has 3"),
}


@pytest.mark.parametrize("cause", ["data", "target", *LABELS])
@everywhere
def test_the_batch_of_a_generator_is_explained(cause, backend):
    x, y, compiled, message = (DIAGNOSES | LABELS)[cause]
    model = cornu.Sequential([cornu.Input((6,)), layers.Dense(1 if "loss" in compiled else 3, "softmax")])
    model.compile(**{"optimizer": "sgd", "loss": SPARSE, **compiled})
    row = int(re.search(r"in row (\d)", message)[1])
    expected = re.sub(r"row (\d)", f"row {row % 4} of this batch", message)
    with pytest.warns(UserWarning, match=f"not finite since epoch 1, step {row // 4 + 1}.*({expected})"):
        model.fit(((x[i : i + 4], y[i : i + 4]) for i in range(0, 48, 4)), verbose=0)


@everywhere
def test_debug_raises_and_terminate_on_nan_stops(backend):
    model = mlp()
    bad_x = np.where(np.arange(50)[:, None] == 25, np.nan, X)
    with pytest.warns(UserWarning, match="step 3"):
        history = model.fit(
            bad_x, Y, batch_size=10, shuffle=False, epochs=5, verbose=0, callbacks=[cornu.callbacks.TerminateOnNaN()]
        )
    assert len(history.epoch) == 1
    model = mlp()
    model.debug = True
    with pytest.raises(NonFiniteError, match="row 25"):
        model.fit(bad_x, Y, batch_size=10, shuffle=False, verbose=0)


@pytest.mark.parametrize("how", ["debug", "TerminateOnNaN"])
@pytest.mark.parametrize("kind", ["arrays", "generator"])
@everywhere
def test_the_first_layer_to_make_it_is_named(how, kind, backend):
    broken = layers.Lambda(lambda x: ops.log(x - 1e9), name="broken")
    inner = cornu.Sequential([layers.Identity(), broken])
    model = cornu.Sequential([cornu.Input((6,)), layers.Dense(4), inner, layers.Dense(1)])
    model.compile("sgd", "mse")
    model.debug = how == "debug"
    callbacks = [] if model.debug else [cornu.callbacks.TerminateOnNaN()]
    batches = ((X[i : i + 10], Y[i : i + 10]) for i in range(0, 50, 10))
    given = {"x": X, "y": Y, "batch_size": 10} if kind == "arrays" else {"x": batches}
    message = r"epoch 1, step 1. The first layer to make it is 'broken' \(Lambda\)"
    expected = pytest.raises(NonFiniteError, match=message) if model.debug else pytest.warns(UserWarning, match=message)
    with expected:
        model.fit(**given, verbose=0, callbacks=callbacks)


@everywhere
def test_the_first_layer_to_make_it_is_named_where_an_input_is_absent_and_epochs_are_parts_of_a_pass(backend):
    absent, given = layers.Input((6,), optional=True), layers.Input((6,))
    made = layers.Lambda(lambda x: ops.log(x[1]), name="broken")([absent, given])
    model = cornu.Model([absent, given], layers.Dense(1)(made))
    model.compile("sgd", "mse")
    model.debug = True
    x = np.where(np.arange(50)[:, None] == 35, -1.0, np.abs(X) + 1.0)  # the fourth of five batches
    with pytest.raises(NonFiniteError, match=r"epoch 2, step 2. The first layer to make it is 'broken'"):
        model.fit([None, x], Y, batch_size=10, shuffle=False, steps_per_epoch=2, epochs=3, verbose=0)


def test_numpy_predicts_and_does_not_train():
    with cornu.config.backend_scope("numpy"):
        model = mlp(metrics=["accuracy"])
    assert model.predict(X, verbose=0).shape == (50, 3)
    assert len(model.evaluate(X, Y, verbose=0)) == 2
    with pytest.raises(BackendError, match=r"set_backend\('jax'\)"):
        model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("backend", TRAINING)
@pytest.mark.parametrize("steps", [None, 3, 10])
@pytest.mark.parametrize("shuffle", [True, False, "batch"])
def test_arrays_too_large_for_the_device_give_the_same_run_as_those_that_stay_there(
    backend, steps, shuffle, monkeypatch, tmp_path
):
    copied = []
    np.save(tmp_path / "x.npy", X)
    with cornu.config.backend_scope(backend):
        send = type(current()).transfer

        def sent(arrays):
            return max((len(a) for a in arrays if np.ndim(a)), default=0)

        monkeypatch.setattr(type(current()), "transfer", lambda self, a: copied.append(sent(a)) or send(self, a))

        def run(x, at_most, window, y=Y):
            monkeypatch.setattr(engine, "RESIDENT_BYTES", at_most)
            monkeypatch.setattr(engine, "SHARED_BYTES", at_most)
            monkeypatch.setattr(data, "_WINDOW_BYTES", window)
            cornu.utils.set_random_seed(1)
            model = mlp(dropout=0.5)
            copied.clear()
            history = model.fit(
                x, y, batch_size=8, epochs=4, steps_per_epoch=steps, shuffle=shuffle, validation_data=(x, y), verbose=0
            )
            return history.history, model.get_weights(), max(copied, default=0)

        expected, weights, rows = run(X, 1 << 20, 1 << 20)
        assert rows == len(X)
        mapped, on_device = np.load(tmp_path / "x.npy", mmap_mode="r"), ops.convert_to_tensor(Y)
        for x, window, y in ((X, 8 * 28 * 2, Y), (X, 1, Y), (mapped, 1 << 20, on_device)):
            found, values, rows = run(x, 0, window, y)
            assert found == expected
            assert all(map(np.array_equal, values, weights))
            assert rows < len(X)
