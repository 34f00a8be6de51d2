import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.drawn import bomb, decode, encoded, gradient, png

from linnaea.data.decoding import fit_picture, read_picture
from linnaea.data.headers import header
from linnaea.errors import DataError, MissingExtraError

# pytest puts warnings back that reading pictures has silenced.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


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


def test_a_phones_double_picture_is_read_by_its_first():
    frames = [gradient(1600, 1200), Image.new("RGB", (1600, 1200), "blue")]
    content = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert np.abs(decode(content, enough=300).astype(int) - np.asarray(gradient(400, 300))).mean() < 4


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
    assert header(encoded(frames[0], "GIF", **several)).peculiarities == ("animated", "palette")
    for kind in ("PNG", "WEBP", "TIFF"):
        assert header(encoded(frames[0], kind, **several)).peculiarities == ("animated",)
    # A phone's second picture is no second frame.
    assert header(encoded(frames[0], "MPO", **several)).peculiarities == ()
    assert header(encoded(Image.new("CMYK", (4, 4)), "JPEG")).peculiarities == ("CMYK",)
    assert header(encoded(Image.new("I;16", (4, 4)), "PNG")).peculiarities == ("16-bit",)
    assert header(encoded(Image.new("F", (4, 4)), "TIFF")).peculiarities == ("16-bit",)
    assert header(png(1, 1, 16, 2, bytes(7))).peculiarities == ("16-bit",)
    assert header(encoded(Image.new("P", (4, 4)), "PNG")).peculiarities == ("palette",)
    for mode in ("1", "L", "LA", "RGB", "RGBA"):
        assert header(encoded(Image.new(mode, (16, 16)), "PNG")).peculiarities == ()
    assert header(encoded(Image.new("L", (16, 16)), "JPEG")).peculiarities == ()
    for content in (b"", b"no picture", bomb(100_000, 100_000)):
        assert header(content).peculiarities == ()


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


def test_a_path_may_be_text(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(encoded(gradient()))
    np.testing.assert_array_equal(read_picture(str(tmp_path / "a.png")), np.asarray(gradient()))
