"""Drawings of models; Graphviz itself is not needed."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest

import cornu
from cornu import layers
from cornu.base.errors import ArgumentError, MissingDependencyError
from cornu.utils import model_to_dot, plot_model


def model():
    a, b = cornu.Input((4,), name="a"), cornu.Input((4,), name="b")
    inner = cornu.Sequential([cornu.Input((4,)), layers.Dense(3, name="deep", activation="relu")], name="inner")
    return cornu.Model([a, b], layers.Concatenate(name="joined")([inner(a), inner(b)]) * 2.0)


def test_boxes_and_arrows() -> None:
    dot = model_to_dot(model(), show_shapes=True, show_dtype=True, show_trainable=True)
    assert len(dot.get_edges()) == 4  # a and b to inner, inner to joined, joined to the product
    text = dot.to_string()
    for part in (
        "inner (Sequential)",
        "joined (Concatenate)",
        "shape: (None, 6)",
        "dtype: float32",
        "trainable",
        "multiply",
    ):
        assert part in text


def test_models_within_are_drawn_as_clusters() -> None:
    text = model_to_dot(model(), expand_nested=True, show_layer_activations=True, rankdir="LR").to_string()
    assert "subgraph" in text
    assert "deep (Dense)" in text
    assert "activation: relu" in text
    assert "rankdir=LR" in text


def test_a_stack_is_a_chain() -> None:
    stack = cornu.Sequential([cornu.Input((4,)), layers.Dense(3), layers.Dense(2)])
    assert len(model_to_dot(stack).get_edges()) == 2


def test_dot_files_need_no_graphviz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    plot_model(model(), tmp_path / "m.dot", show_layer_names=True)
    assert (tmp_path / "m.dot").read_text().startswith("digraph")
    with pytest.raises(MissingDependencyError, match=r"needs the program Graphviz.*or draw to a `.dot` file"):
        plot_model(model(), tmp_path / "m.png")


def test_without_pydot_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pydot":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"pip install 'cornu\[plot\]'"):
        model_to_dot(model())


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(ArgumentError, match="is not built yet"):
        model_to_dot(cornu.Sequential([layers.Dense(1)]))
    with pytest.raises(ArgumentError, match="no argument 'colour'"):
        plot_model(model(), colour="red")
