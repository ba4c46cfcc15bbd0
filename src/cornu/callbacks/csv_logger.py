"""The logs as a table in a file."""

from __future__ import annotations

import csv
import os
from typing import Any, TextIO

import numpy as np

from cornu.base.errors import ArgumentError
from cornu.callbacks.callback import Callback


class CSVLogger(Callback):
    """Writes the logs of every epoch as a row of a CSV file; with `append` at its end, without its header again.

    What an epoch lacks, such as a validation, is `NA`.
    """

    _kept = ("_columns", "_end")

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename, self.separator, self.append = os.fspath(filename), separator, append
        self._file: TextIO | None = None
        self._table: Any = None
        self._columns: list[str] | None = None
        self._end: int | None = None  # where the next row belongs

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._close()
        self._columns = self._end = None
        self._file = self._open()

    def _open(self) -> TextIO:
        try:
            file = open(self.filename, "a+", newline="")  # noqa: SIM115 - open while training lasts
        except OSError as error:
            raise ArgumentError(
                f"CSVLogger: the file {self.filename!r} cannot be written ({error.strerror}). Make the folder "
                f"{os.path.dirname(os.path.abspath(self.filename))!r}, or pass another filename."
            ) from error
        if self._end is None:
            self._end = file.tell() if self.append else 0
        return file

    def _begin(self, file: TextIO, logs: dict[str, Any]) -> Any:
        """The table, at the place where the next row belongs."""
        self._end = file.truncate(min(self._end or 0, file.seek(0, os.SEEK_END)))  # rows after that are written again
        if self._end and self._columns is None:
            file.seek(0)
            self._columns = next(csv.reader(file, delimiter=self.separator))
        elif not self._end:
            names = sorted(logs)
            if self.params.get("validates") and not any(name.startswith("val_") for name in names):
                names += [f"val_{name}" for name in names if name != "learning_rate"]
            self._columns = ["epoch", *names]
        file.seek(0, os.SEEK_END)
        table = csv.DictWriter(file, self._columns or (), "NA", "ignore", delimiter=self.separator)
        if not self._end:
            table.writeheader()
        return table

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        self._file = self._file or self._open()
        self._table = self._table or self._begin(self._file, logs)
        values = {name: np.asarray(value).tolist() if np.ndim(value) else value for name, value in logs.items()}
        self._table.writerow({"epoch": epoch, **values})
        self._file.flush()
        self._end = self._file.tell()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._table = None
