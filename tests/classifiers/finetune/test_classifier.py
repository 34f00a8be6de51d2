"""FineTuneClassifier: the contract, and learning that really happens."""

import copy
import json
import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from torch.nn.functional import cross_entropy

from linnaea.classifiers.contract import EpochRecord
from linnaea.classifiers.finetune.classifier import FineTuneClassifier
from linnaea.errors import DataError, DivergenceError, LinnaeaError, SettingError

Build = Callable[..., FineTuneClassifier]


@pytest.fixture(scope="module")
def fitted(pretrained: Path, shapes: Callable[..., Any], val_part: Any) -> FineTuneClassifier:
    """Twelve epochs on 120 pictures with nearly everything at its usual."""
    return FineTuneClassifier(
        "test_efficientnet",
        weights=pretrained,
        views=2,
        epochs=12,
        learning_rate=3e-3,
        crop_scale=0.6,
        ema=0.9,
        precision="float32",
        random_state=0,
    ).fit(*shapes(120, seed=1), validation_data=val_part)


def test_fine_tuning_learns_what_the_probe_could_not(fitted: FineTuneClassifier, test_part: Any) -> None:
    before, best = fitted.history_[0], fitted.history_[fitted.chosen_epoch_]
    assert fitted.kept_ == "fine-tuned"
    assert best.val_accuracy > before.val_accuracy + 0.1
    # Chance is 1 in 3, and features of random weights do not tell these shapes apart.
    assert before.val_accuracy < 0.85 < 0.95 < fitted.score(*test_part)


def test_history_has_one_record_an_epoch_the_probe_first(fitted: FineTuneClassifier, val_part: Any) -> None:
    assert [record.epoch for record in fitted.history_] == list(range(13))
    assert all(isinstance(record, EpochRecord) and record.seconds > 0 for record in fitted.history_)
    assert fitted.history_[-1].learning_rate == pytest.approx(0, abs=1e-9)
    accuracies = [record.val_accuracy for record in fitted.history_]
    assert fitted.chosen_epoch_ == int(np.argmax(accuracies)) or accuracies.count(max(accuracies)) > 1
    assert fitted.history_[fitted.chosen_epoch_].val_accuracy == max(accuracies)
    # The kept network is that of the best epoch, judged as evaluate judges.
    best = fitted.history_[fitted.chosen_epoch_]
    assert fitted.evaluate(*val_part) == pytest.approx((best.val_loss, best.val_accuracy), rel=1e-6)


