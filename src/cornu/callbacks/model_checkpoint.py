"""Save the model while it trains."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cornu.backend import B
from cornu.base.errors import ArgumentError, CornuError, warn
from cornu.callbacks.monitored import MonitoredCallback
from cornu.core.state import StateScope
from cornu.saving.background import Writer


class ModelCheckpoint(MonitoredCallback):
    """Saves the model (or its weights) after every epoch, or every `save_freq` steps.

    `filepath` may hold names of the logs, as in `"at-{epoch:02d}-{val_loss:.2f}.keras"`. With `save_best_only` a file
    is written only when `monitor` improves, on `initial_value_threshold` at first. Files are replaced whole, by a
    thread: all of them are there however `fit` ends, and each one when a callback of your own comes after it in the
    list. Training goes on if the disk fails, with a warning.
    """

    _kept = ("best", "_epoch", "_steps")

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: int | str = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath = os.fspath(filepath)
        self.verbose, self.save_best_only, self.save_weights_only = verbose, save_best_only, save_weights_only
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int) or save_freq < 1):
            raise ArgumentError(f"save_freq should be 'epoch' or a positive int (steps), got {save_freq!r}.")
        endings = (".weights.h5", ".safetensors") if save_weights_only else (".keras", ".h5", ".hdf5")
        if not self.filepath.endswith(endings):
            raise ArgumentError(
                f"With save_weights_only={save_weights_only} the filepath should end in {' or '.join(endings)}, "
                f"got {self.filepath!r}."
            )
        self.save_freq = save_freq
        self.best = initial_value_threshold
        self.any_batch = save_freq == "epoch"  # steps need not stop for it
        self._epoch = self._steps = 0
        self._writer = Writer("file", Path(self.filepath).parent, fatal=(CornuError,))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.save_freq == "epoch":
            return
        self._steps += 1
        if self._steps % self.save_freq == 0:  # type: ignore[operator]
            self._save(self._epoch, batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, None, logs)

    def _save(self, epoch: int, batch: int | None, logs: dict[str, Any] | None) -> None:
        self._writer.report()
        known = dict(logs or {})
        try:
            path = Path(self.filepath.format(epoch=epoch + 1, batch=0 if batch is None else batch + 1, **known))
        except KeyError as error:
            raise ArgumentError(
                f"ModelCheckpoint: the filepath {self.filepath!r} names {error}, which is not in the logs: "
                f"{', '.join(known)}."
            ) from error
        if self.save_best_only:
            value = self.get_monitor_value(logs)
            if value is None:
                return
            if self.best is not None and not self.improves(value, self.best):
                if self.verbose:
                    print(f"Epoch {epoch + 1}: {self.monitor} did not improve from {self.best:.5f}.")
                return
            if self.verbose:
                print(f"Epoch {epoch + 1}: {self.monitor} improved to {value:.5f}, saving to {path}.")
            self.best = value
        elif self.verbose:
            print(f"Epoch {epoch + 1}: saving to {path}.")
        variables = [*self.model.variables, *getattr(self.model.optimizer, "variables", ())]
        snapshot = StateScope((variable, B.copy(variable._read())) for variable in variables)

        def write() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with snapshot:  # the model as it was
                self.model.save_weights(path) if self.save_weights_only else self.model.save(path)

        self._writer.write(str(path), write)
        if self._awaited:
            self._writer.wait()
            self._writer.report()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._writer.finish()

    def _close(self) -> None:
        try:
            self._writer.finish()
        except CornuError as error:  # of less interest than what ended the run
            warn(f"ModelCheckpoint could not save the model: {error}")
