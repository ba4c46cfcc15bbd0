"""Where the time of training goes: a stopwatch in the loop, and a report of what it saw."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from cornu.base import config
from cornu.base.errors import StateError

PARTS = {
    "device": "computing, as far as the host waited for it",
    "compile": "tracing and compiling programs",
    "data": "waiting for batches",
    "host": "handing steps to the device",
    "callbacks": "callbacks, display and fetching logs for them",
    "checkpoint": "snapshots of the run",
    "validation": "validation",
}
"""What an epoch consists of."""


class Stopwatch:
    """`lap(part)` adds the time since the last lap to a part; costs less than a microsecond."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.programs: list[str] = []
        """Why each program was compiled."""
        self.epoch = 0
        self.asking: list[str] = []
        """Callbacks that ask for every step."""
        self._last = time.perf_counter()

    def begin(self, epoch: int) -> None:
        """Begin an epoch; what was compiled stays known."""
        self.seconds, self.counts, self.epoch = Counter(), Counter(), epoch
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """What passed since the last lap was this."""
        now = time.perf_counter()
        self.seconds[part] += now - self._last  # type: ignore[assignment]
        self._last = now

    def compiled(self, cause: str) -> None:
        """A program was compiled in this epoch."""
        self.programs.append(f"epoch {self.epoch + 1}: {cause}")


def report(model: Any) -> str:
    """The last epoch of the last `fit` by parts, the programs that were compiled, and what would help most.

    Raises StateError if the model was not trained.
    """
    cached = model._engines.get("train")
    if cached is None or not cached[2].watch.seconds:
        raise StateError(f"{model._label()} was not trained yet: call `fit`, then `explain_speed`.")
    engine = cached[2]
    watch: Stopwatch = engine.watch
    total, steps = sum(watch.seconds.values()), max(watch.counts["steps"], 1)
    last = watch.epoch + watch.counts["epochs"]  # of those that ran in one dispatch
    epochs = f"{watch.epoch + 1}" + (f" to {last}" if last > watch.epoch + 1 else "")
    lines = [
        f"Epoch {epochs} of {model._label()} on {engine.where}: {total:.3g} s, {steps} steps of "
        f"{total / steps * 1e3:.3g} ms in {watch.counts['dispatches']} dispatches."
    ]
    for part, meaning in PARTS.items():
        seconds = watch.seconds[part]
        if seconds:
            lines.append(f"  {part:10} {seconds:9.3f} s {seconds / total:6.1%}  {meaning}")
    lines.append(f"Programs compiled since the model was made: {len(watch.programs)}")
    lines += [f"  {line}" for line in watch.programs[-10:]]
    lines.append(f"What would help most: {_advice(model, engine, watch, total, steps)}")
    return "\n".join(lines)


def _advice(model: Any, engine: Any, watch: Stopwatch, total: float, steps: int) -> str:
    share = {part: seconds / total for part, seconds in watch.seconds.items()}
    single = watch.counts["dispatches"] >= steps > 1
    if engine.eager:
        return "compiling: run_eagerly=True (on JAX also jit_compile=False) runs every op by itself."
    if reason := engine.why_slow():
        return f"a step that can be recorded; this one runs op by op: {reason}."
    if share.get("compile", 0) > 0.2:
        if sum(" after " in line for line in watch.programs) > 2:
            return (
                "fewer shapes: each new one compiles a program. Pad batches to a few sizes (for sequences "
                "utils.BucketedSequences does), or drop the last one."
            )
        hint = "" if config.compilation_cache() else " Switch the compilation cache on."
        return f"more epochs or steps: most of the time went to compiling, which happens once.{hint}"
    if share.get("data", 0) > 0.3 and not watch.counts["epochs"]:  # of these it is the order of the rows
        return "faster data: pass arrays instead of batches if they fit, else a PyDataset with more workers."
    if share.get("callbacks", 0) > 0.2:
        if single and watch.asking:
            return f"fewer calls: {', '.join(watch.asking)} asks for every step; do its work at the end of epochs."
        return "lighter callbacks."
    if share.get("validation", 0) > 0.5:
        return "validating less often (validation_freq), or on fewer rows."
    if share.get("checkpoint", 0) > 0.1:
        return "saving less often: Checkpoint(every_minutes=...) instead of every few steps."
    if single and watch.asking:
        return f"fewer calls: {', '.join(watch.asking)} asks for every step, so that each is a dispatch of its own."
    if single and total / steps < 2e-3:
        return "arrays instead of batches (many steps then run in one dispatch), or steps_per_execution='auto'."
    if total / steps < 1e-3:
        return "larger batches: a step is so short that its kernels hardly fill the machine."
    return "less computing: nothing besides it takes time. mixed_bfloat16 halves it where the hardware has it."
