"""The main job: a convolutional network learns handwritten digits, draws its progress, and comes back from its file.

Run: `make demo`, or `python examples/digits.py`. The digits are 1,797 real ones of 8×8 pixels, from scikit-learn.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import cornu as keras
from cornu import layers

OUT = Path("demo_output")


def make_model() -> keras.Model:
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(10, activation="softmax"),
        ],
        name="digits",
    )
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, decay_steps=25 * 23)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def draw_curves(history: dict[str, list[float]], file: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
        epochs = range(1, len(history[name]) + 1)
        axis.plot(epochs, history[name], label="training")
        axis.plot(epochs, history[f"val_{name}"], label="validation")
        axis.set(xlabel="epoch", ylabel=name, title=name)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def draw_digits(images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, file: Path) -> None:
    guesses = probabilities.argmax(-1)
    wrong = np.flatnonzero(guesses != labels)
    shown = np.concatenate([wrong, np.flatnonzero(guesses == labels)])[:40]
    figure, axes = plt.subplots(4, 10, figsize=(12, 5.6), layout="constrained")
    for axis, i in zip(axes.flat, shown, strict=True):
        axis.imshow(images[i, ..., 0], cmap="gray_r")
        right = guesses[i] == labels[i]
        title = f"{guesses[i]}" if right else f"{guesses[i]}, is {labels[i]}"
        axis.set_title(f"{title}  {probabilities[i].max():.0%}", color="green" if right else "red", fontsize=9)
        axis.axis("off")
    figure.suptitle(f"Test digits and predictions; the {len(wrong)} wrong of {len(labels)} come first")
    figure.savefig(file, dpi=110)
    plt.close(figure)


def main() -> int:
    began = time.perf_counter()
    keras.utils.set_random_seed(7)
    OUT.mkdir(exist_ok=True)
    digits = load_digits()
    images = (digits.images / 16).astype("float32")[..., None]
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=0.2, random_state=0, stratify=digits.target
    )

    model = make_model()
    model.summary()
    history = model.fit(x_train, y_train, batch_size=64, epochs=25, validation_data=(x_test, y_test))
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    probabilities = model.predict(x_test, verbose=0)

    model.save(OUT / "digits.keras")
    again = keras.models.load_model(OUT / "digits.keras")
    same = np.array_equal(again.predict(x_test, verbose=0), probabilities)

    draw_curves(history.history, OUT / "training.png")
    draw_digits(x_test, y_test, probabilities, OUT / "predictions.png")

    print(f"\nTest accuracy {accuracy:.2%}, test loss {loss:.4f}, on {len(x_test)} digits never trained on.")
    print(f"The model loaded from its file gives {'the same' if same else 'OTHER'} predictions.")
    print(f"Backend {keras.config.backend()}, {time.perf_counter() - began:.1f} s in all. Files:")
    for name in ("training.png", "predictions.png", "digits.keras"):
        print(f"  {(OUT / name).resolve()}")
    return 0 if same and accuracy >= 0.98 else 1


if __name__ == "__main__":
    sys.exit(main())
