"""Keras 2's HDF5 layout: weights in groups by layer, the architecture as JSON in an attribute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cornu.base.errors import ShapeError, plain
from cornu.core import configurable
from cornu.core.configurable import register_serializable
from cornu.ops.elementwise import clip
from cornu.saving.hdf5 import Contents
from cornu.saving.stored import Stored, check_fit, check_size, corrupt, fitted, warn_of_nan

_HEADER = 64_000
"""Bytes one HDF5 attribute can take."""


def write_weights(group: Any, model: Any) -> None:
    """Put the weights of every layer into an HDF5 group."""
    layers = _weighted(model, with_inputs=True)
    write_names(group, "layer_names", [layer.name for layer in layers])
    group.attrs["backend"], group.attrs["keras_version"] = model._backend, "3.15.1"
    for layer in layers:
        below = group.create_group(layer.name)
        weights = _in_order(layer)
        names = _unique([w.path for w in weights])
        write_names(below, "weight_names", names)
        for name, weight in zip(names, weights, strict=True):
            below.create_dataset(name, data=weight.numpy().astype(_storable(weight.dtype)))


def write_names(group: Any, attribute: str, names: list[str]) -> None:
    """Put a list of names into an attribute, or into several, `…0`, `…1`, as one holds 64 KiB."""
    encoded = [name.encode() for name in names]
    longest = max(map(len, encoded), default=1)
    each = max(1, _HEADER // longest)
    if longest * len(encoded) <= _HEADER:
        group.attrs[attribute] = np.array(encoded, dtype=f"S{longest}")
    else:
        for i in range(0, len(encoded), each):
            group.attrs[f"{attribute}{i // each}"] = np.array(encoded[i : i + each], dtype=f"S{longest}")


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


def _in_order(layer: Any) -> list[Any]:
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def named_arrays(contents: Contents, group: str, attribute: str = "weight_names") -> list[Stored]:
    """The arrays of a group in the order of its attribute."""
    names = contents.texts.get(group, {}).get(attribute)
    if not isinstance(names, list):
        raise corrupt(contents.file, group, f"has no list of names {attribute!r}.")
    found = []
    for name in names:
        one = contents.arrays.get(f"{group}/{name}" if group else name)
        if one is None:
            raise corrupt(contents.file, f"{group}/{name}", "is announced and missing.")
        found.append(one)
    return found


def _stored_layers(contents: Contents) -> Iterator[tuple[str, list[Stored]]]:
    """(layer name, its arrays) in the order they were saved, of those that have any."""
    root = "model_weights" if "model_weights" in contents.texts else ""
    names = contents.texts.get(root, {}).get("layer_names")
    if not isinstance(names, list):
        raise corrupt(contents.file, root, "has no list of names 'layer_names'.")
    for name in names:
        if arrays := named_arrays(contents, f"{root}/{name}" if root else name):
            yield name, arrays


def read_weights(contents: Contents, model: Any, by_name: bool | None = False, skip_mismatch: bool = False) -> None:
    """Take the weights from a Keras 2 file: layer by layer in order, or those of the same name.

    With `by_name=None` by name where the names are all the same, in whatever order.
    """
    stored = list(_stored_layers(contents))
    layers = _weighted(model)
    if by_name is None:
        by_name = sorted(layer.name for layer in layers) == sorted(name for name, _ in stored)
    if by_name:
        known = dict(stored)
        pairs = [(layer, known[layer.name]) for layer in layers if layer.name in known]
    else:
        if len(layers) != len(stored):
            raise ShapeError(
                f"{plain(contents.file, 200)} holds weights of {len(stored)} layers "
                f"({plain(', '.join(name for name, _ in stored), 300)}), model {model.name!r} has {len(layers)} with "
                f"weights ({plain(', '.join(layer.name for layer in layers), 300)}); nothing was loaded."
            )
        pairs = [(layer, arrays) for layer, (_, arrays) in zip(layers, stored, strict=True)]
    wanted = {f"{layer.name}/{i}": weight for layer, _ in pairs for i, weight in enumerate(_in_order(layer))}
    given = {f"{layer.name}/{i}": one for layer, arrays in pairs for i, one in enumerate(arrays)}
    fitting = check_fit(f"model {model.name!r}", contents.file, wanted, given, skip_mismatch)
    check_size(contents.file, {key: wanted[key] for key in fitting})
    spoiled: list[str] = []
    values = {key: fitted(contents.file, key, given[key], wanted[key].dtype, spoiled) for key in fitting}
    warn_of_nan(contents.file, spoiled)
    for key, value in values.items():
        wanted[key].assign(value)


@register_serializable("Keras 2")
def hard_sigmoid(x: Any) -> Any:
    """max(0, min(1, x/5 + 1/2)), of the steps that Keras took until its third version."""
    return clip(0.2 * x + 0.5, 0, 1)


def model_config(config: Any) -> Any:
    """A configuration of Keras 1 or 2 with what has another meaning by now made plain, in place."""
    waiting = [config]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        if not isinstance(one, dict):
            continue
        waiting += one.values()
        if one.get("class_name") == "GRU" and isinstance(one.get("config"), dict):
            one["config"].setdefault("reset_after", False)
        for key, value in one.items():
            if key.endswith("activation") and value == "hard_sigmoid":
                one[key] = configurable.serialize(hard_sigmoid)
    return config


def optimizer_config(config: dict[str, Any]) -> dict[str, Any]:
    """The optimizer's configuration without what only Keras 2.11 and later wrote."""
    settings = {key: v for key, v in config["config"].items() if key not in ("is_legacy_optimizer", "jit_compile")}
    return {**config, "class_name": config["class_name"].removeprefix("Custom>"), "config": settings}
