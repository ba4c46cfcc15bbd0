"""Fourier transforms, frames, windows, correlation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cornu.testing.conformance.case import FLOATS, NUMBERS, Case, x

C = Case
ONE = ("float32",)


def _paired(name: str) -> Callable[..., Any]:
    return lambda ops, re, im, **kwargs: getattr(ops, name)((re, im), **kwargs)


def _parts(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A complex result as a pair."""

    def oracle(*args: Any, **kwargs: Any) -> Any:
        z = fn(*args, **kwargs)
        return z.real, z.imag

    return oracle


def _joined(fn: Callable[..., Any]) -> Callable[..., Any]:
    return lambda re, im, **kwargs: fn(re + 1j * im, **kwargs)


def _frames(x: Any, sequence_length: int, sequence_stride: int) -> Any:
    found = [x[..., i : i + sequence_length] for i in range(0, x.shape[-1] - sequence_length + 1, sequence_stride)]
    return np.stack(found, -2) if found else np.zeros((*x.shape[:-1], 0, sequence_length), x.dtype)


def _weights(kind: Any, length: int, fft_length: int) -> Any:
    t = np.arange(length) * 2 * np.pi / length
    shapes = {"hann": 0.5 - 0.5 * np.cos(t), "hamming": 0.54 - 0.46 * np.cos(t)}
    if kind is None:
        return np.ones(fft_length)
    weights = np.zeros(fft_length)
    low = (fft_length - length) // 2
    weights[low : low + length] = np.asarray(kind) if isinstance(kind, tuple) else shapes[kind]
    return weights


def _stft(x: Any, length: int, stride: int, fft_length: int, window: Any = "hann", center: bool = True) -> Any:
    if center:
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(fft_length // 2,) * 2], "reflect")
    return np.fft.rfft(_frames(x, fft_length, stride) * _weights(window, length, fft_length))


def _istft(
    z: Any,
    sequence_length: int,
    stride: int,
    fft_length: int,
    length: Any = None,
    window: Any = "hann",
    center: Any = True,
) -> Any:
    frames, weights = np.fft.irfft(z, fft_length), _weights(window, sequence_length, fft_length)
    size = (frames.shape[-2] - 1) * stride + fft_length
    total, power = np.zeros((*frames.shape[:-2], size)), np.zeros(size)
    for i in range(frames.shape[-2]):
        total[..., i * stride : i * stride + fft_length] += frames[..., i, :] * weights
        power[i * stride : i * stride + fft_length] += weights**2
    signal = np.where(power > 1e-10, total / np.where(power > 1e-10, power, 1), 0)
    half = fft_length // 2 if center else 0
    signal = np.concatenate([signal[..., half:], np.zeros((*signal.shape[:-1], length or 0))], -1)
    return signal[..., : length or size - 2 * half]


def _inverted(ops: Any, re: Any, im: Any, *args: Any, **kwargs: Any) -> Any:
    return ops.istft((re, im), *args, **kwargs)


def _windowed(name: str, *args: Any) -> Callable[..., Any]:
    return lambda size: getattr(np, name)(size, *args)


CASES = [
    C("fft", (x(2, 5), x(2, 5)), _parts(_joined(np.fft.fft)), call=_paired("fft")),
    C("fft", (x(8), x(8)), _parts(_joined(np.fft.fft)), call=_paired("fft"), dtypes=ONE, batch=False),
    C("fft2", (x(2, 3, 4), x(2, 3, 4)), _parts(_joined(np.fft.fft2)), call=_paired("fft2")),
    C("ifft2", (x(2, 3, 4), x(2, 3, 4)), _parts(_joined(np.fft.ifft2)), call=_paired("ifft2")),
    C("rfft", (x(2, 5),), _parts(np.fft.rfft), dtypes=NUMBERS),
    *(
        C("rfft", (x(2, 5),), _parts(lambda x, fft_length: np.fft.rfft(x, fft_length)), {"fft_length": n}, dtypes=ONE)
        for n in (3, 8)
    ),
    C("irfft", (x(2, 5), x(2, 5)), _joined(np.fft.irfft), call=_paired("irfft")),
    *(
        C(
            "irfft",
            (x(2, 5), x(2, 5)),
            _joined(lambda z, fft_length: np.fft.irfft(z, fft_length)),
            {"fft_length": n},
            call=_paired("irfft"),
            dtypes=ONE,
        )
        for n in (5, 12)
    ),
    C("extract_sequences", (x(2, 3, 7), 3, 2), _frames, dtypes=NUMBERS),
    C("extract_sequences", (x(2, 7), 3, 1), _frames, dtypes=ONE),
    C("extract_sequences", (x(2, 3), 4, 1), _frames, dtypes=ONE),
    C("stft", (x(2, 16), 4, 2, 8), _parts(_stft)),
    C("stft", (x(2, 16), 5, 3, 7), _parts(_stft), {"window": "hamming"}, dtypes=ONE),
    C("stft", (x(2, 16), 4, 2, 8), _parts(_stft), {"window": None, "center": False}, dtypes=ONE),
    C("stft", (x(2, 16), 4, 5, 4), _parts(_stft), {"window": (1.0, 2.0, 0.5, 0.0)}, dtypes=ONE),
    C("istft", (x(2, 9, 5), x(2, 9, 5), 4, 2, 8), lambda a, b, *r: _istft(a + 1j * b, *r), call=_inverted),
    *(
        C(
            "istft",
            (x(2, 4, 5), x(2, 4, 5), *sizes),
            lambda a, b, *r, **k: _istft(a + 1j * b, *r, **k),
            options,
            call=_inverted,
            dtypes=ONE,
        )
        for sizes, options in (
            ((8, 3, 8), {"window": "hamming", "center": False}),
            ((6, 8, 8), {"window": None, "length": 40}),
            ((8, 2, 8), {"length": 5}),
        )
    ),
    *(
        C("correlate", (x(5), x(n)), lambda a, b, mode: np.correlate(a, b, mode), {"mode": m}, dtypes=d, batch=False)
        for m, n, d in (
            ("valid", 3, NUMBERS),
            ("same", 3, FLOATS),
            ("full", 3, ONE),
            ("full", 7, ONE),
            ("same", 8, ONE),
        )
    ),
    *(
        C(name, (size,), _windowed(name), dtypes=ONE)
        for name in ("bartlett", "blackman", "hamming", "hanning")
        for size in (0, 1, 2, 7)
    ),
    C("kaiser", (7, 8.6), np.kaiser, dtypes=ONE),
    C("kaiser", (1, 8.6), np.kaiser, dtypes=ONE),
]
