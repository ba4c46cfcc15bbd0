"""The body of a loop as one CUDA graph: the kernels of a step are launched together instead of one by one.

Launching a kernel takes the host some 5 µs, longer than many a kernel of a small network runs. A graph launches all of
a step at once, but always on the memory that it was captured with: what is new at every step is copied there first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import cuda

SMALL_BYTES = 1 << 20
"""What comes from outside of the loop at a new address is copied if it is no larger; for others, one captures anew."""


def fits(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether a program on these may become a graph."""
    return bool(tensors) and all(t.is_cuda for t in tensors)


class Graphed:
    """`run(*tensors) -> list of tensors`, of which `moving` are new at every call: captured when it is first called.

    A graph is used if its results are those of the kernels one by one, and come sooner; `reason` tells why it is not.
    Results live in the graph's memory, until it is called again: `release` makes them their owner's.
    """

    def __init__(self, run: Callable[..., list[Any]], moving: Sequence[int]) -> None:
        self.run, self.moving, self.reason = run, set(moving), ""
        self.graph: Any = None
        self.held: dict[int, torch.Tensor] = {}
        """Where the graph finds those that move."""
        self.places: dict[int, int] = {}
        """The addresses of the others."""
        self.results: list[Any] = []

    def __call__(self, *tensors: torch.Tensor) -> list[Any]:
        if self.reason:
            return self.run(*tensors)
        if self.graph is None or self._strangers(tensors):
            return self._begin(tensors)
        return self._replay(tensors)

    def release(self, results: list[Any]) -> list[Any]:
        return results if self.reason else [r.clone() if isinstance(r, torch.Tensor) else r for r in results]

    def _strangers(self, tensors: Sequence[torch.Tensor]) -> list[int]:
        """Those that should be where they were, and are not."""
        return [k for k, place in self.places.items() if tensors[k].data_ptr() != place]

    def _replay(self, tensors: Sequence[torch.Tensor]) -> list[Any]:
        new = [(held, tensors[k]) for k, held in self.held.items() if tensors[k] is not held]
        if new:
            torch._foreach_copy_([held for held, _ in new], [tensor for _, tensor in new])
        self.graph.replay()
        return list(self.results)

    def _begin(self, tensors: Sequence[torch.Tensor]) -> list[Any]:
        self.moving |= {k for k in self._strangers(tensors) if tensors[k].nbytes <= SMALL_BYTES}
        self.graph = None
        given = self._copies(tensors)  # what runs may overwrite what it is given
        try:
            self._capture(given)
        except RuntimeError as error:  # of a kernel that cannot be captured, or for want of memory
            self.reason = f"its step is no CUDA graph: {error}"
        if self.reason:
            self.graph, self.held, self.results = None, {}, []
            return self.run(*given)
        return self._replay(given)

    def _copies(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [t.clone() if k in self.moving else t for k, t in enumerate(tensors)]

    def _capture(self, given: list[torch.Tensor]) -> None:
        beside = cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(cuda.current_stream())
        with cuda.stream(beside):  # libraries make their work space at the first calls
            for _ in range(3):
                self.run(*self._copies(given))
        cuda.current_stream().wait_stream(beside)
        rehearsals = [_timed(self.run, *self._copies(given)) for _ in range(2)]
        seconds, launched, expected = min(rehearsals, key=lambda one: one[0])
        if seconds > 2 * launched:
            self.reason = "its kernels take longer than to launch them"
            return
        taken, self.graph = self._copies(given), cuda.CUDAGraph()
        self.held = {k: taken[k] for k in sorted(self.moving)}
        self.places = {k: t.data_ptr() for k, t in enumerate(given) if k not in self.moving}
        with cuda.graph(self.graph, capture_error_mode="thread_local"):  # other threads bring data meanwhile
            self.results = [self._in_its_place(k, r) for k, r in enumerate(self.run(*taken))]
        soonest = min(_timed(self._replay, given)[0] for _ in range(2))
        if not all(map(_agree, self.results, expected)):
            self.reason = "its step gives other numbers as a CUDA graph"
        elif soonest > seconds:
            self.reason = "its step takes longer as a CUDA graph"

    def _in_its_place(self, k: int, result: Any) -> Any:
        """An input that is returned in the place of another is copied: both are given back as inputs."""
        elsewhere = any(result is held for i, held in self.held.items() if i != k)
        return result.clone() if elsewhere else result


def _timed(run: Callable[..., Any], *args: Any) -> tuple[float, float, Any]:
    """Seconds until the kernels have run, and until the last was launched; the results."""
    cuda.synchronize()
    began = time.perf_counter()
    found = run(*args)
    launched = time.perf_counter() - began
    cuda.synchronize()
    return time.perf_counter() - began, launched, found


def _agree(found: Any, expected: Any) -> bool:
    if not isinstance(found, torch.Tensor):
        return bool(found == expected)
    a, b = (t.double() if not t.is_complex() else t for t in (found, expected))
    scale = float(b.abs().nan_to_num().max()) if b.numel() else 0.0
    return torch.allclose(a, b, rtol=1e-2, atol=1e-3 * scale, equal_nan=True)  # sums by atomics differ a little
