"""Abstention: what accuracy a model reaches if it may leave doubtful pictures unanswered."""

from typing import Any

import numpy as np

from linnaea.evaluation import grouped
from linnaea.evaluation.predictions import Predictions

# What a person may want, one step at a time: the first that lies above what the model reaches unasked.
WANTED = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


def risk_coverage(predictions: Predictions, most: int = 200) -> list[dict[str, float]]:
    """Return accuracy against coverage, coverage falling from 1, at most `most` points.

    El-Yaniv and Wiener 2010 (JMLR 11:1605-1641). The model answers a picture when its confidence is at least
    {"threshold"}: {"coverage"} is the share that it answers, {"pictures"} their number, {"accuracy"} the
    share of these that is right, with Wilson's 95 % interval {"low", "high"}.
    """
    order, right, ends = _answered(predictions)
    confidence = predictions.confidence[order]
    if len(ends) > most:
        ends = ends[np.unique(np.linspace(0, len(ends) - 1, most).round().astype(int))]
    points = []
    for last in ends[::-1]:
        pictures = int(last) + 1
        answered = right[:pictures]
        low, high = grouped.share_interval(answered, predictions.groups_of(order[:pictures]))
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
    """Return the lowest confidence from which on the answers reach the wanted accuracy, 0..1.

    Chosen on the validation part, as if one more picture were answered, and wrongly: (mistakes + 1) of
    (answered + 1) may not pass 1 - wanted. That is the correction of conformal risk control (Angelopoulos et
    al. 2022, arXiv:2208.02814), and keeps a lucky handful of pictures from promising anything. It is no
    guarantee here, since accuracy need not rise with confidence: the test part says what came of it.

    Returns {"wanted", "threshold", "answered", "accuracy"}, the last two shares of the validation part; None
    where no threshold keeps the promise.
    """
    order, right, ends = _answered(validation)
    correct, answered = np.cumsum(right), ends + 1
    # A hair's breadth of room: 1 - 0.99 is not quite a hundredth in binary.
    allowed = (answered - correct[ends] + 1) / (answered + 1) <= 1 - wanted + 1e-12
    if not allowed.any():
        return None
    last = int(ends[allowed][-1])
    return {
        "wanted": wanted,
        "threshold": float(validation.confidence[order[last]]),
        "answered": (last + 1) / len(validation),
        "accuracy": int(correct[last]) / (last + 1),
    }


def next_threshold(validation: Predictions) -> dict[str, Any] | None:
    """Return threshold_for the next step of WANTED above the validation accuracy; None where it cannot be."""
    wanted = _next_wanted(validation)
    return None if wanted is None else threshold_for(validation, wanted)


def why_none(validation: Predictions) -> str:
    """Return why next_threshold is None for a validation part, without a full stop."""
    wanted = _next_wanted(validation)
    if wanted is None:
        right = int((validation.predicted == validation.true).sum())
        return f"{right:,} of {len(validation):,} validation pictures are named right without one"
    return f"validation is too small, or too hard, to promise {100 * wanted:g} % right answers"


def _next_wanted(validation: Predictions) -> float | None:
    accuracy = float((validation.predicted == validation.true).mean())
    return next((wanted for wanted in WANTED if wanted > accuracy), None)


def _answered(predictions: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows, the surest first, whether each is right, and where among them a threshold can stand.

    Pictures of equal confidence are answered together or not at all.
    """
    order = np.argsort(-predictions.confidence, kind="stable")
    right = (predictions.probabilities.argmax(axis=1) == predictions.true_index)[order]
    steps = np.flatnonzero(np.diff(predictions.confidence[order]))
    return order, right, np.append(steps, len(order) - 1)
