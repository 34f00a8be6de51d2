"""The learning curve: the same recipe on fewer training pictures, evaluated on validation."""

from typing import Any

import numpy as np

from linnaea.commands import terminal
from linnaea.commands.study import Study
from linnaea.errors import SettingError
from linnaea.evaluation.learning_curve import Step, forecast, points
from linnaea.random_streams import Purpose, stream
from linnaea.runs.folder import RunFolder
from linnaea.runs.settings import Recipe
from linnaea.text import counted, option, percent

SHARES = (0.1, 0.25, 0.5, 1.0)
# Fewer pictures than this, and an interval reaches from hopeless to perfect.
FEWEST = 10


def check_asked(recipe: Recipe, study: Study) -> None:
    """Raise SettingError where a learning curve is asked for that no picture could evaluate."""
    pictures = len(study.rows("val"))
    if recipe.learning_curve and pictures < FEWEST:
        raise SettingError(
            f"A learning curve is evaluated on validation, which has {pictures} pictures of at "
            f"least {FEWEST}.",
            f"Set more aside with {option('validation')}, or leave the learning curve out.",
        )


def measure(run: RunFolder, classifier: Any, study: Study, seed: int) -> None:
    """Write run.json's keys "learning_curve" and "learning_forecast", and print them.

    Of a perceptron, the same settings learn anew from each share; of a pretrained network its linear probe
    does, on features that are made once: the curve is the probe's ("of": "probe").
    """
    if not classifier.history_:
        return
    y = study.dataset.labels[study.rows("train")]
    subsets = nested_subsets(y, SHARES, seed)
    # Of classes with a picture or two, smaller shares are the same pictures: each set is learned from once.
    sizes = [len(rows) for rows in subsets]
    distinct = [place for place, size in enumerate(sizes) if size not in sizes[place + 1 :]]
    shares, subsets = [SHARES[place] for place in distinct], [subsets[place] for place in distinct]
    if len(subsets) < 2:
        terminal.print_line("Curve", _why_none(y))
        return
    if classifier.takes_photographs:
        probabilities_of = _probes(classifier, study, subsets)
    else:
        probabilities_of = _retrained(classifier, study, subsets)
    steps = [
        Step(share, len(rows), probabilities)
        for share, rows, probabilities in zip(shares, subsets, probabilities_of, strict=True)
    ]
    classes = [str(name) for name in classifier.classes_]
    y_val = study.dataset.labels[study.rows("val")]
    targets = np.searchsorted(classifier.classes_, y_val)
    groups = study.grouped(study.rows("val"))
    curve, ahead = points(steps, targets, groups), forecast(steps, targets, classes, seed, groups)
    kind = "probe" if classifier.takes_photographs else "network"
    tested = _tested(run, kind)
    if tested is not None:
        curve[-1]["test_accuracy"] = tested
    run.update_info(
        learning_curve=curve,
        learning_forecast={**ahead, "of": kind, "evaluated_on": "validation", "evaluated": len(targets)},
    )
    _print(curve, ahead, kind)


def nested_subsets(y: np.ndarray, shares: tuple[float, ...], seed: int) -> list[np.ndarray]:
    """Return rows of y (n,) for each share, sorted: each class in proportion, each subset within the next.

    A class has at least one picture in each. The draw is that of (seed, SUBSET).
    """
    draw = stream(seed, Purpose.SUBSET)
    subsets: list[list[np.ndarray]] = [[] for _ in shares]
    for name in np.unique(y):
        members = draw.permutation(np.flatnonzero(y == name))
        for subset, share in zip(subsets, shares, strict=True):
            subset.append(members[: max(1, round(share * len(members)))])
    return [np.sort(np.concatenate(subset)) for subset in subsets]


def _probes(classifier: Any, study: Study, subsets: list[np.ndarray]) -> list[np.ndarray]:
    from linnaea.classifiers.finetune.learning_curve import probes

    (X, y), (X_val, y_val) = study.pair("train"), study.pair("val")
    bar = terminal.EpochBar(0)
    with bar.shown():
        return probes(classifier, X, y, X_val, y_val, subsets, on_step=bar.step)


def _retrained(classifier: Any, study: Study, subsets: list[np.ndarray]) -> list[np.ndarray]:
    """Train again on each subset; what was learned from all pictures is there already."""
    from sklearn.base import clone

    (X, y), validation = study.pair("train"), study.pair("val")
    answers = []
    for rows in subsets[:-1]:
        smaller = clone(classifier).fit(X[rows], y[rows], validation_data=validation)
        answers.append(np.asarray(smaller.predict_proba(validation[0]), np.float64))
    return [*answers, np.asarray(classifier.predict_proba(validation[0]), np.float64)]


def _tested(run: RunFolder, kind: str) -> float | None:
    """Return the accuracy on the test set of what was trained on all pictures, if it was evaluated."""
    if kind == "probe" and run.info.kept != "probe":
        value = run.info.baselines.get("the probe alone")
    else:
        value = run.metrics().get("accuracy", {}).get("value")
    return None if value is None else float(value)


def _why_none(y: np.ndarray) -> str:
    classes = counted(len(np.unique(y)), "class", "classes")
    return (
        f"none can be drawn: {classes} share {counted(len(y), 'training picture')}, and fewer would leave a "
        "class without one"
    )


def _print(curve: list[dict[str, Any]], ahead: dict[str, Any], kind: str) -> None:
    measured = " · ".join(f"{point['pictures']:,} pictures {percent(point['accuracy'])}" for point in curve)
    whose = " (the probe's)" if kind == "probe" else ""
    then = (
        f"twice the pictures would probably give {percent(ahead['accuracy'])} "
        f"(95 %: {100 * ahead['low']:.1f} to {100 * ahead['high']:.1f})"
    )
    gaining = ", ".join(entry["class"] for entry in ahead["classes"])
    more = [f"most of the gain for: {gaining}"] if gaining else []
    terminal.print_line("Curve", f"{measured}{whose}, on the validation set", then, *more)
