"""evaluate, predict, compare, report, check, recipes, doctor, demo, reproduce: as a person types them."""

import csv
import dataclasses
import io
import json
import shutil

import numpy as np
import pytest

import linnaea
from linnaea.cli import main
from linnaea.commands import reproduce
from linnaea.errors import RunError


@pytest.fixture
def run(trained, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(trained, tmp_path / "copy")


def test_evaluate_computes_the_same_metrics_again(run, capsys):
    before = (run / "metrics.json").read_bytes()
    (run / "metrics.json").unlink()
    assert main(["evaluate", str(run)]) == 0
    assert (run / "metrics.json").read_bytes() == before
    assert "Accuracy" in capsys.readouterr().out


def test_evaluate_refuses_a_table_edited_by_hand(run, capsys):
    lines = (run / "predictions.csv").read_text().splitlines()
    lines[1] = lines[1].rsplit(",", 1)[0] + ",0.9999"
    (run / "predictions.csv").write_text("\n".join(lines) + "\n")
    before = (run / "metrics.json").read_bytes()
    assert main(["evaluate", str(run)]) == 1
    assert "line 2: the probabilities are not between 0 and 1 with the sum 1" in capsys.readouterr().err
    assert (run / "metrics.json").read_bytes() == before


def test_predict_answers_as_json_and_tells_what_it_could_not_read(trained, bars, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    good = bars / "bar 1" / "03.png"
    assert main(["predict", str(trained), str(good), str(tmp_path / "bad.png"), "--format", "json"]) == 1
    answers = json.loads(capsys.readouterr().out)
    assert set(answers[0]) == {"path", "predicted", "probability", "probabilities", "ood", "ood_score"}
    assert answers[0]["path"] == str(good)
    assert answers[0]["predicted"] == max(answers[0]["probabilities"], key=answers[0]["probabilities"].get)
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1)
    assert set(answers[1]) == {"path", "error"}
    assert "bad.png" in answers[1]["error"]


def test_predict_as_csv_and_as_a_table_agree(trained, bars, capsys):
    pictures = [str(bars / f"bar {number}" / "05.png") for number in range(3)]
    assert main(["predict", str(trained), *pictures, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["path"] for row in rows] == pictures
    assert main(["predict", str(trained), *pictures]) == 0
    table = capsys.readouterr().out
    assert all(row["predicted"] in table for row in rows)


def test_compare_writes_a_page_and_says_the_difference_in_words(trained, run, tmp_path, capsys):
    page = tmp_path / "comparison.html"
    assert main(["compare", str(trained), str(run), "--out", str(page)]) == 0
    told = capsys.readouterr()
    assert "11 pictures" in told.err
    assert told.err.splitlines()[-1] == f"Next      look at it: linnaea open {page}"
    assert "<html" in page.read_text()
    assert "two" in told.out


def test_report_draws_the_page_again(run):
    (run / "report.html").unlink()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").stat().st_size > 1000


def test_check_lists_problems_as_json(bars, tmp_path, capsys):
    folder = shutil.copytree(bars, tmp_path / "bars")
    shutil.copy(folder / "bar 0" / "01.png", folder / "bar 2" / "copy.png")
    (folder / "bar 1" / "02.png").write_bytes(b"")
    assert main(["check", str(folder), "--format", "json"]) == 0
    problems = json.loads(capsys.readouterr().out)
    assert all(set(problem) == {"kind", "severity", "paths", "message"} for problem in problems)
    by_kind = {problem["kind"]: problem["paths"] for problem in problems}
    assert by_kind["unreadable"] == ["bar 1/02.png"]
    assert by_kind["exact_duplicate_across_classes"] == ["bar 0/01.png", "bar 2/copy.png"]


def test_recipes_and_doctor_answer(capsys):
    assert main(["recipes"]) == 0
    assert "part1-two-hidden" in capsys.readouterr().out
    assert main(["doctor"]) == 0
    assert "everything needed is here" in capsys.readouterr().err


def test_a_csv_and_part_folders_train(bars, tmp_path):
    rows = ["path,label"]
    for number in range(3):
        rows += [f"bars/bar {number}/{index:02}.png,bar {number}" for index in range(12)]
    shutil.copytree(bars, tmp_path / "bars")
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n")
    assert (
        main(
            [
                "train",
                str(tmp_path / "table.csv"),
                "--hidden",
                "8",
                "--epochs",
                "1",
                "--out",
                str(tmp_path / "a"),
            ]
        )
        == 0
    )
    for part, members in {"train": range(8), "test": range(8, 12)}.items():
        for number in range(3):
            target = tmp_path / "parted" / part / f"bar {number}"
            target.mkdir(parents=True)
            for index in members:
                shutil.copy(bars / f"bar {number}" / f"{index:02}.png", target)
    assert (
        main(
            [
                "train",
                str(tmp_path / "parted"),
                "--hidden",
                "8",
                "--epochs",
                "1",
                "--out",
                str(tmp_path / "b"),
            ]
        )
        == 0
    )
    info = json.loads((tmp_path / "b" / "run.json").read_text())
    assert info["data"]["splits"]["test"] == 12
    # No more official than the one who made them.
    split = "your folders test and train, 10 % of training set aside for validation (it is 12.5 %), seed 0"
    assert info["data"]["protocol"] == split
    assert split in (tmp_path / "b" / "report.html").read_text()


def test_reproduce_quick_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    # The report's own recipes, each for an epoch, on the 5,000 digits that come with a package: all 70,000
    # take so long that whatever else the machine does, or somebody changes, comes in between.
    part = reproduce.PARTS["part1"]
    part = dataclasses.replace(part, data="digits", recipes=part.recipes[:3], protocols={"0.7": "70-30"})
    monkeypatch.setitem(reproduce.PARTS, "part1", part)
    arguments = ["reproduce", "part1", "--split", "0.7", "--quick", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert capsys.readouterr().err.count("is finished") == 0
    stopped = tmp_path / "70-30" / "two-hidden" / "run.json"
    stopped.write_text(json.dumps({**json.loads(stopped.read_text()), "state": "interrupted"}))
    assert main(arguments) == 0
    told = capsys.readouterr()
    kept = [line for line in told.err.splitlines() if line.endswith("is finished")]
    assert (len(kept), [line for line in kept if "two-hidden" in line]) == (2, [])
    assert json.loads(stopped.read_text())["state"] == "finished"
    assert "94.54 %" in told.out
    assert (tmp_path / "70-30" / "comparison.html").exists()


@pytest.mark.parametrize("file", ["weights.safetensors", "model.json"])
def test_another_network_is_not_taken_for_the_one_that_was_judged(run, bars, tmp_path, capsys, file):
    options = ["--hidden", "8", "--epochs", "1", "--size", "12", "--seed", "7"]
    assert main(["train", str(bars), *options, "--out", str(tmp_path / "other")]) == 0
    shutil.copy(tmp_path / "other" / file, run / file)
    if file == "model.json":  # of the same kind and shape; one digit differs
        (run / file).write_text((run / file).read_text().rstrip() + "\n\n")
    capsys.readouterr()
    assert main(["predict", str(run), str(bars / "bar 0" / "01.png")]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"{file} was changed since the run wrote it: its SHA-256 is" in told
    with pytest.raises(RunError, match="was changed since the run wrote it"):
        linnaea.load(run)


@pytest.mark.parametrize("file", ["history.jsonl", "check.json"])
def test_a_history_or_a_check_that_was_cut_or_lost_is_missed(run, capsys, file):
    page = (run / "report.html").read_bytes()
    whole = (run / file).read_text()
    cut = (
        whole.replace('"note"', '"info"', 1) if file == "check.json" else "".join(whole.splitlines(True)[:2])
    )
    assert cut != whole
    for change, told in (
        (lambda path: path.write_text(cut), f"{file} was changed since the run wrote it"),
        (lambda path: path.unlink(), f"{file} is missing; run.json keeps its checksum."),
    ):
        change(run / file)
        assert main(["report", str(run)]) == 1
        assert told in " ".join(capsys.readouterr().err.split())
    assert (run / "report.html").read_bytes() == page


def test_load_gives_a_scikit_learn_classifier(trained):
    classifier = linnaea.load(trained)
    assert list(classifier.classes_) == ["bar 0", "bar 1", "bar 2"]
    assert np.allclose(classifier.predict_proba(np.zeros((2, 144), np.float32)).sum(axis=1), 1)
