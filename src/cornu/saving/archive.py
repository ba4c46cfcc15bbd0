"""Zip archives, the form of `.keras` files: what members they may have, and their bytes."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from cornu.base import config
from cornu.saving.stored import corrupt, parsing, unsafe

_FREE = 64 << 20
"""Members up to this size may be compressed as much as they like."""
_HEADER = 30
"""Bytes before the name of a member."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def is_zip(path: Path) -> bool:
    """Whether the file begins as an archive; one that only ends as an archive might be two files in one."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\3\4"


def members(path: Path, known: tuple[str, ...]) -> dict[str, bytes]:
    """The bytes of the known members of the archive, by name; all its members have been checked.

    Others may only stand in the folder `assets`, and are not read. Nothing is unpacked to disk. Raises UnsafeFileError
    for names that lead elsewhere or stand twice, for links and devices, for what would grow beyond the limits;
    CorruptFileError for what is cut off, overlaps or fails its checksum.
    """
    limits = config.load_limits()
    with parsing(path, None, "cannot be read as a zip archive"), zipfile.ZipFile(path) as archive:
        listed = archive.infolist()
        if len(listed) > limits.members:
            raise unsafe(path, None, f"holds {len(listed)} members, the limit is {limits.members}.")
        _check_names(path, [info.orig_filename for info in listed], known)
        end = 0
        for info in sorted(listed, key=lambda info: info.header_offset):
            _check_member(path, info, end)
            end = info.header_offset + _HEADER + len(info.orig_filename.encode()) + info.compress_size
        return {info.filename: _inflated(path, archive, info) for info in listed if info.filename in known}


def _check_names(path: Path, names: list[str], known: tuple[str, ...]) -> None:
    seen: set[tuple[str, ...]] = set()
    for name in names:
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name or ":" in name or "\0" in name:
            raise unsafe(path, name, "a member's name leads out of the archive.")
        if parts in seen:
            raise unsafe(path, name, "stands in the archive twice.")
        if name not in known and parts[:1] != ("assets",):
            raise unsafe(path, name, "is a member that no saved model has.")
        seen.add(parts)


def _check_member(path: Path, info: zipfile.ZipInfo, end: int) -> None:
    limits, kind = config.load_limits(), stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise unsafe(path, info.filename, "is a link or a device, expected a file.")
    if info.compress_type not in _METHODS or info.flag_bits & 1:
        raise unsafe(path, info.filename, "is encrypted, or compressed by another method than deflate.")
    if info.header_offset < end:
        raise unsafe(path, info.filename, "shares bytes with another member.")
    most = limits.json_bytes if info.filename.endswith(".json") else limits.bytes
    most = min(most, max(_FREE, int(info.compress_size * limits.expansion)))
    if info.file_size > most:
        raise unsafe(
            path, info.filename, f"grows from {info.compress_size} to {info.file_size} bytes, the limit is {most}."
        )


def _inflated(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as member:
        data = member.read(info.file_size)
        if len(data) != info.file_size or member.read(1):
            raise corrupt(path, info.filename, f"has not the {info.file_size} bytes that were announced.")
    return data
