"""NumPy: the value oracle of the other backends. It runs models and does not differentiate."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NoReturn

import ml_dtypes
import numpy as np
from scipy import sparse as scipy_sparse
from scipy import special
from scipy.linalg import lapack

from cornu.backend import host_random
from cornu.backend.contract import Array, Axis, Ints, Pairs
from cornu.backend.shared import NamespaceBackend
from cornu.base import tree
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import BackendError
from cornu.base.spec import Spec

_LOW_PRECISION = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4")


def _ordered(x: Array) -> Array:
    return x.astype("float32") if x.dtype == _dtype("bfloat16") else x  # its own order knows no place for NaN


def _dtype(name: Any) -> Any:
    return getattr(ml_dtypes, str(name)) if name in _LOW_PRECISION else np.dtype(name)


class NumpyBackend(NamespaceBackend):
    """The contract on NumPy arrays, but for gradients."""

    name = "numpy"
    array_types = (np.ndarray, np.generic)
    sparse_types = (scipy_sparse.sparray, scipy_sparse.spmatrix)
    probe_sizes = (48, 96)  # these are computed for real
    loops_in_python = True

    def __init__(self) -> None:
        super().__init__(np)
        self._local = threading.local()
        self.cholesky, self.eigh = _or_nan(np.linalg.cholesky), _or_nan(np.linalg.eigh)
        self.pinv, self.svd = _or_nan(np.linalg.pinv), _or_nan(np.linalg.svd)
        self.lu_factor = np.vectorize(_lu_factor, signature="(m,n)->(m,n),(k)")

    @contextmanager
    def _tracing(self, on: bool) -> Iterator[None]:
        before, self._local.tracing = self._is_tracing, on
        try:
            yield
        finally:
            self._local.tracing = before

    @property
    def _is_tracing(self) -> bool:
        return getattr(self._local, "tracing", False)

    def is_tracing(self, x: Any) -> bool:
        return self._is_tracing and isinstance(x, self.array_types)

    def untraced(self) -> AbstractContextManager[Any]:
        return self._tracing(False)

    def erf(self, x: Array) -> Array:
        return special.erf(x).astype(x.dtype)

    def erfc(self, x: Array) -> Array:
        return special.erfc(x).astype(x.dtype)

    def i0e(self, x: Array) -> Array:
        return special.i0e(x).astype(x.dtype)

    def erfinv(self, x: Array) -> Array:
        return special.erfinv(x).astype(x.dtype)

    def lgamma(self, x: Array) -> Array:
        return special.gammaln(x).astype(x.dtype)

    def rsqrt(self, x: Array) -> Array:
        return np.asarray(1 / np.sqrt(x), x.dtype)

    def sigmoid(self, x: Array) -> Array:
        small = np.exp(-np.abs(x))  # never overflows
        return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype)

    def stop_gradient(self, x: Array) -> Array:
        return x

    def einsum(self, subscripts: str, *operands: Array) -> Array:
        if operands[0].dtype != _dtype("bfloat16"):
            return np.einsum(subscripts, *operands)
        return np.einsum(subscripts, *(x.astype("float32") for x in operands)).astype(operands[0].dtype)

    def matmul(self, a: Array, b: Array) -> Array:
        return np.asarray(np.matmul(a, b), a.dtype)  # bfloat16 would come out as float32

    def eig(self, x: Array) -> tuple[Array, Array]:
        dtype = np.result_type(x.dtype, np.complex64)
        values, vectors = _or_nan(np.linalg.eig)(x)
        return values.astype(dtype), vectors.astype(dtype)  # where all are real, NumPy says so

    def solve(self, a: Array, b: Array) -> Array:
        try:
            return np.linalg.solve(a, b)
        except np.linalg.LinAlgError:
            singular = (np.linalg.slogdet(a)[0] == 0)[..., None, None]
            regular = np.where(singular, np.eye(a.shape[-1], dtype=a.dtype), a)
            return np.where(singular, a.dtype.type(np.nan), np.linalg.solve(regular, b))

    def solve_triangular(self, a: Array, b: Array, lower: bool) -> Array:
        return self.solve(np.tril(a) if lower else np.triu(a), b)

    def complex(self, real: Array, imag: Array) -> Array:
        z = np.empty(np.shape(real), np.result_type(real, np.complex64))
        z.real, z.imag = real, imag  # i · inf would be NaN + i · inf
        return z

    def sum(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        return np.asarray(np.sum(x, axis, keepdims=keepdims), x.dtype)  # small integers would come out wider

    def prod(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        return np.asarray(np.prod(x, axis, keepdims=keepdims), x.dtype)

    def cumsum(self, x: Array, axis: int) -> Array:
        return np.cumsum(x, axis, x.dtype)

    def cumprod(self, x: Array, axis: int) -> Array:
        return np.cumprod(x, axis, x.dtype)

    def sort(self, x: Array, axis: int = -1) -> Array:
        return np.sort(_ordered(x), axis).astype(x.dtype)

    def argsort(self, x: Array, axis: int = -1) -> Array:
        return np.argsort(_ordered(x), axis, stable=True).astype("int32")

    def full(self, shape: Ints, value: Any, dtype: str) -> Array:
        return np.full(tuple(shape), value, _dtype(dtype))

    def arange(self, start: float, stop: float, step: float, dtype: str) -> Array:
        return np.arange(start, stop, step).astype(_dtype(dtype))

    def convert(self, x: Any, dtype: str | None = None) -> Array:
        self.check_foreign(x)
        if isinstance(x, np.ndarray | np.generic):
            return np.asarray(x) if dtype is None else self.cast(x, dtype)
        array = np.asarray(x)
        if dtype is None and array.dtype in (np.float64, np.int64, np.complex128):  # Python numbers
            dtype = standardize_dtype({"f": float, "i": int, "c": complex}[array.dtype.kind])
        return array if dtype is None else array.astype(_dtype(dtype))

    def cast(self, x: Array, dtype: str) -> Array:
        return np.asarray(x).astype(_dtype(dtype), copy=False)

    def sparse(self, indices: Array, values: Array, shape: Ints) -> Any:
        return scipy_sparse.coo_array((values, tuple(np.moveaxis(indices, -1, 0))), shape=tuple(shape))

    def to_dense(self, x: Any) -> Array:
        return x.toarray() if isinstance(x, self.sparse_types) else x

    def sparse_matmul(self, a: Any, b: Any) -> Array:
        return self.to_dense(a @ b)

    def to_numpy(self, x: Array) -> Any:
        return np.asarray(self.to_dense(x))

    def copy(self, x: Array) -> Array:
        return np.array(x)

    def transfer(self, arrays: list[Any]) -> list[Array]:
        return [np.asarray(array) for array in arrays]

    def view(self, x: Array, dtype: str) -> Array:
        return np.asarray(x, order="C").view(_dtype(dtype))

    def take(self, x: Array, indices: Array, axis: int) -> Array:
        return np.take(x, indices, axis, mode="clip")

    def dynamic_slice(self, x: Array, starts: Sequence[Any], sizes: Ints) -> Array:
        return x[_block(x.shape, starts, sizes)]

    def dynamic_update(self, x: Array, starts: Sequence[Any], update: Array) -> Array:
        x = np.array(x)
        x[_block(x.shape, starts, update.shape)] = update
        return x

    def scatter(self, x: Array, indices: Array, updates: Array, mode: str) -> Array:
        x = np.array(x)
        at = tuple(np.moveaxis(indices, -1, 0))
        if mode == "set":
            x[at] = updates
        else:
            {"add": np.add, "max": np.maximum, "min": np.minimum}[mode].at(x, at, updates)
        return x

    def conv(
        self, x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, input_dilation: Ints, groups: int
    ) -> Array:
        return self.conv_by_patches(x, kernel, strides, padding, dilation, input_dilation, groups)

    def pool(self, x: Array, window: Ints, strides: Ints, padding: Pairs, mode: str) -> Array:
        return self.pool_by_slices(x, window, strides, padding, mode)

    def cond(self, pred: Array, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        return (true_fn if pred else false_fn)(*operands)

    def while_loop(
        self, cond: Callable[[Any], Array], body: Callable[[Any], Any], state: Any, limit: int | None = None
    ) -> Any:
        if self._is_tracing:
            return body(state)  # of the same form, whereas the values of an inference may never end the loop
        count = 0
        while count != limit and cond(state):
            state, count = body(state), count + 1
        return state

    def scan(
        self, fn: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, length: int, reverse: bool, unroll: int
    ) -> tuple[Any, Any]:
        if length == 0:  # one step on zeros tells what the results would look like
            one = tree.map_structure(lambda x: np.zeros(x.shape[1:], x.dtype), xs, none_is_leaf=False)
            like = fn(init, one)[1]
            return init, tree.map_structure(lambda y: np.zeros((0, *np.shape(y)), y.dtype), like, none_is_leaf=False)
        carry, ys = init, []
        for i in reversed(range(length)) if reverse else range(length):
            carry, y = fn(carry, tree.map_structure(lambda x, i=i: x[i], xs, none_is_leaf=False))
            ys.append(y)
        ys = ys[::-1] if reverse else ys
        return carry, tree.map_structure(lambda *steps: np.stack(steps), *ys, none_is_leaf=False)

    def random_uniform(self, key: Array, shape: Ints, dtype: str) -> Array:
        drawn = host_random.uniform(key, shape).astype(_dtype(dtype))
        return np.where(drawn < 1, drawn, drawn.dtype.type(0))  # 16-bit rounding may reach 1

    def random_normal(self, key: Array, shape: Ints, dtype: str) -> Array:
        return host_random.normal(key, shape).astype(_dtype(dtype))

    def random_truncated_normal(self, key: Array, shape: Ints, dtype: str) -> Array:
        return host_random.truncated_normal(key, shape).astype(_dtype(dtype))

    def random_integers(self, key: Array, shape: Ints, low: Any, high: Any, dtype: str) -> Array:
        return host_random.integers(key, shape, low, high).astype(_dtype(dtype))

    def random_gamma(self, key: Array, shape: Ints, alpha: Array, dtype: str) -> Array:
        return host_random.gamma(key, shape, alpha).astype(_dtype(dtype))

    def random_permutation(self, key: Array, size: int) -> Array:
        return host_random.permutation(key, size).astype("int32")

    def require_gradients(self) -> NoReturn:
        raise BackendError(
            "The backend 'numpy' computes no gradients, so it cannot train. Train on another one, for example "
            "`cornu.config.set_backend('jax')` before the model is made; prediction and evaluation work here."
        )

    def value_and_grad(self, fn: Callable[..., tuple[Array, Any]], values: list[Array]) -> tuple[Any, list[Array]]:
        self.require_gradients()

    def vjp(
        self, fn: Callable[..., tuple[list[Array], Any]], values: list[Array]
    ) -> tuple[list[Array], Callable[[list[Array]], list[Array]], Any]:
        self.require_gradients()

    def jvp(
        self, fn: Callable[..., tuple[list[Array], Any]], values: list[Array], tangents: list[Array]
    ) -> tuple[list[Array], list[Array], Any]:
        self.require_gradients()

    def vectorized_map(self, fn: Callable[[Any], Any], xs: Any) -> Any:
        count = len(tree.flatten(xs)[0])
        return self.scan(lambda _, x: (None, fn(x)), None, xs, count, False, 1)[1]

    def compile(
        self, fn: Callable[..., Any], donate: bool = False, thorough: bool | None = False, forward: bool = False
    ) -> Callable[..., Any]:
        return fn

    def loop(self, steps: Array, body: Callable[[Array, Any], Any], state: Any) -> Any:
        for i in range(int(steps)):
            state = body(i, state)
        return state

    def abstract_eval(self, fn: Callable[..., Any], specs: list[Spec]) -> Any:
        arrays = [np.ones([size or 0 for size in spec.shape], _dtype(spec.dtype)) for spec in specs]
        with np.errstate(all="ignore"), self._tracing(True):
            return tree.map_structure(self._spec, fn(arrays))

    def _spec(self, leaf: Any) -> Any:
        if isinstance(leaf, self.sparse_types):
            return Spec(tuple(leaf.shape), standardize_dtype(leaf.dtype), sparse=True)
        return Spec.of(leaf) if isinstance(leaf, self.array_types) else leaf


def _or_nan(decompose: Callable[..., Any]) -> Callable[..., Any]:
    """`decompose`, giving NaN for those matrices of a batch on which it fails."""

    def call(x: Array, *options: Any) -> Any:
        try:
            return decompose(x, *options)
        except np.linalg.LinAlgError:
            if x.ndim == 2:
                like = decompose(np.eye(*x.shape, dtype=x.dtype), *options)
                return tree.map_structure(lambda part: np.full_like(part, np.nan), like)
            return tree.map_structure(lambda *parts: np.stack(parts), *(call(matrix, *options) for matrix in x))

    return call


def _lu_factor(x: Array) -> tuple[Array, Array]:
    (factor,) = lapack.get_lapack_funcs(("getrf",), (x,))
    lu, pivots, _ = factor(x)
    return lu, pivots.astype("int32")


def _block(shape: Ints, starts: Sequence[Any], sizes: Ints) -> tuple[slice, ...]:
    clipped = [min(max(int(start), 0), total - size) for start, size, total in zip(starts, sizes, shape, strict=True)]
    return tuple(slice(start, start + size) for start, size in zip(clipped, sizes, strict=True))
