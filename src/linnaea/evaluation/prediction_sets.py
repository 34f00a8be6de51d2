"""Prediction sets: the few classes that contain the true class as often as guaranteed (split conformal)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from linnaea.errors import DataError, SettingError
from linnaea.evaluation import conformal
from linnaea.evaluation.predictions import Predictions
from linnaea.text import option


@dataclass(frozen=True)
class PredictionSets:
    """A rule that answers a picture with a set of classes: those that are probable enough.

    Of all rules with a coverage, that with one threshold for all probabilities makes the smallest sets on
    average (least ambiguous sets: Sadinle, Lei and Wasserman 2019, JASA 114:223-234).

    Over pictures drawn as those of the validation set were, the truth lies in the set with at least this
    coverage, whatever the network (split conformal prediction; see conformal). It holds on average over
    pictures, not for each class. Temperature and epoch were chosen on the same pictures, which the theory
    does not foresee: measured, the loss is far below what chance does to one set (docs/trust.md).

    coverage: float
        Wanted, 0..1.
    threshold: float
        A class belongs to the set where 1 - its probability is no larger.
    mean_size: float
        Classes in a set, mean over the validation set.
    pictures, held: int
        Of the validation set, and how many of them have the truth in their set: more than was wanted, where
        the likeliest class alone is right that often.
    independent: int
        How many independent pictures carry as much information (see clustered): guarantees rest on them.
    """

    coverage: float
    threshold: float
    mean_size: float
    pictures: int
    held: int
    independent: int

    @classmethod
    def fit(cls, validation: Predictions, coverage: float = 0.95) -> "PredictionSets":
        """Return the rule with this coverage.

        The threshold is a score of the validation pictures' truths: see conformal.threshold.

        Raises SettingError for a coverage outside 0..1, DataError where n is too small for it, or a picture
        has a class that is not in the class list.
        """
        if not 0 < coverage < 1:
            raise SettingError(f"coverage must lie between 0 and 1; received {coverage:g}.", "Try 0.95.")
        n, true = len(validation), validation.true_index
        independent = independent_pictures(validation, coverage)
        threshold = conformal.threshold(_scores_of_truth(validation), coverage, independent)
        if threshold is None:
            kind = "picture" if independent == 1 else "pictures"
            alike = f", which carry as much information as {independent:,} independent {kind}"
            alike = alike if independent < n else ""
            raise DataError(
                f"Sets that contain the true class {100 * coverage:g} % of the time need at least "
                f"{conformal.fewest(coverage):,} validation pictures; there are {n:,}{alike}.",
                f"Ask for a lower coverage, or train with a larger {option('validation')}.",
            )
        members = _members(validation.probabilities, threshold)
        held = int(members[np.arange(n), true].sum())
        return cls(coverage, threshold, float(members.sum(axis=1).mean()), n, held, independent)

    @property
    def confidence(self) -> float:
        """How sure it is that the coverage of new pictures is as high as wanted, 0..1.

        conformal.CONFIDENCE or more, where there are conformal.surest pictures.
        """
        return conformal.confidence(self._held, self.independent, self.coverage)

    @property
    def mean_coverage(self) -> float:
        """The coverage of new pictures on average over validation sets, 0..1."""
        return self._held / (self.independent + 1)

    @property
    def _held(self) -> float:
        """How many of the independent pictures are held."""
        return self.held * self.independent / self.pictures

    def p_value(self, held: int, pictures: int) -> float:
        """Return how probable it is that of so many new pictures at most `held` have the truth in their set.

        Of pictures drawn as the validation set was; see conformal.chance. held, pictures: independent ones.
        """
        return conformal.chance(held, pictures, self._held, self.independent)

    @property
    def guarantee(self) -> dict[str, float | int]:
        """What is guaranteed: {"coverage", "threshold", "confidence", "mean_coverage", "pictures", …}."""
        names = ("coverage", "threshold", "confidence", "mean_coverage", "pictures", "independent")
        return {name: getattr(self, name) for name in names}

    def members(self, probabilities: np.ndarray) -> np.ndarray:
        """Return which classes belong to each picture's set, bool (n, classes); never an empty set."""
        return _members(probabilities, self.threshold)


def independent_pictures(validation: Predictions, coverage: float) -> int:
    """Return how many independent pictures carry as much information about a coverage as these do."""
    return conformal.independent(_scores_of_truth(validation), coverage, validation.groups)


def too_few(validation: Predictions, coverage: float) -> dict[str, Any] | None:
    """Return why a validation set is too small for a coverage; None where it is not.

    {"code": "too_few", "wanted", "pictures", "independent", "needed"}: of this coverage so many independent
    pictures are needed.
    """
    needed, independent = conformal.fewest(coverage), independent_pictures(validation, coverage)
    if independent >= needed:
        return None
    numbers = {"pictures": len(validation), "independent": independent, "needed": needed}
    return {"code": "too_few", "wanted": coverage, **numbers}


def broken(metrics: Mapping[str, Mapping[str, Any]]) -> bool:
    """Tell whether metrics.json's sets held fewer than was guaranteed, and than chance explains."""
    entry = metrics.get("set_coverage", {})
    value, wanted, chance = (entry.get(name) for name in ("value", "wanted", "p_value"))
    # Runs that were evaluated earlier have no p_value.
    if value is None or wanted is None or chance is None:
        return False
    return bool(value < wanted and chance < conformal.UNLIKELY)


def _scores_of_truth(table: Predictions) -> np.ndarray:
    return (1 - table.probabilities)[np.arange(len(table)), table.true_index]


def _members(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    # As in fit: 1 - p, because p >= 1 - threshold can round to the other side.
    members = 1 - probabilities <= threshold
    # An empty set helps nobody; the likeliest class can only add to the coverage.
    members[np.arange(len(members)), probabilities.argmax(axis=1)] = True
    return members
