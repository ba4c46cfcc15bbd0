"""Data sets in their true formats, made here and served from a mirror on the loopback interface."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import importlib
import io
import itertools
import json
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cornu import datasets
from cornu.base import config
from cornu.base.errors import ArgumentError, CorruptFileError, DownloadError, UnsafeFileError
from cornu.datasets import _files
from cornu.datasets._files import STORAGE, TORONTO, read_npz, unpickle
from cornu.utils import files

RANDOM = np.random.RandomState(0)


def integers(high: int, *shape: int, dtype: str = "uint8") -> np.ndarray:
    return RANDOM.randint(0, high, shape).astype(dtype)


def texts(count: int) -> np.ndarray:
    """As in IMDB and Reuters: lists of ranks of different lengths, as objects."""
    array = np.empty(count, object)
    array[:] = [RANDOM.randint(1, 40, RANDOM.randint(1, 12)).tolist() for _ in range(count)]
    return array


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


class Python2(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings: so the batches of CIFAR were made."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value: bytes) -> None:
        size = len(value)
        self.write(b"U" + bytes([size]) if size < 256 else b"T" + struct.pack("<i", size))
        self.write(value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def pickled2(value: Any) -> bytes:
    buffer = io.BytesIO()
    Python2(buffer, 2).dump(value)
    return buffer.getvalue().replace(b"numpy._core", b"numpy.core")


def tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def idx(array: np.ndarray) -> bytes:
    return gzip.compress(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


MNIST = {
    "x_train": integers(256, 6, 28, 28),
    "y_train": integers(10, 6),
    "x_test": integers(256, 3, 28, 28),
    "y_test": integers(10, 3),
}
IMDB = {
    "x_train": texts(20),
    "y_train": integers(2, 20, dtype="int64"),
    "x_test": texts(15),
    "y_test": integers(2, 15, dtype="int64"),
}
REUTERS = {"x": texts(41), "y": integers(46, 41, dtype="int64")}
HOUSING = {"x": RANDOM.rand(700, 8), "y": RANDOM.rand(700)}
PIXELS = {name: integers(256, 4, 3072) for name in ("1", "2", "3", "4", "5", "test", "train100", "test100")}
LABELS = {name: integers(10, 4).tolist() for name in PIXELS}


def cifar10() -> bytes:
    members = {
        f"cifar-10-batches-py/{'test_batch' if name == 'test' else f'data_batch_{name}'}": pickled2(
            {b"batch_label": b"some", b"labels": LABELS[name], b"data": PIXELS[name], b"filenames": [b"a.png"] * 4}
        )
        for name in ("4", "3", "5", "1", "test", "2")  # not in order, as in the real one
    }
    return tar({"cifar-10-batches-py/readme.html": b"<html>", **members})


def cifar100() -> bytes:
    return tar(
        {
            f"cifar-100-python/{name}": pickled2(
                {
                    b"fine_labels": LABELS[f"{name}100"],
                    b"coarse_labels": LABELS[f"{name}100"][::-1],
                    b"data": PIXELS[f"{name}100"],
                }
            )
            for name in ("test", "train")
        }
    )


WORDS = {"the": 1, "naïve": 2}
FILES: dict[str, bytes] = {
    STORAGE + "mnist.npz": npz(**MNIST),
    STORAGE + "imdb.npz": npz(**IMDB),
    STORAGE + "imdb_word_index.json": json.dumps(WORDS).encode(),
    STORAGE + "reuters.npz": npz(**REUTERS),
    STORAGE + "reuters_word_index.json": json.dumps(WORDS).encode(),
    STORAGE + "boston_housing.npz": npz(**HOUSING),
    STORAGE + "california_housing.npz": npz(**HOUSING),
    STORAGE + "train-images-idx3-ubyte.gz": idx(MNIST["x_train"]),
    STORAGE + "train-labels-idx1-ubyte.gz": idx(MNIST["y_train"]),
    STORAGE + "t10k-images-idx3-ubyte.gz": idx(MNIST["x_test"]),
    STORAGE + "t10k-labels-idx1-ubyte.gz": idx(MNIST["y_test"]),
    TORONTO + "cifar-10-python.tar.gz": cifar10(),
    TORONTO + "cifar-100-python.tar.gz": cifar100(),
}
HASHES = dict(_files.HASHES)


@pytest.fixture(autouse=True)
def mirror(server, tmp_path, monkeypatch) -> Callable[[str, bytes], None]:
    """A mirror that has all of them, with their checksums; returns what replaces one."""
    monkeypatch.setenv("CORNU_HOME", str(tmp_path / "cornu"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("CORNU_MIRROR", server.url)
    monkeypatch.setattr(files, "BACKOFF", 0.001)

    def put(url: str, data: bytes) -> None:
        server.files["/" + url.split("/", 3)[3]] = data
        monkeypatch.setitem(_files.HASHES, url, hashlib.sha256(data).hexdigest())

    for url, data in FILES.items():
        put(url, data)
    return put


def test_known_checksums() -> None:
    assert set(HASHES) == set(FILES)
    assert all(len(digest) in (32, 64) for digest in HASHES.values())


def same(got: Any, expected: Any) -> None:
    """Nested tuples of arrays of one dtype and value."""
    for a, b in zip(itertools.chain(*got), itertools.chain(*expected), strict=True):
        assert type(a) is np.ndarray
        assert a.dtype == b.dtype
        if a.dtype == object:
            assert a.tolist() == [list(x) for x in b]
        else:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_images(server, name) -> None:
    load = getattr(datasets, name).load_data
    expected = (MNIST["x_train"], MNIST["y_train"]), (MNIST["x_test"], MNIST["y_test"])
    same(load(), expected)
    requests = len(server.requests)
    same(load(), expected)
    assert len(server.requests) == requests


def images(*names: str) -> np.ndarray:
    return np.concatenate([PIXELS[name] for name in names]).reshape(-1, 3, 32, 32)


def labels(*names: str) -> np.ndarray:
    return np.concatenate([LABELS[name] for name in names]).astype("uint8")[:, None]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_cifar(data_format, monkeypatch) -> None:
    monkeypatch.setattr(config, "image_data_format", lambda: data_format)
    axes = (0, 2, 3, 1) if data_format == "channels_last" else (0, 1, 2, 3)
    train = images(*"12345").transpose(axes), labels(*"12345")
    same(datasets.cifar10.load_data(), (train, (images("test").transpose(axes), labels("test"))))
    train = images("train100").transpose(axes), labels("train100")
    test = images("test100").transpose(axes), labels("test100")
    same(datasets.cifar100.load_data(), (train, test))
    (x, y), _ = datasets.cifar100.load_data(label_mode="coarse")
    np.testing.assert_array_equal(y, train[1][::-1])
    assert x.flags.c_contiguous


def keras_with(monkeypatch, name: str, file: Path) -> Callable[..., Any]:
    module = importlib.import_module(f"keras.src.datasets.{name}")
    monkeypatch.setattr(module, "get_file", lambda *args, **kwargs: str(file))
    return module.load_data


WORD_CASES: list[dict[str, Any]] = [
    {},
    {"seed": 7},
    *(
        {"num_words": a, "skip_top": b, "maxlen": c, "start_char": d, "oov_char": e, "index_from": f}
        for a, b, c, d, e, f in itertools.product((None, 20), (0, 7), (None, 8), (1, None), (2, None), (3, 0))
    ),
]


@pytest.mark.parametrize("name", ["imdb", "reuters"])
def test_words_as_in_keras(name, tmp_path, monkeypatch) -> None:
    file = tmp_path / "file.npz"
    file.write_bytes(FILES[f"{STORAGE}{name}.npz"])
    reference = keras_with(monkeypatch, name, file)
    for case in WORD_CASES:
        same(getattr(datasets, name).load_data(**case), reference(**case))


def test_words_by_hand(mirror) -> None:
    x = np.empty(2, object)
    x[:] = [[1, 5, 9], [2]]
    mirror(STORAGE + "imdb.npz", npz(x_train=x, y_train=np.array([1, 1]), x_test=x, y_test=np.array([0, 0])))
    (train, _), _ = datasets.imdb.load_data(num_words=9)
    assert sorted(train) == [[1, 4, 8, 2], [1, 5]]  # 9 + 3 is too rare
    (train, _), (test, _) = datasets.imdb.load_data(num_words=9, oov_char=None, start_char=None, index_from=None)
    assert sorted(train) == sorted(test) == [[1, 5], [2]]


def test_imdb_arguments() -> None:
    same(datasets.imdb.load_data(nb_words=10), datasets.imdb.load_data(num_words=10))
    with pytest.raises(TypeError, match="unexpected keyword argument 'max_words'"):
        datasets.imdb.load_data(max_words=3)
    with pytest.raises(ArgumentError, match="No sequence is shorter than maxlen=1"):
        datasets.imdb.load_data(maxlen=1)


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("reuters", [{"test_split": 0.5}, {"test_split": 0}]),
        ("boston_housing", [{}, {"test_split": 0.33}, {"test_split": 0.0}, {"seed": 4}]),
        ("california_housing", [{}, {"version": "small"}, {"test_split": 0.5, "seed": 4}]),
    ],
)
def test_splits_as_in_keras(name, cases, tmp_path, monkeypatch) -> None:
    file = tmp_path / "file.npz"
    file.write_bytes(FILES[f"{STORAGE}{name}.npz"])
    reference = keras_with(monkeypatch, name, file)
    for case in cases:
        same(getattr(datasets, name).load_data(**case), reference(**case))


@pytest.mark.parametrize("name", ["imdb", "reuters"])
def test_word_index(name) -> None:
    assert getattr(datasets, name).get_word_index() == WORDS


def test_label_names() -> None:
    assert datasets.reuters.get_label_names() == tuple(keras.datasets.reuters.get_label_names())


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (lambda: datasets.cifar100.load_data("rough"), "label_mode must be one of 'fine', 'coarse', got 'rough'"),
        (lambda: datasets.california_housing.load_data("big"), "version must be one of 'large', 'small', got 'big'"),
        (
            lambda: datasets.boston_housing.load_data(test_split=1.0),
            r"test_split should be a number within \[0, 1\), got 1.0",
        ),
        (
            lambda: datasets.reuters.load_data(test_split=-0.1),
            r"test_split should be a number within \[0, 1\), got -0.1",
        ),
    ],
)
def test_bad_arguments(server, load, message) -> None:
    with pytest.raises(ArgumentError, match=message):
        load()


def test_paths(tmp_path) -> None:
    datasets.mnist.load_data("digits.npz")
    assert (tmp_path / "cornu" / "datasets" / "digits.npz").is_file()
    datasets.mnist.load_data(str(tmp_path / "here.npz"))
    assert (tmp_path / "here.npz").is_file()
    datasets.fashion_mnist.load_data()
    assert (tmp_path / "cornu" / "datasets" / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz").is_file()


@pytest.mark.parametrize(
    ("name", "url", "file"),
    [
        ("mnist", STORAGE + "mnist.npz", "mnist.npz"),
        ("fashion_mnist", STORAGE + "train-images-idx3-ubyte.gz", "fashion-mnist/train-images-idx3-ubyte.gz"),
        ("cifar10", TORONTO + "cifar-10-python.tar.gz", "cifar-10-batches-py-target_archive"),
        ("cifar10", TORONTO + "cifar-10-python.tar.gz", "cifar-10-batches-py.tar.gz"),
        ("cifar100", TORONTO + "cifar-100-python.tar.gz", "cifar-100-python-target_archive"),
    ],
)
def test_keras_cache(server, tmp_path, name, url, file) -> None:
    theirs = tmp_path / "keras" / "datasets" / file
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(FILES[url])
    getattr(datasets, name).load_data()
    assert "/" + url.split("/", 3)[3] not in [path for path, _ in server.requests]


def test_offline(server, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(_files, "STORAGE", "http://127.0.0.1:9/tensorflow/")
    monkeypatch.setattr(datasets.mnist, "STORAGE", "http://127.0.0.1:9/tensorflow/")
    monkeypatch.setitem(_files.HASHES, "http://127.0.0.1:9/tensorflow/mnist.npz", HASHES[STORAGE + "mnist.npz"])
    monkeypatch.delenv("CORNU_MIRROR")
    with pytest.raises(DownloadError, match="put the file at") as caught:
        datasets.mnist.load_data()
    assert str(tmp_path / "cornu" / "datasets" / "mnist.npz") in str(caught.value)
    assert HASHES[STORAGE + "mnist.npz"] in str(caught.value)


class Evil:
    """Runs code when unpickled by the careless."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


