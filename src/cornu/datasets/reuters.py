"""Newswires of 46 topics as sequences of word ranks. https://archive.ics.uci.edu/dataset/137/reuters+21578"""

from __future__ import annotations

import numpy as np

from cornu.base.checks import within
from cornu.datasets._files import STORAGE, Split, fetch, read_json, read_npz, shuffled, words

__all__ = ["get_label_names", "get_word_index", "load_data"]


def load_data(
    path: str = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> Split:
    """Reuters: 11,228 newswires with topics 0 … 45, the last `test_split` of them for tests.

    Returns `(x_train, y_train), (x_test, y_test)`; an `x` is an object array of lists of ints. A word of rank r is
    written as r + `index_from`, a text begins with `start_char`. Numbers below `skip_top` or from `num_words` on
    become `oov_char` (or vanish, where that is None); texts of `maxlen` or more numbers are left out. The order
    follows `seed`.
    """
    within("load_data", "[0, 1)", test_split=test_split)
    x, y = read_npz(fetch(path, STORAGE + "reuters.npz"), "x", "y")
    order = shuffled(len(x), np.random.RandomState(seed))
    ((x, y),) = words([(x[order], y[order])], num_words, skip_top, maxlen, start_char, oov_char, index_from)
    end = int(len(x) * (1 - test_split))
    return (x[:end], y[:end]), (x[end:], y[end:])


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """The rank of each word by frequency, from 1. `load_data` adds `index_from` to it."""
    return read_json(fetch(path, STORAGE + "reuters_word_index.json"))


def get_label_names() -> tuple[str, ...]:
    """The names of the 46 topics; a label is a place in this tuple."""
    return tuple(
        "cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves ship cotton "
        "carcass crude nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin strategic-metal livestock "
        "retail ipi iron-steel rubber heat jobs lei bop zinc orange pet-chem dlr gas silver wpi hog lead".split()
    )
