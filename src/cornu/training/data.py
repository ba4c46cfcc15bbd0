"""Training data: arrays that fit, and anything that yields batches."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import os
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from cornu.backend import current, memory
from cornu.base import config, tree
from cornu.base.checks import whole
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, DataError, DTypeError, warn

Batch = tuple[Any, Any, Any]  # x, y, sample_weight; nests of arrays, None where absent
_Item = TypeVar("_Item")
Window = tuple[list[Any], Any, int, int]
"""Arrays on the device or to be sent there, the order of their rows, first batch and last row of it to be taken."""
_WINDOW_BYTES = 16 << 20
_TOGETHER, _TOGETHER_BYTES = 16, 2 << 20  # of which a dispatch copies all: 60 µs
_PATIENCE = 0.3  # seconds for a batch in the making, when nobody wants more


def unpack_batch(data: Any) -> Batch:
    """`x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)` as three; lists are taken for `x` itself."""
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise DataError(
            f"A batch should be x, (x, y) or (x, y, sample_weight), got a tuple of {len(data)}. Several inputs go "
            "into a list or dict: ([x1, x2], y)."
        )
    return (*data, None, None)[:3]


def form_of(batch: Batch) -> Any:
    """What two batches have in common that the same program takes."""
    return tree.structure(batch), [leaf is not None and (tuple(leaf.shape), leaf.dtype) for leaf in tree.flatten(batch)]


def together(batch: Any) -> int:
    """How many batches like this one are made ahead and may go to the device at once: up to 2 MiB."""
    leaves = tree.present(batch)
    if not all(isinstance(leaf, np.ndarray) and leaf.ndim and len(leaf) for leaf in leaves):
        return 1
    size: int = sum(leaf.nbytes for leaf in leaves)
    return max(1, min(_TOGETHER, _TOGETHER_BYTES // max(size, 1)))


def as_array(leaf: Any, what: str) -> Any:
    """One leaf of the data as a NumPy array or an array of the backend; floats become `floatx`."""
    if leaf is None:
        return None
    if hasattr(leaf, "to_numpy"):  # pandas
        leaf = leaf.to_numpy()
    if hasattr(leaf, "toarray"):  # scipy.sparse
        leaf = leaf.toarray()
    special = current().special(leaf)
    if special is not None:
        return special
    if hasattr(leaf, "detach"):  # torch
        leaf = leaf.detach().cpu()
    if not isinstance(leaf, np.ndarray) and not (isinstance(leaf, current().array_types) and hasattr(leaf, "astype")):
        leaf = np.asarray(leaf)
    if leaf.dtype.kind in "OSU":
        raise DTypeError(
            f"{what} holds {leaf.dtype} values, which no layer computes with. Encode them as numbers first, texts by "
            "`numpy.unique(…, return_inverse=True)`; rows of different length need `utils.pad_sequences`."
        )
    dtype = standardize_dtype(leaf.dtype)
    if dtype == "float64" and config.floatx() != "float64":
        leaf = leaf.astype(config.floatx() if config.floatx() != "bfloat16" else "float32")
    if dtype.startswith(("uint64", "int64")):
        leaf = leaf.astype("int32" if dtype == "int64" else "uint32")
    return leaf


def as_arrays(structure: Any, what: str) -> Any:
    """All leaves of the data as arrays. A list of numbers (or of rows of numbers) is one array."""
    if isinstance(structure, list | tuple) and structure and _holds_numbers(structure):
        try:
            structure = np.asarray(structure)
        except ValueError as error:
            raise DataError(
                f"{what} is a list of numbers whose parts differ in length. Several inputs should be arrays, "
                "[np.array(a), np.array(b)]; sequences of different length need `utils.pad_sequences`."
            ) from error
    return tree.map_structure(lambda leaf: as_array(leaf, what), structure)


def _holds_numbers(structure: Any) -> bool:
    while isinstance(structure, list | tuple) and structure:
        structure = structure[0]
    return isinstance(structure, bool | int | float | np.number)


def class_weights(y: Any, weights: Any) -> np.ndarray:
    """Sample weights from the classes of `y`, labels or one-hot rows; classes without a weight count once."""
    if not isinstance(weights, Mapping) or not all(
        isinstance(k, Real) and isinstance(v, Real) for k, v in weights.items()
    ):
        raise ArgumentError(f"class_weight should be a dict of class to weight, {{0: 1.0, 1: 5.0}}, got {weights!r}.")
    if y is None:
        raise ArgumentError("class_weight needs y: the classes of the rows.")
    if tree.is_nested(y):
        raise ArgumentError("class_weight needs a single target; for several outputs pass sample_weight for each.")
    y = np.asarray(y)
    labels = y.argmax(-1) if y.ndim > 1 and y.shape[-1] > 1 else y.reshape(len(y), -1)[:, 0]
    classes, where = np.unique(labels, return_inverse=True)
    known = {float(label): float(weight) for label, weight in weights.items()}
    return np.array([known.get(float(label), 1.0) for label in classes], config.floatx())[where.reshape(labels.shape)]


class ArrayData:
    """Arrays whose rows are drawn in batches; kept on the device for as long as it is used."""

    def __init__(self, x: Any, y: Any, sample_weight: Any, batch_size: int | None, shuffle: Any) -> None:
        self.x, self.y = as_arrays(x, "x"), as_arrays(y, "y")
        self.sample_weight = as_arrays(sample_weight, "sample_weight")
        self.leaves = tree.present((self.x, self.y, self.sample_weight))
        sizes = {
            f"{what}{''.join(f'[{key!r}]' for key in path)}": leaf.shape[0] if len(leaf.shape) else None
            for what, part in (("x", self.x), ("y", self.y), ("sample_weight", self.sample_weight))
            for path, leaf in tree.flatten_with_path(part)
            if leaf is not None
        }
        if None in sizes.values():
            raise DataError(f"Data should have a batch axis, got scalars: {sizes}.")
        if len(set(sizes.values())) > 1:
            shown = ", ".join(f"{what}: {size}" for what, size in sizes.items())
            raise DataError(f"All data should have the same number of rows, got {shown}.")
        self.rows: int = next(iter(sizes.values()), 0) or 0
        if not self.rows:
            raise DataError("The data is empty: it holds no rows.")
        if batch_size is not None:
            whole(None, 1, batch_size=batch_size)
        self.batch_size = min(int(batch_size or 32), self.rows)
        self.shuffle = bool(shuffle)
        self.batches_of_rows = shuffle == "batch"
        self.num_batches = -(-self.rows // self.batch_size)
        self.device_leaves: list[Any] | None = None

    def peek(self) -> Batch:
        """What a batch looks like: all rows as one."""
        return self.x, self.y, self.sample_weight

    def as_batch(self) -> Batch:
        """All rows as one batch, to compute with."""
        batch: Batch = tree.map_structure(memory.aligned, self.peek())
        return batch

    def order(self, seed: int, epoch: int) -> np.ndarray:
        """The order of the rows: a function of seed and epoch."""
        if not self.shuffle:
            return np.arange(self.rows, dtype="int32")
        if not self.batches_of_rows:
            return shuffled(self.rows, seed, epoch)
        batches = shuffled(self.rows // self.batch_size, seed, epoch)
        head = (batches[:, None] * self.batch_size + np.arange(self.batch_size, dtype="int32")).reshape(-1)
        return np.concatenate([head, np.arange(len(head), self.rows, dtype="int32")])

    def weigh(self, class_weight: Any) -> None:
        """Multiply the weights of the rows with those of their classes."""
        weights, given = class_weights(self.y, class_weight), self.sample_weight
        if given is not None:
            if tree.is_nested(given):
                raise ArgumentError("class_weight and sample weights of several outputs exclude each other.")
            given = np.asarray(given)
            weights = given * weights.reshape(-1, *(1,) * (given.ndim - 1))
        self.sample_weight = weights
        self.leaves = tree.present(self.peek())

    def batches(
        self, seed: int, epoch: int, start: int = 0, steps: int | None = None, again: bool = True
    ) -> Generator[Batch, None, None]:
        """The batches of one epoch from the one numbered `start`, on the host."""
        for number, first, end in stretches(self.num_batches, epoch, start, steps):
            order = self.order(seed, number)
            for at in range(first, end):
                rows = order[at * self.batch_size : (at + 1) * self.batch_size]
                yield tree.map_structure(functools.partial(_picked, rows=rows), self.peek(), none_is_leaf=False)

    def windows(self, seed: int, epoch: int, start: int, steps: int | None) -> Iterator[Window]:
        """The batches of an epoch, 16 MiB of them at a time, on the host."""
        size, leaves = self.batch_size, [np.asarray(leaf) for leaf in self.leaves]  # once, where they are a device's
        bytes_per_batch = sum(leaf.nbytes for leaf in leaves) // self.rows * size
        room = size * max(1, _WINDOW_BYTES // max(bytes_per_batch, 1))
        rest = self.rows % size
        numbers = memory.aligned(np.arange(room + rest, dtype="int32"))
        for number, first, end in stretches(self.num_batches, epoch, start, steps):
            order = self.order(seed, number)[first * size : end * size]
            for at in range(0, len(order), room):
                rows = order[at : at + room]
                yield [_picked(leaf, rows, len(numbers)) for leaf in leaves], numbers, 0, len(rows)


def shuffled(count: int, seed: int, epoch: int) -> np.ndarray:
    """The ints below `count` in an order that is a function of seed and epoch."""
    return np.random.Generator(np.random.SFC64([seed, epoch])).permutation(count).astype("int32")


def stretches(count: int | None, epoch: int, start: int, steps: int | None) -> Iterator[tuple[int, int, int]]:
    """(pass over the data, first batch, the one after the last) of an epoch from the batch numbered `start`.

    An epoch is a pass over the `count` batches, or so many `steps`, which begin where those of the epoch before ended.
    """
    count = count or sys.maxsize  # if there is no end
    total = count if steps is None else steps
    while start < total:
        number, first = (epoch, start) if steps is None else divmod(epoch * total + start, count)
        end = min(count, first + total - start)
        yield number, first, end
        start += end - first


def _picked(leaf: Any, rows: Any, room: int = 0) -> Any:
    """These rows, in an array of so many rows if there should be more."""
    if not hasattr(leaf, "nbytes"):
        return current().rows(leaf, rows)
    picked = memory.empty((room or len(rows), *leaf.shape[1:]), leaf.dtype)
    np.take(np.asarray(leaf), rows, 0, picked[: len(rows)], "clip")
    return picked


class BatchData:
    """Anything that yields batches: a generator, a torch DataLoader, an iterable.

    A generator goes on where it stopped. Whatever can be iterated anew is: each epoch, or with a number of steps
    whenever it has ended.
    """

    def __init__(self, source: Any) -> None:
        self.source = source
        self.class_weight: Any = None
        self.endless = isinstance(source, Iterator)
        self.num_batches: int | None = None
        self.infinite = False
        if hasattr(source, "cardinality"):  # tf.data; of what is distributed it is a property
            count = int(source.cardinality() if callable(source.cardinality) else source.cardinality)
            self.num_batches = count if count >= 0 else None
            self.endless = self.infinite = count == -1
        elif hasattr(source, "__len__"):
            with contextlib.suppress(TypeError):  # a DataLoader of a stream has the method, and no length
                self.num_batches = len(source)
        self.remember: Callable[[], Any] = lambda: None
        """Called when a pass over the source begins; what it returns is known as `begun_with`."""
        self._left: Iterator[Batch] | None = None  # of the pass that has begun
        self._peeked: list[Batch] = []
        self._passes: list[tuple[int, Any]] = []  # batches drawn before each, and what was remembered then
        self._drawn = self._trained = 0

    def weigh(self, class_weight: Any) -> None:
        """Give rows the weights of their classes."""
        self.class_weight = class_weight

    def advance(self, count: int) -> None:
        """So many batches more were trained on."""
        self._trained += count

    def _current(self) -> tuple[int, Any]:
        return next((one for one in reversed(self._passes) if one[0] <= self._trained), (0, None))

    @property
    def consumed(self) -> int:
        """Batches that were trained on since the pass began from which the next one comes."""
        return self._trained - self._current()[0]

    @property
    def begun_with(self) -> Any:
        """What was remembered when that pass began; None if it has not begun."""
        return self._current()[1]

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to draw."""
        if not self._peeked:
            self._peeked += itertools.islice(self._open(), 1)
        return not self._peeked

    def check_end(self, steps: int | None) -> None:
        """Raises DataError where nothing would end a pass."""
        if self.infinite and steps is None:
            raise DataError(
                "The data set never ends: give `steps_per_epoch` (to `fit`; `validation_steps` for validation, `steps` "
                "elsewhere), or end it with `take`."
            )

    def peek(self) -> Batch:
        """The next batch, which will be yielded again."""
        if self.is_over:
            raise DataError("The data is empty: it yields no batch.")
        return self._peeked[0]

    def _open(self) -> Iterator[Batch]:
        if self._left is None:
            kept = [one for one in self._passes if self._current()[0] <= one[0] < self._drawn]
            self._passes = [*kept, (self._drawn, self.remember())]
            self._left = map(self._prepare, self.source if self.endless else iter(self.source))
        return self._left

    def _prepare(self, data: Any) -> Batch:
        x, y, weight = unpack_batch(tuple(data) if isinstance(data, list) and len(data) in (2, 3) else data)
        x, y, weight = as_arrays(x, "x"), as_arrays(y, "y"), as_arrays(weight, "sample_weight")
        fresh = hasattr(self.source, "iterate")  # others may fill the same arrays again while these wait
        x, y, weight = tree.map_structure(memory.aligned if fresh else memory.copied, (x, y, weight))
        if self.class_weight is not None:
            if weight is not None:
                raise ArgumentError("class_weight and sample weights yielded by the data exclude each other.")
            weight = class_weights(y, self.class_weight)
        sizes = {leaf.shape[0] if len(leaf.shape) else 0 for leaf in tree.present((x, y, weight))}
        if len(sizes) > 1 or 0 in sizes:
            shapes = tree.map_structure(lambda leaf: tuple(leaf.shape), (x, y, weight), none_is_leaf=False)
            problem = "hold at least one row" if sizes == {0} else "have the same number of rows"
            if () in map(tuple, [leaf.shape for leaf in tree.present((x, y, weight))]):
                problem = "have a batch axis (a data set of single rows needs `.batch(32)`)"
            raise DataError(f"All arrays of a batch should {problem}, got shapes {shapes}.")
        return x, y, weight

    def batches(
        self, seed: int, epoch: int, start: int = 0, steps: int | None = None, again: bool = True
    ) -> Generator[Batch, None, None]:
        """The batches of one epoch, made ahead in a thread; those before `start` were skipped, by `skip`.

        No more than `steps` are drawn. Where they are not enough, a source that can be is iterated `again`.
        """
        self.check_end(steps)
        left = sys.maxsize if steps is None else steps - start
        while left:
            stream, (begun, _) = self._open(), self._passes[-1]
            ahead = self._peeked[:left]
            del self._peeked[: len(ahead)]
            with contextlib.closing(prefetch(itertools.islice(stream, left - len(ahead)))) as made:
                for batch in itertools.chain(ahead, made):
                    self._drawn += 1
                    left -= 1
                    yield batch
            if not self.endless and (left or self._drawn - begun == self.num_batches):  # the pass is over
                self._left = None
                self._passes.append((self._drawn, None))
            if left and (steps is None or self.endless or not again or self._drawn == begun):
                return

    def skip(self, count: int) -> None:
        """Take so many batches from the source, which nobody wants."""
        stream = self._open()
        for _ in range(count - len(self._peeked)):
            next(stream, None)
        self._peeked = self._peeked if count == 0 else []
        self._drawn += count
        self._trained += count

    def rewind(self) -> None:
        """Draw from the source anew, unless it is a generator."""
        if not self.endless:
            self._left, self._peeked, self._passes = None, [], []
            self._drawn = self._trained = 0

    def end_of_epoch(self) -> None:
        """Tell the source that an epoch is over."""
        if hasattr(self.source, "on_epoch_end"):
            self.source.on_epoch_end()


