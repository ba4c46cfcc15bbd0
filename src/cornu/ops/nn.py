"""Ops of neural networks: activations, normalisations, convolutions, pooling, losses on tensors, attention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import config
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, ShapeError, bad_choice
from cornu.core.op import Tensor, Untyped, op
from cornu.ops.elementwise import sigmoid, tanh
from cornu.ops.reduction import logsumexp, mean

# activations


@op
def relu(x: Tensor) -> Array:
    """max(x, 0), element-wise; the shape of `x`. https://proceedings.mlr.press/v15/glorot11a.html"""
    x = B.cast(x, "int32") if standardize_dtype(x.dtype) == "bool" else x
    return B.where(x <= 0, B.zeros((), standardize_dtype(x.dtype)), x)  # its gradient at 0 is 0, a maximum's is 1/2


@op(promotion="float")
def relu6(x: Tensor) -> Array:
    """x limited to [0, 6], element-wise; the shape of `x`."""
    return B.minimum(B.maximum(x, 0), 6)


@op
def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Array:
    """x where positive, else slope · x; the shape of `x`."""
    return B.where(x > 0, x, negative_slope * x)


@op(promotion="float")
def elu(x: Tensor, alpha: float = 1.0) -> Array:
    """x where positive, else α (eˣ - 1); the shape of `x`. https://arxiv.org/abs/1511.07289"""
    return B.where(x > 0, x, alpha * B.expm1(B.minimum(x, 0)))


@op(promotion="float")
def celu(x: Tensor, alpha: float = 1.0) -> Array:
    """x where positive, else α (exp(x/α) - 1); the shape of `x`. https://arxiv.org/abs/1704.07483"""
    return B.maximum(x, 0) + alpha * B.expm1(B.minimum(x, 0) / alpha)


@op(promotion="float")
def selu(x: Tensor) -> Array:
    """λ · elu(x, α) with the constants that keep mean 0 and variance 1. https://arxiv.org/abs/1706.02515"""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


@op(promotion="float")
def gelu(x: Tensor, approximate: bool = True) -> Array:
    """x Φ(x), with Φ the normal distribution's, or its tanh approximation. https://arxiv.org/abs/1606.08415"""
    if approximate:
        return 0.5 * x * (1 + B.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + B.erf(x / math.sqrt(2)))


@op(promotion="float")
def silu(x: Tensor) -> Array:
    """x · sigmoid(x), element-wise; the shape of `x`. https://arxiv.org/abs/1702.03118"""
    return x * sigmoid(x)


@op(promotion="float")
def mish(x: Tensor) -> Array:
    """x · tanh(softplus(x)), element-wise; the shape of `x`. https://arxiv.org/abs/1908.08681"""
    return x * tanh(softplus(x))


@op(promotion="float")
def softplus(x: Tensor) -> Array:
    """ln(1 + eˣ), element-wise; the shape of `x`."""
    # Branches, for the slopes of maximum and |x| at 0 would not add up to 1/2.
    return B.where(x > 0, x, B.zeros((), standardize_dtype(x.dtype))) + B.log1p(B.exp(B.where(x > 0, -x, x)))


@op(promotion="float")
def softsign(x: Tensor) -> Array:
    """x / (1 + |x|), element-wise; the shape of `x`."""
    return x / (1 + B.abs(x))


@op(promotion="float")
def log_sigmoid(x: Tensor) -> Array:
    """ln sigmoid(x), element-wise; the shape of `x`."""
    return -softplus(-x)


@op(promotion="float")
def hard_sigmoid(x: Tensor) -> Array:
    """x/6 + 1/2 limited to [0, 1], element-wise; the shape of `x`."""
    return B.minimum(B.maximum(x / 6 + 0.5, 0), 1)


@op(promotion="float")
def hard_silu(x: Tensor) -> Array:
    """x · hard_sigmoid(x), element-wise; the shape of `x`. https://arxiv.org/abs/1905.02244"""
    return x * hard_sigmoid(x)


@op
def hard_tanh(x: Tensor) -> Array:
    """x limited to [-1, 1], element-wise; the shape of `x`."""
    return B.minimum(B.maximum(x, -1), 1)


@op(promotion="float")
def tanh_shrink(x: Tensor) -> Array:
    """x - tanh(x), element-wise; the shape of `x`."""
    return x - B.tanh(x)


