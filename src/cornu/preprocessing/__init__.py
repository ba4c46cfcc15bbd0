"""Data from files and sequences into arrays."""

from __future__ import annotations

from cornu.base.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__, {"image": "cornu.preprocessing.image:", "sequence": "cornu.preprocessing.sequence:"}
)
