"""Keeping freed memory: what is asked of the C library, and when nothing is."""

from __future__ import annotations

import os
import subprocess
import sys
import types

import pytest

from cornu.backend import memory


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


def test_one_heap_serves_jax_where_a_thread_runs_its_programs():
    """In a process of its own for each: what the backend asks of the C library."""
    code = (
        "import types\n"
        "from cornu.backend import memory\n"
        "settings = []\n"
        "library = types.SimpleNamespace(mallopt=lambda *setting: settings.append(setting))\n"
        "memory.ctypes = types.SimpleNamespace(CDLL=lambda name: library)\n"
        "import cornu.backend.jax as module\n"
        "module.JaxBackend()\n"
        "print((-8, 1) in settings)"
    )
    for setting, expected in (({}, "False"), ({"JAX_CPU_ENABLE_ASYNC_DISPATCH": "1"}, "True")):
        environment = {name: value for name, value in os.environ.items() if name not in memory._USER_SETTINGS}
        environment.pop("JAX_CPU_ENABLE_ASYNC_DISPATCH", None)
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment | setting)
        assert done.stdout.strip() == expected


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
