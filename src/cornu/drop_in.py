"""Let `import keras` and `from tensorflow.keras import …` mean Cornu."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from cornu.base.lazy import FORMER

_ROOTS = ("tensorflow.keras", "keras", "tf_keras")
_MOVED = {  # where Keras 1 and 2 kept what scripts import
    "engine": "",
    "engine.base_layer": "",
    "engine.topology": "",
    "engine.training": "",
    "layers.advanced_activations": "layers",
    "layers.convolutional": "layers",
    "layers.core": "layers",
    "layers.embeddings": "layers",
    "layers.merge": "layers",
    "layers.noise": "layers",
    "layers.normalization": "layers",
    "layers.pooling": "layers",
    "layers.recurrent": "layers",
    "layers.wrappers": "layers",
    "objectives": "losses",
    "optimizers.legacy": "optimizers",
    "utils.np_utils": "utils",
    "utils.vis_utils": "utils",
    "utils.data_utils": "utils",
    "utils.generic_utils": "utils",
}


def _ours(name: str) -> str | None:
    """The module of ours that `name` stands for: `keras.layers` for `cornu.layers`."""
    for root in _ROOTS:
        if name == root:
            return "cornu"
        if name.startswith(root + "."):
            rest = name[len(root) + 1 :]
            return f"cornu.{_MOVED.get(rest, rest)}".rstrip(".")
    return None


class _Alias(importlib.abc.Loader):
    """Puts a module of ours under another name."""

    def __init__(self, target: str) -> None:
        self.target = target

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # The import system takes what stands in sys.modules after this call.
        sys.modules[module.__name__] = importlib.import_module(self.target)


class _Wrapped(importlib.abc.Loader):
    """Loads the installed TensorFlow, and replaces its `keras`."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        _replace_keras(module)


class _KerasOnly(importlib.abc.Loader):
    """A module `tensorflow` that holds `keras` and nothing else, where TensorFlow is not installed."""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__path__ = []  # type: ignore[attr-defined]  # a package, so that tensorflow.keras can be imported
        _replace_keras(module)

        def __getattr__(name: str) -> Any:
            raise AttributeError(
                f"TensorFlow is not installed: Cornu stands in for tensorflow.keras only, not for tensorflow.{name}. "
                "Use cornu.ops, or install tensorflow."
            )

        module.__getattr__ = __getattr__  # type: ignore[method-assign]


def _replace_keras(module: ModuleType) -> None:
    module.keras = importlib.import_module("cornu")  # type: ignore[attr-defined]


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if (
            fullname.removeprefix("cornu.") in _MOVED
            and importlib.machinery.PathFinder.find_spec(fullname, path) is None
        ):
            # `from keras.utils import np_utils` asks for it by the package's own name.
            return self.find_spec(fullname.replace("cornu", "keras", 1), path, target)
        ours = _ours(fullname)
        former = FORMER.get((ours or fullname).removeprefix("cornu."))
        if former is not None:  # also what `from keras.layers import Merge` asks for; that no module is named matters
            raise ModuleNotFoundError(f"Cornu has no {fullname!r}, which is of Keras 1 or 2. {former}")
        if ours is not None:
            try:
                known = importlib.util.find_spec(ours) is not None
            except ModuleNotFoundError:
                known = False
            if not known:
                raise ModuleNotFoundError(f"No module named {fullname!r}: Cornu has no {ours!r}.", name=fullname)
            return importlib.machinery.ModuleSpec(fullname, _Alias(ours), is_package=True)
        if fullname == "tensorflow":
            real = importlib.machinery.PathFinder.find_spec(fullname, path)
            if real is None or real.loader is None:
                return importlib.machinery.ModuleSpec(fullname, _KerasOnly(), is_package=True)
            real.loader = _Wrapped(real.loader)
            return real
        return None


_finder = _Finder()


def install_as_keras() -> None:
    """From now on `keras`, `keras.*` and `tensorflow.keras.*` are Cornu; the rest of TensorFlow is its own.

    Call it before the first import of Keras. Modules that imported the other Keras before keep it.
    """
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    for name in [name for name in sys.modules if _ours(name) is not None]:
        del sys.modules[name]
    if "tensorflow" in sys.modules:
        _replace_keras(sys.modules["tensorflow"])
