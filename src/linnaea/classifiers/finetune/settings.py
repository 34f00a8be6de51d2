"""What FineTuneClassifier's settings may be; checked before any picture is looked at."""

import math
import re
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from linnaea.classifiers.common.saved import MAX_SIZE
from linnaea.classifiers.common.schedules import SCHEDULES
from linnaea.classifiers.finetune.augment import POLICIES
from linnaea.classifiers.finetune.batchnorm import BATCH_NORM
from linnaea.classifiers.finetune.device import PRECISIONS
from linnaea.classifiers.finetune.inference import TTA
from linnaea.classifiers.finetune.optimizers import SOLVERS
from linnaea.classifiers.finetune.preprocessing import VARIANTS
from linnaea.classifiers.perceptron.settings import KEEP
from linnaea.errors import SettingError, did_you_mean

SAMPLING = ("shuffle", "balanced")
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


def check_settings(settings: dict[str, Any]) -> None:
    """Raise SettingError for the first setting, by name, whose value is refused."""
    for name, (expected, accepts) in _NUMBERS.items():
        if not accepts(settings[name]):
            raise SettingError(f"{name} must be {expected}; received {settings[name]!r}.")
    for name, known in _NAMES.items():
        if settings[name] not in known:
            raise SettingError(
                f"{name} must be one of its known names; received {settings[name]!r}.",
                did_you_mean(str(settings[name]), known),
            )
    if not DEVICE.fullmatch(str(settings["device"])):
        raise SettingError(f"device must be auto, cpu, cuda, cuda:1 or mps; received {settings['device']!r}.")
    weight = settings["class_weight"]
    if not (weight is None or weight == "balanced" or isinstance(weight, dict)):
        raise SettingError(f"class_weight must be None, 'balanced' or a dict; received {weight!r}.")
    if settings["mixup"] + settings["cutmix"] > 1:
        raise SettingError(
            f"mixup {settings['mixup']} and cutmix {settings['cutmix']} are more than all batches together.",
            "Each is a share of the batches: choose two that sum to 1 at most.",
        )
    if settings["budget"] is not None and not settings["probe"]:
        raise SettingError(
            f"With a budget of {settings['budget']:g} seconds there must be a probe; received probe=False.",
            "Leave probe out: it is what fine-tuning must beat to be kept.",
        )


def _integer(low: int, high: float = math.inf) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, Integral) and not isinstance(v, bool) and low <= int(v) <= high


def _real(low: float, high: float = math.inf, *, open_low: bool = False) -> Callable[[Any], bool]:
    """Both ends belong to the range, but for infinity, and for low where open_low."""

    def accepts(value: Any) -> bool:
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            return False
        number = float(value)
        return (number > low if open_low else number >= low) and number <= high

    return accepts


def _or_none(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda v: v is None or accepts(v)


_share = ("a number from 0 to 1", _real(0, 1))
_below_one = ("a number from 0 to below 1", lambda v: _real(0, 1)(v) and v < 1)
_NUMBERS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "size": (f"None or an integer from 32 to {MAX_SIZE:,}", _or_none(_integer(32, MAX_SIZE))),
    "head_hidden": ("None or an integer of 1 or more", _or_none(_integer(1))),
    "dropout": _below_one,
    "head_first_epochs": ("an integer of 0 or more", _integer(0)),
    "views": ("a number from 1 to 1,000", _real(1, 1000)),
    "epochs": ("None or an integer of 0 or more", _or_none(_integer(0))),
    "batch_size": ("an integer of 1 or more", _integer(1)),
    "learning_rate": ("None or a number above 0", _or_none(_real(0, open_low=True))),
    "layer_decay": ("a number above 0 and at most 1", _real(0, 1, open_low=True)),
    "weight_decay": ("a number of 0 or more", _real(0)),
    "momentum": _below_one,
    "warmup_epochs": ("a number of 0 or more", _real(0)),
    "label_smoothing": _below_one,
    "crop_scale": ("a number above 0 and at most 1", _real(0, 1, open_low=True)),
    "colour_jitter": _share,
    "random_erasing": _share,
    "mixup": _share,
    "cutmix": _share,
    "first_size": (f"None or an integer from 32 to {MAX_SIZE:,}", _or_none(_integer(32, MAX_SIZE))),
    "ema": ("None or a number from 0 to below 1", _or_none(_below_one[1])),
    "clip_norm": ("None or a number above 0", _or_none(_real(0, open_low=True))),
    "accumulate": ("an integer of 1 or more", _integer(1)),
    "patience": ("an integer of 0 or more", _integer(0)),
    "budget": ("None or a number of seconds above 0", _or_none(_real(0, open_low=True))),
    "pictures_after": ("an integer of 0 or more", _integer(0)),
    "pictures_after_tuning": ("None or an integer of 0 or more", _or_none(_integer(0))),
}
_NAMES: dict[str, tuple[Any, ...]] = {
    "solver": SOLVERS,
    "schedule": SCHEDULES,
    "batch_norm": BATCH_NORM,
    "policy": POLICIES,
    "sampling": SAMPLING,
    "preprocessing": VARIANTS,
    "precision": PRECISIONS,
    "tta": TTA,
    "keep": KEEP,
}
