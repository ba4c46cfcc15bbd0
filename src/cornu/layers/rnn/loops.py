"""Whole loops of gated cells over (time, batch, features), with gradients of their own.

On XLA:CPU a step costs its number of small kernels, so whatever does not depend on the step before is computed for all
at once: the factors of the gradient and its products. One tanh serves the gates, σ(z) = (1 + tanh(z / 2)) / 2. Forwards
and backwards over 500 steps of 32 rows an LSTM takes 16 ms and not 23, a GRU 14 and not 19
(`benchmarks/kernels_rnn.py`). Halves are computed in float32, as XLA:CPU converts all that a loop keeps at each of its
steps: a training step of `lstm` under `mixed_bfloat16` took 640 ms, and takes 8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.dtypes import standardize_dtype
from cornu.ops.reduction import in_float32


def lstm_loop(reverse: bool, every: bool) -> Callable[..., Any]:
    """(xs, h, c, kernel, recurrent, bias) to (the outputs if `every`, h, c); gates i, f, g, o."""

    def forward(xs: Array, h: Array, c: Array, kernel: Array, recurrent: Array, bias: Array) -> tuple[Any, Any]:
        n, initial = h.shape[1], (h, c)
        scale, shift = (_by_gate(n, values, bias) for values in ((0.5, 0.5, 1, 0.5), (0.5, 0.5, 0, 0.5)))

        def step(state: tuple[Array, Array], projected: Array) -> tuple[Any, Any]:
            h, c = state
            gates = B.tanh((projected + B.matmul(h, recurrent)) * scale) * scale + shift
            i, f, g, o = _quarters(gates)
            c = f * c + i * g
            h = o * B.tanh(c)
            return (h, c), (gates, c, h if every else None)

        (h, c), kept = B.scan(step, initial, B.matmul(xs, kernel) + bias, xs.shape[0], reverse, 1)
        return (kept[2] if every else None, h, c), (xs, initial, kept, kernel, recurrent)

    def backward(kept: Any, gradients: Any) -> tuple[Array, ...]:
        xs, (first_h, first_c), (gates, cs, hs), kernel, recurrent = kept
        dys, dh, dc = gradients
        i, f, g, o = _quarters(gates)
        t = B.tanh(cs)
        hs = o * t if hs is None else hs  # at once, which takes a tenth off the two loops
        before = _before(cs, first_c, reverse)
        dc_dh = o * (1 - t * t)
        dz_ds = B.concatenate([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g), t * o * (1 - o)], -1)
        transposed = B.transpose(recurrent, (1, 0))

        def step(carry: tuple[Array, Array], at: Any) -> tuple[Any, Array]:
            dh, dc = carry
            dc_dh, dz_ds, f, dy = at
            dh = dh if dy is None else dh + dy
            dc = dc + dh * dc_dh
            dz = B.concatenate([dc, dc, dc, dh], -1) * dz_ds
            return (B.matmul(dz, transposed), dc * f), dz

        (dh, dc), dz = B.scan(step, (dh, dc), (dc_dh, dz_ds, f, dys), xs.shape[0], not reverse, 1)
        weights = [_product(a, dz) for a in (xs, _before(hs, first_h, reverse))]
        return B.matmul(dz, B.transpose(kernel, (1, 0))), dh, dc, *weights, B.sum(dz, axis=(0, 1))

    return in_float32(B.custom_gradient(forward, backward))


def gru_loop(reverse: bool, every: bool) -> Callable[..., Any]:
    """(xs, h, kernel, recurrent, bias (2, 3 units)) to (the outputs if `every`, h); gates z, r, and the candidate.

    Here the states alone are kept, and each step projects its own inputs: a product over all steps ahead of the loop
    would be cut up in it, which makes the loop forwards 2.5 times as long.
    """

    def parts(xs: Array, h: Array, kernel: Array, recurrent: Array, bias: Array) -> tuple[Array, ...]:
        """z, r, what r multiplies, and the candidate: of one step, or of all."""
        n, half = h.shape[-1], B.convert(0.5, standardize_dtype(bias.dtype))
        projected, product = B.matmul(xs, kernel) + bias[0], B.matmul(h, recurrent) + bias[1]
        gates = B.tanh((projected[..., : 2 * n] + product[..., : 2 * n]) * half) * half + half
        z, r, product = gates[..., :n], gates[..., n:], product[..., 2 * n :]
        return z, r, product, B.tanh(projected[..., 2 * n :] + r * product)

    def forward(xs: Array, first: Array, *weights: Array) -> tuple[Any, Any]:
        def step(h: Array, x: Array) -> tuple[Array, Array]:
            z, _, _, candidate = parts(x, h, *weights)
            h = candidate + z * (h - candidate)
            return h, h

        h, hs = B.scan(step, first, xs, xs.shape[0], reverse, 1)
        return (hs if every else None, h), (xs, first, hs, *weights)

    def backward(kept: Any, gradients: Any) -> tuple[Array, ...]:
        xs, first, hs, kernel, recurrent, bias = kept
        dys, dh = gradients
        before = _before(hs, first, reverse)
        z, r, product, candidate = parts(xs, before, kernel, recurrent, bias)
        by_candidate = (1 - z) * (1 - candidate * candidate)
        by_gates = [(before - candidate) * z * (1 - z), by_candidate * product * r * (1 - r)]
        dp_dh = B.concatenate([*by_gates, by_candidate * r], -1)
        transposed = B.transpose(recurrent, (1, 0))

        def step(dh: Array, at: Any) -> tuple[Array, Array]:
            dp_dh, z, dy = at
            dh = dh if dy is None else dh + dy
            return dh * z + B.matmul(B.concatenate([dh, dh, dh], -1) * dp_dh, transposed), dh

        dh, dhs = B.scan(step, dh, (dp_dh, z, dys), xs.shape[0], not reverse, 1)
        dhs = B.concatenate([dhs, dhs, dhs], -1)
        dx, dp = dhs * B.concatenate([*by_gates, by_candidate], -1), dhs * dp_dh
        by_bias = B.stack([B.sum(rows, axis=(0, 1)) for rows in (dx, dp)], 0)
        return B.matmul(dx, B.transpose(kernel, (1, 0))), dh, _product(xs, dx), _product(before, dp), by_bias

    return in_float32(B.custom_gradient(forward, backward))


def _product(a: Array, b: Array) -> Array:
    """aᵀ · b, summed over time and batch."""
    return B.matmul(B.transpose(B.reshape(a, (-1, a.shape[-1])), (1, 0)), B.reshape(b, (-1, b.shape[-1])))


def _quarters(x: Array) -> list[Array]:
    n = x.shape[-1] // 4
    return [x[..., k * n : (k + 1) * n] for k in range(4)]


def _by_gate(n: int, values: tuple[float, ...], like: Array) -> Array:
    return B.concatenate([B.full((n,), value, standardize_dtype(like.dtype)) for value in values], 0)


def _before(states: Array, first: Array, reverse: bool) -> Array:
    """The state that each step of (time, batch, units) began with."""
    first = B.expand_dims(first, 0)
    return B.concatenate([states[1:], first] if reverse else [first, states[:-1]], 0)
