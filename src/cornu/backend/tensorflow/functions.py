"""Variables in functions that the user compiles, and the user's tapes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import record
from tensorflow.python.eager import tape as tapes
from tensorflow.python.ops.control_flow_v2_func_graphs import ControlFlowFuncGraph

from cornu.backend import contract
from cornu.backend.contract import Array


class Local(threading.local):
    """What of ours is going on in this thread: how many differentiations, a trace, whether for XLA, which misses a
    kernel."""

    depth = 0
    xla: bool | None = None  # None: no trace
    graph: Any = None
    misses_kernel = False

    @contextmanager
    def tracing(self, xla: bool | None) -> Iterator[None]:
        """While the default graph is ours."""
        before, self.xla, self.graph = (self.xla, self.graph), xla, tf.compat.v1.get_default_graph()
        try:
            yield
        finally:
            self.xla, self.graph = before

    @contextmanager
    def differentiating(self) -> Iterator[None]:
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1


class UserFunctions(contract.UserFunctions):
    """Graphs of `tf.function` that are not ours, and `tf.GradientTape`."""

    def __init__(self, local: Local) -> None:
        self._local = local

    def current(self) -> Any:
        graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        while isinstance(graph, ControlFlowFuncGraph):
            graph = graph.outer_graph
        return None if graph is self._local.graph or not isinstance(graph, tf.__internal__.FuncGraph) else graph

    def late(self, variable: Any, function: Any) -> Array:
        captures, spec = function._function_captures, tf.TensorSpec(variable.shape, variable.dtype)
        if variable not in captures.by_ref_internal:

            def found() -> list[Array]:  # asked where the function is called
                return [variable._read()]

            found.output_spec = spec  # type: ignore[attr-defined]
            with function.as_default():
                given = tf.compat.v1.placeholder(spec.dtype, spec.shape)
            captures.add_or_replace(variable, found, given, tracetype=spec, is_by_ref=True)
        return captures.by_ref_internal[variable]

    def cell(self, variable: Any) -> Any:
        if tf.executing_eagerly() or self._local.xla is not None:
            return None
        with tf.init_scope():
            return tf.Variable(variable._read())

    def tell_tapes(self, variable: Any) -> None:
        if variable.trainable and record.could_possibly_record():
            tapes.variable_accessed(variable)

    def is_recorded(self) -> bool:
        return bool(record.could_possibly_record())
