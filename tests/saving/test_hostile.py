"""Nothing in a file can do harm: forged and damaged files are refused, and reading has no effect but the model."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import cornu
from cornu import layers, saving
from cornu.base import config, policies
from cornu.base.errors import ArgumentError, CorruptFileError, FileFormatError, UnsafeFileError
from cornu.random.seed import run_position
from cornu.saving import hdf5
from cornu.saving.stored import Stored, check_fit
from cornu.saving.tensors import TensorFile, parse_json
from tests.saving.corpus import CASES, JSON, Case, entry, tensors
from tests.saving.files import FILES, load, members, rewrite, save, state, tiny


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch):
    """Sets limits for one test."""

    def set_limits(**values: Any) -> None:
        monkeypatch.setattr(config.settings, "load_limits", config.LoadLimits(**values))

    return set_limits


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_corpus(case: Case, limits, tmp_path: Path) -> None:
    path = case.write(tmp_path)
    limits(**case.limits)
    model = tiny()
    with pytest.raises(case.error, match=case.match) if case.error else contextlib.nullcontext() as caught:
        load(path, model)
    if caught is None:
        return
    message = str(caught.value)
    notes = "".join(getattr(caught.value, "__notes__", ()))
    assert path.name in message + notes
    if isinstance(caught.value, FileFormatError):
        assert str(path)[:100] in message
        assert len(message) <= 500
        assert message.isprintable()
    assert message.replace("\n", "").isprintable()
    assert len(message) < 5000
    if path.name.startswith("w."):
        assert all((weight == -1).all() for weight in model.get_weights())  # nothing was loaded


@pytest.mark.parametrize("text", [row[1] for row in JSON if row[2] is None])
def test_json_that_is_well(text: bytes) -> None:
    assert "a" in parse_json(text, "file", "member")


def test_truth_values_are_true_or_false(tmp_path: Path) -> None:
    tensors({"x": entry(0, 3, dtype="BOOL", shape=(3,))}, b"\0\1\2")(tmp_path / "x.safetensors")
    with pytest.raises(CorruptFileError, match="x: holds bytes that are neither true nor false"):
        TensorFile(tmp_path / "x.safetensors").stored["x"].read()


def test_text_is_looked_at_once() -> None:
    """Escaped quotes without an end, each of which could begin a text."""
    begin = time.perf_counter()
    with pytest.raises(CorruptFileError):
        parse_json(b'{"a": "' + b'\\"' * (1 << 20), "file", "member")
    assert time.perf_counter() - begin < 30  # far less; and many minutes if each began a text


def test_a_corpus_of_both_kinds() -> None:
    """Some files are good, or all might be refused for the wrong reason."""
    assert sum(case.error is None for case in CASES) >= 5
    assert len({case.id for case in CASES}) == len(CASES)


@pytest.mark.parametrize("name", FILES)
def test_what_begins_as_one_kind_is_read_as_that(name: str, tmp_path: Path) -> None:
    """A file within a file: an archive behind HDF5 or tensors is not looked for."""
    path = tmp_path / name
    save(tiny(), path)
    save(tiny(-3.0), tmp_path / "m.keras" if name != "m.keras" else tmp_path / "w.weights.h5")
    other = (tmp_path / ("m.keras" if name != "m.keras" else "w.weights.h5")).read_bytes()
    path.write_bytes(path.read_bytes() + other)
    try:
        assert state(load(path))[1] == state(tiny())[1]
    except CorruptFileError:
        assert not name.endswith(".h5")  # behind which HDF5 lets more stand


# before anything is allocated


def test_shapes_are_compared_before_anything_is_made(tmp_path: Path) -> None:
    def huge(units: int) -> Any:
        model = cornu.Sequential([cornu.Input((1000,)), layers.Dense(units, name="dense")], name="tiny")
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        return model

    model = huge(10)
    for name in FILES:
        save(model, tmp_path / name)
    other = saving.serialize_keras_object(huge(10**8))
    rewrite(tmp_path / "m.keras", config=json.dumps({**other, "compile_config": model.get_compile_config()}).encode())
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file.attrs["model_config"] = json.dumps(other)
    tracemalloc.start()
    for name in FILES:
        with contextlib.suppress(cornu.base.errors.ShapeError):
            load(tmp_path / name, Untouchable(huge(10**8)))
            assert name == "m.safetensors"  # which is as it was
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


class Untouchable:
    """A model whose weights may be loaded, not set before."""

    def __init__(self, model: Any) -> None:
        self.load_weights = model.load_weights

    def get_weights(self) -> list[Any]:
        return []

    def set_weights(self, weights: list[Any]) -> None:
        pass


@pytest.mark.parametrize("name", FILES)
def test_the_budget_counts_before_reading(name: str, limits, tmp_path: Path) -> None:
    save(tiny(), tmp_path / name)
    least = 20_000 if name == "m.keras" else 12  # an archive's members count, too
    limits(bytes=least)
    load(tmp_path / name)
    limits(bytes=11)
    with pytest.raises(UnsafeFileError, match="the limit is 11"):
        load(tmp_path / name)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"files": 3}, "must be one of 'bytes', 'layers'"),
        ({"bytes": 0}, "should be a positive number, got 0"),
        ({"depth": True}, "should be a positive number, got True"),
        ({"isolate": 1}, "isolate should be True or False"),
    ],
)
def test_limits_are_checked(values: dict[str, Any], message: str) -> None:
    before = config.load_limits()
    with pytest.raises(ArgumentError, match=message):
        config.set_load_limits(**values)
    assert config.load_limits() == before


def test_weights_that_are_no_numbers_load_with_a_warning(tmp_path: Path) -> None:
    model = tiny(float("nan"))
    for name in FILES:
        save(model, tmp_path / name)
        with pytest.warns(UserWarning, match=rf"{name} holds NaN in .*: the model was saved after it diverged"):
            assert np.isnan(load(tmp_path / name).get_weights()[0]).all()


# no effect but the model


def settings() -> list[Any]:
    """All that a file must not change."""
    return [
        config.floatx(),
        config.epsilon(),
        config.image_data_format(),
        config.backend(),
        config.settings.version,
        config.load_limits(),
        policies.dtype_policy(),
        run_position(),
        random.getstate(),
        [x.tolist() if isinstance(x, np.ndarray) else x for x in np.random.get_state()],
        dict(os.environ),
        os.getcwd(),
        sys.getrecursionlimit(),
        warnings.filters[:],
        dict(saving.get_custom_objects()),
        [h5py.h5pl.get(i) for i in range(h5py.h5pl.size())],
    ]


@pytest.mark.parametrize("name", FILES)
def test_reading_changes_no_setting(name: str, tmp_path: Path) -> None:
    cornu.utils.set_random_seed(3)
    path = tmp_path / name
    save(tiny(), path)
    model = tiny()
    expected = cornu.random.uniform((3,))
    cornu.utils.set_random_seed(3)
    before = settings()
    load(path, model)
    assert settings() == before
    np.testing.assert_array_equal(cornu.random.uniform((3,)), expected)


def test_a_refused_file_changes_no_setting(limits, tmp_path: Path) -> None:
    for i, case in enumerate(CASES):
        path, model = case.write(tmp_path / str(i)), tiny()
        limits(**case.limits)
        before = settings()
        with contextlib.suppress(*([case.error] if case.error else [])):
            load(path, model)
        assert settings() == before, case.id


AUDITED = """
import ctypes, os, shutil, sys, contextlib
from pathlib import Path
from cornu.base import config
from tests.saving.corpus import CASES
from tests.saving.files import FILES, load, save, tiny

