"""Split: which pictures are trained on, which are chosen on, which are tested on."""

from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from linnaea.data.balance import divide_groups
from linnaea.data.classes import as_one
from linnaea.data.dataset import OFFICIAL_SPLIT, SPLITS, Dataset
from linnaea.data.groups import Groups, whole_class_groups
from linnaea.errors import DataError, SettingError
from linnaea.random_streams import Purpose, stream
from linnaea.text import classes_have, counted, listed, option

OFFICIAL = "official"
TRAINVAL = "trainval"
RANDOM = "random"
RANDOM_SHARE = "0.7"
"""What "random" means: the fraction to train on of the original report."""

_ALLOWED = (
    "Allowed are 'official', 'trainval', 'random', a fraction to train on such as 0.7, or percentages "
    "such as 70/30 or 70/15/15."
)


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of each set, and how they were chosen.

    train, val, test: ndarray of int64
        Rows of the data set, in the order of their paths. val may be empty.
    protocol: str
        A sentence for the report: "70/30 stratified, seed 0".
    groups: Groups or None
        What was kept together; None where nothing was asked.
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    protocol: str
    groups: Groups | None = None

    def by_name(self) -> dict[str, np.ndarray]:
        """Return the rows by the set's name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def leaks(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        """Return the rows that this division lets leak, as {"test": rows, "val": rows}.

        "test": test pictures that belong together with one of training or validation; "val": validation
        pictures that belong together with one of training. Both are empty for a split that was drawn with
        these groups. ids: int (n,), equal for pictures of the data set that belong together (Groups.ids).
        """
        learned = ids[self.train]
        chosen_on = np.concatenate([learned, ids[self.val]])
        return {
            "test": self.test[np.isin(ids[self.test], chosen_on)],
            "val": self.val[np.isin(ids[self.val], learned)],
        }


def default_protocol(dataset: Dataset) -> str:
    """Return "official" for data that have a split (a folder, a CSV, flowers102), else "0.7".

    Not for MNIST, which has one too: the original report drew its own.
    """
    is_mnist = dataset.root is None and dataset.split_name == OFFICIAL_SPLIT
    return OFFICIAL if dataset.splits is not None and not is_mnist else RANDOM_SHARE


def make_split(
    dataset: Dataset, protocol: str, *, validation: float = 0.0, seed: int = 0, groups: Groups | None = None
) -> Split:
    """Divide the pictures into training, validation and test set.

    Parameters
    ----------
    dataset: Dataset
        The order in which it lists its pictures does not matter: they are sorted by path first.
    protocol: str
        "official" (the data set's own split: train, choose on val where there is one, test on test),
        "trainval" (the same, but train on train and val together), "0.7" (train on 70 % of the pictures, test
        on the rest, each class in proportion), the same as "70/30" and as "random"; "70/15/15" names a
        validation set as well.
    validation: float
        The fraction of the training set to set aside for validation, each class in proportion; without effect
        where the protocol has a validation set.
    seed: int
        Of the draw, for the streams SPLIT and VALIDATION.
    groups: Groups, optional
        What belongs together and is never divided by a draw. A split that is given is taken as it is
        (Split.leaks returns what that lets through).

    Sizes: of n pictures, test gets n x its fraction, rounded to the nearest (halves to even), and train the
    rest; within that, each class gets its share rounded up or down (scikit-learn's stratification), and never
    nothing. Where groups have more than one picture, as near to that as they allow (balance.divide_groups).

    Raises SettingError for a protocol or fraction that is not allowed, and DataError, naming the classes,
    where a class has too few pictures for the sets, lies in one group, or stands in validation or test and
    not in training.
    """
    if protocol in {OFFICIAL, TRAINVAL}:
        train, val, test = _official(dataset)
        words = dataset.split_name
        if protocol == TRAINVAL:
            train, val = _joined(dataset, train, val)
            words += ", train and val together for training"
        words += in_no_set(dataset)
    else:
        train_share, val_share, test_share = _shares(RANDOM_SHARE if protocol == RANDOM else protocol)
        rows = dataset.by_path()
        rest, test = _divide(dataset, rows, test_share, Purpose.SPLIT, seed, "test", groups)
        train, val = rest, rest[:0]
        if val_share:
            # The share of what is left once test is gone: 15 of 85.
            inner = val_share / (train_share + val_share)
            train, val = _divide(dataset, rest, inner, Purpose.VALIDATION, seed, "validation", groups)
        shares = [share for share in (train_share, val_share, test_share) if share]
        words = f"{'/'.join(f'{float(share * 100):g}' for share in shares)} stratified, seed {seed}"
        words += in_fact(test_share, len(test), len(rows), "the test set is")
        words += f", kept together: {groups.words}" if groups is not None and groups.words else ""
    return set_aside(dataset, Split(train, val, test, words, groups), validation, seed)


def set_aside(dataset: Dataset, split: Split, validation: float, seed: int = 0) -> Split:
    """Return the split with this fraction of its training set as validation, unless it has one.

    Raises as make_split does, also for a set without pictures.
    """
    # Written so that not-a-number is refused too.
    if not 0 <= validation < 1:
        raise SettingError(f"The validation fraction is {validation}; expected 0 or more and less than 1.")
    # From training only, on a stream of its own: asking for a validation set, or for another size of it,
    # never changes the test set.
    if validation and not len(split.val):
        train, val = _divide(
            dataset,
            split.train,
            Fraction(str(validation)),
            Purpose.VALIDATION,
            seed,
            "validation",
            split.groups,
        )
        words = f"{split.protocol}, {validation * 100:g} % of training set aside for validation"
        words += in_fact(Fraction(str(validation)), len(val), len(split.train), "it is")
        words += "" if f", seed {seed}" in split.protocol else f", seed {seed}"
        split = replace(split, train=train, val=val, protocol=words)
    check_sets(dataset, split)
    return split


def in_fact(share: Fraction, pictures: int, of: int, what: str) -> str:
    """Return what a set came to, where that is a point or more from its share; "" elsewhere.

    Of few classes, or large groups, none can be left out or divided.
    """
    actual = Fraction(pictures, of)
    return "" if abs(actual - share) < Fraction(1, 100) else f" ({what} {float(actual * 100):.3g} %)"


def _shares(protocol: str) -> tuple[Fraction, Fraction, Fraction]:
    """Return the shares of train, val and test, exact: 0.7 is 7/10 and not the nearest binary number."""
    refused = SettingError(f"The split '{protocol}' is not known.", _ALLOWED)
    try:
        numbers = [Fraction(word.strip()) for word in protocol.split("/")]
    except (ValueError, ZeroDivisionError):
        raise refused from None
    if len(numbers) == 1:
        numbers = [numbers[0], 1 - numbers[0]]
    total = sum(numbers)
    # Shares must be whole: 70/20 is more often a slip than a wish to leave a tenth of the pictures out.
    if len(numbers) > 3 or total not in (1, 100) or any(number <= 0 for number in numbers):
        raise refused
    shares = [number / total for number in numbers]
    return shares[0], shares[1] if len(shares) == 3 else Fraction(0), shares[-1]


def _official(dataset: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if dataset.splits is None:
        raise SettingError(
            f"'{dataset.name}' comes without a split.",
            f"Use a fraction, such as {option('split', 0.7)} (70 % for training).",
        )
    order = dataset.by_path()
    rows = [order[dataset.splits[order] == name] for name in SPLITS]
    for name, members in zip(SPLITS, rows, strict=True):
        if name != "val" and not len(members):
            raise DataError(
                f"'{dataset.name}' comes with a split, but has no {name} set.",
                f"Add {name} pictures, or divide all anew with a fraction, such as {option('split', 0.7)}.",
            )
    return rows[0], rows[1], rows[2]


def in_no_set(dataset: Dataset) -> str:
    """Return ", 24 pictures in no set left out", for a protocol that takes the split as given, or ""."""
    left = 0 if dataset.splits is None else int((dataset.splits == "").sum())
    return f", {counted(left, 'picture')} in no set left out" if left else ""


def _joined(dataset: Dataset, train: np.ndarray, val: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(val):
        raise SettingError(
            f"'{dataset.name}' comes with no validation set to train on as well.",
            f"Use {option('split', OFFICIAL)}.",
        )
    order = dataset.by_path()
    return order[np.isin(order, np.concatenate([train, val]))], val[:0]


def _divide(
    dataset: Dataset,
    rows: np.ndarray,
    share: Fraction,
    purpose: Purpose,
    seed: int,
    name: str,
    groups: Groups | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (the rest, the share) of these rows, each class in proportion, both in the order of rows."""
    labels = dataset.labels[rows]
    ids = rows if groups is None else groups.divisible(labels, rows)
    _check_divisible(labels, rows, ids, groups, name)
    if len(np.unique(ids)) < len(ids):
        taken = divide_groups(labels, ids, share, stream(seed, purpose))
        return rows[~taken], rows[taken]
    # scikit-learn takes a number for its own generator; drawing it from the stream keeps one rule for
    # randomness.
    return _draw(labels, rows, share, int(stream(seed, purpose).integers(2**31)))


def _check_divisible(
    labels: np.ndarray, rows: np.ndarray, ids: np.ndarray, groups: Groups | None, name: str
) -> None:
    # Checked here and not by scikit-learn, whose message does not name the class.
    instead = f", or set nothing aside with {option('validation', 0)}" if name == "validation" else ""
    small = sorted(name for name, count in Counter(labels.tolist()).items() if count < 2)
    if small:
        one = "only one picture to divide between training and test"
        if name == "validation":
            # Of a class of two, one is in the test set.
            one = "only one picture outside the test set, and none to spare for validation"
        raise DataError(
            f"{classes_have(small)} {one}.", f"Add pictures of such a class, or leave it out{instead}."
        )
    if groups is None:
        return
    whole = whole_class_groups(labels, ids)
    if whole:
        classes = listed(
            f"'{name}' in '{groups.names[rows[labels == name][0]]}', {(labels == name).sum():,} pictures"
            for name in whole
        )
        subject = "A class lies" if len(whole) == 1 else f"{len(whole):,} classes lie"
        # Of two reasons to belong together, the one that made this group may not be the one it is named by.
        several = f"Kept together are {groups.words}, joined where they share a picture. "
        raise DataError(
            f"{subject} in one group, which cannot be divided between training and {name}: {classes}.",
            f"{several if ', ' in groups.words else ''}Add pictures of such a class that belong to another "
            f"group, or leave it out{instead}.",
        )


def _draw(
    labels: np.ndarray, rows: np.ndarray, share: Fraction, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import train_test_split

    classes = len(np.unique(labels))
    # Every class has two pictures or more, so there is room for each on both sides.
    size = min(max(round(len(rows) * share), classes), len(rows) - classes)
    rest, taken = train_test_split(
        np.arange(len(rows)),
        test_size=size,
        train_size=len(rows) - size,
        stratify=labels,
        random_state=random_state,
    )
    # It returns both sides shuffled; the order of paths is easier to read, and classifiers shuffle for
    # themselves.
    rest, taken = _complete(labels, np.sort(rest), np.sort(taken))
    return rows[rest], rows[taken]


def _complete(labels: np.ndarray, rest: np.ndarray, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move one picture of each class that rounding left out of a side: a rare class is evaluated, too."""
    for name in np.unique(labels):
        for giving, lacking in ((rest, taken), (taken, rest)):
            if not (labels[lacking] == name).any():
                # The last by path, rather than another draw: nothing else of the split moves.
                moved = giving[labels[giving] == name][-1]
                if lacking is taken:
                    rest, taken = rest[rest != moved], np.sort(np.append(taken, moved))
                else:
                    rest, taken = np.sort(np.append(rest, moved)), taken[taken != moved]
                break
    return rest, taken


def check_sets(dataset: Dataset, split: Split) -> None:
    """Raise DataError for a training or test set without pictures, or a class that training lacks."""
    for name in ("train", "test"):
        if not len(split.by_name()[name]):
            raise DataError(
                f"The {name} set of '{dataset.name}' has no pictures ({split.protocol}).",
                "Every split needs pictures to train on and pictures to test on.",
            )
    # The class list is made from training. The other way round is no error: a class without test pictures is
    # learned and reported as not evaluated.
    known = set(dataset.labels[split.train].tolist())
    for name, rows in (("validation", split.val), ("test", split.test)):
        strange = sorted(set(dataset.labels[rows].tolist()) - known)
        if strange:
            learned = {as_one(label): label for label in known}
            other = [
                f"'{label}' ('{learned[as_one(label)]}' in training)"
                for label in strange
                if as_one(label) in learned
            ]
            hint = f" Spelled otherwise: {listed(other)}." if other else ""
            ways = "or leave it out"
            if dataset.splits is not None:
                ways = f"leave it out, or divide all anew ({option('split', 0.7)})"
            cure = f"A network cannot learn a class that it never sees: add pictures of it, {ways}."
            raise DataError(
                f"{classes_have(strange)} pictures in the {name} set and none in the training set.{hint}",
                "Give each class one name in all sets." if len(other) == len(strange) else cure,
            )
