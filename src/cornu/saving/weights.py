"""Files that hold weights only."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import safetensors
from safetensors.numpy import save_file

from cornu.base.errors import ArgumentError, CorruptFileError, ShapeError, StateError, did_you_mean
from cornu.core.names import snake_case
from cornu.saving import layout, legacy
from cornu.saving.atomic import atomic_write


def save_weights(
    model: Any, filepath: Any, overwrite: bool = True, max_shard_size: float | None = None, **kwargs: Any
) -> None:
    """Save the weights to `….weights.h5` (Keras 3's layout), `….safetensors`, or `….h5` (Keras 2's layout)."""
    if kwargs or max_shard_size is not None:
        raise ArgumentError(f"save_weights: {', '.join([*kwargs, 'max_shard_size'])} is not supported yet.")
    path = Path(filepath)
    _check_built(model)
    if path.name.endswith(".safetensors"):
        arrays = {name: np.asarray(v.numpy(), order="C") for name, v in keyed(model).items()}
        with atomic_write(path, overwrite) as temporary:
            save_file(arrays, temporary, {"format": "cornu"})
    elif path.name.endswith(".h5"):
        with atomic_write(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
            layout.write(file, model) if path.name.endswith(".weights.h5") else legacy.write_weights(file, model)
    else:
        raise ArgumentError(f"Weights are saved as '.weights.h5' or '.safetensors', got the name {path.name!r}.")


def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
    """Load weights that `save_weights` or `save` wrote, also those of a whole `.keras` or `.h5` file.

    `by_name=True` matches the layers of a Keras 2 file by name. Nothing is set unless everything fits, or
    `skip_mismatch`.
    """
    by_name = kwargs.pop("by_name", False)
    if kwargs:
        raise ArgumentError(f"load_weights has no argument {', '.join(map(repr, kwargs))}.")
    path = Path(filepath)
    if not path.exists():
        raise ArgumentError(f"There is no file {path}.")
    _check_built(model)
    if path.name.endswith(".safetensors"):
        _load_safetensors(model, path, skip_mismatch)
    elif path.name.endswith(".keras"):
        from cornu.saving.models import opened_weights

        with opened_weights(path) as file:
            layout.read(file, model, skip_mismatch=skip_mismatch)
    else:
        with open_hdf5(path) as file:
            if "layer_names" in file.attrs or "model_weights" in file:
                legacy.read_weights(file, model, by_name, skip_mismatch)
            else:
                layout.read(file, model, skip_mismatch=skip_mismatch)


def open_hdf5(path: Any) -> Any:
    """The HDF5 file opened for reading; CorruptFileError if it is none."""
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise CorruptFileError(f"{path} cannot be read as HDF5: {error}.") from error


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
    variables = keyed(model)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            names = set(file.keys())
            fits = {
                name
                for name, v in variables.items()
                if name in names and tuple(file.get_slice(name).get_shape()) == v.shape
            }
            problems = [f"no value for {n!r}{did_you_mean(n, names)}" for n in variables if n not in names]
            problems += [f"{n!r} is not in the model{did_you_mean(n, variables)}" for n in names - set(variables)]
            problems += [
                f"{n!r}: expected shape {variables[n].shape}, the file has {tuple(file.get_slice(n).get_shape())}"
                for n in names & set(variables)
                if n not in fits
            ]
            if problems and not skip_mismatch:
                raise ShapeError(
                    f"{path.name} does not fit model {model.name!r}; nothing was loaded. "
                    f"{'; '.join(sorted(problems)[:10])}."
                )
            values = {name: file.get_tensor(name) for name in fits}
    except safetensors.SafetensorError as error:
        raise CorruptFileError(f"{path} cannot be read as safetensors: {error}.") from error
    for name, value in values.items():
        variables[name].assign(value)


def _check_built(model: Any) -> None:
    if not model._fully_built():
        raise StateError(
            f"{model._label()} is not built yet, so it has no weights to save or load: call it on data or "
            "`build(input_shape)`."
        )
