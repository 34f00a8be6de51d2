"""Metrics: every number of a report, computed from the prediction table and from nothing else."""

from collections.abc import Collection
from typing import Any

import numpy as np

from linnaea.errors import DataError
from linnaea.evaluation import abstention, calibration, prediction_sets
from linnaea.evaluation.intervals import (
    FEWEST_PER_CLASS,
    class_mean_interval,
    mean_interval,
    percentile_interval,
    wilson,
)
from linnaea.evaluation.predictions import Predictions
from linnaea.evaluation.ranking import macro_auc, ranked_classes
from linnaea.streams import Purpose, stream

__all__ = ["compute_metrics", "confusion", "most_confused", "per_class", "wilson"]

# A probability of zero for the truth would cost infinitely much; scikit-learn's log_loss clips here too.
CLIP = float(np.finfo(np.float64).eps)
RESAMPLES = 1000
SET_COVERAGE = 0.95  # that the prediction sets of a report promise


def compute_metrics(
    predictions: Predictions,
    *,
    validation: Predictions | None = None,
    temperature: float | None = None,
    leaked: Collection[str] | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Return name → {"value", "low", "high", …}: each number with its 95 % interval, ready for metrics.json.

    accuracy, top_3 (4 to 6 classes), top_5 (6 and more)
        Wilson's interval; also "correct" and "pictures", the counts behind the number.
    balanced_accuracy = mean_per_class_accuracy, macro_f1
        Means over the classes that have a picture in the table: recall, and F1 with 0 for 0/0 (scikit-learn:
        labels= those classes, zero_division=0). Bootstrap interval, pictures drawn within each class; at 0
        and 1 that of balanced_accuracy is Wilson's (intervals.class_mean_interval).
    macro_auc
        One-vs-rest; "left_out" lists the classes whose curve does not exist. See ranking.macro_auc.
    log_loss
        Mean of -ln(probability of the truth), in nats, clipped to CLIP..1-CLIP first. Normal interval.
    brier
        Squared error of the probabilities, summed over the classes (Brier 1950, Monthly Weather Review
        78:1-3), mean over the pictures; halved for two classes, as scikit-learn does. Normal interval.
    ece, ece_adaptive
        calibration.expected_calibration_error; "by_chance", "by_chance_high" beside ece are what an honest
        model would show. No interval: the error is biased upwards, and so would be its resamples.

    validation: the same model's table over the validation part. It fits and chooses what then is judged:
    set_coverage, set_size
        Prediction sets for SET_COVERAGE; see prediction_sets.PredictionSets, also for "p_value".
    answered, accuracy_answered
        From abstention.next_threshold on: the share that is answered, and the accuracy of these.
    Both are left out where the validation part is too small for them.

    temperature: the one that the table was made with. ece_before, ece_adaptive_before: without it.
    leaked: paths of pictures that lie in another part as well. accuracy_without_leaks: on the others.

    A value that does not exist (macro_auc of a single class) or an interval that cannot be had honestly is
    None. seed is the bootstrap's. Raises DataError for an empty table, a probability that is not finite, or
    a picture whose class training did not have.
    """
    true = _checked_truth(predictions)
    table = confusion(predictions)
    n, k = len(predictions), len(predictions.classes)
    metrics = {"accuracy": _proportion(int(np.trace(table)), n)}
    metrics |= _class_means(table, seed)
    rank = _rank_of_truth(predictions.probabilities, true)
    for top, wanted in ((3, 4 <= k <= 6), (5, k >= 6)):
        if wanted:
            metrics[f"top_{top}"] = _proportion(int((rank < top).sum()), n)
    value, low, high = macro_auc(true, predictions.probabilities, resamples=RESAMPLES, seed=seed)
    ranked = set(ranked_classes(true, k).tolist())
    left_out = [name for column, name in enumerate(predictions.classes) if column not in ranked]
    metrics["macro_auc"] = {"value": value, "low": low, "high": high, "left_out": left_out}
    metrics["log_loss"] = _log_loss(predictions.probabilities, true)
    metrics["brier"] = _brier(predictions.probabilities, true)
    metrics |= _calibration_errors(predictions, temperature, seed)
    if validation is not None:
        metrics |= _by_validation(predictions, validation)
    if leaked is not None:
        metrics |= _without_leaks(predictions, leaked)
    return metrics


def confusion(predictions: Predictions) -> np.ndarray:
    """Return counts, int64 (classes, classes): rows the true class, columns the predicted one."""
    k = len(predictions.classes)
    pairs = predictions.true_index * k + predictions.probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=k * k).reshape(k, k)


def per_class(predictions: Predictions) -> list[dict[str, Any]]:
    """Return one {"class", "pictures", "precision", "recall", "f1"} a class, in the order of the class list.

    A class without pictures has no recall and no F1, one never predicted no precision: None.
    """
    table = confusion(predictions)
    right, pictures, predicted = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    return [
        {
            "class": name,
            "pictures": int(pictures[c]),
            "precision": _ratio(right[c], predicted[c]),
            "recall": _ratio(right[c], pictures[c]),
            "f1": _ratio(2 * right[c], pictures[c] + predicted[c]) if pictures[c] else None,
        }
        for c, name in enumerate(predictions.classes)
    ]


def most_confused(predictions: Predictions, limit: int = 10) -> list[dict[str, Any]]:
    """Return the commonest mistakes: {"true", "predicted", "pictures", "share"}, most pictures first.

    share is the part of the true class's pictures that went this way, 0..1. Ties keep the classes' order.
    """
    table = confusion(predictions)
    mistakes = table - np.diag(table.diagonal())
    order = np.argsort(-mistakes, axis=None, kind="stable")[:limit]
    rows, columns = np.unravel_index(order, table.shape)
    return [
        {
            "true": predictions.classes[row],
            "predicted": predictions.classes[column],
            "pictures": int(mistakes[row, column]),
            "share": float(mistakes[row, column] / table[row].sum()),
        }
        for row, column in zip(rows, columns, strict=True)
        if mistakes[row, column]
    ]


def _checked_truth(predictions: Predictions) -> np.ndarray:
    if not len(predictions):
        raise DataError("The prediction table holds no pictures.", "Choose a split with a test part.")
    wrong = ~np.isfinite(predictions.probabilities).all(axis=1)
    if wrong.any():
        first = predictions.paths[int(np.flatnonzero(wrong)[0])]
        raise DataError(
            f"{int(wrong.sum()):,} of {len(predictions):,} pictures have a probability that is not a finite "
            f"number (the first: {first}).",
            "Train again with a lower learning rate.",
        )
    return predictions.true_index


def _proportion(correct: int, n: int) -> dict[str, Any]:
    if not n:
        return {"value": None, "low": None, "high": None, "correct": 0, "pictures": 0}
    low, high = wilson(correct, n)
    return {"value": correct / n, "low": low, "high": high, "correct": correct, "pictures": n}


def _rank_of_truth(probabilities: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return how many classes come before the true one, int (n,); the first of equals wins."""
    own = np.take_along_axis(probabilities, true[:, None], axis=1)
    earlier = np.arange(probabilities.shape[1]) < true[:, None]
    return ((probabilities > own) | ((probabilities == own) & earlier)).sum(axis=1)


def mean_log_loss(predictions: Predictions) -> float:
    """Return the mean of -ln(probability of the truth), in nats, clipped as in compute_metrics."""
    return float(_losses(predictions.probabilities, predictions.true_index).mean())


def _losses(probabilities: np.ndarray, true: np.ndarray) -> np.ndarray:
    own = probabilities[np.arange(len(true)), true]
    return -np.log(np.clip(own.astype(np.float64), CLIP, 1 - CLIP))


def _log_loss(probabilities: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    losses = _losses(probabilities, true)
    low, high = mean_interval(losses)
    return {"value": float(losses.mean()), "low": None if low is None else max(low, 0.0), "high": high}


def _brier(probabilities: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    missed = probabilities.astype(np.float64)
    missed[np.arange(len(true)), true] -= 1
    scores = np.einsum("ij,ij->i", missed, missed) / (2 if probabilities.shape[1] == 2 else 1)
    low, high = mean_interval(scores)
    return {"value": float(scores.mean()), "low": None if low is None else max(low, 0.0), "high": high}


def _calibration_errors(
    predictions: Predictions, temperature: float | None, seed: int
) -> dict[str, dict[str, Any]]:
    by_chance, by_chance_high = calibration.error_by_chance(predictions, seed=seed)
    chance = {"by_chance": by_chance, "by_chance_high": by_chance_high}
    metrics: dict[str, dict[str, Any]] = {}
    stages = {"": predictions}
    if temperature is not None:
        stages["_before"] = calibration.untempered(predictions, temperature)
    for stage, stated in stages.items():
        for kind, adaptive in (("ece", False), ("ece_adaptive", True)):
            error = calibration.expected_calibration_error(stated, adaptive=adaptive)
            metrics[kind + stage] = {"value": error, "low": None, "high": None}
    metrics["ece"] |= {**chance, "bins": calibration.BINS, "pictures": len(predictions)}
    if temperature is not None:
        metrics["ece_before"]["temperature"] = temperature
    return metrics


def _by_validation(predictions: Predictions, validation: Predictions) -> dict[str, dict[str, Any]]:
    """Judge on the table what is fitted or chosen on the validation part."""
    if validation.classes != predictions.classes:
        raise DataError(
            "The tables of the validation and of the test part have different classes.",
            "Restore them, or train again.",
        )
    metrics: dict[str, dict[str, Any]] = {}
    true = predictions.true_index
    if len(validation) >= prediction_sets.fewest_pictures(SET_COVERAGE):
        sets = prediction_sets.PredictionSets.fit(validation, SET_COVERAGE)
        members = sets.members(predictions.probabilities)
        how = {"wanted": SET_COVERAGE}
        held = int(members[np.arange(len(true)), true].sum())
        p_value = sets.p_value(held, len(true))
        metrics["set_coverage"] = _proportion(held, len(true)) | how | {"p_value": p_value}
        sizes = members.sum(axis=1).astype(np.float64)
        low, high = mean_interval(sizes)
        metrics["set_size"] = {"value": float(sizes.mean()), "low": low, "high": high} | how
    chosen = abstention.next_threshold(validation)
    if chosen is not None:
        how = {"wanted": chosen["wanted"], "threshold": chosen["threshold"]}
        answered = predictions.confidence >= chosen["threshold"]
        right = (predictions.probabilities.argmax(axis=1) == true)[answered]
        metrics["answered"] = _proportion(len(right), len(true)) | how
        metrics["accuracy_answered"] = _proportion(int(right.sum()), len(right)) | how
    return metrics


def _without_leaks(predictions: Predictions, leaked: Collection[str]) -> dict[str, dict[str, Any]]:
    kept = ~np.isin(np.asarray(predictions.paths), list(leaked))
    right = (predictions.predicted == predictions.true)[kept]
    clean = _proportion(int(right.sum()), len(right))
    return {"accuracy_without_leaks": clean | {"leaked": int((~kept).sum())}}


def _class_means(table: np.ndarray, seed: int) -> dict[str, dict[str, Any]]:
    """Return balanced_accuracy and macro_f1 of a confusion matrix (k, k), with bootstrap intervals."""
    present = np.flatnonzero(table.sum(axis=1))
    pictures = table.sum(axis=1)[present]
    right, predicted = _resample(table, present, pictures, seed)
    # Row 0 of both is the table itself, the others its resamples.
    recall = (right / pictures).mean(axis=1)
    f1 = (2 * right / (pictures + predicted)).mean(axis=1)
    metrics = {}
    for name, values in (("balanced_accuracy", recall), ("macro_f1", f1)):
        low, high = percentile_interval(values[1:])
        # F1 is no share, and has no such interval.
        if name == "balanced_accuracy" and low is None and len(values) > 1:
            low, high = class_mean_interval(float(values[0]), pictures)
        metrics[name] = {"value": float(values[0]), "low": low, "high": high}
    # Two names of one number: scikit-learn's, and that of the literature on Flowers-102.
    return {
        "balanced_accuracy": metrics["balanced_accuracy"],
        "mean_per_class_accuracy": dict(metrics["balanced_accuracy"]),
        "macro_f1": metrics["macro_f1"],
    }


def _resample(
    table: np.ndarray, present: np.ndarray, pictures: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (right, predicted), each (1 + resamples, present classes); none where a class is too small.

    Drawing a class's pictures again with replacement is drawing its row of the confusion matrix from a
    multinomial, so the pictures themselves are not needed.
    """
    resamples = RESAMPLES if pictures.min() >= FEWEST_PER_CLASS else 0
    right = np.zeros((1 + resamples, len(present)))
    predicted = np.zeros((1 + resamples, table.shape[1]))
    right[0], predicted[0] = table.diagonal()[present], table.sum(axis=0)
    generator = stream(seed, Purpose.BOOTSTRAP)
    for position, row in enumerate(present):
        # Most cells of a row are empty: drawing only the others keeps a thousand classes affordable.
        columns = np.flatnonzero(table[row])
        share = table[row, columns] / pictures[position]
        drawn = generator.multinomial(pictures[position], share, size=resamples)
        predicted[1:, columns] += drawn
        right[1:, position] = drawn[:, columns == row].sum(axis=1)
    return right, predicted[:, present]


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
