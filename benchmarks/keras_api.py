"""The workloads in the Keras API: the same lines for Cornu and for Keras on each of its backends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from data import TASKS, batches


def _classifier(keras: Any, inputs: int, hidden: int, classes: int, optimizer: str) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((inputs,)), layers.Dense(hidden, activation="relu"), layers.Dense(classes, activation="softmax")]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def iris(keras: Any) -> Any:
    return _classifier(keras, 4, 16, 3, "adam")


def mlp(keras: Any) -> Any:
    return _classifier(keras, 784, 128, 10, "adam")


def mlp_512(keras: Any) -> Any:
    return _classifier(keras, 784, 512, 10, "rmsprop")


def cifar(keras: Any) -> Any:
    layers = keras.layers
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
    return model


def _words(keras: Any, recurrent: Callable[[], Any], length: int = 500, width: int = 32) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((length,), dtype="int32"),
            layers.Embedding(10_000, width),
            recurrent(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
    return model


def lstm(keras: Any) -> Any:
    return _words(keras, lambda: keras.layers.LSTM(32))


def gru(keras: Any) -> Any:
    return _words(keras, lambda: keras.layers.GRU(32))


def lstm_512(keras: Any) -> Any:
    return _words(keras, lambda: keras.layers.LSTM(512), 256, 256)


def bilstm(keras: Any) -> Any:
    return _words(keras, lambda: keras.layers.Bidirectional(keras.layers.LSTM(32)))


def transformer(keras: Any) -> Any:
    layers = keras.layers
    inputs = keras.Input((128,), dtype="int32")
    h = layers.Embedding(5000, 128)(inputs)
    for _ in range(2):
        h = layers.LayerNormalization()(h + layers.MultiHeadAttention(4, 32)(h, h))
        h = layers.LayerNormalization()(h + layers.Dense(128)(layers.Dense(512, activation="gelu")(h)))
    outputs = layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling1D()(h))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _normed(
    keras: Any, x: Any, filters: int, size: int, stride: int = 1, relu: bool = True, use_bias: bool = True
) -> Any:
    layers = keras.layers
    x = layers.Conv2D(filters, size, strides=stride, padding="same", use_bias=use_bias)(x)
    x = layers.BatchNormalization()(x)
    return layers.Activation("relu")(x) if relu else x


def resnet(keras: Any) -> Any:
    layers, conv = keras.layers, partial(_normed, keras, use_bias=False)
    inputs = keras.Input((32, 32, 3))
    x = conv(inputs, 16, 3)
    for filters in (16, 32, 64):
        for i in range(3):
            stride = 2 if filters > 16 and i == 0 else 1
            shortcut = conv(x, filters, 1, stride, relu=False) if stride == 2 else x
            x = conv(conv(x, filters, 3, stride), filters, 3, relu=False)
            x = layers.Activation("relu")(layers.Add()([x, shortcut]))
    outputs = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def resnet_50(keras: Any) -> Any:
    """A model like ResNet-50, of 175 layers and 25 million parameters, to be built and loaded."""
    layers, conv = keras.layers, partial(_normed, keras)
    inputs = keras.Input((224, 224, 3))
    x = layers.MaxPooling2D(3, 2, padding="same")(conv(inputs, 64, 7, 2))
    for filters, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(blocks):
            shortcut = conv(x, 4 * filters, 1, stride if i == 0 else 1, relu=False) if i == 0 else x
            x = conv(conv(x, filters, 1, stride if i == 0 else 1), filters, 3)
            x = layers.Activation("relu")(layers.Add()([conv(x, 4 * filters, 1, relu=False), shortcut]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(1000, activation="softmax")(x))


def _decoder(keras: Any, vocabulary: int, length: int, width: int, blocks: int, heads: int, rate: float = 0.001) -> Any:
    layers = keras.layers

    class Positions(layers.Layer):  # type: ignore[name-defined,misc]
        def build(self, shape: Any) -> None:
            self.table = self.add_weight(shape=shape[1:], initializer="uniform", name="table")

        def call(self, x: Any) -> Any:
            return x + self.table

    inputs = keras.Input((length,), dtype="int32")
    h = Positions()(layers.Embedding(vocabulary, width)(inputs))
    for _ in range(blocks):
        n = layers.LayerNormalization()(h)
        h = h + layers.MultiHeadAttention(heads, width // heads)(n, n, use_causal_mask=True)
        n = layers.LayerNormalization()(h)
        h = h + layers.Dense(width)(layers.Dense(4 * width, activation="gelu")(n))
    outputs = layers.Dense(vocabulary)(layers.LayerNormalization()(h))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def gpt(keras: Any) -> Any:
    return _decoder(keras, 96, 256, 256, 4, 8)


def gpt_2(keras: Any) -> Any:
    """GPT-2 small, its head not tied to its embedding: 163 million parameters.

    At Adam's own rate its loss goes up and down, in Keras to the same numbers.
    """
    return _decoder(keras, 50_257, 1024, 768, 12, 12, 1e-4)


def tabular(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(128, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def gan(keras: Any) -> Any:
    """Both networks take one step for each batch, from the same noise, by one Adam, in a `train_step` of the user."""
    layers, ops = keras.layers, keras.ops

    def network(inputs: int, outputs: int) -> Any:
        hidden = [layers.Dense(64, activation="leaky_relu") for _ in range(2)]
        return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(outputs)])

    def loss_of(logits: Any, real: bool) -> Any:
        return ops.mean(ops.softplus(-logits if real else logits))

    class Adversaries(keras.Model):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.maker, self.judge = network(16, 2), network(2, 1)
            self.noise = keras.random.SeedGenerator(0)
            self.built = True

        def call(self, real: Any) -> Any:
            made = self.maker(keras.random.normal((64, 16), seed=self.noise))
            return self.judge(real), self.judge(made)

    class OnJax(Adversaries):
        def train_step(self, state: Any, data: Any) -> Any:
            import jax

            trainable, others, slots, metrics = state
            of_maker = len(self.maker.trainable_variables)

            def loss(mine: Any, theirs: Any, judging: bool) -> Any:
                weights = [*theirs, *mine] if judging else [*mine, *theirs]
                (real, made), new = self.stateless_call(weights, others, data[0])
                return (loss_of(real, True) + loss_of(made, False) if judging else loss_of(made, True)), new

            maker, judge = trainable[:of_maker], trainable[of_maker:]
            (value, new), of_judge = jax.value_and_grad(loss, has_aux=True)(judge, maker, True)
            (other, _), of_made = jax.value_and_grad(loss, has_aux=True)(maker, judge, False)
            trainable, slots = self.optimizer.stateless_apply(slots, [*of_made, *of_judge], trainable)
            return {"both": value + other}, (trainable, new, slots, metrics)

    class OnTorch(Adversaries):
        def train_step(self, data: Any) -> Any:
            import torch

            maker = [v.value for v in self.maker.trainable_variables]
            judge = [v.value for v in self.judge.trainable_variables]
            made = self.maker(keras.random.normal((64, 16), seed=self.noise))
            value = loss_of(self.judge(data[0]), True) + loss_of(self.judge(made.detach()), False)
            of_judge = torch.autograd.grad(value, judge)
            other = loss_of(self.judge(made), True)
            of_made = torch.autograd.grad(other, maker)
            with torch.no_grad():
                self.optimizer.apply([*of_made, *of_judge], self.trainable_variables)
            return {"both": (value + other).detach()}

    class OnTensorFlow(Adversaries):
        def train_step(self, data: Any) -> Any:
            import tensorflow as tf

            with tf.GradientTape(persistent=True) as tape:
                real, made = self(data[0])
                value, other = loss_of(real, True) + loss_of(made, False), loss_of(made, True)
            of_judge = tape.gradient(value, self.judge.trainable_variables)
            of_made = tape.gradient(other, self.maker.trainable_variables)
            self.optimizer.apply([*of_made, *of_judge], self.trainable_variables)
            return {"both": value + other}

    class OnCornu(Adversaries):
        def train_step(self, data: Any) -> Any:
            noise = keras.random.normal((64, 16), seed=self.noise)

            def judging() -> Any:
                return loss_of(self.judge(data[0]), True) + loss_of(self.judge(self.maker(noise)), False)

            def making() -> Any:
                return loss_of(self.judge(self.maker(noise)), True)

            value, of_judge = ops.value_and_grad(judging, self.judge.trainable_variables)()
            other, of_made = ops.value_and_grad(making, self.maker.trainable_variables)()
            self.optimizer.apply([*of_made, *of_judge], self.trainable_variables)
            return {"both": value + other}

    forms = {"jax": OnJax, "torch": OnTorch, "tensorflow": OnTensorFlow}
    model = OnCornu() if keras.__name__ == "cornu" else forms[keras.backend.backend()]()
    model.compile(keras.optimizers.Adam(1e-3))
    return model


MODELS = {f.__name__: f for f in (iris, mlp, mlp_512, cifar, lstm, gru, bilstm, transformer, resnet, gpt, tabular, gan)}
MODELS |= {"generator": mlp, "dataset": mlp}


def fitting(keras: Any, name: str, x: Any, y: Any) -> dict[str, Any]:
    """The arguments of `fit` for one epoch."""
    size = TASKS[name].batch
    if name == "generator":
        return {"x": batches(x, y, size), "steps_per_epoch": len(x) // size}
    if name != "dataset":
        return {"x": x, "y": y, "batch_size": size}

    class Rows(keras.utils.PyDataset):  # type: ignore[name-defined,misc]
        def __len__(self) -> int:
            return len(x) // size

        def __getitem__(self, i: int) -> Any:
            rows = slice(i * size, (i + 1) * size)
            return np.ascontiguousarray(x[rows][:, ::-1]), y[rows]

    return {"x": Rows()}
