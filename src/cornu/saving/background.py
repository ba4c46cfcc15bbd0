"""A thread that writes files while something else goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cornu.base import config
from cornu.base.errors import warn

_MOST = 3
"""Files that may wait, each of which holds its arrays."""


class Writer:
    """Writes one file after the other beside the caller, who goes on when one fails and is told of each cause once.

    Errors of the kinds `fatal`, which no later try would mend, are raised in the caller's thread the next time it
    reports. `what` and `where` are for messages.
    """

    def __init__(self, what: str, where: object, fatal: tuple[type[Exception], ...] = ()) -> None:
        self._what, self._where, self._fatal = what, where, fatal
        self._written = self._failed = 0
        self._causes: list[str] = []
        self._warned: set[str] = set()
        self._refused: Exception | None = None
        self._waiting: dict[str, Callable[[], None]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, key: str, job: Callable[[], None], instead_of: tuple[str, ...] = ()) -> None:
        """Run `job` in the thread, and not those that wait under its key or those of `instead_of`."""
        with self._changed:
            for one in (key, *instead_of):
                self._waiting.pop(one, None)
            self._changed.wait_for(lambda: len(self._waiting) < _MOST)
            self._waiting[key] = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, args=(config.backend(),), name=f"cornu {self._what}")
                self._thread.start()

    def _work(self, backend: str) -> None:
        with config.backend_scope(backend):
            while True:
                with self._changed:
                    if not self._waiting:
                        self._thread = None
                        return
                    job = self._waiting.pop(next(iter(self._waiting)))
                    self._changed.notify_all()
                try:
                    job()
                    self._written += 1
                except self._fatal as error:
                    self._refused = error
                except Exception as error:  # told by the caller
                    self._failed += 1
                    self._causes.append(f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}")

    def wait(self) -> None:
        """Until all is written."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def report(self) -> None:
        """Warn of what went wrong, once for each cause; raises the fatal error that a job ended with."""
        refused, self._refused = self._refused, None
        if refused is not None:
            raise refused
        while self._causes:
            cause = self._causes.pop(0)
            if cause not in self._warned:
                self._warned.add(cause)
                warn(
                    f"A {self._what} could not be written to {self._where} ({cause}). Training goes on, and the next "
                    f"{self._what} tries again."
                )

    def finish(self) -> None:
        """Wait, report, and say how many files are missing."""
        self.wait()
        self.report()
        if self._failed:
            warn(
                f"{self._failed} of {self._failed + self._written} {self._what}s could not be written to "
                f"{self._where}: {'; '.join(sorted(self._warned))}."
            )
        self._failed = self._written = 0
