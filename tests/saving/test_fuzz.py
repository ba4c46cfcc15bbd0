"""Files with any byte changed or cut off, and configurations with anything in them: the same model, or an error.

The suite tries some bytes and some configurations. All bytes: `CORNU_FUZZ_STEP=1 pytest tests/saving/test_fuzz.py`;
more configurations: `python -m tests.saving.test_fuzz 10000 [seed]`.
"""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

import cornu
from cornu import layers
from cornu.base.errors import CornuError, FileFormatError
from cornu.core import configurable
from tests.saving.files import FILES, load, members, save, state, tiny

STEP = int(os.environ.get("CORNU_FUZZ_STEP", "29"))

# bytes


def attempt(path: Path, data: bytes, reader: Any) -> Any:
    """What is in a file with these bytes; None if it is refused as such a file should be."""
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return state(load(path, reader))
    except FileFormatError as error:
        message = str(error)
    assert path.name in message
    assert len(message) <= 500
    return None


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_changed_byte_is_found_or_does_not_matter(name: str, mask: int, tmp_path: Path) -> None:
    path, reader = tmp_path / name, tiny()
    save(tiny(), path)
    data = path.read_bytes()
    whole = attempt(path, data, reader)
    found = Counter()
    for i in range(mask % STEP, len(data), STEP):
        got = attempt(path, data[:i] + bytes([data[i] ^ mask]) + data[i + 1 :], reader)
        assert got in (None, whole), f"byte {i}"
        found[got is None] += 1
    assert found[True] > 50 * found[False]  # dates in archives and the like


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_off_anywhere_is_refused(name: str, tmp_path: Path) -> None:
    path, reader = tmp_path / name, tiny()
    save(tiny(), path)
    data = path.read_bytes()
    whole = attempt(path, data, reader)
    for size in range(0, len(data), STEP):
        got = attempt(path, data[:size], reader)
        if name.endswith(".h5") and size >= len(data) - 44:  # all but the checksum
            assert got == whole
        else:
            assert got is None, f"{size} bytes"


@pytest.mark.parametrize("name", FILES)
def test_bytes_from_elsewhere_are_found(name: str, tmp_path: Path) -> None:
    """Pieces repeated, left out, exchanged, zeroed; not the mark behind HDF5, which says that there is a checksum."""
    path, reader = tmp_path / name, tiny()
    save(tiny(), path)
    data = path.read_bytes()
    whole, end = attempt(path, data, reader), len(data) - 44 * name.endswith(".h5")
    for size in (8, 512):
        for i in range(0, end - 2 * size, max(size, STEP * 8)):
            one, two, rest = data[i : i + size], data[i + size : i + 2 * size], data[i + 2 * size :]
            for changed in (one + one + two, two, two + one, bytes(size) + two):
                assert attempt(path, data[:i] + changed + rest, reader) in (None, whole), f"{size} bytes at {i}"


# configurations


def sequence() -> Any:
    return cornu.Sequential(
        [
            cornu.Input((5,), dtype="int32"),
            layers.Embedding(7, 4, mask_zero=True),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.TimeDistributed(layers.Dense(2, activation="gelu")),
            layers.GRU(2, unroll=True),
            layers.Dropout(0.5),
            layers.Dense(1, kernel_regularizer="l2"),
        ]
    )


def image() -> Any:
    x = inputs = cornu.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", kernel_constraint="max_norm")(x)
    x = layers.BatchNormalization()(x)
    x = layers.MaxPooling2D()(layers.ReLU(max_value=6.0)(x))
    x = layers.SeparableConv2D(2, 2)(layers.ZeroPadding2D()(x))
    x = layers.GlobalAveragePooling2D()(layers.Resizing(4, 4)(x) if hasattr(layers, "Resizing") else x)
    return cornu.Model(inputs, layers.Softmax()(layers.Dense(3, dtype="mixed_bfloat16")(x)))


def graph() -> Any:
    a, b = cornu.Input((4,), name="a"), cornu.Input((4,), name="b")
    shared = layers.Dense(4, name="shared")
    inner = cornu.Sequential([cornu.Input((4,)), layers.Dense(4), layers.LayerNormalization()], name="inner")
    joined = layers.Concatenate()([shared(a), inner(shared(b)) * 2.0 + a[:, ::-1]])
    attended = layers.MultiHeadAttention(2, 2)(layers.Reshape((2, 4))(joined), layers.Reshape((4, 2))(joined))
    return cornu.Model({"a": a, "b": b}, [layers.Flatten()(attended), layers.Dense(1)(joined)])


def keys_and_parts(value: Any) -> tuple[set[str], list[Any]]:
    """The names in a configuration, and all it is made of."""
    names, parts, waiting = set(), [], [value]
    while waiting:
        one = waiting.pop()
        parts.append(one)
        if isinstance(one, dict):
            names |= one.keys()
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return names, parts


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything in a configuration."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


