"""The networks of `native_torch.py` trained by Lightning: a module, a loader, a `Trainer`."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from native_torch import OnTorch, Sums, loss_of, tensors
from torch.utils.data import DataLoader, TensorDataset

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # which accelerators there are, at each fit
warnings.filterwarnings("ignore", module="lightning")  # that loaders might have workers


class Module(LightningModule):
    def __init__(self, net: torch.nn.Module, optimizer: torch.optim.Optimizer, sums: Sums) -> None:
        super().__init__()
        self.net, self.kept, self.sums = net, optimizer, sums
        self.losses: list[float] = []

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        x, y = tensors(*batch)
        out = self.net(x)
        loss = loss_of(self.sums.setting, out, y)
        self.sums.add(loss, out, y)
        return loss

    def on_train_epoch_end(self) -> None:
        self.losses.append(self.sums.read())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.kept


class OnLightning(OnTorch):
    def __init__(self, workload: str, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__(workload, x, y)
        self.module = Module(self.net, self.optimizer, self.sums)
        rows = self.data
        self.loader = rows if rows.endless else DataLoader(TensorDataset(rows.x, rows.y), rows.size, shuffle=True)

    def epoch(self, count: int = 1) -> list[float]:
        self.module.losses = []
        Trainer(
            max_epochs=count,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(self.module, self.loader)
        return self.module.losses


def make(workload: str, x: np.ndarray, y: np.ndarray, compiled: bool = False) -> OnLightning:
    return OnLightning(workload, x, y)