folder, events, given = Path(sys.argv[1]), None, ""

def hook(event, arguments):
    if events is None or event in ("builtins.id", "object.__getattr__", "mmap.__new__", "sys._getframe"):
        return
    if event == "compile" and arguments[0].startswith(b"def foo("):  # `inspect` on the signature of a built-in
        return
    if event == "open" and str(arguments[0]) == given and arguments[1] in ("r", "rb") and not arguments[2] & 3:
        return
    events.append((event, arguments))

def attempt(path, model):
    with contextlib.suppress(ValueError, TypeError):
        load(path, model)

files = []
for i, name in enumerate(FILES):
    (folder / f"good{i}").mkdir()
    save(tiny(), folder / f"good{i}" / name)
    files.append((name, folder / f"good{i}" / name, {}))
files += [(case.id, case.write(folder / str(i)), case.limits) for i, case in enumerate(CASES) if "index" not in case.id]
model = tiny()
for _, path, limits in files:  # whatever is imported when first needed
    config.settings.load_limits = config.LoadLimits(**limits)
    attempt(path, model)

sys.addaudithook(hook)
libc = ctypes.CDLL(None)
for name, path, limits in files:
    config.settings.load_limits = config.LoadLimits(**limits)
    watch = libc.inotify_init1(os.O_NONBLOCK)  # what the HDF5 library opens is not audited
    beside = [one for one in path.parent.iterdir() if one != path]
    for one in beside:
        libc.inotify_add_watch(watch, bytes(one), 0x20)  # IN_OPEN
    libc.inotify_add_watch(watch, bytes(path.parent), 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200)  # changes
    before, given, events = sorted(os.listdir(path.parent)), str(path), []
    attempt(path, model)
    found, events = events, None
    with contextlib.suppress(BlockingIOError):
        found.append(("another file", os.read(watch, 4096)))
    os.close(watch)
    if found or sorted(os.listdir(path.parent)) != before:
        print(name, found[:3])
