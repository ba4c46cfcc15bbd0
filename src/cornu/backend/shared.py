"""Bodies over an array namespace `xp` (NumPy's spelling), for backends that have one."""

from __future__ import annotations

import functools
import math
from typing import Any

from cornu.backend.contract import Array, Backend, Ints, Pairs
from cornu.base.dtypes import standardize_dtype

_SAME_NAME = """
abs arccos arccosh arcsin arcsinh arctan arctanh cbrt ceil conj cos cosh exp expm1 floor imag isfinite isinf isnan log
log1p logical_not negative real rint sign sin sinh sqrt tan tanh bitwise_not
add arctan2 bitwise_and bitwise_or bitwise_xor divide equal floor_divide fmod gcd greater greater_equal left_shift
less less_equal logical_and logical_or logical_xor maximum minimum mod multiply nextafter not_equal power right_shift
subtract
all any max min prod sum cumprod cumsum sort
broadcast_to concatenate expand_dims flip repeat reshape searchsorted squeeze stack take_along_axis tile transpose where
einsum matmul tensordot correlate
""".split()
_LINALG = "cholesky det eig eigh pinv qr slogdet solve svd".split()


class NamespaceBackend(Backend):
    """A backend whose namespace `xp` follows NumPy."""

    def __init__(self, xp: Any) -> None:
        super().__init__()
        self.xp = xp
        for names, space in ((_SAME_NAME, xp), (_LINALG, xp.linalg)):
            for name in names:
                if not hasattr(type(self), name):
                    setattr(self, name, getattr(space, name))

    def full(self, shape: Ints, value: Any, dtype: str) -> Array:
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

    def fftn(self, x: Array, axes: Ints) -> Array:
        return self.xp.fft.fftn(x, axes=axes)

    def ifftn(self, x: Array, axes: Ints) -> Array:
        return self.xp.fft.ifftn(x, axes=axes)

    def irfft(self, x: Array, n: int) -> Array:
        return self.xp.fft.irfft(x, n)

    def rfft(self, x: Array, n: int) -> Array:
        return self.xp.fft.rfft(x, n)

    def conv_by_patches(
        self,
        x: Array,  # (batch, *spatial, in)
        kernel: Array,  # (*window, in // groups, out)
        strides: Ints,
        padding: Pairs,
        dilation: Ints,
        input_dilation: Ints,
        groups: int,
    ) -> Array:
        """Convolution as one matrix product of the gathered patches (im2col)."""
        x = self.pad_spatial(self.dilate_spatial(x, input_dilation), padding, 0)
        *window, depth, filters = kernel.shape
        if depth == 1 and groups > 1:
            return self._depthwise(x, kernel, strides, dilation, filters // groups)
        for axis in reversed(range(1, x.ndim - 1)):
            # Axis by axis, last first: 3 + 3 slices for a 3×3 window instead of 9, and 12 % less time on XLA:CPU.
            parts = shifted(x, axis, window[axis - 1], strides[axis - 1], dilation[axis - 1])
            x = self.stack(parts, -2)
            # (batch, *spatial, window along the axes so far · in)
            x = self.reshape(x, (*x.shape[:-2], x.shape[-2] * x.shape[-1]))
        batch, *spatial, _ = x.shape
        size = math.prod(window)
        if groups == 1:
            flat = self.matmul(self.reshape(x, (-1, size * depth)), self.reshape(kernel, (-1, filters)))
        else:
            weights = self.reshape(kernel, (size, depth, groups, filters // groups))
            flat = self.einsum("rwgd,wdgf->rgf", self.reshape(x, (-1, size, groups, depth)), weights)
        return self.reshape(flat, (batch, *spatial, filters))

    def _depthwise(self, x: Array, kernel: Array, strides: Ints, dilation: Ints, multiplier: int) -> Array:
        """Each channel by kernels of its own: a weighted sum of the shifted images, which is one loop on XLA:CPU.

        Over (8, 28, 28, 128) by 3×3 it takes 0.5 ms, the product of gathered patches 70, XLA's own convolution 21.
        """
        *window, _, filters = kernel.shape
        dtype = standardize_dtype(x.dtype)
        wide = "float32" if dtype in ("bfloat16", "float16") else dtype
        images = [self.repeat(self.cast(x, wide), multiplier, -1)]
        for axis, (width, stride, gap) in enumerate(zip(window, strides, dilation, strict=True), 1):
            images = [part for image in images for part in shifted(image, axis, width, stride, gap)]
        weights = self.reshape(self.cast(kernel, wide), (-1, filters))
        return self.cast(functools.reduce(self.add, (image * weights[i] for i, image in enumerate(images))), dtype)

    def pool_by_slices(self, x: Array, window: Ints, strides: Ints, padding: Pairs, mode: str) -> Array:
        """Pooling as a running maximum or sum of the shifted images, axis by axis."""
        x = self.pad_spatial(x, padding, self.lowest(x.dtype) if mode == "max" else 0)
        combine = self.maximum if mode == "max" else self.add
        for axis in reversed(range(1, x.ndim - 1)):
            x = functools.reduce(combine, shifted(x, axis, window[axis - 1], strides[axis - 1], 1))
        return x

    def lowest(self, dtype: Any) -> Any:
        """The least value of a dtype: -inf for floats."""
        return -math.inf if "float" in str(dtype) else self.xp.iinfo(dtype).min

    def pad_spatial(self, x: Array, padding: Pairs, value: Any) -> Array:
        """(batch, *spatial, channels) padded along the spatial axes."""
        if not any(low or high for low, high in padding):
            return x
        return self.pad(x, [(0, 0), *padding, (0, 0)], constant_values=value)

    def dilate_spatial(self, x: Array, dilation: Ints) -> Array:
        """(batch, *spatial, channels) with `dilation - 1` zeros between spatial neighbours."""
        for axis, factor in enumerate(dilation, 1):
            if factor > 1:
                size = x.shape[axis]
                widths = [(0, 0)] * (x.ndim + 1)
                widths[axis + 1] = (0, factor - 1)
                spread = self.pad(self.expand_dims(x, axis + 1), widths)
                spread = self.reshape(spread, (*x.shape[:axis], size * factor, *x.shape[axis + 1 :]))
                x = spread[(slice(None),) * axis + (slice(0, (size - 1) * factor + 1),)]
        return x


def shifted(x: Array, axis: int, width: int, stride: int, gap: int) -> list[Array]:
    """For each offset of a window along the axis, the elements of `x` that it meets."""
    span = ((x.shape[axis] - (width - 1) * gap - 1) // stride) * stride + 1
    before = (slice(None),) * axis
    return [x[(*before, slice(o * gap, o * gap + span, stride))] for o in range(width)]
