"""Folders as people have them: which layouts are understood, and which are said to mean two things."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from linnaea.data.layouts import set_name
from linnaea.data.sources import open_dataset
from linnaea.errors import DataError, SettingError
from linnaea.text import command_line

KINDS = ("cat", "dog")


def filled(*tops, inside=KINDS, count=2):
    """{top/class: pictures} for each of these folders."""
    return {f"{top}/{name}": count for top in tops for name in inside}


def sets(dataset):
    """{set: number of pictures}; None where there is no split."""
    if dataset.splits is None:
        return None
    names, counts = np.unique(dataset.splits, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def refusal(root, **settings):
    """What a person at a shell is told."""
    token = command_line.set("linnaea train photos")
    try:
        with pytest.raises(DataError) as caught:
            open_dataset(root, **settings)
    finally:
        command_line.reset(token)
    return str(caught.value)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("train", "dev", "test"), ("train", "val", "test")),
        (("train", "eval", "test"), ("train", "val", "test")),
        (("training", "validation", "testing"), ("train", "val", "test")),
        (("Train", "Valid", "Hold-out"), ("train", "val", "test")),
        (("train", "holdout"), ("train", "test")),
        (("trainval", "test"), ("train", "test")),
        (("train_val", "test"), ("train", "test")),
        (("train_images", "test_images"), ("train", "test")),
        (("trainset", "testset"), ("train", "test")),
        (("TrainingData", "TestData"), ("train", "test")),
        (("images-train", "images-test"), ("train", "test")),
        (("train2017", "val2017", "test2017"), ("train", "val", "test")),
        (("1 train", "2 test"), ("train", "test")),
        (("asl_alphabet_train", "asl_alphabet_test"), ("train", "test")),
        (("train.X1", "train.X2", "test.X"), ("train", "train", "test")),
    ],
)
def test_sets_are_known_by_many_names(make_folder, names, expected):
    dataset = open_dataset(make_folder(filled(*names)))
    assert dataset.class_names == KINDS
    found = dict(zip(names, expected, strict=True))
    assert {path.split("/")[0]: split for path, split in zip(dataset.paths, dataset.splits, strict=True)} == (
        found
    )


@pytest.mark.parametrize("name", ["test tube", "crash_test", "train station", "valley", "contest", "devil"])
def test_a_word_in_a_name_makes_no_set(make_folder, name):
    assert open_dataset(make_folder({name: 2, "dog": 2})).class_names == tuple(sorted((name, "dog")))


def test_a_name_of_two_sets_is_none():
    assert set_name("train or test") is None


def test_folders_without_pictures_beside_the_sets_are_left_out(make_folder):
    root = make_folder(filled("train", "test"))
    (root / "annotations").mkdir()
    (root / "annotations" / "a.xml").write_text("<a/>")
    dataset = open_dataset(root)
    assert (dataset.class_names, sets(dataset)) == (KINDS, {"train": 4, "test": 4})
    assert dataset.notes == (
        "1 file that is not a picture left out (annotations/a.xml).",
        "1 folder without pictures left out (annotations).",
    )


def test_a_folder_of_other_files_is_no_class_and_an_empty_one_is(make_folder):
    root = make_folder({"cat": 2, "dog": 2, "labels": 0, "fox": 0})
    (root / "labels" / "a.txt").write_text("0 0 0")
    dataset = open_dataset(root)
    assert dataset.empty_classes == ("fox",)
    assert "1 folder without pictures left out (labels)." in dataset.notes


@pytest.mark.parametrize("inside", ["images", "{top}"])
def test_one_folder_more_within_each_set_is_passed_through(make_folder, inside):
    root = make_folder(
        filled(*(f"{top}/{inside.format(top=top)}" for top in ("seg_train", "seg_test")), count=3)
    )
    dataset = open_dataset(root)
    assert (dataset.class_names, sets(dataset)) == (KINDS, {"train": 6, "test": 6})
    assert dataset.notes == ("The classes are the folders inside the one folder that each set holds.",)


def test_classes_outside_and_sets_inside(make_folder):
    dataset = open_dataset(make_folder(filled(*KINDS, inside=("train", "dev", "test"))))
    assert (dataset.class_names, sets(dataset)) == (KINDS, {"train": 4, "val": 4, "test": 4})
    assert dataset.split_name == "your folders dev, test and train"


def test_val_is_the_test_set_where_there_is_no_other(make_folder):
    dataset = open_dataset(make_folder(filled("train", "val")))
    assert sets(dataset) == {"train": 4, "test": 4}
    (note,) = dataset.notes
    assert note.startswith("There is no test set, so the validation set is used as one, and validation")
    assert "add a test set, or divide all anew (split=0.7)" in note


REFUSED = {
    "two words for one set": (
        filled("train", "test", "holdout"),
        ["holdout and test, which both mean the test set"],
    ),
    "sets without classes": (
        {"train": 4, "test": 2},
        ["test and train are called like sets and hold 6 pictures", "pass --layout class."],
    ),
    "a test set without labels": (
        filled("train") | {"test": 6},
        ["test holds 6 pictures and no class folders", "test/rose/1.jpg", "linnaea predict"],
    ),
    "sets and another folder": (
        filled("train", "test") | {"unlabelled": 3},
        ["test and train, called like sets, beside unlabelled", "--layout split/class", "--layout class"],
    ),
    "a class called like a set": (
        {"bus": 2, "car": 2, "train": 2},
        ["train, called like a set, beside bus and car", "if every folder is a class, pass --layout class"],
    ),
    "classes and a test folder": ({"cat": 2, "dog": 2, "test": 2}, ["test, called like a set, beside cat"]),
    "class and set in one name": (
        {f"{kind}_{part}": 2 for kind in KINDS for part in ("train", "test")},
        ["cat_test, cat_train, dog_test and dog_train, called like sets", "train/rose/"],
    ),
    "places outside": (
        filled("site1", "site2", "site3"),
        [
            "site1, site2 and site3 hold cat and dog; either may be the classes",
            "If site1, site2 and site3 are the classes, pass --layout class",
            "if cat and dog are, pass --layout folder/class, and --group-column folder",
        ],
    ),
    "a place without one class": (filled("2021", "2022") | {"2023/cat": 2}, ["--layout folder/class"]),
    "a place without folders": (filled("a", "b") | {"unsorted": 2}, ["--layout folder/class"]),
    "pictures and masks": (filled(*KINDS, inside=("images", "masks")), ["cat and dog hold images and masks"]),
    "places inside the sets": (
        filled("train/north", "train/south", "test/north", "test/south"),
        ["north and south hold cat and dog", "--layout split/class", "--layout split/folder/class"],
    ),
    "places outside the sets": (
        filled("north/train", "north/test", "south/train", "south/test"),
        ["which hold test and train, which hold folders with pictures", "--layout folder/split/class"],
    ),
    "places and years": (filled("n/2020", "n/2021", "s/2020", "s/2021"), ["--layout folder/folder/class"]),
    "a set in one class": (
        {"cat/train": 2, "cat/test": 2, "dog": 4},
        ["cat/test, cat/train, called like sets, and pictures in no such folder", "--layout class/split"],
    ),
    "a folder around": (filled("pictures"), ["which holds 2 folders with pictures (cat, dog)"]),
    "two folders around": (filled("a/b"), ["Name the folder that holds the class folders, "]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_mean_two_things_is_said_with_both_commands(make_folder, case):
    spec, sentences = REFUSED[case]
    told = refusal(make_folder(spec))
    assert all(sentence in told for sentence in sentences), told


def test_the_folder_to_name_is_named(make_folder):
    root = make_folder(filled("a/b"))
    assert f"Name the folder that holds the class folders, {root}/a/b; or" in refusal(root)
    assert open_dataset(root / "a" / "b").class_names == KINDS


@pytest.mark.parametrize(
    ("spec", "layout", "classes", "split"),
    [
        ({"bus": 2, "train": 2}, "class", ("bus", "train"), None),
        (filled("site1", "site2"), "class", ("site1", "site2"), None),
        (filled("site1", "site2"), "folder/class", KINDS, None),
        (filled("site1", "site2"), " Folder/Class", KINDS, None),
        (filled("n/2020", "s/2021"), "folder/folder/class", KINDS, None),
        (filled("train/n", "train/s", "test/n"), "split/folder/class", KINDS, {"train": 8, "test": 4}),
        (filled("n/train", "n/test", "s/train"), "folder/split/class", KINDS, {"train": 8, "test": 4}),
        (filled("train", "test"), "class", ("test", "train"), None),
        (filled("pictures"), "folder/class", KINDS, None),
    ],
)
def test_a_layout_that_is_asked_for(make_folder, spec, layout, classes, split):
    dataset = open_dataset(make_folder(spec), layout=layout)
    assert (dataset.class_names, sets(dataset)) == (classes, split)


def test_folders_that_are_neither_become_a_column(make_folder):
    dataset = open_dataset(make_folder(filled("n/2020", "s/2021", count=1)), layout="folder/folder/class")
    assert dataset.columns == {
        "folder": {
            "n/2020/cat/0.png": "n/2020",
            "n/2020/dog/0.png": "n/2020",
            "s/2021/cat/0.png": "s/2021",
            "s/2021/dog/0.png": "s/2021",
        }
    }


def test_what_a_layout_does_not_reach_is_left_out_and_told(make_folder):
    root = make_folder(filled("train", "test") | {"extra": 1, "more/cat": 1, "train": 1})
    dataset = open_dataset(root, layout="split/class")
    assert dataset.notes == (
        "2 pictures outside any class folder left out (extra/0.png, train/0.png).",
        "1 picture outside any set left out (more/cat/0.png).",
    )


@pytest.mark.parametrize("layout", ["classes", "class/class", "split/split/class", "", "folder"])
def test_an_unknown_layout_is_refused(make_folder, layout):
    with pytest.raises(SettingError, match="is not known"):
        open_dataset(make_folder({"a": 1, "b": 1}), layout=layout or " ")


def test_a_layout_deeper_than_the_folders_is_refused(make_folder):
    told = refusal(make_folder({"a": 1, "b": 1}), layout="folder/class")
    assert "contains 2 pictures, none of them 2 folders deep" in told
    told = refusal(make_folder({"a/x": 1, "b/x": 1}), layout="split/class")
    assert "contains no folder that is called like a set: a/x/0.png, b/x/0.png" in told


def test_classes_may_hold_folders_of_their_own(make_folder):
    dataset = open_dataset(make_folder({"rose/red": 2, "rose/white": 2, "tulip": 3, "lily/x": 1}))
    assert dataset.class_names == ("lily", "rose", "tulip")


def test_a_class_of_another_spelling_in_the_test_set_is_named(make_folder):
    from linnaea.data.split import make_split

    dataset = open_dataset(make_folder({"train/Cat": 3, "train/dog": 3, "test/cat": 2, "test/dog": 2}))
    with pytest.raises(DataError, match=r"Spelled otherwise: 'cat' \('Cat' in training\)\. Give each"):
        make_split(dataset, "official")


def test_classes_in_the_plural_in_the_test_set_are_named(make_folder):
    from linnaea.data.split import make_split

    dataset = open_dataset(make_folder({"train/cat": 3, "train/dog": 3, "test/cats": 2, "test/dogs": 2}))
    with pytest.raises(DataError) as caught:
        make_split(dataset, "official")
    assert "Spelled otherwise: 'cats' ('cat' in training), 'dogs' ('dog' in training)" in str(caught.value)
    assert str(caught.value).endswith("Give each class one name in all sets.")


def test_a_set_in_a_set_is_refused_and_a_class_called_train_in_every_set_is_read(make_folder):
    told = refusal(make_folder({**filled("train/train"), "test/test": 5}))
    assert "test/test and train/train are called like a set, inside a set, and would be a class." in told
    told = refusal(make_folder({**filled("train", "test"), "train/val": 3}, name="loose"))
    assert "train/val is called like a set, inside a set, and would be a class." in told
    trains = make_folder(filled("train", "test", inside=("bus", "train")), name="vehicles")
    assert open_dataset(trains).class_names == ("bus", "train")


def test_one_folder_of_folders_beside_others_without_is_refused(make_folder):
    for inside, beside in (("images", ("masks",)), ("labeled", ("unlabeled",)), ("cam1", ("cam2", "cam3"))):
        root = make_folder({**filled(inside), **dict.fromkeys(beside, 3)}, name=inside)
        told = refusal(root)
        assert f"{inside} holds folders (cat and dog), and {' and '.join(beside)} beside it" in told
        assert f"pass --layout folder/class, which leaves {' and '.join(beside)} out" in told
        assert open_dataset(root, layout="folder/class").class_names == KINDS
        assert open_dataset(root, layout="class").class_names == tuple(sorted((inside, *beside)))


def test_a_folder_in_a_class_that_is_called_like_another_is_refused(make_folder):
    misplaced = make_folder({"cat": 3, "cat/dog": 2, "dog": 3}, name="misplaced")
    told = refusal(misplaced)
    assert "cat/dog is called like a class (dog), and the pictures there would be of cat." in told
    assert open_dataset(misplaced, layout="class").class_names == KINDS
    assert "cat/dogs is called" in refusal(make_folder({"cat": 3, "cat/dogs": 2, "dog": 3}, name="plural"))
    backup = make_folder({"cat": 3, "dog": 3, **filled("photos")}, name="backup")
    assert "photos/cat and photos/dog are called like classes (cat and dog)" in refusal(backup)
    in_sets = make_folder({**filled("train", "test"), "train/cat/dog": 1}, name="sets")
    assert "train/cat/dog is called like a class (dog)" in refusal(in_sets)


def test_sites_that_lack_some_classes_each_are_refused_too(make_folder):
    sites = {"north": "cat dog bird", "south": "bird cow horse", "west": "horse fox cat"}
    root = make_folder({f"{site}/{name}": 2 for site, names in sites.items() for name in names.split()})
    assert "north, south and west hold" in refusal(root)
    classes = open_dataset(root, layout="folder/class").class_names
    assert classes == ("bird", "cat", "cow", "dog", "fox", "horse")
    spelled = make_folder({"one/cats": 2, "one/dogs": 2, "two/Cat": 2, "two/Dog": 2}, name="spelled")
    assert "one and two hold" in refusal(spelled)


def test_a_folder_between_hides_no_classes(make_folder):
    office = make_folder(filled("amazon/images", "dslr/images", "webcam/images"), name="office")
    assert "amazon, dslr and webcam hold cat and dog" in refusal(office)
    assert "if cat and dog are, pass --layout folder/folder/class" in refusal(office)
    assert open_dataset(office, layout="folder/folder/class").class_names == KINDS
    people = filled("train/P1/images", "train/P2/images", "test/P1/images", "test/P2/images")
    assert "pass --layout split/folder/folder/class" in refusal(make_folder(people, name="people"))
    (note,) = open_dataset(make_folder({"a/all/x": 2, "a/all/y": 2, "b/all/z": 3}, name="parts")).notes
    assert "(x, y, z) are not told apart. If they are the classes: layout='folder/folder/class'." in note


def test_names_that_are_rarely_a_classs_are_told(make_folder):
    root = make_folder(
        {"cat": 2, "cat - Copy": 2, "dog": 2, "dog (1)": 2, "masks": 2, "bar 1": 2, "bar 2": 2}
    )
    assert open_dataset(root).notes == (
        "cat - Copy, dog (1) and masks are classes here; if they are none, move them away.",
    )
    assert open_dataset(root, layout="class").notes == ()
    albums = make_folder({"Cats": 2, "Dogs": 2, "Photos from 2020": 2, "cats_aug": 2}, name="albums")
    assert open_dataset(albums).notes == (
        "Photos from 2020 and cats_aug are classes here; if they are none, move them away.",
    )
    assert open_dataset(make_folder({"paper": 2, "trash": 2}, name="waste")).notes == (
        "trash is a class here; if it is none, move it away.",
    )


BESIDE = "pictures and what lies beside them (masks, labels, copies, unlabelled ones)"
PARTS = "parts of one whole (years, batches, places)"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("images", "masks"), f"images and masks would be the classes, and are names for {BESIDE}, not for"),
        (("images", "labels"), BESIDE),
        (("Images", "Annotations", "bboxes"), BESIDE),
        (("JPEGImages", "SegmentationClass", "SegmentationObject"), BESIDE),
        (("raw", "ground_truth"), BESIDE),
        (("cat_images", "cat_masks"), BESIDE),
        (("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"), BESIDE),
        (("cat", "mask"), f"cat and mask would be the classes, and mask is a name for {BESIDE}, not for a"),
        (("labeled", "unlabeled"), BESIDE),
        (("cat", "unsup"), BESIDE),
        (("cat", "backup"), BESIDE),
        (("cat", "_trash"), BESIDE),
        (("cat", "cat - Copy"), BESIDE),
        (("raw", "processed"), BESIDE),
        (("2019", "2020", "2021"), PARTS),
        (("survey_2019", "survey_2020"), PARTS),
        (("2021-05-01", "2021-05-02"), PARTS),
        (("Photos from 2019", "Photos from 2020"), PARTS),
        (("January", "February"), PARTS),
        (("batch_1", "batch_2", "batch_10"), PARTS),
        (("HAM10000_images_part_1", "HAM10000_images_part_2"), PARTS),
        (("images_001", "images_002"), PARTS),
        (("100CANON", "101CANON"), PARTS),
        (("fold1", "fold2", "fold3"), PARTS),
        (("CT01", "CT02"), PARTS),
        (("256x256", "512x512"), PARTS),
        (("v1", "v2"), PARTS),
        (
            ("2019", "2020", "Rome"),
            f"and 2019 and 2020 are names for {PARTS}",
        ),
        (("DCIM", "Download", "Pictures"), BESIDE),
        (("rgb", "depth"), BESIDE),
        (("HR", "LR"), BESIDE),
        (("Camera Roll", "iCloud Photos"), BESIDE),
    ],
)
def test_folders_that_can_hardly_be_classes_are_refused(make_folder, names, said):
    for name, prefix in (("plain", ""), ("sets", "split/")):
        tops = ("train/", "test/") if prefix else ("",)
        root = make_folder({f"{top}{each}": 2 for top in tops for each in names}, name=name)
        told = refusal(root)
        assert said in told
        assert f"really are the classes, pass --layout {prefix}class." in told
        dataset = open_dataset(root, layout=f"{prefix}class")
        assert (dataset.class_names, dataset.notes) == (tuple(sorted(names)), ())


@pytest.mark.parametrize(
    "names",
    [
        ("Mask", "No Mask"),
        ("mask", "nomask", "mask_weared_incorrect"),
        ("label", "no label"),
        ("photos", "sketches"),
        ("0", "1", "2"),
        ("bar 1", "bar 2"),
        ("class 1", "class 2"),
        ("fake", "real"),
        ("bin", "not bin"),
        ("good", "bad"),
        ("april", "john"),
        ("100 rupee", "500 rupee"),
        ("1 day", "2 day"),
        ("may", "june", "rose"),
        ("subject01", "subject02"),
        ("tumour", "no tumour"),
    ],
)
def test_classes_of_like_names_are_classes(make_folder, names):
    dataset = open_dataset(make_folder(dict.fromkeys(names, 2)))
    assert (dataset.class_names, dataset.notes) == (tuple(sorted(names)), ())


def test_where_the_pictures_of_the_classes_lie_is_named(make_folder):
    both = make_folder(filled("images", "masks"), name="both")
    assert f"If cat and dog are the classes, train on them: {both}/images; if images and" in refusal(both)
    assert open_dataset(both / "images").class_names == KINDS
    birds = make_folder({**filled("CUB/images"), **filled("segmentations")}, name="birds")
    assert f"If cat and dog are the classes, train on them: {birds}/CUB/images" in refusal(birds)
    within = make_folder(
        {
            f"{top}/{kind}/{name}": 2
            for top in ("train", "test")
            for kind in ("images", "masks")
            for name in KINDS
        },
        name="within",
    )
    assert "If cat and dog are the classes, move masks away; if images and masks really" in refusal(within)
    leaves = make_folder(filled("color", "grayscale", "segmented"), name="leaves")
    assert f"If cat and dog are the classes, train on them: {leaves}/color" in refusal(leaves)
    years = make_folder({"2019/cat": 2, "2020/dog": 2}, name="years")
    assert "If cat and dog are the classes, pass --layout folder/class; if 2019 and" in refusal(years)
    assert open_dataset(years, layout="folder/class").class_names == KINDS
    inside = make_folder(filled(*KINDS, inside=("images", "masks")), name="inside")
    assert "If cat and dog are the classes, move masks away and pass --layout class" in refusal(inside)


def test_the_table_with_the_labels_is_named_where_folders_say_none(make_folder):
    root = make_folder({"part_1": 2, "part_2": 3})
    (root / "numbers.csv").write_text("a,b\n1,2\n")
    (root / "meta.csv").write_text("id,kind\n0,cat\n1,dog\n2,cat\n")
    assert f"If meta.csv has their labels, train on it: {root}/meta.csv. If part_1 and part_2" in refusal(
        root
    )
    (root / "meta.csv").unlink()
    (root / "numbers.csv").rename(root / "meta.xlsx")
    assert "If meta.xlsx has their labels, save it as CSV and train on that." in refusal(root)


@pytest.mark.parametrize(
    ("pictures", "boxes", "content"),
    [
        (("train/images", "valid/images"), "train/labels/0.txt", "0 0.5 0.5 1 1\n"),
        (("images",), "labels/0.txt", "0 0.5 0.5 1 1\n"),
        (("images/train", "images/val"), "labels/train/0.txt", "0 0.5 0.5 1 1\n"),
        ((".",), "0.txt", "1 .5 .5 .1 .1\n"),
        (("obj_train_data", "obj_valid_data"), "obj_train_data/1.txt", "0 0.5 0.5 1 1 0.9\n"),
        (("VOC2012/JPEGImages",), "VOC2012/Annotations/0.xml", "<annotation/>"),
        (("train", "valid"), "train/_annotations.coco.json", "{}"),
        (("train2017", "val2017"), "annotations/instances_train2017.json", "{}"),
    ],
)
def test_boxes_of_objects_are_said_to_be_no_classes(make_folder, pictures, boxes, content):
    root = make_folder(dict.fromkeys(pictures, 2))
    (root / boxes).parent.mkdir(parents=True, exist_ok=True)
    (root / boxes).write_text(content)
    assert refusal(root) == (
        f"{root} contains pictures with boxes or outlines of objects ({boxes}), and no classes of whole "
        "pictures, of which Linnaea learns one for each picture. Cut each object out and save it in a folder "
        "of its class (photos/rose/1.jpg), or export the pictures for classification."
    )


def test_boxes_beside_class_folders_and_captions_are_files_like_others(make_folder):
    for name, content in (("boxes", "0 0.5 0.5 1 1\n"), ("captions", "a photo of 1 cat\n")):
        root = make_folder({"cat/images": 2, "dog/images": 2}, name=name)
        (root / "cat" / "images" / "0.txt").write_text(content)
        assert open_dataset(root).class_names == KINDS
    loose = make_folder({".": 2}, name="loose")
    (loose / "0.txt").write_text("a photo of 1 cat\n")
    assert "contains 2 pictures and no class folders." in refusal(loose)


def test_masks_inside_a_class_are_told(make_folder):
    root = make_folder({"cat": 3, "cat/masks": 1, "dog": 2})
    for name in ("0_mask", "1-mask_2"):
        shutil.copy(root / "cat" / "2.png", root / "dog" / f"{name}.png")
    assert open_dataset(root).notes == (
        "1 picture in folders that are called like masks, originals or copies of others (cat/masks/0.png) "
        "counts as a picture of the class around; if that is wrong, move it away.",
        "2 pictures called like masks of others (dog/0_mask.png, dog/1-mask_2.png) count as pictures of the "
        "class around; if that is wrong, move them away.",
    )


def test_folders_of_copies_among_the_pictures_of_a_class_are_told(make_folder):
    root = make_folder({"cat": 2, "cat/Originals": 1, "cat/crops": 3, "dog": 3, "dog/resized": 1, "dog/2": 1})
    dataset = open_dataset(root)
    assert (dataset.class_names, len(dataset)) == (KINDS, 11)
    assert dataset.notes[-1] == (
        "5 pictures in folders that are called like masks, originals or copies of others "
        "(cat/Originals/0.png, cat/crops/0.png, cat/crops/1.png and 2 more) count as pictures of the class "
        "around; if that is wrong, move them away."
    )
    # Where all pictures of a class lie in such a folder, it is the class's own.
    assert open_dataset(make_folder({"cat/images": 2, "dog/images": 2}, name="own")).notes == ()


@pytest.mark.parametrize(
    "name",
    [
        *("cat.bak", "fox_backup", "dog_old", "cats_resized_224", "augmented dog", "dog (2)"),
        *("cat_gray", "cat-bw", "dog2", "dog_v2", "cat_masks", "dog_orig", "cat_2019"),
        *("gradcam", "Grad-CAM++", "heatmaps", "saliency maps", "overlays"),
        *("to_review", "needs review", "review", "to_sort", "todo", "unsure", "duplicates", "excluded"),
        *("preds", "misclassified"),
    ],
)
def test_what_is_made_of_classes_or_put_aside_is_told(make_folder, name):
    dataset = open_dataset(make_folder({"cat": 2, "dog": 2, name: 2}))
    assert dataset.notes == (f"{name} is a class here; if it is none, move it away.",)


@pytest.mark.parametrize(
    "names",
    [("wolf", "grey fox"), ("big cup", "small cup"), ("weeds", "crops"), ("face", "with mask"), ("T1", "T2")],
)
def test_words_of_copies_are_words_of_classes_where_no_other_is_called_so(make_folder, names):
    dataset = open_dataset(make_folder(dict.fromkeys(names, 2)))
    assert (dataset.class_names, dataset.notes) == (tuple(sorted(names)), ())


def test_classes_that_may_be_parts_of_one_are_told(make_folder):
    for number, names in enumerate(
        ("cat1 cat2 dog1 dog2", "cat_2019 cat_2020 dog_2019", "cat-001 cat-002 dog-001")
    ):
        (note,) = open_dataset(make_folder(dict.fromkeys(names.split(), 2), name=str(number))).notes
        assert note.startswith(f"{names.split()[0]} and {names.split()[1]}"), note
        assert note.endswith(
            "differ in a number only; each is a class of its own here. If they are parts of one class, put "
            "them into one folder."
        )
    for number, names in enumerate(("class_1 class_2", "Apple_1 Apple_2 Pear", "1 2 3", "a1 a2 b1")):
        root = make_folder(dict.fromkeys(names.split(), 2), name=f"own{number}")
        assert open_dataset(root).notes == ()


@pytest.mark.parametrize(
    "names",
    [
        "scan_1 scan_2",
        "images_a images_b",
        "cam A,cam B",
        "plate I,plate II,plate III",
        "monday tuesday sunday",
    ],
)
def test_parts_of_one_whole_are_refused_by_letter_and_roman_number_too(make_folder, names):
    names = names.split(",") if "," in names else names.split()
    with pytest.raises(DataError, match="parts of one whole"):
        open_dataset(make_folder(dict.fromkeys(names, 2)))


@pytest.mark.parametrize(
    "name", ["predict", "to_predict", "submission", "rejects", "rejected", "aussortiert"]
)
def test_folders_put_aside_beside_classes_are_told(make_folder, name):
    (note,) = open_dataset(make_folder(dict.fromkeys(["cat", "dog", name], 2))).notes
    assert note.startswith(f"{name} is a class here")


def test_classes_that_combine_two_kinds_of_names_are_told(make_folder):
    for number, (names, one, other) in enumerate(
        [
            ("cat_tr cat_te dog_tr dog_te", "cat and dog", "te and tr"),
            ("AB-cat AB-dog CD-cat CD-dog", "AB and CD", "cat and dog"),
            ("red_fox_day red_fox_night owl_day owl_night", "owl and red fox", "day and night"),
        ]
    ):
        (note,) = open_dataset(make_folder(dict.fromkeys(names.split(), 2), name=str(number))).notes
        assert note == (
            f"Each class combines one of {one} with one of {other}, and is a class of its own here. If only "
            "one of the two says the class, put its pictures into one folder for each."
        )
    for number, names in enumerate(("red_fox grey_wolf", "sea_lion sea_cow mountain_lion", "cat dog")):
        root = make_folder(dict.fromkeys(names.split(), 2), name=f"own{number}")
        assert open_dataset(root).notes == ()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("testcat testdog", "test"),
        ("traincat traindog trainfox", "training"),
        ("cat_test dog_test", "test"),
        ("test_cat test_dog", "test"),
        ("Testudo_graeca Testudo_hermanni", ""),
        ("trainer trainee", ""),
        ("contest protest", ""),
    ],
)
def test_classes_that_are_all_called_like_one_set_are_told(make_folder, names, said):
    dataset = open_dataset(make_folder(dict.fromkeys(names.split(), 2)))
    note = f"All classes are called like pictures of the {said} set, and are divided like others."
    assert (dataset.class_names, dataset.notes) == (tuple(sorted(names.split())), (note,) if said else ())


def run(message):
    """Run the command that a message names for a shell."""
    command = re.search(r"(cd .*? && .*?)\. ", message)[1]
    subprocess.run(command, shell=True, check=True, executable="/bin/sh")


def test_a_list_of_the_classes_of_a_set_is_named_with_the_command_that_sorts_by_it(make_folder):
    classes = [f"n0144353{number}" for number in range(3)]
    tiny = {f"train/{name}/images": 2 for name in classes}
    root = make_folder({**tiny, "val/images": 6, "test/images": 2}, name="tiny images")
    for name in classes:
        (root / "train" / name / f"{name}_boxes.txt").write_text(f"{name}_0.JPEG\t0\t0\t62\t44\n")
    lines = [f"{number}.png\t{classes[number % 3]}\t0\t0\t44\t62\n" for number in range(6)]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    message = refusal(root)
    assert (
        "If val/val_annotations.txt says the classes of val/images, sort its pictures by it: cd " in message
    )
    run(message)
    message = refusal(root)
    assert "or move test away, train, and name the pictures with linnaea predict." in message
    shutil.move(root / "test", root.parent / "unknown")
    dataset = open_dataset(root)
    assert (dataset.class_names, sets(dataset)) == (tuple(classes), {"train": 6, "test": 6})
    assert f"val/{classes[1]}/4.png" in dataset.paths
    flat = make_folder({**filled("train"), "val": 2}, name="flat")
    (flat / "val" / "list.txt").write_text("0.png dog\n1.png cat\n")
    run(refusal(flat))
    assert sets(open_dataset(flat)) == {"train": 4, "test": 2}


def test_a_set_beside_the_folder_that_it_is_of_is_kept_by_the_name_that_is_told(make_folder):
    root = make_folder(filled("horse-or-human", "validation-horse-or-human", inside=("horses", "humans")))
    message = refusal(root)
    assert "If so, rename horse-or-human to train-horse-or-human; if every folder is a class" in message
    (root / "horse-or-human").rename(root / "train-horse-or-human")
    dataset = open_dataset(root)
    assert (dataset.class_names, sets(dataset)) == (("horses", "humans"), {"train": 4, "test": 4})
    others = make_folder({"cat/a": 2, "cat/b": 2, "cat_test": 2}, name="others")
    assert "rename" not in refusal(others)


def test_sets_of_which_nobody_knows_the_classes_are_named_with_what_can_be_done(make_folder):
    tiny = {**{f"train/n0{number}/images": 2 for number in range(3)}, "val/images": 3, "test/images": 2}
    root = make_folder(tiny, name="tiny")
    told = refusal(root)
    assert (
        "test/images and val/images hold 5 pictures and are called like none of the classes of train" in told
    )
    assert f"divide train anew, by naming {root}/train as the data" in told
    assert open_dataset(root / "train").class_names == ("n00", "n01", "n02")
    letters = {f"asl_train/asl_train/{letter}": 2 for letter in "ABC"}
    root = make_folder({**letters, "asl_test/asl_test": 3}, name="asl")
    assert f"divide asl_train anew, by naming {root}/asl_train/asl_train as the data" in refusal(root)
    assert open_dataset(root / "asl_train" / "asl_train").class_names == ("A", "B", "C")
    root = make_folder({**filled("train"), "test": 3}, name="flat")
    assert f"divide train anew, by naming {root}/train as the data" in refusal(root)


def test_sets_and_a_loose_folder_called_like_one_are_told_apart(make_folder):
    root = make_folder({**filled("Training", "Test"), "test-multiple_fruits": 3})
    assert "pass --layout split/class, which leaves the pictures of test-multiple_fruits out" in refusal(root)
    dataset = open_dataset(root, layout="split/class")
    assert (dataset.class_names, sets(dataset)) == (KINDS, {"train": 4, "test": 4})


def test_sets_inside_of_some_folders_that_hold_classes_are_named(make_folder):
    root = make_folder(filled("raw/train", "raw/test", "processed/train"), name="versions")
    told = refusal(root)
    assert (
        "pass --layout folder/split/class, or, if processed and raw hold the same pictures, name one of"
        in told
    )
    mvtec = {f"{thing}/{kind}": 2 for thing in ("bottle", "cable") for kind in ("train/good", "test/crack")}
    root = make_folder({**mvtec, "bottle/ground_truth/crack": 2}, name="parts")
    told = refusal(root)
    assert (
        "If crack and good are the classes, pass --layout folder/split/class, which leaves pictures out"
        in told
    )
    assert f"or name one folder ({root}/bottle)" in told
    dataset = open_dataset(root, layout="folder/split/class")
    assert (dataset.class_names, sets(dataset)) == (("crack", "good"), {"train": 4, "test": 4})
    flat = make_folder({f"{a}/{b}": 2 for a in ("raw", "processed") for b in ("train", "test")}, name="flat")
    assert "really are the classes, pass --layout class/split." in refusal(flat)


def test_sets_without_one_to_learn_from_are_refused(make_folder):
    assert "contains dev and test, and no training set." in refusal(make_folder(filled("dev", "test")))


def test_a_table_beside_loose_pictures_is_named(make_folder):
    root = make_folder({".": 3})
    (root / "labels.csv").write_text("path,label\n")
    assert f"If labels.csv has their labels, train on it: {root / 'labels.csv'}." in refusal(root)


def test_a_set_of_another_language_among_known_ones_is_to_be_renamed(make_folder):
    told = refusal(make_folder(filled("entrainement", "validation", "test")))
    assert (
        "If so, call them train, test and val; if entrainement, test and validation are the classes" in told
    )
    told = refusal(make_folder(filled("kurs", "validation", "test"), name="unknown"))
    assert "if kurs is one, too, write train, val or test into its name" in told


def test_sets_in_another_language_are_offered_as_sets(make_folder):
    told = refusal(make_folder(filled("entrenamiento", "validacion", "prueba")))
    assert "entrenamiento, prueba and validacion, which seem to mean the sets train, test and val." in told
    assert "If so, call them train, test and val; if" in told
    others = {"Lernbilder/cat": 2, "Lernbilder/dog": 2, "Prüfbilder/fox": 2, "Prüfbilder/cow": 2}
    assert "If so, call them train and test; if" in refusal(make_folder(others, name="others"))
    places = make_folder(filled("Lernort", "Prüfstand"), name="places")
    assert "If Lernort and Prüfstand are sets, call them train, val and test." in refusal(places)


def test_the_layout_that_is_named_passes_the_folder_in_between(make_folder):
    root = make_folder({**filled("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/seg_pred": 4})
    assert "pass --layout split/folder/class, which leaves seg_pred out" in refusal(root)
    dataset = open_dataset(root, layout="split/folder/class")
    assert (dataset.class_names, sets(dataset)) == (KINDS, {"test": 4, "train": 4})


def test_folders_inside_the_classes_of_sets_and_the_deepest_are_named(make_folder):
    inside = ("animals/cat", "animals/dog", "birds/hen", "birds/owl")
    assert open_dataset(make_folder(filled("train", "test", inside=inside))).notes == (
        "The classes are animals and birds; the folders inside (cat, dog, hen and 1 more) are not told "
        "apart. If they are the classes: layout='split/folder/class'.",
    )
    months = ("2019/05/cat", "2019/06/dog", "2020/01/hen", "2020/07/owl")
    years = make_folder(dict.fromkeys(months, 2), name="years")
    assert "If cat, dog, hen and owl are the classes, pass --layout folder/folder/class; if" in refusal(years)
    assert open_dataset(years, layout="folder/folder/class").class_names == ("cat", "dog", "hen", "owl")


def test_folders_inside_classes_are_told_not_to_be_classes(make_folder):
    root = make_folder({"bird/robin": 2, "bird/wren": 2, "fish/cod": 2, "fish/eel": 2})
    assert open_dataset(root).notes == (
        "The classes are bird and fish; the folders inside (cod, eel, robin and 1 more) are not told apart. "
        "If they are the classes: layout='folder/class'.",
    )
    assert open_dataset(root, layout="class").notes == ()
    assert open_dataset(root, layout="folder/class").class_names == ("cod", "eel", "robin", "wren")


def test_classes_in_names_are_pointed_to(make_folder):
    root = make_folder({"train": 4, "test1": 2})
    for number in range(4):
        name = f"{'cat' if number % 2 else 'dog'}.{number}.png"
        (root / "train" / f"{number}.png").rename(root / "train" / name)
    hint = "If the classes are the words that names begin with (cat, dog), move each picture into a folder of"
    assert hint in refusal(root / "train")
    assert hint not in refusal(root)
    for number, path in enumerate(sorted((root / "train").iterdir())):
        path.rename(path.with_name(f"{'IMG' if number % 2 else 'DSC'}_{number}.png"))
    assert "names begin with" not in refusal(root / "train")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            "cat dog cat_test dog_test",
            "cat_test and dog_test are called like sets of pictures of cat and dog.",
        ),
        ("rose tulip rose_val tulip_val", "rose_val and tulip_val are called like sets"),
        ("cat dog cat-validation dog-validation", "cat-validation and dog-validation are called like sets"),
        ("cat dog test_cat test_dog", "test_cat and test_dog are called like sets"),
        ("cat dog cat_test cat_val", "cat_test and cat_val are called like sets of pictures of cat."),
        ("cat dog cat_holdout", "cat_holdout is called like a set of pictures of cat."),
        ("cats dogs cat_hold-out", "cat_hold-out is called like a set of pictures of cats."),
        ("cat dog Cat.Test", "Cat.Test is called like a set of pictures of cat."),
        ("0 1 0_test 1_test", "0_test and 1_test are called like sets of pictures of 0 and 1."),
        ("cats dogs testcats testdogs", "testcats and testdogs are called like sets of pictures of cats"),
        ("cat dog catval dogval", "catval and dogval are called like sets of pictures of cat and dog."),
        (
            "traincat traindog testcat testdog",
            "testcat, traincat, testdog and traindog say a set and a class",
        ),
    ],
)
def test_classes_beside_their_own_sets_are_refused(make_folder, names, said):
    root = make_folder(dict.fromkeys(names.split(), 2))
    message = refusal(root)
    assert said in message, message
    assert "train/rose/1.jpg" in message
    assert "if every folder is a class, pass --layout class." in message
    assert len(open_dataset(root, layout="class").class_names) == len(names.split())


def test_a_class_in_a_set_beside_its_own_test_pictures_is_refused(make_folder):
    root = make_folder({**filled("train", "test"), "train/cat_val": 2})
    message = refusal(root)
    assert "cat_val is called like a set of pictures of cat." in message
    assert "if every folder is a class, pass --layout split/class." in message


@pytest.mark.parametrize("names", ["con contest", "pro protest con", "inter interval", "ice device"])
def test_words_with_the_word_of_a_set_in_them_are_classes(make_folder, names):
    dataset = open_dataset(make_folder(dict.fromkeys(names.split(), 2)))
    assert (dataset.class_names, dataset.notes) == (tuple(sorted(names.split())), ())


@pytest.mark.parametrize("names", ["contest valley", "crash_test road", "cat_test dog_test", "testes ovary"])
def test_a_word_of_a_set_without_its_class_beside_it_is_one_of_a_class(make_folder, names):
    root = make_folder(dict.fromkeys(names.split(), 2))
    assert open_dataset(root).class_names == tuple(sorted(names.split()))


def test_a_table_of_sets_beside_class_folders_is_no_stray_file(make_folder):
    root = make_folder({"a": 4, "b": 4})
    rows = [(f"{name}/{number}.png", name, number) for name in "ab" for number in range(4)]
    table = root / "labels.csv"
    table.write_text("path,label\n" + "".join(f"{path},{name}\n" for path, name, _ in rows))
    assert f"labels.csv names these pictures and was not read; to train on it: {table}." in (
        open_dataset(root).notes
    )
    table.write_text(
        "path,label,split\n"
        + "".join(f"{path},{name},{'test' if number > 2 else 'train'}\n" for path, name, number in rows)
    )
    message = refusal(root)
    assert "labels.csv, which names these pictures and says in which set each is (split)." in message
    assert (
        f"name it as the data: {table}; to divide the pictures in these folders anew, pass --layout class."
        in (message)
    )
    assert sets(open_dataset(table)) == {"train": 6, "test": 2}
    assert sets(open_dataset(root, layout="class")) is None
    within = make_folder({"train/a": 3, "test/a": 3, "train/b": 3, "test/b": 3}, name="within")
    shutil.copy(table, within)
    assert sets(open_dataset(within)) == {"train": 6, "test": 6}


@pytest.mark.parametrize("line", ["{path}", "{path} 0", "./data/{path}"])
def test_lists_of_sets_beside_class_folders_are_no_stray_files(make_folder, line):
    root = make_folder({"a": 4, "b": 4})
    for name, numbers in (("train", range(3)), ("test", (3,))):
        paths = [f"{folder}/{number}.png" for folder in "ab" for number in numbers]
        (root / f"{name}.txt").write_text("".join(f"{line.format(path=path)}\n" for path in paths))
    message = refusal(root)
    assert "test.txt and train.txt, which are called like sets and name these pictures." in message
    assert "pass --layout class." in message
    assert sets(open_dataset(root, layout="class")) is None
    (root / "train.txt").write_text("epoch 1\n")
    assert sets(open_dataset(root)) is None


@pytest.mark.parametrize(
    ("inside", "layout", "kept"),
    [
        ("{kind}/images/{part}", "class", "class/folder/split"),
        ("north/{kind}/{part}", "folder/class", "folder/class/split"),
        ("{kind}/{part}", "class", "class/split"),
        ("{part}/{kind}", "folder/class", "split/class"),
    ],
)
def test_sets_that_a_layout_mixes_are_told_with_the_layout_that_keeps_them(make_folder, inside, layout, kept):
    places = [place for kind in KINDS for part in ("train", "test") for place in [inside.format(**locals())]]
    root = make_folder(dict.fromkeys(places, 2))
    (note,) = open_dataset(root, layout=layout).notes
    assert note.startswith(
        "The pictures in the folders test and train, called like sets, are mixed and divided"
    )
    assert note.endswith(f"to keep these sets, pass layout='{kept}'.")
    dataset = open_dataset(root, layout=kept)
    assert (dataset.class_names, sets(dataset), dataset.notes) == (KINDS, {"train": 4, "test": 4}, ())


def test_sets_that_lie_deeper_are_kept_by_the_layout_that_is_named(make_folder):
    places = [f"{place}/{kind}" for place in ("north", "south") for kind in KINDS]
    message = refusal(make_folder(filled(*places, inside=("train", "test"))))
    assert (
        "If north and south are the classes, pass --layout class/folder/split; if cat and dog are" in message
    )
    assert "if cat and dog are, pass --layout folder/class/split." in message
    wrapped = make_folder(filled("cat/images", "dog/images", inside=("train", "test")), name="wrapped")
    message = refusal(wrapped)
    assert "If cat and dog are the classes, pass --layout class/folder/split; to divide" in message


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (("entrenamiento", "prueba"), "train and test"),
        (("Lernbilder", "Prüfbilder"), "train and test"),
        (("обучение", "тест"), "train and test"),
        (("te", "tr"), "test and train"),
        (("te", "tr", "va"), "test, train and val"),
        (("imagenes_entrenamiento", "imagenes_prueba"), "train and test"),
        (("daten_test", "daten_training", "daten_validierung"), "test, train and val"),
        (("2 Lernbilder", "2 Prüfbilder"), "train and test"),
    ],
)
def test_sets_in_other_words_are_asked_about(make_folder, names, meant):
    flat = make_folder(dict.fromkeys(names, 3), name="flat")
    message = refusal(flat)
    assert f"seem to mean the sets {meant}." in message
    assert open_dataset(flat, layout="class").class_names == tuple(sorted(names))
    inside = make_folder(filled(*KINDS, inside=names), name="inside")
    message = refusal(inside)
    assert f"If cat and dog are the classes, call them {meant}, and pass --layout class/split; to" in message
    (note,) = open_dataset(inside, layout="class").notes
    assert f"are mixed and divided anew; to keep these sets, call them {meant} and pass layout=" in note


@pytest.mark.parametrize("name", ["{0}_{1}", "{1} {0}"])
def test_a_set_in_other_words_and_a_class_in_one_name_are_asked_about(make_folder, name):
    names = [name.format(one, kind) for one in ("entrenamiento", "prueba") for kind in ("gatos", "perros")]
    message = refusal(make_folder(dict.fromkeys(names, 2)))
    assert "say a set and a class each, by their names (test and train). If so, sort the" in message
    assert "if every folder is a class, pass --layout class." in message


def test_several_folders_of_one_set_are_offered_as_sets(make_folder):
    root = make_folder(filled("train", "train_aug", "test"))
    assert "If test, train and train_aug are sets, pass --layout split/class, which joins" in refusal(root)
    assert sets(open_dataset(root, layout="split/class")) == {"train": 8, "test": 4}


@pytest.mark.parametrize("name", ["{part}_{number}", "{kind}_{number}_{part}", "IMG-{part}-00{number}"])
def test_sets_in_the_names_of_pictures_are_asked_about(make_folder, name):
    root = make_folder(dict.fromkeys(KINDS, 4))
    for path in sorted(root.rglob("*.png")):
        part = "test" if path.stem == "3" else "train"
        stem = name.format(part=part, number=path.stem, kind=path.parent.name)
        path.rename(path.with_stem(stem))
    message = refusal(root)
    assert "the names of the pictures in them say a set each (test, train), such as cat/" in message
    assert "to divide them anew, pass --layout class." in message
    assert sets(open_dataset(root, layout="class")) is None


def test_names_of_pictures_after_their_class_say_no_set(make_folder):
    root = make_folder({"train": 3, "test": 3})
    for path in sorted(root.rglob("*.png")):
        path.rename(path.with_stem(f"{path.parent.name}_{path.stem}"))
    (root / "test").rename(root / "crash test")
    (root / "train").rename(root / "railway")
    assert open_dataset(root).class_names == ("crash test", "railway")


def test_a_set_of_loose_pictures_is_not_said_to_be_empty(make_folder):
    root = make_folder({**filled("train", "test"), "validation": 6})
    message = refusal(root, layout="split/class")
    assert f"{root}/validation holds 6 pictures, none of them in a class folder" in message
    assert "move it away, train, and name the pictures with linnaea predict." in message


def test_a_table_in_each_set_is_to_be_joined_with_the_others(make_folder):
    root = make_folder({"train": 4, "valid": 2, "test": 2})
    joined = ["filename, cat, dog"]
    for folder, number in (("train", 4), ("valid", 2), ("test", 2)):
        rows = [f"{n}.png, {n % 2}, {1 - n % 2}" for n in range(number)]
        (root / folder / "_classes.csv").write_text("\n".join(["filename, cat, dog", *rows]))
        joined += [f"{folder}/{row}" for row in rows]
    message = refusal(root)
    assert (
        "If test/_classes.csv, train/_classes.csv and valid/_classes.csv have their labels, join" in message
    )
    assert (
        f"in one CSV in {root}, with the folder before each name (test/1.jpg), and train on that." in message
    )
    (root / "all.csv").write_text("\n".join(joined))
    dataset = open_dataset(root / "all.csv")
    assert (dataset.class_names, sets(dataset)) == (KINDS, {"test": 2, "train": 4, "val": 2})
