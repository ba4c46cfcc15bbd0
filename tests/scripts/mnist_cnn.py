"""A convolutional network on MNIST with the imports of Keras 1 and 2."""

import numpy as np
from keras import backend as K
from keras.callbacks import EarlyStopping, ModelCheckpoint
from keras.datasets import mnist
from keras.layers.convolutional import Conv2D, MaxPooling2D
from keras.layers.core import Activation, Dense, Dropout, Flatten
from keras.models import Sequential, load_model
from keras.utils import np_utils

np.random.seed(123)
img_rows, img_cols = 28, 28

(X_train, y_train), (X_test, y_test) = mnist.load_data()
if K.image_data_format() == "channels_first":
    X_train = X_train.reshape(X_train.shape[0], 1, img_rows, img_cols)
    X_test = X_test.reshape(X_test.shape[0], 1, img_rows, img_cols)
    input_shape = (1, img_rows, img_cols)
else:
    X_train = X_train.reshape(X_train.shape[0], img_rows, img_cols, 1)
    X_test = X_test.reshape(X_test.shape[0], img_rows, img_cols, 1)
    input_shape = (img_rows, img_cols, 1)
X_train = X_train.astype("float32") / 255
X_test = X_test.astype("float32") / 255
Y_train = np_utils.to_categorical(y_train, 10)
Y_test = np_utils.to_categorical(y_test, 10)

model = Sequential()
model.add(Conv2D(4, kernel_size=(3, 3), activation="relu", input_shape=input_shape))
model.add(Conv2D(4, (3, 3)))
model.add(Activation("relu"))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Dropout(0.25))
model.add(Flatten())
model.add(Dense(16, activation="relu"))
model.add(Dense(10, activation="softmax"))
model.compile(loss="categorical_crossentropy", optimizer="adadelta", metrics=["accuracy"])

callbacks = [
    EarlyStopping(monitor="val_loss", patience=3, verbose=1),
    ModelCheckpoint("best.h5", monitor="val_acc", save_best_only=True, verbose=1),
]
model.fit(X_train, Y_train, batch_size=32, epochs=2, verbose=2, validation_data=(X_test, Y_test), callbacks=callbacks)
loss, accuracy = model.evaluate(X_test, Y_test, verbose=0)

model.save("my_model.h5")
again = load_model("my_model.h5")
same = np.allclose(again.predict(X_test), model.predict(X_test))
print("Same predictions from the file: {}".format(same))
print("The best has a loss of %.2f or so" % load_model("best.h5").evaluate(X_test, Y_test, verbose=0)[0])

with open("model.json", "w") as file:
    file.write(model.to_json())
model.save_weights("model.weights.h5")
from keras.models import model_from_json

with open("model.json") as file:
    third = model_from_json(file.read())
third.load_weights("model.weights.h5")
print("Same from JSON and weights:", np.allclose(third.predict(X_test), model.predict(X_test)))
