"""Functions made of recorded calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cornu.base import tree
from cornu.base.errors import GraphError
from cornu.core.symbolic import KerasTensor, Node


class Function:
    """The computation from `inputs` to `outputs`, nests of symbolic tensors.

    Raises GraphError if an output does not depend on the inputs alone.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        for what, structure in (("inputs", inputs), ("outputs", outputs)):
            for leaf in tree.flatten(structure):
                if not isinstance(leaf, KerasTensor):
                    raise GraphError(
                        f"All {what} should be symbolic tensors, the results of `Input` and of layers called on them; "
                        f"got {type(leaf).__name__}: {leaf!r}. A function of NumPy or of the framework in between "
                        "cuts the graph: use cornu.ops, or wrap it in a Lambda layer."
                    )
        self.name = name
        self._inputs_struct, self._outputs_struct = inputs, outputs
        self.inputs: list[KerasTensor] = tree.flatten(inputs)
        self.outputs: list[KerasTensor] = tree.flatten(outputs)
        if len({id(tensor) for tensor in self.inputs}) != len(self.inputs):
            raise GraphError("An input stands twice among the inputs; each should be one `Input` of its own.")
        self.nodes = _sorted_nodes(self.inputs, self.outputs)

    @property
    def operations(self) -> list[Any]:
        """The layers and ops called, each once, those furthest from the outputs first: the order of Keras' `layers`."""
        depths: dict[Any, int] = {}
        steps: dict[Node, int] = {}  # on the longest way from a call to an output
        for node in reversed(self.nodes):
            depth = max(steps.get(node, 0), depths.get(node.operation, 0))
            depths[node.operation] = depth
            for tensor in node.inputs:
                if tensor._node is not None:
                    steps[tensor._node] = max(steps.get(tensor._node, 0), depth + 1)
        ours = set(self.nodes)
        met: dict[Node, None] = {}  # on the way back from the outputs
        waiting = list(reversed(self.outputs))
        while waiting:
            found = waiting.pop()._node
            if found in ours and found not in met:
                met[found] = None
                waiting.extend(reversed(found.inputs))
        order = {operation: i for i, operation in enumerate(dict.fromkeys(node.operation for node in met))}
        return sorted(depths, key=lambda operation: (-depths[operation], order.get(operation, -1)))

    def run(self, inputs: Iterable[Any], call: Callable[[Node, tuple[Any, ...], dict[str, Any]], Any]) -> Any:
        """Evaluate on the flat `inputs`, each node by `call(node, args, kwargs)`."""
        values = {id(symbol): value for symbol, value in zip(self.inputs, inputs, strict=True)}

        def fill(leaf: Any) -> Any:
            return values[id(leaf)] if isinstance(leaf, KerasTensor) else leaf

        for node in self.nodes:
            if all(id(leaf) in values for leaf in tree.flatten(node.outputs) if isinstance(leaf, KerasTensor)):
                continue
            args, kwargs = tree.map_structure(fill, (node.args, node.kwargs))
            results = tree.flatten(call(node, args, kwargs))
            for symbol, value in zip(tree.flatten(node.outputs), results, strict=True):
                values[id(symbol)] = value
        return tree.map_structure(fill, self._outputs_struct)

    def __call__(self, inputs: Any) -> Any:
        return self.run(tree.flatten(inputs), lambda node, args, kwargs: node.operation(*args, **kwargs))


def _sorted_nodes(inputs: list[KerasTensor], outputs: list[KerasTensor]) -> list[Node]:
    """The nodes between, each after those it depends on, otherwise in the order of their making."""
    given = {id(tensor) for tensor in inputs}
    done: dict[Node, None] = {}
    for tensor in inputs:  # input layers first, in the order of the inputs
        if tensor._node is not None and not tensor._node.inputs:
            done[tensor._node] = None
    for output in outputs:
        stack: list[tuple[KerasTensor, bool]] = [(output, False)]
        while stack:
            tensor, expanded = stack.pop()
            node = tensor._node
            if node in done or (id(tensor) in given and not expanded):
                continue
            if node is None or (not node.inputs and id(tensor) not in given):
                raise GraphError(
                    f"The graph is disconnected: {tensor!r} is needed for the output {output!r} and is neither an "
                    f"input nor computed from one. Inputs: {', '.join(t.name for t in inputs)}. Add it to `inputs`."
                )
            if expanded:
                done[node] = None
            else:
                stack.append((tensor, True))
                stack.extend((parent, False) for parent in reversed(node.inputs))
    return list(done)
