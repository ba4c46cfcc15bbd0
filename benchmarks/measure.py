"""One measurement in one process: `python benchmarks/measure.py LIBRARY WORKLOAD` prints a line of JSON.

LIBRARY is `cornu` or `keras` with a backend, as in `cornu-jax` and `keras-torch`; `cornu-jax-bf16` computes under the
policy `mixed_bfloat16`; or one of the peers: `jax`, `flax`, `torch`, `torch-compiled`, `lightning`.

For a workload of `data.TASKS`: `step`, milliseconds, the median of several epochs after two that compile; `start`, from
the start of the process to the end of the first epoch; `memory`, the most that the process held, MB; `rows`, rows a
second of `predict`; `one`, milliseconds for one row; and the losses of first and last epoch. Else see `STARTUP`.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()  # before anything is imported

import gc
import importlib
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 4.0
"""What the timed epochs may take together, but there are at least three."""
PEERS = {
    "jax": "native_jax",
    "flax": "flax_nnx",
    "torch": "native_torch",
    "torch-compiled": "native_torch",
    "lightning": "on_lightning",
}


def seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def median(values: list[float]) -> float:
    """The middle one; `statistics` is not imported, which would count into the start."""
    return sorted(values)[len(values) // 2]


def most_memory() -> float:
    """MB that this process held at most; the system's `ru_maxrss` would count the process that started it, too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024


class Trained:
    """What a library makes of a workload."""

    def epoch(self, count: int = 1) -> list[float]:
        """Train for so many epochs; the loss of each."""
        raise NotImplementedError

    def predict(self, x: Any) -> Any:
        """The outputs as NumPy arrays."""
        raise NotImplementedError


class InKerasApi(Trained):
    def __init__(self, keras: Any, name: str, x: Any, y: Any) -> None:
        import keras_api

        self.model = keras_api.MODELS[name](keras)
        self.arguments = keras_api.fitting(keras, name, x, y)

    def epoch(self, count: int = 1) -> list[float]:
        history = self.model.fit(**self.arguments, epochs=count, verbose=0).history
        losses: list[float] = history["both" if "both" in history else "loss"]  # of the two networks of a GAN
        return losses

    def predict(self, x: Any) -> Any:
        return self.model.predict(x, batch_size=256, verbose=0)


def library(name: str) -> Any:
    """`cornu` or `keras`, on the backend that the name tells."""
    kind, backend, *rest = name.split("-")
    os.environ["KERAS_BACKEND"] = os.environ["CORNU_BACKEND"] = backend
    keras = importlib.import_module(kind)
    if rest:
        keras.config.set_dtype_policy("mixed_bfloat16")
    return keras


def trained(name: str, workload: str, x: Any, y: Any) -> Trained:
    if name in PEERS:
        module = importlib.import_module(PEERS[name])
        peer: Trained = module.make(workload, x, y, compiled=name.endswith("compiled"))
        return peer
    return InKerasApi(library(name), workload, x, y)


def timed(name: str, workload: str) -> dict[str, Any]:
    from data import TASKS

    task = TASKS[workload]
    x, y = task.arrays()
    one = trained(name, workload, x, y)
    losses = one.epoch()
    found: dict[str, Any] = {"start": (time.perf_counter() - STARTED) * 1e3}
    one.epoch(task.epochs)
    times: list[float] = []
    while len(times) < 3 or (sum(times) < SECONDS and len(times) < 9):
        times.append(seconds(lambda: losses.extend(one.epoch(task.epochs))))
    found["step"] = median(times) * 1e3 / (len(x) // task.batch * task.epochs)
    found["loss"] = [float(losses[0]), float(losses[-1])]
    found["memory"] = most_memory()
    if workload in ("gan", "generator", "dataset"):
        return found
    rows = x[: min(len(x), 65_536)]
    for _ in range(3):
        one.predict(rows)
    found["rows"] = len(rows) / median([seconds(lambda: one.predict(rows)) for _ in range(5)])
    row = x[:1]
    for _ in range(5):
        one.predict(row)
    found["one"] = median([seconds(lambda: one.predict(row)) for _ in range(50)]) * 1e3
    return found


# what is no training


def _repeated(run: Callable[[], Any]) -> float:
    """Milliseconds, the median of five runs, what the one before has left behind being collected in between."""
    times = []
    for _ in range(5):
        gc.collect()
        times.append(seconds(run))
    return median(times) * 1e3


def _warmed(keras: Any) -> None:
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).get_weights()  # imports and first touches


