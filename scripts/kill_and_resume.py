"""Kills training runs with signal 9 at random points and lets them go on, until as many kills were done as asked.

Every run that comes to its end must have the weights, optimizer slots, history and log file of one that was never
disturbed, bit for bit. The runs shuffle, drop out, augment, and draw from arrays, a `PyDataset` with workers, or a
generator; they save so often that many kills fall into a save.
Run: `python scripts/kill_and_resume.py [--backend jax] [--kills 200] [--data arrays dataset generator] [--seed 0]`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import cornu
from cornu import callbacks, layers
from cornu.training import Checkpoint

ROWS, EPOCHS, BATCH = 480, 6, 16
PATIENCE = 120  # seconds a run may take


class Batches(cornu.utils.PyDataset):
    """Batches whose augmentation follows from epoch and index, so that any worker may make any of them."""

    def __init__(self, x: Any, y: Any) -> None:
        super().__init__(workers=2)
        self.x, self.y, self.epoch = x, y, 0
        self.order = np.arange(len(x))

    def __len__(self) -> int:
        return len(self.x) // BATCH

    def __getitem__(self, index: int) -> Any:
        rows = self.order[index * BATCH : (index + 1) * BATCH]
        noise = np.random.default_rng([self.epoch, index]).normal(0, 0.1, self.x[rows].shape)
        return self.x[rows] + noise.astype("float32"), self.y[rows]

    def on_epoch_end(self) -> None:
        """Shuffle anew, by NumPy's own generator as people do."""
        self.epoch += 1
        np.random.shuffle(self.order)


def endless(x: Any, y: Any) -> Iterator[Any]:
    """Batches of random rows."""
    while True:
        rows = np.random.randint(0, len(x), BATCH)
        yield x[rows], y[rows]


@cornu.saving.register_serializable("resume")
class Jitter(layers.Layer):
    """Adds noise in training."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.generator = cornu.random.SeedGenerator(5)

    def call(self, x: Any, training: bool = False) -> Any:
        return x + cornu.random.normal(cornu.ops.shape(x), stddev=0.1, seed=self.generator) if training else x


class Begun(callbacks.Callback):
    """Writes a byte when training begins."""

    def __init__(self, pipe: int) -> None:
        super().__init__()
        self.pipe = pipe

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        os.write(self.pipe, b".")


def train(folder: Path, data: str, pipe: int) -> str:
    """One run, or the rest of one; a digest of all that comes out of it."""
    cornu.utils.set_random_seed(7)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 8)).astype("float32")
    y = (x.sum(axis=1) > 0).astype("int32")
    model = cornu.Sequential(
        [
            cornu.Input((8,)),
            Jitter(),
            layers.Dense(16, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(2),
        ]
    )
    loss = cornu.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(cornu.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    told = [
        Begun(pipe),
        callbacks.EarlyStopping("val_loss", patience=50, restore_best_weights=True),
        callbacks.ReduceLROnPlateau("val_loss", patience=1),
        callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
        callbacks.CSVLogger(folder / "log.csv"),
    ]
    source = {
        "arrays": lambda: {"x": x, "y": y, "batch_size": BATCH},
        "dataset": lambda: {"x": Batches(x, y)},
        "generator": lambda: {"x": endless(x, y), "steps_per_epoch": ROWS // BATCH},
    }[data]()
    history = model.fit(
        **source,
        epochs=EPOCHS,
        validation_data=(x[:64], y[:64]),
        callbacks=told,
        verbose=0,
        checkpoint=Checkpoint(folder, every_steps=4),
    )
    digest = hashlib.sha256(json.dumps(history.history).encode() + (folder / "log.csv").read_bytes())
    for variable in (*model.variables, *model.optimizer.variables):
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()


def run(folder: Path, data: str, backend: str, delay: float | None) -> tuple[str | None, float]:
    """A run in a child process, killed `delay` seconds after it begins to train: its digest, and its duration."""
    result, pipe = folder / "result", os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(pipe[0])
            with cornu.config.backend_scope(backend):
                result.write_text(train(folder, data, pipe[1]))
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
        os._exit(1)
    os.close(pipe[1])
    os.read(pipe[0], 1)
    began = time.monotonic()
    status = None
    while status is None:
        waited = time.monotonic() - began
        if (delay is not None and waited >= delay) or waited > PATIENCE:
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            break
        done, code = os.waitpid(child, os.WNOHANG)
        status = code if done else None
        time.sleep(0.001)
    os.close(pipe[0])
    seconds = time.monotonic() - began
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit(f"A run with {data} failed; its files are in {folder}.")
    if seconds > PATIENCE:
        sys.exit(f"A run with {data} hung; its files are in {folder}.")
    return (result.read_text(), seconds) if os.WIFEXITED(status) else (None, seconds)


def main() -> int:
    """The number of runs that ended otherwise than the undisturbed one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="jax")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--data", nargs="+", default=["arrays", "dataset", "generator"])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance, wrong, kills, ended = random.Random(arguments.seed), 0, 0, 0
    expected: dict[str, tuple[str | None, float]] = {}
    while kills < arguments.kills:
        data = arguments.data[ended % len(arguments.data)]
        if data not in expected:
            for _ in range(2):  # the second one finds its programs compiled, as all after it
                expected[data] = run(Path(tempfile.mkdtemp()), data, arguments.backend, None)
            print(f"{data}: undisturbed {expected[data][0]} in {expected[data][1]:.2f} s", flush=True)
        digest, seconds = expected[data]
        folder, killed, found = Path(tempfile.mkdtemp()), 0, None
        while found is None:
            last = kills >= arguments.kills
            found, _ = run(folder, data, arguments.backend, None if last else chance.uniform(0, 0.8 * seconds))
            killed, kills = killed + (found is None), kills + (found is None)
        ended += 1
        wrong += found != digest
        print(
            f"{data}: killed {killed} times, {'the same' if found == digest else f'NOT THE SAME in {folder}'}",
            flush=True,
        )
    print(f"{kills} kills, {ended} runs came to their end, {wrong} of them not as undisturbed")
    return wrong


if __name__ == "__main__":
    sys.exit(bool(main()))
