"""Convolution and pooling against PyTorch: values on both backends, gradients on JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import cornu.ops as ops
from cornu.backend import B
from cornu.base import config

CASES = [  # rank, window, strides, dilation, groups, padding (of torch, on both sides)
    (1, 3, 1, 1, 1, 0),
    (1, 3, 2, 1, 2, 0),
    (1, 2, 1, 3, 4, 0),
    (2, 3, 1, 1, 1, 1),
    (2, 3, 2, 1, 1, 0),
    (2, 2, 1, 2, 2, 1),
    (2, 1, 2, 1, 1, 0),
    (2, 3, 1, 1, 4, 1),
    (3, 2, 1, 1, 1, 0),
    (3, 2, 2, 1, 2, 0),
]


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype("float32")


def last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, 1, -1)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("rank", "window", "strides", "dilation", "groups", "padding"), CASES)
def test_conv(rank: int, window: int, strides: int, dilation: int, groups: int, padding: int, data_format: str) -> None:
    x, kernel = draw(2, 4, *(7, 6, 5)[:rank]), draw(8, 4 // groups, *(window,) * rank)
    tx, tk = (torch.tensor(a, requires_grad=True) for a in (x, kernel))
    fn = getattr(torch.nn.functional, f"conv{rank}d")
    out = fn(tx, tk, stride=strides, padding=padding, dilation=dilation, groups=groups)
    (out**2).sum().backward()
    ours_kernel = np.moveaxis(kernel, (0, 1), (-1, -2))
    images = x if data_format == "channels_first" else last(x)
    pad = [(0, 0)] * (rank + 2)
    for axis in range(rank):
        pad[axis + (2 if data_format == "channels_first" else 1)] = (padding, padding)

    def ours(x: Any, kernel: Any) -> Any:
        return ops.conv(ops.pad(x, pad), kernel, strides, "valid", data_format, dilation)

    expected = out.detach().numpy()
    expected = expected if data_format == "channels_first" else last(expected)
    for backend in ("numpy", "jax"):
        with config.backend_scope(backend):
            np.testing.assert_allclose(B.to_numpy(ours(images, ours_kernel)), expected, rtol=1e-4, atol=1e-4)
    with config.backend_scope("jax"):
        differentiate = B.compile(lambda pair: ops.grad(lambda p: ops.sum(ours(*p) ** 2))(pair))
        dx, dk = map(B.to_numpy, differentiate([B.convert(images), B.convert(ours_kernel)]))
    wanted = tx.grad.numpy()
    np.testing.assert_allclose(dx, wanted if data_format == "channels_first" else last(wanted), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(dk, np.moveaxis(tk.grad.numpy(), (0, 1), (-1, -2)), rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("backend", ["numpy", "jax"])
@pytest.mark.parametrize(("rank", "window", "strides"), [(1, 3, 2), (2, 3, 1), (2, 3, 2), (3, 2, 2)])
def test_conv_transpose(rank: int, window: int, strides: int, backend: str) -> None:
    x, kernel = draw(2, 4, *(4, 3, 3)[:rank]), draw(4, 5, *(window,) * rank)
    fn = getattr(torch.nn.functional, f"conv_transpose{rank}d")
    expected = last(fn(torch.tensor(x), torch.tensor(kernel), stride=strides).numpy())
    with config.backend_scope(backend):
        found = B.to_numpy(ops.conv_transpose(last(x), np.moveaxis(kernel, (0, 1), (-1, -2)), strides))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", ["numpy", "jax"])
@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(("rank", "window", "strides"), [(1, 2, 2), (2, 3, 2), (2, 2, 1), (3, 2, 2), (2, 6, 1)])
def test_pool(rank: int, window: int, strides: int, kind: str, backend: str) -> None:
    x = draw(2, 4, *(8, 7, 6)[:rank])
    fn = getattr(torch.nn.functional, f"{'max' if kind == 'max' else 'avg'}_pool{rank}d")
    expected = last(fn(torch.tensor(x), window, strides).numpy())
    with config.backend_scope(backend):
        found = B.to_numpy(getattr(ops, f"{kind}_pool")(last(x), window, strides))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.conv(draw(1, 5, 5, 3), draw(3, 3, 2, 4)), "3 channels in inputs of shape .* do not fit a kernel"),
        (lambda: ops.conv(draw(1, 5, 5, 3), draw(3, 3, 4)), "need a kernel of 4 axes"),
        (lambda: ops.conv(draw(1, 2, 2, 3), draw(3, 3, 3, 4)), "larger than the images .* padding='same'"),
        (lambda: ops.conv(draw(1, 5, 3), draw(3, 3, 4), padding="sane"), "Did you mean 'same'"),
        (lambda: ops.conv(draw(1, 5, 3), draw(3, 3, 4), strides=0), "strides should be a positive int"),
        (lambda: ops.max_pool(draw(1, 2, 2, 3), 3), "larger than the images"),
    ],
)
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
