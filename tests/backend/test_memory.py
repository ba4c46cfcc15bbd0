"""Keeping freed memory: what is asked of the C library, and when nothing is."""

from __future__ import annotations

import os
import subprocess
import sys
import types

import jax
import numpy as np
import pytest

import cornu as keras
from cornu.backend import memory
from cornu.backend.jax import JaxBackend
from cornu.base import config


@pytest.fixture
def asked(monkeypatch):
    """The settings that a C library with `mallopt` gets."""
    settings = []
    library = types.SimpleNamespace(mallopt=lambda *setting: settings.append(setting))
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: library)
    for name in memory._USER_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    return settings


@pytest.mark.parametrize("one_heap", [True, False])
def test_up_to_a_gibibyte_is_kept(asked, one_heap):
    memory.keep_freed_memory(one_heap)
    kept = [(-1, 1 << 30), (-3, 1 << 30)]  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
    assert asked == ([*kept, (-8, 1)] if one_heap else kept)  # M_ARENA_MAX


def test_one_heap_serves_frameworks_whose_threads_ask_for_large_blocks():
    """In a process of its own for each: what the backend asks of the C library."""
    code = (
        "import types\n"
        "from cornu.backend import memory\n"
        "settings = []\n"
        "library = types.SimpleNamespace(mallopt=lambda *setting: settings.append(setting))\n"
        "memory.ctypes = types.SimpleNamespace(CDLL=lambda name: library)\n"
        "import sys, cornu.backend\n"
        "cornu.backend.load(sys.argv[1])\n"
        "print((-8, 1) in settings)"
    )
    for backend, setting, expected in (
        ("jax", {}, "False"),
        ("jax", {"JAX_CPU_ENABLE_ASYNC_DISPATCH": "1"}, "True"),  # its programs run in threads
        ("torch", {}, "False"),
        ("tensorflow", {}, "True"),
    ):
        environment = {name: value for name, value in os.environ.items() if name not in memory._USER_SETTINGS}
        environment.pop("JAX_CPU_ENABLE_ASYNC_DISPATCH", None)
        command = [sys.executable, "-c", code, backend]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment | setting)
        assert done.stdout.strip() == expected, backend


def test_large_blocks_cost_no_pages_the_second_time() -> None:
    """In a process of its own: a thread frees 100 MiB and takes them again."""
    code = (
        "import resource, threading, numpy as np\n"
        "from cornu.backend import memory\n"
        "memory.keep_freed_memory(one_heap=True)\n"
        "faults = []\n"
        "def work():\n"
        "    for _ in range(3):\n"
        "        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "        np.ones(100 << 20, 'uint8')\n"
        "        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()\n"
        "print(*faults)"
    )
    environment = {name: value for name, value in os.environ.items() if name not in memory._USER_SETTINGS}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout.split()[-1]) < 1000  # of 25,600 pages


@pytest.mark.parametrize("name", memory._USER_SETTINGS)
def test_the_users_settings_stand(asked, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    memory.keep_freed_memory(one_heap=True)
    assert asked == []


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_other_c_libraries_are_left_alone(monkeypatch, asked, error):
    def missing(name):
        raise error

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    memory.keep_freed_memory(one_heap=True)
    assert asked == []


def test_what_jaxs_compiler_freed_is_returned(monkeypatch):
    """Asked by the event that JAX tells when it has compiled, of long compilations only."""
    import jax

    import cornu.backend.jax as module

    module.JaxBackend()
    told, returned = [], []
    monkeypatch.setattr(module, "return_freed_memory", lambda: returned.append(None))
    jax.monitoring.register_event_duration_secs_listener(lambda event, seconds, **_: told.append(event))
    jax.jit(lambda x: x * 0.7331)(1.0)
    event = "/jax/core/compile/backend_compile_duration"
    assert event in told
    assert not returned
    for seconds in (0.1, 1.0):
        jax.monitoring.record_event_duration_secs(event, seconds)
    assert len(returned) == 1


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_memory_is_returned_where_that_can_be_asked(monkeypatch, error):
    asked = []
    library = types.SimpleNamespace(malloc_trim=asked.append)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: library)
    memory.return_freed_memory()
    assert asked == [0]

    def missing(name):
        raise error

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    memory.return_freed_memory()


def odd(rows, dtype="float32"):
    """Rows of 100 numbers at an address that no program takes as it is."""
    size = rows * 100 * np.dtype(dtype).itemsize
    memory = np.zeros(size + 128, np.uint8)
    start = 16 - memory.ctypes.data % 64 + 64
    return memory[start : start + size].view(dtype).reshape(rows, 100)


def test_arrays_lie_where_programs_take_them_or_are_copied():
    x = np.arange(100_000, dtype="float32").reshape(250, 400)
    for given in (x[:, ::2], x.T, odd(300), odd(2000, "bool"), np.array(["text"] * 20_000)):
        found = memory.aligned(given)
        assert found.ctypes.data % 64 == 0
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, given)
    objects = np.array([None, "a"] * 10_000)
    assert (memory.copied(objects) == objects).all()
    for kept in (memory.aligned(odd(300)), odd(10), np.float32(1.0), np.zeros((0, 5)), None, "text"):
        assert memory.aligned(kept) is kept


class Rows(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, i):
        return odd(300), odd(300)[:, :1]


@pytest.mark.parametrize(
    "run",
    [
        lambda m: m.predict(odd(900), batch_size=300, verbose=0),
        lambda m: m.predict(odd(300), batch_size=300, verbose=0),
        lambda m: m.predict_on_batch(odd(300)),
        lambda m: m.train_on_batch(odd(300), odd(300)[:, :1]),
        lambda m: m.test_on_batch(odd(300), odd(300)[:, :1]),
        lambda m: m.fit(odd(30_000), np.zeros((30_000, 1), "float32"), batch_size=3000, verbose=0),
        lambda m: m.evaluate(odd(30_000), np.zeros((30_000, 1), "float32"), batch_size=3000, verbose=0),
        lambda m: m.fit(((odd(300), odd(300)[:, :1]) for _ in range(9)), verbose=0),
        lambda m: m.fit(((odd(3000), odd(3000)[:, :1]) for _ in range(2)), verbose=0),
        lambda m: m.fit(Rows(), verbose=0),
        lambda m: m.predict(Rows(), verbose=0),
    ],
)
def test_programs_get_arrays_of_the_host_where_they_take_them(run, monkeypatch):
    """XLA:CPU copies others in a thread and runs the program there."""
    seen = []
    compile_as_ever = JaxBackend.compile

    def watched(self, fn, **given):
        program = compile_as_ever(self, fn, **given)

        def watching(*args):
            seen.extend(
                leaf for leaf in jax.tree.leaves(args) if isinstance(leaf, np.ndarray) and leaf.nbytes > 102_400
            )
            return program(*args)

        return watching

    monkeypatch.setattr(JaxBackend, "compile", watched)
    with config.backend_scope("jax"):
        model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        run(model)
    assert seen
    assert all(leaf.ctypes.data % 64 == 0 for leaf in seen)
