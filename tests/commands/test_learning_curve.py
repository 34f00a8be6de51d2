"""The learning curve of the real command, and the subsets that it learns from."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnaea.classifiers.finetune.classifier import FineTuneClassifier
from linnaea.classifiers.finetune.refitting import ProbePictures
from linnaea.cli import main
from linnaea.commands import learning_curve
from linnaea.commands.probe_folds import nested_subsets
from linnaea.evaluation.intervals import wilson


def test_subsets_are_nested_in_proportion_and_have_every_class():
    y = np.repeat(["a", "b", "c"], [100, 40, 3])
    subsets = nested_subsets(y, (0.1, 0.25, 0.5, 1.0), seed=0)
    counts = [[int((y[rows] == name).sum()) for name in "abc"] for rows in subsets]
    assert counts == [[10, 4, 1], [25, 10, 1], [50, 20, 2], [100, 40, 3]]
    for smaller, larger in pairwise(subsets):
        assert np.isin(smaller, larger).all()
    np.testing.assert_array_equal(subsets[-1], np.arange(143))
    assert not np.array_equal(subsets[0], nested_subsets(y, (0.1,), seed=1)[0])


def test_a_perceptron_learns_again_from_each_share(tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", "digits", "--hidden", "20", "--epochs", "2", "--learning-curve", "true",
                 "--out", str(run)]) == 0  # fmt: skip
    info = json.loads((run / "run.json").read_text())
    curve = info["learning_curve"]
    assert [point["share"] for point in curve] == [0.1, 0.25, 0.5, 1.0]
    assert [point["pictures"] for point in curve] == [320, 790, 1580, 3150]
    assert curve[0]["accuracy"] < curve[-1]["accuracy"]
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert curve[-1]["accuracy"] == pytest.approx(history[info["chosen_epoch"]]["val_accuracy"])
    metrics = json.loads((run / "metrics.json").read_text())
    assert curve[-1]["test_accuracy"] == metrics["accuracy"]["value"]
    assert info["learning_forecast"]["pictures"] == 6300
    assert info["phases"]["learning curve"]["seconds"] > 0
    assert "twice the pictures would probably give" in capsys.readouterr().err


TINY = ["--model", "mobilenetv2_050", "--weights", "none", "--size", "32", "--views", "2.5", "--epochs", "1",
        "--validation", "0.3", "--learning-curve", "true"]  # fmt: skip


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """A fine-tuned run with its curve, on noisy red and blue pictures."""
    folder = tmp_path_factory.mktemp("colours")
    generator = np.random.default_rng(0)
    for name, colour in (("red", (200, 60, 60)), ("blue", (60, 60, 200))):
        (folder / "photographs" / name).mkdir(parents=True)
        for number in range(30):
            noise = generator.integers(-60, 56, (40, 40, 3))
            picture = Image.fromarray((np.array(colour) + noise).astype(np.uint8))
            picture.save(folder / "photographs" / name / f"{number:02}.png")
    run = folder / "run"
    assert main(["train", str(folder / "photographs"), *TINY, "--out", str(run)]) == 0
    return run


def test_a_probe_is_cross_validated_over_everything_but_the_test_set(photographs):
    info = json.loads((photographs / "run.json").read_text())
    splits, folds = info["data"]["splits"], info["probe_folds"]
    others = splits["train"] + splits["val"]
    right = round(folds["value"] * others)
    assert (folds["pictures"], others + splits["test"]) == (others, 60)
    assert (folds["value"], folds["low"], folds["high"]) == pytest.approx(
        (right / others, *wilson(right / 1.5, others / 1.5))
    )
    curve, ahead = info["learning_curve"], info["learning_forecast"]
    assert (ahead["of"], ahead["evaluated_on"], ahead["evaluated"]) == ("probe", "folds", others)
    # The last point is that of the same folds, each with four fifths of the pictures.
    assert (curve[-1]["accuracy"], curve[-1]["pictures"]) == (folds["value"], round(others * 4 / 5))
    page = " ".join((photographs / "report.html").read_text().split())
    assert f"cross-validated over the {others} pictures outside the test set" in page


def test_a_large_validation_set_evaluates_the_curve_of_a_probe(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(learning_curve, "ENOUGH", 5)
    run = tmp_path / "run"
    assert main(["train", str(photographs.parent / "photographs"), *TINY, "--out", str(run)]) == 0
    info = json.loads((run / "run.json").read_text())
    assert info["learning_forecast"]["evaluated_on"] == "validation"
    assert info["learning_curve"][-1]["accuracy"] == info["probe"]["accuracy"]
    assert info["learning_curve"][-1]["pictures"] == info["data"]["splits"]["train"]


def test_a_probe_fitted_again_is_the_one_of_fit_with_features_that_were_kept_or_made_anew():
    generator = np.random.default_rng(0)
    X, y = generator.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8), np.repeat(["a", "b"], 12)
    classifier = FineTuneClassifier(
        "mobilenetv2_050", weights="none", size=32, views=2.5, epochs=0, random_state=0
    )
    training, validation = (X[::2], y[::2]), (X[1::2], y[1::2])
    classifier.fit(*training, validation_data=validation)
    kept = ProbePictures.of(classifier, training, validation)
    del classifier._frozen
    anew = ProbePictures.of(classifier, training, validation)
    assert (kept.rows == anew.rows).all()
    assert kept.seen.tolist() == anew.seen.tolist() == [*range(24), *range(12), *kept.seen[36:]]
    again = kept.proba(np.arange(12), np.arange(12, 24), choose=True)
    np.testing.assert_allclose(again, classifier.predict_proba(X[1::2]), atol=1e-5)


def test_a_fine_tuned_network_is_repeated_bit_for_bit(photographs, tmp_path, capsys):
    assert main(["rerun", str(photographs), "--out", str(tmp_path / "again")]) == 0
    assert "bit for bit: weights, history and predictions" in capsys.readouterr().err
    assert "learning_curve" not in json.loads((tmp_path / "again" / "run.json").read_text())


def stripes(folder: Path, a_class: int) -> Path:
    """Twelve classes of so many 12 × 12 pictures, told apart by which column is bright."""
    generator = np.random.default_rng(0)
    for column in range(12):
        (folder / f"column {column:02}").mkdir(parents=True)
        for number in range(a_class):
            pixels = generator.integers(0, 60, (12, 12)).astype(np.uint8)
            pixels[:, column] = 255
            Image.fromarray(pixels).save(folder / f"column {column:02}" / f"{number}.png")
    return folder


@pytest.mark.parametrize(("a_class", "pictures"), [(3, None), (5, [12, 24, 36])])
def test_shares_that_are_the_same_pictures_make_no_point_of_their_own(a_class, pictures, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", str(stripes(tmp_path / "stripes", a_class)), "--hidden", "8", "--epochs", "2",
                 "--size", "12", "--split", f"{(a_class - 1) / a_class}", "--validation",
                 f"{1 / (a_class - 1)}", "--learning-curve", "true", "--out", str(run)]) == 0  # fmt: skip
    told = " ".join(capsys.readouterr().err.split())
    assert "nan" not in told
    info = json.loads((run / "run.json").read_text())
    if pictures is None:
        assert "learning_curve" not in info
        assert (
            "Curve none can be drawn: 12 classes share 12 training pictures, and fewer would leave a class "
            "without one"
        ) in told
    else:
        assert [point["pictures"] for point in info["learning_curve"]] == pictures
        assert [point["share"] for point in info["learning_curve"]] == [0.25, 0.5, 1.0]


def test_without_enough_validation_pictures_it_is_refused_before_training(bars, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", str(bars), "--hidden", "8", "--learning-curve", "true", "--out", str(run)]) == 2
    assert (
        "A learning curve is evaluated on 3 validation pictures, and needs 10 or more. "
        "Set more aside with --validation, or leave the learning curve out."
    ) in capsys.readouterr().err
    assert not run.exists()
