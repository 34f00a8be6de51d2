"""Metrics: every number of a report, computed from the tables of predictions and from nothing else."""

from collections.abc import Collection
from typing import Any

import numpy as np

from linnaea.errors import DataError
from linnaea.evaluation import abstention, calibration, clustered, prediction_sets
from linnaea.evaluation.intervals import FEWEST_PER_CLASS
from linnaea.evaluation.macro_average import class_means, confusion
from linnaea.evaluation.predictions import Predictions
from linnaea.evaluation.ranking import macro_auc, ranked_classes

__all__ = ["compute_metrics", "confusion", "most_confused", "per_class"]

# A probability of zero for the truth would cost infinitely much; scikit-learn's log_loss clips here too.
CLIP = float(np.finfo(np.float64).eps)
RESAMPLES = 1000
SET_COVERAGE = 0.95  # that the prediction sets of a report guarantee
SURE = 0.9  # the confidence from which on a mistake is called a sure one


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
        Wilson's interval; also "correct" and "pictures", the counts behind the number, and of pictures that
        come in groups "groups" and "independent", how many carry as much (see clustered).
    balanced_accuracy = mean_per_class_accuracy, macro_f1
        Means over the classes that have a picture in the table: recall, and F1 with 0 for 0/0 (scikit-learn:
        labels= those classes, zero_division=0). Bootstrap interval, pictures or whole groups drawn within
        each class; at 0 and 1 that of balanced_accuracy is Wilson's (intervals.class_mean_interval).
    macro_auc
        One-vs-rest; "left_out" lists the classes whose curve does not exist. See ranking.macro_auc.
    log_loss
        Mean of -ln(probability of the truth), in nats, clipped to CLIP..1-CLIP first. Its interval is normal
        on the logarithm (clustered.mean_interval).
    brier
        Squared error of the probabilities, summed over the classes (Brier 1950, Monthly Weather Review
        78:1-3), mean over the pictures; halved for two classes, as scikit-learn does. Interval as log_loss.
    ece, ece_adaptive
        calibration.expected_calibration_error; "by_chance", "by_chance_high" beside ece are what an honest
        model would show. No interval: the error is biased upwards, and so would be its resamples.

    "fewest" beside one of these means over classes says why it has no interval: so few pictures has the
    smallest class, or groups, where they come in groups.

    validation: the same model's table over the validation set. It fits and chooses what is then evaluated:
    set_coverage, set_size
        Prediction sets for SET_COVERAGE; see prediction_sets.PredictionSets, also for "p_value".
    answered, accuracy_answered
        From abstention.next_threshold on: the share that is answered, and the accuracy of these.
    Both are left out where the validation set is too small for them.

    temperature: the one that the table was made with. ece_before, ece_adaptive_before: without it.
    leaked: paths of pictures that lie in another set as well. accuracy_without_leaks: on the others.

    A value that does not exist (macro_auc of a single class) or an interval that cannot be had honestly is
    None. seed is the bootstrap's. Raises DataError for an empty table, a probability that is not finite, or
    a picture whose class training did not have.
    """
    true = _checked_truth(predictions)
    k = len(predictions.classes)
    groups = predictions.groups
    metrics = {"accuracy": _proportion(predictions.probabilities.argmax(axis=1) == true, groups)}
    metrics |= class_means(predictions, resamples=RESAMPLES, seed=seed)
    rank = _rank_of_truth(predictions.probabilities, true)
    for top, wanted in ((3, 4 <= k <= 6), (5, k >= 6)):
        if wanted:
            metrics[f"top_{top}"] = _proportion(rank < top, groups)
    value, low, high = macro_auc(
        true, predictions.probabilities, groups=groups, resamples=RESAMPLES, seed=seed
    )
    ranked = set(ranked_classes(true, k).tolist())
    left_out = [name for column, name in enumerate(predictions.classes) if column not in ranked]
    metrics["macro_auc"] = {"value": value, "low": low, "high": high, "left_out": left_out}
    fewest = clustered.fewest_in_a_class(true, groups)
    for name in ("balanced_accuracy", "mean_per_class_accuracy", "macro_f1", "macro_auc"):
        metric = metrics[name]
        if metric["value"] is not None and metric["low"] is None and fewest < FEWEST_PER_CLASS:
            metric["fewest"] = fewest
    metrics["log_loss"] = _mean(_losses(predictions.probabilities, true), groups)
    metrics["brier"] = _mean(_squared_errors(predictions.probabilities, true), groups)
    metrics |= _calibration_errors(predictions, temperature, seed)
    if validation is not None:
        metrics |= _by_validation(predictions, validation)
    if leaked is not None:
        metrics |= _without_leaks(predictions, leaked)
    return metrics


def explained(
    metrics: dict[str, dict[str, Any]],
    predictions: Predictions,
    *,
    validation: Predictions | None = None,
    temperature: float | None = None,
) -> dict[str, dict[str, Any]]:
    """Return metrics with every number that a page shows beside them; what they hold already stays.

    accuracy
        "classes": per_class; "confused": most_confused; "sure_mistakes": how many had a confidence of SURE;
        "by_confidence" and, with a temperature, "by_confidence_before": calibration.reliability;
        "by_coverage": abstention.risk_coverage.
    log_loss
        "before": without the temperature.
    answered, set_coverage, with a validation set
        "levels": abstention.levels; "sizes": how many pictures have a set of so many classes, and "sets", the
        rule's guarantee. Where they could not be had, their value is None and "reason" says why: see
        abstention.why_none and prediction_sets.too_few.

    metrics.json of earlier versions lacks these: read through this function, it has them.
    """
    if not len(predictions):
        return metrics
    wrong = predictions.probabilities.argmax(axis=1) != predictions.true_index
    more: dict[str, dict[str, Any]] = {
        "accuracy": {
            "classes": per_class(predictions),
            "confused": most_confused(predictions),
            "sure_mistakes": int((wrong & (predictions.confidence >= SURE)).sum()),
            "by_confidence": calibration.reliability(predictions),
            "by_coverage": abstention.risk_coverage(predictions),
        }
    }
    if temperature is not None:
        before = calibration.untempered(predictions, temperature)
        more["accuracy"]["by_confidence_before"] = calibration.reliability(before)
        more["log_loss"] = {"before": mean_log_loss(before)}
    if validation is not None and len(validation):
        more |= _guarantees(predictions, validation)
    return metrics | {name: entry | metrics.get(name, {}) for name, entry in more.items()}


def _guarantees(predictions: Predictions, validation: Predictions) -> dict[str, dict[str, Any]]:
    """Return what explains set_coverage and answered: the rule, thresholds; or why there is none."""
    missing: dict[str, Any] = {"value": None, "low": None, "high": None}
    answered: dict[str, Any] = {"levels": abstention.levels(predictions, validation)}
    if abstention.next_threshold(validation) is None:
        answered |= missing | {"reason": abstention.why_none(validation)}
    few = prediction_sets.too_few(validation, SET_COVERAGE)
    if few is not None:
        return {"answered": answered, "set_coverage": missing | {"wanted": SET_COVERAGE, "reason": few}}
    sets = prediction_sets.PredictionSets.fit(validation, SET_COVERAGE)
    sizes, pictures = np.unique(sets.members(predictions.probabilities).sum(axis=1), return_counts=True)
    table = {str(size): count for size, count in zip(sizes.tolist(), pictures.tolist(), strict=True)}
    return {"answered": answered, "set_coverage": {"sets": sets.guarantee, "sizes": table}}


def per_class(predictions: Predictions) -> list[dict[str, Any]]:
    """Return one {"class", "pictures", "precision", "recall", "f1"} a class, in the order of the class list.

    "precision_interval" and "recall_interval" beside them: Wilson's, [low, high]. A class without pictures
    has no recall and no F1, one never predicted no precision: None. "taken_for": the classes that it is most
    often taken for, the first of "alike" many, "times" each; None where it is taken for no other.
    """
    mistakes = confusion(predictions)
    np.fill_diagonal(mistakes, 0)
    true = predictions.true_index
    named = predictions.probabilities.argmax(axis=1)

    def share(rows: np.ndarray) -> tuple[float | None, list[float] | None]:
        hits = (true == named)[rows]
        if not len(hits):
            return None, None
        return float(hits.mean()), list(clustered.share_interval(hits, predictions.groups_of(rows)))

    rows = []
    for c, name in enumerate(predictions.classes):
        recall, recall_interval = share(np.flatnonzero(true == c))
        precision, precision_interval = share(np.flatnonzero(named == c))
        pictures, predicted = int((true == c).sum()), int((named == c).sum())
        right = int(((true == c) & (named == c)).sum())
        other, times = int(mistakes[c].argmax()), int(mistakes[c].max())
        rows.append(
            {
                "class": name,
                "pictures": pictures,
                "precision": precision,
                "precision_interval": precision_interval,
                "recall": recall,
                "recall_interval": recall_interval,
                "f1": 2 * right / (pictures + predicted) if pictures else None,
                "taken_for": predictions.classes[other] if times else None,
                "alike": int((mistakes[c] == times).sum()) if times else 0,
                "times": times,
            }
        )
    return rows


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
        raise DataError("The prediction table holds no pictures.", "Choose a split with a test set.")
    wrong = ~np.isfinite(predictions.probabilities).all(axis=1)
    if wrong.any():
        first = predictions.paths[int(np.flatnonzero(wrong)[0])]
        raise DataError(
            f"{int(wrong.sum()):,} of {len(predictions):,} pictures have a probability that is not a finite "
            f"number (the first: {first}).",
            "Train again with a lower learning rate.",
        )
    return predictions.true_index


def _proportion(hits: np.ndarray, groups: np.ndarray | None) -> dict[str, Any]:
    """Return the share of hits, bool (n,), with its interval; groups (n,), see clustered."""
    n = len(hits)
    if not n:
        return {"value": None, "low": None, "high": None, "correct": 0, "pictures": 0}
    correct = int(hits.sum())
    low, high = clustered.share_interval(hits, groups)
    entry = {"value": correct / n, "low": low, "high": high, "correct": correct, "pictures": n}
    if groups is None:
        return entry
    return entry | {"groups": len(np.unique(groups)), "independent": clustered.independent(hits, groups)}


def _mean(values: np.ndarray, groups: np.ndarray | None, least: float = 0.0) -> dict[str, Any]:
    """Return the mean of values (n,), none of them below the least, with its interval."""
    low, high = clustered.mean_interval(values - least, groups)
    if low is None or high is None:
        return {"value": float(values.mean()), "low": None, "high": None}
    return {"value": float(values.mean()), "low": least + low, "high": least + high}


def _rank_of_truth(probabilities: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return how many classes come before the true one, int (n,); the first of equals wins."""
    of_truth = np.take_along_axis(probabilities, true[:, None], axis=1)
    earlier = np.arange(probabilities.shape[1]) < true[:, None]
    return ((probabilities > of_truth) | ((probabilities == of_truth) & earlier)).sum(axis=1)


