"""The primitives of the contract on PyTensor variables, whose shapes are all known, in the table `PRIMITIVES`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.scalar.basic as scalar
import pytensor.tensor as pt
from opt_einsum.parser import parse_einsum_input
from pytensor.compile.builders import OpFromGraph
from pytensor.gradient import zero_grad
from pytensor.graph.basic import Constant, Variable
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.math import Max

from cornu.backend.numpy import NumpyBackend
from cornu_pytensor.gradients import replaced
from cornu_pytensor.programs import Host
from cornu_pytensor.symbols import stored

Primitive = Callable[..., Any]
HOST = NumpyBackend()


def typed(dtype: Any, *shape: int) -> Any:
    """The type of a variable of static shape."""
    return pt.TensorType(stored(dtype), shape)


def constant(value: Any, like: Variable) -> Variable:
    """A number in the dtype of a variable."""
    return pt.constant(np.asarray(value, like.type.dtype))


def truth(x: Variable) -> Variable:
    """Whether the elements are not 0."""
    return x if x.type.dtype == "bool" else pt.neq(x, constant(0, x))


def _host(name: str, *args: Variable, types: Sequence[Any] = (), **options: Any) -> Any:
    """NumPy's primitive as a node without a gradient; the result has the type of the first argument or those given."""
    found = Host(lambda *arrays: getattr(HOST, name)(*arrays, **options), list(types) or [args[0].type])(*args)
    return tuple(found) if isinstance(found, list) else found


def _shaped(found: Variable, x: Variable, *shape: int) -> Variable:
    return pt.specify_shape(pt.cast(found, x.type.dtype), shape)


def _broadcast(a: Variable, b: Variable) -> tuple[Variable, Variable]:
    shape = np.broadcast_shapes(a.type.shape, b.type.shape)
    return pt.broadcast_to(a, shape), pt.broadcast_to(b, shape)


def _keeping_dtype(fn: Primitive) -> Primitive:
    return lambda x, *args, **kwargs: pt.cast(fn(x, *args, **kwargs), x.type.dtype)


PRIMITIVES: dict[str, Primitive] = {
    name: getattr(pt, name)
    for name in """
abs arccos arccosh arcsin arcsinh arctan arctanh ceil cos cosh erf erfc erfinv exp expm1 floor isfinite isinf isnan log
log1p sigmoid sign sin sinh sqrt tan tanh add arctan2 bitwise_and bitwise_or bitwise_xor greater greater_equal less
less_equal mod tile where expand_dims einsum matmul tensordot
""".split()
}
PRIMITIVES |= {
    "bitwise_not": pt.invert,
    "divide": pt.true_div,
    "equal": pt.eq,
    "floor_divide": pt.int_div,
    "lgamma": pt.gammaln,
    "multiply": pt.mul,
    "negative": pt.neg,
    "not_equal": pt.neq,
    "stop_gradient": zero_grad,
    "subtract": pt.sub,
    "cbrt": lambda x: pt.sign(x) * pt.abs(x) ** constant(1 / 3, x),
    "fmod": lambda a, b: pt.switch(a < 0, -pt.mod(pt.abs(a), pt.abs(b)), pt.mod(pt.abs(a), pt.abs(b))),
    "i0e": _keeping_dtype(lambda x: pt.ive(constant(0, x), x)),
    "rint": lambda x: pt.round(x, mode="half_to_even"),
    "rsqrt": lambda x: constant(1, x) / pt.sqrt(x),
    "logical_and": lambda a, b: pt.and_(truth(a), truth(b)),
    "logical_not": lambda x: pt.invert(truth(x)),
    "logical_or": lambda a, b: pt.or_(truth(a), truth(b)),
    "logical_xor": lambda a, b: pt.xor(truth(a), truth(b)),
    **{
        name: lambda a, b, name=name: _host(name, *_broadcast(a, b))
        for name in ("gcd", "left_shift", "right_shift", "nextafter")
    },
    "all": lambda x, axis=None, keepdims=False: pt.all(truth(x), axis=axis, keepdims=keepdims),
    "any": lambda x, axis=None, keepdims=False: pt.any(truth(x), axis=axis, keepdims=keepdims),
    "argmax": lambda x, axis=None, keepdims=False: pt.cast(pt.argmax(x, axis=axis, keepdims=keepdims), "int32"),
    "argmin": lambda x, axis=None, keepdims=False: pt.cast(pt.argmin(x, axis=axis, keepdims=keepdims), "int32"),
    "argsort": lambda x, axis=-1: _host("argsort", x, types=[typed("int32", *x.type.shape)], axis=axis),
    "cumsum": _keeping_dtype(pt.cumsum),
    "prod": lambda x, axis=None, keepdims=False: pt.prod(x, axis=axis, dtype=x.type.dtype, keepdims=keepdims),
    "sort": lambda x, axis=-1: take_along_axis(x, PRIMITIVES["argsort"](x, axis), axis),
    "sum": lambda x, axis=None, keepdims=False: pt.sum(x, axis=axis, dtype=x.type.dtype, keepdims=keepdims),
    "broadcast_to": lambda x, shape: pt.broadcast_to(x, tuple(shape)),
    "concatenate": lambda xs, axis=0: pt.concatenate(list(xs), axis),
    "searchsorted": lambda ascending, values, side="left": _host(
        "searchsorted", ascending, values, types=[typed("int64", *values.type.shape)], side=side
    ),
    "squeeze": lambda x, axis=None: pt.squeeze(x, axis),
    "stack": lambda xs, axis=0: pt.stack(list(xs), axis),
    "transpose": lambda x, axes=None: x.transpose(*(reversed(range(x.ndim)) if axes is None else axes)),
    "cholesky": lambda x: pt.linalg.cholesky(x, lower=True, on_error="nan"),
    "solve": _keeping_dtype(lambda a, b: pt.linalg.solve(a, b, b_ndim=2)),
    "solve_triangular": _keeping_dtype(lambda a, b, lower: pt.linalg.solve_triangular(a, b, lower=lower, b_ndim=2)),
}


