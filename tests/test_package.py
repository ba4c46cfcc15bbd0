"""The package as a whole: public names, and what importing it costs."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import cornu

SOURCE = Path(next(iter(cornu.__path__)))
FRAMEWORKS = (
    "jax",
    "jaxlib",
    "torch",
    "tensorflow",
    "keras",
    "h5py",
    "rich",
    "optree",
    "scipy",
    "matplotlib",
    "pandas",
    "PIL",
)
OPTIONAL = ("cornu.backend.torch", "cornu.backend.tensorflow")  # importable with an extra only
INTERNAL = ("cornu.backend", "cornu.base", "cornu.core", "cornu.testing", "cornu.training")  # `__all__` is optional


def packages() -> list[str]:
    found = [info.name for info in pkgutil.walk_packages([str(SOURCE)], "cornu.") if info.ispkg]
    return ["cornu", *(name for name in found if not name.startswith(OPTIONAL) and "._" not in name)]


@pytest.mark.parametrize("name", packages())
def test_all_and_namespace_agree(name: str) -> None:
    package = importlib.import_module(name)
    if name.startswith(INTERNAL):
        exported = getattr(package, "__all__", None)
        if exported is None:
            return
    else:
        exported = package.__all__
    assert len(exported) == len(set(exported))
    assert set(exported) <= set(dir(package))
    for public in exported:
        assert getattr(package, public) is not None, public
    # What stands in the package, or was taken from a module within it, is meant for everybody.
    present = {
        key
        for key, value in vars(package).items()
        if not key.startswith("_")
        and not isinstance(value, types.ModuleType)
        and f"{getattr(value, '__module__', None)}.".startswith(f"{name}.")
    }
    # `lazy_names` stands in every package, and lives within `cornu`, so the root would count it.
    assert present - {"lazy_names"} <= set(exported)


def test_no_star_imports() -> None:
    stars = [
        f"{file}:{node.lineno}"
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    ]
    assert not stars


@pytest.mark.parametrize("module", ["cornu", "cornu.utils", "cornu.datasets", "cornu.preprocessing"])
def test_import_loads_no_framework(module: str) -> None:
    code = f"import sys, {module}; print(*[name for name in {FRAMEWORKS} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert loaded.stdout.split() == []
