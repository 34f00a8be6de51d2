import tracemalloc

import numpy as np
from PIL import Image

from linnaea.data.dataset import Dataset
from linnaea.data.flatten import pixel_array, vectors
from linnaea.data.mnist import open_mnist
from linnaea.data.sources import open_dataset


def test_a_digit_stays_exactly_itself(digits):
    rows = [3, 1, 4]
    np.testing.assert_array_equal(pixel_array(digits, rows), digits.pixels[rows])
    expected = digits.pixels[rows].reshape(3, 784) / 255
    np.testing.assert_allclose(vectors(digits, rows), expected, rtol=1e-7)


def test_black_is_zero_and_white_is_one(digits):
    values = vectors(digits, np.arange(len(digits)))
    assert values.dtype == np.float32
    assert values.shape == (5000, 784)
    assert (values.min(), values.max()) == (0.0, 1.0)


def test_other_sizes_and_colour(digits):
    assert pixel_array(digits, [0, 1], size=14).shape == (2, 14, 14)
    colour = pixel_array(digits, [0, 1], colour=True)
    assert colour.shape == (2, 28, 28, 3)
    np.testing.assert_array_equal(colour[..., 1], digits.pixels[:2])
    assert vectors(digits, [0, 1], size=14, colour=True).shape == (2, 588)
    assert vectors(digits, []).shape == (0, 784)


def test_digits_written_to_files_give_the_same_vectors(digits, tmp_path):
    rows = [*range(10), *range(500, 510)]
    for row in rows:
        folder = tmp_path / f"class {digits.labels[row]}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(digits.pixels[row]).save(folder / f"{row:05d}.png")
    dataset = open_dataset(tmp_path)
    np.testing.assert_array_equal(vectors(dataset, range(20)), vectors(digits, rows))


def test_photographs_become_squares(shared):
    folder = shared / "data" / "flowers102-originals"
    files = sorted(folder.rglob("*.jpg"))[:3]
    paths = tuple(path.relative_to(folder).as_posix() for path in files)
    dataset = Dataset("flowers", "flowers", paths, np.array(["a", "b", "c"]), root=folder)
    small = pixel_array(dataset, range(3), size=32, colour=True)
    for picture, path in zip(small, files, strict=True):
        with Image.open(path) as image:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            whole = image.resize(
                (32, 32), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
            )
        # Decoding at a reduced scale may differ a little; a shift by one pixel would be 16 grey levels.
        assert np.abs(picture.astype(int) - np.asarray(whole)).mean() < 3


def test_one_float32_copy_is_all_that_is_allocated(shared):
    mnist = open_mnist(shared / "data" / "mnist")
    rows = np.arange(20000)
    tracemalloc.start()
    values = vectors(mnist, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A block of 4,096 digits as uint8 is 3.1 MiB; nothing else may stand beside the result.
    assert peak < values.nbytes + 8 * 2**20
