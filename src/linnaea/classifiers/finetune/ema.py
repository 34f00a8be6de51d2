"""An exponential moving average of the weights: a smoother network than the one that is being trained."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class WeightAverage:
    """shadow ← d·shadow + (1 - d)·weights after every step, with d = min(decay, (1 + t)/(10 + t)) at step t.

    Polyak and Juditsky 1992, as exponential average; the slow start is TensorFlow's: without it the first
    hundred steps would hold on to the weights from before training. Batch-norm statistics are averaged alike.

    network: Module
        Whose parameters and floating buffers are averaged.
    decay: float
        Between 0 and 1. 1/(1 - decay) steps are about the memory of the average.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        # state_dict lends the network's own memory, so these stay the weights of the moment.
        live = {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
        self.shadow: dict[str, Tensor] = {name: tensor.clone() for name, tensor in live.items()}
        self._live = live

    @torch.no_grad()
    def update(self, names: Iterable[str] | None = None) -> None:
        """Take in the weights after one more step.

        names: of those that the step can have changed; None: all. The average of the others stays the same.
        """
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        names = list(self.shadow if names is None else names)
        pair = [self.shadow[name] for name in names], [self._live[name] for name in names]
        torch._foreach_lerp_(*pair, 1 - decay)

    @torch.no_grad()
    def resume(self, shadow: dict[str, Tensor], steps: int) -> None:
        """Take back an average that was made earlier, after so many steps."""
        self.steps = steps
        for name, tensor in self.shadow.items():
            tensor.copy_(shadow[name])
