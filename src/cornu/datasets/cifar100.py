"""Small colour images of a hundred classes. https://www.cs.toronto.edu/~kriz/cifar.html"""

from __future__ import annotations

from cornu.base.errors import bad_choice
from cornu.datasets._cifar import read
from cornu.datasets._files import TORONTO, Split, fetch

__all__ = ["load_data"]


def load_data(label_mode: str = "fine") -> Split:
    """CIFAR-100: images `(50000, 32, 32, 3)` for training, `(10000, 32, 32, 3)` for tests, labels `(…, 1)`; uint8.

    `label_mode` is `"fine"` for the 100 classes or `"coarse"` for their 20 groups. Returns
    `(x_train, y_train), (x_test, y_test)`; channels come first where `image_data_format` says so.
    """
    if label_mode not in ("fine", "coarse"):
        raise bad_choice("label_mode", label_mode, ("fine", "coarse"))
    archive = fetch(
        "cifar-100-python.tar.gz",
        TORONTO + "cifar-100-python.tar.gz",
        keras_names=("cifar-100-python-target_archive",),
    )
    return read(archive, ["cifar-100-python/train"], ["cifar-100-python/test"], f"{label_mode}_labels")
