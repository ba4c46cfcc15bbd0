"""Files that hold weights only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cornu.base import config
from cornu.base.errors import ArgumentError, CorruptFileError, StateError
from cornu.saving import archive, hdf5, layout, legacy, native, tensors
from cornu.saving.atomic import atomic_write

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
"""What a `.keras` file consists of."""


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
        native.save(model, path, overwrite, max_shard_size)
        return
    if not path.name.endswith(".h5"):
        raise ArgumentError(f"Weights are saved as '.safetensors' or '.weights.h5', got the name {path.name!r}.")
    if max_shard_size is not None:
        raise ArgumentError("max_shard_size is for '.safetensors' files; HDF5 files are written as one.")
    with atomic_write(path, overwrite) as raw, hdf5.writing(raw) as file:
        layout.write(file, model) if path.name.endswith(".weights.h5") else legacy.write_weights(file, model)


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
            native.load(model, path, skip_mismatch)
            return
        source = archive.members(path, MEMBERS).get("model.weights.h5") if archive.is_zip(path) else path
        if source is None:
            raise CorruptFileError(f"{path}: model.weights.h5 is missing from the archive.")
        with hdf5.opened(source, path) as contents:
            if "layer_names" in contents.texts[""] or "model_weights" in contents.texts:
                legacy.read_weights(contents, model, by_name, skip_mismatch)
            else:
                layout.read(contents, model, skip_mismatch=skip_mismatch)


def _check_built(model: Any) -> None:
    if not model._fully_built():
        raise StateError(
            f"{model._label()} is not built yet, so it has no weights to save or load: call it on data or "
            "`build(input_shape)`."
        )
