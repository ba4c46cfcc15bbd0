"""Compiled programs kept from one process to the next, in a folder below `CORNU_HOME`.

JAX brings the keys (program, options, versions) and its own store, whose files are neither written whole nor verified;
this one's are, and the oldest go when there is too much. Programs are code: the folder is the user's alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import secrets
from pathlib import Path

import jax

from cornu.base import config

MOST_BYTES = 1 << 30
_LEAST_SECONDS = 0.05  # what compiles faster is not worth a file


class ProgramCache:
    """The store that JAX asks: `get(key)` and `put(key, value)`. Whatever fails, the program is compiled as ever."""

    def __init__(self, folder: Path) -> None:
        self._path = folder
        self._written = MOST_BYTES  # so that the first write looks how much there is

    def get(self, key: str) -> bytes | None:
        """The bytes that were put; None if there are none, or others than were put."""
        path = self._path / key
        try:
            data = path.read_bytes()
            if hashlib.sha256(data[32:]).digest() != data[:32]:
                path.unlink(missing_ok=True)
                return None
            os.utime(path)  # the oldest are those not used for longest
        except OSError:
            return None
        return data[32:]

    def put(self, key: str, value: bytes) -> None:
        """Keep the bytes; other processes see them whole or not at all."""
        part = self._path / f"{secrets.token_hex(8)}.part"
        try:
            part.write_bytes(hashlib.sha256(value).digest() + value)
            part.replace(self._path / key)
        except OSError:  # a full disk, say; the part must not stay
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            return
        self._written += len(value)
        if self._written > MOST_BYTES // 16:
            self._written = 0
            self._prune()

    def _prune(self) -> None:
        with contextlib.suppress(OSError):  # other processes prune, too
            files = [(path.stat(), path) for path in self._path.iterdir()]
            total = sum(found.st_size for found, _ in files)
            for found, path in sorted(files, key=lambda file: file[0].st_mtime):
                if total <= MOST_BYTES:
                    return
                path.unlink(missing_ok=True)
                total -= found.st_size


def use_cache() -> None:
    """Let JAX keep its programs, unless settings or the user's own JAX settings say otherwise."""
    if not config.compilation_cache() or getattr(jax.config, "jax_compilation_cache_dir", None):
        return
    folder = config.home() / "cache" / f"jax-{jax.__version__}-{_machine()}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.name == "posix" and (folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o022):
            return  # others may write to it, and what it holds is run
        from jax._src import compilation_cache as store
    except (OSError, ImportError):
        return
    if not hasattr(store, "_cache") or not hasattr(store, "_cache_initialized"):  # another JAX
        return
    store._cache, store._cache_initialized = ProgramCache(folder), True  # type: ignore[assignment]
    jax.config.update("jax_compilation_cache_dir", str(folder))  # type: ignore[no-untyped-call]
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_SECONDS)  # type: ignore[no-untyped-call]
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)  # type: ignore[no-untyped-call]


def _machine() -> str:
    """A name for this kind of processor: programs use all that it can do."""
    features = platform.machine() + platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(features.encode()).hexdigest()[:8]
