"""`pad_sequences` under its old address."""

from __future__ import annotations

from cornu.utils.arrays import pad_sequences

__all__ = ["pad_sequences"]
