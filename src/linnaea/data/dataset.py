"""Dataset: which pictures, which labels, and which set each belongs to."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from linnaea.text import option

if TYPE_CHECKING:
    from linnaea.data.decoding import ValueRange

SPLITS = ("train", "val", "test")
OFFICIAL_SPLIT = "official split"
"""What a report calls a split that was published with the pictures."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled pictures, in memory (digits, mnist) or as files (a folder, a CSV).

    name: str
        What the user calls it: "mnist", or the folder's name.
    source: str
        How it was asked for: "mnist", "my_photos/".
    paths: tuple of str
        One name a picture, unique: the file's path below root, or "train/00017" for pictures in memory.
    labels: ndarray of str, (n,)
        The class name of each picture.
    splits: ndarray of str, (n,), or None
        "train", "val", "test" where the source comes with a split ("" for a picture outside it).
    pixels: ndarray of uint8, (n, height, width) or (n, height, width, 3), or None
        The pictures themselves where they live in memory; None where they are files below root.
    root: Path or None
        The folder that paths start from.
    notes: tuple of str
        Sentences the user should read: what was left out and why.
    empty_classes: tuple of str
        Classes that the source names and that have no picture (empty folders).
    columns: mapping
        {column: {path: value}} of the further columns of a CSV, their names in small letters; by path, so
        that it holds for any selection of the data set.
    split_name: str
        What a report calls splits, such as OFFICIAL_SPLIT or "your split column".
    value_range: (float, float), "picture" or None
        What numbers of more than 8 bits are read with (see decoding.read_picture): whoever opens a file of
        the data set passes it on.
    """

    name: str
    source: str
    paths: tuple[str, ...]
    labels: np.ndarray
    splits: np.ndarray | None = None
    pixels: np.ndarray | None = None
    root: Path | None = None
    notes: tuple[str, ...] = ()
    empty_classes: tuple[str, ...] = ()
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    split_name: str = "the data set's own split"
    value_range: "ValueRange | None" = None

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self):,} pictures, {len(self.class_names)} classes)"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Every class that has a picture, sorted."""
        return tuple(str(name) for name in np.unique(self.labels))

    def select(self, rows: Sequence[int] | np.ndarray) -> "Dataset":
        """Return these pictures, in this order; a class that loses its last one is among empty_classes."""
        rows = np.asarray(rows, dtype=np.int64)
        lost = set(self.class_names) - {str(label) for label in self.labels[rows]}
        return replace(
            self,
            paths=tuple(self.paths[row] for row in rows.tolist()),
            labels=self.labels[rows],
            splits=None if self.splits is None else self.splits[rows],
            pixels=None if self.pixels is None else self.pixels[rows],
            empty_classes=tuple(sorted({*self.empty_classes, *lost})),
        )

    def by_path(self) -> np.ndarray:
        """Return the rows, int64 (n,), in the order in which every draw meets them: see path_order."""
        # Not np.argsort: an array of text takes, for each path, the room of the longest.
        order = sorted(range(len(self)), key=lambda row: path_order(self.paths[row]))
        return np.array(order, dtype=np.int64)

    def files(self, rows: Sequence[int] | np.ndarray) -> list[Path]:
        """Return the files of these rows; only for a data set of files."""
        if self.root is None:
            raise TypeError(f"{self!r} lives in memory and has no files")
        return [self.root / self.paths[row] for row in rows]


def with_test_set(splits: np.ndarray) -> tuple[np.ndarray, str]:
    """Return splits (n,) with the validation set as the test set where there is no other, and a note of it.

    Tutorials divide into train and val alone, and evaluate on val. The note is "" where nothing changed.
    """
    if set(splits.tolist()) - {""} != {"train", "val"}:
        return splits, ""
    note = (
        "There is no test set, so the validation set is used as one, and validation pictures are taken from "
        f"training. To keep it for validation, add a test set, or divide all anew ({option('split', 0.7)})."
    )
    return np.where(splits == "val", "test", splits), note


def path_order(path: str) -> tuple[str, str]:
    """Return what paths are sorted by, so that the same pictures are drawn wherever the folder lies.

    File systems list in their own order, and macOS may store é as two characters where others store one.
    """
    return unicodedata.normalize("NFC", path), path
