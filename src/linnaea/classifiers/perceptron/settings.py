"""Settings of a perceptron in the form that its training uses."""

from numbers import Integral
from typing import Any

import numpy as np

from linnaea.errors import SettingError
from linnaea.settings import MLP, PARAMETERS


def hidden_sizes(value: Any) -> tuple[int, ...]:
    """Return the hidden sizes as a tuple; one integer means one hidden layer, () means none."""
    PARAMETERS["hidden_layer_sizes"].check(value, MLP, name="hidden_layer_sizes")
    return tuple(int(size) for size in ((value,) if isinstance(value, Integral) else value))


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
