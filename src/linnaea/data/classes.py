"""What is wrong with the classes of a data set: too small, unequal, missing from a set."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from linnaea.data.dataset import SPLITS, Dataset
from linnaea.data.problems import Problem
from linnaea.text import counted, listed, natural_order

TINY = 5
"""A class with fewer pictures is pointed out: at 70/30 it is evaluated on one picture only."""

SMALL = 20
"""Below this a class is evaluated on six pictures or fewer at 70/30: each one is 17 points."""

UNEQUAL = 10
"""The largest class over the smallest from which guessing the largest begins to pay."""

# Letters of Greek and Cyrillic that look like those of Latin, and signs that keyboards confuse: the commonest
# of Unicode's confusables (Technical Standard 39).
_LOOK = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧονρ‐‑–—−’‘`´ʼ",
    "ABESIJKMHOPCTYXaesijopcyxdqwABEZHIKMNOPTYXovp-----'''''",
)


def class_problems(dataset: Dataset, usable: np.ndarray) -> list[Problem]:
    """Return what is wrong with the classes, counting usable pictures only; usable: bool (n,)."""
    names, counts = np.unique(dataset.labels[usable], return_counts=True)
    sizes = dict.fromkeys((*dataset.class_names, *dataset.empty_classes), 0)
    sizes.update(zip(names.tolist(), counts.tolist(), strict=True))
    sizes = {name: sizes[name] for name in sorted(sizes, key=natural_order)}
    with_pictures = {name: size for name, size in sizes.items() if size}
    problems = []
    if len(with_pictures) < 2:
        classes = f"one class only, '{next(iter(with_pictures))}'" if with_pictures else "no class"
        message = f"{dataset.source} has usable pictures of {classes}."
        problems.append(Problem("one_class", "error", (), message))
    for name, size in sizes.items():
        if size < TINY:
            problems.append(_tiny_class(dataset, usable, name, size))
    problems += _similar_names(with_pictures)
    small = [f"{name} ({size})" for name, size in with_pictures.items() if TINY <= size < SMALL]
    if small:
        verb = "has" if len(small) == 1 else "have"
        message = (
            f"{counted(len(small), 'class', 'classes')} {verb} fewer than {SMALL} pictures: {listed(small)}."
        )
        problems.append(Problem("small_class", "note", (), message))
    return [*problems, *_imbalance(with_pictures)]


def _tiny_class(dataset: Dataset, usable: np.ndarray, name: str, size: int) -> Problem:
    if size == 0:
        return Problem("empty_class", "warning", (), f"The class '{name}' has no usable picture.")
    # Named with their paths, so that a page can show the pictures beside the sentence.
    paths = tuple(dataset.paths[row] for row in np.flatnonzero(usable & (dataset.labels == name)))
    if size == 1:
        message = f"The class '{name}' has one picture, which cannot be divided between training and test."
        return Problem("tiny_class", "error", paths, message)
    message = f"The class '{name}' has {size} pictures, too few to evaluate it on."
    return Problem("tiny_class", "warning", paths, message)


def similar_names(names: Iterable[str]) -> list[list[str]]:
    """Return the names, by groups, that differ only as what as_one passes over does."""
    alike = defaultdict(list)
    for name in names:
        alike[as_one(name)].append(name)
    return [sorted(group) for group in alike.values() if len(group) > 1]


def as_one(name: str) -> str:
    """Return what names of one class have in common: "Cats" and "cat", but not "glass" and "glas".

    And the stamp of a download in several archives (Google Drive's cat-20240131T101500Z-001), and the zeros
    of a number that joining tables made a fraction: "1.0".
    """
    name = re.sub(r"^\s*(-?\d+)\.0+\s*$", r"\1", name)
    name = as_read(re.sub(r"-\d{8}T\d{6}Z(-\d+)*$", "", name))
    if match := re.search(r"(?<=[^\W\d_]{2})(ies|(?<=x)es|(?<=[cs]h)es)$", name):
        return name[: match.start()] + ("y" if match[0] == "ies" else "")
    return name[:-1] if re.search(r"[^\W\d_]{2}[^\W\d_s]s$", name) else name


def as_read(name: str) -> str:
    """Return what somebody reads in a name: "Blue_Tit " as "bluetit"; "1-2" and "-1" not as "12" and "1"."""
    seen = unicodedata.normalize("NFKC", name).translate(_LOOK).casefold().strip()
    seen = "".join(letter for letter in seen if unicodedata.category(letter) != "Cf")
    seen = re.sub(r"(?<=\d)[\s_-]+(?=\d)", "/", seen)
    return re.sub(r"\s+|(?<=[^\W_])[\s_-]+(?=[^\W_])", "", seen)


def _similar_names(sizes: dict[str, int]) -> list[Problem]:
    groups = similar_names(sizes)
    if not groups:
        return []
    pairs = (
        " and ".join(f"{_spelled(name)} ({counted(sizes[name], 'picture')})" for name in group)
        for group in groups
    )
    message = (
        f"{sum(map(len, groups)):,} classes differ only in capitals, blanks, hyphens, a plural s, "
        f"the stamp of a download, zeros behind a point or the look of letters: {listed(pairs, 5)}. Each "
        "is learned as a class of its own: give those that are one the same name."
    )
    return [Problem("similar_names", "warning", (), message)]


def _spelled(name: str) -> str:
    """Return a name in quotation marks, with the letters that look like others named."""
    strange = dict.fromkeys(c for c in name if ord(c) in _LOOK or unicodedata.category(c) == "Cf")
    called = listed(unicodedata.name(letter, f"U+{ord(letter):04X}").lower() for letter in strange)
    return f"'{name}'" + (f" with {called}" if strange else "")


def _imbalance(sizes: dict[str, int]) -> list[Problem]:
    if len(sizes) < 2:
        return []
    largest, smallest = max(sizes, key=sizes.__getitem__), min(sizes, key=sizes.__getitem__)
    if sizes[largest] < UNEQUAL * sizes[smallest]:
        return []
    message = (
        f"The largest class, '{largest}', has {sizes[largest]:,} pictures, "
        f"{sizes[largest] // sizes[smallest]} times as many as the smallest, '{smallest}' "
        f"({sizes[smallest]:,}): accuracy alone will be optimistic."
    )
    return [Problem("imbalance", "warning", (), message)]


def split_problems(dataset: Dataset, usable: np.ndarray) -> list[Problem]:
    """Compare the classes of the given sets: a class missing from training cannot be predicted."""
    if dataset.splits is None:
        return []
    known = {split: set(dataset.labels[usable & (dataset.splits == split)].tolist()) for split in SPLITS}
    everywhere = set.union(*known.values())
    problems = []
    for split in SPLITS:
        lacking = sorted(everywhere - known[split], key=natural_order)
        # A set that is not there at all is a matter of the layout, not of the classes.
        if lacking and known[split]:
            classes = counted(len(lacking), "class", "classes")
            verb = "has" if len(lacking) == 1 else "have"
            message = f"{classes} {verb} no usable picture in the {split} set: {listed(lacking)}."
            severity = "error" if split == "train" else "warning"
            problems.append(Problem("missing_from_split", severity, (), message))
    return problems
