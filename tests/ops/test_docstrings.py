"""Laws of the ops' documentation: every op has some, with types; what examples show is what happens."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import cornu
from cornu import ops, random
from cornu.ops import image

FUNCTIONS = {
    f"{package.__name__}.{name}": getattr(package, name)
    for package in (ops, image, random)
    for name in package.__all__
    if inspect.isfunction(getattr(package, name))
}
MODULES = [f"cornu.ops.{module.name}" for module in pkgutil.iter_modules(ops.__path__)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_is_documented_and_typed(name):
    function = FUNCTIONS[name]
    first = inspect.getdoc(function).split("\n\n")[0]
    assert len(first) > 10
    assert first.rstrip(")").endswith(".") or "://" in first.split()[-1], first
    signature = inspect.signature(function)
    untyped = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
    assert untyped == []
    assert signature.return_annotation is not signature.empty


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    found = doctest.testmod(importlib.import_module(module), extraglobs={"cornu": cornu, "ops": ops})
    assert found.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    examples = [test for m in MODULES for test in finder.find(importlib.import_module(m)) if test.examples]
    assert len(examples) >= 15
