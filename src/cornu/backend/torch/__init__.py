"""PyTorch."""

from __future__ import annotations

import functools
import importlib
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
import torch
import torch.nn.functional as F
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.checkpoint import checkpoint

from cornu.backend import host_random
from cornu.backend.contract import Array, Axis, Backend, Ints, Pairs
from cornu.backend.memory import keep_freed_memory
from cornu.backend.torch.capture import Captured, UncapturableError, active, recorded_loop, without_autocast
from cornu.backend.torch.derivatives import detached, fresh, pull_back, run_with_gradient
from cornu.base import config, tree
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import OpError
from cornu.base.spec import Spec

_SAME_NAME = """
arccos arccosh arcsin arcsinh arctan arctanh ceil cos cosh erf erfc erfinv exp expm1 floor isinf isnan
lgamma log log1p logical_not rsqrt sigmoid sin sinh sqrt tan tanh bitwise_not
add bitwise_and bitwise_or bitwise_xor divide greater greater_equal less less_equal multiply not_equal
subtract
broadcast_to reshape tile
""".split()
_WITH_NUMBERS = "arctan2 gcd logical_and logical_or logical_xor nextafter".split()
"""Functions that take no Python numbers."""
_NO = NotImplemented
_UNSIGNED = {torch.uint16: torch.int64, torch.uint32: torch.int64, torch.uint64: torch.int64}
"""What few kernels know, computed in another dtype."""
_LARGE_BYTES = 1 << 20
_SIGNED = (torch.int8, torch.int16, torch.int32, torch.int64)


@functools.cache
def _dtype(name: Any) -> torch.dtype:
    found = getattr(torch, standardize_dtype(name))
    assert isinstance(found, torch.dtype)
    return found


def _linear(x: Array, kernel: Array, bias: Any = None) -> Any:
    if kernel.is_cuda and kernel.itemsize == 2 and kernel.shape[1] % 8 and kernel.numel() >= 1 << 20:
        return _linear_in_eights(x, kernel, bias)
    return F.linear(x, kernel.t(), bias) if x.is_floating_point() else NotImplemented


def _linear_in_eights(x: Array, kernel: Array, bias: Any) -> Any:
    """Where 16 bytes do not divide the rows, cuBLAS has but kernels of older cards: GPT-2's 50,257 words took 15 ms."""
    more = 0, -kernel.shape[1] % 8
    return F.linear(x, F.pad(kernel, more).t(), None if bias is None else F.pad(bias, more))[..., : kernel.shape[1]]


def _layer_norm(x: Array, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: float | None = None) -> Any:
    axes = sorted(i % x.ndim for i in ([axis] if isinstance(axis, int) else axis))
    if axes != list(range(x.ndim - len(axes), x.ndim)):
        return NotImplemented
    return F.layer_norm(x, x.shape[axes[0] :], gamma, beta, config.epsilon() if epsilon is None else epsilon)


