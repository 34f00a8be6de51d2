"""Pictures as training takes them: decoded once, as uint8, no larger than it can use.

On a GPU the next batch is prepared while this one is learned from, see `one_ahead`.
"""

import math
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional

from linnaea.classifiers.common import samples
from linnaea.classifiers.finetune.device import Device, explaining_full_memory
from linnaea.classifiers.finetune.inference import BATCH
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.data import cache
from linnaea.data.cache import DecodedPictures
from linnaea.data.decoding import ValueRange, read_picture, to_rgb
from linnaea.data.named import NamedPictures
from linnaea.data.value_range import find_range
from linnaea.errors import DataError
from linnaea.machine import in_order, usable_cores
from linnaea.text import listed

# Kept pixels on the shorter side for each that the network sees: 256 for 224, the usual ratio.
ROOM = 256 / 224
# Pixels that a network sees at once where it does not learn: a whole batch at 512 x 512, 2 pictures at
# 2048 x 2048. Its activations take a few hundred bytes for each.
_PIXELS = BATCH * 512**2
# Share of a GPU's free memory that the pictures of one set may take. Two sets leave half of it to the
# network, its copies and one batch's activations.
_SHARE = 0.3

Item = TypeVar("Item")
_END: Any = object()
_CURE = "Close other programs that use this memory, or set a smaller --size."


def evaluated_side(preprocessing: Preprocessing) -> int:
    """Return the shorter side, in pixels, that evaluation resizes pictures to before it crops them."""
    return math.floor(preprocessing.size / preprocessing.crop_pct)


def kept_side(preprocessing: Preprocessing) -> int:
    """Return the shorter side that kept pictures have, in pixels: evaluation's, or a little more."""
    return max(evaluated_side(preprocessing), round(preprocessing.size * ROOM))


def as_pictures(X: Any, what: str = "X") -> DecodedPictures | np.ndarray | list[Any]:
    """Return what a caller passed as pictures in the form in which everything here takes them.

    X: DecodedPictures; paths, Pillow pictures or uint8 (height, width, 3) in a list, an array, a column or a
    table of one column; or all of one size, uint8 (n, height, width, 3). Tensors are arrays here.
    what: what errors call it.

    Returns DecodedPictures, uint8 (n, height, width, 3), or a list of str or Path, Image and uint8 arrays.

    Raises DataError for what is none of these, naming the row.
    """
    if isinstance(X, DecodedPictures):
        return X
    number = samples.count(X, what, "Pass a list, even of one picture: [picture].")
    if not number:
        raise DataError(f"{what} holds no picture.", "Give one at least.")
    if hasattr(X, "columns") and len(X.columns) != 1:
        raise DataError(
            f"{what} is a table with the columns {listed(X.columns)}.",
            'Pass the column that holds the paths, such as X["path"].',
        )
    if hasattr(X, "__array__"):
        array = _array(X, what)
        if array.dtype.kind not in "OUST":
            if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3:
                wrong = f"the type {array.dtype} and " * (array.dtype != np.uint8)
                raise DataError(
                    f"{what} has {wrong}the shape {array.shape}.",
                    f"Pass pictures as uint8 of shape (n, height, width, 3){_how(array, 4)}.",
                )
            return array
        # A column by itself is what tables of one column, and scikit-learn's tools, hand over.
        X = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    return [_checked(item, row, what) for row, item in enumerate(X)]


def in_a_list(X: Any) -> Any:
    """Return what somebody wants classified as several pictures, whatever is none being left for as_pictures.

    X: one picture (its path, a Pillow picture, uint8 (height, width, 3)) becomes a list of it; a folder the
    paths of all pictures in it, sorted, as NamedPictures finds them; all else stays.

    Raises DataError for a folder without pictures.
    """
    if isinstance(X, (str, os.PathLike)):
        name = os.fspath(X)
        return [picture.file for picture in NamedPictures([name])] if os.path.isdir(name) else [X]
    one = isinstance(X, Image.Image) or (getattr(X, "ndim", 0) == 3 and X.shape[-1] == 3)
    return [X] if one else X


def _array(X: Any, what: str) -> np.ndarray:
    with explaining_full_memory(torch.device("cpu"), "the pictures", _CURE):
        try:
            return np.asarray(X)
        except MemoryError:
            raise
        except Exception as error:
            # A tensor on a graphics card, or with a gradient: each library has an exception of its own.
            raise DataError(
                f"{what} cannot be made an array ({error}).", "Make a NumPy array of it."
            ) from error


