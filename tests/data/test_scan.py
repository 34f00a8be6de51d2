import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from linnaea.data import cache, duplicates
from linnaea.data.decoding import read_picture
from linnaea.data.downloads import cache_folder
from linnaea.data.flatten import pixel_array
from linnaea.data.problems import DUPLICATES
from linnaea.data.scan import leave_out_unusable, scan
from linnaea.data.sources import open_dataset
from linnaea.errors import DataError


@pytest.fixture
def damaged(make_folder):
    root = make_folder({"a": 6, "b": 6, "few": 3, "one": 1, "empty": 0, "bad": 1})
    (root / "a/0.png").write_bytes((root / "a/0.png").read_bytes()[:150])
    (root / "a/1.png").write_bytes(b"")
    (root / "bad/0.png").write_bytes(b"not a picture")
    shutil.copy(root / "b/0.png", root / "b/copy.png")
    shutil.copy(root / "a/2.png", root / "b/other.png")
    return root


def wrong(problems):
    """Errors and warnings: small made-up pictures always bring notes."""
    return [problem for problem in problems if problem.severity != "note"]


def test_a_whole_data_set_has_no_problems(make_folder):
    assert scan(open_dataset(make_folder({"a": 20, "b": 20}, size=(70, 80)))).problems == ()


def test_digits_are_compared_byte_for_byte_only_and_a_note_says_so(digits):
    assert [(problem.kind, problem.severity, problem.message) for problem in scan(digits).problems] == [
        (
            "small_pictures",
            "note",
            "5,000 pictures are under 64 pixels; only exact duplicates are searched among them: small "
            "pictures of different things can look like copies.",
        )
    ]


def test_every_problem_is_found_and_told(damaged):
    dataset = open_dataset(damaged)
    (damaged / "a/3.png").unlink()
    found = [(problem.severity, problem.kind, problem.message) for problem in wrong(scan(dataset).problems)]
    one = "which cannot be divided between training and test."
    assert found == [
        ("error", "unreadable", "a/0.png is truncated (the picture continues after the file's 150 bytes)."),
        ("error", "unreadable", "a/1.png is empty (0 bytes)."),
        ("error", "unreadable", "bad/0.png is a text file with a picture's name."),
        ("error", "missing_file", "a/3.png does not exist."),
        ("error", "tiny_class", f"The class 'one' has one picture, {one}"),
        (
            "warning",
            "exact_duplicate_across_classes",
            "2 pictures are the same, byte for byte: a/2.png, b/other.png; their labels differ (a, b).",
        ),
        ("warning", "exact_duplicate", "2 pictures are the same, byte for byte: b/0.png, b/copy.png."),
        ("warning", "empty_class", "The class 'bad' has no usable picture."),
        ("warning", "empty_class", "The class 'empty' has no usable picture."),
        ("warning", "tiny_class", "The class 'a' has 3 pictures, too few to evaluate it on."),
        ("warning", "tiny_class", "The class 'few' has 3 pictures, too few to evaluate it on."),
    ]


def test_what_cannot_be_read_is_left_out_with_a_note(damaged):
    usable = leave_out_unusable(scan(open_dataset(damaged)))
    dataset = usable.dataset
    assert len(wrong(usable.problems)) == 10
    assert {"a/0.png", "a/1.png", "bad/0.png"}.isdisjoint(dataset.paths)
    assert dataset.notes[-2:] == (
        "3 pictures left out as unreadable (a/0.png, a/1.png, bad/0.png).",
        "a/0.png is truncated (the picture continues after the file's 150 bytes), a/1.png is empty (0 "
        "bytes), bad/0.png is a text file with a picture's name.",
    )
    assert dataset.empty_classes == ("bad", "empty")
    assert len(dataset.labels) == len(dataset.paths) == 16


def test_strict_refuses_and_tells_all(damaged):
    with pytest.raises(DataError) as caught:
        leave_out_unusable(scan(open_dataset(damaged)), strict=True)
    assert str(caught.value) == (
        "3 pictures cannot be read: a/0.png is truncated (the picture continues after the file's 150 bytes), "
        "a/1.png is empty (0 bytes), bad/0.png is a text file with a picture's name. "
        "Restore or remove them, or leave strict out to continue without them."
    )


