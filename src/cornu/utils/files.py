"""Downloads: resumed, checked, cached, never half-done."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from cornu.base import config
from cornu.base.errors import ArgumentError, DownloadError, warn
from cornu.utils.archives import extract_archive

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

MAX_BYTES = 256 * 2**30
ATTEMPTS = 4  # per address, in a row without progress
BACKOFF = 0.5  # seconds before the second attempt; doubles with each
TIMEOUT = 30.0  # seconds without a byte
MIN_RATE = 128  # bytes per second, averaged over TIMEOUT: a slower server counts as stalled

_CHUNK = 1 << 18
_DIGITS = {"md5": 32, "sha256": 64}
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)


class _Failure(Exception):
    """One attempt failed; `again` says whether another may succeed."""

    def __init__(self, reason: str, again: bool = True) -> None:
        super().__init__(reason)
        self.again = again


def get_file(
    fname: str | os.PathLike[str] | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str | os.PathLike[str] = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | Sequence[str] | None = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
) -> str:
    """Path of the file at the URL `origin`, downloaded unless it is in the cache already.

    The cache is `cache_dir/cache_subdir`, by default `$CORNU_HOME/datasets`; a file of Keras' own cache is used where
    it is when it passes its checksum. `file_hash` is SHA-256 or MD5 in hexadecimal. Interrupted downloads resume;
    processes that want the same file wait for one another. `CORNU_MIRROR` may name base URLs, separated by spaces, to
    try first. With `extract`, the result is the folder with the archive's content: `fname` where that has no suffix,
    else its stem with `_extracted`. `DownloadError` says what was tried and where to put the file by hand.
    """
    if not origin:
        raise ArgumentError('get_file needs `origin`, the URL of the file: get_file(origin="https://…").')
    if not _is_web(origin):
        raise ArgumentError(f"get_file: `origin` must be an http or https URL, got {origin!r}.")
    name = os.fspath(fname) if fname is not None else unquote(urlsplit(origin).path.rpartition("/")[2])
    if not name:
        raise ArgumentError(f"get_file: the URL {origin!r} ends in no file name; pass `fname`.")
    if name in (".", "..") or any(c in name for c in '/\\\0:*?"<>|'):
        raise ArgumentError(f"get_file: `fname` must be a plain file name, got {name!r}. Folders go into `cache_dir`.")
    digest, algorithm = _expected_hash(file_hash or md5_hash, hash_algorithm if file_hash or not md5_hash else "md5")
    folder = (Path(cache_dir).expanduser() if cache_dir is not None else config.home()) / cache_subdir
    theirs = keras_home() / cache_subdir if digest and cache_dir is None else None
    request = (theirs, origin, digest, algorithm, force_download)
    if not (extract or untar):
        return str(_cached(folder / name, *request)[0])
    stem = re.sub(r"(\.tar)?\.[^.]+$", "", name)
    archive, target = (name, f"{stem}_extracted") if stem and stem != name else (f"{name}_archive", name)
    with _locked(folder / target):
        file, fresh = _cached(folder / archive, *request)
        if fresh or not (folder / target).is_dir():
            extract_archive(file, folder / target, archive_format)
    return str(folder / target)


def _cached(
    target: Path, theirs: Path | None, origin: str, digest: str | None, algorithm: str, force: bool
) -> tuple[Path, bool]:
    """The file and whether it was downloaded just now. `theirs`: Keras' folder, for checked files only."""

    def found() -> Path | None:
        places = [] if force else [target] if theirs is None else [target, theirs / target.name]
        return next((p for p in places if p.is_file() and digest in (None, hash_file(p, algorithm))), None)

    if target.is_dir():
        raise ArgumentError(f"get_file: {target} is a folder. Pass another `fname` for the file, or remove the folder.")
    if file := found():  # complete files appear at once: no lock, and a cache may be read-only
        return file, False
    with _locked(target):
        if file := found():  # another process was faster
            return file, False
        if target.exists() and not force:
            warn(f"{target} fails its {algorithm} checksum; it is downloaded again.")
        download(origin, target, digest, algorithm)
        return target, True


