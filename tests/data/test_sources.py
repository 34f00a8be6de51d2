import os
import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from linnaea.data.sources import open_dataset
from linnaea.errors import DataError, UsageError


def message(error: type[Exception], source: str | Path, **settings: object) -> str:
    with pytest.raises(error) as caught:
        open_dataset(source, **settings)
    return str(caught.value)


def test_the_near_name_is_suggested(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "There is no data set or folder 'minst'. Did you mean 'mnist'?"
    assert message(UsageError, "minst") == text


def test_neighbouring_folders_and_tables_are_suggested(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flowers").mkdir()
    (tmp_path / "flower.csv").write_text("path,label\n")
    text = (
        "There is no data set or folder 'flowres/'. Did you mean 'flowers' or 'flowers102' or 'flower.csv'?"
    )
    assert message(UsageError, "flowres/") == text
    below = tmp_path / "flowrs"
    assert f"Did you mean '{tmp_path}/flowers'" in message(UsageError, str(below))


def test_nothing_near_lists_what_there_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message(UsageError, "qqq") == (
        "There is no data set or folder 'qqq'. "
        "Known are: digits, mnist, flowers102, a folder with one folder a class, or a CSV file."
    )


def test_what_is_in_memory_is_no_source():
    for source in (pd.DataFrame({"path": ["a.jpg"], "label": ["a"]}), ["a.jpg"], None):
        with pytest.raises(UsageError) as error:
            open_dataset(source)
        assert str(error.value) == (
            f"The data is a {type(source).__name__}, and a name or a path is needed. Write a table to a CSV "
            "file with the columns path and label, and pass its path; what is in memory is for the fit of a "
            "classifier."
        )


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK")
    assert "photos.zip is neither a folder of pictures nor a CSV file." in message(
        UsageError, tmp_path / "photos.zip"
    )


def test_a_name_wins_over_a_folder_which_a_path_still_reaches(make_folder, tmp_path, monkeypatch):
    make_folder({"a": 2, "b": 2}, name="digits")
    monkeypatch.chdir(tmp_path)
    assert len(open_dataset("digits")) == 5000
    assert len(open_dataset("./digits")) == 4
    assert len(open_dataset(Path("digits"))) == 4


def test_each_folder_is_a_class(make_folder):
    root = make_folder({"tulip": 2, "rose/red": 1, "rose/white": 2})
    dataset = open_dataset(f"{root}/", layout="class")
    assert dataset.paths == (
        "rose/red/0.png",
        "rose/white/0.png",
        "rose/white/1.png",
        "tulip/0.png",
        "tulip/1.png",
    )
    assert dataset.labels.tolist() == ["rose"] * 3 + ["tulip"] * 2
    assert (dataset.name, dataset.source, dataset.root) == ("photos", f"{root}/", root)
    assert dataset.splits is None
    assert dataset.notes == ()
    assert all(path.is_file() for path in dataset.files(range(5)))


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "valid", "TEST"), ("train", "validation", "testing")]
)
def test_part_folders_hold_class_folders(make_folder, names):
    root = make_folder({f"{split}/{label}": 2 for split in names for label in "ab"})
    dataset = open_dataset(root)
    assert sorted(set(zip(dataset.splits.tolist(), dataset.labels.tolist(), strict=True))) == [
        (split, label) for split in ("test", "train", "val") for label in "ab"
    ]


def test_a_lone_training_folder_is_no_division(make_folder):
    dataset = open_dataset(make_folder({"train/a": 2, "train/b": 2}))
    assert (dataset.class_names, dataset.splits) == (("a", "b"), None)


def test_what_is_left_out_is_counted(make_folder):
    root = make_folder({"a": 2, "b": 2, "empty": 0})
    for name in ("a/.hidden.png", "b/Thumbs.db", "a/notes.txt", "b/list.csv", "readme.md"):
        (root / name).write_text("x")
    Image.new("L", (3, 3)).save(root / "loose.png")
    dataset = open_dataset(root)
    assert len(dataset) == 4
    assert dataset.notes == (
        "2 hidden files left out (a/.hidden.png, b/Thumbs.db).",
        "3 files that are not pictures left out (a/notes.txt, b/list.csv, readme.md).",
        "1 picture outside any class folder left out (loose.png).",
        "1 empty class folder left out (empty).",
    )
    assert dataset.empty_classes == ("empty",)
    text = f"{root} contains 4 files that would be left out (a/notes.txt, b/list.csv, readme.md, loose.png). "
    assert message(DataError, root, strict=True) == text + "Move them away, or leave strict out."


def test_folders_that_cannot_be_used(make_folder, tmp_path):
    layout = "Give each class a folder of its own (photos/rose/1.jpg, photos/tulip/2.jpg)."
    empty = make_folder({}, name="empty")
    assert message(DataError, empty) == f"{empty} contains no pictures. {layout}"
    hollow = make_folder({"a": 0, "b": 0}, name="hollow")
    assert (
        message(DataError, hollow)
        == f"{hollow} contains 2 class folders and no picture in any of them. {layout}"
    )
    flat = make_folder({".": 3}, name="flat")
    assert message(DataError, flat) == f"{flat} contains 3 pictures and no class folders. {layout}"
    single = make_folder({"rose": 3, "tulip": 0}, name="single")
    assert message(DataError, single) == (
        f"{single} contains pictures of one class only, 'rose'. "
        "Classification needs two classes or more: add a folder for another class."
    )


def test_a_class_is_the_same_however_its_accent_is_written(make_folder):
    # macOS writes e and a combining accent, others one letter; both are the class rosé.
    dataset = open_dataset(
        make_folder({"train/rose\u0301": 1, "test/ros\u00e9": 1, "train/b": 1, "test/b": 1})
    )
    assert dataset.class_names == ("b", "ros\u00e9")


def test_a_name_that_is_not_unicode_is_left_out(make_folder):
    root = make_folder({"a": 1, "b": 1})
    try:
        os.rename(os.fsencode(root / "a" / "0.png"), os.fsencode(root / "a") + b"/\xff.png")
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    Image.new("L", (3, 3)).save(root / "a" / "1.png")
    assert open_dataset(root).notes == ("1 picture whose name is not Unicode left out (a/?.png).",)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not hold for this user")
def test_a_folder_that_may_not_be_read_is_named(make_folder):
    root = make_folder({"a": 1, "b": 1, "b/deep": 1})
    (root / "b" / "deep").chmod(0)
    try:
        assert re.search(r"The folder .*/b/deep could not be listed", message(DataError, root))
    finally:
        (root / "b" / "deep").chmod(0o755)
