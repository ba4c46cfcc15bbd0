"""Options of the suite, and its lists of known failures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cornu.base import config
from cornu.testing.plugin import add_options

BUILT_IN = ("jax", "torch", "tensorflow", "numpy")


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.has_plugin("cornu"):  # which has added them
        add_options(parser)


def known_failures(backend: str, file: str | None) -> dict[str, str]:
    """The reasons by case, from a file of lines `case-id  # reason`; other lines are comments."""
    path = Path(file) if file else Path(__file__).with_name(f"known_failures_{backend}.txt")
    if not file and not path.exists():
        return {}
    lines = [line for line in path.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    parts = [line.partition("  # ") for line in lines]
    unexplained = [case for case, _, reason in parts if not reason.strip()]
    if unexplained:
        raise pytest.UsageError(f"{path}: no reason (two blanks, `#` and a text) after {', '.join(unexplained)}")
    return {case.strip(): reason.strip() for case, _, reason in parts}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        names = metafunc.config.getoption("--backend", default=None) or BUILT_IN
        metafunc.parametrize("backend", names, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
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
