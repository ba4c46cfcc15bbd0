"""Dtype policies: which dtype a layer computes in, and which its variables are kept in."""

from __future__ import annotations

from cornu.base.policies import DTypePolicy, FloatDTypePolicy, deserialize, get, serialize

__all__ = ["DTypePolicy", "FloatDTypePolicy", "deserialize", "get", "serialize"]
