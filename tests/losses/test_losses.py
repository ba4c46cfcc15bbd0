"""Losses against Keras': formulas, reductions, weights, masks, dtypes, look-up and errors."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import keras
import numpy as np
import pytest

from cornu import losses, ops
from cornu.base.errors import ArgumentError, CornuError, ShapeError, UnknownNameError
from cornu.core.masks import set_mask
from cornu.core.symbolic import KerasTensor
from cornu.losses.loss import LossFunctionWrapper

rng = np.random.default_rng(0)
P = rng.uniform(0.05, 0.95, (6, 4)).astype("float32")
T = rng.uniform(0.05, 0.95, (6, 4)).astype("float32")
CLASS = rng.integers(0, 4, 6)
HOT = np.eye(4, dtype="float32")[CLASS]
UNIT = P / np.linalg.norm(P, axis=1, keepdims=True)
W = rng.random(6).astype("float32")
MASK = np.array([1, 0, 1, 1, 1, 0], bool)

CASES: list[tuple[str, Any, Any, dict[str, Any]]] = [
    *(
        (name, T, P, {})
        for name in (
            "MeanSquaredError MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredLogarithmicError Huber LogCosh "
            "Poisson KLDivergence CosineSimilarity BinaryCrossentropy Dice Tversky"
        ).split()
    ),
    *((name, HOT, P, {}) for name in ("Hinge", "SquaredHinge", "CategoricalHinge", "CategoricalCrossentropy")),
    *((name, HOT, P, {}) for name in ("BinaryFocalCrossentropy", "CategoricalFocalCrossentropy")),
    ("Hinge", 2 * HOT - 1, P, {}),
    ("Huber", T, 9 * P, {"delta": 0.7}),
    ("CosineSimilarity", T, P, {"axis": 0}),
    *(
        (name, HOT, 6 * P - 3, {"from_logits": True, "label_smoothing": 0.1})
        for name in (
            "BinaryCrossentropy CategoricalCrossentropy BinaryFocalCrossentropy CategoricalFocalCrossentropy".split()
        )
    ),
    ("CategoricalCrossentropy", HOT.T, P.T, {"axis": 0}),
    ("BinaryFocalCrossentropy", HOT, P, {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5}),
    ("SparseCategoricalCrossentropy", CLASS, P, {}),
    ("SparseCategoricalCrossentropy", CLASS[:, None], 6 * P - 3, {"from_logits": True}),
    ("SparseCategoricalCrossentropy", CLASS, P, {"ignore_class": int(CLASS[0])}),
    ("CategoricalGeneralizedCrossEntropy", CLASS, P, {"q": 0.4}),
    ("Dice", T, P, {"axis": -1}),
    ("Tversky", T, P, {"alpha": 0.3, "beta": 0.8, "axis": 1}),
    ("CategoricalFocalCrossentropy", HOT, P, {"alpha": [0.1, 0.2, 0.3, 0.4]}),
    ("Circle", CLASS, UNIT, {}),
    ("Circle", np.array([0, 1, 1]), np.array([[1, 0], [0, 1], [0.6, 0.8]], "float32"), {}),  # one has no pair
    ("Circle", CLASS, UNIT, {"remove_diagonal": False, "gamma": 20.0, "margin": 0.2}),
]
NAMES = [name for name in losses.__all__ if name[0].isupper() and name != "Loss"]


def test_every_class_has_a_case() -> None:
    assert {case[0] for case in CASES} == {name for name in NAMES if isinstance(getattr(losses, name), type)}


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("name", "y_true", "y_pred", "options"), CASES)
def test_values_are_those_of_keras(name: str, y_true: Any, y_pred: Any, options: dict[str, Any]) -> None:
    for reduction in ("sum_over_batch_size", "sum", "none"):
        expected = getattr(keras.losses, name)(reduction=reduction, **options)(y_true, y_pred)
        found = getattr(losses, name)(reduction=reduction, **options)(y_true, y_pred)
        assert ops.dtype(found) == "float32"
        np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=3e-5, atol=1e-6)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("weight", [None, W])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"])
def test_reductions(reduction: str, weight: Any, mask: Any) -> None:
    ours, theirs = ops.convert_to_tensor(P.copy()), jnp.asarray(P)
    if mask is not None:
        set_mask(ours, mask)
        theirs._keras_mask = mask
    found = losses.MeanSquaredError(reduction)(T, ours, weight)
    values = ((T - P) ** 2).mean(-1)
    counted = np.ones(6) if mask is None else mask.astype(float)
    weights = counted * (1 if weight is None else weight)
    expected = {
        "sum_over_batch_size": (values * weights).sum() / counted.sum(),
        "mean": (values * weights).sum() / counted.sum(),
        "sum": (values * weights).sum(),
        "mean_with_sample_weight": (values * weights).sum() / weights.sum(),
        "none": values * weights,
    }[reduction]
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5)
    if mask is None:
        theirs = keras.losses.MeanSquaredError(reduction)(T, theirs, weight)
        np.testing.assert_allclose(np.asarray(found), np.asarray(theirs), rtol=1e-5)


@pytest.mark.parametrize("shape", [(), (3,), (3, 1), (3, 5), (3, 5, 1)])
def test_weights_broadcast_from_the_batch_axis(shape: tuple[int, ...]) -> None:
    weight = np.random.default_rng(1).random(shape)
    y = np.random.default_rng(2).random((2, 3, 5, 4)).astype("float32")
    full = weight.reshape(*shape[:2], *(1,) * (2 - len(shape[:2])))
    found = losses.MeanAbsoluteError(reduction="none")(y[0], y[1], weight)
    np.testing.assert_allclose(np.asarray(found), np.abs(y[0] - y[1]).mean(-1) * full, rtol=1e-5)


@pytest.mark.usefixtures("backend")
def test_fully_masked_is_zero() -> None:
    y_pred = ops.convert_to_tensor(P.copy())
    set_mask(y_pred, np.zeros(6, bool))
    for reduction in ("sum_over_batch_size", "mean_with_sample_weight", "sum"):
        assert float(losses.MeanSquaredError(reduction)(T, y_pred)) == 0


def test_one_value_a_sample() -> None:
    y_true, y_pred = T[:, 0], P[:, 0]
    errors = (y_true - y_pred) ** 2
    for a, b in ((y_true, y_pred), (y_true[:, None], y_pred), (y_true, y_pred[:, None])):
        np.testing.assert_allclose(float(losses.MeanSquaredError()(a, b)), errors.mean(), rtol=1e-5)
        np.testing.assert_allclose(float(losses.MeanSquaredError()(a, b, W)), (errors * W).mean(), rtol=1e-5)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_computes_in_float32_unless_told(dtype: str) -> None:
    y_pred = ops.cast(P, dtype)
    assert ops.dtype(losses.MeanSquaredError()(T.astype("float64"), y_pred)) == "float32"
    assert ops.dtype(losses.MeanSquaredError(dtype=dtype)(T, y_pred)) == dtype
    assert ops.dtype(losses.mean_squared_error(T.astype("float64"), y_pred)) == dtype


@pytest.mark.usefixtures("backend")
def test_class_numbers_survive_low_precision() -> None:
    logits = np.zeros((1, 1000), "float32")
    logits[0, 999] = 20
    found = losses.SparseCategoricalCrossentropy(from_logits=True, dtype="bfloat16")(np.array([999]), logits)
    assert float(found) < 1e-3


def test_plain_lists() -> None:
    found = losses.BinaryCrossentropy()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]])
    np.testing.assert_allclose(float(found), 0.8149, atol=1e-4)


def test_own_losses_take_nests() -> None:
    class Own(losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return y_true["a"] - y_pred["a"] + y_pred["b"]

    found = Own()({"a": [3.0, 4.0], "b": [0.0, 0.0]}, {"a": np.ones(2), "b": np.ones(2)})
    assert float(found) == 3.5
    assert Own().name == "own"
    with pytest.raises(NotImplementedError, match=r"should define `call\(y_true, y_pred\)`"):
        losses.Loss()(T, P)


def test_functions_as_losses() -> None:
    wrapped = LossFunctionWrapper(losses.huber, delta=0.3)
    np.testing.assert_allclose(np.asarray(wrapped(T, P)), np.asarray(losses.Huber(0.3)(T, P)))
    assert wrapped.name == "huber"
    assert wrapped.get_config()["delta"] == 0.3
    assert LossFunctionWrapper.from_config(wrapped.get_config()).fn is losses.huber


def test_symbolic() -> None:
    y_true, y_pred = KerasTensor((None, 4)), KerasTensor((None, 4))
    assert losses.mean_squared_error(y_true, y_pred).shape == (None,)


@pytest.mark.parametrize(("name", "y_true", "y_pred", "options"), CASES)
def test_configurations_go_round(name: str, y_true: Any, y_pred: Any, options: dict[str, Any]) -> None:
    original = getattr(losses, name)(reduction="sum", name="mine", **options)
    data = losses.serialize(original)
    assert (data["module"], data["class_name"], data["config"]["name"]) == ("keras.losses", name, "mine")
    again = losses.deserialize(data)
    assert again.get_config() == original.get_config()
    if name == "CategoricalGeneralizedCrossEntropy":
        return  # Keras 3.15.1 cannot load its own configuration of it
    theirs = keras.losses.deserialize(data)
    np.testing.assert_allclose(
        np.asarray(again(y_true, y_pred)), np.asarray(theirs(y_true, y_pred)), rtol=3e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "function"),
    [
        *((alias, name) for alias, name in losses.ALIASES.items()),
        ("MSE", "mean_squared_error"),
        ("BCE", "binary_crossentropy"),
        ("mean_absolute_error", "mean_absolute_error"),
        ("hinge", "hinge"),
    ],
)
def test_names_of_functions(name: str, function: str) -> None:
    assert losses.get(name) is getattr(losses, function)


@pytest.mark.parametrize(
    ("identifier", "y_true", "y_pred", "found"),
    [
        ("ce", P[:, 0], P[:, :1], losses.binary_crossentropy),
        ("crossentropy", P[:, 0], P[:, 0], losses.binary_crossentropy),
        ("CE", CLASS, P, losses.sparse_categorical_crossentropy),
        ("ce", CLASS[:, None], P, losses.sparse_categorical_crossentropy),
        ("ce", HOT, P, losses.categorical_crossentropy),
        ("ce", np.zeros((2, 3)), np.zeros((2, 3, 4)), losses.sparse_categorical_crossentropy),
        ("mse", T, P, losses.mean_squared_error),
        ("ce", None, None, losses.binary_crossentropy),  # as `compile` asks, before there is data
        (None, T, P, None),
    ],
)
def test_names_resolved_by_shape(identifier: Any, y_true: Any, y_pred: Any, found: Any) -> None:
    assert losses.resolve(identifier, y_true, y_pred) is found


def test_get() -> None:
    assert losses.get(None) is None
    assert isinstance(losses.get("MeanSquaredError"), losses.MeanSquaredError)
    assert losses.get("CategoricalCrossentropy").name == "categorical_crossentropy"
    own = LossFunctionWrapper(lambda y_true, y_pred: y_pred)
    assert losses.get(own) is own
    with pytest.raises(UnknownNameError, match=r"Unknown loss .* Did you mean 'mean_squared_error'"):
        losses.get("mean_squered_error")
    with pytest.raises(ArgumentError, match="loss should be a name, an object"):
        losses.get(3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: losses.MeanSquaredError("sums"), ArgumentError, r"unknown reduction 'sums'\. Did you mean 'sum'"),
        (lambda: losses.MeanSquaredError()(None, P), ArgumentError, "mean_squared_error: y_true is None"),
        (lambda: losses.MeanSquaredError()(T[:, :2], P), ShapeError, r"\(6, 2\) do not fit .*\(6, 4\).*have 2 unit"),
        (lambda: losses.MeanSquaredError()(T[:5], P), ShapeError, "batch sizes differ"),
        (lambda: losses.CategoricalCrossentropy()(CLASS, P), ShapeError, "sparse_categorical_crossentropy"),
        (lambda: losses.SparseCategoricalCrossentropy()(HOT, P), ShapeError, "categorical_crossentropy"),
        (lambda: losses.MeanSquaredError()(T, P, np.ones(5)), ShapeError, r"weight of shape \(5,\) does not fit"),
        (lambda: losses.MeanSquaredError()(T, P, np.ones((6, 4))), ShapeError, "sample_weight"),
        *(
            (lambda n=n, v=v: getattr(losses, n)(label_smoothing=v), ArgumentError, f"{n}: label_smoothing should be")  # type: ignore[misc]
            for n in (
                "BinaryCrossentropy",
                "CategoricalCrossentropy",
                "BinaryFocalCrossentropy",
                "CategoricalFocalCrossentropy",
            )
            for v in (-0.1, 1.1, "a", None, True)
        ),
        *(
            (lambda n=n, v=v: getattr(losses, n)(gamma=v), ArgumentError, f"{n}: gamma should be .*, got {v!r}")  # type: ignore[misc]
            for n in ("BinaryFocalCrossentropy", "CategoricalFocalCrossentropy", "Circle")
            for v in (-1, "a")
        ),
        (lambda: losses.Huber(0), ArgumentError, "Huber: delta should be a finite positive number, got 0"),
        (lambda: losses.Huber("a"), ArgumentError, "Huber: delta should be .*, got 'a'"),
        (lambda: losses.CategoricalGeneralizedCrossEntropy(0), ArgumentError, "q should be"),
        (lambda: losses.CosineSimilarity(axis="a"), ArgumentError, "CosineSimilarity: axis should be an int, got 'a'"),
        (lambda: losses.Huber(dleta=1), ArgumentError, r"Huber has no argument 'dleta'\. Did you mean 'delta'\?"),
        (
            lambda: losses.CategoricalGeneralizedCrossEntropy(2.0)(CLASS, P),
            ArgumentError,
            r"q should be .* \(0, 1\], got 2.0",
        ),
    ],
)
def test_errors(call: Any, error: type[CornuError], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.usefixtures("backend")
def test_labels_outside_of_the_classes_are_marked() -> None:
    found = np.asarray(losses.sparse_categorical_crossentropy(np.array([0, 4, -1]), P[:3]))
    assert np.isnan(found).tolist() == [False, True, True]
