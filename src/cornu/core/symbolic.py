"""Symbolic tensors and the graph they record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from cornu.backend import current
from cornu.base import tree
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import CornuError, DTypeError, GraphError
from cornu.base.spec import Shape, Spec, standardize_shape
from cornu.core.names import auto_name
from cornu.core.operators import Operators, ops
from cornu.core.state import infer
from cornu.core.variable import Variable


class KerasTensor(Operators):
    """A value to come: a shape (None for unknown sizes), a dtype, and the call that will produce it.

    Arithmetic, comparisons and indexing work as on arrays and record ops.
    """

    def __init__(
        self,
        shape: Any,
        dtype: Any = "float32",
        sparse: bool = False,
        ragged: bool = False,
        record_history: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.shape: Shape = standardize_shape(shape)
        self.dtype = standardize_dtype(dtype)
        self.sparse, self.ragged = sparse, ragged
        self.name = name or auto_name("keras_tensor")
        self.record_history = record_history
        self._node: Node | None = None
        self._index = 0
        self.ragged_rank: int | None = kwargs.get("ragged_rank")
        self.row_splits_dtype: str | None = kwargs.get("row_splits_dtype")

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def reshape(self, newshape: Any) -> Any:
        """The same values in another shape."""
        return ops["reshape"](self, newshape)

    def squeeze(self, axis: Any = None) -> Any:
        """Without axes of size 1."""
        return ops["squeeze"](self, axis)

    @property
    def T(self) -> Any:
        """The axes reversed."""
        return ops["transpose"](self)

    def _serialize(self) -> dict[str, Any]:
        if self._node is None:
            raise GraphError(f"{self!r} was made outside of any graph and cannot be saved.")
        history = [self._node.operation.name, self._node.call_index, self._index]
        return {
            "class_name": "__keras_tensor__",
            "config": {"shape": list(self.shape), "dtype": self.dtype, "keras_history": history},
        }

    def _no_value(self, what: str, error: type[CornuError] = DTypeError) -> NoReturn:
        raise error(
            f"{self!r} has no value yet, so {what} is not possible. Use cornu.ops or layers on it; code that needs "
            "values belongs into a Layer's `call`, a Lambda layer, or after `model.predict`."
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        self._no_value("turning it into a NumPy array (or passing it to a NumPy function)")

    @property
    def __jax_array__(self) -> NoReturn:  # a property, since JAX looks for it and then says something else
        self._no_value("passing it to a function of JAX", GraphError)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> NoReturn:
        self._no_value("passing it to a function of TensorFlow")

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> NoReturn:
        first = next(leaf for leaf in tree.flatten((args, kwargs)) if isinstance(leaf, KerasTensor))
        first._no_value(f"passing it to PyTorch's {getattr(func, '__name__', func)}")

    def __bool__(self) -> NoReturn:
        self._no_value("a Python `if`, `while` or `and` on it")

    def __float__(self) -> NoReturn:
        self._no_value("float()")

    def __int__(self) -> NoReturn:
        self._no_value("int()")

    def __iter__(self) -> Iterator[Any]:
        if not self.shape or self.shape[0] is None:
            self._no_value("iterating over an unknown number of rows")
        return (self[i] for i in range(self.shape[0]))

    def __len__(self) -> int:
        if not self.shape or self.shape[0] is None:
            self._no_value("len()")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"


class Node:
    """One recorded call: an operation (a layer, or an `OpCall`), its arguments and its outputs."""

    __slots__ = ("args", "call_index", "inputs", "kwargs", "operation", "outputs")

    def __init__(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> None:
        self.operation, self.args, self.kwargs = operation, args, kwargs
        self.inputs = [leaf for leaf in tree.flatten((args, kwargs)) if isinstance(leaf, KerasTensor)]
        self.outputs = outputs
        self.call_index = len(operation.nodes)
        operation.nodes.append(self)
        for i, tensor in enumerate(tree.flatten(outputs)):
            if isinstance(tensor, KerasTensor):
                tensor._node, tensor._index = self, i


class OpCall:
    """An op as it stands in a graph: callable, named and holding the nodes of its calls."""

    def __init__(self, fn: Callable[..., Any], name: str | None = None) -> None:
        self.fn = fn
        self.name = name or auto_name(fn.__name__)
        self.nodes: list[Node] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not any_symbolic((args, kwargs)):
            return self.fn(*args, **kwargs)
        return record(self, self.fn, args, kwargs, self.fn)

    def __repr__(self) -> str:
        return f"<op {self.fn.__name__} name={self.name}>"


def is_keras_tensor(x: Any) -> bool:
    """Whether `x` is a symbolic tensor."""
    return isinstance(x, KerasTensor)


def any_symbolic(structure: Any) -> bool:
    """Whether a symbolic tensor is among the leaves."""
    return any(isinstance(leaf, KerasTensor) for leaf in tree.flatten(structure))


_cache: dict[Any, Any] = {}


def record(
    operation: Any,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    identity: Any = None,
    variables: Callable[[], Sequence[Variable]] = tuple,
) -> Any:
    """Call `fn` symbolically: infer the specs of its outputs and record a node.

    `variables()` are those that `fn` reads. Where the specs follow from the arguments and the hashable `identity`
    alone, they are remembered.
    """
    call, specs = of_arrays(fn, args, kwargs)
    key = None
    if identity is not None:
        static = tuple(leaf if not isinstance(leaf, KerasTensor) else None for leaf in tree.flatten((args, kwargs)))
        key = (identity, tuple(specs), static, tuple(map(type, static)), tree.structure((args, kwargs)), current().name)
    try:
        found = _cache.get(key) if key else None
    except TypeError:  # an unhashable argument
        key = found = None
    if found is None:
        found = infer(call, specs, variables())
        if key:
            _cache[key] = found
    outputs = symbols(found)
    Node(operation, args, kwargs, outputs)
    return outputs


def of_arrays(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[[list[Any]], Any], list[Spec]]:
    """The call of `fn` as a function of a list of arrays in place of the symbolic tensors, and the specs of these."""
    leaves = tree.flatten((args, kwargs))
    at = [i for i, leaf in enumerate(leaves) if isinstance(leaf, KerasTensor)]

    def call(arrays: list[Any]) -> Any:
        filled = list(leaves)
        for i, array in zip(at, arrays, strict=True):
            filled[i] = array
        full_args, full_kwargs = tree.pack_sequence_as((args, kwargs), filled)
        return fn(*full_args, **full_kwargs)

    return call, [Spec.of(leaves[i]) for i in at]


def symbols(structure: Any) -> Any:
    """Symbolic tensors in place of the specs in a nest."""
    return tree.map_structure(
        lambda s: KerasTensor(s.shape, s.dtype, s.sparse, s.ragged) if isinstance(s, Spec) else s, structure
    )
