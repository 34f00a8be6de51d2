"""linnaea check, and the check that train does: as a person types them."""

import json
import shutil

import pytest

from linnaea.cli import main
from linnaea.report.formatting import NBSP


@pytest.fixture
def copied(bars, tmp_path, monkeypatch):
    """Bars with one picture in two classes and one that is empty; the person stands beside them."""
    folder = shutil.copytree(bars, tmp_path / "bars")
    shutil.copy(folder / "bar 0" / "01.png", folder / "bar 2" / "copy.png")
    (folder / "bar 1" / "02.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_table_for_people_and_a_page(copied, capsys, tmp_path):
    assert main(["check", "bars"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[:3] == [
        f"error    Cannot be read · 1{NBSP}picture",
        "         bar 1/02.png is empty (0 bytes).",
        "         → They are left out of training. If one is damaged, restore it or delete it.",
    ]
    assert f"warning  Exact duplicates of several labels · 1{NBSP}group of 2{NBSP}pictures" in lines
    assert [" ".join(line.split()) for line in said.err.splitlines()[-2:]] == [
        "Page check.html",
        "Next look at them: linnaea open check.html",
    ]
    assert "bar 2/copy.png" in (tmp_path / "check.html").read_text(encoding="utf-8")


def test_a_narrow_terminal_breaks_lines_and_leaves_nothing_out(copied, capsys, monkeypatch):
    from rich.console import Console

    from linnaea.commands import terminal

    assert main(["check", "bars"]) == 0
    whole = capsys.readouterr().out
    monkeypatch.setattr(terminal, "results", Console(width=40, highlight=False))
    assert main(["check", "bars"]) == 0
    narrow = capsys.readouterr().out
    assert max(map(len, narrow.splitlines())) <= 40
    assert narrow.split() == whole.split()


def test_every_kind_of_problem_says_what_to_do():
    from linnaea.data.problems import KINDS
    from linnaea.report.checking import WHAT_TO_DO

    assert WHAT_TO_DO.keys() == KINDS.keys()


def test_json_writes_a_page_only_where_it_is_asked_for(copied, capsys, tmp_path):
    assert main(["check", "bars", "--format", "json"]) == 0
    assert not (tmp_path / "check.html").exists()
    assert {problem["kind"] for problem in json.loads(capsys.readouterr().out)} == {
        "unreadable", "exact_duplicate_across_classes", "small_class", "small_pictures",
    }  # fmt: skip
    (tmp_path / "pages").mkdir()
    assert main(["check", "bars", "--format", "json", "--out", "pages"]) == 0
    assert (tmp_path / "pages" / "check.html").exists()


def test_train_checks_quietly_and_keeps_what_it_found(copied, capsys, tmp_path):
    assert main(["train", "bars", "--hidden", "4", "--epochs", "1", "--size", "12", "--out", "run"]) == 0
    said = capsys.readouterr().err
    line = next(line for line in said.splitlines() if line.startswith("Check"))
    assert "2 pictures stand under several labels, byte for byte, such as bar 0/01.png" in " ".join(
        said.split()
    )
    assert line.split() == [
        "Check",
        "1",
        "error,",
        "1",
        "warning",
        "and",
        "2",
        "notes",
        "·",
        "run/check.html",
    ]
    problems = json.loads((tmp_path / "run" / "check.json").read_text(encoding="utf-8"))["problems"]
    assert [problem["kind"] for problem in problems] == [
        "unreadable", "exact_duplicate_across_classes", "small_class", "small_pictures",
    ]  # fmt: skip
    assert "bar 2/copy.png" in (tmp_path / "run" / "check.html").read_text(encoding="utf-8")


@pytest.fixture
def given(bars, tmp_path):
    """Bars in train/ and test/, a class and a copy of a picture in test/ alone."""
    for number, path in enumerate(sorted(bars.glob("*/*.png"))):
        place = tmp_path / "given" / ("test" if number % 2 or path.parent.name == "bar 2" else "train")
        (place / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / path.parent.name / path.name)
    learned = next((tmp_path / "given" / "train").glob("*/*.png"))
    shutil.copy(learned, tmp_path / "given" / "test" / learned.parent.name / "copy.png")
    return tmp_path / "given"


def test_a_split_that_is_drawn_anew_is_not_judged_by_the_one_of_the_folders(given, tmp_path, capsys):
    asked = ["--model", "mlp", "--hidden", "4", "--epochs", "1", "--size", "8", "--split", "0.7"]
    assert main(["train", str(given), *asked, "--out", str(tmp_path / "run")]) == 0
    assert "LEAK" not in capsys.readouterr().err
    problems = json.loads((tmp_path / "run" / "check.json").read_text())["problems"]
    kinds = {problem["kind"] for problem in problems}
    assert "exact_duplicate" in kinds
    assert not [kind for kind in kinds if kind == "missing_from_split" or kind.endswith("_across_splits")]
    assert not [problem for problem in problems if problem["severity"] == "error"]
    # The check alone judges the folders as they lie.
    assert main(["check", str(given), "--format", "json"]) == 0
    kinds = {problem["kind"] for problem in json.loads(capsys.readouterr().out)}
    assert {"missing_from_split", "exact_duplicate_across_splits"} <= kinds


def test_the_classes_are_named_below_the_data(bars, given, capsys):
    assert main(["check", str(bars), "--format", "table"]) == 0
    assert "bar 0, bar 1, bar 2" in " ".join(capsys.readouterr().err.split())
