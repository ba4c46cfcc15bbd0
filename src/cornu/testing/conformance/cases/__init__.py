"""The table of cases: every op of `cornu.ops`, with its oracle."""

from __future__ import annotations

from cornu.testing.conformance.case import Case
from cornu.testing.conformance.cases import control, elementwise, nn, reduction, shape

CASES: list[Case] = [case for part in (elementwise, reduction, shape, nn, control) for case in part.CASES]
DIFFERENTIATION = control.DIFFERENTIATION
