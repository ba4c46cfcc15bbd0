"""Ops that reshape, join and split tensors."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cornu.backend import B, current, to_numpy
from cornu.backend.contract import Array
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, ShapeError
from cornu.core.op import Tensor, op
from cornu.core.symbolic import KerasTensor
from cornu.core.variable import Variable
from cornu.ops import reduction
from cornu.ops.elementwise import cast, logical_or


def shape(x: Any) -> tuple[int | None, ...]:
    """The sizes of `x`; None where a symbolic tensor's is unknown.

    >>> ops.shape([[1, 2, 3]]), ops.shape(cornu.Input((3,)))
    ((1, 3), (None, 3))
    """
    return tuple(x.shape if hasattr(x, "shape") else convert_to_tensor(x).shape)


def ndim(x: Any) -> int:
    """The number of axes.

    >>> ops.ndim([[1, 2, 3]])
    2
    """
    return len(shape(x))


def size(x: Any) -> Any:
    """The number of elements; of a symbolic tensor of unknown shape a symbolic int32.

    >>> ops.size([[1, 2, 3], [4, 5, 6]])
    6
    """
    known = shape(x)
    return reduction.sum(logical_or(x, True)) if None in known else math.prod(known)


def dtype(x: Any) -> str:
    """The dtype's name.

    >>> ops.dtype(ops.array([1, 2])), ops.dtype(ops.array([1.0, 2.0]))
    ('int32', 'float32')
    """
    return standardize_dtype(x.dtype)


def is_tensor(x: Any) -> bool:
    """Whether `x` is an array of the current backend or a symbolic tensor.

    >>> ops.is_tensor(ops.array([1, 2])), ops.is_tensor([1, 2]), ops.is_tensor(cornu.Input((3,)))
    (True, False, True)
    """
    backend = current()
    return isinstance(x, (*backend.array_types, *backend.sparse_types, KerasTensor))


def convert_to_tensor(x: Any, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None) -> Any:
    """`x` as a tensor of the current backend, in `dtype` if given. With `sparse=False` a sparse one becomes dense.

    >>> print(ops.convert_to_tensor(np.array([1, 2]), "float32"))
    [1. 2.]
    """
    if isinstance(x, KerasTensor):
        return x if dtype is None else cast(x, dtype)
    if isinstance(x, B.sparse_types):
        if sparse is not False and dtype in (None, standardize_dtype(getattr(x, "dtype", None))):
            return x
        x = B.to_dense(x)
    if isinstance(x, Variable):
        x = x.value
    return B.convert(x, None if dtype is None else standardize_dtype(dtype))


def array(x: Any, dtype: Any = None) -> Any:
    """`x` as a tensor of the current backend.

    >>> print(ops.array([[1, 2], [3, 4]]))
    [[1 2]
     [3 4]]
    """
    return convert_to_tensor(x, dtype)


def convert_to_numpy(x: Any) -> Any:
    """`x` as a NumPy array; a copy may share memory with the tensor.

    >>> ops.convert_to_numpy(ops.array([1.0, 2.0]))
    array([1., 2.], dtype=float32)
    """
    if isinstance(x, Variable):
        return x.numpy()
    return B.to_numpy(convert_to_tensor(x))


def sizes(shape: Any) -> tuple[int, ...]:
    """One number or several as a tuple."""
    return (shape,) if isinstance(shape, int) else tuple(shape)


@op(promotion=None)
def copy(x: Tensor) -> Array:
    """A tensor of the same values.

    >>> x = ops.array([1, 2])
    >>> ops.copy(x) is x
    False
    """
    return B.copy(x)


@op(promotion=None)
def reshape(x: Tensor, newshape: Any) -> Array:
    """The same values in another shape; one size may be -1.

    >>> print(ops.reshape([1, 2, 3, 4, 5, 6], (2, -1)))
    [[1 2 3]
     [4 5 6]]
    """
    return B.reshape(x, sizes(newshape))


@op(promotion=None)
def transpose(x: Tensor, axes: Sequence[int] | None = None) -> Array:
    """The axes in the given order, reversed where None.

    >>> ops.transpose(ops.ones((2, 3, 4))).shape, ops.transpose(ops.ones((2, 3, 4)), (0, 2, 1)).shape
    ((4, 3, 2), (2, 4, 3))
    """
    order = tuple(reversed(range(x.ndim))) if axes is None else tuple(axes)
    if sorted(axis % x.ndim for axis in order) != [*range(x.ndim)]:
        raise ValueError(f"axes should name each of the {x.ndim} axes once, got {order}")
    return B.transpose(x, order)


@op(promotion=None)
def swapaxes(x: Tensor, axis1: int, axis2: int) -> Array:
    """Two axes exchanged.

    >>> ops.swapaxes(ops.ones((2, 3, 4)), 0, -1).shape
    (4, 3, 2)
    """
    order = list(range(x.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return B.transpose(x, tuple(order))


def _check_moveaxis(x: Any, source: Any, destination: Any) -> None:
    rank = len(tuple(x.shape))
    sources, targets = (list(sizes(axes)) for axes in (source, destination))
    outside = [axis for axis in (*sources, *targets) if not -rank <= axis < rank]
    if outside or len(sources) != len(targets):
        problem = (
            f"axis {outside[0]} is not among its {rank}" if outside else "as many destinations as sources are needed"
        )
        raise ShapeError(f"moveaxis: {problem}, got {source} and {destination} for a tensor of shape {tuple(x.shape)}.")


@op(promotion=None, check=_check_moveaxis)
def moveaxis(x: Tensor, source: Any, destination: Any) -> Array:
    """Axes moved from `source` to `destination`, the others in their order.

    >>> ops.moveaxis(ops.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    sources = [axis % x.ndim for axis in sizes(source)]
    targets = [axis % x.ndim for axis in sizes(destination)]
    order = [axis for axis in range(x.ndim) if axis not in sources]
    for target, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target, axis)
    return B.transpose(x, tuple(order))


