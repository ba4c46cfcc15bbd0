"""The logs as a table in a file."""

from __future__ import annotations

import csv
import os
from typing import Any, TextIO

from cornu.callbacks.callback import Callback


class CSVLogger(Callback):
    """Writes the logs of every epoch as a row of a CSV file; with `append` at its end, without its header again."""

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename, self.separator, self.append = os.fspath(filename), separator, append
        self._file: TextIO | None = None
        self._writer: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        goes_on = self.append and os.path.exists(self.filename) and os.path.getsize(self.filename) > 0
        columns = None
        if goes_on:
            with open(self.filename, newline="") as file:
                columns = next(csv.reader(file, delimiter=self.separator), None)
        self._file = open(self.filename, "a" if self.append else "w", newline="")  # noqa: SIM115 - open while training lasts
        self._writer = self._table(columns) if columns else None

    def _table(self, columns: list[str]) -> Any:
        return csv.DictWriter(self._file, columns, restval="NA", extrasaction="ignore", delimiter=self.separator)  # type: ignore[arg-type]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        if self._writer is None:
            self._writer = self._table(["epoch", *sorted(logs)])
            self._writer.writeheader()
        self._writer.writerow({"epoch": epoch, **logs})
        self._file.flush()  # type: ignore[union-attr]

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._writer = None
