"""Cornu: deep learning with the Keras API on JAX, NumPy and other backends. `import cornu as keras`."""

from __future__ import annotations

from cornu.base.lazy import lazy_names

__version__ = "0.1.0"

_PACKAGES = (
    "activations backend callbacks config constraints datasets dtype_policies initializers layers losses "
    "metrics models ops "
    "optimizers preprocessing random regularizers saving tree utils"
)
__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {name: f"cornu.{name}:" for name in _PACKAGES.split()}
    | {
        "DTypePolicy": "cornu.base.policies",
        "FloatDTypePolicy": "cornu.base.policies",
        "Function": "cornu.core.graph",
        "Initializer": "cornu.initializers",
        "Input": "cornu.layers",
        "InputSpec": "cornu.layers",
        "KerasTensor": "cornu.core.symbolic",
        "Layer": "cornu.layers",
        "Loss": "cornu.losses",
        "Metric": "cornu.metrics",
        "Model": "cornu.models",
        "Optimizer": "cornu.optimizers",
        "Regularizer": "cornu.regularizers",
        "Sequential": "cornu.models",
        "StateScope": "cornu.core.state",
        "Variable": "cornu.core.variable",
        "device": "cornu.backend.devices:device_scope",
        "install_as_keras": "cornu.drop_in",
        "name_scope": "cornu.core.context",
        "value_and_grad": "cornu.core.state",
        "version": "cornu.base.version",
    },
)