@pytest.mark.parametrize(
    ("of", "rows"),
    [
        (lambda folder, X: str(folder / "a.png"), [0]),
        (lambda folder, X: folder / "deep" / "c.png", [2]),
        (lambda folder, X: Image.open(folder / "b.png"), [1]),
        (lambda folder, X: X[1], [1]),
        (lambda folder, X: torch.from_numpy(X[1]), [1]),
        (lambda folder, X: folder, [0, 1, 2]),
        (lambda folder, X: f"{folder}/", [0, 1, 2]),
        (lambda folder, X: [folder / "b.png", X[0]], [1, 0]),
        (lambda folder, X: pd.Series([str(folder / "b.png"), str(folder / "a.png")], index=[7, 3]), [1, 0]),
        (lambda folder, X: X[:3], [0, 1, 2]),
    ],
    ids=["name", "Path", "Image", "array", "tensor", "folder", "folder/", "list", "Series", "arrays"],
)
def test_one_picture_many_and_a_folder_are_classified(
    fitted: FineTuneClassifier, test_part: Any, tmp_path: Path, of: Callable[..., Any], rows: list[int]
) -> None:
    X = test_part[0]
    (tmp_path / "deep").mkdir()
    for row, name in enumerate(("a.png", "b.png", "deep/c.png")):
        Image.fromarray(X[row]).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    given = of(tmp_path, X)
    assert fitted.predict(given).tolist() == fitted.predict(X)[rows].tolist()
    expected = fitted.predict_proba(X)[rows]
    np.testing.assert_allclose(fitted.predict_proba(given), expected, rtol=1e-4, atol=1e-6)
    assert fitted.features(given).shape[0] == fitted.decision_function(given).shape[0] == len(rows)


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (lambda folder: folder / "empty", "{folder}/empty contains no pictures. Check its name."),
        (lambda folder: str(folder / "new-*.png"), "X holds the pattern {folder}/new-*.png, and there is no "
         "file of that name. Pass the paths that it stands for: sorted(glob.glob(pattern))."),
        (lambda folder: "", "X holds '' as the path in row 0. Give the path as text."),
        (lambda folder: None, "X is None. Pass a list, even of one picture: [picture]."),
        (lambda folder: np.zeros((8, 8), np.uint8), "X has the shape (8, 8). Pass pictures as uint8 of shape "
         "(n, height, width, 3); of a single grey one, [np.stack([X] * 3, axis=-1)]."),
        (lambda folder: np.zeros((8, 8, 3)), "X holds a ndarray of type float64 and shape (8, 8, 3). Pass "
         "paths, Pillow pictures, or uint8 arrays of shape (height, width, 3): of shares from 0 to 1, "
         "(X * 255).round().astype(np.uint8)."),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused_when_one_is_asked_for(
    fitted: FineTuneClassifier, tmp_path: Path, of: Callable[[Path], Any], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as error:
        fitted.predict(of(tmp_path))
    assert str(error.value) == message.format(folder=tmp_path)


def test_evaluate_is_the_mean_cross_entropy_and_the_accuracy(
    fitted: FineTuneClassifier, test_part: Any
) -> None:
    X, y = test_part
    logits = torch.from_numpy(fitted.decision_function(X)).double()
    targets = torch.from_numpy(np.searchsorted(fitted.classes_, y))
    loss, accuracy = fitted.evaluate(X, y)
    assert loss == pytest.approx(float(cross_entropy(logits, targets)))
    assert accuracy == fitted.score(X, y) == np.mean(fitted.predict(X) == y)
    probabilities = fitted.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    np.testing.assert_allclose(probabilities, torch.softmax(logits, 1).numpy())


def test_paths_pillow_pictures_and_arrays_are_the_same_pictures(
    fitted: FineTuneClassifier, test_part: Any, tmp_path: Path
) -> None:
    X = test_part[0][:5]
    pictures = [Image.fromarray(picture) for picture in X]
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    expected = fitted.predict_proba(X)
    names = [str(path) for path in paths]
    columns = [pd.Series(names, index=list("edcba")), pd.Categorical(names), pd.Series(names, dtype="string")]
    tables = [pd.DataFrame({"path": names}), np.array(names)[:, None]]
    tensors = [torch.from_numpy(X), list(torch.from_numpy(X))]
    for same in (pictures, paths, names, list(X), pd.Series(pictures), *columns, *tables, *tensors):
        np.testing.assert_array_equal(fitted.predict_proba(same), expected)


def test_save_and_load_give_the_same_probabilities(
    fitted: FineTuneClassifier, test_part: Any, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    loaded = FineTuneClassifier.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(test_part[0]), fitted.predict_proba(test_part[0]))
    assert loaded.get_params() == fitted.get_params() | {"weights": str(fitted.weights)}
    assert (loaded.kept_, loaded.chosen_epoch_) == (fitted.kept_, fitted.chosen_epoch_)
    model = json.loads((tmp_path / "model.json").read_text())
    assert model["classes"] == ["bars", "cross", "disc"]
    assert model["preprocessing"]["size"] == 48
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "weights.safetensors"]


def test_a_fitted_classifier_may_be_pickled_and_copied(fitted: FineTuneClassifier, test_part: Any) -> None:
    expected = fitted.predict_proba(test_part[0][:9])
    for same in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(same.predict_proba(test_part[0][:9]), expected)


def test_a_fitted_classifier_is_pickled_at_the_size_of_its_network(
    train_part: Any, val_part: Any, tmp_path: Path
) -> None:
    sizes = {}

    def pickled(record: EpochRecord, learning: FineTuneClassifier) -> None:
        sizes[record.epoch] = len(pickle.dumps(learning))

    large = FineTuneClassifier(
        "mobilenetv2", weights="none", size=32, views=1, epochs=1, precision="float32", random_state=0
    ).fit(train_part[0][:12], train_part[1][:12], validation_data=val_part, on_epoch=pickled)
    large.save(tmp_path)
    network = (tmp_path / "weights.safetensors").stat().st_size
    assert network < len(pickle.dumps(large)) < 1.3 * network
    # While it learns, too, and with a listener that cannot be pickled.
    assert max(sizes.values()) < 1.3 * network
    # Nothing of the training is left in memory either.
    assert "_trainer" not in vars(large)
    with pytest.raises(LinnaeaError) as over:
        large.training_state()
    assert str(over.value) == (
        "There is no training to go on from: fit has not begun, or has ended. "
        "Ask for training_state in on_epoch or on_step."
    )


