"""The layer that changes nothing."""

from __future__ import annotations

from typing import Any

from cornu.layers.layer import Layer


class Identity(Layer):
    """The inputs, a tensor or a nest of them, unchanged."""

    supports_masking = True

    def call(self, inputs: Any) -> Any:
        return inputs
