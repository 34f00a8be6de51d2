import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from linnaea.data.dataset import Dataset
from linnaea.data.fingerprints import content_hashes
from linnaea.data.groups import find_groups
from linnaea.data.headers import header
from linnaea.data.scan import scan
from linnaea.data.sources import open_dataset
from linnaea.data.split import make_split
from linnaea.errors import DataError, SettingError


def toy(names, labels=None, columns=None):
    labels = ["a", "b"] * (len(names) // 2) if labels is None else labels
    pixels = np.arange(len(names), dtype=np.uint32).view(np.uint8).reshape(-1, 2, 2)
    return Dataset("toy", "toy", tuple(names), np.array(labels), pixels=pixels, columns=columns or {})


def together(groups):
    """The groups of two pictures or more, as sets of rows."""
    return {
        frozenset(np.flatnonzero(groups.ids == group).tolist())
        for group in groups.ids
        if (groups.ids == group).sum() > 1
    }


def photograph(path: Path, moment: str | None, camera: str = "E-M1", fraction: str | None = None) -> Path:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "OLYMPUS  ", camera
    if moment is not None:
        exif.get_ifd(0x8769)[0x9003] = moment
    if fraction is not None:
        exif.get_ifd(0x8769)[0x9291] = fraction
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(str(path))).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, exif=exif)
    return path


def test_a_column_of_the_table_names_groups(make_folder):
    root = make_folder({"a": 3, "b": 2})
    rows = ["path;label;Patient", "a/0.png;a;p1", "a/1.png;a;", "a/2.png;a;p2", "b/0.png;b;p1", "b/1.png;b;"]
    (root / "table.csv").write_text("\n".join(rows))
    groups = find_groups(open_dataset(root / "table.csv"), column="patient")
    assert together(groups) == {frozenset({0, 3})}
    assert groups.names == ("p1", "", "p2", "p1", "")
    assert groups.words == "2 groups by patient"


def test_a_column_that_is_not_there_is_refused():
    with pytest.raises(SettingError) as caught:
        find_groups(toy(["x", "y"]), column="patient")
    assert str(caught.value) == (
        "group_column is 'patient', and toy has no columns beside path, label and split. "
        "Add the column to a CSV of the pictures, or name groups with group_pattern."
    )
    with pytest.raises(SettingError) as caught:
        find_groups(toy(["x", "y"], columns={"patient": {}, "site": {}}), column="patent")
    assert str(caught.value) == "toy has no column 'patent' to group by. Did you mean 'patient'?"
    with pytest.raises(SettingError) as empty:
        find_groups(toy(["a", "b"], columns={"patient": {"a": "", "b": ""}}), column="patient")
    assert str(empty.value) == (
        "The column 'patient' of toy is empty: it groups nothing. Fill it in, or leave group_column out."
    )


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (r"plant(\d+)", ("1", "1", "2", "")),  # the first group
        (r"plant\d+", ("plant1", "plant1", "plant2", "")),  # the whole match
        (r"rose/plant(?:1_(a))?", ("a", "", "", "")),  # a group that took no part names nothing
    ],
)
def test_a_pattern_names_groups(pattern, names):
    paths = ["rose/plant1_a.jpg", "rose/plant1_b.jpg", "rose/plant2_a.jpg", "tulip/7.jpg"]
    assert find_groups(toy(paths), pattern=pattern).names == names


def test_a_pattern_that_cannot_be_used_is_refused():
    with pytest.raises(SettingError) as caught:
        find_groups(toy(["x", "y"]), pattern="(plant")
    assert str(caught.value) == (
        "group_pattern is not a regular expression (missing ), unterminated subpattern at position 0): "
        "(plant Write, for example, 'plant(\\d+)' for pictures called plant7_1.jpg."
    )
    with pytest.raises(SettingError) as caught:
        find_groups(toy(["x", "y"]), pattern="plant")
    assert str(caught.value) == (
        "group_pattern 'plant' matches nothing: it was searched in x, y. "
        "It is a regular expression on the path below the data's folder."
    )


def test_pictures_of_one_burst_are_chained(tmp_path):
    moments = {"0": "2026:05:01 10:00:00", "1": "2026:05:01 10:00:08", "2": "2026:05:01 10:00:16"}
    moments |= {"3": "2026:05:01 10:00:27", "4": None, "5": "0000:00:00 00:00:00"}
    for name, moment in moments.items():
        photograph(tmp_path / "a" / f"{name}.jpg", moment)
    photograph(tmp_path / "b/0.jpg", "2026:05:01 10:00:08", camera="Pixel")
    photograph(tmp_path / "b/1.jpg", "2026:05:01 10:00:20", camera="Pixel")
    dataset = open_dataset(tmp_path)
    taken = scan(dataset).taken
    # 16 s from end to end, 8 s each to the next; 27 is 11 s later; the other camera's 8 is no neighbour.
    groups = find_groups(dataset, taken=taken, seconds=10)
    assert together(groups) == {frozenset({0, 1, 2})}
    assert groups.words == "1 group of pictures taken within 10 s"
    assert groups.names[:4] == ("a/0.jpg", "a/0.jpg", "a/0.jpg", "")
    assert together(find_groups(dataset, taken=taken, seconds=12)) == {
        frozenset({0, 1, 2, 3}),
        frozenset({6, 7}),
    }