def primitive(fn: Primitive) -> Primitive:
    """Enter a function under its name, without an underscore at the end."""
    PRIMITIVES[fn.__name__.rstrip("_")] = fn
    return fn


@primitive
def power(x: Variable, y: Variable) -> Variable:
    if not x.type.dtype.startswith("float") or (isinstance(y, Constant) and np.all(y.data)):
        return pt.pow(x, y)
    zero = pt.eq(y, constant(0, y))  # the derivative of x⁰ is 0, and not 0 · 0⁻¹
    return pt.switch(zero, constant(1, x), pt.pow(x, pt.switch(zero, constant(1, y), y)))


# maxima, whose gradients are shared among equal elements: PyTensor gives the whole to each


class _SharedMax(Max):
    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable]:
        won = pt.cast(pt.eq(inputs[0], pt.expand_dims(outputs[0], self.axis)), inputs[0].type.dtype)
        return [won * pt.expand_dims(cotangents[0], self.axis) / pt.sum(won, axis=self.axis, keepdims=True)]


def _share(self: Any, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
    (g,), (first, second) = cotangents, (scalar.eq(x, outputs[0]) for x in inputs)
    both = scalar.add(scalar.cast(first, g.type.dtype), scalar.cast(second, g.type.dtype))
    return [scalar.switch(won, g / both, g.zeros_like()) for won in (first, second)]


class _SharedMaximum(scalar.ScalarMaximum):
    pullback = _share


class _SharedMinimum(scalar.ScalarMinimum):
    pullback = _share


PRIMITIVES |= {
    "maximum": Elemwise(_SharedMaximum(scalar.upcast_out)),
    "minimum": Elemwise(_SharedMinimum(scalar.upcast_out)),
}


@primitive
def max_(x: Variable, axis: Any = None, keepdims: bool = False) -> Variable:
    axes = tuple(range(x.ndim)) if axis is None else tuple(int(a) % x.ndim for a in np.atleast_1d(axis))
    found = _SharedMax(axes)(x) if axes else x
    return pt.expand_dims(found, axes) if keepdims and axes else found


@primitive
def min_(x: Variable, axis: Any = None, keepdims: bool = False) -> Variable:
    if x.type.dtype.startswith("float"):
        return -max_(-x, axis, keepdims)
    return pt.min(x, axis=axis, keepdims=keepdims)


@primitive
def cumprod(x: Variable, axis: int) -> Variable:
    """In steps that double; the gradient of PyTensor's own divides by the elements, of which some may be 0."""
    before, step = (slice(None),) * (axis % x.ndim), 1
    while step < x.type.shape[axis]:
        products = x[(*before, slice(step, None))] * x[(*before, slice(None, -step))]
        x = pt.concatenate([x[(*before, slice(step))], products], axis)
        step *= 2
    return x


# shape and selection


@primitive
def flip(x: Variable, axis: Any = None) -> Variable:
    axes = range(x.ndim) if axis is None else [a % x.ndim for a in np.atleast_1d(axis)]
    return x[tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(x.ndim))]


