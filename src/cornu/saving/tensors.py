"""The safetensors format: named arrays behind a JSON header. https://github.com/huggingface/safetensors

Written with the SHA-256 of every array in the metadata; read lazily from mapped memory, verified when read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from cornu.base import config
from cornu.base.errors import ArgumentError, FileFormatError, plain
from cornu.saving.atomic import atomic_write, sync_folder
from cornu.saving.stored import Stored, corrupt, unsafe

_DTYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "U8": np.uint8,
    "I8": np.int8,
    "U16": np.uint16,
    "I16": np.int16,
    "U32": np.uint32,
    "I32": np.int32,
    "U64": np.uint64,
    "I64": np.int64,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "F32": np.float32,
    "F64": np.float64,
    "C64": np.complex64,
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_HASHES = "sha256"
_INDEX = ".index.json"
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"?+|[\[{]|[\]}]', re.DOTALL)
"""Strings, also one that does not end, and brackets of JSON; never looks at a byte twice."""

_HALF = re.compile("[\ud800-\udfff]")


def write(file: BinaryIO, arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write the arrays, by their names, with the metadata and their hashes into an open file."""
    ready = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in arrays.items()}
    header: dict[str, Any] = {}
    hashes, at = {}, 0
    # Larger items first: then all are aligned.
    for name in sorted(ready, key=lambda name: (-ready[name].itemsize, name)):
        array = ready[name]
        if array.dtype not in _NAMES:
            raise ArgumentError(f"{name}: safetensors has no dtype {array.dtype}; convert it to float32, say.")
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [at, at := at + array.nbytes],
        }
        hashes[name] = hashlib.sha256(_bytes(array)).hexdigest()
    hashes[""] = _digest(metadata or {}, header)
    text = json.dumps({"__metadata__": {**(metadata or {}), _HASHES: json.dumps(hashes)}, **header}).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in header:
        file.write(_bytes(ready[name]))


def _digest(metadata: Mapping[str, str], header: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([metadata, header], sort_keys=True).encode()).hexdigest()


def _bytes(array: Any) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8)) if array.size else memoryview(b"")


def save(
    path: Path,
    arrays: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = True,
    shard_bytes: float | None = None,
) -> None:
    """Write the arrays to the file, or where they take more than `shard_bytes` to several beside it and an index.

    The index, `….safetensors.index.json`, is written last, so that the old files or the new ones are there as a whole.
    """
    parts: list[dict[str, Any]] = [{}]
    room = shard_bytes = shard_bytes or float("inf")
    for name, array in arrays.items():
        if array.nbytes > room and parts[-1]:
            parts.append({})
            room = shard_bytes
        parts[-1][name] = array
        room -= array.nbytes
    index = path.with_name(path.name + _INDEX)
    if not overwrite and (path.exists() or index.exists()):
        raise ArgumentError(f"The file {path} exists already; pass overwrite=True, or another name.")
    before = _shards(index) if index.exists() else {}
    if len(parts) == 1:
        with atomic_write(path) as file:
            write(file, arrays, metadata)
        if index.exists():
            index.unlink()
            sync_folder(path.parent)  # else it might outlive the files it names
    else:
        run, places, made = secrets.token_hex(4), dict[str, str](), list[Path]()
        try:
            for i, part in enumerate(parts):
                made.append(path.with_name(f"{path.stem}-{run}-{i + 1:05}-of-{len(parts):05}.safetensors"))
                with atomic_write(made[-1]) as file:
                    write(file, part, metadata)
                places |= dict.fromkeys(part, made[-1].name)
            total = sum(array.nbytes for array in arrays.values())
            with atomic_write(index) as file:
                file.write(json.dumps({"metadata": {"total_size": total}, "weight_map": places}, indent=1).encode())
        except BaseException:
            named = _shards(index) if index.exists() else {}  # the new index may stand, though the disk failed then
            for shard in set(made) - set(named):
                with contextlib.suppress(OSError):  # the first error is the one to see
                    shard.unlink()
            raise
        path.unlink(missing_ok=True)
    for shard in before:
        shard.unlink(missing_ok=True)


