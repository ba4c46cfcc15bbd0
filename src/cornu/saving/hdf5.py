"""HDF5 files: their contents checked before any of it is read, and written with a digest.

Of what HDF5 can do, files of weights need arrays in groups and some texts. All else is refused: links (external, soft,
cyclic), data in other files, filters by plugin, references, arrays that were announced and never written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import ml_dtypes
import numpy as np

from cornu.base import config
from cornu.base.errors import CornuError, CorruptFileError, UnsafeFileError
from cornu.saving.stored import Stored, check_size, corrupt, parsing, unsafe
from cornu.saving.tensors import TensorFile, is_text, parse_json, write

_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_TEXTS = ("layer_names", "weight_names", "keras_version", "model_config", "training_config")
_FREE = 64 << 20
"""Arrays up to this size may be compressed as much as they like."""
_ATTRIBUTE = 1 << 16
"""Bytes of an attribute, at most; texts of varying length take 16 here, and stand elsewhere in the file."""
_BEGIN = b"\x89HDF\r\n\x1a\n"
_MARK = b"cornu sha256"


@dataclass
class Contents:
    """What an HDF5 file holds."""

    file: str
    arrays: dict[str, Stored] = field(default_factory=dict)
    """By path: `layers/dense/vars/0`."""
    texts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of each group the attributes that say how a Keras 2 file is read: texts and lists of them."""

    def below(self, prefix: str) -> dict[str, Stored]:
        """The arrays within a group, by their names in it."""
        return {path[len(prefix) + 1 :]: one for path, one in self.arrays.items() if path.startswith(f"{prefix}/")}


@contextlib.contextmanager
def opened(source: Path | bytes, shown: Any = None) -> Iterator[Contents]:
    """The contents of an HDF5 file, or of its bytes; arrays can be read until the block ends.

    Raises CorruptFileError or UnsafeFileError. Within `config.set_load_limits(isolate=True)` another process reads it.
    """
    shown = source if shown is None else shown
    if config.load_limits().isolate:
        yield _isolated(source, shown)
        return
    with contextlib.ExitStack() as stack:
        with parsing(shown, None, "cannot be read as HDF5"):
            with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as content:
                _verify(content, shown)
            stack.enter_context(_without_plugins())
            file: Any = stack.enter_context(h5py.File(source if isinstance(source, Path) else io.BytesIO(source), "r"))
            contents = _contents(file, str(shown))
        yield contents


@contextlib.contextmanager
def writing(file: BinaryIO) -> Iterator[Any]:
    """An HDF5 file in memory, whose bytes and their digest are written to `file` when the block ends well."""
    image = io.BytesIO()
    with h5py.File(image, "w") as content:
        yield content
    data = image.getbuffer()
    file.write(data)
    file.write(_MARK + hashlib.sha256(data).digest())


def _verify(file: Any, shown: Any) -> None:
    """Compare the first bytes, and the digest behind the file, which HDF5 passes over, if there is one."""
    if file.read(len(_BEGIN)) != _BEGIN:  # HDF5 would look for them further on, too
        raise corrupt(shown, None, "is no zip archive and cannot be read as HDF5: it begins otherwise.")
    left = max(0, file.seek(0, io.SEEK_END) - len(_MARK) - 32)
    file.seek(left)
    mark, expected = file.read(len(_MARK)), file.read()
    if mark != _MARK:
        return
    file.seek(0)
    digest = hashlib.sha256()
    while left:
        block = file.read(min(left, 1 << 20))
        digest.update(block)
        left -= len(block)
    if digest.digest() != expected:
        raise corrupt(shown, None, "its SHA-256 is another one than was saved: the file is damaged.")


@contextlib.contextmanager
def _without_plugins() -> Iterator[None]:
    """HDF5 finds no plugins in the meantime."""
    paths = []
    while h5py.h5pl.size():
        paths.append(h5py.h5pl.get(0))
        h5py.h5pl.remove(0)
    try:
        yield
    finally:
        for path in paths:
            h5py.h5pl.append(path)


def _contents(file: Any, shown: str) -> Contents:
    limits, found = config.load_limits(), Contents(shown)
    seen: set[Any] = set()
    waiting: list[tuple[str, Any, int]] = [("", file, 0)]
    while waiting:
        path, item, depth = waiting.pop()
        info = h5py.h5o.get_info(item.id)
        if info.addr in seen:
            raise unsafe(shown, path, "stands in the file under another name, too.")
        seen.add(info.addr)
        if len(seen) > limits.members or depth > limits.depth:
            raise unsafe(shown, path, f"is more than {limits.members} items, or {limits.depth} levels, into the file.")
        if isinstance(item, h5py.Dataset):
            found.arrays[path] = _array(item, path, shown)
            continue
        if not isinstance(item, h5py.Group):
            raise unsafe(shown, path, f"is a {type(item).__name__}, neither a group nor an array.")
        found.texts[path] = _texts(item, path, shown)
        for name in item:
            below = f"{path}/{name}" if path else name
            if not isinstance(item.get(name, getlink=True), h5py.HardLink):
                raise unsafe(shown, below, "is a link to elsewhere, which is not followed.")
            waiting.append((below, item[name], depth + 1))
    return found


