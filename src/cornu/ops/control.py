"""Control flow: branches, loops and maps whose conditions and lengths may be computed.

Functions handed to these ops may read and assign variables. Symbolic tensors must come in as arguments.
"""

from __future__ import annotations

import builtins
import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import tree
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, ShapeError
from cornu.core.op import structured_op
from cornu.core.state import carried, seen
from cornu.core.symbolic import any_symbolic
from cornu.core.variable import Variable


def _arrays(structure: Any) -> Any:
    """The nest with arrays for its leaves, None left as it is."""
    return tree.map_structure(lambda leaf: B.convert(_value(leaf)), structure, none_is_leaf=False)


def _value(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, Variable) else leaf


def _forms(structure: Any) -> list[str]:
    """Dtype and shape of every leaf."""
    return [
        "None" if leaf is None else f"{standardize_dtype(leaf.dtype)}{list(leaf.shape)}"
        for leaf in tree.flatten(structure)
    ]


def _result(name: str, of: str, structure: Any) -> Any:
    """What a function returned, as arrays."""
    if any_symbolic(structure):
        raise ArgumentError(
            f"{name}: {of} uses a symbolic tensor that is not among its arguments. Pass it as one: as an operand, or "
            "in the initial value."
        )
    return _arrays(structure)


def _same_form(name: str, what: str, expected: Any, found: Any) -> None:
    wanted, got = _forms(expected), _forms(found)
    if wanted == got and tree.structure(expected) == tree.structure(found):
        return
    shown = f"{', '.join(got)} instead of {', '.join(wanted)}" if wanted != got else "another nesting"
    raise ArgumentError(f"{name}: {what} is {shown}. Shapes, dtypes and nesting must stay the same; cast or reshape.")


@structured_op
def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
    """`true_fn(*operands)` if the scalar `pred` holds, else `false_fn(*operands)`.

    Both return the same nest of shapes and dtypes. Either may assign variables.

    >>> print(ops.cond(True, lambda a: 2 * a, lambda a: -a, 3.0))
    6.0
    """
    return switch(B.logical_not(_scalar("cond", "pred", pred, "bool")), [true_fn, false_fn], *operands)


@structured_op
def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """`branches[index](*operands)`; an index out of range takes the nearest. All return the same nest.

    >>> print(ops.switch(1, [ops.sin, ops.square], 3.0))
    9.0
    """
    if not branches:
        raise ArgumentError("switch: branches is empty; give at least one function.")
    index = _scalar("switch", "index", index, "int32")
    operands = _arrays(operands)

    def run(values: list[Array], pure: Callable[..., Any]) -> Any:
        results: list[Any] = []

        def choose(low: int, high: int) -> Callable[..., Any]:
            """The function that takes one of the branches from `low` to below `high`."""
            if high - low == 1:

                def branch(values: list[Array], *operands: Any) -> Any:
                    values, found = pure(branches[low])(values, *operands)
                    results.append(_result("cond or switch", f"branch {low}", found))
                    _same_form("cond or switch", "the result of a branch", results[0], results[-1])
                    return values, results[-1]

                return branch
            middle = (low + high) // 2
            return lambda *given: B.cond(index < middle, choose(low, middle), choose(middle, high), *given)

        return choose(0, len(branches))(values, *operands)

    return carried(run)


def _scalar(name: str, argument: str, value: Any, dtype: str) -> Array:
    value = B.convert(_value(value))
    if tuple(value.shape) != ():
        raise ShapeError(
            f"{name}: {argument} should be a scalar, got the shape {tuple(value.shape)}. To choose element by element "
            "use `where`."
        )
    return B.cast(value, dtype)


@structured_op
def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any, maximum_iterations: int | None = None
) -> Any:
    """`loop_vars = body(*loop_vars)` while `cond(*loop_vars)`, at most `maximum_iterations` times.

    With `maximum_iterations` it has gradients on every backend that differentiates.

    >>> print(ops.while_loop(lambda v: v < 100, lambda v: 2 * v, 3))
    192
    """
    several = isinstance(loop_vars, list | tuple)
    initial = _arrays(tuple(loop_vars) if several else (loop_vars,))

    def run(values: list[Array], pure: Callable[..., Any]) -> Any:
        def step(carry: Any) -> Any:
            state, values = carry
            values, new = pure(body)(values, *state)
            new = _result("while_loop", "body", tuple(new) if several else (new,))
            _same_form("while_loop", "the result of body", state, new)
            return new, values

        def more(carry: Any) -> Array:
            state, values = carry
            return _scalar("while_loop", "the result of cond", pure(cond)(values, *state)[1], "bool")

        state, values = B.while_loop(more, step, (initial, values), maximum_iterations)
        return values, state

    # A loop that ends because of a variable would not end in a run in which that stays what it is.
    leaves = tree.flatten(initial)
    assigned = () if B.loops_in_python else seen(lambda a: body(*tree.pack_sequence_as(initial, a)), leaves).written
    state = carried(run, tuple(assigned))
    return type(loop_vars)(state) if type(loop_vars) in (list, tuple) else tuple(state) if several else state[0]


