"""Images against Keras as a black box, and their errors."""

from __future__ import annotations

import builtins
import io

import keras
import numpy as np
import pytest
from PIL import Image

from cornu import utils
from cornu.base import config
from cornu.base.errors import ArgumentError, MissingDependencyError, ShapeError

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("low", [0, 100, -50])
@pytest.mark.parametrize("data_format", [None, "channels_last", "channels_first"])
def test_array_to_img(channels, scale, low, data_format) -> None:
    x = RANDOM.uniform(low, 200, (6, 7, channels)) if scale else RANDOM.integers(0, 255, (6, 7, channels))
    if data_format == "channels_first":
        x = x.transpose(2, 0, 1)
    expected, got = (module.array_to_img(x, data_format, scale) for module in (keras.utils, utils))
    assert (got.mode, got.size) == (expected.mode, expected.size)
    # Values on the border of two integers may fall on either side.
    assert np.abs(np.asarray(got, int) - np.asarray(expected, int)).max() <= 1
    np.testing.assert_array_equal(
        utils.img_to_array(expected, data_format), keras.utils.img_to_array(expected, data_format)
    )


def test_zeros_and_large_values() -> None:
    assert not np.asarray(utils.array_to_img(np.zeros((2, 2, 3)))).any()
    x = np.full((2, 2, 1), 1000)
    got = utils.array_to_img(x, scale=False)
    assert (got.mode, np.asarray(got).max()) == ("I", 1000)


def test_dtypes_and_default_format(monkeypatch) -> None:
    img = utils.array_to_img(RANDOM.uniform(size=(3, 4, 3)))
    assert utils.img_to_array(img).dtype == "float32"
    assert utils.img_to_array(img, dtype="uint8").dtype == "uint8"
    config.set_image_data_format("channels_first")
    try:
        assert utils.img_to_array(img).shape == (3, 3, 4)
    finally:
        config.set_image_data_format("channels_last")


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (4, 4, 5), (1, 4, 4, 3)])
def test_array_to_img_errors(shape) -> None:
    with pytest.raises(ShapeError, match=r"needs \(height, width, channels\) with 1, 3 or 4 channels, got shape"):
        utils.array_to_img(np.zeros(shape))


def test_img_to_array_error() -> None:
    with pytest.raises(ShapeError, match="2 or 3 dimensions"):
        utils.img_to_array(np.zeros((1, 2, 3, 4)))


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.bmp"])
def test_save_and_load(tmp_path, name) -> None:
    x = np.repeat(np.repeat(RANDOM.integers(0, 256, (2, 2, 3)), 16, 0), 16, 1)
    utils.save_img(tmp_path / name, x, scale=False)
    keras.utils.save_img(tmp_path / f"keras-{name}", x, scale=False)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"keras-{name}").read_bytes()
    got = utils.img_to_array(utils.load_img(tmp_path / name))
    np.testing.assert_array_equal(got, keras.utils.img_to_array(keras.utils.load_img(tmp_path / name)))
    if name != "x.jpg":
        np.testing.assert_array_equal(got, x)


def test_save_to_a_stream_and_without_transparency(tmp_path) -> None:
    x = RANDOM.uniform(size=(4, 4, 4))
    stream = io.BytesIO()
    utils.save_img(stream, x, file_format="png")
    assert utils.load_img(io.BytesIO(stream.getvalue()), color_mode="rgba").mode == "RGBA"
    with pytest.warns(UserWarning, match="JPEG has no transparency"):
        utils.save_img(tmp_path / "x.jpg", x)
    with pytest.warns(UserWarning, match="JPEG has no transparency"):
        utils.save_img(tmp_path / "y", x, file_format="jpg", quality=30)
    assert utils.load_img(tmp_path / "y").mode == "RGB"


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("images") / "picture.png")
    Image.fromarray(RANDOM.integers(0, 256, (37, 53, 3), "uint8")).save(path)
    return path


@pytest.mark.parametrize("color_mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize("target_size", [None, (37, 53), (20, 30), (40, 12), 16])
@pytest.mark.parametrize("keep_aspect_ratio", [True, False])
def test_load_img(picture, color_mode, target_size, keep_aspect_ratio) -> None:
    arguments = {"color_mode": color_mode, "target_size": target_size, "keep_aspect_ratio": keep_aspect_ratio}
    got = utils.load_img(picture, **arguments)
    if isinstance(target_size, int):
        assert got.size == (16, 16)
    else:
        expected = keras.utils.load_img(picture, **arguments)
        assert got.mode == expected.mode
        np.testing.assert_array_equal(np.asarray(got), np.asarray(expected))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"])
def test_interpolations(picture, interpolation) -> None:
    got, expected = (
        module.load_img(picture, target_size=(20, 30), interpolation=interpolation) for module in (utils, keras.utils)
    )
    np.testing.assert_array_equal(np.asarray(got), np.asarray(expected))


def test_sixteen_bits(tmp_path) -> None:
    x = RANDOM.integers(0, 2**16, (5, 5)).astype("uint16")
    Image.fromarray(x).save(tmp_path / "x.png")
    np.testing.assert_array_equal(utils.img_to_array(utils.load_img(tmp_path / "x.png", "grayscale"))[..., 0], x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"color_mode": "gray"}, "color_mode must be one of .* Did you mean 'grayscale'"),
        ({"interpolation": "bilinar"}, "Did you mean 'bilinear'"),
        ({"target_size": (0, 5)}, r"target_size must be positive \(height, width\)"),
    ],
)
def test_load_img_errors(picture, arguments, message) -> None:
    with pytest.raises(ArgumentError, match=message):
        utils.load_img(picture, **arguments)


def test_without_pillow(monkeypatch) -> None:
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.partition(".")[0] == "PIL":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingDependencyError, match=r"pip install 'cornu\[data\]'"):
        utils.array_to_img(np.zeros((1, 1, 1)))
