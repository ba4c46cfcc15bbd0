"""What a backend must provide: about 150 primitives, all others are composed of them in `ops/`.

A backend is one object with these attributes. Primitives take and return the framework's own arrays, beside which a
Python number may stand, of their dtype; arguments are already promoted and validated, axes are ints or tuples of ints,
images are channels-last, paddings are explicit pairs. Names and meanings are NumPy's where NumPy has them (https://numpy.org/doc/stable/reference/).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, ClassVar

from cornu.base import tree
from cornu.base.errors import BackendError, BackendMismatchError
from cornu.base.spec import Spec, merge_sizes

Array = Any
_FRAMEWORKS = {"jax": "jax", "jaxlib": "jax", "torch": "torch", "tensorflow": "tensorflow"}
Axis = int | tuple[int, ...] | None
Unary = Callable[[Array], Array]
Binary = Callable[[Array, Array], Array]
Reduction = Callable[..., Array]  # (x, axis=None, keepdims=False)
Ints = Sequence[int]
Pairs = Sequence[tuple[int, int]]


class UserFunctions(ABC):
    """What variables ask of a framework whose functions the user compiles and whose tapes the user holds."""

    @abstractmethod
    def current(self) -> Any:
        """The function, compiled by the user and not by us, that is traced here; None elsewhere."""

    @abstractmethod
    def late(self, variable: Any, function: Any) -> Array:
        """The variable's value as an input of this function, found at each call."""

    @abstractmethod
    def cell(self, variable: Any) -> Any:
        """What holds the variable's value from when the current function sets it: `read_value`, `assign`, `handle`.

        None where there is no current function.
        """

    @abstractmethod
    def tell_tapes(self, variable: Any) -> None:
        """The variable was read: the user's tapes watch it."""

    @abstractmethod
    def is_recorded(self) -> bool:
        """Whether tapes record what is computed here."""


