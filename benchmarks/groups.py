"""How often intervals and guarantees hold if test pictures come in groups, over a grid of simulations.

`python -m benchmarks groups`: right and wrong answers are drawn so that those of one group are correlated
(each group has a hidden, normally distributed difficulty, whose share of the variance is the correlation),
1,000 times for each row. The interval of the accuracy should contain the true value in 95 of 100 cases; an
interval that counts each picture by itself stands beside it. Prediction sets from such a validation set
should cover the true class of as many new pictures as was asked, in 95 of 100 validation sets.
"""

import math

import numpy as np
from scipy.stats import norm

from linnaea.evaluation import clustered, conformal
from linnaea.evaluation.intervals import wilson

DRAWS = 1000
# Sizes of the groups, the true accuracy, the correlation within a group.
ACCURACIES = [
    ("30 groups of 10", [10] * 30, 0.85, 0.5),
    ("30 groups of 10", [10] * 30, 0.95, 0.9),
    ("30 groups of 10", [10] * 30, 0.98, 0.9),
    ("30 groups of 10", [10] * 30, 0.85, 0.0),
    ("10 groups of 30", [30] * 10, 0.95, 0.5),
    ("5 groups of 40", [40] * 5, 0.9, 0.5),
    ("100 groups of 10", [10] * 100, 0.95, 0.5),
    ("80 groups of 5", [5] * 80, 0.9, 0.3),
    ("30 groups of 1 to 30", list(range(1, 31)), 0.85, 0.5),
    ("5 groups of 60, 100 single pictures", [60] * 5 + [1] * 100, 0.8, 0.9),
    ("1 group of 50, 50 of 2", [50] + [2] * 50, 0.9, 0.9),
    ("20 pairs, 200 single pictures", [2] * 20 + [1] * 200, 0.9, 0.9),
]
# Sizes, the coverage asked for, the correlation.
COVERAGES = [
    ("100 groups of 10", [10] * 100, 0.95, 0.5),
    ("35 groups of 10", [10] * 35, 0.9, 0.5),
    ("35 groups of 10", [10] * 35, 0.95, 0.8),
    ("35 groups of 10", [10] * 35, 0.99, 0.8),
    ("20 groups of 30", [30] * 20, 0.95, 0.8),
    ("12 groups of 30", [30] * 12, 0.9, 0.8),
]


def difficulties(
    sizes: list[int], alike: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the normal difficulty of each picture, correlated by `alike` within a group, and its group."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    common = generator.normal(size=len(sizes))[groups]
    return math.sqrt(alike) * common + math.sqrt(1 - alike) * generator.normal(size=len(groups)), groups


def intervals(sizes: list[int], accuracy: float, alike: float) -> tuple[float, float]:
    """Return how often the interval contains the accuracy, and the same if each picture counts by itself."""
    generator = np.random.default_rng(0)
    held = alone = 0
    for _ in range(DRAWS):
        difficulty, groups = difficulties(sizes, alike, generator)
        right = difficulty < norm.ppf(accuracy)
        low, high = clustered.share_interval(right, groups)
        held += low <= accuracy <= high
        low, high = wilson(int(right.sum()), len(right))
        alone += low <= accuracy <= high
    return held / DRAWS, alone / DRAWS


def guarantees(sizes: list[int], coverage: float, alike: float) -> tuple[float, float, float]:
    """Return how often a coverage can be guaranteed with confidence, how often such a guarantee holds, and
    how often it would hold if each picture counted by itself."""
    generator = np.random.default_rng(0)
    made = kept = alone = 0
    for _ in range(DRAWS):
        scores, groups = difficulties(sizes, alike, generator)
        independent = conformal.independent(scores, coverage, groups)
        threshold = conformal.threshold(scores, coverage, independent)
        if threshold is not None and independent >= conformal.surest(coverage):
            made += 1
            kept += norm.cdf(threshold) >= coverage
        naive = conformal.threshold(scores, coverage)
        alone += naive is not None and norm.cdf(naive) >= coverage
    return made / DRAWS, kept / max(made, 1), alone / DRAWS


def main() -> None:
    """Print one row per case."""
    print(f"{'percent':28} {'accuracy':>9} {'alike':>6} {'held':>6} {'each by itself':>14}")
    for name, sizes, accuracy, alike in ACCURACIES:
        held, alone = intervals(sizes, accuracy, alike)
        print(
            f"{name:28} {100 * accuracy:9.0f} {alike:6.1f} {100 * held:6.1f} {100 * alone:14.1f}", flush=True
        )
    print(f"\n{'percent':28} {'coverage':>9} {'alike':>6} {'made':>6} {'kept':>6} {'each by itself':>14}")
    for name, sizes, coverage, alike in COVERAGES:
        made, kept, alone = guarantees(sizes, coverage, alike)
        print(
            f"{name:28} {100 * coverage:9.0f} {alike:6.1f} {100 * made:6.1f} "
            f"{100 * kept if made else math.nan:6.1f} {100 * alone:14.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
