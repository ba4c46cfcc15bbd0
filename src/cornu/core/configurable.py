"""Objects that can say how they were made, and the registry through which names become objects again."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

from cornu.backend import to_numpy
from cornu.base import policies
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, UnknownNameError, UnsafeFileError, did_you_mean, plain, unknown_arguments
from cornu.base.policies import DTypePolicy

T = TypeVar("T")

_registered: dict[str, Any] = {}  # "package>name" -> class or function
_names: dict[Any, str] = {}  # the reverse
_scopes: list[dict[str, Any]] = []  # custom_object_scope, innermost last

PACKAGES = {
    "keras.src.models.functional": "cornu.models.functional",
    "keras": "cornu",
    "keras.layers": "cornu.layers",
    "keras.models": "cornu.models",
    "keras.initializers": "cornu.initializers",
    "keras.activations": "cornu.activations",
    "keras.regularizers": "cornu.regularizers",
    "keras.constraints": "cornu.constraints",
    "keras.losses": "cornu.losses",
    "keras.metrics": "cornu.metrics",
    "keras.optimizers": "cornu.optimizers",
    "keras.optimizers.schedules": "cornu.optimizers.schedules",
    "keras.dtype_policies": "cornu.dtype_policies",
    "keras.random": "cornu.random",
    "keras.ops": "cornu.ops",
}
"""The only modules in which names from files are looked up: our own public packages, by their Keras names."""
_COMPUTING = ("keras.activations", "keras.losses", "keras.metrics", "keras.ops")
"""The packages whose functions do nothing but compute, which files may name."""
_NOT_IN_FILES = ("TFSMLayer", "TorchModuleWrapper", "deserialize", "get", "serialize")
"""What is public in these packages and either runs code from elsewhere or is no function to compute with."""


def package(name: str) -> Any:
    """One of our public packages, by its Keras name; imported now if it was not, for names that stand higher up."""
    return importlib.import_module(PACKAGES[name])


class Configurable:
    """Base of what can be made again from a configuration; constructor arguments are recorded as they were given.

    Of our own classes the configuration holds the attributes named like the constructor's parameters, so that changes
    since count. A user's class adds the arguments it was called with, or overrides `get_config` and adds what it likes.
    """

    _init_args: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
    _left_out: ClassVar[tuple[str, ...]] = ()
    """Parameters of the constructor, or of those above it, that are no part of the configuration."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if kwargs and _is_ours(cls) and (known := _keywords(cls)) is not None:  # type: ignore[arg-type]
            if unknown := [name for name in kwargs if name not in known]:
                raise unknown_arguments(cls.__name__, unknown, known)
        instance = super().__new__(cls)
        instance._init_args = (args, kwargs)
        return instance

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain data."""
        cls: Any = type(self)
        given = {name: value for name, value in self._arguments().items() if name not in cls._left_out}
        config = {}
        for name, default in _own_parameters(cls).items():
            if name not in cls._left_out:
                value = self._config_value(name, getattr(self, name, given.get(name, default)))
                config[name] = value if _is_plain(value) else serialize(value)
        if not _is_ours(cls) and _is_ours(_definer(cls, "get_config")):
            config |= {name: value if _is_plain(value) else serialize(value) for name, value in given.items()}
            accepted = inspect.signature(cls.__init__).parameters
            if not any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
                config = {name: value for name, value in config.items() if name in accepted}
        return config

    def _config_value(self, name: str, value: Any) -> Any:
        """What stands for the parameter `name` in the configuration."""
        return value

    def _arguments(self) -> dict[str, Any]:
        """The arguments the constructor was called with, by name, defaults included."""
        args, kwargs = self._init_args
        if type(self).__init__ is object.__init__:  # its signature is parsed, which two threads at once cannot
            return {}
        signature = inspect.signature(type(self).__init__)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        arguments = dict(list(bound.arguments.items())[1:])
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments.update(arguments.pop(name))
            elif parameter.kind is parameter.VAR_POSITIONAL:
                arguments.pop(name, None)
        return arguments

    @classmethod
    def from_config(cls: type[T], config: dict[str, Any]) -> T:
        """The object that `get_config` described."""
        return cls(**{name: deserialize(value) for name, value in config.items()})


def _is_plain(value: Any) -> bool:
    """Whether `value` is a scalar, or lists and tuples of scalars: what needs no description."""
    if isinstance(value, list | tuple):
        return not hasattr(value, "_fields") and all(map(_is_plain, value))
    return value is None or isinstance(value, str | bool | int | float)


def _is_ours(cls: type) -> bool:
    return cls.__module__.startswith("cornu.")


@functools.cache
def _keywords(cls: Any) -> tuple[str, ...] | None:
    """The names of the constructor's parameters; None where it takes any."""
    if cls.__init__ is object.__init__:
        return ()
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters) else tuple(p.name for p in parameters)


