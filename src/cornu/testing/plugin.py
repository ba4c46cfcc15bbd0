"""A plugin of pytest, announced by the entry point `pytest11`: options of the suite that it would find too late.

pytest reads the command line before it imports what `--pyargs cornu.testing.conformance` names. Where nothing on the
line speaks of the conformance suite this does nothing.
"""

from __future__ import annotations

import pytest


def add_options(parser: pytest.Parser) -> None:
    """The options of the conformance suite."""
    parser.addoption("--backend", action="append", help="the backend to test; may be given more than once")
    parser.addoption("--known-failures", help="a file of lines `case-id  # reason`; default: the one shipped")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Called when the command line is known, and before it is read."""
    if any("conformance" in argument for argument in args):
        add_options(parser)
