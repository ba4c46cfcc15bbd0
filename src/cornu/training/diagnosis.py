"""Why a loss became NaN or infinite: the likely cause, in the user's terms."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from cornu.base import tree
from cornu.base.errors import NonFiniteError
from cornu.training.data import ArrayData, BatchData


def report(model: Any, data: ArrayData | BatchData, epoch: int, step: int, seed: int) -> None:
    """Warn that the loss stopped being finite at this step, and say why as far as it can be told.

    Raises NonFiniteError instead if the model's `debug` attribute is true.
    """
    message = (
        f"The loss is not finite since epoch {epoch + 1}, step {step + 1}. {explain(model, data, epoch, step, seed)}"
    )
    if getattr(model, "debug", False):
        raise NonFiniteError(message)
    warnings.warn(message, stacklevel=5)


def explain(model: Any, data: ArrayData | BatchData, epoch: int, step: int, seed: int) -> str:
    """The likely cause of a loss that is not finite."""
    if isinstance(data, ArrayData):
        for name, part in (("x", data.x), ("y", data.y), ("sample_weight", data.sample_weight)):
            for path, leaf in tree.flatten_with_path(part):
                found = _bad_row(leaf)
                if found is not None:
                    where = name + "".join(f"[{key!r}]" for key in path)
                    return f"{where} holds NaN or infinity, first in row {found}: clean or mask the data."
        cause = _bad_label(model, data)
        if cause:
            return cause
    layer = _first_bad_layer(model, data)
    if layer:
        return layer
    return (
        "The data is finite; most often the learning rate is too high: lower it, or set `clipnorm` on the "
        "optimizer. For a "
        "loss on logits check `from_logits`."
    )


def _bad_row(leaf: Any) -> int | None:
    if leaf is None or not np.issubdtype(np.asarray(leaf).dtype, np.floating):
        return None
    finite = np.isfinite(np.asarray(leaf)).reshape(len(leaf), -1).all(axis=1)
    return None if finite.all() else int(np.argmin(finite))


def _bad_label(model: Any, data: ArrayData) -> str | None:
    """A label outside of the classes, where the loss wants class indices."""
    losses = model._compiled_loss.losses if model._compiled_loss is not None else []
    for loss, y, output in zip(losses, tree.flatten(data.y), tree.flatten(getattr(model, "output", [])), strict=False):
        if loss is None or "sparse_categorical" not in getattr(loss, "name", "") or y is None:
            continue
        classes, labels = output.shape[-1], np.asarray(y)
        ignored = getattr(loss, "ignore_class", None)
        bad = (labels < 0) | (labels >= classes)
        bad &= labels != ignored if ignored is not None else True
        if bad.any():
            row = int(np.argmax(bad.reshape(len(labels), -1).any(axis=1)))
            return (
                f"y holds the label {labels.reshape(len(labels), -1)[row].tolist()} in row {row}, but the "
                f"output has {classes} "
                f"classes, so labels should lie within 0 … {classes - 1}."
            )
    return None


def _first_bad_layer(model: Any, data: ArrayData | BatchData) -> str | None:
    """The first layer, in the order of calls, whose weights are not finite any more."""
    for layer in model._flatten_layers(include_self=False):
        for weight in layer._own_weights:
            if not np.isfinite(weight.numpy().astype("float32")).all():
                return (
                    f"Weights are not finite any more, first {weight.path!r} of layer {layer.name!r}: its "
                    "gradient overflowed. "
                    "Lower the learning rate, or set `clipnorm` on the optimizer."
                )
    return None
