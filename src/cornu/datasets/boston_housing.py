"""House prices around Boston. Harrison and Rubinfeld (1978), http://lib.stat.cmu.edu/datasets/boston"""

from __future__ import annotations

from cornu.datasets._files import STORAGE, Split, fetch, read_npz, shuffle_and_split

__all__ = ["load_data"]


def load_data(path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113) -> Split:
    """506 suburbs, 13 features each, with the median price of a house in thousands of dollars; float64.

    Returns `(x_train, y_train), (x_test, y_test)`, shuffled by `seed`, the last `test_split` for tests. One feature
    encodes the share of black inhabitants and its supposed effect on prices: the data are for exercises, not for use.
    """
    return shuffle_and_split(read_npz(fetch(path, STORAGE + "boston_housing.npz"), "x", "y"), test_split, seed)
