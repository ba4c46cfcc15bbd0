"""Images sampled anew: at other sizes, at computed coordinates, through transforms.

What is computed in floats is computed in at least float32; integers come out rounded, within the range of their dtype.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import config
from cornu.base.checks import within
from cornu.base.dtypes import float_type, is_float, standardize_dtype
from cornu.base.errors import ArgumentError, ShapeError, bad_choice
from cornu.core.context import context
from cornu.core.op import Tensor, Untyped, op
from cornu.ops.convolution import from_last, to_last
from cornu.ops.elementwise import saturate_cast, widen
from cornu.ops.products import cross
from cornu.random.seed import draw_key

FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")


# one form for all: a batch, channels last, floats of at least 32 bits


def as_batch(
    name: str, images: Array, data_format: str | None, rank: int = 2
) -> tuple[Array, Callable[[Array], Array]]:
    """The images as a batch with the channels last, and what brings results of that form into the images' own."""
    if str(data_format or "channels_last").lower() not in ("channels_last", "channels_first"):
        raise bad_choice(f"{name}: data_format", data_format, ("channels_last", "channels_first"))
    data_format = config.standardize_data_format(data_format)
    if images.ndim not in (rank + 1, rank + 2):
        axes = "depth, height, width" if rank == 3 else "height, width"
        axes = f"channels, {axes}" if data_format == "channels_first" else f"{axes}, channels"
        raise ShapeError(f"{name}: expected ({axes}) or (batch, {axes}), got shape {tuple(images.shape)}.")
    single = images.ndim == rank + 1
    batch = to_last(images[None] if single else images, data_format)

    def restore(result: Array) -> Array:
        result = from_last(result, data_format)
        return result[0] if single else result

    return batch, restore


def known_sizes(x: Any) -> tuple[Any, ...]:
    """The shape of `x`, None for a size that is unknown or, during inference, may stand for an unknown one."""
    inferring = context.scope is not None and context.scope.abstract
    return tuple(None if inferring and size in B.probe_sizes else size for size in x.shape)


def narrow(x: Array, dtype: str, rounded: Callable[[Array], Array] | None = None) -> Array:
    """Floats as `dtype`, for integers rounded, by default with halves to even."""
    return B.cast(x, dtype) if is_float(dtype) or dtype == "bool" else saturate_cast((rounded or B.rint)(x), dtype)


def _from_zero(x: Array) -> Array:
    """Rounded to the nearest integer, halves away from zero."""
    return B.sign(x) * B.floor(B.abs(x) + 0.5)


def _along(x: Array, weights: Any, axis: int) -> Array:
    """Each vector along the axis times `weights` (size, new size)."""
    letters = "abcdefgh"[: x.ndim]
    weights = B.convert(weights, standardize_dtype(x.dtype))
    with B.exactly():  # pixels of 0 to 255 show TF32
        return B.einsum(f"{letters},{letters[axis]}z->{letters.replace(letters[axis], 'z')}", x, weights)


# scaling: https://entropymine.com/imageworsener/matching/ on sample positions, Keys 1981 for the cubic kernel


def _triangle(x: Any, xp: Any) -> Any:
    return xp.maximum(1 - x, 0)


def _cubic(x: Any, xp: Any) -> Any:
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return xp.where(x < 1, near, xp.where(x < 2, far, 0 * x))


def _lanczos(radius: int) -> Callable[[Any, Any], Any]:
    def kernel(x: Any, xp: Any) -> Any:
        at = math.pi * xp.maximum(x, 1e-3)  # nearer to 0 it is 1 to float32 accuracy
        return xp.where(x < radius, radius * xp.sin(at) * xp.sin(at / radius) / (at * at), 0 * x)

    return kernel


