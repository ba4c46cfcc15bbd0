"""Writes the table in `docs/backends.md`: what each backend brings, from the code and its list of known failures.

Run: `python scripts/backend_table.py`. With `--check` it only says, by its exit status, whether the page is up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import numpy as np
from size import code_lines

from cornu.backend import Backend, load
from cornu.base.config import backend_scope
from cornu.base.errors import BackendError
from cornu.testing.conformance.cases import CASES
from cornu.testing.conformance.conftest import BUILT_IN, known_failures

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "backends.md"
BEGIN, END = "<!-- made by scripts/backend_table.py -->", "<!-- end -->"
FUSED = {"fused_attention": "attention", "fused_lstm": "LSTM", "fused_gru": "GRU", "fused_adam": "Adam"}


def trains(backend: Backend) -> str:
    """Whether it computes gradients."""
    try:
        backend.require_gradients()
    except BackendError:
        return "no: the error says so"
    return "yes"


def fused(backend: Backend) -> str:
    """The kernels beyond ops that it brings."""
    return ", ".join(shown for name, shown in FUSED.items() if name in vars(type(backend))) or "–"


def sparse(backend: Backend) -> str:
    """The type of its sparse arrays."""
    with backend_scope(backend.name):
        made = backend.sparse(backend.convert(np.zeros((1, 1), "int32")), backend.convert(np.ones(1, "float32")), (1,))
    return f"`{type(made).__module__.partition('.')[0]}`'s {type(made).__name__}"


def failures(backend: Backend) -> str:
    """What it is known to get wrong, each with its reason."""
    return "<br>".join(f"`{case}`: {why}" for case, why in known_failures(backend.name, None).items()) or "none"


ROWS: dict[str, Callable[[Backend], str]] = {
    "gradients, `fit`": trains,
    "ops by kernels of its own": lambda b: ", ".join(f"`{name}`" for name in sorted(b.native)) or "–",
    "fused": fused,
    "sparse arrays": sparse,
    "known failures": failures,
    "code lines": lambda b: str(
        sum(code_lines(f.read_text("utf-8")) for f in (ROOT / "src/cornu/backend" / b.name).rglob("*.py"))
    ),
}


def table() -> str:
    """The table, with its marks."""
    backends = []
    for name in BUILT_IN:
        with backend_scope(name):
            backends.append(load(name))
    lines = [f"| | {' | '.join(b.name for b in backends)} |", f"| --- |{' --- |' * len(backends)}"]
    lines += [f"| {row} | {' | '.join(tell(b) for b in backends)} |" for row, tell in ROWS.items()]
    ops = len({case.op for case in CASES})
    return "\n".join(
        [BEGIN, "", *lines, "", f"The conformance suite runs {len(CASES)} cases of {ops} ops on each.", "", END]
    )


def main() -> int:
    """Write the table, or compare it with `--check`."""
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    wanted = before + table() + rest.partition(END)[2]
    if "--check" not in sys.argv:
        PAGE.write_text(wanted, "utf-8")
    elif wanted != text:
        print(f"error: {PAGE.name} is out of date; run `python scripts/backend_table.py`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
