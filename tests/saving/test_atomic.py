"""Saves are whole or not at all: each of their steps fails in turn, power fails after each, processes are killed."""

from __future__ import annotations

import errno
import io
import itertools
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cornu.base.errors import ArgumentError, CorruptFileError
from cornu.saving import atomic, tensors
from cornu.saving.atomic import PART, atomic_write
from tests.saving.files import FILES, load, save, state, tiny

PARTS: dict[str, Any] = {"max_shard_size": 5e-9}
SAVES = [
    *((name, {}, {}) for name in FILES),
    ("w.safetensors", {}, PARTS),
    ("w.safetensors", PARTS, {}),
    ("w.safetensors", PARTS, PARTS),
]
"""A file, and how it was saved before and is saved now: in one piece or in several."""
saves = pytest.mark.parametrize(
    ("name", "before", "now"), SAVES, ids=[f"{name}{'-parts' * bool(a)}{'-to-parts' * bool(b)}" for name, a, b in SAVES]
)
MOST = 60  # steps that a small save takes at most


def weights(model: Any) -> list[Any]:
    return state(model)[1][:2]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def needed(path: Path) -> set[str]:
    """The files of which a save consists."""
    index = path.with_name(path.name + ".index.json")
    return {index.name, *(shard.name for shard in tensors._shards(index))} if index.exists() else {path.name}


# steps that fail


class Disk:
    """Notes every step of a save; the k-th fails, and no write takes more than `most` bytes."""

    def __init__(self, patch: pytest.MonkeyPatch, k: int = -1, number: int = 0, most: int = 1 << 30) -> None:
        self.steps: list[str] = []
        self.k, self.number, self.most = k, number, most
        disk = self

        class File(io.FileIO):
            def write(self, data: Any) -> int:
                disk.step("write")
                return super().write(memoryview(data)[: disk.most])

        patch.setattr(atomic.io, "FileIO", File)
        for owner, name in ((os, "open"), (os, "fsync"), (Path, "replace"), (Path, "unlink")):
            patch.setattr(owner, name, self.noted(name, getattr(owner, name)))

    def step(self, name: str) -> None:
        self.steps.append(name)
        if len(self.steps) == self.k:
            raise OSError(self.number, os.strerror(self.number))

    def noted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.step(name)
            return function(*args, **kwargs)

        return call


@saves
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_whatever_fails_the_old_file_or_the_new_one_is_there(
    name: str, before: dict[str, Any], now: dict[str, Any], number: int, tmp_path: Path
) -> None:
    old, new, reader = tiny(1.0), tiny(2.0), tiny()
    whole, found = (weights(old), weights(new)), []
    for k in range(1, MOST):
        path = tmp_path / str(k) / name
        path.parent.mkdir()
        save(old, path, **before)
        files = names(path.parent)
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, k, number, most=3000)
            raised = None
            try:
                save(new, path, **now)
            except OSError as error:
                raised = error
        found.append(whole.index(weights(load(path, reader))))
        if len(disk.steps) < k:  # there is no k-th step: each has failed once
            assert raised is None
            assert {"open", "write", "fsync", "replace"} <= set(disk.steps)
            assert names(path.parent) == needed(path)
            break
        assert raised is not None
        assert raised.errno == number
        if disk.steps[k - 1] != "unlink":  # what cannot be removed is left
            assert names(path.parent) <= files | needed(path) | {name}
    else:
        pytest.fail("a small save should not take so many steps")
    assert found == sorted(found)
    assert set(found) == {0, 1}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("most", [1, 700])
