"""The loop: compiled steps, many in one dispatch, on data that stays on the device.

A step is a pure function of the values of all variables. For arrays that fit on the device, one program gathers the
rows of each batch and takes n steps, where n is known only when it runs: one compilation serves every n. The loop
picks n so that a dispatch takes long enough to hide its cost and ends soon enough for a live display and a prompt
answer to Ctrl-C.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from cornu.backend import B, memory
from cornu.base import config, tree
from cornu.base.spec import Spec
from cornu.core.state import functional, infer
from cornu.core.variable import Variable, initialize
from cornu.training.data import ArrayData, Batch, BatchData, Window, form_of, prefetch, stretches, together
from cornu.training.speed import Stopwatch

DISPATCH_SECONDS = 0.075
"""How long a dispatch of many steps should take."""
MANY_ROWS = 16
"""From so many rows on a batch is predicted by a program for many rows."""
_Item = TypeVar("_Item")
RESIDENT_BYTES, SHARED_BYTES = 2 << 30, 64 << 20
"""Arrays up to this size are kept on the device as a whole; on one that shares the host's memory, up to the second."""
PASSES_ROWS = 8192
"""Passes over so many rows in all are one dispatch, where nobody looks between them."""
LONG_BYTES = 64 << 20
"""Variables of this size make a step long: programs of one step each are ready before it is over."""


class DeviceLogs(Mapping[str, float]):
    """Logs on the device, fetched when someone looks."""

    def __init__(self, arrays: dict[str, Any], values: dict[str, Any] | None = None) -> None:
        self._arrays, self._values = arrays, values

    def fetch(self) -> dict[str, Any]:
        """The values as Python floats (arrays where they are no scalars)."""
        if self._values is None:
            fetchable = [name for name, value in self._arrays.items() if hasattr(value, "shape")]
            fetched = zip(fetchable, B.to_numpy_tree([self._arrays[name] for name in fetchable]), strict=True)
            self._values = {
                name: float(value) if np.ndim(value) == 0 else np.asarray(value)
                for name, value in {**self._arrays, **dict(fetched)}.items()
            }
        return self._values

    def __getitem__(self, name: str) -> float:
        value: float = self.fetch()[name]
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class Terminated(SystemExit):
    """A signal that asks the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)  # what a shell reports
        self.signal = signal.Signals(number)


class Interruption:
    """Turns Ctrl-C into a request that is honoured between dispatches, where every variable has its value.

    Likewise the other `signals`, which become Terminated. A second Ctrl-C is not held back, nor one while data is
    waited for.
    """

    def __init__(self, *signals: signal.Signals) -> None:
        self.asked: int | None = None
        self._waits = False
        self._signals = (signal.SIGINT, *signals)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        for number in self._signals if threading.current_thread() is threading.main_thread() else ():
            before = signal.getsignal(number)
            if callable(before) or (before is signal.SIG_DFL and number != signal.SIGINT):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: Any) -> None:
        if self.asked is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = number
        if self._waits:
            self.check()

    def over(self, items: Iterator[_Item]) -> Iterator[_Item]:
        """The items, which may be long in coming."""
        while True:
            self._waits = True
            try:
                self.check()
                item = next(items, None)
            finally:
                self._waits = False
            if item is None:
                return
            yield item

    def check(self) -> None:
        """Raises KeyboardInterrupt or Terminated if it was asked for."""
        if self.asked is not None:
            raise KeyboardInterrupt if self.asked == signal.SIGINT else Terminated(self.asked)

    def __exit__(self, *exc: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


_locks: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def lock_of(model: Any) -> Any:
    """The model's lock, held while a program runs: it takes the arrays of the variables away from other threads."""
    with _making:
        return _locks.setdefault(model, threading.RLock())


def batch_for_step(x: Any, y: Any, sample_weight: Any) -> Any:
    """What a `train_step` receives: `x`, `(x, y)` or `(x, y, sample_weight)`."""
    if sample_weight is not None:
        return x, y, sample_weight
    if y is not None:
        return x, y
    return (x,) if tree.is_nested(x) else x


