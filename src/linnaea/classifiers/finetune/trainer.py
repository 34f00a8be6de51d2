"""A fine-tuning from its plan to the choice of its best epoch; FineTuneClassifier.fit sets it going."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from linnaea.classifiers.common.progress import Score, TrainingProgress, has_exploded
from linnaea.classifiers.contract import EpochRecord, OnStep, TrainingState
from linnaea.classifiers.finetune import batchnorm, construction, inference, loop
from linnaea.classifiers.finetune.budget import Budget, Plan
from linnaea.classifiers.finetune.device import all_finite
from linnaea.classifiers.finetune.frozen_features import FrozenFeatures, begins_with_head
from linnaea.classifiers.finetune.heads import logits_layer, put_head
from linnaea.classifiers.finetune.pictures import EvaluationBatches
from linnaea.classifiers.finetune.probe import Probe
from linnaea.errors import DataError

# Features that take no more bytes are kept, to fit the probe again without the pictures (see refitting):
# those of four views of a thousand pictures, 1,280 numbers each.
FEW_BYTES = 20 << 20


# How far below the probe's validation accuracy half of the epochs may stay.
BEHIND = 0.01


class ValidationSet(NamedTuple):
    """Pictures as evaluation sees them, and class numbers (m,)."""

    pictures: EvaluationBatches
    targets: np.ndarray


class Trainer:
    """Plans, fits the probe, trains epoch by epoch, and keeps the best: start or resume, then run.

    network: Module
        What is evaluated, and in the end kept. What learns is a copy of it (learner.network), whose weights,
        averaged where that is asked for, it takes over at the end of each epoch.
    settings: dict
        Those of Learner, in the same dictionary. A plan changes them as long as there is a budget.
    train: TrainingSet, validation: ValidationSet or None
    learner: Learner
        What learns; there from the end of start or resume on.
    progress: TrainingProgress
    plan: Plan or None
        What is done with the budget, as it is now.
    probe: Probe or None
    remembered: dict of ndarray (n, width)
        What `network` makes of the pictures of "train" and "val" before its head, as long as it still does.
    frozen: FrozenFeatures or None
        What the probe learned from, where it takes FEW_BYTES at most.
    on_step, on_epoch: callables or None
        Hear how far a stage is, and the record of each epoch.
    on_change: callable
        Hears, before those, and when all is over, that the trainer has come further.
    """

    learner: loop.Learner

    def __init__(
        self,
        opened: construction.Opened,
        settings: dict[str, Any],
        train: loop.TrainingSet,
        validation: ValidationSet | None,
        seed: int,
    ) -> None:
        self.network, self.preprocessing = opened.network, opened.preprocessing
        self.settings, self.train, self.validation = settings, train, validation
        self.seed, self.device = seed, train.pictures.device
        self.on_step: OnStep | None = None
        self.on_epoch: Callable[[EpochRecord], None] | None = None
        self.on_change: Callable[[Trainer], None] = lambda trainer: None
        self.progress: TrainingProgress[dict[str, Tensor]] = TrainingProgress()
        self.plan: Plan | None = None
        self.probe: Probe | None = None
        self.remembered: dict[str, np.ndarray] = {}
        self.frozen: FrozenFeatures | None = None
        self._budget: Budget | None = None

    def start(self, X: Any, started: float) -> None:
        """Fit the probe, plan after its first view what a budget leaves time for, and set up the training.

        Whether it leaves time for anything is found before, and heard by on_change and on_step.

        X: the training pictures as fit was given them; reading them is measured.
        started: when the budget's time began, by time.perf_counter.
        """
        if self.settings["budget"] is not None:
            self._budget = Budget(float(self.settings["budget"]), started)
            self._budget.foresee(
                self.network,
                self.settings,
                self.train,
                X,
                val=0 if self.validation is None else len(self.validation.targets),
            )
        self.on_change(self)
        self._began = time.perf_counter()
        features = self._fit_probe()
        self._set_up(features)
        if self.probe is not None:
            # What learns may start from another head; what is evaluated before the first epoch is the probe.
            self.probe.load_into(logits_layer(self.network))

    def resume(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Go on from what state returned, of a training with the same settings and pictures.

        It keeps its plan, not the plan's time. Raises DataError for a state that is incomplete or belongs to
        another network.
        """
        self.on_change(self)
        if "plan" in values:
            self._follow(Plan.from_dict(values["plan"]))
        self._set_up(None)
        self.probe = _restore(self.learner, arrays, values)
        self.progress = self.learner.progress
        if self.settings["epochs"] and self.learner.only_head(max(self.progress.epoch, 1)):
            # The backbone is as it was opened: the seed gives the same features.
            self._learn_from(self._features())

    def run(self) -> None:
        """Train until all epochs are over or patience is; then, however it ends, hold the epoch to keep.

        Raises DivergenceError where the loss, or what is learned, leaves the numbers.
        """
        try:
            while True:
                if self.progress.awaits_record:
                    self._close_epoch()
                # Closing may change the settings: a training that runs out of time has fewer epochs.
                if self.progress.is_over(self.settings["epochs"], self.settings["patience"] or 0):
                    break
                if self._probe_is_enough():
                    break
                loop.run_epoch(self.learner, self.train)
        finally:
            self.learner.features = None  # the largest thing there, and made anew where training goes on
            self._hold_kept_epoch()
            self.on_change(self)

    @property
    def least_seconds(self) -> float | None:
        """What the least plan takes, where a budget is shorter."""
        return None if self._budget is None else self._budget.least

    @property
    def kept(self) -> str:
        """Whose weights are kept, as it stands: "probe" or "fine-tuned"."""
        return "probe" if self.settings["probe"] and self.progress.kept_epoch == 0 else "fine-tuned"

    def state(self) -> TrainingState:
        """Return what resume needs: copies of all arrays, and plain JSON values."""
        learner, progress, probe = self.learner, self.progress, self.probe
        tensors = {f"network.{name}": tensor for name, tensor in learner.network.state_dict().items()}
        if learner.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in learner.average.shadow.items()}
        if progress.kept is not None:
            tensors |= {f"best.{name}": tensor for name, tensor in progress.kept.items()}
        if probe is not None:
            tensors |= {"probe.weight": probe.weight, "probe.bias": probe.bias}
        for index, slots in learner.optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer.{index}.{slot}": torch.as_tensor(value)
                for slot, value in slots.items()
                if value is not None
            }
        values = {
            **progress.as_json(),
            "average_steps": 0 if learner.average is None else learner.average.steps,
            "precision": self.settings["precision"],
            "seed": self.seed,
            "probe": None if probe is None else [probe.strength, probe.train, probe.val],
            **({} if self.plan is None else {"plan": self.plan.as_dict()}),
        }
        # bfloat16 has no NumPy type, but only autocast uses it: every stored tensor is float32 or an integer.
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}, values

    # What start and resume are made of.

    def _step(self, stage: str, done: int, total: int, seconds: float) -> None:
        self.on_change(self)
        if self.on_step is not None:
            self.on_step(stage, done, total, seconds)

    def _follow(self, plan: Plan) -> None:
        self.plan = plan
        self.settings.update(plan.settings)

    def _fit_probe(self) -> FrozenFeatures | None:
        """Fit the probe and put it into the head; return the features that the head goes on learning from."""
        # The plan of a budget never begins with the head alone.
        needed = self._budget is None and begins_with_head(self.settings)
        if not (self.settings["probe"] or needed):
            return None
        settle = None if self._budget is None else self._plan_views
        features = self._features(settle)
        # Copies of evaluation's views: the probe whitens its features in place.
        self.remembered = {"train": features.train[0].numpy().copy()}
        if features.val is not None:
            self.remembered["val"] = features.val.numpy().copy()
        if features.rows.nbytes <= FEW_BYTES:
            self.frozen = replace(features, rows=features.rows.clone())
        if self.settings["probe"]:
            val_targets = None if self.validation is None else self.validation.targets
            self.probe = features.probe(
                self.train.targets, self.train.weights, val_targets, overwrite=not needed
            )
            # A head that learns alone has no backbone to spare.
            self.probe.load_into(logits_layer(self.network), start=not needed)
        return features if needed else None

    def _plan_views(self, views: float, seconds: float) -> float:
        """Plan for the budget, the probe's first views having taken so many seconds; return its views."""
        assert self._budget is not None
        if self.plan is None:
            plan = self._budget.make_plan(
                self.network, self.settings, self.train, seed=self.seed, first_view=seconds
            )
        else:
            plan = self._budget.after_view(views, seconds)
        self._follow(plan)
        return float(self.settings["views"])

    def _features(self, settle: Callable[[float, float], float] | None = None) -> FrozenFeatures:
        return FrozenFeatures.of(
            self.network,
            self.train.pictures,
            None if self.validation is None else self.validation.pictures,
            number_of_views=self.settings["views"],
            precision=self.settings["precision"],
            seed=self.seed,
            flip=self.settings["flip"],
            settle=settle,
            on_step=self._step,
            bar="Probe" if self.settings["progress"] else "",
        )

    def _set_up(self, features: FrozenFeatures | None) -> None:
        self.learner = construction.new_learner(self.network, self.settings, self.train, self.seed)
        self.learner.progress, self.learner.on_step = self.progress, self._step
        if features is not None:
            self._learn_from(features)

    def _learn_from(self, features: FrozenFeatures) -> None:
        if self.settings["crop_scale"] == 1:  # no crops where none are asked for
            features = features.uncropped(flip=self.settings["flip"])
        self.learner.features = features.to(self.device)

    # What run is made of.

    def _probe_is_enough(self) -> bool:
        """Return whether fine-tuning ends early because of the probe, which it must beat to be kept."""
        settings = self.settings
        raced = self.probe is not None and settings["patience"] is None and settings["keep"] == "best"
        return raced and cannot_pay(self.progress.history, settings["epochs"])

    def _close_epoch(self) -> None:
        """Evaluate and record the epoch, and keep its weights if it is the one to keep so far."""
        record = self._record() if self.progress.epoch else self._first_record()
        self.progress.close_epoch(
            record,
            lambda: {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()},
            score(record, classes=self.train.classes, probed=self.probe is not None),
            keep=self.settings["keep"],
        )
        self.on_change(self)
        if self.on_epoch is not None:
            self.on_epoch(record)
        if self._budget is not None:
            self._follow(self._budget.after_epoch(record.epoch))

    def _first_record(self) -> EpochRecord:
        """Return the record of epoch 0: the network as it is before fine-tuning."""
        seconds = time.perf_counter() - self._began
        if self.probe is not None:
            train, val = self.probe.train, self.probe.val or (None, None)
        else:
            self._take_weights()
            centres = self.train.pictures.centres(inference.BATCH)
            logits = self._logits(centres)
            train = inference.loss_and_accuracy(logits, self.train.targets.cpu())
            val = self._validate()
        return EpochRecord(0, seconds, self.learner.rate(0), *train, *val)

    def _record(self) -> EpochRecord:
        """Take over the weights, evaluate them, and return the record. Raises DivergenceError."""
        learner, progress = self.learner, self.progress
        self._take_weights()
        # A head that learns alone must be evaluated with the statistics that it learned with.
        if self.settings["batch_norm"] == "reestimate" and not learner.only_head(progress.epoch):
            centres = self.train.pictures.centres(inference.BATCH)
            batchnorm.reestimate(self.network, (self.preprocessing.normalize(batch) for batch in centres))
        val_loss, val_accuracy = self._validate()
        # The loss tells of the weights before a step: here are those after the last one, their average, the
        # running statistics (estimated again, perhaps), and the optimizer's memory.
        tensors = [*learner.network.state_dict().values(), *self.network.state_dict().values()]
        for slots in learner.optimizer.state.values():
            tensors += [value for value in slots.values() if torch.is_tensor(value)]
        progress.refuse_divergence(
            [val_loss],
            all_finite(tensors),
            epoch=progress.epoch,
            learning_rate=self.settings["learning_rate"],
            remedy=loop.REMEDY,
        )
        return EpochRecord(
            progress.epoch,
            progress.seconds,
            learner.rate(progress.epoch),
            progress.sums.mean_loss,
            progress.sums.accuracy,
            val_loss,
            val_accuracy,
        )

    def _take_weights(self) -> None:
        live, average = self.learner.network.state_dict(), self.learner.average
        self._fit_head(self.progress.epoch)
        self.network.load_state_dict(live | (average.shadow if average is not None else {}))

    def _fit_head(self, epoch: int) -> None:
        """Give the network the kind of head that it has after this epoch; its weights come next."""
        # The probe's head is always linear.
        hidden = None if epoch == 0 and self.settings["probe"] else self.settings["head_hidden"]
        put_head(self.network, self.train.classes, hidden, self.settings["dropout"], self.seed)

    def _validate(self) -> tuple[float, float] | tuple[None, None]:
        """Return the network's loss and accuracy on the validation set."""
        if self.validation is None:
            return None, None
        features = self.learner.features
        if features is not None and features.val is not None:
            logits = inference.head_logits(self.network, features.val)
        else:
            logits = self._logits(self.validation.pictures)
        return inference.loss_and_accuracy(logits, torch.from_numpy(self.validation.targets))

    def _logits(self, pictures: Iterable[Tensor]) -> Tensor:
        return inference.logits(self.network, pictures, self.preprocessing, self.settings["precision"])

    def _hold_kept_epoch(self) -> None:
        if self.kept != "probe":
            self.remembered = {}  # the network makes others of them by now
        self._fit_head(self.progress.kept_epoch)
        if self.progress.kept is not None:
            self.network.load_state_dict(self.progress.kept)


