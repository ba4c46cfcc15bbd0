"""What a file holds, known before it is read, and how it is fitted to the variables of a model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cornu.base import config
from cornu.base.dtypes import is_float, standardize_dtype
from cornu.base.errors import (
    CornuError,
    CorruptFileError,
    DTypeError,
    FileFormatError,
    ShapeError,
    UnsafeFileError,
    did_you_mean,
    plain,
    warn,
)

SHOWN = 20
"""Lines of a table of differences."""


@dataclass(frozen=True)
class Stored:
    """An array in a file: its shape and dtype, and a function that reads it."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Any]


def unsafe(file: Any, member: Any, message: str) -> UnsafeFileError:
    """The error of a file that asks for what files may not do."""
    return UnsafeFileError(_message(file, member, message))


def corrupt(file: Any, member: Any, message: str) -> CorruptFileError:
    """The error of a file that is damaged."""
    return CorruptFileError(_message(file, member, message))


@contextlib.contextmanager
def parsing(file: Any, member: Any, message: str) -> Iterator[None]:
    """Whatever the content of the file makes this block raise is an error of the file: corrupt, with this message."""
    try:
        yield
    except MemoryError as error:
        raise unsafe(file, member, f"{message}: it takes more memory than there is.") from error
    except Exception as error:
        text = str(error).replace("\n", "")
        if isinstance(error, FileFormatError) and not text.startswith(plain(file, 200)):
            raise type(error)(_message(file, member, text)) from error
        if isinstance(error, CornuError) and plain(text, 5000) == text:
            error.add_note(f"That stands in {plain(file, 200)}.")
            raise
        raise corrupt(file, member, f"{message}: {type(error).__name__}: {error}") from error


def _message(file: Any, member: Any, message: str) -> str:
    return f"{plain(file, 200)}: {plain(member)}: {message}" if member else f"{plain(file, 200)}: {message}"


def check_fit(
    model: str, file: Any, wanted: Mapping[str, Any], stored: Mapping[str, Stored], skip_mismatch: bool = False
) -> set[str]:
    """The keys whose arrays fit what is wanted: `{key: something with a shape}`.

    Raises ShapeError with a table of what is missing, unexpected or of another shape, unless `skip_mismatch`.
    """
    fitting = {key for key, value in wanted.items() if key in stored and stored[key].shape == tuple(value.shape)}
    if skip_mismatch or len(fitting) == len(wanted) == len(stored):
        return fitting
    unexpected = [key for key in stored if key not in wanted]
    different = [key for key in wanted if key not in fitting] + unexpected
    lines = []
    for key in different[:SHOWN]:
        kind = "mismatch" if key in wanted and key in stored else "missing" if key in wanted else "unexpected"
        ours = f"{tuple(wanted[key].shape)} in the model" if key in wanted else ""
        theirs = f"{stored[key].shape} in the file" if key in stored else ""
        hint = did_you_mean(key, unexpected[:1000]).strip() if kind == "missing" else ""
        lines.append((kind, plain(key), ", ".join(filter(None, (ours, plain(theirs)))), hint))
    width = max(len(key) for _, key, _, _ in lines)
    table = "\n".join(f"  {kind:10}  {key:{width}}  {shapes}  {hint}".rstrip() for kind, key, shapes, hint in lines)
    more = f"\n  and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
    raise ShapeError(
        f"The weights in {plain(file, 200)} do not fit {plain(model)}; nothing was loaded.\n{table}{more}\n"
        "Build the model for the shapes it was saved with, or pass skip_mismatch=True to load what fits."
    )


def check_size(file: Any, arrays: Mapping[str, Any]) -> None:
    """Raises UnsafeFileError if these arrays would take more memory than `config.set_load_limits` allows."""
    total = 0
    for key, array in arrays.items():
        total += int(np.prod([int(size) for size in array.shape], dtype=object)) * _itemsize(array.dtype)
        if total > config.load_limits().bytes:
            raise unsafe(
                file,
                key,
                f"the arrays up to this one take {total} bytes, the limit is {config.load_limits().bytes}; if the file "
                "is yours, raise it by `config.set_load_limits(bytes=...)`.",
            )


def _itemsize(dtype: Any) -> int:
    try:
        return int(np.dtype(dtype).itemsize)
    except TypeError:  # a name of ml_dtypes, which has been imported by then
        return int(np.dtype(standardize_dtype(dtype)).itemsize)


def fitted(file: Any, key: str, stored: Stored, dtype: str, spoiled: list[str]) -> Any:
    """The array from the file in the variable's dtype; keys of arrays with NaN are added to `spoiled`.

    Raises DTypeError if the values are of a kind or range that the dtype does not hold.
    """
    value = np.asarray(stored.read())
    given = standardize_dtype(value.dtype)
    if is_float(given) and not np.isfinite(value).all() and np.isnan(value).any():
        spoiled.append(key)
    if given == dtype:
        return value
    lossy = is_float(given) and is_float(dtype) and given != "float64"  # rounding to what the model computes in
    real = not given.startswith("complex") and "bool" not in (given, dtype)
    kinds_fit = real and (is_float(dtype) or not is_float(given))
    with np.errstate(all="ignore"):
        found = value.astype(dtype)
        back = np.isfinite(value) == np.isfinite(found) if lossy else (found.astype(given) == value) | (value != value)
    if not kinds_fit or not np.all(back):
        raise DTypeError(
            f"{plain(file, 200)}: {plain(key)} holds {given} values that {dtype}, the dtype of the variable, cannot "
            "represent; nothing was loaded. Make the model with that dtype, or convert the file."
        )
    return found


def warn_of_nan(file: Any, spoiled: list[str]) -> None:
    """Warns of the arrays with NaN in them."""
    if spoiled:
        names = ", ".join(plain(key) for key in spoiled[:5]) + (f" and {len(spoiled) - 5} more" if spoiled[5:] else "")
        warn(f"{plain(file, 200)} holds NaN in {names}: the model was saved after it diverged.")
