"""Derivatives by PyTorch: of functions of lists of tensors, and of those that have a gradient of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from cornu.backend.contract import Array
from cornu.backend.torch.capture import without_autocast
from cornu.base import config, tree


def fresh(values: list[Array]) -> list[Array]:
    """The values as tensors of their own to differentiate by; those of an outer differentiation stay its."""
    return [v.view_as(v) if v.requires_grad else v.detach().requires_grad_() for v in values]


def pull_back(
    results: Sequence[Array], leaves: list[Array], gradients: Sequence[Array], again: bool, keep: bool = False
) -> list[Array]:
    if (quiet := without_autocast()) is not None:
        with quiet:
            return pull_back(results, leaves, gradients, again, keep)
    pairs = [(r, g) for r, g in zip(results, gradients, strict=True) if r.requires_grad]
    if not pairs:
        return [torch.zeros_like(leaf) for leaf in leaves]
    with torch.autograd.set_multithreading_enabled(False):  # what is thread-local holds, for CUDA too
        found = torch.autograd.grad(
            [r for r, _ in pairs],
            leaves,
            [g.expand(r.shape) for r, g in pairs],
            retain_graph=keep or again,
            create_graph=again,
            allow_unused=True,
        )
    return [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found, strict=True)]


def detached(structure: Any) -> Any:
    return tree.map_structure(
        lambda leaf: leaf.detach() if isinstance(leaf, torch.Tensor) and leaf.requires_grad else leaf, structure
    )


class _WithGradient(torch.autograd.Function):
    """A function whose gradient is given; what it keeps is returned as well, so that it can be differentiated twice."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *leaves: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = call.forward(leaves)
        ctx.call = call
        ctx.save_for_backward(*leaves, *outputs)
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        with config.backend_scope("torch"):  # it may run in a thread of its own
            return (None, *ctx.call.backward(list(ctx.saved_tensors), list(gradients)))


class _Call:
    """One call of a function with a gradient of its own, between nests and flat lists."""

    def __init__(self, forward: Callable[..., Any], backward: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._forward, self._backward, self._args = forward, backward, args
        self.at = [i for i, leaf in enumerate(tree.flatten(args)) if isinstance(leaf, torch.Tensor)]
        self._fixed = [None if isinstance(leaf, torch.Tensor) else leaf for leaf in tree.flatten(args)]
        self.result: Any = None
        self.kept: Any = None

    def _run(self, leaves: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        filled = list(self._fixed)
        for i, leaf in zip(self.at, leaves, strict=True):
            filled[i] = leaf
        result, kept = self._forward(*tree.pack_sequence_as(self._args, filled))
        tensors = list(leaves)

        def place(leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor):
                return leaf
            for i, given in enumerate(leaves):
                if leaf is given:
                    return _Place(i)
            tensors.append(leaf)
            return _Place(len(tensors) - 1)

        self.result, self.kept = tree.map_structure(place, result), tree.map_structure(place, kept)
        return tensors[len(leaves) :]

    def forward(self, leaves: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        found = self._run(leaves)  # each output has to be a tensor of its own
        return tuple(t.clone() if t._is_view() or any(t is u for u in found[:i]) else t for i, t in enumerate(found))

    def fill(self, form: Any, tensors: Sequence[torch.Tensor]) -> Any:
        """A nest with tensors, the inputs and then the outputs, in their places."""
        return tree.map_structure(lambda leaf: tensors[leaf] if isinstance(leaf, _Place) else leaf, form)

    def backward(self, saved: list[torch.Tensor], gradients: list[Any]) -> list[Any]:
        count = len(self.at)
        inputs, outputs = saved[:count], saved[count:]
        of_results = {leaf - count for leaf in tree.flatten(self.result) if isinstance(leaf, _Place)}
        dense = [torch.zeros_like(o) if g is None else g for o, g in zip(outputs, gradients, strict=True)]
        needed = [torch.zeros_like(i) for i in inputs]
        if any(g is not None and i in of_results for i, g in enumerate(gradients)):
            found = tree.flatten(self._backward(self.fill(self.kept, saved), self.fill(self.result, [*needed, *dense])))
            needed = [
                found[i] if i < len(found) and found[i] is not None else z for i, z in zip(self.at, needed, strict=True)
            ]
        others = [i for i, g in enumerate(gradients) if g is not None and i not in of_results]
        if others:  # from a second differentiation, through what was kept; it may not be the last one
            with torch.enable_grad():
                leaves = fresh(inputs)
                again = self._run(leaves)
            more = pull_back([again[i] for i in others], leaves, [dense[i] for i in others], torch.is_grad_enabled())
            needed = [a + b for a, b in zip(needed, more, strict=True)]
        return [g if i.is_floating_point() or i.is_complex() else None for g, i in zip(needed, inputs, strict=True)]


class _Place(int):
    """Where a tensor is among the inputs and outputs of a call."""


def run_with_gradient(forward: Callable[..., Any], backward: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    call = _Call(forward, backward, args)
    leaves = [leaf for leaf in tree.flatten(args) if isinstance(leaf, torch.Tensor)]
    if not (torch.is_grad_enabled() and any(leaf.requires_grad for leaf in leaves)):
        return forward(*args)[0]
    outputs = _WithGradient.apply(call, *leaves)  # type: ignore[no-untyped-call]
    return call.fill(call.result, [*leaves, *outputs])
