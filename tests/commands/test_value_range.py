"""Pictures of more than 8 bits: trained on, evaluated, predicted and shown with one range."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import linnaea
from linnaea.cli import main
from linnaea.commands import choosing, study
from linnaea.runs.schema import Pixels
from linnaea.runs.settings import make_recipe

SIDE = 64


@pytest.fixture(scope="module")
def counts(tmp_path_factory) -> Path:
    """Two classes of counts from 100 to 300 in TIFFs of 16 bits: a bright bar, upright or lying."""
    folder = tmp_path_factory.mktemp("counts") / "tubes"
    generator = np.random.default_rng(0)
    for label in ("lying", "upright"):
        (folder / label).mkdir(parents=True)
        for number in range(24):
            picture = generator.integers(100, 180, (SIDE, SIDE)).astype(np.uint16)
            picture[8 + number : 24 + number] += 120
            picture[number, 60] = 65535  # a hot pixel
            picture = picture.T if label == "upright" else picture
            Image.fromarray(np.ascontiguousarray(picture)).save(folder / label / f"{number:02}.tif")
    return folder


PERCEPTRON = ["--hidden", "16", "--epochs", "15", "--size", "16"]
PRETRAINED = ["--model", "mobilenetv2_050", "--weights", "none", "--size", "32", "--epochs", "0",
              "--set", "views=1"]  # fmt: skip


def train(counts: Path, run: Path, *settings: str) -> dict:
    assert main(["train", str(counts), *settings, "--out", str(run)]) == 0
    return json.loads((run / "run.json").read_text())


def table(run: Path) -> list[dict[str, str]]:
    with (run / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def predicted(run: Path, files: list[Path], capsys) -> list[list[float]]:
    capsys.readouterr()
    assert main(["predict", str(run), *map(str, files), "--format", "json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    return [list(answer["probabilities"].values()) for answer in answers]


def stated(rows: list[dict[str, str]]) -> list[list[float]]:
    return [[float(row[name]) for name in list(row) if name.endswith(("lying", "upright"))] for row in rows]


@pytest.mark.parametrize("settings", [PERCEPTRON, PRETRAINED], ids=["perceptron", "pretrained"])
def test_prediction_reads_pictures_as_training_did(counts, tmp_path, capsys, settings):
    info = train(counts, tmp_path / "run", *settings)
    low, high = info["data"]["pixels"]["value_range"]
    assert (low, high) == pytest.approx((100, 299), abs=3)
    assert any("read on one scale" in note for note in info["data"]["notes"])
    rows = table(tmp_path / "run")
    files = [counts / row["path"] for row in rows]
    # All at once and one alone: a picture is never stretched by itself.
    np.testing.assert_allclose(predicted(tmp_path / "run", files, capsys), stated(rows), atol=1e-5)
    np.testing.assert_allclose(predicted(tmp_path / "run", files[:1], capsys), stated(rows[:1]), atol=1e-5)
    if settings is PRETRAINED:
        kept = json.loads((tmp_path / "run" / "model.json").read_text())["preprocessing"]["value_range"]
        assert kept == [low, high]
        np.testing.assert_allclose(
            linnaea.load(tmp_path / "run").predict_proba(files), stated(rows), atol=1e-5
        )


def test_a_perceptron_learns_from_counts(counts, tmp_path):
    train(counts, tmp_path / "run", *PERCEPTRON)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["accuracy"]["value"] > 0.9


def test_the_pages_show_pictures_as_the_network_saw_them(counts, tmp_path):
    train(counts, tmp_path / "run", *PERCEPTRON)
    shown = [*(tmp_path / "run").glob("doubtful/*.*"), *(tmp_path / "run").glob("mistakes/*.*")]
    pictures = [np.asarray(Image.open(file).convert("L")) for file in shown if ".heat" not in file.name]
    assert pictures
    assert all(np.ptp(picture.astype(int)) > 200 for picture in pictures)


def test_a_range_that_is_asked_for_is_recorded_and_used(counts, tmp_path, capsys):
    info = train(counts, tmp_path / "run", *PERCEPTRON, "--value-range", "50,350")
    assert info["recipe"]["value_range"] == "50,350"
    assert info["data"]["pixels"]["value_range"] == [50, 350]
    rows = table(tmp_path / "run")
    files = [counts / row["path"] for row in rows]
    np.testing.assert_allclose(predicted(tmp_path / "run", files, capsys), stated(rows), atol=1e-5)


def test_a_run_that_is_continued_reads_its_pictures_as_it_began(counts):
    recipe = make_recipe({"model": "mlp", "size": 16})

    def read(recorded: Pixels | None):
        classifier = choosing.new_classifier(recipe)
        opened = study.open_study(
            str(counts), recipe, classifier, data_dir=None, strict=False, recorded=recorded
        )
        return opened.dataset.value_range

    assert read(None) == pytest.approx((100, 299), abs=3)
    assert read(Pixels(size=16, value_range=[0.0, 500.0])) == (0, 500)
    assert read(Pixels(size=16, value_range="picture")) == "picture"
    # One of before there was a range.
    assert read(Pixels(size=16)) is None


def test_check_tells_the_range_and_takes_another(counts, tmp_path, capsys):
    assert main(["check", str(counts), "--out", str(tmp_path / "check.html")]) == 0
    assert "read on one scale" in " ".join(capsys.readouterr().err.split())
    arguments = ["check", str(counts), "--format", "json", "--value-range", "0,400"]
    assert main(arguments) == 0
    problems = json.loads(capsys.readouterr().out)
    assert any("read with 8, 0 to 400 from black to white" in problem["message"] for problem in problems)
    assert main([*arguments[:-1], "300,100"]) != 0
    assert "such as --value-range 0,4095" in " ".join(capsys.readouterr().err.split())


def test_blank_pictures_are_an_error_that_names_the_cure(counts, tmp_path, capsys):
    # Far too wide a range: what every picture looked like before there was one.
    assert main(["check", str(counts), "--format", "json", "--value-range", "0,65535"]) == 0
    problems = json.loads(capsys.readouterr().out)
    [blank] = [problem for problem in problems if problem["kind"] == "blank"]
    assert (blank["severity"], len(blank["paths"])) == ("error", 48)
    assert "--value-range" in blank["message"]


def test_a_classifier_in_python_finds_the_range_of_its_files(counts):
    from linnaea.classifiers.finetune.classifier import FineTuneClassifier

    files = sorted(counts.glob("*/*.tif"))
    labels = np.array([file.parent.name for file in files])
    classifier = FineTuneClassifier("mobilenetv2_050", weights="none", size=32, epochs=0, views=1)
    classifier.fit(files, labels)
    assert classifier.preprocessing_.value_range == pytest.approx((100, 299), abs=3)
    content = io.BytesIO(files[0].read_bytes())
    np.testing.assert_allclose(
        classifier.predict_proba([Image.open(content)]), classifier.predict_proba(files[:1]), atol=1e-3
    )


def test_predict_names_pictures_of_a_brightness_that_was_not_learned(trained, bars, tmp_path, capsys):
    levels = np.asarray(Image.open(bars / "bar 1" / "03.png"))
    for name, changed in {"dark": levels // 5, "light": 255 - levels // 4, "near": levels + 3}.items():
        Image.fromarray(changed.astype(np.uint8)).save(tmp_path / f"{name}.png")
    files = [tmp_path / name for name in ("dark.png", "light.png", "near.png")] + [bars / "bar 1" / "03.png"]
    capsys.readouterr()
    assert main(["predict", str(trained), *map(str, files), "--format", "json"]) == 0
    printed = capsys.readouterr()
    remarks = [answer.get("brightness") for answer in json.loads(printed.out)]
    assert remarks == ["darker", "brighter", None, None]
    assert "2 pictures are far darker or brighter than any that the network learned" in printed.err


def test_predict_names_numbers_of_another_kind(counts, tmp_path, capsys):
    train(counts, tmp_path / "run", *PERCEPTRON)
    counted = np.asarray(Image.open(next(counts.glob("*/*.tif"))))
    Image.fromarray((counted / 300).astype(np.float32)).save(tmp_path / "shares.tif")
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "shares.tif"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["brightness"] == "darker"
