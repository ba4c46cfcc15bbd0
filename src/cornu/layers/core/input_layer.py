"""Where a Functional or Sequential model begins."""

from __future__ import annotations

from typing import Any

from cornu.base import config
from cornu.base.errors import ArgumentError
from cornu.base.spec import standardize_shape
from cornu.core.symbolic import KerasTensor, Node
from cornu.layers.checks import positive_int
from cornu.layers.layer import Layer


class InputLayer(Layer):
    """Holds the symbolic tensor that stands for a model's input."""

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        batch_shape: Any = None,
        input_tensor: KerasTensor | None = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        legacy = kwargs.pop("input_shape", None) or kwargs.pop("batch_input_shape", None)
        if legacy is not None:  # Keras 2's configurations
            batch_shape = legacy
        super().__init__(name=name, **kwargs)
        if batch_size is not None:
            positive_int(batch_size, "batch_size", self)
        if input_tensor is not None:
            if not isinstance(input_tensor, KerasTensor):
                raise ArgumentError(f"input_tensor should be a symbolic tensor, got {input_tensor!r}.")
            batch_shape, dtype = input_tensor.shape, dtype or input_tensor.dtype
        if (shape is None) == (batch_shape is None):
            raise ArgumentError("Input needs `shape` (without the batch axis) or `batch_shape`: one of the two.")
        if shape is not None:
            shape = (shape,) if isinstance(shape, int) else shape
            batch_shape = (batch_size, *standardize_shape(shape, "shape of Input"))
        self.batch_shape = standardize_shape(batch_shape, "batch_shape of Input")
        self._dtype = dtype or config.floatx()
        self.sparse, self.ragged, self.optional = sparse, ragged, optional
        self.built = True
        tensor = input_tensor
        if tensor is None:
            tensor = KerasTensor(self.batch_shape, self._dtype, sparse=sparse, ragged=ragged, name=self.name)
        self._dtype = tensor.dtype
        Node(self, (), {}, tensor)

    @property
    def dtype(self) -> str:
        """The dtype of the inputs."""
        return self._dtype

    def call(self) -> Any:
        """The model hands the value in; nothing is computed."""
        return None

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_shape": list(self.batch_shape),
            "dtype": self._dtype,
            "sparse": self.sparse,
            "ragged": self.ragged,
            "name": self.name,
            "optional": self.optional,
        }


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: KerasTensor | None = None,
    optional: bool = False,
) -> Any:
    """The symbolic tensor at which a model begins.

    `shape` leaves out the batch axis, `batch_shape` includes it; unknown sizes are None. `dtype` defaults to `floatx`.
    """
    layer = InputLayer(shape, batch_size, dtype, bool(sparse), bool(ragged), batch_shape, tensor, optional, name)
    return layer.nodes[0].outputs
