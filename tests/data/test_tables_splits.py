"""Tables of other programs: which columns are the split, the path and the label, and what is said."""

import csv

import pytest
from tests.data.conftest import refusal

from linnaea.data.named import NamedPictures
from linnaea.data.sources import open_dataset
from linnaea.errors import DataError

CLASSES = ("rose", "lily")


@pytest.fixture
def pictures(make_folder):
    return make_folder({"files": 6})


def table(folder, columns, head="path,label"):
    """Write a table of six pictures with further columns of six values each."""
    path = folder / "labels.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*head.split(","), *columns])
        for row in range(6):
            further = [values[row] for values in columns.values()]
            writer.writerow([f"files/{row}.png", CLASSES[row % 2], *further])
    return path


def flags(yes, no):
    return [no, no, no, no, yes, yes]


@pytest.mark.parametrize(
    ("column", "yes", "no", "note"),
    [
        ("is_valid", "True", "False", "val where is_valid is true, else train."),
        ("is_test", 1, 0, "test where is_test is true, else train."),
        ("isTest", "1.0", "0.0", "test where istest is true, else train."),
        ("train", "FALSE", "TRUE", "train where train is true, else test."),
        ("is_train", "no", "yes", "train where is_train is true, else test."),
    ],
)
def test_truth_values_are_the_split(pictures, column, yes, no, note):
    dataset = open_dataset(table(pictures, {column: flags(yes, no)}))
    assert dataset.splits.tolist() == ["train"] * 4 + ["test"] * 2
    assert dataset.notes[0] == f"Sets were read from your table: {note}"
    assert (dataset.split_name, dict(dataset.columns)) == (f"your {column.lower()} column", {})


def test_a_column_for_each_set_and_what_is_in_none(pictures):
    columns = {"train": [1, 1, 1, 0, 0, 0], "val": [0, 0, 0, 1, 0, 0], "test": [0, 0, 0, 0, 1, 1]}
    dataset = open_dataset(table(pictures, columns))
    assert dataset.splits.tolist() == ["train"] * 3 + ["val", "test", "test"]
    assert dataset.split_name == "your test, train and val columns"
    del columns["val"]
    dataset = open_dataset(table(pictures, columns))
    assert dataset.splits.tolist() == ["train"] * 3 + ["", "test", "test"]
    assert "1 picture has no split." in dataset.notes
    columns = {"is_train": [1, 1, 1, 0, 0, 0], "valid": [0, 0, 0, 1, 0, 0]}
    dataset = open_dataset(table(pictures, columns))
    assert dataset.splits.tolist() == ["train"] * 3 + ["val", "test", "test"]
    columns = {"is_valid": [0, 0, 0, 1, 0, ""], "is_test": [0, 0, 0, 0, 1, 0]}
    dataset = open_dataset(table(pictures, columns))
    assert dataset.splits.tolist() == ["train"] * 3 + ["val", "test", ""]


def test_truth_values_that_contradict_each_other_are_refused(pictures):
    columns = {"is_train": [1, 1, 1, 1, 0, 0], "is_test": [0, 0, 0, 1, 1, 1]}
    assert "puts 1 picture into two sets by its columns is_test and is_train: files/3.png." in refusal(
        table(pictures, columns)
    )
    columns = {"is_train": [1, 1, 1, 1, 0, 0], "train": [0, 0, 0, 1, 1, 1]}
    assert "has the columns is_train and train, some of which mean the same" in refusal(
        table(pictures, columns)
    )
    columns = {"subset": flags("test", "train"), "is_test": flags(1, 0)}
    assert "has a column subset and a column is_test, which mean the same" in refusal(
        table(pictures, columns)
    )


@pytest.mark.parametrize("column", ["train_or_test", "split", "set"])
def test_short_names_of_sets_are_understood_and_said(pictures, column):
    dataset = open_dataset(table(pictures, {column: flags("te", "TR")}))
    assert dataset.splits.tolist() == ["train"] * 4 + ["test"] * 2
    assert dataset.notes == (f"In your {column} column, 'TR' is train and 'te' is test.",)
    # Turkish and Telugu
    assert open_dataset(table(pictures, {"language": flags("te", "tr")})).splits is None


def test_a_split_of_which_one_value_is_unknown_is_refused(pictures):
    for column in ("tvt_split", "train_or_test"):
        path = table(pictures, {column: flags("test, do not use", "train")})
        assert "2 rows with the unknown split 'test, do not use' (known: train, val, test)" in refusal(path)
    path = table(pictures, {"fold": [1, 1, 2, 2, "test", "test"]})
    assert "2 rows with the unknown split '1'" in refusal(path)