def test_one_class_left_is_an_error(make_folder):
    root = make_folder({"a": 6, "b": 1})
    (root / "b/0.png").write_bytes(b"")
    with pytest.raises(DataError, match="has usable pictures of one class only, 'a'"):
        leave_out_unusable(scan(open_dataset(root)))


def test_heic_without_its_extra_is_left_out_with_the_cure(make_folder):
    root = make_folder({"a": 6, "b": 6})
    (root / "b/0.heic").write_bytes((24).to_bytes(4) + b"ftypheic\0\0\0\0mif1heic")
    problem = scan(open_dataset(root)).problems[0]
    assert (problem.kind, problem.paths) == ("unreadable", ("b/0.heic",))


def test_every_bad_file_is_found_before_training_and_every_odd_one_is_read(make_folder):
    root = make_folder({"a": 6, "b": 6})
    Image.new("CMYK", (9, 9), (0, 200, 0, 0)).save(root / "a/print.jpg")
    Image.new("I;16", (9, 9), 30000).save(root / "a/scan.png")
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "lime")]
    frames[0].save(root / "b/moving.gif", save_all=True, append_images=frames[1:])
    Image.new("P", (9, 9), 3).save(root / "b/drawing.png")
    (root / "a/bomb.bmp").write_bytes(
        b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
        + (90_000).to_bytes(4, "little") * 2 + (1).to_bytes(2, "little") + (24).to_bytes(2, "little")
        + bytes(24)
    )  # fmt: skip
    usable = leave_out_unusable(scan(open_dataset(root)))
    told = [found for found in usable.problems if found.kind in {"unreadable", "converted"}]
    assert [(problem.kind, problem.message) for problem in told] == [
        (
            "unreadable",
            "a/bomb.bmp is too large to decode (8,100,000,000 pixels; the limit is 178,956,970).",
        ),
        (
            "converted",
            "1 picture is animated or of several pages; only the first is read (b/moving.gif).",
        ),
        (
            "converted",
            "1 picture is in CMYK, made for print; read as RGB without the colour profile (a/print.jpg).",
        ),
        ("converted", "1 picture is of more than 8 bits a channel; read with 8 (a/scan.png)."),
        ("converted", "2 pictures are drawn from a palette; read as RGB (b/drawing.png, b/moving.gif)."),
    ]
    assert len(usable.dataset) == 16


def test_classes_missing_from_official_parts_are_told(make_folder):
    root = make_folder({"train/a": 6, "train/b": 6, "train/c": 6, "test/a": 5, "test/d": 5, "test/b": 0})
    found = [(problem.severity, problem.message) for problem in wrong(scan(open_dataset(root)).problems)]
    assert found == [
        ("error", "1 class has no usable picture in the train set: d."),
        ("warning", "2 classes have no usable picture in the test set: b, c."),
    ]


def test_copies_across_splits_and_classes_are_a_leak_and_a_doubtful_label(make_folder):
    root = make_folder({"train/a": 6, "train/b": 6, "test/a": 5, "test/b": 5})
    shutil.copy(root / "train/a/0.png", root / "test/b/copy.png")
    scanned = scan(open_dataset(root))
    found = [problem for problem in scanned.problems if problem.kind in DUPLICATES]
    told = "2 pictures are the same, byte for byte: test/b/copy.png, train/a/0.png; "
    assert [(problem.severity, problem.kind, problem.message) for problem in found] == [
        ("error", "exact_duplicate_across_splits", f"{told}they lie in different sets (test, train)."),
        ("warning", "exact_duplicate_across_classes", f"{told}their labels differ (a, b)."),
    ]
    assert found[0].paths == found[1].paths == ("test/b/copy.png", "train/a/0.png")
    # Told twice, they are still one group.
    assert np.bincount(scanned.copies).max() == 2


def test_a_scan_for_training_decodes_for_it(damaged, monkeypatch):
    dataset = open_dataset(damaged)
    plain = scan(dataset).problems
    assert not (cache_folder() / "pictures").exists()
    assert scan(dataset, side=8).problems == plain
    whole = leave_out_unusable(scan(dataset, side=8))
    assert (whole.photographs.kept, len(whole.photographs)) == (len(whole.dataset), 16)
    for picture, file in zip(whole.photographs, whole.dataset.files(range(16)), strict=True):
        np.testing.assert_array_equal(picture, read_picture(file, shortest_side=8))
    # And a scan of what is kept finds the same without decoding.
    monkeypatch.setattr(cache, "decode_picture", None)  # calling it would fail
    monkeypatch.setattr("linnaea.data.scan.decode_picture", None)
    assert scan(whole.dataset, side=8).problems == tuple(
        problem for problem in plain if problem.kind != "unreadable"
    )


