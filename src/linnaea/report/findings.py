"""What a chart shows, as its title: made from the very numbers that are drawn, and true of any."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from linnaea.report import formatting
from linnaea.report.facts import RunFacts
from linnaea.report.formatting import count, number, percent

Points = Sequence[tuple[int, float]]
# Stated and observed shares that differ less are off in both directions rather than in one.
ONE_SIDED = 0.7


def of_curve(name: str, points: Points, *, last: int, share: bool, before: str = "training") -> str:
    """Return whether a curve of accuracy (share) or loss still got better, and until which epoch.

    name: str
        Of the curve, in small letters: "validation accuracy".
    points: (epoch, value)
        The finite values: a loss may leave them before the end.
    last: int
        The last epoch of the run.
    before: str
        What epoch 0 is: before "training", or that of "the linear probe".
    """
    capital = name[:1].upper() + name[1:]
    ordered = sorted(points)
    if not share and ordered[-1][0] < last:
        return f"{capital} became infinite or no number after epoch {ordered[-1][0]}"
    trained = [point for point in ordered if point[0] > 0]
    begun = [value for epoch, value in ordered if epoch == 0]
    if len(trained) < 2:
        end = _written(ordered[-1][1], share)
        if not begun or not trained:
            return f"{capital} was {end} {f'after epoch {last}' if trained else 'before training'}"
        start = _written(begun[0], share)
        return (
            f"One epoch left {name} at {end}"
            if start == end
            else f"One epoch took {name} from {start} to {end}"
        )
    best = (max if share else min)(value for _, value in ordered)
    epoch = next(epoch for epoch, value in ordered if value == best)
    if epoch == 0:
        than = "that before training" if before == "training" else f"that of {before}"
        return f"No epoch improved {name} over {than}"
    if epoch == ordered[-1][0]:
        return f"{capital} was {'highest' if share else 'lowest'} in the last epoch, {epoch}"
    return f"{capital} stopped improving after epoch {epoch}"


def _written(value: float, share: bool) -> str:
    return percent(value) if share else number(value, 3)


def of_baselines(accuracy: float, baselines: Mapping[str, float], undecided: Collection[str] = ()) -> str:
    """Return how far an accuracy is from the best of the baselines, all of them shares.

    undecided: the baselines that it may differ from by chance
    """
    if not baselines:
        return "Accuracy on the test set"
    name, best = max(baselines.items(), key=lambda item: item[1])
    points = f"{100 * abs(accuracy - best):.1f}"
    if points == "0.0":
        return f"As accurate as {name}"
    unit = "point" if points == "1.0" else "points"
    chance = ", perhaps by chance" if name in undecided else ""
    return f"{points} {unit} {'above' if accuracy > best else 'below'} {name}{chance}"


def of_confusions(matrix: np.ndarray, classes: Sequence[str]) -> str:
    """Return which two classes are mistaken for each other most, both ways together.

    matrix: int (k, k)
        True classes in rows.
    """
    both = np.triu(matrix + matrix.T, 1)
    most, wrong = int(both.max(initial=0)), int(both.sum())
    if not wrong:
        return "No class was mistaken for another"
    pairs = np.argwhere(both == most)
    if most == 1:
        return (
            "The only mistake"
            if wrong == 1
            else f"No two of the {count(wrong)} mistakes are of the same classes"
        )
    if len(pairs) > 2:
        return f"{count(len(pairs))} pairs of classes are confused most, {formatting.times(most)} each"
    named = []
    for first, second in pairs:
        # The one that is mistaken more often comes first.
        turned = matrix[second, first] > matrix[first, second]
        ends = (second, first) if turned else (first, second)
        named.append(" and ".join(formatting.cut_inside(classes[place], 40) for place in ends))
    others = f", as are {named[1]}" if named[1:] else ""
    each = f"{formatting.times(most)} each" if others else f"{count(most)} of {count(wrong)} mistakes"
    return f"{named[0]} are confused most{others}: {each}"


def of_reliability(facts: RunFacts) -> str:
    """Return whether stated probabilities are too high or too low, and by how much."""
    error, rows = facts.metrics.get("ece", {}), facts.rows("accuracy", "by_confidence")
    pictures = sum(row["pictures"] for row in rows)
    if error.get("value") is None or not pictures:
        return "Stated probabilities and how often they are right"
    off, by_chance = float(error["value"]), error.get("by_chance_high")
    if by_chance is not None and off <= by_chance:
        return f"Stated probabilities are off by {100 * off:.1f} points, no more than chance explains"
    gap = sum(row["pictures"] * (row["confidence"] - row["accuracy"]) for row in rows) / pictures
    if abs(gap) < ONE_SIDED * off:
        return f"Stated probabilities are off by {100 * off:.1f} points, in both directions"
    return (
        f"Stated probabilities are {100 * abs(gap):.1f} points too {'high' if gap > 0 else 'low'} on average"
    )


def of_coverage(rows: Sequence[Mapping[str, float]]) -> str:
    """Return what answering only the surer half would bring; rows: by_coverage of the accuracy."""
    half = min(rows, key=lambda row: abs(row["coverage"] - 0.5))
    whole = max(rows, key=lambda row: row["coverage"])
    return (
        f"The surest {percent(half['coverage'], 0)} of the answers are {percent(half['accuracy'])} correct, "
        f"all of them {percent(whole['accuracy'])}"
    )
