"""One row for each public layer: how to make it and on what to call it. `test_laws.py` holds the laws.

A layer without a row fails the laws. A row is (constructor, inputs): the constructor takes the layer's general
arguments such as `dtype` and `name`; inputs are a shape (of floats), an array, or a list of these; with `several` the
list's items are arguments of their own, such as a cell's inputs and states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cornu import layers


class Doubling(layers.Wrapper):
    """A wrapper as users write them."""

    def call(self, x: Any) -> Any:
        return 2 * self.layer(x)


def halved(x: Any) -> Any:
    return x / 2


@dataclass
class Case:
    """A layer, inputs for it, and what the laws must know about it."""

    make: Callable[..., Any]
    inputs: Any
    several: bool = False
    """Whether the inputs are arguments of their own."""
    tolerance: float = 0.05
    """How far 16-bit outputs may be from 32-bit ones."""

    def arrays(self, batch: int = 3, seed: int = 0) -> Any:
        """The inputs as arrays: floats drawn for shapes, others as they are."""
        rng = np.random.default_rng(seed)

        def array(one: Any) -> Any:
            return one[:batch] if isinstance(one, np.ndarray) else rng.normal(size=(batch, *one)).astype("float32")

        def arrays(some: Any) -> Any:
            return [arrays(one) for one in some] if isinstance(some, list) else array(some)

        return arrays(self.inputs)

    def call(self, layer: Any, x: Any, **kwargs: Any) -> Any:
        """The layer called on its inputs."""
        return layer(*x, **kwargs) if self.several else layer(x, **kwargs)


SEQUENCE, IMAGE, VOLUME = (6, 4), (6, 6, 4), (4, 4, 4, 4)

CASES: dict[str, Case] = {
    # core
    "Dense": Case(lambda **k: layers.Dense(3, "tanh", **k), (4,)),
    "EinsumDense": Case(lambda **k: layers.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d", **k), SEQUENCE),
    "Embedding": Case(
        lambda **k: layers.Embedding(5, 3, mask_zero=True, **k), np.array([[0, 1], [4, 2], [3, 3]], "int32")
    ),
    "Identity": Case(layers.Identity, (4,)),
    "Lambda": Case(lambda **k: layers.Lambda(halved, **k), (4,)),
    "Masking": Case(layers.Masking, SEQUENCE),
    "Wrapper": Case(lambda **k: Doubling(layers.Dense(3, dtype=k.get("dtype")), **k), (4,)),
    # convolutional
    "Conv1D": Case(lambda **k: layers.Conv1D(3, 2, padding="causal", **k), SEQUENCE),
    "Conv2D": Case(lambda **k: layers.Conv2D(4, 3, strides=2, groups=2, activation="relu", **k), IMAGE),
    "Conv3D": Case(lambda **k: layers.Conv3D(3, 2, padding="same", **k), VOLUME),
    "Conv1DTranspose": Case(lambda **k: layers.Conv1DTranspose(3, 2, strides=2, **k), SEQUENCE),
    "Conv2DTranspose": Case(lambda **k: layers.Conv2DTranspose(3, 3, strides=2, padding="same", **k), IMAGE),
    "Conv3DTranspose": Case(lambda **k: layers.Conv3DTranspose(3, 2, **k), VOLUME),
    "DepthwiseConv1D": Case(lambda **k: layers.DepthwiseConv1D(2, depth_multiplier=2, **k), SEQUENCE),
    "DepthwiseConv2D": Case(lambda **k: layers.DepthwiseConv2D(3, padding="same", **k), IMAGE),
    "SeparableConv1D": Case(lambda **k: layers.SeparableConv1D(3, 2, **k), SEQUENCE),
    "SeparableConv2D": Case(lambda **k: layers.SeparableConv2D(3, 3, **k), IMAGE),
    # pooling
    **{
        f"{kind}Pooling{rank}D": Case(getattr(layers, f"{kind}Pooling{rank}D"), shape)
        for kind in ("Max", "Average", "GlobalMax", "GlobalAverage")
        for rank, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))
    },
    # normalization
    "BatchNormalization": Case(lambda **k: layers.BatchNormalization(momentum=0.5, **k), IMAGE),
    "GroupNormalization": Case(lambda **k: layers.GroupNormalization(2, **k), IMAGE),
    "LayerNormalization": Case(layers.LayerNormalization, SEQUENCE),
    "RMSNormalization": Case(layers.RMSNormalization, SEQUENCE),
    "UnitNormalization": Case(layers.UnitNormalization, SEQUENCE),
    # activation
    "Activation": Case(lambda **k: layers.Activation("gelu", **k), (4,)),
    "ELU": Case(layers.ELU, (4,)),
    "LeakyReLU": Case(layers.LeakyReLU, (4,)),
    "PReLU": Case(lambda **k: layers.PReLU("ones", shared_axes=[1], **k), SEQUENCE),
    "ReLU": Case(lambda **k: layers.ReLU(max_value=1.0, negative_slope=0.1, **k), (4,)),
    "Softmax": Case(layers.Softmax, (4,)),
    # regularization
    "ActivityRegularization": Case(lambda **k: layers.ActivityRegularization(0.1, 0.1, **k), (4,)),
    "AlphaDropout": Case(lambda **k: layers.AlphaDropout(0.5, seed=1, **k), (4,)),
    "Dropout": Case(lambda **k: layers.Dropout(0.5, seed=1, **k), (4,)),
    "GaussianDropout": Case(lambda **k: layers.GaussianDropout(0.5, seed=1, **k), (4,)),
    "GaussianNoise": Case(lambda **k: layers.GaussianNoise(0.5, seed=1, **k), (4,)),
    "SpatialDropout1D": Case(lambda **k: layers.SpatialDropout1D(0.5, seed=1, **k), SEQUENCE),
    "SpatialDropout2D": Case(lambda **k: layers.SpatialDropout2D(0.5, seed=1, **k), IMAGE),
    "SpatialDropout3D": Case(lambda **k: layers.SpatialDropout3D(0.5, seed=1, **k), VOLUME),
    # reshaping
    "Cropping1D": Case(layers.Cropping1D, SEQUENCE),
    "Cropping2D": Case(lambda **k: layers.Cropping2D(((1, 0), (2, 1)), **k), IMAGE),
    "Cropping3D": Case(layers.Cropping3D, VOLUME),
    "Flatten": Case(layers.Flatten, IMAGE),
    "Permute": Case(lambda **k: layers.Permute((2, 1), **k), SEQUENCE),
    "RepeatVector": Case(lambda **k: layers.RepeatVector(3, **k), (4,)),
    "Reshape": Case(lambda **k: layers.Reshape((-1, 2), **k), SEQUENCE),
    "UpSampling1D": Case(layers.UpSampling1D, SEQUENCE),
    "UpSampling2D": Case(lambda **k: layers.UpSampling2D((2, 3), interpolation="bilinear", **k), IMAGE),
    "UpSampling3D": Case(layers.UpSampling3D, VOLUME),
    "ZeroPadding1D": Case(layers.ZeroPadding1D, SEQUENCE),
    "ZeroPadding2D": Case(lambda **k: layers.ZeroPadding2D(((1, 0), (2, 1)), **k), IMAGE),
    "ZeroPadding3D": Case(layers.ZeroPadding3D, VOLUME),
    # merging
    **{
        name: Case(getattr(layers, name), [(6, 4), (6, 4)])
        for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract", "Concatenate")
    },
    "Dot": Case(lambda **k: layers.Dot(2, **k), [(6, 4), (5, 4)]),
    # recurrent
    "SimpleRNN": Case(lambda **k: layers.SimpleRNN(3, seed=1, **k), SEQUENCE),
    "LSTM": Case(lambda **k: layers.LSTM(3, seed=1, return_sequences=True, **k), SEQUENCE),
    "GRU": Case(lambda **k: layers.GRU(3, seed=1, return_state=True, go_backwards=True, **k), SEQUENCE),
    "SimpleRNNCell": Case(lambda **k: layers.SimpleRNNCell(3, seed=1, **k), [(4,), [(3,)]], several=True),
    "LSTMCell": Case(lambda **k: layers.LSTMCell(3, seed=1, **k), [(4,), [(3,), (3,)]], several=True),
    "GRUCell": Case(lambda **k: layers.GRUCell(3, seed=1, reset_after=False, **k), [(4,), [(3,)]], several=True),
    "StackedRNNCells": Case(
        lambda **k: layers.StackedRNNCells([layers.GRUCell(3, seed=1, dtype=k.get("dtype"))], **k),
        [(4,), [[(3,)]]],
        several=True,
    ),
    "RNN": Case(lambda **k: layers.RNN(layers.GRUCell(3, seed=1, dtype=k.get("dtype")), **k), SEQUENCE),
    "Bidirectional": Case(
        lambda **k: layers.Bidirectional(layers.SimpleRNN(3, seed=1, dtype=k.get("dtype"), return_sequences=True), **k),
        SEQUENCE,
    ),
    "TimeDistributed": Case(lambda **k: layers.TimeDistributed(layers.Dense(3, dtype=k.get("dtype")), **k), SEQUENCE),
    # attention
    "MultiHeadAttention": Case(
        lambda **k: layers.MultiHeadAttention(2, 3, seed=1, use_gate=True, **k), [SEQUENCE, (5, 4)], several=True
    ),
    "GroupedQueryAttention": Case(
        lambda **k: layers.GroupQueryAttention(3, 4, 2, seed=1, **k), [SEQUENCE, (5, 4)], several=True
    ),
    "Attention": Case(lambda **k: layers.Attention(use_scale=True, seed=1, **k), [SEQUENCE, (5, 4)]),
    "AdditiveAttention": Case(lambda **k: layers.AdditiveAttention(seed=1, **k), [SEQUENCE, (5, 4)]),
}
