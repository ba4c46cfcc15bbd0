"""Runs that go on: the state of `fit` in files, written beside the training, and found again by the next start.

A checkpoint is a safetensors file: the weights by their paths, every other variable of the step (optimizer, loss scale,
metrics, seeds) and the random generators of Python and NumPy below `.state/`, and as metadata the position in the data,
the callbacks' state, the history, and what the run is, so that another run does not go on from it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cornu.backend import B
from cornu.base.checks import whole, within
from cornu.base.errors import ArgumentError, FileFormatError, StateError, plain, warn
from cornu.callbacks.callback import CallbackList
from cornu.callbacks.monitored import MonitoredCallback
from cornu.core.names import snake_case
from cornu.core.variable import Variable
from cornu.random.seed import run_position, set_run_position
from cornu.saving import tensors
from cornu.saving.atomic import PART
from cornu.saving.background import Writer
from cornu.saving.native import STATE, architecture, description, keyed
from cornu.saving.stored import check_fit
from cornu.training.data import ArrayData, BatchData, IndexedData
from cornu.training.engine import Terminated

_NAME = re.compile(r"run(\d+)-epoch(\d+)-step(\d+)\.safetensors")
_KIND = "cornu checkpoint"
_LOCK = ".lock"


class Checkpoint:
    """Where and how often `fit` saves its state: `model.fit(..., checkpoint=Checkpoint("folder", keep=5))`.

    Every `every_epochs` epochs and `every_minutes` minutes, and every `every_steps` steps where given, in a thread. The
    last `keep` checkpoints stay, and the one whose `monitor` (the loss if it is not in the logs) was best; `mode` is
    `"min"`, `"max"` or `"auto"`. None switches a rule off.
    """

    def __init__(
        self,
        directory: Any,
        every_steps: int | None = None,
        every_minutes: float | None = 1.0,
        every_epochs: int | None = 1,
        keep: int = 3,
        monitor: str | None = "val_loss",
        mode: str = "auto",
    ) -> None:
        self.directory = Path(os.fspath(directory)).expanduser()
        whole(self, 1, True, every_steps=every_steps, every_epochs=every_epochs)
        whole(self, 1, keep=keep)
        within(self, "(0, inf]", True, every_minutes=every_minutes)
        self.every_steps, self.every_minutes, self.every_epochs = every_steps, every_minutes, every_epochs
        self.keep, self.monitor, self.mode = keep, monitor, mode

    def clear(self) -> None:
        """Remove all checkpoints, and the folder if nothing else is in it."""
        for path in _checkpoints(self.directory):
            path.unlink(missing_ok=True)
        (self.directory / _LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.directory.rmdir()


@dataclass
class Position:
    """Where a run stands: so many steps of an epoch are done; `logs` are its results when all are."""

    epoch: int = 0
    step: int = 0
    logs: dict[str, Any] | None = None
    stopped: bool = False


@dataclass
class _Snapshot:
    position: Position
    arrays: dict[str, Any]
    state: dict[str, Any]
    best: bool = False


@dataclass
class _Found:
    """A checkpoint that was read."""

    path: Path
    arrays: dict[str, Any]
    state: dict[str, Any]
    position: Position = field(init=False)

    def __post_init__(self) -> None:
        self.position = Position(**_unpacked(self.state["position"], self.arrays))


class Saver:
    """The checkpoints of one `fit`: what it can go on from, and the thread that writes new ones.

    Entered with a `with` block, which locks the folder, finds the newest checkpoint unless `resume` is false, and
    waits in the end until everything is written.
    """

    def __init__(
        self,
        settings: Checkpoint,
        model: Any,
        variables: list[Variable],
        data: ArrayData | BatchData,
        callbacks: CallbackList,
        resume: bool,
    ) -> None:
        self.settings, self.model, self.data, self.callbacks = settings, model, data, callbacks
        self.folder, self.resume = settings.directory, resume
        weights = keyed(model)
        known = set(weights.values())
        others = [variable for variable in variables if variable not in known]
        self.variables = weights | {f"{STATE}{i:05}": variable for i, variable in enumerate(others)}
        self.about = _about(model, data)
        self.found: _Found | None = None
        self.run = 1
        self._watcher = MonitoredCallback(settings.monitor or "", settings.mode)
        self._watcher.set_model(model)
        self._best: float | None = None
        self._best_name: str | None = None
        self._saved_at = time.monotonic()
        self._writer = Writer("checkpoint", self.folder)
        self._lock: Any = None

    # finding

    def __enter__(self) -> Saver:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.folder)
        for left in self.folder.glob(f".run*{PART}"):  # of a process that was killed
            left.unlink(missing_ok=True)
        runs = [int(name[1]) for name in map(_NAME.fullmatch, os.listdir(self.folder)) if name]
        self.run = max(runs, default=0) + (0 if self.resume and runs else 1)
        if self.resume:
            self.found = self._newest()
            if self.found is not None:
                self._best, self._best_name = self.found.state["best"], self.found.state["best_name"]
        return self

    def _newest(self) -> _Found | None:
        """The newest checkpoint that can be read; raises StateError if it is another run's."""
        for path in sorted(_checkpoints(self.folder), key=_order, reverse=True):
            try:
                stored, metadata = tensors.load(path)
                if metadata.get("kind") != _KIND:
                    raise FileFormatError(f"{path} is no checkpoint.")
                state = tensors.parse_json(metadata["state"].encode(), path, "state")
                self._check_same(path, state["about"])
                arrays = {name: np.array(one.read()) for name, one in stored.items()}
                check_fit(
                    self.model._label(), path, self.variables, {k: v for k, v in stored.items() if k in self.variables}
                )
                return _Found(path, arrays, state)
            except (FileFormatError, OSError, KeyError, TypeError) as error:
                warn(f"The checkpoint {path.name} cannot be read, the one before it is tried: {error}")
        return None

    def _check_same(self, path: Path, theirs: dict[str, Any]) -> None:
        lines = list(_differences(theirs, self.about))
        if lines:
            shown = "\n".join(f"  {line}" for line in lines[:12]) + ("\n  …" if len(lines) > 12 else "")
            raise StateError(
                f"The checkpoint {path} is of another run; nothing was changed. In the checkpoint -> now:\n{shown}\n"
                "Pass resume=False to start anew beside it, or another folder; `model.load_weights` takes its weights."
            )

    # going on

    def restore(self) -> None:
        """Put the state of the checkpoint that was found into the model, the callbacks and the generators."""
        assert self.found is not None
        arrays, state = self.found.arrays, self.found.state
        for key, variable in self.variables.items():
            variable.assign(arrays[key])
        kept = {(name, i): _unpacked(packed, arrays) for name, i, packed in state["callbacks"]}
        for name, i, callback in self._numbered_callbacks():
            if known := kept.get((name, i)):
                callback.set_state(known)
        self.model._seed_of_data = state["seed_of_data"]
        self.model.stop_training = self.found.position.stopped
        set_run_position(*state["run"])
        if not self._draws_in_order:
            set_generators(_below(arrays, f"{STATE}random/"))

    def replay(self) -> None:
        """Bring the data to where they were; what cannot be asked for by number is drawn again up to there."""
        assert self.found is not None
        data, position, arrays = self.data, self.found.position, self.found.arrays
        if isinstance(data, IndexedData):
            data.replay(position.epoch)
        elif isinstance(data, BatchData) and data.endless:
            data.skip(self.found.state["consumed"])
        elif isinstance(data, BatchData):
            data.rewind()
            consumed = self.found.state["consumed"]
            set_generators(_below(arrays, f"{STATE}{'pass_random' if consumed else 'random'}/"))
            if consumed:
                data.skip(consumed)

    @property
    def _draws_in_order(self) -> bool:
        """Whether the data are drawn again from their beginning, and from the generators as they were then."""
        return isinstance(self.data, BatchData) and not isinstance(self.data, IndexedData)

    def _numbered_callbacks(self) -> Iterator[tuple[str, int, Any]]:
        """(class name, number among those of the class, callback)."""
        counts: Counter[str] = Counter()
        for callback in self.callbacks.callbacks:
            name = type(callback).__name__
            yield name, counts[name], callback
            counts[name] += 1

    # saving

    def at_most(self, step: int) -> int:
        """How many steps may follow this one before something is due."""
        every = self.settings.every_steps
        return sys.maxsize if every is None else every - step % every

    def after_steps(self, epoch: int, step: int, last: bool) -> None:
        """Save if something is due after so many steps of the epoch; after the last one the epoch's end is near."""
        self._writer.report()
        every, minutes = self.settings.every_steps, self.settings.every_minutes
        due = every is not None and step % every == 0
        if minutes is not None and time.monotonic() - self._saved_at >= minutes * 60:
            due = True
        if due and not last:
            self.save(self.snapshot(Position(epoch, step)))

    def after_epoch(self, epoch: int, logs: dict[str, Any], stopped: bool, last: bool) -> None:
        """Save after every so many epochs, at the best and in the end."""
        self._writer.report()
        every = self.settings.every_epochs
        monitor = self._watcher.monitor
        value = logs.get(monitor, logs.get(monitor.removeprefix("val_")))
        best = False
        if value is not None and np.ndim(value) == 0:
            best = self._best is None or self._watcher.improves(float(value), self._best)
            self._best = float(value) if best else self._best
        if best or last or stopped or (every is not None and (epoch + 1) % every == 0):
            self.save(self.snapshot(Position(epoch + 1, 0, stopped=stopped), best))

    def snapshot(self, position: Position, best: bool = False) -> _Snapshot:
        """The state as it is now, in arrays that nobody changes."""
        arrays = {key: B.copy(variable._read()) for key, variable in self.variables.items()}
        arrays |= {f"{STATE}random/{name}": value for name, value in generators().items()}
        begun_with = self.data.begun_with if isinstance(self.data, BatchData) else None
        arrays |= {f"{STATE}pass_random/{name}": value for name, value in (begun_with or {}).items()}
        callbacks = [
            [name, i, _packed(callback.get_state(), arrays, f"{STATE}callbacks/{name}_{i}")]
            for name, i, callback in self._numbered_callbacks()
        ]
        if best:
            self._best_name = self._path(position).name
        state = {
            "position": _packed(vars(position), arrays, f"{STATE}position"),
            "callbacks": callbacks,
            "consumed": self.data.consumed if isinstance(self.data, BatchData) else 0,
            "seed_of_data": self.model._seed_of_data,
            "run": run_position(),
            "best": self._best,
            "best_name": self._best_name,
            "about": self.about,
        }
        return _Snapshot(position, arrays, state, best)

    def save(self, snapshot: _Snapshot) -> None:
        """Hand the snapshot to the thread that writes; one that waits gives way to it, unless it is the best."""
        self._saved_at = time.monotonic()
        key, instead_of = ("best", ("last",)) if snapshot.best else ("last", ())
        self._writer.write(key, lambda: self._write(snapshot), instead_of)

    def _path(self, position: Position) -> Path:
        return self.folder / f"run{self.run:03}-epoch{position.epoch:05}-step{position.step:08}.safetensors"

    def _write(self, snapshot: _Snapshot) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)  # should somebody have removed it
        names, values = list(snapshot.arrays), list(snapshot.arrays.values())
        arrays = dict(zip(names, map(np.asarray, B.to_numpy_tree(values)), strict=True))
        metadata = {"kind": _KIND, **description(self.model), "state": json.dumps(snapshot.state)}
        tensors.save(self._path(snapshot.position), arrays, metadata)
        mine = sorted((p for p in _checkpoints(self.folder) if _order(p)[0] == self.run), key=_order)
        for old in mine[: -self.settings.keep]:
            if old.name != snapshot.state["best_name"]:
                old.unlink(missing_ok=True)

    def interrupted(self, snapshot: _Snapshot, error: BaseException) -> None:
        """Write the snapshot and say where, as the process is about to end."""
        self.save(snapshot)
        self._writer.wait()
        path = self._path(snapshot.position)
        where = f"saved in {path}; the same script goes on from there" if path.exists() else "it could not be saved"
        what = error.signal.name if isinstance(error, Terminated) else "Ctrl-C"
        epoch, step = snapshot.position.epoch + 1, snapshot.position.step
        print(f"\n{what} in epoch {epoch} after step {step}: {where}.", file=sys.stderr, flush=True)

    def __exit__(self, *exc: object) -> None:
        self._writer.finish()
        if self._lock is not None:
            self._lock.close()


