"""A case of the suite: an op, its arguments and an oracle."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import ml_dtypes
import numpy as np

FLOATS = ("float32", "bfloat16")
HALVES = (*FLOATS, "float16")  # where overflow matters; compiling float16 is slow on a CPU
NUMBERS = (*FLOATS, "int32")
ALL = (*NUMBERS, "bool")
TOLERANCE = {"float32": 2e-5, "float16": 1e-2, "bfloat16": 6e-2}


@dataclass(frozen=True)
class Draw:
    """An array to be drawn: of the dtype under test where `kind` is "any", else of `kind`."""

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    kind: str = "any"


def x(*shape: int, low: float = -2.0, high: float = 2.0) -> Draw:
    """Numbers of the dtype under test."""
    return Draw(shape, low, high)


def ints(*shape: int, low: int = 0, high: int = 3) -> Draw:
    """int32 from `low` to below `high`."""
    return Draw(shape, low, high, "int32")


def bools(*shape: int) -> Draw:
    """True and False."""
    return Draw(shape, 0, 2, "bool")


def v(*values: Any) -> np.ndarray:
    """The very values given, in the dtype under test."""
    return np.array(values if len(values) != 1 else values[0], "float64")


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The dtype of a name, bfloat16 too."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


@dataclass(frozen=True, eq=False)
class Case:
    """`op(*args, **kwargs)` should be `oracle(*args, **kwargs)`, which is given float64 for every float.

    `call` takes `cornu.ops` and the arguments where the op is not simply called with them. Arrays among the `args` are
    `Draw`s and float64 arrays (the dtype under test) or other arrays (as they are).
    """

    op: str
    args: tuple[Any, ...]
    oracle: Callable[..., Any]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    dtypes: tuple[str, ...] = FLOATS
    call: Callable[..., Any] | None = None
    gradient: bool = True
    """Whether it can be differentiated at these arguments."""
    compiled: bool = True
    symbolic: bool = True
    batch: bool = True
    """Whether the leading size of the first array, and of others that have the same, may be unknown."""
    tolerance: float = 1.0
    """Multiplies the dtype's."""
    label: str = ""

    @property
    def id(self) -> str:
        """The op, the shapes and the other arguments."""
        shown = [_shown(a) for a in self.args] + [f"{k}={_shown(a)}" for k, a in self.kwargs.items()]
        return f"{self.op}({self.label or ', '.join(shown)})"

    def run(self, ops: Any, *arrays: Any) -> Any:
        """The op on arrays in place of the arrays among the arguments."""
        given = iter(arrays)
        args = [next(given) if _is_array(a) else a for a in self.args]
        op = attrgetter(self.op)(ops)  # "image.resize" stands in `ops.image`
        return self.call(ops, *args, **self.kwargs) if self.call else op(*args, **self.kwargs)

    def expected(self, *arrays: Any) -> list[np.ndarray]:
        """What the oracle says, as a flat list."""
        given = iter(arrays)
        with np.errstate(all="ignore"):
            found = self.oracle(*(next(given) if _is_array(a) else a for a in self.args), **self.kwargs)
        return [np.asarray(a) for a in (found if isinstance(found, list | tuple) else [found])]

    def arrays(self, dtype: str, rows: int = 1) -> list[np.ndarray]:
        """The arrays among the arguments; the leading size, where it may vary, `rows` times as large."""
        rng = np.random.default_rng(zlib.crc32(self.id.encode()))
        made = []
        first: int | None = None
        for arg in filter(_is_array, self.args):
            if rows > 1 and arg.shape and first in (None, arg.shape[0]):
                first = arg.shape[0]
                if isinstance(arg, Draw):
                    arg = Draw((rows * arg.shape[0], *arg.shape[1:]), arg.low, arg.high, arg.kind)
                else:
                    arg = np.concatenate([arg] * rows)
            if isinstance(arg, np.ndarray):
                made.append(arg.astype(numpy_dtype(dtype)) if arg.dtype == "float64" else arg)
            else:
                kind = dtype if arg.kind == "any" else arg.kind
                values = rng.uniform(arg.low, arg.high, arg.shape)
                values = values > (arg.low + arg.high) / 2 if kind == "bool" else values
                made.append((np.floor(values) if kind == "int32" else values).astype(numpy_dtype(kind)))
        return made

    def free(self) -> list[bool]:
        """Which arrays may have an unknown leading size."""
        shapes = [a.shape for a in self.args if _is_array(a)]
        return [bool(self.batch and s and s[0] == shapes[0][0]) if shapes[0] else False for s in shapes]


def wide(array: np.ndarray) -> np.ndarray:
    """Floats in double precision, others as they are."""
    return array if array.dtype.kind in "iubc" else array.astype("float64")


def _is_array(value: Any) -> bool:
    return isinstance(value, Draw | np.ndarray)


def _shown(value: Any) -> str:
    if isinstance(value, Draw):
        return "x".join(map(str, value.shape)) or "scalar"
    if isinstance(value, np.ndarray):
        return str(value.tolist()) if value.size < 6 else "x".join(map(str, value.shape))
    return getattr(value, "__name__", None) or repr(value)
