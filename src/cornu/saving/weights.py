"""Files that hold weights only."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from cornu.base import config
from cornu.base.errors import ArgumentError, CornuError, CorruptFileError, FileFormatError, StateError
from cornu.core import configurable
from cornu.core.names import snake_case
from cornu.saving import archive, hdf5, layout, legacy, tensors
from cornu.saving.atomic import atomic_write
from cornu.saving.stored import check_fit, check_size, fitted, warn_of_nan

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
"""What a `.keras` file consists of."""
STATE = ".state/"
"""What stands below it in a checkpoint is no weight."""
VERSION = 1
"""Of the metadata in our safetensors files."""


def save_weights(
    model: Any, filepath: Any, overwrite: bool = True, max_shard_size: float | None = None, **kwargs: Any
) -> None:
    """Save the weights to `….safetensors`, `….weights.h5` (Keras 3's layout) or `….h5` (Keras 2's layout).

    A `.safetensors` file holds the arrays by path, their SHA-256 and the architecture; with `max_shard_size`, in GB,
    it is split into several with an index.
    """
    if kwargs:
        raise ArgumentError(f"save_weights has no argument {', '.join(map(repr, kwargs))}.")
    path = Path(filepath)
    _check_built(model)
    if path.name.endswith(".safetensors"):
        variables = keyed(model)
        values = {name: variable.numpy() for name, variable in variables.items()}
        tensors.save(path, values, description(model), overwrite, max_shard_size and max_shard_size * 1e9)
        return
    if not path.name.endswith(".h5"):
        raise ArgumentError(f"Weights are saved as '.safetensors' or '.weights.h5', got the name {path.name!r}.")
    if max_shard_size is not None:
        raise ArgumentError("max_shard_size is for '.safetensors' files; HDF5 files are written as one.")
    with atomic_write(path, overwrite) as raw, hdf5.writing(raw) as file:
        layout.write(file, model) if path.name.endswith(".weights.h5") else legacy.write_weights(file, model)


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


def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
    """Load weights that `save_weights` or `save` wrote, also those of a whole `.keras` or `.h5` file.

    `by_name=True` matches the layers of a Keras 2 file by name. Nothing is set unless everything fits, or
    `skip_mismatch`.
    """
    by_name = kwargs.pop("by_name", False)
    if kwargs:
        raise ArgumentError(f"load_weights has no argument {', '.join(map(repr, kwargs))}.")
    path = Path(filepath)
    if not path.is_file() and not tensors.exists(path):
        raise ArgumentError(f"There is no file {path}.")
    _check_built(model)
    with config.backend_scope(model._backend):
        if ".safetensors" in path.name:
            _load_safetensors(model, path, skip_mismatch)
            return
        source = archive.members(path, MEMBERS).get("model.weights.h5") if archive.is_zip(path) else path
        if source is None:
            raise CorruptFileError(f"{path}: model.weights.h5 is missing from the archive.")
        with hdf5.opened(source, path) as contents:
            if "layer_names" in contents.texts[""] or "model_weights" in contents.texts:
                legacy.read_weights(contents, model, by_name, skip_mismatch)
            else:
                layout.read(contents, model, skip_mismatch=skip_mismatch)


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


def _load_safetensors(model: Any, path: Path, skip_mismatch: bool) -> None:
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


def _check_built(model: Any) -> None:
    if not model._fully_built():
        raise StateError(
            f"{model._label()} is not built yet, so it has no weights to save or load: call it on data or "
            "`build(input_shape)`."
        )
