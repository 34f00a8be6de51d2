"""One rule for randomness: a stream is named by (seed, purpose, epoch, index), never shared.

So the order of work, the number of workers and a restart change nothing (NumPy's SeedSequence,
O'Neill 2015, "Developing a seed_seq alternative").
"""

from enum import IntEnum
from numbers import Integral
from typing import Any

import numpy as np

from linnaea.errors import SettingError


class Purpose(IntEnum):
    """What a stream is for. Numbers are part of every recorded run: never renumber."""

    SPLIT = 0
    WEIGHTS = 1
    SHUFFLE = 2
    DROPOUT = 3
    AUGMENT = 4
    VALIDATION = 5
    BOOTSTRAP = 6
    SUBSET = 7


def stream(seed: int, purpose: Purpose, epoch: int = 0, index: int = 0) -> np.random.Generator:
    """Return the generator for one purpose, epoch and index (a batch, say) under one seed."""
    return np.random.default_rng(np.random.SeedSequence([seed, int(purpose), epoch, index]))


def seed_from(random_state: Any) -> int:
    """Return the seed: an integer is its own, a RandomState gives its next number, None asks the system."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if isinstance(random_state, Integral) and int(random_state) >= 0:
        return int(random_state)
    raise SettingError(
        f"random_state must be None, an integer of 0 or more, or a RandomState; received {random_state!r}."
    )
