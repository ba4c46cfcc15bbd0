"""Helpers around models and data."""

from __future__ import annotations

from cornu.base.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "BucketedSequences": "cornu.training.bucketed",
        "CustomObjectScope": "cornu.core.configurable",
        "Progbar": "cornu.callbacks.progress",
        "PyDataset": "cornu.training.py_dataset",
        "Sequence": "cornu.training.py_dataset:PyDataset",
        "array_to_img": "cornu.utils.images",
        "clear_session": "cornu.utils.session",
        "custom_object_scope": "cornu.core.configurable",
        "deserialize_keras_object": "cornu.core.configurable:deserialize",
        "get_custom_objects": "cornu.core.configurable",
        "get_file": "cornu.utils.files",
        "img_to_array": "cornu.utils.images",
        "is_keras_tensor": "cornu.core.symbolic",
        "load_img": "cornu.utils.images",
        "model_to_dot": "cornu.visualization.plot_model",
        "normalize": "cornu.utils.arrays",
        "pack_x_y_sample_weight": "cornu.utils.arrays",
        "pad_sequences": "cornu.utils.arrays",
        "plot_model": "cornu.visualization.plot_model",
        "register_keras_serializable": "cornu.core.configurable:register_serializable",
        "save_img": "cornu.utils.images",
        "serialize_keras_object": "cornu.core.configurable:serialize",
        "set_random_seed": "cornu.utils.session",
        "split_dataset": "cornu.utils.arrays",
        "standardize_dtype": "cornu.base.dtypes",
        "to_categorical": "cornu.utils.arrays",
        "unpack_x_y_sample_weight": "cornu.utils.arrays",
    },
)