def _picked(x: Variable, places: Any, axis: int) -> Variable:
    """Slices at known or computed places along an axis."""
    return x[(slice(None),) * (axis % x.ndim) + (places,)]


@primitive
def pad(x: Variable, pairs: Any, mode: str = "constant", constant_values: Any = 0) -> Variable:
    pairs = [(int(low), int(high)) for low, high in pairs]
    if mode == "constant":
        value = constant_values if isinstance(constant_values, Variable) else constant(constant_values, x)
        inside = [slice(low, low + n) for n, (low, _) in zip(x.type.shape, pairs, strict=True)]
        shape = [low + n + high for n, (low, high) in zip(x.type.shape, pairs, strict=True)]
        return pt.set_subtensor(pt.alloc(pt.cast(value, x.type.dtype), *shape)[tuple(inside)], x)
    for axis, pair in enumerate(pairs):
        if any(pair):
            x = _picked(x, np.pad(np.arange(x.type.shape[axis]), pair, mode), axis)
    return x


@primitive
def repeat(x: Variable, repeats: Any, axis: int) -> Variable:
    counts = repeats.data if isinstance(repeats, Constant) else repeats
    return _picked(x, np.repeat(np.arange(x.type.shape[axis]), counts), axis)


@primitive
def reshape(x: Variable, shape: Any) -> Variable:
    shape = [int(s) for s in np.atleast_1d(np.asarray(shape, "int64"))]
    rest = math.prod(x.type.shape) // max(math.prod(s for s in shape if s != -1), 1)
    return pt.reshape(x, [rest if s == -1 else s for s in shape], ndim=len(shape))


@primitive
def take_along_axis(x: Variable, indices: Variable, axis: int) -> Variable:
    axis %= x.ndim
    pairs = list(zip(x.type.shape, indices.type.shape, strict=True))
    x = pt.broadcast_to(x, [n if i == axis else max(n, m) for i, (n, m) in enumerate(pairs)])
    grid = np.ogrid[tuple(slice(m if i == axis else max(n, m)) for i, (n, m) in enumerate(pairs))]
    return x[tuple(pt.cast(indices, "int64") if i == axis else grid[i] for i in range(x.ndim))]


# indexed access


@primitive
def take(x: Variable, indices: Variable, axis: int) -> Variable:
    last = max(x.type.shape[axis] - 1, 0)
    return _picked(x, pt.clip(pt.cast(indices, "int64"), np.int64(0), np.int64(last)), axis)


def _block(x: Variable, starts: Sequence[Any], sizes: Sequence[int]) -> tuple[slice, ...]:
    block = []
    for start, size, total in zip(starts, sizes, x.type.shape, strict=True):
        known = not isinstance(start, Variable)
        last = np.int64(total - size)
        low = min(max(int(start), 0), int(last)) if known else pt.clip(pt.cast(start, "int64"), np.int64(0), last)
        block.append(slice(low, low + size))
    return tuple(block)


@primitive
def dynamic_slice(x: Variable, starts: Sequence[Any], sizes: Sequence[int]) -> Variable:
    return _shaped(x[_block(x, starts, sizes)], x, *sizes)


@primitive
def dynamic_update(x: Variable, starts: Sequence[Any], update: Variable) -> Variable:
    return pt.set_subtensor(x[_block(x, starts, update.type.shape)], update)


@primitive
def scatter(x: Variable, indices: Variable, updates: Variable, mode: str) -> Variable:
    places = tuple(pt.cast(indices[..., i], "int64") for i in range(indices.type.shape[-1]))

    def adjoint(inputs: Sequence[Variable], cotangents: Sequence[Variable]) -> list[Variable]:
        """To those that won."""
        found, g = scatter(*inputs, mode), cotangents[0]
        integers = pt.zeros_like(indices, dtype=g.type.dtype)
        return [g * pt.eq(found, inputs[0]), integers, g[places] * pt.eq(found[places], inputs[2])]

    if mode in ("max", "min"):
        return Host(lambda *arrays: HOST.scatter(*arrays, mode), [x.type], adjoint)(x, indices, updates)
    at = x[places]
    return (pt.set_subtensor if mode == "set" else pt.inc_subtensor)(at, pt.broadcast_to(updates, at.type.shape))


