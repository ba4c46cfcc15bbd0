"""Laws of the ops' documentation: every op has some, with types and an example that shows what happens."""

from __future__ import annotations

import doctest
import inspect

import numpy as np
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


@pytest.mark.parametrize("name", FUNCTIONS)
def test_example(name):
    given = {"cornu": cornu, "ops": ops, "random": random, "np": np}
    test = doctest.DocTestParser().get_doctest(FUNCTIONS[name].__doc__, given, name, None, None)
    assert test.examples
    report: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert not report, "".join(report)
