"""Reading a sequence from both ends."""

from __future__ import annotations

from typing import Any

from cornu import ops
from cornu.backend.contract import Array
from cornu.base import tree
from cornu.base.errors import ArgumentError
from cornu.core.configurable import custom_object_scope
from cornu.layers.layer import Layer

_MERGE = {
    "concat": lambda a, b: ops.concatenate([a, b], -1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / 2,
    None: lambda a, b: (a, b),
}


class Bidirectional(Layer):
    """Two copies of a recurrent layer, one reading forwards and one backwards, and their outputs merged.

    `merge_mode` is "concat" (on the last axis), "sum", "mul", "ave", or None for both as they are. `backward_layer`
    may differ from a copy, with `go_backwards` the other way. Initial states and returned states are those of the
    forward layer, then those of the backward one. https://doi.org/10.1109/78.650093
    """

    supports_masking = True

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Layer | None = None,
        **kwargs: Any,
    ) -> None:
        for name, one in (("layer", layer), ("backward_layer", backward_layer)):
            optional = name == "backward_layer" and one is None
            if not optional and not (isinstance(one, Layer) and hasattr(one, "go_backwards")):
                raise ArgumentError(f"Bidirectional: {name} should be a recurrent layer such as LSTM, got {one!r}.")
        if merge_mode not in _MERGE:
            raise ArgumentError(
                f"Bidirectional: merge_mode should be 'concat', 'sum', 'mul', 'ave' or None, got {merge_mode!r}."
            )
        if backward_layer is not None:
            for name in ("stateful", "return_sequences", "return_state"):
                if getattr(backward_layer, name) != getattr(layer, name):
                    raise ArgumentError(f"Bidirectional: layer and backward_layer should have the same {name}.")
            if backward_layer.go_backwards == layer.go_backwards:
                raise ArgumentError(
                    "Bidirectional: layer and backward_layer should read in different directions; set "
                    "go_backwards=True on one of them."
                )
        super().__init__(weights=weights, **({"trainable": layer.trainable, "dtype": layer.dtype_policy} | kwargs))
        self.merge_mode = merge_mode
        self.forward_layer = _copy(layer, "forward")
        self.backward_layer = _copy(backward_layer or layer, "backward", go_backwards=not layer.go_backwards)
        self.input_spec = layer.input_spec
        # Merged with the other direction's output, a repeated one would mean nothing.
        for one in (self.forward_layer, self.backward_layer):
            if hasattr(one, "zero_output_for_mask"):
                one.zero_output_for_mask = one.return_sequences

    @property
    def layer(self) -> Layer:
        """The forward layer."""
        return self.forward_layer

    @property
    def stateful(self) -> bool:
        """Whether states are kept from batch to batch."""
        return self.forward_layer.stateful

    @property
    def return_sequences(self) -> bool:
        """Whether there is an output for each step."""
        return self.forward_layer.return_sequences

    @property
    def return_state(self) -> bool:
        """Whether the last states follow the outputs."""
        return self.forward_layer.return_state

    @property
    def go_backwards(self) -> bool:
        """Whether the forward layer reads from the end."""
        return self.forward_layer.go_backwards

    @property
    def states(self) -> Any:
        """The states kept by both layers, or None."""
        both = self.forward_layer.states, self.backward_layer.states
        return None if None in both else [*both[0], *both[1]]

    def build(self, sequences_shape: Any) -> None:
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(sequences_shape)

    def __call__(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
        """Call on the sequences, and on initial states: as `initial_state`, or in a list behind the sequences."""
        if isinstance(sequences, list | tuple):
            sequences, *states = sequences
            args = (states, *args) if states else args
        return super().__call__(sequences, *args, **kwargs)

    def call(self, sequences: Array, initial_state: Any = None, mask: Any = None, training: bool | None = None) -> Any:
        forward = backward = None
        if initial_state is not None:
            half = len(initial_state) // 2
            if len(initial_state) % 2:
                raise ArgumentError(
                    f"{self._label()}: initial_state should hold as many tensors for the forward as for the backward "
                    f"layer, got {len(initial_state)}."
                )
            forward, backward = list(initial_state[:half]), list(initial_state[half:])
        there = self.forward_layer(sequences, initial_state=forward, mask=mask, training=training)
        back = self.backward_layer(sequences, initial_state=backward, mask=mask, training=training)
        states: list[Any] = []
        if self.return_state:
            (there, *first), (back, *second) = there, back
            states = [*first, *second]
        if self.return_sequences:
            back = ops.flip(back, 1)
        merged = _MERGE[self.merge_mode](there, back)
        if not states:
            return merged
        return (*merged, *states) if self.merge_mode is None else (merged, *states)

    def reset_state(self) -> None:
        """Let the next batch of stateful layers begin from zeros."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    def _config_value(self, name: str, value: Any) -> Any:
        return None if name == "weights" else super()._config_value(name, value)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the inputs for sequences; none for last outputs and states."""
        outputs = 2 if self.merge_mode is None else 1
        mask = [previous_mask if self.return_sequences else None] * outputs
        states = len(tree.flatten(self.forward_layer.state_size)) if self.return_state else 0
        return mask + [None] * (2 * states)


def _copy(layer: Any, direction: str, **changes: Any) -> Any:
    """A new layer of the same configuration; classes of one's own need no registering for it."""
    config = layer.get_config() | changes
    if not layer.name.startswith(f"{direction}_"):
        config["name"] = f"{direction}_{layer.name}"
    with custom_object_scope({type(one).__name__: type(one) for one in layer._flatten_layers()}):
        return type(layer).from_config(config)
