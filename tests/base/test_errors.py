"""The exceptions: one tree, drawn in its module's docstring, each also what users of Keras would catch."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import cornu
from cornu.base import errors

SOURCE = Path(cornu.__file__).parent
INTERNAL = {"UncapturableError"}  # raised and caught within PyTorch's backend
FOUND = [
    (name, ".".join(("cornu", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"))
    for path in sorted(SOURCE.rglob("*.py"))
    for name in re.findall(r"^class ([A-Z]\w+Error)\(", path.read_text("utf-8"), re.MULTILINE)
    if name not in INTERNAL and path.parent.name not in ("losses", "metrics")
]


def test_there_are_exceptions() -> None:
    assert ("ShapeError", "cornu.base.errors") in FOUND
    assert ("ScheduledRateError", "cornu.optimizers.optimizer") in FOUND


@pytest.mark.parametrize(("name", "module"), FOUND)
def test_every_exception_is_ours_and_a_builtin_one(name: str, module: str) -> None:
    cls = getattr(importlib.import_module(module), name)
    assert issubclass(cls, errors.CornuError)
    builtin = [base for base in cls.__mro__ if base.__module__ == "builtins"]
    assert set(builtin) - {Exception, BaseException, object} or cls is errors.CornuError
    assert str(cls("what went wrong")) == "what went wrong"


def test_the_tree_is_drawn() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+)(?: \(([\w, ]+)\))?", errors.__doc__ or ""))
    classes = {n: c for n, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.CornuError)}
    assert set(drawn) == set(classes) - {"CornuError"}
    for name, shown in drawn.items():
        own = [base.__name__ for base in classes[name].__bases__ if base.__module__ == "builtins"]
        assert ", ".join(own) == shown, name


def test_unknown_arguments_are_named_with_the_nearest() -> None:
    error = errors.unknown_arguments("Dense", ["unit"], ["units", "activation"])
    assert str(error) == "Dense has no argument 'unit'. Did you mean 'units'? It takes: units, activation."
    assert str(errors.unknown_arguments("Zeros", ["a", "b"], [])) == "Zeros has no argument 'a', 'b'."
