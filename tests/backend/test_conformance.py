"""The lists of known failures of the conformance suite, which `make test` runs on every backend of ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cornu.testing.conformance import conftest


def conformance(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "--pyargs", "cornu.testing.conformance", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [*command, *arguments], env=environment, cwd=folder, capture_output=True, text=True, timeout=840, check=False
    )


@pytest.mark.parametrize(
    ("line", "returncode", "message"),
    [
        ("exp(2x3)  # not true", 1, "not true"),  # it passes, which fails the run
        ("# nothing fails", 0, "passed"),
    ],
)
def test_known_failures(line: str, returncode: int, message: str, tmp_path: Path) -> None:
    file = tmp_path / "failures.txt"
    file.write_text(line + "\n")
    selected = ("-k", "test_values and exp and 2x3 and not expm1 and not expand", "--known-failures", str(file))
    done = conformance("--backend", "numpy", *selected, folder=tmp_path)
    assert done.returncode == returncode, done.stdout + done.stderr
    assert re.search(message, done.stdout + done.stderr)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("exp(2x3)", r"no reason .* after exp\(2x3\)"),
        ("test_value:exp(2x3)  # misspelt", r"no such case as test_value:exp\(2x3\)"),
        (None, "There is no file of known failures .*failures.txt"),
    ],
)
def test_wrong_lists_are_refused(line: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "failures.txt"
    if line is not None:
        file.write_text(line)
    with pytest.raises(pytest.UsageError, match=message):
        conftest.known_failures("numpy", str(file))


def test_an_unknown_backend_is_told_once() -> None:
    config = SimpleNamespace(getoption=lambda name, default: ["numpi"])
    with pytest.raises(pytest.UsageError, match="Did you mean 'numpy'"):
        conftest.pytest_collection_modifyitems(config, [])  # type: ignore[arg-type]
