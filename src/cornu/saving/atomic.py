"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cornu.base.errors import ArgumentError

PART = ".part"
"""Ending of files that are not complete; those left behind by a killed process may be removed."""


@contextlib.contextmanager
def atomic_write(path: Path, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when the block ends well, and goes when it does not.

    Whenever the machine stops, `path` holds the old bytes or the new ones. Raises ArgumentError if the file exists and
    may not be overwritten, or if its folder does not exist; OSError where the disk fails, and then nothing is changed.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not overwrite:
        raise ArgumentError(f"The file {path} exists already; pass overwrite=True, or another name.")
    if not path.parent.is_dir():
        raise ArgumentError(f"The folder {path.parent} does not exist; make it first.")
    temporary = path.with_name(f".{path.name[:60]}.{secrets.token_hex(4)}{PART}")  # 255 bytes at most
    raw = io.FileIO(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), "r+")
    try:
        with io.BufferedRandom(raw, 1 << 20) as file:  # writes again what a short write left
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to see
            raw.close()
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in the folder durable, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems without it
            raise
    finally:
        os.close(handle)
