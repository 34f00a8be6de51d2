import os

import numpy as np
import pytest
from tests.data.conftest import refusal

from linnaea.data.dataset import Dataset
from linnaea.data.fingerprints import content_hashes
from linnaea.data.sources import open_dataset
from linnaea.data.tables import read_rows
from linnaea.errors import DataError


@pytest.fixture
def pictures(make_folder):
    return make_folder({"files": 6})


def write(folder, text, encoding="utf-8"):
    path = folder / "labels.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_rows_become_pictures_sorted_by_path(pictures):
    path = write(pictures, "path,label,colour\nfiles/2.png,tulip,red\nfiles/0.png, rose ,white\n")
    dataset = open_dataset(path)
    assert dataset.paths == ("files/0.png", "files/2.png")
    assert dataset.labels.tolist() == ["rose", "tulip"]
    assert (dataset.name, dataset.root, dataset.splits) == ("labels", pictures, None)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_what_spreadsheets_write_is_read(pictures, separator):
    text = (
        "Path;Label;Part\r\nfiles\\0.png;rose;Training\r\nfiles/1.png;tulip;valid\r\nfiles/2.png;tulip;\r\n"
    )
    dataset = open_dataset(write(pictures, text.replace(";", separator), encoding="utf-8-sig"))
    assert dataset.paths == ("files/0.png", "files/1.png", "files/2.png")
    assert dataset.splits.tolist() == ["train", "test", ""]
    assert dataset.notes[0] == "1 picture has no split."


def test_every_fault_is_told_at_once(pictures):
    missing = "".join(f"files/x{number:02d}.png,rose,\n" for number in range(12))
    text = "path,label,split\nfiles/0.png,rose,train\nfiles/0.png,rose,train\n"
    text += ",tulip,\nfiles/1.png,,\nfiles/2.png,tulip,exam\n"
    path = write(pictures, text + missing)
    listed = ", ".join(f"files/x{number:02d}.png (line {number + 7})" for number in range(10))
    assert refusal(path) == (
        f"{path} cannot be used: "
        "1 row with a path listed before: files/0.png (line 3); "
        "1 row without a path: line 4; "
        "1 row without a label: files/1.png (line 5); "
        "1 row with the unknown split 'exam' (known: train, val, test): files/2.png (line 6); "
        f"12 rows with a file that does not exist: {listed} and 2 more. "
        f"Correct these rows. Files were looked for in {pictures}, {os.getcwd()} and the folders above the "
        "table. A picture with an empty split is left out."
    )


def test_missing_columns_are_all_named(pictures):
    assert refusal(write(pictures, "name,kind\nrose 0,rose\n")).startswith(
        f"{pictures}/labels.csv has no column 'path' and no column 'label'; its columns are: name, kind. "
    )
    assert "its columns are: none" in refusal(write(pictures, ""))


def test_tables_that_cannot_be_used(pictures):
    assert "lists no pictures" in refusal(write(pictures, "path,label\n"))
    assert "lists pictures of one class only, 'rose'" in refusal(
        write(pictures, "path,label\nfiles/0.png,rose\n")
    )
    assert "is not UTF-8 text" in refusal(
        write(pictures, "path,label\nfiles/0.png,ros\u00e9\n", encoding="latin-1")
    )
    assert "line 2, is not CSV" in refusal(write(pictures, 'path,label\n"files/0.png,rose\n'))


def test_a_label_with_an_unquoted_comma_is_not_cut(pictures):
    text = "path,label\nfiles/0.png,aster, blue\nfiles/1.png,aster, red\nfiles/2.png,rose\n"
    assert refusal(write(pictures, text)) == (
        f"{pictures}/labels.csv has more values than the 2 columns of its first line in 2 rows: "
        "line 2, line 3. Put a value with ',' in quotation marks."
    )
    quoted = text.replace("aster, blue", '"aster, blue"').replace("aster, red", '"aster, red"')
    assert set(open_dataset(write(pictures, quoted)).labels) == {"aster, blue", "aster, red", "rose"}
    # What a spreadsheet writes for an empty last column says nothing more.
    assert len(open_dataset(write(pictures, text.replace(", blue", ",").replace(", red", ",")))) == 3


