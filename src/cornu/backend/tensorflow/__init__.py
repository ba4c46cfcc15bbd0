"""TensorFlow: eager tensors, and `tf.function` for whatever is compiled."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its greeting lines, unless the user has a wish

# PyTorch's CUDA builds ask for Triton, and Triton 3.7 ends the process where TensorFlow 2.20, whose symbols of LLVM all
# libraries see, was loaded before: https://github.com/tensorflow/tensorflow/issues/124205.
with suppress(ImportError):
    __import__("triton")

import numpy as np
import tensorflow as tf
from tensorflow.python.autograph.core import config as autograph

from cornu.backend.contract import Array, Backend, Ints, Pairs
from cornu.backend.memory import keep_freed_memory
from cornu.backend.shared import NamespaceBackend
from cornu.backend.tensorflow import primitives
from cornu.backend.tensorflow.functions import Local, UserFunctions
from cornu.backend.tensorflow.primitives import cast, constant
from cornu.base import config, tree
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import BackendError
from cornu.base.spec import Spec

_Eager: type = type(tf.constant(0))
_TENSORS = (tf.Tensor, tf.SparseTensor, tf.RaggedTensor)
tf.RaggedTensor.ndim = property(lambda x: x.shape.rank)  # which tensors have; of rows of different length too


class TensorflowBackend(NamespaceBackend):
    """The contract on `tf.Tensor`."""

    name = "tensorflow"
    array_types = (tf.Tensor, tf.RaggedTensor)
    sparse_types = (tf.SparseTensor,)
    native = primitives.NATIVE
    errors = (*Backend.errors, AttributeError, tf.errors.OpError)

    def __init__(self) -> None:
        Backend.__init__(self)
        keep_freed_memory(one_heap=True)
        # Of functions of the user that call ours AutoGraph shall not rewrite ours.
        autograph.CONVERSION_RULES = (autograph.DoNotConvert("cornu"), *autograph.CONVERSION_RULES)
        for name, fn in primitives.ALL.items():
            setattr(self, name, fn)
        self._scalars: dict[Any, Array] = {}
        self._local = Local()
        self.user_functions = UserFunctions(self._local)

    @property
    def waits(self) -> bool:
        return not tf.config.get_visible_devices("GPU")

    def profile(self, folder: str) -> AbstractContextManager[Any]:
        taken: AbstractContextManager[Any] = tf.profiler.experimental.Profile(folder)
        return taken

    def devices(self) -> list[str]:
        return ["cpu:0", *(f"gpu:{i}" for i in range(len(tf.config.list_physical_devices("GPU"))))]

    def use_device(self, name: str | None) -> None:
        gpus = tf.config.list_physical_devices("GPU")
        if name is None or not gpus:
            return
        kind, _, number = name.partition(":")
        try:
            tf.config.set_visible_devices(gpus[int(number)] if kind == "gpu" else [], "GPU")
        except RuntimeError as error:
            raise BackendError(
                f"TensorFlow has begun to compute and stays where it is; call set_device({name!r}) before."
            ) from error

    def use_precision(self, name: str | None) -> None:
        tf.config.experimental.enable_tensor_float_32_execution(name != "highest")  # as it is at first

    # arrays in and out

    def special(self, leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray) and (
            leaf.dtype.kind in "US" or (leaf.dtype == object and all(isinstance(one, str | bytes) for one in leaf.flat))
        ):
            leaf = tf.constant(leaf.tolist(), tf.string, leaf.shape)
        is_text = isinstance(leaf, tf.Tensor) and leaf.dtype == tf.string
        return leaf if is_text or isinstance(leaf, tf.RaggedTensor) else None

    def rows(self, x: Any, rows: Any) -> Any:
        return tf.gather(x, rows)

    def convert(self, x: Any, dtype: str | None = None) -> Array:
        if isinstance(x, tf.Tensor | tf.RaggedTensor):
            return x if dtype is None else cast(x, dtype)
        self.check_foreign(x)
        if isinstance(x, np.ndarray | np.generic):
            array = np.asarray(x)
        elif isinstance(x, tf.Variable | tf.IndexedSlices) or _holds_tensors(x):
            return self.convert(tf.convert_to_tensor(x), dtype)
        else:
            array = np.asarray(x)
            if dtype is None and array.dtype in (np.float64, np.int64, np.complex128):  # Python numbers
                dtype = standardize_dtype({"f": float, "i": int, "c": complex}[array.dtype.kind])
        if dtype is not None and standardize_dtype(array.dtype) != dtype:
            return cast(tf.constant(array), dtype)
        return tf.constant(array)

    def scalar(self, value: Any, dtype: Any) -> Array:
        if not tf.executing_eagerly():
            return constant(value, dtype)
        key = (type(value), value, str(value), dtype)  # 0.0 equals -0.0, which is another number
        if key not in self._scalars:
            self._scalars[key] = constant(value, dtype)
        return self._scalars[key]

    def cast(self, x: Array, dtype: str) -> Array:
        return cast(x, dtype)

    def sparse(self, indices: Array, values: Array, shape: Ints) -> Any:
        sizes = tf.constant(tuple(shape), "int64")
        indices = cast(indices, "int64")
        inside = tf.reduce_all(tf.logical_and(indices >= 0, indices < sizes), -1)
        indices, values = tf.boolean_mask(indices, inside), tf.boolean_mask(values, inside)
        return tf.SparseTensor(indices, values, sizes)

    def to_dense(self, x: Any) -> Array:
        if not isinstance(x, tf.SparseTensor):
            return x
        return tf.ensure_shape(tf.scatter_nd(x.indices, x.values, x.dense_shape), x.shape)

    def sparse_matmul(self, a: Any, b: Any) -> Array:
        if not isinstance(a, tf.SparseTensor):
            return tf.transpose(self.sparse_matmul(tf.sparse.transpose(b), tf.transpose(a)))
        return tf.sparse.sparse_dense_matmul(a, self.to_dense(b))

    def to_numpy(self, x: Array) -> Any:
        x = self.to_dense(x)
        return np.asarray(x.numpy() if hasattr(x, "numpy") else x)  # of a scalar bfloat16 only `numpy` makes one

    def copy(self, x: Array) -> Array:
        return tf.identity(x)  # tensors never change, so that sharing memory does no harm

    def transfer(self, arrays: list[Any]) -> list[Array]:
        return [self.convert(a) for a in arrays]

    def untraced(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = tf.init_scope()
        return context

    def is_tracing(self, x: Any) -> bool:
        x = getattr(x, "flat_values", x)
        return isinstance(x, tf.Tensor) and not isinstance(x, _Eager)

    def full(self, shape: Ints, value: Any, dtype: str) -> Array:
        value = cast(value, dtype) if isinstance(value, tf.Tensor) else constant(value, dtype)
        return tf.fill(tuple(shape), value) if value.shape.rank == 0 else tf.broadcast_to(value, tuple(shape))

    def arange(self, start: float, stop: float, step: float, dtype: str) -> Array:
        return cast(tf.constant(np.arange(start, stop, step)), dtype)

    def get_item(self, x: Array, key: Any) -> Array:
        return primitives.index(x, key)

    # indexed access

    def take(self, x: Array, indices: Array, axis: int) -> Array:
        return primitives.take(x, indices, axis)

    def dynamic_slice(self, x: Array, starts: Sequence[Any], sizes: Ints) -> Array:
        if not self._local.xla:
            return primitives.dynamic_slice(x, starts, sizes)
        # XLA would take where a slice begins for a constant, and compile a program for each dispatch of an epoch.
        for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            start = tf.clip_by_value(self.convert(start, "int32"), 0, x.shape[axis] - size)
            x = tf.gather(x, start + tf.range(size), axis=axis)
        return x

    def dynamic_update(self, x: Array, starts: Sequence[Any], update: Array) -> Array:
        return primitives.dynamic_update(x, starts, update)

    def scatter(self, x: Array, indices: Array, updates: Array, mode: str) -> Array:
        return primitives.scatter(x, indices, updates, mode)

    # neural networks

    def lowest(self, dtype: Any) -> Any:
        return primitives.limits(tf.as_dtype(dtype))[0]

    def conv(
        self, x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, input_dilation: Ints, groups: int
    ) -> Array:
        args = (strides, padding, dilation, input_dilation, groups)
        rank, depth = len(strides), kernel.shape[-2]
        plain = x.dtype.is_floating and 0 not in x.shape
        if plain and rank == 3 and groups == max(*dilation, *input_dilation) == 1:
            return tf.nn.conv3d(self.pad_spatial(x, padding, 0), kernel, [1, *strides, 1], "VALID")
        if rank > 2 or not plain or (groups > 1 and depth > 1):
            return self.conv_by_patches(x, kernel, *args)
        if rank == 1:  # as an image of one row
            flat = self.conv(
                x[:, None],
                kernel[None],
                (1, *strides),
                [(0, 0), *padding],
                (1, *dilation),
                (1, *input_dilation),
                groups,
            )
            return tf.squeeze(flat, [1])
        if any(d > 1 for d in input_dilation):
            return self._conv_transpose(x, kernel, *args)
        if any(d > 1 for d in dilation) and any(s > 1 for s in strides):
            return self.conv_by_patches(x, kernel, *args)
        window = [(k - 1) * d + 1 for k, d in zip(kernel.shape[:-2], dilation, strict=True)]
        how: Any = self._padding(x, window, strides, padding)
        if isinstance(how, list):
            x, how = tf.pad(x, [(0, 0), *padding, (0, 0)]), "VALID"
        if groups > 1:  # depthwise: (h, w, 1, groups · multiplier) as (h, w, groups, multiplier)
            kernel = tf.reshape(kernel, [*kernel.shape[:2], groups, kernel.shape[-1] // groups])
            if strides[0] != strides[1]:
                return self.conv_by_patches(x, tf.reshape(kernel, [*kernel.shape[:2], 1, -1]), *args)
            return tf.nn.depthwise_conv2d(x, kernel, [1, *strides, 1], how, dilations=list(dilation))
        return tf.nn.conv2d(x, kernel, strides, how, dilations=dilation)

    def _padding(self, x: Array, window: Ints, strides: Ints, padding: Pairs) -> str | list[Any]:
        """The padding by TensorFlow's name for it, or the pairs if there is none."""
        if not any(low or high for low, high in padding):
            return "VALID"
        for size, width, stride, (low, high) in zip(x.shape[1:-1], window, strides, padding, strict=True):
            total = max((-(-size // stride) - 1) * stride + width - size, 0)
            if (low, high) != (total // 2, total - total // 2):
                return list(padding)
        return "SAME"

    def _conv_transpose(self, x: Array, kernel: Array, *how: Any) -> Array:
        """Convolution of dilated images, which is the gradient of one with strides."""
        strides, padding, dilation, input_dilation, groups = how
        window = kernel.shape[:-2]
        before = [(k - 1 - low, k - 1 - high) for k, (low, high) in zip(window, padding, strict=True)]
        sizes = [
            (n - 1) * d + 1 + low + high - k + 1
            for n, d, k, (low, high) in zip(x.shape[1:-1], input_dilation, window, padding, strict=True)
        ]
        fits = all(
            (size + sum(pair) - k) // d + 1 == n
            for size, pair, k, d, n in zip(sizes, before, window, input_dilation, x.shape[1:-1], strict=True)
        )
        if groups > 1 or max(strides) > 1 or max(dilation) > 1 or min(map(min, before)) < 0 or not fits:
            return self.conv_by_patches(x, kernel, *how)
        turned = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])
        shape = [x.shape[0], *sizes, kernel.shape[-1]]
        return tf.nn.conv2d_transpose(x, turned, shape, input_dilation, [(0, 0), *before, (0, 0)])

    def pool(self, x: Array, window: Ints, strides: Ints, padding: Pairs, mode: str) -> Array:
        if not x.dtype.is_floating or 0 in x.shape or (len(window) == 3 and x.dtype.size == 2):  # what has no kernel
            return self.pool_by_slices(x, window, strides, padding, mode)
        if len(window) == 1:
            flat = self.pool(x[:, None], (1, *window), (1, *strides), [(0, 0), *padding], mode)
            return tf.squeeze(flat, [1])
        how = self._padding(x, window, strides, padding)
        if how != "VALID" and (mode == "sum" or how != "SAME"):
            x, how = self.pad_spatial(x, padding, self.lowest(x.dtype) if mode == "max" else 0), "VALID"
        layout = "NHWC" if len(window) == 2 else "NDHWC"  # the derivative of an eager call does not know the default
        if mode == "max":
            return tf.nn.max_pool(x, window, strides, how, layout)
        return tf.nn.avg_pool(x, window, strides, how, layout) * tf.constant(float(np.prod(window)), x.dtype)

    # control flow: nests of ours become lists of tensors, what is no tensor stays what it is

    def cond(self, pred: Array, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        if tf.executing_eagerly():
            return (true_fn if pred else false_fn)(*operands)
        form = _Form()
        branches = [lambda fn=fn: form.take(fn(*operands)) or [tf.constant(0)] for fn in (true_fn, false_fn)]
        return form.give(tf.cond(pred, *branches))

    def while_loop(
        self, cond: Callable[[Any], Array], body: Callable[[Any], Any], state: Any, limit: int | None = None
    ) -> Any:
        if tf.executing_eagerly():
            count = 0
            while count != limit and cond(state):
                state, count = body(state), count + 1
            return state
        form = _Form()
        initial = form.take(state)
        found = tf.while_loop(
            lambda *leaves: cond(form.give(leaves)),
            lambda *leaves: _Form().take(body(form.give(leaves))),
            initial,
            parallel_iterations=1,  # a tenth less time than 10 for the steps of a small network, which run in order
            maximum_iterations=limit,
        )
        return form.give(found)

    def loop(self, steps: Array, body: Callable[[Array, Any], Any], state: Any) -> Any:
        steps = self.convert(steps, "int32")
        carry = self.convert(0, "int32"), state
        return self.while_loop(lambda c: c[0] < steps, lambda c: (c[0] + 1, body(c[0], c[1])), carry)[1]

    def scan(
        self, fn: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, length: int, reverse: bool, unroll: int
    ) -> tuple[Any, Any]:
        carry, given, form = init, _Form(), _Form()
        rows = given.take(xs)
        if length and (tf.executing_eagerly() or unroll >= length):
            steps: list[list[Array]] = []
            columns = [tf.unstack(leaf, length) for leaf in rows]
            for i in reversed(range(length)) if reverse else range(length):
                carry, y = fn(carry, given.give([column[i] for column in columns]))
                steps.append(form.take(y))
            return carry, form.give([tf.stack(ys) for ys in zip(*(steps[::-1] if reverse else steps), strict=True)])
        begin = _Form()
        start = begin.take(init)
        specs = [*(Spec.of(leaf) for leaf in start), *(Spec(tuple(r.shape[1:]), r.dtype.name) for r in rows)]
        count = len(start)
        like = self.abstract_eval(lambda a: fn(begin.give(a[:count]), given.give(a[count:]))[1], specs)
        ys = [y for y in tree.flatten(like) if isinstance(y, Spec)]
        if length == 0:
            empty = iter([self.zeros([0, *(n or 0 for n in y.shape)], y.dtype) for y in ys])
            return init, tree.map_structure(lambda y: next(empty) if isinstance(y, Spec) else y, like)
        sources = [_array_of(r.dtype, length, r.shape[1:]).unstack(r) for r in rows]
        targets = [_array_of(y.dtype, length, y.shape) for y in ys]

        def step(i: Array, state: list[Array], filled: list[Any]) -> Any:
            at = length - 1 - i if reverse else i
            carry, y = fn(begin.give(state), given.give([source.read(at) for source in sources]))
            return i + 1, _Form().take(carry), [t.write(at, a) for t, a in zip(filled, form.take(y), strict=True)]

        zero = tf.constant(0)
        _, state, filled = tf.while_loop(
            lambda i, *_: i < length, step, (zero, start, targets), maximum_iterations=length
        )
        stacked = [tf.ensure_shape(t.stack(), (length, *y.shape)) for t, y in zip(filled, ys, strict=True)]
        return begin.give(state), form.give(stacked)

    def vectorized_map(self, fn: Callable[[Any], Any], xs: Any) -> Any:
        given, form = _Form(), _Form()
        rows = given.take(xs)
        length = rows[0].shape[0]
        if length == 0:
            return self.scan(lambda _, x: (None, fn(x)), None, xs, 0, False, 1)[1]
        found = tf.vectorized_map(lambda leaves: form.take(fn(given.give(leaves))), rows)
        like = self.abstract_eval(lambda a: fn(given.give(a)), [Spec(tuple(r.shape[1:]), r.dtype.name) for r in rows])
        specs = [spec for spec in tree.flatten(like) if isinstance(spec, Spec)]
        return form.give([tf.ensure_shape(a, (length, *s.shape)) for a, s in zip(found, specs, strict=True)])

    # gradients

    def fused_lstm(
        self, xs: Array, h: Array, c: Array, kernel: Array, recurrent: Array, bias: Array | None, reverse: bool
    ) -> tuple[Array, Array, Array] | None:
        if self._local.depth > 1 or xs.dtype not in (tf.float32, tf.float16) or not xs.shape[0]:
            return None  # its gradient has none
        if self._local.xla:
            self._local.misses_kernel = True
            return None
        bias = tf.zeros(kernel.shape[1:], xs.dtype) if bias is None else bias

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def run(xs: Array, h: Array, c: Array, weights: Array, bias: Array) -> Any:
            none = tf.zeros(h.shape[1:], xs.dtype)
            steps = tf.cast(tf.shape(xs)[0], "int64")
            given = {"seq_len_max": steps, "x": xs, "h_prev": h, "cs_prev": c, "w": weights, "b": bias}
            given |= {"wci": none, "wcf": none, "wco": none, "use_peephole": False}  # weights from c to the gates
            made = tf.raw_ops.BlockLSTMV2(**given, cell_clip=0.0)

            def gradient(dhs: Array, dcs: Array) -> tuple[Array, ...]:
                found = tf.raw_ops.BlockLSTMGradV2(**given, **made._asdict(), h_grad=dhs, cs_grad=dcs)
                return found.x_grad, found.h_prev_grad, found.cs_prev_grad, found.w_grad, found.b_grad

            return (made.h, made.cs), gradient

        xs = tf.reverse(xs, (0,)) if reverse else xs
        hs, cs = run(xs, h, c, tf.concat([kernel, recurrent], 0), bias)
        return tf.reverse(hs, (0,)) if reverse else hs, hs[-1], cs[-1]

    def custom_gradient(
        self, forward: Callable[..., tuple[Any, Any]], backward: Callable[[Any, Any], tuple[Any, ...]]
    ) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            given, form = _Form(), _Form()

            @tf.custom_gradient  # type: ignore[untyped-decorator]
            def run(*leaves: Array) -> Any:
                results, kept = forward(*given.give(leaves))
                flat = form.take(results)

                def gradient(*upstream: Any) -> list[Array]:
                    filled = [tf.zeros_like(y) if g is None else _dense(g) for g, y in zip(upstream, flat, strict=True)]
                    return _Form().take(tuple(backward(kept, form.give(filled))))

                return flat, gradient

            return form.give(run(*given.take(args)))

        return call

    def checkpoint(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            if tf.executing_eagerly():  # where memory matters, programs are compiled
                return fn(*args)
            given, form = _Form(), _Form()
            leaves = given.take(args)
            # A trace tells what `fn` reads from outside: it has gradients too.
            probe = tf.__internal__.FuncGraph("checkpoint")
            with probe.as_default(), self._local.tracing(self._local.xla):
                fn(*given.give([tf.compat.v1.placeholder(leaf.dtype, leaf.shape) for leaf in leaves]))
            outside = [tensor for tensor in probe.external_captures if tensor.dtype.is_floating]
            count = len(leaves)

            @tf.custom_gradient  # type: ignore[untyped-decorator]
            def run(*inputs: Array) -> Any:
                flat = form.take(fn(*given.give(inputs[:count])))

                def gradient(*upstream: Array) -> Any:
                    # Depending on the gradient from above, the second computation is not merged with the first.
                    with tf.control_dependencies(upstream), tf.GradientTape() as tape:
                        again = [tf.identity(x) for x in inputs[:count]]
                        tape.watch([*again, *outside])
                        results = _Form().take(fn(*given.give(again)))
                    return _gradients(tape, results, [*again, *outside], list(upstream))

                return flat, gradient

            return form.give(run(*leaves, *outside))

        return call

    def value_and_grad(self, fn: Callable[..., tuple[Array, Any]], values: list[Array]) -> tuple[Any, list[Array]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape, self._local.differentiating():
            values = [tf.identity(v) for v in values]  # the same tensor may come in by another way as well
            tape.watch(values)
            loss, aux = fn(values)
        return (loss, aux), _gradients(tape, [loss], values, None)

    def vjp(
        self, fn: Callable[..., tuple[list[Array], Any]], values: list[Array]
    ) -> tuple[list[Array], Callable[[list[Array]], list[Array]], Any]:
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape, self._local.differentiating():
            values = [tf.identity(v) for v in values]
            tape.watch(values)
            results, aux = fn(values)
        return results, lambda gradients: _gradients(tape, results, values, gradients), aux

    def jvp(
        self, fn: Callable[..., tuple[list[Array], Any]], values: list[Array], tangents: list[Array]
    ) -> tuple[list[Array], list[Array], Any]:
        # The pullback is linear, so its derivative by what it is given is what is sought: unlike TensorFlow's
        # accumulators this works through loops, branches and gradients of our own.
        with tf.GradientTape(watch_accessed_variables=False) as outer, self._local.differentiating():
            results, pullback, aux = self.vjp(fn, values)
            dummies = [tf.zeros_like(y) for y in results]
            outer.watch(dummies)
            pulled = pullback(dummies)
        return results, _gradients(outer, pulled, dummies, tangents), aux

    # the engine

    def compile(
        self, fn: Callable[..., Any], donate: bool = False, thorough: bool | None = False, forward: bool = False
    ) -> Callable[..., Any]:
        programs: dict[Any, tuple[Any, _Form]] = {}

        def run(*args: Any) -> Any:
            if not tf.executing_eagerly():  # part of a larger trace
                return fn(*args)
            leaves = tree.flatten(args)
            at = [i for i, leaf in enumerate(leaves) if leaf is not None and not isinstance(leaf, str)]
            for i in at:
                if not isinstance(leaves[i], _TENSORS):
                    leaves[i] = self.convert(leaves[i])
            arrays = [leaves[i] for i in at]
            others = tuple(leaf if isinstance(leaf, str) else None for leaf in leaves)
            key = (
                tree.structure(args),
                others,
                tuple([(type(a), a.dtype, tuple(a.shape)) for a in arrays]),
                config.floatx(),
            )
            if key not in programs:
                programs[key] = self._program(fn, _Form(args, at), arrays, thorough)
            program, form = programs[key]
            return form.give(program(*arrays))

        return run

    def _program(
        self, fn: Callable[..., Any], given: _Form, arrays: list[Array], thorough: bool | None
    ) -> tuple[Any, _Form]:
        def traced(xla: bool) -> tuple[Any, _Form]:
            return self._traced(fn, given, arrays, xla)

        if thorough is not None:
            return traced(thorough)
        self._local.misses_kernel = False
        program, form = traced(True)
        if self._local.misses_kernel or not _gains_by_xla(program.graph):
            return traced(False)
        return _or_else(program, lambda: traced(False)[0]), form

    def _traced(self, fn: Callable[..., Any], given: _Form, arrays: list[Array], xla: bool) -> tuple[Any, _Form]:
        form = _Form()

        def flat(*arrays: Array) -> list[Array]:
            with self._local.tracing(xla):
                return form.take(fn(*given.give(arrays)))

        traced = tf.function(flat, autograph=False, jit_compile=xla or None)
        return traced.get_concrete_function(*map(tf.type_spec_from_value, arrays)), form

    def abstract_eval(self, fn: Callable[..., Any], specs: list[Spec]) -> Any:
        with tf.__internal__.FuncGraph("inference").as_default(), self._local.tracing(bool(self._local.xla)):
            found = fn([_placeholder(spec) for spec in specs])
        return tree.map_structure(_spec, found)

    # randomness

    def random_uniform(self, key: Array, shape: Ints, dtype: str) -> Array:
        return tf.random.stateless_uniform(shape, _seed(key), dtype=dtype)

    def random_normal(self, key: Array, shape: Ints, dtype: str) -> Array:
        return tf.random.stateless_normal(shape, _seed(key), dtype=dtype)

    def random_truncated_normal(self, key: Array, shape: Ints, dtype: str) -> Array:
        return tf.random.stateless_truncated_normal(shape, _seed(key), dtype=dtype)

    def random_integers(self, key: Array, shape: Ints, low: Any, high: Any, dtype: str) -> Array:
        wide = "int64" if dtype in ("int64", "uint32", "uint64") else "int32"
        low, high = self.convert(low, wide), self.convert(high, wide)
        return cast(tf.random.stateless_uniform(shape, _seed(key), low, high, wide), dtype)

    def random_gamma(self, key: Array, shape: Ints, alpha: Array, dtype: str) -> Array:
        wide = "float32" if dtype == "bfloat16" else dtype
        return cast(tf.random.stateless_gamma(shape, _seed(key), cast(alpha, wide), dtype=wide), dtype)

    def random_permutation(self, key: Array, size: int) -> Array:
        ranks = tf.random.stateless_uniform((size,), _seed(key), None, None, "int32")
        return primitives.argsort(ranks)


# XLA:CPU takes 30 times as long as TensorFlow for convolutions and pooling, and twice for random numbers. It leaves
# assertions out, and knows neither Python nor texts, of which it says so in its first run (`_or_else`).
_NOT_FOR_XLA = ("Conv", "Depthwise", "MaxPool", "AvgPool", "StatelessRandom", "StatelessTruncated", "Assert")
# A transformer of two blocks has 2,034: a step of 95 ms for 115, a second more to compile; one of four gains nothing.
_MOST_OPS = 2500


def _gains_by_xla(graph: Any) -> bool:
    """Whether XLA makes the steps of a program shorter by more than it takes to compile it, by the ops in it.

    It makes one kernel of small ones: of the plain step 784-128-10 keeps 0.27, iris 0.6, a GRU 0.55.
    """
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    return len(nodes) <= _MOST_OPS and not any(node.op.startswith(_NOT_FOR_XLA) for node in nodes)


def _or_else(program: Any, make: Callable[[], Any]) -> Callable[..., Any]:
    """`program`, or if XLA refuses it in its first run the one that `make` makes."""
    chosen = None

    def run(*arrays: Array) -> Any:
        nonlocal chosen
        if chosen is None:
            chosen = program
            try:
                return program(*arrays)
            except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.InternalError):
                chosen = make()
        return chosen(*arrays)

    return run


class _Form:
    """A nest without its tensors, which are handed on as a list."""

    def __init__(self, structure: Any = None, at: list[int] | None = None) -> None:
        if at is not None:
            leaves = tree.flatten(structure)
            self._set(structure, leaves, at)

    def _set(self, structure: Any, leaves: list[Any], at: list[int]) -> None:
        self._at = at
        self._others = list(leaves)
        for i in at:
            self._others[i] = None
        self._tree = tree.structure(structure)

    def take(self, structure: Any) -> list[Array]:
        """The tensors of a nest, whose form is remembered; numbers become tensors."""
        leaves = tree.flatten(structure)
        at = [i for i, leaf in enumerate(leaves) if leaf is not None and not isinstance(leaf, str)]
        arrays = [leaf if isinstance(leaf := leaves[i], _TENSORS) else tf.convert_to_tensor(leaf) for i in at]
        self._set(structure, leaves, at)
        return arrays

    def give(self, arrays: Sequence[Array]) -> Any:
        """The nest with these tensors."""
        leaves = list(self._others)
        for i, array in zip(self._at, arrays):  # noqa: B905 - a branch without results returns one all the same
            leaves[i] = array
        return self._tree.unflatten(leaves)


def _spec(leaf: Any) -> Any:
    if not isinstance(leaf, _TENSORS):
        return leaf
    kinds = isinstance(leaf, tf.SparseTensor), isinstance(leaf, tf.RaggedTensor)
    return Spec(tuple(leaf.shape), standardize_dtype(leaf.dtype), *kinds)


def _placeholder(spec: Spec) -> Any:
    """A tensor of a graph that is only looked at; the second axis is where rows differ."""
    if not spec.ragged:
        return tf.compat.v1.placeholder(spec.dtype, spec.shape)
    values = tf.compat.v1.placeholder(spec.dtype, (None, *spec.shape[2:]))
    splits = tf.compat.v1.placeholder("int64", (spec.shape[0] + 1,))  # type: ignore[operator]
    return tf.RaggedTensor.from_row_splits(values, splits, validate=False)


def _holds_tensors(x: Any) -> bool:
    return isinstance(x, list | tuple) and any(isinstance(a, tf.Tensor | tf.Variable) or _holds_tensors(a) for a in x)


def _dense(gradient: Any) -> Array:
    return tf.convert_to_tensor(gradient)  # of a gather it comes as slices


def _gradients(tape: Any, results: list[Array], values: list[Array], upstream: list[Array] | None) -> list[Array]:
    """The gradients of those results that are floats, zeros where there is none."""
    at = [i for i, y in enumerate(results) if y.dtype.is_floating or y.dtype.is_complex]
    found = tape.gradient(
        [results[i] for i in at],
        values,
        None if upstream is None else [upstream[i] for i in at],
        tf.UnconnectedGradients.ZERO,
    )
    return [_dense(g) for g in found]


def _array_of(dtype: Any, length: int, shape: Any) -> Any:
    return tf.TensorArray(dtype, length, element_shape=tuple(shape), clear_after_read=False)


def _seed(key: Array) -> Array:
    return tf.bitcast(key, "int32")
