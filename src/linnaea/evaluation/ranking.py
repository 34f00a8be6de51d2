"""Ranking: the area under the ROC curve over many classes, and its interval."""

import math

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from linnaea.evaluation.intervals import FEWEST_PER_CLASS, logit_interval


def macro_auc(true: np.ndarray, probabilities: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """Return (value, low, high): the unweighted mean of the one-vs-rest areas under the ROC curve.

    true: int (n,), columns of probabilities (n, classes). A class takes part where the table holds pictures
    both in it and outside it; elsewhere its curve does not exist. Where none takes part: (None, None, None).

    The areas are scikit-learn's, exact. The interval is DeLong's, carried over to the mean of several areas
    that share their pictures (DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837-845), on the logit
    scale; None where a class has fewer than FEWEST_PER_CLASS pictures.
    """
    classes = ranked_classes(true, probabilities.shape[1])
    if not len(classes):
        return None, None, None
    areas = [float(roc_auc_score(true == c, probabilities[:, c])) for c in classes]
    value = sum(areas) / len(areas)
    if np.bincount(true)[classes].min() < FEWEST_PER_CLASS:
        return value, None, None
    return value, *logit_interval(value, _standard_error(true, probabilities, classes))


def ranked_classes(true: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the classes that have pictures in them and outside them, int (c,)."""
    counts = np.bincount(true, minlength=n_classes)
    return np.flatnonzero((counts > 0) & (counts < len(true)))


def _standard_error(true: np.ndarray, probabilities: np.ndarray, classes: np.ndarray) -> float:
    # share[i] is what picture i adds to the mean area, over all the classes that it is ranked in: its
    # placement among the others, divided by the size of its side. Pictures are independent within a class,
    # so the variance of the mean area is the sum over classes of (pictures x variance of their shares).
    n = len(true)
    share = np.zeros(n)
    for c in classes:
        scores, inside = probabilities[:, c], true == c
        m = int(inside.sum())
        rank = rankdata(scores)  # midranks: a tie counts one half, as in the area itself
        share[inside] += (rank[inside] - rankdata(scores[inside])) / (n - m) / m
        share[~inside] += (1 - (rank[~inside] - rankdata(scores[~inside])) / m) / (n - m)
    share /= len(classes)
    members = [share[true == c] for c in np.unique(true)]
    return math.sqrt(sum(len(part) * part.var(ddof=1) for part in members))
