"""Why a loss became NaN or infinite: the likely cause, in the user's terms."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from cornu.base import tree
from cornu.base.errors import NonFiniteError
from cornu.core.context import context
from cornu.core.state import StateScope
from cornu.training.data import ArrayData, BatchData


def report(model: Any, data: ArrayData | BatchData, epoch: int, step: int, seed: int, inspects: bool) -> None:
    """Warn that the loss stopped being finite at this step, and say why as far as it can be told.

    With `inspects` the model's state is that before the step, and the first layer to fail is looked for. Raises
    NonFiniteError instead if the model's `debug` attribute is true.
    """
    cause = explain(model, data, epoch, step, seed, inspects)
    message = f"The loss is not finite since epoch {epoch + 1}, step {step + 1}. {cause}"
    if model.debug:
        raise NonFiniteError(message)
    warnings.warn(message, stacklevel=5)


def explain(model: Any, data: ArrayData | BatchData, epoch: int, step: int, seed: int, inspects: bool) -> str:
    """The likely cause of a loss that is not finite."""
    cause = None
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
        if inspects:
            rows = data.order(seed, epoch)[step * data.batch_size : (step + 1) * data.batch_size]
            cause = _first_bad_call(model, tree.map_structure(lambda leaf: np.asarray(leaf)[rows], data.x))
    return (
        cause
        or _first_bad_weight(model)
        or (
            "The data is finite; most often the learning rate is too high: lower it, or set `clipnorm` on the "
            "optimizer. "
            "For a loss on logits check `from_logits`."
        )
    )


def _first_bad_call(model: Any, x: Any) -> str | None:
    """The first layer, innermost first, that makes something not finite of finite inputs."""
    culprits: list[Any] = []

    def inspect(layer: Any, inputs: Any, outputs: Any) -> None:
        if not culprits and _is_finite(inputs) and not _is_finite(outputs):
            culprits.append(layer)

    context.inspect = inspect
    try:
        with StateScope():  # what the call assigns is forgotten
            model(x, training=True)
    finally:
        context.inspect = None
    if not culprits:
        return None
    return (
        f"The first layer to make it is {culprits[0].name!r} ({type(culprits[0]).__name__}): its inputs are "
        "finite, its "
        "outputs are not."
    )


def _is_finite(structure: Any) -> bool:
    arrays = (np.asarray(leaf) for leaf in tree.flatten(structure) if hasattr(leaf, "shape"))
    return all(np.isfinite(array.astype("float64")).all() for array in arrays if array.dtype.kind not in "iub")


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


def _first_bad_weight(model: Any) -> str | None:
    """The first layer whose weights are not finite any more."""
    for layer in model._flatten_layers(include_self=False):
        for weight in layer._own_weights:
            if not np.isfinite(weight.numpy().astype("float32")).all():
                return (
                    f"Weights are not finite any more, first {weight.path!r} of layer {layer.name!r}: its "
                    "gradient overflowed. "
                    "Lower the learning rate, or set `clipnorm` on the optimizer."
                )
    return None
