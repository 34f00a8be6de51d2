"""Pictures as training takes them: decoded once, as uint8, no larger than it can use."""

import math
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional

from linnaea.classifiers.finetune.inference import BATCH
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.data import cache
from linnaea.data.cache import DecodedPictures
from linnaea.data.modes import to_rgb
from linnaea.data.pictures import read_picture
from linnaea.errors import DataError
from linnaea.machine import usable_cores

# Kept pixels on the shorter side for each that the network sees: 256 for 224, the usual ratio.
ROOM = 256 / 224
# Pixels that a network sees at once where it does not learn: a whole batch at 512 x 512, 2 pictures at
# 2048 x 2048. Its activations take a few hundred bytes for each.
_PIXELS = BATCH * 512**2
# Share of a GPU's free memory that pictures may take; the rest is for training.
_SHARE = 0.5


def evaluated_side(preprocessing: Preprocessing) -> int:
    """Return the shorter side, in pixels, that evaluation resizes pictures to before it crops them."""
    return math.floor(preprocessing.size / preprocessing.crop_pct)


def kept_side(preprocessing: Preprocessing) -> int:
    """Return the shorter side that kept pictures have, in pixels: evaluation's, or a little more."""
    return max(evaluated_side(preprocessing), round(preprocessing.size * ROOM))


def count_pictures(X: Any) -> int:
    """Return how many pictures X holds. Raises DataError for what is no collection of pictures."""
    if isinstance(X, np.ndarray) and X.dtype == np.uint8 and (X.ndim != 4 or X.shape[-1] != 3):
        raise DataError(
            f"X has the shape {X.shape}.", "Pass pictures as uint8 of shape (n, height, width, 3)."
        )
    if isinstance(X, (str, bytes, Path, Image.Image)) or not hasattr(X, "__len__"):
        raise DataError(f"X is a single {type(X).__name__}.", "Pass a list, even of one picture: [picture].")
    return len(X)


def sequence_of(X: Any, preprocessing: Preprocessing, *, keep: bool) -> Sequence[Any]:
    """Return X as a sequence that is read picture by picture; paths as DecodedPictures.

    keep: bool
        Whether the files of paths are decoded now, into the cache on disk (see cache.decoded), because they
        will be needed again; otherwise each is decoded when it is read, to the same pixels.

    Raises DataError for what is no collection of pictures, for pictures that were kept too small for this
    network, and, where keep, for a file that cannot be read.
    """
    count_pictures(X)
    side = kept_side(preprocessing)
    if isinstance(X, DecodedPictures):
        least = evaluated_side(preprocessing)
        if X.side is not None and X.side < least:
            raise DataError(
                f"The pictures were decoded to {X.side} pixels on the shorter side, of {least} needed.",
                f"Decode them to {side}: kept_side() tells.",
            )
        return X
    items: Any = X if isinstance(X, np.ndarray) and X.dtype == np.uint8 else list(X)
    if not len(items) or not all(isinstance(item, (str, Path)) for item in items):
        return items
    if not keep:
        return DecodedPictures([None] * len(items), [Path(item) for item in items], side)
    pictures = cache.decoded(items, side, workers=usable_cores())
    for note in pictures.notes:
        warnings.warn(note, RuntimeWarning, stacklevel=2)
    return pictures


def decoded(X: Any, preprocessing: Preprocessing) -> Iterator[Tensor]:
    """Yield every picture of X as uint8 (3, height, width), its shorter side kept_side(...) at most.

    X: DecodedPictures, list of paths, list of Pillow pictures, or array of uint8 (n, height, width, 3); a
    list may mix them.

    Threads work ahead (Pillow and torch let go of Python's lock), a bounded number of pictures, so memory
    does not grow with X. Raises DataError for what is none of these, and for a file that cannot be read.
    """
    pictures = sequence_of(X, preprocessing, keep=False)

    def read(row: int) -> Tensor:
        return as_tensor(pictures[row], preprocessing)

    yield from cache.in_order(read, usable_cores(), range(len(pictures)))


def as_tensor(item: Any, preprocessing: Preprocessing) -> Tensor:
    """Return one picture as uint8 (3, height, width), its shorter side kept_side(...) at most."""
    side = kept_side(preprocessing)
    if isinstance(item, (str, Path)):
        array = read_picture(item, shortest_side=side)
    elif isinstance(item, Image.Image):
        # As from a file: upright, and every mode the way a viewer shows it.
        array = np.asarray(to_rgb(ImageOps.exif_transpose(item)))
    else:
        array = np.asarray(item)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
        raise DataError(
            f"X holds a {type(item).__name__} of type {array.dtype} and shape {array.shape}.",
            "Pass paths, Pillow pictures, or uint8 arrays of shape (height, width, 3).",
        )
    # torch has no read-only tensors, nor any that run backwards, as a mirrored array does.
    if not array.flags.writeable or min(array.strides) < 0:
        array = array.copy()
    # Rows of pixels stay together (channels last), which resizes faster.
    pixels = torch.from_numpy(array).permute(2, 0, 1)
    if min(pixels.shape[1:]) > side:
        # In evaluation's own way, so that it finds the shorter side as it would have made it.
        known = preprocessing.interpolation in ("bilinear", "bicubic")
        mode = functional.InterpolationMode(preprocessing.interpolation if known else "bicubic")
        pixels = functional.resize(pixels, [side], mode, antialias=True)
    # The report's variant squeezes the whole picture into the square: that square is what is kept.
    return _fit(pixels, preprocessing) if preprocessing.variant == "report" else pixels


