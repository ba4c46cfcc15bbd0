"""One `fit`: its epochs, what callbacks are told of them, validation, checkpoints, and the ways out."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cornu.backend import B
from cornu.base import config, tree
from cornu.base.errors import ArgumentError, CornuError, DataError, warn
from cornu.callbacks.callback import CallbackList
from cornu.callbacks.history import History
from cornu.training import diagnosis
from cornu.training.checkpoint import Checkpoint, Position, Saver, generators
from cornu.training.data import ArrayData, Batch, BatchData
from cornu.training.engine import (
    DeviceLogs,
    Engine,
    Interruption,
    Listener,
    Terminated,
    batch_for_step,
    build_by_tracing,
    in_jax_form,
)


class Run(Listener):
    """The run of a model over `data`, validated on `held_out`; `resume`d from its checkpoint if there is one."""

    saver: Saver | None = None
    was_bad = False
    latest: Mapping[str, Any]
    """The logs of the last dispatch."""

    def __init__(
        self,
        model: Any,
        data: ArrayData | BatchData,
        held_out: ArrayData | BatchData | None,
        callbacks: CallbackList,
        epochs: int,
        steps: int | None,
        validation_steps: int | None,
        validation_freq: Any,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.model, self.data, self.held_out, self.callbacks = model, data, held_out, callbacks
        self.validation_steps, self.validation_freq = validation_steps, validation_freq
        self.epochs = min(epochs, config.max_epochs() or epochs)
        cap, known = config.max_steps_per_epoch(), steps or data.num_batches
        self.steps = steps if cap is None else cap if known is None else min(cap, known)
        self.total = self.steps or data.num_batches
        self.checkpoint = checkpoint
        if checkpoint is not None and isinstance(data, BatchData):
            data.remember = generators  # from which it is drawn again
        batch = data.peek()
        model._prepare("train", batch)
        diagnosis.check_labels(model, batch[1])
        self._check_held_out(batch)
        self.engine: Engine = model._engine("train")
        self.keep = bool(model.debug or any(getattr(callback, "inspects", False) for callback in callbacks.callbacks))
        self.every_step = self.keep or callbacks.wants_every("train")
        self.epoch = self.count = 0
        self.ahead = []
        told = [type(callback) for callback in callbacks.callbacks]
        alone = told == [History] and held_out is None and checkpoint is None and self.steps is None
        self.unseen = alone and not self.keep and self.epochs > 1
        self.seed = model._data_seed()

    def _check_held_out(self, trained_on: Batch) -> None:
        """What is wrong with the validation data is told before anything is trained."""
        if self.held_out is None:
            return
        try:
            if isinstance(self.held_out, BatchData):
                self.held_out.check_end(self.validation_steps)
            batch = self.held_out.peek()
            if _form(batch) != _form(trained_on) and not in_jax_form(self.model.test_step):
                build_by_tracing(self.model, lambda arrays: self.model.test_step(batch_for_step(*arrays)), batch)
            diagnosis.check_labels(self.model, batch[1])
        except CornuError as error:
            raise type(error)(f"The validation data: {error}") from error

    def train(self, initial_epoch: int, resume: bool, profile: Any, verbose: Any) -> History:
        """All epochs; the history."""
        model, told = self.model, self.callbacks
        if isinstance(self.data, BatchData) and self.data.endless and self.total is None and self.epochs > 1:
            warn("The data is a generator, which ends once: give steps_per_epoch for several epochs.")
        validates = self.held_out is not None
        told.set_params({"epochs": self.epochs, "steps": self.total, "verbose": verbose, "validates": validates})
        model.stop_training = False
        with contextlib.ExitStack() as stack:
            if self.checkpoint is not None:
                variables = self.engine.variables
                self.saver = Saver(self.checkpoint, model, variables, self.data, told, resume)
                stack.enter_context(self.saver)
            told.on_train_begin()
            at = self._resumed(is_verbose(verbose)) or Position(initial_epoch)
            if profile is not None:
                stack.enter_context(B.profile(os.fspath(profile)))
            signals = [] if self.saver is None else [signal.SIGTERM]
            interruption = stack.enter_context(Interruption(*signals))
            self.engine.watch.asking = [type(c).__name__ for c in told.callbacks if told.asks_for_every(c, "train")]
            logs: dict[str, Any] = {}
            for epoch in range(at.epoch, self.epochs):
                if model.stop_training:
                    break
                self.epoch = epoch
                logs = self._one_epoch(at if epoch == at.epoch else Position(), interruption)
        if model.optimizer is not None and hasattr(model.optimizer, "finalize_variable_values"):
            model.optimizer.finalize_variable_values(self.engine.trainable)
        told.on_train_end(logs)
        model.history = told.history
        return told.history  # type: ignore[return-value]

    def _resumed(self, verbose: bool) -> Position | None:
        """Where the checkpoint that was found stands, with everything as it was then."""
        if self.saver is None or self.saver.found is None:
            return None
        self.saver.replay()
        self.saver.restore()
        self.seed = self.model._data_seed()
        if verbose:
            print(f"Going on from {self.saver.found.path}.")
        return self.saver.found.position

    def _one_epoch(self, at: Position, interruption: Interruption) -> dict[str, Any]:
        """The logs of an epoch, which goes on at a step."""
        model, saver, watch, told = self.model, self.saver, self.engine.watch, self.callbacks
        if not self.ahead:
            watch.begin(self.epoch)
        self.epochs_left = self.epochs - self.epoch if self.unseen else 0
        told.on_epoch_begin(self.epoch)
        if saver is not None and at.step:
            saver.restore()  # callbacks changed what they had changed when the epoch began
        self.count = at.step
        watch.lap("callbacks")
        self.latest = at.logs or {}
        with self._saving(lambda: Position(self.epoch, self.count, dict(self.latest))):  # it may be the last step
            settings = self.data, self.epoch, self.steps, self.seed, self, interruption, at.step
            found = self.ahead.pop(0) if self.ahead else self.engine.epoch(*settings)
        if found is None and not at.step:
            raise DataError(
                f"The data ended: epoch {self.epoch + 1} had no batch left. Yield more, or train fewer epochs."
            )
        if self.steps is not None and self.count < self.steps and not model.stop_training:
            warn(
                f"The data ended after {self.count} of {self.steps} steps in epoch {self.epoch + 1}; training stops "
                "there. It should yield at least steps_per_epoch × epochs batches."
            )
            model.stop_training = True
        logs = dict(found.fetch()) if found is not None else dict(at.logs or {})
        watch.lap("device")
        if isinstance(self.data, BatchData):
            self.data.end_of_epoch()
        if self.held_out is not None and _validates(self.epoch, self.validation_freq):
            logs |= self._validated(logs, interruption)
        told.on_epoch_end(self.epoch, logs)
        watch.lap("callbacks")
        if saver is not None:
            saver.after_epoch(self.epoch, logs, model.stop_training, self.epoch + 1 == self.epochs)
            watch.lap("checkpoint")
        return logs

    def _validated(self, logs: dict[str, Any], interruption: Interruption) -> dict[str, Any]:
        if isinstance(self.held_out, BatchData) and self.held_out.is_over:
            warn(f"The validation data ended before epoch {self.epoch + 1}: from there nothing is validated.")
            self.held_out = None
            return {}
        trained = None if self.saver is None else self.saver.snapshot(Position(self.epoch, self.count, logs))
        self.engine.watch.lap("checkpoint")
        with self._saving(lambda: trained):
            values = self.model._evaluate(self.held_out, self.callbacks, self.validation_steps, interruption)
        self.engine.watch.lap("validation")
        return {f"val_{name}": value for name, value in values.items()}

    @contextlib.contextmanager
    def _saving(self, state: Any) -> Iterator[None]:
        """Save the state, a snapshot or the position of one to take, when the process is told to end."""
        try:
            yield
        except (KeyboardInterrupt, Terminated) as error:
            if self.saver is not None:
                found = state()
                self.saver.interrupted(self.saver.snapshot(found) if isinstance(found, Position) else found, error)
            raise

    # what the engine tells

    def begin(self, step: int) -> None:
        if self.every_step:
            self.callbacks.on_train_batch_begin(step)

    def end(self, step: int, logs: DeviceLogs) -> bool:
        self.count, self.latest = step + 1, logs
        self.callbacks.on_train_batch_end(step, dict(logs.fetch()) if self.every_step else logs)
        if self.saver is not None:
            self.saver.after_steps(self.epoch, self.count, self.count == self.total)
        return bool(self.model.stop_training)

    def bad(self, step: int, batch: Batch | None) -> None:
        if self.was_bad:  # and told
            return
        self.was_bad = True
        data, of_what = (self.data.peek(), "") if batch is None else (batch, " of this batch")
        passed, step = divmod(step, self.total) if self.unseen and self.total else (0, step)
        again = self.data.batches(self.seed, self.epoch, step, self.steps) if batch is None else iter([batch])
        diagnosis.report(self.model, data, of_what, again if self.keep else None, self.epoch + passed, step)

    def at_most(self, step: int) -> int:
        return sys.maxsize if self.saver is None else self.saver.at_most(step)


def is_verbose(verbose: Any) -> bool:
    """Whether anything is to be printed; ArgumentError if that cannot be told."""
    if not (hasattr(verbose, "__index__") and verbose >= 0) and verbose not in ("auto", "0", "1", "2"):
        raise ArgumentError(f"verbose should be 'auto', 0, 1 or 2, got {verbose!r}.")
    return verbose not in (0, "0", False)


def wished_checkpoint(checkpoint: Any, callbacks: CallbackList) -> Checkpoint | None:
    """The argument of `fit`, or what a callback asks for."""
    if checkpoint is None:
        wishes = (getattr(callback, "checkpoint", None) for callback in callbacks.callbacks)
        return next((wish for wish in wishes if isinstance(wish, Checkpoint)), None)
    return checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)


def _validates(epoch: int, frequency: Any) -> bool:
    return epoch + 1 in frequency if isinstance(frequency, Iterable) else (epoch + 1) % frequency == 0


def _form(batch: Batch) -> Any:
    """What is common to all batches of a kind, whatever their rows."""
    return tree.structure(batch), [leaf is not None and tuple(leaf.shape[1:]) for leaf in tree.flatten(batch)]
