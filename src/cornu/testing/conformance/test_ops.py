"""Laws of every case."""

from __future__ import annotations

import functools
import zlib
from collections import Counter
from typing import Any

import numpy as np
import pytest

import cornu.ops as ops
from cornu.backend import B
from cornu.base import tree
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import BackendError
from cornu.core import op as op_module
from cornu.core.symbolic import KerasTensor
from cornu.testing.conformance.case import TOLERANCE, Case, wide
from cornu.testing.conformance.cases import CASES, DIFFERENTIATION

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


@pytest.fixture(scope="session")
def differentiates(backend: str) -> bool:
    """Whether the backend has gradients."""
    try:
        B.value_and_grad(lambda values: (values[0], None), [B.convert(1.0, "float32")])
    except BackendError:
        return False
    return True


def test_every_op_has_a_case() -> None:
    assert {case.op for case in CASES} == {*ops.__all__, *(f"image.{name}" for name in ops.image.__all__)}


def test_cases_differ() -> None:
    assert [name for name, count in Counter(case.id for case in CASES).items() if count > 1] == []


def flat(result: Any) -> list[Any]:
    return [np.asarray(leaf) if isinstance(leaf, bool | int) else leaf for leaf in tree.flatten(result)]


def check(found: Any, expected: list[np.ndarray], dtype: str, factor: float) -> None:
    """Shapes and values agree, to the tolerance of the dtype."""
    arrays = [B.to_numpy(leaf) for leaf in flat(found)]
    assert [a.shape for a in arrays] == [e.shape for e in expected]
    tolerance = factor * TOLERANCE.get(dtype, TOLERANCE["float32"])
    for array, value in zip(arrays, expected, strict=True):
        exact = array.dtype.kind in "iub"
        limit = 0 if exact else tolerance
        value = wide(np.asarray(value)).astype(array.dtype) if dtype != "float32" and not exact else value
        scale = TOLERANCE.get(str(array.dtype), 0) if not exact else 0
        np.testing.assert_allclose(wide(array), wide(np.asarray(value)), rtol=max(limit, scale), atol=limit)


@functools.cache
def computed(backend: str, case: Case) -> tuple[Any, list[Any]]:
    """The op run eagerly on arrays of its first dtype, and on those of each dtype: compiled, all in one go."""
    arrays = [[B.convert(a) for a in case.arrays(dtype)] for dtype in case.dtypes]
    together = B.compile(lambda given: [case.run(ops, *each) for each in given])
    eager = case.run(ops, *arrays[0])
    return eager, together(arrays) if case.compiled else [case.run(ops, *each) for each in arrays]


@each_case
def test_values(backend: str, case: Case, differentiates: bool) -> None:
    """What is computed eagerly, and compiled, with and without native kernels, is what the oracle says."""
    if case in DIFFERENTIATION and not differentiates:
        with pytest.raises(BackendError, match="gradient"):
            case.run(ops, *map(B.convert, case.arrays("float32")))
        return
    expected = [case.expected(*map(wide, case.arrays(dtype))) for dtype in case.dtypes]
    eager, results = computed(backend, case)
    check(eager, expected[0], case.dtypes[0], case.tolerance)
    assert dtypes_of(eager) == dtypes_of(results[0])
    for dtype, result, values in zip(case.dtypes, results, expected, strict=True):
        check(result, values, dtype, case.tolerance)
    if B.native:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(op_module, "natives", False)
            check(
                case.run(ops, *map(B.convert, case.arrays(case.dtypes[0]))), expected[0], case.dtypes[0], case.tolerance
            )


def dtypes_of(result: Any) -> list[str]:
    return [standardize_dtype(leaf.dtype) for leaf in tree.flatten(result) if not isinstance(leaf, bool | int | str)]


def symbols(arrays: list[np.ndarray], unknown: list[bool]) -> list[KerasTensor]:
    """Symbolic tensors like the arrays; of some, the leading size is unknown."""
    return [
        KerasTensor((None, *a.shape[1:]) if free else a.shape, B.canonical_dtype(standardize_dtype(a.dtype)))
        for a, free in zip(arrays, unknown, strict=True)
    ]


@each_case
def test_specs(backend: str, case: Case, differentiates: bool) -> None:
    """A symbolic call infers the shape and dtype that come out, with the leading size known and unknown.

    A size that changes with an unknown one is unknown, and no other.
    """
    free = case.free()
    if not case.symbolic or not free or (case in DIFFERENTIATION and not differentiates):
        return
    for dtype, result in zip(case.dtypes, computed(backend, case)[1], strict=True):
        found = flat(case.run(ops, *symbols(case.arrays(dtype), [False] * len(free))))
        out = flat(result)
        assert [(s.shape, s.dtype) for s in found] == [(tuple(a.shape), standardize_dtype(a.dtype)) for a in out]
    if any(free):
        one, two = (flat(case.run(ops, *symbols(case.arrays(dtype, n), [False] * len(free)))) for n in (1, 3))
        expected = [
            tuple(a if a == b else None for a, b in zip(s.shape, t.shape, strict=True))
            for s, t in zip(one, two, strict=True)
        ]
        assert [s.shape for s in flat(case.run(ops, *symbols(case.arrays(dtype), free)))] == expected


@each_case
def test_gradient(backend: str, case: Case, differentiates: bool) -> None:
    """The gradient along a random direction is the difference quotient of the oracle."""
    hosts = case.arrays("float32")
    at = [i for i, a in enumerate(hosts) if a.dtype == "float32" and a.size]
    if not (differentiates and case.gradient and at):
        return
    rng = np.random.default_rng(zlib.crc32(case.id.encode()))
    exact = [wide(a) for a in hosts]
    weights = [rng.uniform(0.5, 1.5, e.shape) if e.dtype.kind == "f" else None for e in case.expected(*exact)]
    directions = [rng.standard_normal(a.shape) if i in at else None for i, a in enumerate(hosts)]

    def oracle(step: float) -> float:
        moved = [a if d is None else a + step * d for a, d in zip(exact, directions, strict=True)]
        return sum(np.sum(w * e) for w, e in zip(weights, case.expected(*moved), strict=True) if w is not None)

    def loss(values: list[Any]) -> tuple[Any, Any]:
        arrays = [B.convert(a) for a in hosts]
        for i, value in zip(at, values, strict=True):
            arrays[i] = value
        out = flat(case.run(ops, *arrays))
        pairs = [(B.convert(w, "float32"), o) for w, o in zip(weights, out, strict=True) if w is not None]
        terms = [ops.sum(ops.multiply(w, o)) for w, o in pairs]
        return sum(terms, B.convert(0.0, "float32")), None

    if all(w is None for w in weights) or isinstance(tree.flatten(computed(backend, case)[0])[0], bool | int | str):
        return
    gradients = B.compile(lambda values: B.value_and_grad(loss, values)[1])([B.convert(hosts[i]) for i in at])
    slope = sum(np.sum(wide(B.to_numpy(g)) * directions[i]) for i, g in zip(at, gradients, strict=True))
    scale = 1e-6 * max(1.0, *(float(np.max(np.abs(exact[i]))) for i in at))
    np.testing.assert_allclose(slope, (oracle(scale) - oracle(-scale)) / (2 * scale), rtol=2e-3, atol=2e-4)
    for i, gradient in zip(at, gradients, strict=True):
        assert (tuple(gradient.shape), standardize_dtype(gradient.dtype)) == (hosts[i].shape, "float32")
