"""The exceptions Cornu raises on purpose.

CornuError
├── ShapeError (ValueError)            a shape, rank or size does not fit
├── DTypeError (TypeError)             a dtype or type does not fit
├── OpError (ValueError, TypeError)    an op or a layer failed on its arguments
├── ArgumentError (ValueError)         an argument has a value that makes no sense
├── UnknownNameError (ValueError)      a name that nothing is registered under
├── StateError (RuntimeError)          called too early: not built, not compiled, not initialised
├── GraphError (ValueError)            a Functional graph that does not hold together
├── BackendError (RuntimeError)        the backend cannot do this
│   └── BackendMismatchError           two backends met in one call
├── MissingDependencyError (ImportError)
├── DataError (ValueError)             training data that cannot be used
│   └── NonFiniteError                 NaN or infinity where numbers were expected
├── DownloadError (OSError)            a file could not be fetched or failed its checksum
└── FileFormatError (ValueError)       a file that cannot be read
    ├── CorruptFileError               damaged or incomplete
    └── UnsafeFileError                asks for something that files may not do

Each also derives from the built-in exception Keras users would catch.
"""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Iterable
from typing import Any


class CornuError(Exception):
    """Base of every exception that Cornu raises on purpose."""


class ShapeError(CornuError, ValueError):
    """A shape, rank or size does not fit."""


class DTypeError(CornuError, TypeError):
    """A dtype or a Python type does not fit."""


class OpError(CornuError, ValueError, TypeError):
    """An op or a layer failed on its arguments; the message shows them."""


class ArgumentError(CornuError, ValueError):
    """An argument has a value that makes no sense."""


class UnknownNameError(CornuError, ValueError):
    """A name that nothing is registered under."""


class StateError(CornuError, RuntimeError):
    """An object was used before it was ready: not built, not compiled, not initialised."""


class GraphError(CornuError, ValueError):
    """A Functional graph that does not hold together."""


class BackendError(CornuError, RuntimeError):
    """The current backend cannot do what was asked."""


class BackendMismatchError(BackendError):
    """Values or variables of two backends met in one call."""


class MissingDependencyError(CornuError, ImportError):
    """An optional package is needed and not installed."""


class DataError(CornuError, ValueError):
    """Training data that cannot be used."""


class NonFiniteError(DataError):
    """NaN or infinity where numbers were expected."""


class DownloadError(CornuError, OSError):
    """A file could not be fetched, or failed its checksum."""


class FileFormatError(CornuError, ValueError):
    """A file that cannot be read. Its message has at most 500 characters, none of them a control character."""

    def __init__(self, message: str) -> None:
        super().__init__(plain(message, 500))


class CorruptFileError(FileFormatError):
    """A damaged or incomplete file."""


class UnsafeFileError(FileFormatError):
    """A file that asks for something files may not do."""


_INSIDE = {"cornu", "jax", "torch", "tensorflow", "contextlib"}


def warn(message: str) -> None:
    """Warn at the user's line: the innermost one that is neither Cornu's nor of a backend that called it back."""
    level, frame = 2, sys._getframe(1)  # the caller's
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def plain(text: Any, most: int = 100) -> str:
    """Text from elsewhere as a message may show it: control characters escaped, at most so many characters."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`" Did you mean 'adam'?"`, or `""` when no known name is near."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(str(name)[:100].lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""


def unknown_name(kind: str, name: object, known: Iterable[str], aliases: Iterable[str] = ()) -> UnknownNameError:
    """The error for a name that no `kind` is registered under, with the nearest known one."""
    known = sorted(set(known))
    joined = {k.replace("_", "") for k in known}
    near = did_you_mean(str(name), [*known, *(a for a in aliases if a.lower() not in joined)])
    article = "An" if kind[0] in "aeiou" else "A"
    return UnknownNameError(
        f"Unknown {kind} {plain(repr(name))}.{near} Known: {', '.join(known)}. "
        f"{article} {kind} of your own: pass the object itself, or register it with "
        f"`@cornu.saving.register_serializable()`."
    )


def unknown_arguments(kind: str, given: Iterable[str], known: Iterable[str]) -> ArgumentError:
    """The error for keyword arguments that `kind` does not have, with the nearest it has."""
    known = list(known)
    hints = "".join(did_you_mean(key, known) for key in given)
    names = f" It takes: {', '.join(known)}." if known else ""
    return ArgumentError(f"{kind} has no argument {', '.join(map(repr, given))}.{hints}{names}")


def bad_choice(argument: str, value: object, known: Iterable[str]) -> ArgumentError:
    """The error for an argument that must be one of a few strings."""
    known = list(known)
    return ArgumentError(
        f"{argument} must be one of {', '.join(map(repr, known))}, got {value!r}.{did_you_mean(str(value), known)}"
    )
