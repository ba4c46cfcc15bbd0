"""The record of a training run."""

from __future__ import annotations

from typing import Any

from cornu.callbacks.callback import Callback

_OTHER_NAMES = {"acc": "accuracy", "accuracy": "acc", "lr": "learning_rate", "learning_rate": "lr"}


class Record(dict[str, list[float]]):
    """A dict that also answers to the old or new name of an entry: `acc` for `accuracy`, `lr` for `learning_rate`."""

    def __missing__(self, key: str) -> list[float]:
        if _other(key) in self.keys():
            return self[_other(key)]
        raise KeyError(f"{key!r}; recorded: {', '.join(self)}")

    def __contains__(self, key: object) -> bool:
        return key in self.keys() or _other(key) in self.keys()

    def get(self, key: str, default: Any = None) -> Any:  # type: ignore[override]
        """The entry of either name, or `default`."""
        return super().get(key, super().get(_other(key), default))


def _other(key: Any) -> str:
    prefix, name = ("val_", key[4:]) if str(key).startswith("val_") else ("", key)
    return prefix + _OTHER_NAMES.get(name, "")


class History(Callback):
    """Records the logs of every epoch: `history` maps a name to a list of values, `epoch` lists the epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.history: Record = Record()
        self.epoch: list[int] = []

    def get_state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "history": self.history}

    def set_state(self, state: dict[str, Any]) -> None:
        self.epoch, self.history = list(state["epoch"]), Record(state["history"])
        self.model.history = self

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.epoch, self.history = [], Record()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        self.model.history = self
