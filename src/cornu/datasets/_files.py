"""How the data sets are fetched and read: npz and pickles without running what they contain."""

from __future__ import annotations

import math
import os
import pickle
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from cornu.base import config
from cornu.base.checks import within
from cornu.base.errors import ArgumentError, CorruptFileError, UnsafeFileError
from cornu.saving.tensors import parse_json
from cornu.utils.files import get_file, hash_file, keras_home

Split = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

# SHA-256 or MD5, by URL: the published files.
STORAGE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
TORONTO = "https://www.cs.toronto.edu/~kriz/"
HASHES = {
    STORAGE + "boston_housing.npz": "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5",
    STORAGE + "california_housing.npz": "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f",
    STORAGE + "imdb.npz": "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
    STORAGE + "imdb_word_index.json": "bfafd718b763782e994055a2d397834f",
    STORAGE + "mnist.npz": "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    STORAGE + "reuters.npz": "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916",
    STORAGE + "reuters_word_index.json": "4d44cc38712099c9e383dc6e5f11a921",
    STORAGE + "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    STORAGE + "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    STORAGE + "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    STORAGE + "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    TORONTO + "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    TORONTO + "cifar-100-python.tar.gz": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
}


def fetch(path: str | os.PathLike[str], url: str, subdir: str = "datasets", keras_names: Sequence[str] = ()) -> Path:
    """The checked local file for `url`, under the name `path` in the cache, or at `path` itself if that is absolute.

    `keras_names` are other names that the same file has in Keras' cache.
    """
    for name in keras_names:
        theirs = keras_home() / subdir / name
        if theirs.is_file() and hash_file(theirs) == HASHES[url]:
            return theirs
    if os.path.isabs(path):
        folder, name = os.path.split(path)
        return Path(get_file(name, url, file_hash=HASHES[url], cache_dir=folder, cache_subdir=""))
    return Path(get_file(path, url, file_hash=HASHES[url], cache_subdir=subdir))


def read_json(file: Path) -> dict[str, int]:
    """A word index: ranks by word."""
    return parse_json(file.read_bytes(), file, None)


def read_npz(file: Path, *names: str) -> list[np.ndarray]:
    """The arrays `names` of an npz file. Arrays of objects may hold numbers, strings and lists of these, no more."""
    arrays = []
    try:
        with zipfile.ZipFile(file) as archive:
            for name in names:
                with archive.open(f"{name}.npy") as member:
                    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                    shape, fortran, dtype = header[np.lib.format.read_magic(member)](member)
                    if dtype.hasobject:
                        arrays.append(unpickle(member, f"{file}: {name!r}", "ASCII"))
                        continue
                    size, most = math.prod(shape) * dtype.itemsize, config.load_limits().bytes
                    if not 0 <= size <= most:
                        raise UnsafeFileError(f"{file}: {name!r} announces {size} bytes, the limit is {most}.")
                    values = np.frombuffer(member.read(size + 1), dtype)  # one more shows that there is more
                    arrays.append(values.reshape(shape, order="F" if fortran else "C").copy())
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, ValueError) as error:
        if isinstance(error, (CorruptFileError, UnsafeFileError)):
            raise
        raise CorruptFileError(f"{file} cannot be read: {error}. Remove it to have it downloaded again.") from error
    return arrays


class _DType:
    """What a pickle says of a dtype, instead of NumPy's own class, which trusts what it reads."""

    def __init__(self, code: str | bytes, *flags: Any) -> None:
        self.code, self.order = _text(code), "|"

    def __setstate__(self, state: Any) -> None:
        self.order = _text(state[1])

    def plain(self) -> np.dtype[Any]:
        if not re.fullmatch(r"[<>=|][biufO]\d*", self.order + self.code):
            raise UnsafeFileError(f"an array of dtype {self.order}{self.code}")
        return np.dtype(self.code if self.order == "|" else self.order + self.code)


