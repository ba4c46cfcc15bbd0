"""Ops of neural networks: activations, encodings, normalisations, losses on tensors, attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import config
from cornu.base.checks import whole
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, BackendError, ShapeError
from cornu.base.lazy import lazy_names
from cornu.core.op import Tensor, Untyped, op
from cornu.ops.elementwise import polar as polar
from cornu.ops.elementwise import sigmoid, tanh, widen
from cornu.ops.reduction import in_float32, logsumexp, mean

# activations


@op
def relu(x: Tensor) -> Array:
    """max(x, 0), element-wise; the shape of `x`. https://proceedings.mlr.press/v15/glorot11a.html

    >>> print(ops.relu([-2, 0, 3]))
    [0 0 3]
    """
    x = B.cast(x, "int32") if standardize_dtype(x.dtype) == "bool" else x
    return B.where(x <= 0, B.zeros((), standardize_dtype(x.dtype)), x)  # its gradient at 0 is 0, a maximum's is 1/2


@op(promotion="float")
def relu6(x: Tensor) -> Array:
    """x limited to [0, 6], element-wise; the shape of `x`.

    >>> print(ops.relu6([-1, 3, 9]))
    [0. 3. 6.]
    """
    return B.minimum(relu(x), 6)


@op
def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Array:
    """x where positive, else slope · x; the shape of `x`.

    >>> print(ops.leaky_relu([-10.0, 5.0]))
    [-2.  5.]
    """
    return B.where(x > 0, x, negative_slope * x)


@op(promotion="float")
def elu(x: Tensor, alpha: float = 1.0) -> Array:
    """x where positive, else α (eˣ - 1); the shape of `x`. https://arxiv.org/abs/1511.07289

    >>> print(ops.elu([-np.inf, 0, 2]))
    [-1.  0.  2.]
    """
    return B.where(x > 0, x, alpha * B.expm1(B.where(x > 0, B.zeros((), standardize_dtype(x.dtype)), x)))


@op(promotion="float")
def celu(x: Tensor, alpha: float = 1.0) -> Array:
    """x where positive, else α (exp(x/α) - 1); the shape of `x`. https://arxiv.org/abs/1704.07483

    >>> print(ops.celu([-np.inf, 0, 2], alpha=3))
    [-3.  0.  2.]
    """
    return alpha * elu(x / alpha)


@op(promotion="float")
def selu(x: Tensor) -> Array:
    """λ · elu(x, α) with the constants that keep mean 0 and variance 1. https://arxiv.org/abs/1706.02515

    >>> print(ops.selu([-np.inf, 0, 1]).round(2))
    [-1.76  0.    1.05]
    """
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


@op(promotion="float")
def gelu(x: Tensor, approximate: bool = True) -> Array:
    """x Φ(x), with Φ the normal distribution's, or its tanh approximation. https://arxiv.org/abs/1606.08415

    >>> f"{ops.gelu(-3):.4f}", f"{ops.gelu(-3, approximate=False):.4f}"
    ('-0.0036', '-0.0040')
    """
    if approximate:
        return 0.5 * x * (1 + B.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + B.erf(x / math.sqrt(2)))


@op(promotion="float")
def silu(x: Tensor) -> Array:
    """x · sigmoid(x), element-wise; the shape of `x`. https://arxiv.org/abs/1702.03118

    >>> print(ops.silu([-1, 0, 1]).round(1))
    [-0.3  0.   0.7]
    """
    return x * sigmoid(x)


@op(promotion="float")
def mish(x: Tensor) -> Array:
    """x · tanh(softplus(x)), element-wise; the shape of `x`. https://arxiv.org/abs/1908.08681

    >>> print(ops.mish([-1, 0, 2]).round(1))
    [-0.3  0.   1.9]
    """
    return B.maximum(x, -1000) * tanh(softplus(x))  # 0, where -∞ · 0 would be NaN


@op(promotion="float")
def softplus(x: Tensor) -> Array:
    """ln(1 + eˣ), element-wise; the shape of `x`.

    >>> print(ops.softplus([-np.inf, 0, 100]).round(2))
    [  0.     0.69 100.  ]
    """
    # Branches, for the slopes of maximum and |x| at 0 would not add up to 1/2.
    return B.where(x > 0, x, B.zeros((), standardize_dtype(x.dtype))) + B.log1p(B.exp(B.where(x > 0, -x, x)))


@op(promotion="float")
def softsign(x: Tensor) -> Array:
    """x / (1 + |x|), element-wise; the shape of `x`.

    >>> print(ops.softsign([-1, 0, 3]))
    [-0.5   0.    0.75]
    """
    return x / (1 + B.abs(x))


@op(promotion="float")
def log_sigmoid(x: Tensor) -> Array:
    """ln sigmoid(x), element-wise; the shape of `x`.

    >>> print(ops.log_sigmoid([-100, 0]).round(2))
    [-100.     -0.69]
    """
    return -softplus(-x)


@op(promotion="float")
def hard_sigmoid(x: Tensor) -> Array:
    """x/6 + 1/2 limited to [0, 1], element-wise; the shape of `x`.

    >>> print(ops.hard_sigmoid([-3, 0, 3]))
    [0.  0.5 1. ]
    """
    return B.minimum(B.maximum(x / 6 + 0.5, 0), 1)


@op(promotion="float")
def hard_silu(x: Tensor) -> Array:
    """x · hard_sigmoid(x), element-wise; the shape of `x`. https://arxiv.org/abs/1905.02244

    >>> print(ops.hard_silu([-1.5, 0, 6]))
    [-0.375  0.     6.   ]
    """
    x = B.maximum(x, -3)  # below it is 0, where -∞ · 0 would be NaN
    return x * (B.minimum(x + 3, 6) / 6)


swish, hard_swish = silu, hard_silu


@op
def hard_tanh(x: Tensor) -> Array:
    """x limited to [-1, 1], element-wise; the shape of `x`.

    >>> print(ops.hard_tanh([-5, 0.5, 5]))
    [-1.   0.5  1. ]
    """
    return B.minimum(B.maximum(x, -1), 1)


@op(promotion="float")
def tanh_shrink(x: Tensor) -> Array:
    """x - tanh(x), element-wise; the shape of `x`.

    >>> print(ops.tanh_shrink([0, 99]))
    [ 0. 98.]
    """
    return x - B.tanh(x)


@op(promotion="float")
def hard_shrink(x: Tensor, threshold: float = 0.5) -> Array:
    """x where |x| exceeds the threshold, else 0; the shape of `x`.

    >>> print(ops.hard_shrink([0.5, 0.75, -2]))
    [ 0.    0.75 -2.  ]
    """
    return B.where(B.abs(x) <= threshold, 0, x)


@op(promotion="float")
def soft_shrink(x: Tensor, threshold: float = 0.5) -> Array:
    """x drawn towards 0 by the threshold, 0 within it; the shape of `x`.

    >>> print(ops.soft_shrink([0.5, 0.75, -2]))
    [ 0.    0.25 -1.5 ]
    """
    return B.sign(x) * B.maximum(B.abs(x) - threshold, 0)


@op(promotion="float")
def threshold(x: Tensor, threshold: float, default_value: float) -> Array:
    """x where it exceeds the threshold, else the default value; the shape of `x`.

    >>> print(ops.threshold([1, 2, 3], 2, default_value=-1))
    [-1. -1.  3.]
    """
    return B.where(x > threshold, x, B.convert(default_value, standardize_dtype(x.dtype)))


@op(promotion="float")
@in_float32
def squareplus(x: Tensor, b: float = 4) -> Array:
    """(x + √(x² + b)) / 2, element-wise; the shape of `x`. https://arxiv.org/abs/2112.11687

    >>> print(ops.squareplus([0, 1.5]))
    [1. 2.]
    """
    # With h = x/2: h + |h| + b/4 / (|h| + √(h² + b/4)), where no difference loses digits; beyond 1e18 b is nothing.
    half, b = B.maximum(x / 2, -1e38), b / 4
    size = B.where(half > 0, half, -half)  # unlike that of |h|, its slope at 0 is the one that the sum needs
    root = B.where(size > 1e18, size, B.sqrt(half * half + b))
    return half + size + b / B.maximum(size + root, 1e-30)


@op
def sparse_plus(x: Tensor) -> Array:
    """0 below -1, x above 1, (x + 1)²/4 between; the shape of `x`.

    >>> print(ops.sparse_plus([0.0, 1.0, 3.0]))
    [0.25 1.   3.  ]
    """
    return B.where(x <= -1, 0, B.where(x < 1, (x + 1) * (x + 1) / 4, x))


@op
def sparse_sigmoid(x: Tensor) -> Array:
    """(x + 1)/2 limited to [0, 1], element-wise; the shape of `x`.

    >>> print(ops.sparse_sigmoid([-1.0, 0.0, 2.0]))
    [0.  0.5 1. ]
    """
    return B.minimum(B.maximum((x + 1) / 2, 0), 1)


@op(promotion="float")
def glu(x: Tensor, axis: int = -1) -> Array:
    """a · sigmoid(b), for the halves a, b of `x` along the axis. https://arxiv.org/abs/1612.08083

    >>> print(ops.glu([3, 4, 0, np.inf]))
    [1.5 4. ]
    """
    if x.shape[axis] % 2:
        raise ShapeError(f"glu: axis {axis} should have an even size to be halved, got shape {tuple(x.shape)}.")
    half, at = x.shape[axis] // 2, (slice(None),) * (axis % x.ndim)
    return x[(*at, slice(0, half))] * sigmoid(x[(*at, slice(half, None))])


@op(promotion="float")
def softmax(x: Tensor, axis: Any = -1) -> Array:
    """exp(x) / Σ exp(x) along the axis (or axes); the shape of `x`, at least float32 inside.

    >>> print(ops.softmax([1000, 1000, -np.inf]))
    [0.5 0.5 0. ]
    """
    axis = tuple(axis) if isinstance(axis, list) else tuple(range(x.ndim)) if axis is None else axis
    top = B.stop_gradient(B.max(x, axis=axis, keepdims=True))
    weights = B.exp(x - top)
    return weights / B.sum(weights, axis=axis, keepdims=True)


@op(promotion="float")
def log_softmax(x: Tensor, axis: Any = -1) -> Array:
    """ln softmax(x) along the axis (or axes); the shape of `x`.

    >>> print(ops.log_softmax([1000, 0]))
    [    0. -1000.]
    """
    return x - logsumexp(x, axis, keepdims=True)


@op(promotion="float")
def sparsemax(x: Tensor, axis: int = -1) -> Array:
    """The nearest point of the probability simplex, with exact zeros. https://arxiv.org/abs/1602.02068

    >>> print(ops.sparsemax([1, 0.5, -1]))
    [0.75 0.25 0.  ]
    """
    z = B.flip(B.sort(x, axis=axis), axis)
    ranks = B.arange(1, x.shape[axis] + 1, 1, standardize_dtype(x.dtype))
    ranks = B.reshape(ranks, [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    sums = B.cumsum(z, axis)
    support = B.sum(B.cast(1 + ranks * z > sums, "int32"), axis=axis, keepdims=True)
    tau = (B.take_along_axis(sums, support - 1, axis) - 1) / B.cast(support, standardize_dtype(x.dtype))
    return B.maximum(x - tau, 0)


# encodings


def _check_classes(x: Any, num_classes: int, *_: Any, **__: Any) -> None:
    whole("one_hot", 0, num_classes=num_classes)


@op(promotion=None, check=_check_classes)
def one_hot(x: Untyped, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Array:
    """1 at the index, 0 elsewhere, along a new axis of `num_classes`; indices outside give all zeros.

    With `sparse` it is a sparse tensor of the backend's own kind, which `matmul` takes as it is.

    >>> print(ops.one_hot([0, 2, -1], 3))
    [[1. 0. 0.]
     [0. 0. 1.]
     [0. 0. 0.]]
    """
    axis = axis % (x.ndim + 1)
    if sparse:
        return _hot(x, B.cast(x, "int32") * 0 == 0, num_classes, axis, None, dtype)
    classes = B.reshape(B.arange(0, num_classes, 1, "int32"), [-1 if i == axis else 1 for i in range(x.ndim + 1)])
    return B.cast(B.expand_dims(B.cast(x, "int32"), axis) == classes, standardize_dtype(dtype))


@op(promotion=None)
def multi_hot(
    inputs: Untyped, num_classes: int | None = None, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Array:
    """1 at every index of the last axis, which becomes `num_classes` long: (…, count) -> (…, num_classes).

    With `sparse` it is a sparse tensor of the backend's own kind, which `matmul` takes as it is.

    >>> print(ops.multi_hot([[0, 2], [1, 1]], 3))
    [[1. 0. 1.]
     [0. 1. 0.]]
    """
    if num_classes is None:
        raise ArgumentError("multi_hot: give `num_classes`, the length of the result's last axis.")
    over = 1 if inputs.ndim > 1 else 0
    place = axis % (inputs.ndim + 1)
    if not sparse or place == over:
        return B.max(one_hot(inputs, num_classes, axis, dtype), axis=over)
    along = over - (place < over)  # the axis of `inputs` that is reduced
    one, other = B.expand_dims(inputs, along), B.expand_dims(inputs, along + 1)
    count = inputs.shape[along]
    earlier = B.reshape(
        B.convert(np.tri(count, k=-1, dtype=bool)),
        [count if i in (along, along + 1) else 1 for i in range(inputs.ndim + 1)],
    )
    repeated = B.any(B.logical_and(one == other, earlier), axis=along + 1)
    return _hot(inputs, B.logical_not(repeated), num_classes, place, over, dtype)


def _hot(x: Array, first: Array, num_classes: int, axis: int, over: int | None, dtype: Any) -> Any:
    """The sparse tensor of 1 at the class numbers that are `first` and valid, along `axis`, without the axis `over`."""
    x = B.cast(x, "int32")
    valid = B.logical_and(first, B.logical_and(x >= 0, x < num_classes))  # what is not holds an explicit 0
    places = [
        B.broadcast_to(B.reshape(B.arange(0, n, 1, "int32"), [-1 if i == k else 1 for i in range(x.ndim)]), x.shape)
        for k, n in enumerate(x.shape)
    ]
    places.insert(axis, B.where(valid, x, 0))
    shape = [*x.shape[:axis], num_classes, *x.shape[axis:]]
    if over is not None:
        del places[over], shape[over]
    indices = B.stack([B.reshape(place, (-1,)) for place in places], -1)
    return B.sparse(indices, B.reshape(B.cast(valid, standardize_dtype(dtype)), (-1,)), shape)


# normalisation


@op(promotion="float")
def moments(x: Tensor, axes: Any, keepdims: bool = False, synchronized: bool = False) -> tuple[Array, Array]:
    """Mean and variance along the axes, computed in at least float32.

    >>> print(*ops.moments([[1, 3], [2, 2]], axes=1))
    [2. 2.] [1. 0.]
    """
    dtype = standardize_dtype(x.dtype)
    wide = widen(x)
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
    """(x - mean) / √(variance + ε) · scale + offset, the statistics along `axis`. https://arxiv.org/abs/1502.03167

    >>> print(ops.batch_normalization([[3, 5]], mean=[1, 5], variance=[4, 1], axis=-1).round(2))
    [[1. 0.]]
    """
    form = [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)]
    factor = B.rsqrt(variance + epsilon)
    factor = factor if scale is None else factor * scale
    scaled = (x - B.reshape(mean, form)) * B.reshape(factor, form)
    return scaled if offset is None else scaled + B.reshape(offset, form)


def batch_normalized(x: Array, gamma: Any, beta: Any, axis: int, epsilon: float) -> tuple[Array, Array, Array]:
    """`batch_normalization` by the moments of x itself, in the dtype of x; and these, in at least float32."""
    fused = B.fused_batch_norm(x, gamma, beta, axis, epsilon)
    if fused is not None:
        return fused
    wide = widen(x)
    centre, variance = moments(wide, tuple(i for i in range(x.ndim) if i != axis % x.ndim))
    scaled = batch_normalization(wide, centre, variance, axis, beta, gamma, epsilon)
    return B.cast(scaled, standardize_dtype(x.dtype)), centre, variance


@op(promotion="float")
def layer_normalization(
    x: Tensor, gamma: Tensor = None, beta: Tensor = None, axis: Any = -1, epsilon: float | None = None
) -> Array:
    """(x - mean) / √(variance + ε) · γ + β along the axes. https://arxiv.org/abs/1607.06450

    >>> print(ops.layer_normalization([[1, 3], [2, 2]]).round(3))
    [[-1.  1.]
     [ 0.  0.]]
    """
    epsilon = config.epsilon() if epsilon is None else epsilon
    dtype = standardize_dtype(x.dtype)
    wide = widen(x)
    centred = wide - mean(wide, axis, keepdims=True)
    scaled = centred * B.rsqrt(mean(centred * centred, axis, keepdims=True) + epsilon)
    axes = sorted(i % x.ndim for i in ([axis] if isinstance(axis, int) else axis))
    form = [x.shape[i] if i in axes else 1 for i in range(x.ndim)]
    if gamma is not None:
        scaled = scaled * B.cast(B.reshape(gamma, form), standardize_dtype(wide.dtype))
    if beta is not None:
        scaled = scaled + B.cast(B.reshape(beta, form), standardize_dtype(wide.dtype))
    return B.cast(scaled, dtype)


@op(promotion="float")
def rms_normalization(x: Tensor, scale: Tensor = None, axis: Any = -1, epsilon: float | None = None) -> Array:
    """x / √(mean(x²) + ε) · scale along the axes. https://arxiv.org/abs/1910.07467

    >>> print(ops.rms_normalization([[1, 7], [5, 5]]).round(1))
    [[0.2 1.4]
     [1.  1. ]]
    """
    epsilon = config.epsilon() if epsilon is None else epsilon
    dtype = standardize_dtype(x.dtype)
    wide = widen(x)
    scaled = wide * B.rsqrt(mean(wide * wide, axis, keepdims=True) + epsilon)
    return B.cast(scaled if scale is None else scaled * B.cast(scale, standardize_dtype(wide.dtype)), dtype)


@op(promotion="float")
def normalize(x: Tensor, axis: int = -1, order: int = 2, epsilon: float | None = None) -> Array:
    """x divided by its norm along the axis, at least ε.

    >>> print(ops.normalize([[3, 4], [0, 0]]).round(3))
    [[0.6 0.8]
     [0.  0. ]]
    >>> print(ops.normalize([3, 1], order=1))
    [0.75 0.25]
    """
    epsilon = config.epsilon() if epsilon is None else epsilon
    dtype = standardize_dtype(x.dtype)
    wide = widen(x)  # ε² is 0 in 16 bits
    if order == 2:
        return B.cast(wide * B.rsqrt(B.maximum(B.sum(wide * wide, axis=axis, keepdims=True), epsilon**2)), dtype)
    size = B.sum(B.abs(wide) ** order, axis=axis, keepdims=True) ** (1 / order)
    return B.cast(wide / B.maximum(size, epsilon), dtype)


# losses on tensors


def _check_psnr(x1: Any, x2: Any, max_val: float) -> None:
    same_shape("psnr: x1 and x2", x1, x2)
    if not max_val > 0:
        raise ArgumentError(f"psnr: max_val should be the largest possible value, a positive number, got {max_val!r}.")


def _check_same_shape(target: Any, output: Any, *args: Any, **kwargs: Any) -> None:
    same_shape("target and output", target, output)


def same_shape(what: str, x: Any, y: Any) -> None:
    """Raises ShapeError unless the known sizes of both agree."""
    a, b = tuple(x.shape), tuple(y.shape)
    if len(a) != len(b) or any(m is not None and n is not None and m != n for m, n in zip(a, b, strict=True)):
        raise ShapeError(f"{what} should have one shape, got {a} and {b}.")


@op(promotion="float", check=_check_same_shape)
def categorical_crossentropy(target: Tensor, output: Tensor, from_logits: bool = False, axis: int = -1) -> Array:
    """-Σ target · ln(output) along the axis; `output` holds probabilities, or logits with `from_logits`.

    >>> print(ops.categorical_crossentropy([[0, 1]], [[0.5, 0.5]]).round(3))
    [0.693]
    """
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
    """-ln(output[target]) along the axis: integer targets (…) or (…, 1), outputs (…, classes); NaN for bad targets.

    >>> print(ops.sparse_categorical_crossentropy([1, 2], [[0.5, 0.5], [0.5, 0.5]]).round(3))
    [0.693   nan]
    """
    axis = axis % output.ndim
    if target.ndim == output.ndim and target.shape[axis] == 1:
        target = B.squeeze(target, axis)
    if tuple(target.shape) != tuple(s for i, s in enumerate(output.shape) if i != axis):
        raise ShapeError(
            f"Integer targets of shape {tuple(target.shape)} do not fit outputs of shape {tuple(output.shape)}: they "
            f"should have the shape of the outputs without axis {axis}. For one-hot targets use "
            "categorical_crossentropy."
        )
    target = B.expand_dims(B.cast(target, "int32"), axis)
    valid = B.logical_and(target >= 0, target < output.shape[axis])
    chosen = B.take_along_axis(_log_probabilities(output, from_logits, axis), B.where(valid, target, 0), axis)
    # A label outside of the classes has no probability: NaN marks it, the loop explains it.
    return B.squeeze(B.where(valid, -chosen, math.nan), axis)


@op(promotion="float", check=_check_same_shape)
def binary_crossentropy(target: Tensor, output: Tensor, from_logits: bool = False) -> Array:
    """-target · ln(output) - (1 - target) · ln(1 - output), element-wise; `output` probabilities or logits.

    >>> print(ops.binary_crossentropy([1, 1], [0, 100], from_logits=True).round(3))
    [0.693 0.   ]
    """
    if from_logits:
        return softplus(output) - output * target
    epsilon = config.epsilon()
    output = B.minimum(B.maximum(output, epsilon), 1 - epsilon)
    return -(target * B.log(output) + (1 - target) * B.log(1 - output))


@op(promotion="float", check=_check_psnr)
@in_float32
def psnr(x1: Tensor, x2: Tensor, max_val: float) -> Array:
    """10 · log₁₀(max² / mean((x1 - x2)²)) in decibels, a scalar; `max_val` is the largest possible value.

    >>> print(ops.psnr([0, 0], [1, 1], max_val=10).round(3))
    20.0
    """
    return (2 * math.log(max_val) - B.log(mean((x1 - x2) * (x1 - x2)))) * (10 / math.log(10))


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
    A fused kernel is used where the backend has one for the arguments: never with `flash_attention=False`, and with
    True its lack is an error; None is what `cornu.config.enable_flash_attention()` and its like set.

    >>> query, key = ops.ones((2, 5, 8, 16)), ops.ones((2, 7, 2, 16))  # four heads share keys
    >>> ops.dot_product_attention(query, key, key).shape
    (2, 5, 8, 16)
    """
    dtype = standardize_dtype(query.dtype)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    flash = config.is_flash_attention_enabled() if flash_attention is None else flash_attention
    if flash is not False:
        fused = None
        if attn_logits_soft_cap is None:
            fused = B.fused_attention(query, key, value, bias, mask, scale, is_causal)
        if fused is not None:
            return fused
        if flash:
            raise BackendError(
                f"dot_product_attention: the backend {B.name!r} has no fused kernel here for {dtype} of shape "
                f"{tuple(query.shape)}{'' if attn_logits_soft_cap is None else ' with attn_logits_soft_cap'}. Leave "
                "flash_attention=None, or call `cornu.config.disable_flash_attention()`."
            )
    groups = query.shape[2] // key.shape[2]
    if groups > 1:  # https://arxiv.org/abs/2305.13245
        key, value = B.repeat(key, groups, 2), B.repeat(value, groups, 2)
    batch, queries, heads, _ = query.shape
    parts = B.parts(batch, batch * heads * queries * key.shape[1])
    rows = batch // parts

    def cut(x: Any, part: int) -> Any:
        return x if parts == 1 or x is None or x.shape[0] != batch else x[part * rows : (part + 1) * rows]

    found = []
    for part in range(parts):
        q, k, v, b, m = (cut(x, part) for x in (query, key, value, bias, mask))
        found.append(_attended(q, k, v, b, m, scale, is_causal, attn_logits_soft_cap))
    return found[0] if parts == 1 else B.concatenate(found, 0)


def _attended(
    query: Array, key: Array, value: Array, bias: Any, mask: Any, scale: float, is_causal: bool, soft_cap: float | None
) -> Array:
    dtype = standardize_dtype(query.dtype)
    scores = B.einsum("bqhd,bkhd->bhqk", query * B.convert(scale, dtype), key)
    scores = widen(scores)
    if soft_cap is not None:
        scores = soft_cap * B.tanh(scores / soft_cap)
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


# Keras has them here too.
_ELSEWHERE = dict.fromkeys(("ctc_decode", "ctc_loss"), "cornu.ops.ctc") | dict.fromkeys(
    (
        "adaptive_average_pool",
        "adaptive_max_pool",
        "average_pool",
        "conv",
        "conv_transpose",
        "depth_to_space",
        "depthwise_conv",
        "fold",
        "max_pool",
        "separable_conv",
        "space_to_depth",
        "unfold",
    ),
    "cornu.ops.convolution",
)
__getattr__, __dir__, _ = lazy_names(__name__, _ELSEWHERE)
