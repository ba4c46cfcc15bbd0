"""Random tensors. `seed` is an int (always the same numbers), a `SeedGenerator`, or None for the run's generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.dtypes import is_float, standardize_dtype
from cornu.base.errors import ArgumentError, DTypeError
from cornu.base.spec import standardize_shape
from cornu.core.op import Tensor, op
from cornu.random.seed import draw_key


def _float(dtype: Any, what: str) -> str:
    dtype = standardize_dtype(dtype)
    if not is_float(dtype):
        raise DTypeError(f"random.{what} draws floats, got dtype={dtype!r}; use random.randint for integers.")
    return dtype


def normal(shape: Sequence[int], mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> Array:
    """Normally distributed numbers.

    >>> print(ops.all(random.normal((2, 3), seed=1) == random.normal((2, 3), seed=1)))
    True
    """
    dtype = _float(dtype, "normal")
    return B.random_normal(draw_key(seed), standardize_shape(shape), dtype) * B.convert(stddev, dtype) + B.convert(
        mean, dtype
    )


def truncated_normal(
    shape: Sequence[int], mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
) -> Array:
    """Normally distributed numbers within two standard deviations of the mean.

    >>> print(ops.max(ops.abs(random.truncated_normal((1000,), seed=1))) <= 2)
    True
    """
    dtype = _float(dtype, "truncated_normal")
    drawn = B.random_truncated_normal(draw_key(seed), standardize_shape(shape), dtype)
    return drawn * B.convert(stddev, dtype) + B.convert(mean, dtype)


def uniform(
    shape: Sequence[int], minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None
) -> Array:
    """Evenly distributed floats in [minval, maxval).

    >>> x = random.uniform((1000,), 5, 6, seed=1)
    >>> print(ops.all((x >= 5) & (x < 6)))
    True
    """
    dtype = _float(dtype, "uniform")
    low, high = B.convert(minval, dtype), B.convert(maxval, dtype)
    drawn = B.random_uniform(draw_key(seed), standardize_shape(shape), dtype)
    if isinstance(minval, int | float) and minval == 0:
        return drawn * high
    end = B.stop_gradient(high)
    step = end - B.nextafter(end, B.stop_gradient(low))  # without it rounding the sum may give `high`
    return drawn * (high - step - low) + low


def randint(shape: Sequence[int], minval: int, maxval: int, dtype: Any = "int32", seed: Any = None) -> Array:
    """Evenly distributed integers in [minval, maxval).

    >>> print(ops.unique(random.randint((1000,), 3, 6, seed=1)))
    [3 4 5]
    """
    return B.random_integers(draw_key(seed), standardize_shape(shape), minval, maxval, standardize_dtype(dtype))


def gamma(shape: Sequence[int], alpha: Any, dtype: Any = None, seed: Any = None) -> Array:
    """Gamma-distributed numbers of shape parameter `alpha` and unit scale.

    >>> random.gamma((2, 3), alpha=[1, 5, 9], seed=1).shape
    (2, 3)
    """
    dtype = _float(dtype, "gamma")
    return B.random_gamma(draw_key(seed), standardize_shape(shape), B.convert(alpha, dtype), dtype)


def beta(shape: Sequence[int], alpha: Any, beta: Any, dtype: Any = None, seed: Any = None) -> Array:
    """Beta-distributed numbers: X / (X + Y) of two gamma-distributed ones.

    >>> print(ops.mean(random.beta((1000,), 1e4, 3e4, seed=1)).round(2))
    0.25
    """
    dtype = _float(dtype, "beta")
    key = draw_key(seed)
    x = B.random_gamma(key, standardize_shape(shape), B.convert(alpha, dtype), dtype)
    y = B.random_gamma(
        B.add(key, B.convert([1 << 31, 0], "uint32")), standardize_shape(shape), B.convert(beta, dtype), dtype
    )
    return x / (x + y)


def binomial(shape: Sequence[int], counts: Any, probabilities: Any, dtype: Any = None, seed: Any = None) -> Array:
    """How many of `counts` trials succeed; counts are known numbers, at most some thousands.

    >>> print(random.binomial((3,), counts=[0, 5, 9], probabilities=1, seed=1))
    [0. 5. 9.]
    """
    dtype = _float(dtype, "binomial")
    counts = B.convert(counts, dtype)
    most = int(B.to_numpy(B.max(counts)))
    trials = B.random_uniform(draw_key(seed), (most, *standardize_shape(shape)), "float32")
    order = B.reshape(B.arange(0, most, 1, dtype), (most,) + (1,) * len(tuple(shape)))
    return B.sum(B.cast(B.logical_and(trials < B.convert(probabilities, dtype), order < counts), dtype), axis=0)


def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None) -> Array:
    """Class indices drawn by logits: (batch, classes) to (batch, num_samples).

    >>> print(random.categorical([[-np.inf, 0], [0, -np.inf]], 3, seed=1))
    [[1 1 1]
     [0 0 0]]
    """
    logits = B.cast(B.convert(logits), "float32")
    noise = B.random_uniform(draw_key(seed), (logits.shape[0], num_samples, logits.shape[-1]), "float32")
    gumbel = -B.log(-B.log(B.maximum(noise, 1e-20)))  # the largest of logits + Gumbel noise is a draw
    return B.cast(B.argmax(logits[:, None, :] + gumbel, axis=-1), standardize_dtype(dtype))


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Array:
    """The slices along the axis in random order.

    >>> print(ops.sort(random.shuffle([1, 2, 3, 4], seed=1)))
    [1 2 3 4]
    """
    x = B.convert(x)
    return B.take(x, B.random_permutation(draw_key(seed), x.shape[axis]), axis)


def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
    """Elements set to 0 with probability `rate`, the others scaled by 1 / (1 - rate).

    `noise_shape` broadcasts the choice along axes of size 1. https://jmlr.org/papers/v15/srivastava14a.html

    >>> print(ops.unique(random.dropout(ops.ones(1000), 0.75, seed=1)))
    [0. 4.]
    """
    if not 0 <= rate <= 1:
        raise ArgumentError(f"dropout: rate should be within [0, 1], got {rate!r}.")
    return _dropout(inputs, rate, noise_shape, seed)


@op(fuse=False)
def _dropout(inputs: Tensor, rate: float, noise_shape: Any, seed: Any) -> Array:
    if rate == 0:
        return inputs
    if rate == 1:
        return inputs * 0
    shape = (
        inputs.shape
        if noise_shape is None
        else [s if n is None else n for s, n in zip(inputs.shape, noise_shape, strict=True)]
    )
    dtype = standardize_dtype(inputs.dtype)
    keep = B.random_uniform(draw_key(seed), standardize_shape(shape), "float32") >= rate
    return B.where(keep, inputs * B.convert(1 / (1 - rate), dtype), B.zeros((), dtype))