def keras_home() -> Path:
    """Where Keras keeps its files: `$KERAS_HOME`, or `~/.keras`."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser()


def hash_file(path: str | os.PathLike[str], algorithm: str = "sha256") -> str:
    """Hash of a file in hexadecimal; `algorithm` is `"sha256"` or `"md5"`."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _expected_hash(digest: str | None, algorithm: str) -> tuple[str | None, str]:
    if algorithm not in ("auto", *_DIGITS):
        raise ArgumentError(f'hash_algorithm must be "auto", "sha256" or "md5", got {algorithm!r}.')
    if digest is None:
        return None, "sha256"
    digest = digest.lower()
    if algorithm == "auto":
        algorithm = "md5" if len(digest) == _DIGITS["md5"] else "sha256"
    if not re.fullmatch(f"[0-9a-f]{{{_DIGITS[algorithm]}}}", digest):
        raise ArgumentError(f"An {algorithm} hash has {_DIGITS[algorithm]} hexadecimal digits, got {digest!r}.")
    return digest, algorithm


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none
        return False


def mirrors() -> list[str]:
    """Base URLs from `CORNU_MIRROR`, tried before a file's own address with its path appended."""
    found = os.environ.get("CORNU_MIRROR", "").replace(",", " ").split()
    for base in found:
        if not _is_web(base):
            raise ArgumentError(f"CORNU_MIRROR must hold http or https URLs separated by spaces, got {base!r}.")
    return [base.rstrip("/") for base in found]


