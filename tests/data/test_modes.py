import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.data.drawn import decode, encoded, gradient, png

from linnaea.data.decoding import STRIP, to_array, to_rgb

# pytest puts warnings back that reading pictures has silenced.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


@pytest.mark.parametrize(
    ("mode", "value", "shown"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 7, (7, 7, 7)),
        ("LA", (100, 0), (255, 255, 255)),
        ("LA", (0, 51), (204, 204, 204)),
        ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 102), (153, 153, 153)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 32896, (128, 128, 128)),
        ("I;16", 255, (0, 0, 0)),
    ],
)
def test_modes_are_shown_as_a_viewer_shows_them(mode, value, shown):
    # Transparency on white, 16 bits by the high byte.
    content = encoded(Image.new(mode, (3, 2), value))
    np.testing.assert_array_equal(decode(content), np.broadcast_to(np.uint8(shown), (2, 3, 3)))


def test_a_palette_with_a_transparent_colour_lies_on_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode(encoded(image))[0], [[10, 20, 30], [200, 100, 50]])
    np.testing.assert_array_equal(
        decode(encoded(image, transparency=0))[0], [[255, 255, 255], [200, 100, 50]]
    )
    np.testing.assert_array_equal(
        decode(encoded(image, "GIF", transparency=1))[0], [[10, 20, 30], [255, 255, 255]]
    )


def test_a_transparent_colour_of_rgb_lies_on_white():
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 9, 9))
    np.testing.assert_array_equal(
        decode(encoded(image, transparency=(9, 9, 9)))[0], [[1, 2, 3], [255, 255, 255]]
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 51.0, 255.0], [0, 51, 255]), ([-1.0, 0, 1.0], [0, 128, 255])],
)
def test_floats_are_scaled_from_the_first_usual_range(value, shown):
    image = Image.fromarray(np.array([[*value, np.nan]], np.float32))
    assert decode(encoded(image, "TIFF"))[0, :3, 0].tolist() == shown


def test_whole_numbers_of_32_bits_count_as_16_bits_where_they_fit():
    image = Image.fromarray(np.array([[0, 65535, 257]], np.int32))
    assert decode(encoded(image, "TIFF"))[0, :, 2].tolist() == [0, 255, 1]


def test_cmyk_and_lab_become_rgb():
    cmyk = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(decode(cmyk)[8, 8].astype(int) - [255, 0, 0]).max() < 10
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(gradient(), transform)
    assert np.abs(decode(encoded(lab, "TIFF")).astype(int) - np.asarray(gradient())).mean() < 3


def test_the_first_frame_of_an_animation_is_read():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        content = encoded(
            frames[0],
            kind,
            save_all=True,
            append_images=frames[1:],
            **({"lossless": True} if kind == "WEBP" else {}),
        )
        np.testing.assert_array_equal(decode(content)[0, 0], [255, 0, 0])


def test_colour_of_16_bits_is_scaled_like_grey():
    colour = png(1, 1, 16, 2, b"\0" + bytes([200, 9, 100, 8, 50, 7]))
    assert decode(colour)[0, 0].tolist() == [200, 100, 50]
    with_alpha = png(2, 1, 16, 4, b"\0" + bytes([80, 9, 255, 255, 80, 9, 0, 0]))
    assert decode(with_alpha)[0, :, 0].tolist() == [80, 255]


def test_to_rgb_leaves_rgb_alone():
    image = gradient()
    assert to_rgb(image) is image


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I", "F", "I;16", "P", "LAB"])
def test_a_huge_picture_in_strips_is_the_same_as_in_one_piece(mode, monkeypatch):
    values = np.arange(30 * 40).reshape(30, 40)
    image = {
        "I": Image.fromarray((values * 99).astype(np.int32)),
        "F": Image.fromarray((values / 7 - 20).astype(np.float32)),
        "I;16": Image.fromarray((values * 50).astype(np.uint16)),
    }.get(mode) or Image.merge("RGBA", [*gradient().split(), gradient().convert("L")]).convert(
        mode if mode in {"RGBA", "LA", "P"} else "RGBA"
    )
    if mode == "LAB":
        image = Image.frombytes("LAB", (40, 30), gradient().tobytes())
    if mode == "P":
        image.info["transparency"] = 3
    whole = to_array(to_rgb(image))
    assert image.width * image.height < STRIP
    monkeypatch.setattr("linnaea.data.decoding.STRIP", 7 * 40 + 3)
    np.testing.assert_array_equal(to_array(to_rgb(image)), whole)
