"""Twins of models."""

from __future__ import annotations

from typing import Any

from cornu.base import tree
from cornu.base.errors import ArgumentError
from cornu.core.symbolic import KerasTensor
from cornu.layers.core.input_layer import Input, InputLayer
from cornu.layers.layer import Layer
from cornu.models.functional import Functional
from cornu.models.model import Model
from cornu.models.sequential import Sequential


def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Any = None,
    call_function: Any = None,
    recursive: bool = False,
    **kwargs: Any,
) -> Model:
    """A model of the same architecture with new weights.

    `clone_function(layer)` makes each layer's twin, `call_function(layer, *args, **kwargs)` calls it; with `recursive`
    models within are cloned by the same functions. Input layers are made anew without asking.
    """
    if kwargs:
        raise ArgumentError(f"clone_model has no argument {', '.join(map(repr, kwargs))}.")
    twins: dict[Any, Any] = {}

    def clone(operation: Any) -> Any:
        if operation not in twins:
            if isinstance(operation, Model) and recursive:
                call = call_function if isinstance(operation, Functional) else None
                twins[operation] = clone_model(operation, None, clone_function, call, True)
            elif isinstance(operation, Layer):
                twins[operation] = (
                    clone_function(operation)
                    if clone_function is not None and not isinstance(operation, InputLayer)
                    else type(operation).from_config(operation.get_config())
                )
            else:
                twins[operation] = type(operation)(operation.fn)
        return twins[operation]

    if call_function is not None and not isinstance(model, Functional):
        raise ArgumentError(
            f"call_function is for Functional models only, got {model._label()}: it has no calls on record."
        )
    if isinstance(model, Sequential):
        layers = [clone(layer) for layer in model._stack if not isinstance(layer, InputLayer)]
        first = [layer for layer in model._stack if isinstance(layer, InputLayer)]
        if input_tensors is not None:
            tensor = tree.flatten(input_tensors)[0]
            first = [tensor._node.operation if isinstance(tensor, KerasTensor) else InputLayer(input_tensor=tensor)]
        return Sequential([*(clone(i) if input_tensors is None else i for i in first), *layers], name=model.name)
    if not isinstance(model, Functional):
        if clone_function is not None or input_tensors is not None:
            raise ArgumentError("A subclassed model is cloned as a whole: without clone_function and input_tensors.")
        return type(model).from_config(model.get_config())
    inputs = input_tensors
    if inputs is None:
        inputs = tree.map_structure(
            lambda t: Input(batch_shape=t.shape, dtype=t.dtype, name=t._node.operation.name), model._inputs_struct
        )

    def call(node: Any, args: Any, call_kwargs: Any) -> Any:
        twin = clone(node.operation)
        return call_function(twin, *args, **call_kwargs) if call_function else twin(*args, **call_kwargs)

    outputs = model._function.run(tree.flatten(inputs), call)
    return Functional(inputs, outputs, name=model.name)
