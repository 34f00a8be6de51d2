"""Pictures become the rows of an array, for classifiers that learn from vectors."""

from collections.abc import Sequence

import numpy as np

from linnaea.data.dataset import Dataset
from linnaea.data.decoding import fit_picture, read_picture

BLOCK = 4096
"""Pictures turned into float32 at a time: the working memory beside the result stays at a few MiB."""

ENOUGH_FOR = 3
"""So many times the size a file is decoded to at least, before it is reduced.

It leaves the resize filter enough to average: against full decoding, photographs then differ by 0.7 grey
levels of 255; at twice the size it would be 3.
"""


def pixel_array(
    dataset: Dataset,
    rows: Sequence[int] | np.ndarray,
    size: int = 28,
    colour: bool = False,
) -> np.ndarray:
    """Return these rows' pictures as squares of one size (see fit_picture).

    Returns
    -------
    ndarray of uint8, (m, size, size), or (m, size, size, 3) with colour

    Raises DataError for a picture that cannot be read.
    """
    rows = np.asarray(rows, dtype=np.int64)
    tail = (size, size, 3) if colour else (size, size)
    if dataset.pixels is not None and dataset.pixels.shape[1:] == tail:
        return dataset.pixels[rows]
    out = np.empty((len(rows), *tail), np.uint8)
    for place, row in enumerate(rows):
        out[place] = fit_picture(_picture(dataset, int(row), size), size, colour)
    return out


def vectors(
    dataset: Dataset,
    rows: Sequence[int] | np.ndarray,
    size: int = 28,
    colour: bool = False,
) -> np.ndarray:
    """Return these rows' pictures as vectors of values from 0 to 1, row by row of each picture.

    Returns
    -------
    ndarray of float32, (m, size * size), or (m, size * size * 3) with colour
        Allocated once and filled in blocks: beside the data set itself, memory holds this one copy.

    Raises DataError for a picture that cannot be read.
    """
    rows = np.asarray(rows, dtype=np.int64)
    features = size * size * (3 if colour else 1)
    out = np.empty((len(rows), features), np.float32)
    for start in range(0, len(rows), BLOCK):
        block = pixel_array(dataset, rows[start : start + BLOCK], size, colour)
        np.divide(block.reshape(len(block), features), np.float32(255), out=out[start : start + BLOCK])
    return out


def _picture(dataset: Dataset, row: int, size: int) -> np.ndarray:
    if dataset.pixels is not None:
        return dataset.pixels[row]
    file = dataset.files([row])[0]
    return read_picture(file, enough=ENOUGH_FOR * size, value_range=dataset.value_range)
