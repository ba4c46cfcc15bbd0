"""`import tensorflow as tf` for nothing but tf.keras."""

import numpy as np
import tensorflow as tf
from tensorflow.keras.layers import Dense, Input
from tensorflow.keras.models import Model, Sequential
from tensorflow.keras.optimizers import Adam

mnist = tf.keras.datasets.mnist
(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = x_train / 255.0, x_test / 255.0

model = tf.keras.models.Sequential(
    [
        tf.keras.layers.Flatten(input_shape=(28, 28)),
        tf.keras.layers.Dense(16, activation="relu"),
        tf.keras.layers.Dropout(0.2),
        tf.keras.layers.Dense(10),
    ]
)
loss_fn = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
print("loss", float(loss_fn(y_train[:1], model(x_train[:1]))) > 0)
model.compile(optimizer="adam", loss=loss_fn, metrics=["accuracy"])
model.fit(x_train, y_train, epochs=2)
model.evaluate(x_test, y_test, verbose=2)
probability_model = tf.keras.Sequential([model, tf.keras.layers.Softmax()])
print("sum", np.round(np.sum(probability_model(x_test[:5])), 3))

inputs = Input(shape=(4,))
functional = Model(inputs, Dense(2)(Dense(3, activation="relu")(inputs)))
functional.compile(Adam(learning_rate=0.1), "mse")
print("model of", functional.count_params(), Sequential.__name__, tf.keras.__name__)
