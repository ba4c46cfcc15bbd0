"""Bodies over an array namespace `xp` (NumPy's spelling), for backends that have one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from cornu.backend.contract import Array, Backend, Pairs
from cornu.base.errors import BackendMismatchError

_SAME_NAME = """
abs arccos arccosh arcsin arcsinh arctan arctanh ceil conj cos cosh exp expm1 floor imag isfinite isinf isnan log log1p
logical_not negative real rint sign sin sinh sqrt tan tanh bitwise_not
add arctan2 bitwise_and bitwise_or bitwise_xor divide equal floor_divide greater greater_equal left_shift less
less_equal logical_and logical_or logical_xor maximum minimum mod multiply not_equal power right_shift subtract
all any max min prod sum cumprod cumsum sort
broadcast_to concatenate expand_dims flip repeat reshape squeeze stack take_along_axis tile transpose where
einsum matmul tensordot
""".split()
_FRAMEWORKS = {"jax": "jax", "jaxlib": "jax", "torch": "torch", "tensorflow": "tensorflow"}


class NamespaceBackend(Backend):
    """A backend whose namespace `xp` follows NumPy."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        for name in _SAME_NAME:
            if not hasattr(type(self), name):
                setattr(self, name, getattr(xp, name))

    def full(self, shape: Sequence[int], value: Any, dtype: str) -> Array:
        return self.xp.full(tuple(shape), value, self.canonical_dtype(dtype))

    def arange(self, start: float, stop: float, step: float, dtype: str) -> Array:
        return self.xp.arange(start, stop, step, self.canonical_dtype(dtype))

    def argmax(self, x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
        return self.xp.argmax(x, axis=axis, keepdims=keepdims).astype("int32")

    def argmin(self, x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
        return self.xp.argmin(x, axis=axis, keepdims=keepdims).astype("int32")

    def argsort(self, x: Array, axis: int = -1) -> Array:
        return self.xp.argsort(x, axis=axis, stable=True).astype("int32")

    def pad(self, x: Array, pairs: Pairs, mode: str = "constant", constant_values: Any = 0) -> Array:
        if mode == "constant":
            return self.xp.pad(x, pairs, mode, constant_values=constant_values)
        return self.xp.pad(x, pairs, mode)

    def check_foreign(self, x: Any) -> None:
        """Raises BackendMismatchError if `x` is an array of another framework."""
        framework = _FRAMEWORKS.get(type(x).__module__.partition(".")[0])
        if framework is not None and framework != self.name:
            raise BackendMismatchError(
                f"A {framework} array of shape {tuple(getattr(x, 'shape', ()))} met the backend {self.name!r}. "
                "Convert it "
                f"(`numpy.asarray(x)`) or run the call under `cornu.config.backend_scope({framework!r})`."
            )

    def conv_by_patches(
        self,
        x: Array,  # (batch, *spatial, in)
        kernel: Array,  # (*window, in // groups, out)
        strides: Sequence[int],
        padding: Pairs,
        dilation: Sequence[int],
        input_dilation: Sequence[int],
        groups: int,
    ) -> Array:
        """Convolution as one matrix product of the gathered patches (im2col)."""
        xp = self.xp
        x = self.pad_spatial(self.dilate_spatial(x, input_dilation), padding, 0)
        *window, depth, filters = kernel.shape
        slices = [x[at] for at in patch_slices(x.shape[1:-1], window, strides, dilation)]
        batch, *spatial, channels = slices[0].shape
        if groups == 1:
            patches = slices[0] if len(slices) == 1 else xp.concatenate(slices, -1)  # (batch, *spatial, window · in)
            flat = xp.matmul(patches.reshape(-1, len(slices) * depth), kernel.reshape(-1, filters))
            return flat.reshape(batch, *spatial, filters)
        if depth == 1:  # depthwise: a weighted sum of the shifted images
            weights = kernel.reshape(len(slices), channels, filters // groups)
            terms = (part[..., None] * weight for part, weight in zip(slices, weights, strict=True))
            return sum(terms).reshape(batch, *spatial, filters)
        grouped = xp.stack([part.reshape(-1, groups, depth) for part in slices], 2)  # (rows, groups, window, depth)
        weights = kernel.reshape(len(slices), depth, groups, filters // groups)
        flat = xp.einsum("rgwd,wdgf->rgf", grouped, weights)
        return flat.reshape(batch, *spatial, filters)

    def pool_by_slices(
        self, x: Array, window: Sequence[int], strides: Sequence[int], padding: Pairs, mode: str
    ) -> Array:
        """Pooling as a running maximum or sum of the shifted images."""
        neutral = self.lowest(x.dtype) if mode == "max" else 0
        x = self.pad_spatial(x, padding, neutral)
        combine = self.xp.maximum if mode == "max" else self.xp.add
        parts = (x[at] for at in patch_slices(x.shape[1:-1], window, strides, (1,) * len(window)))
        result = next(parts)
        for part in parts:
            result = combine(result, part)
        return result

    def lowest(self, dtype: Any) -> Any:
        """The least value of a dtype: -inf for floats."""
        return -math.inf if "float" in str(dtype) else self.xp.iinfo(dtype).min

    def pad_spatial(self, x: Array, padding: Pairs, value: Any) -> Array:
        """(batch, *spatial, channels) padded along the spatial axes."""
        if not any(low or high for low, high in padding):
            return x
        return self.xp.pad(x, [(0, 0), *padding, (0, 0)], constant_values=value)

    def dilate_spatial(self, x: Array, dilation: Sequence[int]) -> Array:
        """(batch, *spatial, channels) with `dilation - 1` zeros between spatial neighbours."""
        for axis, factor in enumerate(dilation, 1):
            if factor > 1:
                size = x.shape[axis]
                widths = [(0, 0)] * (x.ndim + 1)
                widths[axis + 1] = (0, factor - 1)
                spread = self.xp.pad(self.xp.expand_dims(x, axis + 1), widths)
                spread = spread.reshape(*x.shape[:axis], size * factor, *x.shape[axis + 1 :])
                x = spread[(slice(None),) * axis + (slice(0, (size - 1) * factor + 1),)]
        return x


def patch_slices(
    spatial: Sequence[int], window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> list[tuple[slice, ...]]:
    """For each offset within the window, the index that picks the elements it meets from (batch, *spatial, …)."""
    spans = [
        ((size - (width - 1) * gap - 1) // stride) * stride + 1
        for size, width, stride, gap in zip(spatial, window, strides, dilation, strict=True)
    ]
    return [
        (
            slice(None),
            *(slice(o * d, o * d + span, s) for o, d, span, s in zip(offset, dilation, spans, strides, strict=True)),
        )
        for offset in product(*(range(width) for width in window))
    ]