class SparseTensor:
    """A sparse `torch.Tensor`, in a type of its own because few ops know what to do with one."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        self.shape, self.dtype, self.ndim = tensor.shape, tensor.dtype, tensor.ndim


class TorchBackend(Backend):
    """The contract on `torch.Tensor`."""

    name = "torch"
    array_types = (torch.Tensor,)
    sparse_types = (SparseTensor,)
    errors = (*Backend.errors, RuntimeError)
    exhausted = (torch.OutOfMemoryError,)
    device: ClassVar[torch.device | None] = None
    """Where arrays of the host go; None: they stay."""

    native: ClassVar[Mapping[str, Callable[..., Any]]] = {
        "dense": _linear,
        "relu": lambda x: torch.relu(x) if x.is_floating_point() else _NO,
        "softmax": lambda x, axis=-1: torch.softmax(x, _axes(x, axis)[0]) if isinstance(axis, int) else _NO,
        "log_softmax": lambda x, axis=-1: torch.log_softmax(x, _axes(x, axis)[0]) if isinstance(axis, int) else _NO,
        "silu": F.silu,
        "gelu": lambda x, approximate=True: F.gelu(x, approximate="tanh" if approximate else "none"),
        "layer_normalization": _layer_norm,
    }

    copies = False

    def __init__(self) -> None:
        super().__init__()
        keep_freed_memory(one_heap=False)
        self._local = threading.local()
        for name in _SAME_NAME:
            setattr(self, name, _in_int64(getattr(torch, name)))
        for name in _WITH_NUMBERS:
            setattr(self, name, _in_int64(_with_numbers(getattr(torch, name))))
        self.rint, self.stop_gradient, self.i0e = torch.round, torch.Tensor.detach, torch.special.i0e
        self.negative, self.transpose = torch.neg, torch.permute
        self.equal = _in_int64(torch.eq)
        self.left_shift, self.right_shift = torch.bitwise_left_shift, torch.bitwise_right_shift
        self.floor_divide, self.fmod, self.mod = (
            _in_int64(_with_numbers(_by_zero(fn))) for fn in (torch.floor_divide, torch.fmod, torch.remainder)
        )
        self.complex = torch.complex
        self.slogdet, self.det = torch.linalg.slogdet, torch.linalg.det
        self.eig, self.eigh = _or_nan(torch.linalg.eig), _or_nan(torch.linalg.eigh)

    @functools.cached_property
    def _devices(self) -> dict[str, torch.device]:
        gpus = {f"gpu:{i}": torch.device("cuda", i) for i in range(torch.cuda.device_count())}
        return {"cpu:0": torch.device("cpu"), **gpus}

    @property
    def waits(self) -> bool:
        return TorchBackend.device is None

    @contextmanager
    def profile(self, folder: str) -> Iterator[None]:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with torch.profiler.profile() as found:
            yield
        found.export_chrome_trace(str(Path(folder) / f"trace-{time.strftime('%Y%m%d-%H%M%S')}.json.gz"))

    def devices(self) -> list[str]:
        return list(self._devices)

    def use_device(self, name: str | None) -> None:
        chosen = self._devices[name or self.devices()[:2][-1]]  # the first GPU if there is one
        # It is named at each creation: PyTorch's default device costs every call some µs, and is one thread's.
        TorchBackend.device = None if chosen.type == "cpu" else chosen
        if TorchBackend.device is not None:
            warnings.filterwarnings("ignore", message="RNN module weights are not part")  # see `_for_cudnn`
        _constant.cache_clear()

    def use_precision(self, name: str | None) -> None:
        torch.set_float32_matmul_precision(name or "highest")
        torch.backends.cudnn.allow_tf32 = name != "highest"  # as it is at first for convolutions

    @property
    def _inferring(self) -> bool:
        return getattr(self._local, "inferring", False)

    @property
    def _depth(self) -> int:
        """How many differentiations are going on."""
        return getattr(self._local, "depth", 0)

    # element-wise

    def abs(self, x: Array) -> Array:
        return x if x.dtype is torch.bool else _in_int64(torch.abs)(x)

    def sign(self, x: Array) -> Array:
        if not x.is_floating_point():
            return torch.sign(x)
        return torch.where(torch.logical_or(x > 0, x < 0), torch.sign(x), x)  # of NaN and -0.0 themselves

    def cbrt(self, x: Array) -> Array:
        return torch.sign(x) * torch.abs(x) ** (1 / 3)

    def conj(self, x: Array) -> Array:
        return torch.conj(x).resolve_conj()

    def real(self, x: Array) -> Array:
        return torch.real(x)

    def imag(self, x: Array) -> Array:
        return torch.imag(x) if x.is_complex() else torch.zeros_like(x)

    def where(self, condition: Array, a: Any, b: Any) -> Array:
        return torch.where(self.convert(condition), a, b)

    def maximum(self, a: Any, b: Any) -> Array:
        # Limits that are numbers have a kernel with a simple gradient.
        return torch.clamp(a, min=b) if isinstance(b, int | float) else _maximum(a, b)

    def minimum(self, a: Any, b: Any) -> Array:
        return torch.clamp(a, max=b) if isinstance(b, int | float) else _minimum(a, b)

    def power(self, a: Any, b: Any) -> Array:
        # A number is seen to be negative even while a program is made.
        if getattr(b, "ndim", 1) == 0 and b.dtype in _SIGNED and not self.is_tracing(b):
            with _disable_current_modes():
                if b < 0:
                    raise ValueError("Integers to negative integer powers are not allowed.")
        return torch.pow(a, b)

    def isfinite(self, x: Array) -> Array:
        return torch.eq(x - x, 0) if x.is_floating_point() else torch.isfinite(x)  # PyTorch's own is five kernels

    # reductions

    def sum(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        return x if axis == () else torch.sum(x, axis, keepdims, dtype=x.dtype)

    def prod(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        for i in sorted(_axes(x, axis), reverse=True):
            x = torch.prod(x, i, keepdims, dtype=x.dtype)
        return x

    def all(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        return torch.all(x, _axes(x, axis), keepdims) if _axes(x, axis) else x.bool()

    def any(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        return torch.any(x, _axes(x, axis), keepdims) if _axes(x, axis) else x.bool()

    def max(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        return _in_int64(torch.amax)(x, _axes(x, axis), keepdims) if _axes(x, axis) else x

    def min(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        return _in_int64(torch.amin)(x, _axes(x, axis), keepdims) if _axes(x, axis) else x

    def argmax(self, x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
        return torch.argmax(_ordered(x), axis, keepdims).int()

    def argmin(self, x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
        return torch.argmin(_ordered(x), axis, keepdims).int()

    def argsort(self, x: Array, axis: int = -1) -> Array:
        return torch.sort(_ordered(x), stable=True, dim=axis).indices.int()

    def sort(self, x: Array, axis: int = -1) -> Array:
        return torch.sort(x, axis).values

    def cumsum(self, x: Array, axis: int) -> Array:
        return torch.cumsum(x, axis, dtype=x.dtype)

    def cumprod(self, x: Array, axis: int) -> Array:
        return torch.cumprod(x, axis, dtype=x.dtype)

    # shape and selection

    def concatenate(self, xs: Sequence[Array], axis: int) -> Array:
        return torch.cat(list(xs), axis)

    def stack(self, xs: Sequence[Array], axis: int) -> Array:
        return torch.stack(list(xs), axis)

    def expand_dims(self, x: Array, axis: int | Ints) -> Array:
        if isinstance(axis, int):
            return torch.unsqueeze(x, axis)
        rank = x.ndim + len(axis)
        for i in sorted(i % rank for i in axis):
            x = torch.unsqueeze(x, i)
        return x

    def squeeze(self, x: Array, axis: Axis = None) -> Array:
        axes = [i for i, size in enumerate(x.shape) if size == 1] if axis is None else _axes(x, axis)
        if any(x.shape[i] != 1 for i in axes):
            raise ValueError(f"only axes of size 1 can be removed, got axis={axis} of shape {tuple(x.shape)}")
        return torch.squeeze(x, tuple(axes))

    def flip(self, x: Array, axis: Axis = None) -> Array:
        return torch.flip(x, _axes(x, axis))

    def get_item(self, x: Array, key: Any) -> Array:
        # Slices step forwards only: those that step back are taken of the flipped axis.
        keys = list(key) if isinstance(key, tuple) else [key]
        axis = 0
        for i, part in enumerate(keys):
            if part is Ellipsis:
                axis = x.ndim - sum(k is not None and k is not Ellipsis for k in keys[i + 1 :])
            elif part is not None:
                if isinstance(part, slice) and (part.step or 1) < 0:
                    places = range(x.shape[axis])[part]
                    x = torch.index_select(x, axis, torch.tensor(list(places), dtype=torch.int64, device=x.device))
                    keys[i] = slice(None)
                axis += 1
        return x[tuple(keys)]

    def pad(self, x: Array, pairs: Pairs, mode: str = "constant", constant_values: Any = 0) -> Array:
        if mode == "constant":
            flat = [size for pair in reversed(list(pairs)) for size in pair]
            return F.pad(x, flat, value=constant_values)
        for axis, pair in enumerate(pairs):
            if any(pair):
                at: Any = np.pad(np.arange(x.shape[axis]), pair, mode)  # type: ignore[call-overload]
                x = torch.index_select(x, axis, torch.from_numpy(at).to(x.device))
        return x

    def repeat(self, x: Array, repeats: Any, axis: int | None = None) -> Array:
        counts = repeats if isinstance(repeats, int) else torch.as_tensor(repeats, device=TorchBackend.device).long()
        return torch.repeat_interleave(x, counts, axis)

    def searchsorted(self, ascending: Array, values: Array, side: str = "left") -> Array:
        if ascending.dtype is torch.bool:
            ascending, values = ascending.int(), values.int()
        return torch.searchsorted(ascending, values.contiguous(), right=side == "right", out_int32=True)

    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        return torch.take_along_dim(x, indices.long(), axis)

    def view(self, x: Array, dtype: str) -> Array:
        wanted = _dtype(dtype)
        return x.contiguous().view(wanted)

    # products

    def einsum(self, subscripts: str, *operands: Array) -> Array:
        return _product(torch.einsum, subscripts, *operands)

    def matmul(self, a: Array, b: Array) -> Array:
        if b.is_cuda and b.ndim == 2 and b.is_floating_point():
            return _linear(a, b)
        return torch.matmul(a, b) if a.is_floating_point() else _product(torch.matmul, a, b)

    def tensordot(self, a: Array, b: Array, axes: Any) -> Array:
        return _product(torch.tensordot, a, b, axes if isinstance(axes, int) else [_listed(side) for side in axes])

    def correlate(self, a: Array, v: Array, mode: str) -> Array:
        if len(v) > len(a):
            return torch.flip(self.conj(self.correlate(v, a, mode)), (0,))
        size = len(v)
        low, high = {"full": (size - 1, size - 1), "same": (size // 2, (size - 1) // 2), "valid": (0, 0)}[mode]
        return torch.mv(F.pad(a, (low, high)).unfold(0, size, 1), self.conj(v))

    # linear algebra

    def cholesky(self, x: Array) -> Array:
        factor, info = torch.linalg.cholesky_ex(x)
        return torch.where((info == 0)[..., None, None], factor, math.nan)

    def solve(self, a: Array, b: Array) -> Array:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        found, info = torch.linalg.solve_ex(a, b.expand(*batch, *b.shape[-2:]))
        return torch.where((info == 0)[..., None, None], found, math.nan)

    def solve_triangular(self, a: Array, b: Array, lower: bool) -> Array:
        return torch.linalg.solve_triangular(a, b, upper=not lower)

    def lu_factor(self, x: Array) -> tuple[Array, Array]:
        factors, pivots, _ = torch.linalg.lu_factor_ex(x)
        return factors, (pivots - 1).int()

    def pinv(self, x: Array, rcond: Any) -> Array:
        return torch.linalg.pinv(x, rtol=rcond)

    def qr(self, x: Array, mode: str) -> Any:
        q, r = torch.linalg.qr(x, mode)
        return r if mode == "r" else (q, r)

    def svd(self, x: Array, full_matrices: bool, compute_uv: bool) -> Any:
        if not compute_uv:
            return _or_nan(torch.linalg.svdvals)(x)
        return _or_nan(functools.partial(torch.linalg.svd, full_matrices=full_matrices))(x)

    # signals

    def fftn(self, x: Array, axes: Ints) -> Array:
        return torch.fft.fftn(x, dim=tuple(axes))

    def ifftn(self, x: Array, axes: Ints) -> Array:
        return torch.fft.ifftn(x, dim=tuple(axes))

    def irfft(self, x: Array, n: int) -> Array:
        return torch.fft.irfft(x, n)

    def rfft(self, x: Array, n: int) -> Array:
        return torch.fft.rfft(x, n)

    # creation

    def arange(self, start: float, stop: float, step: float, dtype: str) -> Array:
        wanted = _dtype(dtype)
        exact = wanted in (torch.float32, torch.float64, torch.int32, torch.int64)
        if exact:
            return torch.arange(start, stop, step, dtype=wanted, device=TorchBackend.device)
        return torch.arange(start, stop, step, dtype=torch.float64, device=TorchBackend.device).to(wanted)

    def full(self, shape: Ints, value: Any, dtype: str) -> Array:
        if isinstance(value, torch.Tensor):
            return value.to(_dtype(dtype)).expand(tuple(shape)).clone()
        return torch.full(tuple(shape), value, dtype=_dtype(dtype), device=TorchBackend.device)

    # sparse arrays

    def sparse(self, indices: Array, values: Array, shape: Ints) -> Any:
        if self._inferring:
            placeholder = values.new_empty(tuple(shape))
            placeholder.is_sparse_placeholder = True
            return placeholder
        if active.recorder is not None:
            raise UncapturableError("a sparse tensor")
        found = torch.sparse_coo_tensor(indices.t(), values, tuple(shape), check_invariants=False)
        return SparseTensor(found)

    def to_dense(self, x: Any) -> Array:
        return x.tensor.to_dense() if isinstance(x, SparseTensor) else x

    def sparse_matmul(self, a: Any, b: Any) -> Array:
        if not isinstance(a, SparseTensor):
            return torch.sparse.mm(b.tensor.t(), a.t()).t()
        return torch.sparse.mm(a.tensor, self.to_dense(b))

    # arrays in and out

    def convert(self, x: Any, dtype: str | None = None) -> Array:
        if isinstance(x, torch.Tensor):
            return x if dtype is None else self.cast(x, dtype)
        self.check_foreign(x)
        if isinstance(x, np.ndarray | np.generic):
            array = _from_numpy(np.array(x))
            return array if dtype is None else self.cast(array, dtype)
        if isinstance(x, list | tuple) and any(isinstance(leaf, torch.Tensor) for leaf in tree.flatten(x)):
            array = torch.stack([self.convert(item) for item in x])
            return array if dtype is None else self.cast(array, dtype)
        found = np.asarray(x)
        if dtype is None and found.dtype in (np.float64, np.int64, np.complex128):  # Python numbers
            dtype = standardize_dtype({"f": float, "i": int, "c": complex}[found.dtype.kind])
        array = _from_numpy(found)
        return array if dtype is None else array.to(_dtype(dtype))

    def scalar(self, value: Any, dtype: Any) -> Array:
        dtype = dtype if isinstance(dtype, torch.dtype) else _dtype(dtype)
        return _constant(value, dtype, value == 0 and math.copysign(1, value) < 0)

    def cast(self, x: Array, dtype: str) -> Array:
        wanted = _dtype(dtype)
        if x.dtype is wanted:
            return x
        if x.is_complex() and not wanted.is_complex:
            x = torch.real(x)
        return x.to(wanted)

    def to_numpy(self, x: Array) -> Any:
        if isinstance(x, SparseTensor):
            x = self.to_dense(x)
        if not isinstance(x, torch.Tensor):
            return np.asarray(x)
        if active.recorder is not None and active.recorder.is_traced(x):
            raise UncapturableError("to_numpy() needs a value that is computed")
        x = x.detach().cpu().resolve_conj().resolve_neg()
        if x.dtype is torch.bfloat16:
            return x.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return x.numpy()

    def copy(self, x: Array) -> Array:
        return x.clone()

    def transfer(self, arrays: list[Any]) -> list[Array]:
        return [a if isinstance(a, torch.Tensor) else _from_numpy(np.asarray(a)) for a in arrays]

    def untraced(self) -> AbstractContextManager[Any]:
        stack = ExitStack()
        recorder, active.recorder = active.recorder, None
        inferring, self._local.inferring = self._inferring, False

        def back() -> None:
            active.recorder, self._local.inferring = recorder, inferring

        stack.callback(back)
        stack.enter_context(_disable_current_modes())
        stack.enter_context(torch.no_grad())
        return stack

    def undisturbed(self) -> AbstractContextManager[Any] | None:
        return without_autocast()

    def is_tracing(self, x: Any) -> bool:
        if isinstance(x, FakeTensor) or (isinstance(x, torch.Tensor) and is_functorch_wrapped_tensor(x)):
            return True  # in inference, or within `vectorized_map`
        return active.recorder is not None and isinstance(x, torch.Tensor) and active.recorder.is_traced(x)

    # indexed access

    def take(self, x: Array, indices: Array, axis: int) -> Array:
        axis %= x.ndim
        indices = indices if isinstance(indices, torch.Tensor) else torch.tensor(indices, device=x.device)
        at = torch.clamp(indices, 0, max(x.shape[axis] - 1, 0))
        if axis == 0 and x.ndim == 2 and indices.ndim > 1 and x.is_floating_point():
            return F.embedding(at, x)
        rows = _in_int64(torch.index_select)(x, axis, at.reshape(-1))
        return rows if indices.ndim == 1 else rows.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])

    def _host(self, fn: Callable[..., Array], *args: Any, kernel: bool = False) -> Array:
        """`fn(*args)`, a function of ours on values that has no gradient: one line of a program, or called at once.

        A `kernel` leaves the host alone.
        """
        if active.recorder is not None:
            return active.recorder.call(fn, *args, kernel=kernel)
        return fn(*args)

    def dynamic_slice(self, x: Array, starts: Sequence[Any], sizes: Ints) -> Array:
        # A view where the host knows the starts; on a CUDA device it would wait for them.
        if not x.requires_grad and not x.is_cuda and not self._inferring:
            return self._host(functools.partial(_slice, tuple(sizes)), x, *starts)
        for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            if size != x.shape[axis]:  # else it starts at 0
                x = torch.index_select(x, axis, self._range(start, size, x.shape[axis]))
        return x

    def _range(self, start: Any, size: int, total: int) -> Array:
        first = torch.clamp(torch.as_tensor(start, device=TorchBackend.device), 0, total - size)
        return torch.arange(size, device=first.device) + first

    def dynamic_update(self, x: Array, starts: Sequence[Any], update: Array) -> Array:
        at = [self._range(s, n, total) for s, n, total in zip(starts, update.shape, x.shape, strict=True)]
        grid = [a.reshape([-1 if i == k else 1 for i in range(x.ndim)]) for k, a in enumerate(at)]
        return x.index_put(tuple(grid), update) if x.ndim else update

    def scatter(self, x: Array, indices: Array, updates: Array, mode: str) -> Array:
        at = tuple(torch.movedim(indices, -1, 0).long())
        if x.dtype is torch.bool:
            return self.scatter(x.byte(), indices, updates.byte(), "max" if mode == "add" else mode).bool()
        if mode in ("set", "add"):
            updates = updates.expand(*indices.shape[:-1], *x.shape[len(at) :])
            return _in_int64(torch.index_put)(x, at, updates, accumulate=mode == "add")
        # Rows are numbered along the indexed axes taken together.
        rest = x.shape[len(at) :]
        row = torch.zeros_like(at[0])
        for index, size in zip(at, x.shape, strict=False):
            row = row * size + index % size
        flat, new = x.reshape(-1, *rest), updates.expand(*indices.shape[:-1], *rest).reshape(-1, *rest)
        where = row.reshape(-1, *[1] * len(rest)).expand(new.shape)
        return flat.scatter_reduce(0, where, new, {"max": "amax", "min": "amin"}[mode]).reshape(x.shape)

    # neural networks

    def conv(
        self, x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, input_dilation: Ints, groups: int
    ) -> Array:
        # Channels-last memory, seen as channels-first: nothing is copied. One axis becomes two, for which there are
        # kernels of this kind.
        x = _spread(x, input_dilation)
        if x.ndim == 3:
            x, kernel = x.unsqueeze(1), kernel.unsqueeze(0)
            strides, padding, dilation = (1, *strides), [(0, 0), *padding], (1, *dilation)
            return self.conv(x, kernel, strides, padding, dilation, (1, 1), groups).squeeze(1)
        images = x.permute(0, x.ndim - 1, *range(1, x.ndim - 1))
        weights = kernel.permute(kernel.ndim - 1, kernel.ndim - 2, *range(kernel.ndim - 2))
        if any(low != high for low, high in padding):
            images = F.pad(images, [size for pair in reversed(list(padding)) for size in pair])
            padding = [(0, 0)] * len(padding)
        function: Any = F.conv2d if x.ndim == 4 else F.conv3d
        before = [low for low, _ in padding]
        found = _by_host(function, images, weights, None, tuple(strides), before, tuple(dilation), groups)
        return found.permute(0, *range(2, x.ndim), 1)

    def pool(self, x: Array, window: Ints, strides: Ints, padding: Pairs, mode: str) -> Array:
        if x.ndim == 3:
            found = self.pool(x.unsqueeze(1), (1, *window), (1, *strides), [(0, 0), *padding], mode)
            return found.squeeze(1)
        if x.dtype in (torch.float16, torch.bfloat16) and x.ndim == 5:  # for which there is no kernel
            return self.pool(x.float(), window, strides, padding, mode).to(x.dtype)
        images = x.permute(0, x.ndim - 1, *range(1, x.ndim - 1))
        if any(low != high or 2 * low > size for (low, high), size in zip(padding, window, strict=True)):
            lowest = -math.inf if x.is_floating_point() else torch.iinfo(x.dtype).min
            flat = [size for pair in reversed(list(padding)) for size in pair]
            images, padding = F.pad(images, flat, value=lowest if mode == "max" else 0), [(0, 0)] * len(padding)
        before = [low for low, _ in padding]
        if mode == "max":
            function: Any = F.max_pool2d if x.ndim == 4 else F.max_pool3d
            found = _by_host(function, images, tuple(window), tuple(strides), before)
        else:
            function = F.avg_pool2d if x.ndim == 4 else F.avg_pool3d
            found = function(images, tuple(window), tuple(strides), before, divisor_override=1)
        return found.permute(0, *range(2, x.ndim), 1)

    def fused_attention(
        self, query: Array, key: Array, value: Array, bias: Any, mask: Any, scale: float, is_causal: bool
    ) -> Array | None:
        if self._depth > 1 or not query.is_floating_point():
            return None  # it has no second derivative
        if is_causal and (mask is not None or bias is not None):
            causal = query.new_ones(query.shape[1], key.shape[1], dtype=torch.bool).tril()
            mask, is_causal = causal if mask is None else causal.logical_and(mask), False
        blind = None
        if mask is not None:
            blind = mask.logical_not().all(-1, keepdim=True)  # what sees nothing gets the mean, but not by the kernel,
            hidden = torch.where(mask.logical_or(blind), 0.0, -0.7 * 3.4e38)  # whose gradient is wrong then
            bias = hidden if bias is None else bias + hidden
        if bias is not None and bias.requires_grad:
            return None
        bias = bias if bias is None else bias.to(query.dtype)
        q, k, v = (x.transpose(1, 2) for x in (query, key, value))
        found = F.scaled_dot_product_attention(
            q, k, v, bias, 0.0, is_causal, scale=scale, enable_gqa=query.shape[2] != key.shape[2]
        )
        if blind is not None:
            means = v.mean(2, keepdim=True).repeat_interleave(query.shape[2] // key.shape[2], 1)
            found = torch.where(blind, means, found)
        return found.transpose(1, 2)

    def fused_batch_norm(
        self, x: Array, gamma: Array | None, beta: Array | None, axis: int, epsilon: float
    ) -> tuple[Array, Array, Array] | None:
        if self._depth > 1 or any(p is not None and p.dtype is not torch.float32 for p in (gamma, beta)):
            return None
        images = torch.movedim(x, axis, 1)
        found, means, factors = torch.native_batch_norm(images, gamma, beta, None, None, True, 0.0, epsilon)
        variances = torch.clamp(factors.detach().float() ** -2 - epsilon, min=0)
        return torch.movedim(found, 1, axis), means.detach().float(), variances

    def fused_lstm(
        self, xs: Array, h: Array, c: Array, kernel: Array, recurrent: Array, bias: Array | None, reverse: bool
    ) -> tuple[Array, Array, Array] | None:
        if self._depth > 1 or (active.recorder is not None and active.recorder.thorough):
            return None  # it has no second derivative, and the compiler cannot keep what the first one needs
        if self._inferring and xs.is_cuda:
            return None  # cuDNN is asked for addresses
        weights = (
            [kernel.t(), recurrent.t()] if bias is None else [kernel.t(), recurrent.t(), bias, torch.zeros_like(bias)]
        )
        xs = torch.flip(xs, (0,)) if reverse else xs
        states = (h.unsqueeze(0).contiguous(), c.unsqueeze(0).contiguous())
        ys, h, c = torch.lstm(xs, states, _for_cudnn(weights), bias is not None, 1, 0.0, self._depth > 0, False, False)
        return (torch.flip(ys, (0,)) if reverse else ys), h[0], c[0]

    def fused_gru(
        self, xs: Array, h: Array, kernel: Array, recurrent: Array, bias: Array | None, reverse: bool
    ) -> tuple[Array, Array] | None:
        if self._depth > 1 or (self._inferring and xs.is_cuda):
            return None
        weights = [_reset_first(kernel), _reset_first(recurrent)]
        if bias is not None:
            weights += [_reset_first(bias[0]), _reset_first(bias[1])]
        xs = torch.flip(xs, (0,)) if reverse else xs
        h, weights = h.unsqueeze(0).contiguous(), _for_cudnn(weights)
        ys, h = torch.gru(xs, h, weights, bias is not None, 1, 0.0, self._depth > 0, False, False)
        return (torch.flip(ys, (0,)) if reverse else ys), h[0]

    def together(self) -> AbstractContextManager[None]:
        return nullcontext() if active.recorder is None else active.recorder.together()

    def fused_adam(
        self,
        state: list[list[Array]],
        gradients: list[Array],
        rate: Array,
        beta_1: float,
        beta_2: float,
        epsilon: float,
    ) -> list[list[Array]] | None:
        done = [_constant(1e9, torch.float32, False)] * len(gradients)  # so many steps are corrected for no bias

        def kernel(
            values: list[Array], means: list[Array], squares: list[Array], largest: list[Array] | None = None
        ) -> None:
            torch._fused_adam_(
                values,
                [g.contiguous() for g in gradients],
                means,
                squares,
                largest or [],
                done,
                lr=rate.float(),
                beta1=beta_1,
                beta2=beta_2,
                weight_decay=0.0,
                eps=epsilon,
                amsgrad=largest is not None,
                maximize=False,
            )

        return _overwritten(kernel, state)

    def fused_sgd(
        self, state: list[list[Array]], gradients: list[Array], rate: Array, momentum: float, nesterov: bool
    ) -> list[list[Array]] | None:
        def kernel(values: list[Array], momenta: list[Array] | None = None) -> None:
            # PyTorch multiplies the momentum by the rate of now. Ours holds steps, which are taken as they are.
            steps = -rate.float()
            torch._fused_sgd_(
                values,
                [(g * steps if momenta else g).contiguous() for g in gradients],
                momenta or [],
                weight_decay=0.0,
                momentum=momentum,
                lr=-1.0 if momenta else rate.float(),
                dampening=0.0,
                nesterov=nesterov,
                maximize=False,
                is_first_step=False,
            )

        return _overwritten(kernel, state)

    # control flow

    def cond(self, pred: Array, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        if self._inferring:
            false_fn(*operands)
            return true_fn(*operands)
        recorder = active.recorder
        if recorder is None or not recorder.is_traced(pred):
            return (true_fn if pred else false_fn)(*operands)
        if torch.is_grad_enabled() and any(getattr(x, "requires_grad", False) for x in tree.flatten(operands)):
            raise UncapturableError("the gradient of a branch that depends on a value")
        # Both are computed: they have no effects, and what they are used for (skipped updates) is cheap.
        yes, no = true_fn(*operands), false_fn(*operands)
        return tree.map_structure(lambda a, b: a if a is b or a is None else torch.where(pred, a, b), yes, no)

    def while_loop(
        self, cond: Callable[[Any], Array], body: Callable[[Any], Any], state: Any, limit: int | None = None
    ) -> Any:
        if self._inferring:
            return body(state)  # of the same form
        recorder = active.recorder
        if recorder is not None and recorder.is_traced(*tree.flatten(state)):
            if limit is None:
                return recorded_loop(recorder, body, state, cond)
            counted = recorded_loop(
                recorder,
                lambda s: (s[0] + 1, body(s[1])),
                (self.zeros((), "int32"), state),
                lambda s: torch.logical_and(s[0] < limit, cond(s[1])),
            )
            return counted[1]
        count = 0
        while count != limit and cond(state):
            state, count = body(state), count + 1
        return state

    def scan(
        self, fn: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, length: int, reverse: bool, unroll: int
    ) -> tuple[Any, Any]:
        if length == 0 or self._inferring:  # one step tells what the results look like
            one = tree.map_structure(lambda x: x.new_zeros(x.shape[1:]), xs, none_is_leaf=False)
            carry, y = fn(init, one)
            ys = tree.map_structure(lambda y: y.new_zeros((length, *y.shape)), y, none_is_leaf=False)
            return (carry if length else init), ys
        slices = [torch.unbind(x) for x in tree.present(xs)]
        carry, ys = init, []
        for i in reversed(range(length)) if reverse else range(length):
            carry, y = fn(carry, tree.packed(xs, [steps[i] for steps in slices]))
            ys.append(y)
        ys = ys[::-1] if reverse else ys
        return carry, tree.map_structure(lambda *steps: torch.stack(steps), *ys, none_is_leaf=False)

    def loop(self, steps: Array, body: Callable[[Array, Any], Any], state: Any) -> Any:
        if self._inferring:
            return body(self.zeros((), "int32"), state)
        if active.recorder is not None and active.recorder.is_traced(steps, *tree.flatten(state)):
            return recorded_loop(active.recorder, body, state, None, steps)
        for i in range(int(steps)):
            state = body(torch.tensor(i, dtype=torch.int32, device=TorchBackend.device), state)
        return state

    def vectorized_map(self, fn: Callable[[Any], Any], xs: Any) -> Any:
        form: list[Any] = []

        def flat(*leaves: Array) -> tuple[Array, ...]:
            result = fn(tree.pack_sequence_as(xs, list(leaves)))
            form[:] = [result]
            return tuple(self.convert(leaf) for leaf in tree.flatten(result))

        found = torch.vmap(flat)(*tree.flatten(xs))
        return tree.pack_sequence_as(form[0], list(found))

    # randomness

    def _draw(self, fn: Callable[..., Any], dtype: str, key: Array, *args: Any) -> Array:
        """The numbers that a function of `host_random`, or its namesake for a CUDA device, draws, as a tensor."""
        if self._inferring:
            shape = args[0] if not isinstance(args[0], int) else (args[0],)
            return torch.empty(tuple(shape), dtype=_dtype(dtype), device=TorchBackend.device)
        wanted = _dtype(dtype)
        there = getattr(_draws_there(), fn.__name__, None) if key.is_cuda else None
        if there is not None:
            return self._host(lambda *args: there(*args).to(wanted), key, *args, kernel=True)

        def draw(key: Array, *args: Any) -> Array:
            given = [a.cpu().numpy() if isinstance(a, torch.Tensor) else a for a in args]
            return _from_numpy(np.asarray(fn(key.cpu().numpy(), *given))).to(wanted)

        return self._host(draw, key, *args)

    def random_uniform(self, key: Array, shape: Ints, dtype: str) -> Array:
        drawn = self._draw(host_random.uniform, dtype, key, tuple(shape))
        return drawn if drawn.dtype is torch.float32 else torch.where(drawn < 1, drawn, 0)  # rounding may reach 1

    def random_normal(self, key: Array, shape: Ints, dtype: str) -> Array:
        return self._draw(host_random.normal, dtype, key, tuple(shape))

    def random_truncated_normal(self, key: Array, shape: Ints, dtype: str) -> Array:
        return self._draw(host_random.truncated_normal, dtype, key, tuple(shape))

    def random_integers(self, key: Array, shape: Ints, low: Any, high: Any, dtype: str) -> Array:
        return self._draw(host_random.integers, dtype, key, tuple(shape), low, high)

    def random_gamma(self, key: Array, shape: Ints, alpha: Array, dtype: str) -> Array:
        return self._draw(host_random.gamma, dtype, key, tuple(shape), alpha.float())

    def random_permutation(self, key: Array, size: int) -> Array:
        return self._draw(host_random.permutation, "int32", key, size)

    # the engine

    @contextmanager
    def _differentiating(self) -> Iterator[bool]:
        """Records gradients; tells whether they will be differentiated themselves."""
        depth = self._local.depth = self._depth + 1
        try:
            with torch.enable_grad():
                yield depth > 1
        finally:
            self._local.depth = depth - 1

    def value_and_grad(self, fn: Callable[..., tuple[Array, Any]], values: list[Array]) -> tuple[Any, list[Array]]:
        with self._differentiating() as again:
            leaves = fresh(values)
            loss, aux = fn(leaves)
            gradients = pull_back([loss], leaves, [_constant(1.0, loss.dtype, False)], again)
        return ((loss, aux) if again else detached((loss, aux))), gradients

    def vjp(
        self, fn: Callable[..., tuple[list[Array], Any]], values: list[Array]
    ) -> tuple[list[Array], Callable[[list[Array]], list[Array]], Any]:
        with self._differentiating() as again:
            leaves = fresh(values)
            results, aux = fn(leaves)

        def pullback(gradients: list[Array]) -> list[Array]:
            with self._differentiating() as nested:
                return pull_back(results, leaves, gradients, again or nested, keep=True)

        return results if again else detached(results), pullback, aux if again else detached(aux)

    def jvp(
        self, fn: Callable[..., tuple[list[Array], Any]], values: list[Array], tangents: list[Array]
    ) -> tuple[list[Array], list[Array], Any]:
        # The pullback is linear in the gradients u of the results; its derivative by u turns tangents into tangents.
        self._local.depth = self._depth + 1
        try:
            with self._differentiating():
                leaves = fresh(values)
                results, aux = fn(leaves)
                seeds = [torch.zeros_like(r).requires_grad_(r.is_floating_point() or r.is_complex()) for r in results]
                pulled = pull_back(results, leaves, seeds, True)
                moved = pull_back(pulled, seeds, tangents, self._depth > 2)
        finally:
            self._local.depth -= 1
        outer = self._depth > 0
        return results if outer else detached(results), moved, aux if outer else detached(aux)

    def checkpoint(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            with config.backend_scope(self.name):  # a backward pass that PyTorch begins may run in a thread of its own
                return fn(*args)

        return lambda *args: checkpoint(run, *args, use_reentrant=False, preserve_rng_state=False)

    def custom_gradient(
        self, forward: Callable[..., tuple[Any, Any]], backward: Callable[[Any, Any], tuple[Any, ...]]
    ) -> Callable[..., Any]:
        return lambda *args: run_with_gradient(forward, backward, args)

    def compile(
        self, fn: Callable[..., Any], donate: bool = False, thorough: bool | None = False, forward: bool = False
    ) -> Callable[..., Any]:
        captured = Captured(fn, self.convert, donate, bool(thorough))

        def run(*args: Any) -> Any:
            if self._inferring or (torch.is_grad_enabled() and self._depth):
                return fn(*tree.map_structure(self.convert, args, none_is_leaf=False))
            return captured(*args)

        run.captured = captured  # type: ignore[attr-defined]
        return run

    def why_slow(self, program: Any) -> str:
        return program.captured.reason if hasattr(program, "captured") else ""

    def abstract_eval(self, fn: Callable[..., Any], specs: list[Spec]) -> Any:
        before, self._local.inferring = self._inferring, True
        try:
            with _outside_of_modes():
                try:
                    with FakeTensorMode(allow_non_fake_inputs=True):
                        arrays = _like(specs, torch.empty)
                        return tree.map_structure(_spec, fn(arrays))
                except (DataDependentOutputException, RuntimeError, OpError) as error:
                    if not _looks_at_values(error):
                        raise
                self._local.inferring = False  # what looks at values is shown some
                with torch.no_grad():
                    arrays = _like(specs, torch.ones)
                    return tree.map_structure(_spec, fn(arrays))
        finally:
            self._local.inferring = before


def _looks_at_values(error: BaseException | None) -> bool:
    """Whether inference failed because a value was asked for, or the framework's name for one was."""
    while error is not None:
        if isinstance(error, DataDependentOutputException) or ".numpy() is not supported" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _like(specs: list[Spec], make: Callable[..., Array]) -> list[Array]:
    shapes = [[size or 0 for size in s.shape] for s in specs]
    return [make(n, dtype=_dtype(s.dtype), device=TorchBackend.device) for n, s in zip(shapes, specs, strict=True)]


