"""Models: layers that can be trained, saved and shown."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from cornu import ops, saving
from cornu.backend import load
from cornu.base import config, tree
from cornu.base.dtypes import is_float, standardize_dtype
from cornu.base.errors import ArgumentError, DTypeError, ShapeError, UnknownNameError, did_you_mean
from cornu.base.spec import Spec
from cornu.core import configurable, masks
from cornu.core.state import infer, known_shape
from cornu.core.symbolic import KerasTensor
from cornu.layers import foreign
from cornu.layers.layer import Layer
from cornu.models.summary import summary
from cornu.random.seed import global_generator
from cornu.training.trainer import Trainer, in_own_backend


class _Former:
    """A method that models had; reading it is an AttributeError that says what took its place."""

    def __init__(self, now: str) -> None:
        self.now = now

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, model: Any, owner: type | None = None) -> NoReturn:
        raise AttributeError(f"Models have no {self.name!r}, which is of Keras 1 or 2: use {self.now}.")


class Model(Trainer, Layer):
    """A layer that can be trained.

    Either `Model(inputs, outputs)` from symbolic tensors, or a subclass that makes layers in `__init__` and defines
    `call(self, inputs)`.
    """

    _passive = Layer._passive | {"history", "stop_training", "debug"}
    functional_class: ClassVar[type]
    """What `Model(inputs, outputs)` becomes; set where it is defined."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        graph = _graph_arguments(args, kwargs)
        if graph is not None:
            functional = Model.functional_class
            if not isinstance(self, functional):
                self.__class__ = _functional_class(type(self), functional)
            functional.__init__(self, *graph[0], **graph[1])  # type: ignore[misc]
            return
        if args:
            raise ArgumentError(
                f"{type(self).__name__} takes `inputs` and `outputs`, symbolic tensors, or keywords; got {args!r}."
            )
        super().__init__(**kwargs)
        self._backend = config.backend()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        instance = super().__new__(cls, *args, **kwargs)
        instance._backend = config.backend()
        instance._traced = False
        return instance

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        raise NotImplementedError(
            f"{self._label()} does not define `call(self, inputs)`. Define it, or make the model from `inputs` "
            "and `outputs`."
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if config.backend() != self._backend:
            with config.backend_scope(self._backend):
                return self(*args, **kwargs)
        outputs = super().__call__(*args, **kwargs)
        self._traced = True
        return outputs

    def to_backend(self, backend: str) -> Model:
        """Move the model to another backend, with its weights, seeds, metrics and optimizer; returns it.

        Training goes on where it was. Layers made of another framework's code stay what they are.
        """
        load(backend)
        state = dict.fromkeys([*self.variables, *self.metrics_variables])
        with config.backend_scope(self._backend):
            for kind in ("train", "test"):
                state |= dict.fromkeys(self._engine_variables(kind))
            state.pop(global_generator().state, None)  # the run's, not the model's: it stays
        for variable in state:
            variable.to_backend(backend)
        for layer in self._flatten_layers():
            layer._version, layer._again = layer._version + 1, None  # programs and checks of the old one are stale
            if isinstance(layer, Model):
                layer._backend, layer._engines = backend, {}
        return self

    @in_own_backend
    def as_torch(self) -> Any:
        """The model as a `torch.nn.Module` whose parameters are the model's own; on the backend PyTorch."""
        return foreign.LayerModule(self)

    @property
    def layers(self) -> list[Layer]:
        """The layers the model is made of, without those within them."""
        return self._layers

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of this name or at this index."""
        if (name is None) == (index is None):
            raise ArgumentError("get_layer needs either a name or an index.")
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ArgumentError(f"{self._label()} has {len(layers)} layers, there is none at index {index}.")
            return layers[index]
        names = {layer.name: layer for layer in layers}
        if name not in names:
            raise UnknownNameError(
                f"{self._label()} has no layer {name!r}.{did_you_mean(str(name), names)} Layers: {', '.join(names)}."
            )
        return names[name]

    def build(self, input_shape: Any) -> None:
        """Make the weights by tracing `call` for inputs of this shape, batch axis included, or a nest of them."""
        shapes = tree.map_shape_structure(lambda s: Spec(tuple(s), config.floatx()), input_shape)
        with config.backend_scope(self._backend):
            infer(lambda arrays: self(tree.pack_sequence_as(shapes, arrays), training=False), tree.flatten(shapes))
        self.built = True

    def _maybe_build(self, arguments: dict[str, Any]) -> None:
        if type(self).build is Model.build:  # calling builds the layers within
            tensors = [value for value in arguments.values() if any(hasattr(x, "shape") for x in tree.flatten(value))]
            if self._build_shapes is None and len(tensors) == 1:  # for the file
                shapes = tree.map_structure(lambda x: (None, *known_shape(x)[1:]), tensors[0])  # type: ignore[index]
                self._build_shapes = {"input_shape": shapes}
            self.built = True
        else:
            super()._maybe_build(arguments)

    def _fully_built(self) -> bool:
        return self.built and self._traced

    def _defines_call(self) -> bool:
        return type(self).call is not Model.call

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: tuple[str, str] | None = None,
    ) -> None:
        """Print a table of the layers, their output shapes and parameter counts.

        `print_fn` receives it line by line instead; `expand_nested` shows the layers of models within. `layer_range`
        are the first and last layers to show, by name or pattern. Columns are as wide as what they hold, within
        `line_length`; `positions` is accepted for Keras' sake and moves nothing.
        """
        self._check_built("be summarised")
        summary(self, line_length, print_fn, expand_nested, show_trainable, layer_range)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """The model that `get_config` described; a graph, if that is what it describes."""
        if {"layers", "input_layers", "output_layers"} <= config.keys():
            return Model.functional_class.from_config.__func__(cls, config, custom_objects)  # type: ignore[attr-defined]
        with configurable.custom_object_scope(custom_objects or {}):
            return super().from_config(config)

    def set_weights(self, weights: Any) -> None:
        """Set all weights; nothing is set unless every shape fits."""
        with config.backend_scope(self._backend):
            super().set_weights(weights)

    # of Keras 1 and 2

    fit_generator = _Former("`fit`, which takes generators too")
    evaluate_generator = _Former("`evaluate`, which takes generators too")
    predict_generator = _Former("`predict`, which takes generators too")
    predict_classes = _Former("`predict(x).argmax(-1)`, or `predict(x) > 0.5` of one output")
    predict_proba = _Former("`predict`")

    # files

    def save(self, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any) -> None:
        """Save architecture, weights and compiled state: `.keras`, or `.h5` in the old format."""
        saving.save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def save_weights(self, filepath: Any, overwrite: bool = True, max_shard_size: Any = None) -> None:
        """Save the weights: `.weights.h5` or `.safetensors`."""
        saving.save_weights(self, filepath, overwrite=overwrite, max_shard_size=max_shard_size)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Load weights that `save_weights` or `save` wrote."""
        with config.backend_scope(self._backend):
            saving.load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def to_json(self, **kwargs: Any) -> str:
        """The architecture as JSON; `model_from_json` reads it."""
        return json.dumps(configurable.serialize(self), **kwargs)

    @in_own_backend
    def get_state_tree(self, value_format: str = "backend_tensor") -> dict[str, dict[str, Any]]:
        """All state by kind and path: trainable, non-trainable, optimizer and metrics variables."""
        if value_format not in ("backend_tensor", "numpy_array"):
            raise ArgumentError(f"value_format should be 'backend_tensor' or 'numpy_array', got {value_format!r}.")
        return {
            kind: {v.path: v.numpy() if value_format == "numpy_array" else v.value for v in variables}
            for kind, variables in self._state_groups().items()
        }

    def set_state_tree(self, state_tree: dict[str, dict[str, Any]]) -> None:
        """Set the state that `get_state_tree` returned."""
        groups = self._state_groups()
        for kind, values in state_tree.items():
            if kind not in groups:
                raise ArgumentError(f"Unknown kind of state {kind!r}. Known: {', '.join(groups)}.")
            by_path = {v.path: v for v in groups[kind]}
            missing = [path for path in values if path not in by_path]
            if missing:
                raise ArgumentError(
                    f"{self._label()} has no variable {missing[0]!r}.{did_you_mean(missing[0], by_path)}"
                )
            with config.backend_scope(self._backend):
                for path, value in values.items():
                    by_path[path].assign(value)

    def _state_groups(self) -> dict[str, list[Any]]:
        return {
            "trainable_variables": self.trainable_variables,
            "non_trainable_variables": self.non_trainable_variables,
            "optimizer_variables": self.optimizer.variables if self.optimizer is not None else [],
            "metrics_variables": self.metrics_variables,
        }


def fitting(model: Model, leaf: Any, symbol: KerasTensor) -> Any:
    """A model's input in the rank and dtype of the symbol it stands for; ShapeError or DTypeError names the input."""
    operation = symbol._node.operation  # type: ignore[union-attr]
    if leaf is None or not hasattr(leaf, "shape"):
        if leaf is None and getattr(operation, "optional", False):
            return None
        hint = " x and y are two arguments: fit(x, y)." if isinstance(leaf, tuple | list) else ""
        raise ArgumentError(
            f"{model._label()}: the input {operation.name!r} should be a tensor, got {type(leaf).__name__}.{hint}"
        )
    expected = symbol.shape
    if len(leaf.shape) == len(expected) - 1 and expected[-1] == 1:
        leaf = ops.expand_dims(leaf, -1)
    elif len(leaf.shape) == len(expected) + 1 and leaf.shape[-1] == 1:
        leaf = ops.squeeze(leaf, -1)
    shape = known_shape(leaf)
    sizes = zip(expected[1:], shape[1:], strict=False)
    if len(shape) != len(expected) or any(None not in (a, b) and a != b for a, b in sizes):
        hint = " Is the batch axis missing? `x[None]` adds one." if shape == expected[1:] else ""
        raise ShapeError(
            f"{model._label()}: the input {operation.name!r} should have shape {expected}, got {shape}.{hint}"
        )
    found = standardize_dtype(leaf.dtype)
    if found != symbol.dtype and not (is_float(found) and is_float(symbol.dtype)):
        if found == "string":
            raise DTypeError(
                f"{model._label()}: the input {operation.name!r} should be {symbol.dtype}, got strings. Encode them as "
                "numbers first."
            )
        mask = masks.get_mask(leaf)
        leaf = ops.cast(leaf, symbol.dtype)
        if mask is not None:
            masks.set_mask(leaf, mask)
    return leaf


def _graph_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The arguments if they name a graph's inputs and outputs, else None."""
    if "inputs" in kwargs and "outputs" in kwargs:
        return args, kwargs
    if len(args) >= 2 or (len(args) == 1 and "outputs" in kwargs):
        return args, kwargs
    if "inputs" in kwargs or "outputs" in kwargs:
        missing = "outputs" if "inputs" in kwargs else "inputs"
        raise ArgumentError(f"Model needs both `inputs` and `outputs`; `{missing}` is missing.")
    return None


@functools.cache
def _functional_class(cls: type, functional: type) -> type:
    """The class of a graph model with the methods of the user's subclass."""
    if cls is Model:
        return functional
    return type(cls.__name__, (cls, functional), {"__module__": cls.__module__, "__doc__": cls.__doc__})
