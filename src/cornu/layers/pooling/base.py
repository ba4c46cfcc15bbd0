"""What pooling layers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from cornu.backend.contract import Array
from cornu.base import config
from cornu.layers.checks import choice, sizes
from cornu.layers.input_spec import InputSpec
from cornu.layers.layer import Layer


class Pooling(Layer):
    """A window that moves over `rank` spatial axes and keeps one number for each channel."""

    rank: ClassVar[int]
    pool: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.pool_size = sizes(pool_size, self.rank, "pool_size", self)
        self.strides = self.pool_size if strides is None else sizes(strides, self.rank, "strides", self)
        self.padding = choice(padding, ("valid", "same"), "padding", self)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Array) -> Array:
        return type(self).pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)


class GlobalPooling(Layer):
    """All spatial positions reduced to one number for each channel."""

    rank: ClassVar[int]

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def _spatial(self) -> tuple[int, ...]:
        start = 2 if self.data_format == "channels_first" else 1
        return tuple(range(start, start + self.rank))
