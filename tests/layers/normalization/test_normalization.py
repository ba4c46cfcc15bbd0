"""Normalisations: values, statistics, masks, low precision."""

import numpy as np
import pytest

from cornu import layers
from cornu.base.errors import ArgumentError, ShapeError
from tests.layers.oracle import agree, close, pair, random_weights, rows

CASES = [
    ("BatchNormalization", {}, (6, 4)),
    ("BatchNormalization", {"axis": 1, "epsilon": 1e-2, "scale": False}, (4, 3, 5, 5)),
    ("BatchNormalization", {"center": False, "momentum": 0.5}, (4, 5, 5, 3)),
    ("LayerNormalization", {}, (4, 6)),
    ("LayerNormalization", {"axis": [1, 2], "epsilon": 1e-5}, (4, 3, 5)),
    ("LayerNormalization", {"axis": 1, "center": False}, (4, 3, 5)),
    ("LayerNormalization", {"scale": False}, (4, 3, 5)),
    ("LayerNormalization", {"rms_scaling": True}, (4, 6)),
    ("RMSNormalization", {}, (4, 3, 5)),
    ("RMSNormalization", {"axis": [1, 2], "epsilon": 1e-3}, (4, 3, 5)),
    ("UnitNormalization", {}, (4, 5)),
    ("UnitNormalization", {"axis": [1, 2]}, (4, 3, 5)),
    ("GroupNormalization", {"groups": 2}, (4, 3, 6)),
    ("GroupNormalization", {"groups": -1, "axis": 1}, (2, 3, 4, 4)),
    ("GroupNormalization", {"groups": 1, "scale": False, "center": False}, (2, 4, 4, 3)),
    ("GroupNormalization", {"groups": 3}, (5, 6)),
]


@pytest.mark.parametrize(("name", "kwargs", "shape"), CASES)
def test_agrees_with_keras(name, kwargs, shape):
    agree(name, kwargs, rows(shape), tolerance=2e-5)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"momentum": 0.7, "axis": 1},
        {"renorm": True, "momentum": 0.9, "renorm_momentum": 0.8},
        {"renorm": True, "renorm_clipping": {"rmax": 1.5, "rmin": 0.5, "dmax": 0.7}},
        {"renorm": True, "scale": False, "center": False},
    ],
)
def test_training_of_batch_normalization_agrees_with_keras(kwargs):
    ours, theirs = pair("BatchNormalization", **kwargs)
    x = rows((8, 3, 4)) * 3 + 2
    ours(x), theirs(x)
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
    weights = random_weights(theirs)
    ours.set_weights(weights), theirs.set_weights(weights)
    for i in range(3):
        close(ours(x + i, training=True), theirs(x + i, training=True))
        for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            close(mine, other)
    close(ours(x), theirs(x))


def test_gradients_of_training_batch_normalization_agree_with_keras():
    agree("BatchNormalization", {"momentum": 0.9}, rows((8, 5, 3)), tolerance=2e-5, training=True)


def test_masked_steps_do_not_count():
    ours, theirs = pair("BatchNormalization", momentum=0.5)
    x, mask = rows((4, 5, 3)), np.random.default_rng(0).random((4, 5)) > 0.4
    close(ours(x, training=True, mask=mask), theirs(x, training=True, mask=mask))
    np.testing.assert_allclose(ours.moving_mean.numpy(), x[mask].mean(0) / 2, atol=1e-6)
    np.testing.assert_allclose(ours.moving_variance.numpy(), 0.5 + x[mask].var(0) / 2, atol=1e-6)
    first = layers.BatchNormalization(axis=1, momentum=0.0)
    first(x.transpose(0, 2, 1)[:, :, :, None], training=True)
    np.testing.assert_allclose(first.moving_mean.numpy(), x.mean((0, 1)), atol=1e-6)