def _checked(item: Any, row: int, what: str) -> Any:
    """Return one picture that a caller passed: a path, an Image, or uint8 (height, width, 3)."""
    if isinstance(item, (str, os.PathLike)):
        name = os.fspath(item)
        if not isinstance(name, str) or not name:
            raise DataError(f"{what} holds {name!r} as the path in row {row}.", "Give the path as text.")
        # pathlib makes one slash of two.
        if re.match(r"[A-Za-z][\w+.-]+:/", name):
            raise DataError(
                f"{what} holds the address {name}, and pictures are read from files.",
                "Download it, and pass its path.",
            )
        if set(name) & set("*?[") and not os.path.exists(name):
            raise DataError(
                f"{what} holds the pattern {name}, and there is no file of that name.",
                "Pass the paths that it stands for: sorted(glob.glob(pattern)).",
            )
        return item if isinstance(item, (str, Path)) else Path(item)
    if isinstance(item, Image.Image):
        return item
    cure = "Pass paths, Pillow pictures, or uint8 arrays of shape (height, width, 3)"
    if not hasattr(item, "__array__"):
        raise DataError(f"{what} holds {_shown(item)} in row {row}, which is no picture.", f"{cure}.")
    array = _array(item, f"{what}[{row}]")
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
        raise DataError(
            f"{what} holds a {type(item).__name__} of type {array.dtype} and shape {array.shape}.",
            f"{cure}{_how(array, 3)}.",
        )
    return array


def _shown(item: Any) -> str:
    missing = item is None or isinstance(item, float) or type(item).__name__ in ("NAType", "NaTType")
    return str(item) if missing else f"a {type(item).__name__}"


def _how(array: np.ndarray, dimensions: int) -> str:
    """Return how uint8 (…, height, width, 3) is made of an array X; "" where that is not clear."""
    shape, missing = array.shape, dimensions - array.ndim
    if missing == 0 and shape[-1] not in (1, 3, 4) and shape[-3] == 3:
        return ": colours first become colours last by np.moveaxis(X, -3, -1)"
    if missing == 0 and shape[-1] in (1, 4):
        return ": " + ("grey becomes colour by np.repeat(X, 3, axis=-1)" if shape[-1] == 1 else "X[..., :3]")
    if missing == 1 and shape[-1] == 3 and dimensions == 4:
        return "; of a single one, [X]"
    if missing == 2 and dimensions == 4:
        return "; of a single grey one, [np.stack([X] * 3, axis=-1)]"
    if missing == 1:
        return ": grey becomes colour by np.stack([X] * 3, axis=-1)"
    if array.dtype.kind == "f" and array.size and array.min() >= 0 and array.max() <= 1:
        return ": of shares from 0 to 1, (X * 255).round().astype(np.uint8)"
    return ": of whole numbers from 0 to 255, X.astype(np.uint8)" if array.dtype.kind in "fiu" else ""


def value_range_of(X: Any) -> ValueRange | None:
    """Return what the numbers of more than 8 bits in a training set are decoded with, and later in others.

    Of DecodedPictures, what they were decoded with; of paths, one range for all, found from a sample.

    X: as as_pictures returns it.
    """
    if isinstance(X, DecodedPictures):
        return X.value_range
    paths = [] if isinstance(X, np.ndarray) else [item for item in X if isinstance(item, (str, Path))]
    found = find_range(paths)
    return None if found is None else found[0]


def sequence_of(X: Any, preprocessing: Preprocessing, *, keep: bool) -> Sequence[Any]:
    """Return X as a sequence that is read picture by picture; paths as DecodedPictures.

    keep: bool
        Whether the files of paths are decoded now, into the cache on disk (see cache.decoded), because they
        will be needed again; otherwise each is decoded when it is read, to the same pixels.

    Raises DataError as as_pictures does, for pictures that were kept too small for this network, and, where
    keep, for a file that cannot be read.
    """
    side = kept_side(preprocessing)
    items: Any = as_pictures(X)
    if isinstance(items, DecodedPictures):
        least = evaluated_side(preprocessing)
        if items.side is not None and items.side < least:
            raise DataError(
                f"The pictures were decoded to {items.side} pixels on the shorter side, of {least} needed.",
                f"Decode them to {side}: kept_side() tells.",
            )
        return items
    if isinstance(items, np.ndarray) or not all(isinstance(item, (str, Path)) for item in items):
        return items
    if not keep:
        paths = [Path(item) for item in items]
        return DecodedPictures([None] * len(items), paths, side, value_range=preprocessing.value_range)
    pictures = cache.decoded(items, side, preprocessing.value_range)
    for note in pictures.notes:
        warnings.warn(note, RuntimeWarning, stacklevel=2)
    return pictures


