"""What a model is trained for and judged by: losses and metrics, matched to its outputs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from numbers import Real
from typing import Any

from cornu import losses as losses_module
from cornu import metrics as metrics_module
from cornu import ops
from cornu.base import tree
from cornu.base.errors import ArgumentError, ShapeError, did_you_mean
from cornu.core import masks
from cornu.core.state import infer
from cornu.losses.loss import Loss, LossFunctionWrapper
from cornu.metrics import Mean, Metric


def output_names(y_pred: Any, given: list[str] | None) -> list[str]:
    """A name for each leaf of the outputs: keys of a dict, the names of output layers, or `output_0`, …"""
    leaves = tree.flatten_with_path(y_pred)
    if len(leaves) == 1 and not leaves[0][0]:
        return list(given[:1]) if given else ["output"]
    keyed = isinstance(y_pred, dict) and not _is_deep(y_pred)
    if keyed or not given or len(given) != len(leaves):
        return ["_".join(str(k) if isinstance(k, str) else f"output_{k}" for k in path) for path, _ in leaves]
    return list(given)


def per_output(what: str, given: Any, y_pred: Any, names: list[str], many: bool = False) -> list[Any]:
    """`given` (one for all, a list or a dict by output) as a list with an entry for each output.

    With `many` an entry may itself be a list, so a flat list belongs to a single output.
    """
    count = len(names)
    if _is_deep(y_pred) and tree.is_nested(given) and (not isinstance(given, Mapping) or set(given) == set(y_pred)):
        try:
            found: list[Any] = []
            tree.map_structure_up_to(y_pred, found.append, given)
        except ValueError as error:
            raise ArgumentError(f"{what} should have the form of the outputs ({', '.join(names)}): {error}") from error
        return found
    if isinstance(given, Mapping):
        unknown = [key for key in given if key not in names]
        if unknown:
            raise ArgumentError(
                f"{what} names the output {unknown[0]!r}, which the model does not have."
                f"{did_you_mean(unknown[0], names)} Outputs: {', '.join(names)}."
            )
        return [given.get(name) for name in names]
    if isinstance(given, list | tuple):
        nested = any(isinstance(item, list | tuple) for item in given)
        if many and not nested and (count == 1 or len(given) != count):
            return [list(given) for _ in names]
        if len(given) == count:
            return list(given)
        if count == 1 and many:
            return [list(given)]
        raise ArgumentError(
            f"{what} should have one entry for each of the {count} outputs ({', '.join(names)}), got {len(given)}."
        )
    return [given] * count


def _is_deep(structure: Any) -> bool:
    """Whether there are nests within the nest."""
    return any(len(path) > 1 for path, _ in tree.flatten_with_path(structure))


def leaves_for(structure: Any, y_pred: Any, names: list[str], what: str) -> list[Any]:
    """The leaves of `structure` (targets, weights) in the order of the outputs."""
    if structure is None:
        return [None] * len(names)
    keys = sorted(y_pred) if isinstance(y_pred, Mapping) and not _is_deep(y_pred) else names
    if isinstance(structure, Mapping) and not any(map(tree.is_nested, structure.values())):
        unknown = [key for key in structure if key not in keys]
        if unknown and names == ["output"] and len(structure) == 1:  # a name that nobody can know
            return list(structure.values())
        if unknown:
            raise ArgumentError(
                f"{what} has the key {unknown[0]!r}, the outputs are {', '.join(map(str, keys))}."
                f"{did_you_mean(str(unknown[0]), map(str, keys))}"
            )
        return [structure.get(key) for key in keys]
    leaves = tree.flatten(structure)
    if len(leaves) != len(names):
        raise ArgumentError(
            f"{what} has {len(leaves)} part{'s' * (len(leaves) != 1)}, the model has {len(names)} "
            f"output{'s' * (len(names) != 1)} ({', '.join(names)})."
        )
    return leaves


def weights_for(sample_weight: Any, y_pred: Any, names: list[str]) -> list[Any]:
    """The sample weights of each output: one array counts for all of them."""
    if sample_weight is not None and not tree.is_nested(sample_weight):
        return [sample_weight] * len(names)
    return leaves_for(sample_weight, y_pred, names, "sample_weight")


def check_target(y: Any, y_pred: Any, loss: Any, name: str) -> None:
    """Raises ShapeError for a target that cannot belong to the output, with the repair."""
    a, b = tuple(y.shape), tuple(y_pred.shape)
    kind = getattr(loss, "name", getattr(loss, "__name__", ""))
    if "sparse_categorical" in kind:
        if len(a) == len(b) and a[-1] not in (1, None) and a[-1] == b[-1] and b[-1] != 1:
            raise ShapeError(
                f"Output {name!r}: the loss {kind!r} wants class indices, got targets of shape {a}, which look "
                "one-hot. Use loss='categorical_crossentropy', or targets.argmax(-1)."
            )
        return
    if "categorical_crossentropy" in kind and b and b[-1] not in (1, None) and (len(a) < len(b) or a[-1] == 1):
        raise ShapeError(
            f"Output {name!r}: the loss {kind!r} wants one-hot targets of shape {b}, got shape {a}. For class indices "
            "use loss='sparse_categorical_crossentropy', or utils.to_categorical."
        )
    if type(loss).__module__.startswith("cornu.") and len(a) == len(b):
        if any(m is not None and n is not None and m != n and 1 not in (m, n) for m, n in zip(a, b, strict=True)):
            raise ShapeError(f"Output {name!r}: targets of shape {a} do not fit outputs of shape {b} (loss {kind!r}).")


class CompiledLoss:
    """The losses of all outputs, weighted and summed; keeps a mean of each where there are several."""

    def __init__(self, loss: Any, loss_weights: Any, y: Any, y_pred: Any, names: list[str]) -> None:
        self.names, self.outputs = names, tree.flatten(y_pred)
        found, targets = per_output("loss", loss, y_pred, names), leaves_for(y, y_pred, names, "y")
        self.losses = list(map(self._resolve, found, targets, self.outputs))
        self.weights = per_output("loss_weights", loss_weights, y_pred, names)
        if len(names) == 1 and isinstance(self.weights[0], list | tuple):
            self.weights = list(self.weights[0])
        for name, weight in zip(names, self.weights, strict=True):
            if weight is not None and (isinstance(weight, bool) or not isinstance(weight, Real)):
                raise ArgumentError(f"loss_weights of output {name!r} should be a number, got {weight!r}.")
        for name, one, target, output in zip(names, self.losses, targets, self.outputs, strict=True):
            if one is not None and target is None:
                raise ArgumentError(
                    f"Output {name!r} has the loss {getattr(one, 'name', one)!r} but no target: y should hold one for "
                    "each output with a loss. Set its loss to None if it should not be trained."
                )
            if one is not None and hasattr(target, "shape"):
                check_target(target, output, one, name)
        active = sum(one is not None for one in self.losses)
        self.trackers = [
            Mean(name=f"{name}_loss") if active > 1 and one is not None else None
            for name, one in zip(names, self.losses, strict=True)
        ]

    @staticmethod
    def _resolve(loss: Any, y: Any = None, y_pred: Any = None) -> Any:
        found = losses_module.resolve(loss, y, y_pred)
        if found is None or isinstance(found, Loss) or not callable(found):
            return found
        return LossFunctionWrapper(found, name=getattr(found, "__name__", "loss"))

    @property
    def metrics(self) -> list[Metric]:
        """The means of the single losses."""
        return [tracker for tracker in self.trackers if tracker is not None]

    def __call__(self, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        targets, outputs = leaves_for(y, y_pred, self.names, "y"), tree.flatten(y_pred)
        row_weights = weights_for(sample_weight, y_pred, self.names)
        total = None
        for i, loss in enumerate(self.losses):
            if loss is None:
                continue
            value = loss(targets[i], outputs[i], row_weights[i])
            weight = self.weights[i]
            weighted = value if weight is None else value * weight
            tracker = self.trackers[i]
            if tracker is not None:
                tracker.update_state(value, sample_weight=ops.shape(outputs[i])[0])
            total = weighted if total is None else total + weighted
        return total


class CompiledMetrics:
    """The metrics of all outputs, plain and weighted."""

    def __init__(self, metrics: Any, weighted: Any, y: Any, y_pred: Any, names: list[str]) -> None:
        self.names, outputs, targets = names, tree.flatten(y_pred), leaves_for(y, y_pred, names, "y")
        self.rows: list[tuple[int, Metric, bool]] = []  # output, metric, whether sample weights count
        taken: set[str] = set()
        for given, is_weighted in ((metrics, False), (weighted, True)):
            if given is None:
                continue
            what = "weighted_metrics" if is_weighted else "metrics"
            for i, entries in enumerate(per_output(what, given, y_pred, names, many=True)):
                for entry in entries if isinstance(entries, list | tuple) else [entries]:
                    if entry is None:
                        continue
                    metric = metrics_module.resolve(entry, targets[i], outputs[i])
                    name = metric._own_name = metric._own_name or metric.name
                    output = f"{names[i]}_" if len(names) > 1 else ""
                    name = f"{output}weighted_{name}" if is_weighted and output + name in taken else output + name
                    metric.name = _free(name, taken)
                    taken.add(metric.name)
                    self.rows.append((i, metric, is_weighted))

    @property
    def metrics(self) -> list[Metric]:
        """All of them, in order."""
        return [metric for _, metric, _ in self.rows]

    def update_state(self, y: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count one batch."""
        targets, outputs = leaves_for(y, y_pred, self.names, "y"), tree.flatten(y_pred)
        row_weights = weights_for(sample_weight, y_pred, self.names)
        for i, metric, is_weighted in self.rows:
            if targets[i] is None:
                continue
            if is_weighted and row_weights[i] is not None:
                metric.update_state(targets[i], outputs[i], sample_weight=row_weights[i])
            else:
                metric.update_state(targets[i], outputs[i])


def _free(name: str, taken: set[str]) -> str:
    """`name`, or the first of `name_1`, `name_2`, … that is not taken."""
    candidates = itertools.chain([name], (f"{name}_{k}" for k in itertools.count(1)))
    return next(candidate for candidate in candidates if candidate not in taken)


def infer_update(metrics: CompiledMetrics, y: Any, y_pred: Any) -> None:
    """Let metrics that make their variables in the first update do so, for specs of targets and outputs."""
    both = (y, y_pred)
    infer(lambda arrays: metrics.update_state(*tree.pack_sequence_as(both, arrays)), tree.flatten(both))


def masks_of(structure: Any) -> list[Any]:
    """The masks of the leaves."""
    return [masks.get_mask(leaf) for leaf in tree.flatten(structure)]


def put_masks(structure: Any, found: list[Any]) -> None:
    """Give the leaves their masks back."""
    for leaf, mask in zip(tree.flatten(structure), found, strict=True):
        if mask is not None:
            masks.set_mask(leaf, mask)
