"""Nests."""

from __future__ import annotations

from collections import namedtuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cornu.base import tree
from cornu.base.errors import ArgumentError

Point = namedtuple("Point", "x y")
nests = st.recursive(
    st.integers() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.builds(Point, inner, inner)
    ),
    max_leaves=8,
)


@given(nests)
def test_flatten_and_pack_are_inverse(nest):
    assert tree.pack_sequence_as(nest, tree.flatten(nest)) == nest
    assert [leaf for _, leaf in tree.flatten_with_path(nest)] == tree.flatten(nest)
    assert tree.map_structure(lambda leaf: leaf, nest) == nest
    tree.assert_same_structure(nest, nest)


@given(nests)
def test_traverse_with_no_replacement_changes_nothing(nest):
    for top_down in (True, False):
        assert tree.traverse(lambda node: None, nest, top_down) == nest


def test_traverse_replaces():
    nest = {"a": [1, 2], "b": (3, None)}
    assert tree.traverse(lambda n: n + 1 if isinstance(n, int) else None, nest) == {"a": [2, 3], "b": (4, None)}
    assert tree.traverse(lambda n: "list" if isinstance(n, list) else None, nest) == {"a": "list", "b": (3, None)}
    assert tree.traverse(lambda n: tree.MAP_TO_NONE if n == 3 else None, nest) == {"a": [1, 2], "b": (None, None)}


def test_shapes_are_leaves_where_asked():
    assert tree.map_shape_structure(len, {"a": (None, 3), "b": [(1, 2, 3)]}) == {"a": 2, "b": [3]}


def test_map_up_to():
    assert tree.map_structure_up_to([0, 0], lambda a, b: (a, b), [1, [2]], [3, 4]) == [(1, 3), ([2], 4)]


def test_lists_to_tuples():
    assert tree.lists_to_tuples([1, [2, {"a": [3]}]]) == (1, (2, {"a": (3,)}))


def test_differences_are_errors():
    with pytest.raises(ArgumentError, match="2 leaves, the flat sequence 1"):
        tree.pack_sequence_as([0, 0], [1])
    with pytest.raises(ArgumentError, match="differ"):
        tree.assert_same_structure([1], (1,))
    with pytest.raises(ArgumentError, match="in one structure only"):
        tree.assert_same_paths({"a": 1}, {"b": 1})
    tree.assert_same_paths([1, 2], (1, 2))
