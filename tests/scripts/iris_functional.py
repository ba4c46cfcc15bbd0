"""Iris in the Functional style, with plots from the history."""

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from keras.layers import Dense, Input, concatenate
from keras.models import Model
from keras.utils import plot_model, set_random_seed, to_categorical
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

set_random_seed(1)
X, y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
X_train, X_test, y_train, y_test = train_test_split(X, to_categorical(y), test_size=0.3, random_state=0)

sepal = Input(shape=(2,), name="sepal")
petal = Input(shape=(2,), name="petal")
x = concatenate([Dense(8, activation="relu")(sepal), Dense(8, activation="relu")(petal)])
output = Dense(3, activation="softmax", name="kind")(x)
model = Model(inputs=[sepal, petal], outputs=output)
model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["acc"])
model.summary()
plot_model(model, to_file="iris.dot", show_shapes=True)

history = model.fit(
    [X_train[:, :2], X_train[:, 2:]], y_train, validation_split=0.2, epochs=int(sys.argv[1]), batch_size=16, verbose=0
)
for name in ("acc", "loss"):
    plt.plot(history.history[name])
    plt.plot(history.history["val_" + name])
    plt.title("model " + name)
    plt.xlabel("epoch")
    plt.legend(["train", "test"], loc="upper left")
    plt.savefig(name + ".png")
    plt.clf()

results = model.evaluate({"sepal": X_test[:, :2], "petal": X_test[:, 2:]}, y_test, verbose=0)
print("test loss, test acc:", np.round(results, 2).shape)
classes = np.argmax(model.predict([X_test[:, :2], X_test[:, 2:]]), axis=-1)
print("right:", np.mean(classes == np.argmax(y_test, axis=1)) > 0.5)
