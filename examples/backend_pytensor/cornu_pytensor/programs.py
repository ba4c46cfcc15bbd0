"""Functions of NumPy arrays as nodes of a graph, and graphs as functions of NumPy arrays."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.scalar.basic as scalar
from pytensor.compile.aliasing import alias_root
from pytensor.compile.mode import OPT_NONE, Mode, get_mode
from pytensor.compile.ops import deep_copy_op
from pytensor.gradient import grad_not_implemented
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import GraphRewriter, dfs_rewriter, node_rewriter
from pytensor.link.vm import VMLinker
from pytensor.scan.op import Scan
from pytensor.scan.rewriting import scan_reduce_trace_prealloc, scan_sit_sot_to_untraced
from pytensor.tensor.elemwise import Elemwise

from cornu_pytensor.gradients import Variables, filled, floats, is_float, placed

WORTH = 2.0
"""Seconds that a program has run for, not counting those within it, before it is worth compiling well."""


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


# how a program is compiled


class Bodies(GraphRewriter):
    """The last rewrite: bodies of scans are compiled in the mode of the program.

    It also mends two faults of PyTensor 3.0.7 that break derivatives of derivatives of scans:

    - What a body returns is copied if it is one of its inputs, but not where that input is updated, as the sums in
      the gradient of a scan are. Input and output then share a cell, and scan empties it before the step.
    - Which outputs are stacks of scalars is looked up in the wrong list: `Scan.make_node` takes the outputs of the body
      for those of the loop. A cell is then given a NumPy number where C expects an array.
    """

    def __init__(self, mode: Mode) -> None:
        self.mode = mode.register((self, 100.0))

    def apply(self, fgraph: FunctionGraph) -> None:
        for i, output in enumerate(fgraph.outputs):
            if alias_root(output) in fgraph.inputs:
                fgraph.change_node_input(*fgraph.get_output_client(i), deep_copy_op(output))
        for node in fgraph.toposort():
            if isinstance(node.op, Scan):
                node.op = node.op.clone()  # other programs may share it
                node.op.mode = self.mode
                stacks = node.outputs[: len(node.outputs) - node.op.info.n_untraced_sit_sot]
                node.op.vector_outs = [v.type.ndim == 1 for v in stacks]


@node_rewriter([Elemwise])
def _by_numpy(fgraph: FunctionGraph, node: Apply) -> list[Variable] | None:
    """The op that does the same faster where nothing is compiled: these two would visit element by element."""
    like = [node.outputs[0].type]
    if isinstance(node.op.scalar_op, scalar.Cast):
        return Host(np.asarray, like).make_node(*node.inputs).outputs
    if isinstance(node.op.scalar_op, scalar.Second):
        fill = Host(lambda x, y: np.broadcast_to(y, np.broadcast_shapes(x.shape, y.shape)), like)
        return fill.make_node(*node.inputs).outputs
    return None


_LITTLE = dfs_rewriter(_by_numpy, scan_reduce_trace_prealloc, scan_sit_sot_to_untraced, ignore_newtrees=True)
_LINKER = VMLinker(use_cloop=False, c_thunks=False, allow_gc=False)
QUICK = Bodies(Mode(_LINKER, OPT_NONE).register((_LITTLE, 0.0))).mode
"""For the first runs: nodes as they stand, computed by NumPy, and of a scan no states kept that nobody asks for."""


def fast_mode() -> Mode:
    """For programs that run long: what `CORNU_PYTENSOR_MODE` names, else fused loops in C with NumPy's products.

    PyTensor's own BLAS is left out: wheels of it find no library to link, and NumPy brings one.
    """
    name = os.environ.get("CORNU_PYTENSOR_MODE", "C")
    if name == "QUICK" or (name == "C" and not pytensor.config.cxx):
        return QUICK
    return Bodies(Mode("cvm", "fast_run").excluding("BlasOpt") if name == "C" else get_mode(name)).mode


class Program:
    """A graph that can be run: quickly compiled at first, well compiled once that pays."""

    within = 0.0  # seconds spent in programs called by the one that runs

    def __init__(self, inputs: Variables, outputs: Variables) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)
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
        return pytensor.function(self.inputs, self.outputs, mode=mode, on_unused_input="ignore", trust_input=True)
