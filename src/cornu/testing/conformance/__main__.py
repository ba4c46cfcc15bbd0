"""`python -m cornu.testing.conformance --backend NAME [any option of pytest]`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# By its path and not by `--pyargs`, which reads the options before it has found those that the suite adds.
sys.exit(pytest.main([str(Path(__file__).parent), *sys.argv[1:]]))