def download(origin: str, target: Path, digest: str | None = None, algorithm: str = "sha256") -> None:
    """Fetch `origin` into `target`, which appears complete and checked, or not at all.

    Bytes gather in `target.part`, from where a later call resumes if the server vouches that the file is the same
    (`If-Range` with its `ETag` or `Last-Modified`) or a checksum will tell. Raises `DownloadError`.
    """
    parts = urlsplit(origin)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    failures = []
    for url in [*(base + path for base in mirrors()), origin]:
        attempt = best = 0
        while True:
            try:
                part = _fetch(url, target, digest, algorithm)
            except _Failure as failure:
                reason, again = str(failure), failure.again
            except urllib.error.HTTPError as error:
                reason, again = f"HTTP {error.code} {error.reason}", error.code in _TEMPORARY
                error.close()
            except urllib.error.URLError as error:
                # No such host or a bad certificate: the next second changes nothing.
                again = not isinstance(error.reason, (socket.gaierror, ssl.SSLError))
                reason = str(error.reason)
            except (http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError, ValueError) as error:
                reason, again = f"{type(error).__name__}: {error}", not isinstance(error, ValueError)
            else:
                os.replace(part, target)
                _sync_folder(target.parent)
                return
            part = _part(target)
            size = part.stat().st_size if part.is_file() else 0
            attempt, best = (1, size) if size > best else (attempt + 1, best)
            if not again or attempt == ATTEMPTS:
                break
            time.sleep(BACKOFF * 2 ** (attempt - 1))
        failures.append(f"  {url}: {reason}")
    expected = f" (its {algorithm} hash is {digest})" if digest else ""
    raise DownloadError(
        f"Cannot download {target.name!r}. Tried:\n" + "\n".join(failures) + f"\nWithout a network: put the file at "
        f"{target}{expected}, or set the environment variable CORNU_MIRROR to the base URL of a server that has {path}."
    )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, and from https to https only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme != "https"):
            raise _Failure(f"redirected to {newurl!r}, which is not safe", again=False)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(url: str, target: Path, digest: str | None, algorithm: str) -> Path:
    """One attempt; the path of the complete, checked and synced part file."""
    part, notes = _part(target), target.with_name(target.name + ".part.json")
    known = _read_notes(notes)
    validator = known.get("validator") if known.get("url") == url else None
    have = part.stat().st_size if part.is_file() and (validator or (digest and known)) else 0
    headers = {"User-Agent": "cornu", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    try:
        opener = urllib.request.build_opener(_Redirects)
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        error.close()
        _discard(part, notes)
        raise _Failure(f"the server has nothing beyond byte {have}; starting anew") from error
    with response:
        start, total = 0, _integer(response.headers.get("Content-Length"))
        if have and response.status == 206:
            said = response.headers.get("Content-Range")
            start, total = have, _check_range(said, have, known.get("total"), part, notes)
        elif response.status != 200:
            raise _Failure(f"HTTP {response.status}", again=False)
        _check_space(target, (total or 0) - start, total)
        if not start:
            etag = response.headers.get("ETag")
            strong = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
            _discard(part)  # before the notes of another version stand beside it
            notes.write_text(json.dumps({"url": url, "validator": strong, "total": total}), "utf-8")
        with open(part, "r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            size = _receive(response, file, target.name, start, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and size != total:
        raise _Failure(f"the connection ended after {size} of {total} bytes")
    if digest and (found := hash_file(part, algorithm)) != digest:
        _discard(part, notes)
        # What was resumed may have been another version of the file; what came in one piece is what the server has.
        raise _Failure(f"{algorithm} hash is {found}, expected {digest}", again=start > 0)
    notes.unlink(missing_ok=True)
    return part


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _receive(response: http.client.HTTPResponse, file: IO[bytes], name: str, start: int, total: int | None) -> int:
    """Copy the body to `file` behind a progress bar; the size the file then has."""
    console = Console(stderr=True)
    size = mark = start
    since = time.monotonic()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not (console.is_terminal and config.is_interactive_logging_enabled()),
    ) as progress:
        task = progress.add_task(name, completed=start, total=total)
        while chunk := response.read1(_CHUNK):
            file.write(chunk)
            size += len(chunk)
            progress.update(task, completed=size)
            if size > MAX_BYTES:
                raise _Failure(f"larger than the limit of {MAX_BYTES} bytes", again=False)
            if (now := time.monotonic()) - since > TIMEOUT:
                if size - mark < MIN_RATE * TIMEOUT:
                    raise _Failure(f"stalled: {size - mark} bytes in {now - since:.0f} s")
                mark, since = size, now
    return size


def _check_range(content_range: str | None, have: int, total: int | None, part: Path, notes: Path) -> int:
    """The size of the whole file, if the answer is what was asked for; `total` is the one said at first."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", content_range or "")
    said = _integer(found[3]) if found else None
    size = said if total is None else total
    if not found or int(found[1]) != have or size is None or said not in (None, size):
        _discard(part, notes)
        whole = "" if total is None else f" of {total}"
        raise _Failure(f"asked for bytes from {have}{whole}, the server answered {content_range!r}; starting anew")
    return size


def _check_space(target: Path, more: int, total: int | None) -> None:
    if total is not None and total > MAX_BYTES:
        raise _Failure(f"its {total} bytes exceed the limit of {MAX_BYTES} bytes", again=False)
    free = shutil.disk_usage(target.parent).free
    if more > free:
        raise DownloadError(
            errno.ENOSPC,
            f"{target.name!r} needs {more} bytes, {target.parent} has {free} left; set CORNU_HOME elsewhere.",
        )


def _integer(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\d{1,18}", text) else None


def _read_notes(notes: Path) -> dict[str, Any]:
    try:
        found = json.loads(notes.read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # no or broken notes: nothing to resume from
    return found if isinstance(found, dict) else {}


def _discard(*files: Path) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where folders can be opened at all."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the lock of `target` against other processes and threads; the system frees it if the process dies."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = open(target.with_name(f".{target.name}.lock"), "a+b")  # noqa: SIM115 - closed below
    except OSError as error:
        raise DownloadError(
            f"The cache {target.parent} cannot be written ({error.strerror}). Set the environment variable CORNU_HOME, "
            "or pass `cache_dir`: a folder that can."
        ) from error
    with file:
        try:
            _lock(file, wait=False)
        except OSError:
            print(f"Waiting for another process that is fetching {target.name} …", file=sys.stderr)
            _lock(file, wait=True)
        yield


def _lock(file: IO[bytes], wait: bool) -> None:
    if sys.platform == "win32":
        while True:
            try:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                break
            except OSError:
                if not wait:
                    raise
                time.sleep(0.2)
    else:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
