"""A network beside its baselines: is it better than what costs nothing, or worse?"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from linnaea.evaluation.comparison import LEVEL, compare_answers
from linnaea.evaluation.intervals import wilson


def difference(
    right: np.ndarray, right_of_baseline: np.ndarray, groups: np.ndarray | None
) -> dict[str, float]:
    """Return a network's accuracy minus a baseline's, for run.json, both on the same test pictures.

    right, right_of_baseline: bool (n,); groups: see clustered

    {"difference", "low", "high", "p_value"}: see comparison.Comparison.
    """
    result = compare_answers(right, right_of_baseline, groups)
    return {name: getattr(result, name) for name in ("difference", "low", "high", "p_value")}


def unpaired_difference(accuracy: Mapping[str, Any], of_baseline: float) -> dict[str, float] | None:
    """Return the same of a run that did not record which pictures its baseline had right; without a p value.

    accuracy: the entry of metrics.json. None where that has no interval.

    Newcombe's interval of unpaired shares (1998, Stat. Med. 17:873-890, method 10): wider than a paired one,
    as a network and a baseline are wrong on the same pictures as a rule.
    """
    value, low, high, pictures = (accuracy.get(name) for name in ("value", "low", "high", "pictures"))
    if value is None or low is None or high is None or not pictures:
        return None
    trials = accuracy.get("independent") or pictures
    low_b, high_b = wilson(of_baseline * trials, trials)
    apart = value - of_baseline
    return {
        "difference": apart,
        "low": apart - math.hypot(value - low, high_b - of_baseline),
        "high": apart + math.hypot(high - value, of_baseline - low_b),
    }


def decided(of: Mapping[str, float]) -> bool:
    """Return whether a difference is more than chance explains, as comparison.Comparison.decided."""
    return of.get("p_value", 0.0) < 1 - LEVEL and not of["low"] <= 0 <= of["high"]
