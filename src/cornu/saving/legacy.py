"""Keras 2's HDF5 layout: weights in groups by layer, the architecture as JSON in an attribute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cornu.base.errors import CorruptFileError, ShapeError


def write_weights(group: Any, model: Any) -> None:
    """Put the weights of every layer into an HDF5 group."""
    layers = _weighted(model, with_inputs=True)
    group.attrs["layer_names"] = np.array([layer.name for layer in layers], dtype="S")
    group.attrs["backend"], group.attrs["keras_version"] = model._backend, "3.15.1"
    for layer in layers:
        below = group.create_group(layer.name)
        names = _unique([w.path for w in layer.weights])
        below.attrs["weight_names"] = np.array(names, dtype="S")
        for name, weight in zip(names, layer.weights, strict=True):
            below.create_dataset(name, data=weight.numpy().astype(_storable(weight.dtype)))


def _storable(dtype: str) -> str:
    return "float32" if dtype == "bfloat16" else dtype


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, -1) + 1
        found.append(f"{name}_{seen[name]}" if seen[name] else name)
    return found


def _weighted(model: Any, with_inputs: bool = False) -> list[Any]:
    return [layer for layer in model.layers if with_inputs or layer.weights]


def stored_layers(group: Any) -> Iterator[tuple[str, list[Any]]]:
    """(layer name, its datasets) in the order they were saved."""
    for name in _texts(group.attrs["layer_names"]):
        below = group[name]
        yield name, [below[weight] for weight in _texts(below.attrs["weight_names"])]


def _texts(values: Any) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def read_weights(file: Any, model: Any, by_name: bool = False, skip_mismatch: bool = False) -> None:
    """Take the weights from a Keras 2 file: layer by layer in order, or those of the same name."""
    from cornu.saving import layout

    layout._groups(file)  # refuses links to elsewhere
    group = file.get("model_weights", file)
    try:
        stored = [(name, values) for name, values in stored_layers(group) if values]
    except KeyError as error:
        raise CorruptFileError(f"{file.filename} lacks a part it announces: {error}.") from error
    layers = _weighted(model)
    if by_name:
        known = dict(stored)
        pairs = [(layer, layer.name, known[layer.name]) for layer in layers if layer.name in known]
    else:
        if len(layers) != len(stored):
            raise ShapeError(
                f"{file.filename} holds weights of {len(stored)} layers ({', '.join(n for n, _ in stored)}), model "
                f"{model.name!r} has {len(layers)} with weights ({', '.join(layer.name for layer in layers)})."
            )
        pairs = [(layer, name, values) for layer, (name, values) in zip(layers, stored, strict=True)]
    chosen, problems = [], []
    for layer, name, values in pairs:
        expected, found = [w.shape for w in layer.weights], [tuple(v.shape) for v in values]
        if expected == found:
            chosen.append((layer, values))
        else:
            problems.append(f"{layer.name} (in the file {name}): expected {expected}, the file has {found}")
    if problems and not skip_mismatch:
        raise ShapeError(
            f"{file.filename} does not fit model {model.name!r}; nothing was loaded. {'; '.join(problems)}."
        )
    for layer, values in chosen:
        layer.set_weights([value[()] for value in values])
