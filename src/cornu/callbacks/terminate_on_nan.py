"""Stop when the loss is no number any more."""

from __future__ import annotations

import math
from typing import Any

from cornu.base.errors import NonFiniteError
from cornu.callbacks.callback import Callback


class TerminateOnNaN(Callback):
    """Stops training at the step at which the loss becomes NaN or infinite, or raises NonFiniteError there."""

    inspects = True  # the first layer to make it is looked for, and named in a warning

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            if self.raise_error:
                raise NonFiniteError(f"The loss became {loss} at step {batch + 1}; training stops.")
            print(f"Step {batch + 1}: the loss is {loss}; training stops.")
            self.model.stop_training = True
