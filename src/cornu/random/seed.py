"""Where randomness comes from: one seed for the run, and generators that are variables of the state."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

import numpy as np

from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base import config
from cornu.base.errors import ArgumentError
from cornu.core.configurable import Configurable
from cornu.core.names import auto_name
from cornu.core.variable import Variable


class _Run:
    """The run's seed, and how many seeds were drawn from it."""

    seed: int = secrets.randbits(32)
    drawn: int = 0
    generators: ClassVar[dict[str, SeedGenerator]] = {}


def set_run_seed(seed: int) -> None:
    """Begin a run whose every random choice follows from `seed`."""
    _Run.seed, _Run.drawn, _Run.generators = seed, 0, {}


def run_position() -> tuple[int, int]:
    """The run's seed, and how many seeds were drawn from it."""
    return _Run.seed, _Run.drawn


def set_run_position(seed: int, drawn: int) -> None:
    """Go on where `run_position` was; generators stay as they are."""
    _Run.seed, _Run.drawn = seed, drawn


def next_seed() -> int:
    """The run's next seed: an int below 2³²."""
    _Run.drawn += 1
    return int(np.random.SeedSequence([_Run.seed, _Run.drawn]).generate_state(1)[0])


class SeedGenerator(Configurable):
    """A seed and a counter, kept in a variable: each draw uses up one count.

    `seed` is an int below 2³², or None for one drawn from the run's. Pass it as `seed` to the functions of
    `cornu.random`; as an attribute of a layer it is saved and restored with the layer.
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs: Any) -> None:
        if kwargs:
            raise ArgumentError(f"SeedGenerator has no argument {', '.join(map(repr, kwargs))}.")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0):
            raise ArgumentError(f"seed should be a non-negative int or None, got {seed!r}.")
        self.name = name or auto_name("seed_generator")
        self.seed = None if seed is None else int(seed)
        start = next_seed() if seed is None else int(seed) % 2**32
        self.state = Variable(
            lambda shape, dtype: np.array([start, 0], "uint32"),
            shape=(2,),
            dtype="uint32",
            trainable=False,
            name="seed_generator_state",
        )

    def next(self, ordered: bool = True) -> Array:
        """The next key: two uint32."""
        key = self.state._read()
        self.state.assign(B.add(key, B.convert([0, 1], "uint32")))
        return key

    def get_config(self) -> dict[str, Any]:
        """The seed."""
        return {"seed": self.seed}


def global_generator() -> SeedGenerator:
    """The current backend's generator for draws that name none."""
    backend = config.backend()
    if backend not in _Run.generators:
        _Run.generators[backend] = SeedGenerator(int(np.random.SeedSequence(_Run.seed).generate_state(1)[0]))
    return _Run.generators[backend]


def draw_key(seed: int | SeedGenerator | None) -> Array:
    """A key of two uint32 from an int (always the same), a generator (the next), or None (the run's generator)."""
    if seed is None:
        return global_generator().next()
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool):
        return B.convert(np.array([int(seed) % 2**32, 0], "uint32"))
    if hasattr(seed, "shape") and tuple(seed.shape) == (2,):
        return B.convert(seed, "uint32")
    raise ArgumentError(f"seed should be an int, a SeedGenerator or None, got {seed!r}.")