class IndexedData(BatchData):
    """A `PyDataset`: its batches are known by their number, and it prefetches by itself."""

    def __init__(self, source: Any, shuffle: bool) -> None:
        super().__init__(source)
        self.num_batches = source.num_batches
        self.shuffle = shuffle and self.num_batches is not None
        self._begun = False

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self.source.on_epoch_begin()

    @property
    def is_over(self) -> bool:
        if not self._peeked and self.num_batches != 0:
            self._begin()
            self._peeked = [self._prepare(self.source[0])]
        return not self._peeked

    def _indices(self, seed: int, epoch: int, start: int, steps: int | None) -> Iterator[int]:
        for number, first, end in stretches(self.num_batches, epoch, start, steps):
            order = shuffled(self.num_batches or 0, seed, number)[first:end] if self.shuffle else range(first, end)
            yield from map(int, order)

    def batches(
        self, seed: int, epoch: int, start: int = 0, steps: int | None = None, again: bool = True
    ) -> Generator[Batch, None, None]:
        """The batches of one epoch from the one numbered `start`, made ahead by the workers; their order is a
        function of seed and epoch."""
        self._begin()
        indices = self._indices(seed, epoch, start, steps)
        first = next(indices, None)
        if first == 0 and self._peeked:
            yield self._peeked.pop()
        elif first is not None:
            indices = itertools.chain([first], indices)
        self._peeked = []
        with contextlib.closing(prefetch(map(self._prepare, self.source.iterate(indices)))) as stream:
            yield from stream

    def end_of_epoch(self) -> None:
        super().end_of_epoch()
        self._begun = False

    def replay(self, epochs: int) -> None:
        """Tell the source of so many epochs that were."""
        for _ in range(epochs):
            self._begin()
            self._peeked = []
            self.end_of_epoch()


