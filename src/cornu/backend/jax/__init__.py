"""JAX: the default engine."""

from __future__ import annotations

import functools
import importlib
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy import linalg, special

from cornu.backend.contract import Array, Ints, Pairs
from cornu.backend.jax.cache import use_cache
from cornu.backend.jax.products import product
from cornu.backend.memory import keep_freed_memory, return_freed_memory
from cornu.backend.shared import NamespaceBackend
from cornu.base import config, tree
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import BackendError
from cornu.base.spec import Spec

_NARROW = {"int64": "int32", "uint64": "uint32", "float64": "float32", "complex128": "complex64"}
# XLA:CPU rounds after every op: by way of float32 a step of ResNet-20 takes 0.39 of the time, one of `cifar` 0.53.
_HALVES = (jnp.bfloat16, jnp.float16)
_PRECISIONS = {"highest": "float32", "high": "tensorfloat32", "medium": "bfloat16"}


def _in_two_forms(plain: Callable[..., Array], differentiable: Callable[..., Array]) -> Callable[..., Array]:
    """`plain`, which is the form that XLA:CPU merges with its neighbours, or `differentiable` where one derives by it.

    A network of convolutions that predicts becomes a single kernel: 12,600 rows of `cifar` a second instead of 5,100.
    """

    def derivative(primals: Any, tangents: Any) -> tuple[Array, Array]:
        moving = [i for i, tangent in enumerate(tangents) if type(tangent) is not jax.custom_derivatives.SymbolicZero]

        def of_moving(*values: Array) -> Array:
            now = dict(zip(moving, values, strict=True))
            return differentiable(*(now.get(i, x) for i, x in enumerate(primals)))

        return jax.jvp(of_moving, [primals[i] for i in moving], [tangents[i] for i in moving])

    function = jax.custom_jvp(plain)
    function.defjvp(derivative, symbolic_zeros=True)
    return function


@functools.cache
def _conv_in_two_forms(
    by_patches: Callable[..., Array],
    strides: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
    input_dilation: tuple[int, ...],
    groups: int,
) -> Callable[..., Array]:
    spreads = max(input_dilation) > 1 and {*strides, *dilation, groups} == {1}
    steps = {*strides, *input_dilation, groups} == {1}

    def patches(x: Array, kernel: Array) -> Array:
        *window, depth, filters = kernel.shape
        by_rows = math.prod(window[1:]) * depth + window[0] * filters < math.prod(window) * depth
        reach = dilation[0] * (window[0] - 1)
        fits = max(padding[0]) <= reach and 6 * (reach - sum(padding[0])) < x.shape[1]  # few rows in vain
        if steps and len(window) > 1 and by_rows and fits:
            return _conv_by_rows(x, kernel, padding, dilation)
        around = [(n - 1 - low, n - 1 - high) for n, (low, high) in zip(window, padding, strict=True)]
        if not spreads or min(map(min, around)) < 0:
            return by_patches(x, kernel, strides, padding, dilation, input_dilation, groups)
        # Transposed: each element spreads a patch. Gathering over the zeros between them takes 4 to 50 times as long.
        turned = jnp.swapaxes(jnp.flip(kernel, range(len(window))), -2, -1)
        sizes = [
            (size - 1) * step + n - low - high
            for size, step, n, (low, high) in zip(x.shape[1:-1], input_dilation, window, around, strict=True)
        ]
        spread = jax.ShapeDtypeStruct((x.shape[0], *sizes, kernel.shape[-1]), x.dtype)  # type: ignore[no-untyped-call]
        ones = (1,) * len(window)
        gathered = functools.partial(
            by_patches, kernel=turned, strides=input_dilation, padding=around, dilation=ones, input_dilation=ones
        )
        found: Array = jax.linear_transpose(lambda image: gathered(image, groups=1), spread)(x)[0]
        return found

    def plain(x: Array, kernel: Array) -> Array:
        # About so many multiplications: below them threads do not pay. Up to which that is depends on the channels: by
        # patches (1, 32, 32, 3) to 32 of them takes 0.4 of the time of XLA's own, (1, 16, 16, 32) to 32 takes 1.5.
        is_small = x.size * kernel.size < kernel.shape[-2] << (22 if math.prod(kernel.shape[-2:]) < 256 else 20)
        if is_small or kernel.ndim > 4:  # of volumes XLA's is 2 times slower, transposed 30 times
            return patches(x, kernel)
        return _xla_conv(x, kernel, padding, strides, input_dilation, dilation, groups)

    return _in_two_forms(plain, patches)


