"""Ranking: the area under the ROC curve over many classes, and its interval."""

import numpy as np
from sklearn.metrics import roc_auc_score

from linnaea.evaluation import clustered
from linnaea.evaluation.intervals import FEWEST_PER_CLASS, logit_interval
from linnaea.random_streams import Purpose, stream

BLOCK = 250  # resamples at once: 5 MB at 10,000 pictures


def macro_auc(
    true: np.ndarray,
    probabilities: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float | None, float | None, float | None]:
    """Return (value, low, high): the unweighted mean of the one-vs-rest areas under the ROC curve.

    true: int (n,), columns of probabilities (n, classes). A class takes part where the table holds pictures
    both in it and outside it; elsewhere its curve does not exist. Where none takes part: (None, None, None).

    The areas are scikit-learn's, exact. The interval is normal on the logit scale with the bootstrap's
    standard error (Efron and Tibshirani 1993, chapter 13); the plain percentiles are too narrow where areas
    are near one, as they are here. None where a class has fewer than FEWEST_PER_CLASS pictures, or groups.

    groups: see clustered; whole ones are drawn.
    """
    classes = ranked_classes(true, probabilities.shape[1])
    if not len(classes):
        return None, None, None
    areas = [float(roc_auc_score(true == c, probabilities[:, c])) for c in classes]
    value = sum(areas) / len(areas)
    if clustered.fewest_in_a_class(true, groups) < FEWEST_PER_CLASS or not 0 < value < 1:
        return value, None, None
    drawn = resampled_areas(true, probabilities, classes, groups, resamples, seed)
    return value, *logit_interval(value, float(drawn.std(ddof=1)))


def ranked_classes(true: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the classes that have pictures in them and outside them, int (c,)."""
    counts = np.bincount(true, minlength=n_classes)
    return np.flatnonzero((counts > 0) & (counts < len(true)))


def resampled_areas(
    true: np.ndarray,
    probabilities: np.ndarray,
    classes: np.ndarray,
    groups: np.ndarray | None,
    resamples: int,
    seed: int,
) -> np.ndarray:
    """Return the mean area of each resample, (resamples,): how often a picture was drawn is its weight."""
    generator = stream(seed, Purpose.BOOTSTRAP, index=2)
    areas = []
    for start in range(0, resamples, BLOCK):
        weights = np.empty((len(true), min(BLOCK, resamples - start)), np.uint16)
        for rows, columns, drawn in clustered.drawn(true, groups, weights.shape[1], generator):
            weights[rows, columns] = drawn
        of_classes = [weighted_area(true == c, probabilities[:, c], weights) for c in classes]
        # A class whose pictures all lie in groups of others may happen not to be drawn.
        areas.append(np.nanmean(of_classes, axis=0))
    return np.concatenate(areas)


def weighted_area(inside: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the area under one class's curve, (r,), for each column of weights (n, r), whole numbers.

    inside: bool (n,), the pictures of the class; scores (n,). Ties count one half.
    """
    others = np.flatnonzero(~inside)
    others = others[np.argsort(scores[others], kind="stable")]
    below = np.searchsorted(scores[others], scores[inside], "left")
    up_to = np.searchsorted(scores[others], scores[inside], "right")
    # Between two of these edges no member of the class has its score: one sum a stretch is enough.
    edges = np.unique(np.concatenate([[0], below, up_to]))
    edges = edges[edges < len(others)]
    below, up_to = np.searchsorted(edges, below), np.searchsorted(edges, up_to)
    areas = []
    # Of many pictures a few resamples at a time: their weights in the order of the scores are a copy.
    width = max(2, clustered.CELLS // len(weights))
    for start in range(0, weights.shape[1], width):
        some = weights[:, start : start + width].astype(np.float32)
        stretches = np.add.reduceat(some[others], edges, axis=0)
        total = np.concatenate([np.zeros_like(stretches[:1]), np.cumsum(stretches, axis=0)])
        beaten = (total[below] + total[up_to]) / 2
        won = np.einsum("ij,ij->j", some[inside], beaten)
        with np.errstate(invalid="ignore"):
            areas.append(won / (some[inside].sum(axis=0) * total[-1]))
    return np.concatenate(areas)
