"""--repeats and --folds as a person types them, compare over them, and decisions taken back."""

import contextlib
import csv
import html
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.commands.conftest import SHORT, no_file_beyond, words

import linnaea
from linnaea.cli import main
from linnaea.commands import label_issues
from linnaea.commands.repeating import print_summary, sum_up
from linnaea.data.dataset import Dataset
from linnaea.data.sources import open_dataset
from linnaea.evaluation.intervals import wilson
from linnaea.evaluation.label_issues import read_csv
from linnaea.evaluation.predictions import Predictions
from linnaea.report.groups import build_group
from linnaea.runs.repeated import RunGroup, summary


def test_every_repeat_is_the_run_that_its_seed_alone_would_give(repeats, bars, tmp_path):
    assert main(["train", str(bars), *SHORT, "--seed", "5", "--out", str(tmp_path / "alone")]) == 0
    for file in ("weights.safetensors", "predictions.csv", "split.csv", "metrics.json"):
        assert (repeats / "2" / file).read_bytes() == (tmp_path / "alone" / file).read_bytes()
    info = json.loads((repeats / "2" / "run.json").read_text())
    group = json.loads((repeats / "repeats.json").read_text())["id"]
    assert info["one_of"] == {"kind": "repeats", "number": 2, "of": 2, "group": group}
    assert (info["recipe"]["seed"], info["recipe"]["repeats"]) == (5, None)


def test_the_summary_is_that_of_the_runs(repeats):
    told = json.loads((repeats / "repeats.json").read_text())
    accuracies = [
        json.loads((repeats / str(number) / "metrics.json").read_text())["accuracy"]["value"]
        for number in (1, 2)
    ]
    assert (told["state"], told["evaluated"]) == ("finished", 2)
    metric = told["metrics"]["accuracy"]
    assert metric["mean"] == pytest.approx(np.mean(accuracies))
    assert metric["deviation"] == pytest.approx(np.std(accuracies, ddof=1))
    assert (metric["min"], metric["max"]) == (min(accuracies), max(accuracies))
    assert f"{100 * np.mean(accuracies):.2f}" in (repeats / "report.html").read_text()


def test_a_metric_that_one_run_lacks_is_left_out():
    first = {"accuracy": {"value": 0.5}, "macro_auc": {"value": None}}
    assert set(summary([first, {"accuracy": {"value": 0.7}, "macro_auc": {"value": 0.9}}])) == {"accuracy"}


def test_repeats_are_kept_unless_overwrite_and_then_go_as_a_whole(repeats, bars, tmp_path, capsys):
    folder = tmp_path / "group"
    shutil.copytree(repeats, folder)
    short = ["train", str(bars), "--hidden", "4", "--epochs", "1", "--size", "12", "--out", str(folder)]
    (folder / "2" / "mine.txt").write_text("a person's own")
    assert main([*short, "--repeats", "2"]) == 1
    assert "already contains a run. Pass --overwrite" in capsys.readouterr().err
    assert main([*short, "--overwrite"]) == 0
    assert not (folder / "1").exists()
    assert not (folder / "repeats.json").exists()
    assert [path.name for path in (folder / "2").iterdir()] == ["mine.txt"]
    assert not RunGroup.is_group(folder)


