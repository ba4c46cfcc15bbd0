"""Floor 7: the step, the loop, data and what is reported."""

from __future__ import annotations

from cornu.base.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {"Checkpoint": "cornu.training.checkpoint"})
