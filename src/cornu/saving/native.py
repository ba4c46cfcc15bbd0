"""Weights in our own format: safetensors files, keyed by paths, with the architecture beside them."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from cornu.base.errors import CornuError, FileFormatError
from cornu.core import configurable
from cornu.core.names import snake_case
from cornu.saving import tensors
from cornu.saving.stored import check_fit, check_size, fitted, warn_of_nan

STATE = ".state/"
"""What stands below it in a checkpoint is no weight."""
VERSION = 1
"""Of the metadata in our safetensors files."""


def save(model: Any, path: Path, overwrite: bool, max_shard_size: float | None) -> None:
    """Write the weights; with `max_shard_size`, in GB, into several files with an index."""
    values = {name: variable.numpy() for name, variable in keyed(model).items()}
    tensors.save(path, values, description(model), overwrite, max_shard_size and max_shard_size * 1e9)


def description(model: Any) -> dict[str, str]:
    """The metadata of a safetensors file: its format, and the architecture where the model can tell it."""
    metadata = {"format": "cornu", "version": str(VERSION)}
    try:
        metadata["config"] = json.dumps(architecture(model))
    except (CornuError, NotImplementedError):  # a subclassed model without `get_config`, an object without a name
        return metadata
    return metadata


def architecture(model: Any) -> dict[str, Any]:
    """The configuration that a model is made of again, and built."""
    config: dict[str, Any] = configurable.serialize(model)
    config["build_config"] = model.get_build_config() if not hasattr(model, "inputs") else {"input_shape": None}
    return config


def keyed(model: Any) -> dict[str, Any]:
    """The variables by the keys people would guess: `encoder/dense_1/kernel`.

    Automatic names are counted anew within each layer, so that they do not depend on what was made before.
    """
    found: dict[str, Any] = {}

    def walk(layer: Any, path: str) -> None:
        for variable in layer._own_weights:
            found.setdefault(f"{path}{variable.name}", variable)
        counts: Counter[str] = Counter()
        for child in layer._layers:
            name, kind = child.name, snake_case(type(child).__name__)
            if re.fullmatch(rf"{kind}(_\d+)?", name):
                name = f"{kind}_{counts[kind]}" if counts[kind] else kind
                counts[kind] += 1
            walk(child, f"{path}{name}/")

    walk(model, "")
    return found


def load(model: Any, path: Path, skip_mismatch: bool) -> None:
    """Read the weights; nothing is set unless everything fits, or `skip_mismatch`."""
    stored, metadata = tensors.load(path)
    check_version(path, metadata)
    stored = {name: one for name, one in stored.items() if not name.startswith(STATE)}  # of a checkpoint
    variables = keyed(model)
    fitting = check_fit(f"model {model.name!r}", path, variables, stored, skip_mismatch)
    check_size(path, {name: variables[name] for name in fitting})
    spoiled: list[str] = []
    values = {name: fitted(path, name, stored[name], variables[name].dtype, spoiled) for name in fitting}
    warn_of_nan(path, spoiled)
    for name, value in values.items():
        variables[name].assign(value)


def check_version(path: Path, metadata: dict[str, str]) -> None:
    """Raises FileFormatError if a later Cornu wrote the safetensors file in another way."""
    version = metadata.get("version", "1")
    if metadata.get("format") == "cornu" and version not in map(str, range(1, VERSION + 1)):
        raise FileFormatError(f"{path} has format version {version}, this Cornu reads up to {VERSION}; upgrade it.")
