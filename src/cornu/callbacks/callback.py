"""What is told about training, and the list that tells it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cornu.base import tree


class Callback:
    """Derive from it and define the hooks you need; `self.model` is the model, `self.params` the settings of the run.

    `logs` holds the values of loss and metrics so far. Set `self.model.stop_training = True` to stop after the epoch.
    While a callback defines a batch hook, steps run one by one instead of many in one dispatch.
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Any = None
        self.validation_data: Any = None

    @property
    def model(self) -> Any:
        """The model being trained."""
        return self._model

    _kept: tuple[str, ...] = ()
    _awaited = False
    """Whether a user's code may look for the files that it writes before the next step."""

    def _close(self) -> None:
        """End what is open: called last, also after an error."""

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint of the run keeps of it: numbers, texts, arrays, and lists and dicts of them."""
        return {name: getattr(self, name) for name in self._kept}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned; called after `on_train_begin`."""
        for name, value in state.items():
            setattr(self, name, value)

    def set_params(self, params: dict[str, Any]) -> None:
        """Called before anything else with `epochs`, `steps`, `verbose`."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Called before training with the model."""
        self._model = model

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Before an epoch; `epoch` counts from 0."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """After an epoch and its validation."""

    def on_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """The same as `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """The same as `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Before a training step."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """After a training step."""
        self.on_batch_end(batch, logs)

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Before a step of evaluation."""

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """After a step of evaluation."""

    def on_predict_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Before a step of prediction."""

    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """After a step of prediction."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before training."""

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """After training, also when it was stopped early."""

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before evaluation or validation."""

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """After evaluation or validation."""

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before prediction."""

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """After prediction."""


class CallbackList:
    """Passes every hook on to the callbacks in it, in order."""

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        from cornu.callbacks.history import History
        from cornu.callbacks.progress import ProgbarLogger

        self.callbacks: list[Callback] = [] if callbacks is None else list(tree.flatten(callbacks))
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"Every callback should be a cornu.callbacks.Callback, got {callback!r}.")
        self.history = next((c for c in self.callbacks if isinstance(c, History)), None)
        if self.history is None and add_history:
            self.history = History()
            self.callbacks.append(self.history)
        if add_progbar and not any(isinstance(c, ProgbarLogger) for c in self.callbacks):
            self.callbacks.insert(0, ProgbarLogger())
        if model is not None:
            self.set_model(model)
        self.set_params(params)

    if TYPE_CHECKING:  # the hooks, made below

        def __getattr__(self, name: str) -> Any: ...

    def append(self, callback: Callback) -> None:
        """Add one."""
        self.callbacks.append(callback)

    def set_params(self, params: dict[str, Any]) -> None:
        """Hand the settings of the run on."""
        self.params = params
        for i, callback in enumerate(self.callbacks):
            callback._awaited = any(map(_is_users, self.callbacks[i:]))
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        """Hand the model on."""
        self.model = model
        for callback in self.callbacks:
            callback.set_model(model)

    def close(self) -> None:
        """End what the callbacks have open, however the run ended."""
        with contextlib.ExitStack() as stack:
            for callback in reversed(self.callbacks):
                stack.callback(callback._close)

    def wants_every(self, kind: str) -> bool:
        """Whether a callback must be called at every step of `"train"`, `"test"` or `"predict"`."""
        return any(self.asks_for_every(callback, kind) for callback in self.callbacks)

    @staticmethod
    def asks_for_every(callback: Callback, kind: str) -> bool:
        """Whether this one must."""
        hooks = [f"on_{kind}_batch_begin", f"on_{kind}_batch_end"]
        return _overrides(callback, hooks + (["on_batch_begin", "on_batch_end"] if kind == "train" else []))

    def __iter__(self) -> Iterable[Callback]:  # type: ignore[override]
        return iter(self.callbacks)


def _is_users(callback: Callback) -> bool:
    """Whether it may run code that is not Cornu's."""
    foreign = not type(callback).__module__.startswith("cornu.")
    return foreign or any(name.startswith("on_") for name in vars(callback))  # of a LambdaCallback


def _overrides(callback: Callback, hooks: Iterable[str]) -> bool:
    if getattr(callback, "any_batch", False):  # content with being called at the end of a dispatch
        return False
    return any(name in vars(callback) or getattr(type(callback), name) is not getattr(Callback, name) for name in hooks)


def _passing(name: str) -> Any:
    def hook(self: CallbackList, *args: Any, logs: Any = None) -> None:
        if len(args) < (2 if "_epoch_" in name or "batch_" in name else 1):  # users' functions want their `logs`
            args = (*args, {} if logs is None else logs)
        for callback in self.callbacks:
            getattr(callback, name)(*args)

    hook.__name__ = name
    hook.__doc__ = getattr(Callback, name).__doc__
    return hook


for _name in [name for name in vars(Callback) if name.startswith("on_")]:
    setattr(CallbackList, _name, _passing(_name))
