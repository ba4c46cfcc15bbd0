"""Compiled programs from one process to the next: found again, never half a file, never a wrong one, never too many."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cornu.backend.jax import cache
from cornu.backend.jax.cache import ProgramCache

SCRIPT = """
import sys
import numpy as np
import jax
import cornu
found = []
jax.monitoring.register_event_listener(lambda name, **kwargs: found.append(name))
model = cornu.Sequential([cornu.Input((8,)), cornu.layers.Dense(8, activation="tanh"), cornu.layers.Dense(1)])
model.compile("adam", "mse")
x = np.linspace(-1, 1, 256, dtype="float32").reshape(32, 8)
cornu.utils.set_random_seed(0)
model.set_weights([np.full(w.shape, 0.1, "float32") for w in model.weights])
model.fit(x, x[:, :1], epochs=2, verbose=0, shuffle=False)
print(sum(name.endswith("cache_hits") for name in found), model.get_weights()[0].tobytes().hex())
"""


def run(home: Path, **environment: str) -> tuple[int, str]:
    env = {**os.environ, "CORNU_HOME": str(home), "JAX_PLATFORMS": "cpu", **environment}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    hits, weights = done.stdout.split()
    return int(hits), weights


def files(home: Path) -> list[Path]:
    return [path for path in home.glob("cache/jax-*/*") if path.is_file()]


def test_the_next_process_finds_them_and_computes_the_same(tmp_path: Path) -> None:
    first = run(tmp_path)
    assert first[0] == 0
    assert files(tmp_path)
    folder = files(tmp_path)[0].parent
    assert folder.stat().st_mode & 0o077 == 0
    second = run(tmp_path)
    assert second[0] > 0
    assert second[1] == first[1]
    for path in files(tmp_path):  # damaged on the disk
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert run(tmp_path) == (0, first[1])
    assert run(tmp_path)[0] > 0  # written anew
    folder.chmod(0o777)  # others could put their programs there
    assert run(tmp_path)[0] == 0


def test_off_and_ones_own(tmp_path: Path) -> None:
    run(tmp_path, CORNU_COMPILATION_CACHE="off")
    assert not files(tmp_path)
    run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"), JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0")
    assert not files(tmp_path)
    assert list((tmp_path / "own").iterdir())


def test_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_BYTES", 4000)
    store = ProgramCache(tmp_path)
    for i in range(9):
        store.put(f"program-{i}", bytes(900))
        os.utime(tmp_path / f"program-{i}", (i, i))
        if i >= 2:
            assert store.get("program-2") is not None  # used again and again
    left = sorted(path.name for path in tmp_path.iterdir())
    assert "program-2" in left
    assert "program-8" in left
    assert "program-0" not in left
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4000 + 932


def test_many_at_once_see_whole_programs(tmp_path: Path) -> None:
    values = [bytes([i]) * 100_000 for i in range(8)]
    seen: list[bytes] = []

    def work(i: int) -> None:
        store = ProgramCache(tmp_path)
        for _ in range(20):
            store.put("one", values[i])
            found = store.get("one")
            seen.extend([] if found is None else [found])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert seen
    assert set(seen) <= set(values)


def test_a_disk_that_fails_is_no_error(tmp_path: Path) -> None:
    store = ProgramCache(tmp_path / "nowhere")
    store.put("one", b"1")
    assert store.get("one") is None
    (tmp_path / "short").write_bytes(b"1")
    assert ProgramCache(tmp_path).get("short") is None
