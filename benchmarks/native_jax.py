"""The workloads of `keras_api.py` as a JAX user writes them by hand, with Optax: functions of trees of parameters.

A step is one program that is given its own state back; batches are cut from NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax, nn
from peers import SETTINGS, Batches, Peer, Setting

Tree = Any
RNG = np.random.default_rng(0)

# parameters


def glorot(*shape: int) -> np.ndarray:
    limit = np.sqrt(6 / (np.prod(shape[:-2]) * (shape[-2] + shape[-1])))
    return RNG.uniform(-limit, limit, shape).astype("float32")


def embedding(*shape: int) -> np.ndarray:
    return RNG.uniform(-0.05, 0.05, shape).astype("float32")


def affine(*shape: int) -> Tree:
    return {"kernel": glorot(*shape), "bias": np.zeros(shape[-1], "float32")}


def scaling(width: int) -> Tree:
    return {"scale": np.ones(width, "float32"), "bias": np.zeros(width, "float32")}


def stack(*widths: int) -> Tree:
    return [affine(*pair) for pair in pairwise(widths)]


def recurrence(gates: int, units: int, biases: tuple[int, ...] = ()) -> Tree:
    orthogonal = np.linalg.qr(RNG.normal(size=(gates * units, units)))[0].T
    bias = np.zeros((*biases, gates * units), "float32")
    if gates == 4:
        bias[units : 2 * units] = 1  # of the forget gate
    return {"kernel": glorot(units, gates * units), "recurrent": orthogonal.astype("float32"), "bias": bias}


def block(width: int, inner: int) -> Tree:
    return {
        "mix": affine(width, 3 * width),
        "out": affine(width, width),
        "feed": stack(width, inner, width),
        "norms": [scaling(width) for _ in range(2)],
    }


# layers


def dense(p: Tree, x: jax.Array) -> jax.Array:
    return x @ p["kernel"] + p["bias"]


def feed(layers: Tree, x: jax.Array, activation: Callable[..., jax.Array] = nn.relu) -> jax.Array:
    for p in layers[:-1]:
        x = activation(dense(p, x))
    return dense(layers[-1], x)


def conv(kernel: jax.Array, x: jax.Array, stride: int = 1, padding: str = "VALID") -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def pool(x: jax.Array) -> jax.Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def scaled(p: Tree, x: jax.Array, mean: jax.Array, variance: jax.Array) -> jax.Array:
    return (x - mean) * lax.rsqrt(variance + 1e-3) * p["scale"] + p["bias"]


def layer_norm(p: Tree, x: jax.Array) -> jax.Array:
    return scaled(p, x, x.mean(-1, keepdims=True), x.var(-1, keepdims=True))


def attention(p: Tree, x: jax.Array, heads: int, causal: bool = False) -> jax.Array:
    q, k, v = jnp.split(dense(p["mix"], x).reshape(*x.shape[:2], 3 * heads, -1), 3, 2)  # (batch, time, heads, width)
    return dense(p["out"], nn.dot_product_attention(q, k, v, is_causal=causal).reshape(x.shape))


gelu = partial(nn.gelu, approximate=False)


def lstm(p: Tree, x: jax.Array) -> jax.Array:
    def step(state: Any, x: jax.Array) -> Any:
        h, c = state
        i, f, g, o = jnp.split(dense(p, x) + h @ p["recurrent"], 4, -1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
        return (nn.sigmoid(o) * jnp.tanh(c), c), None

    zero = jnp.zeros((len(x), len(p["recurrent"])))
    return lax.scan(step, (zero, zero), x.swapaxes(0, 1))[0][0]


def gru(p: Tree, x: jax.Array) -> jax.Array:
    def step(h: jax.Array, x: jax.Array) -> Any:
        xz, xr, xg = jnp.split(x @ p["kernel"] + p["bias"][0], 3, -1)
        hz, hr, hg = jnp.split(h @ p["recurrent"] + p["bias"][1], 3, -1)
        z = nn.sigmoid(xz + hz)
        return z * h + (1 - z) * jnp.tanh(xg + nn.sigmoid(xr + hr) * hg), None

    return lax.scan(step, jnp.zeros((len(x), len(p["recurrent"]))), x.swapaxes(0, 1))[0]


def bilstm(p: Tree, x: jax.Array) -> jax.Array:
    return jnp.concatenate([lstm(p["ahead"], x), lstm(p["back"], x[:, ::-1])], -1)


# networks


def words(recurrent: Callable[..., jax.Array], p: Tree, x: jax.Array) -> jax.Array:
    return dense(p["head"], recurrent(p["recurrent"], p["embedding"][x]))


def words_tree(recurrent: Tree, width: int = 32) -> Tree:
    return {"embedding": embedding(10_000, 32), "recurrent": recurrent, "head": affine(width, 1)}


def cifar(p: Tree, x: jax.Array) -> jax.Array:
    for i, layer in enumerate(p["convs"]):
        x = nn.relu(conv(layer["kernel"], x if i == 0 else pool(x)) + layer["bias"])
    return feed(p["head"], x.reshape(len(x), -1))


def cifar_tree() -> Tree:
    return {"convs": [affine(3, 3, i, o) for i, o in ((3, 32), (32, 64), (64, 64))], "head": stack(1024, 64, 10)}


def transformer(p: Tree, x: jax.Array) -> jax.Array:
    h = p["embedding"][x]
    for b in p["blocks"]:
        h = layer_norm(b["norms"][0], h + attention(b, h, 4))
        h = layer_norm(b["norms"][1], h + feed(b["feed"], h, gelu))
    return dense(p["head"], h.mean(1))


def transformer_tree() -> Tree:
    blocks = [block(128, 512) for _ in range(2)]
    return {"embedding": embedding(5000, 128), "blocks": blocks, "head": affine(128, 2)}


def gpt(p: Tree, x: jax.Array) -> jax.Array:
    h = p["embedding"][x] + p["positions"]
    for b in p["blocks"]:
        h = h + attention(b, layer_norm(b["norms"][0], h), 8, causal=True)
        h = h + feed(b["feed"], layer_norm(b["norms"][1], h), gelu)
    return dense(p["head"], layer_norm(p["norm"], h))


def gpt_tree() -> Tree:
    return {
        "embedding": embedding(96, 256),
        "positions": embedding(256, 256),
        "blocks": [block(256, 1024) for _ in range(4)],
        "norm": scaling(256),
        "head": affine(256, 96),
    }


def resnet(p: Tree, stats: Tree, x: jax.Array, training: bool) -> tuple[jax.Array, Tree]:
    layers, new = zip(p["convs"], stats, strict=True), []

    def normed(x: jax.Array, stride: int = 1, relu: bool = True) -> jax.Array:
        layer, old = next(layers)
        x = conv(layer["kernel"], x, stride, "SAME")
        now = {"mean": x.mean((0, 1, 2)), "variance": x.var((0, 1, 2))} if training else old
        new.append(jax.tree.map(lambda a, b: 0.99 * a + 0.01 * b, old, now))
        x = scaled(layer, x, **now)
        return nn.relu(x) if relu else x

    x = normed(x)
    for i in range(9):
        stride = 2 if i in (3, 6) else 1
        shortcut = normed(x, stride, relu=False) if stride == 2 else x
        x = nn.relu(normed(normed(x, stride), relu=False) + shortcut)
    return dense(p["head"], x.mean((1, 2))), new


def resnet_tree() -> Tree:
    shapes, last = [(3, 3, 3, 16)], 16
    for i in range(9):
        width = 16 * 2 ** (i // 3)
        shapes += [(1, 1, last, width)] if width > last else []
        shapes += [(3, 3, last, width), (3, 3, width, width)]
        last = width
    return {"convs": [{"kernel": glorot(*s), **scaling(s[-1])} for s in shapes], "head": affine(64, 10)}


def gan(p: Tree, stats: Tree, real: jax.Array, training: bool) -> tuple[jax.Array, Tree]:
    """The loss of both networks, each of which learns from its own part."""
    key, noise = jax.random.split(stats)
    judge = partial(feed, activation=partial(nn.leaky_relu, negative_slope=0.2))
    made = judge(p["maker"], jax.random.normal(noise, (64, 16)))
    judging = nn.softplus(-judge(p["judge"], real)).mean()
    judging += nn.softplus(judge(p["judge"], lax.stop_gradient(made))).mean()
    return judging + nn.softplus(-judge(lax.stop_gradient(p["judge"]), made)).mean(), key


def pure(net: Callable[..., jax.Array]) -> Callable[..., tuple[jax.Array, Tree]]:
    """A network without statistics, in the form of one that has some."""
    return lambda p, stats, x, training: (net(p, x), stats)


NETS: dict[str, tuple[Callable[[], Tree], Callable[..., tuple[jax.Array, Tree]]]] = {
    "iris": (lambda: stack(4, 16, 3), pure(feed)),
    "mlp": (lambda: stack(784, 128, 10), pure(feed)),
    "mlp_512": (lambda: stack(784, 512, 10), pure(feed)),
    "cifar": (cifar_tree, pure(cifar)),
    "lstm": (lambda: words_tree(recurrence(4, 32)), pure(partial(words, lstm))),
    "gru": (lambda: words_tree(recurrence(3, 32, (2,))), pure(partial(words, gru))),
    "bilstm": (
        lambda: words_tree({"ahead": recurrence(4, 32), "back": recurrence(4, 32)}, 64),
        pure(partial(words, bilstm)),
    ),
    "transformer": (transformer_tree, pure(transformer)),
    "resnet": (resnet_tree, resnet),
    "gpt": (gpt_tree, pure(gpt)),
    "tabular": (lambda: stack(64, 128, 64, 1), pure(feed)),
    "gan": (lambda: {"maker": stack(16, 64, 64, 2), "judge": stack(2, 64, 64, 1)}, gan),
}
NETS["generator"] = NETS["mlp"]


def first_statistics(workload: str, params: Tree) -> Tree:
    if workload == "gan":
        return jax.random.key(0)
    if workload == "resnet":
        return [{"mean": np.zeros_like(c["bias"]), "variance": np.ones_like(c["bias"])} for c in params["convs"]]
    return ()


# training

OPTIMIZERS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "adam": lambda: optax.adam(1e-3, eps=1e-7),
    "rmsprop": lambda: optax.rmsprop(1e-3, decay=0.9, eps=1e-7),
    "sgd": lambda: optax.sgd(0.05, momentum=0.9),
}


def losses(setting: Setting, out: jax.Array, y: jax.Array) -> jax.Array:
    """The loss of each row."""
    if setting.loss == "own":
        return out
    if setting.loss == "binary":
        return optax.sigmoid_binary_cross_entropy(out, y)
    return optax.softmax_cross_entropy_with_integer_labels(out, y)


def hits(setting: Setting, out: jax.Array, y: jax.Array) -> jax.Array:
    """How often the network is right."""
    return ((out > 0) == (y > 0.5)).sum() if setting.loss == "binary" else (out.argmax(-1) == y).sum()


def probabilities(setting: Setting, out: jax.Array) -> jax.Array:
    if not setting.squash:
        return out
    return nn.sigmoid(out) if setting.loss == "binary" else nn.softmax(out)


def nothing() -> tuple[jax.Array, jax.Array]:
    """No loss and no hits yet."""
    return jnp.zeros(()), jnp.zeros((), "int32")


class OnJax(Peer):
    def __init__(self, workload: str, x: np.ndarray, y: np.ndarray) -> None:
        self.data = Batches.of(workload, x, y)
        setting, (tree, net) = SETTINGS[workload], NETS[workload]
        optimizer = OPTIMIZERS[setting.optimizer]()
        params = jax.tree.map(jnp.array, tree())
        self.state = (params, first_statistics(workload, params), optimizer.init(params))
        self.sums = nothing()
        self.parameters = sum(p.size for p in jax.tree.leaves(params))

        @partial(jax.jit, donate_argnums=(0, 1))
        def step(state: Any, sums: Any, x: jax.Array, y: jax.Array) -> Any:
            params, stats, slots = state

            def loss(params: Tree) -> Any:
                out, new = net(params, stats, x, True)
                return losses(setting, out, y).mean(), (out, new)

            (value, (out, stats)), grads = jax.value_and_grad(loss, has_aux=True)(params)
            updates, slots = optimizer.update(grads, slots, params)
            right = sums[1] + hits(setting, out, y) if setting.accuracy else sums[1]
            return (optax.apply_updates(params, updates), stats, slots), (sums[0] + value * len(x), right)

        @jax.jit
        def outputs(params: Tree, stats: Tree, x: jax.Array) -> jax.Array:
            return probabilities(setting, net(params, stats, x, False)[0])

        self.train, self.forward = step, outputs

    def step(self, x: Any, y: Any) -> None:
        self.state, self.sums = self.train(self.state, self.sums, x, y)

    def read(self) -> float:
        (loss, _), self.sums = jax.device_get(self.sums), nothing()
        return float(loss) / len(self.data.x)

    def outputs(self, x: Any) -> Any:
        return self.forward(*self.state[:2], x)


def make(workload: str, x: np.ndarray, y: np.ndarray, compiled: bool = False) -> OnJax:
    return OnJax(workload, x, y)