def test_the_moment_of_a_photograph_is_read_to_its_fraction(tmp_path):
    def taken(path: Path) -> tuple[str, float]:
        return header(path.read_bytes()).taken

    first = taken(photograph(tmp_path / "1.jpg", "2026:05:01 10:00:59", fraction="75"))
    second = taken(photograph(tmp_path / "2.jpg", "2026:05:01 10:01:00"))
    assert first[0] == second[0] == "OLYMPUS E-M1"
    assert second[1] - first[1] == pytest.approx(0.25)
    (tmp_path / "3.jpg").write_text("no picture")
    assert taken(tmp_path / "3.jpg") is None


def test_without_any_time_bursts_are_refused(make_folder):
    dataset = open_dataset(make_folder({"a": 2, "b": 2}))
    for pictures in (dataset, toy(["x", "y"])):
        with pytest.raises(DataError) as caught:
            find_groups(pictures, taken=scan(pictures).taken, seconds=5)
        assert str(caught.value) == (
            f"group_seconds is 5, and no picture of {pictures.source} records when it was taken "
            "(EXIF DateTimeOriginal). "
            "Leave group_seconds out, or use the photographs as the camera wrote them."
        )


def test_what_belongs_together_belongs_together_through_others():
    dataset = toy(["p1_x", "p1_y", "p2_x", "p2_y", "z", "w"])
    # p1_y and p2_x are copies: the two patients are one group, which then has no single name.
    groups = find_groups(dataset, pattern=r"p(\d)", copies=[0, 1, 1, 3, 4, 4])
    assert together(groups) == {frozenset({0, 1, 2, 3}), frozenset({4, 5})}
    assert groups.names == ("p1_x", "p1_x", "p1_x", "p1_x", "w", "w")
    assert groups.words == "2 groups by the pattern p(\\d), 2 groups of copies"


def test_one_word_for_two_things_makes_no_one_group():
    dataset = toy(["k1", "k2", "v", "w"], columns={"site": {"v": "1", "w": "1"}})
    groups = find_groups(dataset, pattern=r"k(\d)", column="site")
    assert together(groups) == {frozenset({2, 3})}
    assert groups.names == ("k1", "2", "v", "v")


@settings(max_examples=40, deadline=None)
@given(
    relations=st.lists(st.lists(st.integers(0, 5), min_size=12, max_size=12), min_size=1, max_size=3),
    data=st.data(),
)
def test_groups_are_the_finest_that_contain_every_relation(relations, data):
    assume(any(relations[0]))  # an empty column is refused
    words = [[f"{k}{v}" if v else "" for v in values] for k, values in enumerate(relations)]
    order = data.draw(st.permutations(range(12)))
    names = [f"x{row:02}" for row in range(12)]
    columns = {f"c{k}": dict(zip(names, values, strict=True)) for k, values in enumerate(words)}
    found = find_groups(toy(names, columns=columns), column="c0", kept=words[-1], copies=relations[0])
    shuffled = find_groups(
        toy([names[row] for row in order], columns=columns),
        column="c0",
        kept=[words[-1][row] for row in order],
        copies=[relations[0][row] for row in order],
    )
    # Warshall's closure, by hand.
    near = np.eye(12, dtype=bool)
    for values in (words[0], words[-1], [str(v) for v in relations[0]]):
        near |= np.array([[bool(v) and v == w for w in values] for v in values])
    for middle in range(12):
        near |= near[:, [middle]] & near[[middle], :]
    np.testing.assert_array_equal(found.ids[:, None] == found.ids[None], near)
    assert [found.names[row] for row in order] == list(shuffled.names)


def test_a_given_division_that_leaks_is_told():
    splits = np.array(["train", "train", "val", "test", "test", "test", "train", "test"])
    dataset = replace(toy([f"x{row}" for row in range(8)]), splits=splits)
    # Picture 3 is a copy of a training picture, 4 of the validation picture, which is a copy of 1 itself.
    groups = find_groups(dataset, copies=[0, 1, 1, 0, 1, 5, 6, 7])
    found = make_split(dataset, "official", groups=groups).leaks(groups.ids)
    assert found["test"].tolist() == [3, 4]
    assert found["val"].tolist() == [2]


def test_exact_copies_are_found_by_their_content(make_folder):
    root = make_folder({"a": 3, "b": 3})
    os.link(root / "a/0.png", root / "b/z.png")
    dataset = open_dataset(root)
    copies = np.unique(content_hashes(dataset), return_inverse=True)[1]
    assert together(find_groups(dataset, copies=copies)) == {frozenset({0, 6})}
