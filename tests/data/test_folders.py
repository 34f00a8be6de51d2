"""Links among class folders: followed where they lead to other pictures, never twice, never in a circle."""

import os

import pytest

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
    dataset = open_dataset(root)
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
        f"{root}/val contains no pictures; 2 links to folders that are read already left out (val/a, val/b). "
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