# products


@primitive
def einsum(subscripts: str, *operands: Variable) -> Variable:
    # Of known sizes PyTensor would make arrays to find an order of products, which the sizes of a probe forbid.
    loose = [pt.TensorType(x.type.dtype, [s if s == 1 else None for s in x.type.shape])() for x in operands]
    found = pt.einsum(subscripts, *loose)
    inner = found.owner.op if found.owner is not None else None
    if isinstance(inner, OpFromGraph):  # it would be compiled on its own, in PyTensor's default mode
        found = replaced(inner.inner_outputs, dict(zip(inner.inner_inputs, found.owner.inputs, strict=True)))[0]
    found = replaced([found], dict(zip(loose, operands, strict=True)))[0]
    names, result, _ = parse_einsum_input((subscripts, *(x.type.shape for x in operands)), shapes=True)
    pairs = [
        pair for n, x in zip(names.split(","), operands, strict=True) for pair in zip(n, x.type.shape, strict=True)
    ]
    return _shaped(found, operands[0], *(max(size for name, size in pairs if name == wanted) for wanted in result))


@primitive
def correlate(a: Variable, v: Variable, mode: str) -> Variable:
    (n,), (m,) = a.type.shape, v.type.shape
    short = min(n, m)
    # NumPy swaps the two where the second is longer, and so the side on which the odd one is cut off.
    start = {"full": 0, "valid": short - 1, "same": short // 2 if m > n else (short - 1) // 2}[mode]
    count = {"full": n + m - 1, "valid": max(n, m) - short + 1, "same": max(n, m)}[mode]
    windows = np.arange(start, start + count)[:, None] + np.arange(m)
    return pt.sum(pad(a, [(m - 1, m - 1)])[windows] * v, axis=1, dtype=a.type.dtype)


# linear algebra


@primitive
def det(x: Variable) -> Variable:
    def adjoint(inputs: Sequence[Variable], cotangents: Sequence[Variable]) -> list[Variable]:
        """The cofactors, which singular matrices have too: det(U Vᵀ) · U · diag(products of the other σ) · Vᵀ."""
        u, s, v = svd(inputs[0], False)
        n = s.type.shape[-1]
        others = pt.stack([pt.prod(s[..., [j for j in range(n) if j != i]], axis=-1) for i in range(n)], -1)
        return [(cotangents[0] * det(u @ v))[..., None, None] * (u * others[..., None, :] @ v)]

    return Host(HOST.det, [typed(x.type.dtype, *x.type.shape[:-2])], adjoint)(x)


@primitive
def slogdet(x: Variable) -> Any:
    def adjoint(inputs: Sequence[Variable], cotangents: Sequence[Variable]) -> list[Variable]:
        one = pt.zeros_like(x) + np.eye(x.type.shape[-1], dtype=x.type.dtype)
        return [cotangents[1][..., None, None] * PRIMITIVES["solve"](pt.swapaxes(inputs[0], -1, -2), one)]

    return tuple(Host(lambda a: tuple(HOST.slogdet(a)), [typed(x.type.dtype, *x.type.shape[:-2])] * 2, adjoint)(x))


@primitive
def pinv(x: Variable, rcond: Any = None) -> Variable:
    def adjoint(inputs: Sequence[Variable], cotangents: Sequence[Variable]) -> list[Variable]:
        """Golub & Pereyra 1973, https://doi.org/10.1137/0710036"""
        (a,), (g,) = inputs, cotangents
        p = pinv(a, rcond)
        q, h = pt.swapaxes(p, -1, -2), pt.swapaxes(g, -1, -2)
        return [q @ (p @ (h - (h @ p) @ a)) + ((h - a @ (p @ h)) @ p) @ q - q @ g @ q]

    *batch, rows, columns = x.type.shape
    return Host(lambda a: HOST.pinv(a, rcond), [typed(x.type.dtype, *batch, columns, rows)], adjoint)(x)


@primitive
def eig(x: Variable) -> Any:
    dtype = np.result_type(x.type.dtype, "complex64")
    return _host("eig", x, types=[typed(dtype, *x.type.shape[:-1]), typed(dtype, *x.type.shape)])


@primitive
def eigh(x: Variable) -> Any:
    values, vectors = pt.linalg.eigh(x)
    return _shaped(values, x, *x.type.shape[:-1]), _shaped(vectors, x, *x.type.shape)


@primitive
def lu_factor(x: Variable) -> Any:
    *batch, rows, columns = x.type.shape
    return _host("lu_factor", x, types=[typed(x.type.dtype, *x.type.shape), typed("int32", *batch, min(rows, columns))])


@primitive
def qr(x: Variable, mode: str = "reduced") -> Any:
    *batch, rows, columns = x.type.shape
    q, r = pt.linalg.qr(x, mode)
    inner = min(rows, columns) if mode == "reduced" else rows
    return _shaped(q, x, *batch, rows, inner), _shaped(r, x, *batch, inner, columns)


@primitive
def svd(x: Variable, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    *batch, rows, columns = x.type.shape
    short = min(rows, columns)
    full_matrices = full_matrices and rows != columns  # PyTensor has no gradient of full ones
    if not compute_uv:
        return _shaped(pt.linalg.svd(x, full_matrices, False), x, *batch, short)
    u, s, v = pt.linalg.svd(x, full_matrices, True)
    left, right = (rows, columns) if full_matrices else (short, short)
    return _shaped(u, x, *batch, rows, left), _shaped(s, x, *batch, short), _shaped(v, x, *batch, right, columns)


# signals. PyTensor has no gradients of complex numbers, so those made of two real ones are taken apart again.


def _parts(z: Variable) -> tuple[Variable, Variable]:
    """The real and the imaginary part: those that it was made of, if it was."""
    if z.owner is not None and getattr(z.owner.op, "scalar_op", None) is scalar.complex:
        return tuple(z.owner.inputs)
    return (pt.real(z), pt.imag(z)) if z.type.dtype.startswith("complex") else (z, pt.zeros_like(z))


PRIMITIVES |= {
    "complex": lambda real, imag: pt.complex(*_broadcast(real, imag)),
    "real": lambda z: _parts(z)[0],
    "imag": lambda z: _parts(z)[1],
    "conj": lambda z: pt.complex(_parts(z)[0], -_parts(z)[1]) if z.type.dtype.startswith("complex") else z,
}


def _transform(name: str, inverse: str, weight: Callable[[int], float]) -> Primitive:
    """A linear map of complex numbers, whose gradient is its adjoint: the inverse, weighted by the size."""

    def transform(z: Variable, axes: Sequence[int]) -> Variable:
        parts, count = _parts(z), int(np.prod([z.type.shape[a] for a in axes]))

        def run(real: Any, imag: Any) -> Any:
            found = getattr(HOST, name)(real + imag * np.complex64(1j), axes)
            return found.real, found.imag

        def adjoint(inputs: Any, cotangents: Any) -> list[Variable]:
            back = PRIMITIVES[inverse](pt.complex(*cotangents), axes)
            return [part * constant(weight(count), part) for part in _parts(back)]

        return pt.complex(*Host(run, [part.type for part in parts], adjoint)(*parts))

    return transform


PRIMITIVES["fftn"] = fftn = _transform("fftn", "ifftn", lambda count: count)
PRIMITIVES["ifftn"] = ifftn = _transform("ifftn", "fftn", lambda count: 1 / count)


@primitive
def rfft(x: Variable, n: int) -> Variable:
    whole = _cut(x, n)
    return pt.complex(*(p[..., : n // 2 + 1] for p in _parts(fftn(pt.complex(whole, pt.zeros_like(whole)), (-1,)))))


@primitive
def irfft(z: Variable, n: int) -> Variable:
    weights = np.full(n // 2 + 1, 2, "float32")  # each stands for its mirror image too, but for the ends
    weights[0] = 1
    weights[n // 2] = 1 + n % 2
    return _parts(ifftn(pt.complex(*(_cut(_cut(p, n // 2 + 1) * weights, n) for p in _parts(z))), (-1,)))[0]


def _cut(x: Variable, n: int) -> Variable:
    """`n` entries along the last axis, zeros where there were fewer."""
    size = x.type.shape[-1]
    return x[..., :n] if size >= n else pad(x, [(0, 0)] * (x.ndim - 1) + [(0, n - size)])
