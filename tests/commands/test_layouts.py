"""Folders as people have them, at the command line: what is trained on, and what is said before."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from linnaea.cli import main
from linnaea.runs.folder import RunFolder

QUICK = ["--hidden", "4", "--epochs", "1", "--size", "12"]


def told(capsys):
    """What stands on the terminal, its lines joined."""
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def photos(bars, tmp_path, monkeypatch):
    """Pictures in a folder of their own; the person stands in it."""
    folder = shutil.copytree(bars, tmp_path / "photos")
    monkeypatch.chdir(folder)
    return folder


def test_the_runs_in_the_pictures_folder_are_no_class(photos, capsys):
    for number in (1, 2):
        assert main(["train", ".", *QUICK]) == 0
        assert "1 folder of runs left out (runs)." in told(capsys)
        run = RunFolder.open(f"runs/photos-{number}")
        assert (run.info.data.classes, run.info.data.pictures) == (["bar 0", "bar 1", "bar 2"], 36)
    assert (photos / "runs" / "photos-1" / "cells").is_dir()
    assert main(["check", ".", "--format", "json"]) == 0


def test_val_is_the_test_set_of_a_tutorial(bars, tmp_path, capsys):
    for split in ("train", "val"):
        shutil.copytree(bars, tmp_path / "bees" / split)
    assert main(["train", str(tmp_path / "bees"), *QUICK, "--out", str(tmp_path / "r")]) == 0
    said = told(capsys)
    assert "There is no test set, so the validation set is used as one" in said
    assert "divide all anew (--split 0.7)" in said
    assert RunFolder.open(tmp_path / "r").info.data.splits == {"train": 32, "val": 4, "test": 36}


@pytest.fixture
def sites(bars, tmp_path, monkeypatch):
    """The same classes at three places."""
    monkeypatch.chdir(tmp_path)
    for site in ("north", "south", "west"):
        shutil.copytree(bars, tmp_path / "sites" / site)
        for picture in (tmp_path / "sites" / site).glob("*/*.png"):
            # No two alike, or they would belong together.
            with picture.open("ab") as file:
                file.write(site.encode())
    return tmp_path / "sites"


@pytest.mark.parametrize("command", [["check"], ["train", *QUICK]])
def test_nothing_is_trained_before_it_is_clear_what_the_classes_are(sites, tmp_path, capsys, command):
    assert main([*command, "sites"]) == 1
    said = told(capsys)
    assert "north, south and west hold bar 0, bar 1 and bar 2; either may be the classes." in said
    assert "pass --layout folder/class, and --group-column folder" in said
    assert not (tmp_path / "runs").exists()


def test_the_commands_that_are_offered_do_what_they_say(sites, capsys):
    assert main(["check", "sites", "--layout", "folder/class", "--format", "json"]) == 0
    grouped = ["--layout", "folder/class", "--group-column", "folder", "--validation", "0"]
    assert main(["train", "sites", *QUICK, *grouped, "--out", "inner"]) == 0
    run = RunFolder.open("inner")
    assert run.info.data.classes == ["bar 0", "bar 1", "bar 2"]
    rows = (run.path / "split.csv").read_text().splitlines()[1:]
    by_site = {row.split("/")[0]: row.split(",")[3] for row in rows}
    assert len({(row.split("/")[0], row.split(",")[3]) for row in rows}) == len(by_site) == 3
    assert main(["train", "sites", *QUICK, "--layout", "class", "--out", "outer"]) == 0
    assert RunFolder.open("outer").info.data.classes == ["north", "south", "west"]
    # What was asked for once is asked for again by those who repeat it.
    assert main(["rerun", "inner", "--out", "again"]) == 0
    assert RunFolder.open("again").info.recipe["layout"] == "folder/class"


@pytest.mark.parametrize("command", [["check"], ["train", *QUICK]])
def test_a_class_that_is_not_unicode_is_refused_in_a_sentence(photos, capsys, command):
    try:
        os.rename(os.fsencode("bar 1"), b"caf\xe9")
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    assert main([*command, "."]) == 1
    said = told(capsys)
    assert "contains 1 class with a name that is not Unicode (caf?)" in said
    assert "Rename them and their folders, for example: convmv -r -f latin1 -t utf8 --notest ." in said


HEIC = (24).to_bytes(4) + b"ftypheic\0\0\0\0mif1heic"


def test_what_must_be_installed_is_said_once(photos, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for number in range(5):
        (photos / "bar 0" / f"IMG_{number}.HEIC").write_bytes(HEIC + bytes([number]))
    assert main(["check", ".", "--format", "json"]) == 0
    problems = json.loads(capsys.readouterr().out)
    (unreadable,) = [problem for problem in problems if problem["kind"] == "unreadable"]
    assert len(unreadable["paths"]) == 5
    assert unreadable["message"].startswith("5 pictures, bar 0/IMG_0.HEIC, bar 0/IMG_1.HEIC, ")
    assert main(["train", ".", *QUICK]) == 0
    said = told(capsys)
    assert "5 pictures left out as unreadable" in said
    assert said.count("pip install 'linnaea[heif]'") == 1


def test_a_folder_of_nothing_but_heic_says_why_it_cannot_be_used(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for number in range(6):
        folder = tmp_path / "phone" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.heic").write_bytes(HEIC + bytes([number]))
    assert main(["train", str(tmp_path / "phone"), *QUICK]) == 1
    said = told(capsys)
    assert "6 pictures cannot be read: 6 pictures, a/0.heic, a/2.heic, a/4.heic and 3 more: Reading" in said
    assert said.count("pip install 'linnaea[heif]'") == 1


@pytest.mark.skipif(os.name == "nt", reason="a closed pipe is another error there")
@pytest.mark.parametrize(("asked", "file"), [([], "run.json"), (["--repeats", "2"], "repeats.json")])
def test_a_run_whose_output_was_closed_says_so(bars, tmp_path, asked, file):
    command = [sys.executable, "-m", "linnaea", "train", str(bars), "--hidden", "4", "--size", "12"]
    command += ["--epochs", "100000", *asked, "--out", str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=120)
    info = json.loads((tmp_path / "run" / file).read_text())
    assert (info["state"], info["message"]) == (
        "failed",
        "Its output was piped to a program that has ended.",
    )


@pytest.mark.parametrize("command", [["check"], ["train", *QUICK]])
def test_a_place_that_is_not_unicode_is_refused_in_a_sentence(bars, tmp_path, capsys, monkeypatch, command):
    place = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        shutil.copytree(bars, place)
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    assert main([*command, str(place)]) == 2
    assert "caf\\xe9 is not Unicode, and no run can record it." in told(capsys)
    monkeypatch.chdir(place)
    assert main([*command, "."]) == 2
    assert "caf\\xe9 is not Unicode, and no run can record it." in told(capsys)


def test_a_run_is_not_begun_in_a_place_that_is_not_unicode(bars, tmp_path, capsys):
    out = str(tmp_path / os.fsdecode(b"caf\xe9"))
    assert main(["train", str(bars), *QUICK, "--out", out]) == 1
    assert "caf\\xe9 is not Unicode. Choose another folder with --out." in told(capsys)


def test_the_column_with_the_classes_is_chosen_and_kept(photos, capsys):
    rows = [
        f"{path.relative_to(photos).as_posix()},{path.parent.name},{number % 2}"
        for number, path in enumerate(sorted(photos.glob("*/*.png")))
    ]
    (photos / "bars.csv").write_text("\n".join(["picture,kind,even", *rows]))
    assert main(["check", "bars.csv"]) == 1
    assert "name it (perhaps kind or even): --label-column <name>." in told(capsys)
    assert main(["check", "bars.csv", "--label-column", "kind"]) == 0
    assert "train: linnaea train bars.csv --label-column kind" in told(capsys)
    assert main(["train", "bars.csv", *QUICK, "--label-column", "kind", "--out", "run"]) == 0
    assert RunFolder.open("run").info.data.classes == ["bar 0", "bar 1", "bar 2"]
    assert main(["rerun", "run", "--out", "again"]) == 0
    assert RunFolder.open("again").info.recipe["label_column"] == "kind"
