"""Steps as CUDA graphs, on a stand-in for CUDA that keeps what a graph promises: captured calls compute nothing, and a
replay runs the same kernels on the same memory."""

from __future__ import annotations

import types
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

import cornu
from cornu import layers
from cornu.backend.torch import graphs
from cornu.base.config import backend_scope

RNG = np.random.default_rng(0)
X, Y = RNG.random((70, 8), "float32"), RNG.integers(0, 3, 70)


class Tape(TorchDispatchMode):
    """Notes kernels, and what their arguments held before."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []
        self.before: dict[int, Any] = {}

    def note(self, values: Any, before: Any) -> None:
        for leaf in tree_flatten(values)[0]:
            if isinstance(leaf, torch.Tensor) and _storage(leaf) not in self.before:
                memory = leaf.untyped_storage()
                self.before[_storage(leaf)] = memory, before(memory)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.note((args, kwargs), lambda memory: memory.clone())
        out = func(*args, **(kwargs or {}))
        self.note(out, lambda memory: memory.clone().fill_(255))  # nothing is computed yet: NaN
        self.calls.append((func, args, kwargs or {}, out))
        return out


def _storage(leaf: Any) -> int:
    return leaf.untyped_storage().data_ptr() if isinstance(leaf, torch.Tensor) else 0


class Graph:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def replay(self) -> None:
        for func, args, kwargs, out in self.calls:
            again = func(*args, **kwargs)
            given = {_storage(leaf) for leaf in tree_flatten((args, kwargs))[0]}
            for old, new in zip(tree_flatten(out)[0], tree_flatten(again)[0], strict=True):
                if _storage(old) not in given:  # else a view, or written in place
                    old.copy_(new)


class Cuda:
    """What of `torch.cuda` is used."""

    CUDAGraph = Graph
    Stream = staticmethod(lambda: types.SimpleNamespace(wait_stream=lambda other: None))
    current_stream = Stream
    captured = 0

    def __init__(self, extra: Any = None) -> None:
        self.extra = extra

    def stream(self, stream: Any) -> Any:
        return nullcontext()

    def synchronize(self) -> None:
        pass

    @contextmanager
    def graph(self, graph: Graph, capture_error_mode: str) -> Iterator[None]:
        with Tape() as tape:
            if self.extra is not None:
                self.extra()
            yield
        graph.calls = tape.calls
        for memory, held in tape.before.values():
            memory.copy_(held)
        self.captured += 1


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[graphs.Graphed]:
    """The graphs that are made from now on, as fast as kernels one by one."""
    found: list[graphs.Graphed] = []
    original = graphs.Graphed.__init__

    def init(self: graphs.Graphed, *args: Any) -> None:
        original(self, *args)
        found.append(self)

    timed = graphs._timed
    monkeypatch.setattr(graphs.Graphed, "__init__", init)
    monkeypatch.setattr(graphs, "_timed", lambda *args: (0.0, 0.0, timed(*args)[2]))
    return found


def trained() -> tuple[Any, ...]:
    with backend_scope("torch"):
        cornu.utils.set_random_seed(1)
        made = cornu.Sequential(
            [
                cornu.Input((8,)),
                layers.Dense(16, activation="relu"),
                layers.BatchNormalization(),
                layers.Dropout(0.2),
                layers.Dense(3, activation="softmax"),
            ]
        )
        made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = made.fit(X, Y, epochs=3, batch_size=16, verbose=0, validation_data=(X[:20], Y[:20])).history
        again = made.fit(X[::-1].copy(), Y[::-1].copy(), epochs=2, batch_size=16, verbose=0).history
        return dict(history), dict(again), made.predict(X, verbose=0), made.get_weights()


def test_a_graph_of_steps_trains_as_kernels_one_by_one(
    made: list[graphs.Graphed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "cuda", cuda := Cuda())
    expected = trained()
    monkeypatch.setattr(graphs, "fits", bool)
    found = trained()
    assert [one.reason for one in made] == [""] * len(made)
    assert len(made) >= 2  # to train and to evaluate
    assert len(made) <= cuda.captured < 3 * len(made)
    for a, b in zip(tree_flatten(found)[0], tree_flatten(expected)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def failing() -> None:
    raise RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.parametrize("extra", [failing, lambda: None])
def test_what_is_no_graph_runs_as_it_is(
    made: list[graphs.Graphed], monkeypatch: pytest.MonkeyPatch, extra: Any
) -> None:
    """A kernel that cannot be captured, and a graph that gives other numbers."""
    expected = trained()
    monkeypatch.setattr(graphs, "fits", bool)
    monkeypatch.setattr(graphs, "cuda", Cuda(extra))
    if extra is not failing:
        monkeypatch.setattr(Graph, "replay", lambda self: None)
    found = trained()
    reason = "not permitted when stream is capturing" if extra is failing else "other numbers"
    assert made
    assert all(reason in one.reason for one in made)
    for a, b in zip(tree_flatten(found)[0], tree_flatten(expected)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_inputs_given_back_in_each_others_place(made: list[graphs.Graphed], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "cuda", Cuda())
    far = torch.arange(1_000_000.0)
    one = graphs.Graphed(lambda a, b, c, d: [b, a + c[:2] + d, c], [0, 1])
    a, b, d = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0]), torch.tensor(5.0)
    for step in range(4):
        expected = b.clone(), a + far[:2] + d
        a, b, _ = one(a, b, far, d)
        np.testing.assert_array_equal(a, expected[0])
        np.testing.assert_array_equal(b, expected[1])
        if step == 1:
            d = d.clone() + 1  # small, from elsewhere: copied from now on
        if step == 2:
            far = far.clone() + 1  # large: captured again
    assert one.moving == {0, 1, 3}
    first, second = one.release([a, b])
    one(a, b, far, d)
    np.testing.assert_array_equal([first, second], [expected[0], expected[1]])


def test_a_long_step_stays_as_it_is(made: list[graphs.Graphed], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "cuda", Cuda())
    monkeypatch.setattr(graphs, "_timed", lambda run, *args: (3.0, 1.0, run(*args)))
    one = graphs.Graphed(lambda a: [a + 1], [0])
    assert float(one(torch.tensor(1.0))[0]) == 2
    assert "longer than to launch" in one.reason
    assert float(one.release(one(torch.tensor(2.0)))[0]) == 3
