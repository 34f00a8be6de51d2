"""The page of a data set's problems: what it says, what it shows, how large it becomes."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from linnaea.data.dataset import Dataset
from linnaea.data.problems import KINDS, Problem
from linnaea.data.scan import scan
from linnaea.data.sources import open_dataset
from linnaea.report import checking
from linnaea.report.templates import breaking


def photograph(seed: int) -> Image.Image:
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((200, 160), Image.Resampling.NEAREST)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A folder with parts, a leaked copy, a wrong label, an empty file and a blank picture; and its page."""
    root = tmp_path_factory.mktemp("check") / "flowers & co"
    for number, folder in enumerate(("train/rose", "train/<tulip>", "test/rose", "test/<tulip>")):
        (root / folder).mkdir(parents=True)
        for index in range(12):
            photograph(100 * number + index).save(root / folder / f"{index:02}.jpg", quality=90)
    shutil.copy(root / "train/rose/00.jpg", root / "test/rose/again.jpg")
    photograph(100).save(root / "train/rose/other.jpg", quality=40)
    (root / "test/rose/empty.jpg").write_bytes(b"")
    Image.new("RGB", (200, 160), "white").save(root / "train/rose/white.png")
    dataset = open_dataset(root)
    problems = list(scan(dataset).problems)
    out = checking.build_check(dataset, problems, root.parent / "check.html")
    return problems, out


def test_every_kind_has_its_section_with_the_pictures(page):
    problems, out = page
    text = out.read_text(encoding="utf-8")
    assert [problem.kind for problem in problems] == [
        "unreadable", "exact_duplicate_across_splits", "near_duplicate_across_classes", "blank",
    ]  # fmt: skip
    for problem in problems:
        assert f'id="{problem.severity}-{problem.kind}"' in text
        assert f">{KINDS[problem.kind]}</h2>" in text
    assert "<h1>2\u00a0errors and 2\u00a0warnings.</h1>" in text
    # Two pictures of each pair, and the blank one.
    assert text.count('<img src="data:image/jpeg;base64,') == 5
    assert "test/rose/empty.jpg is empty (0 bytes)." in text


def test_names_are_escaped_and_nothing_is_asked_for(page):
    text = page[1].read_text(encoding="utf-8")
    assert "&lt;tulip&gt;" in text
    assert "<tulip>" not in text
    assert "flowers &amp; co" in text
    assert re.findall(r"(?:src|href)=\"(?!data:|#)", text) == []


def test_nothing_wrong_is_told_as_such(tmp_path):
    dataset = Dataset(
        "digits",
        "digits",
        ("a", "b"),
        np.array(["0", "1"]),
        pixels=np.eye(28, dtype=np.uint8)[None].repeat(2, 0),
    )
    text = checking.build_check(dataset, [], tmp_path / "check.html").read_text(encoding="utf-8")
    assert "<h1>No problems were found.</h1>" in text


def test_pixels_in_memory_are_shown_pixel_by_pixel(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 28, 28), dtype=np.uint8)
    dataset = Dataset("digits", "digits", ("a", "b"), np.array(["0", "0"]), pixels=pixels)
    same = Problem("exact_duplicate", "warning", ("a", "b"), "2 pictures are the same.")
    text = checking.build_check(dataset, [same], tmp_path / "check.html").read_text(encoding="utf-8")
    assert text.count('<img src="data:image/png;base64,') == 2
    assert text.count('class="tiny"') == 2


def test_ten_thousand_problems_stay_under_five_megabytes_and_the_rest_is_counted(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (400, 120, 120, 3), dtype=np.uint8)
    paths = tuple(f"{number:03}" for number in range(400))
    dataset = Dataset("noise", "noise", paths, np.array(["x"] * 400), pixels=pixels)
    pairs = [
        Problem(kind, "warning", paths[at : at + 2], "2 pictures.")
        for kind in ("near_duplicate", "exact_duplicate")
        for at in range(200)
    ]
    out = checking.build_check(dataset, pairs, tmp_path / "check.html")
    assert out.stat().st_size < 5_000_000
    text = out.read_text(encoding="utf-8")
    assert text.count("160\u00a0groups more") == 2


@pytest.mark.parametrize(
    ("severities", "sentence"),
    [
        ([], "No problems were found."),
        (["note"], "No problems were found, only 1\u00a0note."),
        (["error", "warning", "note", "note"], "1\u00a0error, 1\u00a0warning and 2\u00a0notes."),
    ],
)
def test_the_verdict_counts_the_gravest_first(severities, sentence):
    assert checking.verdict([Problem("blank", severity, (), "") for severity in severities]) == sentence


@pytest.mark.browser
def test_it_fits_a_phone_and_axe_finds_nothing(page, open_page, fits_and_is_accessible):
    opened = open_page(page[1].as_uri())
    fits_and_is_accessible(opened)
    assert opened.said == []


def test_two_sections_of_one_kind_have_two_names(tmp_path):
    dataset = Dataset(
        "noise",
        "noise",
        ("a", "b"),
        np.array(["x", "x"]),
        pixels=np.eye(70, dtype=np.uint8)[None].repeat(2, 0),
    )
    pair = [
        Problem("near_duplicate_across_splits", severity, ("a", "b"), "2 pictures.")
        for severity in ("error", "warning")
    ]
    text = checking.build_check(dataset, pair, tmp_path / "check.html").read_text(encoding="utf-8")
    assert re.findall(r"<h2 id=\"\w+-near[^>]*>([^<]*)", text) == [
        "Near duplicates in two sets (error)",
        "Near duplicates in two sets (warning)",
    ]


def test_a_path_is_broken_behind_its_slashes_and_is_text():
    assert breaking("train/<b>/1.png") == "train/<wbr>&lt;b&gt;/<wbr>1.png"
