"""PyTensor's variables, and the gradients by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytensor
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import graph_inputs, io_toposort

Variables = Sequence[Variable]


def is_number(variable: Variable) -> bool:
    """Whether it is a constant, or one number made of constants such as the exponent that a gradient lowers.

    A body makes that itself: as an input it would get a gradient, and by exponents of negative numbers that is NaN.
    """
    one = all(size == 1 for size in variable.type.shape)
    return isinstance(variable, Constant) or (one and all(isinstance(v, Constant) for v in graph_inputs([variable])))


def copies(variables: Variables) -> list[Variable]:
    """The same values as nodes of their own, so that a derivative by them sees no other use of the originals."""
    return [pt.tensor_copy(v) for v in variables]


def fitting(variable: Variable, type_: Any) -> Variable:
    """`variable` with the dtype and static shape of a type."""
    if variable.type.dtype != type_.dtype:
        variable = pt.cast(variable, type_.dtype)
    return variable if variable.type == type_ else pt.specify_shape(variable, type_.shape)


def is_float(variable: Variable) -> bool:
    """Whether gradients flow through it."""
    return variable.type.dtype.startswith(("float", "complex"))


def floats(variables: Variables) -> list[Variable]:
    """Those through which gradients flow."""
    return [v for v in variables if is_float(v)]


def placed(variables: Variables, gradients: Variables) -> list[Variable]:
    """A gradient for each variable: the given ones for the floats, zeros for the others."""
    given = iter(gradients)
    return [next(given) if is_float(v) else v.zeros_like(dtype=pytensor.config.floatX) for v in variables]


def filled(outputs: Variables, cotangents: Variables) -> list[Variable]:
    """The cotangents that PyTensor hands to a pullback, with zeros where nothing came."""
    return [
        pt.zeros_like(f) if isinstance(g.type, DisconnectedType) else fitting(g, f.type) if is_float(f) else g
        for f, g in zip(outputs, cotangents, strict=True)
    ]


def known(outputs: Variables, cotangents: Variables) -> list[Variable]:
    """The cotangents of the float outputs."""
    return [g for f, g in zip(outputs, filled(outputs, cotangents), strict=True) if is_float(f)]


def pulled(outputs: Variables, cotangents: Variables, wrt: Variables) -> list[Variable]:
    """The gradients by `wrt`, given those of the outputs; zeros where nothing depends on one."""
    pairs = [(f, g) for f, g in zip(outputs, cotangents, strict=True) if is_float(f)]
    if not pairs or not wrt:
        return [pt.zeros_like(w) for w in wrt]
    results = copies([f for f, _ in pairs])  # the same variable may be several results
    given = [fitting(g, f.type) for f, g in pairs]
    found = pytensor.gradient.pullback(results, list(wrt), given, disconnected_inputs="ignore")
    return [fitting(g, w.type) for g, w in zip(found, wrt, strict=True)]


def pushed(outputs: Variables, inputs: Variables, tangents: Variables) -> list[Variable]:
    """Derivatives along the tangents: of the gradient, by the gradients of the outputs, in which it is linear."""
    seeds = copies([pt.zeros_like(f) for f in floats(outputs)])
    return placed(outputs, pulled(pulled(floats(outputs), seeds, inputs), tangents, seeds))


def replaced(outputs: Variables, swap: dict[Variable, Variable]) -> list[Variable]:
    """The outputs as they are with some variables swapped for others; what does not depend on them is shared."""
    new = dict(swap)
    for node in io_toposort(list(swap), outputs):
        if any(v in new for v in node.inputs):
            twin = node.clone_with_new_inputs([new.get(v, v) for v in node.inputs], strict=False)
            new |= {old: new.get(old, v) for old, v in zip(node.outputs, twin.outputs, strict=True)}
    return [new.get(v, v) for v in outputs]


def taken(inputs: Variables, outputs: Variables) -> list[Variable]:
    """What a function with these inputs and outputs takes from around it."""
    inner, found = set(inputs), dict[Variable, None]()
    for node in io_toposort(inputs, outputs):
        if not inner.isdisjoint(node.inputs):
            inner.update(node.outputs)
            found |= dict.fromkeys(node.inputs)
    return [v for v in found | dict.fromkeys(outputs) if v not in inner and not is_number(v)]