_relu = _in_two_forms(lambda x: jnp.maximum(x, 0), lambda x: jnp.where(x <= 0, jnp.zeros((), x.dtype), x))


_abs = jax.custom_jvp(jnp.abs)  # whose gradient at 0 is 0 as on other backends, and not 1
_abs.defjvp(lambda x, dx: (jnp.abs(*x), jnp.real(jnp.conj(jnp.sign(*x)) * dx[0])))


@functools.cache
def _of_forward() -> dict[str, Any]:
    """The option of a program that gives products alone to XLA's library YNN, if this JAX knows it.

    By default it gets sums and convolutions too: over many rows it then writes constants out as arrays and takes fresh
    memory at each call, so that 192 rows of `transformer` take 210 ms and not 120. Over few rows it wins by that, and
    in steps of training.
    """
    options = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return options


class _Tracing(threading.local):
    """What is being traced in this thread."""

    inferring = False  # shapes alone
    forward = False  # a program without derivatives
    pushing = False  # a derivative along tangents, for which a gradient of one's own does not serve JAX

    def marked(self, name: str, fn: Callable[..., Any], value: bool = True) -> Callable[..., Any]:
        @functools.wraps(fn)
        def run(*args: Any) -> Any:
            before = getattr(self, name)
            setattr(self, name, value)
            try:
                return fn(*args)
            finally:
                setattr(self, name, before)

        return run