class Listener:
    """What a pass over the data tells, and asks, between dispatches. This one is silent and asks for nothing."""

    every_step = False
    """Whether every step is a dispatch of its own."""
    keep = False
    """Whether the state is kept, so that it is for `bad` what it was before the dispatch."""

    epochs_left = 0
    """How many epochs are left, this one among them, if nobody looks between them; else 0."""
    ahead: list[DeviceLogs]
    """The logs of epochs that ran together with one before."""

    def begin(self, step: int) -> None:
        """A dispatch begins with this step."""

    def end(self, step: int, logs: DeviceLogs) -> bool:
        """A dispatch ended with this step; true ends the pass."""
        return False

    def bad(self, step: int, batch: Batch | None) -> None:
        """This is the first step whose loss is not finite, and its batch if the data is not on the device."""

    def at_most(self, step: int) -> int:
        """How many steps a dispatch that begins at this one may have."""
        return sys.maxsize


class Engine:
    """The compiled programs of one kind of step (`"train"`, `"test"`, `"predict"`) of one model."""

    def __init__(self, model: Any, kind: str) -> None:
        self.model, self.kind, self._lock = model, kind, lock_of(model)
        self.step: Callable[[Any], Any] = any_form(model, getattr(model, f"{kind}_step"))
        # Unless overridden, what a step reports follows from the metrics: it is computed once a dispatch, not a step.
        own = (f"{kind}_step", "compute_metrics")
        self.reports_metrics = kind != "predict" and all(map(model._is_default, own))
        self.resets = model._is_default("reset_metrics")
        self.variables: list[Variable] = model._engine_variables(kind)
        self.trainable: list[Variable] = model.trainable_variables  # once: 14 ms where there are 1,000 variables
        self.metrics: list[Any] = model._engine_metrics() if kind != "predict" else []
        tracker = model._loss_tracker if kind == "train" else None
        self.watched = next((i for i, v in enumerate(self.variables) if tracker and v is tracker.total), None)
        initialize(self.variables)
        self._log_names: list[str] = []
        self._seconds_per_step: float | None = None
        self._chunk = 1
        self._traces = self._traces_seen = 0  # of programs, each before it was compiled
        self.watch = Stopwatch()
        self._form: Any = None  # the shapes of the last batch that a program was compiled for
        self.because = "the first step"
        compiled, forward = model._compiles, kind == "test"
        self._compile = functools.partial(B.compile, donate=True, thorough=model.jit_compile is True, forward=forward)
        wished = None if model.jit_compile == "auto" else bool(model.jit_compile)  # of what runs the longest
        self._compile_loop = functools.partial(self._compile, thorough=wished)
        self._single = self._compile(self._single_step) if compiled else self._single_step
        self._resident: dict[Any, Callable[..., Any]] = {}
        self.eager = not compiled
        self.apart = B.asks and sum(v._value.nbytes for v in self.variables) >= LONG_BYTES

    # the programs, pure

    def _advance(self, values: list[Any], batch: Any, reset: Any) -> tuple[list[Any], Any]:
        self._traces += 1
        pure = functional(lambda data: self.step(batch_for_step(*data)), self.variables)
        values, logs = pure(self._reset(values, reset), batch)
        self.model._last_call = None  # holds losses of the trace
        return values, None if self.reports_metrics else self._named(logs)

    def _reset(self, values: list[Any], reset: Any) -> list[Any]:
        """The values with those of the metrics at their beginning where `reset` is true."""
        if not self.metrics:
            return values

        def clear() -> None:
            for metric in self.metrics:
                metric.reset_state()

        cleared, _ = functional(clear, self.variables)(values)
        return [old if old is new else B.where(reset, new, old) for old, new in zip(values, cleared, strict=True)]

    def _report(self, values: list[Any], logs: Any) -> Any:
        if self.reports_metrics:
            logs = self._named(functional(self.model.get_metrics_result, self.variables)(values)[1])
        return logs

    def _named(self, logs: Any) -> Any:
        logs = logs if isinstance(logs, dict) else {"loss": logs}
        self._log_names = list(logs)  # what comes out of a compiled program is sorted by name
        return logs

    def _watch(self, values: list[Any], step: Any, bad: Any) -> Any:
        """The first step after which the loss was not finite, -1 before that."""
        if self.watched is None:
            return bad
        total = values[self.watched]
        found = B.logical_and(bad < 0, B.logical_not(B.isfinite(total)))
        return B.where(found, step, bad)

    def _single_step(self, values: list[Any], batch: Any, reset: Any) -> tuple[list[Any], Any, Any]:
        values, logs = self._advance(values, batch, reset)
        zero = B.convert(0, "int32")
        return values, [self._report(values, logs)], self._watch(values, zero, zero - 1)

    def _resident_program(
        self, structure: Any, size: int, several: bool = False, counts: tuple[int, int] | None = None
    ) -> Callable[..., Any]:
        """The program for data on the device in this form: `count` steps, and `last` one of the rows left over;
        or these numbers of both, and no loop. It takes them in `several` orders one after the other, if asked to."""
        form = tree.map_structure(lambda leaf: 0, structure, none_is_leaf=False)
        key = (tree.structure(form), tuple(leaf is None for leaf in tree.flatten(form)), size, several, counts)
        if key in self._resident:
            return self._resident[key]

        def program(
            values: list[Any], leaves: list[Any], order: Any, start: Any, count: Any, last: Any, reset: Any
        ) -> Any:
            no = B.convert(False, "bool")
            count, last = counts or (count, last)

            def steps(values: list[Any], bad: Any, first: Any, count: Any, rows: int) -> Any:
                def step(i: Any, values: list[Any]) -> tuple[list[Any], Any]:
                    at = B.dynamic_slice(order, [(first + i) * size], [rows])
                    return self._advance(values, tree.packed(form, [B.take(leaf, at, 0) for leaf in leaves]), no)

                def body(i: Any, carry: Any) -> Any:
                    values, logs = step(i, carry[0])
                    return values, logs, self._watch(values, first - start + i, carry[2])

                logs = None
                if not self.reports_metrics:
                    found = B.infer(lambda vs: step(B.convert(0, "int32"), vs)[1], [Spec.of(v) for v in values])
                    logs = tree.map_structure(_nothing_yet, found)
                return B.loop(count, body, (values, logs, bad))

            values, logs, bad = steps(self._reset(values, reset), B.convert(-1, "int32"), start, count, size)
            both = [logs]
            if rest := order.shape[0] % size:
                values, logs, bad = steps(values, bad, start + count, last, rest)
                both += [] if self.reports_metrics else [logs]
            return values, [self._report(values, logs) for logs in both], bad

        def repeated(
            values: list[Any], leaves: Any, orders: Any, start: Any, count: Any, last: Any, passes: Any, reset: Any
        ) -> Any:
            def report(values: list[Any]) -> Any:
                return tree.map_structure(B.convert, self._report(values, None))

            def body(i: Any, carry: Any) -> Any:
                values, logs, bad = carry
                values, _, now = program(values, leaves, B.take(orders, i, 0), start, count, last, reset)
                found = {k: B.dynamic_update(logs[k], [i] + [0] * v.ndim, v[None]) for k, v in report(values).items()}
                return values, found, B.where(B.logical_and(bad < 0, now >= 0), i * (count + last) + now, bad)

            specs = B.infer(report, [Spec.of(v) for v in values])
            logs = {name: B.zeros((orders.shape[0], *spec.shape), spec.dtype) for name, spec in specs.items()}
            values, logs, bad = B.loop(passes, body, (values, logs, B.convert(-1, "int32")))
            return values, [logs], bad

        self._resident[key] = self._compile_loop(repeated if several else program)
        return self._resident[key]

    # running them

    def _values(self) -> list[Any]:
        """The values of all variables, in arrays nobody else holds: they are given away."""
        if self.eager:
            return [v._value for v in self.variables]
        return [B.copy(v._value) if v._shared else v._value for v in self.variables]

    def _store(self, values: list[Any]) -> None:
        for variable, value in zip(self.variables, values, strict=True):
            variable._value, variable._shared = value, False

    def _run(self, which: int, program: Callable[..., Any], *arguments: Any) -> tuple[DeviceLogs, Any]:
        """Run it on the values of all variables, which become what it returns: the watch's finding, and the logs of the
        whole batches (0) or of the rows left over (-1)."""
        with self._lock:
            values, logs, bad = program(self._values(), *arguments)
            self._store(values)
        return DeviceLogs({name: logs[which][name] for name in self._log_names}), bad

    def _run_passes(self, listener: Listener, passes: int, program: Any, leaves: Any, *rest: Any) -> Any:
        """As `_run`, for so many passes: what the first returns, while the logs of the others go to the listener."""
        *arguments, reset = rest
        logs, bad = self._run(0, program, leaves, *arguments, np.int32(passes), reset)
        self.watch.counts["epochs"] = passes
        columns = {name: column.tolist() if column.ndim == 1 else column for name, column in logs.fetch().items()}
        rows = ({name: column[i] for name, column in columns.items()} for i in range(passes))
        first, *listener.ahead = (DeviceLogs(row, row) for row in rows)
        return first, bad

    def run_batch(self, batch: Any, reset: bool) -> tuple[DeviceLogs, Any]:
        """One step on a batch from the host (or the device): its logs and the watch's finding."""
        if self.eager or not B.waits:  # else the program takes the arrays of the host as they are
            batch = tree.packed(batch, B.transfer(tree.present(batch)))
        return self._run(0, self._single, batch, reset)

    def run_batches(self, batches: list[Batch], most: int, reset: bool) -> tuple[DeviceLogs, Any]:
        """A step on each of these batches from the host, all of one form, in one dispatch that could take `most`."""
        if most == 1:
            return self.run_batch(batches[0], reset)
        leaves = []
        for column in zip(*map(tree.present, batches), strict=True):
            size = len(column[0])
            whole = memory.empty((most * size, *column[0].shape[1:]), column[0].dtype)
            np.concatenate(column, out=whole[: len(column) * size])
            leaves.append(whole)
        program = self._resident_program(batches[0], size)
        order, zero, count = np.arange(most * size, dtype="int32"), np.int32(0), np.int32(len(batches))
        return self._run(0, program, leaves if B.waits else B.transfer(leaves), order, zero, count, zero, reset)

    def epoch(
        self,
        data: ArrayData | BatchData,
        epoch: int,
        steps: int | None,
        seed: int,
        listener: Listener,
        interruption: Interruption,
        start: int = 0,
    ) -> DeviceLogs | None:
        """One epoch; one that was broken off goes on at step `start`."""
        if start == 0 and not self.resets:
            self.model.reset_metrics()
        runs = self._dispatches(data, epoch, steps, seed, listener, start)
        logs, kept, bad_step = None, None, None
        pending: list[tuple[int, Any, Any]] = []  # what was not waited for: first step, the watch's finding, what ran
        waiting, expected, began = 0, 0.0, time.perf_counter()

        def settle() -> None:
            """Wait for what is pending, learn from it how long steps take, and look for a loss that is not finite."""
            nonlocal bad_step, waiting, expected
            B.wait([bad for _, bad, _ in pending])
            self._learn_pace(waiting, time.perf_counter() - began)
            for first, bad, dispatch in pending if self.watched is not None and bad_step is None else ():
                found = int(B.to_numpy(bad))
                if found >= 0 and bad_step is None:
                    bad_step = first + found
                    after = [v._value for v in self.variables]
                    if kept is not None:
                        self._store(kept)
                    batches = _batches_of(dispatch)
                    listener.bad(bad_step, None if batches is None else batches[found])
                    self._store(after)
            pending.clear()
            waiting, expected = 0, 0.0

        with contextlib.closing(runs):
            for first, count, dispatch in interruption.over(runs):
                self.watch.lap("data")
                listener.begin(first)
                self.watch.lap("callbacks")
                if not pending:
                    kept = [B.copy(v._value) for v in self.variables] if listener.keep else None
                    began = time.perf_counter()
                traces = self._traces
                logs, bad = dispatch(first == 0 and self.resets)
                compiled = self._traces > traces and not self.eager
                if compiled:
                    self.watch.compiled(self._cause(dispatch))
                self.watch.lap("compile" if compiled else "device" if B.waits else "host")
                self.watch.counts.update(dispatches=1, steps=count)
                pending.append((first, bad, dispatch))
                waiting += count
                expected += count * (self._seconds_per_step or DISPATCH_SECONDS)
                # Short ones follow each other without a pause, and so do steps apart for half a second.
                if listener.keep or expected >= DISPATCH_SECONDS * (8 if self.apart else 1 / 3):
                    settle()
                    self.watch.lap("device")
                stop = listener.end(first + count - 1, logs)
                self.watch.lap("callbacks")
                if stop:
                    break
            if pending:
                settle()
                self.watch.lap("device")
        return logs

    def _cause(self, dispatch: Any) -> str:
        """Why the program of a dispatch was compiled."""
        if self.because:
            because, self.because = self.because, ""
            return because
        batches = _batches_of(dispatch)
        if batches is None:
            return "many steps on arrays"
        shapes = [tuple(leaf.shape) for leaf in tree.present(batches[0])]
        before, self._form = self._form, shapes
        return f"batches of shapes {shapes}" + (f" after {before}" if before else "")

    def why_slow(self) -> str:
        """What keeps the backend from compiling the step as a whole, if anything does."""
        return next(filter(None, map(B.why_slow, [self._single, *self._resident.values()])), "")

    @property
    def where(self) -> str:
        """Backend and device."""
        return f"{B.name}, {config.settings.device or 'its default device'}"

    def _learn_pace(self, steps: int, seconds: float) -> None:
        """Choose how many steps the next dispatch takes; runs that compiled do not count."""
        if self._traces > self._traces_seen:
            self._traces_seen = self._traces
            return
        self._seconds_per_step = max(seconds / steps, 1e-9)
        self._chunk = max(1, min(int(DISPATCH_SECONDS / self._seconds_per_step), self._chunk * 16))

    def _dispatches(
        self,
        data: ArrayData | BatchData,
        epoch: int,
        steps: int | None,
        seed: int,
        listener: Listener,
        start: int,
    ) -> Generator[tuple[int, int, Callable[[bool], tuple[DeviceLogs, Any]]], None, None]:
        """(first step, number of steps, function that runs them) for each dispatch of an epoch."""
        fixed = self.model.steps_per_execution if isinstance(self.model.steps_per_execution, int) else None
        if self.eager or not isinstance(data, ArrayData) or not all(hasattr(leaf, "nbytes") for leaf in data.leaves):
            with contextlib.closing(data.batches(seed, epoch, start, steps, self.kind == "train")) as batches:
                for first, count, dispatch in self._dispatches_of_batches(batches, steps, fixed, listener, start):
                    if isinstance(data, BatchData):
                        data.advance(count)
                    yield first, count, dispatch
            return
        size, apart = data.batch_size, self.apart and fixed is None
        # A loop in a loop takes twice the time on TensorFlow; PyTorch has none.
        short = B.needs_compiler and self.resets and self.reports_metrics and fixed is None and not apart
        room = PASSES_ROWS // data.rows if short and listener.epochs_left else 0
        program_of = functools.cache(functools.partial(self._resident_program, data.peek(), size))
        with contextlib.closing(_windows(data, seed, epoch, start, steps)) as windows:
            for leaves, order, at, end in windows:
                several = room > 1 and leaves is data.device_leaves
                while at * size < end:
                    most = 1 if listener.every_step or apart else fixed or self._chunk
                    count = min(-(-end // size) - at, most, listener.at_most(start))
                    last = int((at + count) * size > end)
                    counts = (count - last, last)
                    program, numbers = program_of(several, counts if apart else None), map(np.int32, (at, *counts))
                    if several:
                        passes = 1 if at else max(1, min(listener.epochs_left, room, most // data.num_batches))
                        orders = np.zeros((room, data.rows), "int32")
                        orders[:passes] = [order, *(data.order(seed, epoch + i) for i in range(1, passes))]
                        run = functools.partial(self._run_passes, listener, passes, program, leaves, orders, *numbers)
                        yield start, count * passes, run
                    else:
                        yield start, count, functools.partial(self._run, -last, program, leaves, order, *numbers)
                    start, at = start + count, at + count

    def _dispatches_of_batches(
        self, batches: Iterator[Batch], steps: int | None, fixed: int | None, listener: Listener, start: int
    ) -> Generator[tuple[int, int, Callable[[bool], tuple[DeviceLogs, Any]]], None, None]:
        """The same of batches that come from the host: as many of one form go together as come within a dispatch."""
        held: list[Batch] = []
        most, first, began, shape = 1, start, 0.0, None

        def dispatch() -> tuple[int, int, Callable[[bool], tuple[DeviceLogs, Any]]]:
            nonlocal held, first
            go = first, len(held), functools.partial(self.run_batches, held, most)
            first, held = first + len(held), []
            return go

        for i, batch in enumerate(batches, start + 1):
            before, shape = shape, form_of(batch)
            if held and shape != before:
                yield dispatch()
            if not held:
                began = time.perf_counter()
                most = 1 if self.eager or self.apart or listener.every_step or fixed == 1 else together(batch)
            held.append(batch)
            enough = min(most, fixed or self._chunk, listener.at_most(first))
            if i == steps:
                break
            if len(held) >= enough or time.perf_counter() - began > DISPATCH_SECONDS:
                yield dispatch()
        if held:
            yield dispatch()


def _windows(data: ArrayData, seed: int, epoch: int, start: int, steps: int | None) -> Generator[Window, None, None]:
    """The batches of an epoch: all rows, which stay on the device, or some after the others where they are too many.

    A thread that picks rows ahead costs the MLP of two million rows nothing on JAX's CPU (0.99 to 1.03 of a step),
    where a copy of all takes 0.2 s in which nothing else is done, and 0.5 GB, in a second `fit` often once more.
    """
    most = SHARED_BYTES if B.waits and B.copies else RESIDENT_BYTES
    sent = [leaf for leaf in data.leaves if isinstance(leaf, np.ndarray)]
    if sum(sys.maxsize if isinstance(leaf, np.memmap) else leaf.nbytes for leaf in sent) > most:
        with contextlib.closing(prefetch(data.windows(seed, epoch, start, steps))) as windows:
            for leaves, *rows in windows:
                yield (leaves if B.waits else B.transfer(leaves), *rows)
        return
    if data.device_leaves is None:
        data.device_leaves = B.transfer(data.leaves)
    for number, first, end in stretches(data.num_batches, epoch, start, steps):
        order = memory.aligned(data.order(seed, number))
        yield data.device_leaves, order, first, min(end * data.batch_size, data.rows)


def _nothing_yet(spec: Any) -> Any:
    """What a log that is to come holds before: zeros."""
    return B.zeros([size or 0 for size in spec.shape], spec.dtype) if isinstance(spec, Spec) else B.convert(spec)


def _batches_of(dispatch: Any) -> list[Batch] | None:
    """What a dispatch runs on where the data comes batch by batch."""
    found = dispatch.args[0]
    return found if isinstance(found, list) else None


class Forward:
    """The compiled `predict_step`; what it writes (seeds) is all that comes back of the state."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.variables: list[Variable] = model._engine_variables("predict")
        self._lock = lock_of(model)
        initialize(self.variables)
        step = any_form(model, model.predict_step)
        written: list[int] = []

        def pure(values: list[Any], x: Any) -> tuple[list[Any], Any]:
            new, outputs = functional(step, self.variables)(values, batch_for_step(x, None, None))
            written[:] = [i for i, (a, b) in enumerate(zip(values, new, strict=True)) if a is not b]
            model._last_call = None
            return [new[i] for i in written], outputs

        self._written = written
        self._few, self._many = (B.compile(pure, forward=many) if model._compiles else pure for many in (False, True))

    def __call__(self, x: Any) -> Any:
        with self._lock:
            rows = (x if hasattr(x, "shape") else tree.present(x)[0]).shape[0]
            run = self._many if rows >= MANY_ROWS else self._few
            new, outputs = run([v._value for v in self.variables], x)
            for i, value in zip(self._written, new, strict=True):
                self.variables[i]._value = value
        return outputs


def in_jax_form(step: Callable[..., Any]) -> bool:
    """Whether the step is written as `(state, data)`."""
    return len(inspect.signature(step).parameters) == 2


def any_form(model: Any, step: Callable[..., Any]) -> Callable[[Any], Any]:
    """The step as a function of the data; those written as `(state, data)`, in Keras-on-JAX form, are adapted."""
    if not in_jax_form(step):
        return step

    def adapted(data: Any) -> Any:
        groups = [model.trainable_variables, model.non_trainable_variables]
        groups.append(model.optimizer.variables if model.optimizer is not None else [])
        groups.append(model.metrics_variables)
        kind = step.__name__
        if kind == "test_step":
            groups.pop(2)
        elif kind == "predict_step":
            groups = groups[:2]
        result, state = step(tuple([v._read() for v in group] for group in groups), data)
        if kind == "predict_step":  # which gives back what is not trained alone
            groups, state = groups[1:], [state]
        for group, values in zip(groups, state, strict=False):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return result

    return adapted


def fixed_batch(model: Any) -> int | None:
    """The rows that every batch must have, if a layer keeps states of them."""
    layers = (layer for layer in model._flatten_layers() if getattr(layer, "stateful", False))
    states = (state for layer in layers for state in tree.flatten(getattr(layer, "states", None)) if state is not None)
    return next((state.shape[0] for state in states), None)


def build_by_tracing(model: Any, call: Callable[[list[Any]], Any], structure: Any) -> Any:
    """Trace `call(batch)` for its specs, building what is not built; the batch axis counts as unknown if it may."""
    size = fixed_batch(model)
    specs = [Spec.of(leaf).batched(size) for leaf in tree.present(structure)]
    result = infer(lambda arrays: call(tree.packed(structure, arrays)), specs)
    model._last_call = None
    return result
