"""What the peers of Cornu share: the settings of `keras_api.py`, the batches, and the loop over epochs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from data import TASKS, Arrays, batches
from measure import Trained


@dataclass(frozen=True)
class Setting:
    """How a workload is compiled, the networks of all peers giving logits."""

    loss: str = "classes"  # or "binary", or "own": the network gives the loss itself
    optimizer: str = "adam"
    accuracy: bool = True
    squash: bool = True  # whether predictions are probabilities


SETTINGS = {name: Setting() for name in TASKS if name != "dataset"} | {
    "mlp_512": Setting(optimizer="rmsprop"),
    "cifar": Setting(squash=False),
    **dict.fromkeys(("lstm", "gru", "bilstm"), Setting("binary", "rmsprop")),
    "resnet": Setting(optimizer="sgd"),
    "gpt": Setting(accuracy=False, squash=False),
    "tabular": Setting("binary"),
    "gan": Setting("own", accuracy=False),
}


@dataclass
class Batches:
    """The batches of an epoch, in a new order each time; or the next ones of a generator."""

    x: Any
    y: Any
    size: int
    endless: Iterator[Arrays] | None = None

    @classmethod
    def of(cls, workload: str, x: np.ndarray, y: np.ndarray) -> Batches:
        if SETTINGS[workload].loss == "binary":
            y = y.astype("float32").reshape(-1, 1)
        one = cls(x, y, TASKS[workload].batch)
        return replace(one, endless=batches(x, y, one.size)) if workload == "generator" else one

    def __len__(self) -> int:
        return -(-len(self.x) // self.size)

    def __iter__(self) -> Iterator[Arrays]:
        if self.endless:
            yield from islice(self.endless, len(self))
            return
        order = np.random.permutation(len(self.x))
        for i in range(0, len(order), self.size):
            rows = order[i : i + self.size]
            yield self.x[rows], self.y[rows]


class Peer(Trained):
    """A network with its loop; libraries fill in what is theirs."""

    data: Batches
    parameters: int
    """How many numbers are trained."""

    def step(self, x: Any, y: Any) -> None:
        """Train on a batch; add loss and accuracy to what is held on the device."""
        raise NotImplementedError

    def read(self) -> float:
        """The mean loss since it was last read."""
        raise NotImplementedError

    def outputs(self, x: Any) -> Any:
        """The predictions for a batch."""
        raise NotImplementedError

    def epoch(self, count: int = 1) -> list[float]:
        losses = []
        for _ in range(count):
            for x, y in self.data:
                self.step(x, y)
            losses.append(self.read())
        return losses

    def predict(self, x: Any) -> Any:
        return np.concatenate([self.outputs(x[i : i + 256]) for i in range(0, len(x), 256)])
