"""The workloads of `keras_api.py` as a PyTorch user writes them by hand: eager, or the network through `torch.compile`.

Images are channels-last in memory. Batches are gathered from tensors by a shuffled order.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from peers import SETTINGS, Batches, Peer, Setting
from torch import Tensor, nn

# networks


def stack(*widths: int, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = []
    for pair in pairwise(widths):
        layers += [nn.Linear(*pair), activation()]
    return nn.Sequential(*layers[:-1])


class Images(nn.Module):
    """(batch, height, width, 3) as (batch, 3, height, width), its memory as it is: channels-last."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2)


def cifar() -> nn.Module:
    return nn.Sequential(
        Images(),
        *[nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2)],
        *[nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)],
        *[nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten()],
        stack(1024, 64, 10),
    ).to(memory_format=torch.channels_last)


class Words(nn.Module):
    def __init__(self, recurrent: type[nn.LSTM | nn.GRU], directions: int = 1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10_000, 32)
        self.recurrent = recurrent(32, 32, batch_first=True, bidirectional=directions == 2)
        self.head = nn.Linear(32 * directions, 1)

    def forward(self, x: Tensor) -> Tensor:
        _, state = self.recurrent(self.embedding(x))
        last = state[0] if isinstance(state, tuple) else state  # (directions, batch, units)
        return self.head(last.transpose(0, 1).flatten(1))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.causal = heads, causal

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.mix(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (batch, heads, time, width)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and two dense layers; the norms come after the sums, or `first`."""

    def __init__(self, width: int, inner: int, heads: int, first: bool) -> None:
        super().__init__()
        self.attention = Attention(width, heads, causal=first)
        self.feed = stack(width, inner, width, activation=nn.GELU)
        self.norms = nn.ModuleList(nn.LayerNorm(width, 1e-3) for _ in range(2))
        self.first = first

    def forward(self, h: Tensor) -> Tensor:
        for norm, layer in zip(self.norms, (self.attention, self.feed), strict=True):
            h = h + layer(norm(h)) if self.first else norm(h + layer(h))
        return h


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5000, 128)
        self.blocks = nn.Sequential(*[Block(128, 512, 4, first=False) for _ in range(2)])
        self.head = nn.Linear(128, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.embedding(x)).mean(1))


class GPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(96, 256)
        self.positions = nn.Parameter(torch.empty(256, 256).uniform_(-0.05, 0.05))
        self.blocks = nn.Sequential(*[Block(256, 1024, 8, first=True) for _ in range(4)])
        self.head = nn.Sequential(nn.LayerNorm(256, 1e-3), nn.Linear(256, 96))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.embedding(x) + self.positions))


def normed(channels: int, filters: int, stride: int = 1, size: int = 3) -> list[nn.Module]:
    conv = nn.Conv2d(channels, filters, size, stride, size // 2, bias=False)
    return [conv, nn.BatchNorm2d(filters, 1e-3, 0.01)]


class Residual(nn.Module):
    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        stride = filters // channels
        self.main = nn.Sequential(*normed(channels, filters, stride), nn.ReLU(), *normed(filters, filters))
        self.shortcut = nn.Sequential(*normed(channels, filters, stride, 1) if stride == 2 else [])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.shortcut(x))


def resnet() -> nn.Module:
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    blocks = [Residual(*pair) for pair in pairwise(widths)]
    top = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(Images(), *normed(3, 16), nn.ReLU(), *blocks, *top).to(memory_format=torch.channels_last)


class Adversaries(nn.Module):
    """Gives the loss of both networks, each of which learns from its own part."""

    def __init__(self) -> None:
        super().__init__()
        self.maker = stack(16, 64, 64, 2, activation=lambda: nn.LeakyReLU(0.2))
        self.judge = stack(2, 64, 64, 1, activation=lambda: nn.LeakyReLU(0.2))

    def forward(self, real: Tensor) -> Tensor:
        made = self.maker(torch.randn(64, 16))
        fixed = {name: p.detach() for name, p in self.judge.named_parameters()}
        judging = F.softplus(-self.judge(real)).mean() + F.softplus(self.judge(made.detach())).mean()
        return judging + F.softplus(-torch.func.functional_call(self.judge, fixed, made)).mean()


NETS: dict[str, Callable[[], nn.Module]] = {
    "iris": lambda: stack(4, 16, 3),
    "mlp": lambda: stack(784, 128, 10),
    "mlp_512": lambda: stack(784, 512, 10),
    "cifar": cifar,
    "lstm": lambda: Words(nn.LSTM),
    "gru": lambda: Words(nn.GRU),
    "bilstm": lambda: Words(nn.LSTM, 2),
    "transformer": Transformer,
    "resnet": resnet,
    "gpt": GPT,
    "tabular": lambda: stack(64, 128, 64, 1),
    "gan": Adversaries,
    "generator": lambda: stack(784, 128, 10),
}


def as_keras(net: nn.Module) -> nn.Module:
    """The first weights as Keras draws them; an LSTM has one bias, as there, the other staying at zero."""
    for layer in net.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Embedding):
            nn.init.uniform_(layer.weight, -0.05, 0.05)
        elif isinstance(layer, nn.RNNBase):
            for name, p in layer.named_parameters():
                if name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(p)
                elif name.startswith("weight_hh"):
                    nn.init.orthogonal_(p)
                else:
                    nn.init.zeros_(p)
                if isinstance(layer, nn.LSTM) and name.startswith("bias_ih"):
                    nn.init.ones_(p.data[32:64])  # of the forget gate
                elif isinstance(layer, nn.LSTM) and name.startswith("bias_hh"):
                    p.requires_grad_(False)
    return net


# training

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda p: torch.optim.Adam(p, 1e-3, eps=1e-7),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 1e-3, alpha=0.9, eps=1e-7**0.5),  # inside of the root elsewhere
    "sgd": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9),
}


def loss_of(setting: Setting, out: Tensor, y: Tensor) -> Tensor:
    if setting.loss == "own":
        return out
    if setting.loss == "binary":
        return F.binary_cross_entropy_with_logits(out, y)
    return F.cross_entropy(out.flatten(0, -2), y.flatten())


def hits(setting: Setting, out: Tensor, y: Tensor) -> Tensor:
    return ((out > 0) == (y > 0.5)).sum() if setting.loss == "binary" else (out.argmax(-1) == y).sum()


class Sums:
    """Loss and hits of an epoch, held on the device until they are read."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.rows = setting, 0
        self.loss, self.hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)

    def add(self, loss: Tensor, out: Tensor, y: Tensor) -> None:
        self.rows += len(y)
        self.loss.add_(loss.detach(), alpha=len(y))
        if self.setting.accuracy:
            self.hits += hits(self.setting, out.detach(), y)

    def read(self) -> float:
        loss, _ = float(self.loss) / self.rows, int(self.hits)
        self.loss.zero_(), self.hits.zero_()
        self.rows = 0
        return loss


