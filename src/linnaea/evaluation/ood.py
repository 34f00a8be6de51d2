"""Out-of-distribution pictures: a score of how unlike the classes a picture is, and its threshold.

Two things speak for it. The network cannot decide between its classes: that betrays what resembles several of
them, as a new kind of flower does. Or the picture's features lie far from those of every class: that betrays
what resembles nothing, as noise does, and of which networks may be very certain. The score is

    (1 - largest probability) / deviation  +  WEIGHT · (squared distance to the nearest class) / deviation

with the deviations of both over the pictures that set the threshold. Doubt as in Hendrycks and Gimpel 2017
(arXiv:1610.02136), from untempered probabilities; the distance between features of length one, as in Sun et
al. 2022 (arXiv:2204.06507), to the mean of each class's; to join both kinds is the idea of Wang et al. 2022
(ViM, arXiv:2203.10807). benchmarks/outliers.py measured it beside energy, largest logit, Mahalanobis, nearest
neighbours and others, on classes of the validation set that training did not have.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from linnaea.errors import DataError
from linnaea.evaluation import conformal
from linnaea.reading import read_bytes

# Of the distance beside the doubt. AUROC on held-out classes is flat between 0.15 and 0.3; noise needs 0.15.
WEIGHT = 0.25
# The share of pictures of the classes that may be flagged, unless another is asked for.
FALSE_ALARMS = 0.05
# exp(-SHARPNESS · d² / spread): how fast a class's claim falls with the distance, where distances stand in
# for the network's probabilities. 3 to 10 are alike.
SHARPNESS = 5.0
# Deviations are at least this: among pictures of which the network is certain to the last digit, nothing
# measurable would be divided by nothing. Both quantities lie between 0 and 4.
_LEAST_DEVIATION = 1e-3
# Rows of features that are float64 at a time.
_ROWS = 4096
_FORMAT_VERSION = 1
_CURE = "Restore the file, or train again."


@dataclass(frozen=True, eq=False)
class OutlierScore:
    """What tells pictures of the classes from out-of-distribution pictures.

    means: ndarray of float32 (classes, width)
        Of each class's features of length one.
    doubt: "network" or "distances"
        Whose probabilities: the network's, or those that the distances to the means suggest. The latter where
        the threshold comes from training pictures, of which the network is too certain.
    spread: float
        Mean squared distance of a training picture to the mean of its class.
    doubt_scale, distance_scale: float
        Deviations of both parts over the pictures that set the threshold.
    threshold: float
        A picture with a score above it is flagged.
    asked, seen: float
        The false-alarm rate that was asked for, and the share of those pictures whose score is above. Few
        pictures cannot guarantee the former: see guaranteed.
    pictures, independent: int
        How many they were, and how many independent pictures carry as much information: see clustered.
    split: "validation" or "training"
        The set that they are from.
    """

    means: np.ndarray
    doubt: str
    spread: float
    doubt_scale: float
    distance_scale: float
    threshold: float
    asked: float
    seen: float
    pictures: int
    independent: int
    split: str

    @property
    def guaranteed(self) -> float:
        """The false-alarm rate that the threshold keeps, on average at least."""
        return guaranteed_rate(self.asked, self.independent)

    @property
    def _below(self) -> float:
        """How many of the independent pictures that set the threshold keep below it."""
        return (1 - self.seen) * self.independent

    @property
    def is_sure(self) -> bool:
        """Whether the asked rate is guaranteed with conformal.CONFIDENCE."""
        confidence = conformal.confidence(self._below, self.independent, 1 - self.asked)
        return confidence >= conformal.CONFIDENCE

    @property
    def surely_guaranteed(self) -> float:
        """The false-alarm rate that the threshold keeps with conformal.CONFIDENCE."""
        return 1 - conformal.sure_share(self._below, self.independent)

    def p_value(self, above: int, pictures: int) -> float:
        """Return how probable at least so many false alarms of so many new, independent pictures are.

        Of pictures drawn as those that set the threshold: see conformal.chance.
        """
        return conformal.chance(pictures - above, pictures, self._below, self.independent)

    def scores(self, features: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Return float64 (n,), the larger the less like any class.

        features: (n, width), as the classifier's features() gives them
        probabilities: (n, classes), untempered: see calibration.tempered

        Raises DataError for other shapes, and for features that are not finite.
        """
        if features.shape[1] != self.means.shape[1] or probabilities.shape != (
            len(features),
            len(self.means),
        ):
            raise DataError(
                f"The outlier score was fitted to features of width {self.means.shape[1]} and "
                f"{len(self.means)} classes; received features {features.shape} and "
                f"probabilities {probabilities.shape}.",
                "Use it with the network that it was fitted to.",
            )
        scores = np.empty(len(features))
        for start in range(0, len(features), _ROWS):
            rows = slice(start, start + _ROWS)
            distances = squared_distances(unit_length(features[rows]), self.means)
            claims = probabilities[rows] if self.doubt == "network" else _claims(distances, self.spread)
            scores[rows] = _doubts(claims) / self.doubt_scale
            scores[rows] += WEIGHT * distances.min(axis=1) / self.distance_scale
        return scores

    def is_ood(self, scores: np.ndarray) -> np.ndarray:
        """Return whether each picture is flagged as out-of-distribution, bool (n,)."""
        return scores > self.threshold

    def to_files(self) -> tuple[bytes, dict[str, Any]]:
        """Return what outliers.safetensors and outliers.json hold."""
        from safetensors.numpy import save

        values = {name: value for name, value in asdict(self).items() if name != "means"}
        shape = {"classes": self.means.shape[0], "width": self.means.shape[1]}
        return save({"means": self.means}), {"format_version": _FORMAT_VERSION, **shape, **values}

    @classmethod
    def read(cls, folder: Path, values: dict[str, Any]) -> "OutlierScore":
        """Return what to_files gave; values: outliers.json, read.

        Raises DataError, naming the file, for values that are missing or impossible, and for an array that
        is missing, damaged, of another shape or not finite.
        """
        described = {field.name for field in fields(cls)} - {"means"}
        path = folder / "outliers.json"
        # Once, each picture stood for itself, and the set was called a part.
        earlier = {"independent": values.get("pictures")}
        if "part" in values:
            earlier["split"] = values["part"]
        values = {**earlier, **values}
        fault = _fault(values, described)
        if fault:
            raise DataError(f"{path} is damaged: {fault}.", _CURE)
        means = _read_means(folder / "outliers.safetensors", (values["classes"], values["width"]))
        return cls(means=means, **{name: values[name] for name in described})


