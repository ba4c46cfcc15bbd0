"""Small well-known data sets, downloaded once and checked: each module has `load_data()`."""

from __future__ import annotations

from cornu.base.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        name: f"cornu.datasets.{name}:"
        for name in (
            "boston_housing",
            "california_housing",
            "cifar10",
            "cifar100",
            "fashion_mnist",
            "imdb",
            "mnist",
            "reuters",
        )
    },
)
