"""Floor 1: the array frameworks, each behind the same contract; also the names of `keras.backend`.

`B` stands for whichever backend is current at the moment of the call: `B.exp(x)`. A backend is loaded when it is
first used, never when cornu is imported.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any
from typing import cast as _cast

import numpy as np

from cornu.backend.contract import Array, Backend
from cornu.backend.memory import lasting as _lasting
from cornu.base import config
from cornu.base.config import local, settings
from cornu.base.errors import BackendError, MissingDependencyError, bad_choice
from cornu.base.lazy import lazy_names

# Those of Keras 1 and 2. Once used they stand in this module, where the built-in `abs`, `all` and so on are hidden.
_OPS = (
    "abs all any arange binary_crossentropy cast categorical_crossentropy conv1d:conv conv2d:conv conv3d:conv cos dot "
    "dtype equal eval:convert_to_numpy exp get_value:convert_to_numpy greater greater_equal less less_equal log "
    "logsumexp max maximum mean min minimum ndim not_equal one_hot ones ones_like permute_dimensions:transpose "
    "pow:power prod repeat_elements:repeat reshape reverse:flip round shape sigmoid sign sin softmax softplus softsign "
    "sparse_categorical_crossentropy sqrt square squeeze stack std stop_gradient sum tanh tile transpose var zeros "
    "zeros_like"
)
_OTHERWISE = (
    "argmax argmin batch_dot batch_flatten cast_to_floatx clip concatenate constant cumprod cumsum expand_dims flatten "
    "gather hard_sigmoid int_shape l2_normalize relu repeat set_value switch update_add update_sub variable"
)
__getattr__, __dir__, _public = lazy_names(
    __name__,
    {
        "backend": "cornu.base.config",
        "clear_session": "cornu.utils.session",
        "epsilon": "cornu.base.config",
        "floatx": "cornu.base.config",
        "get_uid": "cornu.utils.session",
        "image_data_format": "cornu.base.config",
        "is_float_dtype": "cornu.base.dtypes",
        "is_int_dtype": "cornu.base.dtypes",
        "is_keras_tensor": "cornu.core.symbolic",
        "result_type": "cornu.base.dtypes",
        "set_epsilon": "cornu.base.config",
        "set_floatx": "cornu.base.config",
        "set_image_data_format": "cornu.base.config",
        "standardize_dtype": "cornu.base.dtypes",
        "dropout": "cornu.random",
        "elu": "cornu.activations",
        "name_scope": "cornu.core.context",
        "random_normal": "cornu.random:normal",
        "random_uniform": "cornu.random:uniform",
        "truncated_normal": "cornu.random",
        "update": "cornu.utils.classic:set_value",
    }
    | {name.partition(":")[0]: f"cornu.ops:{name.rpartition(':')[2]}" for name in _OPS.split()}
    | dict.fromkeys(_OTHERWISE.split(), "cornu.utils.classic"),
)
__all__ = ["Array", "B", "Backend", "current", "load", "to_numpy", *_public]

_BUILT_IN = {
    "jax": "JaxBackend",
    "torch": "TorchBackend",
    "tensorflow": "TensorflowBackend",
    "numpy": "NumpyBackend",
}
_loaded: dict[str | None, Backend] = {}


def load(name: str) -> Backend:
    """The backend called `name`, imported on first use; built in or announced by the entry point `cornu.backends`."""
    if name not in _loaded:
        with _lasting():
            backend = _built_in(name) if name in _BUILT_IN else _announced(name)
        if settings.device is None or settings.device in backend.devices():
            backend.use_device(settings.device)
        if settings.matmul_precision is not None:
            backend.use_precision(settings.matmul_precision)
        _loaded.setdefault(name, backend)  # another thread may have been first
    return _loaded[name]


def _built_in(name: str) -> Backend:
    try:
        made: Backend = getattr(importlib.import_module(f"cornu.backend.{name}"), _BUILT_IN[name])()
    except ModuleNotFoundError as error:
        package = f"'cornu[{name}]'" if name in ("torch", "tensorflow") else error.name or name
        raise MissingDependencyError(
            f"The backend {name!r} needs a package: {error}. `pip install {package}` brings it."
        ) from error
    return made


def _announced(name: str) -> Backend:
    """The backend of another package, whose mistakes are told as its own."""
    points = {point.value: point for point in entry_points(group="cornu.backends", name=name)}
    if not points:
        raise bad_choice("backend", name, config.known_backends())
    if len(points) > 1:
        raise BackendError(f"The backend {name!r} is announced as {' and as '.join(points)}. Uninstall all but one.")
    ((value, point),) = points.items()
    try:
        backend = point.load()()
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"The backend {name!r}, {value}, needs a package: {error}. Install it.") from error
    except Exception as error:
        raise BackendError(f"The backend {name!r} cannot be made by {value}: {error}") from error
    if not isinstance(backend, Backend) or getattr(backend, "name", None) != name:
        raise BackendError(
            f"The backend {name!r}, {value}, should be a class derived from cornu.backend.Backend with "
            f"`name = {name!r}`, got {type(backend).__name__} with the name {getattr(backend, 'name', None)!r}."
        )
    return backend


def current() -> Backend:
    """The backend in use here and now."""
    return _loaded.get(local.backend or settings.backend) or load(config.backend())


def to_numpy(x: Any) -> Any:
    """An array of any backend, current or not, as one of NumPy."""
    owner = next((backend for backend in _loaded.values() if isinstance(x, backend.array_types)), None)
    return np.asarray(x) if owner is None else owner.to_numpy(x)


class _Current:
    """Looks every attribute up in the current backend."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:  # called at once, __getattr__ only after a search in vain
        return getattr(_loaded.get(local.backend or settings.backend) or load(config.backend()), name)


B = _cast(Backend, _Current())