class JaxBackend(NamespaceBackend):
    """The contract on `jax.Array`."""

    name = "jax"
    array_types = (jax.Array,)
    needs_compiler = True
    native: ClassVar[Mapping[str, Callable[..., Any]]] = {
        "relu": lambda x: _relu(x) if jnp.issubdtype(x.dtype, jnp.floating) else NotImplemented
    }

    def __init__(self) -> None:
        super().__init__(jnp)
        if "JAX_CPU_ENABLE_ASYNC_DISPATCH" not in os.environ:
            # A thread would run the programs, and waking it takes longer than a small one: on batches of a generator a
            # step of 784-128-10 takes 0.49 ms with it and 0.39 without (`benchmarks/measure.py cornu-jax generator`).
            jax.config.update("jax_cpu_enable_async_dispatch", False)  # type: ignore[no-untyped-call]
        keep_freed_memory(one_heap=jax.config.read("jax_cpu_enable_async_dispatch"))  # type: ignore[no-untyped-call]
        use_cache()
        _leave_no_compiler_behind()
        self._local = _Tracing()
        self.concrete = type(jnp.zeros(()))
        self.erf, self.erfinv, self.lgamma = special.erf, special.erfinv, special.gammaln
        self.erfc, self.i0e, self.abs = special.erfc, special.i0e, _abs
        self.rsqrt, self.sigmoid, self.stop_gradient = lax.rsqrt, jax.nn.sigmoid, lax.stop_gradient
        self.complex, self.lu_factor, self.floor_divide = lax.complex, linalg.lu_factor, _floor_divide

    pushing = property(lambda self: self._local.pushing)

    @property
    def waits(self) -> bool:
        return self._platform == "cpu" and not jax.config.read("jax_cpu_enable_async_dispatch")  # type: ignore[no-untyped-call]

    def profile(self, folder: str) -> AbstractContextManager[Any]:
        return jax.profiler.trace(folder, create_perfetto_trace=True)

    def devices(self) -> list[str]:
        return list(self._devices)

    @functools.cached_property
    def _devices(self) -> dict[str, Any]:
        found = {f"cpu:{device.id}": device for device in jax.devices("cpu")}
        others = [device for device in jax.devices() if device.platform != "cpu"]
        return found | {f"gpu:{i}": device for i, device in enumerate(others)}

    def use_device(self, name: str | None) -> None:
        jax.config.update("jax_default_device", None if name is None else self._devices[name])  # type: ignore[no-untyped-call]
        _constant.cache_clear()
        self._platform = jax.default_backend() if name is None else self._devices[name].platform
        self.asks = self._platform == "gpu"

    def use_precision(self, name: str | None) -> None:
        jax.config.update("jax_default_matmul_precision", None if name is None else _PRECISIONS[name])  # type: ignore[no-untyped-call]

    def exactly(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._platform == "cpu" else jax.default_matmul_precision("highest")

    def canonical_dtype(self, dtype: str) -> str:
        if dtype in _NARROW and not jax.config.read("jax_enable_x64"):  # type: ignore[no-untyped-call]
            if config.floatx() != "float64":
                return _NARROW[dtype]
            jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
        return dtype

    def convert(self, x: Any, dtype: str | None = None) -> Array:
        if isinstance(x, jax.Array):
            return x if dtype is None else self.cast(x, dtype)
        self.check_foreign(x)
        if dtype is None:
            dtype = standardize_dtype(np.asarray(x).dtype if not isinstance(x, float | int) else type(x))
        return jnp.asarray(x, self.canonical_dtype(dtype))

    def scalar(self, value: Any, dtype: Any) -> Array:
        negative_zero = value == 0 and math.copysign(1, value) < 0  # as a key equal to 0.0
        return _constant(value, self.canonical_dtype(dtype) if isinstance(dtype, str) else dtype, negative_zero)

    def cast(self, x: Array, dtype: str) -> Array:
        wanted = _numpy_dtype(self.canonical_dtype(dtype))
        return x if x.dtype == wanted else x.astype(wanted)

    @property
    def sparse_types(self) -> tuple[Any, ...]:  # type: ignore[override]
        """None while nobody has imported them, which takes 0.2 s."""
        module = sys.modules.get("jax.experimental.sparse")
        return () if module is None else (module.BCOO,)

    def sparse(self, indices: Array, values: Array, shape: Ints) -> Any:
        return importlib.import_module("jax.experimental.sparse").BCOO((values, indices), shape=tuple(shape))

    def to_dense(self, x: Any) -> Array:
        return x.todense() if isinstance(x, self.sparse_types) else x

    def sparse_matmul(self, a: Any, b: Any) -> Array:
        return self.to_dense(a @ b)

    def to_numpy(self, x: Array) -> Any:
        return np.asarray(self.to_dense(x))

    def to_numpy_tree(self, x: Any) -> Any:
        if self.waits:  # there is nothing to fetch at once: 2 µs for two numbers instead of 25
            return jax.tree.map(np.asarray, x)
        return jax.device_get(x)

    def copy(self, x: Array) -> Array:
        return jnp.array(x, copy=True)

    def transfer(self, arrays: list[Any]) -> list[Array]:
        ready = [
            a if isinstance(a, jax.Array) else np.asarray(a, self.canonical_dtype(standardize_dtype(a.dtype)))
            for a in arrays
        ]
        return list(jax.device_put(ready))

    def untraced(self) -> AbstractContextManager[Any]:
        return jax.ensure_compile_time_eval()

    def wait(self, x: Any) -> None:
        jax.block_until_ready(x)  # type: ignore[no-untyped-call]

    def is_tracing(self, x: Any) -> bool:
        return isinstance(x, jax.core.Tracer)

    def view(self, x: Array, dtype: str) -> Array:
        return x.view(self.canonical_dtype(dtype))

    def take(self, x: Array, indices: Array, axis: int) -> Array:
        return jnp.take(x, indices, axis, mode="clip")

    def dynamic_slice(self, x: Array, starts: Sequence[Any], sizes: Ints) -> Array:
        return lax.dynamic_slice(x, starts, sizes)

    def dynamic_update(self, x: Array, starts: Sequence[Any], update: Array) -> Array:
        return lax.dynamic_update_slice(x, update, starts)

    def scatter(self, x: Array, indices: Array, updates: Array, mode: str) -> Array:
        at = x.at[tuple(jnp.moveaxis(indices, -1, 0))]
        return getattr(at, mode)(updates)

    # XLA:CPU sums over several axes at half the speed of one, as the gradient of a kernel by (batch, time, features)
    # does: three layers over (32, 128, 128) take 115 ms forwards and backwards, over (4096, 128) they take 60.

    def matmul(self, a: Array, b: Array) -> Array:
        # Of arrays at hand JAX's own: they have no gradient, and a primitive of ours takes 24 µs where that takes 5.
        is_traced = not type(a) is type(b) is self.concrete
        by_matrix = is_traced and a.ndim > 1 and b.ndim == 2 and self._platform == "cpu"
        return product(a, b) if by_matrix else jnp.matmul(a, b)

    def conv(
        self, x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, input_dilation: Ints, groups: int
    ) -> Array:
        if self._local.inferring or (self._platform != "cpu" and jnp.issubdtype(x.dtype, jnp.inexact)):
            return _xla_conv(x, kernel, padding, strides, input_dilation, dilation, groups)
        if x.dtype in _HALVES:
            wide = x.astype("float32"), kernel.astype("float32")
            return self.conv(*wide, strides, padding, dilation, input_dilation, groups).astype(x.dtype)
        # On a CPU XLA's gradients are 2 times slower than those of a product of patches, within a device loop 40 times.
        form = tuple(strides), tuple(map(tuple, padding)), tuple(dilation), tuple(input_dilation), groups
        if kernel.shape[-2] == 1 and groups > 1:
            return self.conv_by_patches(x, kernel, strides, padding, dilation, input_dilation, groups)
        return _conv_in_two_forms(self.conv_by_patches, *form)(x, kernel)

    def pool(self, x: Array, window: Ints, strides: Ints, padding: Pairs, mode: str) -> Array:
        if self._platform == "cpu" and x.dtype in _HALVES:
            return self.pool(x.astype("float32"), window, strides, padding, mode).astype(x.dtype)
        initial, combine = (self.lowest(x.dtype), lax.max) if mode == "max" else (0, lax.add)
        initial = np.asarray(initial, x.dtype)

        def windows(x: Array) -> Array:
            return lax.reduce_window(x, initial, combine, (1, *window, 1), (1, *strides, 1), [(0, 0), *padding, (0, 0)])

        if self._platform != "cpu" or math.prod(window) > 27:
            return windows(x)

        def slices(x: Array) -> Array:
            return self.pool_by_slices(x, window, strides, padding, mode)

        # Few shifted images fuse into one loop; the gradient of XLA:CPU's own is much slower. YNN makes one kernel of
        # convolutions and windows; without it the network of `cifar` predicts in 27 ms by slices, in 41 by windows.
        return slices(x) if self._local.forward else _in_two_forms(windows, slices)(x)

    def solve_triangular(self, a: Array, b: Array, lower: bool) -> Array:
        batch = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (jnp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (a, b))
        return lax.linalg.triangular_solve(a, b, left_side=True, lower=lower)

    def slogdet(self, x: Array) -> tuple[Array, Array]:
        factors, pivots = self.lu_factor(x)  # JAX's own takes the determinant of 2×2 matrices, which overflows
        diagonal = jnp.diagonal(factors, axis1=-2, axis2=-1)
        swaps = jnp.sum(pivots != jnp.arange(x.shape[-1]), -1)
        return jnp.prod(jnp.sign(diagonal), -1) * (1 - 2 * (swaps % 2)), jnp.sum(jnp.log(jnp.abs(diagonal)), -1)

    def parts(self, size: int, work: int) -> int:
        # XLA:CPU does a batch of products on one core, but independent ones side by side: attention with its gradient
        # over (8, 256, 8, 32) takes 37 ms as a whole, 22 in two parts on two cores, 25 in four.
        if self._platform != "cpu" or self._local.inferring or work < 1 << 18:
            return 1
        return next(n for n in range(min(size, _cores()), 0, -1) if size % n == 0)

    def fused_attention(
        self, query: Array, key: Array, value: Array, bias: Any, mask: Any, scale: float, is_causal: bool
    ) -> Array | None:
        depth = query.shape[-1]
        if self._platform != "gpu" or query.dtype.itemsize != 2 or depth > 128 or depth % 8:
            return None  # what cuDNN does not do
        return jax.nn.dot_product_attention(
            query, key, value, bias, mask, scale=scale, is_causal=is_causal, implementation="cudnn"
        )

    def cond(self, pred: Array, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        return lax.cond(pred, true_fn, false_fn, *operands)

    def while_loop(
        self, cond: Callable[[Any], Array], body: Callable[[Any], Any], state: Any, limit: int | None = None
    ) -> Any:
        if limit is None:
            return lax.while_loop(cond, body, state)
        # JAX differentiates no loop of unknown length backwards. So derivatives are those of `limit` steps, some of
        # which do nothing. What the functions close over has to become arguments for that.
        more, outside = jax.closure_convert(cond, state)
        step, inside = jax.closure_convert(body, state)

        def loop(state: Any, outside: Any, inside: Any) -> Any:
            def go_on(carry: Any) -> Array:
                return (carry[0] < limit) & more(carry[1], *outside)

            return lax.while_loop(go_on, lambda carry: (carry[0] + 1, step(carry[1], *inside)), (0, state))[1]

        def fixed(state: Any, outside: Any, inside: Any) -> Any:
            def one(state: Any, _: None) -> tuple[Any, None]:
                return lax.cond(more(state, *outside), lambda s: step(s, *inside), lambda s: s, state), None

            return lax.scan(one, state, None, limit)[0]

        run = jax.custom_jvp(loop)
        run.defjvp(lambda args, tangents: jax.jvp(fixed, args, tangents))
        return run(state, outside, inside)

    def scan(
        self, fn: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, length: int, reverse: bool, unroll: int
    ) -> tuple[Any, Any]:
        return lax.scan(fn, init, xs, length, reverse, unroll)

    def custom_gradient(
        self, forward: Callable[..., tuple[Any, Any]], backward: Callable[[Any, Any], tuple[Any, ...]]
    ) -> Callable[..., Any]:
        if not self._local.pushing:
            function = jax.custom_vjp(lambda *args: forward(*args)[0])
            function.defvjp(forward, backward)
            return function

        def push(args: Any, tangents: Any) -> tuple[Any, Any]:
            """The gradient is linear in those of the results; its derivative by them turns tangents into tangents."""
            found, kept = forward(*args)
            zeros = jax.tree.map(jnp.zeros_like, found)
            return found, jax.vjp(functools.partial(backward, kept), zeros)[1](tangents)[0]

        pushed = jax.custom_jvp(lambda *args: forward(*args)[0])
        pushed.defjvp(push)
        return pushed

    def random_uniform(self, key: Array, shape: Ints, dtype: str) -> Array:
        return jax.random.uniform(_key(key), shape, self.canonical_dtype(dtype))

    def random_normal(self, key: Array, shape: Ints, dtype: str) -> Array:
        return jax.random.normal(_key(key), shape, self.canonical_dtype(dtype))

    def random_truncated_normal(self, key: Array, shape: Ints, dtype: str) -> Array:
        return jax.random.truncated_normal(_key(key), -2, 2, shape, self.canonical_dtype(dtype))

    def random_integers(self, key: Array, shape: Ints, low: Any, high: Any, dtype: str) -> Array:
        return jax.random.randint(_key(key), shape, low, high, self.canonical_dtype(dtype))

    def random_gamma(self, key: Array, shape: Ints, alpha: Array, dtype: str) -> Array:
        return jax.random.gamma(_key(key), alpha, shape, self.canonical_dtype(dtype))

    def random_permutation(self, key: Array, size: int) -> Array:
        return jax.random.permutation(_key(key), size)

    def value_and_grad(self, fn: Callable[..., tuple[Array, Any]], values: list[Array]) -> tuple[Any, list[Array]]:
        with _explaining_loops():
            return jax.value_and_grad(self._local.marked("pushing", fn, False), has_aux=True)(values)

    def vjp(
        self, fn: Callable[..., tuple[list[Array], Any]], values: list[Array]
    ) -> tuple[list[Array], Callable[[list[Array]], list[Array]], Any]:
        with _explaining_loops():
            results, pullback, aux = jax.vjp(self._local.marked("pushing", fn, False), values, has_aux=True)
        return results, lambda gradients: pullback(gradients)[0], aux

    def jvp(
        self, fn: Callable[..., tuple[list[Array], Any]], values: list[Array], tangents: list[Array]
    ) -> tuple[list[Array], list[Array], Any]:
        return jax.jvp(self._local.marked("pushing", fn), (values,), (tangents,), has_aux=True)

    def checkpoint(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return jax.checkpoint(fn)

    def vectorized_map(self, fn: Callable[[Any], Any], xs: Any) -> Any:
        return jax.vmap(fn)(xs)

    def compile(
        self, fn: Callable[..., Any], donate: bool = False, thorough: bool | None = False, forward: bool = False
    ) -> Callable[..., Any]:
        # LLVM's first level takes 10 to 25 % off the time to compile, and steps are as fast as at its third, measured
        # on eight workloads of `benchmarks/data.py`. Only what is no part of another program may choose, as a step is.
        quick = donate and not thorough and self._platform == "cpu"
        options: Any = {"xla_backend_optimization_level": 1} if quick else {}
        if forward and self._platform == "cpu":
            options, fn = options | _of_forward(), self._local.marked("forward", fn)
        return jax.jit(fn, donate_argnums=0 if donate else (), compiler_options=options or None)

    def fused(self, body: Callable[..., Any], positions: tuple[int, ...], names: tuple[str, ...]) -> Callable[..., Any]:
        @functools.wraps(body)
        def program(*args: Any, **kwargs: Any) -> Any:  # a function of its own: JAX remembers traces by function
            return body(*args, **kwargs)

        return jax.jit(program, static_argnums=positions, static_argnames=names)

    def loop(self, steps: Array, body: Callable[[Array, Any], Any], state: Any) -> Any:
        return lax.fori_loop(0, steps, body, state)

    def abstract_eval(self, fn: Callable[..., Any], specs: list[Spec]) -> Any:
        plain: list[Any] = []  # leaves that are not arrays pass through as they are

        def arrays_only(arrays: list[Array]) -> list[Array]:
            result = fn(arrays)
            plain[:] = [result]
            leaves = (leaf.data if isinstance(leaf, self.sparse_types) else leaf for leaf in tree.flatten(result))
            return [leaf for leaf in leaves if isinstance(leaf, jax.Array)]

        struct: Any = jax.ShapeDtypeStruct
        structs = [struct(spec.shape, self.canonical_dtype(spec.dtype)) for spec in specs]
        found = iter(jax.eval_shape(self._local.marked("inferring", arrays_only), structs))
        arrays: tuple[Any, ...] = (jax.Array, *self.sparse_types)

        def spec(leaf: Any) -> Any:
            if not isinstance(leaf, arrays):
                return leaf
            inner = Spec.of(next(found))
            shape = tuple(leaf.shape)  # of a sparse array not that of its values
            return inner if isinstance(leaf, jax.Array) else Spec(shape, inner.dtype, sparse=True)

        return tree.map_structure(spec, plain.pop())


def _xla_conv(
    x: Array,
    kernel: Array,
    padding: Pairs,
    strides: Ints = (1, 1),
    input_dilation: Ints | None = None,
    dilation: Ints | None = None,
    groups: int = 1,
) -> Array:
    layouts = lax.ConvDimensionNumbers(*_layouts(kernel.ndim - 2))
    return lax.conv_general_dilated(x, kernel, strides, padding, input_dilation, dilation, layouts, groups)


def _conv_by_rows(x: Array, kernel: Array, padding: Pairs, dilation: Ints) -> Array:
    """Convolution in steps of one: patches along all axes but the first, and a sum of the products along that.

    For 3×3 windows 3 · in + 3 · out numbers a pixel are kept and not 9 · in: a step of ResNet-20 takes 0.8 of the time.
    """
    from cornu.backend.jax.shifts import overlaid, views

    rows, *window, _, filters = kernel.shape
    x = jnp.pad(x, ((0, 0), (0, 0), *padding[1:], (0, 0)))
    for axis in reversed(range(2, x.ndim - 1)):
        x = views(x, axis, window[axis - 2], dilation[axis - 1])
        x = x.reshape(*x.shape[:-2], -1)
    # (batch, height, …, window along the other axes · in) by (those, rows · out)
    by_row = jnp.moveaxis(kernel[::-1], 0, -2).reshape(-1, rows * filters)
    products = (x.reshape(-1, x.shape[-1]) @ by_row).reshape(*x.shape[:-1], rows, filters)
    found = overlaid(products, 1, dilation[0])
    low, high = (dilation[0] * (rows - 1) - n for n in padding[0])
    return found[:, low : found.shape[1] - high]


@functools.cache
def _leave_no_compiler_behind() -> None:
    """What the compiler freed goes back to the system, where it took long enough.

    Compiling ResNet-20 takes 2.6 s, returning memory 0.05: the process then trains in 500 MB instead of 750, and holds
    540 at most instead of 920.
    """

    def after(event: str, duration_secs: float, **kwargs: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration" and duration_secs > 0.5:
            return_freed_memory()

    jax.monitoring.register_event_duration_secs_listener(after)


@functools.cache
def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _explaining_loops() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if "Reverse-mode differentiation does not work for lax.while_loop" not in str(error):
            raise
        raise BackendError(
            "A loop whose number of steps is computed has no gradient on the backend 'jax'. Give while_loop its "
            "`maximum_iterations`, fori_loop Python ints for bounds, or use scan."
        ) from error


_numpy_dtype = functools.cache(jnp.dtype)  # comparing a dtype with a name takes ten times as long


@functools.lru_cache(maxsize=4096, typed=True)
def _constant(value: Any, dtype: Any, negative_zero: bool) -> Array:
    """The number on the device, where bringing it takes 100 µs."""
    with jax.ensure_compile_time_eval():
        return jnp.asarray(value, dtype)


@jax.jit
def _floor_divide(a: Array, b: Array) -> Array:
    """⌊a / b⌋; of integers by 0 it is 0, as NumPy has it."""
    found = jnp.floor_divide(a, b)
    return jnp.where(jnp.equal(b, 0), 0, found) if jnp.issubdtype(found.dtype, jnp.integer) else found


def _key(key: Array) -> Array:
    return jax.random.wrap_key_data(key, impl="threefry2x32")


def _layouts(rank: int) -> tuple[tuple[int, ...], ...]:
    spatial = tuple(range(rank))
    images = (0, rank + 1, *(axis + 1 for axis in spatial))
    return images, (rank + 1, rank, *spatial), images
