"""Split conformal guarantees: from scores of validation pictures a threshold that new ones keep below.

A new score, drawn as n others were, lies at or below their k-th smallest with a probability that depends on
which n they happened to be: it has the law Beta(k, n + 1 - k), whatever the scores (Vovk 2012,
arXiv:1209.2673). Its mean k / (n + 1) is the usual guarantee, kept on average over samples (Vovk, Gammerman
and Shafer 2005). Here it is made with CONFIDENCE for the one sample that a person has (Vovk 2012; Park et al.
2020, arXiv:2001.00106), and on average where n is too small for that.

Pictures that come in groups count as the independent pictures that carry as much information (see clustered).
"""

import math

import numpy as np
import scipy

from linnaea.evaluation import clustered

# Of so many samples, as a share, a threshold keeps its guarantee; as sure as the intervals are.
CONFIDENCE = 0.95
# A guarantee that is broken so far that chance does it less often than this was too much.
UNLIKELY = 0.025


def independent(scores: np.ndarray, share: float, groups: np.ndarray | None) -> int:
    """Return how many independent pictures carry as much information about a share as these scores (n,)."""
    n = len(scores)
    if groups is None or not n:
        return n
    below = scores <= np.sort(scores)[min(_on_average(n, share), n) - 1]
    return math.floor(clustered.independent(below, groups))


def threshold(
    scores: np.ndarray, share: float, independent: int | None = None, *, sure: bool = True
) -> float | None:
    """Return the score that a share of new ones does not pass; None where none is large enough.

    independent: how many the scores (n,) count as; None: n. The threshold is their k-th smallest, or, where
    they count as fewer, that at the same share of them.
    sure: with CONFIDENCE; else on average.
    """
    independent = len(scores) if independent is None else independent
    rank = _rank(independent, share) if sure else _on_average(independent, share)
    if rank > independent:
        return None
    return float(np.sort(scores)[math.ceil(round(rank * len(scores) / independent, 9)) - 1])


def confidence(below: float, independent: float, share: float) -> float:
    """Return how sure it is that at least a share of new scores keeps below a threshold, 0..1.

    below: how many of the scores that it comes from do, as independent ones.
    """
    return float(scipy.special.betaincc(below, independent + 1 - below, share))


def sure_share(below: float, independent: float) -> float:
    """Return the share of new scores that keep below a threshold with CONFIDENCE, 0..1; below: as above."""
    return (
        float(scipy.special.betaincinv(below, independent + 1 - below, 1 - CONFIDENCE)) if below > 0 else 0.0
    )


def chance(kept: int, drawn: int, below: float, independent: float) -> float:
    """Return how probable it is that of so many new scores at most `kept` are no higher than a threshold.

    Of scores drawn as those that it comes from: the number then has the law BetaBinomial(drawn, below,
    independent + 1 - below), the binomial error of both samples in one (Vovk 2012; Angelopoulos and Bates
    2021, arXiv:2107.07511).

    kept, drawn: independent ones. below: as for confidence.
    """
    from scipy.stats import betabinom  # as in comparison: it takes long

    return float(betabinom.cdf(kept, drawn, below, independent + 1 - below)) if below > 0 else 1.0


def fewest(share: float) -> int:
    """Return how many scores a share needs: below, none of them is large enough, even on average."""
    # Rounded first: 0.95 / 0.05 is 19 and not a hair above it.
    return math.ceil(round(share / (1 - share), 9))


def surest(share: float) -> int:
    """Return how many scores make a share as sure as CONFIDENCE.

    The largest of n is lower than a share of all with probability share^n.
    """
    return math.ceil(round(math.log(1 - CONFIDENCE) / math.log(share), 9))


def _on_average(n: int, share: float) -> int:
    return math.ceil(round((n + 1) * share, 9))


def _rank(n: int, share: float) -> int:
    """Return which of n sorted scores is the threshold, 1..n; n + 1: none is large enough.

    The least that is sure enough; the largest score, where none is.
    """
    first = _on_average(n, share)
    ranks = np.arange(first, n + 1)
    sure = ranks[scipy.special.betainc(ranks, n + 1 - ranks, share) <= 1 - CONFIDENCE]
    return int(sure[0]) if len(sure) else max(n, first)
