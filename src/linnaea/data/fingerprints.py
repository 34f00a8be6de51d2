"""Hashes by which a picture, a split or a whole data set is known again."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from linnaea import reading
from linnaea.data.dataset import Dataset
from linnaea.errors import DataError

LENGTH = 32
"""Hexadecimal digits kept of a SHA-256: 128 bits, in which no two pictures will ever agree by chance."""


def content_hash(content: bytes | memoryview) -> str:
    """Return the first 32 hexadecimal digits of the SHA-256 of these bytes."""
    return hashlib.sha256(content).hexdigest()[:LENGTH]


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


def text_hash(lines: Iterable[str]) -> str:
    """Return the hash of these lines, in order, as UTF-8 with a newline after each."""
    return content_hash("".join(f"{line}\n" for line in lines).encode("utf-8"))


def fingerprint(dataset: Dataset, hashes: Sequence[str] | None = None) -> str:
    """Return one hash of the whole data set: of every picture's path, content, label and official part.

    The order in which pictures are listed does not matter. hashes: what content_hashes returned, if at hand.
    """
    hashes = content_hashes(dataset) if hashes is None else hashes
    parts = [""] * len(dataset) if dataset.parts is None else dataset.parts
    columns = zip(dataset.paths, hashes, dataset.labels, parts, strict=True)
    return text_hash(sorted("\t".join(map(str, row)) for row in columns))


def _file_hash(path: Path) -> str:
    from linnaea.data.pictures import MAX_BYTES  # which imports this module

    try:
        with reading.opened(path, MAX_BYTES) as file:
            # In blocks: a photograph may be large, and this runs over all of them.
            return hashlib.file_digest(file, "sha256").hexdigest()[:LENGTH]
    except OSError as error:
        raise DataError(
            f"{path} could not be read ({error.strerror}).", "Restore it or leave it out."
        ) from error
