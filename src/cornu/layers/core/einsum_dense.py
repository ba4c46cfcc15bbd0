"""The fully connected layer by an equation."""

from __future__ import annotations

import copy
import re
from string import ascii_letters
from typing import Any

from cornu import activations
from cornu.backend.contract import Array
from cornu.base.errors import ArgumentError, ShapeError
from cornu.base.spec import standardize_shape
from cornu.initializers import VarianceScaling
from cornu.layers.checks import positive_int
from cornu.layers.layer import Layer
from cornu.layers.weights import describe_weights, make_weight
from cornu.ops import einsum, reshape
from cornu.ops.products import dense, summed_last

_EQUATION = re.compile(r"([a-zA-Z]*(?:\.\.\.)?[a-zA-Z]*),([a-zA-Z]*)->([a-zA-Z]*(?:\.\.\.)?[a-zA-Z]*)")


class EinsumDense(Layer):
    """activation(einsum(equation, inputs, kernel) + bias), such as `"abc,cd->abd"` for Dense on three axes.

    `output_shape` leaves out the batch; sizes that the inputs decide are None. `...` stands for any number of axes.
    `bias_axes` are the letters of the outputs along which the bias varies; None is no bias.
    Raises ShapeError where the sizes of inputs and outputs disagree.
    """

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.equation = equation
        match = _EQUATION.fullmatch(equation.replace(" ", "")) if isinstance(equation, str) else None
        if match is None or ("..." in match[1]) != ("..." in match[3]):
            raise ArgumentError(
                f"{self._label()}: equation should look like 'ab,bc->ac' (inputs, kernel -> outputs) with `...` on "
                f"neither or both sides, got {equation!r}."
            )
        self._letters = match.groups()
        summed = summed_last(*self._letters)
        made = match[2][summed:]  # the bias has all that the kernel brings, or there is none
        self._summed = summed if summed < len(match[1]) and set(bias_axes or made) == set(made) else 0
        shape = (output_shape,) if output_shape is None or hasattr(output_shape, "__index__") else output_shape
        self.output_shape = standardize_shape(shape, f"{self._label()}: output_shape")
        for size in self.output_shape:
            positive_int(1 if size is None else size, "output_shape", self)
        self.activation = activations.get(activation)
        self.bias_axes = bias_axes
        if unknown := set(bias_axes or "") - set(match[3]):
            raise ArgumentError(
                f"{self._label()}: bias_axes {sorted(unknown)} are no letters of the outputs {match[3]!r}."
            )
        describe_weights(self, locals(), "kernel", "bias")

    def build(self, input_shape: Any) -> None:
        inputs, kernel, outputs = self._letters
        spare = [letter for letter in ascii_letters if letter not in inputs + kernel + outputs]
        hidden = "".join(spare[: max(len(input_shape) - len(inputs.replace("...", "")), 0)])
        if len(inputs.replace("...", hidden)) != len(input_shape):
            raise ShapeError(
                f"{self._label()}: {inputs!r} of {self.equation!r} does not fit inputs of shape {tuple(input_shape)}."
            )
        sizes = dict(zip(inputs.replace("...", hidden), input_shape, strict=True))
        before, _, after = outputs.partition("...")
        full = (None, *self.output_shape)
        if "..." not in outputs and len(full) != len(outputs):
            raise ShapeError(
                f"{self._label()}: {self.equation!r} gives {len(outputs)} axes with the batch, "
                f"output_shape={self.output_shape} has {len(full)}."
            )
        named = [*zip(before, full, strict=False), *zip(reversed(after), reversed(full), strict=False)]
        for letter, size in named:
            if size is not None and sizes.get(letter) not in (None, size):
                raise ShapeError(
                    f"{self._label()}: axis {letter!r} of {self.equation!r} has size {sizes[letter]} in inputs of "
                    f"shape {tuple(input_shape)} and {size} in output_shape={self.output_shape}."
                )
            sizes[letter] = size if size is not None else sizes.get(letter)
        unknown = [letter for letter in kernel + (self.bias_axes or "") if sizes.get(letter) is None]
        if unknown:
            raise ShapeError(
                f"{self._label()}: the sizes of {unknown} in {self.equation!r} are known neither from inputs of shape "
                f"{tuple(input_shape)} nor from output_shape={self.output_shape}."
            )
        shape = tuple(sizes[letter] for letter in kernel)
        self.kernel = make_weight(self, "kernel", shape, initializer=self._initializer(kernel, outputs))
        self.bias = None
        if self.bias_axes:
            letters = outputs.replace("...", hidden)
            first = min(letters.index(letter) for letter in self.bias_axes)
            shape = tuple(sizes[letter] if letter in self.bias_axes else 1 for letter in letters[first:])
            self.bias = make_weight(self, "bias", shape)

    def _initializer(self, kernel: str, outputs: str) -> Any:
        """That of the kernel, which counts as inputs of a unit the axes that are summed over, the others as outputs."""
        given = self.kernel_initializer
        if not isinstance(given, VarianceScaling) or (given.input_axes, given.output_axes) != (None, None):
            return given
        counting = copy.copy(given)  # with the seed of the one given, which stays as it is
        counting.input_axes = [i for i, letter in enumerate(kernel) if letter not in outputs]
        counting.output_axes = [i for i, letter in enumerate(kernel) if letter in outputs]
        return counting

    def call(self, inputs: Array) -> Array:
        kernel, bias = self.kernel.value, None if self.bias is None else self.bias.value
        if self._summed and None not in inputs.shape:  # as Dense, which adds the bias within the product
            free, made = inputs.shape[: -self._summed], kernel.shape[self._summed :]
            rows = reshape(inputs, (*free, -1)) if self._summed > 1 else inputs
            kernel = reshape(kernel, (rows.shape[-1], -1))
            outputs = reshape(dense(rows, kernel, None if bias is None else reshape(bias, (-1,))), (*free, *made))
        else:
            outputs = einsum(self.equation.replace(" ", ""), inputs, kernel)
            outputs = outputs if bias is None else outputs + bias
        return outputs if self.activation is None else self.activation(outputs)
