"""Batches of uint8 pictures → features and logits of a network that does not learn."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from linnaea.classifiers.finetune.device import autocast, room_to_predict
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.errors import LinnaeaError

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
def features(
    network: Any,
    batches: Iterable[Tensor],
    preprocessing: Preprocessing,
    precision: str,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Return the features (n, width), float32 on the processor, of batches of uint8 (b, 3, size, size).

    out: Tensor (n, width)
        Where they are written to, instead of being joined at twice the memory.

    Raises LinnaeaError where the network makes NaN or infinity of a picture.
    """

    def compute(pictures: Tensor) -> Tensor:
        return _numbers(forward_features(network, pictures, precision))

    if out is None:
        return _joined(network, batches, preprocessing, compute)
    filled = 0
    for batch in _computed(network, batches, preprocessing, compute):
        out[filled : filled + len(batch)] = batch
        filled += len(batch)
    assert filled == len(out)
    return out


def _numbers(features: Tensor) -> Tensor:
    # Weights can be finite and still too large, or the pictures scaled for another network.
    if not bool(torch.isfinite(features).all()):
        raise LinnaeaError(
            "The network answers pictures with numbers that are not finite.",
            "Its weights are damaged or belong to another network: pass others with --weights.",
        )
    return features


@torch.no_grad()
def logits(
    network: Any,
    batches: Iterable[Tensor],
    preprocessing: Preprocessing,
    precision: str,
    *,
    tta: str = "none",
) -> Tensor:
    """Return the logits (n, classes), float32 on the processor, of batches of uint8 (b, 3, size, size).

    tta: "none", or "flip": the mean of the logits of each picture and of its mirror (test-time augmentation:
        Krizhevsky et al. 2012, section 4.1).
    """

    def compute(pictures: Tensor) -> Tensor:
        return forward(network, pictures, precision)

    mirrored = _with_mirror(compute, tta)
    return _joined(network, batches, preprocessing, mirrored, network.num_classes)


@torch.no_grad()
def last_features(
    network: Any,
    batches: Iterable[Tensor],
    preprocessing: Preprocessing,
    precision: str,
    *,
    tta: str = "none",
) -> Tensor:
    """Return what the last layer sees, float32 (n, width) on the processor, of batches as in `logits`.

    Behind a head's hidden layer, where there is one. tta: as in `logits`; the mean is that of the features.
    """
    head = network.get_classifier()
    before, last = head[:-1], head[-1]

    def compute(pictures: Tensor) -> Tensor:
        return before(forward_features(network, pictures, precision))

    return _joined(network, batches, preprocessing, _with_mirror(compute, tta), last.in_features)


def _with_mirror(compute: Callable[[Tensor], Tensor], tta: str) -> Callable[[Tensor], Tensor]:
    """Return compute itself, or with "flip" its mean over pictures (n, 3, h, w) and their mirrors."""

    def mean(pictures: Tensor) -> Tensor:
        # contiguous: flip forgets the channels-last order, on which speed depends.
        mirrored = pictures.flip(-1).contiguous(memory_format=torch.channels_last)
        return (compute(pictures) + compute(mirrored)) / 2

    return mean if tta == "flip" else compute


def _joined(
    network: Any,
    batches: Iterable[Tensor],
    preprocessing: Preprocessing,
    compute: Callable[[Tensor], Tensor],
    width: int = 0,
) -> Tensor:
    """Return the results of _computed in one, (n, width)."""
    results = list(_computed(network, batches, preprocessing, compute))
    return torch.cat(results) if results else torch.empty((0, width))


def _computed(
    network: Any,
    batches: Iterable[Tensor],
    preprocessing: Preprocessing,
    compute: Callable[[Tensor], Tensor],
) -> Iterator[Tensor]:
    """Yield what the network, in evaluation mode, makes of each batch once it is standardised.

    Results lie on the processor.
    """
    network.eval()
    where = next(network.parameters()).device
    with room_to_predict(where, BATCH, preprocessing.size):
        for batch in batches:
            pictures = preprocessing.normalize(batch).contiguous(memory_format=torch.channels_last)
            yield compute(pictures).cpu()


@torch.no_grad()
def last_logits(network: Any, features: Tensor) -> Tensor:
    """Return the logits (n, classes), float32 on the processor, of what last_features returned."""
    last = network.get_classifier()[-1]
    return last(features.to(last.weight.device)).cpu()


@torch.no_grad()
def head_logits(network: Any, features: Tensor) -> Tensor:
    """Return the logits (n, classes), float32 on the processor, of the head for features (n, width)."""
    network.eval()
    where = next(network.parameters()).device
    return network.get_classifier()(features.to(where)).cpu()


def loss_and_accuracy(logits: Tensor, targets: Tensor) -> tuple[float, float]:
    """Return the mean cross-entropy in nats and the accuracy of logits (n, classes) for targets (n,)."""
    loss = float(cross_entropy(logits.double(), targets))
    return loss, float((logits.argmax(1) == targets).double().mean())
