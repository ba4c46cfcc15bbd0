"""Handwritten digits. http://yann.lecun.com/exdb/mnist/"""

from __future__ import annotations

from cornu.datasets._files import STORAGE, Split, fetch, read_npz

__all__ = ["load_data"]


def load_data(path: str = "mnist.npz") -> Split:
    """MNIST: grey images `(60000, 28, 28)` for training and `(10000, 28, 28)` for tests, with labels 0 … 9; uint8.

    Returns `(x_train, y_train), (x_test, y_test)`. `path` is the name in the cache, or an absolute path.
    """
    names = ("x_train", "y_train", "x_test", "y_test")
    x_train, y_train, x_test, y_test = read_npz(fetch(path, STORAGE + "mnist.npz"), *names)
    return (x_train, y_train), (x_test, y_test)
