"""A model as a drawing of its graph."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

from cornu.base import tree
from cornu.base.errors import ArgumentError, MissingDependencyError
from cornu.core.symbolic import KerasTensor
from cornu.layers.layer import Layer


def _pydot() -> Any:
    try:
        import pydot
    except ImportError as error:
        raise MissingDependencyError("Drawing a model needs pydot: `pip install 'cornu[plot]'`.") from error
    return pydot


def model_to_dot(
    model: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs: Any,
) -> Any:
    """The model's graph as a pydot graph: a box for each layer, an arrow for each use of its output.

    `rankdir` is `"TB"` (top to bottom) or `"LR"`. Needs the package pydot.
    """
    if kwargs:
        raise ArgumentError(f"model_to_dot has no argument {', '.join(map(repr, kwargs))}.")
    if not model.built:
        raise ArgumentError(
            f"{model._label()} is not built yet: call it on data or `build(input_shape)` before drawing it."
        )
    pydot = _pydot()
    if subgraph:
        dot = pydot.Cluster(graph_name=_key(model), label=model.name, style="dashed")
    else:
        dot = pydot.Dot(graph_name=model.name, rankdir=rankdir, splines=splines, dpi=dpi)
        dot.set_node_defaults(
            shape="box", style="rounded,filled", fillcolor="white", fontname="Helvetica", fontsize="11"
        )

    def label(operation: Any) -> str:
        is_layer = isinstance(operation, Layer)
        kind = type(operation).__name__ if is_layer else operation.fn.__name__
        lines = [f"{operation.name} ({kind})" if show_layer_names else kind]
        if show_layer_activations and getattr(operation, "activation", None) is not None:
            lines.append(f"activation: {getattr(operation.activation, '__name__', operation.activation)}")
        if (show_shapes or show_dtype) and operation.nodes:
            outputs = [t for t in tree.flatten(operation.nodes[0].outputs) if isinstance(t, KerasTensor)]
            if show_shapes:
                lines.append(f"shape: {', '.join(str(t.shape) for t in outputs)}")
            if show_dtype:
                lines.append(f"dtype: {', '.join(t.dtype for t in outputs)}")
        if show_trainable and is_layer and operation.weights:
            lines.append("trainable" if operation.trainable else "frozen")
        return "\n".join(lines)

    def add(operation: Any) -> None:
        if expand_nested and hasattr(operation, "layers") and operation.built:
            options = {"expand_nested": True, "subgraph": True, "show_shapes": show_shapes, "show_dtype": show_dtype}
            options |= {"show_layer_names": show_layer_names, "show_layer_activations": show_layer_activations}
            dot.add_subgraph(model_to_dot(operation, show_trainable=show_trainable, **options))
        else:
            dot.add_node(pydot.Node(_key(operation), label=label(operation)))

    def end(operation: Any, last: bool) -> str:
        """The box of an operation, or the first or last one within a nested model."""
        while expand_nested and hasattr(operation, "layers") and operation.built:
            inner = _operations(operation)
            operation = inner[-1 if last else 0]
        return _key(operation)

    operations = _operations(model)
    for operation in operations:
        add(operation)
    if hasattr(model, "_function") and not hasattr(model, "_stack"):
        edges = {
            (source._node.operation, node.operation)
            for node in model._function.nodes
            for source in node.inputs
            if source._node is not None
        }
    else:
        edges = set(itertools.pairwise(operations)) if hasattr(model, "_stack") else set()
    for source, target in sorted(edges, key=lambda edge: (edge[0].name, edge[1].name)):
        dot.add_edge(pydot.Edge(end(source, True), end(target, False)))
    return dot


def _operations(model: Any) -> list[Any]:
    return list(getattr(model, "_stack", None) or getattr(model, "_operations", None) or model.layers)


def _key(operation: Any) -> str:
    return str(id(operation))


def plot_model(
    model: Any,
    to_file: Any = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs: Any,
) -> None:
    """Draw the model's graph into a file; its ending decides the format (png, svg, pdf, dot).

    Needs the package pydot and the program Graphviz; only `.dot` does without the latter.
    """
    dot = model_to_dot(
        model,
        show_shapes=show_shapes,
        show_dtype=show_dtype,
        show_layer_names=show_layer_names,
        rankdir=rankdir,
        expand_nested=expand_nested,
        dpi=dpi,
        show_layer_activations=show_layer_activations,
        show_trainable=show_trainable,
        splines=splines,
        **kwargs,
    )
    path = Path(to_file)
    format = path.suffix.lstrip(".") or "png"
    if format == "dot":
        path.write_text(dot.to_string(), "utf-8")
        return
    if shutil.which("dot") is None:
        raise MissingDependencyError(
            "Drawing a model needs the program Graphviz, which is not on the PATH: install it with the system's "
            "package manager (for example `apt-get install graphviz`), or draw to a `.dot` file."
        )
    dot.write(str(path), format=format)
