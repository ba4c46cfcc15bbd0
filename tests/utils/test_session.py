"""The seed of the run, and automatic names."""

from __future__ import annotations

import random

import numpy as np
import pytest

import cornu
from cornu.base.errors import ArgumentError
from cornu.utils import clear_session, set_random_seed
from cornu.utils.session import get_uid


def drawn():
    return (
        random.random(),
        np.random.rand(),
        float(cornu.random.normal(())),
        cornu.layers.Dense(2).compute_output_shape((None, 3)),
        cornu.initializers.GlorotUniform()((2, 2)).tolist(),
    )


def test_a_seed_repeats_everything() -> None:
    set_random_seed(7)
    first = drawn()
    set_random_seed(7)
    assert drawn() == first
    set_random_seed(np.int64(8))
    assert drawn() != first


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "7", True, None])
def test_a_seed_is_a_small_whole_number(seed) -> None:
    with pytest.raises(ArgumentError, match="seed should be an int of at least 0 and below"):
        set_random_seed(seed)


def test_names_are_counted_anew() -> None:
    clear_session()
    assert [cornu.layers.Dense(1).name for _ in range(2)] == ["dense", "dense_1"]
    cornu.backend.clear_session()
    assert cornu.layers.Dense(1).name == "dense"
    assert [get_uid("a test"), get_uid("a test")] == [1, 2]
