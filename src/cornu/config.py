"""Process-wide settings."""

from __future__ import annotations

from cornu.base.config import (
    backend,
    backend_scope,
    disable_flash_attention,
    disable_interactive_logging,
    enable_flash_attention,
    enable_interactive_logging,
    epsilon,
    floatx,
    home,
    image_data_format,
    is_flash_attention_enabled,
    is_interactive_logging_enabled,
    max_epochs,
    max_steps_per_epoch,
    set_backend,
    set_epsilon,
    set_floatx,
    set_image_data_format,
    set_max_epochs,
    set_max_steps_per_epoch,
)
from cornu.base.policies import dtype_policy, set_dtype_policy

__all__ = [
    "backend",
    "backend_scope",
    "disable_flash_attention",
    "disable_interactive_logging",
    "dtype_policy",
    "enable_flash_attention",
    "enable_interactive_logging",
    "epsilon",
    "floatx",
    "home",
    "image_data_format",
    "is_flash_attention_enabled",
    "is_interactive_logging_enabled",
    "max_epochs",
    "max_steps_per_epoch",
    "set_backend",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_max_epochs",
    "set_max_steps_per_epoch",
]
