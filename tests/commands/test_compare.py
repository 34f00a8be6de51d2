"""Facts: runs are compared on the pictures themselves, whatever their names, and on tables as they were."""

import shutil
from pathlib import Path

import pytest

from linnaea.cli import main
from linnaea.data.split_file import COLUMNS, read_split, split_hash
from linnaea.hashing import content_hash
from linnaea.runs.folder import RunFolder


def test_compare_knows_pictures_by_their_content(trained, bars, tmp_path, capsys):
    # The same pictures under other names.
    folder = shutil.copytree(bars, tmp_path / "bars")
    for number in range(3):
        for picture in (folder / f"bar {number}").iterdir():
            picture.rename(picture.with_name(f"renamed {picture.name}"))
    split = (trained / "split.csv").read_text().replace("/", "/renamed ")
    (tmp_path / "split.csv").write_text(split)
    asked = ["--hidden", "4", "--epochs", "1", "--size", "12", "--split-from"]
    moved, page = tmp_path / "moved", tmp_path / "comparison.html"
    assert main(["train", str(folder), *asked, str(tmp_path / "split.csv"), "--out", str(moved)]) == 0
    assert main(["compare", str(trained), str(moved), "--out", str(page)]) == 0
    assert "cannot be compared" not in page.read_text()

    # The same run on other contents of one test picture.
    changed = RunFolder.open(shutil.copytree(moved, tmp_path / "changed"))
    rows = read_split((changed.path / "split.csv").read_text())
    tested = next(row for row in rows if row["split"] == "test")
    tested["hash"] = content_hash(b"another picture")
    changed.write_csv("split.csv", list(COLUMNS), rows)
    changed.update_info(data={**changed.info.as_json()["data"], "split_hash": split_hash(rows)})
    changed.flush()
    capsys.readouterr()
    page.unlink()
    assert main(["compare", str(moved), str(changed.path), "--out", str(page)]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"1 ({tested['path']}) under one path with different content." in told
    assert not page.exists()


def test_a_run_that_stands_alone_is_compared_with_nothing(trained, tmp_path, capsys):
    assert main(["compare", str(trained), "--out", str(tmp_path / "c.html")]) == 0
    assert "Only one was given: there is nothing to compare it with." in capsys.readouterr().err


def test_a_page_replaces_nothing_but_a_page(trained, bars, tmp_path, capsys):
    picture = Path(shutil.copy(bars / "bar 1" / "05.png", tmp_path))
    letter = tmp_path / "letter.html"
    letter.write_text("<!doctype html><title>On Linnaea's travels</title>")
    for kept in (picture, letter):
        before = kept.read_bytes()
        for asked in (["compare", str(trained)], ["check", str(bars)]):
            assert main([*asked, "--out", str(kept)]) == 1
            told = " ".join(capsys.readouterr().err.split())
            assert f"{kept} exists already and is not a page of Linnaea's. Choose another place" in told
        assert kept.read_bytes() == before
    page = str(tmp_path / "page.html")
    for asked in (["compare", str(trained)], ["check", str(bars)], ["compare", str(trained)]):
        assert main([*asked, "--out", page]) == 0


def test_compare_refuses_a_table_edited_by_hand(trained, tmp_path, capsys):
    run = shutil.copytree(trained, tmp_path / "copy")
    lines = (run / "predictions.csv").read_text().splitlines()
    (run / "predictions.csv").write_text("\n".join(lines[:-1]) + "\n")
    assert main(["compare", str(trained), str(run), "--out", str(tmp_path / "c.html")]) == 1
    assert "1 of 11 rows are missing" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "c.html").exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("predictions.csv", None, "predictions.csv is missing; run.json keeps its checksum."),
        ("validation.csv", None, "validation.csv is missing; run.json keeps its checksum."),
        ("calibration.json", '{"pictures": "x"}', "calibration.json is not valid: pictures is 'x'"),
        ("metrics.json", "{", "metrics.json cannot be read"),
    ],
)
def test_compare_tells_nothing_of_a_run_that_lost_something(trained, tmp_path, capsys, name, content, told):
    run = shutil.copytree(trained, tmp_path / "copy")
    (run / name).unlink()
    if content is not None:
        (run / name).write_text(content)
    assert main(["compare", str(trained), str(run), "--out", str(tmp_path / "c.html")]) == 1
    printed = capsys.readouterr()
    assert told in " ".join(printed.err.split())
    assert printed.out == ""
    assert not (tmp_path / "c.html").exists()