class OnTorch(Peer):
    def __init__(self, workload: str, x: np.ndarray, y: np.ndarray, compiled: bool = False) -> None:
        self.setting = SETTINGS[workload]
        self.data = Batches.of(workload, x, y)
        if not self.data.endless:
            self.data.x, self.data.y = tensors(self.data.x, self.data.y)
        net = as_keras(NETS[workload]())
        learnt = [p for p in net.parameters() if p.requires_grad]
        self.parameters = sum(p.numel() for p in learnt)
        self.optimizer = OPTIMIZERS[self.setting.optimizer](learnt)
        self.net = torch.compile(net) if compiled else net
        self.sums = Sums(self.setting)

    def step(self, x: Any, y: Any) -> None:
        x, y = tensors(x, y)
        self.optimizer.zero_grad()
        out = self.net(x)
        loss = loss_of(self.setting, out, y)
        loss.backward()
        self.optimizer.step()
        self.sums.add(loss, out, y)

    def read(self) -> float:
        return self.sums.read()

    def predict(self, x: Any) -> Any:
        self.net.eval()
        with torch.inference_mode():
            found = super().predict(torch.from_numpy(x))
        self.net.train()
        return found

    def outputs(self, x: Any) -> Any:
        out = self.net(x)
        if self.setting.squash:
            out = out.sigmoid() if self.setting.loss == "binary" else out.softmax(-1)
        return out.numpy()


def tensors(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    y = torch.as_tensor(y)
    return torch.as_tensor(x), y if y.is_floating_point() else y.long()


def make(workload: str, x: np.ndarray, y: np.ndarray, compiled: bool = False) -> OnTorch:
    return OnTorch(workload, x, y, compiled)
