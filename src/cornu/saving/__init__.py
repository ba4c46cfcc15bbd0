"""Saving and loading: models, weights, and the names that files may use."""

from __future__ import annotations

from cornu.base.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "CustomObjectScope": "cornu.core.configurable",
        "custom_object_scope": "cornu.core.configurable",
        "deserialize_keras_object": "cornu.core.configurable:deserialize",
        "get_custom_objects": "cornu.core.configurable",
        "get_registered_name": "cornu.core.configurable",
        "get_registered_object": "cornu.core.configurable",
        "load_model": "cornu.saving.models",
        "load_weights": "cornu.saving.weights",
        "register_keras_serializable": "cornu.core.configurable:register_serializable",
        "register_serializable": "cornu.core.configurable",
        "save_model": "cornu.saving.models",
        "save_weights": "cornu.saving.weights",
        "serialize_keras_object": "cornu.core.configurable:serialize",
    },
)
