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
        self._forward, self._backward = forward, backward
        self._args = args
        self.at = [i for i, leaf in enumerate(tree.flatten(args)) if isinstance(leaf, torch.Tensor)]
        self._fixed = [None if isinstance(leaf, torch.Tensor) else leaf for leaf in tree.flatten(args)]
        self.result: Any = None
        self.kept: Any = None

    def _run(self, leaves: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        filled = list(self._fixed)
        for i, leaf in zip(self.at, leaves, strict=True):
            filled[i] = leaf
        result, kept = self._forward(*tree.pack_sequence_as(self._args, filled))
        found: list[torch.Tensor] = []

        def number(leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor):
                return leaf
            for i, leaf_in in enumerate(leaves):
                if leaf is leaf_in:
                    return _Input(i)
            found.append(leaf)
            return _Output(len(found) - 1)

        self.result, self.kept = tree.map_structure(number, result), tree.map_structure(number, kept)
        return found

    def forward(self, leaves: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        seen: set[int] = set()
        outputs = []
        for tensor in self._run(leaves):  # each output a tensor of its own
            outputs.append(tensor.clone() if id(tensor) in seen or tensor._is_view() else tensor)
            seen.add(id(tensor))
        return tuple(outputs)

    def fill(self, form: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """A nest with tensors in the places of their numbers."""

        def one(leaf: Any) -> Any:
            if isinstance(leaf, _Input):
                return inputs[leaf.index]
            return outputs[leaf.index] if isinstance(leaf, _Output) else leaf

        return tree.map_structure(one, form)

    def backward(self, saved: list[torch.Tensor], gradients: list[Any]) -> list[Any]:
        count = len(self.at)
        inputs, outputs = saved[:count], saved[count:]
        of_results = {leaf.index for leaf in tree.flatten(self.result) if isinstance(leaf, _Output)}
        dense = [torch.zeros_like(o) if g is None else g for o, g in zip(outputs, gradients, strict=True)]
        needed = [torch.zeros_like(i) for i in inputs]
        if any(gradients[i] is not None for i in of_results):
            filled = self.fill(self.result, [torch.zeros_like(i) for i in inputs], dense)
            found = tree.flatten(self._backward(self.fill(self.kept, inputs, outputs), filled))
            needed = [
                found[i] if i < len(found) and found[i] is not None else z for i, z in zip(self.at, needed, strict=True)
            ]
        others = [i for i, g in enumerate(gradients) if g is not None and i not in of_results]
        if others:  # from a second differentiation, through what was kept
            with torch.enable_grad():
                leaves = [i.detach().requires_grad_(i.is_floating_point()) for i in inputs]
                again = self._run(leaves)
            more = pull_back([again[i] for i in others], leaves, [dense[i] for i in others], False)
            needed = [a + b for a, b in zip(needed, more, strict=True)]
        return [g if i.is_floating_point() or i.is_complex() else None for g, i in zip(needed, inputs, strict=True)]


class _Input:
    def __init__(self, index: int) -> None:
        self.index = index


class _Output:
    def __init__(self, index: int) -> None:
        self.index = index


def run_with_gradient(forward: Callable[..., Any], backward: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    call = _Call(forward, backward, args)
    leaves = [leaf for leaf in tree.flatten(args) if isinstance(leaf, torch.Tensor)]
    if not (torch.is_grad_enabled() and any(leaf.requires_grad for leaf in leaves)):
        return forward(*args)[0]
    outputs = _WithGradient.apply(call, *leaves)  # type: ignore[no-untyped-call]
    return call.fill(call.result, leaves, outputs)
