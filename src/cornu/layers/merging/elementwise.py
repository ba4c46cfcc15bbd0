"""Merging element by element, as layers and as functions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from cornu import ops
from cornu.backend.contract import Array
from cornu.layers.merging.base import Merge


class Add(Merge):
    """The sum of a list of tensors, element by element; sizes of 1 are broadcast."""

    def _merge(self, inputs: list[Array]) -> Array:
        return reduce(ops.add, inputs)


class Subtract(Merge):
    """first - second of a list of two tensors, element by element; sizes of 1 are broadcast."""

    least = most = 2

    def _merge(self, inputs: list[Array]) -> Array:
        return ops.subtract(*inputs)


class Multiply(Merge):
    """The product of a list of tensors, element by element; sizes of 1 are broadcast."""

    def _merge(self, inputs: list[Array]) -> Array:
        return reduce(ops.multiply, inputs)


class Average(Merge):
    """The mean of a list of tensors, element by element; sizes of 1 are broadcast."""

    def _merge(self, inputs: list[Array]) -> Array:
        return reduce(ops.add, inputs) / len(inputs)


class Maximum(Merge):
    """The largest of a list of tensors, element by element; sizes of 1 are broadcast."""

    def _merge(self, inputs: list[Array]) -> Array:
        return reduce(ops.maximum, inputs)


class Minimum(Merge):
    """The least of a list of tensors, element by element; sizes of 1 are broadcast."""

    def _merge(self, inputs: list[Array]) -> Array:
        return reduce(ops.minimum, inputs)


def add(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`Add(**kwargs)(inputs)`."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`Subtract(**kwargs)(inputs)`."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`Multiply(**kwargs)(inputs)`."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`Average(**kwargs)(inputs)`."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`Maximum(**kwargs)(inputs)`."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`Minimum(**kwargs)(inputs)`."""
    return Minimum(**kwargs)(inputs)
