"""A PyTensor backend for Cornu (https://pytensor.readthedocs.io), from the contract alone.

PyTensor knows only graphs. So an array of this backend is a NumPy array, on which calls compute at once as they do on
the backend "numpy", or within a trace a Symbol, on which they add nodes. What traces: `compile`, derivatives, the
inference of shapes, and control flow within one of these. `programs.Program` compiles what a trace has found.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import NullTypeGradError
from pytensor.graph.basic import Variable

from cornu.backend.contract import Array
from cornu.backend.numpy import NumpyBackend
from cornu.base import config, tree
from cornu.base.errors import BackendError
from cornu.base.spec import Spec
from cornu_pytensor import gradients, graphs, primitives
from cornu_pytensor.gradients import Variables
from cornu_pytensor.programs import Host, Program
from cornu_pytensor.symbols import Symbol, any_symbol, lifted, numpy_dtype, stored, variable

__all__ = ["PytensorBackend", "Symbol"]


class PytensorBackend(NumpyBackend):
    """The contract on NumPy arrays and PyTensor graphs."""

    name = "pytensor"
    array_types = (np.ndarray, np.generic, Symbol)
    sparse_types = ()  # a trace has none, so what could be sparse is dense
    probe_sizes = (10080, 20160)  # nothing is computed: large, so that no real size equals them

    def __init__(self) -> None:
        super().__init__()
        for name, traced in primitives.PRIMITIVES.items():
            setattr(self, name, _either(getattr(primitives.HOST, name), lifted(traced)))
        # Convolution and pooling are inherited: bodies over these names, which serve arrays and symbols alike.
        names = "add einsum expand_dims matmul maximum pad stack".split()
        self.xp = SimpleNamespace(iinfo=np.iinfo, **{name: getattr(self, name) for name in names})

    @property
    def loops_in_python(self) -> bool:  # type: ignore[override]
        """Outside of a trace they do."""
        return not self._is_tracing

    def is_tracing(self, x: Any) -> bool:
        return isinstance(x, Symbol)

    # arrays in and out

    def convert(self, x: Any, dtype: str | None = None) -> Array:
        if isinstance(x, list | tuple) and any_symbol(x):
            return self.stack([self.convert(item, dtype) for item in x], 0)
        if isinstance(x, Symbol):
            return x if dtype is None else self.cast(x, dtype)
        return super().convert(x, dtype)

    def cast(self, x: Array, dtype: str) -> Array:
        if not isinstance(x, Symbol):
            return super().cast(x, dtype)
        wanted, target = numpy_dtype(dtype), stored(numpy_dtype(dtype))
        if x.dtype == wanted:
            return x
        var = pt.real(x.var) if x.dtype.kind == "c" and wanted.kind != "c" else x.var
        var = primitives.truth(var) if target == "bool" else pt.cast(var, target)
        if target != str(wanted):  # rounded once, here; what is computed from it keeps more digits

            def rounded(array: Any) -> Any:
                return array.astype(wanted).astype(target)

            var = Host(rounded, [var.type], lambda _, cotangents: cotangents)(var)
        return Symbol(var, wanted)

    def full(self, shape: Sequence[int], value: Any, dtype: str) -> Array:
        if isinstance(value, Symbol) or (self._is_tracing and math.prod(shape) > 4096):  # probes are large
            value = self.cast(self.convert(value), dtype)
            return Symbol(pt.alloc(variable(value), *map(int, shape)), dtype)
        return super().full(shape, value, dtype)

    def sparse(self, indices: Array, values: Array, shape: Sequence[int]) -> Any:
        return self.scatter(self.zeros(shape, str(values.dtype)), indices, values, "add")

    def copy(self, x: Array) -> Array:
        return x if isinstance(x, Symbol) else super().copy(x)

    def view(self, x: Array, dtype: str) -> Array:
        if not isinstance(x, Symbol):
            return super().view(x, dtype)
        before, after = x.dtype.itemsize, numpy_dtype(dtype).itemsize
        shape = x.shape if before == after else (*x.shape[:-1], x.shape[-1] * before // after)

        def viewed(array: Any) -> Any:
            return super(PytensorBackend, self).view(array.astype(x.dtype), dtype)

        return Symbol(Host(viewed, [primitives.typed(dtype, *shape)])(x.var), dtype)

    # control flow: in Python outside of a trace

    def cond(self, pred: Array, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        if not self._is_tracing:
            return super().cond(pred, true_fn, false_fn, *operands)
        index = variable(self.cast(self.convert(pred), "bool"))
        return _chosen(index, [false_fn, true_fn], operands)

    def while_loop(
        self, cond: Callable[[Any], Array], body: Callable[[Any], Any], state: Any, limit: int | None = None
    ) -> Any:
        if not self._is_tracing:
            return super().while_loop(cond, body, state, limit)
        nest = _Nest(state)

        def more(variables: Variables) -> Variable:
            return variable(self.cast(self.convert(cond(nest.like(variables))), "bool"))

        def step(variables: Variables) -> Variables:
            return _Nest(body(nest.like(variables))).variables

        return nest.like(graphs.while_loop(more, step, nest.variables, limit))

    def scan(
        self, fn: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, length: int, reverse: bool, unroll: int
    ) -> tuple[Any, Any]:
        if not self._is_tracing:
            return super().scan(fn, init, xs, length, reverse, unroll)
        carry, stacks = _Nest(init), _Nest(xs)
        form: list[_Nest] = []

        def step(variables: Variables, slices: Variables) -> Any:
            new, ys = map(_Nest, fn(carry.like(variables), stacks.like(slices)))
            form[:] = [ys]
            return new.variables, ys.variables

        last, ys = graphs.scan(step, carry.variables, stacks.variables, length, reverse)
        return carry.like(last), form[0].like(ys)

    def loop(self, steps: Array, body: Callable[[Array, Any], Any], state: Any) -> Any:
        if not self._is_tracing:
            return super().loop(steps, body, state)
        first = (np.zeros((), "int32"), state)
        return self.while_loop(lambda c: c[0] < steps, lambda c: (c[0] + 1, body(*c)), first)[1]

    def checkpoint(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: _chosen(0, [fn], args) if self._is_tracing else fn(*args)

    def custom_gradient(
        self, forward: Callable[..., tuple[Any, Any]], backward: Callable[[Any, Any], tuple[Any, ...]]
    ) -> Callable[..., Any]:
        def result(*args: Any) -> Any:
            return forward(*args)[0]

        def pull(args: Any, results: _Nest, known: Variables) -> Variables:
            given = results.like(gradients.placed(results.variables, known))
            return gradients.floats(_Nest(tuple(backward(forward(*args)[1], given))).variables)

        return lambda *args: _chosen(0, [result], args, pull) if self._is_tracing else result(*args)

    # the engine

    def require_gradients(self) -> None:  # type: ignore[override]
        return

    def value_and_grad(self, fn: Callable[..., tuple[Array, Any]], values: list[Array]) -> tuple[Any, list[Array]]:
        if not self._is_tracing:
            return self._run(lambda values: self.value_and_grad(fn, values), values)
        nest = _Nest(values)
        inputs = gradients.copies(nest.variables)
        loss, aux = fn(nest.like(inputs))
        of_loss = variable(loss)
        return (loss, aux), nest.like(_pulled([of_loss], [pt.ones_like(of_loss)], inputs))

    def vjp(
        self, fn: Callable[..., tuple[list[Array], Any]], values: list[Array]
    ) -> tuple[list[Array], Callable[[list[Array]], list[Array]], Any]:
        if not self._is_tracing:
            results, aux = self._run(fn, values)
            return results, lambda given: self._run(lambda v, g: self.vjp(fn, v)[1](g), values, given), aux
        nest = _Nest(values)
        inputs = gradients.copies(nest.variables)
        results, aux = fn(nest.like(inputs))
        outputs = _Nest(results).variables
        return results, lambda given: nest.like(_pulled(outputs, _Nest(given).variables, inputs)), aux

    def jvp(
        self, fn: Callable[..., tuple[list[Array], Any]], values: list[Array], tangents: list[Array]
    ) -> tuple[list[Array], list[Array], Any]:
        if not self._is_tracing:
            return self._run(lambda values, tangents: self.jvp(fn, values, tangents), values, tangents)
        nest = _Nest(values)
        inputs = gradients.copies(nest.variables)
        results, aux = fn(nest.like(inputs))
        found = _Nest(results)
        return results, found.like(gradients.pushed(found.variables, inputs, _Nest(tangents).variables)), aux

    def compile(self, fn: Any, donate: bool = False, thorough: Any = False, forward: bool = False) -> Any:
        programs: dict[Any, Callable[..., Any]] = {}

        @functools.wraps(fn)
        def call(*args: Any) -> Any:
            if self._is_tracing:
                return fn(*args)
            leaves, form = self._leaves(args), tree.structure(args)
            key = (form, *((x.shape, x.dtype) if isinstance(x, np.ndarray) else x for x in leaves))
            if key not in programs:
                programs[key] = self._program(fn, args, leaves)
            return programs[key](leaves)

        return call

    def abstract_eval(self, fn: Callable[..., Any], specs: list[Spec]) -> Any:
        with self._traced():
            given = [Symbol(primitives.typed(spec.dtype, *spec.shape)(), spec.dtype) for spec in specs]
            return tree.map_structure(
                lambda leaf: Spec.of(leaf) if isinstance(leaf, self.array_types) else leaf, fn(given)
            )

    # programs

    @contextmanager
    def _traced(self) -> Iterator[None]:
        flags = {"floatX": "float64" if config.floatx() == "float64" else "float32", "traceback__limit": 0}
        with self._tracing(True), pytensor.config.change_flags(**flags), np.errstate(all="ignore"):
            yield

    def _leaves(self, args: Any) -> list[Any]:
        """What is an array or a number as a NumPy array, the rest as it is."""
        numeric = (np.ndarray, np.generic, int, float, complex)
        return [np.asarray(self.convert(x)) if isinstance(x, numeric) else x for x in tree.flatten(args)]

    def _run(self, fn: Callable[..., Any], *args: Any) -> Any:
        """`fn(*args)`, traced and run once."""
        leaves = self._leaves(args)
        return self._program(fn, args, leaves)(leaves)

    def _program(self, fn: Callable[..., Any], args: Any, leaves: list[Any]) -> Callable[[list[Any]], Any]:
        """`fn` traced for arguments like these, as a function of their leaves."""
        at = [i for i, leaf in enumerate(leaves) if isinstance(leaf, np.ndarray)]
        inputs = [primitives.typed(leaves[i].dtype, *leaves[i].shape)() for i in at]
        given = list(leaves)
        for i, var in zip(at, inputs, strict=True):
            given[i] = Symbol(var, leaves[i].dtype)
        with self._traced():
            result = fn(*tree.pack_sequence_as(args, given))
        found = tree.flatten(result)
        dtypes = [leaf.dtype for leaf in found if isinstance(leaf, Symbol)]
        program = Program(inputs, [leaf.var for leaf in found if isinstance(leaf, Symbol)])

        def run(leaves: list[Any]) -> Any:
            arrays = (leaves[i].astype(v.type.dtype, copy=False) for i, v in zip(at, inputs, strict=True))
            computed = program(*arrays)
            ready = iter([a.astype(d, copy=False) for a, d in zip(computed, dtypes, strict=True)])
            return tree.pack_sequence_as(result, [next(ready) if isinstance(x, Symbol) else x for x in found])

        return run


class _Nest:
    """A nest of arrays and Nones as a list of variables."""

    def __init__(self, nest: Any) -> None:
        self.form = tree.structure(nest)
        arrays = [x if x is None or isinstance(x, Symbol) else np.asarray(x) for x in tree.flatten(nest)]
        self.dtypes = [None if x is None else x.dtype for x in arrays]
        self.variables: list[Variable] = [variable(x) for x in arrays if x is not None]

    def like(self, variables: Variables) -> Any:
        """A nest of the same form and dtypes, of other variables."""
        given = iter(variables)
        return self.form.unflatten([None if d is None else Symbol(next(given), d) for d in self.dtypes])


def _chosen(index: Any, functions: list[Callable[..., Any]], args: Any, pull: Any = None) -> Any:
    """`functions[index](*args)`, of nests; `pull(args, results, cotangents)` in place of the gradient."""
    nest, results = _Nest(args), []

    def branch(fn: Callable[..., Any]) -> Callable[..., Any]:
        def run(variables: Variables) -> Variables:
            results.append(_Nest(fn(*nest.like(variables))))
            return results[-1].variables

        return run

    def backward(given: Variables, known: Variables) -> Variables:
        return pull(nest.like(given), results[0], known)

    found = graphs.choose(index, list(map(branch, functions)), nest.variables, backward if pull else None)
    return results[0].like(found)


def _pulled(outputs: Variables, cotangents: Variables, wrt: Variables) -> list[Variable]:
    try:
        return gradients.pulled(outputs, cotangents, wrt)
    except (NullTypeGradError, NotImplementedError) as error:
        raise BackendError(f"The backend 'pytensor' lacks a gradient on the way: {error}") from error


def _either(computing: Callable[..., Any], tracing: Callable[..., Any]) -> Callable[..., Any]:
    """A primitive that computes unless a symbol is among its arguments."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return (tracing if any_symbol(args) or any_symbol(kwargs.values()) else computing)(*args, **kwargs)

    return call


def _draw(name: str) -> Callable[..., Any]:
    """A random draw, from a key that may be a symbol."""
    drawn = getattr(NumpyBackend, name)

    @functools.wraps(drawn)
    def call(self: Any, key: Array, *args: Any) -> Array:
        if not any_symbol((key, *args)):
            return drawn(self, key, *args)
        shape, dtype = ((args[0],), "int32") if name == "random_permutation" else (tuple(args[0]), args[-1])

        def fill(key: Any, *arrays: Any) -> Any:
            given = iter(arrays)
            return drawn(primitives.HOST, key, *(next(given) if isinstance(a, Symbol) else a for a in args))

        node = Host(fill, [primitives.typed(dtype, *shape)])
        return Symbol(node(variable(key), *(a.var for a in args if isinstance(a, Symbol))), dtype)

    return call


for _name in "uniform normal truncated_normal gamma permutation integers".split():
    setattr(PytensorBackend, f"random_{_name}", _draw(f"random_{_name}"))
