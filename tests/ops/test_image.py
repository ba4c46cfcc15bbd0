"""Image ops: values and dtypes against Keras, what is ours alone, signatures, and errors."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

import cornu
import cornu.ops as ops
from cornu.backend import B
from cornu.base import config
from cornu.base.errors import ArgumentError, DTypeError, ShapeError
from cornu.core.symbolic import KerasTensor
from cornu.models import Model
from cornu.random import SeedGenerator
from cornu.saving import load_model

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 255, (2, 6, 9, 3)).astype("float32")
FIRST = {"data_format": "channels_first"}


@pytest.fixture(autouse=True)
def numpy_backend() -> Iterator[None]:
    """The conformance suite shows that the backends agree."""
    with config.backend_scope("numpy"):
        yield


AFFINE = np.array([[1.1, 0.1, -0.73, 0.05, 0.9, 0.3, 0, 0], [0.81, -0.2, 2.13, 0.1, 1.1, -0.43, 0, 0]], "float32")
START = np.array([[[0, 0], [8, 0], [0, 5], [8, 5]]] * 2, "float32")
END = np.array([[[1, 0.5], [7, 0], [0, 4.5], [8.5, 5]], [[0, 0.3], [7.4, 0.6], [1, 5.5], [7, 5]]], "float32")
AT = RNG.uniform(-8, 16, (4, 3, 5)).astype("float32")
SCALE, MOVE = np.float32([1.7, 0.4]), np.float32([-2, 0.3])
ANY = ("float32", "uint8")
FLOATS = ("float32",)

LIKE_KERAS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[str, ...]]] = [
    *(
        ("resize", (size,), {"interpolation": name, "antialias": antialias}, ANY)
        for name, antialias, size in (
            ("nearest", False, (4, 13)),
            ("bilinear", False, (4, 13)),
            ("bilinear", True, (3, 5)),
            ("bicubic", False, (9, 4)),
            ("bicubic", True, (3, 4)),
            ("lanczos3", True, (4, 13)),
            ("lanczos5", False, (7, 7)),
        )
    ),
    *(("resize", (size,), {"crop_to_aspect_ratio": True}, ("float32",)) for size in ((2, 2), (6, 2), (3, 8), (1, 9))),
    *(
        ("resize", (size,), {"pad_to_aspect_ratio": True, "fill_value": 3, "interpolation": name}, ("float32",))
        for size, name in (((2, 2), "bilinear"), ((7, 2), "nearest"), ((3, 8), "bicubic"), ((1, 9), "nearest"))
    ),
    *(
        ("affine_transform", (AFFINE,), {"fill_mode": mode, "fill_value": 7}, ANY if mode == "constant" else FLOATS)
        for mode in ("constant", "nearest", "wrap", "mirror", "reflect")
    ),
    ("affine_transform", (AFFINE,), {"interpolation": "nearest", "fill_mode": "mirror"}, ANY),
    ("perspective_transform", (START, END), {"fill_value": 7}, ANY),
    ("perspective_transform", (START, END), {"interpolation": "nearest"}, ANY),
    *(
        ("map_coordinates", (AT, order), {"fill_mode": mode, "fill_value": 2}, ANY if mode == "reflect" else FLOATS)
        for mode in ("constant", "nearest", "wrap", "mirror", "reflect")
        for order in (0, 1)
    ),
    ("crop_images", (1, 2), {"target_height": 3, "target_width": 4}, ANY),
    ("crop_images", (), {"bottom_cropping": 1, "right_cropping": 0, "target_height": 2, "left_cropping": 3}, ANY),
    ("pad_images", (1, 2, 3, 4), {}, ANY),
    ("pad_images", (), {"bottom_padding": 1, "right_padding": 0, "target_height": 9, "target_width": 12}, ANY),
    ("extract_patches", (2,), {}, ANY),
    ("extract_patches", ((3, 2),), {"strides": (1, 2), "padding": "same"}, FLOATS),
    ("extract_patches", (2,), {"strides": 1, "dilation_rate": 3}, FLOATS),
    ("rgb_to_grayscale", (), {}, ANY),
    ("rgb_to_hsv", (), {}, FLOATS),
    ("hsv_to_rgb", (), {}, FLOATS),
    ("sobel_edges", (), {}, ("float32", "int32")),
    ("scale_and_translate", ((2, 9, 5, 3), SCALE, MOVE, (1, 2), "cubic"), {}, ANY),
    ("scale_and_translate", ((2, 9, 5, 3), SCALE, MOVE, (1, 2), "lanczos5", False), {}, ("float32",)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "kwargs", "dtypes"), LIKE_KERAS)
def test_values_are_those_of_keras(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], dtypes: tuple[str, ...]
) -> None:
    for dtype in dtypes:
        images = (IMAGES / 255 if "hsv" in name else IMAGES).astype(dtype)
        expected = np.asarray(getattr(keras.ops.image, name)(images, *args, **kwargs))
        found = getattr(ops.image, name)(images, *args, **kwargs)
        assert found.dtype == expected.dtype
        found, expected = found.astype("float64"), expected.astype("float64")
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-3 if dtype == "float32" else 1)
        # Integers may differ where their sum is halfway between two.
        assert "int" not in dtype or np.mean(np.abs(found - expected) > 0.5) < 0.05


@pytest.mark.parametrize(
    ("name", "args", "kwargs"), [c[:3] for c in LIKE_KERAS if c[0] not in ("map_coordinates", "scale_and_translate")]
)
def test_single_images_and_channels_first(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    fn = getattr(ops.image, name)
    batch = fn(IMAGES, *args, **kwargs)
    one = fn(IMAGES[1], *(a[1] if isinstance(a, np.ndarray) else a for a in args), **kwargs)
    np.testing.assert_allclose(one, batch[1], rtol=1e-5)
    first = fn(np.moveaxis(IMAGES, -1, 1), *args, **kwargs, **FIRST)
    np.testing.assert_allclose(np.moveaxis(first, 1, 3), batch, rtol=1e-5)


def test_ssim_and_volumes_are_those_of_keras() -> None:
    a, b = (RNG.uniform(0, 1, (2, 14, 16, 3)).astype("float32") for _ in range(2))
    for kwargs in ({}, {"filter_size": 5, "filter_sigma": 0.8, "max_val": 2.0, "k1": 0.1, "k2": 0.2}):
        expected = np.asarray(keras.ops.image.ssim(a, b, **kwargs))
        np.testing.assert_allclose(ops.image.ssim(a, b, **kwargs), expected, rtol=1e-4)
        np.testing.assert_allclose(ops.image.ssim(a[1], b[1], **kwargs), expected[1], rtol=1e-4)
    assert float(ops.image.ssim(a, a)[0]) == pytest.approx(1)
    volumes = RNG.uniform(0, 1, (2, 5, 6, 7, 2)).astype("float32")
    for kwargs in ({"size": 2}, {"size": (2, 3, 1), "strides": 1, "padding": "same"}):
        expected = np.asarray(keras.ops.image.extract_patches_3d(volumes, **kwargs))
        found = ops.image.extract_patches_3d(volumes, **kwargs)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(ops.image.extract_patches_3d(volumes[0], **kwargs), expected[0])


@pytest.mark.parametrize(
    ("mode", "size", "antialias"),  # PyTorch's cubic kernel is another one, unless it antialiases
    [
        ("bilinear", (4, 13), False),
        ("bilinear", (3, 4), True),
        ("bilinear", (12, 18), False),
        ("bicubic", (3, 4), True),
    ],
)
def test_resize_is_that_of_torch(mode: str, size: tuple[int, int], antialias: bool) -> None:
    x = torch.tensor(np.moveaxis(IMAGES, -1, 1))
    expected = torch.nn.functional.interpolate(x, size, mode=mode, antialias=antialias).numpy()
    found = ops.image.resize(IMAGES, size, mode, antialias)
    np.testing.assert_allclose(np.moveaxis(found, -1, 1), expected, rtol=1e-4, atol=1e-2)


def test_integers_are_rounded_and_stay_within_their_range() -> None:
    x = np.array([0, 10, 255, 3, 7], "uint8").reshape(1, 1, 5, 1)
    assert ops.image.resize(x, (1, 8), "bicubic").ravel().tolist() == [0, 0, 20, 207, 204, 13, 0, 7]
    assert ops.image.gaussian_blur(np.full((1, 9, 9, 1), 255, "uint8"))[0, 4, 4, 0] == 255
    exact = np.array([[[[2**31 - 2], [5]]]], "int32")
    assert ops.image.map_coordinates(exact.ravel(), [[0.2, 0.6]], 0).tolist() == [2**31 - 2, 5]


def test_blur_is_separable_and_blurs_both_ways() -> None:
    """Keras 3.15.1 on JAX blurs across alone."""
    dot = np.zeros((1, 7, 7, 1), "float32")
    dot[0, 3, 3] = 1
    found = ops.image.gaussian_blur(dot, (3, 5), (1.0, 2.0))[0, ..., 0]
    down, across = np.exp(-(np.arange(-1, 2) ** 2) / 2), np.exp(-(np.arange(-2, 3) ** 2) / 8)
    np.testing.assert_allclose(found[2:5, 1:6], np.outer(down / down.sum(), across / across.sum()), rtol=1e-5)
    assert found.sum() == pytest.approx(1)


def test_projective_terms_of_an_affine_transform_count() -> None:
    """As on TensorFlow; Keras 3.15.1 elsewhere leaves them out."""
    x = np.arange(12, dtype="float32").reshape(3, 4, 1)
    found = ops.image.affine_transform(x, [1, 0, 0, 0, 1, 0, 0.5, 0])[..., 0]
    np.testing.assert_allclose(found[0], [0, 1 / 1.5, 1, 3 / 2.5], rtol=1e-6)


def test_elastic_fields() -> None:
    """The standard deviation is that of normal noise blurred, α σ / (2 √π σ); down and across are independent."""
    down, across = np.mgrid[:128, :128].astype("float32")
    ramps = np.stack([down, across], -1)[None].repeat(2, 0)
    alpha, sigma = 10.0, 2.0
    moved = ops.image.elastic_transform(ramps, alpha, sigma, fill_mode="nearest", seed=5)
    field = (moved - ramps)[:, 20:-20, 20:-20]
    np.testing.assert_allclose(field.std((0, 1, 2)), alpha / (2 * np.sqrt(np.pi)), rtol=0.05)
    assert abs(np.corrcoef(field[..., 0].ravel(), field[..., 1].ravel())[0, 1]) < 0.1
    assert abs(np.corrcoef(field[0].ravel(), field[1].ravel())[0, 1]) < 0.1
    near = np.corrcoef(field[:, 2:, :, 0].ravel(), field[:, :-2, :, 0].ravel())[0, 1]
    assert near == pytest.approx(np.exp(-(2**2) / (4 * sigma**2)), abs=0.03)


def test_elastic_seeds() -> None:
    generator = SeedGenerator(3)
    one, two = (ops.image.elastic_transform(IMAGES, seed=generator) for _ in range(2))
    assert not np.allclose(one, two)
    np.testing.assert_array_equal(*(ops.image.elastic_transform(IMAGES, seed=3) for _ in range(2)))


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_unknown_sizes(backend: str) -> None:
    x = KerasTensor((None, None, None, 3), "uint8")
    with config.backend_scope(backend):
        assert ops.image.resize(x, (8, 9), "bicubic", antialias=True).shape == (None, 8, 9, 3)
        assert ops.image.resize(x, (8, 9), pad_to_aspect_ratio=True).shape == (None, 8, 9, 3)
        assert ops.image.pad_images(x, 1, 2, target_height=9, target_width=9).shape == (None, 9, 9, 3)
        assert ops.image.crop_images(x, 1, 2, target_height=9, target_width=8).shape == (None, 9, 8, 3)
        assert ops.image.crop_images(x, 1, 2, 3, 4).shape == (None, None, None, 3)
        assert ops.image.rgb_to_grayscale(x).shape == (None, None, None, 1)
        assert ops.image.extract_patches(x, 4).shape == (None, None, None, 48)
        assert ops.image.elastic_transform(x).shape == (None, None, None, 3)
        assert ops.image.affine_transform(x, KerasTensor((None, 8))).shape == (None, None, None, 3)
        assert ops.image.gaussian_blur(x).shape == (None, None, None, 3)


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_points_beyond_the_horizon_are_filled(backend: str) -> None:
    transform = [1, 0, 0, 0, 1, 0, -0.5, 0]  # x = 2 lies at infinity
    with config.backend_scope(backend), np.errstate(all="ignore"):
        found = B.to_numpy(ops.image.affine_transform(IMAGES, transform, fill_value=4))
    assert np.all(np.isfinite(found[:, 1:]))
    np.testing.assert_array_equal(found[:, 1:, 2], 4)


@pytest.mark.parametrize("name", ops.image.__all__)
def test_signature_is_that_of_keras(name: str) -> None:
    def shown(fn: Any) -> list[tuple[str, Any]]:
        return [(p.name, p.default) for p in inspect.signature(fn).parameters.values()]

    assert shown(getattr(ops.image, name)) == shown(getattr(keras.ops.image, name))


def test_models_of_image_ops_are_saved_and_keras_own_are_read(tmp_path: Path) -> None:
    def graph(library: Any, layers: Any) -> Any:
        inputs = layers.Input((6, 9, 3))
        small = library.image.resize(inputs, (4, 4), "bicubic", antialias=True)
        outputs = library.image.rgb_to_grayscale(library.image.pad_images(small, 1, 2, 1, 2))
        return inputs, outputs

    theirs = keras.Model(*graph(keras.ops, keras))
    expected = theirs.predict(IMAGES, verbose=0)
    ours = Model(*graph(ops, cornu))
    for i, model in enumerate((ours, theirs)):
        model.save(file := tmp_path / f"{i}.keras")
        np.testing.assert_allclose(load_model(file).predict(IMAGES, verbose=0), expected, rtol=1e-4)


ROW = IMAGES[0, 0]
GREY = IMAGES[..., :2]
BAD = [
    (lambda i: i.resize(ROW, (2, 2)), ShapeError, r"resize: expected \(height, width, channels\) or .* \(9, 3\)"),
    (lambda i: i.resize(ROW, (2, 2), **FIRST), ShapeError, r"resize: expected \(channels, height, width\)"),
    (lambda i: i.resize(IMAGES, 4), ArgumentError, r"resize: size should be \(height, width\), .* got 4"),
    (lambda i: i.resize(IMAGES, (4, 0)), ArgumentError, r"two positive ints, got \(4, 0\)"),
    (lambda i: i.resize(IMAGES, (4, 4), "bilinaer"), ArgumentError, "resize: interpolation .* Did you mean 'bilinear'"),
    (lambda i: i.resize(IMAGES, (4, 4), fill_mode="constnat"), ArgumentError, "fill_mode .* Did you mean 'constant'"),
    (
        lambda i: i.resize(IMAGES, (4, 4), crop_to_aspect_ratio=True, pad_to_aspect_ratio=True),
        ArgumentError,
        "choose one of crop_to_aspect_ratio",
    ),
    (
        lambda i: i.resize(IMAGES, (4, 4), data_format="channel_first"),
        ArgumentError,
        "resize: data_format .* Did you mean 'channels_first'",
    ),
    (lambda i: i.map_coordinates(IMAGES, AT[:3], 1), ShapeError, r"coordinates should be .*\(4, …\).* got shape \(3,"),
    (lambda i: i.map_coordinates(IMAGES, AT, 3), ArgumentError, "order should be 0 .nearest. or 1 .linear., got 3"),
    (lambda i: i.map_coordinates(IMAGES, AT, 1, "miror"), ArgumentError, "map_coordinates: fill_mode .* 'mirror'"),
    (lambda i: i.affine_transform(IMAGES, AFFINE[:, :6]), ShapeError, r"transform should have the shape \(8,\) or"),
    (lambda i: i.affine_transform(IMAGES, AFFINE[[0, 1, 0]]), ShapeError, r"for images of shape .*got \(3, 8\)"),
    (lambda i: i.affine_transform(IMAGES, AFFINE, "bicubic"), ArgumentError, "affine_transform: interpolation must be"),
    (lambda i: i.affine_transform(IMAGES, AFFINE, fill_mode="warp"), ArgumentError, "Did you mean 'wrap'"),
    (lambda i: i.perspective_transform(IMAGES, START[:, :3], END), ShapeError, r"start_points should .*\(4, 2\)"),
    (lambda i: i.perspective_transform(IMAGES, START, END[..., 0]), ShapeError, "perspective_transform: end_points"),
    (lambda i: i.elastic_transform(IMAGES, sigma=0), ArgumentError, "sigma should be a positive number"),
    (lambda i: i.elastic_transform(IMAGES, fill_mode="x"), ArgumentError, "elastic_transform: fill_mode"),
    (
        lambda i: i.scale_and_translate(IMAGES, (2, 4, 4, 3), SCALE, MOVE, (1, 2), "cubik"),
        ArgumentError,
        "scale_and_translate: method .* Did you mean 'cubic'",
    ),
    (
        lambda i: i.scale_and_translate(IMAGES, (2, 4, 4), SCALE, MOVE, (1, 2), "cubic"),
        ShapeError,
        r"output_shape should have 4 sizes .* output_shape=\(2, 4, 4\)",
    ),
    (
        lambda i: i.scale_and_translate(IMAGES, (2, 4, 4, 3), AT[0, 0], MOVE, (1, 2), "cubic"),
        ShapeError,
        r"scale should hold a number for each of spatial_dims=\(1, 2\), got shape \(5,\)",
    ),
    (
        lambda i: i.scale_and_translate(IMAGES, (2, 4, 4, 5), SCALE, MOVE, (1, 2), "cubic"),
        ShapeError,
        r"axis 3 is not among spatial_dims=\(1, 2\)",
    ),
    (lambda i: i.crop_images(IMAGES), ArgumentError, "give exactly two of top_cropping, target_height and bottom_crop"),
    (
        lambda i: i.crop_images(IMAGES, 4, 0, 3, 0),
        ArgumentError,
        r"crop_images: top_cropping and bottom_cropping .* less than the height .* got top_cropping=4",
    ),
    (lambda i: i.crop_images(IMAGES, 0, 1, target_height=6, target_width=9), ArgumentError, "less than the width"),
    (lambda i: i.crop_images(IMAGES, 0, -1, 0, 0), ArgumentError, "left_cropping and right_cropping should be"),
    (lambda i: i.pad_images(IMAGES, 1, 1), ArgumentError, "exactly two of top_padding, target_height"),
    (
        lambda i: i.pad_images(IMAGES, top_padding=1, left_padding=1, target_height=6, target_width=12),
        ArgumentError,
        "target_height no less than the height, got top_padding=1, target_height=6",
    ),
    (lambda i: i.extract_patches(IMAGES, 7), ShapeError, r"patches of \(7, 7\) .* larger .*padding='same'"),
    (lambda i: i.extract_patches(IMAGES, (2, 2, 2)), ArgumentError, "extract_patches: size should be a positive"),
    (lambda i: i.extract_patches(IMAGES, 2, padding="sam"), ArgumentError, "Did you mean 'same'"),
    (lambda i: i.extract_patches_3d(IMAGES[0], 2), ShapeError, r"expected \(depth, height, width, channels\)"),
    (lambda i: i.rgb_to_grayscale(GREY), ShapeError, "rgb_to_grayscale: expected 1 or 3 channels, got 2"),
    (lambda i: i.rgb_to_hsv(IMAGES, **FIRST), ShapeError, "expected 3 channels, got 6 .* is data_format right"),
    (lambda i: i.rgb_to_hsv(IMAGES.astype("uint8")), DTypeError, "rgb_to_hsv: images should be floats, got uint8"),
    (lambda i: i.hsv_to_rgb(GREY), ShapeError, "hsv_to_rgb: expected 3 channels, got 2"),
    (lambda i: i.sobel_edges(IMAGES.astype("uint8")), DTypeError, "sobel_edges: differences have a sign, .* uint8"),
    (lambda i: i.gaussian_blur(IMAGES, (3, 0)), ArgumentError, "gaussian_blur: kernel_size should be a positive int"),
    (lambda i: i.gaussian_blur(IMAGES, 3, (1.0, -1.0)), ArgumentError, "gaussian_blur: sigma should be a"),
    (lambda i: i.ssim(IMAGES, IMAGES), ShapeError, "ssim: filter_size=11 is larger than the images"),
    (lambda i: i.ssim(IMAGES, IMAGES[:, :5]), ShapeError, "ssim: image1 and image2 should have one shape"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[message[:40] for _, _, message in BAD])
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(ops.image)
