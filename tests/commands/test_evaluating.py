"""Facts: the validation part, predicted once, calibrates the network; all numbers follow from the files."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.commands.conftest import draw, forget_checksums, leaking_splits

import linnaea
from linnaea.cli import main
from linnaea.evaluation.calibration import fit_temperature, untempered
from linnaea.evaluation.predictions import Predictions
from linnaea.runs.folder import RunFolder
from linnaea.runs.guard import claimed


@pytest.fixture
def run(trained, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(trained, tmp_path / "copy")


def test_the_temperature_is_that_of_the_validation_table_and_lives_in_calibration_json(calibrated, tmp_path):
    trained = calibrated / "run"
    calibration = json.loads((trained / "calibration.json").read_text())
    validation = Predictions.read_csv(trained / "validation.csv")
    temperature = calibration["temperature"]
    assert fit_temperature(untempered(validation, temperature)) == pytest.approx(temperature, rel=1e-3)
    assert calibration["pictures"] == len(validation)
    classifier = linnaea.load(trained)
    assert classifier.temperature_ == temperature
    # The network was written before it was calibrated, and once; outside its run it carries its temperature.
    assert json.loads((trained / "model.json").read_text())["temperature"] == 1.0 != temperature
    classifier.save(tmp_path / "alone")
    assert type(classifier).load(tmp_path / "alone").temperature_ == temperature
    chosen = json.loads((trained / "run.json").read_text())["chosen"]
    assert (chosen["epoch"], chosen["temperature"]) == ("by validation accuracy", "by validation log loss")
    assert chosen["prediction sets"] == "by validation coverage"
    assert chosen["out-of-distribution threshold"] == (
        "by validation scores; at most 5 % false alarms are guaranteed on average, and at most 8.43 % with "
        "95 % confidence, based on 34 validation pictures; 5 % would take 59"
    )
    assert chosen["test set"].startswith("used for no choice")


def test_predictions_are_made_with_the_temperature(calibrated, capsys):
    trained, bars = calibrated / "run", calibrated / "bars"
    first = Predictions.read_csv(trained / "predictions.csv")
    assert main(["predict", str(trained), str(bars / first.paths[0]), "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)[0]
    np.testing.assert_allclose(list(answer["probabilities"].values()), first.probabilities[0], rtol=1e-5)


def test_three_validation_pictures_change_little_and_guarantee_nothing(trained):
    calibration = json.loads((trained / "calibration.json").read_text())
    assert abs(np.log(calibration["temperature"])) < 0.5
    assert calibration["prediction_sets"] is None
    chosen = json.loads((trained / "run.json").read_text())["chosen"]
    assert chosen["temperature"] == "by validation log loss"
    assert chosen["prediction sets"] == (
        "not made: a guarantee of 95 % takes 19 validation pictures, and there are only 3"
    )
    assert chosen["confidence threshold"] == (
        "not chosen: the validation set is too small, or too hard, to guarantee 80 % correct answers"
    )
    assert chosen["out-of-distribution threshold"] == (
        "by validation scores; at most 25 % false alarms are guaranteed on average, and at most 63.2 % with "
        "95 % confidence, based on 3 validation pictures; 5 % would take 59"
    )


def test_what_was_refused_is_told_in_the_report(trained):
    html = (trained / "report.html").read_text(encoding="utf-8").replace("\u00a0", " ")
    assert (
        "No prediction sets were made: a guarantee of 95 % takes 19 validation pictures, and there are "
        "only 3."
    ) in html
    assert (
        "No confidence threshold was chosen: the validation set is too small, or too hard, to guarantee "
        "80 % correct answers." in html
    )
    assert (
        "Of pictures of known classes, at most 25.0 % should be flagged by mistake (on average; "
        "3 validation pictures cannot guarantee less" in html
    )
    assert ", fitted on 3 validation pictures" in html


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
    told = capsys.readouterr()
    assert "Prediction set" in told.out
    # The last of three scores: Beta(3, 1), whose distribution function is x³.
    assert (
        "contain the true class at least 50 % of the time on average over many trainings; that "
        "these do is 87 % sure: they are based on 3 validation pictures, and 95 % confidence would take 5"
    ) in told.err


def test_sets_that_were_too_small_on_the_test_part_are_told_of(run, bars, capsys):
    asked = ["predict", str(run), str(bars / "bar 0" / "05.png"), "--coverage", "0.5"]
    metrics = json.loads((run / "metrics.json").read_text())
    broken = "when this network was evaluated, its prediction sets for 95 % contained the true class"
    for p_value, expected in ((0.004, True), (0.2, False)):
        metrics["set_coverage"] = {"value": 0.928, "wanted": 0.95, "p_value": p_value}
        RunFolder.open(run).write_json("metrics.json", metrics)
        assert main(asked) == 0
        told = " ".join(capsys.readouterr().err.split())
        assert (broken in told) is expected
        assert ("so few would be expected in 0.4 % of cases" in told) is expected
    (run / "metrics.json").unlink()
    assert main(asked) == 0
    # What cannot be read is told before any answer.
    (run / "metrics.json").write_text("{")
    capsys.readouterr()
    assert main(asked) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert f"Make it again: linnaea evaluate {run}." in told.err


def test_sets_are_refused_where_they_could_guarantee_nothing(run, bars, capsys):
    asked = ["predict", str(run), str(bars / "bar 0" / "01.png"), "--coverage"]
    assert main([*asked, "0.99"]) == 1
    assert "need at least 99 validation pictures" in capsys.readouterr().err
    assert main([*asked, "1.5"]) == 2
    (run / "validation.csv").unlink()
    assert main([*asked, "0.5"]) == 1
    assert "validation.csv is missing; run.json keeps its checksum." in capsys.readouterr().err
    forget_checksums(run)
    assert main([*asked, "0.5"]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "has no predictions on a validation set, which prediction sets are fitted on." in told


def test_sets_are_refused_where_the_validation_table_was_edited(run, bars, capsys):
    lines = (run / "validation.csv").read_text().splitlines()
    (run / "validation.csv").write_text("\n".join([*lines, lines[1]]) + "\n")
    assert main(["predict", str(run), str(bars / "bar 0" / "01.png"), "--coverage", "0.5"]) == 1
    assert "is in line 2 already" in " ".join(capsys.readouterr().err.split())


def test_evaluate_makes_a_lost_calibration_again(run):
    before = json.loads((run / "calibration.json").read_text())
    (run / "calibration.json").unlink()
    metrics = linnaea.evaluate(run)
    assert json.loads((run / "calibration.json").read_text()) == before
    assert "ece_before" in metrics


@pytest.mark.parametrize("table", ["validation.csv", "predictions.csv"])
def test_evaluate_misses_a_table_that_the_run_had(run, capsys, table):
    before = (run / "metrics.json").read_bytes()
    (run / table).unlink()
    assert main(["evaluate", str(run)]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"{table} is missing; run.json keeps its checksum. Restore the file, or train again." in told
    assert (run / "metrics.json").read_bytes() == before


def test_evaluate_writes_nothing_for_a_validation_table_edited_by_hand(run, capsys):
    text = (run / "validation.csv").read_text().splitlines()
    path, _, *rest = text[1].split(",")
    text[1] = ",".join([path, "bar 9", *rest])
    (run / "validation.csv").write_text("\n".join(text) + "\n")
    before = {name: (run / name).read_bytes() for name in ("metrics.json", "calibration.json")}
    assert main(["evaluate", str(run)]) == 1
    assert "line 2: the true class 'bar 9' has no column in this table" in capsys.readouterr().err
    assert {name: (run / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("file", ["metrics.json", "calibration.json"])
def test_a_run_that_lost_its_numbers_is_not_told_as_one_that_was_never_judged(run, capsys, file):
    (run / file).unlink()
    for asked in (["report", str(run)], ["compare", str(run), "--out", str(run.parent / "c.html")]):
        assert main(asked) == 1
        told = " ".join(capsys.readouterr().err.split())
        assert (
            f"{file} is missing; run.json keeps its checksum. Make it again: linnaea evaluate {run}." in told
        )
    assert main(["evaluate", str(run)]) == 0
    assert main(["report", str(run)]) == 0


@pytest.mark.parametrize("file", ["metrics.json", "calibration.json"])
def test_numbers_that_were_edited_are_not_believed_until_they_are_made_again(run, capsys, file):
    whole = (run / file).read_bytes()
    values = json.loads(whole)
    if file == "metrics.json":
        values["accuracy"]["value"] /= 2
    else:
        values["pictures"] += 1
    (run / file).write_text(json.dumps(values, indent=2))
    page = (run / "report.html").read_bytes()
    for asked in (["report", str(run)], ["compare", str(run), "--out", str(run.parent / "c.html")]):
        assert main(asked) == 1
        told = " ".join(capsys.readouterr().err.split())
        assert f"{file} was changed since the run wrote it: its SHA-256 is" in told
        assert f"Make it again: linnaea evaluate {run}." in told
    assert (run / "report.html").read_bytes() == page
    assert not (run.parent / "c.html").exists()
    assert main(["evaluate", str(run)]) == 0
    assert (run / file).read_bytes() == whole
    assert main(["report", str(run)]) == 0


def test_groups_that_were_edited_are_refused(bars, tmp_path, capsys):
    run = tmp_path / "run"
    asked = [
        "--hidden",
        "4",
        "--epochs",
        "1",
        "--size",
        "12",
        "--group-pattern",
        r"/(\d)",
        "--validation",
        "0",
    ]
    assert main(["train", str(bars), *asked, "--out", str(run)]) == 0
    rows = list(csv.DictReader(io.StringIO((run / "split.csv").read_text())))
    table = RunFolder.open(run)
    # Other names for the same groups change nothing.
    for row in rows:
        row["group"] = f"plant {row['group']}"
    table.write_csv("split.csv", list(rows[0]), rows)
    assert main(["evaluate", str(run)]) == 0
    before = (run / "metrics.json").read_bytes()
    table.write_csv("split.csv", list(rows[0]), [row | {"group": ""} for row in rows])
    capsys.readouterr()
    for verb in ("evaluate", "report"):
        assert main([verb, str(run)]) == 1
        assert "does not have the groups that the run was made with" in " ".join(
            capsys.readouterr().err.split()
        )
    assert (run / "metrics.json").read_bytes() == before


@pytest.fixture(scope="module")
def leaking(bars, tmp_path_factory):
    """A run on given splits, in which one picture of the test set is a copy of one of training."""
    folder = tmp_path_factory.mktemp("leaking")
    given = leaking_splits(bars, folder / "given")
    asked = ["--hidden", "4", "--epochs", "1", "--size", "12", "--out", str(folder / "run")]
    assert main(["train", str(given), *asked]) == 0
    return folder / "run"


def test_leaked_pictures_are_left_out_of_a_second_accuracy(leaking):
    clean = json.loads((leaking / "metrics.json").read_text())["accuracy_without_leaks"]
    assert (clean["leaked"], clean["pictures"]) == (1, 12)


@pytest.mark.parametrize("edited", [None, {"pictures": [], "n": 0, "validation": 0}, {"pictures": ["x"]}])
def test_leaks_edited_in_run_json_are_found_again_from_the_split(leaking, tmp_path, edited):
    run = shutil.copytree(leaking, tmp_path / "copy")
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**info, "leaks": edited}))
    assert main(["evaluate", str(run)]) == 0
    assert (run / "metrics.json").read_bytes() == (leaking / "metrics.json").read_bytes()
    assert json.loads((run / "run.json").read_text())["leaks"] == info["leaks"]
    assert info["leaks"] == {"pictures": ["test/bar 0/copy.png"], "n": 1, "validation": 0}


def surely_right(lines):
    """Return the first row of a table with all its probability on the true class."""
    path, true, _ = lines[1].split(",", 2)
    classes = lines[0].split(",")[3:]
    return ",".join([path, true, true, *("1" if name == true else "0" for name in classes)])


@pytest.mark.parametrize("table", ["predictions.csv", "validation.csv"])
@pytest.mark.parametrize("edit", ["removed", "doubled", "relabelled", "surer", "exchanged"])
def test_evaluate_writes_nothing_for_rows_edited_so_that_they_sum_to_one(run, capsys, table, edit):
    lines = (run / table).read_text().splitlines()
    path, true, rest = lines[1].split(",", 2)
    other = "bar 1" if true != "bar 1" else "bar 2"
    edited, told = {
        "removed": (lines[:1] + lines[2:], f"has no row for {path} of the "),
        "doubled": ([*lines, lines[1]], f"line {len(lines) + 1}: {path} is in line 2 already."),
        "relabelled": (
            [lines[0], f"{path},{other},{rest}", *lines[2:]],
            f"line 2: {path} has the true class '{other}', and '{true}' in split.csv.",
        ),
        # Nothing in these contradicts anything but the checksum.
        "surer": ([lines[0], surely_right(lines), *lines[2:]], "was changed since the run wrote it: its"),
        "exchanged": ([lines[0], *lines[:0:-1]], "was changed since the run wrote it: its SHA-256 is"),
    }[edit]
    (run / table).write_text("\n".join(edited) + "\n")
    before = {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()}
    assert main(["evaluate", str(run)]) == 1
    assert told in " ".join(capsys.readouterr().err.split())
    assert {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()} == before


def test_a_temperature_that_is_lost_with_its_copy_is_missed(calibrated, tmp_path, bars, capsys):
    run = shutil.copytree(calibrated / "run", tmp_path / "copy")
    (run / "calibration.json").unlink()
    assert main(["predict", str(run), str(bars / "bar 0" / "01.png")]) == 0
    (run / "metrics.json").unlink()
    for asked in (["evaluate", str(run)], ["predict", str(run), str(bars / "bar 0" / "01.png")]):
        capsys.readouterr()
        assert main(asked) == 1
        told = " ".join(capsys.readouterr().err.split())
        assert "calibration.json is missing; run.json keeps its checksum. Restore the file, or train" in told


def test_a_run_that_was_killed_before_its_evaluation_answers_with_its_temperature(calibrated, tmp_path):
    run = shutil.copytree(calibrated / "run", tmp_path / "copy")
    forget_checksums(run)
    (run / "metrics.json").unlink()
    temperature = json.loads((run / "calibration.json").read_text())["temperature"]
    assert linnaea.load(run).temperature_ == temperature != 1.0


def test_nobody_evaluates_a_run_that_is_being_written(run, capsys):
    before = (run / "metrics.json").read_bytes()
    (run / "metrics.json").unlink()
    with claimed(run):
        assert main(["evaluate", str(run)]) == 1
    assert f"{run} is being written by another process. Wait for it to finish." in " ".join(
        capsys.readouterr().err.split()
    )
    assert main(["evaluate", str(run)]) == 0
    assert (run / "metrics.json").read_bytes() == before


def test_a_network_of_an_older_version_has_its_temperature_itself(calibrated, tmp_path):
    run = shutil.copytree(calibrated / "run", tmp_path / "copy")
    forget_checksums(run)
    temperature = json.loads((run / "calibration.json").read_text())["temperature"]
    model = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps({**model, "temperature": temperature}))
    for name in ("calibration.json", "metrics.json"):
        (run / name).unlink()
    assert linnaea.load(run).temperature_ == temperature
    linnaea.evaluate(run)
    assert json.loads((run / "calibration.json").read_text())["temperature"] == temperature


def test_a_temperature_that_is_not_the_runs_is_refused(calibrated, tmp_path, capsys):
    run = shutil.copytree(calibrated / "run", tmp_path / "copy")
    own = json.loads((run / "calibration.json").read_text())["temperature"]
    calibration = json.loads((run / "calibration.json").read_text())
    (run / "calibration.json").write_text(json.dumps({**calibration, "temperature": 2.5}))
    before = (run / "metrics.json").read_bytes()
    assert main(["evaluate", str(run)]) == 1
    assert " ".join(capsys.readouterr().err.split()).endswith(
        f"{run / 'calibration.json'} has the temperature 2.5; that in metrics.json is {own!r}. "
        "Restore the file, or train again."
    )
    assert (run / "metrics.json").read_bytes() == before


def test_without_a_validation_part_nothing_is_calibrated(bars, tmp_path):
    out = tmp_path / "run"
    code = main(["train", str(bars), "--hidden", "4", "--epochs", "1", "--size", "12", "--validation", "0",
                 "--out", str(out)])  # fmt: skip
    assert code == 0
    assert not (out / "calibration.json").exists()
    assert linnaea.load(out).temperature_ == 1.0
    chosen = json.loads((out / "run.json").read_text())["chosen"]
    assert chosen["temperature"] == "not chosen: it stays 1"
    assert chosen["epoch"] == "not chosen: the last one is kept"


def test_the_intervals_of_a_run_on_groups_are_those_of_independent_pictures(tmp_path, capsys):
    bars = draw(tmp_path / "bars", count=40)
    # Five pictures of one plant, which are one picture to the network: it names all five right, or none.
    lines = ["path,label,plant"]
    for picture in sorted(bars.rglob("*.png")):
        plant = int(picture.stem) // 5
        first = picture.with_name(f"{5 * plant:02}.png")
        if picture != first:
            # One brighter dot each: no copies.
            pixels = np.asarray(Image.open(first)).copy()
            pixels[0, int(picture.stem) % 5] ^= 255
            Image.fromarray(pixels).save(picture)
        lines.append(f"{picture.relative_to(tmp_path)},{picture.parent.name},{picture.parent.name} {plant}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    run = tmp_path / "run"
    asked = ["--hidden", "2", "--epochs", "1", "--size", "12", "--group-column", "plant", "--split", "0.4"]
    assert main(["train", str(tmp_path / "table.csv"), *asked, "--out", str(run)]) == 0
    told = " ".join(capsys.readouterr().err.split())
    accuracy = json.loads((run / "metrics.json").read_text())["accuracy"]
    assert accuracy["pictures"] == 5 * accuracy["groups"]
    assert accuracy["independent"] <= accuracy["groups"] + 1
    said = f"its {accuracy['pictures']} test pictures belong to {accuracy['groups']} groups"
    assert said in told
    assert main(["evaluate", str(run)]) == 0
    assert said in " ".join(capsys.readouterr().err.split())
    page = " ".join((run / "report.html").read_text().split())
    assert f"Its {accuracy['pictures']} test pictures belong to {accuracy['groups']} groups" in page