def score(record: EpochRecord, *, classes: int, probed: bool) -> Score | None:
    """Return what makes an epoch better than another, larger being better; None for one never to be kept.

    Best is the higher accuracy on the validation set, and among equals the lower loss; the probe (epoch 0
    where probed) gives way to a higher accuracy only: with few pictures equals are common. Without a
    validation set it is the last epoch: accuracy on augmented pictures says little, and the probe has
    memorised its pictures. An epoch whose loss has exploded never is: what it gets right is luck.
    """
    if record.epoch > 0 and has_exploded(record.train_loss, classes):
        return None
    if record.val_accuracy is None or record.val_loss is None:
        return float(record.epoch), 0.0
    # No loss is below 0: none makes an equal better than the probe.
    return record.val_accuracy, 0.0 if probed and record.epoch == 0 else -record.val_loss


def cannot_pay(history: Sequence[EpochRecord], epochs: int) -> bool:
    """Return whether fine-tuning will hardly beat the probe, epoch 0 of the history, on the validation set.

    Nothing beats one that makes no mistake there. And where half of the epochs, three at least, have come no
    nearer to it than BEHIND, the rest has never made up for that: on Flowers-102 it gained 0.8 points.
    """
    accuracies = [record.val_accuracy for record in history]
    if accuracies[0] is None:
        return False
    if accuracies[0] == 1:
        return True
    tuned = [accuracy for accuracy in accuracies[1:] if accuracy is not None]
    late = len(tuned) >= max(epochs / 2, 3)
    return late and max(tuned) <= accuracies[0] - BEHIND


