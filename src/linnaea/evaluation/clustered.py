"""Pictures that come in groups, and how many independent pictures carry as much information.

Thirty pictures of one plant are right or wrong together and tell less of new plants than thirty plants do.
Their variance is that of a cluster sample, and an interval for a share uses the number of independent
pictures that would have the same: the effective sample size (Kish 1965, Survey Sampling), with the variance
of a ratio estimator (Rao and Scott 1992, Biometrics 48:577-585) and the correction for few groups of Korn and
Graubard (1998, Survey Methodology 24:193-201). benchmarks/groups.py measures how often it covers the truth.

groups, everywhere: int (n,), equal for pictures that belong together; None where each stands alone.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import scipy  # whose modules are loaded when they are first used

from linnaea.evaluation.intervals import two_sided, wilson

# Of the pictures: where so large a share is independent, a few copies perhaps, nothing is reported.
_NEARLY_ALL = 0.95
# Factor of the variance over folds, for which there is no unbiased estimate (Bengio and Grandvalet 2004, JMLR
# 5:1089-1105). benchmarks/small_sets.py measured how often the interval holds with it.
OVERLAP = 1.5
# Weights of resampled pictures that are held at once: 32 MiB; and random numbers: 8 MiB.
CELLS, _DRAWS = 1 << 24, 1 << 20


def numbered(names: Sequence[str]) -> np.ndarray | None:
    """Return the groups that are named so; "" stands alone. None where no two pictures share one."""
    known: dict[str, int] = {}
    return shared([known.setdefault(name or f"\0{row}", len(known)) for row, name in enumerate(names)])


def shared(ids: Sequence[int] | np.ndarray) -> np.ndarray | None:
    """Return ids, int (n,), as groups; None where no two pictures share one."""
    ids = np.asarray(ids, dtype=np.int64)
    return None if len(np.unique(ids)) == len(ids) else ids


def joined(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    """Return the groups of pictures that either puts together, directly or through others."""
    if first is None or second is None:
        return second if first is None else first
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(first)
    # Each picture is tied to the first of its group, in both.
    ends = [
        place[inverse]
        for _, place, inverse in (
            np.unique(groups, return_index=True, return_inverse=True) for groups in (first, second)
        )
    ]
    edges = np.tile(np.arange(n), 2), np.concatenate(ends)
    graph = coo_array((np.ones(2 * n, bool), edges), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def totals(values: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of values (n,) in each group, and its pictures, each (groups,)."""
    if groups is None:
        return values.astype(np.float64), np.ones(len(values))
    _, place = np.unique(groups, return_inverse=True)
    return np.bincount(place, values), np.bincount(place).astype(np.float64)


def variance_of_mean(values: np.ndarray, groups: np.ndarray | None) -> float:
    """Return the variance of the mean of values (n,), whole groups being drawn; NaN for fewer than two.

    That of the ratio of two sums over groups, g / (g - 1) · Σ (own sum - mean · own pictures)² / n². Where
    each stands alone: the sample variance divided by n.
    """
    sums, pictures = totals(values, groups)
    if len(sums) < 2:
        return float("nan")
    off = sums - values.mean() * pictures
    return float(len(sums) / (len(sums) - 1) * (off @ off) / len(values) ** 2)


def independent(values: np.ndarray, groups: np.ndarray | None) -> float:
    """Return how many independent pictures carry as much information about the mean of values (n,), 1 to n.

    values: right or wrong, or of few kinds.

    n where each stands alone. The effect of the groups on the variance is estimated from those that hold
    another value than the commonest, a mistake say. A handful of these tells little, and errs to the
    flattering side; so the worst effect there can be, that of groups which are alike altogether, is averaged
    in with the weight of one such group. Where all values agree, it is all that is known.
    """
    n = len(values)
    if groups is None or not n:
        return float(n)
    pictures = totals(values, groups)[1]
    worst = float(pictures @ pictures) / n
    if (values == values[0]).all() or len(pictures) == 1:
        return n / worst
    # Luck may make groups look more unlike than strangers: nobody has more pictures than he has.
    effect = max(variance_of_mean(values, groups) / variance_of_mean(values, None), 1.0)
    kinds, counts = np.unique(values, return_counts=True)
    telling = pictures[totals(values != kinds[counts.argmax()], groups)[0] > 0]
    seen = _as_equals(telling)
    effect = (seen * effect + worst) / (seen + 1)
    # A variance from few groups is uncertain itself: Student's t instead of the normal.
    few = _t(n - 1) / _t(_as_equals(pictures) - 1)
    return max(n / effect * few**2, 1.0)


