"""Predictions: the one table everything else is computed from."""

import csv
import io
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from linnaea import reading
from linnaea.errors import DataError, did_you_mean

OTHER_COLUMNS = (
    *("path", "true", "predicted", "probability", "set", "ood", "ood_score", "brightness", "error"),
)
"""The columns beside those of the classes, in any table that Linnaea writes; in small letters."""

_PREFIX = "p_"


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a classifier predicted for each picture of one set.

    paths: tuple of str
        One name a picture.
    true: ndarray of str, (n,)
        The given class of each picture.
    classes: tuple of str
        The class list from training; the columns of probabilities.
    probabilities: ndarray of float64, (n, classes)
        Each row sums to one.
    hashes: tuple of str
        Of each picture's content, by which it is known under another path; () where they are not known. They
        stand in split.csv and not in the table's own file.
    groups: ndarray of int64, (n,), or None
        Equal for pictures that belong together (one plant, one patient, copies), which tell less than as many
        independent ones: see clustered. None where each stands alone. From split.csv, too.
    """

    paths: tuple[str, ...]
    true: np.ndarray
    classes: tuple[str, ...]
    probabilities: np.ndarray
    hashes: tuple[str, ...] = ()
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        n, k = len(self.paths), len(self.classes)
        if self.true.shape != (n,) or self.probabilities.shape != (n, k):
            raise DataError(
                f"A prediction table needs {n} labels and probabilities of shape {(n, k)}; "
                f"received {self.true.shape} and {self.probabilities.shape}."
            )
        if self.hashes and len(self.hashes) != n:
            raise DataError(
                f"A prediction table of {n} pictures needs {n} hashes; received {len(self.hashes)}."
            )
        if self.groups is not None and self.groups.shape != (n,):
            raise DataError(
                f"A prediction table of {n} pictures needs {n} groups; received {self.groups.shape}."
            )
        if len(set(self.classes)) != k:
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise DataError(f"The class list of a prediction table names '{twice}' more than once.")

    def __len__(self) -> int:
        return len(self.paths)

    def groups_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the groups of these rows (a mask, or numbers), None where every picture stands alone."""
        return None if self.groups is None else self.groups[rows]

    @property
    def true_index(self) -> np.ndarray:
        """The column of each picture's given class, (n,) int64.

        Raises DataError where a picture's class is not in the class list: it could never be predicted, and
        leaving the picture out in silence would flatter every number.
        """
        names = np.asarray(self.classes)
        unknown = np.unique(self.true[~np.isin(self.true, names)])
        if len(unknown):
            shown = ", ".join(f"'{name}'" for name in unknown[:3])
            pictures = int(np.isin(self.true, unknown).sum())
            raise DataError(
                f"{pictures:,} pictures have a class that training did not have "
                f"({shown}{', …' if len(unknown) > 3 else ''}).",
                "Train again with these classes, or leave these pictures out.",
            )
        order = np.argsort(names)
        return order[np.searchsorted(names, self.true, sorter=order)]

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each picture, (n,); the first of equals."""
        return np.asarray(self.classes)[self.probabilities.argmax(axis=1)]

    @property
    def confidence(self) -> np.ndarray:
        """The probability of the predicted class, (n,)."""
        return self.probabilities.max(axis=1)

    def to_csv(self) -> str:
        """Return the table as CSV: path, true, predicted, then one probability column a class (columns_of).

        Probabilities are written with nine significant digits, so that a float32 comes back exactly.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["path", "true", "predicted", *columns_of(self.classes)])
        for path, true, predicted, row in zip(
            self.paths, self.true, self.predicted, self.probabilities, strict=True
        ):
            writer.writerow([path, true, predicted, *(f"{p:.9g}" for p in row)])
        return text.getvalue()

    @classmethod
    def read_csv(cls, path: Path) -> "Predictions":
        """Read what to_csv wrote.

        Raises DataError, naming the line, for a table that is not one, holds values that are not
        probabilities, or rows that do not sum to one; and for what is no plain file, or larger than
        reading.MAX_TABLE.
        """
        try:
            content = io.BytesIO(reading.read_bytes(path, reading.MAX_TABLE))
            text = io.TextIOWrapper(content, encoding="utf-8", newline="")
            header, names, probabilities = _parsed(path, csv.reader(text))
        except FileNotFoundError as error:
            raise DataError(
                f"{path} is missing.", "The run was not evaluated on a test set: train it to its end."
            ) from error
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} is damaged ({error}).", "Restore the file, or train again.") from error
        classes = _classes_of(header[3:])
        _check_rows(path, probabilities)
        _check_names(path, classes, names, probabilities)
        return cls(
            paths=tuple(row[0] for row in names),
            true=np.array([row[1] for row in names], dtype=str),
            classes=tuple(classes),
            probabilities=probabilities,
        )