def load(path: Path) -> tuple[dict[str, Stored], dict[str, str]]:
    """The arrays and the metadata of a file, or of the several that its index names."""
    index = path if path.name.endswith(_INDEX) else path.with_name(path.name + _INDEX)
    if not index.exists():
        file = TensorFile(path)
        return file.stored, file.metadata
    stored: dict[str, Stored] = {}
    metadata: dict[str, str] = {}
    for shard, names in _shards(index).items():
        if not shard.is_file():
            raise corrupt(index, shard.name, "this part of the weights is missing from the folder.")
        file = TensorFile(shard)
        if different := names ^ set(file.stored):
            raise corrupt(index, min(different), f"stands only in one of the index and {shard.name}.")
        stored, metadata = stored | file.stored, metadata | file.metadata
    return stored, metadata


def exists(path: Path) -> bool:
    """Whether there is such a file, whole or in parts."""
    return path.is_file() or path.with_name(path.name + _INDEX).is_file()


def _shards(index: Path) -> dict[Path, set[str]]:
    """The files beside the index that it names, which have to be named after it, and what is in them."""
    if index.stat().st_size > config.load_limits().json_bytes:
        raise unsafe(index, None, f"has {index.stat().st_size} bytes of JSON.")
    found = parse_json(index.read_bytes(), index, "index").get("weight_map")
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise corrupt(index, "weight_map", "should be an object of file names.")
    stem = index.name.removesuffix(".safetensors" + _INDEX)
    parts: dict[Path, set[str]] = {}
    for key, name in found.items():
        if not re.fullmatch(re.escape(stem) + r"-([0-9a-f]{8}-)?[0-9]{5}-of-[0-9]{5}\.safetensors", name):
            raise unsafe(
                index, name, f"names a file that does not belong to it; expected {stem}-00001-of-….safetensors."
            )
        parts.setdefault(index.with_name(name), set()).add(key)
    return parts


