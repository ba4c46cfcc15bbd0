"""Whether a film review is kind, by an LSTM over its words. Run: `python examples/imdb_lstm.py`."""

from __future__ import annotations

import cornu as keras
from cornu import layers

WORDS, LENGTH = 20_000, 80


def main() -> None:
    (x_train, y_train), (x_test, y_test) = keras.datasets.imdb.load_data(num_words=WORDS)
    x_train, x_test = (keras.utils.pad_sequences(x, LENGTH) for x in (x_train, x_test))

    model = keras.Sequential(
        [
            layers.Input((LENGTH,), dtype="int32"),
            layers.Embedding(WORDS, 64, mask_zero=True),
            layers.LSTM(32),
            layers.Dropout(0.3),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    stop = keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True)
    model.fit(x_train, y_train, batch_size=64, epochs=5, validation_split=0.2, callbacks=[stop])
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"Test accuracy {accuracy:.2%}, test loss {loss:.4f}")


if __name__ == "__main__":
    main()
