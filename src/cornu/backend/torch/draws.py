"""Random numbers drawn on a CUDA device: Philox 4×32 of ten rounds (Salmon et al., 2011), one kernel for all bits.

The key is read on the device, where it is computed, so that the host never waits and a CUDA graph may draw. The
functions are those of `host_random`, on tensors; they draw other numbers from the same key.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import triton
import triton.language as tl

LANES = 512
"""Each of which draws four words."""


@triton.jit  # type: ignore[untyped-decorator]
def _philox(key, out, count, unit: tl.constexpr, lanes: tl.constexpr):  # type: ignore[no-untyped-def]
    seed = tl.load(key).to(tl.uint64) | (tl.load(key + 1).to(tl.uint64) << 32)
    block, lane = tl.program_id(0).to(tl.int64), tl.arange(0, lanes)
    a, b, c, d = tl.randint4x(seed, block * lanes + lane)
    at = block * lanes * 4 + lane
    _store(out, at, count, a, unit)
    _store(out, at + lanes, count, b, unit)
    _store(out, at + lanes * 2, count, c, unit)
    _store(out, at + lanes * 3, count, d, unit)


@triton.jit  # type: ignore[untyped-decorator]
def _store(out, at, count, word, unit: tl.constexpr):  # type: ignore[no-untyped-def]
    if unit:
        tl.store(out + at, (word.to(tl.uint32, bitcast=True) >> 8).to(tl.float32) * 5.9604644775390625e-08, at < count)
    else:
        tl.store(out + at, word.to(tl.int32, bitcast=True), at < count)


def _drawn(key: torch.Tensor, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    out = torch.empty(tuple(shape), dtype=dtype, device=key.device)
    if out.numel():
        with torch.cuda.device(key.device):
            blocks = triton.cdiv(out.numel(), 4 * LANES)
            _philox[(blocks,)](key.contiguous(), out, out.numel(), dtype is torch.float32, LANES)
    return out


def uniform(key: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """float32 in [0, 1), of 24 random bits each."""
    return _drawn(key, shape, torch.float32)


def normal(key: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Standard normal float32, by the inverse of their distribution function."""
    return math.sqrt(2) * torch.erfinv(2 * uniform(key, shape) - (1 - 2**-24))


def truncated_normal(key: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Standard normal numbers within [-2, 2], likewise."""
    most = math.erf(math.sqrt(2))
    return torch.clamp(math.sqrt(2) * torch.erfinv((2 * uniform(key, shape) - 1) * most), -2, 2)


def integers(key: torch.Tensor, shape: Sequence[int], low: int, high: int) -> torch.Tensor:
    """int64 in [low, high): 63 random bits modulo their number, whose bias is below 2⁻⁶³ times that number."""
    words = _drawn(key, (*shape, 2), torch.int32).view(torch.int64)[..., 0]
    return torch.remainder(words & (2**63 - 1), high - low) + low


def permutation(key: torch.Tensor, size: int) -> torch.Tensor:
    """The ints below `size`, shuffled: the order of as many random words."""
    return torch.argsort(_drawn(key, (size, 2), torch.int32).view(torch.int64)[:, 0])
