"""A budget instead of hyper-parameters: from seconds to what is trained, and for how long."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from linnaea.classifiers.finetune import loop
from linnaea.classifiers.finetune.probe import STRENGTHS
from linnaea.classifiers.finetune.speed import Speed
from linnaea.text import counted, duration

# More epochs than this bring nothing that was ever measured here.
MAX_EPOCHS = 40
TUNING_VIEWS = (1, 2, 3, 4, 8, 16)
# A probe alone fills its time to a quarter of a view: 1, 1.25, ..., 16.
PROBE_VIEWS = tuple(quarter / 4 if quarter % 4 else quarter // 4 for quarter in range(4, 65))
# More than four views before fine-tuning are for few pictures: so many rows at most.
MOST_ROWS = 4096
# What is planned for: a little less than the budget, so that a slow moment does not break it.
AIM = 0.96
# A plan is shortened when it would end later than this; in its first three quarters, while the rate is still
# high, lengthened when earlier. One that is complete and ends earlier leaves time that nothing is known for.
LATE, EARLY = 1.05, 0.93
# Pictures seen in training after which fine-tuning has caught up with the probe: two and a half epochs of the
# 1,020 of Flowers-102. Before that it has only unsettled the network.
EVEN = 2560
# With all the time in the world fine-tuning spares this share of the probe's mistakes (the last stages alone,
# where they are not what suits the backbone: assumed, so that everything is trained where twelve epochs and
# more are affordable); how fast it gets there; what a further doubling of the views spares.
SPARED, SPARED_BY_LAST = 0.65, 0.5
_POWER, _SPARED_BY_VIEWS = 0.75, 0.03
# What seeing a picture is worth where the first epochs see small ones.
WORTH_SMALL = 0.75
# Without a validation part nothing tells when the probe was better: fine-tuning must promise this much.
_UNJUDGED = 0.85


def mistakes(views: float, seen: float = 0.0, spared: float = SPARED) -> float:
    """Return the expected mistakes, as a share of those of a probe on one view of each picture.

    seen: float
        Pictures seen in fine-tuning, each counted at its worth; 0: the probe alone.
    spared: float
        What fine-tuning approaches, given time.

    A rule of thumb, r = 1 - spared·(1 - (2560/seen)^0.75), through what was measured on Flowers-102 with
    MobileNetV2: 5 epochs of 1,020 pictures of 160 pixels leave 0.67 of the probe's mistakes, 12 epochs at
    full size 0.53. It falls with every epoch, and is above 1 below EVEN.
    """
    probe = 1 - _SPARED_BY_VIEWS * math.log2(views)
    return probe if not seen else probe * (1 - spared * (1 - (EVEN / seen) ** _POWER))


@dataclass(frozen=True)
class Plan:
    """What is done with the time.

    train_from: str
        "probe" (no fine-tuning), "all", or a stage: it and everything after it.
    epochs: int
    views: int or float
        Of each training picture, for the probe; of 1.25, the second is of a quarter of the pictures.
    first_size: int or None
        Side of the pictures in the first epoch; None: full size from the start.
    ema: float
        A shorter memory for a short training.
    seconds: float
        Expected until the pictures_after are judged, what was used before the plan included.
    reason, twice: str
        Why, and what twice the time would probably buy; a sentence each.
    notes: tuple of str
        What became of the plan while it was carried out.
    """

    train_from: str
    epochs: int
    views: float
    first_size: int | None
    ema: float
    seconds: float
    reason: str = ""
    twice: str = ""
    notes: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """FineTuneClassifier's settings that the plan decides."""
        return {
            "train_from": "all" if self.train_from == "probe" else self.train_from,
            "epochs": self.epochs,
            "views": self.views,
            "first_size": self.first_size,
            "ema": self.ema,
            "head_first_epochs": 0,
        }

    @property
    def summary(self) -> str:
        """What is done, in a few words."""
        if not self.epochs:
            return f"the probe only, on {of_views(self.views)}"
        what = "everything" if self.train_from == "all" else f"the last stages, from {self.train_from} on"
        growing = f", pictures growing from {self.first_size} px" if self.first_size else ""
        probe = f"after a probe on {counted(self.views, 'view')}"
        return f"{what}, {counted(self.epochs, 'epoch')}{growing}, {probe}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, for run.json."""
        return asdict(self) | {"notes": list(self.notes), "summary": self.summary}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Plan":
        """Return the plan that as_dict wrote."""
        own = {name: values[name] for name in cls.__dataclass_fields__}
        return cls(**own | {"notes": tuple(values["notes"])})


