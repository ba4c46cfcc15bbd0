"""get_file against a server that stalls, truncates and lies."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest

from cornu.base.errors import ArgumentError, CorruptFileError, DownloadError
from cornu.utils import files, get_file

BODY = bytes(range(256)) * 4096  # 1 MiB
SHA = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BACKOFF", 0.001)
    monkeypatch.setattr(files, "TIMEOUT", 0.4)
    monkeypatch.delenv("CORNU_MIRROR", raising=False)


@pytest.fixture(autouse=True)
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CORNU_HOME", str(tmp_path / "cornu"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path


@pytest.fixture
def url(server) -> str:
    server.files["/some/data.bin"] = BODY
    return f"{server.url}/some/data.bin"


def cache(tmp_path: Path) -> Path:
    return tmp_path / "cornu" / "datasets"


def left(folder: Path) -> list[str]:
    """Names in a folder but for the locks."""
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"fname": "other.bin"},
        {"fname": Path("other.bin")},
        {"file_hash": SHA},
        {"file_hash": SHA.upper(), "hash_algorithm": "sha256"},
        {"file_hash": MD5},
        {"md5_hash": MD5},
        {"file_hash": MD5, "hash_algorithm": "md5"},
    ],
)
def test_downloads_once(server, url, tmp_path, arguments) -> None:
    path = get_file(origin=url, **arguments)
    assert path == str(cache(tmp_path) / os.fspath(arguments.get("fname", "data.bin")))
    assert Path(path).read_bytes() == BODY
    assert get_file(origin=url, **arguments) == path
    assert len(server.requests) == 1
    assert left(cache(tmp_path)) == [Path(path).name]
    get_file(origin=url, force_download=True, **arguments)
    assert len(server.requests) == 2


def test_places(url, tmp_path) -> None:
    assert get_file(origin=url, cache_dir=tmp_path / "x", cache_subdir="y/z") == str(tmp_path / "x/y/z/data.bin")
    assert get_file(origin=url, cache_subdir=tmp_path / "abs") == str(tmp_path / "abs/data.bin")
    assert get_file(origin=url + "?raw=true", fname=None) == str(cache(tmp_path) / "data.bin")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs `origin`"),
        ({"origin": "file:///etc/passwd"}, "http or https URL"),
        ({"origin": "ftp://host/x"}, "http or https URL"),
        ({"origin": "http://[bad/f"}, r"`origin` must be an http or https URL, got 'http://\[bad/f'"),
        ({"origin": "http://host:port/f"}, "http or https URL"),
        ({"origin": "https:///f"}, "http or https URL"),
        ({"origin": "http://host/"}, "ends in no file name"),
        ({"origin": "http://host/%2e%2e"}, "plain file name"),
        ({"origin": "http://host/a%2Fb"}, "plain file name"),
        ({"origin": "http://host/x", "fname": "../x"}, "plain file name"),
        ({"origin": "http://host/x", "fname": "/etc/x"}, "plain file name"),
        ({"origin": "http://host/x", "file_hash": "abc"}, "64 hexadecimal digits"),
        ({"origin": "http://host/x", "file_hash": SHA, "hash_algorithm": "md5"}, "32 hexadecimal digits"),
        ({"origin": "http://host/x", "file_hash": SHA, "hash_algorithm": "sha1"}, '"sha256" or "md5"'),
    ],
)
def test_bad_arguments(arguments, message) -> None:
    with pytest.raises(ArgumentError, match=message):
        get_file(**arguments)


@pytest.mark.parametrize(
    "trouble",
    [
        "fail 500",
        "fail 503",
        "fail 429",
        "truncate",
        "truncate at 0",
        "stall",
        "stall at 0",
        "drip",
        "broken_chunks",
    ],
)
@pytest.mark.parametrize("file_hash", [None, SHA])
def test_temporary_trouble_is_overcome(server, misbehave, url, trouble, file_hash) -> None:
    kind, *value = trouble.replace(" at", "").split()
    behaviour = getattr(misbehave, kind)
    if kind in ("fail", "truncate", "stall"):
        behaviour = behaviour(int(value[0]) if value else 1000)
    server.script["/some/data.bin"] = [behaviour]
    assert Path(get_file(origin=url, file_hash=file_hash)).read_bytes() == BODY
    assert len(server.requests) == 2


def test_unsized(server, misbehave, url) -> None:
    server.script["/some/data.bin"] = [misbehave.unsized]
    assert Path(get_file(origin=url)).read_bytes() == BODY


def test_resumes(server, misbehave, url) -> None:
    server.script["/some/data.bin"] = [misbehave.truncate(300_000)]
    assert Path(get_file(origin=url)).read_bytes() == BODY
    assert server.ranges() == [None, "bytes=300000-"]
    assert server.requests[1][1]["If-Range"] == f'"{hash(BODY)}"'


def test_gives_up_only_without_progress(server, misbehave, url) -> None:
    def half(handler, body) -> None:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        status, end = (206 if start else 200), (start + len(body)) // 2
        handler.answer(
            status,
            body[start:end],
            Content_Length=len(body) - start,
            ETag='"same"',
            Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}" if start else None,
        )

    server.script["/some/data.bin"] = [half] * 10
    assert Path(get_file(origin=url, file_hash=SHA)).read_bytes() == BODY
    assert len(server.requests) > files.ATTEMPTS * 2


def test_resumes_in_a_later_call(server, misbehave, url, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(files, "ATTEMPTS", 1)
    server.script["/some/data.bin"] = [misbehave.truncate(300_000)]
    with pytest.raises(DownloadError, match="ended after 300000 of 1048576 bytes"):
        get_file(origin=url)
    assert left(cache(tmp_path)) == ["data.bin.part", "data.bin.part.json"]
    assert Path(get_file(origin=url)).read_bytes() == BODY
    assert server.ranges() == [None, "bytes=300000-"]
    assert left(cache(tmp_path)) == ["data.bin"]


def test_resumes_after_kill(server, misbehave, url, tmp_path) -> None:
    server.script["/some/data.bin"] = [misbehave.stall(600_000)]
    process = subprocess.Popen([sys.executable, "-c", f"from cornu.utils import get_file; get_file(origin={url!r})"])
    part = cache(tmp_path) / "data.bin.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 500_000) and time.monotonic() < deadline:
        time.sleep(0.01)
    have = part.stat().st_size
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (cache(tmp_path) / "data.bin").exists()
    assert Path(get_file(origin=url)).read_bytes() == BODY
    assert server.ranges() == [None, f"bytes={have}-"]


@pytest.mark.parametrize("behaviour", ["ignore_range", "wrong_range", "changed"])
def test_what_cannot_be_resumed_starts_anew(server, misbehave, url, behaviour) -> None:
    server.script["/some/data.bin"] = [misbehave.truncate(300_000)]
    if behaviour == "changed":  # between the attempts: `If-Range` no longer holds
        before = misbehave.truncate(300_000)

        def change(handler, body) -> None:
            before(handler, BODY)
            server.files["/some/data.bin"] = BODY[::-1]

        server.script["/some/data.bin"] = [change]
    else:
        server.script["/some/data.bin"].append(getattr(misbehave, behaviour))
    expected = BODY[::-1] if behaviour == "changed" else BODY
    assert Path(get_file(origin=url)).read_bytes() == expected
    assert server.ranges()[1] == "bytes=300000-"


def ranged(content_range: str, body: bytes):
    """Answers a request for the rest like that."""
    return lambda handler, _: handler.answer(206, body, ETag=f'"{hash(BODY)}"', Content_Range=content_range)


@pytest.mark.parametrize(
    ("content_range", "sent", "following"),
    [
        ("bytes 500000-500009/500010", 10, None),  # another length than at first: another file
        ("bytes 500000-599999/*", 100_000, "bytes=600000-"),  # less than was asked for
        ("bytes 500000-599999/1048576", 100_000, "bytes=600000-"),
    ],
)
def test_the_length_that_was_announced_first_holds(server, misbehave, url, content_range, sent, following) -> None:
    server.script["/some/data.bin"] = [
        misbehave.truncate(500_000),
        ranged(content_range, BODY[500_000 : 500_000 + sent]),
    ]
    assert Path(get_file(origin=url)).read_bytes() == BODY
    assert server.ranges() == [None, "bytes=500000-", following]


def test_a_rest_of_unknown_length_is_not_taken_for_all(server, misbehave, url) -> None:
    def chunks(handler, body) -> None:  # an answer without a length that breaks off
        handler.answer(200, b"ffff\r\n" + body[:10], Content_Length=None, ETag="x", Transfer_Encoding="chunked")

    server.script["/some/data.bin"] = [chunks, ranged("bytes 10-19/*", BODY[10:20])]
    assert Path(get_file(origin=url)).read_bytes() == BODY
    assert server.ranges() == [None, "bytes=10-", None]


def test_without_a_validator_only_a_checksum_allows_to_resume(server, misbehave, url) -> None:
    def half(handler, body) -> None:
        handler.answer(200, body[:1000], Content_Length=len(body))

    server.script["/some/data.bin"] = [half]
    get_file(origin=url)
    assert server.ranges() == [None, None]
    server.requests.clear()
    server.script["/some/data.bin"] = [half]
    get_file("again.bin", origin=url, file_hash=SHA)
    assert server.ranges() == [None, "bytes=1000-"]


def test_a_part_that_is_too_long_starts_anew(server, url, tmp_path) -> None:
    folder = cache(tmp_path)
    folder.mkdir(parents=True)
    (folder / "data.bin.part").write_bytes(b"x" * (len(BODY) + 5))
    (folder / "data.bin.part.json").write_text(json.dumps({"url": url, "validator": f'"{hash(BODY)}"'}))
    assert Path(get_file(origin=url)).read_bytes() == BODY
    assert server.ranges() == [f"bytes={len(BODY) + 5}-", None]


@pytest.mark.parametrize("notes", ["", "no json", "[]", '{"url": "http://elsewhere/", "validator": "x"}'])
def test_a_part_of_unknown_origin_is_not_resumed(server, url, tmp_path, notes) -> None:
    folder = cache(tmp_path)
    folder.mkdir(parents=True)
    (folder / "data.bin.part").write_bytes(b"x" * 10)
    (folder / "data.bin.part.json").write_text(notes)
    assert Path(get_file(origin=url)).read_bytes() == BODY
    assert server.ranges() == [None]


def test_wrong_bytes(server, misbehave, url, tmp_path) -> None:
    server.files["/some/data.bin"] = BODY[::-1]
    with pytest.raises(DownloadError) as caught:
        get_file(origin=url, file_hash=SHA)
    message = str(caught.value)
    assert hashlib.sha256(BODY[::-1]).hexdigest() in message
    assert SHA in message
    assert url in message
    assert left(cache(tmp_path)) == []
    assert len(server.requests) == 1  # the same bytes again would be as wrong


def test_wrong_bytes_in_a_resumed_file_are_fetched_again(server, url, tmp_path) -> None:
    folder = cache(tmp_path)
    folder.mkdir(parents=True)
    (folder / "data.bin.part").write_bytes(b"x" * 1000)
    (folder / "data.bin.part.json").write_text(json.dumps({"url": url, "validator": f'"{hash(BODY)}"'}))
    assert Path(get_file(origin=url, file_hash=SHA)).read_bytes() == BODY
    assert server.ranges() == ["bytes=1000-", None]


def test_a_cached_file_that_fails_its_checksum_is_replaced(url, tmp_path) -> None:
    folder = cache(tmp_path)
    folder.mkdir(parents=True)
    (folder / "data.bin").write_bytes(b"old")
    with pytest.warns(UserWarning, match="fails its sha256 checksum"):
        path = get_file(origin=url, file_hash=SHA)
    assert Path(path).read_bytes() == BODY


def test_keras_cache_is_used_in_place_if_it_passes(server, url, tmp_path) -> None:
    theirs = tmp_path / "keras" / "datasets" / "data.bin"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(BODY)
    assert get_file(origin=url, file_hash=SHA) == str(theirs)
    assert server.requests == []
    theirs.write_bytes(b"damaged")
    assert get_file(origin=url, file_hash=SHA) == str(cache(tmp_path) / "data.bin")
    assert theirs.read_bytes() == b"damaged"  # not ours to touch
    theirs.write_bytes(BODY)
    assert get_file("data.bin", origin=url) == str(cache(tmp_path) / "data.bin")


def test_mirrors_come_first(server, url, monkeypatch) -> None:
    server.files["/mirror/some/data.bin"] = BODY
    monkeypatch.setenv("CORNU_MIRROR", f"{server.url}/nowhere/ {server.url}/mirror/")
    get_file(origin="http://origin.invalid/some/data.bin", file_hash=SHA)
    assert [path for path, _ in server.requests] == ["/nowhere/some/data.bin", "/mirror/some/data.bin"]


def test_a_mirror_that_lies_is_passed_over(server, url, monkeypatch) -> None:
    server.files["/mirror/some/data.bin"] = b"lies"
    monkeypatch.setenv("CORNU_MIRROR", f"{server.url}/mirror")
    assert Path(get_file(origin=url, file_hash=SHA)).read_bytes() == BODY


def test_bad_mirror(url, monkeypatch) -> None:
    monkeypatch.setenv("CORNU_MIRROR", "ftp://x")
    with pytest.raises(ArgumentError, match="CORNU_MIRROR must hold"):
        get_file(origin=url)


def test_offline(tmp_path) -> None:
    with pytest.raises(DownloadError) as caught:
        get_file(origin="http://127.0.0.1:9/a/b.npz", file_hash=SHA)
    message = str(caught.value)
    for part in (
        "http://127.0.0.1:9/a/b.npz",
        "refused",
        str(cache(tmp_path) / "b.npz"),
        SHA,
        "CORNU_MIRROR",
        "/a/b.npz",
    ):
        assert part in message
    assert isinstance(caught.value, OSError)
    assert left(cache(tmp_path)) == []


@pytest.mark.parametrize("status", [404, 403, 204])
def test_permanent_refusal_is_not_repeated(server, misbehave, url, status) -> None:
    server.script["/some/data.bin"] = [misbehave.fail(status)]
    with pytest.raises(DownloadError, match=f"HTTP {status}"):
        get_file(origin=url)
    assert len(server.requests) == 1


def test_a_server_that_always_stalls_is_given_up(server, misbehave, url, monkeypatch) -> None:
    monkeypatch.setattr(files, "TIMEOUT", 0.1)
    server.script["/some/data.bin"] = [misbehave.stall(0)] * 10
    start = time.monotonic()
    with pytest.raises(DownloadError, match="TimeoutError"):
        get_file(origin=url)
    assert len(server.requests) == files.ATTEMPTS
    assert time.monotonic() - start < 10


def test_redirects(server, misbehave, url) -> None:
    server.script["/moved"] = [misbehave.redirect(url)]
    assert Path(get_file("x", origin=f"{server.url}/moved")).read_bytes() == BODY


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirects_elsewhere_are_refused(server, misbehave, to) -> None:
    server.script["/moved"] = [misbehave.redirect(to)]
    with pytest.raises(DownloadError, match=r"not safe|not allowed"):
        get_file("x", origin=f"{server.url}/moved")


@pytest.mark.parametrize("sized", [True, False])
def test_size_limit(server, misbehave, url, tmp_path, monkeypatch, sized) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    server.script["/some/data.bin"] = [] if sized else [misbehave.unsized]
    with pytest.raises(DownloadError, match="the limit of 1000 bytes"):
        get_file(origin=url)
    assert not (cache(tmp_path) / "data.bin").exists()


def test_full_disk(url, monkeypatch) -> None:
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100})())
    with pytest.raises(DownloadError, match=r"needs 1048576 bytes, .* has 100 left"):
        get_file(origin=url)


def test_two_processes_download_once(server, misbehave, url) -> None:
    server.script["/some/data.bin"] = [misbehave.slow(1.0)]
    code = f"from cornu.utils import get_file; print(get_file(origin={url!r}))"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0][0] == outputs[1][0]
    assert Path(outputs[0][0].strip()).read_bytes() == BODY
    assert len(server.requests) == 1


def test_two_threads_download_once(server, misbehave, url, capsys) -> None:
    server.script["/some/data.bin"] = [misbehave.slow(0.2)]
    paths: list[str] = []
    threads = [threading.Thread(target=lambda: paths.append(get_file(origin=url))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1
    assert len(paths) == 3
    assert len(server.requests) == 1
    assert "Waiting for another process that is fetching data.bin" in capsys.readouterr().err


def test_a_complete_cache_may_be_read_only(url, tmp_path, monkeypatch) -> None:
    path = get_file(origin=url, file_hash=SHA)

    def locked(target: Path) -> None:
        raise PermissionError(target)

    monkeypatch.setattr(files, "_locked", locked)
    assert get_file(origin=url, file_hash=SHA) == path


def test_a_folder_in_the_place_of_the_file(server, url, tmp_path) -> None:
    (cache(tmp_path) / "data.bin").mkdir(parents=True)
    with pytest.raises(ArgumentError, match=r"data\.bin is a folder.*Pass another `fname`"):
        get_file(origin=url)
    assert server.requests == []


@pytest.mark.parametrize("home", ["/proc/x", "file/x"])
def test_a_cache_that_cannot_be_made(server, url, tmp_path, monkeypatch, home) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CORNU_HOME", str(tmp_path / home))
    with pytest.raises(DownloadError) as caught:
        get_file(origin=url)
    for part in (str(tmp_path / home / "datasets"), "cannot be written", "CORNU_HOME"):
        assert part in str(caught.value)
    assert server.requests == []


def test_a_redirect_to_no_address(server, misbehave) -> None:
    server.script["/moved"] = [misbehave.redirect("http://[bad/f")]
    with pytest.raises(DownloadError, match="ValueError: Invalid IPv6 URL"):
        get_file("x", origin=f"{server.url}/moved")


def archive(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("d/a.txt", "a")
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as file:
            info = tarfile.TarInfo("d/a.txt")
            info.size = 1
            file.addfile(info, io.BytesIO(b"a"))
    return buffer.getvalue()


# The folders are those that Keras uses, found by running it.
@pytest.mark.parametrize(
    ("kind", "arguments", "folder"),
    [
        ("tar", {"fname": "x.tar.gz", "extract": True}, "x_extracted"),
        ("tar", {"fname": "foo", "extract": True}, "foo"),
        ("tar", {"fname": "foo", "untar": True}, "foo"),
        ("tar", {"fname": "foo.tar.gz", "untar": True, "archive_format": "tar"}, "foo_extracted"),
        ("zip", {"fname": "x.zip", "extract": True}, "x_extracted"),
        ("zip", {"extract": True, "archive_format": ["tar", "zip"]}, "x_extracted"),
    ],
)
def test_extract(server, tmp_path, kind, arguments, folder) -> None:
    server.files["/x.zip"] = archive(kind)
    digest = hashlib.sha256(archive(kind)).hexdigest() if kind == "zip" else None
    for _ in range(2):
        path = get_file(origin=f"{server.url}/x.zip", **arguments)
        assert path == str(cache(tmp_path) / folder)
        assert (Path(path) / "d" / "a.txt").read_text() == "a"
    assert len(server.requests) == 1
    assert digest is None or get_file(origin=f"{server.url}/x.zip", file_hash=digest, **arguments) == path


def test_extract_a_file_that_is_no_archive(url, tmp_path) -> None:
    with pytest.raises(CorruptFileError, match="is not a tar or zip archive"):
        get_file(origin=url, extract=True)
    assert left(cache(tmp_path)) == ["data.bin"]


def test_progress_only_in_a_terminal(url, capfd) -> None:
    get_file(origin=url)
    assert capfd.readouterr() == ("", "")


def test_progress_in_a_terminal(server, misbehave, url) -> None:
    ours, theirs = os.openpty()
    code = f"from cornu.utils import get_file; get_file(origin={url!r})"
    subprocess.run(
        [sys.executable, "-c", code], stderr=theirs, check=True, timeout=60, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "data.bin" in shown
    assert "1.0/1.0 MB" in shown
