"""Training steps on a GPU, at sizes that fill it and at sizes that do not: `python benchmarks/gpu.py [WORKLOAD ...]`.

Each library has a process of its own for each workload. Those of a group start together and compile; then they take
turns, several times, so that one at a time is measured. Printed are the medians in milliseconds, the share of the
card's rate in a product of bfloat16 matrices (of what the products of a step need), and the card. `cornu-torch-plain`
is `cornu-torch` without CUDA graphs. ResNet-50 and GPT-2 compute under the policy `mixed_bfloat16`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from data import TASKS, Task, images, reviews, text
from measure import library, seconds

LARGE = {
    "resnet_50": Task("ResNet-50 at 224×224, batch 128", lambda: images(128 * 8, 224, 224, 3), 128),
    "gpt_2": Task("GPT-2 small, 1,024 tokens, batch 8", lambda: text(8 * 16, 1024, 50_257), 8),
    "lstm_512": Task("Embedding-LSTM(512), 256 words, batch 128", lambda: reviews(128 * 16, 256, 10_000), 128),
}
SMALL = {name: TASKS[name] for name in ("mlp", "cifar", "lstm", "transformer")}
LIBRARIES = ("cornu-jax", "keras-jax", "cornu-torch", "cornu-torch-plain", "keras-torch")
GROUPS = (("gpt_2",), ("resnet_50", "lstm_512"), ("mlp", "cifar"), ("lstm", "transformer"))
"""What fits the card together."""
ROUNDS = 3


def made(keras: Any, workload: str) -> Any:
    """The compiled model."""
    import keras_api

    model = getattr(keras_api, workload)(keras)
    if workload == "resnet_50":
        optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def serve(name: str, workload: str) -> None:
    """Be one of the processes: get ready, then train at every line that comes.

    For three epochs where they have few steps: a call of `fit` brings the arrays to the device, once.
    """
    task = (LARGE | SMALL)[workload]
    x, y = task.arrays()
    keras = library("-".join(name.split("-")[:2]))
    if name.endswith("plain"):
        from cornu.backend.torch import graphs

        graphs.fits = lambda tensors: False
    if workload in ("resnet_50", "gpt_2"):
        keras.config.set_dtype_policy("mixed_bfloat16")
    model = made(keras, workload)
    epochs = 3 if workload in LARGE else 1
    steps = len(x) // task.batch * epochs
    losses: list[float] = []

    def train() -> None:
        losses.extend(model.fit(x, y, batch_size=task.batch, epochs=epochs, verbose=0).history["loss"])

    began = time.perf_counter()
    for _ in range(2 if workload in LARGE else 3):
        train()
    print(json.dumps({"ready": time.perf_counter() - began}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"step": seconds(train) * 1e3 / steps, "loss": [losses[0], losses[-1]]}), flush=True)


def card() -> dict[str, Any]:
    """Its name, operations a second in a product of bfloat16 matrices, bytes a second in a copy."""
    import torch

    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    source, target = torch.empty(2, 1 << 30, device="cuda", dtype=torch.uint8)

    def timed(run: Any) -> float:
        found = []
        for _ in range(12):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            run()
            end.record()
            torch.cuda.synchronize()
            found.append(begin.elapsed_time(end) / 1e3)
        return median(found[2:])

    product, copy = timed(lambda: a @ b), timed(lambda: target.copy_(source))
    return {"name": torch.cuda.get_device_name(), "flops": 2 * 8192**3 / product, "bytes": 2 * (1 << 30) / copy}


def operations(workload: str) -> float:
    """Of a step's products."""
    import floor

    import cornu

    with cornu.config.backend_scope("torch"):  # which infers without computing
        return floor.products(made(cornu, workload), (LARGE | SMALL)[workload].batch)


class Process:
    """A library at work on a workload."""

    def __init__(self, name: str, workload: str, log: Path) -> None:
        self.log = log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", name, workload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    def told(self) -> dict[str, Any] | None:
        """The next line, or None if there comes none more."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        return None

    def train(self) -> dict[str, Any] | None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        return self.told()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


def measured(workloads: list[str], names: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """What the processes told, by workload and library."""
    running = {
        (workload, name): Process(name, workload, folder / f"{name}-{workload}.txt")
        for workload in workloads
        for name in names
        if not (name.endswith("plain") and workload in LARGE)
    }
    found: dict[str, dict[str, Any]] = {workload: {} for workload in workloads}
    try:
        for (workload, name), one in running.items():
            found[workload][name] = {"step": [], **(one.told() or {})}
        for _ in range(ROUNDS):
            for (workload, name), one in running.items():
                if told := one.train():
                    found[workload][name]["step"].append(told["step"])
                    found[workload][name]["loss"] = told["loss"]
    finally:
        for one in running.values():
            one.close()
    for workload, name in running:
        if not found[workload][name]["step"]:
            print(f"{name} {workload}: {(folder / f'{name}-{workload}.txt').read_text()[-1500:]}", flush=True)
    return found


def table(kept: dict[str, Any]) -> str:
    """Medians and ranges in milliseconds, and the share of the card's rate, by workload and library."""
    names = [name for name in LIBRARIES if any(name in found for found in kept["numbers"].values())]
    rows = [["workload", *names], ["---"] * (1 + len(names))]
    for workload, found in kept["numbers"].items():
        rows.append([f"`{workload}`: {(LARGE | SMALL)[workload].about}"])
        for name in names:
            steps = found.get(name, {}).get("step")
            if not steps:
                rows[-1].append("")
                continue
            share = kept["operations"][workload] / kept["card"]["flops"] / median(steps) * 1e5
            peak = f", {share:.1f} %" if workload in LARGE else ""
            rows[-1].append(f"{median(steps):.3g} ({min(steps):.3g}-{max(steps):.3g}){peak}")
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(LARGE | SMALL))
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=LIBRARIES, metavar="LIBRARY")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", nargs=2, metavar=("LIBRARY", "WORKLOAD"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(*given.serve)
        return 0
    kept: dict[str, Any] = {"card": card(), "numbers": {}, "operations": {}}
    print(json.dumps(kept["card"]), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for group in GROUPS:
            wanted = [workload for workload in group if workload in (given.workloads or group)]
            for workload, found in measured(wanted, given.libraries, Path(folder)).items():
                kept["numbers"][workload], kept["operations"][workload] = found, operations(workload)
                for name, one in found.items():
                    print(f"{workload} {name} {json.dumps(one)}", flush=True)
            if given.json:
                given.json.write_text(json.dumps(kept, indent=1))
    print(table(kept))
    return 0


if __name__ == "__main__":
    sys.exit(main())
