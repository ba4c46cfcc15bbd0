"""Hostile and broken archives, written here."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cornu.base.errors import ArgumentError, CorruptFileError, UnsafeFileError
from cornu.utils import archives
from cornu.utils.archives import extract_archive

Member = tuple[str, bytes] | tarfile.TarInfo | zipfile.ZipInfo


def tar(*members: Any, format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as file:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                file.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                file.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def zipped(*members: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return buffer.getvalue()


def tar_info(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_info(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def content(folder: Path) -> dict[str, bytes | None]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))
    }


def extract(tmp_path: Path, data: bytes, **arguments: Any) -> dict[str, bytes | None]:
    file = tmp_path / "archive"
    file.write_bytes(data)
    return content(extract_archive(file, tmp_path / "out", **arguments))


def refused(tmp_path: Path, data: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        extract(tmp_path, data)
    assert str(tmp_path / "archive") in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["archive"]  # nothing half-done, nothing outside


FILES = [("a.txt", b"a"), ("./b/c.txt", b"c" * 3_000_000), ("b/ü—long" + "x" * 150, b""), ("d/e/f", b"f")]
EXPECTED = {
    "a.txt": b"a",
    "b": None,
    "b/c.txt": b"c" * 3_000_000,
    FILES[2][0]: b"",
    "d": None,
    "d/e": None,
    "d/e/f": b"f",
}


@pytest.mark.parametrize(
    "data",
    [
        tar(*FILES),
        tar(*FILES, format=tarfile.GNU_FORMAT),
        gzip.compress(tar(*FILES)),
        bz2.compress(tar(*FILES)),
        lzma.compress(tar(*FILES)),
        zipped(*FILES),
        tar(tar_info("d", tarfile.DIRTYPE), tar_info("d/e", tarfile.DIRTYPE), tar_info("./", tarfile.DIRTYPE), *FILES),
        zipped(("d/", b""), ("d/e/", b""), *FILES),
    ],
    ids=["tar", "gnu", "gz", "bz2", "xz", "zip", "tar-folders", "zip-folders"],
)
def test_extracts(tmp_path, data) -> None:
    assert extract(tmp_path, data) == EXPECTED


def test_empty_archives(tmp_path) -> None:
    assert extract(tmp_path, tar()) == {}
    assert extract(tmp_path, zipped()) == {}


def test_replaces_what_was_there(tmp_path) -> None:
    extract(tmp_path, tar(("old", b"")))
    assert extract(tmp_path, tar(("new", b""))) == {"new": b""}


@pytest.mark.parametrize("what", ["file", "link", "dangling link"])
def test_replaces_files_and_links_and_leaves_nothing_of_them(tmp_path, what) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    if what == "file":
        out.write_text("old")
    else:
        out.symlink_to(elsewhere)
    if what == "link":
        elsewhere.mkdir()
        (elsewhere / "mine").write_text("mine")
    assert extract(tmp_path, tar(("new", b""))) == {"new": b""}
    assert sorted(p.name for p in tmp_path.iterdir() if p != elsewhere) == ["archive", "out"]
    assert what != "link" or (elsewhere / "mine").read_text() == "mine"


def test_a_refused_archive_leaves_what_was_there(tmp_path) -> None:
    extract(tmp_path, tar(("old", b"")))
    with pytest.raises(UnsafeFileError):
        extract(tmp_path, tar(("new", b""), ("../x", b"")))
    assert content(tmp_path / "out") == {"old": b""}


@pytest.mark.parametrize("call", range(1, 3))
def test_a_failing_rename_leaves_what_was_there(call, tmp_path, monkeypatch) -> None:
    extract(tmp_path, tar(("old", b"")))
    rename, calls = Path.rename, itertools.count(1)

    def failing(self: Path, target: Path) -> Path:
        if next(calls) == call:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output"):
        extract(tmp_path, tar(("new", b"")))
    assert content(tmp_path / "out") == {"old": b""}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive", "out"]


def test_a_kill_leaves_no_half_folder(tmp_path, monkeypatch) -> None:
    extract(tmp_path, tar(("a", b"1"), ("b", b"1")))

    def killed(folder: Path, **unused: Any) -> None:
        next(folder.iterdir()).unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(archives.shutil, "rmtree", killed)
    with pytest.raises((KeyboardInterrupt, StopIteration, OSError)):
        extract(tmp_path, tar(("a", b"2"), ("b", b"2")))
    assert content(tmp_path / "out") in ({"a": b"1", "b": b"1"}, {"a": b"2", "b": b"2"})


@pytest.mark.parametrize("make", [tar, zipped])
@pytest.mark.parametrize(
    "name",
    ["/etc/evil", "../evil", "a/../../evil", "a/..", "..", "a\\..\\..\\evil", "C:/evil", "c:evil", "\\\\host\\evil"],
)
def test_names_that_lead_outside(tmp_path, make, name) -> None:
    refused(tmp_path, make(("fine", b""), (name, b"evil")), UnsafeFileError, "would lie outside")


def test_a_name_with_a_null(tmp_path) -> None:
    data = zipped(("evil.txt?.png", b"evil")).replace(b"evil.txt?.png", b"evil.txt\0.png")
    refused(tmp_path, data, UnsafeFileError, "would lie outside")


@pytest.mark.parametrize("make", [tar, zipped])
@pytest.mark.parametrize(
    "names",
    [("a", "a"), ("a", "./a"), ("a", "b//c", "b/c"), ("a", "a/b"), ("a/b", "a")],
    ids=lambda names: "-".join(names),
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_come_twice(tmp_path, make, names) -> None:
    refused(tmp_path, make(*((name, b"x") for name in names)), UnsafeFileError, "comes twice")


@pytest.mark.parametrize(
    "info",
    [
        tar_info("link", tarfile.SYMTYPE, "/etc/passwd"),
        tar_info("link", tarfile.LNKTYPE, "../../etc/passwd"),
        tar_info("null", tarfile.CHRTYPE),
        tar_info("disk", tarfile.BLKTYPE),
        tar_info("pipe", tarfile.FIFOTYPE),
        tar_info("sparse", tarfile.GNUTYPE_SPARSE),
        tar_info("odd", b"Z"),
    ],
    ids=lambda info: info.name + repr(info.type),
)
def test_tar_members_that_are_no_files(tmp_path, info) -> None:
    refused(tmp_path, tar(("fine", b""), info), UnsafeFileError, f"'{info.name}' is no plain file or folder")


def test_a_file_behind_a_link_never_gets_there(tmp_path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    data = tar(tar_info("way", tarfile.SYMTYPE, str(outside.parent)), (f"way/{outside.name}", b"evil"))
    refused(tmp_path, data, UnsafeFileError, "no plain file")
    assert not outside.exists()


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_zip_members_that_are_no_files(tmp_path, mode) -> None:
    refused(
        tmp_path, zipped((zip_info("odd", mode | 0o777), b"/etc")), UnsafeFileError, "'odd' is no plain file or folder"
    )


def test_encrypted_members(tmp_path) -> None:
    data = bytearray(zipped(("secret", b"x")))
    data[6] |= 1  # the flags of the local header and of the central directory
    data[data.index(b"PK\1\2") + 8] |= 1
    refused(tmp_path, bytes(data), CorruptFileError, "'secret' is encrypted")


def test_modes_are_not_taken_over(tmp_path) -> None:
    info = tarfile.TarInfo("program")
    info.mode = 0o4777
    extract(tmp_path, tar(info))
    assert (tmp_path / "out" / "program").stat().st_mode & 0o7111 == 0


@pytest.fixture
def tight(monkeypatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 100_000)


BOMB = ("bomb", bytes(20_000_000))


@pytest.mark.parametrize(
    "data",
    [gzip.compress(tar(BOMB)), bz2.compress(tar(BOMB)), lzma.compress(tar(BOMB)), zipped(BOMB)],
    ids=["gz", "bz2", "xz", "zip"],
)
def test_bombs(tmp_path, tight, data) -> None:
    refused(tmp_path, data, UnsafeFileError, "unpacks to more than")


def test_a_zip_that_lies_about_sizes(tmp_path, tight) -> None:
    """Declared small, inflates large: the declared size is all that is read, and the checksum tells."""
    data = bytearray(zipped(BOMB))
    directory = data.index(b"PK\1\2")
    data[directory + 24 : directory + 28] = struct.pack("<I", 1000)
    refused(tmp_path, bytes(data), CorruptFileError, "'bomb'.*CRC")


def test_a_zip_whose_members_overlap(tmp_path, monkeypatch) -> None:
    """Many names for one compressed stream: the sum counts."""
    monkeypatch.setattr(archives, "FREE_BYTES", 5_000_000)
    one = zipped(("a", bytes(1_000_000)))
    start = one.index(b"PK\1\2")
    entry, end = one[start : one.index(b"PK\5\6")], one[one.index(b"PK\5\6") :]
    entries = b"".join(entry[:46] + bytes([97 + i]) + entry[47:] for i in range(20))
    data = one[:start] + entries + end[:8] + struct.pack("<HHII", 20, 20, len(entries), start) + end[20:]
    with pytest.raises((UnsafeFileError, CorruptFileError)):
        extract(tmp_path, data)
    assert not (tmp_path / "out").exists()


def test_too_many_members(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    refused(tmp_path, tar(*((str(i), b"") for i in range(4))), UnsafeFileError, "more than 3 members")


def test_total_size(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 10_000)
    refused(tmp_path, tar(("a", bytes(20_000))), UnsafeFileError, "unpacks to more than 10000 bytes")


def test_a_huge_header(tmp_path) -> None:
    """A name or pax header of gigabytes would be read into memory."""
    header = tar_info("x", tarfile.XHDTYPE)
    header.size = 1 << 30
    refused(tmp_path, gzip.compress(tar(("a", b""))[:512] + header.tobuf()), UnsafeFileError, "has a header of")


WHOLE = tar(("a", b"a" * 5000), ("b", b"b" * 5000))


@pytest.mark.parametrize(
    "data",
    [
        WHOLE[:3000],
        WHOLE[:6200],
        WHOLE[:5632] + b"garbage!" * 64 + WHOLE[6144:],
        gzip.compress(WHOLE)[:-20],
        gzip.compress(WHOLE)[:-8] + bytes(8),
        gzip.compress(WHOLE)[:60] + b"damage" + gzip.compress(WHOLE)[66:],
        bz2.compress(WHOLE)[:-20],
        bz2.compress(WHOLE)[:60] + b"damage" + bz2.compress(WHOLE)[66:],
        lzma.compress(WHOLE)[:-20],
        zipped(("a", b"a" * 5000))[:-4] + b"xx",
        zipped(("a", bytes(range(256)))).replace(bytes(range(100, 110)), bytes(10)),
        b"",
        b"neither",
        b"\x1f\x8b neither",
        b"BZh neither",
    ],
    ids=[
        "in content",
        "in a header",
        "garbage header",
        "gz short",
        "gz checksum",
        "gz damaged",
        "bz2 short",
        "bz2 damaged",
        "xz short",
        "zip end",
        "zip content",
        "empty",
        "text",
        "gz magic",
        "bz2 magic",
    ],
)
def test_damage(tmp_path, data) -> None:
    refused(tmp_path, data, CorruptFileError, "damaged|incomplete|is not a tar or zip archive")


@pytest.mark.parametrize(
    ("make", "archive_format", "good"),
    [
        (tar, "tar", True),
        (tar, "zip", False),
        (zipped, "zip", True),
        (zipped, ["tar", "zip"], True),
        (zipped, ("tar",), False),
    ],
)
def test_formats(tmp_path, make: Callable[..., bytes], archive_format: str | Sequence[str], good: bool) -> None:
    if good:
        assert extract(tmp_path, make(("a", b"")), archive_format=archive_format) == {"a": b""}
    else:
        with pytest.raises(CorruptFileError, match="is not a"):
            extract(tmp_path, make(("a", b"")), archive_format=archive_format)


@pytest.mark.parametrize("archive_format", ["rar", None, [], ["zip", "rar"]])
def test_unknown_formats(tmp_path, archive_format) -> None:
    with pytest.raises(ArgumentError, match='must be "auto", "tar", "zip"'):
        extract(tmp_path, tar(), archive_format=archive_format)


def test_missing_file(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        extract_archive(tmp_path / "none", tmp_path / "out")
