"""Progress and schedules: what closing an epoch does, when a training is over, what is called divergence."""

import json
import math

import pytest

from linnaea.classifiers.common.progress import TrainingProgress, by_accuracy, has_exploded
from linnaea.classifiers.common.schedules import rate_at
from linnaea.classifiers.contract import EpochRecord
from linnaea.errors import DataError, DivergenceError


def record(epoch, accuracy, loss=1.0):
    return EpochRecord(epoch, 1.0, 0.1, loss, accuracy, val_loss=loss, val_accuracy=accuracy)


def after(*accuracies, keep="best"):
    """A progress whose weights after each epoch are its number."""
    progress = TrainingProgress()
    for epoch, accuracy in enumerate(accuracies):
        progress.epoch, progress.step, progress.seconds = epoch, 7, 3.0
        progress.sums.add(2.0, 1.0, 1.0)
        assert progress.awaits_record
        line = record(epoch, accuracy)
        progress.close_epoch(line, lambda epoch=epoch: {"epoch": epoch}, by_accuracy(line), keep=keep)
    return progress


def test_closing_an_epoch_clears_its_steps_and_keeps_the_best_weights():
    progress = after(0.2, 0.6, 0.4)
    assert (progress.step, progress.seconds, progress.sums.weight) == (0, 0.0, 0.0)
    assert (progress.kept, progress.kept_epoch, progress.best_epoch) == ({"epoch": 1}, 1, 1)
    assert not progress.awaits_record
    # Never kept, however good.
    progress.close_epoch(record(3, 1.0), dict, None)
    assert progress.kept_epoch == progress.best_epoch == 1


def test_the_last_epoch_may_be_the_one_to_keep_and_patience_still_counts_from_the_best():
    progress = after(0.2, 0.6, 0.4, keep="last")
    assert (progress.kept, progress.kept_epoch, progress.best_epoch) == ({"epoch": 2}, 2, 1)
    assert progress.is_over(9, 1)


def test_it_is_over_after_all_epochs_or_when_patience_is():
    progress = after(0.2, 0.6, 0.4)
    assert progress.is_over(2, 0)
    assert not progress.is_over(3, 0)
    assert progress.is_over(3, 1)
    assert not progress.is_over(3, 2)


def test_it_comes_back_from_json():
    progress = after(0.2, 0.6, 0.4)
    progress.step, progress.seconds = 2, 0.5
    progress.sums.add(3.0, 2.0, 4.0)
    values = json.loads(json.dumps(progress.as_json()))
    assert TrainingProgress.from_json(values, progress.kept) == progress
    # Perceptrons had neither sums nor a score once.
    older = {
        name: value for name, value in values.items() if name not in ("sums", "best_score", "kept_epoch")
    }
    assert TrainingProgress.from_json(older, progress.kept).best_score == progress.best_score
    with pytest.raises(DataError, match=r"^The training state is incomplete \(KeyError: 'step'\)\."):
        TrainingProgress.from_json({"epoch": 1}, None)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_what_is_no_number_is_refused(loss):
    how = {"epoch": 3, "learning_rate": 0.5, "remedy": "pray"}
    progress = after(0.2)
    progress.refuse_divergence([1.0, None], True, **how, train_loss=9.9)
    for losses, finite in (([loss, 1.0], True), ([1.0, loss], True), ([1.0], False)):
        with pytest.raises(DivergenceError) as refused:
            progress.refuse_divergence(losses, finite, **how)
        assert str(refused.value) == (
            "Training diverged in epoch 3: loss or weights are no longer finite. "
            "Lower the learning rate (now 0.5), or pray."
        )
    with pytest.raises(DivergenceError, match=r"the loss is 10\.1, and was 1 before training"):
        progress.refuse_divergence([10.1], True, **how, train_loss=10.1)


def test_an_exploded_loss_is_three_times_that_of_guessing():
    assert [has_exploded(factor * math.log(5), 5) for factor in (1, 2.9, 3.1)] == [False, False, True]


def test_schedules():
    def at(done, schedule, warmup=0.0):
        return rate_at(done, base=0.8, schedule=schedule, warmup_epochs=warmup, epochs=10)

    assert [at(d, "constant") for d in (0, 5, 10)] == [0.8, 0.8, 0.8]
    # A cosine is at full height, at cos(60°), half, and zero.
    assert [at(d, "cosine") for d in (0, 10 / 3, 5, 10)] == pytest.approx([0.8, 0.6, 0.4, 0])
    assert [at(d, "cosine", 2) for d in (0, 1, 2, 6, 10)] == pytest.approx([0, 0.4, 0.8, 0.4, 0])
    assert [at(d, "constant", 2) for d in (0.5, 2, 9)] == pytest.approx([0.2, 0.8, 0.8])