def test_short_writes_are_gone_on_with(name: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny(3.0)
    disk = Disk(monkeypatch, most=most)
    save(model, tmp_path / name)
    assert disk.steps.count("write") > 1
    assert weights(load(tmp_path / name)) == weights(model)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("owner", "function"), [(zipfile.ZipFile, "writestr"), (h5py.Group, "create_dataset"), (tensors, "_bytes")]
)
def test_a_format_that_fails_leaves_the_old_file(
    name: str, owner: Any, function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tiny(1.0), tmp_path / name)
    before = (tmp_path / name).read_bytes()
    for k in range(1, MOST):
        calls, true = itertools.count(1), getattr(owner, function)

        def failing(*args: Any, calls: Any = calls, k: int = k, true: Any = true, **kwargs: Any) -> Any:
            if next(calls) == k:
                raise KeyboardInterrupt
            return true(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(owner, function, failing)
            try:
                save(tiny(2.0), tmp_path / name)
            except KeyboardInterrupt:
                assert (tmp_path / name).read_bytes() == before
                assert names(tmp_path) == {name}
            else:
                return
    pytest.fail("a small save should not take so many calls")


# power that fails


class Journal:
    """What a disk has kept: bytes since the `fsync` of their file, names since that of the folder."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.kept = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.waiting: list[tuple[str, bytes | None]] = []  # names that are given to bytes, or to nothing
        self.crashes: list[dict[str, bytes]] = [self.kept]
        handles: dict[int, Path] = {}
        synced: dict[str, bytes] = {}
        opened, sync, replace, unlink = os.open, os.fsync, Path.replace, Path.unlink

        def opening(path: Any, *args: Any, **kwargs: Any) -> int:
            handle = opened(path, *args, **kwargs)
            handles[handle] = Path(path)
            return handle

        def syncing(handle: int) -> None:
            sync(handle)
            path = handles[handle]
            if path == folder:
                self.kept, self.waiting = self.after(self.waiting), []
            else:
                synced[path.name] = path.read_bytes()

        def replacing(path: Path, target: Path) -> Path:
            self.wait(target.name, synced.get(path.name, b""))
            return replace(path, target)

        def unlinking(path: Path, missing_ok: bool = False) -> None:
            if path.exists():
                self.wait(path.name, None)
            unlink(path, missing_ok)

        for owner, name, function in (
            (os, "open", opening),
            (os, "fsync", syncing),
            (Path, "replace", replacing),
            (Path, "unlink", unlinking),
        ):
            patch.setattr(owner, name, function)

    def wait(self, name: str, content: bytes | None) -> None:
        self.waiting.append((name, content))
        for done in itertools.product((False, True), repeat=len(self.waiting)):  # in whatever order the disk likes
            self.crashes.append(self.after([one for one, is_done in zip(self.waiting, done, strict=True) if is_done]))

    def after(self, changes: list[tuple[str, bytes | None]]) -> dict[str, bytes]:
        found: dict[str, bytes | None] = {**self.kept, **dict(changes)}
        return {name: content for name, content in found.items() if content is not None}


@saves
def test_a_power_cut_leaves_the_old_file_or_the_new_one(
    name: str, before: dict[str, Any], now: dict[str, Any], tmp_path: Path
) -> None:
    old, new, reader = tiny(1.0), tiny(2.0), tiny()
    (tmp_path / "disk").mkdir()
    save(old, tmp_path / "disk" / name, **before)
    with pytest.MonkeyPatch.context() as patch:
        journal = Journal(patch, tmp_path / "disk")
        save(new, tmp_path / "disk" / name, **now)
    assert not [content for content in journal.waiting if content[1] is not None]  # what was saved is on the disk
    whole, found = (weights(old), weights(new)), set()
    for i, content in enumerate([*journal.crashes, journal.kept]):
        folder = tmp_path / str(i)
        folder.mkdir()
        for one, data in content.items():
            (folder / one).write_bytes(data)
        found.add(whole.index(weights(load(folder / name, reader))))
    assert found == {0, 1}


# the rest


def test_a_block_that_raises_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), atomic_write(tmp_path / "x") as file:
        file.write(b"half")
        raise KeyError
    assert not names(tmp_path)


def test_links_are_followed_and_the_mask_holds(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "real.keras", tmp_path / "link.keras"
    link.symlink_to(target)
    before = os.umask(0o027)
    try:
        with atomic_write(link) as file:
            file.write(b"1")
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert target.read_bytes() == b"1"
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path: Path) -> None:
    name = "ü" * 123 + ".keras"
    save(tiny(), tmp_path / f"m.{name}")
    assert weights(load(tmp_path / f"m.{name}")) == weights(tiny())


@pytest.mark.parametrize("name", FILES)
def test_an_existing_file_may_be_protected(name: str, tmp_path: Path) -> None:
    save(tiny(1.0), tmp_path / name)
    with pytest.raises(ArgumentError, match=rf"{name} exists already; pass overwrite=True"):
        save(tiny(2.0), tmp_path / name, overwrite=False)
    with pytest.raises(ArgumentError, match=r"The folder .*nowhere does not exist"):
        save(tiny(1.0), tmp_path / "nowhere" / name)
    assert weights(load(tmp_path / name)) == weights(tiny(1.0))


def test_an_existing_file_in_parts_may_be_protected(tmp_path: Path) -> None:
    save(tiny(1.0), tmp_path / "w.safetensors", **PARTS)
    for options in ({}, PARTS):
        with pytest.raises(ArgumentError, match=r"w.safetensors exists already"):
            save(tiny(2.0), tmp_path / "w.safetensors", overwrite=False, **options)


def test_parts_of_two_saves_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save(tiny(1.0), path, **PARTS)
    first = {part.name: part.read_bytes() for part in tmp_path.glob("w-*")}
    save(tiny(2.0), path, **PARTS)
    for part in sorted(tmp_path.glob("w-*"))[:1]:
        part.write_bytes(next(iter(first.values())))
        part.with_name(next(iter(first))).write_bytes(part.read_bytes())
        part.unlink()
    with pytest.raises(CorruptFileError, match="is missing from the folder"):
        load(path)


# kills

SAVING = """
import os, sys
from pathlib import Path
from tests.saving.files import FILES, save, tiny

folder, model, count, parent = Path(sys.argv[1]), tiny(0.0), 0.0, os.getpid()
for name in FILES:
    save(model, folder / name)
for turn, _ in enumerate(sys.stdin):
    count += 1000
    first = turn % len(FILES)
    if child := os.fork():
        print(child, flush=True)
        os.waitpid(child, 0)
        continue
    while os.getppid() == parent:
        count += 1
        model.set_weights([0 * weight + count for weight in model.get_weights()])
        for name in FILES[first:] + FILES[:first]:
            save(model, folder / name, **({"max_shard_size": 5e-9} if name == "w.safetensors" and count % 2 else {}))
"""


def kills(folder: Path, times: int, seed: int = 0) -> Iterator[list[float]]:
    """Kill a process that saves all the time, again and again; what the files hold after each kill, a number each."""
    chance = np.random.default_rng(seed)
    env = {**os.environ, "CORNU_BACKEND": "numpy", "PYTHONPATH": os.pathsep.join(["src", "."])}
    command = [sys.executable, "-c", SAVING, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(times):
            process.stdin.write("next\n")
            child = int(process.stdout.readline())
            time.sleep(float(chance.uniform(0, 0.1)))
            os.kill(child, signal.SIGKILL)
            found = []
            for name in FILES:
                (value,) = {float(one) for weight in load(folder / name).get_weights() for one in weight.reshape(-1)}
                found.append(value)
            yield found


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_a_process_killed_while_it_saves_leaves_whole_files(tmp_path: Path) -> None:
    before = [0.0] * len(FILES)
    for found in kills(tmp_path, 10):
        assert all(new == old or new > old for new, old in zip(found, before, strict=True))
        assert len({value for value in found if value >= max(found) - 1}) <= 2
        before = found
    assert max(before) > 0  # something was saved
    for name in FILES:  # what was left behind is in nobody's way
        save(tiny(3.0), tmp_path / name)
        assert weights(load(tmp_path / name)) == weights(tiny(3.0))
    left = {name for name in names(tmp_path) if name not in FILES}
    assert all(name.endswith(PART) or name.startswith("w-") for name in left)


if __name__ == "__main__":  # python -m tests.saving.test_atomic 100
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        for found in kills(Path(place), int(sys.argv[1]), seed=int(time.time())):
            print(found, len(names(Path(place))), "files")
