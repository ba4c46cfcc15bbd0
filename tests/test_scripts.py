"""The size script counts what it says and fails when it should."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "size.py"

CODE = '''"""Module docstring,
two lines."""

import os  # counts

# does not count


def f(x):
    """One line."""
    text = """a value,
    not a docstring"""
    return (
        x,
        text,
    )


class C:
    """Docstring."""
'''


@pytest.fixture
def size() -> ModuleType:
    spec = importlib.util.spec_from_file_location("size", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_code_lines(size) -> None:
    assert size.code_lines(CODE) == 9  # import, def, two of text, four of return, class
    assert size.code_lines("") == 0


def test_table_and_budget(size, tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "a.py").write_text(CODE)
    (tmp_path / "b.py").write_text("x = 1\n")
    assert size.main(tmp_path) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["ops", "1", "files", "9", "lines"],
        ["(root)", "1", "files", "1", "lines"],
        ["total", "2", "files", "10", "lines", "of", "25000"],
    ]
    monkeypatch.setattr(size, "TOTAL", 9)
    assert size.main(tmp_path) == 1
    assert "10 code lines; the budget is 9" in capsys.readouterr().err


def test_star_imports_and_long_files(size, tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "a.py").write_text("import os\nfrom os import *\n")
    assert size.main(tmp_path) == 1
    assert "a.py:2: star import" in capsys.readouterr().err
    (tmp_path / "a.py").write_text("x = 1\ny = 2\n")
    monkeypatch.setattr(size, "FILE", 1)
    assert size.main(tmp_path) == 1
    assert "a.py has 2 code lines; a file may have 1" in capsys.readouterr().err
