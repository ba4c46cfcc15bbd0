"""The image helpers of `cornu.utils` under their old address."""

from __future__ import annotations

from cornu.utils.images import array_to_img, img_to_array, load_img, save_img

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img"]
