"""The table of cases: every op of `cornu.ops`, with its oracle."""

from __future__ import annotations

from cornu.testing.conformance.case import Case
from cornu.testing.conformance.cases import control, elementwise, image, linalg, nn, reduction, shape, signal

CASES: list[Case] = [
    case for part in (elementwise, reduction, linalg, signal, shape, nn, image, control) for case in part.CASES
]
DIFFERENTIATION = control.DIFFERENTIATION
