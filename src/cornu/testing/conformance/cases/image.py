"""Images."""

from __future__ import annotations

from typing import Any

import numpy as np

from cornu.testing.conformance import oracles_image as oracles
from cornu.testing.conformance.case import ALL, FLOATS, NUMBERS, Case, v, x

ONE = ("float32",)
FIRST = {"data_format": "channels_first"}
FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")


def C(name: str, args: tuple[Any, ...], oracle: Any, kwargs: Any = None, **options: Any) -> Case:
    """A case of `ops.image`, in float32 unless told otherwise."""
    return Case(f"image.{name}", args, oracle, kwargs or {}, **{"dtypes": ONE} | options)


RESIZING = [
    *(
        C("resize", (x(2, 5, 7, 2), (8, 4)), oracles.resize, {"interpolation": name, "antialias": antialias})
        for name in ("bilinear", "bicubic", "lanczos3", "lanczos5")
        for antialias in (False, True)
    ),
    C("resize", (x(2, 5, 7, 2), (8, 3)), oracles.resize, {"interpolation": "nearest"}, dtypes=ALL),
    C("resize", (x(2, 4, 6, 3), (2, 12)), oracles.resize, dtypes=NUMBERS),
    C(
        "resize",
        (x(2, 3, 4, 1, low=0, high=99), (6, 4)),
        oracles.resize,
        {"interpolation": "bicubic"},
        dtypes=("int32",),
    ),
    C("resize", (x(5, 7, 2), (3, 5)), oracles.resize),
    C("resize", (x(2, 3, 5, 4), (3, 5)), oracles.resize, FIRST),
    *(
        C("resize", (x(2, 4, 9, 2), size), oracles.resize, {f"{how}_to_aspect_ratio": True, "interpolation": name})
        for how, name, size in (("crop", "bilinear", (2, 2)), ("crop", "nearest", (6, 2)), ("pad", "nearest", (3, 7)))
    ),
    C("resize", (x(2, 4, 9, 2), (6, 2)), oracles.resize, {"pad_to_aspect_ratio": True, "fill_value": 1.5}),
    *(
        C(
            "scale_and_translate",
            (x(2, 5, 6, 2), (2, 4, 8, 2), v(0.6, 1.3), v(0.3, -1.2), (1, 2), method, antialias),
            oracles.scale_and_translate,
            batch=False,
            tolerance=2,
        )
        for method, antialias in (("linear", True), ("cubic", False), ("lanczos3", True), ("lanczos5", False))
    ),
    C(
        "scale_and_translate",
        (x(3, 5), (3, 7), v([1.4]), v([0.1]), (1,), "bilinear"),
        oracles.scale_and_translate,
        batch=False,
    ),
]
SAMPLING = [
    *(
        C(
            "map_coordinates",
            (x(4, 5), x(2, 3, 6, low=-7, high=9), order, mode, 0.5),
            oracles.map_coordinates,
            batch=False,
        )
        for order, mode in ((0, "constant"), (0, "reflect"), *((1, mode) for mode in FILL_MODES))
    ),
    C("map_coordinates", (x(4, 1), x(2, 6, low=-2.4), 1, "mirror"), oracles.map_coordinates, batch=False),
    C("map_coordinates", (x(3, 4, 5), x(3, 6, low=-1, high=4), 1), oracles.map_coordinates, batch=False),
    C(
        "map_coordinates",
        (x(9, low=-9, high=9), np.array([[-0.75, 0.5, 2.25, 3.25, 7.5]], "float32"), 1, "reflect"),
        oracles.map_coordinates,
        dtypes=NUMBERS,
        batch=False,
    ),
    *(
        C(
            "affine_transform",
            (
                x(2, 4, 5, 3),
                v([[1.1, 0.2, -0.37, 0.07, 0.9, 0.41, 0, 0], [0.8, -0.3, 0.13, 0.3, 1.2, 0.17, 0.02, 0.04]]),
            ),
            oracles.affine_transform,
            {"interpolation": interpolation, "fill_mode": mode},
        )
        for interpolation, mode in (("bilinear", "constant"), ("nearest", "wrap"))
    ),
    C(
        "affine_transform",
        (x(2, 3, 4), v(1.1, 0.2, -0.37, 0.07, 0.9, 0.41, 0, 0)),
        oracles.affine_transform,
        {"fill_value": 2.5, **FIRST},
        batch=False,
    ),
    *(
        C(
            "perspective_transform",
            (
                x(2, 4, 5, 3),
                v([[[0, 0], [4, 0.3], [0, 3], [4.2, 3]]] * 2),
                v([[[0.7, 0.1], [3.6, 0], [0.3, 2.9], [4, 3.3]]] * 2),
            ),
            oracles.perspective_transform,
            {"interpolation": interpolation, "fill_value": 0.5},
            tolerance=4,
        )
        for interpolation in ("bilinear", "nearest")
    ),
    C(
        "perspective_transform",
        (x(2, 4, 3), v([[0, 0], [4, 0.3], [0, 3], [4.2, 3]]), v([[3.6, 0], [0.7, 0.1], [0.3, 2.9], [4, 3.3]])),
        oracles.perspective_transform,
        FIRST,
        batch=False,
        tolerance=4,
    ),
    C(
        "elastic_transform",
        (x(5, 6, 3),),
        lambda x, **_: x,
        {"alpha": 0.0, "seed": 1, "interpolation": "nearest"},
        dtypes=ALL,
    ),
    C(
        "elastic_transform",
        (x(2, 1, 1, 3),),
        lambda x, **_: np.broadcast_to(x, (2, 6, 7, 3)),
        {"alpha": 9.0, "sigma": 2.0, "seed": 3},
        call=lambda ops, x, **kwargs: ops.image.elastic_transform(
            ops.broadcast_to(x, (*x.shape[:1], 6, 7, 3)), **kwargs
        ),
        label="of one colour",
        batch=False,
    ),
    C(
        "elastic_transform",
        (x(2, 6, 7, 3),),
        lambda x: [np.zeros(x.shape), np.ones(())],
        call=lambda ops, x: [
            ops.image.elastic_transform(x, seed=1) - ops.image.elastic_transform(x, seed=1),
            ops.any(ops.image.elastic_transform(x, seed=1) != ops.image.elastic_transform(x, seed=2)),
        ],
        label="same seed, other seed",
    ),
]
CUTTING = [
    C("crop_images", (x(2, 6, 7, 3), 1, 2, None, None, 3, 4), oracles.crop_images, dtypes=ALL),
    C("crop_images", (x(2, 3, 6, 7), 0, 3, None, None, 6, 4), oracles.crop_images, FIRST),
    C(
        "crop_images",
        (x(6, 7, 3), 1, 2, None, None, 3, 4),
        oracles.crop_images,
        call=lambda ops, x, *_: ops.image.crop_images(
            x, bottom_cropping=2, right_cropping=1, top_cropping=1, target_width=4
        ),
        label="other amounts",
        batch=False,
    ),
    C("pad_images", (x(2, 3, 4, 2), 1, 2, None, None, 6, 6), oracles.pad_images, dtypes=ALL),
    C("pad_images", (x(2, 2, 3, 4), 0, 1, None, None, 3, 7), oracles.pad_images, FIRST),
    C(
        "pad_images",
        (x(3, 4, 2), 2, 2, None, None, 6, 6),
        oracles.pad_images,
        call=lambda ops, x, *_: ops.image.pad_images(
            x, bottom_padding=1, right_padding=0, top_padding=2, target_width=6
        ),
        label="other amounts",
        batch=False,
    ),
    C("extract_patches", (x(2, 5, 7, 3), (2, 3)), oracles.extract_patches, dtypes=ALL),
    C("extract_patches", (x(2, 3, 5, 7), 2), oracles.extract_patches, {"strides": 1, "dilation_rate": 2, **FIRST}),
    C("extract_patches", (x(5, 7, 3), 3), oracles.extract_patches, {"strides": 2, "padding": "same"}),
    C("extract_patches_3d", (x(2, 5, 4, 6, 2), (2, 1, 3)), oracles.extract_patches, dtypes=NUMBERS),
    C("extract_patches_3d", (x(2, 2, 5, 4, 6), 2), oracles.extract_patches, {"strides": 3, "padding": "same", **FIRST}),
]
COLOURS = [
    C("rgb_to_grayscale", (x(2, 3, 4, 3),), oracles.rgb_to_grayscale, dtypes=FLOATS),
    C("rgb_to_grayscale", (x(2, 4, 3, 3, low=0, high=255),), oracles.rgb_to_grayscale, dtypes=("int32",)),
    C("rgb_to_grayscale", (x(3, 4, 5),), oracles.rgb_to_grayscale, FIRST, batch=False),
    C("rgb_to_grayscale", (x(3, 4, 1),), oracles.rgb_to_grayscale),
    *(
        C(name, (x(2, 4, 5, 3, low=0, high=1),), getattr(oracles, name), dtypes=FLOATS, tolerance=2)
        for name in ("rgb_to_hsv", "hsv_to_rgb")
    ),
    *(
        C(name, (x(3, 4, 5, low=0, high=1),), getattr(oracles, name), FIRST, batch=False)
        for name in ("rgb_to_hsv", "hsv_to_rgb")
    ),
    *(
        C(
            name,
            (v([[[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 0, 1], [0.5, 0.5, 0.2]]]),),
            getattr(oracles, name),
            gradient=False,
        )
        for name in ("rgb_to_hsv", "hsv_to_rgb")
    ),
    C("hsv_to_rgb", (x(3, 4, 3, low=0, high=3),), oracles.hsv_to_rgb),
]
FILTERS = [
    C("gaussian_blur", (x(2, 5, 6, 3),), oracles.gaussian_blur, dtypes=FLOATS),
    C("gaussian_blur", (x(5, 6, 3), (3, 5), (1.5, 0.7)), oracles.gaussian_blur),
    C("gaussian_blur", (x(2, 3, 5, 6), (7, 1), (2.0, 1.0)), oracles.gaussian_blur, FIRST),
    C("gaussian_blur", (x(1, 100, 4, 2),), oracles.gaussian_blur),
    C("sobel_edges", (x(2, 4, 5, 3),), oracles.sobel_edges, dtypes=NUMBERS),
    C("sobel_edges", (x(3, 4, 5),), oracles.sobel_edges, FIRST),
    C("ssim", (x(2, 12, 13, 2, low=0, high=1), x(2, 12, 13, 2, low=0, high=1)), oracles.ssim),
    C(
        "ssim",
        (x(2, 3, 6, 5, low=0, high=9), x(2, 3, 6, 5, low=0, high=9), 9.0, 4, 1.0, 0.02, 0.05),
        oracles.ssim,
        FIRST,
        dtypes=(*FLOATS, "int32"),
    ),
    C("ssim", (x(7, 6, 3), x(7, 6, 3), 2.0, 5), oracles.ssim, batch=False),
]

CASES = [*RESIZING, *SAMPLING, *CUTTING, *COLOURS, *FILTERS]
