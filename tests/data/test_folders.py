"""Links among class folders: followed where they lead to other pictures, never twice, never in a circle."""

import os

import pytest
from tests.data.conftest import refusal

from linnaea.data.sources import open_dataset
from linnaea.errors import DataError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need rights there")


def test_a_linked_class_folder_is_read_like_any_other(make_folder):
    elsewhere = make_folder({"roses": 1, "roses/white": 1, "more": 2}, name="elsewhere")
    root = make_folder({"tulip": 1, "rose": 1})
    (root / "wild").symlink_to(elsewhere / "roses")
    (root / "rose" / "linked").symlink_to(elsewhere / "more")
    dataset = open_dataset(root)
    assert list(zip(dataset.paths, dataset.labels.tolist(), strict=True)) == [
        ("rose/0.png", "rose"),
        ("rose/linked/0.png", "rose"),
        ("rose/linked/1.png", "rose"),
        ("tulip/0.png", "tulip"),
        ("wild/0.png", "wild"),
        ("wild/white/0.png", "wild"),
    ]
    assert all(path.is_file() for path in dataset.files(range(6)))
    assert dataset.notes == ()


def test_linked_parts_and_linked_pictures_are_read(make_folder):
    elsewhere = make_folder({"a": 2, "b": 2}, name="elsewhere")
    root = make_folder({"train/a": 2, "train/b": 2})
    (root / "test").symlink_to(elsewhere)
    (root / "train" / "a" / "linked.png").symlink_to(elsewhere / "b" / "0.png")
    dataset = open_dataset(root)
    assert sorted(dataset.splits.tolist()) == ["test"] * 4 + ["train"] * 5
    assert dataset.split_name == "your folders test and train"
    assert "train/a/linked.png" in dataset.paths
    assert dataset.notes == ()


@pytest.mark.parametrize("target", [".", "..", "/", "{root}"])
def test_a_link_up_is_left_out_and_told(make_folder, target):
    root = make_folder({"a": 2, "b": 2})
    (root / "all").symlink_to(target.format(root=root))
    dataset = open_dataset(root)
    assert (dataset.class_names, len(dataset)) == (("a", "b"), 4)
    assert dataset.notes == ("1 link back to this folder or above it left out (all).",)
    assert dataset.empty_classes == ()
    with pytest.raises(DataError, match=r"contains 1 file that would be left out \(all\)"):
        open_dataset(root, strict=True)


def test_a_folder_is_read_once_whatever_number_of_names_it_has(make_folder):
    root = make_folder({"b": 2, "c": 2})
    # Before its own folder in the alphabet: the folder is the class all the same.
    (root / "a").symlink_to("b")
    (root / "c" / "deep").symlink_to("../b")
    dataset = open_dataset(root)
    assert dataset.paths == ("b/0.png", "b/1.png", "c/0.png", "c/1.png")
    assert dataset.notes == ("2 links to folders that are read already left out (a, c/deep).",)


def test_a_circle_outside_ends(make_folder):
    elsewhere = make_folder({"x": 1, "y": 1}, name="elsewhere")
    (elsewhere / "x" / "round").symlink_to(elsewhere)
    (elsewhere / "y" / "self").symlink_to("self")
    root = make_folder({"a": 1})
    (root / "linked").symlink_to(elsewhere)
    (root / "a" / "home").symlink_to(root)
    dataset = open_dataset(root, layout="class")
    assert dataset.paths == ("a/0.png", "linked/x/0.png", "linked/y/0.png")
    assert dataset.notes == (
        "1 link to a folder that is read already left out (linked/x/round).",
        "1 link back to this folder or above it left out (a/home).",
        "1 file that is not a picture left out (linked/y/self).",
    )


def test_a_part_that_is_another_part_under_a_second_name_is_refused(make_folder):
    root = make_folder({f"{split}/{label}": 1 for split in ("train", "test") for label in "ab"})
    (root / "val").symlink_to("test")
    with pytest.raises(DataError) as caught:
        open_dataset(root)
    assert str(caught.value) == (
        f"{root}/val contains no pictures; 1 link to a folder that is read already left out (val). "
        "Add pictures in class folders, or remove the empty folder to have its set drawn from others."
    )


def test_one_class_and_its_link_are_one_class(make_folder):
    root = make_folder({"a": 2})
    (root / "b").symlink_to("a")
    with pytest.raises(DataError, match=r"one class only, 'a'; 1 link to a folder that is read already left"):
        open_dataset(root)


def test_a_data_set_that_is_reached_by_a_link_is_read(make_folder, tmp_path):
    root = make_folder({"a": 1, "b": 1})
    (tmp_path / "link").symlink_to(root)
    assert open_dataset(tmp_path / "link").paths == open_dataset(root).paths


def left_out(root):
    """What a folder of two classes leaves out."""
    dataset = open_dataset(root)
    assert (dataset.class_names, dataset.empty_classes) == (("cat", "dog"), ())
    return dataset.notes


