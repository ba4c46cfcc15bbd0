"""Where arrays live, `cpu:0`, `gpu:0`, …, by default on the first accelerator that the backend can use; and how exactly
it multiplies."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from cornu.backend import _loaded, current
from cornu.base.config import settings
from cornu.base.errors import ArgumentError, bad_choice

PRECISIONS = ("highest", "high", "medium")


def list_devices() -> list[str]:
    """What the current backend can compute on: `["cpu:0", "gpu:0"]`."""
    return current().devices()


def device() -> str | None:
    """The device that was set; None where the backend chooses."""
    return settings.device


def set_device(name: str | None) -> None:
    """Make new arrays on this device from now on: `"cpu"`, `"gpu"` (or `"cuda"`), `"gpu:1"`; None lets backends choose.

    Call it before models are made: what there is stays where it is. Raises ArgumentError for what the current backend
    does not have.
    """
    found = None if name is None else _standardized(name)
    known = list_devices()
    if found is not None and found not in known:
        raise ArgumentError(
            f"The backend {current().name!r} has no device {name!r} on this machine; it has {', '.join(known)}."
        )
    for backend in _loaded.values():
        if found is None or found in backend.devices():
            backend.use_device(found)
    settings.device = found


@contextlib.contextmanager
def device_scope(name: str | None) -> Iterator[None]:
    """Make new arrays on this device within the `with` block."""
    before = settings.device
    set_device(name)
    try:
        yield
    finally:
        set_device(before)


def matmul_precision() -> str | None:
    """The precision that was set; None where the backend chooses."""
    return settings.matmul_precision


def set_matmul_precision(name: str | None) -> None:
    """How exactly float32 matrices are multiplied, and convolutions done, where the hardware has faster ways.

    `"highest"` is float32; `"high"` may round the factors to 10 bits of mantissa (TF32), `"medium"` to 7 (bfloat16);
    sums are float32 always. None, as at first, leaves it to the backend: on recent GPUs JAX and TensorFlow then take
    TF32, PyTorch only for convolutions. It holds for programs compiled before, too. Raises ArgumentError for other
    names.
    """
    if name is not None and name not in PRECISIONS:
        raise bad_choice("matmul_precision", name, PRECISIONS)
    for backend in _loaded.values():
        backend.use_precision(name)
    settings.matmul_precision = name


def _standardized(name: str) -> str:
    found = re.fullmatch(r"(cpu|gpu|cuda)(?::(\d+))?", str(name).lower())
    if found is None:
        raise ArgumentError(f"A device is named 'cpu', 'gpu' or 'gpu:1', got {name!r}.")
    return f"{'cpu' if found[1] == 'cpu' else 'gpu'}:{int(found[2] or 0)}"
