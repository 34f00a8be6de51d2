"""Pictures → what is learned from: views for the probe, crops and mixed batches for the whole network.

All chance comes from the generator or the seed that is passed in.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from linnaea.classifiers.finetune.device import Device
from linnaea.classifiers.finetune.inference import BATCH
from linnaea.classifiers.finetune.pictures import ResidentPictures, fitted, on_device
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.random_streams import Purpose, stream

# Sides of a random crop relate between 3:4 and 4:3 (Szegedy et al. 2015, arXiv 1409.4842, section 6).
_LOG_RATIO = math.log(4 / 3)
# Share of the picture that random erasing covers, and the relation of its sides (Zhong et al. 2020).
_ERASED_AREA = (0.02, 1 / 3)
_ERASED_LOG_RATIO = math.log(1 / 0.3)
# mixup's own value for ImageNet (Zhang et al. 2018, arXiv 1710.09412, section 3.2).
_MIXUP_ALPHA = 0.2


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a picture on its way into training.

    crop_scale: float
        A random crop covers between this share of the picture's area and all of it; 1: evaluation's view.
    flip: bool
        Whether half of the pictures are mirrored, left to right.
    colour_jitter: float
        Brightness, contrast and saturation are each multiplied by a factor within 1 ± colour_jitter.
    policy: str
        "none", "randaugment" (Cubuk et al. 2020) or "trivialaugment" (Müller and Hutter 2021).
    random_erasing: float
        Share of the pictures in which a rectangle is painted over with the mean colour.
    mixup, cutmix: float
        Share of the batches in which pictures and labels are mixed, either way; at most 1 together.
    """

    crop_scale: float = 0.25
    flip: bool = True
    colour_jitter: float = 0.0
    policy: str = "none"
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def pictures(
        self, pictures: list[Tensor], size: int, preprocessing: Preprocessing, rng: np.random.Generator
    ) -> Tensor:
        """Return float32 (n, 3, size, size), standardised, channels last, of uint8 (3, h, w) of any sizes."""
        return self.finished(self.cropped(pictures, size, preprocessing, rng), preprocessing, rng)

    def finished(self, batch: Tensor, preprocessing: Preprocessing, rng: np.random.Generator) -> Tensor:
        """Return float32 (n, 3, size, size), standardised, channels last, of what cropped returned."""
        if self.policy != "none":
            batch = self._with_policy(batch, rng)
        scaled = batch.to(torch.float32)
        if self.colour_jitter:
            scaled = jitter_colour(scaled, self.colour_jitter, rng)
        prepared = preprocessing.normalize(scaled).contiguous(memory_format=torch.channels_last)
        if self.random_erasing:
            erase(prepared, self.random_erasing, rng)
        return prepared

    def cropped(
        self, pictures: list[Tensor], size: int, preprocessing: Preprocessing, rng: np.random.Generator
    ) -> Tensor:
        """Return uint8 (n, 3, size, size): crops, mirrored by chance; nothing else."""
        # One picture at a time: a crop and one antialiased resize of uint8 is cheaper than a batched grid,
        # which would first pad all pictures to one size and turn them into floats.
        batch = torch.stack([self._cropped(picture, size, preprocessing, rng) for picture in pictures])
        if self.flip:
            mirrored = torch.from_numpy(rng.random(len(batch)) < 0.5).to(batch.device)
            batch = torch.where(mirrored.view(-1, 1, 1, 1), batch.flip(-1), batch)
        return batch

    def mixed(self, pictures: Tensor, targets: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return pictures (n, 3, s, s) and targets (n, classes), mixed with each other or as they were."""
        kind = rng.random()
        if len(pictures) < 2 or kind >= self.mixup + self.cutmix:
            return pictures, targets
        order = torch.from_numpy(rng.permutation(len(pictures))).to(pictures.device)
        return (cutmix if kind < self.cutmix else mixup)(pictures, targets, order, rng)

    def _cropped(
        self, picture: Tensor, size: int, preprocessing: Preprocessing, rng: np.random.Generator
    ) -> Tensor:
        height, width = picture.shape[1:]
        if self.crop_scale < 1:
            box = random_box(height, width, self.crop_scale, rng)
        elif size == preprocessing.size:
            return fitted(picture, preprocessing)
        else:
            # Evaluation's view, only smaller: the middle square, less the border that crop_pct leaves out.
            side = round(min(height, width) * preprocessing.crop_pct)
            box = ((height - side) // 2, (width - side) // 2, side, side)
        return functional.resized_crop(picture, *box, [size, size], antialias=True)

    def _with_policy(self, batch: Tensor, rng: np.random.Generator) -> Tensor:
        transform = v2.RandAugment() if self.policy == "randaugment" else v2.TrivialAugmentWide()
        # torchvision draws from torch's global generator.
        with Device(torch.device("cpu")).seeded(int(rng.integers(2**62))):
            return torch.stack([transform(picture) for picture in batch])


def random_box(height: int, width: int, least: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of a crop with a share of the area between least and 1, evenly drawn.

    The relation of its sides is drawn evenly in the logarithm between 3:4 and 4:3. Sides that would not fit
    are cut to the picture, where torchvision draws again up to ten times and then takes the middle.
    """
    area = height * width * rng.uniform(least, 1)
    ratio = math.exp(rng.uniform(-_LOG_RATIO, _LOG_RATIO))
    crop_width = min(max(round(math.sqrt(area * ratio)), 1), width)
    crop_height = min(max(round(math.sqrt(area / ratio)), 1), height)
    top = int(rng.integers(height - crop_height + 1))
    left = int(rng.integers(width - crop_width + 1))
    return top, left, crop_height, crop_width


def jitter_colour(pictures: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Return pictures (n, 3, h, w), 0..255, with brightness, contrast and saturation each changed at random.

    Every picture has its own three factors within 1 ± strength. The arithmetic is that of torchvision's
    adjust_brightness, adjust_contrast and adjust_saturation, a batch at a time, in this order.
    """
    factors = torch.from_numpy(rng.uniform(1 - strength, 1 + strength, (3, len(pictures), 1, 1, 1)))
    brightness, contrast, saturation = factors.to(pictures.device, torch.float32)
    pictures = (pictures * brightness).clamp(0, 255)
    mean = _grey(pictures).mean((-3, -2, -1), keepdim=True)
    pictures = (mean + contrast * (pictures - mean)).clamp(0, 255)
    grey = _grey(pictures)
    return (grey + saturation * (pictures - grey)).clamp(0, 255)


def _grey(pictures: Tensor) -> Tensor:
    # ITU-R BT.601, as Pillow and torchvision have it; whole levels, as theirs.
    weights = torch.tensor([0.2989, 0.587, 0.114], device=pictures.device).view(3, 1, 1)
    return (pictures * weights).sum(-3, keepdim=True).floor()


def erase(pictures: Tensor, share: float, rng: np.random.Generator) -> None:
    """Zero a rectangle (the mean colour) in about this share of the pictures (n, 3, h, w), in place."""
    height, width = pictures.shape[-2:]
    for row in np.flatnonzero(rng.random(len(pictures)) < share):
        area = height * width * rng.uniform(*_ERASED_AREA)
        ratio = math.exp(rng.uniform(-_ERASED_LOG_RATIO, _ERASED_LOG_RATIO))
        h, w = min(round(math.sqrt(area * ratio)), height), min(round(math.sqrt(area / ratio)), width)
        top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
        pictures[row, :, top : top + h, left : left + w] = 0


def shares(targets: Tensor, classes: int, weights: Tensor | None = None) -> Tensor:
    """Return float32 (n, classes): each row its class alone, times the picture's weight."""
    rows = one_hot(targets, classes).to(torch.float32)
    return rows if weights is None else rows * weights[:, None]


def smoothed(targets: Tensor, smoothing: float) -> Tensor:
    """Return the targets (n, classes) with this share of each row spread over all classes alike.

    Szegedy et al. 2016, arXiv 1512.00567, section 7; the sum of a row stays what it was.
    """
    return torch.lerp(targets, targets.mean(1, keepdim=True).expand_as(targets), smoothing)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sum over the batch of -Σ targets·log softmax(logits), in nats; both (n, classes)."""
    return -(targets * log_softmax(logits, dim=1)).sum()


def mixup(
    pictures: Tensor, targets: Tensor, order: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Blend each picture (n, 3, h, w) and its target (n, classes) with those at `order`, all by one share."""
    share = float(rng.beta(_MIXUP_ALPHA, _MIXUP_ALPHA))
    return (
        torch.lerp(pictures[order], pictures, share),
        torch.lerp(targets[order], targets, share),
    )


def cutmix(
    pictures: Tensor, targets: Tensor, order: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of the pictures at `order` into pictures (n, 3, h, w); mix targets by its area.

    Yun et al. 2019, arXiv 1905.04899: the share λ that stays is drawn evenly from 0 to 1; the rectangle has
    the picture's proportions and an even centre. It is cut at the border, and λ is then what really stays.
    """
    height, width = pictures.shape[-2:]
    side = math.sqrt(1 - rng.uniform())
    half_height, half_width = round(height * side) // 2, round(width * side) // 2
    row, column = int(rng.integers(height)), int(rng.integers(width))
    top, bottom = max(row - half_height, 0), min(row + half_height, height)
    left, right = max(column - half_width, 0), min(column + half_width, width)
    # A copy: the batch that came in may be somebody's own.
    mixed = pictures.clone(memory_format=torch.preserve_format)
    mixed[:, :, top:bottom, left:right] = pictures[order, :, top:bottom, left:right]
    share = 1 - (bottom - top) * (right - left) / (height * width)
    return mixed, torch.lerp(targets[order], targets, share)


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
    batch_size: int = BATCH,
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