@op(promotion="float")
def hard_shrink(x: Tensor, threshold: float = 0.5) -> Array:
    """x where |x| exceeds the threshold, else 0; the shape of `x`."""
    return B.where(B.abs(x) > threshold, x, 0 * x)


@op(promotion="float")
def soft_shrink(x: Tensor, threshold: float = 0.5) -> Array:
    """x drawn towards 0 by the threshold, 0 within it; the shape of `x`."""
    return B.sign(x) * B.maximum(B.abs(x) - threshold, 0)


@op(promotion="float")
def threshold(x: Tensor, threshold: float, default_value: float) -> Array:
    """x where it exceeds the threshold, else the default value; the shape of `x`."""
    return B.where(x > threshold, x, B.convert(default_value, standardize_dtype(x.dtype)))


@op(promotion="float")
def squareplus(x: Tensor, b: float = 4) -> Array:
    """(x + √(x² + b)) / 2, element-wise; the shape of `x`. https://arxiv.org/abs/2112.11687"""
    return (x + B.sqrt(x * x + b)) / 2


@op
def sparse_plus(x: Tensor) -> Array:
    """0 below -1, x above 1, (x + 1)²/4 between; the shape of `x`."""
    return B.where(x <= -1, 0 * x, B.where(x < 1, (x + 1) * (x + 1) / 4, x))


@op
def sparse_sigmoid(x: Tensor) -> Array:
    """(x + 1)/2 limited to [0, 1], element-wise; the shape of `x`."""
    return B.minimum(B.maximum((x + 1) / 2, 0), 1)


@op(promotion="float")
def glu(x: Tensor, axis: int = -1) -> Array:
    """a · sigmoid(b), for the halves a, b of `x` along the axis. https://arxiv.org/abs/1612.08083"""
    if x.shape[axis] % 2:
        raise ShapeError(f"glu: axis {axis} should have an even size to be halved, got shape {tuple(x.shape)}.")
    half, at = x.shape[axis] // 2, (slice(None),) * (axis % x.ndim)
    return x[(*at, slice(0, half))] * sigmoid(x[(*at, slice(half, None))])


@op(promotion="float")
def softmax(x: Tensor, axis: Any = -1) -> Array:
    """exp(x) / Σ exp(x) along the axis (or axes); the shape of `x`, at least float32 inside."""
    axis = tuple(axis) if isinstance(axis, list) else tuple(range(x.ndim)) if axis is None else axis
    top = B.stop_gradient(B.max(x, axis=axis, keepdims=True))
    weights = B.exp(x - top)
    return weights / B.sum(weights, axis=axis, keepdims=True)


@op(promotion="float")
def log_softmax(x: Tensor, axis: Any = -1) -> Array:
    """ln softmax(x) along the axis (or axes); the shape of `x`."""
    return x - logsumexp(x, axis, keepdims=True)


