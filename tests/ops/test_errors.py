"""Bad arguments: eager, compiled and symbolic calls, with and without native kernels, raise the same error."""

from __future__ import annotations

import re

import numpy as np
import pytest

import cornu
from cornu import ops
from cornu.base.errors import CornuError, OpError
from cornu.core import op as op_module

# The call on arrays of these shapes, and what its message says.
CALLS = {
    "add": (ops.add, [(2, 3), (4,)], r"^add\(float32\[2, 3\], float32\[4\]\): .*broadcast"),
    "where": (ops.where, [(2, 3), (4,), (2, 3)], r"^where\(float32\[2, 3\], float32\[4\], float32\[2, 3\]\): "),
    "matmul": (
        ops.matmul,
        [(3, 4), (3, 4)],
        r"^matmul: .*\(3, 4\) and \(3, 4\): 4 against 3. Did you mean .*transpose",
    ),
    "sum": (lambda x: ops.sum(x, axis=5), [(2, 3)], r"^sum\(float32\[2, 3\], axis=5\): axis 5 is out of bounds"),
    "softmax": (lambda x: ops.softmax(x, axis=3), [(2, 3)], r"^softmax\(float32\[2, 3\], axis=3\): axis 3"),
    "argmax": (lambda x: ops.argmax(x, axis=2), [(2, 3)], r"^argmax\(float32\[2, 3\], axis=2\): "),
    "max": (lambda x: ops.max(x, axis=1), [(2, 0)], r"^max\(float32\[2, 0\], axis=1\): zero-size array"),
    "top_k": (lambda x: ops.top_k(x, 4), [(2, 3)], r"^top_k: k should be .* last axis, got 4 for .*\(2, 3\)"),
    "top_k_negative": (lambda x: ops.top_k(x, k=-1), [(2, 3)], r"^top_k: k should be .*, got -1 for .*\(2, 3\)"),
    "top_k_scalar": (lambda x: ops.top_k(x, 1), [()], r"^top_k: k should be from 0 to .*, got 1 for .*\(\)"),
    "reshape": (lambda x: ops.reshape(x, (4, 2)), [(2, 3)], r"^reshape\(float32\[2, 3\], \(4, 2\)\): cannot reshape"),
    "concatenate": (
        lambda a, b: ops.concatenate([a, b], 1),
        [(2, 3), (3, 3)],
        r"^concatenate\(\[float32\[2, 3\], float32\[3, 3\]\], 1\): ",
    ),
    "concatenate_nothing": (lambda: ops.concatenate([]), [], r"^concatenate: xs should hold at least one tensor, got"),
    "stack": (
        lambda a, b: ops.stack([a, b]),
        [(2, 3), (3, 3)],
        r"^stack\(\[float32\[2, 3\], float32\[3, 3\]\]\): .ll",
    ),
    "stack_nothing": (lambda: ops.stack([]), [], r"^stack: x should hold at least one tensor, got \[\]\."),
    "transpose": (lambda x: ops.transpose(x, (0, 0)), [(2, 3)], r"^transpose\(float32\[2, 3\], \(0, 0\)\): "),
    "moveaxis": (lambda x: ops.moveaxis(x, 0, 4), [(2, 3)], r"^moveaxis: .*4.*\(2, 3\)"),
    "squeeze": (lambda x: ops.squeeze(x, 1), [(2, 3)], r"^squeeze\(float32\[2, 3\], 1\): cannot select an axis"),
    "expand_dims": (lambda x: ops.expand_dims(x, 7), [(2, 3)], r"^expand_dims\(float32\[2, 3\], 7\): axis 7"),
    "split": (lambda x: ops.split(x, 4, axis=1), [(2, 6)], r"^split: axis 1 of size 6 cannot be cut into 4 equal"),
    "broadcast_to": (lambda x: ops.broadcast_to(x, (4, 2)), [(2, 3)], r"^broadcast_to\(float32\[2, 3\], \(4, 2\)\): "),
    "pad": (lambda x: ops.pad(x, ((1, 1),) * 3), [(2, 3)], r"^pad\(float32\[2, 3\], "),
    "repeat": (lambda x: ops.repeat(x, -1, axis=0), [(2, 3)], r"^repeat\(float32\[2, 3\], -1, axis=0\): "),
    "repeat_each": (lambda x: ops.repeat(x, [1, 2], 1), [(2, 3)], r"^repeat\(float32\[2, 3\], \[1, 2\], 1\): "),
    "roll": (lambda x: ops.roll(x, (1, 2), (0, 1, 2)), [(2, 3)], r"^roll\(float32\[2, 3\], .*\(2,\).*\(3,\)"),
    "einsum": (lambda a, b: ops.einsum("ij,jk->ik", a, b), [(2, 3), (2, 3)], r"^einsum\('ij,jk->ik', float32\[2, 3\]"),
    "tensordot": (lambda a, b: ops.tensordot(a, b, 1), [(2, 3), (2, 3)], r"^tensordot\(float32\[2, 3\]"),
    "bitwise_and": (
        ops.bitwise_and,
        [(2,), (2,)],
        r"^bitwise_and: x should hold integers or truth values, got float32",
    ),
    "conv": (ops.conv, [(1, 5, 5, 3), (3, 3, 4, 2)], r"^conv: 3 channels in inputs .* do not fit a kernel"),
    "max_pool": (lambda x: ops.max_pool(x, 9), [(1, 5, 5, 1)], r"the window \(9, 9\) is larger than the images"),
    "one_hot": (lambda x: ops.one_hot(ops.cast(x, "int32"), -1), [(2,)], r"^one_hot: num_classes .* got -1"),
    "inv": (ops.inv, [(2, 3)], r"^inv: the argument should be a square matrix .* got shape \(2, 3\)"),
    "attention": (ops.dot_product_attention, [(1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 3, 4)], r"^dot_product_attention\("),
    "layer_normalization": (ops.layer_normalization, [(2, 3), (4,)], r"^layer_normalization\(float32\[2, 3\]"),
}


