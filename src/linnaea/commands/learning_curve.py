"""The learning curve: the same recipe on fewer training pictures."""

from typing import Any

import numpy as np

from linnaea.commands import probe_folds, terminal
from linnaea.commands.probe_folds import nested_subsets
from linnaea.commands.study import Study
from linnaea.errors import SettingError
from linnaea.evaluation.learning_curve import Step, forecast, points, tells
from linnaea.runs.folder import RunFolder
from linnaea.runs.settings import Recipe
from linnaea.text import counted, option, percent

SHARES = (0.1, 0.25, 0.5, 1.0)
# Fewer pictures than this, and an interval reaches from hopeless to perfect.
FEWEST = 10
# So many validation pictures tell what a probe is worth; of fewer, folds of all but the test set tell more.
ENOUGH = 500


def check_asked(recipe: Recipe, study: Study) -> None:
    """Raise SettingError where a learning curve is asked for that no picture could evaluate."""
    pictures = len(study.rows("val"))
    if study.photographs is not None:
        pictures += len(study.rows("train"))
    if recipe.learning_curve and pictures < FEWEST:
        where = "over folds of" if study.photographs is not None else "on"
        which = "pictures outside the test set" if study.photographs is not None else "validation pictures"
        raise SettingError(
            f"A learning curve is evaluated {where} {pictures} {which}, and needs {FEWEST} or more.",
            f"Set more aside with {option('validation')}, or leave the learning curve out.",
        )


def measure(run: RunFolder, classifier: Any, study: Study, recipe: Recipe) -> None:
    """Write run.json's keys "learning_curve" and "learning_forecast", and print them.

    Of a perceptron, the same settings learn anew from each share, evaluated on the validation set; of a
    pretrained network its linear probe does, on features that are made once ("of": "probe"), and evaluated
    over folds where the validation set is small ("evaluated_on": "folds").
    """
    if not classifier.history_:
        return
    made = _of_probe if classifier.takes_photographs else _retrained
    steps, rows = made(classifier, study, recipe.seed)
    if len(steps) < 2:
        terminal.print_line("Curve", _why_none(study.dataset.labels[study.rows("train")]))
        return
    classes = [str(name) for name in classifier.classes_]
    targets = np.searchsorted(classifier.classes_, study.dataset.labels[rows])
    groups = study.grouped(rows)
    on = "validation" if np.array_equal(rows, study.rows("val")) else "folds"
    curve = points(steps, targets, groups, folded=on == "folds")
    ahead = forecast(steps, targets, classes, recipe.seed, groups)
    kind = "probe" if classifier.takes_photographs else "network"
    tested = _tested(run, kind)
    if tested is not None:
        curve[-1]["test_accuracy"] = tested
    run.update_info(
        learning_curve=curve,
        learning_forecast={**ahead, "of": kind, "evaluated_on": on, "evaluated": len(targets)},
    )
    _print(curve, {**ahead, "evaluated": len(targets)}, kind, on)


def _of_probe(classifier: Any, study: Study, seed: int) -> tuple[list[Step], np.ndarray]:
    """Fit the probe to each share: over folds, or with a large validation set on the training set once."""
    from linnaea.classifiers.finetune.refitting import ProbePictures

    if len(study.rows("val")) < ENOUGH:
        return probe_folds.steps(classifier, study, SHARES, seed)
    bar = terminal.EpochBar(0)
    with bar.shown():
        pictures = ProbePictures.of(classifier, study.pair("train"), study.pair("val"), on_step=bar.step)
    train, val = len(study.rows("train")), study.rows("val")
    shares, subsets = _distinct(study.dataset.labels[study.rows("train")], seed)
    new = np.arange(train, train + len(val))
    return [
        Step(share, len(rows), pictures.proba(rows, new, choose=True))
        for share, rows in zip(shares, subsets, strict=True)
    ], val


def _distinct(y: np.ndarray, seed: int) -> tuple[list[float], list[np.ndarray]]:
    """Return the shares with their subsets of y (n,).

    Of classes with a picture or two, smaller shares are the same pictures: each set is learned from once.
    """
    subsets = nested_subsets(y, SHARES, seed)
    sizes = [len(rows) for rows in subsets]
    distinct = [place for place, size in enumerate(sizes) if size not in sizes[place + 1 :]]
    return [SHARES[place] for place in distinct], [subsets[place] for place in distinct]


def _retrained(classifier: Any, study: Study, seed: int) -> tuple[list[Step], np.ndarray]:
    """Train again on each subset; what was learned from all pictures is there already."""
    from sklearn.base import clone

    (X, y), validation = study.pair("train"), study.pair("val")
    shares, subsets = _distinct(y, seed)
    if len(subsets) < 2:
        return [], study.rows("val")
    answers = []
    for rows in subsets[:-1]:
        smaller = clone(classifier).fit(X[rows], y[rows], validation_data=validation)
        answers.append(smaller.predict_proba(validation[0]))
    answers.append(classifier.predict_proba(validation[0]))
    return [
        Step(share, len(rows), np.asarray(probabilities, np.float64))
        for share, rows, probabilities in zip(shares, subsets, answers, strict=True)
    ], study.rows("val")


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


def _print(curve: list[dict[str, Any]], ahead: dict[str, Any], kind: str, on: str) -> None:
    from linnaea.report import sentences

    measured = " · ".join(f"{point['pictures']:,} pictures {percent(point['accuracy'])}" for point in curve)
    whose = " (the probe's)" if kind == "probe" else ""
    where = "over folds" if on == "folds" else "on the validation set"
    gain = ahead["gain_low"], ahead["gain_high"]
    if not tells(*gain):
        nothing = sentences.nothing_ahead(ahead["evaluated"], *gain)
        terminal.print_line("Curve", f"{measured}{whose}, {where}", nothing)
        return
    then = (
        f"twice the pictures would probably give {percent(ahead['accuracy'])} "
        f"(95 %: {100 * ahead['low']:.1f} to {100 * ahead['high']:.1f})"
    )
    gaining = ", ".join(entry["class"] for entry in ahead["classes"])
    more = [f"most of the gain for: {gaining}"] if gaining else []
    terminal.print_line("Curve", f"{measured}{whose}, {where}", then, *more)