@op(promotion="float")
def sparsemax(x: Tensor, axis: int = -1) -> Array:
    """The nearest point of the probability simplex, with exact zeros. https://arxiv.org/abs/1602.02068"""
    z = B.flip(B.sort(x, axis=axis), axis)
    ranks = B.arange(1, x.shape[axis] + 1, 1, standardize_dtype(x.dtype))
    ranks = B.reshape(ranks, [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    sums = B.cumsum(z, axis)
    support = B.sum(B.cast(1 + ranks * z > sums, "int32"), axis=axis, keepdims=True)
    tau = (B.take_along_axis(sums, support - 1, axis) - 1) / B.cast(support, standardize_dtype(x.dtype))
    return B.maximum(x - tau, 0)


# encodings


@op(promotion=None)
def one_hot(x: Untyped, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Array:
    """1 at the index, 0 elsewhere, along a new axis of `num_classes`; indices outside give all zeros."""
    axis = axis % (x.ndim + 1)
    classes = B.reshape(B.arange(0, num_classes, 1, "int32"), [-1 if i == axis else 1 for i in range(x.ndim + 1)])
    return B.cast(B.expand_dims(B.cast(x, "int32"), axis) == classes, standardize_dtype(dtype))


@op(promotion=None)
def multi_hot(
    inputs: Untyped, num_classes: int | None = None, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Array:
    """1 at every index of the last axis, which becomes `num_classes` long: (…, count) -> (…, num_classes)."""
    if num_classes is None:
        raise ArgumentError("multi_hot: give `num_classes`, the length of the result's last axis.")
    hot = one_hot(inputs, num_classes, axis, dtype)
    return B.max(hot, axis=1 if inputs.ndim > 1 else 0)


# normalisation


@op(promotion="float")
def moments(x: Tensor, axes: Any, keepdims: bool = False, synchronized: bool = False) -> tuple[Array, Array]:
    """Mean and variance along the axes, computed in at least float32."""
    dtype = standardize_dtype(x.dtype)
    wide = B.cast(x, "float32") if dtype in ("float16", "bfloat16") else x
    centre = mean(wide, axes, keepdims=True)
    variance = mean(B.abs(wide - centre) ** 2, axes, keepdims)
    centre = centre if keepdims else mean(centre, axes)
    return B.cast(centre, dtype), B.cast(variance, dtype)


@op(promotion="float")
def batch_normalization(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    axis: int,
    offset: Tensor = None,
    scale: Tensor = None,
    epsilon: float = 1e-3,
) -> Array:
    """(x - mean) / √(variance + ε) · scale + offset, the statistics along `axis`. https://arxiv.org/abs/1502.03167"""
    form = [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)]
    factor = B.rsqrt(variance + epsilon)
    factor = factor if scale is None else factor * scale
    scaled = (x - B.reshape(mean, form)) * B.reshape(factor, form)
    return scaled if offset is None else scaled + B.reshape(offset, form)


@op(promotion="float")
def layer_normalization(
    x: Tensor, gamma: Tensor = None, beta: Tensor = None, axis: Any = -1, epsilon: float | None = None
) -> Array:
    """(x - mean) / √(variance + ε) · γ + β along the axes. https://arxiv.org/abs/1607.06450"""
    epsilon = config.epsilon() if epsilon is None else epsilon
    dtype = standardize_dtype(x.dtype)
    wide = B.cast(x, "float32") if dtype in ("float16", "bfloat16") else x
    centred = wide - mean(wide, axis, keepdims=True)
    scaled = centred * B.rsqrt(mean(centred * centred, axis, keepdims=True) + epsilon)
    axes = sorted(i % x.ndim for i in ([axis] if isinstance(axis, int) else axis))
    form = [x.shape[i] if i in axes else 1 for i in range(x.ndim)]
    if gamma is not None:
        scaled = scaled * B.reshape(gamma, form)
    if beta is not None:
        scaled = scaled + B.reshape(beta, form)
    return B.cast(scaled, dtype)


@op(promotion="float")
def rms_normalization(x: Tensor, scale: Tensor = None, axis: Any = -1, epsilon: float | None = None) -> Array:
    """x / √(mean(x²) + ε) · scale along the axes. https://arxiv.org/abs/1910.07467"""
    epsilon = config.epsilon() if epsilon is None else epsilon
    dtype = standardize_dtype(x.dtype)
    wide = B.cast(x, "float32") if dtype in ("float16", "bfloat16") else x
    scaled = wide * B.rsqrt(mean(wide * wide, axis, keepdims=True) + epsilon)
    return B.cast(scaled if scale is None else scaled * scale, dtype)


@op(promotion="float")
def normalize(x: Tensor, axis: int = -1, order: int = 2, epsilon: float | None = None) -> Array:
    """x divided by its norm along the axis, at least ε."""
    epsilon = config.epsilon() if epsilon is None else epsilon
    dtype = standardize_dtype(x.dtype)
    wide = B.cast(x, "float32") if dtype in ("float16", "bfloat16") else x  # ε² is 0 in 16 bits
    if order == 2:
        return B.cast(wide * B.rsqrt(B.maximum(B.sum(wide * wide, axis=axis, keepdims=True), epsilon**2)), dtype)
    size = B.sum(B.abs(wide) ** order, axis=axis, keepdims=True) ** (1 / order)
    return B.cast(wide / B.maximum(size, epsilon), dtype)


# convolution and pooling


def _each(value: Any, rank: int, name: str) -> tuple[int, ...]:
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank or any(not isinstance(v, int) or v < 1 for v in values):
        raise ArgumentError(f"{name} should be a positive int or {rank} of them, got {value!r}.")
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


def _to_last(x: Array, data_format: str) -> Array:
    return B.transpose(x, (0, *range(2, x.ndim), 1)) if data_format == "channels_first" else x


def _from_last(x: Array, data_format: str) -> Array:
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
    """
    data_format = config.standardize_data_format(data_format)
    x = _to_last(inputs, data_format)
    rank = x.ndim - 2
    if kernel.ndim != rank + 2:
        raise ShapeError(
            f"conv: inputs of shape {tuple(inputs.shape)} need a kernel of {rank + 2} axes, got shape "
            f"{tuple(kernel.shape)}."
        )
    channels, depth, filters = x.shape[-1], kernel.shape[-2], kernel.shape[-1]
    if channels % depth or filters % (channels // depth):
        raise ShapeError(
            f"conv: {channels} channels in inputs of shape {tuple(inputs.shape)} ({data_format}) do not fit a "
            "kernel of shape "
            f"{tuple(kernel.shape)}: its depth {depth} should divide them, and the groups should divide {filters}."
        )
    strides, dilation = _each(strides, rank, "strides"), _each(dilation_rate, rank, "dilation_rate")
    windows = [(k - 1) * d + 1 for k, d in zip(kernel.shape[:-2], dilation, strict=True)]
    pairs = explicit_padding(padding, x.shape[1:-1], windows, strides)
    for size, window, (low, high) in zip(x.shape[1:-1], windows, pairs, strict=True):
        if size + low + high < window:
            raise ShapeError(
                f"conv: the window {tuple(windows)} (after dilation) is larger than the images of shape "
                f"{tuple(inputs.shape)}; make the images larger or use padding='same'."
            )
    result = B.conv(x, kernel, strides, pairs, dilation, (1,) * rank, channels // depth)
    return _from_last(result, data_format)


@op
def depthwise_conv(
    inputs: Tensor,
    kernel: Tensor,
    strides: Any = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Array:
    """Each channel convolved by itself: kernel (*window, in, multiplier), result with in · multiplier channels."""
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
    """
    data_format = config.standardize_data_format(data_format)
    x = _to_last(inputs, data_format)
    rank = x.ndim - 2
    strides, dilation = _each(strides, rank, "strides"), _each(dilation_rate, rank, "dilation_rate")
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
    return _from_last(result, data_format)


def _pool(inputs: Array, pool_size: Any, strides: Any, padding: str, data_format: str | None, mode: str) -> Any:
    data_format = config.standardize_data_format(data_format)
    x = _to_last(inputs, data_format)
    rank = x.ndim - 2
    window = _each(pool_size, rank, "pool_size")
    strides = window if strides is None else _each(strides, rank, "strides")
    pairs = explicit_padding(padding, x.shape[1:-1], window, strides)
    for size, width, (low, high) in zip(x.shape[1:-1], window, pairs, strict=True):
        if size + low + high < width:
            raise ShapeError(
                f"{mode} pooling: the window {window} is larger than the images of shape {tuple(inputs.shape)}; "
                "make the "
                "images larger, the window smaller, or use padding='same'."
            )
    result = B.pool(x, window, strides, pairs, "max" if mode == "max" else "sum")
    if mode == "average":
        if any(low or high for low, high in pairs):
            ones = B.full((1, *x.shape[1:-1], 1), 1, standardize_dtype(x.dtype))
            result = result / B.pool(ones, window, strides, pairs, "sum")
        else:
            result = result / math.prod(window)
    return _from_last(result, data_format)


@op
def max_pool(
    inputs: Tensor, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Array:
    """The largest value in each window; `strides` default to the window: (batch, *spatial, channels) to the same."""
    return _pool(inputs, pool_size, strides, padding, data_format, "max")


@op(promotion="float")
def average_pool(
    inputs: Tensor, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Array:
    """The mean of each window, padding not counted; `strides` default to the window."""
    return _pool(inputs, pool_size, strides, padding, data_format, "average")


# losses on tensors


def _check_same_shape(target: Any, output: Any, *args: Any, **kwargs: Any) -> None:
    a, b = tuple(target.shape), tuple(output.shape)
    if len(a) != len(b) or any(m is not None and n is not None and m != n for m, n in zip(a, b, strict=True)):
        raise ShapeError(f"target and output should have one shape, got {a} and {b}.")


@op(promotion="float", check=_check_same_shape)
def categorical_crossentropy(target: Tensor, output: Tensor, from_logits: bool = False, axis: int = -1) -> Array:
    """-Σ target · ln(output) along the axis; `output` holds probabilities, or logits with `from_logits`."""
    return -B.sum(target * _log_probabilities(output, from_logits, axis), axis=axis)


@op(promotion="float")
def _log_probabilities(output: Tensor, from_logits: bool, axis: int) -> Array:
    if from_logits:
        return log_softmax(output, axis)
    output = output / B.sum(output, axis=axis, keepdims=True)
    epsilon = config.epsilon()
    return B.log(B.minimum(B.maximum(output, epsilon), 1 - epsilon))


@op(promotion=None)
def sparse_categorical_crossentropy(
    target: Untyped, output: Tensor, from_logits: bool = False, axis: int = -1
) -> Array:
    """-ln(output[target]) along the axis: integer targets (…) or (…, 1), outputs (…, classes); NaN for bad targets."""
    axis = axis % output.ndim
    if target.ndim == output.ndim and target.shape[axis] == 1:
        target = B.squeeze(target, axis)
    if tuple(target.shape) != tuple(s for i, s in enumerate(output.shape) if i != axis):
        raise ShapeError(
            f"Integer targets of shape {tuple(target.shape)} do not fit outputs of shape {tuple(output.shape)}: "
            "they should "
            f"have the shape of the outputs without axis {axis}. For one-hot targets use categorical_crossentropy."
        )
    target = B.expand_dims(B.cast(target, "int32"), axis)
    valid = B.logical_and(target >= 0, target < output.shape[axis])
    chosen = B.take_along_axis(_log_probabilities(output, from_logits, axis), B.where(valid, target, 0), axis)
    # A label outside of the classes has no probability: NaN marks it, the loop explains it.
    return B.squeeze(B.where(valid, -chosen, math.nan), axis)


@op(promotion="float", check=_check_same_shape)
def binary_crossentropy(target: Tensor, output: Tensor, from_logits: bool = False) -> Array:
    """-target · ln(output) - (1 - target) · ln(1 - output), element-wise; `output` probabilities or logits."""
    if from_logits:
        return softplus(output) - output * target
    epsilon = config.epsilon()
    output = B.minimum(B.maximum(output, epsilon), 1 - epsilon)
    return -(target * B.log(output) + (1 - target) * B.log(1 - output))


# attention


@op(promotion=None)
def dot_product_attention(
    query: Tensor,  # (batch, queries, heads, depth)
    key: Tensor,  # (batch, keys, groups of heads, depth)
    value: Tensor,
    bias: Untyped = None,  # (batch or 1, heads or 1, queries, keys)
    mask: Untyped = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Array:
    """softmax(query · keyᵀ · scale + bias) · value. https://arxiv.org/abs/1706.03762

    (batch, queries, heads, depth) with keys and values (batch, keys, heads, depth), whose heads may be shared by
    groups of query heads. `mask` is true where attention is allowed; a query that may attend to nothing gets the mean.
    """
    dtype = standardize_dtype(query.dtype)
    groups = query.shape[2] // key.shape[2]
    if groups > 1:  # https://arxiv.org/abs/2305.13245
        key, value = B.repeat(key, groups, 2), B.repeat(value, groups, 2)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = B.einsum("bqhd,bkhd->bhqk", query * B.convert(scale, dtype), key)
    scores = B.cast(scores, "float32") if dtype in ("float16", "bfloat16") else scores
    if attn_logits_soft_cap is not None:
        scores = attn_logits_soft_cap * B.tanh(scores / attn_logits_soft_cap)
    if bias is not None:
        scores = scores + B.cast(bias, standardize_dtype(scores.dtype))
    allowed = None if mask is None else B.cast(mask, "bool")
    if is_causal:
        rows, columns = (B.arange(0, n, 1, "int32") for n in scores.shape[-2:])
        causal = (rows[:, None] >= columns[None, :])[None, None]
        allowed = causal if allowed is None else B.logical_and(allowed, causal)
    if allowed is not None:
        scores = B.where(allowed, scores, -0.7 * 3.4e38)
    return B.einsum("bhqk,bkhd->bqhd", B.cast(softmax(scores), dtype), value)
