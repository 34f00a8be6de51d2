"""A plan kept to its time: epochs dropped and added, and a probe planned anew, by hand-worked numbers."""

import pytest
from tests.classifiers.finetune.machines import FLOWERS

from linnaea.classifiers.finetune import budget
from linnaea.classifiers.finetune.budget import plan
from linnaea.classifiers.finetune.deadline import Deadline


def test_a_plan_in_time_is_left_alone() -> None:
    deadline = Deadline(FLOWERS, plan(FLOWERS, 1800), 1800, started=0.0)
    for epoch in range(37):
        # 54 for the probe, 45 an epoch, 4 % slower than measured.
        assert deadline.revise(epoch, 54 + epoch * 45 * 1.04) is deadline.plan
    assert deadline.plan.epochs == 36
    assert deadline.plan.notes == ()


def test_a_slower_machine_drops_epochs_and_a_faster_one_adds_some() -> None:
    deadline = Deadline(FLOWERS, plan(FLOWERS, 1800), 1800, started=0.0)
    deadline.revise(0, 54)
    # 60 seconds an epoch instead of 45: 1,728 - 114 - 20 = 1,594 seconds are 26 epochs more.
    assert deadline.revise(1, 54 + 60).epochs == 27
    assert deadline.plan.notes == (
        "The plan was 36 epochs; after epoch 1 it became 27, "
        "because an epoch takes 1.3 times as long as was measured before.",
    )
    quick = Deadline(FLOWERS, plan(FLOWERS, 900), 900, started=0.0)
    planned = quick.plan.epochs
    quick.revise(0, 54)
    assert quick.revise(1, 54 + 20).epochs > planned
    # 54 and 40 epochs of 5 seconds and the judgement: all that helps, long before the 900.
    enough = Deadline(FLOWERS, plan(FLOWERS, 900), 900, started=0.0)
    enough.revise(0, 54)
    assert enough.revise(1, 54 + 5).epochs == budget.MAX_EPOCHS
    assert enough.plan.twice == (
        "More time would not help: 40 epochs, the most that are known to bring anything, "
        "are over after about 4 min 34 s."
    )


def test_a_training_never_ends_late_by_more_than_an_epoch_whatever_happens() -> None:
    deadline = Deadline(FLOWERS, plan(FLOWERS, 900), 900, started=0.0)
    now, epoch, pace = 54.0, 0, 1.0
    while epoch < deadline.revise(epoch, now).epochs:
        pace *= 1.03  # a machine that grows slower and slower
        now, epoch = now + 45 * pace, epoch + 1
    assert 0.85 * 900 < now + FLOWERS.judgement(True) <= 1.1 * 900


def test_a_probe_that_took_all_the_time_is_the_end() -> None:
    deadline = Deadline(FLOWERS, plan(FLOWERS, 900), 900, started=0.0)
    assert deadline.revise(0, 890).epochs == 0
    assert deadline.plan.notes == ("The plan was 17 epochs; after the probe it became 0.",)


@pytest.mark.parametrize(("pace", "views"), [(1.0, 2.5), (0.9, 3), (0.8, 3.5), (1.3, 1.25), (3.0, 1)])
def test_a_probe_alone_is_planned_anew_at_the_pace_of_its_first_view(pace: float, views: float) -> None:
    deadline = Deadline(FLOWERS, plan(FLOWERS, 60), 60, started=0.0)
    first = pace * 10  # features of 1,000 pictures at 0.01
    assert deadline.settle(first, now=first) == views == deadline.plan.views
    if abs(views - 2.5) < 1:
        assert deadline.plan.notes == ()
        return
    plan_was = "The plan was the probe only, on 2.5 views of each picture on average"
    assert deadline.plan.notes[0].startswith(f"{plan_was}; the first view took {pace:.2g} times as ")
    assert deadline.plan.settings["views"] == views
    if pace < 3:
        # Within a quarter of a view of what is aimed at, if the rest goes at this pace too.
        end = pace * (26 + views * 12.5)
        assert 57.6 - pace * 12.5 / 4 < end <= 57.6