class _Array:
    """What a pickle says of an array."""

    state: Any = None

    def __init__(self, *unused: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def plain(self, memo: dict[int, Any]) -> np.ndarray:
        _, shape, dtype, fortran, data = self.state
        dtype, count = dtype.plain(), math.prod(shape)
        if dtype.hasobject:
            if type(data) is not list or len(data) != count:
                raise CorruptFileError(f"an array of {count} objects came with other data")
            array = np.empty(count, object)
            array[:] = [_plain(value, memo) for value in data]
        else:
            data = data.encode("latin1") if isinstance(data, str) else bytes(data)
            array = np.frombuffer(data, dtype, count).astype(dtype.newbyteorder("="))
        return array.reshape(shape, order="F" if fortran else "C")


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


def _plain(value: Any, memo: dict[int, Any]) -> Any:
    """`value` with stand-ins made arrays; only plain data passes. `memo` keeps what is shared shared."""
    if value is None or type(value) in (int, float, bool, str, bytes):
        return value
    if id(value) not in memo:
        memo[id(value)] = _plain_container(value, memo)
    return memo[id(value)]


def _plain_container(value: Any, memo: dict[int, Any]) -> Any:
    if type(value) is _Array:
        return value.plain(memo)
    if type(value) is dict:
        return {_plain(key, memo): _plain(item, memo) for key, item in value.items()}
    if type(value) in (list, tuple):
        # Most lists are long and hold nothing but numbers: no need to look at each.
        simple = {int, float, str, bytes}.issuperset(map(type, value))
        return value if simple else type(value)(_plain(item, memo) for item in value)
    raise UnsafeFileError(f"an object of type {type(value).__name__}")


class _Bytes:
    """How protocol 2 writes bytes: a text and how it is encoded."""

    def __new__(cls, text: str, encoding: str) -> Any:
        if encoding != "latin1":
            raise UnsafeFileError(f"the encoding {encoding!r}")
        return text.encode("latin1")

    def __setstate__(self, state: Any) -> None:
        raise TypeError("bytes have no state")


# Classes with a `__setstate__`, so that a pickle cannot set attributes of what stands here.
_STAND_INS: dict[tuple[str, str], type] = {
    ("_codecs", "encode"): _Bytes,
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
}


class _Unpickler(pickle.Unpickler):
    """Finds nothing but the stand-ins above, so that no code but theirs can run."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise UnsafeFileError(f"a reference to {module}.{name}") from None


def unpickle(stream: IO[bytes], source: str, encoding: str = "bytes") -> Any:
    """Plain data and arrays from a pickle; `UnsafeFileError` for one that refers to anything else.

    `encoding` is how strings of Python 2 are read.
    """
    try:
        return _plain(_Unpickler(stream, encoding=encoding).load(), {})
    except UnsafeFileError as error:
        raise UnsafeFileError(f"{source} contains {error}, which data files have no use for.") from error
    except (RecursionError, MemoryError) as error:
        raise UnsafeFileError(f"{source} is nested too deeply, or takes more memory than there is.") from error
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise CorruptFileError(f"{source} cannot be read: {error}.") from error


def shuffle_and_split(data: Sequence[np.ndarray], test_split: float, seed: int) -> Split:
    """`x` and `y` of `data` in the random order of `seed`; the last `test_split` of them for tests."""
    within("load_data", "[0, 1)", test_split=test_split)
    order = shuffled(len(data[0]), np.random.RandomState(seed))
    x, y = (array[order] for array in data)
    end = int(len(x) * (1 - test_split))
    return (x[:end], y[:end]), (x[end:], y[end:])


def shuffled(count: int, random: np.random.RandomState) -> np.ndarray:
    """The numbers below `count` in random order."""
    order = np.arange(count)
    random.shuffle(order)
    return order


def words(
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    num_words: int | None,
    skip_top: int,
    maxlen: int | None,
    start_char: int | None,
    oov_char: int | None,
    index_from: int | None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Sequences of word ranks as the caller wants them: shifted, begun, without long ones and unwanted words."""
    begin, shift = [] if start_char is None else [start_char], index_from or 0
    found = []
    for x, y in parts:
        texts = [begin + [word + shift for word in text] for text in x]
        kept = [i for i, text in enumerate(texts) if not maxlen or len(text) < maxlen]
        found.append(([texts[i] for i in kept], y[kept]))
    if not any(texts for texts, _ in found):
        raise ArgumentError(f"No sequence is shorter than maxlen={maxlen}; choose a larger one.")
    end = num_words or max(max(text, default=0) for texts, _ in found for text in texts)
    result = []
    for texts, y in found:
        x = np.empty(len(texts), object)
        if oov_char is None:
            x[:] = [[word for word in text if skip_top <= word < end] for text in texts]
        else:
            x[:] = [[word if skip_top <= word < end else oov_char for word in text] for text in texts]
        result.append((x, y))
    return result
