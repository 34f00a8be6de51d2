"""How far a training has come: the one record of its epochs, its best weights, and where it resumes from."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from linnaea.classifiers.contract import EpochRecord
from linnaea.errors import DataError, DivergenceError

# How many times the untrained network's loss no training that works ever reaches.
FAR = 10.0
# How many times the loss of even guessing none has over a whole epoch.
FAR_FROM_GUESSING = 3.0

Score = tuple[float, float]
Weights = TypeVar("Weights")


def has_exploded(loss: float, classes: int) -> bool:
    """Return whether a cross-entropy in nats is far above that of guessing every class alike, ln(classes)."""
    return loss > FAR_FROM_GUESSING * math.log(classes)


def by_accuracy(record: EpochRecord) -> Score:
    """Return accuracy, then minus the loss: of the validation set where there is one, else of training."""
    if record.val_accuracy is not None and record.val_loss is not None:
        return record.val_accuracy, -record.val_loss
    return record.train_accuracy, -record.train_loss


@dataclass
class Sums:
    """Totals over the samples of an epoch so far; 64-bit, so that their order of size does not matter.

    loss: float
        Cross-entropy in nats, against the labels as mixed, before label smoothing.
    correct: float
        A picture that mixes two labels counts by the share of the label that was predicted.
    weight: float
        Of the targets; the number of pictures where none has a weight.
    """

    loss: float = 0.0
    correct: float = 0.0
    weight: float = 0.0

    def add(self, loss: float, correct: float, weight: float) -> None:
        """Take in one step."""
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
class TrainingProgress(Generic[Weights]):
    """The state of a training between two steps, beside its network and its optimizer.

    epoch, step: int
        Epochs whose steps are over; steps that are over in the epoch after them.
    seconds: float
        Of training in the epoch that is not closed.
    sums: Sums
        Over the steps of the epoch that is not closed; empty where epochs are evaluated as a whole.
    history: list of EpochRecord
        One of each epoch that is closed, epoch 0 (before training) first.
    best_epoch, best_score: int, (float, float)
        The epoch with the highest score so far; patience counts from there.
    kept, kept_epoch: Weights or None, int
        A copy of the weights after the epoch to keep: the best, or the last where that is asked for. None
        before the first is closed.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    sums: Sums = field(default_factory=Sums)
    history: list[EpochRecord] = field(default_factory=list)
    best_epoch: int = 0
    best_score: Score = (-math.inf, -math.inf)
    kept: Weights | None = None
    kept_epoch: int = 0

    @property
    def awaits_record(self) -> bool:
        """Whether the steps of an epoch are over and it is not closed yet: so it begins, and may resume."""
        return len(self.history) == self.epoch

    def close_epoch(
        self,
        record: EpochRecord,
        weights: Callable[[], Weights],
        score: Score | None,
        *,
        keep: str = "best",
    ) -> EpochRecord:
        """Add the record to the history, and keep a copy of the weights if this is the epoch to keep so far.

        weights: returns that copy. score: None for an epoch that must not be kept. keep: "best" or "last".
        """
        self.epoch, self.step, self.seconds, self.sums = record.epoch, 0, 0.0, Sums()
        self.history.append(record)
        if score is None:
            return record
        is_better = self.kept is None or score > self.best_score
        if is_better:
            self.best_epoch, self.best_score = record.epoch, score
        if is_better or keep == "last":
            self.kept, self.kept_epoch = weights(), record.epoch
        return record

    def is_over(self, epochs: int, patience: int) -> bool:
        """Return whether all epochs are over, or `patience` of them without a better one (0: never)."""
        return self.epoch >= epochs or (patience > 0 and self.epoch - self.best_epoch >= patience)

    def refuse_divergence(
        self,
        losses: Iterable[float | None],
        is_finite: bool,
        *,
        epoch: int,
        learning_rate: float,
        remedy: str,
        train_loss: float | None = None,
    ) -> None:
        """Raise DivergenceError where a loss, or something that is learned or learned with, is no number.

        is_finite: whether weights and the optimizer's memory are. train_loss: also raise where it has grown
        FAR beyond that of the untrained network: dead units can hide an explosion, their loss being huge and
        finite for ever. remedy: what helps beside a lower learning rate.
        """
        if not is_finite or not all(math.isfinite(loss) for loss in losses if loss is not None):
            problem = "loss or weights are no longer finite"
        elif train_loss is not None and self.history and train_loss > FAR * self.history[0].train_loss:
            before = self.history[0].train_loss
            problem = f"the loss is {train_loss:.3g}, and was {before:.3g} before training"
        else:
            return
        raise divergence(f"in epoch {epoch}: {problem}", learning_rate, remedy)

    def as_json(self) -> dict[str, Any]:
        """Return everything but the kept weights, as plain JSON values."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "sums": [self.sums.loss, self.sums.correct, self.sums.weight],
            "best_epoch": self.best_epoch,
            "best_score": None if self.kept is None else [float(value) for value in self.best_score],
            "kept_epoch": self.kept_epoch,
            "history": [record.as_dict() for record in self.history],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], kept: Weights | None) -> "TrainingProgress[Weights]":
        """Return the progress that as_json wrote. Raises DataError where something is missing.

        Older states always kept the best epoch; those of perceptrons have no sums and no score.
        """
        with whole_state():
            progress = cls(
                epoch=values["epoch"],
                step=values["step"],
                seconds=values["seconds"],
                sums=Sums(*values.get("sums", ())),
                history=[EpochRecord(**record) for record in values["history"]],
            )
            if kept is not None:
                progress.kept, progress.best_epoch = kept, values["best_epoch"]
                progress.kept_epoch = values.get("kept_epoch", progress.best_epoch)
                score = values.get("best_score") or by_accuracy(progress.history[progress.best_epoch])
                progress.best_score = (score[0], score[1])
        return progress


def divergence(problem: str, learning_rate: float, remedy: str) -> DivergenceError:
    """Return the error of a training that diverged; problem: "in epoch 3: the loss is nan"."""
    return DivergenceError(
        f"Training diverged {problem}.", f"Lower the learning rate (now {learning_rate:g}), or {remedy}."
    )


@contextmanager
def whole_state() -> Iterator[None]:
    """Let what is missing in a training state be a DataError that says so."""
    try:
        yield
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"The training state is incomplete ({type(error).__name__}: {error}).",
            "Start the training again without it.",
        ) from error
