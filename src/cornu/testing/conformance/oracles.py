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


def separable_conv(x: Images, depthwise: Images, pointwise: Images, **kwargs: Any) -> Images:
    """Channels one by one, then all of them at each pixel."""
    return conv(depthwise_conv(x, depthwise, **kwargs), pointwise, data_format=kwargs.get("data_format"))


def adaptive_pool(x: Images, output_size: Any, data_format: str | None = None, reduce: Any = np.mean) -> Images:
    """A reduction of each window."""
    x = _last(x, data_format)
    sizes = _each(output_size, x.ndim - 2)
    blocks = [
        [slice(int(np.floor(i * n / m)), int(np.ceil((i + 1) * n / m))) for i in range(m)]
        for n, m in zip(x.shape[1:-1], sizes, strict=True)
    ]
    result = [reduce(x[(slice(None), *at)], axis=tuple(range(1, x.ndim - 1))) for at in product(*blocks)]
    return _first(np.stack(result, 1).reshape(len(x), *sizes, x.shape[-1]), data_format)


def depth_to_space(x: Images, block_size: int, data_format: str | None = None) -> Images:
    """One pixel at a time."""
    b, first, x = block_size, data_format == "channels_first", _last(x, data_format)
    n, h, w, depth = x.shape
    c = depth // b**2
    result = np.zeros((n, h * b, w * b, c), x.dtype)
    for i, j, k in product(range(h * b), range(w * b), range(c)):
        within = i % b * b + j % b
        result[:, i, j, k] = x[:, i // b, j // b, k * b**2 + within if first else within * c + k]
    return _first(result, data_format)


def space_to_depth(x: Images, block_size: int, data_format: str | None = None) -> Images:
    """One pixel at a time."""
    b, first, x = block_size, data_format == "channels_first", _last(x, data_format)
    n, h, w, c = x.shape
    result = np.zeros((n, h // b, w // b, c * b**2), x.dtype)
    for i, j, k in product(range(h), range(w), range(c)):
        within = i % b * b + j % b
        result[:, i // b, j // b, k * b**2 + within if first else within * c + k] = x[:, i, j, k]
    return _first(result, data_format)


def _windows(size: Sequence[int], kernel: Any, dilation: Any, padding: Any, stride: Any) -> list[Any]:
    """The padded rows and columns under each place of the window."""
    k, d, p, s = (_each(value, 2) for value in (kernel, dilation, padding, stride))
    starts = [range(0, n + 2 * p - (k - 1) * d, s) for n, k, d, p, s in zip(size, k, d, p, s, strict=True)]
    return [np.ix_(*(i + d * np.arange(k) for i, k, d in zip(at, k, d, strict=True))) for at in product(*starts)]


def unfold(x: Images, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> np.ndarray:
    """One patch at a time."""
    p = _each(padding, 2)
    windows = _windows(x.shape[2:], kernel_size, dilation, padding, stride)
    x = np.pad(x, [(0, 0), (0, 0), (p[0], p[0]), (p[1], p[1])])
    return np.stack([x[(slice(None), slice(None), *at)].reshape(len(x), -1) for at in windows], -1)


def fold(
    x: np.ndarray, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Images:
    """One patch at a time."""
    (h, w), (p, q), kernel = _each(output_size, 2), _each(padding, 2), _each(kernel_size, 2)
    result = np.zeros((len(x), x.shape[1] // (kernel[0] * kernel[1]), h + 2 * p, w + 2 * q), x.dtype)
    for i, at in enumerate(_windows((h, w), kernel, dilation, padding, stride)):
        result[(slice(None), slice(None), *at)] += x[:, :, i].reshape(*result.shape[:2], *kernel)
    return result[:, :, p : p + h, q : q + w]


def _spelled(path: Sequence[int], blank: int, merge: bool = True) -> tuple[int, ...]:
    """What the classes of all steps say, without blanks and repeats."""
    return tuple(c for i, c in enumerate(path) if c != blank and not (merge and i and c == path[i - 1]))


def _alignments(logits: np.ndarray, blank: int) -> dict[tuple[int, ...], float]:
    """The log probability of every label sequence: the sum over all its alignments."""
    logs = special.log_softmax(logits, -1)
    found: dict[tuple[int, ...], float] = {}
    for path in product(range(logits.shape[1]), repeat=len(logits)):
        labels = _spelled(path, blank)
        found[labels] = np.logaddexp(found.get(labels, -np.inf), sum(logs[range(len(path)), list(path)]))
    return found


def ctc_loss(
    target: np.ndarray, output: np.ndarray, target_length: Any, output_length: Any, mask_index: int = 0
) -> np.ndarray:
    """The sum over all alignments."""
    lengths = zip(target, output, target_length, output_length, strict=True)
    return np.array([-_alignments(o[:steps], mask_index)[tuple(t[:labels])] for t, o, labels, steps in lengths])


def ctc_decode(
    inputs: np.ndarray,
    lengths: np.ndarray,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """The best of all label sequences, or step by step."""
    paths = np.full((top_paths, *inputs.shape[:2]), -1)
    scores = np.full((len(inputs), top_paths), -np.inf)
    for b, (logits, steps) in enumerate(zip(inputs, lengths, strict=True)):
        logits = logits[:steps]
        found = [(_spelled(list(np.argmax(logits, -1)), mask_index, merge_repeated), -np.max(logits, -1).sum())]
        if strategy == "beam_search":
            found = sorted(_alignments(logits, mask_index).items(), key=lambda item: -item[1])
        for i, (labels, score) in enumerate(found[:top_paths]):
            paths[i, b, : len(labels)], scores[b, i] = labels, score
    return paths, scores