@dataclass(frozen=True)
class Work:
    """How long each part of the work takes: the speed of the machine times the number of pictures.

    batch_size: int
        Pictures a step.
    after, after_tuning: int
        Pictures that are judged after fit, where the probe is all there is, and where there was fine-tuning.
    passes: int
        How often each picture is looked at after fit: twice, where its mirror is judged with it.
    suited: str
        The train_from that suits the backbone (construction.length_for).
    """

    speed: Speed
    train: int
    val: int = 0
    after: int = 0
    after_tuning: int = 0
    batch_size: int = 16
    passes: int = 1
    suited: str = "all"

    def probe(self, views: float) -> float:
        """Return the seconds of a probe on so many views, judged on the validation part."""
        s = self.speed
        # One more than are tried makes the head that fine-tuning starts from.
        regressions = 1 + (len(STRENGTHS) if self.val else 1)
        made = s.feature + regressions * s.regression
        return s.whitening + views * self.train * made + self.val * s.feature

    def tuning(self, train_from: str, first_size: int | None, epochs: int, done: int = 0) -> float:
        """Return the seconds of the epochs after the first `done`, each judged on the validation part."""
        sizes = [loop.size_at(epoch, first_size, self.speed.size, epochs) for epoch in range(1, epochs + 1)]
        steps = sum(self.speed.step(train_from, size) for size in sizes[done:])
        return self.train * steps + (epochs - done) * self.val * self.speed.feature

    def judgement(self, tuned: bool) -> float:
        """Return the seconds of decoding and predicting the pictures after fit."""
        pictures = self.after_tuning if tuned else self.after
        return pictures * (self.speed.decode + self.passes * self.speed.feature)

    def ways(self) -> list[tuple[str, int | None, float, float]]:
        """Return the kinds of fine-tuning: (train_from, first_size, worth of a picture seen, spared)."""
        s = self.speed
        found: list[tuple[str, int | None, float, float]] = []
        if s.whole is not None:
            found.append(("all", None, 1.0, SPARED))
        if s.small is not None:
            found.append(("all", s.first_size, WORTH_SMALL, SPARED))
        if s.last is not None and s.last_stage is not None:
            found.append((s.last_stage, None, 1.0, SPARED if s.last_stage == self.suited else SPARED_BY_LAST))
        return found


def plan(work: Work, seconds: float, used: float = 0.0, probed: float | None = None) -> Plan:
    """Return what is expected to make the fewest mistakes and ends within the seconds.

    used: float
        Seconds that are over already. They are gone with twice the time too, but only once.
    probed: float
        The number of views that is settled already; None: it is chosen.
    """
    chosen, expected = best(work, seconds * AIM - used, used, probed)
    later, then = best(work, 2 * seconds * AIM - used, used)
    return replace(
        chosen,
        reason=_reason(work, chosen, seconds),
        twice=_twice(chosen, later, then / expected, seconds),
    )


