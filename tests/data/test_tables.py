import os

import numpy as np
import pytest

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


def message(path):
    with pytest.raises(DataError) as caught:
        open_dataset(path)
    return str(caught.value)


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
    assert dataset.splits.tolist() == ["train", "val", ""]
    assert dataset.notes == ("1 picture has no split.",)


def test_every_fault_is_told_at_once(pictures):
    missing = "".join(f"files/x{number:02d}.png,rose,\n" for number in range(12))
    text = "path,label,split\nfiles/0.png,rose,train\nfiles/0.png,rose,train\n"
    text += ",tulip,\nfiles/1.png,,\nfiles/2.png,tulip,exam\n"
    path = write(pictures, text + missing)
    listed = ", ".join(f"files/x{number:02d}.png (line {number + 7})" for number in range(10))
    assert message(path) == (
        f"{path} cannot be used: "
        "1 row with a path listed before: files/0.png (line 3); "
        "1 row without a path: line 4; "
        "1 row without a label: files/1.png (line 5); "
        "1 row with the unknown split 'exam' (known: train, val, test): files/2.png (line 6); "
        f"12 rows with a file that does not exist: {listed} and 2 more. "
        "Correct these rows."
    )


def test_missing_columns_are_all_named(pictures):
    assert message(write(pictures, "file,class\nfiles/0.png,rose\n")).startswith(
        f"{pictures}/labels.csv has no column 'path' and no column 'label'; its columns are: file, class. "
    )
    assert "its columns are: none" in message(write(pictures, ""))


def test_tables_that_cannot_be_used(pictures):
    assert "lists no pictures" in message(write(pictures, "path,label\n"))
    assert "lists pictures of one class only, 'rose'" in message(
        write(pictures, "path,label\nfiles/0.png,rose\n")
    )
    assert "is not UTF-8 text" in message(
        write(pictures, "path,label\nfiles/0.png,ros\u00e9\n", encoding="latin-1")
    )
    assert "line 2, is not CSV" in message(write(pictures, 'path,label\n"files/0.png,rose\n'))


def test_a_label_with_an_unquoted_comma_is_not_cut(pictures):
    text = "path,label\nfiles/0.png,aster, blue\nfiles/1.png,aster, red\nfiles/2.png,rose\n"
    assert message(write(pictures, text)) == (
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
        assert dataset.split_name == "your split column"
    (root / "table.csv").write_text("path,label,split,part\nfiles/0.png,rose,train,1\n")
    with pytest.raises(DataError, match="has a column split and a column part, which mean the same"):
        open_dataset(root / "table.csv")
