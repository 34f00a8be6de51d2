"""How often intervals and promises hold where test pictures come in groups, over a grid of simulations.

`python -m benchmarks groups`: right or wrong answers are drawn so that those of one group are alike (a hidden
normal ease of each group, whose share of the variance is the correlation), 1,000 times for each row. The
interval of the accuracy should hold the truth in 95 of 100; beside it the interval that takes each picture by
itself. Sets from a validation part of such groups should hold the truth of as many new pictures as was asked
for, in 95 of 100 parts.
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
    ("5 groups of 60, 100 alone", [60] * 5 + [1] * 100, 0.8, 0.9),
    ("1 group of 50, 50 of 2", [50] + [2] * 50, 0.9, 0.9),
    ("20 pairs, 200 alone", [2] * 20 + [1] * 200, 0.9, 0.9),
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


def eases(sizes: list[int], alike: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a standard normal ease of each picture, and its group: two of a group correlate by `alike`."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    common = generator.normal(size=len(sizes))[groups]
    return math.sqrt(alike) * common + math.sqrt(1 - alike) * generator.normal(size=len(groups)), groups


def intervals(sizes: list[int], accuracy: float, alike: float) -> tuple[float, float]:
    """Return how often the interval holds the accuracy, and that of pictures taken by themselves."""
    generator = np.random.default_rng(0)
    held = alone = 0
    for _ in range(DRAWS):
        ease, groups = eases(sizes, alike, generator)
        right = ease < norm.ppf(accuracy)
        low, high = clustered.share_interval(right, groups)
        held += low <= accuracy <= high
        low, high = wilson(int(right.sum()), len(right))
        alone += low <= accuracy <= high
    return held / DRAWS, alone / DRAWS


def promises(sizes: list[int], coverage: float, alike: float) -> tuple[float, float, float]:
    """Return how often a coverage is promised with confidence, how often such a promise is kept, and that of
    pictures taken by themselves."""
    generator = np.random.default_rng(0)
    made = kept = alone = 0
    for _ in range(DRAWS):
        scores, groups = eases(sizes, alike, generator)
        independent = conformal.independent(scores, coverage, groups)
        threshold = conformal.threshold(scores, coverage, independent)
        if threshold is not None and independent >= conformal.surest(coverage):
            made += 1
            kept += norm.cdf(threshold) >= coverage
        naive = conformal.threshold(scores, coverage)
        alone += naive is not None and norm.cdf(naive) >= coverage
    return made / DRAWS, kept / max(made, 1), alone / DRAWS


def main() -> None:
    """Print a row for each case."""
    print(f"{'percent':28} {'accuracy':>9} {'alike':>6} {'held':>6} {'by themselves':>14}")
    for name, sizes, accuracy, alike in ACCURACIES:
        held, alone = intervals(sizes, accuracy, alike)
        print(
            f"{name:28} {100 * accuracy:9.0f} {alike:6.1f} {100 * held:6.1f} {100 * alone:14.1f}", flush=True
        )
    print(f"\n{'percent':28} {'coverage':>9} {'alike':>6} {'made':>6} {'kept':>6} {'by themselves':>14}")
    for name, sizes, coverage, alike in COVERAGES:
        made, kept, alone = promises(sizes, coverage, alike)
        print(
            f"{name:28} {100 * coverage:9.0f} {alike:6.1f} {100 * made:6.1f} "
            f"{100 * kept if made else math.nan:6.1f} {100 * alone:14.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