def fit_outlier_score(
    features: np.ndarray,
    targets: np.ndarray,
    *,
    validation: tuple[np.ndarray, np.ndarray] | None,
    groups: np.ndarray | None = None,
    asked: float = FALSE_ALARMS,
) -> OutlierScore:
    """Return the score with its threshold.

    features: (n, width); targets: int (n,)
        Of training pictures, each class present, numbered as the columns of probabilities.
    validation: (features (m, width), untempered probabilities (m, classes)) or None
        Pictures that training has not seen, which set the threshold. None: training pictures set it, each
        held against class means that leave itself out. The network has learned from them all the same, so
        that new pictures set off more false alarms than were asked for.
    groups: int (m,) or (n,), or None
        Of the pictures that set the threshold; see clustered.
    asked: float
        The wanted false-alarm rate, above 0 and below 1.

    Raises DataError for features that are not finite.
    """
    if not 0 < asked < 1:
        raise DataError(f"A false-alarm rate of {asked} is not possible.", "Pass one above 0 and below 1.")
    directions = unit_length(features)
    counts = np.bincount(targets)
    means = np.zeros((len(counts), directions.shape[1]))
    np.add.at(means, targets, directions)
    means = (means / counts[:, None]).astype(np.float32)
    left_out = _leaving_itself_out(directions, targets, means, counts)
    to_mean = left_out[np.arange(len(targets)), targets]
    # Where no class has two pictures, nothing is known of the differences within one.
    spread = float(to_mean[np.isfinite(to_mean)].mean()) if np.isfinite(to_mean).any() else 1.0
    if validation is None:
        distances, doubts = left_out, _doubts(_claims(left_out, spread))
    else:
        distances, doubts = squared_distances(unit_length(validation[0]), means), _doubts(validation[1])
    nearest = distances.min(axis=1)
    doubt_scale = max(float(doubts.std()), _LEAST_DEVIATION)
    distance_scale = max(float(nearest.std()), _LEAST_DEVIATION)
    scores = doubts / doubt_scale + WEIGHT * nearest / distance_scale
    independent = conformal.independent(scores, 1 - asked, groups)
    threshold = conformal_threshold(scores, asked, independent)
    return OutlierScore(
        means=means,
        doubt="distances" if validation is None else "network",
        spread=spread,
        doubt_scale=doubt_scale,
        distance_scale=distance_scale,
        threshold=threshold,
        asked=asked,
        seen=float((scores > threshold).mean()),
        pictures=len(scores),
        independent=independent,
        split="training" if validation is None else "validation",
    )


def conformal_threshold(scores: np.ndarray, asked: float, independent: int | None = None) -> float:
    """Return the value that a new score of the same kind exceeds with a chance of `asked` at most.

    With 95 % confidence over the pictures that set it, as many as are independent (split conformal, for
    outliers Bates et al. 2023, Annals of Statistics 51:149; see conformal). The largest score, where there
    are too few for that: with 5 %, below 59 pictures. It then holds on average, down to 19; below, the chance
    is that of guaranteed_rate.
    """
    threshold = conformal.threshold(scores, 1 - asked, independent)
    return float(scores.max()) if threshold is None else threshold


