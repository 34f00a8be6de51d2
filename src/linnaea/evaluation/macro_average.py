"""Class means: balanced accuracy and macro F1, each class counting alike, with bootstrap intervals."""

from typing import Any

import numpy as np

from linnaea.evaluation import clustered
from linnaea.evaluation.intervals import FEWEST_PER_CLASS, class_mean_interval, percentile_interval
from linnaea.evaluation.predictions import Predictions
from linnaea.random_streams import Purpose, stream


def confusion(predictions: Predictions) -> np.ndarray:
    """Return counts, int64 (classes, classes): rows the true class, columns the predicted one."""
    k = len(predictions.classes)
    pairs = predictions.true_index * k + predictions.probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=k * k).reshape(k, k)


def class_means(predictions: Predictions, *, resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return balanced_accuracy = mean_per_class_accuracy, and macro_f1: {"value", "low", "high"} each.

    Means over the classes that have a picture. The interval is the percentile bootstrap's, pictures (or whole
    groups of them) being drawn within each class; None where a class has fewer than FEWEST_PER_CLASS.
    """
    true, groups = predictions.true_index, predictions.groups
    table = confusion(predictions)
    present = np.flatnonzero(table.sum(axis=1))
    right, predicted, pictures = (
        counts[None, present] for counts in (table.diagonal(), table.sum(axis=0), table.sum(axis=1))
    )
    if resamples and clustered.fewest_in_a_class(true, groups) >= FEWEST_PER_CLASS:
        generator = stream(seed, Purpose.BOOTSTRAP)
        if groups is None:
            drawn = _resampled(table, present, resamples, generator)
        else:
            drawn = _resampled_groups(predictions, present, resamples, generator)
        # Row 0 is the table itself, the others are its resamples.
        right, predicted, pictures = map(np.vstack, zip((right, predicted, pictures), drawn, strict=True))
    # A class whose pictures all lie in groups of others may happen not to be drawn.
    with np.errstate(invalid="ignore"):
        recall = np.nanmean(right / pictures, axis=1)
        f1 = np.nanmean(2 * right / (pictures + predicted), axis=1)
    metrics: dict[str, dict[str, Any]] = {}
    for name, values in (("balanced_accuracy", recall), ("macro_f1", f1)):
        low, high = percentile_interval(values[1:])
        # F1 is no share, and has no such interval.
        if name == "balanced_accuracy" and len(present) == 1:
            # The mean over one class is its accuracy, and has the same interval.
            low, high = clustered.share_interval(true == predictions.probabilities.argmax(axis=1), groups)
        elif name == "balanced_accuracy" and low is None and len(values) > 1:
            low, high = class_mean_interval(float(values[0]), _independent(predictions))
        metrics[name] = {"value": float(values[0]), "low": low, "high": high}
    # Two names of one number: scikit-learn's, and that of the literature on Flowers-102.
    return {
        "balanced_accuracy": metrics["balanced_accuracy"],
        "mean_per_class_accuracy": dict(metrics["balanced_accuracy"]),
        "macro_f1": metrics["macro_f1"],
    }


def _resampled(
    table: np.ndarray, present: np.ndarray, resamples: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return right, predicted and pictures, each (resamples, present classes).

    Drawing a class's pictures again with replacement is drawing its row of the confusion matrix from a
    multinomial, so the pictures themselves are not needed.
    """
    pictures = table.sum(axis=1)[present]
    right = np.zeros((resamples, len(present)))
    predicted = np.zeros((resamples, table.shape[1]))
    for position, row in enumerate(present):
        # Most cells of a row are empty: drawing only the others keeps a thousand classes affordable.
        columns = np.flatnonzero(table[row])
        share = table[row, columns] / pictures[position]
        drawn = generator.multinomial(pictures[position], share, size=resamples)
        predicted[:, columns] += drawn
        right[:, position] = drawn[:, columns == row].sum(axis=1)
    return right, predicted[:, present], np.broadcast_to(pictures, right.shape)


def _resampled_groups(
    predictions: Predictions, present: np.ndarray, resamples: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the same where whole groups are drawn: see clustered.drawn."""
    from scipy.sparse import csr_array

    true, named = predictions.true_index, predictions.probabilities.argmax(axis=1)
    k = len(predictions.classes)
    right, predicted, pictures = (np.zeros((k, resamples), np.float32) for _ in range(3))
    for rows, columns, weights in clustered.drawn(true, predictions.groups, resamples, generator):
        hit, weights = true[rows] == named[rows], weights.astype(np.float32)
        for sums, classes, counts in (
            (right, true[rows], hit),
            (predicted, named[rows], np.ones(len(rows))),
            (pictures, true[rows], np.ones(len(rows))),
        ):
            # Only the classes that these pictures have: a thousand would make a thousand empty rows each.
            occurring, place = np.unique(classes, return_inverse=True)
            members = csr_array((counts.astype(np.float32), (place, np.arange(len(rows)))))
            sums[occurring, columns] += members @ weights
    return right[present].T, predicted[present].T, pictures[present].T


def _independent(predictions: Predictions) -> np.ndarray:
    """Return how many independent pictures each class has, (present classes,), where all were named alike."""
    true = predictions.true_index
    return np.array(
        [
            clustered.independent(np.ones((true == c).sum()), predictions.groups_of(true == c))
            for c in np.unique(true)
        ]
    )
