"""Facts: which names of classes are taken for one, in folders and tables alike."""

import pytest

from linnaea.data.classes import similar_names
from linnaea.data.scan import scan
from linnaea.data.sources import open_dataset


@pytest.mark.parametrize(
    "alike",
    [
        ["Cat", "cat"],
        ["Cats", "cat"],
        ["berries", "berry"],
        ["box", "boxes"],
        ["1", "1.0"],
        ["cat-20240131T101500Z-001", "cat-20240131T101500Z-002"],
        ["blue tit", "blue-tit", "blue_tit", "bluetit"],
        ["STRASSE", "straße"],
        ["cat", "c\u200bat"],  # a blank without width
        ["cat", "\u0441at"],  # Cyrillic
        ["cat", "\uff43\uff41\uff54"],  # as wide as Chinese letters
        ["bishop's", "bishop’s"],
    ],
)
def test_names_that_look_like_one(alike):
    assert similar_names([*alike, "dog"]) == [sorted(alike)]


@pytest.mark.parametrize(
    "names",
    [
        ["1-2", "12"],
        ["-1", "1"],
        ["café", "cafe"],
        ["a1", "al"],
        ["b", "c", "d"],
        ["glass", "glas"],
        ["a", "as"],
        ["ax", "axis"],
        ["cat-1", "cat-2"],
    ],
)
def test_names_that_are_two(names):
    assert similar_names(names) == []


def test_it_is_told_of_folders_and_of_tables(make_folder):
    root = make_folder({"Cat": 5, "cat": 6, "\u0441at": 7, "dog": 5})
    rows = [f"{file.relative_to(root).as_posix()},{file.parent.name}" for file in root.rglob("*.png")]
    (root / "table.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    for source in (root, root / "table.csv"):
        (found,) = [p for p in scan(open_dataset(source)).problems if p.kind == "similar_names"]
        assert (found.severity, found.paths) == ("warning", ())
        assert found.message == (
            "3 classes differ only in capitals, blanks, hyphens, a plural s, the stamp of a download, zeros "
            "behind a point or the look of letters: 'Cat' (5 pictures) and 'cat' (6 pictures) and '\u0441at' "
            "with cyrillic small "
            "letter es (7 pictures). Each is learned as a class of its own: give those that are one the same "
            "name."
        )
