"""The pictures that a run keeps for its report."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnaea.classifiers.finetune.classifier import FineTuneClassifier
from linnaea.classifiers.perceptron.classifier import MLPClassifier
from linnaea.commands import mistakes
from linnaea.commands.study import Study
from linnaea.data.dataset import Dataset
from linnaea.data.scan import scan
from linnaea.data.split import Split
from linnaea.evaluation.predictions import Predictions
from linnaea.runs.folder import RunFolder

N = 30


def study_of(pixels: np.ndarray, photographs: bool) -> Study:
    """Return a study that trains on the first 30 pictures and tests on the others."""
    labels = np.array(["x", "y", "z"])[np.arange(len(pixels)) % 3]
    paths = tuple(f"{row:03}" for row in range(len(pixels)))
    dataset = Dataset("d", "d", paths, labels, pixels=pixels)
    nothing = np.array([], np.int64)
    split = Split(np.arange(N), nothing, np.arange(N, len(pixels)), "halves")
    how = {"side": 64} if photographs else {"size": pixels.shape[1]}
    return Study(scan(dataset, **how), split, pixels.shape[1], photographs)


def judged(study: Study, classifier) -> Predictions:
    X, y = study.test
    paths = tuple(study.dataset.paths[row] for row in study.rows("test"))
    classes = tuple(map(str, classifier.classes_))
    return Predictions(paths, y, classes, np.asarray(classifier.predict_proba(X), np.float64))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[Path, Predictions]:
    """A perceptron on noise: about two thirds of its 200 answers are wrong."""
    pixels = np.random.default_rng(0).integers(0, 256, (N + 200, 8, 8), dtype=np.uint8)
    study = study_of(pixels, photographs=False)
    classifier = MLPClassifier((5,), epochs=2, random_state=0).fit(*study.pair("train"))
    run = RunFolder.create(tmp_path_factory.mktemp("small") / "run")
    run.update_info(state="running")
    predictions = judged(study, classifier)
    mistakes.keep_mistakes(run, study, classifier, predictions)
    run.flush()
    return run.path, predictions


def rows_in(folder: Path, pattern: str = "??????.*") -> list[int]:
    return sorted({int(path.name[:6]) for path in folder.glob(pattern)})


def test_the_surest_mistakes_and_the_least_sure_right_answers_are_kept(small):
    run, table = small
    wrong = table.predicted != table.true
    kept = rows_in(run / "mistakes")
    assert len(kept) == 36
    assert wrong[kept].all()
    others = np.setdiff1d(np.flatnonzero(wrong), kept)
    assert table.confidence[kept].min() >= table.confidence[others].max()
    doubtful = rows_in(run / "doubtful")
    assert len(doubtful) == 12
    others = np.setdiff1d(np.flatnonzero(~wrong), doubtful)
    assert table.confidence[doubtful].max() <= table.confidence[others].min()


def test_each_shown_picture_has_a_heat_map_of_its_size(small):
    run, _ = small
    for folder in ("mistakes", "doubtful"):
        for path in (run / folder).glob("??????.png"):
            with Image.open(path) as picture, Image.open(path.with_suffix(".heat.png")) as heat:
                assert picture.size == heat.size == (8, 8)
                assert heat.mode == "RGB"
    assert RunFolder(run).info.heat_maps.model_dump() == {
        "method": "integrated gradients from black",
        "of": "predicted class",
        "places": [8, 8],
    }


def test_every_cell_of_the_confusion_matrix_has_its_pictures_twelve_at_most(small):
    run, table = small
    kept = rows_in(run / "cells")
    for true in table.classes:
        for predicted in table.classes:
            rows = np.flatnonzero((table.true == true) & (table.predicted == predicted))
            # Of a class itself, one example to compare its mistakes with: the surest.
            most = 1 if true == predicted else 12
            found = np.intersect1d(rows, kept)
            assert len(found) == min(most, len(rows))
            if true == predicted and len(rows):
                assert table.confidence[found] == table.confidence[rows].max()


def test_examples_are_of_the_most_confused_pairs_as_far_as_one_was_named_right():
    said = np.array(["b", "b", "b", "b", "a", "c"])
    true = np.array(["a", "a", "b", "b", "c", "c"])
    sure = np.array([0.9, 0.8, 0.6, 0.7, 0.5, 0.9])
    classes = np.array(["a", "b", "c"])
    probabilities = np.where(said[:, None] == classes, sure[:, None], (1 - sure[:, None]) / 2)
    table = Predictions(tuple("123456"), true, ("a", "b", "c"), probabilities)
    # Twice a for b, once c for a; no picture of a was named right.
    assert mistakes._examples(table) == [3, 5]


def test_where_there_is_no_room_each_cell_has_one_before_any_has_two(small, tmp_path, monkeypatch):
    _, table = small
    pixels = np.random.default_rng(0).integers(0, 256, (N + 200, 8, 8), dtype=np.uint8)
    monkeypatch.setattr(mistakes, "CELL_BYTES", 1500)
    wrong = np.flatnonzero(table.predicted != table.true)
    run = RunFolder(tmp_path)
    mistakes._keep_cells(run, study_of(pixels, False), {}, mistakes._rounds(wrong, table))
    assert sum(path.stat().st_size for path in (tmp_path / "cells").iterdir()) <= 1500
    kept = rows_in(tmp_path / "cells")
    each = np.unique(np.char.add(table.true[kept], table.predicted[kept]), return_counts=True)[1]
    assert len(each) == len(np.unique(np.char.add(table.true[wrong], table.predicted[wrong])))
    assert np.ptp(each) <= 1


def test_overwriting_a_run_removes_its_pictures(tmp_path):
    run = RunFolder.create(tmp_path / "run")
    run.update_info(state="finished")
    run.flush()
    for name in ("mistakes/000001.heat.png", "doubtful/000002.png", "cells/000003.jpg"):
        run.write_bytes(name, b"old")
    RunFolder.create(run.path, overwrite=True)
    assert not list(run.path.glob("*/*.*"))


@pytest.mark.parametrize("size", [32, 64])
def test_photographs_are_shown_whole_with_heat_where_the_network_looked(tmp_path, size):
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (N + 12, 60, 200, 3), dtype=np.uint8)
    study = study_of(pixels, photographs=True)
    classifier = FineTuneClassifier(
        "mobilenetv2_050", weights="none", size=size, views=1, epochs=0, precision="float32", random_state=0
    ).fit(*study.pair("train"))
    run = RunFolder.create(tmp_path / "run")
    run.update_info(state="running")
    run.flush()
    mistakes.keep_mistakes(run, study, classifier, judged(study, classifier))
    assert run.info.heat_maps.places == [size // 32, size // 32]
    if size == 32:
        # A map of one cell is the same everywhere.
        assert list((run.path / "mistakes").glob("*.jpg"))
        assert not list(run.path.glob("*/*.heat.*"))
        return
    heat = next((run.path / "mistakes").glob("*.heat.jpg"))
    with Image.open(heat) as picture:
        assert picture.size == (200, 60)
        pixels = np.asarray(picture.convert("RGB"), int)
    # The middle square is seen: outside it the picture is grey (up to the compression, in blocks of 16
    # pixels), and darker.
    colourful = np.ptp(pixels, axis=2) > 24
    assert not colourful[:, :54].any()
    assert not colourful[:, 146:].any()
    assert pixels[:, :54].mean() < pixels[:, 80:120].mean()
    assert run.info.heat_maps.method == "Grad-CAM on the last map"