def test_evaluate_computes_every_run_and_their_summary_again(repeats, tmp_path, capsys):
    group = tmp_path / "group"
    shutil.copytree(repeats, group)
    before = json.loads((group / "repeats.json").read_text())
    for file in ("metrics.json", "report.html"):
        (group / "2" / file).unlink()
    (group / "repeats.json").write_text(json.dumps({**before, "metrics": {}, "evaluated": 0}))
    assert linnaea.evaluate(group) == before["metrics"]
    assert json.loads((group / "repeats.json").read_text()) == before
    assert (group / "2" / "metrics.json").read_bytes() == (repeats / "2" / "metrics.json").read_bytes()
    assert (group / "2" / "report.html").exists()
    assert f"{100 * before['metrics']['accuracy']['mean']:.2f}" in capsys.readouterr().out
    # Of one run there is no deviation.
    (group / "repeats.json").write_text(json.dumps({**before, "runs": ["1"]}))
    assert main(["evaluate", str(group), "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)["accuracy"]
    assert told["values"] == before["metrics"]["accuracy"]["values"][:1]
    assert told["deviation"] is None


def test_sets_that_broke_their_guarantee_are_told_of_the_group(repeats, tmp_path, capsys):
    group = RunGroup.open_group(shutil.copytree(repeats, tmp_path / "group"))
    for run, p_value in zip(group.runs(), (0.4, 0.001), strict=True):
        broken = {"value": 0.8, "low": 0.7, "high": 0.9, "wanted": 0.95, "p_value": p_value}
        alarms = {"value": 0.4, "wanted": 0.05, "p_value": p_value, "split": "validation"}
        run.write_json("metrics.json", run.metrics() | {"set_coverage": broken, "outliers": alarms})
    sum_up(group)
    build_group(group)
    print_summary(group)
    told = " ".join(capsys.readouterr().err.split())
    assert "they contain the true class less often than guaranteed in run 2: see its report" in told
    assert "more familiar pictures than allowed are flagged as unfamiliar in run 2: see its report" in told
    page = " ".join(words(group.path / "report.html").split())
    assert "In 1 run (2) the prediction sets contained the true class less often" in page
    assert (
        "In 1 run (2) more familiar pictures than allowed were flagged as unfamiliar (out-of-distribution)."
        in page
    )
    assert "Prediction sets that contain the true class, 95 % wanted (%)" in page


def test_a_group_that_judged_nothing_has_nothing_to_evaluate(tmp_path, capsys):
    group = RunGroup.begin(tmp_path / "group", "repeats")
    group.update_info(runs=[])
    group.flush()
    assert main(["evaluate", str(group.path)]) == 1
    assert " ".join(capsys.readouterr().err.split()).endswith(
        f"None of the repeats in {group.path} has evaluated a test set. "
        f"Finish them: linnaea resume {group.path}."
    )


def test_report_draws_every_page_of_folds_again_and_they_lead_to_each_other(folds, capsys):
    pages = [
        folds / "report.html",
        folds / "label_issues.html",
        *(folds / f"{n}/report.html" for n in (1, 2, 3)),
    ]
    first = words(pages[0])
    for page in pages:
        page.unlink()
    assert main(["report", str(folds)]) == 0
    assert "report.html" in capsys.readouterr().err
    assert words(pages[0]) == first
    assert 'href="label_issues.html"' in pages[0].read_text()
    inner = pages[3].read_text()
    assert "Fold 2 of 3." in inner
    assert 'href="../report.html"' in inner
    assert 'href="../label_issues.html"' in inner
    assert pages[1].exists()


def test_folds_judge_every_picture_once(folds):
    table = Predictions.read_csv(folds / "folds.csv")
    assert len(table) == len(set(table.paths)) == 36
    for number in range(1, 4):
        with (folds / str(number) / "split.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 36
        tested = {row["path"] for row in rows if row["split"] == "test"}
        assert tested == set(Predictions.read_csv(folds / str(number) / "predictions.csv").paths)


def test_folds_state_the_accuracy_over_all_their_pictures_with_its_interval(folds, capsys):
    table = Predictions.read_csv(folds / "folds.csv")
    right = int((table.predicted == table.true).sum())
    low, high = wilson(right / 1.5, 36 / 1.5)  # folds share most of what they learn from
    group = RunGroup.open_group(folds)
    pooled = group.info.pooled
    assert pooled.pictures == 36
    assert (pooled.value, pooled.low, pooled.high) == pytest.approx((right / 36, low, high))
    print_summary(group)
    stated = f"{100 * right / 36:.1f} % of all 36 pictures right (95 %: {100 * low:.1f} to {100 * high:.1f}, "
    assert stated in " ".join(capsys.readouterr().err.split())
    assert stated in " ".join(words(folds / "report.html").split())


def test_swapped_labels_are_suggested_and_taken_back(folds, tmp_path, capsys):
    found = read_csv(folds / "label_issues.csv")
    assert {s.path.rsplit("/", 2)[-2:][0] + s.path[-7:] for s in found[:2]} == {
        "bar 0/03.png",
        "bar 2/06.png",
    }
    assert {(s.given, s.suggested) for s in found[:2]} == {("bar 2", "bar 0"), ("bar 1", "bar 2")}
    page = (folds / "label_issues.html").read_text()
    assert page.count("data:image/jpeg;base64,") == len(found)
    decisions = tmp_path / "decisions.csv"
    decisions.write_text("path,label\n" + "".join(f"{s.path},{s.suggested}\n" for s in found[:2]))
    table = folds.parent / "table.csv"
    before = table.read_bytes()
    new = tmp_path / "new.csv"
    assert main(["relabel", str(table), str(decisions), "--out", str(new)]) == 0
    assert "2 changed · 0 confirmed · 0 left out" in capsys.readouterr().err
    assert table.read_bytes() == before
    dataset = open_dataset(new)
    # Paths are relative to where the table lies: the same files by other names.
    files = [path.resolve() for path in dataset.files(range(36))]
    labels = dict(zip(files, dataset.labels, strict=True))
    assert [labels[(folds.parent / s.path).resolve()] for s in found[:2]] == [s.suggested for s in found[:2]]
    assert main(["relabel", str(table), str(decisions), "--out", str(new)]) == 1
    assert "new.csv exists already. Choose another place with --out." in capsys.readouterr().err
    # What is wrong with the decisions is told first: another place would not help.
    decisions.write_text("path,label\nnowhere.png,bar 0\n")
    assert main(["relabel", str(table), str(decisions), "--out", str(new)]) == 1
    assert "exists already" not in capsys.readouterr().err


def test_a_full_disk_costs_the_thumbnails_of_label_issues_and_not_the_folds(folds, tmp_path, capsys):
    group = RunGroup.open_group(shutil.copytree(folds, tmp_path / "three"))
    dataset = open_dataset(str(folds.parent / "table.csv"), data_dir=None)
    written = group.write_bytes

    def without_room(name, content):
        with no_file_beyond(100) if name.endswith(".jpg") else contextlib.nullcontext():
            written(name, content)

    group.write_bytes = without_room
    label_issues.find(group, dataset, {})
    said = capsys.readouterr().err
    assert "Pictures  none of the label issues are shown: " in said
    assert said.count("could not be written") == 1
    assert not list(group.path.glob("label_issues/*.jpg"))
    assert read_csv(group.path / "label_issues.csv") == read_csv(folds / "label_issues.csv")
    page = (group.path / "label_issues.html").read_text()
    assert "labels that may be wrong" in page


def test_the_command_that_is_named_for_decisions_works_as_it_stands(folds, tmp_path, monkeypatch):
    command = json.loads((folds / "folds.json").read_text())["relabel"]
    assert command == f"linnaea relabel '{folds.parent / 'table.csv'}' decisions.csv"
    assert command in html.unescape((folds / "label_issues.html").read_text())
    monkeypatch.chdir(tmp_path)
    issue = read_csv(folds / "label_issues.csv")[0]
    (tmp_path / "decisions.csv").write_text(f"path,label\n{issue.path},{issue.suggested}\n")
    assert main(shlex.split(command)[1:]) == 0
    assert (tmp_path / "table-relabelled.csv").exists()


@pytest.mark.parametrize(
    ("root", "data_dir", "command"),
    [
        (Path("pictures"), None, "linnaea relabel flowers102 decisions.csv"),
        (Path("pictures"), "my data", "linnaea relabel flowers102 decisions.csv --data-dir 'my data'"),
        (None, None, None),  # digits and mnist: no file holds their labels
    ],
)
def test_decisions_are_asked_for_where_they_can_be_taken_back(root, data_dir, command):
    dataset = Dataset("flowers102", "flowers102", ("a.png", "b.png"), np.array(["a", "b"]), root=root)
    assert label_issues.relabel_command(dataset, {"data_dir": data_dir}) == command


@pytest.mark.parametrize(
    ("found", "command", "told"),
    [
        (0, "linnaea relabel x decisions.csv", ["no label issues in 9 pictures"]),
        (1, None, ["1 label that may be wrong in 9 pictures", "see p.html"]),
        (
            2,
            "linnaea relabel x decisions.csv",
            [
                "2 labels that may be wrong in 9 pictures; the most likely come first",
                "review them in p.html, then: linnaea relabel x decisions.csv",
            ],
        ),
    ],
)
def test_label_issues_are_told_whatever_their_number(found, command, told):
    assert label_issues._summary(found, 9, "p.html", command) == told


def test_a_group_is_repeated_run_by_run(repeats, folds, tmp_path, capsys):
    for group, kind in ((repeats, "repeats"), (folds, "folds")):
        assert main(["rerun", str(group)]) == 1
        command = shlex.join(["linnaea", "rerun", str(group / "1")])
        sentence = f"Error: {group} contains {kind}, which are repeated one at a time. Run: {command}.\n"
        assert capsys.readouterr().err == sentence
        assert main([*shlex.split(command)[1:], "--out", str(tmp_path / kind)]) == 0
        assert "bit for bit: weights, history and predictions" in capsys.readouterr().err
        assert command in html.unescape((group / "1" / "report.html").read_text())


def test_a_group_without_a_finished_run_has_nothing_to_repeat(tmp_path, capsys):
    group = RunGroup.begin(tmp_path / "group", "repeats")
    group.update_info(runs=[])
    group.flush()
    assert main(["rerun", str(group.path)]) == 1
    assert capsys.readouterr().err == (
        f"Error: None of the repeats in {group.path} is finished: there is no result to repeat. "
        f"Finish them: linnaea resume {group.path}.\n"
    )


def test_unknown_classes_in_decisions_leave_nothing(bars, tmp_path, capsys):
    (tmp_path / "decisions.csv").write_text("path,label\nbar 0/01.png,bra 1\n")
    arguments = ["relabel", str(bars), str(tmp_path / "decisions.csv"), "--out", str(tmp_path / "new.csv")]
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert "1 row with a class that the data set does not have: 'bra 1' (line 2)" in told
    assert "Did you mean 'bar 1'" in told
    assert not (tmp_path / "new.csv").exists()


def test_repeats_are_compared_run_by_run(repeats, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(repeats, other)
    page = tmp_path / "c.html"
    assert main(["compare", str(repeats), str(other), "--out", str(page)]) == 0
    told = capsys.readouterr()
    assert "2 repeats" in told.out
    assert "two and other: no significant difference over 2 repeats: both classified the same" in told.err
    assert "Nadeau and Bengio" in page.read_text()


def test_the_mean_difference_of_repeats_is_told_with_its_interval(repeats, bars, tmp_path, capsys):
    other, page = tmp_path / "other", tmp_path / "c.html"
    asked = ["--hidden", "4", "--epochs", "1", "--size", "12", "--repeats", "2", "--seed", "4"]
    assert main(["train", str(bars), *asked, "--out", str(other)]) == 0
    capsys.readouterr()
    assert main(["compare", str(repeats), str(other), "--out", str(page)]) == 0
    told = " ".join(capsys.readouterr().err.split())
    accuracies = [
        [json.loads((group / n / "metrics.json").read_text())["accuracy"]["value"] for n in "12"]
        for group in (repeats, other)
    ]
    difference = 100 * (np.mean(accuracies[0]) - np.mean(accuracies[1]))
    deviation = 100 * np.std(np.subtract(*accuracies), ddof=1)
    found = re.search(
        r"two and other: no significant difference over 2 repeats \(two − other: ([+−][\d.]+) points on "
        r"average, 95 %: ([+−][\d.]+) to ([+−][\d.]+), standard deviation ([\d.]+)\)",
        told,
    )
    mean, low, high, spread = (float(end.replace("−", "-")) for end in found.groups())
    assert (mean, spread) == pytest.approx((difference, deviation), abs=0.051)
    assert low < mean < high
    assert f"{found[1]} points on average" in page.read_text()


def test_runs_tested_on_other_pictures_are_compared_only_when_asked(repeats, tmp_path, capsys):
    page = tmp_path / "c.html"
    pair = [str(repeats / "1"), str(repeats / "2"), "--out", str(page)]
    assert main(["compare", *pair]) == 1
    told = capsys.readouterr().err
    assert "The two tables hold different pictures: " in told
    assert "--common" in told
    assert not page.exists()
    assert main(["compare", *pair, "--common"]) == 0
    assert "that all of these runs were tested on" in page.read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--repeats", "3", "--folds", "3"],
            "repeats is 3 and folds is 3; runs are either repeats or folds.",
        ),
        (["--repeats", "1"], "repeats must be an integer from 2 to 100; received 1."),
        (["--folds", "3", "--split-from", "elsewhere"], "folds is 3 and split_from is elsewhere"),
    ],
)
def test_what_cannot_be_is_refused_before_any_data_is_read(options, sentence, bars, tmp_path, capsys):
    assert main(["train", str(bars), "--hidden", "4", *options, "--out", str(tmp_path / "r")]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
