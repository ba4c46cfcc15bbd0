"""Functions of JAX, and modules of Flax, as layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax

from cornu.backend import B
from cornu.base import tree
from cornu.base.dtypes import is_float, standardize_dtype
from cornu.base.errors import ArgumentError, StateError
from cornu.core.variable import Variable
from cornu.layers.checks import require_backend
from cornu.layers.layer import Layer
from cornu.random import SeedGenerator

_OFFERED = ("params", "state", "rng", "inputs", "training")


class JaxLayer(Layer):
    """call_fn(params, state, rng, inputs, training), a pure function of JAX, as a layer.

    `call_fn` takes those of the five that it names and returns the outputs, or with `state` (outputs, new state).
    `params` and `state` are nests of arrays: given, or made by `init_fn(rng, inputs, training)`, which names what it
    takes likewise and returns the params, or (params, state). Only on the backend JAX. Files name the functions, which
    have to be registered; they hold the weights, for which `init_fn` makes the places.
    """

    def __init__(
        self,
        call_fn: Callable[..., Any],
        init_fn: Callable[..., Any] | None = None,
        params: Any = None,
        state: Any = None,
        seed: int | None = None,
        native_serialization_platforms: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_backend(self, "jax")
        self.call_fn, self.init_fn, self.seed = call_fn, init_fn, seed
        self.native_serialization_platforms = native_serialization_platforms
        self._call_takes = _taken(self, "call_fn", call_fn)
        if init_fn is None and params is None and state is None and {"params", "state"} & {*self._call_takes}:
            raise ArgumentError(f"{self._label()}: give `init_fn`, or the `params` and `state` themselves.")
        self._init_takes = None if init_fn is None else _taken(self, "init_fn", init_fn)
        self.seed_generator = SeedGenerator(seed) if "rng" in self._call_takes else None
        self._kept: list[Any] = []
        self.params = self.state = None
        if params is not None or state is not None:
            self._keep(params, state)
            self.built = True

    def _keep(self, params: Any, state: Any) -> None:
        """Make weights of both nests."""
        for name, nest, trainable in (("params", params, True), ("state", state, False)):
            leaves, form = jax.tree.flatten(_plain(nest))
            variables = [_weight(leaf, trainable) for leaf in leaves]
            self._kept += variables  # in JAX's order; the nests may be of kinds that only JAX looks into
            setattr(self, name, jax.tree.unflatten(form, variables))

    def build(self, input_shape: Any) -> None:
        if self.init_fn is None or self._init_takes is None or not {"params", "state"} & {*self._call_takes}:
            return
        inputs = tree.map_shape_structure(
            lambda shape: B.zeros([size or 1 for size in shape], self.compute_dtype), input_shape
        )
        with B.untraced():
            made = self._offer(self._init_takes, self.init_fn, inputs, True, None, None)
        if "state" in self._call_takes:
            if not (isinstance(made, tuple) and len(made) == 2):
                raise ArgumentError(
                    f"{self._label()}: init_fn should return (params, state), since call_fn takes both."
                )
            self._keep(*made)
        else:
            self._keep(made, None)

    def _offer(
        self, takes: list[str], fn: Callable[..., Any], inputs: Any, training: bool, params: Any, state: Any
    ) -> Any:
        offered = {"params": params, "state": state, "inputs": inputs, "training": training}
        if "rng" in takes:
            offered["rng"] = (self.seed_generator or SeedGenerator(self.seed)).next()
        return fn(*(offered[name] for name in takes))

    def call(self, inputs: Any, training: bool = False) -> Any:
        require_backend(self, "jax")
        params, state = (jax.tree.map(_value, nest) for nest in (self.params, self.state))
        result = self._offer(self._call_takes, self.call_fn, inputs, training, params, state)
        if "state" not in self._call_takes:
            return result
        if not (isinstance(result, tuple) and len(result) == 2):
            raise ArgumentError(f"{self._label()}: call_fn takes `state`, so it should return (outputs, new state).")
        outputs, state = result
        new, form = jax.tree.flatten(_plain(state))
        if form != jax.tree.structure(self.state):
            raise ArgumentError(
                f"{self._label()}: call_fn should return the new state in the form of the old one, "
                f"{jax.tree.structure(self.state)}, got {form}."
            )
        for variable, value in zip(jax.tree.leaves(self.state), new, strict=True):
            if isinstance(variable, Variable):
                variable.assign(value)
        return outputs

    def _config_value(self, name: str, value: Any) -> Any:
        if name not in ("params", "state", "variables"):
            return super()._config_value(name, value)
        if self.init_fn is None and self.weights:
            raise StateError(f"{self._label()}: no file holds `params` and `state`. Give `init_fn`, which makes them.")
        return None


class FlaxLayer(JaxLayer):
    """A module of Flax (linen) as a layer; `method` is called in place of `__call__`.

    `variables` are those of the module, else its `init` makes them. Collections other than "params" are state. The
    module is given `training` if its method takes it, and a random key as "params" and "dropout".
    """

    _left_out = ("call_fn", "init_fn", "params", "state")

    def __init__(self, module: Any, method: Any = None, variables: Any = None, **kwargs: Any) -> None:
        if not (hasattr(module, "init") and hasattr(module, "apply")):
            raise ArgumentError(f"FlaxLayer: module should be a flax.linen.Module, got {type(module).__name__}.")
        self.module, self.method = module, method
        function = getattr(type(module), method or "__call__") if not callable(method) else method
        takes_training = "training" in inspect.signature(function).parameters
        options = {} if method is None else {"method": method}

        def apply(params: Any, state: Any, rng: Any, inputs: Any, training: bool) -> Any:
            collections = {} if params is None else {"params": params}
            said = {"training": training} if takes_training else {}
            state = state or {}
            return module.apply(
                {**collections, **state},
                inputs,
                rngs={"dropout": rng},
                mutable=list(state),
                **options,
                **said,
            )

        def initial(rng: Any, inputs: Any, training: bool) -> Any:
            said = {"training": training} if takes_training else {}
            return split(module.init({"params": rng, "dropout": rng}, inputs, **options, **said))

        def split(variables: Any) -> Any:
            found = dict(variables)
            return found.pop("params", None), found

        params, state = (None, None) if variables is None else split(variables)
        super().__init__(apply, initial, params, state, **kwargs)

    def _config_value(self, name: str, value: Any) -> Any:
        if name == "method" and getattr(value, "__self__", None) is self.module:
            return value.__name__
        return super()._config_value(name, value)


def _taken(layer: Layer, what: str, fn: Callable[..., Any]) -> list[str]:
    """Which of the arguments on offer the function takes."""
    names = list(inspect.signature(fn).parameters)
    wrong = [name for name in names if name not in _OFFERED]
    if wrong or "inputs" not in names:
        raise ArgumentError(
            f"{layer._label()}: {what} should take `inputs`, and of the rest only {', '.join(_OFFERED)}, "
            f"got the parameters {', '.join(names)}."
        )
    return names


def _plain(nest: Any) -> Any:
    """A nest whose mappings are dicts."""
    if hasattr(nest, "items"):
        return {key: _plain(value) for key, value in nest.items()}
    if isinstance(nest, list | tuple) and not hasattr(nest, "_fields"):
        return type(nest)(map(_plain, nest))
    return nest


def _weight(leaf: Any, trainable: bool) -> Any:
    """A variable in the place of an array; integers do not learn. What else there is stays."""
    if not isinstance(leaf, int | float) and not hasattr(leaf, "shape"):
        return leaf
    return Variable(leaf, trainable=trainable and is_float(standardize_dtype(B.convert(leaf).dtype)), name="weight")


def _value(variable: Any) -> Any:
    return variable.value if isinstance(variable, Variable) else variable