def decoded(X: Any, preprocessing: Preprocessing, *, fit: bool = False) -> Iterator[Tensor]:
    """Yield every picture of X as uint8 (3, height, width), its shorter side kept_side(...) at most.

    X: see as_pictures; a list may mix them.
    fit: bool
        Whether to yield evaluation's view of each instead, (3, size, size).

    Threads work ahead (Pillow and torch let go of Python's lock), a bounded number of pictures, so memory
    does not grow with X. Raises DataError for what is none of these, and for a file that cannot be read.
    """
    pictures = sequence_of(X, preprocessing, keep=False)

    def read(row: int) -> Tensor:
        picture = as_tensor(pictures[row], preprocessing)
        return fitted(picture, preprocessing) if fit else picture

    yield from in_order(read, range(len(pictures)))


def as_tensor(item: Any, preprocessing: Preprocessing) -> Tensor:
    """Return one picture as uint8 (3, height, width), its shorter side kept_side(...) at most.

    item: one of what sequence_of returns.
    """
    side = kept_side(preprocessing)
    if isinstance(item, (str, Path)):
        array = read_picture(item, shortest_side=side, value_range=preprocessing.value_range)
    elif isinstance(item, Image.Image):
        # As from a file: upright, and every mode the way a viewer shows it.
        array = np.asarray(to_rgb(ImageOps.exif_transpose(item), preprocessing.value_range))
    else:
        array = item
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
    return preprocessing.fit_one(pixels) if preprocessing.variant == "report" else pixels


class ResidentPictures:
    """The pictures of one set, at hand for training: in memory, or read from the disk when they are needed.

    pictures: sequence of uint8 Tensors (3, height, width), or DecodedPictures
        Of any sizes; the shorter side of what is taken is kept_side(preprocessing) at most. DecodedPictures
        stay on the disk, so that memory does not grow with their number; every other kind is in memory, the
        GPU's or the machine's.
    device: torch.device
        Where they are learned from.
    """

    def __init__(
        self, pictures: Sequence[Tensor] | DecodedPictures, preprocessing: Preprocessing, device: torch.device
    ) -> None:
        self.pictures = pictures
        self.preprocessing = preprocessing
        self.device = device
        self._all_kept = not isinstance(pictures, DecodedPictures) or pictures.kept == len(pictures)

    @property
    def ahead(self) -> bool:
        """Whether the next batch is prepared while this one is learned from."""
        # The processor never waits for a batch: a second thread would only share its cores.
        return self.device.type != "cpu"

    @classmethod
    def read(cls, X: Any, preprocessing: Preprocessing, device: torch.device) -> "ResidentPictures":
        """Decode all of X: onto a GPU that has room for it, else paths into the cache on disk.

        Raises DataError as sequence_of does.
        """
        pictures = sequence_of(X, preprocessing, keep=True)
        free = Device(device).free_memory()
        if isinstance(pictures, DecodedPictures) and not fits(_decoded_bytes(pictures), free):
            return cls(pictures, preprocessing, device)
        with explaining_full_memory(device, "the pictures", _CURE):
            found = list(decoded(pictures, preprocessing))
            if fits(sum(picture.nbytes for picture in found), free):
                found = [picture.to(device) for picture in found]
        return cls(found, preprocessing, device)

    def __len__(self) -> int:
        return len(self.pictures)

    def take(self, rows: Sequence[int] | np.ndarray) -> list[Tensor]:
        """Return the pictures of these rows, uint8 (3, height, width), in the memory where they lie."""
        if not isinstance(self.pictures, DecodedPictures):
            return [self.pictures[row] for row in rows]
        # Reading a kept picture takes 0.1 ms, less than a thread would save; decoding takes several.
        if self._all_kept:
            return [self._read(row) for row in rows]
        with ThreadPoolExecutor(usable_cores()) as pool:
            return list(pool.map(self._read, rows))

    def _read(self, row: int) -> Tensor:
        return as_tensor(self.pictures[int(row)], self.preprocessing)

    def some(self, rows: np.ndarray) -> "ResidentPictures":
        """Return the pictures of these rows, read already."""
        return ResidentPictures(self.take(rows), self.preprocessing, self.device)

    def centres(self, size: int) -> Iterator[Tensor]:
        """Yield uint8 (at most `size` pictures, 3, side, side), as evaluation sees the pictures, in order.

        They are on the device.
        """
        if isinstance(self.pictures, DecodedPictures):
            return batches(self.pictures, self.preprocessing, self.device, size)
        pictures, size = self.pictures, _within_memory(size, self.preprocessing)
        return on_device(
            (
                torch.stack(
                    [fitted(picture, self.preprocessing) for picture in pictures[start : start + size]]
                )
                for start in range(0, len(self), size)
            ),
            self.device,
        )


