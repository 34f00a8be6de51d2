"""A budget: from seconds to a plan by hand-worked numbers, the clock watched, and a training that obeys."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from linnaea.classifiers.finetune import budget, speed
from linnaea.classifiers.finetune.backbones import build_backbone
from linnaea.classifiers.finetune.budget import Budget, Plan, Work, plan
from linnaea.errors import SettingError

# Near MobileNet v2 on two cores, in round numbers: 100 views a second, 25 pictures trained.
FLOWERS = Work(
    train=1000,
    val=500,
    after=1000,
    after_tuning=1000,
    passes=1,
    batch_size=16,
    feature=0.01,
    decode=0.01,
    row=0.0004,
    whitened=0.0005,
    whitening=1.0,
    steps={"all": 0.04, "blocks.3": 0.025},
)


def test_the_cost_of_each_stage_is_what_a_hand_makes_it() -> None:
    # 1 for the whitening once, 4 views of 1,000 pictures at 0.0125 (0.01 for the features, 0.0005 for their
    # whitening, 0.0004 for each of five regressions), 500 evaluated at 0.01.
    assert FLOWERS.probe(4) == pytest.approx(1 + 50 + 5)
    # Nothing to choose on: one regression, and the one that training starts from.
    assert replace(FLOWERS, val=0).probe(4) == pytest.approx(1 + 45.2)
    # An epoch: 1,000 pictures at 0.04 or 0.025, and 500 evaluated at 0.01.
    assert FLOWERS.epoch("all") == pytest.approx(45)
    assert FLOWERS.epoch("blocks.3") == pytest.approx(30)
    # 1,000 pictures after fit, decoded and predicted; the second time their mirrors too.
    assert FLOWERS.evaluation(True) == FLOWERS.evaluation(False) == pytest.approx(20)
    assert replace(FLOWERS, passes=2).evaluation(True) == pytest.approx(30)
    # What only fine-tuning leaves to evaluate is on its account alone.
    more = replace(FLOWERS, after_tuning=3000)
    assert (more.evaluation(False), more.evaluation(True)) == pytest.approx((20, 60))
    assert plan(more, 90).seconds == plan(FLOWERS, 90).seconds
    assert plan(more, 1800).epochs < plan(FLOWERS, 1800).epochs


def test_a_short_budget_buys_a_probe_on_as_many_views_as_fit() -> None:
    # 90 · 0.96 = 86.4 seconds, 10 used, 20 for the end: 56.4 are enough for 4 views (56), not for 4.25.
    short = plan(FLOWERS, 90, used=10)
    assert (short.train_from, short.epochs, short.views) == ("probe", 0, 4)
    assert short.seconds == pytest.approx(10 + 56 + 20)
    assert short.summary == "the probe only, on 4 views of each picture"
    assert short.reason == ("An epoch of fine-tuning takes about 30 s here, and fewer than 3 do not pay.")


def test_a_probe_alone_fills_its_time_to_a_quarter_of_a_view() -> None:
    # 1 for the whitening, 5 to choose on, 20 for the end; a view of 1,000 pictures is 12.5.
    short = plan(FLOWERS, 60)
    assert (short.epochs, short.views) == (0, 2.5)
    assert short.seconds == pytest.approx(26 + 2.5 * 12.5)
    assert short.summary == "the probe only, on 2.5 views of each picture"


def test_a_long_budget_trains_everything() -> None:
    long = plan(FLOWERS, 1800)
    assert (long.train_from, long.ema) == ("all", 0.99)
    # 1,728 seconds, less 20 for the end and 56 for the probe on 4 views: 1,652 are 36 epochs of 45.
    assert (long.views, long.epochs) == (4, 36)
    assert long.seconds == pytest.approx(56 + 36 * 45 + 20)
    assert long.reason == "An epoch takes about 45 s here, and 36 fit."


def test_between_the_two_the_last_stages_are_trained() -> None:
    # Everything needs 6 epochs of 45 seconds, the last stages 3 of 30.
    order = {"probe": 0, "blocks.3": 1, "all": 2}
    places = [order[plan(FLOWERS, seconds).train_from] for seconds in range(60, 1200, 10)]
    assert places == sorted(places)
    assert set(places) == {0, 1, 2}
    # Three epochs are 90 seconds, with one view before (18.5) and 20 for the end: 128.5 of 134 · 0.96.
    assert plan(FLOWERS, 133).epochs == 0
    assert (plan(FLOWERS, 134).train_from, plan(FLOWERS, 134).epochs) == ("blocks.3", 3)


def test_no_plan_is_late_and_more_time_never_means_fewer_epochs_of_the_same_kind() -> None:
    plans = [plan(FLOWERS, seconds) for seconds in range(60, 3000, 20)]
    assert all(made.seconds <= seconds for made, seconds in zip(plans, range(60, 3000, 20), strict=True))
    for earlier, later in itertools.pairwise(plans):
        # A probe on more views costs the time of an epoch at most.
        assert earlier.train_from != later.train_from or later.epochs >= earlier.epochs - 1
    assert plans[-1].epochs == budget.MAX_EPOCHS
    assert plans[-1].reason == "An epoch takes about 45 s here, and 40 fit, the most that are planned."


def test_stages_that_suit_a_backbone_are_trained_however_much_time_there_is() -> None:
    suited = replace(FLOWERS, steps={"blocks.3": 0.025})
    assert {plan(suited, seconds).train_from for seconds in range(400, 3000, 50)} == {"blocks.3"}


def test_a_budget_that_is_too_short_for_anything_gets_the_least_and_says_so() -> None:
    least = plan(FLOWERS, 20)
    assert (least.epochs, least.views) == (0, 1)
    assert least.reason == "That is the least there is, and takes longer than the budget here."


def test_a_machine_too_slow_to_be_measured_in_training_gets_a_probe() -> None:
    slow = replace(FLOWERS, steps={})
    assert plan(slow, 600).reason == "Fine-tuning takes far more than 10 min here."


def test_few_pictures_are_left_to_the_probe() -> None:
    few = plan(replace(FLOWERS, train=50, val=50, after=0), 3600)
    assert (few.train_from, few.views) == ("probe", 16)
    assert few.reason == "50 pictures are too few for fine-tuning to pay."


def test_without_a_validation_set_fine_tuning_must_be_longer() -> None:
    # Nothing would tell that the probe was better.
    validated, not_validated = replace(FLOWERS, val=1), replace(FLOWERS, val=0)
    assert validated.least_epochs("blocks.3") == 3
    assert not_validated.least_epochs("blocks.3") == 5
    assert (validated.least_epochs("all"), not_validated.least_epochs("all")) == (6, 9)


def test_a_plan_comes_back_from_plain_values() -> None:
    made = replace(plan(FLOWERS, 600), notes=("one",))
    assert Plan.from_dict(made.as_dict()) == made
    assert made.as_dict()["summary"] == made.summary


def kept(seconds: float, work: Work = FLOWERS) -> Budget:
    return Budget(seconds, started=0.0, plan=plan(work, seconds), work=work)


def test_a_plan_in_time_is_left_alone() -> None:
    watched = kept(1800)
    for epoch in range(37):
        # 54 for the probe, 45 an epoch, 4 % slower than measured.
        assert watched.after_epoch(epoch, 54 + epoch * 45 * 1.04).epochs == 36
    assert watched.plan.notes == ()


def test_a_slower_machine_drops_epochs_and_a_faster_one_adds_some() -> None:
    slower = kept(1800)
    slower.after_epoch(0, 54)
    # 60 seconds an epoch instead of 45: 1,728 - 114 - 20 = 1,594 seconds are 26 epochs more.
    assert slower.after_epoch(1, 54 + 60).epochs == 27
    assert slower.plan.notes == (
        "The plan was 36 epochs; after epoch 1 it became 27, because an epoch takes about 1 min.",
    )
    quick = kept(900)
    planned = quick.plan.epochs
    quick.after_epoch(0, 54)
    assert quick.after_epoch(1, 54 + 20).epochs > planned
    # No plan has more epochs than are known to help, however fast they are.
    fast = kept(900)
    fast.after_epoch(0, 54)
    assert fast.after_epoch(1, 54 + 5).epochs == budget.MAX_EPOCHS


def test_a_training_never_ends_late_by_more_than_an_epoch_whatever_happens() -> None:
    watched = kept(900)
    now, epoch, pace = 54.0, 0, 1.0
    while epoch < watched.after_epoch(epoch, now).epochs:
        pace *= 1.03  # a machine that grows slower and slower
        now, epoch = now + 45 * pace, epoch + 1
    assert 0.85 * 900 < now + FLOWERS.evaluation(True) <= 1.1 * 900


def test_a_probe_that_took_all_the_time_is_the_end() -> None:
    watched = kept(900)
    assert watched.after_epoch(0, 890).epochs == 0
    assert watched.plan.notes == ("The plan was 17 epochs; after the probe it became 0.",)


@pytest.mark.parametrize(("now", "epochs"), [(215, 8), (225, 7)])
def test_long_epochs_may_end_within_the_reserve_but_not_after_the_budget(now: float, epochs: int) -> None:
    # Seven epochs of 30 seconds and evaluating in 20 would be over after 445 or 455 of 480 seconds; the
    # eighth after 475, within the reserve, or after 485.
    work = replace(FLOWERS, steps={"blocks.3": 0.025})
    watched = Budget(480, 0.0, Plan("blocks.3", 7, 4, 0.98, 440), work)
    assert watched.after_epoch(0, now).epochs == epochs


def test_the_last_stages_hold_nearly_all_weights() -> None:
    network = build_backbone("mobilenetv2", weights="none", classes=10).network
    # conv_stem to blocks.2 hold 57,000 of 2.2 million weights.
    assert speed.last_stages(network) == "blocks.3"
    assert speed.last_stages(build_backbone("resnet18", weights="none", classes=10).network) == "layer3.0"


def test_measuring_leaves_the_network_and_the_streams_as_they_were(
    classifier: Callable[..., Any], train_part: Any, val_part: Any
) -> None:
    plain = classifier(views=1, epochs=0).fit(*train_part, validation_data=val_part)
    before = torch.random.get_rng_state()
    # Too little for more than a probe on one view: the same training as the plain one.
    hasty = classifier(budget=1e-3).fit(*train_part, validation_data=val_part)
    assert torch.equal(before, torch.random.get_rng_state())
    assert hasty.plan_.views == 1
    assert hasty.kept_ == "probe"
    for name, tensor in plain.network_.state_dict().items():
        assert torch.equal(tensor, hasty.network_.state_dict()[name]), name


def test_a_probe_alone_gets_the_views_that_its_views_leave_time_for() -> None:
    # Without fine-tuning: 1 for the whitening, 5 to choose on, 20 for the end; a view is 10, and 2.5 for the
    # regressions. Of 96 seconds, 70 are left for views: 5.5.
    watched = Budget(100, 0.0)
    watched.work = replace(FLOWERS, steps={})
    watched.plan = plan(watched.work, 100)
    watched._planned_views = watched.plan.views
    assert watched.plan.views == 5.5
    # As expected: nothing changes.
    assert watched.after_view(1, 10.0, now=10.0) == watched.plan
    assert watched.plan.notes == ()
    # Twice as fast. Evaluation takes 2.5 and 15 seconds then; 77.5 are left for views of 5 and 2.5: 10.25.
    assert watched.after_view(2, 10.0, now=10.0).views == 10.25
    assert watched.plan.notes == (
        "The plan was 5.5 views of each picture; after 2 views it became 10.25 views.",
    )
    # Slower than at first: what is done cannot be undone.
    assert watched.after_view(3, 90.0, now=90.0).views == 3
    # And as planned again: there is nothing to say.
    assert watched.after_view(3, 30.0, now=30.0).views == 5.5
    assert watched.plan.notes == ()


def test_a_plan_is_made_after_the_first_view_and_carried_out(
    classifier: Callable[..., Any], shapes: Callable[..., Any], val_part: Any
) -> None:
    # That it ends in time is for `python -m benchmarks photographs` to measure: here, the machine may be
    # anybody's.
    epochs, heard, X_y = [], [], shapes(300, seed=1)
    tuned = classifier(budget=6.0, pictures_after=60, epochs=99).fit(
        *X_y,
        validation_data=val_part,
        on_epoch=lambda record, _: epochs.append(record.epoch),
        on_step=lambda stage, done, total, seconds: heard.append((stage, done, total)),
    )
    assert tuned.plan_.epochs == epochs[-1] == len(tuned.history_) - 1
    assert tuned.plan_.reason.endswith(".")
    assert tuned.plan_.seconds > 0
    # The bar counts to the plan's views, and to the pictures of the validation set.
    done = round(300 * tuned.plan_.views) + len(val_part[1])
    assert [each for each in heard if each[0] == "probe"][-1] == ("probe", done, done)
    # Never below the probe.
    assert tuned.score(*val_part) >= tuned.history_[0].val_accuracy


def test_that_there_is_no_time_for_anything_is_known_at_the_first_step(
    classifier: Callable[..., Any], train_part: Any
) -> None:
    hasty, heard = classifier(budget=1e-3), []
    hasty.fit(*train_part, on_step=lambda *_: heard.append((hasty.plan_, hasty.least_seconds_)))
    plan_then, least = heard[0]
    assert plan_then is None
    assert least > 1e-3
    # Once and for all: the clock tells the rest.
    assert {each for _, each in heard} == {least} == {hasty.least_seconds_}
    patient = classifier(budget=600.0, epochs=0).fit(*train_part)
    assert patient.least_seconds_ is None


def test_without_a_budget_there_is_no_plan(classifier: Callable[..., Any], train_part: Any) -> None:
    assert classifier(epochs=0, views=1).fit(*train_part).plan_ is None


def test_a_budget_without_a_probe_is_refused(classifier: Callable[..., Any], train_part: Any) -> None:
    with pytest.raises(SettingError) as refused:
        classifier(budget=60, probe=False).fit(*train_part)
    assert str(refused.value) == (
        "With a budget of 60 seconds there must be a probe; received probe=False. "
        "Leave probe out: it is what fine-tuning must beat to be kept."
    )


def test_a_training_that_goes_on_keeps_its_plan(
    classifier: Callable[..., Any], train_part: Any, val_part: Any
) -> None:
    states = []
    first = classifier(views=1, epochs=2).fit(
        *train_part, validation_data=val_part, on_epoch=lambda _, each: states.append(each.training_state())
    )
    arrays, values = states[-1]
    assert "plan" not in values
    made = Plan("all", 3, 1, 0.9, 60.0, notes=("as it was",))
    second, later = classifier(budget=6.0), []
    second.load_training_state(arrays, values | {"plan": made.as_dict()})
    second.fit(
        *train_part, validation_data=val_part, on_epoch=lambda _, each: later.append(each.training_state())
    )
    assert second.plan_ == made
    assert len(second.history_) == 1 + 3
    assert second.history_[:3] == first.history_
    # And it travels with the state.
    assert later[-1][1]["plan"] == made.as_dict()