@pytest.mark.parametrize("column", ["used_for", "Used for", "usage", "purpose", "partition", "fold", "role"])
def test_a_column_that_says_what_pictures_are_for_is_the_split(pictures, column):
    dataset = open_dataset(table(pictures, {column: flags("test", "train")}))
    assert (dataset.splits.tolist(), dict(dataset.columns)) == (["train"] * 4 + ["test"] * 2, {})


@pytest.mark.parametrize("column", ["used_for", "Used for", "purpose"])
def test_pictures_that_such_a_column_sets_aside_are_not_learned_from(pictures, column):
    values = ["train", "train", "train", "ignore", "test", "test"]
    message = refusal(table(pictures, {column: values}))
    assert "1 row with the unknown split 'ignore'" in message
    assert message.endswith("Correct these rows. A picture with an empty split is left out.")
    values[3] = ""
    assert open_dataset(table(pictures, {column: values})).splits.tolist()[3] == ""


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("partition", [0, 0, 0, 1, 2, 2]),
        ("train_or_test", flags("b", "a")),
        ("train_test", flags(1, 0)),
        ("train_val", flags(0, 1)),
        ("data-split", flags("B", "A")),
        ("is_test", flags("perhaps", "no")),
        ("is_test", flags("x", "")),
        ("is_test", flags(1, "")),
        ("test", flags(1, 0)),
    ],
)
def test_an_unmistakable_split_that_is_not_understood_is_refused(pictures, column, values):
    held = ", ".join(repr(value) for value in sorted({str(value) for value in values} - {""}))
    assert refusal(table(pictures, {column: values})) == (
        f"{pictures}/labels.csv has a column that looks like a split, and which pictures are for testing "
        f"cannot be told from its values: '{column}' with {held}. Call one column split and write train, val "
        "or test into it for each picture; rename a column that means something else."
    )


@pytest.mark.parametrize("column", ["set", "subset", "phase", "stage", "trained_on", "tested", "valid"])
def test_what_may_be_a_split_is_kept_with_a_note(pictures, column):
    dataset = open_dataset(table(pictures, {column: [0, 1, 0, 1, 1, 1], "colour": ["red"] * 6}))
    assert (dataset.splits, list(dataset.columns)) == (None, sorted([column, "colour"]))
    assert dataset.notes == (
        f"The column '{column}' looks like a split and was not used as one: if it is one, call it split and "
        "write train, val or test into it.",
    )


def test_folds_have_a_note_with_what_reads_them(pictures):
    assert open_dataset(table(pictures, {"Fold": [0, 0, 1, 1, 2, 2]})).notes == (
        "The column 'fold' looks like a split and was not used as one: folds=5 draws folds of its own, "
        "group_column='fold' keeps the pictures of one value together.",
    )


def test_beside_the_split_another_one_has_a_note(pictures):
    dataset = open_dataset(table(pictures, {"split": flags("test", "train"), "partition": flags(2, 0)}))
    assert dataset.splits.tolist() == ["train"] * 4 + ["test"] * 2
    assert dataset.notes == (
        "The column 'partition' looks like a split and was not used as one: your split column says which set "
        "a picture is in.",
    )
    assert open_dataset(table(pictures, {"partition": [""] * 6, "colour": ["red"] * 6})).notes == ()


@pytest.mark.parametrize(
    "head", ["file_name,label", "FileName,labels", "filepaths,class", "image,Label", "image_path,label"]
)
def test_path_and_label_are_known_by_what_others_call_them(pictures, head):
    path = table(pictures, {"filename_old": ["x"] * 6}, head)
    dataset = open_dataset(path)
    assert (dataset.paths[1], dataset.labels[1], list(dataset.columns)) == (
        "files/1.png",
        "lily",
        ["filename_old"],
    )


def test_our_names_come_first_and_two_others_are_refused(pictures):
    columns = {"filename": ["x"] * 6, "class": ["y"] * 6}
    dataset = open_dataset(table(pictures, columns))
    assert (dataset.labels[1], list(dataset.columns)) == ("lily", ["class", "filename"])
    assert refusal(table(pictures, columns, "image,label")).endswith(
        "has the columns 'image' and 'filename', and each may be the path. Call one of them path."
    )
    assert "has the columns 'labels' and 'class', and each may be the label" in refusal(
        table(pictures, {"class": ["y"] * 6}, "path,labels")
    )


def test_the_line_of_excel_names_the_separator(pictures):
    path = pictures / "labels.csv"
    text = "sep=;\r\npath;label;a,b,c,d\r\nfiles/0.png;rose;\r\nfiles/1.png;lily;\r\n"
    path.write_text(text, encoding="utf-8-sig")
    assert open_dataset(path).labels.tolist() == ["rose", "lily"]
    path.write_text(text.replace("1.png", "x.png"))
    assert "does not exist: files/x.png (line 4)" in refusal(path)
    path.write_text('"sep=\t"\npath\tlabel\nfiles/0.png\trose\nfiles/1.png\tlily\n')
    assert len(open_dataset(path)) == 2


