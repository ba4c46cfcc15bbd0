"""Film reviews, good or bad, as sequences of word ranks. https://ai.stanford.edu/~amaas/data/sentiment/"""

from __future__ import annotations

from typing import Any

import numpy as np

from cornu.datasets._files import STORAGE, Split, fetch, read_json, read_npz, shuffled, words

__all__ = ["get_word_index", "load_data"]


def load_data(
    path: str = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
    **kwargs: Any,
) -> Split:
    """IMDB: 25,000 reviews for training and 25,000 for tests, with labels 0 (bad) and 1 (good).

    Returns `(x_train, y_train), (x_test, y_test)`; an `x` is an object array of lists of ints. A word of rank r is
    written as r + `index_from`, a review begins with `start_char`. Numbers below `skip_top` or from `num_words` on
    become `oov_char` (or vanish, where that is None); reviews of `maxlen` or more numbers are left out. The order
    follows `seed`.
    """
    if "nb_words" in kwargs:  # the name it had in Keras 1
        num_words = kwargs.pop("nb_words")
    if kwargs:
        raise TypeError(f"imdb.load_data() got an unexpected keyword argument {next(iter(kwargs))!r}")
    names = ("x_train", "y_train", "x_test", "y_test")
    x_train, y_train, x_test, y_test = read_npz(fetch(path, STORAGE + "imdb.npz"), *names)
    random = np.random.RandomState(seed)
    train, test = shuffled(len(x_train), random), shuffled(len(x_test), random)
    parts = [(x_train[train], y_train[train]), (x_test[test], y_test[test])]
    train_part, test_part = words(parts, num_words, skip_top, maxlen, start_char, oov_char, index_from)
    return train_part, test_part


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """The rank of each word by frequency, from 1. `load_data` adds `index_from` to it."""
    return read_json(fetch(path, STORAGE + "imdb_word_index.json"))
