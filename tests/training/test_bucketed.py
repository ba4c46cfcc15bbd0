"""Sequences of many lengths in batches of a few."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cornu
from cornu import layers
from cornu.base.errors import CornuError
from cornu.utils import BucketedSequences

rng = np.random.default_rng(0)
LENGTHS = rng.integers(1, 60, 203)
X = [rng.integers(1, 50, n).tolist() for n in LENGTHS]
Y = np.array([sum(x) % 2 for x in X])


def model():
    made = cornu.Sequential([layers.Embedding(50, 4, mask_zero=True), layers.GRU(5), layers.Dense(1, "sigmoid")])
    made.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return made


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(1, 9), st.integers(1, 12), st.booleans())
def test_every_row_comes_once_in_each_epoch_in_a_batch_of_a_known_length(lengths, batch_size, count, shuffle) -> None:
    x = [np.full(n, i + 1) for i, n in enumerate(lengths)]
    y = np.arange(len(x))
    data = BucketedSequences(x, y, batch_size, boundaries=count, shuffle=shuffle, seed=3)
    assert len(data.boundaries) <= count
    assert data.boundaries[-1] == max(lengths)
    for _ in range(2):
        batches = [data[i] for i in range(len(data))]
        rows = np.concatenate([b for _, b in batches])
        assert sorted(rows) == y.tolist()
        assert shuffle or rows.tolist() == y.tolist()
        sizes = [len(b) for _, b in batches]
        assert sorted(sizes)[1:] == [batch_size] * (len(batches) - 1)
        for padded, found in batches:
            assert padded.dtype == "int32"
            assert padded.shape[1] in data.boundaries
            assert padded.shape[1] == min(b for b in data.boundaries if b >= max(lengths[i] for i in found))
            for row, i in zip(padded, found, strict=True):
                assert row[len(row) - lengths[i] :].tolist() == x[i].tolist()
                assert not row[: len(row) - lengths[i]].any()
        data.on_epoch_end()


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def orders(seed):
        data = BucketedSequences(X, Y, seed=seed)
        found = []
        for _ in range(3):
            found.append([data[i][0].tolist() for i in range(len(data))])
            data.on_epoch_end()
        return found

    first = orders(1)
    assert first == orders(1)
    assert first[0] != first[1]
    assert first[0] != orders(2)[0]
    cornu.utils.set_random_seed(5)
    drawn = BucketedSequences(X, Y).seed
    cornu.utils.set_random_seed(5)
    assert BucketedSequences(X, Y).seed == drawn


def test_masked_models_do_not_see_the_padding_and_programs_are_few() -> None:
    cornu.utils.set_random_seed(0)
    one = model()
    one.build((None, None))
    ordered = BucketedSequences(X, Y, shuffle=False)
    whole = cornu.utils.pad_sequences(X)
    np.testing.assert_allclose(one.predict(ordered, verbose=0), one.predict(whole, verbose=0), atol=1e-6)
    np.testing.assert_allclose(one.evaluate(ordered, verbose=0), one.evaluate(whole, Y, verbose=0), rtol=1e-5)
    data = BucketedSequences(X, Y, boundaries=3)
    losses = one.fit(data, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    shapes = {data[i][0].shape for i in range(len(data))}
    assert len(shapes) <= 4
    report = one.explain_speed()
    assert "Programs compiled since the model was made: " in report
    assert int(report.split("was made: ")[1].split()[0]) <= 4


def test_targets_of_every_step_and_weights_are_padded_and_drawn_alike() -> None:
    tags = [np.asarray(x) % 3 for x in X]
    weights = LENGTHS.astype("float32")
    data = BucketedSequences(X, tags, sample_weight=weights, padding="post", maxlen=30, truncating="post")
    for i in range(len(data)):
        x, y, w = data[i]
        assert x.shape == y.shape
        assert x.shape[1] <= 30
        np.testing.assert_array_equal(y, x % 3)
        np.testing.assert_array_equal(np.minimum(w, 30), (x > 0).sum(1))
    (alone,) = BucketedSequences([np.ones((n, 2)) for n in (3, 5)], boundaries=[4, 8], shuffle=False)[0]
    assert alone.shape == (2, 8, 2)
    assert alone.dtype == "float32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": []}, "x holds no sequence"),
        ({"x": [1, 2]}, "x should be a list of sequences, got list"),
        ({"x": {"a": X}}, "x should be a list of sequences, got dict"),
        ({"y": Y[:-1]}, "x holds 203 sequences, y has 202 rows"),
        ({"sample_weight": np.ones(3)}, "sample_weight has 3 rows"),
        ({"y": [[1]] + [[1, 2]] * 202}, "as long as it; the lengths differ"),
        ({"batch_size": 0}, "batch_size should be a positive int, got 0"),
        ({"maxlen": -1}, "maxlen should be a positive int, got -1"),
        ({"boundaries": 0}, "boundaries should be positive ints, or their number, got 0"),
        ({"boundaries": [0, 60]}, "boundaries should be positive ints"),
        ({"boundaries": [10, 20]}, r"length 59, the last boundary is 20. Add a larger one, or cut .* maxlen=20"),
        ({"padding": "before"}, "pad_sequences: padding"),
        ({"workers": 0}, "BucketedSequences: workers"),
    ],
)
def test_mistakes(arguments, message) -> None:
    with pytest.raises(CornuError, match=message):
        BucketedSequences(**{"x": X, "y": Y, **arguments})
