"""Law: everything public is made again from its configuration, and Keras and we read each other's.

Layers have their own law, in `test_layers_with_keras.py`.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

import keras
import pytest

import cornu
from cornu.base.config import backend_scope
from cornu.core.configurable import Configurable, deserialize, serialize

# Arguments of what cannot be made without, or should be made with some.
ARGUMENTS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "constraints.MinMaxNorm": ([0.1, 0.9], {"axis": [0, 1]}),
    "initializers.Constant": ([3.0], {}),
    "initializers.RandomUniform": ([-0.1, 0.1], {"seed": 3}),
    "initializers.VarianceScaling": ([2.0, "fan_out"], {"distribution": "uniform"}),
    "losses.BinaryCrossentropy": (
        [],
        {"from_logits": True, "label_smoothing": 0.1, "reduction": "sum", "name": "mine"},
    ),
    "losses.CTC": ([], {"reduction": "sum"}),
    "metrics.AUC": ([], {"num_thresholds": 20, "curve": "PR", "multi_label": True}),
    "metrics.F1Score": ([], {"average": "macro", "threshold": 0.5}),
    "metrics.FBetaScore": ([], {"beta": 0.5}),
    "metrics.IoU": ([3, [0, 1]], {}),
    "metrics.MeanIoU": ([3], {"ignore_class": 1}),
    "metrics.OneHotIoU": ([3, [0, 2]], {}),
    "metrics.OneHotMeanIoU": ([3], {}),
    "metrics.Precision": ([], {"thresholds": 0.3, "class_id": 1}),
    "metrics.PrecisionAtRecall": ([0.5], {}),
    "metrics.R2Score": ([], {"num_regressors": 1}),
    "metrics.RecallAtPrecision": ([0.5], {}),
    "metrics.SensitivityAtSpecificity": ([0.5], {"num_thresholds": 20}),
    "metrics.SpecificityAtSensitivity": ([0.5], {}),
    "optimizers.Adam": ([0.1], {"amsgrad": True, "weight_decay": 0.1, "use_ema": True, "clipnorm": 1.0}),
    "optimizers.SGD": ([0.1], {"momentum": 0.9, "nesterov": True, "gradient_accumulation_steps": 2}),
    "regularizers.L1L2": ([0.1, 0.2], {}),
    "regularizers.OrthogonalRegularizer": ([0.1, "columns"], {}),
    "schedules.CosineDecay": ([0.1, 10], {"alpha": 0.1, "warmup_target": 0.2, "warmup_steps": 3}),
    "schedules.CosineDecayRestarts": ([0.1, 10], {"t_mul": 3.0}),
    "schedules.ExponentialDecay": ([0.1, 10, 0.5], {"staircase": True}),
    "schedules.InverseTimeDecay": ([0.1, 10, 0.5], {}),
    "schedules.PiecewiseConstantDecay": ([[1, 2], [0.1, 0.2, 0.3]], {}),
    "schedules.PolynomialDecay": ([0.1, 10], {"cycle": True}),
}
# Bases, which are nothing by themselves.
BASES = {"Initializer", "Constraint", "Regularizer", "Loss", "Metric", "Optimizer", "LearningRateSchedule"}
PACKAGES = {
    name.rpartition(".")[2]: name
    for name in (
        "initializers",
        "regularizers",
        "constraints",
        "losses",
        "metrics",
        "optimizers",
        "optimizers.schedules",
    )
}


def package(k: Any, name: str) -> Any:
    found = k
    for part in PACKAGES[name].split("."):
        found = getattr(found, part)
    return found


CLASSES = {
    f"{name}.{cls.__name__}": cls
    for name in PACKAGES
    for public in package(cornu, name).__all__
    if inspect.isclass(cls := getattr(package(cornu, name), public)) and issubclass(cls, Configurable)
    if public not in BASES
}


def made(k: Any, name: str) -> Any:
    kind, _, cls = name.partition(".")
    args, kwargs = ARGUMENTS.get(name, ([], {}))
    if cls == "LossScaleOptimizer":
        args = [k.optimizers.SGD(0.1)]
    if cls == "MeanMetricWrapper":
        args, kwargs = [k.metrics.mean_squared_error], {"name": "mine"}
    return getattr(package(k, kind), cls)(*args, **kwargs)


def plain(config: Any) -> Any:
    """As JSON has it, floats in float32's precision."""

    def rounded(text: str) -> float:
        return float(f"{float(text):.6g}")

    return json.loads(json.dumps(config), parse_float=rounded)


@pytest.fixture(autouse=True)
def numpy_backend() -> Any:
    with backend_scope("numpy"):
        yield


@pytest.mark.parametrize("name", CLASSES)
def test_configuration(name: str) -> None:
    ours = made(cornu, name)
    told = plain(serialize(ours))
    assert plain(type(ours).from_config(told["config"]).get_config()) == told["config"]
    assert plain(serialize(deserialize(told))) == told
    theirs = made(keras, name)
    made_of_ours = keras.saving.deserialize_keras_object(plain(told))  # it takes its argument apart
    assert type(made_of_ours) is type(theirs)
    skipped = {"dtype"} if "IoU" in name else {"fn"}  # Keras' IoUs are int32 by default, ours compute in float32
    assert without(skipped, made_of_ours.get_config()) == without(skipped, theirs.get_config())
    made_of_theirs = deserialize(plain(keras.saving.serialize_keras_object(theirs)))
    assert without(skipped, made_of_theirs.get_config()) == without(skipped, told["config"])


def without(skipped: set[str], config: Any) -> Any:
    return {key: value for key, value in plain(config).items() if key not in skipped}


ACTIVATIONS = [name for name in cornu.activations.__all__ if name not in ("get", "serialize", "deserialize")]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str) -> None:
    function = getattr(cornu.activations, name)
    told = cornu.activations.serialize(function)  # of `swish`, it is "silu"
    assert keras.activations.serialize(keras.activations.get(told)) == told
    assert cornu.activations.deserialize(told) is function
    assert cornu.activations.get(keras.activations.serialize(getattr(keras.activations, name))) is function
