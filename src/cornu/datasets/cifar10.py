"""Small colour images of ten classes. https://www.cs.toronto.edu/~kriz/cifar.html"""

from __future__ import annotations

from cornu.datasets._cifar import read
from cornu.datasets._files import TORONTO, Split, fetch

__all__ = ["load_data"]


def load_data() -> Split:
    """CIFAR-10: images `(50000, 32, 32, 3)` for training, `(10000, 32, 32, 3)` for tests, labels `(…, 1)`; uint8.

    Returns `(x_train, y_train), (x_test, y_test)`; channels come first where `image_data_format` says so. The classes:
    airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck.
    """
    archive = fetch(
        "cifar-10-python.tar.gz",
        TORONTO + "cifar-10-python.tar.gz",
        keras_names=("cifar-10-batches-py-target_archive", "cifar-10-batches-py.tar.gz"),
    )
    train = [f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)]
    return read(archive, train, ["cifar-10-batches-py/test_batch"], "labels")
