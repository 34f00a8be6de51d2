"""What happens to the running statistics of batch norms while a pretrained network is fine-tuned."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

# What is left of the pretrained statistics after one epoch of updates.
KEPT_AFTER_AN_EPOCH = 0.1

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def norms(network: nn.Module) -> list[BatchNorm]:
    """Return every batch norm of the network."""
    return [module for module in network.modules() if isinstance(module, BatchNorm)]


def set_training(network: nn.Module, batch_norm: str, trained: set[int] | None = None) -> None:
    """Put the network into training mode, its batch norms as asked.

    batch_norm: "freeze"
        Statistics of the pretraining stay: at 16 pictures a batch, a batch's own are too noisy a guess.
    batch_norm: "update", "reestimate"
        Each batch is normalised by its own statistics (Ioffe and Szegedy 2015).
    trained: ids of the parameters that are trained; a norm outside them keeps still in any case.
    """
    network.train()
    for norm in norms(network):
        frozen = trained is not None and not any(id(p) in trained for p in norm.parameters(recurse=False))
        if batch_norm == "freeze" or frozen:
            norm.eval()


def momentum_for(steps: int) -> float:
    """Return the momentum with which KEPT_AFTER_AN_EPOCH of the old statistics is left after so many steps.

    running ← (1 - momentum)·running + momentum·batch, so (1 - momentum)^steps = KEPT_AFTER_AN_EPOCH. torch's
    0.1 is meant for thousands of steps: with 64 an epoch only the last 20 batches would count.
    """
    return 1 - KEPT_AFTER_AN_EPOCH ** (1 / max(steps, 1))


def set_momentum(network: nn.Module, steps: int) -> None:
    """Choose the momentum of every batch norm for this number of steps an epoch."""
    for norm in norms(network):
        norm.momentum = momentum_for(steps)


@torch.no_grad()
def reestimate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics by the plain mean over these batches of prepared pictures.

    Precise batch norm (Wu and Johnson 2021, arXiv 2105.07576, section 3): the statistics of the weights as
    they are, not of the weights on the way there.
    """
    found = norms(network)
    momenta = [norm.momentum for norm in found]
    network.eval()
    for norm in found:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a cumulative mean
        norm.train()
    for batch in batches:
        network(batch)
    for norm, momentum in zip(found, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