def test_a_damaged_model_is_refused(fitted: FineTuneClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    model = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(model | {"classes": ["a", "b"]}))
    with pytest.raises(DataError, match=r"model\.json is damaged \(ValueError: 2 classes"):
        FineTuneClassifier.load(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(model | {"model": "mlp"}))
    with pytest.raises(DataError) as error:
        FineTuneClassifier.load(tmp_path)
    assert error.value.message == (
        f"{tmp_path / 'model.json'} is not a fine-tuned network of format 1; received model 'mlp', format 1."
    )


def test_describe_says_what_the_network_is(fitted: FineTuneClassifier) -> None:
    told = fitted.describe()
    assert told["summary"].startswith("test_efficientnet · weights from ")
    assert "float32, channels last, " in told["summary"]
    assert told["parameters"] == sum(p.numel() for p in fitted.network_.parameters())


def test_clone_and_cross_val_score(classifier: Build, train_part: Any) -> None:
    small = classifier(epochs=1, crop_scale=0.9)
    assert clone(small).get_params() == small.get_params()
    X, y = train_part
    scores = cross_val_score(small, X, y, cv=2)
    assert scores.shape == (2,)
    assert scores.min() > 0.4
    # Lists of pictures are indexed as well.
    assert cross_val_score(small, list(X[:24]), y[:24], cv=2).shape == (2,)


def same_history(a: FineTuneClassifier, b: FineTuneClassifier) -> bool:
    def untimed(classifier: FineTuneClassifier) -> list[dict[str, Any]]:
        return [
            {k: v for k, v in record.as_dict().items() if k != "seconds"} for record in classifier.history_
        ]

    return untimed(a) == untimed(b)


def test_a_run_can_be_repeated_bit_by_bit(classifier: Build, train_part: Any, test_part: Any) -> None:
    everything = {"cutmix": 0.5, "colour_jitter": 0.3, "policy": "trivialaugment", "random_erasing": 0.2}
    first, second = (classifier(**everything).fit(*train_part) for _ in range(2))
    torch.manual_seed(99)
    third = classifier(**everything, random_state=1).fit(*train_part)
    np.testing.assert_array_equal(first.predict_proba(test_part[0]), second.predict_proba(test_part[0]))
    assert same_history(first, second)
    assert not same_history(first, third)


@pytest.mark.parametrize("settings", [{}, {"head_hidden": 8, "solver": "nesterov", "learning_rate": 0.01}])
def test_going_on_after_an_epoch_is_the_same_as_never_stopping(
    classifier: Build, train_part: Any, val_part: Any, settings: dict[str, Any]
) -> None:
    whole = classifier(epochs=3, **settings).fit(*train_part, validation_data=val_part)

    def stop(record: EpochRecord, _: Any) -> None:
        if record.epoch == 2:
            raise KeyboardInterrupt

    stopped = classifier(epochs=3, **settings)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(*train_part, validation_data=val_part, on_epoch=stop)
    arrays, values = stopped.training_state()
    resumed = classifier(epochs=3, **settings)
    resumed.load_training_state(arrays, json.loads(json.dumps(values)))
    resumed.fit(*train_part, validation_data=val_part)
    assert same_history(whole, resumed)
    np.testing.assert_array_equal(whole.predict_proba(val_part[0]), resumed.predict_proba(val_part[0]))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX interval timers")
