"""What data is taken from and in which order: generators and what else yields batches, class weights, validation."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
import torch

import cornu
from cornu import layers, ops
from cornu.base.errors import ArgumentError, DataError, ShapeError

RNG = np.random.default_rng(0)
X, Y = RNG.random((24, 3), "float32"), RNG.integers(0, 2, 24)


def mlp(loss: Any = "sparse_categorical_crossentropy", outputs: int = 2, **compiled: Any) -> Any:
    model = cornu.Sequential([cornu.Input((3,)), layers.Dense(outputs, activation="softmax" if outputs > 1 else None)])
    model.compile(cornu.optimizers.SGD(0.0), loss, **compiled)
    return model


class Numbered(cornu.utils.PyDataset):
    """Batches that tell their number."""

    def __init__(self, count: int = 4, **options: Any) -> None:
        super().__init__(**options)
        self.count, self.events = count, []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        self.events.append(index)
        return np.full((2, 3), index, "float32"), np.zeros(2, "int32")

    def on_epoch_begin(self) -> None:
        self.events.append("begin")

    def on_epoch_end(self) -> None:
        self.events.append("end")


class Seen(cornu.Model):
    """Logs which batches it was trained on, as a number whose digits they are."""

    def __init__(self) -> None:
        super().__init__()
        self.digits = cornu.metrics.Sum(name="digits")
        self.inner = layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.inner(x)

    def train_step(self, data: Any) -> Any:
        x = data[0]
        self.inner(x)
        self.digits.total.assign(self.digits.total * 10 + x[0, 0])
        return {"digits": self.digits.result()}


def seen(source: Any, **options: Any) -> list[int]:
    model = Seen()
    model.compile("sgd")
    return [int(n) for n in model.fit(source, verbose=0, **options).history["digits"]]


def numbers(*which: int) -> Any:
    return ((np.full((2, 3), i, "float32"), np.zeros(2, "int32")) for i in which)


def loader() -> Any:
    x = torch.arange(1, 5).repeat_interleave(2)[:, None].float().expand(8, 3)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.zeros(8)), batch_size=2)


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self) -> Any:
        return ((x, y) for batch in numbers(1, 2, 3, 4) for x, y in zip(*batch, strict=True))


class Iterable:
    def __iter__(self) -> Any:
        return numbers(1, 2, 3, 4)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(None, [1234, 1234, 1234]), (3, [123, 412, 341]), (2, [12, 34, 12]), (6, [123412, 341234, 123412])],
)
@pytest.mark.parametrize("source", [loader, Iterable, lambda: torch.utils.data.DataLoader(Stream(), batch_size=2)])
def test_epochs_of_fewer_or_more_steps_than_batches_go_on_where_the_one_before_ended(
    source: Any, steps: int | None, expected: list[int]
) -> None:
    assert seen(source(), steps_per_epoch=steps, epochs=3) == expected


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("workers", [1, 3])
def test_batches_of_a_dataset_come_in_an_order_of_seed_and_epoch(shuffle: bool, workers: int) -> None:
    source = Numbered(workers=workers)
    runs = []
    for _ in range(2):
        cornu.utils.set_random_seed(1)
        runs.append(seen(source, epochs=6, shuffle=shuffle))
    assert runs[0] == runs[1]
    assert [sorted(f"{n:04}") for n in runs[0]] == [list("0123")] * 6
    assert (len(set(runs[0])) > 1) == shuffle
    source.events.clear()
    seen(source, steps_per_epoch=3, epochs=4, shuffle=False)
    epochs = [e for e in source.events if isinstance(e, str)]
    assert epochs == ["begin", "end"] * 4
    assert [e for e in source.events if not isinstance(e, str)] in (
        [0, 1, 2, 3] * 3,
        [0, 0, 1, 2, 3, *[0, 1, 2, 3] * 2],
    )


def test_a_generator_serves_one_call_after_the_other_and_nothing_is_lost() -> None:
    source = numbers(*range(1, 10), *range(1, 8))
    assert seen(source, steps_per_epoch=3) == [123]
    assert seen(source, steps_per_epoch=2, epochs=2) == [45, 67]
    model = mlp()
    model.evaluate(source, steps=1, verbose=0)
    assert next(source)[0][0, 0] == 9
    assert model.predict((x for x, _ in source), steps=2, verbose=0).shape == (4, 2)
    assert next(source)[0][0, 0] == 3
    threads = [thread for thread in threading.enumerate() if thread.name == "cornu-prefetch"]
    assert len(threads) == len(cornu.training.data._resting)


def test_all_epochs_draw_their_batches_in_one_thread() -> None:
    drawn_in = set()

    class Batches:
        def __iter__(self) -> Any:
            for i in range(3):
                drawn_in.add(threading.current_thread())
                yield X[i : i + 8], Y[i : i + 8]

    mlp().fit(Batches(), epochs=5, verbose=0)
    (thread,) = drawn_in - {threading.current_thread()}
    assert thread.name == "cornu-prefetch"
    assert thread.is_alive()


FORKS = """
import os, signal, numpy as np, cornu
from cornu import layers
model = cornu.Sequential([cornu.Input((3,)), layers.Dense(2)])
predicted = lambda: model.predict((np.ones((2, 3), "float32") for _ in range(3)), steps=3, verbose=0).shape
assert predicted() == (6, 2)
child = os.fork()
if not child:
    signal.alarm(20)
    os._exit(predicted() != (6, 2))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_a_forked_process_has_threads_of_its_own() -> None:
    environment = {**os.environ, "CORNU_BACKEND": "numpy", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", FORKS], env=environment, check=True, timeout=30)


def test_a_slow_generator_serves_two_calls() -> None:
    def slow() -> Any:
        while True:
            time.sleep(0.02)
            yield X[:4], Y[:4]

    source, model = slow(), mlp()
    for _ in range(3):
        model.fit(source, steps_per_epoch=2, verbose=0)
        model.evaluate(source, steps=2, verbose=0)
    next(source)


def test_validation_by_a_generator_goes_on_and_may_end() -> None:
    source = ((X[:4], Y[:4]) for _ in range(5))
    with pytest.warns(UserWarning, match="validation data ended before epoch 4"):
        history = mlp().fit(X, Y, epochs=4, validation_data=source, validation_steps=2, verbose=0).history
    assert (len(history["loss"]), len(history["val_loss"])) == (4, 3)


def test_more_steps_than_there_are_batches_count_no_row_twice() -> None:
    model = mlp()
    expected = model.evaluate(X, Y, verbose=0)
    with pytest.warns(UserWarning, match="ended after 3 of 5 steps"):
        assert model.evaluate(X, Y, batch_size=8, steps=5, verbose=0) == pytest.approx(expected)
    with pytest.warns(UserWarning, match="ended after 2 of 5 steps"):
        model.evaluate([(X[:4], Y[:4]), (X[4:], Y[4:])].__iter__(), steps=5, verbose=0)
    assert model.predict(X, batch_size=8, steps=5, verbose=0).shape == (24, 2)


# class weights

SIGNS, FLOATS = np.where(Y, 1.0, -1.0).astype("float32"), Y.astype("float32")
WEIGHTS = {
    "labels": (Y, {0: 1.0, 1: 5.0}),
    "a column": (Y[:, None], {0: 1.0, 1: 5.0}),
    "one-hot": (np.eye(2)[Y], {0: 1.0, 1: 5.0}),
    "keys as NumPy makes them": (FLOATS, dict(zip(np.unique(FLOATS), [1.0, 5.0], strict=True))),
    "one class alone": (Y, {1: 5.0}),
    "signs": (SIGNS, {-1: 1.0, 1: 5.0}),
}  # fmt: skip


@pytest.mark.parametrize("form", WEIGHTS)
def test_class_weights_are_weights_of_rows(form: str) -> None:
    y, weights = WEIGHTS[form]
    loss = "mse" if form == "signs" else "categorical_crossentropy" if form == "one-hot" else None
    model = mlp(loss or "sparse_categorical_crossentropy", 1 if form == "signs" else 2)
    rows = np.where(Y, 5.0, 1.0)
    expected = model.fit(X, y, sample_weight=rows, verbose=0).history["loss"]
    assert model.fit(X, y, class_weight=weights, verbose=0).history["loss"] == pytest.approx(expected, rel=1e-5)
    both = model.fit(X, y, class_weight=weights, sample_weight=np.arange(24.0), verbose=0).history["loss"]
    assert both == pytest.approx(
        model.fit(X, y, sample_weight=rows * np.arange(24), verbose=0).history["loss"], rel=1e-5
    )
    batches = [(X[i : i + 8], y[i : i + 8]) for i in (0, 8, 16)]
    found = model.fit(iter(batches), class_weight=weights, verbose=0).history["loss"]
    assert found == pytest.approx(expected, rel=1e-5)


def test_class_weights_do_not_count_in_validation() -> None:
    model = mlp(weighted_metrics=["accuracy"])
    history = model.fit(X, Y, validation_split=0.5, class_weight={0: 1.0, 1: 5.0}, verbose=0).history
    loss, accuracy = model.evaluate(X[12:], Y[12:], verbose=0)
    assert (history["val_loss"][0], history["val_accuracy"][0]) == pytest.approx((loss, accuracy), rel=1e-5)
    assert history["loss"][0] != pytest.approx(model.evaluate(X[:12], Y[:12], verbose=0)[0], rel=1e-3)


# what is wrong is told before anything is trained


def ending() -> Any:
    return iter([])


MISTAKES = [
    ({"class_weight": "balanced"}, ArgumentError, "should be a dict of class to weight"),
    ({"class_weight": [1.0, 2.0]}, ArgumentError, "should be a dict of class to weight"),
    ({"class_weight": {0: 1.0}, "sample_weight": np.ones(23)}, DataError, "same number of rows"),
    ({"validation_data": (X[:, :2], Y)}, ShapeError, "The validation data: .*should have shape"),
    ({"validation_data": (X, np.eye(2)[Y])}, ShapeError, "The validation data: .*one-hot"),
    ({"validation_data": (X, Y + 1)}, DataError, r"The validation data: y holds the label \[2\]"),
    ({"validation_data": (X[:0], Y[:0])}, DataError, "The validation data: The data is empty"),
    ({"validation_data": ending()}, DataError, "The validation data: The data is empty"),
    ({"validation_data": (X, Y, None, None)}, ArgumentError, "validation_data should be .*got 4 parts"),
    ({"nb_epoch": 3}, ArgumentError, "fit has no argument 'nb_epoch'. It is called 'epochs' now."),
    ({"workers": 3}, ArgumentError, "fit has no argument 'workers' any more: give it to a PyDataset"),
    ({"epoch": 3}, ArgumentError, "fit has no argument 'epoch'. Did you mean 'epochs'"),
    ({"verbose": "foo"}, ArgumentError, "verbose should be 'auto', 0, 1 or 2, got 'foo'"),
    ({"x": (X, Y), "y": None}, ArgumentError, r"should be a tensor, got tuple. x and y are two arguments: fit\(x, y\)"),
    ({"validation_freq": 0}, ArgumentError, "validation_freq should be a positive int, got 0"),
    ({"validation_freq": "a"}, ArgumentError, "validation_freq should be a positive int"),
    ({"validation_freq": [1, -2]}, ArgumentError, "validation_freq should be a positive int, got -2"),
    ({"validation_split": "a"}, ArgumentError, "validation_split should be between 0 and 1"),
    ({"initial_epoch": -1}, ArgumentError, "initial_epoch should be an int of at least 0, got -1"),
    ({"initial_epoch": 1.5}, ArgumentError, "initial_epoch should be an int"),
    ({"epochs": None}, ArgumentError, "epochs should be an int"),
    ({"batch_size": 2.5}, ArgumentError, "batch_size should be a positive int, got 2.5"),
    ({"batch_size": "8"}, ArgumentError, "batch_size should be a positive int"),
    ({"shuffle": "yes"}, ArgumentError, "shuffle should be True, False or 'batch'"),
    ({"x": [X.tolist(), X[:, :2].tolist()]}, DataError, "parts differ in length"),
    ({"x": iter([(X[:0], Y[:0])]), "y": None}, DataError, "should hold at least one row"),
    ({"y": Y + 1}, DataError, r"y holds the label \[2\] in row"),
    ({"y": Y + 0.5}, DataError, r"labels should be whole numbers within 0 … 1"),
    ({"y": {"zz": Y}}, ArgumentError, "y has the key 'zz', the outputs are"),
    ({"sample_weight": {"zz": np.ones(24)}}, ArgumentError, "sample_weight has the key 'zz'"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), MISTAKES)
def test_mistakes_are_told_before_training(options: Any, error: Any, message: str) -> None:
    model = mlp()
    model.optimizer.learning_rate = 1.0
    before = model.get_weights()
    with pytest.raises(error, match=message):
        model.fit(**{"x": X, "y": Y, "epochs": 2, "verbose": 0, **options})
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("method", ["evaluate", "train_on_batch", "test_on_batch"])
def test_labels_are_looked_at_wherever_they_come(method: str) -> None:
    for model in (mlp(), Extra()):
        model.compile("sgd", "sparse_categorical_crossentropy")
        with pytest.raises(DataError, match="y holds the label"):
            getattr(model, method)(X, Y - 1)
    with pytest.warns(UserWarning, match="wants targets from 0 to 1, got -1.0 to 1.0"):
        getattr(mlp("binary_crossentropy", 1), method)(X, SIGNS)


@pytest.mark.parametrize(
    "given", [{"steps_per_execution": 2.5}, {"steps_per_execution": "foo"}, {"jit_compile": "foo"}]
)
def test_compile_takes_no_nonsense(given: Any) -> None:
    with pytest.raises(ArgumentError, match=f"{next(iter(given))} should be"):
        mlp(**given)


def test_one_batch_is_arrays() -> None:
    for method in ("predict_on_batch", "train_on_batch", "test_on_batch"):
        with pytest.raises(DataError, match=f"{method} needs the arrays of one batch, got generator"):
            getattr(mlp(), method)(numbers(1))


def test_validation_data_may_be_a_list() -> None:
    history = mlp().fit(X, Y, validation_data=[X, Y], verbose=0).history
    assert history["val_loss"] == pytest.approx(history["loss"], rel=1e-5)


# overrides and outputs in nests


class Extra(cornu.Model):
    """Overrides what Keras lets one override, in the older form."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.resets = layers.Dense(2, activation="softmax"), 0

    def call(self, x: Any) -> Any:
        return self.inner(x)

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None) -> Any:
        return super().compute_loss(x, y, y_pred, sample_weight) + 1.0

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return super().compute_metrics(x, y, y_pred, sample_weight) | {"extra": 7.0 + 0.0 * ops.mean(y_pred)}

    def reset_metrics(self) -> None:
        self.resets += 1
        super().reset_metrics()


@pytest.mark.parametrize("eagerly", [False, True])
def test_overridden_losses_and_metrics_count(eagerly: bool) -> None:
    model = Extra()
    model.compile(
        cornu.optimizers.SGD(0.0), "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=eagerly
    )
    history = model.fit(X, Y, epochs=3, batch_size=8, validation_data=(X, Y), verbose=0).history
    assert history["extra"] == history["val_extra"] == [7.0] * 3
    assert history["loss"] == pytest.approx(history["val_loss"], rel=1e-5)  # each epoch begins anew
    assert history["loss"][0] > 1
    assert model.resets == 6
    model.train_on_batch(X, Y)
    assert model.resets == 7


def test_outputs_in_nests_are_trained() -> None:
    inputs = cornu.Input((3,))
    x, y = layers.Dense(1, name="a")(inputs), layers.Dense(2, name="b")(inputs)
    model = cornu.Model(inputs, {"x": x, "y": [y]})
    model.compile("sgd", {"x": "mse", "y": ["mae"]}, metrics={"x": ["mae"], "y": [["mse", "mae"]]})
    targets = {"x": np.ones((24, 1)), "y": [np.ones((24, 2))]}
    history = model.fit(X, targets, epochs=3, verbose=0, validation_data=(X, targets)).history
    assert {"a_loss", "b_loss", "a_mae", "b_mse", "b_mae", "val_b_loss"} <= set(history)
    assert history["loss"][-1] < history["loss"][0]
    model.compile("sgd", {"x": "mse", "y": "mae"})
    with pytest.raises(ArgumentError, match="loss should have the form of the outputs"):
        model.fit(X, targets, verbose=0)


def test_weighted_metrics_of_several_outputs_are_named_after_them() -> None:
    inputs = cornu.Input((3,))
    model = cornu.Model(inputs, [layers.Dense(1, name="a")(inputs), layers.Dense(1, name="b")(inputs)])
    model.compile(
        "sgd", "mse", loss_weights=[np.float32(1), 2], metrics=[["mae"], []], weighted_metrics=[["mae"], ["mae"]]
    )
    history = model.fit(X, [SIGNS, SIGNS], verbose=0).history
    assert {"a_mae", "a_weighted_mae", "b_mae"} <= set(history)


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "SimpleRNN", "Bidirectional"])
@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_states_are_kept_between_batches_in_training(layer: str, backend: str) -> None:
    x, y = RNG.random((8, 3, 1), "float32"), RNG.random((8, 1), "float32")
    with cornu.config.backend_scope(backend):
        cornu.utils.set_random_seed(0)
        inner = layers.LSTM(4, stateful=True) if layer == "Bidirectional" else getattr(layers, layer)(4, stateful=True)
        inner = layers.Bidirectional(inner) if layer == "Bidirectional" else inner
        model = cornu.Sequential([cornu.Input(batch_shape=(2, 3, 1)), inner, layers.Dense(1)])
        model.compile(cornu.optimizers.SGD(0.1), "mse")
        twin = cornu.models.clone_model(model)
        twin.set_weights(model.get_weights())
        twin.compile(cornu.optimizers.SGD(0.1), "mse")
        losses = [twin.train_on_batch(x[i : i + 2], y[i : i + 2]) for i in range(0, 8, 2)]
        found = model.fit(x, y, batch_size=2, shuffle=False, verbose=0).history["loss"]
        assert found == pytest.approx([np.mean(losses)], rel=1e-5)
        assert model.evaluate(x, y, batch_size=2, verbose=0) != pytest.approx(np.mean(losses), rel=1e-4)
        assert model.predict(x, batch_size=2, verbose=0).shape == (8, 1)
