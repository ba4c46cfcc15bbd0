"""What is wrong with a training, in the user's terms: losses that are not finite, logits taken for probabilities."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cornu import activations, layers
from cornu.backend import B
from cornu.base import tree
from cornu.base.errors import DataError, NonFiniteError, warn
from cornu.core.context import context
from cornu.core.state import StateScope
from cornu.losses import CategoricalGeneralizedCrossEntropy
from cornu.losses.loss import LossFunctionWrapper
from cornu.training.data import Batch


def report(model: Any, data: Batch, of_what: str, again: Iterator[Batch] | None, epoch: int, step: int) -> None:
    """Warn that the loss stopped being finite at this step, and say why as far as it can be told.

    The `data` is all of it, or that `of_what`. If the model's state is that before the step, the first layer to fail is
    looked for on its batch, the first to come `again`. Raises NonFiniteError instead if the model's `debug` is true.
    """
    cause = (
        _bad_data(model, data, of_what)
        or (_first_bad_call(model, next(again)[0]) if again is not None else None)
        or _first_bad_weight(model)
        or (
            "The data is finite; most often the learning rate is too high: lower it, or set `clipnorm` on the "
            "optimizer."
        )
    )
    message = f"The loss is not finite since epoch {epoch + 1}, step {step + 1}. {cause}"
    if model.debug:
        raise NonFiniteError(message)
    warn(message)


def check_labels(model: Any, y: Any) -> None:
    """Raises DataError for labels outside of the classes; warns of targets no probability is."""
    if not any(isinstance(leaf, np.memmap) for leaf in tree.flatten(y)):  # read step by step
        if found := _bad_label(model, y, ""):
            raise DataError(found)
        for name, loss, target, _ in _targets(model, y):
            if (loss.name or "").startswith("binary_") and target.size:
                least, most = target.min(), target.max()
                if least < 0 or most > 1:
                    warn(
                        f"Output {name!r}: the loss {loss.name!r} wants targets from 0 to 1, got {least} to {most}: "
                        "for class numbers there is 'sparse_categorical_crossentropy', for -1 and 1 'hinge'."
                    )


def _targets(model: Any, y: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    """(name, loss, target as an array, spec) of each output that has a loss and a target."""
    compiled = model._compiled_loss
    if compiled is not None:
        rows = zip(compiled.names, compiled.losses, tree.flatten(y), compiled.outputs, strict=False)
        for name, loss, target, output in rows:
            if loss is not None and hasattr(target, "__array__"):
                yield name, loss, np.asarray(target), output


def _bad_data(model: Any, parts: Batch, of_what: str) -> str | None:
    """What is wrong with x, y or the sample weights, and in which row."""
    for name, part in zip(("x", "y", "sample_weight"), parts, strict=True):
        for path, leaf in tree.flatten_with_path(part):
            found = _bad_row(leaf)
            if found is not None:
                where = name + "".join(f"[{key!r}]" for key in path)
                return f"{where} holds NaN or infinity, first in row {found}{of_what}: clean or mask the data."
    return _bad_label(model, parts[1], of_what)


def _first_bad_call(model: Any, x: Any) -> str | None:
    """The first layer, innermost first, that makes something not finite of finite inputs."""
    culprits: list[Any] = []

    def tell(layer: Any, inputs: Any, outputs: Any) -> None:
        if not culprits and _is_finite(inputs) and not _is_finite(outputs):
            culprits.append(layer)

    with _told(tell), StateScope():  # what the call assigns is forgotten
        model(x, training=True)
    if not culprits:
        return None
    return (
        f"The first layer to make it is {culprits[0].name!r} ({type(culprits[0]).__name__}): its inputs are finite, "
        "its outputs are not."
    )


def _is_finite(structure: Any) -> bool:
    arrays = (np.asarray(leaf) for leaf in tree.flatten(structure) if hasattr(leaf, "shape"))
    return all(np.isfinite(array.astype("float64")).all() for array in arrays if array.dtype.kind not in "iub")


def _bad_row(leaf: Any) -> int | None:
    if not hasattr(leaf, "__array__"):  # nothing, or sparse or ragged
        return None
    values = B.to_numpy(leaf) if isinstance(leaf, B.array_types) else np.asarray(leaf)
    if not np.issubdtype(values.dtype, np.floating):
        return None
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return None if finite.all() else int(np.argmin(finite))


def _bad_label(model: Any, y: Any, of_what: str) -> str | None:
    """A label outside of the classes, where the loss wants class indices."""
    for _, loss, labels, output in _targets(model, y):
        if labels.dtype.kind in "OSU" and getattr(loss, "fn", loss).__module__.startswith("cornu."):
            return (
                f"y holds texts, such as {labels.flat[0]!r}, where the loss {loss.name!r} wants numbers: "
                "`names, y = numpy.unique(y, return_inverse=True)` numbers the classes."
            )
        if "sparse_categorical" not in (loss.name or "") and not isinstance(loss, CategoricalGeneralizedCrossEntropy):
            continue
        classes = output.shape[getattr(loss, "axis", -1)]
        ignored = getattr(loss, "ignore_class", None)
        bad = (labels < 0) | (labels >= classes) | (labels % 1 != 0)
        bad &= labels != ignored if ignored is not None else True
        if bad.any():
            row = int(np.argmax(bad.reshape(len(labels), -1).any(axis=1)))
            return (
                f"y holds the label {labels.reshape(len(labels), -1)[row].tolist()} in row {row}{of_what}, but the "
                f"output has {classes} classes, so labels should be whole numbers within 0 … {classes - 1}."
            )
    return None


def _first_bad_weight(model: Any) -> str | None:
    """The first layer whose weights are not finite any more."""
    for layer in model._flatten_layers(include_self=False):
        for weight in layer._own_weights:
            if not np.isfinite(weight.numpy().astype("float32")).all():
                return (
                    f"Weights are not finite any more, first {weight.path!r} of layer {layer.name!r}: its gradient "
                    "overflowed. Lower the learning rate, or set `clipnorm` on the optimizer."
                )
    return None


@contextlib.contextmanager
def _told(tell: Callable[[Any, Any, Any], None]) -> Iterator[None]:
    """Call `tell(layer, inputs, outputs)` after every layer called within the `with` block, inner ones first."""
    context.inspect = tell
    try:
        yield
    finally:
        context.inspect = None


def with_makers(call: Callable[[], Any]) -> tuple[Any, list[Any]]:
    """The outputs of `call`, and for each leaf the innermost layer that made it, None for what no layer made."""
    found: dict[int, tuple[Any, Any]] = {}

    def tell(layer: Any, inputs: Any, outputs: Any) -> None:
        for leaf in tree.flatten(outputs):
            found.setdefault(id(leaf), (leaf, layer))  # what is kept keeps its id

    with _told(tell):
        outputs = call()
    return outputs, [found.get(id(leaf), (None, None))[1] for leaf in tree.flatten(outputs)]


def check_logits(loss: Any, layer: Any, output: str) -> None:
    """Warn of a loss that takes the logits its output's layer makes for probabilities, or the other way round."""
    expected = _takes_logits(loss)
    activation = getattr(layer, "activation", None)
    if isinstance(layer, layers.Softmax):
        activation = activations.softmax
    what = f"Output {output!r}: the loss {getattr(loss, 'name', loss)!r}"
    which = f"layer {getattr(layer, 'name', None)!r} ({type(layer).__name__})"
    if expected and activation in (activations.softmax, activations.sigmoid):
        warn(
            f"{what} has from_logits=True and applies {activation.__name__} itself, but {which} has done so already. "
            "Leave one of them out."
        )
    elif expected is False and activation is activations.linear and hasattr(layer, "kernel"):
        warn(
            f"{what} takes probabilities, but {which} has no activation, so it makes logits. Give the layer "
            "activation='softmax' or 'sigmoid', or pass the loss as an object with from_logits=True."
        )


def _takes_logits(loss: Any) -> bool | None:
    """Whether one of our losses takes logits; None for those that take neither these nor probabilities."""
    found: bool | None = getattr(loss, "from_logits", None)
    if found is None and isinstance(loss, LossFunctionWrapper) and loss.fn.__module__.startswith("cornu."):
        parameter = inspect.signature(loss.fn).parameters.get("from_logits")
        found = None if parameter is None else loss._kwargs.get("from_logits", parameter.default)
    return found
