"""What saving the run every minute costs: `python benchmarks/checkpoint.py [--seconds 5] [--rounds 5] [--backend jax]`.

The convolutional network of the workload `cifar` trains in turn without and with checkpoints every `seconds`, for three
times as long; from the difference follows what one checkpoint takes, and what share that is of a minute.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

from data import images
from keras_api import MODELS

import cornu
from cornu.training import Checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backend", default="jax")
    given = parser.parse_args()
    cornu.config.set_backend(given.backend)
    x, y = images(64 * 40, 32, 32, 3)
    model = MODELS["cifar"](cornu)
    model.fit(x, y, batch_size=64, epochs=2, verbose=0)
    began = time.perf_counter()
    model.fit(x, y, batch_size=64, epochs=2, verbose=0)
    epochs = max(1, round(3 * given.seconds / ((time.perf_counter() - began) / 2)))
    without, extra = [], []
    for _ in range(given.rounds):
        began = time.perf_counter()
        model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
        middle = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            rule = Checkpoint(folder, every_minutes=given.seconds / 60, every_epochs=None, monitor=None)
            model.fit(x, y, batch_size=64, epochs=epochs, verbose=0, checkpoint=rule, resume=False)
        after = time.perf_counter()
        without.append(middle - began)
        extra.append((after - middle) - (middle - began))
    each = statistics.median(extra) / 4  # three on the way, one at the end
    step = statistics.median(without) / (epochs * 40)
    print(f"{epochs} epochs of 40 steps, {step * 1e3:.2f} ms a step without checkpoints")
    spread = f"{min(extra):.2f} to {max(extra):.2f} s for four"
    print(f"a checkpoint takes {each * 1e3:.0f} ms, {each / 60:.2%} of a minute ({spread})")


if __name__ == "__main__":
    main()