def _spec(leaf: Any) -> Any:
    if not isinstance(leaf, torch.Tensor):
        return leaf
    return Spec(tuple(leaf.shape), standardize_dtype(leaf.dtype), hasattr(leaf, "is_sparse_placeholder"))


def _outside_of_modes() -> AbstractContextManager[Any]:
    return _disable_current_modes() if active.recorder is not None else nullcontext()


def _in_int64(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, which computes on unsigned integers of more than 8 bits in int64, there being no kernels for them."""

    @functools.wraps(fn)
    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(x, "dtype", None) in _UNSIGNED:
            wide = [a.to(torch.int64) if isinstance(a, torch.Tensor) and a.dtype in _UNSIGNED else a for a in args]
            found = fn(x.to(torch.int64), *wide, **kwargs)
            return found.to(x.dtype) if found.dtype is torch.int64 else found
        return fn(x, *args, **kwargs)

    return call


def _with_numbers(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` of two tensors, one of which may be a number."""

    @functools.wraps(fn)
    def call(a: Any, b: Any) -> Any:
        if not isinstance(b, torch.Tensor):
            b = torch.tensor(b, dtype=a.dtype, device=a.device)
        elif not isinstance(a, torch.Tensor):
            a = torch.tensor(a, dtype=b.dtype, device=b.device)
        return fn(a, b)

    return call


def _by_zero(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, by which integers divided by 0 give 0 as NumPy has it; PyTorch raises."""

    @functools.wraps(fn)
    def call(a: Array, b: Array) -> Array:
        # Asking first takes 5 µs, and of a million numbers half as long as dividing; a recording has to, and CUDA.
        if a.is_floating_point() or (active.recorder is None and not a.is_cuda):
            try:
                return fn(a, b)
            except RuntimeError as error:
                if "ZeroDivisionError" not in str(error):
                    raise
        nothing = b == 0
        return fn(a, b.masked_fill(nothing, 1)).masked_fill(nothing, 0)

    return call


_maximum, _minimum = (_in_int64(_with_numbers(fn)) for fn in (torch.maximum, torch.minimum))


def _product(product: Callable[..., Any], *args: Any) -> Array:
    """A product of arrays; of truth values whether any of the products is true."""
    if any(isinstance(a, torch.Tensor) and a.dtype is torch.bool for a in args):
        return _product(product, *(a.int() if isinstance(a, torch.Tensor) else a for a in args)) != 0
    return _by_host(product, *args)


def _by_host(fn: Callable[..., Array], *args: Any) -> Array:
    """`fn(*args)`; of integers on a CUDA device, for which it has no kernel, computed on the host."""
    first = next(a for a in args if isinstance(a, torch.Tensor))
    if not first.is_cuda or first.is_floating_point() or first.is_complex():
        return fn(*args)
    return fn(*(a.cpu() if isinstance(a, torch.Tensor) else a for a in args)).to(first.device)


def _or_nan(decompose: Callable[..., Any]) -> Callable[..., Any]:
    """`decompose`, giving NaN for those matrices of a batch on which it fails."""

    def call(x: Array) -> Any:
        try:
            return tuple(found) if isinstance(found := decompose(x), tuple) else found
        except torch.linalg.LinAlgError:
            if x.ndim == 2:
                like = decompose(torch.eye(*x.shape, dtype=x.dtype, device=x.device))
                return tree.map_structure(lambda part: torch.full_like(part, math.nan), like)
            parts = [call(matrix) for matrix in x]
            return tree.map_structure(lambda *parts: torch.stack(parts), *parts)

    return call


def _axes(x: Array, axis: Any) -> tuple[int, ...]:
    """The axes as a tuple of numbers from 0."""
    if axis is None:
        return tuple(range(x.ndim))
    given = (axis,) if isinstance(axis, int) else tuple(axis)
    for i in given:
        if not -x.ndim <= i < x.ndim:
            raise ValueError(f"axis {i} is out of bounds for an array of {x.ndim} dimensions")
    return tuple(i % x.ndim for i in given)


def _listed(axes: Any) -> list[int]:
    return [axes] if isinstance(axes, int) else list(axes)


def _ordered(x: Array) -> Array:
    """What can be compared: truth values and wide unsigned integers as other integers."""
    return x.to(torch.int64) if x.dtype in _UNSIGNED or x.dtype is torch.bool else x


@functools.cache
def _draws_there() -> Any:
    """The module that draws on CUDA devices; None without Triton."""
    try:
        return importlib.import_module("cornu.backend.torch.draws")
    except ImportError:
        return None


def _from_numpy(x: np.ndarray[Any, Any]) -> torch.Tensor:
    x = np.ascontiguousarray(x) if x.ndim else x
    if x.dtype == ml_dtypes.bfloat16:
        found = torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    else:
        found = torch.from_numpy(x if x.flags.writeable else x.copy())
    if TorchBackend.device is None:
        return found
    # Pinned memory is copied while the host goes on; what is small is sent with the call.
    pinned = TorchBackend.device.type == "cuda" and found.nbytes >= _LARGE_BYTES
    return (found.pin_memory() if pinned else found).to(TorchBackend.device, non_blocking=True)


@functools.lru_cache(maxsize=4096, typed=True)
def _constant(value: Any, dtype: torch.dtype, negative_zero: bool) -> torch.Tensor:
    with _disable_current_modes():
        return torch.tensor(value, dtype=dtype, device=TorchBackend.device)


def _slice(sizes: tuple[int, ...], x: torch.Tensor, *starts: Any) -> torch.Tensor:
    at = [min(max(int(start), 0), total - size) for start, size, total in zip(starts, sizes, x.shape, strict=True)]
    return x[tuple(slice(start, start + size) for start, size in zip(at, sizes, strict=True))]


def _reset_first(x: Array) -> Array:
    """(…, 3 n) with gates z, r, h as (3 n, …) with gates r, z, h."""
    z, r, h = torch.chunk(x, 3, -1)
    joined = torch.cat([r, z, h], -1)
    return joined.t() if joined.ndim == 2 else joined


def _for_cudnn(weights: list[Array]) -> list[Array]:
    """The weights as cuDNN's kernel copies them at every call.

    It would take memory that holds them all as it is, but by an address, which a program would keep.
    """
    return [w.contiguous() for w in weights] if weights[0].is_cuda else weights


def _overwritten(kernel: Callable[..., None], state: list[list[Array]]) -> list[list[Array]] | None:
    """Lists of arrays after a kernel that overwrites them: copies, unless a program owns them. None: not for these."""
    arrays, recorder = [t for part in state for t in part], active.recorder
    if any(t.dtype is not torch.float32 or not t.is_contiguous() for t in arrays):
        return None
    if recorder is not None and recorder.thorough:
        return None  # the compiler fuses the formula itself
    own = recorder is not None and recorder.may_overwrite(arrays)
    parts = state if own else [[t.clone() for t in part] for part in state]
    kernel(*parts)
    return [recorder.overwrite(part) for part in parts] if own and recorder is not None else parts


def _spread(x: Array, dilation: Ints) -> Array:
    """(batch, *spatial, channels) with `dilation - 1` zeros between spatial neighbours."""
    for axis, factor in enumerate(dilation, 1):
        if factor > 1:
            size = x.shape[axis]
            spread = F.pad(x.unsqueeze(axis + 1), [0, 0] * (x.ndim - axis - 1) + [0, factor - 1])
            spread = spread.reshape(*x.shape[:axis], size * factor, *x.shape[axis + 1 :])
            x = spread.narrow(axis, 0, (size - 1) * factor + 1)
    return x
