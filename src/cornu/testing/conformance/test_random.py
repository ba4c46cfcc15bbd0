"""Random draws: their distributions, the independence of seeds, state that advances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cornu import ops, random
from cornu.backend import B
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, DTypeError, ShapeError
from cornu.core.state import functional

COUNT = 4000


pytestmark = pytest.mark.usefixtures("backend")

DRAWS: dict[str, Callable[..., Any]] = {
    "normal": lambda **o: random.normal((COUNT,), 2.0, 3.0, **o),
    "truncated_normal": lambda **o: random.truncated_normal((COUNT,), 1.0, 2.0, **o),
    "uniform": lambda **o: random.uniform((COUNT,), -1.0, 3.0, **o),
    "gamma": lambda **o: random.gamma((COUNT,), 2.5, **o),
    "beta": lambda **o: random.beta((COUNT,), 2.0, 0.5, **o),
}
LAWS: dict[str, Any] = {
    "normal": stats.norm(2, 3),
    "truncated_normal": stats.truncnorm(-2, 2, 1, 2),
    "uniform": stats.uniform(-1, 4),
    "gamma": stats.gamma(2.5),
    "beta": stats.beta(2, 0.5),
}


@pytest.mark.parametrize("name", LAWS)
def test_continuous_distribution(name: str) -> None:
    drawn = B.to_numpy(DRAWS[name](seed=7)).astype("float64")
    assert stats.kstest(np.clip(drawn, 1e-12, None) if name == "beta" else drawn, LAWS[name].cdf).pvalue > 1e-3
    low, high = LAWS[name].support()
    assert ((drawn >= low) & (drawn <= high)).all()


@pytest.mark.parametrize(
    ("draw", "law"),
    [
        (lambda: random.randint((COUNT,), -2, 4, seed=3), np.full(6, 1 / 6)),
        (lambda: random.binomial((COUNT,), 5, 0.3, seed=3), stats.binom(5, 0.3).pmf(np.arange(6))),
        (lambda: random.categorical(np.log([[0.1, 0.2, 0.7]]), COUNT, seed=3)[0], np.array([0.1, 0.2, 0.7])),
    ],
    ids=["randint", "binomial", "categorical"],
)
def test_discrete_distribution(draw: Callable[[], Any], law: np.ndarray) -> None:
    drawn = B.to_numpy(draw()).astype(int)
    counts = np.bincount(drawn - min(drawn.min(), 0), minlength=len(law))
    assert len(counts) == len(law)
    assert stats.chisquare(counts, law * COUNT / law.sum()).pvalue > 1e-3


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtype_and_seed(name: str, dtype: str) -> None:
    first, again, other = (DRAWS[name](seed=seed, dtype=dtype) for seed in (1, 1, 2))
    assert standardize_dtype(first.dtype) == dtype
    np.testing.assert_array_equal(B.to_numpy(first), B.to_numpy(again))
    assert (B.to_numpy(first) != B.to_numpy(other)).mean() > 0.9


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize(("low", "high"), [(1000, 1001), (-6, -5), (0, 3), (-7, 0), (-1, 2), (1, 1.0078125)])
def test_uniform_stays_below_its_end(low: float, high: float, dtype: str) -> None:
    drawn = B.to_numpy(random.uniform((300_000,), low, high, dtype, seed=1)).astype("float64")
    assert low <= drawn.min() <= drawn.max() < high
    assert random.uniform((), high, high, dtype, seed=1) == high


@pytest.mark.parametrize("name", DRAWS)
def test_floats_only(name: str) -> None:
    with pytest.raises(DTypeError, match=rf"random.{name} draws floats, got dtype='int32'"):
        DRAWS[name](dtype="int32")


def test_shuffle_permutes_slices() -> None:
    x = np.arange(60).reshape(20, 3)
    rows = B.to_numpy(random.shuffle(x, seed=1))
    assert (rows != x).any()
    np.testing.assert_array_equal(rows[np.argsort(rows[:, 0])], x)
    columns = B.to_numpy(random.shuffle(x, axis=1, seed=4))
    np.testing.assert_array_equal(np.sort(columns, 1), x)


def test_dropout() -> None:
    ones = np.ones((100, 40), "float32")
    dropped = B.to_numpy(random.dropout(ones, 0.25, seed=1))
    assert set(np.unique(dropped)) == {0, np.float32(1 / 0.75)}
    assert stats.binomtest(int((dropped == 0).sum()), 4000, 0.25).pvalue > 1e-3
    rows = B.to_numpy(random.dropout(ones, 0.5, noise_shape=(None, 1), seed=1))
    assert (rows == rows[:, :1]).all()
    assert 0 < rows[:, 0].astype(bool).sum() < 100
    np.testing.assert_array_equal(B.to_numpy(random.dropout(ones, 0, seed=1)), ones)
    np.testing.assert_array_equal(B.to_numpy(random.dropout(ones, 1, seed=1)), 0 * ones)
    assert standardize_dtype(random.dropout(B.convert(ones, "bfloat16"), 0.5, seed=1).dtype) == "bfloat16"
    with pytest.raises(ArgumentError, match=r"within \[0, 1\], got 1.5"):
        random.dropout(ones, 1.5)


@pytest.mark.parametrize(
    "draw",
    [
        *DRAWS.values(),
        lambda: random.dropout(np.ones(COUNT, "float32"), 0.5),
        lambda: ops.image.elastic_transform(np.arange(COUNT, dtype="float32").reshape(1, 40, 100, 1)),
    ],
)
def test_without_a_seed_each_draw_is_another(draw: Callable[[], Any]) -> None:
    first, second = (B.to_numpy(draw()) for _ in range(2))
    assert (first != second).mean() > 0.3


@pytest.mark.parametrize("seed", ["a", 1.5, True, [1, 2, 3]])
def test_bad_seed(seed: Any) -> None:
    with pytest.raises(ArgumentError, match="int, a SeedGenerator or None"):
        random.normal((2,), seed=seed)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "a"])
def test_bad_generator_seed(seed: Any) -> None:
    with pytest.raises(ArgumentError, match="non-negative int or None"):
        random.SeedGenerator(seed)


def test_bad_shape_names_the_problem() -> None:
    with pytest.raises(ShapeError, match="no negative size"):
        random.normal((-1,), seed=1)


def test_generator_advances_and_is_remade_from_its_config() -> None:
    generator = random.SeedGenerator(5)
    first, second = (B.to_numpy(random.normal((50,), seed=generator)) for _ in range(2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.5
    np.testing.assert_array_equal(generator.state.numpy(), [5, 2])
    twin = random.SeedGenerator.from_config(generator.get_config())
    np.testing.assert_array_equal(B.to_numpy(random.normal((50,), seed=twin)), first)


def test_generator_advances_within_compiled_code() -> None:
    generator = random.SeedGenerator(5)
    expected = [B.to_numpy(random.uniform((4,), seed=random.SeedGenerator(5)))]
    step = B.compile(functional(lambda: random.uniform((4,), seed=generator), [generator.state]))
    (state,), first = step([generator.state.value])
    (state,), second = step([state])
    np.testing.assert_array_equal(B.to_numpy(first), expected[0])
    assert (B.to_numpy(second) != B.to_numpy(first)).all()
    np.testing.assert_array_equal(B.to_numpy(state), [5, 2])
    np.testing.assert_array_equal(generator.state.numpy(), [5, 0])


def test_neighbouring_seeds_and_draws_are_independent() -> None:
    drawn = [B.to_numpy(random.normal((COUNT,), seed=seed)) for seed in range(6)]
    generator = random.SeedGenerator(0)
    drawn += [B.to_numpy(random.normal((COUNT,), seed=generator)) for _ in range(3)][1:]
    correlations = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(correlations).max() < 5 / np.sqrt(COUNT)
