"""Pictures in memory: decoded once, as uint8, no larger than training can use."""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.data.pictures import read_picture
from linnaea.errors import DataError

# Kept pixels on the shorter side for each that the network sees: 256 for 224, the usual ratio.
ROOM = 256 / 224
# How many pictures wait decoded for whoever asks for the next.
_AHEAD = 32


def kept_side(preprocessing: Preprocessing) -> int:
    """Return the shorter side that kept pictures have, in pixels: evaluation's, or a little more."""
    return max(math.floor(preprocessing.size / preprocessing.crop_pct), round(preprocessing.size * ROOM))


def count_pictures(X: Any) -> int:
    """Return how many pictures X holds. Raises DataError for what is no collection of pictures."""
    if isinstance(X, np.ndarray) and X.dtype == np.uint8 and (X.ndim != 4 or X.shape[-1] != 3):
        raise DataError(
            f"X has the shape {X.shape}.", "Pass pictures as uint8 of shape (n, height, width, 3)."
        )
    if isinstance(X, (str, bytes, Path, Image.Image)) or not hasattr(X, "__len__"):
        raise DataError(f"X is a single {type(X).__name__}.", "Pass a list, even of one picture: [picture].")
    return len(X)


def decoded(X: Any, preprocessing: Preprocessing) -> Iterator[Tensor]:
    """Yield every picture of X as uint8 (3, height, width), its shorter side kept_side(...) at most.

    X: list of paths, list of Pillow pictures, or array of uint8 (n, height, width, 3); a list may mix them.

    Threads work ahead (Pillow and torch let go of Python's lock), a bounded number of pictures, so memory
    does not grow with X. Raises DataError for what is none of these, and for a file that cannot be read.
    """
    count_pictures(X)
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        items = iter(X)
        waiting = [pool.submit(_decode, item, preprocessing) for item in islice(items, _AHEAD)]
        try:
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(_decode, item, preprocessing) for item in islice(items, 1)]
        finally:
            # A picture that fails, or a reader who leaves early, should not wait for the others.
            for future in waiting:
                future.cancel()


def _decode(item: Any, preprocessing: Preprocessing) -> Tensor:
    side = kept_side(preprocessing)
    if isinstance(item, (str, Path)):
        array = read_picture(item, enough=side)
    elif isinstance(item, Image.Image):
        array = np.asarray(item.convert("RGB"))
    else:
        array = np.asarray(item)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
        raise DataError(
            f"X holds a {type(item).__name__} of type {array.dtype} and shape {array.shape}.",
            "Pass paths, Pillow pictures, or uint8 arrays of shape (height, width, 3).",
        )
    # torch has no read-only tensors; and rows of pixels stay together (channels last), which resizes faster.
    pixels = torch.from_numpy(array.copy() if not array.flags.writeable else array).permute(2, 0, 1)
    if min(pixels.shape[1:]) > side:
        # In evaluation's own way, so that it finds the shorter side as it would have made it.
        known = preprocessing.interpolation in ("bilinear", "bicubic")
        mode = functional.InterpolationMode(preprocessing.interpolation if known else "bicubic")
        pixels = functional.resize(pixels, [side], mode, antialias=True)
    # The report's variant squeezes the whole picture into the square: that square is what is kept.
    return _fit(pixels, preprocessing) if preprocessing.variant == "report" else pixels


class ResidentPictures:
    """The pictures of one part, in memory on the device that trains.

    pictures: list of uint8 (3, height, width)
        Of any sizes; the shorter side is kept_side(preprocessing) at most.
    """

    def __init__(self, pictures: list[Tensor], preprocessing: Preprocessing, device: torch.device) -> None:
        self.pictures = pictures
        self.preprocessing = preprocessing
        self.device = device

    @classmethod
    def read(cls, X: Any, preprocessing: Preprocessing, device: torch.device) -> "ResidentPictures":
        """Decode all of X."""
        pictures = [picture.to(device) for picture in decoded(X, preprocessing)]
        return cls(pictures, preprocessing, device)

    def __len__(self) -> int:
        return len(self.pictures)

    def take(self, rows: Sequence[int] | np.ndarray) -> list[Tensor]:
        """Return the pictures of these rows; nothing is copied."""
        return [self.pictures[row] for row in rows]

    def centres(self, size: int) -> Iterator[Tensor]:
        """Yield uint8 (batch, 3, size, size), as evaluation sees the pictures, in order."""
        for start in range(0, len(self), size):
            pictures = self.pictures[start : start + size]
            yield torch.stack([fitted(picture, self.preprocessing) for picture in pictures])


def fitted(picture: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return uint8 (3, size, size), the evaluation's view of one picture as kept, (3, height, width)."""
    if preprocessing.variant == "report":
        return picture
    return _fit(picture, preprocessing)


def _fit(picture: Tensor, preprocessing: Preprocessing) -> Tensor:
    array = picture.permute(1, 2, 0).cpu().numpy()
    return preprocessing.fit([array])[0].to(picture.device)


def batches(X: Any, preprocessing: Preprocessing, device: torch.device, batch_size: int) -> Iterator[Tensor]:
    """Yield uint8 (batch, 3, size, size), evaluation's view of X, decoded as they are needed."""
    waiting: list[Tensor] = []
    for picture in decoded(X, preprocessing):
        waiting.append(fitted(picture, preprocessing).to(device))
        if len(waiting) == batch_size:
            yield torch.stack(waiting)
            waiting = []
    if waiting:
        yield torch.stack(waiting)
