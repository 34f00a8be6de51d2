"""--repeats and --folds as a person types them, compare over them, and decisions taken back."""

import csv
import json
import re
import shutil

import numpy as np
import pytest

import linnaea
from linnaea.cli import main
from linnaea.data.sources import open_dataset
from linnaea.evaluation.label_errors import read_csv
from linnaea.evaluation.predictions import Predictions
from linnaea.runs.repeated import RunGroup, summary

SHORT = ["--hidden", "8", "--epochs", "3", "--size", "12"]


@pytest.fixture(scope="module")
def repeats(bars, tmp_path_factory):
    folder = tmp_path_factory.mktemp("groups") / "two"
    assert main(["train", str(bars), *SHORT, "--repeats", "2", "--seed", "4", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def folds(bars, tmp_path_factory):
    """Three folds of the bars with two labels wrong, as a table beside them."""
    folder = tmp_path_factory.mktemp("folds")
    rows = [f"{bars}/bar {c}/{i:02}.png,bar {c}" for c in range(3) for i in range(12)]
    rows[3] = rows[3].replace(",bar 0", ",bar 2")
    rows[30] = rows[30].replace(",bar 2", ",bar 1")
    (folder / "table.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    options = ["--hidden", "16", "--epochs", "40", "--size", "12", "--folds", "3", "--validation", "0"]
    assert main(["train", str(folder / "table.csv"), *options, "--out", str(folder / "three")]) == 0
    return folder / "three"


def test_every_repeat_is_the_run_that_its_seed_alone_would_give(repeats, bars, tmp_path):
    assert main(["train", str(bars), *SHORT, "--seed", "5", "--out", str(tmp_path / "alone")]) == 0
    for file in ("weights.safetensors", "predictions.csv", "split.csv", "metrics.json"):
        assert (repeats / "2" / file).read_bytes() == (tmp_path / "alone" / file).read_bytes()
    info = json.loads((repeats / "2" / "run.json").read_text())
    assert info["one_of"] == {"kind": "repeats", "number": 2, "of": 2}
    assert (info["recipe"]["seed"], info["recipe"]["repeats"]) == (5, None)


def test_the_summary_is_that_of_the_runs(repeats):
    told = json.loads((repeats / "repeats.json").read_text())
    accuracies = [
        json.loads((repeats / str(number) / "metrics.json").read_text())["accuracy"]["value"]
        for number in (1, 2)
    ]
    assert (told["state"], told["judged"]) == ("finished", 2)
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
    assert "already holds a run. Pass --overwrite" in capsys.readouterr().err
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
    (group / "repeats.json").write_text(json.dumps({**before, "metrics": {}, "judged": 0}))
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


def test_a_group_that_judged_nothing_has_nothing_to_evaluate(tmp_path, capsys):
    group = RunGroup.begin(tmp_path / "group", "repeats")
    group.update_info(runs=[])
    assert main(["evaluate", str(group.path)]) == 1
    assert " ".join(capsys.readouterr().err.split()).endswith(
        f"None of the repeats in {group.path} has judged a test part. "
        f"Train them to their end: linnaea resume {group.path}."
    )


def words(page):
    """What a page says, without its charts: their parts are numbered anew with every drawing."""
    return re.sub(r"<svg.*?</svg>|<[^>]+>", "", page.read_text(), flags=re.DOTALL)


def test_report_draws_every_page_of_folds_again_and_they_lead_to_each_other(folds, capsys):
    pages = [
        folds / "report.html",
        folds / "label_errors.html",
        *(folds / f"{n}/report.html" for n in (1, 2, 3)),
    ]
    first = words(pages[0])
    for page in pages:
        page.unlink()
    assert main(["report", str(folds)]) == 0
    assert "report.html" in capsys.readouterr().err
    assert words(pages[0]) == first
    assert 'href="label_errors.html"' in pages[0].read_text()
    inner = pages[3].read_text()
    assert "Fold 2 of 3." in inner
    assert 'href="../report.html"' in inner
    assert 'href="../label_errors.html"' in inner
    assert pages[1].exists()


def test_folds_judge_every_picture_once(folds):
    table = Predictions.read_csv(folds / "folds.csv")
    assert len(table) == len(set(table.paths)) == 36
    for number in range(1, 4):
        with (folds / str(number) / "split.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 36
        tested = {row["path"] for row in rows if row["part"] == "test"}
        assert tested == set(Predictions.read_csv(folds / str(number) / "predictions.csv").paths)


def test_swapped_labels_are_suggested_and_taken_back(folds, tmp_path, capsys):
    suspects = read_csv(folds / "label_errors.csv")
    assert {s.path.rsplit("/", 2)[-2:][0] + s.path[-7:] for s in suspects[:2]} == {
        "bar 0/03.png",
        "bar 2/06.png",
    }
    assert {(s.given, s.suggested) for s in suspects[:2]} == {("bar 2", "bar 0"), ("bar 1", "bar 2")}
    page = (folds / "label_errors.html").read_text()
    assert page.count("data:image/jpeg;base64,") == len(suspects)
    decisions = tmp_path / "decisions.csv"
    decisions.write_text("path,label\n" + "".join(f"{s.path},{s.suggested}\n" for s in suspects[:2]))
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
    assert [labels[(folds.parent / s.path).resolve()] for s in suspects[:2]] == [
        s.suggested for s in suspects[:2]
    ]
    assert main(["relabel", str(table), str(decisions), "--out", str(new)]) == 1
    assert "new.csv exists already. Choose another place with --out." in capsys.readouterr().err


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
    assert "two and other: " in told.err
    assert "Nadeau and Bengio" in page.read_text()


def test_runs_tested_on_other_pictures_are_compared_only_when_asked(repeats, tmp_path, capsys):
    page = tmp_path / "c.html"
    pair = [str(repeats / "1"), str(repeats / "2"), "--out", str(page)]
    assert main(["compare", *pair]) == 1
    told = capsys.readouterr().err
    assert "The two tables hold different pictures: " in told
    assert "--common" in told
    assert not page.exists()
    assert main(["compare", *pair, "--common"]) == 0
    assert "that both were tested on" in page.read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--repeats", "3", "--folds", "3"],
            "repeats is 3 and folds is 3; runs are either repeats or folds.",
        ),
        (["--repeats", "1"], "The setting 'repeats' is refused"),
        (["--folds", "3", "--split-from", "elsewhere"], "folds is 3 and split_from is elsewhere"),
    ],
)
def test_what_cannot_be_is_refused_before_any_data_is_read(options, sentence, bars, tmp_path, capsys):
    assert main(["train", str(bars), "--hidden", "4", *options, "--out", str(tmp_path / "r")]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
