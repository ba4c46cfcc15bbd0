"""Initializers: statistics, seeds, configurations, names."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from cornu import initializers, ops
from cornu.backend import B
from cornu.base import config
from cornu.base.errors import ArgumentError, ShapeError, UnknownNameError
from cornu.random import SeedGenerator
from tests.backends import BACKENDS

RANDOM = {
    name: getattr(initializers, name)
    for name in """RandomNormal RandomUniform TruncatedNormal VarianceScaling GlorotUniform GlorotNormal HeUniform
    HeNormal LecunUniform LecunNormal Orthogonal""".split()
}
SHAPES = [(40, 60), (3, 3, 20, 30), (5, 40, 60)]


def numpy(x: Any) -> np.ndarray:
    return B.to_numpy(x)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", RANDOM)
def test_statistics_are_those_of_keras(name: str, shape: tuple[int, ...]) -> None:
    ours = numpy(RANDOM[name](seed=1)(shape))
    theirs = np.asarray(getattr(keras.initializers, name)(seed=1)(shape))
    assert ours.shape == shape
    error = 6 * theirs.std() / np.sqrt(theirs.size)
    assert abs(ours.mean() - theirs.mean()) < 2 * error
    assert abs(ours.std() - theirs.std()) < 2 * error


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "uniform"])
def test_variance_scaling(mode: str, distribution: str) -> None:
    values = numpy(initializers.VarianceScaling(3.0, mode, distribution, seed=2)((2, 50, 80)))
    fan = {"fan_in": 100, "fan_out": 160, "fan_avg": 130}[mode]
    assert values.var() == pytest.approx(3 / fan, rel=0.08)


@pytest.mark.parametrize("name", RANDOM)
def test_seeds(name: str) -> None:
    cls = RANDOM[name]
    fixed, free = cls(seed=3), cls()
    np.testing.assert_array_equal(numpy(fixed((4, 5))), numpy(fixed((4, 5))))
    assert (numpy(free((4, 5))) != numpy(free((4, 5)))).any()
    assert (numpy(fixed((4, 5))) != numpy(cls(seed=4)((4, 5)))).any()
    generator = cls(seed=SeedGenerator(3))
    assert (numpy(generator((4, 5))) != numpy(generator((4, 5)))).any()


@pytest.mark.parametrize("name", RANDOM)
def test_all_backends_draw_the_same(name: str) -> None:
    drawn = []
    for backend in BACKENDS:
        with config.backend_scope(backend):
            drawn.append(numpy(RANDOM[name](seed=3)((4, 5))))
    for values in drawn[1:]:
        np.testing.assert_array_equal(values, drawn[0])


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", [*RANDOM, "Zeros", "Ones", "Identity"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtype(name: str, dtype: str) -> None:
    assert ops.dtype(getattr(initializers, name)()((4, 5), dtype=dtype)) == dtype


@pytest.mark.parametrize(
    "made",
    [
        initializers.Constant(0.5),
        initializers.Constant(np.arange(3.0)),
        initializers.Zeros(),
        initializers.Ones(),
        initializers.Identity(2.0),
        initializers.VarianceScaling(2.0, "fan_out", "uniform", 7),
        initializers.STFT("imag", "hamming", "spectrum", True),
        *(cls(seed=7) for cls in RANDOM.values()),
    ],
    ids=lambda i: type(i).__name__,
)
def test_config_round_trip(made: Any) -> None:
    shape = (8, 1, 5) if isinstance(made, initializers.STFT) else (3, 3)
    for twin in (initializers.deserialize(initializers.serialize(made)), made.clone()):
        assert type(twin) is type(made)
        np.testing.assert_array_equal(numpy(twin(shape)), numpy(made(shape)))


@pytest.mark.parametrize(
    ("identifier", "cls"),
    [
        ("glorot_uniform", "GlorotUniform"),
        ("GlorotUniform", "GlorotUniform"),
        ("uniform", "RandomUniform"),
        ("normal", "RandomNormal"),
        ("one", "Ones"),
        ("zeros", "Zeros"),
        ("he_normal", "HeNormal"),
        ("orthogonal", "Orthogonal"),
        ("OrthogonalInitializer", "Orthogonal"),
        ("IdentityInitializer", "Identity"),
        ("STFTInitializer", "STFT"),
        ("identity", "Identity"),
        (initializers.HeNormal, "HeNormal"),
        ({"class_name": "RandomNormal", "config": {"stddev": 0.1}}, "RandomNormal"),
        (0.5, "Constant"),
        (np.eye(2), "Constant"),
    ],
    ids=str,
)
def test_get(identifier: Any, cls: str) -> None:
    assert type(initializers.get(identifier)).__name__ == cls


def test_get_passes_on() -> None:
    def ours(shape: Any, dtype: Any = None) -> Any:
        return np.full(shape, 2.0, dtype)

    assert initializers.get(ours) is ours
    assert initializers.get(None) is None
    made = initializers.Ones()
    assert initializers.get(made) is made
    with pytest.raises(UnknownNameError, match="Did you mean 'glorot_uniform'|Did you mean 'GlorotUniform'"):
        initializers.get("glorot_unifrom")
    with pytest.raises(
        ArgumentError, match=r"initializer: a configuration should have a 'class_name', got \{'nope': 1\}"
    ):
        initializers.get({"nope": 1})
    with pytest.raises(ArgumentError, match="Zeros has no argument 'seed'"):
        initializers.Zeros(seed=1)


class Twos(initializers.Initializer):
    def __init__(self, factor: float = 2.0) -> None:
        self.factor = factor

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return np.full(shape, self.factor, dtype)


def test_own_subclass() -> None:
    made = Twos(3.0)
    assert made.get_config() == {"factor": 3.0}
    np.testing.assert_array_equal(made.clone()((2,)), [3.0, 3.0])
    with pytest.raises(NotImplementedError, match=r"Initializer should define `__call__"):
        initializers.Initializer()((2,))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("gain", "shape"), [(1.0, (6, 4)), (2.0, (4, 6)), (1.0, (3, 2, 5))])
def test_orthogonal(gain: float, shape: tuple[int, ...]) -> None:
    matrix = numpy(initializers.Orthogonal(gain, seed=1)(shape)).reshape(-1, shape[-1])
    small = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(small, gain**2 * np.eye(len(small)), atol=1e-5)


@pytest.mark.parametrize("side", ["real", "imag"])
@pytest.mark.parametrize("scaling", ["density", "spectrum", None])
@pytest.mark.parametrize("window", ["hann", "hamming", None])
@pytest.mark.parametrize("periodic", [False, True])
def test_stft(side: str, scaling: str | None, window: str | None, periodic: bool) -> None:
    arguments = (side, window, scaling, periodic)
    theirs = np.asarray(keras.initializers.STFT(*arguments)((8, 1, 5)))
    np.testing.assert_allclose(numpy(initializers.STFT(*arguments)((8, 1, 5))), theirs, atol=1e-5)


@pytest.mark.usefixtures("backend")
def test_constants() -> None:
    np.testing.assert_array_equal(numpy(initializers.Constant([1.0, 2.0])((3, 2))), [[1, 2]] * 3)
    np.testing.assert_array_equal(numpy(initializers.Identity(3.0)((2, 3))), [[3, 0, 0], [0, 3, 0]])


NORMAL = (initializers.RandomNormal, initializers.TruncatedNormal)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: initializers.VarianceScaling(-1.0),
            ArgumentError,
            "scale should be a finite positive number, got -1.0",
        ),
        (lambda: initializers.VarianceScaling(mode="fan"), ArgumentError, "mode must be one of.*Did you mean 'fan_"),
        (lambda: initializers.VarianceScaling(distribution="unifrm"), ArgumentError, "Did you mean 'uniform'"),
        *((lambda x=x: x(stddev=-1), ArgumentError, "stddev should be a finite number of at least 0") for x in NORMAL),
        *((lambda x=x: x(mean="a"), ArgumentError, "mean should be a finite number, got 'a'") for x in NORMAL),
        (lambda: initializers.RandomUniform(0.1, 0), ArgumentError, r"maxval should be .* \[0.1, inf\), got 0"),
        (lambda: initializers.RandomUniform("a"), ArgumentError, "minval should be a finite number, got 'a'"),
        (lambda: initializers.Orthogonal("a"), ArgumentError, "gain should be a finite number, got 'a'"),
        *(
            (lambda n=n, v=v: getattr(initializers, n)(seed=v), ArgumentError, f"{n}: seed should be .*, got {v!r}")
            for n in RANDOM
            for v in ("abc", -1, 1.5, True)
        ),
        (lambda: initializers.Zeros()((2, -1)), ShapeError, r"no negative size, got \(2, -1\)"),
        (lambda: initializers.HeNormal()((-2, 1)), ShapeError, r"no negative size, got \(-2, 1\)"),
        (lambda: initializers.RandomNormal(stdev=1), ArgumentError, "no argument 'stdev'. Did you mean 'stddev'"),
        (lambda: initializers.Identity()((3,)), ShapeError, r"two axes, got shape \(3,\)"),
        (lambda: initializers.Orthogonal()((3,)), ShapeError, r"at least two axes, got shape \(3,\)"),
        (lambda: initializers.STFT("left"), ArgumentError, "side must be one of"),
        (lambda: initializers.STFT(scaling="loud"), ArgumentError, "scaling must be one of"),
    ],
)
def test_errors(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
