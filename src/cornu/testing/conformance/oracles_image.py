"""Oracles for images: SciPy, and loops in double precision."""

from __future__ import annotations

import colorsys
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

Images = np.ndarray


def _formed(fn: Callable[..., Images]) -> Callable[..., Images]:
    """`fn` of single channels-last images, for batches and channels-first ones too, with the dtype given."""

    @functools.wraps(fn)
    def wrapped(x: Images, *args: Any, data_format: str | None = None, **kwargs: Any) -> Images:
        first = data_format == "channels_first"

        def one(image: Images, *each: Any) -> Images:
            found = fn(np.moveaxis(image, 0, -1) if first else image, *each, **kwargs)
            if image.dtype.kind in "iu" and found.dtype.kind == "f":
                limits = np.iinfo(image.dtype)
                found = np.clip(np.rint(found), limits.min, limits.max)
            return np.moveaxis(found, image.ndim - 1, 0) if first else found

        if x.ndim == 3:
            return one(x, *args)
        return np.stack([one(x[i], *(a[i] if isinstance(a, np.ndarray) else a for a in args)) for i in range(len(x))])

    return wrapped


def _kernel(x: float, name: str) -> float:
    x = abs(x)
    if name in ("bilinear", "linear"):
        return max(1 - x, 0)
    if name in ("bicubic", "cubic"):
        a = -0.5
        if x < 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0
    radius = int(name[-1])
    return float(np.sinc(x) * np.sinc(x / radius)) if x < radius else 0


def _scaled(x: np.ndarray, axis: int, new: int, scale: Any, shift: Any, method: str, antialias: bool) -> np.ndarray:
    """One element of the result at a time, a weighted mean of the others."""
    x = np.moveaxis(x, axis, 0)
    spread = max(1 / scale, 1) if antialias else 1
    result = np.zeros((new, *x.shape[1:]))
    for i in range(new):
        at = (i + 0.5 - shift) / scale - 0.5
        weights = np.array([_kernel((j - at) / spread, method) for j in range(len(x))])
        if -0.5 <= at <= len(x) - 0.5:
            result[i] = np.tensordot(weights / weights.sum(), x, 1)
    return np.moveaxis(result, 0, axis)


