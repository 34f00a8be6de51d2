"""Facts: a run knows what its classes look like, keeps it, and says so of new pictures."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from tests.commands.conftest import forget_checksums

from linnaea.cli import main


@pytest.fixture
def stripes(tmp_path):
    """A picture of stripes, which are no bar, and one as black as none of the bars is."""
    pixels = np.zeros((12, 12), np.uint8)
    pixels[::2] = 255
    Image.fromarray(pixels).save(tmp_path / "stripes.png")
    return tmp_path / "stripes.png"


def test_training_leaves_the_score_and_its_rate_on_the_test_part(trained):
    kept = json.loads((trained / "outliers.json").read_text())
    means = load_file(trained / "outliers.safetensors")["means"]
    info = json.loads((trained / "run.json").read_text())
    assert means.shape == (3, 8) == (kept["classes"], kept["width"])
    assert (np.linalg.norm(means, axis=1) <= 1 + 1e-6).all()  # means of vectors of length one
    assert (kept["split"], kept["pictures"]) == ("validation", info["data"]["splits"]["val"])
    told = json.loads((trained / "metrics.json").read_text())["outliers"]
    assert told["value"] == kept["test"]["above"] / info["data"]["splits"]["test"]
    assert told["low"] <= told["value"] <= told["high"]
    # 5 % were asked for; 3 pictures can guarantee one in four.
    assert (kept["asked"], told["wanted"], told["threshold"]) == (0.05, 0.25, kept["threshold"])


def test_evaluate_keeps_it(trained, tmp_path, capsys):
    copy = shutil.copytree(trained, tmp_path / "run")
    before = json.loads((copy / "metrics.json").read_text())["outliers"]
    (copy / "metrics.json").unlink()
    assert main(["evaluate", str(copy)]) == 0
    assert json.loads((copy / "metrics.json").read_text())["outliers"] == before
    assert "Flagged as unfamiliar (out-of-distribution), 25\u00a0% allowed" in capsys.readouterr().out


def test_predict_tells_in_every_format(trained, bars, stripes, capsys):
    pictures = [str(bars / "bar 1" / "05.png"), str(stripes)]
    threshold = json.loads((trained / "outliers.json").read_text())["threshold"]
    assert main(["predict", str(trained), *pictures, "--format", "json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [answer["ood"] for answer in answers] == [answer["ood_score"] > threshold for answer in answers]
    assert answers[1]["ood"]
    assert answers[1]["ood_score"] > answers[0]["ood_score"]
    assert main(["predict", str(trained), *pictures, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows[1]["ood"] == "yes"
    assert float(rows[1]["ood_score"]) == pytest.approx(answers[1]["ood_score"], rel=1e-8)
    assert main(["predict", str(trained), *pictures]) == 0
    told = capsys.readouterr()
    assert "Unfamiliar?" in told.out
    flagged = sum(answer["ood"] for answer in answers)
    assert f"Next      look at {flagged} of 2 answers yourself: " in told.err
    assert (
        "of unfamiliar pictures (out-of-distribution), at most 25 % false alarms are guaranteed on average, "
        "and at most 63.2 % with 95 % confidence, based on 3 validation pictures; 5 % would take 59"
    ) in told.err


def test_the_columns_are_the_same_whether_or_not_a_picture_can_be_read(trained, bars, tmp_path, capsys):
    (tmp_path / "torn.png").write_bytes(b"no picture")
    headers = []
    for picture, code in ((bars / "bar 1" / "05.png", 0), (tmp_path / "torn.png", 1)):
        assert main(["predict", str(trained), str(picture), "--format", "csv"]) == code
        headers.append(capsys.readouterr().out.splitlines()[0])
    assert headers == ["path,predicted,probability,ood,ood_score,brightness,bar 0,bar 1,bar 2,error"] * 2


def test_the_temperature_does_not_disturb_it(trained, stripes, tmp_path, capsys):
    told = []
    for temperature in (0.5, 3.0):
        copy = shutil.copytree(trained, tmp_path / f"{temperature}")
        forget_checksums(copy)
        (copy / "metrics.json").unlink()  # it says with which temperature they were computed
        (copy / "calibration.json").write_text(json.dumps({"temperature": temperature}))
        assert main(["predict", str(copy), str(stripes), "--format", "json"]) == 0
        told.append(json.loads(capsys.readouterr().out)[0])
    assert told[0]["probability"] != told[1]["probability"]
    assert told[0]["ood_score"] == pytest.approx(told[1]["ood_score"], rel=1e-6)


def test_without_a_validation_part_training_sets_the_threshold(bars, stripes, tmp_path, capsys):
    run = tmp_path / "run"
    arguments = ["--hidden", "8", "--epochs", "4", "--size", "12", "--validation", "0", "--out", str(run)]
    assert main(["train", str(bars), *arguments]) == 0
    kept = json.loads((run / "outliers.json").read_text())
    assert (kept["split"], kept["doubt"]) == ("training", "distances")
    assert (
        "training scores"
        in json.loads((run / "run.json").read_text())["chosen"]["out-of-distribution threshold"]
    )
    assert main(["predict", str(run), str(stripes), "--format", "json"]) == 0
    assert "ood" in json.loads(capsys.readouterr().out)[-1]


def test_a_run_older_than_the_score_predicts_without_it(trained, stripes, tmp_path, capsys):
    copy = shutil.copytree(trained, tmp_path / "run")
    (copy / "outliers.json").unlink()
    forget_checksums(copy)
    assert main(["predict", str(copy), str(stripes), "--format", "json"]) == 0
    assert "ood" not in json.loads(capsys.readouterr().out)[0]


@pytest.mark.parametrize("file", ["outliers.json", "outliers.safetensors"])
def test_a_score_that_was_edited_or_lost_is_not_believed(trained, stripes, tmp_path, capsys, file):
    copy = shutil.copytree(trained, tmp_path / "run")
    whole = (copy / file).read_bytes()
    before = (copy / "metrics.json").read_bytes()
    asked = (["predict", str(copy), str(stripes)], ["evaluate", str(copy)], ["report", str(copy)])
    # The last byte of both is one that any other byte makes a valid file of.
    for change, told in (
        (lambda path: path.write_bytes(whole[:-1] + b" "), f"{file} was changed since the run wrote it"),
        (lambda path: path.unlink(), f"{file} is missing; run.json keeps its checksum."),
    ):
        change(copy / file)
        for command in asked:
            assert main(command) == 1
            err = " ".join(capsys.readouterr().err.split())
            assert told in err
            assert "Restore the file, or train again." in err
    assert (copy / "metrics.json").read_bytes() == before


def test_a_damaged_score_is_one_sentence(trained, stripes, tmp_path, capsys):
    copy = shutil.copytree(trained, tmp_path / "run")
    forget_checksums(copy)
    kept = json.loads((copy / "outliers.json").read_text())
    (copy / "outliers.json").write_text(json.dumps(kept | {"width": 9}))
    assert main(["predict", str(copy), str(stripes)]) == 1
    told = capsys.readouterr().err
    assert "outliers.safetensors should hold means, float32 (3, 9); received float32 (3, 8)." in told
    (copy / "outliers.json").write_text(json.dumps(kept | {"test": {"above": 9, "pictures": 2}}))
    assert main(["evaluate", str(copy)]) == 1
    assert "is damaged: test is {'above': 9, 'pictures': 2}." in capsys.readouterr().err
