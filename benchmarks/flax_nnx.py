"""The workloads of `keras_api.py` in Flax NNX, with Optax, in the way of Flax' documentation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.nn import initializers
from native_jax import OPTIMIZERS, losses, probabilities
from peers import SETTINGS, Batches, Peer

GLOROT = initializers.glorot_uniform()
Linear, Conv = partial(nnx.Linear, kernel_init=GLOROT), partial(nnx.Conv, kernel_init=GLOROT, padding="VALID")
Embed = partial(nnx.Embed, embedding_init=lambda *a: initializers.uniform(0.1)(*a) - 0.05)
gelu = partial(nnx.gelu, approximate=False)


def stack(rngs: nnx.Rngs, *widths: int, activation: Callable[..., Any] = nnx.relu) -> nnx.Sequential:
    layers: list[Any] = []
    for pair in pairwise(widths):
        layers += [Linear(*pair, rngs=rngs), activation]
    return nnx.Sequential(*layers[:-1])


def cifar(rngs: nnx.Rngs) -> nnx.Module:
    pool = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
    return nnx.Sequential(
        *[Conv(3, 32, (3, 3), rngs=rngs), nnx.relu, pool],
        *[Conv(32, 64, (3, 3), rngs=rngs), nnx.relu, pool],
        *[Conv(64, 64, (3, 3), rngs=rngs), nnx.relu, lambda x: x.reshape(len(x), -1)],
        stack(rngs, 1024, 64, 10),
    )


def lstm(rngs: nnx.Rngs) -> nnx.Module:
    return nnx.OptimizedLSTMCell(32, 32, rngs=rngs)


def gru(rngs: nnx.Rngs) -> nnx.Module:
    cell = nnx.GRUCell(32, 32, rngs=rngs)
    cell.dense_h = nnx.Linear(32, 96, kernel_init=initializers.orthogonal(), rngs=rngs)  # with a bias, as in Keras
    return cell


class Words(nnx.Module):
    def __init__(self, cell: Callable[[nnx.Rngs], Any], rngs: nnx.Rngs, directions: int = 1) -> None:
        self.embedding = Embed(10_000, 32, rngs=rngs)
        self.recurrent = nnx.List([nnx.RNN(cell(rngs), reverse=i == 1) for i in range(directions)])
        self.head = Linear(32 * directions, 1, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.embedding(x)
        return self.head(jnp.concatenate([layer(x)[:, -1] for layer in self.recurrent], -1))


class Block(nnx.Module):
    """Attention and two dense layers; the norms come after the sums, or `first`."""

    def __init__(self, width: int, inner: int, heads: int, rngs: nnx.Rngs, first: bool) -> None:
        self.attention = nnx.MultiHeadAttention(heads, width, decode=False, kernel_init=GLOROT, rngs=rngs)
        self.feed = stack(rngs, width, inner, width, activation=gelu)
        self.norms = nnx.List([nnx.LayerNorm(width, epsilon=1e-3, rngs=rngs) for _ in range(2)])
        self.first = first

    def __call__(self, h: jax.Array) -> jax.Array:
        for norm, layer in zip(self.norms, (partial(self.attention, is_causal=self.first), self.feed), strict=True):
            h = h + layer(norm(h)) if self.first else norm(h + layer(h))
        return h


class Transformer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embedding = Embed(5000, 128, rngs=rngs)
        self.blocks = nnx.Sequential(*[Block(128, 512, 4, rngs, first=False) for _ in range(2)])
        self.head = Linear(128, 2, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.blocks(self.embedding(x)).mean(1))


class GPT(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embedding, self.positions = Embed(96, 256, rngs=rngs), Embed(256, 256, rngs=rngs)
        self.blocks = nnx.Sequential(*[Block(256, 1024, 8, rngs, first=True) for _ in range(4)])
        self.head = nnx.Sequential(nnx.LayerNorm(256, epsilon=1e-3, rngs=rngs), Linear(256, 96, rngs=rngs))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.blocks(self.embedding(x) + self.positions(jnp.arange(256))))


def normed(rngs: nnx.Rngs, channels: int, filters: int, stride: int = 1, size: int = 3) -> list[nnx.Module]:
    conv = Conv(channels, filters, (size, size), stride, padding="SAME", use_bias=False, rngs=rngs)
    return [conv, nnx.BatchNorm(filters, epsilon=1e-3, rngs=rngs)]


class Residual(nnx.Module):
    def __init__(self, channels: int, filters: int, rngs: nnx.Rngs) -> None:
        stride = filters // channels
        self.main = nnx.Sequential(*normed(rngs, channels, filters, stride), nnx.relu, *normed(rngs, filters, filters))
        self.shortcut = nnx.Sequential(*normed(rngs, channels, filters, stride, 1)) if stride == 2 else nnx.identity

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(self.main(x) + self.shortcut(x))


def resnet(rngs: nnx.Rngs) -> nnx.Module:
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    blocks = [Residual(*pair, rngs) for pair in pairwise(widths)]
    top = [lambda x: x.mean((1, 2)), Linear(64, 10, rngs=rngs)]
    return nnx.Sequential(*normed(rngs, 3, 16), nnx.relu, *blocks, *top)


class Adversaries(nnx.Module):
    """Gives the loss of both networks, each of which learns from its own part."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        activation = partial(nnx.leaky_relu, negative_slope=0.2)
        self.maker = stack(rngs, 16, 64, 64, 2, activation=activation)
        self.judge = stack(rngs, 2, 64, 64, 1, activation=activation)
        self.noise = rngs.noise.fork()

    def __call__(self, real: jax.Array) -> jax.Array:
        made = self.maker(self.noise.normal((64, 16)))
        graph, weights = nnx.split(self.judge)
        fixed = nnx.merge(graph, jax.lax.stop_gradient(weights))
        judging = nnx.softplus(-self.judge(real)).mean() + nnx.softplus(self.judge(jax.lax.stop_gradient(made))).mean()
        return judging + nnx.softplus(-fixed(made)).mean()