@op(promotion=None)
def expand_dims(x: Tensor, axis: Any) -> Array:
    """With new axes of size 1 at `axis`.

    >>> ops.expand_dims(ops.ones((2, 3)), (0, -1)).shape
    (1, 2, 3, 1)
    """
    return B.expand_dims(x, tuple(axis) if isinstance(axis, list) else axis)


@op(promotion=None)
def squeeze(x: Tensor, axis: Any = None) -> Array:
    """Without the axes of size 1 at `axis` (all where None).

    >>> ops.squeeze(ops.ones((1, 2, 1))).shape, ops.squeeze(ops.ones((1, 2, 1)), 0).shape
    ((2,), (2, 1))
    """
    return B.squeeze(x, tuple(axis) if isinstance(axis, list) else axis)


@op(promotion=None)
def ravel(x: Tensor) -> Array:
    """Flattened to one axis.

    >>> print(ops.ravel([[1, 2], [3, 4]]))
    [1 2 3 4]
    """
    return B.reshape(x, (-1,))


@op(promotion=None)
def broadcast_to(x: Tensor, shape: Sequence[int]) -> Array:
    """Repeated to `shape` by broadcasting.

    >>> print(ops.broadcast_to([1, 2], (3, 2)))
    [[1 2]
     [1 2]
     [1 2]]
    """
    return B.broadcast_to(x, tuple(shape))


@op(promotion=None)
def flip(x: Tensor, axis: Any = None) -> Array:
    """The elements along the axes (all where None) in reverse.

    >>> print(ops.flip([[1, 2], [3, 4]]))
    [[4 3]
     [2 1]]
    """
    return B.flip(x, tuple(range(x.ndim)) if axis is None else tuple(axis) if isinstance(axis, list) else axis)


def _needs_axes(op_name: str, count: int) -> Callable[..., None]:
    """A check that the first argument has so many axes at least."""

    def check(x: Any, *args: Any, **kwargs: Any) -> None:
        if len(shape(x)) < count:
            raise ShapeError(f"{op_name} needs a tensor of at least {count} axes, got shape {shape(x)}.")

    return check


@op(promotion=None, check=_needs_axes("flipud", 1))
def flipud(x: Tensor) -> Array:
    """The rows (first axis) in reverse.

    >>> print(ops.flipud([[1, 2], [3, 4]]))
    [[3 4]
     [1 2]]
    """
    return B.flip(x, 0)


