"""The progress of training on the terminal."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any

from cornu.base import config
from cornu.callbacks.callback import Callback

_log = logging.getLogger("cornu")
_REFRESH_SECONDS = 0.1


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f}us"
    if seconds < 1:
        return f"{seconds * 1e3:.0f}ms"
    if seconds < 120:
        return f"{seconds:.0f}s"
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _values(logs: Mapping[str, Any]) -> str:
    shown = []
    for name, value in logs.items():
        number = isinstance(value, int | float)
        shown.append(
            f"{name}: {value:.4f}"
            if number and abs(value) > 1e-3
            else f"{name}: {value:.4e}"
            if number
            else f"{name}: {value}"
        )
    return " - ".join(shown)


class Progbar:
    """One line that grows: count, bar, time left, and values.

    `target` is the number of steps, None if unknown. With `verbose=1` the line is redrawn in a terminal; elsewhere, and
    with `verbose=2`, it is written once, at the end.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Any = None,
        stateless_metrics: Any = None,
        unit_name: str = "step",
    ) -> None:
        self.target, self.width, self.verbose, self.interval, self.unit_name = (
            target,
            width,
            verbose,
            interval,
            unit_name,
        )
        self.stateful_metrics = set(stateful_metrics or ())
        self._values: dict[str, Any] = {}
        self._sums: dict[str, tuple[float, float]] = {}
        self._began = time.perf_counter()
        self._drawn = 0.0
        self._seen = 0
        self._open = False  # whether the line is still to be ended
        self._console: Any = None
        self._live = verbose == 1 and config.is_interactive_logging_enabled() and sys.stdout.isatty()

    def update(self, current: int, values: Any = None, finalize: bool | None = None) -> None:
        """Show `current` steps done and the values, pairs (name, value), averaged unless stateful."""
        steps = current - self._seen
        for name, value in values or ():
            if name in self.stateful_metrics:
                self._values[name] = value
            else:
                total, count = self._sums.get(name, (0.0, 0.0))
                self._sums[name] = (total + value * steps, count + steps)
                self._values[name] = self._sums[name][0] / max(self._sums[name][1], 1)
        self._seen = current
        self.show(current, self._values, bool(finalize) if finalize is not None else current == self.target)

    def add(self, n: int, values: Any = None) -> None:
        """`n` more steps are done."""
        self.update(self._seen + n, values)

    def show(self, current: int, values: Mapping[str, Any], final: bool) -> None:
        """Draw the line, unless it was drawn a moment ago."""
        self._seen = current
        now = time.perf_counter()
        if not self.verbose or (
            not final and (not self._live or now - self._drawn < max(self.interval, _REFRESH_SECONDS))
        ):
            return
        self._drawn = now
        line = self._line(current, values, final, now)
        if not config.is_interactive_logging_enabled():
            _log.info("".join(line))
        elif self._live:
            self._draw(line, final)
        else:
            print("".join(line), flush=True)

    def _draw(self, parts: tuple[str, str, str, str], final: bool) -> None:
        """The line in the place of the one before, in colours; what is drawn once more is cropped to the terminal."""
        from rich.console import Console, Control  # whoever trains without looking need not wait for it
        from rich.segment import ControlType
        from rich.text import Text

        self._console = self._console or Console(highlight=False)
        self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))
        line = Text.assemble(*zip(parts, ("", "green", "white", ""), strict=True))
        if final:
            self._console.print(line, soft_wrap=True)
        else:
            line.truncate(shutil.get_terminal_size().columns - 1)
            self._console.print(line, end="", no_wrap=True)
        self._open = not final

    def _line(self, current: int, values: Mapping[str, Any], final: bool, now: float) -> tuple[str, str, str, str]:
        """What is before the bar, the bar as far as it is done and to be done, and what is behind it."""
        elapsed = now - self._began
        each = elapsed / max(current, 1)
        count = f"{current}/{self.target}" if self.target else str(current)
        took = _duration(elapsed)
        if self.target and not final:
            took = f"{_duration(each * (self.target - current))} left,"
        shown = _values(values)
        rest = f"{took} {_duration(each)}/{self.unit_name}" + (f" - {shown}" if shown else "")
        room = shutil.get_terminal_size().columns - 1 if self._live else sys.maxsize
        width = min(self.width, room - len(f"{count}  {rest}")) if self.verbose == 1 and self.target else 0
        if width <= 0:
            return f"{count} ", "", "", rest
        done = min(int(width * current / self.target), width)  # type: ignore[operator]
        return f"{count} ", "━" * done, "─" * (width - done), f" {rest}"


class ProgbarLogger(Callback):
    """Shows the progress of every epoch: live in a terminal, one line an epoch elsewhere."""

    any_batch = True  # content with the ends of dispatches

    def __init__(self) -> None:
        super().__init__()
        self._bar: Progbar | None = None
        self._epochs = False
        self._steps = 0
        self._latest: Mapping[str, Any] = {}

    def _start(self) -> None:
        verbose = self.params.get("verbose", "auto")
        self._bar = Progbar(self.params.get("steps"), verbose=1 if verbose in ("auto", True) else int(verbose))
        self._steps = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._epochs = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._start()
        if self._bar is not None and self._bar._live and self.params.get("epochs", 1) > 1:
            print(f"Epoch {epoch + 1}/{self.params['epochs']}")

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._steps = batch + 1
        if self._bar is not None and self._bar._live:
            self._bar.show(batch + 1, logs or {}, False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._bar is None:
            return
        if self.params.get("steps") is None:  # now it is known
            self.params["steps"] = self._bar.target = self._steps
        prefix = ""
        if not self._bar._live and config.is_interactive_logging_enabled():
            prefix = f"Epoch {epoch + 1}/{self.params.get('epochs', 1)} "
        if prefix:
            print(prefix, end="")
        self._bar.show(self._steps, logs or {}, True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._epochs, self._bar = False, None

    def _close(self) -> None:
        if self._bar is not None and self._bar._open:
            print(flush=True)
        self.on_train_end()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self._epochs:
            self._start()

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if not self._epochs and self._bar is not None:
            self._steps = batch + 1
            self._bar.show(batch + 1, logs or {}, False)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        if not self._epochs and self._bar is not None:
            self._bar.show(self._steps, logs or {}, True)

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._start()

    def on_predict_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._steps = batch + 1
        if self._bar is not None:
            self._bar.show(batch + 1, {}, False)

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._bar is not None:
            self._bar.show(self._steps, {}, True)
