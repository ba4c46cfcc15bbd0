"""Archives unpacked without trust: only files and folders, only below the target, only so much."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import re
import secrets
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from cornu.base.errors import ArgumentError, CorruptFileError, UnsafeFileError

MAX_MEMBERS = 2_000_000
MAX_BYTES = 512 * 2**30
MAX_RATIO = 200  # unpacked to packed
FREE_BYTES = 64 * 2**20  # unpacked size below which the ratio is nobody's concern

_CHUNK = 1 << 20
_MAX_HEADER = 1 << 20  # tarfile reads a long name or a pax header in one piece
_FORMATS = ("tar", "zip")
_DECOMPRESSORS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}


def extract_archive(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    archive_format: str | Sequence[str] | None = "auto",
) -> Path:
    """Unpack the tar (plain, gzip, bzip2, xz) or zip file `path` as `folder`, which it replaces; returns `folder`.

    The folder appears complete or not at all. `UnsafeFileError` names a member that is no plain file or folder, lies
    outside, comes twice, or makes the content too large; `CorruptFileError` one that cannot be read.
    """
    path, folder = Path(path), Path(folder)
    formats = _FORMATS if archive_format == "auto" else _as_formats(archive_format)
    members = _members(path, formats)
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}")
    old = fresh.with_name(f"{fresh.name}.old")
    fresh.mkdir(parents=True)
    try:
        for count, (name, content) in enumerate(members, start=1):
            if count > MAX_MEMBERS:
                raise UnsafeFileError(f"{path} has more than {MAX_MEMBERS} members.")
            with _reading(path, name):
                _write(path, fresh, name, content)
        if os.path.lexists(folder):
            folder.rename(old)  # removed where it is, it could be left half
        try:
            fresh.rename(folder)
        except OSError:
            if os.path.lexists(old):
                old.rename(folder)
            raise
    finally:
        for left in (fresh, old):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
    return folder


def _as_formats(archive_format: str | Sequence[str] | None) -> Sequence[str]:
    formats = [archive_format] if isinstance(archive_format, str) else list(archive_format or ())
    if not formats or not set(formats) <= set(_FORMATS):
        raise ArgumentError(f'archive_format must be "auto", "tar", "zip" or a list of these, got {archive_format!r}.')
    return formats


def _members(path: Path, formats: Sequence[str]) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Names of members with their content, None for a folder; one must be read before the next is asked for."""
    if "zip" in formats and zipfile.is_zipfile(path):
        return _zip_members(path)
    if "tar" in formats and _is_tar(path):
        return _tar_members(path)
    raise CorruptFileError(f"{path} is not a {' or '.join(formats)} archive.")


def _is_tar(path: Path) -> bool:
    with _reading(path, "its first member"), _unpacked(path) as stream, contextlib.suppress(tarfile.TarError):
        tarfile.open(fileobj=stream, mode="r:").close()
        return True
    return False


def _zip_members(path: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with _reading(path, "its list of members"), zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        limit = _limit(path)
        if sum(info.file_size for info in infos) > limit:
            raise UnsafeFileError(f"{path} unpacks to more than {limit} bytes.")
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UnsafeFileError(f"{path}: {info.filename!r} is no plain file or folder (mode {kind:#o}).")
            if info.flag_bits & 1:
                raise CorruptFileError(f"{path}: {info.filename!r} is encrypted. Unpack the archive by hand.")
            if info.is_dir():
                yield info.orig_filename, None
                continue
            with _reading(path, info.filename), archive.open(info) as content:
                yield info.orig_filename, content


def _tar_members(path: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with _reading(path, "the archive"), _unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        while (info := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # tarfile would keep them all
            if not (info.isfile() or info.isdir()) or info.issparse():
                raise UnsafeFileError(f"{path}: {info.name!r} is no plain file or folder (type {info.type!r}).")
            with _reading(path, info.name):
                yield info.name, None if info.isdir() else archive.extractfile(info)
        # tarfile takes a header it cannot read for the end; the true end is empty or zeros.
        stream.seek(archive.offset)
        if any(stream.read(tarfile.BLOCKSIZE)):
            raise CorruptFileError(f"{path} is damaged at byte {archive.offset}.")
        while stream.read(_CHUNK):  # to the checksum of the compressed file
            pass


@contextlib.contextmanager
def _reading(path: Path, member: str) -> Iterator[None]:
    """Turn the many errors of broken archives into one that names file and member."""
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError) as error:
        raise CorruptFileError(f"{path} is damaged or incomplete at {member!r}: {error}") from error
    except OSError as error:
        if error.errno is not None:  # the disk's trouble, not the archive's
            raise
        raise CorruptFileError(f"{path} is damaged at {member!r}: {error}") from error


def _limit(path: Path) -> int:
    return min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * path.stat().st_size))


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[_Bounded]:
    """The bytes of a tar file, decompressed."""
    with open(path, "rb") as raw:
        start = raw.read(6)
        raw.seek(0)
        kind = next((kind for magic, kind in _DECOMPRESSORS.items() if start.startswith(magic)), None)
        with contextlib.nullcontext(raw) if kind is None else kind(raw) as stream:
            yield _Bounded(stream, path)


class _Bounded(io.RawIOBase):
    """A stream that gives up beyond the archive's limit, and on one huge read: headers are kept in memory."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path, self._limit = stream, path, _limit(path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if offset > self._limit:
            raise UnsafeFileError(f"{self._path} unpacks to more than {self._limit} bytes.")
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= max(_MAX_HEADER, _CHUNK):
            raise UnsafeFileError(f"{self._path} has a header of {size} bytes.")
        found = self._stream.read(size)
        if self._stream.tell() > self._limit:
            raise UnsafeFileError(f"{self._path} unpacks to more than {self._limit} bytes.")
        return found

    def readinto(self, buffer: Any) -> int:
        found = self.read(min(len(buffer), _CHUNK))
        buffer[: len(found)] = found
        return len(found)


def _write(path: Path, fresh: Path, name: str, content: IO[bytes] | None) -> None:
    if not name or re.search(r"[\0\\]|^/|^[A-Za-z]:|(^|/)\.\.(/|$)", name):
        raise UnsafeFileError(f"{path}: the member {name!r} would lie outside of the folder it is unpacked into.")
    target = fresh / name
    try:
        if content is None:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as file:
            shutil.copyfileobj(content, file, _CHUNK)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UnsafeFileError(f"{path}: the member {name!r} comes twice, as file or as folder.") from error
