"""Options of the suite, and its lists of known failures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cornu.backend import load
from cornu.base import config
from cornu.base.errors import CornuError
from cornu.testing.conformance.cases import CASES
from cornu.testing.plugin import add_options

BUILT_IN = ("jax", "torch", "tensorflow", "numpy")


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.has_plugin("cornu"):  # which has added them
        add_options(parser)


def known_failures(backend: str, file: str | None) -> dict[str, str]:
    """The reasons by case, from a file of lines `case-id  # reason`; other lines are comments."""
    path = Path(file) if file else Path(__file__).with_name(f"known_failures_{backend}.txt")
    if not path.exists():
        if file:
            raise pytest.UsageError(f"There is no file of known failures {path}.")
        return {}
    lines = [line for line in path.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    parts = [line.partition("  # ") for line in lines]
    unexplained = [case for case, _, reason in parts if not reason.strip()]
    if unexplained:
        raise pytest.UsageError(f"{path}: no reason (two blanks, `#` and a text) after {', '.join(unexplained)}")
    ids = {case.id for case in CASES}
    known = ids | {f"{test}:{case}" for test in ("test_values", "test_specs", "test_gradient") for case in ids}
    found = {case.strip(): reason.strip() for case, _, reason in parts}
    if strange := found.keys() - known:
        raise pytest.UsageError(f"{path}: there is no such case as {', '.join(sorted(strange))}")
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        names = metafunc.config.getoption("--backend", default=None) or BUILT_IN
        metafunc.parametrize("backend", names, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for name in config.getoption("--backend", default=None) or ():
        try:
            load(name)
        except CornuError as error:  # rather than thousands of times
            raise pytest.UsageError(str(error)) from error
    here = Path(__file__).parent
    failures: dict[str, dict[str, str]] = {}
    for item in items:
        callspec = getattr(item, "callspec", None)
        if item.path.parent != here or callspec is None or "case" not in callspec.params:
            continue
        backend = callspec.params["backend"]
        if backend not in failures:
            failures[backend] = known_failures(backend, config.getoption("--known-failures", default=None))
        # A line names a case, or one test of it: `test_gradient:case-id`.
        test, case = item.originalname, callspec.params["case"].id  # type: ignore[attr-defined]
        reason = failures[backend].get(case) or failures[backend].get(f"{test}:{case}")
        if reason:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the backend under test, which is the current one."""
    with config.backend_scope(request.param):
        yield request.param
