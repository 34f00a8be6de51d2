"""Prediction sets: the few classes that hold the truth as often as was promised (split conformal)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaincinv
from scipy.stats import betabinom

from linnaea.errors import DataError, SettingError
from linnaea.evaluation.predictions import Predictions

# RAPS adds this much for every class of a set past the first so many (its authors' values for ImageNet).
PENALTY, FREE_RANKS = 0.01, 5
# Sets that hold the truth so seldom that chance does it less often than this were promised too much.
UNLIKELY = 0.025


@dataclass(frozen=True)
class PredictionSets:
    """A rule that answers a picture with a set of classes.

    Over pictures drawn as those of the validation part were, the truth lies in the set with at least this
    coverage, whatever the network (Vovk, Gammerman and Shafer 2005; Angelopoulos and Bates 2021,
    arXiv:2107.07511). It holds on average over pictures, not for each class. Temperature, epoch and method
    were chosen on the same pictures, which the theory does not foresee: measured, the loss is far below what
    chance does to one validation part (docs/trust.md; likely_coverage).

    coverage: float
        Wanted, 0..1.
    method: "lac", "aps" or "raps"
        The one whose sets are smallest on the validation part; see METHODS.
    threshold: float
        A class belongs to the set where its score is no larger.
    mean_sizes: dict
        Method → classes in a set, mean over the validation part.
    pictures, held: int
        Of the validation part, and how many of them have the truth in their set: more than was wanted, where
        the likeliest class alone is right that often.
    """

    coverage: float
    method: str
    threshold: float
    mean_sizes: dict[str, float]
    pictures: int
    held: int

    @classmethod
    def fit(cls, validation: Predictions, coverage: float = 0.95) -> "PredictionSets":
        """Return the rule with this coverage.

        The threshold is the ceil((n + 1) · coverage)-th smallest score of the n validation pictures' truths:
        the + 1 makes the promise hold for every n, not only in the limit.

        Raises SettingError for a coverage outside 0..1, DataError where n is too small for it, or a picture
        has a class that is not in the class list.
        """
        if not 0 < coverage < 1:
            raise SettingError(f"coverage must lie between 0 and 1; received {coverage:g}.", "Try 0.95.")
        n, true = len(validation), validation.true_index
        rank = _rank(n, coverage)
        if rank > n:
            raise DataError(
                f"Sets that hold the truth {100 * coverage:g} % of the time need at least "
                f"{fewest_pictures(coverage):,} validation pictures; there are {n:,}.",
                "Ask for a lower coverage, or train with a larger --validation.",
            )
        rules = {}
        for method, score in METHODS.items():
            scores = score(validation.probabilities)
            threshold = float(np.sort(scores[np.arange(n), true])[rank - 1])
            members = _members(scores, validation.probabilities, threshold)
            held = int(members[np.arange(n), true].sum())
            rules[method] = float(members.sum(axis=1).mean()), threshold, held
        # Of equals the first: the order of METHODS is that of their sets in the literature.
        method = min(rules, key=lambda name: rules[name][0])
        mean_sizes = {name: size for name, (size, _, _) in rules.items()}
        return cls(coverage, method, rules[method][1], mean_sizes, n, rules[method][2])

    def likely_coverage(self) -> tuple[float, float]:
        """Return between which shares the coverage of new pictures lies for 95 of 100 validation parts.

        The promise is a mean over validation parts; of one part of n pictures, whose scores differ and of
        which so many are held, the coverage has the law Beta(held, n + 1 - held) (Vovk 2012,
        arXiv:1209.2673).
        """
        low, high = betaincinv(self.held, self.pictures + 1 - self.held, [0.025, 0.975])
        return float(low), float(high)

    def p_value(self, held: int, pictures: int) -> float:
        """Return how probable it is that of so many new pictures at most `held` have the truth in their set.

        Of pictures drawn as the validation part was: the number then has the law BetaBinomial(pictures,
        self.held, n + 1 - self.held), the binomial error of both parts in one (Vovk 2012; Angelopoulos and
        Bates 2021). Pictures that come in groups, many of one plant, say, are fewer than they count here.
        """
        return float(betabinom.cdf(held, pictures, self.held, self.pictures + 1 - self.held))

    def members(self, probabilities: np.ndarray) -> np.ndarray:
        """Return which classes belong to each picture's set, bool (n, classes); never an empty set."""
        return _members(METHODS[self.method](probabilities), probabilities, self.threshold)


def fewest_pictures(coverage: float) -> int:
    """Return how many validation pictures a coverage needs: below, no score is large enough."""
    return math.ceil(round(coverage / (1 - coverage), 9))


def too_few(pictures: int, coverage: float) -> str:
    """Return why so many validation pictures make no sets of a coverage, without a full stop; "": they do."""
    fewest = fewest_pictures(coverage)
    if pictures >= fewest:
        return ""
    return f"validation has {pictures:,} of the {fewest:,} pictures that promising {100 * coverage:g} % takes"


def in_words(metrics: dict[str, Any]) -> str | None:
    """Return that metrics.json's sets broke their promise, without a full stop; None where they did not.

    Where they held fewer than was promised and than chance explains.
    """
    found = metrics.get("set_coverage", {})
    value, wanted, chance = (found.get(name) for name in ("value", "wanted", "p_value"))
    # Runs that were judged earlier have no p_value.
    if value is None or wanted is None or chance is None or value >= wanted or chance >= UNLIKELY:
        return None
    seldom = f"{100 * chance:.1f} %" if chance >= 0.001 else "less than 0.1 %"
    return (
        f"its sets for {100 * wanted:g} % held the right class of only {100 * value:.1f} % of the test "
        f"pictures; were these like the validation pictures, that would happen in {seldom} of cases. Sets "
        "and thresholds rest on validation, which was probably easier: they may promise too much for new "
        "pictures as well"
    )


def _rank(n: int, coverage: float) -> int:
    # Rounded first: (19 + 1) · 0.95 is 19 and not a hair above it.
    return math.ceil(round((n + 1) * coverage, 9))


def _members(scores: np.ndarray, probabilities: np.ndarray, threshold: float) -> np.ndarray:
    members = scores <= threshold
    # An empty set helps nobody; the likeliest class can only add to the coverage.
    members[np.arange(len(members)), probabilities.argmax(axis=1)] = True
    return members


def _lac(probabilities: np.ndarray) -> np.ndarray:
    """Least ambiguous sets: 1 - probability (Sadinle, Lei and Wasserman 2019, JASA 114:223-234)."""
    return 1 - probabilities


def _aps(probabilities: np.ndarray, penalty: float = 0.0) -> np.ndarray:
    """Adaptive sets: the probability of a class and of all likelier ones, without randomisation.

    Romano, Sesia and Candès 2020, arXiv:2006.02544. So the same picture always gets the same set; it is then
    larger than need be, never too small.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    mass = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
    mass += penalty * np.maximum(np.arange(1, probabilities.shape[1] + 1) - FREE_RANKS, 0)
    scores = np.empty_like(mass)
    np.put_along_axis(scores, order, mass, axis=1)
    return scores


def _raps(probabilities: np.ndarray) -> np.ndarray:
    """The same, with a price on long sets (Angelopoulos et al. 2021, arXiv:2009.14193)."""
    return _aps(probabilities, PENALTY)


METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"lac": _lac, "aps": _aps, "raps": _raps}
