"""Batches of uint8 pictures → features and logits of a network that does not learn."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from linnaea.classifiers.finetune.precision import autocast
from linnaea.classifiers.finetune.preprocessing import Preprocessing

# Pictures a batch; more is no faster on a processor, and takes memory.
BATCH = 32


def forward_features(network: Any, pictures: Tensor, precision: str) -> Tensor:
    """Return the pooled features (n, width), float32, of standardised pictures (n, 3, size, size).

    What stands before the head runs in the chosen precision; the head itself is always float32: it costs
    nothing, and logits rounded to bfloat16 would lose the difference between near classes.
    """
    with autocast(pictures.device, precision):
        features = network.forward_head(network.forward_features(pictures), pre_logits=True)
    return features.to(torch.float32)


def forward(network: Any, pictures: Tensor, precision: str) -> Tensor:
    """Return logits (n, classes), float32, of standardised pictures (n, 3, size, size)."""
    return network.get_classifier()(forward_features(network, pictures, precision))


@torch.no_grad()
def features(network: Any, batches: Iterable[Tensor], preprocessing: Preprocessing, precision: str) -> Tensor:
    """Return the features (n, width), float32 on the processor, of batches of uint8 (b, 3, size, size)."""
    network.eval()
    found = [forward_features(network, _prepared(batch, preprocessing), precision).cpu() for batch in batches]
    return torch.cat(found) if found else torch.empty((0, 0))


@torch.no_grad()
def logits(network: Any, batches: Iterable[Tensor], preprocessing: Preprocessing, precision: str) -> Tensor:
    """Return the logits (n, classes), float32 on the processor, of batches of uint8 (b, 3, size, size)."""
    network.eval()
    found = [forward(network, _prepared(batch, preprocessing), precision).cpu() for batch in batches]
    return torch.cat(found) if found else torch.empty((0, network.num_classes))


def _prepared(batch: Tensor, preprocessing: Preprocessing) -> Tensor:
    return preprocessing.normalize(batch).contiguous(memory_format=torch.channels_last)


def judged(logits: Tensor, targets: Tensor) -> tuple[float, float]:
    """Return the mean cross-entropy in nats and the accuracy of logits (n, classes) for targets (n,)."""
    loss = float(cross_entropy(logits.double(), targets))
    return loss, float((logits.argmax(1) == targets).double().mean())