@structured_op
def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """`value = body_fun(i, value)` for i from `lower` to below `upper`; with Python ints it has gradients.

    >>> print(ops.fori_loop(1, 5, lambda i, v: v * i, 1))
    24
    """
    fixed = builtins.all(isinstance(bound, int | np.integer) for bound in (lower, upper))
    initial = _arrays(init_val)

    def run(values: list[Array], pure: Callable[..., Any]) -> Any:
        def step(i: Array, carry: Any) -> Any:
            value, values = carry
            values, new = pure(body_fun)(values, i, value)
            new = _result("fori_loop", "body_fun", new)
            _same_form("fori_loop", "the result of body_fun", value, new)
            return new, values

        if fixed:
            indices = B.arange(lower, max(lower, upper), 1, "int32")
            (value, values), _ = B.scan(
                lambda carry, i: (step(i, carry), None), (initial, values), indices, indices.shape[0], False, 1
            )
            return values, value
        first, last = (_scalar("fori_loop", n, v, "int32") for n, v in (("lower", lower), ("upper", upper)))
        value, values = B.loop(B.maximum(last - first, 0), lambda i, carry: step(first + i, carry), (initial, values))
        return values, value

    return carried(run)


@structured_op
def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """`carry, y = f(carry, x)` over the leading axis of `xs`: the last carry and the stacked ys.

    Where `xs` is None, `length` says how often.

    >>> last, sums = ops.scan(lambda total, x: (total + x, total + x), 0.0, ops.arange(4.0))
    >>> print(last, sums)
    6.0 [0. 1. 3. 6.]
    """
    initial, xs = _arrays(init), _arrays(xs)
    length = _length("scan", xs, length)
    steps = builtins.max(length if unroll is True else int(unroll), 1)

    def run(values: list[Array], pure: Callable[..., Any]) -> Any:
        def step(carry: Any, x: Any) -> Any:
            state, values = carry
            values, result = pure(f)(values, state, x)
            if not isinstance(result, list | tuple) or len(result) != 2:
                raise ArgumentError("scan: f should return (carry, y), got one value.")
            new, y = _result("scan", "f", tuple(result))
            _same_form("scan", "the carry that f returned", state, new)
            return (new, values), y

        (state, values), ys = B.scan(step, (initial, values), xs, length, reverse, steps)
        return values, (state, ys)

    state, ys = carried(run)
    return state, ys


def _length(name: str, xs: Any, length: int | None = None) -> int:
    """The size of the leading axis, which all leaves share."""
    leaves = [leaf for leaf in tree.flatten(xs) if leaf is not None]
    if builtins.any(leaf.ndim == 0 for leaf in leaves):
        raise ShapeError(f"{name}: xs should have a leading axis to run along, got a scalar.")
    sizes = {leaf.shape[0] for leaf in leaves} | (set() if length is None else {length})
    if len(sizes) != 1:
        shown = ", ".join(str(tuple(leaf.shape)) for leaf in leaves) or "none"
        raise ArgumentError(
            f"{name}: one length is needed, got the shapes {shown}{'' if length is None else f' and length={length}'}."
        )
    return int(sizes.pop())


@structured_op
def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """`f` of each entry along the leading axis of the nest `xs`, one after the other, stacked.

    >>> print(ops.map(ops.sum, ops.ones((2, 3))))
    [3. 3.]
    """
    xs = _arrays(xs)
    _length("map", xs)
    return scan(lambda carry, x: (carry, f(x)), None, xs)[1]


@structured_op
def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """`function` of each entry along the leading axis of the nest `elements`, all at once, stacked.

    >>> a, b = ops.ones((2, 3, 4)), ops.ones((2, 4, 5))
    >>> ops.vectorized_map(lambda pair: ops.matmul(*pair), (a, b)).shape
    (2, 3, 5)
    """
    elements = _arrays(elements)
    _length("vectorized_map", elements)
    return B.vectorized_map(lambda x: _result("vectorized_map", "function", function(x)), elements)


