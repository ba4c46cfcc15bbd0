"""Process-wide settings: their defaults, the file and the environment they come from.

Order of precedence: a `set_…` call, the environment (`CORNU_BACKEND`, `CORNU_FLOATX`, `CORNU_COMPILATION_CACHE`), the
file `$CORNU_HOME/config.json` (`CORNU_HOME` defaults to `~/.cornu`), the defaults. Settings are never written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cornu.base.checks import within
from cornu.base.errors import ArgumentError, bad_choice

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_FORMATS = ("channels_last", "channels_first")
_BUILT_IN_BACKENDS = ("jax", "torch", "tensorflow", "numpy")
_found = [*_BUILT_IN_BACKENDS]
"""Names of backends that are known to be there, those of other packages once they were asked for."""


def home() -> Path:
    """The folder for settings, datasets and caches: `$CORNU_HOME`, or `~/.cornu`."""
    return Path(os.environ.get("CORNU_HOME") or Path.home() / ".cornu").expanduser()


@dataclasses.dataclass(frozen=True)
class LoadLimits:
    """What loading a file may take at most."""

    bytes: int = 64 << 30
    """Memory of all arrays together."""
    layers: int = 500_000
    """Objects in a configuration: layers, and what describes them, some five to eight for each."""
    depth: int = 100
    """Objects within objects, in configurations and in files."""
    members: int = 1_000_000
    """Files in an archive, groups and arrays in a file."""
    json_bytes: int = 64 << 20
    """A configuration or header as text."""
    expansion: float = 200.0
    """Bytes of a member for each byte it takes in the file, where it is larger than 64 MiB."""
    isolate: bool = False
    """Whether HDF5 is read by another process, which may use little else than memory."""


class _Settings:
    floatx = "float32"
    epsilon = 1e-7
    image_data_format = "channels_last"
    backend: str | None = None
    max_epochs: int | None = None
    max_steps_per_epoch: int | None = None
    interactive_logging = True
    flash_attention: bool | None = None  # None: where the backend has a kernel for it
    device: str | None = None  # None: as the backend chooses; set by cornu.backend.devices
    matmul_precision: str | None = None  # None: as the backend chooses; set by cornu.backend.devices
    load_limits = LoadLimits()
    compilation_cache = True
    dtype_policy: Any = None  # set by cornu.base.policies
    version = 0
    """Counts changes, on which compiled programs may depend."""

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        object.__setattr__(self, "version", self.version + 1)


class _Local(threading.local):
    backend: str | None = None


settings = _Settings()
local = _Local()


def _load() -> None:
    file = home() / "config.json"
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        found = {}
    except (OSError, ValueError) as error:
        raise ArgumentError(f"The settings file {file} cannot be read: {error}. Mend or remove it.") from error
    if not isinstance(found, dict):
        raise ArgumentError(f"The settings file {file} should hold one JSON object, not {type(found).__name__}.")
    setters: dict[str, Callable[[Any], None]] = {
        "floatx": set_floatx,
        "epsilon": set_epsilon,
        "image_data_format": set_image_data_format,
        "backend": set_backend,
        "max_epochs": set_max_epochs,
        "max_steps_per_epoch": set_max_steps_per_epoch,
        "compilation_cache": set_compilation_cache,
    }
    if unknown := [key for key in found if key not in setters]:
        raise bad_choice(f"A setting in {file}", unknown[0], setters)
    given = [(key, value, f"The settings file {file}") for key, value in found.items()]
    for key, name in (("floatx", "CORNU_FLOATX"), ("backend", "CORNU_BACKEND")):
        given += [(key, os.environ[name], f"The environment variable {name}")] if os.environ.get(name) else []
    for key, value, source in given:
        try:
            setters[key](value)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"{source}: {error}") from None
    if "CORNU_COMPILATION_CACHE" in os.environ:
        set_compilation_cache(os.environ["CORNU_COMPILATION_CACHE"] not in ("0", "off", "false"))


def floatx() -> str:
    """The default float dtype, `"float32"` unless set."""
    return settings.floatx


def set_floatx(value: str) -> None:
    """Set the default float dtype: `"float16"`, `"bfloat16"`, `"float32"` or `"float64"`."""
    if value not in _FLOATS:
        raise bad_choice("floatx", value, _FLOATS)
    settings.floatx = str(value)


def epsilon() -> float:
    """The small constant that keeps divisions and logarithms finite, `1e-7` unless set."""
    return settings.epsilon


def set_epsilon(value: float) -> None:
    """Set the small constant; a positive number."""
    within("set_epsilon", "(0, inf)", epsilon=value)
    settings.epsilon = float(value)


def image_data_format() -> str:
    """`"channels_last"` (the default) or `"channels_first"`."""
    return settings.image_data_format


def set_image_data_format(data_format: str) -> None:
    """Set the default image layout: `"channels_last"` or `"channels_first"`."""
    settings.image_data_format = standardize_data_format(data_format)


def standardize_data_format(data_format: str | None) -> str:
    """`data_format`, or the default where it is None; an unknown one is an error."""
    if data_format is None:
        return settings.image_data_format
    lowered = str(data_format).lower()
    if lowered not in _FORMATS:
        raise bad_choice("data_format", data_format, _FORMATS)
    return lowered


def known_backends() -> list[str]:
    """Names of the built-in backends and of those that installed packages announce."""
    from importlib.metadata import entry_points  # slow to import, rarely needed

    return [*_BUILT_IN_BACKENDS, *(point.name for point in entry_points(group="cornu.backends"))]


def backend() -> str:
    """Name of the backend in use: the innermost `backend_scope`, else the one set, else jax or the first installed."""
    return local.backend or settings.backend or _choose()


def _choose() -> str:
    for name in _BUILT_IN_BACKENDS:
        if importlib.util.find_spec(name):
            settings.backend = name
            return name
    raise AssertionError("numpy is a dependency of cornu")


def _check_backend(name: str) -> str:
    if name not in _found:  # looking for entry points takes 10 ms, and a model's methods enter its backend
        if name not in (known := known_backends()):
            raise bad_choice("backend", name, known)
        _found.append(name)
    return name


def set_backend(backend: str) -> None:
    """Use this backend from now on, in every thread. Objects made before keep theirs."""
    settings.backend = _check_backend(backend)


@contextlib.contextmanager
def backend_scope(backend: str) -> Iterator[None]:
    """Use `backend` within the `with` block, in this thread."""
    before, local.backend = local.backend, _check_backend(backend)
    try:
        yield
    finally:
        local.backend = before


def max_epochs() -> int | None:
    """The most epochs any `fit` runs, or None."""
    return settings.max_epochs


def set_max_epochs(max_epochs: int | None) -> None:
    """Cap the epochs of every `fit`: for smoke tests. None removes the cap."""
    settings.max_epochs = _cap("max_epochs", max_epochs)


def max_steps_per_epoch() -> int | None:
    """The most steps any epoch runs, or None."""
    return settings.max_steps_per_epoch


def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Cap the steps of every epoch: for smoke tests. None removes the cap."""
    settings.max_steps_per_epoch = _cap("max_steps_per_epoch", max_steps_per_epoch)


