"""Parts made once: which pictures train, which choose, which judge."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from linnaea.data.dataset import PARTS, Dataset, counted, listed
from linnaea.data.fingerprints import content_hashes, fingerprint, text_hash
from linnaea.errors import DataError, SettingError
from linnaea.streams import Purpose, stream

__all__ = [
    "Split",
    "default_protocol",
    "fingerprint",
    "make_split",
    "read_split",
    "split_from_rows",
    "split_hash",
    "split_rows",
]

OFFICIAL = "official"
TRAINVAL = "trainval"
RANDOM = "random"
RANDOM_SHARE = "0.7"
"""What "random" means: the fraction to train on of the original report."""

COLUMNS = ("path", "hash", "label", "part")
"""The columns of split.csv."""

_ALLOWED = (
    "Allowed are 'official', 'trainval', 'random', a fraction to train on such as 0.7, or percentages "
    "such as 70/30 or 70/15/15."
)


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of each part, and how they were chosen.

    train, val, test: ndarray of int64
        Rows of the data set, in the order of their paths. val may be empty.
    protocol: str
        A sentence for the report: "70/30 stratified, seed 0".
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    protocol: str

    def parts(self) -> dict[str, np.ndarray]:
        """Return the rows by the part's name."""
        return {"train": self.train, "val": self.val, "test": self.test}


def default_protocol(dataset: Dataset) -> str:
    """Return "official" for picture files that have parts (a folder, a CSV, flowers102), else "0.7".

    Not for MNIST, whose parts are official too: the original report drew its own.
    """
    return OFFICIAL if dataset.root is not None and dataset.parts is not None else RANDOM_SHARE


def make_split(dataset: Dataset, protocol: str, *, validation: float = 0.0, seed: int = 0) -> Split:
    """Divide the pictures into parts.

    Parameters
    ----------
    dataset: Dataset
        The order in which it lists its pictures does not matter: they are sorted by path first.
    protocol: str
        "official" (the data set's own parts: train, choose on val where there is one, judge on test),
        "trainval" (the same, but train on train and val together), "0.7" (train on 70 % of the pictures, test
        on the rest, each class in proportion), the same as "70/30" and as "random"; "70/15/15" names a
        validation part as well.
    validation: float
        The fraction of the training part to set aside for choosing, each class in proportion; without effect
        where the protocol has a validation part.
    seed: int
        Of the draw, for the streams SPLIT and VALIDATION.

    Sizes: of n pictures, test gets n x its fraction, rounded to the nearest (halves to even), and train the
    rest; within that, each class gets its share rounded up or down (scikit-learn's stratification), and never
    nothing.

    Raises SettingError for a protocol or fraction that is not allowed, and DataError, naming the classes,
    where a class has too few pictures for the parts, or stands in validation or test and not in training.
    """
    # Written so that not-a-number is refused too.
    if not 0 <= validation < 1:
        raise SettingError(f"The validation fraction is {validation}; expected 0 or more and less than 1.")
    given = protocol in {OFFICIAL, TRAINVAL}
    if given:
        train, val, test = _official(dataset)
        words = "official parts"
        if protocol == TRAINVAL:
            train, val = _joined(dataset, train, val)
            words += ", train and val together for training"
    else:
        train_share, val_share, test_share = _shares(RANDOM_SHARE if protocol == RANDOM else protocol)
        # Sorted: file systems list in their own order, and the same seed must mean the same pictures
        # everywhere.
        rows = np.argsort(np.array(dataset.paths), kind="stable")
        rest, test = _divide(dataset, rows, test_share, Purpose.SPLIT, seed, "test")
        train, val = rest, rest[:0]
        if val_share:
            # The share of what is left once test is gone: 15 of 85.
            inner = val_share / (train_share + val_share)
            train, val = _divide(dataset, rest, inner, Purpose.VALIDATION, seed, "validation")
        shares = [share for share in (train_share, val_share, test_share) if share]
        words = f"{'/'.join(f'{float(share * 100):g}' for share in shares)} stratified, seed {seed}"
    # Always after test and from training only, on a stream of its own: asking for a validation part, or for
    # another size of it, never changes the test part.
    if validation and not len(val):
        train, val = _divide(
            dataset, train, Fraction(str(validation)), Purpose.VALIDATION, seed, "validation"
        )
        words += f", {validation * 100:g} % of training set aside for validation"
        words += f", seed {seed}" if given else ""
    _check_classes(dataset, train, {"validation": val, "test": test})
    return Split(train, val, test, words)


def split_rows(dataset: Dataset, split: Split, hashes: Sequence[str] | None = None) -> list[dict[str, str]]:
    """Return the rows of split.csv, sorted by path: path, hash (of the content), label, part.

    hashes: what content_hashes returned for the whole data set, if at hand.
    """
    hashes = content_hashes(dataset) if hashes is None else hashes
    rows = [
        {"path": dataset.paths[row], "hash": hashes[row], "label": str(dataset.labels[row]), "part": part}
        for part, members in split.parts().items()
        for row in members
    ]
    return sorted(rows, key=lambda row: row["path"])


