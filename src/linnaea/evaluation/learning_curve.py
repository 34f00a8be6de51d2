"""What fewer training pictures gave, and so what more would probably buy."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from linnaea.evaluation import clustered
from linnaea.random_streams import Purpose, stream

_RESAMPLES = 1000
# A class's own slope counts as much as everybody's once it rests on this many pictures.
_TRUSTED = 10
# The classes that are named as those that would gain most.
NAMED = 5
# Of the accuracy, 0 to 1: a smaller forecast gain is written as 0.0 points, and no class is named for it.
LEAST_GAIN = 0.0005
# So much would be worth a second collection of pictures.
MATTERS = 0.01


@dataclass(frozen=True)
class Step:
    """A network that learned from a share of the training set.

    share: float
        Of the training pictures, 0 to 1.
    pictures: int
        How many these are.
    probabilities: ndarray (m, classes)
        What it says of the same m pictures that no network learned from.
    """

    share: float
    pictures: int
    probabilities: np.ndarray


def points(
    steps: list[Step], targets: np.ndarray, groups: np.ndarray | None = None, *, folded: bool = False
) -> list[dict[str, Any]]:
    """Return the learning curve, one point a step: share, pictures, accuracy with its 95 % interval.

    targets: int (m,), the true column of each evaluated picture. groups (m,): see clustered. folded: whether
    the pictures are evaluated over folds.
    """
    interval = clustered.folded_interval if folded else clustered.share_interval
    curve = []
    for step in steps:
        right = step.probabilities.argmax(axis=1) == targets
        low, high = interval(right, groups)
        known = {"share": step.share, "pictures": step.pictures}
        curve.append({**known, "accuracy": float(right.mean()), "low": low, "high": high})
    return curve


def forecast(
    steps: list[Step],
    targets: np.ndarray,
    classes: list[str],
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return what twice the training pictures would probably give, and which classes would gain most.

    The error is taken to fall as a power of the number of pictures, error = a · n^-b (Cortes et al. 1994;
    Hestness et al. 2017, arXiv:1712.00409), fitted on logarithms, each point weighted by the mistakes that it
    rests on; from the largest step on it goes on as that slope says. The 95 % interval is a bootstrap over
    the evaluated pictures, or their groups, the same ones at every step (Wilson's at 0 and 1): what the law
    itself gets wrong is not in it.

    steps: in rising order, at least two, of different numbers of pictures. classes: the name of each column.

    Returns {"pictures", "accuracy", "low", "high", "gain_low", "gain_high", "exponent", "classes": [{"class",
    "now", "then"}, …]}; the gain is over the accuracy now, of the same resamples, and narrower than either
    accuracy. now and then are the mean probability of the true class, in its evaluated pictures. "classes"
    holds only those whose own curve rose and goes on to, the first most; none where a gain is not certain.
    """
    numbers = np.array([step.pictures for step in steps], np.float64)
    wrong = np.stack([step.probabilities.argmax(axis=1) != targets for step in steps]).astype(np.float64)
    m = len(targets)
    generator = stream(seed, Purpose.BOOTSTRAP)
    if groups is None:
        drawn_wrong = generator.multinomial(m, np.full(m, 1 / m), size=_RESAMPLES) @ wrong.T
    else:
        drawn_wrong, pictures = np.zeros((_RESAMPLES, len(steps))), np.zeros((_RESAMPLES, 1))
        for rows, columns, weights in clustered.drawn(np.zeros(m, int), groups, _RESAMPLES, generator):
            drawn_wrong[columns] += weights.T @ wrong.T[rows]
            pictures[columns, 0] += weights.sum(axis=0)
        # Groups of other sizes make other numbers of pictures; what counts is the share.
        drawn_wrong *= m / pictures
    counts = np.vstack([wrong.sum(axis=1), drawn_wrong])  # the sample itself first
    # Half a mistake more, out of one picture more: no mistakes at all have no logarithm.
    errors = (counts + 0.5) / (m + 1)
    exponents = power_law(numbers, errors, weights=counts + 0.5)
    later = 1 - counts[:, -1] / m * 2**-exponents
    low, high = np.quantile(later[1:], [0.025, 0.975])
    if low == high:
        # Nothing was wrong, or nothing right: no resample differs, and what m pictures can tell is Wilson's.
        low, high = clustered.share_interval(wrong[-1] == 0, groups)
    gains = later - (1 - counts[:, -1] / m)
    gain_low, gain_high = np.quantile(gains[1:], [0.025, 0.975])
    if not counts[0, -1]:
        # No resample has a mistake to lose: half of those that there may be, which an error loses that falls
        # as one over the number of pictures, the fastest that is expected.
        gain_high = (1 - low) / 2
    return {
        "pictures": 2 * steps[-1].pictures,
        "accuracy": float(later[0]),
        "low": float(min(low, later[0])),
        "high": float(max(high, later[0])),
        "gain_low": float(gain_low),
        "gain_high": float(gain_high),
        "exponent": float(exponents[0]),
        "classes": _gaining(steps, targets, classes) if gain_low >= LEAST_GAIN else [],
    }


def tells(gain_low: float, gain_high: float) -> bool:
    """Return whether the interval of a gain decides anything: that there is one, or none that matters."""
    return gain_low >= LEAST_GAIN or gain_high < MATTERS


def power_law(numbers: np.ndarray, errors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the exponent b of errors = a · numbers^-b for each row of errors (k, steps), 0 or more, (k,).

    Weighted least squares on logarithms; weights (k, steps) are inverse variances of the logarithms. Errors
    that rise give 0: more pictures are not expected to do harm.

    Raises ValueError where all numbers agree: one point has no slope.
    """
    if len(np.unique(numbers)) < 2:
        raise ValueError(f"A power law needs two different numbers of pictures; received {numbers}.")
    share = weights / weights.sum(axis=1, keepdims=True)
    x, y = np.log(numbers)[None], np.log(errors)
    x = x - (share * x).sum(axis=1, keepdims=True)
    y = y - (share * y).sum(axis=1, keepdims=True)
    return np.maximum(-(share * x * y).sum(axis=1) / (share * x * x).sum(axis=1), 0.0)


def _gaining(steps: list[Step], targets: np.ndarray, classes: list[str]) -> list[dict[str, Any]]:
    """Return the classes whose true probability would rise most with twice the pictures.

    Probabilities and not answers: a class often has only a few pictures here.
    """
    present = np.unique(targets)
    rows = np.arange(len(targets))
    missing = np.stack([1 - step.probabilities[rows, targets] for step in steps]).clip(1e-6, 1)
    errors = np.stack([missing[:, targets == column].mean(axis=1) for column in present])
    pictures = np.array([(targets == column).sum() for column in present])
    numbers = np.array([step.pictures for step in steps], np.float64)
    slopes_alone = power_law(numbers, errors, np.ones_like(errors))
    common = power_law(numbers, missing.mean(axis=1)[None], np.ones((1, len(steps))))
    # A class with few pictures borrows from all of them.
    slopes = (pictures * slopes_alone + _TRUSTED * common) / (pictures + _TRUSTED)
    gains = errors[:, -1] * (1 - 2**-slopes)
    # What a class borrows may not make a gain of a curve that did not rise itself.
    gains[slopes_alone <= 0] = 0
    order = np.argsort(-gains, kind="stable")[:NAMED]
    return [
        {
            "class": classes[present[place]],
            "now": float(1 - errors[place, -1]),
            "then": float(1 - errors[place, -1] + gains[place]),
        }
        for place in order
        if gains[place] > 0.001
    ]
