"""What MLPClassifier's settings may be; checked before any data is looked at."""

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from linnaea.classifiers.common.schedules import SCHEDULES
from linnaea.classifiers.perceptron.initialisers import INITIALISERS
from linnaea.classifiers.perceptron.layers import ACTIVATIONS
from linnaea.classifiers.perceptron.losses import LOSSES
from linnaea.classifiers.perceptron.solvers import SOLVERS
from linnaea.errors import SettingError, did_you_mean

DTYPES = ("float32", "float64")
AUGMENTATIONS = ("digits",)
KEEP = ("best", "last")


def check_settings(settings: dict[str, Any]) -> None:
    """Raise SettingError for the first of these settings whose value is refused."""
    for name in settings.keys() & _NUMBERS.keys():
        expected, accepts = _NUMBERS[name]
        if not accepts(settings[name]):
            raise SettingError(f"{name} must be {expected}; received {settings[name]!r}.")
    for name in settings.keys() & _NAMES.keys():
        value, known = settings[name], _NAMES[name]
        if value not in known:
            cure = did_you_mean(str(value), [str(k) for k in known])
            raise SettingError(f"{name} {value!r} is not known.", cure)
    if "hidden_layer_sizes" in settings:
        hidden_sizes(settings["hidden_layer_sizes"])
    weight = settings.get("class_weight")
    if not (weight is None or isinstance(weight, dict) or (isinstance(weight, str) and weight == "balanced")):
        raise SettingError(f"class_weight must be None, 'balanced' or a dict; received {weight!r}.")


def hidden_sizes(value: Any) -> tuple[int, ...]:
    """Return the hidden sizes as a tuple; one integer means one hidden layer, () means none."""
    sizes = (value,) if isinstance(value, Integral) else value
    try:
        sizes = tuple(sizes)
    except TypeError:
        sizes = (None,)
    if not all(_integer(1)(size) for size in sizes):
        raise SettingError(
            f"hidden_layer_sizes must be integers of 1 or more; received {value!r}.",
            "Give the units of each hidden layer, (500, 500) for two layers.",
        )
    return tuple(int(size) for size in sizes)


def _integer(low: int) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, Integral) and not isinstance(v, bool) and int(v) >= low


def _real(low: float, high: float = math.inf, *, open_low: bool = False) -> Callable[[Any], bool]:
    # high itself is out; NaN fails every comparison.
    def accepts(v: Any) -> bool:
        if not isinstance(v, Real) or isinstance(v, bool):
            return False
        return (low < float(v) if open_low else low <= float(v)) and float(v) < high

    return accepts


_above_zero = _real(0, open_low=True)
_NUMBERS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "learning_rate": ("a number above 0", _above_zero),
    "batch_size": ("an integer of 1 or more", _integer(1)),
    "epochs": ("an integer of 0 or more", _integer(0)),
    "momentum": ("a number from 0 to below 1", _real(0, 1)),
    "warmup_epochs": ("a number of 0 or more", _real(0)),
    "l2": ("a number of 0 or more", _real(0)),
    "dropout": ("a number from 0 to below 1", _real(0, 1)),
    "input_dropout": ("a number from 0 to below 1", _real(0, 1)),
    "max_norm": ("None or a number above 0", lambda v: v is None or _above_zero(v)),
    "patience": ("an integer of 0 or more", _integer(0)),
    "validation_fraction": ("a number above 0 and below 1", _real(0, 1, open_low=True)),
}
_NAMES: dict[str, tuple[Any, ...]] = {
    "activation": tuple(ACTIVATIONS),
    "loss": tuple(LOSSES),
    "solver": tuple(SOLVERS),
    "init": INITIALISERS,
    "schedule": SCHEDULES,
    "augment": (None, *AUGMENTATIONS),
    "dtype": DTYPES,
    "keep": KEEP,
}
