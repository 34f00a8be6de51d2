"""How far a training has come: what an exact resume needs beside the parameters."""

import math
from dataclasses import dataclass, field

import numpy as np

from linnaea.classifiers.contract import EpochRecord

# How many times the untrained network's loss no training that works ever reaches.
FAR = 10.0
# How many times the loss of even guessing none has over a whole epoch.
FAR_FROM_GUESSING = 3.0


def has_exploded(loss: float, classes: int) -> bool:
    """Return whether a cross-entropy in nats is far above that of guessing every class alike, ln(classes)."""
    return loss > FAR_FROM_GUESSING * math.log(classes)


@dataclass
class Course:
    """The state of a training between two steps.

    epoch, step: int
        Epochs that are over; steps that are over in the epoch that is not.
    seconds: float
        Of training in the epoch that is not over.
    solver_steps: int
        Steps the solver has made (Adam's bias correction counts them).
    memory: dict of ndarray
        The solver's arrays, each as long as the parameters.
    best: ndarray or None
        The parameters after the best epoch.
    best_epoch, best_score: int, tuple
        That epoch, and its score: larger is better.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    solver_steps: int = 0
    memory: dict[str, np.ndarray] = field(default_factory=dict)
    best: np.ndarray | None = None
    best_epoch: int = 0
    best_score: tuple[float, float] = (-np.inf, -np.inf)

    @staticmethod
    def score(record: EpochRecord) -> tuple[float, float]:
        """Return accuracy, then minus the loss; of the validation part where there is one."""
        if record.val_accuracy is not None and record.val_loss is not None:
            return (record.val_accuracy, -record.val_loss)
        return (record.train_accuracy, -record.train_loss)

    def note(self, record: EpochRecord, parameters: np.ndarray) -> None:
        """Keep a copy of the parameters if this epoch is the best so far."""
        score = self.score(record)
        if self.best is None or score > self.best_score:
            self.best_score, self.best_epoch = score, record.epoch
            if self.best is None:
                self.best = np.empty_like(parameters)
            np.copyto(self.best, parameters)

    def has_diverged(self, loss: float, history: list[EpochRecord]) -> bool:
        """Return whether the loss left the numbers, or grew far beyond that of the untrained network.

        Dead units can hide an explosion: their loss is huge, and finite for ever.
        """
        return not np.isfinite(loss) or (bool(history) and loss > FAR * history[0].train_loss)

    def is_over(self, patience: int) -> bool:
        """Return whether `patience` epochs have passed without a better one; 0 means never."""
        return patience > 0 and self.epoch - self.best_epoch >= patience
