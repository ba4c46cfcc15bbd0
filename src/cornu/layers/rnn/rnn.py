"""The loop over the steps of a sequence."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from typing import Any

from cornu import ops
from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import tree
from cornu.base.dtypes import is_float, standardize_dtype
from cornu.base.errors import ArgumentError, ShapeError, StateError
from cornu.base.spec import Spec
from cornu.core.context import context
from cornu.core.names import snake_case
from cornu.core.state import StateScope, functional, infer
from cornu.core.symbolic import KerasTensor
from cornu.core.variable import Variable
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.layers.rnn.cell import Cell, arguments, initial_state
from cornu.layers.rnn.stacked_rnn_cells import StackedRNNCells

_UNROLL = 1  # on a CPU more copies of the step are slower to run and to compile: 71 ms at 1, 217 at 16


class RNN(Layer):
    """A cell applied along axis 1: (batch, time, …) to the last output, or with `return_sequences` to all of them.

    A cell is a layer with `state_size`, an int or a list of them, whose `call(inputs, states)` returns the outputs and
    the new states; of a list of cells each reads the outputs of the one before. With `return_state` the last states
    follow the outputs. Steps that `mask` (batch, time) leaves out keep the states and repeat the previous output, or
    give 0 with `zero_output_for_mask`. With `stateful` each batch goes on from the states of the last one until
    `reset_state()`; the batch size must then be known. `go_backwards` reads from the end. Raises ShapeError and
    ArgumentError for states that do not fit the cell.
    """

    supports_masking = True

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("implementation", None)  # of Keras 2, as is the next
        if kwargs.pop("time_major", False):
            raise ArgumentError(f"{type(self).__name__}: inputs are (batch, time, …); transpose those with time first.")
        self.cell = cell = StackedRNNCells(cell) if isinstance(cell, list | tuple) else cell
        super().__init__(**kwargs)
        if not isinstance(cell, Layer) or not hasattr(cell, "state_size"):
            raise ArgumentError(
                f"{self._label()}: the cell should be a Layer with the attribute `state_size` (an int, or a list of "
                f"them) and `call(inputs, states)` that returns the outputs and the new states, got {cell!r}."
            )
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful, self.unroll = go_backwards, stateful, unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.states: Any = None
        self._program: tuple[Any, Any] | None = None
        self.input_spec = InputSpec(min_ndim=3)

    @property
    def state_size(self) -> Any:
        """The sizes of the states of the cell."""
        return self.cell.state_size

    @property
    def _own_weights(self) -> list[Variable]:
        held = {id(state) for state in tree.flatten(self.states)}
        return [weight for weight in super()._own_weights if id(weight) not in held]

    @property
    def _own_state(self) -> list[Variable]:
        return [*super()._own_state, *([] if self.states is None else tree.flatten(self.states))]

    def build(self, sequences_shape: Any) -> None:
        batch, _, *features = sequences_shape
        if self._is_projected():
            if not self.cell.built:
                self.cell.build((batch, *features))
        else:  # calling the cell also builds the layers within it
            states = tree.map_structure(
                lambda s: KerasTensor((batch, *s.shape[1:]), s.dtype), self.get_initial_state(1)
            )
            Layer.compute_output_spec(self.cell, KerasTensor((batch, *features), self.compute_dtype), states)
        if self.stateful:
            if batch is None:
                raise ShapeError(
                    f"{self._label()} is stateful, so it must know the batch size, got inputs of shape "
                    f"{sequences_shape}. Begin the model with `Input(shape, batch_size=…)`."
                )
            initial = [(s.shape, s.dtype) for s in tree.flatten(self.get_initial_state(batch))]
            states = [Variable("zeros", s, d, trainable=False, autocast=False, name="state") for s, d in initial]
            self.states = tree.pack_sequence_as(self.get_initial_state(batch), states)

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """The states before the first step: the cell's own, or zeros."""
        return initial_state(self.cell, batch_size, self.compute_dtype)

    def reset_state(self) -> None:
        """Let the next batch of a stateful layer begin from zeros."""
        if not self.stateful:
            raise StateError(f"{self._label()} keeps no state between batches; it would with `stateful=True`.")
        for state in [] if self.states is None else tree.flatten(self.states):
            state.assign(B.zeros(state.shape, state.dtype))

    reset_states = reset_state

    def __call__(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
        """Call on the sequences, and on initial states: as `initial_state`, or in a list behind the sequences."""
        if isinstance(sequences, list | tuple):
            sequences, *states = sequences
            args = (states, *args) if states else args
        initial = args[0] if args else kwargs.get("initial_state")
        if initial is not None and not isinstance(initial, list | tuple):
            args, kwargs = args[1:], kwargs | {"initial_state": [initial]}
        return super().__call__(sequences, *args, **kwargs)

    def call(self, sequences: Array, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        if not sequences.shape[1]:
            raise ShapeError(f"{self._label()}: the sequences have no steps, got shape {tuple(sequences.shape)}.")
        if not is_float(standardize_dtype(sequences.dtype)) and self._is_projected():
            sequences = ops.cast(sequences, self.compute_dtype)
        states = self._states(sequences.shape[0], initial_state)
        eager = context.scope is None and not B.is_tracing(sequences)
        loop = self._compiled_loop if eager else self.inner_loop
        last, outputs, states = loop(sequences, states, mask, training)
        if self.stateful:
            for variable, value in zip(tree.flatten(self.states), tree.flatten(states), strict=True):
                variable.assign(value)
        result = outputs if self.return_sequences else last
        return (result, *states) if self.return_state else result

    def _states(self, batch: int, given: Any) -> Any:
        """The states to begin with: those given, those of the last batch, or the cell's."""
        own = self.get_initial_state(batch)
        if given is None:
            given = own if self.states is None else tree.map_structure(lambda state: state.value, self.states)
        found, expected = tree.flatten(given), tree.flatten(own)
        if len(found) != len(expected):
            raise ArgumentError(
                f"{self._label()}: initial_state should hold {len(expected)} tensor{'s' * (len(expected) != 1)}, as "
                f"the cell has state_size {self.state_size}, got {len(found)}."
            )
        self._check_states(found, expected, "the initial state" if self.states is None else "the state kept or given")
        return tree.pack_sequence_as(own, found)

    def _check_states(self, found: list[Array], expected: list[Array], what: str) -> None:
        for i, (state, other) in enumerate(zip(found, expected, strict=True)):
            if tuple(state.shape) != tuple(other.shape):
                raise ShapeError(
                    f"{self._label()}: {what} {i} should have shape {tuple(other.shape)} (the batch size, then "
                    f"state_size {self.state_size}), got {tuple(state.shape)}."
                )

    def _is_projected(self) -> bool:
        """Whether the cell's own `project` and `step` may stand for its `call`."""
        cells = self.cell.cells if type(self.cell) is StackedRNNCells else [self.cell]
        return all(type(cell).call is Cell.call and cell.compute_dtype == self.compute_dtype for cell in cells)

    def inner_loop(
        self, sequences: Array, initial_state: Any, mask: Any, training: bool = False
    ) -> tuple[Any, Any, Any]:
        """(last output, all outputs, last states); all outputs only with `return_sequences`, else None."""
        batch, length = sequences.shape[:2]
        xs = _swap_time(sequences)
        counts = None if mask is None else _swap_time(B.cast(B.reshape(mask, (batch, length)), "bool"))
        built_in = [layer for layer in self.cell._flatten_layers() if isinstance(layer, Cell)]
        for cell in built_in:
            cell.reset_masks()
        try:
            loop = self._projected_loop if self._is_projected() else self._called_loop
            last, outputs, states = loop(xs, initial_state, counts, training, built_in)
        finally:
            for cell in built_in:
                cell.reset_masks()
        if counts is not None and self.zero_output_for_mask:
            last = _select(counts[0 if self.go_backwards else -1], last, tree.map_structure(_zeros_like, last))
        if outputs is not None:
            outputs = tree.map_structure(lambda y: _swap_time(B.flip(y, 0) if self.go_backwards else y), outputs)
        return last, outputs, states

    def _compiled_loop(self, sequences: Array, states: Any, mask: Any, training: bool) -> Any:
        """`inner_loop` as a program that is kept: a loop that is called eagerly would be compiled at every call."""
        variables = self.cell.variables
        versions = tuple(layer._version for layer in [self, *self.cell._flatten_layers()])
        key = (id(self), versions, training, len(variables))  # the id: a deep copy makes its own
        if self._program is None or self._program[0] != key:
            pure = functional(lambda *args: self.inner_loop(*args, training), variables)
            self._program = (key, B.compile(pure))
        values, result = self._program[1]([v._read() for v in variables], sequences, states, mask)
        for variable, value in zip(variables, values, strict=True):
            if not variable.trainable:
                variable.assign(value)
        return result

    def _scan(self, advance: Any, init: Any, xs: Any, counts: Any) -> tuple[Any, Any]:
        """`advance(carry, x) -> (carry, output)` over the steps; those that do not count change nothing."""

        def step(carry: Any, at: Any) -> tuple[Any, Any]:
            x, counts = at
            new, output = advance(carry, x, counts)
            if not self.return_sequences:
                return new, None
            if counts is not None and self.zero_output_for_mask:
                output = _select(counts, output, tree.map_structure(_zeros_like, output))
            return new, output

        length = xs.shape[0]
        return B.scan(step, init, (xs, counts), length, self.go_backwards, length if self.unroll else _UNROLL)

    def _projected_loop(self, xs: Array, states: Any, counts: Any, training: bool, cells: Any) -> tuple[Any, Any, Any]:
        cell = self.cell
        if counts is None and not self.unroll and isinstance(cell, Cell):
            found = cell.whole_loop(xs, states, self.go_backwards, self.return_sequences, training)
            if found is not None:
                outputs, states = found
                return cell.output_of(states), outputs, states
        if training:
            for one in cells:
                one.draw_masks(xs.shape[1])

        # The inputs are projected step by step: for all at once XLA:CPU takes up to twice as long, since each step then
        # reads a slice of a large array: 83 ms against 46, forwards and backwards.
        def advance(states: Any, x: Array, counts: Any) -> tuple[Any, Array]:
            output, new = cell.step(cell.project(x, training), states, training)
            if counts is None:
                return new, output
            new = _select(counts, new, states)
            return new, cell.output_of(new)

        states, outputs = self._scan(advance, states, xs, counts)
        return cell.output_of(states), outputs, states

    def _called_loop(self, xs: Array, states: Any, counts: Any, training: bool, cells: Any) -> tuple[Any, Any, Any]:
        """For users' cells: what they draw or assign while the loop is traced is carried from step to step."""
        cell = self.cell

        def call(x: Array, states: Any) -> tuple[Any, Any]:
            output, new = cell(x, states)
            new = list(new) if isinstance(new, list | tuple) else [new]
            leaves, expected = tree.flatten(new), tree.flatten(states)
            if len(leaves) != len(expected):
                raise ArgumentError(
                    f"{self._label()}: the cell {cell.name!r} returned {len(leaves)} new states, its state_size "
                    f"{self.state_size} says {len(expected)}."
                )
            self._check_states(leaves, expected, f"what the cell {cell.name!r} returned as new state")
            leaves = [B.cast(B.convert(a), standardize_dtype(b.dtype)) for a, b in zip(leaves, expected, strict=True)]
            return output, tree.pack_sequence_as(states, leaves)

        flat = [xs[0], *tree.flatten(states)]
        specs = infer(lambda all: call(all[0], tree.pack_sequence_as(states, all[1:]))[0], [Spec.of(x) for x in flat])
        for one in cells:
            one.reset_masks()
            if training:
                one.draw_masks(xs.shape[1])
        first = flat[1]
        same = isinstance(specs, Spec) and Spec.of(first) == specs  # most outputs are the first state
        output = first if same else tree.map_structure(lambda s: B.zeros(s.shape, s.dtype), specs)
        variables = cell.non_trainable_variables
        written: dict[Variable, None] = {}

        def advance(carry: Any, x: Array, counts: Any) -> tuple[Any, Any]:
            states, previous, values = carry
            with StateScope(zip(variables, values, strict=True)) if variables else nullcontext() as scope:
                output, new = call(x, states)
                if scope is not None:
                    written.update(scope.written)
                    values = [scope.values[v] for v in variables]
            if counts is not None:
                new, output = _select(counts, new, states), _select(counts, output, previous)
            return (new, output, values), output

        (states, output, values), outputs = self._scan(
            advance, (states, output, [v._read() for v in variables]), xs, counts
        )
        for variable, value in zip(variables, values, strict=True):
            if variable in written:
                variable.assign(value)
        return output, outputs, states

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the inputs for all outputs; none for the last one and the states."""
        mask = previous_mask if self.return_sequences else None
        return [mask] + [None] * len(tree.flatten(self.state_size)) if self.return_state else mask


class CellRNN(RNN):
    """An RNN that makes its own cell: each parameter of its constructor belongs to the cell, or to the loop."""

    _cell_class: type[Cell]
    _left_out = ("cell", "use_cudnn")

    def __init_subclass__(cls, cell: type[Cell] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cell is not None:
            cls._cell_class = cell
            for name in _named_parameters(cell):
                setattr(cls, name, _of_cell(name))

    def _parts(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The arguments of RNN's constructor, the cell among them, from all local variables of a subclass' one."""
        given = arguments(variables, "use_cudnn")  # how to compute is the backend's choice
        shared = {name: given[name] for name in ("dtype", "trainable") if name in given}
        names = _named_parameters(self._cell_class)
        cell = self._cell_class(
            **{name: given.pop(name) for name in names}, **shared, name=snake_case(self._cell_class.__name__)
        )
        return {"cell": cell} | given

    def build(self, sequences_shape: Any) -> None:
        super().build(sequences_shape)
        self.input_spec = InputSpec(ndim=3, axes={-1: sequences_shape[-1]})


def _named_parameters(cell: type[Cell]) -> list[str]:
    parameters = list(inspect.signature(cell.__init__).parameters.values())[1:]
    return [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]


def _of_cell(name: str) -> property:
    return property(
        lambda self: getattr(self.cell, name),
        lambda self, value: setattr(self.cell, name, value),
        doc=f"`{name}` of the cell.",
    )


def _swap_time(x: Array) -> Array:
    return B.transpose(x, (1, 0, *range(2, x.ndim)))


def _select(counts: Array, new: Any, old: Any) -> Any:
    """Of each batch entry the new values where it counts, else the old ones."""
    return tree.map_structure(lambda a, b: B.where(B.reshape(counts, (-1,) + (1,) * (a.ndim - 1)), a, b), new, old)


def _zeros_like(x: Array) -> Array:
    return B.zeros(x.shape, standardize_dtype(x.dtype))
