"""Irises from two inputs, in the Functional style, with a plot of the training. Run: `python examples/iris.py`."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import cornu as keras
from cornu import layers


def main() -> None:
    keras.utils.set_random_seed(1)
    features, kinds = load_iris(return_X_y=True)
    features = StandardScaler().fit_transform(features).astype("float32")
    x_train, x_test, y_train, y_test = train_test_split(features, kinds, test_size=0.3, stratify=kinds, random_state=0)

    def parts(x):
        return {"sepal": x[:, :2], "petal": x[:, 2:]}

    sepal, petal = keras.Input((2,), name="sepal"), keras.Input((2,), name="petal")
    hidden = layers.Concatenate()([layers.Dense(8, activation="relu")(part) for part in (sepal, petal)])
    model = keras.Model({"sepal": sepal, "petal": petal}, layers.Dense(3, activation="softmax")(hidden))
    model.summary()
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["acc"])
    history = model.fit(parts(x_train), y_train, epochs=60, validation_data=(parts(x_test), y_test), verbose=0).history

    plt.plot(history["acc"], label="training")
    plt.plot(history["val_acc"], label="test")
    plt.xlabel("epoch")
    plt.ylabel("accuracy")
    plt.legend()
    plt.savefig("iris.png")
    print(f"Test accuracy {history['val_acc'][-1]:.1%}; the curves are in iris.png")


if __name__ == "__main__":
    main()
