"""Where the variables of a model stand in a file: the groups of Keras 3's `model.weights.h5`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from cornu.base.dtypes import standardize_dtype
from cornu.core.names import snake_case
from cornu.core.variable import Variable
from cornu.saving.hdf5 import Contents
from cornu.saving.stored import Stored, check_fit, check_size, fitted, warn_of_nan

_SKIPPED = frozenset(
    "_init_args nodes _weights optimizer _loss_tracker _compile_arguments _engines _stack _operations layers".split()
)


def places(obj: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """(group, object) for `obj` and every object within that has variables of its own.

    Groups are named after attributes, in alphabetical order, private ones last; the layers of a graph come first.
    """
    seen = set() if seen is None else seen
    if id(obj) in seen:
        return
    seen.add(id(obj))
    yield path, obj
    renamed = getattr(type(obj), "_saved_as", {})  # where Keras' attribute is called otherwise
    attributes = {renamed.get(name, name): value for name, value in vars(obj).items() if name not in _SKIPPED}
    if hasattr(type(obj), "layers"):
        attributes["layers"] = obj.layers
    is_graph = hasattr(type(obj), "inputs")
    for name in sorted(attributes, key=lambda name: (not is_graph or name != "layers", name[:1] == "_", name)):
        yield from _places_within(attributes[name], f"{path}/{name}" if path else name, seen)


def _places_within(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Members of lists and dicts are named after their class, counted."""
    if _saves(value):
        yield from places(value, path, seen)
    elif isinstance(value, list | tuple | dict):
        names: Counter[str] = Counter()
        for member in value.values() if isinstance(value, dict) else value:
            if _saves(member) or isinstance(member, list | tuple | dict):
                base = snake_case(type(member).__name__) if _saves(member) else "container"
                yield from _places_within(
                    member, f"{path}/{base}_{names[base]}" if names[base] else f"{path}/{base}", seen
                )
                names[base] += 1


def _saves(value: Any) -> bool:
    return hasattr(value, "save_own_variables") and hasattr(value, "load_own_variables") and not isinstance(value, type)


def _groups(model: Any, optimizer: Any) -> Iterator[tuple[str, Any]]:
    """(group, object) of everything that is saved: of the model, and of the optimizer."""
    for path, obj in [*places(model), *(() if optimizer is None else places(optimizer, "optimizer"))]:
        yield f"{path}/vars" if path else "vars", obj


def write(file: Any, model: Any, optimizer: Any = None) -> None:
    """Put the variables of the model (and the optimizer) into an open HDF5 file."""
    for path, obj in _groups(model, optimizer):
        group = file.require_group(path)
        group.attrs["name"] = obj.name
        store: dict[str, Any] = {}
        obj.save_own_variables(store)
        for key, value in store.items():
            value = value.numpy() if isinstance(value, Variable) else np.asarray(value)
            if value.dtype.name == "bfloat16":  # HDF5 has no such type
                group.create_dataset(key, data=value.view(np.uint16)).attrs["dtype"] = "bfloat16"
            else:
                group.create_dataset(key, data=value)


def read(contents: Contents, model: Any, optimizer: Any = None, skip_mismatch: bool = False) -> None:
    """Take the variables of the model (and the optimizer) from a file's contents.

    Shapes are compared before a value is read or a variable initialised, and nothing is assigned unless everything
    fits; with `skip_mismatch` what does not fit is left as it is.
    """
    wanted: dict[str, Any] = {}
    stored = {path: one for path, one in contents.arrays.items() if optimizer is not None or path[:10] != "optimizer/"}
    by_group: dict[str, dict[str, Stored]] = {}
    for path, one in stored.items():
        group, _, key = path.rpartition("/")
        by_group.setdefault(group, {})[key] = one
    owners = list(_groups(model, optimizer))
    for path, obj in owners:
        if _reads_itself(obj):
            stored = {key: one for key, one in stored.items() if key.rpartition("/")[0] != path}
        else:
            store: dict[str, Any] = {}
            obj.save_own_variables(store)
            wanted |= {f"{path}/{key}": value for key, value in store.items()}
    fitting = check_fit(f"model {model.name!r}", contents.file, wanted, stored, skip_mismatch)
    check_size(contents.file, {key: wanted[key] for key in fitting})
    spoiled: list[str] = []
    loaded = []
    for path, obj in owners:
        given = by_group.get(path, {})
        if _reads_itself(obj):
            loaded.append((obj, {key: one.read() for key, one in given.items()}))
        elif given and all(f"{path}/{key}" in fitting for key in given):
            values = {}
            for key, one in given.items():
                full = f"{path}/{key}"
                values[key] = fitted(contents.file, full, one, standardize_dtype(wanted[full].dtype), spoiled)
            loaded.append((obj, values))
    warn_of_nan(contents.file, spoiled)
    for obj, values in loaded:
        obj.load_own_variables(values)


def _reads_itself(obj: Any) -> bool:
    """Whether a user's class says itself how it is loaded."""
    definer = next(base for base in type(obj).__mro__ if "load_own_variables" in vars(base))
    return not definer.__module__.startswith("cornu.")
