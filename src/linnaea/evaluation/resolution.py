"""What so few test pictures cannot tell, and how many could: by the width of the interval."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from linnaea.evaluation.intervals import two_sided

# An accuracy whose interval is wider tells a good network from a bad one no more. That of one class serves to
# find the weak ones, and may be as wide as that of 10 right of 20.
WIDEST, WIDEST_OF_CLASS = 0.2, 0.405


def too_wide(metric: Mapping[str, Any], widest: float = WIDEST) -> bool:
    """Tell whether the 95 % interval of an entry of metrics.json is too wide to decide anything by."""
    low, high = metric.get("low"), metric.get("high")
    return low is not None and high is not None and high - low > widest


def pictures_needed(share: float, widest: float = WIDEST) -> int:
    """Return how many independent pictures give a share, 0 to 1, an interval of this width: a round number.

    share: the middle of a Wilson interval rather than the share itself, which of few pictures is often 1.
    """
    # The width of Wilson's interval, 2 z √(n p q + z²/4) / (n + z²), solved for n.
    squares = two_sided(0.95) ** 2
    width = widest**2
    linear = 2 * squares * width - 4 * squares * share * (1 - share)
    constant = squares**2 * (width - 1)
    number = (-linear + math.sqrt(linear**2 - 4 * width * constant)) / (2 * width)
    step = max(10 ** math.floor(math.log10(number) - 1), 10)
    return math.ceil(number / step) * step


def uncertain_classes(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the classes whose recall has too wide an interval, the fewest pictures first.

    rows: see metrics.per_class. A class without a test picture has no recall and is not among them.
    """
    found = []
    for row in rows:
        low, high = row["recall_interval"] or (None, None)
        if too_wide({"low": low, "high": high}, WIDEST_OF_CLASS):
            found.append(row)
    return sorted(found, key=lambda row: (row["pictures"], row["class"]))
