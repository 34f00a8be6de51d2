"""Numbers of more than 8 bits: one range for a whole data set, whatever its files hold."""

import numpy as np
import pytest
from PIL import Image
from tests.data.drawn import decode, encoded, gradient, png

from linnaea.data.scan import scan
from linnaea.data.sources import open_dataset
from linnaea.data.value_range import choose, find_range, in_words, parse
from linnaea.errors import SettingError

SIDE = 80


def numbers(seed: int, low: float, high: float, dtype: type = np.uint16) -> np.ndarray:
    """A picture of blocks, no two alike, with a little noise; its numbers go from low to high."""
    generator = np.random.default_rng(seed)
    blocks = np.kron(generator.random((8, 8)), np.ones((SIDE // 8, SIDE // 8)))
    shares = (blocks - blocks.min()) / np.ptp(blocks)
    return (low + (high - low) * (0.98 * shares + 0.02 * generator.random(shares.shape))).astype(dtype)


@pytest.fixture
def microscope(tmp_path):
    """Return a function that writes two classes of twelve TIFFs each, and opens them as a data set."""

    def write(picture_of):
        for number, label in enumerate(("a", "b")):
            (tmp_path / "photos" / label).mkdir(parents=True, exist_ok=True)
            for index in range(12):
                array = picture_of(100 * number + index, label)
                Image.fromarray(array).save(tmp_path / "photos" / label / f"{index:02}.tif")
        return open_dataset(tmp_path / "photos")

    return write


def kinds(scanned) -> dict[str, str]:
    return {problem.kind: problem.severity for problem in scanned.problems}


def test_12_bits_in_a_16_bit_file_use_all_levels(microscope):
    scanned = scan(microscope(lambda seed, label: numbers(seed, 0, 4000)), side=SIDE)
    assert scanned.dataset.value_range == (0, 4095)
    expected = np.rint(numbers(0, 0, 4000) * 255.0 / 4095)
    np.testing.assert_array_equal(scanned.photographs[0][..., 0], expected)
    assert not {"blank", "dark"} & set(kinds(scanned))
    assert scanned.dataset.notes == (
        "Pictures of more than 8 bits are read on one scale, 0 to 4,095 from black to white (found from 24 "
        "of them; value_range sets another).",
    )
    [converted] = [problem for problem in scanned.problems if problem.kind == "converted"]
    assert "read with 8, 0 to 4,095 from black to white" in converted.message


@pytest.mark.parametrize(
    ("low", "high", "dtype"), [(100, 300, np.uint16), (280.2, 315.8, np.float32), (-40, 60, np.int32)]
)
def test_counts_and_degrees_are_read_from_the_lowest_to_the_highest_of_all(microscope, low, high, dtype):
    # Class a is the darker half of the range: one scale keeps it so, a scale for each picture would not.
    middle = (low + high) / 2
    data = microscope(
        lambda seed, label: numbers(seed, *((low, middle) if label == "a" else (middle, high)), dtype)
    )
    scanned = scan(data, side=SIDE)
    darkest, brightest = scanned.dataset.value_range
    assert (darkest, brightest) == pytest.approx((low, high), abs=0.03 * (high - low))
    means = [scanned.photographs[row].mean() for row in range(24)]
    assert max(means[:12]) < 127 < min(means[12:])
    assert scanned.photographs[0].min() < 10
    assert scanned.photographs[12].max() > 245
    assert "blank" not in kinds(scanned)


def test_squares_of_a_perceptron_are_read_alike(microscope):
    scanned = scan(microscope(lambda seed, label: numbers(seed, 100, 300)), size=SIDE)
    low, high = scanned.dataset.value_range
    expected = np.clip(np.rint((numbers(0, 100, 300) - low) * (255 / (high - low))), 0, 255)
    np.testing.assert_allclose(scanned.squares[0], expected, atol=1)


@pytest.mark.parametrize(("low", "high"), [(0, 4000), (100, 300)])
def test_hot_and_dead_pixels_do_not_move_the_range(microscope, low, high):
    plain = scan(microscope(lambda seed, label: numbers(seed, low, high))).dataset.value_range

    def with_faults(seed, label):
        picture = numbers(seed, low, high)
        picture[seed % SIDE, 3], picture[5, seed % SIDE] = 65535, 0
        return picture

    assert scan(microscope(with_faults)).dataset.value_range == pytest.approx(plain, abs=3)


@pytest.mark.parametrize(
    ("low", "high", "dtype", "fill", "expected"),
    [
        (-10, 25, np.float32, -9999, (-10, 25)),
        (-10, 25, np.float32, -3.4028235e38, (-10, 25)),
        (300.0, 310.0, np.float32, 0, (300, 310)),
        (0.0, 0.9, np.float32, -9999, (0, 1)),
        (100, 900, np.int32, -32768, (0, 1023)),
        (0, 2000, np.uint16, 65535, (0, 2000)),
        (0, 2400, np.uint16, 65535, (0, 4095)),
    ],
)
@pytest.mark.parametrize("share", [0.02, 0.16, 0.6])
def test_what_stands_for_no_value_is_left_out_of_the_range_and_told(
    microscope, low, high, dtype, fill, expected, share
):
    def with_a_border(seed, label):
        picture = numbers(seed, low, high, dtype)
        picture[: max(1, round(share * SIDE)) if seed % 3 else 0] = fill
        return picture

    scanned = scan(microscope(with_a_border), side=SIDE)
    assert scanned.dataset.value_range == pytest.approx(expected, abs=0.03 * (high - low))
    assert f" without {fill:,.6g}, taken for no value (found from 24 " in scanned.dataset.notes[0]
    seen = scanned.photographs[1]
    assert set(seen[0].ravel().tolist()) == {0 if fill < low else 255}
    assert np.ptp(seen[-20:]) > 100


def test_one_picture_alone_is_stretched_without_what_stands_for_no_value():
    picture = numbers(0, -10, 25, np.float32)
    picture[:13] = -9999
    seen = decode(encoded(Image.fromarray(picture), "TIFF"), value_range="picture")
    assert not seen[:13].any()
    assert np.ptp(seen[13:]) > 240


@pytest.mark.parametrize("ground", [0, 65535])
def test_a_ground_that_is_not_far_off_is_part_of_the_range(microscope, ground):
    def on_a_ground(seed, label):
        picture = numbers(seed, 20000, 30000)
        picture[:30] = ground
        return picture

    scanned = scan(microscope(on_a_ground))
    assert scanned.dataset.value_range == (0, 65535)
    assert "without" not in scanned.dataset.notes[0]


def test_one_picture_on_another_scale_does_not_darken_the_others(microscope):
    found = microscope(lambda seed, label: numbers(seed, 0, 65000 if seed == 7 else 4000))
    assert scan(found).dataset.value_range == (0, 4095)


def test_a_class_of_its_own_brightness_is_within_the_range(microscope):
    data = microscope(lambda seed, label: numbers(seed, *((100, 200) if label == "a" else (200, 380))))
    assert scan(data).dataset.value_range == pytest.approx((100, 380), abs=6)


@pytest.mark.parametrize(
    ("lowest", "highest", "whole", "expected"),
    [
        (0, 200, True, (0, 255)),
        (12, 900, True, (0, 1023)),
        (100, 400, True, (100, 400)),
        (0, 16000, True, (0, 16383)),
        (0, 40000, True, (0, 65535)),
        (30000, 40000, True, (30000, 40000)),
        (0, 1, True, (0, 1)),
        (0.0, 0.97, False, (0, 1)),
        (0.0, 0.02, False, (0, 0.02)),
        (-1.0, 1.0, False, (-1, 1)),
        (0.0, 200.0, False, (0, 255)),
        (281.234567, 315.76543, False, (281.2, 315.8)),
        (5, 5, True, None),
    ],
)
def test_the_range_is_a_usual_one_where_it_is_filled(lowest, highest, whole, expected):
    assert choose(np.full(20, float(lowest)), np.full(20, float(highest)), whole=whole) == expected


def test_16_bits_that_fill_their_range_are_read_as_they_were(microscope):
    data = microscope(lambda seed, label: numbers(seed, 0, 65535))
    scanned = scan(data, side=SIDE)
    assert scanned.dataset.value_range == (0, 65535)
    np.testing.assert_array_equal(scanned.photographs[3][..., 0], numbers(3, 0, 65535) >> 8)


def test_a_range_that_is_asked_for_is_used(microscope):
    data = microscope(lambda seed, label: numbers(seed, 100, 300))
    scanned = scan(data, side=SIDE, value_range=(0, 400))
    assert scanned.dataset.value_range == (0, 400)
    np.testing.assert_array_equal(scanned.photographs[0][..., 0], np.rint(numbers(0, 100, 300) * (255 / 400)))


def test_each_picture_is_stretched_only_where_that_is_asked_for(microscope):
    # Two exposures of the same things.
    data = microscope(lambda seed, label: numbers(seed % 100, 0, 400) << (3 if label == "b" else 0))
    together, each = scan(data, side=SIDE), scan(data, side=SIDE, value_range="picture")
    assert together.photographs[12].mean() > 5 * together.photographs[0].mean()
    np.testing.assert_allclose(each.photographs[12].astype(int), each.photographs[0], atol=1)
    assert np.ptp(each.photographs[0]) == 255


def test_what_was_decoded_with_another_range_is_not_found_in_the_cache(microscope):
    data = microscope(lambda seed, label: numbers(seed, 0, 4000))
    for value_range in ((0, 4095), (0, 8190), "picture", None, (0, 4095)):
        first = scan(data, side=SIDE, value_range=value_range).photographs[0]
        shares = {(0, 4095): 255 / 4095, (0, 8190): 255 / 8190, None: 1 / 256}
        if value_range in shares:
            np.testing.assert_allclose(first[..., 0], numbers(0, 0, 4000) * shares[value_range], atol=1)
        else:
            assert np.ptp(first) == 255


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_pictures_of_8_bits_have_no_use_for_a_range(mode, make_folder):
    content = encoded(gradient().convert(mode), "TIFF" if mode == "CMYK" else "PNG")
    for value_range in ((10.0, 20.0), "picture"):
        np.testing.assert_array_equal(decode(content, value_range=value_range), decode(content))
    assert scan(open_dataset(make_folder({"a": 2, "b": 2}))).dataset.value_range is None


def test_colour_of_16_bits_is_scaled_as_far_as_its_high_bytes_go():
    rows = b"\0" + bytes([4, 9, 8, 8, 15, 255]) + b"\0" + bytes([0, 0, 16, 0, 255, 0])
    content = png(1, 2, 16, 2, rows)
    # 4 · 257 / 4095 of 255, and so on.
    assert decode(content, value_range=(0.0, 4095.0))[:, 0].tolist() == [[64, 128, 240], [0, 255, 255]]
    np.testing.assert_array_equal(decode(content, value_range=(0.0, 65535.0)), decode(content))
    half = png(1, 1, 16, 6, b"\0" + bytes([15, 0, 15, 0, 15, 0, 128, 0]))
    assert decode(half, value_range=(0.0, 4095.0))[0, 0].tolist() == [247, 247, 247]


def test_12_bits_in_a_png_in_colour_are_found(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(3):
            bytes_of = np.random.default_rng(number + ord(label)).integers(0, 16, (64, 64 * 6), np.uint8)
            rows = np.hstack([np.zeros((64, 1), np.uint8), bytes_of])
            (tmp_path / label / f"{number}.png").write_bytes(png(64, 64, 16, 2, rows.tobytes()))
    assert scan(open_dataset(tmp_path)).dataset.value_range == (0, 4095)


def test_numbers_that_are_none_are_the_ends_of_the_range():
    image = Image.fromarray(np.array([[300, 310, np.nan, np.inf, -np.inf]], np.float32))
    content = encoded(image, "TIFF")
    assert decode(content, value_range=(290.0, 310.0))[0, :, 0].tolist() == [128, 255, 0, 255, 0]


def test_files_that_cannot_be_read_have_no_say(tmp_path):
    Image.fromarray(numbers(0, 0, 4000)).save(tmp_path / "good.tif")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "good.tif").read_bytes()[:300])
    (tmp_path / "empty.png").write_bytes(b"")
    files = [tmp_path / name for name in ("cut.tif", "empty.png", "good.tif", "lost.tif")]
    assert find_range(files) == ((0, 4095), 1, [])
    assert find_range(files[:2]) is None
    assert find_range([]) is None


def test_a_range_is_read_and_told():
    assert parse("auto") == "auto"
    assert parse(" -20, 60.5") == (-20, 60.5)
    assert in_words((0.0, 65535.0)) == "0 to 65,535"
    assert in_words((280.1, 315.8)) == "280.1 to 315.8"
    for wrong in ("5,5", "9,1", "1", "1,2,3", "0,inf", "nan,1", "a,b"):
        with pytest.raises(SettingError, match="number that is black"):
            parse(wrong)


def icon(colour: tuple[int, int, int], shape: str = "square") -> Image.Image:
    image = Image.new("RGBA", (64, 64), (*colour, 0))
    image.paste((*colour, 255), (20, 20, 44, 44) if shape == "square" else (10, 30, 54, 34))
    return image


@pytest.mark.parametrize("shape", ["square", "line"])
def test_white_icons_on_a_transparent_ground_can_be_seen(shape):
    white, black = (decode(encoded(icon(colour, shape))) for colour in ((255, 255, 255), (0, 0, 0)))
    # White lies on black, black on white as it did.
    np.testing.assert_array_equal(white, 255 - black)
    assert white[32, 32].tolist() == [255, 255, 255]
    assert white[0, 0].tolist() == [0, 0, 0]
    assert black[0, 0].tolist() == [255, 255, 255]


def test_icons_of_any_visible_colour_stay_on_white():
    assert decode(encoded(icon((250, 200, 90))))[0, 0].tolist() == [255, 255, 255]
    assert decode(encoded(Image.new("RGBA", (8, 8), (255, 255, 255, 255)))).min() == 255
    assert decode(encoded(Image.new("RGBA", (8, 8), (255, 255, 255, 0)))).min() == 255
