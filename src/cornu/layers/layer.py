"""The base of all layers."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np

from cornu import constraints, initializers, ops, regularizers
from cornu.backend import B, current
from cornu.base import policies, tree
from cornu.base.dtypes import is_float, standardize_dtype
from cornu.base.errors import ArgumentError, DTypeError, OpError, ShapeError, StateError, unknown_arguments, warn
from cornu.base.policies import DTypePolicy
from cornu.base.spec import Shape, standardize_shape
from cornu.core import masks
from cornu.core.configurable import Configurable
from cornu.core.context import context
from cornu.core.names import auto_name, snake_case
from cornu.core.op import ragged_hint
from cornu.core.state import StateScope, infer, known_shape, pairs
from cornu.core.symbolic import KerasTensor, Node, of_arrays, record, symbols
from cornu.core.tracking import changed, find
from cornu.core.variable import Variable, initialize
from cornu.layers.checks import positive_int, tensor
from cornu.layers.input_spec import check_inputs
from cornu.metrics import Metric
from cornu.random.seed import SeedGenerator

_building = threading.RLock()  # of several threads that call a layer at first one builds it
_UNUSED = frozenset("quantization_config lora_rank lora_alpha gptq_unpacked_column_size groups".split())
_NEVER_USED = frozenset("kernel_initializer kernel_regularizer kernel_constraint".split())  # by those without a kernel
_FOUND_ANEW = frozenset("query_shape key_shape value_shape".split())
_LEGACY = ("input_shape", "batch_input_shape", "input_dim", "input_length", "batch_size", "weights", "input_dtype")


class _Call:
    """The outermost layer call in progress: what the calls within it inherit."""

    __slots__ = ("training",)

    def __init__(self, training: bool | None) -> None:
        self.training = training


@functools.cache
def _positional_parameters(method: Callable[..., Any]) -> list[str]:
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


class _Signature:
    """What a layer's `call` accepts, looked up once per class."""

    def __init__(self, call: Callable[..., Any]) -> None:
        parameters = list(inspect.signature(call).parameters.values())[1:]
        self.names = _positional_parameters(call)
        named = {p.name: p for p in parameters}
        self.open = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self.training = "training" in named
        default = named["training"].default if self.training else None
        self.training_default = default if isinstance(default, bool) else None
        self.masks = {}  # name of the mask parameter -> name of the argument it belongs to
        if self.names and "mask" in named:
            self.masks["mask"] = self.names[0]
        for name in self.names:
            if f"{name}_mask" in named:
                self.masks[f"{name}_mask"] = name
        given = {"training", *self.masks}  # by the layer itself
        self.required = [n for n in self.names if named[n].default is inspect.Parameter.empty and n not in given]


@functools.cache
def _signature(call: Callable[..., Any]) -> _Signature:
    return _Signature(call)