def test_a_pipe_for_a_table_or_a_picture_is_refused_and_not_waited_for(pictures):
    os.mkfifo(pictures / "table.csv")
    with pytest.raises(DataError, match=r"the table is a named pipe, not a file\. Leave it out\."):
        read_rows(pictures / "table.csv", "the table")
    os.mkfifo(pictures / "pipe.png")
    dataset = Dataset("x", "x", ("pipe.png",), np.array(["a"]), root=pictures)
    with pytest.raises(DataError, match=r"pipe\.png is a named pipe, not a file"):
        content_hashes(dataset)


def test_the_column_of_older_tables_is_read_and_both_at_once_are_refused(make_folder):
    root = make_folder({"files": 2})
    rows = ["files/0.png,rose,train", "files/1.png,lily,test"]
    for column in ("split", "part"):
        (root / "table.csv").write_text("\n".join([f"path,label,{column}", *rows]))
        dataset = open_dataset(root / "table.csv")
        assert (dataset.splits.tolist(), dict(dataset.columns)) == (["train", "test"], {})
        assert dataset.split_name == f"your {column} column"
    (root / "table.csv").write_text("path,label,split,part\nfiles/0.png,rose,train,1\n")
    with pytest.raises(DataError, match="has a column split and a column part, which mean the same"):
        open_dataset(root / "table.csv")


SPLIT_ROWS = [
    "files/0.png,rose,train",
    "files/1.png,lily,Train",
    "files/2.png,rose,test",
    "files/3.png,lily,test",
]


def test_train_and_val_alone_and_other_words_for_sets_are_read_as_in_folders(pictures):
    text = "path,label,split\nfiles/0.png,rose,Training set\nfiles/1.png,lily,dev\nfiles/2.png,rose,\n"
    dataset = open_dataset(write(pictures, text))
    assert dataset.splits.tolist() == ["train", "test", ""]
    assert dataset.notes[-1].startswith("There is no test set")


@pytest.mark.parametrize("column", ["set", "subset", "Partition", "which one"])
def test_a_column_of_sets_is_the_split_whatever_it_is_called(pictures, column):
    dataset = open_dataset(write(pictures, "\n".join([f"path,label,{column}", *SPLIT_ROWS])))
    assert dataset.splits.tolist() == ["train", "train", "test", "test"]
    assert dataset.split_name == f"your {column.lower()} column"
    assert dict(dataset.columns) == {}


def test_a_set_that_is_none_is_told_and_a_series_is_kept_to_group_by(pictures):
    rows = [*SPLIT_ROWS, "files/4.png,rose,exam"]
    assert "1 row with the unknown split 'exam'" in refusal(
        write(pictures, "\n".join(["path,label,subset", *rows]))
    )
    text = "path,label,set,split\nfiles/0.png,rose,first,train\nfiles/1.png,lily,second,test\n"
    dataset = open_dataset(write(pictures, text))
    assert (dataset.splits.tolist(), list(dataset.columns)) == (["train", "test"], ["set"])
    dataset = open_dataset(write(pictures, text.replace(",train", ",").replace(",test", ",")))
    assert (dataset.splits, list(dataset.columns)) == (None, ["set"])


def test_of_two_columns_of_sets_the_one_that_is_called_so_counts_and_no_class_is_a_set(pictures):
    text = "path,label,old,split\nfiles/0.png,rose,test,train\nfiles/1.png,lily,train,test\n"
    dataset = open_dataset(write(pictures, text))
    assert (dataset.splits.tolist(), list(dataset.columns)) == (["train", "test"], ["old"])
    assert "has a column subset and a column set, which mean the same" in refusal(
        write(pictures, text.replace("old", "set").replace("split", "subset"))
    )
    text = "path,label\nfiles/0.png,train\nfiles/1.png,test\n"
    assert open_dataset(write(pictures, text)).splits is None


def test_folders_called_like_sets_are_sets_where_no_column_says_more(make_folder):
    root = make_folder({f"all/{split}/{label}": 2 for split in ("train", "test") for label in ("a", "b")})
    rows = [f"{file.relative_to(root)},{file.parent.name}" for file in root.rglob("*.png")]
    dataset = open_dataset(write(root, "\n".join(["path,label", *rows])))
    assert sorted(dataset.splits.tolist()) == ["test"] * 4 + ["train"] * 4
    assert dataset.split_name == "your folders test and train"
    rows = [f"{file.relative_to(root)},{file.parent.parent.name}" for file in root.rglob("*.png")]
    assert open_dataset(write(root, "\n".join(["path,label", *rows]))).splits is None


