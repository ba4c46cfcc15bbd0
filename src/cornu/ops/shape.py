"""Ops that make, reshape, join, split and index tensors, and products of them."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Sequence
from typing import Any

from cornu.backend import B, current
from cornu.backend.contract import Array
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, ShapeError
from cornu.core.op import Tensor, Untyped, op
from cornu.core.symbolic import KerasTensor
from cornu.core.variable import Variable
from cornu.ops.elementwise import cast


def shape(x: Any) -> tuple[int | None, ...]:
    """The sizes of `x`; None where a symbolic tensor's is unknown."""
    return tuple(x.shape if hasattr(x, "shape") else convert_to_tensor(x).shape)


def ndim(x: Any) -> int:
    """The number of axes."""
    return len(shape(x))


def dtype(x: Any) -> str:
    """The dtype's name."""
    return standardize_dtype(x.dtype)


def is_tensor(x: Any) -> bool:
    """Whether `x` is an array of the current backend or a symbolic tensor."""
    return isinstance(x, (*current().array_types, KerasTensor))


def convert_to_tensor(x: Any, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None) -> Any:
    """`x` as a tensor of the current backend, in `dtype` if given."""
    if isinstance(x, KerasTensor):
        return x if dtype is None else cast(x, dtype)
    if isinstance(x, Variable):
        x = x.value
    return B.convert(x, None if dtype is None else standardize_dtype(dtype))


def array(x: Any, dtype: Any = None) -> Any:
    """`x` as a tensor of the current backend."""
    return convert_to_tensor(x, dtype)


def convert_to_numpy(x: Any) -> Any:
    """`x` as a NumPy array; a copy may share memory with the tensor."""
    if isinstance(x, Variable):
        return x.numpy()
    return B.to_numpy(convert_to_tensor(x))


def zeros(shape: Sequence[int], dtype: Any = None) -> Array:
    """A tensor of zeros; `dtype` defaults to `floatx`."""
    return B.zeros(_sizes(shape), standardize_dtype(dtype))


def ones(shape: Sequence[int], dtype: Any = None) -> Array:
    """A tensor of ones; `dtype` defaults to `floatx`."""
    return B.full(_sizes(shape), 1, standardize_dtype(dtype))


def full(shape: Sequence[int], fill_value: Any, dtype: Any = None) -> Array:
    """A tensor of one value; `dtype` defaults to `floatx`."""
    return B.full(_sizes(shape), fill_value, standardize_dtype(dtype))


