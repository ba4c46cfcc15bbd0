"""Networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from cornu.testing.conformance import oracles
from cornu.testing.conformance.case import FLOATS, HALVES, NUMBERS, Case, bools, ints, v, x

C = Case
ONE = ("float32",)
inf, nan = np.inf, np.nan


def _expit(x: Any) -> Any:
    return special.expit(np.asarray(x, "float64"))


def _one_hot(x: Any, n: int, axis: int = -1, dtype: Any = None) -> Any:
    hot = (np.asarray(x)[..., None] == np.arange(n)).astype(float)
    return np.moveaxis(hot, -1, axis)


def _multi_hot(x: Any, n: int) -> Any:
    return (np.asarray(x)[..., None] == np.arange(n)).any(-2).astype(float)


def _batch_norm(x: Any, mean: Any, variance: Any, axis: int, offset: Any = 0.0, scale: Any = 1.0) -> Any:
    form = [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)]
    mean, variance, offset, scale = (
        np.broadcast_to(a, variance.shape).reshape(form) for a in (mean, variance, offset, scale)
    )
    return (x - mean) / np.sqrt(variance + 1e-3) * scale + offset


def _layer_norm(x: Any, gamma: Any = 1.0, beta: Any = 0.0, axis: Any = -1) -> Any:
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + 1e-7) * gamma + beta


def _rms_norm(x: Any, scale: Any = 1.0, axis: Any = -1) -> Any:
    return x / np.sqrt((x * x).mean(axis, keepdims=True) + 1e-7) * scale


def _normalize(x: Any, axis: int = -1, order: int = 2) -> Any:
    return x / np.maximum(np.linalg.norm(x, order, axis, keepdims=True), 1e-7)


def _crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    logs = special.log_softmax(output, axis) if from_logits else np.log(output / output.sum(axis, keepdims=True))
    return -(target * np.clip(logs, np.log(1e-7), None) if not from_logits else target * logs).sum(axis)


def _sparse_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    target = target.squeeze(-1) if target.ndim == output.ndim else target
    hot = np.moveaxis(target[..., None] == np.arange(output.shape[axis]), -1, axis)
    return _crossentropy(hot, output, from_logits, axis)


def _binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    if from_logits:
        return np.logaddexp(0, output) - target * output
    output = np.clip(output, 1e-7, 1 - 1e-7)
    return -target * np.log(output) - (1 - target) * np.log1p(-output)


def _positive(*shape: int) -> Any:
    return x(*shape, low=0.1, high=0.9)


NETWORKS = [
    C("one_hot", (ints(2, 3), 4), _one_hot),
    C("one_hot", (ints(2, 3), 4), _one_hot, {"axis": 1, "dtype": "int32"}),
    C("one_hot", (np.array([-1, 0, 5]), 3), _one_hot, label="outside"),
    C("multi_hot", (ints(2, 3), 4), _multi_hot),
    C("multi_hot", (ints(3), 4), _multi_hot, batch=False),
    C("batch_normalization", (x(2, 3, 4), x(4), x(4, low=0.5), -1), _batch_norm),
    C("batch_normalization", (x(2, 3, 4), x(3), x(3, low=0.5), 1, x(3), x(3)), _batch_norm, tolerance=2),
    C("layer_normalization", (x(2, 3, 4),), _layer_norm, dtypes=HALVES),
    C("layer_normalization", (x(2, 3, 4), x(4), x(4)), _layer_norm, tolerance=2),
    C("layer_normalization", (x(2, 3, 4),), _layer_norm, {"axis": (1, 2)}),
    C("rms_normalization", (x(2, 3, 4),), _rms_norm),
    C("rms_normalization", (x(2, 3, 4), x(4)), _rms_norm),
    C("normalize", (x(2, 3),), _normalize),
    C("normalize", (x(2, 3),), _normalize, {"axis": 0, "order": 1}),
    C("normalize", (v([[0.0, 0.0]]),), _normalize, gradient=False, dtypes=HALVES),
    *(
        C("categorical_crossentropy", (_positive(2, 3), _positive(2, 3)), _crossentropy, {"from_logits": logits})
        for logits in (False, True)
    ),
    C("categorical_crossentropy", (_positive(2, 3, 4), _positive(2, 3, 4)), _crossentropy, {"axis": 1}),
    C("categorical_crossentropy", (v([[1.0, 0]]), v([[1e4, -1e4]])), _crossentropy, {"from_logits": True}),
    *(
        C("sparse_categorical_crossentropy", (ints(*s), _positive(2, 3)), _sparse_crossentropy, {"from_logits": logits})
        for s in ((2,), (2, 1))
        for logits in (False, True)
    ),
    C("sparse_categorical_crossentropy", (ints(2, 4), _positive(2, 3, 4)), _sparse_crossentropy, {"axis": 1}),
    C(
        "sparse_categorical_crossentropy",
        (np.array([3, -1]), _positive(2, 3)),
        lambda *a: np.array([nan, nan]),
        gradient=False,
        label="labels outside",
    ),
    C("binary_crossentropy", (_positive(2, 3), _positive(2, 3)), _binary_crossentropy),
    C("binary_crossentropy", (_positive(2, 3), x(2, 3)), _binary_crossentropy, {"from_logits": True}),
    C("binary_crossentropy", (v(0, 1, 1), v(-1e4, 1e4, -1e4)), _binary_crossentropy, {"from_logits": True}),
    C("dot_product_attention", (x(2, 3, 4, 5), x(2, 6, 4, 5), x(2, 6, 4, 5)), oracles.attention),
    C(
        "dot_product_attention",
        (x(2, 3, 4, 5), x(2, 3, 2, 5), x(2, 3, 2, 5), x(1, 4, 3, 3), bools(2, 1, 3, 3)),
        oracles.attention,
        {"is_causal": False, "scale": 0.3},
        label="grouped, bias, mask",
        batch=False,
    ),
    C(
        "dot_product_attention",
        (x(2, 3, 4, 5), x(2, 3, 4, 5), x(2, 3, 4, 5)),
        oracles.attention,
        {"is_causal": True, "attn_logits_soft_cap": 2.0},
    ),
]
CONVOLUTIONS = [
    *(
        C("conv", (x(4, *size, 4), x(*window, depth, 6)), oracles.conv, options, dtypes=ONE if options else FLOATS)
        for size, window, depth, options in (
            ((7,), (3,), 4, {}),
            ((7,), (3,), 4, {"padding": "causal", "dilation_rate": 2}),
            ((7,), (2,), 2, {"padding": "same", "strides": 2}),
            ((6, 5), (3, 2), 4, {"padding": "same"}),
            ((6, 5), (1, 1), 4, {"strides": 2}),
            ((6, 5), (3, 3), 2, {"strides": (2, 1), "padding": "same"}),
            ((7, 7), (3, 2), 4, {"dilation_rate": (2, 1), "padding": "same"}),
            ((3, 4, 3), (2, 2, 2), 4, {"padding": "same", "strides": (1, 2, 1)}),
        )
    ),
    C("conv", (x(2, 4, 6, 5), x(3, 2, 4, 3)), oracles.conv, {"data_format": "channels_first"}, dtypes=ONE),
    C("conv", (ints(2, 5, 5, 2), ints(3, 3, 2, 2)), oracles.conv),
    *(
        C("depthwise_conv", (x(4, *size, 3), x(*window, 3, 2)), oracles.depthwise_conv, options, dtypes=dtypes)
        for size, window, options, dtypes in (
            ((6,), (3,), {}, FLOATS),
            ((5, 5), (3, 3), {"padding": "same", "strides": 2}, ONE),
            ((6, 6), (2, 3), {"dilation_rate": (2, 1)}, ONE),
        )
    ),
    *(
        C("conv_transpose", (x(4, *size, 3), x(*window, 4, 3)), oracles.conv_transpose, options, dtypes=dtypes)
        for size, window, options, dtypes in (
            ((4,), (3,), {"strides": 2}, FLOATS),
            ((4,), (2,), {"strides": 3, "padding": "same"}, ONE),
            ((3, 4), (3, 3), {"strides": 2, "padding": "same"}, ONE),
            ((3, 4), (3, 3), {"strides": 2, "padding": "same", "output_padding": 1}, ONE),
            ((3, 3), (2, 2), {"dilation_rate": 2}, ONE),
            ((2, 2, 3), (2, 2, 2), {"strides": 2}, ONE),
        )
    ),
    *(
        C(name, (x(2, *size, 3), window), getattr(oracles, name), options, dtypes=dtypes)
        for name in ("max_pool", "average_pool")
        for size, window, options, dtypes in (
            ((6,), 2, {}, NUMBERS),
            ((5, 6), (3, 2), {"padding": "same"}, ONE),
            ((5, 6), 2, {"strides": (2, 1)}, ONE),
            ((4, 3, 4), 2, {"padding": "same"}, ONE),
            ((9, 8), 6, {"strides": 2}, ONE),
        )
    ),
    C("max_pool", (x(2, 3, 4, 4), 2), oracles.max_pool, {"data_format": "channels_first"}, dtypes=ONE),
]

CASES = [*NETWORKS, *CONVOLUTIONS]