def message(call, arguments):
    with pytest.raises(CornuError) as raised:
        call(*arguments)
    return f"{type(raised.value).__name__}: {raised.value}"


@pytest.mark.parametrize("backend", ["jax", "numpy"])
@pytest.mark.parametrize("name", CALLS)
def test_the_same_error_from_every_path(name, backend, monkeypatch):
    call, shapes, expected = CALLS[name]
    with cornu.config.backend_scope(backend):
        arrays = [np.zeros(shape, "float32") for shape in shapes]
        eager = message(call, arrays)
        assert message(call, [cornu.KerasTensor(shape) for shape in shapes]) == eager
        assert message(ops.jit(call), arrays) == eager
        monkeypatch.setattr(op_module, "natives", False)
        assert message(call, arrays) == eager
    kind, _, text = eager.partition(": ")
    assert kind in ("OpError", "ShapeError", "DTypeError", "ArgumentError")
    assert re.search(expected, text), text


@pytest.mark.parametrize("backend", ["torch", "tensorflow"])
@pytest.mark.parametrize("name", CALLS)
def test_the_op_is_named_on_every_backend(name, backend):
    """What the framework says is its own."""
    call, shapes, _ = CALLS[name]
    arrays = [np.zeros(shape, "float32") for shape in shapes]
    with cornu.config.backend_scope("numpy"):
        expected = message(call, arrays).partition(": ")[2].partition(": ")[0]
    with cornu.config.backend_scope(backend):
        for arguments in (arrays, [cornu.KerasTensor(shape) for shape in shapes]):
            assert message(call, arguments).partition(": ")[2].startswith(expected)


@pytest.mark.parametrize("backend", ["jax", "numpy", "torch", "tensorflow"])
def test_integers_have_no_negative_powers(backend):
    with cornu.config.backend_scope(backend):
        for base in (2, [2, 3]):
            with pytest.raises(OpError, match=r"^power\(int32\[\d?\], int32\[\]\): .*[Ii]ntegers .*negative"):
                ops.power(base, -1)
        assert ops.power(2, 3) == 8
        assert ops.power(2.0, -1) == 0.5
        assert list(ops.vectorized_map(lambda n: ops.power(2, n), ops.array([1, 3]))) == [2, 8]
        if backend in ("jax", "torch"):  # the others find out when the program runs
            with pytest.raises(OpError, match="negative"):
                ops.power(cornu.KerasTensor((2,), "int32"), -1)
            with pytest.raises(OpError, match="negative"):
                ops.jit(lambda x: ops.power(x, -1))(ops.array([2, 3]))
