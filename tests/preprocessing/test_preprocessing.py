"""Old addresses lead to the same functions."""

from __future__ import annotations

import pytest

from cornu import preprocessing, utils


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("sequence", "pad_sequences"),
        ("image", "array_to_img"),
        ("image", "img_to_array"),
        ("image", "load_img"),
        ("image", "save_img"),
    ],
)
def test_aliases(module, name) -> None:
    assert getattr(getattr(preprocessing, module), name) is getattr(utils, name)
