"""Images between files, Pillow and arrays. Needs Pillow (`pip install 'cornu[data]'`)."""

from __future__ import annotations

import contextlib
import os
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from cornu.base import config
from cornu.base.errors import ArgumentError, MissingDependencyError, ShapeError, bad_choice, warn

if TYPE_CHECKING:
    from PIL.Image import Image

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("Images need Pillow: pip install 'cornu[data]'.") from error
    return Image


def array_to_img(x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None) -> Image:
    """A Pillow image of an array `(height, width, channels)`, or `(channels, height, width)` for `"channels_first"`.

    1 channel is grey, 3 are RGB, 4 RGBA. With `scale`, values are shifted to begin at 0 and stretched to end at
    255; else they must be 0 … 255 (one channel may hold more, as 32-bit integers).
    """
    image = _pillow()
    x = np.asarray(x, dtype or config.floatx())
    if config.standardize_data_format(data_format) == "channels_first" and x.ndim == 3:
        x = x.transpose(1, 2, 0)
    if x.ndim != 3 or x.shape[-1] not in _MODES:
        raise ShapeError(f"array_to_img needs (height, width, channels) with 1, 3 or 4 channels, got shape {x.shape}.")
    if scale:
        x = x - x.min()
        x = x / (x.max() or 1) * 255
    if x.shape[-1] == 1 and x.max() > 255:
        return image.fromarray(x[..., 0].astype("int32"))
    return image.fromarray((x[..., 0] if x.shape[-1] == 1 else x).astype("uint8"), _MODES[x.shape[-1]])


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> np.ndarray:
    """The pixels of a Pillow image, `(height, width, channels)` or channels first; `dtype` defaults to `floatx`."""
    x = np.asarray(img, dtype or config.floatx())
    if x.ndim == 2:
        x = x[..., None]
    if x.ndim != 3:
        raise ShapeError(f"img_to_array needs an image of 2 or 3 dimensions, got shape {x.shape}.")
    return x.transpose(2, 0, 1) if config.standardize_data_format(data_format) == "channels_first" else x


def save_img(
    path: str | os.PathLike[str] | IO[bytes],
    x: Any,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array as an image file; see `array_to_img`. `file_format` defaults to what the suffix of `path` says.

    JPEG has no transparency: a fourth channel is dropped with a warning. `kwargs` go to Pillow's `save`.
    """
    img = array_to_img(x, data_format, scale)
    suffix = file_format or (os.path.splitext(path)[1][1:] if isinstance(path, (str, os.PathLike)) else "")
    if img.mode == "RGBA" and suffix.lower() in ("jpg", "jpeg"):
        warn("JPEG has no transparency; the image is saved as RGB.")
        img = img.convert("RGB")
    img.save(path, format="jpeg" if file_format and file_format.lower() == "jpg" else file_format, **kwargs)


def load_img(
    path: str | os.PathLike[str] | IO[bytes],
    color_mode: str = "rgb",
    target_size: int | tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Image:
    """A Pillow image from a file or an open binary file.

    `color_mode`: `"rgb"`, `"rgba"` or `"grayscale"` (8, 16 or 32 bits as the file has). `target_size`,
    `(height, width)` in pixels, resizes with `interpolation`; `keep_aspect_ratio` crops the centre to that ratio first.
    """
    image = _pillow()
    if color_mode not in ("rgb", "rgba", "grayscale"):
        raise bad_choice("color_mode", color_mode, ("rgb", "rgba", "grayscale"))
    if interpolation not in _INTERPOLATIONS:
        raise bad_choice("interpolation", interpolation, _INTERPOLATIONS)
    with contextlib.ExitStack() as stack:
        img = stack.enter_context(image.open(path)) if isinstance(path, (str, os.PathLike)) else image.open(path)
        img.load()
    if color_mode != "grayscale":
        img = img.convert(color_mode.upper())
    elif img.mode not in ("L", "I;16", "I"):
        img = img.convert("L")
    if target_size is None:
        return img
    height, width = (target_size, target_size) if isinstance(target_size, int) else target_size
    if min(height, width) < 1:
        raise ArgumentError(f"load_img: target_size must be positive (height, width), got {target_size!r}.")
    box = None
    if keep_aspect_ratio:
        across, down = min(img.width, img.height * width // height), min(img.height, img.width * height // width)
        left, top = (img.width - across) // 2, (img.height - down) // 2
        box = (left, top, left + across, top + down)
    if box is None and img.size == (width, height):
        return img
    return img.resize((width, height), getattr(image.Resampling, interpolation.upper()), box=box)
