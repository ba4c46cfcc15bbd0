"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cornu.base.errors import ArgumentError


@contextlib.contextmanager
def atomic_write(path: Path, overwrite: bool = True) -> Iterator[Path]:
    """A temporary path to write to; it takes the place of `path` when the block ends well, and goes when it does not.

    Raises ArgumentError if the file exists and may not be overwritten, or if its folder does not exist.
    """
    if path.exists() and not overwrite:
        raise ArgumentError(f"The file {path} exists already; pass overwrite=True, or another name.")
    if not path.parent.is_dir():
        raise ArgumentError(f"The folder {path.parent} does not exist; make it first.")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        with contextlib.suppress(OSError):  # a folder cannot be synced everywhere
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
