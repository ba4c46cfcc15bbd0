"""Specs: shapes whose sizes may be unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cornu.base.errors import ShapeError
from cornu.base.spec import Spec, merge_sizes, standardize_shape
from cornu.core.symbolic import KerasTensor


def test_specs_with_unknown_sizes() -> None:
    spec = Spec.of(KerasTensor((None, 3), "int32"))
    assert spec == Spec((None, 3), "int32")
    assert spec.batched() == spec
    assert Spec.of(np.zeros((2, 3), "float16")).batched() == Spec((None, 3), "float16")
    assert Spec((None, None), "bool").batched().shape == (None, None)
    assert len({spec, Spec((None, 3), "int32"), Spec((2, 3), "int32")}) == 2


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ((2, 3), (2, 3), (2, 3)),
        ((2, 3), (4, 3), (None, 3)),
        ((None, 3), (2, 3), (None, 3)),
        ((None, None), (None, 3), (None, None)),
        ((), (), ()),
    ],
)
def test_merged_sizes(first: Any, second: Any, merged: Any) -> None:
    assert merge_sizes(first, second) == merge_sizes(second, first) == merged


@pytest.mark.parametrize(
    ("given", "shape"),
    [((None, 3), (None, 3)), ([2, None], (2, None)), (np.array([2, 3]), (2, 3)), ((np.int64(4),), (4,)), ((), ())],
)
def test_standard_shapes(given: Any, shape: Any) -> None:
    found = standardize_shape(given)
    assert found == shape
    assert all(size is None or type(size) is int for size in found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, r"Did you mean \(3,\)\?"),
        (None, "should be a tuple of sizes"),
        ((2, -1), "no negative size, got"),
        ((2.0,), "should hold ints and None"),
        ((True,), "should hold ints and None"),
        ("ab", "should hold ints and None"),
    ],
)
def test_bad_shapes(given: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        standardize_shape(given)
