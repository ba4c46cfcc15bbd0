"""Graphs within graphs: branches as a PyTensor op with its gradient, loops by `pytensor.scan`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.scan.utils import until
from pytensor.tensor.subtensor import Subtensor

from cornu.base.errors import BackendError
from cornu_pytensor.gradients import Variables, copies, fitting, floats, known, placed, pulled, replaced, taken
from cornu_pytensor.programs import Program

MOST = 2**31 - 1
"""Steps of a loop without a limit: PyTensor counts them in 32 bits."""
PLAIN: dict[str, Any] = {"return_list": True, "return_updates": False}


class Graph:
    """A function of variables, traced; what it takes from around it is listed in `outside` and becomes an input."""

    def __init__(self, inputs: Variables, outputs: Variables, outside: Variables | None = None) -> None:
        self.outside = list(taken(inputs, outputs) if outside is None else outside)
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
    outside = list(dict.fromkeys(v for pair in traced for v in taken(*pair)))
    graphs = [Graph(*pair, outside) for pair in traced]
    return Choice(graphs, backward).make_node(pt.cast(index, "int8"), *args, *outside).outputs


def _refuse(*_: Any) -> NoReturn:
    raise BackendError(
        "A loop whose number of steps is computed has no gradient on the backend 'pytensor'. Give while_loop its "
        "`maximum_iterations`, fori_loop Python ints for bounds, or use scan."
    )


def while_loop(
    more: Callable[[Variables], Variable], step: Callable[[Variables], Variables], state: Variables, limit: int | None
) -> list[Variable]:
    """`state = step(state)` while `more(state)`."""

    def body(state: Variables) -> Variables:
        new = [fitting(n, s.type) for n, s in zip(step(state), state, strict=True)]
        return [*new, more(new)]

    def loop(state: Variables) -> list[Variable]:
        graph = Graph.of(body, state)

        def going(*given: Variable) -> Any:
            *new, again = graph.at(given)
            return new, until(~again)

        found = pytensor.scan(going, None, list(state), graph.outside, limit or MOST, **PLAIN)
        return last(found, state)

    if limit == 0:
        return list(state)
    return choose(more(state), [lambda state: state, loop], state, _refuse if limit is None else None)


def scan(
    step: Callable[[Variables, Variables], tuple[Variables, Variables]],
    carries: Variables,
    stacks: Variables,
    length: int,
    reverse: bool,
) -> tuple[list[Variable], list[Variable]]:
    """`carries, ys = step(carries, slices)` over the leading axis of the stacks."""
    k, m = len(carries), len(stacks)
    slices = [pt.TensorType(v.type.dtype, v.type.shape[1:])() for v in stacks]

    def body(given: Variables) -> list[Variable]:
        new, ys = step(given[m:], given[:m])
        return [*(fitting(n, c.type) for n, c in zip(new, carries, strict=True)), *ys]

    graph = Graph.of(body, [*slices, *carries])
    kinds = [pt.TensorType(v.type.dtype, (length, *v.type.shape)) for v in graph.outputs[k:]]
    if not length:
        return list(carries), [pt.zeros(kind.shape, kind.dtype) for kind in kinds]
    initial = [*carries, *[None] * len(kinds)]
    found = pytensor.scan(
        lambda *given: graph.at(given), list(stacks), initial, graph.outside, length, go_backwards=reverse, **PLAIN
    )
    ys = [y[::-1] if reverse else y for y in found[k:]]
    return last(found[:k], carries), [fitting(y, kind) for y, kind in zip(ys, kinds, strict=True)]


def last(states: Variables, initial: Variables) -> list[Variable]:
    """The last states, taken from before `scan` cuts the initial ones off, where it sees that the rest need no room."""
    whole = [s.owner.inputs[0] if isinstance(s.owner.op, Subtensor) else s for s in states]
    return [fitting(s[-1], i.type) for s, i in zip(whole, initial, strict=True)]
