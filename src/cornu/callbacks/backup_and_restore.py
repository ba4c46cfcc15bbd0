"""Keras' name for a run that goes on after a crash."""

from __future__ import annotations

from typing import Any

from cornu.base.errors import ArgumentError
from cornu.callbacks.callback import Callback
from cornu.training.checkpoint import Checkpoint


class BackupAndRestore(Callback):
    """Saves the run to `backup_dir` after every epoch, or every `save_freq` steps, and goes on from there when started
    again: `fit(checkpoint=...)` as a callback, with one checkpoint (two with `double_checkpoint`).

    With `delete_checkpoint` a run that came to its end removes it.
    """

    any_batch = True

    def __init__(
        self,
        backup_dir: Any,
        save_freq: int | str = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if isinstance(save_freq, str) and save_freq != "epoch":
            raise ArgumentError(f"save_freq should be 'epoch' or a positive int (steps), got {save_freq!r}.")
        steps = None if isinstance(save_freq, str) else save_freq
        keep = 2 if double_checkpoint else 1
        self.checkpoint = Checkpoint(backup_dir, every_steps=steps, every_minutes=None, keep=keep, monitor=None)
        self.delete_checkpoint = delete_checkpoint

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.delete_checkpoint:
            self.checkpoint.clear()
