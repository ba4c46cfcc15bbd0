"""Networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from cornu.testing.conformance import oracles
from cornu.testing.conformance.case import ALL, FLOATS, HALVES, NUMBERS, Case, bools, ints, v, x

C = Case
ONE = ("float32",)
inf, nan = np.inf, np.nan


def _expit(x: Any) -> Any:
    return special.expit(np.asarray(x, "float64"))


def _one_hot(x: Any, n: int, axis: int = -1, dtype: Any = None) -> Any:
    hot = (np.asarray(x)[..., None] == np.arange(n)).astype(float)
    return np.moveaxis(hot, -1, axis)


def _sparse(name: str, **options: Any) -> Callable[..., Any]:
    """The op with `sparse=True`."""
    return lambda ops, *args: getattr(ops, name)(*args, sparse=True, **options)


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


def _psnr(a: Any, b: Any, max_val: float) -> Any:
    return 10 * np.log10(max_val**2 / np.mean((a - b) ** 2))


def _positive(*shape: int) -> Any:
    return x(*shape, low=0.1, high=0.9)


NETWORKS = [
    C("one_hot", (ints(2, 3), 4), _one_hot),
    C("one_hot", (ints(2, 3), 4), _one_hot, {"axis": 1, "dtype": "int32"}),
    C("one_hot", (np.array([-1, 0, 5]), 3), _one_hot, label="outside"),
    C("multi_hot", (ints(2, 3), 4), _multi_hot),
    C(
        "one_hot",
        (np.array([[-1, 0], [2, 5]]), 3),
        partial(_one_hot, axis=1),
        call=_sparse("one_hot", axis=1),
        label="sparse",
    ),
    C("multi_hot", (np.array([[0, 3, 3], [-1, 0, 9]]), 4), _multi_hot, call=_sparse("multi_hot"), label="sparse"),
    C(
        "multi_hot",
        (np.array([1, 1, 0]), 4),
        _multi_hot,
        call=_sparse("multi_hot"),
        batch=False,
        label="sparse, one row",
    ),
    C(
        "matmul",
        (ints(5, 3), x(4, 2)),
        lambda i, w: _multi_hot(i, 4) @ w,
        call=lambda ops, i, w: ops.matmul(ops.multi_hot(i, 4, sparse=True, dtype=w.dtype), w),
        dtypes=ONE,
        label="sparse · dense",
    ),
    C(
        "add",
        (ints(5, 3), x(4)),
        lambda i, w: _multi_hot(i, 4) + w,
        call=lambda ops, i, w: ops.add(ops.multi_hot(i, 4, sparse=True, dtype=w.dtype), w),
        dtypes=ONE,
        label="sparse made dense",
    ),
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
            ((7,), (3,), {"padding": "same", "strides": 2}, FLOATS),
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

BLOCKS = [
    C(
        "separable_conv",
        (x(2, 5, 5, 3), x(3, 3, 3, 2), x(1, 1, 6, 4)),
        oracles.separable_conv,
        {"padding": "same", "strides": 2},
        tolerance=2,
    ),
    C(
        "separable_conv",
        (x(4, 6, 3), x(2, 3, 2), x(1, 6, 4)),
        oracles.separable_conv,
        {"dilation_rate": 2},
        tolerance=2,
    ),
    *(
        C(
            f"adaptive_{kind}_pool",
            (x(2, *size, 3), wanted),
            partial(oracles.adaptive_pool, reduce=reduce),
            dtypes=dtypes,
        )
        for kind, reduce, dtypes in (("average", np.mean, (*FLOATS, "int32")), ("max", np.max, ALL))
        for size, wanted in (((7,), 3), ((5, 7), (3, 2)), ((2, 3), (3, 4)), ((4, 5, 6), 2))
    ),
    C(
        "adaptive_average_pool",
        (x(2, 3, 5, 4), 3),
        oracles.adaptive_pool,
        {"data_format": "channels_first"},
        dtypes=ONE,
    ),
    C("depth_to_space", (x(2, 2, 3, 8), 2), oracles.depth_to_space, dtypes=ALL),
    C("depth_to_space", (x(2, 18, 1, 2), 3), oracles.depth_to_space, {"data_format": "channels_first"}),
    C("space_to_depth", (x(2, 4, 6, 3), 2), oracles.space_to_depth, dtypes=ALL),
    C("space_to_depth", (x(2, 2, 3, 6), 3), oracles.space_to_depth, {"data_format": "channels_first"}),
    C("unfold", (x(2, 3, 4, 5), 2), oracles.unfold, dtypes=ALL),
    C(
        "unfold",
        (x(2, 3, 5, 6), (3, 2)),
        oracles.unfold,
        {"dilation": (1, 2), "padding": (2, 1), "stride": (2, 3)},
        dtypes=ONE,
    ),
    C("fold", (x(2, 12, 12), (4, 5), 2), oracles.fold, dtypes=NUMBERS),
    C(
        "fold",
        (x(2, 12, 8), (5, 6), (3, 2)),
        oracles.fold,
        {"dilation": (1, 2), "padding": (2, 1), "stride": (2, 3)},
        dtypes=ONE,
    ),
    C("psnr", (x(2, 3), x(2, 3), 4.0), _psnr, dtypes=(*FLOATS, "int32")),
    C("psnr", (v(1, 2), v(1, 2), 255.0), _psnr, dtypes=ONE, gradient=False, label="equal"),
]


SEQUENCES = [
    *(
        C("ctc_loss", (target, output, *map(np.array, lengths)), oracles.ctc_loss, {"mask_index": blank}, tolerance=2)
        for target, output, lengths, blank in (
            (ints(2, 3, low=1, high=4), x(2, 6, 4), ([3, 2], [6, 5]), 0),
            (ints(2, 2, low=0, high=2), x(2, 4, 3), ([2, 0], [4, 3]), 2),
        )
    ),
    C(
        "ctc_loss",
        (np.array([[1, 1, 2]]), v([[[1e3, 0, -1e3]] * 3 + [[0, 1e3, 0]] * 2]), np.array([2]), np.array([5])),
        oracles.ctc_loss,
        dtypes=ONE,
        label="repeated, huge logits",
    ),
    *(
        C("ctc_decode", (x(3, 5, 4), np.array([5, 0, 3])), oracles.ctc_decode, options, tolerance=2)
        for options in ({}, {"merge_repeated": False}, {"mask_index": 3})
    ),
    *(
        C(
            "ctc_decode",
            (x(2, 5, 3), np.array(lengths)),
            oracles.ctc_decode,
            {"strategy": "beam_search", "beam_width": 40, **options},
            dtypes=ONE,
            gradient=False,
        )
        for lengths, options in (([5, 4], {}), ([5, 0], {"top_paths": 4, "mask_index": 1}))
    ),
]

CASES = [*NETWORKS, *CONVOLUTIONS, *BLOCKS, *SEQUENCES]