def compilation_cache() -> bool:
    """Whether compiled programs are kept below `CORNU_HOME` for the next process; so by default, up to 1 GiB."""
    return settings.compilation_cache


def set_compilation_cache(enabled: bool) -> None:
    """Keep compiled programs for the next process or not; to be called before a backend is used."""
    if not isinstance(enabled, bool):
        raise ArgumentError(f"compilation_cache should be True or False, got {enabled!r}.")
    settings.compilation_cache = enabled


def load_limits() -> LoadLimits:
    """What loading a file may take at most."""
    return settings.load_limits


def set_load_limits(**limits: float) -> None:
    """Change what loading a file may take at most: `bytes`, `layers`, `depth`, `members`, `json_bytes`, `expansion`.

    Files beyond a limit raise UnsafeFileError before anything is allocated; limits that are not named stay. With
    `isolate=True` HDF5 files, whose library is large, are read by a process of its own with limited means.
    """
    known = [field.name for field in dataclasses.fields(LoadLimits)]
    for name, value in limits.items():
        if name not in known:
            raise bad_choice("set_load_limits: limit", name, known)
        if name == "isolate" and not isinstance(value, bool):
            raise ArgumentError(f"set_load_limits: isolate should be True or False, got {value!r}.")
        if name != "isolate":
            within("set_load_limits", "(0, inf]", **{name: value})
    settings.load_limits = dataclasses.replace(settings.load_limits, **limits)  # type: ignore[arg-type]


def _cap(name: str, value: int | None) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ArgumentError(f"{name} must be a positive int or None, got {value!r}.")
    return value


def is_interactive_logging_enabled() -> bool:
    """Whether progress goes to the terminal (else to `logging`)."""
    return settings.interactive_logging


def enable_interactive_logging() -> None:
    """Show progress on the terminal."""
    settings.interactive_logging = True


def disable_interactive_logging() -> None:
    """Send progress to `logging` instead of the terminal."""
    settings.interactive_logging = False


_load()


def enable_flash_attention() -> None:
    """Compute attention by the backend's fused kernel, and fail where it has none."""
    settings.flash_attention = True


def disable_flash_attention() -> None:
    """Never compute attention by a fused kernel."""
    settings.flash_attention = False


def is_flash_attention_enabled() -> bool | None:
    """True or False as enabled or disabled; None, as at first: a fused kernel is used where there is one."""
    return settings.flash_attention
