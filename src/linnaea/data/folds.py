"""Folds: every picture is in a test set once, of a network that was not trained on it."""

import warnings
from collections import Counter
from fractions import Fraction

import numpy as np

from linnaea.data.dataset import Dataset
from linnaea.data.groups import Groups
from linnaea.data.split import OFFICIAL, TRAINVAL, Split, in_fact, in_no_set
from linnaea.errors import DataError, SettingError
from linnaea.random_streams import Purpose, stream
from linnaea.text import classes_have, counted, option


def make_folds(
    dataset: Dataset,
    protocol: str,
    number: int,
    *,
    validation: float = 0.0,
    seed: int = 0,
    groups: Groups | None = None,
) -> list[Split]:
    """Divide the pictures into folds, and return for each the split whose test set it is.

    Parameters
    ----------
    dataset: Dataset
        The order in which it lists its pictures does not matter.
    protocol: str
        "official" or "trainval": of the pictures of train and val, the given test set untouched; anything
        else: of all pictures.
    number: int
        Of folds, 2 or more.
    validation: float
        The fraction of the pictures outside a fold to set aside for choosing; of n sets of equal size, one.
    groups: Groups, optional
        What no fold may divide.

    Each class is spread over the folds in proportion (scikit-learn's StratifiedKFold and
    StratifiedGroupKFold), and every class is in every training set.

    Raises SettingError for a number of folds that cannot be, DataError, naming the classes, where one has a
    single picture, or lies in one group as a whole.
    """
    rows = dataset.by_path()
    words = "all pictures"
    if protocol in (OFFICIAL, TRAINVAL):
        if dataset.splits is None:
            raise SettingError(
                f"'{dataset.name}' comes without a split.",
                f"Leave {option('split')} out: folds are of all pictures.",
            )
        rows = rows[np.isin(dataset.splits[rows], ("train", "val"))]
        words = f"train and val, test untouched{in_no_set(dataset)}"
    if number > len(rows):
        raise SettingError(
            f"{counted(len(rows), 'picture')} cannot be divided into {number} folds.", "Ask for fewer."
        )
    together = np.arange(len(dataset))
    if groups is not None:
        together[rows] = groups.divisible(dataset.labels[rows], rows)
    _check_divisible(dataset.labels[rows], together[rows])
    if number > (distinct := len(np.unique(together[rows]))):
        raise SettingError(
            f"{counted(distinct, 'group')} of pictures cannot be divided into {number} folds: a group stays "
            "whole.",
            "Ask for fewer.",
        )
    fold_of = fold_numbers(dataset.labels[rows], together[rows], number, seed)
    splits = []
    for fold in range(number):
        rest, tested = rows[fold_of != fold], rows[fold_of == fold]
        train, val = _validation_of(dataset, rest, together, validation, seed, fold)
        sentence = f"fold {fold + 1} of {number} of {words}, stratified, seed {seed}"
        if len(val):
            sentence += f", {validation * 100:g} % of the others set aside for validation"
            sentence += in_fact(Fraction(str(validation)), len(val), len(rest), "it is")
        splits.append(Split(train, val, tested, sentence, groups))
    return splits


def fold_numbers(
    labels: np.ndarray, groups: np.ndarray, number: int, seed: int, index: int = 0
) -> np.ndarray:
    """Return each picture's fold, int (n,); no fold holds the whole of a class that has two groups.

    index: of the draw, beside others with this seed.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    random_state = int(stream(seed, Purpose.SPLIT, 1, index).integers(2**31))
    fold_of = np.zeros(len(labels), dtype=np.int64)
    # Stratified folds want a class that reaches into each of them.
    strata = labels if max(Counter(labels.tolist()).values()) >= number else np.zeros(len(labels), int)
    if len(np.unique(groups)) == len(groups):
        folds = StratifiedKFold(number, shuffle=True, random_state=random_state).split(labels, strata)
    else:
        folds = StratifiedGroupKFold(number, shuffle=True, random_state=random_state).split(
            labels, strata, groups
        )
    with warnings.catch_warnings():
        # That a class has fewer pictures than there are folds is no fault: it is missing from some of them.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, tested) in enumerate(folds):
            fold_of[tested] = fold
    for name in np.unique(labels):
        of_class = labels == name
        if len(np.unique(fold_of[of_class])) == 1 and len(np.unique(groups[of_class])) > 1:
            # The smallest of its groups goes to the next fold: it moves the fewest other pictures.
            members, sizes = np.unique(groups[of_class], return_counts=True)
            fold_of[groups == members[sizes.argmin()]] += 1
            fold_of %= number
    return fold_of


def _validation_of(
    dataset: Dataset, rest: np.ndarray, groups: np.ndarray, validation: float, seed: int, fold: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (train, val) of the pictures outside a fold: one of 1/validation sets is for validation."""
    # Half of them is the most that can be set aside.
    parts = max(round(1 / validation), 2) if validation else 0
    if len(np.unique(groups[rest])) < len(rest):
        # Of few groups, one is the least that can be set aside.
        parts = min(parts, len(np.unique(groups[rest])))
    if parts < 2 or parts > len(rest):
        return rest, rest[:0]
    chosen = fold_numbers(dataset.labels[rest], groups[rest], parts, seed, 1 + fold) == 0
    for name in np.unique(dataset.labels[rest[chosen]]):
        if not (dataset.labels[rest[~chosen]] == name).any():
            # What cannot be learned cannot be chosen on: the class goes back, with what belongs to it.
            lost = np.unique(groups[rest[chosen]][dataset.labels[rest[chosen]] == name])
            chosen &= ~np.isin(groups[rest], lost)
    return rest[~chosen], rest[chosen]


def _check_divisible(labels: np.ndarray, groups: np.ndarray) -> None:
    """Refuse classes that would lie in one fold only: they would be evaluated without being trained on."""
    counts = Counter(labels.tolist())
    single = sorted(name for name, pictures in counts.items() if pictures < 2)
    if single:
        raise DataError(
            f"{classes_have(single)} only one picture to divide between folds.",
            "Add pictures of such a class, or leave it out.",
        )
    whole = sorted(name for name in counts if len(np.unique(groups[labels == name])) < 2)
    if whole:
        raise DataError(
            f"{classes_have(whole)} all pictures in one group, which cannot be divided between folds.",
            "Add pictures of such a class, leave it out, or divide the group.",
        )