def test_marks_around_a_value_after_a_blank_are_no_part_of_it(pictures):
    text = 'path, label, note\nfiles/0.png, "rose", "red, or so"\n"files/1.png", rose,\n'
    text += 'files/2.png, "a ""b""",\n'
    dataset = open_dataset(write(pictures, text))
    assert dataset.labels.tolist() == ["rose", "rose", 'a "b"']
    assert dataset.columns["note"]["files/0.png"] == "red, or so"


def test_paths_may_start_from_where_the_command_runs(make_folder, monkeypatch, tmp_path):
    make_folder({"pictures/one/a": 1, "pictures/one/b": 1}, name="work")
    table = tmp_path / "work" / "tables" / "some.csv"
    table.parent.mkdir()
    table.write_text("path,label\npictures/one/a/0.png,a\npictures/one/b/0.png,b\n")
    (tmp_path / "elsewhere").mkdir()
    # From elsewhere, as a run is continued: the folder above the table is where the first command ran.
    for folder in ("work", "elsewhere"):
        monkeypatch.chdir(tmp_path / folder)
        dataset = open_dataset(table)
        assert all(file.is_file() for file in dataset.files(range(2)))
        assert dataset.paths[0] == "pictures/one/a/0.png"
        assert dataset.notes == (
            f"Paths start from {tmp_path / 'work'}: the table's own folder has no such files.",
        )
    table.write_text("path,label\npictures/one/a/0.png,a\nnowhere/b.png,b\n")
    assert "1 row with a file that does not exist: nowhere/b.png (line 3)" in refusal(table)


def test_a_path_with_two_labels_is_told_otherwise_than_a_double(pictures):
    rows = ["path,label,split", "files/0.png,rose,train", "files/1.png,lily,test"]
    rows += ["files/./0.png,lily,train", "files/1.png,lily,train", "files/0.png,rose,train"]
    assert (
        "1 row with a path listed before with another label: files/0.png (line 2 'rose', line 4 'lily'); "
        "1 row with a path listed before in another set: files/1.png (line 5); "
        "1 row with a path listed before: files/0.png (line 6). Correct these rows."
    ) in refusal(write(pictures, "\n".join(rows)))


@pytest.mark.parametrize(
    "labels",
    [
        ("a", "b", "a|b", "a", "b", "b|a"),
        ("a", "b", "a; b", "a", "b", "c"),
        ("a", "b", "a, b", "a", "b", "c"),
        ("a|b", "b|c", "a|c", "a|b", "b|c", "a|b|c"),
        ("['a']", "['b']", "['a', 'b']", "['a']", "['b']", "['b']"),
        ("rust", "scab", "complex", "rust scab", "rust complex", "scab complex"),
    ],
)
def test_labels_that_are_made_of_others_are_refused(pictures, labels):
    rows = "".join(f'files/{row}.png,"{label}"\n' for row, label in enumerate(labels))
    message = refusal(write(pictures, f"path,label\n{rows}"))
    assert "several labels in one value (" in message
    assert "and Linnaea learns one class for each picture. Keep the label that matters most" in message


@pytest.mark.parametrize(
    "labels",
    [
        ("sea", "lion", "sea lion", "sea", "lion", "sea lion"),
        ("red car", "blue car", "red bus", "blue bus", "red car", "blue car"),
        ("tulip, red", "tulip, white", "rose, red", "rose, white", "rose, red", "tulip, red"),
        ("yes", "no", "n/a", "yes", "no", "yes/no"),
        ("cat", "dog", "cat and dog", "cat", "dog", "cat+dog"),
    ],
)
def test_labels_of_several_words_are_classes(pictures, labels):
    rows = "".join(f'files/{row}.png,"{label}"\n' for row, label in enumerate(labels))
    assert open_dataset(write(pictures, f"path,label\n{rows}")).class_names == tuple(sorted(set(labels)))


def test_rows_of_boxes_are_said_to_be_such(pictures):
    rows = "".join(f"files/{row // 2}.png,{('cat', 'dog')[row % 2]},{row},0,9,9\n" for row in range(6))
    assert "Its rows seem to be boxes of objects, and Linnaea learns one class" in refusal(
        write(pictures, f"filename,class,xmin,ymin,xmax,ymax\n{rows}")
    )
