"""A SavedModel of TensorFlow as a layer."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from cornu.base.errors import ArgumentError, StateError
from cornu.layers.checks import require_backend
from cornu.layers.layer import Layer


class TFSMLayer(Layer):
    """What a SavedModel in the folder `filepath` computes: its endpoint `call_endpoint`, as a layer for inference.

    An endpoint is an attribute of the SavedModel, or one of its signatures; in training `call_training_endpoint`, if
    given. A SavedModel holds a program: load only those that you trust. Its weights are its own: `fit` leaves them as
    they are. Only on the backend TensorFlow.
    """

    def __init__(
        self,
        filepath: Any,
        call_endpoint: str = "serve",
        call_training_endpoint: str | None = None,
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(trainable=trainable, name=name, dtype=dtype)
        require_backend(self, "tensorflow")
        self.filepath = str(filepath)
        self.call_endpoint, self.call_training_endpoint = call_endpoint, call_training_endpoint
        try:
            self._loaded = tf.saved_model.load(self.filepath)
        except (OSError, ValueError) as error:
            raise ArgumentError(f"{self._label()}: {self.filepath!r} holds no SavedModel: {error}") from error
        self._infer = self._endpoint(call_endpoint)
        self._train = self._endpoint(call_training_endpoint) if call_training_endpoint else self._infer
        self.built = True

    def _endpoint(self, name: str) -> Any:
        signatures = getattr(self._loaded, "signatures", {})
        if hasattr(self._loaded, name):
            return getattr(self._loaded, name)
        if name in signatures:
            return signatures[name]
        raise ArgumentError(
            f"{self._label()}: the SavedModel {self.filepath!r} has no endpoint {name!r}; its signatures are "
            f"{', '.join(signatures) or 'none'}."
        )

    def call(self, inputs: Any, training: bool = False, **kwargs: Any) -> Any:
        require_backend(self, "tensorflow")
        return (self._train if training else self._infer)(inputs, **kwargs)

    def get_config(self) -> dict[str, Any]:
        raise StateError(f"{self._label()}: a file may not name other files to load. Make the layer anew by code.")
