"""What FineTuneClassifier's settings may be, each and together; checked before any picture is looked at."""

from typing import Any

from linnaea.errors import SettingError
from linnaea.settings import PRETRAINED, check


def check_settings(settings: dict[str, Any]) -> None:
    """Raise SettingError that names every setting whose value is refused, or two that do not go together."""
    check(settings, PRETRAINED)
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
