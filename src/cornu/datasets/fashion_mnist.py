"""Articles of clothing. https://arxiv.org/abs/1708.07747"""

from __future__ import annotations

import gzip
import math
import struct
import zlib

import numpy as np

from cornu.base import config
from cornu.base.errors import CorruptFileError
from cornu.datasets._files import STORAGE, Split, fetch

__all__ = ["load_data"]


def load_data() -> Split:
    """Fashion-MNIST: grey images `(60000, 28, 28)` for training, `(10000, 28, 28)` for tests, labels 0 … 9; uint8.

    Returns `(x_train, y_train), (x_test, y_test)`. The classes: T-shirt/top, trouser, pullover, dress, coat, sandal,
    shirt, sneaker, bag, ankle boot.
    """
    x_train, y_train, x_test, y_test = (
        _idx(name)
        for name in (
            "train-images-idx3-ubyte.gz",
            "train-labels-idx1-ubyte.gz",
            "t10k-images-idx3-ubyte.gz",
            "t10k-labels-idx1-ubyte.gz",
        )
    )
    return (x_train, y_train), (x_test, y_test)


def _idx(name: str) -> np.ndarray:
    """An array of bytes in the IDX format: two zeros, a type, the rank, the shape, big-endian, then the values."""
    file = fetch(name, STORAGE + name, "datasets/fashion-mnist")
    try:
        with gzip.open(file) as stream:
            zeros, kind, rank = struct.unpack(">HBB", begin := stream.read(4))
            shape = struct.unpack(f">{rank}I", stream.read(4 * rank))
            if (zeros, kind) != (0, 8) or math.prod(shape) > config.load_limits().bytes:
                raise ValueError(f"it begins with {begin!r} and the shape {shape}")
            data = stream.read(math.prod(shape) + 1)  # one more shows that there is more
        return np.frombuffer(data, "uint8").reshape(shape).copy()
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise CorruptFileError(f"{file} is no gzipped IDX file of bytes: {error}.") from error