class Handmade:
    """`_reconstruct` and a state of our choice."""

    def __init__(self, *state: Any) -> None:
        self.state = state

    def __reduce__(self) -> Any:
        return np.empty(0, object).__reduce__()[0], (np.ndarray, (0,), b"b"), self.state


LAUGHS: list[Any] = ["ha"]
for _ in range(60):
    LAUGHS = [LAUGHS, LAUGHS, None]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (Evil(print, "evil"), UnsafeFileError, "__builtin__.print|builtins.print"),
        (Evil(eval, "1"), UnsafeFileError, "eval"),
        (Evil(getattr, "a", "upper"), UnsafeFileError, "getattr"),
        ([[Evil(Path, "x")]], UnsafeFileError, "Path"),
        ({1: np.float64(3)}, UnsafeFileError, "scalar"),
        (np.array(["text"]), UnsafeFileError, "dtype <U4"),
        (np.zeros(1, "i4,i4"), UnsafeFileError, "dtype"),
        ({1, 2}, UnsafeFileError, "set"),
        (np.dtype("int32"), UnsafeFileError, "_DType"),
        (Evil(bytes, 10**12), UnsafeFileError, "bytes"),
        (Handmade(1, (2,), np.dtype(object), False, [1]), CorruptFileError, "2 objects came with other data"),
        (Handmade(1, (2,), np.dtype(object), False, b"12345678" * 2), CorruptFileError, "other data"),
        (Handmade(1, (9,), np.dtype("int64"), False, b"12345678"), CorruptFileError, "cannot be read"),
        (Handmade(1, (-1, -1), np.dtype("int64"), False, b"12345678"), CorruptFileError, "cannot be read"),
        (Handmade(1), CorruptFileError, "cannot be read"),
        (Handmade(1, (1,), "int64", False, b"x"), CorruptFileError, "cannot be read"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_pickles_that_are_no_data(value, error, message, protocol, capsys) -> None:
    with pytest.raises(error, match=message) as caught:
        unpickle(io.BytesIO(pickle.dumps(value, protocol)), "the file")
    assert "the file" in str(caught.value)
    assert capsys.readouterr().out == ""


def test_pickles_that_refer_to_themselves_or_multiply() -> None:
    loop: list[Any] = [None]
    loop[0] = loop
    with pytest.raises(UnsafeFileError, match="nested too deeply"):
        unpickle(io.BytesIO(pickle.dumps(loop)), "the file")
    assert unpickle(io.BytesIO(pickle.dumps(LAUGHS)), "the file")[2] is None  # 2⁶⁰ elements, shared


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("dtype", ["uint8", "<i4", ">i4", "float64", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_pickles_that_are_data(protocol, dtype, order) -> None:
    array = np.array(RANDOM.randint(0, 2, (3, 4)), dtype, order=order)
    value = {"a": array, b"b": [1, 2.5, None, True, "ü", (1, [2])], "big": 2**70}
    data = pickle.dumps(value, protocol)
    if protocol == 5:  # contiguous arrays go through another function there: not in any published file
        with pytest.raises(UnsafeFileError, match="_frombuffer"):
            unpickle(io.BytesIO(data), "the file")
        return
    got = unpickle(io.BytesIO(data), "the file")
    np.testing.assert_array_equal(got.pop("a"), array)
    assert got == {b"b": value[b"b"], "big": 2**70}


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x80\x02", pickle.dumps([1, 2, 3])[:-3], b"\x80\x02cno\n"])
def test_broken_pickles(data) -> None:
    with pytest.raises((CorruptFileError, UnsafeFileError)):
        unpickle(io.BytesIO(data), "the file")


def test_npz_runs_nothing(mirror, capsys) -> None:
    x = np.empty(1, object)
    x[0] = Evil(print, "evil")
    mirror(STORAGE + "reuters.npz", npz(x=x, y=np.zeros(1, int)))
    with pytest.raises(UnsafeFileError, match=r"reuters.npz: 'x' contains a reference to .*print"):
        datasets.reuters.load_data()
    assert capsys.readouterr().out == ""


def test_npz_orders(tmp_path) -> None:
    array = np.asfortranarray(RANDOM.rand(3, 4))
    (tmp_path / "x.npz").write_bytes(npz(a=array, b=array.astype(">i4")))
    a, b = read_npz(tmp_path / "x.npz", "a", "b")
    np.testing.assert_array_equal(a, array)
    np.testing.assert_array_equal(b, array.astype("int32"))
    a[0] = 1  # writable


def announced(shape: str, data: bytes, descr: str = "|u1") -> bytes:
    """An npz file whose array `a` says of itself what it likes."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (announced("(2,)", b"ab"), None, ""),
        (announced("(3,)", b"ab"), CorruptFileError, "cannot be read"),
        (announced("(2,)", b"abc"), CorruptFileError, "cannot be read"),
        (announced("(2,)", bytes(10**8)), CorruptFileError, "cannot be read"),
        (announced("(-1,)", bytes(10**8)), UnsafeFileError, "'a' announces -1 bytes"),
        (announced("(1048577,)", b"ab"), UnsafeFileError, "'a' announces 1048577 bytes, the limit is 1048576"),
        (announced("(9999999, 9999999, 99999999)", b""), UnsafeFileError, "the limit is 1048576"),
        (announced("(1,)", bytes(8), "|V1000000000"), UnsafeFileError, "the limit is 1048576"),
    ],
)
def test_npz_takes_no_more_than_it_announces(data, error, message, tmp_path, monkeypatch) -> None:
    (tmp_path / "x.npz").write_bytes(data)
    monkeypatch.setattr(config.settings, "load_limits", config.LoadLimits(bytes=1 << 20))
    tracemalloc.start()
    with pytest.raises(error, match=message) if error else contextlib.nullcontext():
        read_npz(tmp_path / "x.npz", "a")
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(("module", "name"), sorted(_files._STAND_INS))
def test_pickles_change_nothing_here(module, name) -> None:
    """`BUILD` sets attributes of whatever a name stands for."""
    stand_in = _files._STAND_INS[module, name]
    before = dict(vars(stand_in))
    for state in (b"}X\x05\0\0\0plainK\1s", b"N}X\x05\0\0\0plainK\1s\x86"):  # {"plain": 1}, (None, {"plain": 1})
        with pytest.raises((CorruptFileError, UnsafeFileError)):
            unpickle(io.BytesIO(b"\x80\2c" + f"{module}\n{name}\n".encode() + state + b"b."), "the file")
    assert dict(vars(stand_in)) == before


@pytest.mark.parametrize(
    ("load", "url", "data"),
    [
        ("mnist", STORAGE + "mnist.npz", b"no zip"),
        ("mnist", STORAGE + "mnist.npz", FILES[STORAGE + "mnist.npz"][:-30]),
        ("mnist", STORAGE + "mnist.npz", npz(x_train=MNIST["x_train"])),
        ("fashion_mnist", STORAGE + "t10k-labels-idx1-ubyte.gz", b"no gzip"),
        ("fashion_mnist", STORAGE + "t10k-labels-idx1-ubyte.gz", idx(MNIST["y_test"])[:-9]),
        ("fashion_mnist", STORAGE + "t10k-labels-idx1-ubyte.gz", gzip.compress(b"\0\0\x0d\1\0\0\0\1abcd")),
        ("fashion_mnist", STORAGE + "t10k-labels-idx1-ubyte.gz", gzip.compress(b"\0\0\x08\1\0\0\0\5abcd")),
        ("fashion_mnist", STORAGE + "t10k-labels-idx1-ubyte.gz", gzip.compress(b"\0\0\x08\1\0\0\0\3abcd")),
        ("fashion_mnist", STORAGE + "t10k-labels-idx1-ubyte.gz", gzip.compress(b"\0\0\x08\4" + b"\xff" * 16)),
        ("cifar10", TORONTO + "cifar-10-python.tar.gz", FILES[TORONTO + "cifar-10-python.tar.gz"][:-5000]),
        ("cifar10", TORONTO + "cifar-10-python.tar.gz", tar({"cifar-10-batches-py/test_batch": pickled2({})})),
        ("cifar10", TORONTO + "cifar-10-python.tar.gz", tar({})),
        ("cifar100", TORONTO + "cifar-100-python.tar.gz", b"no tar"),
        ("cifar100", TORONTO + "cifar-100-python.tar.gz", tar({"cifar-100-python/train": pickled2([1])})),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else str(value),  # archives hold the time they were made at
)
def test_damage(mirror, load, url, data) -> None:
    mirror(url, data)
    with pytest.raises(CorruptFileError) as caught:
        getattr(datasets, load).load_data()
    assert url.rpartition("/")[2] in str(caught.value)


@pytest.mark.parametrize("data", [b"{", b"[]", b"\xff", b'{"a":' * 1000, b'{"a": 1, "a": 2}'])
def test_damaged_word_index(mirror, data) -> None:
    mirror(STORAGE + "imdb_word_index.json", data)
    with pytest.raises((CorruptFileError, UnsafeFileError), match=r"imdb_word_index\.json"):
        datasets.imdb.get_word_index()
