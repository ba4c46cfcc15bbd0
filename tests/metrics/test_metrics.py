"""Metrics against Keras' and scikit-learn's, and the laws of their state."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from sklearn import metrics as sk

from cornu import losses, metrics, ops
from cornu.backend import B
from cornu.base.errors import ArgumentError, CornuError, ShapeError, UnknownNameError
from cornu.core.masks import set_mask
from cornu.core.state import functional, initialize
from tests.backends import spread

rng = np.random.default_rng(0)
N = 12
P = rng.uniform(0.02, 0.98, (N, 4)).astype("float32")
T = rng.uniform(0.05, 0.95, (N, 4)).astype("float32")
CLASS, GUESS = rng.integers(0, 4, (2, N))
HOT = np.eye(4, dtype="float32")[CLASS]
BITS = (rng.random((N, 4)) > 0.5).astype("float32")
WEAK = np.tile(np.array([[0, 1], [1, 0], [1, 1], [0, 0]], "float32"), (3, 1))
BAD = np.tile(np.array([[0.9, 0.6], [0.3, 0.2], [0.8, 0.1], [0.4, 0.7]], "float32"), (3, 1))
W = rng.random(N).astype("float32")

Case = tuple[str, Any, Any, dict[str, Any]]
WEIGHTED: list[Case] = [
    *(
        (name, T, P, {})
        for name in (
            "MeanSquaredError MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredLogarithmicError LogCoshError "
            "Poisson KLDivergence CosineSimilarity PearsonCorrelation ConcordanceCorrelation RootMeanSquaredError"
        ).split()
    ),
    *(
        (name, HOT, P, {})
        for name in (
            "Accuracy BinaryAccuracy CategoricalAccuracy CategoricalCrossentropy BinaryCrossentropy Hinge SquaredHinge "
            "CategoricalHinge"
        ).split()
    ),
    ("BinaryAccuracy", BITS[:, 0], P[:, 0], {"threshold": 0.3}),
    ("SparseCategoricalAccuracy", CLASS, P, {}),
    ("SparseCategoricalAccuracy", CLASS[:, None], P, {}),
    ("SparseCategoricalCrossentropy", CLASS, P, {"from_logits": True}),
    ("TopKCategoricalAccuracy", HOT, P, {"k": 2}),
    ("SparseTopKCategoricalAccuracy", CLASS, P, {"k": 2}),
    *(
        ("FBetaScore", HOT, P, {"average": average, "threshold": threshold, "beta": 2.0})
        for average in (None, "micro", "macro", "weighted")
        for threshold in (None, 0.4)
    ),
    ("F1Score", HOT, P, {"average": "macro"}),
    *((name, BITS, P, {}) for name in ("TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives")),
    ("TruePositives", BITS, P, {"thresholds": [0.2, 0.7]}),
    *(
        (name, BITS, P, options)
        for name in ("Precision", "Recall")
        for options in ({}, {"thresholds": [0.2, 0.7]}, {"top_k": 2}, {"class_id": 1}, {"top_k": 2, "class_id": 1})
    ),
    *(
        ("AUC", BITS, P, {"curve": curve, "summation_method": method})
        for curve in ("ROC", "PR", "PRGAIN")
        for method in ("interpolation", "minoring", "majoring")
    ),
    *(("AUC", BITS, 1 - P, {"curve": "prgain", "summation_method": m}) for m in ("Interpolation", "Majoring")),
    ("AUC", WEAK, BAD, {"curve": "PRGAIN"}),
    *(("AUC", BITS, P, {"curve": curve, "label_weights": [0.1, 0.9, 0.5, 0]}) for curve in ("roc", "pr")),
    ("AUC", BITS, P, {"thresholds": [0.1, 0.3, 0.8]}),
    ("AUC", BITS, 6 * P - 3, {"from_logits": True, "num_thresholds": 20}),
    ("SensitivityAtSpecificity", BITS, P, {"specificity": 0.5}),
    ("SpecificityAtSensitivity", BITS, P, {"sensitivity": 0.5, "num_thresholds": 20, "class_id": 1}),
    ("PrecisionAtRecall", BITS, P, {"recall": 0.6}),
    ("RecallAtPrecision", BITS, P, {"precision": 0.55, "num_thresholds": 1}),
    *(("R2Score", T, P, {"class_aggregation": a}) for a in (None, "uniform_average", "variance_weighted_average")),
    ("R2Score", T[:, :1], P[:, :1], {"num_regressors": 3}),
]
UNWEIGHTED: list[Case] = [  # Keras takes other weights here, or cuts them to integers
    ("AUC", BITS, P, {"multi_label": True}),
    ("AUC", BITS, P, {"multi_label": True, "num_labels": 4, "label_weights": [0.1, 0.2, 0.3, 0.4], "curve": "PR"}),
    ("MeanIoU", CLASS, GUESS, {"num_classes": 4}),
    ("IoU", CLASS, GUESS, {"num_classes": 4, "target_class_ids": [0, 2]}),
    ("IoU", CLASS, GUESS, {"num_classes": 4, "target_class_ids": [0, 2], "ignore_class": 2}),
    ("OneHotIoU", HOT, P, {"num_classes": 4, "target_class_ids": [1]}),
    ("OneHotMeanIoU", HOT, P, {"num_classes": 4}),
    ("BinaryIoU", BITS, P, {"target_class_ids": [1], "threshold": 0.3}),
]
CASES = WEIGHTED + UNWEIGHTED


def fed(metric: Any, y_true: Any, y_pred: Any, weight: Any = None) -> Any:
    """The metric after two batches of different sizes."""
    for part in (slice(0, 5), slice(5, N)):
        metric.update_state(y_true[part], y_pred[part], None if weight is None else weight[part])
    return metric


def test_every_class_has_a_case() -> None:
    classes = {name for name in metrics.__all__ if isinstance(getattr(metrics, name), type)}
    assert {case[0] for case in CASES} == classes - {"Metric", "Mean", "Sum", "MeanMetricWrapper"}


@pytest.mark.parametrize(
    ("name", "y_true", "y_pred", "options", "backend"),
    spread(CASES, ("jax", "numpy"), ("torch", "tensorflow")),
    indirect=["backend"],
)
def test_values_are_those_of_keras(name: str, y_true: Any, y_pred: Any, options: dict[str, Any], backend: str) -> None:
    weighted = any(case[0] == name and case[3] == options for case in WEIGHTED)
    for weight in (None, W) if weighted else (None,):
        expected = np.asarray(fed(getattr(keras.metrics, name)(**options), y_true, y_pred, weight).result())
        found = fed(getattr(metrics, name)(**options), y_true, y_pred, weight)
        np.testing.assert_allclose(np.asarray(found.result()), expected, rtol=3e-5, atol=3e-6)


@pytest.mark.parametrize(
    ("name", "y_true", "y_pred", "options", "backend"),
    spread(CASES, ("jax",), ("torch", "tensorflow", "numpy")),
    indirect=["backend"],
)
def test_state(name: str, y_true: Any, y_pred: Any, options: dict[str, Any], backend: str) -> None:
    """Resetting forgets; compiled it gives the same, keeps its dtypes and its state's size."""
    metric = fed(getattr(metrics, name)(**options), y_true, y_pred)
    expected = np.asarray(metric.result())
    metric.reset_state()
    assert all(not np.any(v.numpy()) for v in metric.variables)
    initialize(metric.variables)
    values = [v.value for v in metric.variables]
    step = B.compile(functional(metric.update_state, metric.variables))
    for part in (slice(0, 5), slice(5, N)):
        values, _ = step(values, B.convert(y_true[part]), B.convert(y_pred[part]))
    assert [(v.shape, v.dtype) for v in metric.variables] == [(x.shape, ops.dtype(x)) for x in values]
    np.testing.assert_allclose(np.asarray(metric.stateless_result(values)), expected, rtol=2e-5, atol=1e-6)
    assert all(not np.any(np.asarray(value)) for value in metric.stateless_reset_state())