print("looked at", len(files))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="by inotify")
def test_reading_opens_the_file_and_does_nothing_else(tmp_path: Path) -> None:
    found = python(AUDITED, str(tmp_path))
    assert found.stdout.splitlines() == [f"looked at {sum('index' not in case.id for case in CASES) + len(FILES)}"], (
        found
    )


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a process of its own prints."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."]), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


# functions by name


@saving.register_serializable("tests")
def doubled(x: Any) -> Any:
    return 2 * x


def test_a_function_is_saved_by_its_registered_name(tmp_path: Path) -> None:
    model = cornu.Sequential([cornu.Input((2,)), layers.Lambda(doubled)])
    model.save(tmp_path / "m.keras")
    text = members(tmp_path / "m.keras")["config.json"].decode()
    assert '"config": "doubled"' in text or "tests>doubled" in text
    assert "return" not in text
    np.testing.assert_array_equal(load(tmp_path / "m.keras").predict(np.ones((1, 2)), verbose=0), [[2, 2]])
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(saving.get_custom_objects(), "tests>doubled")
        with pytest.raises(cornu.base.errors.UnknownNameError, match="doubled"):
            load(tmp_path / "m.keras")


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_function_without_a_name_is_not_saved(name: str, tmp_path: Path) -> None:
    model = cornu.Sequential([cornu.Input((2,)), layers.Lambda(lambda x: x + 1)])
    with pytest.raises(ArgumentError, match=r"A lambda cannot be saved. Define a function and register it"):
        model.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


# by another process


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "w.weights.h5", "w.h5"])
def test_another_process_reads_the_same(name: str, limits, tmp_path: Path) -> None:
    save(tiny(), tmp_path / name)
    expected = state(load(tmp_path / name))
    limits(isolate=True)
    assert state(load(tmp_path / name)) == expected


ISOLATED = ("hdf5: soft link", "hdf5: external data", "hdf5: plugin", "hdf5: texts", "hdf5: large", "old: code")


@pytest.mark.parametrize("case", [case for case in CASES if case.id in ISOLATED], ids=lambda case: case.id)
def test_another_process_refuses_the_same(case: Case, limits, tmp_path: Path) -> None:
    path = case.write(tmp_path)
    limits(**case.limits, isolate=True)
    with pytest.raises(case.error, match=case.match) as caught:
        load(path)
    assert str(path) in str(caught.value) or case.id == "old: code"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.abort()", "ended with -6"),
        ("import sys; sys.exit(7)", "ended with 7"),
        ("import sys; sys.stdout.write('nonsense, and more of it')", "its header should have"),
        ("import sys; sys.stderr.write('x' * 10**6); sys.exit(1)", "ended with 1"),
    ],
)
def test_another_process_may_end_as_it_likes(code, message, limits, tmp_path: Path, monkeypatch) -> None:
    save(tiny(), tmp_path / "w.h5")
    limits(isolate=True)
    monkeypatch.setattr(hdf5, "_READER", code)
    with pytest.raises(CorruptFileError, match=message):
        load(tmp_path / "w.h5")


CONFINED = """
import os, resource, sys
from pathlib import Path
from cornu.base import config
from cornu.saving import hdf5, stored

def trying(self):
    for what in ("open(sys.argv[1] + '/x', 'w').write('x' * 10**5)", "os.fork() or os._exit(0)", "bytes(9 << 30)"):
        try:
            exec(what)
        except (OSError, MemoryError) as error:
            print(type(error).__name__)
        else:
            print("done", what)
    print(resource.getrlimit(resource.RLIMIT_CPU))
    sys.stdout.flush()
    os._exit(0)

import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
hdf5.check_size = lambda *unused: trying(None)
hdf5.serve(sys.argv[1] + "/w.h5", '{"bytes": 1000000}')
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits as of Linux")
def test_another_process_can_neither_write_nor_take_memory(tmp_path: Path) -> None:
    save(tiny(), tmp_path / "w.h5")
    found = python(CONFINED, str(tmp_path)).stdout.split("\n")
    forked = [] if os.geteuid() == 0 else ["BlockingIOError"]  # root may always
    assert [line for line in found if "fork" not in line] == ["OSError", *forked, "MemoryError", "(600, 600)", ""]


# time: test_linear_time.py has the rest


def test_a_table_of_differences_is_short_and_soon_made() -> None:
    first, second = ({f"{kind}/{i:05}/kernel": np.zeros(1) for i in range(20_000)} for kind in ("one", "two"))
    begin = time.perf_counter()
    with pytest.raises(cornu.base.errors.ShapeError, match="and 39980 more") as caught:
        check_fit("model 'm'", "f", first, {key: Stored((1,), "float32", list) for key in second})
    assert len(str(caught.value).splitlines()) < 30
    assert time.perf_counter() - begin < 30
