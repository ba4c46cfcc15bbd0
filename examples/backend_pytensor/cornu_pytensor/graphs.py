"""Graphs within graphs: loops, branches and host functions as PyTensor ops, each with its gradient.

PyTensor has `scan` and `ifelse` of its own. Why these ops exist all the same: "Why not pytensor.scan" in the README.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.scalar.basic as scalar
import pytensor.tensor as pt
from pytensor.compile.mode import Mode, get_mode
from pytensor.gradient import DisconnectedType, grad_not_implemented
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.op import Op
from pytensor.graph.traversal import graph_inputs, io_toposort
from pytensor.link.vm import VMLinker
from pytensor.tensor.elemwise import Elemwise

from cornu.base.errors import BackendError

Variables = Sequence[Variable]

WORTH = 2.0
"""Seconds that a program has run for, not counting those within it, before it is worth compiling well."""
QUICK = Mode(VMLinker(use_cloop=False, c_thunks=False, allow_gc=False), None)
"""For the first runs: the nodes as they stand, computed by NumPy. It compiles in milliseconds."""


def fast_mode() -> Mode:
    """For programs that run long: what `CORNU_PYTENSOR_MODE` names, else fused loops in C with NumPy's products.

    PyTensor's own BLAS is left out: wheels of it find no library to link, and NumPy brings one.
    """
    name = os.environ.get("CORNU_PYTENSOR_MODE", "C")
    if name == "QUICK" or (name == "C" and not pytensor.config.cxx):
        return QUICK
    return Mode("cvm", "fast_run").excluding("BlasOpt") if name == "C" else get_mode(name)


# variables and their gradients


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


def replaced(
    outputs: Variables, swap: dict[Variable, Variable], better: Callable[[Apply], Op] = lambda node: node.op
) -> list[Variable]:
    """The outputs as they are with some variables swapped for others, and ops for `better` ones; the rest is shared."""
    new = dict(swap)
    for node in io_toposort(list(swap), outputs):
        op = better(node)
        if op is not node.op or any(v in new for v in node.inputs):
            given = [new.get(v, v) for v in node.inputs]
            twin = node.clone_with_new_inputs(given, strict=False) if op is node.op else op.make_node(*given)
            new |= {old: new.get(old, v) for old, v in zip(node.outputs, twin.outputs, strict=True)}
    return [new.get(v, v) for v in outputs]


# programs


class Program:
    """A graph that can be run: quickly compiled at first, well compiled once that pays."""

    within = 0.0  # seconds spent in programs called by the one that runs

    def __init__(self, inputs: Variables, outputs: Variables) -> None:
        self.inputs, self.outputs = list(inputs), _with_shared_scans(outputs)
        self.seconds = 0.0
        self.run: Callable[..., list[Any]] | None = None

    def __call__(self, *arrays: Any) -> list[Any]:
        if self.run is None:
            self.run = self._compiled(QUICK)
        elif WORTH < self.seconds < math.inf:
            self.run, self.seconds = self._compiled(fast_mode()), math.inf
        before, Program.within, began = Program.within, 0.0, time.perf_counter()
        found = self.run(*arrays)
        elapsed = time.perf_counter() - began
        self.seconds += elapsed - Program.within
        Program.within = before + elapsed
        return found

    def _compiled(self, mode: Mode) -> Callable[..., list[Any]]:
        outputs = replaced(self.outputs, {}, _by_numpy) if mode is QUICK else self.outputs
        return pytensor.function(self.inputs, outputs, mode=mode, on_unused_input="ignore", trust_input=True)


def _by_numpy(node: Apply) -> Op:
    """The op that does the same faster where nothing is compiled: these two would visit element by element."""
    kind = getattr(node.op, "scalar_op", None) if isinstance(node.op, Elemwise) else None
    if isinstance(kind, scalar.Cast):
        return Host(lambda x: x, [node.outputs[0].type])
    if isinstance(kind, scalar.Second):
        return Host(lambda x, y: np.broadcast_to(y, np.broadcast_shapes(x.shape, y.shape)), [node.outputs[0].type])
    return node.op


def _with_shared_scans(outputs: Variables) -> list[Variable]:
    """The outputs where the scans that gradients repeat, to keep their history, take the place of the plain ones."""
    scans = [n for n in io_toposort([], outputs) if isinstance(n.op, Scan)]
    keeping = {(n.op.body, *n.inputs): n for n in scans if n.op.keeps}
    swap: dict[Variable, Variable] = {}
    for node in scans:
        if not node.op.keeps and (twin := keeping.get((node.op.body, *node.inputs))):
            swap |= dict(zip(node.outputs, twin.outputs, strict=False))
    return replaced(outputs, swap) if swap else list(outputs)


class Graph:
    """A function of variables, traced; what it takes from around it is listed in `outside` and becomes an input."""

    def __init__(self, inputs: Variables, outputs: Variables, outside: Variables = ()) -> None:
        inner, taken = set(inputs), dict.fromkeys(outside)
        for node in io_toposort(inputs, outputs):
            if not inner.isdisjoint(node.inputs):
                inner.update(node.outputs)
                taken |= dict.fromkeys(node.inputs)
        self.outside = [v for v in taken | dict.fromkeys(outputs) if v not in inner and not is_number(v)]
        around = [*inputs, *self.outside]
        self.inputs = [v.type() for v in around]
        self.outputs = replaced(outputs, dict(zip(around, self.inputs, strict=True)))
        self.program = Program(self.inputs, self.outputs)

    @classmethod
    def of(cls, fn: Callable[[list[Variable]], Variables], like: Variables) -> Graph:
        """`fn` traced for variables of the same types."""
        fresh = [v.type() for v in like]
        return cls(fresh, fn(fresh))

    def at(self, variables: Variables) -> list[Variable]:
        """The outputs as they are for these inputs."""
        given = [fitting(v, i.type) for v, i in zip(variables, self.inputs, strict=True)]
        return replaced(self.outputs, dict(zip(self.inputs, given, strict=True)))

    def gradients(self, inputs: Variables, cotangents: Variables) -> list[Variable]:
        """The gradients by the float inputs, from those of the float outputs."""
        given = copies(inputs)
        return pulled(self.at(given), placed(self.outputs, cotangents), floats(given))


# ops


class Host(Op):
    """A function of NumPy arrays, with its pullback if it has one: `adjoint(inputs, cotangents)`."""

    def __init__(self, fn: Callable[..., Any], types: list[Any], adjoint: Callable[..., Any] | None = None) -> None:
        self.fn, self.types, self.adjoint = fn, types, adjoint

    def make_node(self, *inputs: Variable) -> Apply:
        return Apply(self, list(inputs), [t() for t in self.types])

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Any) -> None:
        found = self.fn(*inputs)
        found = found if isinstance(found, tuple) else (found,)
        for cell, type_, value in zip(output_storage, self.types, found, strict=True):
            cell[0] = np.array(value, type_.dtype)

    def pullback(self, inputs: Variables, outputs: Variables, cotangents: Variables) -> list[Variable]:
        if self.adjoint is not None:
            return list(self.adjoint(inputs, filled(outputs, cotangents)))
        if not floats(outputs):  # steps do not differ from constants
            return [v.zeros_like(dtype=pytensor.config.floatX) for v in inputs]
        return placed(inputs, [grad_not_implemented(self, i, v) for i, v in enumerate(inputs) if is_float(v)])


class Choice(Op):
    """One of several functions of the same variables, of which only that one runs.

    Of a single function it makes a wall: its gradient computes the values within again (`checkpoint`), or is another
    function altogether (`custom_gradient`).
    """

    def __init__(self, graphs: list[Graph], backward: Callable[..., Variables] | None = None) -> None:
        self.graphs, self.backward = graphs, backward

    def make_node(self, *inputs: Variable) -> Apply:
        return Apply(self, list(inputs), [f.type() for f in self.graphs[0].outputs])

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Any) -> None:
        index, *arrays = inputs
        for cell, value in zip(output_storage, self.graphs[int(index)].program(*arrays), strict=True):
            cell[0] = np.array(value) if any(value is a for a in arrays) else value

    def pullback(self, inputs: Variables, outputs: Variables, cotangents: Variables) -> list[Variable]:
        index, *given = inputs
        of_outputs, n = known(outputs, cotangents), len(given)
        if self.backward is not None:
            found = list(self.backward(given, of_outputs))  # what comes from outside is taken for constant
            return placed(inputs, [*found, *map(pt.zeros_like, floats(given)[len(found) :])])
        branches = [lambda v, graph=graph: graph.gradients(v[:n], v[n:]) for graph in self.graphs]
        return placed(inputs, choose(index, branches, [*given, *of_outputs]))


def choose(
    index: Any, functions: Sequence[Callable[..., Variables]], args: Variables, backward: Any = None
) -> list[Variable]:
    """The results of `functions[index](args)`; all return the same types."""
    traced: list[tuple[Variables, Variables]] = []
    for fn in functions:
        fresh = [v.type() for v in args]
        found = fn(fresh)
        like = traced[0][1] if traced else found
        traced.append((fresh, [fitting(f, g.type) for f, g in zip(found, like, strict=True)]))
    outside = list(dict.fromkeys(v for pair in traced for v in Graph(*pair).outside))
    graphs = [Graph(*pair, outside) for pair in traced]
    return Choice(graphs, backward).make_node(pt.cast(index, "int8"), *args, *outside).outputs


class While(Op):
    """Inputs: whether to go on, the state, what the body takes from outside. The body returns the first two."""

    def __init__(self, body: Graph, count: int, limit: int | None) -> None:
        self.body, self.count, self.limit = body, count, limit

    def make_node(self, *inputs: Variable) -> Apply:
        return Apply(self, list(inputs), [v.type() for v in inputs[1 : self.count + 1]])

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Any) -> None:
        more, state, outside = inputs[0], inputs[1 : self.count + 1], inputs[self.count + 1 :]
        steps = 0
        while more and steps != self.limit:
            more, *state = self.body.program(*state, *outside)
            steps += 1
        for cell, value in zip(output_storage, state, strict=True):
            cell[0] = value if steps else np.array(value)

    def pullback(self, inputs: Variables, outputs: Variables, cotangents: Variables) -> list[Variable]:
        if self.limit is None:
            raise BackendError(
                "A loop whose number of steps is computed has no gradient on the backend 'pytensor'. Give while_loop "
                "its `maximum_iterations`, fori_loop Python ints for bounds, or use scan."
            )
        given = copies(inputs)
        more, state, outside = given[0], given[1 : self.count + 1], given[self.count + 1 :]

        def step(carry: Variables, _: Variables) -> tuple[Variables, Variables]:
            return choose(carry[0], [lambda v: v, lambda v: self.body.at([*v[1:], *outside])], carry), []

        # The same as `limit` steps, some of which do nothing.
        results = scan(step, [more, *state], [], self.limit, False)[0][1:]
        return placed(inputs, pulled(floats(results), known(outputs, cotangents), floats(given)))


def while_loop(
    more: Callable[[Variables], Variable], step: Callable[[Variables], Variables], state: Variables, limit: int | None
) -> list[Variable]:
    """`state = step(state)` while `more(state)`."""

    def body(state: Variables) -> Variables:
        new = [fitting(n, s.type) for n, s in zip(step(state), state, strict=True)]
        return [more(new), *new]

    graph = Graph.of(body, state)
    return While(graph, len(state), limit).make_node(more(state), *state, *graph.outside).outputs


class Scan(Op):
    """Inputs: carries, stacks, what the body takes from outside. Outputs: last carries, stacked ys.

    With `keeps` also the carries as they were before each step, which gradients need.
    """

    def __init__(self, body: Graph, carries: int, stacks: int, length: int, reverse: bool, keeps: bool = False) -> None:
        self.body, self.carries, self.stacks = body, carries, stacks
        self.length, self.reverse, self.keeps = length, reverse, keeps

    def make_node(self, *inputs: Variable) -> Apply:
        carries = list(inputs[: self.carries])
        stacked = [*self.body.outputs[self.carries :], *(carries if self.keeps else [])]
        types = [pt.TensorType(v.type.dtype, (self.length, *v.type.shape)) for v in stacked]
        return Apply(self, list(inputs), [v.type() for v in carries] + [t() for t in types])

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Any) -> None:
        k, m = self.carries, self.carries + self.stacks
        carry, stacks, outside = list(inputs[:k]), inputs[k:m], inputs[m:]
        stacked = [np.empty(v.type.shape, v.type.dtype) for v in node.outputs[k:]]
        for t in reversed(range(self.length)) if self.reverse else range(self.length):
            found = self.body.program(*carry, *(np.asarray(x[t]) for x in stacks), *outside)
            for stack, y in zip(stacked, [*found[k:], *carry] if self.keeps else found[k:], strict=True):
                stack[t] = y
            carry = found[:k]
        for cell, value in zip(output_storage, [*carry, *stacked], strict=True):
            cell[0] = value if self.length else np.array(value)

    def pullback(self, inputs: Variables, outputs: Variables, cotangents: Variables) -> list[Variable]:
        """A scan in the other direction, over the history: its carries are the gradients of what all steps share."""
        k, m = self.carries, self.carries + self.stacks
        outside, sums = inputs[m:], [pt.zeros_like(v) for v in floats(inputs[m:])]
        keeper = Scan(self.body, k, self.stacks, self.length, self.reverse, True)
        history = keeper.make_node(*inputs).outputs[len(self.body.outputs) :]
        of_outputs = known(outputs, cotangents)
        n, of_ys = len(floats(inputs[:k])), len(floats(self.body.outputs[k:]))

        def step(carry: Variables, xs: Variables) -> tuple[Variables, Variables]:
            given = xs[m : m + of_ys]
            found = self.body.gradients([*xs[:m], *outside], [*carry[:n], *given])
            of_carry, of_stacks, shares = found[:n], found[n : len(found) - len(sums)], found[len(found) - len(sums) :]
            if self.keeps:  # the history has a gradient too
                of_carry = [a + b for a, b in zip(of_carry, xs[m + of_ys :], strict=True)]
            return [*of_carry, *(a + b for a, b in zip(carry[n:], shares, strict=True))], of_stacks

        carry, of_stacks = scan(
            step, [*of_outputs[:n], *sums], [*history, *inputs[k:m], *of_outputs[n:]], self.length, not self.reverse
        )
        return placed(inputs, [*carry[:n], *of_stacks, *carry[n:]])


def scan(
    step: Callable[[Variables, Variables], tuple[Variables, Variables]],
    carries: Variables,
    stacks: Variables,
    length: int,
    reverse: bool,
) -> tuple[list[Variable], list[Variable]]:
    """`carries, ys = step(carries, slices)` over the leading axis of the stacks."""
    k = len(carries)
    slices = [pt.TensorType(v.type.dtype, v.type.shape[1:])() for v in stacks]

    def body(given: Variables) -> list[Variable]:
        new, ys = step(given[:k], given[k:])
        return [*(fitting(n, c.type) for n, c in zip(new, carries, strict=True)), *ys]

    graph = Graph.of(body, [*carries, *slices])
    found = Scan(graph, k, len(stacks), length, reverse).make_node(*carries, *stacks, *graph.outside).outputs
    return found[:k], found[k:]