def too_many(metrics: Mapping[str, Mapping[str, Any]]) -> bool:
    """Tell whether metrics.json's false alarms are more than were guaranteed, and than chance explains."""
    entry = metrics.get("outliers", {})
    value, wanted, chance = (entry.get(name) for name in ("value", "wanted", "p_value"))
    # Runs that were evaluated earlier have no p_value.
    if value is None or wanted is None or chance is None:
        return False
    return bool(value > wanted and chance < conformal.UNLIKELY)


def guaranteed_rate(asked: float, pictures: int) -> float:
    """Return the false-alarm rate that a threshold from so many pictures keeps, 0..1: the asked one or more.

    Of n + 1 exchangeable scores each is as likely the largest, so that a new one lies above all n with a
    chance of 1 / (n + 1): no threshold among them guarantees less.
    """
    return max(asked, 1 / (pictures + 1))


def unit_length(features: np.ndarray) -> np.ndarray:
    """Return the rows of features (n, width) scaled to length one, float64; rows of zeros stay.

    Raises DataError where a value is not finite.
    """
    rows = np.asarray(features, dtype=np.float64)
    if not np.isfinite(rows).all():
        wrong = int((~np.isfinite(rows).all(axis=1)).sum())
        raise DataError(
            f"The features of {wrong:,} of {len(rows):,} pictures are not finite.", "Train the network again."
        )
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def squared_distances(rows: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return squared Euclidean distances (n, classes) of rows (n, width) to means (classes, width)."""
    means = means.astype(np.float64)
    squares = (rows * rows).sum(axis=1)[:, None] + (means * means).sum(axis=1)
    # Rounding may leave a hair below zero.
    return np.maximum(squares - 2 * rows @ means.T, 0)


def _leaving_itself_out(
    rows: np.ndarray, targets: np.ndarray, means: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    # Without x, m' = m - (x - m) / (n - 1), so that x - m' = (x - m) · n / (n - 1). A class of one picture
    # has no mean then.
    distances = squared_distances(rows, means)
    others = counts[targets] - 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = ((others + 1) / others) ** 2
    places = np.arange(len(rows)), targets
    distances[places] = np.where(others > 0, distances[places] * np.where(others > 0, factor, 1), np.inf)
    return distances


def _claims(distances: np.ndarray, spread: float) -> np.ndarray:
    return scipy.special.softmax(-SHARPNESS * distances / max(spread, 1e-12), axis=1)


def _doubts(probabilities: np.ndarray) -> np.ndarray:
    return 1 - probabilities.max(axis=1)


def _fault(values: dict[str, Any], described: set[str]) -> str:
    """Return what is wrong with outliers.json, or nothing."""
    missing = sorted((described | {"classes", "width", "format_version"}) - set(values))
    if missing:
        return f"it has no {missing[0]}"
    if values["format_version"] != _FORMAT_VERSION:
        return f"its format is {values['format_version']!r}, and this version reads {_FORMAT_VERSION}"
    for name, words in (("doubt", ("network", "distances")), ("split", ("validation", "training"))):
        if values[name] not in words:
            return f"{name} is {values[name]!r}, neither {words[0]} nor {words[1]}"
    for name in ("classes", "width", "pictures", "independent"):
        if type(values[name]) is not int or values[name] < 1:
            return f"{name} is {values[name]!r} and must be a whole number above 0"
    for name in ("spread", "doubt_scale", "distance_scale", "threshold", "asked", "seen"):
        number = values[name]
        # bool is a kind of int in Python.
        if type(number) not in (int, float) or not 0 <= number < math.inf:
            return f"{name} is {number!r} and must be a number, not below 0"
    if not min(values["doubt_scale"], values["distance_scale"]) > 0:
        return "a deviation is 0"
    return ""


def _read_means(path: Path, shape: tuple[int, int]) -> np.ndarray:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    # The header of one array takes far less than 4 KiB; a longer file is not ours, and is not read.
    longest = 4 * shape[0] * shape[1] + 4096
    try:
        arrays = load(read_bytes(path, longest))
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} could not be read ({error}).", _CURE) from error
    means = arrays.get("means")
    if means is None or means.shape != shape or means.dtype != np.float32:
        received = "none" if means is None else f"{means.dtype} {means.shape}"
        raise DataError(f"{path} should hold means, float32 {shape}; received {received}.", _CURE)
    if not np.isfinite(means).all():
        raise DataError(f"{path} holds values that are not finite.", _CURE)
    return means