class Backend(ABC):
    """The primitives of one array framework."""

    name: str
    array_types: tuple[type, ...]
    """Types that pass for this backend's arrays, tracers included."""
    known_arrays: dict[tuple[type, Any], bool]
    """Types and dtypes that were seen to be this backend's arrays, and whether they are floats."""
    native: ClassVar[Mapping[str, Callable[..., Any]]] = {}
    """Kernels of the framework that replace the body of an op, by op name: each earned by a benchmark.

    They return NotImplemented for arguments that they do not take.
    """
    probe_sizes: tuple[int, int] = (10_080, 20_160)
    """Two sizes that stand for unknown dimensions when shapes are inferred: large, so that no real one equals them,
    where nothing is computed; small where something is."""

    errors: tuple[type[Exception], ...] = (TypeError, ValueError, IndexError)
    """What the framework raises for bad arguments."""
    exhausted: tuple[type[Exception], ...] = ()
    """Those of them that tell of memory that is full: no fault of the arguments, they stay what they are."""
    copies = True
    """Whether arrays of NumPy are copied to where programs run, even on a CPU."""
    pushing = False
    """Whether it traces a derivative along tangents, for which programs that are kept do not serve."""
    loops_in_python = False
    """Whether loops and branches run as they are called, so that variables are assigned in them without more ado."""
    needs_compiler = False
    """Whether there are no programs without the thorough compiler, so that jit_compile=False means op by op."""

    concrete: type | None = None
    """The one type of arrays that hold values, on a backend that gains by running the body of an op as one program."""
    programs: dict[Any, Callable[..., Any]]
    """Such programs, by body."""
    programs_of = -1
    """The version of the settings that they were made under."""

    def __init__(self) -> None:
        self.known_arrays, self.programs = {}, {}

    def special(self, leaf: Any) -> Any:
        """A leaf of training data that only this framework has arrays for (text, rows that differ in length), as such
        an array; None for all others."""
        return None

    def rows(self, x: Any, rows: Any) -> Any:
        """Rows of such an array."""
        raise NotImplementedError

    def why_slow(self, program: Any) -> str:
        """What kept `compile` from compiling a function as a whole; empty if nothing did."""
        return ""

    @property
    def waits(self) -> bool:
        """Whether the call of a compiled program returns when it is done, as on a CPU."""
        return True

    asks = False
    """Whether a program's loop asks the host after each step whether to go on, which the device waits for."""

    def profile(self, folder: str) -> AbstractContextManager[Any]:
        """A block during which the framework writes a trace of what it does to the folder."""
        raise BackendError(f"The backend {self.name!r} takes no traces.")

    def devices(self) -> list[str]:
        """What it can compute on, `cpu:0` and perhaps `gpu:0`, …"""
        return ["cpu:0"]

    def use_device(self, name: str | None) -> None:  # noqa: B027 - there may be but one
        """Make new arrays on one of the `devices`; None: on its own choice. Called first when it is loaded."""

    def use_precision(self, name: str | None) -> None:  # noqa: B027 - there may be but one
        """How exactly float32 matrices are multiplied, as `set_matmul_precision` has it; None: its own choice."""

    def exactly(self) -> AbstractContextManager[Any]:
        """A block whose products are of float32 numbers, whatever the hardware would take for them by itself."""
        return nullcontext()

    # element-wise, one argument
    abs: Unary
    arccos: Unary
    arccosh: Unary
    arcsin: Unary
    arcsinh: Unary
    arctan: Unary
    arctanh: Unary
    cbrt: Unary
    ceil: Unary
    conj: Unary
    cos: Unary
    cosh: Unary
    erf: Unary
    erfc: Unary
    erfinv: Unary
    exp: Unary
    expm1: Unary
    floor: Unary
    i0e: Unary  # the modified Bessel function I₀ · exp(-|x|)
    imag: Unary
    isfinite: Unary
    isinf: Unary
    isnan: Unary
    lgamma: Unary
    log: Unary
    log1p: Unary
    logical_not: Unary
    negative: Unary
    real: Unary
    rint: Unary
    rsqrt: Unary
    sigmoid: Unary
    sign: Unary
    sin: Unary
    sinh: Unary
    sqrt: Unary
    stop_gradient: Unary
    tan: Unary
    tanh: Unary
    bitwise_not: Unary

    # element-wise, two arguments of one dtype
    add: Binary
    arctan2: Binary
    bitwise_and: Binary
    bitwise_or: Binary
    bitwise_xor: Binary
    divide: Binary
    equal: Binary
    floor_divide: Binary  # of integers by 0 it is 0, and so are fmod and mod
    fmod: Binary
    gcd: Binary
    greater: Binary
    greater_equal: Binary
    left_shift: Binary
    less: Binary
    less_equal: Binary
    logical_and: Binary
    logical_or: Binary
    logical_xor: Binary
    maximum: Binary
    minimum: Binary
    mod: Binary
    multiply: Binary
    nextafter: Binary
    not_equal: Binary
    power: Binary
    right_shift: Binary
    subtract: Binary

    # reductions and scans along axes; sums and products keep the dtype
    all: Reduction
    any: Reduction
    max: Reduction
    min: Reduction
    prod: Reduction
    sum: Reduction
    argmax: Callable[..., Array]  # (x, axis=None, keepdims=False) -> int32
    argmin: Callable[..., Array]
    argsort: Callable[..., Array]  # (x, axis=-1) -> int32, stable
    cumprod: Callable[..., Array]  # (x, axis)
    cumsum: Callable[..., Array]
    sort: Callable[..., Array]  # (x, axis=-1)

    # shape and selection
    broadcast_to: Callable[..., Array]  # (x, shape)
    concatenate: Callable[..., Array]  # (xs, axis)
    expand_dims: Callable[..., Array]  # (x, axis)
    flip: Callable[..., Array]  # (x, axis)
    pad: Callable[..., Array]  # (x, pairs, mode="constant", constant_values=0)
    repeat: Callable[..., Array]  # (x, repeats, axis)
    reshape: Callable[..., Array]  # (x, shape)
    searchsorted: Callable[..., Array]  # (ascending, values, side="left")
    squeeze: Callable[..., Array]  # (x, axis)
    stack: Callable[..., Array]  # (xs, axis)
    take_along_axis: Callable[..., Array]  # (x, indices, axis)
    tile: Callable[..., Array]  # (x, repeats)
    transpose: Callable[..., Array]  # (x, axes)
    view: Callable[..., Array]  # (x, dtype): the same bytes
    where: Callable[..., Array]  # (condition, a, b)

    # products
    einsum: Callable[..., Array]  # (subscripts, *operands)
    matmul: Binary
    tensordot: Callable[..., Array]  # (a, b, axes)

    # linear algebra, batched over leading axes, in float32 at least; NaN where a matrix has no such thing
    cholesky: Unary  # of a symmetric matrix, lower
    det: Unary
    eig: Callable[[Array], tuple[Array, Array]]  # values, vectors: complex
    eigh: Callable[[Array], tuple[Array, Array]]  # of a symmetric matrix, in ascending order
    lu_factor: Callable[[Array], tuple[Array, Array]]  # L below and U on and above the diagonal; pivots, int32
    pinv: Callable[..., Array]  # (x, rcond)
    qr: Callable[..., tuple[Array, Array]]  # (x, mode)
    slogdet: Callable[[Array], tuple[Array, Array]]
    solve: Binary  # (…, n, n), (…, n, k)
    solve_triangular: Callable[..., Array]  # (a, b, lower), broadcast together
    svd: Callable[..., Any]  # (x, full_matrices, compute_uv)

    # signals
    complex: Binary  # of the real and the imaginary part
    correlate: Callable[..., Array]  # (a, v, mode), of one axis
    fftn: Callable[..., Array]  # (complex x, axes)
    ifftn: Callable[..., Array]
    irfft: Callable[..., Array]  # (complex x, n): along the last axis
    rfft: Callable[..., Array]  # (real x, n)

    # creation
    @abstractmethod
    def arange(self, start: float, stop: float, step: float, dtype: str) -> Array:
        """Evenly spaced values."""

    @abstractmethod
    def full(self, shape: Ints, value: Any, dtype: str) -> Array:
        """A constant array."""

    def zeros(self, shape: Ints, dtype: str) -> Array:
        """An array of zeros."""
        return self.full(shape, 0, dtype)

    # sparse arrays, of the framework's own kind
    sparse_types: tuple[type, ...] = ()

    def sparse(self, indices: Array, values: Array, shape: Ints) -> Any:
        """The sparse array of `values` (n,) at `indices` (n, rank); values of one index add up."""
        raise BackendError(f"The backend {self.name!r} has no sparse arrays; leave out `sparse=True`.")

    def to_dense(self, x: Any) -> Array:
        """A sparse array as a dense one."""
        return x

    def sparse_matmul(self, a: Any, b: Any) -> Array:
        """The product of two matrices, one or both sparse."""
        return self.matmul(self.to_dense(a), self.to_dense(b))

    # arrays in and out
    @abstractmethod
    def convert(self, x: Any, dtype: str | None = None) -> Array:
        """`x` (array, NumPy array, nest of numbers) as this backend's array.

        Raises BackendMismatchError for another framework's array.
        """

    def scalar(self, value: Any, dtype: Any) -> Array:
        """A Python number as whatever serves best beside an array of this dtype (a name or the array's own)."""
        return self.convert(value, dtype)

    @abstractmethod
    def cast(self, x: Array, dtype: str) -> Array:
        """`x` in another dtype; `x` itself where it has it already."""

    @abstractmethod
    def to_numpy(self, x: Array) -> Any:
        """A NumPy array of the same values; may share memory."""

    def check_foreign(self, x: Any) -> None:
        """Raises BackendMismatchError if `x` is an array of another framework."""
        framework = _FRAMEWORKS.get(type(x).__module__.partition(".")[0])
        if framework is not None and framework != self.name:
            raise BackendMismatchError(
                f"A {framework} array of shape {tuple(getattr(x, 'shape', ()))} met the backend {self.name!r}. "
                f"Convert it (`numpy.asarray(x)`) or run the call under `cornu.config.backend_scope({framework!r})`."
            )

    def to_numpy_tree(self, x: Any) -> Any:
        """`to_numpy` of a list of arrays, fetched together."""
        return [self.to_numpy(leaf) for leaf in x]

    @abstractmethod
    def copy(self, x: Array) -> Array:
        """An array of the same values in memory of its own."""

    @abstractmethod
    def transfer(self, arrays: list[Any]) -> list[Array]:
        """NumPy arrays on the device, all in one go."""

    def canonical_dtype(self, dtype: str) -> str:
        """The dtype that stands in for `dtype` here (JAX keeps 32 bits unless told otherwise)."""
        return dtype

    def untraced(self) -> AbstractContextManager[Any]:
        """A context in which calls compute at once, although a trace is going on."""
        return nullcontext()

    def undisturbed(self) -> AbstractContextManager[Any] | None:
        """A context that keeps settings of the framework from changing the dtypes of a model; None: there are none."""
        return None

    user_functions: UserFunctions | None = None
    """For variables that are read and assigned in functions that the user compiles; None: there are no such."""

    def wait(self, x: Any) -> None:
        """Return when the arrays in the nest `x` are computed."""
        return

    # indexed access
    def get_item(self, x: Array, key: Any) -> Array:
        """x[key], by NumPy's rules."""
        return x[key]

    @abstractmethod
    def take(self, x: Array, indices: Array, axis: int) -> Array:
        """Slices of `x` at the integer `indices` along `axis`; those out of range are clipped."""

    @abstractmethod
    def dynamic_slice(self, x: Array, starts: Sequence[Any], sizes: Ints) -> Array:
        """A block of fixed `sizes` whose start may be computed."""

    @abstractmethod
    def dynamic_update(self, x: Array, starts: Sequence[Any], update: Array) -> Array:
        """`x` with a block replaced."""

    @abstractmethod
    def scatter(self, x: Array, indices: Array, updates: Array, mode: str) -> Array:
        """`x` with `x[tuple(indices[..., i])]` set to, or increased by, `updates`; mode "set", "add", "max", "min"."""

    # neural networks, channels last
    @abstractmethod
    def conv(
        self,
        x: Array,  # (batch, *spatial, in)
        kernel: Array,  # (*window, in // groups, out)
        strides: Ints,
        padding: Pairs,
        dilation: Ints,
        input_dilation: Ints,
        groups: int,
    ) -> Array:  # (batch, *spatial, out)
        """Cross-correlation."""

    @abstractmethod
    def pool(self, x: Array, window: Ints, strides: Ints, padding: Pairs, mode: str) -> Array:
        """Moving maximum (`mode="max"`) or sum (`"sum"`) of (batch, *spatial, channels); padding is neutral."""

    def fused_attention(
        self, query: Array, key: Array, value: Array, bias: Any, mask: Any, scale: float, is_causal: bool
    ) -> Array | None:
        """Attention of (batch, time, heads, depth) by one kernel that keeps no scores, or None if there is none."""
        return None

    def parts(self, size: int, work: int) -> int:
        """Into how many equal parts a computation over so many rows is best cut, of so many numbers in between."""
        return 1

    def fused_batch_norm(
        self, x: Array, gamma: Array | None, beta: Array | None, axis: int, epsilon: float
    ) -> tuple[Array, Array, Array] | None:
        """x less the mean of each channel by its deviation, times gamma, plus beta; the means, the variances; or None.

        Channels are along `axis`; gamma and beta are float32.
        """
        return None

    def fused_lstm(
        self, xs: Array, h: Array, c: Array, kernel: Array, recurrent: Array, bias: Array | None, reverse: bool
    ) -> tuple[Array, Array, Array] | None:
        """All outputs and the last states of an LSTM over xs (time, batch, features), gates i, f, g, o; or None."""
        return None

    def fused_gru(
        self, xs: Array, h: Array, kernel: Array, recurrent: Array, bias: Array | None, reverse: bool
    ) -> tuple[Array, Array] | None:
        """All outputs and the last state of a GRU that resets after the product, bias (2, 3 n); or None.

        The gates are z, r, h.
        """
        return None

    def together(self) -> AbstractContextManager[None]:
        """Within it a program may run kernels in another order: those that are alike as one, on many arrays."""
        return nullcontext()

    def fused_adam(
        self,
        state: list[list[Array]],
        gradients: list[Array],
        rate: Array,
        beta_1: float,
        beta_2: float,
        epsilon: float,
    ) -> list[list[Array]] | None:
        """Adam's step for all variables, or None: their values, means, squares, with AMSGrad the largest, after it.

        `rate` is corrected for the bias.
        """
        return None

    def fused_sgd(
        self, state: list[list[Array]], gradients: list[Array], rate: Array, momentum: float, nesterov: bool
    ) -> list[list[Array]] | None:
        """The step of gradient descent for all variables, or None: their values, with momentum that too, after it."""
        return None

    # control flow
    @abstractmethod
    def cond(self, pred: Array, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        """One of two functions of the operands."""

    @abstractmethod
    def while_loop(
        self, cond: Callable[[Any], Array], body: Callable[[Any], Any], state: Any, limit: int | None = None
    ) -> Any:
        """`body` applied to `state` while `cond` holds, at most `limit` times; with a limit it has gradients."""

    @abstractmethod
    def scan(
        self, fn: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, length: int, reverse: bool, unroll: int
    ) -> tuple[Any, Any]:
        """`carry, y = fn(carry, x)` over the leading axis of `xs`: the last carry and the stacked ys."""

    def custom_gradient(
        self, forward: Callable[..., tuple[Any, Any]], backward: Callable[[Any, Any], tuple[Any, ...]]
    ) -> Callable[..., Any]:
        """The function `args -> results` of `forward(*args) -> (results, kept)`, with a gradient of its own.

        `backward(kept, gradients of the results)` returns the gradients of the arguments. Both see arrays through their
        arguments alone. This body is for backends without gradients.
        """
        return lambda *args: forward(*args)[0]

    # randomness: `key` is an array of two uint32
    @abstractmethod
    def random_uniform(self, key: Array, shape: Ints, dtype: str) -> Array:
        """Floats in [0, 1)."""

    @abstractmethod
    def random_normal(self, key: Array, shape: Ints, dtype: str) -> Array:
        """Standard normal numbers."""

    @abstractmethod
    def random_truncated_normal(self, key: Array, shape: Ints, dtype: str) -> Array:
        """Standard normal numbers within [-2, 2]."""

    @abstractmethod
    def random_integers(self, key: Array, shape: Ints, low: Any, high: Any, dtype: str) -> Array:
        """Integers in [low, high)."""

    @abstractmethod
    def random_gamma(self, key: Array, shape: Ints, alpha: Array, dtype: str) -> Array:
        """Gamma-distributed numbers of unit scale."""

    @abstractmethod
    def random_permutation(self, key: Array, size: int) -> Array:
        """The ints below `size`, shuffled."""

    # the engine
    def require_gradients(self) -> None:
        """Raises BackendError if this backend computes no gradients, so that nothing trains on it."""
        return

    @abstractmethod
    def value_and_grad(self, fn: Callable[..., tuple[Array, Any]], values: list[Array]) -> tuple[Any, list[Array]]:
        """`((loss, aux), gradients)` of `fn(values) -> (loss, aux)` at `values`."""

    @abstractmethod
    def vjp(
        self, fn: Callable[..., tuple[list[Array], Any]], values: list[Array]
    ) -> tuple[list[Array], Callable[[list[Array]], list[Array]], Any]:
        """`(results, pullback, aux)` of `fn(values) -> (results, aux)`; the pullback takes gradients of the results."""

    @abstractmethod
    def jvp(
        self, fn: Callable[..., tuple[list[Array], Any]], values: list[Array], tangents: list[Array]
    ) -> tuple[list[Array], list[Array], Any]:
        """`(results, their tangents, aux)` of `fn(values) -> (results, aux)`."""

    def checkpoint(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """`fn`, whose gradient computes intermediate values again; this body is for backends without gradients."""
        return fn

    @abstractmethod
    def vectorized_map(self, fn: Callable[[Any], Any], xs: Any) -> Any:
        """`fn` of each entry along the leading axis of the nest `xs`, all at once, stacked."""

    @abstractmethod
    def compile(
        self, fn: Callable[..., Any], donate: bool = False, thorough: bool | None = False, forward: bool = False
    ) -> Callable[..., Any]:
        """`fn` compiled; with `donate` the buffers of its first argument may be reused for its results.

        `thorough`, where the framework has a compiler that takes long and may win: True asks for it
        (`jit_compile=True`), None leaves it to the backend, which decides by the program and not by the clock.
        `forward` says that the program takes no derivatives, over batches of many rows.
        NumPy arrays among the arguments go to the device.
        """

    def fused(self, body: Callable[..., Any], positions: tuple[int, ...], names: tuple[str, ...]) -> Callable[..., Any]:
        """The body of an op as one program; arguments at these positions or of these names are its constants."""
        return body

    @abstractmethod
    def loop(self, steps: Array, body: Callable[[Array, Any], Any], state: Any) -> Any:
        """`state = body(i, state)` for i below `steps`, which may be computed: one dispatch for many steps."""

    @abstractmethod
    def abstract_eval(self, fn: Callable[..., Any], specs: list[Spec]) -> Any:
        """The nest of Specs that `fn(arrays)` returns for arrays of these fully known specs."""

    def is_tracing(self, x: Any) -> bool:
        """Whether `x` is a placeholder of a trace rather than a value."""
        return False

    def infer(self, fn: Callable[[list[Array]], Any], specs: list[Spec]) -> Any:
        """The nest of Specs that `fn(arrays)` returns; sizes that depend on an unknown one come out as None.

        `fn` is evaluated with one or two sizes in place of the unknown ones: a size of the result that changes with
        them is unknown. One is enough while only the leading (batch) size is unknown and no size of the result looks
        computed from it.
        """
        if all(None not in spec.shape for spec in specs):
            return self.abstract_eval(fn, specs)
        low, high = self.probe_sizes
        first = self.abstract_eval(fn, [_filled(spec, low) for spec in specs])
        only_batch = all(None not in spec.shape[1:] for spec in specs)
        # Small probes may equal a real size, such as a layer's units: then only the second tells them apart.
        if low > 1000 and only_batch and all(size < low // 16 or size == low for size in _sizes(first)):
            return _map_specs(lambda a: replace(a, shape=tuple(None if s == low else s for s in a.shape)), first)
        second = self.abstract_eval(fn, [_filled(spec, high) for spec in specs])
        return _map_specs(lambda a, b: replace(a, shape=merge_sizes(a.shape, b.shape)), first, second)


def _filled(spec: Spec, size: int) -> Spec:
    return replace(spec, shape=tuple(size if s is None else s for s in spec.shape))


def _map_specs(fn: Callable[..., Any], *trees: Any) -> Any:
    return tree.map_structure(lambda *leaves: fn(*leaves) if isinstance(leaves[0], Spec) else leaves[0], *trees)


def _sizes(specs: Any) -> list[int]:
    return [size for spec in tree.flatten(specs) if isinstance(spec, Spec) for size in spec.shape if size is not None]
