"""First values of variables, drawn on the host by NumPy: the same on every backend for the same seed."""

from __future__ import annotations

import importlib
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cornu.backend import B, memory
from cornu.base.checks import whole, within
from cornu.base.dtypes import is_float, standardize_dtype
from cornu.base.errors import ShapeError, bad_choice
from cornu.base.spec import standardize_shape
from cornu.core.configurable import Configurable
from cornu.core.lookup import Family
from cornu.random.seed import SeedGenerator, next_seed

__all__ = [
    "STFT",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "STFTInitializer",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "stft",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]


class Initializer(Configurable):
    """Base of initializers: derive from it and define `__call__(shape, dtype=None)`.

    Our own define `sample` instead, which draws on the host. With a `seed` every call gives the same numbers; without,
    each call draws new ones from the run's seed.
    """

    seed: int | SeedGenerator | None

    def _checked(self, seed: Any) -> Any:
        if not isinstance(seed, SeedGenerator):
            whole(self, 0, True, seed=seed)
        return seed

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """The values, as a NumPy array in any float dtype."""
        raise NotImplementedError(f"{type(self).__name__} should define `__call__(shape, dtype=None)`.")

    def __call__(self, shape: Sequence[int], dtype: Any = None, **kwargs: Any) -> Any:
        """A tensor of first values."""
        return B.convert(self.bound()(shape, dtype), standardize_dtype(dtype))

    def bound(self) -> Callable[..., Any]:
        """The initializer as a function whose random numbers are already decided."""
        if type(self).__call__ is not Initializer.__call__:
            return self
        if not hasattr(self, "seed"):  # nothing random in it
            seed: Any = 0
        elif isinstance(self.seed, SeedGenerator):
            seed = self.seed.next().tolist()
        else:
            seed = next_seed() if self.seed is None else self.seed

        def draw(shape: Sequence[int], dtype: Any = None) -> np.ndarray:
            values = self.sample(standardize_shape(shape), np.random.Generator(np.random.SFC64(seed)))
            dtype = standardize_dtype(dtype)
            # 16-bit dtypes NumPy does not know are cast on the device.
            return values.astype("float32" if is_float(dtype) and dtype != "float64" else dtype, copy=False)

        draw.on_host = True  # type: ignore[attr-defined]
        return draw

    def clone(self) -> Initializer:
        """A twin made from the same configuration."""
        return type(self).from_config(self.get_config())


class Constant(Initializer):
    """Every element is `value`, a number or an array that broadcasts to the shape."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return np.broadcast_to(np.asarray(self.value), shape)


class Zeros(Initializer):
    """Every element is 0."""

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return np.zeros(shape, "float32")


class Ones(Initializer):
    """Every element is 1."""

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return np.ones(shape, "float32")


class Identity(Initializer):
    """The identity matrix times `gain`; two axes."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        if len(shape) != 2:
            raise ShapeError(f"The identity initializer needs two axes, got shape {shape}.")
        return self.gain * np.eye(*shape, dtype="float32")


class _Memory(threading.local):
    """Where a thread's arrays of less than a block lie: within blocks on huge pages."""

    block = np.empty(0, np.uint8)
    size = 1 << 23

    def take(self, size: int) -> np.ndarray:
        """Uninitialised bytes at a multiple of 64, which a device on the CPU takes over without a copy."""
        if len(self.block) < size + 64:
            self.block = memory.block(max(self.size, size + 64))
        start = -self.block.ctypes.data % 64
        taken = self.block[start : start + size]
        self.block = self.block[start + size :]
        return taken


_memory = _Memory()


