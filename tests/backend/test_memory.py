"""Keeping freed memory: what is asked of the C library, and when nothing is."""

from __future__ import annotations

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


def test_up_to_a_gibibyte_is_kept(asked):
    memory.keep_freed_memory()
    assert asked == [(-1, 1 << 30), (-3, 1 << 30)]  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h


@pytest.mark.parametrize("name", memory._USER_SETTINGS)
def test_the_users_settings_stand(asked, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    memory.keep_freed_memory()
    assert asked == []


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_other_c_libraries_are_left_alone(monkeypatch, asked, error):
    def missing(name):
        raise error

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    memory.keep_freed_memory()
    assert asked == []
