"""Where models of other libraries become layers, and layers become modules of PyTorch. Imported when first used."""

from __future__ import annotations

from cornu.base.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "FlaxLayer": "cornu.layers.foreign.jax_layer",
        "JaxLayer": "cornu.layers.foreign.jax_layer",
        "LayerModule": "cornu.layers.foreign.layer_module",
        "TFSMLayer": "cornu.layers.foreign.tfsm_layer",
        "TorchModuleWrapper": "cornu.layers.foreign.torch_module",
    },
)