def test_frozen_batch_normalization_infers():
    layer = layers.BatchNormalization(trainable=False)
    x = rows((6, 3)) + 5
    close(layer(x, training=True), np.asarray(layer(x, training=False)))
    assert not layer.moving_mean.numpy().any()
    layer.trainable = True
    layer(x, training=True)
    assert layer.moving_mean.numpy().all()


def test_statistics_of_shifted_data_do_not_cancel():
    x = rows((64, 2)) + 1000
    layer = layers.BatchNormalization(momentum=0.0)
    layer(x, training=True)
    np.testing.assert_allclose(layer.moving_variance.numpy(), x.astype("float64").var(0), rtol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("BatchNormalization", {"momentum": 0.0}),
        ("LayerNormalization", {}),
        ("RMSNormalization", {}),
        ("GroupNormalization", {"groups": 2}),
        ("UnitNormalization", {}),
    ],
)
def test_statistics_are_wide(name, kwargs, policy):
    layer = getattr(layers, name)(dtype=policy, **kwargs)
    x = (rows((32, 8, 4)) * 100).astype("float16")  # squares overflow float16
    outputs = layer(x, training=True) if name == "BatchNormalization" else layer(x)
    assert str(outputs.dtype) == layer.compute_dtype
    wide = getattr(layers, name)(**kwargs)
    expected = wide(x.astype("float32"), training=True) if name == "BatchNormalization" else wide(x.astype("float32"))
    np.testing.assert_allclose(np.asarray(outputs, "float32"), np.asarray(expected), atol=0.05)
    assert all(weight.dtype == "float32" for weight in layer.weights)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: layers.BatchNormalization(axis=3, name="b")(rows((2, 3))),
            ShapeError,
            r"'b'.*\(2, 3\) have no axis 3",
        ),
        (
            lambda: layers.BatchNormalization(momentum=2),
            ArgumentError,
            r"momentum should be a number within \[0, 1\], got 2",
        ),
        (lambda: layers.BatchNormalization(axis="x"), ArgumentError, "axis should be an int, got 'x'"),
        (
            lambda: layers.BatchNormalization(renorm_clipping={"max": 1}),
            ArgumentError,
            "knows 'rmax', 'rmin' and 'dmax'",
        ),
        (lambda: layers.BatchNormalization()(layers.Input((None,))), ShapeError, "axis -1 must have a known size"),
        (lambda: layers.LayerNormalization(axis=(1, 5))(rows((2, 3))), ShapeError, "do not have all of the axes"),
        (lambda: layers.LayerNormalization()(layers.Input((None,))), ShapeError, "must be known"),
        (lambda: layers.GroupNormalization(4)(rows((2, 6))), ShapeError, "groups=4 should divide the 6 channels"),
        (lambda: layers.GroupNormalization(0), ArgumentError, "groups should be a positive int, got 0"),
        (lambda: layers.GroupNormalization(1, axis=0), ArgumentError, "axis should be an int other than 0"),
        (lambda: layers.UnitNormalization(axis="x"), ArgumentError, "axis should be an int or several"),
        (lambda: layers.LayerNormalization(axis=[1, "x"]), ArgumentError, r"an int or several, got \[1, 'x'\]"),
        (
            lambda: layers.BatchNormalization(epsilon=-1.0),
            ArgumentError,
            "epsilon should be a finite number",
        ),
        (lambda: layers.LayerNormalization(epsilon=None), ArgumentError, "epsilon .*, got None"),
        (lambda: layers.GroupNormalization(1, epsilon="x"), ArgumentError, "epsilon .*, got 'x'"),
        (lambda: layers.RMSNormalization(epsilon=float("nan")), ArgumentError, "epsilon .*, got nan"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_other_channels_than_built_for():
    layer = layers.BatchNormalization(name="b")
    layer(rows((4, 3)))
    with pytest.raises(ShapeError, match=r"'b'.*size 3 at axis 1, got shape \(4, 2\)"):
        layer(rows((4, 2)))