def _sizes(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


@op
def zeros_like(x: Tensor, dtype: Any = None) -> Array:
    """Zeros in the shape of `x`."""
    return B.zeros(x.shape, standardize_dtype(dtype or x.dtype))


@op
def ones_like(x: Tensor, dtype: Any = None) -> Array:
    """Ones in the shape of `x`."""
    return B.full(x.shape, 1, standardize_dtype(dtype or x.dtype))


@op
def full_like(x: Tensor, fill_value: Any, dtype: Any = None) -> Array:
    """One value in the shape of `x`."""
    return B.full(x.shape, fill_value, standardize_dtype(dtype or x.dtype))


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Array:
    """`start`, `start + step`, … below `stop`; with one argument from 0. int32 unless a bound is a float."""
    if stop is None:
        start, stop = 0, start
    step = 1 if step is None else step
    if dtype is None:
        dtype = standardize_dtype(float if builtins.any(isinstance(v, float) for v in (start, stop, step)) else "int32")
    return B.arange(start, stop, step, standardize_dtype(dtype))


def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    """`num` evenly spaced values from `start` to `stop`, along a new `axis`; with `retstep` also the distance."""
    wanted = standardize_dtype(dtype)
    start, stop = convert_to_tensor(start, wanted), convert_to_tensor(stop, wanted)
    gaps = builtins.max(num - 1 if endpoint else num, 1)
    fractions = B.arange(0, num, 1, wanted) / gaps
    fractions = B.reshape(fractions, (num,) + (1,) * builtins.max(start.ndim, stop.ndim))
    values = start * (1 - fractions) + stop * fractions
    values = moveaxis(values, 0, axis) if axis else values
    return (values, (stop - start) / gaps) if retstep else values


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Array:
    """An (N, M) matrix with ones on the k-th diagonal."""
    rows, columns = B.arange(0, N, 1, "int32"), B.arange(0, N if M is None else M, 1, "int32")
    return B.cast(rows[:, None] + k == columns[None, :], standardize_dtype(dtype))


@op
def tril(x: Tensor, k: int = 0) -> Array:
    """The lower triangle up to the k-th diagonal of (…, rows, columns), zeros above."""
    rows, columns = B.arange(0, x.shape[-2], 1, "int32"), B.arange(0, x.shape[-1], 1, "int32")
    return B.where(rows[:, None] + k >= columns[None, :], x, B.zeros((), standardize_dtype(x.dtype)))


@op
def triu(x: Tensor, k: int = 0) -> Array:
    """The upper triangle from the k-th diagonal of (…, rows, columns), zeros below."""
    rows, columns = B.arange(0, x.shape[-2], 1, "int32"), B.arange(0, x.shape[-1], 1, "int32")
    return B.where(rows[:, None] + k <= columns[None, :], x, B.zeros((), standardize_dtype(x.dtype)))


@op(promotion=None)
def copy(x: Tensor) -> Array:
    """A tensor of the same values."""
    return B.copy(x)


@op(promotion=None)
def reshape(x: Tensor, newshape: Any) -> Array:
    """The same values in another shape; one size may be -1."""
    return B.reshape(x, _sizes(newshape))


@op(promotion=None)
def transpose(x: Tensor, axes: Sequence[int] | None = None) -> Array:
    """The axes in the given order, reversed where None."""
    return B.transpose(x, tuple(reversed(range(x.ndim))) if axes is None else tuple(axes))


@op(promotion=None)
def swapaxes(x: Tensor, axis1: int, axis2: int) -> Array:
    """Two axes exchanged."""
    order = list(range(x.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return B.transpose(x, tuple(order))


@op(promotion=None)
def moveaxis(x: Tensor, source: Any, destination: Any) -> Array:
    """Axes moved from `source` to `destination`, the others in their order."""
    sources = [axis % x.ndim for axis in _sizes(source)]
    targets = [axis % x.ndim for axis in _sizes(destination)]
    order = [axis for axis in range(x.ndim) if axis not in sources]
    for target, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target, axis)
    return B.transpose(x, tuple(order))


@op(promotion=None)
def expand_dims(x: Tensor, axis: Any) -> Array:
    """With new axes of size 1 at `axis`."""
    return B.expand_dims(x, tuple(axis) if isinstance(axis, list) else axis)


@op(promotion=None)
def squeeze(x: Tensor, axis: Any = None) -> Array:
    """Without the axes of size 1 at `axis` (all where None)."""
    return B.squeeze(x, tuple(axis) if isinstance(axis, list) else axis)


@op(promotion=None)
def ravel(x: Tensor) -> Array:
    """Flattened to one axis."""
    return B.reshape(x, (-1,))


@op(promotion=None)
def broadcast_to(x: Tensor, shape: Sequence[int]) -> Array:
    """Repeated to `shape` by broadcasting."""
    return B.broadcast_to(x, tuple(shape))


@op(promotion=None)
def flip(x: Tensor, axis: Any = None) -> Array:
    """The elements along the axes (all where None) in reverse."""
    return B.flip(x, tuple(range(x.ndim)) if axis is None else tuple(axis) if isinstance(axis, list) else axis)


@op(promotion=None)
def roll(x: Tensor, shift: int, axis: int | None = None) -> Array:
    """Elements moved by `shift` along the axis (the flattened tensor where None), those leaving enter anew."""
    if axis is None:
        return B.reshape(roll(B.reshape(x, (-1,)), shift, 0), x.shape)
    size = x.shape[axis]
    shift = shift % size if size else 0
    at = axis % x.ndim
    head, tail = (x[(slice(None),) * at + (part,)] for part in (slice(size - shift, None), slice(0, size - shift)))
    return B.concatenate([head, tail], axis)


@op(promotion=None)
def repeat(x: Tensor, repeats: Any, axis: int | None = None) -> Array:
    """Each element `repeats` times along the axis (the flattened tensor where None)."""
    return B.repeat(B.reshape(x, (-1,)), repeats, 0) if axis is None else B.repeat(x, repeats, axis)


@op(promotion=None)
def tile(x: Tensor, repeats: Any) -> Array:
    """The whole tensor repeated along each axis."""
    return B.tile(x, _sizes(repeats))


@op
def pad(x: Tensor, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Array:
    """Widened by `pad_width`: (before, after) for each axis, for all, or one number. Modes are NumPy's."""
    if isinstance(pad_width, int):
        pairs = [(pad_width, pad_width)] * x.ndim
    else:
        pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in pad_width]
        if len(pad_width) == 2 and isinstance(pad_width[0], int):
            pairs = [tuple(pad_width)] * x.ndim
        pairs = pairs * x.ndim if len(pairs) == 1 else pairs
    if mode != "constant" and constant_values is not None:
        raise ArgumentError(
            f"pad: constant_values={constant_values!r} goes with mode='constant' only, got mode={mode!r}."
        )
    return B.pad(x, pairs, mode, constant_values if constant_values is not None else 0)


@op
def concatenate(xs: Sequence[Tensor], axis: int = 0) -> Array:
    """The tensors joined along an existing axis."""
    return B.concatenate(xs, axis)


@op
def stack(x: Sequence[Tensor], axis: int = 0) -> Array:
    """The tensors joined along a new axis."""
    return B.stack(x, axis)


@op(promotion=None)
def split(x: Tensor, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """The pieces along the axis: so many equal ones, or cut at the given indices."""
    size, at = x.shape[axis], axis % x.ndim
    if isinstance(indices_or_sections, int):
        if size % indices_or_sections:
            raise ShapeError(f"split: axis {axis} of size {size} cannot be cut into {indices_or_sections} equal parts.")
        step = size // indices_or_sections
        cuts = list(range(0, size + 1, step)) if step else [0] * (indices_or_sections + 1)
    else:
        cuts = [0, *(int(i) for i in indices_or_sections), size]
    return [x[(slice(None),) * at + (slice(a, b),)] for a, b in itertools.pairwise(cuts)]


@op(promotion=None)
def unstack(x: Tensor, num: int | None = None, axis: int = 0) -> list[Array]:
    """The slices along the axis, without it."""
    at = axis % x.ndim
    return [x[(slice(None),) * at + (i,)] for i in range(x.shape[axis])]


@op(promotion=None)
def get_item(x: Tensor, key: Any) -> Array:
    """x[key], by NumPy's rules of indexing."""
    return x[key]


@op(promotion=None)
def take(x: Tensor, indices: Untyped, axis: int | None = None) -> Array:
    """The slices at `indices` along the axis (of the flattened tensor where None); negative ones count from the end."""
    x, axis = (B.reshape(x, (-1,)), 0) if axis is None else (x, axis)
    return B.take(x, B.where(indices < 0, indices + x.shape[axis], indices), axis)


@op(promotion=None)
def take_along_axis(x: Tensor, indices: Untyped, axis: int | None = None) -> Array:
    """Elements picked along the axis (of the flattened tensor where None), one index for each."""
    x, axis = (B.reshape(x, (-1,)), 0) if axis is None else (x, axis)
    return B.take_along_axis(x, B.where(indices < 0, indices + x.shape[axis], indices), axis)


@op(promotion=None)
def slice_update(inputs: Tensor, start_indices: Any, updates: Tensor) -> Array:
    """`inputs` with the block that begins at `start_indices` replaced by `updates`."""
    return B.dynamic_update(inputs, list(start_indices), B.cast(updates, standardize_dtype(inputs.dtype)))


@op(promotion=None)
def scatter_update(inputs: Tensor, indices: Untyped, updates: Tensor, reduction: str | None = None) -> Array:
    """`inputs` with the elements at `indices` (count, axes) set to `updates`, or added to (`"add"`), or `"max"`."""
    return B.scatter(inputs, indices, B.cast(updates, standardize_dtype(inputs.dtype)), reduction or "set")


# products


def _check_matmul(x1: Any, x2: Any) -> None:
    a, b = (tuple(getattr(x, "shape", ())) for x in (x1, x2))
    if not len(a) or not len(b):
        raise ShapeError(f"matmul needs tensors of at least one axis, got shapes {tuple(a)} and {tuple(b)}.")
    inner, outer = a[-1], b[-2] if len(b) > 1 else b[-1]
    if inner is not None and outer is not None and inner != outer:
        hint = ""
        if len(b) > 1 and b[-1] == inner:
            hint = " Did you mean matmul(x1, transpose(x2))?"
        elif len(a) > 1 and a[-2] == outer:
            hint = " Did you mean matmul(transpose(x1), x2)?"
        raise ShapeError(
            f"matmul: the last size of x1 should equal the last but one of x2, got shapes {tuple(a)} and {tuple(b)}: "
            f"{inner} against {outer}.{hint}"
        )


@op(check=_check_matmul)
def matmul(x1: Tensor, x2: Tensor) -> Array:
    """The matrix product of (…, n, k) and (…, k, m), leading axes broadcast."""
    return B.matmul(x1, x2)


@op
def dot(x1: Tensor, x2: Tensor) -> Array:
    """Σ over the last axis of x1 and the last but one of x2."""
    if not x1.ndim or not x2.ndim:
        return x1 * x2
    return B.tensordot(x1, x2, ([x1.ndim - 1], [builtins.max(x2.ndim - 2, 0)]))


@op
def tensordot(x1: Tensor, x2: Tensor, axes: Any = 2) -> Array:
    """Σ over the given axes of both: a count of last and first ones, or a pair of lists."""
    return B.tensordot(x1, x2, axes)


@op
def outer(x1: Tensor, x2: Tensor) -> Array:
    """The products of all pairs of elements, (n, m) from n and m elements."""
    return B.reshape(x1, (-1, 1)) * B.reshape(x2, (1, -1))


def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Any:
    """Einstein's summation: `einsum("bij,bjk->bik", a, b)`."""
    return _einsum(list(operands), subscripts)


@op
def _einsum(operands: Sequence[Tensor], subscripts: str) -> Array:
    return B.einsum(subscripts, *operands)
