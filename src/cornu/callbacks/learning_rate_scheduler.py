"""A learning rate for every epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cornu.base.errors import ArgumentError
from cornu.callbacks.callback import Callback


class LearningRateScheduler(Callback):
    """Sets the learning rate before every epoch to `schedule(epoch, learning_rate)` or `schedule(epoch)`."""

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule):
            raise ArgumentError(f"schedule should be a function of (epoch, learning_rate), got {schedule!r}.")
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        try:
            rate = self.schedule(epoch, float(self.model.optimizer.learning_rate))
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                raise  # from within the schedule
            rate = self.schedule(epoch)
        try:
            rate = float(rate)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"The schedule should return a number for epoch {epoch}, got {rate!r}.") from error
        self.model.optimizer.learning_rate = rate
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: the learning rate is {rate:g}.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
