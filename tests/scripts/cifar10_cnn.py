"""A small VGG on CIFAR-10 through tensorflow.keras."""

from tensorflow import keras
from tensorflow.keras import datasets, layers, models, optimizers, regularizers
from tensorflow.keras.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tensorflow.keras.utils import to_categorical

(train_images, train_labels), (test_images, test_labels) = datasets.cifar10.load_data()
train_images, test_images = train_images / 255.0, test_images / 255.0
class_names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
print("A", class_names[train_labels[0][0]])

model = models.Sequential()
model.add(layers.Conv2D(4, (3, 3), activation="relu", input_shape=(32, 32, 3)))
model.add(layers.MaxPooling2D((2, 2)))
model.add(layers.Conv2D(8, (3, 3), activation="relu"))
model.add(layers.MaxPooling2D((2, 2)))
model.add(layers.Flatten())
model.add(layers.Dense(8, activation="relu"))
model.add(layers.Dense(10))
model.summary()
model.compile(
    optimizer="adam",
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
history = model.fit(train_images, train_labels, epochs=2, validation_data=(test_images, test_labels))
test_loss, test_acc = model.evaluate(test_images, test_labels, verbose=2)
print("accuracies", len(history.history["accuracy"]), len(history.history["val_accuracy"]))

deep = keras.Sequential(
    [
        Conv2D(
            4, 3, padding="same", activation="relu", kernel_regularizer=regularizers.l2(1e-4), input_shape=(32, 32, 3)
        ),
        BatchNormalization(),
        MaxPooling2D(4),
        Dropout(0.2),
        Flatten(),
        Dense(10, activation="softmax"),
    ]
)
sgd = optimizers.SGD(learning_rate=0.01, momentum=0.9, nesterov=True)
deep.compile(loss="categorical_crossentropy", optimizer=sgd, metrics=["accuracy"])
deep.fit(
    train_images,
    to_categorical(train_labels, 10),
    batch_size=8,
    epochs=1,
    validation_split=0.2,
    shuffle=True,
    verbose=0,
)
print("probabilities", deep.predict(test_images).shape)