class Layer(Configurable):
    """A computation with state. Subclasses make weights in `build(input_shape)` and compute in `call(inputs)`.

    `call` may take `training` and `mask`, several tensors, nests of them, and use `cornu.ops` or the backend's own
    functions. Weights, layers and metrics are found wherever attributes hold them, also in lists and dicts. `dtype` is
    a dtype or policy; float inputs are cast to its compute dtype unless `autocast` is False.
    """

    supports_masking = False
    input_spec: Any = None
    built = False
    nodes: list[Node]
    _passive: ClassVar[frozenset[str]] = frozenset({"built", "nodes"})
    """Attributes on which no compiled program depends."""
    _version = 0
    _build_shapes: dict[str, Any] | None
    _again: tuple[Any, ...] | None
    """What the last call was like, if one like it needs no more checks: see `_call_again`."""
    _shown_shape: str | None
    """That of the first call, for the summary."""

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        legacy = {key: kwargs.pop(key) for key in _LEGACY if key in kwargs}
        for key, value in list(kwargs.items()):  # what Keras and Keras 2 write into configurations to no effect
            if (
                key in _FOUND_ANEW
                or (key in _UNUSED and value in (None, 1))
                or (key in _NEVER_USED and not isinstance(value, str))
            ):
                del kwargs[key]
        if kwargs:
            raise unknown_arguments(type(self).__name__, kwargs, self._parameter_names())
        if name is not None and not isinstance(name, str):
            raise ArgumentError(f"A layer's name should be a string, got {name!r}.")
        if name is not None and "/" in name:
            raise ArgumentError(f"A layer's name should have no '/', got {name!r}.")
        self.name: str = name or auto_name(snake_case(type(self).__name__))
        self.dtype_policy = dtype
        self.autocast = autocast
        self.activity_regularizer = regularizers.get(activity_regularizer)
        if trainable not in (True, False):
            raise ArgumentError(f"{self._label()}: trainable should be True or False, got {trainable!r}.")
        self._trainable = bool(trainable)
        self._initial_weights = legacy.get("weights")
        self._batch_input_shape = _legacy_input_shape(legacy, self)
        self._input_dtype = legacy.get("input_dtype")

    # Set here, not in `__init__`, so that a subclass may assign attributes before it calls `super().__init__()`.
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        instance = super().__new__(cls, *args, **kwargs)
        instance.nodes = []
        instance._weights = []
        instance._call_losses = []
        instance._losses_call = None
        instance._last_call = None
        instance._build_shapes = None
        instance._again = instance._shown_shape = None
        return instance

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _remembering(vars(cls)["build"])  # type: ignore[method-assign]

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name[0] != "_" and name not in self._passive:  # programs that were compiled with the old value are stale
            object.__setattr__(self, "_version", self._version + 1)
            changed()

    # state

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> Variable:
        """A new weight of this layer.

        The initializer defaults to Glorot's uniform for floats, to zeros for other dtypes. A weight with
        `trainable=False` is never touched by the optimizer.
        """
        self._check_initialised()
        if kwargs:
            raise ArgumentError(f"{self._label()}.add_weight has no argument {', '.join(map(repr, kwargs))}.")
        shape = () if shape is None else (shape,) if isinstance(shape, int) else shape
        sizes = standardize_shape(shape, f"shape of weight {name!r} of {self._label()}")
        if None in sizes:
            raise ShapeError(
                f"{self._label()}: the weight {name or 'weight'!r} would have the shape {sizes}, but every size must "
                "be known. Give the inputs a known size at that axis."
            )
        dtype = standardize_dtype(dtype or self.variable_dtype)
        if initializer is None:
            initializer = "glorot_uniform" if is_float(dtype) else "zeros"
        before, context.names = context.names, self._names()
        try:
            weight = Variable(
                initializers.get(initializer), sizes, dtype, trainable, autocast, aggregation, name=name or "weight"
            )
        finally:
            context.names = before
        weight.regularizer, weight.constraint = regularizers.get(regularizer), constraints.get(constraint)
        weight.overwrite_with_gradient = overwrite_with_gradient
        self._weights.append(weight)
        return weight

    add_variable = add_weight

    def _names(self) -> tuple[str, ...]:
        return context.names if context.names and context.names[-1] == self.name else (*context.names, self.name)

    @property
    def path(self) -> str:
        """The layer's name, after those of the layers it is called in."""
        return "/".join(self._names())

    @property
    def _layers(self) -> list[Layer]:
        return find(self, Layer)

    def _flatten_layers(self, include_self: bool = True, recursive: bool = True) -> list[Layer]:
        """This layer and those within, each once, outer ones first."""
        found: dict[int, Layer] = {id(self): self} if include_self else {}
        waiting = list(reversed(self._layers))
        while waiting:
            layer = waiting.pop()
            if id(layer) not in found and layer is not self:
                found[id(layer)] = layer
                if recursive:
                    waiting.extend(reversed(layer._layers))
        return list(found.values())

    @property
    def _own_weights(self) -> list[Variable]:
        """The weights that are this layer's alone, trainable ones first."""
        return sorted(find(self, Variable), key=lambda weight: not weight.trainable)

    @property
    def weights(self) -> list[Variable]:
        """All weights of the layer and of those within, without metrics and seeds."""
        return list(dict.fromkeys(w for layer in self._flatten_layers() for w in layer._own_weights))

    @property
    def variables(self) -> list[Variable]:
        """All state of the layer and of those within, seeds included; that of metrics is `metrics_variables`."""
        return list(dict.fromkeys([*self.weights, *(s for layer in self._flatten_layers() for s in layer._own_state)]))

    @property
    def _own_state(self) -> list[Variable]:
        """The layer's state besides weights: its seeds."""
        return [seed.state for seed in find(self, SeedGenerator)]

    @property
    def trainable_variables(self) -> list[Variable]:
        """What the optimizer updates."""
        frozen = {w for layer in self._flatten_layers() if not layer.trainable for w in layer.weights}
        return [w for w in self.weights if w.trainable and w not in frozen]

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The state that the optimizer leaves alone."""
        trainable = set(self.trainable_variables)
        return [v for v in self.variables if v not in trainable]

    trainable_weights = trainable_variables

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that the optimizer leaves alone."""
        trainable = set(self.trainable_variables)
        return [w for w in self.weights if w not in trainable]

    @property
    def metrics(self) -> list[Metric]:
        """The metrics of the layer and of those within."""
        return list({id(m): m for layer in self._flatten_layers() for m in find(layer, Metric)}.values())

    @property
    def metrics_variables(self) -> list[Variable]:
        """The variables of the metrics."""
        return [v for metric in self.metrics for v in metric.variables]

    @property
    def trainable(self) -> bool:
        """Whether the optimizer may update the weights; setting it sets all layers within."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        changed()
        for layer in self._layers:
            layer.trainable = value

    def count_params(self) -> int:
        """How many numbers the weights hold. Raises StateError before the layer is built."""
        self._check_built("count its parameters")
        return int(sum(np.prod(w.shape) for w in self.weights))

    def get_weights(self) -> list[np.ndarray]:
        """The weights' values as NumPy arrays, in the order of `weights`."""
        weights = self.weights
        initialize(weights)  # all at once: several threads draw
        return [w.numpy() for w in weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all weights; nothing is set unless every value fits."""
        self._check_built("set its weights")
        if not isinstance(weights, Iterable):
            raise ArgumentError(
                f"{self._label()}.set_weights takes a list of arrays, such as `get_weights` returns, got {weights!r}."
            )
        ours, values = self.weights, list(weights)
        if len(ours) != len(values):
            raise ShapeError(f"{self._label()} has {len(ours)} weights, got {len(values)} values.")
        wrong: list[ShapeError | DTypeError] = []
        for i, weight in enumerate(ours):
            try:
                values[i] = weight._fitting(values[i])
            except (ShapeError, DTypeError) as error:
                wrong.append(error)
        if wrong:
            raise type(wrong[0])(f"{self._label()}: nothing was set. {' '.join(map(str, wrong))}") from wrong[0]
        for weight, value in zip(ours, values, strict=True):
            weight.assign(value)

    # dtypes

    @property
    def dtype_policy(self) -> DTypePolicy:
        """Which dtype the layer computes in and which its weights are kept in; may be set by name."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        self._dtype_policy = policies.get(value)

    @property
    def dtype(self) -> str:
        """The dtype of the weights."""
        return self.variable_dtype

    @property
    def compute_dtype(self) -> str:
        """The dtype that `call` computes in."""
        return self.dtype_policy.compute_dtype

    @property
    def variable_dtype(self) -> str:
        """The dtype of the weights."""
        return self.dtype_policy.variable_dtype

    @property
    def quantization_mode(self) -> str | None:
        """How the layer is quantized; None: not at all."""
        return self.dtype_policy.quantization_mode

    @property
    def input_dtype(self) -> str:
        """The dtype that float inputs are cast to."""
        return self.compute_dtype

    # building

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape; called once, before the first `call`."""
        self.built = True

    def get_build_config(self) -> dict[str, Any] | None:
        """The shapes the layer was built for."""
        shapes = self._build_shapes
        if not shapes:
            return None
        return {"input_shape": next(iter(shapes.values()))} if len(shapes) == 1 else {"shapes_dict": dict(shapes)}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build for the shapes that `get_build_config` described."""
        if not config or self.built:
            return
        if "shapes_dict" in config:
            shapes = {name: _as_shapes(shape) for name, shape in config["shapes_dict"].items()}
            self.build(**shapes)
        elif config.get("input_shape") is not None:
            self.build(_as_shapes(config["input_shape"]))

    def _maybe_build(self, arguments: dict[str, Any]) -> None:
        if self.built:
            return
        self._check_initialised()
        shapes = {
            name: tree.map_structure(known_shape, value)
            for name, value in arguments.items()
            if any(hasattr(leaf, "shape") for leaf in tree.flatten(value))
        }
        if not shapes:
            self.built = True
            return
        wanted = _positional_parameters(type(self).build)
        before, context.names = context.names, self._names()
        try:
            with B.untraced():
                if len(wanted) <= 1 or not all(name.endswith("_shape") for name in wanted):
                    self.build(next(iter(shapes.values())))
                else:
                    by_name = {f"{name}_shape": shape for name, shape in shapes.items()}
                    self.build(**{name: by_name[name] for name in wanted if name in by_name})
        finally:
            context.names = before

    def _set_initial_weights(self) -> None:
        if self._initial_weights is not None:
            weights, self._initial_weights = self._initial_weights, None
            self.set_weights(weights)

    # calling

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The computation; to be defined by subclasses."""
        raise NotImplementedError(f"{self._label()} does not define `call(self, inputs)`.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer on tensors, NumPy arrays or symbolic tensors, building it first if need be."""
        if context.call is None and (undisturbed := current().undisturbed()) is not None:
            with undisturbed:
                return self(*args, **kwargs)
        if self._again is not None and not kwargs and len(args) == 1:
            kind, dtype, shape, version, policy, training = self._again
            x = args[0]
            if (
                type(x) is kind
                and x.shape == shape
                and x.dtype == dtype
                and version == self._version
                and policy is self._dtype_policy
                and not masks.table
                and context.inspect is None
            ):
                return self._call_again(x, training)
        self._check_initialised()
        signature = _signature(type(self).call)
        given, (args, kwargs) = args, (self._convert(args), self._convert(kwargs))
        training = kwargs.get("training")
        if not signature.training and not signature.open:
            kwargs.pop("training", None)
        leaves = args if len(args) == 1 and not kwargs and hasattr(args[0], "shape") else tree.flatten((args, kwargs))
        if any(isinstance(leaf, KerasTensor) for leaf in leaves):
            return self._call_symbolically(signature, args, kwargs)
        outer = context.call
        if outer is None:
            context.call = _Call(training)
            if context.scope is None or not context.scope.abstract:
                self._last_call = context.call
        elif training is not None and training != outer.training:
            context.call = _Call(training)
        plain = len(given) == 1 and not kwargs and given[0] is args[0] and hasattr(args[0], "shape")
        try:
            outputs = self._call_on_values(signature, args, kwargs)
        except (OpError, ShapeError, DTypeError, ArgumentError) as error:
            self._explain(error, args)
        except (TypeError, ValueError, AttributeError) as error:
            if not (hint := ragged_hint(leaves)):
                raise
            raise OpError(f"{self._label()}: {error}.{hint}") from error
        finally:
            context.call = outer
        if plain and self.activity_regularizer is None and type(self).compute_mask is Layer.compute_mask:
            x = args[0]
            default = signature.training_default or False if signature.training else None
            self._again = type(x), x.dtype, x.shape, self._version, self._dtype_policy, default
        return outputs

    def _call_again(self, x: Any, training: bool | None) -> Any:
        """The call on a tensor like that of the last call, for which everything was checked; there are no masks."""
        outer, names, cast = context.call, context.names, context.autocast
        if outer is None:
            context.call = _Call(None)
            if context.scope is None or not context.scope.abstract:
                self._last_call = context.call
        context.names = names if names and names[-1] == self.name else (*names, self.name)
        context.autocast = self._dtype_policy.compute_dtype if self.autocast else None
        try:
            if training is None:
                return self.call(x)
            inherited = context.call.training
            return self.call(x, training=training if inherited is None else inherited)
        except (OpError, ShapeError, DTypeError, ArgumentError) as error:
            self._explain(error, (x,))
        finally:
            context.call, context.names, context.autocast = outer, names, cast

    def _explain(self, error: Exception, args: tuple[Any, ...]) -> NoReturn:
        """Raise the error with the layer's name and the shapes of its inputs, unless it names the layer already."""
        if getattr(error, "layer", None) or self._label() in str(error):
            raise error
        shapes = tree.map_structure(lambda x: known_shape(x) if hasattr(x, "shape") else x, args)
        shown = shapes[0] if len(shapes) == 1 else shapes
        wrapped = type(error)(f"{self._label()}, called on inputs of shape {shown}: {error}")
        wrapped.layer = self.name  # type: ignore[attr-defined]
        raise wrapped from error

    def _named(self, signature: _Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by name; OpError where one is missing."""
        arguments = dict(zip(signature.names, args, strict=False)) | kwargs
        missing = [name for name in signature.required if name not in arguments]
        if missing:
            raise OpError(
                f"{self._label()} should be called on ({', '.join(signature.required)}); {missing[0]!r} is missing."
            )
        return arguments

    def _call_on_values(self, signature: _Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        arguments = self._named(signature, args, kwargs)
        first = args[0] if args else next(iter(arguments.values()), None)
        if self.input_spec is not None:
            check_inputs(self.input_spec, first, self)
        if not self.built:
            with _building:
                if not self.built:
                    self._maybe_build(arguments)
                    self._set_initial_weights()
            if self.input_spec is not None:
                check_inputs(self.input_spec, first, self)
        if signature.training and kwargs.get("training") is None:
            inherited = context.call.training
            kwargs["training"] = signature.training_default or False if inherited is None else inherited
        previous = tree.map_structure(masks.get_mask, first)
        masked = previous is not None and any(mask is not None for mask in tree.flatten(previous))
        for parameter, name in signature.masks.items():
            if kwargs.get(parameter) is None and name in arguments and parameter not in arguments:
                found = previous if name == signature.names[0] else tree.map_structure(masks.get_mask, arguments[name])
                if any(mask is not None for mask in tree.flatten(found)):
                    kwargs[parameter] = found
                else:
                    self._warn_of_lost_mask(arguments[name])
        before, context.names = context.names, self._names()
        cast_before, context.autocast = context.autocast, self.compute_dtype if self.autocast else None
        try:
            outputs = self.call(*args, **kwargs)
        finally:
            context.names, context.autocast = before, cast_before
        if self._shown_shape is None:
            self._shown_shape = str(tree.map_structure(known_shape, outputs))
        if context.inspect is not None:
            context.inspect(self, first, outputs)
        if self.activity_regularizer is not None:
            for leaf in tree.flatten(outputs):
                self.add_loss(self.activity_regularizer(leaf) / leaf.shape[0])  # a mean, whatever the batch size
        if masked or type(self).compute_mask is not Layer.compute_mask:
            self._pass_mask_on(first, previous, outputs)
        elif (culprit := masks.dropped_by(first)) is not None:
            for leaf in tree.flatten(outputs):
                masks.set_mask(leaf, masks.Dropped(culprit))
        return outputs

    def _pass_mask_on(self, inputs: Any, previous: Any, outputs: Any) -> None:
        if not self.supports_masking and type(self).compute_mask is Layer.compute_mask:
            for leaf in tree.flatten(outputs):
                if masks.get_mask(leaf) is None:  # layers within may have set it
                    masks.set_mask(leaf, masks.Dropped(self.name))
            return
        found = self.compute_mask(inputs, previous)
        leaves, given = tree.flatten(outputs), tree.flatten(found)
        if len(given) == 1 and len(leaves) > 1:
            given = given * len(leaves)
        for leaf, mask in zip(leaves, given, strict=False):
            if mask is not None or masks.get_mask(leaf) is None:
                masks.set_mask(leaf, mask)

    def _warn_of_lost_mask(self, value: Any) -> None:
        for leaf in tree.flatten(value):
            culprit = masks.dropped_by(leaf)
            if culprit is not None:
                warn(
                    f"{self._label()} would use a mask, but layer {culprit!r} before it received one and does not pass "
                    "masks on (`supports_masking` is False). Padding will be treated as data."
                )
                return

    def _call_symbolically(self, signature: _Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        arguments = self._named(signature, args, kwargs)
        first = args[0] if args else next(iter(arguments.values()), None)
        if self.input_spec is not None:
            check_inputs(self.input_spec, first, self)
        self._maybe_build(arguments)
        self._set_initial_weights()
        if self.input_spec is not None:
            check_inputs(self.input_spec, first, self)
        if type(self).compute_output_spec is not Layer.compute_output_spec:
            outputs = self.compute_output_spec(*args, **kwargs)
        elif type(self).compute_output_shape is not Layer.compute_output_shape:
            shapes = self.compute_output_shape(tree.map_structure(lambda x: tuple(x.shape), first))
            outputs = tree.map_shape_structure(lambda shape: KerasTensor(tuple(shape), self.compute_dtype), shapes)
        else:
            outputs = record(self, self.__call__, args, kwargs, self._identity(), lambda: self.variables)
            if outputs is None:
                raise ArgumentError(f"{self._label()}: its `call` returned None. Is a `return` missing?")
            return outputs
        Node(self, args, kwargs, outputs)
        return outputs

    def _identity(self) -> Any:
        """Equal for layers of ours that compute the same: class, arguments and number of changes since; else None."""
        if not type(self).__module__.startswith("cornu.") or self._layers:
            return None
        args, named = self._init_args
        named = {key: value for key, value in named.items() if key not in ("name", *_LEGACY)}
        return type(self), args, tuple(sorted(named.items())), self._version, self.dtype_policy

    def _convert(self, structure: Any) -> Any:
        """The arguments with NumPy arrays as tensors and floats in the compute dtype."""
        dtype = self.compute_dtype if self.autocast else None
        array_types = current().array_types

        def convert(leaf: Any) -> Any:
            if isinstance(leaf, array_types):
                if isinstance(leaf, np.ndarray | np.generic):
                    leaf = tensor(leaf, self)
            elif isinstance(leaf, Variable):
                leaf = leaf.value
            elif isinstance(leaf, KerasTensor):
                if dtype is not None and is_float(leaf.dtype) and leaf.dtype != dtype:
                    return ops.cast(leaf, dtype)
                return leaf
            elif hasattr(leaf, "__array__") and hasattr(leaf, "shape"):
                leaf = tensor(leaf, self)
            else:
                return leaf
            if dtype is not None and is_float(found := standardize_dtype(leaf.dtype)) and found != dtype:
                mask = masks.get_mask(leaf)
                leaf = B.cast(leaf, dtype)
                masks.set_mask(leaf, mask)
            return leaf

        if isinstance(structure, tuple) and len(structure) == 1 and hasattr(structure[0], "shape"):
            return (convert(structure[0]),)
        return tree.map_structure(convert, structure)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output for inputs of this shape, a tuple or a nest of tuples."""
        inputs = tree.map_shape_structure(lambda s: KerasTensor(tuple(s), self.compute_dtype), input_shape)
        return tree.map_structure(lambda t: t.shape, Layer.compute_output_spec(self, inputs))

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Symbolic tensors like those the layer would return for symbolic arguments; nothing is recorded."""
        self._maybe_build(dict(zip(_signature(type(self).call).names, args, strict=False)) | kwargs)
        return symbols(infer(*of_arrays(self, args, kwargs)))

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """As calling the layer on symbolic tensors."""
        return self(*args, **kwargs)

    def stateless_call(
        self,
        trainable_variables: Iterable[Any],
        non_trainable_variables: Iterable[Any],
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Call with these values for the variables: `(outputs, new non-trainable values)`, then losses if asked."""
        self._check_built("be called statelessly")
        groups = self.trainable_variables, self.non_trainable_variables
        with StateScope(pairs(groups, (trainable_variables, non_trainable_variables))) as scope:
            outputs = self(*args, **kwargs)
            losses = self.losses if return_losses else None
            updated = [scope.values[v] for v in groups[1]]
        self._last_call = None
        return (outputs, updated, losses) if return_losses else (outputs, updated)

    # masks and losses

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the outputs; by default that of the inputs."""
        return previous_mask

    def add_loss(self, loss: Any) -> None:
        """Add a scalar (or several, or tensors whose mean is taken) to the loss, from within `call`."""
        if self._losses_call is not context.call:
            self._call_losses, self._losses_call = [], context.call
        for one in tree.flatten(loss):
            self._call_losses.append(one)

    @property
    def losses(self) -> list[Any]:
        """Scalars added to the loss: by `add_loss` in the last call, and by the regularizers of the weights."""
        current_call = context.call or self._last_call
        found = []
        for layer in self._flatten_layers():
            if layer._losses_call is not None and layer._losses_call is current_call:
                found += layer._call_losses
        found += [w.regularizer(w.value) for w in self.trainable_weights if w.regularizer is not None]
        return found

    # graph

    @property
    def input(self) -> Any:
        """The symbolic inputs of the layer's first call in a Functional model."""
        args = self._first_node().args
        return args[0] if len(args) == 1 else list(args)

    @property
    def output(self) -> Any:
        """The symbolic outputs of the layer's first call in a Functional model."""
        return self._first_node().outputs

    def _first_node(self) -> Node:
        if not self.nodes:
            raise StateError(f"{self._label()} has not been called on symbolic tensors yet: it has no input or output.")
        return self.nodes[0]

    # configuration and files

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain data, in Keras' form."""
        config = super().get_config()
        for name, neutral in (("activity_regularizer", None), ("autocast", True)):
            if name in config and config[name] is neutral:
                del config[name]
        head = {name: config.pop(name) for name in ("name", "trainable", "dtype") if name in config}
        return head | config

    def _config_value(self, name: str, value: Any) -> Any:
        return self.dtype_policy if name == "dtype" else value

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Put the layer's own weights into `store`, a mapping."""
        for i, weight in enumerate(self._own_weights):
            store[str(i)] = weight

    def load_own_variables(self, store: dict[str, Any]) -> None:
        """Take the layer's own weights from `store`. Raises ShapeError where they do not fit."""
        own = self._own_weights
        if len(store) != len(own):
            state = "" if self.built else " It is not built yet: call it on data, or `build` it, before loading."
            raise ShapeError(f"{self._label()} has {len(own)} weights, the file holds {len(store)} for it.{state}")
        for i, weight in enumerate(own):
            weight.assign(np.asarray(store[str(i)]))

    # messages

    def _label(self) -> str:
        return f"Layer {self.name!r} ({type(self).__name__})"

    @classmethod
    def _parameter_names(cls) -> list[str]:
        from_mro = [inspect.signature(base.__init__).parameters for base in cls.__mro__ if "__init__" in vars(base)]  # type: ignore[misc]
        names = dict.fromkeys(n for parameters in from_mro for n in parameters)
        return [name for name in names if name not in ("self", "args", "kwargs")]

    def _check_initialised(self) -> None:
        if "name" not in self.__dict__:
            raise StateError(
                f"{type(self).__name__}.__init__ did not call `super().__init__()`. Add "
                "`super().__init__(**kwargs)` to it."
            )

    def _check_built(self, purpose: str) -> None:
        if not self.built:
            raise StateError(
                f"{self._label()} is not built yet, so it cannot {purpose}: its weights do not exist. Call it on data, "
                "call `build(input_shape)`, or begin the model with an `Input`."
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _remembering(build: Callable[..., None]) -> Callable[..., None]:
    """`build` within the layer's name scope; afterwards the layer knows its shapes and that it is built."""

    names = list(inspect.signature(build).parameters)[1:]

    @functools.wraps(build)
    def wrapped(self: Layer, *args: Any, **kwargs: Any) -> None:
        before, context.names = context.names, self._names()
        try:
            build(self, *args, **kwargs)
        finally:
            context.names = before
        self._build_shapes = dict(zip(names, args, strict=False)) | kwargs
        self.built = True

    return wrapped


def _as_shapes(structure: Any) -> Any:
    """A shape, or a nest of them, with the lists that JSON makes of them as tuples."""
    return tree.map_shape_structure(lambda shape: None if shape is None else tuple(shape), structure)


def _legacy_input_shape(legacy: dict[str, Any], layer: Layer) -> Shape | None:
    """The shape named by Keras 1 and 2's keywords on a model's first layer."""
    for key in ("input_dim", "input_length", "batch_size"):
        if legacy.get(key) is not None:
            positive_int(legacy[key], key, layer)
    if legacy.get("batch_input_shape") is not None:
        return standardize_shape(legacy["batch_input_shape"], "batch_input_shape")
    batch = legacy.get("batch_size")
    if legacy.get("input_shape") is not None:
        shape = legacy["input_shape"]
        return (batch, *standardize_shape((shape,) if isinstance(shape, int) else shape, "input_shape"))
    if legacy.get("input_length") is not None and legacy.get("input_dim") is None:
        return (batch, legacy["input_length"])
    if legacy.get("input_dim") is not None:
        length = (legacy["input_length"],) if legacy.get("input_length") is not None else ()
        return (batch, *length, legacy["input_dim"])
    return None