_resting: list[queue.SimpleQueue[Any]] = []
"""What threads without work wait at."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_resting.clear)


def _in_thread(work: Callable[[], None]) -> threading.Event:
    """Have it done in a thread, one that rests if there is one; the event is set when it was.

    glibc keeps what was freed in heaps of threads, and may give each new thread another one, up to eight for each core:
    12 MB in each of 16 after so many epochs of 784-128-10 from a generator.
    """

    def run(jobs: queue.SimpleQueue[Any]) -> None:
        while True:
            work, done = jobs.get()
            work()
            del work  # and the batches it holds
            _resting.append(jobs)
            done.set()

    done = threading.Event()
    try:
        jobs = _resting.pop()
    except IndexError:
        jobs = queue.SimpleQueue()
        threading.Thread(target=run, args=(jobs,), daemon=True, name="cornu-prefetch").start()
    jobs.put((work, done))
    return done


def prefetch(batches: Iterator[_Item]) -> Generator[_Item, None, None]:
    """The batches, made ahead in a thread: two, or as many as go together; its exceptions appear where they belong."""
    ready: queue.Queue[tuple[str, Any]] = queue.Queue()
    wanted = threading.Semaphore(2)  # a batch is only drawn from the source when someone may want it
    stop = threading.Event()
    backend = config.backend()

    def produce() -> None:
        try:
            with config.backend_scope(backend):
                while True:
                    wanted.acquire()
                    if stop.is_set():
                        return
                    ready.put(("batch", next(batches)))
        except StopIteration:
            ready.put(("end", None))
        except BaseException as error:  # handed to the consumer
            ready.put(("error", error))

    ended = _in_thread(produce)
    begun = False
    try:
        while True:
            kind, item = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise item
            yield item
            wanted.release(1 if begun else max(together(item) - 1, 1))
            begun = True
    finally:
        stop.set()
        wanted.release()
        ended.wait(_PATIENCE)


def adapt(
    x: Any, y: Any = None, sample_weight: Any = None, batch_size: int | None = None, shuffle: Any = False
) -> ArrayData | BatchData:
    """The data given to `fit`, `evaluate` or `predict`, as one of the two kinds."""
    if isinstance(x, ArrayData | BatchData):
        return x
    if x is None:
        raise DataError("No data: x is None.")
    if shuffle not in (True, False, None, "batch"):
        raise ArgumentError(f"shuffle should be True, False or 'batch', got {shuffle!r}.")
    is_arrays = isinstance(x, list | tuple | dict) or (hasattr(x, "shape") and hasattr(x, "dtype"))
    if is_arrays or hasattr(x, "to_numpy") or hasattr(x, "toarray"):
        return ArrayData(x, y, sample_weight, batch_size, shuffle)
    if not isinstance(x, Iterable) and not hasattr(x, "iterate") and not hasattr(x, "__getitem__"):
        raise DataError(
            f"Data of type {type(x).__name__} is not supported. Use arrays, lists or dicts of arrays, a PyDataset, a "
            "generator or any iterable of batches."
        )
    for name, given in (("y", y), ("sample_weight", sample_weight)):
        if given is not None:
            raise ArgumentError(f"{name} should not be given besides data that yields batches; let it yield (x, y, …).")
    if hasattr(x, "iterate"):
        return IndexedData(x, bool(shuffle))
    if batch_size is not None:
        warn("batch_size is ignored: the data yields batches already.")
    return BatchData(x)


def split_rows(data: ArrayData, fraction: float) -> tuple[ArrayData, ArrayData]:
    """The rows before the last `fraction`, and those last ones."""
    if not isinstance(fraction, Real) or not 0 < fraction < 1:
        raise ArgumentError(f"validation_split should be between 0 and 1, got {fraction!r}.")
    cut = math.floor(data.rows * (1 - fraction))
    if cut == 0 or cut == data.rows:
        raise DataError(f"validation_split={fraction} of {data.rows} rows leaves one side empty.")

    def part(rows: slice) -> Any:
        return tree.map_structure(lambda leaf: leaf[rows], data.peek(), none_is_leaf=False)

    shuffle = "batch" if data.batches_of_rows else data.shuffle
    x, y, weight = part(slice(0, cut))
    held_x, held_y, held_weight = part(slice(cut, None))
    return (
        ArrayData(x, y, weight, data.batch_size, shuffle),
        ArrayData(held_x, held_y, held_weight, data.batch_size, False),
    )