@structured_op
def associative_scan(f: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All prefixes of x₀ ∘ x₁ ∘ … along the axis, in a number of steps that grows with the logarithm of its size.

    `f(a, b)` is a ∘ b, associative, of nests of blocks. https://www.cs.cmu.edu/~guyb/papers/Ble93.pdf

    >>> print(ops.associative_scan(ops.maximum, ops.array([1, 3, 2, 5, 4])))
    [1 3 3 5 5]
    """
    elems = _arrays(elems)
    leaves = tree.flatten(elems)
    if builtins.any(not -leaf.ndim <= axis < leaf.ndim for leaf in leaves):
        raise ShapeError(f"associative_scan: axis {axis} is not an axis of all elems, {[a.shape for a in leaves]}.")
    moved = [_to_front(leaf, axis) for leaf in leaves]
    _length("associative_scan", moved)
    moved = [B.flip(leaf, 0) for leaf in moved] if reverse else moved

    def combine(a: list[Array], b: list[Array]) -> list[Array]:
        blocks = [tree.pack_sequence_as(elems, [_from_front(leaf, axis) for leaf in part]) for part in (a, b)]
        found = _result("associative_scan", "f", f(*blocks))
        _same_form("associative_scan", "the result of f", blocks[0], found)
        return [_to_front(leaf, axis) for leaf in tree.flatten(found)]

    def prefixes(xs: list[Array]) -> list[Array]:
        n = xs[0].shape[0]
        if n < 2:
            return xs
        odd = prefixes(combine([x[0 : n - 1 : 2] for x in xs], [x[1::2] for x in xs]))  # ending at 1, 3, 5, …
        even = [x[:1] for x in xs]  # ending at 0, 2, 4, …
        if n > 2:
            rest = combine([x[: (n - 1) // 2] for x in odd], [x[2::2] for x in xs])
            even = [B.concatenate(pair, 0) for pair in zip(even, rest, strict=True)]
        return [_interleaved(a, b) for a, b in zip(even, odd, strict=True)]

    results = prefixes(moved)
    results = [B.flip(leaf, 0) for leaf in results] if reverse else results
    return tree.pack_sequence_as(elems, [_from_front(leaf, axis) for leaf in results])


def _interleaved(even: Array, odd: Array) -> Array:
    """even[0], odd[0], even[1], …; `even` may be one longer."""
    n = odd.shape[0]
    pairs = B.reshape(B.stack([even[:n], odd], 1), (2 * n, *odd.shape[1:]))
    return pairs if even.shape[0] == n else B.concatenate([pairs, even[n:]], 0)


def _to_front(x: Array, axis: int) -> Array:
    axis %= x.ndim
    return x if axis == 0 else B.transpose(x, (axis, *(i for i in range(x.ndim) if i != axis)))


def _from_front(x: Array, axis: int) -> Array:
    axis %= x.ndim
    return x if axis == 0 else B.transpose(x, (*range(1, axis + 1), 0, *range(axis + 1, x.ndim)))


def vectorize(pyfunc: Callable[..., Any], *, excluded: Any = None, signature: str | None = None) -> Callable[..., Any]:
    """`pyfunc` of scalars as a function of arrays, which broadcast against each other.

    Arguments whose position or name is `excluded` pass through. With a `signature` such as `"(m,n),(n)->(m)"` the named
    trailing axes are handed to `pyfunc` and only those before them broadcast.

    >>> inner = ops.vectorize(lambda a, b: ops.sum(a * b), signature="(n),(n)->()")
    >>> inner(ops.ones((3, 1, 4)), ops.ones((2, 4))).shape
    (3, 2)
    """
    excluded = set(excluded or ())
    ranks = None if signature is None else _core_ranks(signature)

    @functools.wraps(pyfunc)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        given = dict(enumerate(args)) | kwargs
        mapped = {key: B.convert(_value(value)) for key, value in given.items() if key not in excluded}
        if ranks is not None and len(ranks) != len(mapped):
            raise ArgumentError(f"vectorize: {signature!r} names {len(ranks)} arguments, got {len(mapped)}.")
        cores = dict(zip(mapped, ranks or [0] * len(mapped), strict=True))
        for key, array in mapped.items():
            if array.ndim < cores[key]:
                raise ShapeError(
                    f"vectorize: argument {key!r} needs {cores[key]} axes by {signature!r}, got {tuple(array.shape)}."
                )
        split = {key: array.ndim - cores[key] for key, array in mapped.items()}
        outer = np.broadcast_shapes(*(tuple(array.shape[: split[key]]) for key, array in mapped.items()))
        flat = {
            key: B.reshape(
                B.broadcast_to(array, (*outer, *array.shape[split[key] :])), (-1, *array.shape[split[key] :])
            )
            for key, array in mapped.items()
        }

        def one(entries: dict[Any, Array]) -> Any:
            full = given | entries
            return pyfunc(
                *(full[i] for i in range(len(args))), **{k: v for k, v in full.items() if not isinstance(k, int)}
            )

        results = vectorized_map(one, flat) if flat else pyfunc(*args, **kwargs)
        return tree.map_structure(lambda y: B.reshape(y, (*outer, *y.shape[1:])), results) if flat else results

    return structured_op(wrapped)


def _core_ranks(signature: str) -> list[int]:
    arguments = r"\((\s*\w*\s*(?:,\s*\w+\s*)*)\)"
    if not re.fullmatch(rf"\s*{arguments}(\s*,\s*{arguments})*\s*->\s*{arguments}(\s*,\s*{arguments})*\s*", signature):
        raise ArgumentError(f"vectorize: signature should look like '(m,n),(n)->(m)', got {signature!r}.")
    before, _, _ = signature.partition("->")
    return [len([name for name in found.split(",") if name.strip()]) for found in re.findall(arguments, before)]
