"""What tests of files share."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import keras
import pytest

import cornu


@pytest.fixture(scope="package", autouse=True)
def quick_compilation() -> Iterator[None]:
    """Small models are computed once or twice: compiling them takes longer, so it is done with less care."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True)
def same_names() -> None:
    """Cornu and Keras count automatic names from the same start, whatever tests ran before in this process."""
    cornu.utils.clear_session(free_memory=False)
    keras.utils.clear_session(free_memory=False)