def _definer(cls: type, name: str) -> type:
    """The class in whose body the attribute stands."""
    return next(base for base in cls.__mro__ if name in vars(base))


@functools.cache
def _own_parameters(cls: Any) -> dict[str, Any]:
    """Names and defaults of the constructor parameters of our nearest class, and of its bases through `**kwargs`."""
    parameters: dict[str, Any] = {}
    for base in cls.__mro__:
        if not _is_ours(base) or "__init__" not in vars(base):
            continue
        signature = inspect.signature(base.__init__).parameters
        named = [p for p in list(signature.values())[1:] if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        parameters = {p.name: p.default for p in named if p.name not in parameters} | parameters
        if not any(p.kind is p.VAR_KEYWORD for p in signature.values()):
            break
    return parameters


# names


def register_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
    """Decorator: files may name this class or function, as `package>name`."""

    def register(obj: T) -> T:
        registered = f"{package}>{name or obj.__name__}"  # type: ignore[attr-defined]
        if inspect.isclass(obj) and not hasattr(obj, "get_config"):
            raise ArgumentError(f"{obj.__name__} needs a method `get_config` to be registered as serializable.")
        _registered[registered] = obj
        _names[obj] = registered
        return obj

    return register


def get_registered_name(obj: Any) -> str:
    """The name under which `obj` was registered, or its own."""
    return _own_registered_name(obj) or obj.__name__


def _own_registered_name(obj: Any) -> str | None:
    """The name under which `obj` was registered; a class made of it and a graph counts as the same."""
    for one in getattr(obj, "__mro__", (obj,)):
        try:
            if one in _names and one.__name__ == obj.__name__:
                return _names[one]
        except TypeError:  # unhashable
            return None
    return None


def get_registered_object(
    name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """What the name stands for among scopes, `custom_objects`, registered and `module_objects`; else None."""
    for known in (custom_objects or {}, *reversed(_scopes), _registered, module_objects or {}):
        if name in known:
            return known[name]
    return None


def get_custom_objects() -> dict[str, Any]:
    """The dictionary of everything registered; may be changed."""
    return _registered


@contextlib.contextmanager
def custom_object_scope(custom_objects: Mapping[str, Any]) -> Iterator[None]:
    """Let configurations name these objects within the `with` block."""
    _scopes.append(dict(custom_objects))
    try:
        yield
    finally:
        _scopes.pop()


CustomObjectScope = custom_object_scope


# data to objects and back


def serialize(obj: Any) -> Any:
    """`obj` as data that JSON can hold; objects become `{"module", "class_name", "config", "registered_name"}`."""
    if obj is None or isinstance(obj, str | bool | int | float):
        return obj
    if isinstance(obj, list | tuple) and not hasattr(obj, "_fields"):
        items = [serialize(item) for item in obj]
        return items if isinstance(obj, list) else {"class_name": "__tuple__", "items": items}
    if isinstance(obj, dict):
        return {key: serialize(value) for key, value in obj.items()}
    if isinstance(obj, slice):
        parts = {"start": obj.start, "stop": obj.stop, "step": obj.step}
        return {"class_name": "__slice__", "config": serialize(parts)}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, DTypePolicy):
        return policies.serialize(obj)
    if hasattr(obj, "_serialize"):  # symbolic tensors
        return obj._serialize()
    if hasattr(obj, "__array__") and not isinstance(obj, type) and not hasattr(obj, "assign"):  # no variable
        array = to_numpy(obj)
        if array.ndim == 0:
            return array.tolist()
        return {"class_name": "__numpy__", "config": {"value": array.tolist(), "dtype": array.dtype.name}}
    if inspect.isfunction(obj) or inspect.isbuiltin(obj):
        return _serialize_function(obj)
    if not hasattr(obj, "get_config"):
        raise ArgumentError(
            f"{obj!r} cannot be saved: it has no `get_config`. Give its class one, or derive it from a Cornu class."
        )
    cls, module = type(obj), _module_of(type(obj))
    return {
        "module": module,
        "class_name": vars(cls).get("_public_name", cls.__name__),
        "config": obj.get_config(),
        "registered_name": get_registered_name(cls) if module is None else None,
    }


def _serialize_function(fn: Any) -> Any:
    name = _names.get(fn, fn.__name__)
    module = _module_of(fn)
    if module in _COMPUTING:
        return name
    if name == "<lambda>":
        raise ArgumentError(
            "A lambda cannot be saved. Define a function and register it with `@cornu.saving.register_serializable()`."
        )
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}


