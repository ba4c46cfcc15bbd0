"""Datasets that make batches on demand."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import cornu
from cornu.base.errors import ArgumentError
from cornu.utils import PyDataset


class Squares(PyDataset):
    """Batch i is i², the first ones made slowest."""

    def __init__(self, count=6, **kwargs):
        super().__init__(**kwargs)
        self.count, self.ends, self.threads = count, 0, set()

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.threads.add(threading.get_ident())
        time.sleep(0.002 * (self.count - index))
        return np.full((2, 1), index**2, "float32"), np.zeros((2, 1), "float32")

    def on_epoch_end(self):
        self.ends += 1


@pytest.mark.parametrize("options", [{}, {"workers": 3}, {"workers": 2, "max_queue_size": 1}])
def test_batches_come_in_order(options) -> None:
    data = Squares(**options)
    assert [float(x[0, 0]) for x, _ in data.iterate()] == [0, 1, 4, 9, 16, 25]
    assert (threading.get_ident() in data.threads) == (options == {})


PROCESSES = """
import os
from cornu.utils import PyDataset
class Numbers(PyDataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return index**2, os.getpid()
found = list(Numbers(workers=2, use_multiprocessing=True).iterate())
assert [square for square, _ in found] == [0, 1, 4, 9]
assert os.getpid() not in {process for _, process in found}
"""


def test_processes_make_batches() -> None:  # in a process of its own: forking one in which JAX runs may lock up
    source = str(Path(__file__).parents[2] / "src")
    subprocess.run([sys.executable, "-c", PROCESSES], env={**os.environ, "PYTHONPATH": source}, check=True, timeout=60)


def test_an_error_in_a_worker_reaches_the_caller() -> None:
    class Broken(Squares):
        def __getitem__(self, index):
            if index == 2:
                raise KeyError("row 2")
            return super().__getitem__(index)

    with pytest.raises(KeyError, match="row 2"):
        list(Broken(workers=2).iterate())


def test_it_trains_a_model_without_calling_the_base() -> None:
    class Plain(PyDataset):
        def __init__(self):
            self.ends = 0

        def __len__(self):
            return 2

        def __getitem__(self, index):
            return np.ones((4, 2), "float32"), np.ones((4, 1), "float32")

        def on_epoch_end(self):
            self.ends += 1

    data = Plain()
    model = cornu.Sequential([cornu.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert len(model.fit(data, epochs=2, verbose=0, validation_data=Plain()).history["val_loss"]) == 2
    assert data.ends == 2
    assert model.predict(data, verbose=0).shape == (8, 1)


@pytest.mark.parametrize(("name", "value"), [("workers", 0), ("workers", 1.5), ("max_queue_size", -1)])
def test_counts_are_checked(name: str, value: object) -> None:
    with pytest.raises(ArgumentError, match=f"Squares: {name} should be a positive int, got {value}"):
        Squares(**{name: value})


def test_what_a_dataset_must_define() -> None:
    with pytest.raises(NotImplementedError, match="should define `__getitem__"):
        PyDataset()[0]
    with pytest.raises(NotImplementedError, match="should define `__len__`"):
        _ = PyDataset().num_batches
