"""Pictures of models."""

from __future__ import annotations

from cornu.base.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {"model_to_dot": "cornu.visualization.plot_model", "plot_model": "cornu.visualization.plot_model"},
)
