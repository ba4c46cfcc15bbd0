"""Models made of a graph of layer calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from cornu import ops
from cornu.base import tree
from cornu.base.errors import ArgumentError, GraphError, did_you_mean
from cornu.core import configurable, masks
from cornu.core.graph import Function
from cornu.core.names import snake_case
from cornu.core.symbolic import KerasTensor, Node, OpCall
from cornu.layers.core.input_layer import Input, InputLayer
from cornu.layers.layer import Layer
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
        operations = self._operations
        index: dict[Node, int] = {}
        counts: dict[Any, int] = {}
        for node in self._function.nodes:
            index[node] = counts.get(node.operation, 0)
            counts[node.operation] = index[node] + 1

        def place(tensor: KerasTensor) -> list[Any]:
            return [tensor._node.operation.name, index[tensor._node], tensor._index]  # type: ignore[union-attr,index]

        def data(leaf: Any) -> Any:
            if isinstance(leaf, KerasTensor):
                described = {"shape": list(leaf.shape), "dtype": leaf.dtype, "keras_history": place(leaf)}
                return {"class_name": "__keras_tensor__", "config": described}
            return leaf

        layers = []
        for operation in operations:
            entry = configurable.serialize(operation) if isinstance(operation, Layer) else _op_data(operation)
            entry["name"] = operation.name
            if isinstance(operation, Layer) and operation.get_build_config():
                entry["build_config"] = operation.get_build_config()
            nodes = [node for node in self._function.nodes if node.operation is operation and node.inputs]
            entry["inbound_nodes"] = [
                {
                    "args": [configurable.serialize(tree.map_structure(data, arg)) for arg in node.args],
                    "kwargs": configurable.serialize(tree.map_structure(data, node.kwargs)),
                }
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
                f"Two layers are named {operation.name!r}: {seen[operation.name]!r} and {operation!r}. Names "
                "must be unique "
                "within a model; give one of them another `name`."
            )
        seen[operation.name] = operation


def _op_data(operation: OpCall) -> dict[str, Any]:
    config = {"name": operation.name, "op": operation.fn.__name__}
    return {"module": "cornu.ops", "class_name": "__op__", "config": config, "registered_name": None}


def _is_flat_place(structure: Any) -> bool:
    return isinstance(structure, list | tuple) and len(structure) == 3 and isinstance(structure[0], str)


def _flat_places(structure: Any) -> list[Any]:
    """The `[operation, call, output]` in a nest."""
    if _is_flat_place(structure):
        return [structure]
    items = structure.values() if isinstance(structure, dict) else structure
    return [place for item in items for place in _flat_places(item)]


_OPS: dict[str, Any] = dict.fromkeys(ops.image.__all__, ops.image) | dict.fromkeys(ops.__all__, ops)
"""Where an op of a file stands."""


def _is_op(entry: dict[str, Any]) -> bool:
    if entry.get("module") or entry["class_name"] == "__op__":
        return entry["class_name"] == "__op__" or entry["module"].startswith("keras.src.ops")
    # Old HDF5 files do not say; the configurations of layers have more in them.
    return "trainable" not in entry["config"] and snake_case(entry["class_name"]) in _OPS


def _node(entry: dict[str, Any], node: Any) -> dict[str, Any]:
    """The arguments of a call in our form, from those of Keras 3 or Keras 2."""
    if isinstance(node, list):  # Keras 2: [[name, node, output, keywords], …]
        tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": place[:3]}} for place in node]
        return {"args": [_alone(tensors)], "kwargs": node[0][3] if len(node[0]) > 3 else {}}
    if not _is_op(entry):
        return node
    # Keras 3 keeps what is no tensor in the op's configuration.
    args, settings = list(node["args"]), {k: v for k, v in entry["config"].items() if k not in ("name", "op")}
    if entry["class_name"] == "GetItem" and isinstance(args[1], list) and not all(isinstance(i, int) for i in args[1]):
        args[1] = {"class_name": "__tuple__", "items": args[1]}  # JSON has no tuples
    return {"args": args, "kwargs": settings | node["kwargs"]}


def _rebuilt(cls: type[Functional], config: dict[str, Any]) -> Any:
    """The graph of a configuration: layers are made first, then called as soon as their arguments exist."""
    operations: dict[str, Any] = {}
    made: dict[tuple[str, int, int], KerasTensor] = {}
    waiting: list[tuple[str, int, dict[str, Any]]] = []
    for entry in config["layers"]:
        name = entry.get("name") or entry["config"]["name"]
        if _is_op(entry):
            op_name = entry["config"].get("op") or snake_case(entry["class_name"])
            if op_name not in _OPS:
                raise ArgumentError(
                    f"The file names the op {op_name!r}, which does not exist.{did_you_mean(op_name, _OPS)}"
                )
            operation: Any = OpCall(getattr(_OPS[op_name], op_name), name)
        else:
            operation = configurable.deserialize({k: v for k, v in entry.items() if k != "inbound_nodes"})
        operations[name] = operation
        if isinstance(operation, InputLayer):
            made[name, 0, 0] = operation.nodes[0].outputs
        for i, node in enumerate(entry["inbound_nodes"]):
            waiting.append((name, i, _node(entry, node)))

    def is_place(value: Any) -> bool:
        return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"

    def places_in(structure: Any) -> list[tuple[str, int, int]]:
        """The tensors that the arguments of a call refer to: operation, its call, the output of it."""
        found: list[tuple[str, int, int]] = []

        def look(value: Any) -> Any:
            if is_place(value):
                found.append(tuple(value["config"]["keras_history"]))
                return True
            return None

        tree.traverse(look, structure)
        return found

    # Keras counts the calls of a nested model from 1: its own graph is call 0.
    calls = Counter(name for name, _, _ in waiting)
    last: dict[str, int] = {}
    for name, i, _ in [p for *_, node in waiting for p in places_in(node)] + _flat_places(
        [config["input_layers"], config["output_layers"]]
    ):
        last[name] = max(i, last.get(name, 0))

    def output_of(name: str, call: int, output: int) -> KerasTensor | None:
        return made.get((name, call - max(0, last.get(name, 0) - max(calls[name] - 1, 0)), output))

    def fill(value: Any) -> Any:
        return output_of(*value["config"]["keras_history"]) if is_place(value) else None

    def is_ready(node: dict[str, Any]) -> bool:
        return all(output_of(*place) is not None for place in places_in((node["args"], node["kwargs"])))

    while waiting:
        later = []
        for name, i, node in waiting:
            if is_ready(node) and all(w[0] != name for w in later):
                args, kwargs = tree.traverse(fill, (node["args"], node["kwargs"]))
                args = [arg if isinstance(arg, KerasTensor) else configurable.deserialize(arg) for arg in args]
                outputs = operations[name](*args, **{k: configurable.deserialize(v) for k, v in kwargs.items()})
                for j, tensor in enumerate(tree.flatten(outputs)):
                    made[name, i, j] = tensor
            else:
                later.append((name, i, node))
        if len(later) == len(waiting):
            raise GraphError(
                f"The graph of the configuration does not close: {later[0][0]!r} waits for inputs nobody makes."
            )
        waiting = later

    def places(structure: Any) -> Any:
        if _is_flat_place(structure):
            found = output_of(*structure)
            if found is None:
                raise GraphError(f"The configuration names an input or output {structure!r} that no layer makes.")
            return found
        if isinstance(structure, dict):
            return {key: places(value) for key, value in structure.items()}
        return [places(item) for item in structure]

    inputs, outputs = places(config["input_layers"]), places(config["output_layers"])
    model = cls(inputs, outputs, name=config.get("name"))
    if not config.get("trainable", True):
        model.trainable = False
    return model
