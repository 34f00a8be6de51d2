import numpy as np
import pytest
from PIL import Image
from tests.data.drawn import bomb, decode, encoded, gradient

from linnaea.data import damage
from linnaea.data.decoding import MAX_PIXELS, read_picture
from linnaea.errors import DataError

# pytest puts warnings back that reading pictures has silenced.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def test_damaged_exif_does_not_spoil_the_picture():
    content = encoded(gradient(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(content).shape == (30, 40, 3)


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
        (PHOTO[:2000], "is truncated (the picture continues after the file's 2,000 bytes)"),
        (encoded(gradient())[:90], "is truncated (the picture continues after the file's 90 bytes)"),
        (encoded(gradient(), "BMP")[:900], "is truncated (the picture continues after the file's 900 bytes)"),
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


def test_a_png_with_a_torn_half_is_not_read_as_a_picture():
    # Pillow decodes it without a word: its zlib stream goes on, by chance, with the wrong rows.
    whole = encoded(gradient(200, 150))
    torn = whole[: len(whole) // 2] + bytes(len(whole) // 2)
    with pytest.raises(DataError, match=r"a\.png is damaged \(its pixels do not agree with their checksum\)"):
        decode(torn)


def test_a_jpeg_whose_end_is_zeros_is_not_read_as_a_picture():
    # What a copy leaves that reserved the room for the file and stopped half way.
    with pytest.raises(DataError, match=r"is damaged \(its end is overwritten with zeros\)"):
        decode(PHOTO[: len(PHOTO) // 2] + bytes(len(PHOTO) // 2))
    # Zeros behind a whole picture harm nobody.
    np.testing.assert_array_equal(decode(PHOTO + bytes(100)), decode(PHOTO))


def test_a_jpeg_of_endless_scans_is_refused():
    whole = encoded(gradient(), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    scans = whole.count(b"\xff\xda")
    many = whole[:last] + whole[last:-2] * (damage.MAX_SCANS - scans + 2) + b"\xff\xd9"
    with pytest.raises(DataError, match=r"would take too long to decode \(501 scans; the limit is 500\)"):
        decode(many)
    assert decode(whole).shape == (30, 40, 3)
