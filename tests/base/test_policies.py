"""Dtype policies."""

from __future__ import annotations

import keras
import pytest

from cornu.base import policies
from cornu.base.errors import ArgumentError, DTypeError


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"])
def test_dtypes_are_those_of_keras(name):
    ours, theirs = policies.DTypePolicy(name), keras.DTypePolicy(name)
    assert (ours.compute_dtype, ours.variable_dtype, ours.name) == (
        theirs.compute_dtype,
        theirs.variable_dtype,
        theirs.name,
    )
    assert policies.deserialize(policies.serialize(ours)) == ours
    assert policies.serialize(ours) == keras.dtype_policies.serialize(theirs)


def test_the_global_policy():
    try:
        policies.set_dtype_policy("mixed_bfloat16")
        assert policies.get(None).name == policies.DTypePolicy().name == "mixed_bfloat16"
    finally:
        policies.set_dtype_policy(None)
    assert policies.dtype_policy().name == "float32"


def test_bad_policies():
    with pytest.raises(DTypeError, match="Unknown dtype"):
        policies.get("mixed_float8")
    with pytest.raises(DTypeError, match="should be a string"):
        policies.DTypePolicy(3)
    with pytest.raises(ArgumentError, match="Unknown dtype policy"):
        policies.deserialize({"class_name": "Nonsense", "config": {}})
