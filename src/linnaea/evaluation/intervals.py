"""Intervals: how far a number from n pictures can be believed."""

import math

import numpy as np
from scipy import stats

# Below this many pictures a class says nothing about its own spread: resampling two pictures, or the variance
# of two, is too narrow by a factor of two.
FEWEST_PER_CLASS = 5


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval for a proportion of n independent trials, both ends in 0..1.

    Wilson (1927), J. Am. Stat. Assoc. 22:209-212; recommended over the normal approximation by Brown, Cai and
    DasGupta (2001), Stat. Sci. 16:101-133.
    """
    interval = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def class_mean_interval(
    value: float, pictures: np.ndarray, level: float = 0.95
) -> tuple[float | None, float | None]:
    """Return Wilson's interval of a mean over classes of shares, where it is 0 or 1; (None, None) elsewhere.

    There no resample differs from another, and Wilson's formula needs only a number of trials. That is the
    one which gives a share the variance of the mean, were all classes alike: k² / (1/n1 + … + 1/nk). For
    classes of one size these are all pictures, and the interval is the accuracy's.

    pictures: of each class, int (k,)
    """
    if value not in (0, 1):
        return None, None
    trials = len(pictures) ** 2 / float((1 / pictures).sum())
    reach = _z(level) ** 2 / (trials + _z(level) ** 2)
    return (0.0, reach) if value == 0 else (1 - reach, 1.0)


def mean_interval(values: np.ndarray, level: float = 0.95) -> tuple[float | None, float | None]:
    """Return the normal interval of the mean of values (n,), from its standard error.

    (None, None) for fewer than two, or where all agree: that no spread was seen does not mean it is zero.
    """
    if len(values) < 2 or (values == values[0]).all():
        return None, None
    half = _z(level) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()) - half, float(values.mean()) + half


def logit_interval(
    value: float, standard_error: float, level: float = 0.95
) -> tuple[float | None, float | None]:
    """Return the interval that is normal on the logit scale, so that both ends stay within 0..1.

    (None, None) where the value sits on an end of the scale: its standard error is then zero, which is no
    certainty but a lack of information.
    """
    if not 0 < value < 1 or not standard_error > 0:
        return None, None
    centre = math.log(value / (1 - value))
    half = _z(level) * standard_error / (value * (1 - value))
    return 1 / (1 + math.exp(half - centre)), 1 / (1 + math.exp(-half - centre))


def percentile_interval(resampled: np.ndarray, level: float = 0.95) -> tuple[float | None, float | None]:
    """Return the percentile bootstrap interval (Efron 1979, Ann. Stat. 7:1-26) of statistics (resamples,).

    (None, None) where there are none, or all agree: that no spread was seen does not mean that it is zero.
    """
    if not len(resampled):
        return None, None
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high)) if low < high else (None, None)


def _z(level: float) -> float:
    return float(stats.norm.ppf((1 + level) / 2))
