"""The loop: what a step does to the weights, and what it leaves alone."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from linnaea.classifiers.finetune import loop
from linnaea.classifiers.finetune.loop import TrainingSet, micro_batches, size_at
from linnaea.classifiers.finetune.pictures import ResidentPictures
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.errors import SettingError

# Nothing by chance but the order, and plain gradient descent: what a step does can then be said exactly.
PLAIN = {
    "crop_scale": 1.0,
    "flip": False,
    "dropout": 0.0,
    "solver": "nesterov",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "layer_decay": 1.0,
    "schedule": "constant",
    "warmup_epochs": 0,
    "ema": None,
    "epochs": 1,
    "learning_rate": 0.01,
}


def weights_before_and_after(
    fitted: Any, pictures: Any, **changed: Any
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Train one epoch, and return the live weights on both sides of it."""
    weights = []

    def listen(record: Any, classifier: Any) -> None:
        state = classifier._trainer.learner.network.state_dict()
        weights.append({name: tensor.clone() for name, tensor in state.items()})

    fitted.set_params(**changed).fit(*pictures, on_epoch=listen)
    return weights[0], weights[-1]


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> list[str]:
    return [name for name in before if not torch.equal(before[name], after[name])]


def test_head_only_trains_only_the_head(classifier: Callable[..., Any], train_part: Any) -> None:
    before, after = weights_before_and_after(classifier(train_from="head", epochs=1), train_part)
    assert moved(before, after) == ["classifier.logits.weight", "classifier.logits.bias"]


def test_head_first_epochs_leave_the_backbone_alone(classifier: Callable[..., Any], train_part: Any) -> None:
    before, after = weights_before_and_after(classifier(head_first_epochs=1, epochs=1), train_part)
    assert moved(before, after) == ["classifier.logits.weight", "classifier.logits.bias"]
    before, after = weights_before_and_after(classifier(head_first_epochs=1, epochs=2), train_part)
    assert "conv_stem.weight" in moved(before, after)


@pytest.mark.parametrize("batch_norm", ["freeze", "update"])
def test_frozen_statistics_do_not_move_and_others_do(
    classifier: Callable[..., Any], train_part: Any, batch_norm: str
) -> None:
    before, after = weights_before_and_after(classifier(batch_norm=batch_norm, epochs=1), train_part)
    statistics = [name for name in moved(before, after) if "running" in name]
    assert bool(statistics) == (batch_norm == "update")
    assert "bn1.weight" in moved(before, after)


def test_two_batches_of_8_accumulated_are_one_of_16(classifier: Callable[..., Any], train_part: Any) -> None:
    once = weights_before_and_after(classifier(**PLAIN, batch_size=16), train_part)[1]
    twice = weights_before_and_after(classifier(**PLAIN, batch_size=8, accumulate=2), train_part)[1]
    for name, tensor in once.items():
        torch.testing.assert_close(twice[name], tensor, rtol=1e-4, atol=1e-6)


def test_a_clipped_step_is_as_long_as_the_rate_times_the_clip(
    classifier: Callable[..., Any], train_part: Any
) -> None:
    # One step: all pictures in one batch. Without momentum it is -rate·gradient.
    settings = PLAIN | {"batch_size": 60, "clip_norm": 0.05}
    before, after = weights_before_and_after(classifier(**settings), train_part)
    length = sum(float((after[name] - before[name]).double().square().sum()) for name in before) ** 0.5
    assert length == pytest.approx(0.01 * 0.05, rel=1e-3)


def test_mixed_labels_are_learned_and_counted_by_their_shares(
    classifier: Callable[..., Any], train_part: Any
) -> None:
    record = classifier(cutmix=0.5, mixup=0.5, epochs=1).fit(*train_part).history_[1]
    assert 0 < record.train_accuracy < 1
    assert 0 < record.train_loss < 3