class TensorFile:
    """A safetensors file whose header has been checked.

    `stored` describes its arrays, whose `read` gives views of mapped memory; `metadata` is its text. Raises
    CorruptFileError or UnsafeFileError for what no safetensors writer makes: names twice, gaps, overlaps, bytes left.
    With `data` the bytes are these, and the path is only shown.
    """

    def __init__(self, path: Path, data: bytes | None = None) -> None:
        self.path = path
        limits = config.load_limits()
        size = path.stat().st_size if data is None else len(data)
        if size < 10:
            raise corrupt(path, None, f"has {size} bytes, too few for safetensors.")
        whole = np.memmap(path, np.uint8, "r") if data is None else np.frombuffer(data, np.uint8)
        length = int.from_bytes(whole[:8].tobytes(), "little")
        if length > size - 8:
            raise corrupt(path, None, f"its header should have {length} bytes, the file has {size}: it is cut off.")
        if length > limits.json_bytes:
            raise unsafe(path, None, f"its header has {length} bytes, the limit is {limits.json_bytes}.")
        header = parse_json(whole[8 : 8 + length].tobytes(), path, "header")
        self._data: Any = whole[8 + length :]
        self.metadata = self._texts(header.pop("__metadata__", {}))
        if len(header) > limits.members:
            raise unsafe(path, None, f"it holds {len(header)} arrays, the limit is {limits.members}.")
        hashes = parse_json(self.metadata.pop(_HASHES, "{}"), path, _HASHES)
        if hashes and (hashes.pop("", None) != _digest(self.metadata, header) or set(hashes) != set(header)):
            raise corrupt(path, None, "its header has another SHA-256 than was saved: it is damaged.")
        self.stored: dict[str, Stored] = {}
        covered = 0
        for name, entry in sorted(header.items(), key=lambda item: _start(item[1])):
            dtype, shape, start, stop = self._entry(name, entry)
            if start != covered:
                raise corrupt(path, name, f"begins at byte {start}, expected {covered}: a gap or an overlap.")
            covered = stop
            read = self._reader(name, dtype, shape, start, stop, hashes.get(name))
            self.stored[name] = Stored(shape, np.dtype(dtype).name, read)
        if covered != len(self._data):
            raise corrupt(path, None, f"its arrays take {covered} bytes, the file has {len(self._data)} for them.")

    def _texts(self, metadata: Any) -> dict[str, str]:
        if not isinstance(metadata, dict) or not all(map(is_text, metadata.values())):
            raise corrupt(self.path, "__metadata__", "should be an object of texts.")
        return dict(metadata)

    def _entry(self, name: str, entry: Any) -> tuple[Any, tuple[int, ...], int, int]:
        known = isinstance(entry, dict) and set(entry) == {"dtype", "shape", "data_offsets"}
        if not known or str(entry["dtype"]) not in _DTYPES:
            raise corrupt(self.path, name, f"should have a known dtype, shape and data_offsets, got {entry!r}.")
        shape, offsets = entry["shape"], entry["data_offsets"]
        if not (_are_sizes(shape) and _are_sizes(offsets) and len(offsets) == 2 and len(shape) <= 64):
            raise corrupt(self.path, name, f"shape and data_offsets should be lists of sizes, got {entry!r}.")
        dtype = _DTYPES[entry["dtype"]]
        expected = np.dtype(dtype).itemsize
        for axis in shape:
            expected *= axis
        if offsets[1] - offsets[0] != expected:
            raise corrupt(
                self.path, name, f"takes {offsets[1] - offsets[0]} bytes, its shape {shape} needs {expected}."
            )
        if offsets[1] > len(self._data):
            raise corrupt(self.path, name, f"ends at byte {offsets[1]} of {len(self._data)}: the file is cut off.")
        return dtype, tuple(shape), offsets[0], offsets[1]

    def _reader(
        self, name: str, dtype: Any, shape: tuple[int, ...], start: int, stop: int, expected: Any
    ) -> Callable[[], Any]:
        def read() -> Any:
            raw = self._data[start:stop]
            if expected is not None and hashlib.sha256(raw).hexdigest() != expected:
                raise corrupt(self.path, name, "its SHA-256 is another one than was saved: the data are damaged.")
            if dtype is np.bool_ and (raw > 1).any():
                raise corrupt(self.path, name, "holds bytes that are neither true nor false.")
            return raw.view(dtype).reshape(shape)

        return read


def _start(entry: Any) -> list[int]:
    offsets: list[int] = entry.get("data_offsets", []) if isinstance(entry, dict) else []
    return offsets if _are_sizes(offsets) else []  # refused when its turn comes, which is first


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 63 for value in values)


def is_text(value: Any) -> bool:
    """Whether the value is a text that UTF-8 can express: no half of a surrogate pair."""
    return isinstance(value, str) and not _HALF.search(value)


def parse_json(text: bytes | str, file: Any, member: str | None) -> dict[str, Any]:
    """The JSON object in a file's text: no name twice, no deeper than the limit, nothing before its `{`."""
    limits = config.load_limits()
    text = text.encode() if isinstance(text, str) else text
    if not text.startswith(b"{"):
        raise corrupt(file, member, f"should be a JSON object, begins with {text[:8]!r}.")
    if len(text) > limits.json_bytes:
        raise unsafe(file, member, f"has {len(text)} bytes of JSON, the limit is {limits.json_bytes}.")
    depth = 0
    for token in _TOKENS.finditer(text):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token.group(), 0)
        if depth > limits.depth:
            raise unsafe(file, member, f"its JSON is nested more than {limits.depth} deep.")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise corrupt(file, member, f"the name '{plain(twice)}' stands twice.")
        return found

    try:
        found = json.loads(text.decode(), object_pairs_hook=unique)
    except FileFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise corrupt(file, member, f"is not JSON: {error}.") from error
    assert isinstance(found, dict)
    return found
