"""Functions of `keras.backend` as Keras 1 and 2 had them, where `ops` has another order of arguments or other defaults.

Those that `ops` has alike are named in `cornu.backend`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cornu import activations, ops
from cornu.base.config import floatx
from cornu.core import configurable
from cornu.core.variable import Variable


def _batch_dot(x: Any, y: Any, axes: Any = None) -> Any:
    axes = (len(x.shape) - 1, max(len(y.shape) - 2, 1)) if axes is None else axes
    return configurable.find("Dot", "keras.layers")(axes, name="batch_dot")([x, y])


def _switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """The axes of the condition are the first ones of the expressions, arrays or functions that return them."""
    both = [ops.convert_to_tensor(e() if callable(e) else e) for e in (then_expression, else_expression)]
    missing = range(len(condition.shape), max(len(e.shape) for e in both))
    return ops.where(ops.expand_dims(ops.cast(condition, "bool"), tuple(missing)), *both)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "argmax": lambda x, axis=-1: ops.argmax(x, axis),
    "argmin": lambda x, axis=-1: ops.argmin(x, axis),
    "batch_dot": _batch_dot,
    "batch_flatten": lambda x: ops.reshape(x, (ops.shape(x)[0], -1)),
    "cast_to_floatx": lambda x: ops.cast(x, floatx()),
    "clip": lambda x, min_value, max_value: ops.clip(x, min_value, max_value),
    "concatenate": lambda tensors, axis=-1: ops.concatenate(tensors, axis),
    "constant": lambda value, dtype=None, shape=(), name=None: ops.broadcast_to(
        ops.convert_to_tensor(value, dtype or floatx()), shape or ops.shape(value)
    ),
    "cumprod": lambda x, axis=0: ops.cumprod(x, axis),
    "cumsum": lambda x, axis=0: ops.cumsum(x, axis),
    "expand_dims": lambda x, axis=-1: ops.expand_dims(x, axis),
    "flatten": lambda x: ops.reshape(x, (-1,)),
    "gather": lambda reference, indices: ops.take(reference, indices, 0),
    "hard_sigmoid": lambda x: ops.clip(0.2 * x + 0.5, 0, 1),
    "int_shape": lambda x: tuple(x.shape),
    "l2_normalize": lambda x, axis=None: x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis, True), 1e-12)),
    "relu": lambda x, alpha=0.0, max_value=None, threshold=0.0: activations.relu(x, alpha, max_value, threshold),
    "repeat": lambda x, n: ops.repeat(ops.expand_dims(x, 1), n, 1),
    "set_value": lambda x, value: x.assign(value),
    "switch": _switch,
    "update_add": lambda x, increment: x.assign_add(increment),
    "update_sub": lambda x, decrement: x.assign_sub(decrement),
    "variable": lambda value, dtype=None, name=None: Variable(value, dtype=dtype or floatx(), name=name),
}
globals().update(_FUNCTIONS)