def test_ctrl_c_in_the_middle_of_an_epoch_leaves_it_usable_and_resumable(
    classifier: Build, train_part: Any, val_part: Any
) -> None:
    whole = classifier(epochs=2, batch_size=4).fit(*train_part, validation_data=val_part)

    def interrupt(stage: str, done: int, total: int, seconds: float) -> None:
        # In the fifth step of the first epoch, whatever the machine's speed.
        if stage == "" and done == 20:
            signal.raise_signal(signal.SIGINT)

    stopped = classifier(epochs=2, batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(*train_part, validation_data=val_part, on_step=interrupt)
    assert stopped.training_state()[1]["step"] == 5
    assert stopped.predict(val_part[0]).shape == (60,)
    assert stopped.evaluate(*val_part)[1] == stopped.history_[stopped.chosen_epoch_].val_accuracy
    resumed = classifier(epochs=2, batch_size=4)
    resumed.load_training_state(*stopped.training_state())
    resumed.fit(*train_part, validation_data=val_part)
    assert same_history(whole, resumed)
    np.testing.assert_array_equal(whole.predict_proba(val_part[0]), resumed.predict_proba(val_part[0]))


def test_a_state_of_another_network_is_refused(classifier: Build, train_part: Any) -> None:
    states = []
    classifier(epochs=1).fit(
        *train_part, on_epoch=lambda _, learning: states.append(learning.training_state())
    )
    arrays, values = states[-1]
    other = classifier(epochs=1, head_hidden=4)
    other.load_training_state(arrays, values)
    with pytest.raises(DataError, match=r"^The training state does not fit this training \(RuntimeError"):
        other.fit(*train_part)


def test_the_probe_is_kept_when_fine_tuning_is_sabotaged(
    classifier: Build, train_part: Any, val_part: Any
) -> None:
    sabotaged = classifier(learning_rate=5.0, train_from="head", ema=None, warmup_epochs=0)
    sabotaged.fit(*train_part, validation_data=val_part)
    assert sabotaged.kept_ == "probe"
    assert sabotaged.chosen_epoch_ == 0
    assert sabotaged.evaluate(*val_part)[1] == sabotaged.probe_.val[1] == sabotaged.history_[0].val_accuracy


def test_with_a_hidden_layer_the_probe_is_the_baseline_and_may_be_kept(
    classifier: Build, train_part: Any, val_part: Any, tmp_path: Path
) -> None:
    # A new hidden layer at a rate that teaches it nothing.
    hidden = classifier(head_hidden=30, learning_rate=1e-9).fit(*train_part, validation_data=val_part)
    assert hidden.kept_ == "probe"
    assert not hasattr(hidden.network_.get_classifier(), "hidden")
    assert hidden.evaluate(*val_part)[1] == hidden.history_[0].val_accuracy
    hidden.save(tmp_path)
    loaded = FineTuneClassifier.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(val_part[0]), hidden.predict_proba(val_part[0]))
    unprobed = classifier(head_hidden=30, probe=False).fit(*train_part)
    assert unprobed.network_.get_classifier().hidden.out_features == 30
    assert unprobed.kept_ == "fine-tuned"


def test_a_loss_that_is_no_number_stops_and_keeps_the_best(
    classifier: Build, train_part: Any, val_part: Any
) -> None:
    wild = classifier(learning_rate=1e30, warmup_epochs=0)
    with pytest.raises(DivergenceError) as error:
        wild.fit(*train_part, validation_data=val_part)
    assert error.value.args[0].startswith("Training diverged in epoch 1, step 2: the loss is ")
    assert error.value.cure == "Lower the learning rate (now 1e+30), or set clip_norm."
    assert wild.evaluate(*val_part)[1] == wild.history_[0].val_accuracy


def test_without_a_validation_part_the_last_epoch_is_kept(classifier: Build, train_part: Any) -> None:
    last = classifier().fit(*train_part)
    assert last.chosen_epoch_ == 2
    assert last.history_[-1].val_accuracy is None


def test_patience_stops_after_so_many_epochs_without_a_better_one(
    classifier: Build, train_part: Any, val_part: Any
) -> None:
    stuck = classifier(epochs=9, patience=2, learning_rate=5.0, train_from="head", ema=None)
    stuck.fit(*train_part, validation_data=val_part)
    assert len(stuck.history_) == stuck.chosen_epoch_ + 3