def build(name: str) -> dict[str, float]:
    """`step`: building and initialising a ResNet-50-like Functional model of 175 layers, 25 million parameters."""
    import keras_api

    keras = library(name)
    _warmed(keras)
    return {"step": _repeated(lambda: keras_api.resnet_50(keras).get_weights())}


def graph(name: str) -> dict[str, float]:
    """`step`: building it alone: its shapes inferred, its weights made as the library makes them."""
    import keras_api

    keras = library(name)
    _warmed(keras)
    return {"step": _repeated(lambda: keras_api.resnet_50(keras))}


def load(name: str) -> dict[str, float]:
    """`step`: loading it from a `.keras` file."""
    import tempfile

    import keras_api

    keras = library(name)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        keras_api.resnet_50(keras).save(path)
        return {"step": _repeated(lambda: keras.models.load_model(path).get_weights())}


def import_library(name: str) -> dict[str, float]:
    """`step`: importing the library after NumPy."""
    import numpy  # noqa: F401 - both need it

    return {"step": seconds(lambda: library(name)) * 1e3}


def first_epoch(name: str) -> dict[str, float]:
    """`step`: from the start of the process to the end of the first epoch of `mlp` on 60,000 rows."""
    from data import images

    InKerasApi(library(name), "mlp", *images(60_000, 784)).epoch()
    return {"step": (time.perf_counter() - STARTED) * 1e3}


def many_variables(name: str) -> dict[str, float]:
    """Milliseconds a step of narrow networks with 10, 100, 1,000 and 3,000 variables."""
    import numpy as np

    sys.setrecursionlimit(30_000)  # for Keras, which walks from layer to layer
    keras = library(name)
    x, y = np.ones((32 * 20, 4), "float32"), np.ones((32 * 20, 1), "float32")
    found = {}
    for count in (10, 100, 1000, 3000):
        model = keras.Sequential([keras.Input((4,)), *[keras.layers.Dense(4) for _ in range(count // 2)]])
        model.compile("sgd", "mse")
        model.fit(x, y[:, :1], epochs=1, verbose=0)
        found[f"{count}"] = median([seconds(lambda: model.fit(x, y, verbose=0)) for _ in range(3)]) / 20 * 1e3  # noqa: B023
    return found


def beyond_memory(name: str) -> dict[str, float]:
    """Milliseconds a step of `mlp` on memory-mapped arrays of 100 MB, 1 GB and 4 GB."""
    import tempfile

    import keras_api
    import numpy as np

    keras = library(name)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in (100, 1000, 4000):
            rows = size * 1_000_000 // (784 * 4) // 32 * 32
            x = np.lib.format.open_memmap(os.path.join(folder, f"{size}.npy"), "w+", "float32", (rows, 784))
            for i in range(0, rows, 10_000):
                x[i : i + 10_000] = np.random.default_rng(i).random((len(x[i : i + 10_000]), 784), "float32")
            y = np.arange(rows, dtype="int32") % 10
            model = keras_api.MODELS["mlp"](keras)
            model.fit(x[:640], y[:640], verbose=0)
            found[f"{size} MB"] = seconds(lambda: model.fit(x, y, verbose=0)) / (rows // 32) * 1e3  # noqa: B023
    return found


STARTUP = {f.__name__: f for f in (build, graph, load, import_library, first_epoch, many_variables, beyond_memory)}


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    asked, task_name = sys.argv[1:3]
    print(json.dumps(STARTUP[task_name](asked) if task_name in STARTUP else timed(asked, task_name)))