class Configurations:
    """Strategies for configurations that are almost those of a model."""

    def __init__(self, seeds: list[dict[str, Any]]) -> None:
        names, parts = keys_and_parts(seeds)
        self.names = strategies.sampled_from(sorted(names))
        public = {name for package in configurable.PACKAGES for name in configurable.package(package).__all__}
        classes = strategies.sampled_from(sorted(public - {"UpSampling2D"}))  # whose matrix is made to find its shape
        modules = strategies.sampled_from([None, "os", "builtins", *configurable.PACKAGES])
        number = strategies.sampled_from(
            [0, 1, -1, 2, 3, 10**4, 2**31, 10**9, 2**63 - 1, 2**63, 10**30, 0.5, -1.5, 1e308, math.nan, math.inf]
        )
        text = strategies.sampled_from(
            ["", "a/b", "../../etc/passwd", "\0\n", "x" * 999, "\ud800", "float64", "complex64", "same", "relu", "mse"]
        )
        plain = number | text | classes | strategies.none() | strategies.booleans()
        named = strategies.builds(
            lambda name, module, config: {"class_name": name, "module": module, "config": config},
            classes | strategies.just("function"),
            modules,
            plain | strategies.dictionaries(self.names, plain, max_size=3),
        )
        array = strategies.builds(
            lambda value, dtype: {"class_name": "__numpy__", "config": {"value": value, "dtype": dtype}},
            strategies.lists(plain, max_size=2),
            strategies.sampled_from(["float32", "O", "U999999999", "V999999999", "M8[s]"]),
        )
        self.values = strategies.recursive(
            plain | named | array | strategies.sampled_from(parts).map(copy.deepcopy),
            lambda some: strategies.lists(some, max_size=3) | strategies.dictionaries(self.names, some, max_size=2),
            max_leaves=4,
        )

    def changed(self, draw: Any, config: Any) -> Any:
        """The configuration with one to three things replaced, added, left out or exchanged."""
        config = copy.deepcopy(config)
        for _ in range(draw(strategies.integers(1, 3))):
            *path, last = draw(strategies.sampled_from(places(config)[1:] or [(0,)]))
            parent = config
            for key in path:
                parent = parent[key]
            how = draw(strategies.sampled_from(("replace", "replace", "drop", "repeat", "add", "move")))
            if how == "replace":
                parent[last] = draw(self.values)
            elif how == "drop":
                del parent[last]
            elif how == "repeat" and isinstance(parent, list):
                parent.insert(last, copy.deepcopy(parent[last]))
            elif how == "add" and isinstance(parent, dict):
                parent[draw(self.names)] = draw(self.values)
            else:
                parent[last] = copy.deepcopy(draw(strategies.sampled_from(keys_and_parts(config)[1])))
        return config


def fuzz(count: int, seed: int) -> None:
    """Load so many configurations within 3 GiB and 20 seconds each; any error but one of ours comes out."""
    folder = Path(tempfile.mkdtemp())
    seeds: list[tuple[dict[str, Any], bytes]] = []
    for make in (sequence, image, graph):
        model = make()
        rate = cornu.optimizers.schedules.CosineDecay(0.1, 10)
        model.compile(cornu.optimizers.Adam(rate), "mse", metrics=["mae", cornu.metrics.AUC(name="auc")])
        model.save(folder / "m.keras")
        found = members(folder / "m.keras")
        seeds.append((json.loads(found["config.json"]), found["model.weights.h5"]))
    configurations = Configurations([config for config, _ in seeds])
    outcomes: Counter[str] = Counter()

    @hypothesis.settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.seed(seed)
    @hypothesis.given(strategies.data())
    def attempted(data: Any) -> None:
        config, weights = data.draw(strategies.sampled_from(seeds))
        text = json.dumps(configurations.changed(data.draw, config))
        path = folder / "m.keras"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", "{}")
            archive.writestr("config.json", text)
            archive.writestr("model.weights.h5", weights)
        signal.alarm(20)  # ends the process
        outcome, message, most = "loaded", "", 0
        try:
            load(path)
        except CornuError as error:
            outcome, message, most = (
                type(error).__name__,
                str(error),
                500 if isinstance(error, FileFormatError) else 5000,
            )
        finally:
            signal.alarm(0)
        outcomes[outcome] += 1
        assert message.replace("\n", "").isprintable()
        assert len(message) <= most

    if sys.platform == "linux":
        import resource

        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + (3 << 30), resource.getrlimit(resource.RLIMIT_AS)[1]))
    warnings.simplefilter("ignore")
    attempted()
    print(json.dumps(outcomes))


@pytest.mark.skipif(sys.platform == "win32", reason="an alarm ends what hangs")
def test_any_configuration_makes_a_model_or_an_error_of_ours() -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])}
    command = [sys.executable, "-m", "tests.saving.test_fuzz", "300"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    outcomes = json.loads(done.stdout.splitlines()[-1])
    assert sum(outcomes.values()) >= 300
    assert len(outcomes) >= 5
    assert outcomes["loaded"] >= 15
    assert outcomes["CorruptFileError"] >= 15


if __name__ == "__main__":
    fuzz(int(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0)
