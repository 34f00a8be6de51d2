"""The steps of a fine-tuning: the plan, the probe, the end of an epoch, the choice of the best."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from linnaea.classifiers.common.progress import Score, has_exploded
from linnaea.classifiers.contract import EpochRecord, OnEpoch, OnStep
from linnaea.classifiers.finetune import batchnorm, budget, construction, deadline, inference, loop, state
from linnaea.classifiers.finetune.device import all_finite
from linnaea.classifiers.finetune.fitted import FineTuned
from linnaea.classifiers.finetune.head_training import FrozenFeatures, begins_with_head
from linnaea.classifiers.finetune.pictures import EvaluationBatches
from linnaea.classifiers.finetune.probe import Probe

# Pictures as evaluation sees them, and class numbers (m,).
Held = tuple[EvaluationBatches, np.ndarray]


class FineTuning(FineTuned):
    """What FineTuneClassifier.fit is made of; FineTuneClassifier adds the settings."""

    # Settings that are read here, and what fit makes first.
    head_hidden: int | None
    dropout: float
    batch_norm: str
    probe: bool
    flip: bool
    keep: str
    budget: float | None
    progress: bool
    _session: loop.Session
    _on_step: OnStep | None

    def _planned(
        self,
        settings: dict[str, Any],
        X: Any,
        part: loop.TrainingPart,
        held: Held | None,
        started: float,
        on_resume: Any,
    ) -> dict[str, Any]:
        """Return the settings that the budget decides; a resumed training keeps its plan, not its time."""
        self.plan_: budget.Plan | None = None
        self._deadline: deadline.Deadline | None = None
        if on_resume is not None and "plan" in on_resume[1]:
            self.plan_ = budget.Plan.from_dict(on_resume[1]["plan"])
        elif on_resume is None and self.budget is not None:
            self._deadline = deadline.begin(
                self.network_,
                settings,
                part,
                X,
                pictures_val=0 if held is None else len(held[1]),
                precision=self.precision_,
                seed=self.seed_,
                started=started,
            )
            self.plan_ = self._deadline.plan
        return {} if self.plan_ is None else self.plan_.settings

    def _planned_on(self) -> dict[str, Any]:
        """Return the settings that the budget decides after the probe, whose time is now known."""
        if self._deadline is None or self.probe_ is None:
            return {}
        self.plan_ = self._deadline.probed(time.perf_counter() - self._started)
        return self.plan_.settings

    def _begin(
        self, part: loop.TrainingPart, held: Held | None, settings: dict[str, Any]
    ) -> FrozenFeatures | None:
        """Fit the probe and put it into the head; return the features that the head goes on learning from."""
        self._started = time.perf_counter()
        self.history_: list[EpochRecord] = []
        self.probe_: Probe | None = None
        features, needed = None, begins_with_head(settings)
        self._remembered: dict[str, np.ndarray] = {}
        if self.probe or needed:
            settle = None if self._deadline is None else self._deadline.settle
            features = self._features(part, held, settings["views"], settle)
            # Copies of evaluation's views: the probe whitens its features in place.
            self._remembered = {"train": features.train[0].numpy().copy()}
            if features.val is not None:
                self._remembered["val"] = features.val.numpy().copy()
        if self.probe and features is not None:
            val_targets = None if held is None else held[1]
            self.probe_ = features.probe(part.targets, part.weights, val_targets, overwrite=not needed)
            # A head that learns alone has no backbone to spare.
            self.probe_.load_into(construction.logits_layer(self.network_), start=not needed)
        return features if needed else None

    def _features(
        self,
        part: loop.TrainingPart,
        held: Held | None,
        views: float,
        settle: Callable[[float], float] | None = None,
    ) -> FrozenFeatures:
        return FrozenFeatures.of(
            self.network_,
            part.pictures,
            None if held is None else held[0],
            number_of_views=views,
            precision=self.precision_,
            seed=self.seed_,
            flip=self.flip,
            settle=settle,
            on_step=self._on_step,
            bar="Probe" if self.progress else "",
        )

    def _resume(
        self, part: loop.TrainingPart, held: Held | None, views: float, on_resume: Any
    ) -> FrozenFeatures | None:
        """Put the training back to where it was; return the features made anew, if they are still needed."""
        self.probe_ = state.resume_session(self._session, *on_resume)
        self.history_ = self._session.progress.history
        needed = (
            self._session.only_head(max(self._session.progress.epoch, 1)) and self._session.settings.epochs
        )
        # The backbone is as it was opened: the seed gives the same features.
        return self._features(part, held, views) if needed else None

    def _close_first(self, part: loop.TrainingPart, held: Held | None, on_epoch: OnEpoch | None) -> None:
        """Record epoch 0: the network as it is before fine-tuning."""
        seconds = time.perf_counter() - self._started
        if self.probe_ is not None:
            train, val = self.probe_.train, self.probe_.val or (None, None)
        else:
            self._take_weights()
            seen = part.pictures.centres(inference.BATCH)
            logits = inference.logits(self.network_, seen, self.preprocessing_, self.precision_)
            train = inference.judged(logits, part.targets.cpu())
            val = self._judge(held)
        self._record(EpochRecord(0, seconds, self._session.rate(0), *train, *val), on_epoch)

    def _close_epoch(self, part: loop.TrainingPart, held: Held | None, on_epoch: OnEpoch | None) -> None:
        """Take the weights as trained so far, averaged where asked, and judge them on the validation part."""
        progress = self._session.progress
        self._take_weights()
        # A head that learns alone must be judged on the statistics that it learned with.
        if self.batch_norm == "reestimate" and not self._session.only_head(progress.epoch):
            seen = part.pictures.centres(inference.BATCH)
            batchnorm.reestimate(self.network_, (self.preprocessing_.normalize(batch) for batch in seen))
        val_loss, val_accuracy = self._judge(held)
        self._refuse_divergence(val_loss)
        record = EpochRecord(
            progress.epoch,
            progress.seconds,
            self._session.rate(progress.epoch),
            progress.sums.mean_loss,
            progress.sums.accuracy,
            val_loss,
            val_accuracy,
        )
        self._record(record, on_epoch)

    def _refuse_divergence(self, val_loss: float | None) -> None:
        """Raise DivergenceError where something of what was learned, or is learned with, is no number.

        The loss tells of the weights before a step: here are those after the last one, their average, the
        running statistics (estimated again, perhaps), and the optimizer's memory.
        """
        session = self._session
        held = [*session.network.state_dict().values(), *self.network_.state_dict().values()]
        for slots in session.optimizer.state.values():
            held += [value for value in slots.values() if torch.is_tensor(value)]
        session.progress.refuse_divergence(
            [val_loss],
            all_finite(held),
            epoch=session.progress.epoch,
            learning_rate=session.settings.learning_rate,
            remedy=loop.REMEDY,
        )

    def _take_weights(self) -> None:
        live, average = self._session.network, self._session.average
        self._fit_head(self._session.progress.epoch)
        self.network_.load_state_dict(live.state_dict() | (average.shadow if average is not None else {}))

    def _record(self, record: EpochRecord, on_epoch: OnEpoch | None) -> None:
        progress, network = self._session.progress, self.network_
        progress.close_epoch(
            record,
            lambda: {name: tensor.detach().clone() for name, tensor in network.state_dict().items()},
            score(record, classes=len(self.classes_), probed=self.probe_ is not None),
            keep=self.keep,
        )
        self.chosen_epoch_ = progress.kept_epoch
        if on_epoch is not None:
            on_epoch(record, self)
        if self._deadline is not None:
            self.plan_ = self._deadline.revised(record.epoch)
            self._session.settings = replace(self._session.settings, epochs=self.plan_.epochs)

    def _keep_best(self) -> None:
        progress = self._session.progress
        self._session.features = None  # the largest thing there, and made anew where training goes on
        self.chosen_epoch_ = progress.kept_epoch
        self.kept_ = "probe" if self.probe and progress.kept_epoch == 0 else "fine-tuned"
        if self.kept_ != "probe":
            self._remembered = {}  # the network makes others of them by now
        self._fit_head(progress.kept_epoch)
        if progress.kept is not None:
            self.network_.load_state_dict(progress.kept)

    def _head_at(self, epoch: int) -> int | None:
        """Return the hidden units of the head after this epoch: the probe's head is always linear."""
        return None if epoch == 0 and self.probe else self.head_hidden

    def _fit_head(self, epoch: int) -> None:
        """Give network_ the kind of head that it has after this epoch; its weights come next."""
        construction.put_head(
            self.network_, len(self.classes_), self._head_at(epoch), self.dropout, self.seed_
        )

    def _judge(self, held: Held | None) -> tuple[float, float] | tuple[None, None]:
        if held is None:
            return None, None
        features = self._session.features
        if features is not None and features.val is not None:
            logits = inference.head_logits(self.network_, features.val)
        else:
            logits = inference.logits(self.network_, held[0], self.preprocessing_, self.precision_)
        return inference.judged(logits, torch.from_numpy(held[1]))


def score(record: EpochRecord, *, classes: int, probed: bool) -> Score | None:
    """Return what makes an epoch better than another, larger being better; None for one never to be kept.

    Best is the higher accuracy on the validation set, and among equals the lower loss; the probe (epoch 0
    where probed) gives way to a higher accuracy only: with few pictures equals are common. Without a
    validation set it is the last epoch: accuracy on augmented pictures says little, and the probe has learned
    its pictures by heart. An epoch whose loss has exploded never is: what it gets right is luck.
    """
    if record.epoch > 0 and has_exploded(record.train_loss, classes):
        return None
    if record.val_accuracy is None or record.val_loss is None:
        return float(record.epoch), 0.0
    # No loss is below 0: none makes an equal better than the probe.
    return record.val_accuracy, 0.0 if probed and record.epoch == 0 else -record.val_loss
