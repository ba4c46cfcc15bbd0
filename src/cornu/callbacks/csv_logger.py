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
        self._columns: list[str] | None = None
        self._end: int | None = None  # where a run that goes on had come to

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._file = self._columns = self._end = None

    def get_state(self) -> dict[str, Any]:
        return {"columns": self._columns, "end": self._end}

    def set_state(self, state: dict[str, Any]) -> None:
        self._columns, self._end = state["columns"], state["end"]

    def _open(self) -> TextIO:
        """The file at the place where the next row belongs."""
        exists = os.path.exists(self.filename)
        goes_on = exists and (self._end is not None or (self.append and os.path.getsize(self.filename) > 0))
        file = open(self.filename, "r+" if goes_on else "w", newline="")  # noqa: SIM115 - open while training lasts
        if not goes_on:
            self._columns = None
        elif self._end is not None:  # rows after that are written again
            file.truncate(self._end)
        else:
            self._columns = next(csv.reader(file, delimiter=self.separator), None)
        file.seek(0, os.SEEK_END)
        return file

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        self._file = self._file or self._open()
        header, self._columns = self._columns is None, self._columns or ["epoch", *sorted(logs)]
        table = csv.DictWriter(self._file, self._columns, "NA", "ignore", delimiter=self.separator)
        if header:
            table.writeheader()
        table.writerow({"epoch": epoch, **logs})
        self._file.flush()
        self._end = self._file.tell()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None
