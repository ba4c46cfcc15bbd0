"""Settings: defaults, setters, file, environment, backends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading

import pytest

from cornu.base import config
from cornu.base.errors import ArgumentError

CASES = [
    ("set_floatx", "flaot32", "Did you mean 'float32'"),
    ("set_epsilon", 0, "positive number"),
    ("set_epsilon", True, "positive number"),
    ("set_epsilon", float("inf"), "finite positive number, got inf"),
    ("set_epsilon", float("nan"), "finite positive number, got nan"),
    ("set_image_data_format", "channel_last", "Did you mean 'channels_last'"),
    ("set_backend", "jxa", "Did you mean 'jax'"),
    ("set_max_epochs", 0, "positive int or None"),
    ("set_max_steps_per_epoch", 1.5, "positive int or None"),
]


@pytest.mark.parametrize(("setter", "value", "message"), CASES)
def test_bad_values_are_explained(setter, value, message):
    with pytest.raises(ArgumentError, match=message):
        getattr(config, setter)(value)


@pytest.mark.parametrize(
    ("setter", "getter", "value"),
    [
        ("set_floatx", "floatx", "float16"),
        ("set_epsilon", "epsilon", 1e-3),
        ("set_image_data_format", "image_data_format", "channels_first"),
        ("set_max_epochs", "max_epochs", 2),
        ("set_max_steps_per_epoch", "max_steps_per_epoch", 3),
    ],
)
def test_setters(setter, getter, value):
    before = getattr(config, getter)()
    try:
        getattr(config, setter)(value)
        assert getattr(config, getter)() == value
    finally:
        getattr(config, setter)(before)


def python(code: str, home, **environment: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "CORNU_HOME": str(home), **environment}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


PRINT = "import cornu; c = cornu.config; print(c.floatx(), c.epsilon(), c.backend(), c.image_data_format())"


def test_file_and_environment(tmp_path):
    assert python(PRINT, tmp_path).stdout.split() == ["float32", "1e-07", "jax", "channels_last"]
    (tmp_path / "config.json").write_text(json.dumps({"floatx": "float64", "epsilon": 1e-5, "backend": "numpy"}))
    assert python(PRINT, tmp_path).stdout.split() == ["float64", "1e-05", "numpy", "channels_last"]
    assert python(PRINT, tmp_path, CORNU_BACKEND="jax").stdout.split()[2] == "jax"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"flotx": "float16"}',
        '{"floatx": "int8"}',
        '{"backend": 3}',
        '{"epsilon": "small"}',
        '{"epsilon": Infinity}',
    ],
)
def test_a_bad_file_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    done = python("import cornu; cornu.config.floatx()", tmp_path)
    assert done.returncode
    assert re.search(f"ArgumentError: .*{tmp_path / 'config.json'}", done.stderr)


@pytest.mark.parametrize("given", [{"CORNU_BACKEND": "jaxx"}, {"CORNU_FLOATX": "int8"}])
def test_a_bad_variable_is_named(tmp_path, given):
    done = python("import cornu; cornu.config.floatx()", tmp_path, **given)
    assert re.search(f"ArgumentError: The environment variable {next(iter(given))}: ", done.stderr)


def test_scopes_nest_and_are_local_to_their_thread():
    seen = []
    with config.backend_scope("numpy"):
        with config.backend_scope("jax"):
            assert config.backend() == "jax"
        assert config.backend() == "numpy"
        thread = threading.Thread(target=lambda: seen.append(config.backend()))
        thread.start()
        thread.join()
    assert config.backend() == seen[0] == "jax"
