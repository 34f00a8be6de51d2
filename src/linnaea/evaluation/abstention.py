"""Abstention: what accuracy a model reaches if it may leave doubtful pictures unanswered."""

from typing import Any

import numpy as np
import scipy

from linnaea.evaluation import clustered
from linnaea.evaluation.conformal import CONFIDENCE
from linnaea.evaluation.predictions import Predictions

# What a person may want, one step at a time: the first that lies above what the model reaches unasked.
WANTED = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
# Shares of the validation set, the surest pictures first, from which a threshold is looked for.
STARTS = (0.2, 0.4, 0.6, 0.8, 1.0)
MOST = 200  # thresholds that are looked at, and points of a curve


def risk_coverage(predictions: Predictions, most: int = MOST) -> list[dict[str, float]]:
    """Return accuracy against coverage, coverage falling from 1, at most `most` points.

    El-Yaniv and Wiener 2010 (JMLR 11:1605-1641). The model answers a picture when its confidence is at least
    {"threshold"}: {"coverage"} is the share that it answers, {"pictures"} their number, {"accuracy"} the
    share of these that is right, with Wilson's 95 % interval {"low", "high"}.
    """
    order, right, ends = _answered(predictions)
    confidence = predictions.confidence[order]
    points = []
    for last in _thinned(ends, most)[::-1]:
        pictures = int(last) + 1
        answered = right[:pictures]
        low, high = clustered.share_interval(answered, predictions.groups_of(order[:pictures]))
        points.append(
            {
                "threshold": float(confidence[last]),
                "coverage": pictures / len(predictions),
                "accuracy": float(answered.mean()),
                "low": low,
                "high": high,
                "pictures": pictures,
            }
        )
    return points


def threshold_for(validation: Predictions, wanted: float) -> dict[str, Any] | None:
    """Return the lowest confidence from which on answers are right as often as wanted, with 95 % confidence.

    Learn then test (Angelopoulos et al. 2021, arXiv:2110.01052, fixed sequences from several starts): from
    each of STARTS on to more pictures as long as Clopper and Pearson's lower bound (1934) of the accuracy is
    no less than wanted, 0..1, which must not depend on validation. Each start has an equal part of the doubt,
    so that a lucky handful guarantees nothing. Pictures in groups count as the independent pictures
    that carry as much information.

    Returns {"wanted", "threshold", "answered", "accuracy"}, the last two shares of the validation set; None
    where no threshold can guarantee so much.
    """
    return _threshold(validation, _bounds(validation), wanted)


def _bounds(validation: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers of answered pictures, the surest first, and the least share of each that is right."""
    order, right, ends = _answered(validation)
    answered = _thinned(ends, MOST) + 1
    doubt = (1 - CONFIDENCE) / len(STARTS)
    least = [_least(right[:n], validation.groups_of(order[:n]), doubt) for n in answered]
    return answered, np.array(least)


def _threshold(
    validation: Predictions, bounds: tuple[np.ndarray, np.ndarray], wanted: float
) -> dict[str, Any] | None:
    order, right, _ = _answered(validation)
    answered, kept = bounds[0], bounds[1] >= wanted
    starts = np.searchsorted(answered, np.array(STARTS) * len(right) - 1e-9)
    # The end of the unbroken row of kept guarantees from each start; before it, where the first is broken.
    lasts = [start + int(np.append(~kept[start:], True).argmax()) - 1 for start in starts]
    best = max((last for start, last in zip(starts, lasts, strict=True) if last >= start), default=None)
    if best is None:
        return None
    number = int(answered[best])
    return {
        "wanted": wanted,
        "threshold": float(validation.confidence[order[number - 1]]),
        "answered": number / len(right),
        "accuracy": float(right[:number].mean()),
    }


def next_threshold(validation: Predictions) -> dict[str, Any] | None:
    """Return threshold_for the next step of WANTED above the validation accuracy; None where it cannot be.

    The step is chosen on the pictures that its bound is computed from, and CONFIDENCE is that of a level
    wanted beforehand: only simulations say that this choice breaks no more guarantees (test_abstention).
    """
    wanted = _next_wanted(validation)
    return None if wanted is None else threshold_for(validation, wanted)


def why_none(validation: Predictions) -> dict[str, Any]:
    """Return why next_threshold is None for a validation set.

    {"code": "too_good", "right", "pictures", "guaranteed"}: it is above every step, and so much, 0..1, is
    guaranteed without a threshold; {"code": "too_hard", "wanted"}: that step cannot be guaranteed.
    """
    wanted = _next_wanted(validation)
    if wanted is not None:
        return {"code": "too_hard", "wanted": wanted}
    right = validation.predicted == validation.true
    guaranteed = _least(right, validation.groups, 1 - CONFIDENCE)
    return {"code": "too_good", "right": int(right.sum()), "pictures": len(right), "guaranteed": guaranteed}


def levels(predictions: Predictions, validation: Predictions) -> list[dict[str, Any]]:
    """Return, for each of WANTED, validation's threshold and what it gives on a table of predictions.

    {"wanted", "threshold", "answered", "accuracy", "low", "high"}; without a threshold the others are None,
    and without an answered picture the last three.
    """
    rows = []
    right, bounds = predictions.predicted == predictions.true, _bounds(validation)
    for wanted in WANTED:
        row = dict.fromkeys(("threshold", "answered", "accuracy", "low", "high"))
        if (rule := _threshold(validation, bounds, wanted)) is not None:
            answered = predictions.confidence >= rule["threshold"]
            row |= {"threshold": rule["threshold"], "answered": float(answered.mean())}
            if answered.any():
                low, high = clustered.share_interval(right[answered], predictions.groups_of(answered))
                row |= {"accuracy": float(right[answered].mean()), "low": low, "high": high}
        rows.append({"wanted": wanted, **row})
    return rows


def _next_wanted(validation: Predictions) -> float | None:
    accuracy = float((validation.predicted == validation.true).mean())
    return next((wanted for wanted in WANTED if wanted > accuracy), None)


def _least(right: np.ndarray, groups: np.ndarray | None, doubt: float) -> float:
    """Return Clopper and Pearson's lower bound of the share that is right, missed with a chance of doubt."""
    trials = clustered.independent(right, groups)
    hits = float(right.mean()) * trials
    return float(scipy.special.betaincinv(hits, trials - hits + 1, doubt)) if hits > 0 else 0.0


def _thinned(ends: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many of these positions, evenly, the first and the last among them."""
    return ends[np.unique(np.linspace(0, len(ends) - 1, min(most, len(ends))).round().astype(int))]


def _answered(predictions: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows, the surest first, whether each is right, and where among them a threshold can stand.

    Pictures of equal confidence are answered together or not at all.
    """
    order = np.argsort(-predictions.confidence, kind="stable")
    right = (predictions.probabilities.argmax(axis=1) == predictions.true_index)[order]
    steps = np.flatnonzero(np.diff(predictions.confidence[order]))
    return order, right, np.append(steps, len(order) - 1)
