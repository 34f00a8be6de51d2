import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from linnaea.data.modes import to_rgb
from linnaea.data.pictures import (
    MAX_PIXELS,
    decode_picture,
    fit_picture,
    peculiarities,
    read_picture,
)
from linnaea.errors import DataError, MissingExtraError

# pytest puts warnings back that reading pictures has silenced.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def gradient(width: int = 40, height: int = 30) -> Image.Image:
    """A smooth picture: what lossy formats keep, and every corner another colour."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 / (width - 1), y * 255 / (height - 1), np.full_like(x, 60)]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def decode(content: bytes, **settings: int) -> np.ndarray:
    return decode_picture(content, "a.png", **settings)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
def test_lossless_formats_give_the_pixels_back(kind):
    np.testing.assert_array_equal(decode(encoded(gradient(), kind)), np.asarray(gradient()))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "JPEG2000"])
def test_lossy_formats_give_them_nearly_back(kind):
    try:
        content = (
            encoded(gradient(), kind, quality_layers=[2]) if kind == "JPEG2000" else encoded(gradient(), kind)
        )
    except (OSError, KeyError):
        pytest.skip(f"this Pillow was built without {kind}")
    assert np.abs(decode(content).astype(int) - np.asarray(gradient())).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_exif_orientation_is_shown_upright(orientation, kind):
    # What a camera stores for each value of the tag, from the table in EXIF 2.32: the inverse of showing it.
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    upright = np.asarray(gradient())
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(np.ascontiguousarray(stored(upright))), kind, exif=exif, quality=95)
    shown = decode(content)
    assert shown.shape == upright.shape
    assert np.abs(shown.astype(int) - upright).mean() < 4


def test_damaged_exif_does_not_spoil_the_picture():
    content = encoded(gradient(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(content).shape == (30, 40, 3)


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


def png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    """A PNG written out by hand (ISO/IEC 15948); each row of data begins with a zero, for no filter."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([depth, colour, 0, 0, 0])
    pixels = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def bomb(width: int, height: int) -> bytes:
    """A picture that states a size, without its pixels."""
    return png(width, height, 8, 2, b"")


def test_colour_of_16_bits_is_scaled_like_grey():
    colour = png(1, 1, 16, 2, b"\0" + bytes([200, 9, 100, 8, 50, 7]))
    assert decode(colour)[0, 0].tolist() == [200, 100, 50]
    with_alpha = png(2, 1, 16, 4, b"\0" + bytes([80, 9, 255, 255, 80, 9, 0, 0]))
    assert decode(with_alpha)[0, :, 0].tolist() == [80, 255]


def test_a_phones_double_picture_is_read_by_its_first():
    frames = [gradient(1600, 1200), Image.new("RGB", (1600, 1200), "blue")]
    content = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert np.abs(decode(content, enough=300).astype(int) - np.asarray(gradient(400, 300))).mean() < 4


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [(13379, 13378, "178,984,262 pixels"), (60000, 60000, "3,600,000,000 pixels")],
)
def test_a_bomb_is_refused_before_it_is_decoded(width, height, said):
    with pytest.raises(DataError) as caught:
        decode(bomb(width, height))
    limit = f"the limit is {MAX_PIXELS:,}"
    assert str(caught.value) == (
        f"a.png is too large to decode ({said}; {limit}). Make it smaller or leave it out."
    )


def test_a_bomb_is_refused_where_another_library_lifted_pillows_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(DataError, match=r"too large to decode \(13,379 x 13,378 pixels; the limit is"):
        decode(bomb(13379, 13378))


PHOTO = encoded(gradient(200, 150), "JPEG", quality=95)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty (0 bytes)"),
        ("Überall Text, nicht ein Bild.\n".encode(), "is a text file with a picture's name"),
        (("x" * 511 + "é").encode(), "is a text file with a picture's name"),
        (b"PK\x03\x04\xff\xfe", "is not a picture in a format that can be read (it begins with 50 4b 03 04)"),
        (PHOTO[:20], "is damaged (it begins like a JPEG, but its 20 bytes are not one)"),
        (PHOTO[:2000], "is truncated (the picture goes on after the file's 2,000 bytes)"),
        (encoded(gradient())[:90], "is truncated (the picture goes on after the file's 90 bytes)"),
        (encoded(gradient(), "BMP")[:900], "is truncated (the picture goes on after the file's 900 bytes)"),
        (encoded(gradient(), "TIFF")[:-900], "is truncated"),
        (encoded(gradient(), "GIF")[:-100], "is truncated"),
        (encoded(gradient(), "WEBP")[:60], "is damaged"),
    ],
)
def test_a_file_that_is_no_picture_is_named_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "7.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path} {reason}")
    assert str(caught.value).endswith(". Restore it or leave it out.")


