"""What NumPy and SciPy do not have: oracles written for clarity, in double precision."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from scipy import special

Images = np.ndarray


def _each(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _pairs(padding: str, sizes: Sequence[int], spans: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    if padding == "valid":
        return [(0, 0)] * len(sizes)
    if padding == "causal":
        return [(spans[0] - 1, 0)]
    lacking = [max((-(-n // s) - 1) * s + w - n, 0) for n, w, s in zip(sizes, spans, strides, strict=True)]
    return [(n // 2, n - n // 2) for n in lacking]


def _last(x: Images, data_format: str | None) -> Images:
    return np.moveaxis(x, 1, -1) if data_format == "channels_first" else x


def _first(x: Images, data_format: str | None) -> Images:
    return np.moveaxis(x, -1, 1) if data_format == "channels_first" else x


def conv(
    x: Images, kernel: Images, strides: Any = 1, padding: str = "valid", data_format: Any = None, dilation_rate: Any = 1
) -> Images:
    """Cross-correlation, one output position at a time."""
    x, rank = _last(x, data_format), x.ndim - 2
    strides, dilation = _each(strides, rank), _each(dilation_rate, rank)
    *window, depth, filters = kernel.shape
    spans = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
    pairs = _pairs(padding, x.shape[1:-1], spans, strides)
    x = np.pad(x, [(0, 0), *pairs, (0, 0)])
    sizes = [(n - span) // s + 1 for n, span, s in zip(x.shape[1:-1], spans, strides, strict=True)]
    groups = x.shape[-1] // depth
    result = np.zeros((len(x), *sizes, filters))
    for at in product(*map(range, sizes)):
        patch = x[
            (
                slice(None),
                *(slice(i * s, i * s + n, d) for i, s, n, d in zip(at, strides, spans, dilation, strict=False)),
            )
        ]
        for g in range(groups):
            out = slice(g * filters // groups, (g + 1) * filters // groups)
            part = patch[..., g * depth : (g + 1) * depth]
            result[(slice(None), *at, out)] = np.tensordot(part, kernel[..., out], rank + 1)
    return _first(result, data_format)


def depthwise_conv(x: Images, kernel: Images, **kwargs: Any) -> Images:
    """`conv` with as many groups as channels."""
    *window, channels, multiplier = kernel.shape
    return conv(x, kernel.reshape(*window, 1, channels * multiplier), **kwargs)


def conv_transpose(
    x: Images,  # (batch, *spatial, in)
    kernel: Images,  # (*window, out, in)
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Images:
    """Every input adds its multiple of the kernel to the result."""
    x, rank = _last(x, data_format), x.ndim - 2
    strides, dilation = _each(strides, rank), _each(dilation_rate, rank)
    spans = [(w - 1) * d + 1 for w, d in zip(kernel.shape, dilation, strict=False)]
    sizes = x.shape[1:-1]
    result = np.zeros(
        (len(x), *((n - 1) * s + w + s for n, s, w in zip(sizes, strides, spans, strict=False)), kernel.shape[-2])
    )
    for at in product(*map(range, sizes)):
        block = (
            slice(None),
            *(slice(i * s, i * s + w, d) for i, s, w, d in zip(at, strides, spans, dilation, strict=False)),
        )
        result[block] += np.moveaxis(np.tensordot(x[(slice(None), *at)], kernel, (-1, -1)), 0, 0)
    cuts = []
    for n, s, w in zip(sizes, strides, spans, strict=True):
        full, same = (n - 1) * s + w, padding == "same"
        wanted = n * s if same else n * s + max(w - s, 0)
        wanted = wanted if output_padding is None else full - (2 * (w // 2) if same else 0) + output_padding
        low = max(full - wanted, 0) // 2 if same else 0
        cuts.append(slice(low, low + wanted))
    return _first(result[(slice(None), *cuts)], data_format)


def pool(
    x: Images, pool_size: Any, strides: Any, padding: str, data_format: Any, reduce: Any, neutral: float
) -> Images:
    """A reduction of each window, of `neutral` where it overhangs."""
    x, rank = _last(x, data_format), x.ndim - 2
    window = _each(pool_size, rank)
    strides = window if strides is None else _each(strides, rank)
    pairs = _pairs(padding, x.shape[1:-1], window, strides)
    x = np.pad(x.astype("float64"), [(0, 0), *pairs, (0, 0)], constant_values=neutral)
    sizes = [(n - w) // s + 1 for n, w, s in zip(x.shape[1:-1], window, strides, strict=True)]
    result = np.zeros((len(x), *sizes, x.shape[-1]))
    for at in product(*map(range, sizes)):
        block = (slice(None), *(slice(i * s, i * s + w) for i, s, w in zip(at, strides, window, strict=False)))
        result[(slice(None), *at)] = reduce(x[block], axis=tuple(range(1, rank + 1)))
    return _first(result, data_format)


def max_pool(x: Images, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None) -> Images:
    """The maximum of each window."""
    return pool(x, pool_size, strides, padding, data_format, np.max, -np.inf)


def average_pool(
    x: Images, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None
) -> Images:
    """The mean of what lies within the image."""
    return pool(x, pool_size, strides, padding, data_format, np.nanmean, np.nan)


def attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    attn_logits_soft_cap: float | None = None,
) -> np.ndarray:
    """softmax(q · kᵀ · scale + bias) · v, head by head."""
    result = np.zeros((*q.shape[:3], v.shape[-1]))
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    for b, h in product(range(q.shape[0]), range(q.shape[2])):
        g = h * k.shape[2] // q.shape[2]
        scores = q[b, :, h] @ k[b, :, g].T * scale
        if attn_logits_soft_cap:
            scores = attn_logits_soft_cap * np.tanh(scores / attn_logits_soft_cap)
        if bias is not None:
            scores = scores + bias[b % bias.shape[0], h % bias.shape[1]]
        if mask is not None:
            scores = np.where(mask[b % mask.shape[0], h % mask.shape[1]], scores, -1e30)
        if is_causal:
            scores = np.where(np.tri(*scores.shape, dtype=bool), scores, -1e30)
        result[b, :, h] = special.softmax(scores, -1) @ v[b, :, g]
    return result


def sparsemax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """The projection onto the simplex, its threshold found by bisection."""
    low, high = x.max(axis, keepdims=True) - 1, x.max(axis, keepdims=True)
    for _ in range(60):
        middle = (low + high) / 2
        above = np.maximum(x - middle, 0).sum(axis, keepdims=True) > 1
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.maximum(x - high, 0)


def scatter(inputs: np.ndarray, indices: np.ndarray, updates: np.ndarray, reduction: str | None = None) -> np.ndarray:
    """One update at a time."""
    inputs = inputs.copy()
    for index, update in zip(map(tuple, indices), updates, strict=True):
        old = inputs[index]
        inputs[index] = {None: update, "add": old + update, "max": np.maximum(old, update)}[reduction]
    return inputs
