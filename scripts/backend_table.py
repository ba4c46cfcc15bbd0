"""Writes the tables in `docs/backends.md`, what each backend brings, from the code and its list of known failures, and
in `docs/new-backend.md`, what each takes in lines.

Run: `python scripts/backend_table.py`. With `--check` it only says, by its exit status, whether they are up to date.
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
BACKENDS = ROOT / "src" / "cornu" / "backend"
BEGIN, END = "<!-- made by scripts/backend_table.py -->", "<!-- end -->"
FUSED = {
    "fused_attention": "attention",
    "fused_lstm": "LSTM",
    "fused_gru": "GRU",
    "fused_adam": "Adam",
    "fused_sgd": "SGD",
}


def lines(*paths: Path) -> int:
    """The code lines of files and folders."""
    files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]
    return sum(code_lines(file.read_text("utf-8")) for file in files)


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
    "code lines": lambda b: str(lines(BACKENDS / b.name)),
}


def table() -> str:
    """The table of what the backends bring, with its marks."""
    backends = []
    for name in BUILT_IN:
        with backend_scope(name):
            backends.append(load(name))
    rows = [f"| | {' | '.join(b.name for b in backends)} |", f"| --- |{' --- |' * len(backends)}"]
    rows += [f"| {row} | {' | '.join(tell(b) for b in backends)} |" for row, tell in ROWS.items()]
    ops = len({case.op for case in CASES})
    return "\n".join(
        [BEGIN, "", *rows, "", f"The conformance suite runs {len(CASES)} cases of {ops} ops on each.", "", END]
    )


def sizes() -> str:
    """The table of what a backend takes, with its marks."""
    torch, pytensor = BACKENDS / "torch", ROOT / "examples" / "backend_pytensor" / "cornu_pytensor"
    replay = lines(torch / "capture.py", torch / "graphs.py")
    primitives = lines(pytensor / "primitives.py")
    graphs = lines(*(pytensor / f"{name}.py" for name in ("gradients", "graphs", "programs")))
    rows = [
        ("the contract", BACKENDS / "contract.py", "with what every backend inherits: inference, optional hooks"),
        ("shared bodies over an array namespace", BACKENDS / "shared.py", "convolution by patches, pooling by slices"),
        ("NumPy", BACKENDS / "numpy", "no gradients"),
        ("JAX", BACKENDS / "jax", "most primitives have the same names there; much of the rest is for speed"),
        (
            "PyTensor",
            pytensor,
            f"eager calls inherited from NumPy; {primitives} of them primitives, {graphs} loops and gradients",
        ),
        ("PyTorch", torch, f"{replay} of them to record kernels and replay them"),
        ("TensorFlow", BACKENDS / "tensorflow", "loops, branches and half precision take most of them"),
    ]
    shown = [f"| {what} | {lines(path):,} | {note} |" for what, path, note in rows]
    return "\n".join([BEGIN, "", "| | lines | |", "| --- | --- | --- |", *shown, "", END])


PAGES = {"backends.md": table, "new-backend.md": sizes}


def main() -> int:
    """Write the tables, or compare them with `--check`."""
    old = 0
    for name, make in PAGES.items():
        page = ROOT / "docs" / name
        text = page.read_text("utf-8")
        before, _, rest = text.partition(BEGIN)
        wanted = before + make() + rest.partition(END)[2]
        if "--check" not in sys.argv:
            page.write_text(wanted, "utf-8")
        elif wanted != text:
            print(f"error: {name} is out of date; run `python scripts/backend_table.py`.", file=sys.stderr)
            old = 1
    return old


if __name__ == "__main__":
    sys.exit(main())