def _as_equals(pictures: np.ndarray) -> float:
    """Return how many groups of one size vary as much as these, of so many pictures each (Kish 1965)."""
    return float(pictures.sum() ** 2 / (pictures @ pictures))


def _t(freedom: float) -> float:
    # Below one degree of freedom there is no interval that a person could use.
    return float(scipy.special.stdtrit(max(freedom, 1.0), 0.975))


def share_interval(hits: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    """Return Wilson's 95 % interval of the share of hits, bool (n,), of as many trials as are independent."""
    trials = independent(hits.astype(np.float64), groups)
    return wilson(float(hits.mean()) * trials, trials)


def folded_interval(hits: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    """Return the 95 % interval of the share of hits, bool (n,), each by a network that other folds taught.

    share_interval's, of OVERLAP times fewer trials: networks that share most of their pictures err together.
    """
    trials = independent(hits.astype(np.float64), groups) / OVERLAP
    return wilson(float(hits.mean()) * trials, trials)


def mean_interval(values: np.ndarray, groups: np.ndarray | None = None) -> tuple[float | None, float | None]:
    """Return the 95 % interval of the mean of values (n,), 0 or more: normal, and of groups Student's.

    On the logarithm of the mean (delta method): losses are skewed, and their mean is never 0.

    (None, None) for fewer than two, or where all agree: that no spread was seen does not mean it is zero.
    """
    variance, mean = variance_of_mean(values, groups), float(values.mean())
    if not variance > 0 or (values == values[0]).all():
        return None, None
    reach = two_sided(0.95)
    if groups is not None:
        reach = _t(_as_equals(totals(values, groups)[1]) - 1)
    factor = math.exp(reach * math.sqrt(variance) / mean)
    return mean / factor, mean * factor


def fewest_in_a_class(true: np.ndarray, groups: np.ndarray | None) -> int:
    """Return how many pictures the smallest class of true, int (n,), has, or how many groups."""
    if groups is None:
        return int(np.unique(true, return_counts=True)[1].min())
    return min(len(np.unique(groups[true == c])) for c in np.unique(true))


def drawn(
    true: np.ndarray, groups: np.ndarray | None, resamples: int, generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, slice, np.ndarray]]:
    """Yield how often each picture is drawn among those of its class, in blocks: rows, columns, weights.

    rows: int (m,), pictures; columns: which of the resamples; weights: uint16 (m, columns). Together they
    fill (n, resamples), and no block holds more than CELLS weights, or one resample of a class.

    Whole groups are drawn, among those whose first picture has the same class. One fewer than there are,
    which makes the variance right for small classes too (Rao and Wu 1988, J. Am. Stat. Assoc. 83:231-241);
    who uses the weights asks only for their proportions.
    """
    _, first, place = np.unique(
        np.arange(len(true)) if groups is None else groups, return_index=True, return_inverse=True
    )
    class_of_group = true[first]
    for c in np.unique(class_of_group):
        of_class = np.flatnonzero(class_of_group == c)
        rows = np.flatnonzero(class_of_group[place] == c)
        group = np.searchsorted(of_class, place[rows])
        width = max(1, CELLS // len(rows))
        before = generator.bit_generator.state
        for start in range(0, resamples, width):
            columns = slice(start, min(start + width, resamples))
            # Each block goes through the same draws of all resamples, so that blocks change no number.
            generator.bit_generator.state = before
            yield rows, columns, _times_drawn(len(of_class), resamples, columns, generator)[group]


def _times_drawn(groups: int, resamples: int, columns: slice, generator: np.random.Generator) -> np.ndarray:
    """Return how often each of so many groups is drawn in these resamples, uint16 (groups, columns)."""
    width = columns.stop - columns.start
    times = np.zeros(groups * width, dtype=np.uint16)
    draws = max(groups - 1, 1)  # a class of one cannot vary
    at_once, one = max(1, _DRAWS // resamples), np.uint16(1)  # of the same type: ten times as fast
    for start in range(0, draws, at_once):
        number = min(at_once, draws - start)
        drawn = generator.integers(groups, size=(number, resamples))[:, columns]
        np.add.at(times, (drawn * width + np.arange(width)).ravel(), one)
    return times.reshape(groups, width)


def matters(independent: float, pictures: int) -> bool:
    """Tell whether so few of the pictures are independent that a person should know."""
    return independent < _NEARLY_ALL * pictures
