import csv
import json
import os
import shutil

import pytest
from tests.commands.conftest import leaking_splits

import linnaea
from linnaea.cli import main

SHORT = ["--hidden", "4", "--epochs", "1", "--size", "12"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LINNAEA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photos(bars, tmp_path):
    return shutil.copytree(bars, tmp_path / "photos")


def parts_of(run):
    return {row["path"]: row["split"] for row in csv.DictReader((run / "split.csv").read_text().splitlines())}


def test_a_pattern_keeps_plants_together_and_the_split_is_used_again(photos, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    # The first digit of 00 to 11 names the plant: ten pictures of a class are of plant 0, two of plant 1.
    pattern = ["--group-pattern", r"/(\d)", "--validation", "0"]
    assert main(["train", str(photos), *SHORT, *pattern, "--split", "0.8", "--out", str(first)]) == 0
    assert "kept together: 2 groups by the pattern /(\\d)" in capsys.readouterr().err
    rows = list(csv.DictReader((first / "split.csv").read_text().splitlines()))
    assert {(row["group"], row["split"]) for row in rows} == {("0", "train"), ("1", "test")}
    assert main(["train", str(photos), *SHORT, "--seed", "9", "--split-from", str(first),
                 "--out", str(second)]) == 0  # fmt: skip
    assert (second / "split.csv").read_text() == (first / "split.csv").read_text()
    info = json.loads((second / "run.json").read_text())
    assert info["data"]["split_hash"] == json.loads((first / "run.json").read_text())["data"]["split_hash"]
    assert info["data"]["protocol"].endswith(f", as in {first}")
    assert info["leaks"] == {"pictures": [], "n": 0, "validation": 0}
    assert info["test_reuse"]["earlier"] == 1
    assert "Caution   Other runs evaluated this test set once before." in capsys.readouterr().err


def test_a_split_whose_pictures_changed_is_refused_before_anything_is_written(photos, tmp_path, capsys):
    first = tmp_path / "first"
    assert main(["train", str(photos), *SHORT, "--out", str(first)]) == 0
    (photos / "bar 0/00.png").unlink()
    (photos / "bar 1/01.png").rename(photos / "bar 1/moved.png")
    (photos / "bar 2/02.png").write_bytes((photos / "bar 2/02.png").read_bytes()[:80])
    assert main(["train", str(photos), *SHORT, "--split-from", str(first / "split.csv"),
                 "--out", str(tmp_path / "second")]) == 1  # fmt: skip
    assert (
        "Error: 'photos' is not what the split was made from (1 missing: bar 0/00.png; "
        "1 moved: bar 1/01.png (now bar 1/moved.png); 1 unreadable or not listed: bar 2/02.png). "
        "Restore the pictures, or make a new split."
    ) in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "second").exists()


def test_a_place_without_a_split_is_told_before_the_pictures_are_read(tmp_path, photos, capsys):
    (photos / "bar 0/00.png").write_text("no picture")
    assert main(["train", str(photos), *SHORT, "--strict", "--split-from", str(tmp_path / "no")]) == 1
    assert (
        f"There is no split in {tmp_path / 'no'} (No such file or directory). "
        "--split-from takes a run folder, or the split.csv of one."
    ) in capsys.readouterr().err.replace("\n", " ")


def test_an_earlier_split_without_a_part_is_refused(photos, tmp_path, capsys):
    first = linnaea.train(str(photos), settings={"hidden": [4], "epochs": 1, "size": 12}, out=tmp_path / "a")
    text = (first.path / "split.csv").read_text().replace(",test,", ",train,")
    (tmp_path / "none.csv").write_text(text)
    assert main(["train", str(photos), *SHORT, "--split-from", str(tmp_path / "none.csv")]) == 1
    assert "The test set of 'photos' has no pictures (split of " in capsys.readouterr().err


def test_a_pipe_for_an_earlier_split_is_refused_and_not_waited_for(photos, tmp_path, capsys):
    os.mkfifo(tmp_path / "split.csv")
    assert main(["train", str(photos), *SHORT, "--split-from", str(tmp_path / "split.csv")]) == 1
    assert "split.csv is a named pipe, not a file. Leave it out." in " ".join(capsys.readouterr().err.split())


def test_copies_never_straddle_a_drawn_split(photos, tmp_path):
    copies = [
        (f"bar {number % 3}/{number:02}.png", f"bar {number % 3}/x{number}.png") for number in range(12)
    ]
    for original, copy in copies:
        shutil.copy(photos / original, photos / copy)
    run = linnaea.train(str(photos), settings={"hidden": [4], "epochs": 1, "size": 12}, out=tmp_path / "a")
    parts = parts_of(run.path)
    assert all(parts[original] == parts[copy] for original, copy in copies)
    assert "kept together: 12 groups of copies" in run.info.data.protocol
    assert run.info.leaks.model_dump() == {"pictures": [], "n": 0, "validation": 0}


def test_a_given_division_that_leaks_is_used_and_told_loudly(bars, tmp_path, capsys):
    given = leaking_splits(bars, tmp_path / "given")
    run = tmp_path / "run"
    assert main(["train", str(given), *SHORT, "--out", str(run)]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert (
        "LEAK 1 of 13 test pictures also appears in training or validation, as a duplicate or through a "
        "shared group: test/bar 0/copy.png The split is used as given; the accuracy is reported with and "
        "without it."
    ) in told
    info = json.loads((run / "run.json").read_text())
    assert info["leaks"] == {"pictures": ["test/bar 0/copy.png"], "n": 1, "validation": 0}
    assert info["data"]["splits"]["test"] == 13


def test_an_empty_part_of_a_folder_is_refused(bars, tmp_path, capsys):
    for part in ("train", "test"):
        shutil.copytree(bars, tmp_path / "given" / part)
    (tmp_path / "given/val/bar 0").mkdir(parents=True)
    assert main(["train", str(tmp_path / "given"), *SHORT, "--out", str(tmp_path / "run")]) == 1
    assert (
        f"{tmp_path / 'given/val'} contains no pictures. "
        "Add pictures in class folders, or remove the empty folder to have its set drawn from others."
    ) in " ".join(capsys.readouterr().err.split())
