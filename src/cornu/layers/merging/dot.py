"""Products of the samples of two tensors."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters
from typing import Any

from cornu import ops
from cornu.backend.contract import Array
from cornu.base.errors import ArgumentError, ShapeError
from cornu.layers.merging.base import Merge


class Dot(Merge):
    """Σ over an axis of each of two tensors, sample by sample.

    (batch, *a, n, *b) and (batch, *c, n, *d) to (batch, *a, *b, *c, *d); (batch, n) twice gives (batch, 1). `axes` is
    an int or a pair of them. With `normalize` the tensors are scaled to length 1 along it first, so that the result is
    the cosine. Raises ShapeError where the sizes differ.
    """

    least = most = 2

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        pair = [axes, axes] if isinstance(axes, int) else axes
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(i, int) and i for i in pair):
            raise ArgumentError(
                f"{self._label()}: axes should be an int or a pair of them, none the batch (0), got {axes!r}."
            )
        self.axes, self.normalize = axes, normalize

    def _axes_of(self, shapes: Any) -> list[int]:
        pair = [self.axes, self.axes] if isinstance(self.axes, int) else self.axes
        return [axis % len(shape) for axis, shape in zip(pair, shapes, strict=True)]

    def build(self, input_shape: Any) -> None:
        shapes = self._check_count(input_shape)
        pair = [self.axes, self.axes] if isinstance(self.axes, int) else self.axes
        if any(
            len(shape) < 2 or not -len(shape) <= axis < len(shape) for axis, shape in zip(pair, shapes, strict=True)
        ):
            raise ShapeError(f"{self._label()}: the inputs do not have the axes {self.axes}, got shapes {shapes}.")
        a, b = (shape[axis] for axis, shape in zip(self._axes_of(shapes), shapes, strict=True))
        if None not in (a, b) and a != b:
            raise ShapeError(
                f"{self._label()}: the sizes at axes {self.axes} should be equal, got {a} and {b} of shapes {shapes}."
            )

    def call(self, inputs: Sequence[Array]) -> Array:
        first, second = inputs
        i, j = self._axes_of([first.shape, second.shape])
        if self.normalize:
            first, second = ops.normalize(first, i), ops.normalize(second, j)
        # letters: 'a' is the batch, 'b' the axis summed over
        one = ["a", *ascii_letters[2 : first.ndim + 1]]
        two = ["a", *ascii_letters[first.ndim + 1 : first.ndim + second.ndim]]
        one[i] = two[j] = "b"
        result = ["a", *(letter for letter in one[1:] + two[1:] if letter != "b")]
        product = ops.einsum(f"{''.join(one)},{''.join(two)}->{''.join(result)}", first, second)
        return ops.expand_dims(product, 1) if product.ndim == 1 else product

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None


def dot(inputs: Sequence[Any], axes: Any = -1, **kwargs: Any) -> Any:
    """`Dot(axes, **kwargs)(inputs)`."""
    return Dot(axes, **kwargs)(inputs)
