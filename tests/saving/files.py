"""Small models and their files, for the tests of what files may do and how they are written."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import cornu
from cornu import layers
from cornu.core import configurable

FILES = ("m.keras", "m.h5", "m.safetensors", "w.weights.h5", "w.h5", "w.safetensors")
"""Whole models are called m, weights alone w."""


def tiny(start: float = 0.5) -> Any:
    """A model of three numbers, trained by one step."""
    model = cornu.Sequential([cornu.Input((2,), name="x"), layers.Dense(1, name="dense")], name="tiny")
    model.compile(cornu.optimizers.SGD(0.01, name="sgd"), "mse")
    model.set_weights([np.full((2, 1), start, "float32"), np.full(1, start, "float32")])
    model.optimizer.build(model.trainable_variables)
    return model


def save(model: Any, path: Path, **kwargs: Any) -> None:
    """Save as the name says."""
    if path.name.startswith("m.") and not path.name.endswith(".safetensors"):
        model.save(path, **kwargs)
    else:
        model.save_weights(path, **kwargs)


def load(path: Path, model: Any = None) -> Any:
    """The model in the file; or the weights in the file, in `model`, which have to be set."""
    if path.name.startswith("m."):
        return cornu.models.load_model(path)
    model = model or tiny()
    model.set_weights([0 * weight - 1 for weight in model.get_weights()])
    model.load_weights(path)
    return model


def state(model: Any) -> tuple[str, list[Any]]:
    """All there is to a model: configurations, and the bytes of weights and optimizer."""
    variables = [*model.weights, *(model.optimizer.variables if model.compiled else [])]
    described = [configurable.serialize(model), model.get_compile_config()]
    return json.dumps(described, sort_keys=True), [(v.dtype, v.shape, v.numpy().tobytes()) for v in variables]


def members(path: Path) -> dict[str, bytes]:
    """The members of a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zip_up(path: Path, *content: tuple[Any, bytes], method: int = zipfile.ZIP_STORED) -> None:
    """Write an archive of (name or ZipInfo, bytes)."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content:
            archive.writestr(name, data)


def rewrite(path: Path, **changed: bytes | None) -> None:
    """Replace, add or (None) leave out members of a `.keras` file."""
    names = {"config": "config.json", "metadata": "metadata.json", "weights": "model.weights.h5"}
    new = members(path) | {names.get(name, name): data for name, data in changed.items()}
    zip_up(path, *((name, data) for name, data in new.items() if data is not None))
