"""The views of each picture that a head on frozen features learns from."""

import math
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from linnaea.classifiers.finetune import inference
from linnaea.classifiers.finetune.augment import Augmentation
from linnaea.classifiers.finetune.pictures import ResidentPictures, on_device
from linnaea.random_streams import Purpose, stream


def pictures_seen(pictures: int, number: float, seed: int) -> np.ndarray:
    """Return which picture each view is of, int (rows,): all of them in order, then all again, and so on.

    number: float
        Of views. Of 2.25, the third is a view of a quarter of the pictures, drawn by the seed, in order.
    """
    whole = int(number)
    some = round((number - whole) * pictures)
    drawn = stream(seed, Purpose.SUBSET, whole).permutation(pictures)[:some]
    return np.concatenate([np.tile(np.arange(pictures), whole), np.sort(drawn)])


def views(
    pictures: ResidentPictures,
    number: float,
    seed: int,
    *,
    flip: bool = True,
    first: int = 0,
    batch_size: int = inference.BATCH,
) -> Iterator[Tensor]:
    """Yield the views, from number `first` on, as batches of uint8 (b, 3, size, size) on the device.

    View 0 is evaluation's; view 1 its mirror (where flip); then random crops of half the area and more,
    mirrored by chance. All views of one kind follow each other, each in the order of the pictures; those that
    pictures_seen names.
    """
    seen = pictures_seen(len(pictures), number, seed)
    for view in range(first, math.ceil(number)):
        rows = seen[view * len(pictures) : (view + 1) * len(pictures)]
        if view > 0 + flip:
            crops = _crops(pictures, rows, seed, view, flip, batch_size)
            yield from on_device(crops, pictures.device)
            continue
        for batch in _centres(pictures, rows, batch_size):
            yield batch.flip(-1) if view else batch


def _centres(pictures: ResidentPictures, rows: np.ndarray, batch_size: int) -> Iterator[Tensor]:
    if len(rows) == len(pictures):
        yield from pictures.centres(batch_size)
        return
    for start in range(0, len(rows), batch_size):
        yield from pictures.some(rows[start : start + batch_size]).centres(batch_size)


def _crops(
    pictures: ResidentPictures, rows: np.ndarray, seed: int, view: int, flip: bool, batch_size: int
) -> Iterator[Tensor]:
    size, crops = pictures.preprocessing.size, Augmentation(crop_scale=0.5, flip=flip)
    for start in range(0, len(rows), batch_size):
        rng = stream(seed, Purpose.AUGMENT, view, start)
        taken = pictures.take(rows[start : start + batch_size])
        yield crops.cropped(taken, size, pictures.preprocessing, rng)
