"""A fine-tuning that goes wrong: what is no number is never kept, and the probe outlives an explosion."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from linnaea.classifiers.common.progress import TrainingProgress
from linnaea.classifiers.contract import EpochRecord
from linnaea.classifiers.finetune import loop
from linnaea.classifiers.finetune.trainer import score
from linnaea.errors import DivergenceError


def weights(learner: loop.Learner) -> torch.Tensor:
    return next(learner.network.parameters()).data


def average(learner: loop.Learner) -> torch.Tensor:
    return learner.average.shadow["conv_stem.weight"]


def statistics(learner: loop.Learner) -> torch.Tensor:
    return learner.network.bn1.running_var


def memory(learner: loop.Learner) -> torch.Tensor:
    return next(iter(learner.optimizer.state.values()))["exp_avg"]


@pytest.mark.parametrize("spoiled", [weights, average, statistics, memory])
def test_what_is_no_number_after_the_last_step_stops_it_too(
    classifier: Callable[..., Any], train_part: Any, val_part: Any, monkeypatch: Any, spoiled: Any
) -> None:
    train_step = loop.train_step

    def step(learner: loop.Learner, *arguments: Any) -> tuple[float, float, float]:
        told = train_step(learner, *arguments)
        if (learner.progress.epoch, learner.progress.step) == (0, 3):
            tensor = spoiled(learner)
            tensor[(0,) * tensor.ndim] = math.inf
        return told

    monkeypatch.setattr(loop, "train_step", step)
    wild = classifier(epochs=1, batch_size=15)
    with pytest.raises(DivergenceError) as error:
        wild.fit(*train_part, validation_data=val_part)
    assert error.value.message == "Training diverged in epoch 1: loss or weights are no longer finite."
    assert error.value.cure == "Lower the learning rate (now 0.001), or set clip_norm."
    assert [record.epoch for record in wild.history_] == [0]
    assert wild.kept_ == "probe"
    assert wild.evaluate(*val_part)[1] == wild.history_[0].val_accuracy


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 1.0},
        {"learning_rate": 1.0, "head_hidden": 8},
        {"learning_rate": 999.0, "train_from": "head"},
        {"learning_rate": 999.0, "train_from": "head", "head_hidden": 8},
    ],
    ids=["all", "hidden", "head", "hidden head"],
)
@pytest.mark.parametrize("validated", [True, False])
def test_the_probe_is_kept_where_the_loss_explodes(
    classifier: Callable[..., Any], train_part: Any, val_part: Any, settings: Any, validated: bool
) -> None:
    wild = classifier(**settings, warmup_epochs=0)
    wild.fit(*train_part, validation_data=val_part if validated else None)
    assert len(wild.history_) == 3
    assert all(3 * math.log(3) < record.train_loss < math.inf for record in wild.history_[1:])
    assert (wild.kept_, wild.chosen_epoch_) == ("probe", 0)
    X = val_part[0]
    np.testing.assert_allclose(wild.predict_proba(X), wild.probe_proba(X), rtol=1e-5)


@pytest.mark.parametrize(("probed", "chosen"), [(True, 0), (False, 1)])
def test_an_epoch_as_accurate_as_the_probe_does_not_replace_it(probed: bool, chosen: int) -> None:
    progress = TrainingProgress()
    for epoch, (accuracy, loss) in enumerate([(0.75, 0.5), (0.75, 0.1), (0.5, 0.05)]):
        record = EpochRecord(epoch, 1.0, 0.001, loss, 1.0, val_loss=loss, val_accuracy=accuracy)
        progress.close_epoch(record, dict, score(record, classes=3, probed=probed))
    assert progress.kept_epoch == chosen
    record = EpochRecord(3, 1.0, 0.001, 0.5, 1.0, val_loss=0.9, val_accuracy=0.76)
    progress.close_epoch(record, dict, score(record, classes=3, probed=probed))
    assert progress.kept_epoch == 3
