"""Layers that act in training only: their distributions, seeds and configuration."""

import numpy as np
import pytest

from cornu import layers
from cornu.base.errors import ArgumentError, CornuError
from tests.layers.oracle import agree_on_config, close, pair, rows

CASES = [
    ("Dropout", {"rate": 0.3, "seed": 5}, (4, 5, 6)),
    ("Dropout", {"rate": 0.3, "noise_shape": [None, 1, 6]}, (4, 5, 6)),
    ("SpatialDropout1D", {"rate": 0.3}, (4, 5, 6)),
    ("SpatialDropout2D", {"rate": 0.3, "data_format": "channels_first"}, (4, 5, 6, 3)),
    ("SpatialDropout3D", {"rate": 0.3}, (2, 3, 3, 3, 4)),
    ("GaussianNoise", {"stddev": 0.2}, (4, 5)),
    ("GaussianDropout", {"rate": 0.2, "seed": 1}, (4, 5)),
    ("AlphaDropout", {"rate": 0.2, "noise_shape": [4, 1]}, (4, 5)),
    ("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, (4, 5)),
]


@pytest.mark.parametrize(("name", "kwargs", "shape"), CASES)
def test_inference_and_configuration(name, kwargs, shape):
    ours, theirs = pair(name, **kwargs)
    x = rows(shape)
    close(ours(x), x)
    if name != "ActivityRegularization":
        close(ours(x, training=False), x)
        assert (np.asarray(ours(x, training=True)) != x).any()
    agree_on_config(ours, theirs, x)


# name, arguments, axes along which one choice is shared
DROPOUTS = [
    ("Dropout", {"rate": 0.4}, (40, 30, 20, 4), ()),
    ("Dropout", {"rate": 0.4, "noise_shape": (None, 1, None, 1)}, (60, 3, 60, 4), (1, 3)),
    ("SpatialDropout2D", {"rate": 0.4}, (60, 3, 4, 60), (1, 2)),
    ("SpatialDropout2D", {"rate": 0.4, "data_format": "channels_first"}, (60, 60, 3, 4), (2, 3)),
    ("SpatialDropout3D", {"rate": 0.4}, (60, 2, 2, 2, 60), (1, 2, 3)),
    ("SpatialDropout1D", {"rate": 0.4}, (60, 3, 60), (1,)),
]


@pytest.mark.parametrize(("name", "kwargs", "shape", "shared"), DROPOUTS)
def test_dropout_scales_what_it_keeps(name, kwargs, shape, shared):
    out = np.asarray(getattr(layers, name)(**kwargs)(np.ones(shape, "float32"), training=True))
    np.testing.assert_allclose(np.unique(out), [0, 1 / 0.6], rtol=1e-6)
    choices = out.min(axis=shared) if shared else out
    np.testing.assert_array_equal(choices, out.max(axis=shared) if shared else out)
    assert abs((choices == 0).mean() - 0.4) < 0.05


def test_distributions():
    x = np.full((200, 200), 2.0, "float32")
    noise = np.asarray(layers.GaussianNoise(0.5)(x, training=True))
    assert abs(noise.mean() - 2) < 0.02
    assert abs(noise.std() - 0.5) < 0.02
    drop = np.asarray(layers.GaussianDropout(0.2)(x, training=True))
    assert abs(drop.mean() - 2) < 0.02
    assert abs(drop.std() - 2 * 0.5) < 0.02
    normal = rows((300, 300))
    alpha = np.asarray(layers.AlphaDropout(0.3)(normal, training=True))
    assert abs(alpha.mean()) < 0.02
    assert abs(alpha.std() - 1) < 0.02
    assert abs(np.unique(alpha, return_counts=True)[1].max() / alpha.size - 0.3) < 0.02  # those at selu's lowest value


@pytest.mark.parametrize("name", ["Dropout", "GaussianDropout", "AlphaDropout"])
def test_seeds_decide_and_draws_differ(name):
    x = rows((20, 20))
    first, second, other = (getattr(layers, name)(0.5, seed=seed) for seed in (3, 3, 4))
    a, b = np.asarray(first(x, training=True)), np.asarray(first(x, training=True))
    assert (a != b).any()
    np.testing.assert_array_equal(a, np.asarray(second(x, training=True)))
    assert (a != np.asarray(other(x, training=True))).any()


@pytest.mark.parametrize("name", ["Dropout", "AlphaDropout"])
def test_extreme_rates(name):
    x = rows((4, 4))
    close(getattr(layers, name)(0)(x, training=True), x)
    assert not np.asarray(getattr(layers, name)(1)(x, training=True)).any()


def test_seeds_are_state_but_no_weights():
    layer = layers.Dropout(0.5, seed=1)
    layer(rows((2, 2)))
    assert not layer.weights
    assert [v.dtype for v in layer.variables] == ["uint32"]


def test_activity_regularization_adds_to_the_loss():
    layer, x = layers.ActivityRegularization(0.1, 0.2), rows((3, 4))
    layer(x)
    (loss,) = layer.losses
    close(loss, np.float32(0.1 * np.abs(x).sum() + 0.2 * (x**2).sum()) / 3, 1e-4)  # a mean over the batch, as in Keras


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: layers.Dropout(1.5, name="d"),
            ArgumentError,
            r"'d' \(Dropout\): rate should be a number within \[0, 1\], got 1.5",
        ),
        (lambda: layers.Dropout("x"), ArgumentError, "rate should be a number"),
        (lambda: layers.Dropout(0.5, noise_shape=3), ArgumentError, "noise_shape should hold a positive int or None"),
        (lambda: layers.Dropout(0.5, seed=-1), ArgumentError, "seed should be a non-negative int"),
        (lambda: layers.Dropout(0.5, noise_shape=(1,))(rows((2, 2)), training=True), CornuError, "Dropout"),
        (lambda: layers.GaussianDropout(1), ArgumentError, "rate should be below 1"),
        (lambda: layers.GaussianNoise(-1), ArgumentError, "stddev should be a finite number of at least 0, got -1"),
        (lambda: layers.SpatialDropout2D(0.5)(rows((2, 2))), ValueError, "should have 4 axes"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
