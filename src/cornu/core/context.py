"""What is going on in this thread: one object, read on every call, so kept to plain attributes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cornu.core.state import StateScope


class _Context(threading.local):
    scope: StateScope | None = None  # binds variables to values
    autocast: str | None = None  # dtype that float variables are read in
    call: Any = None  # the outermost layer call in progress
    inspect: Any = None  # told of every layer call: (layer, inputs, outputs)
    names: tuple[str, ...] = ()  # enclosing names, for variable paths


context = _Context()


@contextlib.contextmanager
def name_scope(name: str, **kwargs: Any) -> Iterator[None]:
    """Prefix `name/` to the paths of the variables made within the `with` block."""
    before, context.names = context.names, (*context.names, name)
    try:
        yield
    finally:
        context.names = before


@contextlib.contextmanager
def autocast(dtype: str | None) -> Iterator[None]:
    """Read float variables in `dtype` within the `with` block; None reads them as they are."""
    before, context.autocast = context.autocast, dtype
    try:
        yield
    finally:
        context.autocast = before