def test_the_last_epoch_is_kept_where_it_is_asked_for_and_patience_still_stops(
    classifier: Build, train_part: Any, val_part: Any
) -> None:
    settings = {"epochs": 9, "patience": 2, "learning_rate": 0.1, "train_from": "head", "ema": None}
    last = classifier(**settings, keep="last").fit(*train_part, validation_data=val_part)
    best = classifier(**settings).fit(*train_part, validation_data=val_part)
    assert len(last.history_) == len(best.history_) == best.chosen_epoch_ + 3
    assert (last.chosen_epoch_, last.kept_) == (best.chosen_epoch_ + 2, "fine-tuned")
    record = last.history_[-1]
    assert last.evaluate(*val_part) == pytest.approx((record.val_loss, record.val_accuracy), rel=1e-6)


def test_no_epochs_means_the_probe_alone(classifier: Build, train_part: Any) -> None:
    alone = classifier(epochs=0).fit(*train_part)
    assert alone.kept_ == "probe"
    assert len(alone.history_) == 1


def test_sample_weights_of_zero_leave_pictures_out(
    classifier: Build, train_part: Any, test_part: Any
) -> None:
    X, y = train_part
    wrong = np.concatenate([y, np.roll(y, 1)])
    weights = np.repeat([1.0, 0.0], len(y))
    weighted = classifier(epochs=0).fit(np.concatenate([X, X]), wrong, sample_weight=weights)
    clean = classifier(epochs=0).fit(X, y)
    assert weighted.score(*test_part) == pytest.approx(clean.score(*test_part), abs=0.05)


@pytest.mark.parametrize("batch_norm", ["update", "reestimate"])
def test_batch_norm_may_be_updated_or_estimated_again(
    classifier: Build, train_part: Any, val_part: Any, batch_norm: str
) -> None:
    record = classifier(batch_norm=batch_norm).fit(*train_part, validation_data=val_part).history_[-1]
    assert record.val_accuracy > 0.5


