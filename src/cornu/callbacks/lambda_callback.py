"""A callback made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cornu.base.errors import ArgumentError, did_you_mean
from cornu.callbacks.callback import Callback


class LambdaCallback(Callback):
    """Calls the given functions, for example `on_epoch_end(epoch, logs)` or `on_train_begin(logs)`."""

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        hooks = [name for name in dir(Callback) if name.startswith("on_")]
        for name, function in given.items():
            if name not in hooks:
                raise ArgumentError(f"LambdaCallback: there is no hook {name!r}.{did_you_mean(name, hooks)}")
            if function is not None and not callable(function):
                raise ArgumentError(f"LambdaCallback: {name} should be a function, got {function!r}.")
            if function is not None:
                setattr(self, name, function)