def _restore(learner: loop.Learner, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> Probe | None:
    """Put what Trainer.state returned into a new learner; return the probe that the training began with."""
    try:
        learner.network.load_state_dict(_below("network.", arrays))
        if learner.average is not None:
            learner.average.resume(_below("average.", arrays), values["average_steps"])
        memory = _optimizer_memory(learner.optimizer, _below("optimizer.", arrays))
        learner.optimizer.load_state_dict({**learner.optimizer.state_dict(), "state": memory})
        learner.progress = TrainingProgress.from_json(values, _below("best.", arrays) or None)
        if values["probe"] is None:
            return None
        tensors, (strength, train, val) = _below("probe.", arrays), values["probe"]
        val = None if val is None else tuple(val)
        return Probe(tensors["weight"], tensors["bias"], strength, tuple(train), val)
    except (KeyError, IndexError, ValueError, TypeError, RuntimeError) as error:
        raise DataError(
            f"The training state does not fit this training ({type(error).__name__}: {error}).",
            "Go on with the settings and classes the training began with, or start again without it.",
        ) from error


def _optimizer_memory(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> dict[int, dict[str, Tensor]]:
    """Return the optimizer's memory, parameter by parameter in the order of its groups."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    memory: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, slot = name.split(".")
        parameter = parameters[int(index)].detach()
        if tensor.shape == parameter.shape:
            # In the parameter's own order in memory (channels last): the fused kernels go through both
            # side by side and do not look.
            tensor = torch.empty_like(parameter).copy_(tensor)
        memory.setdefault(int(index), {})[slot] = tensor
    return memory


def _below(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Return the arrays whose names begin with the prefix, without it, as tensors of their own."""
    return {
        name.removeprefix(prefix): torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
