"""Cornu beside Keras 3 on the same backend: every workload in fresh processes, in turn, several rounds.

Run: `make bench`, or `python benchmarks/run.py [--backend jax|torch|tensorflow] [--rounds N] [WORKLOAD ...]`. Prints
medians, spreads and the medians of the ratios round by round, on torch also to a loop written by hand; `--json FILE`
keeps the numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from workloads import WORKLOADS

TARGETS: dict[str, dict[str, float]] = {
    "jax": {
        "mlp": 0.6,
        "iris": 0.15,
        "cifar": 0.35,
        "lstm": 0.9,
        "first_epoch": 0.5,
        "first_epoch_again": 0.25,
        "build": 0.5,
        "graph": 1,
        "predict_one": 0.3,
    },
    "torch": {"mlp": 0.35, "cifar": 0.6, "lstm": 0.25, "transformer": 0.85},
    "tensorflow": {"mlp": 0.6, "iris": 0.6, "lstm": 0.6, "cifar": 1.0, "transformer": 1.0},
}
NATIVE_TARGET = 1.1
SCRIPT = Path(__file__).with_name("workloads.py")


def measure(library: str, workload: str, backend: str) -> float:
    """Milliseconds, measured in a process of its own, which finds nothing that another left behind.

    But `…_again` is measured in the second process of two with one home.
    """
    with tempfile.TemporaryDirectory() as home:
        for _ in range(2 if workload.endswith("_again") else 1):
            done = subprocess.run(
                [sys.executable, str(SCRIPT), library, workload, backend],
                capture_output=True,
                text=True,
                check=False,
                timeout=900,
                env={**os.environ, "CORNU_HOME": home},
            )
            if done.returncode:
                raise RuntimeError(f"{library} {workload} on {backend} failed:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


def shown(values: list[float]) -> str:
    """The median and the range."""
    return f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD")
    parser.add_argument("--backend", default="jax", choices=list(TARGETS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    given = parser.parse_args()
    backend, targets = given.backend, TARGETS[given.backend]
    names = given.workloads or (list(WORKLOADS) if backend == "jax" else list(targets))
    native = backend == "torch"
    framework = "tensorflow-cpu" if backend == "tensorflow" else backend
    versions = ", ".join(f"{name} {version(name)}" for name in ("cornu", "keras", framework))
    print(f"{versions}, Python {platform.python_version()}")
    print(f"{given.rounds} rounds, milliseconds, median (range); ratios are medians of the rounds\n")
    print(f"{'workload':15}{'cornu':>22}{f'keras on {backend}':>24}{'ratio':>8}{'target':>8}", end="")
    print(f"{'by hand':>22}{'ratio':>8}{'target':>8}" if native else "")
    found = {}
    for name in names:
        libraries = ["cornu", "keras", *(["native"] if native else [])]
        rows = [[measure(library, name, backend) for library in libraries] for _ in range(given.rounds)]
        columns = dict(zip(libraries, map(list, zip(*rows, strict=True)), strict=True))
        ratio = statistics.median(row[0] / row[1] for row in rows)
        found[name] = columns | {"ratio": ratio}
        target = f"{targets[name]:.2f}" if name in targets else ""
        line = f"{name:15}{shown(columns['cornu']):>22}{shown(columns['keras']):>24}{ratio:>8.3f}{target:>8}"
        if native:
            by_hand = statistics.median(row[0] / row[2] for row in rows)
            found[name]["ratio_native"] = by_hand
            line += f"{shown(columns['native']):>22}{by_hand:>8.3f}{NATIVE_TARGET:>8.2f}"
        print(line, flush=True)
    if given.json:
        Path(given.json).write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
