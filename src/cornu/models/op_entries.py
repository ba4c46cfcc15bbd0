"""Ops in the configurations of graphs: as Keras' class of each, made of what is no tensor and called on tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from cornu import ops
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, did_you_mean
from cornu.core import configurable
from cornu.core.symbolic import Node, OpCall, any_symbolic

_OPS: dict[str, Any] = dict.fromkeys(ops.image.__all__, ops.image) | dict.fromkeys(ops.__all__, ops)
"""Where an op of a file stands."""
_ACRONYMS = frozenset("ctc fft fft2 hsv ifft2 irfft istft jvp psnr rfft rgb ssim stft svd".split())
_CLASSES = {
    "allclose": "AllClose",
    "batch_normalization": "BatchNorm",
    "cdist": "CDist",
    "extract_patches_3d": "ExtractPatches",
    "isin": "IsIn",
    "layer_normalization": "LayerNorm",
    "rms_normalization": "RMSNorm",
    "searchsorted": "SearchSorted",
}
"""Keras' classes that are not called as their ops are."""
_MODULES = dict.fromkeys(ops.image.__all__, "keras.src.ops.image") | {"rearrange": "keras.src.ops.einops"}
"""Where Keras' classes stand, if not in `keras.src.ops`."""
_NAMES = {cls.lower(): name for name, cls in _CLASSES.items()} | {name.replace("_", ""): name for name in _OPS}
"""Ops by their Keras class in small letters."""
_EXCEPTIONS = frozenset(
    """
    array.x associative_scan.elems associative_scan.f bincount.weights clip.x_max clip.x_min cond.false_fn
    cond.operands cond.pred cond.true_fn convert_to_tensor.x dot_product_attention.scale fori_loop.init_val
    full_like.fill_value get_item.key isclose.atol isclose.rtol jvp.fun jvp.primals jvp.tangents map.f map.xs
    nanpercentile.q nanquantile.q ndim.x pad.constant_values percentile.q quantile.q rearrange.pattern
    scale_and_translate.output_shape scan.f scan.init scan.xs size.x slice.start_indices slice_update.start_indices
    switch.branches switch.index switch.operands trapezoid.x vectorized_map.elements while_loop.loop_vars
    """.split()
)
"""Tensors with which Keras makes the object, and other parameters with which it calls it."""


def described(operation: OpCall, nodes: list[Node], data: Callable[[Any], Any]) -> dict[str, Any]:
    """The entry of an op and its calls in a graph's layers; `data` describes the tensors in a nest."""
    name = operation.fn.__name__
    if name not in _OPS:
        raise ArgumentError(f"{name!r} is no public op, so it cannot be saved. Call it in a Layer or a Lambda.")
    settings: dict[str, Any] = {}
    calls = []
    for node in nodes:
        bound = inspect.signature(operation.fn).bind(*node.args, **node.kwargs)
        bound.apply_defaults()
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for key, parameter in bound.signature.parameters.items():
            value = bound.arguments[key]
            if isinstance(value, {"get_item": list, "reshape": int}.get(name, ())):
                value = (value,)  # tuples become lists, and Keras' reshape takes no number
            if parameter.kind is parameter.VAR_KEYWORD:
                kwargs |= value
            elif _is_called_with(name, parameter):
                args += value if parameter.kind is parameter.VAR_POSITIONAL else [value]
            elif any_symbolic(value):
                kwargs[key] = value
            else:
                settings[key] = value
        calls.append({"args": listed(data(args)), "kwargs": listed(data(kwargs))})
    if settings.get("dtype") is not None:
        settings["dtype"] = standardize_dtype(settings["dtype"])
    camel = "".join(part.upper() if part in _ACRONYMS else part.capitalize() for part in name.split("_"))
    return {
        "module": _MODULES.get(name, "keras.src.ops"),
        "class_name": _CLASSES.get(name, camel),
        "config": {"name": operation.name, **listed(settings)},
        "registered_name": None,
        "name": operation.name,
        "inbound_nodes": calls,
    }


def listed(value: Any) -> Any:
    """As data, with lists for tuples, as Keras has it here."""
    if isinstance(value, list | tuple):
        return [listed(item) for item in value]
    if isinstance(value, dict):
        return {key: listed(item) for key, item in value.items()}
    found = configurable.serialize(value)
    is_op = callable(value) and isinstance(found, str)
    return {"module": "keras.ops", "class_name": "function", "config": found} if is_op else found


def _is_called_with(op: str, parameter: inspect.Parameter) -> bool:
    """Whether Keras passes the argument when it calls the object, and not when it makes it."""
    is_tensor = "Tensor" in str(parameter.annotation) or "Untyped" in str(parameter.annotation)
    return is_tensor != (f"{op}.{parameter.name}" in _EXCEPTIONS)


def is_op(entry: dict[str, Any]) -> bool:
    """Whether the entry of a graph's layers stands for an op."""
    if entry.get("module"):
        return bool(entry["module"].startswith("keras.src.ops"))
    # Old HDF5 files do not say; the configurations of layers have more in them.
    return "trainable" not in entry["config"] and entry["class_name"].lower() in _NAMES


def made(entry: dict[str, Any]) -> OpCall:
    """The op of an entry."""
    name = _NAMES.get(entry["class_name"].lower())
    if name is None:
        raise ArgumentError(
            f"The file names the op {entry['class_name']!r}, which does not exist."
            f"{did_you_mean(entry['class_name'].lower(), _NAMES)}"
        )
    if name == "extract_patches" and isinstance(size := entry["config"]["size"], list) and len(size) == 3:
        name = "extract_patches_3d"
    return OpCall(getattr(_OPS[name], name), entry["config"].get("name"))


def arguments(operation: OpCall, entry: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an op's call, as the op takes them."""
    name, signature = operation.fn.__name__, inspect.signature(operation.fn)
    parameters = [p for p in signature.parameters.values() if _is_called_with(name, p)]
    args = list(node["args"])
    if name == "get_item" and isinstance(args[1], list):
        args[1] = {"class_name": "__tuple__", "items": args[1]}  # JSON has no tuples
    found = {key: value for key, value in entry["config"].items() if key != "name"} | node["kwargs"]
    for i, parameter in enumerate(parameters[: len(args)]):
        found[parameter.name] = args[i:] if parameter.kind is parameter.VAR_POSITIONAL else args[i]
    bound = inspect.BoundArguments(signature, found)  # type: ignore[arg-type]
    unknown = {key: value for key, value in found.items() if key not in signature.parameters and value is not False}
    return {"args": list(bound.args), "kwargs": {**bound.kwargs, **unknown}}