def _module_of(obj: Any) -> str | None:
    """The public package, by its Keras name, that offers `obj`; None for a user's object."""
    if not getattr(obj, "__module__", "").startswith("cornu."):
        return None
    for public, ours in PACKAGES.items():
        module = importlib.import_module(ours)
        if obj.__name__ in getattr(module, "__all__", ()) and getattr(module, obj.__name__) is obj:
            return public
    return None


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True) -> Any:
    """The object that `serialize` described.

    Names resolve through the registry only and nothing named is imported, whatever `safe_mode` says.
    """
    if isinstance(config, list | tuple):
        return type(config)(deserialize(item, custom_objects) for item in config)
    if not isinstance(config, dict):
        return config
    if "class_name" not in config:
        return {key: deserialize(value, custom_objects) for key, value in config.items()}
    kind = config["class_name"]
    if kind == "__tuple__":
        return tuple(deserialize(item, custom_objects) for item in config["items"])
    if kind in ("__numpy__", "__tensor__"):
        return np.asarray(config["config"]["value"], standardize_dtype(config["config"]["dtype"]))
    if kind == "__ellipsis__":
        return Ellipsis
    if kind == "__slice__":
        return slice(*(deserialize(config["config"][part], custom_objects) for part in ("start", "stop", "step")))
    if "config" not in config:
        return {key: deserialize(value, custom_objects) for key, value in config.items()}
    if kind == "function":
        return find(config["config"], config.get("module"), custom_objects)
    if kind in ("DTypePolicy", "FloatDTypePolicy", "Policy", "DTypePolicyMap"):
        return policies.deserialize(config, dict(custom_objects or {}))
    cls = find(kind, config.get("module"), custom_objects, config.get("registered_name"))
    if not inspect.isclass(cls) or not hasattr(cls, "from_config"):
        raise ArgumentError(f"{kind!r} names {cls!r}, which is no class with `from_config`.")
    with custom_object_scope(custom_objects or {}):
        return cls.from_config(config["config"])


def find(
    name: str,
    module: str | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    registered_name: str | None = None,
) -> Any:
    """The class or function of this name: custom objects, what was registered, then our public packages.

    Of these, classes that have configurations, and functions that compute.
    """
    for candidate in (registered_name, name, f"Custom>{name}"):
        found = get_registered_object(candidate, custom_objects) if candidate else None
        if found is not None:
            return found
    if name in _NOT_IN_FILES:
        raise UnsafeFileError(f"A configuration may not name {name!r}: make that part of the model by code.")
    for offered in [module] if module in PACKAGES else PACKAGES:
        public = importlib.import_module(PACKAGES[offered])
        if name in getattr(public, "__all__", ()):
            found = getattr(public, name)
            if hasattr(found, "from_config") or (offered in _COMPUTING and inspect.isfunction(found)):
                return found
    for key, registered in _registered.items():  # old files tell the class only
        if key.partition(">")[2] == name:
            return registered
    known = {key.partition(">")[2] or key for key in _registered} | {key for s in _scopes for key in s}
    known |= {n for p in PACKAGES.values() for n in getattr(importlib.import_module(p), "__all__", ())}
    raise UnknownNameError(
        f"Nothing is known by the name {plain(repr(registered_name or name))}.{did_you_mean(name, known)} "
        "If it is your own, register it with `@cornu.saving.register_serializable()` or pass `custom_objects={...}`."
    )
