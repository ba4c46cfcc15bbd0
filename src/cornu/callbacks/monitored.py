"""Callbacks that watch one value of the logs."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from cornu.base.checks import within
from cornu.base.errors import ArgumentError, bad_choice, did_you_mean, warn
from cornu.callbacks.callback import Callback
from cornu.callbacks.history import Record

# Names with one of these words are better when larger; everything else is better when smaller.
_LARGER_IS_BETTER = (
    "acc",
    "auc",
    "f1",
    "fbeta",
    "precision",
    "recall",
    "iou",
    "dice",
    "r2",
    "true_",
    "sensitivity",
    "specificity",
)
_SMALLER_IS_BETTER = ("loss", "error", "false_")


class MonitoredCallback(Callback):
    """Watches `monitor`; `mode` is `"min"`, `"max"` or `"auto"`, which tells from the name."""

    def __init__(self, monitor: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise bad_choice("mode", mode, ("auto", "min", "max"))
        if not isinstance(monitor, str):
            raise ArgumentError(
                f"{type(self).__name__}: monitor should be a name in the logs, such as 'val_loss', got {monitor!r}."
            )
        within(self, "[-inf, inf]", min_delta=min_delta)
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)
        self._warned = False

    def larger_is_better(self) -> bool:
        """The direction of improvement: that of `mode`, of the model's metric of this name, or of the name itself."""
        if self.mode != "auto":
            return self.mode == "max"
        name = self.monitor.removeprefix("val_")
        for metric in getattr(self.model, "metrics", ()):
            direction = getattr(metric, "_direction", None)
            if metric.name == name and direction in ("up", "down"):
                return direction == "up"
        if any(word in name for word in _SMALLER_IS_BETTER):
            return False
        return any(word in name for word in _LARGER_IS_BETTER)

    def improves(self, value: float, best: float) -> bool:
        """Whether `value` is better than `best` by more than `min_delta`."""
        better: Callable[[float, float], bool] = operator.gt if self.larger_is_better() else operator.lt
        delta = self.min_delta if self.larger_is_better() else -self.min_delta
        return better(value, best + delta) if math.isfinite(best) else better(value, best)

    def get_monitor_value(self, logs: dict[str, Any] | None) -> float | None:
        """The watched value; None, with a warning that lists what there is, if the logs lack it."""
        known = Record(logs or {})
        try:
            return float(known[self.monitor])  # type: ignore[arg-type]
        except KeyError:
            if not self._warned:
                self._warned = True
                hint = did_you_mean(self.monitor, known)
                if self.monitor.startswith("val_") and not any(name.startswith("val_") for name in known):
                    hint = " Values with 'val_' need validation_data or validation_split."
                warn(
                    f"{type(self).__name__} monitors {self.monitor!r}, which is not in the logs, so it does "
                    f"nothing.{hint} There are: {', '.join(known)}."
                )
            return None
