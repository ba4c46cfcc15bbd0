"""Connectionist temporal classification (https://www.cs.toronto.edu/~graves/icml_2006.pdf): the loss and decoders."""

from __future__ import annotations

from typing import Any

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, ShapeError, bad_choice
from cornu.core.op import Tensor, Untyped, op
from cornu.ops.elementwise import logaddexp, widen
from cornu.ops.nn import log_softmax, one_hot
from cornu.ops.reduction import top_k


def _check(name: str, shapes: dict[str, tuple[Any, Any, str]], mask_index: int) -> None:
    """`shapes` gives for each argument the tensor, its expected rank, and what its axes are; the first sizes agree."""
    for argument, (x, rank, axes) in shapes.items():
        if len(x.shape) != rank:
            raise ShapeError(f"{name}: {argument} should be {axes}, got shape {tuple(x.shape)}.")
    batches = {argument: x.shape[0] for argument, (x, _, _) in shapes.items() if x.shape[0] is not None}
    if len(set(batches.values())) > 1:
        raise ShapeError(f"{name}: the batch should have one size, got {batches}.")
    classes = next(x.shape[-1] for x, rank, _ in shapes.values() if rank == 3)
    if classes is not None and not 0 <= mask_index < classes:
        raise ArgumentError(
            f"{name}: mask_index should be one of the {classes} classes, from 0 to {classes - 1}, got {mask_index}."
        )


def _check_loss(target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0) -> None:
    shapes = {
        "target": (target, 2, "(batch, max target length)"),
        "output": (output, 3, "(batch, steps, classes)"),
        "target_length": (target_length, 1, "(batch,)"),
        "output_length": (output_length, 1, "(batch,)"),
    }
    _check("ctc_loss", shapes, mask_index)


@op(promotion="float", check=_check_loss)
def ctc_loss(
    target: Untyped,  # (batch, labels): classes, of which the first `target_length` count
    output: Tensor,  # (batch, steps, classes): logits
    target_length: Untyped,  # (batch,)
    output_length: Untyped,  # (batch,)
    mask_index: int = 0,
) -> Array:
    """-ln Σ p(alignment) over all ways to spell the target with blanks (`mask_index`) and repeats: (batch,).

    A target that does not fit into its steps costs 10⁵ for each blank that it lacks, instead of infinity.

    >>> print(ops.ctc_loss([[1]], ops.zeros((1, 2, 2)), [1], [2]).round(2))  # three of four alignments spell it
    [0.29]
    """
    impossible = -1e5
    logs = log_softmax(widen(output))
    batch, labels = target.shape
    steps = output.shape[1]
    target_length, output_length = B.cast(target_length, "int32"), B.cast(output_length, "int32")
    counts = B.arange(0, labels, 1, "int32")[None, :] < target_length[:, None]
    target = B.where(counts, B.cast(target, "int32"), mask_index)
    # The states: a blank before, between and after the labels.
    blanks = B.full((batch, labels), mask_index, "int32")
    states = B.concatenate([B.reshape(B.stack([blanks, target], -1), (batch, 2 * labels)), blanks[:, :1]], 1)
    states = states if labels else B.full((batch, 1), mask_index, "int32")
    size = states.shape[1]
    # From one label straight to the next, unless they are equal: a blank must come between them.
    before = B.concatenate([states[:, :1], states[:, :1], states], 1)[:, :size]
    skips = B.where(states == before, impossible, 0.0)
    first = B.arange(0, size, 1, "int32")[None, :] == 0
    dtype = standardize_dtype(logs.dtype)
    skips, start = B.cast(skips, dtype), B.cast(B.where(first, B.zeros((batch, 1), dtype), impossible), dtype)
    emitted = B.take_along_axis(logs, B.broadcast_to(states[:, None, :], (batch, steps, size)), -1)
    walls = B.full((batch, 2), impossible, dtype)

    def step(alpha: Array, now: tuple[Array, Array]) -> tuple[Array, None]:
        emission, t = now
        behind = B.concatenate([walls, alpha], 1)  # what the state two, and the state one before had
        reached = logaddexp(logaddexp(alpha, behind[:, 1 : size + 1]), behind[:, :size] + skips)
        return B.where((t < output_length)[:, None], reached + emission, alpha), None

    over_time = (B.transpose(emitted, (1, 0, 2)), B.arange(0, steps, 1, "int32"))
    alpha, _ = B.scan(step, start, over_time, steps, False, 1)
    last = 2 * target_length[:, None]
    ends = B.take_along_axis(alpha, B.concatenate([last, B.maximum(last - 1, 0)], 1), 1)
    return -B.where(target_length > 0, logaddexp(ends[:, 0], ends[:, 1]), ends[:, 0])


