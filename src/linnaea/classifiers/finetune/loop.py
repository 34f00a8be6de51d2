"""The training loop: run_epoch → train_step."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from linnaea import signals
from linnaea.classifiers.common.progress import TrainingProgress, divergence
from linnaea.classifiers.common.schedules import rate_at
from linnaea.classifiers.contract import OnStep
from linnaea.classifiers.finetune import batchnorm, inference
from linnaea.classifiers.finetune.augment import Augmentation, cross_entropy, shares, smoothed
from linnaea.classifiers.finetune.device import Device
from linnaea.classifiers.finetune.frozen_features import FrozenFeatures, threads_for
from linnaea.classifiers.finetune.optimizers import WeightAverage, set_rate
from linnaea.classifiers.finetune.pictures import ResidentPictures, fetched, one_ahead, ready_for
from linnaea.classifiers.finetune.stage import Stage
from linnaea.random_streams import Purpose, stream

# Share of the epochs over which pictures grow from first_size to full size, and the step they grow in:
# the networks halve the size five times, so that 32 pixels are one pixel of their last map.
GROWING, STRIDE = 0.6, 32
# Beside a lower learning rate, against divergence.
REMEDY = "set clip_norm"


@dataclass(eq=False)
class TrainingSet:
    """The pictures to learn from, as they lie in memory.

    targets: Tensor of int64 (n,), on the pictures' device
    weights: Tensor of float32 (n,) of mean one, or None
    classes: int
    """

    pictures: ResidentPictures
    targets: Tensor
    weights: Tensor | None
    classes: int

    def __len__(self) -> int:
        return len(self.pictures)

    def order(self, seed: int, epoch: int, *, balanced: bool) -> np.ndarray:
        """Return the rows of one epoch, shuffled; balanced: drawn so that every class is equally likely."""
        rng = stream(seed, Purpose.SHUFFLE, epoch)
        if not balanced:
            return rng.permutation(len(self))
        targets = self.targets.cpu().numpy()
        chance = 1 / np.bincount(targets, minlength=self.classes)[targets]
        return rng.choice(len(self), len(self), p=chance / chance.sum())


@dataclass(eq=False)
class Learner:
    """What learns: a network, what moves it, and how far it has come.

    settings: dict
        FineTuneClassifier's, with what is left to the backbone, the plan and the machine filled in.
    trained, head: names of parameters
        What is trained, and the part of it that head_first_epochs are for.
    features: FrozenFeatures or None
        From which a head learns that learns alone; None: from the pictures, as everything else.
    """

    network: Any
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None
    progress: TrainingProgress[dict[str, Tensor]]
    augmentation: Augmentation
    settings: dict[str, Any]
    trained: frozenset[str]
    head: frozenset[str]
    seed: int
    features: FrozenFeatures | None = None
    on_step: OnStep | None = None

    def only_head(self, epoch: int) -> bool:
        """Return whether nothing but the head learns in this epoch (1 is the first)."""
        return epoch <= self.settings["head_first_epochs"] or self.head == self.trained

    def begin_epoch(self, epoch: int) -> None:
        """Set what is trained in this epoch, and the mode of every layer."""
        names = self.head if self.only_head(epoch) else self.trained
        if not self.only_head(epoch):
            self.features = None  # they take memory, and are no longer what the network makes
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in names)
        learning = {id(parameter) for parameter in self.network.parameters() if parameter.requires_grad}
        batchnorm.set_training(self.network, self.settings["batch_norm"], learning)

    def rate(self, done: float) -> float:
        """Return the head's learning rate when `done` epochs are over."""
        shape = {name: self.settings[name] for name in ("schedule", "warmup_epochs", "epochs")}
        return rate_at(done, base=self.settings["learning_rate"], **shape)