def test_a_first_view_that_is_far_too_fast_leaves_time_for_fine_tuning() -> None:
    planned = plan(FLOWERS, 150)
    assert planned.epochs == 0
    deadline = Deadline(FLOWERS, planned, 150, started=0.0)
    views = deadline.settle(3.0, now=3.0)  # at 0.3 times the seconds
    chosen = deadline.plan
    assert (chosen.train_from, chosen.epochs, chosen.views) == ("blocks.3", 4, views)
    assert "0.3 times as long as was measured before, and it became the last stages, " in chosen.notes[0]
    # Training was not seen yet: 1,000 pictures at 0.025; but judging is faster: 500 at 0.003.
    assert chosen.reason.startswith("An epoch takes about 26 s here")
    # What comes after the probe believes the same: no epoch is taken back, even if the rest of it was slower.
    end = 3 + 0.3 * (FLOWERS.probe(views) - 10)
    assert deadline.probed(end, now=end) is chosen
    assert deadline.revise(0, end).epochs >= 4


def test_a_plan_that_is_not_the_probe_alone_waits_for_the_end_of_the_probe() -> None:
    planned = plan(FLOWERS, 900)
    tuned = Deadline(FLOWERS, planned, 900, started=0.0)
    assert tuned.settle(1.0, now=1.0) == planned.views
    assert tuned.plan is planned


def test_a_probe_that_ends_far_too_early_is_gone_on_from() -> None:
    planned = plan(FLOWERS, 145)
    # 1 for the whitening, 9 views of 1,000 pictures at 0.0125, 500 judged at 0.01.
    assert (planned.epochs, planned.views, FLOWERS.probe(9)) == (0, 9, pytest.approx(118.5))
    deadline = Deadline(FLOWERS, planned, 145, started=0.0)
    # In half the time: of the 79.95 that are left judging takes 10, and an epoch of the last stages 15.
    found = deadline.probed(59.25, 59.25)
    assert (found.train_from, found.epochs, found.views) == ("blocks.3", 4, 9)
    assert found.seconds == pytest.approx(59.25 + 4 * 15 + 10)
    assert found.notes == (
        "The plan was the probe only; it took 0.5 times as long as was measured before, "
        "which left time for 4 epochs.",
    )
    # What is revised later keeps what was told.
    deadline.revise(0, 59.25)
    later = deadline.revise(1, 59.25 + 30)
    assert later.notes[0] == found.notes[0]
    assert later.notes[1].startswith("The plan was 4 epochs; after epoch 1 it became ")


@pytest.mark.parametrize(("seconds", "took"), [(150, 118.5), (150, 100), (1800, 10)])
def test_a_probe_that_ends_in_time_or_is_not_alone_changes_no_plan(seconds: float, took: float) -> None:
    planned = plan(FLOWERS, seconds)
    assert Deadline(FLOWERS, planned, seconds, started=0.0).probed(took, took + 12) is planned


def test_what_is_judged_at_the_end_is_as_fast_as_the_probe_was() -> None:
    planned = plan(FLOWERS, 300)
    assert (planned.train_from, planned.epochs, planned.views) == ("blocks.3", 7, 4)
    deadline = Deadline(FLOWERS, planned, 300, started=0.0)
    assert deadline.probed(FLOWERS.probe(4) / 2, 30) is planned
    # 1,000 pictures at 0.01 and 0.01 seconds, by half.
    assert deadline.work.judgement(True) == pytest.approx(10)
    # 288 - 30 - 10 are left, and an epoch takes 25 seconds and half of 5 for its judging.
    assert deadline.revise(0, 30).epochs == 9


@pytest.mark.parametrize(("now", "epochs"), [(35, 8), (45, 7)])
def test_long_epochs_may_end_within_the_reserve_but_not_after_the_budget(now: float, epochs: int) -> None:
    # Seven epochs of 30 seconds and judging in 20 would be over after 265 of 300 seconds, eight after 295;
    # ten seconds later after 275 and 305.
    deadline = Deadline(FLOWERS, plan(FLOWERS, 300), 300, started=0.0)
    assert deadline.revise(0, now).epochs == epochs
