"""Decisions on labels become a new table that opens again; every fault of theirs is named."""

import numpy as np
import pytest
from PIL import Image

from linnaea.data.decisions import read_decisions, relabelled
from linnaea.data.sources import open_dataset
from linnaea.errors import DataError


@pytest.fixture
def animals(tmp_path):
    """Three classes of three pictures, in folders."""
    for number, name in enumerate(("cat", "dog", "owl")):
        (tmp_path / "animals" / name).mkdir(parents=True)
        for index in range(3):
            pixels = np.full((4, 4), 20 * number + index, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "animals" / name / f"{index}.png")
    return open_dataset(tmp_path / "animals")


def decisions_file(tmp_path, *rows):
    path = tmp_path / "decisions.csv"
    path.write_text("\n".join(["path,label", *rows]) + "\n")
    return path


def test_the_new_table_opens_as_the_data_set_with_other_labels(animals, tmp_path):
    path = decisions_file(tmp_path, "cat/0.png,dog", "dog/1.png,dog", "owl/2.png,")
    out = tmp_path / "elsewhere" / "new.csv"
    out.parent.mkdir()
    new = relabelled(animals, read_decisions(path, animals), out)
    assert (new.changed, new.confirmed, new.left_out, new.emptied) == (1, 1, 1, ())
    out.write_text(new.text)
    again = open_dataset(out)
    labels = dict(zip(again.paths, again.labels.tolist(), strict=True))
    assert len(labels) == 8
    assert labels["../animals/cat/0.png"] == "dog"
    assert labels["../animals/cat/1.png"] == "cat"


def test_parts_and_further_columns_are_kept(animals, tmp_path):
    table = tmp_path / "table.csv"
    rows = ["path,label,part,patient"]
    rows += [f"animals/{name}/{i}.png,{name},{'test' if i else 'train'},p{i}" for name in ("cat", "dog") for i in range(3)]  # fmt: skip  # noqa: E501
    table.write_text("\n".join(rows) + "\n")
    dataset = open_dataset(table)
    new = relabelled(dataset, {"animals/cat/0.png": "dog"}, tmp_path / "new.csv")
    lines = new.text.splitlines()
    assert lines[0] == "path,label,split,patient"
    assert "animals/cat/0.png,dog,train,p0" in lines


def test_every_fault_is_told_at_once(animals, tmp_path):
    path = decisions_file(
        tmp_path, "cat/0.png,dgo", "cat/7.png,dog", "dog/0.png,dog", "dog/0.png,cat", ",cat"
    )
    with pytest.raises(DataError) as refused:
        read_decisions(path, animals)
    assert str(refused.value) == (
        f"{path} cannot be used: 1 row with a class that the data set does not have: 'dgo' (line 2); "
        "2 rows with a picture that the data set does not have: cat/7.png (line 3), line 6; "
        "1 row with a picture listed before: dog/0.png (line 5). "
        "Correct these rows. Did you mean 'dog'?"
    )


def test_a_table_of_suggestions_is_no_table_of_decisions(animals, tmp_path):
    path = tmp_path / "label_issues.csv"
    path.write_text("path,given,suggested,confidence\ncat/0.png,cat,dog,0.01\n")
    with pytest.raises(DataError, match=r"given, suggested.* as in the CSV that label_issues\.html saves\."):
        read_decisions(path, animals)


def test_no_decision_and_too_few_classes_are_refused(animals, tmp_path):
    with pytest.raises(DataError, match="contains no decision"):
        read_decisions(decisions_file(tmp_path), animals)
    gone = {path: "" for path in animals.paths if not path.startswith("cat")}
    with pytest.raises(DataError, match="leave fewer than two classes"):
        relabelled(animals, gone, tmp_path / "new.csv")


def test_a_class_without_pictures_is_named(animals, tmp_path):
    moved = {f"owl/{index}.png": "cat" for index in range(3)}
    assert relabelled(animals, moved, tmp_path / "new.csv").emptied == ("owl",)


def test_digits_have_no_files_to_list(tmp_path):
    with pytest.raises(DataError) as refused:
        relabelled(open_dataset("digits"), {}, tmp_path / "new.csv")
    assert str(refused.value) == (
        "'digits' has no picture files that a table could list. "
        "Labels are changed in a folder of pictures or a CSV."
    )
