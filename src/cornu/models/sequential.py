"""Models that are a plain stack of layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cornu.base.errors import ArgumentError, StateError
from cornu.base.spec import Spec, standardize_shape
from cornu.core import configurable, masks
from cornu.core.state import known_shape
from cornu.core.symbolic import KerasTensor
from cornu.layers.core.input_layer import Input, InputLayer
from cornu.layers.layer import Layer
from cornu.models.model import Model, fitting


class Sequential(Model):
    """Layers called one after the other.

    Built as layers are added when it begins with an `Input` (or the first layer has `input_shape`), else on first data.
    """

    def __init__(
        self, layers: Iterable[Any] | None = None, trainable: bool = True, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self._stack: list[Layer] = []
        self._taken: set[str] = set()  # of the stack, when of its length
        self._symbols: tuple[KerasTensor, Any] | None = None
        for layer in layers or ():
            self.add(layer)
        if not trainable:
            self.trainable = False

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Put a layer on top. Nothing is added if it does not fit."""
        if isinstance(layer, KerasTensor) and layer._node is not None and isinstance(layer._node.operation, InputLayer):
            layer = layer._node.operation
        if not isinstance(layer, Layer):
            if not callable(layer):
                raise ArgumentError(f"{self._label()}.add takes a layer, got {layer!r} ({type(layer).__name__}).")
            layer = configurable.find("Lambda", "keras.layers")(layer)
        if len(self._taken) != len(self._stack):
            self._taken = {other.name for other in self._stack}
        if layer.name in self._taken and any(layer.name == other.name for other in self._stack):
            raise ArgumentError(
                f"{self._label()} has a layer named {layer.name!r} already; give the new one another `name`."
                + (" It is the same layer: one stack cannot hold it twice." if layer in self._stack else "")
            )
        if isinstance(layer, InputLayer):
            if self._stack:
                raise ArgumentError(
                    f"{self._label()}: an Input belongs at the beginning, before {self._stack[0].name!r}."
                )
            self._put(layer)
            tensor = layer.nodes[0].outputs
            self._symbols = (tensor, tensor)
            return
        if not self._stack and layer._batch_input_shape is not None:
            dtype = layer._input_dtype or ("int32" if type(layer).__name__ == "Embedding" else None)
            self.add(Input(batch_shape=layer._batch_input_shape, dtype=dtype))
        elif not self._stack and isinstance(layer, Model) and getattr(layer, "inputs", None):
            self.add(Input(batch_shape=layer.inputs[0].shape, dtype=layer.inputs[0].dtype))
        if self._symbols is not None:
            self._symbols = (self._symbols[0], layer(self._symbols[1]))
            self.built = self._traced = True
        else:
            self.built = False
        self._put(layer)

    def _put(self, layer: Layer) -> None:
        self._stack.append(layer)
        self._taken.add(layer.name)

    def pop(self, rebuild: bool = True) -> Layer:
        """Take the top layer off and return it."""
        if not self.layers:
            raise StateError(f"{self._label()} has no layer to pop.")
        layer = self._stack.pop()
        if self._symbols is not None:
            self._symbols = (self._symbols[0], layer.nodes[-1].args[0]) if self._stack else None
        self.built = bool(self.layers) and self.built
        self.compiled = False
        return layer

    @property
    def layers(self) -> list[Layer]:
        return [layer for layer in self._stack if not isinstance(layer, InputLayer)]

    @property
    def _layers(self) -> list[Layer]:
        return list({id(layer): layer for layer in [*self.layers, *super()._layers]}.values())

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic inputs; empty before the input's shape is known."""
        return [self._symbols[0]] if self._symbols else []

    @property
    def outputs(self) -> list[KerasTensor]:
        """The symbolic outputs; empty before the input's shape is known."""
        return [self._symbols[1]] if self._symbols else []

    @property
    def input(self) -> Any:
        return self._known_symbols()[0]

    @property
    def output(self) -> Any:
        return self._known_symbols()[1]

    @property
    def input_shape(self) -> Any:
        """The shape of the inputs."""
        return self.input.shape

    @property
    def output_shape(self) -> Any:
        """The shape of the outputs."""
        return self.output.shape

    @property
    def input_dtype(self) -> str:
        return self._symbols[0].dtype if self._symbols else self.compute_dtype

    @property
    def output_names(self) -> list[str]:
        """The name of the top layer."""
        return [self._stack[-1].name]

    def _known_symbols(self) -> tuple[KerasTensor, Any]:
        if self._symbols is None:
            raise StateError(
                f"{self._label()} has no input yet: begin it with an `Input`, or call `build(input_shape)`, or "
                "call it on data."
            )
        return self._symbols

    def build(self, input_shape: Any = None) -> None:
        """Build for inputs of this shape, batch axis included."""
        if input_shape is not None:
            self._begin(input_shape)

    def _begin(self, input_shape: Any, dtype: str | None = None, ragged: bool = False) -> None:
        """Put an `Input` before the layers and call them on it, if that was not done yet."""
        if self._symbols is not None:
            return
        shape = standardize_shape(input_shape, "input_shape")
        first = outputs = Input(batch_shape=shape, dtype=dtype, ragged=ragged)
        for layer in self._stack:
            outputs = layer(outputs)
        self._symbols = (first, outputs)
        self._stack = [first._node.operation, *self._stack]
        self.built = self._traced = len(self._stack) > 1  # the last: other threads may wait for it

    def _maybe_build(self, arguments: dict[str, Any]) -> None:
        inputs: Any = next(iter(arguments.values()), None)
        if self._stack and hasattr(inputs, "shape"):
            spec = Spec.of(inputs)
            self._begin((None, *known_shape(inputs)[1:]), spec.dtype, spec.ragged)  # type: ignore[index]
        self.built = bool(self._stack)

    def _fully_built(self) -> bool:
        return self.built and all(layer.built for layer in self.layers)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not self.layers:
            raise StateError(f"{self._label()} has no layers: `add` some first.")
        if mask is not None:
            masks.set_mask(inputs, mask)
        if self._symbols is not None:
            (inputs,) = inputs if isinstance(inputs, list | tuple) and len(inputs) == 1 else (inputs,)
            inputs = fitting(self, inputs, self._symbols[0])
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs

    def get_config(self) -> dict[str, Any]:
        if type(self).__init__ is not Sequential.__init__:
            return Layer.get_config(self)
        described = []
        for layer in self._stack:
            entry = configurable.serialize(layer)
            if layer.get_build_config():
                entry["build_config"] = layer.get_build_config()
            described.append(entry)
        config = {"name": self.name, "trainable": self.trainable, "dtype": self._config_value("dtype", None)}
        config["dtype"] = configurable.serialize(config["dtype"])
        config["layers"] = described
        if self._symbols is not None and isinstance(self._stack[0], InputLayer):
            config["build_input_shape"] = list(self._symbols[0].shape)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """The model that `get_config` described."""
        if isinstance(config, list):  # before Keras 2.2.3
            config = {"layers": config}
        if "layers" not in config or cls.__init__ is not Sequential.__init__:
            return super().from_config(config)
        with configurable.custom_object_scope(custom_objects or {}):
            model = cls(name=config.get("name"), dtype=configurable.deserialize(config.get("dtype")))
            for entry in config["layers"]:
                model.add(configurable.deserialize(entry))
        shape = config.get("build_input_shape")
        if shape and model._symbols is None and model._stack:
            model.build(tuple(shape))
        if not config.get("trainable", True):
            model.trainable = False
        return model
