"""A budget instead of hyper-parameters: seconds → what is trained and for how long, and the clock watched.

A batch's features tell before anything is done whether there is time for the least plan. The probe's first
view of each picture comes next, because every plan has one and it tells how fast the machine is. Then
training is measured for a moment and the plan is made. After each further view, and at the end of each epoch,
it is shortened or lengthened to what the views or the epochs really take.
"""

import math
import time
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from linnaea import text
from linnaea.classifiers.finetune import construction, loop, speed
from linnaea.classifiers.finetune.pictures import sequence_of
from linnaea.classifiers.finetune.probe import STRENGTHS

# No plan has more epochs: what was measured here gained nothing after them.
MAX_EPOCHS = 40
# Fine-tuning unsettles a network before it improves it. It is planned where the training set can be seen
# often enough: so many pictures in all, and two epochs at least. All layers need twice as many as the last
# stages, and half as many again are asked for without a validation set, which could take it back.
LEAST_SEEN, LEAST_EPOCHS, UNVALIDATED = 3000, 2, 1.5
# The probe before a fine-tuning gets the most of these views of each picture that take a fifth of the time;
# a probe alone fills its time to a quarter of a view: 1, 1.25, …, 16.
TUNING_VIEWS, PROBE_SHARE = (4, 2, 1), 0.2
PROBE_VIEWS = tuple(quarter / 4 if quarter % 4 else quarter // 4 for quarter in range(4, 65))
# Shares of the budget: what is planned for, so that a slow moment does not break it; the forecast end after
# which a plan is shortened, and before which it is lengthened, while the learning rate is still high.
AIM, LATE, EARLY, STILL_HIGH = 0.96, 1.05, 0.93, 0.75


@dataclass(frozen=True)
class Plan:
    """What is done with the time.

    train_from: str
        "probe" (no fine-tuning), "all", or a stage: it and everything after it.
    epochs: int
    views: int or float
        Of each training picture, for the probe; of 1.25, the second is of a quarter of the pictures.
    ema: float
        Decay of the average of the weights: a shorter memory for a short training.
    seconds: float
        Expected until everything is evaluated, from the beginning of the budget.
    reason: str
        Why, in a sentence.
    notes: tuple of str
        How it changed while it was carried out.
    """

    train_from: str
    epochs: int
    views: float
    ema: float
    seconds: float
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """FineTuneClassifier's settings that the plan decides."""
        train_from = "all" if self.train_from == "probe" else self.train_from
        own = {"train_from": train_from, "epochs": self.epochs, "views": self.views, "ema": self.ema}
        return own | {"first_size": None, "head_first_epochs": 0}

    @property
    def summary(self) -> str:
        """What is done, in a few words."""
        views = text.counted(self.views, "view")
        if not self.epochs:
            return f"the probe only, on {views} of each picture"
        what = "everything" if self.train_from == "all" else f"the last stages, from {self.train_from} on"
        return f"{what}, {text.counted(self.epochs, 'epoch')}, after a probe on {views}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, for run.json."""
        return asdict(self) | {"notes": list(self.notes), "summary": self.summary}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Plan":
        """Return the plan that as_dict wrote."""
        own = {each.name: values[each.name] for each in fields(cls)}
        return cls(**own | {"notes": tuple(values["notes"])})


@dataclass(frozen=True)
class Work:
    """What there is to do, and how long it takes on this machine.

    train, val: int
        Pictures of the training and the validation set.
    after, after_tuning: int
        Pictures that are evaluated after fit, where the probe is all there is, and after fine-tuning.
    passes: int
        How often each of these is looked at: twice where its mirror is, too.
    batch_size: int
        Pictures a step.
    feature, decode: float
        Seconds of a picture's view and its features; of reading it from where X keeps it.
    row, whitened, whitening: float
        Seconds of a row of features in one of the probe's regressions; of its whitening; of whitening once.
    steps: dict
        train_from → seconds of training one picture, what suits the backbone first. Empty where features
        alone tell that it cannot be afforded.
    """

    train: int
    val: int
    after: int
    after_tuning: int
    passes: int
    batch_size: int
    feature: float
    decode: float
    row: float
    whitened: float
    whitening: float
    steps: dict[str, float]

    def probe(self, views: float) -> float:
        """Return the seconds of a probe on so many views, evaluated on the validation set."""
        # One more than are tried makes the head that fine-tuning starts from.
        regressions = 1 + (len(STRENGTHS) if self.val else 1)
        rows = views * self.train * (self.feature + self.whitened + regressions * self.row)
        return self.whitening + rows + self.val * self.feature

    def epoch(self, train_from: str) -> float:
        """Return the seconds of an epoch, evaluated on the validation set."""
        return self.train * self.steps[train_from] + self.val * self.feature

    def evaluation(self, tuned: bool) -> float:
        """Return the seconds of what is evaluated after fit."""
        pictures = self.after_tuning if tuned else self.after
        return pictures * (self.decode + self.passes * self.feature)

    def least_epochs(self, train_from: str) -> int:
        """Return the fewest epochs for which fine-tuning from there is planned."""
        seen = LEAST_SEEN * (2 if train_from == "all" else 1) * (1 if self.val else UNVALIDATED)
        return max(LEAST_EPOCHS, math.ceil(seen / self.train))


def plan(work: Work, seconds: float, used: float = 0.0) -> Plan:
    """Return what fits into the seconds: fine-tuning where there is time for it, or else the probe alone.

    used: float
        Seconds that are over, without those of the probe.
    """
    free = AIM * seconds - used
    affordable = (n for n in TUNING_VIEWS if work.probe(n) <= PROBE_SHARE * seconds)
    views: float = next(affordable, TUNING_VIEWS[-1])
    spent = work.probe(views) + work.evaluation(True)
    for train_from in work.steps:
        epochs = min(int(max(free - spent, 0) / work.epoch(train_from)), MAX_EPOCHS)
        if epochs >= work.least_epochs(train_from):
            # 1/(1 - 0.99) steps are an eighth of twelve epochs of 1,020 pictures: more would lag behind.
            ema = 0.98 if epochs * work.train / work.batch_size < 780 else 0.99
            epoch = work.epoch(train_from)
            most = ", the most that are planned" if epochs == MAX_EPOCHS else ""
            reason = f"An epoch takes about {text.duration(epoch)} here, and {epochs} fit{most}."
            return Plan(train_from, epochs, views, ema, used + spent + epochs * epoch, reason)
    free -= work.evaluation(False)
    # One view is the least there is, whether there is time for it or not.
    views = max((n for n in PROBE_VIEWS if work.probe(n) <= free), default=PROBE_VIEWS[0])
    took = used + work.probe(views) + work.evaluation(False)
    return Plan("probe", 0, views, 0.99, took, _why_no_tuning(work, seconds, took))


def _why_no_tuning(work: Work, seconds: float, took: float) -> str:
    if took > seconds:
        return "That is the least there is, and takes longer than the budget here."
    fewest = work.least_epochs("the last stages")
    if fewest > MAX_EPOCHS:
        return f"{text.counted(work.train, 'picture')} are too few for fine-tuning to pay."
    if not work.steps:
        return f"Fine-tuning takes far more than {text.duration(seconds)} here."
    cheapest = min(work.steps, key=lambda train_from: work.epoch(train_from) * work.least_epochs(train_from))
    epoch, fewest = text.duration(work.epoch(cheapest)), work.least_epochs(cheapest)
    return f"An epoch of fine-tuning takes about {epoch} here, and fewer than {fewest} do not pay."


@dataclass(eq=False)
class Budget:
    """A plan, and the clock that it is kept to; None before the probe's first view.

    least: float or None
        Seconds that the least plan takes from the beginning on, where they are more than there are.

    The learning rate goes on falling along its cosine to the last epoch that is left, so that a training that
    must end earlier ends with small steps all the same.

    started: float
        When the budget's time began, by time.perf_counter.
    """

    seconds: float
    started: float
    plan: Plan | None = None
    work: Work | None = None
    least: float | None = None
    _ends: list[float] = field(default_factory=list)  # seconds from the start, of epoch 0 and each after it
    _planned: int = 0  # epochs, before the first
    _planned_views: float = 0  # after the first

    def foresee(
        self,
        network: Any,
        settings: dict[str, Any],
        train: loop.TrainingSet,
        X: Any,
        *,
        val: int,
    ) -> None:
        """Measure for a moment, before anything is done, whether there is time for the least plan: see least.

        settings: as in make_plan.
        """
        after, tuned = int(settings["pictures_after"]), settings["pictures_after_tuning"]
        # Not read yet: what is timed is reading them.
        sample = sequence_of(X, train.pictures.preprocessing, keep=False)[: 64 if after else 0]
        row, whitened, whitening = speed.probe_seconds(network, train.classes, len(train))
        self.work = Work(
            train=len(train),
            val=val,
            after=after,
            after_tuning=after if tuned is None else tuned,
            passes=2 if settings["tta"] == "flip" else 1,
            batch_size=settings["batch_size"] * settings["accumulate"],
            feature=speed.feature_seconds(network, train.pictures, settings["precision"]),
            decode=speed.decode_seconds(sample, train.pictures),
            row=row,
            whitened=whitened,
            whitening=whitening,
            steps={},
        )
        self._notice(plan(self.work, self.seconds, time.perf_counter() - self.started))

    def _notice(self, made: Plan) -> None:
        # Once: a second number would contradict the first.
        if self.least is None and made.seconds > self.seconds:
            self.least = made.seconds

    def make_plan(
        self,
        network: Any,
        settings: dict[str, Any],
        train: loop.TrainingSet,
        *,
        seed: int,
        first_view: float,
    ) -> Plan:
        """Measure what training takes, and return the plan; the probe's first view took so many seconds.

        settings: dict
            See Learner.
        """
        assert self.work is not None
        feature = first_view / len(train)
        steps: dict[str, float] = {}
        # A step takes three times a forward pass, roughly, and never less than once and a half.
        if 1.5 * feature * LEAST_SEEN <= self.seconds:
            suited = construction.length_for(settings["backbone"], None, None)[0]
            ways = (suited, speed.last_stages(network) if suited == "all" else None)
            for train_from in filter(None, ways):
                # Full rates from the first step on, every layer in the mode that it will be in.
                own = settings | {"train_from": train_from, "first_size": None, "head_first_epochs": 0}
                learner = construction.new_learner(network, own, train, seed)
                steps[train_from] = speed.step_seconds(learner, train)
        self.work = replace(self.work, feature=feature, steps=steps)
        used = time.perf_counter() - self.started - first_view
        self.plan = plan(self.work, self.seconds, used)
        self._notice(self.plan)
        self._planned_views = self.plan.views
        return self.plan

    def after_view(self, views: float, seconds: float, now: float | None = None) -> Plan:
        """Return the plan after views that took so many seconds: a probe alone gets more or fewer of them.

        now: as in after_epoch.
        """
        assert self.plan is not None
        assert self.work is not None
        now = time.perf_counter() - self.started if now is None else now
        self.work = replace(self.work, feature=seconds / (views * self.work.train))
        again = plan(self.work, self.seconds, now - seconds)
        number = max(again.views, views)
        if self.plan.train_from == again.train_from == "probe" and number != self.plan.views:
            # Whole ones come as 4.0 from what counts them.
            was, became, after = (
                text.counted(int(each) if each == int(each) else each, "view")
                for each in (self._planned_views, number, views)
            )
            note = f"The plan was {was} of each picture; after {after} it became {became}."
            notes = () if number == self._planned_views else (note,)
            self.plan = replace(self.plan, views=number, seconds=again.seconds, notes=notes)
        return self.plan

    def after_epoch(self, done: int, now: float | None = None) -> Plan:
        """Return the plan for the rest, `done` epochs being over; epoch 0 is the probe.

        now: float
            Seconds since the budget's time began; None: what the clock says.
        """
        assert self.plan is not None
        assert self.work is not None
        now = time.perf_counter() - self.started if now is None else now
        self._ends.append(now)
        if len(self._ends) == 1:
            self._planned = self.plan.epochs
        if done >= self.plan.epochs:
            return self.plan
        old, epoch, evaluation = self.plan, self._epoch(), self.work.evaluation(True)
        end = now + (old.epochs - done) * epoch + evaluation
        early = end < EARLY * self.seconds and done <= STILL_HIGH * old.epochs
        if early or end > LATE * self.seconds:
            left = self.seconds - now - evaluation
            epochs = done + max(int((left - (1 - AIM) * self.seconds) / epoch), 0)
            if early and epochs <= old.epochs and (old.epochs + 1 - done) * epoch <= left:
                # The next epoch would end within the reserve: better there than early.
                epochs = old.epochs + 1
            epochs = min(epochs, MAX_EPOCHS)
            if epochs != old.epochs:
                self.plan = replace(old, epochs=epochs, notes=self._notes(done, epochs, epoch))
        return self.plan

    def _notes(self, done: int, epochs: int, epoch: float) -> tuple[str, ...]:
        if epochs == self._planned:
            return ()
        after = f"epoch {done}" if done else "the probe"
        why = f", because an epoch takes about {text.duration(epoch)}" if done else ""
        was = text.counted(self._planned, "epoch")
        return (f"The plan was {was}; after {after} it became {epochs}{why}.",)

    def _epoch(self) -> float:
        """Return the seconds of an epoch, by the last tenth of the budget, or by the last two epochs.

        One short epoch says little. Before the first has ended: as it was measured.
        """
        assert self.plan is not None
        assert self.work is not None
        if len(self._ends) < 2:
            return self.work.epoch(self.plan.train_from)
        recent = sum(end >= self._ends[-1] - self.seconds / 10 for end in self._ends)
        since = max(len(self._ends) - max(recent, 3), 0)
        return (self._ends[-1] - self._ends[since]) / (len(self._ends) - 1 - since)
