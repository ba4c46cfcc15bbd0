"""Fourier transforms and windows: as in Keras, and errors; values and gradients are the conformance suite's."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import cornu.ops as ops
from cornu.base.errors import ArgumentError, DTypeError, ShapeError
from cornu.core.symbolic import KerasTensor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 33)).astype("float32")
Z = tuple(RNG.normal(size=(2, 9, 5)).astype("float32") for _ in range(2))


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ((8, 2, 8), {}),
        ((4, 2, 8), {"window": "hamming"}),
        ((5, 3, 9), {"window": None}),
        ((8, 4, 8), {"center": False}),
        ((6, 2, 9), {"window": np.arange(1, 7, dtype="float32"), "center": False}),
    ],
)
def test_stft_and_its_inverse_are_those_of_keras(sizes: tuple[int, int, int], options: dict[str, Any]) -> None:
    ours, theirs = ops.stft(X, *sizes, **options), keras.ops.stft(X, *sizes, **options)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    back = ops.istft(ours, *sizes, **options)
    if options.get("window", "hann") is not None:  # without a window Keras gives a multiple of the signal
        np.testing.assert_allclose(back, keras.ops.istft(theirs, *sizes, **options), atol=1e-4)
    covered = slice(8, back.shape[-1] - 8)
    np.testing.assert_allclose(back[:, covered], X[:, covered], atol=1e-4)


@pytest.mark.parametrize("length", [3, 16, 20])
def test_istft_gives_the_length_asked_for(length: int) -> None:
    np.testing.assert_allclose(
        ops.istft(Z, 4, 2, 8, length=length), keras.ops.istft(Z, 4, 2, 8, length=length), atol=1e-5
    )
    assert ops.istft(Z, 4, 2, 8, length=40).shape == (2, 40)
    assert ops.istft(tuple(KerasTensor((None, 9, 5)) for _ in Z), 4, 2, 8, length=40).shape == (None, 40)


def test_frames_of_unknown_number() -> None:
    assert [part.shape for part in ops.stft(KerasTensor((2, None)), 4, 2, 8)] == [(2, None, 5)] * 2
    assert ops.extract_sequences(KerasTensor((None, 9)), 4, 2).shape == (None, 3, 4)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ShapeError, "fft: x should be a pair.*\\(5,\\), \\(4,\\)", lambda: ops.fft((X[0, :5], X[0, :4]))),
        (ShapeError, "fft: x should be a pair.*got 3", lambda: ops.fft((X, X, X))),
        (ShapeError, "fft2: .*at least 2 axes", lambda: ops.fft2((X[0], X[0]))),
        (ShapeError, "ifft2: .*at least 2 axes", lambda: ops.ifft2((KerasTensor((3,)), KerasTensor((3,))))),
        (ArgumentError, "rfft: .*fft_length=0", lambda: ops.rfft(X, 0)),
        (ArgumentError, "rfft: .*fft_length=2.5", lambda: ops.rfft(KerasTensor((2, 3)), 2.5)),
        (ArgumentError, "rfft: .*last axis of size 0", lambda: ops.rfft(X[:, :0])),
        (ArgumentError, "irfft: .*fft_length=-1", lambda: ops.irfft((X, X), -1)),
        (ArgumentError, "irfft: .*last axis", lambda: ops.irfft((X[:, :1], X[:, :1]))),
        (ArgumentError, "stft: fft_length should be at least sequence_length", lambda: ops.stft(X, 8, 2, 4)),
        (ArgumentError, "stft: sequence_stride should be a positive int, got 0", lambda: ops.stft(X, 8, 0, 8)),
        (ArgumentError, "stft: window must be one of 'hann', 'hamming', got 'han'.*Did you mean 'hann'",
         lambda: ops.stft(X, 8, 2, 8, window="han")),
        (ShapeError, "stft: window should have the shape.*\\(4,\\), got \\(5,\\)",
         lambda: ops.stft(X, 4, 2, 8, window=np.ones(5))),
        (ShapeError, "stft: x should have at least 8 samples", lambda: ops.stft(X[:, :5], 4, 2, 8, center=False)),
        (ShapeError, "istft: x should have fft_length // 2 \\+ 1 = 5 terms.*\\(2, 33\\)",
         lambda: ops.istft((X, X), 4, 2, 8)),
        (ArgumentError, "istft: window must be one of", lambda: ops.istft(Z, 4, 2, 8, window="kaiser")),
        (ArgumentError, "extract_sequences: sequence_stride should be a positive int",
         lambda: ops.extract_sequences(X, 3, 0)),
        (ArgumentError, "correlate: mode must be one of.*got 'vald'.*Did you mean 'valid'",
         lambda: ops.correlate(X[0], X[0], "vald")),
        (ShapeError, "correlate: .*got shapes \\(2, 33\\) and \\(33,\\)", lambda: ops.correlate(X, X[0])),
        (ShapeError, "correlate: .*some element", lambda: ops.correlate(X[0, :0], X[0])),
        (ArgumentError, "hanning: x should be a number of samples.*got -1", lambda: ops.hanning(-1)),
        (DTypeError, "hamming: x should be an int.*got 2.5", lambda: ops.hamming(2.5)),
        (DTypeError, "kaiser: x is the size of the result", lambda: ops.kaiser(KerasTensor((), "int32"), 2.0)),
        (DTypeError, "bartlett: x is the size of the result", lambda: ops.jit(ops.bartlett)(ops.array(3))),
    ],
)  # fmt: skip
def test_what_makes_no_sense(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", ["bartlett", "blackman", "hamming", "hanning"])
def test_windows_are_those_of_keras(name: str) -> None:
    for size in (0, 1, 2, 9, np.int32(4), ops.array(5)):
        ours, theirs = getattr(ops, name)(size), getattr(keras.ops, name)(size)
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(ops.kaiser(9, 6.0), keras.ops.kaiser(9, 6.0), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "bool"])
def test_transforms_take_every_dtype(dtype: str) -> None:
    """Keras takes float32 only: 16-bit floats are transformed in 32 bits, integers become floats."""
    x = ops.cast(X[:, :8] > 0, dtype)
    expected = dtype if "float" in dtype else "float32"
    for part, exact in zip(ops.rfft(x), keras.ops.rfft(ops.cast(x, "float32")), strict=True):
        assert ops.dtype(part) == expected
        np.testing.assert_allclose(ops.cast(part, "float32"), exact, rtol=2e-2, atol=2e-2)
    assert {ops.dtype(part) for part in (*ops.fft((x, x)), *ops.stft(x, 4, 2, 4))} == {expected}


def test_infinite_parts_stay_apart() -> None:
    """i · inf must not make a NaN of the real part."""
    infinite = (np.zeros((1,), "float32"), np.full((1,), np.inf, "float32"))
    assert np.array_equal(ops.fft(infinite)[1], [np.inf])
