"""House prices in California in 1990. Pace and Barry (1997), "Sparse spatial autoregressions"."""

from __future__ import annotations

from cornu.base.errors import bad_choice
from cornu.datasets._files import STORAGE, Split, fetch, read_npz, shuffle_and_split

__all__ = ["load_data"]


def load_data(
    version: str = "large", path: str = "california_housing.npz", test_split: float = 0.2, seed: int = 113
) -> Split:
    """20,640 districts (600 in the `"small"` version), 8 features each, with the median price in dollars.

    The features: longitude, latitude, median age of the houses, rooms, bedrooms, inhabitants, households, median
    income. Returns `(x_train, y_train), (x_test, y_test)`, shuffled by `seed`, the last `test_split` for tests.
    """
    if version not in ("large", "small"):
        raise bad_choice("version", version, ("large", "small"))
    x, y = read_npz(fetch(path, STORAGE + "california_housing.npz"), "x", "y")
    if version == "small":
        x, y = x[:600], y[:600]
    return shuffle_and_split([x, y], test_split, seed)
