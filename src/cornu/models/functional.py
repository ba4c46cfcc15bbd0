"""Models made of a graph of layer calls."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from cornu.base import tree
from cornu.base.errors import ArgumentError, GraphError, did_you_mean
from cornu.core import configurable, masks
from cornu.core.graph import Function
from cornu.core.symbolic import KerasTensor, Node, OpCall
from cornu.layers.core.input_layer import Input, InputLayer
from cornu.layers.layer import Layer
from cornu.models import op_entries
from cornu.models.model import Model, fitting

__all__ = ["Functional"]


class Functional(Model):
    """The model that computes `outputs` from `inputs`, symbolic tensors or lists and dicts of them.

    Made by `Model(inputs, outputs)`. Called on inputs in the same form, by position, or by the names of the inputs.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any) -> None:
        trainable = kwargs.pop("trainable", None)
        Layer.__init__(self, name=name, **kwargs)
        inputs, outputs = _from_input_layers(_alone(inputs), _alone(outputs))
        self._function = Function(inputs, outputs)
        self._inputs_struct, self._outputs_struct = inputs, outputs
        _check_names(self._function.operations)
        self._operations = self._function.operations
        if trainable is not None:
            self.trainable = trainable
        self.built = self._traced = True

    @property
    def layers(self) -> list[Layer]:
        return [operation for operation in self._operations if isinstance(operation, Layer)]

    @property
    def _layers(self) -> list[Layer]:
        own = super()._layers  # also what was assigned as an attribute
        return list({id(layer): layer for layer in [*self.layers, *own]}.values())

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic inputs, flat."""
        return self._function.inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        """The symbolic outputs, flat."""
        return self._function.outputs

    @property
    def input(self) -> Any:
        return self._inputs_struct

    @property
    def output(self) -> Any:
        return self._outputs_struct

    @property
    def input_shape(self) -> Any:
        """The shape of each input."""
        return tree.map_structure(lambda t: t.shape, self._inputs_struct)

    @property
    def output_shape(self) -> Any:
        """The shape of each output."""
        return tree.map_structure(lambda t: t.shape, self._outputs_struct)

    @property
    def input_names(self) -> list[str]:
        """The names of the input layers."""
        return [tensor._node.operation.name for tensor in self.inputs]  # type: ignore[union-attr]

    @property
    def output_names(self) -> list[str]:
        """The names of the layers that compute the outputs."""
        names: list[str] = []
        for tensor in self.outputs:
            name = tensor._node.operation.name  # type: ignore[union-attr]
            names.append(name if name not in names else f"{name}_{names.count(name)}")
        return names

    @property
    def operations(self) -> list[Any]:
        """Layers and ops, in the order of their first call."""
        return list(self._operations)

    def build(self, input_shape: Any = None) -> None:
        """Nothing to do: the graph is complete."""

    def _maybe_build(self, arguments: dict[str, Any]) -> None:
        return

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        values = self._in_order(inputs)
        if mask is not None:
            for value, one in zip(values, tree.flatten(mask), strict=True):
                masks.set_mask(value, one)
        return self._function.run(values, _call_node)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return None  # the layers within attach masks to their outputs

    def _pass_mask_on(self, inputs: Any, previous: Any, outputs: Any) -> None:
        return

    def _in_order(self, inputs: Any) -> list[Any]:
        """The flat inputs in the order of the graph's, each of its rank and dtype."""
        names = self.input_names
        if isinstance(inputs, Mapping) and not isinstance(self._inputs_struct, Mapping):
            self._check_keys(inputs, names)
            leaves = [inputs[name] for name in names]
        elif isinstance(self._inputs_struct, Mapping) and isinstance(inputs, Mapping):
            self._check_keys(inputs, list(self._inputs_struct))
            leaves = tree.flatten({key: inputs[key] for key in self._inputs_struct})
        elif isinstance(self._inputs_struct, Mapping):  # by position, in the order the dict was written
            by_position = dict(zip(self._inputs_struct, tree.flatten(inputs), strict=False))
            leaves = tree.flatten(by_position) if len(by_position) == len(self.inputs) else tree.flatten(inputs)
        else:
            leaves = tree.flatten(inputs)
        if len(leaves) != len(self.inputs):
            raise ArgumentError(
                f"{self._label()} has {len(names)} input{'s' * (len(names) != 1)} ({', '.join(names)}), got "
                f"{len(leaves)}."
            )
        return [fitting(self, leaf, symbol) for leaf, symbol in zip(leaves, self.inputs, strict=True)]

    def _check_keys(self, inputs: Mapping[str, Any], names: list[str]) -> None:
        missing = [name for name in names if name not in inputs]
        if missing:
            raise ArgumentError(
                f"{self._label()}: the input {missing[0]!r} is missing; got {', '.join(map(repr, inputs))}."
                f"{did_you_mean(missing[0], list(inputs))}"
            )

    def get_config(self) -> dict[str, Any]:
        if not (type(self) is Functional or type(self).__init__ in (Model.__init__, Functional.__init__)):
            return Layer.get_config(self)  # a user's class with a constructor of its own
        index: dict[Node, int] = {}
        calls: dict[Any, list[Node]] = {}
        for node in self._function.nodes:
            others = calls.setdefault(node.operation, [])
            index[node] = len(others)
            others.append(node)

        def place(tensor: KerasTensor) -> list[Any]:
            return [tensor._node.operation.name, index[tensor._node], tensor._index]  # type: ignore[union-attr,index]

        def described(leaf: Any) -> Any:
            if isinstance(leaf, KerasTensor):
                config = {"shape": list(leaf.shape), "dtype": leaf.dtype, "keras_history": place(leaf)}
                return {"class_name": "__keras_tensor__", "config": config}
            return leaf

        def data(structure: Any) -> Any:
            return tree.map_structure(described, structure)

        layers = []
        for operation in self._operations:
            nodes = [node for node in calls[operation] if node.inputs]
            if not isinstance(operation, Layer):
                layers.append(op_entries.described(operation, nodes, data))
                continue
            entry = configurable.serialize(operation) | {"name": operation.name}
            if operation.get_build_config():
                entry["build_config"] = operation.get_build_config()
            entry["inbound_nodes"] = [
                {"args": op_entries.listed(data(node.args)), "kwargs": op_entries.listed(data(node.kwargs))}
                for node in nodes
            ]
            layers.append(entry)
        return {
            "name": self.name,
            "trainable": self.trainable,
            "layers": layers,
            "input_layers": tree.map_structure(place, self._inputs_struct),
            "output_layers": tree.map_structure(place, self._outputs_struct),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """The model that `get_config` described."""
        if "layers" not in config or "output_layers" not in config:
            return super().from_config(config)
        with configurable.custom_object_scope(custom_objects or {}):
            return _rebuilt(cls, config)


Model.functional_class = Functional


def _alone(structure: Any) -> Any:
    """What stands alone in a list without the list, as in Keras."""
    return structure[0] if isinstance(structure, list | tuple) and len(structure) == 1 else structure


def _call_node(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    operation = node.operation
    outputs = operation(*args, **kwargs)
    if isinstance(operation, OpCall) and any(masks.get_mask(leaf) is not None for leaf in tree.flatten((args, kwargs))):
        for leaf in tree.flatten(outputs):
            masks.set_mask(leaf, masks.Dropped(operation.name))
    return outputs


def _from_input_layers(inputs: Any, outputs: Any) -> tuple[Any, Any]:
    """The graph with an `Input` in place of inputs that are themselves results of layers."""
    symbols = [leaf for leaf in tree.flatten(inputs) if isinstance(leaf, KerasTensor)]
    if all(t._node is not None and not t._node.inputs for t in symbols) or len(symbols) != len(tree.flatten(inputs)):
        return inputs, outputs
    function = Function(inputs, outputs)
    fresh = tree.map_structure(
        lambda t: (
            t if t._node is not None and not t._node.inputs else Input(batch_shape=t.shape, dtype=t.dtype, name=None)
        ),
        inputs,
    )
    return fresh, function(fresh)


def _check_names(operations: list[Any]) -> None:
    seen: dict[str, Any] = {}
    for operation in operations:
        if operation.name in seen:
            raise GraphError(
                f"Two layers are named {operation.name!r}: {seen[operation.name]!r} and {operation!r}. Names must be "
                "unique within a model; give one of them another `name`."
            )
        seen[operation.name] = operation


def _is_flat_place(structure: Any) -> bool:
    """Whether it is `[operation, call, output]`; in Keras 2's nodes keywords may follow."""
    return isinstance(structure, list | tuple) and len(structure) in (3, 4) and isinstance(structure[0], str)


def _flat_places(structure: Any) -> list[Any]:
    """The `[operation, call, output]` in a nest."""
    if _is_flat_place(structure):
        return [structure]
    items = structure.values() if isinstance(structure, dict) else structure
    return [place for item in items for place in _flat_places(item)]


def _is_place(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def _places_in(structure: Any) -> list[tuple[str, int, int]]:
    """The tensors that the arguments of a call refer to: operation, its call, the output of it."""
    found: list[tuple[str, int, int]] = []

    def look(value: Any) -> Any:
        if _is_place(value):
            found.append(tuple(value["config"]["keras_history"]))
            return True
        return None

    tree.traverse(look, structure)
    return found


def _node(operation: Any, entry: dict[str, Any], node: Any) -> dict[str, Any]:
    """The arguments of a call in our form, from those of Keras 3 or Keras 2."""
    if isinstance(node, dict) and "args" in node:
        return op_entries.arguments(operation, entry, node) if isinstance(operation, OpCall) else node
    keywords = _flat_places(node)[0][3:]  # Keras 2's node: a nest of places, the first with keywords
    return {"args": [_alone(_described(node))], "kwargs": _described(keywords[0]) if keywords else {}}


def _described(structure: Any) -> Any:
    """The places in a nest as Keras 3 describes tensors."""
    if _is_flat_place(structure):
        return {"class_name": "__keras_tensor__", "config": {"keras_history": structure[:3]}}
    if isinstance(structure, dict):
        return {key: _described(value) for key, value in structure.items()}
    return [_described(item) for item in structure] if isinstance(structure, list) else structure


def _rebuilt(cls: type[Functional], config: dict[str, Any]) -> Any:
    """The graph of a configuration: layers are made first, then called as soon as their arguments exist."""
    operations: dict[str, Any] = {}
    made: dict[tuple[str, int], list[Any]] = {}  # the outputs of each call of an operation
    nodes: dict[tuple[str, int], dict[str, Any]] = {}
    for entry in config["layers"]:
        name = entry.get("name") or entry["config"]["name"]
        if op_entries.is_op(entry):
            operation: Any = op_entries.made(entry)
        else:
            operation = configurable.deserialize({k: v for k, v in entry.items() if k != "inbound_nodes"})
        operations[name] = operation
        if isinstance(operation, InputLayer):
            made[name, 0] = [operation.nodes[0].outputs]
        for i, node in enumerate(entry["inbound_nodes"]):
            nodes[name, i] = _node(operation, entry, node)
    used = {key: _places_in(node) for key, node in nodes.items()}
    if not all(used.values()):  # what depends on no tensor would be computed now, and might be large
        name = next(name for (name, _), places in used.items() if not places)
        raise GraphError(f"The configuration calls {name!r} on no tensor.")

    # Keras counts the calls of a nested model from 1: its own graph is call 0.
    calls, last = Counter(name for name, _ in nodes), Counter[str]()
    for name, i, _ in [
        *itertools.chain(*used.values()),
        *_flat_places([config["input_layers"], config["output_layers"]]),
    ]:
        last[name] = max(i, last[name])

    def call_of(name: str, call: int) -> tuple[str, int]:
        return name, call - max(0, last[name] - max(calls[name] - 1, 0))

    def output_of(name: str, call: int, output: int) -> KerasTensor:
        outputs = made.get(call_of(name, call), [])
        if not 0 <= output < len(outputs):
            raise GraphError(f"The configuration names a tensor {[name, call, output]!r} that no layer makes.")
        return outputs[output]

    def fill(value: Any) -> Any:
        return output_of(*value["config"]["keras_history"]) if _is_place(value) else None

    needs = {
        (name, i): iter([*(call_of(*place[:2]) for place in used[name, i]), *([(name, i - 1)] if i else ())])
        for name, i in nodes
    }
    ready = deque(needs)
    blocked: dict[tuple[str, int], list[tuple[str, int]]] = {}
    while ready:
        key = ready.popleft()
        missing = next((need for need in needs[key] if need not in made), None)
        if missing is not None:
            blocked.setdefault(missing, []).append(key)
            continue
        args, kwargs = tree.traverse(fill, (nodes[key]["args"], nodes[key]["kwargs"]))
        args = [arg if isinstance(arg, KerasTensor) else configurable.deserialize(arg) for arg in args]
        outputs = operations[key[0]](*args, **{k: configurable.deserialize(v) for k, v in kwargs.items()})
        made[key] = tree.flatten(outputs)
        ready.extend(blocked.pop(key, ()))
    for (name, _), ((waiting, _), *_) in blocked.items():
        raise GraphError(f"The graph of the configuration does not close: {waiting!r} waits for {name!r}.")

    def places(structure: Any) -> Any:
        if _is_flat_place(structure):
            return output_of(*structure[:3])
        if isinstance(structure, dict):
            return {key: places(value) for key, value in structure.items()}
        return [places(item) for item in structure]

    inputs, outputs = places(config["input_layers"]), places(config["output_layers"])
    model = cls(inputs, outputs, name=config.get("name"))
    if not config.get("trainable", True):
        model.trainable = False
    return model
