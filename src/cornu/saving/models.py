"""Files that hold a whole model: `.keras` (Keras 3's zip) and `.h5` (Keras 2's HDF5)."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

from cornu.base.config import load_limits as limits
from cornu.base.errors import ArgumentError, FileFormatError, warn
from cornu.core import configurable
from cornu.random.seed import run_position, set_run_position
from cornu.saving import archive, hdf5, layout, legacy
from cornu.saving.atomic import atomic_write
from cornu.saving.native import architecture, check_version
from cornu.saving.stored import corrupt, fitted, parsing, unsafe
from cornu.saving.tensors import load, parse_json
from cornu.saving.weights import MEMBERS, load_weights

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
        with atomic_write(path, overwrite) as raw, hdf5.writing(raw) as file:
            _write_hdf5(file, model, include_optimizer)
        return
    if path.suffix != ".keras":
        raise ArgumentError(
            f"A model is saved as '.keras' (or '.h5', the old format); got the name {path.name!r}. "
            "For serving formats see `model.export`."
        )
    config = architecture(model)
    if include_optimizer and model.get_compile_config() is not None:
        config["compile_config"] = model.get_compile_config()
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        layout.write(file, model, _built_optimizer(model) if include_optimizer else None)
    saved = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d@%H:%M:%S")
    with atomic_write(path, overwrite) as raw, zipfile.ZipFile(raw, "w") as archive_file:
        archive_file.writestr("metadata.json", json.dumps({"keras_version": KERAS_VERSION, "date_saved": saved}))
        archive_file.writestr("config.json", json.dumps(config))
        archive_file.writestr("model.weights.h5", weights.getbuffer())


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
    seeds = run_position()
    try:
        return _read(path, custom_objects, compile)
    finally:
        set_run_position(*seeds)  # as if nothing had been drawn


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The model that `to_json` described, with new weights. Raises as `load_model` does."""
    return _made("The text", parse_json(json_string, "The text", None), custom_objects)


def _read(path: Path, custom_objects: Mapping[str, Any] | None, compile: bool) -> Any:
    if path.name.endswith(".safetensors"):
        return _read_safetensors(path, custom_objects)
    if not archive.is_zip(path):
        with hdf5.opened(path) as contents:
            return _read_hdf5(contents, custom_objects, compile)
    return _read_zip(path, custom_objects, compile)


def _read_zip(path: Path, custom_objects: Mapping[str, Any] | None, compile: bool) -> Any:
    members = archive.members(path, MEMBERS)
    for name in MEMBERS:
        if name not in members:
            raise corrupt(path, name, "is missing from the archive.")
    _check_version(path, parse_json(members["metadata.json"], path, "metadata.json"))
    config = parse_json(members["config.json"], path, "config.json")
    model = _made(path, config, custom_objects)
    if compile and config.get("compile_config"):
        with _describing(path, custom_objects):
            model.compile_from_config(config["compile_config"])
    with hdf5.opened(members["model.weights.h5"], path) as contents:
        optimizer = _built_optimizer(model) if compile else None
        layout.read(contents, model, optimizer if optimizer is not None and contents.below("optimizer") else None)
    return model


def _read_safetensors(path: Path, custom_objects: Mapping[str, Any] | None) -> Any:
    """The model, not compiled, of a file of weights that tells the architecture."""
    metadata = load(path)[1]
    check_version(path, metadata)
    if "config" not in metadata:
        raise ArgumentError(f"{path} holds weights only, no architecture: make the model and call `load_weights`.")
    config = parse_json(metadata["config"], path, "config")
    model = _made(path, config, custom_objects)
    load_weights(model, path)
    return model


def _made(path: Any, config: dict[str, Any], custom_objects: Mapping[str, Any] | None) -> Any:
    """The model of a configuration that has no more objects than allowed, built if it says for what."""
    if str(config.get("keras_version", "")).startswith(("1.", "2.")):
        config = legacy.model_config(config)
    objects, waiting = 0, [config]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            objects += "class_name" in one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    if objects > limits().layers:
        raise unsafe(path, None, f"its configuration has {objects} objects, the limit is {limits().layers}.")
    with _describing(path, custom_objects):
        model = configurable.deserialize(config)
        if not hasattr(model, "compile_from_config"):
            raise corrupt(path, None, f"its configuration describes no model, but {type(model).__name__}.")
        build_config = config.get("build_config")
        if build_config and build_config.get("input_shape") and not model._fully_built():
            model.build_from_config(build_config)
    return model


@contextlib.contextmanager
def _describing(path: Any, custom_objects: Mapping[str, Any] | None) -> Iterator[None]:
    """Constructors at work on what a file says, which may be anything: what they raise is an error of the file."""
    with (
        parsing(path, None, "its configuration describes no model"),
        configurable.custom_object_scope(custom_objects or {}),
    ):
        yield


def _check_version(path: Path, metadata: dict[str, Any]) -> None:
    version = str(metadata.get("keras_version", KERAS_VERSION))
    if not re.match(rf"[0-{KERAS_VERSION[0]}]\.", version):
        raise FileFormatError(
            f"{path} has the format of Keras {version}, this Cornu reads that of Keras {KERAS_VERSION}; upgrade it."
        )


def _built_optimizer(model: Any) -> Any:
    optimizer = getattr(model, "optimizer", None)
    return optimizer if optimizer is not None and optimizer.built else None


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
        legacy.write_names(group, "weight_names", names)
        for name, variable in zip(names, model.optimizer.variables, strict=True):
            group.create_dataset(name, data=variable.numpy())


def _read_hdf5(contents: hdf5.Contents, custom_objects: Mapping[str, Any] | None, compile: bool) -> Any:
    texts = contents.texts[""]
    if "model_config" not in texts:
        raise ArgumentError(
            f"{contents.file} holds weights only, no architecture: make the model and call `load_weights`."
        )
    parts = {name: parse_json(str(texts[name]), contents.file, name) for name in texts if "config" in name}
    model = _made(contents.file, {"keras_version": texts.get("keras_version"), **parts["model_config"]}, custom_objects)
    legacy.read_weights(contents, model, by_name=None)
    training = parts.get("training_config")
    if not compile or training is None:
        return model
    with _describing(contents.file, custom_objects):
        training["optimizer"] = legacy.optimizer_config(training.pop("optimizer_config"))
        training.pop("sample_weight_mode", None)  # of Keras 2
        model.compile_from_config(training)
    if "optimizer_weights" in contents.texts and model.optimizer.built:
        stored = dict(enumerate(legacy.named_arrays(contents, "optimizer_weights")))
        variables = dict(enumerate(model.optimizer.variables))
        if {i: v.shape for i, v in variables.items()} == {i: one.shape for i, one in stored.items()}:
            for i, variable in variables.items():
                variable.assign(fitted(contents.file, f"optimizer_weights/{i}", stored[i], variable.dtype, []))
        else:
            warn(
                f"{contents.file}: the state of {model.optimizer.name}, {len(variables)} variables, begins anew: the "
                f"file has {len(stored)} arrays of other shapes for it."
            )
    return model
