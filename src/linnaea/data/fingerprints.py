"""Hashes by which the pictures of a data set, and the whole of it, are known again."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from linnaea import reading
from linnaea.data.dataset import Dataset
from linnaea.errors import DataError
from linnaea.hashing import content_hash, file_hash, text_hash


def content_hashes(dataset: Dataset, rows: Sequence[int] | np.ndarray | None = None) -> list[str]:
    """Return the hash of each picture: of its file's bytes, or of its pixels where it lives in memory.

    Raises DataError for a file that cannot be read.
    """
    rows = range(len(dataset)) if rows is None else rows
    if dataset.pixels is not None:
        # Of the pixels alone: a digit has the same hash whether it came raw or gzipped, from the cache or a
        # mirror.
        pixels = np.ascontiguousarray(dataset.pixels)
        return [content_hash(pixels[row].data) for row in rows]
    return [_file_hash(path) for path in dataset.files(np.asarray(rows, dtype=np.int64))]


def fingerprint(dataset: Dataset, hashes: Sequence[str]) -> str:
    """Return one hash of the whole data set: of every picture's path, content, label and given set.

    The order in which pictures are listed does not matter. hashes: of each picture's content.
    """
    splits = [""] * len(dataset) if dataset.splits is None else dataset.splits
    columns = zip(dataset.paths, hashes, dataset.labels, splits, strict=True)
    return text_hash(sorted("\t".join(map(str, row)) for row in columns))


def _file_hash(path: Path) -> str:
    try:
        with reading.opened(path, reading.MAX_PICTURE) as file:
            return file_hash(file)
    except OSError as error:
        raise DataError(
            f"{path} could not be read ({error.strerror}).", "Restore it or leave it out."
        ) from error
