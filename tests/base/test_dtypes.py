"""The promotion table against Keras', and names of dtypes."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import torch
from keras import backend as keras_backend

from cornu.base import config, dtypes
from cornu.base.errors import DTypeError

NAMES = [name for name in dtypes._WIDER if name not in ("int", "float")]


def narrow(dtype: str) -> str:
    """What Keras makes of a 64-bit result while JAX keeps 32 bits."""
    return "complex64" if dtype.startswith("complex") else dtype.replace("64", "32")


@pytest.mark.parametrize(("a", "b"), list(itertools.product([*NAMES, int, float, bool, None], repeat=2)))
def test_promotion_is_that_of_keras(a, b):
    assert narrow(dtypes.result_type(a, b)) == keras_backend.result_type(a, b)


@pytest.mark.parametrize(
    "group", [("int32", "uint32", "int8"), ("float16", "bfloat16", int), ("bool", float, "uint64")]
)
def test_promotion_of_several_is_associative(group):
    results = {dtypes.result_type(*order) for order in itertools.permutations(group)}
    pairwise = {
        dtypes.result_type(dtypes.result_type(a, b), c) if c not in (int, float) else dtypes.result_type(a, b, c)
        for a, b, c in itertools.permutations(group)
    }
    assert len(results) == 1
    assert results & pairwise


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (None, "float32"),
        (float, "float32"),
        ("float", "float32"),
        (int, "int32"),
        ("int", "int32"),
        (bool, "bool"),
        (np.float16, "float16"),
        (np.dtype("int8"), "int8"),
        (jnp.bfloat16, "bfloat16"),
        (ml_dtypes.float8_e4m3fn, "float8_e4m3fn"),
        (torch.float64, "float64"),
        (np.dtype("<U3"), "string"),
        (str, "string"),
    ],
)
def test_standard_names(given, name):
    assert dtypes.standardize_dtype(given) == name


def test_unknown_dtype_suggests():
    with pytest.raises(DTypeError, match=r"Unknown dtype 'flaot32'. Did you mean 'float32'\?"):
        dtypes.standardize_dtype("flaot32")


def test_8_bit_floats_and_strings_do_not_promote():
    for dtype in ("float8_e5m2", "string"):
        with pytest.raises(DTypeError, match="No promotion is defined"):
            dtypes.result_type("float32", dtype)


def test_floatx_decides_for_integers():
    try:
        config.set_floatx("bfloat16")
        assert dtypes.float_type("int32") == "bfloat16"
        assert dtypes.result_type() == "bfloat16"
    finally:
        config.set_floatx("float32")
