"""Repeats compared: is one recipe better than the other over several seeds and splits?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from linnaea.errors import DataError
from linnaea.evaluation import clustered
from linnaea.evaluation.comparison import LEVEL, Comparison, compare, matching_rows
from linnaea.evaluation.predictions import Predictions


@dataclass(frozen=True)
class RepeatedComparison:
    """Two recipes, a and b, each run n times; run i of both was tested on the same pictures.

    difference, low, high: float
        Mean accuracy of a minus mean accuracy of b, -1..1, with its 95 % interval.
    deviation: float
        Of the differences run by run (n - 1).
    p_value: float
        Of Student's t, two-sided, for no difference.
    """

    n: int
    difference: float
    low: float
    high: float
    deviation: float
    p_value: float

    @property
    def decided(self) -> bool:
        """Whether the repeats say that chance alone does not explain the difference."""
        return not self.low <= 0 <= self.high


def compare_repeats(
    a: Sequence[Predictions],
    b: Sequence[Predictions],
    learned: Sequence[int],
    *,
    common: bool = False,
) -> RepeatedComparison:
    """Compare two recipes run by run: run i of a with run i of b, on the same pictures.

    learned: sequence of int
        How many pictures each run learned from.

    The variance of the mean difference is that of Nadeau and Bengio (2003, Mach. Learn. 52:239-281) where the
    runs were tested on different pictures: (1/n + tested/learned) times the variance of the differences,
    because their training sets overlap. Where all were tested on one set it is variance/n, to which the
    variance from the pictures of that set is added: other seeds do not show what other pictures would.
    The variance of the differences is taken for no less than which pictures a set happens to hold gives by
    itself: two repeats that differ by one picture each would else claim certainty.

    Raises DataError for other numbers of runs, fewer than two, and as compare does.
    """
    if len(a) != len(b) or len(a) < 2:
        raise DataError(
            f"There are {len(a)} and {len(b)} evaluated runs to compare.",
            "Repeat both recipes equally often, twice or more.",
        )
    results = [compare(x, y, common=common) for x, y in zip(a, b, strict=True)]
    differences = np.array([result.difference for result in results])
    n, deviation = len(results), float(differences.std(ddof=1))
    if _one_test_set(a) and _one_test_set(b):
        variance = deviation**2 / n + _variance_of_pictures(a, b)
    else:
        tested = float(np.mean([result.n for result in results]))
        least = float(np.mean([_variance_by_chance(result) for result in results]))
        variance = max(deviation**2, least) * (1 / n + tested / float(np.mean(learned)))
    mean, error = float(differences.mean()), math.sqrt(variance)
    half = float(scipy.stats.t.ppf((1 + LEVEL) / 2, n - 1)) * error
    p_value = float(2 * scipy.stats.t.sf(abs(mean) / error, n - 1)) if error else float(mean == 0)
    return RepeatedComparison(n, mean, mean - half, mean + half, deviation, p_value)


def _one_test_set(tables: Sequence[Predictions]) -> bool:
    """Tell whether all runs were tested on the same pictures, content and all."""
    held = {frozenset(zip(table.paths, table.hashes or table.paths, strict=True)) for table in tables}
    return len(held) == 1


def _variance_by_chance(result: Comparison) -> float:
    """Return the variance of a difference of two accuracies that its pictures give (McNemar's)."""
    discordant = (result.only_a + result.only_b) / result.n
    return (discordant - result.difference**2) / result.independent


def _variance_of_pictures(a: Sequence[Predictions], b: Sequence[Predictions]) -> float:
    """Return the variance of the mean difference that comes from which pictures are in the test set."""
    rows_a, rows_b = _rows_in_order(a[0], b[0])
    gains = np.mean([_gains(x, y) for x, y in zip(a, b, strict=True)], axis=0)
    groups = clustered.joined(a[0].groups_of(rows_a), b[0].groups_of(rows_b))
    variance = clustered.variance_of_mean(gains, groups)
    # Of a single picture there is none, and none is added.
    return 0.0 if math.isnan(variance) else variance


def _gains(x: Predictions, y: Predictions) -> np.ndarray:
    """Return 1 for each picture of both that x alone names right, -1 where y alone does, else 0."""
    rows_x, rows_y = _rows_in_order(x, y)
    return (x.predicted == x.true)[rows_x].astype(np.float64) - (y.predicted == y.true)[rows_y]


def _rows_in_order(x: Predictions, y: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of x and of y that hold the same pictures, in the order of x's paths.

    Each run lists the same pictures, though perhaps in another order.
    """
    rows_x, rows_y = matching_rows(x, y, common=True)
    order = sorted(range(len(rows_x)), key=lambda place: x.paths[rows_x[place]])
    return rows_x[order], rows_y[order]
