"""Facts: repeats and folds believe only their own runs and tables, and say what is missing of them."""

import json
import shutil

import pytest
from tests.commands.conftest import words

from linnaea.cli import main
from linnaea.commands.repeating import sum_up
from linnaea.errors import RunError
from linnaea.runs.repeated import RunGroup


def test_a_group_is_compared_by_the_runs_that_it_has_judged(repeats, trained, tmp_path, capsys):
    page = tmp_path / "c.html"
    empty = RunGroup.begin(tmp_path / "empty", "repeats")
    empty.update_info(runs=[])
    empty.flush()
    assert main(["compare", str(empty.path), str(trained), "--out", str(page)]) == 1
    assert f"None of the repeats in {empty.path} has evaluated a test set." in capsys.readouterr().err
    assert not page.exists()
    half = RunGroup.open_group(shutil.copytree(repeats, tmp_path / "half"))
    shutil.rmtree(half.path / "2")
    half.update_info(runs=["1"], state="interrupted")
    half.flush()
    assert main(["compare", str(half.path), "--out", str(page)]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert f"half: 1 of 2 repeats evaluated so far; continue with: linnaea resume {half.path}" in told


@pytest.mark.parametrize("file", ["folds.csv", "label_issues.csv"])
def test_joint_tables_that_were_edited_or_lost_are_not_believed(folds, tmp_path, capsys, file):
    group = shutil.copytree(folds, tmp_path / "group")
    page = (group / "label_issues.html").read_bytes()
    for change, told in (
        (lambda path: path.write_text("garbage\n"), f"{file} was changed since the run wrote it"),
        (lambda path: path.unlink(), f"{file} is missing; folds.json keeps its checksum."),
    ):
        change(group / file)
        for verb in ("evaluate", "report"):
            assert main([verb, str(group)]) == 1
            assert told in " ".join(capsys.readouterr().err.split())
    assert (group / "label_issues.html").read_bytes() == page


def test_folds_of_an_earlier_version_keep_the_older_name_of_their_label_issues(folds, tmp_path, capsys):
    group = shutil.copytree(folds, tmp_path / "group")
    for end in ("", ".csv", ".html"):
        (group / f"label_issues{end}").rename(group / f"label_errors{end}")
    record = (group / "folds.json").read_text()
    (group / "folds.json").write_text(record.replace("label_issues.csv", "label_errors.csv"))
    page = (group / "label_errors.html").read_bytes()
    (group / "label_errors.html").write_text("older")
    assert main(["report", str(group)]) == 0
    assert (group / "label_errors.html").read_bytes() == page
    assert 'href="label_errors.html"' in (group / "report.html").read_text()
    assert 'href="../label_errors.html"' in (group / "1" / "report.html").read_text()
    assert not list(group.glob("label_issues*"))
    (group / "label_errors.csv").write_text("garbage\n")
    assert main(["evaluate", str(group)]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "label_errors.csv was changed since the run wrote it" in told
    RunGroup.begin(group, "folds", overwrite=True)
    assert not [path for path in group.rglob("label_errors*") if path.is_file()]


def test_a_run_that_is_gone_is_told_of_and_trained_again(repeats, tmp_path, capsys):
    group = shutil.copytree(repeats, tmp_path / "group")
    first = json.loads((group / "repeats.json").read_text())["metrics"]
    shutil.rmtree(group / "2")
    assert main(["evaluate", str(group)]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "repeat 2: these numbers are without it" in told
    assert f"train it again: linnaea resume {group}" in told
    assert " runs, 2 is missing. " in words(group / "report.html")
    assert main(["resume", str(group)]) == 0
    assert "these numbers are without" not in capsys.readouterr().err
    assert json.loads((group / "repeats.json").read_text())["metrics"] == first


def test_a_run_of_another_group_is_not_averaged_in(repeats, folds, tmp_path, capsys):
    group = shutil.copytree(repeats, tmp_path / "group")
    shutil.rmtree(group / "2")
    shutil.copytree(folds / "2", group / "2")
    for asked in (["report", str(group)], ["evaluate", str(group)], ["compare", str(group), str(repeats)]):
        assert main(asked) == 1
        told = " ".join(capsys.readouterr().err.split())
        assert f"{group / '2'} is not a run of {group}: it was made by another group. Put its own" in told
    assert main(["report", str(folds)]) == 0


def test_evaluate_writes_no_run_of_a_group_where_one_table_was_edited(repeats, tmp_path, capsys):
    group = shutil.copytree(repeats, tmp_path / "group")
    (group / "1" / "metrics.json").unlink()
    lines = (group / "2" / "predictions.csv").read_text().splitlines()
    (group / "2" / "predictions.csv").write_text("\n".join(lines[:-1]) + "\n")
    assert main(["evaluate", str(group)]) == 1
    assert "has no row for " in capsys.readouterr().err
    assert not (group / "1" / "metrics.json").exists()


def test_numbers_that_cannot_be_believed_are_not_summed_up(repeats, tmp_path):
    group = shutil.copytree(repeats, tmp_path / "group")
    before = (group / "repeats.json").read_bytes()
    (group / "2" / "metrics.json").write_text('{"accuracy": {"value": "high"}}')
    with pytest.raises(RunError, match=r"2/metrics.json is not valid: .*accuracy.value is 'high'"):
        sum_up(RunGroup.open_group(group))
    assert (group / "repeats.json").read_bytes() == before


def test_what_repeats_say_together_is_computed_anew_for_a_comparison(repeats, tmp_path, capsys):
    group = RunGroup.open_group(shutil.copytree(repeats, tmp_path / "group"))
    accuracy = group.info.as_json()["metrics"]["accuracy"]
    group.update_info(metrics={"accuracy": accuracy | {"mean": 0.999}}, evaluated=0)
    group.flush()
    pair = ["compare", str(repeats), str(group.path), "--out", str(tmp_path / "c.html")]
    assert main(pair) == 0
    shown = capsys.readouterr().out
    assert "99.90" not in shown
    assert shown.count(f"{100 * accuracy['mean']:.2f}") >= 2
    assert "99.90" not in (tmp_path / "c.html").read_text()


def test_the_page_of_folds_says_once_what_all_pictures_together_cannot_tell_and_what_to_do(folds):
    told = words(folds / "report.html").replace("\u00a0", " ")
    assert told.count("36 test pictures cannot tell") == 1
    assert told.count("cannot tell") == 1
    assert "go by the page of all runs together" not in told
    assert "For use, train once more without" in told
    assert "go by the page of all runs together" in words(folds / "1" / "report.html")


def test_the_page_of_repeats_names_the_runs_of_a_callout(repeats):
    told = words(repeats / "report.html").replace("\u00a0", " ")
    assert told.count("All runs: too few test pictures to tell how accurate this is.") == 1