class ResidentPictures:
    """The pictures of one part, at hand for training: in memory, or read from the disk when they are needed.

    pictures: sequence of uint8 Tensors (3, height, width), or DecodedPictures
        Of any sizes; the shorter side of what is taken is kept_side(preprocessing) at most. DecodedPictures
        stay on the disk, so that memory does not grow with their number; every other kind is in memory.
    """

    def __init__(
        self, pictures: Sequence[Tensor] | DecodedPictures, preprocessing: Preprocessing, device: torch.device
    ) -> None:
        self.pictures = pictures
        self.preprocessing = preprocessing
        self.device = device
        self._all_kept = not isinstance(pictures, DecodedPictures) or pictures.kept == len(pictures)

    @classmethod
    def read(cls, X: Any, preprocessing: Preprocessing, device: torch.device) -> "ResidentPictures":
        """Decode all of X: onto a GPU that has room for it, else paths into the cache on disk.

        Raises DataError as sequence_of does.
        """
        pictures = sequence_of(X, preprocessing, keep=True)
        if stays_on_disk(pictures, device):
            return cls(pictures, preprocessing, device)
        return cls(
            [picture.to(device) for picture in decoded(pictures, preprocessing)], preprocessing, device
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def take(self, rows: Sequence[int] | np.ndarray) -> list[Tensor]:
        """Return the pictures of these rows, uint8 (3, height, width), on the device."""
        if not isinstance(self.pictures, DecodedPictures):
            return [self.pictures[row] for row in rows]
        # Reading a kept picture takes 0.1 ms, less than a thread would save; decoding takes several.
        if self._all_kept:
            return [self._read(row) for row in rows]
        with ThreadPoolExecutor(usable_cores()) as pool:
            return list(pool.map(self._read, rows))

    def _read(self, row: int) -> Tensor:
        return as_tensor(self.pictures[int(row)], self.preprocessing).to(self.device)

    def some(self, rows: np.ndarray) -> "ResidentPictures":
        """Return the pictures of these rows, read already."""
        return ResidentPictures(self.take(rows), self.preprocessing, self.device)

    def centres(self, size: int) -> Iterator[Tensor]:
        """Yield uint8 (at most `size` pictures, 3, side, side), as evaluation sees the pictures, in order."""
        if isinstance(self.pictures, DecodedPictures):
            yield from batches(self.pictures, self.preprocessing, self.device, size)
            return
        size = _within_memory(size, self.preprocessing)
        for start in range(0, len(self), size):
            pictures = self.pictures[start : start + size]
            yield torch.stack([fitted(picture, self.preprocessing) for picture in pictures])


class EvaluationBatches:
    """Batches of uint8 (b, 3, size, size), evaluation's view of X, as often as they are asked for.

    Kept where the pictures are in memory anyway; read anew each time where they stay on the disk.
    """

    def __init__(self, X: Any, preprocessing: Preprocessing, device: torch.device) -> None:
        self._pictures = sequence_of(X, preprocessing, keep=True)
        self._how = preprocessing, device, BATCH
        self._kept: list[Tensor] | None = None
        if not stays_on_disk(self._pictures, device):
            self._kept = list(batches(self._pictures, *self._how))

    def __len__(self) -> int:
        """Return the number of pictures, not of batches."""
        return len(self._pictures)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._kept) if self._kept is not None else batches(self._pictures, *self._how)


def stays_on_disk(pictures: Sequence[Any], device: torch.device) -> bool:
    """Return whether these pictures are read when they are needed, and not held in memory."""
    if not isinstance(pictures, DecodedPictures) or not len(pictures):
        return False
    if device.type != "cuda":
        return True
    # Photographs are three by two as a rule; where some are kept already, their sizes are known.
    side = pictures.side or max(pictures[0].shape[:2])
    each = pictures.nbytes / pictures.kept if pictures.kept else 1.5 * 3 * side**2
    return each * len(pictures) > _SHARE * torch.cuda.mem_get_info(device)[0]


def fitted(picture: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return uint8 (3, size, size), the evaluation's view of one picture as kept, (3, height, width)."""
    if preprocessing.variant == "report":
        return picture
    return _fit(picture, preprocessing)


def _fit(picture: Tensor, preprocessing: Preprocessing) -> Tensor:
    array = picture.permute(1, 2, 0).cpu().numpy()
    return preprocessing.fit([array])[0].to(picture.device)


def batches(X: Any, preprocessing: Preprocessing, device: torch.device, batch_size: int) -> Iterator[Tensor]:
    """Yield uint8 (batch, 3, size, size), evaluation's view of X, decoded as they are needed.

    batch_size: at most; fewer of large pictures, so that memory stays within bounds.
    """
    batch_size = _within_memory(batch_size, preprocessing)
    waiting: list[Tensor] = []
    for picture in decoded(X, preprocessing):
        waiting.append(fitted(picture, preprocessing).to(device))
        if len(waiting) == batch_size:
            yield torch.stack(waiting)
            waiting = []
    if waiting:
        yield torch.stack(waiting)


def _within_memory(batch_size: int, preprocessing: Preprocessing) -> int:
    return max(1, min(batch_size, _PIXELS // preprocessing.size**2))