def split_hash(rows: Sequence[dict[str, str]]) -> str:
    """Return one hash of the rows of a split: equal exactly where the same pictures play the same parts."""
    return text_hash(sorted("\t".join((row["path"], row["hash"], row["label"], row["part"])) for row in rows))


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
    if dataset.parts is None:
        raise SettingError(
            f"'{dataset.name}' has no official split.",
            "Use a fraction, such as --split 0.7 (70 % for training).",
        )
    order = np.argsort(np.array(dataset.paths), kind="stable")
    rows = [order[dataset.parts[order] == part] for part in PARTS]
    for part, members in zip(PARTS, rows, strict=True):
        if part != "val" and not len(members):
            raise DataError(
                f"'{dataset.name}' is divided into parts, but has no {part} part.",
                f"Add {part} pictures, or divide them anew with a fraction, such as --split 0.7.",
            )
    return rows[0], rows[1], rows[2]


def _joined(dataset: Dataset, train: np.ndarray, val: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(val):
        raise SettingError(
            f"'{dataset.name}' has no official validation part to train on as well.", "Use --split official."
        )
    rows = np.concatenate([train, val])
    return rows[np.argsort(np.array(dataset.paths)[rows], kind="stable")], val[:0]


def _divide(
    dataset: Dataset, rows: np.ndarray, share: Fraction, purpose: Purpose, seed: int, part: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return (the rest, the share) of these rows, each class in proportion, both in the order of rows."""
    from sklearn.model_selection import train_test_split

    labels = dataset.labels[rows]
    # Checked here and not by scikit-learn, whose message does not name the class.
    counts = Counter(labels.tolist())
    small = sorted(name for name, count in counts.items() if count < 2)
    if small:
        raise DataError(
            f"{_classes(small)} only one picture to divide between training and {part}.",
            "Add pictures of it, or leave the class out.",
        )
    # Every class has two pictures or more, so there is room for each on both sides.
    size = min(max(round(len(rows) * share), len(counts)), len(rows) - len(counts))
    # scikit-learn takes a number for its own generator; drawing it from the stream keeps one rule for
    # randomness.
    random_state = int(stream(seed, purpose).integers(2**31))
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
    """Move one picture of each class that rounding left out of a side, so that a rare class is judged too."""
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


def _check_classes(dataset: Dataset, train: np.ndarray, judged: dict[str, np.ndarray]) -> None:
    # The class list is made from training. The other way round is no error: a class without test pictures is
    # learned and reported as not judged.
    known = set(dataset.labels[train].tolist())
    for part, rows in judged.items():
        strange = sorted(set(dataset.labels[rows].tolist()) - known)
        if strange:
            raise DataError(
                f"{_classes(strange)} pictures in the {part} part and none in training.",
                "A network cannot name what it never saw: add training pictures, or leave the class out.",
            )


def _classes(names: list[str]) -> str:
    quoted = listed([f"'{name}'" for name in names])
    return (
        f"The class {quoted} has"
        if len(names) == 1
        else f"{counted(len(names), 'class', 'classes')} ({quoted}) have"
    )


def read_split(text: str) -> list[dict[str, str]]:
    """Return the rows of a split.csv. Raises DataError where columns are missing or a part is unknown."""
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise DataError(
            f"The split has no column {listed(map(repr, missing))}.",
            f"Its columns must be {','.join(COLUMNS)}.",
        )
    rows = [{name: row[name] for name in COLUMNS} for row in reader]
    twice = [path for path, count in Counter(row["path"] for row in rows).items() if count > 1]
    if twice:
        raise DataError(
            f"The split names pictures twice: {listed(twice)}.", "Each picture belongs to one part."
        )
    strange = sorted({row["part"] for row in rows} - set(PARTS))
    if strange:
        raise DataError(
            f"The split names the unknown part {listed(map(repr, strange))}.",
            "Parts are train, val and test.",
        )
    return rows


def split_from_rows(
    dataset: Dataset,
    rows: Sequence[dict[str, str]],
    *,
    protocol: str = "parts of an earlier split",
    hashes: Sequence[str] | None = None,
) -> Split:
    """Return the split that these rows of a split.csv describe, refused where the pictures have changed.

    Pictures that the split does not know are left out, and counted in the protocol. hashes: what
    content_hashes returned for the whole data set, if at hand.

    Raises DataError naming every kind of difference: pictures missing, moved, changed in content, or
    relabelled.
    """
    hashes = content_hashes(dataset) if hashes is None else hashes
    place = {path: row for row, path in enumerate(dataset.paths)}
    # Of pictures that are the same byte for byte the last is named; any of them answers "where is it now?".
    by_hash = dict(zip(hashes, dataset.paths, strict=True))
    differences: dict[str, list[str]] = {"missing": [], "moved": [], "changed": [], "relabelled": []}
    members: dict[str, list[int]] = {part: [] for part in PARTS}
    for row in sorted(rows, key=lambda row: row["path"]):
        path, known = row["path"], place.get(row["path"])
        if known is None:
            now = by_hash.get(row["hash"])
            differences["moved" if now else "missing"].append(f"{path} (now {now})" if now else path)
        elif hashes[known] != row["hash"]:
            differences["changed"].append(path)
        elif dataset.labels[known] != row["label"]:
            differences["relabelled"].append(f"{path} ('{row['label']}', now '{dataset.labels[known]}')")
        else:
            members[row["part"]].append(known)
    found = [f"{len(paths):,} {kind}: {listed(paths)}" for kind, paths in differences.items() if paths]
    if found:
        raise DataError(
            f"'{dataset.name}' is not what the split was made from ({'; '.join(found)}).",
            "Restore the pictures, or make a new split.",
        )
    new = len(place.keys() - {row["path"] for row in rows})
    if new:
        protocol += f", {counted(new, 'picture')} outside it left out"
    train, val, test = (np.array(members[part], dtype=np.int64) for part in PARTS)
    return Split(train, val, test, protocol)
