"""Intervals: how reliable a number from n pictures is."""

import math

import numpy as np
import scipy

# Below this many pictures a class says nothing about its own spread: resampling two pictures, or the variance
# of two, is too narrow by a factor of two.
FEWEST_PER_CLASS = 5


def wilson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval for a proportion of n independent trials, both ends in 0..1.

    n need not be a whole number: see clustered.independent.

    Wilson (1927), J. Am. Stat. Assoc. 22:209-212; recommended over the normal approximation by Brown, Cai and
    DasGupta (2001), Stat. Sci. 16:101-133.
    """
    # Of a share times n, rounding may leave a hair outside.
    share, z = min(max(successes / n, 0.0), 1.0), two_sided(level)
    centre = share + z**2 / (2 * n)
    reach = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # Exactly 0 and 1 at the ends, where the formula is only nearly so.
    low = 0.0 if share <= 0 else (centre - reach) / (1 + z**2 / n)
    high = 1.0 if share >= 1 else (centre + reach) / (1 + z**2 / n)
    return low, high


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
    reach = two_sided(level) ** 2 / (trials + two_sided(level) ** 2)
    return (0.0, reach) if value == 0 else (1 - reach, 1.0)


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
    half = two_sided(level) * standard_error / (value * (1 - value))
    return 1 / (1 + math.exp(half - centre)), 1 / (1 + math.exp(-half - centre))


def percentile_interval(resampled: np.ndarray, level: float = 0.95) -> tuple[float | None, float | None]:
    """Return the percentile bootstrap interval (Efron 1979, Ann. Stat. 7:1-26) of statistics (resamples,).

    (None, None) where there are none, or all agree: that no spread was seen does not mean that it is zero.
    """
    if not len(resampled):
        return None, None
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high)) if low < high else (None, None)


def two_sided(level: float) -> float:
    """Return how many standard errors on either side hold this share of a normal law: 1.96 for 0.95."""
    return float(scipy.special.ndtri((1 + level) / 2))