def test_a_scan_for_vectors_has_the_pictures_as_vectors_are_made_of_them(make_folder):
    root = make_folder({"a": 3, "b": 3}, size=(400, 300))
    for number, size in enumerate([(1200, 900), (60, 90)]):
        Image.effect_noise(size, 50).save(root / "b" / f"noise{number}.jpg")
    (root / "a/1.png").write_bytes(b"")
    for how in ({"size": 28}, {"size": 31, "colour": True}):
        whole = leave_out_unusable(scan(open_dataset(root), **how))
        expected = pixel_array(whole.dataset, range(7), *how.values())
        np.testing.assert_array_equal(whole.squares, expected)


def test_a_selection_takes_everything_along(make_folder):
    root = make_folder({"a": 3, "b": 3})
    shutil.copy(root / "a/1.png", root / "b/copy.png")
    whole = scan(open_dataset(root), side=8)
    rows = np.array([6, 1, 2])
    some = whole.select(rows)
    assert some.dataset.paths == ("b/copy.png", "a/1.png", "a/2.png")
    assert some.hashes == (whole.hashes[6], whole.hashes[1], whole.hashes[2])
    assert [some.copies[0] == number for number in some.copies] == [True, True, False]
    np.testing.assert_array_equal(some.photographs[2], whole.photographs[2])
    np.testing.assert_array_equal(scan(open_dataset(root), size=5).select(rows).squares,
                                  pixel_array(some.dataset, range(3), 5))  # fmt: skip
    assert some.problems == whole.problems


def test_the_same_pixels_twice_in_memory_are_found(digits):
    twice = digits.select(range(20))
    pixels = twice.pixels.copy()
    pixels[7] = pixels[3]
    problems = [
        problem
        for problem in scan(replace(twice, pixels=pixels)).problems
        if problem.kind == "exact_duplicate"
    ]
    assert [problem.paths for problem in problems] == [("digits/00003", "digits/00007")]


def test_where_crops_are_too_many_to_compare_it_is_said(tmp_path, monkeypatch):
    blocks = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), dtype=np.uint8)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    pictures = [Image.fromarray(one).resize((240, 240), Image.Resampling.BICUBIC) for one in blocks]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / "ab"[number % 2] / f"{number}.png")
    pictures[0].resize((120, 120)).save(tmp_path / "a/small.png")
    pictures[2].crop((0, 0, 228, 228)).save(tmp_path / "a/cropped.png")
    dataset = open_dataset(tmp_path)
    assert "crops_not_searched" not in [problem.kind for problem in scan(dataset).problems]
    monkeypatch.setattr(duplicates, "MOST_WITH_VIEWS", 4)
    problems = scan(dataset).problems
    said = [(problem.severity, problem.message) for problem in problems if not problem.paths]
    assert said == [
        (
            "note",
            "Near duplicates were searched among whole pictures and their mirror images, not among crops: "
            "there are 5 different pictures, and crops are compared up to 4.",
        )
    ]
    assert ("a/0.png", "a/small.png") in [problem.paths for problem in problems]


def test_a_selection_of_a_data_set_keeps_everything_in_step(digits):
    rest = digits.select(range(1, 5000, 2))
    np.testing.assert_array_equal(rest.pixels, digits.pixels[1::2])
    np.testing.assert_array_equal(rest.labels, digits.labels[1::2])
    assert rest.paths == digits.paths[1::2]
    assert digits.select(np.flatnonzero(digits.labels != "7")).empty_classes == ("7",)


def test_a_name_that_no_table_can_hold_is_left_out_by_name(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.new("RGB", (80, 80), (index, 90, 9)).save(tmp_path / name / f"{index}.png")
    (tmp_path / "a" / "0.png").rename(tmp_path / "a" / "0\r.png")
    usable = leave_out_unusable(scan(open_dataset(str(tmp_path))))
    assert "a/0\r.png" not in usable.dataset.paths
    assert [problem.message for problem in usable.problems if problem.kind == "unreadable"] == [
        "a/0\r.png has a carriage return in its name, which a table cannot contain; rename it."
    ]