def mean_log_loss(predictions: Predictions) -> float:
    """Return the mean of -ln(probability of the truth), in nats, clipped as in compute_metrics."""
    return float(_losses(predictions.probabilities, predictions.true_index).mean())


def _losses(probabilities: np.ndarray, true: np.ndarray) -> np.ndarray:
    of_truth = probabilities[np.arange(len(true)), true]
    return -np.log(np.clip(of_truth.astype(np.float64), CLIP, 1 - CLIP))


def _squared_errors(probabilities: np.ndarray, true: np.ndarray) -> np.ndarray:
    missed = probabilities.astype(np.float64)
    missed[np.arange(len(true)), true] -= 1
    return np.einsum("ij,ij->i", missed, missed) / (2 if probabilities.shape[1] == 2 else 1)


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
    """Judge on the table what is fitted or chosen on the validation set."""
    if validation.classes != predictions.classes:
        raise DataError(
            "The tables of the validation and of the test set have different classes.",
            "Restore them, or train again.",
        )
    metrics: dict[str, dict[str, Any]] = {}
    true, groups = predictions.true_index, predictions.groups
    if not prediction_sets.too_few(validation, SET_COVERAGE):
        sets = prediction_sets.PredictionSets.fit(validation, SET_COVERAGE)
        members = sets.members(predictions.probabilities)
        how = {"wanted": SET_COVERAGE}
        held = members[np.arange(len(true)), true]
        independent = round(clustered.independent(held, groups))
        p_value = sets.p_value(round(float(held.mean()) * independent), independent)
        metrics["set_coverage"] = _proportion(held, groups) | how | {"p_value": p_value}
        metrics["set_size"] = _mean(members.sum(axis=1).astype(np.float64), groups, least=1.0) | how
    chosen = abstention.next_threshold(validation)
    if chosen is not None:
        how = {name: chosen[name] for name in ("wanted", "threshold")}
        answered = predictions.confidence >= chosen["threshold"]
        right = (predictions.probabilities.argmax(axis=1) == true)[answered]
        metrics["answered"] = _proportion(answered, groups) | how
        metrics["accuracy_answered"] = _proportion(right, predictions.groups_of(answered)) | how
    return metrics


def _without_leaks(predictions: Predictions, leaked: Collection[str]) -> dict[str, dict[str, Any]]:
    leaked = set(leaked)
    kept = np.array([path not in leaked for path in predictions.paths], dtype=bool)
    right = (predictions.predicted == predictions.true)[kept]
    clean = _proportion(right, predictions.groups_of(kept))
    return {"accuracy_without_leaks": clean | {"leaked": int((~kept).sum())}}