def test_a_table_without_a_header_is_told_so(pictures):
    path = pictures / "labels.csv"
    for text in ("files/0.png,rose\nfiles/1.png,lily\n", "rose,files/0.PNG\n", "sep=;\nfiles/0.png;rose\n"):
        path.write_text(text)
        picture = "files/0.PNG" if "PNG" in text else "files/0.png"
        assert refusal(path) == (
            f"{path} has no header: its first line names a picture ({picture}). The first line must name "
            "the columns: path,label or path,label,split."
        )


def test_a_table_to_predict_is_read_alike(pictures):
    path = pictures / "labels.csv"
    path.write_text("sep=;\nclass;file_name;a,b,c\nrose;files/0.png;\nlily;files/1.png;\n")
    named = list(NamedPictures([], path))
    assert [(picture.name, picture.within) for picture in named] == [
        ("files/0.png", ("rose",)),
        ("files/1.png", ("lily",)),
    ]
    path.write_text("image,filename\nfiles/0.png,x\n")
    with pytest.raises(DataError, match="has the columns 'image' and 'filename', and each may be the path"):
        NamedPictures([], path)


def test_a_held_out_row_is_a_test_row_however_it_is_written(pictures):
    dataset = open_dataset(table(pictures, {"is_held_out": flags(1, 0)}))
    assert dataset.splits.tolist() == ["train"] * 4 + ["test"] * 2
    assert "a column that looks like a split" in refusal(table(pictures, {"held-out": flags(1, 0)}))


def test_a_column_of_another_name_that_names_sets_beside_other_values_is_told(pictures):
    for values in (
        ["train"] * 3 + ["test"] * 2 + ["unlabeled"],
        ["isic_train"] * 4 + ["isic_test", "padufes"],
    ):
        dataset = open_dataset(table(pictures, {"dataset": values}))
        assert dataset.splits is None
        (note,) = dataset.notes
        assert note.startswith("The column 'dataset' looks like a split and was not used as one")


def test_sets_in_paths_that_were_not_used_are_told(make_folder):
    root = make_folder({f"{label}/{split}": 2 for label in ("a", "b") for split in ("train", "test")})
    rows = [
        f"{label}/{split}/{n}.png,{label}" for label in "ab" for split in ("train", "test") for n in range(2)
    ]
    (root / "labels.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    dataset = open_dataset(root / "labels.csv")
    assert dataset.splits is None
    assert dataset.notes == (
        "The paths contain test and train, which look like sets and were not used: if they are, write train, "
        "val or test into a column split.",
    )


@pytest.mark.parametrize("name", ["latest_training_date", "strain_value", "contest_training", "splitter_box"])
def test_a_word_within_a_word_is_no_split(pictures, name):
    dataset = open_dataset(table(pictures, {name: list("abcdef")}))
    assert (dataset.splits, dataset.columns.keys()) == (None, {name})


def test_a_label_that_may_stand_for_none_is_told(make_folder):
    root = make_folder({"files": 3})
    (root / "labels.csv").write_text("path,label\nfiles/0.png,cat\nfiles/1.png,dog\nfiles/2.png,nan\n")
    assert open_dataset(root / "labels.csv").notes == (
        "1 picture has the label 'nan', which is a class here; if it stands for a missing label, leave these "
        "rows out.",
    )


def test_a_label_of_minus_one_beside_one_is_no_missing_one(make_folder):
    root = make_folder({"files": 3})
    (root / "labels.csv").write_text("path,label\nfiles/0.png,1\nfiles/1.png,-1\nfiles/2.png,1\n")
    assert open_dataset(root / "labels.csv").notes == ()
    (root / "labels.csv").write_text("path,label\nfiles/0.png,2\nfiles/1.png,-1\nfiles/2.png,1\n")
    (note,) = open_dataset(root / "labels.csv").notes
    assert note.startswith("1 picture has the label '-1', which is a class here; if it stands for a missing")


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("Training", "Validierung", "Test"),
        ("entrenamiento", "validación", "prueba"),
        ("entraînement", "validation", "test"),
        ("训练集", "验证集", "测试集"),
        ("Training", "PublicTest", "PrivateTest"),
    ],
)
def test_sets_of_other_languages_are_read_in_columns_and_said(pictures, train, val, test):
    values = [train, train, train, val, test, test]
    dataset = open_dataset(table(pictures, {"Aufteilung": values}))
    assert dataset.splits.tolist() == ["train"] * 3 + ["val"] + ["test"] * 2
    (note,) = dataset.notes
    assert note.startswith("In your aufteilung column, '")
    # A word alone is none: it may be a place.
    assert open_dataset(table(pictures, {"place": [test, test, test, "x", "x", train]})).splits is None
