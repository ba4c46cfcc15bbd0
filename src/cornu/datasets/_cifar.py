"""The archives of CIFAR-10 and CIFAR-100: pickled batches, read without unpacking."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cornu.base import config
from cornu.base.errors import CorruptFileError
from cornu.datasets._files import Split, unpickle


def read(archive: Path, train: Sequence[str], test: Sequence[str], labels: str) -> Split:
    """Images and labels of the members `train` and `test` of the archive."""
    try:
        with tarfile.open(archive) as tar:
            # In the order of the archive: seeking back in a compressed file means to begin anew.
            batches = {
                member.name: _batch(unpickle(tar.extractfile(member), f"{archive}: {member.name!r}"), labels, archive)  # type: ignore[arg-type]
                for member in tar
                if member.isfile() and member.name in (*train, *test)
            }
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise CorruptFileError(f"{archive} is damaged or incomplete: {error}.") from error
    if missing := {*train, *test} - set(batches):
        raise CorruptFileError(f"{archive} has no {sorted(missing)[0]!r}.")
    return _join([batches[name] for name in train]), _join([batches[name] for name in test])


def _batch(data: object, labels: str, archive: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        x, y = data[b"data"], data[labels.encode()]  # type: ignore[index]
        return x.reshape(-1, 3, 32, 32), np.asarray(y, "uint8")[:, None]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CorruptFileError(f"{archive} holds no images with {labels!r}: {error}.") from error


def _join(batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    x, y = map(np.concatenate, zip(*batches, strict=True))
    return (x if config.image_data_format() == "channels_first" else x.transpose(0, 2, 3, 1).copy()), y