@_formed
def resize(
    x: Images,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_value: float = 0,
) -> Images:
    """Axis by axis."""
    h, w, _ = x.shape
    if crop_to_aspect_ratio:
        height, width = min(h, int(w * size[0] / size[1])), min(w, int(h * size[1] / size[0]))
        top, left = (h - height) // 2, (w - width) // 2
        x = x[top : top + height, left : left + width]
    if pad_to_aspect_ratio:
        down, across = (max(int(n), 0) // 2 for n in (w * size[0] / size[1] - h, h * size[1] / size[0] - w))
        x = np.pad(x, [(down, down), (across, across), (0, 0)], constant_values=fill_value)
    if interpolation == "nearest":
        rows, columns = ([int((i + 0.5) * n / m) for i in range(m)] for n, m in zip(x.shape[:2], size, strict=True))
        return x[np.ix_(rows, columns)]
    for axis, new in enumerate(size):
        x = _scaled(x.astype("float64"), axis, new, new / x.shape[axis], 0, interpolation, antialias)
    return x


def scale_and_translate(
    x: np.ndarray, shape: Any, scale: Any, shift: Any, dims: Any, method: str, antialias: bool = True
) -> np.ndarray:
    """Axis by axis."""
    for axis, s, t in zip(dims, scale, shift, strict=True):
        x = _scaled(x, axis, shape[axis], s, t, method, antialias)
    return x


def map_coordinates(
    x: np.ndarray, coordinates: np.ndarray, order: int, fill_mode: str = "constant", fill_value: float = 0
) -> np.ndarray:
    """SciPy's, whose names for two of the modes differ."""
    mode = {"constant": "grid-constant", "wrap": "grid-wrap"}.get(fill_mode, fill_mode)
    found = ndimage.map_coordinates(x.astype("float64"), coordinates, order=order, mode=mode, cval=fill_value)
    return np.copysign(np.floor(np.abs(found) + 0.5), found) if x.dtype.kind in "iu" else found


def _projected(x: Images, matrix: np.ndarray, interpolation: str, fill_mode: str, fill_value: float) -> Images:
    down, across = np.mgrid[: x.shape[0], : x.shape[1]]
    columns, rows, depth = np.tensordot(matrix, np.stack([across, down, np.ones_like(down)]), 1)
    at = np.stack([rows, columns]) / depth
    order = 1 if interpolation == "bilinear" else 0
    return np.stack([map_coordinates(c, at, order, fill_mode, fill_value) for c in np.moveaxis(x, -1, 0)], -1)


@_formed
def affine_transform(
    x: Images,
    transform: np.ndarray,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
) -> Images:
    """The definition."""
    return _projected(x, np.append(transform, 1).reshape(3, 3), interpolation, fill_mode, fill_value)


@_formed
def perspective_transform(
    x: Images, start: np.ndarray, end: np.ndarray, interpolation: str = "bilinear", fill_value: float = 0
) -> Images:
    """The eight unknowns of the transform from its eight equations."""
    rows, values = [], []
    for (u, v), (p, q) in zip(start, end, strict=True):
        rows += [[p, q, 1, 0, 0, 0, -u * p, -u * q], [0, 0, 0, p, q, 1, -v * p, -v * q]]
        values += [u, v]
    solution = np.linalg.solve(np.array(rows, "float64"), np.array(values, "float64"))
    return _projected(x, np.append(solution, 1).reshape(3, 3), interpolation, "constant", fill_value)


@_formed
def crop_images(x: Images, top: int, left: int, bottom: Any, right: Any, height: int, width: int) -> Images:
    """A slice."""
    return x[top : top + height, left : left + width]


@_formed
def pad_images(x: Images, top: int, left: int, bottom: Any, right: Any, height: int, width: int) -> Images:
    """A slice of zeros replaced."""
    result = np.zeros((height, width, x.shape[-1]), x.dtype)
    result[top : top + x.shape[0], left : left + x.shape[1]] = x
    return result


@_formed
def extract_patches(
    x: Images, size: Any, strides: Any = None, dilation_rate: int = 1, padding: str = "valid"
) -> Images:
    """One patch at a time; of volumes too."""
    rank = x.ndim - 1
    size = (size,) * rank if isinstance(size, int) else size
    strides = size if strides is None else (strides,) * rank if isinstance(strides, int) else strides
    spans = [(n - 1) * dilation_rate + 1 for n in size]
    if padding == "same":
        lacking = [max((-(-n // s) - 1) * s + w - n, 0) for n, s, w in zip(x.shape, strides, spans, strict=False)]
        x = np.pad(x, [*((n // 2, n - n // 2) for n in lacking), (0, 0)])
    places = [range(0, n - w + 1, s) for n, w, s in zip(x.shape, spans, strides, strict=False)]
    result = np.zeros((*map(len, places), math.prod(size) * x.shape[-1]), x.dtype)
    for at in np.ndindex(*map(len, places)):
        starts = [place[i] for place, i in zip(places, at, strict=True)]
        result[at] = x[tuple(slice(i, i + w, dilation_rate) for i, w in zip(starts, spans, strict=True))].ravel()
    return result


@_formed
def gaussian_blur(x: Images, kernel_size: Any = (3, 3), sigma: Any = (1.0, 1.0)) -> Images:
    """SciPy's."""
    for axis in (0, 1):
        radius = kernel_size[axis] // 2
        x = ndimage.gaussian_filter1d(x.astype("float64"), sigma[axis], axis, mode="constant", radius=radius)
    return x


@_formed
def sobel_edges(x: Images) -> Images:
    """SciPy's."""
    channels = np.moveaxis(x, -1, 0)
    edges = [[ndimage.sobel(c, axis, mode="constant") for c in channels] for axis in (0, 1)]
    return np.transpose(edges, (2, 3, 1, 0))


@_formed
def rgb_to_grayscale(x: Images) -> Images:
    """The weights of BT.601."""
    if x.shape[-1] == 1:
        return x
    found = x @ np.array([[0.2989], [0.587], [0.114]])
    return found if x.dtype.kind == "f" else np.trunc(found)


@_formed
def rgb_to_hsv(x: Images) -> Images:
    """Python's."""
    return np.apply_along_axis(lambda c: colorsys.rgb_to_hsv(*c), -1, x)


@_formed
def hsv_to_rgb(x: Images) -> Images:
    """Python's."""
    return np.apply_along_axis(lambda c: colorsys.hsv_to_rgb(*c), -1, x)


def ssim(
    a: Images,
    b: Images,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> np.ndarray:
    """Window by window, with weighted means and variances."""
    if data_format == "channels_first":
        a, b = np.moveaxis(a, -3, -1), np.moveaxis(b, -3, -1)
    if a.ndim == 4:
        pairs = zip(a, b, strict=True)
        return np.array([ssim(*pair, max_val, filter_size, filter_sigma, k1, k2) for pair in pairs])
    at = np.arange(filter_size) - (filter_size - 1) / 2
    window = np.exp(-(at[:, None] ** 2 + at**2) / (2 * filter_sigma**2))[..., None]
    window = window / window.sum()
    found = []
    for i in range(a.shape[0] - filter_size + 1):
        for j in range(a.shape[1] - filter_size + 1):
            u, v = (x[i : i + filter_size, j : j + filter_size].astype("float64") for x in (a, b))
            m, n = (window * u).sum((0, 1)), (window * v).sum((0, 1))
            vu, vv, uv = ((window * p * q).sum((0, 1)) for p, q in ((u - m, u - m), (v - n, v - n), (u - m, v - n)))
            c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
            found.append((2 * m * n + c1) * (2 * uv + c2) / ((m**2 + n**2 + c1) * (vu + vv + c2)))
    return np.mean(found)
