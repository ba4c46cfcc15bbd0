"""Helpers around models and data."""

from __future__ import annotations

from cornu.base.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "array_to_img": "cornu.utils.images",
        "get_file": "cornu.utils.files",
        "img_to_array": "cornu.utils.images",
        "load_img": "cornu.utils.images",
        "normalize": "cornu.utils.arrays",
        "pack_x_y_sample_weight": "cornu.utils.arrays",
        "pad_sequences": "cornu.utils.arrays",
        "save_img": "cornu.utils.images",
        "split_dataset": "cornu.utils.arrays",
        "to_categorical": "cornu.utils.arrays",
        "unpack_x_y_sample_weight": "cornu.utils.arrays",
    },
)
