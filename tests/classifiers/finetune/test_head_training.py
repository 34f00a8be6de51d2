"""A head that learns alone, from features that are made once; and the mirror in judging."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from linnaea.classifiers.contract import EpochRecord
from linnaea.classifiers.finetune import inference
from linnaea.classifiers.finetune.classifier import FineTuneClassifier
from linnaea.classifiers.finetune.frozen_features import FrozenFeatures
from linnaea.errors import SettingError

HEAD = {"train_from": "head", "dropout": 0.0}


def untimed(classifier: Any) -> list[dict[str, Any]]:
    return [record.as_dict() | {"seconds": 0} for record in classifier.history_]


def test_features_of_one_view_teach_the_head_what_its_pictures_do(
    classifier: Callable[..., Any], train_part: Any, val_part: Any
) -> None:
    same = HEAD | {"views": 1, "crop_scale": 1.0, "flip": False, "cutmix": 0.0}
    quick = classifier(**same).fit(*train_part, validation_data=val_part)

    fell_back = []

    def forget(record: EpochRecord, fitted: Any) -> None:
        fitted._trainer.learner.features = None
        fell_back.append(record.epoch)

    # Without features the loop falls back on the pictures, which evaluation's view leaves as they are.
    slow = classifier(**same).fit(*train_part, validation_data=val_part, on_epoch=forget)
    assert fell_back == [0, 1, 2]
    for one, other in zip(quick.history_, slow.history_, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-4)
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-4)
    np.testing.assert_allclose(
        quick.predict_proba(val_part[0]), slow.predict_proba(val_part[0]), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("views", [3, 2.5])
def test_pictures_are_seen_once_however_many_epochs_there_are(
    classifier: Callable[..., Any],
    train_part: Any,
    val_part: Any,
    monkeypatch: pytest.MonkeyPatch,
    views: float,
) -> None:
    seen = []
    forward = inference.forward_features

    def counted(network: Any, pictures: torch.Tensor, precision: str) -> torch.Tensor:
        seen.append(len(pictures))
        return forward(network, pictures, precision)

    monkeypatch.setattr(inference, "forward_features", counted)
    fitted = classifier(epochs=5, views=views, **HEAD).fit(*train_part, validation_data=val_part)
    # Views of 60 pictures and the 60 to choose on.
    assert sum(seen) == views * 60 + 60
    if views == 3:
        # The crops teach; a picture and its mirror are known by heart from the probe.
        assert fitted.history_[5].train_loss < fitted.history_[1].train_loss
    # Judged on features or on pictures, it is the same network.
    kept = fitted.history_[fitted.chosen_epoch_]
    assert fitted.evaluate(*val_part) == pytest.approx((kept.val_loss, kept.val_accuracy), rel=1e-5)


@pytest.mark.parametrize("settings", [HEAD, {"head_first_epochs": 2}, {"head_hidden": 8, **HEAD}])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_features_made_anew_go_on_as_if_never_stopped(
    classifier: Callable[..., Any], train_part: Any, val_part: Any, settings: dict[str, Any], after: int
) -> None:
    whole = classifier(epochs=3, **settings).fit(*train_part, validation_data=val_part)

    def stop(record: EpochRecord, _: Any) -> None:
        if record.epoch == after:
            raise KeyboardInterrupt

    stopped = classifier(epochs=3, **settings)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(*train_part, validation_data=val_part, on_epoch=stop)
    arrays, values = stopped.training_state()
    resumed = classifier(epochs=3, **settings)
    resumed.load_training_state(arrays, json.loads(json.dumps(values)))
    resumed.fit(*train_part, validation_data=val_part)
    assert untimed(whole) == untimed(resumed)
    np.testing.assert_array_equal(whole.predict_proba(val_part[0]), resumed.predict_proba(val_part[0]))
    assert resumed.probe_.val == whole.probe_.val
    assert torch.equal(resumed.probe_.weight, whole.probe_.weight)


def test_features_are_given_back_when_everything_learns(
    classifier: Callable[..., Any], train_part: Any, val_part: Any
) -> None:
    had = []

    def listen(record: EpochRecord, fitted: Any) -> None:
        had.append(fitted._trainer.learner.features is not None)

    classifier(head_first_epochs=1).fit(*train_part, validation_data=val_part, on_epoch=listen)
    assert had == [True, True, False]


@pytest.mark.parametrize("probe", [True, False])
def test_a_head_learns_without_a_probe_and_without_crops(
    classifier: Callable[..., Any], train_part: Any, val_part: Any, probe: bool
) -> None:
    fitted = classifier(
        probe=probe, views=4, crop_scale=1.0, flip=False, epochs=20, learning_rate=0.02, patience=0, **HEAD
    )
    views = []
    fitted.fit(
        *train_part,
        validation_data=val_part,
        on_epoch=lambda record, learning: views.append(len(learning._trainer.learner.features.train)),
    )
    assert set(views) == {1}
    assert fitted.history_[20].train_accuracy > 0.7
    # Chance is 1 in 3.
    assert fitted.history_[20].val_accuracy > 0.5


def test_a_head_alone_leaves_statistics_that_it_did_not_learn_with(
    classifier: Callable[..., Any], train_part: Any
) -> None:
    fitted = classifier(batch_norm="reestimate", **HEAD).fit(*train_part)
    frozen = classifier(batch_norm="freeze", **HEAD).fit(*train_part)
    for name, tensor in frozen.network_.state_dict().items():
        assert torch.equal(tensor, fitted.network_.state_dict()[name]), name


def test_a_picture_is_taken_in_any_of_its_views() -> None:
    rows, seen = torch.arange(14.0).view(14, 1), np.append(np.tile(np.arange(4), 3), [0, 2])
    features = FrozenFeatures(rows, seen, None)
    taken = features.take(np.full(300, 2), np.random.default_rng(0))
    assert taken.shape == (300, 1)
    # Not the thirteenth and fourteenth row, which not every picture has.
    assert taken.unique().tolist() == [2.0, 6.0, 10.0]
    assert features.uncropped(flip=True).rows.flatten().tolist() == [*range(8)]


def test_the_average_of_a_head_alone_is_that_of_the_whole_network(
    classifier: Callable[..., Any], train_part: Any
) -> None:
    changed = []

    def listen(record: EpochRecord, fitted: Any) -> None:
        learner = fitted._trainer.learner
        average, live = learner.average.shadow, learner.network.state_dict()
        changed[:] = [name for name in average if not torch.equal(average[name], live[name])]

    classifier(**HEAD).fit(*train_part, on_epoch=listen)
    assert changed == ["classifier.logits.weight", "classifier.logits.bias"]


def test_the_mirror_is_averaged_in_logits_and_travels_with_the_model(
    classifier: Callable[..., Any], train_part: Any, val_part: Any, tmp_path: Path
) -> None:
    plain = classifier(epochs=1).fit(*train_part)
    X, y = val_part
    expected = (plain.decision_function(X) + plain.decision_function(X[:, :, ::-1])) / 2
    plain.set_params(tta="flip")
    np.testing.assert_allclose(plain.decision_function(X), expected, rtol=1e-4, atol=1e-5)
    # A picture and its mirror are now the same to it.
    np.testing.assert_allclose(plain.predict_proba(X), plain.predict_proba(X[:, :, ::-1]), atol=1e-5)
    assert plain.evaluate(X, y)[1] == plain.score(X, y)
    plain.save(tmp_path)
    assert json.loads((tmp_path / "model.json").read_text())["parameters"]["tta"] == "flip"
    loaded = FineTuneClassifier.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X), plain.predict_proba(X))


def test_another_augmentation_in_judging_is_refused(classifier: Callable[..., Any], train_part: Any) -> None:
    with pytest.raises(SettingError) as error:
        classifier(tta="crops").fit(*train_part)
    assert error.value.message == "tta 'crops' is not known."
