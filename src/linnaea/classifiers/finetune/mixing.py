"""Targets as rows of shares, and batches whose pictures and targets are mixed."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot

# mixup's own value for ImageNet (Zhang et al. 2018, arXiv 1710.09412, section 3.2).
_MIXUP_ALPHA = 0.2


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