NETS: dict[str, Callable[[nnx.Rngs], nnx.Module]] = {
    "iris": lambda rngs: stack(rngs, 4, 16, 3),
    "mlp": lambda rngs: stack(rngs, 784, 128, 10),
    "mlp_512": lambda rngs: stack(rngs, 784, 512, 10),
    "cifar": cifar,
    "lstm": partial(Words, lstm),
    "gru": partial(Words, gru),
    "bilstm": partial(Words, lstm, directions=2),
    "transformer": Transformer,
    "resnet": resnet,
    "gpt": GPT,
    "tabular": lambda rngs: stack(rngs, 64, 128, 64, 1),
    "gan": Adversaries,
    "generator": lambda rngs: stack(rngs, 784, 128, 10),
}


class OnFlax(Peer):
    def __init__(self, workload: str, x: np.ndarray, y: np.ndarray) -> None:
        self.data = Batches.of(workload, x, y)
        setting = SETTINGS[workload]
        self.net = NETS[workload](nnx.Rngs(0))
        self.optimizer = nnx.Optimizer(self.net, OPTIMIZERS[setting.optimizer](), wrt=nnx.Param)
        self.parameters = sum(p.size for p in jax.tree.leaves(nnx.state(self.net, nnx.Param)))
        metrics = {"loss": nnx.metrics.Average("loss")}
        if setting.accuracy:
            metrics["accuracy"] = nnx.metrics.Accuracy(0.0 if setting.loss == "binary" else None)
        self.metrics = nnx.MultiMetric(**metrics)

        @nnx.jit
        def step(net: Any, optimizer: nnx.Optimizer, metrics: nnx.MultiMetric, x: jax.Array, y: jax.Array) -> None:
            def loss(net: Any) -> Any:
                out = net(x)
                each = losses(setting, out, y)
                return each.mean(), (out, each)

            (_, (out, each)), grads = nnx.value_and_grad(loss, has_aux=True)(net)
            metrics.update(loss=each, logits=out, labels=y.astype("int32"))
            optimizer.update(net, grads)

        @nnx.jit
        def outputs(net: Any, x: jax.Array) -> jax.Array:
            return probabilities(setting, net(x))

        self.train, self.forward = step, outputs

    def step(self, x: Any, y: Any) -> None:
        self.train(self.net, self.optimizer, self.metrics, x, y)

    def read(self) -> float:
        loss = float(self.metrics.compute()["loss"])
        self.metrics.reset()
        return loss

    def predict(self, x: Any) -> Any:
        self.net.eval()
        found = super().predict(x)
        self.net.train()
        return found

    def outputs(self, x: Any) -> Any:
        return self.forward(self.net, x)


def make(workload: str, x: np.ndarray, y: np.ndarray, compiled: bool = False) -> OnFlax:
    return OnFlax(workload, x, y)
