"""Cornu beside its peers: every workload in fresh processes, the libraries in turn, several rounds.

Each round begins with another library: the first process to need much memory may wait for a virtual machine's host.

`make bench` measures everything, in an environment of its own, and writes `docs/performance.md` and its chart; each of
its three rounds takes half an hour (`make bench ROUNDS=1`). `python benchmarks/run.py --libraries cornu-jax keras-jax
--rounds 1 mlp lstm` measures a part and prints it. `measure.py` says what the numbers are. Numbers are kept in
`--json FILE` as they come, and a run that is started again with that file adds to it what is missing.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import report
from data import TASKS
from measure import PEERS, STARTUP

KERAS = ("keras-jax", "keras-tensorflow", "keras-torch")
CORNU = ("cornu-jax", "cornu-tensorflow", "cornu-torch")
ALL = (*CORNU, *KERAS, *PEERS, "cornu-jax-bf16", "cornu-torch-bf16", "keras-torch-bf16")
SCRIPT = Path(__file__).with_name("measure.py")


def measured(library: str, workload: str) -> dict[str, Any]:
    """What a process of its own tells, which finds nothing that another left behind.

    Of Cornu on JAX, and of `first_epoch`, a second process with the same home tells how long a start takes again.
    """
    with tempfile.TemporaryDirectory() as home:
        first = _told(library, workload, home)
        if library == "cornu-jax" and (workload in TASKS or workload == "first_epoch"):
            first["again"] = _told(library, workload, home)["start" if workload in TASKS else "step"]
    return first


def _told(library: str, workload: str, home: str) -> dict[str, Any]:
    # Installed libraries have bytecode; a checkout has it after the first process, unless that may not write it.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), library, workload],
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
        env={**inherited, "CORNU_HOME": home, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if done.returncode:
        print(f"{library} {workload} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
        return {"error": done.stderr.strip().splitlines()[-1][:300] if done.stderr.strip() else "no output"}
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def applies(library: str, workload: str) -> bool:
    """Start-up is measured of libraries in the Keras API, in float32; peers have no data sets."""
    if workload in STARTUP:
        return library in (*CORNU, *KERAS)
    return not (workload == "dataset" and library in PEERS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join([*TASKS, *STARTUP]))
    parser.add_argument(
        "--libraries", nargs="+", default=list(ALL), choices=ALL, metavar="LIBRARY", help=", ".join(ALL)
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--report", action="store_true", help="write docs/performance.md and its chart")
    given = parser.parse_args()
    kept = json.loads(given.json.read_text()) if given.json and given.json.exists() else {"machine": report.machine()}
    numbers = kept.setdefault("numbers", {})
    for package in ("cornu", "keras"):
        compileall.compile_dir(find_spec(package).submodule_search_locations[0], quiet=2)
    for i in range(given.rounds):
        turn = i % len(given.libraries)
        for workload in given.workloads or [*TASKS, *STARTUP]:
            for library in given.libraries[turn:] + given.libraries[:turn]:
                rows = numbers.setdefault(workload, {}).setdefault(library, [])
                if len(rows) > i or not applies(library, workload):
                    continue
                rows.append(measured(library, workload))
                print(f"{i + 1} {workload:12} {library:18} {json.dumps(rows[-1])}", flush=True)
                if given.json:
                    given.json.write_text(json.dumps(kept, indent=1))
    print(report.text(kept))
    if given.report:
        report.write(kept)
    return 0


if __name__ == "__main__":
    sys.exit(main())
