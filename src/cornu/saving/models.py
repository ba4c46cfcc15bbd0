"""Files that hold a whole model: `.keras` (Keras 3's zip) and `.h5` (Keras 2's HDF5)."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

from cornu.base.errors import ArgumentError, CorruptFileError, UnsafeFileError
from cornu.core import configurable
from cornu.saving import layout, legacy
from cornu.saving.atomic import atomic_write
from cornu.saving.weights import open_hdf5

_MEMBERS = {"config.json": 64 << 20, "metadata.json": 1 << 20, "model.weights.h5": 1 << 40}
KERAS_VERSION = "3.15.1"  # whose file format this is


def save_model(model: Any, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any) -> None:
    """Save architecture, weights and compiled state, whole or not at all.

    The name decides the format: `.keras` (Keras 3's zip, the default for names without ending) or `.h5` (Keras 2's).
    """
    include_optimizer = kwargs.pop("include_optimizer", True)
    save_format = kwargs.pop("save_format", None)
    if kwargs or zipped is False:
        raise ArgumentError(f"save_model: {', '.join([*kwargs, 'zipped=False'])} is not supported.")
    path = Path(filepath)
    if save_format in ("h5", "hdf5") and path.suffix not in (".h5", ".hdf5"):
        path = path.with_name(path.name + ".h5")
    if path.suffix in (".h5", ".hdf5"):
        if not hasattr(model, "inputs"):
            raise ArgumentError(
                f"{model._label()} is neither Sequential nor made from inputs and outputs: HDF5 cannot hold it. "
                "Save it as '.keras', or its weights with `save_weights`."
            )
        with atomic_write(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
            _write_hdf5(file, model, include_optimizer)
        return
    if path.suffix != ".keras":
        raise ArgumentError(
            f"A model is saved as '.keras' (or '.h5', the old format); got the name {path.name!r}. "
            "For serving formats see `model.export`."
        )
    config = configurable.serialize(model)
    config["build_config"] = model.get_build_config() if not hasattr(model, "inputs") else {"input_shape": None}
    if include_optimizer and model.get_compile_config() is not None:
        config["compile_config"] = model.get_compile_config()
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        layout.write(file, model, _built_optimizer(model) if include_optimizer else None)
    saved = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d@%H:%M:%S")
    with atomic_write(path, overwrite) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": KERAS_VERSION, "date_saved": saved}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights.getbuffer())


def load_model(
    filepath: Any, custom_objects: Mapping[str, Any] | None = None, compile: bool = True, safe_mode: bool = True
) -> Any:
    """The model that `save` wrote, with weights and, unless `compile=False`, its compiled state.

    Names in the file resolve through the registry and `custom_objects` only; no code in a file is ever run, whatever
    `safe_mode` says.
    """
    path = Path(filepath)
    if not path.is_file():
        raise ArgumentError(
            f"There is no file {path}." if not path.exists() else f"{path} is a folder, not a saved model."
        )
    if h5py.is_hdf5(path):
        with open_hdf5(path) as file:
            return _read_hdf5(file, custom_objects, compile)
    config = _json(path, "config.json")
    model = configurable.deserialize(config, custom_objects)
    _build(model, config.get("build_config"))
    if compile and config.get("compile_config"):
        with configurable.custom_object_scope(custom_objects or {}):
            model.compile_from_config(config["compile_config"])
    with opened_weights(path) as file:
        optimizer = _built_optimizer(model) if compile else None
        layout.read(file, model, optimizer if optimizer is not None and "optimizer" in file else None)
    return model


def _build(model: Any, build_config: dict[str, Any] | None) -> None:
    if build_config and build_config.get("input_shape") and not model._fully_built():
        model.build_from_config(build_config)


def _built_optimizer(model: Any) -> Any:
    optimizer = getattr(model, "optimizer", None)
    return optimizer if optimizer is not None and optimizer.built else None


@contextlib.contextmanager
def opened_weights(path: Path) -> Iterator[Any]:
    """The weights file within a `.keras` file, opened."""
    data = _member(path, "model.weights.h5")
    with open_hdf5(io.BytesIO(data)) as file:
        yield file


def _json(path: Path, member: str) -> dict[str, Any]:
    text = _member(path, member)
    try:
        found = json.loads(text)
    except ValueError as error:
        raise CorruptFileError(f"{path}: {member} is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise CorruptFileError(f"{path}: {member} should hold an object, not {type(found).__name__}.")
    return found


def _member(path: Path, name: str) -> bytes:
    """The bytes of a member of a `.keras` file, which may hold the known members only."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(set(names)) != len(names):
                raise UnsafeFileError(f"{path}: a member stands twice in the archive.")
            strange = [n for n in names if n not in _MEMBERS and not n.startswith("assets/")]
            if strange:
                raise UnsafeFileError(f"{path}: the archive holds {strange[0]!r}, which no saved model has.")
            if name not in names:
                raise CorruptFileError(f"{path}: {name} is missing from the archive.")
            if archive.getinfo(name).file_size > _MEMBERS[name]:
                raise UnsafeFileError(f"{path}: {name} would be {archive.getinfo(name).file_size} bytes large.")
            return archive.read(name)
    except zipfile.BadZipFile as error:
        raise CorruptFileError(f"{path} is neither a .keras file nor HDF5: {error}.") from error


# Keras 2's format


def _write_hdf5(file: Any, model: Any, include_optimizer: bool) -> None:
    described = configurable.serialize(model)
    config = {"class_name": described["class_name"], "config": described["config"]}
    if described["registered_name"]:
        config["registered_name"] = described["registered_name"]
    file.attrs["model_config"] = json.dumps(config)
    file.attrs["keras_version"], file.attrs["backend"] = KERAS_VERSION, model._backend
    legacy.write_weights(file.create_group("model_weights"), model)
    compiled = model.get_compile_config() if include_optimizer else None
    if compiled is None:
        return
    optimizer = compiled.pop("optimizer")
    compiled["optimizer_config"] = {"class_name": optimizer["class_name"], "config": optimizer["config"]}
    file.attrs["training_config"] = json.dumps(compiled)
    if _built_optimizer(model) is not None:
        group = file.create_group("optimizer_weights")
        names = [f"{model.optimizer.name}/{i}" for i in range(len(model.optimizer.variables))]
        group.attrs["weight_names"] = [name.encode() for name in names]
        for name, variable in zip(names, model.optimizer.variables, strict=True):
            group.create_dataset(name, data=variable.numpy())


def _read_hdf5(file: Any, custom_objects: Mapping[str, Any] | None, compile: bool) -> Any:
    if "model_config" not in file.attrs:
        raise ArgumentError(
            f"{file.filename} holds weights only, no architecture: make the model and call `load_weights`."
        )
    try:
        config = json.loads(file.attrs["model_config"])
        training = json.loads(file.attrs["training_config"]) if "training_config" in file.attrs else None
    except ValueError as error:
        raise CorruptFileError(f"{file.filename}: the model's configuration is not JSON: {error}.") from error
    model = configurable.deserialize(config, custom_objects)
    legacy.read_weights(file, model)
    if not compile or training is None:
        return model
    training["optimizer"] = training.pop("optimizer_config")
    with configurable.custom_object_scope(custom_objects or {}):
        model.compile_from_config(training)
    stored = file.get("optimizer_weights")
    if stored is not None and model.optimizer.built:
        values = [stored[name] for name in legacy._texts(stored.attrs["weight_names"])]
        variables = model.optimizer.variables
        if [v.shape for v in variables] == [tuple(v.shape) for v in values]:
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value[()])
    return model
