"""The choice of a fused kernel for attention."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import cornu
from cornu import layers, ops
from cornu.backend import load
from cornu.base.config import settings
from cornu.base.errors import BackendError

FUSED = jax.nn.dot_product_attention


@pytest.fixture
def gpu(monkeypatch):
    """JAX as if on a GPU, its kernel of cuDNN replaced by the one of XLA; the calls that it got."""
    calls = []

    def kernel(*args, implementation, **kwargs):
        calls.append(implementation)
        return FUSED(*args, **kwargs)

    monkeypatch.setattr(load("jax"), "_platform", "gpu")
    monkeypatch.setattr(jax.nn, "dot_product_attention", kernel)
    monkeypatch.setattr(load("jax"), "programs", {})  # those made before know nothing of the kernel
    return calls


@pytest.fixture(autouse=True)
def _setting(monkeypatch):
    monkeypatch.setattr(settings, "flash_attention", None)


def heads(depth=16, dtype="bfloat16", count=2):
    return ops.cast(np.random.default_rng(0).standard_normal((2, 5, count, depth)), dtype)


def test_the_kernel_gives_what_the_formula_gives(gpu):
    q, k, v = heads(count=4), heads(), heads()
    mask, bias = np.tri(5, dtype=bool)[None, None], np.ones((1, 4, 5, 5), "float32")
    for options in ({}, {"mask": mask}, {"bias": bias}, {"is_causal": True}, {"scale": 0.3}):
        fused, formula = (ops.dot_product_attention(q, k, v, flash_attention=f, **options) for f in (None, False))
        np.testing.assert_allclose(fused.astype("float32"), formula.astype("float32"), atol=0.03)
    assert gpu == ["cudnn"] * 5


@pytest.mark.parametrize(("depth", "dtype"), [(16, "float32"), (12, "bfloat16"), (256, "float16")])
def test_what_the_kernel_cannot_do_is_left_to_the_formula(gpu, depth, dtype):
    x = heads(depth, dtype)
    assert ops.dot_product_attention(x, x, x).shape == x.shape
    with pytest.raises(BackendError, match="no fused kernel here"):
        ops.dot_product_attention(x, x, x, flash_attention=True)
    assert gpu == []


def test_the_setting_decides_where_the_argument_does_not(gpu):
    x = heads()
    cornu.config.disable_flash_attention()
    assert cornu.config.is_flash_attention_enabled() is False
    ops.dot_product_attention(x, x, x)
    assert gpu == []
    cornu.config.enable_flash_attention()
    ops.dot_product_attention(x, x, x)
    layers.MultiHeadAttention(2, 16, dtype="bfloat16")(ops.ones((3, 5, 8)), ops.ones((3, 5, 8)))
    assert gpu == ["cudnn"] * 2
    with pytest.raises(BackendError, match="with attn_logits_soft_cap"):
        ops.dot_product_attention(x, x, x, attn_logits_soft_cap=5.0)


@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_on_a_cpu_there_is_none(backend):
    with cornu.config.backend_scope(backend):
        x = heads()
        with pytest.raises(BackendError, match=rf"backend '{backend}' has no fused kernel here for bfloat16"):
            ops.dot_product_attention(x, x, x, flash_attention=True)
