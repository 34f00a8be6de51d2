"""The linear probe over folds of everything but the test set: fitted again, which is cheap, and often."""

import time
from typing import Any

import numpy as np

from linnaea.commands import terminal
from linnaea.commands.study import Study
from linnaea.evaluation import clustered
from linnaea.evaluation.learning_curve import Step
from linnaea.random_streams import Purpose, stream
from linnaea.runs.folder import RunFolder
from linnaea.runs.settings import Recipe

FOLDS = 5
# Of more pictures the folds take minutes, and the test set says as much as they do.
MOST = 1000


def measure(run: RunFolder, classifier: Any, study: Study, recipe: Recipe) -> None:
    """Write run.json's "probe_folds": the accuracy of the probe over folds, where the test set is smaller.

    Of one run with a probe and few pictures, without a budget. The test set is neither seen nor needed, and
    nothing is chosen: each probe has the strength of one without a validation set.

    Raises LinnaeaError where the first weights of a run that is continued cannot be had any more.
    """
    if classifier.probe_ is None or recipe.budget is not None or run.info.one_of is not None:
        return
    pictures = len(study.rows("train")) + len(study.rows("val"))
    if not len(study.rows("test")) < pictures <= MOST:
        return
    (step,), rows = steps(classifier, study, (1.0,), recipe.seed)
    if not len(rows):
        return
    targets = np.searchsorted(classifier.classes_, study.dataset.labels[rows])
    right = step.probabilities.argmax(axis=1) == targets
    low, high = clustered.folded_interval(right, study.grouped(rows))
    pooled = {"value": float(right.mean()), "low": low, "high": high, "pictures": len(rows)}
    run.update_info(probe_folds=pooled)


def steps(
    classifier: Any, study: Study, shares: tuple[float, ...], seed: int
) -> tuple[list[Step], np.ndarray]:
    """Return what probes on shares of the other folds say of each picture, and the rows of these pictures.

    The folds are those of FOLDS, drawn with the seed, over the training and the validation set; no group is
    divided. A class that cannot be divided is learned from by all and evaluated by none. A step's pictures
    are the mean over folds. Shares that are the same pictures of a class make one step.
    """
    from linnaea.classifiers.finetune.refitting import ProbePictures

    validated = study.pair("val") if len(study.rows("val")) else None
    rows = np.concatenate([study.rows("train"), study.rows("val")])
    fold = folds(study, rows, seed)
    labels = study.dataset.labels[rows]
    said = np.zeros((len(shares), len(rows), len(classifier.classes_)))
    sizes, done = np.zeros(len(shares)), 0
    bar = terminal.EpochBar(0)
    with bar.shown():
        pictures = ProbePictures.of(classifier, study.pair("train"), validated, on_step=bar.step)
        started = time.perf_counter()
        for held in np.unique(fold[fold >= 0]):
            learned, new = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
            for place, subset in enumerate(nested_subsets(labels[learned], shares, seed)):
                sizes[place] += len(subset)
                said[place, new] = pictures.proba(learned[subset], new, choose=False)
            done += len(new)
            bar.step("folds", done, len(rows), time.perf_counter() - started)
    evaluated = fold >= 0
    sizes /= max(len(np.unique(fold[evaluated])), 1)
    made = [
        Step(share, round(sizes[place]), said[place, evaluated])
        for place, share in enumerate(shares)
        if sizes[place] not in sizes[place + 1 :]
    ]
    return made, rows[evaluated]


def folds(study: Study, rows: np.ndarray, seed: int) -> np.ndarray:
    """Return the fold of each of these rows of the data set, int (n,); -1: learned from by all."""
    from linnaea.data.folds import fold_numbers

    labels = study.dataset.labels[rows]
    groups = np.arange(len(rows)) if study.groups is None else study.groups.divisible(labels, rows)
    number = min(FOLDS, len(np.unique(groups)))
    if number < 2:
        return np.full(len(rows), -1)
    fold = fold_numbers(labels, groups, number, seed)
    for name in np.unique(labels):
        if len(np.unique(fold[labels == name])) == 1:
            fold[labels == name] = -1
    return fold


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