def columns_of(classes: Sequence[str]) -> list[str]:
    """Return the names of the columns of probabilities: those of the classes.

    Where one of them is called like another column (a class "true", "path" or "Error"), all begin with p_, so
    that no table has two columns of one name, and those of the classes look alike.
    """
    return [f"{_PREFIX}{name}" for name in classes] if _collide(classes) else list(classes)


def _classes_of(columns: list[str]) -> list[str]:
    """Return the classes whose columns_of these are; older tables have names that collide as they are."""
    if _collide(columns) and all(name.startswith(_PREFIX) for name in columns):
        return [name.removeprefix(_PREFIX) for name in columns]
    return columns


def _collide(names: Sequence[str]) -> bool:
    # Whatever stands before it: else the classes p_true and p_false would come back as true and false.
    return any(re.sub(f"^({_PREFIX})+", "", name.casefold()) in OTHER_COLUMNS for name in names)


def _parsed(path: Path, rows: Iterator[list[str]]) -> tuple[list[str], list[list[str]], np.ndarray]:
    """Return the header, the first three values of each row, and the others as numbers (n, classes).

    Row by row: of a thousand classes the text of all numbers would take ten times their memory.
    """
    header = next(rows, [])
    if header[:3] != ["path", "true", "predicted"] or len(header) < 4:
        raise DataError(f"{path} does not begin with the columns path, true, predicted and the classes.")
    names: list[list[str]] = []
    numbers = array("d")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise DataError(f"{path}, line {number}: expected {len(header)} values, received {len(row)}.")
        try:
            numbers.extend(map(float, row[3:]))
        except ValueError as error:
            raise DataError(f"{path} holds a probability that is not a number ({error}).") from error
        names.append(row[:3])
    return header, names, np.frombuffer(numbers).reshape(len(names), len(header) - 3)


def _check_rows(path: Path, probabilities: np.ndarray) -> None:
    # 1e-3 is far above the rounding of a float32 softmax over a thousand classes, far below an edit by hand.
    wrong = (
        ~(np.abs(probabilities.sum(axis=1) - 1) < 1e-3)
        | (probabilities < 0).any(axis=1)
        | (probabilities > 1 + 1e-3).any(axis=1)
    )
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{path}, line {first + 2}: the probabilities are not between 0 and 1 with the sum 1 "
            f"(sum {probabilities[first].sum():.6g}); {int(wrong.sum())} such rows.",
            "Restore the file, or train again.",
        )


def _check_names(path: Path, classes: list[str], names: list[list[str]], probabilities: np.ndarray) -> None:
    """Refuse a class that has no column, and a predicted class that is not the most probable."""
    column = {name: number for number, name in enumerate(classes)}
    for line, (row, stated) in enumerate(zip(names, probabilities, strict=True), start=2):
        for what, name in (("true", row[1]), ("predicted", row[2])):
            if name not in column:
                hint = did_you_mean(name, classes)
                raise DataError(
                    f"{path}, line {line}: the {what} class '{name}' has no column in this table.",
                    f"{hint if hint.startswith('Did') else ''} Restore the file, or train again.".strip(),
                )
        # Nine digits can make equals of two that were not.
        if stated[column[row[2]]] < stated.max() * (1 - 1e-8):
            raise DataError(
                f"{path}, line {line}: '{row[2]}' is given as predicted, "
                f"but '{classes[int(stated.argmax())]}' is more probable.",
                "Restore the file, or train again.",
            )


def joined(tables: Sequence[Predictions]) -> Predictions:
    """Return the tables of all folds as one, sorted by path; no group reaches over two folds.

    Raises DataError where they know different classes, or two hold the same picture.
    """
    classes = tables[0].classes
    if any(set(table.classes) != set(classes) for table in tables):
        raise DataError("The folds know different classes.", "Train them again with --folds.")
    paths = [path for table in tables for path in table.paths]
    order = sorted(range(len(paths)), key=paths.__getitem__)
    if len(set(paths)) != len(paths):
        raise DataError("Two folds evaluate the same picture.", "Train them again with --folds.")
    columns = [[table.classes.index(name) for name in classes] for table in tables]
    probabilities = [table.probabilities[:, own] for table, own in zip(tables, columns, strict=True)]
    groups = None
    if any(table.groups is not None for table in tables):
        # Each fold numbers its own, from 0; a picture that stands alone has a number that no other has.
        ids = [np.arange(len(table)) if table.groups is None else table.groups for table in tables]
        before = np.cumsum([0, *(of_fold.max() + 1 for of_fold in ids[:-1])])
        groups = np.concatenate([of_fold + at for of_fold, at in zip(ids, before, strict=True)])[order]
    return Predictions(
        paths=tuple(paths[row] for row in order),
        true=np.concatenate([table.true for table in tables])[order],
        classes=classes,
        probabilities=np.concatenate(probabilities)[order],
        groups=groups,
    )