def run_epoch(learner: Learner, train: TrainingSet) -> None:
    """Go through the pictures once, from the first step not yet made.

    Raises DivergenceError at the first step whose loss is not finite.
    """
    progress, settings = learner.progress, learner.settings
    epoch = progress.epoch + 1
    learner.begin_epoch(epoch)
    size = size_at(epoch, settings["first_size"], train.pictures.preprocessing.size, settings["epochs"])
    order = train.order(learner.seed, epoch, balanced=settings["sampling"] == "balanced")
    # Steps of even length: no last one of a single picture, of which batch norm could make nothing.
    steps = np.array_split(order, -(-len(order) // (settings["batch_size"] * settings["accumulate"])))
    done, started = sum(map(len, steps[: progress.step])), time.perf_counter() - progress.seconds
    inputs = (
        next_batch(learner, train, steps[step], step, size) for step in range(progress.step, len(steps))
    )
    with (
        threads_for(learner.features),
        signals.between_steps() as poll,
        _stage(learner, len(order), done) as stage,
        one_ahead(inputs, train.pictures.ahead) as batches,
    ):
        for batch in batches:
            # The rate in the middle of the step: never 0 in a warm-up, nor in the last step.
            set_rate(learner.optimizer, learner.rate(progress.epoch + (progress.step + 0.5) / len(steps)))
            loss, correct, weight = train_step(learner, train, batch)
            if not np.isfinite(loss):
                problem = f"in epoch {epoch}, step {progress.step + 1}: the loss is {loss}"
                raise divergence(problem, settings["learning_rate"], REMEDY)
            progress.sums.add(loss, correct, weight)
            progress.step, progress.seconds = progress.step + 1, time.perf_counter() - started
            stage.advance(len(batch.rows), loss=progress.sums.mean_loss, accuracy=progress.sums.accuracy)
            poll()
        progress.epoch, progress.step = epoch, 0


class Batch(NamedTuple):
    """What one step learns from, as far as it is made before the step.

    rows: ndarray of int (n,)
        Which pictures.
    inputs: Tensor
        Crops, uint8 (n, 3, size, size), or features (n, width) where only the head learns.
    rng: Generator
        The step's chance; the crops have taken theirs.
    """

    rows: np.ndarray
    inputs: Tensor
    rng: np.random.Generator


def next_batch(learner: Learner, train: TrainingSet, rows: np.ndarray, step: int, size: int) -> Batch:
    """Return what this step of the epoch learns from. It depends on no step before, nor on global state."""
    rng = stream(learner.seed, Purpose.AUGMENT, learner.progress.epoch + 1, step)
    if learner.features is not None:
        # Only the head learns: what comes before it was computed once.
        return Batch(rows, learner.features.take(rows, rng), rng)
    pictures = train.pictures
    crops = learner.augmentation.cropped(pictures.take(rows), size, pictures.preprocessing, rng)
    return Batch(rows, ready_for(pictures.device, crops), rng)


def train_step(learner: Learner, train: TrainingSet, batch: Batch) -> tuple[float, float, float]:
    """Go forward and backward over `accumulate` batches, and one step; return sums as of Sums.add."""
    settings, progress, augmentation = learner.settings, learner.progress, learner.augmentation
    rows, inputs, rng = batch
    inputs = fetched(inputs, train.targets.device)
    where = torch.from_numpy(rows).to(train.targets.device)
    weights = None if train.weights is None else train.weights[where]
    targets = shares(train.targets[where], train.classes, weights)
    if learner.features is not None:
        forward = learner.network.get_classifier()
    else:
        inputs = augmentation.finished(inputs, train.pictures.preprocessing, rng)
        inputs, targets = augmentation.mixed(inputs, targets, rng)
        forward = partial(inference.forward, learner.network, precision=settings["precision"])
    sums = torch.zeros(3, device=inputs.device)
    with _dropout_from(learner.seed, progress, Device(inputs.device)):
        sizes = micro_batches(len(rows), settings["batch_size"])
        for x, y in zip(inputs.split(sizes), targets.split(sizes), strict=True):
            logits = forward(x)
            # Divided by the pictures of the whole step, so that accumulated batches add up to one large one.
            (cross_entropy(logits, smoothed(y, settings["label_smoothing"])) / len(rows)).backward()
            sums += _measured(logits.detach(), y)
    if settings["clip_norm"] is not None:
        torch.nn.utils.clip_grad_norm_(learner.network.parameters(), settings["clip_norm"])
    learner.optimizer.step()
    learner.optimizer.zero_grad(set_to_none=True)
    if learner.average is not None:
        learner.average.update(None if learner.features is None else learner.head)
    loss, correct, weight = sums.tolist()  # one transfer from a GPU for all three
    return loss, correct, weight


def micro_batches(pictures: int, batch_size: int) -> list[int]:
    """Return how many pictures go through the network at a time: batch_size, and what is left.

    A single one that is left goes with those before it: of one value a channel, as on a last map of a single
    pixel, a batch norm that learns can make nothing.
    """
    sizes = [min(batch_size, pictures - start) for start in range(0, pictures, batch_size)]
    if len(sizes) > 1 and sizes[-1] == 1 < batch_size:
        sizes[-2:] = [batch_size + 1]
    return sizes


def _measured(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sums of cross-entropy, of the targets' shares that were found, and of the targets."""
    found = targets.gather(1, logits.argmax(1, keepdim=True)).sum()
    return torch.stack([cross_entropy(logits, targets), found, targets.sum()])


def size_at(epoch: int, first: int | None, full: int, epochs: int) -> int:
    """Return the side of the pictures in this epoch (1 is the first).

    Growing evenly from `first` to `full` over the first GROWING of the epochs, in whole STRIDEs (Howard
    2018, fastai's DAWNBench entry; Touvron et al. 2019, arXiv 1906.06423, on why small crops lose little).
    """
    growing = round(GROWING * epochs)
    if first is None or first >= full or epoch > growing:
        return full
    side = first + (full - first) * (epoch - 1) / max(growing, 1)
    return min(round(side / STRIDE) * STRIDE or STRIDE, full)


def _dropout_from(seed: int, progress: TrainingProgress, device: Device) -> AbstractContextManager[None]:
    """Lend torch's global generators a state that depends on seed, epoch and step only."""
    step_seed = stream(seed, Purpose.DROPOUT, progress.epoch + 1, progress.step).integers(2**62)
    return device.seeded(int(step_seed))


def _stage(learner: Learner, pictures: int, done: int) -> Stage:
    epoch, settings = learner.progress.epoch + 1, learner.settings
    bar = f"Epoch {epoch}/{settings['epochs']}" if settings["progress"] else ""
    return Stage("", pictures, learner.on_step, done=done, bar=bar)