def test_a_truncated_jpeg_is_found_at_any_scale():
    for enough in (1, 20, 80):
        with pytest.raises(DataError, match="is truncated"):
            decode(PHOTO[:2000], enough=enough)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.png could not be read \(No such file or directory\)"):
        read_picture(tmp_path / "none.png")


def test_postscript_is_never_run():
    with pytest.raises(DataError, match="is a text file"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")


def test_heic_names_its_extra():
    try:
        import pillow_heif
    except ImportError:
        header = (24).to_bytes(4) + b"ftypheic\0\0\0\0mif1heic"
        with pytest.raises(MissingExtraError) as caught:
            decode(header)
        assert str(caught.value) == (
            "Reading HEIC pictures needs pillow-heif, which is not installed. "
            "Install it: pip install 'linnaea[heif]'."
        )
    else:
        pillow_heif.register_heif_opener()
        assert (
            np.abs(
                decode(encoded(gradient(64, 64), "HEIF")).astype(int) - np.asarray(gradient(64, 64))
            ).mean()
            < 6
        )


def test_a_phones_heic_photograph_is_shown_upright():
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs pillow-heif (linnaea[heif])")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = gradient(64, 48)
    out = io.BytesIO()
    # Written without Pillow's knowledge of the format: decoding must make it known by itself.
    pillow_heif.from_pillow(picture).save(out, exif=exif.tobytes(), quality=90)
    upright = np.asarray(picture.transpose(Image.Transpose.ROTATE_270))
    shown = decode(out.getvalue())
    assert shown.shape == (64, 48, 3)
    assert np.abs(shown.astype(int) - upright).mean() < 6
    with pytest.raises(DataError, match=r"is damaged \(it begins like a HEIC"):
        decode(out.getvalue()[:-200])


@pytest.mark.parametrize("size", [(400, 300), (300, 400), (333, 500), (256, 700), (100, 80), (256, 256)])
def test_the_shorter_side_is_reduced_as_torchvision_does_it(size):
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    picture = gradient(*size)
    shown = decode(encoded(picture), shortest_side=256)
    if min(size) <= 256:
        np.testing.assert_array_equal(shown, np.asarray(picture))
    else:
        expected = functional.resize(picture, [256], interpolation=functional.InterpolationMode.BICUBIC)
        np.testing.assert_array_equal(shown, np.asarray(expected))


def test_the_shorter_side_of_a_turned_or_huge_picture():
    exif = Image.Exif()
    exif[0x0112] = 6
    large = gradient(1600, 1200)
    turned = decode(encoded(large, "JPEG", exif=exif), shortest_side=120)
    assert turned.shape == (160, 120, 3)
    # The JPEG decoder's own reduction comes first here; the result is the same to the eye.
    whole = np.asarray(large.resize((160, 120), Image.Resampling.BICUBIC))
    shown = decode(encoded(large, "JPEG", quality=95), shortest_side=120)
    assert np.abs(shown.astype(int) - whole).mean() < 1.5
    # A line of pixels has a shorter side of one, whatever its length.
    assert decode(encoded(gradient(3, 2)), shortest_side=1).shape == (1, 1, 3)
    assert decode(encoded(Image.new("RGB", (900, 1))), shortest_side=1).shape == (1, 900, 3)


def test_what_a_person_may_not_know_of_a_picture_is_told():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime")]
    several = {"save_all": True, "append_images": frames[1:]}
    assert peculiarities(encoded(frames[0], "GIF", **several)) == ("animated", "palette")
    for kind in ("PNG", "WEBP", "TIFF"):
        assert peculiarities(encoded(frames[0], kind, **several)) == ("animated",)
    # A phone's second picture is no second frame.
    assert peculiarities(encoded(frames[0], "MPO", **several)) == ()
    assert peculiarities(encoded(Image.new("CMYK", (4, 4)), "JPEG")) == ("CMYK",)
    assert peculiarities(encoded(Image.new("I;16", (4, 4)), "PNG")) == ("16-bit",)
    assert peculiarities(encoded(Image.new("F", (4, 4)), "TIFF")) == ("16-bit",)
    assert peculiarities(png(1, 1, 16, 2, bytes(7))) == ("16-bit",)
    assert peculiarities(encoded(Image.new("P", (4, 4)), "PNG")) == ("palette",)
    for mode in ("1", "L", "LA", "RGB", "RGBA"):
        assert peculiarities(encoded(Image.new(mode, (16, 16)), "PNG")) == ()
    assert peculiarities(encoded(Image.new("L", (16, 16)), "JPEG")) == ()
    for content in (b"", b"no picture", bomb(100_000, 100_000)):
        assert peculiarities(content) == ()


def test_enough_is_never_undercut_and_longest_side_never_exceeded():
    large = encoded(gradient(1600, 1200), "JPEG")
    assert decode(large).shape == (1200, 1600, 3)
    assert decode(large, enough=200).shape == (300, 400, 3)
    assert decode(large, enough=1).shape == (150, 200, 3)
    assert decode(large, enough=5000).shape == (1200, 1600, 3)
    assert decode(large, longest_side=160).shape == (120, 160, 3)
    assert decode(encoded(gradient(300, 100)), longest_side=160).shape == (53, 160, 3)
    assert decode(encoded(gradient(30, 10)), longest_side=160).shape == (10, 30, 3)


def test_a_thumbnail_of_a_turned_picture_is_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded(gradient(1600, 1200), "JPEG", exif=exif), longest_side=160).shape == (160, 120, 3)