def test_bfloat16_finds_nearly_the_same_probabilities(
    fitted: FineTuneClassifier, test_part: Any, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    rounded = FineTuneClassifier.load(tmp_path)
    rounded.precision_ = "bfloat16"
    difference = abs(rounded.predict_proba(test_part[0]) - fitted.predict_proba(test_part[0]))
    assert 0 < difference.max() < 0.15


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": -1}, "epochs must be None or an integer of 0 or more; received -1."),
        ({"device": "cuda:x"}, "device must be auto, cpu, cuda, cuda:1 or mps; received 'cuda:x'."),
        ({"dropout": 1.0}, "dropout must be a number from 0 to below 1; received 1.0."),
        ({"learning_rate": float("nan")}, "learning_rate must be None or a number above 0; received nan."),
        (
            {"batch_norm": "frozen"},
            "batch_norm 'frozen' is not known. Did you mean 'freeze'?",
        ),
        (
            {"mixup": 0.6, "cutmix": 0.6},
            "mixup 0.6 and cutmix 0.6 are more than all batches together. "
            "Each is a share of the batches: choose two that sum to 1 at most.",
        ),
    ],
)
def test_settings_are_refused_before_pictures_are_read(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as error:
        FineTuneClassifier(**settings).fit(["no/such/picture.jpg", "nor/this.jpg"], ["a", "b"])
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ("rose.jpg", ["a"], "X is a single str. Pass a list, even of one picture: [picture]."),
        (
            np.zeros((4, 8, 8), np.uint8),
            ["a", "b", "a", "b"],
            "X has the shape (4, 8, 8). Pass pictures as uint8 of shape (n, height, width, 3): grey becomes "
            "colour by np.stack([X] * 3, axis=-1).",
        ),
        (
            np.zeros((2, 8, 8, 3), np.float32),
            ["a", "b"],
            "X has the type float32 and the shape (2, 8, 8, 3). Pass pictures as uint8 of shape (n, height, "
            "width, 3): of shares from 0 to 1, (X * 255).round().astype(np.uint8).",
        ),
        (
            np.zeros((2, 3, 8, 8), np.uint8),
            ["a", "b"],
            "X has the shape (2, 3, 8, 8). Pass pictures as uint8 of shape (n, height, width, 3): colours "
            "first become colours last by np.moveaxis(X, -3, -1).",
        ),
        (
            [np.zeros((8, 8, 3), np.uint8), np.zeros((9, 9, 3))],
            ["a", "b"],
            "X holds a ndarray of type float64 and shape (9, 9, 3). Pass paths, Pillow pictures, or uint8 "
            "arrays of shape (height, width, 3): of shares from 0 to 1, (X * 255).round().astype(np.uint8).",
        ),
        ([], [], "X holds no picture. Give one at least."),
        (
            pd.DataFrame({"path": ["rose.jpg", "daisy.jpg"], "label": ["a", "b"]}),
            ["a", "b"],
            "X is a table with the columns path, label. Pass the column that holds the paths, such as "
            'X["path"].',
        ),
        (
            {"path": ["rose.jpg"]},
            ["a"],
            "X is a dict, which is no sequence. Pass a list of what is in it.",
        ),
        (
            (name for name in ("rose.jpg", "daisy.jpg")),
            ["a", "b"],
            "X is a generator, which can be gone through only once. Make a list of it first.",
        ),
        (
            ["rose.jpg", "https://example.org/daisy.jpg"],
            ["a", "b"],
            "X holds the address https://example.org/daisy.jpg, and pictures are read from files. Download "
            "it, and pass its path.",
        ),
        (
            ["no/such/*.jpg"],
            ["a"],
            "X holds the pattern no/such/*.jpg, and there is no file of that name. Pass the paths that it "
            "stands for: sorted(glob.glob(pattern)).",
        ),
        (
            pd.Series(["rose.jpg", None], dtype="string"),
            ["a", "b"],
            "X holds <NA> in row 1, which is no picture. Pass paths, Pillow pictures, or uint8 arrays of "
            "shape (height, width, 3).",
        ),
        (
            [(np.zeros((8, 8, 3), np.uint8), "a")],
            ["a"],
            "X holds a tuple in row 0, which is no picture. Pass paths, Pillow pictures, or uint8 arrays of "
            "shape (height, width, 3).",
        ),
        (
            np.zeros((2, 8, 8, 3), np.uint8),
            ["a", "a"],
            "y holds one class only, 'a'. Give at least two classes to tell apart.",
        ),
        (
            np.zeros((2, 8, 8, 3), np.uint8),
            ["a"],
            "X has 2 rows and y has 1 labels. Give one label for each row.",
        ),
    ],
)
def test_what_is_no_collection_of_pictures_is_refused(
    classifier: Build, X: Any, y: list[str], message: str
) -> None:
    with pytest.raises(DataError) as error:
        classifier().fit(X, y)
    assert str(error.value).replace("np.str_('a')", "'a'") == message


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"validation_data": ([], [])}, "validation X holds no picture. Give one at least."),
        ({"validation_data": [1, 2, 3]}, "validation_data is a list of 3. Pass a pair: (X, y)."),
        (
            {"sample_weight": [1.0]},
            "X has 2 rows and sample_weight has the shape (1,). Give each row a weight of 0 or more, and not "
            "0 to all.",
        ),
    ],
)
def test_what_comes_beside_the_pictures_is_looked_at(
    classifier: Build, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError) as error:
        classifier().fit(np.zeros((2, 8, 8, 3), np.uint8), ["a", "b"], **more)
    assert str(error.value) == message


def test_whatever_asks_for_pictures_says_the_same_of_what_is_none(fitted: FineTuneClassifier) -> None:
    for ask in (fitted.predict, fitted.predict_proba, fitted.decision_function, fitted.features):
        with pytest.raises(DataError, match=r"^X holds no picture\. Give one at least\.$"):
            ask([])
    for ask in (fitted.score, fitted.evaluate):
        with pytest.raises(DataError, match=r"^X is a table with the columns path, label\."):
            ask(pd.DataFrame({"path": ["a.jpg"], "label": ["disc"]}), ["disc"])
        with pytest.raises(
            DataError, match=r"^y holds numbers, such as 1, and the classes are text, such as "
        ):
            ask(np.zeros((1, 8, 8, 3), np.uint8), [1])


def test_the_report_variant_squeezes_the_whole_picture(classifier: Build, train_part: Any) -> None:
    squeezed = classifier(preprocessing="report", epochs=1, crop_scale=1.0).fit(*train_part)
    assert squeezed.preprocessing_.variant == "report"
    assert squeezed.preprocessing_.mean == (0, 0, 0)
