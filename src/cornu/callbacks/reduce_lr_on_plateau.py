"""Lower the learning rate when progress stalls."""

from __future__ import annotations

from typing import Any

import numpy as np

from cornu.base.checks import whole, within
from cornu.base.errors import ArgumentError
from cornu.callbacks.monitored import MonitoredCallback


class ReduceLROnPlateau(MonitoredCallback):
    """Multiplies the learning rate by `factor` when `monitor` has not improved for `patience` epochs, down to `min_lr`.

    After a reduction it waits `cooldown` epochs before it counts again.
    """

    _kept = ("wait", "cooldown_counter", "best")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        **kwargs: Any,
    ) -> None:
        min_delta = kwargs.pop("epsilon", min_delta)  # its name in Keras 2
        if kwargs:
            raise ArgumentError(f"ReduceLROnPlateau has no argument {', '.join(map(repr, kwargs))}.")
        super().__init__(monitor, mode, min_delta)
        whole(self, 0, patience=patience, cooldown=cooldown)
        within(self, "[0, inf)", min_delta=min_delta, min_lr=min_lr)
        within(self, "(0, 1)", factor=factor)
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.wait = self.cooldown_counter = 0
        self.best: float | None = None

    def in_cooldown(self) -> bool:
        """Whether it waits after a reduction."""
        return self.cooldown_counter > 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.wait = self.cooldown_counter = 0
        self.best = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        rate = float(self.model.optimizer.learning_rate)
        if logs is not None:
            logs["learning_rate"] = rate
        value = self.get_monitor_value(logs)
        if value is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.best is None or self.improves(value, self.best):
            self.best, self.wait = value, 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and rate > np.float32(self.min_lr):
                lower = max(rate * self.factor, self.min_lr)
                self.model.optimizer.learning_rate = lower
                if self.verbose:
                    print(f"Epoch {epoch + 1}: the learning rate is now {lower:g}.")
                self.cooldown_counter, self.wait = self.cooldown, 0