@pytest.mark.parametrize(("name", "options"), [(case[0], case[3]) for case in CASES])
def test_configurations_go_round(name: str, options: dict[str, Any]) -> None:
    original = getattr(metrics, name)(name="mine", **options)
    data = metrics.serialize(original)
    assert (data["module"], data["class_name"], data["config"]["name"]) == ("keras.metrics", name, "mine")
    again = metrics.deserialize(data)
    assert again.get_config() == original.get_config()
    theirs = keras.metrics.deserialize(data)
    assert (type(theirs).__name__, theirs.name) == (name, "mine")


def test_against_scikit_learn() -> None:
    y_true, y_pred = BITS.ravel(), P.ravel()
    auc = metrics.AUC(num_thresholds=4000)
    auc.update_state(y_true, y_pred)
    assert float(auc.result()) == pytest.approx(sk.roc_auc_score(y_true, y_pred), abs=2e-3)
    for cls, theirs in ((metrics.Precision, sk.precision_score), (metrics.Recall, sk.recall_score)):
        assert float(cls()(y_true, y_pred)) == pytest.approx(theirs(y_true, y_pred > 0.5))
    for average in (None, "micro", "macro", "weighted"):
        found = fed(metrics.F1Score(average), HOT, P).result()
        expected = sk.f1_score(CLASS, P.argmax(-1), average=average, labels=range(4), zero_division=0)
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5)
    assert float(fed(metrics.R2Score(), T, P).result()) == pytest.approx(sk.r2_score(T, P), rel=1e-4)
    expected = sk.jaccard_score(CLASS, GUESS, average=None)
    assert float(fed(metrics.MeanIoU(4), CLASS, GUESS).result()) == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("shape", "weight"),
    [((2, 3), None), ((2, 3), (2,)), ((2, 3), (2, 1)), ((2, 3), (2, 3)), ((2, 3, 4), (2, 3)), ((), None), ((4,), (4,))],
)
@pytest.mark.parametrize("name", ["Mean", "Sum"])
def test_means_and_sums(name: str, shape: tuple[int, ...], weight: tuple[int, ...] | None) -> None:
    values, weights = rng.random(shape), None if weight is None else rng.random(weight)
    ours, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
    for metric in (ours, theirs):
        metric.update_state(values, weights)
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        assert a.path == b.path.replace(theirs.name, ours.name)
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5)


