"""Pictures with one fault each, and the sentence that tells it."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from linnaea.data.headers import Header, header
from linnaea.data.quality import picture_statistics
from linnaea.data.scan import scan
from linnaea.data.sources import open_dataset


def photograph(seed: int, size: tuple[int, int] = (100, 80)) -> Image.Image:
    """Coarse and sharp: blocks of colour."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)


@pytest.fixture
def folder(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(24):
            photograph(100 * ord(label) + number).save(tmp_path / label / f"{number:02}.png")
    return tmp_path


def sign(image: Image.Image) -> Image.Image:
    """Return what stands where a picture was: words and a frame on an even ground."""
    drawn = Image.new("RGB", image.size, (225, 235, 240))
    pen = ImageDraw.Draw(drawn)
    pen.rectangle((8, 8, image.width - 9, image.height - 9), outline=(160, 160, 160))
    pen.text((14, 30), "image not", fill=(90, 90, 90))
    pen.text((14, 44), "available", fill=(90, 90, 90))
    return drawn


def test_a_thing_on_black_is_no_sign(folder):
    levels = np.zeros((96, 96), np.uint8)
    levels[30:80, 30:80] = np.random.default_rng(0).integers(60, 250, (50, 50))
    for number in range(5):
        Image.fromarray(levels).rotate(number).save(folder / "a" / f"slide {number}.png")
    assert "placeholder" not in {found.kind for found in scan(open_dataset(folder)).problems}


def even(image: Image.Image) -> Image.Image:
    return Image.new("RGB", image.size, (90, 160, 20))


FAULTS = {
    "blank": (even, "1 picture is of one even colour (a/fault.png)."),
    "placeholder": (
        sign,
        '1 picture is a few colours on an even ground, as a sign "image not found" is (a/fault.png).',
    ),
    "dark": (lambda image: image.point(lambda level: level // 6), "1 picture is nearly black (a/fault.png)."),
    "bright": (
        lambda image: image.point(lambda level: 232 + level // 11),
        "1 picture is nearly white (a/fault.png).",
    ),
    "blurred": (
        lambda image: image.filter(ImageFilter.GaussianBlur(4)),
        "1 picture is blurred: not one edge is sharp (a/fault.png).",
    ),
    "odd_size": (
        lambda image: photograph(1, (500, 400)),
        "1 picture is 4 times smaller or larger than most (a/fault.png with 500 x 400 pixels; most have "
        "100 x 80).",
    ),
    "odd_aspect": (
        lambda image: photograph(1, (300, 80)),
        "1 picture is 3 times as long as wide, or more; a network's crop shows a part of it (a/fault.png "
        "with 300 x 80 pixels; most have 100 x 80).",
    ),
    "grey": (
        lambda image: image.convert("L"),
        "1 picture is grey among pictures in colour; where one class has them all, the network may learn "
        "that instead (a/fault.png).",
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_found_alone_and_told(folder, kind):
    spoil, sentence = FAULTS[kind]
    spoil(photograph(1)).save(folder / "a" / "fault.png")
    assert [(found.kind, found.message) for found in scan(open_dataset(folder)).problems] == [
        (kind, sentence)
    ]


def test_another_ending_and_a_turned_picture_are_told(folder):
    photograph(1).save(folder / "a" / "fault.png", "JPEG")
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF 2.32: the first row is the right side
    photograph(2).save(folder / "b" / "turned.jpg", exif=exif)
    assert [(found.kind, found.severity, found.paths) for found in scan(open_dataset(folder)).problems] == [
        ("wrong_extension", "note", ("a/fault.png",)),
        ("orientation", "note", ("b/turned.jpg",)),
    ]


def test_what_many_pictures_share_is_how_they_were_made(folder):
    for number in range(16):
        night = photograph(900 + number).point(lambda level: level // 6)
        night.save(folder / "a" / f"night{number}.png")
    found = {problem.kind: problem.severity for problem in scan(open_dataset(folder)).problems}
    assert found["dark"] == "note"


def test_blank_pictures_in_more_than_a_fifth_of_a_class_are_an_error(folder):
    for number in range(8):
        even(photograph(1)).resize((100, 80 + number)).save(folder / "a" / f"even{number}.png")
    even(photograph(1)).resize((99, 80)).save(folder / "b" / "even.png")
    blank = [found for found in scan(open_dataset(folder)).problems if found.kind == "blank"]
    assert [(found.severity, len(found.paths)) for found in blank] == [("error", 8), ("warning", 1)]
    assert blank[0].message.startswith("8 pictures are of one even colour: 8 of 32 of 'a' (")


def test_even_pictures_in_memory_are_found(digits):
    from dataclasses import replace

    pixels = digits.pixels.copy()
    pixels[7] = 0
    found = [problem for problem in scan(replace(digits, pixels=pixels)).problems if problem.kind == "blank"]
    assert [(problem.severity, problem.paths) for problem in found] == [("warning", ("digits/00007",))]
    pixels[digits.labels == "3"] = 0
    found = [problem for problem in scan(replace(digits, pixels=pixels)).problems if problem.kind == "blank"]
    assert [(problem.severity, len(problem.paths)) for problem in found] == [("error", 500), ("warning", 1)]


def test_softness_does_not_depend_on_contrast():
    sharp = photograph(5, (400, 300)).filter(ImageFilter.GaussianBlur(3))
    faint = sharp.point(lambda level: 60 + level // 2)

    def softness(image):
        out = io.BytesIO()
        image.save(out, "PNG")
        return picture_statistics(out.getvalue(), np.asarray(image)).softness

    assert softness(faint) == pytest.approx(softness(sharp), rel=0.1)
    assert softness(sharp) < 0.6 * softness(photograph(5, (400, 300)))


def test_a_header_tells_format_size_and_orientation():
    out = io.BytesIO()
    photograph(1).save(out, "WEBP")
    assert header(out.getvalue()) == Header("WEBP", 100, 80, 1)
    assert header(b"no picture") == Header()
