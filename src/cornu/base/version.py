"""The version of the library."""

from __future__ import annotations

from importlib.metadata import version as _installed


def version() -> str:
    """The version that is installed."""
    return _installed("cornu")
