"""Nests of lists, tuples, dicts and named tuples, over `optree`. None is a leaf, dicts are walked in key order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import optree

from cornu.base.errors import ArgumentError


class MAP_TO_NONE:
    """Returned from `traverse`'s function: put None here and go no deeper."""


def is_nested(structure: Any) -> bool:
    """Whether `structure` is a container rather than a leaf."""
    return not optree.tree_is_leaf(structure, none_is_leaf=True)


def flatten(structure: Any) -> list[Any]:
    """The leaves, in order."""
    return optree.tree_leaves(structure, none_is_leaf=True)


def flatten_with_path(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """Pairs (path of keys and indices, leaf)."""
    paths, leaves, _ = optree.tree_flatten_with_path(structure, none_is_leaf=True)
    return list(zip(paths, leaves, strict=True))


def map_structure(func: Callable[..., Any], *structures: Any, none_is_leaf: bool = True) -> Any:
    """`func` of the corresponding leaves, in the first structure's form. With `none_is_leaf=False` Nones stay None."""
    if not structures:
        raise ArgumentError("map_structure needs at least one structure.")
    return optree.tree_map(func, *structures, none_is_leaf=none_is_leaf)


def map_structure_up_to(shallow_structure: Any, func: Callable[..., Any], *structures: Any) -> Any:
    """As `map_structure`, where everything below `shallow_structure`'s leaves is handed to `func` whole."""
    treedef = optree.tree_structure(shallow_structure, none_is_leaf=True)
    columns = [treedef.flatten_up_to(structure) for structure in structures]
    return treedef.unflatten([func(*row) for row in zip(*columns, strict=True)])


def pack_sequence_as(structure: Any, flat_sequence: Sequence[Any]) -> Any:
    """The leaves of `flat_sequence` in the form of `structure`."""
    treedef = optree.tree_structure(structure, none_is_leaf=True)
    leaves = list(flat_sequence)
    if treedef.num_leaves != len(leaves):
        raise ArgumentError(f"The structure has {treedef.num_leaves} leaves, the flat sequence {len(leaves)}.")
    return treedef.unflatten(leaves)


def present(structure: Any) -> list[Any]:
    """The leaves that are not None."""
    return optree.tree_leaves(structure)


def packed(structure: Any, leaves: Iterable[Any]) -> Any:
    """These leaves in the places of those that are not None."""
    return optree.tree_structure(structure).unflatten(leaves)


def structure(structure: Any) -> Any:
    """The form of a nest, hashable and comparable."""
    return optree.tree_structure(structure, none_is_leaf=True)


def assert_same_structure(a: Any, b: Any, check_types: bool | None = None) -> None:
    """Raises ArgumentError unless both have the same form."""
    first, second = (optree.tree_structure(s, none_is_leaf=True) for s in (a, b))
    if first != second:
        raise ArgumentError(f"The structures differ: {first} and {second}.")


def assert_same_paths(a: Any, b: Any) -> None:
    """Raises ArgumentError unless both have leaves at the same paths, whatever the types of their containers."""
    first, second = ({path for path, _ in flatten_with_path(s)} for s in (a, b))
    if first != second:
        raise ArgumentError(f"Paths in one structure only: {sorted(map(str, first ^ second))}.")


def lists_to_tuples(structure: Any) -> Any:
    """The same nest with tuples for lists."""
    if isinstance(structure, list | tuple) and not hasattr(structure, "_fields"):
        return tuple(lists_to_tuples(item) for item in structure)
    if isinstance(structure, dict):
        return {key: lists_to_tuples(item) for key, item in structure.items()}
    return structure


def is_shape_tuple(structure: Any) -> bool:
    """Whether `structure` is a list or tuple of ints and Nones: a shape."""
    return isinstance(structure, list | tuple) and all(isinstance(size, int | type(None)) for size in structure)


def map_shape_structure(func: Callable[..., Any], structure: Any) -> Any:
    """`func` of each shape tuple in the structure."""
    return optree.tree_map(func, structure, is_leaf=is_shape_tuple, none_is_leaf=True)


def traverse(func: Callable[[Any], Any], structure: Any, top_down: bool = True) -> Any:
    """`func` of every node; a result other than None replaces the node (`MAP_TO_NONE` puts None).

    Top-down, a replaced node is not entered; bottom-up, children are replaced before their parents.
    """
    if top_down:
        replaced = func(structure)
        if replaced is not None:
            return None if replaced is MAP_TO_NONE or isinstance(replaced, MAP_TO_NONE) else replaced
    if is_nested(structure):
        children, treedef = optree.tree_flatten(structure, is_leaf=lambda x: x is not structure, none_is_leaf=True)
        structure = treedef.unflatten([traverse(func, child, top_down) for child in children])
    if not top_down:
        replaced = func(structure)
        if replaced is not None:
            return None if replaced is MAP_TO_NONE or isinstance(replaced, MAP_TO_NONE) else replaced
    return structure
