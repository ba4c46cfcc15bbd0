"""Where the variables of a model stand in a file: the groups of Keras 3's `model.weights.h5`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cornu.base.errors import CorruptFileError, ShapeError, UnsafeFileError, did_you_mean
from cornu.core.names import snake_case

_SKIPPED = frozenset(
    "_init_args nodes _weights optimizer _loss_tracker _compile_arguments _engines _stack _operations layers".split()
)


def places(obj: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """(group, object) for `obj` and every object within that has variables of its own.

    Groups are named after attributes; members of lists and dicts after their class, counted.
    """
    seen = set() if seen is None else seen
    if id(obj) in seen:
        return
    seen.add(id(obj))
    yield path, obj
    attributes = {name: value for name, value in vars(obj).items() if name not in _SKIPPED}
    if hasattr(type(obj), "layers"):
        attributes = {"layers": obj.layers, **attributes}
    for name, value in attributes.items():
        name = getattr(type(obj), "_saved_as", {}).get(name, name)  # where Keras' attribute is called otherwise
        below = f"{path}/{name}" if path else name
        if _saves(value):
            yield from places(value, below, seen)
        elif isinstance(value, list | tuple | dict):
            members = list(value.values()) if isinstance(value, dict) else list(value)
            names: Counter[str] = Counter()
            for member in members:
                if _saves(member):
                    base = snake_case(type(member).__name__)
                    label = f"{base}_{names[base]}" if names[base] else base
                    names[base] += 1
                    yield from places(member, f"{below}/{label}", seen)


def _saves(value: Any) -> bool:
    return hasattr(value, "save_own_variables") and hasattr(value, "load_own_variables") and not isinstance(value, type)


def write(file: Any, model: Any, optimizer: Any = None) -> None:
    """Put the variables of the model (and the optimizer) into an open HDF5 file."""
    for path, obj in [*places(model), *([("optimizer", optimizer)] if optimizer is not None else [])]:
        group = file.require_group(f"{path}/vars" if path else "vars")
        group.attrs["name"] = obj.name
        store: dict[str, Any] = {}
        obj.save_own_variables(store)
        for key, value in store.items():
            value = np.asarray(value)
            if value.dtype.name == "bfloat16":  # HDF5 has no such type
                group.create_dataset(key, data=value.view(np.uint16)).attrs["dtype"] = "bfloat16"
            else:
                group.create_dataset(key, data=value)


def read(file: Any, model: Any, optimizer: Any = None, skip_mismatch: bool = False) -> None:
    """Take the variables of the model (and the optimizer) from an open HDF5 file.

    Nothing is assigned unless everything fits; with `skip_mismatch` what does not fit is left as it is.
    """
    from_file, problems = [], []
    known = _groups(file)
    for path, obj in [*places(model), *([("optimizer", optimizer)] if optimizer is not None else [])]:
        store = known.get(f"{path}/vars" if path else "vars", {})
        wanted: dict[str, Any] = {}
        obj.save_own_variables(wanted)
        missing = sorted(set(wanted) - set(store))
        extra = sorted(set(store) - set(wanted))
        wrong = [k for k in wanted if k in store and np.shape(store[k]) != np.shape(wanted[k])]
        if missing or extra or wrong:
            problems += [f"{path}: no value for variable {k} of shape {np.shape(wanted[k])}" for k in missing]
            problems += [f"{path}: the file has a value of shape {np.shape(store[k])} too many" for k in extra]
            problems += [
                f"{path}: expected shape {np.shape(wanted[k])}, the file has {np.shape(store[k])}" for k in wrong
            ]
        elif wanted:
            from_file.append((obj, store))
    if problems and not skip_mismatch:
        names = [path.rpartition("/")[2] for path in known]
        hint = did_you_mean(problems[0].partition(":")[0].rpartition("/")[2], names)
        raise ShapeError(
            f"The weights in the file do not fit model {model.name!r}; nothing was loaded. "
            + "; ".join(problems[:10])
            + (f"; and {len(problems) - 10} more" if len(problems) > 10 else "")
            + f".{hint} Build the model for the shapes it was saved with, or pass skip_mismatch=True."
        )
    for obj, store in from_file:
        obj.load_own_variables({key: _values(value) for key, value in store.items()})


def _groups(file: Any) -> dict[str, Mapping[str, Any]]:
    """`{group: {name: dataset}}` of a file whose every link is an ordinary one."""
    import h5py

    found: dict[str, dict[str, Any]] = {}

    def walk(group: Any, path: str) -> None:
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise UnsafeFileError(f"{file.filename}: {path}/{name} is a link to elsewhere, which is not followed.")
            item = group[name]
            here = f"{path}/{name}" if path else name
            if isinstance(item, h5py.Group):
                walk(item, here)
            else:
                if item.external or item.is_virtual:
                    raise UnsafeFileError(f"{file.filename}: {here} keeps its data in other files, which are not read.")
                if item.dtype.kind not in "fiubc":
                    raise CorruptFileError(f"{file.filename}: {here} holds {item.dtype}, expected numbers.")
                found.setdefault(path, {})[name] = item

    walk(file, "")
    return found


def _values(dataset: Any) -> Any:
    values = dataset[()]
    if dataset.attrs.get("dtype") == "bfloat16":
        import ml_dtypes

        values = values.view(ml_dtypes.bfloat16)
    return values
