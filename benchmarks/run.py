"""Cornu beside Keras 3 on JAX: every workload in fresh processes, in turn, several rounds.

Run: `make bench`, or `python benchmarks/run.py [--rounds N] [WORKLOAD ...]`. Prints medians, spreads and the median of
the ratios round by round; `--json FILE` keeps the numbers.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from workloads import WORKLOADS

TARGETS = {
    "mlp": 0.6,
    "iris": 0.15,
    "cifar": 0.35,
    "lstm": 0.9,
    "first_epoch": 0.5,
    "build": 0.5,
    "graph": 1,
    "predict_one": 0.3,
}
SCRIPT = Path(__file__).with_name("workloads.py")


def measure(library: str, workload: str) -> float:
    """Milliseconds, measured in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), library, workload], capture_output=True, text=True, check=False, timeout=900
    )
    if done.returncode:
        raise RuntimeError(f"{library} {workload} failed:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    given = parser.parse_args()
    names = given.workloads or list(WORKLOADS)
    print(
        f"cornu {version('cornu')}, keras {version('keras')}, jax {version('jax')}, Python {platform.python_version()}"
    )
    print(f"{given.rounds} rounds, milliseconds; ratio = cornu / keras, median of the rounds\n")
    print(f"{'workload':15}{'cornu':>20}{'keras on jax':>24}{'ratio':>9}{'target':>9}")
    found = {}
    for name in names:
        rows = [(measure("cornu", name), measure("keras", name)) for _ in range(given.rounds)]
        ours, theirs = zip(*rows, strict=True)
        ratio = statistics.median(a / b for a, b in rows)
        found[name] = {"cornu": ours, "keras": theirs, "ratio": ratio}

        def shown(values: tuple[float, ...]) -> str:
            return f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})"

        target = f"{TARGETS[name]:.2f}" if name in TARGETS else ""
        print(f"{name:15}{shown(ours):>20}{shown(theirs):>24}{ratio:>9.3f}{target:>9}", flush=True)
    if given.json:
        Path(given.json).write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