_KERNELS: dict[str, Callable[[Any, Any], Any]] = {
    "bilinear": _triangle,
    "bicubic": _cubic,
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
}
_METHODS = {
    "linear": "bilinear",
    "bilinear": "bilinear",
    "trilinear": "bilinear",
    "cubic": "bicubic",
    "bicubic": "bicubic",
    "tricubic": "bicubic",
    "lanczos3": "lanczos3",
    "lanczos5": "lanczos5",
}


def _weights(size: int, new: int, scale: Any, shift: Any, kernel: str, antialias: bool, xp: Any, dtype: str) -> Any:
    """What each of `size` elements contributes to each of the `new` ones, which lie at scale · position + shift."""
    positions = (xp.arange(0, new, 1, dtype) + 0.5 - shift) / scale - 0.5
    spread = xp.maximum(1 / scale, 1) if antialias else 1  # shrinking, the kernel covers all that falls together
    distances = xp.abs(positions[None, :] - xp.arange(0, size, 1, dtype)[:, None]) / spread
    weights = _KERNELS[kernel](distances, xp)
    total = xp.sum(weights, axis=0, keepdims=True)
    weights = xp.where(xp.abs(total) > 1e-4, weights / xp.where(total == 0, 1 + 0 * total, total), 0 * weights)
    inside = xp.logical_and(positions >= -0.5, positions <= size - 0.5)[None, :]
    return xp.where(inside, weights, 0 * weights)


