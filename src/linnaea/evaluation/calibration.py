"""Calibration: do stated probabilities keep what they say, and the one number that mends them."""

from dataclasses import replace

import numpy as np
import scipy

from linnaea.evaluation import clustered
from linnaea.evaluation.predictions import Predictions
from linnaea.random_streams import Purpose, stream

# Guo et al. 2017, section 4; the literature's habit since.
BINS = 15
# Of ln T, before any picture is seen: a normal distribution around 0. Networks are seldom more than twice as
# bold, or twice as timid, as they should be. benchmarks/small_sets.py measured this width beside others.
DEVIATION = 0.5
# Beyond these a temperature says that something else is wrong.
LOWEST, HIGHEST = 0.05, 20.0
# A probability of zero is one that float32 could not hold; the truth must not be infinitely unlikely.
_SMALLEST = float(np.finfo(np.float32).smallest_subnormal)
_SIMULATIONS = 500


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return softmax(log(probabilities) / temperature), float64 (n, classes), rows summing to one.

    The same as dividing the logits before their softmax; a temperature of 1 / T undoes one of T.
    """
    with np.errstate(divide="ignore"):
        return scipy.special.softmax(np.log(probabilities.astype(np.float64)) / temperature, axis=1)


def untempered(predictions: Predictions, temperature: float) -> Predictions:
    """Return the table as the network stated it before its temperature."""
    return replace(predictions, probabilities=tempered(predictions.probabilities, 1 / temperature))


def fit_temperature(validation: Predictions) -> float:
    """Return the most probable temperature of a table made at temperature 1, between LOWEST and HIGHEST.

    The log loss decides (Guo, Pleiss, Sun and Weinberger 2017, arXiv:1706.04599, section 4.2), and beside it
    that ln T is normal with DEVIATION around 0, which weighs as much as a few pictures (maximum a
    posteriori). A dozen pictures that are all right would else ask for certainty, and one lucky or unlucky
    picture of twenty for a temperature that makes the probabilities worse than they were.

    Raises DataError for a class that is not in the class list.
    """
    n, true = len(validation), validation.true_index
    p = validation.probabilities.astype(np.float64)
    log_p = np.log(np.where(p > 0, p, _SMALLEST))
    of_class = log_p[np.arange(n), true]

    def improbability(log_temperature: float) -> float:
        colder = np.exp(-log_temperature)
        loss = (scipy.special.logsumexp(log_p * colder, axis=1) - of_class * colder).sum()
        return float(loss + (log_temperature / DEVIATION) ** 2 / 2)

    from scipy.optimize import minimize_scalar

    bounds = np.log(LOWEST), np.log(HIGHEST)
    optimum = minimize_scalar(improbability, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    return float(np.exp(optimum.x))


def reliability(
    predictions: Predictions, bins: int = BINS, *, adaptive: bool = False
) -> list[dict[str, float]]:
    """Return one point of the reliability diagram for each bin that holds a picture, confidence rising.

    {"from", "to"}: edges in confidence, the upper one included; adaptive: those of the pictures in it
    {"confidence", "accuracy"}: means over its pictures, 0..1
    {"low", "high"}: Wilson's 95 % interval of the accuracy
    {"pictures"}: how many

    adaptive: bins of equally many pictures (Nixon et al. 2019, arXiv:1904.01685), not of equal width.
    """
    confidence = predictions.confidence
    right = predictions.probabilities.argmax(axis=1) == predictions.true_index
    number = _bin_numbers(confidence, bins, adaptive)
    points = []
    for b in np.unique(number):
        inside = number == b
        low, high = clustered.share_interval(right[inside], predictions.groups_of(inside))
        seen = confidence[inside]
        edges = (seen.min(), seen.max()) if adaptive else (b / bins, (b + 1) / bins)
        points.append(
            {
                "from": float(edges[0]),
                "to": float(edges[1]),
                "confidence": float(seen.mean()),
                "accuracy": float(right[inside].mean()),
                "low": low,
                "high": high,
                "pictures": int(inside.sum()),
            }
        )
    return points


def expected_calibration_error(
    predictions: Predictions, bins: int = BINS, *, adaptive: bool = False
) -> float:
    """Return the mean distance between confidence and accuracy over bins, weighted by pictures, 0..1.

    Naeini, Cooper and Hauskrecht 2015 (AAAI, 2901-2907), of the predicted class; bins as in reliability.
    """
    confidence = predictions.confidence
    right = predictions.probabilities.argmax(axis=1) == predictions.true_index
    number = _bin_numbers(confidence, bins, adaptive)
    return float(np.abs(np.bincount(number, right - confidence)).sum() / len(predictions))


def error_by_chance(predictions: Predictions, bins: int = BINS, *, seed: int = 0) -> tuple[float, float]:
    """Return the mean and the 95th percentile of the calibration error if every confidence were honest.

    A finite table shows an error even then: outcomes are drawn anew from the stated confidences (Bröcker and
    Smith 2007, Weather and Forecasting 22:651-661). Each by itself, as if no two pictures belonged together.
    """
    confidence = predictions.confidence
    number = _bin_numbers(confidence, bins, adaptive=False)
    member = np.zeros((len(confidence), bins), dtype=np.float32)
    member[np.arange(len(confidence)), number] = 1
    stated = np.bincount(number, confidence, minlength=bins)
    generator = stream(seed, Purpose.BOOTSTRAP, index=1)
    errors = np.empty(_SIMULATIONS)
    for i in range(_SIMULATIONS):
        right = (generator.random(len(confidence)) < confidence).astype(np.float32)
        errors[i] = np.abs(right @ member - stated).sum() / len(confidence)
    return float(errors.mean()), float(np.quantile(errors, 0.95))


def _bin_numbers(confidence: np.ndarray, bins: int, adaptive: bool) -> np.ndarray:
    """Return the bin of each picture, int (n,) in 0..bins-1."""
    if adaptive:
        number = np.empty(len(confidence), dtype=np.int64)
        for b, rows in enumerate(np.array_split(np.argsort(confidence, kind="stable"), bins)):
            number[rows] = b
        return number
    # Closed above, as in Guo et al.: a confidence of exactly one belongs to the last bin.
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
