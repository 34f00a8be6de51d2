"""Prediction sets: the few classes that hold the truth as often as was promised (split conformal)."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from linnaea.errors import DataError, SettingError
from linnaea.evaluation import clustered, conformal
from linnaea.evaluation.predictions import Predictions


@dataclass(frozen=True)
class PredictionSets:
    """A rule that answers a picture with a set of classes: those that are probable enough.

    Of all rules with a coverage, that with one threshold for all probabilities makes the smallest sets on
    average (least ambiguous sets: Sadinle, Lei and Wasserman 2019, JASA 114:223-234).

    Over pictures drawn as those of the validation part were, the truth lies in the set with at least this
    coverage, whatever the network (split conformal prediction; see conformal). It holds on average over
    pictures, not for each class. Temperature and epoch were chosen on the same pictures, which the theory
    does not foresee: measured, the loss is far below what chance does to one part (docs/trust.md).

    coverage: float
        Wanted, 0..1.
    threshold: float
        A class belongs to the set where 1 - its probability is no larger.
    mean_size: float
        Classes in a set, mean over the validation part.
    pictures, held: int
        Of the validation part, and how many of them have the truth in their set: more than was wanted, where
        the likeliest class alone is right that often.
    independent: int
        How many independent pictures those tell as much as (see clustered): every promise rests on them.
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
            ones = "one" if independent == 1 else "ones"
            alike = f", which tell no more of that than {independent:,} independent {ones}"
            alike = alike if independent < n else ""
            raise DataError(
                f"Sets that hold the truth {100 * coverage:g} % of the time need at least "
                f"{conformal.fewest(coverage):,} validation pictures; there are {n:,}{alike}.",
                "Ask for a lower coverage, or train with a larger --validation.",
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
        """The coverage of new pictures on average over validation parts, 0..1."""
        return self._held / (self.independent + 1)

    @property
    def _held(self) -> float:
        """How many of the independent pictures are held."""
        return self.held * self.independent / self.pictures

    def p_value(self, held: int, pictures: int) -> float:
        """Return how probable it is that of so many new pictures at most `held` have the truth in their set.

        Of pictures drawn as the validation part was; see conformal.chance. held, pictures: independent ones.
        """
        return conformal.chance(held, pictures, self._held, self.independent)

    def promise(self) -> str:
        """Return what "these sets …" do, for a person, without a full stop."""
        wanted, sure = f"{100 * self.coverage:g} %", self.confidence
        parts = f"{self.pictures:,} validation picture{'s' if self.pictures > 1 else ''}"
        if clustered.matters(self.independent, self.pictures):
            ones = "one" if self.independent == 1 else "ones"
            parts += f", which tell as much as {self.independent:,} independent {ones}"
        if sure >= conformal.CONFIDENCE:
            return (
                f"hold the right class at least {wanted} of the time, with {100 * conformal.CONFIDENCE:g} % "
                f"confidence, and {100 * self.mean_coverage:.1f} % of the time on average (they rest on "
                f"{parts})"
            )
        kind = "independent" if self.independent < self.pictures else "validation"
        # Cut, not rounded: 94.99 % is not the 95 % that more pictures give.
        return (
            f"hold the right class {wanted} of the time or more on average, and with "
            f"{math.floor(100 * sure)} % confidence: they rest on {parts}, and "
            f"{100 * conformal.CONFIDENCE:g} % confidence takes {conformal.surest(self.coverage):,} {kind} "
            "pictures"
        )

    def members(self, probabilities: np.ndarray) -> np.ndarray:
        """Return which classes belong to each picture's set, bool (n, classes); never an empty set."""
        return _members(probabilities, self.threshold)


def independent_pictures(validation: Predictions, coverage: float) -> int:
    """Return how many independent pictures tell as much of a coverage as a validation part does."""
    return conformal.independent(_scores_of_truth(validation), coverage, validation.groups)


def too_few(validation: Predictions, coverage: float) -> str:
    """Return why a validation part makes no sets of a coverage, without a full stop; "" where it does."""
    fewest, independent = conformal.fewest(coverage), independent_pictures(validation, coverage)
    if independent >= fewest:
        return ""
    kind = "pictures" if independent == len(validation) else "independent pictures"
    return (
        f"validation has {independent:,} of the {fewest:,} {kind} that promising {100 * coverage:g} % takes"
    )


def in_words(metrics: dict[str, Any]) -> str | None:
    """Return that metrics.json's sets broke their promise, without a full stop; None where they did not.

    Where they held fewer than was promised and than chance explains.
    """
    found = metrics.get("set_coverage", {})
    value, wanted, chance = (found.get(name) for name in ("value", "wanted", "p_value"))
    # Runs that were judged earlier have no p_value.
    if value is None or wanted is None or chance is None or value >= wanted:
        return None
    if chance >= conformal.UNLIKELY:
        return None
    return (
        f"its sets for {100 * wanted:g} % held the right class of only {100 * value:.1f} % of the test "
        "pictures; were these like the validation pictures, that would happen in "
        f"{conformal.how_seldom(chance)} of cases. Sets and thresholds rest on validation, which was "
        "probably easier: they may promise too much for new pictures as well"
    )


def _scores_of_truth(table: Predictions) -> np.ndarray:
    return (1 - table.probabilities)[np.arange(len(table)), table.true_index]


def _members(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    # As in fit: 1 - p, because p >= 1 - threshold can round to the other side.
    members = 1 - probabilities <= threshold
    # An empty set helps nobody; the likeliest class can only add to the coverage.
    members[np.arange(len(members)), probabilities.argmax(axis=1)] = True
    return members
