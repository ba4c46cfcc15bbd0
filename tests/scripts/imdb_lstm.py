"""Sentiment of film reviews: pad_sequences, Embedding, LSTM."""

from keras.datasets import imdb
from keras.layers import LSTM, Bidirectional, Dense, Embedding, SpatialDropout1D
from keras.models import Sequential
from keras.preprocessing import sequence

max_features = 50
maxlen = 12
batch_size = 8

print("Loading data...")
(x_train, y_train), (x_test, y_test) = imdb.load_data(num_words=max_features)
print(len(x_train), "train sequences")
word_index = imdb.get_word_index()
reverse_word_index = dict([(value, key) for (key, value) in word_index.items()])
print("decoded:", len(" ".join([reverse_word_index.get(i - 3, "?") for i in x_train[0]])) > 0)

x_train = sequence.pad_sequences(x_train, maxlen=maxlen)
x_test = sequence.pad_sequences(x_test, maxlen=maxlen)
print("x_train shape:", x_train.shape)

model = Sequential()
model.add(Embedding(max_features, 8, input_length=maxlen))
model.add(SpatialDropout1D(0.1))
model.add(LSTM(4, dropout=0.2, recurrent_dropout=0.2))
model.add(Dense(1, activation="sigmoid"))
model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=batch_size, epochs=1, validation_data=(x_test, y_test))
score, acc = model.evaluate(x_test, y_test, batch_size=batch_size)
print("Test score is a number:", score > 0)

model = Sequential()
model.add(Embedding(max_features, 8, mask_zero=True))
model.add(Bidirectional(LSTM(4)))
model.add(Dense(1, activation="sigmoid"))
model.compile("rmsprop", "binary_crossentropy", metrics=["acc"])
history = model.fit(x_train, y_train, batch_size=batch_size, epochs=1, verbose=0)
print("acc" in history.history, len(history.history["acc"]))
