"""Fourier transforms, windows and correlation: complex numbers come and go as pairs (real, imaginary)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import config
from cornu.base.checks import whole
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, DTypeError, ShapeError, bad_choice
from cornu.core.op import Tensor, op
from cornu.core.symbolic import KerasTensor
from cornu.ops.reduction import in_float32
from cornu.ops.shape import shape

Pair = tuple[Array, Array]

# transforms


def _pair(name: str, axes: int) -> Callable[..., None]:
    """The check of an op on (real, imaginary), transformed along so many last axes."""

    def check(x: Any, *_: Any, **__: Any) -> None:
        if len(x) != 2 or shape(x[0]) != shape(x[1]) or len(shape(x[0])) < axes:
            raise ShapeError(
                f"{name}: x should be a pair (real, imaginary) of tensors of one shape with at least {axes} "
                f"{'axis' if axes == 1 else 'axes'}, got {len(x)} of the shapes {[shape(part) for part in x]}."
            )

    return check


def _parts(z: Array) -> Pair:
    return B.real(z), B.imag(z)


@op(promotion="float", check=_pair("fft", 1))
@in_float32
def fft(x: Sequence[Tensor]) -> Pair:
    """The discrete Fourier transform Σₜ xₜ exp(-2πi·kt/n) along the last axis, of a pair and as a pair.

    >>> real, imaginary = ops.fft(([1, 1, 1, 1], [0, 0, 0, 0]))
    >>> print(real)
    [4. 0. 0. 0.]
    """
    return _parts(B.fftn(B.complex(*x), (-1,)))


@op(promotion="float", check=_pair("fft2", 2))
@in_float32
def fft2(x: Sequence[Tensor]) -> Pair:
    """The discrete Fourier transform along the last two axes, of a pair (real, imaginary) and as a pair.

    >>> real, imaginary = ops.fft2(([[1, 1], [1, 1]], [[0, 0], [0, 0]]))
    >>> print(real)
    [[4. 0.]
     [0. 0.]]
    """
    return _parts(B.fftn(B.complex(*x), (-2, -1)))


@op(promotion="float", check=_pair("ifft2", 2))
@in_float32
def ifft2(x: Sequence[Tensor]) -> Pair:
    """The inverse of `fft2`.

    >>> real, imaginary = ops.ifft2(([[4, 0], [0, 0]], [[0, 0], [0, 0]]))
    >>> print(real)
    [[1. 1.]
     [1. 1.]]
    """
    return _parts(B.ifftn(B.complex(*x), (-2, -1)))


def _check_length(name: str, size: int | None, fft_length: Any) -> None:
    if (fft_length is not None and (not isinstance(fft_length, int) or fft_length < 1)) or size == 0:
        raise ArgumentError(
            f"{name}: there should be something to transform, and fft_length be a positive int or None; got a last "
            f"axis of size {size} and fft_length={fft_length!r}."
        )


def _check_rfft(x: Any, fft_length: int | None = None) -> None:
    if not shape(x):
        raise ShapeError("rfft: x should have at least one axis, got a scalar.")
    _check_length("rfft", shape(x)[-1], fft_length)


@op(promotion="float", check=_check_rfft)
@in_float32
def rfft(x: Tensor, fft_length: int | None = None) -> Pair:
    """The first n // 2 + 1 terms of the Fourier transform of real `x`, cut or zero-padded to n = `fft_length`.

    >>> real, imaginary = ops.rfft([1, -1, 1, -1])
    >>> print(real)
    [0. 0. 4.]
    """
    return _parts(B.rfft(x, x.shape[-1] if fft_length is None else fft_length))


def _check_irfft(x: Any, fft_length: int | None = None) -> None:
    _pair("irfft", 1)(x)
    size = shape(x[0])[-1]
    _check_length("irfft", 0 if size == 1 and fft_length is None else size, fft_length)


@op(promotion="float", check=_check_irfft)
@in_float32
def irfft(x: Sequence[Tensor], fft_length: int | None = None) -> Array:
    """The inverse of `rfft`: `fft_length` real numbers, 2 · (terms - 1) where None.

    >>> print(ops.irfft(([4, 0, 0], [0, 0, 0])))
    [1. 1. 1. 1.]
    """
    return B.irfft(B.complex(*x), 2 * (x[0].shape[-1] - 1) if fft_length is None else fft_length)


# frames of a longer signal


def _check_frames(name: str, sequence_length: Any, sequence_stride: Any, fft_length: Any, window: Any) -> None:
    whole(name, 1, sequence_length=sequence_length, sequence_stride=sequence_stride, fft_length=fft_length)
    if sequence_length > fft_length:
        raise ArgumentError(
            f"{name}: fft_length should be at least sequence_length, got fft_length={fft_length} and "
            f"sequence_length={sequence_length}."
        )
    if isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise bad_choice(f"{name}: window", window, ("hann", "hamming"))
    elif window is not None and shape(window) != (sequence_length,):
        raise ShapeError(
            f"{name}: window should have the shape (sequence_length,) = ({sequence_length},), got {shape(window)}."
        )


def _window(kind: Any, length: int, fft_length: int, dtype: str) -> Array:
    """The weights of a frame: the window in the middle of zeros."""
    if kind is None:
        return B.full((fft_length,), 1, dtype)
    low = (fft_length - length) // 2
    if isinstance(kind, str):  # periodic: one more sample would begin anew
        kind = (np.hanning if kind == "hann" else np.hamming)(length + 1)[:-1]
    return B.pad(B.convert(kind, dtype), [(low, fft_length - length - low)])


def _check_extract(x: Any, sequence_length: Any, sequence_stride: Any) -> None:
    if not shape(x):
        raise ShapeError("extract_sequences: x should have at least one axis, got a scalar.")
    _check_frames("extract_sequences", sequence_length, sequence_stride, sequence_length, None)


@op(check=_check_extract)
def extract_sequences(x: Tensor, sequence_length: int, sequence_stride: int) -> Array:
    """The windows of `sequence_length` along the last axis, every `sequence_stride`: (…, count, length).

    >>> print(ops.extract_sequences([1, 2, 3, 4, 5, 6], sequence_length=3, sequence_stride=2))
    [[1 2 3]
     [3 4 5]]
    """
    count = max((x.shape[-1] - sequence_length) // sequence_stride + 1, 0)
    starts = B.arange(0, count, 1, "int32") * sequence_stride
    return B.take(x, starts[:, None] + B.arange(0, sequence_length, 1, "int32"), x.ndim - 1)


def _check_stft(
    x: Any, sequence_length: int, sequence_stride: int, fft_length: int, window: Any = "hann", center: bool = True
) -> None:
    _check_frames("stft", sequence_length, sequence_stride, fft_length, window)
    needed = 2 if center and fft_length > 1 else 1 if center else fft_length
    sizes = shape(x)
    if not sizes or (sizes[-1] is not None and sizes[-1] < needed):
        raise ShapeError(f"stft: x should have at least {needed} samples along its last axis, got shape {sizes}.")


@op(promotion="float", check=_check_stft)
@in_float32
def stft(
    x: Tensor,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> Pair:
    """The Fourier transforms of windowed frames of the last axis: a pair (…, frames, fft_length // 2 + 1).

    Frames begin every `sequence_stride`; `window` ("hann", "hamming" or weights) is `sequence_length` long and lies in
    the middle of `fft_length`; None weighs nothing. With `center` x is reflected at both ends, so that the n-th frame's
    middle is sample n · stride.

    >>> real, imaginary = ops.stft(ops.ones((2, 1600)), sequence_length=400, sequence_stride=160, fft_length=512)
    >>> real.shape
    (2, 11, 257)
    """
    if center:
        x = B.pad(x, [(0, 0)] * (x.ndim - 1) + [(fft_length // 2, fft_length // 2)], "reflect")
    weights = _window(window, sequence_length, fft_length, standardize_dtype(x.dtype))
    return _parts(B.rfft(extract_sequences(x, fft_length, sequence_stride) * weights, fft_length))


def _check_istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> None:
    _pair("istft", 2)(x)
    _check_frames("istft", sequence_length, sequence_stride, fft_length, window)
    terms = shape(x[0])[-1]
    if terms not in (None, fft_length // 2 + 1):
        raise ShapeError(
            f"istft: x should have fft_length // 2 + 1 = {fft_length // 2 + 1} terms along its last axis, "
            f"got shape {shape(x[0])}."
        )


@op(promotion="float", check=_check_istft)
@in_float32
def istft(
    x: Sequence[Tensor],
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Array:
    """The inverse of `stft` with the same arguments, in the sense of least squares; cut or zero-padded to `length`.

    Samples that no window covers come out as 0. https://doi.org/10.1109/TASSP.1984.1164317

    >>> frames = ops.stft(ops.ones((2, 1600)), sequence_length=400, sequence_stride=160, fft_length=512)
    >>> ops.istft(frames, sequence_length=400, sequence_stride=160, fft_length=512).shape
    (2, 1600)
    """
    weights = _window(window, sequence_length, fft_length, standardize_dtype(x[0].dtype))
    frames = B.irfft(B.complex(*x), fft_length) * weights
    total = _overlap_add(frames, sequence_stride)
    power = _overlap_add(B.broadcast_to(weights**2, frames.shape[-2:]), sequence_stride)
    covered = power > 1e-10
    signal = B.where(covered, total / B.where(covered, power, 1), 0)
    low, high = (fft_length // 2, signal.shape[-1] - fft_length // 2) if center else (0, signal.shape[-1])
    if length is None:
        return signal[..., low:high]
    lacking = max(low + length - signal.shape[-1], 0)
    return B.pad(signal, [(0, 0)] * (signal.ndim - 1) + [(0, lacking)])[..., low : low + length]


def _overlap_add(frames: Array, stride: int) -> Array:
    """The sum of (…, count, length) frames that begin every `stride` samples: (…, (count - 1) · stride + length)."""
    *batch, count, length = frames.shape
    parts = -(-length // stride)
    edge = [(0, 0)] * len(batch)
    frames = B.pad(frames, [*edge, (0, 0), (0, parts * stride - length)])
    rows = B.transpose(B.reshape(frames, (-1, count, parts, stride)), (0, 2, 1, 3))  # (batch, parts, count, stride)
    # Row k belongs k places further: so it comes if the rows, made longer by `parts`, are cut anew one place shorter.
    rows = B.pad(rows, [(0, 0), (0, 0), (0, parts), (0, 0)])
    rows = B.reshape(rows, (-1, parts * (count + parts), stride))[:, : parts * (count + parts - 1)]
    total = B.sum(B.reshape(rows, (-1, parts, count + parts - 1, stride)), axis=1)
    return B.reshape(total, (*batch, -1))[..., : (count - 1) * stride + length]


# correlation


def _check_correlate(x1: Any, x2: Any, mode: str = "valid") -> None:
    if mode not in ("valid", "same", "full"):
        raise bad_choice("correlate: mode", mode, ("valid", "same", "full"))
    if len(shape(x1)) != 1 or len(shape(x2)) != 1 or 0 in (*shape(x1), *shape(x2)):
        raise ShapeError(
            f"correlate: x1 and x2 should have one axis and some element, got shapes {shape(x1)} and {shape(x2)}."
        )


@op(promotion="float", check=_check_correlate)
@in_float32
def correlate(x1: Tensor, x2: Tensor, mode: str = "valid") -> Array:
    """Σₜ x1[t + k] · x2[t], for all k (`"full"`), as many as the longer has (`"same"`), or without overhang.

    >>> print(ops.correlate([1, 2, 3], [0, 1]), ops.correlate([1, 2, 3], [0, 1], mode="full"))
    [2. 3.] [1. 2. 3. 0.]
    """
    return B.correlate(x1, x2, mode)


# windows


def _sized_window(name: str, doc: str, example: tuple[str, str]) -> Callable[[Any], Array]:
    def window(x: Any) -> Array:
        return B.convert(getattr(np, name)(_length(name, x)), config.floatx())

    window.__name__ = window.__qualname__ = name
    size, result = example
    shown = f">>> print(np.array(ops.{name}({size})).round(2))\n{result}"
    window.__doc__ = f"{doc}, `x` samples from one end to the other, in `floatx`.\n\n{shown}"
    return window


def _length(name: str, x: Any) -> int:
    if isinstance(x, KerasTensor) or B.is_tracing(x):
        raise DTypeError(f"{name}: x is the size of the result and has to be known, a plain int; got {x!r}.")
    try:
        length = int(x) if hasattr(x, "dtype") and shape(x) == () else operator.index(x)
    except TypeError:
        raise DTypeError(f"{name}: x should be an int, the number of samples, got {x!r}.") from None
    if length < 0:
        raise ArgumentError(f"{name}: x should be a number of samples, 0 or more, got {length}.")
    return length


bartlett = _sized_window(
    "bartlett", "The triangular window, 1 - |t| for t from -1 to 1", ("5", "[0.  0.5 1.  0.5 0. ]")
)
blackman = _sized_window(
    "blackman",
    "The window 0.42 + 0.5 cos(πt) + 0.08 cos(2πt) for t from -1 to 1",
    ("5", "[-0.    0.34  1.    0.34 -0.  ]"),
)
hamming = _sized_window(
    "hamming", "The window 0.54 + 0.46 cos(πt) for t from -1 to 1", ("5", "[0.08 0.54 1.   0.54 0.08]")
)
hanning = _sized_window("hanning", "The window (1 + cos(πt)) / 2 for t from -1 to 1", ("5", "[0.  0.5 1.  0.5 0. ]"))


def kaiser(x: Any, beta: Any) -> Array:
    """The window I₀(β √(1 - t²)) / I₀(β) for t from -1 to 1, `x` samples from one end to the other, in `floatx`.

    >>> print(ops.kaiser(5, beta=5).round(2), ops.kaiser(5, beta=0))
    [0.04 0.55 1.   0.55 0.04] [1. 1. 1. 1. 1.]
    """
    return B.convert(np.kaiser(_length("kaiser", x), float(beta)), config.floatx())
