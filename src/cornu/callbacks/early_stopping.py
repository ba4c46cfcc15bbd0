"""Stop when nothing gets better any more."""

from __future__ import annotations

from typing import Any

from cornu.base.checks import whole
from cornu.callbacks.monitored import MonitoredCallback


class EarlyStopping(MonitoredCallback):
    """Stops training when `monitor` has not improved by `min_delta` for `patience` epochs.

    Counting begins at epoch `start_from_epoch`; with a `baseline`, values must beat it. With `restore_best_weights` the
    model ends with the weights of its best epoch.
    """

    _kept = ("wait", "stopped_epoch", "best_epoch", "best", "best_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        whole(self, 0, patience=patience, start_from_epoch=start_from_epoch)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best: float | None = None
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best, self.best_weights = None, None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = self.get_monitor_value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        if self.best is None or self.improves(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.improves(value, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping; the best epoch was {self.best_epoch + 1}.")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                print(f"Restored the weights of epoch {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)
