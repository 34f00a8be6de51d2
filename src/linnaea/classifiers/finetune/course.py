"""How far a fine-tuning has come: what an exact resume needs beside the network and its optimizer."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from linnaea.classifiers.contract import EpochRecord
from linnaea.classifiers.perceptron.course import has_exploded


@dataclass
class Sums:
    """Totals over the pictures of an epoch so far; 64-bit, so that their order of size does not matter.

    loss: float
        Cross-entropy in nats, against the labels as mixed, before label smoothing.
    correct: float
        A picture that mixes two labels counts by the share of the label that was found.
    weight: float
        Of the targets; the number of pictures where none has a weight.
    """

    loss: float = 0.0
    correct: float = 0.0
    weight: float = 0.0

    def add(self, loss: float, correct: float, weight: float) -> None:
        """Take in one batch."""
        self.loss, self.correct, self.weight = self.loss + loss, self.correct + correct, self.weight + weight

    @property
    def mean_loss(self) -> float:
        """Cross-entropy of one picture, in nats."""
        return self.loss / self.weight if self.weight else float("nan")

    @property
    def accuracy(self) -> float:
        """Between 0 and 1."""
        return self.correct / self.weight if self.weight else float("nan")


@dataclass
class Course:
    """The state of a training between two steps.

    epoch, step: int
        Epochs that are over; optimizer steps that are over in the epoch that is not.
    seconds: float
        Of training in the epoch that is not over.
    best: dict of Tensor or None
        The network's state after the epoch to keep: the best, or the last where that is asked for.
    best_epoch: int
        That epoch.
    best_score, improved: tuple, int
        The highest score so far, larger is better, and its epoch: patience counts from there.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    sums: Sums = field(default_factory=Sums)
    best: dict[str, Tensor] | None = None
    best_epoch: int = 0
    best_score: tuple[float, float] = (-np.inf, -np.inf)
    improved: int = 0

    def note(
        self,
        record: EpochRecord,
        network: torch.nn.Module,
        *,
        classes: int,
        probed: bool,
        keep: str = "best",
    ) -> None:
        """Keep a copy of the network's state if this epoch is the best so far, or the last is to be kept.

        Best is the higher accuracy on the validation part, and among equals the lower loss; the probe (epoch
        0 where probed) gives way to a higher accuracy only: with few pictures equals are common. Without a
        validation part it is the last epoch: accuracy on augmented pictures says little, and the probe has
        learned its pictures by heart. An epoch whose loss has exploded never is: what it gets right is luck.
        """
        if record.epoch > 0 and has_exploded(record.train_loss, classes):
            return
        score = (float(record.epoch), 0.0)
        if record.val_accuracy is not None and record.val_loss is not None:
            # No loss is below 0: none makes an equal better than the probe.
            score = (record.val_accuracy, 0.0 if probed and record.epoch == 0 else -record.val_loss)
        better = self.best is None or score > self.best_score
        if better:
            self.best_score, self.improved = score, record.epoch
        if better or keep == "last":
            self.best_epoch = record.epoch
            self.best = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    def is_over(self, patience: int) -> bool:
        """Return whether `patience` epochs have passed without a better one; 0 means never."""
        return patience > 0 and self.epoch - self.improved >= patience