@pytest.mark.usefixtures("backend")
def test_nothing_yet_is_zero() -> None:
    for metric in (metrics.Mean(), metrics.F1Score(), metrics.R2Score(), metrics.Precision(), metrics.AUC()):
        assert float(metric.result()) == 0


@pytest.mark.usefixtures("backend")
def test_masked_steps_do_not_count() -> None:
    y_pred = ops.convert_to_tensor(rng.random((2, 3, 4)), "float32")
    y_true = np.asarray(y_pred).argmax(-1)
    y_true[0, 2] = (y_true[0, 2] + 1) % 4
    set_mask(y_pred, np.array([[True, True, False], [True, True, True]]))
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state(y_true, y_pred)
    assert float(metric.result()) == 1.0
    metric.reset_state()
    metric.update_state(y_true, y_pred, np.array([2.0, 1.0]))
    assert float(metric.result()) == 1.0
    precision = metrics.Precision()
    y_pred = ops.convert_to_tensor([0.9, 0.8])
    set_mask(y_pred, np.array([True, False]))
    assert float(precision(np.array([1, 0]), y_pred)) == 1.0


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_counts_in_float32(dtype: str) -> None:
    metric = metrics.Mean()
    metric.update_state(ops.cast(np.ones(3), dtype))
    assert {v.dtype for v in metric.variables} == {"float32"}
    assert metrics.Mean(dtype=dtype).dtype == dtype


