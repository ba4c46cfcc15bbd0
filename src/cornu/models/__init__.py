"""Models: Sequential, Functional and subclassed."""

from __future__ import annotations

from cornu.base.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "Functional": "cornu.models.functional",
        "Model": "cornu.models.functional:Model",
        "Sequential": "cornu.models.sequential",
        "clone_model": "cornu.models.cloning",
        "load_model": "cornu.saving",
        "model_from_json": "cornu.saving.models",
        "save_model": "cornu.saving",
    },
)