class EvaluationBatches:
    """Batches of uint8 (b, 3, size, size), evaluation's view of X, as often as they are asked for.

    Kept where the pictures are in memory anyway, or a GPU has room for them; else made anew each time.
    """

    def __init__(self, X: Any, preprocessing: Preprocessing, device: torch.device) -> None:
        self._pictures = sequence_of(X, preprocessing, keep=True)
        self._how = preprocessing, device, BATCH
        self._kept: list[Tensor] | None = None
        free = Device(device).free_memory()
        on_disk = isinstance(self._pictures, DecodedPictures)
        if fits(len(self) * 3 * preprocessing.size**2, free) or (free is None and not on_disk):
            with explaining_full_memory(device, "the pictures", _CURE):
                self._kept = list(batches(self._pictures, *self._how))

    def __len__(self) -> int:
        """Return the number of pictures, not of batches."""
        return len(self._pictures)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._kept) if self._kept is not None else batches(self._pictures, *self._how)


def fits(needed: int, free: int | None) -> bool:
    """Return whether pictures of so many bytes may lie on a GPU with so many free, and leave room to train.

    free: None for the processor, on which nothing needs to be moved.
    """
    return free is not None and needed <= _SHARE * free


def _decoded_bytes(pictures: DecodedPictures) -> int:
    """Return about how many bytes the pictures take; exactly where all are kept."""
    if not len(pictures):
        return 0
    # Photographs are three by two as a rule; where some are kept already, their sizes are known.
    side = pictures.side or max(pictures[0].shape[:2])
    each = pictures.nbytes / pictures.kept if pictures.kept else 1.5 * 3 * side**2
    return round(each * len(pictures))


def fitted(picture: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return uint8 (3, size, size), the evaluation's view of one picture as kept, (3, height, width).

    It is made in the memory where the picture lies.
    """
    return picture if preprocessing.variant == "report" else preprocessing.fit_one(picture)


def batches(X: Any, preprocessing: Preprocessing, device: torch.device, batch_size: int) -> Iterator[Tensor]:
    """Yield uint8 (batch, 3, size, size), evaluation's view of X, decoded as they are needed, on the device.

    X: see in_a_list and as_pictures
    batch_size: at most; fewer of large pictures, so that memory stays within bounds.
    """
    return on_device(_stacked(in_a_list(X), preprocessing, _within_memory(batch_size, preprocessing)), device)


def _stacked(X: Any, preprocessing: Preprocessing, batch_size: int) -> Iterator[Tensor]:
    waiting: list[Tensor] = []
    for picture in decoded(X, preprocessing, fit=True):
        waiting.append(picture)
        if len(waiting) == batch_size:
            yield torch.stack(waiting)
            waiting = []
    if waiting:
        yield torch.stack(waiting)


def _within_memory(batch_size: int, preprocessing: Preprocessing) -> int:
    return max(1, min(batch_size, _PIXELS // preprocessing.size**2))


def on_device(batches: Iterable[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Yield the batches on the device; on a GPU the next one is made while this one is computed with."""
    with one_ahead((ready_for(device, batch) for batch in batches), device.type != "cpu") as ready:
        for batch in ready:
            yield fetched(batch, device)


def ready_for(device: torch.device, batch: Tensor) -> Tensor:
    """Return the batch in memory from which a GPU can fetch it by itself, while the processor goes on."""
    return batch.pin_memory() if device.type == "cuda" and batch.device.type == "cpu" else batch


def fetched(batch: Tensor, device: torch.device) -> Tensor:
    """Return the batch on the device, which fetches it by itself where ready_for has made that possible."""
    return batch.to(device, non_blocking=batch.is_pinned())


@contextmanager
def one_ahead(items: Iterable[Item], ahead: bool) -> Iterator[Iterator[Item]]:
    """Yield an iterator over the items that makes the next one in a thread while this one is used.

    The thread ends with the context, whatever ends that, after the item that it is making. An error of the
    items reaches the caller in its turn. ahead: False makes each item when it is asked for, in the caller's
    thread. The items are the same in both ways, as long as no global generator decides them.
    """
    source = iter(items)
    if not ahead:
        yield source
        return
    with ThreadPoolExecutor(1, thread_name_prefix="next-batch") as thread:

        def made_ahead() -> Iterator[Item]:
            making = thread.submit(next, source, _END)
            # Waiting for it lets signals through.
            while (item := making.result()) is not _END:
                making = thread.submit(next, source, _END)
                yield item

        yield made_ahead()