# the folder


def _checkpoints(folder: Path) -> list[Path]:
    return [folder / name for name in os.listdir(folder) if _NAME.fullmatch(name)] if folder.is_dir() else []


def _order(path: Path) -> tuple[int, ...]:
    found = _NAME.fullmatch(path.name)
    assert found is not None
    return tuple(map(int, found.groups()))


def _locked(folder: Path) -> Any:
    """An open file that holds the folder for this process; StateError if another one has it."""
    file = (folder / _LOCK).open("a")
    with contextlib.suppress(ImportError):  # not on Windows
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise StateError(
                f"Another run saves its checkpoints to {folder} right now. Wait for its end, or choose another folder."
            ) from None
    return file


# what a run is


def _about(model: Any, data: ArrayData | BatchData) -> dict[str, Any]:
    """What has to be the same for a run to go on: model, how it is trained, data, versions."""
    described: dict[str, Any] = {"class": type(model).__name__}
    for name, describe in (("model", lambda: architecture(model)), ("training", model.get_compile_config)):
        with contextlib.suppress(ArgumentError, NotImplementedError):  # a user's class or function without a name
            described[name] = json.loads(json.dumps(describe(), default=lambda one: type(one).__name__))
    shapes = [[list(leaf.shape[1:]), str(leaf.dtype)] for leaf in (data.leaves if isinstance(data, ArrayData) else ())]
    about: dict[str, Any] = {**_numbered_anew(described), "data": {"arrays": shapes}}
    if isinstance(data, ArrayData):
        about["data"] |= {"rows": data.rows, "batch_size": data.batch_size}
        about["data"]["shuffle"] = "batch" if data.batches_of_rows else data.shuffle
    else:
        about["data"] |= {"batches": data.num_batches}
    framework = importlib.import_module(B.name) if B.name in sys.modules else None
    versions = {"cornu": importlib.import_module("cornu").__version__, "backend": B.name}
    return about | {"versions": versions | {B.name: getattr(framework, "__version__", None)}}