def _check_decode(
    inputs: Any,
    sequence_lengths: Any,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> None:
    shapes = {
        "inputs": (inputs, 3, "(batch, steps, classes)"),
        "sequence_lengths": (sequence_lengths, 1, "(batch,)"),
    }
    _check("ctc_decode", shapes, mask_index)
    if strategy not in ("greedy", "beam_search"):
        raise bad_choice("ctc_decode: strategy", strategy, ("greedy", "beam_search"))
    if strategy == "beam_search" and not 1 <= top_paths <= beam_width:
        raise ArgumentError(f"ctc_decode: top_paths should be from 1 to beam_width={beam_width}, got {top_paths}.")


@op(promotion="float", check=_check_decode)
def ctc_decode(
    inputs: Tensor,  # (batch, steps, classes): logits
    sequence_lengths: Untyped,  # (batch,)
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> tuple[Array, Array]:
    """The likely label sequences (paths, batch, steps), filled up with -1, and their scores (batch, paths).

    `"greedy"`: one path, the best class of each step, without blanks (`mask_index`) and, with `merge_repeated`, without
    repeats; its score is minus the sum of the logits. `"beam_search"`: the `top_paths` best of `beam_width` prefixes
    and their log probabilities, -inf where there are no more paths. https://arxiv.org/abs/1408.2873

    >>> labels, score = ops.ctc_decode(ops.one_hot([[1, 1, 0, 1, 2]], 3), [5])
    >>> print(labels)
    [[[ 1  1  2 -1 -1]]]
    """
    lengths = B.cast(sequence_lengths, "int32")
    if strategy == "beam_search":
        return _beam_search(widen(inputs), lengths, beam_width, top_paths, mask_index)
    best = B.argmax(inputs, axis=-1)  # (batch, steps)
    counts = B.arange(0, inputs.shape[1], 1, "int32")[None, :] < lengths[:, None]
    kept = B.logical_and(counts, best != mask_index)
    if merge_repeated:
        before = B.concatenate([B.full((best.shape[0], 1), -1, "int32"), best[:, :-1]], 1)
        kept = B.logical_and(kept, best != before)
    # A stable sort moves what is kept to the front.
    order = B.argsort(B.where(kept, 0, 1), axis=-1)
    labels = B.take_along_axis(B.where(kept, best, -1), order, 1)
    return labels[None], -B.sum(B.where(counts, B.max(widen(inputs), axis=-1), 0), axis=1, keepdims=True)


def _beam_search(logits: Array, lengths: Array, width: int, paths: int, blank: int) -> tuple[Array, Array]:
    """Prefix beam search: the probability of a prefix is kept apart for alignments that end in a blank or a label."""
    zero = -1e20  # ln 0, finite so that differences are numbers
    batch, steps, classes = logits.shape
    logs = B.maximum(log_softmax(logits), zero)
    dtype = standardize_dtype(logs.dtype)
    beam, places = B.arange(0, width, 1, "int32")[None, :], B.arange(0, steps, 1, "int32")
    classes_at = B.arange(0, classes, 1, "int32")
    labels_only = B.cast(B.where(classes_at == blank, 2 * zero, 0.0), dtype)

    def step(state: tuple[Array, ...], now: tuple[Array, Array]) -> tuple[tuple[Array, ...], None]:
        prefixes, sizes, last, own, parent, in_blank, in_label = state
        log, t = now  # (batch, classes)
        total = logaddexp(in_blank, in_label)
        alive = total > zero / 10
        # A prefix stays as it is by a blank or by its last label once more, or it grows by a label: by the same label
        # again only after a blank.
        log_last = B.take_along_axis(log, last, 1)
        before = B.where(classes_at == last[..., None], in_blank[..., None], total[..., None])
        grown = before + (log[:, None, :] + labels_only)  # (batch, width, classes)
        # Where prefix j is prefix i and one label more, both ways to get there are one.
        child = B.all(own[:, None, :, :] == parent[:, :, None, :], axis=-1)  # (batch, j, i)
        child = B.logical_and(child, B.logical_and(alive[:, :, None], alive[:, None, :]) & (sizes > 0)[:, :, None])
        through = B.where(last[:, :, None] == last[:, None, :], in_blank[:, None, :], total[:, None, :])
        inflow = B.max(B.where(child, through + log_last[:, :, None], zero), axis=2)
        stay_label = logaddexp(B.where(sizes > 0, in_label + log_last, zero), inflow)
        stay_blank = total + log[:, blank : blank + 1]
        merged = B.einsum("bji,bjc->bic", B.cast(child, dtype), one_hot(last, classes, dtype=dtype))
        grown = B.where(merged > 0, 2 * zero, grown)
        candidates = B.concatenate([logaddexp(stay_blank, stay_label), B.reshape(grown, (batch, -1))], 1)
        score, chosen = top_k(candidates, width)
        grows = chosen >= width
        source = B.where(grows, (chosen - width) // classes, chosen)
        label = (chosen - width) % classes

        def picked(x: Array) -> Array:
            if x.ndim == 2:
                return B.take_along_axis(x, source, 1)
            return B.take_along_axis(x, B.broadcast_to(source[..., None], (batch, width, x.shape[2])), 1)

        old, old_size, old_own = picked(prefixes), picked(sizes), picked(own)
        appended = B.logical_and(grows[..., None], places[None, None, :] == old_size[..., None])
        new = (
            B.where(appended, label[..., None], old),
            old_size + B.cast(grows, "int32"),
            B.where(grows, label, picked(last)),
            # Prefixes are told apart by two hashes of 32 bits each, which wrap around.
            B.where(grows[..., None], old_own * factors + (label[..., None] + 1), old_own),
            B.where(grows[..., None], old_own, picked(parent)),
            B.where(grows, zero, picked(stay_blank)),
            B.where(grows, score, picked(stay_label)),
        )
        going = t < lengths
        return tuple(
            B.where(B.reshape(going, (batch,) + (1,) * (n.ndim - 1)), n, o) for n, o in zip(new, state, strict=True)
        ), None

    factors = B.convert([1000003, 69069], "int32")
    nothing = B.full((batch, width), zero, dtype)
    start = (
        B.full((batch, width, steps), -1, "int32"),
        B.full((batch, width), 0, "int32"),
        B.full((batch, width), 0, "int32"),
        B.full((batch, width, 2), 0, "int32"),
        B.full((batch, width, 2), 0, "int32"),
        B.where(beam == 0, B.zeros((), dtype), nothing),
        nothing,
    )
    final, _ = B.scan(step, start, (B.transpose(logs, (1, 0, 2)), places), steps, False, 1)
    prefixes, *_, in_blank, in_label = final
    score, order = top_k(logaddexp(in_blank, in_label), paths)
    exists = score > zero / 10
    found = B.take_along_axis(prefixes, B.broadcast_to(order[..., None], (batch, paths, steps)), 1)
    found = B.where(exists[..., None], found, -1)
    return B.transpose(found, (1, 0, 2)), B.where(exists, score, -B.convert(float("inf"), dtype))