def _array(item: Any, path: str, shown: str) -> Stored:
    plan = item.id.get_create_plist()
    if item.external or item.is_virtual or plan.get_external_count():
        raise unsafe(shown, path, "keeps its data in other files, which are not read.")
    for i in range(plan.get_nfilters()):
        if plan.get_filter(i)[0] not in _FILTERS:
            raise unsafe(shown, path, f"needs the HDF5 filter {plan.get_filter(i)[0]}, a plugin; none is loaded.")
    if item.dtype.kind not in "fiubc" or item.shape is None or item.id.get_type() != h5py.h5t.py_create(item.dtype):
        raise corrupt(shown, path, f"holds {item.dtype} in a form of its own, expected numbers.")
    nbytes, stored = item.dtype.itemsize * math.prod(item.shape), item.id.get_storage_size()
    if (nbytes and not stored) or (
        item.chunks
        and item.id.get_num_chunks()
        < math.prod(-(-size // chunk) for size, chunk in zip(item.shape, item.chunks, strict=True))
    ):
        raise corrupt(shown, path, "was announced and not written as a whole.")
    if nbytes > max(_FREE, stored * config.load_limits().expansion):
        raise unsafe(shown, path, f"would grow from {stored} to {nbytes} bytes.")
    is_bfloat16 = item.dtype == np.uint16 and "dtype" in item.attrs and _text(item, "dtype", path, shown) == "bfloat16"

    def read() -> Any:
        with parsing(shown, path, "cannot be read"):
            values = item[()]
        return values.view(ml_dtypes.bfloat16) if is_bfloat16 else values

    return Stored(item.shape, "bfloat16" if is_bfloat16 else item.dtype.name, read)


def _texts(group: Any, path: str, shown: str) -> dict[str, Any]:
    """The attributes that matter; lists too long for one attribute are found under `name0`, `name1`, …"""
    found: dict[str, Any] = {}
    names = set(group.attrs)
    for name in _TEXTS:
        if name in names:
            found[name] = _text(group, name, path, shown)
        parts: list[list[str]] = []
        while f"{name}{len(parts)}" in names:
            parts.append(_text(group, f"{name}{len(parts)}", path, shown))
        if parts:
            found[name] = [text for part in parts for text in part]
    return found


def _text(item: Any, name: str, path: str, shown: str) -> Any:
    """An attribute, a text or a list of them; the library would trust what the file says of its size and kind."""
    attribute = h5py.h5a.open(item.id, name.encode())
    kind, count = attribute.get_type(), attribute.get_space().get_simple_extent_npoints()
    if not count:
        return []
    if not isinstance(kind, h5py.h5t.TypeStringID) or count * kind.get_size() > _ATTRIBUTE:
        raise corrupt(shown, path, f"the attribute {name!r} should be text.")
    value = item.attrs[name]
    ones = value.reshape(-1).tolist() if isinstance(value, np.ndarray) else [value]
    texts = [one.decode() if isinstance(one, bytes) else one for one in ones]
    if not all(map(is_text, texts)):
        raise corrupt(shown, path, f"the attribute {name!r} should be text in UTF-8.")
    return texts if isinstance(value, np.ndarray) else texts[0]


# by another process

_SECONDS = 600
"""What the other process may compute."""
_READER = "import sys; sys.path[:] = sys.argv[3:]; from cornu.saving import hdf5; hdf5.serve(*sys.argv[1:3])"


def _isolated(source: Path | bytes, shown: Any) -> Contents:
    """The contents as another process, which may neither write files nor use more memory than allowed, sends them."""
    limits = config.load_limits()
    plain_limits = json.dumps({**dataclasses.asdict(limits), "isolate": False})
    path, given = (str(source.resolve()), None) if isinstance(source, Path) else ("-", source)
    done = subprocess.run(
        [sys.executable, "-c", _READER, path, plain_limits, *sys.path], input=given, capture_output=True, check=False
    )
    if done.returncode:
        kind, _, message = done.stderr.decode(errors="replace").strip().rpartition("\n")[2].partition("\t")
        if kind == UnsafeFileError.__name__:
            raise UnsafeFileError(message.replace(path, str(shown)))
        if kind == CorruptFileError.__name__:
            raise CorruptFileError(message.replace(path, str(shown)))
        raise corrupt(shown, None, f"the process that read it ended with {done.returncode}: {kind} {message}")
    sent = TensorFile(Path(str(shown)), done.stdout)
    return Contents(str(shown), sent.stored, parse_json(sent.metadata.get("texts", ""), shown, "texts"))


def serve(path: str, limits: str) -> None:
    """Read a file ("-": standard input) and send its contents to standard output as safetensors."""
    config.set_load_limits(**json.loads(limits))
    source = sys.stdin.buffer.read() if path == "-" else Path(path)
    if sys.platform != "win32":
        import resource

        most = {"AS": int(config.load_limits().bytes) * 2 + (4 << 30), "CPU": _SECONDS}
        for name in ("AS", "CPU", "FSIZE", "CORE", "NPROC"):  # no files, no processes
            what = getattr(resource, f"RLIMIT_{name}")
            allowed = resource.getrlimit(what)[1]
            value = most.get(name, 0) if allowed == resource.RLIM_INFINITY else min(most.get(name, 0), allowed)
            resource.setrlimit(what, (value, value))
    try:
        with opened(source, path) as contents:
            check_size(path, contents.arrays)
            arrays = {name: stored.read() for name, stored in contents.arrays.items()}
            write(sys.stdout.buffer, arrays, {"texts": json.dumps(contents.texts)})
    except (CornuError, OSError, RuntimeError, MemoryError) as error:
        print(type(error).__name__, str(error), sep="\t", file=sys.stderr)
        sys.exit(3)
