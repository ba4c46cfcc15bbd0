"""The workloads of `workloads.py` as a PyTorch user writes them by hand: eager, default settings, channels-last.

Batches are gathered from tensors by a shuffled order; loss and accuracy are summed on the device, read once an epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def _median_step(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    correct: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    y: torch.Tensor,
    batch_size: int,
    repeats: int = 5,
) -> float:
    steps = len(x) // batch_size

    def epoch() -> None:
        order, total, right = torch.randperm(len(x)), torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for i in range(steps):
            rows = order[i * batch_size : (i + 1) * batch_size]
            xs, ys = x[rows], y[rows]
            optimizer.zero_grad()
            out = net(xs)
            loss = loss_of(out, ys)
            loss.backward()
            optimizer.step()
            total += loss.detach()
            right += correct(out.detach(), ys)
        float(total), int(right)

    epoch(), epoch()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        epoch()
        times.append(time.perf_counter() - began)
    return float(np.median(times)) / steps * 1e3


def _hits(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (out.argmax(1) == y).sum()


def _same_sign(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return ((out > 0) == (y > 0.5)).sum()


def mlp() -> float:
    """784-128-10, Adam, batch 32."""
    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.random((32 * 400, 784), "float32")), torch.from_numpy(rng.integers(0, 10, 12800))
    net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    return _median_step(net, torch.optim.Adam(net.parameters()), F.cross_entropy, _hits, x, y, 32)


def cifar() -> float:
    """The 32-64-64 convolutional network, batch 64."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((640, 32, 32, 3), "float32")).permute(0, 3, 1, 2)  # channels-last memory
    y = torch.from_numpy(rng.integers(0, 10, 640))
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1024, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    ).to(memory_format=torch.channels_last)
    return _median_step(net, torch.optim.Adam(net.parameters()), F.cross_entropy, _hits, x, y, 64)


class _Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10_000, 32)
        self.lstm = nn.LSTM(32, 32, batch_first=True)
        self.head = nn.Linear(32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (h, _) = self.lstm(self.embedding(x))
        return self.head(h[0])[:, 0]


def lstm() -> float:
    """Embedding and LSTM(32) over 500 words, batch 32."""
    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.integers(1, 10_000, (128, 500))), torch.from_numpy(rng.integers(0, 2, 128)).float()
    net = _Words()
    loss = F.binary_cross_entropy_with_logits
    return _median_step(net, torch.optim.RMSprop(net.parameters()), loss, _same_sign, x, y, 32)


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5000, 128)
        layer = [nn.TransformerEncoderLayer(128, 4, 512, 0.0, "gelu", batch_first=True) for _ in range(2)]
        self.blocks = nn.Sequential(*layer)
        self.head = nn.Linear(128, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.embedding(x)).mean(1))


def transformer() -> float:
    """Two encoder blocks (width 128, 4 heads, 128 tokens), batch 32, Adam."""
    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.integers(0, 5000, (192, 128))), torch.from_numpy(rng.integers(0, 2, 192))
    net = _Encoder()
    return _median_step(net, torch.optim.Adam(net.parameters()), F.cross_entropy, _hits, x, y, 32)


WORKLOADS = {f.__name__: f for f in (mlp, cifar, lstm, transformer)}