def _check_resize(
    images: Any,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> None:
    if not isinstance(size, list | tuple) or len(size) != 2 or any(not isinstance(n, int) or n < 1 for n in size):
        raise ArgumentError(f"resize: size should be (height, width), two positive ints, got {size!r}.")
    if interpolation not in ("nearest", *_KERNELS):
        raise bad_choice("resize: interpolation", interpolation, ("nearest", *_KERNELS))
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ArgumentError("resize: choose one of crop_to_aspect_ratio and pad_to_aspect_ratio.")
    if fill_mode != "constant":
        raise bad_choice("resize: fill_mode", fill_mode, ("constant",))


@op(check=_check_resize)
def resize(
    images: Tensor,
    size: tuple[int, int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Array:
    """Images of another height and width, `size`; pixels are squares, `"nearest"` takes the one at the centre.

    `interpolation`: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos3"`, `"lanczos5"`; with `antialias` it averages
    where images shrink. To keep the aspect ratio, the middle is cropped, or the image is padded with `fill_value`.

    >>> print(ops.image.resize([[[1.0], [3.0]]], (1, 4))[0, :, 0])
    [1.  1.5 2.5 3. ]
    >>> print(ops.image.resize([[[1.0], [3.0]]], (1, 4), interpolation="nearest")[0, :, 0])
    [1. 1. 3. 3.]
    """
    dtype = standardize_dtype(images.dtype)
    x, restore = as_batch("resize", images, data_format)
    sizes = x.shape[1:3]
    # The height for the given width, and the other way round, that have the new aspect ratio.
    fitting = sizes[1] * size[0] // size[1], sizes[0] * size[1] // size[0]
    if crop_to_aspect_ratio:
        kept = [max(min(n, fit), 1) for n, fit in zip(sizes, fitting, strict=True)]
        (top, height), (left, width) = (((n - k) // 2, k) for n, k in zip(sizes, kept, strict=True))
        x = x[:, top : top + height, left : left + width]
    elif pad_to_aspect_ratio:
        pairs = [(max(fit - n, 0) // 2,) * 2 for n, fit in zip(sizes, fitting, strict=True)]
        x = B.pad(x, [(0, 0), *pairs, (0, 0)], constant_values=fill_value)
    if interpolation == "nearest":
        for axis, new in enumerate(size, 1):
            at = (2 * np.arange(new) + 1) * x.shape[axis] // (2 * new)
            x = B.take(x, B.convert(at.astype("int32")), axis)
        return restore(x)
    x = widen(x)
    for axis, new in enumerate(size, 1):
        if (old := x.shape[axis]) != new:
            x = _along(x, _weights(old, new, new / old, 0.0, interpolation, antialias, np, "float64"), axis)
    return restore(narrow(x, dtype))


def _check_scale(
    images: Any,
    output_shape: Any,
    scale: Any,
    translation: Any,
    spatial_dims: Any,
    method: str,
    antialias: bool = True,
) -> None:
    if method not in _METHODS:
        raise bad_choice("scale_and_translate: method", method, _METHODS)
    rank, dims = len(images.shape), tuple(spatial_dims)
    if (
        len(output_shape) != rank
        or any(not -rank <= d < rank for d in dims)
        or len({d % rank for d in dims}) != len(dims)
    ):
        raise ShapeError(
            f"scale_and_translate: for images of shape {tuple(images.shape)}, output_shape should have {rank} sizes "
            f"and spatial_dims different axes; got output_shape={tuple(output_shape)}, spatial_dims={dims}."
        )
    for name, values in (("scale", scale), ("translation", translation)):
        if tuple(values.shape) != (len(dims),):
            raise ShapeError(
                f"scale_and_translate: {name} should hold a number for each of spatial_dims={dims}, got shape "
                f"{tuple(values.shape)}."
            )
    for axis, (size, new) in enumerate(zip(known_sizes(images), output_shape, strict=True)):
        if axis not in {d % rank for d in dims} and None not in (size, new) and size != new:
            raise ShapeError(
                f"scale_and_translate: axis {axis} is not among spatial_dims={dims}, so its size {size} cannot become "
                f"{new}."
            )


@op(promotion=None, check=_check_scale)
def scale_and_translate(
    images: Tensor,
    output_shape: Sequence[int],
    scale: Untyped,
    translation: Untyped,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> Array:
    """`images` sampled so that position p along each of `spatial_dims` comes to p · scale + translation; 0 beyond.

    Positions count from the edge of the first element. `method` is `"linear"`, `"cubic"`, `"lanczos3"` or `"lanczos5"`.

    >>> print(ops.image.scale_and_translate([1.0, 2.0, 3.0], (4,), [1.0], [2.0], [0], "linear"))
    [0. 0. 1. 2.]
    """
    dtype = float_type(images.dtype)
    x = widen(images)
    dtype_inside = standardize_dtype(x.dtype)
    scale, translation = B.cast(scale, dtype_inside), B.cast(translation, dtype_inside)
    for i, axis in enumerate(spatial_dims):
        axis, old, new = axis % x.ndim, x.shape[axis], output_shape[axis]
        x = _along(x, _weights(old, new, scale[i], translation[i], _METHODS[method], antialias, B, dtype_inside), axis)
    return B.cast(x, dtype)


# sampling at coordinates


def _reached(at: Array, size: int, fill_mode: str) -> Array:
    """The element that stands for the whole-numbered position `at`, which may lie outside."""
    if fill_mode == "wrap":  # a b c d | a b c d | a b c d
        return B.mod(at, size)
    if fill_mode == "mirror":  # d c b | a b c d | c b a
        at = B.mod(at, max(2 * size - 2, 1))
        return B.minimum(at, 2 * size - 2 - at) if size > 1 else 0 * at
    if fill_mode == "reflect":  # d c b a | a b c d | d c b a
        at = B.mod(at, 2 * size)
        return B.minimum(at, 2 * size - 1 - at)
    return B.minimum(B.maximum(at, 0), size - 1)


def _sample(
    rows: Array,  # (first · product of sizes, channels)
    sizes: Sequence[int],
    coordinates: Sequence[Array],  # one for each size, all of one shape
    order: int,
    fill_mode: str,
    fill_value: float,
    first: Any = 0,
) -> Array:  # (*shape of the coordinates, channels)
    """Linear interpolation (order 1) or the nearest element (order 0)."""
    dtype = standardize_dtype(rows.dtype)
    rows = widen(rows) if order else rows
    axes = []
    for at, size in zip(coordinates, sizes, strict=True):
        if fill_mode in ("constant", "nearest"):
            at = B.minimum(B.maximum(at, -2), size + 1)  # beyond, all is alike; infinities have no fraction
        low = B.floor(at if order else at + 0.5)
        axes.append([(low, 1 - (at - low)), (low + 1, at - low)][: order + 1])
    terms = []
    for corner in itertools.product(*axes):
        index, inside = first, []
        for (at, _), size in zip(corner, sizes, strict=True):
            index = index * size + B.cast(_reached(at, size, fill_mode), "int32")
            inside.append(B.logical_and(at >= 0, at < size))
        values = B.take(rows, index, 0)
        if fill_mode == "constant":
            fill = B.full((), fill_value, standardize_dtype(rows.dtype))
            values = B.where(functools.reduce(B.logical_and, inside)[..., None], values, fill)
        share = functools.reduce(B.multiply, [share for _, share in corner])
        terms.append(values * share[..., None] if order else values)
    return narrow(functools.reduce(B.add, terms), dtype, _from_zero) if order else terms[0]


def _check_coordinates(
    inputs: Any, coordinates: Any, order: int, fill_mode: str = "constant", fill_value: float = 0
) -> None:
    if order not in (0, 1):
        raise ArgumentError(f"map_coordinates: order should be 0 (nearest) or 1 (linear), got {order!r}.")
    if fill_mode not in FILL_MODES:
        raise bad_choice("map_coordinates: fill_mode", fill_mode, FILL_MODES)
    rank = len(inputs.shape)
    if len(coordinates.shape) < 2 or coordinates.shape[0] not in (None, rank):
        raise ShapeError(
            f"map_coordinates: coordinates should be (axes of inputs, …), ({rank}, …) for inputs of shape "
            f"{tuple(inputs.shape)}, got shape {tuple(coordinates.shape)}."
        )


@op(promotion=None, check=_check_coordinates)
def map_coordinates(
    inputs: Tensor, coordinates: Untyped, order: int, fill_mode: str = "constant", fill_value: float = 0
) -> Array:
    """`inputs` at fractional indices: `coordinates` (axes of inputs, …) to (…), linear (order 1) or nearest (order 0).

    Beyond the edges: `"constant"` (`fill_value`), `"nearest"`, `"wrap"`, `"mirror"` (about the centre of the last
    element) or `"reflect"` (about its edge).

    >>> print(ops.image.map_coordinates([10.0, 20.0], [[0.5, 1.0, 5.0]], order=1))
    [15. 20.  0.]
    >>> print(ops.image.map_coordinates([10.0, 20.0], [[0.5, 1.0, 5.0]], order=1, fill_mode="nearest"))
    [15. 20. 20.]
    """
    where = [widen(coordinates[i]) for i in range(inputs.ndim)]
    return _sample(B.reshape(inputs, (-1, 1)), inputs.shape, where, order, fill_mode, fill_value)[..., 0]


def _check_warp(name: str, interpolation: str, fill_mode: str) -> None:
    if interpolation not in ("nearest", "bilinear"):
        raise bad_choice(f"{name}: interpolation", interpolation, ("nearest", "bilinear"))
    if fill_mode not in FILL_MODES:
        raise bad_choice(f"{name}: fill_mode", fill_mode, FILL_MODES)


def _warped(x: Array, rows: Array, columns: Array, interpolation: str, fill_mode: str, fill_value: float) -> Array:
    """(batch, height, width, channels) sampled at rows and columns (batch, new height, new width)."""
    batch, height, width, channels = x.shape
    first = B.reshape(B.arange(0, batch, 1, "int32"), (batch, 1, 1))
    order = 1 if interpolation == "bilinear" else 0
    pixels = B.reshape(x, (batch * height * width, channels))
    return _sample(pixels, (height, width), (rows, columns), order, fill_mode, fill_value, first)


def _projected(x: Array, h: Sequence[Any], interpolation: str, fill_mode: str, fill_value: float) -> Array:
    """Pixels at (x, y) from ((h0 x + h1 y + h2) / z, (h3 x + h4 y + h5) / z), z = h6 x + h7 y + h8; h (batch, 1, 1)."""
    (batch, height, width, _), dtype = x.shape, standardize_dtype(h[0].dtype)
    down = B.reshape(B.arange(0, height, 1, dtype), (1, height, 1))
    across = B.reshape(B.arange(0, width, 1, dtype), (1, 1, width))
    z = h[6] * across + h[7] * down + h[8]
    columns, rows = (
        B.broadcast_to((h[i] * across + h[i + 1] * down + h[i + 2]) / z, (batch, height, width)) for i in (0, 3)
    )
    return _warped(x, rows, columns, interpolation, fill_mode, fill_value)


def _check_affine(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> None:
    _check_warp("affine_transform", interpolation, fill_mode)
    _one_for_each("affine_transform", "transform", images, transform, (8,))


def _one_for_each(name: str, argument: str, images: Any, values: Any, shape: tuple[int, ...]) -> None:
    """`values` should have the shape for a single image, or (batch, *shape), where a batch of 1 serves all."""
    got, batch = tuple(values.shape), images.shape[0] if len(images.shape) == 4 else 1
    leading = got[: -len(shape)]
    if got[-len(shape) :] != shape or len(leading) > 1 or leading not in ((), (1,), (None,), (batch or leading[0],)):
        raise ShapeError(
            f"{name}: {argument} should have the shape {shape} or {('batch', *shape)} for images of shape "
            f"{tuple(images.shape)}, got {got}."
        )


@op(promotion=None, check=_check_affine)
def affine_transform(
    images: Tensor,
    transform: Untyped,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Array:
    """The pixel at (x, y) is taken from (a0 x + a1 y + a2, b0 x + b1 y + b2) / (c0 x + c1 y + 1); the images' shape.

    `transform` is [a0, a1, a2, b0, b1, b2, c0, c1], or (batch, 8); `interpolation` `"nearest"` or `"bilinear"`;
    `fill_mode` as in `map_coordinates`.

    >>> print(ops.image.affine_transform([[[1], [2], [3]]], [1, 0, 1, 0, 1, 0, 0, 0])[0, :, 0])
    [2 3 0]
    """
    x, restore = as_batch("affine_transform", images, data_format)
    transform = B.reshape(widen(transform), (-1, 8, 1, 1))
    h = [transform[:, i] for i in range(8)]
    return restore(_projected(x, [*h, 1], interpolation, fill_mode, fill_value))


def _check_perspective(
    images: Any,
    start_points: Any,
    end_points: Any,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> None:
    _check_warp("perspective_transform", interpolation, "constant")
    _one_for_each("perspective_transform", "start_points", images, start_points, (4, 2))
    _one_for_each("perspective_transform", "end_points", images, end_points, (4, 2))


@op(promotion=None, check=_check_perspective)
def perspective_transform(
    images: Tensor,
    start_points: Untyped,
    end_points: Untyped,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Array:
    """Images seen in perspective: the four points (x, y) of `start_points` come to lie at `end_points`.

    Points are (4, 2), or (batch, 4, 2), no three of them in line; `fill_value` stands where there is no image.

    >>> corners, mirrored = [[0, 0], [1, 0], [0, 1], [1, 1]], [[1, 0], [0, 0], [1, 1], [0, 1]]
    >>> print(ops.image.perspective_transform([[[1], [2]], [[3], [4]]], corners, mirrored)[..., 0])
    [[2 1]
     [4 3]]
    """
    x, restore = as_batch("perspective_transform", images, data_format)
    # In units of the image, for the sake of precision.
    unit = max(x.shape[1:3])
    start, end = (_frame(B.reshape(widen(p), (-1, 4, 2)) / unit) for p in (start_points, end_points))
    h = B.matmul(start, _adjugate(end))  # maps the end points to the start points
    h = B.reshape(h / B.max(B.abs(h), axis=(1, 2), keepdims=True), (-1, 9, 1, 1))
    scale = (1, 1, unit, 1, 1, unit, 1 / unit, 1 / unit, 1)
    h = [h[:, i] * s for i, s in enumerate(scale)]
    return restore(_projected(x, h, interpolation, "constant", fill_value))


def _frame(points: Array) -> Array:
    """The matrix (batch, 3, 3) that takes the unit vectors and (1, 1, 1) to the four points (batch, 4, 2)."""
    corners = B.concatenate([points, 0 * points[..., :1] + 1], -1)
    columns = B.transpose(corners[:, :3], (0, 2, 1))
    shares = B.matmul(_adjugate(columns), corners[:, 3][..., None])  # of the fourth in the others, up to a factor
    return columns * (B.transpose(shares, (0, 2, 1)) / B.max(B.abs(shares), axis=1, keepdims=True))


def _adjugate(matrix: Array) -> Array:
    """det · inverse of matrices (batch, 3, 3): its rows are the cross products of the columns."""
    a, b, c = (matrix[:, :, i] for i in range(3))
    return B.stack([cross(b, c), cross(c, a), cross(a, b)], 1)


def gaussian(size: int, sigma: float) -> Any:
    """The normal density at `size` points about 0, one apart, scaled to the sum 1."""
    density = np.exp(-(((np.arange(size) - (size - 1) / 2) / sigma) ** 2) / 2)
    return density / density.sum()


def filtered(x: Array, taps: Any, axis: int, padding: tuple[int, int] = (0, 0)) -> Array:
    """The sums of neighbours along the axis, weighted by `taps`, zeros beyond the edges."""
    low, high = padding
    size = x.shape[axis] + low + high - len(taps) + 1
    if x.shape[axis] <= 32 * len(taps):
        # One product: for 11 taps and 256 pixels it takes a fifth of a convolution's time on a CPU, backwards a tenth.
        weights = sum(tap * np.eye(x.shape[axis], size, low - k) for k, tap in enumerate(taps))
        return _along(x, weights, axis)
    x = B.pad(x, [padding if i == axis else (0, 0) for i in range(x.ndim)])
    at = (slice(None),) * axis
    return functools.reduce(B.add, [float(tap) * x[(*at, slice(k, k + size))] for k, tap in enumerate(taps)])


@op(fuse=False)
def elastic_transform(
    images: Tensor,
    alpha: float = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: Any = None,
    data_format: str | None = None,
) -> Array:
    """Every pixel moved by a smooth random field: α σ · normal noise, blurred over σ pixels, about 0.28 α wide.

    `interpolation`, `fill_mode` as in `affine_transform`; `seed` as in `cornu.random`. Simard et al. 2003,
    https://doi.org/10.1109/ICDAR.2003.1227801

    >>> ops.image.elastic_transform(ops.ones((2, 8, 8, 3)), seed=1).shape
    (2, 8, 8, 3)
    """
    _check_warp("elastic_transform", interpolation, fill_mode)
    within("elastic_transform", "(0, inf]", sigma=sigma)  # pixels
    x, restore = as_batch("elastic_transform", images, data_format)
    batch, height, width, _ = x.shape
    reach = math.ceil(3 * sigma)
    taps = gaussian(2 * reach + 1, sigma)
    inside = standardize_dtype(widen(x[:0]).dtype)
    noise = B.random_normal(draw_key(seed), (batch, height + 2 * reach, width + 2 * reach, 2), inside)
    moves = alpha * sigma * filtered(filtered(noise, taps, 1), taps, 2)
    rows = B.reshape(B.arange(0, height, 1, inside), (1, height, 1)) + moves[..., 0]
    columns = B.reshape(B.arange(0, width, 1, inside), (1, 1, width)) + moves[..., 1]
    return restore(_warped(x, rows, columns, interpolation, fill_mode, fill_value))