def test_balanced_sampling_draws_every_class_alike() -> None:
    targets = torch.tensor([0] * 90 + [1] * 10)
    pictures = ResidentPictures(
        [torch.zeros(3, 8, 8, dtype=torch.uint8)] * 100, Preprocessing(size=8), torch.device("cpu")
    )
    part = TrainingSet(pictures, targets, None, 2)
    drawn = np.concatenate([part.order(0, epoch, balanced=True) for epoch in range(20)])
    assert 0.45 < float((targets[drawn] == 1).float().mean()) < 0.55
    assert sorted(part.order(0, 1, balanced=False)) == list(range(100))
    assert not np.array_equal(part.order(0, 1, balanced=False), part.order(0, 2, balanced=False))


@pytest.mark.parametrize(
    "changed",
    [
        {
            "policy": "trivialaugment",
            "colour_jitter": 0.3,
            "random_erasing": 0.3,
            "mixup": 0.3,
            "dropout": 0.3,
        },
        {"head_first_epochs": 1, "sampling": "balanced", "accumulate": 2, "batch_size": 8},
    ],
)
def test_batches_prepared_ahead_change_no_bit(
    classifier: Callable[..., Any],
    train_part: Any,
    val_part: Any,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
) -> None:
    makers, make = [], loop.next_batch

    def noted(*arguments: Any) -> loop.Batch:
        makers.append(threading.current_thread())
        return make(*arguments)

    monkeypatch.setattr(loop, "next_batch", noted)
    fitted = []
    for ahead in (False, True):
        makers.clear()
        monkeypatch.setattr(ResidentPictures, "ahead", ahead)
        fitted.append(classifier(**changed).fit(*train_part, validation_data=val_part))
        assert all((maker is not threading.main_thread()) == ahead for maker in makers)
    assert not any(maker.is_alive() for maker in makers)
    one, other = ([record.as_dict() | {"seconds": 0} for record in each.history_] for each in fitted)
    assert one == other
    np.testing.assert_array_equal(*(each.predict_proba(val_part[0]) for each in fitted))


def test_pictures_grow_from_first_size_to_full_size() -> None:
    # Six of ten epochs grow, by 16 pixels each, rounded to whole strides of 32 (Python rounds .5 to even).
    sizes = [size_at(epoch, 128, 224, 10) for epoch in range(1, 11)]
    assert sizes == [128, 128, 160, 192, 192, 192, 224, 224, 224, 224]
    assert {size_at(epoch, None, 224, 10) for epoch in range(1, 11)} == {224}
    assert {size_at(epoch, 256, 224, 10) for epoch in range(1, 11)} == {224}


def test_growing_pictures_train(classifier: Callable[..., Any], train_part: Any) -> None:
    assert len(classifier(first_size=32, epochs=2).fit(*train_part).history_) == 3


def test_a_network_that_sees_one_size_refuses_growing_pictures(train_part: Any) -> None:
    from linnaea.classifiers.finetune.classifier import FineTuneClassifier

    transformer = FineTuneClassifier(
        "test_vit", weights="none", first_size=96, probe=False, precision="float32", random_state=0
    )
    with pytest.raises(SettingError) as error:
        transformer.fit(train_part[0][:6], train_part[1][:6])
    assert error.value.message == "first_size is 96, and this network sees pictures of one size only."


def test_a_picture_left_over_goes_with_those_before_it() -> None:
    assert micro_batches(33, 16) == [16, 17]
    assert micro_batches(34, 16) == [16, 16, 2]
    assert micro_batches(15, 8) == [8, 7]
    assert micro_batches(1, 8) == [1]
    assert micro_batches(3, 1) == [1, 1, 1]


def test_batch_norms_learn_from_steps_that_leave_one_picture_over(
    classifier: Callable[..., Any], train_part: Any
) -> None:
    # At 32 pixels the last maps have one pixel: one picture alone would be one value a channel.
    X, y = train_part
    settings = {"size": 32, "batch_norm": "update", "batch_size": 16, "accumulate": 2, "epochs": 1}
    assert len(classifier(**settings).fit(X[:17], y[:17]).history_) == 2