def _empty(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialised float32 array; pages of the usual size would take as long as drawing the numbers."""
    return _memory.take(4 * math.prod(shape)).view(np.float32).reshape(shape)


_CHUNK = 1 << 15  # numbers that stay in a core's own cache from one line to the next


def _uniform(shape: tuple[int, ...], rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Evenly distributed float32 in [low, high), of 23 random bits each: 1.5 ns a number where NumPy takes 2.5."""
    values = _empty(shape)
    flat = values.reshape(-1)
    middle, span = np.float32((low + high) / 2), np.float32(high - low)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        bits = rng.bit_generator.random_raw(-(-part.size // 2)).view(np.uint32)[: part.size]
        bits >>= np.uint32(9)
        bits |= np.uint32(0x3F800000)  # as floats these lie in [1, 2)
        np.subtract(bits.view(np.float32), np.float32(1.5), out=part)
        part *= span
        if middle:
            part += middle
    return values


class RandomNormal(Initializer):
    """Normally distributed numbers."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> None:
        within(self, "(-inf, inf)", mean=mean)
        within(self, "[0, inf)", stddev=stddev)
        self.mean, self.stddev, self.seed = mean, stddev, self._checked(seed)

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        values = rng.standard_normal(out=_empty(shape), dtype=np.float32)
        values *= self.stddev
        values += self.mean
        return values


class RandomUniform(Initializer):
    """Evenly distributed numbers in [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Any = None) -> None:
        within(self, "(-inf, inf)", minval=minval)
        within(self, f"[{float(minval)}, inf)", maxval=maxval)
        self.minval, self.maxval, self.seed = minval, maxval, self._checked(seed)

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return _uniform(shape, rng, self.minval, self.maxval)


class TruncatedNormal(RandomNormal):
    """Normally distributed numbers within two standard deviations of the mean."""

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        values = _truncated(shape, rng)
        values *= np.float32(self.stddev)
        values += np.float32(self.mean)
        return values


def _truncated(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers within [-2, 2], by the inverse of their distribution function."""
    special = importlib.import_module("scipy.special")  # takes 0.15 s, and most models draw uniform numbers
    low, high = special.ndtr([-2.0, 2.0])
    values = _uniform(shape, rng, low, high)
    return np.clip(special.ndtri(values, out=values), -2, 2, out=values)


class VarianceScaling(Initializer):
    """Random numbers of variance `scale / n`, where n counts a unit's inputs, outputs, or the mean of both.

    `mode` is `"fan_in"`, `"fan_out"` or `"fan_avg"`, `distribution` `"truncated_normal"`, `"untruncated_normal"` or
    `"uniform"`. `input_axes` and `output_axes` name the axes counted; by default the last two, times the window.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: Any = None,
        output_axes: Any = None,
    ) -> None:
        within(self, "(0, inf)", scale=scale)
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise bad_choice("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        distribution = "truncated_normal" if distribution == "normal" else str(distribution).lower()
        if distribution not in ("truncated_normal", "untruncated_normal", "uniform"):
            raise bad_choice("distribution", distribution, ("truncated_normal", "untruncated_normal", "uniform"))
        self.scale, self.mode, self.distribution, self.seed = scale, mode, distribution, self._checked(seed)
        self.input_axes, self.output_axes = input_axes, output_axes

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        fan_in, fan_out = _fans(shape, self.input_axes, self.output_axes)
        count = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(count, 1)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return RandomUniform(-limit, limit).sample(shape, rng)
        if self.distribution == "untruncated_normal":
            return RandomNormal(0, math.sqrt(variance)).sample(shape, rng)
        # 0.8796 is the standard deviation of the standard normal distribution cut at ±2.
        values = _truncated(shape, rng)
        values *= np.float32(math.sqrt(variance) / 0.87962566103423978)
        return values


def _fans(shape: tuple[int, ...], input_axes: Any = None, output_axes: Any = None) -> tuple[int, int]:
    """How many inputs and outputs a unit of a kernel (*window, in, out) has."""
    if input_axes is not None or output_axes is not None:
        inputs, outputs = (
            [axis % len(shape) for axis in ([axes] if isinstance(axes, int) else axes or ())]
            for axes in (input_axes, output_axes)
        )
        window = math.prod(size for axis, size in enumerate(shape) if axis not in {*inputs, *outputs})
        return tuple(window * math.prod(shape[a] for a in axes) for axes in (inputs, outputs))  # type: ignore[return-value]
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


class _Scaled(VarianceScaling):
    """A `VarianceScaling` whose scale, mode and distribution are fixed."""

    _fixed: tuple[float, str, str]

    def __init__(self, seed: Any = None, input_axes: Any = None, output_axes: Any = None) -> None:
        super().__init__(*self._fixed, seed, input_axes, output_axes)


class GlorotUniform(_Scaled):
    """Uniform with variance 2 / (in + out). https://proceedings.mlr.press/v9/glorot10a.html"""

    _fixed = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal with variance 2 / (in + out). https://proceedings.mlr.press/v9/glorot10a.html"""

    _fixed = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform with variance 2 / in. https://arxiv.org/abs/1502.01852"""

    _fixed = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal with variance 2 / in. https://arxiv.org/abs/1502.01852"""

    _fixed = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform with variance 1 / in. http://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf"""

    _fixed = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal with variance 1 / in. http://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf"""

    _fixed = (1.0, "fan_in", "truncated_normal")


class Orthogonal(Initializer):
    """A random matrix with orthonormal rows or columns, whichever are fewer, times `gain`; leading axes flattened.

    https://arxiv.org/abs/1312.6120
    """

    def __init__(self, gain: float = 1.0, seed: Any = None) -> None:
        within(self, "(-inf, inf)", gain=gain)
        self.gain, self.seed = gain, self._checked(seed)

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        if len(shape) < 2:
            raise ShapeError(f"The orthogonal initializer needs at least two axes, got shape {shape}.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diag(r))  # makes the distribution uniform
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


class STFT(Initializer):
    """The `side` (`"real"` or `"imag"`) of the windowed Fourier matrix, (window, 1, frequencies).

    `window` is a name SciPy knows or a tensor, `scaling` `"density"`, `"spectrum"` or None.
    """

    def __init__(
        self, side: str = "real", window: Any = "hann", scaling: str | None = "density", periodic: bool = False
    ) -> None:
        if side not in ("real", "imag"):
            raise bad_choice("side", side, ("real", "imag"))
        if scaling not in ("density", "spectrum", None):
            raise bad_choice("scaling", scaling, ("density", "spectrum"))
        self.side, self.window, self.scaling, self.periodic = side, window, scaling, periodic

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        from scipy import signal

        frame, _, frequencies = shape
        window, scaling = np.ones(frame), self.scaling if self.window is not None else None
        if isinstance(self.window, str):
            window = signal.get_window(self.window, frame, fftbins=self.periodic)
        elif self.window is not None:
            window = np.asarray(self.window)
        scale = {"density": np.sqrt(np.sum(window**2)), "spectrum": np.abs(np.sum(window)), None: 1.0}[scaling]
        points = 2 * (frequencies - 1)
        angles = 2 * np.pi / points * np.arange(frame)[:, None] * np.arange(frequencies)
        wave = np.cos(angles) if self.side == "real" else -np.sin(angles)
        return (wave * (window / scale)[:, None])[:, None, :]


IdentityInitializer, OrthogonalInitializer, STFTInitializer = Identity, Orthogonal, STFT
_family = Family(
    "initializer",
    {name: globals()[name] for name in __all__ if name[0].isupper() and not name.endswith("Initializer")},
    aliases={"uniform": "RandomUniform", "normal": "RandomNormal", "one": "Ones", "zero": "Zeros"}
    | {f"{name}Initializer": name for name in ("Identity", "Orthogonal", "STFT")},
)


# The classes under the names that functions have.
constant, identity, ones, zeros, orthogonal, stft = Constant, Identity, Ones, Zeros, Orthogonal, STFT
glorot_normal, glorot_uniform, he_normal, he_uniform = GlorotNormal, GlorotUniform, HeNormal, HeUniform
lecun_normal, lecun_uniform, variance_scaling = LecunNormal, LecunUniform, VarianceScaling
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal


def get(identifier: Any) -> Any:
    """The initializer for a name, a configuration, a class, a number or an array (constant), or itself."""
    if isinstance(identifier, int | float | np.ndarray | np.generic) and not isinstance(identifier, bool):
        return Constant(identifier)
    return _family.get(identifier)


def serialize(initializer: Any) -> Any:
    """The initializer as plain data."""
    return _family.serialize(initializer)


deserialize = _family.deserialize