@pytest.mark.usefixtures("backend")
def test_own_metric() -> None:
    class Own(metrics.Metric):
        def __init__(self, name: str = "own", **kwargs: Any) -> None:
            super().__init__(name=name, **kwargs)
            self.hits = self.add_weight(name="hits", initializer="zeros")
            self.parts = {"mean": metrics.Mean(name="inner")}

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.hits.assign_add(ops.sum(ops.cast(ops.equal(y_true, y_pred), "float32")))
            self.parts["mean"].update_state(y_pred)

        def result(self) -> Any:
            return {"hits": self.hits, "mean": self.parts["mean"].result()}

    metric = Own()
    assert [v.path for v in metric.variables] == ["own/hits", "inner/total", "inner/count"]
    found = metric(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    assert (float(found["hits"]), float(found["mean"])) == (1, 2)
    metric.reset_states()
    assert [float(v) for v in metric.variables] == [0, 0, 0]
    values = metric.stateless_update_state([v.value for v in metric.variables], np.ones(2), np.ones(2))
    assert [float(v) for v in values] == [2, 2, 2]
    assert float(metric.hits) == 0
    with pytest.raises(ArgumentError, match="own has 3 variables, got 1 values"):
        metric.stateless_result([1.0])


def test_get() -> None:
    for name, cls in (
        ("mse", "MeanSquaredError"),
        ("MAE", "MeanAbsoluteError"),
        ("auc", "AUC"),
        ("acc", "Accuracy"),
        ("bce", "BinaryCrossentropy"),
        ("kld", "KLDivergence"),
        ("f1_score", "F1Score"),
        ("fbeta_score", "FBetaScore"),
        ("cosine_similarity", "CosineSimilarity"),
        ("top_k_categorical_accuracy", "TopKCategoricalAccuracy"),
        ("SparseCategoricalAccuracy", "SparseCategoricalAccuracy"),
    ):
        assert type(metrics.get(name)).__name__ == cls
    assert metrics.get(None) is None
    with pytest.raises(UnknownNameError, match="Did you mean 'accuracy'"):
        metrics.get("acuracy")


@pytest.mark.parametrize(
    ("identifier", "true_shape", "pred_shape", "cls", "name"),
    [
        ("accuracy", (8, 1), (8, 1), "BinaryAccuracy", "accuracy"),
        ("acc", (8,), (8,), "BinaryAccuracy", "acc"),
        ("accuracy", (8,), (8, 1), "BinaryAccuracy", "accuracy"),
        ("accuracy", (8,), (8, 10), "SparseCategoricalAccuracy", "accuracy"),
        ("Accuracy", (8, 1), (8, 10), "SparseCategoricalAccuracy", "Accuracy"),
        ("acc", (8, 10), (8, 10), "CategoricalAccuracy", "acc"),
        ("accuracy", (8, 5), (8, 5, 10), "SparseCategoricalAccuracy", "accuracy"),
        ("crossentropy", (8, 1), (8, 1), "BinaryCrossentropy", "crossentropy"),
        ("ce", (8,), (8, 10), "SparseCategoricalCrossentropy", "ce"),
        ("ce", (8, 10), (8, 10), "CategoricalCrossentropy", "ce"),
        ("mae", (8, 1), (8, 1), "MeanAbsoluteError", "mae"),
        ("huber", (8, 1), (8, 1), "MeanMetricWrapper", "huber"),
        (losses.mean_squared_error, (8, 1), (8, 1), "MeanMetricWrapper", "mean_squared_error"),
        (losses.Huber(), (8, 1), (8, 1), "MeanMetricWrapper", "huber_loss"),
        (metrics.AUC(name="area"), (8, 1), (8, 1), "AUC", "area"),
    ],
)
def test_names_resolved_by_shape(identifier: Any, true_shape: Any, pred_shape: Any, cls: str, name: str) -> None:
    metric = metrics.resolve(identifier, np.zeros(true_shape, "int32"), np.zeros(pred_shape, "float32"))
    assert (type(metric).__name__, metric.name) == (cls, name)
    metric.update_state(np.zeros(true_shape, "int32"), np.full(pred_shape, 0.1, "float32"))
    assert np.isfinite(float(metric.result()))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: metrics.resolve(3, P, P), ArgumentError, "metric should be a name"),
        (lambda: metrics.CategoricalAccuracy()(CLASS, P), ShapeError, "sparse_categorical_accuracy"),
        (lambda: metrics.SparseCategoricalAccuracy()(HOT, P), ShapeError, "'categorical_accuracy'"),
        (lambda: metrics.Precision()(CLASS, P), ArgumentError, "labels and predictions should have one shape"),
        (
            lambda: metrics.Precision(thresholds=[0.5, 2.0]),
            ArgumentError,
            r"thresholds should be a number within \[0, 1\].*, got 2.0",
        ),
        (lambda: metrics.AUC(curve="roc_"), ArgumentError, r"curve must be one of .* Did you mean 'ROC'\?$"),
        (lambda: metrics.AUC(summation_method="minor"), ArgumentError, "summation_method must .* 'minoring'"),
        (
            lambda: metrics.AUC(label_weights=[1, 2])(BITS, P),
            ArgumentError,
            r"each label.*got shape \(2,\) .*\(12, 4\)",
        ),
        (
            lambda: metrics.AUC(multi_label=True, label_weights=[1])(BITS, P),
            ArgumentError,
            r"each label.*got shape \(1,\)",
        ),
        (lambda: metrics.AUC(label_weights=0.5)(BITS, P), ArgumentError, "each label"),
        (lambda: metrics.R2Score("mean"), ArgumentError, "class_aggregation must be one of"),
        (lambda: metrics.AUC(num_thresholds=1), ArgumentError, "num_thresholds should be an int of at least 2"),
        (lambda: metrics.F1Score(average="mikro"), ArgumentError, "Did you mean 'micro'"),
        (lambda: metrics.F1Score()(CLASS, P), ArgumentError, "to_categorical"),
        (lambda: metrics.PrecisionAtRecall(1.5), ArgumentError, r"rate should be a number within \[0, 1\], got 1.5"),
        *(
            (lambda n=n, a=a, v=v: getattr(metrics, n)(**{a: v}), ArgumentError, f"{n}: {a} should be .*, got {v!r}")  # type: ignore[misc]
            for n, a, v in (
                ("Precision", "top_k", 0),
                ("Recall", "top_k", 1.5),
                ("Precision", "class_id", -1),
                ("Recall", "class_id", "a"),
                ("Precision", "thresholds", "a"),
                ("TruePositives", "thresholds", True),
                ("AUC", "thresholds", 0.5),
                ("AUC", "num_thresholds", "a"),
                ("TopKCategoricalAccuracy", "k", 0),
                ("SparseTopKCategoricalAccuracy", "k", 2.0),
                ("BinaryAccuracy", "threshold", "a"),
                ("BinaryCrossentropy", "label_smoothing", 2),
                ("CategoricalCrossentropy", "label_smoothing", -1),
                ("CosineSimilarity", "axis", "a"),
                ("FBetaScore", "beta", 0),
                ("F1Score", "threshold", "a"),
                ("R2Score", "num_regressors", -1),
                ("MeanIoU", "num_classes", 0),
            )
        ),
        (lambda: metrics.PrecisionAtRecall(0.5, class_id=-1), ArgumentError, "class_id should be an int of at least 0"),
        (lambda: metrics.Precision(class_id=4)(BITS, P), ArgumentError, "class_id=4, but the last class is 3"),
        (lambda: metrics.AUC(num_treshold=3), ArgumentError, "AUC has no argument 'num_treshold'.*'num_thresholds'"),
        (lambda: metrics.IoU(3, [3]), ArgumentError, "class numbers below num_classes=3"),
        (lambda: metrics.MeanSquaredError()(T, P, np.ones(5)), ShapeError, "mean_squared_error: sample_weight"),
        (lambda: metrics.Metric().update_state(T, P), NotImplementedError, "should define `update_state"),
    ],
)
def test_errors(call: Any, error: type[CornuError], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
