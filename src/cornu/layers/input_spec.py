"""What a layer expects of its inputs."""

from __future__ import annotations

from typing import Any

from cornu.base import tree
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, DTypeError, ShapeError
from cornu.base.spec import standardize_shape
from cornu.core.configurable import Configurable
from cornu.core.state import known_shape


class InputSpec(Configurable):
    """Expected rank (`ndim`, `min_ndim`, `max_ndim`), `shape`, `dtype` and sizes at some `axes` of one input.

    Sizes of None are free; with `allow_last_axis_squeeze` a last axis of size 1 may be missing or extra.
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = None if dtype is None else standardize_dtype(dtype)
        self.shape = None if shape is None else standardize_shape(shape)
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim, self.min_ndim, self.name, self.optional = max_ndim, min_ndim, name, optional
        self.axes = {int(axis): size for axis, size in (axes or {}).items()}
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        most = self.ndim if self.ndim is not None else max_ndim
        if most is not None and self.axes and max(self.axes) >= most:
            raise ArgumentError(f"InputSpec: axis {max(self.axes)} does not exist with at most {most} axes.")


def check_inputs(spec: Any, inputs: Any, layer: Any) -> None:
    """Raise ShapeError, DTypeError or ArgumentError unless `inputs` are what `spec` (a nest of InputSpec) says."""
    if isinstance(spec, InputSpec) and spec.name is None and not tree.is_nested(inputs):
        _check(spec, inputs, layer, "")
        return
    if isinstance(spec, dict) and isinstance(inputs, dict):
        missing = [name for name in spec if name not in inputs]
        if missing:
            raise ArgumentError(f"{layer._label()}: inputs lack {', '.join(map(repr, missing))}; got {list(inputs)}.")
        for name in spec:
            check_inputs(spec[name], inputs[name], layer)
        return
    specs, leaves = tree.flatten(spec), tree.flatten(inputs)
    if len(specs) != len(leaves):
        raise ArgumentError(
            f"{layer._label()} expects {len(specs)} input{'s' * (len(specs) != 1)}, got {len(leaves)}: "
            f"{[tuple(getattr(leaf, 'shape', ())) for leaf in leaves]}."
        )
    for i, (one, leaf) in enumerate(zip(specs, leaves, strict=True)):
        if one is not None:
            _check(one, leaf, layer, f" {one.name!r}" if one.name else f" {i}" if len(specs) > 1 else "")


def _check(spec: InputSpec, x: Any, layer: Any, which: str) -> None:
    if x is None and spec.optional:
        return
    if not hasattr(x, "shape"):
        raise DTypeError(f"{layer._label()}: input{which} should be a tensor, got {x!r} ({type(x).__name__}).")
    shape = known_shape(x)
    rank = len(shape)

    def fail(expected: str) -> ShapeError:
        return ShapeError(f"{layer._label()}: input{which} should have {expected}, got shape {shape}.{hint}")

    hint = ""
    if spec.ndim is not None and rank != spec.ndim and not spec.allow_last_axis_squeeze:
        if rank == spec.ndim - 1:
            hint = " Is the batch or the channel axis missing? `x[None]` adds one in front, `x[..., None]` behind."
        raise fail(f"{spec.ndim} axes")
    if spec.max_ndim is not None and rank > spec.max_ndim:
        raise fail(f"at most {spec.max_ndim} axes")
    if spec.min_ndim is not None and rank < spec.min_ndim:
        hint = " Is the batch axis missing? `x[None]` adds one." if rank == spec.min_ndim - 1 else ""
        raise fail(f"at least {spec.min_ndim} axes")
    if spec.dtype is not None and standardize_dtype(x.dtype) != spec.dtype:
        raise DTypeError(
            f"{layer._label()}: input{which} should have dtype {spec.dtype}, got {standardize_dtype(x.dtype)}; "
            "cast it first."
        )
    for axis, size in spec.axes.items():
        if size is not None and shape[axis] not in (size, None):
            raise fail(f"size {size} at axis {axis}")
    if spec.shape is not None:
        expected, found = spec.shape, shape
        if spec.allow_last_axis_squeeze:
            expected = expected[:-1] if expected and expected[-1] == 1 else expected
            found = found[:-1] if found and found[-1] == 1 else found
        fits = len(expected) == len(found) and all(
            a is None or b is None or a == b for a, b in zip(expected, found, strict=True)
        )
        if not fits:
            raise fail(f"shape {spec.shape}")