@op(promotion=None, check=_needs_axes("fliplr", 2))
def fliplr(x: Tensor) -> Array:
    """The columns (second axis) in reverse.

    >>> print(ops.fliplr([[1, 2], [3, 4]]))
    [[2 1]
     [4 3]]
    """
    return B.flip(x, 1)


def _check_rot90(array: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> None:
    rank = len(shape(array))
    if len(axes) != 2 or not all(-rank <= axis < rank for axis in axes) or (axes[0] - axes[1]) % rank == 0:
        raise ArgumentError(f"rot90: axes should be two different axes of shape {shape(array)}, got {axes}.")


@op(promotion=None, check=_check_rot90)
def rot90(array: Tensor, k: int = 1, axes: Sequence[int] = (0, 1)) -> Array:
    """Turned k times by 90° in the plane of two axes, from the first towards the second.

    >>> print(ops.rot90([[1, 2], [3, 4]]))
    [[2 4]
     [1 3]]
    """
    first, second = axes
    if k % 2 == 0:
        return B.flip(array, (first, second)) if k % 4 else array
    return B.flip(swapaxes(array, first, second), first if k % 4 == 1 else second)


@op(promotion=None)
def roll(x: Tensor, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Array:
    """Elements moved by `shift` along the axis (the flattened tensor where None), those leaving enter anew.

    Of several shifts or axes each shift goes with its axis.

    >>> print(ops.roll([1, 2, 3, 4], 1))
    [4 1 2 3]
    >>> print(ops.roll([[1, 2], [3, 4], [5, 6]], (1, 1), (0, 1)))
    [[6 5]
     [2 1]
     [4 3]]
    """
    if axis is None:
        return B.reshape(roll(B.reshape(x, (-1,)), shift, 0), x.shape)
    for pair in np.broadcast(shift, axis):
        by, along = map(int, pair)
        size, at = x.shape[along], along % x.ndim
        cut = size - by % size if size else 0
        head, tail = (x[(slice(None),) * at + (part,)] for part in (slice(cut, None), slice(0, cut)))
        x = B.concatenate([head, tail], at)
    return x


@op(promotion=None)
def repeat(x: Tensor, repeats: Any, axis: int | None = None) -> Array:
    """Each element `repeats` times, one number or one for each, along the axis (the flattened tensor where None).

    >>> print(ops.repeat([[1, 2]], 2), ops.repeat([1, 2], [3, 1]))
    [1 1 2 2] [1 1 1 2]
    >>> print(ops.repeat([[1, 2]], 2, axis=0))
    [[1 2]
     [1 2]]
    """
    x, axis = (B.reshape(x, (-1,)), 0) if axis is None else (x, axis)
    if hasattr(repeats, "shape") and not B.is_tracing(repeats):
        repeats = to_numpy(repeats)
    if isinstance(repeats, list | tuple | np.ndarray):  # known, and so is the shape
        return B.take(x, B.convert(np.repeat(np.arange(x.shape[axis]), repeats), "int32"), axis)
    return B.repeat(x, repeats, axis)


@op(promotion=None)
def tile(x: Tensor, repeats: Any) -> Array:
    """The whole tensor repeated along each axis.

    >>> print(ops.tile([1, 2], 2))
    [1 2 1 2]
    >>> print(ops.tile([1, 2], (2, 1)))
    [[1 2]
     [1 2]]
    """
    return B.tile(x, sizes(repeats))


@op
def pad(x: Tensor, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Array:
    """Widened by `pad_width`: (before, after) for each axis, for all, or one number. Modes are NumPy's.

    >>> print(ops.pad([1, 2, 3], (0, 2)), ops.pad([1, 2, 3], (0, 2), mode="reflect"))
    [1 2 3 0 0] [1 2 3 2 1]
    """
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
    """The tensors joined along an existing axis.

    >>> print(ops.concatenate([[[1], [2]], [[3], [4]]], axis=1))
    [[1 3]
     [2 4]]
    """
    return B.concatenate(xs, axis)


@op
def stack(x: Sequence[Tensor], axis: int = 0) -> Array:
    """The tensors joined along a new axis.

    >>> print(ops.stack([[1, 2], [3, 4]], axis=1))
    [[1 3]
     [2 4]]
    """
    return B.stack(x, axis)


@op
def append(x1: Tensor, x2: Tensor, axis: int | None = None) -> Array:
    """x2 after x1 along the axis (both flattened where None).

    >>> print(ops.append([1, 2], [[3], [4]]))
    [1 2 3 4]
    """
    return B.concatenate([ravel(x1), ravel(x2)], 0) if axis is None else B.concatenate([x1, x2], axis)


def _at_least(x: Array, count: int) -> Array:
    """x with axes of size 1 more: (n,) becomes (1, n), and (m, n) (m, n, 1)."""
    if x.ndim == 0:
        return B.reshape(x, (1,) * count)
    x = x[None] if x.ndim < min(count, 2) else x
    return x[..., None] if x.ndim < count else x


@op
def hstack(xs: Sequence[Tensor]) -> Array:
    """The tensors joined along the second axis, those of one axis along that.

    >>> print(ops.hstack([[1, 2], [3]]))
    [1 2 3]
    """
    xs = [_at_least(x, 1) for x in xs]
    return B.concatenate(xs, 0 if xs[0].ndim == 1 else 1)


@op
def vstack(xs: Sequence[Tensor]) -> Array:
    """The tensors joined along the first axis; those of one axis are rows.

    >>> print(ops.vstack([[1, 2], [[3, 4], [5, 6]]]))
    [[1 2]
     [3 4]
     [5 6]]
    """
    return B.concatenate([_at_least(x, 2) for x in xs], 0)


@op
def dstack(xs: Sequence[Tensor]) -> Array:
    """The tensors joined along the third axis, where they lack it a new one.

    >>> print(ops.dstack([[1, 2], [3, 4]]))
    [[[1 3]
      [2 4]]]
    """
    return B.concatenate([_at_least(x, 3) for x in xs], 2)


def _check_split(x: Any, indices_or_sections: Any, axis: int = 0) -> None:
    if isinstance(indices_or_sections, int) and indices_or_sections < 1:
        raise ArgumentError(f"indices_or_sections should be at least 1 or a list of cuts, got {indices_or_sections}.")


@op(promotion=None, check=_check_split)
def split(x: Tensor, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """The pieces along the axis: so many equal ones, or cut at the given indices.

    >>> print(*ops.split([1, 2, 3, 4, 5], [1, 3]))
    [1] [2 3] [4 5]
    """
    size, at = x.shape[axis], axis % x.ndim
    if isinstance(indices_or_sections, int):
        if size % indices_or_sections:
            raise ShapeError(f"split: axis {axis} of size {size} cannot be cut into {indices_or_sections} equal parts.")
        step = size // indices_or_sections
        cuts = list(range(0, size + 1, step)) if step else [0] * (indices_or_sections + 1)
    else:
        cuts = [0, *(int(i) for i in indices_or_sections), size]
    return [x[(slice(None),) * at + (slice(a, b),)] for a, b in itertools.pairwise(cuts)]


@op(promotion=None, check=_check_split)
def array_split(x: Tensor, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """Like `split`, into pieces that need not be equal: the first ones are longer by one.

    >>> print(*ops.array_split([1, 2, 3, 4, 5], 2))
    [1 2 3] [4 5]
    """
    if isinstance(indices_or_sections, int):
        small, longer = divmod(x.shape[axis], indices_or_sections)
        indices_or_sections = [i * small + min(i, longer) for i in range(1, indices_or_sections)]
    return split(x, indices_or_sections, axis)


@op(promotion=None, check=_needs_axes("vsplit", 1))
def vsplit(x: Tensor, indices_or_sections: Any) -> list[Array]:
    """`split` along the first axis.

    >>> print(*ops.vsplit([[1, 2], [3, 4]], 2))
    [[1 2]] [[3 4]]
    """
    return split(x, indices_or_sections, 0)


@op(promotion=None, check=_needs_axes("hsplit", 1))
def hsplit(x: Tensor, indices_or_sections: Any) -> list[Array]:
    """`split` along the second axis, of a tensor of one axis along that.

    >>> print(*ops.hsplit([[1, 2, 3, 4]], 2))
    [[1 2]] [[3 4]]
    """
    return split(x, indices_or_sections, 0 if x.ndim == 1 else 1)


@op(promotion=None, check=_needs_axes("dsplit", 3))
def dsplit(x: Tensor, indices_or_sections: Any) -> list[Array]:
    """`split` along the third axis.

    >>> [part.shape for part in ops.dsplit(ops.ones((2, 3, 5)), [2])]
    [(2, 3, 2), (2, 3, 3)]
    """
    return split(x, indices_or_sections, 2)


@op(promotion=None)
def unstack(x: Tensor, num: int | None = None, axis: int = 0) -> list[Array]:
    """The slices along the axis, without it.

    >>> print(*ops.unstack([[1, 2], [3, 4]], axis=1))
    [1 3] [2 4]
    """
    at = axis % x.ndim
    return [x[(slice(None),) * at + (i,)] for i in range(x.shape[axis])]


def _axes_of(side: str, hidden: list[str]) -> list[list[str]]:
    """One side of a pattern: for each axis the names in it, none for one of size 1; `hidden` stand for an ellipsis."""
    found: list[list[str]] = []
    for inner, name in re.findall(r"\(([^()]*)\)|([^\s()]+|[()])", side):
        if name == "...":
            found += [[axis] for axis in hidden]
        elif name:
            found.append([] if name == "1" else [name])
        else:
            found.append([axis for part in inner.split() for axis in (hidden if part == "..." else [part])])
    return found


def _plan(shape: Sequence[int | None], pattern: str, lengths: dict[str, int]) -> tuple[dict[str, Any], list[list[str]]]:
    """The sizes of the axes on the left, in order, and the axes on the right; raises if they do not fit `shape`."""

    def unfit(what: str) -> ArgumentError:
        return ArgumentError(f"rearrange: {what}; the pattern is {pattern!r}, the shape {tuple(shape)}.")

    if pattern.count("->") != 1:
        raise unfit("a pattern should hold one '->', as 'b h w -> b (h w)'")
    sides = pattern.split("->")
    dots = sides[0].split().count("...")
    if not dots == sides[0].count("...") == sides[1].count("...") <= 1:
        raise unfit("'...' should stand once on either side, on the left not in parentheses")
    hidden = [f"_{i}" for i in range(len(shape) - len(_axes_of(sides[0], [])))] if dots else []
    left, right = (_axes_of(side, hidden) for side in sides)
    if len(left) != len(shape):
        raise unfit(f"the left side names {len(left)} axes, the tensor has {len(shape)}")
    before, after = (sorted(axis for axes in groups for axis in axes) for groups in (left, right))
    wrong = [axis for axis in {*before, *after, *lengths} if not (before.count(axis) == after.count(axis) == 1)]
    if wrong or not all(axis.isidentifier() for axis in before):
        raise unfit(f"each axis should stand once on either side, unlike {', '.join(sorted(wrong or before))}")
    sizes: dict[str, Any] = {}
    for axes, total in zip(left, shape, strict=True):
        open_axes = [axis for axis in axes if axis not in lengths]
        known = math.prod(lengths.get(axis, 1) for axis in axes)
        if len(open_axes) > 1:
            raise unfit(f"give the sizes of all but one of {', '.join(axes)}, such as {axes[0]}=2")
        if total is not None and (known < 1 or total % known or (not open_axes and total != known)):
            raise unfit(f"({' '.join(axes) or '1'}) of {known} does not fit an axis of size {total}")
        sizes |= {axis: lengths.get(axis, None if total is None else total // known) for axis in axes}
    return sizes, right


def _check_rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> None:
    _plan(shape(tensor), pattern, axes_lengths)


@op(promotion=None, check=_check_rearrange)
def rearrange(tensor: Tensor, pattern: str, **axes_lengths: int) -> Array:
    """The axes named by a pattern in another order, joined or divided: "b (h w) c -> b c h w" with `h=8`.

    `...` stands for any axes, `1` for one of size 1. https://openreview.net/forum?id=oapKSVM2bcj

    >>> ops.rearrange(ops.ones((2, 12, 3)), "b (h w) c -> b c h w", h=4).shape
    (2, 3, 4, 3)
    """
    sizes, right = _plan(tensor.shape, pattern, axes_lengths)
    order = [list(sizes).index(axis) for axes in right for axis in axes]
    x = B.transpose(B.reshape(tensor, tuple(sizes.values())), tuple(order))
    return B.reshape(x, tuple(math.prod(sizes[axis] for axis in axes) for axes in right))
