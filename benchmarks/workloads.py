"""One measurement in one process: `python benchmarks/workloads.py LIBRARY WORKLOAD [BACKEND]` prints milliseconds.

LIBRARY is `cornu` or `keras` (Keras 3), on the backend `jax` (the default), `torch` or `tensorflow`: both run the same
lines; each workload's docstring says what is timed. `native` is a loop written by hand for PyTorch (`native_torch.py`).
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()  # before anything is imported

import gc
import json
import os
import sys
from collections.abc import Callable
from typing import Any

BACKEND = sys.argv[3] if __name__ == "__main__" and len(sys.argv) > 3 else os.environ.get("CORNU_BACKEND", "jax")
os.environ["KERAS_BACKEND"] = os.environ["CORNU_BACKEND"] = BACKEND


def seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def median_step(model: Any, x: Any, y: Any, batch_size: int, steps: int, epochs: int = 1, repeats: int = 5) -> float:
    """Milliseconds a step, the median of several fits after one that compiles."""
    import numpy as np

    model.fit(x, y, batch_size=batch_size, epochs=2, verbose=0)
    times = [seconds(lambda: model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0)) for _ in range(repeats)]
    return float(np.median(times)) / (steps * epochs) * 1e3


def _mlp(keras: Any, rows: int) -> tuple[Any, Any, Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    x, y = rng.random((rows, 784), "float32"), rng.integers(0, 10, rows)
    model = keras.Sequential(
        [keras.Input((784,)), keras.layers.Dense(128, activation="relu"), keras.layers.Dense(10, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, x, y


def mlp(keras: Any) -> float:
    """A step of a 784-128-10 network, Adam, batch 32, accuracy counted."""
    model, x, y = _mlp(keras, 32 * 400)
    return median_step(model, x, y, 32, 400)


def first_epoch(keras: Any) -> float:
    """From the start of the process to the end of the first epoch of `mlp` on 60,000 rows."""
    model, x, y = _mlp(keras, 60_000)
    model.fit(x, y, batch_size=32, epochs=1, verbose=0)
    return (time.perf_counter() - STARTED) * 1e3


def first_epoch_again(keras: Any) -> float:
    """The same in a second process, which finds the programs that the first one compiled (Keras keeps none)."""
    return first_epoch(keras)


def iris(keras: Any) -> float:
    """A step of a 4-16-3 network on the 150 irises, batch 16, in fits of 50 epochs."""
    from sklearn.datasets import load_iris

    x, y = load_iris(return_X_y=True)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(3, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return median_step(model, x.astype("float32"), y, 16, 10, epochs=50)


def cifar(keras: Any) -> float:
    """A step of the 32-64-64 convolutional network on 32×32 colour images, batch 64."""
    import numpy as np

    layers = keras.layers
    rng = np.random.default_rng(0)
    x, y = rng.random((64 * 10, 32, 32, 3), "float32"), rng.integers(0, 10, 640)
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return median_step(model, x, y, 64, 10)


def lstm(keras: Any) -> float:
    """A step of Embedding(10000, 32) and LSTM(32) over 500 words, batch 32."""
    import numpy as np

    rng = np.random.default_rng(0)
    x, y = rng.integers(1, 10_000, (32 * 4, 500)), rng.integers(0, 2, 128)
    model = keras.Sequential(
        [
            keras.Input((500,), dtype="int32"),
            keras.layers.Embedding(10_000, 32),
            keras.layers.LSTM(32),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
    return median_step(model, x.astype("int32"), y.astype("float32"), 32, 4)


def transformer(keras: Any) -> float:
    """A step of two encoder blocks (width 128, 4 heads, 128 tokens) on embedded words, batch 32, Adam."""
    import numpy as np

    layers = keras.layers
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5000, (32 * 6, 128)).astype("int32"), rng.integers(0, 2, 192)
    inputs = keras.Input((128,), dtype="int32")
    h = layers.Embedding(5000, 128)(inputs)
    for _ in range(2):
        h = layers.LayerNormalization()(h + layers.MultiHeadAttention(4, 32)(h, h))
        h = layers.LayerNormalization()(h + layers.Dense(128)(layers.Dense(512, activation="gelu")(h)))
    outputs = layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling1D()(h))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return median_step(model, x, y, 32, 6)


def _resnet(keras: Any) -> Any:
    layers = keras.layers

    def conv(x: Any, filters: int, size: int, strides: int = 1, relu: bool = True) -> Any:
        x = layers.Conv2D(filters, size, strides=strides, padding="same")(x)
        x = layers.BatchNormalization()(x)
        return layers.Activation("relu")(x) if relu else x

    inputs = keras.Input((224, 224, 3))
    x = conv(inputs, 64, 7, 2)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for filters, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(blocks):
            shortcut = conv(x, 4 * filters, 1, stride if i == 0 else 1, relu=False) if i == 0 else x
            x = conv(conv(x, filters, 1, stride if i == 0 else 1), filters, 3)
            x = layers.Activation("relu")(layers.Add()([conv(x, 4 * filters, 1, relu=False), shortcut]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(1000, activation="softmax")(x))


def _repeated(run: Callable[[], Any]) -> float:
    """Milliseconds, the median of five runs, what the one before has left behind being collected in between."""
    import numpy as np

    times = []
    for _ in range(5):
        gc.collect()
        times.append(seconds(run))
    return float(np.median(times)) * 1e3


def build(keras: Any) -> float:
    """Building and initialising a ResNet-50-like Functional model of 175 layers, 25 million parameters."""
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).get_weights()  # imports and first touches
    return _repeated(lambda: _resnet(keras).get_weights())


def graph(keras: Any) -> float:
    """Building it alone: its shapes inferred, its weights made as the library makes them."""
    return _repeated(lambda: _resnet(keras))


def predict_one(keras: Any) -> float:
    """`predict` of one row on the network of `mlp`."""
    import numpy as np

    model, x, _ = _mlp(keras, 32)
    row = x[:1]
    for _ in range(5):
        model.predict(row, verbose=0)
    return float(np.median([seconds(lambda: model.predict(row, verbose=0)) for _ in range(100)])) * 1e3


def import_library(keras: Any) -> float:
    """Importing the library after NumPy."""
    return IMPORT_SECONDS * 1e3


WORKLOADS = {
    f.__name__: f
    for f in (
        mlp,
        iris,
        cifar,
        lstm,
        transformer,
        first_epoch,
        first_epoch_again,
        build,
        graph,
        predict_one,
        import_library,
    )
}
IMPORT_SECONDS = 0.0


def main(library: str, workload: str, backend: str = "jax") -> None:
    global IMPORT_SECONDS
    if library == "native":
        import native_torch

        print(json.dumps(native_torch.WORKLOADS[workload]()))
        return
    import numpy  # noqa: F401 - both need it

    began = time.perf_counter()
    if library == "cornu":
        import cornu as keras
    else:
        import keras  # type: ignore[no-redef]
    IMPORT_SECONDS = time.perf_counter() - began
    print(json.dumps(WORKLOADS[workload](keras)))


if __name__ == "__main__":
    main(*sys.argv[1:])
