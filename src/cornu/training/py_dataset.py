"""Datasets written as a Python class that makes batches on demand."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from cornu.base.checks import whole


class PyDataset:
    """Derive from it and define `__len__` (batches an epoch) and `__getitem__(index)`, which returns a batch.

    With several `workers` (threads, or processes with `use_multiprocessing`) batches are made ahead, at most
    `max_queue_size` of them, and come in order. `on_epoch_end` is called after every epoch. An endless dataset sets
    `num_batches` to None.
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        whole(self, 1, workers=workers, max_queue_size=max_queue_size)
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} should define `__getitem__(index)`, which returns a batch.")

    @property
    def num_batches(self) -> int | None:
        """Batches an epoch; None if there is no end."""
        if not hasattr(self, "__len__"):
            raise NotImplementedError(f"{type(self).__name__} should define `__len__`, the number of batches an epoch.")
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before every epoch."""

    def on_epoch_end(self) -> None:
        """Called after every epoch."""

    def iterate(self, indices: Iterable[int] | None = None) -> Iterator[Any]:
        """The batches with these numbers, of all if there are none, in this order, made ahead by the workers."""
        # Subclasses that do not call `super().__init__()` get the defaults.
        workers, processes = getattr(self, "workers", 1), getattr(self, "use_multiprocessing", False)
        at_most = max(getattr(self, "max_queue_size", 10), workers)
        if indices is None:
            indices = itertools.count() if self.num_batches is None else range(self.num_batches)
        if workers == 1 and not processes:
            for i in indices:
                yield self[i]
            return
        pool: Executor = ProcessPoolExecutor(workers) if processes else ThreadPoolExecutor(workers)
        waiting: deque[Future[Any]] = deque()
        try:
            for i in indices:
                waiting.append(pool.submit(self.__getitem__, i))
                if len(waiting) >= at_most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
