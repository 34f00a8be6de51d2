"""A plan kept to its time: what becomes of it as the work goes faster or slower than was measured."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

from linnaea.classifiers.finetune import construction, loop, speed
from linnaea.classifiers.finetune.budget import (
    AIM,
    EARLY,
    EVEN,
    LATE,
    MAX_EPOCHS,
    Plan,
    Work,
    enough,
    epochs_within,
    of_views,
    plan,
)
from linnaea.classifiers.finetune.pictures import sequence_of
from linnaea.text import counted


@dataclass(eq=False)
class Deadline:
    """Keeps a plan to its time: at every epoch's end it looks at the clock, and drops or adds epochs.

    The rate goes on falling along its cosine to the last epoch that is left, so that a training that must
    end earlier ends with small steps all the same.

    started: float
        When the budget's time began, by time.perf_counter.
    """

    work: Work
    plan: Plan
    seconds: float
    started: float
    _closed: list[tuple[int, float]] = field(default_factory=list)
    _kept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.planned = self.plan.epochs

    def settle(self, took: float, now: float | None = None) -> float:
        """Return the number of the probe's views; the first of each picture took so many seconds.

        A probe that was planned alone is planned anew, so that it fills the time at the pace that it goes at.
        """
        now = time.perf_counter() - self.started if now is None else now
        old, speed_ = self.plan, self.work.speed
        if old.epochs:
            return old.views
        pace = took / (self.work.train * speed_.feature)
        # The whole probe is taken to be as much faster, for now: `probed` knows more. Training has a pace of
        # its own (see _pace), and `revise` goes by what was measured.
        as_fast = speed_.times(pace)
        as_fast = replace(as_fast, whole=speed_.whole, last=speed_.last, small=speed_.small)
        new = plan(replace(self.work, speed=as_fast), self.seconds, now - took)
        if new.epochs or abs(new.views - old.views) >= 1:
            became = new.summary if new.epochs else of_views(new.views)
            self._kept = (
                f"The plan was the probe only, on {of_views(old.views)}; the first view took {pace:.2g} "
                f"times as long as was measured before, and it became {became}.",
            )
        self.plan, self.planned = replace(new, notes=self._kept), new.epochs
        return self.plan.views

    def probed(self, took: float, now: float | None = None) -> Plan:
        """Return the plan for the rest, the probe being over at `now` seconds, of which it took so many.

        A probe that was planned alone, and ended so early that there is time to beat it, is gone on from.
        """
        now = time.perf_counter() - self.started if now is None else now
        old, speed_ = self.plan, self.work.speed
        pace = took / self.work.probe(old.views)
        # All work is taken to be as much faster as the probe was; its own time is over in both.
        work = replace(self.work, speed=speed_.times(pace))
        # What is only looked at is like the probe; training has a pace of its own (see _pace).
        looked = replace(speed_, decode=pace * speed_.decode, feature=pace * speed_.feature)
        self.work = replace(self.work, speed=looked)
        if old.epochs or now + work.judgement(False) >= EARLY * self.seconds:
            return old
        spent = work.probe(old.views)
        new = plan(work, self.seconds, now - spent, old.views)
        if new.epochs:
            note = f"The plan was the probe only; it took {pace:.2g} times as long as was measured before"
            self.work, self.planned = work, new.epochs
            self._kept += (f"{note}, which left time for {counted(new.epochs, 'epoch')}.",)
            self.plan = replace(new, notes=self._kept)
        return self.plan

    def revise(self, done: int, now: float) -> Plan:
        """Return the plan for the rest, `done` epochs being over at `now` seconds from the start."""
        self._closed.append((done, now))
        plan = self.plan
        if done >= plan.epochs:
            return plan
        how = plan.train_from, plan.first_size
        pace = self._pace()
        end = now + pace * self.work.tuning(*how, plan.epochs, done) + self.work.judgement(True)
        left = self.seconds - now - self.work.judgement(True)
        epochs = plan.epochs
        if end > LATE * self.seconds or (end < EARLY * self.seconds and done <= 0.75 * plan.epochs):
            reserve = (1 - AIM) * self.seconds
            epochs = epochs_within(self.work, *how, (left - reserve) / pace, done)
        if epochs == plan.epochs and end < EARLY * self.seconds and done <= 0.75 * epochs:
            # Epochs are so long that the next would end within the reserve: better there than early.
            epochs = min(epochs + 1, epochs_within(self.work, *how, left / pace, done))
        if epochs != plan.epochs:
            self.plan = replace(plan, epochs=epochs, notes=self._kept + self._notes(done, epochs, pace))
            end = now + pace * self.work.tuning(*how, epochs, done) + self.work.judgement(True)
            if epochs == MAX_EPOCHS and end < EARLY * self.seconds:
                self.plan = replace(self.plan, twice=enough(self.plan, end))
        return self.plan

    def _notes(self, done: int, epochs: int, pace: float) -> tuple[str, ...]:
        if epochs == self.planned:
            return ()
        why = f", because an epoch takes {pace:.2g} times as long as was measured before" if done else ""
        after = f"epoch {done}" if done else "the probe"
        return (f"The plan was {counted(self.planned, 'epoch')}; after {after} it became {epochs}{why}.",)

    def _pace(self) -> float:
        """Return how much longer than the measured speed told the last tenth of the time took.

        Or the last two epochs, where they are longer: one short epoch says little.
        """
        last, now = self._closed[-1]
        recent = [i for i, (_, at) in enumerate(self._closed) if at >= now - self.seconds / 10]
        first, since = self._closed[max(min(recent[0], len(self._closed) - 3), 0)]
        if first == last:
            return 1.0
        how = self.plan.train_from, self.plan.first_size, self.plan.epochs
        return (now - since) / (self.work.tuning(*how, first) - self.work.tuning(*how, last))

    def revised(self, done: int) -> Plan:
        """Return the plan for the rest as it is now."""
        return self.revise(done, time.perf_counter() - self.started)


def begin(
    network: Any,
    settings: dict[str, Any],
    part: loop.TrainingSet,
    X: Any,
    *,
    pictures_val: int,
    precision: str,
    seed: int,
    started: float,
) -> Deadline:
    """Measure the machine, and plan for what is left of settings["budget"], which began at `started`."""
    seconds, after = float(settings["budget"]), int(settings["pictures_after"])
    after_tuning = settings["pictures_after_tuning"]
    # Not read yet: what is timed is reading them.
    sample = sequence_of(X, part.pictures.preprocessing, keep=False)[: 64 if after else 0]
    measured = speed.measure(
        network,
        settings,
        part,
        sample,
        precision=precision,
        seed=seed,
        # Of twice the time, which the plan tells of as well.
        affordable=2 * seconds / EVEN,
    )
    step = settings["batch_size"] * settings["accumulate"]
    passes = 2 if settings.get("tta") == "flip" else 1
    work = Work(
        measured,
        len(part),
        pictures_val,
        after,
        after if after_tuning is None else after_tuning,
        step,
        passes,
        suited=construction.length_for(settings["backbone"], None, None)[0],
    )
    return Deadline(work, plan(work, seconds, time.perf_counter() - started), seconds, started)
