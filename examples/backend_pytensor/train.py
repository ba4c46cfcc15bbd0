"""A convolutional and a recurrent network learn handwritten digits on the PyTensor backend.

Run: `pip install -e examples/backend_pytensor && python examples/backend_pytensor/train.py`. The digits are 1,797 real
ones of 8×8 pixels, from scikit-learn. The first run waits for the C compiler, later ones find its work in PyTensor's
cache; `CORNU_PYTENSOR_MODE=QUICK` does without it.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import cornu as keras
from cornu import layers


def convolutional() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((8, 8)),
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ],
        name="convolutional",
    )


def recurrent() -> keras.Model:
    """The rows of an image, one after the other."""
    return keras.Sequential(
        [layers.Input((8, 8)), layers.LSTM(48), layers.Dense(10, activation="softmax")], name="recurrent"
    )


def digits() -> list[np.ndarray]:
    """Images and labels for training, then for testing: x, x, y, y."""
    data = load_digits()
    images, labels = (data.images / 16).astype("float32"), data.target.astype("int32")
    return train_test_split(images, labels, test_size=0.2, random_state=0, stratify=labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="pytensor")
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    keras.config.set_backend(options.backend)
    x, x_test, y, y_test = digits()
    for make in (convolutional, recurrent):
        keras.utils.set_random_seed(0)
        model = make()
        model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
        began = time.perf_counter()
        history = model.fit(x, y, epochs=options.epochs, batch_size=32, verbose=0).history
        seconds = time.perf_counter() - began
        loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
        agree = np.mean(model.predict(x_test, verbose=0).argmax(-1) == y_test)
        print(
            f"{model.name} on {options.backend}: {options.epochs} epochs in {seconds:.1f} s, training loss "
            f"{history['loss'][0]:.3f} → {history['loss'][-1]:.3f}, test loss {loss:.3f}, accuracy {accuracy:.1%} "
            f"(predict: {agree:.1%})"
        )


if __name__ == "__main__":
    main()
