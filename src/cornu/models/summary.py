"""A model as a table."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from cornu.base import tree
from cornu.base.checks import whole
from cornu.base.errors import ArgumentError, did_you_mean
from cornu.core.symbolic import KerasTensor
from cornu.layers.layer import Layer

_UNITS = ("B", "KB", "MB", "GB", "TB")


def _size(variables: list[Any]) -> str:
    total = float(sum(np.prod(v.shape) * _bytes(v.dtype) for v in variables))
    for unit in _UNITS:
        if total < 1024 or unit == _UNITS[-1]:
            return f"{total:.2f} {unit}"
        total /= 1024
    return ""


def _bytes(dtype: str) -> int:
    return {"bool": 1, "bfloat16": 2}.get(dtype) or np.dtype(dtype).itemsize


def _count(variables: list[Any]) -> int:
    return int(sum(np.prod(v.shape) for v in variables))


def _shape(layer: Layer, model: Any) -> str:
    node = next((n for n in layer.nodes if not model_nodes(model) or n in model_nodes(model)), None)
    if node is None:
        return layer._shown_shape or "?"
    shapes = tree.map_structure(lambda t: t.shape if isinstance(t, KerasTensor) else t, node.outputs)
    return str(shapes)


def model_nodes(model: Any) -> list[Any]:
    """The nodes of the model's own graph, if it is made of one."""
    return model._function.nodes if hasattr(model, "_function") else []


def _inbound(layer: Layer, model: Any) -> str:
    found = []
    for node in model_nodes(model):
        if node.operation is layer:
            found += [f"{t._node.operation.name}[{t._node.call_index}][{t._index}]" for t in node.inputs if t._node]
    return ", ".join(found) or "-"


def _within(operations: list[Any], layer_range: Any) -> list[Any]:
    """Those from the one end of the range to the other, both a name or a pattern that names begin with."""
    if not isinstance(layer_range, list | tuple) or [*map(type, layer_range)] != [str, str]:
        raise ArgumentError(f"layer_range should be two layer names, got {layer_range!r}.")
    names, ends = [operation.name for operation in operations], []
    for wanted, at in zip(layer_range, (0, -1), strict=True):
        found = [i for i, n in enumerate(names) if n == wanted] or [
            i for i, n in enumerate(names) if re.match(wanted, n)
        ]
        if not found:
            raise ArgumentError(f"layer_range: there is no layer {wanted!r}.{did_you_mean(wanted, names)}")
        ends.append(found[at])
    return operations[min(ends) : max(ends) + 1]


def summary(
    model: Any,
    line_length: int | None = None,
    print_fn: Callable[[str], Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: tuple[str, str] | None = None,
) -> None:
    """Print the layers with their output shapes and parameters, and the totals."""
    from rich.console import Console  # whoever trains without looking need not wait for it
    from rich.markup import escape
    from rich.table import Table

    whole(None, 30, True, line_length=line_length)
    operations = model._stack if hasattr(model, "_stack") else getattr(model, "_operations", model.layers)
    graph = hasattr(model, "_function") and not hasattr(model, "_stack")
    branches = graph and any(len(n.inputs) > 1 for n in model._function.nodes)
    table = Table(show_lines=False, header_style="bold")
    for title, justify in (("Layer (type)", "left"), ("Output shape", "left"), ("Param #", "right")):
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    if branches:
        table.add_column("Connected to", overflow="fold")
    if show_trainable:
        table.add_column("Trainable", justify="center")

    def add(operation: Any, owner: Any, depth: int) -> None:
        is_layer = isinstance(operation, Layer)
        kind = type(operation).__name__ if is_layer else operation.fn.__name__
        row = [f"{'  ' * depth}{operation.name} ({kind})", _shape(operation, owner)]
        row.append(
            f"{_count(operation.weights):,}" if is_layer and operation.built else "0 (unbuilt)" if is_layer else "0"
        )
        if branches:
            row.append(_inbound(operation, owner) if depth == 0 else "-")
        if show_trainable:
            row.append(("Y" if operation.trainable else "N") if is_layer and operation.weights else "-")
        table.add_row(*map(escape, row))
        if expand_nested and is_layer and hasattr(operation, "layers"):
            for inner in operation.layers:
                add(inner, operation, depth + 1)

    for operation in operations if layer_range is None else _within(list(operations), layer_range):
        if not (hasattr(model, "_stack") and type(operation).__name__ == "InputLayer"):
            add(operation, model, 0)

    trainable, others = model.trainable_variables, model.non_trainable_weights
    lines = [
        f"Total params: {_count(model.weights):,} ({_size(model.weights)})",
        f"Trainable params: {_count(trainable):,} ({_size(trainable)})",
        f"Non-trainable params: {_count(others):,} ({_size(others)})",
    ]
    if model.optimizer is not None and model.optimizer.built:
        slots = model.optimizer.variables
        lines.append(f"Optimizer params: {_count(slots):,} ({_size(slots)})")
    if print_fn is None:
        console = Console(width=line_length, soft_wrap=False, highlight=False)
        console.print(f'[bold]Model: "{escape(model.name)}"[/bold]')
        console.print(table)
        for line in lines:
            console.print(f" {line}")
        return
    text = io.StringIO()
    console = Console(file=text, width=line_length or 100, force_terminal=False, highlight=False)
    console.print(f'Model: "{escape(model.name)}"')
    console.print(table)
    for line in [*text.getvalue().splitlines(), *(f" {line}" for line in lines)]:
        print_fn(line)