def best(work: Work, free: float, used: float, probed: float | None = None) -> tuple[Plan, float]:
    """Return the best plan of `free` seconds, and its expected mistakes; the rest is as in `plan`."""
    options = []
    for views in PROBE_VIEWS if probed is None else (probed,):
        took = work.probe(views) + work.judgement(False)
        # One view is the least there is, whether it can be afforded or not.
        if views == 1 or took <= free:
            took += used
            options.append((mistakes(views), Plan("probe", 0, views, None, 0.99, took)))
    for train_from, first_size, worth, spared in work.ways():
        for views in TUNING_VIEWS if probed is None else (probed,):
            if probed is None and views > 4 and views * work.train > MOST_ROWS:
                continue
            left = free - work.judgement(True) - work.probe(views)
            epochs = epochs_within(work, train_from, first_size, left)
            seen = epochs * work.train * worth
            if not epochs or (not work.val and mistakes(1, seen, spared) > _UNJUDGED):
                continue
            took = work.probe(views) + work.tuning(train_from, first_size, epochs)
            took += work.judgement(True) + used
            # 1/(1 - 0.99) steps are an eighth of twelve epochs of 1,020 pictures: more would lag behind.
            ema = 0.98 if epochs * work.train / work.batch_size < 780 else 0.99
            tuned = Plan(train_from, epochs, views, first_size, ema, took)
            options.append((mistakes(views, seen, spared), tuned))
    expected, best = min(options, key=lambda option: (option[0], option[1].seconds))
    return best, expected


def epochs_within(work: Work, train_from: str, first_size: int | None, seconds: float, done: int = 0) -> int:
    """Return the most epochs, of MAX_EPOCHS, whose part after the first `done` fits into the seconds."""
    fits = (
        epochs
        for epochs in range(MAX_EPOCHS, done, -1)
        if work.tuning(train_from, first_size, epochs, done) <= seconds
    )
    return next(fits, done)


def _reason(work: Work, chosen: Plan, seconds: float) -> str:
    if chosen.seconds > seconds:
        return (
            f"Even the least, a probe on one view, takes about {duration(chosen.seconds)} here: "
            f"more than the {duration(seconds)} that are left for it."
        )
    if work.speed.whole is None:
        return f"Fine-tuning long enough to beat the probe takes far more than {duration(seconds)} here."
    epoch = work.tuning("all", None, 1)
    if chosen.epochs:
        own = work.tuning(chosen.train_from, chosen.first_size, chosen.epochs) / chosen.epochs
        same = own > 0.97 * epoch or duration(own) == duration(epoch)
        saved = "" if same else f" instead of {duration(epoch)} for everything at full size"
        last = f"; more than {MAX_EPOCHS} bring nothing that is known" if chosen.epochs == MAX_EPOCHS else ""
        return f"An epoch takes about {duration(own)} here{saved}, and {chosen.epochs} fit{last}."
    least = -(-EVEN // work.train)
    if least > MAX_EPOCHS:
        return f"{counted(work.train, 'picture')} are too few for fine-tuning to beat the probe."
    return (
        f"An epoch of fine-tuning takes about {duration(epoch)} here, and it takes about "
        f"{counted(least, 'epoch')} to beat the probe{_rest(chosen, seconds)}."
    )


def _rest(chosen: Plan, seconds: float) -> str:
    """Say why a probe on the most views leaves time unused; "" where it does not."""
    unused = chosen.views == PROBE_VIEWS[-1] and chosen.seconds < EARLY * seconds
    return (
        f", for which the {duration(seconds - chosen.seconds)} after the probe are too short"
        if unused
        else ""
    )


def enough(chosen: Plan, end: float) -> str:
    """Say that everything that is known to help is over at `end` seconds."""
    if chosen.epochs:
        most = f"{counted(chosen.epochs, 'epoch')}, the most that are known to bring anything, are"
    else:
        most = f"a probe on {counted(chosen.views, 'view')}, the most that are known to bring anything, is"
    return f"More time would not help: {most} over after about {duration(end)}."


def _twice(chosen: Plan, later: Plan, share: float, seconds: float) -> str:
    """Say what twice the time would bring, if its plan leaves this share of the mistakes."""
    if later.settings == chosen.settings and chosen.seconds < EARLY * seconds:
        return enough(chosen, chosen.seconds)
    if later.settings == chosen.settings:
        return "Twice the time would probably bring nothing."
    fewer = round(100 * (1 - share))
    gain = f"about {fewer} % fewer mistakes" if fewer >= 2 else "hardly fewer mistakes"
    return f"Twice the time would probably buy {gain}: {later.summary}."


def of_views(views: float) -> str:
    """Return "2 views of each picture" or "2.25 views of each picture on average"."""
    return f"{counted(views, 'view')} of each picture{'' if views == int(views) else ' on average'}"
