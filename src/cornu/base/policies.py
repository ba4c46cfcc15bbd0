"""Dtype policies: which dtype a layer computes in and which its variables are kept in."""

from __future__ import annotations

from typing import Any

from cornu.base import config
from cornu.base.dtypes import standardize_dtype
from cornu.base.errors import ArgumentError, DTypeError

_MIXED = {"mixed_float16": ("float16", "float32"), "mixed_bfloat16": ("bfloat16", "float32")}


class DTypePolicy:
    """The pair (compute dtype, variable dtype) of a layer.

    `name` is a dtype (`"float32"`: both), `"mixed_float16"` or `"mixed_bfloat16"` (16-bit computation on float32
    variables, https://arxiv.org/abs/1710.03740), or None for the global policy's name.
    """

    def __init__(self, name: str | None = None) -> None:
        if name is None:
            name = dtype_policy().name
        if not isinstance(name, str):
            raise DTypeError(f"A dtype policy's name should be a string such as 'mixed_bfloat16', got {name!r}.")
        self._name = name
        self._compute_dtype, self._variable_dtype = _MIXED.get(name) or (standardize_dtype(name),) * 2

    @property
    def name(self) -> str:
        """The policy's name."""
        return self._name

    @property
    def compute_dtype(self) -> str:
        """The dtype that inputs are cast to and layers compute in."""
        return self._compute_dtype

    @property
    def variable_dtype(self) -> str:
        """The dtype that variables are kept in."""
        return self._variable_dtype

    @property
    def quantization_mode(self) -> str | None:
        """None: this policy does not quantize."""
        return None

    def get_config(self) -> dict[str, Any]:
        """`{"name": …}`."""
        return {"name": self._name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """The policy that `get_config` described."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.get_config() == self.get_config()

    def __hash__(self) -> int:
        return hash((type(self), self._name))

    def __repr__(self) -> str:
        return f'<{type(self).__name__} "{self._name}">'


FloatDTypePolicy = DTypePolicy


def dtype_policy() -> DTypePolicy:
    """The global policy; `floatx` for both dtypes unless set."""
    policy = config.settings.dtype_policy
    return policy if policy is not None else DTypePolicy(config.floatx())


def set_dtype_policy(policy: str | DTypePolicy | None) -> None:
    """Set the global policy, used by every layer made from now on that is given no `dtype`. None resets it."""
    config.settings.dtype_policy = None if policy is None else get(policy)


def get(identifier: Any) -> DTypePolicy:
    """A policy from its name, its configuration, a dtype, None (the global one) or itself."""
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str) and identifier in _MIXED:
        return DTypePolicy(identifier)
    return DTypePolicy(standardize_dtype(identifier))


def serialize(dtype_policy: DTypePolicy) -> dict[str, Any]:
    """The policy as plain data, in Keras' form."""
    return {
        "module": "keras",
        "class_name": type(dtype_policy).__name__,
        "config": dtype_policy.get_config(),
        "registered_name": None,
    }


def deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> DTypePolicy:
    """The policy that `serialize` described."""
    known = {"DTypePolicy": DTypePolicy, "FloatDTypePolicy": DTypePolicy, "Policy": DTypePolicy}
    cls = (custom_objects or {}).get(config.get("class_name", "")) or known.get(config.get("class_name", ""))
    if cls is None:
        raise ArgumentError(f"Unknown dtype policy {config.get('class_name')!r}. Known: {', '.join(known)}.")
    policy: DTypePolicy = cls.from_config(config["config"])
    return policy