def test_a_photograph_is_what_pillow_makes_of_it(shared):
    path = min((shared / "data" / "flowers102-originals").rglob("*.jpg"))
    with Image.open(path) as image:
        np.testing.assert_array_equal(read_picture(path), np.asarray(image.convert("RGB")))


def test_fit_keeps_a_picture_of_the_size_and_its_proportions():
    grey = np.arange(784, dtype=np.uint8).reshape(28, 28)
    np.testing.assert_array_equal(fit_picture(grey, 28), grey)
    # The middle third of three squares side by side, whichever way they lie.
    strip = np.repeat(np.uint8([10, 200, 90]), 60)
    for picture in (np.tile(strip, (60, 1)), np.tile(strip, (60, 1)).T):
        np.testing.assert_array_equal(fit_picture(picture, 20), np.full((20, 20), 200))
        np.testing.assert_array_equal(fit_picture(picture, 90), np.full((90, 90), 200))


def test_fit_averages_instead_of_skipping():
    # Lines one pixel wide: a filter that skips pixels would show black, white or stripes.
    lines = np.zeros((160, 160), np.uint8)
    lines[:, ::2] = 255
    assert np.abs(fit_picture(lines, 20).astype(int) - 128).max() <= 2


def test_fit_makes_grey_by_luma():
    colour = np.broadcast_to(np.uint8([255, 0, 0]), (5, 5, 3))
    assert fit_picture(colour, 5)[0, 0] == 76  # 0.299 x 255, ITU-R BT.601
    assert fit_picture(colour, 5, colour=True).shape == (5, 5, 3)


def test_to_rgb_leaves_rgb_alone():
    image = gradient()
    assert to_rgb(image) is image


SMALL = [
    encoded(gradient(9, 7), "JPEG"),
    encoded(gradient(9, 7), "JPEG", progressive=True),
    encoded(gradient(9, 7), "PNG"),
    encoded(gradient(9, 7).convert("P"), "GIF"),
    encoded(gradient(9, 7), "BMP"),
    encoded(gradient(9, 7), "TIFF", compression="tiff_lzw"),
    encoded(gradient(9, 7), "WEBP"),
    encoded(gradient(9, 7), "TGA"),
    encoded(gradient(9, 7), "PPM"),
    encoded(gradient(9, 7).convert("CMYK"), "JPEG"),
    encoded(Image.new("I;16", (9, 7), 300), "PNG"),
]


@settings(max_examples=300, deadline=None)
@given(
    content=st.sampled_from(SMALL),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    keep=st.one_of(st.just(1.0), st.floats(0, 1)),
    enough=st.sampled_from([None, 1, 4]),
)
def test_a_mutated_file_gives_an_array_or_a_data_error(content, changes, keep, enough):
    mutated = bytearray(content[: int(len(content) * keep)])
    for where, value in changes:
        if mutated:
            mutated[int(where * len(mutated))] = value
    try:
        picture = decode(bytes(mutated), enough=enough)
    except DataError:
        return
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3


def test_a_path_may_be_text(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(encoded(gradient()))
    np.testing.assert_array_equal(read_picture(str(tmp_path / "a.png")), np.asarray(gradient()))
