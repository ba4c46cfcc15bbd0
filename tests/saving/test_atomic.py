"""Saves are whole or not at all: every write, sync and rename fails in turn; processes are killed while they save."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import cornu
from cornu import layers
from cornu.saving.atomic import PART, atomic_write

FORMATS = ("m.keras", "m.h5", "w.weights.h5", "w.safetensors")
MOST = 200  # operations that a small save takes at most


def make(value: float):
    model = cornu.Sequential([cornu.Input((3,)), layers.Dense(2, name="a"), layers.Dense(1, name="b")])
    model.set_weights([np.full(w.shape, value, "float32") for w in model.weights])
    return model


def save(model, path: Path, **options) -> None:
    (model.save if path.name[0] == "m" else model.save_weights)(path, **options)


def value_in(path: Path) -> float:
    """What all the weights in the file are."""
    if path.name[0] == "m":
        model = cornu.models.load_model(path)
    else:
        model = make(0.0)
        model.load_weights(path)
    (found,) = {float(one) for weight in model.get_weights() for one in weight.reshape(-1)}
    return found


class Fault:
    """Makes the k-th operation of a kind fail; `done` counts them."""

    def __init__(self, kind: str, k: int, number: int) -> None:
        self.kind, self.k, self.number, self.done = kind, k, number, 0

    def strikes(self, kind: str) -> bool:
        if kind != self.kind:
            return False
        self.done += 1
        return self.done == self.k

    def error(self) -> OSError:
        return OSError(self.number, os.strerror(self.number))


def inject(monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    class Disk(io.FileIO):
        def write(self, data):
            if fault.strikes("write"):
                raise fault.error()
            if fault.kind == "short" and len(data) > 1:
                fault.done += 1
                return super().write(memoryview(data)[: max(1, len(data) // 3)])
            return super().write(data)

    def syncing(handle, sync=os.fsync):
        if fault.strikes("fsync"):
            raise fault.error()
        sync(handle)

    def renaming(self, target, replace=Path.replace):
        if fault.strikes("rename"):
            raise fault.error()
        return replace(self, target)

    monkeypatch.setattr(io, "FileIO", Disk)
    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(Path, "replace", renaming)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["write", "fsync", "rename"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_whatever_fails_the_old_file_or_the_new_one_is_there(
    name: str, kind: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    old, new = make(1.0), make(2.0)
    save(old, path)
    for k in range(1, MOST):
        fault = Fault(kind, k, number)
        with monkeypatch.context() as patch:
            inject(patch, fault)
            raised = None
            try:
                save(new, path)
            except OSError as error:
                raised = error
        assert not list(tmp_path.glob(f".*{PART}"))
        found = value_in(path)
        assert found in (1.0, 2.0)
        assert raised is None or raised.errno == number
        if raised is None:
            assert fault.done < k  # there is no k-th operation: all have failed once
            assert found == 2.0
            assert k > 1
            return
        save(old, path)
    pytest.fail("a small save should not take so many operations")


@pytest.mark.parametrize("name", FORMATS)
def test_short_writes_are_gone_on_with(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Fault("short", 0, 0)
    with monkeypatch.context() as patch:
        inject(patch, fault)
        save(make(3.0), tmp_path / name)
    assert fault.done > 1
    assert value_in(tmp_path / name) == 3.0


def test_files_in_parts_are_old_or_new_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, options = tmp_path / "w.safetensors", {"max_shard_size": 2e-8}
    save(make(1.0), path, **options)
    assert len(list(tmp_path.glob("w-*.safetensors"))) > 1
    for kind in ("write", "fsync", "rename"):
        for k in range(1, MOST):
            fault = Fault(kind, k, errno.ENOSPC)
            with monkeypatch.context() as patch:
                inject(patch, fault)
                with contextlib.suppress(OSError):
                    save(make(2.0), path, **options)
            assert value_in(path) in (1.0, 2.0)
            if fault.done < k:
                break
            save(make(1.0), path, **options)
        assert value_in(path) == 2.0
        save(make(1.0), path, **options)


def test_a_block_that_raises_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), atomic_write(tmp_path / "x") as file:
        file.write(b"half")
        raise KeyError
    assert not list(tmp_path.iterdir())


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


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_atomic
path = Path(sys.argv[2])
one, two = test_atomic.make(1.0), test_atomic.make(2.0)
print("ready", flush=True)
while True:
    test_atomic.save(one, path)
    test_atomic.save(two, path)
"""


def kill_while_saving(path: Path, times: int) -> list[float]:
    """What the file holds after each kill: `python tests/saving/test_atomic.py 100` does it a hundred times."""
    found = []
    chance = np.random.default_rng(0)
    for _ in range(times):
        command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(float(chance.uniform(0.005, 0.1)))
            process.send_signal(signal.SIGKILL)
        found.append(value_in(path))
    return found


@pytest.mark.parametrize("name", ["m.keras", "w.safetensors"])
def test_a_process_killed_while_it_saves_leaves_a_whole_file(name: str, tmp_path: Path) -> None:
    save(make(1.0), tmp_path / name)
    assert set(kill_while_saving(tmp_path / name, 5)) <= {1.0, 2.0}
    save(make(3.0), tmp_path / name)
    assert value_in(tmp_path / name) == 3.0


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for each in FORMATS:
            save(make(1.0), Path(folder) / each)
            values = kill_while_saving(Path(folder) / each, int(sys.argv[1]) // len(FORMATS))
            print(each, {value: values.count(value) for value in set(values)})
