"""Facts: the validation part, predicted once, calibrates the network; all numbers follow from the files."""

import csv
import io
import json
import shutil

import numpy as np
import pytest

import linnaea
from linnaea.cli import main
from linnaea.evaluation.calibration import fit_temperature, untempered
from linnaea.evaluation.predictions import Predictions


@pytest.fixture
def run(trained, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(trained, tmp_path / "copy")


def test_the_temperature_is_that_of_the_validation_table_and_lives_in_the_model(calibrated):
    trained = calibrated / "run"
    calibration = json.loads((trained / "calibration.json").read_text())
    validation = Predictions.read_csv(trained / "validation.csv")
    temperature = calibration["temperature"]
    assert fit_temperature(untempered(validation, temperature)) == pytest.approx(temperature, rel=1e-3)
    assert (calibration["pictures"], calibration["part"]) == (len(validation), "validation")
    assert linnaea.load(trained).temperature_ == temperature
    chosen = json.loads((trained / "run.json").read_text())["chosen"]
    assert (chosen["epoch"], chosen["temperature"]) == ("validation accuracy", "validation log loss")
    assert chosen["test part"].startswith("nothing")


def test_predictions_are_made_with_the_temperature(calibrated, capsys):
    trained, bars = calibrated / "run", calibrated / "bars"
    first = Predictions.read_csv(trained / "predictions.csv")
    assert main(["predict", str(trained), str(bars / first.paths[0]), "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)[0]
    np.testing.assert_allclose(list(answer["probabilities"].values()), first.probabilities[0], rtol=1e-5)


def test_three_validation_pictures_change_nothing(trained):
    calibration = json.loads((trained / "calibration.json").read_text())
    assert (calibration["temperature"], calibration["prediction_sets"]) == (1.0, None)
    chosen = json.loads((trained / "run.json").read_text())["chosen"]
    assert chosen["temperature"] == "nothing: with so few validation pictures it stays 1"


def test_a_set_of_classes_is_told_in_every_format(trained, bars, capsys):
    pictures = [str(bars / f"bar {number}" / "05.png") for number in range(3)]
    asked = ["predict", str(trained), *pictures, "--coverage", "0.5"]
    assert main([*asked, "--format", "json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    for answer in answers:
        p = answer["probabilities"]
        assert answer["set"][0] == answer["predicted"]
        assert [p[name] for name in answer["set"]] == sorted(p.values(), reverse=True)[: len(answer["set"])]
    assert main([*asked, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["set"].split(" | ") for row in rows] == [answer["set"] for answer in answers]
    assert main(asked) == 0
    assert "One of" in capsys.readouterr().out


def test_sets_are_refused_where_they_could_promise_nothing(run, bars, capsys):
    asked = ["predict", str(run), str(bars / "bar 0" / "01.png"), "--coverage"]
    assert main([*asked, "0.99"]) == 1
    assert "need at least 99 validation pictures" in capsys.readouterr().err
    assert main([*asked, "1.5"]) == 2
    (run / "validation.csv").unlink()
    assert main([*asked, "0.5"]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "has no predictions on a validation part, which sets of classes are fitted on." in told


def test_evaluate_writes_nothing_for_a_validation_table_edited_by_hand(run, capsys):
    text = (run / "validation.csv").read_text().splitlines()
    path, _, *rest = text[1].split(",")
    text[1] = ",".join([path, "bar 9", *rest])
    (run / "validation.csv").write_text("\n".join(text) + "\n")
    before = {name: (run / name).read_bytes() for name in ("metrics.json", "calibration.json")}
    assert main(["evaluate", str(run)]) == 1
    assert "line 2: the true class 'bar 9' has no column in this table" in capsys.readouterr().err
    assert {name: (run / name).read_bytes() for name in before} == before


def test_leaked_pictures_are_left_out_of_a_second_accuracy(run):
    paths = Predictions.read_csv(run / "predictions.csv").paths
    info = json.loads((run / "run.json").read_text())
    info["leaks"] = {"pictures": [paths[0], paths[1]], "n": 2, "validation": 0}
    (run / "run.json").write_text(json.dumps(info))
    assert main(["evaluate", str(run)]) == 0
    clean = json.loads((run / "metrics.json").read_text())["accuracy_without_leaks"]
    assert (clean["leaked"], clean["pictures"]) == (2, len(paths) - 2)


def test_without_a_validation_part_nothing_is_calibrated(bars, tmp_path):
    out = tmp_path / "run"
    code = main(["train", str(bars), "--hidden", "4", "--epochs", "1", "--size", "12", "--validation", "0",
                 "--out", str(out)])  # fmt: skip
    assert code == 0
    assert not (out / "calibration.json").exists()
    assert linnaea.load(out).temperature_ == 1.0
    chosen = json.loads((out / "run.json").read_text())["chosen"]
    assert chosen["temperature"] == "nothing: it stays 1"
    assert chosen["epoch"] == "nothing: the last epoch is kept"
