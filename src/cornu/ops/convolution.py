"""Convolutions, pooling, and what cuts images into blocks and patches. `"same"` and layouts are resolved here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.backend.shared import shifted
from cornu.base import config
from cornu.base.checks import whole
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, ShapeError, bad_choice
from cornu.core.op import Tensor, op
from cornu.ops.reduction import mean


def each(value: Any, rank: int, name: str, least: int = 1) -> tuple[int, ...]:
    """An int for each of the `rank` axes, from one for all of them or as many."""
    values = tuple(value) if isinstance(value, list | tuple) else (value,) * rank
    if len(values) != rank or any(not isinstance(v, int) or v < least for v in values):
        kind = "a positive int" if least else "an int from 0"
        raise ArgumentError(f"{name} should be {kind} or {rank} of them, got {value!r}.")
    return values


def _same(size: int, window: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def explicit_padding(
    padding: Any, sizes: Sequence[int], windows: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    """`"valid"`, `"same"`, `"causal"`, an int or pairs, as pairs; `windows` are those after dilation."""
    if isinstance(padding, str):
        kind = padding.lower()
        if kind == "valid":
            return [(0, 0)] * len(sizes)
        if kind == "same":
            return [_same(*three) for three in zip(sizes, windows, strides, strict=True)]
        if kind == "causal" and len(sizes) == 1:
            return [(windows[0] - 1, 0)]
        raise bad_choice("padding", padding, ("valid", "same", "causal") if len(sizes) == 1 else ("valid", "same"))
    pairs = [padding] * len(sizes) if isinstance(padding, int) else list(padding)
    return [(pair, pair) if isinstance(pair, int) else tuple(pair) for pair in pairs]


def to_last(x: Array, data_format: str) -> Array:
    """(batch, channels, *spatial) as (batch, *spatial, channels), where that is the data format."""
    return B.transpose(x, (0, *range(2, x.ndim), 1)) if data_format == "channels_first" else x


def from_last(x: Array, data_format: str) -> Array:
    """The inverse of `to_last`."""
    return B.transpose(x, (0, x.ndim - 1, *range(1, x.ndim - 1))) if data_format == "channels_first" else x


@op
def conv(
    inputs: Tensor,
    kernel: Tensor,
    strides: Any = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Array:
    """Cross-correlation of images with a kernel.

    (batch, *spatial, in) and (*window, in // groups, out) to (batch, *spatial, out); with `"channels_first"` the
    channels stand after the batch. Groups follow from the kernel's depth. Raises ShapeError where depths disagree.

    >>> ops.conv(ops.ones((1, 8, 8, 3)), ops.ones((3, 3, 3, 16)), padding="same").shape
    (1, 8, 8, 16)
    >>> ops.conv(ops.ones((1, 8, 8, 4)), ops.ones((3, 3, 2, 6))).shape  # in two groups
    (1, 6, 6, 6)
    """
    data_format = config.standardize_data_format(data_format)
    x = to_last(inputs, data_format)
    rank = x.ndim - 2
    if kernel.ndim != rank + 2:
        raise ShapeError(
            f"conv: inputs of shape {tuple(inputs.shape)} need a kernel of {rank + 2} axes, got shape "
            f"{tuple(kernel.shape)}."
        )
    channels, depth, filters = x.shape[-1], kernel.shape[-2], kernel.shape[-1]
    if channels % depth or filters % (channels // depth):
        raise ShapeError(
            f"conv: {channels} channels in inputs of shape {tuple(inputs.shape)} ({data_format}) do not fit a kernel "
            f"of shape {tuple(kernel.shape)}: its depth {depth} should divide them, and the groups should divide "
            f"{filters}."
        )
    strides, dilation = each(strides, rank, "strides"), each(dilation_rate, rank, "dilation_rate")
    windows = [(k - 1) * d + 1 for k, d in zip(kernel.shape[:-2], dilation, strict=True)]
    pairs = explicit_padding(padding, x.shape[1:-1], windows, strides)
    for size, window, (low, high) in zip(x.shape[1:-1], windows, pairs, strict=True):
        if size + low + high < window:
            raise ShapeError(
                f"conv: the window {tuple(windows)} (after dilation) is larger than the images of shape "
                f"{tuple(inputs.shape)}; make the images larger or use padding='same'."
            )
    result = B.conv(x, kernel, strides, pairs, dilation, (1,) * rank, channels // depth)
    return from_last(result, data_format)


@op
def depthwise_conv(
    inputs: Tensor,
    kernel: Tensor,
    strides: Any = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Array:
    """Each channel convolved by itself: kernel (*window, in, multiplier), result with in · multiplier channels.

    >>> ops.depthwise_conv(ops.ones((1, 8, 8, 3)), ops.ones((3, 3, 3, 2))).shape
    (1, 6, 6, 6)
    """
    *window, channels, multiplier = kernel.shape
    kernel = B.reshape(kernel, (*window, 1, channels * multiplier))
    return conv(inputs, kernel, strides, padding, data_format, dilation_rate)


@op
def conv_transpose(
    inputs: Tensor,
    kernel: Tensor,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Array:
    """The gradient of `conv` with respect to its inputs: (batch, *spatial, in), kernel (*window, out, in).

    Without `output_padding` a size becomes `size · stride` (`"same"`) or that plus `max(window - stride, 0)`.

    >>> ops.conv_transpose(ops.ones((1, 8, 8, 3)), ops.ones((3, 3, 16, 3)), strides=2, padding="same").shape
    (1, 16, 16, 16)
    """
    data_format = config.standardize_data_format(data_format)
    x = to_last(inputs, data_format)
    rank = x.ndim - 2
    strides, dilation = each(strides, rank, "strides"), each(dilation_rate, rank, "dilation_rate")
    extra = [None] * rank if output_padding is None else [output_padding] * rank
    if isinstance(output_padding, list | tuple):
        extra = list(output_padding)
    pairs = []
    for size, k, s, d, more in zip(x.shape[1:-1], kernel.shape[:-2], strides, dilation, extra, strict=True):
        window = (k - 1) * d + 1
        full = (size - 1) * s + window  # what no padding at all gives
        if more is None:
            wanted = size * s if padding == "same" else size * s + max(window - s, 0)
        else:
            wanted = full - (2 * (window // 2) if padding == "same" else 0) + more
        cut = max(full - wanted, 0) // 2 if padding == "same" else 0
        pairs.append((window - 1 - cut, window - 1 - (full - cut - wanted)))
    flipped = B.transpose(B.flip(kernel, tuple(range(rank))), (*range(rank), rank + 1, rank))
    result = B.conv(x, flipped, (1,) * rank, pairs, dilation, strides, 1)
    return from_last(result, data_format)


def _pool(inputs: Array, pool_size: Any, strides: Any, padding: str, data_format: str | None, mode: str) -> Any:
    data_format = config.standardize_data_format(data_format)
    x = to_last(inputs, data_format)
    rank = x.ndim - 2
    window = each(pool_size, rank, "pool_size")
    strides = window if strides is None else each(strides, rank, "strides")
    pairs = explicit_padding(padding, x.shape[1:-1], window, strides)
    for size, width, (low, high) in zip(x.shape[1:-1], window, pairs, strict=True):
        if size + low + high < width:
            raise ShapeError(
                f"{mode} pooling: the window {window} is larger than the images of shape {tuple(inputs.shape)}; make "
                "the images larger, the window smaller, or use padding='same'."
            )
    result = B.pool(x, window, strides, pairs, "max" if mode == "max" else "sum")
    if mode == "average":
        if any(low or high for low, high in pairs):
            ones = B.full((1, *x.shape[1:-1], 1), 1, standardize_dtype(x.dtype))
            result = result / B.pool(ones, window, strides, pairs, "sum")
        else:
            result = result / math.prod(window)
    return from_last(result, data_format)


@op
def max_pool(
    inputs: Tensor, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Array:
    """The largest value in each window; `strides` default to the window: (batch, *spatial, channels) to the same.

    >>> print(ops.ravel(ops.max_pool(ops.reshape([1, 5, 2, 3, 9], (1, 5, 1)), 2)))
    [5 3]
    """
    return _pool(inputs, pool_size, strides, padding, data_format, "max")


@op(promotion="float")
def average_pool(
    inputs: Tensor, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Array:
    """The mean of each window, padding not counted; `strides` default to the window.

    >>> print(ops.ravel(ops.average_pool(ops.reshape([2, 4, 9], (1, 3, 1)), 2, padding="same")))
    [3. 9.]
    """
    return _pool(inputs, pool_size, strides, padding, data_format, "average")


def _check_pointwise(inputs: Any, depthwise_kernel: Any, pointwise_kernel: Any, *args: Any, **kwargs: Any) -> None:
    *window, depth, _ = pointwise_kernel.shape
    wanted = depthwise_kernel.shape[-2] * depthwise_kernel.shape[-1]
    if any(size != 1 for size in window) or depth != wanted or len(window) != len(inputs.shape) - 2:
        ones = (1,) * (len(inputs.shape) - 2)
        raise ShapeError(
            f"separable_conv: pointwise_kernel should have the shape {(*ones, wanted, 'filters')} to follow "
            f"depthwise_kernel {tuple(depthwise_kernel.shape)}, got {tuple(pointwise_kernel.shape)}."
        )


@op(check=_check_pointwise)
def separable_conv(
    inputs: Tensor,
    depthwise_kernel: Tensor,
    pointwise_kernel: Tensor,
    strides: Any = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Array:
    """`depthwise_conv`, then a product over channels: kernels (*window, in, multiplier), (1, …, in · multiplier, out).

    https://arxiv.org/abs/1610.02357

    >>> ops.separable_conv(ops.ones((1, 8, 8, 3)), ops.ones((3, 3, 3, 2)), ops.ones((1, 1, 6, 16))).shape
    (1, 6, 6, 16)
    """
    x = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(x, pointwise_kernel, 1, "valid", data_format)


# pooling to a given size


def _adaptive(inputs: Array, output_size: Any, data_format: str | None, reduce: Callable[..., Array]) -> Array:
    """Axis by axis, `reduce` of the windows from ⌊i · size / count⌋ to ⌈(i + 1) · size / count⌉."""
    data_format = config.standardize_data_format(data_format)
    x = to_last(inputs, data_format)
    for axis, count in enumerate(each(output_size, x.ndim - 2, "output_size"), 1):
        size, at = x.shape[axis], (slice(None),) * axis
        windows = [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        x = B.stack([reduce(x[(*at, window)], axis=axis) for window in windows], axis)
    return from_last(x, data_format)


@op(promotion="float")
def adaptive_average_pool(inputs: Tensor, output_size: Any, data_format: str | None = None) -> Array:
    """The means of windows that share the image out evenly: (batch, *spatial, channels), spatial as `output_size`.

    >>> print(ops.ravel(ops.adaptive_average_pool(ops.reshape([1, 2, 3, 4, 5], (1, 5, 1)), 2)))
    [2. 4.]
    """
    return _adaptive(inputs, output_size, data_format, mean)


@op
def adaptive_max_pool(inputs: Tensor, output_size: Any, data_format: str | None = None) -> Array:
    """The maxima of windows that share the image out evenly: (batch, *spatial, channels), spatial as `output_size`.

    >>> print(ops.ravel(ops.adaptive_max_pool(ops.reshape([1, 2, 3, 4, 5], (1, 5, 1)), 2)))
    [3 5]
    """
    return _adaptive(inputs, output_size, data_format, B.max)


# blocks and patches


def _check_blocks(name: str, divisors: Callable[[int], tuple[int, int, int]]) -> Callable[..., None]:
    def check(x: Any, block_size: int, data_format: str | None = "channels_last") -> None:
        whole(name, 1, block_size=block_size)
        first = config.standardize_data_format(data_format) == "channels_first"
        shape = (*x.shape[2:], x.shape[1]) if first else x.shape[1:]
        by = divisors(block_size)
        if len(x.shape) != 4 or any(size is not None and size % n for size, n in zip(shape, by, strict=True)):
            raise ShapeError(
                f"{name}: with block_size={block_size}, x should be images of 4 axes whose height, width and channels "
                f"are divisible by {by}, got shape {tuple(x.shape)} ({'channels_first' if first else 'channels_last'})."
            )

    return check


@op(check=_check_blocks("depth_to_space", lambda b: (1, 1, b * b)))
def depth_to_space(x: Tensor, block_size: int, data_format: str | None = "channels_last") -> Array:
    """Channels laid out as blocks of pixels: (batch, h, w, b² · c) to (batch, b · h, b · w, c).

    Channels first, the order within (batch, c · b², h, w) is that of pixel shuffling. https://arxiv.org/abs/1609.05158

    >>> print(ops.depth_to_space(ops.reshape([1, 2, 3, 4], (1, 1, 1, 4)), 2)[0, :, :, 0])
    [[1 2]
     [3 4]]
    """
    b = block_size
    if config.standardize_data_format(data_format) == "channels_first":
        n, c, h, w = x.shape
        x = B.transpose(B.reshape(x, (n, c // b**2, b, b, h, w)), (0, 1, 4, 2, 5, 3))
        return B.reshape(x, (n, c // b**2, h * b, w * b))
    n, h, w, c = x.shape
    x = B.transpose(B.reshape(x, (n, h, w, b, b, c // b**2)), (0, 1, 3, 2, 4, 5))
    return B.reshape(x, (n, h * b, w * b, c // b**2))


@op(check=_check_blocks("space_to_depth", lambda b: (b, b, 1)))
def space_to_depth(x: Tensor, block_size: int, data_format: str | None = "channels_last") -> Array:
    """Blocks of pixels laid out as channels, the inverse of `depth_to_space`: (batch, h/b, w/b, b² · c).

    >>> ops.space_to_depth(ops.ones((1, 4, 6, 3)), 2).shape
    (1, 2, 3, 12)
    """
    b = block_size
    if config.standardize_data_format(data_format) == "channels_first":
        n, c, h, w = x.shape
        x = B.transpose(B.reshape(x, (n, c, h // b, b, w // b, b)), (0, 1, 3, 5, 2, 4))
        return B.reshape(x, (n, c * b**2, h // b, w // b))
    n, h, w, c = x.shape
    x = B.transpose(B.reshape(x, (n, h // b, b, w // b, b, c)), (0, 1, 3, 2, 4, 5))
    return B.reshape(x, (n, h // b, w // b, c * b**2))


def cut_patches(
    x: Array, window: Sequence[int], strides: Sequence[int], dilation: Sequence[int], padding: Sequence[tuple[int, int]]
) -> Array:
    """(batch, *spatial, channels) to (batch, *places, *window, channels), zeros beyond the edges."""
    x = B.pad(x, [(0, 0), *padding, (0, 0)])
    for axis, (width, stride, gap) in enumerate(zip(window, strides, dilation, strict=True), 1):
        x = B.stack(shifted(x, axis, width, stride, gap), -2)
    return x


def _window_places(
    op_name: str, sizes: Sequence[int | None], kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[list[tuple[int, ...]], list[Any]]:
    """The arguments for each axis, and how many places the window has along it."""
    given = {"kernel_size": kernel_size, "dilation": dilation, "padding": padding, "stride": stride}
    settings = [each(value, 2, f"{op_name}: {name}", name != "padding") for name, value in given.items()]
    places: list[Any] = []
    for size, k, d, p, s in zip(sizes, *settings, strict=True):
        if size is not None and size + 2 * p < (k - 1) * d + 1:
            raise ShapeError(
                f"{op_name}: the window of {k} (dilation {d}) is larger than the image's {size} with padding {p}."
            )
        places.append(None if size is None else (size + 2 * p - (k - 1) * d - 1) // s + 1)
    return settings, places


def _check_unfold(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
    if len(x.shape) != 4:
        raise ShapeError(f"unfold: x should be (batch, channels, height, width), got shape {tuple(x.shape)}.")
    _window_places("unfold", x.shape[2:], kernel_size, dilation, padding, stride)


@op(check=_check_unfold)
def unfold(x: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Array:
    """Every patch as a column: (batch, channels, height, width) to (batch, channels · window, places).

    >>> ops.unfold(ops.ones((1, 3, 8, 8)), 2, stride=2).shape
    (1, 12, 16)
    """
    (window, gaps, pads, strides), _ = _window_places("unfold", x.shape[2:], kernel_size, dilation, padding, stride)
    patches = cut_patches(to_last(x, "channels_first"), window, strides, gaps, [(p, p) for p in pads])
    n, h, w, *_, c = patches.shape
    return B.reshape(B.transpose(patches, (0, 5, 3, 4, 1, 2)), (n, c * math.prod(window), h * w))


def _check_fold(
    x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> None:
    if len(x.shape) != 3:
        raise ShapeError(f"fold: x should be (batch, channels · window, places), got shape {tuple(x.shape)}.")
    sizes = each(output_size, 2, "fold: output_size")
    (window, *_), places = _window_places("fold", sizes, kernel_size, dilation, padding, stride)
    depth, count = math.prod(window), math.prod(places)
    if (x.shape[1] or 0) % depth or x.shape[2] not in (None, count):
        raise ShapeError(
            f"fold: images of {sizes} have {count} places for a window of {depth} elements: x should be (batch, "
            f"channels · {depth}, {count}), got {tuple(x.shape)}."
        )


@op(check=_check_fold)
def fold(x: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Array:
    """Patches added up where they overlap: (batch, channels · window, places) to (batch, channels, *output_size).

    The adjoint of `unfold` with the same arguments.

    >>> print(ops.fold(ops.ones((1, 4, 4)), output_size=3, kernel_size=2)[0, 0])
    [[1. 2. 1.]
     [2. 4. 2.]
     [1. 2. 1.]]
    """
    sizes = each(output_size, 2, "fold: output_size")
    (window, gaps, pads, strides), places = _window_places("fold", sizes, kernel_size, dilation, padding, stride)
    dtype = standardize_dtype(x.dtype)
    batch, depth = x.shape[0], x.shape[1] // math.prod(window)
    x = B.transpose(B.reshape(x, (batch, depth, *window, *places)), (2, 3, 4, 5, 0, 1))
    h, w = (
        np.add.outer(np.arange(k) * gap, np.arange(n) * stride)  # (window, places)
        for k, gap, n, stride in zip(window, gaps, places, strides, strict=True)
    )
    at = np.stack(np.broadcast_arrays(h[:, None, :, None], w[None, :, None, :]), -1).astype("int32")
    x = B.cast(x, "int32") if dtype == "bool" else x
    canvas = B.zeros([*(n + 2 * p for n, p in zip(sizes, pads, strict=True)), batch, depth], standardize_dtype(x.dtype))
    summed = B.scatter(canvas, B.convert(at), x, "add")
    inner = summed[pads[0] : pads[0] + sizes[0], pads[1] : pads[1] + sizes[1]]
    return B.cast(B.transpose(inner, (2, 3, 0, 1)), dtype)
