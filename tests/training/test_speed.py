"""What `explain_speed` says of runs whose fault is known, and the traces of `fit(profile=...)`."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import cornu
from cornu import callbacks, layers
from cornu.base.errors import BackendError, StateError

X = np.random.default_rng(0).normal(size=(640, 8)).astype("float32")
Y = X[:, :1]


def make(**options):
    model = cornu.Sequential([cornu.Input((8,)), layers.Dense(4, name="hidden"), layers.Dense(1)])
    model.compile("adam", "mse", **options)
    return model


class Every(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


def varied():
    for i in range(8):
        yield X[: 20 + i], Y[: 20 + i]


def slow():
    for i in range(50):
        time.sleep(0.01)
        yield X[i : i + 8], Y[i : i + 8]


def quick():
    for i in range(300):
        yield X[i : i + 8], Y[i : i + 8]


def fitted(*data, first=(X, Y), before=lambda model: None, options=None, **more):
    model = make(**(options or {}))
    if first is not None:
        model.fit(*first, epochs=1, verbose=0)
    before(model)
    model.fit(*data, verbose=0, **more)
    return model


def freeze(model):
    model.layers[0].trainable = False


# What ran; how long its parts are said to have taken, as a clock would make the test one of the machine; the advice.
DEVICE = {"device": 1.0}
CASES = {
    "compiling": (lambda: fitted(X, Y, first=None), {"compile": 1.0}, "more epochs or steps: most of the time went to"),
    "shapes": (lambda: fitted(varied(), first=None), {"compile": 1.0}, "fewer shapes: each new one compiles a program"),
    "data": (lambda: fitted(quick(), first=None), {"data": 1.0, "device": 1.0}, "faster data: pass arrays instead of"),
    "batches": (
        lambda: fitted(quick(), first=None, options={"steps_per_execution": 1}),
        {"device": 0.1},
        "arrays instead of batches",
    ),
    "a batch hook": (lambda: fitted(X, Y, callbacks=[Every()]), DEVICE, "Every asks for every step"),
    "its work": (lambda: fitted(X, Y, callbacks=[Every()]), {"callbacks": 1.0}, "do its work at the end of epochs"),
    "callbacks": (lambda: fitted(X, Y), {"callbacks": 1.0, "device": 1.0}, "lighter callbacks"),
    "validation": (lambda: fitted(X, Y), {"validation": 2.0, "device": 1.0}, "validating less often"),
    "checkpoints": (lambda: fitted(X, Y), {"checkpoint": 1.0, "device": 5.0}, "saving less often"),
    "eager": (lambda: fitted(X, Y, options={"run_eagerly": True}), DEVICE, "compiling: run_eagerly=True"),
    "tiny steps": (lambda: fitted(X, Y), {"device": 0.001}, "larger batches"),
    "nothing": (lambda: fitted(X, Y), {"device": 10.0}, "less computing"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_fault_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run, seconds, expected = CASES[name]
    model = run()
    model._engine("train").watch.seconds = Counter(seconds)
    text = model.explain_speed()
    assert text.splitlines()[-1].startswith("What would help most: ")
    assert expected in text.splitlines()[-1], text
    assert capsys.readouterr().out.strip() == text


def test_time_is_put_where_it_went() -> None:
    class Slow(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            time.sleep(0.2)

    model = fitted(slow(), first=None, callbacks=[Slow()], validation_data=(X, Y))
    seconds = model._engine("train").watch.seconds
    assert seconds["data"] > 0.05  # a part of it passed while the step was compiled
    assert seconds["callbacks"] > 0.2
    assert seconds["compile"] > 0
    assert seconds["validation"] > 0


def test_epochs_that_ran_together_are_told_together() -> None:
    model = make()
    model.fit(X, Y, epochs=5, verbose=0)  # how long a step takes is known from then on
    model.fit(X, Y, epochs=5, verbose=0)
    model._engine("train").watch.seconds["data"] = 1.0
    text = model.explain_speed()
    assert text.startswith("Epoch 1 to 5 of ")
    assert "faster data" not in text  # as it is in memory
    model.fit(X, Y, verbose=0)
    assert model.explain_speed().startswith("Epoch 1 of ")


def test_causes_of_compilations_are_named() -> None:
    text = fitted(X, Y, before=freeze, validation_split=0.1).explain_speed()
    assert "epoch 1: the first step" in text
    assert "layers were changed (trainable, rate or the like): hidden" in text
    assert "validation" in text
    text = fitted(varied(), first=None).explain_speed()
    assert "batches of shapes [(22, 8), (22, 1)] after [(21, 8), (21, 1)]" in text


def test_a_step_that_torch_cannot_record_is_told() -> None:
    class Looks(layers.Layer):
        def call(self, x):
            return x * float(np.asarray(x.detach()).mean() > -9)

    with cornu.config.backend_scope("torch"):
        model = cornu.Sequential([cornu.Input((8,)), Looks(), layers.Dense(1)])
        model.compile("adam", "mse")
        model.fit(X, Y, epochs=2, verbose=0)
        assert "a step that can be recorded; this one runs op by op" in model.explain_speed()


def test_before_training() -> None:
    with pytest.raises(StateError, match="was not trained yet: call `fit`, then `explain_speed`"):
        make().explain_speed()


@pytest.mark.parametrize(
    ("backend", "found"), [("jax", "*.trace.json.gz"), ("torch", "trace-*.json.gz"), ("tensorflow", "*.xplane.pb")]
)
def test_a_trace_is_taken(backend: str, found: str, tmp_path: Path) -> None:
    with cornu.config.backend_scope(backend):
        make().fit(X, Y, epochs=1, verbose=0, profile=tmp_path)
    assert list(tmp_path.rglob(found))


def test_numpy_takes_none(tmp_path: Path) -> None:
    with cornu.config.backend_scope("numpy"), pytest.raises(BackendError, match="takes no traces"):
        cornu.backend.current().profile(str(tmp_path))