def test_folders_of_other_programs_are_left_out_at_every_depth(make_folder):
    programs = ["$RECYCLE.BIN/S-1-5", "#recycle", "cat/@eaDir/0.png", "dog/deep/Thumbs", "cat/.thumbnails"]
    root = make_folder({"cat": 2, "dog": 2, "dog/deep": 1} | dict.fromkeys(programs, 2))
    assert len(open_dataset(root)) == 5
    assert left_out(root) == (
        "5 folders of other programs left out (#recycle, $RECYCLE.BIN, cat/.thumbnails and 2 more).",
    )
    assert len(open_dataset(root, strict=True)) == 5


def run_in(folder, record="run.json", content='{"format_version": 3}'):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / record).write_text(content)
    (folder / "split.csv").write_text("path,hash,label,split,group\n")


def test_folders_of_runs_are_left_out_at_every_depth(make_folder):
    thumbnails = dict.fromkeys(["runs/a-1/mistakes", "runs/a-2/1/cells", "dog/run/doubtful"], 2)
    root = make_folder({"cat": 2, "dog": 2} | thumbnails)
    run_in(root / "runs" / "a-1")
    run_in(root / "runs" / "a-2", "folds.json")
    run_in(root / "runs" / "a-2" / "1")
    run_in(root / "dog" / "run")
    (root / "runs" / "a-3").mkdir()
    (root / "runs" / "a-3" / "run.lock").write_text("")
    assert left_out(root) == ("2 folders of runs left out (dog/run, runs).",)
    assert len(open_dataset(root, strict=True)) == 4


def test_pictures_beside_a_run_are_read(make_folder):
    root = make_folder({"cat": 2, "cat/mistakes": 3, "dog": 2, "mistakes": 1})
    run_in(root)
    run_in(root / "cat")
    assert left_out(root) == ("2 folders of runs left out (cat/mistakes, mistakes).",)


@pytest.mark.parametrize("content", ["{}", "[]", "no JSON"])
def test_a_file_that_is_called_like_a_run_s_makes_none(make_folder, content):
    root = make_folder({"cat": 2, "dog": 2, "cat/mistakes": 2})
    (root / "cat" / "run.json").write_text(content)
    assert len(open_dataset(root)) == 6


def test_what_a_run_leaves_is_known_to_whoever_lists_pictures():
    from linnaea.data import tree
    from linnaea.runs import folder

    assert ("run.json", *folder.GROUP_FILES) == tree.RUN_RECORDS
    assert tree.RUN_FOLDERS == folder.FOLDERS
    assert tree.RUN_LOCK == folder.LOCK


def write(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


def test_what_is_there_instead_of_pictures_is_counted_with_its_cure(tmp_path):
    told = refusal(write(tmp_path / "raw", "cat/1.CR2", "cat/2.cr2", "dog/1.jxl", "dog/2"))
    assert told == (
        f"{tmp_path}/raw contains no picture in a format that is read, but 2 .cr2 (a camera's raw data), "
        "1 without an ending, 1 .jxl (JPEG XL). Convert pictures to JPEG, PNG or TIFF. Give pictures the "
        "ending of their format (.jpg). Give each class a folder of its own (photos/rose/1.jpg, "
        "photos/tulip/2.jpg)."
    )
    told = refusal(write(tmp_path / "words", "cat/1.txt"))
    assert "but 1 .txt. Give each class a folder" in told


def test_a_class_in_a_format_that_is_not_read_is_told(make_folder):
    root = write(make_folder({"cat": 2, "dog": 2}), "fox/1.NEF", "fox/2.NEF")
    dataset = open_dataset(root)
    assert dataset.empty_classes == ("fox",)
    assert dataset.notes == (
        "2 files in a format that is not read left out (2 .nef (a camera's raw data)); convert them to JPEG "
        "or PNG.",
        "1 empty class folder left out (fox).",
    )


def latin(root, *names):
    """Give folders or files names in Latin-1, as archives of another age do."""
    for name in names:
        try:
            os.rename(os.fsencode(root / name), os.fsencode(root / name) + b"\xe9")
        except OSError:
            pytest.skip("this file system takes Unicode names only")


def test_a_class_whose_name_is_not_unicode_is_refused_with_the_cure(make_folder):
    root = make_folder({"caf": 2, "dog": 2, "cat": 1})
    latin(root, "caf")
    told = refusal(root)
    assert "contains 1 class with a name that is not Unicode (caf?), which no table can contain." in told
    assert f"convmv -r -f latin1 -t utf8 --notest {root}" in told


def test_names_that_are_all_not_unicode_are_said_to_be(make_folder):
    root = make_folder({"caf": 2, "th": 2})
    latin(root, "caf", "th")
    assert "contains 4 pictures, all with names that are not Unicode (caf?/0.png, " in refusal(root)


def test_a_folder_in_a_class_whose_name_is_not_unicode_is_left_out(make_folder):
    root = make_folder({"cat": 2, "dog": 2, "cat/caf": 2})
    latin(root, "cat/caf")
    assert left_out(root) == (
        "2 pictures whose names are not Unicode left out (cat/caf?/0.png, cat/caf?/1.png).",
    )
