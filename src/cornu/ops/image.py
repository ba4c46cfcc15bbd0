"""Ops on images: (height, width, channels), or a batch of them, or the same with the channels before height and width.

What is computed in floats is computed in at least float32; integers come out rounded, within the range of their dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import config
from cornu.base.dtypes import is_float, standardize_dtype
from cornu.base.errors import ArgumentError, DTypeError, ShapeError
from cornu.core.op import Tensor, op
from cornu.ops.convolution import cut_patches, each, explicit_padding
from cornu.ops.elementwise import widen
from cornu.ops.nn import same_shape
from cornu.ops.reduction import mean
from cornu.ops.sampling import (
    affine_transform,
    as_batch,
    elastic_transform,
    filtered,
    gaussian,
    known_sizes,
    map_coordinates,
    narrow,
    perspective_transform,
    resize,
    scale_and_translate,
)

__all__ = [
    "affine_transform",
    "crop_images",
    "elastic_transform",
    "extract_patches",
    "extract_patches_3d",
    "gaussian_blur",
    "hsv_to_rgb",
    "map_coordinates",
    "pad_images",
    "perspective_transform",
    "resize",
    "rgb_to_grayscale",
    "rgb_to_hsv",
    "scale_and_translate",
    "sobel_edges",
    "ssim",
]


# crops and pads


def _ends(sign: int, size: int, before: int | None, target: int | None, after: int | None) -> tuple[int, int]:
    """How much goes before and after to make `size` the target: cut off (sign -1) or added (sign 1)."""
    change = 0 if target is None else sign * (target - size)
    return change - (after or 0) if before is None else before, change - (before or 0) if after is None else after


def _check_ends(name: str, what: str, sign: int) -> Callable[..., None]:
    def check(
        images: Any,
        top: int | None = None,
        left: int | None = None,
        bottom: int | None = None,
        right: int | None = None,
        target_height: int | None = None,
        target_width: int | None = None,
        data_format: str | None = None,
        **named: Any,
    ) -> None:
        top, left, bottom, right = (
            named.get(f"{side}_{what}", given)
            for side, given in (("top", top), ("left", left), ("bottom", bottom), ("right", right))
        )
        shape = known_sizes(images)
        spatial = shape[-2:] if str(data_format or config.image_data_format()) == "channels_first" else shape[-3:-1]
        rows = ("top", top, "height", target_height, "bottom", bottom)
        columns = ("left", left, "width", target_width, "right", right)
        for size, (first, before, side, target, last, after) in zip(spatial, (rows, columns), strict=False):
            if (before, target, after).count(None) != 1:
                raise ArgumentError(
                    f"{name}: give exactly two of {first}_{what}, target_{side} and {last}_{what}, got {first}_{what}="
                    f"{before}, target_{side}={target}, {last}_{what}={after}."
                )
            ends = (
                tuple(n for n in (before, after) if n is not None)
                if size is None
                else _ends(sign, size, before, target, after)
            )
            if min(ends) < 0 or (sign < 0 and size is not None and sum(ends) >= size) or (target or 1) < 1:
                limit = f"less than the {side} in all" if sign < 0 else f"target_{side} no less than the {side}"
                raise ArgumentError(
                    f"{name}: {first}_{what} and {last}_{what} should be 0 or more and {limit}, got {first}_{what}="
                    f"{before}, target_{side}={target}, {last}_{what}={after} for images of shape {shape}."
                )

    return check


@op(check=_check_ends("crop_images", "cropping", -1))
def crop_images(
    images: Tensor,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Array:
    """Images without their margins: of top, bottom and target height two are given, of left, right and width too.

    >>> images = ops.ones((1, 8, 8, 3))
    >>> ops.image.crop_images(images, top_cropping=1, bottom_cropping=2, left_cropping=3, target_width=4).shape
    (1, 5, 4, 3)
    """
    x, restore = as_batch("crop_images", images, data_format)
    _, height, width, _ = x.shape
    top, bottom = _ends(-1, height, top_cropping, target_height, bottom_cropping)
    left, right = _ends(-1, width, left_cropping, target_width, right_cropping)
    return restore(x[:, top : height - bottom, left : width - right])


@op(check=_check_ends("pad_images", "padding", 1))
def pad_images(
    images: Tensor,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Array:
    """Images with margins of zeros: of top, bottom and target height two are given, of left, right and width too.

    >>> images = ops.ones((1, 8, 8, 3))
    >>> ops.image.pad_images(images, top_padding=1, bottom_padding=2, left_padding=3, target_width=12).shape
    (1, 11, 12, 3)
    """
    x, restore = as_batch("pad_images", images, data_format)
    rows = _ends(1, x.shape[1], top_padding, target_height, bottom_padding)
    columns = _ends(1, x.shape[2], left_padding, target_width, right_padding)
    # A size that stands for an unknown one may exceed the target.
    x = B.pad(x, [(0, 0), *((max(a, 0), max(b, 0)) for a, b in (rows, columns)), (0, 0)])
    return restore(x[:, :target_height, :target_width])


def _patches(
    name: str,
    images: Array,
    size: Any,
    strides: Any,
    dilation_rate: Any,
    padding: str,
    data_format: str | None,
    rank: int,
) -> Array:
    x, restore = as_batch(name, images, data_format, rank)
    window = each(size, rank, f"{name}: size")
    strides = window if strides is None else each(strides, rank, f"{name}: strides")
    dilation = each(dilation_rate, rank, f"{name}: dilation_rate")
    spans = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
    pairs = explicit_padding(padding, x.shape[1:-1], spans, strides)
    for size, span, (low, high) in zip(x.shape[1:-1], spans, pairs, strict=True):
        if size + low + high < span:
            raise ShapeError(
                f"{name}: patches of {tuple(spans)} (after dilation) are larger than the images of shape "
                f"{tuple(images.shape)}; make them smaller or use padding='same'."
            )
    patches = cut_patches(x, window, strides, dilation, pairs)
    return restore(B.reshape(patches, (*patches.shape[: rank + 1], math.prod(patches.shape[rank + 1 :]))))


@op
def extract_patches(
    images: Tensor,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Array:
    """Patches side by side, each a vector: (batch, height, width, c) to (batch, rows, columns, size² · c).

    Without `strides` they do not overlap. With `padding="same"` zeros complete them beyond the edges.

    >>> ops.image.extract_patches(ops.ones((1, 9, 9, 3)), 3).shape
    (1, 3, 3, 27)
    """
    return _patches("extract_patches", images, size, strides, dilation_rate, padding, data_format, 2)


@op
def extract_patches_3d(
    volumes: Tensor,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Array:
    """As `extract_patches`, of volumes (batch, depth, height, width, c): (batch, planes, rows, columns, size³ · c).

    >>> ops.image.extract_patches_3d(ops.ones((1, 6, 9, 9, 2)), (2, 3, 3)).shape
    (1, 3, 3, 3, 36)
    """
    return _patches("extract_patches_3d", volumes, size, strides, dilation_rate, padding, data_format, 3)


# colours


def _colours(name: str, x: Array, allowed: Sequence[int] = (3,)) -> None:
    if x.shape[-1] not in allowed:
        raise ShapeError(
            f"{name}: expected {' or '.join(map(str, allowed))} channels, got {x.shape[-1]} in images of (batch, "
            f"height, width, channels) = {tuple(x.shape)}; is data_format right?"
        )


def _check_float(name: str) -> Callable[..., None]:
    def check(images: Any, data_format: str | None = None) -> None:
        if not is_float(standardize_dtype(images.dtype)):
            raise DTypeError(
                f"{name}: images should be floats, got {standardize_dtype(images.dtype)}; cast them first (and divide "
                "by 255 what goes up to 255)."
            )

    return check


@op
def rgb_to_grayscale(images: Tensor, data_format: str | None = None) -> Array:
    """0.2989 red + 0.587 green + 0.114 blue, one channel (ITU-R BT.601); integers are cut off, one channel is kept.

    >>> print(ops.image.rgb_to_grayscale([[[255, 0, 0]]]))
    [[[76]]]
    """
    x, restore = as_batch("rgb_to_grayscale", images, data_format)
    _colours("rgb_to_grayscale", x, (1, 3))
    if x.shape[-1] == 1:
        return images
    colours = widen(x)
    grey = 0.2989 * colours[..., :1] + 0.587 * colours[..., 1:2] + 0.114 * colours[..., 2:]
    return restore(B.cast(grey, standardize_dtype(images.dtype)))


@op(check=_check_float("rgb_to_hsv"))
def rgb_to_hsv(images: Tensor, data_format: str | None = None) -> Array:
    """Hue (a full turn is 1), saturation and value of colours in [0, 1]; greys have hue 0.

    >>> print(ops.image.rgb_to_hsv([[[0.0, 0.5, 0.5]]]))
    [[[0.5 1.  0.5]]]
    """
    x, restore = as_batch("rgb_to_hsv", images, data_format)
    _colours("rgb_to_hsv", x)
    colours = widen(x)
    r, g, b = (colours[..., i] for i in range(3))
    value = B.maximum(B.maximum(r, g), b)
    spread = value - B.minimum(B.minimum(r, g), b)
    divisor = B.where(spread > 0, spread, 1 + 0 * spread)
    sixths = B.where(
        value == r, B.mod((g - b) / divisor, 6), B.where(value == g, 2 + (b - r) / divisor, 4 + (r - g) / divisor)
    )
    saturation = B.where(value > 0, spread / B.where(value > 0, value, 1 + 0 * value), 0 * value)
    return restore(B.cast(B.stack([sixths / 6, saturation, value], -1), standardize_dtype(images.dtype)))


@op(check=_check_float("hsv_to_rgb"))
def hsv_to_rgb(images: Tensor, data_format: str | None = None) -> Array:
    """Red, green and blue of hue (a full turn is 1), saturation and value in [0, 1]; the inverse of `rgb_to_hsv`.

    >>> print(ops.image.hsv_to_rgb([[[0.5, 1.0, 1.0]]]))
    [[[0. 1. 1.]]]
    """
    x, restore = as_batch("hsv_to_rgb", images, data_format)
    _colours("hsv_to_rgb", x)
    colours = widen(x)
    hue, saturation, value = (colours[..., i] for i in range(3))
    channels = []
    for sixth in (5, 3, 1):
        k = B.mod(sixth + 6 * hue, 6)
        channels.append(value - value * saturation * B.maximum(B.minimum(B.minimum(k, 4 - k), 1), 0))
    return restore(B.cast(B.stack(channels, -1), standardize_dtype(images.dtype)))


# filters


@op
def gaussian_blur(
    images: Tensor, kernel_size: Any = (3, 3), sigma: Any = (1.0, 1.0), data_format: str | None = None
) -> Array:
    """Images smoothed by a Gaussian of `kernel_size` (down, across) and standard deviation `sigma`, in pixels.

    Beyond the edges there are zeros; the images' shape.

    >>> print(ops.image.gaussian_blur(ops.ones((3, 3, 1)))[:, :, 0].round(1))
    [[0.5 0.7 0.5]
     [0.7 1.  0.7]
     [0.5 0.7 0.5]]
    """
    x, restore = as_batch("gaussian_blur", images, data_format)
    sizes = each(kernel_size, 2, "gaussian_blur: kernel_size")
    sigmas = tuple(sigma) if isinstance(sigma, list | tuple) else (sigma, sigma)
    if len(sigmas) != 2 or not all(s > 0 for s in sigmas):
        raise ArgumentError(f"gaussian_blur: sigma should be a positive number or two of them, got {sigma!r}.")
    x = widen(x)
    for axis, (size, s) in enumerate(zip(sizes, sigmas, strict=True), 1):
        x = filtered(x, gaussian(size, s), axis, ((size - 1) // 2, size // 2))
    return restore(narrow(x, standardize_dtype(images.dtype)))


def _check_signed(images: Any, data_format: str | None = None) -> None:
    dtype = standardize_dtype(images.dtype)
    if dtype == "bool" or dtype.startswith("uint"):
        raise DTypeError(f"sobel_edges: differences have a sign, got images of {dtype}; cast them to float32 or int32.")


@op(check=_check_signed)
def sobel_edges(images: Tensor, data_format: str | None = None) -> Array:
    """Differences down and across by Sobel's kernels, zeros beyond the edges: the images' shape and an axis of 2.

    >>> ops.image.sobel_edges(ops.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3, 2)
    """
    x, restore = as_batch("sobel_edges", images, data_format)
    x = B.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    down, across = x[:, 2:] - x[:, :-2], x[:, :, 2:] - x[:, :, :-2]
    down = down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]
    across = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]
    return B.stack([restore(down), restore(across)], -1)


def _check_ssim(image1: Any, image2: Any, *args: Any, **kwargs: Any) -> None:
    same_shape("ssim: image1 and image2", image1, image2)


@op(promotion="float", check=_check_ssim)
def ssim(
    image1: Tensor,
    image2: Tensor,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Array:
    """Structural similarity, 1 for equal images of values up to `max_val`, averaged over pixels and channels: (batch,).

    Local means and variances are those under a Gaussian window wholly within the image.
    https://doi.org/10.1109/TIP.2003.819861

    >>> print(ops.image.ssim(ops.ones((2, 16, 16, 3)), ops.ones((2, 16, 16, 3))).round(3))
    [1. 1.]
    """
    a, b = (as_batch("ssim", image, data_format)[0] for image in (image1, image2))
    if filter_size > min(a.shape[1:3]):
        raise ShapeError(
            f"ssim: filter_size={filter_size} is larger than the images of shape {tuple(image1.shape)}; give a smaller "
            "one."
        )
    taps = gaussian(filter_size, filter_sigma)
    a, b = widen(a), widen(b)
    mean_a, mean_b, aa, bb, ab = (filtered(filtered(x, taps, 1), taps, 2) for x in (a, b, a * a, b * b, a * b))
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    product, squares = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
    likeness = (2 * product + c1) * (2 * (ab - product) + c2) / ((squares + c1) * (aa + bb - squares + c2))
    result = B.cast(mean(likeness, (1, 2, 3)), standardize_dtype(image1.dtype))
    return result[0] if image1.ndim == 3 else result