def _numbered_anew(described: Any) -> Any:
    """The configuration with automatic names counted from 0, however many objects were made before."""
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()

    def collect(one: Any) -> None:
        if isinstance(one, dict):
            name = one["config"].get("name") if isinstance(one.get("config"), dict) else None
            kind = snake_case(str(one.get("class_name", "")))
            if isinstance(name, str) and name not in names and re.fullmatch(rf"{re.escape(kind)}(_\d+)?", name):
                names[name] = f"{kind}_{counts[kind]}"
                counts[kind] += 1
        for value in one.values() if isinstance(one, dict) else one if isinstance(one, list | tuple) else ():
            collect(value)

    def renamed(one: Any) -> Any:
        if isinstance(one, dict):
            return {key: renamed(value) for key, value in one.items()}
        if isinstance(one, list | tuple):
            return [renamed(value) for value in one]
        return names.get(one, one) if isinstance(one, str) else one

    collect(described)
    return renamed(described)


def _differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """A line for each leaf that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            yield from _differences(before.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for i, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from _differences(old, new, f"{path}[{i}]")
    elif before != now and not (before != before and now != now):
        yield f"{path}: {plain(json.dumps(before))} -> {plain(json.dumps(now))}"


# state as data


def _packed(value: Any, arrays: dict[str, Any], key: str) -> Any:
    """`value` as JSON; its arrays are put among `arrays`, by names that begin with `key`."""
    if isinstance(value, dict):
        return {"dict": [[k, _packed(v, arrays, f"{key}/{k}")] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_packed(item, arrays, f"{key}/{i}") for i, item in enumerate(value)]}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Variable) or hasattr(value, "shape"):
        arrays[key] = value.numpy() if isinstance(value, Variable) else np.array(B.to_numpy(B.convert(value)))
        return {"array": key}
    raise ArgumentError(
        f"{key.removeprefix(STATE)}: a checkpoint keeps numbers, texts, arrays, and lists and dicts of them, not "
        f"{type(value).__name__}. Change what `get_state` returns."
    )


def _unpacked(value: Any, arrays: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {key: _unpacked(item, arrays) for key, item in value["dict"]}
    if "array" in value:
        return arrays[value["array"]]
    kind, items = next(iter(value.items()))
    return (tuple if kind == "tuple" else list)(_unpacked(item, arrays) for item in items)


def _below(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def generators() -> dict[str, Any]:
    """The states of the generators of the whole process: of Python, of NumPy, and of torch if it is used."""
    version, internal, following = random.getstate()
    _, keys, position, has_gauss, gauss = np.random.get_state()
    found = {
        "python": np.array([version, *internal], "uint32"),
        "python_gauss": np.array([math.nan if following is None else following], "float64"),
        "numpy": np.array([position, has_gauss, *keys], "uint32"),
        "numpy_gauss": np.array([gauss], "float64"),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        found["torch"] = torch.get_rng_state().numpy().copy()
    return found


def set_generators(states: dict[str, Any]) -> None:
    """Put the generators back to the states that `_generators` found."""
    if not states:
        return
    version, *internal = states["python"].tolist()
    following = float(states["python_gauss"][0])
    random.setstate((version, tuple(internal), None if following != following else following))
    position, has_gauss, *keys = states["numpy"].tolist()
    np.random.set_state(("MT19937", np.array(keys, "uint32"), position, has_gauss, float(states["numpy_gauss"][0])))
    torch = sys.modules.get("torch")
    if torch is not None and "torch" in states:
        torch.set_rng_state(torch.from_numpy(states["torch"].copy()))
