"""A layer, a loss, a metric, an optimizer, a callback and a training step of the user's own."""

import keras
import numpy as np
from keras import layers, ops


class Linear(keras.layers.Layer):
    def __init__(self, units=32, **kwargs):
        super(Linear, self).__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="random_normal", trainable=True)
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True)
        super(Linear, self).build(input_shape)

    def call(self, inputs):
        return ops.matmul(inputs, self.w) + self.b

    def get_config(self):
        config = super(Linear, self).get_config()
        config.update({"units": self.units})
        return config


def mean_pred(y_true, y_pred):
    return ops.mean(y_pred)


def weighted_squares(y_true, y_pred):
    return ops.mean(2.0 * ops.square(y_true - y_pred), axis=-1)


class SignDescent(keras.optimizers.Optimizer):
    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * ops.sign(gradient))


class Losses(keras.callbacks.Callback):
    def on_train_begin(self, logs={}):
        self.losses = []

    def on_batch_end(self, batch, logs={}):
        self.losses.append(logs.get("loss"))


class OneStep(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = Linear(4)
        self.last = layers.Dense(1)
        self.tracker = keras.metrics.Mean(name="mine")

    def call(self, x):
        return self.last(ops.relu(self.hidden(x)))

    @property
    def metrics(self):
        return [self.tracker]


x = np.random.rand(64, 3).astype("float32")
y = x.sum(axis=1, keepdims=True)

model = keras.models.Sequential([Linear(8, input_shape=(3,)), layers.Activation("tanh"), Linear(1)])
model.compile(loss=weighted_squares, optimizer=SignDescent(learning_rate=0.01), metrics=["mae", mean_pred])
losses = Losses()
model.fit(x, y, epochs=3, batch_size=16, callbacks=[losses], verbose=0)
print("losses", len(losses.losses), losses.losses[-1] < losses.losses[0])

objects = {"Linear": Linear, "weighted_squares": weighted_squares, "mean_pred": mean_pred, "SignDescent": SignDescent}
model.save("custom.keras")
again = keras.models.load_model("custom.keras", custom_objects=objects)
print("same", np.allclose(again.predict(x, verbose=0), model.predict(x, verbose=0)))
model.save("custom.h5")
with keras.utils.custom_object_scope(objects):
    again = keras.models.load_model("custom.h5")
print("same", np.allclose(again.predict(x, verbose=0), model.predict(x, verbose=0)))

small = OneStep()
small.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse")
print("subclassed", sorted(small.fit(x, y, epochs=1, verbose=0).history))
